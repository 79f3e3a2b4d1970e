"""What the OpenAPI document says of errors and of bodies that are not JSON."""

from typing import Any

PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
MEANINGS = {
    400: "The body cannot be read",
    401: "No valid token",
    403: "The rules say no, with every reason",
    404: "No such thing, or none that you may know of",
    405: "The address is right, the verb is not",
    406: "None of the forms that Accept names",
    409: "Not in the state that this needs",
    411: "The length of the body is missing",
    413: "The body is too large",
    415: "The body's media type is not known here",
    422: "What was sent breaks a rule",
    429: "Too much at once; `Retry-After` says when to come again",
    500: "The server failed; its operator finds the cause",
    503: "A part that is needed cannot serve now",
}


def problems(*statuses: int) -> dict[str, Any]:
    """The responses of an operation beside its usual one: these, and those that every operation may give."""
    return {"responses": {status: {"description": MEANINGS[status], **PROBLEM} for status in (*statuses, 422, 429, 500, 503)}}


def signed_in(*statuses: int) -> dict[str, Any]:
    """The same for an operation that needs a token."""
    return problems(401, 403, *statuses)


def parameter_of_path(name: str) -> dict[str, Any]:
    """A path parameter of a route that reads its own body."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
