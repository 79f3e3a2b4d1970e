"""For one case, the identifiers behind a few pseudonyms: ask, answer, learn, end."""

from collections.abc import Sequence
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from huitong.masks.pseudonym import read_token
from huitong.portal.api import shapes
from huitong.portal.api.auth import READ, SHARE, USE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.reidentification_schemas import (
    AgreeIn,
    AskIn,
    EndIn,
    RefuseCaseIn,
    ReidentificationOut,
    Reidentifications,
    RevealIn,
)
from huitong.portal.api.reidentification_shapes import shape
from huitong.portal.api.results import form_of, response_of
from huitong.portal.api.routes.use import FORMS
from huitong.portal.api.schemas import QueryOut
from huitong.portal.doors import doors
from huitong.sharing.ports import Side

router = Router(tags=["Re-identification"], auth=READ)
TELLING = {"responses": {**FORMS["responses"], **signed_in(400, 404, 406, 409)["responses"]}}


def read(tokens: Sequence[str]) -> list[int]:
    """Tokens as the core takes them."""
    return [read_token(text) for text in tokens]


@router.post("/reidentifications", response={201: ReidentificationOut}, auth=SHARE, openapi_extra=signed_in(400, 404, 409))
def ask(request: HttpRequest, body: AskIn) -> Any:
    """Ask, as the responsible officer, for the identifiers behind a few tokens of a grant, for one case. Two reviewers answer."""
    asked = body.model_dump(exclude={"grant", "tokens"})
    found = doors().reidentification.ask(body.grant, tokens=read(body.tokens), by=actor(request), **asked)
    return Status(201, shape(found, language_of(request)))


@router.get("/reidentifications", response=Reidentifications, openapi_extra=signed_in())
def cases(
    request: HttpRequest, side: Annotated[Side, Query(alias="as")] = Side.APPLICANT, limit: Limit = 50, offset: Offset = 0
) -> Any:
    """Cases of your own (a data officer: of your office), or those that your office has to answer (`provider`), newest first."""
    found, total = doors().reidentification.reidentifications(by=actor(request), side=side, limit=limit, offset=offset)
    entries = [shape(one, language_of(request)) for one in found]
    return shapes.page(entries, name="reidentifications", total=total, limit=limit, offset=offset)


@router.get("/reidentifications/{reidentification_id}", response=ReidentificationOut, openapi_extra=signed_in(404))
def show(request: HttpRequest, reidentification_id: Id) -> Any:
    """One case with its whole history, for those who have to do with it; it holds neither tokens nor identifiers."""
    return shape(doors().reidentification.reidentification(reidentification_id, by=actor(request)), language_of(request))


@router.post(
    "/reidentifications/{reidentification_id}/approve", response=ReidentificationOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409)
)
def approve(request: HttpRequest, reidentification_id: Id, body: AgreeIn) -> Any:
    """Agree (role reviewer of the providing office, nobody who serves in the using one); the second of two agreements lets it begin."""
    found = doors().reidentification.approve(reidentification_id, by=actor(request), **body.model_dump())
    return shape(found, language_of(request))


@router.post(
    "/reidentifications/{reidentification_id}/refuse", response=ReidentificationOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409)
)
def refuse(request: HttpRequest, reidentification_id: Id, body: RefuseCaseIn) -> Any:
    """Say no, for a coded reason and in words (role reviewer of the providing office)."""
    found = doors().reidentification.refuse(reidentification_id, by=actor(request), reason=body.reason, words=body.words)
    return shape(found, language_of(request))


@router.post(
    "/reidentifications/{reidentification_id}/withdraw", response=ReidentificationOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409)
)
def withdraw(request: HttpRequest, reidentification_id: Id, body: EndIn) -> Any:
    """Take back what was not answered yet (the officer, or a data officer of the using office)."""
    found = doors().reidentification.withdraw(reidentification_id, by=actor(request), words=body.words)
    return shape(found, language_of(request))


@router.post(
    "/reidentifications/{reidentification_id}/revoke", response=ReidentificationOut, auth=SHARE, openapi_extra=signed_in(400, 404, 409)
)
def revoke(request: HttpRequest, reidentification_id: Id, body: EndIn) -> Any:
    """End what was agreed, now: a reviewer of the providing office, in words; or the using office, giving it back."""
    found = doors().reidentification.revoke(reidentification_id, by=actor(request), words=body.words)
    return shape(found, language_of(request))


@router.post("/reidentifications/{reidentification_id}/reveal", response=QueryOut, auth=USE, openapi_extra=TELLING)
def reveal(request: HttpRequest, reidentification_id: Id, body: RevealIn) -> HttpResponse:
    """Learn the identifiers (the officer alone, in the post of the case). Rows of token, identifier and a seal; a token that the grant
    does not let you see has no identifier. The answer's form follows `Accept`, and its receipt is that of a use."""
    form = form_of(request)
    tokens = None if body.tokens is None else read(body.tokens)
    answer = doors().reidentification.reveal(reidentification_id, by=actor(request), tokens=tokens)
    return response_of(answer, request, form=form)
