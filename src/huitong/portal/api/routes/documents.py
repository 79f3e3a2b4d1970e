
"""The documents of a grant: the agreement in ODRL, the same to read and sign, and its versions."""

import base64
import hashlib
import json
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema

from huitong.errors import InputInvalid
from huitong.model.policy import Grant
from huitong.portal.api import shapes
from huitong.portal.api.auth import READ, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id
from huitong.portal.api.routes.catalog import JSON_LD, as_file, portal_of
from huitong.portal.api.schemas import Problem
from huitong.portal.doors import doors
from huitong.sharing.document import GrantRecord
from huitong.sharing.readable import document_of, html, markdown, style

router = Router(tags=["Requests and grants"], auth=READ)
HTML, MARKDOWN, PLAIN = "text/html", "text/markdown", "text/plain"
FORMS = (HTML, MARKDOWN, PLAIN)
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Version of the grant; the newest if it is not named")]
_STYLE = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""A document runs nothing and fetches nothing; its own style is all that it may use."""


class VersionOut(Schema):
    """One version of a grant."""

    version: int
    name: str
    """The same for ever; the ODRL document bears it."""
    agreed_at: datetime
    valid_from: datetime
    valid_until: datetime
    signed_by: str
    terms_hash: str
    in_force: bool
    changes: list[Problem.ReasonOut]
    """What it changed in the version before."""


class Versions(Schema):
    """All versions of a grant, oldest first."""

    versions: list[VersionOut]


def _record(request: HttpRequest, grant_id: str, version: int | None) -> GrantRecord:
    return doors().documents.record(grant_id, by=actor(request), version=version)


@router.get("/grants/{grant_id}/odrl", openapi_extra=as_file(JSON_LD))
def odrl(request: HttpRequest, grant_id: Id, version: Version = None) -> HttpResponse:
    """The agreement as ODRL 2.2 in JSON-LD, with its context; for the two offices of the grant and their regulator."""
    record = _record(request, grant_id, version)
    document = record.odrl(portal_of(request).dataset(record.dataset.id))
    return HttpResponse(json.dumps(document, ensure_ascii=False, indent=2) + "\n", content_type=JSON_LD)


_DOCUMENT = {
    "responses": {
        200: {"description": "OK", "content": {form: {"schema": {"type": "string"}} for form in FORMS}},
        **signed_in(404, 406)["responses"],
    }
}


@router.get("/grants/{grant_id}/document", openapi_extra=_DOCUMENT)
def document(request: HttpRequest, grant_id: Id, version: Version = None) -> HttpResponse:
    """The agreement to read, sign and print, in the language of Accept-Language: a page, or Markdown by Accept; for the two offices of
    the grant and their regulator."""
    form, language = _form(request), language_of(request)
    written = document_of(_record(request, grant_id, version), language)
    response = HttpResponse(html(written) if form == HTML else markdown(written), content_type=f"{form}; charset=utf-8")
    response["Content-Language"] = language
    response["Content-Security-Policy"] = POLICY
    response["Vary"] = "Accept, Accept-Language"
    return response


def _form(request: HttpRequest) -> str:
    form = request.get_preferred_type(FORMS) if "Accept" in request.headers else HTML
    if form is None:
        raise InputInvalid.because("answer-form-unknown", known=", ".join(FORMS))
    return form


@router.get("/grants/{grant_id}/versions", response=Versions, openapi_extra=signed_in(404))
def versions(request: HttpRequest, grant_id: Id) -> Any:
    """Every version of a grant with its hash, and what changed between them; for the two offices of the grant and their regulator."""
    record = _record(request, grant_id, None)
    return {"versions": [_version(one, record, language_of(request)) for one in record.versions]}


def _version(one: Grant, record: GrantRecord, language: str) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("version", "signed_by", "terms_hash")} | {
        "name": record.urn(one.version),
        "agreed_at": record.agreed_at(one.version),
        "valid_from": one.terms.valid_from,
        "valid_until": one.terms.valid_until,
        "in_force": one.version == record.versions[-1].version and one.valid_at(record.now),
        "changes": [shapes.reason(reason, language) for reason in record.changes(one.version, language)],
    }
