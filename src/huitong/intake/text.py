"""What a delimited text file is made of: its encoding, proved over the whole file, its delimiter and its header."""

import codecs
import csv
import hashlib
import io
import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huitong.errors import InputInvalid, Reason
from huitong.model.catalog import Dataset

BLOCK = 1 << 20
DELIMITERS = (",", "\t", ";", "|")
HEADER_WITHIN = 50
"""A header is looked for among this many first records: real files begin with titles and blank rows."""
_COMMON_SHARE = 0.7
"""GB18030 decodes nearly any bytes. It is believed only if this share of what is not ASCII is everyday Chinese (GB 2312 level 1
and its punctuation); Big5 or Latin text read as GB18030 stays far below."""


@dataclass(frozen=True)
class TextFile:
    """A file whose every byte was read once and decodes."""

    path: Path
    encoding: str
    """Python's name: `utf-8`, `utf-8-sig`, `utf-16`, `utf-16-le`, `utf-16-be` or `gb18030`."""
    lines: int
    """Line ends in it: an upper estimate of its rows."""
    sha256: str
    stamp: tuple[int, int]
    """Size and modification time when it was read."""

    def open(self) -> io.TextIOWrapper:
        """Its text, line ends as they stand."""
        return self.path.open("r", encoding=self.encoding, newline="")


@dataclass(frozen=True)
class Header:
    """Where the header stands and which column holds which item."""

    delimiter: str
    cells: tuple[str, ...]
    records_before: int
    last_line: int
    """The last line of the header's record; rows begin on the next."""
    columns: Mapping[str, int]
    """Item -> position of its column."""


def read_text_file(path: Path) -> TextFile:
    """Read the whole file once: hash, line count, proof of the encoding. Raises InputInvalid, with the line where decoding broke."""
    before = stamp_of(path)
    with path.open("rb") as file:
        start = file.read(BLOCK)
    if not start.strip():
        raise InputInvalid.because("intake-file-empty")
    candidates = _candidates(start)
    problem: InputInvalid | None = None
    for encoding in candidates:
        try:
            lines, digest = _prove(path, encoding)
        except InputInvalid as error:
            problem = problem or error
            continue
        if stamp_of(path) != before:
            raise InputInvalid.because("intake-file-changed")
        return TextFile(path, encoding, lines, digest, before)
    assert problem is not None
    raise problem


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and modification time."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _candidates(start: bytes) -> Sequence[str]:
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InputInvalid.because("intake-encoding-unknown")
    if start.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if odd > len(start) * 0.15 and even < odd / 20:
        return ("utf-16-le",)
    if even > len(start) * 0.15 and odd < even / 20:
        return ("utf-16-be",)
    return ("utf-8", "gb18030") if _looks_chinese(start) else ("utf-8",)


def _looks_chinese(start: bytes) -> bool:
    common, other, place = 0, 0, 0
    while place < len(start) - 1:
        first, second = start[place], start[place + 1]
        if first < 0x80:
            place += 1
            continue
        everyday = second >= 0xA1 and (0xB0 <= first <= 0xD7 or 0xA1 <= first <= 0xA3)
        common, other = common + everyday, other + (not everyday)
        place += 2
    return common > 0 and common / (common + other) >= _COMMON_SHARE


def _prove(path: Path, encoding: str) -> tuple[int, str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    digest = hashlib.sha256()
    lines = 0
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            digest.update(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + block[: max(0, error.start)].count(b"\n") + 1
                raise InputInvalid.because("intake-encoding-broken", line=line, encoding=encoding) from None
            if "\x00" in text:
                raise InputInvalid.because("intake-nul-character", line=lines + text[: text.index("\x00")].count("\n") + 1)
            lines += text.count("\n")
            if not block:
                return lines, digest.hexdigest()


@dataclass(frozen=True)
class Record:
    """One record of a delimited file: the line it begins on and its fields, or why it cannot be read."""

    line: int
    fields: Sequence[str]
    broken: bool = False


def records(file: TextFile, delimiter: str) -> Iterator[Record]:
    """The records in order, blank lines left out, with the line each begins on. A broken one is reported and reading goes on."""
    with file.open() as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        line = 0
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield Record(line + 1, (), broken=True)
                line = reader.line_num
                continue
            if fields:
                yield Record(line + 1, fields)
            line = reader.line_num


def normal(cell: str) -> str:
    """A header cell as it is compared: no byte-order mark, no blanks, one width of characters, one letter case."""
    return "".join(unicodedata.normalize("NFKC", cell).replace("\ufeff", "").split()).casefold()


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
    for position, cell in enumerate(cells):
        item = names.get(normal(cell))
        if not cell.strip():
            reasons.append(Reason("intake-column-unnamed", {"column": position + 1}))
        elif item is None:
            reasons.append(Reason("intake-column-unknown", {"column": cell.strip()[:60], "dataset": dataset.id}))
        elif item in columns:
            reasons.append(Reason("intake-column-twice", {"item": item}))
        else:
            columns[item] = position
    reasons += [Reason("intake-column-missing", {"item": item.name}) for item in dataset.items if item.name not in columns]
    if reasons:
        raise InputInvalid(*reasons)
    return columns


def find_header(file: TextFile, dataset: Dataset) -> Header:
    """The header for a dataset: the delimiter and the record among the first that name the most of its items.

    Raises InputInvalid: `intake-header-not-found`, or what `match_columns` found wrong with the best one."""
    names = names_of(dataset)
    best: tuple[int, Header] | None = None
    for delimiter in DELIMITERS:
        try:
            first = list(itertools.islice(records(file, delimiter), HEADER_WITHIN))
        except UnicodeError:
            continue
        for index, record in enumerate(first):
            matched = len({names[normal(cell)] for cell in record.fields if normal(cell) in names})
            if matched and (best is None or matched > best[0]):
                last = record.line + sum(field.count("\n") for field in record.fields)
                best = matched, Header(delimiter, tuple(record.fields), index, last, {})
    if best is None:
        raise InputInvalid.because("intake-header-not-found", dataset=dataset.id, records=HEADER_WITHIN)
    header = best[1]
    columns = match_columns(header.cells, dataset)
    return Header(header.delimiter, header.cells, header.records_before, header.last_line, columns)


def likely_delimiter(file: TextFile) -> str:
    """Without a dataset to compare with: the delimiter that cuts the most of the first records into the same number of fields."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(record.fields) for record in itertools.islice(records(file, delimiter), HEADER_WITHIN)]
        wide = [width for width in widths if width > 1]
        if not wide:
            return (0, 0)
        usual = max(set(wide), key=wide.count)
        return (wide.count(usual), usual)

    return max(DELIMITERS, key=score)
