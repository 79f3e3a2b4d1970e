"""The working-day clock: when an answer is due, when the last day of a grant ends. Pure functions of dates and a calendar."""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from huitong.errors import HuitongError, InputInvalid, Reason
from huitong.model.sharing import RequestEvent, RequestEventKind, RequestKind

ONE_DAY = timedelta(days=1)
SATURDAY = 5
LATEST_DAY = date(9998, 12, 31)
"""The instants of a later day cannot be written in every time zone."""


@dataclass(frozen=True)
class FreeDays:
    """A stretch of free days, both ends included."""

    name: str
    first: date
    last: date

    def days(self) -> Iterator[date]:
        """Each of them."""
        day = self.first
        while day <= self.last:
            yield day
            day += ONE_DAY


@dataclass(frozen=True)
class CalendarYear:
    """What the notice of one year says; until there is one, what is thought (`provisional`)."""

    year: int
    free: tuple[FreeDays, ...]
    workdays: frozenset[date]
    """Saturdays and Sundays that are worked in exchange."""
    source: str
    provisional: bool

    def __post_init__(self) -> None:
        if faults := tuple(self._faults()):
            raise InputInvalid(*faults)

    def _faults(self) -> Iterator[Reason]:
        about = {"year": self.year}
        for stretch in self.free:
            if stretch.last < stretch.first:
                yield Reason("calendar-stretch-ends-before-start", {**about, "name": stretch.name})
                return
        for day in sorted({day for stretch in self.free for day in (stretch.first, stretch.last)} | self.workdays):
            if day.year != self.year:
                yield Reason("calendar-day-outside", {**about, "day": day.isoformat()})
                return
        for day in sorted(self.workdays):
            if day.weekday() < SATURDAY:
                yield Reason("calendar-workday-no-weekend", {**about, "day": day.isoformat()})
        for day in sorted(self.holidays & self.workdays):
            yield Reason("calendar-day-free-and-worked", {**about, "day": day.isoformat()})

    @cached_property
    def holidays(self) -> frozenset[date]:
        """All its free days that have a name; other Saturdays and Sundays are free too."""
        return frozenset(day for stretch in self.free for day in stretch.days())

    def is_working_day(self, day: date) -> bool:
        """Whether offices work on that day of the year."""
        return day in self.workdays or (day.weekday() < SATURDAY and day not in self.holidays)

    def differences(self, other: "CalendarYear | None") -> Iterator[date]:
        """The days on which this year is worked and the other is not, or the other way round. None: weekends only."""
        start = date(self.year, 1, 1)
        for number in range((date(self.year + 1, 1, 1) - start).days):
            day = start + timedelta(days=number)
            if self.is_working_day(day) != (day.weekday() < SATURDAY if other is None else other.is_working_day(day)):
                yield day


@dataclass(frozen=True)
class Deadline:
    """The last day of a limit. `provisional` says that a year without its notice took part in the count."""

    day: date
    provisional: bool


class WorkingDays:
    """A calendar of working days."""

    def __init__(self, years: Iterable[CalendarYear]) -> None:
        self._years: dict[int, CalendarYear] = {}
        for year in years:
            if year.year in self._years:
                raise InputInvalid.because("calendar-year-twice", year=year.year)
            self._years[year.year] = year

    @property
    def years(self) -> Mapping[int, CalendarYear]:
        """What is known of which year."""
        return self._years

    @property
    def edition(self) -> str:
        """SHA-256, in hex, of everything on which a count depends: two calendars of one edition give the same deadlines."""
        written = [
            [number, [str(day) for day in sorted(year.holidays)], [str(day) for day in sorted(year.workdays)], year.provisional]
            for number, year in sorted(self.years.items())
        ]
        return hashlib.sha256(json.dumps(written, separators=(",", ":")).encode()).hexdigest()

    def is_working_day(self, day: date) -> bool:
        """Whether offices work on that day."""
        year = self.years.get(day.year)
        return day.weekday() < SATURDAY if year is None else year.is_working_day(day)

    def is_provisional(self, day: date) -> bool:
        """Whether the notice for that day's year is still missing."""
        year = self.years.get(day.year)
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

    def with_years(self, years: Iterable[CalendarYear]) -> "WorkingDays":
        """The same calendar, these years in the place of what it knew of them."""
        return WorkingDays({**self.years, **{year.year: year for year in years}}.values())


def read_working_days(text: str) -> WorkingDays:
    """A calendar from TOML in the form of `working_days.toml`.

    Raises InputInvalid `calendar-unreadable`, `calendar-field-invalid`, or what is wrong with the days of a year."""
    try:
        written = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise InputInvalid.because("calendar-unreadable") from None
    entries = written.get("year")
    if not isinstance(entries, list) or not entries or set(written) != {"year"}:
        raise InputInvalid.because("calendar-unreadable")
    faults: list[Reason] = []
    years = []
    for place, entry in enumerate(entries, start=1):
        try:
            years.append(_year(entry, place))
        except InputInvalid as error:
            faults += error.reasons
    if faults:
        raise InputInvalid(*faults)
    return WorkingDays(years)


FIRST_YEAR, LAST_YEAR = 1950, 2100
"""The years that a calendar can hold."""
LONGEST_NAME = 40
LONGEST_SOURCE = 1000


def _year(written: Any, place: int) -> CalendarYear:
    def wrong(field: str, wanted: str) -> HuitongError:
        return InputInvalid.because("calendar-field-invalid", entry=place, field=field, wanted=wanted)

    fields = {"year", "provisional", "source", "holidays", "workdays"}
    if not isinstance(written, dict) or set(written) != fields:
        raise wrong("[[year]]", ", ".join(sorted(fields)))
    year, source, holidays, workdays = (written[name] for name in ("year", "source", "holidays", "workdays"))
    if type(year) is not int or not FIRST_YEAR <= year <= LAST_YEAR:
        raise wrong("year", f"{FIRST_YEAR} … {LAST_YEAR}")
    if not isinstance(written["provisional"], bool):
        raise wrong("provisional", "true | false")
    if not isinstance(source, str) or not source.strip() or len(source) > LONGEST_SOURCE:
        raise wrong("source", '"…"')
    if not isinstance(workdays, list) or not all(type(day) is date for day in workdays):
        raise wrong("workdays", f"[{year}-02-14]")
    if not isinstance(holidays, list) or not all(_is_stretch(stretch) for stretch in holidays):
        raise wrong("holidays", f'{{ name = "…", from = {year}-10-01, to = {year}-10-07 }}')
    return CalendarYear(
        year=year,
        free=tuple(FreeDays(name=one["name"], first=one["from"], last=one["to"]) for one in holidays),
        workdays=frozenset(workdays),
        source=source.strip(),
        provisional=written["provisional"],
    )


def _is_stretch(written: Any) -> bool:
    return (
        isinstance(written, dict)
        and set(written) == {"name", "from", "to"}
        and isinstance(written["name"], str)
        and 0 < len(written["name"].strip()) <= LONGEST_NAME
        and type(written["from"]) is date
        and type(written["to"]) is date
    )


@cache
def working_days() -> WorkingDays:
    """The calendar that is shipped."""
    return read_working_days((files(__package__) / "working_days.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Limits:
    """The numbers of `rules.toml`, each with its source there. Working days, but for those called days."""

    answer: Mapping[RequestKind, int]
    """Within how many the providing office must answer."""
    extension: Mapping[RequestKind, int]
    """By how many the answer may be put off, once; 0: it may not."""
    supplement_asked_within: int
    supplement_times: int
    supplement_supplied_within: int
    mediation: int
    extension_asked_days: int
    notice_days: int
    delegation_longest_days: int

    def __post_init__(self) -> None:
        numbers = [*self.answer.values(), self.supplement_asked_within, self.supplement_supplied_within, self.mediation]
        if any(number < 1 for number in numbers):
            raise InputInvalid.because("calendar-invalid", year=0)


@cache
def limits() -> Limits:
    """The limits that are shipped."""
    rules = tomllib.loads((files(__package__) / "rules.toml").read_text("utf-8"))
    return Limits(
        answer={RequestKind.SHARING: rules["answer"]["working_days"], RequestKind.OPENING: rules["opening"]["working_days"]},
        extension={RequestKind.SHARING: 0, RequestKind.OPENING: rules["opening"]["extension"]["working_days"]},
        supplement_asked_within=rules["supplement"]["asked_within"],
        supplement_times=rules["supplement"]["times"],
        supplement_supplied_within=rules["supplement"]["supplied_within"],
        mediation=rules["mediation"]["working_days"],
        extension_asked_days=rules["grant"]["extension_asked_days"],
        notice_days=rules["grant"]["notice_days"],
        delegation_longest_days=rules["delegation"]["longest_days"],
    )


def answer_working_days(kind: RequestKind = RequestKind.SHARING) -> int:
    """Within how many working days the providing office must answer (`rules.toml`, with its source)."""
    return limits().answer[kind]


def due_of(
    events: Sequence[RequestEvent], *, kind: RequestKind, calendar: WorkingDays, time_zone: str, rules: Limits | None = None
) -> Deadline | None:
    """The last day on which the answer is due, after these events: a pure function of them, the calendar and the rules.

    It counts from the day of submission, and anew from the day of a supplement; None while the applicant is asked for one. An
    extension is added to the day that stood; a regulator's word is the day it names."""
    rules = rules or limits()
    due: Deadline | None = None
    for event in events:
        day = local_day(event.at, time_zone)
        if event.kind in (RequestEventKind.SUBMITTED, RequestEventKind.SUPPLEMENTED):
            due = calendar.after(day, rules.answer[kind])
        elif event.kind is RequestEventKind.SUPPLEMENT_ASKED:
            due = None
        elif event.kind is RequestEventKind.EXTENDED and due is not None:
            longer = calendar.after(due.day, rules.extension[kind])
            due = Deadline(longer.day, due.provisional or longer.provisional)
        elif event.kind is RequestEventKind.MEDIATED and event.due is not None:
            due = Deadline(event.due, calendar.is_provisional(event.due))
    return due


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
