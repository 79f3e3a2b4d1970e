"""What stands beside the rows tells no more than the grant gives: a reason, a preview, a quality report, what is said of a file."""

import json

import pytest
from tests.spec.doors.doors_world import ALL_CLEAR, STRANGER, Instance, nanming
from tests.spec.governed.governed_world import CANARY_NUMBERS, CLEAR, PERSON

CANARIES = ("CANARY", *(str(number) for number in CANARY_NUMBERS))


def tells_nothing(text: str) -> None:
    assert not [canary for canary in CANARIES if canary in text]


def test_why_tells_names_and_masks_never_a_value(instance: Instance) -> None:
    instance.put(nanming(ALL_CLEAR))
    body = {"sql": "SELECT name, phone FROM civil.person WHERE salary = 987654321", "purpose": "poverty-relief"}
    tells_nothing(instance.post("why", body).content.decode().replace(body["sql"], ""))


@pytest.mark.parametrize("token", ["analyst", "stranger"])
def test_the_page_of_a_dataset_shows_no_row(instance: Instance, token: str) -> None:
    tells_nothing(instance.get("datasets/civil.person", token=token).content.decode())
    for beside in ("sample", "quality", "snapshots"):
        tells_nothing(instance.get(f"datasets/civil.person/{beside}", token=token).content.decode())


def test_what_is_told_of_an_extract_is_of_its_rows_alone(instance: Instance) -> None:
    """The size of the file and its rows are those of the county; only the size of the whole snapshot, which the catalogue tells to all,
    stands beside."""
    instance.put(nanming({"name": CLEAR}))
    made = instance.post("extracts", {"grant": "G-civil.person"}).json()
    instance.platform.extracts.run_waiting()
    told = instance.get(f"extracts/{made['id']}")
    tells_nothing(told.content.decode())
    assert told.json()["rows"] == 4
    assert told.json()["rows_expected"] == instance.stores.catalog.current_snapshot("civil.person").rows


def test_extracts_of_another_office_do_not_exist(instance: Instance) -> None:
    made = instance.post("extracts", {"grant": "G-civil.person"}).json()
    instance.platform.extracts.run_waiting()
    assert instance.get("extracts", token="stranger").json()["total"] == 0
    for answer in (
        instance.get(f"extracts/{made['id']}", token="stranger"),
        instance.post(f"extracts/{made['id']}/addresses", {}, token="stranger"),
        instance.get("extracts/x-0000000000000000", token="stranger"),
    ):
        assert answer.status_code == 404
        assert [one["code"] for one in answer.json()["reasons"]] == ["extract-unknown"]


def test_the_grant_of_another_office_does_not_exist(instance: Instance) -> None:
    assert STRANGER.office != "gz-rural"
    held = instance.post("extracts", {"grant": "G-civil.person"}, token="stranger")
    never = instance.post("extracts", {"grant": "G-never"}, token="stranger")
    assert held.status_code == never.status_code == 404
    assert [one["code"] for one in held.json()["reasons"]] == [one["code"] for one in never.json()["reasons"]] == ["grant-unknown"]


def test_a_failure_tells_no_row_no_path_and_no_statement(instance: Instance) -> None:
    made = instance.post("extracts", {"grant": "G-civil.person"}).json()
    instance.governed.engine.fails_with = RuntimeError(f"Conversion Error: CANARY {instance.home} SELECT")
    instance.platform.extracts.run_waiting()
    told = instance.get(f"extracts/{made['id']}").json()
    assert told["state"] == "failed"
    assert [one["code"] for one in told["reasons"]] == ["query-failed"]
    assert str(instance.home) not in json.dumps(told)
    tells_nothing(json.dumps(told))
    assert PERSON.id in told["dataset"]
