"""A streamed answer at the Python client: its rows as they come, and an error wherever what came is not the whole answer."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fake_api import TOKEN, FakeApi, arrow_bytes, says

from huitong import client as client_module
from huitong.client import ARROW, CSV, NDJSON, Client
from huitong.errors import InputInvalid, Refused, Unavailable

ROWS = arrow_bytes(county=["南明区", "=SUM(1)"], n=[3, None])
LINES = b'{"n":1}\n{"n":2}\n'


class Body(httpx.SyncByteStream):
    """So many pieces, and then the connection breaks or the body ends."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self._pieces, self._breaks = pieces, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._breaks:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def receipt(**outcome: Any) -> Callable[[httpx.Request], httpx.Response]:
    bodies = [{"kind": "use-intent", "body": {"query": "q7"}}, {"kind": "use-outcome", "body": {"query": "q7", **outcome}}]
    return says({"entries": [{"inclusion": {}, "payload": json.dumps(one)} for one in bodies]})


def serving(body: Body, form: str, **outcome: Any) -> Client:
    headers = {"Content-Type": f"{form}; charset=utf-8", "Huitong-Query": "q7", "Huitong-Notices": "read%20this"}
    answer = httpx.Response(200, stream=body, headers=headers)
    api = FakeApi({("POST", "query"): lambda _: answer, ("GET", "queries/q7/receipt"): receipt(**outcome)})
    return Client("http://huitong.test", TOKEN, transport=api)


def refusal(code: str, text: str) -> dict[str, Any]:
    return {"type": "urn:huitong:problem:refused", "status": 403, "reasons": [{"code": code, "parameters": {}, "text": text}]}


def end(**told: Any) -> bytes:
    return json.dumps({"huitong": {"query": "q7", "rows": 2, **told}}).encode() + b"\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_record_batches_come_and_the_last_one_means_that_they_are_all() -> None:
    body = Body(*(ROWS[start : start + 7] for start in range(0, len(ROWS), 7)))
    with serving(body, ARROW, rows=2, result_hash=sha256(ROWS)) as client, client.stream("SELECT 1", purpose="p") as answer:
        assert (answer.query, answer.notices, answer.rows) == ("q7", ("read this",), None)
        assert [row for batch in answer for row in batch.to_pylist()] == [{"county": "南明区", "n": 3}, {"county": "=SUM(1)", "n": None}]
        assert (answer.rows, answer.result_hash) == (2, sha256(ROWS))
        with pytest.raises(ValueError, match="once"):
            next(answer.pieces())


@pytest.mark.parametrize("breaks", [True, False], ids=["the connection broke", "a proxy took the break for the end"])
@pytest.mark.parametrize("length", [0, 60, len(ROWS) - 8])
def test_half_an_arrow_stream_raises_what_the_ledger_says(breaks: bool, length: int) -> None:
    broken = serving(Body(ROWS[:length], breaks=breaks), ARROW, rows=1, failure="grant-ended-meanwhile")
    with broken as client, pytest.raises(Refused) as caught:
        list(client.stream("SELECT 1", purpose="p"))
    (reason,) = caught.value.reasons
    assert reason.code == "client-stream-broken"
    assert reason.parameters == {"query": "q7", "rows": 1, "failure": "grant-ended-meanwhile"}


def test_rows_that_are_not_those_of_the_outcome_are_not_taken_for_them() -> None:
    with serving(Body(ROWS), ARROW, rows=2, result_hash=sha256(b"other")) as client, pytest.raises(InputInvalid) as caught:
        list(client.stream("SELECT 1", purpose="p"))
    assert caught.value.reasons[0].code == "client-stream-differs"
    with serving(Body(LINES, end(result_hash=sha256(LINES[8:]))), NDJSON) as client, pytest.raises(InputInvalid):
        list(client.stream("SELECT 1", purpose="p", form=NDJSON).pieces())


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_lines_come_without_the_one_that_ends_them(size: int) -> None:
    whole = LINES + end(result_hash=sha256(LINES))
    body = Body(*(whole[start : start + size] for start in range(0, len(whole), size)))
    with serving(body, NDJSON) as client, client.stream("SELECT 1", purpose="p", form=NDJSON) as answer:
        assert b"".join(answer.pieces()) == LINES
        assert answer.rows == 2


def test_a_problem_at_the_end_is_raised_with_its_code() -> None:
    ended = end(problem=refusal("query-cancelled", "By min."))
    with serving(Body(LINES, ended), NDJSON) as client, pytest.raises(Refused, match="By min") as caught:
        list(client.stream("SELECT 1", purpose="p", form=NDJSON).pieces())
    assert caught.value.reasons[0].code == "query-cancelled"


@pytest.mark.parametrize("body", [Body(LINES), Body(LINES, b'{"n":3'), Body(), Body(LINES, breaks=True)])
def test_lines_without_an_end_are_no_answer(body: Body) -> None:
    with serving(body, NDJSON, rows=9, failure="query-failed") as client, pytest.raises(Refused) as caught:
        list(client.stream("SELECT 1", purpose="p", form=NDJSON).pieces())
    assert caught.value.reasons[0].parameters["rows"] == 9


def test_csv_is_compared_with_the_ledger_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "OUTCOME_SECONDS", 0.0)
    table = b"n\r\n1\r\n"
    with serving(Body(table), CSV, rows=1, result_hash=sha256(table)) as client:
        assert b"".join(client.stream("SELECT 1", purpose="p", form=CSV).pieces()) == table
    with serving(Body(table), CSV, rows=1, result_hash=sha256(table + b"2\r\n")) as client, pytest.raises(InputInvalid):
        list(client.stream("SELECT 1", purpose="p", form=CSV).pieces())
    with serving(Body(table, breaks=True), CSV) as client, pytest.raises(Refused) as caught:
        list(client.stream("SELECT 1", purpose="p", form=CSV).pieces())
    assert caught.value.reasons[0].code == "client-stream-broken"


def test_what_is_refused_before_the_first_row_is_raised_at_once() -> None:
    api = FakeApi({("POST", "query"): lambda _: httpx.Response(403, json=refusal("grant-missing", "No."))})
    with Client("http://x", TOKEN, transport=api) as client, pytest.raises(Refused) as caught:
        client.stream("SELECT 1", purpose="p")
    assert caught.value.reasons[0].code == "grant-missing"

    def unreachable(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with Client("http://x", TOKEN, transport=httpx.MockTransport(unreachable)) as client, pytest.raises(Unavailable):
        client.stream("SELECT 1", purpose="p")
