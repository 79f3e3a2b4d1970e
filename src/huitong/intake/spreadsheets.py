"""Workbooks (xlsx, xlsb, xls, ods) as a source of rows. Their content is opened only in a process of its own (`sheet_reader`).

Decided here: the header, which may be of several rows where cells are merged, and what merged cells of the body mean. A merged cell
belongs to its first cell in the file but to all that it covers for the eye, and filling it could count a sum five times: so rows with
such cells are reported as broken until a person says `fill` or `leave`.
"""

import hashlib
import io
import itertools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

import pyarrow as pa

from huitong.errors import InputInvalid, Reason
from huitong.intake import deciding
from huitong.intake.deciding import Header
from huitong.intake.delimited import Row, batches_of, note_names
from huitong.intake.file_table import FileTable, Shape
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import MOST_HEADER_ROWS, Overrides, Proof, SourceBatch, names_of, normal
from huitong.model.catalog import Dataset, ItemType

MARKED_UP = ("html", "xml")
"""Tables written as marked-up text: web pages and SpreadsheetML 2003."""
_BLOCK = 1 << 20
_LOOK_AGAIN = 0.2
_Read = tuple[int, Sequence[str], str | None, int, Sequence[int]]
Range = tuple[int, int, int, int]
"""Top, left, bottom, right of merged cells, from 0, all included."""


def open_workbook(path: Path, kind: str, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> "SheetTable":
    """Read one sheet into a nameless file and decide its header. Raises InputInvalid."""
    if path.stat().st_size > LIMITS.sheet.file_bytes:
        raise InputInvalid.because("reading-workbook-too-large", what="file", limit=LIMITS.sheet.file_bytes)
    spool = tempfile.TemporaryFile(prefix="huitong-sheet-")  # noqa: SIM115 -- the table closes it
    try:
        with tempfile.TemporaryDirectory(prefix="huitong-sheet-") as folder:
            named = Path(folder) / f"book.{kind}"  # the reader of workbooks believes a name more than the content
            named.symlink_to(path.resolve())
            said = _run(named, kind, overrides, spool, deadline)
        return _table(path, kind, said, spool, overrides, dataset, deadline)
    except BaseException:
        spool.close()
        raise


def _run(path: Path, kind: str, overrides: Overrides, spool: Any, deadline: Deadline | None) -> Mapping[str, Any]:
    limits = {
        **{name: getattr(LIMITS.sheet, name) for name in LIMITS.sheet.__dataclass_fields__},
        "columns": LIMITS.columns,
    }
    if kind in MARKED_UP:
        limits["seconds"] = limits["marked_up_seconds"]
    said_of_it = [str(path), kind, overrides.sheet or "", json.dumps(limits), overrides.encoding or ""]
    command = [sys.executable, "-I", "-m", "huitong.intake.sheet_reader", *said_of_it]
    process = Popen(command, stdin=DEVNULL, stdout=spool, stderr=DEVNULL, env={"LANG": "C.UTF-8"}, start_new_session=True)
    try:
        while True:
            try:
                code = process.wait(_LOOK_AGAIN)
                break
            except TimeoutExpired:
                if deadline:
                    deadline.check()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    spool.seek(0)
    line = spool.readline(1 << 24)
    try:
        said: Mapping[str, Any] = json.loads(line)
    except ValueError:
        said = {}
    if "refuse" in said:
        raise InputInvalid.because(said["refuse"], **said["parameters"])
    if code == -signal.SIGXCPU:
        raise InputInvalid.because("reading-workbook-too-large", what="seconds", limit=limits["seconds"])
    if code or "sheet" not in said:
        raise InputInvalid.because("reading-workbook-too-large", what="memory", limit=LIMITS.sheet.memory_bytes)
    return said


class _Part(io.RawIOBase):
    """A file from some byte on, with a place of its own, so that several readers do not disturb each other."""

    def __init__(self, file: Any, start: int) -> None:
        self._number, self._place = file.fileno(), start

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        data = os.pread(self._number, len(target), self._place)
        target[: len(data)] = data
        self._place += len(data)
        return len(data)


def _table(
    path: Path, kind: str, said: Mapping[str, Any], spool: Any, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None
) -> "SheetTable":
    stream = _Stream(spool, spool.tell(), said["width"])
    dropped = stream.leave_empty_columns_out()
    ranges = [kept for one in said["merged"] if (kept := _kept(one, stream.keep)) is not None]
    first = [row for row in itertools.islice(stream.rows(), deciding.LOOKED_AT * 3) if any(cell.strip() for cell in row[1])]
    first = first[: deciding.LOOKED_AT]
    if not first:
        raise InputInvalid.because("reading-workbook-empty")
    top = _filled_in(first, [one for one in ranges if _spans(one) < len(stream.keep) * 0.8 or one[2] > one[0]], deciding.HEADER_WITHIN)
    where = [row[0] for row in first]
    header = _header(top, where, ranges, overrides, dataset)
    shape = Shape(kind, header.cells, sheet=said["sheet"], sheets=tuple(said["sheets"]))
    shape.header_row = 0 if header.last < 0 else where[header.first]
    shape.decide("format", kind, Reason("reading-format-content"))
    shape.decide("sheet", said["sheet"], Reason(said["why"], said["parameters"]))
    shape.decide("header", str(shape.header_row), header.why)
    if header.last > header.first:
        count = header.last - header.first + 1
        shape.decide("header", str(count), Reason("reading-header-merged", {"rows": count}))
    if header.last >= 0:
        note_names(shape, 0)
    if dropped:
        shape.decide("columns", str(dropped), Reason("reading-columns-empty", {"columns": dropped}))
    if said["hidden_rows"]:
        shape.decide("rows", str(said["hidden_rows"]), Reason("reading-rows-hidden", {"rows": said["hidden_rows"]}))
    last_line = 0 if header.last < 0 else where[header.last]
    body = [one for one in ranges if one[0] + 1 > last_line]
    if body:
        code = {"fill": "reading-merged-fill", "leave": "reading-merged-leave", None: "reading-merged-broken"}[overrides.merged]
        shape.decide("merged", str(len(body)), Reason(code, {"areas": len(body)}))
    table = SheetTable(path, shape, overrides, dataset, deadline, stream, last_line, body)
    below = [row[1] for row in first if row[0] > last_line]
    if header.last >= 0 and below and deciding.is_units(below[0], below[1:]):
        table.units_line = next(row[0] for row in first if row[0] > last_line)
    if len(below) >= 5 and overrides.header_row != 0:
        table.data_columns = deciding.data_columns(below, len(header.cells))
    return table


def _kept(one: Sequence[int], keep: Sequence[int]) -> Range | None:
    """Merged cells as they stand once empty columns are left out."""
    inside = [index for index, position in enumerate(keep) if one[1] <= position <= one[3]]
    return (one[0], inside[0], one[2], inside[-1]) if inside and (one[2] > one[0] or len(inside) > 1) else None


def _spans(one: Range) -> int:
    return one[3] - one[1] + 1


def _filled_in(rows: Sequence[_Read], ranges: Sequence[Range], within: int) -> list[list[str]]:
    """The first rows as the eye sees them: the value of merged cells in all of them."""
    grid = [list(row[1]) for row in rows]
    at = {row[0] - 1: index for index, row in enumerate(rows[:within])}
    for up, left, down, right in ranges:
        if up not in at or left >= len(grid[at[up]]):
            continue
        value = grid[at[up]][left]
        for number in range(up, min(down, up + within) + 1):
            if number in at:
                cells = grid[at[number]]
                cells[left : right + 1] = [value] * (min(right + 1, len(cells)) - left)
    return grid


def _header(top: list[list[str]], where: list[int], ranges: Sequence[Range], overrides: Overrides, dataset: Dataset | None) -> Header:
    if overrides.header_row is not None:
        return deciding.decide_header(top, where, overrides, dataset)
    if dataset is not None:
        names = names_of(dataset)
        plain = deciding.decide_header(top, where, overrides, dataset)
        several = _with_rows_below(plain, top, where, ranges)
        named = [len({names[normal(cell)] for cell in one.cells if normal(cell) in names}) for one in (plain, several)]
        return several if named[1] > named[0] else plain
    return _with_rows_below(deciding.decide_header(top, where, overrides, dataset), top, where, ranges)


def _with_rows_below(header: Header, top: list[list[str]], where: list[int], ranges: Sequence[Range]) -> Header:
    """The header with the rows that its merged cells reach or stand over, below it and above."""
    if header.last < 0:
        return header
    first, last = header.first, header.last
    width = len(top[0])
    parts = [one for one in ranges if _spans(one) < width * 0.8 or (one[2] > one[0] and _spans(one) < width)]
    grown = True
    while grown and last - first < MOST_HEADER_ROWS - 1:
        grown = False
        for up, left, down, right in parts:
            begins, ends = up + 1, down + 1
            inside = where[first] <= begins <= where[last]
            if inside and last + 1 < len(top) and (ends > where[last] or (right > left and ends == where[last])):
                beneath = top[last + 1][left : right + 1]
                words = all(cell.strip() and not deciding.looks_like_data(cell) for cell in beneath) and len(set(beneath)) > 1
                if ends > where[last] or words:
                    last, grown = last + 1, True
                    break
            above = first > 0 and begins < where[first]
            if above and (ends >= where[first] or (right > left and ends == where[first - 1])):
                first, grown = first - 1, True
                break
    if (first, last) == (header.first, header.last):
        return header
    return Header(first, last, deciding.joined(top[first : last + 1]), header.why)


class _Stream:
    """The rows that the reading process wrote."""

    def __init__(self, spool: Any, start: int, width: int) -> None:
        self.spool, self._start = spool, start
        self.keep: Sequence[int] = range(width)
        """Positions in the sheet of the columns that hold something."""

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            with pa.ipc.open_stream(pa.PythonFile(io.BufferedReader(_Part(self.spool, self._start)))) as stream:
                yield from stream
        except pa.ArrowException:
            raise InputInvalid.because("reading-workbook-unreadable", format="sheet") from None

    def leave_empty_columns_out(self) -> int:
        """Columns in which no row has anything, not even a name, are no columns. How many there are."""
        full: set[int] = set()
        width = len(self.keep)
        for batch in self._batches():
            full |= {position for position in range(width) if batch.column(position).null_count < batch.num_rows}
        self.keep = sorted(full) or [0]
        return width - len(self.keep)

    def rows(self) -> Iterator[_Read]:
        """Row number from 1, cells, flaw, characters, positions of numbers that were cut."""
        number = 0
        at = {position: index for index, position in enumerate(self.keep)}
        for batch in self._batches():
            kept = [batch.column(position) for position in self.keep] + batch.columns[-2:]
            for *cells, flaw, cut in zip(*(column.to_pylist() for column in kept), strict=True):
                number += 1
                whole = [cell or "" for cell in cells]
                yield number, whole, flaw, sum(map(len, whole)), [at[int(one)] for one in cut.split(",")] if cut else ()


class SheetTable(FileTable):
    """One sheet of a workbook."""

    def __init__(
        self, path: Path, shape: Shape, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None, stream: _Stream,
        last_line: int, merged: Sequence[Range],
    ) -> None:  # fmt: skip
        super().__init__(path, shape, overrides, dataset, deadline)
        self._stream = stream
        self._last_line = last_line
        self._merged = merged
        self.data_columns: frozenset[int] = frozenset()
        """Columns of numbers and days, by the first rows: a row of words in them is another header."""
        self.units_line = 0
        """The row below the header that holds the units of the columns; 0 for none."""

    def close(self) -> None:
        """Let go of the rows read."""
        self._stream.spool.close()

    def _prove(self) -> Proof:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        rows = sum(1 for _row in self._rows())
        return Proof(digest.hexdigest(), rows, None, None)

    def batches(self) -> Iterator[SourceBatch]:
        """The rows below the header, without blank ones."""
        yield from batches_of(self._rows(), self.column_names)

    def _rows(self) -> Iterator[Row]:
        width = len(self.names)
        header = [cell.strip() for cell in self.names]
        numbers = self._numbers()
        merged = _Merged(self._merged, self.overrides.merged)
        for number, cells, flaw, characters, cut in self._stream.rows():
            if number <= self._last_line:
                continue
            cells, in_merged = merged.apply(number - 1, cells)
            if not any(cell.strip() for cell in cells):
                continue
            broken = flaw
            if not broken and any(position not in numbers for position in cut):
                broken = "row-number-cut"
            if len(cells) > width and any(cell.strip() for cell in cells[width:]):
                broken = broken or "row-too-long"
            cells = cells[:width]
            if not broken and self._last_line and [cell.strip() for cell in cells] == header:
                broken = "row-repeats-header"
            if not broken and deciding.is_total_or_note(cells):
                broken = "row-total-or-note"
            if not broken and number == self.units_line:
                broken = "row-like-header"
            if not broken and self.data_columns and deciding.is_like_header(cells, self.data_columns):
                broken = "row-like-header"
            yield number, cells, broken or in_merged, characters

    def _numbers(self) -> frozenset[int]:
        """Columns that a person said to be measures: there a long number is believed."""
        kinds: dict[int, ItemType] = {
            position: self.overrides.types[name] for position, name in enumerate(self.column_names) if name in self.overrides.types
        }
        return frozenset(position for position, kind in kinds.items() if kind in (ItemType.INTEGER, ItemType.DECIMAL))


class _Merged:
    """Merged cells of the body, row by row."""

    def __init__(self, ranges: Sequence[Range], rule: str | None) -> None:
        self._to_come = sorted(ranges, reverse=True) if rule != "leave" else []
        self._rule = rule
        self._here: list[Range] = []
        """Those that reach the row."""
        self._values: dict[Range, str] = {}

    def apply(self, row: int, cells: Sequence[str]) -> tuple[Sequence[str], str | None]:
        """The cells of a row (from 0) by the rule, and a reason code if there is none for it. Rows are asked for in order."""
        while self._to_come and self._to_come[-1][0] <= row:
            self._here.append(self._to_come.pop())
        if not self._here:
            return cells, None
        self._here = [one for one in self._here if one[2] >= row]
        changed = list(cells)
        broken = None
        for one in self._here:
            top, left, _bottom, right = one
            if left >= len(changed):
                continue
            if row == top:
                self._values[one] = changed[left]
            value = self._values.get(one, "")
            if value.strip():
                broken = "row-merged-cells"
                changed[left : right + 1] = [value] * (min(right + 1, len(changed)) - left)
        if self._rule == "fill":
            return changed, None
        return cells, broken
