"""Witnesses (C2SP tlog-witness, tlog-cosignature): who looks at a log from outside and signs a checkpoint only if it goes on from the last.

Two copies of a ledger that tell different people different things cannot both have the signature of one honest witness. The witness
asks the log; nothing must be open towards it. The log takes its lines in and hands them out; without any it works on as before.
"""

import base64
import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.errors import Conflict, InputInvalid, LedgerBroken, Refused, Unavailable
from huitong.ledger.verify import (
    COSIGNATURE,
    HASH_BYTES,
    MAXIMUM_PAYLOAD_BYTES,
    MAXIMUM_TIME,
    TIME_BYTES,
    Cosignature,
    TreeHead,
    VerifierKey,
    consistency_holds,
    cosignature_message,
    decode_base64,
    is_key_name,
    open_checkpoint,
    open_cosignatures,
    parse_vkey,
)

PRIVATE_MARK = "PRIVATE+KEY+"
"""Begins a private key as text (the form of Go's signed notes)."""


@dataclass(frozen=True)
class WitnessKey:
    """The key of a witness, which signs checkpoints with their time."""

    name: str
    private: Ed25519PrivateKey

    @property
    def public(self) -> VerifierKey:
        """The public half, as those who trust this witness know it."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw(), kind=COSIGNATURE)

    def line(self, note: str, *, time: int) -> str:
        """The cosignature/v1 line for a checkpoint at a time (POSIX seconds), with its newline."""
        if not 0 <= time < MAXIMUM_TIME:
            raise ValueError("not a time")
        signature = self.private.sign(cosignature_message(text_of(note), time))
        raw = bytes.fromhex(self.public.id) + time.to_bytes(TIME_BYTES, "big") + signature
        return f"— {self.name} {base64.b64encode(raw).decode()}\n"


def text_of(note: str) -> str:
    """What a signed note signs. Raises ValueError if it is none."""
    text, blank, _ = note.rpartition("\n\n")
    if not blank:
        raise ValueError("not a signed note")
    return text + "\n"


def make_witness_key(path: Path, name: str, seed: bytes) -> WitnessKey:
    """Write a new key of that name and 32 random bytes into a file that only its owner reads.

    Raises InputInvalid `ledger-witness-name-invalid`, Conflict `ledger-witness-key-exists`, Unavailable
    `ledger-witness-file-unwritable`."""
    if not is_key_name(name):
        raise InputInvalid.because("ledger-witness-name-invalid", name=name)
    key = WitnessKey(name, Ed25519PrivateKey.from_private_bytes(seed))
    text = f"{PRIVATE_MARK}{name}+{key.public.id}+{base64.b64encode(COSIGNATURE + seed).decode()}\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict.because("ledger-witness-key-exists", file=str(path)) from None
    except OSError:
        raise Unavailable.because("ledger-witness-file-unwritable", file=str(path)) from None
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return key


def read_witness_key(path: Path) -> WitnessKey:
    """The key in a file. Raises InputInvalid `ledger-witness-key-invalid`, Unavailable `ledger-witness-key-exposed` if others can
    read it."""
    try:
        with path.open("rb") as file:
            exposed = os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            text = file.read(MAXIMUM_PAYLOAD_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("ledger-witness-key-invalid", file=str(path)) from None
    if exposed:
        raise Unavailable.because("ledger-witness-key-exposed", file=str(path))
    try:
        name, key_id, encoded = text.removeprefix(PRIVATE_MARK).split("+", 2)
        raw = decode_base64(encoded, 1 + HASH_BYTES)
        key = WitnessKey(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        sound = text.startswith(PRIVATE_MARK) and is_key_name(name) and raw[:1] == COSIGNATURE and key.public.id == key_id
    except ValueError:
        sound = False
    if not sound:
        raise InputInvalid.because("ledger-witness-key-invalid", file=str(path))
    return key


class SeenFile:
    """What a witness has signed last: the whole checkpoint, in one file for one log, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time. Raises Unavailable `ledger-witness-file-unwritable`, Conflict `ledger-witness-busy`."""
        try:
            handle = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise Unavailable.because("ledger-witness-file-unwritable", file=str(self.path)) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Conflict.because("ledger-witness-busy", file=str(self.path)) from None
        finally:
            os.close(handle)

    def read(self) -> str | None:
        """The checkpoint; None if this witness has signed none yet. A file that cannot be read is no beginning: it raises
        Unavailable `ledger-witness-file-unwritable`."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise Unavailable.because("ledger-witness-file-unwritable", file=str(self.path)) from None

    def write(self, note: str) -> None:
        """Put this checkpoint in place of the last; on the disk before it returns."""
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            raise Unavailable.because("ledger-witness-file-unwritable", file=str(self.path)) from None


def goes_on(
    note: str, *, seen: str | None, keys: Sequence[VerifierKey], prove: Callable[[int, int], Sequence[str]]
) -> TreeHead:
    """The tree head of a checkpoint that goes on from the one that was seen last; `prove` gets the log's proof (base64) of two sizes.

    Raises LedgerBroken `ledger-witness-checkpoint-broken`, `ledger-witness-shorter` or `ledger-witness-forked`; InputInvalid
    `ledger-witness-seen-broken` if what the witness kept is not of this log."""
    head = _held(note, keys)
    if head is None:
        raise LedgerBroken.because("ledger-witness-checkpoint-broken")
    if seen is None:
        return head
    last = _held(seen, keys)
    if last is None:
        raise InputInvalid.because("ledger-witness-seen-broken")
    if head.size < last.size:
        raise LedgerBroken.because("ledger-witness-shorter", size=head.size, seen=last.size)
    try:
        path = [] if last.size in (0, head.size) else [decode_base64(node, HASH_BYTES) for node in prove(last.size, head.size)]
    except ValueError:
        path = [b""]
    if not consistency_holds(first=last.size, first_root=last.root, second=head.size, second_root=head.root, path=path):
        raise LedgerBroken.because("ledger-witness-forked", size=head.size, seen=last.size)
    return head


def _held(note: str, keys: Sequence[VerifierKey]) -> TreeHead | None:
    """The tree head of a checkpoint that a key of the log signed while in force; None of any other."""
    try:
        head, key = open_checkpoint(note, keys)
    except ValueError:
        return None
    return head if key.in_force(head.at) else None


# --- on the side of the log


def parse_witnesses(written: str) -> tuple[VerifierKey, ...]:
    """The witnesses of a setting, with commas between. Raises InputInvalid `ledger-witness-setting-invalid`."""
    try:
        return tuple(parse_vkey(text.strip(), COSIGNATURE) for text in written.split(",") if text.strip())
    except ValueError:
        raise InputInvalid.because("ledger-witness-setting-invalid") from None


def checked_lines(note: str, lines: str, *, witnesses: Sequence[VerifierKey]) -> tuple[tuple[Cosignature, str], ...]:
    """The cosignatures of known witnesses among the lines for a checkpoint, each with its line.

    Raises InputInvalid `ledger-cosignature-broken` if a line is none or does not hold, Refused `ledger-witness-unknown` if none of
    the lines is of a known witness."""
    found: dict[str, tuple[Cosignature, str]] = {}
    for line in lines.splitlines():
        try:
            signed = open_cosignatures(f"{text_of(note)}\n{line}\n", witnesses)
        except ValueError:
            raise InputInvalid.because("ledger-cosignature-broken") from None
        found.update({one.witness.text: (one, f"{line}\n") for one in signed})
    if not found:
        raise Refused.because("ledger-witness-unknown")
    return tuple(found.values())

