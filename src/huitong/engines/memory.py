"""The reference engine: what must come out of a governed query, said slowly and plainly over rows in memory.

It reads the bound statement of an analyst and the terms of the grants, row by row and value by value, and shares nothing with the
rewriter, its SQL or DuckDB: where the two differ, one of them is wrong. It is for tests, and for whoever wants to know what a grant means
without reading SQL. Windows, functions of dates but year, month, day and quarter, and a few rarer forms are gaps: `Gap` names them.

What it holds the gateway to:

* a dataset is its rows that pass every rule of the terms, with the granted items alone, each under its mask;
* under a grant of totals a group of fewer than k known entities is absent, and a total to which fewer contribute is missing;
* arithmetic over single rows has no value where it overflows; of totals it fails, and then the whole statement does."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlglot import exp

from huitong.engines import memory_values as v
from huitong.engines.memory_values import BIG, BOOLEAN, DATE, DOUBLE, HUGE, NOTHING, TEXT, Kind, Type, ValueFails, gap
from huitong.errors import Refused
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import Comparator, Comparison, Mode, Terms

Gap = v.Gap

_TYPES: Mapping[ItemType, Type] = {
    ItemType.TEXT: TEXT,
    ItemType.INTEGER: BIG,
    ItemType.DECIMAL: DOUBLE,
    ItemType.BOOLEAN: BOOLEAN,
    ItemType.DATE: DATE,
    ItemType.INSTANT: v.INSTANT,
}
_ENTITY = " entity"
"""Under which name a row keeps the entity that it is about; no item can be called so."""


@dataclass(frozen=True)
class ShownItem:
    """How a granted item leaves: the type that is seen, and the mask as a function of one value."""

    type: ItemType
    change: Callable[[Any], Any]


@dataclass(frozen=True)
class MemoryDataset:
    """A dataset under the terms of one grant, with the rows of its snapshot."""

    described: Dataset
    terms: Terms
    shown: Mapping[str, ShownItem]
    """The granted items by name."""
    rows: Sequence[Mapping[str, Any]]
    codes: frozenset[str] = frozenset()
    """Division codes that lie under the division of the terms."""
    listed: frozenset[str] = frozenset()
    """Identifiers on the list of subjects of the terms."""
    entity: tuple[str, ...] = ()
    """The items that tell entities apart."""


@dataclass(frozen=True)
class MemoryResult:
    """Headings and rows, in the order that the statement states, if it states one."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def run(tree: exp.Query, datasets: Mapping[str, MemoryDataset]) -> MemoryResult:
    """The rows of a bound statement (`gateway.resolve`) over these datasets, by id. The tree stays as it is.

    Raises Gap `reference-gap` for what the reference does not have, and Refused `query-failed` where the statement fails on a value."""
    try:
        made = _Reference(datasets).query(tree, {}, None)
        rows = made.run(None)
    except ValueFails:
        raise Refused.because("query-failed", query="reference") from None
    return MemoryResult(made.names, tuple(rows))


# --- the rows that a grant shows ----------------------------------------------------------------------------------------


def shown_rows(dataset: MemoryDataset) -> list[Mapping[str, Any]]:
    """The rows that pass every rule of the terms, each with the granted items under their masks."""
    found: list[Mapping[str, Any]] = []
    for row in dataset.rows:
        if not _passes(row, dataset):
            continue
        shown = {name: item.change(row.get(name)) for name, item in dataset.shown.items()}
        entity = tuple(row.get(name) for name in dataset.entity)
        shown[_ENTITY] = None if not entity or None in entity else entity
        found.append(shown)
    return found


def _passes(row: Mapping[str, Any], dataset: MemoryDataset) -> bool:
    terms = dataset.terms
    if terms.rows is not None and row.get(terms.rows.item) not in dataset.codes:
        return False
    if terms.subjects is not None and row.get(terms.subjects.item) not in dataset.listed:
        return False
    return all(_holds(row.get(one.item), one, dataset.described) for one in terms.condition)


def _holds(value: Any, one: Comparison, described: Dataset) -> bool:
    if one.comparator is Comparator.MISSING or value is None:
        return value is None and one.comparator is Comparator.MISSING
    item = described.item(one.item)
    assert item is not None
    mine = v.order_key(value)
    named = [v.order_key(_READ[item.type](text)) for text in one.values]
    if one.comparator is Comparator.KNOWN:
        return True
    if one.comparator in (Comparator.IN, Comparator.NOT_IN):
        return (mine in named) == (one.comparator is Comparator.IN)
    (bound,) = named
    return bool({
        Comparator.AT_LEAST: mine >= bound,
        Comparator.MORE_THAN: mine > bound,
        Comparator.AT_MOST: mine <= bound,
        Comparator.LESS_THAN: mine < bound,
    }[one.comparator])


_READ: Mapping[ItemType, Callable[[str], Any]] = {
    ItemType.TEXT: str,
    ItemType.INTEGER: int,
    ItemType.DECIMAL: float,
    ItemType.BOOLEAN: lambda text: text == "true",
    ItemType.DATE: date.fromisoformat,
    ItemType.INSTANT: datetime.fromisoformat,
}


# --- statements -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """What an expression is read against: one row of each source, or a group of such rows with the values that they share."""

    row: Mapping[str, Mapping[str, Any]]
    outer: "_Frame | None" = None
    group: "Sequence[_Frame]" = ()
    keys: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Cell:
    """An expression: its type, and how its value is read."""

    type: Type
    read: Callable[[_Frame], Any]


@dataclass(frozen=True)
class _Scope:
    """What names mean in one SELECT. `keys` is set where it is read group by group: the place of each expression that they share."""

    columns: Mapping[str, Mapping[str, Type]]
    outer: "_Scope | None"
    ctes: "Mapping[str, _Query]"
    keys: "Mapping[exp.Expr, tuple[int, Type]] | None" = None
    k: int | None = None


@dataclass(frozen=True)
class _Query:
    names: tuple[str, ...]
    types: tuple[Type, ...]
    run: Callable[[_Frame | None], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class _Source:
    alias: str
    columns: Mapping[str, Type]
    run: Callable[[_Frame | None], Sequence[Mapping[str, Any]]]
    k: int | None = None


Rows = list[Mapping[str, Mapping[str, Any]]]
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_OVER_ROWS = (exp.AggFunc, exp.Window, *_QUERIES)


@dataclass(frozen=True)
class _Reference:
    datasets: Mapping[str, MemoryDataset]
    _readers: "dict[type[exp.Expr], Callable[[_Reference, Any, _Scope], _Cell]]" = field(default_factory=lambda: _READERS)

    def query(self, node: exp.Expr, ctes: Mapping[str, _Query], outer: _Scope | None) -> _Query:
        if isinstance(node, exp.Subquery):
            return self.query(node.this, ctes, outer)
        written = node.args.get("with_")
        for cte in written.expressions if written is not None else ():
            ctes = {**ctes, cte.alias: self.query(cte.this, ctes, None)}
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, ctes, outer)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, outer)
        raise gap(type(node).__name__)

    # --- set operations -----------------------------------------------------------------------------------------------

    def _set_operation(self, node: exp.SetOperation, ctes: Mapping[str, _Query], outer: _Scope | None) -> _Query:
        left, right = self.query(node.this, ctes, outer), self.query(node.expression, ctes, outer)
        types = tuple(v.common_of(pair) for pair in zip(left.types, right.types, strict=True))
        order, distinct = node.args.get("order"), bool(node.args.get("distinct"))
        keys = [(int(one.this.this) - 1, one) for one in (order.expressions if order is not None else ())]

        def rows(frame: _Frame | None) -> list[tuple[Any, ...]]:
            a, b = (
                [tuple(map(v.convert, row, side.types, types)) for row in side.run(frame)] for side in (left, right)
            )
            found = _combined(node, a, b, distinct=distinct)
            for at, ordered in reversed(keys):
                found = _sorted(found, [row[at] for row in found], ordered)
            return _cut(node, found)

        return _Query(left.names, types, rows)

    # --- SELECT ---------------------------------------------------------------------------------------------------------

    def _select(self, node: exp.Select, ctes: Mapping[str, _Query], outer: _Scope | None) -> _Query:
        scope, rows_of, k = self._from(node, ctes, outer)
        where = self._where(node, scope, lenient=k is not None)
        outputs = [projection.this for projection in node.expressions]
        having, order, group = node.args.get("having"), node.args.get("order"), node.args.get("group")
        ordered = list(order.expressions) if order is not None else []
        asked = [*outputs, *([having.this] if having is not None else []), *(one.this for one in ordered)]
        grouped = group is not None or k is not None or any(_own_totals(one) for one in asked)
        shared: list[_Cell] = []
        if grouped:
            keys: dict[exp.Expr, tuple[int, Type]] = {}
            for key in group.expressions if group is not None else ():
                meant = outputs[int(key.this) - 1] if isinstance(key, exp.Literal) else key
                cell = self._cell(meant, scope)
                keys.setdefault(_bare(meant), (len(shared), cell.type))
                shared.append(cell)
            scope = replace(scope, keys=keys, k=k)
        cells = [self._cell(one, scope) for one in outputs]
        kept = self._cell(having.this, scope) if having is not None else None
        sort_by = [cells[int(one.this.this) - 1] if isinstance(one.this, exp.Literal) else self._cell(one.this, scope) for one in ordered]
        distinct = node.args.get("distinct") is not None

        def rows(outer_frame: _Frame | None) -> list[tuple[Any, ...]]:
            frames = [_Frame(row, outer_frame) for row in rows_of(outer_frame)]
            frames = [frame for frame in frames if where(frame)]
            if grouped:
                frames = _grouped(frames, shared, outer_frame, always=group is None)
                if k is not None:
                    frames = [frame for frame in frames if _entities(frame.group) >= k]
                if kept is not None:
                    frames = [frame for frame in frames if kept.read(frame) is True]
            found = [(tuple(cell.read(frame) for cell in cells), tuple(cell.read(frame) for cell in sort_by)) for frame in frames]
            if distinct:
                found = list({v.same_key(shown): (shown, by) for shown, by in reversed(found)}.values())[::-1]
            for at, one in reversed(list(enumerate(ordered))):
                found = _sorted(found, [by[at] for _, by in found], one)
            return _cut(node, [shown for shown, _ in found])

        return _Query(tuple(one.alias for one in node.expressions), tuple(cell.type for cell in cells), rows)

    def _where(self, node: exp.Select, scope: _Scope, *, lenient: bool) -> Callable[[_Frame], bool]:
        """Whether a row is used. Under a grant of totals a condition that has no value on a row leaves the row out."""
        where = node.args.get("where")
        if where is None:
            return lambda _frame: True
        cell = self._cell(where.this, scope)

        def holds(frame: _Frame) -> bool:
            try:
                return cell.read(frame) is True
            except ValueFails:
                if lenient:
                    return False
                raise

        return holds

    def _from(
        self, node: exp.Select, ctes: Mapping[str, _Query], outer: _Scope | None
    ) -> tuple[_Scope, Callable[[_Frame | None], Rows], int | None]:
        """The rows of FROM with its joins, and the least number of entities if one of the sources gives totals alone."""
        scope = _Scope({}, outer, ctes)
        from_ = node.args.get("from_")
        if from_ is None:
            return scope, lambda _frame: [{}], None
        first = self._source(from_.this, ctes)
        scope = replace(scope, columns={first.alias: first.columns})
        steps: list[tuple[_Source, str, _Cell, tuple[_Source, ...]]] = []
        before: tuple[_Source, ...] = (first,)
        for join in node.args.get("joins") or ():
            added = self._source(join.this, ctes)
            scope = replace(scope, columns={**scope.columns, added.alias: added.columns})
            steps.append((added, str(join.args.get("side") or ""), self._cell(join.args["on"], scope), before))
            before = (*before, added)

        def rows(frame: _Frame | None) -> Rows:
            found: Rows = [{first.alias: row} for row in first.run(frame)]
            for added, side, on, left in steps:
                found = _joined(found, added, side, on, left, frame)
            return found

        ks = [source.k for source in before if source.k is not None]
        return scope, rows, max(ks) if ks else None

    def _source(self, node: exp.Expr, ctes: Mapping[str, _Query]) -> _Source:
        alias = node.alias
        if isinstance(node, exp.Table) and node.name not in ctes:
            dataset = self.datasets[".".join(part.name for part in node.parts).lower()]
            columns = {name: _TYPES[item.type] for name, item in dataset.shown.items()}
            k = dataset.terms.k if dataset.terms.mode is Mode.AGGREGATE_ONLY else None
            return _Source(alias, columns, lambda _frame: shown_rows(dataset), k)
        inner = ctes[node.name] if isinstance(node, exp.Table) else self.query(node, ctes, None)

        def rows(_frame: _Frame | None) -> Sequence[Mapping[str, Any]]:
            return [dict(zip(inner.names, row, strict=True)) for row in inner.run(None)]

        return _Source(alias, dict(zip(inner.names, inner.types, strict=True)), rows)

    # --- expressions ------------------------------------------------------------------------------------------------------

    def _cell(self, node: exp.Expr, scope: _Scope) -> _Cell:
        """How an expression is read. Arithmetic over single rows that has no value is missing."""
        if scope.keys is not None and _bare(node) in scope.keys:
            at, kind = scope.keys[_bare(node)]
            return _Cell(kind, lambda frame: frame.keys[at])
        reader = self._readers.get(type(node))
        if reader is None:
            raise gap("OVER" if isinstance(node, exp.Window) else node.sql_name() if isinstance(node, exp.Func) else type(node).__name__)
        cell = reader(self, node, scope)
        if isinstance(node, _FALLIBLE) and not any(isinstance(part, _OVER_ROWS) for part in node.walk()):
            return _Cell(cell.type, partial(_or_missing, cell.read))
        return cell

    def _column(self, node: exp.Column, scope: _Scope) -> _Cell:
        levels, here = 0, scope
        while node.table not in here.columns:
            assert here.outer is not None, "the resolver binds every name"
            levels, here = levels + 1, here.outer
        alias, name = node.table, node.name
        if here.keys is not None:
            found = here.keys.get(node)
            if found is None:
                raise gap("an item of a group that is no key of it")
            at = found[0]
            return _Cell(found[1], lambda frame: _up(frame, levels).keys[at])
        return _Cell(here.columns[alias][name], lambda frame: _up(frame, levels).row[alias][name])

    def _total(self, node: exp.Expr, scope: _Scope, kept: _Cell | None = None) -> _Cell:
        """A total over the rows of a group; `kept` says which of them count."""
        k = scope.k
        single = replace(scope, keys=None, k=None)
        inner = node.this
        distinct = isinstance(inner, exp.Distinct)
        argument = inner.expressions[0] if distinct else inner
        if isinstance(argument, exp.Star):
            return _Cell(BIG, lambda frame: len(_counting(frame, kept)))
        cell = self._cell(argument, single)
        kind, make = self._totalled(node, cell)

        def read(frame: _Frame) -> Any:
            pairs = [(one, value) for one in _counting(frame, kept) if (value := cell.read(one)) is not None]
            if k is not None and _entities([one for one, _ in pairs]) < k:
                return None
            values = [value for _, value in pairs]
            return make(list({v.order_key(value): value for value in values}.values()) if distinct else values)

        return _Cell(kind, read)

    @staticmethod
    def _totalled(node: exp.Expr, cell: _Cell) -> tuple[Type, Callable[[list[Any]], Any]]:
        kind = cell.type
        if isinstance(node, exp.Count):
            return BIG, len
        if isinstance(node, exp.CountIf):
            return HUGE, lambda values: sum(value is True for value in values) if values else None
        if isinstance(node, exp.Min | exp.Max):
            choose = min if isinstance(node, exp.Min) else max
            return kind, lambda values: choose(values, key=v.order_key) if values else None
        if not kind.whole and kind.kind not in (Kind.DECIMAL, Kind.DOUBLE):
            raise gap(f"{node.key} of {kind.kind.name}")
        if isinstance(node, exp.Sum):
            summed = HUGE if kind.whole else replace(kind, digits=v.DIGITS) if kind.kind is Kind.DECIMAL else kind
            return summed, lambda values: v.total(values, summed)
        if isinstance(node, exp.Avg):
            return DOUBLE, v.mean
        if isinstance(node, exp.Median | exp.PercentileCont):
            if kind.kind is Kind.DECIMAL:
                raise gap(f"{node.key} of DECIMAL")
            share = float(node.expression.this) if isinstance(node, exp.PercentileCont) else 0.5
            return DOUBLE, lambda values: v.at_share(values, share)
        if type(node) in _SPREADS:
            return DOUBLE, partial(v.spread, sample=_SPREADS[type(node)][0], root=_SPREADS[type(node)][1])
        raise gap(type(node).__name__)

    def _filtered(self, node: exp.Filter, scope: _Scope) -> _Cell:
        return self._total(node.this, scope, self._cell(node.expression.this, replace(scope, keys=None, k=None)))

    def _number(self, node: exp.Literal, _scope: _Scope) -> _Cell:
        if node.is_string:
            return _constant(TEXT, node.this)
        return _constant(*v.number_type(node.this))

    def _paren(self, node: exp.Paren, scope: _Scope) -> _Cell:
        return self._cell(node.this, scope)

    def _and(self, node: exp.And, scope: _Scope) -> _Cell:
        return self._logical(node, scope, decides=False)

    def _or(self, node: exp.Or, scope: _Scope) -> _Cell:
        return self._logical(node, scope, decides=True)

    def _logical(self, node: exp.Binary, scope: _Scope, *, decides: bool) -> _Cell:
        a, b = self._cell(node.this, scope), self._cell(node.expression, scope)

        def read(frame: _Frame) -> bool | None:
            x: bool | None = a.read(frame)
            y: bool | None = b.read(frame) if x is not decides else None
            if x is decides or y is decides:
                return decides
            return None if x is None or y is None else not decides

        return _Cell(BOOLEAN, read)

    def _not(self, node: exp.Not, scope: _Scope) -> _Cell:
        return self._of_one(node.this, scope, BOOLEAN, lambda value: not value)

    def _is(self, node: exp.Is, scope: _Scope) -> _Cell:
        inner = self._cell(node.this, scope)
        if isinstance(node.expression, exp.Null):
            return _Cell(BOOLEAN, lambda frame: inner.read(frame) is None)
        if isinstance(node.expression, exp.Boolean):
            wanted = bool(node.expression.this)
            return _Cell(BOOLEAN, lambda frame: inner.read(frame) is wanted)
        raise gap("IS")

    def _compared(self, node: exp.Binary, scope: _Scope) -> _Cell:
        a, b = _alike([self._cell(node.this, scope), self._cell(node.expression, scope)])
        if type(node) in (exp.NullSafeEQ, exp.NullSafeNEQ):
            same = type(node) is exp.NullSafeEQ
            return _Cell(BOOLEAN, lambda frame: (v.same_key([a.read(frame)]) == v.same_key([b.read(frame)])) == same)
        holds = _COMPARE[type(node)]
        return _Cell(BOOLEAN, lambda frame: _both(a.read(frame), b.read(frame), holds))

    def _between(self, node: exp.Between, scope: _Scope) -> _Cell:
        cells = [self._cell(part, scope) for part in (node.this, node.args["low"], node.args["high"])]
        low, high = _alike(cells[:2]), _alike([cells[0], cells[2]])

        def read(frame: _Frame) -> bool | None:
            ends = [
                _both(low[0].read(frame), low[1].read(frame), _COMPARE[exp.GTE]),
                _both(high[0].read(frame), high[1].read(frame), _COMPARE[exp.LTE]),
            ]
            return False if False in ends else None if None in ends else True

        return _Cell(BOOLEAN, read)

    def _in(self, node: exp.In, scope: _Scope) -> _Cell:
        this = self._cell(node.this, scope)
        query = node.args.get("query")
        if query is None:
            first, *rest = _alike([this, *(self._cell(part, scope) for part in node.expressions)])
            return _Cell(BOOLEAN, lambda frame: _among(first.read(frame), [one.read(frame) for one in rest]))
        inner = self.query(query, scope.ctes, scope)
        first, other = _alike([this, _Cell(inner.types[0], lambda _frame: None)])
        kind = other.type

        def among(frame: _Frame) -> bool | None:
            found = [v.convert(row[0], inner.types[0], kind) for row in inner.run(frame)]
            return _among(first.read(frame), found)

        return _Cell(BOOLEAN, among)

    def _exists(self, node: exp.Exists, scope: _Scope) -> _Cell:
        inner = self.query(node.this, scope.ctes, scope)
        return _Cell(BOOLEAN, lambda frame: bool(inner.run(frame)))

    def _scalar(self, node: exp.Expr, scope: _Scope) -> _Cell:
        inner = self.query(node, scope.ctes, scope)

        def read(frame: _Frame) -> Any:
            found = inner.run(frame)
            if len(found) > 1:
                raise ValueFails
            return found[0][0] if found else None

        return _Cell(replace(inner.types[0], written=None), read)

    def _arithmetic(self, node: exp.Binary, scope: _Scope) -> _Cell:
        sign = _SIGNS[type(node)]
        a, b = self._cell(node.this, scope), self._cell(node.expression, scope)
        kind = v.arithmetic_type(sign, a.type, b.type)
        return _Cell(kind, lambda frame: v.arithmetic(sign, a.read(frame), b.read(frame), kind))

    def _neg(self, node: exp.Neg, scope: _Scope) -> _Cell:
        inner = self._cell(node.this, scope)
        kind = inner.type
        if kind.written is not None:
            return _constant(*v.whole_type(-kind.written))
        return self._of_one(node.this, scope, kind, lambda value: _fitted(-value, kind))

    def _abs(self, node: exp.Abs, scope: _Scope) -> _Cell:
        kind = replace(self._cell(node.this, scope).type, written=None)
        return self._of_one(node.this, scope, kind, lambda value: _fitted(abs(value), kind))

    def _round(self, node: exp.Round, scope: _Scope) -> _Cell:
        decimals = node.args.get("decimals")
        if decimals is not None and not isinstance(decimals, exp.Literal):
            raise gap("round to a number of places that is not written")
        places = int(decimals.this) if decimals is not None else 0
        kind = v.rounded_type(self._cell(node.this, scope).type, places)
        return self._of_one(node.this, scope, kind, lambda value: v.rounded(value, places))

    def _floor(self, node: exp.Expr, scope: _Scope) -> _Cell:
        kind = self._cell(node.this, scope).type
        kind = DOUBLE if kind.whole else replace(kind, scale=0) if kind.kind is Kind.DECIMAL else kind
        return self._of_one(node.this, scope, kind, partial(v.down, up=isinstance(node, exp.Ceil)))

    def _sign(self, node: exp.Sign, scope: _Scope) -> _Cell:
        return self._of_one(node.this, scope, Type(Kind.TINY), lambda value: (value > 0) - (value < 0))

    def _root(self, node: exp.Expr, scope: _Scope) -> _Cell:
        if isinstance(node, exp.Sqrt):
            return self._of_one(node.this, scope, DOUBLE, lambda value: None if value < 0 else math.sqrt(value))
        return self._of_one(node.this, scope, DOUBLE, lambda value: None if value <= 0 else math.log(value))

    def _power(self, node: exp.Pow, scope: _Scope) -> _Cell:
        return self._of_many([node.this, node.expression], scope, DOUBLE, lambda a, b: v.power(float(a), float(b)))

    def _chosen(self, node: exp.Expr, scope: _Scope) -> _Cell:
        cells = _in_one_type([self._cell(part, scope) for part in (node.this, *node.expressions)])

        def read(frame: _Frame) -> Any:
            known = (value for cell in cells if (value := cell.read(frame)) is not None)
            if isinstance(node, exp.Coalesce):
                return next(known, None)
            return (max if isinstance(node, exp.Greatest) else min)(known, key=v.order_key, default=None)

        return _Cell(cells[0].type, read)

    def _nullif(self, node: exp.Nullif, scope: _Scope) -> _Cell:
        this = self._cell(node.this, scope)
        a, b = _alike([this, self._cell(node.expression, scope)])
        same = _COMPARE[exp.EQ]
        kind = replace(this.type, written=None)
        return _Cell(kind, lambda frame: None if _both(a.read(frame), b.read(frame), same) else this.read(frame))

    def _case(self, node: exp.Case, scope: _Scope) -> _Cell:
        subject = node.this
        tests: list[_Cell] = []
        for branch in node.args["ifs"]:
            test = branch.this if subject is None else exp.EQ(this=subject.copy(), expression=branch.this.copy())
            tests.append(self._cell(test, scope))
        default = node.args.get("default")
        values = [self._cell(branch.args["true"], scope) for branch in node.args["ifs"]]
        values.append(self._cell(default, scope) if default is not None else _constant(NOTHING, None))
        *values, otherwise = _in_one_type(values)

        def read(frame: _Frame) -> Any:
            for test, value in zip(tests, values, strict=True):
                if test.read(frame) is True:
                    return value.read(frame)
            return otherwise.read(frame)

        return _Cell(otherwise.type, read)

    def _cast(self, node: exp.Expr, scope: _Scope) -> _Cell:
        inner = self._cell(node.this, scope)
        to = node.args["to"]
        target = _CASTS.get(to.this)
        if to.this is exp.DType.DECIMAL:
            digits, scale = ([int(part.this.this) for part in to.expressions] + [18, 3])[:2] if to.expressions else (18, 3)
            target = Type(Kind.DECIMAL, digits, scale if len(to.expressions) != 1 else 0)
        if target is None:
            raise gap(f"CAST AS {to.this.value}")
        kind = target
        return _Cell(kind, partial(_or_missing, lambda frame: v.convert(inner.read(frame), inner.type, kind)))

    def _text(self, node: exp.Expr, scope: _Scope) -> _Cell:
        """A function of text and its arguments in the order of `_TEXTS`; missing if one of them is."""
        kind, names, change = _TEXTS[type(node)]
        parts = [part for name in names if (part := node.args.get(name)) is not None]
        cell = self._of_many(parts, scope, kind, change)
        if not node.args.get("negate"):
            return cell
        return _Cell(BOOLEAN, lambda frame: None if (found := cell.read(frame)) is None else not found)

    def _concat(self, node: exp.Expr, scope: _Scope) -> _Cell:
        cells = [self._cell(part, scope) for part in node.expressions]

        def read(frame: _Frame) -> str | None:
            texts = [v.to_text(cell.read(frame), cell.type) for cell in cells]
            between = texts.pop(0) if isinstance(node, exp.ConcatWs) else ""
            return None if between is None else between.join(text for text in texts if text is not None)

        return _Cell(TEXT, read)

    def _pipe(self, node: exp.DPipe, scope: _Scope) -> _Cell:
        a, b = self._cell(node.this, scope), self._cell(node.expression, scope)
        return _Cell(TEXT, lambda frame: _both(v.to_text(a.read(frame), a.type), v.to_text(b.read(frame), b.type), str.__add__))

    def _calendar(self, node: exp.Expr, scope: _Scope) -> _Cell:
        part = node.this.name.lower() if isinstance(node, exp.Extract) else type(node).__name__.lower()
        inner = node.expression if isinstance(node, exp.Extract) else node.this
        if part not in ("year", "month", "day", "quarter"):
            raise gap(f"{part} of a date")
        if self._cell(inner, scope).type.kind not in (Kind.DATE, Kind.INSTANT, Kind.NOTHING):
            raise gap(f"{part} of something else than a date")

        def read(value: date) -> int:
            day = value.astimezone(UTC) if isinstance(value, datetime) else value
            return (day.month + 2) // 3 if part == "quarter" else int(getattr(day, part))

        return self._of_one(inner, scope, BIG, read)

    def _of_one(self, node: exp.Expr, scope: _Scope, kind: Type, change: Callable[[Any], Any]) -> _Cell:
        return self._of_many([node], scope, kind, change)

    def _of_many(self, nodes: Iterable[exp.Expr], scope: _Scope, kind: Type, change: Callable[..., Any]) -> _Cell:
        cells = [self._cell(node, scope) for node in nodes]

        def read(frame: _Frame) -> Any:
            values = [cell.read(frame) for cell in cells]
            return None if None in values else change(*values)

        return _Cell(kind, read)


# --- helpers ----------------------------------------------------------------------------------------------------------------


def _up(frame: _Frame, levels: int) -> _Frame:
    for _ in range(levels):
        assert frame.outer is not None
        frame = frame.outer
    return frame


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _own_totals(node: exp.Expr) -> bool:
    """Whether a total of this SELECT stands below the node, not one of a query inside it."""
    return any(isinstance(part, exp.AggFunc) for part in node.walk(prune=lambda inner: isinstance(inner, _QUERIES)))


def _or_missing(read: Callable[[_Frame], Any], frame: _Frame) -> Any:
    try:
        return read(frame)
    except ValueFails:
        return None


def _constant(kind: Type, value: Any) -> _Cell:
    return _Cell(kind, lambda _frame: value)


def _fitted(value: Any, kind: Type) -> Any:
    if kind.whole and not v.fits(value, kind.kind):
        raise ValueFails
    return value


def _converted(cell: _Cell, kind: Type) -> _Cell:
    return _Cell(kind, lambda frame: v.convert(cell.read(frame), cell.type, kind))


def _in_one_type(cells: Sequence[_Cell]) -> list[_Cell]:
    kind = v.common_of([cell.type for cell in cells])
    return [_converted(cell, kind) for cell in cells]


def _alike(cells: Sequence[_Cell]) -> list[_Cell]:
    """The cells in the type in which they are compared."""
    kinds = {cell.type.kind for cell in cells} - {Kind.NOTHING}
    if Kind.TEXT in kinds and len(kinds) > 1:
        raise gap("text compared with something else")
    return _in_one_type(cells)


def _both(a: Any, b: Any, change: Callable[[Any, Any], Any]) -> Any:
    return None if a is None or b is None else change(a, b)


def _among(value: Any, values: Sequence[Any]) -> bool | None:
    if not values:
        return False
    if value is None:
        return None
    if any(one is not None and v.order_key(one) == v.order_key(value) for one in values):
        return True
    return None if None in values else False


def _counting(frame: _Frame, kept: _Cell | None) -> Sequence[_Frame]:
    return frame.group if kept is None else [one for one in frame.group if kept.read(one) is True]


def _entities(frames: Iterable[_Frame]) -> int:
    """How many known entities these rows are about."""
    found = {row.get(_ENTITY) for frame in frames for row in frame.row.values()}
    return len(found - {None})


def _grouped(frames: Sequence[_Frame], shared: Sequence[_Cell], outer: _Frame | None, *, always: bool) -> list[_Frame]:
    """One frame for each group; `always`: one for all rows, also if there is none."""
    found: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[_Frame]]] = {}
    if always:
        found[()] = ((), [])
    for frame in frames:
        values = tuple(cell.read(frame) for cell in shared)
        found.setdefault(v.same_key(values), (values, []))[1].append(frame)
    return [_Frame({}, outer, group, keys) for keys, group in found.values()]


def _joined(rows: Rows, added: _Source, side: str, on: _Cell, left: Sequence[_Source], outer: _Frame | None) -> Rows:
    """Every pair for which the condition holds; on an outer side also what found no partner, beside nothing."""
    others = added.run(outer)
    found: Rows = []
    partnered: set[int] = set()
    for row in rows:
        pairs = [at for at, other in enumerate(others) if on.read(_Frame({**row, added.alias: other}, outer)) is True]
        found.extend({**row, added.alias: others[at]} for at in pairs)
        partnered.update(pairs)
        if not pairs and side in ("LEFT", "FULL"):
            found.append({**row, added.alias: dict.fromkeys(added.columns)})
    if side in ("RIGHT", "FULL"):
        nothing = {source.alias: dict.fromkeys(source.columns) for source in left}
        found.extend({**nothing, added.alias: other} for at, other in enumerate(others) if at not in partnered)
    return found


def _combined(
    node: exp.SetOperation, a: list[tuple[Any, ...]], b: list[tuple[Any, ...]], *, distinct: bool
) -> list[tuple[Any, ...]]:
    """UNION, INTERSECT or EXCEPT, of sets or of bags."""
    if isinstance(node, exp.Union):
        found = a + b
    else:
        left = Counter(map(v.same_key, b))
        found = []
        wanted = isinstance(node, exp.Intersect)
        for row in a:
            key = v.same_key(row)
            there = left[key] > 0
            if there and not distinct:
                left[key] -= 1
            if there == wanted:
                found.append(row)
    return list({v.same_key(row): row for row in reversed(found)}.values())[::-1] if distinct else found


def _sorted(rows: list[Any], by: Sequence[Any], ordered: exp.Ordered) -> list[Any]:
    """The rows in the order of these values; missing ones last unless the statement says first."""
    pairs = list(zip(by, rows, strict=True))
    known = [pair for pair in pairs if pair[0] is not None]
    missing = [row for value, row in pairs if value is None]
    known.sort(key=lambda pair: v.order_key(pair[0]), reverse=bool(ordered.args.get("desc")))
    found = [row for _, row in known]
    return missing + found if ordered.args.get("nulls_first") else found + missing


def _cut(node: exp.Query, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    limit, offset = node.args.get("limit"), node.args.get("offset")
    start = int(offset.expression.this) if offset is not None else 0
    return rows[start : start + int(limit.expression.this)] if limit is not None else rows[start:]


_COMPARE: Mapping[type[exp.Expr], Callable[[Any, Any], bool]] = {
    exp.EQ: lambda a, b: bool(v.order_key(a) == v.order_key(b)),
    exp.NEQ: lambda a, b: bool(v.order_key(a) != v.order_key(b)),
    exp.GT: lambda a, b: bool(v.order_key(a) > v.order_key(b)),
    exp.GTE: lambda a, b: bool(v.order_key(a) >= v.order_key(b)),
    exp.LT: lambda a, b: bool(v.order_key(a) < v.order_key(b)),
    exp.LTE: lambda a, b: bool(v.order_key(a) <= v.order_key(b)),
}
_SIGNS: Mapping[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%",
}  # fmt: skip
_FALLIBLE = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs, exp.Pow)
_SPREADS: Mapping[type[exp.Expr], tuple[bool, bool]] = {
    exp.Stddev: (True, True),
    exp.StddevSamp: (True, True),
    exp.StddevPop: (False, True),
    exp.Variance: (True, False),
    exp.VariancePop: (False, False),
}
_CASTS: Mapping[exp.DType, Type] = {
    exp.DType.TEXT: TEXT,
    exp.DType.VARCHAR: TEXT,
    exp.DType.SMALLINT: Type(Kind.SMALL),
    exp.DType.INT: v.INTEGER,
    exp.DType.BIGINT: BIG,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMPTZ: v.INSTANT,
}
_TEXTS: Mapping[type[exp.Expr], tuple[Type, tuple[str, ...], Callable[..., Any]]] = {
    exp.Length: (BIG, ("this",), len),
    exp.Lower: (TEXT, ("this",), lambda text: v.cased(text, str.lower)),
    exp.Upper: (TEXT, ("this",), lambda text: v.cased(text, str.upper)),
    exp.Trim: (TEXT, ("this",), v.trimmed),
    exp.Substring: (TEXT, ("this", "start", "length"), lambda text, start, length=None: v.part_of(text, start, length)),
    exp.Left: (TEXT, ("this", "expression"), lambda text, count: v.ends_of(text, count, left=True)),
    exp.Right: (TEXT, ("this", "expression"), lambda text, count: v.ends_of(text, count, left=False)),
    exp.Replace: (TEXT, ("this", "expression", "replacement"), lambda text, old, new: text.replace(old, new) if old else text),
    exp.StartsWith: (BOOLEAN, ("this", "expression"), str.startswith),
    exp.EndsWith: (BOOLEAN, ("this", "expression"), str.endswith),
    exp.Contains: (BOOLEAN, ("this", "expression"), str.__contains__),
    exp.StrPosition: (BIG, ("this", "substr"), lambda text, wanted: text.find(wanted) + 1),
    exp.Reverse: (TEXT, ("this",), v.turned),
    exp.Like: (BOOLEAN, ("this", "expression"), v.is_like),
    exp.ILike: (BOOLEAN, ("this", "expression"), partial(v.is_like, any_case=True)),
}
_READERS: dict[type[exp.Expr], Callable[[_Reference, Any, _Scope], _Cell]] = {
    exp.Column: _Reference._column,
    exp.Literal: _Reference._number,
    exp.Boolean: lambda _self, node, _scope: _constant(BOOLEAN, bool(node.this)),
    exp.Null: lambda _self, _node, _scope: _constant(NOTHING, None),
    exp.Paren: _Reference._paren,
    exp.And: _Reference._and,
    exp.Or: _Reference._or,
    exp.Not: _Reference._not,
    exp.Is: _Reference._is,
    exp.Between: _Reference._between,
    exp.In: _Reference._in,
    exp.Exists: _Reference._exists,
    exp.Neg: _Reference._neg,
    exp.Abs: _Reference._abs,
    exp.Round: _Reference._round,
    exp.Floor: _Reference._floor,
    exp.Ceil: _Reference._floor,
    exp.Sign: _Reference._sign,
    exp.Sqrt: _Reference._root,
    exp.Ln: _Reference._root,
    exp.Pow: _Reference._power,
    exp.Nullif: _Reference._nullif,
    exp.Case: _Reference._case,
    exp.Filter: _Reference._filtered,
    exp.Concat: _Reference._concat,
    exp.ConcatWs: _Reference._concat,
    exp.DPipe: _Reference._pipe,
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), _Reference._chosen),
    **dict.fromkeys((exp.Cast, exp.TryCast), _Reference._cast),
    **dict.fromkeys((exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery), _Reference._scalar),
    **dict.fromkeys((*_COMPARE, exp.NullSafeEQ, exp.NullSafeNEQ), _Reference._compared),
    **dict.fromkeys(_SIGNS, _Reference._arithmetic),
    **dict.fromkeys(_TEXTS, _Reference._text),
    **dict.fromkeys((exp.Year, exp.Month, exp.Day, exp.Quarter, exp.Extract), _Reference._calendar),
    **dict.fromkeys(
        (exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.PercentileCont, *_SPREADS), _Reference._total
    ),
}
