"""What is asked and what was answered (odrl:Request)."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from huitong.model.policy import DivisionRows, ItemTerm, Mode, Purpose


@dataclass(frozen=True)
class Wish:
    """What an office asks for; a reviewer may narrow it, never widen it. `until` is the last day of use, inclusive."""

    dataset: str
    purpose: Purpose
    items: tuple[ItemTerm, ...]
    rows: DivisionRows | None
    mode: Mode
    until: date


class RequestState(StrEnum):
    """Where a request stands: a fold of its events."""

    UNDER_REVIEW = "under-review"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class RequestEventKind(StrEnum):
    """What can happen to a request."""

    SUBMITTED = "submitted"
    ENDORSED = "endorsed"
    """The first of two reviewers agreed; the request stays under review."""
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class RequestEvent:
    """One thing that happened, by whom, when; never changed afterwards. `actor` is a person, or `rule` for an automatic answer."""

    kind: RequestEventKind
    at: datetime
    actor: str
    office: str
    reason: str | None = None
    """Coded reason of a refusal."""
    words: str | None = None
    """What the person wrote beside it."""
    wish: Wish | None = None
    """At submission what was asked; at approval what was agreed."""


@dataclass(frozen=True)
class Request:
    """A request with its whole history."""

    id: str
    dataset: str
    provider: str
    applicant: str
    applicant_office: str
    wish: Wish
    events: tuple[RequestEvent, ...]
    answer_due: date | None
    """Last working day on which the provider must answer; None when answered at once."""

    @property
    def state(self) -> RequestState:
        """The fold of the events."""
        answers = {
            RequestEventKind.SUBMITTED: RequestState.UNDER_REVIEW,
            RequestEventKind.ENDORSED: RequestState.UNDER_REVIEW,
            RequestEventKind.APPROVED: RequestState.GRANTED,
            RequestEventKind.REFUSED: RequestState.REFUSED,
            RequestEventKind.WITHDRAWN: RequestState.WITHDRAWN,
        }
        state = RequestState.UNDER_REVIEW
        for event in self.events:
            state = answers[event.kind]
        return state
