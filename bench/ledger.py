"""How fast the ledger takes entries of uses durably, folds, proves and audits, through the real stores on SQLite and PostgreSQL.

    python -m bench ledger [--quick]
    python -m bench.ledger --entries 10000000 --databases SQLite   # the large ledger with so many entries

Entries are intents and outcomes of uses, as the gateway writes them: from many threads in grouped commits, each acknowledged when it is
on the disk (SQLite: synchronous=FULL; PostgreSQL: its own settings). The baseline is the same rows, signed before, in the same database in
transactions of the same size from one thread. Proofs and the audit of the tree are measured on a large ledger whose rows are made fast
(`bench/_ledger_rows.py`): its tree and checkpoints are real, its entries' own signatures are not, and neither looks at them. The full
audit, which does, is measured on the entries that were really signed.
"""

import argparse
import json
import os
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

THREADS = 256
GROUP = 200
"""Entries of one transaction of the baseline: what so many threads come to."""
ENTRIES_PER_SECOND, PROOF_MILLISECONDS, TREE_SECONDS, TREE_ENTRIES = 5_000, 1.0, 60.0, 10_000_000
ORIGIN = "huitong.local/bench"
DATABASES = ("SQLite", "PostgreSQL")


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    """Alias of an empty, migrated database that keeps what it has committed."""
    from django.core.management import call_command
    from tests.portal.database_fixtures import database
    from tests.postgresql import postgresql_server

    with ExitStack() as ending:
        if kind == "SQLite":
            url = f"sqlite:///{folder / 'ledger.sqlite3'}"
        else:
            server = ending.enter_context(postgresql_server(durable=True))
            server.run("CREATE DATABASE ledger")
            url = server.url("ledger")
        alias = ending.enter_context(database(kind.lower(), url))
        call_command("migrate", database=alias, verbosity=0)
        yield alias


def _per_second(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def _milliseconds(times: int, work: Callable[[int], object]) -> tuple[float, float]:
    """Median and 99th of a hundred of one call, in milliseconds."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken), sorted(taken)[int(times * 0.99)]


def _measured(kind: str, folder: Path, *, quick: bool, large: int) -> dict[str, Any]:
    """All figures of one database."""
    from django.db import connections, transaction
    from tests.portal.examples import ANALYST, Example
    from tests.unit.ledger.ledger_kit import intent_body, outcome_body

    from huitong.keystore import FileKeyStore
    from huitong.ledger.audit import audit
    from huitong.ledger.grouping import GroupedEntries
    from huitong.ledger.log import Ledger
    from huitong.ledger.sequencer import Sequencer
    from huitong.model.ledger import EntryKind, UseOfEntry
    from huitong.portal.stores import DjangoLedgerStore, Stores
    from huitong.portal.wiring import wall_clock

    keys = FileKeyStore(folder / f"keys-{kind}")
    keys.create()
    found: dict[str, Any] = {}

    def note(name: str, value: float, *, most: float | None = None, least: float | None = None, digits: int = 0) -> None:
        entry: dict[str, Any] = {"value": round(value, digits) if digits else round(value)}
        if most is not None:
            entry |= {"target": f"< {most:g}", "met": value < most}
        if least is not None:
            entry |= {"target": f">= {least:g}", "met": value >= least}
        found[f"{kind}: {name}"] = entry

    with _database(kind, folder) as using:
        stores = Stores(using)
        Example.put_into(stores)
        ledger = Ledger(stores.ledger, keys, wall_clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=3_600)
        entries = GroupedEntries(stores.groups, ledger)

        def uses(count: int) -> None:
            for _ in range(count):
                query = "q-" + secrets.token_hex(8)
                intent = entries.append(kind=EntryKind.USE_INTENT, body=intent_body(query))
                use = UseOfEntry(query, ANALYST.person, ANALYST.post, ANALYST.office, (intent.entry,))
                entries.append(kind=EntryKind.USE_OUTCOME, body=outcome_body(query, intent.entry), use=use)
            connections[using].close()

        def together(threads: int, each: int) -> None:
            working = [threading.Thread(target=uses, args=(each,)) for _ in range(threads)]
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()

        alone, each = (50, 10) if quick else (300, 60)
        note("durable entries a second, one caller", _per_second(2 * alone, lambda: uses(alone)))
        together(THREADS, 2)
        busy = _per_second(2 * THREADS * each, lambda: together(THREADS, each))
        note(f"durable entries a second, {THREADS} callers", busy, least=ENTRIES_PER_SECOND)
        written = stores.ledger.size() + len(stores.ledger.pending(10_000_000))
        sequencer = Sequencer(stores.ledger, keys, wall_clock, origin=ORIGIN)
        note("entries folded a second", _per_second(written, sequencer.fold_all))
        reports = []
        full = _per_second(written, lambda: reports.append(audit(stores.ledger, [ledger.vkey()])))
        assert reports[0].ok and reports[0].size == written
        note("entries a second of the full audit (every signature, one process)", full)
        note("hours of the full audit of 10 M entries", TREE_ENTRIES / full / 3600, digits=1)

        signed = ledger.promised([(EntryKind.USE_INTENT, intent_body(f"q-{number}")) for number in range(GROUP * 20)])
        store = DjangoLedgerStore(using)

        def plain() -> None:
            for start in range(0, len(signed), GROUP):
                with transaction.atomic(using=using):
                    store.add_all_pending(signed[start : start + GROUP])  # type: ignore[arg-type]

        baseline = _per_second(len(signed), plain)
        note("rows signed before a second, one thread (baseline)", baseline)
        found[f"{kind}: ratio to the baseline"] = {"value": round(busy / baseline, 3)}

    with tempfile.TemporaryDirectory(prefix="huitong-ledger-") as other, _database(kind, Path(other)) as using:
        _large(using, keys, large, note)
    return found


def _large(using: str, keys: Any, large: int, note: Callable[..., None]) -> None:
    """Proofs and the audit of the tree of a large ledger."""
    from bench._ledger_rows import fill
    from huitong.keystore import LEDGER
    from huitong.ledger.audit import audit
    from huitong.ledger.merkle import consistency_path, inclusion_path
    from huitong.ledger.note import verifier_key
    from huitong.ledger.verify import consistency_holds, inclusion_holds, leaf_hash
    from huitong.portal.stores import Stores

    key = keys.signing_key(LEDGER)
    vkey = verifier_key(ORIGIN, key.public_key()).text
    fill(entries=large, origin=ORIGIN, key=key, using=using)
    stores = Stores(using)
    store, size = stores.ledger, stores.ledger.size()
    head = store.latest_checkpoint()
    assert head is not None and head.size == size == large

    def included(number: int) -> None:
        index = number * 7_919_993 % size
        path = inclusion_path(index, size, store.nodes)
        assert number % 50 or inclusion_holds(
            leaf=leaf_hash(store.entry(index).payload), index=index, size=size, path=path, root=head.root
        )

    def consistent(number: int) -> None:
        first = store.checkpoint_covering(number * 7_919_993 % (size - 5_000)) if number % 50 == 0 else None
        before = 1 + number * 7_919_993 % (size - 1) if first is None else first.size
        path = consistency_path(before, size, store.nodes)
        assert first is None or consistency_holds(
            first=first.size, first_root=first.root, second=size, second_root=head.root, path=path
        )

    for name, proof in (("inclusion", included), ("consistency", consistent)):
        middle, worst = _milliseconds(500, proof)
        note(f"proof of {name} in {size:,} entries, median ms", middle, most=PROOF_MILLISECONDS, digits=3)
        note(f"proof of {name} in {size:,} entries, 99 of 100 ms", worst, digits=3)
    start, used = time.perf_counter(), os.times()
    report = audit(store, [vkey], tree_only=True, reader=stores.tree_reader())
    took, then = time.perf_counter() - start, os.times()
    assert report.ok and report.size == size
    busy = sum(then[:4]) - sum(used[:4])
    whole = size >= TREE_ENTRIES
    note(f"seconds to verify the tree of {size:,} entries", took, most=TREE_SECONDS if whole else None, digits=1)
    note(f"processor seconds of that, all processes of ours ({len(os.sched_getaffinity(0))} processors)", busy, digits=1)
    if not whole:
        note("the same for 10 M entries, by proportion", took * TREE_ENTRIES / size, most=TREE_SECONDS, digits=1)


def run(*, quick: bool, entries: int | None = None, databases: tuple[str, ...] = DATABASES) -> dict[str, Any]:
    """Measure; `quick` takes few entries. `entries` of the large ledger."""
    from huitong.portal.wiring import start_django
    from huitong.settings import Settings

    large = entries or (20_000 if quick else 1_000_000)
    measures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="huitong-ledger-") as name:
        folder = Path(name)
        from huitong.keystore import FileKeyStore

        FileKeyStore(folder / "keys").create()
        start_django(Settings(home=folder))
        for kind in databases:
            measures |= _measured(kind, folder, quick=quick, large=large)
    measures["load of the machine"] = {"value": round(os.getloadavg()[0], 1)}
    return {"name": "ledger", "measures": measures, "method": " ".join((__doc__ or "").split())}


def main() -> None:
    """`python -m bench.ledger [--quick] [--entries N] [--databases SQLite,PostgreSQL]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--entries", type=int)
    parser.add_argument("--databases", default=",".join(DATABASES))
    arguments = parser.parse_args()
    databases = tuple(arguments.databases.split(","))
    outcome = run(quick=arguments.quick, entries=arguments.entries, databases=databases)
    print(json.dumps(outcome["measures"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
