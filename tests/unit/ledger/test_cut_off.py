"""The end of a ledger cannot be cut off unseen: nodes left over, the first entry, and checkpoints kept elsewhere show it."""

import stat

import pytest
from ledger_kit import ORIGIN, Instance, MemoryKeys, SqliteLedgerStore

from huitong.errors import LedgerBroken
from huitong.ledger.audit import audit
from huitong.ledger.note import check_checkpoint, sign_checkpoint
from huitong.ledger.verify import parse_vkey
from huitong.ledger.witness import CheckpointFile
from huitong.model.ledger import EntryKind


@pytest.fixture
def instance(tmp_path):
    """An instance's ledger of eleven entries under three checkpoints, each kept in a file too."""
    made = Instance()
    made.sequencer.witness = CheckpointFile(tmp_path / "kept.txt")
    made.ledger.append(kind=EntryKind.INSTANCE_CREATED, body={"name": ORIGIN})
    for more in (2, 4, 4):
        for number in range(more):
            made.act(number)
        made.sequencer.fold_once()
    return made


def codes(instance, *kept, of_instance=True):
    return [reason.code for reason in audit(instance.store, [instance.vkey], kept=kept, of_instance=of_instance).faults]


def cut(instance, size, *, nodes):
    for statement in ("DELETE FROM checkpoint WHERE size > ?", "DELETE FROM entry WHERE place >= ?"):
        instance.store.database.execute(statement, (size,))
    if nodes:
        instance.store.database.execute("DELETE FROM node WHERE ((place + 1) << level) > ?", (size,))


def kept(instance):
    return instance.sequencer.witness.last()


def test_the_file_holds_the_last_checkpoint_and_is_private(instance):
    assert kept(instance) == instance.store.latest_checkpoint().note
    assert stat.S_IMODE(instance.sequencer.witness.path.stat().st_mode) == 0o600
    assert [file.name for file in instance.sequencer.witness.path.parent.iterdir()] == ["kept.txt"]
    assert codes(instance, kept(instance)) == []


def test_nodes_left_beyond_the_end_are_named(instance):
    cut(instance, 7, nodes=False)
    report = audit(instance.store, [instance.vkey])
    assert {reason.code for reason in report.faults} == {"audit-node-beyond"}
    assert ("audit-node-beyond", {"level": 0, "index": 7, "size": 7}) in [(r.code, dict(r.parameters)) for r in report.faults]


def test_an_end_cut_off_whole_is_shown_by_the_kept_checkpoint_alone(instance):
    cut(instance, 7, nodes=True)
    assert codes(instance) == []
    report = audit(instance.store, [instance.vkey], kept=[kept(instance)])
    assert [(r.code, dict(r.parameters)) for r in report.faults] == [("ledger-shorter-than-checkpoint", {"size": 7, "signed": 11})]


@pytest.mark.parametrize("size", [3, 7, 11])
def test_a_checkpoint_of_any_earlier_size_fits(instance, size):
    assert codes(instance, instance.store.checkpoint_covering(size - 1).note) == []


def test_a_kept_checkpoint_with_another_root_is_named(instance):
    last = instance.store.latest_checkpoint()
    key = instance.keys.signing_key("ledger")
    for size in (5, 11):
        other = sign_checkpoint(origin=ORIGIN, size=size, root=bytes(32), at=last.at, key=key)
        assert codes(instance, other.note) == ["ledger-differs-from-checkpoint"]


def test_a_kept_checkpoint_of_a_stranger_or_damaged_is_named(instance):
    last = instance.store.latest_checkpoint()
    stranger = MemoryKeys("stranger").signing_key("ledger")
    forged = sign_checkpoint(origin=ORIGIN, size=last.size, root=last.root, at=last.at, key=stranger)
    for note in (forged.note, last.note.replace("11", "12"), "", "no note", "\x00" * 50):
        assert codes(instance, note) == ["ledger-kept-checkpoint-broken"]
    instance.sequencer.witness.path.write_bytes(b"\xff" * 50)
    assert codes(instance, kept(instance)) == ["ledger-kept-checkpoint-broken"]


def test_an_emptied_ledger_of_an_instance_is_a_fault(instance):
    for table in ("entry", "node", "checkpoint"):
        instance.store.database.execute(f"DELETE FROM {table}")
    assert codes(instance, of_instance=False) == []
    assert codes(instance) == ["audit-ledger-empty"]
    instance.sequencer.witness = None
    instance.act()
    instance.sequencer.fold_all()
    assert codes(instance) == ["audit-first-entry"]


def test_nothing_is_folded_over_a_cut(instance):
    """Else the next entries would grow over the place, and the kept checkpoint would be replaced."""
    cut(instance, 7, nodes=True)
    before = kept(instance)
    for number in range(8):
        instance.act(number)
    with pytest.raises(LedgerBroken, match="ledger-shorter-than-checkpoint"):
        instance.sequencer.fold_once()
    assert (kept(instance), instance.store.size()) == (before, 7)
    instance.sequencer.witness.path.write_text(before.replace("11", "12", 1), "utf-8")
    with pytest.raises(LedgerBroken, match="ledger-kept-checkpoint-broken"):
        instance.sequencer.fold_once()


def test_an_older_kept_checkpoint_after_a_crash_is_caught_up(instance):
    older = instance.store.checkpoint_covering(0)
    instance.sequencer.witness.keep(older)
    instance.act()
    assert instance.sequencer.fold_once() == 1
    assert kept(instance) == instance.store.latest_checkpoint().note


def test_a_witness_that_cannot_write_stops_nothing(instance, monkeypatch):
    def full(checkpoint):
        raise OSError("the disk is full")

    monkeypatch.setattr(instance.sequencer.witness, "keep", full)
    instance.act()
    assert instance.sequencer.fold_once() == 1
    assert codes(instance, kept(instance)) == []


# --- entries that wait, and damaged columns


def test_pending_entries_that_cannot_be_read_are_a_fault_and_not_none(instance):
    instance.act()
    instance.store.database.execute("UPDATE entry SET at = 'never' WHERE place IS NULL")
    assert codes(instance) == ["audit-pending-unreadable"]


def test_a_pending_entry_under_another_id_is_named(instance):
    waiting = instance.act().entry
    instance.store.database.execute("UPDATE entry SET id = ? WHERE id = ?", ("ab" * 16, waiting))
    report = audit(instance.store, [instance.vkey])
    assert [(r.code, dict(r.parameters)) for r in report.faults] == [("audit-pending-fields", {"entry": "ab" * 16})]


def test_an_entry_folded_while_the_audit_looks_is_no_fault(instance):
    entry = instance.act().entry
    seen = instance.store.pending(10)
    instance.sequencer.fold_all()
    really, answers = instance.store.pending, [seen]
    instance.store.pending = lambda limit: answers.pop() if answers else really(limit)
    assert codes(instance) == []
    instance.store.pending = lambda limit: seen
    assert codes(instance) == ["audit-pending-folded"] and seen[0].entry == entry


@pytest.mark.parametrize("instant", [None, "without-zone"])
def test_a_damaged_instant_of_a_folded_entry_is_named(instance, instant):
    """Django gives None for a text that is no instant."""
    from dataclasses import replace

    stored = instance.store.entries

    def damaged(start, end):
        for place, promise in enumerate(stored(start, end), start):
            at = promise.at.replace(tzinfo=None) if instant else None
            yield replace(promise, at=at) if place == 5 else promise

    instance.store.entries = damaged
    assert codes(instance) == ["audit-entry-fields"]


def test_a_checkpoint_without_its_note_is_broken():
    store = SqliteLedgerStore()
    instance = Instance(store)
    instance.act()
    instance.sequencer.fold_all()
    from dataclasses import replace

    for note in (None, b"\xff" * 10):
        with pytest.raises(LedgerBroken):
            check_checkpoint(replace(store.latest_checkpoint(), note=note), (parse_vkey(instance.vkey),))
