"""Pseudonyms that a statement never tells: those that it only compares with each other, groups by or counts.

Tokens of one linkage group are one-to-one with identifiers (a collision keeps a side table from being built, and a side table covers every
identifier of the snapshot), so all of that has the same result on the identifiers themselves, without the join of every row with a side
table. An item of a mention is taken as it lies only if nothing in the whole statement could tell more of it than that two are the same:
it is in no output of the statement, in no order, no expression and no comparison with anything but another such item of the same group.
`huitong.gateway.verify` proves this once more on the SQL that was made of it.

An identifier also decides where the engine's hash puts it, and hashes are no secret: where rows stand in no order, and some of them are
picked out, the pick would tell of the identifier. So where anything in a statement could pick rows by where they stand, the identifiers
are taken together with a text that is random in each run (`Untold.salted`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from huitong.gateway.allowed import AGGREGATES
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.resolve import Resolution, TableUse
from huitong.gateway.rewrite.physical import columns_of
from huitong.masks import needs_token
from huitong.model.catalog import ItemType
from huitong.model.policy import Mode

Key = tuple[str, str]
"""An item of a source: the alias of the source and the item's name in small letters."""
_QUERIES = (exp.Select, exp.SetOperation)
_SAME = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ)
_OF_THE_ROWS_ALONE = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)
"""Windows whose value does not depend on how rows with equal keys stand."""


@dataclass(frozen=True)
class Untold:
    """Which items need no token, mention by mention."""

    items: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Alias of the mention -> names of items."""
    salted: bool = False
    """Whether identifiers must be taken with a text that is random in each run."""
    total_order: bool = False
    """Whether the statement's groups must be put into an order that leaves nothing open before they are cut."""

    def of(self, use: TableUse) -> frozenset[str]:
        """The names of the items of the mention that need no token."""
        return self.items.get(use.alias, frozenset())


def untold(resolution: Resolution, tree: exp.Query, parts: Mapping[str, DatasetPlan]) -> Untold:
    """The pseudonyms of the bound statement `tree` that it never tells."""
    groups = {
        (use.alias, item.name.lower()): part.grant.terms.linkage_group
        for use in resolution.tables
        if (part := parts.get(use.dataset.id)) is not None and part.grant.terms.mode is Mode.ROWS
        for item in part.described.items
        if item.name in use.items
        and item.type is ItemType.TEXT
        and columns_of(part).get(item.name) is ItemType.TEXT
        and any(term.item.lower() == item.name.lower() and needs_token(term.mask) for term in part.grant.terms.items)
    }
    if not groups:
        return Untold()
    flow = _Flow(resolution, tree, groups)
    found = flow.untold()
    if not found:
        return Untold()
    items: dict[str, frozenset[str]] = {}
    for use in resolution.tables:
        names = frozenset(name for name in use.items if (use.alias, name.lower()) in found)
        if names:
            items[use.alias] = names
    if not items:
        return Untold()
    grouped = isinstance(tree, exp.Select) and tree.args.get("group") is not None
    if _rows_may_be_picked(tree) or (resolution.inexact and not flow.counted_on_top(found, tree)):
        return Untold(items, salted=True)
    return Untold(items, total_order=grouped)


def _rows_may_be_picked(tree: exp.Query) -> bool:
    """Whether anything in the statement depends on how rows stand that nobody put into an order."""
    if not isinstance(tree, exp.Select):
        return True
    grouped = tree.args.get("group") is not None
    if not grouped and not any(_is_aggregate(node) for node in _own(tree)):
        return True
    for node in tree.walk():
        if isinstance(node, exp.Limit | exp.Offset) and node.parent is not tree:
            return True
        if isinstance(node, exp.Window):
            called = node.this.this if isinstance(node.this, exp.Filter) else node.this
            spec = node.args.get("spec")
            if type(called) not in (*_OF_THE_ROWS_ALONE, *AGGREGATES) or (spec is not None and spec.args.get("kind") != "RANGE"):
                return True
    return False


def _own(tree: exp.Select) -> Iterator[exp.Expr]:
    """Every node of the statement's own select list and HAVING, not those of queries inside."""
    for root in (*tree.expressions, tree.args.get("having")):
        if root is not None:
            yield from root.walk(prune=lambda node: isinstance(node, (*_QUERIES, exp.Subquery)))


def _is_aggregate(node: exp.Expr) -> bool:
    """Whether it is a total over all rows of a query, and not over a window of each."""
    holder = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return type(node) in AGGREGATES and not isinstance(holder, exp.Window)


class _Flow:
    """Where each item of each source comes from and what is done with it: items that are the same, or are compared, are one class; a class
    of which anything could be told is spoiled as a whole."""

    def __init__(self, resolution: Resolution, tree: exp.Query, groups: Mapping[Key, str]) -> None:
        self._groups = groups
        self._parents: dict[Key, Key] = {}
        self._spoiled: set[Key] = set()
        self._mentions = {use.alias for use in resolution.tables}
        self._columns = [node for node in tree.find_all(exp.Column) if not isinstance(node.this, exp.Star)]
        common = {cte.alias: cte.this for cte in tree.find_all(exp.CTE)}
        for node in tree.find_all(exp.Table, exp.Subquery):
            if node.alias and node.alias not in self._mentions and isinstance(node.parent, exp.From | exp.Join):
                query = common.get(node.name) if isinstance(node, exp.Table) else node.this
                if query is not None:
                    self._derive(node.alias, query)
        for query in tree.find_all(*_QUERIES):
            self._order(query)
            if isinstance(query, exp.SetOperation):
                self._branches(query)
        for column in self._columns:
            self._occurrence(column)

    def untold(self) -> frozenset[Key]:
        """The items of mentions that are in no spoiled class, and whose class has one linkage group alone."""
        members: dict[Key, list[Key]] = {}
        for key in {*self._groups, *self._parents, *map(_key, self._columns)}:
            members.setdefault(self._root(key), []).append(key)
        spoiled = {self._root(key) for key in self._spoiled}
        found: set[Key] = set()
        for root, keys in members.items():
            roots = [key for key in keys if key[0] in self._mentions]
            if root in spoiled or not roots or not all(key in self._groups for key in roots):
                continue
            if len({self._groups[key] for key in roots}) == 1:
                found.update(roots)
        return frozenset(found)

    def counted_on_top(self, found: frozenset[Key], tree: exp.Query) -> bool:
        """Whether all of them are only counted, and that by the statement itself: then no total is made of rows that come as they hash."""
        wanted = {self._root(key) for key in found}
        for column in self._columns:
            if self._root(_key(column)) in wanted:
                holder = column.parent.parent if isinstance(column.parent, exp.Distinct) else column.parent
                if not isinstance(holder, exp.Count) or holder.parent_select is not tree or isinstance(holder.parent, exp.Window):
                    return False
        return True

    def _root(self, key: Key) -> Key:
        while (above := self._parents.get(key, key)) != key:
            key = above
        return key

    def _join(self, one: Key, other: Key) -> None:
        a, b = self._root(one), self._root(other)
        self._parents.setdefault(one, a)
        self._parents.setdefault(other, b)
        self._parents[a] = b

    def _spoil(self, key: Key) -> None:
        self._parents.setdefault(key, self._root(key))
        self._spoiled.add(key)

    def _derive(self, alias: str, query: exp.Expr) -> None:
        """What a source that is a query shows is what its outputs are."""
        for name, expressions in _outputs(query):
            for expression in expressions:
                bare = _bare(expression)
                if isinstance(bare, exp.Column):
                    self._join((alias, name), _key(bare))
                else:
                    self._spoil((alias, name))

    def _branches(self, query: exp.SetOperation) -> None:
        """Branches are compared with each other, place by place."""
        for _, expressions in _outputs(query):
            columns = [_key(bare) for one in expressions if isinstance(bare := _bare(one), exp.Column)]
            for key in columns:
                self._join(columns[0], key)
                if len(columns) < len(expressions):
                    self._spoil(key)

    def _order(self, query: exp.Expr) -> None:
        """An order by the place of an output is one by that output."""
        order = query.args.get("order")
        outputs = _outputs(query) if order is not None else []
        for ordered in order.expressions if order is not None else ():
            key = _bare(ordered.this)
            if isinstance(key, exp.Literal) and not key.is_string and 1 <= int(key.this) <= len(outputs):
                for expression in outputs[int(key.this) - 1][1]:
                    if isinstance(bare := _bare(expression), exp.Column):
                        self._spoil(_key(bare))

    def _occurrence(self, column: exp.Column) -> None:
        """What is done with an item where it stands; whatever is not listed here may tell of it."""
        node: exp.Expr = column
        while isinstance(node.parent, exp.Paren):
            node = node.parent
        holder, key = node.parent, _key(column)
        if isinstance(holder, _SAME):
            other = _bare(holder.expression if holder.this is node else holder.this)
            self._with(key, other)
        elif isinstance(holder, exp.In) and holder.this is node and isinstance(holder.args.get("query"), exp.Subquery):
            outputs = _outputs(holder.args["query"])
            for expression in outputs[0][1] if len(outputs) == 1 else [exp.Null()]:
                self._with(key, _bare(expression))
        elif isinstance(holder, exp.Alias) and isinstance(holder.parent, exp.Select):
            if not self._goes_on(holder.parent):
                self._spoil(key)
        elif isinstance(holder, exp.Is):
            if not isinstance(holder.expression, exp.Null):
                self._spoil(key)
        elif not (
            isinstance(holder, exp.Group)
            or (isinstance(holder, exp.Count) and holder.this is node)
            or (isinstance(holder, exp.Distinct) and isinstance(holder.parent, exp.Count) and len(holder.expressions) == 1)
            or (isinstance(holder, exp.Window) and any(part is node for part in holder.args.get("partition_by") or ()))
        ):
            self._spoil(key)

    def _with(self, key: Key, other: exp.Expr) -> None:
        if isinstance(other, exp.Column):
            self._join(key, _key(other))
        else:
            self._spoil(key)

    def _goes_on(self, select: exp.Expr) -> bool:
        """Whether what the query shows is only the source of another query, or one side of IN, or is not looked at."""
        node: exp.Expr = select
        while isinstance(node.parent, exp.SetOperation):
            node = node.parent
        while isinstance(node.parent, exp.Subquery):
            node = node.parent
        holder = node.parent
        if isinstance(holder, exp.SetOperation):
            return self._goes_on(holder)
        if isinstance(holder, exp.From | exp.Join):
            return isinstance(node, exp.Subquery) and bool(node.alias)
        if isinstance(holder, exp.In):
            return holder.args.get("query") is node and isinstance(_bare(holder.this), exp.Column)
        return isinstance(holder, exp.CTE | exp.Exists)


def _key(column: exp.Column) -> Key:
    return column.table, column.name.lower()


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _outputs(query: exp.Expr) -> list[tuple[str, list[exp.Expr]]]:
    """Each output of a query: its name in small letters, and what it is, in each branch."""
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.SetOperation):
        left, right = _outputs(query.this), _outputs(query.expression)
        return [(name, [*a, *b]) for (name, a), (_, b) in zip(left, right, strict=False)]
    if isinstance(query, exp.Select):
        return [(projection.alias.lower(), [projection.unalias()]) for projection in query.expressions]
    return []
