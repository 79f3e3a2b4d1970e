"""Who calls: the actor of the bearer token, checked anew at each call."""

from typing import Any

from django.http import HttpRequest
from ninja.security import HttpBearer

from huitong.errors import Refused
from huitong.model.party import Actor
from huitong.policy.decide import fault_of_actor
from huitong.portal.accounts.tokens import Scope
from huitong.portal.doors import doors


class Bearer(HttpBearer):
    """A bearer token that was issued for a scope."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Any:  # noqa: ARG002 - Ninja's signature
        """The actor. Raises NotSignedIn, or Refused if the token was not issued for this."""
        return doors().accounts.actor_for_token(token, scope=self.scope)


READ = Bearer(Scope.READ)
SHARE = Bearer(Scope.SHARE)
PUBLISH = Bearer(Scope.PUBLISH)
USE = Bearer(Scope.USE)
MANAGE = Bearer(Scope.MANAGE)


def refuse_unless_still(request: HttpRequest, by: Actor, *, scope: Scope) -> None:
    """Raise NotSignedIn or Refused if the token of a call that goes on would not let it begin any more for the same post."""
    token = request.headers.get("Authorization", "").partition(" ")[2].strip()
    now = doors().accounts.actor_for_token(token, scope=scope)
    if (now.person, now.post, now.office) != (by.person, by.post, by.office):
        raise Refused.because("post-ended", person=by.person, post=by.post)
    if (fault := fault_of_actor(now)) is not None:
        raise Refused(fault)


def actor(request: HttpRequest) -> Actor:
    """The actor that a Bearer found."""
    found: Actor = request.auth  # type: ignore[attr-defined]
    return found
