"""The pages as a person meets them: two languages, wide and narrow, with and without scripts, with the policy on."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import AXE, Visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DATASET = "/datasets/geo.county_coordinates"
CONDITIONAL = "/datasets/police.person_register"
PATHS = {
    "front": "/",
    "search": "/?q=%E4%BA%BA%E5%8F%A3",
    "nothing": "/?q=zzzz",
    "narrowed": "/?sharing=conditional&grade=4",
    "dataset": DATASET,
    "sign-in": "/sign-in",
    "missing": "/nowhere",
}
EVERYWHERE = pytest.mark.parametrize(("language", "width"), [("en", 1200), ("en", 390), ("zh-CN", 1200), ("zh-CN", 390)])


def faults(visit: Visit) -> list[str]:
    """What axe finds."""
    visit.page.evaluate(AXE.read_text("utf-8"))
    found: Any = visit.page.evaluate("axe.run(document)")
    return [f"{one['id']}: {one['help']} {[node['html'][:120] for node in one['nodes']]}" for one in found["violations"]]


def is_too_wide(visit: Visit) -> bool:
    return bool(visit.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@EVERYWHERE
def test_every_page_is_accessible_and_fits(visit: Callable[..., Visit], language: str, width: int) -> None:
    reader = visit(language, width, policy=False)
    reader.expected = {404}
    for name, path in PATHS.items():
        reader.open(path)
        assert faults(reader) == [], name
        assert not is_too_wide(reader), name


@EVERYWHERE
def test_the_way_of_a_signed_in_person_is_accessible_and_fits(visit: Callable[..., Visit], language: str, width: int) -> None:
    reader = visit(language, width, policy=False)
    reader.expected = {422}
    reader.open("/sign-in")
    reader.page.fill("#id_username", "two-posts")
    reader.page.fill("#id_password", "not the password")
    reader.page.click("main button")
    expect(reader.page.locator(".govuk-error-summary")).to_be_focused()
    assert faults(reader) == []
    assert not is_too_wide(reader)
    reader.sign_in("two-posts")
    assert faults(reader) == []
    assert not is_too_wide(reader)
    reader.page.check("#post-2")
    reader.page.click("main button")
    for path in ("/", DATASET, CONDITIONAL):
        reader.open(path)
        assert faults(reader) == [], path
        assert not is_too_wide(reader), path


def test_hits_come_while_typing_in_chinese_and_english(visit: Callable[..., Visit]) -> None:
    reader = visit("zh-CN")
    page = reader.open("/")
    page.fill("#q", "坐标")
    expect(page.locator(".ht-hit")).to_have_count(1)
    expect(page.locator(".ht-hit a")).to_have_attribute("href", DATASET)
    assert "q=%E5%9D%90%E6%A0%87" in page.url
    page.fill("#q", "resident register")
    expect(page.locator(f".ht-hit a[href='{CONDITIONAL}']")).to_have_count(1)
    page.fill("#q", "zzzz")
    expect(page.locator(".ht-count")).to_contain_text("没有符合条件")


def test_a_facet_is_chosen_kept_while_searching_and_let_go(visit: Callable[..., Visit]) -> None:
    page = visit("en").open("/")
    page.get_by_role("link", name=re.compile("Shared unconditionally")).click()
    expect(page).to_have_url(re.compile("sharing=unconditional"))
    expect(page.locator(".ht-facet__value--chosen")).to_have_count(1)
    page.fill("#q", "coordinates")
    expect(page.locator(".ht-hit")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=coordinates.*sharing=unconditional|sharing=unconditional.*q=coordinates"))
    page.get_by_role("link", name="Clear all choices").click()
    expect(page.locator(".ht-facet__value--chosen")).to_have_count(0)
    expect(page.locator("#q")).to_have_value("coordinates")


def test_search_and_pages_work_without_scripts(visit: Callable[..., Visit]) -> None:
    page = visit("en", scripts=False).open("/")
    page.fill("#q", "coordinates")
    page.click(".ht-search button")
    page.click(".ht-hit a")
    expect(page.locator("h1")).to_have_text("Coordinates of the counties of Guizhou")
    expect(page.locator(".ht-code")).to_have_count(4)
    for snippet in page.locator(".ht-code").all():
        expect(snippet).to_be_visible()


def test_the_examples_are_tabs(visit: Callable[..., Visit]) -> None:
    page = visit("en").open(DATASET)
    expect(page.locator("#use-ask")).to_be_visible()
    expect(page.locator("#use-python")).to_be_hidden()
    page.get_by_role("tab", name="Python").click()
    expect(page.locator("#use-python")).to_contain_text("client.query(")


def test_the_language_switch_keeps_the_page(visit: Callable[..., Visit]) -> None:
    page = visit("en").open(f"{DATASET}")
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page).to_have_url(re.compile(re.escape(DATASET)))
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Coordinates of the counties of Guizhou")


def test_one_signs_in_sees_the_answer_and_signs_out(visit: Callable[..., Visit]) -> None:
    reader = visit("en")
    page = reader.open(CONDITIONAL)
    expect(page.locator(".ht-answer")).to_contain_text("Sign in to see the answer for your office")
    page.locator(".ht-answer a").click()
    page.fill("#id_username", "analyst")
    page.fill("#id_password", reader.served.password)
    page.click("main button")
    expect(page).to_have_url(re.compile(re.escape(CONDITIONAL)))
    expect(page.locator(".ht-answer")).to_contain_text("If you ask today, answer due by")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_the_keyboard_reaches_the_content_first(visit: Callable[..., Visit]) -> None:
    page = visit("en").open(DATASET)
    page.keyboard.press("Tab")
    expect(page.locator(".govuk-skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_licensed_font_and_the_crest_are_not_used(visit: Callable[..., Visit]) -> None:
    reader = visit("zh-CN")
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))
    reader.open(DATASET)
    reader.page.wait_for_load_state("networkidle")
    families = reader.page.evaluate(
        "[...new Set([...document.body.querySelectorAll('*')].map(one => getComputedStyle(one).fontFamily))]"
    )
    assert not [family for family in families if "GDS" in family]
    assert not [url for url in asked if "/assets/" in url or "crest" in url]
