"""A backup of the keys: one file, sealed under a passphrase (scrypt, then AES-256-GCM), apart from every other backup.

Whoever holds the file and the passphrase can sign for the ledger, make pseudonyms and open sealed secrets."""

import base64
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from huitong.errors import Conflict, InputInvalid, NotFound, Unavailable
from huitong.ledger.verify import canonical_json

FORM = "huitong-keys/1"
LIMITS: Mapping[str, Mapping[str, int]] = tomllib.loads(files("huitong.backing").joinpath("limits.toml").read_text("utf-8"))
"""From `limits.toml`, with their sources."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\.(key|sealed)")
_SALT, _NONCE, _KEY = 16, 12, 32


def check_passphrase(passphrase: str) -> None:
    """Raises InputInvalid `passphrase-too-short`, `passphrase-too-long`."""
    limits = LIMITS["passphrase"]
    if len(passphrase) < limits["least_characters"]:
        raise InputInvalid.because("passphrase-too-short", least=limits["least_characters"])
    if len(passphrase.encode()) > limits["most_bytes"]:
        raise InputInvalid.because("passphrase-too-long", most=limits["most_bytes"])


def read_keys(folder: Path) -> dict[str, bytes]:
    """Every file of a key store, by name. Raises NotFound `keys-missing`, Unavailable `key-exposed`, `key-unreadable`."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if _NAME.fullmatch(path.name) is None:
            continue
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise Unavailable.because("key-unreadable", key=path.stem) from None
        with os.fdopen(handle, "rb") as file:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise Unavailable.because("key-exposed", key=path.stem)
            found[path.name] = file.read()
    if not found:
        raise NotFound.because("keys-missing")
    return found


def seal_keys(keys: Mapping[str, bytes], *, passphrase: str, origin: str) -> bytes:
    """The sealed file of these keys; `origin` is the name of the instance, which is not secret and cannot be changed unseen."""
    check_passphrase(passphrase)
    cost = {name: LIMITS["scrypt"][name] for name in ("n", "r", "p")}
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    head = {"form": FORM, "origin": origin, "kdf": "scrypt", **cost, "salt": _text(salt), "nonce": _text(nonce)}
    content = canonical_json({name: _text(key) for name, key in keys.items()})
    closed = AESGCM(_derived(passphrase, salt, cost)).encrypt(nonce, content, canonical_json(head))
    return canonical_json({**head, "sealed": _text(closed)}) + b"\n"


def open_keys(written: bytes, *, passphrase: str) -> tuple[str, dict[str, bytes]]:
    """The origin and the keys of a sealed file. Raises InputInvalid `keys-file-invalid`, or `keys-passphrase-wrong` where passphrase and
    file do not fit each other: it was another, or the file was changed."""
    limits = LIMITS["scrypt"]
    try:
        value: dict[str, Any] = json.loads(written.decode("utf-8"))
        closed = base64.b64decode(value.pop("sealed"), validate=True)
        cost = {name: int(value[name]) for name in ("n", "r", "p")}
        salt, nonce = (base64.b64decode(value[name], validate=True) for name in ("salt", "nonce"))
        origin = str(value["origin"])
        right = value["form"] == FORM and value["kdf"] == "scrypt" and (len(salt), len(nonce)) == (_SALT, _NONCE)
        if not right or cost["n"] < 2 or cost["n"] & (cost["n"] - 1):
            raise ValueError("not of this form")
        if any(not 1 <= cost[name] <= limits[f"most_{name}"] for name in cost):
            raise ValueError("too dear to open")
        head = canonical_json(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputInvalid.because("keys-file-invalid") from None
    try:
        content = json.loads(AESGCM(_derived(passphrase, salt, cost)).decrypt(nonce, closed, head))
        keys = {str(name): base64.b64decode(key, validate=True) for name, key in content.items()}
    except (InvalidTag, ValueError, AttributeError):
        raise InputInvalid.because("keys-passphrase-wrong") from None
    if any(_NAME.fullmatch(name) is None for name in keys):
        raise InputInvalid.because("keys-file-invalid")
    return origin, keys


def put_keys(keys: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a key store that is not there yet: all of them or none. Raises Conflict `keys-there`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict.because("keys-there")
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    beside.mkdir(mode=0o700)
    try:
        for name, key in keys.items():
            handle = os.open(beside / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(handle)
        beside.rename(folder)  # takes the place of an empty folder too
    except BaseException:
        for path in beside.glob("*"):
            path.unlink()
        beside.rmdir()
        raise


def _derived(passphrase: str, salt: bytes, cost: Mapping[str, int]) -> bytes:
    return Scrypt(salt=salt, length=_KEY, n=cost["n"], r=cost["r"], p=cost["p"]).derive(passphrase.encode())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
