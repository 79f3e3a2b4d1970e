"""Which codes rows may bear so that they lie in a division: what merged, split, moved or was renamed, before and since."""

import random
from collections.abc import Iterable
from datetime import date, timedelta

import pytest

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.model.party import Division, DivisionLevel

P, CITY, A, B, C = "520000000000", "520100000000", "520101000000", "520102000000", "520103000000"
A1, A2, B1 = "520101001000", "520101002000", "520102001000"
START, DAY, TODAY = date(2000, 1, 1), date(2020, 6, 1), date(2026, 11, 2)
BEFORE = DAY - timedelta(days=1)
LEVELS = {"000000000000": DivisionLevel.PROVINCE}


def level(code: str) -> DivisionLevel:
    for one in DivisionLevel:
        if code[one.prefix_length :] == "0" * (12 - one.prefix_length):
            return one
    raise AssertionError(code)


def division(code: str, parent: str | None, begins: date = START, ends: date | None = None, *became: str) -> Division:
    return Division(code, f"区划{code}", level(code), parent, begins, ends, tuple(became))


def place(*more: Division, without: Iterable[str] = ()) -> Divisions:
    """A city of three counties, the first with two townships, the second with one."""
    standing = [
        division(P, None),
        division(CITY, P),
        division(A, CITY),
        division(B, CITY),
        division(C, CITY),
        division(A1, A),
        division(A2, A),
        division(B1, B),
    ]
    replaced = {one.code for one in more} | set(without)
    return Divisions([*(one for one in standing if one.code not in replaced), *more])


class TestACountyIsRenumbered:
    NEW, NEW1 = "520181000000", "520181001000"

    @pytest.fixture
    def tree(self) -> Divisions:
        """County A with its townships becomes a city of the county level; only of one township it is told which it became."""
        return place(
            division(A, CITY, START, DAY, self.NEW),
            division(A1, A, START, DAY, self.NEW1),
            division(A2, A, START, DAY),
            division(self.NEW, CITY, DAY),
            division(self.NEW1, self.NEW, DAY),
            division("520181002000", self.NEW, DAY),
        )

    def test_a_grant_of_the_old_county_goes_on_with_rows_of_old_and_new_codes(self, tree: Divisions) -> None:
        assert tree.codes_under(A, BEFORE) == {A, A1, A2}
        assert tree.codes_under(A, TODAY) == {A, A1, A2, self.NEW, self.NEW1, "520181002000"}

    def test_a_grant_of_the_new_one_reaches_rows_with_old_codes(self, tree: Divisions) -> None:
        assert tree.codes_under(self.NEW, TODAY) == {A, A1, A2, self.NEW, self.NEW1, "520181002000"}
        assert tree.codes_under(self.NEW, BEFORE) == {A, A1, A2}, "rows of before bear no code that came later"

    def test_the_city_above_has_all_and_its_neighbours_nothing(self, tree: Divisions) -> None:
        assert {A, A1, A2, self.NEW, self.NEW1, B, B1, C} < tree.codes_under(CITY, TODAY)
        assert tree.codes_under(B, TODAY) == {B, B1}

    def test_what_became_of_it_is_told(self, tree: Divisions) -> None:
        assert [one.code for one in tree.successors(A, TODAY)] == [self.NEW]
        assert [one.code for one in tree.successors(A, BEFORE)] == [A]
        assert [one.code for one in tree.predecessors(self.NEW)] == [A]
        assert tree.successors(A2, TODAY) == [] == tree.successors("999999999999", TODAY)


class TestACountyIsSplit:
    @pytest.fixture
    def tree(self) -> Divisions:
        """County A ends; township A1 goes with the new county N, township A2 to the neighbour B that goes on."""
        return place(
            division(A, CITY, START, DAY, "520104000000", B),
            division(A1, A, START, DAY, "520104001000"),
            division(A2, A, START, DAY, "520102002000"),
            division("520104000000", CITY, DAY),
            division("520104001000", "520104000000", DAY),
            division("520102002000", B, DAY),
        )

    def test_a_grant_of_the_county_that_ended_follows_all_its_parts_and_no_more(self, tree: Divisions) -> None:
        assert tree.codes_under(A, TODAY) == {A, A1, A2, "520104000000", "520104001000", "520102002000"}
        assert B not in tree.codes_under(A, TODAY) and B1 not in tree.codes_under(A, TODAY)

    def test_rows_of_the_old_county_as_a_whole_belong_to_neither_heir(self, tree: Divisions) -> None:
        assert tree.codes_under("520104000000", TODAY) == {A1, "520104000000", "520104001000"}
        assert tree.codes_under(B, TODAY) == {A2, B, B1, "520102002000"}

    def test_a_grant_agreed_for_the_neighbour_before_does_not_grow(self, tree: Divisions) -> None:
        assert tree.codes_under(B, TODAY, agreed=BEFORE) == {B1}, "rows told only as B may lie in what B took in"
        assert tree.codes_under(B, BEFORE, agreed=BEFORE) == {B, B1}
        assert tree.grown(B, since=BEFORE, until=TODAY) == DAY
        assert tree.grown(B, since=DAY, until=TODAY) is None is tree.grown(A, since=BEFORE, until=TODAY)
        assert tree.grown(CITY, since=BEFORE, until=TODAY) is None, "for the city nothing came from outside"


class TestTwoCountiesMerge:
    @pytest.fixture
    def tree(self) -> Divisions:
        """A and B become N; nothing is told of the townships, which end with their counties."""
        return place(
            division(A, CITY, START, DAY, "520105000000"),
            division(B, CITY, START, DAY, "520105000000"),
            division(A1, A, START, DAY),
            division(A2, A, START, DAY),
            division(B1, B, START, DAY),
            division("520105000000", CITY, DAY),
            division("520105001000", "520105000000", DAY),
        )

    def test_the_merged_county_keeps_the_history_of_both(self, tree: Divisions) -> None:
        assert tree.codes_under("520105000000", TODAY) == {A, A1, A2, B, B1, "520105000000", "520105001000"}

    def test_a_grant_of_one_of_them_stays_with_the_rows_of_before(self, tree: Divisions) -> None:
        assert tree.codes_under(A, TODAY) == {A, A1, A2}, "what is coded by the merged county may lie in the other's area"


def test_a_township_that_moves_is_followed_by_the_county_it_was_agreed_in_not_by_its_new_one() -> None:
    new = "520102009000"
    tree = place(division(A2, A, START, DAY, new), division(new, B, DAY))
    assert tree.codes_under(A, TODAY, agreed=BEFORE) == {A, A1, A2, new}
    assert tree.codes_under(B, TODAY, agreed=BEFORE) == {B1}
    assert tree.codes_under(A, TODAY) == {A, A1}, "agreed today, the county is what it is today"
    assert tree.codes_under(B, TODAY) == {A2, B, B1, new}
    assert tree.codes_under(CITY, TODAY, agreed=BEFORE) == {CITY, A, A1, A2, B, B1, C, new}


def test_what_had_merged_before_a_part_left_is_not_shown_by_what_is_left() -> None:
    """C went into A in 2010, A lost a township to B in 2020: where C's rows lie is not known any more below the city."""
    merged = date(2010, 1, 1)
    tree = place(division(C, CITY, START, merged, A), division(A2, A, START, DAY, "520102009000"), division("520102009000", B, DAY))
    assert C in tree.codes_under(A, BEFORE)
    assert C not in tree.codes_under(A, TODAY) and C not in tree.codes_under(B, TODAY)
    assert C in tree.codes_under(CITY, TODAY)


def test_a_code_whose_end_nobody_explained_is_shown_to_nobody() -> None:
    tree = place(division(A2, A, START, DAY))
    for above in (A, CITY, P):
        assert A2 in tree.codes_under(above, BEFORE)
        assert A2 not in tree.codes_under(above, TODAY)


def test_a_new_code_below_a_division_that_did_not_grow_is_inside() -> None:
    community = "520101003000"
    tree = place(division(community, A, DAY))
    assert community in tree.codes_under(A, TODAY, agreed=BEFORE)
    assert community not in tree.codes_under(A, BEFORE, agreed=TODAY)


def test_a_new_code_below_a_division_that_took_something_in_may_lie_there_and_is_left_out() -> None:
    community, later = "520101003000", DAY + timedelta(days=100)
    tree = place(division(C, CITY, START, DAY, A), division(community, A, later))
    assert community not in tree.codes_under(A, TODAY, agreed=BEFORE)
    assert community in tree.codes_under(A, TODAY, agreed=DAY) and community in tree.codes_under(CITY, TODAY, agreed=BEFORE)


def test_changes_of_guizhou() -> None:
    guizhou = load_divisions()

    def county_codes(code: str, agreed: date | None = None) -> set[str]:
        under = guizhou.codes_under(code, TODAY, agreed)
        return {guizhou.get(one).name + one[:6] for one in under if one.endswith("000000")}

    assert county_codes("520281000000") == {"盘县特区520202", "盘县520222", "盘州市520281"}
    assert county_codes("520222000000") == {"盘县特区520202", "盘县520222", "盘州市520281"}, "a grant that named 盘县 goes on"
    assert county_codes("520221000000") == {"水城县520221", "水城区520204"}
    assert county_codes("520204000000") == {"水城区520204"}, "parts of 水城县 went to 钟山区"
    assert county_codes("520201000000") == {"钟山区520201"}
    assert {"水城县520221", "钟山区520201", "水城区520204"} <= county_codes("520200000000")
    assert county_codes("520402000000") == {"安顺县522521", "安顺市522501", "西秀区520402"}
    assert county_codes("520321000000") == {"遵义县522121", "遵义县520321", "播州区520304"}
    assert guizhou.grown("520201000000", since=date(2019, 1, 1), until=TODAY) == date(2020, 7, 18)
    for ended in (one for one in guizhou.every() if one.valid_to):
        assert all(guizhou.get(successor).valid_from <= ended.valid_to for successor in ended.successors), ended
        assert guizhou.successors(ended.code, TODAY), ended


def test_by_chance_no_code_ever_shows_a_place_outside() -> None:
    """Against the plain truth: every code is a set of places; whatever the tree tells must lie in the area that was agreed."""
    dice = random.Random(520000)
    followed = 0
    for _ in range(150):
        tree, areas, days = _chance(dice)
        for code in areas:
            for agreed in days:
                if not tree.get(code).valid_at(agreed):
                    continue
                area = areas[code][agreed]
                for at in (day for day in days if day >= agreed):
                    for shown in tree.codes_under(code, at, agreed):
                        in_force = [day for day in days if tree.get(shown).valid_at(day) and day <= at]
                        if tree.get(shown).valid_at(agreed):
                            in_force = [day for day in in_force if day >= agreed]
                        everywhere = frozenset().union(*(areas[shown][day] for day in in_force))
                        assert everywhere <= area, (code, agreed, at, shown)
                        followed += not tree.get(shown).valid_at(agreed)
    assert followed > 1000, "codes of other days were shown, too"


def _chance(dice: random.Random) -> tuple[Divisions, dict[str, dict[date, frozenset[int]]], list[date]]:
    """A county tree of six places in which things happen on four days; and the places of each code on each day, as they truly are.

    Every change is told; a continuing county takes in and gives away places by townships that move."""
    days = [START + timedelta(days=1000 * step) for step in range(5)]
    begins: dict[str, date] = {}
    ends: dict[str, tuple[date, tuple[str, ...]]] = {}
    parent: dict[str, str] = {}
    holds: dict[str, frozenset[int]] = {}  # of a township in force
    areas: dict[str, dict[date, frozenset[int]]] = {}
    numbers = iter(range(1, 999))

    def begin(above: str, day: date) -> str:
        number = next(numbers)
        code = f"5201{number:02d}000000" if above == CITY else f"{above[:6]}{number:03d}000"
        begins[code], parent[code] = day, above
        return code

    counties = [begin(CITY, days[0]) for _ in range(3)]
    for county in counties:
        for _ in range(2):
            holds[begin(county, days[0])] = frozenset((len(holds),))

    def alive(above: str) -> list[str]:
        return [code for code in parent if parent[code] == above and code not in ends]

    def note(day: date) -> None:
        for county in alive(CITY):
            for town in alive(county):
                areas.setdefault(town, {})[day] = holds[town]
            areas.setdefault(county, {})[day] = frozenset().union(*(holds[town] for town in alive(county)))

    def move(town: str, county: str, day: date) -> None:
        new = begin(county, day)
        holds[new] = holds[town]
        ends[town] = (day, (new,))

    note(days[0])
    for day in days[1:]:
        fresh = [county for county in alive(CITY) if begins[county] < day]
        kind = dice.choice(("renumber", "merge", "split", "move", "absorb", "nothing"))
        dice.shuffle(fresh)
        if kind == "renumber" and fresh:
            new = begin(CITY, day)
            for town in alive(fresh[0]):
                move(town, new, day)
            ends[fresh[0]] = (day, (new,))
        elif kind == "merge" and len(fresh) > 1:
            new = begin(CITY, day)
            for county in fresh[:2]:
                for town in alive(county):
                    move(town, new, day)
                ends[county] = (day, (new,))
        elif kind == "absorb" and len(fresh) > 1:
            for town in alive(fresh[0]):
                move(town, fresh[1], day)
            ends[fresh[0]] = (day, (fresh[1],))
        elif kind == "split" and fresh and len(alive(fresh[0])) > 1:
            first, *others = alive(fresh[0])
            heirs = [begin(CITY, day), begin(CITY, day) if len(fresh) < 2 or dice.random() < 0.5 else fresh[1]]
            move(first, heirs[0], day)
            for town in others:
                move(town, heirs[1], day)
            ends[fresh[0]] = (day, tuple(heirs))
        elif kind == "move" and len(fresh) > 1 and len(alive(fresh[0])) > 1:
            move(alive(fresh[0])[0], fresh[1], day)
        note(day)
    made = [division(P, None), division(CITY, P)]
    for code, above in parent.items():
        ended, became = ends.get(code, (None, ()))
        made.append(Division(code, code, level(code), above, begins[code], ended, became))
    return Divisions(made), areas, days
