"""One statement that counts how many groups of two questions lie too close together, in one pass over the dataset.

Each row gets the group that it has in the one question, `a`, and in the other, `b`, or none. Only groups of at least k entities were
told. Two of them are too close if fewer than k entities have a row in one that is not in the other. A whole and its parts are too close
if fewer than k entities have a row of the whole that is in none of the told groups that lie wholly within it: what was suppressed would be
the whole less the parts.

Where the conditions of the questions differ, not at all apart is too close as well: else a refusal alone would say whether there is one
whom the condition picks out, and what is known of that one."""

import secrets
from collections.abc import Callable

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


def too_close(
    new: tuple[Question, DatasetPlan],
    old: tuple[Question, DatasetPlan],
    *,
    known: str | None,
    side_files: SideFiles,
    subject_files: SubjectFiles,
    caps: Caps,
) -> Plan:
    """The plan of that statement for two questions about one snapshot. With `known`, only rows where both know that item count: those
    that a sum or mean of it is made of."""
    (one, part), (other, before) = new, old
    k, k_before = part.grant.terms.k, before.grant.terms.k
    if k is None or k_before is None or part.read != before.read:
        raise Refused.because("rewrite-failed")
    stand_in = secrets.token_hex(16)
    physical = Physical(stand_in, side_files, subject_files)
    table = physical.of_dataset(part)
    entity = _hash_of_known([column for _, column in entities_of(part, physical)])
    shown: list[exp.Expr] = [exp.Alias(this=entity, alias=identifier_node("e"))]
    joins: list[exp.Expr] = []
    for side, question, of in (("a", one, part), ("b", other, before)):
        items, more = governed_items(question.items, of, physical, tokens=f"k{side}")
        joins += more
        shown += [exp.Alias(this=masked, alias=identifier_node(f"{side} {name}")) for name, masked in items]
        shown.append(exp.Alias(this=rule_of(of, physical, caps) or exp.true(), alias=identifier_node(f"{side} in")))
    if not table.columns:
        name, kind = next(iter(columns_of(part).items()))
        table.columns[name] = engine_type(kind)
    rows = exp.Select(expressions=shown, from_=exp.From(this=table_node(table.name, "p")), joins=joins)
    rows.set("offset", exp.Offset(expression=exp.Literal.number(0)))
    groups = [f"{_group(side, question, known).sql(dialect='duckdb')} AS {side}" for side, question in (("a", one), ("b", other))]
    sql = _STATEMENT.format(
        groups=", ".join(groups),
        rows=rows.sql(dialect="duckdb", comments=False),
        k_a=int(k),
        k_b=int(k_before),
        most=max(k, k_before),
        least=0 if one.condition != other.condition else 1,
    )
    return Plan(stand_in=stand_in, sql=sql, tables=physical.tables(), datasets=(part,))


_STATEMENT = """
WITH c AS MATERIALIZED (
  SELECT DISTINCT e, a, b FROM (SELECT e, {groups} FROM ({rows}) AS r) AS g WHERE NOT a IS NULL OR NOT b IS NULL
),
na AS (SELECT a, count(DISTINCT e) AS n FROM c WHERE NOT a IS NULL GROUP BY a HAVING count(DISTINCT e) >= {k_a}),
nb AS (SELECT b, count(DISTINCT e) AS n FROM c WHERE NOT b IS NULL GROUP BY b HAVING count(DISTINCT e) >= {k_b}),
nab AS (SELECT a, b, count(e) AS n FROM c WHERE NOT a IS NULL AND NOT b IS NULL GROUP BY a, b),
near AS (
  SELECT nab.a, nab.b FROM nab JOIN na ON na.a = nab.a JOIN nb ON nb.b = nab.b
  WHERE na.n - nab.n < {most} AND nb.n - nab.n < {most}
),
apart AS (
  SELECT near.a, near.b, c.e FROM near JOIN c ON c.a = near.a WHERE c.b IS DISTINCT FROM near.b
  UNION ALL
  SELECT near.a, near.b, c.e FROM near JOIN c ON c.b = near.b WHERE c.a IS DISTINCT FROM near.a
),
pairs AS (
  SELECT near.a, near.b, count(DISTINCT apart.e) AS n FROM near LEFT JOIN apart ON apart.a = near.a AND apart.b = near.b
  GROUP BY near.a, near.b
),
within_b AS (SELECT c.a, min(c.b) AS b FROM c JOIN na ON na.a = c.a GROUP BY c.a HAVING count(*) = count(c.b) AND min(c.b) = max(c.b)),
within_a AS (SELECT c.b, min(c.a) AS a FROM c JOIN nb ON nb.b = c.b GROUP BY c.b HAVING count(*) = count(c.a) AND min(c.a) = max(c.a)),
rest_b AS (
  SELECT c.b, count(DISTINCT CASE WHEN w.a IS NULL THEN c.e END) AS n FROM c JOIN nb ON nb.b = c.b
  LEFT JOIN within_b AS w ON w.a = c.a AND w.b = c.b WHERE c.b IN (SELECT b FROM within_b) GROUP BY c.b
),
rest_a AS (
  SELECT c.a, count(DISTINCT CASE WHEN w.b IS NULL THEN c.e END) AS n FROM c JOIN na ON na.a = c.a
  LEFT JOIN within_a AS w ON w.b = c.b AND w.a = c.a WHERE c.a IN (SELECT a FROM within_a) GROUP BY c.a
)
SELECT (SELECT count(*) FROM pairs WHERE n >= {least} AND n < {most})
  + (SELECT count(*) FROM rest_a WHERE n >= {least} AND n < {most})
  + (SELECT count(*) FROM rest_b WHERE n >= {least} AND n < {most}) AS found
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
