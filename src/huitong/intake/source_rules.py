"""The numbers of `sources.toml`: how databases are read and how planned loads keep at it."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class SourceRules:
    """The numbers of `sources.toml`, with their meaning there."""

    connect_seconds: int
    batch_rows: int
    sqlite_memory_megabytes: int
    overlap_seconds: int
    overlap_numbers: int
    retry_minutes: tuple[int, ...]
    refusals: int
    busy_minutes: int


@cache
def source_rules() -> SourceRules:
    """The rules that ship with Huitong."""
    written = tomllib.loads((files("huitong.intake") / "sources.toml").read_text("utf-8"))
    return SourceRules(**{**written, "retry_minutes": tuple(written["retry_minutes"])})
