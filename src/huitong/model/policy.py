"""On what terms: purposes, masks, grants and the decision about one use (odrl:Agreement, odrl:purpose)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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


class Mode(StrEnum):
    """What kind of answers a grant allows."""

    ROWS = "rows"


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

    def __post_init__(self) -> None:
        if not self.items:
            raise InputInvalid.because("terms-without-items")
        names = [term.item for term in self.items]
        if len(set(names)) != len(names):
            raise InputInvalid.because("terms-item-twice")
        if self.valid_from.tzinfo is None or self.valid_until.tzinfo is None:
            raise InputInvalid.because("instant-without-zone")
        if self.valid_until <= self.valid_from:
            raise InputInvalid.because("terms-end-before-start")

    def mask_of(self, item: str) -> Mask | None:
        """The mask of a granted item; None if the item is not granted."""
        return next((term.mask for term in self.items if term.item == item), None)


class GrantState(StrEnum):
    """The stored state; expiry is not stored, it follows from the clock."""

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
