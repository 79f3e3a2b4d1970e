"""One exit code for each cause, so that a script can tell them apart without reading words."""

from collections.abc import Iterable
from enum import IntEnum

from huitong.errors import (
    Conflict,
    HuitongError,
    InputInvalid,
    LedgerBroken,
    NotFound,
    NotSignedIn,
    Refused,
    Unavailable,
)


class Exit(IntEnum):
    """The exit codes of `huitong`; `huitong --help` shows them too."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INPUT_INVALID = 3
    NOT_FOUND = 4
    NOT_SIGNED_IN = 5
    REFUSED = 6
    CONFLICT = 7
    UNAVAILABLE = 8
    LEDGER_BROKEN = 9
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """As a shell gives for a program that SIGPIPE ended: the reader of its output had seen enough."""

    @property
    def word(self) -> str:
        """The key of its words, without `cli-`."""
        return f"exit-{self.name.lower().replace('_', '-')}"


_EXIT_OF_ERROR: tuple[tuple[type[HuitongError], Exit], ...] = (
    (InputInvalid, Exit.INPUT_INVALID),
    (NotFound, Exit.NOT_FOUND),
    (NotSignedIn, Exit.NOT_SIGNED_IN),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNAVAILABLE),
    (LedgerBroken, Exit.LEDGER_BROKEN),
)


NOT_YET = frozenset({"grant-preparing"})
"""Refusals that end by themselves: the right is there, what it needs is still being made."""


def exit_of_refusal(codes: Iterable[str]) -> Exit:
    """The exit code of a refusal for these reasons: what is refused for nothing but that it is not ready yet counts as not available now,
    for a script may try it again, as it may not with what the rules deny."""
    found = frozenset(codes)
    return Exit.UNAVAILABLE if found and found <= NOT_YET else Exit.REFUSED


def exit_of(error: HuitongError) -> Exit:
    """The exit code of an error; UNEXPECTED for a kind that stands for no cause of its own."""
    if isinstance(error, Refused):
        return exit_of_refusal(reason.code for reason in error.reasons)
    return next((code for kind, code in _EXIT_OF_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)
