"""Verify a Huitong receipt with nothing of Huitong: this one file, Python 3.11 and the package `cryptography`.

    python verify_receipt.py receipt.json ledger.vkeys [--result FILE] [--require-inclusion] [--witness-key FILE] [--witnesses N]

To be read before it is trusted, and written apart from the verifier of Huitong: a test holds both to the same verdict over
good and tampered receipts. Exit status: 0 the receipt holds, 1 it does not (and why), 2 a file cannot be read.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG, WITNESS, MEGABYTE, FOR_EVER = 1, 4, 1 << 20, "~"
ONE_USE = ("use-intent", "use-outcome", "use-refused")


def need(held, what):
    if not held:
        raise ValueError(what)


def form(pattern, text):
    return isinstance(text, str) and re.fullmatch(pattern, text, re.ASCII) is not None


def b64(text, size=None):
    need(isinstance(text, str) and len(text) <= 4 * MEGABYTE, "not base64")
    raw = base64.b64decode(text, validate=True)
    need(base64.b64encode(raw).decode() == text and size in (None, len(raw)), "base64 that is not canonical or not of its length")
    return raw


def instant(text):
    need(form(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text), "not an instant")
    datetime.fromisoformat(text).astimezone(UTC)
    return text  # of one form, so that instants can be compared as texts


def named(text):
    need(isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable() and not re.search(r"[\s+]", text), "not a name")
    return text


def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "a name stands twice")
    return dict(pairs)


def refuse(text):
    raise ValueError("a number that is not whole")


def read_keys(text, kind):
    """Keys `name+id+base64`, those of a log perhaps with `from <instant>` and `until <instant>`, one a line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    need(len(lines) <= 100, "too many keys")
    keys = []
    for line in lines:
        whole, *time = line.split(" ")
        name, key_id, raw = whole.split("+", 2)
        raw, span = b64(raw, 33), dict(zip(time[::2], time[1::2], strict=True))
        need(time[::2] in ([], ["from"], ["until"], ["from", "until"]) and (kind == LOG or not time), "not the time of a key")
        need(raw[0] == kind and hashlib.sha256(named(name).encode() + b"\n" + raw).digest()[:4].hex() == key_id, "not such a key")
        begins, ends = [instant(span[word]) if word in span else other for word, other in (("from", ""), ("until", FOR_EVER))]
        keys.append((name, key_id, Ed25519PublicKey.from_public_bytes(raw[1:]), begins, ends))
    return keys


def signed(key, signature, message):
    try:
        key[2].verify(signature, message)
    except Exception:
        return False
    return True


def read_note(note):
    """Text and signature lines (name, bytes) of a C2SP signed note."""
    need(isinstance(note, str) and len(note) <= MEGABYTE and not any(ord(c) < 32 and c != "\n" for c in note), "not a note")
    text, blank, lines = note.rpartition("\n\n")
    need(blank and lines.endswith("\n") and lines.count("\n") <= 100, "not a note")
    parts = [line.split(" ") for line in lines[:-1].split("\n")]
    need(all(len(part) == 3 and part[0] == "—" for part in parts), "not a signature line")
    found = [(named(name), b64(raw)) for _, name, raw in parts]
    need(all(len(raw) >= 5 for _, raw in found), "not a signature line")
    return text + "\n", found


def read_checkpoint(note, origin, keys):
    """Size, root and instant of a checkpoint that a key of the log signed while it was in force."""
    text, lines = read_note(note)
    known = [(key, raw[4:]) for name, raw in lines for key in keys if key[:2] == (name, raw[:4].hex())]
    need(known and all(signed(key, signature, text.encode()) for key, signature in known), "checkpoint: signature")
    name, size, root, at, end = text.split("\n")
    need(name == origin and form(r"0|[1-9][0-9]{0,18}", size) and at.startswith("at ") and not end, "checkpoint: form")
    need(known[0][0][3] <= instant(at[3:]) < known[0][0][4], "checkpoint: the key was not in force")
    return int(size), b64(root, 32), at[3:]


def count_witnesses(note, keys):
    """How many of these witnesses signed the checkpoint (C2SP tlog-cosignature); a wrong signature of one of them is an error."""
    text, lines = read_note(note)
    found = set()
    for key, raw in ((key, raw) for name, raw in lines for key in keys if key[:2] == (name, raw[:4].hex())):
        time = int.from_bytes(raw[4:12], "big")
        need(len(raw) == 76 and time < 1 << 37, "witness: form")
        need(signed(key, raw[12:], f"cosignature/v1\ntime {time}\n{text}".encode()), "witness: signature")
        found.add((key[0], key[2].public_bytes_raw()))
    return len(found)


def root_of(leaf, index, size, path):
    """The root to which a path of RFC 6962 leads: at each level from the top, the leaf is left or right of the split."""
    splits, start, end = [], 0, size
    while end - start > 1:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        splits.append(index >= middle)
        start, end = (middle, end) if index >= middle else (start, middle)
    need(len(path) == len(splits), "inclusion: length of the path")
    for sibling, right in zip(path, reversed(splits), strict=True):
        leaf = hashlib.sha256(b"\x01" + (sibling + leaf if right else leaf + sibling)).digest()
    return leaf


def read_entry(entry, origin, keys):
    """The fields of an entry whose promise a key of the log signed while it was in force, its leaf hash and its inclusion."""
    payload, promise = entry["payload"].encode(), entry["promise"]
    told = json.loads(entry["payload"], parse_float=refuse, parse_constant=refuse)
    canonical = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    need(len(payload) <= MEGABYTE and canonical == entry["payload"] and sorted(told) == ["at", "body", "id", "kind"], "entry: form")
    need(form("[0-9a-f]{32}", told["id"]) and form("[a-z][a-z-]{0,39}", told["kind"]) and isinstance(told["body"], dict), "entry: form")
    leaf = hashlib.sha256(b"\x00" + payload).digest()
    message, signature = b"\x00huitong-promise/1\n" + origin.encode() + b"\n" + leaf, b64(promise["signature"], 64)
    signers = [key for key in keys if key[1] == promise["key"] and signed(key, signature, message)]
    need(any(key[3] <= instant(told["at"]) < key[4] for key in signers), "promise: no signature of a key in force")
    proof = entry.get("inclusion")
    if proof is not None:
        index, size, path = proof["index"], proof["size"], proof["path"]
        need(type(index) is type(size) is int and 0 <= index < size <= 1 << 63 and isinstance(path, list), "inclusion: form")
        proof = (index, size, [b64(node, 32) for node in path])
    return told, leaf, proof


def check_use(entries):
    """That the entries tell one use; the hash of the result that was delivered, if one was."""
    uses = {told["kind"]: (told, proof) for told, _, proof in entries if told["kind"] in ONE_USE}
    need(len(uses) == sum(told["kind"] in ONE_USE for told, _, _ in entries), "use: several")
    need(not {"use-outcome", "use-refused"} <= uses.keys(), "use: several")
    bodies = {kind: told["body"] for kind, (told, _) in uses.items()}
    need(all(isinstance(body.get("query"), str) and body["query"] for body in bodies.values()), "use: no query")
    need(len({body["query"] for body in bodies.values()}) <= 1, "use: different queries")
    outcome = bodies.get("use-outcome")
    if outcome is not None:
        failed, hashed = "failure" in outcome, outcome.get("result_hash")
        need(isinstance(outcome.get("intent"), str), "use: an outcome without intent")
        need(isinstance(outcome["failure"], str) and "result_hash" not in outcome if failed else form("[0-9a-f]{64}", hashed), "use: form")
    intent, end = uses.get("use-intent"), uses.get("use-outcome") or uses.get("use-refused")
    if end and "intent" in end[0]["body"]:
        need(intent and end[0]["body"]["intent"] == intent[0]["id"], "use: another intent")
    if end and intent:
        places = [proof[0] if proof else float("inf") for _, proof in (intent, end)]
        need(intent[0]["at"] <= end[0]["at"] and places[0] <= places[1], "use: order")
    return outcome.get("result_hash") if outcome else None


def verify(receipt, keys, witnesses, chosen):
    """Raises whatever does not hold."""
    need(receipt["format"] == "huitong-receipt/1", "not a receipt")
    origin, entries, note = named(receipt["origin"]), receipt["entries"], receipt.get("checkpoint")
    keys = [key for key in keys if key[0] == origin]
    need(keys and isinstance(entries, list) and 0 < len(entries) <= 1000, "no key of this log, or no entries")
    entries = [read_entry(entry, origin, keys) for entry in entries]
    need(len({told["id"] for told, _, _ in entries}) == len(entries), "an entry stands twice")
    size, root, at = (None, None, "") if note is None else read_checkpoint(note, origin, keys)
    need((0 if note is None else count_witnesses(note, witnesses)) >= chosen.witnesses, "too few witnesses")
    for told, leaf, proof in entries:
        need(proof or not chosen.require_inclusion, "an entry is only promised")
        if proof:
            need(proof[1] == size and told["at"] <= at and root_of(leaf, *proof) == root, "inclusion: another root")
    delivered = check_use(entries)
    if chosen.result:
        need(hashlib.sha256(chosen.result.read_bytes()).hexdigest() == delivered, "another result")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify a Huitong receipt offline, without Huitong.")
    parser.add_argument("receipt", type=Path)
    parser.add_argument("keys", type=Path, help="the log's keys, one a line, from a source that you trust")
    parser.add_argument("--result", type=Path, help="the result as it was delivered")
    parser.add_argument("--require-inclusion", action="store_true", help="a promise alone is not enough")
    parser.add_argument("--witness-key", type=Path, help="keys of the witnesses that you trust, one a line")
    parser.add_argument("--witnesses", type=int, default=0, help="how many of them must have signed the checkpoint")
    chosen = parser.parse_args(arguments)
    try:
        text, keys, _ = chosen.receipt.read_text("utf-8"), chosen.keys.read_text("utf-8"), chosen.result and chosen.result.read_bytes()
        witnesses = chosen.witness_key.read_text("utf-8") if chosen.witness_key else ""
    except (OSError, UnicodeDecodeError) as error:
        print("a file cannot be read:", type(error).__name__)
        return 2
    try:
        receipt = json.loads(text, object_pairs_hook=unique)
        verify(receipt, read_keys(keys, LOG), read_keys(witnesses, WITNESS), chosen)
    except Exception as error:
        print("The receipt does NOT hold:", str(error) or type(error).__name__)
        return 1
    print("The receipt holds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
