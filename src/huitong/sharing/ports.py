"""What sharing needs from storage and from the lake: implemented once by the portal's stores, and in memory by
`huitong.testing`.
"""

from collections.abc import Collection, Sequence
from datetime import date
from enum import StrEnum
from typing import Protocol

from huitong.catalog.ports import CatalogStore, Clock, EntryLog, PartyStore, PolicyEpoch, Transactions
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.notice import Notice
from huitong.model.policy import Grant, GrantState
from huitong.model.sharing import Request, RequestEvent, RequestState

__all__ = [
    "CatalogStore",
    "Clock",
    "DivisionTree",
    "EntryLog",
    "NoBoard",
    "NoticeBoard",
    "PartyStore",
    "PolicyEpoch",
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

    def append_event(self, request_id: str, event: RequestEvent, *, expected_events: int) -> None:
        """Add an event to a request that has exactly `expected_events` so far.

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

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant. Raises Conflict `grant-exists` if the id is taken."""
        ...

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id, in any state."""
        ...

    def update_grant_state(self, grant: Grant, *, expected_state: GrantState) -> None:
        """Replace state, revoked_at and revoked_because of the stored grant by those of `grant`; nothing else ever changes.

        Raises Conflict `grant-moved` (parameter `grant`) if the stored state is not `expected_state`."""
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

    def grants_in_state(self, state: GrantState, *, limit: int = 100) -> Sequence[Grant]:
        """The oldest grants in that state."""
        ...


class SideTableBuilder(Protocol):
    """The side tables identifier -> token (implemented over `huitong.lake.side_tables` by the platform)."""

    def build(self, linkage_group: str, dataset: Dataset, item: str, snapshot: Snapshot) -> None:
        """Make the side table of the group hold every value of the item in the snapshot; may be repeated without harm."""
        ...


class DivisionTree(Protocol):
    """Which divisions lie under which (`huitong.catalog.divisions.Divisions`)."""

    def codes_under(self, division_code: str, at: date) -> frozenset[str]:
        """The codes at or below it that are valid on that day; empty if unknown."""
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
