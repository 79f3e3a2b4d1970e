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
    fallible: list[exp.Expr] = []
    waiting: list[exp.Expr] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DIVIDING):
            dividing.append(node)
        elif isinstance(node, exp.Sqrt | exp.Ln):
            rooted.append(node)
        if isinstance(node, _FALLIBLE) and not _is_plain_number(node) and _may_be_tried(node):
            fallible.append(node)
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                waiting.append(value)
            elif isinstance(value, list):
                waiting.extend(part for part in value if isinstance(part, exp.Expr))
    for node in dividing:
        divisor = node.expression
        if isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.this) != 0:
            continue
        node.set("expression", exp.Nullif(this=divisor, expression=exp.Literal.number(0)))
    for node in rooted:
        argument = node.this
        if argument.find(exp.Query) is not None:
            continue  # a table must not be copied; the value comes of rows that the person may see, after the cut
        lowest: exp.Expr = exp.GTE(this=argument.copy(), expression=exp.Literal.number(0))
        if isinstance(node, exp.Ln):
            lowest = exp.GT(this=argument.copy(), expression=exp.Literal.number(0))
        node.set("this", exp.Case(ifs=[exp.If(this=lowest, true=argument)]))
    # Each fallible part is tried by itself: `1 + coalesce(a + b, 0)` is 1 where a + b overflows, and an expression that stands
    # both as a grouping key and within a longer one reads the same in both places.
    for node in fallible:
        holder = exp.Try(this=exp.Null())
        node.replace(holder)
        holder.set("this", node)


def _is_plain_number(node: exp.Expr) -> bool:
    return isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)


def _may_be_tried(node: exp.Expr) -> bool:
    """The engine tries scalar expressions only."""
    return not any(isinstance(part, _NOT_WITHIN_TRY) for part in node.walk())
