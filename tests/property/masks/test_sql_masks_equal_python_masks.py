"""Every mask is written twice, as SQL and as Python: on the engine both give the same value for any value there is."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp
from tests.sail import sail_server

from huitong.engines import spark
from huitong.masks import engine_type, masked_type, python_mask, sql_mask
from huitong.masks.pseudonym import display, group_key, read_display, token
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable
from huitong.model.text import BilingualText

TITLE = BilingualText(zh="项", en="item")
SOAK = bool(os.environ.get("HUITONG_SOAK"))
ARROW: Mapping[ItemType, pa.DataType] = {
    ItemType.TEXT: pa.string(), ItemType.INTEGER: pa.int64(), ItemType.DECIMAL: pa.float64(), ItemType.DATE: pa.date32(),
    ItemType.INSTANT: pa.timestamp("us", tz="UTC"),
}  # fmt: skip
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "张", "张伟", "欧阳修文", "👩‍🦰", "a😀b", "é", "　", "'", "\\", "%", "\n", "1e11", "9999999999e2", "520102001001"]
    ),
    st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=24),
)
DIVISIONS = st.one_of(st.none(), st.from_regex(r"[0-9]{12}", fullmatch=True), st.from_regex(r"[0-9eE+. -]{11,13}", fullmatch=True), TEXTS)
RESIDENT_IDS = st.one_of(
    st.none(), st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True), st.from_regex(r"[0-9x]{16,19}", fullmatch=True), TEXTS
)
INTEGERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-2000, 2000))
DECIMALS = st.one_of(st.none(), st.floats(-1e12, 1e12, allow_nan=False), st.sampled_from([0.0, -0.5, 0.1]))
DATES = st.one_of(st.none(), st.dates(date(1, 1, 1), date(9999, 12, 31)))
INSTANTS = st.one_of(
    st.none(),
    st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1)).map(lambda value: value.replace(tzinfo=UTC)),  # noqa: DTZ001
)


def _item(kind: ItemType, meaning: str | None = None) -> Item:
    return Item("value", TITLE, kind, Grade.SENSITIVE, meaning)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


def _both(engine: duckdb.DuckDBPyConnection, item: Item, mask: Mask, values: list[Any]) -> tuple[list[Any], list[Any], str]:
    engine.execute(f"CREATE OR REPLACE TABLE t (n INTEGER, value {engine_type(item.type)})")
    engine.executemany("INSERT INTO t VALUES (?, ?)", [[number, value] for number, value in enumerate(values)])
    sql = sql_mask(item, mask, exp.column("value", quoted=True)).sql(dialect="duckdb")
    rows = engine.execute(f"SELECT {sql}, typeof({sql}) FROM t ORDER BY n").fetchall()
    change: Callable[[Any], Any] = python_mask(item, mask)
    kinds = {row[1] for row in rows}
    assert kinds == {engine_type(masked_type(item, mask))}, "the resolver is told another type than the engine gives"
    return [row[0] for row in rows], [change(value) for value in values], sql


CASES: list[tuple[str, Item, Mask, st.SearchStrategy[Any]]] = [
    ("clear text", _item(ItemType.TEXT), Mask(MaskKind.CLEAR), TEXTS),
    ("hide text", _item(ItemType.TEXT), Mask(MaskKind.HIDE), TEXTS),
    ("hide integer", _item(ItemType.INTEGER), Mask(MaskKind.HIDE), INTEGERS),
    ("hide decimal", _item(ItemType.DECIMAL), Mask(MaskKind.HIDE), DECIMALS),
    ("hide date", _item(ItemType.DATE), Mask(MaskKind.HIDE), DATES),
    ("hide instant", _item(ItemType.INSTANT), Mask(MaskKind.HIDE), INSTANTS),
    *[
        (f"partial {first} {last}", _item(ItemType.TEXT), Mask(MaskKind.PARTIAL, {"first": first, "last": last}), TEXTS)
        for first, last in ((0, 0), (1, 0), (0, 1), (3, 4), (64, 64))
    ],
    ("year of date", _item(ItemType.DATE), Mask(MaskKind.GENERALISE, {"to": "year"}), DATES),
    ("month of date", _item(ItemType.DATE), Mask(MaskKind.GENERALISE, {"to": "month"}), DATES),
    ("year of instant", _item(ItemType.INSTANT), Mask(MaskKind.GENERALISE, {"to": "year"}), INSTANTS),
    ("month of instant", _item(ItemType.INSTANT), Mask(MaskKind.GENERALISE, {"to": "month"}), INSTANTS),
    *[
        (f"{level} of division", _item(ItemType.TEXT, "division-code"), Mask(MaskKind.GENERALISE, {"to": level}), DIVISIONS)
        for level in ("city", "county", "township")
    ],
    ("birth year", _item(ItemType.TEXT, "resident-id"), Mask(MaskKind.GENERALISE, {"to": "birth-year"}), RESIDENT_IDS),
    *[
        (f"integer step {step}", _item(ItemType.INTEGER), Mask(MaskKind.GENERALISE, {"step": step}), INTEGERS)
        for step in (2, 7, 1000, 10**12)
    ],
    *[(f"decimal step {step}", _item(ItemType.DECIMAL), Mask(MaskKind.GENERALISE, {"step": step}), DECIMALS) for step in (2, 5, 1000)],
]


@pytest.mark.parametrize(("item", "mask", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_sql_and_python_agree(engine: duckdb.DuckDBPyConnection, item: Item, mask: Mask, values: st.SearchStrategy[Any]) -> None:
    @SETTINGS
    @given(st.lists(values, min_size=1, max_size=12))
    def agree(drawn: list[Any]) -> None:
        by_engine, by_python, sql = _both(engine, item, mask, drawn)
        assert by_engine == by_python, sql

    agree()


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with sail_server() as address, spark.session(address) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(("item", "mask", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_in_the_words_of_spark_they_agree_as_well(
    session: Any, tmp_path: Path, item: Item, mask: Mask, values: st.SearchStrategy[Any]
) -> None:
    """Many values at once: each question to the cluster takes its time."""
    change: Callable[[Any], Any] = python_mask(item, mask)
    column = exp.column("value", table="p", quoted=True)
    sql = exp.select(exp.alias_(sql_mask(item, mask, column), "shown"), exp.column("n", table="p")).from_("t AS p").sql(dialect="duckdb")
    read: list[str] = []

    @settings(SETTINGS, max_examples=40 if SOAK else 1)
    @given(st.lists(values, min_size=60, max_size=120))
    def agree(drawn: list[Any]) -> None:
        name = f"values{len(read)}.parquet"
        read.append(name)
        column = pa.array(drawn, ARROW[item.type])
        parquet.write_table(pa.table({"n": pa.array(range(len(drawn)), pa.int64()), "value": column}), tmp_path / name)
        table = GovernedTable(f"t{len(read)}_{tmp_path.name}", (name,), {"n": "BIGINT", "value": engine_type(item.type)})
        query = GovernedQuery("q", sql.replace("FROM t ", f'FROM "{table.name}" '), (table,), EngineLimits(60, 500, 1, 1000))
        found = pa.Table.from_batches(list(spark.run(query, session, lake=str(tmp_path))))
        assert found.schema.types[0] == ARROW[masked_type(item, mask)]
        by_spark = dict(zip(found["n"].to_pylist(), found["shown"].to_pylist(), strict=True))
        assert [by_spark[number] for number in range(len(drawn))] == [change(value) for value in drawn], sql

    agree()


@SETTINGS
@given(st.text(max_size=30), st.integers(0, 3), st.integers(0, 3))
def test_a_partial_mask_never_shows_more_than_it_says(value: str, first: int, last: int) -> None:
    shown = python_mask(_item(ItemType.TEXT), Mask(MaskKind.PARTIAL, {"first": first, "last": last}))(value)
    assert len(shown) == len(value)
    if len(value) <= first + last:
        assert set(shown) <= {"*"}
    else:
        assert sum(1 for raw, seen in zip(value, shown, strict=True) if seen != "*" and raw == seen) <= first + last


@SETTINGS
@given(st.text(max_size=40), st.text(max_size=20), st.integers(1, 9))
def test_tokens_are_stable_keyed_and_shown_without_loss(identifier: str, group: str, epoch: int) -> None:
    key = group_key(b"m" * 32, group, epoch)
    made = token(key, group, epoch, identifier)
    assert made == token(key, group, epoch, identifier)
    assert -(2**63) <= made < 2**63
    assert read_display(display(made)) == made
    assert made != token(group_key(b"n" * 32, group, epoch), group, epoch, identifier)
    assert made != token(group_key(b"m" * 32, group, epoch + 1), group, epoch + 1, identifier)
    assert made != token(group_key(b"m" * 32, group + "x", epoch), group + "x", epoch, identifier)
