"""The same statements through the engine of production: a broker, a sandboxed process for each query, files by descriptor."""

from pathlib import Path
from typing import Any

import pytest
from tests.spec.governed.governed_world import AS_THEY_ARE, CLEAR, NANMING, World, canaries_in, make_grant, person_token

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused
from huitong.gateway.differencing import shipped_audit
from huitong.lake.snapshots import Lake
from huitong.lake.subject_lists import SubjectLists
from huitong.model.policy import Comparator, Comparison, Mode, Quota, QuotaPeriod

STATEMENTS = [
    "SELECT * FROM civil.person ORDER BY salary",
    "SELECT p.name, c.capital FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid ORDER BY c.capital",
    "SELECT gender, count(*), sum(salary) FROM civil.person GROUP BY gender ORDER BY 2 DESC, 1",
    "SELECT pid, born, division FROM civil.person WHERE salary = 3000",
    "SELECT station, date_trunc('month', at), extract(year FROM at), temperature FROM weather ORDER BY temperature",
    "SELECT salary / 0, salary + 9223372036854775807, CAST(name AS INTEGER) FROM civil.person WHERE salary = 3000",
    "SELECT count(*) FROM weather",
    "SELECT name, rank() OVER (PARTITION BY division ORDER BY salary DESC) FROM civil.person ORDER BY 2, 1",
]


@pytest.mark.slow
def test_the_engine_of_production_gives_the_same_rows(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    world = World(lake)
    in_process = {sql: world.rows(sql) for sql in STATEMENTS}
    with start(BrokerSettings(socket=tmp_path / "engine.sock", lake=lake, processes=2)):
        engine: Any = EngineClient(tmp_path / "engine.sock")
        world.engine = engine
        world.gateway = world.make_gateway()
        for sql in STATEMENTS:
            answer = world.ask(sql)
            assert [tuple(row.values()) for row in answer.table.to_pylist()] == in_process[sql], sql
            assert canaries_in(answer.table) == []
        assert world.rows("SELECT pid, division FROM civil.person WHERE salary = 3000") == [(person_token("990102199001011230"), NANMING)]
        many = frozenset(f"520102{number:06d}" for number in range(3000)) - {"520102999999"} | frozenset((NANMING, "520102001001"))
        world.codes_under = lambda code, at, agreed=None: many  # type: ignore[method-assign]
        world.gateway = world.make_gateway()
        assert world.rows("SELECT count(*) FROM civil.person WHERE salary = 3000") == [(1,)]
        world.maximum_rows = 2
        world.gateway = world.make_gateway()
        cut = world.ask("SELECT name FROM civil.person")
        assert (cut.table.num_rows, [notice.code for notice in cut.notices]) == (2, ["rows-cut"])


@pytest.mark.slow
def test_the_engine_of_production_keeps_the_terms_of_a_grant(tmp_path: Path) -> None:
    """A list of subjects as the lake keeps it, comparisons, totals and a quota, through a broker and its sandboxed processes."""
    lake = tmp_path / "lake"
    lake.mkdir(0o700)
    world = World(lake)
    lists = SubjectLists(lake, lake=Lake(lake, world.clock), key=b"k" * 32, most=100, characters=40)
    world.lists = lists  # type: ignore[assignment]
    subjects = lists.keep(["990102199001011230", "990102198505052341", "990103197003034563"], dataset="civil.person", item="pid")
    condition = (Comparison("salary", Comparator.AT_MOST, ("5000",)), Comparison("born", Comparator.KNOWN))
    items = {"name": CLEAR, "salary": CLEAR}
    with start(BrokerSettings(socket=tmp_path / "engine.sock", lake=lake, processes=2)):
        world.engine = EngineClient(tmp_path / "engine.sock")  # type: ignore[assignment]
        world.grants[0] = make_grant("civil.person", items, subjects=subjects, condition=condition, quota=Quota(QuotaPeriod.DAY, rows=3))
        world.gateway = world.make_gateway()
        assert sorted(world.rows("SELECT name, salary FROM civil.person")) == [("张伟", 3000), ("王秀英", 4200)]
        cut = world.ask("SELECT name FROM civil.person")
        assert (cut.table.num_rows, [notice.code for notice in cut.notices]) == (1, ["rows-cut-by-quota"])
        world.epoch += 1
        world.grants[0] = make_grant("civil.person", items, subjects=subjects, mode=Mode.AGGREGATE_ONLY, k=3)
        world.rounding = AS_THEY_ARE
        world.gateway = world.make_gateway()
        assert world.rows("SELECT count(*), count(salary) FROM civil.person") == [(3, 3)]
        world.rounding = None
        world.gateway = world.make_gateway()
        assert world.rows("SELECT count(*), count(salary) FROM civil.person") == [(5, 5)]
        world.audit = shipped_audit()
        world.gateway = world.make_gateway()
        assert world.rows("SELECT count(*) FROM civil.person") == [(5,)]
        with pytest.raises(Refused) as refused:
            world.ask("SELECT count(*) FROM civil.person WHERE salary > 1")
        assert refused.value.reasons[0].code == "totals-differ-too-little"
        assert world.rows("SELECT count(*) FROM civil.person WHERE salary <= 5000 HAVING count(*) > 0") == []
