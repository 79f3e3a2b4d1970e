"""What the catalogue, and the sharing above it, need from storage: implemented once by the portal's stores, and in memory
by `huitong.testing`.

Every changing method is called inside `Transactions.atomic()`; reading methods may be called outside of it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from huitong.model.catalog import Dataset, Sharing, Snapshot
from huitong.model.ledger import EntryKind, Promise
from huitong.model.party import Actor, DivisionLevel, Office

Clock = Callable[[], datetime]
"""The present instant, UTC, aware of its zone."""


class Transactions(Protocol):
    """Changes that happen together or not at all."""

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction; an exception undoes everything since it began. May be nested: the outermost one decides.

        Two transactions that change the same request or grant run one after the other, never interleaved."""
        ...


class PolicyEpoch(Protocol):
    """A number that grows with every change of a rule; decision caches are keyed by it."""

    def bump(self) -> int:
        """One more, inside the caller's transaction; the new number. Its row stays locked until the transaction ends, so changes
        that bump first run one after the other."""
        ...

    def current(self) -> int:
        """The number now."""
        ...


class EntryLog(Protocol):
    """The writing side of the ledger (`huitong.ledger.log.Ledger`)."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any]) -> Promise:
        """Write an entry inside the caller's transaction."""
        ...


@dataclass(frozen=True)
class SearchPage:
    """One page of hits, best first, and how many there are in all."""

    hits: tuple[Dataset, ...]
    total: int


class CatalogStore(Protocol):
    """The entries in force and their snapshots. There are no drafts: an entry is in the catalogue or it is not."""

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The entry in force."""
        ...

    def put_dataset(self, dataset: Dataset, *, index: Mapping[str, int]) -> None:
        """Add the entry, or replace the one of the same id.

        `index` is what search finds it by, token -> weight; it is replaced as a whole with the entry."""
        ...

    def search(
        self,
        tokens: Sequence[str],
        *,
        providers: Collection[str] | None = None,
        sharing: Collection[Sharing] | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries whose index holds *every* token, by falling sum of the weights of these tokens, then by id.

        No tokens: all, by id. Tokens compare exactly, character by character.

        `providers` and `sharing` narrow; None means no narrowing."""
        ...

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Make it the current one. Raises Conflict `snapshot-not-newer` unless its version is above that of the current one."""
        ...

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        """The newest."""
        ...

    def snapshot(self, dataset_id: str, version: int) -> Snapshot | None:
        """That one."""
        ...

    def snapshots(self, dataset_id: str) -> Sequence[Snapshot]:
        """All, newest first."""
        ...


class PartyStore(Protocol):
    """Offices, and the posts that people hold in them."""

    def office(self, office_id: str) -> Office | None:
        """The office of that id."""
        ...

    def offices(
        self,
        *,
        text: str = "",
        level: DivisionLevel | None = None,
        division: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Office], int]:
        """Offices whose title (either language) or id contains `text`, of that level, of exactly that division; and how many.

        In the order of their ids."""
        ...

    def put_office(self, office: Office) -> None:
        """Add the office, or replace the one of the same id."""
        ...

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts that the person holds now, each as the actor it makes; by post."""
        ...
