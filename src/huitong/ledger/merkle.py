"""Growing a Merkle tree and proving things about it (RFC 6962 section 2.1), from complete subtrees alone.

A node is named (level, index): it covers the leaves [index << level, (index + 1) << level). Only complete subtrees are kept:
they never change. The ragged right edge is computed when needed. Checking proofs is the verifier's work (`verify`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from huitong.errors import LedgerBroken
from huitong.ledger.verify import EMPTY_ROOT, node_hash

NodeKey = tuple[int, int]
Span = tuple[int, int]
"""Leaves [start, end) whose hash is a node of the tree, complete or ragged."""
ReadNodes = Callable[[Sequence[NodeKey]], Mapping[NodeKey, bytes]]


def complete_subtrees(start: int, end: int) -> list[NodeKey]:
    """The complete subtrees, left to right, that make up the leaves [start, end); `start` is where a subtree begins."""
    keys: list[NodeKey] = []
    while start < end:
        level = (end - start).bit_length() - 1
        keys.append((level, start >> level))
        start += 1 << level
    return keys


def join(hashes: Iterable[bytes]) -> bytes:
    """The hash over complete subtrees, left to right, of falling size; that of the empty tree if there are none."""
    rest = list(hashes)
    if not rest:
        return EMPTY_ROOT
    value = rest.pop()
    while rest:
        value = node_hash(rest.pop(), value)
    return value


class Frontier:
    """The complete subtrees of a tree's size, from which it grows without the leaves before."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """The frontier of a tree of `size` leaves; `hashes` belong to `complete_subtrees(0, size)`."""
        if len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, not {len(hashes)}")
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; the nodes (level, index, hash) that became complete, the leaf itself first."""
        level, index, value = 0, self.size, leaf
        made = [(level, index, value)]
        while index & 1:
            value = node_hash(self._hashes.pop(), value)
            level, index = level + 1, index >> 1
            made.append((level, index, value))
        self._hashes.append(value)
        self.size += 1
        return made

    def copy(self) -> "Frontier":
        """The same frontier, to grow apart."""
        return Frontier(self.size, self._hashes)

    def root(self) -> bytes:
        """The root hash of the tree."""
        return join(self._hashes)


def _split(size: int) -> int:
    """The largest power of two below `size` (`size` > 1): where RFC 6962 splits a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_spans(index: int, size: int) -> list[Span]:
    """PATH(index, D[size]) of RFC 6962 as spans of leaves, from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    start, end, spans = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(first: int, second: int) -> list[Span]:
    """PROOF(first, D[second]) of RFC 6962 as spans of leaves; nothing to prove for an empty or an equal tree."""
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} is no beginning of a tree of {second}")
    if first in (0, second):
        return []
    start, end, whole, spans = 0, second, True, []
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start, whole = middle, False
    if not whole:
        spans.append((start, end))
    return spans[::-1]


def hashes_of(spans: Sequence[Span], read: ReadNodes) -> tuple[bytes, ...]:
    """The hash of each span from the kept nodes, read at once. Raises LedgerBroken `ledger-node-missing`."""
    parts = [complete_subtrees(start, end) for start, end in spans]
    found = read([key for keys in parts for key in keys])
    for keys in parts:
        for level, index in keys:
            if (level, index) not in found:
                raise LedgerBroken.because("ledger-node-missing", level=level, index=index)
    return tuple(join(found[key] for key in keys) for keys in parts)


def inclusion_path(index: int, size: int, read: ReadNodes) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree of `size` leaves."""
    return hashes_of(inclusion_spans(index, size), read)


def consistency_path(first: int, second: int, read: ReadNodes) -> tuple[bytes, ...]:
    """The proof that the tree of `first` leaves is the beginning of the tree of `second` leaves."""
    return hashes_of(consistency_spans(first, second), read)


def read_frontier(size: int, read: ReadNodes) -> Frontier:
    """The frontier of a stored tree. Raises LedgerBroken `ledger-node-missing`."""
    keys = complete_subtrees(0, size)
    return Frontier(size, hashes_of([(index << level, (index + 1) << level) for level, index in keys], read))
