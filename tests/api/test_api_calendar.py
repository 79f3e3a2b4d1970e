"""The calendar of working days over HTTP."""

from dataclasses import replace

from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH

from huitong.sharing.calendar_text import calendar_text, seeded_year
from huitong.sharing.deadline import working_days

NOTICE = calendar_text([replace(seeded_year(2027), provisional=False, source="the notice for 2027")])
NOTICE = NOTICE.replace("to = 2027-01-01", "to = 2027-01-04")


def test_everybody_sees_by_which_days_limits_are_counted(instance: Instance) -> None:
    found = instance.get("calendar").json()
    assert found["edition"] == working_days().edition and found["today"] == "2026-11-23"
    assert [(year["year"], year["provisional"], year["own"]) for year in found["years"]] == [(2026, False, False), (2027, True, False)]
    year = instance.get("calendar/2026").json()
    assert "2026-02-14" in year["workdays"] and any(free["name"] == "春节" for free in year["free"])
    unknown = instance.get("calendar/2090").json()
    assert unknown["provisional"] and unknown["free"] == []
    assert instance.get("calendar/1900").status_code == 422
    assert instance.get("calendar/2026", token=None).status_code == 401


def test_the_operator_puts_a_year_in_and_limits_follow(instance: Instance) -> None:
    before = instance.get("calendar").json()["edition"]
    assert instance.post("calendar", {"calendar": NOTICE}, token="reviewer").status_code == 403
    wrong = instance.post("calendar", {"calendar": "[[year]]\nyear = 2027"}, token="operator")
    assert wrong.status_code == 422 and wrong.json()["code"] == "calendar-field-invalid"
    dry = instance.post("calendar", {"calendar": NOTICE, "dry_run": True}, token="operator").json()
    assert dry["dry_run"] and "2027-01-04" in dry["changes"][0]["now_free"]
    assert instance.get("calendar").json()["edition"] == before
    done = instance.post("calendar", {"calendar": NOTICE}, token="operator").json()
    assert (done["edition_before"], done["changes"]) == (before, dry["changes"])
    assert instance.get("calendar").json()["edition"] == done["edition"] != before
    year = instance.get("calendar/2027").json()
    assert (year["own"], year["provisional"], year["source"]) == (True, False, "the notice for 2027")


def test_a_request_is_due_by_the_calendar_of_the_instance(instance: Instance) -> None:
    assert instance.post("requests", WISH).json()["answer_due"] == "2026-12-07"
    year = replace(working_days().years[2026], workdays=frozenset(), free=())
    long_weekend = calendar_text([year]).replace("holidays = [\n]", 'holidays = [{ name = "x", from = 2026-12-01, to = 2026-12-02 }]')
    assert instance.post("calendar", {"calendar": long_weekend}, token="operator").status_code == 200
    assert instance.post("requests", WISH).json()["answer_due"] == "2026-12-09"
