"""Signing in and out, with password, second factor or sign-on service, and choosing the post in which to act."""

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from huitong.errors import Conflict, HuitongError, Refused
from huitong.portal.accounts import passkeys, sign_on
from huitong.portal.accounts.tries import CODE
from huitong.portal.api.addresses import address_of
from huitong.portal.doors import doors
from huitong.portal.pages.acting import POST, actor_of, page, posts_of, title_of
from huitong.portal.pages.labels import label
from huitong.portal.pages.passing import enter, half_signed_in, me, pass_on, safe, sentences


class SignInForm(AuthenticationForm):
    """Account name and password; which of the two was wrong is not told."""

    error_messages = {  # noqa: RUF012 - Django's own form of it
        "invalid_login": _("The account name or the password is wrong."),
        "inactive": _("This account is closed."),
    }

    def clean(self) -> dict[str, Any]:
        """Look at the password, unless there were too many tries."""
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name is not None and password:
            try:
                address = address_of(self.request) if self.request is not None else ""
                self.user_cache = doors().accounts.account_signing_in(name, password, address=address)
            except Refused as error:
                raise ValidationError(sentences(error)) from None
            if self.user_cache is None:
                raise self.get_invalid_login_error()
        return self.cleaned_data


class SignIn(LoginView):
    """The sign-in page. The session gets a new key, so one that was planted before is worth nothing."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        """On to the second factor, or in."""
        return pass_on(self.request, form.get_user(), target=self.get_redirect_url() or settings.LOGIN_REDIRECT_URL)

    def render_to_response(self, context: dict[str, Any], **_: Any) -> HttpResponse:
        """The page, with status 422 when something was wrong."""
        status = 422 if context["form"].errors else 200
        context = {
            "form": context["form"],
            "next": self.get_redirect_url(),
            "hide_sign_in": True,
            "service": sign_on.title_of(settings.HUITONG),
        }
        return page(self.request, "pages/sign_in.html", context, status=status)


class SignOut(LogoutView):
    """Signing out, by POST alone."""

    next_page = "/"


@require_http_methods(["GET", "HEAD", "POST"])
def second_step(request: HttpRequest) -> HttpResponse:
    """The page that asks for the second factor after the password."""
    half = half_signed_in(request)
    if half is None:
        return HttpResponseRedirect(reverse("sign-in"))
    account, target = half
    wrong: list[str] = []
    if request.method == "POST":
        try:
            show_second(request, account)
            return enter(request, account, target=target, second=True)
        except Refused as error:
            wrong = sentences(error)
    context = {"wrong": wrong, "hide_sign_in": True} | second_factor_asked(account)
    return page(request, "pages/second_step.html", context, status=422 if wrong else 200)


def show_second(request: HttpRequest, account: Any) -> None:
    """Take the code or the passkey of a form. Raises Refused `second-factor-wrong`, `tries-too-many`."""
    accounts, address = doors().accounts, address_of(request)
    if not request.POST.get("credential"):
        accounts.check_code(account.username, request.POST.get("code", "")[:40], address=address)
        return
    accounts.begin_try(CODE, account.username, address=address)
    try:
        shown = passkeys.finish_showing(account, json.loads(request.POST["credential"][:20_000]))
    except ValueError:
        shown = None
    passkeys.forget(request)
    if shown is None:
        raise Refused.because("second-factor-wrong")
    accounts.forget_tries(CODE, account.username, address=address)
    accounts.note_passkey_used(shown)


def second_factor_asked(account: Any) -> dict[str, Any]:
    """What a form that asks for the second factor needs to know."""
    found = doors().accounts.second_factor(account.username)
    options = json.dumps(passkeys.begin_showing(account)) if found.passkeys else ""
    return {"factor": found, "passkey_options": options}


@require_safe
def sign_on_begin(request: HttpRequest) -> HttpResponse:
    """Off to the sign-on service, to come back signed in."""
    if request.user.is_authenticated:
        return HttpResponseRedirect("/")
    try:
        return sign_on.begin(request, process="login", target=safe(request, request.GET.get("next", "/")))
    except HuitongError as error:
        return _sign_on_failed(request, error)


@require_safe
def sign_on_return(request: HttpRequest) -> HttpResponse:
    """Back from the sign-on service: in, or linked, or told why not."""
    accounts = doors().accounts
    try:
        come = sign_on.finish(request)
        if come.process == "connect":
            posts = posts_of(request)
            if not posts or me(request).pk != come.account:
                raise Refused.because("sign-on-refused")
            accounts.link_identity(posts[0].person, issuer=come.issuer, subject=come.subject, by=posts[0])
            return HttpResponseRedirect(reverse("account"))
        account = accounts.account_of_identity(come.issuer, come.subject)
        if account is None or request.user.is_authenticated:
            raise Refused.because("sign-on-unknown" if account is None else "sign-on-refused")
    except HuitongError as error:
        return _sign_on_failed(request, error)
    return pass_on(request, account, target=come.next)


def _sign_on_failed(request: HttpRequest, error: HuitongError) -> HttpResponse:
    status = 403 if isinstance(error, Refused) else 409 if isinstance(error, Conflict) else 503
    return page(request, "pages/sign_on_failed.html", {"sentences": sentences(error)}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def choose_post(request: HttpRequest) -> HttpResponse:
    """The choice among the posts of the account."""
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{reverse('sign-in')}?{urlencode({'next': request.get_full_path()})}")
    posts = posts_of(request)
    target = safe(request, (request.POST if request.method == "POST" else request.GET).get("next", ""))
    chosen = request.POST.get("post")
    if any(post.post == chosen for post in posts):
        request.session.cycle_key()
        request.session[POST] = chosen
        return HttpResponseRedirect(target)
    now = actor_of(request, posts)
    choices = [
        {
            "id": post.post,
            "office": title_of(post.office),
            "roles": " · ".join(label(role) for role in sorted(post.roles)),
            "chosen": now == post,
        }
        for post in posts
    ]
    missing = request.method == "POST" and bool(posts)
    context = {"posts": choices, "next": target, "missing": missing}
    return page(request, "pages/post.html", context, status=422 if missing else 200)
