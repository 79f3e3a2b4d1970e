"""The audit: recompute the whole ledger from its entries and name whatever does not fit.

The signed checkpoints are the arbiters. Between two of them the entries and the kept leaf hashes are compared; where they
differ, the one that leads to the signed root is right and the other is named.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import numpy

from huitong.errors import InputInvalid, LedgerBroken, Reason
from huitong.ledger.keys import keys_of, recorded_change, with_changes
from huitong.ledger.log import LedgerStore, promise_signed, read_promise, signed_in_time
from huitong.ledger.merkle import Frontier, NodeKey, complete_subtrees
from huitong.ledger.note import check_checkpoint, instant_text
from huitong.ledger.ranges import TreeReader, sound_until
from huitong.ledger.verify import VerifierKey, leaf_hash
from huitong.ledger.witness import fault_of_kept
from huitong.model.ledger import Checkpoint, EntryKind, Promise

READ_AT_ONCE = 1000
"""Entries or nodes of one read, so that memory stays small and databases accept the list."""

LEVELS_LOOKED_AT, NODES_LOOKED_AT = 48, 20
"""How far beyond the end of the tree nodes are looked for: levels, and places on each."""

MAXIMUM_FAULTS = 1000
"""Faults that a report lists."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class AuditReport:
    """What the audit found; every fault is a reason whose parameters name the entry, node or checkpoint."""

    size: int
    pending: int
    checkpoints: int
    open_uses: int
    """Intents without an outcome: queries that failed, were stopped or still run. No fault by itself."""
    faults: tuple[Reason, ...]
    unlisted: int = 0
    """Further faults beyond the first MAXIMUM_FAULTS, counted only: a ledger so broken needs its backup, not a longer list."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def audit(
    store: LedgerStore,
    vkeys: Sequence[str],
    *,
    order_seconds: float = 300,
    tree_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
    kept: Sequence[str] = (),
    of_instance: bool = False,
    reader: TreeReader | None = None,
    processes: int | None = None,
    range_levels: int | None = None,
) -> AuditReport:
    """Recompute the tree from all entries and compare it with every kept node, checkpoint and signature.

    `vkeys` are keys with which this log has signed, from a source that the auditor trusts; a key that one of them named as the next
    one in the ledger (`Ledger.change_key`) is trusted with it, so the first key of the log is enough. `order_seconds` is how far an
    entry may be dated before its forerunner: the longest that a transaction may stay open. `tree_only`
    looks at the entries' signed texts, nodes and checkpoints and leaves out their signatures, columns, order and uses: many
    times faster, for every night between two whole audits. `kept` are notes of checkpoints that were kept outside the store:
    only they can show that the end of the ledger was cut off together with its checkpoints. `of_instance`: the ledger is that
    of an instance, so its first entry tells how the instance was made and it is never empty.

    With a `reader`, `tree_only` has the tree read in long ranges by `processes` at once (None: as many as the machine gives), and
    looks one by one only at what is not certainly sound (`ranges`): the report is the same."""
    keys = keys_of(vkeys)
    if not keys:
        raise InputInvalid.because("ledger-key-invalid")
    work = _Audit(store, keys, timedelta(seconds=order_seconds), tree_only, progress)
    if tree_only and reader is not None:
        work.sound = sound_until(reader, work.size, processes=processes, levels=range_levels, progress=progress)
    return work.run(kept, of_instance)


@dataclass
class _Segment:
    """The entries between two checkpoints, at the places [start, start + len(wanted))."""

    start: int
    wanted: list[bytes | None] = field(default_factory=list)
    """Leaf hash of each entry as it can be read; None if it cannot."""
    kept: list[bytes | None] = field(default_factory=list)
    """Leaf hash as kept among the nodes; None if missing."""
    signed: list[bool] = field(default_factory=list)
    """Whether the entry's own signature holds."""
    names: dict[int, str] = field(default_factory=dict)
    """Ids of the entries whose leaf hashes differ or whose signature does not hold."""


class _Audit:
    def __init__(
        self,
        store: LedgerStore,
        keys: tuple[VerifierKey, ...],
        tolerance: timedelta,
        tree_only: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.store, self.keys, self.tolerance, self.tree_only, self.progress = store, keys, tolerance, tree_only, progress
        self.origin = keys[0].name
        self.faults: list[Reason] = []
        self.unlisted = 0
        self.changes: dict[str, int] = {}
        """Recorded changes of the key: number by entry, until the entry is seen in the tree."""
        self.ids = array("Q")
        self.latest: datetime | None = None
        self.open_uses: dict[str, str] = {}
        self.size = store.size()
        self.frontier = Frontier()
        self.good = 0
        """Size of the last checkpoint that holds."""
        self.lost = False
        """A checkpoint's root could not be reached: later ones cannot be either."""
        self.sound = 0
        """Up to this size every entry has its kept leaf and every kept node is right: the kept nodes are the tree."""
        self.edge: dict[NodeKey, bytes] = {}
        """The complete subtrees of the last sound tree."""

    def run(self, kept: Sequence[str], of_instance: bool) -> AuditReport:
        """The whole audit."""
        self._learn_keys()
        if of_instance:
            self._check_beginning()
        last: Checkpoint | None = None
        checkpoints = 0
        for checkpoint in self._checkpoints():
            checkpoints += 1
            if not self._check_checkpoint(checkpoint):
                continue
            grown = self._sound_tree(checkpoint.size) or self._read(self.frontier.size, checkpoint.size)
            if (last and checkpoint.at < last.at) or (self.latest and checkpoint.at < self.latest):
                self._fault("audit-checkpoint-order", size=checkpoint.size)
            self._settle(grown, checkpoint)
            last = checkpoint
        if self.frontier.size < self.size:
            self._fault("audit-checkpoint-missing", size=self.size, signed=self.frontier.size)
            self._settle(self._sound_tree(self.size) or self._read(self.frontier.size, self.size), None)
        self._check_end()
        for note in dict.fromkeys(kept):
            fault = fault_of_kept(note, keys=self.keys, size=self.size, nodes=self._nodes)
            if fault is not None:
                self._fault(fault.code, **fault.parameters)
        pending = self._check_pending()
        if not self.tree_only:
            for entry, number in self.changes.items():
                place = self._try(lambda: self.store.index_of(entry))  # noqa: B023 (called at once)
                if place is not None and place >= self.size:  # made while the audit looked
                    continue
                self._fault("audit-key-change-unrecorded", number=number)
        self._check_ids()
        return AuditReport(self.size, pending, checkpoints, len(self.open_uses), tuple(self.faults), self.unlisted)

    def _fault(self, code: str, **parameters: str | int) -> None:
        if len(self.faults) < MAXIMUM_FAULTS:
            self.faults.append(Reason(code, parameters))
        else:
            self.unlisted += 1

    def _learn_keys(self) -> None:
        """Follow the changes of the key from the trusted keys on: each must be recorded with the signature of the key before."""
        for kept in self._try(self.store.key_changes) or ():
            promise = self._try(lambda: self.store.promise(kept.entry))  # noqa: B023 (called at once)
            recorded = None if promise is None else recorded_change(promise)
            if recorded is None or recorded.before not in {key.text for key in self.keys}:
                self._fault("audit-key-change-unrecorded", number=kept.number)
                continue
            if recorded != kept:
                self._fault("audit-key-change-altered", number=kept.number)
            self.changes[kept.entry] = kept.number
            self.keys = with_changes(self.keys, [recorded])

    # --- checkpoints

    def _checkpoints(self) -> Iterator[Checkpoint]:
        """Every kept checkpoint, by size; one that claims more than there is, is named and left out."""
        reached = 0
        while True:
            checkpoint = self._try(lambda: self.store.checkpoint_covering(reached))  # noqa: B023 (called at once)
            if checkpoint is None:
                break
            if not reached < checkpoint.size <= self.size:
                self._fault("audit-checkpoint-changed", size=checkpoint.size)
                break
            yield checkpoint
            reached = checkpoint.size

    def _check_checkpoint(self, checkpoint: Checkpoint) -> bool:
        try:
            check_checkpoint(checkpoint, self.keys)
        except LedgerBroken:
            self._fault("audit-checkpoint-changed", size=checkpoint.size)
            return False
        return True

    # --- entries

    def _read(self, start: int, end: int) -> _Segment:
        segment = _Segment(start)
        for first in range(start, end, READ_AT_ONCE):
            after = min(first + READ_AT_ONCE, end)
            kept = self._nodes([(0, index) for index in range(first, after)])
            for index, promise in self._entries(first, after):
                leaf, holds = (None, False) if promise is None else self._check_entry(index, promise)
                stored = kept.get((0, index))
                if not holds or leaf != stored:
                    segment.names[index] = "?" if promise is None else promise.entry
                segment.wanted.append(leaf)
                segment.kept.append(stored)
                segment.signed.append(holds)
            if self.progress is not None:
                self.progress(after, self.size)
        return segment

    def _entries(self, start: int, end: int) -> Iterator[tuple[int, Promise | None]]:
        """The entries with their places; one by one if some cannot be read together."""
        together = self._try(lambda: list(islice(self.store.entries(start, end), end - start)))
        for index in range(start, end):
            if together is not None and len(together) == end - start:
                yield index, together[index - start]
            else:
                yield index, self._try(lambda: self.store.entry(index))  # noqa: B023 (called at once)

    def _check_entry(self, index: int, promise: Promise) -> tuple[bytes, bool]:
        """The leaf hash of an entry and whether its signature holds; faults that need no checkpoint are named here."""
        leaf = leaf_hash(promise.payload)
        if self.tree_only:
            return leaf, True
        if not any(key.id == promise.key_id for key in self.keys):
            self._fault("audit-entry-key-unknown", entry=promise.entry, index=index, key=promise.key_id)
            return leaf, False
        if not self._signed(promise):
            return leaf, False
        try:
            told = read_promise(promise)
        except ValueError:
            self._fault("audit-entry-fields", entry=promise.entry, index=index)
            return leaf, True
        if not signed_in_time(promise, keys=self.keys):
            at = instant_text(promise.at)
            self._fault("audit-entry-key-not-in-force", entry=promise.entry, index=index, at=at, key=promise.key_id)
        if promise.kind is EntryKind.LEDGER_KEY_CHANGED and self.changes.pop(promise.entry, None) is None:
            self._fault("audit-key-change-missing", entry=promise.entry, index=index)
        self.ids.append(int(promise.entry[:16], 16))
        self._check_order(index, promise)
        self._check_use(index, promise, told["body"])
        return leaf, True

    def _signed(self, promise: Promise) -> bool:
        return promise_signed(promise, origin=self.origin, keys=self.keys)

    def _check_order(self, index: int, promise: Promise) -> None:
        if self.latest is not None and promise.at < self.latest - self.tolerance:
            at, latest = instant_text(promise.at), instant_text(self.latest)
            self._fault("audit-entry-order", entry=promise.entry, index=index, at=at, latest=latest)
        self.latest = promise.at if self.latest is None else max(self.latest, promise.at)

    def _check_use(self, index: int, promise: Promise, body: Mapping[str, Any]) -> None:
        query = body.get("query")
        if promise.kind is EntryKind.USE_INTENT:
            self.open_uses[promise.entry] = query if isinstance(query, str) else ""
        elif promise.kind is EntryKind.USE_OUTCOME or (promise.kind is EntryKind.USE_REFUSED and "intent" in body):
            intent = body.get("intent")
            if not isinstance(intent, str) or self.open_uses.pop(intent, None) != query:
                self._fault("audit-outcome-without-intent", entry=promise.entry, index=index)

    # --- the tree

    def _sound_tree(self, size: int) -> Frontier | None:
        """The tree of that size, if the kept nodes are certainly it."""
        if size > self.sound:
            return None
        keys = complete_subtrees(0, size)
        missing = [key for key in keys if key not in self.edge]
        found = {**self.edge, **self._nodes(missing)}
        if any(key not in found for key in keys):  # gone since
            self.sound = 0
            return None
        self.edge = {key: found[key] for key in keys}
        return Frontier(size, [found[key] for key in keys])

    def _settle(self, grown: _Segment | Frontier, checkpoint: Checkpoint | None) -> None:
        """Go on to the tree of a checkpoint: by a segment of which anything may be wrong, or to one of which nothing is."""
        if isinstance(grown, _Segment):
            self._settle_segment(grown, checkpoint)
            return
        if checkpoint is not None and not self.lost:
            if grown.root() == checkpoint.root:
                self.good = grown.size
            else:
                self._fault("audit-checkpoint-differs", size=checkpoint.size, good=self.good)
                self.lost = True
        self.frontier = grown

    def _settle_segment(self, segment: _Segment, checkpoint: Checkpoint | None) -> None:
        """Grow the tree by a segment, choosing between entries and kept leaves by what the checkpoint signed."""
        best = [
            (leaf if holds else stored) or leaf or stored or bytes(32)
            for leaf, stored, holds in zip(segment.wanted, segment.kept, segment.signed, strict=True)
        ]
        choices = [best]
        if segment.names:
            choices.append([leaf or other for leaf, other in zip(segment.wanted, best, strict=True)])
            choices.append([stored or other for stored, other in zip(segment.kept, best, strict=True)])
        proved, (tree, nodes) = False, self._grown(best)
        if checkpoint is not None and not self.lost:
            for leaves in choices:
                grown, made = (tree, nodes) if leaves is best else self._grown(leaves)
                if grown.root() == checkpoint.root:
                    proved, best, tree, nodes = True, leaves, grown, made
                    break
        self._name_entries(segment, best)
        if proved:
            self.good = tree.size
        elif checkpoint is not None and not self.lost:
            self._fault("audit-checkpoint-differs", size=checkpoint.size, good=self.good)
            self.lost = True
        self.frontier = tree
        self._compare_nodes(nodes)

    def _grown(self, leaves: Sequence[bytes]) -> tuple[Frontier, list[tuple[int, int, bytes]]]:
        tree, nodes = self.frontier.copy(), []
        for leaf in leaves:
            nodes += tree.append(leaf)
        return tree, nodes

    def _name_entries(self, segment: _Segment, right: Sequence[bytes]) -> None:
        for index, entry in segment.names.items():
            place = index - segment.start
            if segment.wanted[place] is None:
                self._fault("audit-entry-missing", index=index)
            elif segment.wanted[place] != right[place]:
                code = "audit-entry-replaced" if segment.signed[place] else "audit-entry-changed"
                self._fault(code, entry=entry, index=index)
            elif not segment.signed[place]:
                self._fault("audit-signature-changed", entry=entry, index=index)

    def _compare_nodes(self, nodes: Sequence[tuple[int, int, bytes]]) -> None:
        for first in range(0, len(nodes), READ_AT_ONCE):
            group = nodes[first : first + READ_AT_ONCE]
            kept = self._nodes([(level, index) for level, index, _ in group])
            for level, index, value in group:
                found = kept.get((level, index))
                if found != value:
                    code = "audit-node-missing" if found is None else "audit-node-changed"
                    start, end = index << level, ((index + 1) << level) - 1
                    self._fault(code, level=level, index=index, start=start, end=end)

    def _nodes(self, keys: Sequence[NodeKey]) -> Mapping[NodeKey, bytes]:
        return self._try(lambda: self.store.nodes(keys)) or {}

    # --- the rest

    def _check_beginning(self) -> None:
        """An instance's ledger begins with the making of the instance."""
        if self.size == 0:
            self._fault("audit-ledger-empty")
            return
        first = self._try(lambda: self.store.entry(0))
        if first is not None and first.kind is not EntryKind.INSTANCE_CREATED:
            self._fault("audit-first-entry", entry=first.entry)

    def _check_end(self) -> None:
        """Nodes beyond the end are left over from a longer tree. They are read before the size, which only grows."""
        found = self._nodes(
            [
                (level, (self.size >> level) + place)
                for level in range(LEVELS_LOOKED_AT)
                for place in range(NODES_LOOKED_AT)
            ]
        )
        size = self.store.size()
        for level, index in sorted(found):
            if (index + 1) << level > size:
                self._fault("audit-node-beyond", level=level, index=index, size=size)

    def _check_pending(self) -> int:
        pending = self._try(lambda: self.store.pending(1_000_000))
        if pending is None:
            self._fault("audit-pending-unreadable")
            return 0
        folded: list[str] = []
        for promise in pending:
            if not self._signed(promise):
                self._fault("audit-pending-changed", entry=promise.entry)
                continue
            try:
                read_promise(promise)
            except ValueError:
                self._fault("audit-pending-fields", entry=promise.entry)
                continue
            self.changes.pop(promise.entry, None)
            if not signed_in_time(promise, keys=self.keys):
                self._fault("audit-pending-changed", entry=promise.entry)
            if self._try(lambda: self.store.index_of(promise.entry)) is not None:  # noqa: B023 (called at once)
                folded.append(promise.entry)
        if folded:  # those that were folded while the audit looked wait no more
            waiting = {promise.entry for promise in self._try(lambda: self.store.pending(1_000_000)) or ()}
            for entry in folded:
                if entry in waiting:
                    self._fault("audit-pending-folded", entry=entry)
        return len(pending)

    def _check_ids(self) -> None:
        """Name entries whose id stands twice; ids are compared by 64 of their 128 random bits, so memory stays small."""
        sorted_ids = numpy.sort(numpy.frombuffer(self.ids, dtype=numpy.uint64)) if self.ids else numpy.empty(0, numpy.uint64)
        twice = {int(value) for value in sorted_ids[1:][sorted_ids[1:] == sorted_ids[:-1]]}
        if not twice:
            return
        seen: dict[str, int] = {}
        for first in range(0, self.size, READ_AT_ONCE):
            for index, promise in self._entries(first, min(first + READ_AT_ONCE, self.size)):
                if promise is None or not any(f"{value:016x}" == promise.entry[:16] for value in twice):
                    continue
                if promise.entry in seen:
                    self._fault("audit-entry-twice", entry=promise.entry, first=seen[promise.entry], index=index)
                seen.setdefault(promise.entry, index)

    def _try(self, read: Callable[[], Result]) -> Result | None:
        """What the store gives; None if its bytes are so broken that it raises: the audit goes on and names the place.

        A store that can no longer be asked at all is no finding: then its own error goes to the caller."""
        try:
            return read()
        except Exception:
            self.store.size()
            return None
