"""Who used my office's data, over the API: what the ledger says of uses, to those whom it concerns."""

import json

from tests.api.conftest import Instance
from tests.api.test_api_query import STATEMENT, granted

__all__ = ["granted"]


def used(granted: Instance) -> str:
    """One query that was answered and one that was refused; both folded."""
    number = granted.post("query", STATEMENT).json()["query"]
    assert granted.post("query", {**STATEMENT, "sql": "SELECT id_number FROM civil.person"}).status_code == 403
    granted.sequencer.fold_all()
    return str(number)


def test_the_managing_office_sees_who_used_what_and_what_was_refused(granted: Instance) -> None:
    number = used(granted)
    page = granted.get("ledger/uses", token="officer").json()
    line = next(one for one in page["uses"] if one["query"] == number)
    assert (line["dataset"], line["using_office"]["id"], line["person"], line["purpose"]) == (
        "civil.shelter", "gz-education", "wen", "education",
    )  # fmt: skip
    assert [one["item"] for one in line["items"]] == ["household", "members"]
    assert {one["mask"] for one in line["items"]} == {"clear"}
    assert (line["end"], line["rows"], line["door"], line["mode"]) == ("answered", 2, "query", "rows")
    assert line["legal_basis"]
    assert granted.get(f"queries/{line['query']}/receipt", token="officer").status_code == 200
    refused = granted.get("ledger/uses?end=refused", token="officer").json()["uses"]
    assert all(one["reasons"] and one["rows"] is None for one in refused)


def test_others_see_nothing_of_it(granted: Instance) -> None:
    used(granted)
    assert granted.get("ledger/uses", token="analyst").status_code == 403
    assert granted.get("ledger/uses?as=applicant", token="stranger").json()["uses"] == []
    assert granted.get("ledger/uses", token="stranger").json()["uses"] == []
    assert granted.get("ledger/uses", token=None).status_code == 401
    assert granted.get("ledger/uses?as=applicant").json()["total"] >= 1


def test_totals_and_lists_come_as_tables_too(granted: Instance) -> None:
    used(granted)
    totals = granted.get("ledger/uses/totals?dataset=civil.shelter", token="officer").json()["totals"]
    assert [(one["month"], one["answered"], one["rows"]) for one in totals] == [("2026-11", 1, 2)]
    table = granted.get("ledger/uses?limit=1", token="officer", Accept="text/csv")
    assert table["Content-Type"].startswith("text/csv")
    assert table.content.decode("utf-8-sig").startswith("query,dataset,using_office,person")


def test_days_that_are_turned_round_are_refused(granted: Instance) -> None:
    answer = granted.get("ledger/uses?since=2026-03-02&until=2026-03-01", token="officer")
    assert answer.status_code == 422
    assert "uses-days-turned" in json.dumps(answer.json())
