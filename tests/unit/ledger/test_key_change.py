"""A new key takes over: what was signed before holds, what the old key signs after its time does not."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_kit import ORIGIN, START, Instance, MemoryKeys, SqliteLedgerStore, other_key

from huitong.errors import Conflict, InputInvalid, LedgerBroken, NotFound, Unavailable
from huitong.keystore import FileKeyStore
from huitong.ledger.audit import audit
from huitong.ledger.keys import followed_keys, recorded_change
from huitong.ledger.log import Ledger, sign_promise
from huitong.ledger.note import sign_checkpoint
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.verify import parse_vkey, verify_receipt
from huitong.model.ledger import EntryKind
from huitong.testing import MemoryStores

OVERLAP = 300


def change(instance: Instance) -> None:
    with instance.store.atomic():
        instance.ledger.change_key(keystore=instance.keys, overlap_seconds=OVERLAP, body={"by": "shi", "words": "yearly"})


def codes(receipt: dict, keys: str) -> list[str]:
    return [step.code for step in verify_receipt(receipt, log_key=keys).steps if not step.ok]


@pytest.fixture
def instance() -> Instance:
    instance = Instance()
    instance.use("q-0")
    instance.clock.advance(seconds=1)
    return instance


def test_new_promises_and_checkpoints_are_signed_by_the_new_key_in_every_process(instance):
    elsewhere = Ledger(instance.store, instance.keys, instance.clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    folder = Sequencer(instance.store, instance.keys, instance.clock, origin=ORIGIN)
    first = elsewhere.vkey()
    folder.fold_all()
    change(instance)
    second = instance.ledger.vkey()
    assert second != first
    assert elsewhere.append(kind=EntryKind.OPERATOR_ACTION, body={}).key_id == parse_vkey(second).id
    folder.fold_all()
    assert parse_vkey(second).name in folder._store.latest_checkpoint().note
    assert codes(elsewhere.receipt([instance.store.entry(3).entry]), elsewhere.published_keys()) == []
    assert codes(elsewhere.receipt([instance.store.entry(3).entry]), first) == ["receipt-promise-key-unknown"]
    assert instance.store.entry(2).key_id == parse_vkey(first).id, "the old key signed the change"


def test_old_receipts_hold_after_the_change_and_after_a_second_one(instance):
    ids = [promise.entry for promise in instance.store.pending(2)]
    instance.sequencer.fold_all()
    before = instance.ledger.receipt(ids)
    for _ in range(2):
        change(instance)
        instance.sequencer.fold_all()
        instance.clock.advance(days=400)
    instance.use("q-1")
    instance.sequencer.fold_all()
    keys = instance.ledger.published_keys()
    assert codes(before, keys) == []
    assert codes(instance.ledger.receipt(ids), keys) == []
    lines = [line for line in keys.splitlines() if not line.startswith("#")]
    assert len(lines) == 3 and " until " not in lines[0] and " from " not in lines[2]


def test_a_promise_of_the_old_key_dated_after_its_time_is_refused(instance):
    old = MemoryKeys().signing_key("ledger")
    change(instance)
    keys = instance.ledger.published_keys()
    ends = instance.clock.now + timedelta(seconds=OVERLAP)

    def receipt(at):
        stolen = sign_promise(origin=ORIGIN, key=old, entry="0" * 32, kind=EntryKind.OPERATOR_ACTION, at=at, body={})
        entry = {"payload": stolen.payload.decode(), "promise": {"key": stolen.key_id, "signature": _base64(stolen.signature)}}
        return {"format": "huitong-receipt/1", "origin": ORIGIN, "entries": [{**entry, "inclusion": None}], "checkpoint": None}

    assert codes(receipt(ends - timedelta(microseconds=1)), keys) == []
    assert codes(receipt(ends), keys) == ["receipt-promise-key-not-in-force"]


def test_a_checkpoint_of_the_old_key_dated_after_its_time_is_refused(instance):
    change(instance)
    instance.sequencer.fold_all()
    receipt = instance.ledger.receipt([instance.store.entry(0).entry])
    head = instance.store.latest_checkpoint()
    old, at = MemoryKeys().signing_key("ledger"), instance.clock.now + timedelta(seconds=OVERLAP)
    receipt["checkpoint"] = sign_checkpoint(origin=ORIGIN, size=head.size, root=head.root, at=at, key=old).note
    assert codes(receipt, instance.ledger.published_keys()) == ["receipt-checkpoint-key-not-in-force"]


def test_the_sequencer_folds_nothing_of_a_key_whose_time_is_over(instance):
    change(instance)
    instance.sequencer.fold_all()
    at = instance.clock.now + timedelta(seconds=OVERLAP)
    old = MemoryKeys().signing_key("ledger")
    instance.store.add_pending(
        sign_promise(origin=ORIGIN, key=old, entry="0" * 32, kind=EntryKind.OPERATOR_ACTION, at=at, body={})
    )
    with pytest.raises(LedgerBroken) as raised:
        instance.sequencer.fold_all()
    assert raised.value.reasons[0].code == "ledger-entry-broken"


def test_the_audit_follows_the_change_from_the_first_key_alone(instance):
    first = instance.vkey
    instance.sequencer.fold_all()
    change(instance)
    instance.use("q-1")
    for trusted in ([first], list(instance.ledger.vkeys())):
        report = audit(instance.store, trusted)
        assert report.ok, report.faults
    instance.sequencer.fold_all()
    instance.clock.advance(days=1)
    change(instance)
    instance.use("q-2")
    instance.sequencer.fold_all()
    for trusted in ([first], list(instance.ledger.vkeys())):
        report = audit(instance.store, trusted)
        assert report.ok, report.faults
        assert audit(instance.store, trusted, tree_only=True).ok
    assert not audit(instance.store, [other_key()]).ok


def faults(instance: Instance, trusted: str) -> set[str]:
    return {fault.code for fault in audit(instance.store, [trusted]).faults}


def test_the_audit_names_what_was_done_to_the_table_of_changes(instance):
    first = instance.vkey
    change(instance)
    instance.use("q-1")
    instance.sequencer.fold_all()
    database = instance.store.database
    database.execute("UPDATE change SET until = '2099-01-01T00:00:00+00:00'")
    assert faults(instance, first) == {"audit-key-change-altered"}
    with pytest.raises(LedgerBroken, match="ledger-key-change-broken"):
        Ledger(instance.store, instance.keys, instance.clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300).vkeys()
    database.execute("UPDATE change SET entry = ?", (instance.store.entry(0).entry,))
    assert "audit-key-change-unrecorded" in faults(instance, first)
    database.execute("DELETE FROM change")
    assert {"audit-key-change-missing", "audit-entry-key-unknown"} <= faults(instance, first)


def test_a_change_that_is_rolled_back_leaves_the_old_key(instance):
    first = instance.vkey
    with pytest.raises(RuntimeError), instance.store.atomic():
        instance.ledger.change_key(keystore=instance.keys, overlap_seconds=OVERLAP, body={})
        raise RuntimeError("the machine stops")
    assert instance.ledger.vkey() == first
    change(instance)
    assert instance.ledger.vkey() != first


def test_of_two_changes_at_once_one_is_made():
    stores, keys = MemoryStores(), MemoryKeys()
    ledger = Ledger(stores.ledger, keys, lambda: START, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    made = ledger.change_key(keystore=keys, overlap_seconds=OVERLAP, body={})
    with pytest.raises(Conflict):
        stores.ledger.add_key_change(replace(made, entry="0" * 32))


def test_the_key_file_is_on_the_disk_before_the_ledger_names_it_and_a_left_over_one_is_taken(tmp_path):
    class Stops(SqliteLedgerStore):
        def add_pending(self, promise):
            raise KeyboardInterrupt

    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create(["ledger"])
    clock = Instance().clock

    def opened(store):
        return Ledger(store, FileKeyStore(tmp_path / "keys"), clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)

    with pytest.raises(KeyboardInterrupt):
        opened(Stops(tmp_path / "l")).change_key(keystore=keystore, overlap_seconds=OVERLAP, body={})
    left = (tmp_path / "keys" / "ledger-2.key").read_bytes()
    store = SqliteLedgerStore(tmp_path / "l")
    ledger = opened(store)
    first = ledger.append(kind=EntryKind.OPERATOR_ACTION, body={})
    assert first.key_id == parse_vkey(ledger.vkey()).id
    made = ledger.change_key(keystore=keystore, overlap_seconds=OVERLAP, body={})
    assert (tmp_path / "keys" / "ledger-2.key").read_bytes() == left
    assert ledger.append(kind=EntryKind.OPERATOR_ACTION, body={}).key_id == parse_vkey(made.vkey).id
    (tmp_path / "keys" / "ledger-2.key").unlink()
    with pytest.raises(NotFound):
        opened(store).append(kind=EntryKind.OPERATOR_ACTION, body={})
    FileKeyStore(tmp_path / "keys").create(["ledger-2"])
    with pytest.raises(Unavailable):
        opened(store).append(kind=EntryKind.OPERATOR_ACTION, body={})


# --- who trusts the key before follows the signed change


def test_published_keys_lead_from_the_first_key_to_the_present_one(instance):
    first = instance.vkey
    for _ in range(3):
        change(instance)
        instance.clock.advance(days=365)
    published = instance.ledger.published_keys()
    assert tuple(key.line for key in followed_keys(published, trusted=first)) == instance.ledger.vkeys()


def test_a_stranger_leads_nowhere(instance):
    first = instance.vkey
    stranger = Instance(keys="stranger")
    change(stranger)
    forged = stranger.ledger.published_keys()
    assert [key.text for key in followed_keys(forged, trusted=first)] == [first]
    change(instance)
    mixed = forged + instance.ledger.published_keys().replace("# changed-by ", "# changed-by 0", 1)
    assert [key.text for key in followed_keys(mixed, trusted=first)] == [first]


def test_a_retired_key_names_no_new_one_after_its_time(instance):
    first = instance.vkey
    change(instance)
    trusted = "\n".join(instance.ledger.vkeys())
    thief = Instance(keys="first")
    thief.clock.now = instance.clock.now + timedelta(seconds=OVERLAP)
    thief.keys.signing_key = lambda name: MemoryKeys("first" if name == "ledger" else "thief").signing_key(name)
    change(thief)
    assert followed_keys(thief.ledger.published_keys(), trusted=first)[0].text == thief.vkey, "from the first key alone it cannot be seen"
    assert followed_keys(thief.ledger.published_keys(), trusted=trusted)[0].text == instance.vkey


@pytest.mark.parametrize("line", ["", "# changed-by", "# changed-by a b c", "# changed-by 1 2 3 4", "x" * 5000, "# changed-by  = ="])
def test_unreadable_published_lines_are_passed_over(instance, line):
    first = instance.vkey
    assert [key.text for key in followed_keys(line + "\n" + first, trusted=first)] == [first]


def test_an_entry_of_another_kind_or_another_signer_is_no_change(instance):
    change(instance)
    promise = instance.store.pending(3)[2]
    assert recorded_change(promise) is not None
    assert recorded_change(replace(promise, key_id="00000000")) is None
    assert recorded_change(instance.store.pending(1)[0]) is None
    told = json.loads(promise.payload)
    told["body"]["until"] = "2099-01-01T00:00:00.000000Z"
    assert recorded_change(replace(promise, payload=json.dumps(told, sort_keys=True, separators=(",", ":")).encode())) is None


@pytest.mark.parametrize(
    "tail",
    [
        " until",
        " from x",
        " x y",
        " from 2026-03-02T01:00:00Z",
        "  from 2026-03-02T01:00:00.000000Z",
        " from 2026-03-02T01:00:00.000000Z from 2026-03-02T01:00:00.000000Z",
        " until 2026-03-02T01:00:00.000000Z from 2026-03-02T01:00:00.000000Z",
    ],
)
def test_the_time_of_a_key_has_one_form(instance, tail):
    with pytest.raises(ValueError, match=r"key|instant"):
        parse_vkey(instance.vkey + tail)
    with pytest.raises(InputInvalid):
        audit(instance.store, [instance.vkey + tail])
    line = instance.vkey + " from 2026-03-02T01:00:00.000000Z until 2026-03-03T01:00:00.000000Z"
    assert parse_vkey(line).line == line


def _base64(value: bytes) -> str:
    import base64

    return base64.b64encode(value).decode()
