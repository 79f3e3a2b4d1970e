"""When a planned load runs next: a pure function of what was written, an instant and a time zone.

Four forms, all in the instance's time zone: `hourly`, `daily 02:30`, `weekly mon 02:30`, `monthly 31 02:30`.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from huitong.errors import InputInvalid

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_FORM = re.compile(rf"hourly|daily {_CLOCK}|weekly (?:{'|'.join(WEEKDAYS)}) {_CLOCK}|monthly (?:[1-9]|[12]\d|3[01]) {_CLOCK}", re.ASCII)


@dataclass(frozen=True)
class Schedule:
    """What `every` of a plan says: at that wall time, each day, on that weekday (0 is Monday) or on that day of the month.

    No wall time: at every full hour. A month without that day: its last one."""

    at: time | None = None
    weekday: int | None = None
    day: int | None = None


def read_schedule(every: str) -> Schedule:
    """The schedule as written. Raises InputInvalid `schedule-invalid`, which names the four forms."""
    if _FORM.fullmatch(every) is None:
        raise InputInvalid.because("schedule-invalid", every=every[:40])
    kind, *rest = every.split(" ")
    if kind == "hourly":
        return Schedule()
    at = time.fromisoformat(rest[-1])
    if kind == "weekly":
        return Schedule(at, weekday=WEEKDAYS.index(rest[0]))
    return Schedule(at, day=int(rest[0])) if kind == "monthly" else Schedule(at)


def next_run(every: str, after: datetime, time_zone: str) -> datetime:
    """The first instant (UTC) after `after` at which it is time.

    Where clocks go forward over the wall time, the first instant behind the gap; where they go back over it, its first passing
    alone. `after` must know its zone."""
    schedule = read_schedule(every)
    zone = ZoneInfo(time_zone)
    start = after.astimezone(UTC)
    if schedule.at is None:
        return _next_full_hour(start, zone)
    for day in _days(schedule, start.astimezone(zone).date() - timedelta(days=1)):
        instant = _instant(day, schedule.at, zone)
        if instant > start:
            return instant
    raise InputInvalid.because("schedule-invalid", every=every[:40])  # beyond the last day of the calendar


def _next_full_hour(start: datetime, zone: ZoneInfo) -> datetime:
    instant = start
    while True:
        local = instant.astimezone(zone)
        passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        instant += timedelta(hours=1) - passed
        if instant.astimezone(zone).minute == 0:  # else the offset moved by half an hour in between
            return instant


def _days(schedule: Schedule, first: date) -> Iterator[date]:
    """The days on which it may be time, from the one before the present on: a zone may have skipped a day."""
    day = first
    while day < date.max - timedelta(days=31):
        if schedule.day is not None:
            last = calendar.monthrange(day.year, day.month)[1]
            found = day.replace(day=min(schedule.day, last))
            if found >= first:
                yield found
            day = day.replace(day=last) + timedelta(days=1)
        else:
            if schedule.weekday is None or day.weekday() == schedule.weekday:
                yield day
            day += timedelta(days=1)


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    wall = datetime.combine(day, at)
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == wall:
        return early
    return _end_of_gap(wall, zone)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The wall time does not exist: `fold=0` reads it with the offset before the gap and so lies behind the gap's end, `fold=1`
    with the offset after it and so lies before; the end is where the offset changes between the two."""
    before, behind = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    offset = before.astimezone(zone).utcoffset()
    while behind - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(behind - before).total_seconds() // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            behind = middle
    return behind
