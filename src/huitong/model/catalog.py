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
    """Rank of sensitivity of an item, low to high: the ladder on which every grading scheme puts its grades.

    Ranks 1 to 4 are sub-grades of general data in the manner of GB/T 43697-2024 annex H, 5 and 6 its important and core data.
    What a grade is called and what it asks for is data: `huitong.policy.grading`."""

    PUBLIC = 1
    INTERNAL = 2
    SENSITIVE = 3
    HIGHLY_SENSITIVE = 4
    IMPORTANT = 5
    CORE = 6


class ResourceFormat(StrEnum):
    """In which form the providing office holds the resource (national guide of 2017: format of the information resource)."""

    DATABASE = "database"
    SPREADSHEET = "spreadsheet"
    TEXT = "text"
    DOCUMENT = "document"
    IMAGE = "image"
    MEDIA = "media"
    GEOGRAPHIC = "geographic"
    SERVICE = "service"


class SharingManner(StrEnum):
    """How it is shared (national guide of 2017: manner of sharing), always through the platform."""

    QUERY = "query"
    INTERFACE = "interface"
    FILE = "file"


class Visibility(StrEnum):
    """Who may know that the entry exists. Its managing and collecting offices always do."""

    EVERYONE = "everyone"
    OFFICES = "offices"
    """Whoever is signed in with a post of an office."""
    NAMED = "named"
    """The offices of `known_to` alone."""


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
    legal_basis: str | None = None
    """The clause under which it is collected, if another than the dataset's."""
    collector: str | None = None
    """Its collecting office, if another than the dataset's: whoever collects is responsible."""
    derived_from: tuple[str, ...] = ()
    """The items it was made of, each as `dataset#item` (prov:wasDerivedFrom); its grade follows theirs."""

    def __post_init__(self) -> None:
        if not is_item_name(self.name):
            raise InputInvalid.because("item-name-invalid", item=self.name)
        for source in self.derived_from:
            dataset, _, item = source.partition("#")
            if not is_dataset_name(dataset) or not is_item_name(item):
                raise InputInvalid.because("item-source-invalid", item=self.name, source=source)


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
    format: ResourceFormat = ResourceFormat.DATABASE
    sharing_manner: SharingManner = SharingManner.QUERY
    openness_condition: BilingualText | None = None
    """On what condition the public may have it, if its openness is conditional."""
    legal_basis: str | None = None
    """The clause under which the data are collected."""
    related: tuple[str, ...] = ()
    """Classification codes of related information resources."""
    primary_key: tuple[str, ...] = ()
    """Items that together tell each row from every other (csvw:primaryKey); what a merge goes by."""
    derived_from: tuple[str, ...] = ()
    """Datasets it was made of (prov:wasDerivedFrom)."""
    visibility: Visibility = Visibility.EVERYONE
    known_to: tuple[str, ...] = ()
    """Offices that may know of it, beside its own, if it is known to named offices."""
    spatial: str | None = None
    """Division (12 digits) that the rows cover, if one (dct:spatial)."""
    licence: str | None = None
    """SPDX identifier of the licence, where the public may have it."""
    keep_days: int | None = None
    """Days for which a superseded snapshot is kept; None: what the storage rule of its grade says."""

    def __post_init__(self) -> None:
        if not is_dataset_name(self.id):
            raise InputInvalid.because("dataset-name-invalid", dataset=self.id)
        names = [item.name.lower() for item in self.items]
        if not names:
            raise InputInvalid.because("dataset-without-items", dataset=self.id)
        for name in names:
            if names.count(name) > 1:
                raise InputInvalid.because("item-name-twice", dataset=self.id, item=name)
        for reference in (self.key, self.division_item, *self.primary_key):
            if reference is not None and self.item(reference) is None:
                raise InputInvalid.because("item-unknown", dataset=self.id, item=reference)
        if self.sharing is Sharing.CONDITIONAL and self.sharing_condition is None:
            raise InputInvalid.because("sharing-condition-missing", dataset=self.id)
        if not self.sharing_basis.strip():
            raise InputInvalid.because("sharing-basis-missing", dataset=self.id)
        if self.known_to and self.visibility is not Visibility.NAMED:
            raise InputInvalid.because("known-to-without-named", dataset=self.id, visibility=self.visibility.value)
        if self.keep_days is not None and self.keep_days < 0:
            raise InputInvalid.because("keep-days-invalid", dataset=self.id, days=self.keep_days)
        for source in self.derived_from:
            if not is_dataset_name(source) or source == self.id:
                raise InputInvalid.because("dataset-source-invalid", dataset=self.id, source=source)

    def item(self, name: str) -> Item | None:
        """The item of that name, whatever the letter case; None if there is none."""
        return next((item for item in self.items if item.name.lower() == name.lower()), None)

    @property
    def grade(self) -> Grade:
        """The highest grade of its items: take the higher. What items together make of it is `policy.grading.effective_grade`."""
        return max(item.grade for item in self.items)

    def is_known_to(self, office: str | None) -> bool:
        """Whether someone acting for that office (None: nobody in particular) may know that the entry exists."""
        if self.visibility is Visibility.EVERYONE:
            return True
        if office is None:
            return False
        return self.visibility is Visibility.OFFICES or office in (self.provider, self.collector, *self.known_to)


@dataclass(frozen=True)
class SnapshotFile:
    """One Parquet file of a snapshot; `path` is relative to the lake's folder."""

    path: str
    rows: int
    bytes: int


class LoadMode(StrEnum):
    """What a load does with the rows of the snapshot before it."""

    REPLACE = "replace"
    APPEND = "append"
    MERGE = "merge"
    """Rows of an equal primary key are replaced, the others added."""


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
    mode: LoadMode = LoadMode.REPLACE
    columns: tuple[tuple[str, ItemType], ...] = ()
    """The items it holds, with their types, in order; empty for one that was taken before this was noted."""
    removed_at: datetime | None = None
    """When its files were removed, by retention or by law; None while it can be read."""
