"""A catalogue entry as TOML, and as the plain values that TOML and JSON share: catalogue as code, an exchange format."""

import tomllib
from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import Any, TypeVar

import tomli_w

from huitong.catalog.canonical import plain
from huitong.errors import InputInvalid
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText

Choice = TypeVar("Choice", bound=Enum)

FIELDS = (
    "id", "title", "abstract", "classification", "provider", "collector", "sharing", "sharing_basis", "sharing_condition",
    "openness", "update_cycle", "published_on", "key", "division_item", "source", "items",
)  # fmt: skip
ITEM_FIELDS = ("name", "title", "type", "grade", "meaning")


def values_of(dataset: Dataset) -> dict[str, Any]:
    """The entry as plain values, in the order a person reads it; what is not stated is left out."""
    values = plain(dataset)
    ordered = {name: values[name] for name in FIELDS if values[name] is not None}
    ordered["items"] = [{name: item[name] for name in ITEM_FIELDS if item[name] is not None} for item in values["items"]]
    return ordered


def entry_of(values: Mapping[str, Any]) -> Dataset:
    """The entry that plain values (of TOML or JSON) state. Raises InputInvalid naming the field that is at fault."""
    _known(values, FIELDS, "")
    items = values.get("items")
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
        sharing_condition=_words(values, "sharing_condition") if values.get("sharing_condition") is not None else None,
        openness=_choice(values, "openness", Openness),
        update_cycle=_choice(values, "update_cycle", UpdateCycle),
        items=tuple(_item(item, f"items[{position}]") for position, item in enumerate(items, 1)),
        published_on=_day(values, "published_on"),
        key=_optional(values, "key"),
        division_item=_optional(values, "division_item"),
        source=_optional(values, "source"),
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
    return entry_of(values)


def _item(values: Any, place: str) -> Item:
    if not isinstance(values, Mapping):
        raise InputInvalid.because("entry-field-invalid", field=place, value=str(values))
    _known(values, ITEM_FIELDS, place + ".")
    return Item(
        name=_text(values, "name", place + "."),
        title=_words(values, "title", place + "."),
        type=_choice(values, "type", ItemType, place + "."),
        grade=_choice(values, "grade", Grade, place + "."),
        meaning=_optional(values, "meaning", place + "."),
    )


def _known(values: Mapping[str, Any], names: tuple[str, ...], place: str) -> None:
    for name in values:
        if name not in names:
            raise InputInvalid.because("entry-field-unknown", field=f"{place}{name}")


def _text(values: Mapping[str, Any], name: str, place: str = "") -> str:
    value = values.get(name)
    if value is None:
        raise InputInvalid.because("entry-field-missing", field=f"{place}{name}")
    if not isinstance(value, str):
        raise InputInvalid.because("entry-field-invalid", field=f"{place}{name}", value=str(value))
    return value


def _optional(values: Mapping[str, Any], name: str, place: str = "") -> str | None:
    return _text(values, name, place) if values.get(name) is not None else None


def _day(values: Mapping[str, Any], name: str) -> date | None:
    """A date, or its ISO text as JSON has it."""
    value = values.get(name)
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputInvalid.because("entry-field-invalid", field=name, value=str(value)) from None


def _words(values: Mapping[str, Any], name: str, place: str = "") -> BilingualText:
    value = values.get(name)
    if value is None:
        raise InputInvalid.because("entry-field-missing", field=f"{place}{name}")
    if not isinstance(value, Mapping):
        raise InputInvalid.because("entry-field-invalid", field=f"{place}{name}", value=str(value))
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
        raise InputInvalid.because("entry-field-choice", field=f"{place}{name}", value=str(value), choices=choices) from None
