"""The instance's own years: first drafts, files, what a change changes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import chinese_calendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huitong.errors import InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.sharing.calendar import CalendarActions, InstanceCalendar, oddities
from huitong.sharing.calendar_text import calendar_text, seeded_year
from huitong.sharing.deadline import CalendarYear, FreeDays, WorkingDays, read_working_days, working_days
from huitong.testing import MemoryClock, MemoryEntryLog, MemoryStores

KNOWN_YEARS = range(2004, 2027)
"""The years whose notices `chinesecalendar` 1.11.0, an independent source, knows."""
BOTH_DIFFER = {date(2005, 12, 31)}
"""Worked, by the notice for 2006, which came before the year of 2005 had ended; `chinesecalendar` keeps it free."""
OPERATOR = Actor("chen", "陈", "chen@operations", "operations", "520000000000", frozenset({Role.OPERATOR}))


def days_of(year: int) -> list[date]:
    return [date(year, 1, 1) + timedelta(days=number) for number in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]


@pytest.mark.parametrize("year", KNOWN_YEARS)
def test_a_first_draft_agrees_with_an_independent_calendar_on_every_day(year: int) -> None:
    seeded = seeded_year(year)
    assert seeded.provisional, "until a person has read the notice"
    wrong = [day for day in days_of(year) if seeded.is_working_day(day) != chinese_calendar.is_workday(day)]
    assert set(wrong) <= BOTH_DIFFER


def test_worked_weekends_around_the_spring_festival_are_in_the_first_draft() -> None:
    saturdays = {2020: (1, 19), 2024: (2, 4), 2025: (1, 26), 2026: (2, 14)}
    for year, (month, day) in saturdays.items():
        seeded = seeded_year(year)
        assert date(year, month, day) in seeded.workdays
        assert any("春节" in stretch.name for stretch in seeded.free)
    assert date(2026, 2, 28) in seeded_year(2026).workdays


def test_what_ships_for_a_year_is_what_the_first_draft_says() -> None:
    assert not list(working_days().years[2026].differences(seeded_year(2026)))


def test_a_year_without_its_notice_has_the_days_of_the_law_and_says_so() -> None:
    seeded = seeded_year(2031)
    assert seeded.provisional and not seeded.workdays and "the law alone" in seeded.source
    assert {stretch.name for stretch in seeded.free} >= {"元旦", "清明节", "端午节"}
    assert len(seeded.holidays) >= 13
    with pytest.raises(InputInvalid):
        seeded_year(1999)


@given(received=st.dates(date(2004, 1, 1), date(2026, 11, 1)), limit=st.integers(1, 30))
def test_limits_counted_by_first_drafts_are_those_of_the_independent_calendar(received: date, limit: int) -> None:
    counted = ALL_SEEDED.after(received, limit).day
    day, left = received, limit
    while left:
        day += timedelta(days=1)
        left -= chinese_calendar.is_workday(day) or day in BOTH_DIFFER
    assert counted == day


ALL_SEEDED = WorkingDays(seeded_year(year) for year in range(2003, 2028))


@pytest.mark.parametrize("year", [2006, 2020, 2026, 2029])
def test_a_calendar_file_holds_everything(year: int) -> None:
    seeded = seeded_year(year)
    assert read_working_days(calendar_text([seeded])).years == {year: seeded}


@pytest.mark.slow
@settings(max_examples=50)
@given(name=st.text(min_size=1, max_size=12).filter(str.strip), source=st.text(min_size=1, max_size=20).filter(str.strip))
def test_whatever_is_written_is_read(name: str, source: str) -> None:
    year = CalendarYear(2030, (FreeDays(name, date(2030, 1, 1), date(2030, 1, 3)),), frozenset(), source.strip(), provisional=False)
    assert read_working_days(calendar_text([year])).years == {2030: year}


def actions(stores: MemoryStores, today: datetime = datetime(2026, 12, 1, 4, tzinfo=UTC)) -> tuple[CalendarActions, MemoryEntryLog]:
    clock = MemoryClock(today)
    log = MemoryEntryLog(stores.transactions, clock)
    made = CalendarActions(
        store=stores.calendar,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=log,
        clock=clock,
        time_zone="Asia/Shanghai",
    )
    return made, log


def test_a_year_of_the_instance_counts_at_once_and_is_in_the_ledger() -> None:
    stores = MemoryStores()
    calendar, log = actions(stores)
    counting = InstanceCalendar(stores.calendar)
    before = counting.after(date(2026, 12, 24), 10)
    edition = counting.edition
    assert (before.day, before.provisional) == (date(2027, 1, 8), True)
    text = calendar_text([replace(seeded_year(2027), provisional=False, source="the notice for 2027")])
    text = text.replace("to = 2027-01-01", "to = 2027-01-04")
    dry = calendar.put(text, by=OPERATOR, dry_run=True)
    assert counting.edition == edition and not log.written and stores.epoch.current() == 0
    done = calendar.put(text, by=OPERATOR)
    assert done.changes == dry.changes and (done.edition_before, done.edition) == (edition, counting.edition)
    assert counting.after(date(2026, 12, 24), 10) != before, "the fourth of January is free now"
    assert not counting.after(date(2026, 12, 24), 10).provisional
    assert counting.is_working_day(date(2027, 1, 4)) is False and counting.is_working_day(date(2026, 2, 14)) is True
    (kind, body), = log.written
    assert kind is EntryKind.CALENDAR_CHANGED and stores.epoch.current() == 1
    assert body["edition"] == done.edition and body["years"][0]["source"] == "the notice for 2027"
    assert "2027-01-04" in body["years"][0]["free"] and body["actor"] == "chen"
    again = calendar.put(text, by=OPERATOR)
    assert not again.changes and len(log.written) == 1, "the same file changes nothing"
    assert calendar.own_years() == {2027} and calendar.year(2027).source == "the notice for 2027"


def test_what_a_failed_change_did_does_not_count() -> None:
    stores = MemoryStores()
    counting = InstanceCalendar(stores.calendar)
    edition = counting.edition
    with pytest.raises(RuntimeError), stores.atomic():
        stores.calendar.put_year(replace(seeded_year(2027), workdays=frozenset({date(2027, 1, 9)})))
        assert counting.edition != edition
        raise RuntimeError
    assert counting.edition == edition


def test_only_an_operator_changes_the_calendar() -> None:
    calendar, _ = actions(MemoryStores())
    regulator = replace(OPERATOR, roles=frozenset({Role.REGULATOR}))
    with pytest.raises(Refused):
        calendar.put(calendar_text([seeded_year(2027)]), by=regulator)


def test_the_check_says_what_is_missing() -> None:
    stores = MemoryStores()
    in_spring, _ = actions(stores, datetime(2026, 4, 1, tzinfo=UTC))
    assert not in_spring.findings(), "the notice of the next year is not out yet"
    in_december, _ = actions(stores)
    assert [reason.code for reason in in_december.findings()] == ["calendar-year-provisional"]
    later, _ = actions(stores, datetime(2029, 1, 1, tzinfo=UTC))
    assert [reason.code for reason in later.findings()] == ["calendar-year-missing"]
    with pytest.raises(NotFound):
        later.year(2101)
    assert later.year(2029).provisional


@pytest.mark.parametrize("year", KNOWN_YEARS)
def test_no_notice_so_far_looks_odd(year: int) -> None:
    assert not list(oddities(replace(seeded_year(year), provisional=False)))


def test_a_notice_that_was_typed_wrongly_looks_odd() -> None:
    right = replace(seeded_year(2026), provisional=False)
    assert [one.code for one in oddities(replace(right, free=right.free[:1]))][:1] == ["calendar-year-few-holidays"]
    assert "calendar-year-without-workdays" in [one.code for one in oddities(replace(right, workdays=frozenset()))]
    assert "calendar-workday-alone" in [one.code for one in oddities(replace(right, workdays=right.workdays | {date(2026, 7, 25)}))]
