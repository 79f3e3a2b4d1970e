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
    noised: "NoisedLimits"


@dataclass(frozen=True)
class NoisedLimits:
    """Of noised totals: what stands where a wish or a question says nothing, and how far it may go. Budgets are millionths of epsilon."""

    epsilon: int
    """Budget of a grant, if none is asked for."""
    together: int
    """Budget of all grants of one office over one dataset, if none is stated."""
    most_epsilon: int
    """No budget, of either kind, is larger."""
    question: int
    """What one question spends, if it does not say."""
    least_question: int
    rows_per_entity: int
    most_rows_per_entity: int
    groups: int
    """An answer tells at most so many groups."""


@cache
def term_limits() -> TermLimits:
    """Those that are shipped."""
    written = tomllib.loads((files(__package__) / "terms.toml").read_text("utf-8"))
    limits, k, quota, noised = (written[part] for part in ("limits", "k", "quota", "noised"))
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
        noised=NoisedLimits(**{name: value for name, value in noised.items() if name != "source"}),
    )
