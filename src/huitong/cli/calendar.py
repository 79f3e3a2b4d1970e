"""The calendar of working days: show it, make a first draft of a year, put years in, check it. Clients of the API."""

import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.door import open_client
from huitong.cli.exits import Exit
from huitong.cli.language import words
from huitong.cli.output import Column, remark, show_json, show_rows
from huitong.errors import InputInvalid, Reason

calendar = Group("calendar", no_args_is_help=True)
FIRST, LAST = 1950, 2100
LONGEST_FILE = 400_000


@calendar.command("show")
@click.argument("year", metavar="[YEAR]", type=click.IntRange(FIRST, LAST), required=False)
def calendar_show(year: int | None) -> None:
    """What is known of which year; or the days of one."""
    if year is None:
        with open_client() as client:
            found = client.calendar()
        show_rows(_YEARS, found["years"], raw=found)
        if surroundings().format == "table":
            remark(words("calendar-edition", edition=found["edition"][:16]))
        return
    with open_client() as client:
        one = client.calendar_year(year)
    rows = [
        *({"first": free["first"], "last": free["last"], "kind": "free", "name": free["name"]} for free in one["free"]),
        *({"first": day, "last": day, "kind": "worked", "name": None} for day in one["workdays"]),
    ]
    show_rows(_DAYS, sorted(rows, key=lambda row: row["first"]), raw=one)
    if surroundings().format == "table":
        remark(words("calendar-year-source", year=year, source=one["source"]))
        if one["provisional"]:
            remark(words("calendar-is-provisional", year=year))


@calendar.command("seed")
@click.argument("year", metavar="YEAR", type=click.IntRange(FIRST, LAST))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
def calendar_seed(year: int, output: Path | None) -> None:
    """A first draft, for a person to check; nothing is put in."""
    from huitong.sharing.calendar_text import calendar_text, seeded_year

    text = calendar_text([seeded_year(year)])
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(output)) from None
    remark(words("calendar-seeded", file=str(output), year=year))


@calendar.command("set")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True)
def calendar_set(file: Path, dry_run: bool) -> None:
    """Years from a file, each in the place of what was known of it."""
    text = _read(file)
    with open_client() as client:
        done = client.set_calendar(text, dry_run=dry_run)
    rows = [
        {"day": day, "kind": kind, "year": change["year"]}
        for change in done["changes"]
        for kind, days in (("free", change["now_free"]), ("worked", change["now_worked"]))
        for day in days
    ]
    if surroundings().format == "json":
        show_json(done)
    elif rows:
        show_rows(_CHANGES, sorted(rows, key=lambda row: row["day"]), raw=done)
    if not done["changes"]:
        remark(words("calendar-as-it-was"))
    for change in done["changes"]:
        state = words("calendar-provisional" if change["provisional"] else "calendar-final")
        remark(words("calendar-would-change" if dry_run else "calendar-changed", year=change["year"], state=state))
    for finding in done["findings"]:
        remark(finding["text"])


@calendar.command("check")
def calendar_check() -> int:
    """Exit code 3 if something should be looked at."""
    with open_client() as client:
        found = client.calendar()
        years = {row["year"]: client.calendar_year(row["year"]) for row in found["years"] if not row["provisional"]}
    texts = [(one["code"], one["text"]) for one in found["findings"]]
    texts += [(reason.code, words.reason(reason)) for year in years.values() for reason in _differences(year)]
    columns: list[Column] = [("code", lambda row: row["code"]), ("finding", lambda row: row["text"])]
    rows = [{"code": code, "text": text} for code, text in texts]
    if rows or surroundings().format != "table":
        show_rows(columns, rows, raw=rows)
    else:
        click.echo(words("calendar-well", years=len(found["years"])))
    return Exit.INPUT_INVALID if rows else Exit.OK


def _differences(written: dict[str, Any]) -> list[Reason]:
    """The days of a year with its notice on which the package `holidays` says otherwise, as far as it knows that notice."""
    from huitong.sharing.calendar_text import FIRST_SEEDED, seeded_year
    from huitong.sharing.deadline import CalendarYear, FreeDays

    if written["year"] < FIRST_SEEDED:
        return []
    seeded = seeded_year(written["year"])
    if not seeded.workdays:
        return []
    year = CalendarYear(
        written["year"],
        tuple(FreeDays(one["name"], date.fromisoformat(one["first"]), date.fromisoformat(one["last"])) for one in written["free"]),
        frozenset(map(date.fromisoformat, written["workdays"])),
        written["source"],
        written["provisional"],
    )
    return [Reason("calendar-day-differs", {"year": year.year, "day": day.isoformat()}) for day in year.differences(seeded)]


def _read(file: Path) -> str:
    try:
        text = sys.stdin.read(LONGEST_FILE + 1) if str(file) == "-" else file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    if not text.strip() or len(text) > LONGEST_FILE:
        raise InputInvalid.because("calendar-unreadable")
    return text


def _weekday(row: Any, key: str) -> str:
    return words(f"weekday-{date.fromisoformat(row[key]).weekday()}")


_YEARS: list[Column] = [
    ("year", lambda row: row["year"]),
    ("provisional", lambda row: row["provisional"]),
    ("own", lambda row: row["own"]),
    ("free_weekdays", lambda row: row["free_weekdays"]),
    ("worked_weekend_days", lambda row: row["worked_weekend_days"]),
    ("source", lambda row: row["source"]),
]
_DAYS: list[Column] = [
    ("first", lambda row: row["first"]),
    ("last", lambda row: row["last"]),
    ("weekday", lambda row: _weekday(row, "first")),
    ("day_kind", lambda row: words(f"calendar-{row['kind']}")),
    ("name", lambda row: row["name"]),
]
_CHANGES: list[Column] = [
    ("day", lambda row: row["day"]),
    ("weekday", lambda row: _weekday(row, "day")),
    ("day_kind", lambda row: words(f"calendar-{row['kind']}")),
]
