"""A quota in rows counts the rows that leave, so a row that leaves must not carry the values of others: a statement that packs many rows
into one would make the quota worth nothing. Where a grant limits rows, each row of the answer comes of one row of its dataset, or is a
total: what could be used to put several together is refused, with what to write instead."""

from collections import Counter
from collections.abc import Mapping

from sqlglot import exp

from huitong.errors import Reason
from huitong.gateway.allowed import AGGREGATES
from huitong.gateway.resolve import Resolution
from huitong.model.policy import Grant

_RANKINGS = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile)
"""Windows that tell of a row only where it stands."""
_COUNTS = (exp.Count, exp.CountIf)
_ONE_VALUE = (exp.Min, exp.Max, exp.Sum, exp.Avg, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
"""Totals of an item of which there is one for a group; of medians and percentiles there could be as many as there are rows."""


def faults_of_packing(resolution: Resolution, grants: Mapping[str, Grant]) -> tuple[Reason, ...]:
    """Everything by which an answer could carry more rows of a grant with a quota in rows than it counts; empty without such a grant."""
    limited = [grant for grant in grants.values() if grant.terms.quota is not None and grant.terms.quota.rows is not None]
    if not limited:
        return ()
    mentions = Counter(use.dataset.id for use in resolution.tables)
    faults = [_fault("quota-one-mention", grant) for grant in limited if mentions[grant.dataset] > 1]
    datasets = {id(use.node) for use in resolution.tables}
    common = Counter(table.name.lower() for table in resolution.tree.find_all(exp.Table) if id(table) not in datasets)
    if any(times > 1 for times in common.values()):
        faults.append(_fault("quota-one-mention", limited[0]))
    if any(not isinstance(window.this, _RANKINGS) for window in resolution.tree.find_all(exp.Window)):
        faults.append(_fault("quota-window", limited[0]))
    totals = [node for node in resolution.tree.find_all(*AGGREGATES) if not isinstance(node, _COUNTS)]
    if totals and (_has_query_inside(resolution.tree) or not all(_is_of_item(node) for node in totals)):
        faults.append(_fault("quota-total", limited[0]))
    return tuple(dict.fromkeys(faults))


def _is_of_item(node: exp.Expr) -> bool:
    """Whether it is one total of a bare item, over all rows of its group."""
    argument = node.this
    while isinstance(argument, exp.Paren):
        argument = argument.this
    return isinstance(node, _ONE_VALUE) and isinstance(argument, exp.Column) and not isinstance(node.parent, exp.Filter)


def _has_query_inside(tree: exp.Query) -> bool:
    top: exp.Expr = tree
    while isinstance(top, exp.Subquery):
        top = top.this
    return not isinstance(top, exp.Select) or any(isinstance(node, exp.Query) for node in top.walk() if node is not top)


def _fault(code: str, grant: Grant) -> Reason:
    return Reason(code, {"grant": grant.id, "dataset": grant.dataset})
