"""Whether two questions of totals come too close is what one would find with pencil and paper, on random data and random questions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.spec.governed.governed_world import CLEAR, NANMING, PERSON, YUNYAN, World, make_grant

from huitong.errors import Refused
from huitong.gateway.differencing import shipped_audit
from huitong.model.policy import Mode

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

Row = Mapping[str, Any]
CONDITIONS: Mapping[str, Callable[[Row], bool]] = {
    "": lambda row: True,
    "salary >= 1": lambda row: row["salary"] is not None and row["salary"] >= 1,
    "salary < 2": lambda row: row["salary"] is not None and row["salary"] < 2,
    "gender = '男' OR salary = 0": lambda row: row["gender"] == "男" or row["salary"] == 0,
    "NOT division = '520103000000'": lambda row: row["division"] != YUNYAN,
    "gender IS NULL": lambda row: row["gender"] is None,
}
KEYS = [(), ("gender",), ("division",), ("division", "gender")]
TOTALS = {"count(*)": None, "sum(salary)": "salary", "avg(weight)": "weight"}
Question = tuple[str, tuple[str, ...], str]

rows_of_people = st.lists(
    st.fixed_dictionaries({
        "pid": st.none() | st.sampled_from([f"p{n}" for n in range(9)]),
        "gender": st.sampled_from(["男", "女", None]),
        "division": st.sampled_from([NANMING, YUNYAN]),
        "salary": st.none() | st.integers(0, 3),
        "weight": st.none() | st.just(1.5),
    }),
    max_size=24,
)  # fmt: skip
questions = st.tuples(st.sampled_from(list(CONDITIONS)), st.sampled_from(KEYS), st.sampled_from(list(TOTALS)))


def sql_of(question: Question) -> str:
    condition, keys, total = question
    where = f" WHERE {condition}" if condition else ""
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {', '.join([*keys, total])} FROM civil.person{where}{group}"


def told_groups(rows: Sequence[Row], question: Question, k: int, known: str | None) -> list[set[int]]:
    """The groups of at least k persons, each as the places of its rows; with `known`, of rows that have that item."""
    groups: dict[tuple[Any, ...], set[int]] = {}
    for place, row in enumerate(rows):
        if CONDITIONS[question[0]](row) and (known is None or row[known] is not None):
            groups.setdefault(tuple(row[key] for key in question[1]), set()).add(place)
    return [group for group in groups.values() if len(persons(rows, group)) >= k]


def persons(rows: Sequence[Row], places: set[int]) -> set[str]:
    return {rows[place]["pid"] for place in places} - {None}


def too_close(rows: Sequence[Row], one: Question, other: Question, k: int) -> bool:
    least = 1 if one[0] == other[0] else 0
    same_item = TOTALS[one[2]] if TOTALS[one[2]] == TOTALS[other[2]] else None
    for known in {None, same_item}:
        sides = [told_groups(rows, question, k, known) for question in (one, other)]
        pairs = [(a, b) for a in sides[0] for b in sides[1] if persons(rows, a & b) or a & b]
        if any(least <= len(persons(rows, a ^ b)) < k for a, b in pairs):
            return True
        for wholes, parts in (sides, sides[::-1]):
            for whole in wholes:
                within = [part for part in parts if part <= whole]
                if within and least <= len(persons(rows, whole - set().union(*within))) < k:
                    return True
    return False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(Path(tmp_path_factory.mktemp("lake")))
    world.audit = shipped_audit()
    world.gateway = world.make_gateway()
    return world


@given(rows=rows_of_people, one=questions, other=questions, k=st.integers(2, 4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_refused_is_what_one_would_refuse_by_hand(world: World, rows: list[Row], one: Question, other: Question, k: int) -> None:
    nothing = {item.name: None for item in PERSON.items}
    world.load(PERSON, [{**nothing, **row} for row in rows])
    items = {"gender": CLEAR, "division": CLEAR, "salary": CLEAR, "weight": CLEAR}
    world.grants = [make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=k)]
    world.epoch += 1
    world.questions.questions.clear()
    world.ask(sql_of(one))
    try:
        world.ask(sql_of(other))
        refused = False
    except Refused as refusal:
        assert [reason.code for reason in refusal.reasons] == ["totals-differ-too-little"]
        refused = True
    same = one[:2] == other[:2] and TOTALS[one[2]] == TOTALS[other[2]]
    assert refused == (not same and too_close(rows, one, other, k))


@given(rows=rows_of_people, earlier=st.lists(questions, min_size=2, max_size=4), other=questions)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_many_earlier_questions_in_one_statement_are_compared_as_each_alone(
    world: World, rows: list[Row], earlier: list[Question], other: Question
) -> None:
    nothing = {item.name: None for item in PERSON.items}
    world.load(PERSON, [{**nothing, **row} for row in rows])
    items = dict.fromkeys(("gender", "division", "salary", "weight"), CLEAR)
    world.grants = [make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=2)]
    world.epoch += 1
    world.questions.questions.clear()
    answered: list[Question] = []
    for question in (*earlier, other):
        same = any(question[:2] == one[:2] and TOTALS[question[2]] == TOTALS[one[2]] for one in answered)
        close = any(too_close(rows, one, question, 2) for one in answered)
        try:
            world.ask(sql_of(question))
        except Refused:
            assert close
            assert not same
        else:
            assert same or not close
            answered.append(question)
