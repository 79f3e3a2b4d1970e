"""One statement that counts how many groups of a question lie too close to those of earlier ones, in two passes over the dataset
however many there are.

In each *comparison* of the new question with an earlier one, each row gets the group that it has in the one, `a`, and in the other, `b`,
or none. Only groups of at least k entities were told. Two of them are too close if fewer than k entities have a row in one that is not in
the other. A whole and its parts are too close if fewer than k entities have a row of the whole that is in none of the told groups that
lie wholly within it: what was suppressed would be the whole less the parts.

Where the conditions of the questions differ, not at all apart is too close as well: else a refusal alone would say whether there is one
whom the condition picks out, and what is known of that one.

Entities whose rows lie in the very same groups of all questions are not told apart by any comparison. So the passes make *kinds*: for each
the combinations of groups that its entities have rows in, and how many entities it has; the comparisons then go over kinds, of which there
are mostly few, and count the same as over entities. Rows of no known entity make a kind of no entities. Kinds are known by the hashes of
their combinations, as groups and entities are by theirs."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from huitong.errors import Refused
from huitong.gateway.parse import Caps
from huitong.gateway.plan import DatasetPlan, Plan
from huitong.gateway.questions import Question
from huitong.gateway.rewrite.physical import Physical, column_node, columns_of, identifier_node, table_node
from huitong.gateway.rewrite.subquery import entities_of, governed_items, rule_of
from huitong.masks import engine_type

FOUND = "found"
"""The one output: how many are too close."""

SideFiles = Callable[[str, str, str, int], tuple[str, ...]]
SubjectFiles = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True)
class Comparison:
    """With an earlier question, and the dataset as its grant showed it. With `known`, only rows where both know that item count: those
    that a sum or mean of it is made of."""

    question: Question
    part: DatasetPlan
    known: str | None


def too_close(
    new: tuple[Question, DatasetPlan],
    comparisons: Sequence[Comparison],
    *,
    side_files: SideFiles,
    subject_files: SubjectFiles,
    caps: Caps,
) -> Plan:
    """The plan of that statement for questions about one snapshot."""
    one, part = new
    k = part.grant.terms.k
    earlier: dict[int, Comparison] = {}
    for compared in comparisons:
        if compared.part.grant.terms.k is None or part.read != compared.part.read:
            raise Refused.because("rewrite-failed")
        earlier.setdefault(id(compared.question), compared)
    if k is None or not comparisons:
        raise Refused.because("rewrite-failed")
    stand_in = secrets.token_hex(16)
    physical = Physical(stand_in, side_files, subject_files)
    table = physical.of_dataset(part)
    entity = _hash_of_known([column for _, column in entities_of(part, physical)])
    shown: list[exp.Expr] = [exp.Alias(this=entity, alias=identifier_node("e"))]
    joins: list[exp.Expr] = []
    sides = {key: f"b{number}" for number, key in enumerate(earlier)}
    for side, question, of in (("a", one, part), *((sides[key], old.question, old.part) for key, old in earlier.items())):
        items, more = governed_items(question.items, of, physical, tokens=f"k{side}")
        joins += more
        shown += [exp.Alias(this=masked, alias=identifier_node(f"{side} {name}")) for name, masked in items]
        shown.append(exp.Alias(this=rule_of(of, physical, caps) or exp.true(), alias=identifier_node(f"{side} in")))
    if not table.columns:
        name, kind = next(iter(columns_of(part).items()))
        table.columns[name] = engine_type(kind)
    rows = exp.Select(expressions=shown, from_=exp.From(this=table_node(table.name, "p")), joins=joins)
    rows.set("offset", exp.Offset(expression=exp.Literal.number(0)))
    groups: dict[str, str] = {}
    """Each group of a row once, with its name."""
    pairs, limits = [], []
    for number, compared in enumerate(comparisons):
        places = [
            groups.setdefault(_group(side, question, compared.known).sql(dialect="duckdb"), f"g{len(groups)}")
            for side, question in (("a", one), (sides[id(compared.question)], compared.question))
        ]
        pairs.append(_PAIR.format(number=number, a=places[0], b=places[1]))
        k_before = compared.part.grant.terms.k or 0
        least = 0 if one.condition != compared.question.condition else 1
        limits.append(f"SELECT {number} AS i, {int(k_before)} AS k_b, {max(k, k_before)} AS most, {least} AS least")
    names = ", ".join(groups.values())
    sql = _STATEMENT.format(
        names=names,
        groups=", ".join(f"{group} AS {name}" for group, name in groups.items()),
        some=" OR ".join(f"NOT {name} IS NULL" for name in groups.values()),
        rows=rows.sql(dialect="duckdb", comments=False),
        pairs=" UNION ALL ".join(pairs),
        limits=" UNION ALL ".join(limits),
        k_a=int(k),
    )
    return Plan(stand_in=stand_in, sql=sql, tables=physical.tables(), datasets=(part,))


_PAIR = "SELECT {number} AS i, st.s, st.w, tu.{a} AS a, tu.{b} AS b FROM st JOIN tu ON tu.t = st.t"
_STATEMENT = """
WITH et AS MATERIALIZED (
  SELECT DISTINCT e, hash({names}) AS t FROM (SELECT e, {groups} FROM ({rows}) AS r) AS g WHERE {some}
),
tu AS MATERIALIZED (
  SELECT DISTINCT hash({names}) AS t, {names} FROM (SELECT {groups} FROM ({rows}) AS r) AS g WHERE {some}
),
se AS (SELECT e, count(*) AS n, sum(t) AS x, min(t) AS lo, max(t) AS hi FROM et WHERE NOT e IS NULL GROUP BY e),
sg AS MATERIALIZED (SELECT min(e) AS s, count(*) AS w FROM se GROUP BY n, x, lo, hi),
st AS MATERIALIZED (
  SELECT sg.s, sg.w, et.t FROM sg JOIN et ON et.e = sg.s
  UNION ALL
  SELECT NULL AS s, 0 AS w, et.t FROM et WHERE et.e IS NULL
),
ks AS ({limits}),
c AS MATERIALIZED (SELECT DISTINCT i, s, w, a, b FROM ({pairs}) AS u WHERE NOT a IS NULL OR NOT b IS NULL),
ca AS (SELECT DISTINCT i, a, s, w FROM c WHERE NOT a IS NULL),
cb AS (SELECT DISTINCT i, b, s, w FROM c WHERE NOT b IS NULL),
na AS MATERIALIZED (SELECT i, a, sum(w) AS n FROM ca GROUP BY i, a HAVING sum(w) >= {k_a}),
nb AS MATERIALIZED (
  SELECT m.i, m.b, m.n FROM (SELECT i, b, sum(w) AS n FROM cb GROUP BY i, b) AS m JOIN ks ON ks.i = m.i WHERE m.n >= ks.k_b
),
nab AS (SELECT i, a, b, sum(w) AS n FROM c WHERE NOT a IS NULL AND NOT b IS NULL GROUP BY i, a, b),
near AS MATERIALIZED (
  SELECT nab.i, nab.a, nab.b FROM nab
  JOIN na ON na.i = nab.i AND na.a = nab.a
  JOIN nb ON nb.i = nab.i AND nb.b = nab.b
  JOIN ks ON ks.i = nab.i
  WHERE na.n - nab.n < ks.most AND nb.n - nab.n < ks.most
),
apart AS (
  SELECT near.i, near.a, near.b, c.s, c.w FROM near JOIN c ON c.i = near.i AND c.a = near.a WHERE c.b IS DISTINCT FROM near.b
  UNION
  SELECT near.i, near.a, near.b, c.s, c.w FROM near JOIN c ON c.i = near.i AND c.b = near.b WHERE c.a IS DISTINCT FROM near.a
),
pairs AS (
  SELECT near.i, coalesce(sum(apart.w), 0) AS n
  FROM near LEFT JOIN apart ON apart.i = near.i AND apart.a = near.a AND apart.b = near.b
  GROUP BY near.i, near.a, near.b
),
within_b AS MATERIALIZED (
  SELECT c.i, c.a, min(c.b) AS b FROM c JOIN na ON na.i = c.i AND na.a = c.a
  GROUP BY c.i, c.a HAVING count(*) = count(c.b) AND min(c.b) = max(c.b)
),
within_a AS MATERIALIZED (
  SELECT c.i, c.b, min(c.a) AS a FROM c JOIN nb ON nb.i = c.i AND nb.b = c.b
  GROUP BY c.i, c.b HAVING count(*) = count(c.a) AND min(c.a) = max(c.a)
),
out_b AS (
  SELECT c.i, c.b AS whole, c.s, c.w, max(CASE WHEN w.a IS NULL THEN 1 ELSE 0 END) AS o
  FROM c JOIN nb ON nb.i = c.i AND nb.b = c.b
  JOIN (SELECT DISTINCT i, b FROM within_b) AS h ON h.i = c.i AND h.b = c.b
  LEFT JOIN within_b AS w ON w.i = c.i AND w.a = c.a AND w.b = c.b
  GROUP BY c.i, c.b, c.s, c.w
),
out_a AS (
  SELECT c.i, c.a AS whole, c.s, c.w, max(CASE WHEN w.b IS NULL THEN 1 ELSE 0 END) AS o
  FROM c JOIN na ON na.i = c.i AND na.a = c.a
  JOIN (SELECT DISTINCT i, a FROM within_a) AS h ON h.i = c.i AND h.a = c.a
  LEFT JOIN within_a AS w ON w.i = c.i AND w.b = c.b AND w.a = c.a
  GROUP BY c.i, c.a, c.s, c.w
),
every AS (
  SELECT i, n FROM pairs
  UNION ALL
  SELECT i, sum(CASE WHEN o = 1 THEN w ELSE 0 END) AS n FROM out_b GROUP BY i, whole
  UNION ALL
  SELECT i, sum(CASE WHEN o = 1 THEN w ELSE 0 END) AS n FROM out_a GROUP BY i, whole
)
SELECT count(*) AS found FROM every JOIN ks ON ks.i = every.i WHERE every.n >= ks.least AND every.n < ks.most
"""


def _group(side: str, question: Question, known: str | None) -> exp.Expr:
    """The group of a row in a question, as a hash of its keys; NULL if it is in none."""
    conditions: list[exp.Expr] = [column_node("r", f"{side} in")]
    if question.condition:
        condition = exp.Paren(this=sqlglot.parse_one(question.condition, dialect="duckdb"))
        for column in condition.find_all(exp.Column):
            column.replace(column_node("r", f"{side} {column.name}"))
        conditions.append(exp.Try(this=condition))
    if known is not None:
        conditions.append(exp.Not(this=exp.Is(this=column_node("r", f"{side} {known}"), expression=exp.Null())))
    keys = [exp.Literal.number(0), *(column_node("r", f"{side} {key}") for key in question.keys)]
    group = exp.Anonymous(this="hash", expressions=keys)
    return exp.Case(ifs=[exp.If(this=exp.and_(*conditions, copy=False), true=group)])


def _hash_of_known(columns: list[exp.Expr]) -> exp.Expr:
    every = exp.and_(*(exp.Not(this=exp.Is(this=one.copy(), expression=exp.Null())) for one in columns), copy=False)
    return exp.Case(ifs=[exp.If(this=every, true=exp.Anonymous(this="hash", expressions=columns))])
