"""Answers that stream over the API: the same rows as a whole answer, an end that half of one cannot have, and why one broke off."""

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from tests.api.conftest import Instance
from tests.api.test_api_query import STATEMENT, granted

from huitong.errors import HuitongError, NotSignedIn, Refused, Unavailable
from huitong.gateway import answer as answer_module
from huitong.ledger.verify import verify_receipt
from huitong.model.query import GovernedQuery
from huitong.portal.api.front import Front

__all__ = ["granted"]
NDJSON, ARROW, CSV = "application/x-ndjson", "application/vnd.apache.arrow.stream", "text/csv"
STREAM = {**STATEMENT, "stream": True}


class Batches:
    """An engine whose rows come in two batches; something happens between them."""

    def __init__(self, happening: Callable[[], Any] = lambda: None) -> None:
        self.happening = happening
        self.closed = False

    def stream(self, query: GovernedQuery, /) -> Iterator[pa.RecordBatch]:
        try:
            yield pa.record_batch({"household": ["h1", "h2"], "members": [3, 5]})
            self.happening()
            yield pa.record_batch({"household": ["h3"], "members": [7]})
        finally:
            self.closed = True


def with_engine(instance: Instance, engine: Any) -> Any:
    instance.doors.gateway._engine = engine
    return engine


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def last_outcome(instance: Instance, response: Any) -> dict[str, Any]:
    receipt = instance.get(f"queries/{response['Huitong-Query']}/receipt").json()
    bodies = [json.loads(entry["payload"]) for entry in receipt["entries"]]
    (found,) = [one["body"] for one in bodies if one["kind"] == "use-outcome"]
    return found


def test_ndjson_is_a_row_a_line_and_then_how_it_ended(granted: Instance) -> None:
    with_engine(granted, Batches())
    response = granted.post("query", STREAM)
    assert response["Content-Type"] == NDJSON, "without Accept"
    assert response["Huitong-Receipt"] == f"/api/v1/queries/{response['Huitong-Query']}/receipt"
    body = body_of(response)
    *rows, end = body.splitlines(keepends=True)
    assert [json.loads(row) for row in rows] == [
        {"household": "h1", "members": 3},
        {"household": "h2", "members": 5},
        {"household": "h3", "members": 7},
    ]
    assert json.loads(end) == {
        "huitong": {
            "query": response["Huitong-Query"],
            "rows": 3,
            "result_hash": hashlib.sha256(b"".join(rows)).hexdigest(),
            "receipt": response["Huitong-Receipt"],
            "notices": [],
        }
    }


@pytest.mark.parametrize("form", [NDJSON, ARROW, CSV])
def test_what_came_can_be_proved_offline_in_every_form(granted: Instance, form: str) -> None:
    with_engine(granted, Batches())
    response = granted.post("query", STREAM, Accept=form)
    body = body_of(response)
    if form == NDJSON:
        body = body[: body.rindex(b"\n", 0, len(body) - 1) + 1]
    granted.sequencer.fold_once()
    receipt = granted.get(f"queries/{response['Huitong-Query']}/receipt").json()
    key = granted.get("ledger/key", token=None).content.decode().strip()
    assert verify_receipt(receipt, log_key=key, result=body).ok
    assert not verify_receipt(receipt, log_key=key, result=body[:-1]).ok


def test_every_form_has_the_rows_of_the_whole_answer(granted: Instance) -> None:
    granted.engine.table = pa.table({"household": ["h1", "=1+1", None], "members": [3, None, -5]})
    whole = granted.post("query", STATEMENT).json()
    assert sorted(map(str, (list(json.loads(row).values()) for row in body_of(granted.post("query", STREAM)).splitlines()[:-1]))) == sorted(
        map(str, whole["rows"])
    )
    whole_csv = granted.post("query", STATEMENT, Accept=CSV).content
    streamed_csv = body_of(granted.post("query", STREAM, Accept=CSV))
    assert sorted(streamed_csv.splitlines()) == sorted(whole_csv.splitlines())
    whole_arrow = granted.post("query", STATEMENT, Accept=ARROW).content
    streamed_arrow = body_of(granted.post("query", STREAM, Accept=ARROW))
    tables = [pa.ipc.open_stream(one).read_all().sort_by("household") for one in (whole_arrow, streamed_arrow)]
    assert tables[0].equals(tables[1])


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless(granted: Instance) -> None:
    texts = [f"{start}1+1" for start in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")]
    granted.engine.table = pa.table({"household": [*texts, "a,b"], "members": range(-5, 7)})
    body = body_of(granted.post("query", STREAM, Accept=CSV))
    _, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert [row[0] for row in rows] == [*(f"'{text}" for text in texts), "a,b"]
    assert [row[1] for row in rows] == [str(number) for number in range(-5, 7)]


@pytest.mark.parametrize("form", [NDJSON, ARROW, CSV])
def test_an_answer_without_rows_has_its_columns_and_its_end(granted: Instance, form: str) -> None:
    granted.engine.table = pa.table({"household": pa.array([], pa.string()), "members": pa.array([], pa.int64())})
    granted.engine.stream = lambda query: iter([pa.RecordBatch.from_pylist([], schema=granted.engine.table.schema)])  # type: ignore[method-assign]
    body = body_of(granted.post("query", STREAM, Accept=form))
    if form == NDJSON:
        assert json.loads(body)["huitong"]["rows"] == 0
    elif form == ARROW:
        assert pa.ipc.open_stream(body).read_all().schema.names == ["household", "members"]
    else:
        assert body == b"household,members\r\n"


def test_a_form_that_cannot_stream_is_told_before_anything_runs(granted: Instance) -> None:
    before = granted.doors.ledger.status().pending
    for form in ("application/json", "application/vnd.apache.parquet"):
        response = granted.post("query", STREAM, Accept=form)
        assert (response.status_code, response.json()["code"]) == (406, "answer-form-unknown")
        assert NDJSON in response.json()["detail"]
    assert granted.doors.ledger.status().pending == before


def test_a_refusal_is_the_same_problem_as_that_of_a_whole_answer(instance: Instance) -> None:
    asked = {"sql": "SELECT household FROM civil.household", "purpose": "curiosity"}
    whole, streamed = (instance.post("query", asked | more, Accept=f"{NDJSON}, application/json") for more in ({}, {"stream": True}))
    assert streamed.status_code == whole.status_code == 403
    assert streamed["Content-Type"] == "application/problem+json"
    told, other = streamed.json(), whole.json()
    assert told.pop("query") != other.pop("query")
    assert told == other


def revoke_token(granted: Instance, monkeypatch: Any) -> None:
    def gone(self: Any, text: str, *, scope: Any = None) -> Any:
        raise NotSignedIn.because("token-revoked", token="ht_x")

    monkeypatch.setattr(type(granted.doors.accounts), "actor_for_token", gone)


@pytest.mark.parametrize(
    ("form", "ends"),
    [(NDJSON, "grant"), (NDJSON, "token"), (NDJSON, "engine"), (NDJSON, "cancelled"), (ARROW, "grant"), (ARROW, "engine"), (CSV, "token")],
)
def test_an_answer_that_breaks_off_says_so_or_has_no_end(granted: Instance, monkeypatch: Any, form: str, ends: str) -> None:
    monkeypatch.setattr(answer_module, "LOOK_AGAIN_SECONDS", 0.0)
    accounts = type(granted.doors.accounts)
    still_good = accounts.actor_for_token

    def happening() -> None:
        if ends == "grant":
            (grant,) = granted.get("grants").json()["grants"]
            assert granted.post(f"grants/{grant['id']}/revoke", {"words": "no longer"}, token="reviewer").status_code == 200
        elif ends == "token":
            revoke_token(granted, monkeypatch)
        elif ends == "cancelled":
            raise Refused.because("query-cancelled", query="q-1", by="min")
        else:
            raise RuntimeError("Binder Error: /lake/9f3.parquet")

    engine = with_engine(granted, Batches(happening))
    response = granted.post("query", STREAM, Accept=form, **{"Accept-Language": "zh-Hans"})
    assert response.status_code == 200
    got = b""
    code = {"grant": "grant-ended-meanwhile", "token": "token-revoked", "engine": "query-failed", "cancelled": "query-cancelled"}[ends]
    if form == NDJSON:
        got = body_of(response)
        end = json.loads(got.splitlines()[-1])["huitong"]
        assert (end["rows"], end["problem"]["code"]) == (2, code)
        assert "result_hash" not in end
        assert any("\u4e00" <= character <= "\u9fff" for character in end["problem"]["detail"]), "in the language of the caller"
    else:
        with pytest.raises(HuitongError) as caught:
            for piece in response.streaming_content:
                got += piece
        assert caught.value.reasons[0].code == code
        assert not got.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00"), "an Arrow stream that broke off has no end marker"
    assert b"lake" not in got
    assert engine.closed
    monkeypatch.setattr(accounts, "actor_for_token", still_good)
    told = last_outcome(granted, response)
    assert (told["failure"], told["rows"]) == (code, 2)


def test_a_caller_who_leaves_ends_the_use_and_the_engine(granted: Instance) -> None:
    engine = with_engine(granted, Batches())
    response = granted.post("query", STREAM, Accept=CSV)
    next(iter(response.streaming_content))
    response.close()
    assert engine.closed
    told = last_outcome(granted, response)
    assert (told["failure"], told["rows"]) == ("query-caller-gone", 2)


def test_two_columns_of_one_name_do_not_fit_into_a_json_object(granted: Instance) -> None:
    granted.engine.stream = lambda query: iter([pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], ["n", "n"])])  # type: ignore[method-assign]
    end = json.loads(body_of(granted.post("query", STREAM)))["huitong"]
    assert end["problem"]["code"] == "stream-names-twice"
    assert body_of(granted.post("query", STREAM, Accept=CSV)) == b"n,n\r\n1,2\r\n"


def test_more_bytes_than_a_stream_may_have_break_it_off(granted: Instance, monkeypatch: Any) -> None:
    gateway = granted.doors.gateway
    monkeypatch.setattr(gateway, "_streams", type(gateway.streams)(**{**vars(gateway.streams), "bytes": 40}))
    with_engine(granted, Batches())
    end = json.loads(body_of(granted.post("query", STREAM)).splitlines()[-1])["huitong"]
    assert end["problem"]["code"] == "stream-too-large"


def test_a_reader_learns_how_many_rows_there_can_be_at_most(granted: Instance) -> None:
    response = granted.post("query", STREAM)
    assert int(response["Huitong-Maximum-Rows"]) == granted.doors.gateway.streams.rows
    body_of(response)


def test_a_look_that_fails_ends_the_use_without_its_words(granted: Instance, monkeypatch: Any) -> None:
    engine = with_engine(granted, Batches())
    response = granted.post("query", STREAM, Accept=CSV)
    assert response.next_piece()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("database is locked: /srv/huitong/control.sqlite3")

    with monkeypatch.context() as patched:
        patched.setattr(granted.doors.gateway, "refuse_if_ended", broken)
        with pytest.raises(Refused) as caught:
            response.look()
    assert caught.value.reasons[0].code == "query-failed"
    assert engine.closed
    assert response.next_piece() is None
    assert (last_outcome(granted, response)["failure"], last_outcome(granted, response)["rows"]) == ("query-failed", 2)


class Nowhere:
    """A connection that is none of this process: it cannot be broken off."""

    client, server = "192.0.2.1:1234", "192.0.2.2:80"
    given: bytes = b""
    begun = False

    def response_stream(self, status: int, headers: Any) -> "Nowhere":
        self.begun = True
        return self

    async def send_bytes(self, piece: bytes) -> None:
        self.given += piece


def test_where_no_connection_can_be_broken_off_only_a_form_with_an_end_is_sent(granted: Instance) -> None:
    for form in (CSV, ARROW):
        peer, response = Nowhere(), granted.post("query", STREAM, Accept=form)
        with pytest.raises(Unavailable) as caught:
            asyncio.run(Front(lambda *_: [])._stream(peer, peer, 200, [], response))
        assert caught.value.reasons[0].code == "stream-cannot-be-cut"
        assert not peer.begun
        assert last_outcome(granted, response)["failure"] == "stream-cannot-be-cut"
    peer, response = Nowhere(), granted.post("query", STREAM)
    asyncio.run(Front(lambda *_: [])._stream(peer, peer, 200, [], response))
    assert json.loads(peer.given.splitlines()[-1])["huitong"]["rows"] == 2


def test_what_fails_before_the_first_row_is_a_problem_with_its_own_status(granted: Instance) -> None:
    granted.engine.failure = Unavailable.because("engine-busy", query="q-1")
    peer, response = Nowhere(), granted.post("query", STREAM)
    with pytest.raises(Unavailable) as caught:
        asyncio.run(Front(lambda *_: [])._stream(peer, peer, 200, [], response))
    assert caught.value.reasons[0].code == "engine-busy"
    assert not peer.begun
