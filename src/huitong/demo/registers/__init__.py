"""The registers of the demo province: catalogue entries as TOML, one file an office, each item with how its values are made.

`[[dataset]]` holds the catalogue entry and how many rows it gets:

- `share`: thousands of rows out of 203,000 thousand, the size of the poverty theme; or `file`: a real table of `huitong.data`
- `about`: whom a row is about: `every-person`, `every-household`, `person`, `household` (drawn, may recur), `person-once`,
  `household-once` (each at most once), `company` (each once)
- `ages`: years of age that a drawn person has, first and last
- `lean`: whether drawn people or households are more often `poor` or `rich` than the rest (money with `steady` follows the same)
- `again`: rows in 100,000 that repeat another row of the table, whole

Fields of the entry that are optional there are optional here: `legal_basis`, `primary_key`, `derived_from`, `format`, `manner`,
`visibility`, `known_to`, `openness_condition`, `licence`, `related`; `spatial` is the whole province unless it says otherwise ("" for
none).

`item` is a list; each holds name, titles, type, grade, meaning and `make`: the kind of value with its parameters (see
`makers.py`), among them `missing` and `dirty`, in 100,000.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

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

SYNTHETIC = "合成数据（huitong generate 按种子生成，无真实个人） / Synthetic, from a seed by huitong generate; no real person"

PROVINCE = "520000000000"
"""What the registers cover."""


@dataclass(frozen=True)
class Register:
    """A dataset of the province and the recipe of its rows."""

    dataset: Dataset
    share: int
    about: str
    ages: tuple[int, int]
    lean: str
    again: int
    makers: Mapping[str, Mapping[str, Any]]
    file: str | None
    """The real table in `huitong.data`, if the rows are not made."""


def _texts(entry: Mapping[str, Any], name: str) -> BilingualText:
    return BilingualText(zh=entry[name][0], en=entry[name][1])


def _register(entry: Mapping[str, Any]) -> Register:
    items = tuple(
        Item(
            name=item["name"],
            title=_texts(item, "title"),
            type=ItemType(item["type"]),
            grade=Grade(item["grade"]),
            meaning=item.get("meaning"),
            derived_from=tuple(item.get("derived_from", ())),
        )
        for item in entry["item"]
    )
    dataset = Dataset(
        id=entry["id"],
        title=_texts(entry, "title"),
        abstract=_texts(entry, "abstract"),
        classification=entry["classification"],
        provider=entry["provider"],
        collector=entry.get("collector", entry["provider"]),
        sharing=Sharing(entry["sharing"]),
        sharing_basis=entry["basis"],
        sharing_condition=_texts(entry, "condition") if "condition" in entry else None,
        openness=Openness(entry["openness"]),
        update_cycle=UpdateCycle(entry["cycle"]),
        items=items,
        published_on=date.fromisoformat(entry["published"]),
        key=entry.get("key"),
        division_item=entry.get("division_item"),
        source=entry.get("source", SYNTHETIC),
        format=ResourceFormat(entry.get("format", ResourceFormat.DATABASE)),
        sharing_manner=SharingManner(entry.get("manner", SharingManner.QUERY)),
        openness_condition=_texts(entry, "openness_condition") if "openness_condition" in entry else None,
        legal_basis=entry.get("legal_basis"),
        related=tuple(entry.get("related", ())),
        primary_key=tuple(entry.get("primary_key", ())),
        derived_from=tuple(entry.get("derived_from", ())),
        visibility=Visibility(entry.get("visibility", Visibility.EVERYONE)),
        known_to=tuple(entry.get("known_to", ())),
        spatial=entry.get("spatial", PROVINCE) or None,
        licence=entry.get("licence"),
    )
    return Register(
        dataset=dataset,
        share=entry.get("share", 0),
        about=entry.get("about", ""),
        ages=(entry.get("ages", [0, 120])[0], entry.get("ages", [0, 120])[1]),
        lean=entry.get("lean", ""),
        again=entry.get("again", 0),
        makers={item["name"]: item["make"] for item in entry["item"] if "make" in item},
        file=entry.get("file"),
    )


@cache
def registers() -> tuple[Register, ...]:
    """Every register, by the name of its office's file and then as written there."""
    found: list[Register] = []
    for file in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            found += [_register(entry) for entry in tomllib.loads(file.read_text("utf-8"))["dataset"]]
    return tuple(found)
