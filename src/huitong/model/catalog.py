"""What there is: datasets, their items, and the snapshots of their tables (dcat:Dataset, csvw:Column)."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum

from huitong.errors import InputInvalid
from huitong.model.codes import is_dataset_name, is_item_name
from huitong.model.text import BilingualText


class Sharing(StrEnum):
    """Sharing type of the national catalogue compilation guide (2017)."""

    UNCONDITIONAL = "unconditional"
    CONDITIONAL = "conditional"
    NOT_SHARED = "not-shared"


class Openness(StrEnum):
    """Whether the public may have it, by the same guide."""

    OPEN = "open"
    CONDITIONAL = "conditional"
    NOT_OPEN = "not-open"


class UpdateCycle(StrEnum):
    """How often the providing office promises a new snapshot."""

    REAL_TIME = "real-time"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"
    IRREGULAR = "irregular"
    ONCE = "once"


class Grade(IntEnum):
    """Sensitivity of an item, low to high. Four sub-grades of general data in the manner of GB/T 43697-2024 annex H;
    the titles are the instance's own scheme and are to be checked against the text of the standard."""

    PUBLIC = 1
    INTERNAL = 2
    SENSITIVE = 3
    HIGHLY_SENSITIVE = 4


class ItemType(StrEnum):
    """Logical type of an item. Codes, identifiers and phone numbers are text, always."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"


@dataclass(frozen=True)
class Item:
    """One information item of a dataset."""

    name: str
    title: BilingualText
    type: ItemType
    grade: Grade
    meaning: str | None = None
    """Semantic type, e.g. `resident-id`, `division-code`, `person-name`, `phone`, `money-fen`; None if plain."""

    def __post_init__(self) -> None:
        if not is_item_name(self.name):
            raise InputInvalid.because("item-name-invalid", item=self.name)


@dataclass(frozen=True)
class Dataset:
    """A catalogue entry: what it is, who answers for it, on what conditions it is shared."""

    id: str
    """The name used in SQL, e.g. `civil.household`; stable for ever."""
    title: BilingualText
    abstract: BilingualText
    classification: str
    """Classification code of the national guide plus serial, e.g. `3-01-0101/000001`."""
    provider: str
    """Managing office: who manages is responsible."""
    collector: str
    """Collecting office: who collects is responsible."""
    sharing: Sharing
    sharing_basis: str
    """The clause that makes it conditional or not shared; for unconditional, that of the duty to share."""
    sharing_condition: BilingualText | None
    openness: Openness
    update_cycle: UpdateCycle
    items: tuple[Item, ...]
    published_on: date | None = None
    key: str | None = None
    """Item that identifies an entity (a person, a household), if the dataset has one."""
    division_item: str | None = None
    """Item that holds the division code of a row: what `rows` of a grant cut by."""
    source: str | None = None
    """Where the rows come from and under which licence, if not from the office itself; says so when synthetic."""

    def __post_init__(self) -> None:
        if not is_dataset_name(self.id):
            raise InputInvalid.because("dataset-name-invalid", dataset=self.id)
        names = [item.name.lower() for item in self.items]
        if not names:
            raise InputInvalid.because("dataset-without-items", dataset=self.id)
        for name in names:
            if names.count(name) > 1:
                raise InputInvalid.because("item-name-twice", dataset=self.id, item=name)
        for reference in (self.key, self.division_item):
            if reference is not None and self.item(reference) is None:
                raise InputInvalid.because("item-unknown", dataset=self.id, item=reference)
        if self.sharing is Sharing.CONDITIONAL and self.sharing_condition is None:
            raise InputInvalid.because("sharing-condition-missing", dataset=self.id)
        if not self.sharing_basis.strip():
            raise InputInvalid.because("sharing-basis-missing", dataset=self.id)

    def item(self, name: str) -> Item | None:
        """The item of that name, whatever the letter case; None if there is none."""
        return next((item for item in self.items if item.name.lower() == name.lower()), None)

    @property
    def grade(self) -> Grade:
        """The highest grade of its items: take the higher."""
        return max(item.grade for item in self.items)


@dataclass(frozen=True)
class SnapshotFile:
    """One Parquet file of a snapshot; `path` is relative to the lake's folder."""

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Snapshot:
    """An immutable version of a dataset's table (a Delta Lake version)."""

    dataset: str
    version: int
    files: tuple[SnapshotFile, ...]
    rows: int
    taken_at: datetime
    source_hash: str
    """SHA-256 of the bytes that were loaded, in hex."""
    rejected_rows: int = 0
