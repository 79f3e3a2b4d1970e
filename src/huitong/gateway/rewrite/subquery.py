"""The governed subquery that takes the place of a dataset: only the items used, each under its mask, only the rows granted,
tokens joined from side tables. The rest of the statement can see nothing else, even if all before it had missed something."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from huitong.errors import Refused
from huitong.gateway.parse import Caps
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.resolve import TableUse
from huitong.masks import engine_type, needs_token, sql_mask
from huitong.model.catalog import Item, ItemType
from huitong.model.policy import Mask, Mode
from huitong.model.query import GovernedTable

SIDE_COLUMNS: Mapping[str, str] = {"identifier": "VARCHAR", "token": "BIGINT"}
"""Columns of a side table, as the lake writes them."""


@dataclass
class _Table:
    name: str
    files: tuple[str, ...]
    columns: dict[str, str]


@dataclass
class Physical:
    """The physical tables of one plan, under names made of the plan's stand-in."""

    stand_in: str
    side_files: Callable[[str, str, str, int], tuple[str, ...]]
    _tables: dict[tuple[str, ...], _Table] = field(default_factory=dict)

    def of_dataset(self, part: DatasetPlan) -> _Table:
        """The table of a dataset's snapshot."""
        key = ("dataset", part.dataset)
        if key not in self._tables:
            self._tables[key] = _Table(self._name(), tuple(file.path for file in part.read.files), {})
        return self._tables[key]

    def of_tokens(self, part: DatasetPlan, item: str) -> _Table:
        """The side table of an item. Raises Refused `pseudonym-not-ready` if it was not built for this snapshot."""
        group = part.grant.terms.linkage_group
        key = ("tokens", group, part.dataset, item)
        if key not in self._tables:
            files = self.side_files(group, part.dataset, item, part.snapshot)
            if not files:
                raise Refused.because("pseudonym-not-ready", grant=part.grant.id, dataset=part.dataset, item=item)
            self._tables[key] = _Table(self._name(), tuple(files), dict(SIDE_COLUMNS))
        return self._tables[key]

    def tables(self) -> tuple[GovernedTable, ...]:
        """What the engine may touch."""
        return tuple(GovernedTable(name=table.name, files=table.files, columns=table.columns) for table in self._tables.values())

    def _name(self) -> str:
        return f"t_{self.stand_in}_{len(self._tables)}"


def governed_subquery(use: TableUse, part: DatasetPlan, physical: Physical, caps: Caps) -> exp.Subquery:
    """The subquery for one mention of a dataset, under the alias that the resolver gave the mention."""
    terms = part.grant.terms
    if terms.condition or terms.subjects is not None or terms.quota is not None or terms.mode is not Mode.ROWS:
        raise Refused.because("rewrite-failed")  # a term that this rewriter does not know is not left out
    table = physical.of_dataset(part)
    masks = {term.item.lower(): term.mask for term in part.grant.terms.items}
    shown: list[exp.Expr] = []
    joins: list[exp.Expr] = []
    wanted = {name.lower() for name in use.items}
    for item in part.described.items:
        if item.name.lower() not in wanted:
            continue
        mask: Mask | None = masks.get(item.name.lower())
        if mask is None:
            raise Refused.because("rewrite-failed")
        column, held = _held(part, item)
        if needs_token(mask):
            if held is not None:
                table.columns[item.name] = engine_type(held)
            alias = f"k{len(joins) + 1}"
            side = physical.of_tokens(part, item.name)
            joins.append(
                exp.Join(
                    this=_table(side.name, alias),
                    side="LEFT",
                    on=exp.EQ(this=column, expression=_column(alias, "identifier")),
                )
            )
            masked: exp.Expr = sql_mask(item, mask, column, token=_column(alias, "token"))
        else:
            masked = sql_mask(item, mask, column)
            if held is not None and any(isinstance(node, exp.Column) for node in masked.walk()):
                table.columns[item.name] = engine_type(held)
        shown.append(exp.Alias(this=masked, alias=_identifier(item.name)))
    if not shown:
        shown.append(exp.Alias(this=exp.Literal.number(1), alias=_identifier("row")))
    select = exp.Select(expressions=shown, from_=exp.From(this=_table(table.name, "p")), joins=joins)
    condition = row_rule(part, caps)
    if condition is not None:
        rows = part.grant.terms.rows
        assert rows is not None
        item_of_rows = part.described.item(rows.item)
        assert item_of_rows is not None
        _, held = _held(part, item_of_rows)
        if held is not None:
            table.columns[item_of_rows.name] = engine_type(held)
        select.set("where", exp.Where(this=condition))
        # A barrier: the engine may not evaluate what the analyst wrote before the row rule, or an expression that fails only
        # on a hidden row would tell about it. An OFFSET keeps the optimiser from moving filters and joins into the subquery.
        select.set("offset", exp.Offset(expression=exp.Literal.number(0)))
    if not table.columns:
        name, kind = next(iter(_columns(part).items()))
        table.columns[name] = engine_type(kind)
    return exp.Subquery(this=select, alias=exp.TableAlias(this=_identifier(use.alias)))


def _columns(part: DatasetPlan) -> Mapping[str, ItemType]:
    """What the snapshot holds; the entry's items for a snapshot that was taken before this was noted."""
    return dict(part.read.columns) or {item.name: item.type for item in part.described.items}


def _held(part: DatasetPlan, item: Item) -> tuple[exp.Expr, ItemType | None]:
    """The item as an expression over the snapshot, and the type in which it lies there (None: it does not).

    The entry may have changed since the snapshot was taken: an item that it lacks is missing in every row, and one of another type
    is read as what it has become, missing where that cannot be."""
    held = _columns(part).get(item.name)
    if held is None:
        return exp.Cast(this=exp.Null(), to=exp.DataType.build(engine_type(item.type), dialect="duckdb")), None
    column = _column("p", item.name)
    if held is item.type:
        return column, held
    return exp.TryCast(this=column, to=exp.DataType.build(engine_type(item.type), dialect="duckdb")), held


def row_rule(part: DatasetPlan, caps: Caps) -> exp.Expr | None:
    """The condition on the division of a row; None if the grant cuts no rows.

    The rule is membership in the set of codes, so a row without a code, or with one that was never a division, is not shown. The
    range from the first to the last code is implied by the set; it lets the engine skip whole blocks of a file."""
    rows = part.grant.terms.rows
    if rows is None:
        return None
    item = part.described.item(rows.item)
    if item is None or item.type is not ItemType.TEXT:
        raise Refused.because("row-rule-unfit", grant=part.grant.id, dataset=part.dataset, item=rows.item)
    if not part.codes:
        raise Refused.because("division-without-codes", grant=part.grant.id, division=rows.division)
    codes = sorted(part.codes)
    if not all(code.isascii() and code.isdigit() for code in codes):
        raise Refused.because("rewrite-failed")
    column, _ = _held(part, item)
    if len(codes) == 1:
        return exp.EQ(this=column, expression=exp.Literal.string(codes[0]))
    if len(codes) <= caps.division_list:
        return exp.In(this=column, expressions=[exp.Literal.string(code) for code in codes])
    between = exp.Between(this=column.copy(), low=exp.Literal.string(codes[0]), high=exp.Literal.string(codes[-1]))
    text = exp.Literal.string(",".join(codes))
    split = exp.Anonymous(this="string_split", expressions=[text, exp.Literal.string(",")])
    listed = exp.Anonymous(this="unnest", expressions=[split])
    members = exp.In(this=column, query=exp.Subquery(this=exp.Select(expressions=[listed])))
    return exp.And(this=between, expression=members)


def _identifier(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _column(alias: str, name: str) -> exp.Column:
    return exp.Column(this=_identifier(name), table=_identifier(alias))


def _table(name: str, alias: str) -> exp.Table:
    return exp.Table(this=_identifier(name), alias=exp.TableAlias(this=_identifier(alias)))
