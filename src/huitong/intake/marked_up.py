"""Tables of web pages and of SpreadsheetML 2003, which many programs write under the name `.xls`. Only for `sheet_reader`'s process.

A page shows its tables as they are read: text as the browser would show it, cells over several rows or columns as merged ones. A page of
several tables is a workbook of several sheets, called by their numbers; tables that hold other tables are layout.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from huitong.errors import InputInvalid
from huitong.intake import text

Place = tuple[int, int]
"""Row and column, from 0."""


class TooManyCellsError(Exception):
    """A table goes beyond the limit."""


@dataclass
class Table:
    """One table: text by place, and what the text does not tell."""

    name: str
    cells: dict[Place, str] = field(default_factory=dict)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    flaws: dict[Place, str] = field(default_factory=dict)
    cut: set[Place] = field(default_factory=set)
    hidden_rows: int = 0
    visible: bool = True
    layout: bool = False
    height: int = 0

    @property
    def filled_rows(self) -> int:
        """Rows that hold something."""
        return len({row for (row, _column), value in self.cells.items() if value})

    @property
    def width(self) -> int:
        """Columns up to the last that holds something."""
        return max((column + 1 for (_row, column), value in self.cells.items() if value), default=0)


# --- web pages ------------------------------------------------------------------------------------------------------------

_SKIPPED = frozenset(["script", "style", "title", "noscript", "template", "select"])
_BREAKS = frozenset(["br", "p", "div", "li", "tr", "hr"])
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_-]+)", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)


@dataclass
class _Open:
    """A table whose end was not met yet."""

    table: Table
    row: int = -1
    column: int = 0
    taken: dict[int, int] = field(default_factory=dict)
    """Column -> the last row that a cell from above covers."""
    words: list[str] | None = None
    spans: tuple[int, int] = (1, 1)


class _Page(HTMLParser):
    def __init__(self, limits: Mapping[str, int]) -> None:
        super().__init__(convert_charrefs=True)
        self.limits = limits
        self.tables: list[Table] = []
        self.open: list[_Open] = []
        self.skipped = 0
        self.placed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self.skipped += 1
            return
        if tag == "table":
            if self.open:
                self.open[-1].table.layout = True
            self.open.append(_Open(Table("")))
            return
        if not self.open:
            return
        here = self.open[-1]
        given = dict(attrs)
        if tag == "tr":
            self._end_cell(here)
            here.row, here.column = here.row + 1, 0
            here.table.height = here.row + 1
            here.table.hidden_rows += bool(_HIDDEN.search(given.get("style") or ""))
        elif tag in ("td", "th"):
            self._end_cell(here)
            if here.row < 0:
                here.row, here.table.height = 0, 1
            here.words = []
            here.spans = (_span(given.get("rowspan"), 65_534), _span(given.get("colspan"), self.limits["columns"] + 1))
        elif here.words is not None and tag in _BREAKS:
            here.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self.skipped = max(0, self.skipped - 1)
        elif self.open and tag in ("td", "th", "tr"):
            self._end_cell(self.open[-1])
        elif self.open and tag == "table":
            self._end_table()
        elif self.open and self.open[-1].words is not None and tag in ("p", "div", "li"):
            self.open[-1].words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.skipped and self.open and self.open[-1].words is not None:
            self.open[-1].words.append(re.sub(r"\s+", " ", data))

    def _end_cell(self, here: _Open) -> None:
        if here.words is None:
            return
        while here.taken.get(here.column, -1) >= here.row:
            here.column += 1
        lines = [re.sub("[ \u00a0]+", " ", line).strip() for line in "".join(here.words).split("\n")]
        down, across = here.spans
        self.placed += down * across
        if self.placed > self.limits["cells"]:
            raise TooManyCellsError
        table = here.table
        table.cells[here.row, here.column] = "\n".join(line for line in lines if line)
        if down > 1 or across > 1:
            table.merged.append((here.row, here.column, here.row + down - 1, here.column + across - 1))
        for column in range(here.column, here.column + across):
            if down > 1:
                here.taken[column] = here.row + down - 1
        here.column += across
        here.words = None

    def _end_table(self) -> None:
        here = self.open.pop()
        self._end_cell(here)
        table = here.table
        table.merged = [(top, left, min(bottom, table.height - 1), right) for top, left, bottom, right in table.merged]
        table.merged = [one for one in table.merged if one[2] > one[0] or one[3] > one[1]]
        if any(table.cells.values()):
            table.name = str(len(self.tables) + 1)
            self.tables.append(table)

    def close(self) -> None:
        super().close()
        while self.open:
            self._end_table()


def _span(said: str | None, most: int) -> int:
    return min(int(said), most) if said and said.isascii() and said.strip().isdigit() and int(said) > 0 else 1


def read_page(path: Path, encoding: str | None, limits: Mapping[str, int]) -> list[Table]:
    """The tables of a web page that are more than layout. Raises InputInvalid where its encoding is not clear."""
    data = path.read_bytes()
    page = _Page(limits)
    page.feed(_decoded(data, encoding, _CHARSET.search(data[:16_384])))
    page.close()
    tables = [one for one in page.tables if not one.layout]
    tables = [one for one in tables if one.filled_rows > 1] or tables
    for number, table in enumerate(tables, start=1):
        table.name = str(number)
    return tables


def _decoded(data: bytes, asked: str | None, said: "re.Match[bytes] | None") -> str:
    """By a person, by a mark, by what the file says of itself if that holds, else by evidence."""
    start = data[: text.BLOCK]
    if asked is None and said is not None and not start.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode(text.decide_encoding(start, said[1].decode()).name)
        except (UnicodeDecodeError, InputInvalid):
            pass
    found = text.decide_encoding(start, asked)
    try:
        return data.decode(found.name)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputInvalid.because("intake-encoding-broken", line=line, encoding=found.name) from None


# --- SpreadsheetML 2003 ---------------------------------------------------------------------------------------------------

_DECLARED = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9_-]+)[\"'][^>]*\?>")
_ZEROS = re.compile(r"0{2,}")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z?")
_DAY_ZERO = ("1899-12-30", "1899-12-31", "1900-01-00")


class _Workbook:
    def __init__(self, limits: Mapping[str, int], as_seen: Any, exact: int) -> None:
        self.limits, self.as_seen, self.exact = limits, as_seen, exact
        self.tables: list[Table] = []
        self.pads: dict[str, int] = {}
        self.style = ""
        self.row = self.column = -1
        self.cell: dict[str, str] = {}
        self.kind: str | None = None
        self.words: list[str] = []
        self.inside = ""

    def start(self, name: str, given: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        attributes = {one.rpartition(":")[2]: value for one, value in given.items()}
        if name == "Style":
            self.style = attributes.get("ID", "")
        elif name == "NumberFormat" and _ZEROS.fullmatch(attributes.get("Format", "")):
            self.pads[self.style] = len(attributes["Format"])
        elif name == "Worksheet":
            self.tables.append(Table(attributes.get("Name", "")))
            self.row = self.column = -1
        elif name == "Row" and self.tables:
            self.row = int(attributes["Index"]) - 1 if "Index" in attributes else self.row + 1
            self.column = -1
            self.tables[-1].hidden_rows += attributes.get("Hidden") == "1"
        elif name == "Cell" and self.tables:
            self.column = int(attributes["Index"]) - 1 if "Index" in attributes else self.column + 1
            self.cell, self.kind, self.words = attributes, None, []
        elif name == "Data" and self.column >= 0:
            self.kind = attributes.get("Type", "String")
        self.inside = name

    def text(self, data: str) -> None:
        if self.kind is not None or self.inside == "Visible":
            self.words.append(data)

    def end(self, name: str) -> None:
        name = name.rpartition(":")[2]
        if name == "Visible" and self.tables:
            self.tables[-1].visible = "".join(self.words).strip() not in ("SheetHidden", "SheetVeryHidden")
            self.words = []
        elif name == "Data" and self.kind is not None:
            self._value(self.kind, "".join(self.words))
            self.kind, self.words = None, ["there"]
        elif name == "Cell" and self.tables:
            table, place = self.tables[-1], (self.row, self.column)
            if "Formula" in self.cell and not self.words:
                table.flaws[place] = "row-formula-not-calculated"
            across, down = int(self.cell.get("MergeAcross", "0")), int(self.cell.get("MergeDown", "0"))
            if (across or down) and table.cells.get(place):
                table.merged.append((self.row, self.column, self.row + down, self.column + across))
            self.column += across
            self.words = []
        self.inside = ""

    def _value(self, kind: str, words: str) -> None:
        table, place = self.tables[-1], (self.row, self.column)
        if kind == "Error":
            table.flaws[place] = "row-cell-error"
        elif kind == "Number":
            number = float(words)
            if abs(number) >= self.exact:
                table.cut.add(place)
            words = self.as_seen(number)
            pad = self.pads.get(self.cell.get("StyleID", ""))
            if pad and words.lstrip("-").isdigit():
                words = words.zfill(pad + words.startswith("-"))
        elif kind == "Boolean":
            words = "TRUE" if words.strip() == "1" else "FALSE"
        elif kind == "DateTime":
            found = _MOMENT.fullmatch(words.strip())
            if found:
                day, clock, part = found[1], found[2], (found[3] or "").rstrip("0").rstrip(".")
                midnight = clock == "00:00:00" and not part
                words = f"{clock}{part}" if day in _DAY_ZERO else day if midnight else f"{day} {clock}{part}"
        if words:
            table.cells[place] = words
            table.height = max(table.height, self.row + 1)
            if self.row < 0 or self.column < 0 or len(table.cells) > self.limits["cells"]:
                raise TooManyCellsError


def read_workbook(path: Path, parser: Any, limits: Mapping[str, int], as_seen: Any, exact: int) -> list[Table]:
    """The sheets of a SpreadsheetML workbook. `parser` refuses definitions; `as_seen` writes a number; what `expat` raises."""
    data = path.read_bytes()
    state = _Workbook(limits, as_seen, exact)
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = state.start, state.end, state.text
    declared = _DECLARED.match(data[:1000])
    if declared and declared[1].lower() in (b"gb2312", b"gbk", b"gb18030", b"big5"):
        parser.Parse(data[declared.end() :].decode("gb18030" if declared[1].lower() != b"big5" else "big5"), True)
    else:
        parser.Parse(data, True)
    return state.tables
