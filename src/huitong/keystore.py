"""Where the instance's keys live: a folder now, a key service later; never the database, a log or an ordinary backup.

A key is 32 random bytes under a name. `secret` gives the bytes (for HMAC), `signing_key` the Ed25519 key of that seed.
Beside the keys lie sealed secrets of others, such as the password of a database: encrypted under the key `seal`, bound to their name.
"""

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from huitong.errors import Conflict, InputInvalid, NotFound, Unavailable

KEY_BYTES = 32
LEDGER = "ledger"
PSEUDONYM_MASTER = "pseudonym-master"
SESSION = "session"
TOKEN_SALT = "token-salt"  # noqa: S105 (the name of a key, not a key)
EXTRACT_ADDRESS = "extract-address"
"""Key that signs the addresses under which extracts are fetched; an instance that was made without it gets it with the first."""
LEDGER_LITERALS = "ledger-literals"
"""Key under which the literals of ledger entries are sealed; made with the first of them."""
LATER_KEYS = frozenset([EXTRACT_ADDRESS, LEDGER_LITERALS])
"""Keys that an instance of an earlier version lacks until their first use makes them."""
KEY_NAMES = (LEDGER, PSEUDONYM_MASTER, SESSION, TOKEN_SALT, EXTRACT_ADDRESS, LEDGER_LITERALS)
"""Every key that an instance has."""

SEAL = "seal"
"""Key under which secrets of others are sealed; made with the first of them."""
SIGN_ON_SECRET = "sign-on-client"  # noqa: S105 (the name of a secret, not a secret)
"""Name of the sealed client secret of the sign-on service."""
SEALED_BYTES = 65_536
"""The longest secret that is kept."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def pseudonym_key(number: int) -> str:
    """The name of the master key of pseudonyms of that number."""
    return PSEUDONYM_MASTER if number == 1 else f"{PSEUDONYM_MASTER}-{number}"


class KeyStore(Protocol):
    """What the rest of the house needs from a key store."""

    def secret(self, name: str) -> bytes:
        """The 32 bytes of the key; the same for the life of the instance."""

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """The Ed25519 key of that name."""


class KeyMaker(KeyStore, Protocol):
    """A key store that can also make a key."""

    def secret_or_made(self, name: str) -> bytes:
        """The 32 bytes of the key, made first if it is not there yet; on the disk before this returns."""


class SecretStore(Protocol):
    """Where secrets of others are kept: what one is allowed to know in order to use it, such as a password."""

    def keep_sealed(self, name: str, secret: bytes) -> None:
        """Keep the secret under that name, in place of an earlier one."""

    def sealed(self, name: str) -> bytes:
        """The secret of that name. Raises NotFound `secret-missing`."""

    def forget_sealed(self, name: str) -> None:
        """Remove it. Raises NotFound `secret-missing`."""

    def sealed_names(self) -> Collection[str]:
        """The names there are, sorted."""


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
            self._write_key(name)
        self._sync_folder()

    def secret(self, name: str) -> bytes:
        """The 32 bytes of the key. Raises NotFound `key-missing`, Unavailable `key-exposed` or `key-damaged`."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def secret_or_made(self, name: str) -> bytes:
        """The same; a key that is not there yet is made first. Of two processes at once one makes it."""
        if not os.path.lexists(self._file(name)):
            with contextlib.suppress(Conflict):
                self.create([name])
        return self.secret(name)

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """The Ed25519 key whose seed is the key's bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.secret(name))

    def verify_key(self, name: str) -> Ed25519PublicKey:
        """The public half of `signing_key(name)`."""
        return self.signing_key(name).public_key()

    def keep_sealed(self, name: str, secret: bytes) -> None:
        """Seal the secret into the file `<name>.sealed` (mode 0600), in place of an earlier one: all of it or nothing.

        Raises InputInvalid `key-name-invalid`, `secret-too-long`; Unavailable as `secret` does."""
        file = self._sealed_file(name)
        if len(secret) > SEALED_BYTES:
            raise InputInvalid.because("secret-too-long", limit=SEALED_BYTES)
        if not os.path.lexists(self._file(SEAL)):
            with contextlib.suppress(Conflict):  # another process was first
                self.create([SEAL])
        nonce = secrets.token_bytes(12)
        closed = nonce + ChaCha20Poly1305(self.secret(SEAL)).encrypt(nonce, secret, name.encode())
        self._write_private(name, closed).replace(file)
        self._sync_folder()

    def sealed(self, name: str) -> bytes:
        """The secret of that name. Raises NotFound `secret-missing`, Unavailable `key-exposed`, `key-damaged`, `key-unreadable`."""
        try:
            closed = self._read_private(self._sealed_file(name), name, SEALED_BYTES + 64)
        except FileNotFoundError:
            raise NotFound.because("secret-missing", secret=name) from None
        try:
            return ChaCha20Poly1305(self.secret(SEAL)).decrypt(closed[:12], closed[12:], name.encode())
        except (InvalidTag, ValueError):
            raise Unavailable.because("key-damaged", key=name) from None

    def forget_sealed(self, name: str) -> None:
        """Remove the secret of that name. Raises NotFound `secret-missing`."""
        try:
            self._sealed_file(name).unlink()
        except FileNotFoundError:
            raise NotFound.because("secret-missing", secret=name) from None
        self._sync_folder()

    def sealed_names(self) -> Collection[str]:
        """The names of the sealed secrets, sorted."""
        return sorted(file.stem for file in self._folder.glob("*.sealed"))

    def _sealed_file(self, name: str) -> Path:
        return self._file(name).with_suffix(".sealed")

    def _file(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise InputInvalid.because("key-name-invalid", key=name)
        return self._folder / f"{name}.key"

    def _load(self, name: str) -> bytes:
        try:
            text = self._read_private(self._file(name), name, 2 * KEY_BYTES + 2)
        except FileNotFoundError:
            raise NotFound.because("key-missing", key=name) from None
        if re.fullmatch(rb"[0-9a-f]{64}\n", text) is None:
            raise Unavailable.because("key-damaged", key=name)
        return bytes.fromhex(text.decode())

    def _read_private(self, path: Path, name: str, limit: int) -> bytes:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError:
            raise Unavailable.because("key-unreadable", key=name) from None
        with os.fdopen(handle, "rb") as file:
            modes = (os.fstat(handle).st_mode, self._folder.stat().st_mode)
            if any(mode & (stat.S_IRWXG | stat.S_IRWXO) for mode in modes):
                raise Unavailable.because("key-exposed", key=name)
            return file.read(limit)

    def _write_key(self, name: str) -> None:
        """Whole under its name or not there: written beside it, then linked, which fails if it is there already."""
        fresh = self._write_private(name, secrets.token_hex(KEY_BYTES).encode() + b"\n")
        try:
            os.link(fresh, self._file(name))
        except FileExistsError:
            raise Conflict.because("key-exists", key=name) from None
        finally:
            fresh.unlink()

    def _write_private(self, name: str, content: bytes) -> Path:
        """A new file of a name that nobody else writes, mode 0600, on the disk."""
        fresh = self._folder / f".{name}.{secrets.token_hex(8)}"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)
                file.write(content)
                file.flush()
                os.fsync(handle)
        except BaseException:
            fresh.unlink()
            raise
        return fresh

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
