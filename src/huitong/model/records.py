"""Records: rows of a dataset that are found by their key, and where the copy stands that they are read from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Item
from huitong.model.pseudonym import KeyEpoch

_NAME_CHARACTERS = 16


def key_items(dataset: Dataset) -> tuple[Item, ...]:
    """The items by which records of the dataset are found: the one that identifies an entity, else its primary key; empty if it
    declares neither."""
    names = (dataset.key,) if dataset.key is not None else dataset.primary_key
    return tuple(item for name in names if (item := dataset.item(name)) is not None)


@dataclass(frozen=True)
class CopyName:
    """Which copy it is: of one snapshot of one dataset, in one shape. Its text says nothing about the dataset to who sees it."""

    dataset: str
    version: int
    shape: str

    @cached_property
    def text(self) -> str:
        """The name of a file or table: letters, digits and underscores."""
        return f"{copies_of(self.dataset)}{self.version}_{self.shape}"


def copies_of(dataset_id: str) -> str:
    """How the names of all copies of a dataset begin."""
    return f"huitong_record_{_short(dataset_id)}_"


def rows_copy(dataset: Dataset, version: int) -> CopyName:
    """The copy of the rows: another one as soon as the entry has other items, types or another key."""
    items = [[item.name, item.type.value] for item in dataset.items]
    return CopyName(dataset.id, version, "r" + _short(json.dumps([_key_names(dataset), items])))


def tokens_copy(dataset: Dataset, version: int, epoch: KeyEpoch, item: str) -> CopyName:
    """The copy that leads from the tokens of a linkage group, in one key epoch, to the values of an item."""
    kinds = [one.type.value for one in dataset.items if one.name == item]
    return CopyName(dataset.id, version, "t" + _short(json.dumps([*epoch.tokens, item, kinds])))


def _key_names(dataset: Dataset) -> list[str]:
    return [item.name for item in key_items(dataset)]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_NAME_CHARACTERS]


class CopyState(StrEnum):
    """Where the copy of the current snapshot stands."""

    OFF = "off"
    """The managing office has not switched the door on."""
    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class RecordDoor:
    """Whether records of a dataset may be called for at all, as its managing office switched it; and what the worker said last."""

    dataset: str
    on: bool
    changed_at: datetime
    changed_by: str
    version: int | None = None
    """Snapshot that the state is about."""
    shape: str = ""
    """`CopyName.shape` of it."""
    state: CopyState = CopyState.WAITING
    rows: int = 0
    """Rows copied so far."""
    rows_expected: int = 0
    rows_without_key: int = 0
    """Rows that nobody can call for, because an item of their key is missing."""
    reasons: tuple[Reason, ...] = ()
    """Why no copy could be made."""
    noted_at: datetime | None = None
    """When the worker said so."""


@dataclass(frozen=True)
class Compared:
    """One condition of a verification: the item holds this value, as the grant shows it."""

    item: str
    value: str


class Verified(StrEnum):
    """What a verification tells of one record."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """A value that decides is missing, or no such record is visible: nobody can tell which."""


Key = Sequence[str]
"""The values of the key items, in the order of the entry, in the form in which the grant shows them."""
