"""The bytes that leave, the cache of plans, and the second parser that must see what was planned."""

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.spec.governed.governed_world import ANALYST, World

from huitong.engines.duckdb import statement_names
from huitong.errors import Refused
from huitong.gateway.gate import duration_bucket, gate, result_bytes, result_hash
from huitong.gateway.plan import Plan, PlanCache
from huitong.gateway.verify import verify
from huitong.model.query import EngineLimits, GovernedTable, QueryRequest

TABLE = pa.table({"name": ["张*", None, "王**"], "n": [1, 2, None]})


def test_the_same_rows_give_the_same_bytes_however_they_are_cut() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 1), TABLE.slice(2)])
    sliced = pa.concat_tables([TABLE, TABLE]).slice(3)
    with_metadata = TABLE.replace_schema_metadata({"made": "now"})
    assert result_bytes(TABLE) == result_bytes(chunked) == result_bytes(sliced) == result_bytes(with_metadata)
    assert result_hash(TABLE) == hashlib.sha256(result_bytes(TABLE)).hexdigest()


def test_other_rows_other_order_or_other_headings_give_other_bytes() -> None:
    assert result_bytes(TABLE) != result_bytes(TABLE.slice(0, 2))
    assert result_bytes(TABLE) != result_bytes(TABLE.take([1, 0, 2]))
    assert result_bytes(TABLE) != result_bytes(TABLE.rename_columns(["name", "m"]))


def test_the_bytes_are_an_arrow_stream_that_gives_the_rows_back() -> None:
    assert pa.ipc.open_stream(result_bytes(TABLE)).read_all().equals(TABLE)
    empty = TABLE.slice(0, 0)
    assert pa.ipc.open_stream(result_bytes(empty)).read_all().schema == TABLE.schema


def test_totals_become_integers_where_all_fit() -> None:
    wide = pa.table({"a": pa.array([1, None], pa.decimal128(38, 0)), "b": pa.array([2**70, 1], pa.decimal128(38, 0))})
    passed = gate(wide, maximum_rows=10, ordered=True)
    assert [field.type for field in passed.table.schema] == [pa.int64(), pa.decimal128(38, 0)]


def test_times_are_told_in_coarse_steps() -> None:
    assert [duration_bucket(seconds) for seconds in (0.001, 0.1, 0.5, 5.0, 50.0)] == [
        "up-to-100-ms", "up-to-100-ms", "up-to-1-s", "up-to-10-s", "over-10-s",
    ]  # fmt: skip


def _plan(sql: str, *names: str) -> Plan:
    tables = tuple(GovernedTable(name=name, files=("f.parquet",), columns={"a": "VARCHAR"}) for name in names)
    return Plan(stand_in="0" * 32, sql=sql, tables=tables, datasets=())


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT a FROM t_1", ()),
        ("SELECT 1", ("t_1",)),
        ("SELECT a FROM t_1 JOIN t_2 ON TRUE", ("t_1",)),
        ("SELECT a FROM t_1 WHERE EXISTS (SELECT 1 FROM hidden)", ("t_1",)),
        ("SELECT a FROM read_csv('x')", ()),
        ("SELECT getenv('HOME')", ()),
        ("SELECT a FROM t_1; SELECT 1", ("t_1",)),
        ("DROP TABLE t_1", ("t_1",)),
        ("not sql at all", ("t_1",)),
        ("SELECT current_setting('x') FROM t_1", ("t_1",)),
        ("SELECT a FROM other.t_1", ("t_1",)),
    ],
)
def test_any_difference_between_two_parsers_is_an_alarm_and_a_refusal(
    sql: str, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL), pytest.raises(Refused) as caught:
        verify(_plan(sql, *names), statement_names)
    assert caught.value.reasons[0].code == "rewrite-differs"
    assert caplog.records
    assert sql not in caplog.text


def test_what_was_planned_passes() -> None:
    verify(_plan("SELECT count(a) FROM t_1", "t_1"), statement_names)
    verify(_plan("SELECT count(a) FROM t_1", "t_1"), lambda sql: statement_names(sql).tables)


def test_the_cache_forgets_the_plan_unused_longest() -> None:
    cache, plan = PlanCache(2), _plan("SELECT 1")
    cache.put("a", plan)
    cache.put("b", plan)
    assert cache.get("a") is plan
    cache.put("c", plan)
    assert cache.get("b") is None
    assert cache.get("a") is plan
    assert len(cache) == 2


@dataclass
class _Counting:
    calls: int = 0

    def __call__(self, sql: str) -> object:
        self.calls += 1
        return statement_names(sql)


def test_a_plan_is_used_again_only_while_everything_it_rests_on_stands(tmp_path: Path) -> None:
    world = World(tmp_path)
    counting = _Counting()
    world.gateway._second_parser = counting  # type: ignore[assignment]
    sql = "SELECT name FROM civil.person"
    world.ask(sql)
    world.ask(sql)
    assert counting.calls == 1
    world.epoch += 1
    world.ask(sql)
    assert counting.calls == 2
    world.ask(sql + " ")
    assert counting.calls == 3
    world.snapshots["civil.person"] = replace(world.snapshots["civil.person"], version=7)
    world.ask(sql)
    assert counting.calls == 4
    world.now = world.grants[0].terms.valid_until
    with pytest.raises(Refused):
        world.ask(sql)


def test_a_plan_is_never_shared_between_offices_or_purposes(tmp_path: Path) -> None:
    world = World(tmp_path)
    sql = "SELECT name FROM civil.person"
    world.ask(sql)
    with pytest.raises(Refused):
        world.ask(sql, actor=replace(ANALYST, office="gz-housing"))
    with pytest.raises(Refused):
        world.ask(sql, purpose="statistics")


def test_fresh_names_replace_stand_ins_everywhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    plan = world.gateway._plan("q", QueryRequest("SELECT pid FROM civil.person", "poverty-relief"), ANALYST)
    query = plan.governed("q", EngineLimits(seconds=1, memory_megabytes=1, threads=1, maximum_rows=1))
    assert plan.stand_in not in query.sql
    assert {table.name for table in query.tables} == statement_names(query.sql).tables
