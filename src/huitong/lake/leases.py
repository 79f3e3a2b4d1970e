"""Who uses files of the lake now: queries that read, loads that run. Locks of the kernel, which ends them with their process.

A query writes the names of its files into a lease, which it holds locked while it runs. Whoever removes files looks at the leases first,
under a gate that keeps new ones out meanwhile. Locks of this kind do not reach other machines: for those there is a grace in time.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path

from huitong.errors import Conflict, NotFound


class Leases:
    """The leases below one lake."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._folder = lake / "leases"

    @contextlib.contextmanager
    def reading(self, files: Collection[str]) -> Iterator[None]:
        """Keep these files, relative to the lake, from being removed while the block runs.

        Raises NotFound `snapshot-removed` if one of them is gone already: whoever planned with it must plan again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(16)
        lease = None
        try:
            with self._gate(fcntl.LOCK_SH):
                lease = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(lease, fcntl.LOCK_EX)
                os.write(lease, json.dumps(sorted(files)).encode())
                if not all((self._lake / file).exists() for file in files):
                    raise NotFound.because("snapshot-removed")
            yield
        finally:
            if lease is not None:
                path.unlink(missing_ok=True)
                os.close(lease)

    @contextlib.contextmanager
    def removing(self) -> Iterator[frozenset[str]]:
        """The files that must stay; no new lease begins while the block runs, so it should be short."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._gate(fcntl.LOCK_EX):
            kept: set[str] = set()
            for path in self._folder.iterdir():
                if path.name.startswith("."):
                    continue
                with contextlib.suppress(FileNotFoundError), path.open("r+") as lease:
                    if _locked(lease.fileno(), fcntl.LOCK_EX):
                        path.unlink(missing_ok=True)  # its process is gone
                    else:
                        kept.update(json.load(lease))
            yield frozenset(kept)

    @contextlib.contextmanager
    def _gate(self, kind: int) -> Iterator[None]:
        gate = os.open(self._folder / ".gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(gate, kind)
            yield
        finally:
            os.close(gate)


class Marks:
    """Named locks that one process holds while it does something: a load of a dataset, a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def held(self, name: str, *, otherwise: Conflict) -> Iterator[None]:
        """Hold the name while the block runs. Raises `otherwise` if somebody else does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(handle, fcntl.LOCK_EX):
                raise otherwise
            yield
        finally:
            os.close(handle)

    def is_held(self, name: str) -> bool:
        """Whether a living process holds the name."""
        try:
            handle = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _locked(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def forget(self, name: str) -> None:
        """Remove the trace of a name that nobody will hold again."""
        (self._folder / name).unlink(missing_ok=True)


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
