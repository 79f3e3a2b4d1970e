"""The calendar of working days on the command line."""

from pathlib import Path

from test_officer_commands import Run, divisions, huitong_, instance, seed_lake, table

from huitong.sharing.deadline import read_working_days

__all__ = ["divisions", "huitong_", "instance", "seed_lake"]


def test_a_year_is_drafted_checked_put_in_and_shown(huitong_: Run) -> None:
    code, out, err = huitong_("calendar", "seed", "2027", "--output", "2027.toml", who="operator")
    assert code == 0 and not out and "2027.toml" in err
    draft = Path("2027.toml").read_text("utf-8")
    assert read_working_days(draft).years[2027].provisional
    notice = draft.replace("provisional = true", "provisional = false").replace("to = 2027-01-01", "to = 2027-01-04")

    code, out, err = huitong_("calendar", "set", "-", "--dry-run", who="operator", give=notice)
    assert code == 0 and "2027-01-04" in out and "nothing was changed" in err
    assert {row["provisional"] for row in table(huitong_("calendar", "show", "--format", "csv")[1])} == {"true", "false"}

    code, out, err = huitong_("calendar", "set", "2027.toml", who="analyst")
    assert code == 6 and "role" in err
    Path("2027.toml").write_text(notice, "utf-8")
    code, out, err = huitong_("calendar", "set", "2027.toml", who="operator")
    assert code == 0 and "2027 was put in" in err
    assert "says all this already" in huitong_("calendar", "set", "2027.toml", who="operator")[2]

    rows = table(huitong_("calendar", "show", "2027", "--format", "csv")[1])
    assert rows[0]["first"] == "2027-01-01" and rows[0]["name"] == "元旦"
    code, out, err = huitong_("calendar", "check", "--lang", "zh-Hans")
    assert code == 3 and "2027 年" in out and "调休上班" in out, "no weekend is worked in exchange: the notice was not read"


def test_the_check_compares_with_a_second_source(huitong_: Run) -> None:
    assert huitong_("calendar", "check")[:2] == (0, "Nothing to look at in the 2 years that something is known of.\n")
    draft = huitong_("calendar", "seed", "2026", who="operator")[1]
    wrong = draft.replace("provisional = true", "provisional = false").replace("2026-10-10]", "2026-10-11]")
    assert huitong_("calendar", "set", "-", who="operator", give=wrong)[0] == 0
    code, out, _ = huitong_("calendar", "check", "--format", "csv")
    assert code == 3 and [row["code"] for row in table(out)] == ["calendar-day-differs"] * 2


def test_what_is_no_calendar_is_said(huitong_: Run) -> None:
    assert huitong_("calendar", "set", "-", who="operator", give="")[0] == 3
    code, _, err = huitong_("calendar", "set", "-", who="operator", give="[[year]]\nyear = 2027\n")
    assert code == 3 and "[[year]] must be" in err
    assert huitong_("calendar", "seed", "1960")[0] == 3
    assert huitong_("calendar", "show", "1800")[0] == 2
