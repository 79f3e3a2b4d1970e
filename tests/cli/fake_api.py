"""A small API that answers like Huitong's, for tests of the client and the command line; it holds no rules."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow as pa

TOKEN = "ht_fake_token"
VKEY = "huitong.local/demo+00000000+AAAA"


def arrow_bytes(**columns: list[Any]) -> bytes:
    """A table as an Arrow IPC stream."""
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def problem(kind: str, status: int, *reasons: tuple[str, str], query: str | None = None) -> httpx.Response:
    """An answer as problem+json; a reason is its code and its sentence."""
    body: dict[str, Any] = {
        "type": f"urn:huitong:problem:{kind}",
        "title": kind,
        "status": status,
        "detail": " ".join(text for _, text in reasons),
        "code": reasons[0][0],
        "reasons": [{"code": code, "parameters": {"dataset": "civil.low_income"}, "text": text} for code, text in reasons],
    }
    if query:
        body["query"] = query
    return httpx.Response(status, content=json.dumps(body).encode(), headers={"Content-Type": "application/problem+json"})


OPEN = {"ledger/key", "ledger/keys", "ledger/checkpoint", "ledger/consistency", "ledger/cosignatures"}


class FakeApi(httpx.MockTransport):
    """Answers by method and path; keeps every request."""

    def __init__(self, answers: dict[tuple[str, str], Callable[[httpx.Request], httpx.Response]] | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.answers = {**STANDARD, **(answers or {})}
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        path = request.url.path.removeprefix("/api/v1/")
        if path not in OPEN and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem("not-signed-in", 401, ("token-unknown", "This token is not known."))
        answer = self.answers.get((request.method, path))
        return answer(request) if answer else problem("not-found", 404, ("address-unknown", "No operation stands here."))


def says(body: Any, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    """An answer that is always the same."""
    return lambda request: httpx.Response(200, json=body, headers=headers)


OFFICE = {"id": "gz-civil-affairs", "title": {"zh": "民政厅", "en": "Civil Affairs"}}
DATASET = {
    "id": "civil.low_income",
    "title": {"zh": "低保家庭", "en": "Low-income households"},
    "provider": OFFICE,
    "sharing": "conditional",
    "item_count": 3,
    "grade": 3,
}
RESULT = arrow_bytes(county=["南明区", "=SUM(1)"], n=[3, None])
STANDARD: dict[tuple[str, str], Callable[[httpx.Request], httpx.Response]] = {
    ("GET", "whoami"): says(
        {"person": "li", "name": "李雨桐", "post": "li@x", "office": OFFICE, "division": "520000000000", "roles": ["analyst"]}
    ),
    ("GET", "datasets"): says({"total": 7, "limit": 1, "offset": 0, "datasets": [DATASET]}),
    ("GET", "ledger/key"): lambda request: httpx.Response(200, text=VKEY + "\n"),
    ("POST", "query"): lambda request: httpx.Response(
        200,
        content=RESULT,
        headers={
            "Content-Type": "application/vnd.apache.arrow.stream",
            "Huitong-Query": "q1",
            "Huitong-Notices": "cut%20at%2010%2C%20see%20limit,%E4%B8%A4",
        },
    ),
    ("GET", "queries/q1/receipt"): says({"format": "huitong-receipt/1", "origin": "o", "entries": [{"inclusion": {}}]}),
    ("POST", "why"): says(
        {
            "allowed": False,
            "reasons": [{"code": "grant-missing", "parameters": {}, "text": "No grant covers it."}],
            "datasets": [{"dataset": "civil.low_income", "grant": None, "items": ["name"], "masks": []}],
        }
    ),
}
