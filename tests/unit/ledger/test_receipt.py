"""A receipt proves a use to someone who trusts nothing but the log's key."""

import base64
import copy
import json
from datetime import timedelta

import pytest
from ledger_kit import ORIGIN, START, Instance, intent_body, other_key, outcome_body, resigned

from huitong.errors import NotFound
from huitong.ledger.note import sign_checkpoint, sign_note
from huitong.ledger.verify import canonical_json, verify_receipt
from huitong.model.ledger import EntryKind


def verdict(receipt, log_key, **more):
    """Codes of the steps that failed; empty if the receipt holds."""
    found = verify_receipt(receipt, log_key=log_key, **more)
    failed = [step.code for step in found.steps if not step.ok]
    assert found.ok == (not failed)
    return failed


@pytest.fixture
def instance():
    return Instance()


@pytest.fixture
def folded(instance):
    for number in range(5):
        instance.act(number)
    ids = instance.use()
    instance.sequencer.fold_once()
    return instance.ledger.receipt(ids)


def test_a_receipt_holds_at_once_by_the_promise_of_the_log(instance):
    receipt = instance.ledger.receipt(instance.use())
    found = verify_receipt(receipt, log_key=instance.vkey)
    assert found.ok
    assert not found.included
    assert receipt["checkpoint"] is None
    assert [name for name, ok, detail in found.steps] == [
        "format", "key", "promise", "promise", "inclusion", "inclusion", "use",
    ]  # fmt: skip


def test_a_receipt_holds_after_folding_by_its_place_in_the_tree(instance, folded):
    found = verify_receipt(folded, log_key=instance.vkey, require_inclusion=True)
    assert found.ok
    assert found.included
    assert [entry["kind"] for entry in found.entries] == ["use-intent", "use-outcome"]
    assert found.entries[0]["body"]["purpose"] == "subsidy-check"


def test_a_receipt_of_which_only_the_intent_is_folded_holds(instance):
    intent = instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body()).entry
    instance.sequencer.fold_once()
    outcome = instance.ledger.append(kind=EntryKind.USE_OUTCOME, body=outcome_body("q-1", intent)).entry
    receipt = instance.ledger.receipt([intent, outcome])
    found = verify_receipt(receipt, log_key=instance.vkey)
    assert found.ok
    assert not found.included
    assert verdict(receipt, instance.vkey, require_inclusion=True) == ["receipt-inclusion-required"]


def test_a_receipt_stays_the_same_while_the_log_grows(instance, folded):
    ids = [json.loads(entry["payload"])["id"] for entry in folded["entries"]]
    for number in range(20):
        instance.act(number)
        instance.sequencer.fold_once()
    assert instance.ledger.receipt(ids) == folded


def test_every_place_of_a_growing_log_can_be_proved(instance):
    entries = []
    for size in range(1, 20):
        entries += [instance.act(number).entry for number in range(size % 4 + 1)]
        instance.sequencer.fold_once()
    for entry in entries:
        assert verify_receipt(instance.ledger.receipt([entry]), log_key=instance.vkey).included


def test_an_unknown_entry_has_no_receipt(instance):
    with pytest.raises(NotFound, match="ledger-entry-unknown"):
        instance.ledger.receipt(["00" * 16])


def test_the_delivered_bytes_are_recognised(instance, folded):
    assert verdict(folded, instance.vkey, result=b"rows") == []
    assert verdict(folded, instance.vkey, result=b"Rows") == ["receipt-result-differs"]
    assert verdict(folded, instance.vkey, result=b"") == ["receipt-result-differs"]


def test_a_receipt_without_an_outcome_vouches_for_no_result(instance):
    intent = instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body()).entry
    receipt = instance.ledger.receipt([intent])
    assert verdict(receipt, instance.vkey) == []
    assert verdict(receipt, instance.vkey, result=b"rows") == ["receipt-result-unknown"]


# --- the key comes from outside


@pytest.mark.parametrize("key", ["", "\n# nothing\n", None, 7])
def test_without_a_trusted_key_nothing_holds(folded, key):
    assert verdict(folded, key) == ["receipt-key-missing"]


def test_the_key_inside_a_receipt_is_never_trusted(instance, folded):
    """A stranger signs everything with a key of their own and puts that key into the receipt."""
    forged = Instance(keys="stranger")
    receipt = forged.ledger.receipt(forged.use())
    assert verdict(receipt, receipt["log_key"]) == []
    assert verdict(receipt, instance.vkey) == ["receipt-promise-key-unknown"]


def test_a_key_of_the_same_log_by_someone_else_does_not_fit(folded):
    assert verdict(folded, other_key()) == ["receipt-promise-key-unknown"]


def test_a_key_of_another_log_does_not_fit(folded):
    peter = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert verdict(folded, peter) == ["receipt-key-of-another-log"]
    assert verdict(folded, "no key at all") == ["receipt-key-broken"]


def test_a_receipt_from_before_a_change_of_key_holds_with_both_keys(instance, folded):
    after = Instance(instance.store, keys="second", earlier=[instance.vkey])
    after.clock.now = instance.clock.now + timedelta(seconds=1)
    promised = after.use("q-2")
    both = "\n".join(after.ledger.vkeys())
    assert verdict(folded, both) == []
    assert verdict(after.ledger.receipt(promised), both) == []
    assert verdict(after.ledger.receipt(promised), instance.vkey) == ["receipt-promise-key-unknown"]


def test_a_promise_of_the_old_key_under_a_checkpoint_of_the_new_key_holds(instance):
    ids = instance.use()
    after = Instance(instance.store, keys="second", earlier=[instance.vkey])
    after.clock.now = instance.clock.now
    after.sequencer.fold_once()
    receipt = after.ledger.receipt(ids)
    assert verdict(receipt, "\n".join(after.ledger.vkeys())) == []
    assert verdict(receipt, instance.vkey) == ["receipt-checkpoint-broken"]


# --- the entries tell one story


def pending_use(instance, *, query="q-1", intent=None, kind=EntryKind.USE_OUTCOME, body=None):
    first = instance.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body()).entry
    told = outcome_body(query, intent or first) if body is None else body(first)
    return [first, instance.ledger.append(kind=kind, body=told).entry]


def test_an_outcome_of_another_query_is_found(instance):
    assert verdict(instance.ledger.receipt(pending_use(instance, query="q-2")), instance.vkey) == ["receipt-use-query-differs"]


def test_an_outcome_of_another_intent_is_found(instance):
    receipt = instance.ledger.receipt(pending_use(instance, intent="ab" * 16))
    assert verdict(receipt, instance.vkey) == ["receipt-use-intent-differs"]


def test_an_outcome_alone_is_not_a_proved_use(instance):
    _, outcome = instance.use()
    assert verdict(instance.ledger.receipt([outcome]), instance.vkey) == ["receipt-use-intent-differs"]


def test_two_uses_in_one_receipt_are_found(instance):
    receipt = instance.ledger.receipt([*instance.use("q-1"), *instance.use("q-2")])
    assert verdict(receipt, instance.vkey) == ["receipt-use-several"]


def test_the_same_entry_twice_is_found(instance):
    intent, _ = instance.use()
    assert verdict(instance.ledger.receipt([intent, intent]), instance.vkey) == ["receipt-entry-twice"]


def test_a_refused_use_is_proved_too(instance):
    def refused(intent):
        return {"query": "q-1", "intent": intent, "reasons": ["query-time-limit"]}

    body = {"query": "q-9", "actor": "li.na", "office": "x", "purpose": "p", "reasons": ["grant-missing"]}
    alone = instance.ledger.append(kind=EntryKind.USE_REFUSED, body=body)
    assert verdict(instance.ledger.receipt([alone.entry]), instance.vkey) == []
    after_intent = pending_use(instance, kind=EntryKind.USE_REFUSED, body=refused)
    found = verify_receipt(instance.ledger.receipt(after_intent), log_key=instance.vkey)
    assert found.ok
    assert found.steps[-1].code == "receipt-use-refused"


def test_a_failed_use_is_proved_and_vouches_for_no_result(instance):
    def failed(intent):
        return {"query": "q-1", "intent": intent, "failure": "query-time-limit", "duration_bucket": "10s"}

    receipt = instance.ledger.receipt(pending_use(instance, body=failed))
    found = verify_receipt(receipt, log_key=instance.vkey)
    assert found.ok
    told = "The entries tell one use that failed (query-time-limit): query q-1. No result was delivered."
    assert found.steps[-1].detail == told
    assert verdict(receipt, instance.vkey, result=b"rows") == ["receipt-result-unknown"]


def test_a_use_cannot_both_fail_and_deliver(instance):
    receipt = instance.ledger.receipt(pending_use(instance, body=lambda intent: {**outcome_body("q-1", intent), "failure": "x"}))
    assert verdict(receipt, instance.vkey) == ["receipt-use-broken"]


def test_an_outcome_before_its_intent_is_found(instance):
    first, last = instance.use()
    receipt = instance.ledger.receipt([first, last])
    fields = json.loads(receipt["entries"][1]["payload"])
    fields["at"] = "2026-03-01T00:00:00.000000Z"
    assert verdict(resigned(receipt, 1, canonical_json(fields).decode()), instance.vkey) == ["receipt-use-order"]


@pytest.mark.parametrize("missing", ["query", "intent", "result_hash"])
def test_an_outcome_that_leaves_out_what_it_must_say_is_found(instance, missing):
    def without(intent):
        return {name: value for name, value in outcome_body("q-1", intent).items() if name != missing}

    assert verdict(instance.ledger.receipt(pending_use(instance, body=without)), instance.vkey) == ["receipt-use-broken"]


def test_a_receipt_of_other_acts_says_that_it_tells_no_use(instance):
    found = verify_receipt(instance.ledger.receipt([instance.act().entry]), log_key=instance.vkey)
    assert found.ok
    assert found.steps[-1].code == "receipt-use-none"


# --- changed receipts


def changed(receipt, *path, value):
    copied = copy.deepcopy(receipt)
    place = copied
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return copied


def flip_hash(text):
    raw = bytearray(base64.b64decode(text))
    raw[0] ^= 1
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("format",), "huitong-receipt/2", "receipt-format-broken"),
        (("origin",), "other.example/ledger", "receipt-key-of-another-log"),
        (("entries",), [], "receipt-format-broken"),
        (("entries", 0, "payload"), lambda text: text.replace("li.na", "li.no"), "receipt-promise-broken"),
        (("entries", 0, "payload"), lambda text: text.replace(":", ": ", 1), "receipt-entry-broken"),
        (("entries", 0, "payload"), lambda text: text[:-1] + ',"kind":"use-intent"}', "receipt-entry-broken"),
        (("entries", 0, "promise", "signature"), flip_hash, "receipt-promise-broken"),
        (("entries", 0, "promise", "key"), "00000000", "receipt-promise-key-unknown"),
        (("entries", 0, "promise", "key"), None, "receipt-format-broken"),
        (("entries", 0, "promise"), None, "receipt-format-broken"),
        (("entries", 0, "inclusion", "index"), 4, "receipt-inclusion-broken"),
        (("entries", 0, "inclusion", "index"), True, "receipt-inclusion-broken"),
        (("entries", 0, "inclusion", "size"), 8, "receipt-inclusion-broken"),
        (("entries", 0, "inclusion", "path", 1), flip_hash, "receipt-inclusion-broken"),
        (("entries", 0, "inclusion", "path"), lambda path: path[:-1], "receipt-inclusion-broken"),
        (("entries", 0, "inclusion", "path"), lambda path: [*path, path[0]], "receipt-inclusion-broken"),
        (("checkpoint",), lambda note: note.replace("\n7\n", "\n8\n"), "receipt-checkpoint-broken"),
        (("checkpoint",), lambda note: note.replace("at 2026", "at 2027"), "receipt-checkpoint-broken"),
        (("checkpoint",), "", "receipt-checkpoint-broken"),
        (("checkpoint",), None, "receipt-inclusion-broken"),
    ],
)
def test_a_changed_receipt_does_not_hold(instance, folded, path, value, code):
    assert verdict(folded, instance.vkey) == []
    assert code in verdict(changed(folded, *path, value=value), instance.vkey)


def test_a_checkpoint_dated_before_the_entry_that_it_covers_is_found(instance, folded):
    head = instance.ledger.checkpoint()
    early = sign_checkpoint(
        origin=ORIGIN, size=head.size, root=head.root, at=START - timedelta(days=1), key=instance.keys.signing_key("ledger")
    )
    assert verdict(changed(folded, "checkpoint", value=early.note), instance.vkey) == ["receipt-inclusion-broken"] * 2


def test_a_checkpoint_of_another_log_signed_by_the_same_key_is_found(instance, folded):
    text = folded["checkpoint"].split("\n\n")[0].replace(ORIGIN, "other.example/ledger") + "\n"
    note = sign_note(text, origin=ORIGIN, key=instance.keys.signing_key("ledger"))
    assert verdict(changed(folded, "checkpoint", value=note), instance.vkey) == ["receipt-checkpoint-broken"]


def test_an_entry_cannot_borrow_the_place_of_another(instance, folded):
    swapped = changed(folded, "entries", 0, "inclusion", value=folded["entries"][1]["inclusion"])
    assert verdict(swapped, instance.vkey) == ["receipt-inclusion-broken"]


def test_words_of_strangers_cannot_play_with_the_terminal(instance):
    receipt = {"format": "huitong-receipt/1", "origin": "evil\x1b[2J", "entries": [{}], "checkpoint": None}
    found = verify_receipt(receipt, log_key=instance.vkey)
    assert not found.ok
    assert all(detail.isprintable() for _, _, detail in found.steps)


def test_a_receipt_for_another_log_by_the_same_key_is_not_taken(instance, folded):
    """The origin is part of what a promise signs, so renaming the log in a receipt does not help."""
    renamed = "renamed.example/ledger"
    receipt = changed(folded, "origin", value=renamed)
    from huitong.ledger.verify import VerifierKey, parse_vkey

    key = VerifierKey(renamed, parse_vkey(instance.vkey).public)
    for entry in receipt["entries"]:
        entry["promise"]["key"] = key.id
    assert verdict(receipt, key.text) == ["receipt-promise-broken"]
