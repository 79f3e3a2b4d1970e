# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""Who am I, and who is there: divisions and offices."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from huitong.catalog.succession import read_changes
from huitong.errors import NotFound
from huitong.model.party import DivisionLevel
from huitong.portal.api import shapes
from huitong.portal.api.auth import PUBLISH, READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of, sentence
from huitong.portal.api.parameters import Code, Id, Limit, Offset, Search
from huitong.portal.api.schemas import (
    DivisionChangesIn,
    DivisionOut,
    Divisions,
    DivisionsChanged,
    OfficeOut,
    Offices,
    Succeeded,
    SucceedIn,
    Whoami,
)
from huitong.portal.doors import doors

router = Router(tags=["Who takes part"], auth=READ)


@router.get("/whoami", response=Whoami, openapi_extra=signed_in())
def whoami(request: HttpRequest) -> Any:
    """The account, post, office and roles behind the token."""
    return shapes.whoami(actor(request))


@router.get("/divisions", response=Divisions, openapi_extra=signed_in())
def divisions(
    request: HttpRequest,
    q: Search = "",
    under: Code | None = None,
    level: DivisionLevel | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Any:
    """Administrative divisions by name or code, at or below a division, of a level."""
    found, total = doors().divisions.search(q, level=level, under=under, limit=limit, offset=offset)
    return shapes.page([shapes.division(one) for one in found], name="divisions", total=total, limit=limit, offset=offset)


@router.get("/divisions/{code}", response=DivisionOut, openapi_extra=signed_in(404))
def division(request: HttpRequest, code: Id) -> Any:
    """One division by its 12-digit code."""
    found = doors().divisions.get(code)
    if found is None:
        raise NotFound.because("division-unknown", division=code)
    return shapes.division(found)


@router.get("/offices", response=Offices, openapi_extra=signed_in())
def offices(
    request: HttpRequest,
    q: Search = "",
    level: DivisionLevel | None = None,
    division: Code | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Any:
    """Offices by name or id, of a level, of a division."""
    found, total = doors().parties.offices(text=q, level=level, division=division, limit=limit, offset=offset)
    return shapes.page([shapes.office(one) for one in found], name="offices", total=total, limit=limit, offset=offset)


@router.get("/offices/{office_id}", response=OfficeOut, openapi_extra=signed_in(404))
def office(request: HttpRequest, office_id: Id) -> Any:
    """One office."""
    found = doors().parties.office(office_id)
    if found is None:
        raise NotFound.because("office-unknown", office=office_id)
    return shapes.office(found)


@router.post("/offices/{office_id}/succeed", response=Succeeded, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def succeed(request: HttpRequest, office_id: Id, body: SucceedIn) -> Any:
    """One office takes over from another: datasets, grants, requests and posts move, with a trace (role operator)."""
    done = doors().succession.succeed_office(office_id, body.successor, on=body.on, words=body.words, by=actor(request))
    return {
        "office": office_id,
        "successor": body.successor,
        "datasets": list(done.datasets),
        "grants": [{"old": old, "new": new} for old, new in done.grants],
        "requests": list(done.requests),
        "posts": [{"old": old, "new": new} for old, new in done.posts],
    }


@router.post("/division-changes", response=DivisionsChanged, auth=PUBLISH, openapi_extra=signed_in(400, 404, 409))
def change_divisions(request: HttpRequest, body: DivisionChangesIn) -> Any:
    """Divisions that merged, split, moved or were renamed, from a CSV of old, new, day and kind (role operator)."""
    changes = read_changes(body.changes)
    done = doors().succession.apply_division_changes(changes, by=actor(request), dry_run=body.dry_run)
    language = language_of(request)
    return {
        "changes": len(changes),
        "dry_run": body.dry_run,
        "grants_to_look_at": [{"grant": one.grant, "text": sentence(one.reason, language)} for one in done.grants_to_look_at],
    }
