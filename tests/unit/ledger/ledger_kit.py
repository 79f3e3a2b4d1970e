"""What the tests of the ledger stand on: a durable store with real transactions, keys and a clock that stands still."""

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.ledger.log import Ledger
from huitong.ledger.note import verifier_key
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.verify import parse_vkey, promise_message
from huitong.model.ledger import Checkpoint, EntryKind, KeptCosignature, KeptStamp, KeyChange, Promise

ORIGIN = "data.example/ledger"
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, place INTEGER UNIQUE,
    kind TEXT NOT NULL, at TEXT NOT NULL, payload BLOB NOT NULL, key TEXT NOT NULL, signature BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS waiting ON entry (number) WHERE place IS NULL;
CREATE INDEX IF NOT EXISTS instants ON entry (at);
CREATE TABLE IF NOT EXISTS node (level INTEGER, place INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (size INTEGER PRIMARY KEY, origin TEXT, root BLOB, at TEXT, note TEXT);
CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY, vkey TEXT, before TEXT, at TEXT, until TEXT, entry TEXT);
CREATE TABLE IF NOT EXISTS cosignature (size INTEGER, witness TEXT, at TEXT, line TEXT, UNIQUE (size, witness));
CREATE TABLE IF NOT EXISTS sequencer (locked INTEGER);
"""
_COLUMNS = "id, kind, at, payload, key, signature"


class SqliteLedgerStore:
    """LedgerStore on plain SQLite. `between` is called with a name between any two steps of `fold`, for crashes on purpose."""

    def __init__(self, path: Path | str = ":memory:", *, between: Callable[[str], None] = lambda step: None) -> None:
        self.database = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.executescript(_SCHEMA)
        self.between = between
        self.kept_stamps: dict[tuple[int, str], KeptStamp] = {}
        self.locked_elsewhere = False

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        if self.database.in_transaction:
            yield
            return
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def add_pending(self, promise: Promise) -> None:
        row = (promise.entry, promise.kind.value, _text(promise.at), promise.payload, promise.key_id, promise.signature)
        self.database.execute(f"INSERT INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)

    def last_instant(self) -> datetime | None:
        return _instant(self.database.execute("SELECT max(at) FROM entry").fetchone()[0])

    def pending(self, limit: int) -> Sequence[Promise]:
        query = f"SELECT {_COLUMNS} FROM entry WHERE place IS NULL ORDER BY number LIMIT ?"
        return [_promise(row) for row in self.database.execute(query, (limit,))]

    def oldest_pending(self) -> datetime | None:
        row = self.database.execute("SELECT at FROM entry WHERE place IS NULL ORDER BY number LIMIT 1").fetchone()
        return _instant(row[0]) if row else None

    def instants(self) -> tuple[datetime | None, datetime | None]:
        return self.last_instant(), self.oldest_pending()

    def fold(self, promises: Sequence[Promise], nodes: Sequence[tuple[int, int, bytes]], checkpoint: Checkpoint) -> None:
        self.between("before the transaction")
        with self.atomic():
            size = self.size()
            if size + len(promises) != checkpoint.size:
                raise RuntimeError("the tree has moved")
            places = [(size + offset, promise.entry) for offset, promise in enumerate(promises)]
            done = self.database.executemany("UPDATE entry SET place = ? WHERE id = ? AND place IS NULL", places)
            if done.rowcount != len(promises):
                raise RuntimeError("an entry was not pending")
            self.between("after the entries")
            self.database.executemany("INSERT INTO node VALUES (?, ?, ?)", nodes)
            self.between("after the nodes")
            row = (checkpoint.size, checkpoint.origin, checkpoint.root, _text(checkpoint.at), checkpoint.note)
            self.database.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?)", row)
            self.between("before the commit")
        self.between("after the commit")

    def key_changes(self) -> Sequence[KeyChange]:
        rows = self.database.execute("SELECT number, vkey, before, at, until, entry FROM change ORDER BY number").fetchall()
        instant = datetime.fromisoformat
        return [KeyChange(n, vkey, before, instant(at), instant(until), entry) for n, vkey, before, at, until, entry in rows]

    def add_key_change(self, change: KeyChange) -> None:
        row = (change.number, change.vkey, change.before, _text(change.at), _text(change.until), change.entry)
        self.database.execute("INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)", row)

    def size(self) -> int:
        return int(self.database.execute("SELECT coalesce(max(place) + 1, 0) FROM entry").fetchone()[0])

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        found: dict[tuple[int, int], bytes] = {}
        by_level: dict[int, list[int]] = {}
        for level, place in keys:
            by_level.setdefault(level, []).append(place)
        for level, places in by_level.items():
            for start in range(0, len(places), 500):
                group = places[start : start + 500]
                query = f"SELECT place, hash FROM node WHERE level = ? AND place IN ({','.join('?' * len(group))})"
                found.update({(level, place): value for place, value in self.database.execute(query, (level, *group))})
        return found

    def entry(self, index: int) -> Promise:
        row = self.database.execute(f"SELECT {_COLUMNS} FROM entry WHERE place = ?", (index,)).fetchone()
        if row is None:
            raise LookupError(index)
        return _promise(row)

    def entries(self, start: int, end: int) -> Iterator[Promise]:
        query = f"SELECT {_COLUMNS} FROM entry WHERE place >= ? AND place < ? ORDER BY place"
        return (_promise(row) for row in self.database.execute(query, (start, end)))

    def index_of(self, entry_id: str) -> int | None:
        row = self.database.execute("SELECT place FROM entry WHERE id = ?", (entry_id,)).fetchone()
        return row[0] if row else None

    def promise(self, entry_id: str) -> Promise | None:
        row = self.database.execute(f"SELECT {_COLUMNS} FROM entry WHERE id = ?", (entry_id,)).fetchone()
        return _promise(row) if row else None

    def latest_checkpoint(self) -> Checkpoint | None:
        return _checkpoint(self.database.execute("SELECT * FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone())

    def checkpoint_covering(self, index: int) -> Checkpoint | None:
        query = "SELECT * FROM checkpoint WHERE size > ? ORDER BY size LIMIT 1"
        return _checkpoint(self.database.execute(query, (index,)).fetchone())

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        return _checkpoint(self.database.execute("SELECT * FROM checkpoint WHERE size = ?", (size,)).fetchone())

    def add_stamp(self, stamp: KeptStamp) -> None:
        self.kept_stamps.setdefault((stamp.size, stamp.service), stamp)

    def stamps(self, size: int) -> list[KeptStamp]:
        return [stamp for stamp in self.kept_stamps.values() if stamp.size == size]

    def last_stamps(self) -> list[KeptStamp]:
        return list({stamp.service: stamp for stamp in sorted(self.kept_stamps.values(), key=lambda one: one.size)}.values())

    def stamped_sizes(self, limit: int, offset: int) -> tuple[list[int], int]:
        sizes = sorted({size for size, _ in self.kept_stamps}, reverse=True)
        return sizes[offset : offset + limit], len(sizes)

    def stamped_covering(self, size: int) -> int | None:
        return min((one for one, _ in self.kept_stamps if one >= size), default=None)

    def witnessed_covering(self, index: int) -> Checkpoint | None:
        (size,) = self.database.execute("SELECT min(size) FROM cosignature WHERE size > ?", (index,)).fetchone()
        return None if size is None else self.checkpoint_of(size)

    def latest_witnessed(self) -> Checkpoint | None:
        (size,) = self.database.execute("SELECT max(size) FROM cosignature").fetchone()
        return None if size is None else self.checkpoint_of(size)

    def cosignatures(self, size: int) -> Sequence[KeptCosignature]:
        query = "SELECT size, witness, at, line FROM cosignature WHERE size = ? ORDER BY rowid"
        rows = self.database.execute(query, (size,)).fetchall()
        return [KeptCosignature(size, witness, datetime.fromisoformat(at), line) for size, witness, at, line in rows]

    def add_cosignature(self, one: KeptCosignature) -> None:
        row = (one.size, one.witness, _text(one.at), one.line)
        self.database.execute("INSERT OR IGNORE INTO cosignature VALUES (?, ?, ?, ?)", row)

    def last_seen(self) -> Sequence[KeptCosignature]:
        rows = self.database.execute("SELECT witness, max(size) FROM cosignature GROUP BY witness").fetchall()
        return [one for witness, size in rows for one in self.cosignatures(size) if one.witness == witness]

    @contextmanager
    def sequencer_lock(self) -> Iterator[bool]:
        yield not self.locked_elsewhere


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _promise(row: tuple) -> Promise:
    entry, kind, at, payload, key, signature = row
    return Promise(entry, EntryKind(kind), datetime.fromisoformat(at), bytes(payload), key, bytes(signature))


def _checkpoint(row: tuple | None) -> Checkpoint | None:
    if row is None:
        return None
    size, origin, root, at, note = row
    return Checkpoint(origin, size, bytes(root), datetime.fromisoformat(at), note)


class MemoryKeys:
    """A key store whose keys follow from a word."""

    def __init__(self, word: str = "first") -> None:
        self._word = word

    def secret(self, name: str) -> bytes:
        return hashlib.sha256(f"{self._word}/{name}".encode()).digest()

    def secret_or_made(self, name: str) -> bytes:
        return self.secret(name)

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret(name))


class StillClock:
    """A clock that moves only when told."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class Instance:
    """A ledger with all that belongs to it."""

    def __init__(self, store: SqliteLedgerStore | None = None, *, keys: str = "first", earlier: Sequence[str] = (), **more: Any) -> None:
        self.store = store or SqliteLedgerStore()
        self.clock = StillClock()
        self.keys = MemoryKeys(keys)
        self.ledger = Ledger(
            self.store, self.keys, self.clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300, earlier_vkeys=earlier, **more
        )
        self.sequencer = Sequencer(self.store, self.keys, self.clock, origin=ORIGIN, earlier_vkeys=earlier)

    @property
    def vkey(self) -> str:
        return self.ledger.vkey()

    def act(self, number: int = 0) -> Promise:
        """One entry that is no use."""
        return self.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"action": "checked", "number": number})

    def use(self, query: str = "q-1", *, result: bytes = b"rows") -> tuple[str, str]:
        """Intent and outcome of one use; their entry ids."""
        intent = self.ledger.append(kind=EntryKind.USE_INTENT, body=intent_body(query)).entry
        self.clock.advance(seconds=0.2)
        outcome = self.ledger.append(kind=EntryKind.USE_OUTCOME, body=outcome_body(query, intent, result)).entry
        return intent, outcome


def intent_body(query: str = "q-1") -> dict:
    grant = {"grant": "g-1", "version": 1, "terms_hash": "00" * 32, "dataset": "civil.household", "snapshot": 3}
    return {
        "query": query,
        "actor": "li.na",
        "office": "gz-medical-security",
        "post": "analyst",
        "purpose": "subsidy-check",
        "legal_basis": "《社会救助暂行办法》第九条",
        "grants": [grant],
        "statement_hash": "11" * 32,
    }


def outcome_body(query: str, intent: str, result: bytes = b"rows") -> dict:
    return {
        "query": query,
        "intent": intent,
        "rows": 12,
        "result_hash": hashlib.sha256(result).hexdigest(),
        "duration_bucket": "100ms",
    }


def resigned(receipt: dict, place: int, payload: str, *, keys: MemoryKeys | None = None) -> dict:
    """The receipt with another payload that the log itself signed: what a careless or wicked log could hand out."""
    key = (keys or MemoryKeys()).signing_key("ledger")
    entry = receipt["entries"][place]
    entry["payload"] = payload
    entry["promise"] = {
        "key": verifier_key(ORIGIN, key.public_key()).id,
        "signature": base64.b64encode(key.sign(promise_message(ORIGIN, payload.encode()))).decode(),
    }
    entry["inclusion"] = None
    return receipt


def other_key() -> str:
    """A verifier key of the same name whose owner is someone else."""
    return parse_vkey(verifier_key(ORIGIN, MemoryKeys("stranger").signing_key("ledger").public_key()).text).text
