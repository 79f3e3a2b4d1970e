"""Signatures of messages between systems, as the Standard Webhooks specification has them, and the secrets they are made with.

A secret is known to the receiver and the key store; never to the database, the ledger or a log. It is shown once, when it is made.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from huitong.errors import NotFound
from huitong.keystore import SecretStore

MARK = "whsec_"
SECRET_BYTES = 32
MOST_KEPT = 3
"""Old secrets that sign beside the new one at most, however often it is changed in a day."""


def message_id(delivery: str) -> str:
    """The id of a message; the same however often it is sent."""
    return f"msg_{delivery}"


def headers_of(delivery: str, body: bytes, *, at: datetime, keys: Sequence[bytes]) -> Mapping[str, str]:
    """The three headers of the specification: id, the instant of this attempt, one signature for each key."""
    identifier, seconds = message_id(delivery), str(int(at.timestamp()))
    signed = f"{identifier}.{seconds}.".encode() + body
    signatures = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class WebhookSecrets:
    """The secrets of all webhooks, over the key store."""

    def __init__(self, keystore: SecretStore) -> None:
        self._keystore = keystore

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def make(self, webhook: str) -> str:
        """A new secret: what the receiver is told, once."""
        text = _new()
        self._keep(webhook, text, [])
        return text

    def rotate(self, webhook: str, *, now: datetime, until: datetime) -> str:
        """A new secret; the one before signs too until that instant. Raises NotFound `secret-missing`."""
        text, old = self._read(webhook)
        kept = [(text, until), *((one, end) for one, end in old if end > now)]
        new = _new()
        self._keep(webhook, new, kept[:MOST_KEPT])
        return new

    def keys(self, webhook: str, *, now: datetime) -> Sequence[bytes]:
        """What to sign with at this instant, the newest first. Raises NotFound `secret-missing`."""
        text, old = self._read(webhook)
        return [_key(text), *(_key(one) for one, end in old if end > now)]

    def forget(self, webhook: str) -> None:
        """Nothing can be signed for it any more; told twice it does no harm."""
        try:
            self._keystore.forget_sealed(_name(webhook))
        except NotFound:
            return

    def _read(self, webhook: str) -> tuple[str, list[tuple[str, datetime]]]:
        found = json.loads(self._keystore.sealed(_name(webhook)))
        return found["secret"], [(one["secret"], datetime.fromisoformat(one["until"])) for one in found["old"]]

    def _keep(self, webhook: str, text: str, old: Sequence[tuple[str, datetime]]) -> None:
        written = {"secret": text, "old": [{"secret": one, "until": end.isoformat()} for one, end in old]}
        self._keystore.keep_sealed(_name(webhook), json.dumps(written).encode())


def _name(webhook: str) -> str:
    return f"webhook-{webhook}"


def _new() -> str:
    return MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _key(text: str) -> bytes:
    return base64.b64decode(text.removeprefix(MARK))
