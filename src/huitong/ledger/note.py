"""Signing: verifier keys, signed notes and checkpoints (C2SP signed-note, tlog-checkpoint). Checking them is in `verify`."""

import base64
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from huitong.errors import InputInvalid, LedgerBroken
from huitong.ledger.verify import VerifierKey, is_key_name, open_checkpoint, parse_instant
from huitong.model.ledger import Checkpoint


def verifier_key(origin: str, public: Ed25519PublicKey) -> VerifierKey:
    """The key of the log `origin` as readers know it. Raises InputInvalid `ledger-origin-invalid`."""
    if not is_key_name(origin):
        raise InputInvalid.because("ledger-origin-invalid", origin=origin)
    return VerifierKey(origin, public.public_bytes_raw())


def instant_text(instant: datetime) -> str:
    """The one form in which the ledger writes an instant: UTC with six digits of a second."""
    if instant.tzinfo is None:
        raise InputInvalid.because("instant-without-zone")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def sign_note(text: str, *, origin: str, key: Ed25519PrivateKey) -> str:
    """The text with its signature line."""
    if not text.endswith("\n"):
        raise ValueError("the text of a note ends with a newline")
    known = verifier_key(origin, key.public_key())
    signature = bytes.fromhex(known.id) + key.sign(text.encode())
    return f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n"


def sign_checkpoint(*, origin: str, size: int, root: bytes, at: datetime, key: Ed25519PrivateKey) -> Checkpoint:
    """The signed tree head of a tree; its instant is signed too, as an extension line."""
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\nat {instant_text(at)}\n"
    return Checkpoint(origin=origin, size=size, root=root, at=at.astimezone(UTC), note=sign_note(text, origin=origin, key=key))


def check_checkpoint(checkpoint: Checkpoint, keys: tuple[VerifierKey, ...]) -> None:
    """Raises LedgerBroken `ledger-checkpoint-broken` unless the note is signed, by a key in force at its instant, and says what the
    checkpoint's fields say."""
    try:
        head, key = open_checkpoint(checkpoint.note, keys)
        if not key.in_force(head.at):
            raise ValueError("signed by a key that was not in force")
        told = (head.origin, head.size, head.root, parse_instant(head.at))
    except (TypeError, ValueError):
        raise LedgerBroken.because("ledger-checkpoint-broken", size=checkpoint.size) from None
    if told != (checkpoint.origin, checkpoint.size, checkpoint.root, checkpoint.at):
        raise LedgerBroken.because("ledger-checkpoint-broken", size=checkpoint.size)
