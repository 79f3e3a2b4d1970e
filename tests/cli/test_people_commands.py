"""People, tokens and staff mode on the command line, over the real API with real accounts."""

import json

import pytest
from tests.api.conftest import Instance, divisions, instance, seed_lake, with_people
from tests.cli.test_officer_commands import Run, huitong_, table
from tests.portal.accounts.one_time_codes import one_time_code

from huitong.catalog.divisions import Divisions
from huitong.portal.accounts.actions import instance_operator

__all__ = ["divisions", "huitong_", "instance", "seed_lake"]
ROOT = instance_operator("root")


@pytest.fixture
def town(db: None, instance: Instance, divisions: Divisions) -> Instance:
    return with_people(instance, divisions)


@pytest.fixture
def operator(town: Instance) -> tuple[str, str]:
    """Token of an operator's post, and the key of its app."""
    accounts = town.doors.accounts
    secret = accounts.new_secret()
    accounts.set_up_app(secret, one_time_code(secret, town.clock()), by=accounts.posts_of("shi")[0])
    town.clock.advance(seconds=30)
    return accounts.issue_token("shi@gz-education", by=ROOT).text, secret


def test_a_day_in_staff_mode(town: Instance, operator: tuple[str, str], huitong_: Run) -> None:
    token, secret = operator
    register = ("person", "register", "nightly", "--name", "夜间装载", "--office", "gz-education", "--role", "analyst", "--keeper", "wen")
    code, _, err = huitong_(*register, who=token)
    assert (code, "staff" in err or "operator" in err) == (6, True)
    code, out, err = huitong_("staff", "status", who=token)
    assert (code, "Staff mode open" in out and "no" in out) == (0, True)
    code, _, err = huitong_("staff", "open", "--words", "register the loader", who=token)
    assert (code, "fresh code" in err) == (6, True)
    given = one_time_code(secret, town.clock())
    code, out, _ = huitong_("staff", "open", "--words", "register the loader", "--minutes", "5", "--code", given, who=token)
    assert (code, "register the loader" in out) == (0, True)
    assert huitong_(*register, who=token)[0] == 0
    code, out, err = huitong_("person", "list", "--office", "gz-education", "--format", "csv", who=token)
    assert [(one["account"], one["keeper"]) for one in table(out)] == [("nightly", "wen"), ("shi", ""), ("wen", "")]
    move = ("person", "move", "wen", "--post", "wen@gz-education", "--office", "gz-civil-affairs", "--words", "32号")
    code, out, _ = huitong_(*move, who=token)
    assert (code, "wen@gz-civil-affairs" in out) == (0, True)
    code, out, _ = huitong_("person", "list", "--format", "json", who=token)
    assert [one["kept"] for one in json.loads(out)["posts"]] == [False, True]
    assert huitong_("person", "keeper", "nightly", "shi", who=token)[0] == 0
    assert huitong_("person", "add-post", "wen", "--office", "gz-education", "--role", "analyst", who=token)[0] == 0
    assert huitong_("person", "end-post", "wen~2@gz-education", who=token)[0] == 0
    code, out, err = huitong_("person", "leave", "shi", "--words", "33号", who=token)
    assert (code, "Account closed" in out and "yes" in out, "nightly" in err) == (0, True, True)
    assert huitong_("staff", "close", who=token)[0] == 5


def test_tokens_of_ones_own(town: Instance, huitong_: Run) -> None:
    mine = town.doors.accounts.issue_token("wen@gz-education", by=ROOT).text
    code, out, _ = huitong_("token", "issue", "--scope", "read", "--days", "7", "--label", "notebook", "--format", "json", who=mine)
    made = json.loads(out)
    assert (code, made["scopes"]) == (0, ["read"])
    assert huitong_("whoami", who=made["token"])[0] == 0
    code, out, err = huitong_("token", "issue", who=made["token"])
    assert (code, out) == (6, ""), err
    code, out, _ = huitong_("token", "list", "--format", "csv", who=mine)
    assert {one["label"] for one in table(out)} == {"", "notebook"}
    assert huitong_("token", "revoke", made["token"], who=mine)[0] == 0
    assert huitong_("whoami", who=made["token"])[0] == 5
