"""The list of a backup: every file with its size and SHA-256, what the database and the ledger were, signed by the key of the ledger.

Two files: `manifest.json` (canonical JSON) and `manifest.note`, a signed note (C2SP) over the hash of the first. The note is written last,
so a folder without it is no backup."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.errors import InputInvalid
from huitong.ledger.note import instant_text, sign_note
from huitong.ledger.verify import VerifierKey, canonical_json, open_note, parse_instant, parse_vkey

FORM = "huitong-backup/1"
MANIFEST = "manifest.json"
NOTE = "manifest.note"
FIRST_LINE = "huitong backup 1"
"""Of what is signed. The checkpoint of a log begins with the name of the log, which has no blanks: neither is taken for the other."""
MOST_BYTES = 1 << 30
"""The longest list that is read."""
_HASH = re.compile(r"[0-9a-f]{64}")
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True)
class BackupFile:
    """One file of a backup: its path below the folder, with `/`."""

    path: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        plain = not any(part in ("..", ".") for part in self.path.split("/")) and "\0" not in self.path and "\\" not in self.path
        if not parts or self.path.startswith("/") or not plain or "/".join(parts) != self.path:
            raise InputInvalid.because("backup-path-invalid", path=self.path[:200])
        if self.bytes < 0 or _HASH.fullmatch(self.sha256) is None:
            raise InputInvalid.because("backup-list-invalid", part="files")


@dataclass(frozen=True)
class DatabaseFacts:
    """The control database as it was copied."""

    kind: str
    """`sqlite` or `postgresql`."""
    migrations: tuple[str, ...]
    """Every migration that had run, as `app.name`."""
    rows: Mapping[str, int]
    """Rows of every table."""
    sequences: Mapping[str, int]
    """The last value of each sequence of PostgreSQL that gave one."""

    def __post_init__(self) -> None:
        if self.kind not in (SQLITE, POSTGRESQL):
            raise InputInvalid.because("backup-list-invalid", part="database")


@dataclass(frozen=True)
class LedgerFacts:
    """The ledger as the copied database tells it."""

    size: int
    root: str
    """Base64, as in the checkpoint."""
    checkpoint: str
    """The signed note of the newest checkpoint."""
    pending: int
    """Entries that were promised and not in the tree yet."""
    keys: tuple[str, ...]
    """Every verifier key of the log with its time, the present one first."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    origin: str
    """The name of the log, and of the instance."""
    huitong: str
    """Version of Huitong that made it."""
    made_at: datetime
    operator: str
    database: DatabaseFacts
    ledger: LedgerFacts
    files: tuple[BackupFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    def written(self) -> bytes:
        """As canonical JSON."""
        return canonical_json(
            {
                "form": FORM,
                "origin": self.origin,
                "huitong": self.huitong,
                "made_at": instant_text(self.made_at),
                "operator": self.operator,
                "database": {
                    "kind": self.database.kind,
                    "migrations": list(self.database.migrations),
                    "rows": dict(self.database.rows),
                    "sequences": dict(self.database.sequences),
                },
                "ledger": {
                    "size": self.ledger.size,
                    "root": self.ledger.root,
                    "checkpoint": self.ledger.checkpoint,
                    "pending": self.ledger.pending,
                    "keys": list(self.ledger.keys),
                },
                "files": [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in self.files],
            }
        )


def read_manifest(written: bytes) -> Manifest:
    """The list of its bytes. Raises InputInvalid `backup-list-invalid`, `backup-path-invalid`."""
    try:
        value = json.loads(written.decode("utf-8"))
        if canonical_json(value) != written or value["form"] != FORM:
            raise ValueError("not in the form of this version")
        database, ledger = value["database"], value["ledger"]
        files = tuple(BackupFile(_text(one["path"]), _number(one["bytes"]), _text(one["sha256"])) for one in value["files"])
        if len({file.path for file in files}) != len(files):
            raise ValueError("a file stands twice")
        return Manifest(
            origin=_text(value["origin"]),
            huitong=_text(value["huitong"]),
            made_at=parse_instant(value["made_at"]),
            operator=_text(value["operator"]),
            database=DatabaseFacts(
                _text(database["kind"]), _texts(database["migrations"]), _numbers(database["rows"]), _numbers(database["sequences"])
            ),
            ledger=LedgerFacts(
                _number(ledger["size"]),
                _text(ledger["root"]),
                _text(ledger["checkpoint"]),
                _number(ledger["pending"]),
                _texts(ledger["keys"]),
            ),
            files=files,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputInvalid.because("backup-list-invalid", part="-") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a number")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in value)


def _numbers(value: Any) -> dict[str, int]:
    return {_text(name): _number(one) for name, one in value.items()}


def manifest_hash(written: bytes) -> str:
    """SHA-256 of the written list: the name of a backup in the ledger."""
    return hashlib.sha256(written).hexdigest()


def sign_manifest(written: bytes, *, origin: str, key: Ed25519PrivateKey) -> str:
    """The signed note over the list."""
    return sign_note(f"{FIRST_LINE}\n{origin}\n{manifest_hash(written)}\n", origin=origin, key=key)


def signer(note: str, written: bytes, keys: Sequence[VerifierKey], *, at: str, origin: str) -> VerifierKey | None:
    """The key, among trusted ones, that signed this list and was in force at that instant; None if none did."""
    try:
        text, key = open_note(note, keys)
    except ValueError:
        return None
    right = text == f"{FIRST_LINE}\n{origin}\n{manifest_hash(written)}\n" and key.name == origin and key.in_force(at)
    return key if right else None


def keys_of_lines(lines: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Verifier keys of their lines; those that are none are left out."""
    found = []
    for line in lines:
        try:
            found.append(parse_vkey(line))
        except ValueError:
            continue
    return tuple(found)


def root_text(root: bytes) -> str:
    """A root as it stands in a checkpoint."""
    return base64.b64encode(root).decode()


def read_folder(folder: Path) -> tuple[Manifest, bytes, str]:
    """The list of a backup, its bytes and its note. Raises InputInvalid `backup-not-whole` if it was never finished, or is none."""
    try:
        note = (folder / NOTE).read_text("utf-8")
        with (folder / MANIFEST).open("rb") as file:
            written = file.read(MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("backup-not-whole", folder=folder.name) from None
    return read_manifest(written), written, note
