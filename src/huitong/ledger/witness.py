"""The last signed checkpoint, kept outside the database: what the database itself cannot show is that its end was cut off."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from huitong.errors import LedgerBroken, Reason
from huitong.ledger.merkle import NodeKey, read_frontier
from huitong.ledger.verify import MAXIMUM_PAYLOAD_BYTES, VerifierKey, open_checkpoint
from huitong.model.ledger import Checkpoint

KEPT_CHECKPOINT = "ledger-checkpoint.txt"
"""Name of the file in the instance's folder."""


class Witness(Protocol):
    """Whoever remembers the last checkpoint apart from the ledger's own store."""

    def last(self) -> str | None:
        """The signed note that was kept last; None if none ever was."""

    def keep(self, checkpoint: Checkpoint) -> None:
        """Remember this one in place of the last."""


class CheckpointFile:
    """A witness that is a file: it is replaced as a whole, never written into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> str | None:
        """The note; text that no key can have signed if the file holds no text."""
        try:
            with self.path.open("rb") as file:
                return file.read(MAXIMUM_PAYLOAD_BYTES + 1).decode("utf-8", "replace")
        except FileNotFoundError:
            return None

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write the note beside and put it in place; a crash leaves the old one or the new one."""
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(checkpoint.note.encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)


def fault_of_kept(
    note: str, *, keys: Sequence[VerifierKey], size: int, nodes: Callable[[Sequence[NodeKey]], Mapping[NodeKey, bytes]]
) -> Reason | None:
    """Why a checkpoint that was kept elsewhere does not fit the tree of `size` entries with these nodes; None if it does.

    It fits if the tree's first entries, as many as the checkpoint covers, have the root that it signed."""
    try:
        head, key = open_checkpoint(note, keys)
    except ValueError:
        return Reason("ledger-kept-checkpoint-broken")
    if not key.in_force(head.at):
        return Reason("ledger-kept-checkpoint-broken")
    if head.size > size:
        return Reason("ledger-shorter-than-checkpoint", {"size": size, "signed": head.size})
    try:
        root = read_frontier(head.size, nodes).root()
    except LedgerBroken:
        root = b""
    return None if root == head.root else Reason("ledger-differs-from-checkpoint", {"size": head.size})
