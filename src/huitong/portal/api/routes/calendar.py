# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""The calendar of working days by which limits are counted."""

from collections.abc import Iterable
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Router, Schema
from pydantic import StringConstraints

from huitong.errors import Reason
from huitong.portal.api.auth import PUBLISH, READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of, sentence
from huitong.portal.api.schemas import NO_NUL, Day, Strict
from huitong.portal.doors import doors
from huitong.sharing.calendar import YearChange
from huitong.sharing.deadline import FIRST_YEAR, LAST_YEAR, SATURDAY, CalendarYear

router = Router(tags=["Working days"], auth=READ)
Year = Annotated[int, Path(ge=FIRST_YEAR, le=LAST_YEAR)]


class Finding(Schema):
    """What a person should look at."""

    code: str
    parameters: dict[str, int | str]
    text: str


class YearSummary(Schema):
    """What is known of a year."""

    year: int
    provisional: bool
    """The notice of the State Council is still missing: limits that touch the year may move."""
    own: bool
    """The instance put it in; else it ships with Huitong."""
    free_weekdays: int
    worked_weekend_days: int
    source: str


class CalendarOut(Schema):
    """The calendar in force."""

    edition: str
    """Changes whenever a limit could end on another day."""
    today: Day
    years: list[YearSummary]
    findings: list[Finding]


class Stretch(Schema):
    """Free days in a row."""

    name: str
    first: Day
    last: Day


class YearOut(Schema):
    """One year of the calendar; Saturdays and Sundays that stand nowhere are free, other days are worked."""

    year: int
    provisional: bool
    own: bool
    source: str
    free: list[Stretch]
    workdays: list[Day]
    edition: str


class CalendarIn(Strict):
    """Years in the form of TOML that `huitong calendar seed` writes."""

    calendar: Annotated[str, StringConstraints(min_length=1, max_length=400_000, pattern=NO_NUL)]
    dry_run: bool = False


class YearChanged(Schema):
    """What changes in a year."""

    year: int
    new: bool
    provisional: bool
    was_provisional: bool
    now_free: list[Day]
    now_worked: list[Day]


class CalendarOfFile(Schema):
    """What a calendar file changed, or would change."""

    dry_run: bool
    changes: list[YearChanged]
    edition_before: str
    edition: str
    findings: list[Finding]


def _findings(reasons: Iterable[Reason], language: str) -> list[dict[str, Any]]:
    return [{"code": one.code, "parameters": dict(one.parameters), "text": sentence(one, language)} for one in reasons]


def _summary(year: CalendarYear, own: frozenset[int]) -> dict[str, Any]:
    return {
        "year": year.year,
        "provisional": year.provisional,
        "own": year.year in own,
        "free_weekdays": sum(day.weekday() < SATURDAY for day in year.holidays),
        "worked_weekend_days": len(year.workdays),
        "source": year.source,
    }


def _whole(year: CalendarYear, own: frozenset[int], edition: str) -> dict[str, Any]:
    return {
        "year": year.year,
        "provisional": year.provisional,
        "own": year.year in own,
        "source": year.source,
        "free": [{"name": one.name, "first": one.first, "last": one.last} for one in year.free],
        "workdays": sorted(year.workdays),
        "edition": edition,
    }


def _changed(one: YearChange) -> dict[str, Any]:
    return {
        "year": one.year,
        "new": one.new,
        "provisional": one.provisional,
        "was_provisional": one.was_provisional,
        "now_free": [day for day in one.days if day not in one.worked],
        "now_worked": [day for day in one.days if day in one.worked],
    }


@router.get("/calendar", response=CalendarOut, openapi_extra=signed_in())
def calendar(request: HttpRequest) -> Any:
    """The calendar in force: its edition, what is known of which year, and what should be looked at."""
    actions = doors().calendar
    found, own = actions.calendar, actions.own_years()
    years = [_summary(year, own) for _, year in sorted(found.years.items())]
    findings = _findings(actions.findings(), language_of(request))
    return {"edition": found.edition, "today": actions.today(), "years": years, "findings": findings}


@router.get("/calendar/{year}", response=YearOut, openapi_extra=signed_in(404))
def year(request: HttpRequest, year: Year) -> Any:
    """One year: its free days, the weekends that are worked in exchange, where that is written."""
    actions = doors().calendar
    return _whole(actions.year(year), actions.own_years(), actions.calendar.edition)


@router.post("/calendar", response=CalendarOfFile, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def change(request: HttpRequest, body: CalendarIn) -> Any:
    """Put years in, each in the place of what was known of it; those that are not named stay (role operator)."""
    done = doors().calendar.put(body.calendar, by=actor(request), dry_run=body.dry_run)
    return {
        "dry_run": body.dry_run,
        "changes": [_changed(one) for one in done.changes],
        "edition_before": done.edition_before,
        "edition": done.edition,
        "findings": _findings(done.findings, language_of(request)),
    }
