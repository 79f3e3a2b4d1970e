"""Rows as a file: ask for an extract, see how far it is, get an address, fetch it."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router, Status
from pydantic import StringConstraints

from huitong.delivery.formats import MEDIA_TYPES
from huitong.portal.api import shapes, shapes_delivery
from huitong.portal.api.auth import READ, USE, actor
from huitong.portal.api.downloads import answer_of
from huitong.portal.api.forms import problems, signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.schemas import NO_NUL
from huitong.portal.api.schemas_delivery import AddressIn, AddressOut, ExtractIn, ExtractOut, Extracts
from huitong.portal.doors import doors

router = Router(tags=["Extracts"], auth=READ)

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL), Query()]
Instant = Annotated[int, Query(ge=0, le=2**53)]
BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE = {
    "responses": {
        200: {"description": "The file", "content": {kind.partition(";")[0]: BINARY for kind in MEDIA_TYPES.values()}},
        206: {"description": "The bytes that `Range` names", "content": {kind.partition(";")[0]: BINARY for kind in MEDIA_TYPES.values()}},
        416: {"description": "The file has no such bytes"},
        **problems(403, 404, 409)["responses"],
    }
}


@router.post("/extracts", response={201: ExtractOut}, auth=USE, openapi_extra=signed_in(400, 404))
def make(request: HttpRequest, body: ExtractIn) -> Any:
    """Ask for the rows of a grant as one file. What is ready already is given again, as a new use; the rest the server makes."""
    extract = doors().extracts.make(
        by=actor(request), form=body.format, grant=body.grant, dataset=body.dataset, purpose=body.purpose, items=body.items
    )
    return Status(201, shapes_delivery.extract(extract, language_of(request)))


@router.get("/extracts", response=Extracts, openapi_extra=signed_in())
def extracts(request: HttpRequest, limit: Limit = 50, offset: Offset = 0) -> Any:
    """Extracts of your office, newest first."""
    found, total = doors().extracts.list(by=actor(request), limit=limit, offset=offset)
    entries = [shapes_delivery.extract(one, language_of(request)) for one in found]
    return shapes.page(entries, name="extracts", total=total, limit=limit, offset=offset)


@router.get("/extracts/{extract_id}", response=ExtractOut, openapi_extra=signed_in(404))
def show(request: HttpRequest, extract_id: Id) -> Any:
    """One extract of your office: waiting, running with the rows so far, ready, failed or removed with the reasons."""
    return shapes_delivery.extract(doors().extracts.show(extract_id, by=actor(request)), language_of(request))


@router.post("/extracts/{extract_id}/addresses", response={201: AddressOut}, auth=USE, openapi_extra=signed_in(400, 404, 409))
def address(request: HttpRequest, extract_id: Id, body: AddressIn) -> Any:
    """A signed address of a ready extract, for some minutes. It is given to you: it ends with your post and with the grant."""
    return Status(201, shapes_delivery.address(doors().addresses.give(extract_id, by=actor(request), minutes=body.minutes)))


@router.get("/extracts/{extract_id}/download", auth=None, openapi_extra=FILE)
def download(request: HttpRequest, extract_id: Id, address: Text, expires: Instant, signature: Text) -> HttpResponseBase:
    """The file behind a signed address, whole or the bytes that `Range` names. Everything it rests on is looked at again and again while
    it is sent; when the right to it ends the connection is broken off."""
    delivery = doors().addresses.follow(extract_id, address=address, expires=expires, signature=signature)
    return answer_of(request, delivery)


@router.api_operation(["HEAD"], "/extracts/{extract_id}/download", auth=None, include_in_schema=False)
def head(request: HttpRequest, extract_id: Id, address: Text, expires: Instant, signature: Text) -> HttpResponseBase:
    """The same without the bytes."""
    return download(request, extract_id, address, expires, signature)
