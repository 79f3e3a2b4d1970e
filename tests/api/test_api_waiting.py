"""Supplements, lateness, extension and delegation over HTTP."""

from datetime import date

from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH


def asked(instance: Instance) -> str:
    made = instance.post("requests", WISH)
    assert made.status_code == 201, made.content
    return str(made.json()["id"])


def test_a_supplement_is_asked_for_and_supplied(instance: Instance) -> None:
    number = asked(instance)
    waits = instance.post(f"requests/{number}/ask-supplement", {"words": "缺条款"}, token="reviewer").json()
    assert (waits["state"], waits["answer_due"]) == ("supplement-asked", None)
    assert waits["events"][-1]["due"] > "2026-11-23"
    back = instance.post(f"requests/{number}/supplement", {"words": "第五十八条", "until": "2026-12-20"})
    assert back.status_code == 200, back.content
    assert back.json()["state"] == "under-review"
    assert back.json()["wish"]["until"] == "2026-12-20", "what is asked now"
    assert back.json()["wish"]["items"] == instance.get(f"requests/{number}").json()["events"][0]["wish"]["items"]


def test_a_late_request_is_listed_for_both_offices_and_escalated_once(instance: Instance) -> None:
    number = asked(instance)
    assert instance.get("late-requests").json()["total"] == 0
    assert instance.post(f"requests/{number}/escalate", {}).status_code == 409
    instance.clock.advance(days=20)
    for token in ("analyst", "reviewer"):
        assert [one["id"] for one in instance.get("late-requests", token=token).json()["requests"]] == [number]
    assert instance.get("late-requests", token="stranger").json()["total"] == 0
    assert instance.post(f"requests/{number}/escalate", {"words": "多次联系"}).json()["events"][-1]["kind"] == "escalated"
    assert instance.post(f"requests/{number}/escalate", {}).json()["code"] == "request-escalated"
    assert instance.post(f"requests/{number}/mediate", {"words": "x", "answer_by": "2026-12-20"}).status_code == 403


def test_a_grant_is_extended_and_tells_its_events(instance: Instance) -> None:
    grant = instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None, "until": "2026-12-20"}).json()["grant"]
    made = instance.post(f"grants/{grant}/extend", {"until": "2027-02-01"})
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["continues"], made.json()["grant"]) == ("granted", grant, grant)
    assert instance.get(f"grants/{grant}").json()["version"] == 2
    events = instance.get(f"grants/{grant}/events", token="reviewer").json()["events"]
    assert [event["kind"] for event in events] == ["made", "activated", "extended"]
    assert instance.get(f"grants/{grant}/events", token="stranger").status_code == 404
    assert instance.post(f"grants/{grant}/renew", {"until": "2027-05-01"}).json()["code"] == "grant-still-in-force"


def test_a_colleague_answers_in_the_place_of_a_reviewer(instance: Instance) -> None:
    number = asked(instance)
    assert instance.post(f"requests/{number}/approve", {}, token="officer").status_code == 403
    days = {"to": "min", "valid_from": "2026-11-23", "valid_until": "2026-11-27"}
    made = instance.post("delegations", days, token="reviewer")
    assert made.status_code == 201, made.content
    assert made.json()["standing"] is True
    granted = instance.post(f"requests/{number}/approve", {}, token="officer").json()
    assert (granted["state"], granted["events"][-1]["on_behalf_of"]) == ("granted", "shen")
    ended = instance.post(f"delegations/{made.json()['id']}/end", {}, token="reviewer").json()
    assert ended["standing"] is False
    assert [one["id"] for one in instance.get("delegations", token="officer").json()["delegations"]] == [made.json()["id"]]
    assert instance.get("delegations", token="stranger").json()["delegations"] == []
    assert date.fromisoformat(ended["valid_until"]) == date(2026, 11, 27)


def test_further_terms_are_asked_for_shown_and_narrowed(instance: Instance) -> None:
    condition = [{"item": "members", "comparator": "at-least", "values": ["2"]}]
    quota = {"period": "day", "rows": 500, "queries": 20}
    made = instance.post("requests", {**WISH, "condition": condition, "quota": quota, "linkage": "alone"})
    assert made.status_code == 201, made.content
    wish = made.json()["wish"]
    assert wish["condition"] == condition and wish["quota"] == {**quota, "calls": None} and wish["linkage"] == "alone"
    less = {"quota": {**quota, "rows": 100}, "condition": [{"item": "members", "comparator": "at-least", "values": ["4"]}]}
    granted = instance.post(f"requests/{made.json()['id']}/approve", {**less, "words": "够用"}, token="reviewer")
    assert granted.status_code == 200, granted.content
    terms = instance.get(f"grants/{granted.json()['grant']}").json()
    assert terms["quota"]["rows"] == 100
    assert terms["condition"] == less["condition"], "the tighter comparison stands for both"


def test_a_wider_quota_than_asked_for_is_not_a_narrowing(instance: Instance) -> None:
    made = instance.post("requests", {**WISH, "quota": {"period": "day", "rows": 500}}).json()["id"]
    wider = instance.post(f"requests/{made}/approve", {"quota": {"period": "day", "rows": 501}}, token="reviewer")
    assert wider.status_code == 422 and wider.json()["code"] == "narrowing-quota-wider"
