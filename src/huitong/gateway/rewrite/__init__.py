"""A bound and authorised statement to governed SQL: safe arithmetic, one governed subquery for each mention of a dataset, a row
limit, and fresh text out of the tree. Comments, the person's names and the person's text end here."""

import secrets
from collections.abc import Callable, Mapping

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel

from huitong.errors import Refused
from huitong.gateway.aggregates import faults_of_totals, keep_small_groups_out
from huitong.gateway.noising import Noising, count_for_noise, faults_of_noising
from huitong.gateway.parse import Caps
from huitong.gateway.plan import DatasetPlan, Plan
from huitong.gateway.resolve import Resolution
from huitong.gateway.rewrite.arithmetic import make_safe
from huitong.gateway.rewrite.physical import Physical
from huitong.gateway.rewrite.subquery import governed_subquery
from huitong.gateway.rewrite.untold import untold
from huitong.gateway.telling import Telling
from huitong.model.policy import Mode
from huitong.sharing.term_limits import term_limits

SideFiles = Callable[[str, str, str, int], tuple[str, ...]]
SubjectFiles = Callable[[str], tuple[str, ...]]


def rewrite(
    resolution: Resolution,
    parts: Mapping[str, DatasetPlan],
    *,
    side_files: SideFiles,
    subject_files: SubjectFiles,
    maximum_rows: int,
    caps: Caps,
    in_full: bool = False,
) -> Plan:
    """The plan of a statement without faults whose every dataset has a grant in `parts`. The tree of `resolution` is used up. `in_full`
    orders the rows by every output, after what the statement orders by.

    Raises Refused `rewrite-failed` rather than leave a dataset ungoverned."""
    grants = {name: part.grant for name, part in parts.items()}
    if faults_of_totals(resolution, grants) or faults_of_noising(resolution, grants, term_limits().noised):
        raise Refused.because("rewrite-failed")
    stand_in = secrets.token_hex(16)
    tree = _top(resolution.tree)
    ordered = tree.args.get("order") is not None
    telling: Telling | None = None
    noising: Noising | None = None
    kept = untold(resolution, tree, parts)
    make_safe(tree)
    physical = Physical(stand_in, side_files, subject_files)
    for use in resolution.tables:
        part = parts.get(use.dataset.id)
        if part is None:
            raise Refused.because("rewrite-failed")
        if part.grant.terms.mode is Mode.AGGREGATE_ONLY:
            telling = keep_small_groups_out(tree, use, part)
        elif part.grant.terms.mode is Mode.NOISED:
            tree, noising = count_for_noise(tree, use, part)
        use.node.replace(governed_subquery(use, part, physical, caps, untold=kept))
    if kept.total_order or in_full:
        _order_in_full(tree)
    if noising is None:
        _limit_rows(tree, maximum_rows)
    generator = Dialect.get_or_raise("duckdb").generator(comments=False, unsupported_level=ErrorLevel.RAISE)
    sql = generator.generate(tree, copy=False)
    used = tuple(parts[name] for name in sorted({use.dataset.id for use in resolution.tables}))
    return Plan(
        stand_in=stand_in,
        sql=sql,
        tables=physical.tables(),
        datasets=used,
        ordered=ordered,
        telling=telling,
        noising=noising,
        untold=physical.identifiers(),
    )


def _top(tree: exp.Expr) -> exp.Query:
    """The query inside brackets that stand around a whole statement."""
    while isinstance(tree, exp.Subquery):
        tree = tree.this
    assert isinstance(tree, exp.Select | exp.SetOperation)
    tree.parent = None
    return tree


def _order_in_full(tree: exp.Query) -> None:
    """After what the statement orders by, by every output: which rows a limit leaves then follows from their values alone."""
    order = tree.args.get("order") or exp.Order(expressions=[])
    placed = {int(key.this.this) for key in order.expressions if isinstance(key.this, exp.Literal) and not key.this.is_string}
    for place in range(1, len(tree.selects) + 1):  # of a set operation: those of its left side
        if place not in placed:
            order.append("expressions", exp.Ordered(this=exp.Literal.number(place)))
    tree.set("order", order)


def _limit_rows(tree: exp.Query, maximum_rows: int) -> None:
    """At most `maximum_rows`; a smaller limit of the statement stays."""
    written = tree.args.get("limit")
    if written is not None and int(written.expression.this) <= maximum_rows:
        return
    tree.set("limit", exp.Limit(expression=exp.Literal.number(maximum_rows)))
