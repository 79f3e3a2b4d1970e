"""What people typed, and values of conditions, never stand in the ledger in clear: an entry holds a salted hash.

The literal and its salt are kept aside, sealed under a key of the instance. Who holds both can show what was meant; who erases them
leaves a hash that tells nothing, and a tree that holds as before. A literal whose salt is kept elsewhere (that of a grant's conditions is
a part of its terms, which both offices hold) is not kept here.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from huitong.errors import NotFound, Unavailable

SEALED = "sealed"
"""The one name of what stands in an entry in place of a literal."""
NONCE_BYTES = 12
SALT_BYTES = 16


@dataclass(frozen=True)
class Literal:
    """A text that an entry must not hold in clear; `salt` if it is kept elsewhere."""

    text: str
    salt: str | None = None


@dataclass(frozen=True)
class OpenedLiteral:
    """A literal with its salt: whoever has the entry can count the hash anew."""

    digest: str
    text: str
    salt: str


class LiteralStore(Protocol):
    """Where sealed literals are kept, beside the ledger; they can be erased."""

    def add_literal(self, digest: str, sealed: bytes, at: datetime) -> None:
        """Keep one, inside the caller's transaction."""

    def literal(self, digest: str) -> bytes | None:
        """The sealed one; None if it is unknown, or erased."""

    def literals(self) -> Iterator[tuple[str, bytes]]:
        """All, with their hashes."""

    def erase_literals(self, digests: list[str]) -> int:
        """Remove these for good; how many there were."""


def literal_digest(text: str, salt: str) -> str:
    """SHA-256, in hex, of `huitong-literal/1`, the salt and the text, a newline after each of the first two."""
    return sha256(f"huitong-literal/1\n{salt}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


class Literals:
    """The literals of one instance."""

    def __init__(self, store: LiteralStore, key: Callable[[], bytes]) -> None:
        """`key` gives the 32 bytes under which they are sealed, when they are needed."""
        self._store = store
        self._key = key

    def keep(self, text: str, *, at: datetime) -> str:
        """Seal it with a new salt, inside the caller's transaction; its hash."""
        salt = secrets.token_hex(SALT_BYTES)
        digest = literal_digest(text, salt)
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = json.dumps([salt, text]).encode()
        self._store.add_literal(digest, nonce + self._cipher().encrypt(nonce, content, digest.encode()), at)
        return digest

    def show(self, digest: str) -> OpenedLiteral:
        """The literal of a hash. Raises NotFound `ledger-literal-unknown`, Unavailable `ledger-literal-damaged`."""
        sealed = self._store.literal(digest)
        if sealed is None:
            raise NotFound.because("ledger-literal-unknown", literal=digest[:64])
        return self._opened(digest, sealed)

    def erase(self, digest: str) -> None:
        """Remove it for good: the entry's hash tells nothing any more. Raises NotFound `ledger-literal-unknown`."""
        if not self._store.erase_literals([digest]):
            raise NotFound.because("ledger-literal-unknown", literal=digest[:64])

    def erase_holding(self, identifier: str) -> int:
        """Remove every literal in which the identifier stands, whatever marks and letter case it was written with; how many."""
        wanted = _signs(identifier)
        held = [digest for digest, sealed in self._store.literals() if wanted in _signs(self._opened(digest, sealed).text)]
        return self._store.erase_literals(held) if wanted and held else 0

    def _opened(self, digest: str, sealed: bytes) -> OpenedLiteral:
        try:
            salt, text = json.loads(self._cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], digest.encode()))
        except (InvalidTag, ValueError):
            raise Unavailable.because("ledger-literal-damaged", literal=digest[:64]) from None
        return OpenedLiteral(digest, text, salt)

    def _cipher(self) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(self._key())


def sealed_body(body: Mapping[str, Any], keep: Callable[[str], str]) -> dict[str, Any]:
    """The body with the hash in place of each literal; `keep` gives that of one whose salt is not kept elsewhere."""
    found = _sealed(dict(body), keep)
    assert isinstance(found, dict)
    return found


def _sealed(value: Any, keep: Callable[[str], str]) -> Any:
    if isinstance(value, Literal):
        return {SEALED: keep(value.text) if value.salt is None else literal_digest(value.text, value.salt)}
    if isinstance(value, dict):
        return {name: _sealed(part, keep) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sealed(part, keep) for part in value]
    return value


def has_literal(value: Any) -> bool:
    """Whether a literal stands anywhere in it; what is nested too deeply to be an entry holds none."""
    try:
        return _has_literal(value)
    except RecursionError:
        return False


def _has_literal(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_literal(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_literal(part) for part in value)
    return isinstance(value, Literal)


def _signs(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())
