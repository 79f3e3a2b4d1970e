"""What sharing needs from storage and from the lake: implemented once by the portal's stores, and in memory by
`huitong.testing`.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from enum import StrEnum
from types import EllipsisType
from typing import Protocol

from huitong.catalog.ports import CatalogStore, Clock, EntryLog, NoBoard, NoticeBoard, PartyStore, PolicyEpoch, Transactions
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState
from huitong.model.pseudonym import FIRST, KeyEpoch
from huitong.model.sharing import Delegation, Request, RequestEvent, RequestState

__all__ = [
    "CatalogStore",
    "Clock",
    "DelegationStore",
    "DivisionTree",
    "EntryLog",
    "EpochStore",
    "FirstEpochs",
    "NoBoard",
    "NoDelegations",
    "NoticeBoard",
    "PartyStore",
    "PolicyEpoch",
    "RegulatorRoll",
    "SharingStore",
    "Side",
    "SideTableBuilder",
    "Transactions",
]


class Side(StrEnum):
    """From which side an office looks at a request or a grant."""

    APPLICANT = "applicant"
    """The office that asks, and uses."""
    PROVIDER = "provider"
    """The office that answers."""


class SharingStore(Protocol):
    """Requests with their events, and grants. Every changing method is called inside `Transactions.atomic()`."""

    def next_number(self, series: str) -> int:
        """The next number of a series (`request`, `grant`), from 1; no number is given twice. Gaps are allowed."""
        ...

    def add_request(self, request: Request) -> None:
        """Keep a new request with its events. Raises Conflict `request-exists` if the id is taken."""
        ...

    def request(self, request_id: str) -> Request | None:
        """The request with all its events, oldest first."""
        ...

    def append_event(
        self, request_id: str, event: RequestEvent, *, expected_events: int, answer_due: date | EllipsisType | None = ...
    ) -> None:
        """Add an event to a request that has exactly `expected_events` so far, with the day on which the answer is due from now on
        (`...`: as before); a supplement's wish takes the place of the request's.

        Raises Conflict `request-moved` (parameter `request`) if it has another number: somebody else was faster. The store
        decides this inside the transaction (row lock or unique position), so of two answers at once one wins."""
        ...

    def requests_for(
        self,
        office: str,
        *,
        side: Side,
        states: Collection[RequestState] | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Request], int]:
        """Requests that the office made or has to answer, newest submission first; and how many in all."""
        ...

    def open_requests(self, *, due_before: date | None = None, continuing: str | None = None) -> Sequence[Request]:
        """Requests that are not answered (`OPEN_STATES`), oldest first: those whose answer was due before that day, those that
        would continue that grant; without either, all."""
        ...

    def add_grant(self, grant: Grant, events: Sequence[GrantEvent] = ()) -> None:
        """Keep a new grant with its events (none given: `beginning_of`). Raises Conflict `grant-exists` if the id is taken."""
        ...

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id, in any state, in the version in force."""
        ...

    def change_grant(self, grant: Grant, event: GrantEvent, *, expected_state: GrantState) -> None:
        """Add the event that made the grant what `grant` says: its state and revocation, or (`EXTENDED`) its next version, whose
        terms take the place of those in force, which are kept. Nothing else ever changes.

        Raises Conflict `grant-moved` (parameter `grant`) if the stored state is not `expected_state`, or the version is another
        than the one before it."""
        ...

    def grant_events(self, grant_id: str) -> Sequence[GrantEvent]:
        """What happened to the grant, oldest first."""
        ...

    def grant_versions(self, grant_id: str) -> Sequence[Grant]:
        """The grant in each of its versions, oldest first."""
        ...

    def grants_ending(self, start: datetime, end: datetime, *, without: GrantEventKind | None = None) -> Sequence[Grant]:
        """Grants that were not revoked and whose term ends in [start, end), the first to end first; `without`: of those whose
        version in force has no event of that kind."""
        ...

    def grants_of_office(self, office: str, datasets: Collection[str] | None = None) -> Sequence[Grant]:
        """All grants, in every state, that the office uses (of these datasets); newest first."""
        ...

    def grants_by_provider(self, office: str) -> Sequence[Grant]:
        """All grants, in every state, over datasets of the office; newest first."""
        ...

    def grants_of_requests(self, requests: Collection[str]) -> Sequence[Grant]:
        """All grants, in every state, that came of these requests; newest first."""
        ...

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        """The grants over a dataset in these states; oldest first."""
        ...

    def grants_in_state(self, state: GrantState, *, limit: int | None = 100) -> Sequence[Grant]:
        """The oldest grants in that state; all of them without a limit."""
        ...

    def grants_of_group(self, linkage_group: str) -> Sequence[Grant]:
        """The grants of a linkage group in every state, oldest first."""
        ...


class DelegationStore(Protocol):
    """Who answers in whose place."""

    def put_delegation(self, delegation: Delegation) -> None:
        """Add it, or replace the one of the same id."""
        ...

    def delegations(self, office: str) -> Sequence[Delegation]:
        """All of the office, newest first."""
        ...


class NoDelegations:
    """Everybody answers for themselves."""

    def put_delegation(self, delegation: Delegation) -> None:
        """Nothing."""

    def delegations(self, office: str) -> Sequence[Delegation]:  # noqa: ARG002
        """None."""
        return ()


class RegulatorRoll(Protocol):
    """Who regulates (the portal's posts)."""

    def regulators_above(self, division: str) -> tuple[str, ...]:
        """The offices of the division, or of the nearest above it that has any, in which somebody is a regulator now."""
        ...


class SideTableBuilder(Protocol):
    """The side tables identifier -> token (implemented over `huitong.lake.side_tables` by the platform)."""

    def build(self, linkage_group: str, dataset: Dataset, item: str, snapshot: Snapshot, *, epoch: KeyEpoch | None = None) -> None:
        """Make the side table of the group in that epoch (None: the one in force) hold every value of the item in the snapshot; may be
        repeated without harm."""
        ...

    def retire(self, epoch: KeyEpoch) -> bool:
        """Remove the table of an epoch that is over; whether nothing of it is left. May be repeated without harm."""
        ...


class EpochStore(Protocol):
    """The key epochs of linkage groups (the portal's table); added, never changed."""

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:
        """The epoch in force; None if none was noted."""
        ...

    def epochs(self, linkage_group: str | None = None) -> Sequence[KeyEpoch]:
        """All that were noted, of one group or of all, by group and number."""
        ...

    def newest_key(self) -> int:
        """The highest number of a master key that an epoch names; 1 if none does."""
        ...

    def add(self, epoch: KeyEpoch) -> None:
        """Note one, inside the caller's transaction. Raises Conflict `key-epoch-moved` if the group has that number already."""
        ...


class FirstEpochs:
    """No epoch was ever noted, and none is kept."""

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:  # noqa: ARG002
        """None."""
        return None

    def epochs(self, linkage_group: str | None = None) -> Sequence[KeyEpoch]:  # noqa: ARG002
        """None."""
        return ()

    def newest_key(self) -> int:
        """1."""
        return FIRST

    def add(self, epoch: KeyEpoch) -> None:
        """Nothing."""


class DivisionTree(Protocol):
    """Which divisions lie under which (`huitong.catalog.divisions.Divisions`)."""

    def codes_under(self, division_code: str, at: date) -> frozenset[str]:
        """The codes at or below it that are valid on that day; empty if unknown."""
        ...
