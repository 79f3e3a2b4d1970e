"""Re-identification: for one case, the identifiers behind a few tokens of a grant, told to one officer, agreed to by two reviewers.

The noun holds no token and no identifier: a keyed hash and a count stand for the tokens, which are kept elsewhere while the case lasts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from huitong.errors import InputInvalid


class ReidentificationState(StrEnum):
    """Where a case stands: a fold of its events. That its term is over follows from the clock until it is noted as ended."""

    UNDER_REVIEW = "under-review"
    AGREED = "agreed"
    """Two reviewers agreed: the officer may learn the identifiers."""
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    """One of the two offices ended what had been agreed."""
    ENDED = "ended"
    """It ended by rule: its term, its grant, its officer's post, or all its reveals are over."""


OPEN_REIDENTIFICATIONS = (ReidentificationState.UNDER_REVIEW, ReidentificationState.AGREED)
"""In which something can still happen, so that the tokens are kept."""


class ReidentificationEventKind(StrEnum):
    """What can happen to a case."""

    ASKED = "asked"
    ENDORSED = "endorsed"
    """The first of two reviewers agreed; it stays under review."""
    APPROVED = "approved"
    """The second of two reviewers agreed, to the same or to less."""
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    REVEAL_BEGUN = "reveal-begun"
    """One of the reveals is taken; it stays taken unless it failed."""
    REVEALED = "revealed"
    REVEAL_FAILED = "reveal-failed"
    """Nothing left; the reveal that was taken is given back."""
    REVOKED = "revoked"
    """The providing office ended it."""
    GIVEN_BACK = "given-back"
    """The using office ended it."""
    ENDED = "ended"
    """By rule, for a coded reason."""


_WHILE_AGREED = (ReidentificationEventKind.REVEAL_BEGUN, ReidentificationEventKind.REVEALED, ReidentificationEventKind.REVEAL_FAILED)
NEXT: Mapping[ReidentificationState, Mapping[ReidentificationEventKind, ReidentificationState]] = {
    ReidentificationState.UNDER_REVIEW: {
        ReidentificationEventKind.ENDORSED: ReidentificationState.UNDER_REVIEW,
        ReidentificationEventKind.APPROVED: ReidentificationState.AGREED,
        ReidentificationEventKind.REFUSED: ReidentificationState.REFUSED,
        ReidentificationEventKind.WITHDRAWN: ReidentificationState.WITHDRAWN,
        ReidentificationEventKind.ENDED: ReidentificationState.ENDED,
    },
    ReidentificationState.AGREED: {
        **dict.fromkeys(_WHILE_AGREED, ReidentificationState.AGREED),
        ReidentificationEventKind.REVOKED: ReidentificationState.REVOKED,
        ReidentificationEventKind.GIVEN_BACK: ReidentificationState.REVOKED,
        ReidentificationEventKind.ENDED: ReidentificationState.ENDED,
    },
}
"""What may happen in which state, and where it leads; in one that is over nothing may."""


def reidentification_state(kinds: Iterable[ReidentificationEventKind]) -> ReidentificationState:
    """Where the events lead, in their order; one that may not happen in the state that was reached changes nothing."""
    state = ReidentificationState.UNDER_REVIEW
    for kind in kinds:
        state = NEXT.get(state, {}).get(kind, state)
    return state


@dataclass(frozen=True)
class ReidentificationEvent:
    """One thing that happened, by whom, when; never changed afterwards. `actor` is a person, or `rule` for what follows from a rule."""

    kind: ReidentificationEventKind
    at: datetime
    actor: str
    office: str
    reason: str | None = None
    """Coded reason of a refusal or of an ending by rule."""
    words: str | None = None
    """What the person wrote beside it."""
    days: int | None = None
    """Agreed: for how many days from the second agreement on."""
    reveals: int | None = None
    """Agreed: how often at most."""
    until: datetime | None = None
    """At the second agreement: the instant at which it ends."""
    query: str | None = None
    """At a reveal: the number under which the ledger and the receipt know it."""


@dataclass(frozen=True)
class Reidentification:
    """A case with its whole history. It carries nothing by itself: its grant must stand at each reveal, and its officer hold the post."""

    id: str
    grant: str
    dataset: str
    item: str
    """The item whose values are asked for; the grant shows it as a pseudonym."""
    linkage_group: str
    """The group whose tokens they are."""
    provider: str
    using_office: str
    officer: str
    """The person who answers for it and who alone may learn the identifiers."""
    post: str
    """The post in which the officer does."""
    case: str = field(repr=False)
    """The office's own reference for the case; it may speak of persons, so it is told to few."""
    legal_basis: str
    why: str = field(repr=False)
    """Why the case cannot be helped without the identifiers; told to as few."""
    tokens: int
    """How many tokens."""
    tokens_hash: str
    """Keyed hash of the tokens."""
    days: int
    """Asked: for how many days."""
    reveals: int
    """Asked: how often."""
    answer_due: date
    """Last working day on which the providing office must answer."""
    events: tuple[ReidentificationEvent, ...]

    def __post_init__(self) -> None:
        about: dict[str, str | int] = {"reidentification": self.id}
        if self.tokens < 1 or self.days < 1 or self.reveals < 1:
            raise InputInvalid.because("reidentification-counts-nothing", **about)
        if not self.events or self.events[0].kind is not ReidentificationEventKind.ASKED:
            raise InputInvalid.because("reidentification-without-beginning", **about)

    @property
    def state(self) -> ReidentificationState:
        """The fold of the events."""
        return reidentification_state(event.kind for event in self.events)

    @property
    def is_open(self) -> bool:
        """Whether something can still happen to it."""
        return self.state in OPEN_REIDENTIFICATIONS

    @property
    def asked_at(self) -> datetime:
        """When it was asked for."""
        return self.events[0].at

    @property
    def agreement(self) -> ReidentificationEvent | None:
        """The second reviewer's word, which fixes term and number of reveals; None while there is none."""
        return next((event for event in self.events if event.kind is ReidentificationEventKind.APPROVED), None)

    @property
    def reveals_taken(self) -> int:
        """How many reveals were taken and not given back. One that was begun and never ended counts: nobody knows what it gave."""
        kinds = [event.kind for event in self.events]
        return kinds.count(ReidentificationEventKind.REVEAL_BEGUN) - kinds.count(ReidentificationEventKind.REVEAL_FAILED)

    @property
    def reveals_under_way(self) -> int:
        """How many reveals were begun and have not come back."""
        kinds = [event.kind for event in self.events]
        return self.reveals_taken - kinds.count(ReidentificationEventKind.REVEALED)

    @property
    def reveals_left(self) -> int:
        """How many reveals are left of those agreed; 0 while nothing is agreed."""
        agreed = self.agreement
        return 0 if agreed is None else max(0, (agreed.reveals or 0) - self.reveals_taken)

    def valid_at(self, instant: datetime) -> bool:
        """Whether it is agreed and its own term runs; whether its grant stands too is another question."""
        agreed = self.agreement
        return self.state is ReidentificationState.AGREED and agreed is not None and agreed.until is not None and instant < agreed.until


@dataclass(frozen=True)
class Revelation:
    """One reveal, as it is asked of the gateway: which tokens of which item under which grant."""

    dataset: str
    item: str
    grant: str
    purpose: str
    tokens: tuple[int, ...] = field(repr=False)
    about: Mapping[str, Any]
    """What the ledger is told of it besides: its case, how many tokens, their keyed hash."""
