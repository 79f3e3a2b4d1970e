"""What a person sees of the catalogue, signed in and not, in both languages."""

import re
from dataclasses import replace
from datetime import date
from html import escape
from pathlib import Path

import pytest
from tests.api.conftest import dataset
from tests.portal.pages.conftest import Portal

from huitong.model.catalog import Sharing, Visibility
from huitong.model.policy import GrantState


def text(response) -> str:
    return response.content.decode()


def grant(portal: Portal, dataset: str) -> str:
    wen = portal.actor("wen")
    wish = portal.doors.sharing.wish(
        dataset, purpose="education", legal_basis="Education law", items=[("members", None)], until=date(2027, 6, 30)
    )
    return portal.doors.sharing.submit(wish, by=wen).id


def test_the_front_page_lists_what_there_is_to_everybody(portal: Portal) -> None:
    page = text(portal.get("/"))
    assert "Low-income households" in page
    assert "3 datasets" in page
    assert f"<strong>{len(portal.doors.divisions)}</strong>" in page


@pytest.mark.parametrize(("words", "found"), [("低保", "civil.household"), ("shelter", "civil.shelter"), ("户", "civil.household")])
def test_search_finds_in_both_languages(portal: Portal, words: str, found: str) -> None:
    assert f'href="/datasets/{found}"' in text(portal.get(f"/?q={words}"))


def test_a_search_without_a_hit_says_what_to_do(portal: Portal) -> None:
    page = text(portal.get("/?q=zzzz"))
    assert "No dataset matches." in page
    assert "Try fewer or other words" in page


def test_the_list_narrows_by_sharing_type_and_office(portal: Portal) -> None:
    assert "1 dataset" in text(portal.get("/?sharing=not-shared"))
    assert "No dataset matches." in text(portal.get("/?office=gz-education"))
    assert "3 datasets" in text(portal.get("/?sharing=nonsense&page=x"))


def test_htmx_gets_the_hits_alone(portal: Portal) -> None:
    response = portal.get("/?q=shelter", HX_Request="true")
    assert "<html" not in text(response)
    assert "civil.shelter" in text(response)
    assert "HX-Request" in response["Vary"]


def test_a_word_of_a_stranger_stays_a_word(portal: Portal) -> None:
    page = text(portal.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E%00"))
    assert "<script>alert" not in page
    assert escape("<script>alert(1)</script>") in page


def test_a_dataset_shows_items_grades_offices_conditions_and_snapshot(portal: Portal) -> None:
    page = text(portal.get("/datasets/civil.household"))
    for words in (
        "Low-income households", "Civil Affairs Department of Guizhou", "General data, level 2", "members", "Whole number",
        "Regulation of Guizhou Province, article 21", "State the duty it is needed for",
        "Synthetic", "As it is",
        "23 November 2026, 10:00",
    ):  # fmt: skip
        assert words in page, words
    assert "parquet" not in page


def test_the_same_in_chinese(portal: Portal) -> None:
    page = text(portal.get("/datasets/civil.household", language="zh-CN"))
    assert '<html lang="zh-Hans"' in page
    for words in ("低保家庭", "贵州省民政厅", "一般数据 2 级", "有条件共享", "须说明履职需要", "2026年11月23日 10:00", "10个工作日内答复"):
        assert words in page, words


def test_who_is_not_signed_in_sees_the_rule_for_all(portal: Portal) -> None:
    conditional = text(portal.get("/datasets/civil.household"))
    assert "Yes, if Civil Affairs Department of Guizhou agrees." in conditional
    assert "Sign in to see the answer for your office" in conditional
    assert "Yes, at once, for any office" in text(portal.get("/datasets/civil.shelter"))
    assert "No. It is not shared." in text(portal.get("/datasets/civil.adoption"))


def test_an_office_sees_whether_how_and_by_when(portal: Portal) -> None:
    portal.sign_in("wen")
    page = text(portal.get("/datasets/civil.household"))
    assert "If you ask today, answer due by" in page
    assert "7 December 2026" in page
    number = grant(portal, "civil.household")
    assert f"{number}" in text(portal.get("/datasets/civil.household"))
    assert "has yet to answer" in text(portal.get("/datasets/civil.household"))
    portal.doors.sharing.approve(number, by=portal.actor("min"))
    granted = text(portal.get("/datasets/civil.household"))
    assert "Your office has a grant and can use it now." in granted
    assert "30 June 2027" in granted
    assert "--purpose education" in granted
    assert "Your office may use it now" in text(portal.get("/"))


def test_a_revoked_grant_is_gone_from_the_page_at_once(portal: Portal) -> None:
    portal.sign_in("wen")
    grant(portal, "civil.shelter")
    assert "can use it now" in text(portal.get("/datasets/civil.shelter"))
    (own,) = portal.doors.sharing.grants(by=portal.actor("wen"))
    assert own.state is GrantState.ACTIVE
    portal.doors.sharing.revoke(own.id, by=portal.actor("min"), words="Ended")
    assert "can use it now" not in text(portal.get("/datasets/civil.shelter"))


def test_an_unknown_dataset_and_page_are_told_kindly(portal: Portal) -> None:
    for path in ("/datasets/civil.nothing", "/nowhere", "/datasets/%00"):
        response = portal.get(path)
        assert response.status_code == 404
        assert "Page not found" in text(response)
    assert "未找到页面" in text(portal.get("/nowhere", language="zh"))


def test_a_broken_page_tells_nothing_of_itself(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/srv/keys and the row of Zhang San")

    monkeypatch.setattr(type(portal.doors.catalog), "search", broken)
    portal.client.raise_request_exception = False
    response = portal.get("/")
    assert response.status_code == 500
    assert "Something went wrong on our side" in text(response)
    assert "Zhang" not in text(response)


def test_no_page_holds_inline_script_or_style(portal: Portal) -> None:
    portal.sign_in("wen")
    for path in ("/", "/?q=a", "/datasets/civil.household", "/nowhere"):
        response = portal.get(path)
        page = text(response)
        assert "style=" not in page
        assert "<style" not in page
        assert "onclick" not in page
        assert "<script>" not in page
        assert "'unsafe" not in response["Content-Security-Policy"]
        assert "http://" not in page.replace("http://testserver", "")


def test_what_a_signed_in_person_sees_is_kept_nowhere(portal: Portal) -> None:
    portal.sign_in("wen")
    assert portal.get("/datasets/civil.household")["Cache-Control"] == "private, no-store"


def test_pages_ask_the_database_little(portal: Portal, django_assert_max_num_queries) -> None:
    portal.get("/")
    with django_assert_max_num_queries(20):
        portal.get("/")
    with django_assert_max_num_queries(12):
        portal.get("/datasets/civil.household")


def test_the_style_sheet_holds_no_licensed_font_and_no_crest(portal: Portal) -> None:
    page = text(portal.get("/"))
    address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    sheet = portal.get(address)
    assert sheet["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in sheet["Cache-Control"]
    rules = text(sheet)
    assert ".ht-hero" in rules
    assert ".govuk-summary-list" in rules
    for forbidden in ("GDS Transport", "@font-face", "crest.svg", "/assets/", "sourceMappingURL", "url("):
        assert forbidden not in rules, forbidden
    assert portal.get(address, If_None_Match=sheet["ETag"]).status_code == 304
    assert len(portal.get(address, Accept_Encoding="gzip").content) < 25_000
    assert portal.get("/look.css?version=old")["Cache-Control"] == "no-cache"


def test_without_the_packages_the_pages_are_plain_and_work(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    from huitong.portal.pages.templatetags import huitong as tags

    monkeypatch.setattr(tags, "installed", lambda path: False)
    page = text(portal.get("/"))
    assert "govuk-frontend.min" not in page
    assert "<script" not in page
    assert "Low-income households" in page


# --- facets, hidden datasets, quality, sample -------------------------------------------------------------------------------


def test_facets_are_links_with_counts_that_choose_and_let_go(portal: Portal) -> None:
    page = text(portal.get("/"))
    assert "<select" not in page
    assert 'href="/?sharing=conditional"' in page
    chosen = text(portal.get("/?sharing=conditional&q=households"))
    assert 'aria-current="true"' in chosen
    assert "Clear all choices" in chosen
    assert 'href="/?q=households"' in chosen, "a value that is chosen is let go"
    assert 'href="/?q=households&amp;sharing=conditional&amp;grade=2"' in chosen
    assert '<input type="hidden" name="sharing" value="conditional">' in chosen, "searching again keeps the choice"


def test_the_facets_in_chinese(portal: Portal) -> None:
    page = text(portal.get("/", language="zh"))
    for words in ("共享类型", "有条件共享", "一般数据 2 级", "部门层级", "贵州省民政厅", "每月"):
        assert words in page, words
    assert not re.search(r"General data|Shared |Province<|Updated ", page)


@pytest.fixture
def hidden(portal: Portal) -> Portal:
    """A dataset that only the office of education may know of, beside its own."""
    secret = dataset("civil.witness", Sharing.CONDITIONAL, "证人保护", "Witness protection")
    secret = replace(secret, visibility=Visibility.NAMED, known_to=("gz-education",))
    portal.doors.catalog.publish(secret, by=portal.actor("min"))
    return portal


def test_a_hidden_dataset_shows_in_no_hit_count_or_facet(hidden: Portal) -> None:
    for path in ("/", "/?q=证人", "/?q=witness", "/?sharing=conditional"):
        page = text(hidden.get(path))
        assert "civil.witness" not in page, path
        assert "Witness" not in page, path
    assert "3 datasets" in text(hidden.get("/"))
    there, nowhere = hidden.get("/datasets/civil.witness"), hidden.get("/datasets/civil.nothing")
    assert there.status_code == nowhere.status_code == 404
    assert "Witness" not in text(there)


def test_who_may_know_of_it_finds_it(hidden: Portal) -> None:
    hidden.sign_in("wen")
    assert "4 datasets" in text(hidden.get("/"))
    assert "Named offices" in text(hidden.get("/datasets/civil.witness"))


def test_a_synthetic_sample_is_shown_and_said_to_be_one(portal: Portal) -> None:
    page = text(portal.get("/datasets/civil.household"))
    assert "nobody's data" in page.replace("&#x27;", "'")
    assert page.partition('class="ht-sample"')[2].count("<tr>") == 4
    assert "520527000000" not in page, "no row of the data"


def test_quality_is_for_those_who_are_signed_in(portal: Portal, tmp_path: Path) -> None:
    rows = "".join(f"h{n},520527000000,{n if n % 3 else ''}\n" for n in range(300))
    (tmp_path / "rows.csv").write_text(f"household,division,members\n{rows}", "utf-8")
    portal.doors.intake.load("civil.household", tmp_path / "rows.csv", by=portal.actor("min"))
    assert "Quality of the current rows" not in text(portal.get("/datasets/civil.household"))
    portal.sign_in("wen")
    page = text(portal.get("/datasets/civil.household"))
    assert "Quality of the current rows" in page
    assert "66" in page.partition('id="quality"')[2]


def test_the_managing_office_is_told_that_it_manages(portal: Portal) -> None:
    portal.sign_in("min")
    page = text(portal.get("/datasets/civil.household"))
    assert "Your office manages it." in page
    assert "A rule stands against it" not in page


def test_the_chinese_page_has_no_english_left_over(portal: Portal) -> None:
    portal.sign_in("wen")
    page = text(portal.get("/datasets/civil.household", language="zh"))
    main = page.partition("<main")[2].partition(">")[2].partition("</main>")[0]
    visible = re.sub(r"<(script|style|pre|code)\b.*?</\1>|<[^>]+>|&\w+;", " ", main, flags=re.DOTALL)
    english = set(re.findall(r"[A-Za-z]{3,}", visible))
    of_the_entry = set(re.findall(r"[A-Za-z]{3,}", "Regulation of Guizhou Province, article Synthetic"))
    assert english - of_the_entry <= {"SQL", "Python", "HTTP", "API", "SHA", "HUITONG", "TOKEN"}, english
