# ruff: noqa: ARG001 - Ninja calls every handler with the same arguments
"""Every way the API says no, in one form: application/problem+json (RFC 9457) with codes, parameters and sentences."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from huitong.errors import (
    Conflict,
    HuitongError,
    InputInvalid,
    LedgerBroken,
    NotFound,
    NotSignedIn,
    Reason,
    Refused,
    Unavailable,
)
from huitong.model.party import Actor, Role
from huitong.portal.api.language import language_of, sentence
from huitong.portal.api.limits import LIMITS
from huitong.portal.api.schemas import NO_NUL
from huitong.portal.doors import doors

log = logging.getLogger("huitong.api")

MEDIA_TYPE = "application/problem+json"

KINDS: Sequence[tuple[type[HuitongError], int, str]] = (
    (InputInvalid, 422, "input-invalid"),
    (NotFound, 404, "not-found"),
    (NotSignedIn, 401, "not-signed-in"),
    (Refused, 403, "refused"),
    (Conflict, 409, "conflict"),
    (Unavailable, 503, "unavailable"),
    (LedgerBroken, 500, "ledger-broken"),
)
"""Class of error, its HTTP status and the name that stands in `type`; the title is the sentence `problem-<name>`."""

SPECIAL_STATUS = {
    "body-unreadable": 400,
    "idempotency-key-malformed": 400,
    "address-unknown": 404,
    "method-unknown": 405,
    "answer-form-unknown": 406,
    "body-slow": 408,
    "body-length-missing": 411,
    "body-too-large": 413,
    "json-too-large": 413,
    "body-form-unknown": 415,
    "queries-of-office": 429,
}
"""Codes of this door for which HTTP has a more exact status than their class."""

RETRY_SECONDS: Mapping[str, int] = {"queries-of-office": 2, "engine-busy": 2}
"""Codes of a place that was not free, and after how many seconds it is worth to come again: most queries are over by then."""


def problem(request: HttpRequest, error: HuitongError, *, status: int | None = None) -> HttpResponse:
    """The answer that stands for an error, in the reader's language."""
    error = _with_closed_staff_mode(request, error)
    _note_refusal(request, error)
    language = language_of(request)
    body = told_problem(error, language, status=status)
    number = body["status"]
    query = body.get("query")
    response = HttpResponse(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), status=number, content_type=MEDIA_TYPE)
    response["Content-Language"] = language
    response["Cache-Control"] = "no-store"
    if number == 401:
        response["WWW-Authenticate"] = "Bearer"
    if retry := RETRY_SECONDS.get(error.reasons[0].code):
        response["Retry-After"] = str(retry)
    if query:
        response["Huitong-Query"] = query
    return response


def _note_refusal(request: HttpRequest, error: HuitongError) -> None:
    """A line of the log when somebody who is signed in reaches for a change that is not theirs. Refused uses have a number, and an entry
    in the ledger."""
    by = getattr(request, "auth", None)
    if not isinstance(by, Actor) or request.method in ("GET", "HEAD") or getattr(error, "query", None):
        return
    if isinstance(error, Refused | NotFound):
        code = error.reasons[0].code
        log.warning("refused %s %s to post %s: %s", request.method, quote(request.path, safe="/"), by.post, code)


def told_problem(error: HuitongError, language: str, *, status: int | None = None) -> dict[str, Any]:
    """An error as an object of RFC 9457, in a language."""
    usual, kind = next(((status, name) for cls, status, name in KINDS if isinstance(error, cls)), (500, "failure"))
    number = status or SPECIAL_STATUS.get(error.reasons[0].code, usual)
    told = error.reasons[: LIMITS.problem_reasons]
    texts = [sentence(reason, language) for reason in told]
    body: dict[str, Any] = {
        "type": f"urn:huitong:problem:{kind}",
        "title": sentence(Reason(f"problem-{kind}"), language),
        "status": number,
        "detail": " ".join(texts),
        "code": error.reasons[0].code,
        "reasons": [
            {"code": reason.code, "parameters": dict(reason.parameters), "text": text}
            for reason, text in zip(told, texts, strict=True)
        ],
    }
    if len(told) < len(error.reasons):
        body["reasons_in_all"] = len(error.reasons)
    query = getattr(error, "query", None)
    if query:
        body["query"] = query
    return body


def _with_closed_staff_mode(request: HttpRequest, error: HuitongError) -> HuitongError:
    """The same error, but an operator whose staff mode is closed learns that: the parts that ask for the role see a post without it, and
    cannot tell it from one that never had it."""
    by = getattr(request, "auth", None)
    if not isinstance(by, Actor) or not any(map(_asks_for_operator, error.reasons)):
        return error
    staff = doors().accounts.staff_status(by=by)
    if staff.open or not staff.may_open:
        return error
    told = type(error)(*(Reason("staff-mode-closed", {"post": by.post}) if _asks_for_operator(one) else one for one in error.reasons))
    if isinstance(told, Refused):
        told.query = getattr(error, "query", None)
    return told


def _asks_for_operator(reason: Reason) -> bool:
    return reason.code == "operator-only" or (reason.code == "role-missing" and reason.parameters.get("role") == Role.OPERATOR.value)


def failure(request: HttpRequest, error: Exception) -> HttpResponse:
    """What nobody foresaw: the operator's log gets the traceback, the caller gets no word of it."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(request, HuitongError.because("server-failed"))


def validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Values that do not fit the form of the operation: one reason for each, by place and broken rule, never the value."""
    reasons = [_reason_of(one) for one in error.errors]
    return problem(request, InputInvalid(*(reasons or [Reason("body-unreadable")])))


def _reason_of(fault: Mapping[str, Any]) -> Reason:
    """One value that does not fit: where it stands, as its sender would say it, and what is wrong."""
    place, rule, about = _place(fault["loc"]), fault["type"], fault.get("ctx") or {}
    if rule in ("missing", "extra_forbidden"):
        return Reason("value-missing" if rule == "missing" else "value-unknown", {"place": place})
    if rule in ("string_too_short", "too_short") and about.get("min_length") == 1:
        return Reason("value-empty", {"place": place})
    if rule in ("string_too_long", "too_long"):
        return Reason("value-too-long", {"place": place, "limit": int(about["max_length"])})
    if rule in ("enum", "literal_error"):
        return _not_a_choice(place, re.findall(r"'([^']*)'", str(about["expected"])))
    if rule == "string_pattern_mismatch":
        return _not_as_written(place, str(about["pattern"]))
    if rule.startswith("int_") or rule in ("less_than_equal", "greater_than_equal"):
        return _not_in_range(place, fault.get("allowed") or {})
    code = next((code for start, code in _KINDS_OF_VALUE.items() if rule.startswith(start)), None)
    return Reason(code, {"place": place}) if code else Reason("value-invalid", {"place": place, "rule": rule})


_KINDS_OF_VALUE: Mapping[str, str] = {
    "datetime_": "value-not-an-instant",
    "timezone_": "value-not-an-instant",
    "date_": "value-not-a-day",
    "bool_": "value-not-true-or-false",
    "float_": "value-not-a-number",
    "string_type": "value-must-be-text",
    "list_type": "value-not-a-list",
    "dict_type": "value-not-an-object",
    "model_": "value-not-an-object",
}
"""How the name of a broken rule starts, and what is said of it: what may be written there, never the rule's own name."""


def _not_a_choice(place: str, known: Sequence[str]) -> Reason:
    return Reason("value-not-a-choice", {"place": place, "known": ", ".join(known)})


def _not_as_written(place: str, pattern: str) -> Reason:
    """What a pattern of ours asks for; nobody has to read the pattern."""
    if digits := re.fullmatch(r"\^\[0-9\]\{(\d+)\}\$", pattern):
        return Reason("value-not-digits", {"place": place, "count": int(digits[1])})
    if choices := re.fullmatch(r"\^\(([a-z0-9|-]+)\)\$", pattern):
        return _not_a_choice(place, choices[1].split("|"))
    if span := re.fullmatch(r"\^\[(\d)-(\d)\]\$", pattern):
        return _not_a_choice(place, [str(one) for one in range(int(span[1]), int(span[2]) + 1)])
    if pattern == NO_NUL:
        return Reason("value-holds-nul", {"place": place})
    return Reason("value-invalid", {"place": place, "rule": "string_pattern_mismatch"})


def _not_in_range(place: str, allowed: Mapping[str, Any]) -> Reason:
    least, most = allowed.get("minimum"), allowed.get("maximum")
    if isinstance(least, int) and isinstance(most, int):
        return Reason("value-not-in-range", {"place": place, "least": least, "most": most})
    return Reason("value-not-whole", {"place": place})


def allowed_at(model: type[BaseModel], parts: Sequence[str | int]) -> Mapping[str, Any]:
    """What the description of a form says about one place in it: a broken rule tells of itself alone, e.g. the most but not the least."""
    try:
        whole = _described(model)
    except PydanticInvalidForJsonSchema:
        return {}
    found = _kinds(whole, whole)
    for part in parts:
        inner = [one["items"] if isinstance(part, int) else one["properties"][part] for one in found if _holds(one, part)]
        # a part that no description knows says which of several forms was tried
        found = [kind for one in inner for kind in _kinds(one, whole)] or found
    return next((one for one in found if "minimum" in one or "maximum" in one), {})


@cache
def _described(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _holds(described: Mapping[str, Any], part: str | int) -> bool:
    return isinstance(described.get("items"), Mapping) if isinstance(part, int) else part in described.get("properties", {})


def _kinds(described: Mapping[str, Any], whole: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The description itself, or those that it offers to choose from; a reference is followed."""
    if "$ref" in described:
        return _kinds(whole["$defs"][described["$ref"].rpartition("/")[2]], whole)
    if offered := described.get("anyOf") or described.get("oneOf") or described.get("allOf"):
        return [kind for one in offered for kind in _kinds(one, whole)]
    return [described]


def _place(parts: Sequence[str | int]) -> str:
    """`items[2].name` of what was sent, `limit` of a query; not in which argument of a function it landed."""
    named = list(parts[1:]) if parts and parts[0] in ("body", "query", "path", "header", "cookie") else list(parts)
    if parts[:2] == ("body", "body") or parts[:2] == ("query", "narrow"):
        named = list(parts[2:])
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in named).removeprefix(".")
    return text or "body"


def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """An error of the framework itself, e.g. a body that is not JSON."""
    if isinstance(error, AuthenticationError):
        return problem(request, NotSignedIn.because("token-missing"))
    if isinstance(error.__cause__, RequestDataTooBig):
        return too_large(request, error.__cause__)
    if error.status_code < 500:
        return problem(request, InputInvalid.because("body-unreadable"), status=error.status_code)
    return failure(request, error)


def too_large(request: HttpRequest, error: Exception) -> HttpResponse:
    """A JSON body over the size that is read into memory."""
    return problem(request, InputInvalid.because("json-too-large"), status=413)


def unknown_address(request: HttpRequest, error: Exception | None = None) -> HttpResponse:
    """No operation stands at this address."""
    return problem(request, NotFound.because("address-unknown"))


def unknown_method(request: HttpRequest, allowed: str) -> HttpResponse:
    """The address is right, the verb is not."""
    response = problem(request, InputInvalid.because("method-unknown", method=request.method or "", allowed=allowed))
    response["Allow"] = allowed
    return response


def register(api: Any) -> None:
    """Make the API answer with problems, whatever is raised."""
    api.add_exception_handler(HuitongError, problem)
    api.add_exception_handler(ValidationError, validation)
    api.add_exception_handler(HttpError, http_error)
    api.add_exception_handler(Http404, unknown_address)
    api.add_exception_handler(RequestDataTooBig, too_large)
    api.add_exception_handler(Exception, failure)
