"""The ledger's whole life on each store that needs no server: what it asks of a store is what these stores do."""

import pytest
from ledger_kit import ORIGIN, MemoryKeys, SqliteLedgerStore, StillClock, intent_body, outcome_body

from huitong.ledger.audit import audit
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.verify import verify_receipt
from huitong.model.ledger import EntryKind
from huitong.testing import MemoryStores


@pytest.mark.parametrize("make", [SqliteLedgerStore, lambda: MemoryStores().ledger], ids=["sqlite", "memory"])
def test_from_promise_to_audit(make):
    store, keys, clock = make(), MemoryKeys(), StillClock()
    ledger = Ledger(store, keys, clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    sequencer = Sequencer(store, keys, clock, origin=ORIGIN, batch=7)
    uses = []
    for number in range(10):
        intent = ledger.append(kind=EntryKind.USE_INTENT, body=intent_body(f"q-{number}")).entry
        clock.advance(seconds=0.1)
        outcome = ledger.append(kind=EntryKind.USE_OUTCOME, body=outcome_body(f"q-{number}", intent)).entry
        uses.append((intent, outcome))
        if number % 3 == 2:
            sequencer.fold_once()
    for use in uses:
        assert verify_receipt(ledger.receipt(use), log_key=ledger.vkey(), result=b"rows").ok
    sequencer.fold_all()
    for use in uses:
        found = verify_receipt(ledger.receipt(use), log_key=ledger.vkey(), result=b"rows", require_inclusion=True)
        assert found.ok, [step.detail for step in found.steps]
    report = audit(store, ledger.vkeys())
    assert report.ok
    assert (report.size, report.pending, report.open_uses) == (20, 0, 0)
    assert ledger.status().size == 20
