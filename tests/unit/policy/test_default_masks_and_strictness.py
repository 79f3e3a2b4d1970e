"""The mask an item gets by default follows its meaning and grade; a reviewer may choose a stricter one and never a laxer."""

from itertools import pairwise

import pytest

from huitong.masks import check_mask
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText
from huitong.policy.default_masks import default_mask, stricter_or_equal

TITLE = BilingualText(zh="项", en="item")
CLEAR, HIDE, PSEUDONYM = Mask(MaskKind.CLEAR), Mask(MaskKind.HIDE), Mask(MaskKind.PSEUDONYM)


def _partial(first: int, last: int) -> Mask:
    return Mask(MaskKind.PARTIAL, {"first": first, "last": last})


def _to(level: str) -> Mask:
    return Mask(MaskKind.GENERALISE, {"to": level})


def _step(step: int) -> Mask:
    return Mask(MaskKind.GENERALISE, {"step": step})


@pytest.mark.parametrize(
    ("meaning", "kind", "grade", "expected"),
    [
        ("resident-id", ItemType.TEXT, Grade.INTERNAL, PSEUDONYM),
        ("person-name", ItemType.TEXT, Grade.SENSITIVE, _partial(1, 0)),
        ("person-name", ItemType.TEXT, Grade.HIGHLY_SENSITIVE, HIDE),
        ("phone", ItemType.TEXT, Grade.SENSITIVE, _partial(3, 4)),
        ("division-code", ItemType.TEXT, Grade.INTERNAL, CLEAR),
        ("division-code", ItemType.TEXT, Grade.SENSITIVE, _to("township")),
        (None, ItemType.TEXT, Grade.PUBLIC, CLEAR),
        (None, ItemType.TEXT, Grade.HIGHLY_SENSITIVE, HIDE),
        ("unheard-of", ItemType.TEXT, Grade.HIGHLY_SENSITIVE, HIDE),
        (None, ItemType.DATE, Grade.SENSITIVE, _to("month")),
        ("money-fen", ItemType.INTEGER, Grade.INTERNAL, CLEAR),
        ("money-fen", ItemType.INTEGER, Grade.HIGHLY_SENSITIVE, HIDE),
    ],
)
def test_the_default_follows_meaning_and_grade(meaning: str | None, kind: ItemType, grade: Grade, expected: Mask) -> None:
    assert default_mask(Item("x", TITLE, kind, grade, meaning)) == expected


def test_every_default_fits_its_item_and_a_higher_grade_is_never_laxer() -> None:
    meanings = ["resident-id", "household-id", "person-name", "phone", "bank-card", "credit-code", "division-code", None]
    for kind in ItemType:
        for meaning in meanings:
            masks = [default_mask(Item("x", TITLE, kind, grade, meaning)) for grade in Grade]
            for grade, mask in zip(Grade, masks, strict=True):
                check_mask(Item("x", TITLE, kind, grade, meaning), mask)
            for lower, higher in pairwise(masks):
                assert stricter_or_equal(higher, lower), (kind, meaning)


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (HIDE, CLEAR, True),
        (HIDE, PSEUDONYM, True),
        (PSEUDONYM, CLEAR, True),
        (CLEAR, HIDE, False),
        (CLEAR, PSEUDONYM, False),
        (_partial(1, 0), _partial(3, 4), False),  # 12345 is ***** under the second, 1**** under the first
        (_partial(0, 0), _partial(3, 4), True),
        (_partial(3, 0), _partial(1, 4), False),
        (_to("city"), _to("county"), True),
        (_to("township"), _to("county"), False),
        (_to("year"), _to("month"), True),
        (_to("month"), _to("year"), False),
        (_step(1000), _step(100), True),
        (_step(1000), _step(300), False),
        (_step(100), _step(1000), False),
        (PSEUDONYM, _partial(1, 0), False),
        (_partial(1, 0), PSEUDONYM, False),
        (_to("birth-year"), PSEUDONYM, False),
    ],
)
def test_what_is_stricter(a: Mask, b: Mask, answer: bool) -> None:
    assert stricter_or_equal(a, b) is answer


def test_stricter_is_an_order() -> None:
    masks = [CLEAR, HIDE, PSEUDONYM, _partial(0, 0), _partial(1, 0), _partial(3, 4), _to("city"), _to("county"), _to("year"), _step(10)]
    for a in masks:
        assert stricter_or_equal(a, a)
        for b in masks:
            if a != b and stricter_or_equal(a, b):
                assert not stricter_or_equal(b, a)
            for c in masks:
                if stricter_or_equal(a, b) and stricter_or_equal(b, c):
                    assert stricter_or_equal(a, c)
