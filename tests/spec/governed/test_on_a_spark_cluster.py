"""The same grants where queries run on Spark: every term of a grant gives the rows that it gives on DuckDB. Sail stands for the cluster."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.sail import LocalSpark, sail_server
from tests.spec.governed.governed_world import ANALYST, AS_THEY_ARE, CLEAR, NANMING, PERSON, World, canaries_in, make_grant, person_token
from tests.spec.governed.test_noised_totals import EPSILON, noised, person
from tests.spec.governed.test_through_the_sandboxed_engine import STATEMENTS

from huitong.engines.spark import SparkAddress, SparkOpinion
from huitong.errors import Refused
from huitong.gateway.differencing import shipped_audit
from huitong.gateway.noising import Noising, exact
from huitong.model.ledger import EntryKind
from huitong.model.policy import Comparator, Comparison, Mode, Quota, QuotaPeriod
from huitong.model.query import QueryRequest

pytestmark = pytest.mark.slow

MORE = [
    "SELECT name, salary, sum(salary) OVER (ORDER BY salary NULLS FIRST, name ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
    "FROM civil.person ORDER BY 2, 1",
    "SELECT name, lag(salary, 1, 0) OVER (ORDER BY salary, name), first_value(name) OVER (PARTITION BY gender ORDER BY salary, name) "
    "FROM civil.person ORDER BY salary, 1",
    "SELECT at, date_trunc('hour', at), date_diff('hour', TIMESTAMP '2025-12-31 00:00:00', at), strftime(at, '%Y/%m/%d %H') "
    "FROM weather ORDER BY 1",
    "SELECT station, avg(temperature), median(temperature), stddev(temperature) FROM weather GROUP BY station",
    "SELECT gender, count(*) FILTER (WHERE salary > 0), count(DISTINCT name) FROM civil.person GROUP BY 1 ORDER BY 1 NULLS FIRST",
    "SELECT p.name, (SELECT max(c.capital) FROM tax.company c WHERE c.owner_pid = p.pid) FROM civil.person p ORDER BY 1",
    "WITH x AS (SELECT division, sum(salary) AS s FROM civil.person GROUP BY division) SELECT division, s FROM x WHERE s > 1 ORDER BY 1",
    "SELECT 'O''Brien \\ %' || name AS \"标题\", name LIKE '%\\%' FROM civil.person ORDER BY 1",
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkAddress]:
    with sail_server() as address:
        yield address


def to_spark(world: World, cluster: SparkAddress) -> World:
    world.engine = LocalSpark(world.lake, cluster)  # type: ignore[assignment]
    world.second_parser = SparkOpinion()
    world.gateway = world.make_gateway()
    return world


def test_statements_give_the_same_rows_under_the_same_headings(world: World, cluster: SparkAddress) -> None:
    asked = [*STATEMENTS, *MORE]
    on_duckdb = {sql: world.ask(sql).table for sql in asked}
    to_spark(world, cluster)
    for sql in asked:
        answer = world.ask(sql)
        assert answer.table.to_pylist() == on_duckdb[sql].to_pylist(), sql
        assert answer.table.column_names == on_duckdb[sql].column_names
        assert canaries_in(answer.table) == []
    assert world.rows("SELECT pid, division FROM civil.person WHERE salary = 3000") == [(person_token("990102199001011230"), NANMING)]


def test_a_long_list_of_divisions_cuts_the_same_rows(world: World, cluster: SparkAddress) -> None:
    many = frozenset(f"520102{number:06d}" for number in range(3000)) - {"520102999999"} | frozenset((NANMING, "520102001001"))
    world.codes_under = lambda code, at, agreed=None: many  # type: ignore[method-assign]
    to_spark(world, cluster)
    assert world.rows("SELECT count(*) FROM civil.person WHERE salary = 3000") == [(1,)]
    assert canaries_in(world.ask("SELECT * FROM civil.person").table) == []


def test_lists_comparisons_and_quotas_hold(world: World, cluster: SparkAddress) -> None:
    subjects = world.lists.keep(["990102199001011230", "990102198505052341", "990103197003034563"], dataset="civil.person", item="pid")
    condition = (Comparison("salary", Comparator.AT_MOST, ("5000",)), Comparison("born", Comparator.KNOWN))
    items = {"name": CLEAR, "salary": CLEAR}
    world.grants[0] = make_grant("civil.person", items, subjects=subjects, condition=condition, quota=Quota(QuotaPeriod.DAY, rows=3))
    to_spark(world, cluster)
    assert sorted(world.rows("SELECT name, salary FROM civil.person")) == [("张伟", 3000), ("王秀英", 4200)]
    cut = world.ask("SELECT name FROM civil.person")
    assert (cut.table.num_rows, [notice.code for notice in cut.notices]) == (1, ["rows-cut-by-quota"])


def test_totals_and_the_comparison_with_earlier_ones_hold(world: World, cluster: SparkAddress) -> None:
    """Three of four known persons in the county; two of them have a salary above 3,500 or none."""
    items = {"gender": CLEAR, "salary": CLEAR, "division": CLEAR}
    world.grants[0] = make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=3)
    world.rounding, world.audit = AS_THEY_ARE, shipped_audit()
    to_spark(world, cluster)
    assert world.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender ORDER BY 1") == [("女", 5)]
    assert world.rows("SELECT count(*), sum(salary), count(DISTINCT gender) FROM civil.person") == [(8, 3950624490, 2)]
    again = world.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender ORDER BY 1")
    assert again == [("女", 5)]
    with pytest.raises(Refused) as refusal:
        world.ask("SELECT count(*) FROM civil.person WHERE salary <> 3000")
    assert [reason.code for reason in refusal.value.reasons] == ["totals-differ-too-little"]


def test_numbers_under_noise_are_counted_and_bounded_as_on_duckdb(world: World, cluster: SparkAddress) -> None:
    """Before noise: all rows of a person where three may count, one where one may; values beyond a bound, not numbers and none at all."""
    weights = (1.25, float("nan"), float("inf"), -9.0, None)
    rows = [person(n // 2, gender="男女x"[n % 3], salary=n * 400, weight=weights[n % 5]) for n in range(20)]
    world.load(PERSON, [*rows, {**person(1, gender="男"), "pid": None}])
    shown = "SELECT gender, count(*), count(weight), sum(salary), avg(weight) FROM civil.person"
    sql = f"{shown} WHERE gender IN ('男', '女', 'z') GROUP BY gender"

    def numbers(rows_per_entity: int) -> tuple[list[list[int]], Noising]:
        world.grants[0] = noised(rows=rows_per_entity)
        world.epoch += 1
        plan = world.gateway._plan("q", QueryRequest(sql, "poverty-relief"), ANALYST)
        assert plan.noising is not None
        return exact(world.engine.run(plan.governed("q", world.gateway._limits)), plan.noising), plan.noising

    on_duckdb, _ = numbers(3)
    to_spark(world, cluster)
    assert numbers(3)[0] == on_duckdb
    whole, noising = numbers(1)
    world.load(PERSON, [row for row in rows if row["pid"] != "p3"])
    for one, other, (claimed, _) in zip(whole, numbers(1)[0], noising.scaled(EPSILON), strict=True):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) <= claimed
    assert world.ask(sql).table.num_rows == 3


def test_what_spark_lacks_is_refused_before_the_ledger_knows_of_a_use(world: World, cluster: SparkAddress) -> None:
    to_spark(world, cluster)
    with pytest.raises(Refused) as refusal:
        world.ask("SELECT CAST(weight AS TEXT) FROM civil.person")
    assert [(reason.code, dict(reason.parameters)) for reason in refusal.value.reasons] == [
        ("not-on-spark-instead", {"construct": "CAST(<decimal number> AS TEXT)", "instead": "CAST(... AS DECIMAL(18, 2))"})
    ]
    assert world.book.kinds() == [EntryKind.USE_REFUSED]


def test_rows_that_leave_piece_by_piece_come_from_spark_too(world: World, cluster: SparkAddress, tmp_path: Path) -> None:
    to_spark(world, cluster)
    rows = world.rows("SELECT station, at, temperature FROM weather ORDER BY at")
    assert rows[0] == ("贵阳", datetime(2025, 12, 31, 14, tzinfo=UTC), 10.5)
    assert world.rows("SELECT DATE '2026-01-31' + 1 AS d FROM weather LIMIT 1") == [(date(2026, 2, 1),)]
    assert tmp_path.is_dir()
