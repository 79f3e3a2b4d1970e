"""The copies by key are made here: of the current snapshot of every dataset whose door is on, by the background worker.

One copy of the rows, and one for each linkage group in which a grant shows a key item as a pseudonym, from tokens to values. A copy is
there whole or not at all (`keyed.py`), so a run that is killed leaves nothing to clean up but a file without a name, and is begun again.
What is not wanted any more goes first: older snapshots, other shapes, doors that were switched off; and, called by an erasure, at once."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from huitong.delivery.keyed import KeyedRow, KeyedStore
from huitong.delivery.ports import Entries, RecordDoorStore
from huitong.delivery.record_limits import RecordLimits, read_record_limits
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Reason, Unavailable
from huitong.gateway.record import packed, packed_key
from huitong.lake.keyed_rows import keyed_rows
from huitong.lake.leases import Marks
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Item, Snapshot
from huitong.model.policy import Grant, GrantState, MaskKind
from huitong.model.pseudonym import KeyEpoch
from huitong.model.records import CopyName, CopyState, RecordDoor, copies_of, key_items, rows_copy, tokens_copy

_LOG = logging.getLogger("huitong.delivery")


class DatasetGrants(Protocol):
    """Finds the grants over a dataset."""

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        """In these states, of every office."""
        ...


class ManyTokens(Protocol):
    """Makes tokens (`huitong.lake.side_tables.SideTables`)."""

    def epoch(self, linkage_group: str) -> KeyEpoch:
        """The key epoch in force."""
        ...

    def tokens_of(self, epoch: KeyEpoch, identifiers: pa.StringArray) -> pa.Int64Array:
        """The tokens of many identifiers, none of them missing."""
        ...


class Transactions(Protocol):
    """One transaction."""

    def atomic(self) -> AbstractContextManager[None]:
        """All or nothing."""
        ...


class _StoppedError(Exception):
    """The worker ends: what was begun is begun again by the next."""


@dataclass(frozen=True, kw_only=True)
class RecordCopies:
    """Keeps the copies in step."""

    doors: RecordDoorStore
    entries: Entries
    grants: DatasetGrants
    lake: Lake
    tokens: ManyTokens
    store: KeyedStore
    transactions: Transactions
    clock: Callable[[], datetime]
    folder: Path
    """Where it is marked which copies are being made, so that two workers do not make one."""
    limits: RecordLimits = field(default_factory=read_record_limits)

    def keep_up(self, *, stop: Callable[[], bool] = lambda: False) -> Sequence[str]:
        """Remove what is not wanted any more, then make what is missing, dataset by dataset; names of the datasets of which something was
        made. For the worker, or in line. What goes wrong is kept with the door; nothing is raised for that."""
        doors = [door for door in self.doors.record_doors() if door.on]
        wanted = {door.dataset: copies for door in doors if (copies := self._wanted(door.dataset)) is not None}
        self._remove({copy.text for copies in wanted.values() for copy in copies.every})
        made = []
        for door in doors:
            if stop():
                break
            copies = wanted.get(door.dataset)
            if copies is not None and self._make(door, copies, stop):
                made.append(door.dataset)
        return made

    def erase(self, datasets: Collection[str]) -> None:
        """Remove every copy of these datasets but that of the current snapshot: for an erasure, which has written that one anew."""
        for dataset in datasets:
            snapshot = self.entries.current_snapshot(dataset)
            keeps = f"{copies_of(dataset)}{snapshot.version if snapshot else '-'}_"
            for name in self.store.names():
                if name.startswith(copies_of(dataset)) and not name.startswith(keeps):
                    self.store.remove(name)

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _wanted(self, dataset_id: str) -> "_Wanted | None":
        """The copies that calls would read now; None if there is nothing to copy."""
        dataset, snapshot = self.entries.dataset(dataset_id), self.entries.current_snapshot(dataset_id)
        if dataset is None or snapshot is None or not key_items(dataset):
            return None
        now = self.clock()
        tokens: dict[CopyName, tuple[KeyEpoch, Item]] = {}
        for grant in self.grants.grants_of_dataset(dataset.id, (GrantState.PREPARING, GrantState.ACTIVE)):
            shown_as_token = {term.item.lower() for term in grant.terms.items if term.mask.kind is MaskKind.PSEUDONYM}
            for item in key_items(dataset):
                if now < grant.terms.valid_until and item.name.lower() in shown_as_token:
                    epoch = self.tokens.epoch(grant.terms.linkage_group)
                    tokens[tokens_copy(dataset, snapshot.version, epoch, item.name)] = (epoch, item)
        return _Wanted(dataset, snapshot, rows_copy(dataset, snapshot.version), tokens)

    def _remove(self, wanted: Collection[str]) -> None:
        for name in self.store.names():
            if name not in wanted:
                # a worker that makes a copy of what has just become old finds out by itself: its name is taken by nobody
                self.store.remove(name)

    def _make(self, door: RecordDoor, wanted: "_Wanted", stop: Callable[[], bool]) -> bool:
        missing = [copy for copy in wanted.every if not self.store.holds(copy)]
        about = (wanted.snapshot.version, wanted.rows.shape)
        same = (door.version, door.shape) == about
        if not missing and same and door.state is CopyState.READY:
            return False
        if same and door.state is CopyState.FAILED and not self._again(door):
            return False
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        marks = Marks(self.folder)
        busy = Conflict(Reason("record-copy-running", {"dataset": door.dataset}))
        try:
            with marks.held(copies_of(door.dataset), otherwise=busy):
                self._make_missing(door, wanted, missing, stop)
        except (Conflict, _StoppedError):
            return False
        return True

    def _again(self, door: RecordDoor) -> bool:
        passing = all(reason.code == "record-copy-not-made" for reason in door.reasons)
        over = timedelta(seconds=self.limits.again_seconds)
        return passing and (door.noted_at is None or self.clock() - door.noted_at >= over)

    def _make_missing(
        self, door: RecordDoor, wanted: "_Wanted", missing: Sequence[CopyName], stop: Callable[[], bool]
    ) -> None:
        noted = _Noted(self, replace(door, version=wanted.snapshot.version, shape=wanted.rows.shape, reasons=()), wanted)
        try:
            for copy in missing:
                if copy == wanted.rows:
                    noted.note(CopyState.RUNNING)
                    self.store.write(copy, self._rows(wanted, noted, stop))
                else:
                    self.store.write(copy, self._tokens(wanted, *wanted.tokens[copy], stop))
            noted.note(CopyState.READY)
        except _StoppedError:
            noted.note(CopyState.WAITING)
            raise
        except NotFound:  # the snapshot was removed meanwhile, so another has come: the next round sees it
            noted.note(CopyState.WAITING)
        except HuitongError as failure:
            passing = isinstance(failure, Unavailable)
            reasons = (Reason("record-copy-not-made", {"dataset": door.dataset}),) if passing else failure.reasons
            noted.note(CopyState.FAILED, reasons=reasons)
        except Exception as failure:
            _LOG.error("records of %s could not be copied: %s", door.dataset, type(failure).__name__)
            noted.note(CopyState.FAILED, reasons=(Reason("record-copy-not-made", {"dataset": door.dataset}),))

    def _rows(self, wanted: "_Wanted", noted: "_Noted", stop: Callable[[], bool]) -> Iterator[KeyedRow]:
        key = key_items(wanted.dataset)
        places = [next(n for n, item in enumerate(wanted.dataset.items) if item.name == one.name) for one in key]
        before, number, done, keyless = b"", 0, 0, 0
        batches = keyed_rows(self.lake, wanted.dataset, wanted.snapshot, key=key, rows_at_once=self.limits.rows_at_once)
        for batch in batches:
            if stop():
                raise _StoppedError
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                packed_one = packed_key([row[place] for place in places])
                if packed_one is None:
                    keyless += 1
                    continue
                number = number + 1 if packed_one == before else 0
                if number >= self.limits.rows_of_a_key:
                    names = ", ".join(one.name for one in key)
                    raise InputInvalid.because(
                        "record-key-crowded", dataset=wanted.dataset.id, items=names, limit=self.limits.rows_of_a_key
                    )
                before = packed_one
                yield packed_one, number, packed(row)
            done += batch.num_rows
            noted.progress(done, keyless)

    def _tokens(self, wanted: "_Wanted", epoch: KeyEpoch, item: Item, stop: Callable[[], bool]) -> Iterator[KeyedRow]:
        """Each value once, with its token in front. The values come sorted, so equal ones follow each other."""
        only = replace(wanted.dataset, items=(item,), key=item.name, primary_key=(), division_item=None)
        before: str | None = None
        for batch in keyed_rows(self.lake, only, wanted.snapshot, key=(item,), rows_at_once=self.limits.rows_at_once):
            if stop():
                raise _StoppedError
            values = pc.unique(batch.column(0).cast(pa.string()).drop_null())
            made = self.tokens.tokens_of(epoch, values)
            for value, token in zip(values.to_pylist(), made.to_pylist(), strict=True):
                if value != before:
                    yield str(token).encode(), 0, value.encode()
                before = value


@dataclass(frozen=True)
class _Wanted:
    """What calls for one dataset would read now."""

    dataset: Dataset
    snapshot: Snapshot
    rows: CopyName
    tokens: Mapping[CopyName, tuple[KeyEpoch, Item]]

    @property
    def every(self) -> tuple[CopyName, ...]:
        return (self.rows, *self.tokens)


class _Noted:
    """What the door says of the copy that is being made: at its beginning, at most once a second, at its end."""

    def __init__(self, copies: RecordCopies, door: RecordDoor, wanted: _Wanted) -> None:
        self._copies = copies
        self._door = replace(door, rows_expected=wanted.snapshot.rows)
        self._last = time.monotonic()

    def progress(self, rows: int, without_key: int) -> None:
        """So many rows were read."""
        self._door = replace(self._door, rows=rows, rows_without_key=without_key)
        if time.monotonic() - self._last >= 1.0:
            self._last = time.monotonic()
            self.note(CopyState.RUNNING)

    def note(self, state: CopyState, *, reasons: tuple[Reason, ...] = ()) -> None:
        """Keep it, unless the door was switched meanwhile."""
        self._door = replace(self._door, state=state, reasons=reasons, noted_at=self._copies.clock())
        with self._copies.transactions.atomic():
            self._copies.doors.note_record_copy(self._door)
