"""The rules of a grant that cut rows, as one condition of the governed subquery: a division, comparisons, a list of subjects.

Unknown is never yes: a row whose value is missing passes no rule but `missing`. An item that the snapshot lacks is missing in every row.
No rule can fail on a row, whatever the row holds; values stand as literals of their item's type, never as text that was pasted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from huitong.errors import Refused
from huitong.gateway.parse import Caps
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.rewrite.physical import Physical, column_node, held_as, table_node
from huitong.masks import sql_type
from huitong.model.catalog import Item, ItemType
from huitong.model.policy import Comparator, Comparison
from huitong.sharing.comparing import ORDERED, value_in_form

_SIGN = "\x1f"
"""Stands between values that are split: the sign that is meant for it. A value that holds it is not split."""
_ORDER: Mapping[Comparator, type[exp.Binary]] = {
    Comparator.AT_LEAST: exp.GTE,
    Comparator.MORE_THAN: exp.GT,
    Comparator.AT_MOST: exp.LTE,
    Comparator.LESS_THAN: exp.LT,
}


@dataclass(frozen=True)
class RowRule:
    """The condition on a row, and the items that it reads."""

    condition: exp.Expr
    items: tuple[Item, ...]


def row_rule(part: DatasetPlan, physical: Physical, caps: Caps) -> RowRule | None:
    """The condition under which a row is shown; None if the grant cuts no rows. Refused where a rule no longer fits the entry."""
    rules: list[exp.Expr] = []
    items: list[Item] = []
    terms = part.grant.terms
    if terms.rows is not None:
        item = _item(part, terms.rows.item)
        if item.type is not ItemType.TEXT:
            raise _unfit(part, item.name)
        rules.append(_of_division(part, item, caps))
        items.append(item)
    for one in terms.condition:
        item = _item(part, one.item)
        rules.append(_of_comparison(part, item, one, caps))
        items.append(item)
    if terms.subjects is not None:
        item = _item(part, terms.subjects.item)
        if item.type is not ItemType.TEXT:
            raise _unfit(part, item.name)
        rules.append(_of_subjects(part, item, physical))
        items.append(item)
    if not rules:
        return None
    return RowRule(exp.and_(*rules, copy=False, wrap=True), tuple(items))


def _item(part: DatasetPlan, name: str) -> Item:
    item = part.described.item(name)
    if item is None:
        raise _unfit(part, name)
    return item


def _unfit(part: DatasetPlan, item: str) -> Exception:
    return Refused.because("row-rule-unfit", grant=part.grant.id, dataset=part.dataset, item=item)


def _of_division(part: DatasetPlan, item: Item, caps: Caps) -> exp.Expr:
    """Membership in the set of codes, so a row without a code, or with one that was never a division, is not shown. The engine
    finds the range from the first code to the last by itself, and skips whole blocks of a file by it; to write it down costs a tenth."""
    rows = part.grant.terms.rows
    assert rows is not None
    if not part.codes:
        raise Refused.because("division-without-codes", grant=part.grant.id, division=rows.division)
    codes = sorted(part.codes)
    if not all(code.isascii() and code.isdigit() for code in codes):
        raise Refused.because("rewrite-failed")
    column, _ = held_as(part, item)
    if len(codes) == 1:
        return exp.EQ(this=column, expression=exp.Literal.string(codes[0]))
    if len(codes) <= caps.division_list:
        return exp.In(this=column, expressions=[exp.Literal.string(code) for code in codes])
    return exp.In(this=column, query=exp.Subquery(this=exp.Select(expressions=[_split(codes, ",")])))


def _split(values: Sequence[str], sign: str) -> exp.Expr:
    """Many texts as one, which the engine splits: a list of so many literals takes longer to write and to read than to use."""
    text = exp.Literal.string(sign.join(values))
    split = exp.Anonymous(this="string_split", expressions=[text, exp.Literal.string(sign)])
    return exp.Anonymous(this="unnest", expressions=[split])


def _of_comparison(part: DatasetPlan, item: Item, one: Comparison, caps: Caps) -> exp.Expr:
    column, _ = held_as(part, item)
    if one.comparator is Comparator.MISSING:
        return exp.Is(this=column, expression=exp.Null())
    if one.comparator is Comparator.KNOWN:
        return exp.Not(this=exp.Is(this=column, expression=exp.Null()))
    if any(value_in_form(value, item.type) != value for value in one.values):
        raise _unfit(part, item.name)  # it has no such form in what the item has become since
    if one.comparator in (Comparator.IN, Comparator.NOT_IN):
        if len(one.values) > caps.division_list and not any(_SIGN in value for value in one.values):
            split = _typed(item, _split(one.values, _SIGN))
            listed = exp.In(this=column, query=exp.Subquery(this=exp.Select(expressions=[split])))
        else:
            listed = exp.In(this=column, expressions=[_literal(item, value) for value in one.values])
        return listed if one.comparator is Comparator.IN else exp.Not(this=listed)
    if item.type not in ORDERED:
        raise _unfit(part, item.name)
    return _ORDER[one.comparator](this=column, expression=_literal(item, one.values[0]))


def _literal(item: Item, value: str) -> exp.Expr:
    if item.type is ItemType.INTEGER:
        number = exp.Literal.number(value.removeprefix("-"))
        return exp.Neg(this=number) if value.startswith("-") else number
    return _typed(item, exp.Literal.string(value))


def _typed(item: Item, text: exp.Expr) -> exp.Expr:
    """The text as a value of the item's type."""
    return text if item.type is ItemType.TEXT else exp.Cast(this=text, to=sql_type(item.type))


def _of_subjects(part: DatasetPlan, item: Item, physical: Physical) -> exp.Expr:
    """A semi join with the list, which is a table of the plan as any other."""
    column, _ = held_as(part, item)
    listed = physical.of_subjects(part)
    select = exp.Select(expressions=[column_node("l", "identifier")], from_=exp.From(this=table_node(listed.name, "l")))
    return exp.In(this=column, query=exp.Subquery(this=select))
