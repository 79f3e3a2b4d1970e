"""Delimited text (CSV, TSV and their kin) as a source of rows."""

import codecs
import collections
import contextlib
import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from huitong.errors import InputInvalid, Reason
from huitong.intake import deciding, text
from huitong.intake.deciding import Header
from huitong.intake.file_table import FileTable, Shape
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import FastText, Overrides, Proof, SourceBatch, normal
from huitong.model.catalog import Dataset

_BATCH_ROWS = 50_000
_TAIL_BYTES = 1 << 16
_SAMPLE_CHARACTERS = 1 << 18


def open_delimited(path: Path, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> "DelimitedTable":
    """Decide encoding, delimiter and header by the first block. Raises InputInvalid."""
    start = text.first_block(path)
    encoding = text.decide_encoding(start, overrides.encoding)
    try:
        sample = codecs.getincrementaldecoder(encoding.name)("strict").decode(start).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = start[: error.start].count(b"\n") + 1
        raise InputInvalid.because("intake-encoding-broken", line=line, encoding=encoding.name) from None
    if "\x00" in sample:
        raise InputInvalid.because("intake-nul-character", line=sample[: sample.index("\x00")].count("\n") + 1)
    whole = len(start) < text.BLOCK
    whole = whole and len(sample) <= _SAMPLE_CHARACTERS
    sample = _whole_lines(sample, whole)
    if "\ufeff" in sample or "\x1a" in sample:
        sample = re.sub("(?m)^[\ufeff\x1a]+", "", sample)
    remarks = _REMARKS.match(sample)
    remarked = remarks[0].count("\n") if remarks and remarks.end() < len(sample) else 0
    dialect = deciding.decide_dialect(sample[remarks.end() :] if remarks and remarked else sample, overrides, dataset)
    rows = deciding.rows_of_sample(sample, dialect.delimiter, dialect.quote, dialect.blanks, escape=dialect.escape)
    if rows and rows[-1] is None and not whole and len(rows) < deciding.LOOKED_AT:
        rows.pop()  # a record that goes on beyond the sample
    said = deciding.SAID.match(sample) is not None
    looked = [(index, row) for index, row in enumerate(rows) if row is not None and not (said and index == 0)]
    looked = [(index, row) for index, row in looked if any(cell.strip() for cell in row[1])]
    remarked = _remarks(looked, remarked, overrides)
    skipped = sum(1 for row in rows if row is not None and row[0] <= remarked)
    looked = [(index, row) for index, row in looked if row[0] > remarked]
    if not looked:
        raise InputInvalid.because("reading-no-rows")
    header = deciding.decide_header([row[1] for _index, row in looked], [row[0] for _index, row in looked], overrides, dataset)
    if header.last < 0:
        before, skip, row_of_header = (1 if said else skipped), (1 if said else remarked), 0
    else:
        index, (line, cells) = looked[header.last]
        before = index + 1
        skip = line + sum(field.count("\n") for field in cells)
        row_of_header = looked[header.first][1][0]
    below = [row[1] for _index, row in looked[header.last + 1 :]]
    odd_lines = _odd_lines([row for _index, row in looked[header.last + 1 :]]) if header.last >= 0 else {}
    cells = _without_empty_end(header.cells, below)
    if len(cells) > LIMITS.columns:
        raise InputInvalid.because("reading-too-wide", columns=len(cells), limit=LIMITS.columns)
    shape = Shape("text", cells, encoding=encoding.name, delimiter=dialect.delimiter, header_row=row_of_header)
    if len(cells) == 1 and dialect.why.code == "reading-delimiter-none":
        shape.delimiter = None
    shape.decide("format", "text", Reason("reading-format-content"))
    shape.decide("encoding", encoding.name, encoding.why)
    shape.decide("delimiter", shape.delimiter or "", dialect.why)
    if dialect.quote != '"':
        shape.decide("quote", dialect.quote, Reason("reading-by-override" if overrides.quote is not None else "reading-quote-found"))
    if dialect.blanks:
        shape.decide("quote", dialect.quote, Reason("reading-blanks-skipped"))
    shape.decide("header", str(row_of_header), header.why)
    if dialect.escape:
        shape.decide("quote", dialect.quote, Reason("reading-quotes-escaped"))
    if remarked:
        shape.decide("rows", str(remarked), Reason("reading-remarks-skipped", {"rows": remarked}))
    if header.last >= 0:
        note_names(shape, len(header.cells) - len(cells))
    table = DelimitedTable(path, shape, overrides, dataset, deadline, encoding, dialect, before)
    table.odd_lines = odd_lines
    table.has_remarks = remarked > 0 and not cells[0].startswith("#")
    table.header_bytes = _header_bytes(header, sample, skip) if header.last >= 0 and header.first == header.last else b""
    straight = encoding.name in ("utf-8", "utf-8-sig") and len(cells) > 1 and len(header.cells) == len(cells)
    alike = all(len(row) == len(cells) for row in below)
    lone = re.search("\r(?!\n)", sample[:-1]) is not None
    usual = dialect.quote in ('"', "") and not dialect.blanks and not dialect.escape and dialect.delimiter.isascii()
    usual = usual and not odd_lines and not remarked and not any(mark in start for mark in text.ODD)
    plain = skip == before and usual and not lone and None not in rows
    if straight and alike and plain and not table.has_tail():
        table.fast = FastText(path, dialect.delimiter, dialect.quote, skip, len(cells), text.ODD)
    return table


_REMARKS = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n))*")
"""Lines at the very beginning that begin with #, and blank ones between them."""


def _remarks(looked: Sequence[tuple[int, tuple[int, Sequence[str]]]], lines: int, overrides: Overrides) -> int:
    """How many lines at the beginning are remarks: the last that begins with # may be the header. Raises `reading-header-unsure`."""
    marked = [row for _index, row in looked if row[0] <= lines]
    rest = [row for _index, row in looked if row[0] > lines]
    if not marked or not rest:
        return 0
    if overrides.header_row:
        return lines if overrides.header_row > lines else 0
    (line, cells), (first, names) = marked[-1], rest[0]
    width = max(len(row[1]) for row in rest)
    if len(cells) != width or width < 2:
        return lines
    if any(deciding.looks_like_data(cell) for cell in names):
        return line - 1 if len(marked) > 1 else 0
    values = [row[1] for row in rest[1:] if not row[1][0].startswith("#")]
    under = [[row[position] for row in values if position < len(row)] for position in range(width)]
    if any(cells and all(map(deciding.looks_like_data, cells)) for cells in under):
        return lines
    raise InputInvalid.because("reading-header-unsure", first=line, last=first)


def _odd_lines(below: Sequence[tuple[int, Sequence[str]]]) -> dict[int, str]:
    """Rows right below the header that are none: a drawn line, the units of the columns."""
    odd: dict[int, str] = {}
    for place, (line, cells) in enumerate(below[:2]):
        if len(cells) > 1 and deciding.is_drawn_line(cells):
            odd[line] = "row-drawn-line"
        elif deciding.is_units(cells, [row[1] for row in below[place + 1 :]]):
            odd[line] = "row-like-header"
        else:
            break
    return odd


def note_names(shape: Shape, dropped: int) -> None:
    """Say what became of header cells that are empty or stand twice."""
    empty = [position for position, cell in enumerate(shape.names, start=1) if not normal(cell)]
    if empty:
        shown = ", ".join(str(one) for one in empty[:10])
        shape.decide("columns", str(len(empty)), Reason("reading-names-empty", {"columns": shown}))
    counts = collections.Counter(normal(cell) for cell in shape.names if normal(cell))
    twice = [cell for cell, count in counts.items() if count > 1]
    if twice:
        shape.decide("columns", str(len(twice)), Reason("reading-names-twice", {"columns": ", ".join(twice[:10])[:200]}))
    if dropped:
        shape.decide("columns", str(dropped), Reason("reading-columns-empty", {"columns": dropped}))


def _whole_lines(sample: str, whole: bool) -> str:
    cut = sample[:_SAMPLE_CHARACTERS]
    if whole and len(cut) == len(sample):
        return cut
    end = max(cut.rfind("\n"), cut.rfind("\r"))
    return cut[: end + 1] if end > 0 else cut


def _without_empty_end(cells: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The header without empty cells at its end below which nothing stands."""
    width = len(cells)
    while width > 1 and not cells[width - 1].strip() and not any(len(row) >= width and row[width - 1].strip() for row in below):
        if all(not cell.strip() for cell in cells):
            break
        width -= 1
    return tuple(cells[:width])


def _header_bytes(header: Header, sample: str, skip: int) -> bytes:
    lines = sample.splitlines(keepends=True)
    if len(header.cells) < 2 or skip > len(lines):
        return b""
    return b"\n" + lines[skip - 1].strip("\r\n").encode() + lines[skip - 1][len(lines[skip - 1].rstrip("\r\n")) :].encode()


class DelimitedTable(FileTable):
    """A delimited text file. Its encoding is that of the first block until `proof` has read the rest."""

    def __init__(
        self,
        path: Path,
        shape: Shape,
        overrides: Overrides,
        dataset: Dataset | None,
        deadline: Deadline | None,
        encoding: text.Encoding,
        dialect: deciding.Dialect,
        before: int,
    ) -> None:
        super().__init__(path, shape, overrides, dataset, deadline)
        self._encoding = encoding
        self._dialect = dialect
        self._before = before
        """Records up to and with the header."""
        self.header_bytes = b""
        """The header's line as it would stand again in the body, with the line end before it."""
        self.odd_lines: dict[int, str] = {}
        """Rows below the header that are none, by line, with the reason code."""
        self.has_remarks = False
        """Whether lines that begin with # are remarks."""
        self._file: text.TextFile | None = None

    def _prove(self) -> Proof:
        repeats = text.Repeats(self.header_bytes, text.ODD if self.fast is not None else ())
        file, encoding = text.prove(self.path, self._encoding, deadline=self.deadline, repeats=repeats)
        self._file = file
        if file.lost[0]:
            lost, line = file.lost
            self.shape.decide("encoding", encoding.name, Reason("reading-characters-lost", {"values": lost, "line": line}))
        if encoding.name != self._encoding.name:
            self._encoding = encoding
            self.fast = None
            self.shape.encoding = encoding.name
            self.shape.decisions = [one for one in self.shape.decisions if one.what != "encoding"]
            self.shape.decide("encoding", encoding.name, encoding.why)
        again = repeats.found - (self._before > 1 and repeats.found > 0)
        rows = None if file.records is None or file.lone_returns or repeats.odd else file.records - self._before - again
        return Proof(file.sha256, rows, file.longest, file.lines)

    def has_tail(self) -> bool:
        """Whether the file's end holds what is no row: totals, notes, an end mark of old systems."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(max(0, size - _TAIL_BYTES))
            end = file.read(_TAIL_BYTES)
        end = end.rstrip(b"\r\n") + b"\n"
        if end.rstrip(b"\r\n").endswith(b"\x1a"):
            return True
        lines = end.decode("utf-8", "replace").splitlines()[-deciding.TAIL_ROWS :]
        blank = f"{self._dialect.delimiter}{self._dialect.quote} \t"
        if lines and lines[-1].strip() and not lines[-1].strip(blank):
            return True
        for line in lines:
            with contextlib.suppress(csv.Error):
                for cells in csv.reader([line], delimiter=self._dialect.delimiter, quotechar=self._dialect.quote or None):
                    if deciding.is_total_or_note(cells):
                        return True
        return False

    def batches(self) -> Iterator[SourceBatch]:
        """Its records below the header."""
        if self._file is None:
            self._proof = None  # a faster reader's proof is not enough to cut the text into records
        self.proof()
        assert self._file is not None
        dialect = self._dialect
        with contextlib.closing(
            text.records(self._file, dialect.delimiter, dialect.quote, dialect.blanks, dialect.escape)
        ) as records:
            body = itertools.islice(records, self._before, None)
            yield from batches_of(self._fields(body), self.column_names)

    def _fields(self, records: Iterator[text.Record]) -> "Iterator[Row]":
        width = len(self.names)
        header = [cell.strip() for cell in self.names]
        several = sum(1 for cell in header if cell) > 1
        one = width == 1
        odd = self.odd_lines
        for record in records:
            fields: Sequence[str] = record.fields
            broken = record.broken
            if not broken:
                if len(fields) == 1 and (fields[0] == "\x1a" or (not one and not fields[0].strip())):
                    continue  # the end mark of old systems, a line of blanks
                if len(fields) > width and not any(cell.strip() for cell in fields[width:]):
                    fields = fields[:width]
                if len(fields) != width:
                    broken = "row-too-short" if len(fields) < width else "row-too-long"
                elif several and fields[0].strip() == header[0] and [cell.strip() for cell in fields] == header:
                    broken = "row-repeats-header"
                elif fields[0] in deciding.BODY_TOTALS and not all(cell.strip() for cell in fields):
                    broken = "row-total-or-note"
                elif record.line in odd:
                    broken = odd[record.line]
                if broken is None and any(cell.startswith('="') for cell in fields):
                    fields = [_unwrapped(cell) for cell in fields]
            if self.has_remarks and fields and fields[0].startswith("#"):
                broken = "row-remark"
            yield record.line, fields, broken, record.characters


def _unwrapped(cell: str) -> str:
    """A text that was written as a formula, so that a spreadsheet keeps it as it is."""
    found = re.fullmatch(r'="((?:[^"]|"")*)"', cell)
    return found[1].replace('""', '"') if found else cell


Row = tuple[int, Sequence[str], str | None, int]
"""Line, cells, the reason code if it is broken, its size in characters."""


def batches_of(rows: Iterator[Row], names: Sequence[str], *, tail: bool = True) -> Iterator[SourceBatch]:
    """Rows gathered into batches; totals and notes among the last are reported as broken, rows of nothing at the end are none."""
    waiting: collections.deque[Row] = collections.deque()
    chunk: list[Row] = []
    characters = 0
    for row in _without_blank_end(rows):
        waiting.append(row)
        if len(waiting) <= deciding.TAIL_ROWS:
            continue
        chunk.append(waiting.popleft())
        characters += chunk[-1][3]
        if len(chunk) >= _BATCH_ROWS or characters >= LIMITS.chunk_characters:
            yield _batch(chunk, names)
            chunk, characters = [], 0
    chunk += _judged(list(waiting)) if tail else list(waiting)
    if chunk:
        yield _batch(chunk, names)


def _without_blank_end(rows: Iterator[Row]) -> Iterator[Row]:
    blank: list[Row] = []
    for row in rows:
        if not row[2] and len(blank) < _BATCH_ROWS and not any(cell.strip() for cell in row[1]):
            blank.append(row)
            continue
        yield from blank
        blank = []
        yield row


def _judged(last: list[Row]) -> list[Row]:
    """Totals and notes at the very end marked as broken; rows of nothing between them left out."""
    kept: list[Row] = []
    for index in range(len(last) - 1, -1, -1):
        line, cells, broken, size = last[index]
        if not broken and not any(cell.strip() for cell in cells):
            continue
        if not broken or broken == "row-merged-cells":
            if not deciding.is_total_or_note(cells):
                return last[: index + 1] + kept
            broken = "row-total-or-note"
        kept.insert(0, (line, cells, broken, size))
    return kept


def _batch(chunk: Sequence[Row], names: Sequence[str]) -> SourceBatch:
    whole = [row for row in chunk if not row[2]]
    lines = pa.array([row[0] for row in whole], pa.int64())
    arrays = [pa.array([cell or None for cell in column], pa.string()) for column in zip(*(row[1] for row in whole), strict=True)]
    if not whole:
        arrays = [pa.array([], pa.string()) for _name in names]
    columns = pa.table(arrays, names=list(names))
    return SourceBatch(lines, columns, tuple((row[0], row[2]) for row in chunk if row[2]))

