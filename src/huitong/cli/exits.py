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


def exit_of(error: HuitongError) -> Exit:
    """The exit code of an error; UNEXPECTED for a kind that stands for no cause of its own."""
    return next((code for kind, code in _EXIT_OF_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)
