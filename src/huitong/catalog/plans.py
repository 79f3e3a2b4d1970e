"""What applying many entries does, or would do: the answer to a folder, an archive or a list of them."""

from dataclasses import dataclass

from huitong.catalog.toml import values_of
from huitong.errors import Reason
from huitong.model.catalog import Dataset


@dataclass(frozen=True)
class Change:
    """An entry that would replace the one in force, and the fields in which they differ."""

    dataset: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """An entry that is left alone, and why. `dataset` is empty if a file does not even tell its id."""

    dataset: str
    reason: Reason
    place: str = ""
    """The file, below its folder."""


@dataclass(frozen=True)
class Plan:
    """What applying entries does, or would do. With a fault nothing is done."""

    added: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    unchanged: tuple[str, ...] = ()
    skipped: tuple[Left, ...] = ()
    """Entries of other offices."""
    faults: tuple[Left, ...] = ()
    applied: bool = False


def changed_fields(old: Dataset, new: Dataset) -> tuple[str, ...]:
    """The fields in which two entries differ; an item's as `items.name.field`, one that is new or gone as `items.name`."""
    before, now = values_of(old, whole=True), values_of(new, whole=True)
    items_before = {item["name"]: item for item in before.pop("items")}
    items_now = {item["name"]: item for item in now.pop("items")}
    fields = [name for name in dict.fromkeys((*before, *now)) if name != "published_on" and before.get(name) != now.get(name)]
    for name in dict.fromkeys((*items_before, *items_now)):
        one, other = items_before.get(name), items_now.get(name)
        if one is None or other is None:
            fields.append(f"items.{name}")
        else:
            fields += [f"items.{name}.{field}" for field in dict.fromkeys((*one, *other)) if one.get(field) != other.get(field)]
    if not fields and list(items_before) != list(items_now):
        fields.append("items")
    return tuple(fields)
