"""Where the storage rule of a grade asks for a barrier, nothing that a statement says reaches below the masks, also where no row is cut."""

import itertools
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.spec.governed.governed_world import CLEAR, HIDE, PERSON, PSEUDONYM, SURNAME_ONLY, YEAR, World, make_grant

from huitong.errors import HuitongError
from huitong.model.catalog import Grade
from huitong.policy.grading import storage_rule

pytestmark = pytest.mark.slow

HIDDEN = ("salary", "weight", "phone", "diagnosis")
MASKS = {"pid": CLEAR, "name": SURNAME_ONLY, "born": YEAR, "gender": CLEAR} | dict.fromkeys(HIDDEN, HIDE)
RAW: list[Mapping[str, Any]] = [
    {"name": "张三", "born": date(1990, 1, 1), "salary": 1, "weight": 0.5, "phone": "1", "diagnosis": "0"},
    {"name": "张四", "born": date(1990, 12, 31), "salary": 2**62, "weight": 1e308, "phone": "x" * 500, "diagnosis": "9999-99-99"},
]
"""Two people of one surname and one year of birth: behind the masks they are the same."""
FALLIBLE = [
    "1 / (length(name) - 3)", "CAST(name AS INTEGER)", "CAST(substring(name, 2, 9) AS INTEGER)", "sqrt(1 - length(name))",
    "ln(length(name) - 9)", "9223372036854775807 + length(name)", "repeat('x', length(name))", "CAST(born AS INTEGER)",
    "born + 2000000000", "9223372036854775807 * born", "salary * 9223372036854775807", "salary + salary", "power(weight, 99)",
    "CAST(weight AS INTEGER)", "CAST(phone AS DATE)", "CAST(diagnosis AS DATE)", "left(phone, 1 - length(phone))", "-salary - 2",
]  # fmt: skip
SHAPES = [
    "SELECT count(*) FROM civil.person WHERE {one} IS NOT NULL",
    "SELECT gender, {one} AS x FROM civil.person ORDER BY x LIMIT 3",
    "SELECT gender, count({one}) FROM civil.person GROUP BY gender",
    "SELECT count(*) FROM civil.person p JOIN civil.person q ON p.gender = q.gender AND ({joined}) IS NULL",
]


def outcome(world: World, sql: str) -> object:
    """What a person sees of a statement: rows, or codes."""
    try:
        return repr(world.rows(sql))
    except HuitongError as failure:
        return sorted(reason.code for reason in failure.reasons)


@pytest.fixture
def worlds(tmp_path: Path) -> list[World]:
    made = []
    for number, raw in enumerate(RAW):
        home = tmp_path / str(number)
        home.mkdir()
        world = World(lake=home, barrier=True)
        row = {item.name: None for item in PERSON.items} | {"pid": "p1", "gender": "男", "division": "520102000000"}
        world.load(PERSON, [{**row, **raw}, {**row, "pid": "p2"}])
        world.grants[0] = make_grant("civil.person", MASKS)
        made.append(world)
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_an_expression_that_fails_tells_nothing_of_a_raw_value(worlds: list[World], shape: str) -> None:
    """Every fallible expression, over raw values that differ and masked ones that do not: one outcome."""
    for one in FALLIBLE:
        joined = one.replace("name", "p.name").replace("born", "p.born").replace("salary", "p.salary").replace("weight", "p.weight")
        joined = joined.replace("phone", "p.phone").replace("diagnosis", "p.diagnosis")
        sql = shape.format(one=one, joined=joined)
        first, second = (outcome(world, sql) for world in worlds)
        assert first == second, sql


def test_every_governed_subquery_ends_in_a_barrier(worlds: list[World]) -> None:
    (world, _) = worlds
    world.ask("SELECT p.gender FROM civil.person p JOIN civil.person q ON p.pid = q.pid")
    assert world.engine.ran[-1].sql.count("OFFSET 0") == 2
    world.barrier = False
    world.epoch += 1
    world.ask("SELECT p.gender FROM civil.person p JOIN civil.person q ON p.pid = q.pid")
    assert "OFFSET" not in world.engine.ran[-1].sql


def test_a_statement_means_the_same_above_a_barrier(tmp_path: Path) -> None:
    answers = []
    for barrier in (True, False):
        home = tmp_path / str(barrier)
        home.mkdir()
        world = World(lake=home, barrier=barrier)
        world.grants[0] = make_grant("civil.person", {"pid": PSEUDONYM, "gender": CLEAR, "salary": CLEAR, "born": YEAR})
        answers.append(world.rows("SELECT gender, count(*), sum(salary), min(born) FROM civil.person GROUP BY gender ORDER BY gender"))
    assert answers[0] == answers[1] != []


def test_the_highest_grades_of_the_shipped_schemes_ask_for_it_and_no_higher_one_asks_for_less() -> None:
    asks = [storage_rule(grade).barrier for grade in sorted(Grade)]
    assert asks[-1]
    assert not asks[0]
    assert all(higher or not lower for lower, higher in itertools.pairwise(asks))
