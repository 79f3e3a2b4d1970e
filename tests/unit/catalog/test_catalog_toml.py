"""An entry as TOML and as plain values."""

import json
import re

import pytest
from tests.spec.sharing.world import ADOPTION, HOMES, LOW_INCOME

from huitong.catalog.toml import dumps, entry_of, loads, values_of
from huitong.errors import InputInvalid
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
