"""Re-identification over HTTP: asked, agreed to by two, told to one, proved; and nothing of it anywhere else."""

import json
import logging
from typing import Any

import pyarrow as pa
import pytest
from tests.api.conftest import Instance, actor
from tests.api.test_api_sharing import WISH

from huitong.gateway.reveal import SCHEMA
from huitong.masks.pseudonym import display, group_key, token
from huitong.model.party import Role
from huitong.model.query import GovernedQuery

SECOND = actor("tang", "gz-civil-affairs", Role.REVIEWER)
COLLEAGUE = actor("jia", "gz-education", Role.ANALYST)
HOUSEHOLD = "h1"
ASKED = {"case": "赫章县 2026-118", "legal_basis": "社会救助暂行办法第九条", "why": "入冬前须入户 CANARY"}


class Engine:
    """Gives the identifier behind each token of the pseudonyms, as a side table would; the statement itself is not looked at."""

    known: dict[int, str]

    def __init__(self, **known: int) -> None:
        self.known = {number: name for name, number in known.items()}

    def run(self, query: GovernedQuery) -> pa.Table:
        assert "INNER JOIN" in query.sql
        return pa.table({"token": list(self.known), "identifier": list(self.known.values())}, schema=pa.schema(list(SCHEMA)[:2]))


@pytest.fixture
def grant(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A prepared grant with the household as a pseudonym."""
    known = type(instance.doors.accounts).actor_for_token.__globals__["TOKENS"]  # the conftest as pytest has loaded it
    for name, one in (("second", SECOND), ("colleague", COLLEAGUE)):
        monkeypatch.setitem(known, name, one)
        instance.stores.parties.put_actor(one)
    wish = WISH | {"items": [{"item": "household", "mask": {"kind": "pseudonym"}}, {"item": "members"}]}
    number = instance.post("requests", wish).json()["id"]
    granted = instance.post(f"requests/{number}/approve", {"weaker_masks": []}, token="reviewer").json()["grant"]
    instance.doors.sharing.prepare(granted)
    found: dict[str, Any] = instance.get(f"grants/{granted}").json()
    assert found["valid"] is True
    instance.doors.gateway._engine = Engine(h1=token_of(instance, found))  # type: ignore[assignment]
    return found


def token_of(instance: Instance, grant: dict[str, Any], identifier: str = HOUSEHOLD) -> int:
    from huitong.keystore import FileKeyStore

    group = grant["linkage_group"]
    key = group_key(FileKeyStore(instance.home / "keys").secret("pseudonym-master"), group, 1)
    return token(key, group, 1, identifier)


def ask(instance: Instance, grant: dict[str, Any], *tokens: str, **other: Any) -> Any:
    body = {"grant": grant["id"], "tokens": list(tokens) or [str(token_of(instance, grant)), "1"], **ASKED, **other}
    return instance.post("reidentifications", body)


def agreed(instance: Instance, grant: dict[str, Any], *tokens: str) -> str:
    number: str = ask(instance, grant, *tokens).json()["id"]
    for reviewer in ("reviewer", "second"):
        assert instance.post(f"reidentifications/{number}/approve", {}, token=reviewer).status_code == 200
    return number


def test_from_asking_to_learning(instance: Instance, grant: dict[str, Any]) -> None:
    asked = ask(instance, grant)
    assert asked.status_code == 201
    case = asked.json()
    assert (case["state"], case["tokens"], case["valid"], case["reveals_left"]) == ("under-review", 2, False, 0)
    waiting = instance.get("reidentifications?as=provider", token="reviewer").json()["reidentifications"]
    assert [one["id"] for one in waiting] == [case["id"]]
    first = instance.post(f"reidentifications/{case['id']}/approve", {"reveals": 1}, token="reviewer").json()
    assert first["state"] == "under-review"
    second = instance.post(f"reidentifications/{case['id']}/approve", {"words": "已核"}, token="second").json()
    assert (second["state"], second["valid"], second["reveals_left"]) == ("agreed", True, 1)

    told = instance.post(f"reidentifications/{case['id']}/reveal", {})
    assert told.status_code == 200 and told.headers["Cache-Control"] == "no-store"
    body = told.json()
    assert [column["name"] for column in body["columns"]] == ["token", "identifier", "seal"]
    rows = {str(row[0]): row[1] for row in body["rows"]}
    assert rows == {"1": None, str(token_of(instance, grant)): HOUSEHOLD}
    assert instance.get(f"reidentifications/{case['id']}").json()["state"] == "ended"
    receipt = instance.get(f"queries/{body['query']}/receipt").json()
    assert len(receipt["entries"]) == 2
    assert instance.get(f"queries/{body['query']}/receipt", token="reviewer").status_code == 200, "the provider holds the proof too"


def test_the_exact_bytes_prove_the_receipt(instance: Instance, grant: dict[str, Any]) -> None:
    import hashlib

    number = agreed(instance, grant)
    told = instance.post(f"reidentifications/{number}/reveal", {}, Accept="application/vnd.apache.arrow.stream")
    receipt = instance.get(f"queries/{told.headers['Huitong-Query']}/receipt").json()
    assert hashlib.sha256(told.content).hexdigest() in json.dumps(receipt)


def test_tokens_are_written_as_integers_or_in_their_display_form(instance: Instance, grant: dict[str, Any]) -> None:
    number = token_of(instance, grant)
    for written in (str(number), display(number), display(number).lower(), f" {number} "):
        found = ask(instance, grant, written)
        assert found.status_code == 201, found.content
    hashes = {one["tokens_hash"] for one in instance.get("reidentifications").json()["reidentifications"]}
    assert len(hashes) == 1
    for wrong, code in (("3333333333333", "pseudonym-two-ways"), ("9223372036854775808", "pseudonym-unreadable"), ("x", "value-invalid")):
        answer = ask(instance, grant, wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert wrong not in answer.content.decode() or wrong == "x"


def test_everybody_else_finds_no_such_case(instance: Instance, grant: dict[str, Any]) -> None:
    number = agreed(instance, grant)
    for other in ("stranger", "operator", "colleague"):
        assert instance.get(f"reidentifications/{number}", token=other).status_code == 404
        assert instance.post(f"reidentifications/{number}/reveal", {}, token=other).status_code == 404
        assert instance.get("reidentifications", token=other).json()["total"] == 0
    for other in ("reviewer", "second", "officer"):
        assert instance.post(f"reidentifications/{number}/reveal", {}, token=other).status_code == 403
    assert instance.post(f"reidentifications/{number}/reveal", {}, token=None).status_code == 401
    assert instance.post(f"reidentifications/{number}/reveal", {}, token="read-only").status_code == 403


def test_refused_withdrawn_revoked(instance: Instance, grant: dict[str, Any]) -> None:
    number = ask(instance, grant).json()["id"]
    without_words = {"reason": "reidentification-refused-other"}
    assert instance.post(f"reidentifications/{number}/refuse", without_words, token="second").status_code == 422
    said = {"reason": "reidentification-refused-other", "words": "乡镇已掌握"}
    assert instance.post(f"reidentifications/{number}/refuse", said, token="second").json()["state"] == "refused"
    number = ask(instance, grant).json()["id"]
    assert instance.post(f"reidentifications/{number}/withdraw", {}).json()["state"] == "withdrawn"
    number = agreed(instance, grant)
    assert instance.post(f"reidentifications/{number}/revoke", {}, token="reviewer").status_code == 422
    assert instance.post(f"reidentifications/{number}/revoke", {"words": "已找到该户"}, token="reviewer").json()["state"] == "revoked"
    assert instance.post(f"reidentifications/{number}/reveal", {}).json()["code"] == "reidentification-not-agreed"


def test_a_revoked_grant_bites_at_the_next_call(instance: Instance, grant: dict[str, Any]) -> None:
    number = agreed(instance, grant)
    instance.post(f"grants/{grant['id']}/revoke", {"words": "over"}, token="reviewer")
    shown = instance.get(f"reidentifications/{number}").json()
    assert (shown["valid"], shown["over_because"]["code"]) == (False, "reidentification-ended-grant")
    told = instance.post(f"reidentifications/{number}/reveal", {})
    assert (told.status_code, told.json()["code"]) == (409, "reidentification-ended-grant")


def test_no_list_no_log_and_no_error_holds_a_token_or_an_identifier(
    instance: Instance, grant: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    number = agreed(instance, grant)
    hidden = str(token_of(instance, grant))
    answers = [
        instance.get(f"reidentifications/{number}"),
        instance.get("reidentifications", Accept="text/csv"),
        instance.get("reidentifications?as=provider", token="reviewer"),
        instance.post(f"reidentifications/{number}/reveal", {"tokens": ["5"]}),
        instance.post(f"reidentifications/{number}/reveal", {"tokens": [hidden, "5"]}),
        ask(instance, grant, *[hidden] * 2, days=999),
    ]
    instance.doors.gateway._engine = None  # type: ignore[assignment]
    answers.append(instance.post(f"reidentifications/{number}/reveal", {}))
    assert answers[-1].status_code == 403 and answers[-1].json()["code"] == "query-failed"
    for answer in answers:
        assert hidden not in answer.content.decode()
    assert hidden not in caplog.text and "CANARY" not in caplog.text
    ledger = [promise.payload.decode() for promise in instance.stores.ledger.pending(1000)]
    assert any("reidentification-approved" in entry for entry in ledger)
    assert not any(hidden in entry or "CANARY" in entry or "2026-118" in entry for entry in ledger)


def test_what_was_told_is_kept_for_no_repeat(instance: Instance, grant: dict[str, Any]) -> None:
    """A key of a call would keep the answer for a day."""
    number = agreed(instance, grant)
    told = instance.post(f"reidentifications/{number}/reveal", {}, Idempotency_Key='"0123456789abcdef"')
    assert (told.status_code, told.json()["code"]) == (422, "idempotency-key-not-taken")
    asked = ask(instance, grant)
    key = {"Idempotency_Key": '"fedcba9876543210"'}
    first = instance.post(f"reidentifications/{asked.json()['id']}/withdraw", {}, **key)
    again = instance.post(f"reidentifications/{asked.json()['id']}/withdraw", {}, **key)
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
