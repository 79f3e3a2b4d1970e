"""The masks themselves: validity, SQL, Python and resulting type of each kind (families of GB/T 37964-2019).

A mask depends on nothing but the value, so an engine may move a filter below it without showing more. A value that does not
have the shape its mask expects (a division code of seven digits, say) becomes NULL: a mask never falls back to the raw value."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from sqlglot import exp

from huitong.errors import HuitongError, InputInvalid
from huitong.masks.types import sql_type
from huitong.model.catalog import Item, ItemType
from huitong.model.party import DivisionLevel
from huitong.model.policy import Mask, MaskKind

DIVISION_LEVELS: Mapping[str, DivisionLevel] = {
    "city": DivisionLevel.CITY,
    "county": DivisionLevel.COUNTY,
    "township": DivisionLevel.TOWNSHIP,
}
DIVISION_CODE_LENGTH = 12
DIVISION_CODE_SHAPE = "[0-9]{12}"
RESIDENT_ID_SHAPE = "[0-9]{17}[0-9X]"
LOCAL_HOURS = 8
"""China Standard Time is UTC+8 all year; year and month of an instant are those of the calendar on the wall there. POSIX names
such a zone with the sign turned round."""
LARGEST_STEP = 10**12
LARGEST_KEPT = 64
_USUAL_STARS = 3
"""Personal names have up to four characters, so that a mask that keeps one of them hides up to three."""
BIGINT_LOWEST = -(2**63)

MaskFunction = Callable[[Any], Any]


def _whole(mask: Mask, name: str) -> int | None:
    """A whole-number parameter; None if it is missing or something else."""
    value = mask.parameters.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _unfit(item: Item, mask: Mask) -> HuitongError:
    return InputInvalid.because(
        "mask-unfit", item=item.name, mask=mask.kind.value, type=item.type.value, meaning=item.meaning or "-"
    )


def check_mask(item: Item, mask: Mask) -> None:
    """Refuse a mask that does not fit the item. Raises InputInvalid `mask-unfit` (kind against type or meaning) or
    `mask-parameter-invalid` (naming the parameter that is missing, unknown or out of range)."""
    wanted: set[str] = set()

    def invalid(parameter: str) -> HuitongError:
        return InputInvalid.because("mask-parameter-invalid", item=item.name, mask=mask.kind.value, parameter=parameter)

    if mask.kind is MaskKind.PARTIAL:
        if item.type is not ItemType.TEXT:
            raise _unfit(item, mask)
        wanted = {"first", "last"}
        for name in ("first", "last"):
            value = _whole(mask, name)
            if value is None or not 0 <= value <= LARGEST_KEPT:
                raise invalid(name)
    elif mask.kind is MaskKind.PSEUDONYM:
        if item.type is not ItemType.TEXT:
            raise _unfit(item, mask)
    elif mask.kind is MaskKind.GENERALISE and "step" in mask.parameters:
        if item.type not in (ItemType.INTEGER, ItemType.DECIMAL):
            raise _unfit(item, mask)
        wanted = {"step"}
        step = _whole(mask, "step")
        if step is None or not 2 <= step <= LARGEST_STEP:
            raise invalid("step")
    elif mask.kind is MaskKind.GENERALISE:
        wanted = {"to"}
        to = mask.parameters.get("to")
        if to in ("year", "month"):
            fits = item.type in (ItemType.DATE, ItemType.INSTANT)
        elif to in DIVISION_LEVELS:
            fits = item.type is ItemType.TEXT and item.meaning == "division-code"
        elif to == "birth-year":
            fits = item.type is ItemType.TEXT and item.meaning == "resident-id"
        else:
            raise invalid("to")
        if not fits:
            raise _unfit(item, mask)
    for name in mask.parameters:
        if name not in wanted:
            raise invalid(name)


def masked_type(item: Item, mask: Mask) -> ItemType:
    """The type that the reader of a masked item sees; the resolver works with this one, never with the item's own."""
    if mask.kind is MaskKind.PSEUDONYM:
        return ItemType.INTEGER
    if mask.kind is MaskKind.GENERALISE:
        to = mask.parameters.get("to")
        if to in ("year", "birth-year"):
            return ItemType.INTEGER
        if to == "month":
            return ItemType.DATE
    return item.type


def needs_token(mask: Mask) -> bool:
    """Whether the mask takes its values from a side table of tokens."""
    return mask.kind is MaskKind.PSEUDONYM


def _try_cast(value: exp.Expr, kind: exp.DType) -> exp.Expr:
    return exp.TryCast(this=value, to=exp.DataType(this=kind, nested=False))


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _local(item: Item, column: exp.Expr) -> exp.Expr:
    """The date or the local wall-clock instant of the column."""
    if item.type is ItemType.DATE:
        return column
    return exp.AtTimeZone(this=column, zone=exp.Literal.string(f"Etc/GMT-{LOCAL_HOURS}"))


def _matches(column: exp.Expr, shape: str) -> exp.Expr:
    return exp.RegexpFullMatch(this=column, expression=exp.Literal.string(shape))


def _when(condition: exp.Expr, value: exp.Expr, otherwise: exp.Expr | None = None) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=condition, true=value)], default=otherwise)


def _around(copy: Callable[[], exp.Expr], first: int, between: exp.Expr, last: int) -> exp.Expr:
    """The first and the last characters of a text around something."""
    kept = between
    if first:
        kept = exp.DPipe(this=exp.Left(this=copy(), expression=_number(first)), expression=kept, safe=True)
    if last:
        kept = exp.DPipe(this=kept, expression=exp.Right(this=copy(), expression=_number(last)), safe=True)
    return kept


def sql_mask(item: Item, mask: Mask, column: exp.Expr, *, token: exp.Expr | None = None, shaped: bool = False) -> exp.Expr:
    """The masked value of the physical `column`, for the select list of the governed subquery. A pseudonym is the joined
    `token` column and nothing else: an identifier without a token stays NULL. `shaped`: every value that is shown is known to be a
    division code, so that its shape need not be looked at again."""
    copy = column.copy
    if mask.kind is MaskKind.CLEAR:
        return column
    if mask.kind is MaskKind.HIDE:
        return exp.TryCast(this=exp.Null(), to=sql_type(item.type))
    if mask.kind is MaskKind.PSEUDONYM:
        if token is None:
            raise _unfit(item, mask)
        return token
    if mask.kind is MaskKind.PARTIAL:
        first, last = int(mask.parameters["first"]), int(mask.parameters["last"])
        length = exp.Length(this=copy())
        rest = exp.Sub(this=length.copy(), expression=_number(first + last)) if first + last else length.copy()
        kept = _around(copy, first, exp.Repeat(this=exp.Literal.string("*"), times=rest), last)
        if first + last == 0:
            return kept
        stars = exp.Repeat(this=exp.Literal.string("*"), times=length.copy())
        cases = [exp.If(this=exp.LTE(this=length, expression=_number(first + last)), true=stars)]
        # Names are short: what `repeat` makes row by row is a constant for each of the usual lengths, which costs a third of it.
        for between in range(1, _USUAL_STARS + 1):
            same = exp.EQ(this=length.copy(), expression=_number(first + last + between))
            cases.append(exp.If(this=same, true=_around(copy, first, exp.Literal.string("*" * between), last)))
        return exp.Case(ifs=cases, default=kept)
    step = _whole(mask, "step")
    if step is not None and item.type is ItemType.INTEGER:
        wide = _try_cast(copy(), exp.DType.INT128)
        positive = exp.Paren(this=exp.Add(this=exp.Mod(this=copy(), expression=_number(step)), expression=_number(step)))
        below = exp.Paren(this=exp.Mod(this=positive, expression=_number(step)))
        return _try_cast(exp.Paren(this=exp.Sub(this=wide, expression=below)), exp.DType.BIGINT)
    if step is not None:
        quotient = exp.Div(this=_try_cast(copy(), exp.DType.DOUBLE), expression=_number(step), typed=False, safe=False)
        return exp.Mul(this=exp.Floor(this=quotient), expression=_number(step))
    to = mask.parameters["to"]
    if to == "year":
        return exp.Year(this=_local(item, copy()))
    if to == "month":
        return _try_cast(exp.TimestampTrunc(this=_local(item, copy()), unit=exp.Var(this="MONTH")), exp.DType.DATE)
    if to == "birth-year":
        year = exp.Substring(this=copy(), start=_number(7), length=_number(4))
        return _when(_matches(copy(), RESIDENT_ID_SHAPE), _try_cast(year, exp.DType.BIGINT))
    prefix = DIVISION_LEVELS[str(to)].prefix_length
    zeros = exp.Literal.string("0" * (DIVISION_CODE_LENGTH - prefix))
    shown = exp.DPipe(this=exp.Left(this=copy(), expression=_number(prefix)), expression=zeros, safe=True)
    return shown if shaped else _when(_matches(copy(), DIVISION_CODE_SHAPE), shown)


def python_mask(item: Item, mask: Mask, *, token: Callable[[str], int | None] | None = None) -> MaskFunction:
    """The same mask as a Python function of one value. NULL is None and stays None."""
    change = _python_change(item, mask, token)
    return lambda value: None if value is None else change(value)


def _python_change(item: Item, mask: Mask, token: Callable[[str], int | None] | None) -> MaskFunction:
    if mask.kind is MaskKind.CLEAR:
        return lambda value: value
    if mask.kind is MaskKind.HIDE:
        return lambda _value: None
    if mask.kind is MaskKind.PSEUDONYM:
        if token is None:
            raise _unfit(item, mask)
        return token
    if mask.kind is MaskKind.PARTIAL:
        first, last = int(mask.parameters["first"]), int(mask.parameters["last"])

        def partial(value: str) -> str:
            between = len(value) - first - last
            if between <= 0:
                return "*" * len(value)
            return value[:first] + "*" * between + value[len(value) - last :]

        return partial
    step = _whole(mask, "step")
    if step is not None and item.type is ItemType.INTEGER:

        def integer_step(value: int) -> int | None:
            lower = value // step * step
            return lower if lower >= BIGINT_LOWEST else None

        return integer_step
    if step is not None:

        def decimal_step(value: float | Decimal) -> float:
            quotient = float(value) / step
            return float(math.floor(quotient)) * step if math.isfinite(quotient) else quotient * step

        return decimal_step
    to = mask.parameters["to"]
    if to == "birth-year":
        return lambda value: int(value[6:10]) if re.fullmatch(RESIDENT_ID_SHAPE, value) else None
    if to in DIVISION_LEVELS:
        prefix = DIVISION_LEVELS[str(to)].prefix_length
        zeros = "0" * (DIVISION_CODE_LENGTH - prefix)
        return lambda value: value[:prefix] + zeros if re.fullmatch(DIVISION_CODE_SHAPE, value) else None

    def local(value: date | datetime) -> date:
        if isinstance(value, datetime):
            aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return aware.astimezone(timezone(timedelta(hours=LOCAL_HOURS))).date()
        return value

    return (lambda value: local(value).year) if to == "year" else (lambda value: local(value).replace(day=1))
