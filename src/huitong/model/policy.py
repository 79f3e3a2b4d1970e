"""On what terms: purposes, masks, grants and the decision about one use (odrl:Agreement, odrl:purpose)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from huitong.errors import InputInvalid, Reason


@dataclass(frozen=True)
class Purpose:
    """A controlled term and the legal basis under which the using office acts."""

    code: str
    legal_basis: str

    def __post_init__(self) -> None:
        if not self.legal_basis.strip():
            raise InputInvalid.because("legal-basis-missing", purpose=self.code)


class MaskKind(StrEnum):
    """How an item leaves (families of GB/T 37964-2019)."""

    CLEAR = "clear"
    HIDE = "hide"
    """Always NULL: the item is there, its values are not."""
    PARTIAL = "partial"
    """Keeps the first and last characters, a star for each between: parameters `first`, `last`."""
    GENERALISE = "generalise"
    """A coarser value: `to` = `year` or `month` of a date, `city`, `county` or `township` of a division code, `birth-year` of a
    resident ID, or `step` of a number."""
    PSEUDONYM = "pseudonym"
    """A 64-bit token per linkage group and key epoch, joined from a side table."""


@dataclass(frozen=True)
class Mask:
    """A kind of mask with its parameters, e.g. partial(first=3, last=4) or generalise(to=year)."""

    kind: MaskKind
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.kind, tuple(sorted(self.parameters.items(), key=lambda pair: pair[0]))))


@dataclass(frozen=True)
class ItemTerm:
    """One granted item and how it leaves."""

    item: str
    mask: Mask


@dataclass(frozen=True)
class DivisionRows:
    """Rows whose `item` holds a division at or below `division` (12 digits)."""

    item: str
    division: str


class Comparator(StrEnum):
    """How a predicate compares an item. A missing value satisfies none of them but `missing`: unknown is never yes."""

    IN = "in"
    NOT_IN = "not-in"
    AT_LEAST = "at-least"
    MORE_THAN = "more-than"
    AT_MOST = "at-most"
    LESS_THAN = "less-than"
    KNOWN = "known"
    MISSING = "missing"

    @property
    def values(self) -> tuple[int, int | None]:
        """How many values it takes, at least and at most (None: as many as one likes)."""
        if self in (Comparator.KNOWN, Comparator.MISSING):
            return 0, 0
        return (1, None) if self in (Comparator.IN, Comparator.NOT_IN) else (1, 1)


@dataclass(frozen=True)
class Comparison:
    """One comparison of an item with values, e.g. `salary at-least 3000`. Values are text in the form of the item's type: digits of a
    number, an ISO day, `true`; of `in` and `not-in` they are sorted and each stands once, so that equal predicates have equal hashes."""

    item: str
    comparator: Comparator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least, most = self.comparator.values
        if len(self.values) < least or (most is not None and len(self.values) > most):
            raise InputInvalid.because("comparison-values", item=self.item, comparator=self.comparator.value, values=len(self.values))
        if self.comparator in (Comparator.IN, Comparator.NOT_IN):
            object.__setattr__(self, "values", tuple(sorted(set(self.values))))


@dataclass(frozen=True)
class SubjectRows:
    """Rows whose `item` holds one of a list of identifiers, e.g. the persons of a case file. The identifiers themselves never stand in
    terms, requests or the ledger: `subjects` names the list in the lake, `digest` is a keyed hash of it, `count` its length."""

    item: str
    subjects: str
    digest: str
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputInvalid.because("subjects-empty", item=self.item)


class Mode(StrEnum):
    """What kind of answers a grant allows, the widest first."""

    ROWS = "rows"
    AGGREGATE_ONLY = "aggregate-only"
    """Totals over groups of at least k distinct entities; no row leaves."""
    NOISED = "noised"
    """Totals with noise of differential privacy, as long as a budget lasts; no row leaves."""


class QuotaPeriod(StrEnum):
    """After which time the counting of a quota begins anew: days and months are those of the instance's time zone."""

    DAY = "day"
    MONTH = "month"
    GRANT = "grant"
    """Never: it is for the whole life of the grant, all its versions together."""


@dataclass(frozen=True)
class Quota:
    """How much may be used in a period; None: that is not limited. Reserved when a use begins, settled when it ends."""

    period: QuotaPeriod
    rows: int | None = None
    """Rows that leave."""
    queries: int | None = None
    """Statements that run."""
    calls: int | None = None
    """Calls of the other doors: records, deliveries of files."""

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.rows, self.queries, self.calls) if limit is not None]
        if not limits:
            raise InputInvalid.because("quota-empty", period=self.period.value)
        if any(limit < 1 for limit in limits):
            raise InputInvalid.because("quota-not-positive", period=self.period.value)


@dataclass(frozen=True)
class ValueBounds:
    """Between which values an item counts in sums and means: what lies outside counts as the nearer bound. Decimals, as text."""

    item: str
    lower: str
    upper: str

    def __post_init__(self) -> None:
        written = (self.lower, self.upper)
        if any(_NUMBER.fullmatch(one) is None for one in written) or Decimal(self.lower) >= Decimal(self.upper):
            raise InputInvalid.because("noised-bounds-wrong", item=self.item, lower=self.lower[:40], upper=self.upper[:40])


@dataclass(frozen=True)
class NoisedTerms:
    """In mode *noised*: how much may be told of one entity in all. Budgets are whole millionths of epsilon, so that they add up exactly."""

    epsilon: int
    """What all answers under the grant, every version of it, may spend together."""
    together: int
    """What all answers under all grants of the using office over the dataset may spend together, this grant's among them."""
    rows_per_entity: int
    """Of one entity at most so many rows count in an answer."""
    bounds: tuple[ValueBounds, ...] = ()
    """Of the items that may be summed and averaged."""

    def __post_init__(self) -> None:
        if self.epsilon < 1 or self.together < self.epsilon or self.rows_per_entity < 1:
            raise InputInvalid.because("noised-budget-wrong", epsilon=epsilon_text(self.epsilon), together=epsilon_text(self.together))
        names = [one.item.lower() for one in self.bounds]
        if len(set(names)) != len(names):
            raise InputInvalid.because("noised-bounds-twice")

    def bounds_of(self, item: str) -> ValueBounds | None:
        """The bounds of an item, whatever the letter case; None if it has none."""
        return next((one for one in self.bounds if one.item.lower() == item.lower()), None)


_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,8})?")
MILLION = 1_000_000


def epsilon_text(millionths: int) -> str:
    """Millionths of epsilon as a plain decimal: `0.1`, `2`."""
    return f"{(Decimal(millionths) / MILLION).normalize():f}"


@dataclass(frozen=True)
class Terms:
    """What was agreed, in full: the text that is hashed, signed for and enforced. Instants are UTC, [valid_from, valid_until)."""

    purpose: Purpose
    items: tuple[ItemTerm, ...]
    rows: DivisionRows | None
    mode: Mode
    linkage_group: str
    """Grants of one group share pseudonyms, so their results can be joined; default `office:purpose`."""
    valid_from: datetime
    valid_until: datetime
    condition: tuple[Comparison, ...] = ()
    """Only rows for which every comparison holds."""
    subjects: SubjectRows | None = None
    """Only rows about the entities of a list."""
    k: int | None = None
    """In mode *aggregate-only*: the least number of distinct entities of a group that is told."""
    quota: Quota | None = None
    noised: NoisedTerms | None = None
    """In mode *noised*: its budget and bounds."""
    salt: str | None = None
    """Random, where a condition has values: the ledger holds the hash of the terms and not these values, and nobody without the terms can
    find them by trying."""

    def __post_init__(self) -> None:
        if not self.items:
            raise InputInvalid.because("terms-without-items")
        if (self.mode is Mode.AGGREGATE_ONLY) != (self.k is not None) or (self.k is not None and self.k < 2):
            raise InputInvalid.because("terms-k-wrong", mode=self.mode.value, k=self.k or 0)
        if (self.mode is Mode.NOISED) != (self.noised is not None):
            raise InputInvalid.because("terms-noised-wrong", mode=self.mode.value)
        names = [term.item for term in self.items]
        if len(set(names)) != len(names):
            raise InputInvalid.because("terms-item-twice")
        if self.valid_from.tzinfo is None or self.valid_until.tzinfo is None:
            raise InputInvalid.because("instant-without-zone")
        if self.valid_until <= self.valid_from:
            raise InputInvalid.because("terms-end-before-start")

    @property
    def cuts_rows(self) -> bool:
        """Whether some rows are left out by a rule of the terms."""
        return self.rows is not None or bool(self.condition) or self.subjects is not None

    def mask_of(self, item: str) -> Mask | None:
        """The mask of a granted item; None if the item is not granted."""
        return next((term.mask for term in self.items if term.item == item), None)


class GrantState(StrEnum):
    """The stored state: the fold of the grant's events (`GrantEvent`). Expiry is not stored, it follows from the clock."""

    PREPARING = "preparing"
    """Agreed, but pseudonym side tables are still being built: no use yet."""
    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Grant:
    """Who may use which dataset, on which terms; versioned and hashed."""

    id: str
    version: int
    request: str
    """The request that it came of; later versions came of requests that continue it."""
    dataset: str
    provider: str
    using_office: str
    signed_by: str
    """The person of the using office who signed for the purpose."""
    terms: Terms
    terms_hash: str
    """SHA-256 of the canonical form of the terms and the parties, in hex."""
    state: GrantState
    granted_at: datetime
    revoked_at: datetime | None = None
    revoked_because: str | None = None
    moved_from: str | None = None
    """The grant whose place it took when an office was succeeded by another; that one is revoked and stays for the record."""

    def valid_at(self, instant: datetime) -> bool:
        """Whether it is active and `instant` lies in [valid_from, valid_until)."""
        return self.state is GrantState.ACTIVE and self.terms.valid_from <= instant < self.terms.valid_until


class GrantEventKind(StrEnum):
    """What can happen to a grant."""

    MADE = "made"
    ACTIVATED = "activated"
    """It may be used: its side tables stand, or it needs none."""
    EXTENDED = "extended"
    """Another version of the terms took effect, agreed by the same two offices."""
    REVOKED = "revoked"
    """The providing office ended it."""
    GIVEN_BACK = "given-back"
    """The using office ended it."""
    MOVED = "moved"
    """It ended because another took its place, with the successor of one of its offices."""
    EXPIRING = "expiring"
    """Both offices were told that the term of this version ends soon; it changes nothing."""
    EXPIRED = "expired"
    """The term of this version is over, and both offices were told. A trace: the clock ends the use, not this event."""


ENDINGS = frozenset({GrantEventKind.REVOKED, GrantEventKind.GIVEN_BACK, GrantEventKind.MOVED})


@dataclass(frozen=True)
class GrantEvent:
    """One thing that happened to a grant, by whom, when; never changed afterwards. `actor` is a person, or `rule`."""

    kind: GrantEventKind
    at: datetime
    actor: str
    office: str
    version: int
    """The version of the terms that is in force after it."""
    words: str | None = None


def grant_state(events: Iterable[GrantEvent]) -> GrantState:
    """The state that the events lead to; what comes after an ending changes nothing any more.

    Raises InputInvalid `grant-without-beginning` if the first of them is not that it was made."""
    state: GrantState | None = None
    for event in events:
        if state is None:
            if event.kind is not GrantEventKind.MADE:
                raise InputInvalid.because("grant-without-beginning", event=event.kind.value)
            state = GrantState.PREPARING
        elif state is GrantState.REVOKED or event.kind in ENDINGS:
            state = GrantState.REVOKED
        elif event.kind is GrantEventKind.ACTIVATED:
            state = GrantState.ACTIVE
    if state is None:
        raise InputInvalid.because("grant-without-beginning", event="-")
    return state


def beginning_of(grant: Grant, *, actor: str = "rule") -> tuple[GrantEvent, ...]:
    """The events that make a grant what it is when it is first kept: made, and active, or ended."""
    made = GrantEvent(GrantEventKind.MADE, grant.granted_at, actor, grant.provider, grant.version)
    active = GrantEvent(GrantEventKind.ACTIVATED, grant.granted_at, actor, grant.provider, grant.version)
    if grant.state is GrantState.REVOKED:
        at, words = grant.revoked_at or grant.granted_at, grant.revoked_because
        return made, active, GrantEvent(GrantEventKind.REVOKED, at, actor, grant.provider, grant.version, words)
    return (made, active) if grant.state is GrantState.ACTIVE else (made,)


@dataclass(frozen=True)
class Decision:
    """May this use happen: the grant for each dataset, or every reason why not."""

    grants: Mapping[str, Grant]
    reasons: tuple[Reason, ...]
    notices: tuple[Reason, ...] = ()
    """What does not speak against it but should be known, e.g. that another grant with other rows stands too."""

    @property
    def allowed(self) -> bool:
        """True only if nothing speaks against it."""
        return not self.reasons
