"""The sequencer: folds pending entries into the tree, in order and in batches, and signs a checkpoint for each batch.

Everything that is kept is kept by one call of `LedgerStore.fold`, which is one transaction: a crash before it leaves the entries
pending, a crash after it leaves them folded. A checkpoint is never shown before that transaction is done.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from huitong.errors import LedgerBroken
from huitong.keystore import KeyStore
from huitong.ledger.keys import LogKeys
from huitong.ledger.log import LedgerStore, promise_signed, read_promise, signed_in_time
from huitong.ledger.merkle import Frontier, read_frontier
from huitong.ledger.note import check_checkpoint, sign_checkpoint
from huitong.ledger.verify import EMPTY_ROOT, VerifierKey, leaf_hash, parse_instant
from huitong.ledger.witness import Witness, fault_of_kept
from huitong.model.ledger import Checkpoint, Promise

_log = logging.getLogger("huitong.ledger")


class Sequencer:
    """Folds for one log; any number may run, the store's lock lets one of them work."""

    def __init__(
        self,
        store: LedgerStore,
        keystore: KeyStore,
        clock: Callable[[], datetime],
        *,
        origin: str,
        earlier_vkeys: Sequence[str] = (),
        batch: int = 4096,
        witness: Witness | None = None,
    ) -> None:
        """`batch` bounds the entries of one transaction. The `witness` is told each new checkpoint; what it remembers must fit
        the tree before anything is folded, so that a ledger whose end was cut off does not grow over the cut."""
        self._store = store
        self._clock = clock
        self._origin = origin
        self._batch = batch
        self.witness = witness
        self._keys = LogKeys(store, keystore, origin=origin, earlier=earlier_vkeys)

    def fold_once(self) -> int:
        """Fold at most one batch; how many entries were folded (0 too if another process holds the lock).

        Raises LedgerBroken, and folds nothing, if what is kept does not prove what it should: then an operator must look."""
        with self._store.sequencer_lock() as held:
            if not held:
                return 0
            promises = self._store.pending(self._batch)
            if not promises:
                return 0
            signing = self._keys.now()  # after the entries are read: the key of each of them is among those known now
            last = self._store.latest_checkpoint()
            frontier = self._stored_frontier(last, signing.keys)
            nodes: list[tuple[int, int, bytes]] = []
            for promise in promises:
                self._check_promise(promise, signing.keys)
                nodes += frontier.append(leaf_hash(promise.payload))
            instants = [self._clock(), *(promise.at for promise in promises), *([last.at] if last else [])]
            if signing.public.begins is not None:
                instants.append(parse_instant(signing.public.begins))
            checkpoint = sign_checkpoint(
                origin=self._origin, size=frontier.size, root=frontier.root(), at=max(instants), key=signing.private
            )
            self._store.fold(promises, nodes, checkpoint)
            self._tell_witness(checkpoint)
            return len(promises)

    def fold_all(self) -> int:
        """Fold until nothing is pending; how many entries were folded."""
        total = 0
        while folded := self.fold_once():
            total += folded
        return total

    def run(self, stop: threading.Event, *, every_seconds: float = 0.5) -> None:
        """Fold until `stop` is set, looking at least every `every_seconds`.

        A store that fails is tried again; a ledger that is broken ends the loop with LedgerBroken."""
        while not stop.is_set():
            try:
                folded = self.fold_once()
            except LedgerBroken:
                raise
            except Exception as error:
                _log.warning("folding failed and will be tried again: %s", type(error).__name__)
                folded = 0
            if folded < self._batch:
                stop.wait(every_seconds)

    def _stored_frontier(self, last: Checkpoint | None, keys: Sequence[VerifierKey]) -> Frontier:
        """The tree as kept, which must be the one that the last checkpoint signed."""
        size = self._store.size()
        frontier = read_frontier(size, self._store.nodes)
        if last is not None:
            check_checkpoint(last, tuple(keys))
        if (size, frontier.root()) != ((last.size, last.root) if last else (0, EMPTY_ROOT)):
            raise LedgerBroken.because("ledger-tree-broken", size=size, signed=last.size if last else 0)
        kept = None if self.witness is None else self.witness.last()
        if kept is not None and (last is None or kept != last.note):
            fault = fault_of_kept(kept, keys=keys, size=size, nodes=self._store.nodes)
            if fault is not None:
                raise LedgerBroken(fault)
        return frontier

    def _tell_witness(self, checkpoint: Checkpoint) -> None:
        """After the transaction is done: an older checkpoint still fits, so a witness that cannot write now stops nothing."""
        if self.witness is not None:
            try:
                self.witness.keep(checkpoint)
            except OSError as error:
                _log.error("the checkpoint could not be kept outside the database: %s", type(error).__name__)

    def _check_promise(self, promise: Promise, keys: Sequence[VerifierKey]) -> None:
        sound = promise_signed(promise, origin=self._origin, keys=keys)
        try:
            read_promise(promise)
            sound = sound and signed_in_time(promise, keys=keys)
        except ValueError:
            sound = False
        if not sound:
            raise LedgerBroken.because("ledger-entry-broken", entry=promise.entry)
