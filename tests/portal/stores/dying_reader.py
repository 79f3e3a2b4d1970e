"""A reader of the ledger whose process dies; a module of its own, because other processes import it without Django."""

import os
import signal


class Dying:
    """A reader whose process dies at one range."""

    def __init__(self, inner: object) -> None:
        self.inner, self.parent = inner, os.getpid()

    def texts(self, start: int, end: int) -> object:
        if start == 64 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.texts(start, end)

    def hashes(self, *where: int) -> object:
        return self.inner.hashes(*where)

    def close(self) -> None:
        self.inner.close()
