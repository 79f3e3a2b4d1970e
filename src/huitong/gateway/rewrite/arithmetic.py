"""Arithmetic that cannot fail and means the same on every engine: an error that depends on a row would tell about that row.

Division and remainder by zero give NULL; what overflows or has no value gives NULL. Sums of aggregates are left alone: they are
computed from rows that the person may see, after the cut."""

from sqlglot import exp

from huitong.gateway.allowed import AGGREGATES

_DIVIDING = (exp.Div, exp.IntDiv, exp.Mod)
_FALLIBLE = (
    exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs, exp.Pow, exp.LastDay, exp.DateDiff, exp.TimestampTrunc,
    exp.DateTrunc, exp.TimeToStr,
)  # fmt: skip
_NOT_WITHIN_TRY = (*AGGREGATES, exp.Window, exp.Select, exp.SetOperation, exp.Subquery)


def make_safe(tree: exp.Expr) -> None:
    """Change the tree in place."""
    dividing: list[exp.Expr] = []
    rooted: list[exp.Expr] = []
    outermost: list[exp.Expr] = []
    waiting: list[tuple[exp.Expr, bool]] = [(tree, False)]
    while waiting:
        node, covered = waiting.pop()
        if isinstance(node, _DIVIDING):
            dividing.append(node)
        elif isinstance(node, exp.Sqrt | exp.Ln):
            rooted.append(node)
        if isinstance(node, _FALLIBLE) and not covered and not _is_plain_number(node) and _may_be_tried(node):
            outermost.append(node)
            covered = True
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                waiting.append((value, covered))
            elif isinstance(value, list):
                waiting.extend((part, covered) for part in value if isinstance(part, exp.Expr))
    for node in dividing:
        divisor = node.expression
        if isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.this) != 0:
            continue
        node.set("expression", exp.Nullif(this=divisor, expression=exp.Literal.number(0)))
    for node in rooted:
        argument = node.this
        lowest: exp.Expr = exp.GTE(this=argument.copy(), expression=exp.Literal.number(0))
        if isinstance(node, exp.Ln):
            lowest = exp.GT(this=argument.copy(), expression=exp.Literal.number(0))
        node.set("this", exp.Case(ifs=[exp.If(this=lowest, true=argument)]))
    for node in outermost:
        holder = exp.Try(this=exp.Null())
        node.replace(holder)
        holder.set("this", node)


def _is_plain_number(node: exp.Expr) -> bool:
    return isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)


def _may_be_tried(node: exp.Expr) -> bool:
    """The engine tries scalar expressions only."""
    return not any(isinstance(part, _NOT_WITHIN_TRY) for part in node.walk())
