"""Finding and publishing over HTTP."""

from tests.api.conftest import Instance

from huitong.catalog.toml import values_of


def test_whoami_names_the_post_and_its_roles(instance: Instance) -> None:
    me = instance.get("whoami").json()
    assert (me["person"], me["post"], me["roles"]) == ("wen", "wen@gz-education", ["analyst"])
    assert me["office"]["title"] == {"zh": "贵州省教育厅", "en": "Education Department of Guizhou"}


def test_divisions_are_found_by_name_level_and_place(instance: Instance) -> None:
    page = instance.get("divisions?q=赫章&level=county").json()
    assert [one["name"] for one in page["divisions"]] == ["赫章县"]
    code = page["divisions"][0]["code"]
    assert instance.get(f"divisions/{code}").json()["level"] == "county"
    below = instance.get(f"divisions?under={code}&level=township&limit=3").json()
    assert below["total"] > 3
    assert len(below["divisions"]) == 3
    assert all(one["code"].startswith("520527") for one in below["divisions"])


def test_offices_are_found_in_both_languages(instance: Instance) -> None:
    assert [one["id"] for one in instance.get("offices?q=民政").json()["offices"]] == ["gz-civil-affairs"]
    assert [one["id"] for one in instance.get("offices?q=education").json()["offices"]] == ["gz-education"]
    assert instance.get("offices/gz-education").json()["level"] == "province"


def test_datasets_are_found_in_both_languages(instance: Instance) -> None:
    assert [one["id"] for one in instance.get("datasets?q=低保").json()["datasets"]] == ["civil.household"]
    assert [one["id"] for one in instance.get("datasets?q=shelter").json()["datasets"]] == ["civil.shelter"]
    assert instance.get("datasets?sharing=not-shared").json()["total"] == 1
    assert instance.get("datasets?office=gz-education").json()["total"] == 0
    assert instance.get("datasets?limit=1&offset=1").json()["total"] == 3


def test_an_entry_answers_whether_how_and_by_when(instance: Instance) -> None:
    conditional = instance.get("datasets/civil.household").json()["availability"]
    assert conditional["kind"] == "needs-approval"
    assert conditional["working_days"] == 10
    assert conditional["answer_by"] == "2026-12-07"
    assert instance.get("datasets/civil.shelter").json()["availability"]["kind"] == "at-once"
    refused = instance.get("datasets/civil.adoption").json()["availability"]
    assert refused["kind"] == "not-shared"
    assert "article 21" in refused["text"]


def test_an_entry_never_says_where_its_files_lie(instance: Instance) -> None:
    text = instance.get("datasets/civil.household").content.decode()
    assert "parquet" not in text
    assert instance.get("datasets/civil.household").json()["snapshot"]["rows"] == 2


def test_an_office_publishes_its_own_entry_and_no_other(instance: Instance) -> None:
    entry = values_of(instance.doors.catalog.dataset("civil.shelter")) | {"id": "civil.kitchen"}
    entry["published_on"] = "2020-01-01"
    made = instance.post("datasets", entry, token="officer")
    assert made.status_code == 201
    assert made.json()["published_on"] == "2026-11-23"
    refused = instance.post("datasets", entry, token="analyst")
    assert refused.status_code == 403
    assert {reason["code"] for reason in refused.json()["reasons"]} == {"role-missing", "dataset-of-other-office"}


def test_an_entry_with_faults_is_told_all_of_them(instance: Instance) -> None:
    entry = values_of(instance.doors.catalog.dataset("civil.shelter")) | {"classification": "none", "collector": "nobody"}
    entry.pop("published_on")
    response = instance.post("datasets", entry, token="officer")
    assert response.status_code == 422
    assert {reason["code"] for reason in response.json()["reasons"]} == {"office-unknown", "classification-invalid"}
