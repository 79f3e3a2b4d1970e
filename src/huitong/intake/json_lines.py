"""JSON as a source of rows: flat objects, one a line, one after the other, or in one array, which may stand within an object as
services answer (`{"code": 200, "data": [...]}`). Numbers keep every digit as written.

The columns are the names of all objects, in the order in which they first appear; so the whole file is read once when it is opened.
"""

import itertools
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
    file, encoding = text.prove(path, encoding, deadline=deadline, by_lines=False)
    wrapping = _wrapping(file) if kind == "json-lines" else None
    try:
        names, rows = _names(file, kind, wrapping, deadline)
    except _NotWrappedError:
        wrapping = None
        names, rows = _names(file, kind, None, deadline)
    if not names:
        raise InputInvalid.because("reading-json-shape" if rows else "reading-no-rows")
    shape = Shape(kind, tuple(names), encoding=encoding.name)
    shape.decide("format", kind, Reason("reading-format-content"))
    shape.decide("encoding", encoding.name, encoding.why)
    shape.decide("columns", str(len(names)), Reason("reading-json-names", {"columns": len(names)}))
    if wrapping is not None:
        shape.decide("rows", wrapping.name, Reason("reading-json-wrapped", {"name": wrapping.name, "values": wrapping.around}))
    note_names(shape, 0)
    proof = Proof(file.sha256, rows, None, file.lines)
    return JsonTable(path, shape, overrides, dataset, deadline, file, kind, proof, wrapping)


def _names(file: text.TextFile, kind: str, wrapping: "_Wrapping | None", deadline: Deadline | None) -> tuple[dict[str, None], int]:
    """The names of all objects, and how many objects there are."""
    names: dict[str, None] = {}
    rows = 0
    for one in _objects(file, kind, wrapping, deadline):
        rows += 1
        for name in one.values or ():
            names[name] = None
        if len(names) > LIMITS.columns:
            raise InputInvalid.because("reading-too-wide", columns=len(names), limit=LIMITS.columns)
    return names, rows


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
        file: text.TextFile, kind: str, proof: Proof, wrapping: "_Wrapping | None",
    ) -> None:  # fmt: skip
        super().__init__(path, shape, overrides, dataset, deadline)
        self._file, self._kind, self._proof, self._wrapping = file, kind, proof, wrapping
        self.stamp = file.stamp

    def batches(self) -> Iterator[SourceBatch]:
        """The objects; one that is not flat, or says a name twice, is broken. A name that is absent is a missing value."""
        names = list(self.names)
        yield from batches_of(self._rows(names), self.column_names, tail=False)

    def _rows(self, names: list[str]) -> Iterator[Row]:
        for one in _objects(self._file, self._kind, self._wrapping, self.deadline):
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


def _is_whole(said: str) -> bool:
    """Whether brackets and quotes close, whatever the values are."""
    try:
        json.loads(said, strict=False, parse_int=str)
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _object(said: str, line: int) -> _Object:
    """One object from its text. Values as written; true and false as words."""
    values: Mapping[str, str | None] | None = None
    broken = None
    try:
        if said.count("{") + said.count("[") > LIMITS.json.depth and _depth(said) > LIMITS.json.depth:
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


class _NotWrappedError(Exception):
    """What follows the list does not end the object around it."""


@dataclass
class _Wrapping:
    """An object around the list of rows."""

    before: str
    """Its text up to the list."""
    name: str
    around: int = 0
    """Values in it beside the list; known once its end was read."""

    def check(self, after: str) -> None:
        """Raises _NotWrappedError unless this text ends the object, without another list."""
        try:
            whole = json.loads(f"{self.before}[]{after.rstrip(_BLANK)}", parse_int=str)
        except (json.JSONDecodeError, RecursionError):
            raise _NotWrappedError from None
        self.around = _leaves(whole)


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    if isinstance(value, list):
        if value:
            raise _NotWrappedError
        return 0
    return 1


_AROUND = 1 << 16
"""Characters before and after the list of rows."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]')
_WRAPPERS = frozenset(
    ["data", "rows", "records", "list", "items", "result", "results", "values", "content", "datalist", "resultlist", "body", "response",
     "dataset", "table", "page"]
)  # fmt: skip
"""What services call the list of rows; any other list in an object is taken for a value of it."""


def _wrapping(file: text.TextFile) -> _Wrapping | None:
    """The object around the list of rows, if the file begins with one."""
    with file.open() as source:
        head = source.read(_AROUND)
    lead = len(head) - len(head.lstrip(_BLANK))
    path: list[str] = []
    last = ""
    for found in _TOKEN.finditer(head, lead):
        mark = found[0]
        if mark == "[":
            follows = head[found.end() : found.end() + 1000].lstrip(_BLANK)[:1]
            if follows == "{" and 0 < len(path) <= 3 and last.casefold() in _WRAPPERS:
                names = [*path[1:], last]
                return _Wrapping(head[lead : found.start()], ".".join(names), 0) if _known(names) else None
            if follows != "]":
                return None
        elif mark == "{":
            path.append(last)
        elif mark == "}":
            path.pop()
            if not path:
                return None
        elif mark[0] == '"' and head[found.end() : found.end() + 100].lstrip()[:1] == ":":
            last = mark[1:-1]
    return None


def _known(names: list[str]) -> bool:
    return all(name.casefold() in _WRAPPERS for name in names)


def _objects(file: text.TextFile, kind: str, wrapping: _Wrapping | None, deadline: Deadline | None) -> Iterator[_Object]:
    if wrapping is not None:
        yield from _by_brackets(file, array=True, deadline=deadline, wrapping=wrapping)
    elif kind == "json-lines" and _first_line_is_whole(file):
        yield from _by_lines(file, deadline)
    else:
        yield from _by_brackets(file, array=kind == "json", deadline=deadline)


def _first_line_is_whole(file: text.TextFile) -> bool:
    with file.open() as lines:
        while line := lines.readline(LIMITS.record_characters + 1):
            said = line.strip(_BLANK)
            if len(line) > LIMITS.record_characters:
                return False
            if said:
                return _object(said, 1).broken != "row-json-broken" or _is_whole(said)
    return True


def _by_lines(file: text.TextFile, deadline: Deadline | None) -> Iterator[_Object]:
    with file.open() as lines:
        for number in itertools.count(1):
            line = lines.readline(LIMITS.record_characters + 1)
            if not line:
                return
            if len(line) > LIMITS.record_characters:
                raise InputInvalid.because("intake-line-too-long", line=number, limit=LIMITS.record_characters)
            if deadline and number % 10_000 == 0:
                deadline.check()
            said = line.strip(_BLANK)
            if said and said != "\x1a":
                yield _object(said, number)


_PLAIN = re.compile(r"(null|true|false|-?[0-9][0-9.eE+-]*)([\s,]+(null|true|false|-?[0-9][0-9.eE+-]*))*")
"""Values that are no objects, between objects."""
_MARKS = re.compile(r'["\\\[\]{}\n]')


def _by_brackets(
    file: text.TextFile, *, array: bool, deadline: Deadline | None, wrapping: _Wrapping | None = None
) -> Iterator[_Object]:
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
        if wrapping is not None:
            head = source.read(_AROUND)
            start = len(head) - len(head.lstrip(_BLANK)) + len(wrapping.before)
            source.seek(0)
            line = first_line = source.read(start).count("\n") + 1
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
                    if _PLAIN.fullmatch(between.strip(_BLANK + ",")) and array and not closed:
                        raise InputInvalid.because("reading-json-shape")
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
                        if wrapping is not None:
                            wrapping.check(block[place:] + source.read(_AROUND))
                            return
                    elif depth == base:
                        held.append(block[begin:place])
                        one = _object("".join(held), first_line)
                        if one.broken == "row-json-broken" and not _is_whole("".join(held)):
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

