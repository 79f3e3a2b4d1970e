"""Which mask an item gets by default, and when one mask shows no more than another. The rules are data: `default_masks.toml`,
which a grading scheme may replace meaning by meaning."""

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
class MaskRule:
    """From which grade on an item leaves with which mask."""

    grade: Grade
    mask: Mask


@dataclass(frozen=True)
class MaskRules:
    """Default masks by meaning, else by logical type; each list with the highest grade first."""

    meaning: Mapping[str, tuple[MaskRule, ...]]
    plain: Mapping[str, tuple[MaskRule, ...]]
    every: tuple[MaskRule, ...] = ()
    """What no item of that grade escapes, whatever its meaning and type."""

    def mask(self, item: Item) -> Mask:
        """The mask of an item by its meaning and grade; without a rule for the meaning, by its type and grade; else clear."""
        chosen = self.meaning.get(item.meaning or "") if item.type is ItemType.TEXT else None
        for rule in (*self.every, *(chosen if chosen is not None else self.plain.get(item.type.value, ()))):
            if item.grade >= rule.grade:
                return rule.mask
        return Mask(MaskKind.CLEAR)


def highest_first(rules: list[MaskRule]) -> tuple[MaskRule, ...]:
    """The rules in the order in which they are tried."""
    return tuple(sorted(rules, key=lambda rule: -rule.grade))


def read_rules(entries: list[dict[str, Any]]) -> tuple[MaskRule, ...]:
    """Rules as they stand in `default_masks.toml`."""
    return highest_first(
        [MaskRule(Grade(entry["grade"]), Mask(MaskKind(entry["mask"]), entry.get("parameters", {}))) for entry in entries]
    )


@cache
def shipped_rules() -> MaskRules:
    """The rules of `default_masks.toml`."""
    written: dict[str, Any] = tomllib.loads((files(__package__) / "default_masks.toml").read_text("utf-8"))
    return MaskRules(
        meaning={name: read_rules(entries) for name, entries in written["meaning"].items()},
        plain={name: read_rules(entries) for name, entries in written["plain"].items()},
        every=read_rules(written["every"]),
    )


def default_mask(item: Item, rules: MaskRules | None = None) -> Mask:
    """The mask of an item by its meaning and grade, after `rules` (None: the shipped ones; a scheme has its own `masks`)."""
    return (rules or shipped_rules()).mask(item)


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
