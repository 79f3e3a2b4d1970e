"""The numbers of `staff.toml` and `signing_in.toml`, with the source of each group. Pure."""

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

from huitong.model.party import Role


@dataclass(frozen=True)
class StaffRules:
    """How long staff mode lasts."""

    source: str
    usual: timedelta
    longest: timedelta


@dataclass(frozen=True)
class SignInRules:
    """How tries are slowed down, and what a second factor is."""

    source: str
    window: timedelta
    password_per_account: int
    code_per_account: int
    any_per_address: int
    step_seconds: int
    steps_of_delay: int
    recovery_codes: int
    recovery_code_characters: int
    pending: timedelta
    needs_second_factor: frozenset[Role]


def read_staff_rules() -> StaffRules:
    """Those in force."""
    numbers = _read("staff.toml")
    return StaffRules(
        source=numbers["source"],
        usual=timedelta(minutes=numbers["usual_minutes"]),
        longest=timedelta(minutes=numbers["longest_minutes"]),
    )


def read_sign_in_rules() -> SignInRules:
    """Those in force."""
    numbers = _read("signing_in.toml")
    tries, second, roles = numbers["tries"], numbers["second_factor"], numbers["roles"]
    return SignInRules(
        source="; ".join(part["source"] for part in (tries, second, roles)),
        window=timedelta(minutes=tries["window_minutes"]),
        password_per_account=tries["password_per_account"],
        code_per_account=tries["code_per_account"],
        any_per_address=tries["any_per_address"],
        step_seconds=second["step_seconds"],
        steps_of_delay=second["steps_of_delay"],
        recovery_codes=second["recovery_codes"],
        recovery_code_characters=second["recovery_code_characters"],
        pending=timedelta(minutes=second["pending_minutes"]),
        needs_second_factor=frozenset(Role(role) for role in roles["needs_second_factor"]),
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / name).read_text("utf-8"))
