"""Where the instance's keys live: a folder now, a key service later; never the database, a log or an ordinary backup.

A key is 32 random bytes under a name. `secret` gives the bytes (for HMAC), `signing_key` the Ed25519 key of that seed.
"""

import os
import re
import secrets
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from huitong.errors import Conflict, InputInvalid, NotFound, Unavailable

KEY_BYTES = 32
LEDGER = "ledger"
PSEUDONYM_MASTER = "pseudonym-master"
SESSION = "session"
TOKEN_SALT = "token-salt"  # noqa: S105 (the name of a key, not a key)
KEY_NAMES = (LEDGER, PSEUDONYM_MASTER, SESSION, TOKEN_SALT)
"""Every key that an instance has."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class KeyStore(Protocol):
    """What the rest of the house needs from a key store."""

    def secret(self, name: str) -> bytes:
        """The 32 bytes of the key; the same for the life of the instance."""

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """The Ed25519 key of that name."""


class FileKeyStore:
    """Keys as files `<name>.key` (hexadecimal text, mode 0600) in one folder (mode 0700).

    A file or folder that others can read is refused rather than used: whoever read it could sign in the ledger's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def create(self, names: Collection[str] = KEY_NAMES) -> None:
        """Make all keys of `names`. Raises Conflict `key-exists` before anything is made if one of them is there."""
        for name in names:
            if os.path.lexists(self._file(name)):
                raise Conflict.because("key-exists", key=name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        for name in names:
            try:
                handle = os.open(self._file(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                raise Conflict.because("key-exists", key=name) from None
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)
                file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
                file.flush()
                os.fsync(handle)
        self._sync_folder()

    def secret(self, name: str) -> bytes:
        """The 32 bytes of the key. Raises NotFound `key-missing`, Unavailable `key-exposed` or `key-damaged`."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """The Ed25519 key whose seed is the key's bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.secret(name))

    def verify_key(self, name: str) -> Ed25519PublicKey:
        """The public half of `signing_key(name)`."""
        return self.signing_key(name).public_key()

    def _file(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise InputInvalid.because("key-name-invalid", key=name)
        return self._folder / f"{name}.key"

    def _load(self, name: str) -> bytes:
        try:
            handle = os.open(self._file(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound.because("key-missing", key=name) from None
        except OSError:
            raise Unavailable.because("key-unreadable", key=name) from None
        with os.fdopen(handle, "rb") as file:
            modes = (os.fstat(handle).st_mode, self._folder.stat().st_mode)
            if any(mode & (stat.S_IRWXG | stat.S_IRWXO) for mode in modes):
                raise Unavailable.because("key-exposed", key=name)
            text = file.read(2 * KEY_BYTES + 2)
        if re.fullmatch(rb"[0-9a-f]{64}\n", text) is None:
            raise Unavailable.because("key-damaged", key=name)
        return bytes.fromhex(text.decode())

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
