"""Folding: in order, in batches, by one process; a crash at any moment leaves no gap and no duplicate."""

import os
import threading
from datetime import timedelta

import pytest
from ledger_kit import ORIGIN, START, Instance, MemoryKeys, SqliteLedgerStore

from huitong.errors import LedgerBroken
from huitong.ledger.audit import audit
from huitong.ledger.sequencer import Sequencer

STEPS = ["before the transaction", "after the entries", "after the nodes", "before the commit", "after the commit"]


def test_entries_are_folded_in_the_order_in_which_they_came():
    instance = Instance()
    written = [instance.act(number).entry for number in range(10)]
    assert instance.sequencer.fold_once() == 10
    assert [promise.entry for promise in instance.store.entries(0, 10)] == written
    assert instance.sequencer.fold_once() == 0
    assert audit(instance.store, [instance.vkey]).ok


def test_many_entries_are_folded_in_batches_with_a_checkpoint_each():
    instance = Instance()
    small = Sequencer(instance.store, instance.keys, instance.clock, origin=ORIGIN, batch=4)
    for number in range(10):
        instance.act(number)
    assert [small.fold_once() for _ in range(4)] == [4, 4, 2, 0]
    assert audit(instance.store, [instance.vkey]).checkpoints == 3


def test_fold_all_leaves_nothing_pending():
    instance = Instance()
    small = Sequencer(instance.store, instance.keys, instance.clock, origin=ORIGIN, batch=3)
    for number in range(8):
        instance.act(number)
    assert small.fold_all() == 8
    assert instance.ledger.status().pending == 0


def test_only_the_holder_of_the_lock_folds():
    instance = Instance()
    instance.act()
    instance.store.locked_elsewhere = True
    assert instance.sequencer.fold_once() == 0
    instance.store.locked_elsewhere = False
    assert instance.sequencer.fold_once() == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_of_folding_leaves_no_gap_and_no_duplicate(tmp_path, step):
    path = tmp_path / "ledger.sqlite3"
    instance = Instance(SqliteLedgerStore(path))
    written = [instance.act(number).entry for number in range(5)]
    instance.sequencer.fold_once()
    written += [instance.act(number).entry for number in range(5, 12)]
    instance.store.close()
    child = os.fork()
    if child == 0:
        store = SqliteLedgerStore(path, between=lambda reached: os._exit(42) if reached == step else None)
        Sequencer(store, MemoryKeys(), lambda: START, origin=ORIGIN).fold_once()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    again = Instance(SqliteLedgerStore(path))
    assert again.store.size() == (12 if step == "after the commit" else 5)
    again.sequencer.fold_all()
    assert [promise.entry for promise in again.store.entries(0, 99)] == written
    report = audit(again.store, [again.vkey])
    assert report.ok
    assert (report.size, report.pending) == (12, 0)
    again.store.close()


def test_an_error_inside_the_transaction_changes_nothing(tmp_path):
    def fail(step):
        if step == "before the commit" and failing:
            raise OSError("the disk is full")

    failing = True
    instance = Instance(SqliteLedgerStore(tmp_path / "ledger.sqlite3", between=fail))
    instance.act()
    with pytest.raises(OSError, match="disk is full"):
        instance.sequencer.fold_once()
    assert instance.ledger.status().pending == 1
    failing = False
    assert instance.sequencer.fold_once() == 1
    assert audit(instance.store, [instance.vkey]).ok
    instance.store.close()


def test_two_sequencers_without_a_lock_cannot_both_fold_the_same_entries():
    """Were the lock ever to fail, the size in the checkpoint still lets only one of them through."""
    instance = Instance()
    instance.act(1)
    late = instance.store.fold

    def overtaken(promises, nodes, checkpoint):
        instance.store.fold = late
        assert instance.sequencer.fold_once() == 1
        late(promises, nodes, checkpoint)

    instance.store.fold = overtaken
    with pytest.raises(RuntimeError, match="the tree has moved"):
        Sequencer(instance.store, instance.keys, instance.clock, origin=ORIGIN).fold_once()
    assert instance.store.size() == 1
    assert audit(instance.store, [instance.vkey]).ok


def test_a_pending_entry_that_was_changed_is_not_folded():
    instance = Instance()
    changed = instance.act().entry
    instance.store.database.execute("UPDATE entry SET payload = CAST(replace(payload, 'checked', 'chucked') AS BLOB)")
    with pytest.raises(LedgerBroken, match="ledger-entry-broken") as caught:
        instance.sequencer.fold_once()
    assert caught.value.reasons[0].parameters == {"entry": changed}
    assert instance.store.size() == 0


@pytest.mark.parametrize("change", ["kind = 'grant-made'", "at = '2026-03-01T00:00:00+00:00'", "id = '" + "0" * 32 + "'"])
def test_a_pending_entry_whose_columns_belie_its_text_is_not_folded(change):
    instance = Instance()
    instance.act()
    instance.store.database.execute(f"UPDATE entry SET {change}")
    with pytest.raises(LedgerBroken, match="ledger-entry-broken"):
        instance.sequencer.fold_once()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE node SET hash = zeroblob(32) WHERE level = 1", "ledger-tree-broken"),
        ("DELETE FROM node WHERE level = 1", "ledger-node-missing"),
        ("UPDATE checkpoint SET root = zeroblob(32)", "ledger-checkpoint-broken"),
        ("UPDATE checkpoint SET note = replace(note, 'data', 'date')", "ledger-checkpoint-broken"),
        ("DELETE FROM checkpoint", "ledger-tree-broken"),
    ],
)
def test_a_tree_that_is_not_the_signed_one_does_not_grow(change, code):
    instance = Instance()
    for number in range(3):
        instance.act(number)
    instance.sequencer.fold_once()
    instance.store.database.execute(change)
    instance.act()
    with pytest.raises(LedgerBroken, match=code):
        instance.sequencer.fold_once()
    assert instance.store.size() == 3


def test_a_checkpoint_is_never_dated_before_what_it_covers():
    instance = Instance()
    instance.act()
    instance.clock.advance(seconds=-30)
    instance.sequencer.fold_once()
    assert instance.ledger.checkpoint().at == START
    assert audit(instance.store, [instance.vkey]).ok


def test_the_loop_folds_until_it_is_told_to_stop_and_survives_a_failing_store():
    instance = Instance()
    stop, tries = threading.Event(), []
    read = instance.store.pending

    def now_and_then(limit):
        tries.append(limit)
        if len(tries) == 1:
            raise OSError("the database went away")
        return read(limit)

    instance.store.pending = now_and_then
    instance.act()
    worker = threading.Thread(target=instance.sequencer.run, args=(stop,), kwargs={"every_seconds": 0.01})
    worker.start()
    deadline = threading.Event()
    for _ in range(500):
        if instance.store.size() == 1:
            break
        deadline.wait(0.01)
    stop.set()
    worker.join(timeout=5)
    assert not worker.is_alive()
    assert instance.store.size() == 1


def test_the_loop_stops_when_the_ledger_is_broken():
    instance = Instance()
    instance.act()
    instance.store.database.execute("UPDATE entry SET signature = zeroblob(64)")
    with pytest.raises(LedgerBroken):
        instance.sequencer.run(threading.Event())


def test_a_changed_key_folds_on_with_what_the_earlier_key_promised():
    before = Instance()
    before.act(1)
    before.sequencer.fold_once()
    before.act(2)
    before.clock.advance(seconds=1)
    after = Instance(before.store, keys="second", earlier=[before.vkey])
    after.clock.now = before.clock.now + timedelta(seconds=1)
    after.act(3)
    assert after.sequencer.fold_all() == 2
    assert audit(after.store, after.ledger.vkeys()).ok
    assert not audit(after.store, [after.vkey]).ok
