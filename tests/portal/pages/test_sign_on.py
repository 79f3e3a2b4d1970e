"""Signing on at a service of the province: who it says has come, proved; never a new account. Over a service of our own."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.utils.timezone import now
from tests.portal.accounts.one_time_codes import one_time_code
from tests.portal.accounts.sign_on_service import CLIENT, SECRET, SignOnService, serving
from tests.portal.pages.conftest import Portal

from huitong.errors import Refused
from huitong.keystore import SIGN_ON_SECRET, FileKeyStore
from huitong.portal.accounts.actions import instance_operator
from huitong.portal.accounts.models import Account, Post
from huitong.portal.accounts.sign_on import checked
from huitong.settings import Settings

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

OPERATOR = instance_operator("root")
BACK = "/sign-in/service/return"


@pytest.fixture
def service(portal: Portal, settings: Any) -> Iterator[SignOnService]:
    """The service, set in the settings; `wen` is linked to the person whom it knows."""
    home = portal.accounts.keystore._folder.parent  # type: ignore[attr-defined]
    FileKeyStore(home / "keys").keep_sealed(SIGN_ON_SECRET, SECRET.encode())
    with serving(SignOnService()) as service:
        settings.HUITONG = Settings(
            home=home, sign_on_issuer=service.issuer, sign_on_client=CLIENT, sign_on_title="Sign-on of the province"
        )
        portal.accounts.link_identity("wen", issuer=service.issuer, subject=service.subject, by=OPERATOR)
        yield service


def text(response: Any) -> str:
    return response.content.decode()


def way_back(portal: Portal, start: str = "/sign-in/service?next=/datasets/civil.shelter") -> str:
    """Go there as a browser does; the address at which the service sends the browser back."""
    begun = portal.client.get(start)
    assert begun.status_code == 302
    sent = requests.get(begun["Location"], allow_redirects=False, timeout=10)
    return sent.headers["Location"].removeprefix("http://testserver")


def come_back(portal: Portal) -> Any:
    return portal.client.get(way_back(portal), headers={"Accept-Language": "en"})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_who_is_linked_comes_in(portal: Portal, service: SignOnService, algorithm: str) -> None:
    service.algorithm = algorithm
    assert "Sign in with Sign-on of the province" in text(portal.get("/sign-in"))
    done = come_back(portal)
    assert (done.status_code, done["Location"]) == (302, "/datasets/civil.shelter")
    assert "Education Department of Guizhou" in text(portal.get("/"))
    assert "/userinfo" not in service.asked, "the id token says enough"


def test_what_is_asked_for_there(portal: Portal, service: SignOnService) -> None:
    asked = {name: one[0] for name, one in parse_qs(urlsplit(portal.client.get("/sign-in/service")["Location"]).query).items()}
    assert asked["scope"] == "openid", "no address, no name: nothing that we would not need"
    assert asked["code_challenge_method"] == "S256" and len(asked["nonce"]) > 30 and len(asked["state"]) >= 16
    assert asked["redirect_uri"] == f"http://testserver{BACK}"


def test_who_is_not_linked_is_told_so_and_gets_no_account(portal: Portal, service: SignOnService) -> None:
    before = Account.objects.count()
    service.subject = "somebody-else"
    refused = come_back(portal)
    assert (refused.status_code, "no account is linked to you" in text(refused)) == (403, True)
    assert Account.objects.count() == before
    assert "Sign out" not in text(portal.get("/"))


def test_a_closed_account_does_not_come_in(portal: Portal, service: SignOnService) -> None:
    portal.accounts.close_account("wen", by=OPERATOR)
    assert come_back(portal).status_code == 403


def test_a_session_of_sign_on_ends_with_the_account(portal: Portal, service: SignOnService) -> None:
    come_back(portal)
    assert "Sign out" in text(portal.get("/"))
    portal.accounts.leave("wen", by=OPERATOR)
    assert "Sign out" not in text(portal.get("/"))


def test_the_second_factor_is_asked_for_here_too(portal: Portal, service: SignOnService) -> None:
    secret = portal.accounts.new_secret()
    portal.accounts.set_up_app(secret, one_time_code(secret, portal.clock()), by=portal.actor("wen"))
    portal.clock.advance(seconds=30)
    assert come_back(portal)["Location"] == "/sign-in/code"
    done = portal.client.post("/sign-in/code", {"code": one_time_code(secret, portal.clock())})
    assert done["Location"] == "/datasets/civil.shelter"


@pytest.mark.parametrize(
    "lie",
    [
        {"claims": {"nonce": "of another attempt"}},
        {"claims": {"nonce": None}},
        {"claims": {"aud": "another-client"}},
        {"claims": {"aud": [CLIENT, "another-client"]}},
        {"claims": {"aud": [CLIENT, "another-client"], "azp": "another-client"}},
        {"claims": {"azp": "another-client"}},
        {"claims": {"iss": "https://sso.elsewhere.example"}},
        {"claims": {"exp": 1_700_000_000}},
        {"claims": {"exp": None}},
        {"claims": {"iat": 4_000_000_000}},
        {"claims": {"nbf": 4_000_000_000}},
        {"claims": {"sub": None}},
        {"claims": {"sub": ""}},
        {"claims": {"sub": 7}},
        {"claims": {"sub": "x" * 300}},
        {"break_signature": True},
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS256"}},
        {"header": {"alg": "ES256"}},
        {"header": {"kid": "unknown"}},
        {"header": {"kid": None}},
    ],
    ids=lambda lie: str(lie),
)
def test_a_token_that_does_not_prove_it_is_refused(portal: Portal, service: SignOnService, lie: dict[str, Any]) -> None:
    for name, value in lie.items():
        setattr(service, name, value)
    refused = come_back(portal)
    if lie == {"header": {"kid": None}}:
        assert refused.status_code == 302, "without a name the one key of that kind is meant"
        return
    assert (refused.status_code, "cannot be accepted" in text(refused)) == (403, True)
    assert "Sign out" not in text(portal.get("/"))


def test_a_state_counts_once_and_only_in_its_session(portal: Portal, service: SignOnService) -> None:
    back = way_back(portal)
    portal.client.cookies.clear()
    assert portal.client.get(back).status_code == 403, "planted in another session"
    back = way_back(portal)
    assert portal.client.get(back.replace("state=", "state=x")).status_code == 403
    assert portal.client.get(back.partition("?")[0]).status_code == 403
    assert portal.client.get(back).status_code == 302
    portal.client.post("/sign-out")
    assert portal.client.get(back).status_code == 403, "used before"


def test_what_another_issuer_sends_back_is_refused(portal: Portal, service: SignOnService) -> None:
    assert portal.client.get(f"{way_back(portal)}&iss=https://sso.elsewhere.example").status_code == 403


def test_that_a_person_said_no_there_is_told(portal: Portal, service: SignOnService) -> None:
    state = parse_qs(urlsplit(way_back(portal)).query)["state"][0]
    assert portal.client.get(f"{BACK}?error=access_denied&state={state}").status_code == 403


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://sso.elsewhere.example"},
        {"token_endpoint": "http://sso.elsewhere.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
    ids=str,
)
def test_a_discovery_document_that_does_not_fit_is_not_followed(
    portal: Portal, service: SignOnService, document: dict[str, Any]
) -> None:
    service.document = document
    refused = portal.client.get("/sign-in/service", headers={"Accept-Language": "en"})
    assert (refused.status_code, "does not answer as it should" in text(refused)) == (503, True)


def test_a_service_that_is_not_there_is_told_of(portal: Portal, service: SignOnService, settings: Any) -> None:
    settings.HUITONG = replace(settings.HUITONG, sign_on_issuer="http://127.0.0.1:9")
    assert portal.client.get("/sign-in/service").status_code == 503
    settings.HUITONG = replace(settings.HUITONG, sign_on_issuer="")
    assert portal.client.get("/sign-in/service").status_code == 503
    assert "Sign in with" not in text(portal.get("/sign-in"))


def test_another_issuer_leads_to_nobody(portal: Portal, service: SignOnService) -> None:
    """The same subject of another service is another person."""
    assert portal.accounts.account_of_identity("https://sso.elsewhere.example", service.subject) is None


def test_a_wrong_client_secret_leads_nowhere(portal: Portal, service: SignOnService) -> None:
    FileKeyStore(portal.accounts.keystore._folder).keep_sealed(SIGN_ON_SECRET, b"another")  # type: ignore[attr-defined]
    assert come_back(portal).status_code == 503


def test_a_signed_in_person_links_themselves(portal: Portal, service: SignOnService) -> None:
    service.subject = "min-there"
    portal.sign_in("min")
    assert "Link your name there" in text(portal.get("/account"))
    linked = portal.client.get(way_back(portal, "/account/service"))
    assert linked["Location"] == "/account"
    assert "You can sign in there" in text(portal.get("/account"))
    portal.client.post("/sign-out")
    assert come_back(portal)["Location"] == "/datasets/civil.shelter"
    assert portal.client.post("/account/change", {"what": "unlink"})["Location"] == "/account"
    portal.client.post("/sign-out")
    assert come_back(portal).status_code == 403


def test_nobody_links_what_is_anothers_or_for_another(portal: Portal, service: SignOnService) -> None:
    portal.sign_in("min")
    taken = portal.client.get(way_back(portal, "/account/service"), headers={"Accept-Language": "en"})
    assert (taken.status_code, "leads to an account already" in text(taken)) == (409, True)
    service.subject = "nobody-yet"
    back = way_back(portal, "/account/service")
    portal.client.post("/sign-out")
    assert portal.client.get(back).status_code == 403, "whoever began is gone"


def test_who_lost_every_post_on_the_way_links_nothing(portal: Portal, service: SignOnService) -> None:
    portal.sign_in("min")
    service.subject = "nobody-yet"
    back = way_back(portal, "/account/service")
    Post.objects.filter(account__username="min").update(ended_at=now())
    assert portal.client.get(back).status_code == 403


def test_a_token_is_judged_by_what_the_instance_allows() -> None:
    service = SignOnService(issuer="https://sso.example")
    asked = {"keys": service.keys(), "issuer": service.issuer, "client": CLIENT, "nonce": "n"}
    assert checked(service.id_token("n"), **asked, algorithms=["RS256"])["sub"] == service.subject
    for algorithms in (["ES256"], ["HS256", "none"], []):
        with pytest.raises(Refused):
            checked(service.id_token("n"), **asked, algorithms=algorithms)
    late = int(time.time())
    service.claims = {"exp": late - 20}
    assert checked(service.id_token("n"), **asked, algorithms=["RS256"]), "clocks differ a little"
    for token in ("", "a.b.c", "x" * 70_000, service.id_token("n")[:-9]):
        with pytest.raises(Refused):
            checked(token, **asked, algorithms=["RS256"])
