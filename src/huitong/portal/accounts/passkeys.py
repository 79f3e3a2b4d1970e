"""Passkeys as a second factor (WebAuthn): the ceremony is allauth's over fido2; names and site are ours."""

from typing import Any

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.webauthn.internal import auth
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from huitong.portal.accounts.models import Account


class PasskeyAdapter(DefaultMFAAdapter):
    """What an authenticator shows of the site and of the account."""

    def _get_site_name(self) -> str:
        return "Huitong"

    def get_public_key_credential_user_entity(self, user: Any) -> dict[str, Any]:
        """The account by its number; its name is for the eyes of its holder."""
        return {"id": str(user.pk).encode(), "display_name": user.name, "name": user.username}

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """The host of the pages: a passkey works there and nowhere else."""
        return {"id": context.request.get_host().partition(":")[0], "name": "Huitong"}


def begin_adding(account: Account) -> dict[str, Any]:
    """What a browser is asked to make; the challenge is kept in the session."""
    options: dict[str, Any] = auth.begin_registration(account, passwordless=False)
    return options


def finish_adding(credential: Any) -> bool:
    """Whether the browser has made it as asked."""
    return _succeeds(lambda: (auth.parse_registration_response(credential), auth.complete_registration(credential)))


def begin_showing(account: Account) -> dict[str, Any]:
    """What a browser is asked to sign."""
    options: dict[str, Any] = auth.begin_authentication(account)
    return options


def finish_showing(account: Account, credential: Any) -> int | None:
    """The number of the passkey that signed; None if none of the account's did."""
    found: list[int] = []

    def show() -> None:
        auth.parse_authentication_response(credential)
        found.append(auth.complete_authentication(account, credential).pk)

    return found[0] if _succeeds(show) else None


def forget(request: HttpRequest) -> None:
    """A challenge counts once, answered rightly or not."""
    request.session.pop(auth.STATE_SESSION_KEY, None)


def _succeeds(act: Any) -> bool:
    """What a browser sends may be anything; whatever cannot be read is no proof."""
    try:
        act()
    except (ValidationError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True
