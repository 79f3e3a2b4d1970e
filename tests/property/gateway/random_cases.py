"""Random cases for the differential test: small data, grants with every kind of term, and statements of the dialect.

A small grammar, written so that most of what it makes is accepted; `Statement.made` names the constructs that a statement holds. All of
it is a function of one source of random numbers, so a case can be made again from its number."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from random import Random
from typing import Any

from tests.spec.governed.governed_world import NANMING, YUNYAN, dataset, item, make_grant

from huitong.errors import InputInvalid
from huitong.masks import check_mask, masked_type
from huitong.model.catalog import Dataset, Item, ItemType
from huitong.model.policy import Comparator, Comparison, Grant, Mask, MaskKind, Mode

T, N, D, B, DAY, AT = ItemType.TEXT, ItemType.INTEGER, ItemType.DECIMAL, ItemType.BOOLEAN, ItemType.DATE, ItemType.INSTANT

PERSON = dataset(
    "civil.person",
    item("pid", meaning="resident-id"),
    item("name", meaning="person-name"),
    item("division", meaning="division-code"),
    item("born", DAY),
    item("n", N),
    item("w", D),
    item("ok", B),
    item("seen", AT),
    provider="gz-civil-affairs",
    key="pid",
    division_item="division",
)
BY_TWO_ITEMS = replace(PERSON, key=None, primary_key=("pid", "name"))
"""The same entry, whose entities two items tell apart."""
FIRM = dataset(
    "tax.company",
    item("fid", meaning="credit-code"),
    item("pid", meaning="resident-id"),
    item("division", meaning="division-code"),
    item("n", N),
    item("kind"),
    provider="gz-tax",
    key="fid",
    division_item="division",
)

PIDS = ["990102199001011230", "990102198505052341", "99010220001231345X", "990103197003034563", "中文身份", "x"]
TEXTS = ["", "张伟", "王秀英", "张", "a", "B", "ab", " 7", "12", "3.5", "50%_", "　李 "]
WHOLE = [0, 1, 2, 3, -1, 7, 100, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
BROKEN = [0.0, -0.0, 0.25, 0.5, -1.5, 2.5, 100.75, 1e15, 1e300, -0.125]
DAYS = [date(1990, 1, 1), date(1990, 12, 31), date(2000, 2, 29), date(1985, 5, 5)]
INSTANTS = [datetime(2025, 12, 31, 15, 59, tzinfo=UTC), datetime(2025, 12, 31, 16, tzinfo=UTC), datetime(2026, 1, 31, 23, tzinfo=UTC)]
CODES = [NANMING, "520102001000", "520102001001", YUNYAN, "520103001000", "5201020", "520102999999"]
OF_ITEM: Mapping[str, Sequence[Any]] = {
    "pid": PIDS, "fid": ["f1", "f2", "f3", "f4"], "name": TEXTS, "division": CODES, "born": DAYS, "n": WHOLE, "w": BROKEN,
    "ok": [True, False], "seen": INSTANTS, "kind": ["国企", "民企", "a", ""],
}  # fmt: skip
MASKS = [
    Mask(MaskKind.HIDE),
    Mask(MaskKind.PARTIAL, {"first": 1, "last": 0}),
    Mask(MaskKind.PARTIAL, {"first": 1, "last": 1}),
    Mask(MaskKind.PSEUDONYM),
    *(Mask(MaskKind.GENERALISE, {"to": to}) for to in ("year", "month", "city", "county", "township", "birth-year")),
    Mask(MaskKind.GENERALISE, {"step": 10}),
]
CLEAR = Mask(MaskKind.CLEAR)


@dataclass
class Statement:
    """The text, the constructs in it, the items that it names, and whether the order of its rows is stated in full."""

    sql: str
    made: set[str]
    named: dict[str, set[str]]
    ordered: bool


@dataclass
class Case:
    """Data, grants (with the identifiers on the lists of those that have one) and what is asked."""

    person: Dataset
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    grants: Sequence[Grant]
    listed: Mapping[str, Sequence[str]]
    statements: Sequence[Statement] = field(default_factory=list)


def make_case(r: Random, statements: int = 3, depth: int = 2) -> Case:
    """One case, with expressions nested so deep; the same from the same random numbers."""
    person = r.choice([PERSON, PERSON, PERSON, BY_TWO_ITEMS])
    rows = {one.id: _rows(r, one, most) for one, most in ((person, 14), (FIRM, 8))}
    totals = r.random() < 0.3
    grants: list[Grant] = []
    listed: dict[str, Sequence[str]] = {}
    for one in (person, FIRM):
        first = _grant(r, one, f"G-{one.id}-1", listed, rows[one.id], totals=totals and one is person)
        grants.append(first)
        if r.random() < 0.3:
            grants.append(_other_grant(r, one, first, listed, rows[one.id]))
    case = Case(person, rows, grants, listed)
    first_grants = {grant.dataset: grant for grant in reversed(grants)}
    entries = {one.id: one for one in (person, FIRM)}
    for number in range(statements):
        maker = _Maker(r, first_grants, entries, depth)
        case.statements.append(maker.statement(totals=totals) if totals or number else maker.everything())
    return case


def _rows(r: Random, one: Dataset, most: int) -> list[Mapping[str, Any]]:
    made: list[Mapping[str, Any]] = []
    for _ in range(r.randint(0, most)):
        if made and r.random() < 0.15:
            made.append(dict(r.choice(made)))
            continue
        row = {entry.name: None if r.random() < 0.15 else _value(r, entry.name) for entry in one.items}
        made.append(row)
    return made


def _value(r: Random, name: str) -> Any:
    if name in ("n", "w") and r.random() < 0.6:
        return r.choice(OF_ITEM[name][:6])
    if name == "division" and r.random() < 0.6:
        return NANMING
    return r.choice(OF_ITEM[name])


def masks_for(entry: Item) -> list[Mask]:
    """The masks that fit an item."""
    found = []
    for mask in MASKS:
        try:
            check_mask(entry, mask)
        except InputInvalid:
            continue
        found.append(mask)
    return found


def _grant(
    r: Random, one: Dataset, number: str, listed: dict[str, Sequence[str]], rows: Sequence[Mapping[str, Any]], *, totals: bool
) -> Grant:
    items = {entry.name: CLEAR if r.random() < 0.55 else r.choice(masks_for(entry)) for entry in one.items if r.random() < 0.92}
    items = items or {"n": CLEAR}
    mode = {"mode": Mode.AGGREGATE_ONLY, "k": r.choice([2, 2, 3])} if totals else {}
    rules = {**mode, **_rules(r, one, number, listed, rows)}
    return make_grant(one.id, items, number=number, provider=one.provider, linkage_group="g", **rules)


def _other_grant(
    r: Random, one: Dataset, first: Grant, listed: dict[str, Sequence[str]], rows: Sequence[Mapping[str, Any]]
) -> Grant:
    """A second grant over the same entry: the same masks over other rows, fewer items, or one that does not stand."""
    number = f"G-{one.id}-2"
    kept = tuple(term for term in first.terms.items if r.random() < 0.8) or first.terms.items
    masks = {term.item: term.mask for term in kept}
    rest: dict[str, Any] = {"mode": first.terms.mode, "k": first.terms.k}
    if r.random() < 0.3:
        rest["purpose"] = "another-purpose"
    rest |= _rules(r, one, number, listed, rows)
    return make_grant(one.id, masks, number=number, provider=one.provider, linkage_group="g", **rest)


def _rules(
    r: Random, one: Dataset, number: str, listed: dict[str, Sequence[str]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Rules of rows; identifiers of a list are noted under the number of the grant."""
    rules: dict[str, Any] = {}
    if r.random() < 0.4:
        rules["rows"] = r.choice([NANMING, NANMING, "520100000000"])
    if r.random() < 0.45:
        rules["condition"] = tuple(_comparison(r, one, rows) for _ in range(r.choice([1, 1, 2])))
    if r.random() < 0.2:
        listed[number] = r.sample(PIDS, 4)
    return rules


def _comparison(r: Random, one: Dataset, rows: Sequence[Mapping[str, Any]]) -> Comparison:
    entry = r.choice([entry for entry in one.items if entry.name != "pid"])
    if r.random() < 0.5:
        entry = r.choice([entry for entry in one.items if entry.type in (N, D, DAY, AT)])
    ordered = entry.type in (N, D, DAY, AT)
    comparator = r.choice([one for one in Comparator if ordered or one.value in ("in", "not-in", "known", "missing")])
    least, most = comparator.values
    there = [row[entry.name] for row in rows if row[entry.name] is not None]
    usual = there if r.random() < 0.6 and len(there) > 1 else OF_ITEM[entry.name]
    values = [_written(value) for value in r.sample(usual, least if most is not None else r.choice([1, 2]))]
    return Comparison(entry.name, comparator, tuple(values))


def _written(value: Any) -> str:
    """The value in the one form of its type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "0" if value == 0 or abs(value) > 1e17 else f"{value:f}".rstrip("0").rstrip(".")
    return value.isoformat() if isinstance(value, date) else str(value)


# --- statements -----------------------------------------------------------------------------------------------------------

TOTALS = ["count", "count_distinct", "sum", "avg", "min", "max", "median", "quantile_cont", "count_if", "spread", "arithmetic"]
Columns = list[tuple[str, ItemType]]
"""What may be named: text of SQL and its type."""


class _Maker:
    """Makes one statement over the granted items."""

    def __init__(self, r: Random, grants: Mapping[str, Grant], datasets: Mapping[str, Dataset], depth: int) -> None:
        self.r = r
        self.depth = depth
        self.grants = grants
        self.datasets = datasets
        self.made: set[str] = set()
        self.of: dict[str, str] = {}
        self.joined_by = ""

    def statement(self, *, totals: bool) -> Statement:
        r = self.r
        if totals:
            sql, ordered = self.totals()
        else:
            kinds = [self.plain, self.plain, self.grouped, self.grouped, self.joined, self.set_operation, self.common, self.derived]
            sql, ordered = r.choice(kinds)()
        return Statement(sql, self.made, self.named(sql), ordered)

    def note(self, construct: str) -> None:
        self.made.add(construct)

    def everything(self) -> Statement:
        """All that a grant shows, so that no term goes unseen; now and then under a condition."""
        self.note("star")
        one = self.r.choice(["civil.person", "civil.person", "tax.company"])
        columns = self.columns(one, "a")
        sql = f"SELECT * FROM {one} a{self.where(columns) if self.r.random() < 0.2 else ''}"
        return Statement(sql, self.made, self.named(sql), ordered=False)

    # --- sources ------------------------------------------------------------------------------------------------------

    def columns(self, one: str, alias: str) -> Columns:
        """The granted items of a dataset as they leave; now and then with one that is not granted."""
        described, masks = self.datasets[one], {term.item: term.mask for term in self.grants[one].terms.items}
        found = [(f"{alias}.{entry.name}", masked_type(entry, masks[entry.name])) for entry in described.items if entry.name in masks]
        if self.r.random() < 0.04:
            found += [(f"{alias}.{entry.name}", entry.type) for entry in described.items if entry.name not in masks]
        self.of[alias] = one
        return found

    def fresh(self) -> str:
        """An alias for a query inside."""
        return f"q{len(self.of)}"

    def named(self, sql: str) -> dict[str, set[str]]:
        """The items that the statement names, by dataset."""
        found: dict[str, set[str]] = {}
        for alias, name in re.findall(r"\b([abq][0-9]*)\.([a-z]+)\b", re.sub(r"'[^']*'", "''", sql)):
            if alias in self.of:
                found.setdefault(self.of[alias], set()).add(name)
        for alias in "ab" if self.joined_by else "":
            found.setdefault(self.of[alias], set()).add(self.joined_by)
        return found

    # --- statements ---------------------------------------------------------------------------------------------------

    def plain(self, one: str | None = None, alias: str = "a") -> tuple[str, bool]:
        r = self.r
        one = one or r.choice(["civil.person", "civil.person", "tax.company"])
        columns = self.columns(one, alias)
        return self.tail(columns, f"{one} {alias}")

    def tail(self, columns: Columns, source: str, where: str | None = None) -> tuple[str, bool]:
        r = self.r
        outputs = [self.value(r.choice([T, N, D, B, DAY]), columns, self.depth) for _ in range(r.randint(1, 3))]
        distinct = "DISTINCT " if r.random() < 0.25 else ""
        if distinct:
            self.note("distinct")
        shown = ", ".join(f"{output} AS o{number}" for number, output in enumerate(outputs, 1))
        where = self.where(columns) if where is None else where
        order, ordered = self.order(len(outputs))
        return f"SELECT {distinct}{shown} FROM {source}{where}{order}", ordered

    def where(self, columns: Columns) -> str:
        if self.r.random() < 0.35:
            return ""
        self.note("where")
        return f" WHERE {self.value(B, columns, self.depth)}"

    def order(self, outputs: int) -> tuple[str, bool]:
        """An order over all outputs, so that what LIMIT leaves is the same whoever sorts."""
        r = self.r
        if r.random() < 0.5:
            return "", False
        self.note("order")
        places = r.sample(range(1, outputs + 1), outputs)
        keys = ", ".join(f"{place}{r.choice(['', ' DESC', ' NULLS FIRST', ' DESC NULLS FIRST', ' ASC NULLS LAST'])}" for place in places)
        limit = ""
        if r.random() < 0.4:
            self.note("limit")
            limit = f" LIMIT {r.randint(0, 5)}{r.choice(['', ' OFFSET 1'])}"
        return f" ORDER BY {keys}{limit}", True

    def grouped(self) -> tuple[str, bool]:
        r = self.r
        one = r.choice(["civil.person", "civil.person", "tax.company"])
        columns = self.columns(one, "a")
        keys = [self.value(r.choice([T, N, B, DAY]), columns, r.choice([0, 0, 1])) for _ in range(r.choice([0, 1, 1, 2]))]
        totals = [self.total(columns) for _ in range(r.randint(1, 2))]
        shown = ", ".join(f"{output} AS o{number}" for number, output in enumerate([*keys, *totals], 1))
        group = having = ""
        if keys:
            self.note("group")
            group = " GROUP BY " + ", ".join(str(number) if r.random() < 0.6 else key for number, key in enumerate(keys, 1))
        if r.random() < 0.4:
            self.note("having")
            kept = r.choice(["count(*) > 1", "count(*) < 3 OR NOT o1 IS NULL", ""])
            having = f" HAVING {kept or self.total(columns) + ' IS NOT NULL'}"
        order, ordered = self.order(len(keys) + len(totals))
        return f"SELECT {shown} FROM {one} a{self.where(columns)}{group}{having}{order}", ordered

    def total(self, columns: Columns) -> str:
        r = self.r
        self.note("aggregate")
        kind = r.choice(TOTALS)
        self.note(kind)
        plain = r.random() < 0.7
        if kind == "count":
            made = "count(*)" if r.random() < 0.5 else f"count({self.value(r.choice([T, N, B]), columns, 1)})"
        elif kind == "count_distinct":
            made = f"count(DISTINCT {self.value(r.choice([T, N, D, B]), columns, 1)})"
        elif kind in ("sum", "avg"):
            made = f"{kind}({self.value(r.choice([N, D]), columns, 1)})"
        elif kind in ("min", "max"):
            made = f"{kind}({self.value(r.choice([T, N, D, DAY]), columns, 1)})"
        elif kind == "median":
            made = f"median({self.value(N, columns, 0)})"
        elif kind == "quantile_cont":
            made = f"quantile_cont({self.value(N, columns, 0)}, {r.choice(['0.25', '0', '1', '0.9'])})"
        elif kind == "count_if":
            made = f"count_if({self.value(B, columns, 1)})"
        elif kind == "spread":
            function = r.choice(["stddev", "stddev_pop", "var_pop", "variance"])
            made = f"{function}({r.choice(['length', 'length'])}({self.value(T, columns, 1)}))"
        else:
            return f"sum({self.value(N, columns, 0)}) {r.choice(['+', '-', '*'])} {r.choice(['1', '2.5', 'count(*)'])}"
        if not plain:
            self.note("filter")
            made += f" FILTER (WHERE {self.value(B, columns, 1)})"
        return made

    def joined(self) -> tuple[str, bool]:
        r = self.r
        other = r.choice(["tax.company", "tax.company", "civil.person"])
        left, right = self.columns("civil.person", "a"), self.columns(other, "b")
        side = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        self.note(side.lower())
        kinds = {kind for _, kind in left} & {kind for _, kind in right} & {T, N, DAY}
        if not kinds:
            return self.plain()
        kind = r.choice(sorted(kinds))
        shared = sorted({name.partition(".")[2] for name, one in left if one in kinds} & {name.partition(".")[2] for name, _ in right})
        types = dict((*left, *right))
        shared = [name for name in shared if types[f"a.{name}"] is types.get(f"b.{name}")]
        if shared and r.random() < 0.4:
            self.note("using")
            name = r.choice(shared)
            self.joined_by = name
            return self.tail(left + right, f"civil.person a {side} {other} b USING ({name})")
        a, b = self.of_kind(left, kind), self.of_kind(right, kind)
        more = f" AND {self.value(B, left + right, 1)}" if r.random() < 0.3 else ""
        return self.tail(left + right, f"civil.person a {side} {other} b ON {a} {r.choice(['=', '=', '=', '<'])} {b}{more}")

    def of_kind(self, columns: Columns, kind: ItemType) -> str:
        return self.r.choice([name for name, one in columns if one is kind])

    def set_operation(self) -> tuple[str, bool]:
        r = self.r
        operation = r.choice(["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"])
        self.note(operation.lower())
        kinds = [r.choice([T, N, D, B, DAY]) for _ in range(r.randint(1, 2))]
        branches = []
        for alias, one in (("a", "civil.person"), ("b", r.choice(["tax.company", "civil.person"]))):
            columns = self.columns(one, alias)
            shown = ", ".join(f"{self.value(kind, columns, r.choice([0, 0, 1]))} AS o{n}" for n, kind in enumerate(kinds, 1))
            branches.append(f"SELECT {shown} FROM {one} {alias}{self.where(columns)}")
        order, ordered = self.order(len(kinds))
        return f"{branches[0]} {operation} {branches[1]}{order}", ordered

    def common(self) -> tuple[str, bool]:
        self.note("with")
        inner, columns = self.inner()
        sql, ordered = self.tail([(f"c.{name}", kind) for name, kind in columns], "x c")
        return f"WITH x AS ({inner}) {sql}", ordered

    def derived(self) -> tuple[str, bool]:
        self.note("derived table")
        inner, columns = self.inner()
        return self.tail([(f"c.{name}", kind) for name, kind in columns], f"({inner}) c")

    def inner(self) -> tuple[str, Columns]:
        """A query inside another, and what it shows."""
        r = self.r
        one = r.choice(["civil.person", "tax.company"])
        columns = self.columns(one, "a")
        kinds = [r.choice([T, N, D, B, DAY]) for _ in range(r.randint(1, 3))]
        shown = ", ".join(f"{self.value(kind, columns, 1)} AS o{number}" for number, kind in enumerate(kinds, 1))
        distinct = r.choice(["", "", "DISTINCT "])
        return f"SELECT {distinct}{shown} FROM {one} a{self.where(columns)}", [(f"o{n}", kind) for n, kind in enumerate(kinds, 1)]

    # --- totals alone -------------------------------------------------------------------------------------------------

    def totals(self) -> tuple[str, bool]:
        """What a grant of totals takes."""
        r = self.r
        self.note("totals")
        columns = self.columns("civil.person", "a")
        keys = [name for name, _ in r.sample(columns, min(len(columns), r.choice([0, 1, 1, 2])))]
        numbers = [name for name, kind in columns if kind in (N, D)]
        totals = ["count(*)"]
        for _ in range(r.randint(0, 2)):
            kind = r.choice(["count", "count(DISTINCT", "sum", "avg"])
            of = r.choice(numbers) if kind in ("sum", "avg") and numbers else r.choice(columns)[0]
            if kind in ("sum", "avg") and not numbers:
                kind = "count"
            totals.append(f"{kind} {of})" if "(" in kind else f"{kind}({of})")
        shown = ", ".join(f"{output} AS o{number}" for number, output in enumerate([*keys, *totals], 1))
        group = " GROUP BY " + ", ".join(keys) if keys else ""
        where = having = ""
        if r.random() < 0.5:
            name, kind = r.choice(columns)
            self.note("totals where")
            where = f" WHERE {name} {r.choice(['=', '<>', '<', '>='])} {self.constant(kind)}"
            if r.random() < 0.3:
                where = where.replace(" WHERE ", " WHERE NOT ")
        if r.random() < 0.4:
            self.note("totals having")
            having = f" HAVING {r.choice(['count(*) > 2', f'o{len(keys) + len(totals)} IS NULL', 'NOT count(*) <= 2 OR count(*) = 2'])}"
        order, ordered = self.order(len(keys) + len(totals))
        return f"SELECT {shown} FROM civil.person a{where}{group}{having}{order}", ordered

    # --- expressions --------------------------------------------------------------------------------------------------

    def value(self, kind: ItemType, columns: Columns, depth: int) -> str:
        """An expression of that type."""
        r = self.r
        named = [name for name, one in columns if one is kind]
        if depth <= 0 or r.random() < 0.3:
            return r.choice(named) if named and r.random() < 0.85 else self.constant(kind)
        return {T: self.text, N: self.whole, D: self.broken, B: self.truth, DAY: self.day}[kind](columns, depth - 1)

    def constant(self, kind: ItemType) -> str:
        r = self.r
        if kind is T:
            return "'" + r.choice([*TEXTS, NANMING]).replace("'", "''") + "'"
        if kind is N:
            return str(r.choice([0, 1, 2, 3, -1, 7, 2147483647, 2**63 - 1]))
        if kind is D:
            return r.choice(["0.5", "2.5", "-1.5", "0.25", "100.75", "1e3"])
        if kind is B:
            return r.choice(["true", "false", "NULL", "true"])
        if kind is AT:
            return "'2026-01-01 00:00:00+00'"
        return f"DATE '{r.choice(DAYS).isoformat()}'"

    def whole(self, columns: Columns, depth: int) -> str:
        r = self.r
        a = b = partial(self.value, N, columns, depth)
        kind = r.choice(["arithmetic", "arithmetic", "division", "length", "case", "chosen", "cast", "year", "unary", "scalar query"])
        self.note(kind)
        if kind == "arithmetic":
            return f"({a()} {r.choice(['+', '-', '*'])} {b()})"
        if kind == "division":
            return f"({a()} {r.choice(['//', '%'])} {b()})"
        if kind == "length":
            text = self.value(T, columns, depth)
            return f"length({text})" if r.random() < 0.5 else f"strpos({text}, {self.constant(T)})"
        if kind == "case":
            return self.case(N, columns, depth)
        if kind == "chosen":
            return f"{r.choice(['coalesce', 'greatest', 'least', 'nullif'])}({a()}, {b()})"
        if kind == "cast":
            source = r.choice([T, D, B, N])
            to = r.choice(["BIGINT", "INTEGER", "SMALLINT"])
            return f"{r.choice(['CAST', 'TRY_CAST'])}({self.value(source, columns, depth)} AS {to})"
        if kind == "year":
            day = self.value(DAY, columns, depth)
            return r.choice(["year({})", "month({})", "quarter({})", "extract(day FROM {})"]).format(day)
        if kind == "unary":
            return f"{r.choice(['abs', '-', 'round'])}({a()})"
        return self.scalar_query(columns)

    def scalar_query(self, columns: Columns) -> str:
        one = self.r.choice(["civil.person", "tax.company"])
        q = self.fresh()
        inner = self.columns(one, q)
        names = [name for name, kind in inner if kind is N]
        total = f"{self.r.choice(['max', 'min'])}({self.r.choice(names)})" if names else "count(*)"
        return f"(SELECT {total} FROM {one} {q}{self.correlated(inner, columns)})"

    def correlated(self, inner: Columns, outer: Columns) -> str:
        """A condition of a query inside; often one over what stands outside."""
        pairs = [(a, b) for a, one in inner for b, other in outer if one is other and one is not AT]
        if not pairs or self.r.random() < 0.4:
            return ""
        self.note("correlated")
        a, b = self.r.choice(pairs)
        return f" WHERE {a} {self.r.choice(['=', '=', '<'])} {b}"

    def broken(self, columns: Columns, depth: int) -> str:
        r = self.r
        kind = r.choice(["decimals", "decimals", "quotient", "round", "case", "root", "cast to double"])
        self.note(kind)
        a = partial(self.value, D, columns, depth)
        if kind == "decimals":
            return f"({a()} {r.choice(['+', '-', '*'])} {self.value(r.choice([D, N]), columns, depth)})"
        if kind == "quotient":
            return f"({self.value(r.choice([D, N]), columns, depth)} / {self.value(r.choice([D, N]), columns, depth)})"
        if kind == "round":
            return f"{r.choice(['round', 'floor', 'ceil', 'abs'])}({a()})" if r.random() < 0.6 else f"round({a()}, {r.randint(0, 2)})"
        if kind == "case":
            return self.case(D, columns, depth)
        if kind == "root":
            return f"{r.choice(['sqrt', 'ln'])}({a()})" if r.random() < 0.6 else f"power({a()}, 2)"
        return f"CAST({self.value(r.choice([T, N, B]), columns, depth)} AS {r.choice(['DOUBLE', 'DECIMAL(12, 2)'])})"

    def text(self, columns: Columns, depth: int) -> str:
        r = self.r
        a = partial(self.value, T, columns, depth)
        kind = r.choice(["case change", "part", "concat", "pipe", "replace", "case", "chosen", "cast to text"])
        self.note(kind)
        if kind == "case change":
            return f"{r.choice(['lower', 'upper', 'trim', 'reverse'])}({a()})"
        if kind == "part":
            return f"{r.choice(['substring', 'left', 'right'])}({a()}, {r.choice([1, 2, 3, 2, -1])})"
        if kind == "concat":
            between = r.choice(["concat(", "concat_ws('-', "])
            return f"{between}{a()}, {self.value(r.choice([T, N, B, DAY]), columns, depth)})"
        if kind == "pipe":
            return f"({a()} || {self.value(r.choice([T, N]), columns, depth)})"
        if kind == "replace":
            return f"replace({a()}, {self.constant(T)}, 'z')"
        if kind == "case":
            return self.case(T, columns, depth)
        if kind == "chosen":
            return f"{r.choice(['coalesce', 'nullif', 'greatest'])}({a()}, {self.value(T, columns, depth)})"
        return f"CAST({self.value(r.choice([N, D, B, DAY]), columns, depth)} AS VARCHAR)"

    def day(self, columns: Columns, depth: int) -> str:
        r = self.r
        a = partial(self.value, DAY, columns, depth)
        kind = r.choice(["days", "chosen", "case", "cast to date"])
        self.note(kind)
        if kind == "days":
            return f"({a()} {r.choice(['+', '-'])} {r.randint(0, 400)})"
        if kind == "chosen":
            return f"coalesce({a()}, {self.constant(DAY)})"
        if kind == "case":
            return self.case(DAY, columns, depth)
        return "CAST('2020-02-29' AS DATE)"

    def case(self, kind: ItemType, columns: Columns, depth: int) -> str:
        value = self.value
        otherwise = f" ELSE {value(kind, columns, depth)}" if self.r.random() < 0.7 else ""
        if self.r.random() < 0.3:
            self.note("simple case")
            of = self.r.choice([T, N])
            subject, test = value(of, columns, 0), value(of, columns, 0)
            return f"CASE {subject} WHEN {test} THEN {value(kind, columns, depth)}{otherwise} END"
        return f"CASE WHEN {value(B, columns, depth)} THEN {value(kind, columns, depth)}{otherwise} END"

    def truth(self, columns: Columns, depth: int) -> str:
        r = self.r
        kind = r.choice([
            "compare", "compare", "logic", "logic", "is null", "in list", "between", "like", "in query", "exists", "prefix", "is true",
            "distinct from", "text beside",
        ])  # fmt: skip
        self.note(kind)
        of = r.choice([T, N, D, DAY])
        a = partial(self.value, of, columns, depth)
        negated = r.choice(["", "NOT "])
        if kind == "compare":
            with_number = of in (N, D)
            other = self.value(r.choice([N, D]) if with_number else of, columns, depth)
            return f"({a()} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {other})"
        if kind == "logic":
            x = self.value(B, columns, depth)
            return f"({x} {r.choice(['AND', 'OR'])} {self.value(B, columns, depth)})" if r.random() < 0.7 else f"(NOT {x})"
        if kind == "is null":
            return f"({a()} IS {negated}NULL)"
        if kind == "in list":
            extra = r.choice(["", ", NULL"])
            return f"({a()} {negated}IN ({self.value(of, columns, 0)}, {self.constant(of)}{extra}))"
        if kind == "between":
            return f"({a()} {negated}BETWEEN {self.value(of, columns, 0)} AND {self.value(of, columns, 0)})"
        if kind == "like":
            pattern = r.choice(["'%'", "'张%'", "'_'", "'%a%'", "'a_'", "'%5%'", "''"])
            return f"({self.value(T, columns, depth)} {negated}{r.choice(['LIKE', 'ILIKE'])} {pattern})"
        if kind in ("in query", "exists"):
            one = r.choice(["civil.person", "tax.company"])
            q = self.fresh()
            inner = self.columns(one, q)
            if kind == "exists":
                return f"({negated}EXISTS (SELECT 1 FROM {one} {q}{self.correlated(inner, columns)}))"
            names = [name for name, item_type in inner if item_type is of]
            if not names:
                return f"({a()} IS NULL)"
            return f"({a()} {negated}IN (SELECT {r.choice(names)} FROM {one} {q}{self.correlated(inner, columns)}))"
        if kind == "prefix":
            function = r.choice(["starts_with", "ends_with", "contains"])
            return f"{function}({self.value(T, columns, depth)}, {r.choice([repr('张'), repr('a'), repr('')])})"
        if kind == "is true":
            return f"({self.value(B, columns, depth)} IS {negated}{r.choice(['TRUE', 'FALSE'])})"
        if kind == "distinct from":
            return f"({a()} IS {negated}DISTINCT FROM {self.value(of, columns, depth)})"
        number = r.choice([N, D])
        return f"({self.value(number, columns, 0)} {r.choice(['=', '<'])} {r.choice([repr('12'), repr('2.5'), repr('x'), repr('-1')])})"


CONSTRUCTS = frozenset((
    "star", "distinct", "where", "order", "limit", "group", "having", "aggregate", "filter", "using", "with", "derived table", "totals",
    "totals where", "totals having", "join", "left join", "right join", "full join", "union", "union all", "intersect", "intersect all",
    "except", "except all", "correlated", *TOTALS,
    "division", "length", "case", "simple case", "chosen", "cast", "year", "unary", "scalar query", "decimals", "quotient", "round", "root",
    "cast to double", "case change", "part", "concat", "pipe", "replace", "cast to text", "days", "cast to date", "compare", "logic",
    "is null", "in list", "between", "like", "in query", "exists", "prefix", "is true", "distinct from", "text beside",
))  # fmt: skip
"""Everything that the grammar notes; a run of the differential test must have met each in a statement that ran."""
