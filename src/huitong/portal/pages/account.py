"""Signing in and out, and choosing the post in which to act."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from huitong.portal.pages.acting import POST, actor_of, page, posts_of, title_of
from huitong.portal.pages.labels import label


class SignInForm(AuthenticationForm):
    """Account name and password; which of the two was wrong is not told."""

    error_messages = {  # noqa: RUF012 - Django's own form of it
        "invalid_login": _("The account name or the password is wrong."),
        "inactive": _("This account is closed."),
    }


class SignIn(LoginView):
    """The sign-in page. The session gets a new key, so one that was planted before is worth nothing."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def render_to_response(self, context: dict[str, Any], **_: Any) -> HttpResponse:
        """The page, with status 422 when something was wrong."""
        status = 422 if context["form"].errors else 200
        context = {"form": context["form"], "next": self.get_redirect_url(), "hide_sign_in": True}
        return page(self.request, "pages/sign_in.html", context, status=status)

    def get_success_url(self) -> str:
        """Where the person wanted to go; by way of the choice of a post if there are several."""
        target = super().get_success_url()
        if self.request.user.is_authenticated and actor_of(self.request) is None:
            return f"{reverse('choose-post')}?{_next(target)}"
        return target


class SignOut(LogoutView):
    """Signing out, by POST alone."""

    next_page = "/"


@require_http_methods(["GET", "HEAD", "POST"])
def choose_post(request: HttpRequest) -> HttpResponse:
    """The choice among the posts of the account."""
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{reverse('sign-in')}?{_next(request.get_full_path())}")
    posts = posts_of(request)
    target = _safe(request, (request.POST if request.method == "POST" else request.GET).get("next", ""))
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


def _safe(request: HttpRequest, target: str) -> str:
    """The target if it lies on this site, else the front page."""
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    return "/"


def _next(target: str) -> str:
    return urlencode({"next": target})
