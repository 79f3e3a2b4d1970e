
"""Use under a grant, and its proof."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router

from huitong.model.query import QueryRequest
from huitong.portal.api import shapes
from huitong.portal.api.auth import READ, USE, actor
from huitong.portal.api.forms import signed_in
from huitong.portal.api.language import language_of
from huitong.portal.api.parameters import Id
from huitong.portal.api.results import ARROW, CSV, PARQUET, form_of, response_of
from huitong.portal.api.schemas import QueryIn, QueryOut, Receipt, WhyOut
from huitong.portal.api.schemas_terms import epsilon_of
from huitong.portal.doors import doors

router = Router(tags=["Use and proof"], auth=READ)

HEADERS = {
    "Huitong-Query": {"description": "Number of the query", "schema": {"type": "string"}},
    "Huitong-Receipt": {"description": "Where its receipt lies", "schema": {"type": "string"}},
    "Huitong-Notices": {"description": "Sentences to read, percent-encoded, with commas between", "schema": {"type": "string"}},
}
FORMS = {
    "responses": {
        200: {
            "headers": HEADERS,
            "content": {
                ARROW: {"schema": {"type": "string", "format": "binary", "description": "The bytes that the receipt proves"}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                CSV: {"schema": {"type": "string"}},
            },
        },
        **signed_in(400, 406)["responses"],
    }
}


def _asked(body: QueryIn) -> QueryRequest:
    return QueryRequest(sql=body.sql, purpose=body.purpose, epsilon=epsilon_of(body.epsilon))


@router.post("/query", response=QueryOut, auth=USE, openapi_extra=FORMS)
def query(request: HttpRequest, body: QueryIn) -> HttpResponse:
    """Run one SELECT under the grants of your office, for a stated purpose. The answer's form follows `Accept`."""
    form = form_of(request)
    answer = doors().gateway.answer(_asked(body), actor=actor(request))
    return response_of(answer, request, form=form)


@router.post("/why", response=WhyOut, auth=USE, openapi_extra=signed_in(400))
def why(request: HttpRequest, body: QueryIn) -> Any:
    """What would happen to this statement and on which grounds; nothing is run."""
    explanation = doors().gateway.why(_asked(body), actor=actor(request))
    return shapes.why(explanation, language_of(request))


@router.get("/queries/{query_id}/receipt", response=Receipt, openapi_extra=signed_in(404))
def receipt(request: HttpRequest, query_id: Id) -> HttpResponse:
    """The receipt of a query of your office, or of one that used your office's data; verify it offline."""
    return JsonResponse(doors().receipt(query_id, by=actor(request)), json_dumps_params={"ensure_ascii": False})
