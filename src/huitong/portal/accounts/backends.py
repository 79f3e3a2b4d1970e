# ruff: noqa: ARG002 - the signature is Django's
"""Who may hold a session: people with an open account, never a service."""

from typing import Any

from django.contrib.auth.backends import ModelBackend

from huitong.portal.accounts.base import PERSON


class PersonBackend(ModelBackend):
    """Reads the account of a session anew at each request. Signing in goes through `Accounts.account_signing_in` alone."""

    def authenticate(self, request: Any, username: str | None = None, password: str | None = None, **credentials: Any) -> None:
        """Nobody is signed in by the backend: tries would not be counted."""
        return

    def user_can_authenticate(self, user: Any) -> bool:
        """Whether the account is open and a person's."""
        return bool(user is not None and user.is_active and user.kind == PERSON)
