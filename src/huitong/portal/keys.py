"""The key that Django signs sessions with."""

import secrets

from huitong.errors import NotFound
from huitong.keystore import SESSION, FileKeyStore
from huitong.settings import Settings


def session_key(settings: Settings) -> str:
    """That of the instance's key store; one for this process alone while there is no instance yet."""
    try:
        return FileKeyStore(settings.keys).secret(SESSION).hex()
    except NotFound:
        return secrets.token_hex(32)
