"""A clean text file, read in pieces that end where a record ends, by several threads: nothing is parsed twice and every line is known.

Each piece is cut into columns by Arrow, typed by an engine of its own thread and written. A piece with rows of another width is put
in order record by record. What is not plain, such as a quote in the middle of a field, ends the attempt: the careful way, which
judges such things, then reads the whole source.
"""

import csv
import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.loads import Progress
from huitong.intake.source import FastText, Proof, SourceTable
from huitong.intake.staging import Cause, Rejected, RowsWriter, StagedFile, Typist, key_items
from huitong.lake.snapshots import SnapshotWriting
from huitong.model.catalog import Dataset

PIECE_BYTES = 12 << 20
"""Bytes of one piece: large enough for a row group, small enough for several to be in memory."""
CUT_BYTES = 4 << 20
"""Bytes that are cut at once: what a processor's cache holds."""
_MOST_THREADS = 4
_AHEAD = 2
"""Pieces that wait for each thread."""
_NEWLINE, _RETURN = 10, 13


class NotPlainError(Exception):
    """The file must be read the careful way."""


@dataclass(frozen=True)
class Piece:
    """Whole records of the file: where they begin, the number of their first line, their bytes."""

    offset: int
    line: int
    data: bytes
    quote: str

    @cached_property
    def bytes_(self) -> "np.ndarray[Any, Any]":
        """Its bytes as numbers."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def _quotes(self) -> "np.ndarray[Any, Any]":
        if not self.quote or self.quote.encode() not in self.data:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.bytes_ == ord(self.quote))

    @property
    def is_quoted(self) -> bool:
        """Whether a quote stands in it."""
        return len(self._quotes) > 0

    def outside(self, places: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Those of these places that are not between quotes."""
        return places[np.searchsorted(self._quotes, places) % 2 == 0] if self.is_quoted else places

    @cached_property
    def records(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Where each record that is not blank begins and ends."""
        ends = self.outside(self._newlines)
        if not len(ends) or ends[-1] != len(self.data) - 1:
            ends = np.append(ends, len(self.data))
        starts = np.concatenate(([0], ends[:-1] + 1))
        bare = ends - (self.bytes_[np.maximum(ends - 1, 0)] == _RETURN)
        there = bare > starts
        return starts[there], bare[there]

    def lines(self, starts: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """The number of the line on which each of these places, in order, lies."""
        return np.searchsorted(self._newlines, starts) + self.line

    @cached_property
    def _newlines(self) -> "np.ndarray[Any, Any]":
        return np.flatnonzero(self.bytes_ == _NEWLINE)

    def holds(self, marks: Sequence[bytes]) -> bool:
        """Whether one of these texts stands in it; one that begins with a line feed is looked for where lines begin."""
        starts = np.concatenate(([0], self._newlines + 1))
        starts = starts[starts < len(self.data)]
        first = self.bytes_[starts]
        for mark in marks:
            if mark[:1] != b"\n":
                if all(bytes([byte]) in self.data for byte in mark) and mark in self.data:
                    return True
            else:
                there = starts[first == mark[1]]
                for place, byte in enumerate(mark[2:], start=1):
                    there = there[there + place < len(self.data)]
                    there = there[self.bytes_[there + place] == byte]
                if len(there):
                    return True
        return False

    def count(self) -> tuple[int, int]:
        """How many records that are not blank stand in it, by the ends of its lines alone, and the bytes of the longest."""
        if self.is_quoted or b"\r" in self.data:
            starts, ends = self.records
            return len(starts), int((ends - starts).max(initial=0))
        ends = self._newlines
        if not len(ends) or ends[-1] != len(self.data) - 1:
            ends = np.append(ends, len(self.data))
        lengths = np.diff(ends, prepend=-1) - 1
        return int(np.count_nonzero(lengths)), int(lengths.max(initial=0))

    def check_plain(self, delimiter: str) -> None:
        """Raise NotPlainError unless quotes stand at the ends of fields alone, every line ends in a line feed and no NUL is there."""
        if b"\x00" in self.data:
            raise NotPlainError
        if b"\r" in self.data and self.data.count(b"\r") != self.data.count(b"\r\n"):
            raise NotPlainError
        quotes = self._quotes
        if not len(quotes):
            return
        if len(quotes) % 2:
            raise NotPlainError
        mark, cut = ord(self.quote), ord(delimiter)
        around = np.concatenate(([_NEWLINE], self.bytes_, [_NEWLINE]))
        before, after = around[quotes[0::2]], around[quotes[1::2] + 2]
        if not (np.isin(before, (cut, _NEWLINE, mark)).all() and np.isin(after, (cut, _NEWLINE, _RETURN, mark)).all()):
            raise NotPlainError


@dataclass(frozen=True)
class _Done:
    records: int
    longest: int
    bytes: int
    rejected: Sequence[tuple[int, Sequence[Cause], str | None]]


def load_fast(
    source: SourceTable,
    fast: FastText,
    writing: SnapshotWriting,
    rejected: Rejected,
    *,
    header_bytes: bytes,
    progress: Progress,
    deadline: Deadline,
) -> tuple[list[StagedFile], list[pa.Table], Proof]:
    """Stage the rows of the file, and prove its bytes meanwhile: their hash, that they are UTF-8 without NUL (Arrow's reader looks at
    every text), and that as many records were read as lines end. `header_bytes` must not stand in it again. Raises NotPlainError if
    it has to be read the careful way, and what `Rejected` raises."""
    dataset = writing.dataset
    if len(fast.delimiter.encode()) != 1 or len(fast.quote.encode()) > 1:
        raise NotPlainError
    threads = max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0))))
    columns = source.match(dataset)
    size = fast.path.stat().st_size
    memory = max(128, writing.lake.memory_megabytes // (2 * threads))
    done_bytes, records, longest = 0, 0, 0
    read = Reading(fast)
    with ExitStack() as stack:
        writers, typists, pools = [], [], []
        for number in range(threads):
            writers.append(RowsWriter(writing.staging, dataset, name=str(number), source_bytes=size))
            typists.append(stack.enter_context(Typist(dataset, memory_megabytes=memory)))
            stack.callback(writers[-1].close)
        for number in range(threads):
            pools.append(stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix=f"load-{number}")))
        waiting: deque[Future[_Done]] = deque()

        def gather(most: int) -> None:
            nonlocal done_bytes, records, longest
            while len(waiting) > most:
                done = waiting.popleft().result()
                deadline.check()
                rejected.add(done.rejected)
                records += done.records
                longest = max(longest, done.longest)
                done_bytes += done.bytes
                progress(records, max(records, round(records * size / max(1, done_bytes))))

        try:
            for number, piece in enumerate(read.pieces()):
                at = number % threads
                work = partial(
                    _stage, piece, fast=fast, columns=columns, typist=typists[at], writer=writers[at], header_bytes=header_bytes,
                    dataset=dataset,
                )
                waiting.append(pools[at].submit(work))
                gather(_AHEAD * threads)
            gather(0)
            for pool, writer in zip(pools, writers, strict=True):
                pool.submit(writer.close).result()
        except BaseException:
            for waits in waiting:
                waits.cancel()
            raise
    if longest > LIMITS.field_characters:
        raise NotPlainError
    proof = Proof(sha256=read.sha256, rows=records, longest=longest, lines=read.lines)
    return [file for writer in writers for file in writer.files], [keys for writer in writers for keys in writer.gone], proof


class Reading:
    """The file, read once from its first byte to its last: in pieces, hashed on the way."""

    def __init__(self, fast: FastText) -> None:
        self._fast = fast
        self._digest = hashlib.sha256()
        self.lines = 0
        """Line ends so far."""

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._digest.hexdigest()

    def pieces(self) -> Iterator[Piece]:
        """What is below the header. Raises NotPlainError where no record ends for too long."""
        fast = self._fast
        with fast.path.open("rb") as file:
            for _ in range(fast.skip):
                self._digest.update(file.readline(LIMITS.record_characters))
            for piece in self._below(file, file.tell()):
                yield piece
                self.lines = piece.line - 1

    def _below(self, file: io.BufferedReader, offset: int) -> Iterator[Piece]:
        fast, line, rest = self._fast, self._fast.skip + 1, b""
        while True:
            block = file.read(PIECE_BYTES)
            self._digest.update(block)
            data = rest + block if rest else block
            if len(block) < PIECE_BYTES:
                if data:
                    yield Piece(offset, line, data, fast.quote)
                return
            end = _end(data, fast.quote)
            if not end and len(data) > 2 * LIMITS.chunk_characters:
                raise NotPlainError
            rest = data[end:]
            if end:
                piece = Piece(offset, line, data[:end], fast.quote)
                yield piece
                offset += end
                line += int(np.count_nonzero(piece.bytes_ == _NEWLINE))


def _end(data: bytes, quote: str) -> int:
    """Where the last whole record of the bytes ends; 0 if none does. They begin with a record."""
    if not quote or quote.encode() not in data:
        return data.rfind(b"\n") + 1
    whole = Piece(0, 0, data, quote)
    ends = whole.outside(np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE))
    return int(ends[-1]) + 1 if len(ends) else 0


def _stage(
    piece: Piece, *, fast: FastText, columns: Mapping[str, int], typist: Typist, writer: RowsWriter, header_bytes: bytes, dataset: Dataset
) -> _Done:
    piece.check_plain(fast.delimiter)
    if header_bytes and (header_bytes in piece.data or piece.data.startswith(header_bytes[1:])):
        raise NotPlainError
    if piece.holds(fast.odd):
        raise NotPlainError
    records, longest = piece.count()
    kept, rejected = None, list[tuple[int, Sequence[Cause], str | None]]()
    try:
        table, ragged = _cut(piece.data, fast, quoted=piece.is_quoted)
        if ragged:
            data, kept, rejected = _in_order(piece, fast, ragged)
            if data is not None:
                table, ragged = _cut(data, fast, quoted=piece.is_quoted)
            if table.num_rows != len(kept) or (ragged and data is not None) or records != len(piece.records[0]):
                raise NotPlainError
        elif table.num_rows != records:
            raise NotPlainError
    except (pa.ArrowInvalid, UnicodeDecodeError):
        raise NotPlainError from None
    batch = table.select([columns[item] for item in columns]).rename_columns(list(columns))
    typed = typist.type(batch)
    if typed.unfit:
        starts, ends = piece.records
        if kept is None and len(starts) != table.num_rows:
            raise NotPlainError
        wrong = np.array(sorted(typed.unfit))
        at = wrong if kept is None else kept[wrong]
        for place, line, record in zip(wrong, piece.lines(starts[at]), at, strict=True):
            text = piece.data[starts[record] : ends[record]].decode()
            rejected.append((int(line), typed.unfit[int(place)], text))
        kept = np.delete(np.arange(table.num_rows) if kept is None else kept, wrong)
    twice = typed.twice(dataset)
    if len(twice):
        starts, ends = piece.records
        kept = np.arange(typed.rows.num_rows) if kept is None else kept
        label = ", ".join(dataset.primary_key)
        for line, record in zip(piece.lines(starts[kept[twice]]), kept[twice], strict=True):
            text = piece.data[starts[record] : ends[record]].decode()
            rejected.append((int(line), (("row-key-twice", label),), text))
        writer.gone.append(typed.rows.select(key_items(dataset)).take(pa.array(twice)))
        typed, kept = typed.without(twice), np.delete(kept, twice)
    rejected.sort(key=lambda one: one[0])
    writer.write(typed, partial(_look, fast, piece.offset, len(piece.data), piece.line, kept))
    return _Done(records, longest, len(piece.data), rejected)


def _look(
    fast: FastText, offset: int, size: int, line: int, kept: "np.ndarray[Any, Any] | None", places: Sequence[int]
) -> Sequence[tuple[int, str | None]]:
    """Line and text of rows of a piece, read again from the file."""
    with fast.path.open("rb") as file:
        file.seek(offset)
        piece = Piece(offset, line, file.read(size), fast.quote)
    starts, ends = piece.records
    at = np.array(places, np.int64) if kept is None else kept[np.array(places, np.int64)]
    found = zip(piece.lines(starts[at]), at, strict=True)
    return [(int(number), piece.data[starts[record] : ends[record]].decode()) for number, record in found]


def _cut(data: bytes, fast: FastText, *, quoted: bool) -> tuple[pa.Table, Sequence[int]]:
    """The columns of whole records, and which of the records are left out since they have another width."""
    ragged: list[int] = []

    def left_out(row: Any) -> str:
        ragged.append(row.number - 1)
        return "skip"

    names = [f"c{position}" for position in range(fast.width)]
    if not data:
        return pa.table([pa.array([], pa.string())] * fast.width, names=names), ()
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=CUT_BYTES, column_names=names),
        parse_options=arrow_csv.ParseOptions(
            delimiter=fast.delimiter,
            quote_char=fast.quote if fast.quote and quoted else False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=quoted,
            invalid_row_handler=left_out,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return table, ragged


def _in_order(
    piece: Piece, fast: FastText, ragged: Sequence[int]
) -> "tuple[bytes | None, np.ndarray[Any, Any], list[tuple[int, Sequence[Cause], str | None]]]":
    """What becomes of records of another width: the bytes to cut again (None: those cut already are right), which records of the piece
    are kept, and the rejected ones. Empty fields beyond the width are no fields; a line of blanks is no record."""
    starts, ends = piece.records
    if ragged[-1] >= len(starts):
        raise NotPlainError
    lines = piece.lines(starts[np.array(ragged)])
    parts: list[bytes] = []
    rejected: list[tuple[int, Sequence[Cause], str | None]] = []
    gone = []
    place, mended = 0, False
    for record, line in zip(ragged, lines, strict=True):
        text = piece.data[starts[record] : ends[record]].decode()
        fields = _fields(text, fast)
        if len(fields) == fast.width:
            raise NotPlainError
        parts.append(piece.data[place : starts[record]])
        place = int(ends[record])
        if len(fields) > fast.width and not any(cell.strip() for cell in fields[fast.width :]):
            parts.append(_written(fields[: fast.width], fast))
            mended = True
            continue
        gone.append(record)
        if len(fields) == 1 and not fields[0].strip():
            continue
        code = "row-too-short" if len(fields) < fast.width else "row-too-long"
        rejected.append((int(line), ((code, None),), text))
    parts.append(piece.data[place:])
    return b"".join(parts) if mended else None, np.delete(np.arange(len(starts)), gone), rejected


def _fields(text: str, fast: FastText) -> Sequence[str]:
    if not fast.quote:
        return text.split(fast.delimiter)
    try:
        (fields,) = csv.reader(io.StringIO(text, newline=""), delimiter=fast.delimiter, quotechar=fast.quote, strict=True)
    except (csv.Error, ValueError):
        raise NotPlainError from None
    return fields


def _written(fields: Sequence[str], fast: FastText) -> bytes:
    if not fast.quote:
        return fast.delimiter.join(fields).encode()
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=fast.delimiter, quotechar=fast.quote, lineterminator="").writerow(fields)
    return written.getvalue().encode()
