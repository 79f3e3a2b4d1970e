"""Finding entries with Chinese and English words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.spec.sharing.world import OFFICES, dataset, item

from huitong.catalog.ports import Facet
from huitong.catalog.search import index_of, query_tokens, score, search, tokens
from huitong.model.catalog import Grade, Sharing
from huitong.model.text import BilingualText
from huitong.testing import MemoryStores


def entry(identifier: str, zh: str, en: str, abstract: tuple[str, str] = ("无", "none"), items: tuple[tuple[str, str], ...] = ()):
    """An entry with its words and nothing else to find it by."""
    made = [item(f"item_{n}", one, two, Grade.INTERNAL) for n, (one, two) in enumerate(items or (("甲", "plain"),))]
    return dataset(
        identifier,
        zh,
        en,
        Sharing.UNCONDITIONAL,
        abstract=BilingualText(*abstract),
        items=tuple(made),
        key=None,
        division_item=None,
    )


ENTRIES = (
    entry("civil.low_income", "低保家庭", "Households on minimum living allowance", ("享受低保的家庭", "Who receives it")),
    entry("civil.disabled", "残疾人登记", "Register of disabled persons", ("含低保标记", "With a flag for the allowance")),
    entry(
        "water.wells",
        "水井",
        "Wells",
        ("农村饮水", "Drinking water"),
        (("所在县", "county"), ("低保户用井", "used by poor households")),
    ),
    entry("police.person_register", "人口登记", "Person register", ("常住人口", "Residents"), (("姓名", "name"),)),
    entry("natural.classes", "土地分类", "Land classes", ("地类", "Counties by class")),
)


@pytest.fixture
def store():
    stores = MemoryStores()
    for one in ENTRIES:
        stores.catalog.put_dataset(one, index=index_of(one, OFFICES[:1]))
    return stores.catalog


def found(store, text: str) -> list[str]:
    return [one.id for one in search(store, text).hits]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("低保", ["civil.low_income", "water.wells", "civil.disabled"]),
        ("低", ["civil.low_income", "water.wells", "civil.disabled"]),
        ("井", ["water.wells"]),
        ("享受低保的家庭", ["civil.low_income"]),
        ("低保户", ["water.wells"]),
        ("低保 残疾", ["civil.disabled"]),
        ("household", ["civil.low_income", "water.wells"]),
        ("HOUSEHOLDS", ["civil.low_income", "water.wells"]),
        ("hou", ["civil.low_income", "water.wells"]),
        ("county", ["water.wells", "natural.classes"]),
        ("register of persons", ["police.person_register", "civil.disabled"]),
        ("person_register", ["police.person_register", "civil.disabled"]),
        ("police.person_register", ["police.person_register"]),
        ("class", ["natural.classes"]),
        ("allowance 低保", ["civil.low_income", "civil.disabled"]),
        ("ａｌｌｏｗａｎｃｅ", ["civil.low_income", "civil.disabled"]),
        ("火箭", []),
        ("保低", []),
        ("rocket", []),
        ("!!! ·", []),
    ],
)
def test_words_of_any_length_find_title_before_items_before_abstract(store, text: str, expected: list[str]) -> None:
    assert found(store, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hold", ["civil.low_income", "water.wells"]),
        ("SEHOLDS", ["civil.low_income", "water.wells"]),
        ("llow", ["civil.low_income", "civil.disabled"]),
        ("hold 低保", ["civil.low_income", "water.wells"]),
        ("hold allow", ["civil.low_income"]),
        ("old", []),
        ("~hou", ["civil.low_income", "water.wells"]),
        ("hxld", []),
    ],
)
def test_four_letters_from_the_middle_of_a_word_find_it_if_no_word_begins_so(store, text: str, expected: list[str]) -> None:
    assert found(store, text) == expected


def test_inner_parts_are_tried_only_if_the_words_are_nowhere(store) -> None:
    here, elsewhere = {Facet.FAMILY: ["3"]}, {Facet.FAMILY: ["1"]}
    assert search(store, "hold", narrowing=here, facets=[Facet.FAMILY]).facets == {Facet.FAMILY: {"3": 2}}
    assert search(store, "low", narrowing=elsewhere).total == 0
    assert search(store, "hold", narrowing=elsewhere).total == 0
    assert search(store, "allow", narrowing=elsewhere).total == 0


def test_the_name_of_the_office_finds_its_entries(store) -> None:
    assert len(found(store, "民政厅")) == len(found(store, "Civil Affairs")) == len(ENTRIES)


def test_no_words_list_everything_and_pages_do_not_overlap(store) -> None:
    whole = search(store, "  ")
    assert [one.id for one in whole.hits] == sorted(one.id for one in ENTRIES) and whole.total == len(ENTRIES)
    pages = [search(store, "", limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [one for page in pages for one in page.hits] == list(whole.hits)
    assert {page.total for page in pages} == {len(ENTRIES)}


def test_search_is_narrowed_by_office_and_sharing(store) -> None:
    assert search(store, "低保", narrowing={Facet.OFFICE: ["somebody-else"]}).total == 0
    assert search(store, "低保", narrowing={Facet.SHARING: ["not-shared"]}).total == 0
    assert search(store, "低保", narrowing={Facet.SHARING: ["unconditional"], Facet.OFFICE: [OFFICES[0].id]}).total == 3


def test_score_is_what_the_store_ranks_by() -> None:
    indexes = [index_of(one, ()) for one in ENTRIES[:3]]
    scores = [score("低保", index) for index in indexes]
    assert scores[0] > scores[2] > scores[1] > 0
    assert score("火箭", indexes[0]) == score("", indexes[0]) == 0


chinese = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=12)
latin = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=24)


@given(text=st.lists(chinese | latin, min_size=1, max_size=5).map(" ".join), cut=st.tuples(st.integers(0, 60), st.integers(1, 60)))
def test_every_part_of_a_chinese_run_and_every_beginning_of_a_word_finds_the_text(text: str, cut: tuple[int, int]) -> None:
    index = set(tokens(text, indexing=True))
    assert set(tokens(text)) <= index
    for run in text.split():
        start = cut[0] % len(run) if run[0] >= "\u4e00" else 0
        part = run[start : start + 1 + cut[1] % (len(run) - start)]
        assert set(tokens(part)) <= index, part


@given(text=st.text(max_size=300))
def test_any_text_may_be_searched_for(text: str) -> None:
    wanted = query_tokens(text)
    assert len(wanted) <= 32 and all(wanted)
    assert set(wanted) <= set(tokens(text, indexing=True))
