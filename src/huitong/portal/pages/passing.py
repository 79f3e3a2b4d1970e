"""From a proved password (or sign-on) to a session: by way of the second factor if the account has one."""

from datetime import datetime
from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import get_language

from huitong.errors import HuitongError
from huitong.portal.accounts.models import Account
from huitong.portal.api.language import sentence
from huitong.portal.doors import doors
from huitong.portal.pages.acting import SECOND, actor_of

HALF = "half_signed_in"
SIGNED_IN_AT = "signed_in_at"


def pass_on(request: HttpRequest, account: Account, *, target: str) -> HttpResponse:
    """The session, or first the page that asks for the second factor."""
    if not doors().accounts.second_factor(account.username).any:
        return enter(request, account, target=target, second=False)
    request.session.cycle_key()
    request.session[HALF] = {
        "account": account.pk,
        "proof": account.get_session_auth_hash(),
        "at": doors().clock().isoformat(),
        "next": target,
    }
    return HttpResponseRedirect(reverse("sign-in-code"))


def half_signed_in(request: HttpRequest) -> tuple[Account, str] | None:
    """Whose password was right a moment ago, and where they wanted to go."""
    half = request.session.get(HALF)
    if not isinstance(half, dict):
        return None
    late = doors().clock() - datetime.fromisoformat(half["at"]) >= doors().accounts.sign_in_rules.pending
    account = Account.objects.filter(pk=half["account"], is_active=True).first()
    if late or account is None or account.get_session_auth_hash() != half["proof"]:
        request.session.pop(HALF, None)
        return None
    return account, str(half["next"])


def enter(request: HttpRequest, account: Account, *, target: str, second: bool) -> HttpResponse:
    """The session begins, under a new key; then where the person wanted to go, by way of the choice of a post if there are several."""
    request.session.pop(HALF, None)
    login(request, account)
    request.session[SIGNED_IN_AT] = doors().clock().isoformat()
    request.session[SECOND] = second
    goal = safe(request, target)
    if actor_of(request) is None:
        return HttpResponseRedirect(f"{reverse('choose-post')}?{urlencode({'next': goal})}")
    return HttpResponseRedirect(goal)


def is_fresh(request: HttpRequest) -> bool:
    """Whether the session began a moment ago: an old one that somebody found open sets up nothing."""
    begun = request.session.get(SIGNED_IN_AT)
    return isinstance(begun, str) and doors().clock() - datetime.fromisoformat(begun) < doors().accounts.sign_in_rules.pending


def safe(request: HttpRequest, target: str) -> str:
    """The target if it lies on this site, else the front page."""
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    return "/"


def sentences(error: HuitongError) -> list[str]:
    """What an error says, in the reader's language."""
    return [sentence(reason, get_language() or "en") for reason in error.reasons]


def me(request: HttpRequest) -> Any:
    """The account of the session."""
    return request.user
