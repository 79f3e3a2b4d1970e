"""The bytes of a file follow from its rows alone, and a file can be read by others as what it is."""

import csv
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from huitong.delivery.formats import FORMULA_STARTS, FileWriter
from huitong.gateway.gate import BATCH_ROWS, result_bytes
from huitong.model.delivery import ExtractForm
from huitong.portal.api.results import FORMULA_STARTS as OF_ANSWERS

ROWS = pa.table(
    {
        "name": pa.array(["张伟", 'a "b", c', "line\nbreak", "=1+1", None, ""], pa.string()),
        "-amount": pa.array([1, -2, 2**60, None, 0, 7], pa.int64()),
        "weight": pa.array([61.5, None, -1.5, 1e300, 0.1, 2.0], pa.float64()),
        "alive": pa.array([True, False, None, True, False, True]),
        "born": pa.array([date(1990, 1, 1), None, date(2000, 12, 31), None, None, None]),
        "at": pa.array([datetime(2025, 12, 31, 16, 0, 0, 500, tzinfo=UTC), None, None, None, None, None], pa.timestamp("us", tz="UTC")),
    }
)


def write(path: Path, form: ExtractForm, batches: list[pa.RecordBatch]) -> tuple[str, bytes]:
    with FileWriter(path, form) as file:
        for batch in batches:
            file.write(batch)
        sha256 = file.finish()
        assert file.bytes == path.stat().st_size
    return sha256, path.read_bytes()


@pytest.mark.parametrize("form", ExtractForm)
def test_the_bytes_do_not_depend_on_how_the_rows_came(tmp_path: Path, form: ExtractForm) -> None:
    many = pa.concat_tables([ROWS] * 15_000)
    assert many.num_rows > BATCH_ROWS
    found = set()
    for size in (1_000, 32_768, 50_021, many.num_rows):
        sha256, content = write(tmp_path / f"{size}", form, many.combine_chunks().to_batches(max_chunksize=size))
        assert hashlib.sha256(content).hexdigest() == sha256
        found.add(sha256)
    assert len(found) == 1


def test_the_arrow_file_is_the_bytes_of_an_answer(tmp_path: Path) -> None:
    _, content = write(tmp_path / "a", ExtractForm.ARROW, ROWS.to_batches())
    assert content == result_bytes(ROWS)


def test_parquet_is_read_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "p", ExtractForm.PARQUET, ROWS.to_batches())
    assert pq.read_table(tmp_path / "p").equals(ROWS)


def test_csv_says_the_same(tmp_path: Path) -> None:
    write(tmp_path / "c", ExtractForm.CSV, ROWS.to_batches())
    with (tmp_path / "c").open(encoding="utf-8", newline="") as file:
        lines: list[dict[str, Any]] = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["张伟", 'a "b", c', "line\nbreak", "'=1+1", "", ""]
    assert [line["'-amount"] for line in lines] == ["1", "-2", str(2**60), "", "0", "7"]
    assert [float(line["weight"]) for line in lines if line["weight"]] == [61.5, -1.5, 1e300, 0.1, 2.0]
    assert [line["alive"] for line in lines] == ["true", "false", "", "true", "false", "true"]
    assert [line["born"] for line in lines][:3] == ["1990-01-01", "", "2000-12-31"]
    assert datetime.fromisoformat(lines[0]["at"]) == ROWS.column("at")[0].as_py()


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_runs_as_a_formula(tmp_path: Path, start: str) -> None:
    table = pa.table({"a": [f"{start}cmd", f"x{start}", None], "b": [1, 2, 3]})
    write(tmp_path / "c", ExtractForm.CSV, table.to_batches())
    with (tmp_path / "c").open(encoding="utf-8", newline="") as file:
        cells = [line["a"] for line in csv.DictReader(file)]
    assert cells == [f"'{start}cmd", f"x{start}", ""]


def test_files_and_answers_fear_the_same_formulas() -> None:
    assert FORMULA_STARTS == OF_ANSWERS


@pytest.mark.parametrize("form", ExtractForm)
def test_no_rows_make_a_file_that_has_its_items(tmp_path: Path, form: ExtractForm) -> None:
    write(tmp_path / "e", form, ROWS.slice(0, 0).to_batches() or [pa.RecordBatch.from_pylist([], schema=ROWS.schema)])
    content = (tmp_path / "e").read_bytes()
    if form is ExtractForm.CSV:
        assert content.decode().count(",") == 5
    elif form is ExtractForm.PARQUET:
        assert pq.read_table(tmp_path / "e").column_names == ROWS.column_names
    else:
        assert pa.ipc.open_stream(content).read_all().column_names == ROWS.column_names


def test_a_missing_value_alone_on_its_line_is_still_a_row(tmp_path: Path) -> None:
    write(tmp_path / "c", ExtractForm.CSV, pa.table({"only": pa.array([1, None, 3])}).to_batches())
    with (tmp_path / "c").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
