"""One's own account: second factor, passkeys, recovery codes, sign-on; and staff mode of an operator's post."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import qrcode
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from huitong.errors import HuitongError, Refused
from huitong.model.party import Actor
from huitong.portal.accounts import passkeys, sign_on
from huitong.portal.api.addresses import address_of
from huitong.portal.doors import doors
from huitong.portal.pages.account import second_factor_asked, show_second
from huitong.portal.pages.acting import SECOND, actor_of, page, posts_of, title_of
from huitong.portal.pages.labels import label
from huitong.portal.pages.passing import is_fresh, me, safe, sentences

NEW_SECRET = "new_secret"  # noqa: S105 - a name in the session
EDGE = 4
"""Modules of white around a QR code."""


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(f"{reverse('sign-in')}?{urlencode({'next': request.get_full_path()})}")


def _self(request: HttpRequest) -> Actor | None:
    """The person of the session in any post they hold: what one does with one's own account is the same in each."""
    posts = posts_of(request)
    return actor_of(request, posts) or next(iter(posts), None)


def _own_page(request: HttpRequest, **more: Any) -> HttpResponse:
    by, accounts = _self(request), doors().accounts
    if by is None:
        return HttpResponseRedirect(reverse("choose-post"))
    actor = actor_of(request)
    context = {
        "held": [
            {"post": one.post, "office": title_of(one.office), "roles": [label(role) for role in sorted(one.roles)]}
            for one in posts_of(request)
        ],
        "fresh": is_fresh(request),
        "service": sign_on.title_of(settings.HUITONG),
        "linked": settings.HUITONG.sign_on_issuer in accounts.identities_of(by.person),
        "may_staff": actor is not None and accounts.staff_status(by=actor).may_open,
    }
    status = 422 if more.get("wrong") else 200
    return page(request, "pages/own_account.html", context | second_factor_asked(me(request)) | more, status=status)


@require_safe
def own_account(request: HttpRequest) -> HttpResponse:
    """What the account has, and what can be done about it."""
    return _own_page(request) if request.user.is_authenticated else _sign_in_first(request)


@require_POST
def change(request: HttpRequest) -> HttpResponse:
    """Other recovery codes, a passkey or everything taken away, sign-on unlinked: after the second factor was shown once more."""
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    by, accounts, what = _self(request), doors().accounts, request.POST.get("what", "")
    if by is None:
        return HttpResponseRedirect(reverse("choose-post"))
    try:
        _prove_again(request)
        if what == "codes":
            return _shown_once(request, accounts.new_recovery_codes(by=by))
        if what.startswith("passkey-") and what[8:].isascii() and what[8:].isdigit():
            accounts.remove_second_factor(by.person, by=by, passkey=int(what[8:18]))
        elif what == "everything":
            accounts.remove_second_factor(by.person, by=by)
        elif what == "unlink":
            accounts.unlink_identity(by.person, issuer=settings.HUITONG.sign_on_issuer, by=by)
    except HuitongError as error:
        return _own_page(request, wrong=sentences(error), taking_all=what == "everything")
    return HttpResponseRedirect(reverse("account"))


@require_http_methods(["GET", "HEAD", "POST"])
def set_up_app(request: HttpRequest) -> HttpResponse:
    """A QR code for an app, and the first code that the app shows."""
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    by, accounts = _self(request), doors().accounts
    if by is None or not is_fresh(request) or accounts.second_factor(by.person).app:
        return HttpResponseRedirect(reverse("account"))
    secret, wrong = request.session.get(NEW_SECRET), []
    if request.method == "POST" and secret:
        try:
            if accounts.second_factor(by.person).passkeys:
                _prove_again(request)
            code = "".join(request.POST.get("app_code", "")[:40].split())
            codes = accounts.set_up_app(secret, code, by=by, address=address_of(request))
        except HuitongError as error:
            wrong = sentences(error)
        else:
            del request.session[NEW_SECRET]
            request.session.cycle_key()
            request.session[SECOND] = True
            return _shown_once(request, codes)
    else:
        secret = request.session[NEW_SECRET] = accounts.new_secret()
    issuer = gettext("Huitong")
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    address = f"otpauth://totp/{quote(f'{issuer}:{by.person}')}?{query}"
    spaced = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
    context = {"wrong": wrong, "picture": qr_picture(address), "secret": spaced} | second_factor_asked(me(request))
    return page(request, "pages/set_up_app.html", context, status=422 if wrong else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def add_passkey(request: HttpRequest) -> HttpResponse:
    """A passkey of this browser, a telephone or a key."""
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    by, accounts = _self(request), doors().accounts
    if by is None or not is_fresh(request):
        return HttpResponseRedirect(reverse("account"))
    wrong: list[str] = []
    if request.method == "POST":
        try:
            credential = json.loads(request.POST.get("credential", "")[:20_000])
            made = passkeys.finish_adding(credential)
        except ValueError:
            credential, made = None, False
        passkeys.forget(request)
        if made:
            codes = accounts.add_passkey(request.POST.get("name", "").strip() or gettext("Passkey"), credential, by=by)
            request.session.cycle_key()
            request.session[SECOND] = True
            return _shown_once(request, codes)
        wrong = [gettext("The passkey was not made. Try again.")]
    options = json.dumps(passkeys.begin_adding(me(request)))
    return page(request, "pages/add_passkey.html", {"wrong": wrong, "options": options}, status=422 if wrong else 200)


@require_safe
def link_sign_on(request: HttpRequest) -> HttpResponse:
    """Off to the sign-on service, to come back with one's name there linked to this account."""
    by = _self(request) if request.user.is_authenticated else None
    if by is None:
        return _sign_in_first(request)
    if not is_fresh(request):
        return HttpResponseRedirect(reverse("account"))
    try:
        return sign_on.begin(request, process="connect", target=reverse("account"), account=me(request).pk)
    except HuitongError as error:
        return _own_page(request, wrong=sentences(error))


@require_http_methods(["GET", "HEAD", "POST"])
def staff(request: HttpRequest) -> HttpResponse:
    """Staff mode of the post: open it with words why, see until when, close it."""
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    actor, accounts = actor_of(request), doors().accounts
    if actor is None:
        return HttpResponseRedirect(reverse("choose-post"))
    wrong: list[str] = []
    if request.method == "POST":
        try:
            if request.POST.get("what") == "close":
                accounts.close_staff(by=actor)
                return HttpResponseRedirect(safe(request, request.POST.get("next", "/")))
            proven = bool(request.POST.get("credential"))
            if proven:
                show_second(request, me(request))
            minutes = request.POST.get("minutes", "")
            accounts.open_staff(
                by=actor,
                words=request.POST.get("words", "")[:4000],
                minutes=int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 6 else 0,
                code=request.POST.get("code", "")[:40] or None,
                proven=proven,
                address=address_of(request),
            )
            request.session.cycle_key()
            request.session[SECOND] = True
            return HttpResponseRedirect(reverse("staff"))
        except HuitongError as error:
            wrong = sentences(error)
    rules = accounts.staff_rules
    context = {
        "wrong": wrong,
        "status": accounts.staff_status(by=actor),
        "usual": int(rules.usual.total_seconds() // 60),
        "longest": int(rules.longest.total_seconds() // 60),
        "said": request.POST.get("words", ""),
        "needs_one": bool(accounts.sign_in_rules.needs_second_factor),
    }
    return page(request, "pages/staff.html", context | second_factor_asked(me(request)), status=422 if wrong else 200)


def _prove_again(request: HttpRequest) -> None:
    """The second factor in this very form if the account has one, else a session that began a moment ago."""
    if doors().accounts.second_factor(me(request).get_username()).any:
        show_second(request, me(request))
    elif not is_fresh(request):
        raise Refused.because("sign-in-again")


def _shown_once(request: HttpRequest, codes: Any) -> HttpResponse:
    """Recovery codes stand on this page and nowhere else."""
    if not codes:
        return HttpResponseRedirect(reverse("account"))
    return page(request, "pages/recovery_codes.html", {"codes": [f"{code[:5]}-{code[5:]}" for code in codes]})


def qr_picture(text: str) -> SafeString:
    """The path of a QR code as SVG: no file, no style, nothing that the policy for browsers would stop."""
    code = qrcode.QRCode(border=EDGE, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    size = len(matrix)
    # numbers and letters of the path alone: nothing of the text itself
    return mark_safe(  # noqa: S308
        f'<svg class="ht-qr" viewBox="0 0 {size} {size}" role="img" aria-labelledby="qr-title"><title id="qr-title">'
        f'QR</title><path class="ht-qr__ground" d="M0 0h{size}v{size}h-{size}z"/><path d="{path}"/></svg>'
    )
