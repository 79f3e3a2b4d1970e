"""Lists of subjects: what sharing needs of where they are kept, and which of them are still needed."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol

from huitong.model.policy import SubjectRows


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


class SubjectUses(Protocol):
    """Which lists are still needed (the portal's stores)."""

    def lists_in_use(self, at: datetime) -> frozenset[str]:
        """The lists of requests that wait for an answer, and of grants that can still be used: those of all others may go."""
        ...
