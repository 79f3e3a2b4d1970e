"""A statement that names a hidden entry is refused as one that names nothing: same reasons, same record, same explanation."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import ANALYST, CLEAR, HIDDEN, WEATHER_GRANT, World, make_grant

from huitong.errors import HuitongError
from huitong.model.catalog import Sharing, Visibility
from huitong.model.query import QueryRequest
from huitong.model.text import BilingualText

NAMED = replace(HIDDEN, visibility=Visibility.NAMED, known_to=("gz-justice",))
SHARED = replace(NAMED, sharing=Sharing.CONDITIONAL, sharing_condition=BilingualText(zh="仅限履职", en="only for duties"))

STATEMENTS = [
    "SELECT v FROM hidden",
    "SELECT no_such_item FROM hidden",
    "SELECT * FROM hidden",
    "SELECT count(*) FROM hidden",
    'SELECT "V" FROM "hidden" AS h',
    "SELECT h.v FROM hidden h JOIN weather w ON h.v = w.station",
    "SELECT station FROM weather WHERE EXISTS (SELECT 1 FROM hidden)",
    "SELECT station FROM weather WHERE station IN (SELECT v FROM hidden)",
    "WITH x AS (SELECT v FROM hidden) SELECT v FROM x",
    "SELECT station FROM weather UNION ALL SELECT v FROM hidden",
    "SELECT (SELECT max(v) FROM hidden) AS m FROM weather",
    "SELECT hidden.v FROM weather, hidden",
    "SELECT v, station FROM weather, hidden",
    "SELECT v FROM HIDDEN",
    "SELECT x FROM hiden",
]


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[tuple[World, World, World]]:
    """Without the entry; with it, hidden and not shared; with it, hidden and shared on a condition."""
    made = []
    for number, entry in enumerate((None, NAMED, SHARED)):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        world.grants = [WEATHER_GRANT]
        if entry is not None:
            world.published[entry.id] = entry
        made.append(world)
    yield tuple(made)


def told(world: World, sql: str) -> tuple[object, ...]:
    """Everything that a refused statement tells its author, and what the ledger keeps of it but for the number."""
    try:
        world.ask(sql)
    except HuitongError as error:
        reasons = [(reason.code, dict(reason.parameters)) for reason in error.reasons]
        kind, body = world.book.entries[-1]
        return type(error).__name__, reasons, kind, {name: value for name, value in body.items() if name != "query"}
    raise AssertionError(f"not refused: {sql}")


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_refusal_is_the_same_with_it_and_without(worlds: tuple[World, World, World], sql: str) -> None:
    without, *hidden = worlds
    for world in hidden:
        assert told(world, sql) == told(without, sql)
        assert world.engine.ran == []


@pytest.mark.parametrize("sql", STATEMENTS)
def test_an_explanation_is_the_same_with_it_and_without(worlds: tuple[World, World, World], sql: str) -> None:
    without, *hidden = worlds
    request = QueryRequest(sql=sql, purpose="poverty-relief")
    for world in hidden:
        assert world.gateway.why(request, actor=ANALYST) == without.gateway.why(request, actor=ANALYST)


def test_the_comparison_can_fail(worlds: tuple[World, World, World]) -> None:
    without, hidden, _ = worlds
    hidden.published[HIDDEN.id] = HIDDEN
    assert told(hidden, STATEMENTS[0]) != told(without, STATEMENTS[0])


def test_who_holds_a_grant_uses_it_and_a_grant_of_another_office_opens_nothing(worlds: tuple[World, World, World]) -> None:
    without, _, hidden = worlds
    foreign = make_grant("hidden", {"v": CLEAR}, office="gz-justice", provider="gz-police")
    hidden.grants.append(foreign)
    assert told(hidden, STATEMENTS[0]) == told(without, STATEMENTS[0])
    hidden.grants.append(replace(foreign, id="G-own", using_office=ANALYST.office))
    hidden.epoch += 1
    assert len(hidden.rows("SELECT v FROM hidden")) == 1
