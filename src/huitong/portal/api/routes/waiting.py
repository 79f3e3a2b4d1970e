
"""While a request waits: supplements, more time, lateness, the regulator; and how a grant goes on."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from huitong.model.party import Actor
from huitong.model.sharing import Wish
from huitong.portal.api import shapes
from huitong.portal.api.auth import READ, SHARE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.routes.sharing import shape, stated, wished
from huitong.portal.api.schemas import RequestOut, Requests
from huitong.portal.api.schemas_rights import (
    ContinueIn,
    DelegationIn,
    DelegationOut,
    Delegations,
    EscalateIn,
    GrantEvents,
    MediateIn,
    ProlongIn,
    SupplementAskedIn,
    SupplementIn,
)
from huitong.portal.doors import doors

router = Router(tags=["Requests and grants"], auth=READ)
DONE = signed_in(400, 404, 409)


def _restated(request_id: str, body: SupplementIn, by: Actor) -> Wish | None:
    """What is asked for from now on; None if nothing but words was supplied."""
    if not body.model_dump(exclude={"words"}, exclude_none=True):
        return None
    named: dict[str, Any] = {"purpose": body.purpose, "legal_basis": body.legal_basis}
    return doors().sharing.restated(request_id, by=by, items=wished(body.items), **named, **stated(body))


@router.get("/late-requests", response=Requests, openapi_extra=signed_in())
def late_requests(request: HttpRequest, limit: Limit = 50, offset: Offset = 0) -> Any:
    """Requests whose answer is late: of your office on either side, or of the offices that you regulate (role regulator)."""
    found = doors().sharing.late_requests(by=actor(request))
    entries = [shape(one) for one in found[offset : offset + limit]]
    return shapes.page(entries, name="requests", total=len(found), limit=limit, offset=offset)


@router.post("/requests/{request_id}/ask-supplement", response=RequestOut, auth=SHARE, openapi_extra=DONE)
def ask_supplement(request: HttpRequest, request_id: Id, body: SupplementAskedIn) -> Any:
    """Say what is missing; the answer's clock stands still until it comes (role reviewer of the managing office)."""
    return shape(doors().sharing.ask_supplement(request_id, by=actor(request), words=body.words))


@router.post("/requests/{request_id}/supplement", response=RequestOut, auth=SHARE, openapi_extra=DONE)
def supplement(request: HttpRequest, request_id: Id, body: SupplementIn) -> Any:
    """Supply what was missing, in words or by asking for something else of the same dataset; the limit begins anew."""
    by = actor(request)
    return shape(doors().sharing.supplement(request_id, by=by, words=body.words, wish=_restated(request_id, body, by)))


@router.post("/requests/{request_id}/prolong", response=RequestOut, auth=SHARE, openapi_extra=DONE)
def prolong(request: HttpRequest, request_id: Id, body: ProlongIn) -> Any:
    """Put the answer off once, where the rules allow it, with the word of the head of the office."""
    return shape(doors().sharing.prolong(request_id, by=actor(request), words=body.words, approved_by=body.approved_by))


@router.post("/requests/{request_id}/escalate", response=RequestOut, auth=SHARE, openapi_extra=DONE)
def escalate(request: HttpRequest, request_id: Id, body: EscalateIn) -> Any:
    """Tell the regulator of the same level that the answer is late (the clock does so by itself)."""
    return shape(doors().sharing.escalate(request_id, by=actor(request), words=body.words))


@router.post("/requests/{request_id}/mediate", response=RequestOut, auth=SHARE, openapi_extra=DONE)
def mediate(request: HttpRequest, request_id: Id, body: MediateIn) -> Any:
    """Set the day by which a late request is answered, after hearing both offices (role regulator)."""
    return shape(doors().sharing.mediate(request_id, by=actor(request), words=body.words, answer_by=body.answer_by))


@router.post("/grants/{grant_id}/extend", response={201: RequestOut}, auth=SHARE, openapi_extra=DONE)
def extend(request: HttpRequest, grant_id: Id, body: ContinueIn) -> Any:
    """Ask that a grant in force last longer, on its terms; agreed, it gets another version."""
    return Status(201, shape(doors().sharing.extend(grant_id, until=body.until, by=actor(request))))


@router.post("/grants/{grant_id}/renew", response={201: RequestOut}, auth=SHARE, openapi_extra=DONE)
def renew(request: HttpRequest, grant_id: Id, body: ContinueIn) -> Any:
    """Ask for the same again after a grant has ended by time or was given back."""
    return Status(201, shape(doors().sharing.renew(grant_id, until=body.until, by=actor(request))))


@router.get("/grants/{grant_id}/events", response=GrantEvents, openapi_extra=signed_in(404))
def grant_events(request: HttpRequest, grant_id: Id) -> Any:
    """What happened to a grant, oldest first; for the two offices it concerns."""
    found = doors().sharing.grant_history(grant_id, by=actor(request))
    return {"grant": grant_id, "events": [vars(event) for event in found]}


@router.get("/delegations", response=Delegations, openapi_extra=signed_in())
def delegations(request: HttpRequest) -> Any:
    """Who answers in whose place in your office, newest first."""
    return {"delegations": [delegation(one) for one in doors().sharing.delegations(by=actor(request))]}


@router.post("/delegations", response={201: DelegationOut}, auth=SHARE, openapi_extra=DONE)
def delegate(request: HttpRequest, body: DelegationIn) -> Any:
    """Let a colleague answer in your place (role reviewer), or in that of a reviewer who cannot (role data-officer)."""
    made = doors().sharing.delegate(
        body.to, valid_from=body.valid_from, valid_until=body.valid_until, by=actor(request), principal=body.principal
    )
    return Status(201, delegation(made))


@router.post("/delegations/{delegation_id}/end", response=DelegationOut, auth=SHARE, openapi_extra=DONE)
def end_delegation(request: HttpRequest, delegation_id: Id) -> Any:
    """End a delegation before its last day."""
    return delegation(doors().sharing.end_delegation(delegation_id, by=actor(request)))


def delegation(found: Any) -> Any:
    """A delegation as the API gives it."""
    return {**vars(found), "office": shapes.office_reference(found.office), "standing": doors().sharing.stands(found)}


