# ruff: noqa: ARG001 - Ninja gives every operation the request, whether it needs it or not
"""What anyone may know of the ledger, and how it stands."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from huitong.errors import NotFound
from huitong.portal.api.auth import READ
from huitong.portal.api.forms import problems, signed_in
from huitong.portal.api.schemas import LedgerStatusOut
from huitong.portal.doors import doors

router = Router(tags=["Ledger"])
PLAIN = "text/plain; charset=utf-8"


def text(description: str, *statuses: int) -> dict[str, Any]:
    """The responses of an operation that gives plain text."""
    answer = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"responses": {200: answer, **problems(*statuses)["responses"]}}


@router.get("/ledger/checkpoint", openapi_extra=text("A signed note (C2SP tlog-checkpoint)", 404))
def checkpoint(request: HttpRequest) -> HttpResponse:
    """The newest signed tree head. Anyone may keep it, and hold the ledger to it later."""
    newest = doors().ledger.store.latest_checkpoint()
    if newest is None:
        raise NotFound.because("checkpoint-none-yet")
    return HttpResponse(newest.note, content_type=PLAIN)


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
