"""The working-day clock."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huitong.errors import InputInvalid
from huitong.sharing.deadline import (
    answer_working_days,
    end_of_day,
    last_day,
    local_day,
    read_working_days,
    working_days,
)

SHANGHAI = "Asia/Shanghai"

FREE_WEEKDAYS_OF_2026 = {
    "01-01", "01-02", "02-16", "02-17", "02-18", "02-19", "02-20", "02-23", "04-06", "05-01", "05-04", "05-05", "06-19",
    "09-25", "10-01", "10-02", "10-05", "10-06", "10-07",
}  # fmt: skip
WORKED_WEEKENDS_OF_2026 = {"01-04", "02-14", "02-28", "05-09", "09-20", "10-10"}
"""Both from `chinesecalendar` 1.11.0, an independent source."""


def test_every_day_of_2026_agrees_with_an_independent_calendar() -> None:
    calendar = working_days()
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        name = day.isoformat()[5:]
        expected = name in WORKED_WEEKENDS_OF_2026 if day.weekday() >= 5 else name not in FREE_WEEKDAYS_OF_2026
        assert calendar.is_working_day(day) == expected, day


def test_the_limit_is_ten_working_days() -> None:
    assert answer_working_days() == 10


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-11-02", "2026-11-16"),  # an ordinary Monday
        ("2026-11-07", "2026-11-20"),  # received on a Saturday: counted from Monday
        ("2026-02-13", "2026-03-05"),  # Friday before the Spring Festival; Saturdays 14 and 28 February are worked
        ("2026-02-14", "2026-03-06"),  # that working Saturday itself
        ("2026-09-30", "2026-10-20"),  # eve of the National Day; Saturday 10 October is worked
    ],
)
def test_the_day_of_receipt_does_not_count(received: str, due: str) -> None:
    deadline = working_days().after(date.fromisoformat(received), 10)
    assert deadline.day.isoformat() == due
    assert not deadline.provisional


def test_a_limit_that_reaches_a_year_without_notice_says_so() -> None:
    deadline = working_days().after(date(2026, 12, 24), 10)
    assert deadline.day == date(2027, 1, 8), "New Year's Day is free by law, whatever the notice of 2027 will say"
    assert deadline.provisional
    assert working_days().after(date(2031, 5, 1), 1).provisional, "a year that is not in the file"


@given(received=st.dates(date(2025, 12, 1), date(2028, 1, 31)), days=st.integers(1, 30))
def test_a_limit_ends_on_a_working_day_and_holds_so_many(received: date, days: int) -> None:
    calendar = working_days()
    due = calendar.after(received, days).day
    span = [received + timedelta(days=number) for number in range(1, (due - received).days + 1)]
    assert calendar.is_working_day(due)
    assert sum(map(calendar.is_working_day, span)) == days
    assert calendar.after(received + timedelta(days=1), days).day >= due, "later received is never earlier due"


HEAD = 'source = "a notice"\nprovisional = true\n'


@pytest.mark.parametrize(
    ("years", "code"),
    [
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = [2030-01-02]\nholidays = []", "calendar-workday-no-weekend"),
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = [2031-01-04]\nholidays = []", "calendar-day-outside"),
        (
            f"[[year]]\nyear = 2030\n{HEAD}workdays = []\nholidays = [{{name = 'x', from = 2030-12-31, to = 9999-12-31}}]",
            "calendar-day-outside",
        ),
        (
            f"[[year]]\nyear = 2030\n{HEAD}workdays = [2030-01-05]\nholidays = [{{name = 'x', from = 2030-01-05, to = 2030-01-06}}]",
            "calendar-day-free-and-worked",
        ),
        (
            f"[[year]]\nyear = 2030\n{HEAD}workdays = []\nholidays = [{{name = 'x', from = 2030-01-06, to = 2030-01-05}}]",
            "calendar-stretch-ends-before-start",
        ),
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = []\nholidays = []\n" * 2, "calendar-year-twice"),
        (f"[[year]]\nyear = '2030'\n{HEAD}workdays = []\nholidays = []", "calendar-field-invalid"),
        (f"[[year]]\nyear = 99999\n{HEAD}workdays = []\nholidays = []", "calendar-field-invalid"),
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = ['2030-01-05']\nholidays = []", "calendar-field-invalid"),
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = []\nholidays = [2030-01-05]", "calendar-field-invalid"),
        (f"[[year]]\nyear = 2030\n{HEAD}workdays = []", "calendar-field-invalid"),
        ("[[year]]\nyear = 2030\nsource = ' '\nprovisional = false\nworkdays = []\nholidays = []", "calendar-field-invalid"),
        ("year = 2030", "calendar-unreadable"),
        ("not toml", "calendar-unreadable"),
        ("", "calendar-unreadable"),
    ],
)
def test_a_calendar_that_contradicts_itself_is_refused(years: str, code: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        read_working_days(years)
    assert caught.value.reasons[0].code == code


def test_the_edition_tells_whether_deadlines_may_differ() -> None:
    calendar = working_days()
    known = calendar.years[2026]
    assert len(calendar.edition) == 64
    assert calendar.with_years([replace(known, source="the same notice, at another address")]).edition == calendar.edition
    assert calendar.with_years([replace(known, provisional=True)]).edition != calendar.edition
    assert calendar.with_years([replace(known, workdays=frozenset())]).edition != calendar.edition
    assert calendar.with_years([replace(known, year=2027, free=(), workdays=frozenset())]).edition != calendar.edition


def test_a_day_ends_at_midnight_of_the_instance() -> None:
    assert end_of_day(date(2026, 12, 31), SHANGHAI) == datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert local_day(datetime(2026, 12, 31, 15, 59, tzinfo=UTC), SHANGHAI) == date(2026, 12, 31)
    assert local_day(datetime(2026, 12, 31, 16, 0, tzinfo=UTC), SHANGHAI) == date(2027, 1, 1)
    with pytest.raises(InputInvalid):
        end_of_day(date.max, SHANGHAI)


@given(day=st.dates(date(1995, 1, 1), date(9998, 12, 30)), zone=st.sampled_from([SHANGHAI, "UTC", "Europe/Berlin"]))
def test_the_last_day_of_a_term_is_the_day_it_was_made_of(day: date, zone: str) -> None:
    assert last_day(end_of_day(day, zone), zone) == day
