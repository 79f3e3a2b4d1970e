"""Key epochs: which key makes the tokens of a linkage group, since when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid

FIRST = 1
"""The number of a group's first epoch, and that of the first key."""


@dataclass(frozen=True)
class KeyEpoch:
    """A time in which the identifiers of one linkage group have the same tokens. With the next one every token is another."""

    linkage_group: str
    number: int = FIRST
    """1 for the first; each renewal counts one up."""
    key: int = FIRST
    """Number of the master key from which the tokens are made (`pseudonym-master`, `pseudonym-master-2`, ...)."""
    began_at: datetime | None = None
    """None for an epoch that began with the group itself."""

    def __post_init__(self) -> None:
        if not self.linkage_group or self.number < FIRST or self.key < FIRST:
            raise InputInvalid.because("key-epoch-invalid")

    @property
    def tokens(self) -> tuple[str, int, int]:
        """What the tokens follow from besides the identifier: two epochs that are equal in this have the same."""
        return self.linkage_group, self.number, self.key


class RenewalCause(StrEnum):
    """Why tokens are made anew."""

    PLANNED = "planned"
    """So that what is kept of them cannot be linked over years."""
    TOKENS_LEAKED = "tokens-leaked"
    """Tokens, or tokens beside identifiers, came into wrong hands."""
    KEY_LEAKED = "key-leaked"
    """A master key may be known to others: tokens could be made from identifiers."""
