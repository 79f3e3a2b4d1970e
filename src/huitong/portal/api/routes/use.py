
"""Use under a grant, and its proof."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from ninja import Router

from huitong.model.query import QueryRequest
from huitong.portal.accounts.tokens import Scope
from huitong.portal.api import shapes, shapes_uses
from huitong.portal.api.auth import READ, USE, actor, refuse_unless_still
from huitong.portal.api.forms import signed_in
from huitong.portal.api.front import GONE
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id, Limit, Offset
from huitong.portal.api.results import ARROW, CSV, PARQUET, form_of, response_of
from huitong.portal.api.schemas import AskIn, QueryIn, QueryOut, Receipt, WhyOut
from huitong.portal.api.schemas_terms import epsilon_of
from huitong.portal.api.streaming import NDJSON, Streamed, stream_form_of, whole_answer, whole_hash
from huitong.portal.api.use_schemas import RunningUseOut, RunningUsesOut
from huitong.portal.doors import doors

router = Router(tags=["Use and proof"], auth=READ)

HEADERS = {
    "Huitong-Query": {"description": "Number of the query", "schema": {"type": "string"}},
    "Huitong-Receipt": {"description": "Where its receipt lies", "schema": {"type": "string"}},
    "Huitong-Notices": {"description": "Sentences to read, percent-encoded, with commas between", "schema": {"type": "string"}},
    "Huitong-Maximum-Rows": {"description": "Of a streamed answer: how many rows it can have at most", "schema": {"type": "integer"}},
}
FORMS = {
    "responses": {
        200: {
            "headers": HEADERS,
            "content": {
                ARROW: {"schema": {"type": "string", "format": "binary", "description": "The bytes that the receipt proves"}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                CSV: {"schema": {"type": "string"}},
                NDJSON: {"schema": {"type": "string", "description": "With `stream` alone: a row a line; the last line says how it ended"}},
            },
        },
        **signed_in(400, 406)["responses"],
    }
}


def _asked(body: QueryIn) -> QueryRequest:
    return QueryRequest(sql=body.sql, purpose=body.purpose, epsilon=epsilon_of(body.epsilon))


@router.post("/query", response=QueryOut, auth=USE, openapi_extra=FORMS)
def query(request: HttpRequest, body: AskIn) -> HttpResponseBase:
    """Run one SELECT under the grants of your office, for a stated purpose. The answer's form follows `Accept`. A query whose caller
    hangs up is stopped.

    With `stream` the rows leave as the engine finds them. NDJSON then ends with an object whose only key is `huitong`: rows, result_hash
    and receipt, or the problem because of which it broke off. As Arrow or CSV an answer that broke off has no end: the connection is
    broken in the midst of the body. Rows that have left by then are counted and recorded."""
    if body.stream:
        return _streamed(request, body)
    form = form_of(request)
    answer = doors().gateway.answer(_asked(body), actor=actor(request), gone=_gone(request))
    return response_of(answer, request, form=form)


def _streamed(request: HttpRequest, body: QueryIn) -> HttpResponseBase:
    """Totals are few, and are told only when all are known: they come in the same form, but at once."""
    form, by, asked, gateway = stream_form_of(request), actor(request), _asked(body), doors().gateway
    if not gateway.tells_single_rows(asked, actor=by):
        answer = gateway.answer(asked, actor=by, gone=_gone(request), hashed=whole_hash(form))
        return whole_answer(answer, request, form=form)
    opened = gateway.leaving(
        asked, actor=by, gone=_gone(request), still=lambda: refuse_unless_still(request, by, scope=Scope.USE)
    )
    return Streamed(opened, form=form, language=language_of(request), bytes_at_most=gateway.streams.bytes)


def _gone(request: HttpRequest) -> Callable[[], bool]:
    """Whether the caller has hung up, as far as the server tells."""
    asks: Callable[[], bool] = request.META.get(GONE, lambda: False)
    return asks


@router.post("/why", response=WhyOut, auth=USE, openapi_extra=signed_in(400))
def why(request: HttpRequest, body: QueryIn) -> Any:
    """What would happen to this statement and on which grounds; nothing is run."""
    explanation = doors().gateway.why(_asked(body), actor=actor(request))
    return shapes.why(explanation, language_of(request))


@router.get("/queries/running", response=RunningUsesOut, openapi_extra=signed_in())
def running(request: HttpRequest, limit: Limit = 50, offset: Offset = 0) -> Any:
    """Uses of your office that have run for a second or more and run now, the longest running first: for a data officer all, else your
    own. Statements are not told."""
    found = doors().running.running(by=actor(request))
    lines = shapes_uses.running(found[offset : offset + limit])
    return shapes.page(lines, name="uses", total=len(found), limit=limit, offset=offset)


@router.post("/queries/{query_id}/cancel", response=RunningUseOut, auth=USE, openapi_extra=signed_in(404, 409))
def cancel(request: HttpRequest, query_id: Id) -> Any:
    """Stop a use of your office that runs: your own or, as data officer, anybody's. It ends within a second or two; its outcome in the
    ledger says who cancelled it, and it counts as a use that failed."""
    return shapes_uses.running([doors().running.cancel(query_id, by=actor(request))])[0]


@router.get("/queries/{query_id}/receipt", response=Receipt, openapi_extra=signed_in(404))
def receipt(request: HttpRequest, query_id: Id) -> HttpResponse:
    """The receipt of a query of your office, or of one that used your office's data; verify it offline."""
    return JsonResponse(doors().receipt(query_id, by=actor(request)), json_dumps_params={"ensure_ascii": False})
