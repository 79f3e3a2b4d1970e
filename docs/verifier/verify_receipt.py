"""Verify a Huitong receipt with nothing of Huitong: this one file, Python 3.11 and the package `cryptography`.

    python verify_receipt.py receipt.json ledger.vkeys [--result FILE] [--require-inclusion]

To be read before it is trusted, and written apart from the verifier of Huitong: a test holds both to the same verdict over good and
tampered receipts. Exit status: 0 the receipt holds, 1 it does not (and why), 2 a file cannot be read. `verify_witnesses.py` beside it
looks at the signatures of witnesses.
"""

import argparse
import base64
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MEGABYTE, FOR_EVER, PROMISED = 1 << 20, "~", 1 << 63
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
KEY = rf"([^\s+]{{1,200}})\+([0-9a-f]{{8}})\+(\S+)(?: from ({INSTANT}))?(?: until ({INSTANT}))?"
CHECKPOINT = rf"([^\n]+)\n(0|[1-9][0-9]{{0,18}})\n(\S+)\nat ({INSTANT})\n"
SIGNATURE = r"— ([^\s+]{1,200}) (\S+)\n"


def need(held, what):
    if not held:
        raise ValueError(what)


def form(pattern, text):
    return re.fullmatch(pattern, text, re.ASCII) if isinstance(text, str) else None


def instant(text):
    need(form(INSTANT, text) and datetime.fromisoformat(text), "not an instant")
    return text  # of one form, so that instants can be compared as texts


def b64(text, size=None):
    raw = base64.b64decode(text, validate=True)
    need(base64.b64encode(raw).decode() == text and size in (None, len(raw)), "base64 that is not canonical or not of its length")
    return raw


def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "a name stands twice")
    return dict(pairs)


def signed(key, signature, message):
    try:
        key[2].verify(signature, message)
    except Exception:
        return False
    return True


def read_keys(text, kind=1):
    """Keys `name+id+base64`, those of a log (kind 1) perhaps with `from <instant>` and `until <instant>`, one a line."""
    keys = []
    for line in (line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"):
        name, key_id, raw, begins, ends = form(KEY, line).groups()
        raw, begins, ends = b64(raw, 33), instant(begins) if begins else "", instant(ends) if ends else FOR_EVER
        need(raw[0] == kind and (kind == 1 or (begins, ends) == ("", FOR_EVER)) and name.isprintable(), "not a key of this kind")
        need(hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id, "not the id of the key")
        keys.append((name, key_id, Ed25519PublicKey.from_public_bytes(raw[1:]), begins, ends))
    need(len(keys) <= 100, "too many keys")
    return keys


def read_note(note, keys):
    """The text of a C2SP signed note, and its signatures under names and ids of these keys, each with the key."""
    need(len(note) <= MEGABYTE and not re.search(r"[\x00-\x09\x0b-\x1f]", note), "not a note")
    text, blank, lines = note.rpartition("\n\n")
    need(blank and re.fullmatch(f"({SIGNATURE})+", lines) and lines.count("\n") <= 100, "not a note")
    found = [(name, b64(raw)) for name, raw in re.findall(SIGNATURE, lines)]
    need(all(len(raw) >= 5 and name.isprintable() for name, raw in found), "not a line of a signature")
    return text + "\n", [(key, raw[4:]) for name, raw in found for key in keys if key[:2] == (name, raw[:4].hex())]


def read_checkpoint(note, origin, keys):
    """Size, root and instant of a checkpoint that a key of the log signed while it was in force."""
    text, signatures = read_note(note, keys)
    need(signatures and all(signed(key, signature, text.encode()) for key, signature in signatures), "checkpoint: signature")
    name, size, root, at = form(CHECKPOINT, text).groups()
    need(name == origin and signatures[0][0][3] <= instant(at) < signatures[0][0][4], "checkpoint: another log, or a key not in force")
    return int(size), b64(root, 32), at


def root_of(leaf, index, size, path):
    """The root to which a path of RFC 6962 leads: its last hash is that of the other side of the split at the top."""
    if size == 1:
        need(not path, "inclusion: length of the path")
        return leaf
    middle, (*inner, other) = 1 << (size - 1).bit_length() - 1, path
    if index < middle:
        return hashlib.sha256(b"\x01" + root_of(leaf, index, middle, inner) + other).digest()
    return hashlib.sha256(b"\x01" + other + root_of(leaf, index - middle, size - middle, inner)).digest()


def read_entry(entry, origin, keys, head):
    """The fields of an entry whose promise a key of the log signed while it was in force, and its place in the tree of the checkpoint."""
    payload, promise, proof = entry["payload"], entry["promise"], entry.get("inclusion")
    told = json.loads(payload, parse_float=lambda _: need(False, "a number that is not whole"))
    canonical = json.dumps(told, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    need(canonical == payload and len(payload.encode()) <= MEGABYTE and sorted(told) == ["at", "body", "id", "kind"], "entry: form")
    need(form("[0-9a-f]{32}", told["id"]) and form("[a-z][a-z-]{0,39}", told["kind"]) and isinstance(told["body"], dict), "entry: form")
    leaf = hashlib.sha256(b"\x00" + payload.encode()).digest()
    message, signature = b"\x00huitong-promise/1\n" + origin.encode() + b"\n" + leaf, b64(promise["signature"], 64)
    in_force = [key for key in keys if key[1] == promise["key"] and key[3] <= instant(told["at"]) < key[4]]
    need(any(signed(key, signature, message) for key in in_force), "promise: no signature of a key in force")
    if proof is None:
        return told, PROMISED
    need(head, "inclusion: in which tree")
    (size, root, at), index, path = head, proof["index"], proof["path"]
    need(type(index) is type(proof["size"]) is int and isinstance(path, list), "inclusion: form")
    need(0 <= index < size == proof["size"] and told["at"] <= at, "inclusion: not in the tree of this checkpoint")
    need(root_of(leaf, index, size, [b64(node, 32) for node in path]) == root, "inclusion: another root")
    return told, index


def check_use(entries):
    """That the entries tell one use; the hash of the result that was delivered, if one was."""
    of_uses = [one for one in entries if one[0]["kind"] in ("use-intent", "use-outcome", "use-refused")]
    uses, queries = {one[0]["kind"]: one for one in of_uses}, {told["body"]["query"] for told, _ in of_uses}
    need(len(uses) == len(of_uses) and not {"use-outcome", "use-refused"} <= uses.keys(), "use: several")
    need(len(queries) <= 1 and all(isinstance(query, str) and query for query in queries), "use: no query, or several")
    intent, outcome, refused = (uses.get(kind) for kind in ("use-intent", "use-outcome", "use-refused"))
    end, said = outcome or refused, outcome[0]["body"] if outcome else {}
    if outcome or (refused and "intent" in refused[0]["body"]):
        need(intent and end[0]["body"]["intent"] == intent[0]["id"], "use: another intent")
    if intent and end:
        need(intent[0]["at"] <= end[0]["at"] and intent[1] <= end[1], "use: order")
    hashed, failed = said.get("result_hash"), isinstance(said.get("failure"), str) and "result_hash" not in said
    need(not outcome or failed or ("failure" not in said and form("[0-9a-f]{64}", hashed)), "use: neither a result nor a failure")
    return hashed


def verify(receipt, keys, require_inclusion=False, result=None):
    """Raises whatever does not hold."""
    origin, note = receipt["origin"], receipt.get("checkpoint")
    keys = [key for key in keys if key[0] == origin]
    need(receipt["format"] == "huitong-receipt/1" and keys and 0 < len(receipt["entries"]) <= 1000, "no receipt, or no key of its log")
    head = None if note is None else read_checkpoint(note, origin, keys)
    entries = [read_entry(entry, origin, keys, head) for entry in receipt["entries"]]
    need(len({told["id"] for told, _ in entries}) == len(entries), "an entry stands twice")
    need(not require_inclusion or all(place != PROMISED for _, place in entries), "an entry is only promised")
    delivered = check_use(entries)
    need(result is None or hashlib.sha256(result).hexdigest() == delivered, "another result")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify a Huitong receipt offline, without Huitong.")
    parser.add_argument("receipt", type=Path)
    parser.add_argument("keys", type=Path, help="the log's keys, one a line, from a source that you trust")
    parser.add_argument("--result", type=Path, help="the result as it was delivered")
    parser.add_argument("--require-inclusion", action="store_true", help="a promise alone is not enough")
    chosen = parser.parse_args(arguments)
    try:
        receipt, keys = (file.read_text("utf-8") for file in (chosen.receipt, chosen.keys))
        receipt, result = json.loads(receipt, object_pairs_hook=unique), chosen.result.read_bytes() if chosen.result else None
        verify(receipt, read_keys(keys), chosen.require_inclusion, result)
    except Exception as error:
        unreadable = isinstance(error, OSError | UnicodeDecodeError)
        print("A file cannot be read:" if unreadable else "The receipt does NOT hold:", str(error) or repr(error))
        return 2 if unreadable else 1
    print("The receipt holds.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
