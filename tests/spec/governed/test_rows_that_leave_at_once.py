"""Rows of a streamed answer leave one block after the other, before anybody knows how the use ends. What has left stays left: the record
says how many rows it was, and they count against a quota, however it ends."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from tests.spec.governed.governed_world import ANALYST, CLEAR, NOW, PSEUDONYM, World, canaries_in, make_grant

from huitong.errors import HuitongError, NotSignedIn, Refused, Unavailable
from huitong.gateway import answer as answer_module
from huitong.gateway.streams import StreamLimits, read_stream_limits
from huitong.model.ledger import EntryKind
from huitong.model.policy import Grant, GrantState, Mode, Quota, QuotaPeriod
from huitong.model.query import GovernedQuery, QueryRequest

ALL = "SELECT name FROM civil.person"
"""Eight rows."""
TWO_AT_A_TIME = replace(read_stream_limits(), block_rows=2)
HASH = "ab" * 32


def quota(world: World, **limits: int) -> Grant:
    items = {"name": CLEAR, "gender": CLEAR, "pid": PSEUDONYM}
    terms: dict[str, Any] = {"quota": Quota(QuotaPeriod.DAY, **limits)} if limits else {}
    world.grants[0] = make_grant("civil.person", items, **terms)
    world.epoch += 1
    world.gateway._streams = TWO_AT_A_TIME
    return world.grants[0]


def used(world: World) -> dict[str, tuple[int, int]]:
    found = world.quotas.use_of(world.grants[0], at=world.now)
    assert found is not None
    return dict(found.uses)


def streamed(world: World, sql: str = ALL, **rest: Any) -> pa.Table:
    with world.gateway.leaving(QueryRequest(sql, "poverty-relief"), actor=ANALYST, **rest) as rows:
        table = pa.Table.from_batches(list(rows.blocks()))
        rows.settle(result_hash=HASH)
    return table


def broken_off(world: World, after_blocks: int, happening: Any = None, **rest: Any) -> HuitongError:
    """Take so many blocks; then something happens, or whoever takes them stops."""
    with pytest.raises(HuitongError) as caught, world.gateway.leaving(QueryRequest(ALL, "poverty-relief"), actor=ANALYST, **rest) as rows:
        for number, _ in enumerate(rows.blocks(), start=1):
            if number == after_blocks:
                if happening is None:
                    break
                happening(world)
    return caught.value


def outcome(world: World) -> dict[str, Any]:
    kind, body = world.book.entries[-1]
    assert kind is EntryKind.USE_OUTCOME
    return body


def test_the_rows_are_those_of_the_whole_answer_in_the_same_order(world: World) -> None:
    world.gateway._streams = TWO_AT_A_TIME
    for sql in (
        "SELECT name, gender FROM civil.person",
        "SELECT * FROM civil.person",
        "SELECT DISTINCT gender FROM civil.person",
        "SELECT name FROM civil.person UNION ALL SELECT gender FROM civil.person",
        "SELECT gender, count(*) AS n FROM civil.person GROUP BY gender",
    ):
        table = streamed(world, sql)
        assert table.to_pylist() == world.ask(sql).table.to_pylist(), sql
        assert canaries_in(table) == []


def test_rows_that_a_statement_leaves_in_a_tie_come_by_their_values_not_as_they_are_stored(world: World) -> None:
    quota(world)
    rows = streamed(world, "SELECT gender, name FROM civil.person ORDER BY gender DESC").to_pylist()
    for gender in {row["gender"] for row in rows}:
        names = [row["name"] for row in rows if row["gender"] == gender]
        assert names == sorted(names, key=lambda name: (name is None, name or ""))


def test_what_left_is_recorded_and_counted_as_that_of_any_answer(world: World) -> None:
    quota(world, rows=20, queries=3)
    assert streamed(world).num_rows == 8
    assert used(world) == {"rows": (8, 20), "queries": (1, 3)}
    (_, intent), (_, body) = world.book.entries
    assert intent["streamed"] is True
    assert intent["door"] == "query"
    assert (body["rows"], body["result_hash"]) == (8, HASH)


def test_a_caller_who_stops_reading_has_what_it_took_and_it_is_charged(world: World) -> None:
    quota(world, rows=20, queries=3)
    broken_off(world, 2)
    assert used(world) == {"rows": (4, 20), "queries": (1, 3)}
    assert outcome(world)["rows"] == 4
    assert outcome(world)["failure"] == "query-failed"
    assert "result_hash" not in outcome(world)


def test_a_use_of_which_nothing_left_is_charged_no_row(world: World) -> None:
    quota(world, rows=20, queries=3)
    world.engine.fails_with = Refused.because("query-time-limit", query="q", seconds="5")
    with pytest.raises(Refused):
        streamed(world)
    assert used(world) == {"rows": (0, 20), "queries": (1, 3)}
    assert outcome(world)["rows"] == 0
    world.engine.fails_with = Unavailable.because("engine-busy", query="q")
    with pytest.raises(Unavailable):
        streamed(world)
    assert used(world) == {"rows": (0, 20), "queries": (1, 3)}, "it could not be served"


def revoke(world: World) -> None:
    world.grants[0] = replace(world.grants[0], state=GrantState.REVOKED, revoked_at=world.now)
    world.epoch += 1


def expire(world: World) -> None:
    world.now = NOW + timedelta(days=400)


@pytest.mark.parametrize("ends", [revoke, expire])
def test_no_row_leaves_after_the_grant_has_ended_and_those_before_are_charged(world: World, monkeypatch: Any, ends: Any) -> None:
    grant = quota(world, rows=20)
    monkeypatch.setattr(answer_module, "LOOK_AGAIN_SECONDS", 0.0)
    error = broken_off(world, 1, ends)
    assert {reason.code for reason in error.reasons} == {"grant-ended-meanwhile"}
    assert (outcome(world)["failure"], outcome(world)["rows"]) == ("grant-ended-meanwhile", 2)
    world.grants[0], world.now = grant, NOW
    assert used(world) == {"rows": (2, 20)}


def test_a_token_that_ends_cuts_the_rows_too(world: World, monkeypatch: Any) -> None:
    quota(world)
    monkeypatch.setattr(answer_module, "LOOK_AGAIN_SECONDS", 0.0)
    revoked: list[bool] = []

    def still() -> None:
        if revoked:
            raise NotSignedIn.because("token-revoked", token="ht_x")

    error = broken_off(world, 1, lambda _: revoked.append(True), still=still)
    assert error.reasons[0].code == "token-revoked"
    assert (outcome(world)["failure"], outcome(world)["rows"]) == ("token-revoked", 2)


class Dies:
    """The engine after its first rows."""

    def __init__(self, world: World, failure: Exception) -> None:
        self._inner, self._failure = world.engine, failure

    def stream(self, query: GovernedQuery, /) -> Iterator[pa.RecordBatch]:
        for batch in self._inner.stream(query):
            yield batch.slice(0, 1)
            raise self._failure


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Unavailable.because("engine-crashed", query="q"), "engine-crashed"),
        (Unavailable.because("engine-unavailable"), "engine-unavailable"),
        (RuntimeError("Binder Error"), "query-failed"),
    ],
)
def test_an_engine_that_dies_in_the_midst_leaves_what_left(world: World, failure: Exception, said: str) -> None:
    quota(world, rows=20, queries=3)
    world.engine = Dies(world, failure)  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    world.gateway._streams = TWO_AT_A_TIME
    with pytest.raises(HuitongError) as caught:
        streamed(world)
    assert caught.value.reasons[0].code == said
    assert (outcome(world)["failure"], outcome(world)["rows"]) == (said, 1)
    assert used(world) == {"rows": (1, 20), "queries": (1, 3)}


def test_a_process_that_dies_in_the_midst_has_charged_what_left_and_the_rest_stays_reserved_until_its_time(world: World) -> None:
    grant = quota(world, rows=20, queries=3)
    rows = world.gateway.leaving(QueryRequest(ALL, "poverty-relief"), actor=ANALYST)
    blocks = rows.__enter__().blocks()  # nothing after this runs: as if it had been killed
    next(blocks)
    assert used(world) == {"rows": (20, 20), "queries": (1, 3)}
    with pytest.raises(Refused):
        world.quotas.reserve(query="q-other", grant=grant, rows=1, seconds=1, at=world.now)
    world.now += timedelta(seconds=TWO_AT_A_TIME.seconds + 600)
    assert used(world) == {"rows": (2, 20), "queries": (1, 3)}
    assert world.quotas.reserve(query="q-other", grant=grant, rows=100, seconds=1, at=world.now) == 18
    blocks.close()


def test_a_quota_is_never_overdrawn_by_rows_that_leave(world: World) -> None:
    quota(world, rows=5)
    error = broken_off(world, 99, lambda _: None)
    assert error.reasons[0].code == "rows-cut-by-quota"
    assert used(world)["rows"] == (outcome(world)["rows"], 5)
    assert outcome(world)["rows"] == 4, "of the block that would be too much no row leaves"


def test_more_rows_than_a_stream_may_have_break_it_off(world: World) -> None:
    quota(world)
    world.gateway._streams = replace(TWO_AT_A_TIME, rows=6)
    assert broken_off(world, 99, lambda _: None).reasons[0].code == "stream-too-many-rows"
    assert outcome(world)["rows"] == 6


def test_a_stream_that_takes_too_long_is_broken_off(world: World, monkeypatch: Any) -> None:
    quota(world)
    monkeypatch.setattr(answer_module, "LOOK_AGAIN_SECONDS", 0.0)
    world.gateway._streams = replace(TWO_AT_A_TIME, seconds=1)
    clock = [1000.0]
    monkeypatch.setattr(answer_module.time, "monotonic", lambda: clock[0])
    error = broken_off(world, 1, lambda _: clock.__setitem__(0, 1002.0))
    assert (error.reasons[0].code, outcome(world)["rows"]) == ("query-time-limit", 2)


def test_an_office_has_no_more_streams_than_its_places(world: World) -> None:
    quota(world)
    with world.gateway.leaving(QueryRequest(ALL, "poverty-relief"), actor=ANALYST) as rows:
        with pytest.raises(Unavailable) as caught:
            streamed(world)
        assert caught.value.reasons[0].code == "queries-of-office"
        assert world.ask(ALL).table.num_rows == 8, "other queries have places of their own"
        list(rows.blocks())
        rows.settle(result_hash=HASH)
    assert streamed(world).num_rows == 8


def test_half_of_the_rows_cannot_be_settled(world: World) -> None:
    quota(world)
    with pytest.raises(Refused), world.gateway.leaving(QueryRequest(ALL, "poverty-relief"), actor=ANALYST) as rows:
        next(rows.blocks())
        rows.settle(result_hash=HASH)
    assert outcome(world)["failure"] == "query-failed"


def test_where_the_outcome_cannot_be_written_nobody_is_told_that_the_rows_are_all(world: World) -> None:
    quota(world)
    world.book.fails_on = frozenset({EntryKind.USE_OUTCOME})
    with pytest.raises(Unavailable) as caught:
        streamed(world)
    assert caught.value.reasons[0].code == "ledger-not-writable"


def test_totals_do_not_leave_so(world: World) -> None:
    items = {"name": CLEAR, "gender": CLEAR, "pid": PSEUDONYM}
    request = QueryRequest("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender", "poverty-relief")
    assert world.gateway.tells_single_rows(request, actor=ANALYST)
    world.grants = [make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=10)]
    world.epoch += 1
    assert not world.gateway.tells_single_rows(request, actor=ANALYST)
    with pytest.raises(Refused) as caught:
        streamed(world, request.sql)
    assert caught.value.reasons[0].code == "rows-alone"


def test_blocks_hold_no_more_rows_or_bytes_than_they_may() -> None:
    limits = StreamLimits(rows=1, bytes=1, seconds=1, block_rows=100, block_bytes=1000, of_an_office=1, at_once=1)
    narrow = pa.record_batch({"a": pa.array([7] * 1000, pa.int8())})
    wide = pa.record_batch({"a": pa.array(["x" * 96] * 50)})
    huge = pa.record_batch({"a": pa.array(["x" * 5000] * 3)})
    assert [block.num_rows for block in limits.blocks(narrow)] == [100] * 10
    assert [block.num_rows for block in limits.blocks(wide)] == [10] * 5
    assert [block.num_rows for block in limits.blocks(huge)] == [1] * 3
    assert [block.num_rows for block in limits.blocks(narrow.slice(0, 0))] == [0]
    with pytest.raises(ValueError, match="below one"):
        replace(limits, seconds=0)
