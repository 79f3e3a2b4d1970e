"""A drill that cannot fail is worth nothing: with a protection taken away, what was held is found."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from huitong.drill import hidden
from huitong.drill.cases import Case, Check
from huitong.drill.ground import Ground
from huitong.drill.instance import people
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures import inference, resource
from huitong.drill.statements import judged, run_statement

pytestmark = pytest.mark.slow

NO_LEAK = Case("X", "sql", "", "", "", Check.NO_LEAK, sql="SELECT name FROM civil.person")
DENY = Case("X", "sql", "", "", "", Check.DENY, sql="SELECT name FROM civil.person")
PERSON: Mapping[str, Any] = next(people())


def test_nothing_hidden_is_overlooked() -> None:
    listed = list(people())
    for text in (
        *(f'"{listed[0][name]}"' for name in ("pid", "name", "phone", "id")),
        listed[-1]["note"],
        str(listed[-1]["salary"]),
        f"... {listed[5]['pid'][:14]} ...",
        "CANARY-hidden-3",
        "3-neddih-YRANAC",
        "canary-marriage-1",
        '{"region6": "520302"}',
    ):
        assert hidden.found_hidden(text), text
        assert hidden.found_hidden(text, said="SELECT 1"), text
    for text in ("赵*", "5367716761340254978", "-7449691149862653665", "520102", "登记5", "2024-01-01T00:00:00Z", "12000"):
        assert not hidden.found_hidden(text), text
    assert not hidden.found_hidden("CANARY", said="SELECT 'CANARY'")
    assert hidden.found_hidden("CANARY-hidden-1", said="SELECT 'CANARY', v FROM hidden")


def answer(ground: Ground, **changed: Any) -> httpx.Response:
    """A real answer, changed."""
    real = ground.query("rows_user", "SELECT name FROM civil.person LIMIT 2")
    body = {**real.json(), **{name: value for name, value in changed.items() if name in ("columns", "rows")}}
    headers = {**real.headers, **changed.get("headers", {})}
    for name in ("content-length", "content-encoding"):
        headers.pop(name, None)
    return httpx.Response(changed.get("status", 200), json=changed.get("body", body), headers=headers, request=real.request)


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": [[PERSON["name"]]]},
        {"rows": [[PERSON["phone"]]]},
        {"rows": [["CANARY-row-12001"]]},
        {"rows": [[987600003]]},
        {"columns": [{"name": "CANARY-hidden-1", "type": "string"}]},
        {"columns": [{"name": "v", "type": "CANARY-hidden-1"}]},
        {"columns": [{"name": "phone", "type": "string"}]},
        {"columns": [{"name": "pid", "type": "string"}], "rows": [["520999199001011234"]]},
        {"headers": {"X-Debug": "CANARY-outside-txt"}},
        {"status": 403, "body": {"code": "query-failed", "detail": f"Conversion Error: {PERSON['pid']}"}},
    ],
)
def test_a_leak_by_any_way_is_a_leak(ground: Ground, changed: dict[str, Any]) -> None:
    assert judged(ground, NO_LEAK, str(NO_LEAK.sql), answer(ground)).outcome is Outcome.ANSWERED
    assert judged(ground, NO_LEAK, str(NO_LEAK.sql), answer(ground, **changed)).outcome is Outcome.LEAKED


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"huitong-query": "Q-unknown"}},
        {"status": 500, "body": {"code": "failure"}},
        {"status": 503, "body": {"code": "unavailable"}},
        {"status": 403, "body": {"words": "no"}},
        {"body": ["not a table"]},
    ],
)
def test_what_is_neither_an_answer_nor_a_refusal_is_an_error(ground: Ground, changed: dict[str, Any]) -> None:
    assert judged(ground, NO_LEAK, str(NO_LEAK.sql), answer(ground, **changed)).outcome is Outcome.ERROR


def test_a_refusal_that_the_ledger_does_not_know_is_an_error(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("X", "sql", "", "", "", Check.DENY, sql="SELECT phone FROM civil.person")
    assert run_statement(ground, case).outcome is Outcome.REFUSED
    monkeypatch.setattr(Ground, "entries_of_use", lambda *_: [])
    assert run_statement(ground, case).outcome is Outcome.ERROR


# --- procedures ----------------------------------------------------------------------------------------------------------


def test_pseudonyms_without_a_key_are_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    assert inference.dictionary_attack(ground).outcome is Outcome.ANSWERED
    made = hashlib.sha256(ground.known_raw_id.encode()).digest()[:8]
    monkeypatch.setattr(Ground, "live_token", str(int.from_bytes(made, "big", signed=True)))
    assert inference.dictionary_attack(ground).outcome is Outcome.LEAKED


def test_a_key_in_a_log_is_found(ground: Ground) -> None:
    key = next(iter((ground.home / "keys").glob("pseudonym-master*"))).read_bytes().strip()
    log = ground.home / "run" / "planted.log"
    log.write_bytes(b"... " + key + b" ...")
    try:
        assert inference.dictionary_attack(ground).outcome is Outcome.LEAKED
    finally:
        log.unlink()


def replaced(monkeypatch: pytest.MonkeyPatch, change: Callable[[str, str], str | None]) -> None:
    """Another statement is asked, or asked by another, than the procedure asks: as if the protection were not there."""
    real = inference.ask

    def asks(ground: Ground, actor: str, sql: str, **more: Any) -> Any:
        other = change(actor, sql)
        if other is None:
            return real(ground, actor, sql, **more)
        told = real(ground, "rows_user", other)
        return type(told)(**{**vars(told), "sql": sql})

    monkeypatch.setattr(inference, "ask", asks)
    monkeypatch.setattr("huitong.drill.asking.ask", asks)


TAKEN_AWAY: Mapping[str, tuple[Callable[[Ground], Finding], Callable[[str, str], str | None]]] = {
    "a true predicate on the raw name": (
        inference.like_walk,
        lambda _, sql: "SELECT count(*) AS n FROM civil.person WHERE gender = '女'" if "CANARY" in sql else None,
    ),
    "windows and extremes for totals": (inference.extremes, lambda *_: "SELECT max(salary) AS n FROM civil.person"),
    "windows for totals": (inference.small_group_in_window, lambda *_: "SELECT 1 AS n"),
    "small groups that are told": (
        inference.group_by_unique,
        lambda *_: "SELECT pid, count(*) AS n FROM civil.person GROUP BY pid LIMIT 3",
    ),
    "exact sums of two ranges": (
        inference.overlapping_ranges,
        lambda actor, sql: sql if actor == "agg_user" else None,
    ),
    "a guess that is told": (inference.having_probe, lambda _, sql: sql.replace("HAVING count(*) = 1", "")),
    "the same pseudonyms everywhere": (
        inference.join_of_two_grants,
        lambda actor, sql: sql if actor == "other_office" else None,
    ),
    "an error that depends on a hidden row": (
        inference.division_by_zero,
        lambda _, sql: "SELECT nothing FROM civil.person" if str(inference.HIDDEN_SALARY) in sql else None,
    ),
    "totals that are not rounded": (
        inference.totals_of_two_accounts,
        lambda actor, sql: sql if actor.startswith("agg") else None,
    ),
}


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_with_the_protection_gone_the_procedure_finds_it(ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    procedure, change = TAKEN_AWAY[name]
    assert procedure(ground).outcome in (Outcome.ANSWERED, Outcome.EMPTY, Outcome.REFUSED)
    replaced(monkeypatch, change)
    assert procedure(ground).outcome is Outcome.LEAKED


def test_times_that_tell_are_found() -> None:
    steady = [0.050 + turn % 3 * 0.001 for turn in range(inference.ROUNDS)]
    assert not inference.apart(steady, steady)[0]
    assert not inference.apart(steady, [one + (0.005 if turn % 2 else -0.005) for turn, one in enumerate(steady)])[0]
    assert inference.apart(steady, [one + 0.002 for one in steady])[0]
    assert inference.apart([one + 0.002 for one in steady], steady)[0]


def test_engine_words_in_an_error_are_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = inference.ask

    def tells(*arguments: Any, **more: Any) -> Any:
        told = real(*arguments, **more)
        words = "Conversion Error: Could not convert string '赵'"
        return type(told)(**{**vars(told), "text": told.text + words, "status": 403, "code": "x"})

    monkeypatch.setattr(inference, "ask", tells)
    assert inference.errors_as_a_channel(ground).outcome is Outcome.LEAKED


def test_nesting_that_is_not_refused_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = resource.ask
    monkeypatch.setattr(resource, "ask", lambda ground_, actor, _: real(ground_, actor, "SELECT 1 AS n"))
    assert resource.deep_nesting(ground).outcome is Outcome.ERROR


def test_a_walk_without_a_quota_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = inference.granted
    monkeypatch.setattr(inference, "WALK_PURPOSE", "employment")
    monkeypatch.setattr(inference, "WALK_ROWS", 4)
    monkeypatch.setattr(
        inference, "granted", lambda *arguments, **terms: real(*arguments, **{name: one for name, one in terms.items() if name != "quota"})
    )
    assert inference.limit_one_walk(ground).outcome is Outcome.LEAKED


@pytest.mark.parametrize(
    "faulty",
    [{"seconds": 9.0}, {"most_megabytes": 5000}, {"unserved": ["503 busy"]}, {"served": [0.1, 30.0]}, {"survived": False}],
)
def test_whatever_is_out_of_bounds_is_told(faulty: dict[str, Any]) -> None:
    from huitong.drill.bounds import Watched

    assert not Watched(seconds=4.9, most_megabytes=300, served=[0.1, 0.3]).faults()
    assert len(Watched(**faulty).faults()) == 1
