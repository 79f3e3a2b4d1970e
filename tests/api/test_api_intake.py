"""A data officer loads tables of every kind, sees what was left out and why, and what the quality is; nobody else sees more than may be."""

import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from openpyxl import Workbook
from tests.api.conftest import OFFICER, Instance, words

from huitong.model.catalog import Grade, Item, ItemType

SHELTER = "datasets/civil.shelter"
HEADER = "household,division,members\n"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def keyed(instance: Instance) -> None:
    """The shelters get a primary key, so that rows can be added and replaced."""
    entry = instance.doors.catalog.dataset("civil.shelter")
    instance.doors.catalog.publish(replace(entry, primary_key=("household",)), by=OFFICER)
    csv = f"{HEADER}h1,520527000000,3\nh2,520527000000,5\n"
    assert load(instance, csv, "allow=primary-key").status_code == 201


def load(instance: Instance, body: str | bytes, query: str = "", *, kind: str = "text/csv", token: str = "officer") -> Any:
    written = body.encode() if isinstance(body, str) else body
    return instance.send(f"{SHELTER}/snapshots?{query}", written, kind, token=token)


def codes(response: Any) -> set[str]:
    return {reason["code"] for reason in response.json()["reasons"]}


def workbook(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


# --- files of every kind --------------------------------------------------------------------------------------------------


def test_a_workbook_with_a_title_above_its_header(instance: Instance) -> None:
    rows = [["Shelters of Hezhang"], ["household", "division", "members"], ["h1", "520527000000", 3]]
    taken = load(instance, workbook(("2026", rows)), kind=EXCEL).json()
    assert (taken["rows"], taken["reading"]["format"], taken["reading"]["header_row"]) == (1, "xlsx", 2)
    assert {one["what"] for one in taken["reading"]["decisions"]} >= {"format", "header"}
    assert all(one["text"] for one in taken["reading"]["decisions"])


def test_of_several_full_sheets_one_must_be_named(instance: Instance) -> None:
    rows = [["household", "division", "members"], ["h1", "520527000000", 3]]
    body = workbook(("2025", rows), ("2026", [*rows, ["h2", "520527000000", 4]]))
    unclear = load(instance, body, kind=EXCEL)
    assert unclear.status_code == 422
    assert "2025" in unclear.json()["detail"]
    named = load(instance, body, "sheet=2026", kind=EXCEL).json()
    assert (named["rows"], named["reading"]["sheet"]) == (2, "2026")


def test_json_lines(instance: Instance) -> None:
    lines = [{"household": f"h{n}", "division": "520527000000", "members": n} for n in range(3)]
    body = "".join(json.dumps(one) + "\n" for one in lines)
    taken = load(instance, body, kind="application/x-ndjson").json()
    assert (taken["rows"], taken["reading"]["format"]) == (3, "json-lines")


def test_gb18030_with_a_semicolon_is_understood_or_told(instance: Instance) -> None:
    body = "户编号;行政区划代码;家庭人口\n户一;520527000000;3\n户二;520527000000;4\n".encode("gb18030")
    understood = load(instance, body).json()
    assert (understood["rows"], understood["reading"]["encoding"], understood["reading"]["delimiter"]) == (2, "gb18030", ";")
    told = load(instance, body, "encoding=gb18030&delimiter=%3B&header_row=1").json()
    assert told["rows"] == 2
    wrong = load(instance, body, "encoding=klingon")
    assert wrong.status_code == 422
    assert load(instance, body, "delimiter=%22").status_code == 422


def test_a_file_may_have_no_quotes_at_all(instance: Instance) -> None:
    body = f'{HEADER}h"1,520527000000,3\n"h2,520527000000,4\n'
    taken = load(instance, body, "quote=")
    assert taken.status_code == 201, taken.content
    assert taken.json()["rows"] == 2


def test_an_unknown_mode_or_a_limit_below_nothing_is_told_with_what_there_is(instance: Instance) -> None:
    response = load(instance, HEADER, "mode=add&reject_limit=-1")
    assert response.status_code == 422
    assert "replace, append, merge" in response.json()["detail"]
    assert {reason["parameters"]["place"] for reason in response.json()["reasons"]} == {"mode", "reject_limit"}


# --- modes ----------------------------------------------------------------------------------------------------------------


def test_rows_are_added_and_a_key_twice_is_refused(instance: Instance) -> None:
    keyed(instance)
    added = load(instance, f"{HEADER}h3,520527000000,1\n", "mode=append").json()
    assert (added["rows"], added["mode"]) == (3, "append")
    twice = load(instance, f"{HEADER}h3,520527000000,1\n", "mode=append")
    assert twice.status_code == 422
    assert instance.get(SHELTER).json()["snapshot"]["rows"] == 3


def test_rows_are_merged_by_key(instance: Instance) -> None:
    keyed(instance)
    merged = load(instance, f"{HEADER}h2,520527000000,6\nh3,520527000000,1\n", "mode=merge").json()
    assert (merged["rows"], merged["mode"]) == (3, "merge")


def test_other_items_than_before_are_refused_until_they_are_named(instance: Instance) -> None:
    entry = instance.doors.catalog.dataset("civil.shelter")
    beds = Item("beds", words("床位数", "Beds"), ItemType.INTEGER, Grade.PUBLIC)
    instance.doors.catalog.publish(replace(entry, items=(*entry.items, beds)), by=OFFICER)
    body = "household,division,members,beds\nh1,520527000000,3,40\n"
    refused = load(instance, body)
    assert refused.status_code == 409
    assert {"schema-changed", "change-added"} <= codes(refused)
    allowed = load(instance, body, "allow=beds")
    assert allowed.status_code == 201
    assert [one["code"] for one in allowed.json()["changes"]] == ["change-added"]
    newest, *_ = instance.get(f"{SHELTER}/snapshots").json()["snapshots"]
    assert newest["changes"][0]["parameters"] == {"item": "beds", "now": "integer"}


# --- what was left out, what it is worth ----------------------------------------------------------------------------------


def test_rejected_rows_are_for_the_managing_office_alone(instance: Instance) -> None:
    version = load(instance, f"{HEADER}h1,520527000000,three\nh2,520527000000,4\n", "reject_limit=1").json()["version"]
    page = instance.get(f"{SHELTER}/snapshots/{version}/rejects", token="officer").json()
    assert page["total"] == 1
    (reject,) = page["rejects"]
    assert (reject["line"], reject["item"]) == (2, "members")
    assert "three" in reject["row"]
    for token in ("analyst", "stranger", "reviewer"):
        response = instance.get(f"{SHELTER}/snapshots/{version}/rejects", token=token)
        assert response.status_code == 403, token
        assert "three" not in response.content.decode()
    assert instance.get(f"{SHELTER}/snapshots/99/rejects", token="officer").status_code == 404


def test_quality_is_exact_for_its_own_office_and_rounded_for_others(instance: Instance) -> None:
    rows = "".join(f"h{n},520527000000,{n if n % 3 else ''}\n" for n in range(300))
    assert load(instance, HEADER + rows).status_code == 201
    own = instance.get(f"{SHELTER}/quality", token="officer").json()
    members = {one["item"]: one for one in own["items"]}["members"]
    assert (own["exact"], members["present"]) == (True, 200)
    assert members["completeness"] == pytest.approx(2 / 3)
    other = instance.get(f"{SHELTER}/quality", token="stranger").json()
    members = {one["item"]: one for one in other["items"]}["members"]
    assert (other["exact"], members["present"], members["distinct"], members["valid"]) == (False, None, None, None)
    assert members["completeness"] == 0.66


def test_a_dataset_without_a_report_says_so(instance: Instance) -> None:
    response = instance.get("datasets/civil.adoption/quality", token="officer")
    assert response.status_code == 404
    assert codes(response) == {"quality-report-unknown"}


def test_every_snapshot_is_told_newest_first(instance: Instance) -> None:
    load(instance, f"{HEADER}h1,520527000000,3\n")
    versions = [one["version"] for one in instance.get(f"{SHELTER}/snapshots").json()["snapshots"]]
    assert versions == sorted(versions, reverse=True)
    assert len(versions) == 2
    assert "parquet" not in instance.get(f"{SHELTER}/snapshots").content.decode()


def test_loads_are_told_with_what_became_of_them(instance: Instance) -> None:
    load(instance, f"{HEADER}h1,520527000000,three\n")
    instance.clock.now += timedelta(minutes=1)
    load(instance, f"{HEADER}h1,520527000000,3\n")
    done, refused = instance.get(f"{SHELTER}/loads", token="officer").json()["loads"]
    assert (done["state"], refused["state"]) == ("done", "refused")
    assert done["version"] is not None
    assert refused["reasons"][0]["text"]
    assert instance.get(f"{SHELTER}/loads", token="analyst").status_code == 403


# --- suggestions ----------------------------------------------------------------------------------------------------------


def suggested(instance: Instance) -> dict[str, Any]:
    """Household numbers turn out to be resident identity numbers."""
    from huitong.model.codes import resident_id_check_character

    numbers = [f"5205271980{1 + n % 12:02d}{1 + n % 28:02d}{n:03d}" for n in range(200)]
    rows = "".join(f"{one}{resident_id_check_character(one)},520527000000,3\n" for one in numbers)
    taken = load(instance, HEADER + rows)
    assert taken.json()["open_suggestions"] == 1
    (found,) = instance.get(f"{SHELTER}/suggestions", token="officer").json()["suggestions"]
    assert (found["item"], found["meaning"], found["state"]) == ("household", "resident-id", "open")
    assert numbers[0] not in json.dumps(found)
    return found


def test_a_confirmed_suggestion_gives_the_item_its_meaning_and_grade(instance: Instance) -> None:
    found = suggested(instance)
    assert instance.get(f"{SHELTER}/suggestions", token="stranger").status_code == 403
    wish = {"item": "household", "meaning": "resident-id", "confirm": True}
    assert instance.post(f"{SHELTER}/suggestions/decide", wish, token="analyst").status_code == 403
    decided = instance.post(f"{SHELTER}/suggestions/decide", wish, token="officer").json()["suggestions"]
    assert [one["state"] for one in decided] == ["confirmed"]
    item = instance.get(SHELTER).json()["items"][0]
    assert (item["meaning"], item["grade"]) == ("resident-id", found["grade"])
    assert instance.post(f"{SHELTER}/suggestions/decide", wish, token="officer").status_code == 409


def test_a_dismissal_needs_words(instance: Instance) -> None:
    suggested(instance)
    wish = {"item": "household", "meaning": "resident-id", "confirm": False}
    assert codes(instance.post(f"{SHELTER}/suggestions/decide", wish, token="officer")) == {"suggestion-words-missing"}
    wish["words"] = "An own number of the shelters"
    (one,) = instance.post(f"{SHELTER}/suggestions/decide", wish, token="officer").json()["suggestions"]
    assert (one["state"], one["words"], one["decided_by"]) == ("dismissed", wish["words"], "min")
    assert instance.get(SHELTER).json()["items"][0]["meaning"] is None


# --- plans and credentials ------------------------------------------------------------------------------------------------


@pytest.fixture
def inbox(instance: Instance) -> Instance:
    folder = instance.home / "inbox" / "gz-civil-affairs"
    folder.mkdir(parents=True)
    (folder / "shelter.csv").write_text(f"{HEADER}h1,520527000000,3\n", "utf-8")
    return instance


PLAN = {
    "dataset": "civil.shelter",
    "source": {"kind": "file", "address": "gz-civil-affairs/shelter.csv"},
    "every": "daily 02:30",
}


def test_a_plan_is_made_run_and_removed(inbox: Instance) -> None:
    made = inbox.post("load-plans", PLAN, token="officer")
    assert made.status_code == 201, made.content
    plan = made.json()
    assert plan["next_run"] == "2026-11-23T18:30:00Z", "half past two of the morning in Guizhou"
    assert [one["id"] for one in inbox.get("load-plans", token="officer").json()["plans"]] == [plan["id"]]
    assert inbox.get("load-plans", token="stranger").json()["plans"] == []
    run = inbox.post(f"load-plans/{plan['id']}/run", {}, token="officer").json()
    assert (run["state"], run["plan"], run["rejected_rows"]) == ("done", plan["id"], 0)
    assert inbox.post(f"load-plans/{plan['id']}/remove", {}, token="stranger").status_code in (403, 404)
    assert inbox.post(f"load-plans/{plan['id']}/remove", {}, token="officer").json()["plans"] == []


def test_a_plan_of_another_office_or_of_a_time_that_is_none_is_not_made(inbox: Instance) -> None:
    assert inbox.post("load-plans", PLAN, token="analyst").status_code == 403
    assert inbox.post("load-plans", PLAN | {"every": "now and then"}, token="officer").status_code == 422
    outside = PLAN | {"source": {"kind": "file", "address": "../../etc/passwd"}}
    refused = inbox.post("load-plans", outside, token="officer")
    assert refused.status_code in (403, 422)
    assert str(inbox.home) not in refused.content.decode()


def test_a_source_is_looked_at_and_loaded_once(inbox: Instance) -> None:
    with closing(sqlite3.connect(inbox.home / "inbox" / "gz-civil-affairs" / "shelter.db")) as database, database:
        database.execute("CREATE TABLE shelter (household TEXT, division TEXT, members INTEGER)")
        database.execute("INSERT INTO shelter VALUES ('h1', '520527000000', 3)")
    source = {"kind": "database", "address": "sqlite:///gz-civil-affairs/shelter.db", "table": "shelter"}
    looked = inbox.post("sources/inspect", {"source": source}, token="officer").json()
    assert [one["name"] for one in looked["columns"]] == ["household", "division", "members"]
    assert looked["rows"] == 1
    assert "520527000000" not in json.dumps(looked["columns"])
    before = inbox.get(SHELTER).json()["snapshot"]["version"]
    for position, one in enumerate((source, PLAN["source"]), 1):
        taken = inbox.post(f"{SHELTER}/loads", {"source": one}, token="officer")
        assert taken.status_code == 201, taken.content
        assert (taken.json()["version"], taken.json()["rows"]) == (before + position, 1)
    assert inbox.post("sources/inspect", {"source": source}, token="analyst").status_code == 403


def test_a_database_that_is_not_allowed_is_not_asked(instance: Instance) -> None:
    source = {"kind": "database", "address": "postgresql://db.example:5432/civil", "table": "public.shelter"}
    refused = instance.post("sources/inspect", {"source": source}, token="officer")
    assert refused.status_code in (403, 422)
    assert "db.example" not in refused.json()["title"]


def test_a_credential_never_comes_back(instance: Instance) -> None:
    kept = {"name": "civil-db", "server": "db.example:5432", "user": "reader-of-civil", "password": "correct horse"}
    made = instance.post("credentials", kept, token="officer")
    assert (made.status_code, made.json()) == (201, {"name": "civil-db", "server": "db.example:5432"})
    listed = instance.get("credentials", token="officer")
    assert listed.json() == {"credentials": [{"name": "civil-db", "server": "db.example:5432"}]}
    for response in (made, listed, instance.post("credentials", kept | {"user": ""}, token="officer")):
        assert "correct horse" not in response.content.decode()
        assert "reader-of-civil" not in response.content.decode()
    assert instance.get("credentials", token="analyst").status_code == 403
    assert instance.post("credentials/civil-db/forget", {}, token="officer").json() == {"credentials": []}
    assert instance.post("credentials/civil-db/forget", {}, token="officer").status_code == 404
    for file in (instance.home / "keys").rglob("*"):
        assert not file.is_file() or file.stat().st_mode & 0o077 == 0, file


# --- a person leaves ------------------------------------------------------------------------------------------------------


def test_a_person_leaves_every_kept_snapshot(instance: Instance) -> None:
    load(instance, f"{HEADER}h1,520527000000,3\nh2,520527000000,5\nh3,520527000000,5\n")
    wish = {
        "datasets": ["civil.shelter"],
        "identifier": "h2",
        "legal_basis": "Personal Information Protection Law, article 47",
        "words": "At the person's request",
    }
    assert instance.post("erasures", wish, token="analyst").status_code == 403
    erased = instance.post("erasures", wish, token="officer")
    assert erased.status_code == 200, erased.content
    (one,) = erased.json()["datasets"]
    assert (one["dataset"], one["rows"], one["waiting"]) == ("civil.shelter", 2, [])
    left = instance.get(f"{SHELTER}/snapshots").json()["snapshots"]
    assert [shown["rows"] for shown in left if shown["removed_at"] is None] == [2, 1]
    for promise in instance.stores.ledger.pending(limit=1000):
        assert '"h2"' not in promise.payload.decode() if isinstance(promise.payload, bytes) else promise.payload
