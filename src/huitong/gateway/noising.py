"""Noised totals: what a statement may be, what the engine counts for it, and what is told.

A statement is one SELECT over one dataset that shows items of GROUP BY, count(*), count(item), sum(item) and avg(item). The values of
each item of GROUP BY stand in WHERE (`gender IN ('1', '2')`): every combination of them is told, whether anybody is in it or not, so that
no group tells by being there. The engine then gives whole numbers that change by a known amount at most when one entity is there or not:

1. each row is that of the dataset, masked and cut by the grant and by WHERE: functions of the row alone. A row of no known entity goes;
2. of the rows of one entity the first `rows_per_entity` stay, in the order of what is counted, which the entity's own rows decide alone;
3. a value counts as the nearer bound of its item where it lies outside, in units of the last decimal that counts.

So a count in all groups together changes by at most rows_per_entity, a sum by that times the larger bound. Each of these *measures* gets
noise of its share of the question's epsilon (`huitong.masks.noise`); avg is a sum by a count. HAVING, ORDER BY and LIMIT see what is told.

JOINs are refused: one entity of one side could change any number of rows of the other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

import pyarrow as pa
from sqlglot import exp

from huitong.errors import Reason, Refused
from huitong.gateway.aggregates import bare, condition_faults, entity_columns, having_of, is_item, is_one_select, order_key, whole
from huitong.gateway.gate import by_value
from huitong.gateway.plan import DatasetPlan
from huitong.gateway.questions import document_of, question_of
from huitong.gateway.resolve import Resolution, TableUse
from huitong.gateway.telling import Having, Number, OrderKey, in_order
from huitong.masks import noise
from huitong.model.policy import Grant, Mode, NoisedTerms
from huitong.sharing.noised import bounds_fit, decimals_of, entity_item, whole_bounds
from huitong.sharing.term_limits import NoisedLimits

Literal = str | int | bool
_SIX = Decimal("0.000001")


@dataclass(frozen=True)
class Measure:
    """A whole number of each group: how many rows (`item` empty), in how many an item is known, or the sum of its values."""

    item: str
    sums: bool
    decimals: int
    """Of the values of a sum, so many decimals count: the number is in units of the last of them."""
    lower: int
    upper: int
    """Of a sum: between which numbers one row counts."""

    @property
    def of_a_row(self) -> int:
        """By how much one row changes it at most."""
        return max(abs(self.lower), abs(self.upper)) if self.sums else 1


@dataclass(frozen=True)
class Told:
    """One output: an item of GROUP BY (`key`), a measure, or a mean of two."""

    key: int | None = None
    measure: int | None = None
    by: int | None = None
    """Of a mean: the measure that counts."""


@dataclass(frozen=True)
class Noising:
    """What becomes of the numbers of one statement after the engine."""

    dataset: str
    names: tuple[str, ...]
    keys: tuple[tuple[str, tuple[Literal, ...]], ...]
    """Items of GROUP BY, each with the values whose groups are told."""
    measures: tuple[Measure, ...]
    outputs: tuple[Told, ...]
    rows_per_entity: int
    having: Having | None
    order: tuple[OrderKey, ...]
    limit: int | None
    offset: int
    document: bytes
    """The question and the rules that it was asked under, in one form: the same one has the same answer."""

    @property
    def groups(self) -> int:
        """How many groups are told."""
        size = 1
        for _, values in self.keys:
            size *= len(values)
        return size

    def question(self, snapshot: int, epsilon: int) -> bytes:
        """What one answer answers: of which snapshot, for how much."""
        return json.dumps([snapshot, epsilon]).encode() + b"\x1f" + self.document

    def scaled(self, epsilon: int) -> tuple[tuple[int, int], ...]:
        """For each measure how much all its numbers together change at most with one entity, and its share of the question's epsilon."""
        share = epsilon // len(self.measures)
        return tuple((measure.of_a_row * self.rows_per_entity, share) for measure in self.measures)


# --- what a statement may be ---------------------------------------------------------------------------------------------


def faults_of_noising(resolution: Resolution, grants: Mapping[str, Grant], limits: NoisedLimits) -> tuple[Reason, ...]:
    """Everything that a statement may not hold because one of its grants gives noised totals; empty if none of them does."""
    limited = [use for use in resolution.tables if (grant := grants.get(use.dataset.id)) and grant.terms.mode is Mode.NOISED]
    if not limited:
        return ()
    use = limited[0]
    grant = grants[use.dataset.id]
    about: dict[str, str | int] = {"grant": grant.id, "dataset": use.dataset.id}
    if not noise.is_installed():
        return (Reason("noised-not-installed", {"part": noise.INSTALL}),)
    if entity_item(use.dataset) is None:
        return (Reason("noised-without-entity", {"dataset": use.dataset.id, "provider": use.dataset.provider}),)
    tree = _top(resolution.tree)
    if len(resolution.tables) > 1 or not isinstance(tree, exp.Select) or not is_one_select(tree, use):
        return (Reason("noised-one-select", about),)
    return tuple(_faults_of_select(tree, use, grant, about, limits))


def _faults_of_select(
    tree: exp.Select, use: TableUse, grant: Grant, about: Mapping[str, str | int], limits: NoisedLimits
) -> list[Reason]:
    faults: list[Reason] = []
    outputs = [bare(projection.unalias()) for projection in tree.expressions]
    keys = _keys(tree, outputs)
    if keys is None or not all(is_item(key, use) for key in keys):
        return [Reason("totals-group", about)]
    names = {key.name for key in keys}
    counted = 0
    for position, output in enumerate(outputs, start=1):
        if is_item(output, use) and output.name in names:
            continue
        if not _is_measured(output, use):
            faults.append(Reason("noised-output", {**about, "output": position}))
            continue
        counted += 1
        if isinstance(output, exp.Sum | exp.Avg) and not _has_bounds(output.this.name, use, grant):
            faults.append(Reason("noised-item-without-bounds", {**about, "item": output.this.name}))
    if not counted and not faults:
        faults.append(Reason("noised-nothing-counted", about))
    listed = _listed(tree, use)
    size = 1
    for name in sorted(names):
        if name in listed:
            size *= len(listed[name])
        else:
            faults.append(Reason("noised-groups-not-named", {**about, "item": name}))
    if size > limits.groups:
        faults.append(Reason("noised-too-many-groups", {**about, "limit": limits.groups}))
    return faults + condition_faults(tree, use, outputs, about, is_total=_is_measured)


def _has_bounds(name: str, use: TableUse, grant: Grant) -> bool:
    item, terms = use.dataset.item(name), grant.terms.noised
    bounds = terms.bounds_of(name) if terms is not None else None
    return item is not None and bounds is not None and bounds_fit(bounds, item.type)


def _top(tree: exp.Expr) -> exp.Expr:
    while isinstance(tree, exp.Subquery):
        tree = tree.this
    return tree


def _is_measured(node: exp.Expr, use: TableUse) -> bool:
    if isinstance(node, exp.Count) and not node.expressions:
        return isinstance(node.this, exp.Star) or is_item(node.this, use)
    return type(node) in (exp.Sum, exp.Avg) and is_item(node.this, use)


def _keys(tree: exp.Select, outputs: Sequence[exp.Expr]) -> list[exp.Expr] | None:
    """The items of GROUP BY, each once; None if they are written in a way that is not known."""
    group = tree.args.get("group")
    if group is None:
        return []
    if any(value not in (None, [], False) for name, value in group.args.items() if name != "expressions"):
        return None
    found: dict[str, exp.Expr] = {}
    for key in group.expressions:
        node = bare(key)
        if isinstance(node, exp.Literal):
            place = int(node.this) if not node.is_string and node.this.isdigit() and len(node.this) < 5 else 0
            if not 1 <= place <= len(outputs):
                return None
            node = outputs[place - 1]
        found.setdefault(node.name, node)
    return list(found.values())


def _listed(tree: exp.Select, use: TableUse) -> dict[str, list[exp.Expr]]:
    """Items of which WHERE lists the values, with these: `item IN (...)` and `item = ...` that every row must meet."""
    where = tree.args.get("where")
    found: dict[str, list[exp.Expr]] = {}
    waiting = [] if where is None else [where.this]
    while waiting:
        node = bare(waiting.pop())
        if isinstance(node, exp.And):
            waiting += [node.expression, node.this]
        elif isinstance(node, exp.In) and not any(node.args.get(name) for name in ("query", "unnest", "field")):
            _take(found, bare(node.this), node.expressions, use)
        elif isinstance(node, exp.EQ):
            _take(found, bare(node.this), [node.expression], use)
            _take(found, bare(node.expression), [node.this], use)
    return found


def _take(found: dict[str, list[exp.Expr]], item: exp.Expr, values: Sequence[exp.Expr], use: TableUse) -> None:
    plain = [bare(value) for value in values]
    if is_item(item, use) and plain and all(_literal(value) is not None for value in plain):
        every = {repr(_literal(value)): value for value in plain}
        if len({type(_literal(value)) for value in plain}) == 1:
            found.setdefault(item.name, list(every.values()))


def _literal(node: exp.Expr) -> Literal | None:
    """A text, a whole number or a truth value; None for anything else."""
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg):
        inner = _literal(bare(node.this))
        return -inner if isinstance(inner, int) and not isinstance(inner, bool) else None
    if not isinstance(node, exp.Literal):
        return None
    if node.is_string:
        return str(node.this)
    return int(node.this) if node.this.isdigit() and len(node.this) <= 18 else None


# --- what the engine counts ----------------------------------------------------------------------------------------------


def count_for_noise(tree: exp.Query, use: TableUse, part: DatasetPlan) -> tuple[exp.Select, Noising]:
    """A statement without `faults_of_noising` as one that counts its measures by group, around the same mention of the dataset; and what
    is done with them afterwards. The tree is used up."""
    terms = part.grant.terms.noised
    if terms is None or not isinstance(tree, exp.Select) or not is_one_select(tree, use):
        raise Refused.because("rewrite-failed")
    shown = [bare(projection.unalias()) for projection in tree.expressions]
    keys, listed = _keys(tree, shown), _listed(tree, use)
    if keys is None or any(key.name not in listed for key in keys):
        raise Refused.because("rewrite-failed")
    # In one order, however the question is written: the same one has the same answer.
    keys = sorted(keys, key=lambda key: key.name)
    names = [key.name for key in keys]
    values = {name: sorted(listed[name], key=lambda value: repr(_literal(value))) for name in names}
    measures = sorted({one for node in shown for one in _measures(node, part, terms)}, key=lambda one: (one.item, one.sums))
    outputs = tuple(_told(node, names, measures, part, terms) for node in shown)
    having, order = tree.args.get("having"), tree.args.get("order")
    literals = {name: tuple(_known(value) for value in values[name]) for name in names}
    question = question_of(tree, shown)
    read = {*question.items, *(one.item for one in measures if one.item)}
    written = [
        question.condition,
        [[name, literals[name]] for name in names],
        [[one.item, one.sums, one.decimals, one.lower, one.upper] for one in measures],
        terms.rows_per_entity,
        document_of(replace(question, items=tuple(sorted(read))), part.grant.terms).decode("utf-8", "surrogatepass"),
    ]
    noising = Noising(
        dataset=part.dataset,
        names=tuple(projection.alias_or_name for projection in tree.expressions),
        keys=tuple((name, literals[name]) for name in names),
        measures=tuple(measures),
        outputs=outputs,
        rows_per_entity=terms.rows_per_entity,
        having=None if having is None else having_of(having.this, [node.copy() for node in shown]),
        order=tuple(order_key(ordered, len(shown)) for ordered in order.expressions) if order is not None else (),
        limit=whole(tree.args.get("limit")),
        offset=whole(tree.args.get("offset")) or 0,
        document=json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"),
    )
    return _counting(tree, use, part, [(key, values[key.name]) for key in keys], measures, terms.rows_per_entity), noising


def _known(value: exp.Expr) -> Literal:
    found = _literal(value)
    assert found is not None
    return found


def _measures(node: exp.Expr, part: DatasetPlan, terms: NoisedTerms) -> list[Measure]:
    """What has to be counted for an output; of a mean the sum first."""
    if isinstance(node, exp.Column):
        return []
    item = "" if isinstance(node.this, exp.Star) else node.this.name
    count = Measure(item, sums=False, decimals=0, lower=0, upper=1)
    if isinstance(node, exp.Count):
        return [count]
    described, bounds = part.described.item(item), terms.bounds_of(item)
    if described is None or bounds is None:
        raise Refused.because("rewrite-failed")
    lower, upper = whole_bounds(bounds, described.type)
    total = Measure(item, sums=True, decimals=decimals_of(bounds, described.type), lower=lower, upper=upper)
    return [total, count] if isinstance(node, exp.Avg) else [total]


def _told(node: exp.Expr, keys: Sequence[str], measures: Sequence[Measure], part: DatasetPlan, terms: NoisedTerms) -> Told:
    if isinstance(node, exp.Column):
        return Told(key=keys.index(node.name))
    places = [measures.index(one) for one in _measures(node, part, terms)]
    return Told(measure=places[0], by=places[1] if len(places) > 1 else None)


def _counting(
    tree: exp.Select,
    use: TableUse,
    part: DatasetPlan,
    keys: Sequence[tuple[exp.Expr, Sequence[exp.Expr]]],
    measures: Sequence[Measure],
    rows_per_entity: int,
) -> exp.Select:
    """Three SELECTs, one in the other: what counts of each row; its place among those of its entity; the numbers of each group."""
    entities = [
        exp.Column(this=exp.Identifier(this=name, quoted=True), table=exp.Identifier(this=use.alias, quoted=True))
        for name, _ in entity_columns(part)
    ]
    shown: dict[str, exp.Expr] = {f"entity {number}": column for number, column in enumerate(entities, start=1)}
    for number, (key, values) in enumerate(keys, start=1):
        places = [exp.If(this=exp.EQ(this=key.copy(), expression=value.copy()), true=_number(at)) for at, value in enumerate(values)]
        shown[f"key {number}"] = exp.Try(this=exp.Case(ifs=places))
    for number, measure in enumerate(measures, start=1):
        shown[f"value {number}"] = _value(measure, use)
    where: list[exp.Expr] = [_is_known(column) for column in entities]
    written = tree.args.get("where")
    if written is not None:
        where.append(exp.Try(this=written.this))
    where += [_is_known(shown[f"key {number}"]) for number, _ in enumerate(keys, start=1)]
    rows = exp.Select(
        expressions=[exp.Alias(this=one, alias=_name(name)) for name, one in shown.items()],
        from_=exp.From(this=use.node),
        where=exp.Where(this=exp.and_(*where, copy=False)),
    )
    counted = [name for name in shown if not name.startswith("entity")]
    mixed = exp.Anonymous(this="hash", expressions=[_column(name) for name in counted])
    place = exp.Window(
        this=exp.RowNumber(),
        partition_by=[_column(name) for name in shown if name.startswith("entity")],
        # By a hash first, which favours no group and no value; equal ones lie together, and it makes no difference which is first.
        order=exp.Order(expressions=[exp.Ordered(this=one) for one in (mixed, *(_column(name) for name in counted))]),
    )
    placed = exp.Select(
        expressions=[*(_column(name) for name in counted), exp.Alias(this=place, alias=_name("place"))],
        from_=exp.From(this=exp.Subquery(this=rows, alias=exp.TableAlias(this=_name("r")))),
    )
    numbers: list[exp.Expr] = [_column(f"key {number}") for number, _ in enumerate(keys, start=1)]
    for number, measure in enumerate(measures, start=1):
        value = _column(f"value {number}")
        total = exp.Sum(this=value) if measure.sums else exp.Count(this=value)
        numbers.append(exp.Alias(this=total, alias=_name(f"measure {number}")))
    outer = exp.Select(
        expressions=numbers,
        from_=exp.From(this=exp.Subquery(this=placed, alias=exp.TableAlias(this=_name("p")))),
        where=exp.Where(this=exp.LTE(this=_column("place"), expression=_number(rows_per_entity))),
    )
    if keys:
        outer.set("group", exp.Group(expressions=[_number(number) for number, _ in enumerate(keys, start=1)]))
    return outer


def _value(measure: Measure, use: TableUse) -> exp.Expr:
    """What one row counts for a measure; NULL: nothing."""
    if not measure.item:
        return _number(1)
    item = exp.Column(this=exp.Identifier(this=measure.item, quoted=True), table=exp.Identifier(this=use.alias, quoted=True))
    if not measure.sums:
        return exp.Case(ifs=[exp.If(this=_is_known(item), true=_number(1))])
    number = exp.TryCast(this=item, to=exp.DataType.build("DOUBLE"))
    scale = 10**measure.decimals
    lower, upper = (Decimal(one).scaleb(-measure.decimals) for one in (measure.lower, measure.upper))
    held = _between(number.copy(), _number(lower), _number(upper))
    whole_number = exp.Cast(this=exp.Round(this=exp.Mul(this=held, expression=_number(scale))), to=exp.DataType.build("BIGINT"))
    # Once more in whole numbers: a product of floating-point numbers may round across a bound.
    return exp.Case(ifs=[exp.If(this=_is_known(number), true=_between(whole_number, _number(measure.lower), _number(measure.upper)))])


def _between(value: exp.Expr, lower: exp.Expr, upper: exp.Expr) -> exp.Expr:
    return exp.Least(this=exp.Greatest(this=value, expressions=[lower], ignore_nulls=True), expressions=[upper], ignore_nulls=True)


def _is_known(node: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=node.copy(), expression=exp.Null()))


def _number(value: int | Decimal) -> exp.Expr:
    size = exp.Literal.number(f"{abs(Decimal(value)):f}")
    return exp.Neg(this=size) if value < 0 else size


def _name(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _column(name: str) -> exp.Expr:
    return exp.Column(this=_name(name))


# --- what is told --------------------------------------------------------------------------------------------------------

Numbers = list[list[int]]
"""For each measure its number of each group, with noise."""


def exact(table: pa.Table, noising: Noising) -> Numbers:
    """What the engine gave, for every group that is told: 0 where it gave nothing. Must not leave."""
    sizes = [len(values) for _, values in noising.keys]
    numbers = [[0] * noising.groups for _ in noising.measures]
    columns = [column.to_pylist() for column in table.columns]
    for row in zip(*columns, strict=True):
        place = 0
        for size, at in zip(sizes, row, strict=False):
            place = place * size + int(at)
        for measure, value in enumerate(row[len(sizes) :]):
            numbers[measure][place] = int(value or 0)
    return numbers


def with_noise(numbers: Numbers, noising: Noising, epsilon: int) -> Numbers:
    """The same with noise; together they spend `epsilon` millionths. Raises Unavailable `noised-not-installed`."""
    scaled = noising.scaled(epsilon)
    return [noise.noised(one, sensitivity=most, epsilon=share)[0] for one, (most, share) in zip(numbers, scaled, strict=True)]


def packed(numbers: Numbers) -> bytes:
    """To be kept."""
    return json.dumps(numbers, separators=(",", ":")).encode()


def unpacked(kept: bytes) -> Numbers:
    """The other way."""
    return [[int(one) for one in numbers] for numbers in json.loads(kept)]


def told_with_noise(numbers: Numbers, noising: Noising) -> pa.Table:
    """What leaves: only what the noised numbers say already."""
    groups = list(product(*(values for _, values in noising.keys)))
    columns: list[pa.Array] = []
    seen: list[list[Number]] = []
    for output in noising.outputs:
        if output.key is not None:
            columns.append(pa.array([group[output.key] for group in groups]))
            seen.append([None] * len(groups))
            continue
        values = [_shown(numbers, noising, output, place) for place in range(len(groups))]
        seen.append(values)
        columns.append(_column_of(values, noising, output))
    shown = pa.Table.from_arrays(columns, names=list(noising.names))
    if noising.having is not None:
        keep = [noising.having(row) is True for row in zip(*seen, strict=True)]
        shown = shown.filter(pa.array(keep, pa.bool_()))
    shown = in_order(by_value(shown), noising.order)
    return shown.slice(noising.offset, noising.limit)


def _shown(numbers: Numbers, noising: Noising, output: Told, place: int) -> Number:
    assert output.measure is not None
    measure, value = noising.measures[output.measure], numbers[output.measure][place]
    if not measure.sums:
        return Decimal(max(0, value))
    number = Decimal(value).scaleb(-measure.decimals)
    if output.by is None:
        low, high = measure.lower >= 0, measure.upper <= 0
        return max(number, Decimal(0)) if low else min(number, Decimal(0)) if high else number
    count = numbers[output.by][place]
    if count <= 0:
        return None
    lower, upper = (Decimal(one).scaleb(-measure.decimals) for one in (measure.lower, measure.upper))
    return min(max((number / count).quantize(_SIX), lower), upper)


def _column_of(values: Sequence[Number], noising: Noising, output: Told) -> pa.Array:
    assert output.measure is not None
    if output.by is None and noising.measures[output.measure].decimals == 0:
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def widths(noising: Noising, epsilon: int) -> list[tuple[str, str]]:
    """For each count and sum that is told: its name, and by how much noise changes it at most in 95 of 100 cases."""
    found = []
    for name, output in zip(noising.names, noising.outputs, strict=True):
        if output.measure is None or output.by is not None:
            continue
        most, share = noising.scaled(epsilon)[output.measure]
        width = noise.within(most * 1_000_000 / share).scaleb(-noising.measures[output.measure].decimals)
        found.append((name, f"{width:.3g}" if width < 1000 else f"{width:.0f}"))
    return found
