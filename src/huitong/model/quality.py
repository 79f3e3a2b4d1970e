"""What is known about the rows of a snapshot without showing one: completeness, validity, uniqueness, freshness, drift.

No noun here holds a value of the data: counts and names of items alone, so that a report is no side door."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid, Reason
from huitong.model.catalog import Grade, UpdateCycle
from huitong.model.policy import Mask


@dataclass(frozen=True)
class ItemQuality:
    """One item of one snapshot. Counts are rows."""

    item: str
    rows: int
    present: int
    """Rows with a value: completeness is present / rows (ISO/IEC 25012)."""
    valid: int | None
    """Rows whose value is one of its semantic type (checksum, date, list); None if the meaning has no rule."""
    distinct: int | None = None
    """Distinct values, estimated within 2 percent; None where it was not counted."""

    @property
    def completeness(self) -> float | None:
        """Share of rows with a value, 0 to 1; None without rows."""
        return self.present / self.rows if self.rows else None

    @property
    def validity(self) -> float | None:
        """Share of present values that are valid, 0 to 1; None without rule or value."""
        return self.valid / self.present if self.valid is not None and self.present else None


@dataclass(frozen=True)
class KeyQuality:
    """Whether the primary key tells rows apart."""

    items: tuple[str, ...]
    rows: int
    missing: int
    """Rows with no value in an item of the key."""
    duplicates: int
    """Rows beyond the first of each key."""


@dataclass(frozen=True)
class Freshness:
    """The snapshot against the promised update cycle."""

    cycle: UpdateCycle
    taken_at: datetime
    due_at: datetime | None
    """When the next snapshot is due by the cycle; None for cycles without a promise (irregular, once)."""
    late: bool
    """Whether `due_at` had passed at the instant of the report."""


class DriftKind(StrEnum):
    """What changed against the snapshot before, beyond its threshold."""

    ROWS = "rows"
    COMPLETENESS = "completeness"
    VALIDITY = "validity"
    DISTINCT = "distinct"
    DISTRIBUTION = "distribution"


@dataclass(frozen=True)
class Drift:
    """One change that a person should look at."""

    kind: DriftKind
    item: str | None
    """None for the table as a whole."""
    before: float
    now: float


@dataclass(frozen=True)
class QualityReport:
    """The report of one snapshot, as data."""

    dataset: str
    version: int
    made_at: datetime
    rows: int
    rejected_rows: int
    items: tuple[ItemQuality, ...]
    key: KeyQuality | None
    freshness: Freshness
    drift: tuple[Drift, ...]
    """Against the snapshot before it; empty also for the first."""
    compared_with: int | None
    """Version of the snapshot before it, if it was compared."""

    def item(self, name: str) -> ItemQuality | None:
        """The part about that item."""
        return next((one for one in self.items if one.item == name), None)


class SuggestionState(StrEnum):
    """What became of a suggestion; only a person changes it."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


@dataclass(frozen=True)
class GradingSuggestion:
    """What a recogniser takes an item for, and the grade and mask that this asks for: a suggestion, never a decision."""

    item: str
    meaning: str
    grade: Grade
    mask: Mask
    sampled: int
    """Values looked at, without missing ones."""
    recognised: int
    """How many of them are of that meaning."""
    why: Reason
    """In words: by checksum, by shape, by list, by the item's name."""
    state: SuggestionState = SuggestionState.OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    words: str | None = None
    """Why it was dismissed."""

    def __post_init__(self) -> None:
        if not 0 <= self.recognised <= self.sampled:
            raise InputInvalid.because("suggestion-count-invalid", item=self.item)
