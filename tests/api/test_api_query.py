"""The result of a query in each form, its receipt, and what a refusal tells."""

import csv
import hashlib
import io
import json
from base64 import b64decode
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH

from huitong.errors import Unavailable
from huitong.gateway.gate import result_bytes
from huitong.ledger.cosigning import WitnessKey
from huitong.ledger.verify import consistency_holds, parse_checkpoint, verify_receipt
from huitong.model.ledger import EntryKind

STATEMENT = {"sql": "SELECT household, members FROM civil.shelter", "purpose": "education"}


@pytest.fixture
def granted(instance: Instance) -> Instance:
    wish = {**WISH, "dataset": "civil.shelter", "rows": None}
    assert instance.post("requests", wish).json()["state"] == "granted"
    return instance


def test_json_holds_columns_rows_and_where_the_receipt_lies(granted: Instance) -> None:
    response = granted.post("query", STATEMENT)
    assert response.status_code == 200
    body = response.json()
    assert body["columns"] == [{"name": "household", "type": "string"}, {"name": "members", "type": "int64"}]
    assert body["rows"] == [["h1", 3], ["h2", 5]]
    assert response["Huitong-Query"] == body["query"]
    assert response["Huitong-Receipt"] == body["receipt"] == f"/api/v1/queries/{body['query']}/receipt"


def test_arrow_is_exactly_what_the_receipt_proves(granted: Instance) -> None:
    response = granted.post("query", STATEMENT, Accept="application/vnd.apache.arrow.stream")
    assert response["Content-Type"] == "application/vnd.apache.arrow.stream"
    assert response.content == result_bytes(granted.engine.table)
    granted.sequencer.fold_once()
    receipt = granted.get(f"queries/{response['Huitong-Query']}/receipt").json()
    key = granted.get("ledger/key", token=None).content.decode().strip()
    assert verify_receipt(receipt, log_key=key, result=response.content).ok
    assert not verify_receipt(receipt, log_key=key, result=response.content[:-1] + b"x").ok
    assert hashlib.sha256(response.content).hexdigest() in json.dumps([json.loads(_payload(one)) for one in receipt["entries"]])


def _payload(entry: dict) -> str:
    payload = entry["payload"]
    if payload.lstrip().startswith("{"):
        return payload
    import base64

    return base64.b64decode(payload).decode()


def test_numbers_that_json_would_change_are_sent_as_text(granted: Instance) -> None:
    granted.engine.table = pa.table(
        {
            "household": pa.array([2**53, 2**53 + 1, None], pa.int64()),
            "members": pa.array([Decimal("1.10"), Decimal("2.00"), None], pa.decimal128(5, 2)),
        }
    )
    assert granted.post("query", STATEMENT).json()["rows"] == [[2**53, "1.10"], [str(2**53 + 1), "2.00"], [None, None]]


def test_dates_and_odd_numbers_have_a_json_form(granted: Instance) -> None:
    granted.engine.table = pa.table({"household": [date(2026, 1, 2)] * 3, "members": [1.5, float("nan"), float("inf")]})
    rows = granted.post("query", STATEMENT).json()["rows"]
    assert sorted(rows, key=str) == [["2026-01-02", "inf"], ["2026-01-02", "nan"], ["2026-01-02", 1.5]]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_a_text_that_a_spreadsheet_would_run_is_made_harmless(granted: Instance, start: str) -> None:
    granted.engine.table = pa.table({"household": [f"{start}1+1", "plain", "a,b"], "members": [-5, 7, None]})
    response = granted.post("query", STATEMENT, Accept="text/csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(response.content.decode(), newline="")))
    assert rows[0] == ["household", "members"]
    assert sorted(rows[1:]) == sorted([[f"'{start}1+1", "-5"], ["plain", "7"], ["a,b", ""]])


def test_a_form_that_nobody_makes_is_told_before_anything_runs(granted: Instance) -> None:
    size = granted.doors.ledger.status().pending
    response = granted.post("query", STATEMENT, Accept="application/pdf")
    assert response.status_code == 406
    assert response.json()["code"] == "answer-form-unknown"
    assert granted.doors.ledger.status().pending == size


def test_a_refusal_has_every_reason_the_number_of_the_query_and_a_receipt(instance: Instance) -> None:
    response = instance.post("query", {"sql": "SELECT household FROM civil.household", "purpose": "curiosity"})
    assert response.status_code == 403
    problem = response.json()
    assert problem["query"] == response["Huitong-Query"]
    assert len(problem["reasons"]) >= 1
    assert instance.get(f"queries/{problem['query']}/receipt").status_code == 200
    assert instance.get(f"queries/{problem['query']}/receipt", token="stranger").status_code == 404


def test_the_office_whose_data_was_used_sees_the_receipt_and_a_third_does_not(granted: Instance) -> None:
    number = granted.post("query", STATEMENT)["Huitong-Query"]
    assert granted.get(f"queries/{number}/receipt", token="reviewer").status_code == 200
    hidden = granted.get(f"queries/{number}/receipt", token="stranger")
    assert hidden.status_code == 404
    assert hidden.json()["code"] == "query-unknown"


def test_why_tells_what_would_be_used_and_runs_nothing(granted: Instance) -> None:
    before = granted.doors.ledger.status().pending
    why = granted.post("why", STATEMENT).json()
    assert why["allowed"] is True
    assert why["datasets"][0]["items"] == ["household", "members"]
    refused = granted.post("why", STATEMENT | {"sql": "SELECT division FROM civil.shelter"}).json()
    assert refused["allowed"] is False
    assert all(reason["text"] != reason["code"] for reason in refused["reasons"])
    assert granted.doors.ledger.status().pending == before


def test_an_engine_that_is_down_is_told_without_its_words(granted: Instance) -> None:
    granted.engine.failure = Unavailable.because("engine-busy", query="q-1")
    response = granted.post("query", STATEMENT)
    assert response.status_code == 503
    granted.engine.failure = Unavailable.because("engine-crashed", query="q-1")
    response = granted.post("query", STATEMENT)
    assert (response.status_code, response.json()["code"]) == (503, "engine-crashed")
    granted.engine.failure = RuntimeError("Binder Error: /lake/9f3.parquet")
    response = granted.post("query", STATEMENT)
    assert response.status_code >= 400
    assert "lake" not in response.content.decode()


def test_a_notice_travels_in_body_and_header(granted: Instance) -> None:
    granted.engine.table = pa.table({"household": ["h"] * 1001, "members": [1] * 1001})
    response = granted.post("query", STATEMENT)
    assert len(response.json()["rows"]) == 1000
    assert response.json()["notices"][0]["code"] == "rows-cut"
    assert "1000" in response["Huitong-Notices"]


def test_anyone_reads_the_checkpoint_and_the_key(instance: Instance) -> None:
    assert instance.get("ledger/checkpoint", token=None).status_code == 404
    instance.sequencer.fold_once()
    checkpoint = instance.get("ledger/checkpoint", token=None)
    assert checkpoint["Content-Type"].startswith("text/plain")
    assert checkpoint.content.decode().startswith("huitong.local/demo\n")
    status = instance.get("ledger/status").json()
    assert status["size"] > 0
    assert status["pending"] == 0


def test_anyone_gets_a_proof_that_one_tree_is_the_beginning_of_another(instance: Instance) -> None:
    instance.sequencer.fold_once()
    first = parse_checkpoint(instance.get("ledger/checkpoint", token=None).content.decode().rpartition("\n\n")[0] + "\n")
    for number in range(5):
        instance.doors.ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"number": number})
    instance.sequencer.fold_once()
    second = parse_checkpoint(instance.get("ledger/checkpoint", token=None).content.decode().rpartition("\n\n")[0] + "\n")
    proof = instance.get(f"ledger/consistency?first={first.size}&second={second.size}", token=None).json()
    assert (proof["first"], proof["second"]) == (first.size, second.size)
    path = [b64decode(node) for node in proof["path"]]
    told = {"first": first.size, "first_root": first.root, "second": second.size, "second_root": second.root}
    assert consistency_holds(**told, path=path)
    assert not consistency_holds(**{**told, "first_root": bytes(32)}, path=path)
    for wrong in (f"first={second.size}&second={first.size}", f"first=1&second={second.size + 1}", "first=-1&second=1", "first=1"):
        assert instance.get(f"ledger/consistency?{wrong}", token=None).status_code == 422


def test_witnesses_hand_in_what_they_signed_and_everyone_gets_it(instance: Instance) -> None:
    key = WitnessKey("audit.example/witness", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    instance.doors.ledger._witnesses = (key.public,)
    instance.sequencer.fold_once()
    assert instance.get("ledger/checkpoint?witnessed=true", token=None).status_code == 404
    note = instance.get("ledger/checkpoint", token=None).content.decode()
    size = int(note.split("\n")[1])
    line = key.line(note, time=1_772_416_800)
    stranger = WitnessKey("other.example/witness", Ed25519PrivateKey.from_private_bytes(bytes(32))).line(note, time=5)
    for lines, at, status in ((stranger, size, 403), (line, size + 1, 404), (line.replace("A", "B"), size, 422), ("", size, 422)):
        assert instance.post("ledger/cosignatures", {"size": at, "lines": lines}, token=None).status_code == status
    for _ in range(2):
        response = instance.post("ledger/cosignatures", {"size": size, "lines": line}, token=None)
        assert response.json() == {"size": size, "witnesses": [key.public.text]}
    for address in ("ledger/checkpoint?witnessed=true", "ledger/checkpoint"):
        assert instance.get(address, token=None).content.decode() == note + line


@pytest.mark.parametrize(
    ("code", "about", "status"),
    [("queries-of-office", {"office": "gz-education", "limit": 2}, 429), ("engine-busy", {"query": "q-1"}, 503)],
)
def test_who_finds_no_free_place_is_told_when_to_come_again(granted: Instance, code: str, about: dict[str, Any], status: int) -> None:
    granted.engine.failure = Unavailable.because(code, **about)
    response = granted.post("query", STATEMENT)
    assert (response.status_code, response["Retry-After"]) == (status, "2")
