"""What came of an attack, and whether that is what must come of it."""

from dataclasses import dataclass
from enum import StrEnum

from huitong.drill.cases import Case, Check


class Outcome(StrEnum):
    """What came of an attack."""

    REFUSED = "refused"
    """Said no to, with a reason code."""
    EMPTY = "empty"
    """Answered as if there were nothing."""
    ANSWERED = "answered"
    """Answered, and nothing in the answer was hidden."""
    BOUNDED = "bounded"
    """It ended within the limits, and others were served meanwhile."""
    DETECTED = "detected"
    """It happened and was found."""
    LEAKED = "leaked"
    """Something hidden came out."""
    ERROR = "error"
    """Something failed that should not have."""
    NOT_RUN = "not_run"
    """Nobody tried."""


@dataclass(frozen=True)
class Finding:
    """What came of one attack; `evidence` is one or two sentences of what was seen, for a data officer."""

    outcome: Outcome
    evidence: str


HOLDING = {
    Check.DENY: frozenset({Outcome.REFUSED}),
    Check.NO_LEAK: frozenset({Outcome.ANSWERED, Outcome.EMPTY, Outcome.REFUSED}),
    Check.BOUNDED: frozenset({Outcome.BOUNDED, Outcome.REFUSED}),
    Check.DETECT: frozenset({Outcome.DETECTED}),
}
"""The outcomes with which each check is held."""

AS_IF_UNKNOWN = ("404", "unknown id", "as for an unknown")
"""Where what must come of a case says one of these, an empty answer is a refusal: what is not there is not found."""


def held(case: Case, finding: Finding) -> bool:
    """Whether what came of it is what must come of it."""
    if case.check is None:
        return False
    if finding.outcome in HOLDING[case.check]:
        return True
    return case.check is Check.DENY and finding.outcome is Outcome.EMPTY and any(words in case.must.lower() for words in AS_IF_UNKNOWN)
