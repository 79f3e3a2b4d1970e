"""Whether witnesses that you trust signed the checkpoint of a Huitong receipt: they saw the tree grow, never change.

    python verify_witnesses.py receipt.json witness.vkeys [--witnesses N]

It goes with `verify_receipt.py` in the same folder, which says whether the receipt itself holds: both must. Exit status: 0 at least N
of them signed (default 1) and no line of theirs is false, 1 not, 2 a file cannot be read.
"""

import argparse
import json
from pathlib import Path

from verify_receipt import need, read_keys, read_note, signed, unique

COSIGNATURE, LATEST = 4, 1 << 37


def count_witnesses(note, keys):
    """How many of these witnesses signed the checkpoint (C2SP tlog-cosignature); a wrong signature of one of them is an error."""
    text, signatures = read_note(note, keys)
    for key, raw in signatures:
        time = int.from_bytes(raw[:8], "big")
        need(len(raw) == 72 and time < LATEST, "witness: form")
        need(signed(key, raw[8:], f"cosignature/v1\ntime {time}\n{text}".encode()), "witness: signature")
    return len({(key[0], key[2].public_bytes_raw()) for key, _ in signatures})


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check witnesses of the checkpoint of a Huitong receipt.")
    parser.add_argument("receipt", type=Path)
    parser.add_argument("keys", type=Path, help="keys of the witnesses that you trust, one a line")
    parser.add_argument("--witnesses", type=int, default=1, help="how many of them must have signed the checkpoint")
    chosen = parser.parse_args(arguments)
    try:
        receipt, keys = (file.read_text("utf-8") for file in (chosen.receipt, chosen.keys))
        note = json.loads(receipt, object_pairs_hook=unique).get("checkpoint")
        keys = read_keys(keys, COSIGNATURE)
        found = 0 if note is None else count_witnesses(note, keys)
        need(found >= chosen.witnesses, f"{found} of them signed, and {chosen.witnesses} are asked for")
    except Exception as error:
        unreadable = isinstance(error, OSError | UnicodeDecodeError)
        print("A file cannot be read:" if unreadable else "The witnesses do NOT hold:", str(error) or repr(error))
        return 2 if unreadable else 1
    print(f"{found} of the witnesses signed the checkpoint.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
