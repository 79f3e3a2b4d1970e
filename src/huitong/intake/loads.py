"""What a load is asked for and what became of it: options, rejected rows, changes of the items, the outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from huitong.errors import Conflict, InputInvalid, Reason
from huitong.intake.source import Reading
from huitong.model.catalog import Dataset, ItemType, LoadMode, Snapshot

Progress = Callable[[int, int | None], None]
"""Rows done so far and, if known or well estimated, rows in all; called in the thread of the load's caller."""

PRIMARY_KEY = "primary-key"
"""The name under which a change of the primary key is allowed; no item can be called so."""


@dataclass(frozen=True)
class LoadOptions:
    """How the rows are taken."""

    mode: LoadMode = LoadMode.REPLACE
    reject_limit: int = 0
    """Rows that may be left out because they do not fit; one more, and nothing is taken."""
    allow_changes: frozenset[str] = frozenset()
    """Items (and `primary-key`) that may be other than in the snapshot before."""
    seconds: float | None = None
    """Time for the whole load; None: `load_seconds` of `limits.toml`."""
    keep_rows: bool = True
    """Whether rejected rows are kept as text for the managing office; without it their lines and reasons alone."""

    def __post_init__(self) -> None:
        if self.reject_limit < 0:
            raise InputInvalid.because("reject-limit-invalid", limit=self.reject_limit)


@dataclass(frozen=True)
class Reject:
    """Why a row was left out: its line (row number in Parquet, a sheet, a database), the item, a reason code."""

    line: int
    reason: str
    item: str | None = None
    row: str | None = field(default=None, repr=False)
    """The row as it was read. Only in the reject table, for the managing office; never in an error, a log or a `Loading`."""


class ChangeKind(StrEnum):
    """How an item of the entry differs from the snapshot before."""

    ADDED = "added"
    GONE = "gone"
    RETYPED = "retyped"
    KEY = "key"


@dataclass(frozen=True)
class Change:
    """One difference between what the snapshot before holds and what the entry says now."""

    kind: ChangeKind
    item: str
    """The item, or `primary-key`: also the name by which it is allowed."""
    before: str | None = None
    now: str | None = None

    @property
    def reason(self) -> Reason:
        """In words."""
        about = {"item": self.item, "before": self.before or "-", "now": self.now or "-"}
        wanted = {
            ChangeKind.ADDED: ("item", "now"),
            ChangeKind.GONE: ("item", "before"),
            ChangeKind.RETYPED: ("item", "before", "now"),
            ChangeKind.KEY: ("before", "now"),
        }[self.kind]
        return Reason(f"change-{self.kind.value}", {name: about[name] for name in wanted})


@dataclass(frozen=True)
class Loading:
    """What became of a source."""

    snapshot: Snapshot
    rejects: tuple[Reject, ...]
    """The first rejected values, in order of lines, without their rows."""
    reject_file: Path | None
    """The reject table in the lake; None if every row fitted."""
    reading: Reading
    changes: tuple[Change, ...]
    """What is other than in the snapshot before, all of it allowed."""


def changes(old: Snapshot | None, dataset: Dataset, *, old_key: Sequence[str] | None = None) -> tuple[Change, ...]:
    """How the entry differs from what the snapshot holds, item by item. `old_key` is the primary key it was taken with, if known.

    Nothing for the first snapshot and for one taken before items were noted with it."""
    if old is None or not old.columns:
        return ()
    found = list(changes_of_columns(old.columns, [(item.name, item.type) for item in dataset.items]))
    if old_key is not None and tuple(old_key) != dataset.primary_key:
        found.append(Change(ChangeKind.KEY, PRIMARY_KEY, ", ".join(old_key) or "-", ", ".join(dataset.primary_key) or "-"))
    return tuple(found)


def changes_of_columns(old: Sequence[tuple[str, ItemType]], new: Sequence[tuple[str, ItemType]]) -> tuple[Change, ...]:
    """How the items of one snapshot differ from those of another."""
    before, now = dict(old), dict(new)
    found = [Change(ChangeKind.ADDED, name, None, kind.value) for name, kind in now.items() if name not in before]
    found += [Change(ChangeKind.GONE, name, kind.value) for name, kind in before.items() if name not in now]
    found += [
        Change(ChangeKind.RETYPED, name, kind.value, now[name].value)
        for name, kind in before.items()
        if name in now and now[name] is not kind
    ]
    return tuple(found)


def refuse_changes(found: Sequence[Change], dataset: Dataset, allowed: frozenset[str]) -> None:
    """Raise Conflict `schema-changed`, followed by each change that is not allowed by its name."""
    names = {name.lower() for name in allowed}
    others = [change for change in found if change.item.lower() not in names]
    if others:
        raise Conflict(Reason("schema-changed", {"dataset": dataset.id, "changes": len(others)}), *(one.reason for one in others))
