"""What broker and client say to each other over the unix socket.

A request is one length-prefixed JSON object. An answer is a row of frames, each one letter and a length: `D` a piece of the Arrow
IPC stream, then exactly one `E` (end: rows, whether rows were cut) or `X` (a reason code with its parameters). An answer without
its `E` is no answer: a stream that broke off is never taken for a whole one.
"""

import json
import struct
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from huitong.errors import Reason
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable

DATA, END, ERROR = b"D", b"E", b"X"
FRAME_HEAD = struct.Struct(">cI")
REQUEST_HEAD = struct.Struct(">I")
REQUEST_BYTES = 16 * 1024 * 1024
"""Longest request: a governed statement with every division of a province in it stays far below."""
FRAME_BYTES = 1024 * 1024
"""Longest data frame."""
_LIMITS = tomllib.loads(files("huitong.engines").joinpath("limits.toml").read_text("utf-8"))
RESULT_BYTES: int = _LIMITS["result_bytes"]
"""Most bytes of the data frames of one answer, from `limits.toml`."""
STREAM_BYTES: int = _LIMITS["stream_bytes"]
"""The same of an answer that is taken away piece by piece."""

LONG_SECONDS: float = _LIMITS["long_milliseconds"] / 1000
"""A query that has used so much processor time stands back behind the others,"""
LONG_BY_CLOCK_SECONDS: float = _LIMITS["long_by_clock_milliseconds"] / 1000
"""and so does one that has run so long."""


class MalformedError(Exception):
    """The bytes do not follow this file."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One whole frame."""
    return FRAME_HEAD.pack(kind, len(payload)) + payload


def end_frame(*, rows: int, cut: bool) -> bytes:
    """The frame that makes an answer whole."""
    return frame(END, json.dumps({"rows": rows, "cut": cut}).encode())


def error_frame(reason: Reason) -> bytes:
    """The frame that says why there is no answer."""
    return frame(ERROR, json.dumps({"code": reason.code, "parameters": dict(reason.parameters)}).encode())


def read_error(payload: bytes) -> Reason:
    """The reason in an error frame."""
    said = _object(payload)
    code, parameters = said.get("code"), said.get("parameters")
    if not isinstance(code, str) or not isinstance(parameters, dict):
        raise MalformedError
    return Reason(code, parameters)


def too_large(*, query: str, limit: int) -> Reason:
    """The reason for an answer of more than `limit` bytes."""
    return Reason("query-result-too-large", {"query": query, "megabytes": f"{limit / 1_048_576:g}"})


def request(kind: str, content: Mapping[str, Any] | None = None) -> bytes:
    """One request: `run` with a query, or `status`."""
    body = json.dumps({"kind": kind, **(content or {})}).encode()
    return REQUEST_HEAD.pack(len(body)) + body


def read_request(body: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and content of a request. Raises MalformedError."""
    said = _object(body)
    kind = said.pop("kind", None)
    if kind not in ("run", "status"):
        raise MalformedError
    return kind, said


def query_as_json(query: GovernedQuery) -> dict[str, Any]:
    """A governed query as plain JSON."""
    limits = query.limits
    return {
        "query": query.query,
        "sql": query.sql,
        "tables": [{"name": t.name, "files": list(t.files), "columns": list(t.columns.items())} for t in query.tables],
        "limits": [limits.seconds, limits.memory_megabytes, limits.threads, limits.maximum_rows],
        "sandbox": list(query.sandbox.items()),
        "stream": query.stream,
    }


def query_of_json(said: Mapping[str, Any]) -> GovernedQuery:
    """The governed query of `query_as_json`, every part checked. Raises MalformedError."""
    try:
        seconds, memory, threads, rows = said["limits"]
        limits = EngineLimits(float(seconds), _count(memory), _count(threads), _count(rows))
        if not 0 < limits.seconds <= 86_400 or not 0 < limits.threads <= 1024 or limits.memory_megabytes <= 0:
            raise MalformedError
        tables = tuple(
            GovernedTable(
                _text(table["name"]),
                tuple(_text(file) for file in _list(table["files"])),
                {_text(name): _text(kind) for name, kind in _list(table["columns"])},
            )
            for table in _list(said["tables"])
        )
        if any(not table.columns for table in tables):
            raise MalformedError
        needed = {_text(dataset): _count(level) for dataset, level in _list(said["sandbox"])}
        if not isinstance(said["stream"], bool):
            raise MalformedError
        return GovernedQuery(
            query=_text(said["query"]), sql=_text(said["sql"]), tables=tables, limits=limits, sandbox=needed, stream=said["stream"]
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise MalformedError from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError from None
    if not isinstance(said, dict):
        raise MalformedError
    return said


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise MalformedError
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedError from None
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedError
    return value
