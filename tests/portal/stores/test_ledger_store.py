"""The ledger at rest: promises are folded once, in order and without a gap, and are never changed afterwards."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from tests.portal.examples import ANALYST, MEDICAL, NOON, REVIEWER, Example

from huitong.errors import Conflict, NotFound
from huitong.keystore import FileKeyStore
from huitong.ledger.audit import audit as audit_ledger
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.verify import verify_receipt
from huitong.model.ledger import Checkpoint, EntryKind, KeptCosignature, KeyChange, Promise
from huitong.portal.audit import models
from huitong.portal.stores import DjangoLedgerStore, Stores

ORIGIN = "huitong.example/test"


def promise(number: int, *, at: datetime | None = None) -> Promise:
    return Promise(
        entry=f"{number:032x}",
        kind=EntryKind.USE_INTENT,
        at=at or NOON + timedelta(seconds=number),
        payload=bytes([0, 255, number]),
        key_id="key",
        signature=bytes([number]) * 64,
    )


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=bytes([size]) * 32, at=NOON + timedelta(hours=size), note=f"note {size}\n—")


@pytest.fixture
def keystore(tmp_path: Path) -> FileKeyStore:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    return keys


def wall_clock() -> datetime:
    return datetime.now(UTC)


def make_ledger(stores: Stores, keystore: FileKeyStore) -> Ledger:
    return Ledger(stores.ledger, keystore, wall_clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)


def test_promises_wait_in_the_order_of_writing(stores: Stores) -> None:
    ledger = stores.ledger
    assert (ledger.last_instant(), ledger.oldest_pending(), ledger.size(), ledger.latest_checkpoint()) == (None, None, 0, None)
    early = promise(3, at=NOON)
    for written in (promise(1), promise(2), early):
        ledger.add_pending(written)
    assert list(ledger.pending(10)) == [promise(1), promise(2), early]
    assert list(ledger.pending(1)) == [promise(1)]
    assert ledger.oldest_pending() == NOON
    assert ledger.last_instant() == promise(2).at
    assert ledger.promise(early.entry) == early
    assert ledger.index_of(early.entry) is None


def test_an_entry_is_kept_once(stores: Stores) -> None:
    stores.ledger.add_pending(promise(1))
    with pytest.raises(Conflict) as caught, stores.atomic():
        stores.ledger.add_pending(promise(1))
    assert caught.value.reasons[0].code == "entry-exists"
    stores.ledger.fold([promise(1)], [], checkpoint(1))
    with pytest.raises(Conflict), stores.atomic():
        stores.ledger.add_pending(promise(1))


def test_a_promise_of_a_change_that_failed_was_never_there(stores: Stores) -> None:
    with pytest.raises(RuntimeError), stores.atomic():
        stores.ledger.add_pending(promise(1))
        raise RuntimeError
    assert stores.ledger.promise(promise(1).entry) is None


def test_folding_gives_each_entry_its_place(stores: Stores) -> None:
    ledger = stores.ledger
    for number in range(5):
        ledger.add_pending(promise(number))
    ledger.fold([promise(0), promise(1), promise(2)], [(0, 0, b"a" * 32), (0, 1, b"b" * 32), (1, 0, b"c" * 32)], checkpoint(3))
    ledger.fold([promise(3)], [(0, 2, b"d" * 32)], checkpoint(4))
    assert list(ledger.pending(10)) == [promise(4)]
    assert ledger.size() == 4
    assert ledger.entry(2) == promise(2)
    assert list(ledger.entries(1, 99)) == [promise(1), promise(2), promise(3)]
    assert (ledger.index_of(promise(3).entry), ledger.index_of(promise(4).entry)) == (3, None)
    assert ledger.promise(promise(3).entry) == promise(3)
    assert ledger.last_instant() == promise(4).at
    assert ledger.nodes([(0, 1), (1, 0), (7, 7)]) == {(0, 1): b"b" * 32, (1, 0): b"c" * 32}
    assert ledger.nodes([]) == {}
    assert ledger.latest_checkpoint() == checkpoint(4)
    assert [ledger.checkpoint_covering(index) for index in (0, 2, 3, 4)] == [checkpoint(3), checkpoint(3), checkpoint(4), None]
    assert list(ledger.checkpoints()) == [checkpoint(3), checkpoint(4)]
    with pytest.raises(NotFound):
        ledger.entry(4)


@pytest.mark.parametrize("moved", ["size", "pending", "place", "node"])
def test_a_fold_that_comes_too_late_changes_nothing(stores: Stores, moved: str) -> None:
    ledger = stores.ledger
    for number in range(3):
        ledger.add_pending(promise(number))
    ledger.fold([promise(0)], [(0, 0, b"a" * 32)], checkpoint(1))
    promises, nodes, head = {
        "size": ([promise(1)], [], checkpoint(1)),
        "pending": ([promise(1), promise(0)], [], checkpoint(3)),
        "place": ([promise(1)], [], checkpoint(3)),
        "node": ([promise(1)], [(0, 0, b"x" * 32)], checkpoint(2)),
    }[moved]
    with pytest.raises(Conflict) as caught:
        ledger.fold(promises, nodes, head)
    assert caught.value.reasons[0].code == "ledger-moved"
    assert (ledger.size(), list(ledger.pending(9)), list(ledger.checkpoints())) == (1, [promise(1), promise(2)], [checkpoint(1)])


def test_nothing_of_the_tree_can_be_changed(stores: Stores, using: str) -> None:
    stores.ledger.add_pending(promise(0))
    stores.ledger.fold([promise(0)], [(0, 0, b"a" * 32)], checkpoint(1))
    changes = [(models.Entry, {"payload": b"x"}), (models.Node, {"hash": b"x"}), (models.Checkpoint, {"note": "x"})]
    for model, columns in changes:
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic(using=using):
            model.objects.using(using).update(**columns)
    assert stores.ledger.entry(0) == promise(0)


def test_one_sequencer_at_a_time(stores: Stores, using: str) -> None:
    def try_elsewhere() -> bool:
        """As another process would: a thread with a connection of its own."""
        seen: list[bool] = []

        def attempt() -> None:
            with DjangoLedgerStore(using).sequencer_lock() as held:
                seen.append(held)
            connections[using].close()

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join(10)
        return seen[0]

    with stores.ledger.sequencer_lock() as held:
        assert held
        assert not try_elsewhere()
    assert try_elsewhere()
    with stores.ledger.sequencer_lock() as held:
        assert held


def test_the_real_ledger_proves_what_it_kept(stores: Stores, keystore: FileKeyStore) -> None:
    ledger = make_ledger(stores, keystore)
    sequencer = Sequencer(stores.ledger, keystore, wall_clock, origin=ORIGIN)
    entries = [ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": f"n{number}"}) for number in range(20)]
    promised = ledger.receipt([entries[3].entry])
    assert verify_receipt(promised, log_key=ledger.vkey()).ok
    assert sequencer.fold_all() == 20
    assert verify_receipt(ledger.receipt([entries[3].entry]), log_key=ledger.vkey()).ok
    assert audit_ledger(stores.ledger, ledger.vkeys()).ok


def test_appending_and_folding_at_once_leaves_no_gap(stores: Stores, keystore: FileKeyStore, using: str) -> None:
    writers, each = 4, 15
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            connections[using].close()

    def write() -> None:
        ledger = make_ledger(Stores(using), keystore)
        for number in range(each):
            with transaction.atomic(using=using):
                ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"act": f"n{number}"})

    def fold() -> None:
        Sequencer(DjangoLedgerStore(using), keystore, wall_clock, origin=ORIGIN, batch=7).run(stop, every_seconds=0.005)

    writing = [threading.Thread(target=guarded, args=(write,)) for _ in range(writers)]
    folding = [threading.Thread(target=guarded, args=(fold,)) for _ in range(2)]
    for thread in [*folding, *writing]:
        thread.start()
    for thread in writing:
        thread.join(60)
    deadline = time.monotonic() + 20
    while stores.ledger.pending(1) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for thread in folding:
        thread.join(60)
    assert not failures
    assert stores.ledger.size() == writers * each
    places = list(models.Entry.objects.using(using).order_by("index").values_list("index", flat=True))
    assert places == list(range(writers * each))
    report = audit_ledger(stores.ledger, make_ledger(stores, keystore).vkeys())
    assert report.ok, report


def test_a_query_finds_its_entries_again(example: Example) -> None:
    uses = example.stores.uses
    assert (list(uses.entries_of("q1")), uses.office_of("q1")) == ([], None)
    with example.stores.atomic():
        uses.remember(query="q1", actor=ANALYST, entries=["intent"], at=NOON)
        uses.remember(query="q1", actor=ANALYST, entries=["intent", "outcome"], at=NOON + timedelta(seconds=1))
        uses.remember(query="q2", actor=REVIEWER, entries=["refused"], at=NOON)
    assert list(uses.entries_of("q1")) == ["intent", "outcome"]
    assert uses.office_of("q1") == MEDICAL.id
    assert list(uses.entries_of("q2")) == ["refused"]


def test_writing_a_promise_costs_two_statements(stores: Stores, queries: Callable[[], int]) -> None:
    queries()
    stores.ledger.add_pending(promise(1))
    assert queries() == 2
    stores.ledger.add_pending(replace(promise(2), payload=b"x" * 8192))
    assert queries() == 2


def test_lines_of_witnesses_are_kept_once_and_found_by_size(stores: Stores) -> None:
    ledger = stores.ledger
    for number in range(4):
        ledger.add_pending(promise(number))
    ledger.fold([promise(0), promise(1)], [(0, 0, b"a" * 32), (0, 1, b"b" * 32), (1, 0, b"c" * 32)], checkpoint(2))
    ledger.fold([promise(2)], [(0, 2, b"d" * 32)], checkpoint(3))
    ledger.fold([promise(3)], [(0, 3, b"e" * 32)], checkpoint(4))
    assert (ledger.latest_witnessed(), ledger.witnessed_covering(0), list(ledger.last_seen())) == (None, None, [])
    kept = [KeptCosignature(size, witness, NOON, f"{witness} {size}") for size, witness in ((2, "a"), (3, "a"), (3, "b"))]
    for one in kept:
        ledger.add_cosignature(one)
    ledger.add_cosignature(replace(kept[2], line="another"))
    assert list(ledger.cosignatures(3)) == kept[1:]
    assert [ledger.witnessed_covering(index) for index in (1, 2, 3)] == [checkpoint(2), checkpoint(3), None]
    assert (ledger.latest_witnessed(), ledger.checkpoint_of(4), ledger.checkpoint_of(1)) == (checkpoint(3), checkpoint(4), None)
    assert sorted(ledger.last_seen(), key=lambda one: one.witness) == kept[1:]


def test_a_key_change_and_a_line_of_a_witness_are_never_changed(stores: Stores) -> None:
    made = KeyChange(2, "new", "old", NOON, NOON + timedelta(seconds=300), "e" * 32)
    stores.ledger.add_key_change(made)
    assert list(stores.ledger.key_changes()) == [made]
    with pytest.raises(Conflict):
        stores.ledger.add_key_change(replace(made, entry="f" * 32))
    stores.ledger.add_cosignature(KeptCosignature(2, "a", NOON, "line"))
    for rows in (models.KeyChange.objects.using(stores.ledger.using), models.Cosignature.objects.using(stores.ledger.using)):
        with pytest.raises(IntegrityError), transaction.atomic(using=stores.ledger.using):
            rows.update(at=NOON + timedelta(days=1))
