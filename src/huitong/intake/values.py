"""When a text is a value of an item's type, as SQL: strict, so that what is read back is what was written.

A whole number with a leading zero is a code and must be declared text; a decimal that a double would change is refused; a date must
exist; an instant must say its zone. An empty field is a missing value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from huitong.engines.duckdb import quote_name
from huitong.model.catalog import ItemType

REASONS: Mapping[ItemType, str] = {
    ItemType.INTEGER: "value-not-integer",
    ItemType.DECIMAL: "value-not-decimal",
    ItemType.BOOLEAN: "value-not-boolean",
    ItemType.DATE: "value-not-date",
    ItemType.INSTANT: "value-not-instant",
    ItemType.TEXT: "value-not-text",
}
"""Reason codes of values that do not fit."""


@dataclass(frozen=True)
class Reader:
    """Two SQL expressions over one column: the typed value (NULL if missing or unfit) and whether a value is there but unfit."""

    value: str
    unfit: str


def reader_of_text(column: str, kind: ItemType) -> Reader:
    """How a text column becomes values of an item type."""
    source = quote_name(column)
    text = f"trim({source})"
    there = f"({source} IS NOT NULL AND {text} <> '')"
    if kind is ItemType.TEXT:
        return Reader(source, "false")
    if kind is ItemType.INTEGER:
        value = f"TRY_CAST({text} AS BIGINT)"
        return Reader(value, f"({there} AND CAST({value} AS VARCHAR) IS DISTINCT FROM {text})")
    if kind is ItemType.DECIMAL:
        value = f"TRY_CAST({text} AS DOUBLE)"
        shape = f"regexp_full_match({text}, '-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]{{1,3}})?')"
        digits = f"length(ltrim(regexp_replace(regexp_replace({text}, '[eE].*', ''), '[^0-9]', '', 'g'), '0')) <= 15"
        fits = f"coalesce({shape} AND isfinite({value}) AND ({digits} OR CAST({value} AS VARCHAR) = {text}), false)"
        return Reader(value, f"({there} AND NOT {fits})")
    if kind is ItemType.BOOLEAN:
        value = (
            f"CASE WHEN lower({text}) IN ('true', '1', 'yes', '是') THEN true "
            f"WHEN lower({text}) IN ('false', '0', 'no', '否') THEN false END"
        )
    elif kind is ItemType.DATE:
        value = (
            f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN TRY_CAST({text} AS DATE) "
            f"WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}( 00:00:00)?') "
            f"THEN CAST(try_strptime(replace({text}, ' 00:00:00', ''), '%Y-%m-%d') AS DATE) "
            f"WHEN regexp_full_match({text}, '[0-9]{{4}}/[0-9]{{1,2}}/[0-9]{{1,2}}') THEN CAST(try_strptime({text}, '%Y/%m/%d') AS DATE) "
            f"WHEN regexp_full_match({text}, '[0-9]{{8}}') THEN CAST(try_strptime({text}, '%Y%m%d') AS DATE) "
            f"WHEN regexp_full_match({text}, '[0-9]{{4}}年[0-9]{{1,2}}月[0-9]{{1,2}}日') "
            f"THEN CAST(try_strptime({text}, '%Y年%m月%d日') AS DATE) END"
        )
    else:
        shape = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:[0-9]{2})?)"
        value = f"CASE WHEN regexp_full_match({text}, '{shape}') THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
    return Reader(value, f"({there} AND ({value}) IS NULL)")


def reader_of_typed(column: str, kind: ItemType) -> Reader:
    """How a column of a matching Parquet type becomes values of an item type."""
    source = quote_name(column)
    if kind is ItemType.INTEGER:
        return Reader(f"TRY_CAST({source} AS BIGINT)", f"({source} IS NOT NULL AND TRY_CAST({source} AS BIGINT) IS NULL)")
    if kind is ItemType.DECIMAL:
        value = f"CAST({source} AS DOUBLE)"
        return Reader(value, f"({source} IS NOT NULL AND NOT isfinite({value}))")
    target = {ItemType.TEXT: "VARCHAR", ItemType.BOOLEAN: "BOOLEAN", ItemType.DATE: "DATE", ItemType.INSTANT: "TIMESTAMPTZ"}[kind]
    return Reader(f"CAST({source} AS {target})", "false")
