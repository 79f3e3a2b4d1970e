"""Keys of calls: a call that changes something and is sent again with the same `Idempotency-Key` acts once and is answered alike.

The key belongs to the post that calls. What happens to a call with a key depends on how the operation works:

- **whole**: its changes are one transaction of the database. Then its answer is kept *in that transaction*: either both are there or
  neither. The key is begun before, in a transaction of its own. A process that ends in between leaves the key begun; after
  `alive_seconds` the next call takes it over and runs, and the one that was given up, should it still live, cannot commit any more.
- **outside**: it works on files or other systems too, and in several transactions. Its answer is kept right after. If the process ends,
  or fails in a way that nobody foresaw, between the effect and the keeping, nobody can tell from here whether the call took effect; a
  repeat is then never run, but answered `idempotency-outcome-unknown` until the key is forgotten. An error of the rules
  (`huitong.errors`) always means: no effect.
- **no key**: it changes nothing, or its answer holds rows or a secret, which is never kept; the key is refused with that reason.

Answers of the rules (2xx, 4xx) are kept; 503, 500 and 401 are not, nor what fails before the operation begins (a body that does not fit
its form): the same key may be used again for these.
"""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import wraps
from importlib.resources import files
from typing import Any, Protocol, get_args

from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.operation import Operation

from huitong.errors import Conflict, HuitongError, InputInvalid, LedgerBroken, NotSignedIn, Unavailable
from huitong.model.keyed import KeptAnswer, KeyedCall, KeyRecord, KeyState
from huitong.portal.api import problems
from huitong.portal.api.auth import actor
from huitong.portal.api.forms import MEANINGS, PROBLEM
from huitong.portal.api.uploads import KEY_HEADER
from huitong.portal.doors import doors

HEADER = KEY_HEADER
REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = ("Content-Type", "Content-Language", "Location", "Vary")
"""The headers of an answer that a repeat gets too; the others are made anew."""
SECRET_MEMBERS = frozenset({"token", "secret", "password"})
"""An answer with such a member is never kept."""


class Manner(StrEnum):
    """How an operation works, for its keys."""

    WHOLE = "whole"
    OUTSIDE = "outside"
    NONE = "none"


MANNERS: Mapping[str, Manner] = {
    **dict.fromkeys(
        (
            "party_succeed",
            "party_change_divisions",
            "people_add_post",
            "people_leave",
            "people_move",
            "people_name_keeper",
            "people_end_post",
            "people_revoke_token",
            "people_close_staff",
            "catalog_publish",
            "catalog_apply",
            "intake_decide",
            "intake_plan",
            "intake_resume",
            "intake_remove",
            "sharing_submit",
            "sharing_approve",
            "sharing_refuse",
            "sharing_withdraw",
            "sharing_revoke",
            "use_cancel",
            "waiting_ask_supplement",
            "waiting_supplement",
            "waiting_prolong",
            "waiting_escalate",
            "waiting_mediate",
            "waiting_extend",
            "waiting_renew",
            "waiting_delegate",
            "waiting_end_delegation",
            "record_switch",
            "notices_read",
            "notices_choose_mail",
            "notices_test_webhook",
            "reidentification_ask",
            "reidentification_approve",
            "reidentification_refuse",
            "reidentification_withdraw",
            "reidentification_revoke",
        ),
        Manner.WHOLE,
    ),
    **dict.fromkeys(
        (
            "use_query",
            "use_why",
            "record_get",
            "record_verify",
            "reidentification_reveal",
            "intake_inspect_source",
            "delivery_address",
            "ledger_cosign",
        ),
        Manner.NONE,
    ),
}
"""By operation; one that is not named works outside, or takes no key if its answer has a secret member."""
READS_ITS_OWN_BODY = frozenset({"intake_take_snapshot"})
"""These call `once` themselves, when they have their body."""


@dataclass(frozen=True)
class Rules:
    """The numbers of `idempotency.toml`."""

    keep: timedelta
    alive: timedelta
    key_characters: int


def read_rules() -> Rules:
    """The rules in force."""
    numbers = tomllib.loads((files(__package__) / "idempotency.toml").read_text("utf-8"))
    return Rules(timedelta(hours=numbers["keep_hours"]), timedelta(seconds=numbers["alive_seconds"]), numbers["key_characters"])


RULES = read_rules()


class KeyedAnswers(Protocol):
    """Where keys and answers are kept (`huitong.portal.keyed_answers`)."""

    def begin(
        self, call: KeyedCall, *, whole: bool, now: datetime, kept_since: datetime, alive_since: datetime
    ) -> tuple[KeyRecord, bool]:
        """The record of the key, and whether this call is the one that runs now. Records from before `kept_since` are forgotten; a
        whole call of the same content that was begun before `alive_since` is taken over."""
        ...

    def close(self, call: KeyedCall, *, attempt: int, answer: KeptAnswer | None) -> bool:
        """Keep the answer; without one the call is broken. False if another call has taken over: then nothing is kept."""
        ...

    def forget(self, call: KeyedCall, *, attempt: int) -> None:
        """The call had no effect: its key is free again."""
        ...


def manner_of(operation: Operation, name: str) -> Manner | None:
    """How the operation of that name takes keys; None for one that only reads."""
    if set(operation.methods) <= {"GET", "HEAD"}:
        return None
    if any(_members(model) & SECRET_MEMBERS for model in operation.response_models.values()):
        return Manner.NONE
    return MANNERS.get(name, Manner.OUTSIDE)


def _members(model: Any) -> set[str]:
    """The names of all members of an answer, however deep."""
    if isinstance(model, type) and issubclass(model, Schema):
        return set(model.model_fields) | {name for field in model.model_fields.values() for name in _members(field.annotation)}
    return {name for part in get_args(model) for name in _members(part)}


def read_key(text: str) -> str:
    """The key: a string of structured fields (`"..."`), or the same without the quotation marks if it is one word.

    Raises InputInvalid `idempotency-key-malformed`."""
    quoted = re.fullmatch(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"', text.strip())
    key = re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted else text.strip()
    if len(key) > RULES.key_characters or not (quoted or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~:/+=-]*", key)):
        raise InputInvalid.because("idempotency-key-malformed", limit=RULES.key_characters)
    return key


@dataclass(frozen=True)
class _Keyed:
    """What `once` needs to know of a call with a key."""

    key: str
    manner: Manner
    operation: Operation


def take_keys(operation: Operation, name: str, manner: Manner) -> None:
    """Let the operation, as it is served, heed the key of a call, and say so in its description."""
    view = operation.view_func

    @wraps(view)
    def answer(request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        if HEADER not in request.headers:
            return view(request, *arguments, **named)
        key = read_key(request.headers[HEADER])
        if manner is Manner.NONE:
            raise InputInvalid.because("idempotency-key-not-taken")
        request.huitong_keyed = _Keyed(key, manner, operation)  # type: ignore[attr-defined]
        if name in READS_ITS_OWN_BODY:
            return view(request, *arguments, **named)
        return once(request, lambda: view(request, *arguments, **named))

    operation.view_func = answer
    if manner is not Manner.NONE:
        operation.openapi_extra = _described(operation.openapi_extra)


def once(request: HttpRequest, run: Callable[[], Any], *, body: str | None = None) -> Any:
    """What `run` gives, or the answer that was kept for the key of the call. `body` is the hash of a body that Django does not hold.

    Raises InputInvalid `idempotency-content-differs`, Conflict `idempotency-running` or `idempotency-outcome-unknown`."""
    keyed: _Keyed | None = getattr(request, "huitong_keyed", None)
    if keyed is None:
        return run()
    whole, answers, now = keyed.manner is Manner.WHOLE, doors().keyed_answers, doors().clock()
    call = KeyedCall(actor(request).post, keyed.key, _fingerprint(request, body))
    record, ours = answers.begin(call, whole=whole, now=now, kept_since=now - RULES.keep, alive_since=now - RULES.alive)
    if not ours:
        return _again(call, record, alive_since=now - RULES.alive)
    try:
        if not whole:
            response = _answered(request, keyed.operation, run)
            answers.close(call, attempt=record.attempt, answer=_kept(response))
            return response
        with doors().atomic():
            response = _answered(request, keyed.operation, run)
            if not answers.close(call, attempt=record.attempt, answer=_kept(response)):
                raise _TakenOver.because("idempotency-running", at=_text(now))
            return response
    except _TakenOver:
        raise
    except (Unavailable, LedgerBroken, NotSignedIn):
        answers.forget(call, attempt=record.attempt)
        raise
    except HuitongError as error:
        response = problems.problem(request, error)
        answers.close(call, attempt=record.attempt, answer=_kept(response))
        return response
    except Exception:
        if whole:
            answers.forget(call, attempt=record.attempt)
        else:
            answers.close(call, attempt=record.attempt, answer=None)
        raise


class _TakenOver(Conflict):
    """Another call with the same key has taken over, so this one may not take effect."""


def _answered(request: HttpRequest, operation: Operation, run: Callable[[], Any]) -> HttpResponse:
    """The whole answer, so that nothing can fail between keeping and sending it."""
    response: Any = operation._result_to_response(request, run(), operation.api.create_temporal_response(request))
    return response  # type: ignore[no-any-return]


def _again(call: KeyedCall, record: KeyRecord, *, alive_since: datetime) -> HttpResponse:
    if not hmac.compare_digest(record.content, call.content):
        raise InputInvalid.because("idempotency-content-differs")
    if record.answer is not None:
        response = HttpResponse(record.answer.body, status=record.answer.status)
        for name, value in record.answer.headers.items():
            response[name] = value
        response[REPLAYED] = "true"
        return response
    if record.state is KeyState.BROKEN or (not record.whole and record.at < alive_since):
        raise Conflict.because("idempotency-outcome-unknown", at=_text(record.at))
    raise Conflict.because("idempotency-running", at=_text(record.at))


def _kept(response: HttpResponse) -> KeptAnswer:
    return KeptAnswer(
        response.status_code, {name: response[name] for name in KEPT_HEADERS if response.has_header(name)}, response.content
    )


def _fingerprint(request: HttpRequest, body: str | None) -> str:
    """Of method, address and body, under a key of the instance: a body may name a person, and nobody may find out by trying whom."""
    said = hashlib.sha256(request.body).hexdigest() if body is None else body
    parts = (request.method or "", request.path, request.META.get("QUERY_STRING", ""), request.content_type or "", said)
    return hmac.new(doors().fingerprint_key(), "\0".join(("idempotency", *parts)).encode(), hashlib.sha256).hexdigest()


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def _described(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The description with the header and what may be said about it."""
    parameter = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "A key of your own for this call, e.g. a UUID in quotation marks. Sent again with the same content within "
        f"{RULES.keep // timedelta(hours=1)} hours, the call acts once and is answered alike, with `{REPLAYED}: true`.",
        "schema": {"type": "string", "pattern": r'^"[A-Za-z0-9._~-]{8,64}"$'},
    }
    told = {status: {"description": MEANINGS[status], **PROBLEM} for status in (400, 409)}
    extra = dict(extra or {})
    return {
        **extra,
        "parameters": [*extra.get("parameters", ()), parameter],
        "responses": {**told, **extra.get("responses", {})},
    }
