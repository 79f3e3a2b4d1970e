"""Replace, append and merge; keys; what changes between versions; the reject table. The same for a text and for a Parquet file."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable

from huitong.errors import Conflict, InputInvalid
from huitong.intake.load import Loading, LoadOptions, Reject, load
from huitong.lake.rejects import read_rejects
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, LoadMode, Openness, Sharing, Snapshot, UpdateCycle
from huitong.model.text import BilingualText
from huitong.words import render

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def words(text: str) -> BilingualText:
    return BilingualText(text, text)


DATASET = Dataset(
    id="civil.household",
    title=words("户"),
    abstract=words("户"),
    classification="3-01-0101/000001",
    provider="gz-civil-affairs",
    collector="gz-civil-affairs",
    sharing=Sharing.UNCONDITIONAL,
    sharing_basis="duty to share",
    sharing_condition=None,
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.DAILY,
    items=(
        Item("code", words("户号"), ItemType.TEXT, Grade.INTERNAL),
        Item("people", words("人口"), ItemType.INTEGER, Grade.INTERNAL),
        Item("since", words("登记日期"), ItemType.DATE, Grade.INTERNAL),
    ),
    primary_key=("code",),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: NOW)


Rows = list[tuple[str, str, str]]


def give(
    lake: Lake,
    rows: Rows,
    *,
    kind: str = "text",
    of: Dataset = DATASET,
    on: Snapshot | None = None,
    mode: LoadMode = LoadMode.REPLACE,
    limit: int = 0,
    allow: tuple[str, ...] = (),
) -> Loading:
    path = lake.folder.parent / "given"
    names = [item.name for item in of.items]
    if kind == "text":
        path.write_text("\n".join(",".join(row) for row in [tuple(names), *rows]) + "\n", "utf-8")
    else:
        columns = {name: pa.array([row[place] or None for row in rows], pa.string()) for place, name in enumerate(names)}
        parquet.write_table(pa.table(columns), path)
    options = LoadOptions(mode=mode, reject_limit=limit, allow_changes=frozenset(allow))
    return load(path, dataset=of, lake=lake, options=options, previous=on)


def held(lake: Lake, snapshot: Snapshot) -> Rows:
    tables = [parquet.read_table(path) for path in lake.absolute([file.path for file in snapshot.files])]
    rows = [tuple("" if value is None else str(value) for value in row.values()) for table in tables for row in table.to_pylist()]
    return sorted(rows)  # type: ignore[arg-type]


FIRST = [("001", "3", "2020-01-01"), ("002", "4", "2021-01-01"), ("003", "1", "2022-01-01")]
both = pytest.mark.parametrize("kind", ["text", "parquet"])


@both
def test_append_adds_rows_and_shares_the_files_that_are_there(lake: Lake, kind: str) -> None:
    one = give(lake, FIRST, kind=kind).snapshot
    two = give(lake, [("004", "2", "2023-01-01")], kind=kind, on=one, mode=LoadMode.APPEND).snapshot
    assert held(lake, two) == [*FIRST, ("004", "2", "2023-01-01")]
    assert {file.path for file in one.files} < {file.path for file in two.files}
    assert held(lake, lake.snapshot(DATASET.id, one.version)) == FIRST
    assert (two.mode, two.rows) == (LoadMode.APPEND, 4)


@both
def test_append_leaves_out_a_key_that_is_there_already(lake: Lake, kind: str) -> None:
    one = give(lake, FIRST, kind=kind).snapshot
    new = [("004", "2", "2023-01-01"), ("002", "9", "2023-01-01")]
    with pytest.raises(InputInvalid) as caught:
        give(lake, new, kind=kind, on=one, mode=LoadMode.APPEND)
    assert [reason.code for reason in caught.value.reasons] == ["intake-too-many-rejects", "row-key-taken"]
    loaded = give(lake, new, kind=kind, on=one, mode=LoadMode.APPEND, limit=1)
    assert loaded.rejects == (Reject(3 if kind == "text" else 2, "row-key-taken", "code"),)
    assert held(lake, loaded.snapshot) == [*FIRST, new[0]]


@both
def test_merge_replaces_rows_of_an_equal_key_and_adds_the_others(lake: Lake, kind: str) -> None:
    one = give(lake, FIRST, kind=kind).snapshot
    two = give(lake, [("009", "7", "2023-01-01")], kind=kind, on=one, mode=LoadMode.APPEND).snapshot
    three = give(lake, [("002", "5", "2024-01-01"), ("010", "1", "2024-01-01")], kind=kind, on=two, mode=LoadMode.MERGE).snapshot
    assert held(lake, three) == [FIRST[0], ("002", "5", "2024-01-01"), FIRST[2], ("009", "7", "2023-01-01"), ("010", "1", "2024-01-01")]
    shared = {file.path for file in two.files} & {file.path for file in three.files}
    assert len(shared) == 1  # the file that holds none of the keys
    assert held(lake, lake.snapshot(DATASET.id, two.version)) == [*FIRST, ("009", "7", "2023-01-01")]
    table = DeltaTable(lake.absolute([three.files[0].path])[0].parent)
    assert table.version() == three.version
    assert pa.table(table.to_pyarrow_table()).num_rows == three.rows


def test_merge_that_replaces_every_row_of_a_file(lake: Lake) -> None:
    one = give(lake, FIRST).snapshot
    two = give(lake, [(code, "9", day) for code, _, day in FIRST], on=one, mode=LoadMode.MERGE).snapshot
    assert held(lake, two) == [(code, "9", day) for code, _, day in FIRST]


def test_merge_needs_a_key(lake: Lake) -> None:
    with pytest.raises(InputInvalid) as caught:
        give(lake, FIRST, of=replace(DATASET, primary_key=()), mode=LoadMode.MERGE)
    assert caught.value.reasons[0].code == "merge-without-key"


@both
@pytest.mark.parametrize("mode", list(LoadMode))
def test_of_two_rows_with_one_key_none_is_taken(lake: Lake, kind: str, mode: LoadMode) -> None:
    loaded = give(lake, [*FIRST, ("001", "8", "2023-01-01"), ("", "1", "2023-01-01")], kind=kind, mode=mode, limit=3)
    first = 2 if kind == "text" else 1
    assert loaded.rejects == (
        Reject(first, "row-key-twice", "code"),
        Reject(first + 3, "row-key-twice", "code"),
        Reject(first + 4, "row-key-missing", "code"),
    )
    assert held(lake, loaded.snapshot) == FIRST[1:]


def test_a_key_of_several_items(lake: Lake) -> None:
    pair = replace(DATASET, primary_key=("code", "since"))
    rows = [("001", "3", "2020-01-01"), ("001", "4", "2020-01-02"), ("002", "5", "2020-01-01")]
    one = give(lake, rows, of=pair).snapshot
    assert held(lake, one) == rows
    two = give(lake, [("001", "9", "2020-01-02")], of=pair, on=one, mode=LoadMode.MERGE).snapshot
    assert held(lake, two) == [rows[0], ("001", "9", "2020-01-02"), rows[2]]


def test_the_reject_table_holds_line_item_reason_and_the_row_as_it_was_read(lake: Lake) -> None:
    bad = [("004", "many", "2020-02-30"), ("005", "1", "2020-01-01,more"), ("001", "2", "2020-01-01")]
    loaded = give(lake, [*FIRST, *bad], limit=4)
    assert loaded.reject_file is not None
    rows, total = read_rejects(loaded.reject_file, limit=100)
    assert [(row.line, row.item, row.reason, row.row) for row in rows] == [
        (2, "code", "row-key-twice", "001,3,2020-01-01"),
        (5, "people", "value-not-integer", "004,many,2020-02-30"),
        (5, "since", "value-not-date", "004,many,2020-02-30"),
        (6, None, "row-too-long", "005,1,2020-01-01,more"),
        (7, "code", "row-key-twice", "001,2,2020-01-01"),
    ]
    assert total == 5
    assert (loaded.snapshot.rows, loaded.snapshot.rejected_rows) == (2, 4)
    assert all(one.row is None for one in loaded.rejects)
    assert lake.rejects(DATASET.id, loaded.snapshot.version) == loaded.reject_file


def test_lines_hold_across_quoted_line_ends_blank_lines_and_rows_left_out(lake: Lake) -> None:
    text = 'code,people,since\n"a\nb",1,2020-01-01\n\nc,x,2020-01-01\nd,1,2020-01-01,,\nshort\ne,1,2020-01-01\n  \nd2,2,\ne,2,2020-01-01\n'
    path = lake.folder.parent / "given"
    path.write_text(text, "utf-8")
    loaded = load(path, dataset=DATASET, lake=lake, options=LoadOptions(reject_limit=4))
    assert [(one.line, one.reason) for one in loaded.rejects] == [
        (5, "value-not-integer"),
        (7, "row-too-short"),
        (8, "row-key-twice"),
        (11, "row-key-twice"),
    ]
    assert held(lake, loaded.snapshot) == [("a\nb", "1", "2020-01-01"), ("d", "1", "2020-01-01"), ("d2", "2", "")]


def test_a_change_of_the_items_is_shown_and_refused_unless_it_is_allowed(lake: Lake) -> None:
    one = give(lake, FIRST).snapshot
    items = (DATASET.items[0], replace(DATASET.items[1], type=ItemType.TEXT), Item("note", words("备注"), ItemType.TEXT, Grade.INTERNAL))
    changed = replace(DATASET, items=items, primary_key=())
    rows = [("004", "some", "new")]
    with pytest.raises(Conflict) as caught:
        give(lake, rows, of=changed, on=one, mode=LoadMode.APPEND, allow=("note",))
    codes = [reason.code for reason in caught.value.reasons]
    assert codes == ["schema-changed", "change-gone", "change-retyped", "change-key"]
    for reason in caught.value.reasons:
        assert reason.code not in render(reason, "en") + render(reason, "zh-Hans")
    assert lake.versions(DATASET.id) == (0,)
    loaded = give(lake, rows, of=changed, on=one, mode=LoadMode.APPEND, allow=("note", "SINCE", "people", "primary-key"))
    assert [change.item for change in loaded.changes] == ["note", "since", "people", "primary-key"]
    assert held(lake, loaded.snapshot) == [("001", "3", ""), ("002", "4", ""), ("003", "1", ""), ("004", "some", "new")]
    assert held(lake, lake.snapshot(DATASET.id, 0)) == FIRST  # the old one as it was
    folder = lake.absolute([loaded.snapshot.files[0].path])[0].parent
    assert [field.name for field in DeltaTable(folder).schema().fields] == ["code", "people", "note"]
    assert [field.name for field in DeltaTable(folder, version=0).schema().fields] == ["code", "people", "since"]


def test_a_retyped_item_whose_old_values_do_not_fit_is_refused(lake: Lake) -> None:
    text = replace(DATASET, items=(DATASET.items[0], replace(DATASET.items[1], type=ItemType.TEXT), DATASET.items[2]))
    one = give(lake, [("001", "three", "2020-01-01")], of=text).snapshot
    with pytest.raises(InputInvalid) as caught:
        give(lake, [("002", "4", "2020-01-01")], on=one, mode=LoadMode.APPEND, allow=("people",))
    assert caught.value.reasons[0].code == "change-not-possible"
    assert lake.versions(DATASET.id) == (0,)
    two = give(lake, [("002", "4", "2020-01-01")], on=one, mode=LoadMode.REPLACE, allow=("people",)).snapshot
    assert held(lake, two) == [("002", "4", "2020-01-01")]


def test_an_append_of_nothing_keeps_what_is_there(lake: Lake) -> None:
    one = give(lake, FIRST).snapshot
    two = give(lake, [], on=one, mode=LoadMode.APPEND).snapshot
    assert held(lake, two) == FIRST
    three = give(lake, FIRST, on=give(lake, [], on=two).snapshot, mode=LoadMode.APPEND).snapshot
    assert held(lake, three) == FIRST
