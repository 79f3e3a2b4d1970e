"""The divisions of Guizhou: the edition of 2023, and what it came of since the end of 1987."""

from datetime import date

import pytest

from huitong.catalog.divisions import EDITION_FROM, Divisions, load_divisions
from huitong.errors import InputInvalid
from huitong.model.party import Division, DivisionLevel

GUIZHOU, GUIYANG, NANMING, XINHUA_ROAD = "520000000000", "520100000000", "520102000000", "520102016000"
TODAY = date(2026, 11, 2)


@pytest.fixture(scope="module")
def guizhou() -> Divisions:
    return load_divisions()


def test_all_divisions_of_five_levels_are_there(guizhou: Divisions) -> None:
    counts = {level: guizhou.search(level=level, limit=0)[1] for level in DivisionLevel}
    assert list(counts.values()) == [1, 9, 88, 1510, 17964]
    assert len(guizhou) == 19572 == len(guizhou.search(limit=100_000)[0])
    assert len(list(guizhou.every())) == 19572 + 59, "59 counties and prefectures exist no more"


def test_below_goes_by_the_tree(guizhou: Divisions) -> None:
    assert guizhou.get(NANMING).name == "南明区" and guizhou.get("999999999999") is None
    assert [division.name for division in guizhou.line(XINHUA_ROAD)] == ["贵州省", "贵阳市", "南明区", "新华路街道"]
    assert XINHUA_ROAD in {division.code for division in guizhou.children(NANMING)}
    below = guizhou.codes_under(NANMING, TODAY)
    assert NANMING in below and XINHUA_ROAD in below and GUIYANG not in below
    for code in list(below)[:200]:
        assert NANMING in {division.code for division in guizhou.line(code)}
    assert guizhou.codes_under("999999999999", TODAY) == frozenset()


def test_parts_add_up_to_the_whole(guizhou: Divisions) -> None:
    cities = guizhou.children(GUIZHOU)
    assert len(cities) == 9
    parts = [guizhou.codes_under(city.code, TODAY) for city in cities]
    together = frozenset().union(*parts)
    assert sum(map(len, parts)) == len(together), "no code, of today or of before, lies under two cities"
    rest = {division.code for division in guizhou.every()} - together
    assert {guizhou.get(code).name for code in rest} == {"贵州省", "安顺地区"}, "开阳 and others left 安顺地区 for 贵阳 in 1995"


def test_what_is_not_known_of_before_the_edition_is_not_shown(guizhou: Divisions) -> None:
    assert guizhou.codes_under(NANMING, date(1987, 1, 1)) == frozenset()
    assert guizhou.codes_under(NANMING, date(2015, 1, 1)) == {NANMING}, "its townships are known from the edition of 2023 on"
    assert len(guizhou.codes_under(NANMING, EDITION_FROM)) > 100


@pytest.mark.parametrize(
    ("text", "first"), [("贵阳", "贵阳市"), ("南明区", "南明区"), ("遵", "遵义市"), ("520102", "南明区"), (" 新华路 ", "新华路街道")]
)
def test_a_division_is_found_by_any_part_of_its_name_or_the_start_of_its_code(guizhou: Divisions, text: str, first: str) -> None:
    found, count = guizhou.search(text, limit=5)
    assert found[0].name == first and count >= len(found)


def test_search_is_narrowed_by_level_and_by_what_lies_above(guizhou: Divisions) -> None:
    found, count = guizhou.search(level=DivisionLevel.COUNTY, under=GUIYANG, limit=100)
    assert count == len(found) == 10
    assert guizhou.search("不存在的地方") == ([], 0)
    first, _ = guizhou.search(level=DivisionLevel.CITY, limit=3)
    rest, _ = guizhou.search(level=DivisionLevel.CITY, limit=100, offset=3)
    assert len(first) + len(rest) == 9 and not set(first) & set(rest)


def test_search_on_a_day_finds_what_was_in_force_then(guizhou: Divisions) -> None:
    assert [one.code for one in guizhou.search("水城县")[0]] == []
    assert [one.code for one in guizhou.search("水城县", at=date(2019, 1, 1))[0]] == ["520221000000"]
    assert [one.name for one in guizhou.search("盘", level=DivisionLevel.COUNTY, at=date(1990, 1, 1))[0]] == ["盘县特区"]
    assert guizhou.search(level=DivisionLevel.CITY, at=date(1990, 1, 1))[1] == 9
    assert "小河区" in {one.name for one in guizhou.children(GUIYANG, at=date(2005, 1, 1))}
    assert "小河区" not in {one.name for one in guizhou.children(GUIYANG)}


def test_validity_is_a_half_open_stretch_and_a_tree_has_no_circle() -> None:
    text = (
        "code,name,level,parent,valid_from,valid_to\n"
        "520000000000,省,province,,2000-01-01,\n"
        "520100000000,市,city,520000000000,2000-01-01,2020-05-01\n"
        "520200000000,新市,city,520000000000,2020-05-01,\n"
    )
    divisions = load_divisions(text)
    assert divisions.codes_under("520000000000", date(2020, 4, 30)) == {"520000000000", "520100000000"}
    assert divisions.codes_under("520000000000", date(2020, 5, 1)) == {"520000000000", "520200000000"}

    def division(code: str, parent: str) -> Division:
        return Division(code=code, name="x", level=DivisionLevel.CITY, parent=parent, valid_from=TODAY)

    for wrong in (
        [division("520100000000", "520200000000"), division("520200000000", "520100000000")],
        [division("520100000000", "52"), division("520100000000", "52")],
    ):
        with pytest.raises(InputInvalid):
            Divisions(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "code,name,level,parent\n520000000000,省,planet,\n",
        "code,name\n520000000000,省\n",
        "code,name,level,parent,valid_from\n520000000000,省,province,,last week\n",
    ],
)
def test_a_list_that_cannot_be_read_says_where(text: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        load_divisions(text)
    assert caught.value.reasons[0].code == "division-row-invalid" and caught.value.reasons[0].parameters == {"line": 2}
