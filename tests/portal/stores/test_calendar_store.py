"""The instance's own years at rest: the databases and the plain store in memory say the same."""

from dataclasses import replace
from datetime import date

import pytest

from huitong.portal.stores import Stores
from huitong.sharing.calendar import InstanceCalendar
from huitong.sharing.deadline import CalendarYear, FreeDays, working_days
from huitong.testing import MemoryStores

YEAR = CalendarYear(
    2027,
    (FreeDays("元旦", date(2027, 1, 1), date(2027, 1, 3)), FreeDays("春节", date(2027, 2, 5), date(2027, 2, 11))),
    frozenset({date(2027, 2, 14), date(2027, 2, 20)}),
    "a notice",
    provisional=False,
)


def test_years_are_kept_as_they_are(stores: Stores) -> None:
    plain = MemoryStores()
    for kept in (stores, plain):
        with kept.atomic():
            kept.calendar.put_year(YEAR)
            kept.calendar.put_year(replace(YEAR, year=2026, free=(), workdays=frozenset()))
            kept.calendar.put_year(replace(YEAR, year=2026, free=(), workdays=frozenset(), source="another", provisional=True))
    assert list(stores.calendar.years()) == list(plain.calendar.years())
    assert [year.source for year in stores.calendar.years()] == ["another", "a notice"]
    assert InstanceCalendar(stores.calendar).edition == InstanceCalendar(plain.calendar).edition != working_days().edition


def test_what_another_process_puts_in_counts_at_the_next_call_and_what_is_undone_never_did(stores: Stores) -> None:
    counting, before = InstanceCalendar(stores.calendar), working_days().edition
    assert counting.edition == before
    with pytest.raises(RuntimeError), stores.atomic():
        stores.calendar.put_year(YEAR)
        assert counting.edition != before
        raise RuntimeError
    assert counting.edition == before
    with stores.atomic():
        Stores(stores.using).calendar.put_year(YEAR)
    assert counting.after(date(2026, 12, 30), 2).day == date(2027, 1, 4)
