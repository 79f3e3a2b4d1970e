"""Tells whether a text holds anything of what stands hidden in the drill instance: canaries, raw identifiers, raw names, phone numbers."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from huitong.drill.instance import HIDDEN_PEOPLE, HIDDEN_PLACE, MARK, PEOPLE, UNGRANTED, people

_START = 14
"""So many first digits of a resident ID (county and day of birth) are taken for a piece of one; a token of 19 digits holds such a piece by
chance once in a thousand million."""
_DIGITS = re.compile(r"\d{9,}X?")
_PLACE = re.compile(rf"(?<![\w.-]){HIDDEN_PLACE}(?![\w.])")
_WHOLE = re.compile(rf"{MARK}(?:名\d{{5}}|-row-\d|-marriage-\d|-hidden-\d|-outside-\w)")
_MARK = re.compile(f"{MARK}|{MARK[::-1]}", re.IGNORECASE)
"""Also in small letters and backwards."""


@cache
def _raw() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Starts of raw identifiers, phone numbers, and salaries of the rows outside of every grant."""
    listed = list(people())
    starts = frozenset(one["pid"][:_START] for one in listed)
    phones = frozenset(one["phone"] for one in listed)
    salaries = frozenset(str(one["salary"]) for one in listed[PEOPLE : PEOPLE + HIDDEN_PEOPLE])
    return starts, phones, salaries


def found_hidden(content: str | bytes, *, said: str = "") -> str | None:
    """The first thing in the content that is hidden, cut to a few characters; None if there is none.

    `said` is what the attacker sent: what stands there already is no leak when it comes back."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    # who writes the mark gets it back, in any piece; a whole canary that was not sent is a leak all the same
    marks = _WHOLE if _MARK.search(said) else _MARK
    for mark in marks.finditer(text):
        if mark.group() not in said:
            return text[max(mark.start() - 1, 0) : mark.end() + 12]
    if HIDDEN_PLACE not in said and _PLACE.search(text):
        return f"{HIDDEN_PLACE} (the county outside of the grant)"
    starts, phones, salaries = _raw()
    for match in _DIGITS.finditer(text):
        digits = match.group()
        if digits in said:
            continue
        if digits in phones or digits in salaries:
            return digits
        for at in range(len(digits) - _START + 1):
            piece = digits[at : at + _START]
            if piece in starts and piece not in said:
                return f"{digits[:6]}... (an identifier)"
    return None


def ungranted_columns(columns: Iterable[Mapping[str, Any]], *, said: str) -> list[str]:
    """Names of columns of an answer that are items which no grant names, unless the statement itself gave a column that name."""
    words = set(re.findall(r"\w+", said.lower()))
    return [str(one["name"]) for one in columns if str(one["name"]).lower() in UNGRANTED and str(one["name"]).lower() not in words]
