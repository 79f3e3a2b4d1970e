"""The grade of a whole follows from its items, their meanings, what they were made of, what they are together, and how many."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spec.sharing.world import CLEAR, HIDE, LOW_INCOME, PSEUDONYM, item

from huitong.model.catalog import Dataset, Grade, Item, ItemType
from huitong.model.policy import ItemTerm, Mask, MaskKind
from huitong.policy.grading import (
    effective_grade,
    floor_faults,
    floor_of_meaning,
    grade_of_items,
    grade_of_terms,
    item_grades,
    read_scheme,
    reviewers_needed,
    scheme,
    sources_of,
    storage_rule,
)


def dataset(name: str, *items: Item, made_of: tuple[str, ...] = ()) -> Dataset:
    """An entry of these items."""
    return replace(LOW_INCOME, id=name, items=items, key=None, division_item=None, derived_from=made_of)


def part(name: str, grade: int, *sources: str, meaning: str | None = None, kind: ItemType = ItemType.TEXT) -> Item:
    """An item made of others."""
    return replace(item(name, "项", "item", Grade(grade), meaning=meaning, kind=kind), derived_from=sources)


def codes(reasons) -> list[str]:
    return [reason.code for reason in reasons]


PERSON = dataset("a.person", part("id", 4, meaning="resident-id"), part("born", 2), part("income", 4))


def test_without_anything_else_it_is_the_highest_of_its_items() -> None:
    found = effective_grade(PERSON)
    assert found.grade is Grade.HIGHLY_SENSITIVE
    assert {(one.code, one.parameters["item"]) for one in found.because} == {("grade-by-item", "id"), ("grade-by-item", "income")}


# Meanings


def test_a_meaning_has_a_least_grade() -> None:
    assert floor_of_meaning("resident-id") is Grade.SENSITIVE
    assert floor_of_meaning(None) is floor_of_meaning("never-heard-of") is Grade.PUBLIC
    low = dataset("a.low", part("id", 2, meaning="resident-id"))
    assert codes(floor_faults(low, {})) == ["grade-too-low"]
    assert effective_grade(low).grade is Grade.SENSITIVE, "and counts with it even if it was published before"
    assert codes(effective_grade(low).because) == ["grade-by-meaning"]


# Lineage


def test_an_item_is_at_least_what_it_was_made_of() -> None:
    share = dataset("b.share", part("share", 2, "a.person#income"), made_of=("a.person",))
    found = effective_grade(share, sources={"a.person": PERSON})
    assert (found.grade, codes(found.because)) == (Grade.HIGHLY_SENSITIVE, ["grade-by-source"])
    (fault,) = floor_faults(share, {"a.person": PERSON})
    assert (fault.code, fault.parameters["lowest"], fault.parameters["source"]) == ("grade-below-source", 4, "a.person#income")


def test_an_item_is_only_what_it_itself_was_made_of() -> None:
    share = dataset("b.share", part("year", 2, "a.person#born"), made_of=("a.person",))
    assert effective_grade(share, sources={"a.person": PERSON}).grade is Grade.INTERNAL
    assert floor_faults(share, {"a.person": PERSON}) == ()


def test_an_item_that_does_not_say_what_it_was_made_of_counts_as_made_of_everything() -> None:
    share = dataset("b.share", part("year", 2, "a.person#born"), part("n", 2), made_of=("a.person",))
    found = effective_grade(share, sources={"a.person": PERSON})
    assert (found.grade, codes(found.because)) == (Grade.HIGHLY_SENSITIVE, ["grade-by-source-dataset"])
    assert codes(floor_faults(share, {"a.person": PERSON})) == ["grade-below-source-dataset"]


def test_it_goes_on_through_every_step() -> None:
    one = dataset("b.one", part("x", 2, "a.person#income"))
    two = dataset("c.two", part("y", 2, "b.one#x"))
    assert effective_grade(two, sources={"b.one": one, "a.person": PERSON}).grade is Grade.HIGHLY_SENSITIVE


def test_a_name_of_a_source_item_that_is_not_there_is_a_fault() -> None:
    wrong = dataset("b.one", part("x", 4, "a.person#salary"))
    assert codes(floor_faults(wrong, {"a.person": PERSON})) == ["grade-source-item-unknown"]


def test_circles_end_and_take_the_highest() -> None:
    first = dataset("a.first", part("x", 2, "b.second#y"), part("z", 5))
    second = dataset("b.second", part("y", 3, "a.first#x", "a.first#z"))
    entries = {"a.first": first, "b.second": second}
    assert item_grades(first, sources=entries) == {"x": Grade.IMPORTANT, "z": Grade.IMPORTANT}
    assert item_grades(second, sources=entries) == {"y": Grade.IMPORTANT}
    itself = dataset("c.self", part("x", 2, "c.self#x"))
    assert effective_grade(itself, sources={}).grade is Grade.INTERNAL


def test_long_and_wide_lineage_ends_soon() -> None:
    """A chain of 500 entries, each made twice over of the one before: paths without number, parts not."""
    entries = {"a.d0": dataset("a.d0", part("x", 4), part("y", 1))}
    for step in range(1, 500):
        before = (f"a.d{step - 1}#x", f"a.d{step - 1}#y")
        entries[f"a.d{step}"] = dataset(f"a.d{step}", part("x", 1, *before), part("y", 1, *before))
    begun = time.monotonic()
    assert effective_grade(entries["a.d499"], sources=entries).grade is Grade.HIGHLY_SENSITIVE
    assert time.monotonic() - begun < 5


def test_sources_are_those_of_the_entry_and_of_its_items() -> None:
    both = dataset("b.both", part("x", 2, "a.person#born", "b.both#y"), part("y", 2, "c.other#z"), made_of=("d.whole", "a.person"))
    assert sources_of(both) == ("d.whole", "a.person", "c.other")


@given(
    grades=st.lists(st.integers(1, 6), min_size=6, max_size=6),
    edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_item_has_the_highest_grade_among_all_that_it_was_made_of(grades: list[int], edges: set[tuple[int, int]]) -> None:
    """Judged by reachability, whatever the shape of the lineage."""
    items = [part("x", grade, *(f"a.d{to}#x" for at, to in sorted(edges) if at == number)) for number, grade in enumerate(grades)]
    entries = {f"a.d{number}": dataset(f"a.d{number}", one) for number, one in enumerate(items)}
    for number in range(6):
        reached, waiting = set(), [number]
        while waiting:
            at = waiting.pop()
            if at not in reached:
                reached.add(at)
                waiting += [to for start, to in edges if start == at]
        assert item_grades(entries[f"a.d{number}"], sources=entries)["x"] == max(grades[one] for one in reached)


# Lowerings

LOWERING = """
base = "gb-t-43697"
id = "own"

[[lowering]]
dataset = "b.count"
item = "ITEM"
grade = 2
manner = "aggregated"
basis = "按县汇总，每组不少于 10 人"
agreed_by = ["yang", "wang"]
agreed_on = 2026-11-02
"""


def test_two_peoples_word_with_its_basis_lets_an_aggregate_be_graded_lower() -> None:
    own = read_scheme(LOWERING.replace("ITEM", "n"))
    count = dataset("b.count", part("n", 2, "a.person#id", kind=ItemType.INTEGER), made_of=("a.person",))
    sources = {"a.person": PERSON}
    assert codes(floor_faults(count, sources)) == ["grade-below-source"]
    assert floor_faults(count, sources, scheme=own) == ()
    found = effective_grade(count, sources=sources, scheme=own)
    assert found.grade is Grade.INTERNAL
    assert "grade-lowered" in codes(found.because), "and it is said"
    too_low = dataset("b.count", part("n", 1, "a.person#id", kind=ItemType.INTEGER), made_of=("a.person",))
    assert codes(floor_faults(too_low, sources, scheme=own)) == ["grade-below-source"], "not below what they agreed to"


def test_a_lowering_of_the_whole_is_for_items_that_name_no_source_and_for_those_alone() -> None:
    own = read_scheme(LOWERING.replace("ITEM", "*"))
    silent = dataset("b.count", part("n", 2), made_of=("a.person",))
    naming = dataset("b.count", part("n", 2, "a.person#id"), part("m", 2), made_of=("a.person",))
    sources = {"a.person": PERSON}
    assert floor_faults(silent, sources, scheme=own) == ()
    assert effective_grade(silent, sources=sources, scheme=own).grade is Grade.INTERNAL
    assert codes(floor_faults(naming, sources, scheme=own)) == ["grade-below-source"]


def test_what_was_made_of_a_lowered_item_follows_the_lowering() -> None:
    own = read_scheme(LOWERING.replace("ITEM", "n"))
    count = dataset("b.count", part("n", 2, "a.person#id"))
    later = dataset("c.later", part("n", 2, "b.count#n"))
    sources = {"a.person": PERSON, "b.count": count}
    assert effective_grade(later, sources=sources, scheme=own).grade is Grade.INTERNAL
    assert effective_grade(later, sources=sources).grade is Grade.HIGHLY_SENSITIVE


# Together, and how many

CONTACT = dataset(
    "a.contact",
    part("id", 3, meaning="resident-id"),
    part("name", 2, meaning="person-name"),
    part("phone", 2, meaning="phone"),
    part("village", 1, meaning="division-code"),
)


def test_what_is_harmless_alone_is_not_together() -> None:
    found = effective_grade(CONTACT)
    assert found.grade is Grade.HIGHLY_SENSITIVE
    (reason,) = found.because
    assert (reason.code, reason.parameters["items"]) == ("grade-by-combination", "id, name, phone")
    assert str(reason.parameters["basis"]).startswith("GB/T 43697")


@pytest.mark.parametrize(
    ("items", "grade"),
    [
        (("village",), Grade.PUBLIC),
        (("name", "phone"), Grade.INTERNAL),
        (("ID",), Grade.SENSITIVE),
        (("id", "name"), Grade.SENSITIVE),
        (("id", "name", "phone"), Grade.HIGHLY_SENSITIVE),
        ((), Grade.PUBLIC),
    ],
)
def test_items_together_have_their_own_grade(items: tuple[str, ...], grade: Grade) -> None:
    assert grade_of_items(CONTACT, items).grade is grade


FIRST, LAST = Mask(MaskKind.PARTIAL, {"first": 1, "last": 0}), Mask(MaskKind.PARTIAL, {"first": 3, "last": 4})


def test_what_is_hidden_does_not_leave_and_what_is_masked_counts_as_masked() -> None:
    def grade(**masks: Mask) -> Grade:
        return grade_of_terms(CONTACT, [ItemTerm(name, mask) for name, mask in masks.items()]).grade

    assert grade(id=CLEAR, name=CLEAR, phone=CLEAR) is Grade.HIGHLY_SENSITIVE
    assert grade(id=CLEAR, name=CLEAR, phone=HIDE) is Grade.SENSITIVE
    assert grade(id=PSEUDONYM, name=FIRST, phone=LAST) is Grade.SENSITIVE, "each behind its default mask"
    assert grade(id=PSEUDONYM, name=FIRST, phone=CLEAR) is Grade.HIGHLY_SENSITIVE, "one of them is not"
    assert grade(id=HIDE) is Grade.PUBLIC


def test_what_is_held_counts_towards_a_combination_that_it_does_not_make_alone() -> None:
    def grade(asked: dict[str, Mask], held: dict[str, Mask]) -> Grade:
        asked_terms, held_terms = ([ItemTerm(name, mask) for name, mask in one.items()] for one in (asked, held))
        return grade_of_terms(CONTACT, asked_terms, held=held_terms).grade

    both = {"id": CLEAR, "name": CLEAR}
    assert grade({"phone": CLEAR}, both) is Grade.HIGHLY_SENSITIVE
    assert grade({"phone": HIDE}, both) is Grade.PUBLIC
    assert grade({"village": CLEAR}, {**both, "phone": CLEAR}) is Grade.PUBLIC, "it was complete before"
    masked = {"id": PSEUDONYM, "name": FIRST}
    assert grade({"phone": LAST}, masked) is Grade.SENSITIVE
    assert grade({"phone": CLEAR}, {**masked, "phone": LAST}) is Grade.HIGHLY_SENSITIVE, "now one part of it in clear"


def test_important_data_are_not_less_behind_a_mask() -> None:
    important = dataset("a.x", part("id", 5, meaning="resident-id"))
    assert grade_of_terms(important, [ItemTerm("id", PSEUDONYM)]).grade is Grade.IMPORTANT


def test_more_than_ten_million_persons_are_treated_as_important() -> None:
    assert effective_grade(CONTACT, rows=10_000_000).grade is Grade.HIGHLY_SENSITIVE
    found = effective_grade(CONTACT, rows=10_000_001)
    assert (found.grade, codes(found.because)) == (Grade.IMPORTANT, ["grade-by-scale"])
    assert effective_grade(CONTACT, rows=90_000_000, persons=4_000_000).grade is Grade.HIGHLY_SENSITIVE, "persons, where counted"
    villages = dataset("a.village", part("village", 1, meaning="division-code"))
    assert effective_grade(villages, rows=90_000_000).grade is Grade.PUBLIC, "rows about nobody"


@given(
    terms=st.lists(st.sampled_from(CONTACT.items), unique_by=lambda one: one.name),
    more=st.sampled_from(CONTACT.items),
    rows=st.sampled_from((None, 5, 20_000_000)),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_more_items_never_have_a_lower_grade(terms: list[Item], more: Item, rows: int | None) -> None:
    names = [one.name for one in terms]
    assert grade_of_items(CONTACT, names, rows=rows).grade <= grade_of_items(CONTACT, [*names, more.name], rows=rows).grade
    assert grade_of_items(CONTACT, names, rows=rows).grade <= effective_grade(CONTACT, rows=rows).grade


# What a grade selects


def test_a_higher_grade_never_asks_for_less() -> None:
    for one in (scheme("gb-t-43697"), scheme("db52-t-1123")):
        rules = [one.at(grade) for grade in Grade]
        assert [rule.reviewers for rule in rules] == sorted(rule.reviewers for rule in rules)
        assert [rule.storage.keep_days for rule in rules] == sorted((rule.storage.keep_days for rule in rules), reverse=True)
        assert rules[-1].modes == frozenset(), "core, or classified, never leaves"


def test_the_shipped_numbers() -> None:
    assert [reviewers_needed(grade) for grade in Grade] == [1, 1, 1, 2, 2, 2]
    assert storage_rule(Grade.SENSITIVE).keep_days == 365 and storage_rule(Grade.SENSITIVE).reject_rows_kept
    assert storage_rule(Grade.CORE).sandbox_level == 2 and not storage_rule(Grade.CORE).reject_rows_kept
