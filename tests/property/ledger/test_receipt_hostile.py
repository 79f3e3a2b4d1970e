"""Whatever is handed to the verifier, it answers: it never raises, and nothing that was changed passes."""

import copy
import json
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.ledger_kit import Instance, MemoryKeys, resigned

from huitong.ledger.verify import (
    Verification,
    decode_base64,
    open_note,
    parse_checkpoint,
    parse_payload,
    parse_vkey,
    verify_receipt,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@cache
def genuine():
    """A folded receipt of a use, as text, and the key."""
    instance = Instance()
    for number in range(6):
        instance.act(number)
    ids = instance.use()
    instance.sequencer.fold_once()
    return json.dumps(instance.ledger.receipt(ids)), instance.vkey


def places(value, path=()):
    """The path of every part of a receipt."""
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from places(part, (*path, number))


def with_part(receipt, path, value):
    if not path:
        return value
    copied = copy.deepcopy(receipt)
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copied


PLACES = sorted((path for path in places(json.loads(genuine()[0])) if path), key=str)


def part_of(receipt, path):
    for name in path:
        receipt = receipt[name]
    return receipt


TEXTS = [path for path in PLACES if path != ("log_key",) and isinstance(part_of(json.loads(genuine()[0]), path), str)]


@given(anything, anything, st.none() | anything)
def test_anything_at_all_is_answered(receipt, key, result):
    found = verify_receipt(receipt, log_key=key, result=result)
    assert isinstance(found, Verification)
    assert not found.ok
    assert found.entries == ()
    assert all(detail for _, _, detail in found.steps)


@given(st.sampled_from(PLACES), anything)
def test_a_genuine_receipt_with_any_part_put_otherwise_is_answered_and_does_not_hold(path, value):
    text, key = genuine()
    receipt = json.loads(text)
    same = part_of(receipt, path) == value and type(part_of(receipt, path)) is type(value)
    harmless = path == ("log_key",)
    weaker = path in (("entries", 0, "inclusion"), ("entries", 1, "inclusion")) and value is None
    found = verify_receipt(with_part(receipt, path, value), log_key=key)
    if not (same or harmless or weaker):
        assert not found.ok
    if weaker:
        assert not found.included


@given(st.sampled_from(TEXTS), st.data())
@settings(max_examples=300)
def test_no_character_of_a_receipt_can_be_changed_unseen(path, draw):
    text, key = genuine()
    receipt = json.loads(text)
    value = part_of(receipt, path)
    place = draw.draw(st.integers(0, len(value) - 1))
    other = draw.draw(st.characters(codec="utf-8").filter(lambda character: character != value[place]))
    assert not verify_receipt(with_part(receipt, path, value[:place] + other + value[place + 1 :]), log_key=key).ok


KINDS = ["use-intent", "use-outcome", "use-refused", "x"]
USE = st.fixed_dictionaries({}, optional=dict.fromkeys(("query", "intent", "result_hash", "rows"), anything))


@given(st.dictionaries(st.text(max_size=8), anything, max_size=4) | USE, st.sampled_from(KINDS))
def test_a_body_signed_by_the_log_itself_may_hold_anything(body, kind):
    """Even a log that signs nonsense cannot make the verifier raise."""
    text, key = genuine()
    try:
        payload = json.dumps(
            {"at": "2026-03-02T01:00:00.000000Z", "body": body, "id": "ab" * 16, "kind": kind},
            ensure_ascii=False, sort_keys=True, separators=(",", ":"),
        )  # fmt: skip
        payload.encode()
    except (TypeError, ValueError):
        return
    assert isinstance(verify_receipt(resigned(json.loads(text), 0, payload, keys=MemoryKeys()), log_key=key), Verification)


@given(st.text(max_size=200))
def test_readers_of_text_raise_value_error_and_nothing_else(text):
    for read in (parse_vkey, parse_checkpoint, decode_base64, lambda note: open_note(note, [parse_vkey(genuine()[1])])):
        try:
            read(text)
        except ValueError:
            continue


@given(st.binary(max_size=200))
def test_the_reader_of_entries_raises_value_error_and_nothing_else(data):
    try:
        parse_payload(data)
    except ValueError:
        return
    raise AssertionError("random bytes are no entry")


def test_nesting_and_numbers_without_end_are_answered():
    text, key = genuine()
    deep = "[" * 100_000 + "]" * 100_000
    for body in (deep, "9" * 100_000, "1e999", "NaN", "-0"):
        payload = f'{{"at":"2026-03-02T01:00:00.000000Z","body":{{"a":{body}}},"id":"{"ab" * 16}","kind":"x"}}'
        assert not verify_receipt(resigned(json.loads(text), 0, payload), log_key=key).ok
    endless: list = []
    endless.append(endless)
    for path in PLACES:
        found = verify_receipt(with_part(json.loads(text), path, endless), log_key=key)
        assert not found.ok or path == ("log_key",)
