"""Calls that carry a key of their caller's, so that asking twice does not act twice; and the answer that is kept for the key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid


@dataclass(frozen=True)
class KeyedCall:
    """A call: the post that makes it, the key it gave, and a fingerprint of everything it says."""

    post: str
    key: str
    content: str

    def __post_init__(self) -> None:
        if not (self.post and self.key and self.content):
            raise InputInvalid.because("idempotency-key-malformed")


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was sent: status, the headers that matter, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeyState(StrEnum):
    """How far the first call with a key has come."""

    BEGUN = "begun"
    """It runs; or its process ended in the middle of it."""
    ANSWERED = "answered"
    """Its answer is kept."""
    BROKEN = "broken"
    """It failed in the middle, and nobody can tell here whether it took effect."""


@dataclass(frozen=True)
class KeyRecord:
    """What is known of a key."""

    content: str
    attempt: int
    """How many times it was begun: a call that was given up and taken over cannot end any more."""
    whole: bool
    """Whether effect and answer are one transaction: while it is begun, nothing has taken effect."""
    state: KeyState
    at: datetime
    answer: KeptAnswer | None = None
