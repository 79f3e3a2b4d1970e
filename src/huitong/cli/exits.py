"""One exit code for each cause, so that a script can tell them apart without reading words."""

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
    (Refused, Exit.REFUSED),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNAVAILABLE),
    (LedgerBroken, Exit.LEDGER_BROKEN),
)


NOT_YET = frozenset({"grant-preparing"})
"""Refusals that end by themselves: the right is there, what it needs is still being made."""


def exit_of(error: HuitongError) -> Exit:
    """The exit code of an error; UNEXPECTED for a kind that stands for no cause of its own. What is refused for nothing but that it is
    not ready yet counts as not available now: a script may try it again, as it may not with what the rules deny."""
    if isinstance(error, Refused) and NOT_YET.issuperset(reason.code for reason in error.reasons):
        return Exit.UNAVAILABLE
    return next((code for kind, code in _EXIT_OF_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)
