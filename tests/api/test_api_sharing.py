"""Asking, answering, revoking over HTTP."""

from tests.api.conftest import Instance

WISH = {
    "dataset": "civil.household",
    "purpose": "education",
    "legal_basis": "Education law, article 38",
    "items": [{"item": "household"}, {"item": "members", "mask": {"kind": "clear"}}],
    "rows": {"division": "520527000000"},
    "until": "2027-06-30",
}


def test_a_conditional_request_waits_and_is_granted_by_the_reviewer(instance: Instance) -> None:
    asked = instance.post("requests", WISH)
    assert asked.status_code == 201
    request = asked.json()
    assert (request["state"], request["answer_due"], request["grant"]) == ("under-review", "2026-12-07", None)
    assert instance.get("datasets/civil.household").json()["availability"]["kind"] == "under-review"
    assert [one["id"] for one in instance.get("requests?as=provider", token="reviewer").json()["requests"]] == [request["id"]]

    narrower = {"until": "2027-01-31", "words": "For the bursaries"}
    answered = instance.post(f"requests/{request['id']}/approve", narrower, token="reviewer")
    assert answered.status_code == 200
    assert answered.json()["state"] == "granted"
    grant = instance.get(f"grants/{answered.json()['grant']}").json()
    assert grant["valid_until"] == "2027-01-31T16:00:00Z"
    assert grant["rows"] == {"item": "division", "division": "520527000000"}
    assert [one["id"] for one in instance.get("grants", token="reviewer").json()["grants"]] == [grant["id"]]
    assert instance.get("datasets/civil.household").json()["availability"]["grants"] == [grant["id"]]


def test_a_refusal_carries_its_coded_reason(instance: Instance) -> None:
    number = instance.post("requests", WISH).json()["id"]
    refused = instance.post(f"requests/{number}/refuse", {"reason": "refused-no-duty"}, token="reviewer").json()
    assert refused["state"] == "refused"
    assert refused["events"][-1]["reason"] == "refused-no-duty"
    again = instance.post(f"requests/{number}/approve", {}, token="reviewer")
    assert again.status_code == 409
    assert again.json()["code"] == "request-answered"


def test_only_the_managing_office_answers(instance: Instance) -> None:
    number = instance.post("requests", WISH).json()["id"]
    assert instance.post(f"requests/{number}/approve", {}, token="analyst").status_code == 403
    assert instance.post(f"requests/{number}/approve", {}, token="stranger").status_code == 404
    assert instance.get(f"requests/{number}", token="stranger").status_code == 404


def test_the_office_that_asked_takes_back(instance: Instance) -> None:
    number = instance.post("requests", WISH).json()["id"]
    assert instance.post(f"requests/{number}/withdraw", {}).json()["state"] == "withdrawn"


def test_unconditional_is_granted_at_once_and_not_shared_is_refused_with_its_basis(instance: Instance) -> None:
    assert instance.post("requests", WISH | {"dataset": "civil.shelter"}).json()["state"] == "granted"
    refused = instance.post("requests", WISH | {"dataset": "civil.adoption"}).json()
    assert refused["state"] == "refused"
    assert refused["events"][-1]["words"] == "Regulation of Guizhou Province, article 21"


def test_revoking_ends_a_grant_and_says_why(instance: Instance) -> None:
    number = instance.post("requests", WISH | {"dataset": "civil.shelter"}).json()["grant"]
    revoked = instance.post(f"grants/{number}/revoke", {"words": "The programme has ended"}, token="reviewer").json()
    assert (revoked["state"], revoked["valid"], revoked["revoked_because"]) == ("revoked", False, "The programme has ended")
    assert instance.post(f"grants/{number}/revoke", {"words": "Again"}, token="reviewer").status_code == 409


def test_an_impossible_wish_names_every_fault(instance: Instance) -> None:
    response = instance.post("requests", WISH | {"purpose": "curiosity", "until": "2020-01-01"})
    assert response.status_code == 422
    assert {reason["code"] for reason in response.json()["reasons"]} == {"purpose-unknown", "until-passed"}


def test_a_refusal_for_a_role_names_the_role_and_who_gives_roles(instance: Instance) -> None:
    number = instance.post("requests", WISH).json()["id"]
    refused = instance.post(f"requests/{number}/approve", {}, token="officer").json()
    assert "role-missing" in {one["code"] for one in refused["reasons"]}
    assert "the role reviewer" in refused["detail"] and "huitong person add-post" in refused["detail"]
    chinese = instance.post(f"requests/{number}/approve", {}, token="officer", Accept_Language="zh-CN").json()["detail"]
    assert "“审核员”" in chinese and "reviewer" not in chinese


def test_the_purposes_there_are_stand_in_the_refusal_and_in_a_list(instance: Instance) -> None:
    listed = instance.get("purposes").json()["purposes"]
    assert {"code": "education", "title": {"zh": "教育管理和资助", "en": "Education and support of pupils and students"}} in listed
    refused = instance.post("requests", WISH | {"purpose": "curiosity"}).json()
    assert all(one["code"] in refused["detail"] for one in listed)
