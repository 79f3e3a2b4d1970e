"""Comparisons of a condition: whether one fits its item, and when one lets through no more than another. Pure.

Values are text in one form for each type, so that equal predicates are equal text: digits without leading zeros, ISO days, instants in
UTC, `true` and `false`. Codes are text and stay as they are."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from huitong.errors import Reason
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import Comparator, Comparison
from huitong.sharing.term_limits import TermLimits

ORDERED = frozenset({ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE, ItemType.INSTANT})
"""Types of which one value can be more than another. Text cannot: codes and names have no order that means anything."""
BOUNDS = frozenset({Comparator.AT_LEAST, Comparator.MORE_THAN, Comparator.AT_MOST, Comparator.LESS_THAN})
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,12})?")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{0,11}[1-9])?")


def value_in_form(value: str, kind: ItemType) -> str | None:
    """The value in the one form of its type; None if it has none."""
    if kind is ItemType.TEXT:
        return value if _is_storable(value) else None
    written = value.strip()
    if kind is ItemType.INTEGER:
        number = int(written) if _INTEGER.fullmatch(written) else None
        return None if number is None or not -(2**63) <= number < 2**63 else str(number)
    if kind is ItemType.DECIMAL:
        if _DECIMAL.fullmatch(written) is None:
            return None
        text = format(Decimal(written).normalize(), "f")
        return "0" if text == "-0" else text
    if kind is ItemType.BOOLEAN:
        return written.lower() if written.lower() in ("true", "false") else None
    try:
        if kind is ItemType.DATE:
            return date.fromisoformat(written).isoformat() if len(written) == 10 else None
        instant = datetime.fromisoformat(written)
        return None if instant.tzinfo is None else instant.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def _is_storable(value: str) -> bool:
    try:
        return "\0" not in value.encode().decode()
    except UnicodeEncodeError:
        return False


def in_form(comparisons: Iterable[Comparison], dataset: Dataset) -> tuple[Comparison, ...]:
    """The comparisons with items named as in the entry and values in the form of their type, each once; what has no form stays as it
    is, for `faults_of_comparisons` to tell."""
    found = []
    for one in comparisons:
        item = dataset.item(one.item)
        if item is None:
            found.append(one)
            continue
        values = tuple(value_in_form(value, item.type) or value for value in one.values)
        found.append(Comparison(item.name, one.comparator, values))
    return tuple(dict.fromkeys(found))


def faults_of_comparisons(comparisons: Iterable[Comparison], dataset: Dataset, limits: TermLimits) -> list[Reason]:
    """Everything that makes a condition impossible over this entry."""
    every = tuple(comparisons)
    faults: list[Reason] = []
    if len(every) > limits.comparisons:
        faults.append(Reason("condition-too-many-comparisons", {"comparisons": len(every), "limit": limits.comparisons}))
    if (values := sum(len(one.values) for one in every)) > limits.values:
        faults.append(Reason("condition-too-many-values", {"values": values, "limit": limits.values}))
    for one in every:
        item = next((candidate for candidate in dataset.items if candidate.name == one.item), None)
        if item is None:
            faults.append(Reason("item-unknown", {"dataset": dataset.id, "item": one.item}))
            continue
        about: dict[str, str | int] = {"item": item.name, "type": item.type.value, "comparator": one.comparator.value}
        if one.comparator in BOUNDS and item.type not in ORDERED:
            faults.append(Reason("comparison-unfit", about))
        elif any(value_in_form(value, item.type) != value for value in one.values):
            faults.append(Reason("comparison-value-form", about))
        elif any(len(value) > limits.value_characters for value in one.values):
            faults.append(Reason("comparison-value-long", {**about, "limit": limits.value_characters}))
    return faults


def implies(strong: Comparison, weak: Comparison) -> bool:
    """Whether every row that passes `strong` passes `weak`, provably: both are in form. A "no" may be cautious, a "yes" never is.

    Numbers may lie in the lake as 64-bit floats, in which two texts can be one number: what has to be different must be different
    there too."""
    if strong.item.lower() != weak.item.lower():
        return False
    mine, other = strong.comparator, weak.comparator
    if mine is other and strong.values == weak.values:
        return True
    if other is Comparator.KNOWN:
        return mine is not Comparator.MISSING
    if Comparator.MISSING in (mine, other) or mine is Comparator.KNOWN:
        return False
    if other is Comparator.IN:
        return mine is Comparator.IN and set(strong.values) <= set(weak.values)
    if other is Comparator.NOT_IN:
        if mine is Comparator.NOT_IN:
            return set(strong.values) >= set(weak.values)
        if mine is Comparator.IN:
            return all(_differ(one, without) for one in strong.values for without in weak.values)
        return all(_outside(strong, without) for without in weak.values)
    (bound,) = weak.values
    if mine is Comparator.IN:
        return all(_within(value, other, bound) for value in strong.values)
    upward = other in (Comparator.AT_LEAST, Comparator.MORE_THAN)
    if mine is Comparator.NOT_IN or upward != (mine in (Comparator.AT_LEAST, Comparator.MORE_THAN)):
        return False
    (own,) = strong.values
    strict = mine in (Comparator.MORE_THAN, Comparator.LESS_THAN)
    loose = other in (Comparator.AT_LEAST, Comparator.AT_MOST)
    beyond, at_least = (_more(own, bound), _not_less(own, bound)) if upward else (_more(bound, own), _not_less(bound, own))
    return at_least if loose or strict else beyond


def _within(value: str, comparator: Comparator, bound: str) -> bool:
    if comparator is Comparator.AT_LEAST:
        return _not_less(value, bound)
    if comparator is Comparator.AT_MOST:
        return _not_less(bound, value)
    return _more(value, bound) if comparator is Comparator.MORE_THAN else _more(bound, value)


def _outside(bound: Comparison, value: str) -> bool:
    """Whether the value does not pass a bound."""
    (own,) = bound.values
    if bound.comparator is Comparator.AT_LEAST:
        return _more(own, value)
    if bound.comparator is Comparator.MORE_THAN:
        return _not_less(own, value)
    return _more(value, own) if bound.comparator is Comparator.AT_MOST else _not_less(value, own)


def _numbers(a: str, b: str) -> tuple[Decimal, Decimal] | None:
    if _NUMBER.fullmatch(a) is None or _NUMBER.fullmatch(b) is None:
        return None
    try:
        return Decimal(a), Decimal(b)
    except InvalidOperation:
        return None


def _more(a: str, b: str) -> bool:
    numbers = _numbers(a, b)
    if numbers is not None:
        return float(numbers[0]) > float(numbers[1])
    return not _is_number(a) and not _is_number(b) and a > b


def _not_less(a: str, b: str) -> bool:
    numbers = _numbers(a, b)
    if numbers is not None:
        return numbers[0] >= numbers[1]
    return not _is_number(a) and not _is_number(b) and a >= b


def _differ(a: str, b: str) -> bool:
    return _more(a, b) or _more(b, a) or (a != b and _is_number(a) != _is_number(b))


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None
