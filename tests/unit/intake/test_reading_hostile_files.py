"""Files made to break the reader: bombs of zip, XML, JSON and sheets, records without end. Each is refused soon and clearly."""

import io
import json
import os
import time
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from huitong.errors import InputInvalid, Unavailable
from huitong.intake import limits, spreadsheets, text
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.reading import Overrides, inspect, open_source
from huitong.words import render

pytestmark = pytest.mark.slow  # each workbook meets a process of its own; all of them run in `make test`


def refused(path: Path, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(InputInvalid) as caught, open_source(path, overrides=overrides) as source:
        assert source.reading
    for reason in caught.value.reasons:
        for language in ("en", "zh-Hans"):
            sentence = render(reason, language)
            assert sentence and reason.code not in sentence and str(path.parent) not in sentence
    return [reason.code for reason in caught.value.reasons]


def workbook(path: Path, **replaced: bytes) -> Path:
    """A small workbook with parts replaced or added, by their names with `/` written as `__`."""
    made = openpyxl.Workbook()
    made.active.append(["a", "b"])
    made.active.append([1, 2])
    plain = io.BytesIO()
    made.save(plain)
    parts = {name.replace("__", "/"): content for name, content in replaced.items()}
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return path


def sheet(body: str) -> bytes:
    return f'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{body}</worksheet>'.encode()


SHEET = "xl/worksheets/sheet1.xml"


def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    bomb = sheet("<sheetData>" + " " * (LIMITS.sheet.free_bytes + 1_000_000) + "</sheetData>")
    start = time.monotonic()
    assert refused(workbook(tmp_path / "bomb.xlsx", **{SHEET: bomb})) == ["reading-workbook-too-large"]
    assert time.monotonic() - start < 10


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "lie.xlsx", **{"xl/media/a.bin": b"\x00" * 1_000_000})
    data = path.read_bytes()
    path.write_bytes(data.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert refused(path) == ["reading-workbook-unreadable"]


def test_many_parts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "parts.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(LIMITS.sheet.entries + 1):
            archive.writestr(f"xl/{number}", b"")
    assert refused(path) == ["reading-workbook-too-large"]


@pytest.mark.parametrize("word", ["<!DOCTYPE a [<!ENTITY b 'cc'>]>", "<!DOCTYPE a SYSTEM 'file:///etc/hostname'>"])
def test_xml_definitions_are_refused(tmp_path: Path, word: str) -> None:
    bad = sheet("<sheetData/>").replace(b"<worksheet", word.encode() + b"<worksheet")
    assert refused(workbook(tmp_path / "x.xlsx", **{SHEET: bad})) == ["reading-workbook-doctype"]


def test_two_cells_in_the_far_corners_are_no_reason_to_fill_the_memory(tmp_path: Path) -> None:
    body = (
        '<sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    )
    start = time.monotonic()
    assert refused(workbook(tmp_path / "far.xlsx", **{SHEET: sheet(body)})) == ["reading-workbook-too-large"]
    assert time.monotonic() - start < 20


def test_a_repeated_cell_of_an_open_document_is_not_written_out(tmp_path: Path) -> None:
    path = tmp_path / "repeated.ods"
    names = " ".join(
        f'xmlns:{one}="urn:oasis:names:tc:opendocument:xmlns:{one}:1.0"' for one in ("office", "table", "text")
    )
    number = 'office:value-type="float" office:value="1" table:number-columns-repeated="16000"'
    cell = f"<table:table-cell {number}><text:p>1</text:p></table:table-cell>"
    body = f'<table:table table:name="a"><table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row></table:table>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        for one in ("spreadsheet", "body"):
            body = f"<office:{one}>{body}</office:{one}>"
        archive.writestr("content.xml", f"<office:document-content {names}>{body}</office:document-content>")
        archive.writestr("META-INF/manifest.xml", "<a/>")
    assert refused(path) == ["reading-workbook-too-large"]


def test_cells_merged_over_each_other_a_thousand_times_are_refused(tmp_path: Path) -> None:
    areas = "".join(f'<mergeCell ref="A2:XFD{1_048_576 - number}"/>' for number in range(5_000))
    row = '<row><c><v>1</v></c><c><v>2</v></c></row>'
    body = f"<sheetData>{row * 6_000}</sheetData><mergeCells>{areas}</mergeCells>"
    assert refused(workbook(tmp_path / "merged.xlsx", **{SHEET: sheet(body)})) == ["reading-workbook-too-large"]


PAGE = "<html><table><tr><th>a</th><th>b</th></tr>"
SPACE = "urn:schemas-microsoft-com:office:spreadsheet"
BOOK = f'<Workbook xmlns="{SPACE}" xmlns:ss="{SPACE}"><Worksheet ss:Name="a"><Table>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (PAGE + "<tr><td rowspan=65000 colspan=2000>x" * 50, "reading-workbook-too-large"),
        (PAGE + "<tr>" + "<td>1" * (LIMITS.columns + 1), "reading-too-wide"),
        ("<html>" + "<table>" * 50_000, "reading-format-web-page"),
        (f"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'cc'>]>{BOOK}", "reading-workbook-doctype"),
        (f"<?xml version='1.0'?>{BOOK}<Row ss:Index='99999999'><Cell><Data ss:Type='String'>x</Data></Cell></Row></Table></Worksheet>"
         "</Workbook>", "reading-workbook-too-large"),
        (f"<?xml version='1.0'?>{BOOK}<Row>", "reading-workbook-unreadable"),
    ],
)  # fmt: skip
def test_marked_up_text_made_to_break_the_reader_is_refused(tmp_path: Path, content: str, code: str) -> None:
    path = tmp_path / "a.xls"
    path.write_text(content)
    start = time.monotonic()
    assert refused(path) == [code]
    assert time.monotonic() - start < 20


@pytest.mark.slow
def test_a_web_page_ends_at_its_own_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    path = tmp_path / "a.html"
    path.write_bytes(b"<html>" + b"<!x" * 1_000_000)
    monkeypatch.setattr(spreadsheets, "LIMITS", replace(LIMITS, sheet=replace(LIMITS.sheet, marked_up_seconds=2)))
    with pytest.raises(InputInvalid) as caught:
        open_source(path)
    assert caught.value.reasons[0].parameters["what"] == "seconds"


def test_a_pipe_a_folder_and_a_link_to_nothing_are_no_files(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.csv", tmp_path / "loop.csv"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path in (pipe, loop, tmp_path, tmp_path / "none.csv"):
        assert refused(path) == ["intake-file-missing"]


def test_a_name_says_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    for name in ("-rf.xls", "it's \"; --.csv", "a\nb.ods"):
        with open_source(workbook(tmp_path / name)) as source:
            assert source.reading.format == "xlsx" and source.reading.rows == 1


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.xlsx", "a.parquet"])
def test_a_file_that_goes_away_while_it_is_open_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.xlsx":
        workbook(path)
    elif name == "a.parquet":
        parquet.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_text('[{"a": 1}]' if name == "a.json" else "a,b\n1,2\n")
    with pytest.raises(InputInvalid) as caught, open_source(path) as source:
        path.unlink()
        assert source.reading and source.sha256
    assert caught.value.reasons[0].code == "intake-file-changed"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\ufeff2,b\n", "\x1a2,b\n", '2,="b"\n', "小计,\n" + "1,x\n" * 100 + "2,b\n"])
def test_what_needs_care_far_down_is_not_read_the_fast_way(tmp_path: Path, end: str) -> None:
    path = tmp_path / "late.csv"
    path.write_text("a,b\n" + "1,x\n" * 300_000 + end)
    with open_source(path) as source:
        assert source.fast is not None
        assert any(mark in path.read_bytes() for mark in source.fast.odd)
        assert source.proof().rows is None
        *_, last = source.batches()
        assert list(last.columns.slice(last.columns.num_rows - 1).to_pylist()[0].values()) == ["2", "b"]
        assert source.reading.rows == 300_000 + end.count("\n")


@pytest.mark.parametrize("names", [["a", "A"], ["a", ""], ["a", "file_row_number"]])
def test_columns_of_parquet_that_no_name_tells_apart_are_read_by_their_place(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names), path)
    with open_source(path) as source:
        assert source.fast is None
        assert [list(row.values()) for batch in source.batches() for row in batch.columns.to_pylist()] == [["1", "2"]]


def test_broken_rows_without_number_are_counted_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 300 + "1,2,3\n" * 20_000)
    with open_source(path) as source:
        told = source.reading.decisions[-1]
    assert told.value == "20000" and str(told.why.parameters["lines"]).endswith(", ...")


def test_a_reading_process_that_dies_is_a_refusal_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    path = workbook(tmp_path / "a.xlsx")
    small = replace(LIMITS, sheet=replace(LIMITS.sheet, memory_bytes=50_000_000))
    monkeypatch.setattr(spreadsheets, "LIMITS", small)
    assert refused(path) == ["reading-workbook-too-large"]


def test_a_workbook_ends_at_the_time_limit(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_source(workbook(tmp_path / "a.xlsx"), deadline=Deadline(0))


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + b"\x00" * 5000, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600])
def test_a_damaged_container_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    assert refused(path)[0].startswith("reading-")


def test_a_plain_archive_is_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "tables.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    assert refused(path) == ["reading-format-archive"]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":[', '[{"a":{"b":'])
def test_json_without_bottom_is_refused(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "deep.json"
    path.write_text(opening * 200_000)
    assert refused(path)[0] in ("reading-json-shape", "reading-json-broken")


def test_a_json_record_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text('[{"a":"' + "x\n" * (LIMITS.record_characters // 2 + 1_100_000))
    assert refused(path) == ["intake-line-too-long"]


def test_one_line_of_json_may_be_long_as_services_answer(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    row = json.dumps({"a": 1, "b": "x" * 1_000})
    for before, after in (("[", "]"), ('{"code":0,"data":[', '],"total":1}')):
        path.write_text(before + ",".join([row] * (LIMITS.record_characters // 1_000 + 10)) + after)
        assert inspect(path).rows == LIMITS.record_characters // 1_000 + 10
    path.write_text('{"a":1}\n{"a":"' + "x" * LIMITS.record_characters + '"}\n')
    assert refused(path) == ["intake-line-too-long"]


def test_json_with_too_many_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.jsonl"
    path.write_text("".join(json.dumps({f"n{number}": 1}) + "\n" for number in range(LIMITS.columns + 1)))
    assert refused(path) == ["reading-too-wide"]


def test_a_table_of_too_many_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"n{number}" for number in range(LIMITS.columns + 1)) + "\n")
    assert refused(path) == ["reading-too-wide"]


def test_a_quote_that_never_closes_takes_no_other_row_with_it(tmp_path: Path) -> None:
    path = tmp_path / "quote.csv"
    path.write_text('a,b\n1,"x\n' + "".join(f"{number},y\n" for number in range(2, 500)))
    with open_source(path) as source:
        batches = list(source.batches())
    assert [broken for batch in batches for broken in batch.broken] == [(2, "row-quote-not-closed")]
    assert sum(batch.columns.num_rows for batch in batches) == 498


def test_a_file_that_changes_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with open_source(path) as source:
        path.write_text("a,b\n1,2\n3,4\n")
        assert source.changed()
        with pytest.raises(InputInvalid) as caught:
            source.proof()
    assert caught.value.reasons[0].code == "intake-file-changed"


@pytest.mark.slow
def test_a_file_that_is_chinese_only_far_down_is_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    path.write_bytes(b"item,name\n" + b"1,abc\n" * (text.BLOCK // 6 + 10) + "2,贵州省贵阳市\n".encode("gb18030") * 20)
    with open_source(path) as source:
        assert source.fast is not None
        *_, last = source.batches()
        assert last.columns.column(1).to_pylist()[-1] == "贵州省贵阳市"
        assert source.reading.encoding == "gb18030" and source.fast is None


@pytest.mark.parametrize("name", ["utf-7", "hex", "rot13", "unicode_escape", "idna", "no-such"])
def test_no_encoding_that_is_more_than_a_table_of_characters(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    assert refused(path, Overrides(encoding=name)) == ["reading-override-invalid"]


def test_limits_stand_with_their_source() -> None:
    assert limits.LIMITS.sheet.unpacked(10**6) == max(LIMITS.sheet.free_bytes, LIMITS.sheet.ratio * 10**6)


def test_looking_writes_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx")
    before = path.stat().st_mtime_ns
    inspect(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.xlsx"] and path.stat().st_mtime_ns == before
