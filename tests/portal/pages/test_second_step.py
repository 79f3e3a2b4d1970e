"""The second factor on the pages: set up, asked for after the password, taken away; and staff mode with its band."""

import re
from typing import Any

import pytest
from tests.portal.accounts.one_time_codes import one_time_code
from tests.portal.pages.conftest import PASSWORD, Portal

from huitong.model.party import Role
from huitong.portal.accounts.actions import NewPerson, instance_operator

OPERATOR = instance_operator("root")


def text(response: Any) -> str:
    return response.content.decode()


def set_up(portal: Portal, username: str) -> tuple[str, list[str]]:
    """Sign in, read the key from the page, type what the app shows: the key, and the recovery codes that are shown."""
    portal.sign_in(username)
    if "/post?" in portal.client.get("/post").request["PATH_INFO"]:
        raise AssertionError
    page = text(portal.get("/account/app"))
    secret = re.search(r'<code class="ht-key">([A-Z2-7 ]+)</code>', page).group(1).replace(" ", "")
    assert 'class="ht-qr"' in page and "style=" not in page
    done = portal.client.post("/account/app", {"app_code": one_time_code(secret, portal.clock())}, headers={"Accept-Language": "en"})
    assert done["Cache-Control"] == "private, no-store"
    codes = re.findall(r"<code>([a-z2-9]{5}-[a-z2-9]{5})</code>", text(done))
    assert len(codes) == 10
    portal.clock.advance(seconds=60)
    return secret, codes


def test_after_setting_up_the_password_alone_is_half_the_way(portal: Portal) -> None:
    secret, _ = set_up(portal, "wen")
    assert "Recovery codes left: 10" in text(portal.get("/account"))
    portal.client.post("/sign-out")
    half = portal.sign_in("wen", go_to="/datasets/civil.shelter")
    assert half["Location"] == "/sign-in/code"
    assert "Sign out" not in text(portal.get("/")), "nobody is signed in yet"
    wrong = portal.client.post("/sign-in/code", {"code": "000000"}, headers={"Accept-Language": "zh-CN"})
    assert wrong.status_code == 422
    assert "验证码有误" in text(wrong)
    planted = portal.client.cookies["huitong_session"].value
    done = portal.client.post("/sign-in/code", {"code": one_time_code(secret, portal.clock())})
    assert done["Location"] == "/datasets/civil.shelter"
    assert portal.client.cookies["huitong_session"].value != planted, "the session begins under a new key"
    assert "Sign out" in text(portal.get("/"))


def test_a_code_that_was_used_is_refused(portal: Portal) -> None:
    secret, _ = set_up(portal, "wen")
    code = one_time_code(secret, portal.clock())
    for status in (302, 422):
        portal.client.post("/sign-out")
        portal.sign_in("wen")
        assert portal.client.post("/sign-in/code", {"code": code}).status_code == status


def test_a_recovery_code_stands_in_once(portal: Portal) -> None:
    _, codes = set_up(portal, "wen")
    for status in (302, 422):
        portal.client.post("/sign-out")
        portal.sign_in("wen")
        assert portal.client.post("/sign-in/code", {"code": codes[0]}).status_code == status


def test_the_half_way_is_short(portal: Portal) -> None:
    secret, _ = set_up(portal, "wen")
    portal.client.post("/sign-out")
    portal.sign_in("wen")
    portal.clock.advance(minutes=10)
    late = portal.client.post("/sign-in/code", {"code": one_time_code(secret, portal.clock())})
    assert (late.status_code, late["Location"]) == (302, "/sign-in")
    portal.sign_in("wen")
    portal.accounts.set_password("wen", "another long password", by=OPERATOR)
    assert portal.client.get("/sign-in/code")["Location"] == "/sign-in", "a new password ends it too"
    assert portal.client.get("/sign-in/code")["Location"] == "/sign-in", "and nobody gets there without a password"


def test_many_wrong_codes_wait_and_so_do_many_wrong_passwords(portal: Portal) -> None:
    secret, _ = set_up(portal, "wen")
    portal.client.post("/sign-out")
    portal.sign_in("wen")
    for _ in range(5):
        portal.client.post("/sign-in/code", {"code": "000000"})
    portal.clock.advance(seconds=30)
    done = portal.client.post("/sign-in/code", {"code": one_time_code(secret, portal.clock())}, headers={"Accept-Language": "en"})
    assert (done.status_code, "too many tries" in text(done)) == (422, True)
    said = [text(portal.client.post("/sign-in", {"username": name, "password": "no"}, headers={"Accept-Language": "en"})) for name in
            ["shuang"] * 11 + ["nobody"] * 11]
    assert ["too many tries" in one for one in said] == [*[False] * 10, True] * 2


def test_an_old_session_sets_up_nothing(portal: Portal) -> None:
    portal.sign_in("wen")
    portal.clock.advance(minutes=10)
    assert "sign out and in again" in text(portal.get("/account"))
    for path in ("/account/app", "/account/passkey", "/account/service"):
        assert portal.client.get(path)["Location"] == "/account"


def test_taking_away_needs_the_factor_once_more(portal: Portal) -> None:
    secret, codes = set_up(portal, "wen")
    assert "<details" in text(portal.get("/account")) and "open>" not in text(portal.get("/account"))
    wrong = text(portal.client.post("/account/change", {"what": "everything", "code": "000000"}))
    assert 'href="#all-code"' in wrong and 'id="all-code"' in wrong and '<details class="govuk-details" open>' in wrong
    for code, status in (("", 422), ("000000", 422), (one_time_code(secret, portal.clock()), 302)):
        assert portal.client.post("/account/change", {"what": "everything", "code": code}).status_code == status
    assert "Your account has none" in text(portal.get("/account"))
    portal.client.post("/sign-out")
    assert portal.sign_in("wen")["Location"] == "/"
    assert not portal.accounts.second_factor("wen").any
    del codes


def test_new_recovery_codes_end_the_old_ones(portal: Portal) -> None:
    secret, codes = set_up(portal, "wen")
    shown = portal.client.post("/account/change", {"what": "codes", "code": one_time_code(secret, portal.clock())})
    fresh = re.findall(r"<code>([a-z2-9]{5}-[a-z2-9]{5})</code>", text(shown))
    assert len(fresh) == 10 and not set(fresh) & set(codes)


def test_a_wrong_code_at_the_set_up_speaks_of_no_recovery_code(portal: Portal) -> None:
    portal.sign_in("wen")
    portal.get("/account/app")
    answer = portal.client.post("/account/app", {"app_code": "123456"}, headers={"Accept-Language": "en"})
    assert answer.status_code == 422 and "does not belong to the key shown here" in text(answer) and "recovery" not in text(answer)


def test_a_post_whose_role_rests_says_so(portal: Portal) -> None:
    portal.accounts.register_people([NewPerson("ops", "施", "gz-education", frozenset({Role.OPERATOR}), PASSWORD)], by=OPERATOR)
    portal.sign_in("ops")
    assert "Operator, while staff mode is open" in text(portal.get("/account"))


def test_a_passkey_that_is_no_passkey_is_none(portal: Portal) -> None:
    portal.sign_in("wen")
    portal.get("/account/passkey")
    for sent in ("", "x", "{}", "[]", "null", '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}'):
        assert portal.client.post("/account/passkey", {"credential": sent}).status_code == 422
    assert not portal.accounts.second_factor("wen").any


@pytest.mark.parametrize("path", ["/account", "/account/app", "/account/passkey", "/account/service", "/staff", "/account/change"])
def test_nothing_of_it_without_signing_in(portal: Portal, path: str) -> None:
    response = portal.client.get(path) if path != "/account/change" else portal.client.post(path)
    assert response["Location"].startswith("/sign-in")


@pytest.mark.parametrize(
    "path", ["/accounts/", "/accounts/login/", "/accounts/signup/", "/account/email/", "/account/password/reset/", "/account/2fa/"]
)
def test_of_allauths_own_pages_none_is_there(portal: Portal, path: str) -> None:
    assert portal.client.get(path).status_code == 404
    from django.urls import NoReverseMatch, reverse

    for name in ("account_login", "account_signup", "account_email", "mfa_index", "socialaccount_connections"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


# --- staff mode ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shi(portal: Portal) -> str:
    """An operator with an app, signed in with it."""
    portal.accounts.register_people(
        [NewPerson("shi", "施", "gz-education", frozenset({Role.OPERATOR, Role.ANALYST}), PASSWORD)], by=OPERATOR
    )
    secret, _ = set_up(portal, "shi")
    return secret


def test_staff_mode_stands_on_every_page_and_is_closed_from_any(portal: Portal, shi: str) -> None:
    assert "Staff mode" in text(portal.get("/account"))
    assert "ht-staff" not in text(portal.get("/"))
    wish = {"words": "register the new analyst", "minutes": "15", "code": one_time_code(shi, portal.clock())}
    assert portal.client.post("/staff", wish | {"code": ""}).status_code == 422
    assert portal.client.post("/staff", wish | {"words": " "}).status_code == 422
    assert portal.client.post("/staff", wish | {"minutes": "six"}).status_code == 422
    assert portal.client.post("/staff", wish)["Location"] == "/staff"
    for path in ("/", "/datasets/civil.shelter", "/account", "/staff", "/nowhere"):
        shown = text(portal.get(path))
        assert "Staff mode is open until" in shown and "register the new analyst" in shown, path
    closed = portal.client.post("/staff", {"what": "close", "next": "/datasets/civil.shelter"})
    assert closed["Location"] == "/datasets/civil.shelter"
    assert "ht-staff" not in text(portal.get("/"))
    assert not portal.accounts.posts_of("shi")[0].has(Role.OPERATOR)


def test_it_ends_by_itself_and_the_band_with_it(portal: Portal, shi: str) -> None:
    portal.client.post("/staff", {"words": "why", "minutes": "15", "code": one_time_code(shi, portal.clock())})
    portal.clock.advance(minutes=15)
    assert "ht-staff" not in text(portal.get("/"))


def test_whose_post_is_no_operators_has_no_staff_mode(portal: Portal) -> None:
    portal.sign_in("wen")
    assert "not an operator" in text(portal.get("/staff"))
    refused = portal.client.post("/staff", {"words": "why", "minutes": "15"}, headers={"Accept-Language": "en"})
    assert refused.status_code == 422
    assert "is not an operator" in text(refused)


def test_a_service_cannot_hold_a_session(portal: Portal) -> None:
    from huitong.portal.accounts.models import Account

    portal.accounts.register_people(
        [NewPerson("nightly", "夜", "gz-education", frozenset({Role.ANALYST}), keeper="wen")], by=OPERATOR
    )
    portal.accounts.set_password("nightly", PASSWORD, by=OPERATOR)
    assert portal.sign_in("nightly").status_code == 422
    portal.client.force_login(Account.objects.get(username="nightly"))
    assert "Sign out" not in text(portal.get("/")), "whatever made the session"
