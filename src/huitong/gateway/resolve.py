"""Names to datasets and items. Every item of a statement is bound to a source of its scope, or the statement is refused.

The tree is changed in place: tables, common expressions and items get names of our making, all quoted, so nothing that a person
wrote as a name reaches the engine but the heading of a result. A star stands for the granted items and no others. Types are those
after the mask: a pseudonym is a whole number, a generalised date a year."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlglot import exp

from huitong.errors import Reason, Refused
from huitong.gateway.allowed import AGGREGATES, RANKINGS, UNITS
from huitong.gateway.parse import Caps
from huitong.masks import masked_type, sql_type
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import Grant, MaskKind

_TEXT, _INTEGER, _DECIMAL, _DATE, _INSTANT, _BOOLEAN = (
    ItemType.TEXT, ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE, ItemType.INSTANT, ItemType.BOOLEAN,
)  # fmt: skip
Type = ItemType | None
"""None where it is not known; the engine then decides."""


@dataclass
class TableUse:
    """One mention of a dataset in a statement: the node that the rewriter replaces and the items it must show."""

    node: exp.Table
    dataset: Dataset
    grant: Grant | None
    alias: str
    named: set[str] = field(default_factory=set)
    starred: set[str] = field(default_factory=set)

    @property
    def items(self) -> frozenset[str]:
        """All items that the governed subquery must show."""
        return frozenset(self.named | self.starred)


@dataclass
class Resolution:
    """A bound statement: its tree, each mention of a dataset, and everything that is wrong with it."""

    tree: exp.Query
    tables: Sequence[TableUse]
    faults: tuple[Reason, ...]
    inexact: bool = False
    """Whether some total depends, in its last digits, on the order in which its rows are added up."""

    def uses(self) -> Mapping[str, frozenset[str]]:
        """Dataset -> items used, named or by star."""
        return self._collect(lambda use: use.named | use.starred)

    def named_uses(self) -> Mapping[str, frozenset[str]]:
        """Dataset -> items that the statement names; those that a star stands for are granted by their making."""
        return self._collect(lambda use: use.named)

    def _collect(self, items: Callable[[TableUse], Iterable[str]]) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for use in self.tables:
            found.setdefault(use.dataset.id, set()).update(items(use))
        return {name: frozenset(values) for name, values in found.items()}


def dataset_name(table: exp.Table) -> str:
    """The dotted name of a table node in small letters."""
    return ".".join(part.name for part in table.parts).lower()


def named_datasets(tree: exp.Query, caps: Caps) -> frozenset[str]:
    """Every name that may be a dataset. Raises Refused `statement-too-many-datasets`."""
    names = frozenset(dataset_name(table) for table in tree.find_all(exp.Table))
    if len(names) > caps.datasets:
        raise Refused.because("statement-too-many-datasets", limit=caps.datasets)
    return names


def resolve(tree: exp.Query, *, datasets: Mapping[str, Dataset], grants: Mapping[str, Grant], caps: Caps) -> Resolution:
    """Bind the tree against the published `datasets`. `grants` says, per dataset, what a star stands for and how items leave;
    for a dataset without one a star stands for all items, and the decision will refuse it anyway."""
    binder = _Binder(datasets, grants, caps)
    binder.query(tree, {}, None)
    faults = tuple(dict.fromkeys(binder.faults))
    return Resolution(tree=tree, tables=tuple(binder.tables), faults=faults, inexact=binder.inexact)


# --- scopes -----------------------------------------------------------------------------------------------------------


@dataclass
class _Column:
    """Something a name can be bound to. `ungranted` is an item that a star leaves out but a name may still mean."""

    name: str
    type: Type
    use: TableUse | None = None
    ungranted: bool = False
    empty: bool = False
    """Always NULL: hidden by its mask."""


@dataclass
class _Source:
    """One entry of FROM: its name in the statement, its new name, its columns by small-letter name."""

    names: frozenset[str]
    alias: str
    columns: dict[str, _Column]
    ambiguous: frozenset[str] = frozenset()
    unknown: bool = False
    """A dataset that does not exist: names are not looked for in it, one fault is enough."""

    def visible(self) -> Iterator[_Column]:
        return (column for column in self.columns.values() if not column.ungranted)


@dataclass
class _Scope:
    outer: "_Scope | None"
    sources: list[_Source] = field(default_factory=list)
    merged: dict[str, tuple[Callable[[], exp.Expr], Type]] = field(default_factory=dict)
    hidden_by_merge: set[tuple[str, str]] = field(default_factory=set)
    aggregated: bool = False

    def aliases(self) -> frozenset[str]:
        return frozenset(source.alias for source in self.sources)


@dataclass(frozen=True)
class _Place:
    """Where in a statement an expression stands, and what it may hold there."""

    scope: _Scope
    ctes: "Mapping[str, _Common]"
    aggregates: bool = False
    windows: bool = False
    headings: "Mapping[str, _Output]" = field(default_factory=dict)
    """Aliases of the select list that this clause may also use."""


@dataclass(frozen=True)
class _Output:
    name: str
    type: Type
    expression: exp.Expr | None = None
    hidden: _Column | None = None
    ambiguous: bool = False
    empty: bool = False


@dataclass(frozen=True)
class _Common:
    """A common table expression: its new name and what it shows."""

    name: str
    outputs: tuple[_Output, ...]


def _identifier(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _column(alias: str, name: str) -> exp.Column:
    return exp.Column(this=_identifier(name), table=_identifier(alias))


class _Binder:
    """Walks a checked tree once, from the outside in, in the order in which SQL gives names their meaning."""

    def __init__(self, datasets: Mapping[str, Dataset], grants: Mapping[str, Grant], caps: Caps) -> None:
        self.datasets = datasets
        self.grants = grants
        self.caps = caps
        self._copied = 0
        self._starred = 0
        self.tables: list[TableUse] = []
        self.faults: list[Reason] = []
        self._made = 0
        self.inexact = False
        self._handlers: dict[type[exp.Expr], Callable[[exp.Expr, _Place], Type]] = _handlers(self)

    def fault(self, code: str, **parameters: str | int) -> None:
        self.faults.append(Reason(code, parameters))

    def _fresh(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    # --- queries ------------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expr, ctes: Mapping[str, _Common], outer: _Scope | None) -> tuple[_Output, ...]:
        if isinstance(node, exp.Subquery):
            return self.query(node.this, ctes, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, ctes, outer)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, outer)
        self.fault("construct-refused", construct=type(node).__name__.upper())
        return ()

    def _common(self, node: exp.Expr, ctes: Mapping[str, _Common]) -> Mapping[str, _Common]:
        """The common expressions in force inside `node`: each sees those before it, none sees itself or a later one."""
        written = node.args.get("with_")
        if written is None:
            return ctes
        known = dict(ctes)
        here: set[str] = set()
        for cte in written.expressions:
            outputs = self.query(cte.this, known, None)
            name = cte.alias.lower()
            if name in here:
                self.fault("name-twice", name=cte.alias)
            here.add(name)
            made = self._fresh("c")
            known[name] = _Common(made, outputs)
            cte.set("alias", exp.TableAlias(this=_identifier(made)))
        return known

    def _set_operation(self, node: exp.SetOperation, ctes: Mapping[str, _Common], outer: _Scope | None) -> tuple[_Output, ...]:
        ctes = self._common(node, ctes)
        for branch in (node.this, node.expression):
            if isinstance(branch, exp.Select | exp.SetOperation) and any(branch.args.get(name) for name in _OWN_CLAUSES):
                self.fault("set-operation-branch")
        left = [output for output in self.query(node.this, ctes, outer) if output.hidden is None]
        right = [output for output in self.query(node.expression, ctes, outer) if output.hidden is None]
        if len(left) != len(right) and not self.faults:
            self.fault("set-operation-uneven", left=len(left), right=len(right))
        outputs = tuple(
            _Output(a.name, _TEXT if _TEXT in (a.type, b.type) else self._unified((a.type, b.type)), ambiguous=a.ambiguous)
            for a, b in zip(left, right, strict=False)
        )
        order = node.args.get("order")
        for ordered in order.expressions if order else ():
            key = _without_brackets(ordered.this)
            if isinstance(key, exp.Column) and not key.table:
                position = self._position(key.name, outputs)
                if position is None:
                    self.fault("item-not-found", item=key.name)
                else:
                    key.replace(exp.Literal.number(position))
            elif not self._is_position(key, len(outputs)):
                self.fault("order-position-invalid", outputs=len(outputs))
        self._limits(node)
        return outputs

    def _select(self, node: exp.Select, ctes: Mapping[str, _Common], outer: _Scope | None) -> tuple[_Output, ...]:
        ctes = self._common(node, ctes)
        scope = _Scope(outer)
        from_ = node.args.get("from_")
        if from_ is not None:
            self._add(scope, self._source(from_.this, ctes))
        for join in node.args.get("joins") or ():
            self._join(join, ctes, scope)
        where = node.args.get("where")
        if where is not None:
            self._condition(where.this, _Place(scope, ctes))
        outputs = self._projections(node, _Place(scope, ctes, aggregates=True, windows=True))
        headings = {output.name.lower(): output for output in outputs if output.expression is not None}
        keys = self._group(node, _Place(scope, ctes), outputs)
        having = node.args.get("having")
        if having is not None:
            self._condition(having.this, _Place(scope, ctes, aggregates=True, headings=headings))
            if not scope.aggregated and node.args.get("group") is None:
                self.fault("having-without-group")
        self._order(node, _Place(scope, ctes, aggregates=True, windows=True, headings=headings), outputs)
        self._limits(node)
        if scope.aggregated or node.args.get("group") is not None:
            self._check_grouping(node, scope, keys)
        return outputs

    def _join(self, join: exp.Join, ctes: Mapping[str, _Common], scope: _Scope) -> None:
        before = scope.aliases()
        added = self._source(join.this, ctes)
        on, using = join.args.get("on"), join.args.get("using")
        if on is None and not using:
            self.fault("join-without-condition")
            self._add(scope, added)
            return
        if using:
            self._using(join, using, scope, added)
            return
        self._add(scope, added)
        assert on is not None
        self._condition(on, _Place(scope, ctes))
        touched = {column.table for column in _own_columns(join.args["on"])}
        if not added.unknown and (added.alias not in touched or not touched & before):
            self.fault("join-condition-one-sided")

    def _using(self, join: exp.Join, using: Sequence[exp.Expr], scope: _Scope, added: _Source) -> None:
        """`USING (a)` as `ON left.a = right.a`, and what a bare `a` means from here on."""
        side = join.args.get("side")
        conditions: list[exp.Expr] = []
        for identifier in using:
            name = identifier.name.lower()
            left = self._lookup_here(scope, None, name)
            right = added.columns.get(name)
            if left is None or right is None or name in added.ambiguous:
                if not added.unknown and not any(source.unknown for source in scope.sources):
                    self.fault("item-not-found", item=identifier.name)
                continue
            make_left, left_type, left_column = left
            if right.use is not None:
                right.use.named.add(right.name)
            if left_column is not None and left_column.use is not None:
                left_column.use.named.add(left_column.name)
            make_right = _maker(added.alias, right.name)
            a, b = self._same_type(make_left(), left_type, make_right(), right.type)
            conditions.append(exp.EQ(this=a, expression=b))
            merged: Callable[[], exp.Expr] = make_left
            if side == "RIGHT":
                merged = make_right
            elif side == "FULL":
                merged = _coalesced(make_left, make_right)
            scope.merged[name] = (merged, left_type)
            scope.hidden_by_merge.add((added.alias, name))
        self._add(scope, added)
        join.set("using", None)
        if conditions:
            join.set("on", exp.and_(*conditions, copy=False))

    def _add(self, scope: _Scope, source: _Source) -> None:
        for other in scope.sources:
            if other.names & source.names and not (other.unknown or source.unknown):
                self.fault("name-twice", name=min(other.names & source.names))
        scope.sources.append(source)

    def _source(self, node: exp.Expr, ctes: Mapping[str, _Common]) -> _Source:
        alias = self._fresh("s")
        written = node.args.get("alias")
        name = written.name.lower() if written is not None else ""
        fresh = exp.TableAlias(this=_identifier(alias))
        if isinstance(node, exp.Subquery):
            outputs = self.query(node.this, ctes, None)
            node.set("alias", fresh)
            return _derived(frozenset((name,)) if name else frozenset(), alias, outputs)
        if not isinstance(node, exp.Table):
            self.fault("construct-refused", construct=type(node).__name__.upper())
            return _Source(frozenset(), alias, {}, unknown=True)
        called = dataset_name(node)
        if called in ctes and not node.db:
            common = ctes[called]
            node.set("this", _identifier(common.name))
            node.set("alias", fresh)
            return _derived(frozenset((name or called,)), alias, common.outputs)
        dataset = self.datasets.get(called)
        if dataset is None:
            self.fault("dataset-unknown", dataset=called)
            return _Source(frozenset((name or called,)), alias, {}, unknown=True)
        grant = self.grants.get(called)
        use = TableUse(node=node, dataset=dataset, grant=grant, alias=alias)
        self.tables.append(use)
        granted = {term.item.lower(): term.mask for term in grant.terms.items} if grant is not None else None
        columns: dict[str, _Column] = {}
        for item in dataset.items:
            key = item.name.lower()
            mask = granted.get(key) if granted is not None else None
            columns[key] = _Column(
                name=item.name,
                type=masked_type(item, mask) if mask is not None else item.type,
                use=use,
                ungranted=granted is not None and key not in granted,
                empty=mask is not None and mask.kind is MaskKind.HIDE,
            )
        names = frozenset((name,)) if name else frozenset((called, called.rpartition(".")[2]))
        node.set("alias", fresh)
        return _Source(names, alias, columns)

    # --- the parts of a SELECT ----------------------------------------------------------------------------------------

    def _projections(self, node: exp.Select, place: _Place) -> tuple[_Output, ...]:
        outputs: list[_Output] = []
        taken: set[str] = set()
        repeated: dict[str, int] = {}
        written: list[exp.Expr] = []
        if not node.expressions:
            self.fault("statement-not-understood")

        def show(name: str, expression: exp.Expr, kind: Type, empty: bool = False) -> None:
            unique = name
            while unique.lower() in taken:
                repeated[name.lower()] = repeated.get(name.lower(), 1) + 1
                unique = f"{name[:56]}_{repeated[name.lower()]}"
            ambiguous = unique != name
            if ambiguous:
                for position, earlier in enumerate(outputs):
                    if earlier.name.lower() == name.lower():
                        outputs[position] = _Output(
                            earlier.name, earlier.type, earlier.expression, earlier.hidden, ambiguous=True, empty=earlier.empty
                        )
            taken.add(unique.lower())
            written.append(exp.Alias(this=expression, alias=_identifier(unique)))
            outputs.append(_Output(unique, kind, expression, empty=empty))

        for number, projection in enumerate(list(node.expressions), start=1):
            inner = projection.unalias()
            if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
                if isinstance(projection, exp.Alias):
                    self.fault("construct-refused", construct="* AS")
                for expression, column in self._expand(inner, place.scope):
                    if len(outputs) >= self.caps.columns:
                        self.fault("statement-too-many-items", limit=self.caps.columns)
                        break
                    if column.ungranted:
                        outputs.append(_Output(column.name, column.type, hidden=column))
                    else:
                        show(column.name, expression, column.type, column.empty)
                continue
            default = _heading(inner, number)
            holder = exp.Paren(this=inner)
            kind = self._expression(holder.this, place)
            bound = holder.this
            if isinstance(projection, exp.Alias):
                show(projection.alias, bound, kind)
            else:
                show(bound.name if isinstance(bound, exp.Column) else default, bound, kind)
        node.set("expressions", written)
        return tuple(outputs)

    def _expand(self, star: exp.Expr, scope: _Scope) -> Iterator[tuple[exp.Expr, _Column]]:
        """What a star stands for: granted items only; the others come as `ungranted`, for names to be found and refused."""
        if not scope.sources:
            self.fault("star-without-source")
        sources = scope.sources
        whole = not isinstance(star, exp.Column)
        if isinstance(star, exp.Column):
            wanted = _qualifier(star)
            sources = [source for source in scope.sources if wanted in source.names]
            if not sources:
                self.fault("source-unknown", source=wanted or "*")
        for source in sources:
            for key, column in source.columns.items():
                if whole and (source.alias, key) in scope.hidden_by_merge:
                    continue
                self._starred += 1
                if self._starred > self.caps.columns:
                    self.fault("statement-too-many-items", limit=self.caps.columns)
                    return
                if column.use is not None and not column.ungranted:
                    column.use.starred.add(column.name)
                expression: exp.Expr = _column(source.alias, column.name)
                if whole and key in scope.merged:
                    expression = scope.merged[key][0]()
                yield expression, column
            if not source.unknown and not any(True for _ in source.visible()):
                self.fault("star-without-items")

    def _group(self, node: exp.Select, place: _Place, outputs: Sequence[_Output]) -> list[exp.Expr]:
        """The expressions that a grouped query may show outside aggregates."""
        group = node.args.get("group")
        if group is None:
            return []
        shown = [output for output in outputs if output.hidden is None]
        keys: list[exp.Expr] = []
        for key in map(_without_brackets, list(group.expressions)):
            if _is_number(key):
                if not self._is_position(key, len(shown)):
                    self.fault("order-position-invalid", outputs=len(shown))
                    continue
                expression = shown[int(key.this) - 1].expression
                if expression is not None:
                    keys.append(expression)
                continue
            if isinstance(key, exp.Column) and not key.table and not self._means_item(place.scope, key.name.lower()):
                position = self._position(key.name, shown)
                if position is not None:
                    expression = shown[position - 1].expression
                    if expression is not None:
                        keys.append(expression)
                    key.replace(exp.Literal.number(position))
                    continue
            at = group.expressions.index(key)
            self._expression(key, place)
            keys.append(group.expressions[at])
        for expression in keys:
            if any(isinstance(part, (*AGGREGATES, exp.Window)) for part in expression.walk()):
                self.fault("function-misplaced", clause="GROUP BY")
        return keys

    def _means_item(self, scope: _Scope, name: str) -> bool:
        """Whether a bare name means a granted item here, rather than a heading."""
        found = self._lookup(scope, None, name)
        return found is not None and (found[2] is None or not found[2].ungranted)

    def _order(self, node: exp.Select, place: _Place, outputs: Sequence[_Output]) -> None:
        order = node.args.get("order")
        if order is None:
            return
        shown = [output for output in outputs if output.hidden is None]
        for ordered in order.expressions:
            key = _without_brackets(ordered.this)
            if _is_number(key) or isinstance(key, exp.Null | exp.Boolean):
                if not self._is_position(key, len(shown)):
                    self.fault("order-position-invalid", outputs=len(shown))
                continue
            if isinstance(key, exp.Column) and not key.table:
                position = self._position(key.name, shown)
                if position is not None:
                    key.replace(exp.Literal.number(position))
                    continue
            self._expression(key, place)
            bound = ordered.this
            same = next((number for number, output in enumerate(shown, 1) if output.expression == bound), None)
            if same is not None:
                bound.replace(exp.Literal.number(same))
            elif node.args.get("distinct") is not None:
                self.fault("order-not-selected")

    def _limits(self, node: exp.Expr) -> None:
        for name in ("limit", "offset"):
            part = node.args.get(name)
            if part is not None:
                amount = part.expression
                if not isinstance(amount, exp.Literal) or amount.is_string or not amount.this.isdigit() or len(amount.this) > 18:
                    self.fault("limit-not-a-number")

    def _check_grouping(self, node: exp.Select, scope: _Scope, keys: Sequence[exp.Expr]) -> None:
        """Outside aggregates a grouped query may show its keys only."""
        aliases = scope.aliases()
        known = set(keys)
        roots: list[exp.Expr] = [projection.this for projection in node.expressions]
        if node.args.get("having") is not None:
            roots.append(node.args["having"].this)
        if node.args.get("order") is not None:
            roots.extend(ordered.this for ordered in node.args["order"].expressions)
        for root in roots:
            for column in _ungrouped(root, known):
                if column.table in aliases:
                    self.fault("item-not-grouped", item=column.name)

    @staticmethod
    def _position(name: str, outputs: Sequence[_Output]) -> int | None:
        wanted = name.lower()
        found = [number for number, output in enumerate(outputs, 1) if output.name.lower() == wanted]
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _is_position(key: exp.Expr, outputs: int) -> bool:
        return (
            isinstance(key, exp.Literal)
            and not key.is_string
            and key.this.isdigit()
            and len(key.this) < 5
            and 1 <= int(key.this) <= outputs
        )

    # --- names --------------------------------------------------------------------------------------------------------

    def _lookup_here(
        self, scope: _Scope, qualifier: str | None, name: str
    ) -> tuple[Callable[[], exp.Expr], Type, _Column | None] | None:
        """What the name means in this scope alone; None if nothing."""
        if qualifier is None and name in scope.merged:
            make, kind = scope.merged[name]
            return make, kind, None
        found: list[tuple[_Source, _Column]] = []
        for source in scope.sources:
            if qualifier is not None and qualifier not in source.names:
                continue
            column = source.columns.get(name)
            if column is not None:
                if name in source.ambiguous:
                    self.fault("item-ambiguous", item=name)
                found.append((source, column))
        if not found:
            return None
        granted = [pair for pair in found if not pair[1].ungranted]
        if len(granted) == 1:
            found = granted
        if len(found) > 1:
            self.fault("item-ambiguous", item=name)
        source, column = found[0]
        return _maker(source.alias, column.name), column.type, column

    def _lookup(
        self, scope: _Scope | None, qualifier: str | None, name: str
    ) -> tuple[Callable[[], exp.Expr], Type, _Column | None] | None:
        """What the name means here or in a statement around this one."""
        while scope is not None:
            found = self._lookup_here(scope, qualifier, name)
            if found is not None:
                return found
            scope = scope.outer
        return None

    def _bind(self, node: exp.Expr, place: _Place) -> Type:
        assert isinstance(node, exp.Column)
        if isinstance(node.this, exp.Star):
            self.fault("construct-refused", construct="*")
            return None
        if node.args.get("catalog"):
            self.fault("name-path-refused", name=node.name)
            return None
        name, qualifier = node.name.lower(), _qualifier(node)
        found = self._lookup(place.scope, qualifier, name)
        heading = place.headings.get(name) if qualifier is None else None
        if found is not None and heading is not None and found[2] is not None and found[2].ungranted:
            found = None
        if found is None:
            if heading is not None:
                assert heading.expression is not None
                self._put_heading(node, heading.expression)
                return heading.type
            self._unknown(node, qualifier, place.scope)
            return None
        make, kind, column = found
        if column is not None and column.use is not None:
            column.use.named.add(column.name)
        bound = make()
        if isinstance(bound, exp.Column):
            node.set("this", bound.this)
            node.set("table", bound.args["table"])
            node.set("db", None)
        else:
            node.replace(bound)
        return kind

    def _put_heading(self, node: exp.Column, heading: exp.Expr) -> None:
        """The expression that a heading stands for, in its place; so often and no more.

        A heading with a query inside is not copied: each table of the tree is bound and governed once."""
        if heading.find(exp.Query) is not None:
            self.fault("heading-with-query", item=node.name)
            return
        self._copied += sum(1 for _ in heading.walk())
        if self._copied > self.caps.nodes:
            self.fault("statement-too-large", limit=self.caps.nodes)
            return
        node.replace(exp.Paren(this=heading.copy()))

    def _unknown(self, node: exp.Column, qualifier: str | None, scope: _Scope | None) -> None:
        here, known = scope, False
        while here is not None:
            for source in here.sources:
                if source.unknown and (qualifier is None or qualifier in source.names):
                    return
                known = known or (qualifier is not None and qualifier in source.names)
            here = here.outer
        if qualifier is not None and not known:
            self.fault("source-unknown", source=qualifier)
        else:
            self.fault("item-not-found", item=node.name)

    # --- expressions --------------------------------------------------------------------------------------------------

    def _expression(self, node: exp.Expr, place: _Place) -> Type:
        """Bind everything below `node` and say its type."""
        handler = self._handlers.get(type(node))
        if handler is not None:
            return handler(node, place)
        self._children(node, place)
        return _RETURNS.get(type(node))

    def _children(self, node: exp.Expr, place: _Place, leave_out: Sequence[str] = ()) -> list[Type]:
        kinds: list[Type] = []
        for name, value in list(node.args.items()):
            if name in leave_out:
                continue
            if isinstance(value, list):
                kinds.extend(self._expression(part, place) for part in list(value) if isinstance(part, exp.Expr))
            elif isinstance(value, exp.Expr):
                kinds.append(self._expression(value, place))
        return kinds

    def _condition(self, node: exp.Expr, place: _Place) -> None:
        """Bind what must be true or false."""
        if self._expression(node, place) not in (None, _BOOLEAN):
            self.fault("condition-expected")

    def logical(self, node: exp.Expr, place: _Place) -> Type:
        for name in ("this", "expression"):
            part = node.args.get(name)
            if isinstance(part, exp.Expr):
                self._condition(part, place)
        return _BOOLEAN

    def _unified(self, kinds: Iterable[Type]) -> Type:
        """The type of a value that is one of several: text beside something else would be converted row by row, and could fail."""
        known = {kind for kind in kinds if kind is not None}
        if len(known) <= 1:
            return next(iter(known), None)
        if known == {_INTEGER, _DECIMAL}:
            return _DECIMAL
        if known == {_DATE, _INSTANT}:
            return _INSTANT
        self.fault("types-mixed", types=", ".join(sorted(kind.value for kind in known)))
        return None

    def chosen(self, node: exp.Expr, place: _Place) -> Type:
        """coalesce, greatest, least, nullif: one of several values."""
        return self._unified(self._children(node, place))

    def case(self, node: exp.Expr, place: _Place) -> Type:
        kinds: list[Type] = []
        subject = node.this if isinstance(node, exp.Case) else None
        subject_type = self._expression(subject, place) if subject is not None else None
        branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
        for branch in branches:
            if subject is None:
                self._condition(branch.this, place)
            else:
                self._unified((subject_type, self._expression(branch.this, place)))
            kinds.append(self._expression(branch.args["true"], place))
        otherwise = node.args.get("default") or node.args.get("false")
        if isinstance(otherwise, exp.Expr):
            kinds.append(self._expression(otherwise, place))
        return self._unified(kinds)

    def number(self, node: exp.Expr, place: _Place) -> Type:
        """Functions of one number."""
        kind = self._expression(node.this, place)
        if kind in (_TEXT, _DATE, _INSTANT, _BOOLEAN):
            self.fault("number-expected", function=_called(node))
        decimals = node.args.get("decimals")
        if isinstance(decimals, exp.Expr):
            self._expression(decimals, place)
        if isinstance(node, exp.Sign):
            return _INTEGER
        return _DECIMAL if isinstance(node, exp.Sqrt | exp.Ln) else kind

    def literal(self, node: exp.Expr, _place: _Place) -> Type:
        if node.args.get("is_string"):
            return _TEXT
        return _INTEGER if node.this.isdigit() else _DECIMAL

    def nothing(self, _node: exp.Expr, _place: _Place) -> Type:
        return None

    def star(self, _node: exp.Expr, _place: _Place) -> Type:
        self.fault("construct-refused", construct="*")
        return None

    def passed(self, node: exp.Expr, place: _Place) -> Type:
        return self._expression(node.this, place)

    def subquery(self, node: exp.Expr, place: _Place) -> Type:
        """A query that stands for one value."""
        if node.args.get("alias") is not None:
            node.set("alias", None)
        shown = [output for output in self.query(node, place.ctes, place.scope) if output.hidden is None]
        if len(shown) != 1:
            self.fault("subquery-not-one-item", outputs=len(shown))
            return None
        return shown[0].type

    def exists(self, node: exp.Expr, place: _Place) -> Type:
        if not isinstance(node.this, exp.Select | exp.SetOperation | exp.Subquery):
            self.fault("construct-refused", construct="EXISTS")
            return _BOOLEAN
        self.query(node.this, place.ctes, place.scope)
        return _BOOLEAN

    def cast(self, node: exp.Expr, place: _Place) -> Type:
        self._expression(node.this, place)
        to = node.args["to"]
        inner = node.this
        if isinstance(inner, exp.Literal) and inner.is_string:
            if to.this is exp.DType.DATE:
                self._check_instant(inner.this, date.fromisoformat)
            elif to.this in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ):
                self._check_instant(inner.this, datetime.fromisoformat)
        node.replace(exp.TryCast(this=inner, to=to.copy()))
        return _CASTS.get(to.this)

    def _check_instant(self, text: str, read: Callable[[str], object]) -> None:
        try:
            read(text)
        except ValueError:
            self.fault("date-literal-invalid")

    def interval(self, node: exp.Expr, _place: _Place) -> Type:
        amount = node.this
        if (
            not isinstance(amount, exp.Literal)
            or re.fullmatch(r"-?\d{1,6}", amount.this) is None
            or not isinstance(node.args.get("unit"), exp.Var)
            or not isinstance(node.parent, exp.Add | exp.Sub)
        ):
            self.fault("interval-refused")
        return None

    def _as_type(self, node: exp.Expr, kind: ItemType) -> exp.Expr:
        """The node, read as `kind` where it can be and NULL where it cannot."""
        return self._cast(node, sql_type(kind))

    @staticmethod
    def _cast(node: exp.Expr, to: exp.DataType) -> exp.Expr:
        cast = exp.TryCast(this=exp.Null(), to=to)
        if node.parent is not None:
            node.replace(cast)
        cast.set("this", node)
        return cast

    def _same_type(self, a: exp.Expr, kind_a: Type, b: exp.Expr, kind_b: Type) -> tuple[exp.Expr, exp.Expr]:
        """Text beside another type is read as that type, so that no row's value can make the engine fail."""
        if kind_a is kind_b or kind_a is None or kind_b is None:
            return a, b
        if _TEXT not in (kind_a, kind_b):
            self._unified((kind_a, kind_b))
            return a, b
        text, other = (a, kind_b) if kind_a is _TEXT else (b, kind_a)
        if isinstance(text, exp.Literal) and other in (_DATE, _INSTANT):
            self._check_instant(text.this, datetime.fromisoformat)
        made = self._as_type(text, other)
        return (made, b) if text is a else (a, made)

    def comparison(self, node: exp.Expr, place: _Place) -> Type:
        if isinstance(node.this, _COMPARISONS) or isinstance(node.expression, _COMPARISONS):
            self.fault("comparison-chained")
        kind_a = self._expression(node.this, place)
        kind_b = self._expression(node.expression, place)
        self._same_type(node.this, kind_a, node.expression, kind_b)
        return _BOOLEAN

    def between(self, node: exp.Expr, place: _Place) -> Type:
        kind = self._expression(node.this, place)
        for name in ("low", "high"):
            other = self._expression(node.args[name], place)
            self._same_type_of(node, name, kind, other)
        return _BOOLEAN

    def _same_type_of(self, node: exp.Expr, name: str, kind: Type, other: Type) -> None:
        value = node.args[name]
        if kind is not None and other is _TEXT and kind is not _TEXT:
            if isinstance(value, exp.Literal) and kind in (_DATE, _INSTANT):
                self._check_instant(value.this, datetime.fromisoformat)
            self._as_type(value, kind)
        elif kind is _TEXT and other is not None and other is not _TEXT:
            self._as_type(value, _TEXT)
        else:
            self._unified((kind, other))

    def within(self, node: exp.Expr, place: _Place) -> Type:
        kind = self._expression(node.this, place)
        query = node.args.get("query")
        if query is not None:
            if not isinstance(query, exp.Subquery):
                query = exp.Subquery(this=query)
                node.set("query", query)
            other = self.subquery(query, place)
            if kind is not None and other is not None and kind is not other and _TEXT in (kind, other):
                self._as_type(node.this, other)
            return _BOOLEAN
        for value in list(node.expressions):
            other = self._expression(value, place)
            position = next((at for at, entry in enumerate(node.expressions) if entry is value), None)
            bound = value if position is not None else None
            if bound is not None and kind is not None and other is not None and kind is not other and _TEXT in (kind, other):
                if isinstance(bound, exp.Literal) and kind in (_DATE, _INSTANT):
                    self._check_instant(bound.this, datetime.fromisoformat)
                self._as_type(bound, kind)
            else:
                self._unified((kind, other))
        return _BOOLEAN

    def arithmetic(self, node: exp.Expr, place: _Place) -> Type:
        a = self._expression(node.this, place)
        b = self._expression(node.expression, place)
        if isinstance(node.this, exp.Interval) or isinstance(node.expression, exp.Interval):
            return _INSTANT if a in (_DATE, _INSTANT) or b in (_DATE, _INSTANT) else None
        if _TEXT in (a, b):
            self.fault("text-in-arithmetic")
            return None
        if _DATE in (a, b) and isinstance(node, exp.Add | exp.Sub) and {a, b} <= {_DATE, _INTEGER, None}:
            for days, kind in ((node.this, a), (node.expression, b)):
                if kind is _INTEGER:
                    self._cast(days, exp.DataType(this=exp.DType.INT, nested=False))
            return _INTEGER if a is b else _DATE
        if not {a, b} <= {_INTEGER, _DECIMAL, None}:
            self.fault("number-expected", function=_called(node))
            return None
        if isinstance(node, exp.Div):
            return _DECIMAL
        if a is None or b is None:
            return None
        return _DECIMAL if _DECIMAL in (a, b) else _INTEGER if a is b is _INTEGER else None

    def text(self, node: exp.Expr, place: _Place) -> Type:
        """Functions of text: anything else is read as text first, so a pseudonym is matched as its token, never as an error."""
        for name in ("this", "expression", "replacement", "substr"):
            value = node.args.get(name)
            if isinstance(value, exp.Expr):
                kind = self._expression(value, place)
                is_number = isinstance(node, exp.Left | exp.Right) and name == "expression"
                if kind is not None and kind is not _TEXT and not is_number:
                    self._as_type(node.args[name], _TEXT)
        for name in ("start", "length"):
            value = node.args.get(name)
            if isinstance(value, exp.Expr):
                self._expression(value, place)
        if isinstance(node, exp.Length | exp.StrPosition):
            return _INTEGER
        return _BOOLEAN if isinstance(node, exp.StartsWith | exp.EndsWith | exp.Contains | exp.Like | exp.ILike) else _TEXT

    def concatenation(self, node: exp.Expr, place: _Place) -> Type:
        self._children(node, place)
        return _TEXT

    def extract(self, node: exp.Expr, place: _Place) -> Type:
        if not isinstance(node.this, exp.Var):
            self.fault("unit-refused", units="year, month, day")
        kind = self._expression(node.expression, place)
        if kind is _TEXT:
            self._as_type(node.expression, _DATE)
        elif kind not in (None, _DATE, _INSTANT):
            self.fault("date-expected", function="extract")
        return _INTEGER

    def calendar(self, node: exp.Expr, place: _Place) -> Type:
        """Functions of a date: text is read as a date where it can be."""
        for name in ("this", "expression"):
            value = node.args.get(name)
            if isinstance(value, exp.Expr):
                kind = self._expression(value, place)
                if kind is _TEXT:
                    self._as_type(node.args[name], _DATE)
                elif kind in (_INTEGER, _DECIMAL):
                    self.fault("date-expected", function=_called(node))
        unit = node.args.get("unit")
        if isinstance(node, exp.DateTrunc) and isinstance(unit, exp.Literal) and unit.this.upper() in UNITS:
            unit.replace(exp.Literal.string(unit.this.upper()))
        elif isinstance(node, exp.TimestampTrunc | exp.DateTrunc | exp.DateDiff) and not isinstance(unit, exp.Var):
            self.fault("unit-refused", units="year, month, day")
        if isinstance(node, exp.TimeToStr):
            form = node.args.get("format")
            if (
                not isinstance(form, exp.Literal)
                or not form.is_string
                or re.fullmatch(r"(%[YmdHMS%]|[^%])*", form.this) is None
            ):
                self.fault("date-format-refused")
            return _TEXT
        if isinstance(node, exp.TimestampTrunc | exp.DateTrunc):
            return _INSTANT
        return _DATE if isinstance(node, exp.LastDay) else _INTEGER

    def aggregate(self, node: exp.Expr, place: _Place) -> Type:
        if not place.aggregates:
            self.fault("function-misplaced", clause=_called(node))
        place.scope.aggregated = True
        kind = self._aggregate(node, _Place(place.scope, place.ctes))
        inside = {column.table for column in _own_columns(node)} - {""}
        if inside and not inside & place.scope.aliases():
            self.fault("function-misplaced", clause=_called(node))
        return kind

    def _aggregate(self, node: exp.Expr, inside: _Place) -> Type:
        inner = node.this
        if isinstance(node, exp.Count) and (inner is None or isinstance(inner, exp.Star)):
            node.set("this", exp.Star())
            return _INTEGER
        if isinstance(inner, exp.Distinct):
            if len(inner.expressions) != 1:
                self.fault("distinct-not-one")
                return None
            kind = self._expression(inner.expressions[0], inside)
        else:
            kind = self._expression(inner, inside)
        if isinstance(node, exp.PercentileCont):
            share = node.args.get("expression")
            if not isinstance(share, exp.Literal) or share.is_string or not 0 <= float(share.this) <= 1:
                self.fault("quantile-refused")
        elif isinstance(node, exp.Corr):
            self._expression(node.expression, inside)
        if isinstance(node, exp.Count | exp.CountIf):
            return _INTEGER
        if isinstance(node, exp.Min | exp.Max):
            return kind
        if not (isinstance(node, exp.Median | exp.PercentileCont) or (isinstance(node, exp.Sum | exp.Avg) and kind is _INTEGER)):
            self.inexact = True
        if kind in (_TEXT, _DATE, _INSTANT, _BOOLEAN):
            self.fault("number-expected", function=_called(node))
        return kind if isinstance(node, exp.Sum) else _DECIMAL

    def filtered(self, node: exp.Expr, place: _Place) -> Type:
        if type(node.this) not in AGGREGATES or not isinstance(node.expression, exp.Where):
            self.fault("construct-refused", construct="FILTER")
            return None
        self._condition(node.expression.this, _Place(place.scope, place.ctes))
        return self._expression(node.this, place)

    def ranking(self, node: exp.Expr, _place: _Place) -> Type:
        self.fault("function-needs-window", function=_called(node))
        return None

    def window(self, node: exp.Expr, place: _Place) -> Type:
        if not place.windows:
            self.fault("function-misplaced", clause="OVER")
        called = node.this
        inside = _Place(place.scope, place.ctes, aggregates=place.aggregates)
        order = node.args.get("order")
        kind: Type = None
        target = called.this if isinstance(called, exp.Filter) else called
        if isinstance(called, exp.Filter) and isinstance(called.expression, exp.Where):
            self._condition(called.expression.this, inside)
        if type(target) in RANKINGS:
            if order is None:
                self.fault("window-without-order", function=_called(target))
            kinds = self._children(target, inside)
            kind = kinds[0] if isinstance(target, exp.Lag | exp.Lead | exp.FirstValue | exp.LastValue) and kinds else _INTEGER
            for name in ("offset", "this") if isinstance(target, exp.Ntile | exp.Lag | exp.Lead) else ():
                value = target.args.get(name)
                if name == "this" and not isinstance(target, exp.Ntile):
                    continue
                if value is not None and not (isinstance(value, exp.Literal) and value.this.isdigit()):
                    self.fault("limit-not-a-number")
        elif type(target) in AGGREGATES:
            kind = self._aggregate(target, inside)
        else:
            self.fault("construct-refused", construct="OVER")
        for part in list(node.args.get("partition_by") or ()):
            self._expression(part, inside)
        spec = node.args.get("spec")
        if spec is not None:
            if order is None:
                self.fault("window-without-order", function=_called(target))
            for name in ("start", "end"):
                bound = spec.args.get(name)
                if isinstance(bound, exp.Expr) and not (isinstance(bound, exp.Literal) and bound.this.isdigit()):
                    self.fault("limit-not-a-number")
        if order is not None:
            for ordered in order.expressions:
                self._expression(ordered.this, inside)
            if not any(not self._is_empty(column, place.scope) for column in _own_columns(order)):
                self.fault("window-without-order", function=_called(target))
        return kind

    @staticmethod
    def _is_empty(column: exp.Column, scope: _Scope | None) -> bool:
        """Whether the bound column is hidden, and so orders nothing."""
        while scope is not None:
            for source in scope.sources:
                if source.alias == column.table:
                    found = source.columns.get(column.name.lower())
                    return found is not None and found.empty
            scope = scope.outer
        return False


# --- helpers ----------------------------------------------------------------------------------------------------------


_OWN_CLAUSES = ("order", "limit", "offset", "with_")
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)


def _handlers(binder: _Binder) -> dict[type[exp.Expr], Callable[[exp.Expr, _Place], Type]]:
    found: dict[type[exp.Expr], Callable[[exp.Expr, _Place], Type]] = {
        exp.Column: binder._bind,
        exp.Star: binder.star,
        exp.Literal: binder.literal,
        exp.Var: binder.nothing,
        exp.DataType: binder.nothing,
        exp.Paren: binder.passed,
        exp.Subquery: binder.subquery,
        exp.Select: binder.subquery,
        exp.Union: binder.subquery,
        exp.Intersect: binder.subquery,
        exp.Except: binder.subquery,
        exp.Exists: binder.exists,
        exp.Cast: binder.cast,
        exp.TryCast: binder.cast,
        exp.Interval: binder.interval,
        exp.Between: binder.between,
        exp.In: binder.within,
        exp.Extract: binder.extract,
        exp.Filter: binder.filtered,
        exp.Window: binder.window,
        exp.Concat: binder.concatenation,
        exp.ConcatWs: binder.concatenation,
        exp.DPipe: binder.concatenation,
    }
    groups: Sequence[tuple[Callable[[exp.Expr, _Place], Type], Sequence[type[exp.Expr]]]] = (
        (binder.comparison, _COMPARISONS),
        (binder.chosen, (exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif)),
        (binder.case, (exp.Case, exp.If)),
        (binder.number, (exp.Neg, exp.Abs, exp.Round, exp.Floor, exp.Ceil, exp.Sign, exp.Sqrt, exp.Ln)),
        (binder.logical, (exp.And, exp.Or, exp.Not)),
        (binder.arithmetic, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow)),
        (binder.text, (exp.Like, exp.ILike, exp.Length, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Left, exp.Right)),
        (binder.text, (exp.Replace, exp.StartsWith, exp.EndsWith, exp.Contains, exp.StrPosition, exp.Reverse)),
        (binder.calendar, (exp.Year, exp.Month, exp.Day, exp.Quarter, exp.TimestampTrunc, exp.DateTrunc)),
        (binder.calendar, (exp.DateDiff, exp.LastDay, exp.TimeToStr)),
        (binder.aggregate, tuple(AGGREGATES)),
        (binder.ranking, tuple(RANKINGS)),
    )
    for handler, kinds in groups:
        found.update(dict.fromkeys(kinds, handler))
    return found


_RETURNS: Mapping[type[exp.Expr], ItemType] = {exp.Is: _BOOLEAN, exp.Boolean: _BOOLEAN}

_CASTS: Mapping[exp.DType, ItemType] = {
    exp.DType.TEXT: _TEXT,
    exp.DType.VARCHAR: _TEXT,
    exp.DType.INT: _INTEGER,
    exp.DType.BIGINT: _INTEGER,
    exp.DType.SMALLINT: _INTEGER,
    exp.DType.DOUBLE: _DECIMAL,
    exp.DType.DECIMAL: _DECIMAL,
    exp.DType.BOOLEAN: _BOOLEAN,
    exp.DType.DATE: _DATE,
    exp.DType.TIMESTAMP: _INSTANT,
    exp.DType.TIMESTAMPNTZ: _INSTANT,
}


def _maker(alias: str, name: str) -> Callable[[], exp.Expr]:
    return lambda: _column(alias, name)


def _coalesced(left: Callable[[], exp.Expr], right: Callable[[], exp.Expr]) -> Callable[[], exp.Expr]:
    return lambda: exp.Coalesce(this=left(), expressions=[right()])


def _derived(names: frozenset[str], alias: str, outputs: Sequence[_Output]) -> _Source:
    columns: dict[str, _Column] = {}
    ambiguous = frozenset(output.name.lower() for output in outputs if output.ambiguous)
    for output in outputs:
        if output.hidden is not None:
            columns.setdefault(output.name.lower(), output.hidden)
    for output in outputs:
        if output.hidden is None:
            columns[output.name.lower()] = _Column(output.name, output.type, empty=output.empty)
    return _Source(names, alias, columns, ambiguous, unknown=not outputs)


def _qualifier(node: exp.Column) -> str | None:
    """The written source of a column in small letters: `p`, `civil.person` or None."""
    if not node.table:
        return None
    return f"{node.args['db'].name}.{node.table}".lower() if node.args.get("db") is not None else node.table.lower()


def _without_brackets(key: exp.Expr) -> exp.Expr:
    """The key inside the brackets around it, in whose place it then stands: the engine reads `(1)` as it reads `1`."""
    while isinstance(key, exp.Paren):
        inner = key.this
        key.replace(inner)
        key = inner
    return key


def _is_number(key: exp.Expr) -> bool:
    """Whether a key is a written value: the engine takes it for the place of an output, also a negative one, or refuses it."""
    while isinstance(key, exp.Neg | exp.Paren):
        key = key.this
    return isinstance(key, exp.Literal)


def _own_columns(node: exp.Expr) -> Iterator[exp.Column]:
    """Columns below `node`, not those of queries inside it."""
    for part in node.walk(prune=lambda inner: isinstance(inner, exp.Select | exp.SetOperation | exp.Subquery)):
        if isinstance(part, exp.Column):
            yield part


def _ungrouped(node: exp.Expr, keys: set[exp.Expr]) -> Iterator[exp.Column]:
    """Columns of this query that stand neither in a key nor in an aggregate."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part in keys or isinstance(part, exp.Select | exp.SetOperation | exp.Subquery):
            continue
        if isinstance(part, exp.Filter) or (type(part) in AGGREGATES and not isinstance(part.parent, exp.Window)):
            continue
        if isinstance(part, exp.Column):
            yield part
            continue
        for value in part.args.values():
            if isinstance(value, exp.Expr):
                waiting.append(value)
            elif isinstance(value, list):
                waiting.extend(entry for entry in value if isinstance(entry, exp.Expr))


def _called(node: exp.Expr) -> str:
    return node.sql_name().lower() if isinstance(node, exp.Func) else type(node).__name__.lower()


def _heading(node: exp.Expr, number: int) -> str:
    """The heading of an expression without an alias: the function and the one item it is about, or its place."""
    if isinstance(node, exp.Window):
        node = node.this
    if isinstance(node, exp.Filter):
        node = node.this
    if isinstance(node, exp.Func) and not isinstance(node, exp.Cast | exp.Case | exp.If | exp.And | exp.Or):
        columns = list(_own_columns(node))
        name = _called(node)
        if len(columns) == 1 and not isinstance(columns[0].this, exp.Star):
            name = f"{name}_{columns[0].name}"
        return name[:58]
    return f"item_{number}"
