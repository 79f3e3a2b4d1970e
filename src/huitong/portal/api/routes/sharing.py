# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""Ask, answer, use until the end or the revocation: requests and grants."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from huitong.model.policy import Mask
from huitong.portal.api import shapes, shapes_terms
from huitong.portal.api.auth import READ, SHARE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.schemas import (
    ApproveIn,
    GrantOut,
    Grants,
    GrantWithUse,
    ItemTermIn,
    Purposes,
    RefuseIn,
    RequestIn,
    RequestOut,
    Requests,
    RevokeIn,
    WithdrawIn,
)
from huitong.portal.api.schemas_rights import SupplementIn
from huitong.portal.api.schemas_terms import rules_in
from huitong.portal.doors import doors
from huitong.sharing.ports import Side
from huitong.sharing.purposes import purposes as known_purposes

router = Router(tags=["Requests and grants"], auth=READ)


def wished(items: list[ItemTermIn] | None) -> list[tuple[str, Mask | None]] | None:
    """Items and masks as the core takes them."""
    if items is None:
        return None
    return [(one.item, Mask(one.mask.kind, one.mask.parameters) if one.mask else None) for one in items]


def stated(body: RequestIn | ApproveIn | SupplementIn) -> dict[str, Any]:
    """Rows, last day and the further terms, as the core takes them."""
    listed = (body.subjects.item, body.subjects.identifiers) if body.subjects else None
    return {"division": body.rows.division if body.rows else None, "until": body.until, "subjects": listed, **rules_in(body)}


def shape(found: Any) -> Any:
    """A request with the grant that came of it."""
    return shapes.request(found, grant=doors().grant_of_request(found))


@router.get("/purposes", response=Purposes, openapi_extra=signed_in())
def purposes(request: HttpRequest) -> Any:
    """The purposes that data may be asked for and used for, in the order of the list."""
    return {"purposes": [{"code": code, "title": shapes.words(title)} for code, title in known_purposes().items()]}


@router.post("/requests", response={201: RequestOut}, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def submit(request: HttpRequest, body: RequestIn) -> Any:
    """Ask for items of a dataset. Unconditional ones are granted at once, those not shared refused with their basis."""
    wish = doors().sharing.wish(
        body.dataset,
        purpose=body.purpose,
        legal_basis=body.legal_basis,
        items=wished(body.items) or [],
        **stated(body),
        kind=body.kind,
        by=actor(request),
    )
    return Status(201, shape(doors().sharing.submit(wish, by=actor(request))))


@router.get("/requests", response=Requests, openapi_extra=signed_in())
def requests(
    request: HttpRequest, side: Annotated[Side, Query(alias="as")] = Side.APPLICANT, limit: Limit = 50, offset: Offset = 0
) -> Any:
    """Requests that your office made (`applicant`) or has to answer (`provider`), newest first."""
    found, total = doors().sharing.requests(by=actor(request), side=side, limit=limit, offset=offset)
    granted = doors().grants_of_requests(found)
    entries = [shapes.request(one, grant=granted.get(one.id)) for one in found]
    return shapes.page(entries, name="requests", total=total, limit=limit, offset=offset)


@router.get("/requests/{request_id}", response=RequestOut, openapi_extra=signed_in(404))
def show(request: HttpRequest, request_id: Id) -> Any:
    """One request with its whole history; for the two offices it concerns."""
    return shape(doors().sharing.request(request_id, by=actor(request)))


@router.post("/requests/{request_id}/approve", response=RequestOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def approve(request: HttpRequest, request_id: Id, body: ApproveIn) -> Any:
    """Answer with yes; with items, rows or until: yes to that part of it (role reviewer of the managing office)."""
    sharing, by = doors().sharing, actor(request)
    agreed = sharing.narrowed(request_id, by=by, items=wished(body.items), **stated(body))
    return shape(sharing.approve(request_id, by=by, narrowed=agreed, words=body.words, weaker_masks=body.weaker_masks))


@router.post("/requests/{request_id}/refuse", response=RequestOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def refuse(request: HttpRequest, request_id: Id, body: RefuseIn) -> Any:
    """Answer with no, for a coded reason (role reviewer of the managing office)."""
    return shape(doors().sharing.refuse(request_id, by=actor(request), reason=body.reason, words=body.words))


@router.post("/requests/{request_id}/withdraw", response=RequestOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def withdraw(request: HttpRequest, request_id: Id, body: WithdrawIn) -> Any:
    """Take back a request of your own office."""
    return shape(doors().sharing.withdraw(request_id, by=actor(request)))


@router.get("/grants", response=Grants, openapi_extra=signed_in())
def grants(request: HttpRequest, limit: Limit = 50, offset: Offset = 0) -> Any:
    """Grants that your office uses or gave, newest first."""
    found = doors().grants(by=actor(request))
    entries = [shapes.grant(one) for one in found[offset : offset + limit]]
    return shapes.page(entries, name="grants", total=len(found), limit=limit, offset=offset)


@router.get("/grants/{grant_id}", response=GrantWithUse, openapi_extra=signed_in(404))
def grant(request: HttpRequest, grant_id: Id) -> Any:
    """One grant with its terms, and how much of its quota and budget is used; for the two offices it concerns."""
    found = doors().sharing.grant(grant_id, by=actor(request))
    use, budget = shapes_terms.quota_use(doors().quota_use(found)), shapes_terms.budget_use(doors().budget_use(found))
    return {**shapes.grant(found), "use": use, "budget": budget}


@router.post("/grants/{grant_id}/revoke", response=GrantOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def revoke(request: HttpRequest, grant_id: Id, body: RevokeIn) -> Any:
    """End a grant that your office gave; it bites at the next call (role reviewer of the managing office), or give one back."""
    return shapes.grant(doors().sharing.revoke(grant_id, by=actor(request), words=body.words or ""))
