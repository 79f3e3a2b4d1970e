"""What values are worth in a governed query, said in plain Python: types, comparisons, casts, arithmetic and functions as the dialect has
them (DuckDB 2.0, by trial). The reference engine (`memory.py`) is made of these; nothing here asks an engine.

A value that cannot be given raises `ValueFails`. Missing is None, and goes through every function but those that say otherwise."""

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from enum import IntEnum
from typing import Any

from huitong.errors import HuitongError

DIGITS = 38
"""Of the widest decimal, and so the least that two decimals of any kind are reckoned with."""
_EXACT = Context(prec=200)


class Gap(HuitongError):
    """A construct that the reference does not have; the gateway may have it. Code `reference-gap` with the name of the construct."""


class ValueFails(Exception):
    """No value can be given here: the number is too large for its type, or a text is none of it."""


def gap(construct: str) -> HuitongError:
    """The `Gap` of that name."""
    return Gap.because("reference-gap", construct=construct)


class Kind(IntEnum):
    """What a value is. Whole numbers and then the other numbers stand in the order in which one becomes the other."""

    NOTHING = 0
    """The type of a bare NULL."""
    BOOLEAN = 1
    TINY = 2
    SMALL = 3
    INTEGER = 4
    BIG = 5
    HUGE = 6
    DECIMAL = 7
    DOUBLE = 8
    TEXT = 9
    DATE = 10
    INSTANT = 11


_BITS = {Kind.TINY: 8, Kind.SMALL: 16, Kind.INTEGER: 32, Kind.BIG: 64, Kind.HUGE: 128}
_WIDTH = {Kind.TINY: 3, Kind.SMALL: 5, Kind.INTEGER: 10, Kind.BIG: 19, Kind.HUGE: 38}


@dataclass(frozen=True)
class Type:
    """A kind; of a decimal also its digits and how many of them stand behind the point; of a written whole number the number, because
    it takes the type of what it stands beside where it fits."""

    kind: Kind
    digits: int = 0
    scale: int = 0
    written: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.kind in _BITS

    def as_decimal(self) -> "Type":
        """The decimal that holds every value of a whole number; a decimal itself."""
        return self if self.kind is Kind.DECIMAL else Type(Kind.DECIMAL, _WIDTH[self.kind], 0)


NOTHING, BOOLEAN, INTEGER, BIG, HUGE = Type(Kind.NOTHING), Type(Kind.BOOLEAN), Type(Kind.INTEGER), Type(Kind.BIG), Type(Kind.HUGE)
DOUBLE, TEXT, DATE, INSTANT = Type(Kind.DOUBLE), Type(Kind.TEXT), Type(Kind.DATE), Type(Kind.INSTANT)


def fits(value: int, kind: Kind) -> bool:
    """Whether a whole number of that kind can be so large."""
    half = 1 << (_BITS[kind] - 1)
    return -half <= value < half


def number_type(text: str) -> tuple[Type, Any]:
    """Type and value of a number as it is written."""
    if text.isdigit():
        return whole_type(int(text))
    if "e" in text.lower():
        return DOUBLE, float(text)
    before, _, behind = text.partition(".")
    digits = len(before.lstrip("0")) + len(behind)
    if digits > DIGITS:
        return DOUBLE, float(text)
    return Type(Kind.DECIMAL, max(digits, 1), len(behind)), Decimal(text)


def whole_type(value: int) -> tuple[Type, Any]:
    """The same of a whole number, its sign included."""
    for kind in (Kind.INTEGER, Kind.BIG, Kind.HUGE):
        if fits(value, kind):
            return Type(kind, written=value), value
    return DOUBLE, float(value)


# --- one type out of several --------------------------------------------------------------------------------------------


def common(a: Type, b: Type) -> Type:
    """The type in which values of the two are compared, or stand in one column."""
    if a.kind is Kind.NOTHING or b.kind is Kind.NOTHING:
        return b if a.kind is Kind.NOTHING else a
    if a.whole and b.whole:
        return _whole(a, b)
    if a.kind is b.kind:
        if a.kind is Kind.DECIMAL:
            scale = max(a.scale, b.scale)
            return Type(Kind.DECIMAL, min(DIGITS, max(a.digits - a.scale, b.digits - b.scale) + scale), scale)
        return a
    kinds = {a.kind, b.kind}
    if all(kind in _BITS or kind in (Kind.DECIMAL, Kind.DOUBLE) for kind in kinds):
        return DOUBLE if Kind.DOUBLE in kinds else common(a.as_decimal(), b.as_decimal())
    if Kind.TEXT in kinds:
        return TEXT
    raise gap(f"{a.kind.name} beside {b.kind.name}")


def common_of(types: Sequence[Type]) -> Type:
    """The one type of them all."""
    found = NOTHING
    for one in types:
        found = common(found, one)
    return Type(found.kind, found.digits, found.scale) if len(types) > 1 else found


def _whole(a: Type, b: Type) -> Type:
    """A number as it is written takes the type beside it, if it fits."""
    for written, other in ((a, b), (b, a)):
        if written.written is not None and other.written is None and fits(written.written, other.kind):
            return Type(other.kind)
    return Type(max(a.kind, b.kind))


# --- casts ----------------------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*")
_DATE = re.compile(r"[ ]*([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})[ ]*")
_YES, _NO = frozenset(("true", "t", "1", "yes", "y")), frozenset(("false", "f", "0", "no", "n"))


def convert(value: Any, source: Type, target: Type) -> Any:
    """The value as one of another type. Raises ValueFails where there is none."""
    if value is None or target.kind is Kind.NOTHING:
        return value
    if source.kind is target.kind and source.kind is not Kind.DECIMAL:
        return value
    if target.whole:
        return _to_whole(value, source, target.kind)
    if target.kind is Kind.DOUBLE:
        return _to_double(value, source)
    if target.kind is Kind.DECIMAL:
        return _to_decimal(value, source, target)
    if target.kind is Kind.TEXT:
        return to_text(value, source)
    if target.kind is Kind.BOOLEAN:
        if isinstance(value, str):
            return _truth(value)
        if source.whole or source.kind in (Kind.DECIMAL, Kind.DOUBLE):
            return value != 0
    if target.kind is Kind.DATE and isinstance(value, str):
        return _to_date(value)
    if target.kind is Kind.INSTANT and isinstance(value, str):
        return _to_instant(value)
    if target.kind is Kind.DATE and source.whole:
        raise ValueFails
    raise gap(f"CAST {source.kind.name} AS {target.kind.name}")


def _truth(text: str) -> bool:
    if text.lower() in _YES or text.lower() in _NO:
        return text.lower() in _YES
    raise ValueFails


def _number_in(text: str) -> str:
    """The number that a text is. Forms that a reader may take or leave (`0x1F`, `1_000`, `inf`) are gaps, not guesses."""
    found = _PLAIN.fullmatch(text)
    if found is not None:
        return found[1]
    if re.search(r"(?i)[0-9](_|x|b)[0-9a-f]|inf|nan", text):
        raise gap("a number in another form")
    raise ValueFails


def _to_whole(value: Any, source: Type, kind: Kind) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        number = int(_EXACT.create_decimal(_number_in(value)).to_integral_value(ROUND_HALF_UP, _EXACT))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueFails
        number = int(Decimal(value).to_integral_value(ROUND_HALF_EVEN))
    elif isinstance(value, Decimal):
        number = int(value.to_integral_value(ROUND_HALF_UP, _EXACT))
    elif isinstance(value, int):
        number = value
    elif isinstance(value, date) and not isinstance(value, datetime):
        raise ValueFails
    else:
        raise gap(f"CAST {source.kind.name} AS {kind.name}")
    if not fits(number, kind):
        raise ValueFails
    return number


def _to_double(value: Any, source: Type) -> float:
    if isinstance(value, str):
        return float(_number_in(value))
    if isinstance(value, date):
        if source.kind is Kind.DATE:
            raise ValueFails
        raise gap(f"CAST {source.kind.name} AS DOUBLE")
    return float(value)


def _to_decimal(value: Any, source: Type, target: Type) -> Decimal:
    if isinstance(value, str):
        number = _EXACT.create_decimal(_number_in(value))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueFails
        number = _EXACT.create_decimal(away_from_zero(value * 10.0**target.scale)).scaleb(-target.scale, _EXACT)
    elif isinstance(value, bool | int):
        number = Decimal(int(value))
    elif isinstance(value, Decimal):
        number = value
    else:
        raise gap(f"CAST {source.kind.name} AS DECIMAL")
    return in_scale(number, target)


def in_scale(number: Decimal, target: Type) -> Decimal:
    """The number with the digits of the decimal type, rounded away from zero. Raises ValueFails if it has more before the point."""
    try:
        fitted = number.quantize(Decimal(1).scaleb(-target.scale), ROUND_HALF_UP, _EXACT)
    except InvalidOperation:
        raise ValueFails from None
    if abs(fitted) >= Decimal(10) ** (target.digits - target.scale):
        raise ValueFails
    return fitted


def _to_date(text: str) -> date:
    found = _DATE.fullmatch(text)
    if found is None:
        if re.match(r"\s*[0-9+-]", text) and not text.strip().isdigit():
            raise gap("a date in another form")
        raise ValueFails
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise ValueFails from None


def _to_instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise gap("an instant in another form") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def to_text(value: Any, source: Type) -> str | None:
    """A value as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return format(value.quantize(Decimal(1).scaleb(-source.scale), ROUND_HALF_UP, _EXACT), "f")
    if isinstance(value, datetime):
        raise gap("an instant as text")
    return str(value)


# --- order and equality -----------------------------------------------------------------------------------------------------


def order_key(value: Any) -> Any:
    """What a value is ordered by: text by code point, and what is no number after every number."""
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value + 0.0)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return value


def same_key(values: Sequence[Any]) -> tuple[Any, ...]:
    """What makes rows the same for GROUP BY, DISTINCT and set operations: a missing value is as another missing one."""
    return tuple((0, None) if value is None else (1, order_key(value)) for value in values)


# --- arithmetic -------------------------------------------------------------------------------------------------------------


def arithmetic_type(sign: str, a: Type, b: Type) -> Type:
    """The type of `a sign b`."""
    if a.kind is Kind.NOTHING and b.kind is Kind.NOTHING:
        return INTEGER
    a, b = (b if a.kind is Kind.NOTHING else a), (a if b.kind is Kind.NOTHING else b)
    if Kind.DATE in (a.kind, b.kind):
        if sign not in "+-" or not (a.whole or b.whole or a.kind is b.kind):
            raise gap("arithmetic of dates")
        return BIG if a.kind is b.kind else DATE
    if any(not one.whole and one.kind not in (Kind.DECIMAL, Kind.DOUBLE) for one in (a, b)):
        raise gap(f"{a.kind.name} {sign} {b.kind.name}")
    if sign == "/" or Kind.DOUBLE in (a.kind, b.kind):
        return DOUBLE
    if a.whole and b.whole:
        found = _whole(a, b)
        return Type(found.kind)
    if sign == "//":
        return DOUBLE
    a, b = a.as_decimal(), b.as_decimal()
    if sign == "*":
        scale = a.scale + b.scale
        if scale > DIGITS:
            raise gap("a product of decimals with more than 38 digits behind the point")
        return Type(Kind.DECIMAL, min(DIGITS, a.digits + b.digits), scale)
    found = common(a, b)
    if sign == "%":
        return found
    return Type(Kind.DECIMAL, min(DIGITS, found.digits + 1), found.scale)


def arithmetic(sign: str, a: Any, b: Any, kind: Type) -> Any:
    """`a sign b`, where the result is of type `kind`. Raises ValueFails where it has no place there; divided by zero is missing."""
    if a is None or b is None:
        return None
    if isinstance(a, date) or isinstance(b, date):
        return _with_days(sign, a, b)
    if kind.kind is Kind.DOUBLE:
        return _of_doubles(sign, float(a), float(b))
    if sign in ("//", "%") and b == 0:
        return None
    if kind.kind is Kind.DECIMAL:
        x, y = (_EXACT.create_decimal(value) for value in (a, b))
        found = {"+": _EXACT.add, "-": _EXACT.subtract, "*": _EXACT.multiply, "%": _EXACT.remainder}[sign](x, y)
        return in_scale(found, kind)
    whole = _of_wholes(sign, a, b)
    if not fits(whole, kind.kind):
        raise ValueFails
    return whole


def _of_wholes(sign: str, a: int, b: int) -> int:
    if sign in ("//", "%"):
        quotient = abs(a) // abs(b)
        quotient = quotient if (a < 0) == (b < 0) else -quotient
        return quotient if sign == "//" else a - quotient * b
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def _of_doubles(sign: str, a: float, b: float) -> float | None:
    if sign in ("/", "//", "%") and b == 0:
        return None
    if sign == "%":
        return math.fmod(a, b) if math.isfinite(a) else math.nan
    return a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b


def _with_days(sign: str, a: Any, b: Any) -> Any:
    if isinstance(a, date) and isinstance(b, date):
        return (a - b).days
    day, days = (a, b) if isinstance(a, date) else (b, a)
    if not isinstance(a, date) and sign == "-":
        raise gap("a number minus a date")
    try:
        return date.fromordinal(day.toordinal() + (days if sign == "+" else -days))
    except (ValueError, OverflowError):
        raise gap("dates before the year 1 or after the year 9999") from None


def away_from_zero(value: float) -> float:
    """Rounded to a whole number; a half away from zero."""
    if not math.isfinite(value):
        return value
    whole = math.floor(abs(value))
    return math.copysign(whole + 1 if abs(value) - whole >= 0.5 else whole, value)


def rounded_type(a: Type, places: int) -> Type:
    """The type of round(a, places)."""
    return Type(Kind.DECIMAL, a.digits, max(0, min(a.scale, places))) if a.kind is Kind.DECIMAL else Type(a.kind)


def rounded(value: Any, places: int) -> Any:
    """round(value, places)."""
    if value is None or (isinstance(value, int) and places >= 0):
        return value
    if isinstance(value, float):
        scale = 10.0 ** abs(places)
        found = away_from_zero(value * scale) / scale if places >= 0 else away_from_zero(value / scale) * scale
        return found if math.isfinite(found) else value
    if places < 0:
        raise gap("round to tens")
    if -value.as_tuple().exponent <= places:
        return value
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT)


def power(a: float, b: float) -> float:
    """`a` to the power `b`."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else math.nan


def down(value: Any, *, up: bool = False) -> Any:
    """floor, or ceil with `up`: a whole number becomes a double, a decimal stays one."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        return value.to_integral_value("ROUND_CEILING" if up else "ROUND_FLOOR", _EXACT)
    number = float(value)
    return number if not math.isfinite(number) else float(math.ceil(number) if up else math.floor(number))


# --- text -------------------------------------------------------------------------------------------------------------------


def cased(text: str, change: Callable[[str], str]) -> str:
    """lower or upper, character by character; a character that would become several is a gap."""
    found = [change(character) for character in text]
    if any(len(one) != 1 for one in found):
        raise gap("the case of a character that becomes several")
    return "".join(found)


def trimmed(text: str) -> str:
    """Without spaces at either end, those of any script, but no tabs or line ends."""
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start]) == "Zs":
        start += 1
    while end > start and unicodedata.category(text[end - 1]) == "Zs":
        end -= 1
    return text[start:end]


def part_of(text: str, start: int, length: int | None) -> str:
    """substring(text, start, length), counted from 1, or from the end if negative; a negative length goes to the left."""
    first = start - 1 if start > 0 else len(text) + start if start < 0 else -1
    if length is None:
        return text[max(first, 0) :]
    low, high = (first, first + length) if length >= 0 else (first + length, first)
    return text[max(low, 0) : max(high, 0)]


def ends_of(text: str, count: int, *, left: bool) -> str:
    """left or right: so many characters, or with a negative number all but so many."""
    kept = max(0, min(len(text), count if count >= 0 else len(text) + count))
    return text[:kept] if left else text[len(text) - kept :]


def turned(text: str) -> str:
    """reverse: the last character first."""
    if any(unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text):
        raise gap("the reverse of a character that is made of several")
    return text[::-1]


def is_like(text: str, pattern: str, *, any_case: bool = False) -> bool:
    """LIKE: `%` any characters, `_` one, everything else itself."""
    if any_case:
        text, pattern = cased(text, str.lower), cased(pattern, str.lower)
    made = "".join(".*" if one == "%" else "." if one == "_" else re.escape(one) for one in pattern)
    return re.fullmatch(made, text, re.DOTALL) is not None


# --- totals -----------------------------------------------------------------------------------------------------------------


def total(values: Sequence[Any], kind: Type) -> Any:
    """sum, where `kind` is the type of the sum."""
    if not values:
        return None
    if kind.kind is Kind.DOUBLE:
        found = 0.0
        for value in values:
            found += value
        return found
    added = sum(values)
    if (isinstance(added, int) and not fits(added, Kind.HUGE)) or abs(added) >= 10**DIGITS * 10:
        raise ValueFails
    return added


def mean(values: Sequence[Any]) -> float | None:
    """avg."""
    if not values:
        return None
    if isinstance(values[0], float):
        return float(sum(values)) / len(values)
    if isinstance(values[0], Decimal):
        return float(_EXACT.divide(sum(values, Decimal(0)), Decimal(len(values))))
    return float(sum(values) / len(values))


def at_share(values: Sequence[Any], share: float) -> float | None:
    """quantile_cont: the value below which that share of them lies, between two of them if need be."""
    if not values:
        return None
    ranked = sorted(values, key=order_key)
    place = (len(ranked) - 1) * share
    low, high = math.floor(place), math.ceil(place)
    a, b = float(ranked[low]), float(ranked[high])
    return a if low == high else a + (b - a) * (place - low)


def spread(values: Sequence[Any], *, sample: bool, root: bool) -> float | None:
    """variance or standard deviation, of a sample or of all, value by value (Welford 1962)."""
    count, middle, squares = 0, 0.0, 0.0
    for value in values:
        count += 1
        away = float(value) - middle
        middle += away / count
        squares += away * (float(value) - middle)
    if count < (2 if sample else 1):
        return None
    found = squares / (count - 1 if sample else count)
    return math.sqrt(found) if root and math.isfinite(found) else found


