"""The offline verifier of Huitong receipts: this one file and the package `cryptography`, nothing else of Huitong.

    python -m huitong.ledger.verify receipt.json --key log.vkey [--result result.arrow] [--require-inclusion] [--witness-key witness.vkey]
        [--tsa-certificate tsa.pem]

It also runs when copied elsewhere. What it checks, in this order:

1. *format*: the receipt is of the known form;
2. *key*: the trusted key came from outside the receipt (a key inside a receipt proves nothing and is never used);
3. *promise*: each entry is canonical and its Ed25519 signature holds under a trusted key, within the time of that key;
4. *checkpoint*: the signed tree head (C2SP signed note) holds under a trusted key, within its time;
5. *witness*: of the witnesses that the reader trusts, those who signed the checkpoint (C2SP tlog-cosignature) are named;
6. *stamp*: of the time-stamping services that the reader trusts, one stamped a checkpoint that goes on from it (RFC 3161; needs the
   package `rfc3161-client`);
7. *inclusion*: each entry's path (RFC 6962) leads to that tree head; an entry that is only promised says so;
8. *use*: the entries tell one story: same query, the outcome names its intent and comes after it;
9. *result*: the bytes at hand are those that were delivered.

Nothing here raises on hostile input: whatever cannot be read is a failed step.
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECEIPT_FORMAT = "huitong-receipt/1"
PROMISE_DOMAIN = b"\x00huitong-promise/1\n"
"""First bytes of what a promise signs. The zero byte cannot stand in a signed note, so neither signature passes for the other."""
HASH_BYTES = 32
SIGNATURE_BYTES = 64
ED25519 = b"\x01"
"""Signature type of C2SP signed-note."""
COSIGNATURE = b"\x04"
"""Signature type of a witness: Ed25519 over the checkpoint and a time (C2SP tlog-cosignature)."""
TIME_BYTES = 8
MAXIMUM_ENTRIES = 1000
MAXIMUM_PAYLOAD_BYTES = 1 << 20
MAXIMUM_PATH = 64
MAXIMUM_SIZE = 1 << 63
MAXIMUM_KEYS = 100
MAXIMUM_NOTE_LINES = 100
MAXIMUM_TIME = 1 << 37
"""A time of a witness beyond it is none: that is the year 6325."""

_ENTRY = re.compile(r"[0-9a-f]{32}")
_KIND = re.compile(r"[a-z][a-z-]{0,39}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_HASH_HEX = re.compile(r"[0-9a-f]{64}")


# --- Merkle tree (RFC 6962 section 2.1; the checking algorithms are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2)


def leaf_hash(payload: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + payload).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


def inclusion_holds(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves and `root`."""
    if not 0 <= index < size:
        return False
    here, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            value = node_hash(sibling, value)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and value == root


def consistency_holds(*, first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the tree of `first` leaves is a prefix of the tree of `second` leaves."""
    if not 0 <= first <= second:
        return False
    if first == 0:
        return not path and first_root == EMPTY_ROOT and (second > 0 or second_root == EMPTY_ROOT)
    if first == second:
        return not path and first_root == second_root
    nodes = list(path)
    if first & (first - 1) == 0:
        nodes.insert(0, first_root)
    if not nodes:
        return False
    here, last = first - 1, second - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, node)
        here, last = here >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


# --- Keys, promises, notes and checkpoints (C2SP signed-note and tlog-checkpoint)


def decode_base64(text: object, length: int | None = None) -> bytes:
    """The bytes of canonical base64 text. Raises ValueError for anything else, so that no byte of it can change unseen."""
    if not isinstance(text, str) or len(text) > 4 * MAXIMUM_PAYLOAD_BYTES:
        raise ValueError("not base64 text")
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64 text") from None
    if base64.b64encode(value).decode() != text or (length is not None and len(value) != length):
        raise ValueError("not canonical base64 of that length")
    return value


def is_key_name(name: str) -> bool:
    """Whether a log may bear this name (its origin): not empty, printable, no space and no plus."""
    return 0 < len(name) <= 200 and "+" not in name and name.isprintable() and not any(c.isspace() for c in name)


@dataclass(frozen=True)
class VerifierKey:
    """The public key of a log: its name and 32 bytes of Ed25519. `id` is the C2SP key hash in hexadecimal."""

    name: str
    public: bytes
    begins: str | None = None
    """The instant from which it signs; None for the first key of a log."""
    ends: str | None = None
    """The instant from which it signs no more; None while it is not retired."""
    kind: bytes = ED25519
    """Whether it is the key of a log or that of a witness (COSIGNATURE)."""

    @cached_property
    def id(self) -> str:
        """First four bytes of SHA-256 of name, newline, type and key; a hint for finding the key, never a proof."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:4].hex()

    @property
    def text(self) -> str:
        """The one-line form: `name+id+base64`."""
        return f"{self.name}+{self.id}+{base64.b64encode(self.kind + self.public).decode()}"

    @property
    def line(self) -> str:
        """The one-line form with the key's time: `name+id+base64 from <instant> until <instant>`, each only if there is one."""
        begins = "" if self.begins is None else f" from {self.begins}"
        return self.text + begins + ("" if self.ends is None else f" until {self.ends}")

    def in_force(self, at: str) -> bool:
        """Whether the key signs at that instant (in the one form of the ledger, which sorts as text): half-open."""
        return (self.begins is None or self.begins <= at) and (self.ends is None or at < self.ends)

    @cached_property
    def _opened(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `message`."""
        try:
            self._opened.verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_vkey(text: str, kind: bytes = ED25519) -> VerifierKey:
    """The key of a `name+id+base64` line, of a log perhaps with its time (`from <instant>`, `until <instant>`). Raises ValueError."""
    whole, *told = text.strip().split(" ")
    parts, time = whole.split("+", 2), dict(zip(told[::2], told[1::2], strict=False))
    if len(parts) != 3 or not is_key_name(parts[0]) or told != [part for pair in time.items() for part in pair]:
        raise ValueError("not a verifier key")
    if list(time) not in ([], ["from"], ["until"], ["from", "until"]) or (time and kind != ED25519):
        raise ValueError("not the time of a verifier key")
    for instant in time.values():
        parse_instant(instant)
    raw = decode_base64(parts[2], 1 + HASH_BYTES)
    key = VerifierKey(parts[0], raw[1:], time.get("from"), time.get("until"), kind)
    if raw[:1] != kind or key.id != parts[1]:
        raise ValueError("not a verifier key of that kind, or its key hash does not fit")
    return key


def parse_vkeys(text: str, kind: bytes = ED25519) -> tuple[VerifierKey, ...]:
    """The keys of a text with one a line; empty lines and lines that begin with # are skipped. Raises ValueError."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if len(lines) > MAXIMUM_KEYS:
        raise ValueError("too many keys")
    return tuple(parse_vkey(line, kind) for line in lines)


def promise_message(origin: str, payload: bytes) -> bytes:
    """What a promise signs: domain, origin and the leaf hash of the payload."""
    return PROMISE_DOMAIN + origin.encode() + b"\n" + leaf_hash(payload)


def open_note(note: str, keys: Sequence[VerifierKey]) -> tuple[str, VerifierKey]:
    """The text of a signed note and the first trusted key that signed it.

    Signatures of unknown keys are passed over; a wrong signature of a known key fails the whole note. Raises ValueError."""
    text, lines = _note_lines(note)
    signer: VerifierKey | None = None
    for name, raw in lines:
        known = [key for key in keys if key.kind == ED25519 and key.name == name and key.id == raw[:4].hex()]
        if not known:
            continue
        by = next((key for key in known if key.signed(text.encode(), raw[4:])), None)
        if by is None:
            raise ValueError("a signature of a trusted key does not hold")
        signer = signer or by
    if signer is None:
        raise ValueError("no signature of a trusted key")
    return text, signer


def cosignature_message(text: str, time: int) -> bytes:
    """What a witness signs of a checkpoint's text at a time (POSIX seconds)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


@dataclass(frozen=True)
class Cosignature:
    """A witness's word that at `time` this checkpoint went on from all those that it had seen before."""

    witness: VerifierKey
    time: int

    @property
    def at(self) -> str:
        """The time as the ledger writes an instant."""
        return f"{datetime.fromtimestamp(self.time, UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def open_cosignatures(note: str, witnesses: Sequence[VerifierKey]) -> tuple[Cosignature, ...]:
    """The trusted witnesses that signed a checkpoint, each once. Lines of others are passed over.

    Raises ValueError if a line of a trusted witness does not hold or the note is none."""
    text, lines = _note_lines(note)
    found: dict[str, Cosignature] = {}
    for name, raw in lines:
        for witness in witnesses:
            if witness.kind != COSIGNATURE or witness.name != name or witness.id != raw[:4].hex():
                continue
            time = int.from_bytes(raw[4 : 4 + TIME_BYTES], "big")
            cosignature = Cosignature(witness, time)
            if len(raw) != 4 + TIME_BYTES + SIGNATURE_BYTES or time >= MAXIMUM_TIME:
                raise ValueError("not a cosignature")
            if not witness.signed(cosignature_message(text, time), raw[4 + TIME_BYTES :]):
                raise ValueError("a cosignature of a trusted witness does not hold")
            found.setdefault(witness.text, cosignature)
    return tuple(found.values())


def _note_lines(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text of a signed note, and name and bytes of each signature line. Raises ValueError."""
    if len(note) > MAXIMUM_PAYLOAD_BYTES or any(ord(c) < 32 and c != "\n" for c in note):
        raise ValueError("not a signed note")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise ValueError("not a signed note")
    text += "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > MAXIMUM_NOTE_LINES:
        raise ValueError("too many signatures")
    found = []
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—" or not is_key_name(parts[1]):
            raise ValueError("not a signature line")
        raw = decode_base64(parts[2])
        if len(raw) < 5:
            raise ValueError("not a signature line")
        found.append((parts[1], raw))
    return text, found


@dataclass(frozen=True)
class TreeHead:
    """What the text of a checkpoint says."""

    origin: str
    size: int
    root: bytes
    at: str


def parse_checkpoint(text: str) -> TreeHead:
    """The tree head of a checkpoint's text: origin, size, root, and one extension line `at <instant>`. Raises ValueError."""
    lines = text.split("\n")
    if len(lines) != 5 or lines[4] or not is_key_name(lines[0]) or _SIZE.fullmatch(lines[1]) is None:
        raise ValueError("not a checkpoint")
    if not lines[3].startswith("at "):
        raise ValueError("a checkpoint without its instant")
    head = TreeHead(lines[0], int(lines[1]), decode_base64(lines[2], HASH_BYTES), lines[3][3:])
    parse_instant(head.at)
    return head


def open_checkpoint(note: str, keys: Sequence[VerifierKey]) -> tuple[TreeHead, VerifierKey]:
    """The tree head of a checkpoint and the trusted key of its log that signed it. Raises ValueError.

    Whether the key was in force at the checkpoint's instant is left to the caller."""
    text, key = open_note(note, keys)
    head = parse_checkpoint(text)
    if head.origin != key.name:
        raise ValueError("a checkpoint of another log")
    return head, key


def parse_instant(text: object) -> datetime:
    """The instant of `2026-03-01T08:00:00.000000Z`, the only form the ledger writes. Raises ValueError."""
    if not isinstance(text, str) or _INSTANT.fullmatch(text) is None:
        raise ValueError("not an instant")
    return datetime.fromisoformat(text).astimezone(UTC)


def _no_number(text: str) -> Any:
    raise ValueError(f"a number that is not whole: {text[:20]}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_float=_no_number, parse_constant=_no_number)


def canonical_json(value: object) -> bytes:
    """JSON with keys in code point order, no spaces, UTF-8. Raises ValueError for what JSON cannot hold."""
    return _ENCODER.encode(value).encode()


def parse_payload(payload: bytes) -> dict[str, Any]:
    """The fields of an entry: exactly `id`, `kind`, `at`, `body`. Raises ValueError unless it is canonical."""
    if len(payload) > MAXIMUM_PAYLOAD_BYTES:
        raise ValueError("the entry is too large")
    try:
        value = _DECODER.decode(payload.decode("utf-8"))
        if not isinstance(value, dict) or canonical_json(value) != payload:
            raise ValueError("the entry is not canonical JSON")
    except RecursionError:
        raise ValueError("the entry is nested too deeply") from None
    if sorted(value) != ["at", "body", "id", "kind"] or not isinstance(value["body"], dict):
        raise ValueError("the entry does not have the ledger's fields")
    for name, form in (("id", _ENTRY), ("kind", _KIND)):
        if not isinstance(value[name], str) or form.fullmatch(value[name]) is None:
            raise ValueError(f"the entry's {name} has the wrong form")
    parse_instant(value["at"])
    return value


# --- The receipt

SENTENCES: Mapping[str, str] = {
    "receipt-format-held": "The receipt has the known form and holds {entries} entries of {origin}.",
    "receipt-format-broken": "The receipt cannot be checked: its part {part} is missing or has the wrong form.",
    "receipt-key-held": "Trusted key {key} of {origin} was given from outside the receipt.",
    "receipt-key-missing": (
        "No trusted key was given. Get the key of the log from its office and give it; a key inside a receipt proves nothing."
    ),
    "receipt-key-broken": "The trusted key cannot be read. A key is one line: name+8 hexadecimal digits+base64.",
    "receipt-key-of-another-log": "The receipt says it comes from {origin}, and no trusted key belongs to that log.",
    "receipt-entry-broken": "Entry number {place} of the receipt is not a canonical entry of a ledger: it was changed.",
    "receipt-entry-twice": "Entry {entry} stands twice in the receipt.",
    "receipt-promise-held": "Entry {entry} ({kind}, {at}) was signed by key {key}.",
    "receipt-promise-broken": "The signature of entry {entry} does not hold: the entry or its signature was changed.",
    "receipt-promise-key-unknown": "Entry {entry} names key {key}, which is not among the trusted keys.",
    "receipt-promise-key-not-in-force": "Entry {entry} ({at}) is signed by key {key}, which was not in force then.",
    "receipt-checkpoint-key-not-in-force": "The checkpoint ({at}) is signed by key {key}, which was not in force then.",
    "receipt-checkpoint-held": "The checkpoint of {size} entries ({at}) was signed by key {key}.",
    "receipt-checkpoint-broken": "The checkpoint is not signed by a trusted key of {origin}, or it was changed.",
    "receipt-witness-held": "Witness {witness} signed the checkpoint at {at}: it had seen the tree grow, never change.",
    "receipt-witness-none": "None of the trusted witnesses signed the checkpoint.",
    "receipt-witness-broken": "A signature of a trusted witness on the checkpoint does not hold.",
    "receipt-witness-too-few": "{found} of the trusted witnesses signed the checkpoint, and {wanted} were asked for.",
    "receipt-witness-key-broken": "The keys of the witnesses cannot be read. A key is one line: name+8 hexadecimal digits+base64.",
    "receipt-stamp-held": "{service} stamped a checkpoint of {size} entries that goes on from this one, at {at}: all this existed then.",
    "receipt-stamp-none": "The receipt holds no time stamp. Fetch it again after the next stamp.",
    "receipt-stamp-broken": "No time stamp of the receipt holds under the given certificates ({fault}).",
    "receipt-stamp-checkpoint-broken": (
        "The stamped checkpoint is not signed by a trusted key of {origin}, or does not go on from that of the receipt."
    ),
    "receipt-stamp-library-missing": "Time stamps are checked by the package rfc3161-client, which is not installed here.",
    "receipt-inclusion-held": "Entry {entry} stands in the tree at place {index} of {size}.",
    "receipt-inclusion-broken": "The proof that entry {entry} stands in the tree does not hold.",
    "receipt-inclusion-promised": "Entry {entry} is promised, not yet in the tree. Fetch the receipt again for the full proof.",
    "receipt-inclusion-required": "Entry {entry} is only promised, and a proof that it stands in the tree was asked for.",
    "receipt-use-held": "The entries tell one use: query {query}, its intent and its outcome.",
    "receipt-use-refused": "The entries tell one refused use: query {query}.",
    "receipt-use-failed": "The entries tell one use that failed ({failure}): query {query}. No result was delivered.",
    "receipt-use-begun": "The entries tell a use that was begun: query {query}. Its outcome is not in this receipt.",
    "receipt-use-none": "The receipt tells no use of data; its entries record other acts.",
    "receipt-use-broken": "Entry {entry} ({kind}) does not say what an entry of its kind must say.",
    "receipt-use-several": "The receipt mixes entries of more than one use.",
    "receipt-use-query-differs": "The entries name different queries: {query} and {other}.",
    "receipt-use-intent-differs": "The outcome names intent {intent}, which is not the intent in this receipt.",
    "receipt-use-order": "The outcome stands before its intent.",
    "receipt-result-held": "The result at hand is the one that was delivered (SHA-256 {hash}).",
    "receipt-result-differs": "The result at hand is not the one that was delivered: its SHA-256 is {hash}.",
    "receipt-result-unknown": "The receipt tells of no delivered result, so it cannot vouch for the one at hand.",
}
"""The English sentence of each finding; `huitong.words` has the same ones and the Chinese."""


@dataclass(frozen=True)
class Step:
    """One check and what came of it. Unpacks as `name, ok, detail`; `code` and `parameters` are for other languages."""

    name: str
    ok: bool
    code: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def detail(self) -> str:
        """The finding as an English sentence."""
        return SENTENCES[self.code].format_map({name: str(value) for name, value in self.parameters.items()})

    def __iter__(self) -> Iterator[Any]:
        return iter((self.name, self.ok, self.detail))


@dataclass(frozen=True)
class Verification:
    """The finding about a receipt: `ok` only if every step held."""

    ok: bool
    steps: tuple[Step, ...]
    included: bool
    """Whether all entries were proved to stand in the tree, not only promised."""
    entries: tuple[Mapping[str, Any], ...]
    """The entries as they were proved (id, kind, at, body); empty unless `ok`."""


@dataclass(frozen=True)
class _Inclusion:
    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class _Proved:
    fields: Mapping[str, Any]
    leaf: bytes
    inclusion: _Inclusion | None


class _Stop(Exception):
    """A failed step after which the next ones have nothing to stand on."""

    def __init__(self, name: str, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.step = Step(name, False, code, parameters)


def verify_receipt(
    receipt: Mapping[str, Any],
    *,
    log_key: str,
    result: bytes | None = None,
    require_inclusion: bool = False,
    witness_keys: str | None = None,
    require_witnesses: int = 0,
    tsa_certificates: str | None = None,
) -> Verification:
    """Check a receipt against the key of the log that the reader trusts.

    `log_key` is one verifier key, or several (one a line, each with its time) if the log has changed its key. `result` are the
    bytes that were delivered, to be compared with the outcome. `witness_keys` are the witnesses that the reader trusts, one a line; of
    them at least `require_witnesses` must have signed the checkpoint. `tsa_certificates` are those (PEM) of the time-stamping services
    that the reader trusts: with them a stamp must hold. Never raises: what cannot be read is a failed step."""
    steps: list[Step] = []
    proved: list[_Proved] = []
    try:
        _check(receipt, log_key, result, require_inclusion, (witness_keys, require_witnesses), tsa_certificates, steps, proved)
    except _Stop as stop:
        steps.append(stop.step)
    except Exception:
        steps.append(Step("format", False, "receipt-format-broken", {"part": "receipt"}))
    ok = bool(steps) and all(step.ok for step in steps)
    return Verification(
        ok=ok,
        steps=tuple(steps),
        included=ok and all(entry.inclusion is not None for entry in proved),
        entries=tuple(entry.fields for entry in proved) if ok else (),
    )


def _check(
    receipt: object,
    log_key: object,
    result: object,
    require_inclusion: bool,
    witnesses: tuple[str | None, int],
    tsa_certificates: str | None,
    steps: list[Step],
    proved: list[_Proved],
) -> None:
    origin, entries, note = _read_form(receipt)
    steps.append(Step("format", True, "receipt-format-held", {"entries": len(entries), "origin": _shown(origin)}))
    keys = _read_keys(log_key, origin)
    steps.append(Step("key", True, "receipt-key-held", {"key": ", ".join(key.id for key in keys), "origin": _shown(origin)}))
    for place, entry in enumerate(entries):
        one = _check_promise(place, entry, origin, keys, steps)
        if any(one.fields["id"] == other.fields["id"] for other in proved):
            raise _Stop("use", "receipt-entry-twice", entry=one.fields["id"])
        proved.append(one)
    head = None if note is None else _check_checkpoint(note, origin, keys, steps)
    if witnesses != (None, 0):
        steps += _check_witnesses(note, *witnesses)
    if tsa_certificates is not None:
        assert isinstance(receipt, Mapping)
        steps.append(_check_stamps(receipt.get("stamped"), head, keys, tsa_certificates))
    for one in proved:
        steps.append(_check_inclusion(one, head, require_inclusion))
    outcome = _check_use(proved, steps)
    if result is not None:
        steps.append(_check_result(result, outcome))


def _read_form(receipt: object) -> tuple[str, list[Mapping[str, Any]], str | None]:
    if not isinstance(receipt, Mapping):
        raise _Stop("format", "receipt-format-broken", part="receipt")
    if receipt.get("format") != RECEIPT_FORMAT:
        raise _Stop("format", "receipt-format-broken", part="format")
    origin, entries, note = receipt.get("origin"), receipt.get("entries"), receipt.get("checkpoint")
    if not isinstance(origin, str) or not is_key_name(origin):
        raise _Stop("format", "receipt-format-broken", part="origin")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAXIMUM_ENTRIES:
        raise _Stop("format", "receipt-format-broken", part="entries")
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise _Stop("format", "receipt-format-broken", part="entries")
    if note is not None and not isinstance(note, str):
        raise _Stop("format", "receipt-format-broken", part="checkpoint")
    return origin, entries, note


def _read_keys(log_key: object, origin: str) -> tuple[VerifierKey, ...]:
    if not isinstance(log_key, str):
        raise _Stop("key", "receipt-key-missing")
    try:
        keys = parse_vkeys(log_key)
    except ValueError:
        raise _Stop("key", "receipt-key-broken") from None
    if not keys:
        raise _Stop("key", "receipt-key-missing")
    of_this_log = tuple(key for key in keys if key.name == origin)
    if not of_this_log:
        raise _Stop("key", "receipt-key-of-another-log", origin=_shown(origin))
    return of_this_log


def _check_promise(
    place: int, entry: Mapping[str, Any], origin: str, keys: Sequence[VerifierKey], steps: list[Step]
) -> _Proved:
    try:
        payload = entry["payload"].encode("utf-8")
        fields = parse_payload(payload)
    except Exception:
        raise _Stop("promise", "receipt-entry-broken", place=place + 1) from None
    promise = entry.get("promise")
    key_id = promise.get("key") if isinstance(promise, Mapping) else None
    if not isinstance(promise, Mapping) or not isinstance(key_id, str) or _KEY_ID.fullmatch(key_id) is None:
        raise _Stop("format", "receipt-format-broken", part="promise")
    candidates = [key for key in keys if key.id == key_id]
    if not candidates:
        raise _Stop("promise", "receipt-promise-key-unknown", entry=fields["id"], key=key_id)
    try:
        signature = decode_base64(promise.get("signature"), SIGNATURE_BYTES)
    except ValueError:
        raise _Stop("promise", "receipt-promise-broken", entry=fields["id"]) from None
    message = promise_message(origin, payload)
    signers = [key for key in candidates if key.signed(message, signature)]
    if not signers:
        raise _Stop("promise", "receipt-promise-broken", entry=fields["id"])
    if not any(key.in_force(fields["at"]) for key in signers):
        raise _Stop("promise", "receipt-promise-key-not-in-force", entry=fields["id"], at=fields["at"], key=key_id)
    told = {"entry": fields["id"], "kind": fields["kind"], "at": fields["at"], "key": key_id}
    steps.append(Step("promise", True, "receipt-promise-held", told))
    return _Proved(fields, leaf_hash(payload), _read_inclusion(entry.get("inclusion"), fields["id"]))


def _read_inclusion(value: object, entry: str) -> _Inclusion | None:
    if value is None:
        return None
    broken = _Stop("inclusion", "receipt-inclusion-broken", entry=entry)
    if not isinstance(value, Mapping):
        raise broken
    index, size, path = value.get("index"), value.get("size"), value.get("path")
    if not isinstance(index, int) or not isinstance(size, int) or isinstance(index, bool) or isinstance(size, bool):
        raise broken
    if not isinstance(path, list) or len(path) > MAXIMUM_PATH or not 0 <= index < size <= MAXIMUM_SIZE:
        raise broken
    try:
        return _Inclusion(index, size, tuple(decode_base64(node, HASH_BYTES) for node in path))
    except ValueError:
        raise broken from None


def _check_checkpoint(note: str, origin: str, keys: Sequence[VerifierKey], steps: list[Step]) -> TreeHead:
    try:
        head, key = open_checkpoint(note, keys)
    except ValueError:
        raise _Stop("checkpoint", "receipt-checkpoint-broken", origin=_shown(origin)) from None
    if not key.in_force(head.at):
        raise _Stop("checkpoint", "receipt-checkpoint-key-not-in-force", at=head.at, key=key.id)
    steps.append(Step("checkpoint", True, "receipt-checkpoint-held", {"size": head.size, "at": head.at, "key": key.id}))
    return head


def _check_witnesses(note: str | None, witness_keys: str | None, wanted: int) -> list[Step]:
    try:
        trusted = parse_vkeys(witness_keys or "", COSIGNATURE)
    except ValueError:
        raise _Stop("witness", "receipt-witness-key-broken") from None
    try:
        found = () if note is None else open_cosignatures(note, trusted)
    except ValueError:
        raise _Stop("witness", "receipt-witness-broken") from None
    steps = [Step("witness", True, "receipt-witness-held", {"witness": one.witness.name, "at": one.at}) for one in found]
    if len(found) < wanted:
        return [*steps, Step("witness", False, "receipt-witness-too-few", {"found": len(found), "wanted": wanted})]
    return steps or [Step("witness", True, "receipt-witness-none")]


@dataclass(frozen=True)
class CheckedStamp:
    """What a time stamp proves: which service says so, by its certificate's subject, and its time."""

    service: str
    at: str


def check_stamp(stamped: bytes, answer: bytes, certificates: str, *, nonce: int | None = None) -> CheckedStamp:
    """Check the answer of a time-stamping service (RFC 3161) about these bytes under trusted certificates (PEM), valid at its time.

    Self-signed certificates are the roots; without any, all are. Raises ValueError with why it does not hold, ImportError without the
    package `rfc3161-client`."""
    from cryptography import x509
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    trusted = x509.load_pem_x509_certificates(certificates.encode())
    roots = [one for one in trusted if one.issuer == one.subject] or trusted
    between = [one for one in trusted if one not in roots]
    try:
        response = decode_timestamp_response(answer)
        verifier = VerifierBuilder(roots=roots, intermediates=between, nonce=nonce).build()
        verifier.verify_message(response, stamped)
        signer = next(iter(response.signed_data.signer_infos))
        leaves = [x509.load_der_x509_certificate(one) for one in response.signed_data.certificates]
        leaf = next(one for one in leaves if (one.issuer, one.serial_number) == (signer.issuer, signer.serial_number))
        at = response.tst_info.gen_time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    except VerificationError as fault:
        raise ValueError(str(fault)) from None
    except Exception as error:
        raise ValueError(type(error).__name__) from None
    return CheckedStamp(leaf.subject.rfc4514_string(), f"{at}Z")


def _check_stamps(stamped: object, head: TreeHead | None, keys: Sequence[VerifierKey], certificates: str) -> Step:
    if not isinstance(stamped, Mapping) or head is None:
        return Step("stamp", False, "receipt-stamp-none")
    broken = Step("stamp", False, "receipt-stamp-checkpoint-broken", {"origin": _shown(head.origin)})
    note, path, stamps = stamped.get("checkpoint"), stamped.get("consistency"), stamped.get("stamps")
    if not isinstance(note, str) or not isinstance(path, list) or len(path) > 2 * MAXIMUM_PATH or not isinstance(stamps, list):
        return broken
    try:
        later, key = open_checkpoint(note, keys)
        nodes = [decode_base64(node, HASH_BYTES) for node in path]
    except ValueError:
        return broken
    grown = consistency_holds(first=head.size, first_root=head.root, second=later.size, second_root=later.root, path=nodes)
    if not key.in_force(later.at) or not grown:
        return broken
    fault = "-"
    for stamp in stamps[:MAXIMUM_KEYS]:
        try:
            answer = decode_base64(stamp.get("answer") if isinstance(stamp, Mapping) else None)
            checked = check_stamp(note.encode(), answer, certificates)
        except ImportError:
            return Step("stamp", False, "receipt-stamp-library-missing")
        except ValueError as error:
            fault = str(error)
            continue
        return Step("stamp", True, "receipt-stamp-held", {"service": _shown(checked.service), "size": later.size, "at": checked.at})
    return Step("stamp", False, "receipt-stamp-broken", {"fault": _shown(fault)})


def _check_inclusion(one: _Proved, head: TreeHead | None, required: bool) -> Step:
    entry = one.fields["id"]
    if one.inclusion is None:
        code = "receipt-inclusion-required" if required else "receipt-inclusion-promised"
        return Step("inclusion", not required, code, {"entry": entry})
    proof = one.inclusion
    if head is None or proof.size != head.size or parse_instant(one.fields["at"]) > parse_instant(head.at):
        return Step("inclusion", False, "receipt-inclusion-broken", {"entry": entry})
    if not inclusion_holds(leaf=one.leaf, index=proof.index, size=proof.size, path=proof.path, root=head.root):
        return Step("inclusion", False, "receipt-inclusion-broken", {"entry": entry})
    return Step("inclusion", True, "receipt-inclusion-held", {"entry": entry, "index": proof.index, "size": proof.size})


def _check_use(proved: Sequence[_Proved], steps: list[Step]) -> _Proved | None:
    """Add the step about the use that the entries tell, and give the outcome that vouches for a result, if there is one."""
    by_kind: dict[str, list[_Proved]] = {"use-intent": [], "use-outcome": [], "use-refused": []}
    for one in proved:
        by_kind.get(one.fields["kind"], []).append(one)
    uses = [one for group in by_kind.values() for one in group]
    if not uses:
        steps.append(Step("use", True, "receipt-use-none"))
        return None
    for one in uses:
        if not _says_what_it_must(one.fields):
            raise _Stop("use", "receipt-use-broken", entry=one.fields["id"], kind=one.fields["kind"])
    if any(len(group) > 1 for group in by_kind.values()) or (by_kind["use-outcome"] and by_kind["use-refused"]):
        raise _Stop("use", "receipt-use-several")
    query = str(uses[0].fields["body"]["query"])
    for one in uses[1:]:
        if one.fields["body"]["query"] != query:
            raise _Stop("use", "receipt-use-query-differs", query=_shown(query), other=_shown(one.fields["body"]["query"]))
    intent = next(iter(by_kind["use-intent"]), None)
    end = next(iter(by_kind["use-outcome"] + by_kind["use-refused"]), None)
    if end is not None and "intent" in end.fields["body"]:
        named = end.fields["body"]["intent"]
        if intent is None or named != intent.fields["id"]:
            raise _Stop("use", "receipt-use-intent-differs", intent=_shown(named))
    if intent is not None and end is not None and _before(end, intent):
        raise _Stop("use", "receipt-use-order")
    if end is None:
        steps.append(Step("use", True, "receipt-use-begun", {"query": _shown(query)}))
        return None
    if end.fields["kind"] == "use-refused":
        steps.append(Step("use", True, "receipt-use-refused", {"query": _shown(query)}))
        return None
    if "failure" in end.fields["body"]:
        told = {"query": _shown(query), "failure": _shown(end.fields["body"]["failure"])}
        steps.append(Step("use", True, "receipt-use-failed", told))
        return None
    steps.append(Step("use", True, "receipt-use-held", {"query": _shown(query)}))
    return end


def _says_what_it_must(fields: Mapping[str, Any]) -> bool:
    """An entry of a use names its query; an outcome also names its intent, and either its result or its failure."""
    body = fields["body"]
    if not isinstance(body.get("query"), str) or not body["query"]:
        return False
    if fields["kind"] != "use-outcome":
        return True
    if not isinstance(body.get("intent"), str):
        return False
    if "failure" in body:
        return isinstance(body["failure"], str) and "result_hash" not in body
    hashed = body.get("result_hash")
    return isinstance(hashed, str) and _HASH_HEX.fullmatch(hashed) is not None


def _before(one: _Proved, other: _Proved) -> bool:
    if parse_instant(one.fields["at"]) < parse_instant(other.fields["at"]):
        return True
    if one.inclusion is None or other.inclusion is None:
        return one.inclusion is not None
    return one.inclusion.index < other.inclusion.index


def _check_result(result: object, outcome: _Proved | None) -> Step:
    if outcome is None:
        return Step("result", False, "receipt-result-unknown")
    if not isinstance(result, (bytes, bytearray, memoryview)):
        return Step("result", False, "receipt-format-broken", {"part": "result"})
    found = hashlib.sha256(result).hexdigest()
    ok = found == outcome.fields["body"]["result_hash"]
    return Step("result", ok, "receipt-result-held" if ok else "receipt-result-differs", {"hash": found})


def _shown(value: object) -> str:
    """Foreign text made safe for a terminal: printable characters only, at most 80."""
    text = value if isinstance(value, str) else type(value).__name__
    return "".join(c if c.isprintable() else "?" for c in text[:80])


# --- On its own


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a receipt file and say each step. Exit status: 0 it holds, 1 it does not, 2 a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m huitong.ledger.verify", description="Verify a Huitong receipt offline.")
    parser.add_argument("receipt", type=Path, help="the receipt, a JSON file")
    parser.add_argument("--key", type=Path, required=True, help="file with the log's verifier keys, one a line, from a source you trust")
    parser.add_argument("--result", type=Path, help="the result as delivered, to be compared with the receipt")
    parser.add_argument("--require-inclusion", action="store_true", help="a promise alone is not enough")
    parser.add_argument("--witness-key", type=Path, help="file with the keys of the witnesses that you trust, one a line")
    parser.add_argument("--witnesses", type=int, default=0, help="how many of them must have signed the checkpoint")
    parser.add_argument("--tsa-certificate", type=Path, help="PEM file of the time-stamping services that you trust: a stamp must hold")
    chosen = parser.parse_args(arguments)
    try:
        text = chosen.receipt.read_text("utf-8")
        log_key = chosen.key.read_text("utf-8")
        result = chosen.result.read_bytes() if chosen.result else None
        witness_keys = chosen.witness_key.read_text("utf-8") if chosen.witness_key else None
        tsa_certificates = chosen.tsa_certificate.read_text("ascii") if chosen.tsa_certificate else None
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"cannot read a file: {type(error).__name__}\n")
        return 2
    try:
        receipt = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        receipt = None
    finding = verify_receipt(
        receipt,
        log_key=log_key,
        result=result,
        require_inclusion=chosen.require_inclusion,
        witness_keys=witness_keys,
        require_witnesses=chosen.witnesses,
        tsa_certificates=tsa_certificates,
    )
    for name, ok, detail in finding.steps:
        sys.stdout.write(f"{'ok    ' if ok else 'FAILED'}  {name:<10}  {detail}\n")
    sys.stdout.write("The receipt holds.\n" if finding.ok else "The receipt does NOT hold.\n")
    return 0 if finding.ok else 1


if __name__ == "__main__":
    sys.exit(main())
