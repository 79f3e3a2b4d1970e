"""The tree of a long ledger checked range by range, by several processes: which part of it is certainly sound.

A range is sound if every entry of it can be read, its text has the kept leaf hash, and every kept node above them, up to the range's own,
is the hash of its children. Nothing is named here: whatever is not certainly sound is left to the audit, which looks at it one by one.
"""

import hashlib
import multiprocessing
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib.resources import files
from multiprocessing.connection import Connection, wait
from typing import Protocol

NODE_MARK = b"\x01"
LEAF_MARK = b"\x00"
WORTH_PROCESSES = 4
"""Ranges from which on other processes are started: that takes about as long as one."""


class TreeReader(Protocol):
    """Reads a folded ledger in pieces. It goes to other processes, so it is pickled, and opens what it needs when it first reads."""

    def texts(self, start: int, end: int) -> Sequence[bytes] | None:
        """The signed texts at the places [start, end), in order; None if one is missing, or a row of them could not be read as an entry."""

    def hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """The kept hashes of that level at the places [start, end), in order, as far as they are there."""

    def close(self) -> None:
        """Give back what was opened."""


def range_levels() -> int:
    """The level of a range's own node, from `limits.toml`."""
    said = tomllib.loads(files("huitong.ledger").joinpath("limits.toml").read_text("utf-8"))["audit"]
    return int(said["range_levels"])


def sound_until(
    reader: TreeReader,
    size: int,
    *,
    processes: int | None = None,
    levels: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """The greatest size (0 to `size`) up to which the kept tree is certainly sound: every entry before it and every node that covers only
    entries before it. `processes` share the work (None: as many as this machine gives); a range is a subtree of `levels`."""
    levels = range_levels() if levels is None else levels
    step, sound, tops = 1 << levels, size, {}
    ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
    done = 0
    try:
        for (start, end), top in _checked(reader, ranges, processes or _processors()):
            if top is None:
                sound = min(sound, start)
            tops[start] = top
            done += end - start
            if progress is not None:
                progress(done, size)
        whole = [top for start, end in ranges if end <= sound and end - start == step and (top := tops[start])]
        return min(sound, _upper_sound_until(reader, whole, levels, size))
    finally:
        reader.close()


def _upper_sound_until(reader: TreeReader, hashes: Sequence[bytes], level: int, size: int) -> int:
    """The size up to which the kept nodes above sound ranges are right."""
    sound = size
    while len(hashes) > 1:
        level, hashes = level + 1, _parents(hashes)
        kept = list(reader.hashes(level, 0, len(hashes)))
        if kept != hashes:
            wrong = next((place for place, pair in enumerate(zip(kept, hashes, strict=False)) if pair[0] != pair[1]), len(kept))
            sound = min(sound, ((wrong + 1) << level) - 1)
    return sound


def checked_range(reader: TreeReader, start: int, end: int) -> bytes | None:
    """The hash of the last complete node of the range if all of it is sound; None if anything is not.

    `start` is where a subtree of the range's size begins."""
    texts = reader.texts(start, end)
    if texts is None or len(texts) != end - start:
        return None
    sha256 = hashlib.sha256
    hashes = [sha256(LEAF_MARK + text).digest() for text in texts]
    level = 0
    while hashes:
        if list(reader.hashes(level, start >> level, (start >> level) + len(hashes))) != hashes:
            return None
        if len(hashes) == 1:
            break
        level, hashes = level + 1, _parents(hashes)
    return hashes[0] if hashes else None


def _parents(hashes: Sequence[bytes]) -> list[bytes]:
    """The nodes above complete pairs."""
    sha256 = hashlib.sha256
    return [sha256(NODE_MARK + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=False)]


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- several processes


Range = tuple[int, int]


def _checked(reader: TreeReader, ranges: Sequence[Range], processes: int) -> Iterator[tuple[Range, bytes | None]]:
    """Each range with what `checked_range` says of it, in any order. A process that dies leaves its range unsound."""
    if processes < 2 or len(ranges) < WORTH_PROCESSES:
        for one in ranges:
            yield one, _careful(reader, one)
        return
    # Started anew rather than forked: a fork would share this process's connections, and its threads' locks.
    context = multiprocessing.get_context("spawn")
    waiting, busy = list(reversed(ranges)), dict[Connection, Range]()
    with ExitStack() as ending:
        for _ in range(min(processes, len(ranges))):
            here, there = context.Pipe()
            worker = context.Process(target=_work, args=(there, reader), daemon=True)
            worker.start()
            there.close()
            ending.callback(worker.join)
            ending.callback(worker.terminate)
            ending.callback(here.close)
            busy[here] = waiting.pop()
            here.send(busy[here])
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                one, top = busy.pop(connection), None
                with suppress(EOFError, OSError):
                    top = connection.recv()
                    if waiting:
                        busy[connection] = waiting.pop()
                        connection.send(busy[connection])
                yield one, top
        for one in waiting:  # every process has died
            yield one, None


def _work(told: Connection, reader: TreeReader) -> None:
    """Check range after range until nobody asks any more, also because the process that asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is interrupted, and ends this
    with suppress(EOFError, OSError):
        while True:
            told.send(_careful(reader, told.recv()))
    sys.exit()


def _careful(reader: TreeReader, one: Range) -> bytes | None:
    """What cannot be read is not sound: the audit looks at it again and says why."""
    try:
        return checked_range(reader, *one)
    except Exception:
        return None
