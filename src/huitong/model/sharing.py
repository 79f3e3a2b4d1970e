"""What is asked and what was answered (odrl:Request)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from huitong.errors import InputInvalid
from huitong.model.party import Role
from huitong.model.policy import Comparison, DivisionRows, ItemTerm, Mode, NoisedTerms, Purpose, Quota, SubjectRows


class RequestKind(StrEnum):
    """By which rules a request is answered."""

    SHARING = "sharing"
    """Between offices, for a duty of theirs."""
    OPENING = "opening"
    """Open data on application: the dataset's openness decides, and never a mask weaker than the default."""


class Linkage(StrEnum):
    """With what the pseudonyms of a grant can be joined; names of groups are those of one using office."""

    PURPOSE = "purpose"
    """With every grant of the same office for the same purpose."""
    ALONE = "alone"
    """With nothing but this grant."""


@dataclass(frozen=True)
class Wish:
    """What an office asks for; a reviewer may narrow it, never widen it. `until` is the last day of use, inclusive."""

    dataset: str
    purpose: Purpose
    items: tuple[ItemTerm, ...]
    rows: DivisionRows | None
    mode: Mode
    until: date
    kind: RequestKind = RequestKind.SHARING
    condition: tuple[Comparison, ...] = ()
    subjects: SubjectRows | None = None
    k: int | None = None
    """In mode *aggregate-only*: the least number of distinct entities of a group."""
    quota: Quota | None = None
    noised: NoisedTerms | None = None
    """In mode *noised*: its budget and bounds."""
    linkage: Linkage | str = Linkage.PURPOSE
    """One of `Linkage`, or the name of a group of the using office whose grants share pseudonyms."""


class RequestState(StrEnum):
    """Where a request stands: a fold of its events."""

    UNDER_REVIEW = "under-review"
    SUPPLEMENT_ASKED = "supplement-asked"
    """It waits for the applicant; the clock of the answer stands still."""
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    """The applicant did not supply what was asked for in time: as if it had been withdrawn."""


OPEN_STATES = (RequestState.UNDER_REVIEW, RequestState.SUPPLEMENT_ASKED)
"""In which something can still happen to it."""


class RequestEventKind(StrEnum):
    """What can happen to a request."""

    SUBMITTED = "submitted"
    ENDORSED = "endorsed"
    """The first of two reviewers agreed; the request stays under review."""
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    SUPPLEMENT_ASKED = "supplement-asked"
    """A reviewer cannot judge it yet and says what is missing."""
    SUPPLEMENTED = "supplemented"
    """The applicant said, or changed, what was missing."""
    LAPSED = "lapsed"
    EXTENDED = "extended"
    """The limit was prolonged, once, where the rules allow it."""
    ESCALATED = "escalated"
    """It was not answered in time: the regulator of the same level was told."""
    MEDIATED = "mediated"
    """The regulator heard both offices and set the day by which the answer is due."""
    RECOUNTED = "recounted"
    """The calendar of working days changed, and with it the day on which the answer is due."""


NEXT: Mapping[RequestState, Mapping[RequestEventKind, RequestState]] = {
    RequestState.UNDER_REVIEW: {
        RequestEventKind.ENDORSED: RequestState.UNDER_REVIEW,
        RequestEventKind.APPROVED: RequestState.GRANTED,
        RequestEventKind.REFUSED: RequestState.REFUSED,
        RequestEventKind.WITHDRAWN: RequestState.WITHDRAWN,
        RequestEventKind.SUPPLEMENT_ASKED: RequestState.SUPPLEMENT_ASKED,
        RequestEventKind.EXTENDED: RequestState.UNDER_REVIEW,
        RequestEventKind.ESCALATED: RequestState.UNDER_REVIEW,
        RequestEventKind.MEDIATED: RequestState.UNDER_REVIEW,
        RequestEventKind.RECOUNTED: RequestState.UNDER_REVIEW,
    },
    RequestState.SUPPLEMENT_ASKED: {
        RequestEventKind.SUPPLEMENTED: RequestState.UNDER_REVIEW,
        RequestEventKind.WITHDRAWN: RequestState.WITHDRAWN,
        RequestEventKind.LAPSED: RequestState.LAPSED,
        RequestEventKind.RECOUNTED: RequestState.SUPPLEMENT_ASKED,
    },
}
"""What may happen in which state, and where it leads; in an answered one nothing may."""


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
    """At submission what was asked; at a supplement what is asked now; at approval what was agreed."""
    on_behalf_of: str | None = None
    """The reviewer for whom a delegate acted; at an extension the person of the office who approved it."""
    due: date | None = None
    """The last day that the regulator set; where the applicant is asked for a supplement, the last day for it."""


@dataclass(frozen=True)
class Request:
    """A request with its whole history."""

    id: str
    dataset: str
    provider: str
    applicant: str
    applicant_office: str
    wish: Wish
    """What is asked now: as it was submitted, or as last supplemented."""
    events: tuple[RequestEvent, ...]
    answer_due: date | None
    """Last working day on which the providing office must answer; None when answered at once, and while the applicant is asked."""
    continues: str | None = None
    """The grant that it would extend, or that ended and would begin anew."""

    @property
    def state(self) -> RequestState:
        """The fold of the events."""
        return request_state(event.kind for event in self.events)

    @property
    def authors(self) -> frozenset[str]:
        """Who asked, or supplied what was missing: none of them answers it."""
        return frozenset((self.applicant, *(event.actor for event in self.events if event.kind is RequestEventKind.SUPPLEMENTED)))

    @property
    def signed_by(self) -> str:
        """Who stated what is asked now, and so signs for its purpose: who submitted it, or the last whose supplement changed it."""
        changed = [event.actor for event in self.events if event.kind is RequestEventKind.SUPPLEMENTED and event.wish is not None]
        return changed[-1] if changed else self.applicant


def request_state(kinds: Iterable[RequestEventKind]) -> RequestState:
    """Where the events lead, in their order; one that may not happen in the state that was reached changes nothing."""
    state = RequestState.UNDER_REVIEW
    for kind in kinds:
        state = NEXT.get(state, {}).get(kind, state)
    return state


@dataclass(frozen=True)
class Delegation:
    """A reviewer's absence: a colleague of the same office answers in their place on the days [valid_from, valid_until]."""

    id: str
    office: str
    principal: str
    """Who is absent. Their power passes only as far as they hold it themselves."""
    delegate: str
    role: Role
    valid_from: date
    valid_until: date
    """Last day, inclusive."""
    made_by: str
    made_at: datetime
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.principal == self.delegate:
            raise InputInvalid.because("delegation-to-oneself", person=self.principal)
        if self.valid_until < self.valid_from:
            days = {"from": self.valid_from.isoformat(), "until": self.valid_until.isoformat()}
            raise InputInvalid.because("delegation-ends-before-start", **days)

    def valid_at(self, day: date) -> bool:
        """Whether it stands on that day."""
        return self.ended_at is None and self.valid_from <= day <= self.valid_until
