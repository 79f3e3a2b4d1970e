"""The audit finds what was changed and names it."""

from datetime import timedelta

import pytest
from ledger_kit import START, Instance, SqliteLedgerStore, intent_body

from huitong.errors import InputInvalid
from huitong.ledger.audit import audit
from huitong.ledger.log import sign_promise
from huitong.ledger.note import sign_checkpoint
from huitong.model.ledger import EntryKind


@pytest.fixture
def instance():
    """Eleven entries under three checkpoints (3, 7 and 11 entries) and two that wait."""
    made = Instance()
    for size in (3, 4, 4):
        for number in range(size):
            made.clock.advance(seconds=1)
            made.act(number)
        made.sequencer.fold_once()
    made.act(98)
    made.act(99)
    return made


def found(instance, **more):
    return [(reason.code, dict(reason.parameters)) for reason in audit(instance.store, [instance.vkey], **more).faults]


def codes(instance, **more):
    return [code for code, _ in found(instance, **more)]


def change(instance, statement, *values):
    done = instance.store.database.execute(statement, values)
    assert done.rowcount, "the test changed nothing"


def test_a_sound_ledger_has_no_fault(instance):
    seen = []
    report = audit(instance.store, [instance.vkey], progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert (report.size, report.pending, report.checkpoints, report.open_uses) == (11, 2, 3, 0)
    assert seen[-1] == (11, 11)


def test_an_empty_ledger_has_no_fault():
    assert audit(SqliteLedgerStore(), [Instance().vkey]).ok


def test_an_audit_needs_a_key(instance):
    for keys in ([], ["no key"]):
        with pytest.raises(InputInvalid, match="ledger-key-invalid"):
            audit(instance.store, keys)


def test_a_changed_entry_is_named(instance):
    entry = instance.store.entry(5).entry
    change(instance, "UPDATE entry SET payload = CAST(replace(payload, 'checked', 'chucked') AS BLOB) WHERE place = 5")
    assert found(instance) == [("audit-entry-changed", {"entry": entry, "index": 5})]
    assert codes(instance, tree_only=True) == ["audit-entry-replaced"]


def test_a_changed_signature_is_named(instance):
    entry = instance.store.entry(5).entry
    change(instance, "UPDATE entry SET signature = zeroblob(64) WHERE place = 5")
    assert found(instance) == [("audit-signature-changed", {"entry": entry, "index": 5})]


def test_a_changed_key_id_is_named(instance):
    change(instance, "UPDATE entry SET key = '00000000' WHERE place = 5")
    assert codes(instance) == ["audit-entry-key-unknown", "audit-signature-changed"]


@pytest.mark.parametrize("column", ["id = '" + "ab" * 16 + "'", "kind = 'grant-made'", "at = '2026-03-02T01:00:00.000001+00:00'"])
def test_a_changed_column_beside_the_signed_text_is_named(instance, column):
    change(instance, f"UPDATE entry SET {column} WHERE place = 5")
    assert codes(instance) == ["audit-entry-fields"]


NODES = [(0, 4, 4, 4), (1, 2, 4, 5), (2, 1, 4, 7), (3, 0, 0, 7), (0, 10, 10, 10)]
NOTE_CHANGES = ["root = zeroblob(32)", "at = '2026-03-02T02:00:00+00:00'", "origin = 'other'", "note = 'x' || note"]


@pytest.mark.parametrize(("level", "index", "start", "end"), NODES)
def test_a_changed_or_missing_node_is_named_and_nothing_else(instance, level, index, start, end):
    named = {"level": level, "index": index, "start": start, "end": end}
    change(instance, "UPDATE node SET hash = zeroblob(32) WHERE level = ? AND place = ?", level, index)
    assert found(instance) == [("audit-node-changed", named)]
    change(instance, "DELETE FROM node WHERE level = ? AND place = ?", level, index)
    assert found(instance) == [("audit-node-missing", named)]


@pytest.mark.parametrize("size", [3, 7, 11])
@pytest.mark.parametrize("column", NOTE_CHANGES)
def test_a_changed_checkpoint_is_named(instance, size, column):
    change(instance, f"UPDATE checkpoint SET {column} WHERE size = ?", size)
    named = found(instance)
    assert named[0] == ("audit-checkpoint-changed", {"size": size})
    assert [code for code, _ in named[1:]] == (["audit-checkpoint-missing"] if size == 11 else [])


@pytest.mark.parametrize("claimed", [5, 12, 1000])
def test_a_checkpoint_that_claims_another_size_is_named(instance, claimed):
    change(instance, "UPDATE checkpoint SET size = ? WHERE size = 7", claimed)
    assert ("audit-checkpoint-changed", {"size": claimed}) in found(instance)


def test_a_checkpoint_left_out_on_purpose_is_no_fault_but_the_last_one_is_missed(instance):
    change(instance, "DELETE FROM checkpoint WHERE size = 7")
    assert codes(instance) == []
    change(instance, "DELETE FROM checkpoint WHERE size = 11")
    assert found(instance) == [("audit-checkpoint-missing", {"size": 11, "signed": 3})]


def test_entries_that_changed_places_are_named(instance):
    for place, other in ((5, 100), (6, 5), (100, 6)):
        change(instance, "UPDATE entry SET place = ? WHERE place = ?", other, place)
    instance.store.size = lambda: 11
    assert codes(instance) == ["audit-entry-replaced", "audit-entry-replaced"]


def test_an_entry_rewritten_and_signed_anew_by_the_keys_owner_is_named(instance):
    """Whoever holds the key can sign a promise again, but not a checkpoint that others have seen."""
    old = instance.store.entry(5)
    key = instance.keys.signing_key("ledger")
    new = sign_promise(origin="data.example/ledger", key=key, entry=old.entry, kind=old.kind, at=old.at, body={"number": 7})
    change(instance, "UPDATE entry SET payload = ?, signature = ? WHERE place = 5", new.payload, new.signature)
    assert found(instance) == [("audit-entry-replaced", {"entry": old.entry, "index": 5})]


def test_a_rewritten_tree_does_not_fit_what_was_signed(instance):
    """Even with every node computed anew, the checkpoint shows between which sizes the lie begins."""
    from huitong.ledger.merkle import Frontier
    from huitong.ledger.verify import leaf_hash

    old = instance.store.entry(5)
    key = instance.keys.signing_key("ledger")
    new = sign_promise(origin="data.example/ledger", key=key, entry=old.entry, kind=old.kind, at=old.at, body={"number": 7})
    change(instance, "UPDATE entry SET payload = ?, signature = ? WHERE place = 5", new.payload, new.signature)
    frontier = Frontier()
    for promise in instance.store.entries(0, 11):
        for level, index, value in frontier.append(leaf_hash(promise.payload)):
            change(instance, "UPDATE node SET hash = ? WHERE level = ? AND place = ?", value, level, index)
    assert found(instance) == [("audit-checkpoint-differs", {"size": 7, "good": 3})]


def test_an_entry_taken_out_is_named(instance):
    change(instance, "DELETE FROM entry WHERE place = 5")
    assert found(instance) == [("audit-entry-missing", {"index": 5})]


def test_the_last_entries_cannot_be_cut_off_unseen(instance):
    change(instance, "DELETE FROM entry WHERE place >= 9")
    assert "audit-checkpoint-changed" in codes(instance)


def test_an_entry_that_cannot_even_be_read_is_named(instance):
    change(instance, "UPDATE entry SET kind = 'no-such-kind' WHERE place = 5")
    assert found(instance) == [("audit-entry-missing", {"index": 5})]


def test_a_changed_pending_entry_is_named(instance):
    waiting = instance.store.pending(1)[0].entry
    change(instance, "UPDATE entry SET signature = zeroblob(64) WHERE id = ?", waiting)
    assert found(instance) == [("audit-pending-changed", {"entry": waiting})]


def test_two_faults_in_one_stretch_are_both_named(instance):
    change(instance, "UPDATE entry SET payload = CAST(replace(payload, 'checked', 'chucked') AS BLOB) WHERE place = 4")
    change(instance, "UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND place = 6")
    assert codes(instance) == ["audit-entry-changed", "audit-node-changed"]


def test_a_changed_signature_and_a_changed_leaf_of_one_entry_are_both_named(instance):
    entry = instance.store.entry(5).entry
    change(instance, "UPDATE entry SET signature = zeroblob(64) WHERE place = 5")
    change(instance, "UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND place = 5")
    assert found(instance) == [
        ("audit-signature-changed", {"entry": entry, "index": 5}),
        ("audit-node-changed", {"level": 0, "index": 5, "start": 5, "end": 5}),
    ]


@pytest.mark.parametrize(
    ("size", "seconds"),
    [(3, 2), (11, 10)],
    ids=["before its own entries", "before its own entries, after the checkpoint before"],
)
def test_a_checkpoint_dated_before_what_it_covers_is_named(instance, size, seconds):
    redate(instance, size, seconds)
    assert found(instance) == [("audit-checkpoint-order", {"size": size})]


def test_a_checkpoint_dated_before_the_one_before_is_named(instance):
    redate(instance, 7, 60)
    assert found(instance) == [("audit-checkpoint-order", {"size": 11})]


def redate(instance, size, seconds):
    """Date a checkpoint so many seconds after the start and sign it anew, as only the key's owner can."""
    old = instance.store.checkpoint_covering(size - 1)
    at = START + timedelta(seconds=seconds)
    new = sign_checkpoint(origin=old.origin, size=size, root=old.root, at=at, key=instance.keys.signing_key("ledger"))
    written = at.isoformat(timespec="microseconds")
    change(instance, "UPDATE checkpoint SET at = ?, note = ? WHERE size = ?", written, new.note, size)


def test_a_ledger_broken_everywhere_gives_a_list_that_ends():
    from huitong.ledger.audit import MAXIMUM_FAULTS

    made = Instance()
    made.ledger.append_all([(EntryKind.OPERATOR_ACTION, {"number": 1})] * (MAXIMUM_FAULTS + 5))
    made.sequencer.fold_once()
    change(made, "UPDATE entry SET signature = zeroblob(64)")
    report = audit(made.store, [made.vkey])
    assert (report.ok, len(report.faults), report.unlisted) == (False, MAXIMUM_FAULTS, 5)


def test_a_database_that_went_away_is_an_error_and_not_a_finding(instance):
    def gone(*_):
        raise ConnectionError("the database went away")

    instance.store.entries, instance.store.entry, size = gone, gone, instance.store.size
    asked = []
    instance.store.size = lambda: asked.append(1) or (size() if len(asked) == 1 else gone())
    with pytest.raises(ConnectionError):
        audit(instance.store, [instance.vkey])


def test_the_same_entry_folded_twice_is_named(instance):
    from huitong.ledger.sequencer import Sequencer

    first = instance.store.entry(2)
    stored, pending = instance.store.entries, instance.store.pending
    Sequencer(instance.store, instance.keys, instance.clock, origin="data.example/ledger").fold_all()
    copies = {12: first}
    instance.store.entries = lambda start, end: (copies.get(start + i, p) for i, p in enumerate(stored(start, end)))
    instance.store.pending = pending
    assert ("audit-entry-twice", {"entry": first.entry, "first": 2, "index": 12}) in found(instance)


def test_an_entry_dated_back_is_named(instance):
    late = instance.store.last_instant
    instance.store.last_instant = lambda: None
    instance.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={}, at=START)
    instance.store.last_instant = late
    instance.sequencer.fold_all()
    assert codes(instance) == []
    assert codes(instance, order_seconds=5) == ["audit-entry-order"]


def test_uses_without_an_outcome_are_counted_and_outcomes_without_an_intent_are_named(instance):
    instance.use("q-1")
    instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body("q-2"))
    instance.sequencer.fold_all()
    report = audit(instance.store, [instance.vkey])
    assert (report.ok, report.open_uses) == (True, 1)
    instance.ledger.append(kind=EntryKind.USE_OUTCOME, body={"query": "q-3", "intent": "00" * 16})
    instance.sequencer.fold_all()
    assert codes(instance) == ["audit-outcome-without-intent"]
