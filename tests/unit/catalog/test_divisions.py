"""The divisions of Guizhou."""

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
    assert len(guizhou) == 19572 == len(guizhou.codes_under(GUIZHOU, TODAY))


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
    parts = [guizhou.codes_under(city.code, TODAY) for city in guizhou.children(GUIZHOU)]
    assert sum(map(len, parts)) + 1 == len(guizhou), "no code lies under two cities"


def test_what_held_before_the_edition_is_not_known(guizhou: Divisions) -> None:
    assert guizhou.codes_under(NANMING, date(2015, 1, 1)) == frozenset()
    assert guizhou.codes_under(NANMING, EDITION_FROM)


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
