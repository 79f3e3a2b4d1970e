"""A use that runs is shown to those who answer for it, and stops when one of them cancels it; nothing of it leaves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest
from tests.spec.governed.governed_world import ANALYST, NOW, PERSON_GRANT, World

from huitong.errors import NotFound, Refused, Unavailable
from huitong.gateway.running import UNSEEN_SECONDS, RunningUse
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import Quota, QuotaPeriod
from huitong.model.query import EngineLimits, GovernedQuery, QueryRequest

pytestmark = pytest.mark.slow

NAMES = "SELECT name FROM civil.person"
COLLEAGUE = replace(ANALYST, person="wu.min", post="analyst-2")
OFFICER = replace(ANALYST, person="he.fang", post="officer-1", roles=frozenset((Role.DATA_OFFICER,)))
OTHER_OFFICE = replace(OFFICER, person="zhou.jun", office="gz-tax")
OPERATOR = replace(ANALYST, person="shi", post="operator-1", roles=frozenset((Role.OPERATOR,)))


class LongEngine:
    """Asks twice whether it may go on, as an engine does that works for some seconds; something happens between."""

    def __init__(self, world: World, happening: Callable[[], object]) -> None:
        self._inner, self._happening = world.engine, happening
        self.finished = False

    def run(self, query: GovernedQuery, /) -> pa.Table:
        return self._inner.run(query)

    def stream(self, query: GovernedQuery, /) -> Iterator[pa.RecordBatch]:
        return self._inner.stream(query)

    def run_while(self, query: GovernedQuery, still: Callable[[], None], /) -> pa.Table:
        still()
        self._happening()
        still()
        self.finished = True
        return self.run(query)

    def stream_while(self, query: GovernedQuery, still: Callable[[], None], /) -> Iterator[pa.RecordBatch]:
        yield from self.run_while(query, still).to_batches()


def ask_while(world: World, happening: Callable[[], object], **rest: object) -> LongEngine:
    engine = LongEngine(world, happening)
    world.engine = engine  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    world.gateway.answer(QueryRequest(sql=NAMES, purpose="poverty-relief"), actor=ANALYST, **rest)  # type: ignore[arg-type]
    return engine


def number(world: World) -> str:
    """Of the use that runs."""
    (use,) = world.running.running(by=OFFICER)
    return use.query


def test_who_answers_for_a_use_sees_it_and_its_statement_is_not_told(world: World) -> None:
    seen: dict[str, list[RunningUse]] = {}

    def look() -> None:
        for actor in (ANALYST, COLLEAGUE, OFFICER, OTHER_OFFICE, OPERATOR):
            seen[actor.person] = list(world.running.running(by=actor))

    assert ask_while(world, look).finished
    (mine,) = seen[ANALYST.person]
    assert seen[OFFICER.person] == [mine]
    assert seen[COLLEAGUE.person] == seen[OTHER_OFFICE.person] == seen[OPERATOR.person] == []
    assert (mine.person, mine.purpose, mine.datasets, mine.door) == ("chen.li", "poverty-relief", ("civil.person",), "query")
    assert mine.since == NOW
    assert mine.query == world.book.entries[0][1]["query"]
    assert "SELECT" not in repr(mine)
    assert world.running.running(by=OFFICER) == []


@pytest.mark.parametrize("actor", [ANALYST, OFFICER], ids=["who began it", "data officer of the office"])
def test_a_cancelled_use_stops_and_the_ledger_says_who_cancelled_it(world: World, actor: object) -> None:
    with pytest.raises(Refused) as caught:
        ask_while(world, lambda: world.running.cancel(number(world), by=actor))  # type: ignore[arg-type]
    (reason,) = caught.value.reasons
    assert (reason.code, reason.parameters["by"]) == ("query-cancelled", actor.person)  # type: ignore[attr-defined]
    kind, outcome = world.book.entries[-1]
    assert kind is EntryKind.USE_OUTCOME
    assert (outcome["failure"], outcome["cancelled_by"]) == ("query-cancelled", actor.person)  # type: ignore[attr-defined]
    assert "result_hash" not in outcome
    assert world.running.running(by=OFFICER) == []


@pytest.mark.parametrize("actor", [COLLEAGUE, OTHER_OFFICE, OPERATOR], ids=["colleague", "officer of another office", "operator"])
def test_nobody_else_can_cancel_it_or_learn_that_it_runs(world: World, actor: object) -> None:
    def try_it() -> None:
        with pytest.raises(NotFound) as caught:
            world.running.cancel(number(world), by=actor)  # type: ignore[arg-type]
        assert caught.value.reasons[0].code == "query-not-running"

    assert ask_while(world, try_it).finished


def test_who_cancelled_first_stays_and_what_has_ended_cannot_be_cancelled(world: World) -> None:
    ended: list[str] = []

    def twice() -> None:
        ended.append(number(world))
        world.running.cancel(ended[0], by=OFFICER)
        assert world.running.cancel(ended[0], by=ANALYST).cancelled_by == OFFICER.person

    with pytest.raises(Refused):
        ask_while(world, twice)
    with pytest.raises(NotFound):
        world.running.cancel(ended[0], by=OFFICER)


def test_a_cancelled_use_counts_as_one_that_failed(world: World) -> None:
    limited = replace(PERSON_GRANT.terms, quota=Quota(QuotaPeriod.DAY, queries=1))
    world.grants[0] = replace(PERSON_GRANT, terms=limited)
    with pytest.raises(Refused):
        ask_while(world, lambda: world.running.cancel(number(world), by=ANALYST))
    with pytest.raises(Refused) as caught:
        world.ask(NAMES)
    assert caught.value.reasons[0].code.startswith("quota")


def test_a_use_whose_caller_hangs_up_stops(world: World) -> None:
    left: list[bool] = []
    with pytest.raises(Refused) as caught:
        ask_while(world, lambda: left.append(True), gone=lambda: bool(left))
    assert caught.value.reasons[0].code == "query-caller-gone"
    assert world.book.entries[-1][1]["failure"] == "query-caller-gone"


def test_ctrl_c_in_this_process_is_told_as_such(world: World) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_while(world, interrupt)
    assert world.book.entries[-1][1]["failure"] == "query-caller-gone"
    assert world.running.running(by=OFFICER) == []


def test_rows_that_leave_piece_by_piece_can_be_cancelled_too(world: World) -> None:
    world.engine = LongEngine(world, lambda: world.running.cancel(number(world), by=OFFICER))  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    limits = EngineLimits(seconds=10, memory_megabytes=512, threads=1, maximum_rows=100)
    asked = QueryRequest(sql="SELECT name, salary FROM civil.person ORDER BY name, salary", purpose="poverty-relief")
    with pytest.raises(Refused) as caught, world.gateway.stream(asked, actor=ANALYST, limits=limits) as flow:
        list(flow.batches())
    assert caught.value.reasons[0].code == "query-cancelled"
    assert world.book.entries[-1][1]["cancelled_by"] == OFFICER.person


def test_a_use_whose_process_died_is_shown_no_more(world: World) -> None:
    lost = RunningUse("q-1", "chen.li", "analyst-1", "gz-rural", "poverty-relief", ("civil.person",), "query", NOW)
    world.running.watched(lost).look()
    assert [use.query for use in world.running.running(by=ANALYST)] == ["q-1"]
    world.now += timedelta(seconds=UNSEEN_SECONDS + 1)
    assert world.running.running(by=ANALYST) == []


def test_a_use_that_cannot_be_written_down_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable.because("ledger-not-writable", query="-")

    monkeypatch.setattr(world.running_store, "see", fail)
    assert ask_while(world, lambda: None).finished


def test_an_answer_that_comes_at_once_writes_nothing_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("written")

    for name in ("see", "remove", "cancelled_by"):
        monkeypatch.setattr(world.running_store, name, fail)
    world.ask(NAMES)
