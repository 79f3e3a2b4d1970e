"""A large ledger in a real database, made fast: the rows that millions of uses and folds would have left.

The tree, its nodes and its signed checkpoints are real, made from real texts of entries. Entries' own signatures are random bytes:
signing ten millions takes longer than all that is measured here, and neither proofs nor the audit of the tree look at them.
"""

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections, transaction

from huitong.ledger.merkle import Frontier
from huitong.ledger.note import sign_checkpoint
from huitong.ledger.verify import leaf_hash

FOLD = 4096
"""Entries of one fold, as the sequencer takes them at most."""
TABLES = {
    "audit_entry": ('"index"', "entry", "kind", "at", "payload", "key_id", "signature"),
    "audit_node": ("level", '"index"', "hash"),
    "audit_checkpoint": ("size", "origin", "root", "at", "note"),
}


def fill(
    *, entries: int, origin: str, key: Ed25519PrivateKey, using: str = "default", progress: Callable[[int], object] = bool
) -> None:
    """Put a ledger of so many entries into an empty, migrated database."""
    connection = connections[using]
    frontier, at = Frontier(), datetime.now(UTC) - timedelta(days=1)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.execute("PRAGMA cache_size=-1000000")
    for start in range(0, entries, FOLD):
        at += timedelta(milliseconds=8)
        rows, nodes = [], []
        for index, (entry, kind, payload) in enumerate(_entries(min(FOLD, entries - start), at), start):
            rows.append((index, entry, kind, _instant(at, using), payload, "0a1b2c3d", secrets.token_bytes(64)))
            nodes += frontier.append(leaf_hash(payload))
        head = sign_checkpoint(origin=origin, size=frontier.size, root=frontier.root(), at=at, key=key)
        kept = {
            "audit_entry": rows,
            "audit_node": nodes,
            "audit_checkpoint": [(head.size, head.origin, head.root, _instant(at, using), head.note)],
        }
        with transaction.atomic(using=using), connection.cursor() as cursor:
            for table, made in kept.items():
                _put(cursor, table, made, vendor=connection.vendor)
        progress(frontier.size)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=FULL" if connection.vendor == "sqlite" else "ANALYZE")


def _put(cursor: object, table: str, rows: list[tuple], *, vendor: str) -> None:
    columns = TABLES[table]
    if vendor == "sqlite":
        cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})", rows)
        return
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _instant(at: datetime, using: str) -> object:
    return connections[using].ops.adapt_datetimefield_value(at)


def _entries(count: int, at: datetime) -> Iterator[tuple[str, str, bytes]]:
    """Id, kind and text of intents and their outcomes in turn."""
    instant = at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    for number in range(count):
        entry, query = secrets.token_hex(16), secrets.token_hex(8)
        if number % 2:
            text = (
                f'{{"at":"{instant}","body":{{"duration_bucket":"100ms","intent":"{secrets.token_hex(16)}","query":"q-{query}",'
                f'"result_hash":"{secrets.token_hex(32)}","rows":12}},"id":"{entry}","kind":"use-outcome"}}'
            )
            yield entry, "use-outcome", text.encode()
        else:
            text = (
                f'{{"at":"{instant}","body":{{"actor":"li.na","grants":[{{"dataset":"civil.household","grant":"g-000001","snapshot":3,'
                f'"terms_hash":"{secrets.token_hex(32)}","version":1}}],"legal_basis":"《社会救助暂行办法》第九条","office":"gz-medical-security",'
                f'"post":"li.na@gz-medical-security","purpose":"subsidy-check","query":"q-{query}",'
                f'"statement_hash":"{secrets.token_hex(32)}"}},"id":"{entry}","kind":"use-intent"}}'
            )
            yield entry, "use-intent", text.encode()
