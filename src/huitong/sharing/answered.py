"""Questions of totals that an office was answered about a dataset: what a new one is compared with, so that no two answers differ by a
few entities. They are kept by office and dataset, whichever of the office's people asked and under whichever of its grants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class AnsweredQuestion:
    """One question, sealed. While `answered` is False it is a claim: who claims later counts it as answered."""

    query: str
    office: str
    dataset: str
    grant: str
    digest: str
    """A keyed hash of it: the same question has the same."""
    snapshot: int
    """Of which version of the dataset it was answered last."""
    at: datetime
    sealed: bytes
    answered: bool = False


class QuestionStore(Protocol):
    """Keeps them (the portal's stores). Every method is called inside a transaction that holds the lock."""

    def lock(self, office: str, dataset: str) -> None:
        """Let nobody else claim or keep questions of this office about this dataset until the transaction ends."""
        ...

    def of(self, office: str, dataset: str) -> Sequence[AnsweredQuestion]:
        """All that are kept, claims too, in the order in which they came."""
        ...

    def put(self, question: AnsweredQuestion) -> None:
        """Keep one more."""
        ...

    def settle(self, query: str) -> None:
        """It is answered, and takes the place of answered ones with its office, dataset and digest."""
        ...

    def remove(self, query: str) -> None:
        """It was not answered, or is forgotten."""
        ...
