"""What a delimited text file is made of: its encoding, proved over the whole file, its delimiter and its header."""

import codecs
import csv
import hashlib
import io
import itertools
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huitong.errors import InputInvalid, Reason
from huitong.intake.limits import LIMITS, Deadline
from huitong.model.catalog import Dataset

BLOCK = 1 << 20
csv.field_size_limit(LIMITS.field_characters)
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
    records: int | None = None
    """Records that are not blank, counted by line ends outside quotes; None where that was not counted. A file that quotes in
    another way gives another number: whoever reads a different one must look again, record by record."""
    longest: int = 0
    """Bytes of the longest counted record."""

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


def read_text_file(path: Path, *, deadline: Deadline | None = None) -> TextFile:
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
            proof = _prove(path, encoding, deadline)
        except InputInvalid as error:
            problem = problem or error
            continue
        if stamp_of(path) != before:
            raise InputInvalid.because("intake-file-changed")
        counted = proof.counter.records if proof.counter else None
        longest = proof.counter.longest if proof.counter else 0
        return TextFile(path, encoding, proof.lines, proof.sha256, before, counted, longest)
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


class _Counter:
    """Counts the records of UTF-8 bytes that are not blank, block by block: a record ends at a line feed outside quotes."""

    def __init__(self) -> None:
        self.records = 0
        self.longest = 0
        self._read = 0
        self._end = 0
        """Where the last record ended."""
        self._quotes = 0
        self._before = 0
        """The last byte of the block before."""

    def add(self, block: bytes) -> None:
        """The next bytes; none at all means the end of the file."""
        if not block:
            if self._read - self._end > (self._before == 13):
                self._ended(np.array([self._read - self._end]))
            return
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == 10)
        quotes = np.flatnonzero(data == 34) if b'"' in block else None
        if quotes is not None:
            ends = ends[(np.searchsorted(quotes, ends) + self._quotes) % 2 == 0]
        elif self._quotes % 2:
            ends = ends[:0]
        if len(ends):
            lengths = np.diff(ends, prepend=self._end - self._read - 1) - 1
            returns = data[ends - 1] == 13
            if ends[0] == 0:
                returns[0] = self._before == 13
            self._ended(lengths[lengths > returns])
            self._end = self._read + int(ends[-1]) + 1
        self._quotes += 0 if quotes is None else len(quotes)
        self._read += len(block)
        self._before = block[-1]

    def _ended(self, lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
        if len(lengths):
            self.records += len(lengths)
            self.longest = max(self.longest, int(lengths.max()))


@dataclass(frozen=True)
class _Proof:
    lines: int
    sha256: str
    counter: _Counter | None


def _prove(path: Path, encoding: str, deadline: Deadline | None) -> _Proof:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    digest = hashlib.sha256()
    counter = _Counter() if encoding in ("utf-8", "utf-8-sig") else None
    lines = 0
    line_so_far = 0
    with path.open("rb") as file:
        while True:
            if deadline:
                deadline.check()
            block = file.read(BLOCK)
            digest.update(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + block[: max(0, error.start)].count(b"\n") + 1
                raise InputInvalid.because("intake-encoding-broken", line=line, encoding=encoding) from None
            if "\x00" in text:
                raise InputInvalid.because("intake-nul-character", line=lines + text[: text.index("\x00")].count("\n") + 1)
            first = min((place for place in (text.find("\n"), text.find("\r")) if place >= 0), default=len(text))
            if line_so_far + first > LIMITS.record_characters:
                raise InputInvalid.because("intake-line-too-long", line=lines + 1, limit=LIMITS.record_characters)
            last = max(text.rfind("\n"), text.rfind("\r"))
            line_so_far = len(text) - last - 1 if last >= 0 else line_so_far + len(text)
            lines += text.count("\n")
            if counter:
                counter.add(block)
            if not block:
                return _Proof(lines, digest.hexdigest(), counter)


@dataclass(frozen=True)
class Record:
    """One record of a delimited file: the line it begins on and its fields, or the reason code why it cannot be read."""

    line: int
    fields: Sequence[str]
    broken: str | None = None
    characters: int = 0


class _TooLongError(Exception):
    """A record goes on beyond the limit."""


class _Lines:
    """The lines of a text that stop the reader of a record which does not end."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.characters = 0
        """Read since this was last set to 0."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.characters > LIMITS.record_characters:
            raise _TooLongError
        line = next(self._text)
        self.characters += len(line)
        return line


def records(file: TextFile, delimiter: str) -> Generator[Record, None, None]:
    """The records in order, blank lines left out, with the line each begins on. A broken one is reported and reading goes on."""
    with file.open() as text:
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        line = 0
        while True:
            lines.characters = 0
            broken = None
            fields: Sequence[str] = ()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except _TooLongError:
                broken = "row-too-large"
            except csv.Error as error:
                broken = "row-field-too-long" if str(error).startswith("field larger") else "row-quote-not-closed"
            if fields or broken:
                yield Record(line + 1, fields, broken, lines.characters)
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
