"""When a planned load runs next."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from huitong.errors import InputInvalid
from huitong.intake.schedule import WEEKDAYS, next_run

CLOCKS = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
SCHEDULES = st.one_of(
    st.just("hourly"),
    st.builds("daily {}".format, CLOCKS),
    st.builds("weekly {} {}".format, st.sampled_from(WEEKDAYS), CLOCKS),
    st.builds("monthly {} {}".format, st.integers(1, 31), CLOCKS),
)
ZONES = st.sampled_from(
    ["Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"]
)
INSTANTS = st.integers(0, 75 * 366 * 86_400).map(lambda seconds: datetime(1985, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
LONGEST = {
    "hourly": timedelta(hours=2),
    "daily": timedelta(days=2, hours=2),
    "weekly": timedelta(days=8, hours=2),
    "monthly": timedelta(days=33),
}


def local(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).isoformat(" ", "minutes")


@pytest.mark.parametrize(
    ("every", "after", "zone", "expected"),
    [
        ("hourly", "2026-03-01 10:00:00+00:00", "Asia/Shanghai", "2026-03-01 19:00+08:00"),
        ("hourly", "2026-03-01 10:20:00+00:00", "Asia/Kathmandu", "2026-03-01 17:00+05:45"),
        ("daily 02:30", "2026-03-01 18:29:59+00:00", "Asia/Shanghai", "2026-03-02 02:30+08:00"),
        ("daily 02:30", "2026-03-01 18:30:00+00:00", "Asia/Shanghai", "2026-03-03 02:30+08:00"),
        ("weekly mon 08:00", "2026-03-01 00:00:00+00:00", "Asia/Shanghai", "2026-03-02 08:00+08:00"),
        ("monthly 31 02:30", "2026-02-01 00:00:00+00:00", "Asia/Shanghai", "2026-02-28 02:30+08:00"),
        ("monthly 31 02:30", "2028-02-01 00:00:00+00:00", "Asia/Shanghai", "2028-02-29 02:30+08:00"),
        ("monthly 31 02:30", "2026-04-29 18:30:00+00:00", "Asia/Shanghai", "2026-05-31 02:30+08:00"),
        # Berlin goes from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October
        ("daily 02:30", "2026-03-28 12:00:00+00:00", "Europe/Berlin", "2026-03-29 03:00+02:00"),
        ("daily 02:30", "2026-10-24 12:00:00+00:00", "Europe/Berlin", "2026-10-25 02:30+02:00"),
        ("daily 02:30", "2026-10-25 00:30:00+00:00", "Europe/Berlin", "2026-10-26 02:30+01:00"),
        # Samoa has no 30 December 2011
        ("daily 02:30", "2011-12-29 13:00:00+00:00", "Pacific/Apia", "2011-12-31 00:00+14:00"),
    ],
)
def test_the_next_time(every: str, after: str, zone: str, expected: str) -> None:
    assert local(next_run(every, datetime.fromisoformat(after), zone), zone) == expected


@given(SCHEDULES, INSTANTS, ZONES)
@example("daily 02:10", datetime(2026, 4, 4, 14, 59, tzinfo=UTC), "Australia/Lord_Howe")
@example("hourly", datetime(2026, 10, 3, 15, 29, tzinfo=UTC), "Australia/Lord_Howe")
def test_it_is_always_later_and_never_far(every: str, after: datetime, zone: str) -> None:
    found = next_run(every, after, zone)
    assert after < found <= after + LONGEST[every.partition(" ")[0]]


@given(SCHEDULES, INSTANTS, ZONES)
def test_it_is_the_wall_time_that_was_written_unless_that_does_not_exist(every: str, after: datetime, zone: str) -> None:
    found = next_run(every, after, zone).astimezone(ZoneInfo(zone))
    kind, *rest = every.split(" ")
    if kind == "hourly":
        assert found.minute == 0 and found.second == 0
        return
    hour, minute = map(int, rest[-1].split(":"))
    before = (found.astimezone(UTC) - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    moved = before.utcoffset() != found.utcoffset()
    assert (found.hour, found.minute, found.second) == (hour, minute, 0) or moved
    if kind == "weekly" and not moved:
        assert WEEKDAYS[found.weekday()] == rest[0]
    if kind == "monthly" and not moved:
        tomorrow = (found.replace(tzinfo=None) + timedelta(days=1)).month
        assert found.day == int(rest[0]) or (found.day < int(rest[0]) and tomorrow != found.month)


@given(SCHEDULES, INSTANTS, ZONES)
def test_nothing_lies_between_an_instant_and_its_next_time(every: str, after: datetime, zone: str) -> None:
    found = next_run(every, after, zone)
    assert next_run(every, after + (found - after) / 2, zone) == found
    assert next_run(every, found, zone) > found


@pytest.mark.parametrize(
    "every",
    ["", "Hourly", "daily", "daily 24:00", "daily 2:30", "daily 02:60", "weekly 02:30", "weekly Mon 02:30", "monthly 0 02:30",
     "monthly 32 02:30", "monthly 01 02:30", "daily 02:30 ", "daily ０２:30", "daily 02:30\n", "yearly 1"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(every: str) -> None:
    with pytest.raises(InputInvalid) as refusal:
        next_run(every, datetime(2026, 1, 1, tzinfo=UTC), "Asia/Shanghai")
    assert refusal.value.reasons[0].code == "schedule-invalid"
