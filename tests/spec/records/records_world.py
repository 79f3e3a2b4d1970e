"""The door of records over the small governed world: real copies in a folder, the real gateway, its own entries and rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.spec.governed.governed_world import MASTER, NOW, World

from huitong.delivery.keyed import KeyedStore, SqliteKeyedStore
from huitong.delivery.record import RecordActions
from huitong.delivery.record_copies import RecordCopies
from huitong.delivery.record_limits import read_record_limits
from huitong.lake.keyed_rows import KeptLists
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.ledger import EntryKind
from huitong.model.policy import Grant, GrantState
from huitong.model.records import CopyState, RecordDoor
from huitong.testing import MemoryDeliveryStore, MemoryEpoch


@dataclass
class Entries:
    """What the world has, for the door."""

    world: World

    def dataset(self, dataset_id: str) -> Dataset | None:
        return self.world.dataset(dataset_id)

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        return self.world.current_snapshot(dataset_id)

    def snapshot(self, dataset_id: str, version: int) -> Snapshot | None:
        return self.world.current_snapshot(dataset_id)

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        return [grant for grant in self.world.grants if grant.dataset == dataset_id and grant.state in states]


def records_over(world: World, folder: Path, *, store: KeyedStore | None = None, **limits: Any) -> RecordActions:
    """The door, with the doors of all datasets of the world on."""
    entries, lake = Entries(world), Lake(world.lake, world.clock)
    doors = MemoryDeliveryStore(world.transactions)
    side_tables = SideTables(world.lake, lake=lake, master_key=lambda _number: MASTER)
    allowed = replace(read_record_limits(), **limits)
    keyed = store or SqliteKeyedStore(folder, open_copies=8)
    for name in world.published:
        doors.put_record_door(RecordDoor(name, True, NOW, "officer", state=CopyState.WAITING))
    copies = RecordCopies(
        doors=doors,
        entries=entries,
        grants=entries,
        lake=lake,
        tokens=side_tables,
        store=keyed,
        transactions=world.transactions,
        clock=world.clock,
        folder=folder / "making",
        limits=allowed,
    )
    return RecordActions(
        gateway=world.gateway,
        entries=entries,
        doors=doors,
        copies=copies,
        rows=keyed,
        tokens=side_tables,
        lists=KeptLists(lake),
        transactions=world.transactions,
        epoch=MemoryEpoch(world.transactions),
        ledger=world.book,
        clock=world.clock,
        hash_key=b"h" * 32,
        limits=allowed,
    )


def bodies(world: World, kind: EntryKind) -> list[Any]:
    """What the ledger was told of that kind."""
    return [body for told, body in world.book.entries if told is kind]
