"""What a statement may consist of: every node class, every argument of it and every fixed word it may carry.

A class, argument or word that is not listed here is refused, so syntax that a later parser learns is refused until someone
thinks about it. Order of thought for a new line: can it name a table, an item or a file; can its cost grow without bound; can its
error depend on a row that is not shown; is its result the same on every engine?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp


@dataclass(frozen=True)
class Shape:
    """A node class: the arguments that hold further nodes, and those that hold one of a few words or flags."""

    children: frozenset[str] = frozenset()
    words: Mapping[str, frozenset[object]] = field(default_factory=dict)


def _shape(children: str = "", **words: object) -> Shape:
    return Shape(
        frozenset(children.split()),
        {name: frozenset(values) if isinstance(values, tuple) else frozenset((values,)) for name, values in words.items()},
    )


_SET_OPERATION = _shape("with_ this expression order limit offset", distinct=True)
_BINARY = _shape("this expression")
_UNARY = _shape("this")
_LIKE = _shape("this expression", negate=True)

STRUCTURE: Mapping[type[exp.Expr], Shape] = {
    exp.Select: _shape("with_ expressions distinct from_ joins where group having order limit offset", operation_modifiers=()),
    exp.Union: _SET_OPERATION,
    exp.Intersect: _SET_OPERATION,
    exp.Except: _SET_OPERATION,
    exp.Subquery: _shape("this alias"),
    exp.With: _shape("expressions"),
    exp.CTE: _shape("this alias"),
    exp.From: _UNARY,
    exp.Table: _shape("this db catalog alias"),
    exp.TableAlias: _shape("this"),
    exp.Join: _shape("this on using", side=("LEFT", "RIGHT", "FULL"), kind=("INNER", "OUTER")),
    exp.Where: _UNARY,
    exp.Group: _shape("expressions"),
    exp.Having: _UNARY,
    exp.Order: _shape("expressions"),
    exp.Ordered: _shape("this", desc=True, nulls_first=True),
    exp.Limit: _shape("expression"),
    exp.Offset: _shape("expression"),
    exp.Distinct: _shape("expressions"),
    exp.Alias: _shape("this alias"),
    exp.Identifier: _shape(),
    exp.Column: _shape("this table db catalog"),
    exp.Star: _shape(),
    exp.Literal: _shape(),
    exp.Boolean: _shape(),
    exp.Null: _shape(),
    exp.Var: _shape(),
    exp.Paren: _UNARY,
    exp.DataType: _shape("expressions"),
    exp.DataTypeParam: _UNARY,
    exp.Window: _shape("this partition_by order spec", over="OVER"),
    exp.WindowSpec: _shape(
        "start end",
        kind=("ROWS", "RANGE"),
        start=("UNBOUNDED", "CURRENT ROW"),
        end=("UNBOUNDED", "CURRENT ROW"),
        start_side=("PRECEDING", "FOLLOWING"),
        end_side=("PRECEDING", "FOLLOWING"),
    ),
    exp.Filter: _shape("this expression"),
    exp.Interval: _shape("this unit"),
}

OPERATORS: Mapping[type[exp.Expr], Shape] = {
    exp.And: _BINARY,
    exp.Or: _BINARY,
    exp.Not: _UNARY,
    exp.EQ: _BINARY,
    exp.NEQ: _BINARY,
    exp.GT: _BINARY,
    exp.GTE: _BINARY,
    exp.LT: _BINARY,
    exp.LTE: _BINARY,
    exp.NullSafeEQ: _BINARY,
    exp.NullSafeNEQ: _BINARY,
    exp.Is: _BINARY,
    exp.In: _shape("this expressions query"),
    exp.Between: _shape("this low high"),
    exp.Like: _LIKE,
    exp.ILike: _LIKE,
    exp.Escape: _BINARY,
    exp.Exists: _UNARY,
    exp.Add: _BINARY,
    exp.Sub: _BINARY,
    exp.Mul: _BINARY,
    exp.Div: _BINARY,
    exp.IntDiv: _BINARY,
    exp.Mod: _BINARY,
    exp.Neg: _UNARY,
    exp.DPipe: _shape("this expression", safe=True),
    exp.Case: _shape("this ifs default"),
    exp.If: _shape("this true false"),
    exp.Cast: _shape("this to"),
    exp.TryCast: _shape("this to", safe=True, requires_string=True),
}

AGGREGATES: Mapping[type[exp.Expr], Shape] = {
    exp.Count: _shape("this", big_int=True),
    exp.Sum: _UNARY,
    exp.Avg: _UNARY,
    exp.Min: _UNARY,
    exp.Max: _UNARY,
    exp.Median: _UNARY,
    exp.PercentileCont: _shape("this expression"),
    exp.Stddev: _UNARY,
    exp.StddevPop: _UNARY,
    exp.StddevSamp: _UNARY,
    exp.Variance: _UNARY,
    exp.VariancePop: _UNARY,
    exp.CountIf: _UNARY,
    exp.Corr: _BINARY,
}

RANKINGS: Mapping[type[exp.Expr], Shape] = {
    exp.RowNumber: _shape(),
    exp.Rank: _shape(),
    exp.DenseRank: _shape(),
    exp.PercentRank: _shape(),
    exp.CumeDist: _shape(),
    exp.Ntile: _UNARY,
    exp.Lag: _shape("this offset default"),
    exp.Lead: _shape("this offset default"),
    exp.FirstValue: _UNARY,
    exp.LastValue: _UNARY,
}
"""Functions that have a meaning only over an ordered window."""

FUNCTIONS: Mapping[type[exp.Expr], Shape] = {
    exp.Abs: _UNARY,
    exp.Round: _shape("this decimals"),
    exp.Floor: _UNARY,
    exp.Ceil: _UNARY,
    exp.Sign: _UNARY,
    exp.Sqrt: _UNARY,
    exp.Ln: _UNARY,
    exp.Pow: _BINARY,
    exp.Greatest: _shape("this expressions", ignore_nulls=True),
    exp.Least: _shape("this expressions", ignore_nulls=True),
    exp.Coalesce: _shape("this expressions"),
    exp.Nullif: _BINARY,
    exp.Length: _UNARY,
    exp.Lower: _UNARY,
    exp.Upper: _UNARY,
    exp.Trim: _UNARY,
    exp.Substring: _shape("this start length"),
    exp.Left: _BINARY,
    exp.Right: _BINARY,
    exp.Replace: _shape("this expression replacement"),
    exp.StartsWith: _BINARY,
    exp.EndsWith: _BINARY,
    exp.Contains: _BINARY,
    exp.StrPosition: _shape("this substr"),
    exp.Reverse: _UNARY,
    exp.Year: _UNARY,
    exp.Month: _UNARY,
    exp.Day: _UNARY,
    exp.Quarter: _UNARY,
    exp.Extract: _BINARY,
    exp.TimestampTrunc: _shape("this unit"),
    exp.DateTrunc: _shape("this unit"),
    exp.DateDiff: _shape("this expression unit", date_part_boundary=True),
    exp.LastDay: _UNARY,
    exp.TimeToStr: _shape("this format"),
    exp.Concat: _shape("expressions", safe=True, coalesce=True),
    exp.ConcatWs: _shape("expressions", safe=True, coalesce=True),
}

ALLOWED: Mapping[type[exp.Expr], Shape] = {**STRUCTURE, **OPERATORS, **AGGREGATES, **RANKINGS, **FUNCTIONS}

_QUERY = (exp.Select, exp.Union, exp.Intersect, exp.Except)

UNDER: Mapping[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.With: _QUERY,
    exp.CTE: (exp.With,),
    exp.From: (exp.Select,),
    exp.Join: (exp.Select,),
    exp.Table: (exp.From, exp.Join),
    exp.TableAlias: (exp.Table, exp.Subquery, exp.CTE),
    exp.Where: (exp.Select, exp.Filter),
    exp.Group: (exp.Select,),
    exp.Having: (exp.Select,),
    exp.Order: (*_QUERY, exp.Window),
    exp.Ordered: (exp.Order,),
    exp.Limit: _QUERY,
    exp.Offset: _QUERY,
    exp.Distinct: (exp.Select, *AGGREGATES),
    exp.Alias: (exp.Select,),
    exp.Star: (exp.Select, exp.Count, exp.Column),
    exp.WindowSpec: (exp.Window,),
    exp.Escape: (exp.Like, exp.ILike),
}
"""Where parts that are no expressions may stand; the parser sometimes takes them elsewhere, and other parsers then read otherwise."""

FILLED: Mapping[type[exp.Expr], tuple[str, ...]] = {
    exp.Group: ("expressions",),
    exp.Order: ("expressions",),
    exp.With: ("expressions",),
    exp.Case: ("ifs",),
    exp.In: ("expressions", "query"),
    exp.Coalesce: ("this",),
    exp.Concat: ("expressions",),
    exp.ConcatWs: ("expressions",),
    exp.Select: ("expressions",),
}
"""Parts of which at least one argument must be there: `IN ()` and an empty GROUP BY mean different things to different parsers."""

REQUIRED: Mapping[type[exp.Expr], tuple[str, ...]] = {
    kind: tuple(name for name, needed in kind.arg_types.items() if needed and name in shape.children)
    for kind, shape in ALLOWED.items()
}
"""Arguments without which a part has no meaning; the parser lets some of them be missing, as in `max()`."""

UNITS = frozenset(("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"))
"""Units of extract, date_trunc, date_diff and intervals."""

CAST_TYPES = frozenset(
    (
        exp.DType.TEXT,
        exp.DType.VARCHAR,
        exp.DType.INT,
        exp.DType.BIGINT,
        exp.DType.SMALLINT,
        exp.DType.DOUBLE,
        exp.DType.DECIMAL,
        exp.DType.BOOLEAN,
        exp.DType.DATE,
        exp.DType.TIMESTAMP,
        exp.DType.TIMESTAMPNTZ,
    )
)

CONSTRUCTS: Mapping[str, tuple[str, str]] = {
    "Command": ("a statement that is not SELECT", "SELECT"),
    "Describe": ("DESCRIBE / SUMMARIZE", "huitong dataset show"),
    "Summarize": ("DESCRIBE / SUMMARIZE", "SELECT count(*), min(...), max(...)"),
    "Pivot": ("PIVOT", "sum(CASE WHEN ... THEN ... END) ... GROUP BY"),
    "Values": ("VALUES", "CASE WHEN ... THEN ... END"),
    "Placeholder": ("?", "a literal"),
    "Parameter": ("$1", "a literal"),
    "Lateral": ("LATERAL", "JOIN ... ON"),
    "Unnest": ("UNNEST", ""),
    "Lambda": ("->", ""),
    "Bracket": ("[...]", "substring(...)"),
    "Tuple": ("(..., ...)", "... AND ..."),
    "Array": ("[...]", "IN (...)"),
    "Struct": ("{...}", ""),
    "Dot": ("a.b.c.d", "dataset.item"),
    "Rollup": ("ROLLUP", "UNION ALL"),
    "Cube": ("CUBE", "UNION ALL"),
    "Select.qualify": ("QUALIFY", "SELECT ... FROM (SELECT ..., row_number() OVER (...) AS n ...) x WHERE n = 1"),
    "Select.windows": ("WINDOW", "OVER (... ORDER BY ...)"),
    "Select.into": ("INTO", ""),
    "Select.locks": ("FOR UPDATE", ""),
    "Select.sample": ("USING SAMPLE", "LIMIT"),
    "Select.laterals": ("LATERAL", "JOIN ... ON"),
    "Select.pivots": ("PIVOT", "sum(CASE WHEN ... THEN ... END) ... GROUP BY"),
    "Table.sample": ("TABLESAMPLE", "LIMIT"),
    "Table.pivots": ("PIVOT", "sum(CASE WHEN ... THEN ... END) ... GROUP BY"),
    "Subquery.pivots": ("PIVOT", "sum(CASE WHEN ... THEN ... END) ... GROUP BY"),
    "Table.version": ("AT (VERSION => ...)", ""),
    "Table.when": ("AT (VERSION => ...)", ""),
    "Table.joins": ("(... JOIN ...)", "JOIN ... ON"),
    "Table.ordinality": ("WITH ORDINALITY", ""),
    "TableAlias.columns": ("x(a, b)", "SELECT ... AS a"),
    "Join.method": ("NATURAL / ASOF / POSITIONAL JOIN", "JOIN ... ON"),
    "Join.kind": ("CROSS / SEMI / ANTI JOIN", "JOIN ... ON, EXISTS (...)"),
    "Join.side": ("CROSS / SEMI / ANTI JOIN", "JOIN ... ON, EXISTS (...)"),
    "With.recursive": ("WITH RECURSIVE", ""),
    "CTE.materialized": ("MATERIALIZED", "WITH ... AS (...)"),
    "Union.by_name": ("UNION BY NAME", "UNION ALL"),
    "Union.side": ("UNION CORRESPONDING", "UNION ALL"),
    "Distinct.on": ("DISTINCT ON", "row_number() OVER (PARTITION BY ... ORDER BY ...)"),
    "Group.all": ("GROUP BY ALL", "GROUP BY 1, 2"),
    "Group.rollup": ("ROLLUP", "UNION ALL"),
    "Group.cube": ("CUBE", "UNION ALL"),
    "Group.grouping_sets": ("GROUPING SETS", "UNION ALL"),
    "Star.except_": ("* EXCLUDE", "SELECT a, b"),
    "Star.replace": ("* REPLACE", "SELECT a, b"),
    "Star.rename": ("* RENAME", "SELECT a AS b"),
    "Star.ilike": ("* LIKE", "SELECT a, b"),
    "Columns": ("COLUMNS(...)", "SELECT a, b"),
    "Limit.limit_options": ("LIMIT n PERCENT", "LIMIT n"),
    "Collate": ("COLLATE", "lower(...)"),
    "Any": ("ANY (...)", "IN (...)"),
    "All": ("ALL (...)", "max(...), min(...)"),
    "RegexpLike": ("regexp_matches", "LIKE, starts_with(...)"),
    "SimilarTo": ("SIMILAR TO", "LIKE"),
    "Glob": ("GLOB", "LIKE"),
    "IgnoreNulls": ("any_value / IGNORE NULLS", "min(...)"),
    "RespectNulls": ("RESPECT NULLS", ""),
    "AnyValue": ("any_value", "min(...)"),
    "First": ("first", "min(...)"),
    "Last": ("last", "max(...)"),
    "Mode": ("mode", "count(*) ... GROUP BY"),
    "ArrayAgg": ("list / array_agg", ""),
    "GroupConcat": ("string_agg", ""),
    "ApproxDistinct": ("approx_count_distinct", "count(DISTINCT ...)"),
    "Repeat": ("repeat", ""),
    "Pad": ("lpad / rpad", "right('000' || ..., 3)"),
    "CurrentDate": ("current_date", "DATE '2026-01-31'"),
    "CurrentTimestamp": ("now", "TIMESTAMP '2026-01-31 00:00:00'"),
    "HexString": ("x'..'", ""),
    "ByteString": ("e'..'", "'..'"),
    "RawString": ("$$..$$", "'..'"),
    "Heredoc": ("$$..$$", "'..'"),
    "GenerateSeries": ("range / generate_series", ""),
    "ExplodingGenerateSeries": ("range / generate_series", ""),
    "ReadCSV": ("read_csv", "a dataset of the catalogue"),
    "ReadParquet": ("read_parquet", "a dataset of the catalogue"),
    "Copy": ("COPY", "SELECT"),
    "SplitPart": ("split_part", "substring(...)"),
    "Intersect.by_name": ("BY NAME", "INTERSECT"),
    "Except.by_name": ("BY NAME", "EXCEPT"),
}
"""How a refused class or argument is called in a sentence and what to write instead ("" when there is nothing). Words of SQL
only, so that they stand in a sentence of either language."""

FUNCTIONS_INSTEAD: Mapping[str, str] = {
    "age": "date_diff('year', ..., ...)",
    "iff": "CASE WHEN ... THEN ... END",
    "isnull": "... IS NULL",
    "now": "TIMESTAMP '2026-01-31 00:00:00'",
    "date_part": "extract(year FROM ...)",
    "weekday": "extract(...)",
    "read_csv": "a dataset of the catalogue",
    "read_parquet": "a dataset of the catalogue",
    "read_json": "a dataset of the catalogue",
    "regexp_extract": "substring(...)",
    "string_split": "substring(...)",
    "list_value": "IN (...)",
    "md5": "count(DISTINCT ...)",
    "quantile_disc": "quantile_cont(..., 0.5)",
    "sqr": "power(..., 2)",
}
"""What to write instead of a function that is not listed, where there is something close."""


def function_names() -> tuple[str, ...]:
    """The functions that a statement may call, in alphabetical order, for help texts."""
    kinds = (*AGGREGATES, *RANKINGS, *FUNCTIONS)
    spoken = {exp.TimestampTrunc: "date_trunc", exp.DateTrunc: "date_trunc", exp.TimeToStr: "strftime", exp.Pow: "power"}
    spoken |= {exp.StrPosition: "strpos"}
    spoken |= {exp.PercentileCont: "quantile_cont", exp.DateDiff: "date_diff", exp.CountIf: "count_if", exp.VariancePop: "var_pop"}
    return tuple(sorted({spoken.get(kind) or kind.sql_name().lower() for kind in kinds if issubclass(kind, exp.Func)}))
