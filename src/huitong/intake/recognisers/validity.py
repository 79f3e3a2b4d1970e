"""Whether a value is one of its meaning, as an SQL expression over a whole column: checksum, date and shape, by the rules of `rules.toml`.

Each form here has its equal in Python (`huitong.intake.recognisers.checks`), held together by a property test. An expression is built
so that the engine computes each common part once: parts are joined by `&` on small integers, not by AND, whose parts it keeps apart.

Codes of digits are read as hexadecimal, which puts each digit into four bits of one number; weighted sums are then a few shifts and
additions over all digits at once instead of one piece of text per digit.
"""

from collections.abc import Callable, Mapping, Sequence

from huitong.engines.duckdb import quote_text
from huitong.intake.recognisers.rules import Rule, rules
from huitong.model.catalog import ItemType
from huitong.model.codes import CREDIT_CODE_ALPHABET


def validity_sql(meaning: str | None, source: str, kind: ItemType = ItemType.TEXT) -> str | None:
    """A condition, true or false and never NULL, over the SQL expression `source` of that type: whether it is a value of the meaning.

    None if the meaning has no rule for that type. A missing value is not valid: count what is present apart."""
    rule = rules().get(meaning or "")
    if rule is None:
        return None
    if kind is ItemType.DATE and rule.dates is not None:
        first, last = rule.dates
        return f"coalesce({source} BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}', false)"
    if kind is not ItemType.TEXT or not rule.measured:
        return None
    return f"coalesce({_CHECKS[rule.check](source, rule) if rule.check else _shape(source, rule)}, false)"


def _shape(source: str, rule: Rule) -> str:
    return f"regexp_full_match({source}, {quote_text(rule.valid)})"


def _all(parts: Sequence[str]) -> str:
    """Whether all parts hold; common parts of them are computed once."""
    return f"(({' & '.join(f'CAST({part} AS UTINYINT)' for part in parts)}) = 1)"


def _bits(number: int) -> str:
    return f"{number}::UBIGINT"


def _spread(width: int, lanes: int, value: int) -> int:
    """The same value in each lane of so many bits."""
    return sum(value << (width * lane) for lane in range(lanes))


# --- digits of four bits ---------------------------------------------------------------------------------------------------


def _digits(source: str, start: int, count: int) -> str:
    """Up to 16 digits as one number of four bits each, the first digit highest; NULL if one is no hexadecimal digit."""
    return f"TRY_CAST('0x' || substr({source}, {start}, {count}) AS UBIGINT)"


def _only_digits(x: str) -> str:
    """Whether each four bits are at most nine."""
    return f"(({x} >> 3) & (({x} >> 2) | ({x} >> 1)) & {_bits(_spread(4, 16, 1))}) = 0"


def _halving_sum(x: str, base: int, modulus: int) -> str:
    """The sum of digit x base^position over 16 digits of four bits, modulo `modulus` but not yet reduced; positions from the right."""
    width = 4
    factor = base % modulus
    while width < 64:
        mask = _bits(_spread(2 * width, 32 // width, (1 << width) - 1))
        x = f"(({x} & {mask}) + {_bits(factor)} * (({x} >> {width}) & {mask}))"
        width, factor = 2 * width, factor * factor % modulus
    return x


def _character(source: str, position: int) -> str:
    return f"CAST(ascii(substr({source}, {position}, 1)) AS BIGINT)"


def _resident_id(source: str, rule: Rule) -> str:
    x = _digits(source, 1, 16)
    year, month_day = f"(({x} >> 24) & 65535)", f"(({x} >> 8) & 65535)"
    seventeenth, last = _character(source, 17), _character(source, 18)
    check = f"if({last} = 88, 10, {last} - 48)"
    first_year, last_year = (int(str(day.year), 16) for day in rule.range_of_dates)
    short_months = ", ".join(str(0x0031 + (month << 8)) for month in (0x04, 0x06, 0x09, 0x11))
    leap = f"((2 * (({x} >> 28) & 15) + (({x} >> 24) & 15)) & 3) = 0"
    return _all(
        [
            f"strlen({source}) = 18",
            f"({x} >> 60) > 0",  # also what an underscore would have shortened
            _only_digits(x),
            f"({seventeenth} BETWEEN 48 AND 57)",
            f"({last} = 88 OR {last} BETWEEN 48 AND 57)",
            f"(4 * CAST({_halving_sum(x, 2, 11)} AS BIGINT) + 2 * ({seventeenth} - 48) + {check}) % 11 = 1",
            f"({year} BETWEEN {first_year} AND {last_year})",
            f"({month_day} BETWEEN 257 AND {0x1231})",
            f"((({x} >> 16) & 255) BETWEEN 1 AND {0x12})",
            f"((({x} >> 8) & 255) BETWEEN 1 AND {0x31})",
            f"{month_day} NOT IN ({short_months}, {0x0230}, {0x0231})",
            f"({month_day} <> {0x0229} OR (({leap}) AND {year} <> {0x1900}))",
        ]
    )


def _doubled(x: str) -> str:
    """Luhn's sum of 16 digits of four bits, the check digit rightmost: every second digit counts twice, less nine if above nine."""
    mask = _bits(_spread(8, 8, 15))
    odd, even = f"({x} & {mask})", f"(({x} >> 4) & {mask})"
    above = f"((({even} + {_bits(_spread(8, 8, 3))}) >> 3) & {_bits(_spread(8, 8, 1))})"  # 1 for 5 to 9: digit + 3 reaches 8
    total = f"({odd} + 2 * {even} - 9 * {above})"
    for width in (8, 16, 32):
        half = _bits(_spread(2 * width, 32 // width, (1 << width) - 1))
        total = f"(({total} & {half}) + (({total} >> {width}) & {half}))"
    return total


def _bank_card(source: str, rule: Rule) -> str:
    shaped = f"if(regexp_full_match({source}, {quote_text(rule.valid)}), {source}, NULL)"
    # to 32 digits, in two halves; leading zeros change nothing in Luhn's sum
    padded = f"lpad({shaped}, 32, '0')"
    halves = [_digits(padded, start, 16) for start in (1, 17)]
    return f"(({_doubled(halves[0])} + {_doubled(halves[1])}) % 10 = 0)"


# --- characters of eight bits -----------------------------------------------------------------------------------------------


def _lanes(source: str, start: int) -> str:
    """Eight ASCII characters as one number of eight bits each."""
    return f"TRY_CAST(CAST(encode(substr({source}, {start}, 8)) AS BIT) AS UBIGINT)"


def _above(v: str, character: str) -> str:
    """1 in each lane whose ASCII character stands after that one."""
    return f"((({v} + {_bits(_spread(8, 8, 0x7F - ord(character)))}) >> 7) & {_bits(_spread(8, 8, 1))})"


def _polynomial(x: str, base: int, modulus: int) -> str:
    """The sum of lane x base^position over eight lanes, positions from the left; not yet reduced."""
    width, factor = 8, base
    while width < 64:
        mask = _bits(_spread(2 * width, 32 // width, (1 << width) - 1))
        x = f"((({x} >> {width}) & {mask}) + {_bits(factor)} * ({x} & {mask}))"
        width, factor = 2 * width, factor * factor % modulus
    return x


def _credit_code(source: str, rule: Rule) -> str:
    shaped = f"if(regexp_full_match({source}, {quote_text(rule.valid)}), {source}, NULL)"
    left_out = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXY" if letter not in CREDIT_CODE_ALPHABET]

    def values(start: int) -> str:
        v = _lanes(shaped, start)
        gaps = "".join(f" - {_above(v, letter)}" for letter in left_out)
        return f"({v} - {_bits(_spread(8, 8, 48))} - {_bits(7)} * {_above(v, '9')}{gaps})"

    end = values(11)  # its last two lanes are the characters 17 and 18
    total = (
        f"{_polynomial(values(1), 3, 31)} + {_bits(pow(3, 8, 31))} * {_polynomial(values(9), 3, 31)} "
        f"+ {_bits(pow(3, 16, 31))} * (({end} >> 8) & 255) + ({end} & 255)"
    )
    return f"(({total}) % 31 = 0)"


def _weighted(source: str, rule: Rule, *, values: Mapping[str, int], weights: Mapping[int, int], accepted: str) -> str:
    """Shape, and a condition over the weighted sum of single characters (rare codes: one lookup a character is fast enough)."""
    shaped = f"if(regexp_full_match({source}, {quote_text(rule.valid)}), {source}, NULL)"
    alphabet = "".join(values)
    assert [values[character] for character in alphabet] == list(range(len(alphabet)))
    total = " + ".join(
        f"{weight} * (instr({quote_text(alphabet)}, substr({shaped}, {position}, 1)) - 1)" for position, weight in weights.items()
    )
    return accepted.format(source=shaped, total=f"({total})")


_ALPHANUMERIC = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def _organisation_code(source: str, rule: Rule) -> str:
    return _weighted(
        source,
        rule,
        values=_ALPHANUMERIC,
        weights=dict(enumerate((3, 7, 9, 10, 5, 8, 4, 2), start=1)),
        accepted="(substr('0X987654321', CAST({total} % 11 AS BIGINT) + 1, 1) = right({source}, 1))",
    )


def _vin(source: str, rule: Rule) -> str:
    shaped = f"if(regexp_full_match({source}, {quote_text(rule.valid)}), {source}, NULL)"
    digits = f"translate({shaped}, 'ABCDEFGHJKLMNPRSTUVWXYZ', '12345678123457923456789')"
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = " + ".join(f"{weight} * (ascii(substr({digits}, {i}, 1)) - 48)" for i, weight in enumerate(weights, start=1) if weight)
    return f"(substr('0123456789X', CAST(({total}) % 11 AS BIGINT) + 1, 1) = substr({shaped}, 9, 1))"


_CHECKS: Mapping[str, Callable[[str, Rule], str]] = {
    "resident-id": _resident_id,
    "credit-code": _credit_code,
    "bank-card": _bank_card,
    "organisation-code": _organisation_code,
    "vehicle-number": _vin,
}
