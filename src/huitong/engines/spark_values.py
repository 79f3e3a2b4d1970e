"""What one part of an expression is in the words of Spark: types, numbers, casts, arithmetic, and the list of what there is not.

A part is text with the type that DuckDB gives it. Whatever is made of parts here has a value, or none, for every row: it never fails on
one. Remarks say where Apache Spark and Sail differ."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from sqlglot import exp

from huitong.engines import memory_values as v
from huitong.engines.memory_values import BIG, BOOLEAN, DATE, DOUBLE, HUGE, INSTANT, INTEGER, TEXT, Kind, Type
from huitong.errors import HuitongError, Reason, Refused

MOMENT = Type(Kind.INSTANT, digits=1)
"""A date and a time of day without a zone; an instant has one."""
FAR = 2_000_000_000
"""More characters than a text has, and more rows than an answer."""


@dataclass(frozen=True)
class SparkGap:
    """Something that a statement may hold on DuckDB and not on Spark."""

    construct: str
    """As it stands in a sentence."""
    instead: str
    """What to write instead; empty if there is nothing."""
    sql: str = ""
    """A statement that holds it, for the test that reads this list."""
    why: str = ""


@cache
def spark_gaps() -> Mapping[str, SparkGap]:
    """What cannot be asked of Spark, from `spark_gaps.toml`."""
    written = tomllib.loads((files("huitong.engines") / "spark_gaps.toml").read_text("utf-8"))
    return {name: SparkGap(**entry) for name, entry in written["gap"].items()}


@cache
def spark_differences() -> tuple[str, ...]:
    """Where a value may be another on Spark than on DuckDB, from `spark_gaps.toml`."""
    written = tomllib.loads((files("huitong.engines") / "spark_gaps.toml").read_text("utf-8"))
    return tuple(written["differences"])


def lacking(name: str) -> HuitongError:
    """The refusal for a gap of the list."""
    gap = spark_gaps()[name]
    if gap.instead:
        return Refused(Reason("not-on-spark-instead", {"construct": gap.construct, "instead": gap.instead}))
    return Refused(Reason("not-on-spark", {"construct": gap.construct}))


def quoted_text(value: str) -> str:
    """A text as a literal of Spark, which reads a backslash as the beginning of an escape."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """A name as Spark quotes it."""
    return "`" + name.replace("`", "``") + "`"


# --- types -----------------------------------------------------------------------------------------------------------------

_NAMES: Mapping[Kind, str] = {
    Kind.NOTHING: "INT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TINY: "TINYINT",
    Kind.SMALL: "SMALLINT",
    Kind.INTEGER: "INT",
    Kind.BIG: "BIGINT",
    Kind.HUGE: "DECIMAL(38, 0)",
    Kind.DOUBLE: "DOUBLE",
    Kind.TEXT: "STRING",
    Kind.DATE: "DATE",
    Kind.INSTANT: "TIMESTAMP",
}


def spark_type(kind: Type) -> str:
    """How Spark calls a type."""
    return f"DECIMAL({kind.digits}, {kind.scale})" if kind.kind is Kind.DECIMAL else _NAMES[kind.kind]


_HELD: Mapping[str, Type] = {
    "VARCHAR": TEXT,
    "BIGINT": BIG,
    "DOUBLE": DOUBLE,
    "BOOLEAN": BOOLEAN,
    "DATE": DATE,
    "TIMESTAMP WITH TIME ZONE": INSTANT,
}
"""Types of columns of a snapshot, a side table or a list (`masks.types`)."""


def held_type(name: str) -> Type:
    """The type of a column of a planned table, by DuckDB's name. Raises Refused `not-on-spark` for one that no snapshot has."""
    found = _HELD.get(name.upper())
    if found is None:
        raise Refused.because("not-on-spark", construct=f"CAST AS {name}")
    return found


@dataclass(frozen=True)
class Part:
    """A part of an expression as it is written, with its type; `text` if it is a written text."""

    sql: str
    type: Type
    text: str | None = None


_NAN = "CAST('NaN' AS DOUBLE)"
HALF_INTEGERS = "4503599627370496"
"""2 to the power 52: every double of at least so much is a whole number."""
_BLANKS = r" \t\n\x0B\f\r"
"""Within a regular expression: a line break itself would tear the printed plan that is looked at before anything runs."""
_MARGIN = f"[{_BLANKS}]*"
_NUMBER = rf"\A{_MARGIN}([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?){_MARGIN}\z"
_WHOLE = rf"\A{_MARGIN}([+-]?[0-9]+)(?:\.[0-9]*)?{_MARGIN}\z"
_FIRST_BROKEN = rf"\A{_MARGIN}[+-]?[0-9]*\.([0-9])[0-9]*{_MARGIN}\z"
_DATE = r"\A *([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2}) *\z"
_DAYS = 10_000_000
"""Most days that are added to a date: so many times the depth of a statement are far from any overflow."""
_MOST_BEHIND = 20
"""Most digits behind the point of a decimal that is reckoned with."""
_MOST_BEHIND_HUGE = 15
_LEAST_BEFORE = 19
"""So many digits before the point must be left of a number that is made shorter."""


# --- one part ---------------------------------------------------------------------------------------------------------------


def null_of(kind: Type) -> str:
    """No value, of that type."""
    return f"CAST(NULL AS {spark_type(kind)})"


def shown_as(part: Part) -> str:
    """A part where its type must be known."""
    return null_of(INTEGER) if part.type.kind is Kind.NOTHING else part.sql


def number_part(kind: Type, value: Any) -> Part:
    """A written number."""
    if kind.kind is Kind.DOUBLE:
        return Part(f"CAST('{value!r}' AS DOUBLE)", kind)
    return Part(f"CAST('{value:f}' AS {spark_type(kind)})" if kind.kind is Kind.DECIMAL else f"CAST('{value}' AS {spark_type(kind)})", kind)


def plain_double(sql: str, kind: Type) -> str:
    """A double with one zero and one that is no number, so that all engines group, compare and sort them alike."""
    return f"nanvl({sql} + CAST(0 AS DOUBLE), {_NAN})" if kind.kind is Kind.DOUBLE else sql


def same_type(a: Type, b: Type) -> bool:
    """Whether values of the two lie in the same type on Spark."""
    return (a.kind, a.digits, a.scale) == (b.kind, b.digits, b.scale)


def exact_common(types: Iterable[Type]) -> Type:
    """The type in which values are compared or stand in one column, if every value of each has a place there. Where one has not, DuckDB
    fails on that row."""
    given = list(types)
    kinds = {one.kind for one in given} - {Kind.NOTHING}
    if Kind.INSTANT in kinds and kinds <= {Kind.INSTANT, Kind.DATE}:
        return INSTANT if INSTANT in [replace(one, written=None) for one in given] else MOMENT
    found = v.common_of(given)
    if found.kind is Kind.DECIMAL:
        exact = [one.as_decimal() for one in given if one.kind not in (Kind.NOTHING, Kind.HUGE) and one.written is None]
        whole = max((one.digits - one.scale for one in exact), default=0)
        if whole + found.scale > v.DIGITS or (Kind.HUGE in kinds and found.scale > _MOST_BEHIND_HUGE):
            raise lacking("fine-decimals")
    return replace(found, written=None)


def converted(part: Part, target: Type, *, text: bool = False) -> Part:
    """The part in another type; missing where there is no such value. `text`: a cast that was asked for."""
    source = part.type
    del text
    if target.kind is Kind.NOTHING:
        return part
    kind = replace(target, written=None)
    if source.kind is Kind.NOTHING:
        return Part(null_of(kind), kind)
    if same_type(source, kind):
        return replace(part, type=kind)
    return Part(CONVERSIONS[kind.kind](part, kind), kind)


def _tried(part: Part, kind: Type) -> str:
    return f"TRY_CAST({part.sql} AS {spark_type(kind)})"


def _as_whole(part: Part, kind: Type) -> str:
    source = part.type
    if source.whole:
        return _tried(part, kind)
    if source.kind is Kind.BOOLEAN:
        return f"CAST({part.sql} AS {spark_type(kind)})"
    if source.kind is Kind.DECIMAL:
        return f"TRY_CAST(round({part.sql}, 0) AS {spark_type(kind)})"
    if source.kind is Kind.DOUBLE:
        small = f"abs({part.sql}) < CAST({HALF_INTEGERS} AS DOUBLE)"
        even = f"sign({part.sql}) * ((abs({part.sql}) + CAST({HALF_INTEGERS} AS DOUBLE)) - CAST({HALF_INTEGERS} AS DOUBLE))"
        limit = {Kind.HUGE: "99999999999999990000000000000000000000"}.get(kind.kind, "9223372036854775808")
        fits = f"{part.sql} >= CAST('-{limit}' AS DOUBLE) AND {part.sql} < CAST('{limit}' AS DOUBLE)"
        name = spark_type(kind)
        return f"(CASE WHEN {small} THEN TRY_CAST({even} AS {name}) WHEN {fits} THEN TRY_CAST({part.sql} AS {name}) END)"
    if source.kind is Kind.TEXT:
        whole = f"TRY_CAST(nullif(regexp_extract({part.sql}, {quoted_text(_WHOLE)}, 1), '') AS DECIMAL(38, 0))"
        broken = f"regexp_extract({part.sql}, {quoted_text(_FIRST_BROKEN)}, 1)"
        sign = f"CASE WHEN {part.sql} RLIKE {quoted_text(chr(92) + 'A' + _MARGIN + '-')} THEN -1 ELSE 1 END"
        # a number like `.5`, or with an exponent, is read as a double
        double = Part(as_double(part, DOUBLE), DOUBLE)
        away = f"CASE WHEN {broken} >= '5' THEN {sign} ELSE 0 END"
        plain = f"TRY_CAST({whole} + CAST({away} AS DECIMAL(1, 0)) AS {spark_type(kind)})"
        rounded = _as_whole(Part(f"round({double.sql}, 0)", DOUBLE), kind)
        return f"(CASE WHEN {part.sql} RLIKE {quoted_text(_WHOLE)} THEN {plain} ELSE {rounded} END)"
    if source.kind is Kind.DATE:
        return null_of(kind)
    raise Refused.because("not-on-spark", construct=f"CAST {source.kind.name} AS {kind.kind.name}")


def as_double(part: Part, kind: Type) -> str:
    """A part as a double."""
    if part.type.kind is Kind.TEXT:
        return plain_double(f"TRY_CAST(nullif(regexp_extract({part.sql}, {quoted_text(_NUMBER)}, 1), '') AS DOUBLE)", kind)
    if part.type.kind is Kind.DATE:
        return null_of(kind)
    if part.type.kind is Kind.BOOLEAN:
        return f"CAST(CAST({part.sql} AS INT) AS DOUBLE)"
    if part.type.whole or part.type.kind is Kind.DECIMAL:
        return f"CAST({part.sql} AS DOUBLE)"
    raise Refused.because("not-on-spark", construct=f"CAST {part.type.kind.name} AS DOUBLE")


def _as_decimal(part: Part, kind: Type) -> str:
    source = part.type
    if source.kind is Kind.TEXT:
        raise lacking("text-as-decimal")
    if source.kind is Kind.BOOLEAN:
        return f"TRY_CAST(CAST({part.sql} AS INT) AS {spark_type(kind)})"
    if source.kind is Kind.DOUBLE:
        scale = f"CAST('1e{kind.scale}' AS DOUBLE)"
        return f"TRY_CAST((round({part.sql} * {scale}, 0) / {scale}) AS {spark_type(kind)})"
    if source.whole or source.kind is Kind.DECIMAL:
        return _tried(part, kind)
    raise Refused.because("not-on-spark", construct=f"CAST {source.kind.name} AS DECIMAL")


def _as_text(part: Part, kind: Type) -> str:
    source = part.type
    if source.kind is Kind.BOOLEAN:
        return f"(CASE WHEN {part.sql} THEN 'true' WHEN NOT {part.sql} THEN 'false' END)"
    if source.whole or source.kind in (Kind.DECIMAL, Kind.DATE):
        return f"CAST({part.sql} AS {spark_type(kind)})"
    raise lacking("double-as-text" if source.kind is Kind.DOUBLE else "instant-as-text")


def _as_boolean(part: Part, kind: Type) -> str:
    if part.type.kind is Kind.TEXT:
        yes, no = (", ".join(quoted_text(word) for word in sorted(words)) for words in (v._YES, v._NO))
        return f"(CASE WHEN lower({part.sql}) IN ({yes}) THEN true WHEN lower({part.sql}) IN ({no}) THEN false END)"
    if part.type.whole or part.type.kind in (Kind.DECIMAL, Kind.DOUBLE):
        return f"({part.sql} <> CAST(0 AS {spark_type(part.type)}))"
    raise Refused.because("not-on-spark", construct=f"CAST {part.type.kind.name} AS {kind.kind.name}")


def _as_date(part: Part, kind: Type) -> str:
    if part.type.kind is Kind.TEXT:
        if part.text is not None:
            try:
                return f"DATE '{date.fromisoformat(part.text).isoformat()}'"
            except ValueError:
                pass
        parts = [f"regexp_extract({part.sql}, {quoted_text(_DATE)}, {place})" for place in (1, 2, 3)]
        return f"TRY_CAST(concat({parts[0]}, '-', lpad({parts[1]}, 2, '0'), '-', lpad({parts[2]}, 2, '0')) AS DATE)"
    if part.type.kind is Kind.INSTANT:
        return f"CAST({part.sql} AS DATE)"
    if part.type.whole:
        return null_of(kind)
    raise Refused.because("not-on-spark", construct=f"CAST {part.type.kind.name} AS DATE")


def _as_instant(part: Part, kind: Type) -> str:
    if part.type.kind in (Kind.INSTANT, Kind.DATE):
        return f"CAST({part.sql} AS {spark_type(kind)})"
    if part.text is None:
        raise lacking("text-as-instant")
    try:
        found = datetime.fromisoformat(part.text)
    except ValueError:
        raise lacking("text-as-instant") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return f"CAST('{found.isoformat(sep=' ')}' AS TIMESTAMP)"


_WHOLES = (Kind.TINY, Kind.SMALL, Kind.INTEGER, Kind.BIG, Kind.HUGE)
CONVERSIONS: dict[Kind, Callable[[Part, Type], str]] = {
    **dict.fromkeys(_WHOLES, _as_whole),
    Kind.DOUBLE: as_double,
    Kind.DECIMAL: _as_decimal,
    Kind.TEXT: _as_text,
    Kind.BOOLEAN: _as_boolean,
    Kind.DATE: _as_date,
    Kind.INSTANT: _as_instant,
}
"""How a part becomes one of each kind."""


def cast_type(to: exp.DataType) -> Type:
    """The type that a cast names."""
    if to.this is exp.DType.DECIMAL:
        digits, scale = ([int(part.this.this) for part in to.expressions] + [18, 3])[:2] if to.expressions else (18, 3)
        return Type(Kind.DECIMAL, digits, scale if len(to.expressions) != 1 else 0)
    found = _CASTS.get(to.this)
    if found is None:
        raise Refused.because("not-on-spark", construct=f"CAST AS {to.this.value}")
    return found


def must_be_number(kind: Type, node: exp.Expr) -> None:
    """Raise Refused for a total or function of what is no number."""
    if not kind.whole and kind.kind not in (Kind.DECIMAL, Kind.DOUBLE, Kind.NOTHING):
        raise Refused.because("not-on-spark", construct=name_of(node))


def with_days(sign: str, a: Part, b: Part, kind: Type) -> Part:
    """A date so many days later or earlier, or the days between two dates."""
    if a.type.kind is b.type.kind:
        return Part(f"CAST(datediff({a.sql}, {b.sql}) AS BIGINT)", kind)
    day, days = (a, b) if a.type.kind is Kind.DATE else (b, a)
    if a.type.kind is not Kind.DATE and sign == "-":
        raise Refused.because("not-on-spark", construct="- DATE")
    number = converted(days, BIG).sql
    few = f"TRY_CAST(CASE WHEN {number} BETWEEN CAST(-{_DAYS} AS BIGINT) AND CAST({_DAYS} AS BIGINT) THEN {number} END AS INT)"
    return Part(f"{'date_add' if sign == '+' else 'date_sub'}({day.sql}, {few})", kind)


def of_doubles(sign: str, a: Part, b: Part) -> Part:
    """Arithmetic of doubles; divided by zero is missing."""
    x, y = converted(a, DOUBLE).sql, converted(b, DOUBLE).sql
    if sign in ("/", "//", "%"):
        # Sail and Spark fail on a zero; so do both where the zero only comes of making one type of both sides.
        y = f"nullif({y}, CAST(0 AS DOUBLE))"
    return Part(plain_double(f"({x} {'/' if sign == '//' else sign} {y})", DOUBLE), DOUBLE)


def of_wholes(sign: str, a: Part, b: Part, kind: Type) -> Part:
    """Arithmetic of whole numbers; missing where the result has no place in its type."""
    if kind.kind is Kind.HUGE:
        return _of_huge(sign, a, b)
    x, y = converted(a, BIG).sql, converted(b, BIG).sql
    if sign in ("//", "%"):
        zero, lowest = "CAST(0 AS BIGINT)", "CAST(-1 AS BIGINT)"
        divisor = f"(CASE WHEN {y} = {zero} OR {y} = {lowest} THEN CAST(1 AS BIGINT) ELSE {y} END)"
        by_one = f"try_subtract({zero}, {x})" if sign == "//" else f"{x} - {x}"
        found = f"(CASE WHEN {y} = {zero} THEN CAST(NULL AS BIGINT) WHEN {y} = {lowest} THEN {by_one} "
        found += f"ELSE {x} {'div' if sign == '//' else '%'} {divisor} END)"
    else:
        found = f"{ {'+': 'try_add', '-': 'try_subtract', '*': 'try_multiply'}[sign] }({x}, {y})"
    return Part(found if kind.kind is Kind.BIG else f"TRY_CAST({found} AS {spark_type(kind)})", Type(kind.kind))


def _of_huge(sign: str, a: Part, b: Part) -> Part:
    """Whole numbers of up to 38 digits, as decimals; they are made small enough beforehand."""
    x, y = converted(a, HUGE).sql, converted(b, HUGE).sql
    if sign in ("//", "%"):
        divisor = f"nullif({y}, CAST(0 AS DECIMAL(38, 0)))"
        rest = f"({x} % {divisor})"
        if sign == "%":
            return Part(f"CAST({rest} AS DECIMAL(38, 0))", HUGE)
        few = f"TRY_CAST({x} AS DECIMAL(28, 0))"
        return Part(f"CAST(round((({few} - ({few} % {divisor})) / TRY_CAST({divisor} AS DECIMAL(19, 0))), 0) AS DECIMAL(38, 0))", HUGE)
    near = f"abs(CAST({x} AS DOUBLE) {sign} CAST({y} AS DOUBLE)) < CAST('9e37' AS DOUBLE)"
    return Part(f"CAST(({x} {sign} (CASE WHEN {near} THEN {y} END)) AS DECIMAL(38, 0))", HUGE)


def of_decimals(sign: str, a: Part, b: Part, kind: Type) -> Part:
    """Decimals are made short enough beforehand for the result to have its place in 38 digits on any engine."""
    parts = [converted(part, part.type.as_decimal()) for part in (a, b)]
    digits = [part.type.digits for part in parts]
    if kind.scale > _MOST_BEHIND:
        raise lacking("fine-decimals")
    room = v.DIGITS - 1
    needed = sum(digits) if sign == "*" else max(part.type.digits - part.type.scale for part in parts) + kind.scale
    if needed > room:
        wide = max((0, 1), key=lambda at: digits[at] - parts[at].type.scale)
        kept = room - digits[1 - wide] if sign == "*" else room - kind.scale + parts[wide].type.scale
        if kept - parts[wide].type.scale < _LEAST_BEFORE:
            raise lacking("fine-decimals")
        parts[wide] = converted(parts[wide], Type(Kind.DECIMAL, kept, parts[wide].type.scale))
    x, y = (part.sql for part in parts)
    if sign == "%":
        y = f"nullif({y}, CAST(0 AS {spark_type(parts[1].type)}))"
    return Part(f"TRY_CAST(({x} {sign} {y}) AS {spark_type(kind)})", replace(kind, written=None))


def slice_of(text: str, start: str, end: str, given: str = "") -> str:
    """The characters from `start`, counted from 0, up to but not `end`; what lies outside is nothing. `given` must be known: Sail takes a
    missing place for the first."""
    low = f"greatest({start}, CAST(0 AS INT))"
    made = f"substring({text}, {low} + CAST(1 AS INT), greatest({end} - {low}, CAST(0 AS INT)))"
    return f"(CASE WHEN {given or start} IS NOT NULL THEN {made} END)"


def name_of(node: exp.Expr) -> str:
    """How an expression is called in a sentence."""
    if isinstance(node, exp.Func):
        return node.sql_name().lower()
    return type(node).__name__.upper()


_CASTS: Mapping[exp.DType, Type] = {
    exp.DType.TEXT: TEXT,
    exp.DType.VARCHAR: TEXT,
    exp.DType.SMALLINT: Type(Kind.SMALL),
    exp.DType.INT: INTEGER,
    exp.DType.BIGINT: BIG,
    exp.DType.INT128: HUGE,
    exp.DType.DOUBLE: DOUBLE,
    exp.DType.BOOLEAN: BOOLEAN,
    exp.DType.DATE: DATE,
    exp.DType.TIMESTAMP: MOMENT,
    exp.DType.TIMESTAMPNTZ: MOMENT,
    exp.DType.TIMESTAMPTZ: INSTANT,
}
