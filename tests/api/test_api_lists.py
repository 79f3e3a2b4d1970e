"""Lists as tables: the same entries as JSON, Arrow, Parquet and CSV, with stable columns and the way to the next page."""

import csv
import io
import json
from copy import copy
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.api.conftest import Instance
from tests.api.test_api_query import STATEMENT, granted  # noqa: F401 - a fixture
from tests.api.test_api_sharing import WISH

from huitong.model.text import BilingualText
from huitong.portal.api.app import api
from huitong.portal.api.tables import listed_of

ARROW, PARQUET, CSV = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "text/csv"
PATHS = {
    "/datasets/{dataset_id}/snapshots": "datasets/civil.shelter/snapshots",
    "/datasets/{dataset_id}/snapshots/{version}/rejects": "datasets/civil.shelter/snapshots/0/rejects",
    "/datasets/{dataset_id}/suggestions": "datasets/civil.shelter/suggestions",
    "/datasets/{dataset_id}/loads": "datasets/civil.shelter/loads",
}
"""Addresses of lists that belong to something."""
LISTS = [operation.path for operation in api.operations() if listed_of(operation)]


def table(response: Any) -> pa.Table:
    """The table of an answer, whichever of the two exact forms it has."""
    assert response.status_code == 200, response.content
    if response["Content-Type"] == PARQUET:
        return parquet.read_table(io.BytesIO(response.content))
    assert response["Content-Type"] == ARROW
    with pa.ipc.open_stream(response.content) as reader:
        return reader.read_all()


def test_every_list_of_today_is_known_as_one() -> None:
    wanted = {"/divisions", "/offices", "/datasets", "/requests", "/grants", "/load-plans", "/credentials", "/grading", "/purposes", *PATHS}
    assert wanted <= set(LISTS)


@pytest.mark.parametrize("path", [path for path in LISTS if "{" not in path or path in PATHS])
def test_every_list_has_the_same_columns_empty_or_not_in_every_form(instance: Instance, path: str) -> None:
    address = PATHS.get(path, path.removeprefix("/"))
    (listed,) = [listed for one in api.operations() if one.path == path and (listed := listed_of(one))]
    answer = instance.get(address, token="officer")
    assert answer.status_code == 200, answer.content
    entries = answer.json()[listed.name]
    assert int(answer["Huitong-Total"]) >= len(entries)
    for form in (ARROW, PARQUET):
        got = table(instance.get(address, token="officer", Accept=form))
        assert got.schema.names == listed.columns.names
        assert got.schema.types == listed.columns.types
        assert got.num_rows == len(entries)
    text = instance.get(address, token="officer", Accept=CSV)
    rows = list(csv.reader(io.StringIO(text.content.decode(), newline="")))
    assert text["Content-Type"] == "text/csv; charset=utf-8"
    assert rows[0] == listed.columns.names and len(rows) == len(entries) + 1
    refused = instance.get(address, token="officer", Accept="application/pdf")
    assert (refused.status_code, refused.json()["code"]) == (406, "answer-form-unknown")


def test_values_keep_their_type_and_what_is_nested_is_json_text(instance: Instance) -> None:
    made = instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None}).json()
    (grant,) = table(instance.get("grants", Accept=ARROW)).to_pylist()
    assert grant["id"] == made["grant"] and grant["valid"] is True and grant["version"] == 1
    assert grant["valid_until"].tzinfo is not None and grant["revoked_at"] is None and grant["rows"] is None
    assert json.loads(grant["items"])[0]["item"] == made["wish"]["items"][0]["item"]
    (request,) = table(instance.get("requests", Accept=PARQUET)).to_pylist()
    assert json.loads(request["wish"]) == made["wish"]
    assert [event["kind"] for event in json.loads(request["events"])] == ["submitted", "approved"]


def test_pages_follow_one_another_by_the_link(instance: Instance) -> None:
    seen, address = [], "datasets?limit=2&q=%E7%99%BB%E8%AE%B0&sharing=conditional&sharing=unconditional&sharing=not-shared"
    total = instance.get(address).json()["total"]
    assert total == 3
    while True:
        response = instance.get(address, Accept=ARROW)
        seen += table(response).column("id").to_pylist()
        assert response["Huitong-Total"] == "3" and response["Huitong-Limit"] == "2"
        if not response.has_header("Link"):
            break
        target, relation = response["Link"].split("; ")
        assert relation == 'rel="next"'
        address = target.strip("<>").removeprefix("/api/v1/")
    assert sorted(seen) == ["civil.adoption", "civil.household", "civil.shelter"]


def test_a_title_that_a_spreadsheet_would_run_is_made_harmless(instance: Instance) -> None:
    first = copy(instance.stores.parties.offices(limit=1)[0][0])  # the office itself belongs to all tests
    object.__setattr__(first, "superior", "=cmd()")
    object.__setattr__(first, "title", BilingualText(zh="=1+1", en="@x"))
    instance.stores.parties.put_office(first)
    rows = list(csv.DictReader(io.StringIO(instance.get("offices?limit=1", Accept=CSV).content.decode(), newline="")))
    assert rows[0]["superior"] == "'=cmd()"
    assert json.loads(rows[0]["title"]) == {"zh": "=1+1", "en": "@x"}


def test_the_description_tells_forms_and_headers_of_a_list() -> None:
    described = api.get_openapi_schema()["paths"]["/api/v1/requests"]["get"]["responses"]
    assert {ARROW, PARQUET, CSV, "application/json"} == set(described[200]["content"])
    assert {"Link", "Huitong-Total"} <= set(described[200]["headers"])
    assert 406 in described


def test_a_result_comes_as_parquet_too(granted: Instance) -> None:  # noqa: F811
    response = granted.post("query", STATEMENT, Accept=PARQUET)
    assert table(response).equals(granted.engine.table)
    assert response["Huitong-Query"]
