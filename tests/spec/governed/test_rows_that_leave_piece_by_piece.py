"""More rows than one answer holds leave piece by piece, under the same right, the same masks and the same record."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest
from tests.spec.governed.governed_world import ANALYST, CLEAR, NOW, PERSON_GRANT, World, canaries_in, make_grant

from huitong.errors import Conflict, Refused
from huitong.gateway import answer as answer_module
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState
from huitong.model.query import EngineLimits, GovernedQuery, QueryRequest

ALL = "SELECT pid, name, gender, born, salary, weight, division, diagnosis FROM civil.person ORDER BY pid, name, salary"
LIMITS = EngineLimits(seconds=60, memory_megabytes=512, threads=1, maximum_rows=10_000)


def asked(sql: str = ALL) -> QueryRequest:
    return QueryRequest(sql=sql, purpose="poverty-relief")


def streamed(world: World, sql: str = ALL, *, limits: EngineLimits = LIMITS, grant: str | None = None) -> pa.Table:
    with world.gateway.stream(asked(sql), actor=ANALYST, limits=limits, grant=grant) as flow:
        table = pa.Table.from_batches(list(flow.batches()))
        flow.settle(result_hash="ab" * 32)
    return table


def refused(world: World, sql: str = ALL, **rest: object) -> set[str]:
    with pytest.raises(Refused) as caught:
        streamed(world, sql, **rest)  # type: ignore[arg-type]
    return {reason.code for reason in caught.value.reasons}


def test_the_rows_are_those_of_a_query(world: World) -> None:
    table = streamed(world)
    assert table.equals(world.ask(ALL).table)
    assert canaries_in(table) == []


def test_intent_and_outcome_stand_in_the_ledger_with_the_hash_of_what_was_written(world: World) -> None:
    streamed(world)
    (first, intent), (last, outcome) = world.book.entries
    assert (first, last) == (EntryKind.USE_INTENT, EntryKind.USE_OUTCOME)
    assert outcome["result_hash"] == "ab" * 32
    assert outcome["rows"] == 4
    assert intent["query"] == outcome["query"]


def test_rows_that_were_not_settled_were_no_use_and_the_ledger_says_so(world: World) -> None:
    with pytest.raises(Refused), world.gateway.stream(asked(), actor=ANALYST, limits=LIMITS) as flow:
        list(flow.batches())
    assert world.book.entries[-1][1]["failure"] == "query-failed"


def test_half_of_the_rows_cannot_be_settled(world: World) -> None:
    with pytest.raises(Refused), world.gateway.stream(asked(), actor=ANALYST, limits=LIMITS) as flow:
        next(flow.batches())
        flow.settle(result_hash="ab" * 32)


def test_more_rows_than_may_leave_are_refused_not_cut(world: World) -> None:
    assert refused(world, limits=replace(LIMITS, maximum_rows=3)) == {"extract-too-many-rows"}
    assert streamed(world, limits=replace(LIMITS, maximum_rows=4)).num_rows == 4


def test_only_the_named_grant_may_carry_it(world: World) -> None:
    wide = make_grant("civil.person", {"name": CLEAR}, number="G-wide")
    world.grants = [PERSON_GRANT, wide]
    names = "SELECT name FROM civil.person ORDER BY name"
    assert streamed(world, names).num_rows == 8  # the widest
    assert streamed(world, names, grant=PERSON_GRANT.id).num_rows == 4
    assert refused(world, names, grant="G-of-nobody") == {"grant-missing"}


class Meanwhile:
    """The same engine; something happens after the first batch."""

    def __init__(self, world: World, happening) -> None:
        self._inner, self._world, self._happening = world.engine, world, happening

    def stream(self, query: GovernedQuery, /) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(self._inner.stream(query)):
            yield batch
            if number == 0:
                self._happening(self._world)


@pytest.mark.parametrize("looked_each", [0.0, 3600.0], ids=["while they leave", "before they are shown"])
@pytest.mark.parametrize("ends", ["revoked", "expired"])
def test_a_right_that_ends_meanwhile_shows_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, ends: str, looked_each: float
) -> None:
    def end(world: World) -> None:
        if ends == "expired":
            world.now = NOW + timedelta(days=400)
        else:
            world.grants[0] = replace(world.grants[0], state=GrantState.REVOKED, revoked_at=world.now)
            world.epoch += 1

    monkeypatch.setattr(answer_module, "LOOK_AGAIN_SECONDS", looked_each)
    world.engine = Meanwhile(world, end)  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    assert refused(world) == {"grant-ended-meanwhile"}
    assert world.book.entries[-1][1]["failure"] == "grant-ended-meanwhile"


def test_an_item_that_is_taken_out_of_the_right_meanwhile_shows_nothing(world: World) -> None:
    def narrow(world: World) -> None:
        without = tuple(term for term in PERSON_GRANT.terms.items if term.item != "salary")
        world.grants[0] = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, items=without))
        world.epoch += 1

    world.engine = Meanwhile(world, narrow)  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    assert refused(world) == {"item-not-granted"}


def test_the_same_rows_are_used_again_without_running_anything(world: World) -> None:
    plan = world.gateway.planned(asked(), actor=ANALYST, maximum_rows=10)
    again = {"actor": ANALYST, "maximum_rows": 10, "rows": 4, "result_hash": "ab" * 32}
    number = world.gateway.use_again(asked(), fingerprint=plan.fingerprint, **again)
    assert world.engine.ran == []
    (_, intent), (_, outcome) = world.book.entries
    assert intent["query"] == outcome["query"] == number
    assert (outcome["again"], outcome["result_hash"]) == (True, "ab" * 32)
    with pytest.raises(Conflict):
        world.gateway.use_again(asked(), fingerprint="other", **again)


def test_a_fingerprint_changes_with_the_rows_and_with_nothing_else(world: World) -> None:
    def now() -> str:
        world.epoch += 1  # plans are not kept
        return world.gateway.planned(asked("SELECT name FROM civil.person ORDER BY name"), actor=ANALYST, maximum_rows=10).fingerprint

    first = now()
    assert now() == first
    world.load(world.published["civil.person"], [])
    second = now()
    assert second != first
    world.grants = [replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, rows=None))]
    assert now() not in (first, second)
