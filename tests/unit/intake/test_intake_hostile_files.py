"""A file that is very long, very wrong or much larger than it looks: every row is accounted for, or a clear refusal comes soon."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from huitong.errors import InputInvalid, Unavailable
from huitong.intake import delimited, parquet_files, text
from huitong.intake import load as loading
from huitong.intake.limits import LIMITS
from huitong.intake.load import load
from huitong.intake.loads import LoadOptions, Reject
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText
from huitong.words import render

SAME = BilingualText("表", "table")
DATASET = Dataset(
    id="civil.pair",
    title=SAME,
    abstract=SAME,
    classification="3-01-0101/000001",
    provider="gz-civil",
    collector="gz-civil",
    sharing=Sharing.UNCONDITIONAL,
    sharing_basis="x",
    sharing_condition=None,
    openness=Openness.OPEN,
    update_cycle=UpdateCycle.DAILY,
    items=tuple(Item(name, SAME, ItemType.TEXT, Grade.PUBLIC) for name in ("a", "b")),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: datetime(2026, 3, 1, tzinfo=UTC))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    return path


def codes(error: pytest.ExceptionInfo[InputInvalid]) -> list[str]:
    for reason in error.value.reasons:
        assert render(reason, "en") and render(reason, "zh-Hans")
    return [reason.code for reason in error.value.reasons]


def nothing_visible(lake: Lake) -> bool:
    return not lake.versions("civil.pair") and not list((lake.folder / "tables").glob("*/.staging-*"))


@pytest.mark.parametrize("characters", [500_000, LIMITS.field_characters, 2_097_000])
@pytest.mark.parametrize("after", [b"", b"\n", b"\n3,4\n"])
def test_no_long_row_is_lost(tmp_path: Path, lake: Lake, characters: int, after: bytes) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 3 + b"x" * characters + b",1" + after)
    loaded = load(path, dataset=DATASET, lake=lake, options=LoadOptions(reject_limit=1))
    fits = characters <= LIMITS.field_characters
    assert loaded.snapshot.rows + loaded.snapshot.rejected_rows == 4 + (b"3" in after)
    assert loaded.rejects == (() if fits else (Reject(5, "row-field-too-long"),))


@pytest.mark.slow
def test_a_last_line_that_the_fast_reader_forgets_is_refused_by_its_line(tmp_path: Path, lake: Lake) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 3 + b"x" * 33_000_000 + b",1")
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake)
    assert codes(error) == ["intake-line-too-long"]
    assert error.value.reasons[0].parameters["line"] == 5


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"a,b\n1,2\n", 2),
        (b"a,b\n1,2", 2),
        (b"a,b\r\n1,2\r\n\r\n\r\n3,4", 3),
        (b"\xef\xbb\xbfa,b\n\n\n1,2\n\n", 2),
        (b'a,b\n"1\n\n""x""\n",2\n3,"4\r\n"\r\n', 3),
        (b"a,b\n\r", 1),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_records_are_counted_wherever_blocks_end(
    tmp_path: Path, content: bytes, records: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, content)
    monkeypatch.setattr(text, "BLOCK", 1 << 20)
    file = text.read_text_file(path)
    counter = text._Counter()
    for start in range(0, len(content), block):
        counter.add(content[start : start + block])
    counter.add(b"")
    assert counter.records == file.records == records == sum(1 for _ in text.records(file, ","))


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n3,4\n", b"a,b\r\n1,2\r\n3,4", b'\xef\xbb\xbfa,b\n"1\n\n",2\n\n3,"4 ""x"""\n\n', b"a,b\n,\n3,4\n"]
)
def test_a_clean_file_is_still_read_the_fast_way(
    tmp_path: Path, lake: Lake, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_load_batches", lambda *_: pytest.fail("read the careful way"))
    assert load(written(tmp_path, content), dataset=DATASET, lake=lake).snapshot.rows == 2


@pytest.mark.slow
@pytest.mark.parametrize("body", [b'"' + b"x\n" * 5_000_000, b'"x\n' * 3_000_000, b"x\n" * 5_000_000, b'"\n",' * 5_000_000])
def test_a_file_of_bad_rows_is_given_up_soon(tmp_path: Path, lake: Lake, body: bytes) -> None:
    path = written(tmp_path, b"a,b\n" + body)
    start = time.monotonic()
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake, options=LoadOptions(reject_limit=3))
    assert time.monotonic() - start < 10
    assert codes(error)[0] == "intake-too-many-rejects"
    assert 3 < int(error.value.reasons[0].parameters["rows"]) <= delimited._BATCH_ROWS
    assert nothing_visible(lake)


def test_a_record_without_end_is_one_bad_row_and_bounded(tmp_path: Path, lake: Lake) -> None:
    path = written(tmp_path, b"a,b\n1,2\n" + b'"\n",' * (LIMITS.record_characters // 4 + 10) + b"\n3,4\n")
    loaded = load(path, dataset=DATASET, lake=lake, options=LoadOptions(reject_limit=1_000))
    assert loaded.rejects[0] == Reject(3, "row-too-large")
    assert loaded.snapshot.rows == 2 or loaded.snapshot.rejected_rows > 1


@pytest.mark.parametrize("kind", ["clean text", "bad text", "parquet"])
def test_a_load_ends_at_its_time_limit_and_leaves_nothing(tmp_path: Path, lake: Lake, kind: str) -> None:
    path = written(tmp_path, b"a,b\n" + (b"1,2\n" if kind == "clean text" else b"1\n") * 200_000)
    if kind == "parquet":
        parquet.write_table(pa.table({"a": ["1"] * 1000, "b": ["2"] * 1000}), path)
    for seconds in (0, 0.01):
        with pytest.raises(Unavailable) as error:
            load(path, dataset=DATASET, lake=lake, options=LoadOptions(reject_limit=10**9, seconds=seconds if kind != "parquet" else 0))
        assert [reason.code for reason in error.value.reasons] == ["load-time-limit"]
    assert nothing_visible(lake)


@pytest.mark.slow
def test_a_small_parquet_file_that_becomes_huge_is_refused(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "bomb.parquet"
    table = pa.table({"a": pa.array(["x" * 2000] * 100_000), "b": pa.array(["y"] * 100_000)})
    with parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(table)
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake)
    assert codes(error) == ["intake-parquet-too-large"]
    assert error.value.reasons[0].parameters["what"] == "text-bytes"
    assert nothing_visible(lake)


def test_a_value_too_long_in_parquet_has_its_reason(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "long.parquet"
    parquet.write_table(pa.table({"a": ["x" * (LIMITS.field_characters + 1)], "b": ["y"]}), path)
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake)
    assert codes(error) == ["intake-value-too-long"]


@pytest.mark.parametrize(
    ("what", "numbers"), [("rows", {"rows": 1}), ("row-group-bytes", {"row_group_bytes": 10}), ("bytes", {"file_bytes": 10})]
)
def test_the_footer_is_believed_before_any_page_is_read(
    tmp_path: Path, lake: Lake, what: str, numbers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": ["1", "2"], "b": ["3", "4"]}), path)
    monkeypatch.setattr(parquet_files, "LIMITS", replace(LIMITS, parquet=replace(LIMITS.parquet, **numbers)))
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake)
    assert codes(error) == ["intake-parquet-too-large"]
    assert error.value.reasons[0].parameters["what"] == what


def test_more_memory_than_a_load_may_use_has_its_reason(tmp_path: Path) -> None:
    small = Lake(tmp_path / "lake", lambda: datetime(2026, 3, 1, tzinfo=UTC), memory_megabytes=16)
    path = tmp_path / "x.parquet"
    wide = pa.table({"a": [f"{n:06d}" * 60_000 for n in range(150)], "b": ["3"] * 150})
    parquet.write_table(wide, path, use_dictionary=False, data_page_size=1 << 30)
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=small)
    assert codes(error) == ["load-memory-limit"]
    assert nothing_visible(small)


def test_a_damaged_page_has_its_reason(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"a": [f"{n}" for n in range(5000)], "b": ["3"] * 5000}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:4000] = bytes(255 - byte for byte in content[4:4000])
    path.write_bytes(bytes(content))
    with pytest.raises(InputInvalid) as error:
        load(path, dataset=DATASET, lake=lake)
    assert codes(error) == ["intake-parquet-unreadable"]


def test_a_long_text_that_a_dictionary_names_often_is_counted_before_it_is_written_out(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kilobyte that becomes 180 GB: the engine, which would hold two thousand such texts at once, is never asked."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int8()), pa.array(["x" * 900_000]))
    path = tmp_path / "bomb.parquet"
    table = pa.table({"a": column, "b": pa.nulls(200_000, pa.string())})
    parquet.write_table(table, path, compression="zstd", use_dictionary=True)
    assert path.stat().st_size < 10_000

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the engine was asked to read it")

    monkeypatch.setattr(loading, "open_writer", asked)
    before = pa.total_allocated_bytes()
    with pytest.raises(InputInvalid) as refused:
        load(path, dataset=DATASET, lake=lake)
    assert codes(refused) == ["intake-parquet-too-large"]
    assert pa.total_allocated_bytes() - before < 64_000_000


def test_a_long_text_in_a_dictionary_that_is_named_seldom_is_loaded(tmp_path: Path, lake: Lake) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int8()), pa.array(["x" * 900_000, "y"]))
    path = tmp_path / "seldom.parquet"
    parquet.write_table(pa.table({"a": column, "b": ["1", "2", "3", "4"]}), path, use_dictionary=True)
    assert load(path, dataset=DATASET, lake=lake).snapshot.rows == 4
