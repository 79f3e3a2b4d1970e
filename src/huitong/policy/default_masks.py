"""Which mask an item gets by default, and when one mask shows no more than another. The rules are data: `default_masks.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind

_DIVISION_ORDER = ("township", "county", "city")
_DATE_ORDER = ("month", "year")


@dataclass(frozen=True)
class _Rule:
    grade: Grade
    mask: Mask


@cache
def _rules() -> Mapping[tuple[str, str], tuple[_Rule, ...]]:
    """Rules by (`meaning` or `plain`, name), the highest grade first."""
    written: dict[str, Any] = tomllib.loads((files(__package__) / "default_masks.toml").read_text("utf-8"))
    found: dict[tuple[str, str], tuple[_Rule, ...]] = {}
    for section in ("meaning", "plain"):
        for name, entries in written[section].items():
            rules = [
                _Rule(Grade(entry["grade"]), Mask(MaskKind(entry["mask"]), entry.get("parameters", {}))) for entry in entries
            ]
            found[(section, name)] = tuple(sorted(rules, key=lambda rule: -rule.grade))
    return found


def default_mask(item: Item) -> Mask:
    """The mask of an item by its meaning and grade; without a rule for the meaning, by its type and grade; else clear."""
    rules = _rules()
    meaning = item.meaning or ""
    chosen = rules.get(("meaning", meaning)) if item.type is ItemType.TEXT else None
    for rule in chosen if chosen is not None else rules.get(("plain", item.type.value), ()):
        if item.grade >= rule.grade:
            return rule.mask
    return Mask(MaskKind.CLEAR)


def stricter_or_equal(a: Mask, b: Mask) -> bool:
    """Whether mask `a` shows no more than mask `b`. Two masks of unlike kinds neither of which is clear or hide cannot be
    compared, so neither is stricter: a reviewer must then refuse and ask for a new request."""
    if a == b or b.kind is MaskKind.CLEAR or a.kind is MaskKind.HIDE:
        return True
    if a.kind is not b.kind:
        return False
    if a.kind is MaskKind.PARTIAL:
        # A value no longer than first + last is starred whole, so keeping fewer characters shows more of a short value:
        # of two unlike partial masks only the one that keeps nothing is stricter for every length.
        return not any(int(a.parameters.get(name, 0)) for name in ("first", "last"))
    if a.kind is MaskKind.GENERALISE:
        step_a, step_b = a.parameters.get("step"), b.parameters.get("step")
        if isinstance(step_a, int) and isinstance(step_b, int):
            return step_b > 0 and step_a % step_b == 0
        for order in (_DIVISION_ORDER, _DATE_ORDER):
            to_a, to_b = a.parameters.get("to"), b.parameters.get("to")
            if to_a in order and to_b in order:
                return order.index(str(to_a)) >= order.index(str(to_b))
    return False
