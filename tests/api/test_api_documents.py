"""The documents of a grant over HTTP: for whom, in which form, and what the ledger says of them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.api.conftest import HEZHANG, TOKENS, Instance, actor
from tests.api.test_api_sharing import WISH

from huitong.model.party import Role
from huitong.sharing.document import read_agreement

REGULATOR = actor("yun", "gz-medical-security", Role.REGULATOR)
PEOPLE = {"regulator": REGULATOR, "county-regulator": replace(REGULATOR, division=HEZHANG)}


@pytest.fixture(autouse=True)
def regulators(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A regulator of the province, where the providing office lies, and one of a county."""
    accounts = type(instance.doors.accounts)
    ask = accounts.actor_for_token
    monkeypatch.setattr(
        accounts, "actor_for_token", lambda self, text, *, scope=None: PEOPLE[text] if text in PEOPLE else ask(self, text, scope=scope)
    )


def two_versions(instance: Instance) -> str:
    """A grant that was agreed and then extended."""
    first = instance.post("requests", {**WISH, "until": "2026-12-31"}).json()["id"]
    grant = instance.post(f"requests/{first}/approve", {"words": "For the bursaries of Zhang San"}, token="reviewer").json()["grant"]
    instance.clock.advance(days=7)
    asked = instance.post(f"grants/{grant}/extend", {"until": "2027-06-30"})
    assert asked.status_code == 201, asked.json()
    assert instance.post(f"requests/{asked.json()['id']}/approve", {}, token="reviewer").status_code == 200
    return str(grant)


def entries(instance: Instance) -> list[dict[str, Any]]:
    """Everything that the ledger holds."""
    instance.sequencer.fold_all()
    store = instance.stores.ledger
    return [json.loads(store.entry(number).payload) for number in range(store.size())]


def test_the_hash_of_every_version_can_be_counted_from_its_document_and_stands_in_the_ledger(instance: Instance) -> None:
    grant = two_versions(instance)
    found = instance.get(f"grants/{grant}/versions").json()["versions"]
    assert [one["version"] for one in found] == [1, 2] and [one["in_force"] for one in found] == [False, True]
    told = {(one["kind"], one["body"].get("terms_hash")) for one in entries(instance)}
    for one, kind in zip(found, ("grant-made", "grant-extended"), strict=True):
        answer = instance.get(f"grants/{grant}/odrl?version={one['version']}")
        assert answer.status_code == 200 and answer["Content-Type"] == "application/ld+json"
        agreement = read_agreement(json.loads(answer.content))
        assert agreement.terms_hash == one["terms_hash"] and agreement.version == one["version"]
        assert (kind, agreement.terms_hash) in told, "the ledger holds the same hash"
        assert json.loads(answer.content)["uid"] == one["name"]
    assert [change["code"] for change in found[1]["changes"]] == ["grant-change-until"]
    newest = json.loads(instance.get(f"grants/{grant}/odrl").content)
    assert newest["version"] == 2 and newest["revisionOf"] == found[0]["name"] and newest["state"] == "ht:active"
    assert json.loads(instance.get(f"grants/{grant}/odrl?version=1").content)["state"] == "ht:replaced"


def test_the_document_comes_as_a_page_or_as_markdown_in_the_language_of_the_reader(instance: Instance) -> None:
    grant = two_versions(instance)
    page = instance.get(f"grants/{grant}/document", accept_language="zh-CN")
    assert page["Content-Type"] == "text/html; charset=utf-8" and page["Content-Language"] == "zh-Hans"
    assert "授权 " + grant in page.content.decode() and "default-src 'none'" in page["Content-Security-Policy"]
    assert page["Cache-Control"] == "no-store"
    text = instance.get(f"grants/{grant}/document?version=1", accept="text/markdown", accept_language="en")
    assert text["Content-Type"] == "text/markdown; charset=utf-8"
    assert f"# Grant {grant}, version 1" in text.content.decode() and "replaced by version 2" in text.content.decode()
    assert instance.get(f"grants/{grant}/document", accept="text/plain").content.decode().startswith("# ")
    assert instance.get(f"grants/{grant}/document", accept="application/pdf").status_code == 406
    both = [instance.get(f"grants/{grant}/document", accept_language=one).content.decode() for one in ("en", "zh")]
    (newest,) = (one["terms_hash"] for one in instance.get(f"grants/{grant}/versions").json()["versions"][1:])
    assert all(newest in text for text in both) and all("Zhang San" not in text for text in both)


@pytest.mark.parametrize("what", ["odrl", "document", "versions"])
def test_they_are_for_the_two_offices_and_the_regulator_of_the_provider_alone(instance: Instance, what: str) -> None:
    grant = two_versions(instance)
    told = {who: instance.get(f"grants/{grant}/{what}", token=who).status_code for who in (*TOKENS, *PEOPLE)}
    assert {who for who, status in told.items() if status == 200} == {"analyst", "operator", "officer", "reviewer", "regulator"}
    assert set(told.values()) == {200, 404}, "to everybody else there is no such grant"
    assert instance.get(f"grants/{grant}/{what}", token=None).status_code == 401
    assert instance.get(f"grants/G-2026-999999/{what}").status_code == 404


def test_a_version_that_is_not_there_is_said(instance: Instance) -> None:
    grant = two_versions(instance)
    missing = instance.get(f"grants/{grant}/odrl?version=3")
    assert missing.status_code == 404 and missing.json()["code"] == "grant-version-unknown" and "2" in missing.json()["detail"]
    assert instance.get(f"grants/{grant}/document?version=0").status_code == 422


def test_a_revoked_grant_says_so_in_both_documents(instance: Instance) -> None:
    grant = two_versions(instance)
    assert instance.post(f"grants/{grant}/revoke", {"words": "Zhang San sold it"}, token="reviewer").status_code == 200
    document = json.loads(instance.get(f"grants/{grant}/odrl").content)
    assert document["state"] == "ht:revoked" and "invalidatedAt" in document
    text = instance.get(f"grants/{grant}/document", accept="text/markdown").content.decode()
    assert "Revoked by the providing office" in text and "Zhang" not in text + json.dumps(document)
