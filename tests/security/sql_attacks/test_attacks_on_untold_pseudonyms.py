"""Identifiers that stand in the place of their pseudonyms: whatever would tell one is given tokens, and were it not, the second check
refuses. Both are tried with the same statements, the second with a chooser that takes every pseudonym for one that is never told."""

from dataclasses import replace
from typing import Any

import pytest
from tests.spec.governed.governed_world import ANALYST, COMPANIES, PEOPLE, World

from huitong.gateway.confined import NotConfinedError, check_confined
from huitong.gateway.resolve import Resolution
from huitong.gateway.rewrite.untold import Untold
from huitong.model.query import QueryRequest

pytestmark = pytest.mark.slow

P, F = "civil.person", "tax.company"
TELLING = [
    f"SELECT pid FROM {P}",
    f"SELECT * FROM {P}",
    f"SELECT DISTINCT pid FROM {P}",
    f"SELECT pid, count(*) FROM {P} GROUP BY pid",
    f"SELECT pid AS x, count(*) FROM {P} GROUP BY 1 ORDER BY 2",
    f"SELECT (SELECT max(pid) FROM {P}) AS x, count(*) FROM {P}",
    f"SELECT max(pid) FROM {P}",
    f"SELECT min(owner_pid) FROM {F}",
    f"SELECT count(*) FROM {P} WHERE pid > 0",
    f"SELECT count(*) FROM {P} WHERE pid = '990102199001011230'",
    f"SELECT count(*) FROM {P} WHERE '990102199001011230' IN (pid, '1')",
    f"SELECT count(*) FROM {P} WHERE pid IN ('990102199001011230', '1')",
    f"SELECT count(*) FROM {P} WHERE pid BETWEEN 1 AND 2",
    f"SELECT count(*) FROM {P} WHERE pid LIKE '9901%'",
    f"SELECT count(*) FROM {P} WHERE left(pid, 6) = '990102'",
    f"SELECT count(*) FROM {P} WHERE name = pid",
    f"SELECT count(*) FROM {P} WHERE pid IN (SELECT name FROM {P})",
    f"SELECT count(*) FROM {P} WHERE name IN (SELECT pid FROM {P})",
    f"SELECT count(*) FROM {P} WHERE pid IN (SELECT salary FROM {P})",
    f"SELECT count(*) FROM {P} GROUP BY pid ORDER BY pid",
    f"SELECT count(*), max(length(pid)) FROM {P} GROUP BY pid",
    f"SELECT count(*) FROM {P} GROUP BY pid HAVING pid > 0",
    f"SELECT count(*) FROM {P} GROUP BY left(pid, 10)",
    f"SELECT count(DISTINCT pid || 'x') FROM {P}",
    f"SELECT count(DISTINCT left(pid, 6)) FROM {P}",
    f"SELECT count(coalesce(pid, 0)) FROM {P}",
    f"SELECT count(CASE WHEN salary > 0 THEN pid END) FROM {P}",
    f"SELECT CASE WHEN salary > 0 THEN pid END AS x FROM {P}",
    f"SELECT concat(pid, name) AS x FROM {P}",
    f"SELECT greatest(pid, 1) AS x FROM {P}",
    f"SELECT nullif(pid, 1) AS x FROM {P}",
    f"SELECT cast(pid AS TEXT) AS x FROM {P}",
    f"SELECT rank() OVER (ORDER BY pid) AS x FROM {P}",
    f"SELECT first_value(pid) OVER (ORDER BY salary) AS x FROM {P}",
    f"SELECT lag(pid) OVER (ORDER BY salary) AS x FROM {P}",
    f"SELECT count(*) OVER (PARTITION BY left(pid, 10)) AS x FROM {P}",
    f"SELECT x FROM (SELECT pid AS x FROM {P}) t",
    f"WITH t AS (SELECT pid AS x FROM {P}), u AS (SELECT x AS y FROM t) SELECT y FROM u",
    f"WITH t AS (SELECT pid AS x FROM {P}) SELECT count(*) FROM t WHERE t.x > 0",
    f"SELECT pid FROM {P} UNION SELECT owner_pid FROM {F}",
    f"SELECT count(*) FROM (SELECT pid FROM {P} UNION ALL SELECT salary FROM {P}) t GROUP BY t.pid",
    f"SELECT count(*) FROM (SELECT pid FROM {P} INTERSECT SELECT 1) t",
    f"SELECT count(*) FROM (SELECT pid FROM {P} ORDER BY 1 LIMIT 1) t",
    f"SELECT count(*) FROM (SELECT pid FROM {P} UNION SELECT owner_pid FROM {F} ORDER BY pid LIMIT 1) t",
    f"SELECT p.pid FROM {P} p JOIN {F} c ON c.owner_pid = p.pid",
    f"SELECT count(*) FROM {P} p JOIN {F} c ON c.owner_pid < p.pid",
    f"SELECT count(*) FROM {P} p JOIN {F} c ON c.owner_pid = p.pid + 0",
    f"SELECT pid FROM {P} p FULL JOIN (SELECT owner_pid AS pid FROM {F}) c USING (pid)",
    f"SELECT count(*) FROM {P} p WHERE EXISTS (SELECT 1 FROM {F} c WHERE c.owner_pid = p.pid OR p.pid > 5)",
    f"SELECT p.pid = p.name AS x FROM {P} p",
    f"SELECT (p.pid = (SELECT max(owner_pid) FROM {F})) AS x FROM {P} p",
]
NEVER_TOLD = [
    f"SELECT count(DISTINCT pid), count(pid), count(*) FROM {P}",
    f"SELECT gender, count(DISTINCT pid) FROM {P} GROUP BY gender",
    f"SELECT n, count(*) FROM (SELECT count(*) AS n FROM {P} GROUP BY pid) t GROUP BY n",
    f"SELECT sum(c.capital) FROM {P} p JOIN {F} c ON c.owner_pid = p.pid",
    f"SELECT count(*) FROM {P} WHERE pid IN (SELECT owner_pid FROM {F})",
    f"SELECT count(*) FROM {P} WHERE pid IS NULL",
    f"WITH o AS (SELECT owner_pid, sum(capital) AS s FROM {F} GROUP BY owner_pid) SELECT p.gender, sum(o.s) FROM {P} p "
    "JOIN o ON o.owner_pid = p.pid GROUP BY p.gender",
]
PICKING = [
    f"SELECT m FROM (SELECT max(salary) AS m FROM {P} GROUP BY pid LIMIT 1) t",
    f"SELECT salary FROM (SELECT pid, salary FROM {P} UNION SELECT pid, salary FROM {P}) t",
    f"SELECT c.capital FROM {P} p JOIN {F} c ON c.owner_pid = p.pid LIMIT 1",
    f"SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY m) AS r FROM (SELECT pid, max(salary) AS m FROM {P} GROUP BY pid) t) u",
    f"SELECT max(r) FROM (SELECT lag(n) OVER (ORDER BY n) AS r FROM (SELECT pid, count(*) AS n FROM {P} GROUP BY pid) t) u",
    f"SELECT sum(w) FROM (SELECT max(weight) AS w FROM {P} GROUP BY pid) t",
    f"SELECT max(r) FROM (SELECT sum(n) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) AS r FROM (SELECT pid, count(*) AS n FROM {P} "
    "GROUP BY pid) t) u",
]
"""Nothing of an identifier is told, but which rows come would follow from where its hash puts them."""
IDENTIFIERS = ({row["pid"] for row in PEOPLE} | {row["owner_pid"] for row in COMPANIES}) - {None}


def every_pseudonym(resolution: Resolution, *_: Any) -> Untold:
    """A chooser that is wrong about everything."""
    pseudonyms = {"pid", "owner_pid"}
    return Untold({use.alias: use.items & pseudonyms for use in resolution.tables if use.items & pseudonyms})


@pytest.mark.parametrize("sql", TELLING)
def test_what_is_told_is_the_token(world: World, sql: str) -> None:
    try:
        rows = world.rows(sql)
    except Exception:  # refused for what it is
        return
    given = world.engine.ran[-1].sql
    assert "identifier" in given, "no side table was joined"
    assert not IDENTIFIERS & {value for row in rows for value in row}


@pytest.mark.parametrize("sql", TELLING)
def test_the_second_check_refuses_what_would_tell_an_identifier(world: World, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setattr("huitong.gateway.rewrite.untold", every_pseudonym)
    refused = {reason.code for reason in world.refusal(sql).reasons}
    assert refused, "it ran"
    plain = World(world.lake)
    monkeypatch.undo()
    try:
        plain.ask(sql)
    except Exception:
        return
    assert refused == {"rewrite-differs"}


@pytest.mark.parametrize("sql", NEVER_TOLD)
def test_what_is_never_told_needs_no_token(world: World, sql: str) -> None:
    answer = world.rows(sql)
    assert "identifier" not in world.engine.ran[-1].sql
    assert "||" not in world.engine.ran[-1].sql
    assert not IDENTIFIERS & {value for row in answer for value in row}


@pytest.mark.parametrize("sql", PICKING)
def test_where_rows_could_be_picked_by_their_place_no_two_runs_hash_alike(world: World, sql: str) -> None:
    salts = set()
    for _ in range(2):
        world.ask(sql)
        given = world.engine.ran[-1]
        assert "identifier" not in given.sql
        salt = given.sql.partition("\"pid\" || '")[2].partition("'")[0]
        assert len(salt) == 32
        assert salt in given.tables[0].name, "it is the random text of this run"
        salts.add(salt)
    assert len(salts) == 2


def test_a_limit_over_groups_takes_them_by_their_values(world: World) -> None:
    world.ask(f"SELECT count(*), max(salary) FROM {P} GROUP BY pid LIMIT 2")
    assert world.engine.ran[-1].sql.endswith("ORDER BY 1, 2 LIMIT 2")


def test_two_linkage_groups_never_meet_on_identifiers(world: World) -> None:
    world.grants[1] = replace(world.grants[1], terms=replace(world.grants[1].terms, linkage_group="another"))
    assert world.rows(f"SELECT count(*) FROM {P} p JOIN {F} c ON c.owner_pid = p.pid") == [(0,)]
    assert "identifier" in world.engine.ran[-1].sql


def test_a_statement_that_never_tells_waits_for_the_side_table_too(world: World) -> None:
    world.files = lambda *_: ()  # type: ignore[method-assign]
    assert world.codes(f"SELECT count(DISTINCT pid) FROM {P}") == {"pseudonym-not-ready"}


@pytest.mark.parametrize(
    "cut",
    [
        "DISTINCT ON (substr(a.pid, 1, 6)) 1 AS x FROM t AS a",
        "1 AS x FROM t AS a LIMIT (SELECT length(max(b.pid)) FROM t AS b)",
        "1 AS x FROM t AS a OFFSET length('x')",
    ],
)
def test_no_identifier_hides_where_rows_are_cut(world: World, cut: str) -> None:
    """Such statements are refused long before; were they not, the proof does not pass over them."""
    request = QueryRequest(f"SELECT count(DISTINCT pid) AS n FROM {P}", "poverty-relief")
    plan = world.gateway.planned(request, actor=ANALYST, maximum_rows=10)
    assert plan.untold
    inner = plan.sql.partition("FROM (")[2].rpartition(') AS "s1"')[0]
    check_confined(replace(plan, sql=f"WITH t AS ({inner}) SELECT count(DISTINCT a.pid) AS x FROM t AS a LIMIT 9"))
    with pytest.raises(NotConfinedError):
        check_confined(replace(plan, sql=f"WITH t AS ({inner}) SELECT {cut}"))
