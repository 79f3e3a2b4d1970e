"""What the command line tells of a request: why it was refused, that a second reviewer is waited for, what was agreed."""

from typing import Any

import pytest
from fake_api import FakeApi, says
from tests.cli.test_commands import Run, api, huitong_

__all__ = ["api", "huitong_"]
OFFICE = {"id": "gz-health", "title": {"zh": "贵州省卫生健康委员会", "en": "Health Commission of Guizhou"}}
ASK = ("request", "submit", "health.inpatient", "--purpose", "statistics", "--legal-basis", "x", "--item", "a", "--until", "2027-06-01")


def wish(*items: str, until: str = "2027-06-01", k: int | None = None) -> dict[str, Any]:
    terms: dict[str, Any] = {"purpose": "statistics", "legal_basis": "x", "rows": None, "mode": "rows", "until": until, "k": k}
    terms["items"] = [{"item": item, "mask": {"kind": "clear", "parameters": {}}} for item in items]
    return terms | {"condition": [], "subjects": None, "quota": None, "linkage": None}


def event(kind: str, **more: Any) -> dict[str, Any]:
    plain = {"at": "2026-12-01T02:00:00Z", "actor": "shen", "office": "gz-health", "reason": None, "words": None, "wish": None}
    return {"kind": kind, **plain, "on_behalf_of": None, "due": None} | more


def request(state: str, *events: dict[str, Any]) -> dict[str, Any]:
    asked = wish("a", "b", "c")
    said = {"id": "R-1", "dataset": "health.inpatient", "provider": OFFICE, "applicant": "wen", "applicant_office": OFFICE}
    events = (event("submitted", wish=asked), *events)
    said |= {"state": state, "answer_due": None, "provisional": False, "wish": asked, "events": list(events)}
    return said | {"grant": None, "continues": None}


@pytest.mark.parametrize(
    ("language", "sentence"), [("en", "The dataset is not shared; the basis is stated beside."), ("zh-Hans", "信息资源不予共享")]
)
def test_a_refusal_is_a_sentence_with_its_basis_and_an_exit_code(huitong_: Run, api: FakeApi, language: str, sentence: str) -> None:
    refused = event("refused", reason="refused-not-shared", words="Regulation on medical records, article 6")
    api.answers[("POST", "requests")] = says(request("refused", refused))
    code, out, _ = huitong_(*ASK, "--lang", language)
    assert code == 6
    assert sentence in out and "Regulation on medical records, article 6" in out
    api.answers[("GET", "requests/R-1")] = says(request("refused", refused))
    code, out, _ = huitong_("request", "show", "R-1", "--lang", language)
    assert code == 0 and out.count(sentence) == 2, "as its reason, and in its history"


def test_the_first_of_two_reviewers_is_told_that_another_is_waited_for(huitong_: Run, api: FakeApi) -> None:
    half = request("under-review", event("endorsed"))
    api.answers[("POST", "requests/R-1/approve")] = says(half)
    code, out, err = huitong_("request", "approve", "R-1")
    assert code == 0 and "a second, other reviewer" in err and "agreed to by the first of two" in out
    page = {"limit": 20, "offset": 0, "total": 2}
    asked_anew = request("under-review", event("endorsed"), event("supplemented"))
    api.answers[("GET", "requests")] = says({"requests": [half, asked_anew], **page})
    code, out, _ = huitong_("request", "list", "--as", "provider")
    assert code == 0 and out.count("agreed to by the first of two") == 1, "what was supplemented is agreed to anew"


def test_what_was_agreed_is_shown_not_what_was_asked(huitong_: Run, api: FakeApi) -> None:
    granted = request("granted", event("approved", wish=wish("a", "b", until="2026-12-31")))
    api.answers[("POST", "requests/R-1/approve")] = says(granted)
    code, out, _ = huitong_("request", "approve", "R-1", "--item", "a", "--item", "b", "--until", "2026-12-31")
    assert code == 0 and "2026-12-31" in out and "2027-06-01" not in out and "c (" not in out
