"""What a quality report says of a snapshot: completeness, validity, key, freshness and drift; and that it never holds a value."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from huitong.errors import InputInvalid
from huitong.intake import quality
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, UpdateCycle
from huitong.model.codes import resident_id_check_character
from huitong.model.quality import DriftKind, QualityReport
from huitong.model.text import BilingualText
from huitong.policy.schemes import scheme

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
BOTH = BilingualText("词", "word")


def item(name: str, kind: ItemType = ItemType.TEXT, meaning: str | None = None, grade: Grade = Grade.PUBLIC) -> Item:
    return Item(name, BOTH, kind, grade, meaning)


PEOPLE = Dataset(
    id="civil.people",
    title=BOTH,
    abstract=BOTH,
    classification="3-01-0101/000001",
    provider="gz-civil",
    collector="gz-civil",
    sharing=Sharing.UNCONDITIONAL,
    sharing_basis="x",
    sharing_condition=None,
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.MONTHLY,
    primary_key=("person",),
    items=(
        item("person", meaning="resident-id", grade=Grade.HIGHLY_SENSITIVE),
        item("contact"),
        item("kind"),
        item("size", ItemType.INTEGER),
        item("born", ItemType.DATE, "birth-date", Grade.SENSITIVE),
        item("alive", ItemType.BOOLEAN),
    ),
)
TYPES = [pa.string(), pa.string(), pa.string(), pa.int64(), pa.date32(), pa.bool_()]


def number(n: int) -> str:
    first = f"520102{date(1950, 1, 1) + timedelta(days=n % 25_000):%Y%m%d}{n // 25_000:03d}"
    return first + resident_id_check_character(first)


def people(count: int, *, seed: int = 1, more: int = 0, kinds: tuple[float, ...] = (0.7, 0.2, 0.1)) -> pa.Table:
    chance = np.random.default_rng(seed)
    columns = [
        [number(n) for n in range(count)],
        [f"13{n:09d}" if n % 4 else None for n in range(count)],
        list(np.array(["甲", "乙", "丙"])[chance.choice(3, count, p=kinds)]),
        [int(value) + more for value in chance.lognormal(6, 1, count)],
        [date(1950, 1, 1) + timedelta(days=n % 25_000) for n in range(count)],
        [bool(value) for value in chance.random(count) < 0.9],
    ]
    return pa.table([pa.array(values, kind) for values, kind in zip(columns, TYPES, strict=True)], names=[i.name for i in PEOPLE.items])


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    yield Lake(tmp_path / "lake", lambda: NOW)


def taken(lake: Lake, *tables: pa.Table) -> Snapshot:
    with lake.writing(PEOPLE) as writing:
        for position, table in enumerate(tables):
            parquet.write_table(table, writing.staging / f"rows{position}.parquet")
        return writing.commit(source_hash="0" * 64, rejected_rows=3)


def looked(lake: Lake, snapshot: Snapshot, previous: QualityReport | None = None, before: Snapshot | None = None) -> quality.Looked:
    return quality.look(
        lake=lake, dataset=PEOPLE, snapshot=snapshot, now=NOW, scheme=scheme(), previous=previous, previous_snapshot=before
    )


def test_a_report_counts_every_row(lake: Lake) -> None:
    table = people(900)
    wrong = pa.array([*(number(n) for n in range(880)), *["520102199902301234"] * 15, *[None] * 5])
    table = table.set_column(0, "person", wrong)
    report = looked(lake, taken(lake, table.slice(0, 400), table.slice(400))).report
    assert (report.rows, report.rejected_rows, report.version, report.made_at) == (900, 3, 0, NOW)
    person, contact, born = report.item("person"), report.item("contact"), report.item("born")
    assert person is not None and contact is not None and born is not None
    assert (person.present, person.valid, person.distinct) == (895, 880, 881)
    assert (contact.completeness, contact.valid, contact.validity) == (0.75, None, None)
    assert (born.validity, born.distinct) == (1.0, 900)
    assert report.key is not None
    assert (report.key.items, report.key.missing, report.key.duplicates) == (("person",), 5, 14)
    assert report.drift == () and report.compared_with is None


def test_a_dataset_without_rows_has_a_report_too(lake: Lake) -> None:
    found = looked(lake, taken(lake, people(0)))
    assert found.report.rows == 0
    assert all(one.completeness is None and one.distinct == 0 for one in found.report.items)
    assert found.suggestions == ()


def test_distinct_values_are_right_within_two_percent(tmp_path: Path) -> None:
    connection = duckdb.connect()
    counts = {"one": 1, "few": 37, "some": 5_000, "many": 300_000, "all": 1_500_000}
    shown = ", ".join(f"hash(n % {count}) AS {name}" for name, count in counts.items())
    connection.execute(f"CREATE TABLE numbers AS SELECT {shown} FROM range(1500000) r(n)")
    counted = replace(PEOPLE, primary_key=(), items=tuple(item(name, ItemType.INTEGER) for name in counts))
    for found in quality.measures(connection, "numbers", counted).items:
        assert found.distinct == pytest.approx(counts[found.item], rel=0.02)


def test_a_table_of_more_rows_than_a_counter_holds_is_counted_by_a_share_of_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_BITS", 1 << 14)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE numbers AS SELECT n AS every, n % 900 AS few FROM range(2000000) r(n)")
    counted = replace(PEOPLE, primary_key=(), items=(item("every", ItemType.INTEGER), item("few", ItemType.INTEGER)))
    every, few = quality.measures(connection, "numbers", counted).items
    assert every.distinct == pytest.approx(2_000_000, rel=0.03)  # a smaller counter than the product's: a wider bound
    assert few.distinct == pytest.approx(900, rel=0.03)


def test_a_key_of_several_items_is_compared_as_a_whole() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE rows AS SELECT * FROM (VALUES (1, 'a'), (1, 'b'), (2, 'a'), (1, 'a'), (1, 'a'), (NULL, 'a')) t(x, y)")
    counted = replace(PEOPLE, items=(item("x", ItemType.INTEGER), item("y")), primary_key=("X", "y"))
    key = quality.key_quality(connection, "rows", counted)
    assert key is not None
    assert (key.items, key.rows, key.missing, key.duplicates) == (("x", "y"), 6, 1, 2)


def test_the_same_data_again_has_not_drifted(lake: Lake) -> None:
    before = taken(lake, people(20_000))
    first = looked(lake, before).report
    again = looked(lake, taken(lake, people(20_300, seed=2)), first, before).report
    assert (again.drift, again.compared_with) == ((), before.version)


def test_every_kind_of_drift_is_seen_and_told_in_numbers(lake: Lake) -> None:
    before = taken(lake, people(20_000))
    first = looked(lake, before).report
    table = people(12_000, seed=2, more=400, kinds=(0.3, 0.6, 0.1))
    numbers = table["person"].to_pylist()
    table = table.set_column(0, "person", pa.array([value if n % 5 else "不详" for n, value in enumerate(numbers)]))
    table = table.set_column(1, "contact", pa.array([None if n % 2 else "13800000000" for n in range(12_000)]))
    drift = {(one.kind, one.item): one for one in looked(lake, taken(lake, table), first, before).report.drift}
    assert set(drift) == {
        (DriftKind.ROWS, None),
        (DriftKind.VALIDITY, "person"),
        (DriftKind.DISTINCT, "person"),
        (DriftKind.DISTRIBUTION, "person"),
        (DriftKind.COMPLETENESS, "contact"),
        (DriftKind.DISTINCT, "contact"),
        (DriftKind.DISTRIBUTION, "contact"),
        (DriftKind.DISTRIBUTION, "kind"),
        (DriftKind.DISTRIBUTION, "size"),
        (DriftKind.DISTRIBUTION, "born"),
    }
    assert (drift[DriftKind.ROWS, None].before, drift[DriftKind.ROWS, None].now) == (20_000, 12_000)
    assert drift[DriftKind.VALIDITY, "person"].now == pytest.approx(0.8)
    assert drift[DriftKind.DISTRIBUTION, "kind"].now == pytest.approx(0.4, abs=0.02)


def test_few_rows_prove_no_drift(lake: Lake) -> None:
    before = taken(lake, people(60))
    first = looked(lake, before).report
    assert looked(lake, taken(lake, people(58, seed=9, kinds=(0.5, 0.3, 0.2))), first, before).report.drift == ()


def test_an_earlier_snapshot_that_is_gone_is_compared_by_its_report_alone(lake: Lake) -> None:
    before = taken(lake, people(3_000))
    first = looked(lake, before).report
    after = taken(lake, people(1_000, kinds=(0.1, 0.1, 0.8)))
    kinds = {one.kind for one in looked(lake, after, first, replace(before, removed_at=NOW)).report.drift}
    assert DriftKind.ROWS in kinds and DriftKind.DISTRIBUTION not in kinds


def test_a_report_holds_no_value_of_the_data(lake: Lake) -> None:
    before = taken(lake, people(500))
    report = looked(lake, taken(lake, people(300)), looked(lake, before).report, before).report
    assert not any(value in repr(report) for value in ("520102", "1300000", "甲", "乙"))


def test_items_without_a_meaning_get_suggestions_and_those_with_one_do_not(lake: Lake) -> None:
    found = looked(lake, taken(lake, people(2_000)))
    assert [(one.item, one.meaning, one.grade) for one in found.suggestions] == [("contact", "phone", Grade.SENSITIVE)]
    assert found.suggestions[0].sampled == 1_500


def test_items_that_are_mostly_missing_are_looked_at_all_the_same(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SAMPLE", 1_000)
    table = people(30_000)
    rare = pa.array([f"13{n:09d}" if n % 600 == 0 else None for n in range(30_000)])
    found = looked(lake, taken(lake, table.set_column(1, "contact", rare)))
    assert [(one.item, one.sampled) for one in found.suggestions] == [("contact", 50)]


@pytest.mark.parametrize(
    ("cycle", "taken_at", "due", "late_after_hours"),
    [
        (UpdateCycle.DAILY, "2026-03-01T08:00", "2026-03-02T08:00", 12),
        (UpdateCycle.WEEKLY, "2026-02-25T08:00", "2026-03-04T08:00", 24),
        (UpdateCycle.MONTHLY, "2026-01-31T08:00", "2026-02-28T08:00", 72),
        (UpdateCycle.MONTHLY, "2024-01-31T08:00", "2024-02-29T08:00", 72),
        (UpdateCycle.QUARTERLY, "2025-11-30T08:00", "2026-02-28T08:00", 168),
        (UpdateCycle.YEARLY, "2024-02-29T08:00", "2025-02-28T08:00", 360),
        (UpdateCycle.REAL_TIME, "2026-03-01T08:00", "2026-03-01T09:00", 1),
    ],
)
def test_a_snapshot_is_late_when_its_cycle_and_the_days_of_grace_are_over(
    cycle: UpdateCycle, taken_at: str, due: str, late_after_hours: int
) -> None:
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (taken_at, due))
    last = end + timedelta(hours=late_after_hours)
    assert quality.freshness(cycle, start, last).due_at == end
    assert not quality.freshness(cycle, start, last).late
    assert quality.freshness(cycle, start, last + timedelta(seconds=1)).late


@pytest.mark.parametrize("cycle", [UpdateCycle.IRREGULAR, UpdateCycle.ONCE])
def test_a_cycle_that_promises_nothing_is_never_late(cycle: UpdateCycle) -> None:
    found = quality.freshness(cycle, NOW, NOW + timedelta(days=10_000))
    assert found.due_at is None and not found.late


def test_names_of_items_are_names_and_nothing_else() -> None:
    with pytest.raises(InputInvalid):
        item('x" FROM secrets --')
