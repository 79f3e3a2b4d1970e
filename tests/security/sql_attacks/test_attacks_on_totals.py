"""Attacks on a grant of totals: nothing of a group of fewer than k persons comes out, by values, by failures or by what is left out."""

import itertools
import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.security.sql_attacks.test_errors_tell_nothing_of_hidden_rows import FAILING
from tests.security.sql_attacks.test_splicing_fuzz import STATEMENTS, _pieces, _splice
from tests.spec.governed.governed_world import (
    ANALYST,
    AS_THEY_ARE,
    CLEAR,
    NANMING,
    PERSON,
    PSEUDONYM,
    YEAR,
    YUNYAN,
    World,
    canaries_in,
    make_grant,
)

from huitong.errors import Refused
from huitong.gateway.differencing import Audit, shipped_audit
from huitong.model.policy import Comparator, Comparison, Mode

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

SEED = 20260401
K = 3
ALONE = 987654321
"""The salary of the one woman; every other group has at least four persons."""
ITEMS = {"pid": PSEUDONYM, "name": CLEAR, "gender": CLEAR, "division": CLEAR, "born": YEAR, "salary": CLEAR, "weight": CLEAR}
TOTALS = {
    "e": ["{i}", "{i}", "{t}", "{t}", "{t}", "{x}"],
    "t": ["count(*)", "count({i})", "count(DISTINCT {i})", "sum({n})", "avg({n})"],
    "i": ["name", "gender", "division", "born", "salary", "weight", "pid", "diagnosis"],
    "n": ["salary", "weight", "born", "pid"],
    "x": ["max({n})", "1", "sum({n}) + 1", "CASE WHEN {c} THEN {n} END", "sum({n}) FILTER (WHERE {c})", "rank() OVER (ORDER BY {i})"],
    "c": ["{o} = {v}", "{o} > {v}", "{o} IN ({v}, {v})", "{o} BETWEEN {v} AND {v}", "{o} IS NULL", "NOT ({c})", "{c} AND {c}", "{c} OR {c}",
          "{o} LIKE '%a%'", "{o} IS DISTINCT FROM {v}", "{o}"],
    "o": ["{i}", "{i}", "{n}", "left({i}, 2)", "lower({i})", "length({i})", "substring({i}, {v}, {v})", "{n} / 0", "CAST({i} AS BIGINT)"],
    "v": ["0", "-1", "1", "3000", "987654321", "'女'", "'x'", "1.5", "NULL", "DATE '1990-01-01'", "9223372036854775808", "1e300", "true",
          "0.0000000000000000000000001", "''", "'%'"],
    "h": ["", "", " HAVING {t} > {v}", " HAVING count(*) >= 1", " HAVING {c}", " HAVING a IS NULL OR n < 2"],
    "q": [
        "SELECT {i}, {t} AS n FROM civil.person WHERE {c} GROUP BY 1{h} ORDER BY n LIMIT 3",
        "SELECT {t} AS a, {t} AS n FROM civil.person WHERE {c}{h}",
        "SELECT {e} AS a, {e} AS n, {e} FROM civil.person GROUP BY {i}, {i}{h} ORDER BY 2 DESC, 1",
        "SELECT {i} AS a, {i}, {t} AS n, {t} FROM civil.person WHERE {c} GROUP BY 1, 2{h}",
        "SELECT {e} FROM civil.person WHERE {c}",
    ],
}  # fmt: skip
PLAINEST = {"e": "gender", "t": "count(*)", "i": "gender", "n": "salary", "x": "1", "c": "salary > 0", "o": "salary", "v": "1", "h": ""}


def grown(chance: random.Random, form: str, depth: int) -> str:
    return re.sub(
        r"\{(\w)\}", lambda found: grown(chance, chance.choice(TOTALS[found[1]]), depth - 1) if depth else PLAINEST[found[1]], form
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Five men, and one woman of whom nothing may come out."""
    world = World(tmp_path)
    nothing = {item.name: None for item in PERSON.items}
    rows = [
        {**nothing, "pid": f"p{n}", "name": "all", "gender": "男", "division": NANMING, "salary": 1000 + n, "weight": 1.0} for n in range(5)
    ]
    alone = {"pid": "p9", "name": "CANARY-woman", "gender": "女", "division": NANMING, "salary": ALONE, "weight": 9876.5}
    world.load(PERSON, [*rows, {**nothing, **alone}])
    world.grants = [make_grant("civil.person", ITEMS, mode=Mode.AGGREGATE_ONLY, k=K)]
    files = world.files("gz-rural:poverty-relief", "civil.person", "pid", 1)
    world.files = lambda group, dataset, item, version: files  # type: ignore[method-assign]
    world.rounding = AS_THEY_ARE
    world.gateway = world.make_gateway()
    return world


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_is_asked_of_totals_no_small_group_comes_out_and_nothing_fails(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A statement is refused or it runs: one that fails in the engine would tell of a row that nobody may see."""
    chance, pieces = random.Random(SEED), _pieces()
    outcomes: Counter[str] = Counter()
    for _ in range(STATEMENTS):
        sql = grown(chance, chance.choice(TOTALS["q"]), chance.randrange(1, 5)) if chance.random() < 0.8 else _splice(chance, pieces)
        try:
            answer = world.ask(sql)
        except Refused as refusal:
            outcomes[refusal.reasons[0].code] += 1
            continue
        outcomes["ran"] += 1
        assert canaries_in(answer.table) == [], sql
        for row in answer.table.to_pylist():
            assert not any("女" in str(value) or "987" in str(value) for value in row.values() if not _is_of_all(value)), (sql, row)
    assert outcomes["ran"] >= STATEMENTS // 20, outcomes
    for never in ("query-failed", "rewrite-failed", "rewrite-differs"):
        assert outcomes[never] == 0, outcomes
    assert not caplog.records, "an exception was caught and refused"
    print(dict(outcomes))


def _is_of_all(value: object) -> bool:
    """A sum or mean over all six persons, of whom the woman is one: from these two statements together she could be worked out, which
    is what a guard against differencing is for."""
    whole = sum(1000 + n for n in range(5)) + ALONE
    return value in (whole, whole / 6, 9876.5 + 5.0, (9876.5 + 5.0) / 6)


def outcome(world: World, sql: str) -> object:
    try:
        return world.rows(sql)
    except Refused as refused:
        return sorted(reason.code for reason in refused.reasons)


@pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING)
def test_a_row_alone_cannot_make_a_statement_fail(world: World, failing: str) -> None:
    statements = [f"SELECT count(*) FROM civil.person p WHERE {failing.format(salary=salary)}" for salary in (ALONE, 111)]
    assert outcome(world, statements[0]) == outcome(world, statements[1]) == ["totals-where"]


@pytest.mark.parametrize(
    "condition",
    [
        "gender = '女'",
        f"salary = {ALONE}",
        f"salary IN ({ALONE}, 5)",
        "name LIKE 'CANARY%'",
        "weight > 9000.5",
        "gender = '女' OR salary < 1002",
        "gender IS DISTINCT FROM '男'",
        "NOT gender = '男'",
        "left(name, 3) = 'CAN'",
    ],
)
def test_a_group_that_is_picked_out_looks_like_one_of_nobody(world: World, condition: str) -> None:
    """With two others she is a group of three, which is told: that is k. Alone she is as if she were not."""
    for shown in ("count(*)", "sum(salary)", "avg(weight)", "count(DISTINCT name)"):
        found = world.rows(f"SELECT {shown} FROM civil.person WHERE {condition}")
        if "OR" in condition:
            assert len(found) == 1
        else:
            assert found == world.rows(f"SELECT {shown} FROM civil.person WHERE gender = 'nobody'") == []


@pytest.mark.parametrize("key", ["name", "gender", "salary", "weight", "name, gender", "salary, division"])
@pytest.mark.parametrize("having", ["", " HAVING count(*) = 1", " HAVING NOT count(*) > 1", " HAVING count(*) IS NOT NULL"])
def test_no_key_and_no_having_brings_a_small_group_out(world: World, key: str, having: str) -> None:
    for end in ("", " ORDER BY 2", " ORDER BY 2 LIMIT 1", " LIMIT 1 OFFSET 1"):
        rows = world.rows(f"SELECT {key.split(',')[0]}, count(*) FROM civil.person GROUP BY {key}{having}{end}")
        assert all(row[-1] >= K for row in rows)
        assert "CANARY" not in repr(rows)
        assert str(ALONE) not in repr(rows)


# --- against rounding and noise ----------------------------------------------------------------------------------------


@pytest.fixture
def rounded(world: World) -> World:
    """Many people, and numbers as they are told in production."""
    nothing = {item.name: None for item in PERSON.items}
    rows = [
        {**nothing, "pid": f"p{n}", "name": f"n{n}", "gender": "男", "division": NANMING, "salary": 1000 + n * n, "weight": n / 7}
        for n in range(MANY)
    ]
    world.load(PERSON, rows)
    world.rounding = None
    world.gateway = world.make_gateway()
    return world


MANY = 137


def test_asking_in_a_hundred_ways_gives_nothing_to_average(rounded: World) -> None:
    """Conditions that hold for everybody, items that everybody has, other names, other groupings: one and the same number."""
    always = ["salary >= 0", "salary > -1 OR gender = 'x'", "NOT salary IS NULL", "gender <> 'y' AND true", "length(name) > 0"]
    counted = ["count(*)", "count(salary)", "count(weight)", "count(name)", "count(division)"]
    found = set()
    for number, condition in enumerate(always):
        for counter in counted:
            for end in ("", " GROUP BY gender", " GROUP BY division, gender", " HAVING count(*) > 3"):
                shown = f"{counter} AS c{number}, count(*)"
                found |= set(rounded.rows(f"SELECT {shown} FROM civil.person WHERE {condition}{end}"))
    assert len(found) == 1


def test_having_cannot_find_the_true_number_by_halving(rounded: World) -> None:
    """The greatest bound that HAVING still lets pass is the number that is told, not the true one."""
    for shown in ("sum(salary)", "count(*)", "count(DISTINCT salary)"):
        ((told,),) = rounded.rows(f"SELECT {shown} FROM civil.person")
        low, high = 0, 10**7
        while high - low > 1:
            middle = (low + high) // 2
            passes = rounded.rows(f"SELECT {shown} AS n FROM civil.person HAVING n >= {middle}")
            low, high = (middle, high) if passes else (low, middle)
        assert low == told


def test_order_tells_nothing_that_the_numbers_do_not(rounded: World) -> None:
    """Groups that are told the same stand in the order of their items, whichever is truly larger."""
    nothing = {item.name: None for item in PERSON.items}
    for larger in ("A", "B"):
        sizes = {"A": 10, "B": 10, larger: 10 + 1}
        rows = [{**nothing, "pid": f"{g}{n}", "gender": g, "salary": 1} for g, size in sizes.items() for n in range(size)]
        rounded.load(PERSON, rows)
        found = rounded.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender ORDER BY 2")
        if len({number for _, number in found}) == 1:
            assert [gender for gender, _ in found] == ["A", "B"]


def test_marks_cannot_be_seen_or_named(rounded: World) -> None:
    answer = rounded.ask("SELECT gender, count(*) AS n, avg(salary) AS m FROM civil.person GROUP BY gender")
    assert answer.table.column_names == ["gender", "n", "m"]
    for sql in ('SELECT "mark 1" FROM civil.person', "SELECT hash(gender), count(*) FROM civil.person GROUP BY 1"):
        assert rounded.refusal(sql)
    with pytest.raises(Refused):
        rounded.ask('SELECT count(*) FROM civil.person HAVING "mark 1" > 5')


def test_the_noise_is_of_the_instance(rounded: World) -> None:
    """Who runs an instance of their own, or reads this code, cannot work it out: a hundred groups, and another key gives other noise."""
    rows = [{**{item.name: None for item in PERSON.items}, "pid": f"{g}-{n}", "name": str(g), "salary": 1000 + g} for g in range(100)
            for n in range(10 + g % 4)]  # fmt: skip
    rounded.load(PERSON, rows)
    sql = "SELECT name, count(*), sum(salary) FROM civil.person GROUP BY name"
    first = rounded.rows(sql)
    assert rounded.rows(sql) == first
    rounded.gateway._noise_key = b"another" * 5
    assert rounded.rows(sql) != first


# --- by the difference of two answers ----------------------------------------------------------------------------------

UNKNOWN = 3
"""Persons whose gender is not known: too few to be told."""


@pytest.fixture
def guarded(rounded: World) -> World:
    """As in production: k is 10, and what was answered is remembered. Every other person is a woman; of three it is not known. Half have a
    weight, and of the last forty one has."""
    nothing = {item.name: None for item in PERSON.items}
    rows = []
    for n in range(MANY):
        gender = None if n < UNKNOWN else "女" if n % 2 else "男"
        weight = n / 7 if n < MANY - 40 or n == MANY - 1 else None
        place = NANMING if n % 3 else YUNYAN
        known = {"pid": f"p{n}", "name": f"n{n}", "gender": gender, "division": place, "salary": 1000 + n * n, "weight": weight}
        rows.append({**nothing, **known})
    rounded.load(PERSON, rows)
    rounded.grants = [make_grant("civil.person", ITEMS, mode=Mode.AGGREGATE_ONLY, k=10)]
    rounded.audit = shipped_audit()
    rounded.gateway = rounded.make_gateway()
    return rounded


def refused_by(world: World, sql: str, **rest: Any) -> set[str]:
    try:
        world.ask(sql, **rest)
    except Refused as refused:
        return {reason.code for reason in refused.reasons}
    return set()


SUM = "SELECT sum(salary) FROM civil.person"
DIFFERENCES = {
    "all, and all but one": (SUM, f"{SUM} WHERE name <> 'n77'"),
    "all but one, and all": (f"{SUM} WHERE name <> 'n77'", SUM),
    "by NOT and brackets": (SUM, f"{SUM} WHERE NOT ((name = 'n77'))"),
    "by a list": (SUM, f"{SUM} WHERE name NOT IN ('n77', 'n78', 'n79')"),
    "by a pattern": (SUM, f"{SUM} WHERE NOT name LIKE 'n7_'  OR name = 'n70' OR name = 'n71' OR name > 'n72'"),
    "by a function of the item": (SUM, f"{SUM} WHERE NOT right(name, 2) = '77'"),
    "by another item": (SUM, f"{SUM} WHERE salary <> {1000 + 77 * 77}"),
    "by a range": (f"{SUM} WHERE salary > 5000", f"{SUM} WHERE salary > 5100"),
    "by counting": ("SELECT count(*) FROM civil.person", "SELECT count(name) FROM civil.person WHERE name <> 'n77'"),
    "a mean and a sum": ("SELECT avg(salary) FROM civil.person", f"{SUM} WHERE name <> 'n77'"),
    "other things shown": (
        "SELECT gender FROM civil.person GROUP BY gender",
        "SELECT count(*) FROM civil.person WHERE gender = '男' OR name = 'n77'",
    ),
    "an individual tracker": (
        f"{SUM} WHERE gender = '女'",
        f"{SUM} WHERE gender = '女' AND NOT (salary = {1000 + 77 * 77} AND weight > 10)",
    ),
    "a general tracker": (f"{SUM} WHERE gender = '男'", f"{SUM} WHERE name = 'n77' OR gender = '男'"),
    "its other half": (f"{SUM} WHERE NOT gender = '男'", f"{SUM} WHERE name = 'n78' OR NOT gender = '男'"),
    "group by group": (
        "SELECT division, sum(salary) FROM civil.person GROUP BY division",
        "SELECT division, sum(salary) FROM civil.person WHERE name <> 'n77' GROUP BY division",
    ),
    "one group of many": (
        "SELECT division, gender, sum(salary) FROM civil.person GROUP BY division, gender",
        f"{SUM} WHERE gender = '女' AND division = '{NANMING}' AND name <> 'n77'",
    ),
    "a whole and its parts": (SUM, "SELECT gender, sum(salary) FROM civil.person GROUP BY gender"),
    "parts and their whole": ("SELECT gender, sum(salary) FROM civil.person GROUP BY gender", SUM),
    "parts of parts": (
        "SELECT division, sum(salary) FROM civil.person GROUP BY division",
        "SELECT division, gender, sum(salary) FROM civil.person GROUP BY 1, 2",
    ),
    "forty, of whom one has a value": (
        "SELECT sum(weight) FROM civil.person",
        f"SELECT sum(weight) FROM civil.person WHERE salary < {1000 + (MANY - 40) ** 2}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "then"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_two_answers_do_not_differ_by_a_few_persons(guarded: World, first: str, then: str) -> None:
    assert guarded.ask(first).table.num_rows > 0
    assert refused_by(guarded, then) == {"totals-differ-too-little"}
    assert refused_by(guarded, then) == {"totals-differ-too-little"}, "and it stays so"
    assert refused_by(guarded, first) == set(), "what was told may be told again"


def test_between_them_others_may_have_been_asked(guarded: World) -> None:
    for sql in (SUM, f"{SUM} WHERE gender = '男'", "SELECT division, count(*) FROM civil.person GROUP BY division"):
        assert refused_by(guarded, sql) == set()
    assert refused_by(guarded, f"{SUM} WHERE name <> 'n77'") == {"totals-differ-too-little"}


def test_a_refusal_tells_nothing_of_the_one_who_is_picked_out(guarded: World) -> None:
    """Else whoever leaves one person out `if the salary is at least so much` would find the salary by halving, from refusals alone."""
    guarded.ask(SUM)
    for name in ("n77", "nobody"):
        for least in (0, 5000, 6928, 6929, 6930, 10**6):
            assert refused_by(guarded, f"{SUM} WHERE NOT (name = '{name}' AND salary >= {least})") == {"totals-differ-too-little"}


def test_two_persons_of_an_office_are_one(guarded: World) -> None:
    guarded.ask(SUM)
    other = replace(ANALYST, person="wang.fang", name="王芳", post="analyst-2")
    assert refused_by(guarded, f"{SUM} WHERE name <> 'n77'", actor=other) == {"totals-differ-too-little"}
    assert refused_by(guarded, SUM, actor=other) == set()


@pytest.mark.parametrize(
    "terms",
    [
        {"rows": None, "number": "G-civil.person"},
        {"number": "G-another", "purpose": "poverty-relief"},
        {"condition": (Comparison("name", Comparator.NOT_IN, ("n77",)),)},
        {"condition": (Comparison("salary", Comparator.MORE_THAN, ("1000",)),), "k": 12},
    ],
    ids=["the same again", "another grant", "a version that leaves one out", "a version with another k"],
)
def test_versions_of_a_grant_and_other_grants_are_one(guarded: World, terms: dict[str, Any]) -> None:
    guarded.ask(SUM)
    guarded.epoch += 1
    guarded.grants = [replace(make_grant("civil.person", ITEMS, **{"mode": Mode.AGGREGATE_ONLY, "k": 10, **terms}), version=2)]
    differs = f"{SUM} WHERE name <> 'n77'" if "condition" not in terms else SUM
    assert refused_by(guarded, differs) == {"totals-differ-too-little"}


def test_what_was_refused_or_failed_was_not_told(guarded: World) -> None:
    guarded.engine.fails_with = RuntimeError()
    assert refused_by(guarded, SUM) == {"query-failed"}
    guarded.engine.fails_with = None
    assert refused_by(guarded, f"{SUM} WHERE name <> 'n77'") == set()
    assert refused_by(guarded, SUM) == {"totals-differ-too-little"}
    assert refused_by(guarded, f"{SUM} WHERE name <> 'n77' AND gender = '女'") == set()


def test_of_two_at_the_same_moment_one_is_refused(guarded: World) -> None:
    """Each holds its place before it compares, so that whoever comes second sees the first."""
    for attempt in range(4):
        one, other = f"{SUM} WHERE name <> 'n{20 * attempt}'", f"{SUM} WHERE name <> 'n{20 * attempt + 1}'"
        guarded.questions.questions.clear()
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(partial(refused_by, guarded), (one, other)))
        assert {"totals-differ-too-little"} in found


def test_no_comparison_is_ever_left_out(guarded: World) -> None:
    """Where a question would take more comparisons than are made, it is refused."""
    guarded.audit = Audit(comparisons=2, seconds=60, at_once=20, remembered_days=30)
    guarded.gateway = guarded.make_gateway()
    asked = [f"SELECT count(*) FROM civil.person WHERE salary > {1000 + edge * edge}" for edge in (0, 40, 80, 110)]
    assert [refused_by(guarded, sql) for sql in asked] == [set(), set(), set(), {"totals-history-full"}]
    assert refused_by(guarded, asked[0]) == set()
    guarded.now += timedelta(days=31)
    assert refused_by(guarded, asked[3]) == set()


def test_where_comparing_takes_too_long_it_is_refused(guarded: World) -> None:
    asked = [f"SELECT count(*) FROM civil.person WHERE salary > {1000 + edge * edge}" for edge in (0, 40, 80)]
    assert [refused_by(guarded, sql) for sql in asked[:2]] == [set(), set()]
    guarded.ticks = itertools.count(0.0, 40.0)
    assert refused_by(guarded, asked[2]) == {"totals-history-slow"}
    assert refused_by(guarded, asked[1]) == set()
    guarded.ticks = itertools.count(0.0, 0.1)
    assert refused_by(guarded, asked[2]) == set()


def test_nothing_of_a_condition_can_be_read_where_it_is_kept(guarded: World) -> None:
    guarded.ask(f"{SUM} WHERE name <> 'n77' AND salary > 4")
    (kept,) = guarded.questions.questions.values()
    assert kept.answered
    for piece in (b"n77", b"name", b"salary"):
        assert piece not in kept.sealed
    guarded.questions.questions[kept.query] = replace(kept, sealed=kept.sealed[:-1] + bytes([kept.sealed[-1] ^ 1]))
    assert refused_by(guarded, SUM) == {"totals-not-comparable"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_was_asked_before_comparing_does_not_fail(guarded: World, caplog: pytest.LogCaptureFixture) -> None:
    """A comparison that fails in the engine would refuse good questions, and tell of rows. Ten questions are remembered at a time."""
    chance = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for number in range(STATEMENTS // 6):
        if number % 10 == 0:
            guarded.questions.questions.clear()
        sql = grown(chance, chance.choice(TOTALS["q"]), chance.randrange(1, 5))
        (code,) = list(refused_by(guarded, sql))[:1] or ["ran"]
        outcomes[code] += 1
    assert outcomes["ran"] >= STATEMENTS // 60, outcomes
    assert outcomes["totals-differ-too-little"] >= STATEMENTS // 600, outcomes
    for never in ("query-failed", "rewrite-failed", "rewrite-differs", "totals-not-comparable"):
        assert outcomes[never] == 0, outcomes
    assert not caplog.records, "an exception was caught and refused"
