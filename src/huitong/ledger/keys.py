"""The keys of the ledger: which one signs now, which ones signed before and until when, and how one takes over from another.

A key change is one row beside one entry, both of one transaction: its commit is the change. The key file is made before. A process
that dies between the two leaves a file that nothing names; the next change takes it. Every append and every fold reads the rows, so
each process signs with the new key from the commit on; what is being signed at that moment holds because the old key ends later.
"""

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.errors import InputInvalid, LedgerBroken, Unavailable
from huitong.keystore import LEDGER, KeyStore
from huitong.ledger.note import instant_text, verifier_key
from huitong.ledger.verify import (
    SIGNATURE_BYTES,
    VerifierKey,
    decode_base64,
    is_key_name,
    parse_instant,
    parse_payload,
    parse_vkey,
    promise_message,
)
from huitong.model.ledger import EntryKind, KeyChange, Promise

CHANGE_MARK = "# changed-by "
"""Begins the remark that holds the entry of a key change."""
MAXIMUM_LINES = 1000
"""Lines that are read of published keys."""


class KeyChangeStore(Protocol):
    """Where key changes are kept, beside the entries that record them; they are added, never changed."""

    def promise(self, entry_id: str) -> Promise | None:
        """The entry, pending or folded."""

    def key_changes(self) -> Sequence[KeyChange]:
        """All changes of the key, by number; the first has number 2."""

    def add_key_change(self, change: KeyChange) -> None:
        """Keep one, inside the caller's transaction. Raises Conflict `ledger-key-changed-meanwhile` if that number is there."""


@dataclass(frozen=True)
class SigningKey:
    """The key that signs now, among all keys of the log."""

    number: int
    private: Ed25519PrivateKey
    keys: tuple[VerifierKey, ...]
    """Every key of the log with its time, the present one first."""
    changes: tuple[Promise, ...]
    """The entries by which one took over from another, oldest first."""

    @property
    def public(self) -> VerifierKey:
        """The public half of the key that signs now."""
        return self.keys[0]


class LogKeys:
    """The keys of one log as its key store and its store tell them now."""

    def __init__(self, store: KeyChangeStore, keystore: KeyStore, *, origin: str, earlier: Sequence[str] = ()) -> None:
        """`earlier` are further keys with which the log signed before the first key that the key store has."""
        self._store, self._keystore, self._origin = store, keystore, origin
        if not is_key_name(origin):
            raise InputInvalid.because("ledger-origin-invalid", origin=origin)
        self._earlier = keys_of(earlier)
        self._read: tuple[tuple[KeyChange, ...], SigningKey] | None = None

    def now(self) -> SigningKey:
        """The key that signs now. Raises NotFound `key-missing` if its file is not there, and the key store's other errors;
        LedgerBroken `ledger-key-change-broken` if a change was not recorded with the signature of the key before."""
        changes = tuple(self._store.key_changes())
        if self._read is None or self._read[0] != changes:
            self._read = (changes, self._opened(changes))
        return self._read[1]

    def _opened(self, changes: tuple[KeyChange, ...]) -> SigningKey:
        number = changes[-1].number if changes else 1
        entries: list[Promise] = []
        for change in changes:
            promise = self._store.promise(change.entry)
            if promise is None or recorded_change(promise) != change:
                raise LedgerBroken.because("ledger-key-change-broken", number=change.number)
            entries.append(promise)
        private = self._keystore.signing_key(key_name(number))
        present = verifier_key(self._origin, private.public_key())
        if changes and present.text != changes[-1].vkey:
            raise Unavailable.because("key-damaged", key=key_name(number))
        keys = with_changes([present], changes)
        return SigningKey(number, private, (*keys, *self._earlier), tuple(entries))


def key_name(number: int) -> str:
    """The name of the ledger's key of that number in the key store."""
    return LEDGER if number == 1 else f"{LEDGER}-{number}"


def change_body(*, number: int, vkey: str, before: str, until: str) -> dict[str, str | int]:
    """What the entry of a key change tells, beside who did it and why; `recorded_change` reads it."""
    return {"number": number, "key": vkey, "before": before, "until": until}


def recorded_change(promise: Promise) -> KeyChange | None:
    """The key change that an entry records; None unless it is one, signed by the key that it retires."""
    try:
        told = parse_payload(promise.payload)
        body = told["body"]
        before, key = parse_vkey(body["before"]), parse_vkey(body["key"])
        at, until = parse_instant(told["at"]), parse_instant(body["until"])
        number = int(body["number"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    signed = before.id == promise.key_id and before.signed(promise_message(before.name, promise.payload), promise.signature)
    if told["kind"] != EntryKind.LEDGER_KEY_CHANGED or before.name != key.name or not signed:
        return None
    return KeyChange(number, key.text, before.text, at, until, told["id"])


def change_line(promise: Promise) -> str:
    """The entry of a key change as a remark among published keys: whoever trusts the key before can follow it to the new one."""
    payload, signature = (base64.b64encode(part).decode() for part in (promise.payload, promise.signature))
    return f"{CHANGE_MARK}{promise.key_id} {signature} {payload}"


def followed_keys(published: str, *, trusted: str) -> tuple[VerifierKey, ...]:
    """The trusted keys (one a line), and those of a published text to which their signed changes lead; newest first.

    What is not readable or not signed is passed over. Raises InputInvalid `ledger-key-invalid` for trusted keys that are none."""
    keys = keys_of(trusted.splitlines())
    for line in published.splitlines()[:MAXIMUM_LINES]:
        parts = line.removeprefix(CHANGE_MARK).split(" ")
        if not line.startswith(CHANGE_MARK) or len(parts) != len(("key", "signature", "payload")):
            continue
        with suppress(ValueError, InputInvalid):
            signature, payload = decode_base64(parts[1], SIGNATURE_BYTES), decode_base64(parts[2])
            told = parse_payload(payload)
            kind, at = EntryKind.LEDGER_KEY_CHANGED, parse_instant(told["at"])
            change = recorded_change(Promise(told["id"], kind, at, payload, parts[0], signature))
            if change is not None and any(key.text == change.before and key.in_force(told["at"]) for key in keys):
                keys = with_changes(keys, [change])
    return keys


def keys_of(vkeys: Sequence[str]) -> tuple[VerifierKey, ...]:
    """The verifier keys of their texts. Raises InputInvalid `ledger-key-invalid`."""
    try:
        return tuple(parse_vkey(text) for text in vkeys)
    except ValueError:
        raise InputInvalid.because("ledger-key-invalid") from None


def with_changes(keys: Sequence[VerifierKey], changes: Sequence[KeyChange]) -> tuple[VerifierKey, ...]:
    """The keys (newest first) with what the changes tell of their times, and before them the keys that only the changes name.

    A key that ends earlier or begins later by its own line keeps that. Raises InputInvalid `ledger-key-invalid`."""
    found = {key.text: key for key in reversed(keys)}
    for change in changes:
        at, until = instant_text(change.at), instant_text(change.until)
        before, new = (found.pop(text) if text in found else keys_of([text])[0] for text in (change.before, change.vkey))
        ends = until if before.ends is None else min(before.ends, until)
        found[before.text] = replace(before, ends=ends)
        begins = at if new.begins is None else max(new.begins, at)
        found[new.text] = replace(new, begins=begins)
    return tuple(reversed(found.values()))
