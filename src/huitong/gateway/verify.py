"""A second opinion on governed SQL: the engine's own parser reads it, and what it sees must be exactly what was planned.

A difference means that two parsers understand one text in two ways, which is how walls fall: it is an alarm and a refusal."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from huitong.errors import Refused
from huitong.gateway.confined import check_confined
from huitong.gateway.plan import Plan
from huitong.model.query import GovernedTable

_LOG = logging.getLogger("huitong.gateway")


class SeenNames(Protocol):
    """What a parser finds in one SELECT: physical tables, functions and table functions, all in small letters."""

    @property
    def tables(self) -> frozenset[str]:
        """Physical tables, without common table expressions."""

    @property
    def functions(self) -> frozenset[str]:
        """Functions and operators written as functions."""

    @property
    def table_functions(self) -> frozenset[str]:
        """Functions that stand for a table."""


SecondParser = Callable[[str], SeenNames | frozenset[str]]
"""Parses one SELECT without binding or running it, in the engine's own way; raises on anything else. One that gives only the
tables serves too, but then functions are checked by the first parser alone."""


@runtime_checkable
class OfAnotherEngine(Protocol):
    """A second parser of an engine that does not have everything that a statement may hold."""

    def refuse_what_it_lacks(self, sql: str, tables: Sequence[GovernedTable], /) -> None:
        """Raise Refused for governed SQL that this engine does not have."""


ENGINE_FUNCTIONS = frozenset(
    [
        *("+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*"),
        *("like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"),
        *("count", "count_star", "sum", "avg", "min", "max", "median", "quantile_cont", "count_if", "corr"),
        *("stddev", "stddev_pop", "stddev_samp", "variance", "var_samp", "var_pop"),
        *("abs", "round", "floor", "ceil", "trunc", "sign", "sqrt", "ln", "power", "pow"),
        *("greatest", "least", "nullif"),
        *("length", "lower", "upper", "trim", "substring", "left", "right", "repeat", "replace", "reverse"),
        *("concat", "concat_ws"),
        *("starts_with", "ends_with", "suffix", "prefix", "contains", "strpos", "regexp_full_match"),
        *("year", "month", "day", "quarter", "date_part", "date_trunc", "date_diff", "last_day", "strftime"),
        *("to_years", "to_quarters", "to_months", "to_weeks", "to_days", "to_hours", "to_minutes", "to_seconds"),
        "timezone",
        *("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value", "last_value"),
        *("unnest", "string_split", "row", "hash"),
    ]
)
"""Every function that governed SQL can hold, in the engine's words; anything else was not written by the rewriter."""


def verify(plan: Plan, second_parser: SecondParser) -> None:
    """Raises Refused `rewrite-differs` if the second parser sees other tables or functions than planned, or cannot read it, or if an
    identifier that stands in the place of its pseudonym could be told; and for what the engine does not have."""
    functions: frozenset[str] = frozenset()
    table_functions: frozenset[str] = frozenset()
    try:
        seen = second_parser(plan.sql)
        if isinstance(seen, frozenset):
            tables = seen
        else:
            tables, functions, table_functions = seen.tables, seen.functions, seen.table_functions
    except Exception:
        _alarm("unreadable")
        raise Refused.because("rewrite-differs") from None
    if tables != {table.name.lower() for table in plan.tables}:
        _alarm("tables")
        raise Refused.because("rewrite-differs")
    if table_functions or functions - ENGINE_FUNCTIONS:
        _alarm("functions")
        raise Refused.because("rewrite-differs")
    try:
        check_confined(plan)
    except Exception:  # whatever could not be followed could not be proved
        _alarm("identifiers")
        raise Refused.because("rewrite-differs") from None
    if isinstance(second_parser, OfAnotherEngine):
        second_parser.refuse_what_it_lacks(plan.sql, plan.tables)


def _alarm(what: str) -> None:
    """Without the SQL: it may hold literals of a person."""
    _LOG.critical("two parsers differ on governed SQL: %s", what)
