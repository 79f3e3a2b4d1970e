"""The API as a whole: its operations, its one way to say no, and its description in OpenAPI 3.1."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from ninja import NinjaAPI
from ninja.errors import ValidationError, ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.renderers import JSONRenderer

from huitong.portal.api import idempotency, problems, tables
from huitong.portal.api.forms import MEANINGS, PROBLEM
from huitong.portal.api.links import add_links
from huitong.portal.api.results import form_of
from huitong.portal.api.routes import (
    calendar,
    catalog,
    delivery,
    documents,
    intake,
    ledger,
    notices,
    party,
    people,
    record,
    reidentification,
    sharing,
    usable,
    use,
    waiting,
)
from huitong.portal.api.schemas import Problem

VERSION = "1"


class Readable(JSONRenderer):
    """JSON in which Chinese stays readable."""

    json_dumps_params = {"ensure_ascii": False}  # noqa: RUF012 - Ninja's own form of it


class Api(NinjaAPI):
    """Ninja's API, whose description knows the form of a problem and names operations by file and function."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """`sharing_approve` for the function `approve` of the file `sharing`."""
        return f"{operation.view_func.__module__.rpartition('.')[2]}_{operation.view_func.__name__}"

    def get_openapi_schema(self, **settings: Any) -> OpenAPISchema:
        """The description, with the form of problems among its components."""
        schema = super().get_openapi_schema(**settings)
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components.update(problem.pop("$defs", {}))
        components["Problem"] = problem
        for described in (one for path in schema["paths"].values() for one in path.values() if "requestBody" in one):
            described["responses"].setdefault(413, {"description": MEANINGS[413], **PROBLEM})
        add_links(schema["paths"])
        return schema

    def validation_error_from_error_contexts(self, error_contexts: list[ValidationErrorContext[Any]]) -> ValidationError:
        """The faults of a call, each with what its form allows at that place."""
        found = super().validation_error_from_error_contexts(error_contexts)
        places = [
            (context.model, fault["loc"])
            for context in error_contexts
            for fault in context.pydantic_validation_error.errors(include_url=False, include_context=False, include_input=False)
        ]
        for fault, (model, place) in zip(found.errors, places, strict=True):
            fault["allowed"] = problems.allowed_at(model, place)
        return found

    def create_response(
        self, request: HttpRequest, data: Any, *, status: int | None = None, temporal_response: HttpResponse | None = None
    ) -> HttpResponse:
        """The answer as JSON; a list in the form that was asked for."""
        response = super().create_response(request, data, status=status, temporal_response=temporal_response)
        listed = getattr(request, "huitong_listed", None)
        return response if listed is None else tables.respond(request, response, data, listed)

    def operations(self) -> Iterator[Operation]:
        """Every operation, as it is served."""
        for router in self._get_bound_routers():
            for path in router.path_operations.values():
                yield from path.operations


api = Api(
    title="Huitong",
    version=VERSION,
    description="Find, obtain and use every other office's data under one enforced grant, with proof of each use.",
    urls_namespace="huitong-api",
    docs_url=None,
    openapi_url="/openapi.json",
    renderer=Readable(),
)
problems.register(api)
for part in (
    party,
    people,
    calendar,
    catalog,
    intake,
    sharing,
    documents,
    waiting,
    usable,
    reidentification,
    use,
    delivery,
    record,
    ledger,
    notices,
):  # fmt: skip
    api.add_router("", part.router)


def _as_list(operation: Operation, listed: tables.Listed) -> None:
    """Let the operation give its list in every form; one that nobody makes is told before anything runs."""
    view = operation.view_func

    @wraps(view)
    def answer(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        form_of(request)
        request.huitong_listed = listed  # type: ignore[attr-defined]
        return view(request, *arguments, **named)

    operation.view_func = answer
    operation.openapi_extra = tables.described(operation.openapi_extra)


for operation in api.operations():
    if listed := tables.listed_of(operation):
        _as_list(operation, listed)
    named = api.get_openapi_operation_id(operation)
    if manner := idempotency.manner_of(operation, named):
        idempotency.take_keys(operation, named, manner)


def _answering(view: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """The view, whose wrong method is told as a problem too and whose answers no cache keeps."""

    def answer(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponse:
        response: HttpResponse = view(request, *arguments, **named)
        if response.status_code == 405:
            return problems.unknown_method(request, response["Allow"])
        if not response.has_header("Cache-Control"):
            response["Cache-Control"] = "no-store"
        return response

    answer.csrf_exempt = True  # type: ignore[attr-defined]
    return answer


def urls() -> tuple[list[URLPattern], str, str]:
    """The patterns of the API, for `path`. What a browser sends of itself (cookies) has no power here, only the token has."""
    patterns, app_name, namespace = api.urls
    own = [
        URLPattern(pattern.pattern, _answering(pattern.callback), pattern.default_args, pattern.name)
        for pattern in patterns
        if isinstance(pattern, URLPattern)
    ]
    return own, app_name, str(namespace)
