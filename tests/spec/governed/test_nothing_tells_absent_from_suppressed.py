"""An analyst who asks for totals cannot tell a group that is not there from one that is too small to be told: what leaves is the same."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.spec.governed.governed_world import AS_THEY_ARE, CLEAR, NANMING, PERSON, PSEUDONYM, World, make_grant

from huitong.gateway.gate import duration_bucket, result_bytes
from huitong.model.ledger import EntryKind
from huitong.model.policy import Mode

K = 3
BY_GENDER = "SELECT gender, count(*) AS n, sum(salary) AS s FROM civil.person GROUP BY gender ORDER BY gender"
OF_WOMEN = "SELECT count(*) AS n, avg(salary) AS a, count(DISTINCT salary) AS d FROM civil.person WHERE gender = '女'"
WOMEN_OR_NONE = "SELECT gender, count(*) AS n FROM civil.person GROUP BY gender HAVING n > 1 LIMIT 5"
ALL_NUMBERS = "SELECT count(*) AS n FROM civil.person WHERE salary > 4000"
STATEMENTS = (BY_GENDER, OF_WOMEN, WOMEN_OR_NONE, ALL_NUMBERS)
OWN = ("query", "intent", "result_hash")
"""What an outcome says that is another for each use; the hash is compared as the bytes it is over."""


def with_women(world: World, women: int) -> World:
    """Four men, and so many women, each of the highest salary."""
    people = [("男", 1000 + number) for number in range(K + 1)] + [("女", 5000 + number) for number in range(women)]
    empty = {item.name: None for item in PERSON.items}
    rows = [
        {**empty, "pid": f"p{number}", "name": f"n{number}", "division": NANMING, "gender": gender, "salary": salary}
        for number, (gender, salary) in enumerate(people)
    ]
    world.load(PERSON, rows)
    world.epoch += 1
    items = {"pid": PSEUDONYM, "gender": CLEAR, "division": CLEAR, "salary": CLEAR}
    world.grants[0] = make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=K)
    world.rounding = AS_THEY_ARE
    world.gateway = world.make_gateway()
    return world


def what_leaves(world: World, sql: str) -> dict[str, Any]:
    """All that the analyst sees of a use: the table's columns and bytes, the notices, and what the receipt's outcome says."""
    answer = world.ask(sql)
    kind, body = world.book.entries[-1]
    assert kind is EntryKind.USE_OUTCOME
    return {
        "columns": answer.table.schema,
        "bytes": result_bytes(answer.table),
        "notices": answer.notices,
        "outcome": {name: value for name, value in body.items() if name not in OWN},
    }


@pytest.fixture(params=[0.0004, 0.0999, 0.5])
def seconds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long every use takes by the clock of the one who measures."""
    monkeypatch.setattr("huitong.gateway.answer.duration_bucket", lambda _: duration_bucket(request.param))
    return float(request.param)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_nobody_one_and_two_women_look_the_same_and_three_do_not(world: World, sql: str, seconds: float) -> None:
    assert K == 3 and seconds
    nobody, one, two, three = (what_leaves(with_women(world, women), sql) for women in (0, 1, 2, 3))
    assert nobody == one == two
    assert three["columns"] == two["columns"]
    assert three["bytes"] != two["bytes"], "the statement does tell of women, once there are enough"


def test_how_long_it_took_is_told_as_one_of_four_words_and_nowhere_finer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[float, Mapping[str, Any]] = {}
    for taken in (0.00001, 0.03, 0.1, 0.1001, 0.9, 1.0001, 9.9, 10.0001, 86_400.0):
        monkeypatch.setattr("huitong.gateway.answer.duration_bucket", lambda _, taken=taken: duration_bucket(taken))
        told[taken] = what_leaves(with_women(world, 2), BY_GENDER)
    words = {taken: leaves["outcome"]["duration_bucket"] for taken, leaves in told.items()}
    assert list(words.values()) == ["up-to-100-ms"] * 3 + ["up-to-1-s"] * 2 + ["up-to-10-s"] * 2 + ["over-10-s"] * 2
    for leaves in told.values():
        outcome = {**leaves["outcome"], "duration_bucket": None}
        assert {**leaves, "outcome": outcome} == {**told[0.1], "outcome": {**told[0.1]["outcome"], "duration_bucket": None}}
        assert not [value for value in outcome.values() if isinstance(value, float)], "a time, a share or a number of rows that were read"
