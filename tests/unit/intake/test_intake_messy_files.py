"""Real messy tables: each ends in a right table or in one clear refusal, never in a crash or a silently wrong table."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from huitong.errors import InputInvalid
from huitong.intake.load import Reading, inspect, load
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText

FILES = Path(__file__).parents[2] / "fixtures" / "intake"


def entry_for(columns: dict[str, ItemType]) -> Dataset:
    same = BilingualText("表", "table")
    items = tuple(Item(f"i{n}", BilingualText(f"项{n}", title), kind, Grade.PUBLIC) for n, (title, kind) in enumerate(columns.items()))
    return Dataset(
        id="x.messy",
        title=same,
        abstract=same,
        classification="3-01-0101/000001",
        provider="o",
        collector="o",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="x",
        sharing_condition=None,
        openness=Openness.OPEN,
        update_cycle=UpdateCycle.ONCE,
        items=items,
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, lambda: datetime(2026, 3, 1, tzinfo=UTC))


def rows_of(lake: Lake, name: str, columns: dict[str, ItemType], limit: int = 0) -> list[tuple[object, ...]]:
    loaded = load(FILES / name, dataset=entry_for(columns), lake=lake, reject_limit=limit)
    tables = [parquet.read_table(path) for path in lake.absolute([file.path for file in loaded.snapshot.files])]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert [column.name for column in inspect(FILES / "utf8bom.csv").columns] == ["kitten", "win"]


def test_utf_16_with_its_mark(lake: Lake) -> None:
    reading = inspect(FILES / "utf-16le_encoded.csv")
    assert reading.encoding == "utf-16"
    assert reading.columns[0].name == "Organisation_code"
    every = {column.name: ItemType.TEXT for column in reading.columns}
    rows = rows_of(lake, "utf-16le_encoded.csv", every)
    assert len(rows) > 100
    assert {len(row) for row in rows} == {len(every)}


def test_dates_and_negative_numbers(lake: Lake) -> None:
    rows = rows_of(lake, "simple.csv", {"date": ItemType.DATE, "temperature": ItemType.INTEGER, "place": ItemType.TEXT})
    assert [str(value) for value in rows[1]] == ["2011-01-02", "-1", "Galway"]


def test_blanks_before_a_value_stay_in_text(lake: Lake) -> None:
    rows = rows_of(lake, "skip_initials.csv", {"field1": ItemType.TEXT, "field2": ItemType.TEXT})
    assert rows[0] == ("hello", "    goodbye")


def test_tabs(lake: Lake) -> None:
    reading = inspect(FILES / "example.tsv")
    assert reading.delimiter == "\t"
    rows = rows_of(lake, "example.tsv", {column.name: ItemType(column.type) for column in reading.columns})
    assert len(rows) == reading.rows


@pytest.mark.parametrize("name", ["spanish_chars.csv", "characters-big5.csv"])
def test_an_encoding_that_is_none_of_ours_is_refused_by_line(name: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        inspect(FILES / name)
    assert caught.value.reasons[0].code == "intake-encoding-broken"
    assert int(caught.value.reasons[0].parameters["line"]) >= 1


@pytest.mark.parametrize("path", sorted(FILES.glob("*.?sv")), ids=lambda path: path.name)
def test_every_file_can_be_looked_at_or_is_refused_clearly(path: Path) -> None:
    try:
        assert isinstance(inspect(path), Reading)
    except InputInvalid as error:
        assert error.reasons[0].code.startswith("intake-")
