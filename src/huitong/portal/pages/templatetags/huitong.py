"""What the templates need beyond Django's own: bilingual words, labels, tags, and style sheets of packages if installed."""

from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext

from huitong.model.policy import Mask
from huitong.model.text import BilingualText
from huitong.portal.pages import labels
from huitong.portal.pages.look import look

register = template.Library()


@register.filter
def words(text: BilingualText) -> str:
    """The words in the reader's language."""
    return text.in_language(get_language() or settings.LANGUAGE_CODE)


@register.filter
def tag(language: str) -> str:
    """The language as a BCP 47 tag: `zh-Hans`, not `zh-hans`."""
    return "zh-Hans" if language.startswith("zh") else language


@register.filter
def label(choice: Enum) -> str:
    """The name of a choice."""
    return labels.label(choice)


@register.filter
def mask(value: Mask) -> str:
    """How an item leaves."""
    return labels.mask_words(value)


@register.filter
def number(value: int) -> str:
    """A whole number in groups of three digits."""
    return f"{value:,}"


@register.filter
def percent(share: float | None) -> str:
    """A share from 0 to 1 as percent, never rounded up to a whole that it is not; a dash where it is not known."""
    if share is None:
        return "–"
    tenths = int(share * 1000 + 1e-9)
    return f"{tenths / 10:.1f} %" if tenths % 10 else f"{tenths // 10} %"


@register.filter
def day(value: date) -> str:
    """A day as a person writes it."""
    return formats.date_format(value, gettext("j F Y"))


@register.filter
def moment(value: datetime) -> str:
    """An instant in the instance's time zone."""
    local = value.astimezone(ZoneInfo(settings.TIME_ZONE) if settings.TIME_ZONE else UTC)
    return formats.date_format(local, gettext("j F Y, H:i"))


@register.simple_tag
def sharing_tag(choice: Enum) -> SafeString:
    """A sharing type as a coloured tag; the colour only repeats the words."""
    return _tag(choice)


@register.simple_tag
def grade_tag(choice: Enum) -> SafeString:
    """A grade as a coloured tag."""
    return _tag(choice)


def _tag(choice: Enum) -> SafeString:
    words, colour = labels.label(choice), labels.colour(choice)
    return format_html('<strong class="govuk-tag ht-tag ht-tag--{}">{}</strong>', colour, words)


def installed(path: str) -> bool:
    """Whether a package's file is there. Without `npm ci` the pages are plain, and they work."""
    found: Any = finders.find(path)
    return bool(found)


@register.simple_tag
def look_version() -> str:
    """The version of the style sheet that is served now."""
    return look().version


@register.simple_tag
def package_script(path: str) -> SafeString:
    """A script of a package, if installed."""
    return format_html('<script src="{}" defer></script>', static(path)) if installed(path) else mark_safe("")


@register.simple_tag
def own_module(path: str, needs: str) -> SafeString:
    """A module of our own that imports a package's file, if that is installed."""
    return format_html('<script type="module" src="{}"></script>', static(path)) if installed(needs) else mark_safe("")
