"""A catalogue entry as TOML, and as the plain values that TOML and JSON share: catalogue as code, an exchange format."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import date
from enum import Enum
from typing import Any, TypeVar

import tomli_w

from huitong.catalog.canonical import plain
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

Choice = TypeVar("Choice", bound=Enum)

FIELDS = (
    "id", "title", "abstract", "classification", "related", "provider", "collector", "legal_basis", "format",
    "sharing", "sharing_basis", "sharing_condition", "sharing_manner", "openness", "openness_condition", "licence",
    "visibility", "known_to", "update_cycle", "published_on", "keep_days", "spatial", "source", "derived_from",
    "key", "primary_key", "division_item", "items",
)  # fmt: skip
"""The fields of an entry, in the order a person reads them."""
ITEM_FIELDS = ("name", "title", "type", "grade", "meaning", "legal_basis", "collector", "derived_from")
LONGEST_SHOWN = 80
"""Characters of a wrong value that an error repeats."""
SUGGESTED = "suggested"
"""A key that a draft bears where a person has not yet confirmed what a program wrote; no entry may have it."""


_USUAL: dict[str, Any] = {
    field.name: plain(field.default) for field in fields(Dataset) if field.default is not MISSING and field.default not in (None, ())
}
"""Fields that have a value when they are not stated."""


def values_of(dataset: Dataset, *, whole: bool = False) -> dict[str, Any]:
    """The entry as plain values, in the order a person reads it.

    What is not stated, or is what it would be if it were not, is left out; with `whole` only what has no value."""
    values = plain(dataset)
    usual = {} if whole else _USUAL
    ordered = {name: values[name] for name in FIELDS if values[name] not in (None, []) and values[name] != usual.get(name)}
    ordered["items"] = [{name: item[name] for name in ITEM_FIELDS if item[name] not in (None, [])} for item in values["items"]]
    return ordered


def entry_of(values: Mapping[str, Any]) -> Dataset:
    """The entry that plain values (of TOML or JSON) state. Raises InputInvalid naming the field that is at fault;
    `entry-not-confirmed` for a draft whose suggestions nobody has confirmed, with their places."""
    items = values.get("items")
    _refuse_suggestions(values, items)
    _known(values, FIELDS, "")
    if not isinstance(items, list) or not items:
        raise InputInvalid.because("entry-field-missing", field="items")
    return Dataset(
        id=_text(values, "id"),
        title=_words(values, "title"),
        abstract=_words(values, "abstract"),
        classification=_text(values, "classification"),
        provider=_text(values, "provider"),
        collector=_text(values, "collector"),
        sharing=_choice(values, "sharing", Sharing),
        sharing_basis=_text(values, "sharing_basis"),
        sharing_condition=_optional_words(values, "sharing_condition"),
        openness=_choice(values, "openness", Openness),
        update_cycle=_choice(values, "update_cycle", UpdateCycle),
        items=tuple(_item(item, f"items[{position}]") for position, item in enumerate(items, 1)),
        published_on=_day(values, "published_on"),
        key=_optional(values, "key"),
        division_item=_optional(values, "division_item"),
        source=_optional(values, "source"),
        format=_usual_choice(values, "format", ResourceFormat),
        sharing_manner=_usual_choice(values, "sharing_manner", SharingManner),
        openness_condition=_optional_words(values, "openness_condition"),
        legal_basis=_optional(values, "legal_basis"),
        related=_list(values, "related"),
        primary_key=_list(values, "primary_key"),
        derived_from=_list(values, "derived_from"),
        visibility=_usual_choice(values, "visibility", Visibility),
        known_to=_list(values, "known_to"),
        spatial=_optional(values, "spatial"),
        licence=_optional(values, "licence"),
        keep_days=_whole_number(values, "keep_days"),
    )


def dumps(dataset: Dataset) -> str:
    """The entry as TOML text."""
    return tomli_w.dumps(values_of(dataset))


def loads(text: str) -> Dataset:
    """The entry of a TOML text. Raises InputInvalid `entry-not-toml` with the place where reading stopped."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputInvalid.because("entry-not-toml", detail=str(error)) from None
    except (RecursionError, ValueError):  # nested without end; a number of too many digits
        raise InputInvalid.because("entry-not-toml", detail="-") from None
    return entry_of(values)


def _item(values: Any, place: str) -> Item:
    if not isinstance(values, Mapping):
        raise InputInvalid.because("entry-field-invalid", field=place, value=_shown(values))
    _known(values, ITEM_FIELDS, place + ".")
    return Item(
        name=_text(values, "name", place + "."),
        title=_words(values, "title", place + "."),
        type=_choice(values, "type", ItemType, place + "."),
        grade=_choice(values, "grade", Grade, place + "."),
        meaning=_optional(values, "meaning", place + "."),
        legal_basis=_optional(values, "legal_basis", place + "."),
        collector=_optional(values, "collector", place + "."),
        derived_from=_list(values, "derived_from", place + "."),
    )


def _refuse_suggestions(values: Mapping[str, Any], items: Any) -> None:
    """Refuse a draft: `suggested` stands where a program wrote something that a person has yet to confirm."""
    places = ["entry"] if SUGGESTED in values else []
    for position, item in enumerate(items if isinstance(items, list) else [], 1):
        if isinstance(item, Mapping) and SUGGESTED in item:
            name = item.get("name")
            places.append(name if isinstance(name, str) else f"items[{position}]")
    if places:
        raise InputInvalid.because("entry-not-confirmed", items=", ".join(places))


def _known(values: Mapping[str, Any], names: tuple[str, ...], place: str) -> None:
    for name in values:
        if name not in names:
            raise InputInvalid.because("entry-field-unknown", field=f"{place}{name}")


def _text(values: Mapping[str, Any], name: str, place: str = "") -> str:
    value = values.get(name)
    if value is None:
        raise InputInvalid.because("entry-field-missing", field=f"{place}{name}")
    if not isinstance(value, str):
        raise InputInvalid.because("entry-field-invalid", field=f"{place}{name}", value=_shown(value))
    return value


def _optional(values: Mapping[str, Any], name: str, place: str = "") -> str | None:
    return _text(values, name, place) if values.get(name) is not None else None


def _list(values: Mapping[str, Any], name: str, place: str = "") -> tuple[str, ...]:
    """A list of texts; none if it is not stated."""
    value = values.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputInvalid.because("entry-field-invalid", field=f"{place}{name}", value=_shown(value))
    return tuple(value)


def _whole_number(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None or type(value) is int:
        return value
    raise InputInvalid.because("entry-field-invalid", field=name, value=_shown(value))


def _optional_words(values: Mapping[str, Any], name: str) -> BilingualText | None:
    return _words(values, name) if values.get(name) is not None else None


def _usual_choice(values: Mapping[str, Any], name: str, kind: type[Choice]) -> Choice:
    """The choice, or the usual one if it is not stated."""
    return _choice({name: _USUAL[name], **{key: value for key, value in values.items() if value is not None}}, name, kind)


def _shown(value: Any) -> str:
    """What stands there, short enough for a sentence."""
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _day(values: Mapping[str, Any], name: str) -> date | None:
    """A date, or its ISO text as JSON has it."""
    value = values.get(name)
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputInvalid.because("entry-field-invalid", field=name, value=_shown(value)) from None


def _words(values: Mapping[str, Any], name: str, place: str = "") -> BilingualText:
    value = values.get(name)
    if value is None:
        raise InputInvalid.because("entry-field-missing", field=f"{place}{name}")
    if not isinstance(value, Mapping):
        raise InputInvalid.because("entry-field-invalid", field=f"{place}{name}", value=_shown(value))
    _known(value, ("zh", "en"), f"{place}{name}.")
    return BilingualText(zh=_text(value, "zh", f"{place}{name}."), en=_text(value, "en", f"{place}{name}."))


def _choice(values: Mapping[str, Any], name: str, kind: type[Choice], place: str = "") -> Choice:
    value = values.get(name)
    if value is None:
        raise InputInvalid.because("entry-field-missing", field=f"{place}{name}")
    try:
        if isinstance(value, bool):
            raise ValueError
        return kind(value)
    except ValueError:
        choices = ", ".join(str(choice.value) for choice in kind)
        raise InputInvalid.because("entry-field-choice", field=f"{place}{name}", value=_shown(value), choices=choices) from None
