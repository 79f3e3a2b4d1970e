"""What kind of file it is, by its content. A name may say anything: many `.xls` are web pages, and many `.csv` are workbooks."""

import mmap
import re
import zipfile
from pathlib import Path

from huitong.errors import InputInvalid

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN = (
    (b"%PDF", "PDF"), (b"\x1f\x8b", "gzip"), (b"Rar!", "RAR"), (b"7z\xbc\xaf", "7z"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"{\\rtf", "RTF"),
    (b"SQLite format 3\x00", "SQLite"), (b"\x00\x01\x00\x00Standard", "Access"), (b"ORC", "ORC"), (b"Obj\x01", "Avro"),
    (b"ARROW1", "Arrow"), (b"\x09\x08\x10\x00", "Excel 4"), (b"\x09\x04\x06\x00", "Excel 4"), (b"\x09\x02\x06\x00", "Excel 3"),
    (b"\x09\x00\x04\x00", "Excel 2"),
)  # fmt: skip
"""First bytes of formats that are known and not read."""
_SQL = re.compile(
    rb"(\s|--[^\n]*\n|/\*.{0,2000}?\*/;?)*(create\s+(table|database)\s|insert\s+into\s|drop\s+table\s|set\s+(names|sql_mode|@)|pragma\s)",
    re.IGNORECASE | re.DOTALL,
)
_SCRIPT = re.compile(rb"([A-Za-z_$][\w$.]*\s*\(|(var|let|const)\s+\w+\s*=|//[^\n]*\n|/\*.{0,2000}?\*/)\s*(\[\s*[{\[]|\{\s*\")", re.DOTALL)
"""JSON within a program."""
_MARKED_UP = re.compile(rb"<[A-Za-z][\w:.-]*[\s/>]")
_PAGE = re.compile(rb"<(!doctype html|html|head|meta|table|body|div|style)|mime-version:", re.IGNORECASE)
_JSON = re.compile(rb"(\[\s*[\[{\]\"0-9-]|\{\s*[\"}])")
_SOME = 4096


def kind_of(path: Path) -> str:
    """`text`, `xlsx`, `xlsb`, `xls`, `ods`, `html`, `xml` (SpreadsheetML 2003), `parquet`, `json` or `json-lines`. Raises InputInvalid
    for what is known and not read: `reading-format-foreign`, `reading-format-web-page` (one with its parts in one file),
    `reading-format-archive`, `reading-workbook-password`, `reading-workbook-unreadable`."""
    with path.open("rb") as file:
        start = file.read(_SOME)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _in_zip(path)
    if start.startswith(_OLE):
        return _in_ole(path)
    for sign, name in _FOREIGN:
        if start.startswith(sign) and not (sign.isalnum() and start[:200].isascii() and b"\n" in start[:200]):
            raise InputInvalid.because("reading-format-foreign", format=name)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = start.decode("utf-16", "ignore").encode().lstrip()
    if text.startswith(b"<!--"):
        text = _after_remark(path)
    if text[:13].lower() == b"mime-version:":
        raise InputInvalid.because("reading-format-web-page")
    if _PAGE.match(text):
        return "html"
    if text.startswith(b"<?xml"):
        if b"urn:schemas-microsoft-com:office:spreadsheet" in text and b"<html" not in text.lower():
            return "xml"
        if b"<html" in text.lower():
            return "html"
        raise InputInvalid.because("reading-format-foreign", format="XML")
    if b"urn:schemas-microsoft-com:office:spreadsheet" in text and b"Workbook" in text[:200]:
        return "xml"
    if _MARKED_UP.match(text) and (b"</" in text or b"/>" in text):
        raise InputInvalid.because("reading-format-foreign", format="XML")
    if _SQL.match(text):
        raise InputInvalid.because("reading-format-foreign", format="SQL")
    if _SCRIPT.match(text):
        raise InputInvalid.because("reading-format-foreign", format="JavaScript")
    if _JSON.match(text):
        return "json" if text.startswith(b"[") else "json-lines"
    return "text"


def _after_remark(path: Path) -> bytes:
    """What follows a remark of markup at the beginning."""
    with path.open("rb") as file:
        start = file.read(1 << 20)
    end = start.find(b"-->")
    return start[end + 3 : end + 3 + _SOME].lstrip() if end >= 0 else start


def _in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist()[:100_000])
            kind = archive.read("mimetype")[:100] if "mimetype" in names and archive.getinfo("mimetype").file_size < 200 else b""
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        raise InputInvalid.because("reading-workbook-unreadable", format="zip") from None
    folded = {name.casefold() for name in names}
    if "xl/workbook.bin" in folded:
        return "xlsb"
    if any(name.startswith("xl/") for name in folded):
        return "xlsx"
    if b"opendocument.spreadsheet" in kind or ("content.xml" in names and "opendocument" not in kind.decode("latin-1")):
        return "ods"
    if any(name.startswith(("word/", "ppt/")) for name in folded) or b"opendocument" in kind:
        raise InputInvalid.because("reading-format-foreign", format="document")
    raise InputInvalid.because("reading-format-archive")


def _in_ole(path: Path) -> str:
    def named(text: str) -> bytes:
        return text.encode("utf-16-le") + b"\x00\x00"

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(named("EncryptedPackage")) >= 0:
            raise InputInvalid.because("reading-workbook-password")
        if data.find(named("Workbook")) >= 0 or data.find(named("Book")) >= 0:
            return "xls"
    _refuse_cut_ole(path)
    raise InputInvalid.because("reading-format-foreign", format="document")


def _refuse_cut_ole(path: Path) -> None:
    """Its folder names what is in it; a file that ends before its folder was cut off."""
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    sector = 1 << int.from_bytes(head[30:32], "little") if len(head) == 512 and head[30] in (9, 12) else 0
    folder = int.from_bytes(head[48:52], "little")
    if not sector or (folder + 1) * sector >= size:
        raise InputInvalid.because("reading-workbook-unreadable", format="xls")
