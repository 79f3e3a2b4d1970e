"""Synthetic samples: of the right shape, always the same, and nobody's."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huitong.catalog.sample import TEXTS, seed_of, synthetic_rows, words
from huitong.demo import datasets
from huitong.model import codes
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.text import BilingualText

KINDS = {
    ItemType.TEXT: str,
    ItemType.INTEGER: int,
    ItemType.DECIMAL: Decimal,
    ItemType.BOOLEAN: bool,
    ItemType.DATE: date,
    ItemType.INSTANT: datetime,
}
MODEL = next(dataset for dataset in datasets() if dataset.id == "civil.minimum_allowance")


def item(name: str, kind: ItemType = ItemType.TEXT, meaning: str | None = None) -> Item:
    return Item(name=name, title=BilingualText(zh="项", en="item"), type=kind, grade=Grade.SENSITIVE, meaning=meaning)


def values(meaning: str, kind: ItemType = ItemType.TEXT, rows: int = 200) -> list:
    entry = replace(MODEL, items=(item("value", kind, meaning),), key="value", division_item=None, primary_key=(), derived_from=())
    return [row[0] for row in synthetic_rows(entry, rows=rows)]


@pytest.mark.parametrize("dataset", datasets(), ids=lambda dataset: dataset.id)
def test_every_entry_of_the_province_has_a_sample_of_its_shape(dataset) -> None:
    rows = synthetic_rows(dataset, rows=20)
    assert len(rows) == 20
    for row in rows:
        assert len(row) == len(dataset.items)
        for one, value in zip(dataset.items, row, strict=True):
            assert value is None or type(value) is KINDS[one.type]
    for name in (dataset.key, dataset.division_item, *dataset.primary_key):
        if name is not None:
            place = [one.name for one in dataset.items].index(name)
            assert all(row[place] is not None for row in rows)
    keys = [tuple(row[[one.name for one in dataset.items].index(name)] for name in dataset.primary_key) for row in rows]
    assert not dataset.primary_key or len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("meaning", "holds", "nobodys"),
    [
        ("resident-id", codes.is_resident_id, lambda value: value[:2] == "99"),
        ("credit-code", codes.is_credit_code, lambda value: value[2:4] == "99"),
        ("organisation-code", codes.is_organisation_code, lambda value: value[:2] == "YY"),
        ("bank-card", codes.is_luhn, lambda value: value[:6] == "000000"),
        ("vehicle-number", codes.is_vehicle_number, lambda value: value[0] == "0"),
        ("phone", lambda value: len(value) == 11 and value.isdigit(), lambda value: value[:3] == "154"),
        ("division-code", lambda value: len(value) == 12 and value.isdigit(), lambda value: value[:2] == "99"),
        ("plate-number", lambda value: len(value) == 7, lambda value: value[:2] == "贵Z"),
    ],
)
def test_codes_check_and_can_be_nobodys(meaning, holds, nobodys) -> None:
    found = values(meaning)
    assert len(set(found)) > 150
    assert all(holds(value) and nobodys(value) for value in found)


def test_days_are_plausible() -> None:
    for born in values("birth-date", ItemType.DATE):
        assert date(1940, 1, 1) <= born <= date(2020, 12, 31)
    for value in values("resident-id"):
        assert codes.resident_id_birth_date(value) is not None


def test_a_sample_is_always_the_same_and_begins_like_a_longer_one() -> None:
    rows = synthetic_rows(MODEL, rows=50)
    assert synthetic_rows(MODEL, rows=50) == rows and synthetic_rows(MODEL, rows=10) == rows[:10]
    assert synthetic_rows(replace(MODEL, abstract=MODEL.title, keep_days=3), rows=50) == rows, "words of the entry do not matter"
    assert synthetic_rows(MODEL, rows=50, seed=seed_of(MODEL) + 1) != rows
    assert any(None in row for row in rows), "here and there a value is missing"


def test_a_key_that_cannot_tell_more_rows_apart_ends_the_sample() -> None:
    entry = replace(MODEL, items=(item("flag", ItemType.BOOLEAN),), key=None, division_item=None, primary_key=("flag",))
    assert sorted(synthetic_rows(entry, rows=10)) == [[False], [True]]


@given(seed=st.integers(min_value=0, max_value=2**64), meaning=st.sampled_from(sorted(TEXTS)))
@settings(max_examples=150, deadline=None)
def test_every_meaning_can_be_made_from_every_seed(seed: int, meaning: str) -> None:
    entry = replace(MODEL, items=(item("value", ItemType.TEXT, meaning),), key="value", division_item=None, primary_key=())
    (row,) = synthetic_rows(entry, rows=1, seed=seed)
    assert isinstance(row[0], str) and row[0]


def test_the_ranges_of_nobody_are_all_used() -> None:
    assert set(words()["nobodys"]) == {
        "division", "organisation", "card", "vehicle", "phone", "landline", "plate", "passport", "postcode",
    }  # fmt: skip
