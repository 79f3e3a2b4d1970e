"""The language of an answer: what `Accept-Language` prefers among the product's two, else the instance's own."""

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

from huitong.errors import Reason
from huitong.portal.django_settings import HUITONG
from huitong.words import render


def language_of(request: HttpRequest) -> str:
    """`en` or `zh-Hans`. Cookies have no say here: an answer of the API depends on the call alone."""
    for tag, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "").lower()):
        if tag.startswith("zh"):
            return "zh-Hans"
        if tag.startswith("en"):
            return "en"
    return "zh-Hans" if HUITONG.language.lower().startswith("zh") else "en"


def sentence(reason: Reason, language: str) -> str:
    """The reason in the reader's language. Words that do not fit the reason never turn an answer into a failure."""
    try:
        return render(reason, language)
    except (KeyError, IndexError, ValueError):
        return reason.code
