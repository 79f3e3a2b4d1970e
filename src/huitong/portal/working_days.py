"""The instance's own years of the calendar of working days, on the ORM."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from huitong.portal.catalog import models as catalog
from huitong.sharing.deadline import CalendarYear, FreeDays


@dataclass(frozen=True)
class DjangoCalendarStore:
    """CalendarStore."""

    using: str = "default"

    def years(self) -> Sequence[CalendarYear]:
        """The instance's own, in order."""
        return [_year_of(row) for row in catalog.CalendarYear.objects.using(self.using).order_by("year")]

    def put_year(self, year: CalendarYear) -> None:
        """Add it, or replace what was known of that year."""
        catalog.CalendarYear.objects.using(self.using).update_or_create(
            year=year.year,
            defaults={
                "free": [[one.name, one.first.isoformat(), one.last.isoformat()] for one in year.free],
                "workdays": [day.isoformat() for day in sorted(year.workdays)],
                "source": year.source,
                "provisional": year.provisional,
            },
        )


def _year_of(row: catalog.CalendarYear) -> CalendarYear:
    return CalendarYear(
        year=row.year,
        free=tuple(FreeDays(name, date.fromisoformat(first), date.fromisoformat(last)) for name, first, last in row.free),
        workdays=frozenset(date.fromisoformat(day) for day in row.workdays),
        source=row.source,
        provisional=row.provisional,
    )
