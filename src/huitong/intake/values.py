"""When a text is a value of an item's type, as SQL: strict, so that what is read back is what was written.

A whole number with a leading zero is a code and must be declared text; a decimal that a double would change is refused; a date must
exist; an instant must say its zone. An empty field is a missing value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

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
    """SQL expressions over one column: the typed value, NULL if missing or unfit, and whether something is there."""

    value: str
    there: str
    always_fits: bool = False

    @property
    def unfit(self) -> str:
        """Whether something is there that is no value."""
        return "false" if self.always_fits else f"({self.there} AND ({self.value}) IS NULL)"

    def value_or_error(self, column: str) -> str:
        """The value; stops the whole statement at the first unfit one."""
        if self.always_fits:
            return self.value
        return f"CASE WHEN ({self.value}) IS NULL AND {self.there} THEN error({quote_name(column)}) ELSE {self.value} END"


def reader_of_text(column: str, kind: ItemType) -> Reader:
    """How a text column becomes values of an item type.

    The first branch of each CASE is the usual form, recognised without a regular expression: a million rows a second need it."""
    source = quote_name(column)
    text = f"trim({source})"
    there = f"({source} IS NOT NULL AND {text} <> '')"
    if kind is ItemType.TEXT:
        return Reader(f"nullif({source}, '')", there, always_fits=True)
    if kind is ItemType.INTEGER:
        value = f"TRY_CAST({text} AS BIGINT)"
        return Reader(f"CASE WHEN CAST({value} AS VARCHAR) = {text} THEN {value} END", there)
    if kind is ItemType.DECIMAL:
        value = f"TRY_CAST({text} AS DOUBLE)"
        shape = "-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]{1,3})?"
        digits = f"length(ltrim(regexp_replace(regexp_replace({text}, '[eE].*', ''), '[^0-9]', '', 'g'), '0'))"
        return Reader(
            f"CASE WHEN CAST({value} AS VARCHAR) = {text} AND isfinite({value}) THEN {value} "
            f"WHEN CAST(TRY_CAST({text} AS BIGINT) AS VARCHAR) = {text} AND length({text}) <= 15 THEN {value} "
            f"WHEN regexp_full_match({text}, '{shape}') AND {digits} <= 15 AND isfinite({value}) THEN {value} END",
            there,
        )
    if kind is ItemType.BOOLEAN:
        return Reader(
            f"CASE WHEN {text} IN ('true', '1', '是') THEN true WHEN {text} IN ('false', '0', '否') THEN false "
            f"WHEN lower({text}) IN ('true', 'yes') THEN true WHEN lower({text}) IN ('false', 'no') THEN false END",
            there,
        )
    if kind is ItemType.DATE:
        value = f"TRY_CAST({text} AS DATE)"
        forms = (
            ("-{1,2}-{1,2}( 00:00:00)?", "%Y-%m-%d"),
            ("/{1,2}/{1,2}", "%Y/%m/%d"),
            ("{4}", "%Y%m%d"),
            ("年{1,2}月{1,2}日", "%Y年%m月%d日"),
        )
        slow = " ".join(
            f"WHEN regexp_full_match({text}, '[0-9]{{4}}{form.replace('{', '[0-9]{')}') "
            f"THEN CAST(try_strptime(replace({text}, ' 00:00:00', ''), '{pattern}') AS DATE)"
            for form, pattern in forms
        )
        return Reader(f"CASE WHEN CAST({value} AS VARCHAR) = {text} AND isfinite({value}) THEN {value} {slow} END", there)
    value = f"TRY_CAST({text} AS TIMESTAMPTZ)"
    usual = " OR ".join(f"{text} LIKE '____-__-__{gap}__:__:__{zone}'" for gap in "T " for zone in ("Z", "+__", "+__:__"))
    shape = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:[0-9]{2})?)"
    return Reader(f"CASE WHEN {usual} THEN {value} WHEN regexp_full_match({text}, '{shape}') THEN {value} END", there)


def reader_of_typed(column: str, kind: ItemType, *, exact: str | None = None) -> Reader:
    """How a column of a matching Parquet type becomes values of an item type. `exact` is the engine's type of a column whose numbers a
    double may not hold: those that it would change do not fit."""
    source = quote_name(column)
    there = f"({source} IS NOT NULL)"
    if kind is ItemType.INTEGER:
        return Reader(f"TRY_CAST({source} AS BIGINT)", there)
    if kind is ItemType.DECIMAL:
        value = f"CAST({source} AS DOUBLE)"
        kept = f" AND TRY_CAST({value} AS {exact}) = {source}" if exact else ""
        return Reader(f"CASE WHEN isfinite({value}){kept} THEN {value} END", there)
    target = {ItemType.TEXT: "VARCHAR", ItemType.BOOLEAN: "BOOLEAN", ItemType.DATE: "DATE", ItemType.INSTANT: "TIMESTAMPTZ"}[kind]
    return Reader(f"CAST({source} AS {target})", there, always_fits=True)


_DIGITS_AND_SIGNS = np.zeros(256, bool)
_DIGITS_AND_SIGNS[[*b"0123456789.-"]] = True
_LONGEST_DECIMAL = 15
"""Characters of a decimal, point and sign among them, that a double surely gives back."""


def straight(column: pa.Array, kind: ItemType) -> pa.Array | None:
    """The values of a text column if every one stands in the usual form of its type, else None: what `reader_of_text` says of each
    is then asked of the engine. Ten times as fast, and never another answer."""
    try:
        if kind is ItemType.DATE:
            made = compute.cast(column, pa.date32())
            lowest, highest = compute.min_max(made).values()
            usual = not lowest.is_valid or (lowest.value > _FIRST_DAY and highest.value < _LAST_DAY)
            return made if usual else None
        if kind is ItemType.INTEGER:
            made = compute.cast(column, pa.int64())
            zeros = compute.and_(compute.starts_with(column, "0"), compute.greater(compute.binary_length(column), 1))
            return None if _any(zeros) or _any(compute.starts_with(column, "-0")) else made
        if kind is ItemType.DECIMAL:
            made = compute.cast(column, pa.float64())
            longest = compute.max(compute.binary_length(column)).as_py() or 0
            if longest > _LONGEST_DECIMAL or not _bytes_of(column, _DIGITS_AND_SIGNS):
                return None
            odd = (compute.starts_with(column, "."), compute.starts_with(column, "-."), compute.ends_with(column, "."))
            return None if any(_any(one) for one in odd) else made
    except pa.ArrowInvalid:
        return None
    return None


_DAYS_OF_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def suspects(column: pa.Array, kind: ItemType) -> "np.ndarray[tuple[int], np.dtype[np.bool_]] | None":
    """Which texts of a column are surely not in the usual form of a whole number or a date, found without asking the engine; None for
    the other types. What is left may still be unusual: `straight` decides."""
    if kind is ItemType.INTEGER:
        plain = compute.fill_null(compute.ascii_is_decimal(column), True)
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = ~plain.to_numpy(zero_copy_only=False)
        return found
    if kind is not ItemType.DATE or not pa.types.is_string(column.type):
        return None
    lengths = compute.fill_null(compute.binary_length(column), -1).to_numpy(zero_copy_only=False)
    odd: np.ndarray[tuple[int], np.dtype[np.bool_]] = (lengths >= 0) & (lengths != 10)
    places = np.flatnonzero(lengths == 10)
    buffers = column.buffers()
    if not len(places) or buffers[2] is None:
        return odd
    starts = np.frombuffer(buffers[1], np.int32)[column.offset : column.offset + len(column)][places]
    digits = np.frombuffer(buffers[2], np.uint8)[starts[:, None] + np.arange(10)].astype(np.int16) - ord("0")
    signs = digits[:, [4, 7]]
    digits = digits[:, [0, 1, 2, 3, 5, 6, 8, 9]]
    wrong = ((digits < 0) | (digits > 9)).any(axis=1) | (signs != ord("-") - ord("0")).any(axis=1)
    year = digits[:, :4] @ np.array([1000, 100, 10, 1], np.int16)
    month, day = digits[:, 4] * 10 + digits[:, 5], digits[:, 6] * 10 + digits[:, 7]
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    in_month = _DAYS_OF_MONTH[np.clip(month, 0, 12)] + leap
    wrong |= (month < 1) | (month > 12) | (day < 1) | (day > in_month)
    odd[places] = wrong
    return odd


_FIRST_DAY = date(1, 1, 2).toordinal() - date(1970, 1, 1).toordinal()
_LAST_DAY = date(9999, 12, 30).toordinal() - date(1970, 1, 1).toordinal()


def _any(condition: pa.Array) -> bool:
    return bool(compute.any(condition).as_py())


def _bytes_of(column: pa.Array, allowed: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> bool:
    """Whether the texts of a column hold these bytes alone."""
    data = column.buffers()[2]
    if data is None:
        return True
    ends = np.frombuffer(column.buffers()[1], np.int32)[[column.offset, column.offset + len(column)]]
    return bool(allowed[np.frombuffer(data, np.uint8)[ends[0] : ends[1]]].all())
