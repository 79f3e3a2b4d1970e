"""What delivery needs from storage: implemented once by the portal's stores, and in memory by `huitong.testing`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from huitong.model.catalog import Dataset, Snapshot
from huitong.model.delivery import Address, DeliveryMark, Extract, ExtractState
from huitong.model.ledger import EntryKind, Promise
from huitong.model.party import Actor
from huitong.model.policy import Grant
from huitong.model.records import RecordDoor


class ExtractStore(Protocol):
    """Extracts. Changing methods but `progress` are called inside `Transactions.atomic()`."""

    def add_extract(self, extract: Extract) -> None:
        """Keep a new one. Raises Conflict `extract-exists` if one of the same key waits, runs or is ready."""
        ...

    def extract(self, extract_id: str) -> Extract | None:
        """The extract of that id, in any state."""
        ...

    def same_extract(self, key: tuple[str, int, str, str]) -> Extract | None:
        """The extract of that key (`Extract.key`) that waits, runs or is ready; there is at most one."""
        ...

    def change_extract(self, extract: Extract, *, expected_state: ExtractState) -> None:
        """Replace what is kept of it. Raises Conflict `extract-moved` if it is not in that state."""
        ...

    def progress(self, extract_id: str, rows: int) -> None:
        """Note how many rows were written so far, while it runs."""
        ...

    def extracts_of(self, office: str, *, limit: int = 50, offset: int = 0) -> tuple[Sequence[Extract], int]:
        """Extracts of the using office, newest first; and how many in all."""
        ...

    def extracts_in(self, states: Collection[ExtractState], *, office: str | None = None) -> Sequence[Extract]:
        """Extracts in these states (of that office), oldest first."""
        ...


class AddressStore(Protocol):
    """Signed addresses. Changing methods are called inside `Transactions.atomic()`."""

    def add_address(self, address: Address) -> None:
        """Keep a new one."""
        ...

    def address(self, address_id: str) -> Address | None:
        """The address of that id."""
        ...

    def mark_address(self, address_id: str, mark: DeliveryMark) -> bool:
        """Note that something happened; whether it is the first time. Of two at once one is the first."""
        ...

    def forget_addresses(self, before: datetime) -> int:
        """Forget addresses that expired before that instant; how many."""
        ...


class RecordDoorStore(Protocol):
    """Doors of records. Changing methods are called inside `Transactions.atomic()`."""

    def record_door(self, dataset_id: str) -> RecordDoor | None:
        """The door of a dataset; None if it was never switched."""
        ...

    def record_doors(self) -> Sequence[RecordDoor]:
        """All that were ever switched, by dataset."""
        ...

    def put_record_door(self, door: RecordDoor) -> None:
        """Keep how it was switched, and forget what was said of its copy."""
        ...

    def note_record_copy(self, door: RecordDoor) -> None:
        """Keep what is said of its copy, if the door is as it was then (`on`, `changed_at`)."""
        ...


class DeliveryStore(ExtractStore, AddressStore, RecordDoorStore, Protocol):
    """All in one."""


class Entries(Protocol):
    """Finds catalogue entries and snapshots."""

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The entry in force."""
        ...

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        """The newest snapshot."""
        ...

    def snapshot(self, dataset_id: str, version: int) -> Snapshot | None:
        """That snapshot."""
        ...


class GrantsById(Protocol):
    """Finds a grant."""

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id, in any state."""
        ...


class People(Protocol):
    """Knows who acts in which post now."""

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts that the person holds now, each as the actor it makes."""
        ...


class EntryLog(Protocol):
    """The writing side of the ledger."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any]) -> Promise:
        """Write an entry inside the caller's transaction."""
        ...
