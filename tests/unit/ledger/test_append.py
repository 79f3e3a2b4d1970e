"""What goes into the ledger, and when the ledger takes nothing more."""

import json
from datetime import timedelta

import pytest
from ledger_kit import ORIGIN, START, Instance, intent_body

from huitong.errors import InputInvalid, NotFound, Unavailable
from huitong.ledger.verify import parse_vkey, promise_message
from huitong.model.ledger import EntryKind


@pytest.fixture
def instance():
    return Instance()


def test_an_entry_says_what_when_and_which_kind_in_canonical_form(instance):
    promise = instance.ledger.append(kind=EntryKind.USE_INTENT, body={"query": "q-1", "actor": "李娜"})
    assert promise.payload.decode() == (
        '{"at":"2026-03-02T01:00:00.000000Z","body":{"actor":"李娜","query":"q-1"},'
        f'"id":"{promise.entry}","kind":"use-intent"}}'
    )
    assert len(promise.entry) == 32


def test_the_promise_is_signed_for_this_log_only(instance):
    promise = instance.act()
    key = parse_vkey(instance.vkey)
    assert promise.key_id == key.id
    assert key.signed(promise_message(ORIGIN, promise.payload), promise.signature)
    assert not key.signed(promise_message("other.example/ledger", promise.payload), promise.signature)


def test_entry_ids_tell_nothing_and_do_not_repeat(instance):
    assert len({instance.act().entry for _ in range(50)}) == 50


def test_several_entries_share_one_instant_and_keep_their_order(instance):
    promises = instance.ledger.append_all([(EntryKind.REQUEST_APPROVED, {"n": 1}), (EntryKind.GRANT_MADE, {"n": 2})])
    assert [promise.entry for promise in instance.store.pending(10)] == [promise.entry for promise in promises]
    assert len({promise.at for promise in promises}) == 1


UNPLAIN = [1.5, float("nan"), 2**53, b"bytes", START, {1: "number as name"}, "\ud800", {"a": {"b": {1, 2}}}]


@pytest.mark.parametrize("value", UNPLAIN)
def test_a_body_that_readers_could_read_differently_is_refused(instance, value):
    with pytest.raises(InputInvalid, match="ledger-body-invalid"):
        instance.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"value": value})
    assert instance.store.pending(10) == []


def test_a_body_too_large_or_too_deep_is_refused(instance):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 2_000_000, deep):
        with pytest.raises(InputInvalid, match="ledger-body-invalid"):
            instance.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"value": value})


def test_a_clock_behind_the_last_entry_refuses_everything(instance):
    instance.act()
    instance.clock.advance(seconds=-0.001)
    with pytest.raises(Unavailable, match="ledger-clock-behind") as caught:
        instance.act()
    assert caught.value.reasons[0].parameters["last"] == "2026-03-02T01:00:00.000000Z"


def test_a_clock_behind_a_folded_entry_refuses_too(instance):
    instance.act()
    instance.sequencer.fold_once()
    instance.clock.advance(hours=-1)
    with pytest.raises(Unavailable, match="ledger-clock-behind"):
        instance.act()


def test_a_clock_that_stands_still_is_not_behind(instance):
    assert instance.act().at == instance.act().at


def test_another_process_that_appends_meanwhile_is_no_fault_of_the_clock(instance):
    """The last instant is read before the clock, so an entry written in between is not taken for a clock behind."""
    read = instance.store.last_instant

    def read_and_be_overtaken():
        last = read()
        instance.store.last_instant = read
        instance.clock.advance(seconds=1)
        instance.act(1)
        return last

    instance.store.last_instant = read_and_be_overtaken
    instance.act(2)
    assert len(instance.store.pending(10)) == 2


def test_an_act_may_be_dated_when_it_happened_but_not_in_the_future_or_before_the_last_entry(instance):
    instance.act()
    instance.clock.advance(seconds=5)
    happened = START + timedelta(seconds=2)
    assert instance.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={}, at=happened).at == happened
    with pytest.raises(Unavailable, match="ledger-clock-ahead"):
        instance.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={}, at=START + timedelta(seconds=6))
    with pytest.raises(Unavailable, match="ledger-clock-behind"):
        instance.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={}, at=START + timedelta(seconds=1))
    with pytest.raises(InputInvalid, match="instant-without-zone"):
        instance.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={}, at=happened.replace(tzinfo=None))


def test_after_five_minutes_without_folding_no_new_use_is_taken(instance):
    instance.use()
    instance.clock.advance(seconds=299)
    instance.act()
    instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body("q-0"))
    instance.clock.advance(seconds=1.1)
    with pytest.raises(Unavailable, match="ledger-stalled"):
        instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body("q-2"))
    instance.sequencer.fold_once()
    instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body("q-2"))


@pytest.mark.parametrize("kind", [EntryKind.GRANT_REVOKED, EntryKind.USE_OUTCOME, EntryKind.USE_REFUSED])
def test_a_ledger_that_is_not_folded_never_keeps_a_grant_from_being_revoked(instance, kind):
    instance.use()
    instance.clock.advance(hours=2)
    instance.ledger.append(kind=kind, body={"query": "q-1"})


def test_the_status_tells_when_to_look_at_the_sequencer(instance):
    empty = instance.ledger.status()
    assert (empty.size, empty.pending, empty.oldest_pending_seconds, empty.alarm, empty.stopped) == (0, 0, None, False, False)
    instance.act()
    instance.clock.advance(seconds=10)
    assert not instance.ledger.status().alarm
    instance.clock.advance(seconds=1)
    waiting = instance.ledger.status()
    assert (waiting.pending, waiting.oldest_pending_seconds, waiting.alarm, waiting.stopped) == (1, 11.0, True, False)
    instance.clock.advance(seconds=300)
    assert instance.ledger.status().stopped
    instance.sequencer.fold_once()
    folded = instance.ledger.status()
    assert (folded.size, folded.pending, folded.alarm, folded.checkpoint_at) == (1, 0, False, instance.clock.now)


def test_an_entry_of_a_transaction_that_failed_was_never_there(instance):
    with pytest.raises(ZeroDivisionError), instance.store.atomic():
        lost = instance.act()
        1 / 0  # noqa: B018
    assert instance.store.pending(10) == []
    with pytest.raises(NotFound, match="ledger-entry-unknown"):
        instance.ledger.receipt([lost.entry])


def test_a_witness_can_follow_the_log(instance):
    from huitong.ledger.verify import consistency_holds

    heads = []
    for _ in range(4):
        for _ in range(3):
            instance.act()
        instance.sequencer.fold_once()
        heads.append(instance.ledger.checkpoint())
    for first in heads:
        for second in heads:
            if first.size <= second.size:
                path = instance.ledger.consistency(first.size, second.size)
                assert consistency_holds(
                    first=first.size, first_root=first.root, second=second.size, second_root=second.root, path=path
                )
    with pytest.raises(InputInvalid, match="ledger-size-invalid"):
        instance.ledger.consistency(3, 99)


def test_a_receipt_is_plain_json(instance):
    receipt = instance.ledger.receipt(instance.use())
    assert json.loads(json.dumps(receipt)) == receipt
