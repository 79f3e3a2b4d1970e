"""The instance's own calendar of working days: what ships, and the years that its operator has put in their place.

Every process counts by the same years: they lie in the control database, and a change is seen at the next count. A change is one
transaction with its ledger entry; deadlines that stand are counted anew by whoever compares `edition` with the one it knew."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from huitong.errors import NotFound, Reason, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.sharing.deadline import (
    FIRST_YEAR,
    LAST_YEAR,
    SATURDAY,
    CalendarYear,
    Deadline,
    WorkingDays,
    local_day,
    read_working_days,
    working_days,
)
from huitong.sharing.ports import Clock, EntryLog, PolicyEpoch, Transactions

STATUTORY_DAYS = 13
"""Free days that the law itself gives from 2025 on (State Council decree 795): a notice never has fewer."""
STATUTORY_DAYS_BEFORE_2025 = 11
STATUTORY_DAYS_BEFORE_2008 = 10
NOTICE_COMES_IN = 12
"""The month from which the notice of the next year should be there: it came between late October and early December so far."""


class CalendarStore(Protocol):
    """Keeps the instance's own years. `put_year` is called inside `Transactions.atomic()`."""

    def years(self) -> Sequence[CalendarYear]:
        """The instance's own, in order."""
        ...

    def put_year(self, year: CalendarYear) -> None:
        """Add it, or replace what was known of that year."""
        ...


class InstanceCalendar(WorkingDays):
    """The calendar in force: a year of the store, else the one that ships."""

    def __init__(self, store: CalendarStore, shipped: WorkingDays | None = None) -> None:
        super().__init__(())
        self._store = store
        self._shipped = working_days() if shipped is None else shipped
        self._held: tuple[tuple[CalendarYear, ...], WorkingDays] = ((), self._shipped)

    def now(self) -> WorkingDays:
        """The calendar of this moment, which changes no more."""
        own = tuple(self._store.years())
        held = self._held
        if held[0] != own:
            held = self._held = (own, self._shipped.with_years(own))
        return held[1]

    @property
    def years(self) -> Mapping[int, CalendarYear]:
        """What is known of which year."""
        return self.now().years

    def after(self, received: date, working_days: int) -> Deadline:
        """The last of so many working days after the day of receipt, by the calendar of this moment."""
        return self.now().after(received, working_days)


@dataclass(frozen=True)
class YearChange:
    """What putting a year in changes."""

    year: int
    new: bool
    """Nothing but weekends was known of it."""
    provisional: bool
    was_provisional: bool
    days: tuple[date, ...]
    """The days on which offices work now and did not, or the other way round."""
    worked: frozenset[date]
    """Those of them that are worked now."""
    source_changed: bool

    @property
    def changes(self) -> bool:
        """Whether it changes anything at all."""
        return self.new or bool(self.days) or self.provisional != self.was_provisional or self.source_changed


@dataclass(frozen=True)
class CalendarChanged:
    """What a calendar file changes, or would change."""

    changes: tuple[YearChange, ...]
    edition_before: str
    edition: str
    findings: tuple[Reason, ...]
    """What should be looked at in the years that were put in."""


@dataclass(frozen=True, kw_only=True)
class CalendarActions:
    """Looking at the calendar and changing it."""

    store: CalendarStore
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    clock: Clock
    time_zone: str
    shipped: WorkingDays = field(default_factory=working_days)

    @property
    def calendar(self) -> WorkingDays:
        """The one of this moment."""
        return self.shipped.with_years(self.store.years())

    def own_years(self) -> frozenset[int]:
        """The years that the instance has put in itself."""
        return frozenset(year.year for year in self.store.years())

    def today(self) -> date:
        """The day on the wall calendar of the instance."""
        return local_day(self.clock(), self.time_zone)

    def year(self, number: int) -> CalendarYear:
        """One year; of one that nothing is known of: weekends only. Raises NotFound `calendar-year-unknown` beyond all calendars."""
        if not FIRST_YEAR <= number <= LAST_YEAR:
            raise NotFound.because("calendar-year-unknown", year=number, first=FIRST_YEAR, last=LAST_YEAR)
        return self.calendar.years.get(number) or CalendarYear(number, (), frozenset(), "-", provisional=True)

    def findings(self) -> tuple[Reason, ...]:
        """What should be looked at: of this year and the next, and of every year that the instance put in itself."""
        calendar, today = self.calendar, self.today()
        wanted = [today.year] + ([today.year + 1] if today.month >= NOTICE_COMES_IN else [])
        found = []
        for year in wanted:
            known = calendar.years.get(year)
            if known is None:
                found.append(Reason("calendar-year-missing", {"year": year}))
            elif known.provisional:
                found.append(Reason("calendar-year-provisional", {"year": year}))
        for own in self.store.years():
            found += oddities(own)
        return tuple(found)

    def put(self, text: str, *, by: Actor, dry_run: bool = False) -> CalendarChanged:
        """Put the years of a calendar file in, each in the place of what was known of it; years that it does not hold stay.

        Raises Refused `role-missing`; InputInvalid with everything that is wrong with the file."""
        if not by.has(Role.OPERATOR):
            raise Refused.because("role-missing", role=Role.OPERATOR.value, post=by.post, office=by.office)
        wanted = read_working_days(text)
        with self.transactions.atomic():
            if not dry_run:
                self.epoch.bump()
            before = self.calendar
            after = before.with_years(wanted.years.values())
            every = tuple(_change(before.years.get(number), year) for number, year in sorted(wanted.years.items()))
            changes = tuple(change for change in every if change.changes)
            findings = tuple(reason for year in wanted.years.values() for reason in oddities(year))
            done = CalendarChanged(changes, before.edition, after.edition, findings)
            if dry_run or not changes:
                return done
            for change in changes:
                self.store.put_year(wanted.years[change.year])
            body = {
                "years": [_written(change, wanted.years[change.year]) for change in changes],
                "edition_before": done.edition_before,
                "edition": done.edition,
                "actor": by.person,
                "office": by.office,
                "post": by.post,
            }
            self.ledger.append(kind=EntryKind.CALENDAR_CHANGED, body=body)
            return done


def oddities(year: CalendarYear) -> Iterable[Reason]:
    """What a person should look at twice in a year whose notice is said to be there; nothing of it is refused."""
    if year.provisional:
        return
    least = STATUTORY_DAYS if year.year >= 2025 else STATUTORY_DAYS_BEFORE_2025 if year.year >= 2008 else STATUTORY_DAYS_BEFORE_2008
    if len(year.holidays) < least:
        yield Reason("calendar-year-few-holidays", {"year": year.year, "days": len(year.holidays), "least": least})
    free_weekdays = sum(day.weekday() < SATURDAY for day in year.holidays)
    if free_weekdays and not year.workdays:
        yield Reason("calendar-year-without-workdays", {"year": year.year})
    for day in sorted(year.workdays):
        if not any(abs((day - free).days) <= FURTHEST_EXCHANGE for free in year.holidays) and day.month != NOTICE_COMES_IN:
            yield Reason("calendar-workday-alone", {"year": year.year, "day": day.isoformat(), "days": FURTHEST_EXCHANGE})


FURTHEST_EXCHANGE = 30
"""Days between a worked weekend and the nearest free day; in the notices of 2004 to 2026 it never was more than 12."""


def _change(old: CalendarYear | None, new: CalendarYear) -> YearChange:
    days = tuple(new.differences(old))
    return YearChange(
        year=new.year,
        new=old is None,
        provisional=new.provisional,
        was_provisional=old is None or old.provisional,
        days=days,
        worked=frozenset(day for day in days if new.is_working_day(day)),
        source_changed=old is not None and old.source != new.source,
    )


def _written(change: YearChange, year: CalendarYear) -> dict[str, Any]:
    return {
        "year": year.year,
        "source": year.source,
        "provisional": year.provisional,
        "free": [day.isoformat() for day in change.days if day not in change.worked],
        "worked": [day.isoformat() for day in change.days if day in change.worked],
    }
