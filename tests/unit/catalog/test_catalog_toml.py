"""An entry as TOML and as plain values."""

import json
import re
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spec.sharing.world import ADOPTION, HOMES, LOW_INCOME

from huitong.catalog.toml import FIELDS, ITEM_FIELDS, dumps, entry_of, loads, values_of
from huitong.errors import InputInvalid
from huitong.model.catalog import (
    Dataset,
    Grade,
    Item,
    ItemType,
    Openness,
    ResourceFormat,
    Sharing,
    SharingManner,
    UpdateCycle,
    Visibility,
)
from huitong.model.text import BilingualText
from huitong.words import render


@pytest.mark.parametrize("entry", [LOW_INCOME, HOMES, ADOPTION], ids=lambda entry: entry.id)
def test_an_entry_comes_back_as_it_was_written(entry) -> None:
    assert loads(dumps(entry)) == entry
    assert entry_of(json.loads(json.dumps(values_of(entry)))) == entry


@pytest.mark.parametrize(
    ("pattern", "replacement", "code", "place"),
    [
        (r'^provider = .*$', "", "entry-field-missing", "provider"),
        (r'^provider = .*$', "provider = 7", "entry-field-invalid", "provider"),
        (r'^provider = ', "provided_by = ", "entry-field-unknown", "provided_by"),
        (r'sharing = "conditional"', 'sharing = "maybe"', "entry-field-choice", "sharing"),
        (r"grade = 4", "grade = 7", "entry-field-choice", "items[1].grade"),
        (r"grade = 4", "grade = true", "entry-field-choice", "items[1].grade"),
        (r'type = "date"', 'type = "varchar"', "entry-field-choice", "items[3].type"),
        (r'^en = "Households.*$', "", "entry-field-missing", "title.en"),
        (r'name = "born"', 'name = "born on"', "item-name-invalid", None),
        (r'name = "born"', 'name = "NAME"', "item-name-twice", None),
        (r'division_item = "village"', 'division_item = "town"', "item-unknown", None),
        (r'key = "person_id"', 'key = "person_id"\npublished_on = "yesterday"', "entry-field-invalid", "published_on"),
        (r"^id = .*$", "id = ", "entry-not-toml", None),
        (r'^id = .*$', 'id = "Civil; DROP"', "dataset-name-invalid", None),
    ],
)
def test_what_is_wrong_is_named_with_its_place(pattern: str, replacement: str, code: str, place: str | None) -> None:
    text = re.sub(pattern, replacement, dumps(LOW_INCOME), count=1, flags=re.MULTILINE)
    assert text != dumps(LOW_INCOME)
    with pytest.raises(InputInvalid) as caught:
        loads(text)
    reason = caught.value.reasons[0]
    assert reason.code == code
    if place is not None:
        assert reason.parameters["field"] == place
    for language in ("en", "zh-Hans"):
        assert render(reason, language) != reason.code and "{" not in render(reason, language)


@pytest.mark.parametrize("values", [{}, {"items": []}, {"items": "none"}, {"items": [3]}, {**values_of(HOMES), "title": "only one"}])
def test_values_of_the_wrong_shape_are_refused(values) -> None:
    with pytest.raises(InputInvalid):
        entry_of(values)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
both = st.builds(BilingualText, zh=texts, en=texts)
names = st.sampled_from(["civil.a", "civil.b", "geo.c"])
items = st.builds(
    Item,
    name=st.sampled_from(["号码", "name_1"]),
    title=both,
    type=st.sampled_from(ItemType),
    grade=st.sampled_from(Grade),
    meaning=st.none() | texts,
    legal_basis=st.none() | texts,
    collector=st.none() | texts,
    derived_from=st.lists(st.builds("{}#name".format, names), max_size=2).map(tuple),
)


@st.composite
def entries(draw: st.DrawFn) -> Dataset:
    own = tuple(draw(st.lists(items, min_size=1, max_size=2, unique_by=lambda item: item.name)))
    visibility = draw(st.sampled_from(Visibility))
    return draw(
        st.builds(
            Dataset,
            id=st.just("civil.own"),
            title=both,
            abstract=both,
            classification=texts,
            provider=texts,
            collector=texts,
            sharing=st.sampled_from(Sharing),
            sharing_basis=texts,
            sharing_condition=both,
            openness=st.sampled_from(Openness),
            update_cycle=st.sampled_from(UpdateCycle),
            items=st.just(own),
            published_on=st.none() | st.dates(),
            key=st.none() | st.just(own[0].name),
            source=st.none() | texts,
            format=st.sampled_from(ResourceFormat),
            sharing_manner=st.sampled_from(SharingManner),
            openness_condition=st.none() | both,
            legal_basis=st.none() | texts,
            related=st.lists(texts, max_size=2).map(tuple),
            primary_key=st.just(()) | st.just((own[0].name,)),
            derived_from=st.lists(names, max_size=2).map(tuple),
            visibility=st.just(visibility),
            known_to=st.lists(texts, max_size=2).map(tuple) if visibility is Visibility.NAMED else st.just(()),
            spatial=st.none() | texts,
            licence=st.none() | texts,
            keep_days=st.none() | st.integers(min_value=0, max_value=10_000),
        )
    )


@given(entry=entries())
@settings(max_examples=80, deadline=None)
def test_every_field_comes_back_through_toml_and_json(entry: Dataset) -> None:
    assert loads(dumps(entry)) == entry
    for whole in (False, True):
        assert entry_of(json.loads(json.dumps(values_of(entry, whole=whole)))) == entry


def test_every_field_of_the_nouns_has_its_place() -> None:
    assert set(FIELDS) == {field.name for field in fields(Dataset)}
    assert set(ITEM_FIELDS) == {field.name for field in fields(Item)}


def test_a_draft_is_refused_until_a_person_has_confirmed_it() -> None:
    draft = values_of(LOW_INCOME)
    draft["items"][0]["suggested"] = "18 digits with a right check character"
    draft["items"][3]["suggested"] = "by its name"
    with pytest.raises(InputInvalid) as caught:
        entry_of(draft)
    (reason,) = caught.value.reasons
    assert (reason.code, reason.parameters["items"]) == ("entry-not-confirmed", "person_id, village")
    for item in draft["items"]:
        item.pop("suggested", None)
    assert entry_of(draft) == LOW_INCOME
    with pytest.raises(InputInvalid) as caught:
        entry_of(draft | {"suggested": "all of it"})
    assert caught.value.reasons[0].code == "entry-not-confirmed"


@pytest.mark.parametrize(
    ("field", "value"),
    [("related", "3-01"), ("primary_key", [3]), ("known_to", {"a": 1}), ("keep_days", "30"), ("keep_days", True), ("keep_days", 1.5),
     ("visibility", "nobody"), ("format", 3), ("openness_condition", "x"), ("spatial", 52)],
)  # fmt: skip
def test_new_fields_of_the_wrong_shape_are_named(field: str, value: object) -> None:
    with pytest.raises(InputInvalid) as caught:
        entry_of(values_of(HOMES) | {field: value})
    assert str(caught.value.reasons[0].parameters["field"]).startswith(field)


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "9" * 5_000, "x = {" * 5_000, "\x00", "x = \ud800"])
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(InputInvalid):
        loads(text)
