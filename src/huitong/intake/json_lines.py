"""JSON as a source of rows: flat objects, one a line, one after the other, or in one array. Numbers keep every digit as written.

The columns are the names of all objects, in the order in which they first appear; so the whole file is read once when it is opened.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huitong.errors import InputInvalid, Reason
from huitong.intake import text
from huitong.intake.delimited import Row, batches_of, note_names
from huitong.intake.file_table import FileTable, Shape
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import Overrides, Proof, SourceBatch
from huitong.model.catalog import Dataset

_BLOCK = 1 << 20
_BLANK = " \t\r\n\ufeff\x1e"


def open_json(path: Path, kind: str, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> "JsonTable":
    """Raises InputInvalid: `reading-json-broken` with the line, `reading-json-shape`, what `text.prove` raises."""
    if overrides.header_row is not None or overrides.delimiter is not None:
        raise InputInvalid.because("reading-override-invalid", what="header_row" if overrides.delimiter is None else "delimiter")
    encoding = text.decide_encoding(text.first_block(path), overrides.encoding)
    file, encoding = text.prove(path, encoding, deadline=deadline)
    names: dict[str, None] = {}
    rows = 0
    for one in _objects(file, kind, deadline):
        rows += 1
        for name in one.values or ():
            names[name] = None
        if len(names) > LIMITS.columns:
            raise InputInvalid.because("reading-too-wide", columns=len(names), limit=LIMITS.columns)
    if not names:
        raise InputInvalid.because("reading-json-shape" if rows else "reading-no-rows")
    shape = Shape(kind, tuple(names), encoding=encoding.name)
    shape.decide("format", kind, Reason("reading-format-content"))
    shape.decide("encoding", encoding.name, encoding.why)
    shape.decide("columns", str(len(names)), Reason("reading-json-names", {"columns": len(names)}))
    note_names(shape, 0)
    proof = Proof(file.sha256, rows, None, file.lines)
    return JsonTable(path, shape, overrides, dataset, deadline, file, kind, proof)


@dataclass(frozen=True)
class _Object:
    line: int
    values: Mapping[str, str | None] | None
    broken: str | None
    characters: int


class JsonTable(FileTable):
    """Flat objects of a JSON file."""

    def __init__(
        self, path: Path, shape: Shape, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None,
        file: text.TextFile, kind: str, proof: Proof,
    ) -> None:  # fmt: skip
        super().__init__(path, shape, overrides, dataset, deadline)
        self._file, self._kind, self._proof = file, kind, proof
        self.stamp = file.stamp

    def batches(self) -> Iterator[SourceBatch]:
        """The objects; one that is not flat, or says a name twice, is broken. A name that is absent is a missing value."""
        names = list(self.names)
        yield from batches_of(self._rows(names), self.column_names, tail=False)

    def _rows(self, names: list[str]) -> Iterator[Row]:
        for one in _objects(self._file, self._kind, self.deadline):
            values = one.values or {}
            yield one.line, [values.get(name) or "" for name in names], one.broken, one.characters


# --- one object -----------------------------------------------------------------------------------------------------------


class _FlawError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _FlawError("row-name-twice")
    return found


def _no_number(_name: str) -> str:
    raise _FlawError("row-json-broken")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=_no_number)


def _object(said: str, line: int) -> _Object:
    """One object from its text. Values as written; true and false as words."""
    values: Mapping[str, str | None] | None = None
    broken = None
    try:
        if _depth(said) > LIMITS.json.depth:
            raise _FlawError("row-not-flat")
        found = _DECODER.decode(said)
        if not isinstance(found, dict):
            raise _FlawError("row-not-flat")
        values = {name: _value(value) for name, value in found.items()}
    except _FlawError as flaw:
        broken = flaw.code
    except (json.JSONDecodeError, RecursionError):
        broken = "row-json-broken"
    if values is not None and any("\x00" in name or "\x00" in (value or "") for name, value in values.items()):
        broken, values = "row-json-broken", None
    return _Object(line, values, broken, len(said))


def _depth(said: str) -> int:
    """How deep brackets stand in each other, those within strings counted too: an upper bound, without recursion."""
    deepest = depth = 0
    for one in re.finditer(r"[\[\]{}]", said):
        depth += 1 if one.group() in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _value(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        if any("\ud800" <= one <= "\udfff" for one in value):
            raise _FlawError("row-json-broken")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _FlawError("row-not-flat")


# --- many objects ---------------------------------------------------------------------------------------------------------


def _objects(file: text.TextFile, kind: str, deadline: Deadline | None) -> Iterator[_Object]:
    if kind == "json-lines" and _first_line_is_whole(file):
        yield from _by_lines(file, deadline)
    else:
        yield from _by_brackets(file, array=kind == "json", deadline=deadline)


def _first_line_is_whole(file: text.TextFile) -> bool:
    with file.open() as lines:
        for line in lines:
            said = line.strip(_BLANK)
            if said:
                return _object(said, 1).broken != "row-json-broken"
    return True


def _by_lines(file: text.TextFile, deadline: Deadline | None) -> Iterator[_Object]:
    with file.open() as lines:
        for number, line in enumerate(lines, start=1):
            if deadline and number % 10_000 == 0:
                deadline.check()
            said = line.strip(_BLANK)
            if said and said != "\x1a":
                yield _object(said, number)


_MARKS = re.compile(r'["\\\[\]{}\n]')


def _by_brackets(file: text.TextFile, *, array: bool, deadline: Deadline | None) -> Iterator[_Object]:
    """Objects by their outermost brackets, within one array or one after the other. What lies between them must be commas or blanks."""
    held: list[str] = []
    size = 0
    depth = 0
    line = first_line = 1
    in_text = escaped = False
    base = 1 if array else 0
    closed = yielded = False
    commas = 1
    with file.open() as source:
        while block := source.read(_BLOCK):
            if deadline:
                deadline.check()
            place = begin = 0
            while place < len(block):
                if escaped:
                    escaped = False
                    place += 1
                    continue
                found = _MARKS.search(block, place)
                at = found.start() if found else len(block)
                if depth == base or closed:
                    between = block[place:at].strip(_BLANK)
                    commas += between.count(",")
                    if between.strip(_BLANK + ",") or (between and not array):
                        code = "reading-json-shape" if array and not yielded and not closed else "reading-json-broken"
                        raise InputInvalid.because(code, **({"line": line} if code == "reading-json-broken" else {}))
                if found is None:
                    break
                mark = found.group()
                place = at + 1
                if mark == "\n":
                    line += 1
                elif in_text:
                    if mark == "\\":
                        escaped = True
                    elif mark == '"':
                        in_text = False
                elif mark == '"':
                    if depth == base:
                        raise InputInvalid.because("reading-json-shape")
                    in_text = True
                elif mark in "[{":
                    if closed:
                        raise InputInvalid.because("reading-json-broken", line=line)
                    if depth == base:
                        if mark == "[" and (array or depth):
                            raise InputInvalid.because("reading-json-shape")
                        if array and commas != 1:
                            raise InputInvalid.because("reading-json-broken", line=line)
                        begin, first_line, held, size, commas = at, line, [], 0, 0
                    depth += 1
                elif mark in "]}":
                    depth -= 1
                    if depth < base:
                        if not array or mark != "]" or depth < 0:
                            raise InputInvalid.because("reading-json-broken", line=line)
                        closed = True
                    elif depth == base:
                        held.append(block[begin:place])
                        one = _object("".join(held), first_line)
                        if one.broken == "row-json-broken":
                            raise InputInvalid.because("reading-json-broken", line=first_line)
                        yielded = True
                        yield one
                        begin = place
                else:
                    raise InputInvalid.because("reading-json-broken", line=line)
            if depth > base:
                held.append(block[begin:])
                size += len(block) - begin
                if size > LIMITS.record_characters:
                    raise InputInvalid.because("intake-line-too-long", line=first_line, limit=LIMITS.record_characters)
    if depth or in_text or (array and not closed):
        raise InputInvalid.because("reading-json-broken", line=line)

