"""What a delimited text file is made of: its encoding, proved over the whole file, and its records, with the line of each."""

import codecs
import csv
import hashlib
import io
import itertools
import queue
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from huitong.errors import InputInvalid, Reason
from huitong.intake.deciding import BODY_TOTALS, reader_of
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import match_columns, names_of, normal, stamp_of
from huitong.model.catalog import Dataset

__all__ = [
    "Encoding",
    "Header",
    "Record",
    "Repeats",
    "TextFile",
    "decide_encoding",
    "find_header",
    "first_block",
    "likely_delimiter",
    "match_columns",
    "names_of",
    "normal",
    "prove",
    "read_text_file",
    "records",
    "stamp_of",
]  # fmt: skip

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
    lone_returns: bool = False
    """Whether lines end in a carriage return alone somewhere."""
    lost: tuple[int, int] = (0, 0)
    """How many replacement characters stand in it, and in which line the first."""

    def open(self) -> io.TextIOWrapper:
        """Its text, line ends as they stand."""
        try:
            return self.path.open("r", encoding=self.encoding, newline="")
        except FileNotFoundError:
            raise InputInvalid.because("intake-file-changed") from None


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


@dataclass(frozen=True)
class Encoding:
    """What a file's bytes are, and why."""

    name: str
    why: Reason


def read_text_file(path: Path, *, encoding: str | None = None, deadline: Deadline | None = None) -> TextFile:
    """Read the whole file once: hash, line count, proof of the encoding. Raises InputInvalid, with the line where decoding broke."""
    return prove(path, decide_encoding(first_block(path), encoding), deadline=deadline)[0]


def first_block(path: Path) -> bytes:
    """The bytes that an encoding is decided by. Raises InputInvalid `intake-file-empty`."""
    with path.open("rb") as file:
        start = file.read(BLOCK)
    if not start.strip(b"\x00\x1a \t\r\n\f\v") or start in _MARKS:
        raise InputInvalid.because("intake-file-empty")
    return start


class Repeats:
    """Counts how often some bytes stand in a file that is read block by block, and notices `odd` ones."""

    def __init__(self, sought: bytes, odd: Sequence[bytes] = ()) -> None:
        self._sought = sought
        self._odd = odd
        self._overlap = max(map(len, (sought, *odd))) - 1
        self._end = b""
        self.found = 0
        self.odd = False
        """Whether one of the odd ones stands in it."""

    def start(self) -> None:
        """From the first byte on."""
        self._end, self.found, self.odd = b"", 0, False

    def add(self, block: bytes) -> None:
        """The next bytes."""
        if self._sought:
            self.found += block.count(self._sought)
            if self._end and block:
                around = self._end[-(len(self._sought) - 1) :] + block[: len(self._sought) - 1]
                self.found += around.count(self._sought)
        if not self.odd:
            seam = self._end + block[: self._overlap]
            self.odd = any(one in block or one in seam for one in self._odd)
        self._end = block[-self._overlap :] if self._overlap > 0 else b""


ODD = (b"\n\xef\xbb\xbf", b"\x1a", b'="', *(f"\n{quote}{word}".encode() for word in BODY_TOTALS for quote in ("", '"')))
"""Bytes below a header that need the careful way: marks between files put together, text written as a formula, totals between rows."""


def prove(
    path: Path, encoding: Encoding, *, deadline: Deadline | None = None, repeats: Repeats | None = None, by_lines: bool = True
) -> tuple[TextFile, Encoding]:
    """Read the whole file once. A file that is ASCII at first may turn out to be something else further down: then the other encoding.
    Where records are no lines (not `by_lines`), a line may be of any length.

    Raises InputInvalid, with the line where decoding broke, or `intake-file-changed`."""
    before = stamp_of(path)
    try:
        proof = _prove(path, encoding.name, deadline, repeats, by_lines)
    except _NotThisError as broken:
        if encoding.name != "utf-8" or broken.wide:
            raise InputInvalid.because("intake-encoding-broken", line=broken.line, encoding=encoding.name) from None
        with path.open("rb") as file:
            file.seek(max(0, broken.place - 256))
            around = file.read(BLOCK)
        start = around.find(b"\n", 0, min(256, broken.place)) + 1
        encoding = decide_encoding(around[start:], None, line=broken.line)
        if encoding.name == "utf-8":
            raise InputInvalid.because("intake-encoding-broken", line=broken.line, encoding="utf-8") from None
        try:
            proof = _prove(path, encoding.name, deadline, repeats, by_lines)
        except _NotThisError as again:
            raise InputInvalid.because("intake-encoding-broken", line=again.line, encoding=encoding.name) from None
    if stamp_of(path) != before:
        raise InputInvalid.because("intake-file-changed")
    counted = proof.counter.records if proof.counter else None
    longest = proof.counter.longest if proof.counter else 0
    return TextFile(path, encoding.name, proof.lines, proof.sha256, before, counted, longest, proof.lone_returns, proof.lost), encoding


_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_ASKED_FOR = frozenset(
    [
        "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii", "gb18030", "big5",
        "big5hkscs", "cp950", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
        "cp1255", "cp1256", "cp1257", "cp1258", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-9", "iso8859-15", "koi8-r",
        "cp437", "cp850", "cp866", "mac-roman"
    ]
)  # fmt: skip
"""Encodings that a person may name: plain tables of characters, none that turns bytes into something else."""


def _asked_for(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        found = ""
    found = {"gbk": "gb18030", "gb2312": "gb18030"}.get(found, found)
    if found not in _ASKED_FOR:
        raise InputInvalid.because("reading-override-invalid", what="encoding")
    return found


def decide_encoding(start: bytes, asked: str | None, *, line: int = 1) -> Encoding:
    """The encoding of a file that begins so. Raises InputInvalid `intake-encoding-broken` where no evidence is good enough;
    `line` is the first that is not UTF-8, if known."""
    if asked is not None:
        name = _asked_for(asked)
        if name == "utf-8" and start.startswith(codecs.BOM_UTF8):
            name = "utf-8-sig"
        return Encoding(name, Reason("reading-by-override"))
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return Encoding("utf-32", Reason("reading-encoding-mark"))
    if start.startswith(codecs.BOM_UTF8):
        _refuse_twice(start)
        return Encoding("utf-8-sig", Reason("reading-encoding-mark"))
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Encoding("utf-16", Reason("reading-encoding-mark"))
    wide = _utf_16(start)
    if wide:
        return Encoding(wide, Reason("reading-encoding-zeros"))
    if b"\x00" in start:
        raise InputInvalid.because("intake-nul-character", line=start[: start.index(b"\x00")].count(b"\n") + 1)
    _refuse_mail(start)
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(start)
    except UnicodeDecodeError as error:
        broken = error.start
    else:
        _refuse_twice(start)
        return Encoding("utf-8", Reason("reading-encoding-ascii" if start.isascii() else "reading-encoding-valid"))
    if _chinese(start) and not _perhaps_korean(start):
        return Encoding("gb18030", Reason("reading-encoding-chinese"))
    if _western(start):
        return Encoding("cp1252", Reason("reading-encoding-western"))
    if not start[:broken].isascii() and _mostly_utf_8(start):
        return Encoding("utf-8", Reason("reading-encoding-valid"))
    line += start[:broken].count(b"\n")
    maybe = [name for name in ("gb18030", "big5", "cp1252", "shift_jis", "euc_kr") if _decodes(start, name)]
    raise InputInvalid(
        Reason("intake-encoding-broken", {"line": line, "encoding": "utf-8"}),
        *([Reason("reading-encoding-maybe", {"encodings": ", ".join(maybe)})] if maybe else []),
    )


def _refuse_mail(start: bytes) -> None:
    """Encodings that hide characters behind plain letters would be read as those letters."""
    name = ""
    if b"\x1b$" in start and re.search(rb"\x1b\$([@BA]|\)[ACG]|\([CD])", start):
        name = "ISO-2022"
    elif start.isascii() and b"~{" in start and b"~}" in start and _hidden(start, "hz"):
        name = "HZ"
    elif start.isascii() and b"+" in start and _hidden(b" ".join(found[0] for found in _UTF_7.finditer(start)), "utf-7"):
        name = "UTF-7"
    if name:
        raise InputInvalid.because("reading-encoding-mail", encoding=name)


_UTF_7 = re.compile(rb"\+[A-Za-z0-9+/]{3,}-?")


def _hidden(start: bytes, name: str) -> bool:
    """Whether what these letters hide is everyday Chinese."""
    whole = start[: start.rfind(b"\n") + 1] or start
    try:
        found = [one for one in whole.decode(name) if one > "\x7f"]
    except UnicodeDecodeError:
        return False
    everyday = [one for one in found if b"\xa1" <= one.encode("gb2312", "ignore")[:1] < b"\xd8"]
    return len(found) >= 2 and len(everyday) >= 0.9 * len(found)


def _refuse_twice(start: bytes) -> None:
    """UTF-8 that was taken for Western text and written as UTF-8 once more: every run beyond ASCII is itself bytes of UTF-8."""
    text = codecs.getincrementaldecoder("utf-8")("strict").decode(start)
    runs = [found[0] for found in itertools.islice(_BEYOND.finditer(text), 1000) if "\ufffd" not in found[0]]
    if len(runs) < 3:
        return

    def again(run: str) -> bool:
        try:
            data = b"".join(one.encode("latin-1" if one < "\u0100" else "cp1252") for one in run)
            return len(data.decode("utf-8")) < len(run)
        except UnicodeError:
            return False

    if sum(map(again, runs)) >= 0.9 * len(runs):
        raise InputInvalid.because("reading-encoding-twice")


_BEYOND = re.compile("[^\x00-\x7f]+")


def _perhaps_korean(start: bytes) -> bool:
    """Korean in EUC-KR lies among everyday Chinese of GB 2312, but only among the first half and hardly among its frequent characters."""
    try:
        read = codecs.getincrementaldecoder("gb18030")("ignore").decode(start)
    except UnicodeDecodeError:
        return False
    pairs = {one: one.encode("gb2312", "ignore")[:1] for one in set(read) if one > "\x7f"}
    hangul = [one for one, first in pairs.items() if b"\xb0" <= first <= b"\xc8"]
    chinese = [one for one, first in pairs.items() if first > b"\xc8"]
    if len(hangul) < 5 or len(chinese) > 0.05 * len(hangul) or not _decodes(start, "euc_kr"):
        return False
    return sum(one in _FREQUENT for one in hangul) < 0.25 * len(hangul)


_FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定"
    "天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见"
    "被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何"
    "电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路"
    "记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔编号码县省镇乡村街址备注单位称年龄岗贵州居民证件照码姓名电话号"
)
"""Characters of which everyday Chinese, and the headers of its tables, are made."""


def _decodes(start: bytes, name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)("strict").decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _utf_16(start: bytes) -> str | None:
    """UTF-16 without a mark: zeros stand in every other byte alone, and what they leave is everyday text."""
    whole = start[: len(start) // 2 * 2]
    even, odd = whole[0::2].count(0), whole[1::2].count(0)
    name = "utf-16-le" if odd > even else "utf-16-be"
    if max(even, odd) < 2 or min(even, odd) > max(even, odd) / 20 or not _decodes(whole, name):
        return None
    text = codecs.getincrementaldecoder(name)("strict").decode(whole)
    beyond = [one for one in text if one > "\u024f"]
    everyday = sum(1 for one in beyond if one.encode("gb2312", "ignore")[:1] < b"\xd8" and one.encode("gb2312", "ignore"))
    return name if "\x00" not in text and "\n" in text + "\n" * (len(text) < 64) and everyday >= _COMMON_SHARE * len(beyond) else None


def _mostly_utf_8(start: bytes) -> bool:
    lost = start.decode("utf-8", "replace").count("\ufffd")
    return lost * 20 <= len(start.decode("utf-8", "ignore").encode("ascii", "replace").replace(b"?", b"")) or lost * 10 <= sum(
        1 for one in start.decode("utf-8", "ignore") if one > "\x7f"
    )


def _chinese(start: bytes) -> bool:
    """Whether bytes read as GB18030 are everyday Chinese: GB 2312 level 1 and its punctuation; four-byte characters count as rare."""
    common, other, place = 0, 0, 0
    while place < len(start) - 1:
        first, second = start[place], start[place + 1]
        if first < 0x80:
            place += 1
            continue
        four = 0x30 <= second <= 0x39
        everyday = second >= 0xA1 and (0xB0 <= first <= 0xD7 or 0xA1 <= first <= 0xA3)
        common, other = common + everyday, other + (not everyday)
        place += 4 if four else 2
    return common > 0 and common / (common + other) >= _COMMON_SHARE and _decodes(start, "gb18030")


_WESTERN = frozenset("áéíóúñüçàèìòùâêîôûäëïöåæøßãõÁÉÍÓÚÑÜÇÀÈÂÊÎÔÛÄËÏÖÅÆØÃÕºª¿¡°´’‘“”–—…€£§«»·²³½\xa0".encode("cp1252"))
_WESTERN_LEAST = 3


def _western(start: bytes) -> bool:
    """Whether the bytes above ASCII are letters of Western Europe: each alone between ASCII ones, all of them usual. Chinese, Japanese
    or Cyrillic bytes come in pairs and runs."""
    data = np.frombuffer(start, np.uint8)
    high = np.flatnonzero(data >= 0x80)
    if len(high) < _WESTERN_LEAST:
        return False
    alone = np.diff(high) > 1
    usual = np.isin(data[high], np.frombuffer(bytes(_WESTERN), np.uint8))
    letters = np.isin(data[np.maximum(high - 1, 0)] | 0x20, np.arange(97, 123)) | np.isin(
        data[np.minimum(high + 1, len(data) - 1)] | 0x20, np.arange(97, 123)
    )
    return bool(usual.all() and alone.mean() >= 0.97 and letters.mean() >= 0.9)


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
    lone_returns: bool
    lost: tuple[int, int]


class _NotThisError(Exception):
    """The bytes are not of this encoding: from which line and byte on, and whether what is beyond ASCII was right before."""

    def __init__(self, line: int, place: int, wide: bool) -> None:
        super().__init__()
        self.line, self.place, self.wide = line, place, wide


class _Hashing:
    """SHA-256 in a thread of its own: hashing needs no lock of the interpreter, so the file is decoded meanwhile."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._blocks: queue.Queue[bytes] = queue.Queue(8)
        self._thread = threading.Thread(target=self._hash, daemon=True)

    def __enter__(self) -> "_Hashing":
        self._thread.start()
        return self

    def add(self, block: bytes) -> None:
        self._blocks.put(block)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._blocks.put(b"")
        self._thread.join()

    def _hash(self) -> None:
        while block := self._blocks.get():
            self._digest.update(block)

    def hexdigest(self) -> str:
        """Of everything added; after the end of the `with`."""
        return self._digest.hexdigest()


def _prove(path: Path, encoding: str, deadline: Deadline | None, repeats: Repeats | None, by_lines: bool) -> _Proof:
    if repeats:
        repeats.start()
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    counter = _Counter() if encoding in ("utf-8", "utf-8-sig") else None
    lines = 0
    line_so_far = 0
    place = 0
    wide = False
    lone_returns = False
    lost = first_lost = 0
    after_return = False
    with path.open("rb") as file, _Hashing() as digest:
        while True:
            if deadline:
                deadline.check()
            block = file.read(BLOCK)
            if block:
                digest.add(block)
                if repeats:
                    repeats.add(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                held = len(error.object) - len(block)  # bytes of the block before that begin a character
                at = max(0, error.start - held)
                line = lines + _line_ends(block[:at], encoding) + 1
                raise _NotThisError(line, place + at, wide or not (encoding == "utf-8" and block[:at].isascii())) from None
            if "\x00" in text:
                raise InputInvalid.because("intake-nul-character", line=lines + text[: text.index("\x00")].count("\n") + 1)
            if not text.isascii():
                wide = True
                gone = text.count("\ufffd")
                if gone and not lost:
                    first_lost = lines + text[: text.index("\ufffd")].count("\n") + 1
                lost += gone
            first = min((place for place in (text.find("\n"), text.find("\r")) if place >= 0), default=len(text))
            if by_lines and line_so_far + first > LIMITS.record_characters:
                raise InputInvalid.because("intake-line-too-long", line=lines + 1, limit=LIMITS.record_characters)
            last = max(text.rfind("\n"), text.rfind("\r"))
            line_so_far = len(text) - last - 1 if last >= 0 else line_so_far + len(text)
            lines += text.count("\n")
            if after_return and not text.startswith("\n"):
                lone_returns = True
            after_return = text.endswith("\r")
            if not lone_returns and "\r" in text:
                lone_returns = text.count("\r") - after_return > text.count("\r\n")
            if counter:
                counter.add(block)
            if not block:
                break
            place += len(block)
    return _Proof(lines, digest.hexdigest(), counter, lone_returns, (lost, first_lost))


def _line_ends(block: bytes, encoding: str) -> int:
    if encoding.startswith("utf-16"):
        return block.decode(encoding if encoding != "utf-16" else "utf-16-le", "ignore").count("\n")
    return block.count(b"\n")


@dataclass(frozen=True)
class Record:
    """One record of a delimited file: the line it begins on and its fields, or the reason code why it cannot be read."""

    line: int
    fields: Sequence[str]
    broken: str | None = None
    characters: int = 0


_BETWEEN_FILES = frozenset("\ufeff\x1a")
"""What stands at the beginning of a line where files were put together: a byte-order mark, the end mark of old systems."""


class _TooLongError(Exception):
    """A record goes on beyond the limit."""


class _Lines:
    """The lines of a text that stop the reader of a record which does not end, and can be gone back over."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._again: list[str] = []
        self.kept: list[str] = []
        """The lines of the record that is being read."""
        self.characters = 0
        """Their characters."""

    def begin(self) -> None:
        """A new record begins."""
        self.kept, self.characters = [], 0

    def go_back(self) -> None:
        """All but the first line of this record are read once more."""
        self._again = self.kept[:0:-1] + self._again

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.characters > LIMITS.record_characters:
            raise _TooLongError
        line = self._again.pop() if self._again else next(self._text)
        if line[:1] in _BETWEEN_FILES:
            line = line.lstrip("\ufeff\x1a")
        self.characters += len(line)
        self.kept.append(line)
        return line


def records(
    file: TextFile, delimiter: str, quote: str = '"', blanks: bool = False, escape: bool = False
) -> Generator[Record, None, None]:
    """The records in order, blank lines left out, with the line each begins on. A broken one is reported and reading goes on: after a
    quote that never closes, on the next line, so that it does not take the rest of the file with it."""
    with file.open() as text:
        lines = _Lines(text)

        def fresh() -> Any:
            return reader_of(lines, delimiter, quote, blanks=blanks, escape=escape)

        reader = fresh()
        line = before = 0
        while True:
            lines.begin()
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
                if str(error) == "unexpected end of data":
                    lines.go_back()
                    before, reader = line + 1, fresh()
            if fields or broken:
                yield Record(line + 1, fields, broken, lines.characters)
            line = before + reader.line_num


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
