"""A text file in many small pieces, with dirt by chance: the fast way and the careful way give the same rows and the same rejects."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from huitong.intake import fast_text
from huitong.intake import load as loading
from huitong.intake.fast_text import NotPlainError
from huitong.intake.load import LoadOptions, load
from huitong.lake.rejects import read_rejects
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ITEMS = {"id": ItemType.TEXT, "born": ItemType.DATE, "count": ItemType.INTEGER, "share": ItemType.DECIMAL, "words": ItemType.TEXT}
SAME = BilingualText("表", "table")
PEOPLE = Dataset(
    id="civil.people", title=SAME, abstract=SAME, classification="3-01-0101/000001", provider="gz-civil", collector="gz-civil",
    sharing=Sharing.UNCONDITIONAL, sharing_basis="x", sharing_condition=None, openness=Openness.OPEN,
    update_cycle=UpdateCycle.DAILY, primary_key=("id",),
    items=tuple(Item(name, BilingualText(name, name), kind, Grade.PUBLIC) for name, kind in ITEMS.items()),
)  # fmt: skip

DIRT: tuple[Callable[[list[str]], list[str]], ...] = (
    lambda row: [row[0], "1990-02-30", *row[2:]],
    lambda row: [row[0], "1990/3/1", *row[2:]],  # unusual, and right
    lambda row: [row[0], "", *row[2:]],
    lambda row: [*row[:2], "unknown", *row[3:]],
    lambda row: [*row[:2], "-7", *row[3:]],
    lambda row: [*row[:2], "007", *row[3:]],
    lambda row: [*row[:3], "1,5", *row[4:]],
    lambda row: [*row[:3], "1e3", *row[4:]],
    lambda row: row[:3],
    lambda row: [*row, "more"],
    lambda row: [*row, "", ""],
    lambda row: ["", *row[1:]],
    lambda row: [" ", *row[1:]],
    lambda row: [],
    lambda row: [*row[:4], "多\n行"],
    lambda row: [*row[:4], 'a "word", so'],
)


def _file(path: Path, seed: int, *, dirty: float, quoted: bool) -> None:
    chance = random.Random(seed)
    lines = [",".join(ITEMS)]
    known: list[str] = []
    for number in range(400):
        key = chance.choice(known) if known and chance.random() < 0.03 else f"52{number:05}"
        known.append(key)
        born = f"19{chance.randint(10, 99)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}"
        row = [key, born, str(number), f"{number / 4:.2f}", "一些字"]
        if chance.random() < dirty:
            row = chance.choice(DIRT if quoted else DIRT[:-2])(row)
        lines.append(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & set(',"\n') else cell for cell in row))
        if known and chance.random() < 0.02:
            lines.append(lines[-1])  # the same row, once more right below
    path.write_text("\n".join(lines) + ("\n" if seed % 2 else ""), "utf-8")


def _loaded(path: Path, folder: Path) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]], str]:
    lake = Lake(folder, lambda: NOW)
    done = load(path, dataset=PEOPLE, lake=lake, options=LoadOptions(reject_limit=1000))
    files = lake.absolute([file.path for file in done.snapshot.files])
    rows = [row for file in files for row in parquet.read_table(file).to_pylist()]
    table = lake.rejects(PEOPLE.id, done.snapshot.version)
    rejects = [] if table is None else [(one.line, one.item, one.reason, one.row) for one in read_rejects(table, limit=10_000, offset=0)[0]]
    return sorted(rows, key=lambda row: str(row["count"]) + row["id"]), sorted(rejects, key=str), done.snapshot.source_hash


@pytest.mark.parametrize("seed", range(12))
def test_both_ways_give_the_same_rows_and_rejects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    _file(tmp_path / "rows.csv", seed, dirty=(0.0, 0.01, 0.2)[seed % 3], quoted=seed % 4 == 3)
    monkeypatch.setattr(fast_text, "PIECE_BYTES", 3_000)
    monkeypatch.setattr(fast_text, "CUT_BYTES", 1_000)
    taken: list[bool] = []
    real = loading.load_fast

    def noted(*given: Any, **named: Any) -> Any:
        done = real(*given, **named)
        taken.append(True)
        return done

    monkeypatch.setattr(loading, "load_fast", noted)
    fast = _loaded(tmp_path / "rows.csv", tmp_path / "fast")
    assert taken or seed % 3 or seed % 4 == 3, "a clean file is read the fast way"

    def never(*_: object, **__: object) -> None:
        raise NotPlainError

    monkeypatch.setattr(loading, "load_fast", never)
    careful = _loaded(tmp_path / "rows.csv", tmp_path / "careful")
    assert fast[0] == careful[0]
    assert [one[:3] for one in fast[1]] == [one[:3] for one in careful[1]]
    assert fast[2] == careful[2]


def test_a_third_row_of_a_key_is_left_out_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"52{number:05},1990-01-01,{number},1.5,x" for number in range(300)]
    rows[40:40] = [rows[0].replace(",0,", ",1000,"), rows[0].replace(",0,", ",1001,")]
    (tmp_path / "rows.csv").write_text("\n".join([",".join(ITEMS), *rows]) + "\n", "utf-8")
    monkeypatch.setattr(fast_text, "PIECE_BYTES", 1_000)
    done = load(
        tmp_path / "rows.csv",
        dataset=replace(PEOPLE, id="civil.three"),
        lake=Lake(tmp_path / "lake", lambda: NOW),
        options=LoadOptions(reject_limit=3),
    )
    assert (done.snapshot.rows, done.snapshot.rejected_rows) == (299, 3)
    assert [(one.line, one.reason) for one in done.rejects] == [(2, "row-key-twice"), (42, "row-key-twice"), (43, "row-key-twice")]
