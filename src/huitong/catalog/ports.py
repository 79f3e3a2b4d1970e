"""What the catalogue, and the sharing above it, need from storage: implemented once by the portal's stores, and in memory
by `huitong.testing`.

Every changing method is called inside `Transactions.atomic()`; reading methods may be called outside of it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

from huitong.model.catalog import Dataset, Snapshot
from huitong.model.ledger import EntryKind, Promise
from huitong.model.notice import Notice
from huitong.model.party import Actor, Division, DivisionLevel, Office
from huitong.model.quality import GradingSuggestion, QualityReport

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


class NoticeBoard(Protocol):
    """Where changes tell of themselves (`huitong.portal.notices`)."""

    def post(self, notice: Notice) -> None:
        """Put the notice up inside the caller's transaction: it goes out if that is kept, and never was if it is undone. Who may not
        know of the dataset that it names, and who is not there, is passed over in silence."""
        ...


class NoBoard:
    """A board that nobody reads."""

    def post(self, notice: Notice) -> None:
        """Nothing."""


class Facet(StrEnum):
    """What a search can be narrowed by, and counts its hits by."""

    OFFICE = "office"
    """Id of the managing office."""
    LEVEL = "level"
    """Level of the managing office (`DivisionLevel`)."""
    DIVISION = "division"
    """Division of the managing office; narrowing takes everything at or below it, by the tree and not by prefix."""
    FAMILY = "family"
    """First digit of the classification code: 1 basic, 2 thematic, 3 of an office."""
    GRADE = "grade"
    """Highest rank among its items."""
    SHARING = "sharing"
    OPENNESS = "openness"
    CYCLE = "cycle"
    MEANING = "meaning"
    """Semantic types among its items; one dataset counts under several."""


@dataclass(frozen=True)
class SearchPage:
    """One page of hits, best first, how many there are in all, and how many under each value of the facets asked for.

    Hits, total and facets are made of the same set: what the viewer may know of. Nothing else shows in any of them."""

    hits: tuple[Dataset, ...]
    total: int
    facets: Mapping[Facet, Mapping[str, int]] = field(default_factory=dict)
    """Values with their counts, the most frequent first. The count of a facet ignores the narrowing by that facet itself."""


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
        viewer: str | None,
        narrowing: Mapping[Facet, Collection[str]] | None = None,
        facets: Collection[Facet] = (),
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries known to the viewer whose index holds *every* token, by falling sum of their weights, then by id.

        No tokens: all, by id. Tokens compare exactly, character by character. `viewer` is the office that the signed-in person
        acts for; None sees what everyone may know. An entry must have one of the values of each facet in `narrowing`."""
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
        """All, newest first, also those whose files were removed."""
        ...

    def datasets(self, dataset_ids: Collection[str]) -> Mapping[str, Dataset]:
        """Those of these ids that are in force, in a few statements however many."""
        ...

    def every_dataset(self) -> Iterator[Dataset]:
        """All entries in force, by id, a few hundred at a time: for exports and sweeps."""
        ...

    def mark_removed(self, dataset_id: str, versions: Collection[int], *, at: datetime) -> None:
        """Note that the files of these snapshots are gone: `removed_at` is set and `files` is empty from now on."""
        ...


class QualityStore(Protocol):
    """Quality reports, and what recognisers suggested about items. Changing methods are called inside `Transactions.atomic()`."""

    def put_report(self, report: QualityReport) -> None:
        """Keep the report of a snapshot, in place of an earlier one of the same version."""
        ...

    def report(self, dataset_id: str, version: int | None = None) -> QualityReport | None:
        """The report of that snapshot, or of the newest one that has one."""
        ...

    def put_suggestions(self, dataset_id: str, suggestions: Sequence[GradingSuggestion]) -> None:
        """Keep these as the open suggestions of the dataset. One that was decided before and says the same (item, meaning, grade)
        stays decided and is not opened again."""
        ...

    def suggestions(self, dataset_id: str) -> Sequence[GradingSuggestion]:
        """All of the dataset, open ones first, then by item."""
        ...

    def decide_suggestion(self, dataset_id: str, suggestion: GradingSuggestion) -> None:
        """Replace the open suggestion of the same item and meaning. Raises Conflict `suggestion-decided` if it is not open."""
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

    def move_posts(self, office: str, successor: str, *, at: datetime) -> Sequence[tuple[str, str]]:
        """End every post of the office and open one with the same roles in the successor, unless its person holds one there
        already (which then gets the roles too); pairs of old and new post. Tokens of ended posts stop working with them."""
        ...

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts that the person holds now, each as the actor it makes; by post."""
        ...


class DivisionStore(Protocol):
    """The divisions of every edition, those that exist no more among them."""

    def divisions(self) -> Iterator[Division]:
        """All, parents before children."""
        ...

    def put_divisions(self, divisions: Iterable[Division]) -> int:
        """Add divisions or replace those of the same code, all in one transaction; how many."""
        ...

    def codes_under(self, division_code: str, at: date, agreed: date | None = None) -> frozenset[str]:
        """The codes that rows of that day may bear and that lie in the division's area: see `catalog.divisions.Divisions`."""
        ...
