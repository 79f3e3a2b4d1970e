"""What every source of rows looks like to the rest of the house: a file of any kind, or a table of a database.

A source was opened and its shape decided; no value has been typed yet. Rows come as text, batch by batch, each with the line it
begins on. What was decided, and why, is its `Reading`.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from huitong.errors import InputInvalid, Reason
from huitong.model.catalog import Dataset, ItemType


@dataclass(frozen=True)
class Overrides:
    """What a person has decided about a file instead of us. None everywhere: decide by evidence."""

    encoding: str | None = None
    """Any name Python knows of a text encoding, e.g. `gb18030`, `big5`, `windows-1252`."""
    delimiter: str | None = None
    """One character; `\\t` may be written as the two characters."""
    quote: str | None = None
    """One character, or empty text: nothing is quoted."""
    header_row: int | None = None
    """The row that names the columns, counted from 1 (for text: the line it begins on; for a sheet: the row's number there).
    0: the file has no header; columns are named `column_1`, `column_2`..."""
    header_rows: int = 1
    """How many rows, from `header_row` on, make up the header; their cells are joined downwards with a slash."""
    sheet: str | None = None
    """Which sheet of a workbook."""
    types: Mapping[str, ItemType] = field(default_factory=dict)
    """Column -> its type, whatever the values look like."""
    format: str | None = None
    """One of `text`, `xlsx`, `xlsb`, `xls`, `ods`, `html`, `xml` (SpreadsheetML 2003), `parquet`, `json`, `json-lines`; the content
    must still be of that kind."""
    merged: str | None = None
    """What cells merged in the body of a sheet mean: `fill` (their value holds for every row and column they cover) or `leave`
    (it belongs to the first cell, the others are missing). None: such rows are reported as broken."""

    def __post_init__(self) -> None:
        delimiter = "\t" if self.delimiter == "\\t" else self.delimiter
        object.__setattr__(self, "delimiter", delimiter)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in "\r\n\"\x00"):
            raise InputInvalid.because("reading-override-invalid", what="delimiter")
        quote = self.quote
        if quote is not None and (len(quote) > 1 or quote in ("\r", "\n", "\x00") or (quote and quote == delimiter)):
            raise InputInvalid.because("reading-override-invalid", what="quote")
        if self.header_row is not None and self.header_row < 0:
            raise InputInvalid.because("reading-override-invalid", what="header_row")
        if not 1 <= self.header_rows <= MOST_HEADER_ROWS:
            raise InputInvalid.because("reading-override-invalid", what="header_rows")
        if self.format is not None and self.format not in FORMATS:
            raise InputInvalid.because("reading-override-invalid", what="format")
        if self.merged not in (None, "fill", "leave"):
            raise InputInvalid.because("reading-override-invalid", what="merged")


MOST_HEADER_ROWS = 10
"""A header of more rows than this is no header: the bound of `Overrides.header_rows`."""
FORMATS = ("text", "xlsx", "xlsb", "xls", "ods", "html", "xml", "parquet", "json", "json-lines")


@dataclass(frozen=True)
class ReadingColumn:
    """A column as it looks: a suggestion for an item, with the reason for it."""

    name: str
    """Its header cell made unique, or `column_N`."""
    type: ItemType
    why: Reason
    missing: int = 0
    """Rows without a value in it."""


@dataclass(frozen=True)
class Decision:
    """One thing that was decided about a file, so that a person may decide otherwise."""

    what: str
    """`format`, `encoding`, `delimiter`, `quote`, `sheet`, `header`, `columns`, `rows`, `merged`."""
    value: str
    why: Reason


@dataclass(frozen=True)
class Reading:
    """What a source looks like. Holds no value of it but its header's names."""

    format: str
    encoding: str | None
    """Python's name, for text."""
    delimiter: str | None
    sheet: str | None
    sheets: tuple[str, ...]
    header_row: int | None
    """Row (for text: line) on which the header begins; 0 for none; None where the format has no header."""
    rows: int | None
    """Rows below the header, broken ones among them; None if they were not counted."""
    columns: tuple[ReadingColumn, ...]
    decisions: tuple[Decision, ...]
    broken: int = 0
    """Rows that cannot be read as rows, as far as they were counted."""


@dataclass(frozen=True)
class SourceBatch:
    """Some rows. `columns` has one text column per source column, a missing value is null; `lines` says where each row begins."""

    lines: pa.Int64Array
    columns: pa.Table
    broken: tuple[tuple[int, str], ...] = ()
    """Line and reason code of each row that cannot be read, which is not among `columns`."""


@dataclass(frozen=True)
class FastText:
    """A UTF-8 text file that DuckDB's reader may scan itself, with this dialect and none of its own guesses."""

    path: Path
    delimiter: str
    quote: str
    """Empty: nothing is quoted. A quote inside quotes is doubled."""
    skip: int
    """Lines up to and with the header."""
    width: int
    """Fields of every row."""
    odd: tuple[bytes, ...] = ()
    """Where one of these stands below the header, the file must be read with `batches` instead."""


@dataclass(frozen=True)
class FastParquet:
    """A Parquet file whose footer is within the limits; DuckDB may scan it itself."""

    path: Path


@dataclass(frozen=True)
class Proof:
    """What is known once every byte of a source was read."""

    sha256: str
    rows: int | None
    """Records below the header that are not blank, counted without parsing them; None if they cannot be counted so."""
    longest: int | None
    """Bytes of the longest of them."""
    lines: int | None
    """Line ends of a text file: an upper estimate of its rows."""


class SourceTable(ABC):
    """Rows to be read. Opened by `open_source` or `open_database`; closed by its user (`with`)."""

    stamp: tuple[int, int] | None = None
    """Size and modification time of the file when it was opened; None where there is no file."""
    fast: FastText | FastParquet | None = None
    """What a faster reader needs, where one may be used. It must read exactly `proof().rows` rows, else look again with `batches`."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Header cells as read, one per column."""

    @property
    @abstractmethod
    def reading(self) -> Reading:
        """What was decided, with types that hold for every row. The first call may read the whole source."""

    @abstractmethod
    def batches(self) -> Iterator[SourceBatch]:
        """All rows, in order, from the start, in bounded memory. May be called again."""

    @abstractmethod
    def proof(self) -> Proof:
        """Read every byte once: hash, encoding proof, count. Safe in a thread of its own; the answer is kept.

        Raises InputInvalid where the bytes are not what they seemed, Conflict `intake-file-changed`."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes (database: of its canonical rows), in hex."""
        return self.proof().sha256

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of a batch: the header cells, tidied and made unique."""
        return unique_names(self.names)

    def changed(self) -> bool:
        """Whether the source is no longer what was opened."""
        return False

    def match(self, dataset: Dataset) -> Mapping[str, int]:
        """Item -> position of its column. Raises InputInvalid with everything that does not match."""
        return match_columns(self.names, dataset)

    def close(self) -> None:  # noqa: B027 -- many sources hold nothing open
        """Let go of what is held open."""

    def __enter__(self) -> "SourceTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and modification time."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def tidy(cell: str) -> str:
    """A header cell as it is shown: no byte-order mark, no control characters, blanks and line ends as one blank."""
    gaps = ("Cc", "Cf", "Zl", "Zp", "Zs")
    return " ".join("".join(" " if unicodedata.category(one) in gaps else one for one in cell).split())


def unique_names(cells: Sequence[str]) -> tuple[str, ...]:
    """A name for each column: its header cell; `column_N` where that is empty; with `_2`, `_3` where it stood before."""
    taken: set[str] = set()
    names = []
    firsts = {normal(cell) for cell in cells if normal(cell)}
    for position, cell in enumerate(cells, start=1):
        base = tidy(cell) or f"column_{position}"
        name, again = base, 2
        while normal(name) in taken or (name != tidy(cell) and normal(name) in firsts):
            name, again = f"{base}_{again}", again + 1
        taken.add(normal(name))
        names.append(name)
    return tuple(names)


def normal(cell: str) -> str:
    """A header cell as it is compared: no byte-order mark, no blanks, one width of characters, one letter case."""
    plain = "".join(one for one in unicodedata.normalize("NFKC", cell) if unicodedata.category(one) not in ("Cc", "Cf"))
    return "".join(plain.split()).casefold()


def names_of(dataset: Dataset) -> Mapping[str, str]:
    """How a header may call an item -> item: its name or a title in either language; what could mean two items means none."""
    found: dict[str, str | None] = {}
    for item in dataset.items:
        for title in (item.title.zh, item.title.en):
            key = normal(title)
            found[key] = None if found.get(key, item.name) != item.name else item.name
    for item in dataset.items:
        found[normal(item.name)] = item.name
    return {key: name for key, name in found.items() if name is not None}


def match_columns(cells: Sequence[str], dataset: Dataset) -> Mapping[str, int]:
    """Item -> position. Raises InputInvalid with everything that does not match: missing, unknown, unnamed, twice."""
    names = names_of(dataset)
    columns: dict[str, int] = {}
    reasons: list[Reason] = []
    made = unique_names(cells)
    lowest = [normal(cell.rpartition("/")[2]) for cell in cells]
    for position, cell in enumerate(cells):
        item = names.get(normal(cell))
        if item is None and lowest.count(lowest[position]) == 1:
            item = names.get(lowest[position])  # of a header of several rows, the lowest
        if item is None or item in columns:
            item = names.get(normal(made[position]), item)  # `column_3`, `name_2`: names that were made for it
        if item is None and not normal(cell):
            reasons.append(Reason("intake-column-unnamed", {"column": position + 1}))
        elif item is None:
            reasons.append(Reason("intake-column-unknown", {"column": tidy(cell)[:60], "dataset": dataset.id}))
        elif item in columns:
            reasons.append(Reason("intake-column-twice", {"item": item}))
        else:
            columns[item] = position
    reasons += [Reason("intake-column-missing", {"item": item.name}) for item in dataset.items if item.name not in columns]
    if reasons:
        raise InputInvalid(*reasons)
    return columns
