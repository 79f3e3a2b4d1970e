"""People, tokens and staff mode over the API, with real accounts and real tokens."""

import re
from typing import Any

import pytest
from tests.api.conftest import Instance, with_people
from tests.portal.accounts.one_time_codes import one_time_code

from huitong.catalog.divisions import Divisions
from huitong.portal.accounts.actions import instance_operator
from huitong.portal.accounts.tokens import Scope

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

ROOT = instance_operator("root")


@pytest.fixture
def town(db: None, instance: Instance, divisions: Divisions) -> Instance:
    return with_people(instance, divisions)


@pytest.fixture
def operator(town: Instance) -> str:
    """A token of the operator's post."""
    return town.doors.accounts.issue_token("shi@gz-education", by=ROOT).text


@pytest.fixture
def staff(town: Instance, operator: str) -> str:
    """The same with staff mode open."""
    accounts = town.doors.accounts
    secret = accounts.new_secret()
    accounts.set_up_app(secret, one_time_code(secret, town.clock()), by=accounts.posts_of("shi")[0])
    town.clock.advance(seconds=30)
    wish = {"words": "register the new analyst", "minutes": 30, "code": one_time_code(secret, town.clock())}
    opened = town.post("staff/open", wish, token=operator)
    assert (opened.status_code, opened.json()["open"]) == (200, True), opened.content
    return operator


def said(response: Any) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def test_without_staff_mode_an_operators_token_opens_no_door(town: Instance, operator: str) -> None:
    """Not those of people, and not those that other parts of the house guard by the role."""
    assert town.get("whoami", token=operator).json()["roles"] == []
    person = {"account": "qian", "name": "钱", "office": "gz-education", "roles": ["analyst"]}
    refused = town.post("people", person, token=operator)
    assert said(refused) == (403, "staff-mode-closed") and "huitong staff open" in refused.json()["detail"]
    assert said(town.post("calendar", {"calendar": "x", "dry_run": True}, token=operator)) == (403, "staff-mode-closed")
    assert said(town.post("people", person)) == (403, "operator-only"), "whoever is no operator learns nothing of staff mode"
    wish = {"successor": "gz-civil-affairs", "on": "2026-11-01", "words": "黔编〔2026〕18号"}
    assert said(town.post("offices/gz-education/succeed", wish, token=operator))[0] in (403, 422)
    assert said(town.post("staff/open", {"words": "why"}, token=operator)) == (403, "second-factor-missing")
    assert town.get("staff", token=operator).json() == {
        "post": "shi@gz-education", "may_open": True, "open": False, "words": None, "opened_at": None, "until": None,
    }  # fmt: skip


def test_from_coming_to_leaving(town: Instance, staff: str) -> None:
    person = {"account": "qian", "name": "钱", "office": "gz-education", "roles": ["analyst"], "password": True}
    made = town.post("people", person, token=staff)
    assert made.status_code == 201
    assert len(made.json()["password"]) == 16 and made.json()["post"] == "qian@gz-education"
    more = town.post("people/qian/posts", {"office": "gz-civil-affairs", "roles": ["reviewer"]}, token=staff)
    assert more.json()["post"] == "qian@gz-civil-affairs"
    wish = {"post": "qian@gz-education", "office": "gz-medical-security", "words": "黔人〔2026〕32号"}
    assert said(town.post("people/wen/move", wish, token=staff)) == (404, "post-unknown")
    moved = town.post("people/qian/move", wish, token=staff).json()
    assert (moved["ended"], moved["opened"]) == (["qian@gz-education"], "qian@gz-medical-security")
    assert town.post("posts/qian@gz-civil-affairs/end", {}, token=staff).json() == {"post": "qian@gz-civil-affairs"}
    left = town.post("people/qian/leave", {"words": "黔人〔2026〕33号"}, token=staff).json()
    assert (left["closed"], left["ended"]) == (True, ["qian@gz-medical-security"])
    assert said(town.post("people/qian/leave", {}, token=staff)) == (404, "account-unknown")


def test_who_is_there_is_told_to_those_who_are_there(town: Instance, staff: str) -> None:
    service = {"account": "nightly", "name": "夜", "office": "gz-education", "roles": ["analyst"], "keeper": "wen"}
    assert town.post("people", service, token=staff).json()["kind"] == "service"
    found = town.get("people").json()
    assert found["office"]["id"] == "gz-education" and found["total"] == 3
    assert [(one["person"], one["keeper"]) for one in found["posts"]] == [("nightly", "wen"), ("shi", None), ("wen", None)]
    assert said(town.get("people?office=gz-civil-affairs")) == (403, "people-of-another-office")
    assert town.get("people?office=gz-civil-affairs", token=staff).json()["total"] == 2
    assert town.get("people?limit=1&offset=1").json()["posts"][0]["person"] == "shi"


def test_a_token_gives_away_no_more_than_it_holds(town: Instance) -> None:
    accounts = town.doors.accounts
    narrow = accounts.issue_token("wen@gz-education", by=ROOT, scopes=[Scope.READ, Scope.MANAGE]).text
    assert said(town.post("tokens", {"scopes": ["use"]}, token=narrow)) == (403, "token-gives-more")
    made = town.post("tokens", {"days": 7, "label": "notebook"}, token=narrow).json()
    assert made["scopes"] == ["manage", "read"] and re.match(r"ht_[a-z2-9]{10}_", made["token"])
    assert said(town.post("tokens", {"post": "min@gz-civil-affairs"}, token=narrow)) == (403, "operator-only")
    listed = town.get("tokens", token=made["token"]).json()
    assert listed["total"] == 2 and made["token"] not in str(listed)
    assert town.post(f"tokens/{made['prefix']}/revoke", {}, token=narrow).status_code == 200
    assert said(town.get("whoami", token=made["token"])) == (401, "token-revoked")
    read_only = accounts.issue_token("wen@gz-education", by=ROOT, scopes=[Scope.READ]).text
    assert said(town.post("tokens", {}, token=read_only)) == (403, "token-scope-missing")


def test_an_operator_in_staff_mode_issues_for_another_on_a_mandate(town: Instance, staff: str) -> None:
    wish = {"post": "min@gz-civil-affairs", "scopes": ["read"]}
    assert said(town.post("tokens", wish, token=staff)) == (403, "mandate-missing")
    assert town.post("tokens", wish | {"words": "letter 7 of civil affairs"}, token=staff).status_code == 201
    assert town.get("tokens?account=min", token=staff).json()["total"] == 1
    assert said(town.get("tokens?account=min")) == (403, "operator-only")


def test_a_keeper_runs_the_tokens_of_a_service(town: Instance, staff: str) -> None:
    service = {"account": "nightly", "name": "夜", "office": "gz-education", "roles": ["analyst"], "keeper": "wen"}
    town.post("people", service, token=staff)
    keeper = town.doors.accounts.issue_token("wen@gz-education", by=ROOT).text
    made = town.post("tokens", {"post": "nightly@gz-education", "scopes": ["read"]}, token=keeper).json()
    assert town.get("whoami", token=made["token"]).json()["person"] == "nightly"
    assert town.post("people/nightly/keeper", {"keeper": "shi"}, token=keeper).json() == {"service": "nightly", "keeper": "shi"}
    assert said(town.post("tokens", {"post": "nightly@gz-education"}, token=keeper)) == (403, "operator-only")
    assert town.post("people/shi/leave", {}, token=staff).json()["services_without_keeper"] == ["nightly"]
    assert said(town.get("whoami", token=made["token"])) == (401, "token-without-keeper")


def test_staff_mode_ends_by_hand_and_by_the_clock(town: Instance, staff: str) -> None:
    assert town.get("whoami", token=staff).json()["roles"] == ["operator"]
    assert town.get("staff", token=staff).json()["words"] == "register the new analyst"
    assert said(town.post("staff/open", {"words": "again", "code": "1"}, token=staff)) == (409, "staff-already-open")
    town.clock.advance(minutes=30)
    assert town.get("whoami", token=staff).json()["roles"] == []
    assert said(town.post("staff/close", {}, token=staff)) == (409, "staff-not-open")


def test_many_wrong_codes_wait(town: Instance, staff: str) -> None:
    town.post("staff/close", {}, token=staff)
    answers = [said(town.post("staff/open", {"words": "why", "code": "000000"}, token=staff)) for _ in range(6)]
    assert answers == [(403, "second-factor-wrong")] * 5 + [(403, "tries-too-many")]


def test_a_token_issued_with_another_does_not_outlive_it(town: Instance) -> None:
    """A token for a day in the wrong hands must not become one for a year."""
    from datetime import timedelta

    short = town.doors.accounts.issue_token("wen@gz-education", by=ROOT, lifetime=timedelta(days=1))
    made = town.post("tokens", {"label": "more"}, token=short.text)
    assert made.status_code == 201
    assert made.json()["expires_at"][:16] == short.expires_at.isoformat()[:16]
    assert said(town.post("tokens", {"days": 366}, token=short.text)) == (403, "token-outlives")
