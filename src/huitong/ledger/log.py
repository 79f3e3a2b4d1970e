"""Appending to the ledger: an entry becomes a signed promise in the caller's transaction; the sequencer folds it later."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.errors import HuitongError, InputInvalid, NotFound, Reason, Unavailable
from huitong.keystore import KeyMaker, KeyStore
from huitong.ledger.cosigning import checked_lines
from huitong.ledger.keys import KeyChangeStore, LogKeys, change_body, change_line, key_name
from huitong.ledger.literals import SALT_BYTES, Literals, LiteralStore, has_literal, literal_digest, sealed_body
from huitong.ledger.merkle import consistency_path
from huitong.ledger.note import instant_text, verifier_key
from huitong.ledger.receipt import ReceiptStore, make_receipt, witnessed_note
from huitong.ledger.stamping import StampStore
from huitong.ledger.verify import (
    MAXIMUM_PAYLOAD_BYTES,
    VerifierKey,
    canonical_json,
    parse_instant,
    parse_payload,
    promise_message,
)
from huitong.model.ledger import Checkpoint, EntryKind, KeptCosignature, KeptStamp, KeyChange, Promise

PENDING_COUNTED = 1000
"""`status` counts pending entries up to this many; more means the same to whoever reads it: the sequencer stands still."""
GREATEST_WHOLE_NUMBER = 2**53 - 1
"""Beyond it readers of JSON disagree about what a number is; such numbers go in as text."""


class LedgerStore(ReceiptStore, KeyChangeStore, LiteralStore, StampStore, Protocol):
    """Where the ledger is kept. An entry is pending until `fold` gives it its place; afterwards it never changes."""

    def add_pending(self, promise: Promise) -> None:
        """Keep a pending entry, inside the caller's transaction. An entry id can be kept once only."""

    def last_instant(self) -> datetime | None:
        """The latest `at` over all entries, pending and folded."""

    def pending(self, limit: int) -> Sequence[Promise]:
        """At most `limit` pending entries in the order in which they came."""

    def oldest_pending(self) -> datetime | None:
        """The earliest `at` of the pending entries."""

    def instants(self) -> tuple[datetime | None, datetime | None]:
        """`last_instant` and `oldest_pending`, read at once."""

    def fold(self, promises: Sequence[Promise], nodes: Sequence[tuple[int, int, bytes]], checkpoint: Checkpoint) -> None:
        """In one transaction: the entries leave pending and take the next places, nodes (level, index, hash) and checkpoint
        are kept. Fails and changes nothing if the tree no longer has `checkpoint.size - len(promises)` entries."""

    def size(self) -> int:
        """Number of folded entries."""

    def entry(self, index: int) -> Promise:
        """The folded entry at this place."""

    def entries(self, start: int, end: int) -> Iterator[Promise]:
        """The folded entries at the places [start, end), in order."""

    def latest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the greatest size."""

    def latest_witnessed(self) -> Checkpoint | None:
        """The one of the greatest size among those that a witness has signed."""

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The checkpoint of exactly this size."""

    def add_cosignature(self, cosignature: KeptCosignature) -> None:
        """Keep a witness's line, inside the caller's transaction; of one witness and size the first is kept."""

    def last_seen(self) -> Sequence[KeptCosignature]:
        """Of each witness what it has signed of the greatest size."""

    def sequencer_lock(self) -> AbstractContextManager[bool]:
        """True inside if this process alone may fold."""


@dataclass(frozen=True)
class LedgerStatus:
    """How the ledger stands."""

    size: int
    pending: int
    """Entries that wait for the sequencer, counted up to PENDING_COUNTED."""
    oldest_pending_seconds: float | None
    alarm: bool
    """An entry has waited longer than the alarm allows: the operator must look at the sequencer."""
    stopped: bool
    """An entry has waited so long that no new use is taken."""
    checkpoint_at: datetime | None


def sign_promise(
    *,
    origin: str,
    key: Ed25519PrivateKey,
    entry: str,
    kind: EntryKind,
    at: datetime,
    body: Mapping[str, Any],
    key_id: str | None = None,
) -> Promise:
    """The entry with the log's word for it; `key_id` is the id of the key, if the caller has it at hand.

    Raises InputInvalid `ledger-body-invalid` if the body is not plain JSON."""
    try:
        plain = dict(body)
        _check_plain(plain)
        payload = canonical_json({"id": entry, "kind": kind.value, "at": instant_text(at), "body": plain})
        if len(payload) > MAXIMUM_PAYLOAD_BYTES:
            raise ValueError("too large")
        parse_payload(payload)
    except (TypeError, ValueError, RecursionError):
        raise InputInvalid.because("ledger-body-invalid", kind=kind.value) from None
    return Promise(
        entry=entry,
        kind=kind,
        at=at.astimezone(UTC),
        payload=payload,
        key_id=key_id or verifier_key(origin, key.public_key()).id,
        signature=key.sign(promise_message(origin, payload)),
    )


def _check_plain(value: object) -> None:
    """Refuse all but text, whole numbers of at most 53 bits, booleans, None, lists and mappings: what all readers read alike."""
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if abs(value) > GREATEST_WHOLE_NUMBER:
            raise ValueError("a number beyond 53 bits")
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check_plain(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str):
                raise TypeError("a name that is not text")
            _check_plain(part)
    else:
        raise TypeError("not plain JSON")


class Ledger:
    """The ledger as the rest of the house sees it: append, prove, tell how it stands."""

    def __init__(
        self,
        store: LedgerStore,
        keystore: KeyStore,
        clock: Callable[[], datetime],
        *,
        origin: str,
        alarm_seconds: float,
        stop_seconds: float,
        earlier_vkeys: Sequence[str] = (),
        witnesses: Sequence[VerifierKey] = (),
        literals: Literals | None = None,
    ) -> None:
        """`literals` keeps the literals of entries aside; without it their salts are thrown away.
        `earlier_vkeys` are further keys with which the log signed before the first key of its key store; receipts of that
        time need them. Keys that `change_key` retired are known from the store.
        `witnesses` are those whose signatures of checkpoints are kept and handed out."""
        self._witnesses = tuple(witnesses)
        self._literals = literals
        self._store = store
        self._clock = clock
        self._origin = origin
        self._alarm = timedelta(seconds=alarm_seconds)
        self._stop = timedelta(seconds=stop_seconds)
        self._keys = LogKeys(store, keystore, origin=origin, earlier=earlier_vkeys)

    @property
    def literals(self) -> Literals:
        """What its entries hold the hashes of. Raises Unavailable `ledger-literals-not-kept`."""
        if self._literals is None:
            raise Unavailable.because("ledger-literals-not-kept")
        return self._literals

    @property
    def store(self) -> LedgerStore:
        """Where it is kept, for the audit."""
        return self._store

    def append(self, *, kind: EntryKind, body: Mapping[str, Any], at: datetime | None = None) -> Promise:
        """Write one entry, inside the caller's transaction if there is one; hand out the promise only after its commit.

        `at` is the instant of the act if that is not now. Raises Unavailable `ledger-clock-behind` if the wall clock (or `at`)
        lies before the last entry, `ledger-clock-ahead` if `at` lies in the future, `ledger-stalled` for a new use while an
        older entry has waited too long; InputInvalid `ledger-body-invalid`."""
        return self.append_all([(kind, body)], at=at)[0]

    def append_all(self, entries: Sequence[tuple[EntryKind, Mapping[str, Any]]], *, at: datetime | None = None) -> list[Promise]:
        """Write several entries of one instant in the caller's transaction, in this order; refuses as `append` does. Of each literal in
        a body (`huitong.ledger.literals`) its salted hash goes in, and the literal is kept aside in the same transaction."""
        promises: list[Promise] = []
        told = [(kind, sealed_body(body, self._keep_literal) if has_literal(body) else body) for kind, body in entries]
        for answer in self.promised(told, at=at):
            if not isinstance(answer, Promise):
                raise answer
            promises.append(answer)
        for promise in promises:
            self._store.add_pending(promise)
        return promises

    def promised(
        self, entries: Sequence[tuple[EntryKind, Mapping[str, Any]]], *, at: datetime | None = None
    ) -> list[Promise | HuitongError]:
        """The entries signed, of one instant, for the caller to keep in the transaction that is open; where one cannot be taken, its
        error stands in its place. Raises what is wrong with all of them, as `append` does."""
        if at is not None and at.tzinfo is None:
            raise InputInvalid.because("instant-without-zone")
        # The key is read first: a new one is seen only after its change, so nothing that it signs is dated before.
        key = self._keys.now()
        # The last instant is read before the clock: another process may append in between, and that is no fault of this clock.
        last, oldest = self._store.instants()
        now = self._clock()
        instant = now if at is None else at
        if instant > now:
            raise Unavailable.because("ledger-clock-ahead", at=instant_text(instant), now=instant_text(now))
        if last is not None and instant < last:
            raise Unavailable.because("ledger-clock-behind", last=instant_text(last), now=instant_text(instant))
        begins_use = any(kind is EntryKind.USE_INTENT for kind, _ in entries)
        stalled = self._why_stalled(oldest, now) if begins_use else None
        answers: list[Promise | HuitongError] = []
        for kind, body in entries:
            if stalled is not None and kind is EntryKind.USE_INTENT:
                answers.append(Unavailable(stalled))
                continue
            try:
                answers.append(
                    sign_promise(
                        origin=self._origin,
                        key=key.private,
                        key_id=key.public.id,
                        entry=secrets.token_hex(16),
                        kind=kind,
                        at=instant,
                        body=body,
                    )
                )
            except InputInvalid as fault:
                answers.append(fault)
        return answers

    def change_key(
        self, *, keystore: KeyMaker, overlap_seconds: float, body: Mapping[str, Any], at: datetime | None = None
    ) -> KeyChange:
        """Let a new key sign from now on, inside the caller's transaction, whose commit is the change; the present key counts for
        `overlap_seconds` more. `body` tells who and why. The new key is in `keystore` before anything is written here.

        Raises as `append` does; Conflict `ledger-key-changed-meanwhile`; the key store's errors."""
        present = self._keys.now()
        number = present.number + 1
        keystore.secret_or_made(key_name(number))
        vkey = verifier_key(self._origin, keystore.signing_key(key_name(number)).public_key()).text
        instant = self._clock() if at is None else at
        until = instant + timedelta(seconds=overlap_seconds)
        told = change_body(number=number, vkey=vkey, before=present.public.text, until=instant_text(until))
        promise = self.append(kind=EntryKind.LEDGER_KEY_CHANGED, body={**body, **told}, at=instant)
        change = KeyChange(number, vkey, present.public.text, promise.at, until.astimezone(UTC), promise.entry)
        self._store.add_key_change(change)
        return change

    def receipt(self, entry_ids: Sequence[str]) -> dict[str, Any]:
        """The receipt of these entries as JSON-able data. Raises NotFound `ledger-entry-unknown`."""
        return make_receipt(self._store, entry_ids, origin=self._origin, log_key=self.vkey())

    def status(self) -> LedgerStatus:
        """How the ledger stands now."""
        oldest, checkpoint = self._store.oldest_pending(), self._store.latest_checkpoint()
        waited = None if oldest is None else max(self._clock() - oldest, timedelta())
        return LedgerStatus(
            size=self._store.size(),
            pending=len(self._store.pending(PENDING_COUNTED)),
            oldest_pending_seconds=None if waited is None else waited.total_seconds(),
            alarm=waited is not None and waited > self._alarm,
            stopped=waited is not None and waited > self._stop,
            checkpoint_at=None if checkpoint is None else checkpoint.at,
        )

    def checkpoint(self) -> Checkpoint | None:
        """The latest signed tree head; None while nothing is folded."""
        return self._store.latest_checkpoint()

    def published_checkpoint(self, *, witnessed: bool = False) -> str | None:
        """The note of the latest one, or of the latest that a witness has signed, with the lines of its witnesses; None while there
        is none."""
        found = self._store.latest_witnessed() if witnessed else self._store.latest_checkpoint()
        return None if found is None else witnessed_note(self._store, found)

    def add_cosignatures(self, *, size: int, lines: str) -> tuple[KeptCosignature, ...]:
        """Keep what witnesses signed of the checkpoint of `size`, each once; all that is kept of it now.

        Raises NotFound `ledger-checkpoint-unknown`, InputInvalid `ledger-cosignature-broken`, Refused `ledger-witness-unknown`."""
        checkpoint = self._store.checkpoint_of(size)
        if checkpoint is None:
            raise NotFound.because("ledger-checkpoint-unknown", size=size)
        for one, line in checked_lines(checkpoint.note, lines, witnesses=self._witnesses):
            self._store.add_cosignature(KeptCosignature(size, one.witness.text, parse_instant(one.at), line))
        return tuple(self._store.cosignatures(size))

    def witnesses(self) -> tuple[tuple[VerifierKey, KeptCosignature | None], ...]:
        """The witnesses that this log knows, each with the last that it has signed."""
        last = {one.witness: one for one in self._store.last_seen()}
        return tuple((witness, last.get(witness.text)) for witness in self._witnesses)

    def last_stamps(self) -> tuple[KeptStamp, ...]:
        """Of each time-stamping service what it has stamped last, by its name."""
        return tuple(sorted(self._store.last_stamps(), key=lambda stamp: stamp.service))

    def stamped(self, *, limit: int, offset: int) -> tuple[list[tuple[Checkpoint, tuple[KeptStamp, ...]]], int]:
        """Checkpoints that have time stamps, the newest first, with these; and how many."""
        sizes, total = self._store.stamped_sizes(limit, offset)
        found = ((self._store.checkpoint_of(size), tuple(self._store.stamps(size))) for size in sizes)
        return [(checkpoint, stamps) for checkpoint, stamps in found if checkpoint is not None], total

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """The proof for a witness that the tree of `first` entries is the beginning of that of `second` entries.
        Raises InputInvalid `ledger-size-invalid`."""
        if not 0 <= first <= second <= self._store.size():
            raise InputInvalid.because("ledger-size-invalid", first=first, second=second)
        return consistency_path(first, second, self._store.nodes)

    def vkey(self) -> str:
        """The verifier key with which the log signs now, as one line."""
        return self._keys.now().public.text

    def vkeys(self) -> tuple[str, ...]:
        """Every verifier key of the log, the present one first, each with its time if it has one (`from`, `until`)."""
        return tuple(key.line for key in self._keys.now().keys)

    def published_keys(self) -> str:
        """Every verifier key with its time, one a line, the present one first; then as remarks the entries of the key changes,
        by which whoever trusts an earlier key can follow to the present one (`followed_keys`)."""
        now = self._keys.now()
        lines = [*(key.line for key in now.keys), *(change_line(promise) for promise in now.changes)]
        return "".join(f"{line}\n" for line in lines)

    def _keep_literal(self, text: str) -> str:
        if self._literals is None:
            return literal_digest(text, secrets.token_hex(SALT_BYTES))
        return self._literals.keep(text, at=self._clock())

    def _why_stalled(self, oldest: datetime | None, now: datetime) -> Reason | None:
        """Why no new use is taken now, if none is; `oldest` is the instant of the oldest pending entry."""
        if oldest is None or now - oldest <= self._stop:
            return None
        waited, limit = int((now - oldest).total_seconds()), int(self._stop.total_seconds())
        return Reason("ledger-stalled", {"seconds": waited, "limit": limit})


def promise_signed(promise: Promise, *, origin: str, keys: Sequence[VerifierKey]) -> bool:
    """Whether one of `keys` gave this word, in force at that instant or not."""
    message = promise_message(origin, promise.payload)
    return any(key.id == promise.key_id and key.signed(message, promise.signature) for key in keys)


def signed_in_time(promise: Promise, *, keys: Sequence[VerifierKey]) -> bool:
    """Whether a key of the id that a signed promise names was in force at its instant."""
    at = instant_text(promise.at)
    return any(key.id == promise.key_id and key.in_force(at) for key in keys)


def read_promise(promise: Promise) -> dict[str, Any]:
    """The fields of its text. Raises ValueError unless id, kind and instant are the same there and beside it."""
    told = parse_payload(promise.payload)
    if not isinstance(promise.at, datetime) or promise.at.tzinfo is None:  # what a damaged column may give
        raise ValueError("the entry's column of its instant holds none")
    if (told["id"], told["kind"], told["at"]) != (promise.entry, promise.kind.value, instant_text(promise.at)):
        raise ValueError("the entry's columns differ from its text")
    return told
