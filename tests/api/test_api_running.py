"""Uses that run, over the API: who sees them, who cancels them, and what the one who asked is told."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from tests.api.conftest import Instance
from tests.api.test_api_query import STATEMENT, granted

from huitong.model.query import GovernedQuery

__all__ = ["granted"]


class LongEngine:
    """Works until something has happened, and asks whether it may go on."""

    def __init__(self, happening: Callable[[], Any]) -> None:
        self.happening = happening
        self.answers: list[Any] = []

    def run_while(self, query: GovernedQuery, still: Callable[[], None], /) -> pa.Table:
        still()
        self.answers.append(self.happening())
        still()
        return pa.table({"household": ["h1"], "members": [3]})

    def stream_while(self, query: GovernedQuery, still: Callable[[], None], /) -> Iterator[pa.RecordBatch]:
        yield from self.run_while(query, still).to_batches()


def ask_while(granted: Instance, happening: Callable[[], Any]) -> tuple[Any, Any]:
    """The answer to a query, and what happened meanwhile gave."""
    engine = LongEngine(happening)
    granted.doors.gateway._engine = engine  # type: ignore[assignment]
    response = granted.post("query", STATEMENT)
    return response, engine.answers[0]


def test_a_running_use_is_shown_without_its_statement(granted: Instance) -> None:
    response, pages = ask_while(
        granted, lambda: [granted.get("queries/running", token=token) for token in ("analyst", "officer", "stranger", "operator")]
    )
    assert response.status_code == 200
    mine, *others = [page.json() for page in pages]
    (use,) = mine["uses"]
    assert use["query"] == response["Huitong-Query"]
    assert (use["person"], use["purpose"], use["datasets"], use["door"]) == ("wen", "education", ["civil.shelter"], "query")
    assert (use["using_office"]["id"], use["cancelled_by"]) == ("gz-education", None)
    assert "SELECT" not in pages[0].content.decode()
    assert mine["total"] == 1
    assert all(page["uses"] == [] for page in others)
    assert granted.get("queries/running").json()["uses"] == []
    assert granted.get("queries/running", token=None).status_code == 401


def test_cancelling_ends_the_query_and_its_outcome_is_in_the_receipt(granted: Instance) -> None:
    def cancel() -> Any:
        number = granted.get("queries/running").json()["uses"][0]["query"]
        assert granted.post(f"queries/{number}/cancel", {}, token="stranger").status_code == 404
        assert granted.post(f"queries/{number}/cancel", {}, token="operator").status_code == 404
        assert granted.post(f"queries/{number}/cancel", {}, token="read-only").status_code == 403
        return granted.post(f"queries/{number}/cancel", {})

    response, told = ask_while(granted, cancel)
    assert told.status_code == 200, told.content
    assert told.json()["cancelled_by"] == "wen"
    assert response.status_code == 403
    assert [one["code"] for one in response.json()["reasons"]] == ["query-cancelled"]
    assert "cancelled by wen" in response.content.decode()
    number = told.json()["query"]
    granted.sequencer.fold_all()
    assert len(granted.get(f"queries/{number}/receipt").json()["entries"]) == 2
    line = granted.get("ledger/uses?as=applicant").json()["uses"][0]
    assert (line["query"], line["end"], line["reasons"]) == (number, "failed", ["query-cancelled"])
    assert granted.post(f"queries/{number}/cancel", {}).status_code == 404


def test_what_does_not_run_is_not_found_in_both_languages(granted: Instance) -> None:
    for language, word in (("en", "runs"), ("zh-Hans", "正在执行")):
        answer = granted.post("queries/q-0000000000000000/cancel", {}, **{"Accept-Language": language})
        assert answer.status_code == 404
        assert word in answer.json()["reasons"][0]["text"]
