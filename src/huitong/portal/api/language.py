"""The language of an answer: what `Accept-Language` prefers among the product's two, else the instance's own."""

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

from huitong.errors import Reason
from huitong.portal.django_settings import HUITONG
from huitong.portal.doors import doors
from huitong.words import render, sentences

OFFICES = frozenset({"office", "provider", "applicant", "collector"})
"""Parameters of reasons that hold the id of an office; a person reads its title instead."""


ROLES = frozenset({"role"})
"""Parameters that hold a role by its code; a person reads its name."""


def language_of(request: HttpRequest) -> str:
    """`en` or `zh-Hans`. Cookies have no say here: an answer of the API depends on the call alone."""
    for tag, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "").lower()):
        if tag.startswith("zh"):
            return "zh-Hans"
        if tag.startswith("en"):
            return "en"
    return "zh-Hans" if HUITONG.language.lower().startswith("zh") else "en"


def sentence(reason: Reason, language: str) -> str:
    """The reason in the reader's language, offices by their titles and roles by their names."""
    shown = {name: _shown(name, value, language) for name, value in reason.parameters.items()}
    return render(Reason(reason.code, shown), language)


def _shown(name: str, value: str | int, language: str) -> str | int:
    if name in ROLES:
        return sentences(language).get(f"cli-value-{value}", value)
    return _title(str(value), language) if name in OFFICES else value


def _title(office: str, language: str) -> str:
    """The title of an office; its id if it has none, or if what failed is the very store that would know."""
    try:
        found = doors().parties.office(office)
    except Exception:
        return office
    return found.title.in_language(language) if found else office
