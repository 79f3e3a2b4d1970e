# ruff: noqa: ARG001 - Django calls every handler with the same arguments
"""What a person sees when something went wrong; under /api/ the same as a problem."""

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.views.decorators.csrf import requires_csrf_token

from huitong.errors import HuitongError, InputInvalid
from huitong.portal.api import problems
from huitong.portal.pages.acting import page

API = "/api/"


@requires_csrf_token
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """No such page, dataset or operation."""
    if request.path.startswith(API):
        return problems.unknown_address(request)
    sentences = [
        gettext("If you typed the address, check it. If you followed a link, the page may have moved."),
        gettext("A dataset that is not published looks the same as one that does not exist."),
    ]
    return page(request, "pages/error.html", {"heading": gettext("Page not found"), "sentences": sentences}, status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The request cannot be understood."""
    if request.path.startswith(API):
        return problems.problem(request, InputInvalid.because("request-unreadable"), status=400)
    return _bare(gettext("This request cannot be understood"), [gettext("Go back and try again.")], 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The form is too old or came from elsewhere."""
    return _bare(
        gettext("This form cannot be accepted"),
        [gettext("It is too old or did not come from this site. Go back, load the page again and repeat it.")],
        403,
    )


def failure(request: HttpRequest) -> HttpResponse:
    """What nobody foresaw. Django has written the cause to the log; the page asks neither session nor database."""
    if request.path.startswith(API):
        return problems.problem(request, HuitongError.because("server-failed"))
    return _bare(
        gettext("Something went wrong on our side"),
        [gettext("It is in the operator's log. Try again later; nothing that you sent was kept.")],
        500,
    )


def _bare(heading: str, sentences: list[str], status: int) -> HttpResponse:
    return HttpResponse(render_to_string("pages/bare.html", {"heading": heading, "sentences": sentences}), status=status)
