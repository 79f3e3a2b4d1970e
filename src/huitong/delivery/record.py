"""The door *record*: one person's or firm's items by key, and yes/no verification, from a copy that is kept in step with snapshots.

A call is a use like any other: planned and decided by the gateway with the same refusals, recorded before and after, counted (each key of
a call as one call, so that a batch is no way round a quota), under the same masks and row rules. It reads the copy of exactly the
snapshot that its plan names; where that copy is not there it is answered `record-store-behind`, never with older rows.

Which datasets have a copy their managing offices say (`switch`); the copies are made by the background worker (`record_copies.py`)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from huitong.catalog.publish import refuse_unless_officer
from huitong.delivery.extract import statement
from huitong.delivery.ports import Entries, EntryLog, RecordDoorStore
from huitong.delivery.record_copies import RecordCopies
from huitong.delivery.record_limits import RecordLimits, read_record_limits
from huitong.errors import InputInvalid, NotFound, Reason, Refused
from huitong.gateway.answer import Reader
from huitong.gateway.record import KeyedRows, Lists, ReadyCalls, RecordCall, TokenMaker
from huitong.model.catalog import Dataset
from huitong.model.ledger import Door, EntryKind
from huitong.model.party import Actor
from huitong.model.query import Answer, QueryRequest
from huitong.model.records import Compared, CopyState, Key, RecordDoor, key_items, rows_copy


class Transactions(Protocol):
    """One transaction."""

    def atomic(self) -> AbstractContextManager[None]:
        """All or nothing."""
        ...


class PolicyEpoch(Protocol):
    """The counter of changed rules."""

    def bump(self) -> int:
        """One more, inside the caller's transaction."""
        ...


class Reading(Protocol):
    """The part of the gateway that records go through (`huitong.gateway.Gateway`)."""

    def read(
        self,
        request: QueryRequest,
        reader: Reader,
        *,
        actor: Actor,
        maximum_rows: int,
        seconds: float,
        calls: int,
        door: Door,
        exactly: int | None = None,
    ) -> Answer:
        """One use whose rows the reader gives."""
        ...


@dataclass(frozen=True, kw_only=True)
class RecordActions:
    """Call for records, verify them, switch the door of a dataset on and off."""

    gateway: Reading
    entries: Entries
    doors: RecordDoorStore
    copies: RecordCopies
    rows: KeyedRows
    tokens: TokenMaker
    lists: Lists
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    clock: Callable[[], datetime]
    hash_key: bytes
    """Secret of the instance under which keys and compared values stand in the ledger."""
    limits: RecordLimits = field(default_factory=read_record_limits)
    ready: ReadyCalls = field(default_factory=ReadyCalls)

    # --- calling --------------------------------------------------------------------------------------------------------

    def get(self, *, by: Actor, dataset: str, keys: Sequence[Key], purpose: str, items: Collection[str] | None = None) -> Answer:
        """The rows of these keys as the grant shows them, in the order of the keys; all granted items, or `items`.

        A key that does not exist and one whose rows lie outside what is granted give no row, and cannot be told apart. Raises Refused
        with every reason that a query of these items would meet, `rows-alone`, `record-door-off` and what is wrong with the key items
        (recorded, with its number); InputInvalid `record-keys-count`, `record-key-values`, `record-key-form`; Unavailable
        `record-store-behind`."""
        self._check_count(keys)
        named = None if not items else tuple(dict.fromkeys(items))
        shown = self._as_written(dataset, named) if named else None
        request = QueryRequest(sql=statement(dataset, self._with_key(dataset, shown), ordered=False), purpose=purpose)
        return self.gateway.read(
            request,
            self._call(keys, items=shown),
            actor=by,
            maximum_rows=self.limits.rows_of_a_call,
            seconds=self.limits.call_seconds,
            calls=len(keys),
            door=Door.RECORD,
        )

    def verify(
        self, *, by: Actor, dataset: str, keys: Sequence[Key], purpose: str, compared: Sequence[Compared]
    ) -> Answer:
        """Whether each of these keys has a visible row for which all conditions hold, as the grant shows its items: a table of `key` (its
        place in the call, from 1), `answer` (yes, no, unknown) and `seal`.

        A value that is missing, or that the grant hides, is unknown and never no; so is a record that is not visible. It takes a row of a
        quota for each key, whatever the answer. Raises as `get`, and InputInvalid `record-compared-count`, `record-value-form`."""
        self._check_count(keys)
        if not 1 <= len(compared) <= self.limits.compared_of_a_call:
            raise InputInvalid.because("record-compared-count", conditions=len(compared), limit=self.limits.compared_of_a_call)
        names = self._as_written(dataset, tuple(one.item for one in compared))
        request = QueryRequest(sql=statement(dataset, self._with_key(dataset, tuple(dict.fromkeys(names))), ordered=False), purpose=purpose)
        said = [replace(one, item=name) for one, name in zip(compared, names, strict=True)]
        return self.gateway.read(
            request,
            self._call(keys, compared=said),
            actor=by,
            maximum_rows=self.limits.rows_of_a_call,
            seconds=self.limits.call_seconds,
            calls=len(keys),
            door=Door.VERIFICATION,
            exactly=len(keys),
        )

    def _check_count(self, keys: Sequence[Key]) -> None:
        if not 1 <= len(keys) <= self.limits.keys_of_a_call:
            raise InputInvalid.because("record-keys-count", keys=len(keys), limit=self.limits.keys_of_a_call)

    def _call(
        self, keys: Sequence[Key], *, items: Sequence[str] | None = None, compared: Sequence[Compared] | None = None
    ) -> RecordCall:
        return RecordCall(
            keys=keys,
            rows=self.rows,
            tokens=self.tokens,
            lists=self.lists,
            hash_key=self.hash_key,
            key_characters=self.limits.key_characters,
            sandbox_level_at_most=self.limits.sandbox_level_at_most,
            items=items,
            compared=compared,
            is_on=self._is_on,
            ready=self.ready,
        )

    def _is_on(self, dataset: str) -> bool:
        door = self.doors.record_door(dataset)
        return door is not None and door.on

    def _as_written(self, dataset: str, items: Sequence[str]) -> tuple[str, ...]:
        """The items in the letters of the entry; names that it does not know stay as they are, for the gateway to refuse."""
        entry = self.entries.dataset(dataset)
        known = {item.name.lower(): item.name for item in entry.items} if entry else {}
        return tuple(known.get(name.lower(), name) for name in items)

    def _with_key(self, dataset: str, items: Sequence[str] | None) -> Sequence[str]:
        """The items that the call uses: who calls for a record by an item uses that item. None: all that are granted."""
        if items is None:
            return ()
        entry = self.entries.dataset(dataset)
        return tuple(dict.fromkeys((*items, *(item.name for item in key_items(entry))))) if entry else items

    # --- the door of a dataset --------------------------------------------------------------------------------------------

    def switch(self, dataset_id: str, *, on: bool, by: Actor) -> RecordDoor:
        """Switch the door of a dataset on or off; a data officer of its managing office does. Switching off removes the copies, at once for
        every call and from the disk by the worker.

        Raises NotFound `dataset-unknown`; Refused `role-missing`, `dataset-of-other-office`, `dataset-not-shared`; InputInvalid
        `record-key-undeclared`, `record-key-unfit` where it declares nothing that records could be found by."""
        with self.transactions.atomic():
            self.epoch.bump()
            dataset = self._known(dataset_id, by)
            refuse_unless_officer(by, dataset.provider, dataset.id)
            if on:
                self._refuse_without_key(dataset)
            before = self.doors.record_door(dataset.id)
            if before is not None and before.on is on:
                return self._told(dataset, before)
            door = RecordDoor(dataset.id, on, self.clock(), by.person, state=CopyState.WAITING if on else CopyState.OFF)
            self.doors.put_record_door(door)
            body = {"dataset": dataset.id, "on": on, "actor": by.person, "office": by.office, "post": by.post}
            self.ledger.append(kind=EntryKind.RECORD_DOOR_SWITCHED, body=body)
        return self._told(dataset, door)

    def door(self, dataset_id: str, *, by: Actor) -> RecordDoor:
        """Whether the door of a dataset is on and where its copy stands; for everyone who may know of the dataset.

        Raises NotFound `dataset-unknown`."""
        dataset = self._known(dataset_id, by)
        found = self.doors.record_door(dataset.id)
        return self._told(dataset, found or RecordDoor(dataset.id, False, self.clock(), "", state=CopyState.OFF))

    def _told(self, dataset: Dataset, door: RecordDoor) -> RecordDoor:
        """What the worker said last, if that is about the copy that a call would read now."""
        if not door.on:
            return replace(door, state=CopyState.OFF)
        snapshot = self.entries.current_snapshot(dataset.id)
        if snapshot is None:
            return replace(door, version=None, state=CopyState.WAITING, reasons=())
        shape = rows_copy(dataset, snapshot.version).shape
        if (door.version, door.shape) == (snapshot.version, shape):
            return door
        return replace(door, version=snapshot.version, shape=shape, state=CopyState.WAITING, rows=0, reasons=())

    def _known(self, dataset_id: str, by: Actor) -> Dataset:
        dataset = self.entries.dataset(dataset_id)
        if dataset is None or not dataset.is_known_to(by.office):
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return dataset

    def _refuse_without_key(self, dataset: Dataset) -> None:
        about: Mapping[str, Any] = {"dataset": dataset.id, "provider": dataset.provider}
        if dataset.sharing.value == "not-shared":
            raise Refused.because("dataset-not-shared", **about)
        faults = [] if key_items(dataset) else [Reason("record-key-undeclared", about)]
        for item in key_items(dataset):
            if item.type.value == "decimal":
                faults.append(Reason("record-key-unfit", {**about, "item": item.name, "type": item.type.value}))
        if faults:
            raise InputInvalid(*faults)
