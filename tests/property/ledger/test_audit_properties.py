"""Any changed byte of any entry, node, signature or checkpoint is found by the audit, and named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.ledger_kit import Instance

from huitong.ledger.audit import audit

SIZES = (2, 5, 1)
BYTES = [("entry", "payload"), ("entry", "signature"), ("node", "hash"), ("checkpoint", "root"), ("checkpoint", "note")]


def built():
    instance = Instance()
    for size in SIZES:
        for number in range(size - 2):
            instance.act(number)
        if size > 1:
            instance.use(f"q-{size}")
        else:
            instance.act()
        instance.sequencer.fold_once()
    return instance


def named_by(instance, table, column, row):
    """What a fault must name when this row was changed."""
    if table == "entry":
        return lambda fault: fault.code.startswith(("audit-entry-", "audit-signature-")) and fault.parameters["index"] == row[0]
    if table == "node":
        return lambda fault: fault.code == "audit-node-changed" and (fault.parameters["level"], fault.parameters["index"]) == row
    return lambda fault: fault.code == "audit-checkpoint-changed" and fault.parameters["size"] == row[0]


def rows(instance, table, column):
    keys = {"entry": "place", "node": "level, place", "checkpoint": "size"}[table]
    found = instance.store.database.execute(f"SELECT {column}, {keys} FROM {table}").fetchall()
    return [(value.encode() if isinstance(value, str) else value, tuple(key)) for value, *key in found]


def with_byte(instance, table, column, row, value):
    condition = {"entry": "place = ?", "node": "level = ? AND place = ?", "checkpoint": "size = ?"}[table]
    kept = value.decode("utf-8", "replace") if column == "note" else value
    instance.store.database.execute(f"UPDATE {table} SET {column} = ? WHERE {condition}", (kept, *row))


def check_one(instance, table, column, row, value, place, bit):
    changed = bytearray(value)
    changed[place] ^= 1 << bit
    with_byte(instance, table, column, row, bytes(changed))
    faults = audit(instance.store, [instance.vkey]).faults
    with_byte(instance, table, column, row, value)
    assert any(map(named_by(instance, table, column, row), faults)), (table, column, row, place, bit, faults)
    assert len([fault for fault in faults if fault.code not in ("audit-checkpoint-missing", "audit-outcome-without-intent")]) == 1


@pytest.fixture(scope="module")
def instance():
    made = built()
    assert audit(made.store, [made.vkey]).ok
    return made


@given(draw=st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_bit_anywhere_is_found_and_named(instance, draw):
    table, column = draw.draw(st.sampled_from(BYTES))
    value, row = draw.draw(st.sampled_from(rows(instance, table, column)))
    check_one(instance, table, column, row, value, draw.draw(st.integers(0, len(value) - 1)), draw.draw(st.integers(0, 7)))


@pytest.mark.slow
def test_every_byte_of_the_ledger_counts(instance):
    count = 0
    for table, column in BYTES:
        for value, row in rows(instance, table, column):
            for place in range(len(value)):
                check_one(instance, table, column, row, value, place, (place + count) % 8)
                count += 1
    assert count > 3000


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12))
@settings(max_examples=40, deadline=None)
def test_however_entries_and_foldings_mix_the_ledger_is_whole_and_every_receipt_holds(steps):
    from huitong.ledger.verify import verify_receipt

    instance, written = Instance(), []
    for number, fold in steps:
        written += [instance.act(n).entry for n in range(number)]
        if fold:
            instance.sequencer.fold_once()
        instance.clock.advance(seconds=1)
    folded = instance.store.size()
    assert [promise.entry for promise in instance.store.entries(0, folded)] == written[:folded]
    report = audit(instance.store, [instance.vkey])
    assert report.ok
    assert report.size + report.pending == len(written)
    for place, entry in enumerate(written):
        found = verify_receipt(instance.ledger.receipt([entry]), log_key=instance.vkey)
        assert found.ok
        assert found.included == (place < folded)
