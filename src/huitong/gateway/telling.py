"""How totals are told: rounded, with noise that stays the same, and only then compared, ordered and cut.

The engine gives every group of at least k entities, with its true totals and, for each total, a *mark*: a sum over the rows that it
rests on of a hash of the row's entity, so that the same rows have the same mark however they were asked for. The noise of a total is
drawn from HMAC(key of the instance, dataset, what is told, mark). This is the cell-key method of the Australian Bureau of Statistics
(Fraser and Wooton 2005; Eurostat recommends it for the census of 2021): a question asked again, in other words, by another person or
under another grant gives the same number, so that nothing can be averaged out. Marks never leave.

HAVING, ORDER BY and LIMIT see the numbers that are told: on true ones, HAVING alone would find each of them by halving."""

import hashlib
import hmac
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum
from functools import cache
from importlib.resources import files

import pyarrow as pa
import pyarrow.compute as pc

from huitong.errors import Refused
from huitong.gateway.gate import by_value
from huitong.gateway.questions import Question

_PRECISION = 80
_HASH_BITS = 64


@dataclass(frozen=True)
class Rounding:
    """By how much totals are changed before they are told."""

    count_base: int
    """Counts are multiples of it."""
    count_noise: int
    """Whole numbers, added to a count before it is rounded: from minus so many to so many, each as often."""
    value_digits: int
    """Significant digits of sums and means."""
    value_noise: Decimal
    """Units of the last digit that is told, at most so many of which are added to a sum or mean, or taken off."""


@cache
def shipped_rounding() -> Rounding:
    """The numbers of `totals.toml`."""
    written = tomllib.loads((files("huitong.gateway") / "totals.toml").read_text("utf-8"))
    count, value = written["count"], written["value"]
    return Rounding(int(count["base"]), int(count["noise"]), int(value["digits"]), Decimal(str(value["noise"])))


class TotalKind(StrEnum):
    """What a total is."""

    COUNT = "count"
    DISTINCT = "distinct"
    SUM = "sum"
    MEAN = "mean"

    @property
    def counts(self) -> bool:
        """Whether it is a number of things, and not a value of them."""
        return self in (TotalKind.COUNT, TotalKind.DISTINCT)


@dataclass(frozen=True)
class Total:
    """One output that is a total. `item` is empty for a count: the number of rows of the same entities is told once, whatever item
    they were counted by."""

    kind: TotalKind
    item: str
    mark: int
    """Which column, of all that the engine gives, holds its mark."""


@dataclass(frozen=True)
class OrderKey:
    """One key of ORDER BY: an output by its place, from 0."""

    output: int
    descending: bool
    nulls_first: bool


Number = Decimal | None
Having = Callable[[Sequence[Number]], bool | None]
"""Whether a group is shown, by its numbers as they are told; None, unknown, is not yes."""


@dataclass(frozen=True)
class Telling:
    """What becomes of the totals of one statement after the engine."""

    dataset: str
    outputs: tuple[Total | None, ...]
    """What SELECT shows, from the left; None is an item of GROUP BY."""
    having: Having | None
    order: tuple[OrderKey, ...]
    limit: int | None
    offset: int
    question: Question
    """What was asked, to be compared with what was answered before."""


def told(table: pa.Table, telling: Telling, *, rounding: Rounding, key: bytes) -> pa.Table:
    """What may leave of the groups that the engine gave; marks do not. `key` is secret and of this instance alone."""
    columns: list[pa.ChunkedArray | pa.Array] = []
    numbers: list[list[Number]] = []
    for place, total in enumerate(telling.outputs):
        column = table.column(place)
        if total is None:
            columns.append(column)
            numbers.append([None] * table.num_rows)
            continue
        if not (pa.types.is_null(column.type) or pa.types.is_floating(column.type) or _is_whole(column.type)):
            raise Refused.because("rewrite-failed")
        share = _Shares(key, telling.dataset, total)
        marks = table.column(total.mark).to_pylist()
        values = [_told(value, share.of(mark), total, column.type, rounding) for value, mark in zip(column.to_pylist(), marks, strict=True)]
        numbers.append(values)
        columns.append(_column(values, column.type))
    shown = pa.Table.from_arrays(columns, names=table.column_names[: len(telling.outputs)])
    if telling.having is not None:
        keep = [telling.having(row) is True for row in zip(*numbers, strict=True)]
        shown = shown.filter(pa.array(keep, pa.bool_()))
    shown = in_order(by_value(shown), telling.order)
    return shown.slice(telling.offset, telling.limit)


def rounded_count(value: int, share: float, rounding: Rounding) -> int:
    """A count as it is told; `share`, from 0 up to but not 1, chooses the noise."""
    noise = math.floor(share * (2 * rounding.count_noise + 1)) - rounding.count_noise
    base = rounding.count_base
    return max(0, (2 * (value + noise) + base) // (2 * base) * base)


def rounded_value(value: Decimal, share: float, rounding: Rounding, *, whole: bool) -> Decimal:
    """A sum or mean as it is told; a whole one stays whole."""
    if value == 0:
        return Decimal(0)
    with localcontext() as context:
        context.prec = _PRECISION
        step = Decimal(1).scaleb(value.adjusted() - rounding.value_digits + 1)
        if whole:
            step = max(step, Decimal(1))
        noise = (Decimal(share) * 2 - 1) * rounding.value_noise
        return (value / step + noise).to_integral_value(ROUND_HALF_EVEN) * step


@dataclass(frozen=True)
class _Shares:
    """Numbers from 0 up to 1 that nobody without the key can foretell, one for each mark."""

    key: bytes
    dataset: str
    total: Total

    def of(self, mark: object) -> float:
        text = "\x1f".join((self.dataset, self.total.kind, self.total.item, str(mark)))
        drawn = hmac.digest(self.key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return int.from_bytes(drawn[: _HASH_BITS // 8]) / (1 << _HASH_BITS) % 1.0


def _told(value: object, share: float, total: Total, kind: pa.DataType, rounding: Rounding) -> Number:
    """None where there is no value, or none that is a number."""
    if value is None:
        return None
    number = Decimal(str(value))
    if not number.is_finite():
        return None
    if total.kind.counts:
        return Decimal(rounded_count(int(number), share, rounding))
    return rounded_value(number, share, rounding, whole=_is_whole(kind))


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def _column(values: Sequence[Number], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    if pa.types.is_integer(kind):
        return pa.array([None if value is None else int(value) for value in values], kind)
    return pa.array([None if value is None else value.quantize(Decimal(1)) for value in values], kind)


def in_order(table: pa.Table, keys: Sequence[OrderKey]) -> pa.Table:
    """By these keys. By the last key first: each sort keeps the order of what is equal."""
    for key in reversed(keys):
        direction = "descending" if key.descending else "ascending"
        column = table.column(key.output)
        order = pc.sort_indices(pa.table({"missing": column.is_null(), "key": column}), sort_keys=[
            ("missing", "descending" if key.nulls_first else "ascending"), ("key", direction),
        ])  # fmt: skip
        table = table.take(order)
    return table
