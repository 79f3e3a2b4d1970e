"""Totals: what a statement may be where a grant lets no row leave, and how small groups are kept out of its answer.

Such a statement is one SELECT over one dataset that shows grouping items and plain totals of items. Everything else is refused, with
what to write instead: what is not listed here has not been shown to be safe. An expression that fails on one row alone would tell of
that row, which the person may not see: WHERE compares items with values of a form that cannot fail, and is tried besides.

The rewriter then adds, where the person cannot reach it, the entity of each row. A group of fewer than k distinct entities is absent,
also the one group of a statement without GROUP BY, and a total to which fewer than k entities contribute has no value. HAVING, ORDER BY
and LIMIT of the person are taken out: they are done on the numbers as they are told (`huitong.gateway.telling`).

min and max stay refused: each is the value of one entity, which rounding does not hide."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from sqlglot import exp

from huitong.errors import Reason, Refused
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.questions import question_of
from huitong.gateway.resolve import Resolution, TableUse
from huitong.gateway.telling import Having, Number, OrderKey, Telling, Total, TotalKind
from huitong.model.catalog import Item
from huitong.model.policy import Grant, Mode
from huitong.sharing.wishes import entity_items

_CLAUSES = frozenset({"expressions", "from_", "where", "group", "having", "order", "limit", "offset"})
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_LOGICAL = (exp.And, exp.Or, exp.Not, exp.Paren)
_COMPARING = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.In, exp.Between, exp.Is, exp.Like, exp.ILike, exp.StartsWith,
)  # fmt: skip
_OF_ONE_ITEM = (exp.Year, exp.Month, exp.Quarter, exp.Lower, exp.Upper, exp.Trim, exp.Length)
_OF_ITEM_AND_LENGTH = (exp.Left, exp.Right)
_SAFE_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,12})?")
"""A number that can be compared with a whole number or a decimal of any size without a cast that overflows."""
_SAFE_LENGTH = re.compile(r"[0-9]{1,4}")

IsTotal = Callable[[exp.Expr, TableUse], bool]
"""Whether a node is a total that SELECT may show."""
Leaf = Callable[[exp.Expr], bool]
"""Whether a node is something that may be compared: an item, or what SELECT shows."""


def faults_of_totals(resolution: Resolution, grants: Mapping[str, Grant]) -> tuple[Reason, ...]:
    """Everything that a statement may not hold because one of its grants gives totals alone; empty if none of them does."""
    limited = [use for use in resolution.tables if (grant := grants.get(use.dataset.id)) and grant.terms.mode is Mode.AGGREGATE_ONLY]
    if not limited:
        return ()
    use = limited[0]
    about: dict[str, str | int] = {"grant": grants[use.dataset.id].id, "dataset": use.dataset.id}
    tree = _top(resolution.tree)
    if not entity_items(use.dataset):
        return (Reason("totals-without-entity", {"dataset": use.dataset.id, "provider": use.dataset.provider}),)
    if len(resolution.tables) > 1 or not isinstance(tree, exp.Select) or not is_one_select(tree, use):
        return (Reason("totals-one-select", about),)
    return tuple(_faults_of_select(tree, use, about))


def _faults_of_select(tree: exp.Select, use: TableUse, about: Mapping[str, str | int]) -> list[Reason]:
    faults: list[Reason] = []
    outputs = [bare(projection.unalias()) for projection in tree.expressions]
    group = tree.args.get("group")
    for position, output in enumerate(outputs, start=1):
        if not _is_total(output, use) and (group is None or not is_item(output, use)):
            faults.append(Reason("totals-output", {**about, "output": position}))
    if group is not None and not all(_is_grouping_item(key, outputs, use) for key in _group_keys(group)):
        faults.append(Reason("totals-group", about))
    return faults + condition_faults(tree, use, outputs, about, is_total=_is_total)


def condition_faults(
    tree: exp.Select, use: TableUse, outputs: Sequence[exp.Expr], about: Mapping[str, str | int], *, is_total: IsTotal
) -> list[Reason]:
    """What WHERE, HAVING and ORDER BY may not hold."""
    faults: list[Reason] = []
    where = tree.args.get("where")
    if where is not None and not _is_condition(where.this, lambda node: _is_of_item(node, use)):
        faults.append(Reason("totals-where", about))
    having = tree.args.get("having")
    if having is not None and not _is_having(having.this, [one for one in outputs if is_total(one, use)]):
        faults.append(Reason("totals-having", about))
    order = tree.args.get("order")
    if order is not None and not all(isinstance(ordered.this, exp.Literal) for ordered in order.expressions):
        faults.append(Reason("totals-order", about))
    return faults


def _top(tree: exp.Expr) -> exp.Expr:
    while isinstance(tree, exp.Subquery):
        tree = tree.this
    return tree


def bare(node: exp.Expr) -> exp.Expr:
    """Without brackets around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def is_one_select(tree: exp.Select, use: TableUse) -> bool:
    """One SELECT straight from the one mention of the dataset, and no query inside."""
    written = {name for name, value in tree.args.items() if value not in (None, [], False)}
    source = tree.args.get("from_")
    if not written <= _CLAUSES or source is None or source.this is not use.node:
        return False
    return not any(isinstance(node, (*_QUERIES, exp.Window)) for node in tree.walk() if node is not tree)


def is_item(node: exp.Expr, use: TableUse) -> bool:
    """Whether it is an item of the dataset as the grant shows it."""
    return isinstance(node, exp.Column) and node.table == use.alias and node.name in use.items


def _is_total(node: exp.Expr, use: TableUse) -> bool:
    """count(*), count(item), count(DISTINCT item), sum(item), avg(item)."""
    if isinstance(node, exp.Count) and not node.expressions:
        inner = node.this
        if isinstance(inner, exp.Distinct) and not inner.args.get("on"):
            return len(inner.expressions) == 1 and is_item(inner.expressions[0], use)
        return isinstance(inner, exp.Star) or is_item(inner, use)
    return type(node) in (exp.Sum, exp.Avg) and is_item(node.this, use)


def _group_keys(group: exp.Expr) -> Sequence[exp.Expr]:
    others = {name for name, value in group.args.items() if name != "expressions" and value not in (None, [], False)}
    return [exp.Null()] if others else group.expressions


def _is_grouping_item(key: exp.Expr, outputs: Sequence[exp.Expr], use: TableUse) -> bool:
    if isinstance(key, exp.Literal):
        position = int(key.this) if not key.is_string and key.this.isdigit() and len(key.this) < 5 else 0
        return 1 <= position <= len(outputs) and is_item(outputs[position - 1], use)
    return is_item(bare(key), use)


def _is_condition(node: exp.Expr, leaf: Leaf) -> bool:
    """Comparisons of a leaf with constants, joined by AND, OR and NOT."""
    if leaf(node):
        return True
    if isinstance(node, _LOGICAL):
        return all(_is_condition(part, leaf) for part in _parts(node))
    if isinstance(node, _COMPARING):
        parts = _parts(node)
        leaves = sum(leaf(part) for part in parts)
        return leaves <= 1 and all(leaf(part) or _is_constant(part) for part in parts) and (not leaves or _is_this_way(node, leaf))
    return isinstance(node, exp.Boolean)


def _is_this_way(node: exp.Expr, leaf: Leaf) -> bool:
    """Whether the leaf stands where it must: a pattern, a list and the ends of a range are constants."""
    return leaf(node.this) or not isinstance(node, exp.In | exp.Between | exp.Is | exp.Like | exp.ILike | exp.StartsWith)


def _is_constant(node: exp.Expr) -> bool:
    if isinstance(node, exp.Paren | exp.Neg | exp.Cast | exp.TryCast):
        return isinstance(node.this, exp.Literal | exp.Neg) and _is_constant(node.this)
    if isinstance(node, exp.Literal):
        return bool(node.is_string) or _SAFE_NUMBER.fullmatch(node.this) is not None
    return isinstance(node, exp.Boolean | exp.Null | exp.DataType)


def _is_of_item(node: exp.Expr, use: TableUse) -> bool:
    """An item, or a function of it that has a value, or none, for every value of the item."""
    if isinstance(node, exp.Paren | exp.Cast | exp.TryCast):
        return _is_of_item(node.this, use)
    if isinstance(node, _OF_ONE_ITEM):
        return _parts(node) == [node.this] and _is_of_item(node.this, use)
    if isinstance(node, _OF_ITEM_AND_LENGTH):
        length = node.expression
        short = isinstance(length, exp.Literal) and not length.is_string and _SAFE_LENGTH.fullmatch(length.this) is not None
        return short and _is_of_item(node.this, use)
    return is_item(node, use)


def _parts(node: exp.Expr) -> list[exp.Expr]:
    parts: list[exp.Expr] = []
    for value in node.args.values():
        if isinstance(value, exp.Expr):
            parts.append(value)
        elif isinstance(value, list):
            parts.extend(part for part in value if isinstance(part, exp.Expr))
    return parts


# --- within the rewriter ------------------------------------------------------------------------------------------------


def entity_columns(part: DatasetPlan) -> list[tuple[str, Item]]:
    """The items that tell entities apart, each with the name under which the governed subquery shows it to the rewriter alone: no item
    can be called so, and no statement can name it."""
    found = [(f"entity {number}", part.described.item(name)) for number, name in enumerate(entity_items(part.described), start=1)]
    if not found:
        raise Refused.because("rewrite-failed")
    return [(name, item) for name, item in found if item is not None]


def keep_small_groups_out(tree: exp.Query, use: TableUse, part: DatasetPlan) -> Telling:
    """Change a statement without `faults_of_totals`, in place: the engine gives every group of at least k entities, and a mark for each
    total after what SELECT shows. Returns what is done with them afterwards."""
    k = part.grant.terms.k
    if k is None or not isinstance(tree, exp.Select) or not is_one_select(tree, use):
        raise Refused.because("rewrite-failed")
    shown = [bare(projection.unalias()) for projection in tree.expressions]
    having, order = tree.args.get("having"), tree.args.get("order")
    marks: dict[str, exp.Expr] = {}
    telling = Telling(
        dataset=part.dataset,
        outputs=tuple(_total_of(node, len(shown), use, part, marks) for node in shown),
        having=None if having is None else having_of(having.this, [node.copy() for node in shown]),
        order=tuple(order_key(ordered, len(shown)) for ordered in order.expressions) if order is not None else (),
        limit=whole(tree.args.get("limit")),
        offset=whole(tree.args.get("offset")) or 0,
        question=question_of(tree, shown),
    )
    for clause in ("order", "limit", "offset"):
        tree.set(clause, None)
    for projection in tree.expressions:
        _hide_small_totals(projection, use, part, k)
    for number, mark in enumerate(marks.values(), start=1):
        tree.append("expressions", exp.Alias(this=mark, alias=exp.Identifier(this=f"mark {number}", quoted=True)))
    where = tree.args.get("where")
    if where is not None:
        where.set("this", exp.Try(this=where.this))
    tree.set("having", exp.Having(this=_at_least(_entities(use, part, None), k)))
    return telling


def _total_of(node: exp.Expr, outputs: int, use: TableUse, part: DatasetPlan, marks: dict[str, exp.Expr]) -> Total | None:
    """The total that an output is, with its mark, which is made if there is none like it yet; None for an item of GROUP BY."""
    if not isinstance(node, exp.Count | exp.Sum | exp.Avg):
        return None
    distinct = isinstance(node.this, exp.Distinct)
    inner = node.this.expressions[0] if distinct else node.this
    item = None if isinstance(inner, exp.Star) else inner
    kind = TotalKind.DISTINCT if distinct else _KINDS[type(node)]
    values = kind is not TotalKind.COUNT
    name = "" if item is None else item.name
    label = f"{values} {name}"
    marks.setdefault(label, _mark(use, part, item, values=values))
    return Total(kind, name if values else "", outputs + list(marks).index(label))


_KINDS: Mapping[type[exp.Expr], TotalKind] = {exp.Count: TotalKind.COUNT, exp.Sum: TotalKind.SUM, exp.Avg: TotalKind.MEAN}


def _mark(use: TableUse, part: DatasetPlan, item: exp.Expr | None, *, values: bool) -> exp.Expr:
    """The sum of a hash of the entity, and where `values` of the item too, of each row of the group that has the item. The hash has no
    key, for none may stand in SQL: the gate keys what it makes of the sum."""
    hashed: list[exp.Expr] = list(_entity_nodes(use, part))
    if item is not None and values:
        hashed.append(item.copy())
    mark: exp.Expr = exp.Anonymous(this="hash", expressions=hashed)
    if item is not None:
        known = exp.Not(this=exp.Is(this=item.copy(), expression=exp.Null()))
        mark = exp.Case(ifs=[exp.If(this=known, true=mark)])
    return exp.Sum(this=mark)


def order_key(ordered: exp.Expr, outputs: int) -> OrderKey:
    """One key of ORDER BY."""
    place = _whole_number(ordered.this)
    if not 1 <= place <= outputs:
        raise Refused.because("rewrite-failed")
    return OrderKey(place - 1, descending=bool(ordered.args.get("desc")), nulls_first=bool(ordered.args.get("nulls_first")))


def whole(clause: exp.Expr | None) -> int | None:
    """The number of LIMIT or OFFSET; None without it."""
    return None if clause is None else _whole_number(clause.expression)


def _whole_number(node: exp.Expr) -> int:
    if not isinstance(node, exp.Literal) or node.is_string or not node.this.isdigit():
        raise Refused.because("rewrite-failed")
    return int(node.this)


# --- HAVING, on numbers as they are told ---------------------------------------------------------------------------------

_ORDERS: Mapping[type[exp.Expr], Callable[[Decimal, Decimal], bool]] = {
    exp.EQ: lambda a, b: a == b,
    exp.NEQ: lambda a, b: a != b,
    exp.GT: lambda a, b: a > b,
    exp.GTE: lambda a, b: a >= b,
    exp.LT: lambda a, b: a < b,
    exp.LTE: lambda a, b: a <= b,
}


def _is_having(node: exp.Expr, totals: Sequence[exp.Expr]) -> bool:
    """Comparisons of totals that SELECT shows with numbers, joined by AND, OR and NOT."""

    def is_number(one: exp.Expr | None) -> bool:
        plain = one.this if isinstance(one, exp.Neg) else one
        return isinstance(plain, exp.Literal) and not plain.is_string and _SAFE_NUMBER.fullmatch(plain.this) is not None

    def is_side(one: exp.Expr) -> bool:
        return bare(one) in totals

    if isinstance(node, _LOGICAL):
        return all(_is_having(part, totals) for part in _parts(node))
    if type(node) in _ORDERS:
        return (is_side(node.this) and is_number(node.expression)) or (is_number(node.this) and is_side(node.expression))
    if isinstance(node, exp.Between):
        return is_side(node.this) and is_number(node.args["low"]) and is_number(node.args["high"]) and not node.args.get("symmetric")
    if isinstance(node, exp.In):
        plain = not any(node.args.get(other) for other in ("query", "unnest", "field"))
        return plain and is_side(node.this) and bool(node.expressions) and all(is_number(one) for one in node.expressions)
    if isinstance(node, exp.Is):
        return is_side(node.this) and isinstance(node.expression, exp.Null)
    return isinstance(node, exp.Boolean)


def having_of(node: exp.Expr, outputs: Sequence[exp.Expr]) -> Having:
    """The condition in Python, with the three truth values of SQL."""
    if isinstance(node, exp.Paren):
        return having_of(node.this, outputs)
    if isinstance(node, exp.Not):
        inner = having_of(node.this, outputs)
        return lambda row: None if (found := inner(row)) is None else not found
    if isinstance(node, exp.And | exp.Or):
        left, right, wins = having_of(node.this, outputs), having_of(node.expression, outputs), isinstance(node, exp.Or)
        return lambda row: _joined(left(row), right(row), wins=wins)
    if isinstance(node, exp.Boolean):
        fixed = bool(node.this)
        return lambda _row: fixed
    if isinstance(node, exp.Is):
        side = _side(node.this, outputs)
        return lambda row: side(row) is None
    if isinstance(node, exp.Between):
        subject, low, high = (_side(one, outputs) for one in (node.this, node.args["low"], node.args["high"]))
        at_least, at_most = _compared(exp.GTE, subject, low), _compared(exp.LTE, subject, high)
        return lambda row: _joined(at_least(row), at_most(row), wins=False)
    if isinstance(node, exp.In):
        subject, listed = _side(node.this, outputs), {_side(one, outputs)([]) for one in node.expressions}
        return lambda row: None if (value := subject(row)) is None else value in listed
    if type(node) in _ORDERS:
        return _compared(type(node), _side(node.this, outputs), _side(node.expression, outputs))
    raise Refused.because("rewrite-failed")


_Side = Callable[[Sequence[Number]], Number]


def _side(node: exp.Expr, outputs: Sequence[exp.Expr]) -> _Side:
    """A total that is shown, or a number."""
    plain = bare(node)
    if plain in outputs:
        place = outputs.index(plain)
        return lambda row: row[place]
    negative = isinstance(plain, exp.Neg)
    number = Decimal((plain.this if negative else plain).this)
    fixed = -number if negative else number
    return lambda _row: fixed


def _compared(how: type[exp.Expr], left: _Side, right: _Side) -> Having:
    holds = _ORDERS[how]

    def compare(row: Sequence[Number]) -> bool | None:
        one, other = left(row), right(row)
        return None if one is None or other is None else holds(one, other)

    return compare


def _joined(left: bool | None, right: bool | None, *, wins: bool) -> bool | None:
    """OR where True wins, AND where False does."""
    if left is wins or right is wins:
        return wins
    return None if left is None or right is None else not wins


def _hide_small_totals(root: exp.Expr, use: TableUse, part: DatasetPlan, k: int) -> None:
    """Give each total of an item a value only where at least k entities have one."""
    for total in list(root.find_all(exp.Count, exp.Sum, exp.Avg)):
        if not _is_total(total, use):
            raise Refused.because("rewrite-failed")
        inner = total.this.expressions[0] if isinstance(total.this, exp.Distinct) else total.this
        if isinstance(inner, exp.Star):
            continue
        shown = exp.Case(ifs=[exp.If(this=_at_least(_entities(use, part, inner), k), true=exp.Null())])
        total.replace(shown)
        shown.args["ifs"][0].set("true", total)


def _at_least(count: exp.Expr, k: int) -> exp.Expr:
    return exp.GTE(this=count, expression=exp.Literal.number(k))


def _entities(use: TableUse, part: DatasetPlan, item: exp.Expr | None) -> exp.Expr:
    """How many entities a group has, or contribute to a total of the item. A row whose entity is not known counts as none."""
    columns = _entity_nodes(use, part)
    known = [column.copy() for column in columns] if len(columns) > 1 else []
    if item is not None:
        known.append(item.copy())
    entity: exp.Expr = columns[0] if len(columns) == 1 else exp.Tuple(expressions=columns)
    if known:
        every = exp.and_(*(exp.Not(this=exp.Is(this=one, expression=exp.Null())) for one in known), copy=False)
        entity = exp.Case(ifs=[exp.If(this=every, true=entity)])
    return exp.Count(this=exp.Distinct(expressions=[entity]))


def _entity_nodes(use: TableUse, part: DatasetPlan) -> list[exp.Expr]:
    alias = use.alias
    return [
        exp.Column(this=exp.Identifier(this=name, quoted=True), table=exp.Identifier(this=alias, quoted=True))
        for name, _ in entity_columns(part)
    ]
