"""The numbers of `records.toml`."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class RecordLimits:
    """What a call of the record door may ask for and how copies are kept, with the meaning given in `records.toml`."""

    keys_of_a_call: int
    rows_of_a_call: int
    rows_of_a_key: int
    key_characters: int
    compared_of_a_call: int
    call_seconds: int
    sandbox_level_at_most: int
    rows_at_once: int
    open_copies: int
    again_seconds: int


def read_record_limits() -> RecordLimits:
    """The numbers that ship with Huitong."""
    said = tomllib.loads(files("huitong.delivery").joinpath("records.toml").read_text("utf-8"))
    return RecordLimits(**said["limits"])
