"""Signing in as people do: with an app, a recovery code, a passkey, a sign-on service; and staff mode. In Chromium, policy on."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Served, Visit, serving_pages
from tests.e2e.test_pages_in_a_browser import EVERYWHERE, faults, is_too_wide
from tests.portal.accounts.one_time_codes import one_time_code
from tests.portal.accounts.sign_on_service import CLIENT, SECRET, SignOnService, serving

from huitong.keystore import SIGN_ON_SECRET, FileKeyStore

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def service() -> Iterator[SignOnService]:
    with serving(SignOnService()) as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, service: SignOnService) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("instance")
    settings = {
        "HUITONG_SIGN_ON_ISSUER": service.issuer,
        "HUITONG_SIGN_ON_CLIENT": CLIENT,
        "HUITONG_SIGN_ON_TITLE": "Province SSO",
    }
    # a passkey belongs to a name, not to a number
    with serving_pages(home, settings, host="localhost") as found:
        FileKeyStore(home / "keys").keep_sealed(SIGN_ON_SECRET, SECRET.encode())
        yield found


def code_of(page: Page, *, steps: int = 0) -> str:
    """What an app shows that was given the key of the page."""
    key = page.locator("main code").first.inner_text().replace(" ", "")
    return one_time_code(key, datetime.now(UTC), steps=steps)


def accessible(reader: Visit, what: str) -> None:
    assert faults(reader) == [], what
    assert not is_too_wide(reader), what


def sign_out(page: Page) -> None:
    page.locator(".ht-header form[action='/sign-out'] button").click()


@EVERYWHERE
def test_second_factor_and_staff_mode_are_accessible_and_fit(visit: Callable[..., Visit], language: str, width: int) -> None:
    """The whole way, with axe on each page; the last one takes the app away again."""
    reader = visit(language, width, policy=False)
    reader.expected = {422}
    page = reader.page
    reader.sign_in("operator")
    reader.open("/staff")
    accessible(reader, "staff mode without a second factor")
    reader.open("/account")
    accessible(reader, "account")
    reader.open("/account/passkey")
    accessible(reader, "passkey")
    reader.open("/account/app")
    accessible(reader, "app")
    page.fill("#app_code", "123456")
    page.click("main form button[type=submit]")
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    accessible(reader, "wrong code")
    key = page.locator("main code").first.inner_text().replace(" ", "")
    page.fill("#app_code", one_time_code(key, datetime.now(UTC), steps=-1))
    page.click("main form button[type=submit]")
    codes = page.locator(".ht-codes code").all_inner_texts()
    assert len(codes) == 10
    accessible(reader, "recovery codes")
    sign_out(page)
    reader.sign_in("operator")
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    accessible(reader, "second step")
    page.fill("#code", one_time_code(key, datetime.now(UTC)))
    page.click("main form button[type=submit]")
    reader.open("/staff")
    accessible(reader, "staff mode")
    page.fill("#words", "登记新任分析员 register the new analyst")
    page.fill("#code", one_time_code(key, datetime.now(UTC), steps=1))
    page.click("main form button[type=submit]")
    expect(page.locator(".ht-staff")).to_contain_text("register the new analyst")
    accessible(reader, "staff mode open")
    reader.open("/")
    accessible(reader, "the band on another page")
    page.click(".ht-staff__close")
    expect(page.locator(".ht-staff")).to_have_count(0)
    expect(page).to_have_url(reader.served.url + "/")
    reader.open("/account")
    accessible(reader, "account with a second factor")
    page.click("main details summary")
    accessible(reader, "what is lost with the second factor")
    page.fill("#all-code", codes[0])
    page.click("main details button[type=submit]")
    expect(page.locator("main a[href='/account/app']")).to_have_count(1)


def test_an_app_without_scripts(visit: Callable[..., Visit]) -> None:
    reader = visit("en", scripts=False)
    page = reader.page
    reader.sign_in("two-posts")
    reader.open("/account/app")
    expect(page.locator("svg.ht-qr path").nth(1)).to_have_attribute("d", re.compile("^M4 4h1v1h-1z"))
    page.fill("#app_code", code_of(page))
    page.click("main form button[type=submit]")
    codes = page.locator(".ht-codes code").all_inner_texts()
    sign_out(page)
    reader.sign_in("two-posts")
    page.fill("#code", codes[7].upper())
    page.click("main form button[type=submit]")
    expect(page.locator("h1")).to_have_text("In which post do you act?")


def test_a_passkey_is_made_and_shown_under_the_strict_policy(visit: Callable[..., Visit]) -> None:
    reader = visit("en")
    page = reader.page
    devtools: Any = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    authenticator = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": authenticator})
    reader.sign_in("analyst")
    reader.open("/account/passkey")
    page.fill("#name", "this laptop")
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.locator(".ht-codes code")).to_have_count(10)
    sign_out(page)
    reader.sign_in("analyst")
    expect(page).to_have_url(re.compile("/sign-in/code$"))
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator(".ht-who")).to_contain_text("Analyst")
    reader.open("/account")
    expect(page.locator("main")).to_contain_text("this laptop")
    page.get_by_label("Take away the passkey this laptop").check()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator("main")).to_contain_text("Your account has none")


def test_signing_on_through_the_service(visit: Callable[..., Visit], service: SignOnService) -> None:
    reader = visit("en")
    reader.also, reader.expected = service.issuer, {403}
    page = reader.page
    reader.open("/sign-in")
    page.get_by_role("link", name="Sign in with Province SSO").click()
    expect(page.locator("h1")).to_have_text("You are not signed in")
    expect(page.locator("main")).to_contain_text("no account is linked to you")
    reader.sign_in("officer")
    reader.open("/account")
    page.get_by_role("link", name="Link your name there to this account").click()
    expect(page).to_have_url(reader.served.url + "/account")
    expect(page.locator("main")).to_contain_text("You can sign in there and are signed in here")
    sign_out(page)
    reader.open("/sign-in?next=/datasets/geo.county_coordinates")
    page.get_by_role("link", name="Sign in with Province SSO").click()
    expect(page).to_have_url(re.compile("/datasets/geo.county_coordinates$"))
    expect(page.locator(".ht-who")).to_contain_text("Officer")
