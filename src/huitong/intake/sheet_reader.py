"""The process that opens a workbook: everything in it is hostile until read, so it happens here, with bounded memory and time.

Started by `huitong.intake.spreadsheets`, never imported by the house. It writes one line of JSON (what was found, or why not) and then
an Arrow stream of one sheet: a text column for each column, `flaw` (a reason code for a row that must not be believed) and `cut`
(positions of numbers with more digits than a sheet can hold). Numbers are written as a person sees them in the sheet.
"""

import datetime
import errno
import json
import math
import os
import re
import resource
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn
from xml.parsers import expat

import pyarrow as pa
import python_calamine as calamine

from huitong.errors import InputInvalid
from huitong.intake import marked_up

BATCH_ROWS = 20_000
BATCH_CHARACTERS = 8_000_000
_BLOCK = 1 << 20
_MOST_RANGES = 100_000
MARKED_UP = ("html", "xml")
_EXACT = 10**15
"""A sheet holds 15 digits of a number; from here on the rest are zeros that nobody wrote."""


def main() -> None:
    """`path kind sheet limits encoding`: limits as JSON; the encoding that a person named for a web page, or nothing."""
    path, kind, wanted, said, encoding = sys.argv[1:6]
    limits: dict[str, int] = json.loads(said)
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["seconds"], limits["seconds"] + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["spool_bytes"], limits["spool_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "wb")
    try:
        if kind in MARKED_UP:
            _run_marked_up(Path(path), kind, wanted, encoding, limits, out)
        else:
            _run(Path(path), kind, wanted, limits, out)
    except _Refusal as refusal:
        _say(out, {"refuse": refusal.code, "parameters": refusal.parameters})
    except marked_up.TooManyCellsError:
        _say(out, {"refuse": "reading-workbook-too-large", "parameters": {"what": "cells", "limit": limits["cells"]}})
    except InputInvalid as invalid:
        _say(out, {"refuse": invalid.reasons[0].code, "parameters": dict(invalid.reasons[0].parameters)})
    except calamine.PasswordError:
        _say(out, {"refuse": "reading-workbook-password", "parameters": {}})
    except Exception as error:  # whatever else a reader of hostile bytes ends with, it is the file
        if _no_memory(error):
            _say(out, {"refuse": "reading-workbook-too-large", "parameters": {"what": "memory", "limit": limits["memory_bytes"]}})
        else:
            _say(out, {"refuse": "reading-workbook-unreadable", "parameters": {"format": kind}})


def _no_memory(error: Exception) -> bool:
    """Whether the limit of memory ended it: not every library says so by MemoryError."""
    of_zlib = isinstance(error, zlib.error) and str(error).startswith(f"Error {_Z_MEM_ERROR} ")
    return isinstance(error, MemoryError | ImportError) or of_zlib or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


_Z_MEM_ERROR = -4
"""Of zlib's manual: there was not enough memory."""


class _Refusal(Exception):
    def __init__(self, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.code, self.parameters = code, parameters


def _say(out: IO[bytes], said: Mapping[str, Any]) -> None:
    out.write(json.dumps(said).encode() + b"\n")
    out.flush()


@dataclass
class Notes:
    """What the values of a sheet do not tell: by (row, column), both from 0."""

    flaws: dict[tuple[int, int], str] = field(default_factory=dict)
    shown: dict[tuple[int, int], str] = field(default_factory=dict)
    """Numbers that the sheet shows in another way, with zeros in front."""
    padded: dict[tuple[int, int], int] = field(default_factory=dict)
    """Numbers shown with at least so many digits."""
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    hidden_rows: int = 0


def _run(path: Path, kind: str, wanted: str, limits: dict[str, int], out: IO[bytes]) -> None:
    seen = _check_zip(path, limits) if kind in ("xlsx", "xlsb", "ods") else {}
    if kind == "ods":
        notes_of_sheets = _ods(path, limits)
    workbook = calamine.CalamineWorkbook.from_path(str(path))
    sheets = [one for one in workbook.sheets_metadata if one.typ == calamine.SheetTypeEnum.WorkSheet]
    names = [one.name for one in sheets]
    if not names:
        raise _Refusal("reading-workbook-unreadable", format=kind)
    visible = [one.name for one in sheets if one.visible == calamine.SheetVisibleEnum.Visible]
    chosen, why, parameters = _choose(names, visible, wanted, lambda name: _is_empty(workbook, name))
    if kind == "xlsx":
        notes = _xlsx(path, chosen, seen, limits)
    elif kind == "ods":
        notes = notes_of_sheets.get(chosen, Notes())
    else:
        notes = _xls(path, chosen) if kind == "xls" else _xlsb(path, chosen)
    sheet = workbook.get_sheet_by_name(chosen)
    if sheet.start is None or sheet.end is None:
        raise _Refusal("reading-workbook-empty")
    rows, width = sheet.end[0] + 1, sheet.end[1] + 1
    if width > limits["columns"]:
        raise _Refusal("reading-too-wide", columns=width, limit=limits["columns"])
    if rows * width > limits["cells"]:
        raise _Refusal("reading-workbook-too-large", what="cells", limit=limits["cells"])
    if sheet.merged_cell_ranges:
        notes.merged += [(top, left, bottom, right) for (top, left), (bottom, right) in sheet.merged_cell_ranges]
    notes.merged = _within(notes.merged, rows, width, limits)
    said = {
        "sheet": chosen, "sheets": names, "why": why, "parameters": parameters, "merged": notes.merged, "width": width,
        "hidden_rows": notes.hidden_rows,
    }  # fmt: skip
    _say(out, said)
    _write(_rows(sheet, width, rows, notes), width, out)


def _choose(
    names: list[str], visible: list[str], wanted: str, is_empty: Callable[[str], bool]
) -> tuple[str, str, dict[str, int]]:
    """The sheet to read, and why it is that one. Raises a refusal that names the sheets."""
    if wanted:
        chosen = next((name for name in names if name == wanted), None) or next((n for n in names if n.strip() == wanted.strip()), None)
        if chosen is None:
            raise _Refusal("reading-sheet-unknown", sheets=_listed(names))
        return chosen, "reading-by-override", {}
    full = names if len(names) == 1 else [name for name in visible if not is_empty(name)]
    full = full or [name for name in names if not is_empty(name)]
    if not full:
        raise _Refusal("reading-workbook-empty")
    if len(full) > 1:
        raise _Refusal("reading-sheets-several", sheets=_listed(full))
    hidden = len(names) - len(visible)
    return full[0], *(("reading-sheet-visible", {"hidden": hidden}) if hidden else ("reading-sheet-only", {}))


def _run_marked_up(path: Path, kind: str, wanted: str, encoding: str, limits: dict[str, int], out: IO[bytes]) -> None:
    if kind == "html":
        tables = marked_up.read_page(path, encoding or None, limits)
        if not tables:
            raise _Refusal("reading-format-web-page")
    else:
        tables = marked_up.read_workbook(path, _parser(), limits, number_as_seen, _EXACT)
    names = [one.name for one in tables]
    if not names or len(set(names)) < len(names):
        raise _Refusal("reading-workbook-unreadable", format=kind)
    by_name = {one.name: one for one in tables}
    visible = [one.name for one in tables if one.visible]
    chosen, why, parameters = _choose(names, visible, wanted, lambda name: not any(map(str.strip, by_name[name].cells.values())))
    table = by_name[chosen]
    width, height = table.width, table.height
    if not width:
        raise _Refusal("reading-workbook-empty")
    if width > limits["columns"]:
        raise _Refusal("reading-too-wide", columns=width, limit=limits["columns"])
    if height * width > limits["cells"]:
        raise _Refusal("reading-workbook-too-large", what="cells", limit=limits["cells"])
    table.merged = _within(table.merged, height, width, limits)
    said = {
        "sheet": chosen, "sheets": names, "why": why, "parameters": parameters, "merged": table.merged, "width": width,
        "hidden_rows": table.hidden_rows,
    }  # fmt: skip
    _say(out, said)
    flaws: dict[int, str] = {}
    for (row, _column), code in table.flaws.items():
        flaws.setdefault(row, code)

    def row_of(number: int) -> tuple[list[str | None], str | None, str | None]:
        cells = [table.cells.get((number, column)) or None for column in range(width)]
        cut = ",".join(str(column) for column in range(width) if (number, column) in table.cut)
        return cells, flaws.get(number), cut or None

    _write((row_of(number) for number in range(height)), width, out)


def _within(
    merged: list[tuple[int, int, int, int]], rows: int, width: int, limits: dict[str, int]
) -> list[tuple[int, int, int, int]]:
    """Merged cells as far as the sheet reaches. They never lie over each other: more of them than there are cells are an attack."""
    if len(merged) > _MOST_RANGES:
        raise _Refusal("reading-workbook-too-large", what="merged", limit=_MOST_RANGES)
    kept = [
        (top, left, min(bottom, rows - 1), min(right, width - 1))
        for top, left, bottom, right in merged
        if 0 <= top < rows and 0 <= left < width and bottom >= top and right >= left
    ]
    if sum((bottom - top + 1) * (right - left + 1) for top, left, bottom, right in kept) > limits["cells"]:
        raise _Refusal("reading-workbook-too-large", what="merged", limit=limits["cells"])
    return [one for one in kept if one[2] > one[0] or one[3] > one[1]]


def _is_empty(workbook: calamine.CalamineWorkbook, name: str) -> bool:
    sheet = workbook.get_sheet_by_name(name)
    return sheet.start is None or not any(str(cell).strip() for row in sheet.to_python(nrows=1000) for cell in row)


def _listed(names: list[str]) -> str:
    return ", ".join(name[:60] for name in names[:20]) + (", ..." if len(names) > 20 else "")


# --- values ---------------------------------------------------------------------------------------------------------------


def _rows(sheet: Any, width: int, height: int, notes: Notes) -> Iterator[tuple[list[str | None], str | None, str | None]]:
    flawed: dict[int, str] = {}
    for (row, _column), code in notes.flaws.items():
        flawed.setdefault(row, code)
    noted_rows = {row for row, _column in notes.shown} | {row for row, _column in notes.padded}
    data = sheet.to_python(skip_empty_area=False) if sheet.start[0] or sheet.start[1] else sheet.iter_rows()
    for number, row in enumerate(data):
        if number >= height:
            return
        cells: list[str | None] = []
        cut: list[str] = []
        flaw = flawed.get(number)
        for position, value in enumerate(row):
            if isinstance(value, str):
                cells.append(value or None)
            elif isinstance(value, bool):
                cells.append("TRUE" if value else "FALSE")
            elif isinstance(value, float | int):
                if not math.isfinite(value):
                    flaw = flaw or "row-cell-error"
                elif abs(value) >= _EXACT:
                    cut.append(str(position))
                cells.append(number_as_seen(value))
            else:
                cells.append(_moment(value))
        if number in noted_rows:
            for position, cell in enumerate(cells):
                digits = notes.padded.get((number, position))
                if digits and cell and cell.lstrip("-").isdigit():
                    cells[position] = cell.zfill(digits + cell.startswith("-"))
                cells[position] = notes.shown.get((number, position), cells[position])
        cells += [None] * (width - len(cells))
        yield cells[:width], flaw, ",".join(cut) or None


def number_as_seen(value: float) -> str:
    """The 15 digits that a sheet has of a number; a whole one without a point."""
    if value != value or value in (float("inf"), float("-inf")):
        return "#NUM!"
    if value == int(value):
        return str(int(value))
    return f"{value:.15g}"


def _moment(value: Any) -> str | None:
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "microseconds" if value.microsecond else "seconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.isoformat("microseconds" if value.microsecond else "seconds")
    if isinstance(value, datetime.timedelta):
        seconds = round(value.total_seconds())
        return f"{'-' if seconds < 0 else ''}{abs(seconds) // 3600}:{abs(seconds) // 60 % 60:02d}:{abs(seconds) % 60:02d}"
    return str(value)


def _write(rows: Iterator[tuple[list[str | None], str | None, str | None]], width: int, out: IO[bytes]) -> None:
    schema = pa.schema([*((f"c{position}", pa.string()) for position in range(width)), ("flaw", pa.string()), ("cut", pa.string())])
    with pa.ipc.new_stream(out, schema) as stream:
        held: list[list[str | None]] = []
        characters = 0
        for cells, flaw, cut in rows:
            held.append([*cells, flaw, cut])
            characters += sum(len(cell) for cell in cells if cell)
            if len(held) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
                stream.write_batch(_batch(held, schema))
                held, characters = [], 0
        if held:
            stream.write_batch(_batch(held, schema))
    out.flush()


def _batch(held: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array(column, pa.string()) for column in zip(*held, strict=True)], schema=schema)


# --- zip ------------------------------------------------------------------------------------------------------------------


def _check_zip(path: Path, limits: dict[str, int]) -> dict[str, set[str]]:
    """Unpack every part once and throw it away: what it really becomes, not what it says. Gives the odd things seen in sheets."""
    size = path.stat().st_size
    allowed = min(limits["unpacked_bytes"], max(limits["free_bytes"], limits["ratio"] * size))
    seen: dict[str, set[str]] = {}
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if len(parts) > limits["entries"]:
            raise _Refusal("reading-workbook-too-large", what="parts", limit=limits["entries"])
        names = [part.filename for part in parts]
        if len(set(names)) < len(names):
            raise _Refusal("reading-workbook-unreadable", format="zip")
        if sum(part.compress_size for part in parts) > size:  # parts that overlap
            raise _Refusal("reading-workbook-too-large", what="parts", limit=size)
        if sum(part.file_size for part in parts) > allowed:
            raise _Refusal("reading-workbook-too-large", what="unpacked", limit=allowed)
        total = 0
        for part in parts:
            if part.flag_bits & 1:
                raise _Refusal("reading-workbook-password")
            found = seen.setdefault(part.filename, set())
            xml = part.filename.endswith((".xml", ".rels"))
            end = b""
            with archive.open(part) as file:
                while block := file.read(_BLOCK):
                    total += len(block)
                    if total > allowed:
                        raise _Refusal("reading-workbook-too-large", what="unpacked", limit=allowed)
                    if not xml:
                        continue
                    if not end and block.startswith((b"\xff\xfe", b"\xfe\xff")):
                        raise _Refusal("reading-workbook-unreadable", format="xml")
                    text = end + block
                    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
                        raise _Refusal("reading-workbook-doctype")
                    if b"encryption-data" in text and part.filename == "META-INF/manifest.xml":
                        raise _Refusal("reading-workbook-password")
                    for sign in (b't="e"', b"<f", b":f>", b"t='e'", b'hidden="'):
                        if sign in text:
                            found.add(sign.decode())
                    end = text[-16:]
    return seen


# --- xlsx -----------------------------------------------------------------------------------------------------------------

_PAD = re.compile(r"(0{2,})(;.*)?$")
_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _parser() -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: Any) -> NoReturn:
        raise _Refusal("reading-workbook-doctype")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def _parse(archive: zipfile.ZipFile, name: str, parser: Any) -> None:
    with archive.open(name) as file:
        parser.ParseFile(file)


def _attributes(given: Mapping[str, str]) -> dict[str, str]:
    return {_local(name): value for name, value in given.items()}


def _xlsx(path: Path, sheet: str, seen: dict[str, set[str]], limits: dict[str, int]) -> Notes:
    notes = Notes()
    with zipfile.ZipFile(path) as archive:
        part = _part_of_sheet(archive, sheet)
        if part is None:
            return notes
        pads = _padding_styles(archive)
        if not pads and not seen.get(part):
            return notes
        state = _SheetState(notes, pads, limits["cells"])
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = state.start, state.end, state.text
        _parse(archive, part, parser)
    return notes


class _SheetState:
    def __init__(self, notes: Notes, pads: Mapping[str, int], most: int) -> None:
        self.notes, self.pads, self.most = notes, pads, most
        self.row, self.column = -1, -1
        self.formula = self.filled = False
        self.kind = ""
        self.inside = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if name == "row":
            self.row = int(attributes["r"]) - 1 if "r" in attributes else self.row + 1
            self.column = -1
            self.notes.hidden_rows += attributes.get("hidden") in ("1", "true")
        elif name == "c":
            self.formula = self.filled = False
            self.kind = attributes.get("t", "n")
            found = _CELL.fullmatch(attributes.get("r", ""))
            if found:
                self.column, self.row = _number_of(found[1]) - 1, int(found[2]) - 1
            else:
                self.column += 1
            if attributes.get("s") in self.pads:
                self.notes.padded[self.row, self.column] = self.pads[attributes["s"]]
        elif name == "f":
            self.formula = True
        self.inside = name

    def text(self, data: str) -> None:
        if self.inside in ("v", "t") and data.strip():
            self.filled = True

    def end(self, name: str) -> None:
        self.inside = ""
        if _local(name) != "c":
            return
        if self.kind == "e":
            self.notes.flaws[self.row, self.column] = "row-cell-error"
        elif self.formula and not self.filled and self.kind != "str":
            self.notes.flaws[self.row, self.column] = "row-formula-not-calculated"
        if len(self.notes.flaws) + len(self.notes.padded) > self.most:
            raise _Refusal("reading-workbook-too-large", what="cells", limit=self.most)


def _number_of(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _part_of_sheet(archive: zipfile.ZipFile, sheet: str) -> str | None:
    names = set(archive.namelist())
    if "xl/workbook.xml" not in names or "xl/_rels/workbook.xml.rels" not in names:
        return None
    relations: dict[str, str] = {}
    found: list[str] = []

    def relation(_name: str, given: dict[str, str]) -> None:
        attributes = _attributes(given)
        if "Target" in attributes:
            relations[attributes.get("Id", "")] = attributes["Target"]

    def look(name: str, given: dict[str, str]) -> None:
        attributes = _attributes(given)
        if _local(name) == "sheet" and attributes.get("name") == sheet:
            found.append(attributes.get("id", ""))

    for part, handler in (("xl/_rels/workbook.xml.rels", relation), ("xl/workbook.xml", look)):
        parser = _parser()
        parser.StartElementHandler = handler
        _parse(archive, part, parser)
    target = relations.get(found[0], "") if found else ""
    target = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return target if target in names else None


def _padding_styles(archive: zipfile.ZipFile) -> dict[str, int]:
    """Style -> digits shown at least, for number formats of nothing but zeros."""
    if "xl/styles.xml" not in archive.namelist():
        return {}
    formats: dict[str, int] = {}
    pads: dict[str, int] = {}
    state = {"cells": False, "at": 0}

    def start(name: str, given: dict[str, str]) -> None:
        name, attributes = _local(name), given
        if name == "numFmt":
            found = _PAD.match(re.sub(r"\\|\"", "", attributes.get("formatCode", "")))
            if found:
                formats[attributes.get("numFmtId", "")] = len(found[1])
        elif name == "cellXfs":
            state["cells"] = True
        elif name == "xf" and state["cells"]:
            if attributes.get("numFmtId") in formats:
                pads[str(state["at"])] = formats[attributes["numFmtId"]]
            state["at"] += 1

    def end(name: str) -> None:
        if _local(name) == "cellXfs":
            state["cells"] = False

    parser = _parser()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    _parse(archive, "xl/styles.xml", parser)
    return pads


# --- ods ------------------------------------------------------------------------------------------------------------------


_LONG_TIME = re.compile(r"-?PT(2[4-9]|[3-9][0-9]|[0-9]{3,})H.*|PT0+H0+M0+(\.0+)?S")
"""Durations that are no time of day: these are taken as the sheet shows them."""


class _OdsState:
    """Walks content.xml: where cells are merged, wrong, or shown with zeros in front; and how large each table is."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sheets: dict[str, Notes] = {}
        self.notes = Notes()
        self.row = self.column = 0
        self.row_repeat = self.repeat = 1
        self.value: dict[str, str] | None = None
        self.words: list[str] = []
        self.depth = 0
        self.right = self.bottom = 0

    def start(self, name: str, given: dict[str, str]) -> None:
        if name == "table:table":
            self.notes = self.sheets.setdefault(given.get("table:name", ""), Notes())
            self.row = self.right = self.bottom = 0
        elif name == "table:table-row":
            self.column = 0
            self.row_repeat = int(given.get("table:number-rows-repeated", "1"))
            if given.get("table:visibility") in ("collapse", "filter"):
                self.notes.hidden_rows += self.row_repeat
        elif name in ("table:table-cell", "table:covered-table-cell"):
            self.value, self.words = given, []
            self.repeat = int(given.get("table:number-columns-repeated", "1"))
        elif name == "text:p":
            self.depth += 1

    def text(self, data: str) -> None:
        if self.depth and self.value is not None:
            self.words.append(data)

    def end(self, name: str) -> None:
        if name == "text:p":
            self.depth -= 1
        elif name == "table:table-row":
            self.row += self.row_repeat
        elif name in ("table:table-cell", "table:covered-table-cell") and self.value is not None:
            self._cell(self.value, "".join(self.words).strip(), covered=name != "table:table-cell")
            self.column += self.repeat
            self.value = None

    def _cell(self, given: dict[str, str], words: str, *, covered: bool) -> None:
        kind = given.get("office:value-type", "")
        if (kind or words) and not covered:
            self.right = max(self.right, self.column + self.repeat)
            self.bottom = max(self.bottom, self.row + self.row_repeat)
            if self.right * self.bottom > self.most:
                raise _Refusal("reading-workbook-too-large", what="cells", limit=self.most)
        where = (self.row, self.column)
        down, across = int(given.get("table:number-rows-spanned", "1")), int(given.get("table:number-columns-spanned", "1"))
        if down * across > 1 and words:
            self.notes.merged.append((self.row, self.column, self.row + down - 1, self.column + across - 1))
        if given.get("calcext:value-type") == "error" or re.fullmatch(r"#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!)|Err:[0-9]{3}", words):
            self.notes.flaws[where] = "row-cell-error"
        elif given.get("table:formula") and not kind and not words:
            self.notes.flaws[where] = "row-formula-not-calculated"
        elif kind == "time" and words and _LONG_TIME.fullmatch(given.get("office:time-value", "")):
            self.notes.shown[where] = words
        elif kind == "float" and re.fullmatch(r"0[0-9]+", words) and float(words) == float(given.get("office:value", "nan")):
            for down in range(min(self.row_repeat, 100_000)):
                for across in range(min(self.repeat, 1000)):
                    self.notes.shown[self.row + down, self.column + across] = words


def _ods(path: Path, limits: dict[str, int]) -> dict[str, Notes]:
    state = _OdsState(limits["cells"])
    parser = _parser()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = state.start, state.end, state.text
    with zipfile.ZipFile(path) as archive:
        _parse(archive, "content.xml", parser)
    return state.sheets


# --- xls ------------------------------------------------------------------------------------------------------------------


def _xls(path: Path, name: str) -> Notes:
    """Formats and errors of an old workbook, by a second reader; a workbook that it cannot read gives no notes."""
    import xlrd  # only here: it is slow and seldom needed

    notes = Notes()
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            book = xlrd.open_workbook(str(path), formatting_info=True, on_demand=True, logfile=nowhere)
        sheet = book.sheet_by_name(name)
    except Exception:
        return notes
    pads = {}
    for index, xf in enumerate(book.xf_list):
        found = _PAD.match(book.format_map[xf.format_key].format_str) if xf.format_key in book.format_map else None
        if found:
            pads[index] = len(found[1])
    for row in range(sheet.nrows):
        types = sheet.row_types(row)
        for column, kind in enumerate(types):
            if kind == xlrd.XL_CELL_ERROR:
                notes.flaws[row, column] = "row-cell-error"
            elif kind == xlrd.XL_CELL_NUMBER and pads:
                digits = pads.get(sheet.cell_xf_index(row, column))
                if digits:
                    notes.padded[row, column] = digits
    notes.hidden_rows = sum(1 for one in sheet.rowinfo_map.values() if one.hidden)
    return notes


# --- xlsb -----------------------------------------------------------------------------------------------------------------

_ROW, _WHOLE, _CELL_ERROR, _FORMULA_ERROR, _MERGED, _BOOK, _BUNDLE = 0, 2, 3, 11, 176, 153, 156
_FORMAT, _STYLE, _STYLES, _END_STYLES = 44, 47, 617, 618
"""Records of the binary workbook by their numbers (MS-XLSB 2.3.2)."""


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each record: both number and length are written seven bits at a time."""
    place = 0
    while place < len(data):
        kind = data[place]
        place += 1
        if kind & 0x80:
            kind = (kind & 0x7F) | (data[place] & 0x7F) << 7
            place += 1
        length = shift = 0
        while shift < 28:
            byte = data[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield kind, data[place : place + length]
        place += length


def _string(data: bytes, place: int) -> tuple[str, int]:
    length = int.from_bytes(data[place : place + 4], "little")
    if length == 0xFFFFFFFF:
        return "", place + 4
    return data[place + 4 : place + 4 + 2 * length].decode("utf-16-le", "replace"), place + 4 + 2 * length


def _xlsb(path: Path, sheet: str) -> Notes:
    """Errors, merged cells, hidden rows and zeros in front of a binary workbook's sheet, which the values do not tell."""
    notes = Notes()
    with zipfile.ZipFile(path) as archive:
        relations: dict[str, str] = {}

        def relation(_name: str, given: dict[str, str]) -> None:
            attributes = _attributes(given)
            if "Target" in attributes:
                relations[attributes.get("Id", "")] = attributes["Target"]

        parser = _parser()
        parser.StartElementHandler = relation
        _parse(archive, "xl/_rels/workbook.bin.rels", parser)
        target, since_1904 = "", False
        for kind, data in _records(archive.read("xl/workbook.bin")):
            if kind == _BUNDLE:
                identifier, place = _string(data, 8)
                if _string(data, place)[0] == sheet:
                    target = relations.get(identifier, "")
            elif kind == _BOOK:
                since_1904 = bool(data[0] & 1)
        target = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
        pads, days = _styles_of_xlsb(archive)
        row = 0
        for kind, data in _records(archive.read(target)):
            if kind == _ROW:
                row = int.from_bytes(data[:4], "little")
                notes.hidden_rows += len(data) > 11 and bool(data[11] & 0x10)
            elif kind in (_CELL_ERROR, _FORMULA_ERROR):
                notes.flaws[row, int.from_bytes(data[:4], "little")] = "row-cell-error"
            elif kind == _MERGED:
                top, bottom, left, right = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4, 8, 12))
                notes.merged.append((top, left, bottom, right))
            elif (pads or days) and 1 < kind < _FORMULA_ERROR:
                where, style = (row, int.from_bytes(data[:4], "little")), int.from_bytes(data[4:7], "little")
                if style in pads:
                    notes.padded[where] = pads[style]
                if kind == _WHOLE and style in days and data[8] & 3 == 2:  # the reader of values takes these days for numbers
                    notes.shown[where] = _day_of(int.from_bytes(data[8:12], "little", signed=True) >> 2, since_1904)
    return notes


def _day_of(serial: int, since_1904: bool) -> str:
    """The day of a serial number; 29 February 1900, which spreadsheets have alone, stays the number."""
    if since_1904:
        return (datetime.date(1904, 1, 1) + datetime.timedelta(serial)).isoformat()
    if serial in (0, 60) or not 0 < serial < 2_958_466:
        return str(serial)
    return (datetime.date(1899, 12, 31 if serial < 60 else 30) + datetime.timedelta(serial)).isoformat()


_DAYS = frozenset([*range(14, 18), 22, *range(27, 37), *range(50, 59)])
"""Number formats of days that every program knows without writing them down."""
_A_DAY = re.compile(r"[yd]|m(?!.*[0#])", re.IGNORECASE)


def _shows_days(code: str) -> bool:
    """Whether a number format shows days: it has a year or a day outside quotes and brackets."""
    return _A_DAY.search(re.sub(r'"[^"]*"|\\.|\[[^\]]*\]|_.', "", code.split(";")[0])) is not None


def _styles_of_xlsb(archive: zipfile.ZipFile) -> tuple[dict[int, int], set[int]]:
    """Style -> digits shown at least; the styles of days."""
    if "xl/styles.bin" not in archive.namelist():
        return {}, set()
    formats: dict[int, int] = {}
    day_formats = set(_DAYS)
    pads: dict[int, int] = {}
    days: set[int] = set()
    styles, inside = 0, False
    for kind, data in _records(archive.read("xl/styles.bin")):
        if kind == _FORMAT:
            code, number = _string(data, 2)[0], int.from_bytes(data[:2], "little")
            found = _PAD.match(code)
            if found:
                formats[number] = len(found[1])
            elif _shows_days(code):
                day_formats.add(number)
        elif kind in (_STYLES, _END_STYLES):
            inside = kind == _STYLES
        elif kind == _STYLE and inside:
            used = int.from_bytes(data[2:4], "little")
            if used in formats:
                pads[styles] = formats[used]
            if used in day_formats:
                days.add(styles)
            styles += 1
    return pads, days


if __name__ == "__main__":
    main()
