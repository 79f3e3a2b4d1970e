"""A proof on the finished SQL that an identifier which stands in the place of its pseudonym cannot be told.

Shares nothing with the code that chose these identifiers (`huitong.gateway.rewrite.untold`): it reads the text that the engine is given,
follows each identifier from its physical table through every query, and accepts it only where nothing more than sameness can come of it.
What is not on its list is a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from huitong.gateway.plan import Plan

Mark = str | None
"""What an expression holds: the linkage group of an identifier, and whether it is salted; None: no identifier."""
_SAME = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)


class NotConfinedError(Exception):
    """An identifier could reach something that tells of it."""


@dataclass(frozen=True)
class _Output:
    name: str
    mark: Mark


@dataclass(frozen=True)
class _Names:
    """What names mean here: marks by alias and column, and what common table expressions show."""

    sources: dict[str, Mapping[str, Mark]] = field(default_factory=dict)
    common: Mapping[str, Sequence[_Output]] = field(default_factory=dict)
    outer: "_Names | None" = None


def check_confined(plan: Plan) -> None:
    """Raises NotConfinedError unless every identifier of `plan.untold` is only counted, grouped by, or compared with one of its group."""
    if not plan.untold:
        return
    trees = [tree for tree in Dialect.get_or_raise("duckdb").parse(plan.sql) if tree is not None]
    if len(trees) != 1:
        raise NotConfinedError
    if any(output.mark is not None for output in _Reader(plan).query(trees[0], _Names())):
        raise NotConfinedError


class _Reader:
    def __init__(self, plan: Plan) -> None:
        self._salt = plan.stand_in
        self._physical = {table.name: dict.fromkeys(table.columns, None) for table in plan.tables}
        self._marks: dict[str, dict[str, Mark]] = {name: dict(columns) for name, columns in self._physical.items()}
        for (table, column), group in plan.untold.items():
            self._marks[table][column] = group

    def query(self, node: exp.Expr, names: _Names) -> Sequence[_Output]:
        """What a query shows, with everything below it checked."""
        if isinstance(node, exp.Subquery):
            if set(_given(node)) - {"this", "alias"}:
                raise NotConfinedError
            return self.query(node.this, names)
        if not isinstance(node, exp.Select | exp.SetOperation):
            raise NotConfinedError
        _check_cut(node)
        names = self._common(node, names)
        if isinstance(node, exp.Select):
            outputs = self._select(node, names)
        else:
            left, right = self.query(node.this, names), self.query(node.expression, names)
            if [output.mark for output in left] != [output.mark for output in right]:
                raise NotConfinedError
            outputs = left
        order = node.args.get("order")
        for ordered in order.expressions if order is not None else ():
            key = ordered.this
            if isinstance(key, exp.Literal) and not key.is_string:
                if outputs[int(key.this) - 1].mark is not None:
                    raise NotConfinedError
            elif isinstance(node, exp.SetOperation):
                raise NotConfinedError
        return outputs

    def _common(self, node: exp.Expr, names: _Names) -> _Names:
        written = node.args.get("with_")
        for cte in written.expressions if written is not None else ():
            names = _Names(names.sources, {**names.common, cte.alias: self.query(cte.this, names)}, names.outer)
        return names

    def _select(self, node: exp.Select, around: _Names) -> Sequence[_Output]:
        known = {"with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "order", "limit", "offset"}
        if set(_given(node)) - known:
            raise NotConfinedError
        names = _Names({}, around.common, around)
        from_ = node.args.get("from_")
        sources = [from_.this] if from_ is not None else []
        sources += [join.this for join in node.args.get("joins") or ()]
        kinds = [self._add(source, names, around) for source in sources]
        physical = bool(kinds) and all(kinds)
        for join in node.args.get("joins") or ():
            if set(_given(join)) - {"this", "side", "kind", "on"}:
                raise NotConfinedError
            if join.args.get("on") is not None and not physical:
                self._plain(join.args["on"], names)
        # Over physical tables alone stand only the rewriter's own row rule and joins with side tables: what an analyst wrote stands above.
        if not physical:
            for name in ("where", "having"):
                if node.args.get(name) is not None:
                    self._plain(node.args[name].this, names)
            group = node.args.get("group")
            for key in group.expressions if group is not None else ():
                self._value(key, names)
            if group is not None and set(_given(group)) - {"expressions"}:
                raise NotConfinedError
            for ordered in node.args["order"].expressions if node.args.get("order") is not None else ():
                self._plain(ordered.this, names)
        elif set(_given(node)) - {"expressions", "from_", "joins", "where", "offset"}:
            raise NotConfinedError
        outputs = []
        for projection in node.expressions:
            if not isinstance(projection, exp.Alias):
                raise NotConfinedError
            outputs.append(_Output(projection.alias, self._shown(projection.this, names, physical=physical)))
        return outputs

    def _add(self, source: exp.Expr, names: _Names, around: _Names) -> bool:
        """Note what a source shows; whether it is a physical table."""
        if source.alias in names.sources or not source.alias:
            raise NotConfinedError
        if isinstance(source, exp.Subquery):
            names.sources[source.alias] = {output.name: output.mark for output in self.query(source, around)}
            return False
        if not isinstance(source, exp.Table) or source.db or set(_given(source)) - {"this", "alias"}:
            raise NotConfinedError
        if source.name in names.common:
            names.sources[source.alias] = {output.name: output.mark for output in names.common[source.name]}
            return False
        names.sources[source.alias] = self._marks[source.name]
        return True

    def _shown(self, node: exp.Expr, names: _Names, *, physical: bool) -> Mark:
        """The mark of an output. The salt may be put to an identifier where it leaves its table, and nowhere else."""
        if physical and isinstance(node, exp.DPipe) and isinstance(node.this, exp.Column):
            mark = self._value(node.this, names)
            salt = node.expression
            if mark is not None and isinstance(salt, exp.Literal) and salt.is_string and salt.this == self._salt:
                return f"salted {mark}"
        return self._value(node, names)

    def _plain(self, node: exp.Expr, names: _Names) -> None:
        if self._value(node, names) is not None:
            raise NotConfinedError

    def _value(self, node: exp.Expr, names: _Names) -> Mark:
        """The mark of an expression; raises where more of an identifier than sameness goes into it."""
        if isinstance(node, exp.Column):
            return self._column(node, names)
        if isinstance(node, exp.Paren):
            return self._value(node.this, names)
        if isinstance(node, _SAME):
            if self._value(node.this, names) != self._value(node.expression, names):
                raise NotConfinedError
            return None
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            self._value(node.this, names)
            return None
        if isinstance(node, exp.Count):
            counted = node.this
            if isinstance(counted, exp.Distinct):
                if len(counted.expressions) != 1 or set(_given(counted)) - {"expressions"}:
                    raise NotConfinedError
                counted = counted.expressions[0]
            if not isinstance(counted, exp.Star):
                self._value(counted, names)
            return None
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            outputs = self.query(node.args["query"], names)
            if len(outputs) != 1 or outputs[0].mark != self._value(node.this, names):
                raise NotConfinedError
            return None
        if isinstance(node, exp.Exists):
            self.query(node.this, names)
            return None
        if isinstance(node, _QUERIES):
            outputs = self.query(node, names)
            if len(outputs) != 1 or outputs[0].mark is not None:
                raise NotConfinedError
            return None
        if isinstance(node, exp.Window):
            for part in node.args.get("partition_by") or ():
                self._value(part, names)
        for name, value in node.args.items():
            if isinstance(node, exp.Window) and name == "partition_by":
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, exp.Expr):
                    self._plain(part, names)
        return None

    def _column(self, node: exp.Column, names: _Names) -> Mark:
        here: _Names | None = names
        while here is not None:
            if node.table in here.sources:
                return here.sources[node.table][node.name]
            here = here.outer
        raise NotConfinedError


def _check_cut(node: exp.Expr) -> None:
    """Rows are cut by plain numbers, and made distinct by all that is shown: no expression hides in either."""
    distinct = node.args.get("distinct")
    if isinstance(distinct, exp.Expr) and _given(distinct):
        raise NotConfinedError
    for name in ("limit", "offset"):
        cut = node.args.get(name)
        if cut is not None and (set(_given(cut)) != {"expression"} or not isinstance(cut.expression, exp.Literal)):
            raise NotConfinedError


def _given(node: exp.Expr) -> list[str]:
    return [name for name, value in node.args.items() if value not in (None, [], False)]
