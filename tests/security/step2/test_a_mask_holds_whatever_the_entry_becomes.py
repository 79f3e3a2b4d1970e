"""A grant stands while the entry is published anew: what leaves is behind the mask that was agreed, or nothing leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import NANMING, PEOPLE, PERSON, PERSON_GRANT, World

from huitong.errors import Refused, Unavailable
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import MaskKind

MASKED = [term.item for term in PERSON_GRANT.terms.items if term.mask.kind is not MaskKind.CLEAR]
MEANINGS = [None, "resident-id", "division-code", "person-name", "money-fen"]


def answers(world: World, entry: Dataset, item: str) -> list[object]:
    """What leaves of the item after the entry was published anew over the same rows; nothing if it is refused."""
    world.published[entry.id] = entry
    world.epoch += 1
    try:
        return world.ask(f"SELECT {item} FROM {entry.id}").table.column(0).to_pylist()
    except (Refused, Unavailable):
        return []


@pytest.mark.parametrize("item", MASKED)
def test_another_type_or_meaning_of_an_item_lifts_no_mask(tmp_path: Path, item: str) -> None:
    world = World(tmp_path)
    raw = {row[item] for row in PEOPLE} - {None, NANMING}  # a county is its own county
    seen = 0
    for kind in ItemType:
        for meaning in MEANINGS:
            items = tuple(replace(one, type=kind, meaning=meaning) if one.name == item else one for one in PERSON.items)
            found = answers(world, replace(PERSON, items=items), item)
            assert not {str(value) for value in found} & {str(value) for value in raw}
            assert len(found) <= 4, "only rows of Nanming"
            seen += bool(found)
    assert seen, "some of them are answered, behind the mask"


@pytest.mark.parametrize("other", ["gender", "name", "phone", None])
def test_another_division_item_does_not_move_the_rows_that_were_agreed(tmp_path: Path, other: str | None) -> None:
    world = World(tmp_path)
    before = answers(world, PERSON, "salary")
    assert answers(world, replace(PERSON, division_item=other), "salary") == before
    without = tuple(one for one in PERSON.items if one.name != "division")
    assert answers(world, replace(PERSON, items=without, division_item=None), "salary") == [], "no rows without their cut"
