"""Whatever goes wrong, the API answers with application/problem+json, in the caller's language, with every reason."""

import pytest
from tests.api.conftest import Instance

from huitong.errors import LedgerBroken, Reason, Unavailable


def said(response) -> dict:
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"].startswith("urn:huitong:problem:")
    assert problem["code"] == problem["reasons"][0]["code"]
    assert all(reason["text"] != reason["code"] for reason in problem["reasons"])
    return problem


def codes(response) -> list[str]:
    return [reason["code"] for reason in said(response)["reasons"]]


@pytest.mark.parametrize("path", ["whoami", "datasets", "grants", "divisions", "offices", "ledger/status", "queries/q-1/receipt"])
def test_without_a_token_nothing_is_told(instance: Instance, path: str) -> None:
    response = instance.get(path, token=None)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert codes(response) == ["token-missing"]


def test_an_unknown_token_is_told_apart_from_none(instance: Instance) -> None:
    assert codes(instance.get("whoami", token="nobody")) == ["token-unknown"]


def test_a_token_for_reading_cannot_ask_nor_use(instance: Instance) -> None:
    assert instance.get("datasets", token="read-only").status_code == 200
    response = instance.post("query", {"sql": "SELECT 1", "purpose": "education"}, token="read-only")
    assert response.status_code == 403
    assert codes(response) == ["token-scope-missing"]


@pytest.mark.parametrize("address", ["nothing", "datasets/", "", "openapi", "whoami/x"])
def test_an_unknown_address_is_a_problem_too(instance: Instance, address: str) -> None:
    response = instance.get(address)
    assert response.status_code == 404
    assert codes(response) == ["address-unknown"]


def test_an_unknown_dataset_and_a_hidden_request_are_not_found(instance: Instance) -> None:
    assert codes(instance.get("datasets/civil.nothing")) == ["dataset-unknown"]
    assert codes(instance.get("requests/R-2026-000001")) == ["request-unknown"]
    assert codes(instance.get("divisions/999999999999")) == ["division-unknown"]


def test_a_wrong_method_says_which_are_right(instance: Instance) -> None:
    response = instance.client.put("/api/v1/datasets")
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}
    assert codes(response) == ["method-unknown"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"3"])
def test_a_body_that_is_not_the_expected_json_is_told_so(instance: Instance, body: bytes) -> None:
    headers = {"Authorization": "Bearer analyst"}
    response = instance.client.post("/api/v1/query", body, content_type="application/json", headers=headers)
    assert response.status_code in (400, 422)
    said(response)


def test_every_wrong_value_is_named_at_once_and_none_is_repeated(instance: Instance) -> None:
    body = {"dataset": "civil.shelter", "items": [{"item": "members", "masks": 1}], "until": "31.12.2026", "secret": "4107"}
    response = instance.post("requests", body)
    assert response.status_code == 422
    problem = said(response)
    places = {reason["parameters"]["place"] for reason in problem["reasons"]}
    assert {"purpose", "legal_basis", "until", "secret"} <= places
    assert "31.12.2026" not in response.content.decode()
    assert "4107" not in response.content.decode()


ASKED = {"dataset": "civil.shelter", "items": [{"item": "members"}], "purpose": "education", "legal_basis": "law"}
REVEALED = {"grant": "G", "tokens": ["1"], "case": "c", "legal_basis": "l", "why": "w"}


@pytest.mark.parametrize(
    ("path", "body", "sentence", "chinese"),
    [
        ("requests", {**ASKED, "until": "2027-13-10"}, "until is not a day. Write a day that there is as 2027-01-31.", "until 不是日期。"),
        ("requests", {**ASKED, "rows": {"division": "999"}}, "rows.division must be 12 digits and nothing else.", "12 位数字"),
        ("reidentifications", {**REVEALED, "days": 99}, "days must be a whole number from 1 to 30.", "1 至 30 的整数"),
        ("reidentifications", {**REVEALED, "days": "x"}, "days must be a whole number from 1 to 30.", "1 至 30 的整数"),
        ("requests", {**ASKED, "purpose": 4107}, "purpose must be text.", "文本"),
        ("requests", {**ASKED, "items": "4107"}, "items must be a list.", "列表"),
        ("requests", {**ASKED, "items": ["4107"]}, "items[1] must be an object of names and values.", "对象"),
        ("requests", {**ASKED, "purpose": "a\0b"}, "purpose holds the character NUL, which no text may hold.", "NUL"),
        ("requests", {**ASKED, "quota": {"rows": 0, "period": "day"}}, "quota.rows must be a whole number from 1 to ", "整数"),
        ("datasets?limit=0", None, "limit must be a whole number from 1 to ", "整数"),
        ("datasets?family=7", None, "family[1] is none of the values that are known: 1, 2, 3.", "1, 2, 3"),
        ("divisions?under=12", None, "under must be 12 digits", "12 位数字"),
    ],
)
def test_a_wrong_value_is_answered_with_what_may_stand_there(
    instance: Instance, path: str, body: dict | None, sentence: str, chinese: str
) -> None:
    def texts(language: str) -> str:
        said_so = instance.get(path, Accept_Language=language) if body is None else instance.post(path, body, Accept_Language=language)
        assert said_so.status_code == 422
        return said(said_so)["detail"]

    assert sentence in texts("en")
    assert chinese in texts("zh-Hans")
    assert "_" not in texts("en").replace("legal_basis", ""), "no name of a validator's rule"


def test_an_over_large_json_body_is_refused_before_it_is_read(instance: Instance, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = instance.post("query", {"sql": "x" * 5000, "purpose": "education"})
    assert response.status_code == 413
    assert codes(response) == ["json-too-large"]


def test_the_sentences_follow_accept_language(instance: Instance) -> None:
    chinese = instance.get("datasets/civil.nothing", Accept_Language="zh-CN,zh;q=0.9")
    assert chinese["Content-Language"] == "zh-Hans"
    assert said(chinese)["title"] == "未找到"
    assert said(instance.get("datasets/civil.nothing", Accept_Language="fr, en;q=0.1"))["title"] == "Not found"


def test_a_cookie_neither_signs_in_nor_chooses_the_language(instance: Instance) -> None:
    instance.client.cookies["huitong_language"] = "zh-hans"
    response = instance.get("whoami", token=None)
    assert response.status_code == 401
    assert said(response)["title"] == "Not signed in"


def test_what_nobody_foresaw_tells_nothing_of_itself(instance: Instance, monkeypatch, caplog) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/srv/keys/ledger and the row of Zhang San")

    monkeypatch.setattr(type(instance.doors.catalog), "search", broken)
    response = instance.get("datasets")
    assert response.status_code == 500
    assert codes(response) == ["server-failed"]
    assert "Zhang" not in response.content.decode()
    assert "srv" not in response.content.decode()
    assert "Zhang San" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable(Reason("engine-unavailable", {"query": "q-1"})), 503), (LedgerBroken(Reason("server-failed")), 500)],
)
def test_each_kind_of_error_has_its_status(instance: Instance, monkeypatch, error: Exception, status: int) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(instance.doors.catalog), "search", broken)
    assert instance.get("datasets").status_code == status


def test_no_answer_of_the_api_is_kept_by_a_cache(instance: Instance) -> None:
    assert instance.get("whoami")["Cache-Control"] == "no-store"
    assert instance.get("datasets/civil.nothing")["Cache-Control"] == "no-store"


def test_a_problem_spells_out_the_first_reasons_and_counts_the_rest(instance: Instance) -> None:
    response = instance.post("query", {f"wrong-{number}": 1 for number in range(500)})
    assert response.status_code == 422
    assert len(said(response)["reasons"]) == 20
    assert said(response)["reasons_in_all"] == 502


def test_half_a_character_in_a_name_is_refused_like_any_wrong_name(instance: Instance) -> None:
    body = r'{"dataset":"civil.shelter","purpose":"education","legal_basis":"x","until":"2027-12-31",'
    body += r'"items":[{"item":"members","mask":{"kind":"hide","parameters":{"\ud800":1}}}]}'
    response = instance.post("requests", body)
    assert (response.status_code, codes(response)) == (422, ["mask-parameter-invalid"])
