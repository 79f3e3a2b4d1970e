"""The rules of `rules.toml`, read once: what a meaning looks like and what is suggested for it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from huitong.model.catalog import Grade
from huitong.model.text import BilingualText


class Evidence(StrEnum):
    """What a recognition rests on, the surest first."""

    CHECKSUM = "checksum"
    LIST = "list"
    SHAPE = "shape"


@dataclass(frozen=True)
class Rule:
    """One meaning of `rules.toml`; what each number says stands there."""

    meaning: str
    title: BilingualText
    evidence: Evidence
    share: float
    share_hinted: float
    grade: Grade
    hints: tuple[str, ...]
    valid: str = ""
    """Regular expression of a whole valid value; empty if there is none."""
    check: str = ""
    """Name of the check that a value of that shape must pass; empty for none."""
    dates: tuple[date, date] | None = None
    """First and last day that a date in it may be."""
    hint_needed: bool = False
    wider_than: tuple[str, ...] = ()
    """Meanings whose every value is one of this meaning too."""
    measured: bool = False
    """Whether the validity of such items is counted in quality reports."""

    @property
    def range_of_dates(self) -> tuple[date, date]:
        """First and last day of a rule that has dates."""
        assert self.dates is not None
        return self.dates

    def hinted_by(self, *names: str) -> bool:
        """Whether one of the names or titles of an item speaks of this meaning."""
        return any(hint in name.lower() for name in names for hint in self.hints)


@cache
def rules() -> Mapping[str, Rule]:
    """All rules by meaning, in the order of the file. Source: stated in `rules.toml`."""
    written: dict[str, Any] = tomllib.loads((files(__package__) / "rules.toml").read_text("utf-8"))
    return {meaning: _rule(meaning, entry) for meaning, entry in written["meaning"].items()}


def _rule(meaning: str, entry: Mapping[str, Any]) -> Rule:
    dates = entry.get("dates")
    return Rule(
        meaning=meaning,
        title=BilingualText(*entry["title"]),
        evidence=Evidence(entry["evidence"]),
        share=entry["share"],
        share_hinted=entry["share_hinted"],
        grade=Grade(entry["grade"]),
        hints=tuple(entry["hints"]),
        valid=entry.get("valid", ""),
        check=entry.get("check", ""),
        dates=(dates[0], dates[1]) if dates else None,
        hint_needed=entry.get("hint_needed", False),
        wider_than=tuple(entry.get("wider_than", ())),
        measured=entry.get("measured", "valid" in entry),
    )
