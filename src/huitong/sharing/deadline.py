"""The working-day clock: when an answer is due, when the last day of a grant ends. Pure functions of dates and a calendar."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from huitong.errors import InputInvalid

ONE_DAY = timedelta(days=1)
LATEST_DAY = date(9998, 12, 31)
"""The instants of a later day cannot be written in every time zone."""


@dataclass(frozen=True)
class CalendarYear:
    """What the notice of one year says."""

    year: int
    holidays: frozenset[date]
    workdays: frozenset[date]
    source: str
    provisional: bool


@dataclass(frozen=True)
class Deadline:
    """The last day of a limit. `provisional` says that a year without its notice took part in the count."""

    day: date
    provisional: bool


class WorkingDays:
    """A calendar of working days."""

    def __init__(self, years: Iterable[CalendarYear]) -> None:
        self._years = {year.year: year for year in years}

    def is_working_day(self, day: date) -> bool:
        """Whether offices work on that day."""
        year = self._years.get(day.year)
        if year is not None and day in year.holidays:
            return False
        if year is not None and day in year.workdays:
            return True
        return day.weekday() < 5

    def is_provisional(self, day: date) -> bool:
        """Whether the notice for that day's year is still missing."""
        year = self._years.get(day.year)
        return year is None or year.provisional

    def after(self, received: date, working_days: int) -> Deadline:
        """The last of so many working days after the day of receipt, which does not count."""
        if working_days < 1:
            raise ValueError("a limit has at least one working day")
        day, provisional = received, False
        while working_days:
            day += ONE_DAY
            provisional = provisional or self.is_provisional(day)
            working_days -= self.is_working_day(day)
        return Deadline(day=day, provisional=provisional)


def read_working_days(text: str) -> WorkingDays:
    """A calendar from TOML in the form of `working_days.toml`. Raises InputInvalid `calendar-invalid` naming the year."""
    years = []
    for written in tomllib.loads(text)["year"]:
        year = CalendarYear(
            year=written["year"],
            holidays=frozenset(day for stretch in written["holidays"] for day in _stretch(stretch)),
            workdays=frozenset(written["workdays"]),
            source=written["source"],
            provisional=written["provisional"],
        )
        days = year.holidays | year.workdays
        if any(day.year != year.year for day in days) or year.holidays & year.workdays or any(
            day.weekday() < 5 for day in year.workdays
        ):
            raise InputInvalid.because("calendar-invalid", year=year.year)
        years.append(year)
    return WorkingDays(years)


def _stretch(written: Mapping[str, Any]) -> Iterable[date]:
    day = written["from"]
    while day <= written["to"]:
        yield day
        day += ONE_DAY


@cache
def working_days() -> WorkingDays:
    """The calendar that is shipped."""
    return read_working_days((files(__package__) / "working_days.toml").read_text("utf-8"))


@cache
def answer_working_days() -> int:
    """Within how many working days the providing office must answer (`rules.toml`, with its source)."""
    rules = tomllib.loads((files(__package__) / "rules.toml").read_text("utf-8"))
    limit = rules["answer"]["working_days"]
    if not isinstance(limit, int) or limit < 1:
        raise InputInvalid.because("calendar-invalid", year=0)
    return limit


def local_day(instant: datetime, time_zone: str) -> date:
    """The day on the wall calendar of the instance."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


def end_of_day(day: date, time_zone: str) -> datetime:
    """The instant, in UTC, at which the day is over: 24:00 there. Raises InputInvalid `until-out-of-range`."""
    if day > LATEST_DAY:
        raise InputInvalid.because("until-out-of-range", until=day.isoformat())
    return datetime.combine(day + ONE_DAY, time(), tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def last_day(valid_until: datetime, time_zone: str) -> date:
    """The last day of use of a term that ends, exclusively, at that instant: the inverse of `end_of_day`."""
    return (valid_until.astimezone(ZoneInfo(time_zone)) - timedelta(microseconds=1)).date()
