"""The Python client: what it sends, what it gives back, how a refusal of the server becomes an error here."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from fake_api import RESULT, TOKEN, FakeApi, problem, says

from huitong.client import Client, QueryResult, ServerFailed, sentences_of
from huitong.errors import Conflict, HuitongError, InputInvalid, LedgerBroken, NotFound, NotSignedIn, Refused, Unavailable


def client_of(api: httpx.BaseTransport, token: str = TOKEN) -> Client:
    return Client("http://huitong.test", token, transport=api, language="zh-Hans")


def test_a_query_keeps_the_exact_bytes_that_the_receipt_is_about(tmp_path: Path) -> None:
    api = FakeApi()
    with client_of(api) as client:
        result = client.query("SELECT 1", purpose="poverty-monitoring")
    result.save(tmp_path / "r.arrow")
    assert hashlib.sha256((tmp_path / "r.arrow").read_bytes()).digest() == hashlib.sha256(RESULT).digest()
    assert result.arrow().to_pydict() == {"county": ["南明区", "=SUM(1)"], "n": [3, None]}
    assert (result.query, result.notices) == ("q1", ("cut at 10, see limit", "两"))
    sent = api.requests[0]
    assert json.loads(sent.content) == {"sql": "SELECT 1", "purpose": "poverty-monitoring"}
    assert sent.headers["Accept"] == "application/vnd.apache.arrow.stream"
    assert sent.headers["Accept-Language"] == "zh-Hans"


def test_a_result_becomes_pandas_and_polars() -> None:
    with client_of(FakeApi()) as client:
        result = client.query("SELECT 1", purpose="p")
    assert list(result.pandas()["county"]) == ["南明区", "=SUM(1)"]
    assert result.polars()["n"].to_list() == [3, None]


def test_a_receipt_is_waited_for_until_it_is_folded() -> None:
    promised = {"format": "f", "origin": "o", "entries": [{"inclusion": None}]}
    folded = {"format": "f", "origin": "o", "entries": [{"inclusion": {"index": 1}}]}
    answers = iter([promised, folded])
    api = FakeApi({("GET", "queries/q1/receipt"): lambda request: httpx.Response(200, json=next(answers))})
    with client_of(api) as client:
        assert client.receipt("q1", wait_seconds=5) == folded


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("input-invalid", 422, InputInvalid),
        ("input-invalid", 413, InputInvalid),
        ("not-found", 404, NotFound),
        ("not-signed-in", 401, NotSignedIn),
        ("refused", 403, Refused),
        ("conflict", 409, Conflict),
        ("unavailable", 503, Unavailable),
        ("ledger-broken", 500, LedgerBroken),
        ("failure", 500, ServerFailed),
    ],
)
def test_each_kind_of_no_becomes_its_own_error(kind: str, status: int, error: type[HuitongError]) -> None:
    api = FakeApi({("POST", "why"): lambda request: problem(kind, status, ("one", "First."), ("two", "Second."))})
    with client_of(api) as client, pytest.raises(error) as caught:
        client.why("SELECT 1", purpose="p")
    assert [reason.code for reason in caught.value.reasons] == ["one", "two"]
    assert sentences_of(caught.value) == ("First.", "Second.")


def test_a_refusal_knows_its_query_number() -> None:
    api = FakeApi({("POST", "query"): lambda request: problem("refused", 403, ("grant-missing", "No."), query="q77")})
    with client_of(api) as client, pytest.raises(Refused) as caught:
        client.query("SELECT 1", purpose="p")
    assert caught.value.query == "q77"


@pytest.mark.parametrize("status", [400, 500, 502, 503])
def test_an_answer_that_is_not_ours_is_no_traceback(status: int) -> None:
    api = FakeApi({("GET", "whoami"): lambda request: httpx.Response(status, text="<html>proxy</html>")})
    with client_of(api) as client, pytest.raises(HuitongError) as caught:
        client.whoami()
    assert caught.value.reasons[0].code == "client-server-failed"


def test_a_page_instead_of_the_api_is_said_so() -> None:
    api = FakeApi({("GET", "whoami"): lambda request: httpx.Response(200, text="<html>hello</html>")})
    with client_of(api) as client, pytest.raises(ServerFailed, match="client-answer-unreadable"):
        client.whoami()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with client_of(httpx.MockTransport(nobody)) as client, pytest.raises(Unavailable, match="client-server-unreachable"):
        client.whoami()


@pytest.mark.parametrize("name", ["../../ledger/key", "a/b", "a?b=c", "低保", "a%2Fb"])
def test_what_a_person_typed_never_becomes_another_address(name: str) -> None:
    api = FakeApi()
    with client_of(api) as client, pytest.raises(NotFound):
        client.dataset(name)
    assert api.requests[0].url.raw_path.decode().count("/") == "/api/v1/datasets/x".count("/")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_empty_name_is_not_sent(name: str) -> None:
    api = FakeApi()
    with client_of(api) as client, pytest.raises(InputInvalid, match="client-identifier-empty"):
        client.dataset(name)
    assert api.requests == []


def test_a_file_is_sent_whole_with_its_kind(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("编号,名称\n1,甲\n".encode("gb18030"))
    api = FakeApi({("POST", "datasets/a.b/snapshots"): says({"version": 0})})
    with client_of(api) as client:
        client.upload("a.b", tmp_path / "x.csv")
        with pytest.raises(InputInvalid, match="client-file-kind-unknown"):
            client.upload("a.b", tmp_path / "x.docx")
    assert api.requests[0].content == (tmp_path / "x.csv").read_bytes()
    assert api.requests[0].headers["Content-Type"] == "text/csv"


def test_a_request_is_sent_in_the_form_of_the_api() -> None:
    api = FakeApi({("POST", "requests"): says({"id": "R-1"})})
    masked = {"item": "phone", "mask": {"kind": "hide"}}
    with client_of(api) as client:
        client.request("a.b", purpose="p", legal_basis="l", items=["name", masked], until="2027-01-31", division="520100000000")
    assert json.loads(api.requests[0].content) == {
        "dataset": "a.b",
        "purpose": "p",
        "legal_basis": "l",
        "items": [{"item": "name"}, masked],
        "rows": {"division": "520100000000"},
        "until": "2027-01-31",
    }


SOURCE = {"kind": "file", "address": "x/y.csv"}
ERASURE = {"identifier": "1", "legal_basis": "PIPL article 47", "words": "case 1"}
VERBS = [
    (lambda c: c.sample("a.b", rows=3), "GET", "datasets/a.b/sample?rows=3", None),
    (lambda c: c.quality("a.b"), "GET", "datasets/a.b/quality", None),
    (lambda c: c.quality("a.b", version=2), "GET", "datasets/a.b/quality?version=2", None),
    (lambda c: c.snapshots("a.b"), "GET", "datasets/a.b/snapshots", None),
    (lambda c: c.rejects("a.b", 2, limit=5), "GET", "datasets/a.b/snapshots/2/rejects?limit=5&offset=0", None),
    (lambda c: c.suggestions("a.b"), "GET", "datasets/a.b/suggestions", None),
    (
        lambda c: c.decide_suggestion("a.b", item="i", meaning="phone", confirm=True),
        "POST",
        "datasets/a.b/suggestions/decide",
        {"item": "i", "meaning": "phone", "confirm": True},
    ),
    (lambda c: c.export(), "GET", "catalog/entries", None),
    (lambda c: c.apply([{"id": "a.b"}], dry_run=True), "POST", "catalog/apply", {"entries": [{"id": "a.b"}], "dry_run": True}),
    (lambda c: c.grading(), "GET", "grading", None),
    (lambda c: c.purposes(), "GET", "purposes", None),
    (lambda c: c.loads("a.b"), "GET", "datasets/a.b/loads", None),
    (
        lambda c: c.load_source("a.b", SOURCE, mode="append", allow=["x"]),
        "POST",
        "datasets/a.b/loads",
        {"source": SOURCE, "mode": "append", "reject_limit": 0, "allow": ["x"]},
    ),
    (lambda c: c.inspect_source(SOURCE), "POST", "sources/inspect", {"source": SOURCE}),
    (lambda c: c.plans(), "GET", "load-plans", None),
    (
        lambda c: c.plan("a.b", source=SOURCE, every="hourly"),
        "POST",
        "load-plans",
        {"dataset": "a.b", "source": SOURCE, "every": "hourly", "mode": "replace", "reject_limit": 0},
    ),
    (lambda c: c.run_plan("p-1"), "POST", "load-plans/p-1/run", {}),
    (lambda c: c.resume_plan("p-1"), "POST", "load-plans/p-1/resume", {}),
    (lambda c: c.remove_plan("p-1"), "POST", "load-plans/p-1/remove", {}),
    (lambda c: c.credentials(), "GET", "credentials", None),
    (lambda c: c.forget_credential("n"), "POST", "credentials/n/forget", {}),
    (lambda c: c.erase(["a.b"], **ERASURE), "POST", "erasures", {"datasets": ["a.b"], **ERASURE}),
    (
        lambda c: c.succeed("x", successor="y", on="2027-01-01", words="w"),
        "POST",
        "offices/x/succeed",
        {"successor": "y", "on": "2027-01-01", "words": "w"},
    ),
    (lambda c: c.change_divisions("old,new"), "POST", "division-changes", {"changes": "old,new", "dry_run": False}),
    (
        lambda c: c.search("低保", narrowing={"sharing": ["conditional", "not-shared"]}, facets=["grade"], office="x"),
        "GET",
        "datasets?q=低保&limit=20&offset=0&facets=grade&sharing=conditional&sharing=not-shared&office=x",
        None,
    ),
]


@pytest.mark.parametrize(("call", "method", "address", "body"), VERBS, ids=[f"{verb} {where}" for _, verb, where, _ in VERBS])
def test_every_verb_of_intake_and_catalogue_has_its_address(
    call: Callable[[Client], object], method: str, address: str, body: object
) -> None:
    path, _, query = address.partition("?")
    api = FakeApi({(method, path): says({"entries": []})})
    with client_of(api) as client:
        call(client)
    (sent,) = api.requests
    assert dict(parse_qs(sent.url.query.decode())) == dict(parse_qs(query))
    assert body is None or json.loads(sent.content) == body


def test_an_upload_says_how_the_file_is_to_be_read() -> None:
    api = FakeApi({("POST", "datasets/a.b/snapshots"): says({"version": 0})})
    with client_of(api) as client:
        reading = {"encoding": "gb18030", "delimiter": "\t", "quote": "", "header_row": 0}
        client.upload("a.b", b"1\t2\n", kind="text/csv", mode="merge", reject_limit=3, allow=["x", "y"], reading=reading)
    sent = parse_qs(api.requests[0].url.query.decode(), keep_blank_values=True)
    assert sent == {
        "mode": ["merge"],
        "reject_limit": ["3"],
        "allow": ["x", "y"],
        "encoding": ["gb18030"],
        "delimiter": ["\t"],
        "quote": [""],
        "header_row": ["0"],
    }


def test_the_catalogue_in_other_forms_comes_as_it_was_sent() -> None:
    api = FakeApi(
        {
            ("GET", "catalog.ttl"): lambda request: httpx.Response(200, text="@prefix dcat: <x> ."),
            ("GET", "datasets/a.b/dcat.jsonld"): lambda request: httpx.Response(200, text='{"@graph": []}'),
            ("GET", "catalog.csv"): lambda request: httpx.Response(200, content=b"\xef\xbb\xbf\xe7\xb1\xbb\n"),
        }
    )
    with client_of(api) as client:
        assert client.dcat() == "@prefix dcat: <x> ."
        assert client.dcat("a.b", form="jsonld") == '{"@graph": []}'
        assert client.guide(office="x") == b"\xef\xbb\xbf\xe7\xb1\xbb\n"
    assert api.requests[-1].url.query == b"office=x"


def breaking(times: int, answer: Callable[[httpx.Request], httpx.Response]) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A server whose connection breaks so many times before it answers; what it received."""
    received: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        request.read()
        received.append(request)
        if len(received) <= times:
            raise httpx.RemoteProtocolError("the server disconnected without an answer")
        return answer(request)

    return httpx.MockTransport(handle), received


def test_a_change_is_sent_again_with_the_same_key_when_the_connection_breaks(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"a\n1\n")
    for call in (
        lambda c: c.withdraw("R-1"),
        lambda c: c.upload("a.b", tmp_path / "x.csv"),
        lambda c: c.upload("a.b", iter([b"a\n", b"1\n"]), kind="text/csv"),
    ):
        transport, received = breaking(1, says({"id": "R-1"}))
        with client_of(transport) as client:
            call(client)
        first, again = received
        assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
        assert re.fullmatch(r'"[0-9a-f-]{36}"', first.headers["Idempotency-Key"])
        assert first.content == again.content


def test_every_change_has_a_key_of_its_own() -> None:
    api = FakeApi({("POST", "requests/R-1/withdraw"): says({"id": "R-1"})})
    with client_of(api) as client:
        client.withdraw("R-1")
        client.withdraw("R-1")
    assert len({one.headers["Idempotency-Key"] for one in api.requests}) == 2


def test_after_a_break_the_client_waits_while_the_first_call_still_runs() -> None:
    answers = iter([problem("conflict", 409, ("idempotency-running", "Still runs.")), httpx.Response(200, json={"id": "R-1"})])
    transport, received = breaking(1, lambda request: next(answers))
    with client_of(transport) as client:
        assert client.withdraw("R-1") == {"id": "R-1"}
    assert len(received) == 3


def test_a_connection_that_breaks_twice_is_told() -> None:
    transport, received = breaking(2, says({}))
    with client_of(transport) as client, pytest.raises(Unavailable, match="client-server-unreachable"):
        client.withdraw("R-1")
    assert len(received) == 2


def test_a_query_is_never_sent_twice_and_never_with_a_key() -> None:
    transport, received = breaking(2, says({}))
    with client_of(transport) as client:
        for call in (lambda: client.query("SELECT 1", purpose="p"), lambda: client.why("SELECT 1", purpose="p")):
            with pytest.raises(HuitongError):
                call()
    assert len(received) == 2 and not any("Idempotency-Key" in one.headers for one in received)


def test_an_error_says_the_sentences_of_the_server_with_their_codes() -> None:
    reasons = (("dataset-not-shared", "低保家庭不共享。"), ("role-missing", "缺少角色。"))
    api = FakeApi({("POST", "query"): lambda request: problem("refused", 403, *reasons, query="q77")})
    with client_of(api) as client, pytest.raises(Refused) as caught:
        client.query("SELECT 1", purpose="p")
    assert str(caught.value) == "低保家庭不共享。 [dataset-not-shared]\n缺少角色。 [role-missing] (query q77)"


def test_an_error_of_the_client_itself_is_a_sentence_in_its_language() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with client_of(httpx.MockTransport(nobody)) as client, pytest.raises(Unavailable) as caught:
        client.whoami()
    assert re.fullmatch(r".*[\u4e00-\u9fff].* \[client-server-unreachable\]", str(caught.value))
    assert str(Refused.because("grant-missing", dataset="civil.low_income")) == "grant-missing", "the core's text may land in a log"


def test_a_result_shows_how_much_it_is_and_no_row() -> None:
    with client_of(FakeApi()) as client:
        result = client.query("SELECT 1", purpose="p")
    assert repr(result) == f"QueryResult(query 'q1': 2 rows, 2 columns, {len(RESULT)} bytes)"
    assert repr(QueryResult("q2", b"no stream")) == "QueryResult(query 'q2': 9 bytes)"
