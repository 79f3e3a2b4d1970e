"""Lists of subjects: what sharing needs of where they are kept, and which of them are still needed."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

from huitong.model.policy import GrantState, SubjectRows
from huitong.sharing.ports import SharingStore

MANY = 1_000_000


class SubjectLists(Protocol):
    """Where the identifiers of `SubjectRows` are kept (`huitong.lake.subject_lists`; in memory by `huitong.testing`)."""

    def keep(self, identifiers: Iterable[str], *, dataset: str, item: str) -> SubjectRows:
        """Keep a list, without blanks around, each identifier once; equal lists are one. Raises InputInvalid `subjects-empty`,
        `subjects-too-many`, `subjects-identifier-invalid`."""
        ...

    def contained(self, new: SubjectRows, old: SubjectRows) -> bool:
        """Whether the new list is of the same item and holds nobody whom the old one does not hold; False where one is not there."""
        ...

    def retain(self, needed: Collection[str]) -> int:
        """Remove the lists that are not needed, but none that was just kept or that a query reads; how many went."""
        ...


def needed_lists(store: SharingStore, now: datetime) -> frozenset[str]:
    """The lists of requests that wait for an answer, and of grants that can still be used: those of all others may go."""
    wishes = []
    for request in store.open_requests():
        wishes += [request.wish, *(event.wish for event in request.events if event.wish is not None)]
    states = (GrantState.PREPARING, GrantState.ACTIVE)
    grants = [grant for state in states for grant in store.grants_in_state(state, limit=MANY) if now < grant.terms.valid_until]
    rules = [wish.subjects for wish in wishes] + [grant.terms.subjects for grant in grants]
    return frozenset(one.subjects for one in rules if one is not None)
