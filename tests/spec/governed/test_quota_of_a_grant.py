"""How much of a grant may be used: counted before a use begins, in rows, queries and calls, by day, month or for good."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.spec.governed.governed_world import ANALYST, CLEAR, COMPANY_GRANT, NOW, PSEUDONYM, World, make_grant

from huitong.errors import Conflict, Refused, Unavailable
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.policy import Grant, GrantState, Quota, QuotaPeriod
from huitong.model.query import EngineLimits, QueryRequest
from huitong.sharing.quotas import UseKind

ALL = "SELECT name FROM civil.person"
"""Eight rows."""
LIMITS = EngineLimits(seconds=600, memory_megabytes=512, threads=1, maximum_rows=10_000)


def quota(world: World, period: QuotaPeriod = QuotaPeriod.DAY, **limits: int) -> Grant:
    """Give the grant a quota."""
    items = {"name": CLEAR, "gender": CLEAR, "pid": PSEUDONYM}
    world.grants[0] = make_grant("civil.person", items, quota=Quota(period, **limits))
    world.epoch += 1
    return world.grants[0]


def used(world: World) -> dict[str, tuple[int, int]]:
    found = world.quotas.use_of(world.grants[0], at=world.now)
    assert found is not None
    return dict(found.uses)


def refused(world: World, sql: str = ALL) -> Any:
    refusal = world.refusal(sql)
    (reason,) = refusal.reasons
    return reason


def test_rows_count_as_they_leave(world: World) -> None:
    quota(world, rows=20)
    world.ask(ALL)
    world.ask(f"{ALL} WHERE gender = '男'")
    assert used(world) == {"rows": (10, 20)}


def test_the_last_rows_of_a_quota_are_given_and_it_is_said_that_more_are_left(world: World) -> None:
    quota(world, rows=10)
    assert world.ask(ALL).table.num_rows == 8
    answer = world.ask(ALL)
    assert answer.table.num_rows == 2
    (notice,) = [one for one in answer.notices if one.code == "rows-cut-by-quota"]
    assert notice.parameters["rows"] == 2
    assert world.engine.ran[-1].limits.maximum_rows == 3, "the engine itself is asked for no more than one beyond"
    reason = refused(world)
    assert (reason.code, reason.parameters["what"], reason.parameters["limit"]) == ("quota-used-up", "rows", 10)
    assert reason.parameters["anew"] == "2026-03-02T16:00+00:00", "midnight in Guiyang"


def test_an_answer_that_fits_says_nothing_of_the_quota(world: World) -> None:
    quota(world, rows=8)
    assert world.ask(ALL).notices == ()


def test_what_a_quota_refuses_is_recorded_as_any_refusal(world: World) -> None:
    quota(world, queries=1)
    world.ask(ALL)
    refused(world)
    kind, body = world.book.entries[-1]
    assert kind is EntryKind.USE_REFUSED
    assert body["reasons"] == ["quota-used-up"]
    assert body["datasets"] == ["civil.person"]


def test_queries_count_whatever_they_give(world: World) -> None:
    quota(world, queries=2)
    world.ask(f"{ALL} WHERE gender = 'x'")
    world.ask(ALL)
    assert refused(world).parameters["what"] == "queries"


def test_a_statement_that_is_refused_for_another_reason_does_not_count(world: World) -> None:
    quota(world, queries=1)
    world.codes("SELECT phone FROM civil.person")
    world.codes("SELECT")
    world.gateway.why(QueryRequest(ALL, "poverty-relief"), actor=ANALYST)
    assert used(world) == {"queries": (0, 1)}


def test_a_query_that_fails_is_a_query_without_rows(world: World) -> None:
    quota(world, queries=3, rows=8)
    world.engine.fails_with = Refused.because("query-timeout", query="q")
    with pytest.raises(Refused):
        world.ask(ALL)
    assert used(world) == {"queries": (1, 3), "rows": (0, 8)}
    world.engine.fails_with = RuntimeError("broken")
    with pytest.raises(Refused):
        world.ask(ALL)
    assert used(world) == {"queries": (2, 3), "rows": (0, 8)}
    world.engine.fails_with = None
    assert world.ask(ALL).table.num_rows == 8


def test_a_query_that_could_not_be_served_does_not_count(world: World) -> None:
    quota(world, queries=1, rows=8)
    world.engine.fails_with = Unavailable.because("engine-busy", query="q")
    with pytest.raises(Unavailable):
        world.ask(ALL)
    world.engine.fails_with = None
    world.book.fails_on = frozenset({EntryKind.USE_INTENT})
    with pytest.raises(Unavailable):
        world.ask(ALL)
    assert used(world) == {"queries": (0, 1), "rows": (0, 8)}


def test_a_statement_that_the_engine_died_of_is_not_free(world: World) -> None:
    quota(world, queries=2, rows=8)
    world.engine.fails_with = Unavailable.because("engine-crashed", query="q")
    for counted in (1, 2):
        with pytest.raises(Unavailable):
            world.ask(ALL)
        assert used(world) == {"queries": (counted, 2), "rows": (0, 8)}
    world.engine.fails_with = None
    with pytest.raises(Refused) as refused:
        world.ask(ALL)
    assert "quota" in refused.value.reasons[0].code


def test_rows_that_do_not_leave_because_the_grant_ended_do_not_count(world: World) -> None:
    grant = quota(world, rows=8)
    run = world.engine.run

    def revoked_meanwhile(query: Any) -> Any:
        world.grants[0] = replace(grant, state=GrantState.REVOKED, revoked_at=NOW)
        world.epoch += 1
        return run(query)

    world.engine.run = revoked_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Refused):
        world.ask(ALL)
    world.grants[0] = grant
    assert used(world) == {"rows": (0, 8)}


@pytest.mark.parametrize(
    ("period", "later", "free"),
    [
        (QuotaPeriod.DAY, datetime(2026, 3, 2, 15, 59, tzinfo=UTC), False),
        (QuotaPeriod.DAY, datetime(2026, 3, 2, 16, 0, tzinfo=UTC), True),
        (QuotaPeriod.MONTH, datetime(2026, 3, 31, 15, 59, tzinfo=UTC), False),
        (QuotaPeriod.MONTH, datetime(2026, 3, 31, 16, 0, tzinfo=UTC), True),
        (QuotaPeriod.GRANT, NOW + timedelta(days=299), False),
    ],
)
def test_counting_begins_anew_at_midnight_of_the_instance(world: World, period: QuotaPeriod, later: datetime, free: bool) -> None:
    quota(world, period, queries=1)
    world.ask(ALL)
    world.now = later
    if free:
        world.ask(ALL)
    else:
        assert refused(world).code == ("quota-used-up-for-good" if period is QuotaPeriod.GRANT else "quota-used-up")


def test_december_is_followed_by_january(world: World) -> None:
    december = datetime(2026, 12, 31, 15, 0, tzinfo=UTC)
    assert world.quotas.begins_anew(Quota(QuotaPeriod.MONTH, rows=1), december) == datetime(2026, 12, 31, 16, tzinfo=UTC)
    january = datetime(2027, 1, 31, 15, 0, tzinfo=UTC)
    assert world.quotas.begins_anew(Quota(QuotaPeriod.MONTH, rows=1), january) == datetime(2027, 1, 31, 16, tzinfo=UTC)


def test_all_versions_of_a_grant_count_together_whatever_their_period(world: World) -> None:
    grant = quota(world, QuotaPeriod.MONTH, rows=100)
    world.ask(ALL)
    world.grants[0] = replace(grant, version=2, terms=replace(grant.terms, quota=Quota(QuotaPeriod.DAY, rows=9)))
    world.epoch += 1
    assert world.ask(ALL).table.num_rows == 1


def test_a_query_over_two_grants_counts_for_both_and_the_smaller_rest_decides(world: World) -> None:
    quota(world, rows=100, queries=5)
    world.grants[1] = replace(COMPANY_GRANT, terms=replace(COMPANY_GRANT.terms, quota=Quota(QuotaPeriod.DAY, rows=1)))
    sql = "SELECT p.name FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid"
    answer = world.ask(sql)
    assert answer.table.num_rows == 1
    assert {notice.code for notice in answer.notices} == {"rows-cut-by-quota"}
    assert used(world) == {"rows": (1, 100), "queries": (1, 5)}
    assert refused(world, sql).parameters["dataset"] == "tax.company"
    assert used(world) == {"rows": (1, 100), "queries": (1, 5)}, "what was reserved of the one is given back"


def test_while_a_query_runs_its_rows_are_taken(world: World) -> None:
    """Two queries at once cannot both have the last rows."""
    quota(world, rows=10)
    run, seen = world.engine.run, []

    def another_meanwhile(query: Any) -> Any:
        world.engine.run = run  # type: ignore[method-assign]
        seen.append(world.codes(ALL))
        return run(query)

    world.engine.run = another_meanwhile  # type: ignore[method-assign]
    assert world.ask(ALL).table.num_rows == 8
    assert seen == [{"quota-used-up"}]
    assert world.ask(ALL).table.num_rows == 2


def test_what_a_broken_process_reserved_is_free_when_its_time_is_over(world: World) -> None:
    """The time limit of the query and a minute; then it counts as what it told, nothing, but it was a query."""
    grant = quota(world, rows=8, queries=3)
    assert world.quotas.reserve(query="q-lost", grant=grant, rows=1000, seconds=10, at=world.now) == 8
    world.now += timedelta(seconds=69)
    assert refused(world).parameters["what"] == "rows"
    assert used(world) == {"rows": (8, 8), "queries": (1, 3)}
    world.now += timedelta(seconds=1)
    assert used(world) == {"rows": (0, 8), "queries": (1, 3)}
    assert world.ask(ALL).table.num_rows == 8
    assert used(world) == {"rows": (8, 8), "queries": (2, 3)}


def test_who_settles_after_that_tells_only_what_is_still_left(world: World) -> None:
    grant = quota(world, rows=10, queries=9)
    for late in ("q-late", "q-later"):
        world.quotas.reserve(query=late, grant=grant, rows=5, seconds=10, at=world.now)
    world.now += timedelta(seconds=70)
    world.ask(f"{ALL} WHERE gender = '女'")
    world.quotas.settle(query="q-late", grant=grant, rows=5, at=world.now)
    assert used(world) == {"rows": (10, 10), "queries": (3, 9)}
    with pytest.raises(Refused) as caught:
        world.quotas.settle(query="q-later", grant=grant, rows=1, at=world.now)
    assert caught.value.reasons[0].code == "quota-used-up"
    assert used(world) == {"rows": (10, 10), "queries": (3, 9)}


def test_rows_that_leave_piece_by_piece_are_counted_too(world: World) -> None:
    """As one call of the other door; more than is left does not leave at all."""
    quota(world, rows=10, queries=1, calls=5)
    asked = QueryRequest(f"{ALL} ORDER BY name", "poverty-relief")
    with world.gateway.stream(asked, actor=ANALYST, limits=LIMITS) as flow:
        assert sum(batch.num_rows for batch in flow.batches()) == 8
        flow.settle(result_hash="ab" * 32)
    assert used(world) == {"rows": (8, 10), "queries": (0, 1), "calls": (1, 5)}
    with pytest.raises(Refused) as caught, world.gateway.stream(asked, actor=ANALYST, limits=LIMITS) as flow:
        list(flow.batches())
    assert {reason.code for reason in caught.value.reasons} == {"rows-cut-by-quota"}
    assert used(world) == {"rows": (8, 10), "queries": (0, 1), "calls": (2, 5)}


def test_rows_that_are_told_again_are_a_call_and_the_same_rows(world: World) -> None:
    """The file of an extract that is ready is given again: its rows counted when it was written."""
    quota(world, rows=10, calls=2)
    asked = QueryRequest(f"{ALL} ORDER BY name", "poverty-relief")
    plan = world.gateway.planned(asked, actor=ANALYST, maximum_rows=100)
    same: Any = {"actor": ANALYST, "maximum_rows": 100, "rows": 8, "result_hash": "ab" * 32, "fingerprint": plan.fingerprint}
    world.gateway.use_again(asked, **same)
    assert used(world) == {"rows": (0, 10), "calls": (1, 2)}
    with pytest.raises(Conflict):
        world.gateway.use_again(asked, **{**same, "fingerprint": "another"})
    assert used(world) == {"rows": (0, 10), "calls": (2, 2)}
    with pytest.raises(Refused) as caught:
        world.gateway.use_again(asked, **same)
    assert {reason.code for reason in caught.value.reasons} == {"quota-used-up"}


def test_a_call_that_is_no_statement_is_reserved_by_its_door(world: World) -> None:
    grant = quota(world, calls=1)
    assert world.quotas.reserve(query="c-1", grant=grant, rows=0, seconds=1, at=world.now, kind=UseKind.CALL) == 0
    world.quotas.settle(query="c-1", grant=grant, rows=0, at=world.now)
    with pytest.raises(Refused):
        world.quotas.reserve(query="c-2", grant=grant, rows=0, seconds=1, at=world.now, kind=UseKind.CALL)
    world.ask(ALL)


def test_both_offices_are_told_once_when_a_quota_is_nearly_used(world: World) -> None:
    quota(world, rows=10)
    world.ask(f"{ALL} WHERE gender = '女'")
    assert world.notices.kinds == []
    world.ask(f"{ALL} LIMIT 3")
    assert world.notices.kinds == [NoticeKind.QUOTA_NEARLY_USED]
    world.ask(f"{ALL} LIMIT 1")
    (notice,) = world.notices.posted
    assert notice.about == {"grant": "G-civil.person", "dataset": "civil.person", "quota": "rows/day", "percent": "80"}
    assert {office for office, _ in notice.to_roles} == {"gz-rural", "gz-civil-affairs"}


@pytest.mark.parametrize(("limit", "what"), [({"rows": 4}, "rows"), ({"queries": 1}, "queries")])
def test_why_says_that_a_quota_is_used_up_as_the_query_would(world: World, limit: dict[str, int], what: str) -> None:
    quota(world, **limit)
    asked = QueryRequest(ALL, "poverty-relief")
    assert world.gateway.why(asked, actor=ANALYST).allowed
    world.ask(ALL)
    found = world.gateway.why(asked, actor=ANALYST)
    assert [(reason.code, reason.parameters["what"]) for reason in found.decision.reasons] == [("quota-used-up", what)]
    assert found.decision.reasons == world.refusal(ALL).reasons
    assert world.gateway.why(asked, actor=ANALYST, counted=False).allowed, "a file takes a call, not a query"


def test_a_grant_without_a_quota_is_not_counted(world: World) -> None:
    world.ask("SELECT station FROM weather")
    assert world.quotas.use_of(world.grants[2], at=world.now) is None
    assert world.quotas.store.days == {}  # type: ignore[attr-defined]


def test_a_gateway_that_cannot_count_refuses_a_grant_with_a_quota(world: World) -> None:
    quota(world, rows=10)
    world.quotas = None  # type: ignore[assignment]
    world.gateway = world.make_gateway()
    assert world.codes(ALL) == {"quota-not-counted"}


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (
            "SELECT lead(name, 1) OVER (ORDER BY name) AS a, lead(name, 2) OVER (ORDER BY name) AS b FROM civil.person LIMIT 1",
            "quota-window",
        ),
        ("SELECT max(name) OVER (ORDER BY name ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING) AS a FROM civil.person LIMIT 1", "quota-window"),
        (
            "SELECT max(CASE WHEN gender = '男' THEN name END) AS a, max(CASE WHEN gender = '女' THEN name END) AS b FROM civil.person",
            "quota-total",
        ),
        (
            "WITH n AS (SELECT name, row_number() OVER (ORDER BY name) AS r FROM civil.person) "
            "SELECT max(CASE WHEN r = 1 THEN name END) AS a, max(CASE WHEN r = 2 THEN name END) AS b FROM n",
            "quota-total",
        ),
        ("SELECT a.name, b.name AS other FROM civil.person AS a JOIN civil.person AS b ON a.gender = b.gender", "quota-one-mention"),
        ("SELECT (SELECT min(name) FROM civil.person) AS a, (SELECT max(name) FROM civil.person) AS b", "quota-one-mention"),
        (
            "WITH n AS (SELECT name, row_number() OVER (ORDER BY name) AS r FROM civil.person) "
            "SELECT a.name, b.name AS other FROM n AS a JOIN n AS b ON b.r = a.r + 1",
            "quota-one-mention",
        ),
    ],
)
def test_a_row_that_leaves_carries_no_other_rows(world: World, sql: str, code: str) -> None:
    quota(world, rows=1)
    assert code in {reason.code for reason in world.refusal(sql).reasons}
    assert used(world) == {"rows": (0, 1)}, "a refusal takes nothing"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name, row_number() OVER (ORDER BY name) AS place FROM civil.person",
        "SELECT gender, count(*) AS n, min(name) AS first FROM civil.person GROUP BY gender",
        "SELECT count_if(gender = '男') AS men FROM civil.person",
        "WITH men AS (SELECT name FROM civil.person WHERE gender = '男') SELECT name FROM men ORDER BY name",
    ],
)
def test_what_gives_row_for_row_or_plain_totals_goes_on(world: World, sql: str) -> None:
    quota(world, rows=100)
    assert world.ask(sql).table.num_rows > 0


def test_without_a_quota_in_rows_nothing_of_this_is_asked(world: World) -> None:
    quota(world, queries=5)
    world.ask("SELECT a.name, b.name AS other FROM civil.person AS a JOIN civil.person AS b ON a.gender = b.gender")
