"""Tokens: what they look like, what they may do, how long they live. Pure; the table is in `models`, the verbs in `actions`."""

import hashlib
import hmac
import secrets
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.resources import files

MARK = "ht"
PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
PREFIX_LENGTH = 10
SECRET_BYTES = 32


class Scope(StrEnum):
    """What a token may be used for; the roles of its post bound it as well."""

    READ = "read"
    """Find, and see the office's requests, grants and receipts."""
    SHARE = "share"
    """Submit, answer and withdraw requests, revoke grants."""
    PUBLISH = "publish"
    """Publish entries and load snapshots."""
    USE = "use"
    """Query under a grant."""
    MANAGE = "manage"
    """Issue and revoke tokens, open staff mode, and with it register people and posts."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class TokenRules:
    """The numbers of `tokens.toml`."""

    source: str
    lifetime: timedelta
    longest: timedelta
    last_used_step: timedelta


@dataclass(frozen=True)
class IssuedToken:
    """A new token. `text` exists here and with its holder, nowhere else."""

    text: str
    prefix: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prefix={self.prefix!r}, expires_at={self.expires_at!r})"


@dataclass(frozen=True)
class TokenSummary:
    """A token as its holder or an operator may see it."""

    prefix: str
    label: str
    person: str
    post: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def read_rules() -> TokenRules:
    """The rules in force."""
    numbers = tomllib.loads((files(__package__) / "tokens.toml").read_text("utf-8"))
    return TokenRules(
        source=numbers["source"],
        lifetime=timedelta(days=numbers["lifetime_days"]),
        longest=timedelta(days=numbers["longest_days"]),
        last_used_step=timedelta(minutes=numbers["last_used_minutes"]),
    )


def new_token() -> tuple[str, str]:
    """Prefix and whole text of a new token: `ht_<prefix>_<secret>`."""
    prefix = "".join(secrets.choice(PREFIX_ALPHABET) for _ in range(PREFIX_LENGTH))
    return prefix, f"{MARK}_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def prefix_of(text: str) -> str | None:
    """The part of a token that may be shown; None if the text is no token."""
    mark, _, rest = text.partition("_")
    prefix, _, secret = rest.partition("_")
    well_formed = mark == MARK and len(prefix) == PREFIX_LENGTH and set(prefix) <= set(PREFIX_ALPHABET)
    return prefix if well_formed and secret and text.isascii() else None


def digest_of(text: str, *, salt: bytes) -> bytes:
    """What is kept of a token: HMAC-SHA-256 with the instance's own key, so a stolen table alone cannot be tried against."""
    return hmac.new(salt, text.encode(), hashlib.sha256).digest()
