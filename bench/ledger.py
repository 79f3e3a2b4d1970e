"""How fast the ledger takes entries durably, folds, proves and audits; the baseline is the same database without a ledger.

    python -m bench.ledger [--quick]
"""

import argparse
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.ledger.ledger_kit import ORIGIN, MemoryKeys, SqliteLedgerStore, intent_body, outcome_body

from huitong.ledger.audit import audit
from huitong.ledger.log import Ledger
from huitong.ledger.merkle import inclusion_path
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.verify import inclusion_holds, leaf_hash, verify_receipt
from huitong.model.ledger import EntryKind

GROUP = 64
"""Entries of one durable transaction: what a busy process gathers in less than 10 ms."""
PROOFS = 300
TARGET = {"durable_appends_per_second": 5000, "proof_milliseconds": 1.0, "tree_seconds_per_10_million": 60.0}


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def per_second(count: int, work: Callable[[], object]) -> float:
    """How many of `count` are done in a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def plain_inserts(folder: Path, count: int, group: int) -> float:
    """Durable inserts a second of rows of the same size, without signatures or order."""
    store = SqliteLedgerStore(folder / f"plain-{group}.sqlite3")
    rows = [(secrets.token_hex(16), "use-intent", "2026", secrets.token_bytes(560), "k", bytes(64)) for _ in range(count)]

    def work() -> None:
        for start in range(0, count, group):
            with store.atomic():
                insert = "INSERT INTO entry (id, kind, at, payload, key, signature) VALUES (?, ?, ?, ?, ?, ?)"
                store.database.executemany(insert, rows[start : start + group])

    speed = per_second(count, work)
    store.close()
    return speed


def run(*, quick: bool) -> dict[str, object]:
    """Measure; `quick` takes a tenth of the entries."""
    entries = 4_096 if quick else 40_960
    singles = 300 if quick else 2_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SqliteLedgerStore(folder / "ledger.sqlite3")
        keys = MemoryKeys()
        ledger = Ledger(store, keys, now, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
        sequencer = Sequencer(store, keys, now, origin=ORIGIN)
        body = intent_body()

        def append(count: int, group: int) -> None:
            for start in range(0, count, group):
                with store.atomic():
                    ledger.append_all([(EntryKind.USE_INTENT, body)] * min(group, count - start))

        single = per_second(singles, lambda: append(singles, 1))
        grouped = per_second(entries, lambda: append(entries, GROUP))
        baseline_single = plain_inserts(folder, singles, 1)
        baseline = plain_inserts(folder, entries, GROUP)
        folding = per_second(singles + entries, sequencer.fold_all)

        intent = ledger.append(kind=EntryKind.USE_INTENT, body=body).entry
        outcome = ledger.append(kind=EntryKind.USE_OUTCOME, body=outcome_body("q-1", intent)).entry
        sequencer.fold_all()
        size, root = store.size(), store.latest_checkpoint().root

        def prove() -> None:
            for number in range(PROOFS):
                index = number * 7919 % size
                path = inclusion_path(index, size, store.nodes)
                leaf = leaf_hash(store.entry(index).payload)
                assert inclusion_holds(leaf=leaf, index=index, size=size, path=path, root=root)

        proof = 1000 / per_second(PROOFS, prove)
        receipt = ledger.receipt([intent, outcome])
        making = 1000 / per_second(PROOFS, lambda: [ledger.receipt([intent, outcome]) for _ in range(PROOFS)])
        checking = 1000 / per_second(PROOFS, lambda: [verify_receipt(receipt, log_key=ledger.vkey()) for _ in range(PROOFS)])
        assert verify_receipt(receipt, log_key=ledger.vkey(), require_inclusion=True).ok

        reports = []
        tree = per_second(size, lambda: reports.append(audit(store, [ledger.vkey()], tree_only=True)))
        whole = per_second(size, lambda: reports.append(audit(store, [ledger.vkey()])))
        assert all(report.ok for report in reports)
        store.close()
    return {
        "name": "ledger",
        "measures": {
            "entries": size,
            "durable_appends_per_second_one_by_one": round(single),
            "durable_appends_per_second": round(grouped),
            "plain_inserts_per_second_one_by_one": round(baseline_single),
            "plain_inserts_per_second": round(baseline),
            "folded_per_second": round(folding),
            "proof_milliseconds": round(proof, 3),
            "receipt_made_milliseconds": round(making, 3),
            "receipt_verified_milliseconds": round(checking, 3),
            "audited_per_second": round(whole),
            "audited_per_second_tree_only": round(tree),
            "tree_seconds_per_10_million": round(10_000_000 / tree, 1),
        },
        "target": TARGET,
        "ratio": round(grouped / baseline, 3),
    }


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=2))


if __name__ == "__main__":
    main()
