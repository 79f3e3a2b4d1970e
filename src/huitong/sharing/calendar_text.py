"""Years of the calendar as text: the file that a person checks and puts in, and a first draft of it from the package `holidays`."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from importlib.metadata import version

from huitong.errors import InputInvalid
from huitong.sharing.deadline import LAST_YEAR, SATURDAY, CalendarYear, FreeDays

FIRST_SEEDED = 2001
"""Before that the package knows the law's days alone, not the notices."""


def seeded_year(number: int) -> CalendarYear:
    """A provisional year from the package `holidays` (MIT): the days of the notice with its worked weekends where the package knows
    it, else the days that the law itself gives. Always provisional: only a person who has read the notice may say otherwise.

    Raises InputInvalid `calendar-seed-year` for a year that it cannot know."""
    if not FIRST_SEEDED <= number <= LAST_YEAR:
        raise InputInvalid.because("calendar-seed-year", year=number, first=FIRST_SEEDED, last=LAST_YEAR)
    from holidays import country_holidays

    # A weekend of December may be worked for the New Year of the next year, which the package tells with that year.
    found = country_holidays("CN", years=[number, number + 1], language="zh_CN")
    names = {day: name for day, name in found.items() if day.year == number}
    workdays = frozenset(day for day in getattr(found, "weekend_workdays", ()) if day.year == number)
    known = "" if workdays else "; the notice of the year is not in it: the days of the law alone, without any weekend worked in exchange"
    return CalendarYear(
        year=number,
        free=tuple(_stretches(names)),
        workdays=workdays,
        source=f"Python package holidays {version('holidays')} (MIT), country CN{known}. Check it against the notice of the State Council.",
        provisional=True,
    )


def calendar_text(years: Iterable[CalendarYear]) -> str:
    """The years in the form of `working_days.toml`: `read_working_days` gives the same years back."""
    parts = []
    for year in years:
        lines = [
            "[[year]]",
            f"year = {year.year}",
            f"provisional = {'true' if year.provisional else 'false'}",
            f"source = {_quoted(year.source)}",
            "holidays = [",
            *(
                f"    {{ name = {_quoted(stretch.name)}, from = {stretch.first.isoformat()}, to = {stretch.last.isoformat()} }},"
                for stretch in year.free
            ),
            "]",
            f"workdays = [{', '.join(day.isoformat() for day in sorted(year.workdays))}]",
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _stretches(names: Mapping[date, str]) -> Iterable[FreeDays]:
    """Days in a row as one stretch, the weekends between them too, under the names of its festivals."""
    days = sorted(names)
    while days:
        first = last = days.pop(0)
        named = [names[first]]
        while days and all((last + timedelta(days=number)).weekday() >= SATURDAY for number in range(1, (days[0] - last).days)):
            last = days.pop(0)
            named.append(names[last])
        festivals = [one for name in named for one in _plain(name)]
        yield FreeDays("、".join(dict.fromkeys(festivals)) or REST, first, last)


REST = "休息日"
"""A free day without a festival of its own."""


def _plain(name: str) -> Iterable[str]:
    """`春节` of `春节（补假）`; nothing of a day that is only exchanged."""
    return [one for part in name.split("; ") if (one := part.partition("（")[0].strip()) and one != REST]


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(sign):04x}" if ord(sign) < 32 or ord(sign) == 127 else sign for sign in escaped) + '"'
