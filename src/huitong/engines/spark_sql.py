"""Governed SQL in the words of Spark, with the meaning that it has on DuckDB.

The tree of the governed statement is read with the types that DuckDB gives its parts (`memory_values`), and each part is written anew from
those that are known here: what is not known, or cannot be made to mean the same, is refused with what to write instead
(`spark_gaps.toml`).

No engine may be trusted to keep what an analyst wrote above the rule that cuts the rows: Spark and Sail both take `OFFSET 0` away. So
nothing that is written here can fail on a row. Numbers are made to fit before they are reckoned with, never after, and a text that is no
number has no value. Only totals fail where they do not fit, as on DuckDB: they are made of rows that the person may see.

It is written for Apache Spark 4 with ANSI rules and for Sail alike; remarks say where the two differ."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from huitong.engines import memory_values as v
from huitong.engines.memory_values import BIG, BOOLEAN, DATE, DOUBLE, HUGE, INTEGER, NOTHING, TEXT, Gap, Kind, Type
from huitong.engines.spark_values import (
    FAR,
    HALF_INTEGERS,
    MOMENT,
    Part,
    cast_type,
    converted,
    exact_common,
    held_type,
    lacking,
    must_be_number,
    name_of,
    null_of,
    number_part,
    of_decimals,
    of_doubles,
    of_wholes,
    plain_double,
    quoted_name,
    quoted_text,
    same_type,
    shown_as,
    slice_of,
    spark_type,
    with_days,
)
from huitong.errors import HuitongError, Refused
from huitong.model.query import GovernedTable

CHARACTERS = 2_000_000
"""Longest statement that is written, in characters: some parts name what they are made of several times."""


@dataclass(frozen=True)
class SparkStatement:
    """One statement in the words of Spark. Each planned table is a view of its name whose columns are called as in `columns`."""

    sql: str
    names: tuple[str, ...]
    """Headings of the result; in SQL the columns are called c0, c1, ..."""
    types: tuple[Type, ...]
    tables: Mapping[str, Mapping[str, str]]
    """Of each planned table: the physical columns, by what they are called in its view."""


def in_words_of_spark(sql: str, tables: Sequence[GovernedTable]) -> SparkStatement:
    """The governed statement over these tables for Spark.

    Raises Refused `not-on-spark` or `not-on-spark-instead` for what Spark does not have."""
    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
        return _Writer({table.name.lower(): table for table in tables}).statement(tree)
    except Gap as missing:
        raise Refused.because("not-on-spark", construct=str(missing.reasons[0].parameters["construct"])) from None
    except HuitongError:
        raise
    except (SqlglotError, RecursionError, AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise Refused.because("not-on-spark", construct="SELECT") from None


@dataclass(frozen=True)
class _Source:
    """Something in FROM: by the name of each column, in small letters, how it is written and its type."""

    columns: Mapping[str, tuple[str, Type]]


@dataclass
class _Scope:
    """What names mean in one SELECT. `keys` is set where it is read group by group: what the groups share, and how that is written."""

    sources: dict[str, _Source]
    outer: "_Scope | None"
    commons: "Mapping[str, _Common]"
    keys: "Mapping[exp.Expr, Part] | None" = None
    totals: "dict[str, str] | None" = None
    """If groups are made in a query inside: each total by its text, and what it is called there."""
    group: str = ""
    reached_out: list[exp.Column] = field(default_factory=list)
    """Items of queries outside that were named here."""


@dataclass(frozen=True)
class _Common:
    written: str
    query: "_Query"


@dataclass(frozen=True)
class _Query:
    """A query whose columns are called c0, c1, ..."""

    sql: str
    names: tuple[str, ...]
    types: tuple[Type, ...]

    def source(self, alias: str) -> _Source:
        columns: dict[str, tuple[str, Type]] = {}
        for number, (name, kind) in enumerate(zip(self.names, self.types, strict=True)):
            columns.setdefault(name.lower(), (f"{alias}.c{number}", replace(kind, written=None)))
        return _Source(columns)


_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
_TOTALS = (
    exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.PercentileCont, exp.Stddev, exp.StddevPop,
    exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr,
)  # fmt: skip
_SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
"""Spaces of any script (Unicode category Zs), which DuckDB trims."""


class _Writer:
    """Writes one statement."""

    def __init__(self, tables: Mapping[str, GovernedTable]) -> None:
        self._tables = tables
        self._used: dict[str, Mapping[str, str]] = {
            table.name: {f"c{number}": name for number, name in enumerate(table.columns)} for table in tables.values()
        }
        self._fresh = 0

    def statement(self, tree: exp.Expr) -> SparkStatement:
        query = self.query(tree, {}, None)
        return SparkStatement(_opaque(query.sql), query.names, query.types, self._used)

    def _name(self, letter: str) -> str:
        self._fresh += 1
        return f"{letter}{self._fresh}"

    # --- queries ------------------------------------------------------------------------------------------------------

    def query(
        self, node: exp.Expr, commons: Mapping[str, _Common], outer: _Scope | None, wanted: Sequence[Type] | None = None
    ) -> _Query:
        """The query; `wanted` says the types that its columns must have."""
        if isinstance(node, exp.Subquery):
            return self.query(node.this, commons, outer, wanted)
        made: list[str] = []
        written = node.args.get("with_")
        for cte in written.expressions if written is not None else ():
            inner = self.query(cte.this, commons, None)
            called = self._name("w")
            made.append(f"{called} AS ({inner.sql})")
            commons = {**commons, cte.alias.lower(): _Common(called, inner)}
        if isinstance(node, exp.SetOperation):
            found = self._set_operation(node, commons, outer, wanted)
        elif isinstance(node, exp.Select):
            found = self._select(node, commons, outer, wanted)
        else:
            raise Refused.because("not-on-spark", construct=type(node).__name__.upper())
        if made:
            found = replace(found, sql=f"WITH {', '.join(made)} {found.sql}")
        if len(found.sql) > CHARACTERS:
            raise lacking("too-long")
        return found

    def _set_operation(
        self, node: exp.SetOperation, commons: Mapping[str, _Common], outer: _Scope | None, wanted: Sequence[Type] | None
    ) -> _Query:
        left, right = self.query(node.this, commons, outer), self.query(node.expression, commons, outer)
        types = tuple(exact_common(pair) for pair in zip(left.types, right.types, strict=True))
        names = [f"c{number}" for number in range(len(types))]
        branches = []
        for side in (left, right):
            shown = ", ".join(
                f"{converted(Part(name, source), target).sql} AS {name}"
                for name, source, target in zip(names, side.types, types, strict=True)
            )
            branches.append(f"SELECT {shown} FROM ({side.sql}) {self._name('s')}")
        word = "UNION" if isinstance(node, exp.Union) else "INTERSECT" if isinstance(node, exp.Intersect) else "EXCEPT"
        listed = ", ".join(names)
        if node.args.get("distinct"):
            sql = f"({branches[0]}) {word} ({branches[1]})"
        elif word == "UNION":
            sql = f"({branches[0]}) UNION ALL ({branches[1]})"
        else:
            # Sail takes INTERSECT ALL and EXCEPT ALL for the sets: each row gets its number among those like it.
            numbered = [
                f"(SELECT {listed}, row_number() OVER (PARTITION BY {listed} ORDER BY {names[0]}) AS n FROM ({branch}) {self._name('s')})"
                for branch in branches
            ]
            a, b = self._name("s"), self._name("s")
            alike = " AND ".join(f"{a}.{name} <=> {b}.{name}" for name in (*names, "n"))
            join = "LEFT SEMI JOIN" if word == "INTERSECT" else "LEFT ANTI JOIN"
            sql = f"SELECT {', '.join(f'{a}.{name}' for name in names)} FROM {numbered[0]} {a} {join} {numbered[1]} {b} ON {alike}"
        order = node.args.get("order")
        keys = [(f"c{int(one.this.this) - 1}", one) for one in (order.expressions if order is not None else ())]
        if keys or node.args.get("limit") is not None or _offset(node):
            sql = f"SELECT {listed} FROM ({sql}) {self._name('s')}{_ordered(keys)}{_limited(node)}"
        found = _Query(sql, left.names, types)
        return found if wanted is None else self._as_wanted(found, wanted)

    def _as_wanted(self, query: _Query, wanted: Sequence[Type]) -> _Query:
        if all(same_type(a, b) for a, b in zip(query.types, wanted, strict=True)):
            return query
        shown = ", ".join(
            f"{converted(Part(f'c{number}', source), target).sql} AS c{number}"
            for number, (source, target) in enumerate(zip(query.types, wanted, strict=True))
        )
        return _Query(f"SELECT {shown} FROM ({query.sql}) {self._name('s')}", query.names, tuple(wanted))

    def _select(
        self, node: exp.Select, commons: Mapping[str, _Common], outer: _Scope | None, wanted: Sequence[Type] | None
    ) -> _Query:
        scope = _Scope({}, outer, commons)
        listed = self._listed(node, scope)
        if listed is not None:
            return listed if wanted is None else self._as_wanted(listed, wanted)
        source = self._from(node, scope)
        where = node.args.get("where")
        if where is not None:
            source += f" WHERE {self._condition(where.this, scope)}"
        outputs = [projection.unalias() for projection in node.expressions]
        having, order = node.args.get("having"), node.args.get("order")
        ordered = list(order.expressions) if order is not None else []
        asked = [*outputs, *([having.this] if having is not None else []), *(one.this for one in ordered)]
        shared: list[str] | None = None
        if node.args.get("group") is not None or any(_own(one, _TOTALS, not_over=True) for one in asked):
            staged = having is not None or bool(ordered) or any(_own(one, (exp.Window,)) for one in asked)
            scope, shared = self._grouped(node, outputs, scope, self._name("g") if staged else "")
        kept = f" WHERE {self._part(having.this, scope).sql}" if having is not None else ""
        parts = [self._part(one, scope) for one in outputs]
        if wanted is not None:
            parts = [converted(part, kind) for part, kind in zip(parts, wanted, strict=True)]
        keys, hidden = self._sorting(ordered, parts, scope, distinct=node.args.get("distinct") is not None)
        if scope.totals is not None:
            assert shared is not None
            made = [*(f"{key} AS k{at}" for at, key in enumerate(shared)), *(f"{total} AS {name}" for total, name in scope.totals.items())]
            source = f" FROM (SELECT {', '.join(made) or '1 AS one'}{source}{_by(shared)}) {scope.group}{kept}"
        elif shared is not None:
            source += _by(shared)
        shown = [f"{shown_as(part)} AS c{at}" for at, part in enumerate(parts)]
        distinct = "DISTINCT " if node.args.get("distinct") is not None else ""
        sql = f"SELECT {distinct}{', '.join([*shown, *hidden])}{source}"
        if keys or node.args.get("limit") is not None or _offset(node):
            columns = ", ".join(f"c{at}" for at in range(len(parts)))
            sql = f"SELECT {columns} FROM ({sql}) {self._name('s')}{_ordered(keys)}{_limited(node)}"
        names = tuple(projection.alias_or_name for projection in node.expressions)
        return _Query(sql, names, tuple(replace(part.type, written=None) for part in parts))

    def _grouped(self, node: exp.Select, outputs: Sequence[exp.Expr], scope: _Scope, group: str) -> tuple[_Scope, list[str]]:
        """The scope of the groups, and what each of them shares. `group` names the query that makes them, if it is one of its own."""
        written: list[str] = []
        keys: dict[exp.Expr, Part] = {}
        clause = node.args.get("group")
        for key in clause.expressions if clause is not None else ():
            meant = _bare(outputs[int(key.this) - 1] if isinstance(key, exp.Literal) and not key.is_string else key)
            part = self._part(meant, scope)
            if part.type.kind is Kind.NOTHING:
                part = Part("CAST(NULL AS INT)", INTEGER)
            if part.sql not in written:
                written.append(part.sql)
            called = f"{group}.k{written.index(part.sql)}" if group else part.sql
            keys[meant] = Part(called, replace(part.type, written=None))
        return replace(scope, keys=keys, totals={} if group else None, group=group), written

    def _sorting(
        self, ordered: Sequence[exp.Ordered], parts: Sequence[Part], scope: _Scope, *, distinct: bool
    ) -> tuple[list[tuple[str, exp.Ordered]], list[str]]:
        """What the rows are ordered by, and the columns that this needs besides those that are shown."""
        keys: list[tuple[str, exp.Ordered]] = []
        hidden: list[str] = []
        for one in ordered:
            if isinstance(one.this, exp.Literal):
                keys.append((f"c{int(one.this.this) - 1}", one))
                continue
            key = self._part(one.this, scope)
            same = next((at for at, part in enumerate(parts) if part.sql == key.sql), None)
            if same is None and distinct:
                raise lacking("distinct-order")
            if same is None:
                hidden.append(f"{shown_as(key)} AS o{len(hidden)}")
            keys.append((f"o{len(hidden) - 1}" if same is None else f"c{same}", one))
        return keys, hidden

    def _listed(self, node: exp.Select, scope: _Scope) -> _Query | None:
        """`SELECT unnest(string_split(text, sign))`: how the rewriter writes a long list."""
        if node.args.get("from_") is not None or len(node.expressions) != 1:
            return None
        shown = node.expressions[0].unalias()
        found = next((one for one in shown.find_all(exp.Explode, exp.Unnest)), None) or next(
            (one for one in shown.find_all(exp.Anonymous) if one.name.lower() == "unnest"), None
        )
        if found is None:
            return None
        split = found.expressions[0] if isinstance(found, exp.Anonymous | exp.Unnest) else found.this
        text, sign = _split_of(split)
        rows = f"SELECT explode(split({quoted_text(text)}, {quoted_text(re.escape(sign))})) AS c0"
        held = Part("c0", TEXT)
        while shown is not found:
            if not isinstance(shown, exp.Cast | exp.TryCast):
                raise Refused.because("not-on-spark", construct="UNNEST")
            held, shown = converted(held, cast_type(shown.args["to"]), text=True), shown.this
        del scope
        if held.sql == "c0":
            return _Query(rows, ("c0",), (TEXT,))
        return _Query(f"SELECT {held.sql} AS c0 FROM ({rows}) {self._name('s')}", ("c0",), (held.type,))

    # --- FROM ---------------------------------------------------------------------------------------------------------

    def _from(self, node: exp.Select, scope: _Scope) -> str:
        source = node.args.get("from_")
        if source is None:
            return ""
        sql = f" FROM {self._source(source.this, scope)}"
        for join in node.args.get("joins") or ():
            side = str(join.args.get("side") or "")
            added = self._source(join.this, scope)
            on = join.args.get("on")
            if on is None:
                raise Refused.because("not-on-spark", construct="JOIN")
            sql += f" {side + ' ' if side else ''}JOIN {added} ON {self._part(on, scope).sql}"
        return sql

    def _source(self, node: exp.Expr, scope: _Scope) -> str:
        alias = node.alias.lower()
        called = self._name("f")
        if isinstance(node, exp.Table):
            name = node.name.lower()
            if name in scope.commons:
                common = scope.commons[name]
                scope.sources[alias or name] = common.query.source(called)
                return f"{common.written} {called}"
            table = self._tables.get(name)
            if table is None or node.args.get("db"):
                raise Refused.because("rewrite-differs")
            held = {column: (f"{called}.c{at}", held_type(kind)) for at, (column, kind) in enumerate(table.columns.items())}
            parts = {column.lower(): (plain_double(sql, kind), kind) for column, (sql, kind) in held.items()}
            scope.sources[alias or name] = _Source(parts)
            return f"{quoted_name(table.name)} {called}"
        inner = self.query(node, scope.commons, None)
        scope.sources[alias] = inner.source(called)
        return f"({inner.sql}) {called}"

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _condition(self, node: exp.Expr, scope: _Scope) -> str:
        """What stands in WHERE: of a query inside, only whether it says yes counts."""
        bare = _bare(node)
        if isinstance(bare, exp.Try):
            return self._condition(bare.this, scope)
        if isinstance(bare, exp.And):
            return f"({self._condition(bare.this, scope)} AND {self._condition(bare.expression, scope)})"
        negated = isinstance(bare, exp.Not)
        inner = _bare(bare.this) if negated else bare
        if isinstance(inner, exp.In) and inner.args.get("query") is not None:
            this, query, reached = self._within(inner, scope)
            if not (negated and reached):
                return f"({this.sql} {'NOT ' if negated else ''}IN ({query}))"
            raise lacking("query-outside")
        return self._part(node, scope).sql

    def _within(self, node: exp.In, scope: _Scope) -> tuple[Part, str, bool]:
        """`a IN (SELECT ...)`: both sides in one type, and whether the query names an item outside."""
        this = self._part(node.this, scope)
        inner_scope = _Scope({}, scope, scope.commons)
        query = self.query(node.args["query"], scope.commons, inner_scope)
        kind = exact_common((this.type, query.types[0]))
        reached = bool(inner_scope.reached_out)
        if not same_type(kind, query.types[0]):
            query = self.query(node.args["query"], scope.commons, inner_scope, [kind]) if reached else self._as_wanted(query, [kind])
        return converted(this, kind), query.sql, reached

    def in_list(self, node: exp.In, scope: _Scope) -> Part:
        if node.args.get("query") is None:
            cells = self._alike([node.this, *node.expressions], scope)
            return Part(f"({cells[0].sql} IN ({', '.join(cell.sql for cell in cells[1:])}))", BOOLEAN)
        this, query, reached = self._within(node, scope)
        if reached:
            raise lacking("query-outside")
        # Sail knows IN (SELECT ...) as a condition alone, and Spark forgets there that it may be unknown.
        there = f"(SELECT count(*) FROM ({query}) {self._name('s')})"
        known = f"(SELECT count(c0) FROM ({query}) {self._name('s')})"
        values = f"(SELECT collect_set(c0) FROM ({query}) {self._name('s')})"
        return Part(
            f"(CASE WHEN {there} = CAST(0 AS BIGINT) THEN false WHEN {this.sql} IS NULL THEN CAST(NULL AS BOOLEAN) "
            f"WHEN array_contains({values}, {this.sql}) THEN true WHEN {there} > {known} THEN CAST(NULL AS BOOLEAN) ELSE false END)",
            BOOLEAN,
        )

    def exists(self, node: exp.Exists, scope: _Scope) -> Part:
        inner_scope = _Scope({}, scope, scope.commons)
        query = self.query(node.this, scope.commons, inner_scope)
        if inner_scope.reached_out:
            return Part(f"EXISTS ({query.sql})", BOOLEAN)
        # Sail has no EXISTS within a total
        one = f"SELECT c0 FROM ({query.sql}) {self._name('s')} LIMIT 1"
        return Part(f"((SELECT count(*) FROM ({one}) {self._name('s')}) > CAST(0 AS BIGINT))", BOOLEAN)

    def scalar(self, node: exp.Expr, scope: _Scope) -> Part:
        inner_scope = _Scope({}, scope, scope.commons)
        query = self.query(node, scope.commons, inner_scope)
        if inner_scope.reached_out and not _is_one_total(node):
            raise lacking("query-outside")
        return Part(f"({query.sql})", replace(query.types[0], written=None))

    # --- expressions --------------------------------------------------------------------------------------------------

    def _part(self, node: exp.Expr, scope: _Scope) -> Part:
        """An expression as it is written. It has a value, or none, for every row; it never fails on one."""
        bare = _bare(node)
        if scope.keys is not None and bare in scope.keys:
            return scope.keys[bare]
        if isinstance(bare, exp.Try):
            return self._part(bare.this, scope)
        writer = _WRITERS.get(type(bare))
        if writer is None:
            raise Refused.because("not-on-spark", construct=name_of(bare))
        part = writer(self, bare, scope)
        if len(part.sql) > CHARACTERS:
            raise lacking("too-long")
        if type(bare) in _FITTED and not isinstance(node.parent, exp.Try) and scope.keys is not None and _own(bare, _TOTALS):
            return self._strict(bare, part, scope)
        # without FROM there is no row that it could fail on
        if type(bare) in _FITTED and scope.sources and any(isinstance(one, exp.Query) for one in bare.walk()):
            raise lacking("arithmetic-of-query")
        return part

    def _strict(self, node: exp.Expr, part: Part, scope: _Scope) -> Part:
        """Arithmetic of totals: where it does not fit the whole statement fails, as on DuckDB."""
        if part.type.kind is Kind.DOUBLE:
            return part
        given = [self._part(one, scope).sql for one in (node.this, node.args.get("expression")) if one is not None]
        known = " AND ".join(f"{one} IS NOT NULL" for one in given)
        failed = f"CAST(raise_error('too large') AS {spark_type(part.type)})"
        return replace(part, sql=f"(CASE WHEN {known} AND {part.sql} IS NULL THEN {failed} ELSE {part.sql} END)")

    def column(self, node: exp.Column, scope: _Scope) -> Part:
        here: _Scope | None = scope
        fences: list[_Scope] = []
        alias, name = node.table.lower(), node.name.lower()
        while here is not None:
            held = here.sources.get(alias) if alias else None
            if not alias:
                held = next((one for one in here.sources.values() if name in one.columns), None)
            if held is not None and name in held.columns:
                for fence in fences:
                    fence.reached_out.append(node)
                if len(fences) > 2:
                    raise lacking("query-outside")
                if here.keys is not None:
                    found = here.keys.get(node)
                    if found is None:
                        raise Refused.because("not-on-spark", construct="GROUP BY")
                    return found
                return Part(*held.columns[name])
            fences.append(here)
            here = here.outer
        raise Refused.because("rewrite-differs")

    def number(self, node: exp.Literal, _scope: _Scope) -> Part:
        if node.is_string:
            if "\n" in node.this or "\r" in node.this:
                raise lacking("line-break")
            return Part(quoted_text(node.this), TEXT, node.this)
        kind, value = v.number_type(node.this)
        return number_part(kind, value)

    def logical(self, node: exp.Binary, scope: _Scope) -> Part:
        word = "AND" if isinstance(node, exp.And) else "OR"
        return Part(f"({self._truth(node.this, scope)} {word} {self._truth(node.expression, scope)})", BOOLEAN)

    def _truth(self, node: exp.Expr, scope: _Scope) -> str:
        return converted(self._part(node, scope), BOOLEAN).sql

    def negated(self, node: exp.Not, scope: _Scope) -> Part:
        return Part(f"(NOT {self._truth(node.this, scope)})", BOOLEAN)

    def is_what(self, node: exp.Is, scope: _Scope) -> Part:
        this = self._part(node.this, scope)
        if isinstance(node.expression, exp.Null):
            return Part(f"({shown_as(this)} IS NULL)", BOOLEAN)
        if isinstance(node.expression, exp.Boolean):
            return Part(f"({converted(this, BOOLEAN).sql} <=> {'true' if node.expression.this else 'false'})", BOOLEAN)
        raise Refused.because("not-on-spark", construct="IS")

    def _alike(self, nodes: Iterable[exp.Expr], scope: _Scope) -> list[Part]:
        """The parts in the type in which they are compared."""
        parts = [self._part(node, scope) for node in nodes]
        kind = exact_common([part.type for part in parts])
        return [converted(part, kind) for part in parts]

    def compared(self, node: exp.Binary, scope: _Scope) -> Part:
        a, b = self._alike((node.this, node.expression), scope)
        if isinstance(node, exp.NullSafeNEQ):
            return Part(f"(NOT ({a.sql} <=> {b.sql}))", BOOLEAN)
        return Part(f"({a.sql} {_SIGNS_OF_COMPARING[type(node)]} {b.sql})", BOOLEAN)

    def between(self, node: exp.Between, scope: _Scope) -> Part:
        low = self.compared(exp.GTE(this=node.this.copy(), expression=node.args["low"].copy()), scope)
        high = self.compared(exp.LTE(this=node.this.copy(), expression=node.args["high"].copy()), scope)
        return Part(f"({low.sql} AND {high.sql})", BOOLEAN)

    def case(self, node: exp.Case, scope: _Scope) -> Part:
        tests = []
        for branch in node.args["ifs"]:
            if node.this is None:
                tests.append(self._truth(branch.this, scope))
            else:
                tests.append(self.compared(exp.EQ(this=node.this.copy(), expression=branch.this.copy()), scope).sql)
        default = node.args.get("default")
        values = [self._part(branch.args["true"], scope) for branch in node.args["ifs"]]
        values.append(self._part(default, scope) if default is not None else Part("NULL", NOTHING))
        kind = v.common_of([value.type for value in values])
        kind = INTEGER if kind.kind is Kind.NOTHING else kind
        *told, otherwise = [converted(value, kind) for value in values]
        branches = " ".join(f"WHEN {test} THEN {value.sql}" for test, value in zip(tests, told, strict=True))
        return Part(f"(CASE {branches} ELSE {otherwise.sql} END)", kind)

    def chosen(self, node: exp.Expr, scope: _Scope) -> Part:
        parts = [self._part(part, scope) for part in (node.this, *node.expressions)]
        kind = v.common_of([part.type for part in parts])
        if kind.kind is Kind.NOTHING:
            return Part("CAST(NULL AS INT)", INTEGER)
        told = [converted(part, kind).sql for part in parts]
        if len(told) == 1:
            return Part(told[0], replace(kind, written=None))
        words: Mapping[type[exp.Expr], str] = {exp.Coalesce: "coalesce", exp.Greatest: "greatest", exp.Least: "least"}
        word = words[type(node)]
        return Part(f"{word}({', '.join(told)})", kind)

    def nullif(self, node: exp.Nullif, scope: _Scope) -> Part:
        this = self._part(node.this, scope)
        a, b = self._alike((node.this, node.expression), scope)
        kind = replace(this.type, written=None)
        return Part(f"(CASE WHEN {a.sql} = {b.sql} THEN {null_of(kind)} ELSE {shown_as(this)} END)", kind)

    def cast(self, node: exp.Expr, scope: _Scope) -> Part:
        return converted(self._part(node.this, scope), cast_type(node.args["to"]), text=True)

    def at_time_zone(self, node: exp.AtTimeZone, scope: _Scope) -> Part:
        """The wall clock of a zone, of those that masks name: POSIX turns the sign round."""
        inner = self._part(node.this, scope)
        found = re.fullmatch(r"Etc/GMT-([0-9]{1,2})", node.args["zone"].name)
        if found is None or inner.type.kind is not Kind.INSTANT:
            raise Refused.because("not-on-spark", construct="AT TIME ZONE")
        return Part(f"({inner.sql} + INTERVAL '{found[1]}' HOUR)", MOMENT)

    # --- numbers ------------------------------------------------------------------------------------------------------

    def arithmetic(self, node: exp.Binary, scope: _Scope) -> Part:
        sign = _SIGNS[type(node)]
        if isinstance(node.this, exp.Interval) or isinstance(node.expression, exp.Interval):
            return self._moved(node, sign, scope)
        a, b = self._part(node.this, scope), self._part(node.expression, scope)
        kind = v.arithmetic_type(sign, a.type, b.type)
        if NOTHING.kind in (a.type.kind, b.type.kind):
            return Part(null_of(kind), kind)
        if Kind.DATE in (a.type.kind, b.type.kind):
            return with_days(sign, a, b, kind)
        if kind.kind is Kind.DOUBLE:
            return of_doubles(sign, a, b)
        if kind.kind is Kind.DECIMAL:
            return of_decimals(sign, a, b, kind)
        return of_wholes(sign, a, b, kind)

    def _moved(self, node: exp.Binary, sign: str, scope: _Scope) -> Part:
        left = isinstance(node.this, exp.Interval)
        interval, day = (node.this, node.expression) if left else (node.expression, node.this)
        part = self._part(day, scope)
        if part.type.kind not in (Kind.DATE, Kind.INSTANT) or (left and sign == "-"):
            raise lacking("interval")
        moment = converted(part, MOMENT).sql
        amount, unit = int(interval.this.name), interval.args["unit"].name.upper()
        if unit in ("QUARTER", "WEEK"):
            amount, unit = (amount * 3, "MONTH") if unit == "QUARTER" else (amount * 7, "DAY")
        if not -_MOST_MOVED <= amount <= _MOST_MOVED:
            raise lacking("interval")
        kind = MOMENT if part.type.kind is Kind.DATE else part.type
        return Part(f"({moment} {sign} INTERVAL '{amount}' {unit})", kind)

    def negative(self, node: exp.Neg, scope: _Scope) -> Part:
        inner = self._part(node.this, scope)
        if inner.type.written is not None:
            return number_part(*v.whole_type(-inner.type.written))
        kind = inner.type
        if kind.kind is Kind.NOTHING:
            return Part(null_of(INTEGER), INTEGER)
        if kind.kind is Kind.DOUBLE:
            return Part(plain_double(f"(- {inner.sql})", DOUBLE), DOUBLE)
        if kind.kind is Kind.DECIMAL:
            return Part(f"(- {inner.sql})", kind)
        return of_wholes("-", number_part(INTEGER, 0), inner, kind)

    def absolute(self, node: exp.Abs, scope: _Scope) -> Part:
        inner = self._part(node.this, scope)
        kind = replace(inner.type, written=None)
        if not kind.whole:
            must_be_number(kind, node)
            return Part(f"abs({inner.sql})", kind)
        wide = "DECIMAL(38, 0)" if kind.kind is Kind.HUGE else "DECIMAL(20, 0)"
        return Part(f"TRY_CAST(abs(CAST({inner.sql} AS {wide})) AS {spark_type(kind)})", kind)

    def round(self, node: exp.Round, scope: _Scope) -> Part:
        decimals = node.args.get("decimals")
        places = 0
        if decimals is not None:
            if not isinstance(decimals, exp.Literal) or not decimals.name.isdigit() or int(decimals.name) > 15:
                raise lacking("round-places")
            places = int(decimals.name)
        inner = self._part(node.this, scope)
        kind = v.rounded_type(inner.type, places)
        if kind.whole:
            return replace(inner, type=kind)
        must_be_number(kind, node)
        if kind.kind is Kind.DECIMAL:
            return Part(f"TRY_CAST(round({inner.sql}, {places}) AS {spark_type(kind)})", kind)
        if places == 0:
            return Part(plain_double(f"round({inner.sql}, 0)", DOUBLE), DOUBLE)
        scale = f"CAST('1e{places}' AS DOUBLE)"
        rounded = plain_double(f"(round({inner.sql} * {scale}, 0) / {scale})", DOUBLE)
        return Part(f"(CASE WHEN abs({inner.sql}) < CAST('1e290' AS DOUBLE) THEN {rounded} ELSE {inner.sql} END)", DOUBLE)

    def floor(self, node: exp.Expr, scope: _Scope) -> Part:
        inner = self._part(node.this, scope)
        word = "ceil" if isinstance(node, exp.Ceil) else "floor"
        if inner.type.whole or inner.type.kind is Kind.NOTHING:
            return converted(inner, DOUBLE)
        must_be_number(inner.type, node)
        if inner.type.kind is Kind.DECIMAL:
            kind = replace(inner.type, scale=0)
            return Part(f"TRY_CAST({word}({inner.sql}) AS {spark_type(kind)})", kind)
        small = f"abs({inner.sql}) < CAST({HALF_INTEGERS} AS DOUBLE)"
        whole = f"CAST({word}(CASE WHEN {small} THEN {inner.sql} END) AS DOUBLE)"
        return Part(f"(CASE WHEN {small} THEN {whole} ELSE {inner.sql} END)", DOUBLE)

    def sign(self, node: exp.Sign, scope: _Scope) -> Part:
        inner = converted(self._part(node.this, scope), DOUBLE)
        return Part(f"TRY_CAST(nanvl(sign({inner.sql}), CAST(0 AS DOUBLE)) AS TINYINT)", Type(Kind.TINY))

    def root(self, node: exp.Expr, scope: _Scope) -> Part:
        inner = converted(self._part(node.this, scope), DOUBLE)
        return Part(plain_double(f"{'sqrt' if isinstance(node, exp.Sqrt) else 'ln'}({inner.sql})", DOUBLE), DOUBLE)

    def power(self, node: exp.Pow, scope: _Scope) -> Part:
        a, b = (converted(self._part(one, scope), DOUBLE).sql for one in (node.this, node.expression))
        zero = "CAST(0 AS DOUBLE)"
        # Sail fails on zero to a negative power.
        base = f"(CASE WHEN {a} = {zero} AND {b} < {zero} THEN CAST(1 AS DOUBLE) ELSE {a} END)"
        infinite = f"WHEN {a} = {zero} AND {b} < {zero} THEN CAST('Infinity' AS DOUBLE)"
        return Part(f"(CASE {infinite} ELSE {plain_double(f'power({base}, {b})', DOUBLE)} END)", DOUBLE)

    # --- text ---------------------------------------------------------------------------------------------------------

    def _text_of(self, node: exp.Expr, scope: _Scope) -> Part:
        return converted(self._part(node, scope), TEXT)

    def plain_text(self, node: exp.Expr, scope: _Scope) -> Part:
        """Functions of one text."""
        text = self._text_of(node.this, scope).sql
        if isinstance(node, exp.Length):
            return Part(f"CAST(length({text}) AS BIGINT)", BIG)
        if isinstance(node, exp.Trim):
            if node.args.get("expression") is not None or node.args.get("position"):
                raise Refused.because("not-on-spark", construct="TRIM")
            return Part(f"trim(BOTH {quoted_text(_SPACES)} FROM {text})", TEXT)
        return Part(f"{_TEXT_WORDS[type(node)]}({text})", TEXT)

    def two_texts(self, node: exp.Expr, scope: _Scope) -> Part:
        text = self._text_of(node.this, scope).sql
        other = self._text_of(node.args.get("expression") or node.args["substr"], scope).sql
        if isinstance(node, exp.StrPosition):
            return Part(f"CAST(instr({text}, {other}) AS BIGINT)", BIG)
        words: Mapping[type[exp.Expr], str] = {exp.StartsWith: "startswith", exp.EndsWith: "endswith", exp.Contains: "contains"}
        word = words[type(node)]
        return Part(f"{word}({text}, {other})", BOOLEAN)

    def _place(self, node: exp.Expr, scope: _Scope) -> tuple[str, int | None]:
        """A whole number that counts characters, and what it is if it is written."""
        part = self._part(node, scope)
        if part.type.written is not None and abs(part.type.written) < FAR:
            return f"CAST({part.type.written} AS INT)", part.type.written
        number = converted(part, BIG).sql
        return f"CAST(greatest(least({number}, CAST({FAR} AS BIGINT)), CAST(-{FAR} AS BIGINT)) AS INT)", None

    def substring(self, node: exp.Substring, scope: _Scope) -> Part:
        """Counted from 1, or from the end if negative; a negative length goes to the left."""
        text = self._text_of(node.this, scope).sql
        if node.args.get("start") is None:
            raise Refused.because("not-on-spark", construct="SUBSTRING")
        start, written = self._place(node.args["start"], scope)
        count, length = (None, None) if node.args.get("length") is None else self._place(node.args["length"], scope)
        if written is not None and written > 0 and (count is None or (length is not None and length >= 0)):
            return Part(f"substring({text}, {start}{'' if count is None else f', {count}'})", TEXT)
        before = (
            f"(CASE WHEN {start} > CAST(0 AS INT) THEN {start} - CAST(1 AS INT) WHEN {start} < CAST(0 AS INT) "
            f"THEN length({text}) + {start} ELSE CAST(-1 AS INT) END)"
        )
        if count is None:
            return Part(slice_of(text, before, f"length({text})"), TEXT)
        after = f"({before} + {count})"
        return Part(slice_of(text, f"least({before}, {after})", f"greatest({before}, {after})", given=f"{start} + {count}"), TEXT)

    def end_of_text(self, node: exp.Expr, scope: _Scope) -> Part:
        """left and right: so many characters, or with a negative number all but so many."""
        text = self._text_of(node.this, scope).sql
        count, written = self._place(node.expression, scope)
        if isinstance(node, exp.Left) and written is not None and written >= 0:
            return Part(f"substring({text}, CAST(1 AS INT), {count})", TEXT)
        kept = f"(CASE WHEN {count} < CAST(0 AS INT) THEN length({text}) + {count} ELSE {count} END)"
        if isinstance(node, exp.Left):
            return Part(slice_of(text, "CAST(0 AS INT)", kept), TEXT)
        return Part(slice_of(text, f"(length({text}) - greatest({kept}, CAST(0 AS INT)))", f"length({text})", given=count), TEXT)

    def replaced(self, node: exp.Replace, scope: _Scope) -> Part:
        text, old, new = (
            self._text_of(one, scope).sql for one in (node.this, node.expression, node.args.get("replacement") or exp.Literal.string(""))
        )
        return Part(f"replace({text}, {old}, {new})", TEXT)

    def like(self, node: exp.Expr, scope: _Scope) -> Part:
        """DuckDB has no sign of escape unless one is named; Spark always takes the backslash for one."""
        pattern: exp.Expr = node.expression
        if isinstance(pattern, exp.Escape):
            raise Refused.because("not-on-spark", construct="LIKE ... ESCAPE")
        text, how = self._text_of(node.this, scope).sql, self._text_of(pattern, scope)
        if how.text is not None:
            form = quoted_text(how.text.replace("\\", "\\\\"))
        else:
            form = f"replace({how.sql}, {quoted_text(chr(92))}, {quoted_text(chr(92) * 2)})"
        if isinstance(node, exp.ILike):
            text, form = f"lower({text})", f"lower({form})"
        made = f"({text} LIKE {form})"
        return Part(f"(NOT {made})" if node.args.get("negate") else made, BOOLEAN)

    def piped(self, node: exp.DPipe, scope: _Scope) -> Part:
        return Part(f"concat({self._text_of(node.this, scope).sql}, {self._text_of(node.expression, scope).sql})", TEXT)

    def concat(self, node: exp.Expr, scope: _Scope) -> Part:
        texts = [self._text_of(part, scope).sql for part in node.expressions]
        if isinstance(node, exp.ConcatWs):
            return Part(f"concat_ws({', '.join(texts)})", TEXT)
        return Part("concat(" + ", ".join(f"coalesce({text}, '')" for text in texts) + ")", TEXT)

    def repeat(self, node: exp.Repeat, scope: _Scope) -> Part:
        times = converted(self._part(node.args["times"], scope), BIG).sql
        return Part(f"repeat({self._text_of(node.this, scope).sql}, TRY_CAST({times} AS INT))", TEXT)

    def whole_match(self, node: exp.Expr, scope: _Scope) -> Part:
        """A regular expression of the rewriter's that the whole text must match."""
        shape = rf"\A(?:{node.expression.name})\z"
        return Part(f"({self._text_of(node.this, scope).sql} RLIKE {quoted_text(shape)})", BOOLEAN)

    def anonymous(self, node: exp.Anonymous, scope: _Scope) -> Part:
        if node.name.lower() != "hash":
            raise Refused.because("not-on-spark", construct=node.name.lower())
        return self._hash(node.expressions, scope)

    def hashed(self, node: exp.Expr, scope: _Scope) -> Part:
        return self._hash([node.this, *node.expressions] if node.this is not None else node.expressions, scope)

    def _hash(self, nodes: Sequence[exp.Expr], scope: _Scope) -> Part:
        """A hash that tells which rows are the same, as everywhere in the rewriter; it is another than DuckDB's. A missing value leaves
        Spark's as it is, so that it is said for each whether it is there."""
        told = []
        for node in nodes:
            sql = shown_as(self._part(node, scope))
            told += [f"{sql} IS NULL", sql]
        return Part(f"xxhash64({', '.join(told)})", BIG)

    # --- dates --------------------------------------------------------------------------------------------------------

    def _day(self, node: exp.Expr, scope: _Scope) -> Part:
        part = self._part(node, scope)
        if part.type.kind is Kind.NOTHING:
            return Part(null_of(DATE), DATE)
        if part.type.kind not in (Kind.DATE, Kind.INSTANT):
            raise Refused.because("not-on-spark", construct="DATE")
        return part

    def calendar(self, node: exp.Expr, scope: _Scope) -> Part:
        unit = node.this.name.lower() if isinstance(node, exp.Extract) else type(node).__name__.lower()
        part = self._day(node.expression if isinstance(node, exp.Extract) else node.this, scope)
        if unit in ("hour", "minute", "second"):
            part = converted(part, MOMENT)
        word = {"day": "dayofmonth", "week": "weekofyear"}.get(unit, unit)
        if word not in ("year", "month", "dayofmonth", "quarter", "weekofyear", "hour", "minute", "second"):
            raise Refused.because("not-on-spark", construct=f"extract({unit} FROM ...)")
        return Part(f"CAST({word}({part.sql}) AS BIGINT)", BIG)

    def truncated(self, node: exp.Expr, scope: _Scope) -> Part:
        part = self._day(node.this, scope)
        unit = node.args["unit"].name.upper()
        if part.type.kind is Kind.DATE:
            if unit in ("HOUR", "MINUTE", "SECOND", "DAY"):
                return part if unit == "DAY" else converted(part, MOMENT)
            return Part(f"trunc({part.sql}, '{unit}')", DATE)
        return Part(f"date_trunc('{unit}', {part.sql})", part.type)

    def last_day(self, node: exp.LastDay, scope: _Scope) -> Part:
        part = converted(self._day(node.this, scope), DATE)
        return Part(f"last_day({part.sql})", DATE)

    def difference(self, node: exp.DateDiff, scope: _Scope) -> Part:
        """How many borders of the unit lie between two moments, the first of which stands in `expression`."""
        unit = node.args["unit"].name.upper()
        after, before = self._day(node.this, scope), self._day(node.expression, scope)
        if unit in ("YEAR", "QUARTER", "MONTH"):
            parts = {"YEAR": ("year({0})",), "QUARTER": ("year({0}) * 4", "quarter({0})"), "MONTH": ("year({0}) * 12", "month({0})")}[unit]
            a, b = (" + ".join(parts).format(one.sql) for one in (after, before))
            return Part(f"CAST(({a}) - ({b}) AS BIGINT)", BIG)
        if unit in ("DAY", "WEEK"):
            days = [converted(one, DATE).sql for one in (after, before)]
            if unit == "DAY":
                return Part(f"CAST(datediff({days[0]}, {days[1]}) AS BIGINT)", BIG)
            weeks = f"datediff(trunc({days[0]}, 'WEEK'), trunc({days[1]}, 'WEEK'))"
            return Part(f"CAST({weeks} div CAST(7 AS INT) AS BIGINT)", BIG)
        seconds = {"HOUR": 3600, "MINUTE": 60, "SECOND": 1}[unit]
        a, b = (f"unix_seconds(date_trunc('{unit}', {converted(one, MOMENT).sql}))" for one in (after, before))
        return Part(f"CAST(({a} - {b}) div CAST({seconds} AS BIGINT) AS BIGINT)", BIG)

    def formatted(self, node: exp.TimeToStr, scope: _Scope) -> Part:
        part = converted(self._day(node.this, scope), MOMENT)
        pieces = []
        for piece in re.findall(r"%.|[^%]+", node.args["format"].name):
            if piece in _FORMATS:
                word, width = _FORMATS[piece]
                pieces.append(f"lpad(CAST({word}({part.sql}) AS STRING), {width}, '0')")
            else:
                pieces.append(quoted_text("%" if piece == "%%" else piece))
        return Part(f"concat({', '.join(pieces)})" if pieces else f"(CASE WHEN {part.sql} IS NOT NULL THEN '' END)", TEXT)

    # --- totals and windows -------------------------------------------------------------------------------------------

    def total(self, node: exp.Expr, scope: _Scope) -> Part:
        part = self._total(node, scope, None, "")
        if scope.totals is None:
            return part
        name = scope.totals.setdefault(part.sql, f"a{len(scope.totals)}")
        return replace(part, sql=f"{scope.group}.{name}")

    def filtered(self, node: exp.Filter, scope: _Scope) -> Part:
        part = self._total(node.this, scope, node.expression.this, "")
        if scope.totals is None:
            return part
        name = scope.totals.setdefault(part.sql, f"a{len(scope.totals)}")
        return replace(part, sql=f"{scope.group}.{name}")

    def _total(self, node: exp.Expr, scope: _Scope, kept: exp.Expr | None, over: str) -> Part:
        """A total over the rows of a group, of those that `kept` keeps, or over a window."""
        rows = scope if over else replace(scope, keys=None, totals=None)
        condition = None if kept is None else self._truth(kept, rows)
        inner = node.this
        distinct = isinstance(inner, exp.Distinct)
        if distinct and over:
            raise lacking("distinct-over")
        once = "DISTINCT " if distinct else ""
        argument = inner.expressions[0] if distinct else inner

        def counted(sql: str) -> str:
            return sql if condition is None else f"CASE WHEN {condition} THEN {sql} END"

        if isinstance(node, exp.Count):
            if isinstance(argument, exp.Star):
                return Part(f"count({'*' if condition is None else counted('1')}){over}", BIG)
            if distinct and (len(inner.expressions) > 1 or _tuple_of(argument) is not None):
                return Part(f"count(DISTINCT {', '.join(counted(one) for one in self._several(inner, rows))}){over}", BIG)
            return Part(f"count({once}{counted(shown_as(self._part(argument, rows)))}){over}", BIG)
        part = self._part(argument, rows)
        kind = replace(part.type, written=None)
        if isinstance(node, exp.CountIf):
            one = f"CASE WHEN {converted(part, BOOLEAN).sql} THEN 1 WHEN NOT {converted(part, BOOLEAN).sql} THEN 0 END"
            if distinct:
                raise Refused.because("not-on-spark", construct="count_if(DISTINCT ...)")
            return Part(f"CAST(sum({counted(f'CAST({one} AS DECIMAL(19, 0))')}){over} AS DECIMAL(38, 0))", HUGE)
        if isinstance(node, exp.Min | exp.Max):
            if kind.kind is Kind.NOTHING:
                part, kind = Part(null_of(INTEGER), INTEGER), INTEGER
            return Part(f"{'min' if isinstance(node, exp.Min) else 'max'}({counted(part.sql)}){over}", kind)
        must_be_number(kind, node)
        if isinstance(node, exp.Sum | exp.Avg):
            return self._summed(node, part, kind, once, counted, over)
        if isinstance(node, exp.Corr):
            raise lacking("corr")
        if distinct:
            raise Refused.because("not-on-spark", construct=f"{node.key}(DISTINCT ...)")
        if isinstance(node, exp.Median | exp.PercentileCont):
            if over or kind.kind is Kind.DECIMAL:
                raise lacking("quantile-over" if over else "quantile-decimal")
            share = float(node.expression.name) if isinstance(node, exp.PercentileCont) else 0.5
            value = counted(converted(part, DOUBLE).sql)
            return Part(plain_double(f"percentile({value}, CAST('{share!r}' AS DOUBLE))", DOUBLE), DOUBLE)
        word = _SPREADS[type(node)]
        return Part(plain_double(f"{word}({counted(converted(part, DOUBLE).sql)}){over}", DOUBLE), DOUBLE)

    @staticmethod
    def _summed(
        node: exp.Expr, part: Part, kind: Type, once: str, counted: Callable[[str], str], over: str
    ) -> Part:
        """sum and avg. Whole numbers are added as decimals: Sail's sums of integers go round without a word."""
        if kind.kind is Kind.NOTHING:
            part, kind = Part(null_of(BIG), BIG), BIG
        if kind.kind is Kind.DOUBLE:
            word = "sum" if isinstance(node, exp.Sum) else "avg"
            return Part(plain_double(f"{word}({once}{counted(part.sql)}){over}", DOUBLE), DOUBLE)
        given = kind
        if kind.whole:
            exact = f"CAST({part.sql} AS DECIMAL({28 if kind.kind is Kind.HUGE else 19}, 0))"
            kind = HUGE
        else:
            exact = part.sql if kind.digits <= v.DIGITS - 10 else f"TRY_CAST({part.sql} AS DECIMAL({v.DIGITS - 10}, {kind.scale}))"
            if kind.scale > v.DIGITS - 20:
                raise lacking("fine-decimals")
            kind = replace(kind, digits=v.DIGITS)
        added = f"sum({once}{counted(exact)}){over}"
        if isinstance(node, exp.Sum):
            return Part(f"CAST({added} AS {spark_type(kind)})", kind)
        # Sail fails on a count that only looks otherwise than another one of the same SELECT
        known = part.sql if given.whole and given.kind is not Kind.HUGE else exact
        number = f"CAST(nullif(count({once}{counted(known)}){over}, CAST(0 AS BIGINT)) AS DOUBLE)"
        return Part(f"(CAST({added} AS DOUBLE) / {number})", DOUBLE)

    def _several(self, distinct: exp.Distinct, rows: _Scope) -> list[str]:
        """What `count(DISTINCT (a, b))` counts: a pair is known as a whole or not at all, as the rewriter writes it."""
        if len(distinct.expressions) > 1:
            return [shown_as(self._part(one, rows)) for one in distinct.expressions]
        found = _tuple_of(distinct.expressions[0])
        assert found is not None
        condition, members = found
        told = [shown_as(self._part(one, rows)) for one in members]
        if condition is None:
            return told
        known = self._truth(condition, rows)
        return [f"CASE WHEN {known} THEN {one} END" for one in told]

    def window(self, node: exp.Window, scope: _Scope) -> Part:
        over = f" OVER ({self._window(node, scope)})"
        of = node.this
        if isinstance(of, exp.Filter):
            return self._total(of.this, scope, of.expression.this, over)
        if isinstance(of, _TOTALS):
            return self._total(of, scope, None, over)
        if isinstance(of, exp.RowNumber | exp.Rank | exp.DenseRank):
            word = {exp.RowNumber: "row_number", exp.Rank: "rank", exp.DenseRank: "dense_rank"}[type(of)]
            return Part(f"CAST({word}(){over} AS BIGINT)", BIG)
        if isinstance(of, exp.PercentRank | exp.CumeDist):
            return Part(f"{'percent_rank' if isinstance(of, exp.PercentRank) else 'cume_dist'}(){over}", DOUBLE)
        if isinstance(of, exp.Ntile):
            return Part(f"CAST(ntile({self._written(of.this)}){over} AS BIGINT)", BIG)
        part = self._part(of.this, scope)
        kind = replace(part.type, written=None)
        if isinstance(of, exp.FirstValue | exp.LastValue):
            return Part(f"{'first_value' if isinstance(of, exp.FirstValue) else 'last_value'}({shown_as(part)}){over}", kind)
        if isinstance(of, exp.Lag | exp.Lead):
            offset = of.args.get("offset")
            away = self._written(offset) if offset is not None else 1
            default = of.args.get("default")
            otherwise = f", {converted(self._part(default, scope), kind).sql}" if default is not None else ""
            return Part(f"{'lag' if isinstance(of, exp.Lag) else 'lead'}({shown_as(part)}, {away}{otherwise}){over}", kind)
        raise Refused.because("not-on-spark", construct="OVER")

    @staticmethod
    def _written(node: exp.Expr) -> int:
        if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit() or not 0 < int(node.name) < FAR:
            raise Refused.because("not-on-spark", construct="OVER")
        return int(node.name)

    def _window(self, node: exp.Window, scope: _Scope) -> str:
        parts = [shown_as(self._part(one, scope)) for one in node.args.get("partition_by") or ()]
        sql = f"PARTITION BY {', '.join(parts)}" if parts else ""
        order, spec = node.args.get("order"), node.args.get("spec")
        if order is not None:
            sql += _ordered([(shown_as(self._part(one.this, scope)), one) for one in order.expressions])
        if spec is not None:
            if spec.args.get("kind") == "RANGE" and any(isinstance(spec.args.get(end), exp.Expr) for end in ("start", "end")):
                raise lacking("range-of-values")
            ends = [
                f"{self._written(end) if isinstance(end, exp.Expr) else end} {spec.args.get(name + '_side') or ''}".strip()
                for name in ("start", "end")
                if (end := spec.args.get(name)) is not None
            ]
            between = f"BETWEEN {ends[0]} AND {ends[1]}" if len(ends) == 2 else ends[0]
            sql += f" {spec.args.get('kind')} {between}"
        return sql.strip()


# --- helpers ----------------------------------------------------------------------------------------------------------------


def _opaque(sql: str) -> str:
    """The same text with every TRY_CAST in a nullif that changes nothing: in a comparison Sail takes the cast away and compares what was
    cast, so that a value which has no place in the type, and is missing, would pass."""
    pieces: list[str] = []
    open_brackets: list[bool] = []
    at, quoted = 0, False
    while at < len(sql):
        sign = sql[at]
        if quoted and sign == "\\":
            pieces.append(sql[at : at + 2])
            at += 2
            continue
        if sign == "'":
            quoted = not quoted
        if not quoted and sql.startswith(_TRIED, at):
            pieces.append("nullif(" + _TRIED)
            open_brackets.append(True)
            at += len(_TRIED)
            continue
        pieces.append(sign)
        if not quoted and sign == "(":
            open_brackets.append(False)
        elif not quoted and sign == ")" and open_brackets.pop():
            pieces.append(", NULL)")
        at += 1
    return "".join(pieces)


_TRIED = "TRY_CAST("


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _own(node: exp.Expr, kinds: tuple[type[exp.Expr], ...], *, not_over: bool = False) -> bool:
    """Whether such a part stands below the node, and not in a query inside it; `not_over`: nor as what a window is made of."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _QUERIES):
            continue
        if not_over and isinstance(one, exp.Window):
            of = one.this.this if isinstance(one.this, exp.Filter) else one.this
            waiting += [part for part in one.iter_expressions() if part is not one.this]
            waiting += list(of.iter_expressions())
            continue
        if isinstance(one, kinds):
            return True
        waiting += list(one.iter_expressions())
    return False


def _by(keys: Sequence[str]) -> str:
    return f" GROUP BY {', '.join(keys)}" if keys else ""


def _offset(node: exp.Expr) -> int:
    """How many rows are left out; the OFFSET 0 of a barrier is nothing here."""
    offset = node.args.get("offset")
    return int(offset.expression.name) if offset is not None else 0


def _ordered(keys: Sequence[tuple[str, exp.Ordered]]) -> str:
    if not keys:
        return ""
    told = [
        f"{key} {'DESC' if one.args.get('desc') else 'ASC'} NULLS {'FIRST' if one.args.get('nulls_first') else 'LAST'}" for key, one in keys
    ]
    return f" ORDER BY {', '.join(told)}"


def _limited(node: exp.Expr) -> str:
    limit = node.args.get("limit")
    told = f" LIMIT {min(int(limit.expression.name), FAR)}" if limit is not None else ""
    return told + (f" OFFSET {min(_offset(node), FAR)}" if _offset(node) else "")


def _split_of(node: exp.Expr) -> tuple[str, str]:
    """The text and the sign of `string_split(text, sign)`."""
    if isinstance(node, exp.Split):
        text, sign = node.this, node.expression
    elif isinstance(node, exp.Anonymous) and node.name.lower() == "string_split":
        text, sign = node.expressions
    else:
        raise Refused.because("not-on-spark", construct="UNNEST")
    if not all(isinstance(one, exp.Literal) and one.is_string for one in (text, sign)):
        raise Refused.because("not-on-spark", construct="UNNEST")
    return text.name, sign.name


def _tuple_of(node: exp.Expr) -> tuple[exp.Expr | None, Sequence[exp.Expr]] | None:
    """The members of `(a, b)` or `CASE WHEN condition THEN (a, b) END`, with the condition."""
    if isinstance(node, exp.Tuple):
        return None, node.expressions
    if isinstance(node, exp.Case) and node.this is None and len(node.args["ifs"]) == 1 and node.args.get("default") is None:
        branch = node.args["ifs"][0]
        if isinstance(branch.args["true"], exp.Tuple):
            return branch.this, branch.args["true"].expressions
    return None


def _is_one_total(node: exp.Expr) -> bool:
    """Whether a query that names items outside is a total whose condition only says that they are equal: the kind that every engine has."""
    while isinstance(node, exp.Subquery):
        node = node.this
    if not isinstance(node, exp.Select) or any(node.args.get(name) for name in ("group", "having", "order", "limit", "distinct", "with_")):
        return False
    if len(node.expressions) != 1 or not _own(node.expressions[0], _TOTALS):
        return False
    here = {source.alias.lower() for source in (node.args["from_"].this, *(join.this for join in node.args.get("joins") or ()))}

    def inside(one: exp.Expr) -> set[bool]:
        return {column.table.lower() in here for column in one.find_all(exp.Column)}

    where = node.args.get("where")
    rest = [part for name, part in node.args.items() if name in ("expressions", "joins") for part in part or ()]
    if any(False in inside(part) for part in rest):
        return False
    waiting = [where.this] if where is not None else []
    while waiting:
        one = _bare(waiting.pop())
        if isinstance(one, exp.And):
            waiting += [one.this, one.expression]
        elif False in inside(one) and not (isinstance(one, exp.EQ) and [inside(one.this), inside(one.expression)] in _EACH_SIDE):
            return False
    return True


_MOST_MOVED = 100_000
_SIGNS: Mapping[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%",
}  # fmt: skip
_SIGNS_OF_COMPARING: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.NullSafeEQ: "<=>",
}  # fmt: skip
_EACH_SIDE = ([{True}, {False}], [{False}, {True}])
_FITTED = (exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs)
"""Where a result may be too large for its type."""
_SPREADS: Mapping[type[exp.Expr], str] = {
    exp.Stddev: "stddev_samp", exp.StddevSamp: "stddev_samp", exp.StddevPop: "stddev_pop", exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}  # fmt: skip
_TEXT_WORDS: Mapping[type[exp.Expr], str] = {exp.Lower: "lower", exp.Upper: "upper", exp.Reverse: "reverse"}
_FORMATS: Mapping[str, tuple[str, int]] = {
    "%Y": ("year", 4), "%m": ("month", 2), "%d": ("dayofmonth", 2), "%H": ("hour", 2), "%M": ("minute", 2), "%S": ("second", 2),
}  # fmt: skip
_WRITERS: Mapping[type[exp.Expr], Callable[[_Writer, Any, _Scope], Part]] = {
    exp.Column: _Writer.column,
    exp.Literal: _Writer.number,
    exp.Boolean: lambda _self, node, _scope: Part("true" if node.this else "false", BOOLEAN),
    exp.Null: lambda _self, _node, _scope: Part("NULL", NOTHING),
    exp.And: _Writer.logical,
    exp.Or: _Writer.logical,
    exp.Not: _Writer.negated,
    exp.Is: _Writer.is_what,
    exp.In: _Writer.in_list,
    exp.Exists: _Writer.exists,
    exp.Between: _Writer.between,
    exp.Case: _Writer.case,
    exp.Nullif: _Writer.nullif,
    exp.Cast: _Writer.cast,
    exp.TryCast: _Writer.cast,
    exp.AtTimeZone: _Writer.at_time_zone,
    exp.Neg: _Writer.negative,
    exp.Abs: _Writer.absolute,
    exp.Round: _Writer.round,
    exp.Floor: _Writer.floor,
    exp.Ceil: _Writer.floor,
    exp.Sign: _Writer.sign,
    exp.Sqrt: _Writer.root,
    exp.Ln: _Writer.root,
    exp.Pow: _Writer.power,
    exp.Substring: _Writer.substring,
    exp.Left: _Writer.end_of_text,
    exp.Right: _Writer.end_of_text,
    exp.Replace: _Writer.replaced,
    exp.Like: _Writer.like,
    exp.ILike: _Writer.like,
    exp.DPipe: _Writer.piped,
    exp.Concat: _Writer.concat,
    exp.ConcatWs: _Writer.concat,
    exp.Repeat: _Writer.repeat,
    exp.RegexpFullMatch: _Writer.whole_match,
    exp.Anonymous: _Writer.anonymous,
    exp.LastDay: _Writer.last_day,
    exp.DateDiff: _Writer.difference,
    exp.TimeToStr: _Writer.formatted,
    exp.Filter: _Writer.filtered,
    exp.Window: _Writer.window,
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), _Writer.chosen),
    **dict.fromkeys(_SIGNS, _Writer.arithmetic),
    **dict.fromkeys(_SIGNS_OF_COMPARING, _Writer.compared),
    exp.NullSafeNEQ: _Writer.compared,
    **dict.fromkeys((exp.Length, exp.Trim, *_TEXT_WORDS), _Writer.plain_text),
    **dict.fromkeys((exp.StartsWith, exp.EndsWith, exp.Contains, exp.StrPosition), _Writer.two_texts),
    **dict.fromkeys((exp.Year, exp.Month, exp.Day, exp.Quarter, exp.Extract), _Writer.calendar),
    **dict.fromkeys((exp.TimestampTrunc, exp.DateTrunc), _Writer.truncated),
    **dict.fromkeys(_TOTALS, _Writer.total),
    **dict.fromkeys((exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery), _Writer.scalar),
}
