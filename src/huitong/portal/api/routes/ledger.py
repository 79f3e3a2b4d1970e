# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""What anyone may know of the ledger, and how it stands."""

import base64
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from huitong.errors import NotFound
from huitong.portal.api import shapes, shapes_uses
from huitong.portal.api.auth import READ, actor
from huitong.portal.api.forms import problems, signed_in
from huitong.portal.api.parameters import Limit, Offset
from huitong.portal.api.schemas import ConsistencyOut, CosignaturesIn, CosignaturesOut, LedgerStatusOut
from huitong.portal.api.stamp_schemas import StampsOut
from huitong.portal.api.use_schemas import UsesAsked, UsesOfDataOut, UseTotalsOut
from huitong.portal.doors import doors

router = Router(tags=["Ledger"])
PLAIN = "text/plain; charset=utf-8"
Size = Annotated[int, Query(ge=0, le=2**53 - 1, description="Number of entries")]
Witnessed = Annotated[bool, Query(description="The newest one that a witness has signed")]


def text(description: str, *statuses: int) -> dict[str, Any]:
    """The responses of an operation that gives plain text."""
    answer = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"responses": {200: answer, **problems(*statuses)["responses"]}}


@router.get("/ledger/checkpoint", openapi_extra=text("A signed note (C2SP tlog-checkpoint)", 404))
def checkpoint(request: HttpRequest, witnessed: Witnessed = False) -> HttpResponse:
    """The newest signed tree head, with the lines of the witnesses that have signed it. Anyone may keep it, and hold the ledger to it
    later."""
    newest = doors().ledger.published_checkpoint(witnessed=witnessed)
    if newest is None:
        raise NotFound.because("checkpoint-none-witnessed" if witnessed else "checkpoint-none-yet")
    return HttpResponse(newest, content_type=PLAIN)


@router.get("/ledger/consistency", response=ConsistencyOut, openapi_extra=problems())
def consistency(request: HttpRequest, first: Size, second: Size) -> Any:
    """The proof (RFC 6962) that the tree of `first` entries is the beginning of the tree of `second` entries."""
    path = doors().ledger.consistency(first, second)
    return {"first": first, "second": second, "path": [base64.b64encode(node).decode() for node in path]}


@router.post("/ledger/cosignatures", response=CosignaturesOut, openapi_extra=problems(400, 403, 404, 413))
def cosign(request: HttpRequest, body: CosignaturesIn) -> Any:
    """Hand in what witnesses signed of a checkpoint (C2SP tlog-cosignature). Their signature is their right: no token. A line that is
    here already changes nothing."""
    kept = doors().ledger.add_cosignatures(size=body.size, lines=body.lines)
    return {"size": body.size, "witnesses": [one.witness for one in kept]}


@router.get("/ledger/key", openapi_extra=text("A verifier key (C2SP signed-note)"))
def key(request: HttpRequest) -> HttpResponse:
    """The key that signs now; receipts of the time before a change of the key need those of `/ledger/keys`."""
    return HttpResponse(doors().ledger.vkey() + "\n", content_type=PLAIN)


@router.get("/ledger/keys", openapi_extra=text("Verifier keys (C2SP signed-note), one a line, each with its time"))
def keys(request: HttpRequest) -> HttpResponse:
    """Every key that the ledger has signed with, the present one first, each with `from` and `until` if it has them. A receipt or a
    checkpoint counts if its key was in force at its instant. Remarks (`#`) hold the signed entries of the key changes."""
    return HttpResponse(doors().ledger.published_keys(), content_type=PLAIN)


@router.get("/ledger/status", response=LedgerStatusOut, auth=READ, openapi_extra=signed_in())
def status(request: HttpRequest) -> Any:
    """Entries in the tree, entries that wait, and for how long."""
    found = doors().ledger.status()
    return {name: getattr(found, name) for name in LedgerStatusOut.model_fields}


@router.get("/ledger/stamps", response=StampsOut, openapi_extra=problems())
def stamps(request: HttpRequest, limit: Limit = 50, offset: Offset = 0) -> Any:
    """Time stamps of checkpoints (RFC 3161), for anyone to check, with `openssl ts -verify` too. No token is needed."""
    found, total = doors().ledger.stamped(limit=limit, offset=offset)
    return shapes.page(shapes_uses.stamps(found), name="stamps", total=total, limit=limit, offset=offset)


@router.get("/ledger/uses", response=UsesOfDataOut, auth=READ, openapi_extra=signed_in())
def uses(request: HttpRequest, asked: Query[UsesAsked], limit: Limit = 50, offset: Offset = 0) -> Any:
    """Who used which data: uses of the datasets that your office manages or collects (`provider`: roles data-officer and reviewer), uses
    by your office (`applicant`), or of the data of the offices in your division (`regulator`). A use is listed once its entries are in
    the tree, a second later."""
    by, data = actor(request), doors().uses_of_data
    found, total = data.uses(by=by, side=asked.side, wanted=shapes_uses.wanted(asked), limit=limit, offset=offset)
    return shapes.page(shapes_uses.lines(found), name="uses", total=total, limit=limit, offset=offset)


@router.get("/ledger/uses/totals", response=UseTotalsOut, auth=READ, openapi_extra=signed_in())
def use_totals(request: HttpRequest, asked: Query[UsesAsked], limit: Limit = 50, offset: Offset = 0) -> Any:
    """How many uses there were and how many rows were told, by month, dataset and using office; asked as `/ledger/uses` is."""
    by, data = actor(request), doors().uses_of_data
    found, total = data.totals(by=by, side=asked.side, wanted=shapes_uses.wanted(asked), limit=limit, offset=offset)
    return shapes.page(shapes_uses.totals(found), name="totals", total=total, limit=limit, offset=offset)
