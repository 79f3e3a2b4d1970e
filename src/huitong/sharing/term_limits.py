"""The numbers by which the terms of a wish are judged: data with their source, `terms.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class TermLimits:
    """How much terms may hold, and from which numbers on they protect."""

    comparisons: int
    values: int
    """Of all comparisons together."""
    value_characters: int
    subjects: int
    quota: int
    least_k: int
    most_k: int
    quota_margin_seconds: int
    quota_nearly_percent: int


@cache
def term_limits() -> TermLimits:
    """Those that are shipped."""
    written = tomllib.loads((files(__package__) / "terms.toml").read_text("utf-8"))
    limits, k, quota = written["limits"], written["k"], written["quota"]
    return TermLimits(
        comparisons=limits["comparisons"],
        values=limits["values"],
        value_characters=limits["value_characters"],
        subjects=limits["subjects"],
        quota=limits["quota"],
        least_k=k["least"],
        most_k=k["most"],
        quota_margin_seconds=quota["margin_seconds"],
        quota_nearly_percent=quota["nearly_percent"],
    )
