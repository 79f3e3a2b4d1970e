"""Real and made messy tables: each ends in the table that stands beside it, or in one clear refusal; never in a crash or a wrong table.

The expected tables were read by eye against their files (tests/fixtures/intake/SOURCES.md)."""

import importlib.util
import json
from pathlib import Path

import pytest

from huitong.errors import Reason
from huitong.intake.reading import Overrides, inspect, open_source
from huitong.words import render, sentences

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

FOLDER = Path(__file__).parents[2] / "fixtures" / "intake"
_spec = importlib.util.spec_from_file_location("make_files", FOLDER / "make_files.py")
assert _spec and _spec.loader
make_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_files)


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", make_files.files(), ids=named)
def test_every_file_ends_in_its_table_or_its_refusal(path: Path) -> None:
    expected = json.loads(path.with_name(path.name + ".expected.json").read_text("utf-8"))
    assert json.loads(json.dumps(make_files.expected(path))) == expected


@pytest.mark.parametrize("path", make_files.files(), ids=named)
def test_every_word_about_a_file_exists_in_both_languages(path: Path) -> None:
    expected = json.loads(path.with_name(path.name + ".expected.json").read_text("utf-8"))
    codes = [code for code, _parameters in expected.get("refused", [])]
    codes += [code for _line, code in expected.get("broken", [])] + [code for _what, code in expected.get("decisions", [])]
    codes += [column[2] for column in expected.get("columns", [])]
    assert codes
    for language in ("en", "zh-Hans"):
        assert not [code for code in codes if code not in sentences(language)]
    for code, parameters in expected.get("refused", []):
        assert "(" not in render(Reason(code, parameters), "zh-Hans").replace("（", "")


def rows(path: Path, overrides: Overrides) -> list[tuple[str | None, ...]]:
    with open_source(path, overrides=overrides) as source:
        return [row for batch in source.batches() for row in zip(*(column.to_pylist() for column in batch.columns.columns), strict=True)]


def test_a_person_may_name_the_encoding_that_no_evidence_gives() -> None:
    found = rows(FOLDER / "messy" / "characters.csv", Overrides(encoding="big5"))
    assert found[0][2] == "雲嘉南濱海國家風景區管理處"
    assert rows(FOLDER / "own" / "japanese.csv", Overrides(encoding="shift_jis"))[0] == ("1", "東京都庁")
    assert rows(FOLDER / "own" / "half-latin.csv", Overrides(encoding="windows-1252"))[0] == ("José", "1")


def test_a_person_may_name_the_rows_of_the_header() -> None:
    path = FOLDER / "messy" / "begrotingsanalyse-2011.csv"
    reading = inspect(path, Overrides(header_row=6, header_rows=2))
    assert [column.name for column in reading.columns][:4] == ["NR.", "Cluster", "Groningen", "Friesland"]
    assert rows(path, Overrides(header_row=6, header_rows=2))[1][:4] == ("1", "Onroerendezaakbelastingen", "208", "173")


def test_a_file_without_header_is_read_when_a_person_says_so() -> None:
    reading = inspect(FOLDER / "own" / "no-header.csv", Overrides(header_row=0))
    assert [column.name for column in reading.columns] == [f"column_{number}" for number in range(1, 6)]
    assert reading.rows == 12
    assert rows(FOLDER / "messy" / "long.csv", Overrides(header_row=0)) == [("foo",)] * 4000


@pytest.mark.slow
def test_a_person_chooses_the_sheet() -> None:
    assert rows(FOLDER / "own" / "several-sheets.xlsx", Overrides(sheet="一月")) == [("1", "2")]
    assert inspect(FOLDER / "messy" / "large.xlsx", Overrides(sheet="data", header_row=3)).rows == 8544


@pytest.mark.slow
def test_merged_cells_of_the_body_mean_what_a_person_says() -> None:
    path = FOLDER / "own" / "merged-body.xlsx"
    assert [row[0] for row in rows(path, Overrides(merged="fill"))] == ["贵阳市"] * 3 + ["遵义市"] * 2 + ["安顺市"]
    assert [row[0] for row in rows(path, Overrides(merged="leave"))] == ["贵阳市", None, None, "遵义市", None, "安顺市"]


@pytest.mark.slow
def test_a_long_number_is_believed_only_as_a_measure_that_a_person_names() -> None:
    from huitong.model.catalog import ItemType

    path = FOLDER / "own" / "identifiers-as-numbers.xlsx"
    assert len(rows(path, Overrides())) == 2
    assert len(rows(path, Overrides(types={"身份证号": ItemType.DECIMAL}))) == 3
    assert len(rows(path, Overrides(types={"身份证号": ItemType.TEXT}))) == 2
