"""A mask is accepted only where it has a meaning; a parameter that is missing, unknown or out of range is named."""

import pytest

from huitong.errors import InputInvalid
from huitong.masks import check_mask
from huitong.masks.pseudonym import read_display
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText


def _item(kind: ItemType, meaning: str | None = None) -> Item:
    return Item("value", BilingualText(zh="项", en="item"), kind, Grade.INTERNAL, meaning)


TEXT, INTEGER, DATE = _item(ItemType.TEXT), _item(ItemType.INTEGER), _item(ItemType.DATE)
DIVISION, RESIDENT = _item(ItemType.TEXT, "division-code"), _item(ItemType.TEXT, "resident-id")


@pytest.mark.parametrize(
    ("item", "kind", "parameters"),
    [
        (TEXT, MaskKind.CLEAR, {}),
        (INTEGER, MaskKind.HIDE, {}),
        (TEXT, MaskKind.PARTIAL, {"first": 3, "last": 4}),
        (TEXT, MaskKind.PARTIAL, {"first": 0, "last": 0}),
        (RESIDENT, MaskKind.PSEUDONYM, {}),
        (DATE, MaskKind.GENERALISE, {"to": "year"}),
        (_item(ItemType.INSTANT), MaskKind.GENERALISE, {"to": "month"}),
        (DIVISION, MaskKind.GENERALISE, {"to": "county"}),
        (RESIDENT, MaskKind.GENERALISE, {"to": "birth-year"}),
        (INTEGER, MaskKind.GENERALISE, {"step": 1000}),
    ],
)
def test_masks_that_fit(item: Item, kind: MaskKind, parameters: dict[str, str | int]) -> None:
    check_mask(item, Mask(kind, parameters))


@pytest.mark.parametrize(
    ("item", "kind", "parameters", "code"),
    [
        (INTEGER, MaskKind.PARTIAL, {"first": 1, "last": 0}, "mask-unfit"),
        (INTEGER, MaskKind.PSEUDONYM, {}, "mask-unfit"),
        (TEXT, MaskKind.GENERALISE, {"to": "county"}, "mask-unfit"),
        (TEXT, MaskKind.GENERALISE, {"to": "birth-year"}, "mask-unfit"),
        (TEXT, MaskKind.GENERALISE, {"to": "year"}, "mask-unfit"),
        (TEXT, MaskKind.GENERALISE, {"step": 10}, "mask-unfit"),
        (DATE, MaskKind.GENERALISE, {"to": "county"}, "mask-unfit"),
        (DATE, MaskKind.GENERALISE, {}, "mask-parameter-invalid"),
        (DATE, MaskKind.GENERALISE, {"to": "decade"}, "mask-parameter-invalid"),
        (DATE, MaskKind.GENERALISE, {"to": "year", "more": 1}, "mask-parameter-invalid"),
        (INTEGER, MaskKind.GENERALISE, {"step": 1}, "mask-parameter-invalid"),
        (INTEGER, MaskKind.GENERALISE, {"step": True}, "mask-parameter-invalid"),
        (INTEGER, MaskKind.GENERALISE, {"step": 10, "to": "year"}, "mask-parameter-invalid"),
        (TEXT, MaskKind.PARTIAL, {"first": 1}, "mask-parameter-invalid"),
        (TEXT, MaskKind.PARTIAL, {"first": -1, "last": 0}, "mask-parameter-invalid"),
        (TEXT, MaskKind.PARTIAL, {"first": "1", "last": 0}, "mask-parameter-invalid"),
        (TEXT, MaskKind.CLEAR, {"first": 1}, "mask-parameter-invalid"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(item: Item, kind: MaskKind, parameters: dict[str, str | int], code: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        check_mask(item, Mask(kind, parameters))
    assert caught.value.reasons[0].code == code


@pytest.mark.parametrize("text", ["", "ABC", "!" * 13, "A" * 14])
def test_a_text_that_is_no_pseudonym_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InputInvalid):
        read_display(text)
