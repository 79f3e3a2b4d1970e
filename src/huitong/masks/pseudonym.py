"""Pseudonyms: a keyed, one-way token for an identifier, the same within one linkage group and key epoch and unlike elsewhere.

The key never stands in SQL: tokens are computed here, written to a side table by the lake and joined in the governed subquery.
Tokens are signed 64-bit integers so that joining is cheap; `display` is the form for people."""

import base64
import hashlib
import hmac
import re

from huitong.errors import InputInvalid

_DOMAIN = b"huitong/pseudonym/1"
_DISPLAY_LENGTH = 13


def _framed(*parts: bytes) -> bytes:
    """Parts with their lengths, so that no two different lists look alike."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def group_key(master: bytes, linkage_group: str, epoch: int) -> bytes:
    """The key of one linkage group in one key epoch, derived from the `pseudonym-master` secret."""
    return hmac.digest(master, _framed(_DOMAIN, b"key", linkage_group.encode(), str(epoch).encode()), hashlib.sha256)


def token(key: bytes, linkage_group: str, epoch: int, identifier: str) -> int:
    """The token of an identifier under `key`: the first 64 bits of an HMAC-SHA-256, as a signed integer."""
    message = _framed(_DOMAIN, b"token", linkage_group.encode(), str(epoch).encode(), identifier.encode())
    return int.from_bytes(hmac.digest(key, message, hashlib.sha256)[:8], "big", signed=True)


def display(value: int) -> str:
    """The token as 13 letters and digits (base32), for people."""
    return base64.b32encode(value.to_bytes(8, "big", signed=True)).decode().rstrip("=")


def read_display(text: str) -> int:
    """The token that was displayed as `text`. Raises InputInvalid `pseudonym-unreadable`."""
    try:
        if len(text) != _DISPLAY_LENGTH:
            raise ValueError
        return int.from_bytes(base64.b32decode(text.upper() + "==="), "big", signed=True)
    except ValueError:
        raise InputInvalid.because("pseudonym-unreadable") from None


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_BOTH = re.compile(r"[2-7]{13}")


def read_token(text: str) -> int:
    """The token that was written as an integer or in its display form, blanks around it aside.

    Raises InputInvalid `pseudonym-unreadable`, or `pseudonym-two-ways` for 13 digits that are both (an integer then takes a sign)."""
    written = text.strip()
    if _BOTH.fullmatch(written):
        raise InputInvalid.because("pseudonym-two-ways")
    if _INTEGER.fullmatch(written) is None:
        return read_display(written)
    value = int(written)
    if not -(2**63) <= value < 2**63:
        raise InputInvalid.because("pseudonym-unreadable")
    return value
