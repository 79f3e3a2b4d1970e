"""The demo's province against the shipped scheme: its entries are graded high enough, and its story needs one reviewer an office."""

import pytest

from huitong.cli.story import CIVIL_ITEMS, MEDICAL_ITEMS
from huitong.demo.province import datasets
from huitong.model.policy import ItemTerm
from huitong.policy.grading import floor_faults, grade_of_terms, scheme

ENTRIES = {entry.id: entry for entry in datasets()}


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_no_entry_of_the_demo_is_graded_too_low(name: str) -> None:
    assert floor_faults(ENTRIES[name], ENTRIES) == ()


@pytest.mark.parametrize(("name", "items"), [("civil.minimum_allowance", CIVIL_ITEMS), ("medical.settlement", MEDICAL_ITEMS)])
def test_what_the_story_asks_for_takes_one_reviewer(name: str, items: tuple[str, ...]) -> None:
    entry = ENTRIES[name]
    terms = [ItemTerm(one, scheme().default_mask(found)) for one in items if (found := entry.item(one))]
    assert len(terms) == len(items)
    assert scheme().at(grade_of_terms(entry, terms, sources=ENTRIES).grade).reviewers == 1
