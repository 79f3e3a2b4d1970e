"""What an office has and could have, over HTTP."""

import pyarrow.ipc
from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH


def told(instance: Instance, query: str = "", *, token: str = "analyst") -> dict[str, str]:
    answer = instance.get(f"usable{query}", token=token)
    assert answer.status_code == 200, answer.content
    return {one["id"]: one["availability"]["kind"] for one in answer.json()["datasets"]}


def test_every_entry_says_whether_how_and_by_when(instance: Instance) -> None:
    assert told(instance) == {"civil.adoption": "not-shared", "civil.household": "needs-approval", "civil.shelter": "at-once"}
    number = instance.post("requests", WISH).json()["id"]
    grant = instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None, "until": "2026-12-20"}).json()["grant"]
    assert told(instance) == {"civil.adoption": "not-shared", "civil.household": "under-review", "civil.shelter": "granted"}
    first, second = instance.get("usable?can=granted&can=under-review").json()["datasets"]
    assert (first["availability"]["request"], second["availability"]["grants"]) == (number, [grant])
    assert second["availability"]["until"] == "2026-12-20"
    assert second["availability"]["text"] == instance.get("datasets/civil.shelter").json()["availability"]["text"]
    instance.post(f"grants/{grant}/revoke", {"words": "不再需要"})
    assert told(instance, "?can=granted") == {}


def test_the_list_says_what_each_entry_says(instance: Instance) -> None:
    for token in ("analyst", "officer", "reviewer", "stranger", "operator"):
        for one in instance.get("usable", token=token).json()["datasets"]:
            assert one["availability"] == instance.get(f"datasets/{one['id']}", token=token).json()["availability"]


def test_pages_have_a_total_and_come_as_tables_too(instance: Instance) -> None:
    page = instance.get("usable?limit=1&offset=1").json()
    assert ([one["id"] for one in page["datasets"]], page["total"]) == (["civil.household"], 3)
    answer = instance.get("usable", Accept="application/vnd.apache.arrow.stream")
    assert pyarrow.ipc.open_stream(answer.content).read_all()["id"].to_pylist()[0] == "civil.adoption"
    assert instance.get("usable?can=sometimes").status_code == 422
