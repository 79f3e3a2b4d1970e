"""What a column is taken for: by every value of it, by its name, and in doubt text."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huitong.errors import InputInvalid
from huitong.intake import deciding
from huitong.intake.file_table import _add_facts
from huitong.intake.reading import Overrides, inspect, open_source
from huitong.intake.source import match_columns, unique_names
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText


def type_of(tmp_path: Path, name: str, values: list[str]) -> tuple[str, str]:
    path = tmp_path / "a.csv"
    path.write_text(f"{name}|x\n" + "".join(f"{value}|y\n" for value in values), "utf-8")
    column = inspect(path, Overrides(delimiter="|")).columns[0]
    return column.type.value, column.why.code.removeprefix("reading-type-")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("人数", ["1", "20", "-3"], ("integer", "whole-numbers")),
        ("人数", ["1", "", "3"], ("integer", "whole-numbers")),
        ("比例", ["1.5", "2", "0.25"], ("decimal", "decimals")),
        ("面积", ["1.50", "02.5"], ("text", "leading-zeros")),
        ("区划", ["520101", "520102"], ("text", "one-length")),
        ("门牌号", ["1", "12"], ("text", "code-name")),
        ("序号", ["1", "12"], ("integer", "whole-numbers")),
        ("houseCode", ["1", "12"], ("text", "code-name")),
        ("valid", ["1", "12"], ("integer", "whole-numbers")),
        ("数", ["1234567890123456", "1"], ("text", "long-digits")),
        ("号", ["5.2E+17", "1"], ("text", "cut")),
        ("日期", ["2024-02-29", "2024/3/1", "2024年3月2日"], ("date", "dates")),
        ("日期", ["2024-02-29", "2023-02-29"], ("text", "words")),
        ("日期", ["20240229", "20240301"], ("date", "dates")),
        ("批次", ["20240229", "20240301"], ("text", "one-length")),
        ("日期", ["3.4.2024", "4.5.2024"], ("text", "other-days")),
        ("时刻", ["2024-02-29T08:00:00+08:00", "2024-03-01 09:00:00Z"], ("instant", "instants")),
        ("时刻", ["2024-02-29 08:00:00", "2024-03-01 09:00"], ("text", "local-moments")),
        ("时间", ["08:30", "9:15"], ("text", "clock-times")),
        ("有无", ["是", "否", ""], ("boolean", "truths")),
        ("金额", ["1,234.50", "2"], ("text", "grouped")),
        ("金额", ["1", "2", "3", "无"], ("text", "mixed")),
        ("备注", ["", " "], ("text", "empty")),
    ],
)
def test_types(tmp_path: Path, name: str, values: list[str], expected: tuple[str, str]) -> None:
    assert type_of(tmp_path, name, values) == expected


@pytest.mark.slow
def test_one_value_far_down_decides(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for last, expected in (("2024-01-02", ItemType.DATE), ("soon", ItemType.TEXT), ("2024-13-01", ItemType.TEXT)):
        path.write_text("day,n\n" + "2024-01-01,1\n" * 120_000 + f"{last},2\n")
        reading = inspect(path)
        assert reading.columns[0].type is expected and reading.rows == 120_001


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=6), st.integers().map(str), st.dates().map(str), st.sampled_from(["", "是", "007", "1E+17"]))))
def test_facts_of_parts_are_the_facts_of_the_whole(values: list[str]) -> None:
    import duckdb

    values = [value.encode("utf-8", "ignore").decode() for value in values]
    middle = len(values) // 2
    with duckdb.connect() as connection:
        found = []
        for parts in ([values], [values[:middle], values[middle:]]):
            facts: dict[str, deciding.Facts] = {}
            for part in parts:
                if part:
                    _add_facts(connection, pa.table({"a": pa.array([value or None for value in part], pa.string())}), facts)
            found.append(deciding.decide_type("a", facts["a"])[0] if values else None)
    assert found[0] == found[1]


def entry(*titles: str) -> Dataset:
    same = BilingualText("表", "table")
    items = tuple(Item(f"i{number}", BilingualText(title, title), ItemType.TEXT, Grade.PUBLIC) for number, title in enumerate(titles))
    return Dataset(
        id="x.y", title=same, abstract=same, classification="3-01-0101/000001", provider="o", collector="o",
        sharing=Sharing.UNCONDITIONAL, sharing_basis="x", sharing_condition=None, openness=Openness.OPEN,
        update_cycle=UpdateCycle.ONCE, items=items,
    )  # fmt: skip


def test_names_are_made_unique_and_still_match() -> None:
    cells = ["\ufeff名 称", "名称", "", "a\nb", "名称_2"]
    assert unique_names(cells) == ("名 称", "名称_3", "column_3", "a b", "名称_2")
    assert match_columns(["a", "a", ""], entry("a", "a_2", "column_3")) == {"i0": 0, "i1": 1, "i2": 2}
    assert match_columns(["地区", "收入/工资", "收入/奖金"], entry("地区", "工资", "奖金")) == {"i0": 0, "i1": 1, "i2": 2}
    with pytest.raises(InputInvalid) as caught:
        match_columns(["a", "a", "", "c"], entry("a", "b"))
    assert {reason.code for reason in caught.value.reasons} == {
        "intake-column-twice", "intake-column-unnamed", "intake-column-unknown", "intake-column-missing",
    }  # fmt: skip


def test_the_entry_decides_header_and_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("一月,二月,三月\n四;五;六\n名称;数量\n甲;1,5\n乙;2,5\n", "utf-8")
    with open_source(path, dataset=entry("名称", "数量")) as source:
        assert source.reading.header_row == 3 and source.reading.delimiter == ";"
        assert [column.why.code for column in source.reading.columns] == ["reading-type-of-item"] * 2


def test_a_parquet_file_says_its_types_and_texts_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"n": [1, 2], "code": ["01", "02"], "数": ["1", "2"]}), path)
    assert [(one.type.value, one.why.code) for one in inspect(path).columns] == [
        ("integer", "reading-type-of-file"), ("text", "reading-type-leading-zeros"), ("integer", "reading-type-whole-numbers"),
    ]  # fmt: skip


def test_the_type_that_a_person_gives_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    assert inspect(path, Overrides(types={"a": ItemType.TEXT})).columns[0].why.code == "reading-by-override"
    with pytest.raises(InputInvalid) as caught:
        inspect(path, Overrides(types={"c": ItemType.TEXT}))
    assert [reason.code for reason in caught.value.reasons] == ["reading-override-column"]


@pytest.mark.parametrize(
    "wrong",
    [{"delimiter": "ab"}, {"delimiter": "\n"}, {"quote": "''"}, {"header_row": -1}, {"header_rows": 0}, {"format": "doc"}, {"merged": "x"}],
)
def test_overrides_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputInvalid) as caught:
        Overrides(**wrong)  # type: ignore[arg-type]
    assert caught.value.reasons[0].code == "reading-override-invalid"
