"""A grant of totals: groups of at least k persons, and nothing of any single one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.spec.governed.governed_world import (
    ANALYST,
    AS_THEY_ARE,
    CLEAR,
    HIDE,
    NANMING,
    PERSON,
    PSEUDONYM,
    YEAR,
    YUNYAN,
    Grant,
    World,
    make_grant,
)

from huitong.errors import Refused
from huitong.gateway.differencing import shipped_audit
from huitong.model.ledger import EntryKind
from huitong.model.policy import Comparator, Comparison, Mode
from huitong.model.query import QueryRequest

K = 3
MEN, WOMEN = 5, 2
ITEMS = {"pid": PSEUDONYM, "gender": CLEAR, "division": CLEAR, "born": YEAR, "salary": CLEAR, "weight": CLEAR, "diagnosis": HIDE}


def person(number: int, **values: Any) -> Mapping[str, Any]:
    row = {item.name: None for item in PERSON.items}
    return {**row, "pid": f"p{number}", "name": f"CANARY-{number}", "division": NANMING, **values}


def totals(k: int = K, items: Mapping[str, Any] = ITEMS, **rules: Any) -> Grant:
    return make_grant("civil.person", dict(items), mode=Mode.AGGREGATE_ONLY, k=k, **rules)


@pytest.fixture
def world(world: World) -> World:
    """Five men and two women; a man's second row; one man of unknown salary, one person of unknown gender, a row of nobody.

    Numbers are told as they are, so that one sees which rows they are of; how they are rounded stands further below."""
    rows = [person(n, gender="男", salary=1000 * n, weight=1.0) for n in range(1, MEN)]
    rows += [person(MEN, gender="男", weight=2.0), person(1, gender="男", salary=100)]
    rows += [person(20 + n, gender="女", salary=5000) for n in range(WOMEN)]
    rows += [person(30, salary=7), {**person(0, gender="女", salary=9), "pid": None}]
    world.load(PERSON, rows)
    world.grants[0] = totals()
    world.rounding = AS_THEY_ARE
    world.gateway = world.make_gateway()
    return world


def test_groups_of_fewer_than_k_persons_are_absent(world: World) -> None:
    """Two women and a row of nobody are three rows, but two persons; the one of unknown gender is a group of one."""
    assert world.rows("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender") == [("男", 6)]
    world.epoch += 1
    world.grants[0] = totals(k=2)
    assert world.rows("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender ORDER BY n") == [("女", 3), ("男", 6)]


def test_persons_are_counted_not_rows(world: World) -> None:
    """Five men have six rows."""
    world.grants[0] = totals(k=6)
    assert world.rows("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender") == []
    world.epoch += 1
    world.grants[0] = totals(k=5)
    assert world.rows("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender") == [("男", 6)]


def test_a_total_of_too_few_persons_is_absent_and_looks_like_one_of_nobody(world: World) -> None:
    few = world.ask("SELECT count(*) AS n, sum(salary) AS s FROM civil.person WHERE gender = '女'").table
    nobody = world.ask("SELECT count(*) AS n, sum(salary) AS s FROM civil.person WHERE gender = 'x'").table
    assert few.num_rows == nobody.num_rows == 0
    assert few.schema == nobody.schema
    assert world.rows("SELECT count(*) FROM civil.person") == [(10,)]


def test_a_value_to_which_too_few_contribute_is_empty(world: World) -> None:
    """Of five men four have a salary: told from k = 4 on, not at 5; nobody's hidden item is as empty as one of a single person."""
    sql = "SELECT gender, count(*), sum(salary), avg(salary), count(salary), count(DISTINCT salary) FROM civil.person GROUP BY gender"
    world.grants[0] = totals(k=4)
    assert world.rows(sql) == [("男", 6, 10100, 2020.0, 5, 5)]
    world.epoch += 1
    world.grants[0] = totals(k=5)
    assert world.rows(sql) == [("男", 6, None, None, None, None)]
    assert world.rows("SELECT count(diagnosis), count(DISTINCT diagnosis), count(*) FROM civil.person") == [(None, None, 10)]


def test_having_and_order_see_only_what_is_shown(world: World) -> None:
    """A sum that is empty because too few contribute decides nothing, neither which groups come nor in which order."""
    world.grants[0] = totals(k=5)
    shown = "SELECT gender, sum(salary) AS s, count(*) AS n FROM civil.person GROUP BY gender HAVING"
    assert world.rows(f"{shown} sum(salary) > 0") == []
    assert world.rows(f"{shown} NOT sum(salary) > 0") == []
    assert world.rows(f"{shown} sum(salary) IS NULL AND n > 1") == [("男", None, 6)]
    assert world.rows(f"{shown} n >= 0 OR s > 1 ORDER BY s DESC, 3 LIMIT 5") == [("男", None, 6)]
    assert world.rows(f"{shown} count(*) < 0 OR true") == [("男", None, 6)]


def test_limit_counts_what_is_shown(world: World) -> None:
    world.grants[0] = totals(k=2)
    sql = "SELECT gender, count(*) AS n FROM civil.person GROUP BY 1 ORDER BY n LIMIT 1"
    assert world.rows(sql) == [("女", 3)]
    assert world.rows(f"{sql} OFFSET 2") == []


def test_grouping_goes_by_what_the_mask_shows(world: World) -> None:
    world.grants[0] = totals(items={**ITEMS, "pid": CLEAR})
    assert world.rows("SELECT pid, count(*) FROM civil.person GROUP BY pid") == []
    assert world.rows("SELECT count(DISTINCT pid) AS n, count(*) FROM civil.person") == [(8, 10)]
    assert world.rows("SELECT diagnosis, count(*) FROM civil.person GROUP BY diagnosis") == [(None, 10)]


def test_rules_of_rows_hold_for_totals_too(world: World) -> None:
    rows = [person(n, salary=n, division=YUNYAN if n % 2 else NANMING) for n in range(1, 11)]
    world.load(PERSON, rows)
    subjects = world.lists.keep([f"p{n}" for n in range(1, 9)], dataset="civil.person", item="pid")
    condition = (Comparison("salary", Comparator.MORE_THAN, ("2",)),)
    world.grants[0] = totals(rows=NANMING, condition=condition, subjects=subjects)
    assert world.rows("SELECT count(*), sum(salary) FROM civil.person") == [(3, 18)]


def test_it_is_said_that_small_groups_are_absent_whether_or_not_any_is(world: World) -> None:
    for where in ("", " WHERE gender = 'x'"):
        answer = world.ask(f"SELECT count(*) FROM civil.person{where}")
        assert {notice.code for notice in answer.notices} == {"small-groups-absent", "totals-rounded"}


ALLOWED = [
    "SELECT gender, count(*) FROM civil.person GROUP BY gender",
    "SELECT gender FROM civil.person GROUP BY gender",
    "SELECT gender AS g, division, avg(weight) AS w FROM civil.person p GROUP BY p.gender, 2 HAVING w > 1 ORDER BY w DESC",
    "SELECT count(*) FROM civil.person WHERE born BETWEEN 1980 AND 1990 AND (gender IN ('男', '女') OR NOT salary >= 3.5)",
    "SELECT count(*) FROM civil.person WHERE left(division, 6) = '520102' AND gender IS NOT NULL AND division LIKE '5201%'",
    "SELECT count(*) FROM civil.person WHERE salary = -5 OR 3000 < salary OR salary IN (1, 2.5) OR (weight) > 1.5",
    "SELECT count(*) FROM civil.person WHERE born = 1990 OR born = '1990' OR upper(trim(gender)) = 'M' OR true",
    "SELECT count(*) FROM civil.person WHERE salary > '7' AND gender ILIKE '%x%' AND starts_with(division, '52')",
    "(SELECT count(*) FROM civil.person)",
    "SELECT count(DISTINCT gender) AS kinds FROM civil.person HAVING kinds > 1 LIMIT 1",
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_may_be_asked(world: World, sql: str) -> None:
    world.ask(sql)


REFUSED = [
    ("SELECT name FROM civil.person", {"item-not-granted"}),
    ("SELECT * FROM civil.person", {"totals-output"}),
    ("SELECT gender FROM civil.person", {"totals-output"}),
    ("SELECT 1 FROM civil.person", {"totals-output"}),
    ("SELECT count(*), 1 FROM civil.person", {"totals-output"}),
    ("SELECT 'x' AS x FROM civil.person GROUP BY 1", {"totals-output", "totals-group"}),
    ("SELECT min(salary) FROM civil.person", {"totals-output"}),
    ("SELECT max(salary), median(salary), stddev(salary) FROM civil.person", {"totals-output"}),
    ("SELECT quantile_cont(salary, 0.5) FROM civil.person", {"totals-output"}),
    ("SELECT sum(salary) + 1 FROM civil.person", {"totals-output"}),
    ("SELECT sum(salary * 2) FROM civil.person", {"totals-output"}),
    ("SELECT sum(CASE WHEN pid = 1 THEN salary END) FROM civil.person", {"totals-output"}),
    ("SELECT sum(salary) FILTER (WHERE pid = 1) FROM civil.person", {"totals-output"}),
    ("SELECT count_if(salary > 5) FROM civil.person", {"totals-output"}),
    ("SELECT sum(DISTINCT salary) FROM civil.person", {"totals-output"}),
    ("SELECT count(1) FROM civil.person", {"totals-output"}),
    ("SELECT CAST(sum(salary) AS TEXT) FROM civil.person", {"totals-output"}),
    ("SELECT coalesce(sum(salary), 0) FROM civil.person", {"totals-output"}),
    ("SELECT corr(salary, weight) FROM civil.person", {"totals-output"}),
    ("SELECT CASE WHEN pid = 1 THEN 1 ELSE 0 END AS c, count(*) FROM civil.person GROUP BY 1", {"totals-output", "totals-group"}),
    ("SELECT count(*) FROM civil.person GROUP BY pid = 1", {"totals-group"}),
    ("SELECT count(*) FROM civil.person GROUP BY salary % 7", {"totals-group"}),
    ("SELECT gender, count(*) FROM civil.person GROUP BY gender HAVING sum(salary) > 5", {"totals-having"}),
    ("SELECT gender, count(*) FROM civil.person GROUP BY gender HAVING max(salary) > 5", {"totals-having"}),
    ("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender HAVING n / 0 > 5", {"totals-having"}),
    ("SELECT count(*) FROM civil.person GROUP BY gender HAVING gender = '男'", {"totals-having"}),
    ("SELECT gender, count(*) FROM civil.person GROUP BY gender ORDER BY sum(salary)", {"totals-order"}),
    ("SELECT count(*) FROM civil.person GROUP BY gender ORDER BY gender", {"totals-order"}),
    ("SELECT count(*) FROM civil.person WHERE salary / weight > 1", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE salary = weight", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE gender LIKE division", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE left(gender, 9223372036854775807) > ''", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE left(gender, salary) > ''", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE substring(gender, 99999999999) > ''", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE salary > 0.000000000000000000000000000000000001", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE salary IN (1, 0.000000000000000000000000000000000001)", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE salary < 99999999999999999999999999999999999999", {"totals-where"}),
    ("SELECT count(*) FROM civil.person WHERE salary < 1e300", {"totals-where"}),
    ("SELECT count(*) AS n FROM civil.person HAVING n > 0.000000000000000000000000000000000001", {"totals-having"}),
    ("SELECT sum(salary) AS s, count(*) AS n FROM civil.person HAVING s > n", {"totals-having"}),
    ("SELECT count(*) FROM civil.person WHERE CASE WHEN pid = 1 THEN true ELSE false END", {"totals-where"}),
    ("SELECT DISTINCT gender FROM civil.person", {"totals-one-select"}),
    ("SELECT gender, count(*) FROM civil.person GROUP BY gender UNION ALL SELECT '女', 100", {"totals-one-select"}),
    ("SELECT count(*) FROM civil.person UNION ALL SELECT count(*) FROM civil.person", {"totals-one-select"}),
    ("SELECT count(*) FROM (SELECT gender FROM civil.person) AS t", {"totals-one-select"}),
    ("SELECT sum(n) FROM (SELECT count(*) AS n FROM civil.person GROUP BY gender) AS t", {"totals-one-select"}),
    ("WITH t AS (SELECT gender FROM civil.person) SELECT count(*) FROM t", {"totals-one-select"}),
    ("WITH t AS (SELECT 1 AS a) SELECT count(*) FROM civil.person", {"totals-one-select"}),
    ("SELECT count(*) FROM civil.person p JOIN civil.person q ON p.pid = q.pid", {"totals-one-select"}),
    ("SELECT count(*) FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid", {"totals-one-select"}),
    ("SELECT station, count(*) FROM weather WHERE EXISTS (SELECT 1 FROM civil.person) GROUP BY station", {"totals-one-select"}),
    ("SELECT count(*) FROM civil.person WHERE salary > (SELECT avg(salary) FROM civil.person)", {"totals-one-select"}),
    ("SELECT count(*) FROM civil.person WHERE pid IN (SELECT owner_pid FROM tax.company)", {"totals-one-select"}),
    ("SELECT count(*) OVER () FROM civil.person", {"totals-one-select"}),
    ("SELECT gender, rank() OVER (ORDER BY gender) FROM civil.person GROUP BY gender", {"totals-one-select"}),
]


@pytest.mark.parametrize(("sql", "codes"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_what_may_not_be_asked(world: World, sql: str, codes: set[str]) -> None:
    assert world.codes(sql) == codes
    why = world.gateway.why(QueryRequest(sql, "poverty-relief"), actor=ANALYST)
    assert {reason.code for reason in why.decision.reasons} == codes


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(count(*)) FROM civil.person",
        "SELECT count(*) FROM civil.person GROUP BY ALL",
        "SELECT count(DISTINCT (gender, pid)) FROM civil.person",
        "SELECT gender, count(*) FROM civil.person GROUP BY ROLLUP (gender)",
        "SELECT count(*), count(*) FROM civil.person QUALIFY true",
        'SELECT "entity 1" FROM civil.person',
        'SELECT count(DISTINCT "entity 1") FROM civil.person',
        "SELECT count(*) FROM civil.person USING SAMPLE 1",
        "SELECT any_value(salary) FROM civil.person",
        "SELECT first(salary) FROM civil.person",
    ],
)
def test_tricks_that_no_statement_may_hold(world: World, sql: str) -> None:
    assert world.refusal(sql)


def test_a_dataset_that_tells_no_entities_apart_gives_no_totals(world: World) -> None:
    world.published["civil.person"] = replace(PERSON, key=None)
    assert world.codes("SELECT count(*) FROM civil.person") == {"totals-without-entity"}


def test_without_a_key_item_the_primary_key_tells_entities_apart(world: World) -> None:
    """All parts of it must be known."""
    world.published["civil.person"] = replace(PERSON, key=None, primary_key=("pid", "name"))
    rows = [{**person(n % 2, gender="男"), "name": f"n{n // 2}"} for n in range(4)]
    rows += [{**person(n, gender="女"), "name": None} for n in range(5)] + [{**person(0, gender="女"), "name": "n9"}] * 5
    world.load(PERSON, rows)
    world.grants[0] = totals(k=4)
    assert world.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender") == [("男", 4)]


def test_a_key_item_that_the_snapshot_lacks_gives_no_groups(world: World) -> None:
    columns = tuple((one.name, one.type) for one in PERSON.items if one.name != "pid")
    world.snapshots["civil.person"] = replace(world.snapshots["civil.person"], columns=columns)
    assert world.rows("SELECT count(*) FROM civil.person") == []


def test_a_grant_of_rows_is_taken_before_one_of_totals(world: World) -> None:
    world.grants.append(make_grant("civil.person", {"gender": CLEAR}, number="G-rows"))
    assert ("女",) in world.rows("SELECT gender FROM civil.person")
    assert world.codes("SELECT salary FROM civil.person") == {"totals-output"}


# --- compared with plain Python on random data -------------------------------------------------------------------------

people = st.lists(
    st.fixed_dictionaries({
        "pid": st.none() | st.sampled_from([f"p{n}" for n in range(7)]),
        "gender": st.sampled_from(["男", "女", None]),
        "division": st.sampled_from([NANMING, YUNYAN]),
        "salary": st.none() | st.integers(-3, 3),
    }),
    max_size=30,
)
TOTALS = {
    "count(*)": len,
    "count(salary)": lambda rows: len(_known(rows)),
    "count(DISTINCT salary)": lambda rows: len(set(_known(rows))),
    "sum(salary)": lambda rows: sum(_known(rows)) if _known(rows) else None,
    "avg(salary)": lambda rows: sum(_known(rows)) / len(_known(rows)) if _known(rows) else None,
}
HAVINGS = {"": lambda _shown: True, "sum(salary) > 0": lambda value: value is not None and value > 0}


def _known(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [row["salary"] for row in rows if row["salary"] is not None]


def entities(rows: Sequence[Mapping[str, Any]], *, with_salary: bool) -> int:
    return len({row["pid"] for row in rows if row["pid"] is not None and (row["salary"] is not None or not with_salary)})


def by_hand(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], total: str, k: int, least: int | None, having: str
) -> list[tuple[Any, ...]]:
    """What a reader of the rule would work out with pencil and paper."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if least is None or (row["salary"] is not None and row["salary"] >= least):
            groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    if not keys and not groups:
        groups[()] = []
    found = []
    for key, members in groups.items():
        if entities(members, with_salary=False) < k:
            continue
        enough = total == "count(*)" or entities(members, with_salary=True) >= k
        value = TOTALS[total](members) if enough else None
        if not having or HAVINGS[having](value):
            found.append((*key, value))
    return found


@given(
    rows=people,
    keys=st.sampled_from([(), ("gender",), ("gender", "division")]),
    total=st.sampled_from(list(TOTALS)),
    k=st.integers(2, 4),
    least=st.none() | st.integers(-2, 2),
    having=st.sampled_from(list(HAVINGS)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_totals_are_those_that_one_would_work_out_by_hand(
    world: World, rows: list[Mapping[str, Any]], keys: Sequence[str], total: str, k: int, least: int | None, having: str
) -> None:
    total = "sum(salary)" if having else total
    world.load(PERSON, [{**person(0), **row} for row in rows])
    world.grants[0] = totals(k=k)
    world.epoch += 1
    sql = f"SELECT {', '.join([*keys, total])} FROM civil.person"
    sql += "" if least is None else f" WHERE salary >= {least}"
    sql += f" GROUP BY {', '.join(keys)}" if keys else ""
    sql += f" HAVING {having}" if having else ""
    expected = by_hand(rows, keys, total, k, least, having)
    assert sorted(world.rows(sql), key=repr) == sorted(expected, key=repr)


# --- rounding, and noise that stays ------------------------------------------------------------------------------------

VILLAGE = 43
"""Persons of the village; each earns 1,000 and something that is theirs alone."""


@pytest.fixture
def village(world: World) -> World:
    """The numbers are told as they are in production."""
    rows = [person(n, gender="男" if n % 3 else "女", salary=1000 + 37 * n, weight=50 + n / 7) for n in range(VILLAGE)]
    world.load(PERSON, rows)
    world.rounding = None
    world.gateway = world.make_gateway()
    return world


def test_counts_are_multiples_of_five_and_sums_have_three_digits(village: World) -> None:
    """No number told is far from the true one: a count by less than five, a sum or mean by less than two in a hundred."""
    ((count, total, mean),) = village.rows("SELECT count(*), sum(salary), avg(salary) FROM civil.person")
    assert count % 5 == 0
    assert abs(count - VILLAGE) < 5
    true = sum(1000 + 37 * n for n in range(VILLAGE))
    assert abs(total - true) < true * 0.02
    assert abs(mean - true / VILLAGE) < true / VILLAGE * 0.02
    for number in (total, mean):
        assert len(str(int(number)).rstrip("0")) <= 3


def test_every_answer_says_that_it_is_rounded(village: World) -> None:
    (notice,) = [one for one in village.ask("SELECT count(*) FROM civil.person").notices if one.code == "totals-rounded"]
    assert notice.parameters == {"grant": "G-civil.person", "base": 5, "digits": 3}


SAME_QUESTION = [
    "SELECT sum(salary), count(*) FROM civil.person WHERE gender = '男' AND salary > 1100",
    "SELECT sum(p.salary) AS total, count(*) AS n FROM civil.person p WHERE p.salary > 1100 AND p.gender = '男'",
    "SELECT sum(salary), count(salary) FROM civil.person WHERE NOT (gender <> '男' OR salary <= 1100)",
    "SELECT sum(salary), count(gender) FROM civil.person WHERE salary >= 1101 AND gender IN ('男', 'x') AND true",
    "SELECT sum(salary), count(*) FROM civil.person WHERE salary > 1100 GROUP BY gender HAVING count(*) > 18",
]


def test_the_same_question_gives_the_same_numbers_however_it_is_written(village: World) -> None:
    """Whoever asks a hundred times, in other words or under a new version of the grant, has asked once: there is nothing to average."""
    first, *others = [village.rows(sql) for sql in SAME_QUESTION]
    assert others == [first] * len(others)
    village.epoch += 1
    village.grants[0] = replace(totals(), id="G-next-year", version=2)
    assert village.rows(SAME_QUESTION[0]) == first


def test_the_order_in_which_groups_are_named_changes_no_number(village: World) -> None:
    one = village.rows("SELECT gender, division, count(*), avg(weight) FROM civil.person GROUP BY gender, division")
    other = village.rows("SELECT division, gender, count(*), avg(weight) FROM civil.person GROUP BY division, gender")
    assert sorted(one) == sorted((gender, division, *numbers) for division, gender, *numbers in other)


def test_whether_a_group_is_told_is_judged_by_true_numbers(village: World) -> None:
    """Nine persons are fewer than ten, although nine may be rounded to ten; ten are enough, whatever the noise says."""
    village.grants[0] = totals(k=10)
    for size, groups in ((9, 0), (10, 1)):
        village.epoch += 1
        village.load(PERSON, [person(n, gender="男", salary=n) for n in range(size)])
        assert len(village.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender")) == groups


def test_having_order_and_limit_go_by_the_numbers_that_are_told(village: World) -> None:
    """Else HAVING count(*) = 29 would say what rounding hides."""
    shown = dict(village.rows("SELECT gender, count(*) FROM civil.person GROUP BY gender"))
    for number in range(60):
        sql = f"SELECT gender, count(*) AS n FROM civil.person GROUP BY gender HAVING n = {number}"
        assert dict(village.rows(sql)) == {gender: n for gender, n in shown.items() if n == number}
    last = village.rows("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender ORDER BY n DESC LIMIT 1 OFFSET 1")
    assert last == [min(shown.items(), key=lambda pair: pair[1])]


def test_too_many_groups_are_refused_and_not_cut(village: World) -> None:
    """Which groups were left out would go by true numbers, or by the order in which rows are stored."""
    village.maximum_rows = 1
    village.gateway = village.make_gateway()
    with pytest.raises(Refused) as refused:
        village.ask("SELECT gender, count(*) FROM civil.person GROUP BY gender ORDER BY 2 LIMIT 1")
    assert [reason.code for reason in refused.value.reasons] == ["totals-too-many-groups"]


def test_a_condition_on_an_item_goes_into_where(village: World) -> None:
    assert village.codes("SELECT gender, count(*) FROM civil.person GROUP BY gender HAVING gender = '男'") == {"totals-having"}


# --- no two answers that differ by a few persons -----------------------------------------------------------------------


@pytest.fixture
def watched(village: World) -> World:
    """As in production: what the office was told is remembered. k is 10."""
    village.grants[0] = totals(k=10)
    village.audit = shipped_audit()
    village.gateway = village.make_gateway()
    return village


def test_the_sum_of_all_and_the_sum_of_all_but_one_are_not_both_told(watched: World) -> None:
    """Each is a total of more than forty persons. Their difference is what one of them earns."""
    assert len(watched.rows("SELECT sum(salary) FROM civil.person")) == 1
    with pytest.raises(Refused) as refused:
        watched.ask("SELECT sum(salary) FROM civil.person WHERE salary <> 1037")
    (reason,) = refused.value.reasons
    assert reason.code == "totals-differ-too-little"
    assert reason.parameters == {"grant": "G-civil.person", "dataset": "civil.person", "k": 10}
    assert watched.book.kinds()[-2:] == [EntryKind.USE_INTENT, EntryKind.USE_OUTCOME], "it is written that it was tried"


@pytest.mark.parametrize(
    "again",
    [
        "SELECT sum(salary), count(*) FROM civil.person WHERE gender = '男' AND salary > 1100 GROUP BY gender, division",
        "SELECT sum(salary) AS s FROM civil.person AS p WHERE (1100 < p.salary) AND (p.gender = '男') GROUP BY division, gender",
        "SELECT division, gender, sum(salary) FROM civil.person WHERE salary > 1100 AND gender = '男' GROUP BY 2, 1 LIMIT 1",
    ],
    ids=["as it was", "other names and order", "other things shown"],
)
def test_the_same_question_may_be_asked_as_often_as_one_likes(watched: World, again: str) -> None:
    """It is not even compared again: the dataset is read once."""
    watched.ask("SELECT sum(salary), count(*) FROM civil.person WHERE gender = '男' AND salary > 1100 GROUP BY gender, division")
    watched.ask("SELECT count(*) FROM civil.person WHERE salary > 1500")
    before = len(watched.engine.ran)
    watched.ask(again)
    assert len(watched.engine.ran) == before + 1


def test_questions_that_differ_by_ten_persons_or_more_are_answered(watched: World) -> None:
    for condition in ("", f"WHERE salary >= {1000 + 37 * 10}", f"WHERE salary >= {1000 + 37 * 20}"):
        assert len(watched.rows(f"SELECT sum(salary), count(*) FROM civil.person {condition}")) == 1
    assert len(watched.rows("SELECT gender, sum(salary) FROM civil.person GROUP BY gender")) == 2


def test_each_office_is_told_by_its_own_questions(watched: World) -> None:
    """What one office was told does not stand in the way of another."""
    watched.ask("SELECT sum(salary) FROM civil.person")
    watched.grants.append(totals(k=10, office="gz-tax", number="G-tax"))
    watched.epoch += 1
    colleague = replace(ANALYST, person="zhao.min", office="gz-tax")
    assert watched.ask("SELECT sum(salary) FROM civil.person WHERE salary <> 1037", actor=colleague).table.num_rows == 1


def test_when_the_dataset_has_changed_what_was_told_of_it_is_compared_anew(watched: World) -> None:
    """Two groups that were far apart last month may have come close since: of this month one of them is told."""
    watched.load(PERSON, [person(n, gender="男", salary=n) for n in range(40)])
    all_of_them, most = "SELECT sum(salary) FROM civil.person", "SELECT sum(salary) FROM civil.person WHERE salary >= 15"
    watched.ask(all_of_them)
    watched.ask(most)
    watched.load(PERSON, [person(n, gender="男", salary=n) for n in range(12, 40)])
    watched.ask(all_of_them)
    with pytest.raises(Refused) as refused:
        watched.ask(most)
    assert refused.value.reasons[0].code == "totals-differ-too-little"


def test_an_instance_that_does_not_remember_tells_no_totals(watched: World) -> None:
    watched.gateway._watch = None
    with pytest.raises(Refused) as refused:
        watched.ask("SELECT count(*) FROM civil.person")
    assert refused.value.reasons[0].code == "totals-not-watched"
