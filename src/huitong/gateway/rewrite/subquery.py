"""The governed subquery that takes the place of a dataset: only the items used, each under its mask, only the rows granted,
tokens joined from side tables. The rest of the statement can see nothing else, even if all before it had missed something."""

import re
from collections.abc import Collection

from sqlglot import exp

from huitong.errors import Refused
from huitong.gateway.aggregates import entity_columns
from huitong.gateway.parse import Caps
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.resolve import TableUse
from huitong.gateway.rewrite.physical import Physical, column_node, columns_of, held_as, identifier_node, table_node
from huitong.gateway.rewrite.row_rules import row_rule
from huitong.gateway.rewrite.untold import Untold
from huitong.masks import DIVISION_CODE_SHAPE, engine_type, needs_token, sql_mask
from huitong.model.catalog import ItemType
from huitong.model.policy import Mask, Mode


def governed_items(
    wanted: Collection[str],
    part: DatasetPlan,
    physical: Physical,
    *,
    tokens: str = "k",
    untold: Collection[str] = (),
    salted: bool = False,
    shaped: str | None = None,
) -> tuple[list[tuple[str, exp.Expr]], list[exp.Expr]]:
    """Each wanted item under its mask, with its name, and the joins with side tables that this needs, under aliases that begin with
    `tokens`. The dataset itself is called `p`.

    Those that the statement never tells (`untold`) need no token (`huitong.gateway.rewrite.untold`); all values of the item `shaped` are
    known to be division codes."""
    table = physical.of_dataset(part)
    masks = {term.item.lower(): term.mask for term in part.grant.terms.items}
    shown: list[tuple[str, exp.Expr]] = []
    joins: list[exp.Expr] = []
    lowered = {name.lower() for name in wanted}
    for item in part.described.items:
        if item.name.lower() not in lowered:
            continue
        mask: Mask | None = masks.get(item.name.lower())
        if mask is None:
            raise Refused.because("rewrite-failed")
        column, held = held_as(part, item)
        if item.name in untold:
            if held is not ItemType.TEXT or not needs_token(mask):
                raise Refused.because("rewrite-failed")
            physical.without_tokens(part, item.name)
            table.columns[item.name] = engine_type(held)
            salt = exp.Literal.string(physical.stand_in)
            masked: exp.Expr = exp.DPipe(this=column, expression=salt, safe=True) if salted else column
        elif needs_token(mask):
            if held is not None:
                table.columns[item.name] = engine_type(held)
            alias = f"{tokens}{len(joins) + 1}"
            side = physical.of_tokens(part, item.name)
            joins.append(
                exp.Join(
                    this=table_node(side.name, alias),
                    side="LEFT",
                    on=exp.EQ(this=column, expression=column_node(alias, "identifier")),
                )
            )
            masked = sql_mask(item, mask, column, token=column_node(alias, "token"))
        else:
            masked = sql_mask(item, mask, column, shaped=item.name == shaped)
            if held is not None and any(isinstance(node, exp.Column) for node in masked.walk()):
                table.columns[item.name] = engine_type(held)
        shown.append((item.name, masked))
    return shown, joins


def entities_of(part: DatasetPlan, physical: Physical) -> list[tuple[str, exp.Expr]]:
    """The items that tell entities apart, as they lie, with their names within the rewriter."""
    table = physical.of_dataset(part)
    found: list[tuple[str, exp.Expr]] = []
    for name, entity in entity_columns(part):
        column, held = held_as(part, entity)
        found.append((name, column))
        if held is not None:
            table.columns[entity.name] = engine_type(held)
    return found


def rule_of(part: DatasetPlan, physical: Physical, caps: Caps) -> exp.Expr | None:
    """The condition under which the grant shows a row; None if it cuts none."""
    rule = row_rule(part, physical, caps)
    if rule is None:
        return None
    for item in rule.items:
        _, held = held_as(part, item)
        if held is not None:
            physical.of_dataset(part).columns[item.name] = engine_type(held)
    return rule.condition


def _item_of_codes(part: DatasetPlan) -> str | None:
    """The item by whose division the grant cuts rows, if every code that a row may have has the shape of one: then its masks need not
    look at the shape, row by row."""
    rows = part.grant.terms.rows
    item = part.described.item(rows.item) if rows is not None else None
    if item is None or not part.codes or not all(re.fullmatch(DIVISION_CODE_SHAPE, code) for code in part.codes):
        return None
    return item.name


def _masked_above(select: exp.Select, untold: Collection[str]) -> exp.Select:
    """The same with the masks and the joins with side tables above the barrier, over the rows that the rule leaves: the engine may then
    filter what the analyst sees of them before it computes the rest. A mask cannot fail, and shows of a row what it shows of the value.

    Identifiers of `untold` are salted, where they are, below."""
    above = [projection for projection in select.expressions if projection.alias not in untold]
    joins = select.args.get("joins") or []
    if not joins and all(isinstance(one.this, exp.Column) or one.find(exp.Column) is None for one in above):
        return select
    rule, offset = select.args["where"], select.args["offset"]
    names = dict.fromkeys(
        column.name for part in (*above, *joins) for column in part.find_all(exp.Column) if column.table == "p"
    )
    if set(names) & set(untold):
        raise Refused.because("rewrite-failed")
    below = [exp.Alias(this=column_node("p", name), alias=identifier_node(name)) for name in names]
    below += [projection for projection in select.expressions if projection.alias in untold]
    if not below:
        below.append(exp.Alias(this=exp.Literal.number(1), alias=identifier_node("row")))
    shown: list[exp.Expr] = [
        exp.Alias(this=column_node("p", projection.alias), alias=identifier_node(projection.alias))
        if projection.alias in untold
        else projection
        for projection in select.expressions
    ]
    inner = exp.Select(expressions=below, from_=select.args["from_"], where=rule, offset=offset)
    source = exp.Subquery(this=inner, alias=exp.TableAlias(this=identifier_node("p")))
    return exp.Select(expressions=shown, from_=exp.From(this=source), joins=joins)


def governed_subquery(
    use: TableUse, part: DatasetPlan, physical: Physical, caps: Caps, *, untold: Untold | None = None
) -> exp.Subquery:
    """The subquery for one mention of a dataset, under the alias that the resolver gave the mention."""
    table = physical.of_dataset(part)
    kept = untold or Untold()
    items, joins = governed_items(
        use.items, part, physical, untold=kept.of(use), salted=kept.salted, shaped=_item_of_codes(part)
    )
    shown: list[exp.Expr] = [exp.Alias(this=masked, alias=identifier_node(name)) for name, masked in items]
    if not shown:
        shown.append(exp.Alias(this=exp.Literal.number(1), alias=identifier_node("row")))
    select = exp.Select(expressions=shown, from_=exp.From(this=table_node(table.name, "p")), joins=joins)
    if part.grant.terms.mode is not Mode.ROWS:
        shown += [exp.Alias(this=column, alias=identifier_node(name)) for name, column in entities_of(part, physical)]
        select.set("expressions", shown)
    rule = rule_of(part, physical, caps)
    if rule is not None:
        select.set("where", exp.Where(this=rule))
    if rule is not None or part.barrier or part.grant.terms.mode is not Mode.ROWS:
        # A barrier: the engine may not evaluate what the analyst wrote before the row rule, or an expression that fails only
        # on a hidden row would tell about it. An OFFSET keeps the optimiser from moving filters and joins into the subquery.
        select.set("offset", exp.Offset(expression=exp.Literal.number(0)))
    if rule is not None and part.grant.terms.mode is Mode.ROWS and not part.barrier:
        select = _masked_above(select, kept.of(use))
    if not table.columns:
        name, kind = next(iter(columns_of(part).items()))
        table.columns[name] = engine_type(kind)
    return exp.Subquery(this=select, alias=exp.TableAlias(this=identifier_node(use.alias)))
