"""Before anything runs there is an intent in the ledger; after it, an outcome, whatever happened. No record, no use."""

import hashlib
from typing import Any

import pytest
from tests.spec.governed.governed_world import World

from huitong.errors import Refused, Unavailable
from huitong.gateway.gate import result_bytes
from huitong.model.ledger import EntryKind

NAMES = "SELECT name FROM civil.person WHERE name LIKE '张%'"


def test_the_intent_says_who_why_and_under_which_grants(world: World) -> None:
    answer = world.ask(NAMES)
    kind, body = world.book.entries[0]
    assert kind is EntryKind.USE_INTENT
    assert body["query"] == answer.query
    assert (body["actor"], body["office"], body["post"]) == ("chen.li", "gz-rural", "analyst-1")
    assert (body["purpose"], body["legal_basis"]) == ("poverty-relief", "Rural revitalisation law, article 5")
    grant = world.grants[0]
    assert body["grants"] == [
        {
            "grant": grant.id,
            "version": 1,
            "terms_hash": grant.terms_hash,
            "dataset": "civil.person",
            "snapshot": 1,
            "mode": "rows",
            "legal_basis": "Rural revitalisation law, article 5",
            "items": {"name": "partial:first=1,last=0"},
        }
    ]


def test_the_outcome_proves_the_bytes_that_left(world: World) -> None:
    answer = world.ask(NAMES)
    kind, body = world.book.entries[1]
    assert kind is EntryKind.USE_OUTCOME
    assert body["intent"] == "e-1"
    assert body["rows"] == 1
    assert body["result_hash"] == hashlib.sha256(result_bytes(answer.table)).hexdigest()
    assert body["duration_bucket"] in ("up-to-100-ms", "up-to-1-s", "up-to-10-s")


def test_no_literal_of_the_statement_stands_in_the_ledger(world: World) -> None:
    world.ask("SELECT count(*) FROM civil.person WHERE name = '欧阳某某' OR salary = 31415926")
    written = str(world.book.entries)
    assert "欧阳" not in written
    assert "31415926" not in written


def test_the_hash_of_a_statement_is_salted_and_the_same_for_the_same_text(world: World) -> None:
    world.ask(NAMES)
    world.ask(NAMES)
    hashes = [body["statement_hash"] for kind, body in world.book.entries if kind is EntryKind.USE_INTENT]
    assert len(set(hashes)) == 1
    assert hashes[0] != hashlib.sha256(NAMES.encode()).hexdigest()


def test_without_an_intent_nothing_runs(world: World) -> None:
    world.book.fails_on = frozenset((EntryKind.USE_INTENT,))
    with pytest.raises(Unavailable):
        world.ask(NAMES)
    assert world.engine.ran == []


def test_without_an_outcome_nothing_leaves(world: World) -> None:
    world.book.fails_on = frozenset((EntryKind.USE_OUTCOME,))
    with pytest.raises(Unavailable):
        world.ask(NAMES)


def test_a_refusal_that_cannot_be_recorded_is_no_free_guess(world: World) -> None:
    world.book.fails_on = frozenset((EntryKind.USE_REFUSED,))
    with pytest.raises(Unavailable):
        world.ask("SELECT phone FROM civil.person")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Refused.because("query-time-limit", query="x", seconds="1"), "query-time-limit"),
        (Unavailable.because("engine-busy"), "engine-busy"),
        (Unavailable.because("engine-crashed", query="x"), "engine-crashed"),
        (RuntimeError("Conversion Error: CANARY in t_9f2 SELECT"), "query-failed"),
    ],
)
def test_a_failed_run_leaves_an_outcome_with_a_code_and_no_words_of_the_engine(world: World, failure: Exception, code: str) -> None:
    world.engine.fails_with = failure
    with pytest.raises((Refused, Unavailable)) as caught:
        world.ask(NAMES)
    assert caught.value.reasons[0].code == code
    assert "CANARY" not in str(caught.value) + str(caught.value.reasons)
    assert caught.value.__cause__ is None
    kind, body = world.book.entries[-1]
    assert (kind, body["failure"], body["intent"]) == (EntryKind.USE_OUTCOME, code, "e-1")
    assert "CANARY" not in str(world.book.entries)


def test_a_broken_ledger_does_not_show_its_words(world: World) -> None:
    def broken(**_: Any) -> Any:
        raise OSError("/secret/place: no space left on device")

    world.book.append = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(Unavailable) as caught:
        world.ask(NAMES)
    assert caught.value.reasons[0].code == "ledger-not-writable"
    assert "/secret/place" not in str(caught.value.reasons)
