"""The readable document of a grant, in both languages and both forms."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.unit.policy.odrl_examples import CIVIL, EDUCATION, FULL, HOUSEHOLDS, PLAIN, START, WRITING, grant, terms

from huitong.catalog.divisions import load_divisions
from huitong.errors import InputInvalid
from huitong.model.policy import Comparator, Comparison, Grant, GrantEvent, GrantEventKind, GrantState, Mask, MaskKind, QuotaPeriod, Terms
from huitong.model.text import BilingualText
from huitong.policy.grading import scheme
from huitong.sharing.document import GrantRecord, read_agreement
from huitong.sharing.readable import document_of, html, markdown
from huitong.sharing.term_words import GENERALISED, mask_words, quota_words
from huitong.words import sentences

COMMONMARK = MarkdownIt("commonmark").enable("table")
LANGUAGES = ("en", "zh-Hans")
DIVISIONS = load_divisions()


def record(*versions: Grant, shown: int = 0, **changed: Any) -> GrantRecord:
    versions = versions or (grant(FULL),)
    events = [GrantEvent(GrantEventKind.MADE, START, "li.na", CIVIL.id, 1)]
    events.append(GrantEvent(GrantEventKind.ACTIVATED, START, "rule", CIVIL.id, 1))
    events += [
        GrantEvent(GrantEventKind.EXTENDED, START + timedelta(days=one.version), "li.na", CIVIL.id, one.version) for one in versions[1:]
    ]
    made = GrantRecord(
        grant=versions[shown],
        versions=versions,
        events=events,
        dataset=HOUSEHOLDS,
        provider=CIVIL,
        using_office=EDUCATION,
        collector=CIVIL,
        grading=scheme(),
        divisions=DIVISIONS,
        instance="huitong.local/demo",
        time_zone="Asia/Shanghai",
        now=START + timedelta(days=1),
    )
    return replace(made, **changed)


class Page(HTMLParser):
    """The text of a page, and what is in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open in ([], ["html"]), "every element is closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_finds_everything_that_was_agreed(language: str) -> None:
    document = document_of(record(), language)
    for written in (Page(html(document)).text, re.sub(r"\\(.)", r"\1", markdown(document))):
        for fact in (
            "G-2026-000007", CIVIL.credit_code, EDUCATION.credit_code, CIVIL.title.in_language(language), "Education law, article 38",
            "resident_id", "civil.household", "520527000000", "赫章县", "3000", "100,000", "gz-education:education", "7d" * 32, "41",
            grant(FULL).terms_hash, "urn:huitong:huitong.local/demo:grant:G-2026-000007:1", "Asia/Shanghai", "wen",
            HOUSEHOLDS.sharing_basis, "huitong ledger audit", "R-2026-000011",
        ):  # fmt: skip
            assert fact in written, fact
    assert ("In force until the end of 2027-06-11" if language == "en" else "有效，至2027年6月11日24时止") == document.status
    assert ("2026-11-23 10:00" if language == "en" else "2026年11月23日 10:00") in markdown(document).replace("\\", "")


def test_both_languages_state_the_same_hashes_and_the_same_numbers() -> None:
    english, chinese = (markdown(document_of(record(grant(), grant(FULL, version=2), shown=1), language)) for language in LANGUAGES)
    hashes = [re.findall(r"\b[0-9a-f]{64}\b", text) for text in (english, chinese)]
    assert hashes[0] == hashes[1] and len(set(hashes[0])) == 3, "two versions, one list"
    assert not re.search(r"[\u4e00-\u9fff]", re.sub("贵州省毕节市赫章县|贵州省", "", english)), "names of divisions alone are Chinese"
    assert "(" + "document-" not in english + chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_stands_alone_without_script(language: str) -> None:
    page = Page(html(document_of(record(), language)))
    assert not {"script", "link", "img", "iframe", "a", "form", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert ("lang", language) in page.attributes and page.tags.count("h1") == 1 and page.tags.count("h2") == 10
    assert all(value for name, value in page.attributes if name == "scope")


@pytest.mark.parametrize(
    ("changed", "english"),
    [
        ({}, "In force until the end of 2027-06-11"),
        ({"now": PLAIN.valid_until}, "Expired at the end of"),
        ({"grant": grant(state=GrantState.PREPARING)}, "pseudonyms are being prepared"),
        ({"grant": grant(state=GrantState.REVOKED)}, "Revoked by the providing office on 2026-11-26 10:00"),
    ],
)
def test_it_says_whether_it_is_in_force(changed: dict[str, Any], english: str) -> None:
    document = document_of(record(grant(), **changed), "en")
    assert english in document.status and document.in_force == (not changed)
    assert document_of(record(grant(), **changed), "zh-Hans").status != document.status


def test_an_earlier_version_says_that_it_was_replaced_and_the_later_what_it_changed() -> None:
    more = replace(
        FULL,
        items=(*FULL.items[1:], replace(FULL.items[0], item="division", mask=Mask(MaskKind.GENERALISE, {"to": "county"}))),
        rows=None,
        condition=(),
        quota=None,
        valid_until=FULL.valid_until + timedelta(days=30),
    )
    kept = record(grant(FULL), grant(more, version=2, signed_by="hua"), shown=0)
    assert "replaced by version 2 on 2026-11-25" in document_of(kept, "en").status
    codes = [reason.code for reason in kept.changes(2, "en")]
    assert codes == [
        "grant-change-until", "grant-change-item-removed", "grant-change-item-added", "grant-change-rows", "grant-change-condition",
        "grant-change-quota", "grant-change-signer",
    ]  # fmt: skip
    text = markdown(document_of(kept, "en")).replace("\\", "")
    assert "division (Division) was added, by county only." in text and "is 2027-07-11 instead of 2027-06-11." in text
    assert "赫章县" in markdown(document_of(kept, "zh-Hans")) and kept.changes(1, "en") == ()


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_words_for_everything_that_can_be(language: str) -> None:
    known = sentences(language)
    assert not [kind for kind in GrantEventKind if f"document-event-{kind.value}" not in known]
    assert not [kind for kind in Comparator if f"document-comparison-{kind.value}" not in known]
    assert not [period for period in QuotaPeriod if f"document-quota-per-{period.value}" not in known]
    assert not [name for name in GENERALISED if f"document-mask-generalise-{name}" not in known]
    for mask in (*(Mask(kind) for kind in MaskKind), Mask(MaskKind.GENERALISE, {"to": "x"}), Mask(MaskKind.HIDE, {"x": 1})):
        assert "document-" not in mask_words(mask, language)
    assert "document-" not in quota_words(None, language)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(terms(), st.sampled_from(LANGUAGES))
def test_whatever_was_agreed_can_be_written_and_nothing_of_it_is_markup(wanted: Terms, language: str) -> None:
    document = document_of(record(grant(wanted)), language)
    page = Page(html(document))
    assert not {"script", "a", "img"} & set(page.tags) and page.tags.count("h2") == 10
    rendered = Page(COMMONMARK.render(markdown(document)))
    assert not {"script", "a", "img", "blockquote"} & set(rendered.tags) and rendered.tags.count("h2") == 10
    assert rendered.tags.count("td") == page.tags.count("td")


def test_names_that_look_like_markup_are_only_names() -> None:
    evil = BilingualText(zh="<script>alert(1)</script>|名", en="![x](http://evil) | </td><b>*bold*</b>\n# heading")
    condition = (Comparison("amount", Comparator.IN, ("<img src=x onerror=y>", "| a | b |")),)
    kept = record(grant(replace(PLAIN, condition=condition)), dataset=replace(HOUSEHOLDS, title=evil, abstract=evil))
    for language in LANGUAGES:
        document = document_of(kept, language)
        page = Page(html(document))
        assert not {"script", "img", "b"} & set(page.tags) and evil.in_language(language).strip() in page.text
        rendered = Page(COMMONMARK.render(markdown(document)))
        assert not {"script", "img", "b", "a"} & set(rendered.tags) and rendered.tags.count("h1") == 1
        assert "<img src=x onerror=y>" in rendered.text and "| a | b |" in rendered.text
        assert rendered.tags.count("td") == page.tags.count("td") and rendered.tags.count("li") > page.tags.count("li")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab1 -_=+#*`~<>[]()!|&;.\\\n0x:/"), min_size=1, max_size=12).filter(str.strip))
def test_any_words_of_an_entry_come_through_markdown_as_they_are(words: str) -> None:
    entry = replace(HOUSEHOLDS, sharing_basis=words, abstract=BilingualText(zh=words, en=words))
    kept = record(grant(), dataset=entry, provider=replace(CIVIL, title=BilingualText(zh=words, en=words)))
    rendered = Page(COMMONMARK.render(markdown(document_of(kept, "en"))))
    expected = " ".join(words.split())
    assert rendered.text.count(f"Basis of the sharing type: {expected}\n") == 1, rendered.text
    assert f"Providing office\n{expected}\n" in rendered.text and rendered.tags.count("h2") == 10


def test_names_of_items_can_be_copied_from_markdown() -> None:
    assert "| resident_id |" in markdown(document_of(record(), "en"))
    assert "- **Agreed on**: 2026-11-23 10:00 (Asia/Shanghai)" in markdown(document_of(record(), "en"))


def test_free_words_beside_a_revocation_stay_out() -> None:
    ended = grant(FULL, state=GrantState.REVOKED)
    for language in LANGUAGES:
        document = document_of(record(ended), language)
        assert "Zhang" not in html(document) + markdown(document)


def test_an_item_that_left_the_entry_is_still_named() -> None:
    smaller = replace(HOUSEHOLDS, items=tuple(item for item in HOUSEHOLDS.items if item.name != "amount"))
    assert "no longer in the entry" in markdown(document_of(record(dataset=smaller), "en"))


def test_an_odrl_document_that_was_altered_is_found() -> None:
    document = record().odrl(WRITING.dataset_address)
    assert read_agreement(document).terms == FULL
    document["permission"]["action"]["refinement"][0]["rightOperand"] = 3
    with pytest.raises(InputInvalid) as caught:
        read_agreement(document)
    assert caught.value.reasons[0].code == "odrl-hash-wrong"
