"""A value is valid in SQL exactly if it is in Python, and the array forms of the recognisers know the same check characters.

The values are near misses: right codes with one character changed, swapped, left out or put in, and dates that never were."""

import random
from collections.abc import Callable, Mapping

import duckdb
import pyarrow as pa
import pytest

from huitong.intake.recognisers import is_valid, kernels, rules, validity_sql
from huitong.model.catalog import ItemType
from huitong.model.codes import (
    CREDIT_CODE_ALPHABET,
    credit_code_check_character,
    is_credit_code,
    is_luhn,
    is_organisation_code,
    is_resident_id,
    is_vehicle_number,
    resident_id_birth_date,
    resident_id_check_character,
)

ODD = "0123456789XxabcdefIOSVZ _-+.é身\\'\n\t０Ａ"


def digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choice("0123456789") for _ in range(count))


def resident_id(chance: random.Random) -> str:
    """A right check character; the day may be one that never was."""
    century = chance.choice(["17", "18", "19", "19", "20", "21"])
    day = f"{chance.randint(0, 13):02d}{chance.choice([0, 1, 15, 28, 29, 30, 31, 32]):02d}"
    first = chance.choice("0123456789") + digits(chance, 5) + century + digits(chance, 2) + day + digits(chance, 3)
    return first + resident_id_check_character(first)


def credit_code(chance: random.Random) -> str:
    first = chance.choice(["91", "92", "12", "51", "N2"]) + digits(chance, 6)
    first += "".join(chance.choice(CREDIT_CODE_ALPHABET) for _ in range(9))
    return first + credit_code_check_character(first)


def bank_card(chance: random.Random) -> str:
    first = digits(chance, chance.randint(10, 19))
    return first + next(digit for digit in "0123456789" if is_luhn(first + digit))


def organisation_code(chance: random.Random) -> str:
    first = "".join(chance.choice("0123456789ABCXYZ") for _ in range(8)) + chance.choice(["", "-"])
    return first + next(last for last in "0123456789X" if is_organisation_code(first + last))


def vehicle_number(chance: random.Random) -> str:
    while True:
        body = "".join(chance.choice("0123456789ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(14)) + digits(chance, 3)
        for check in "0123456789X":
            if is_vehicle_number(body[:8] + check + body[9:]):
                return body[:8] + check + body[9:]


def other(chance: random.Random) -> str:
    return chance.choice(
        (
            "13812345678", "+86 13812345678", "0851-85551234", "1990-01-01", "1990年1月1日", "19900101", "贵A12345", "贵AD12345",
            "贵A1234警", "520102001001", "520102", "550001", "clerk@example.cn", "E12345678", "WJ贵12345", "400-123-4567",
            "021-55551234-8", "", " ",
        )
    )


MAKERS: Mapping[str, Callable[[random.Random], str]] = {
    "resident-id": resident_id,
    "credit-code": credit_code,
    "bank-card": bank_card,
    "organisation-code": organisation_code,
    "vehicle-number": vehicle_number,
}


def near_miss(value: str, chance: random.Random) -> str:
    letters = list(value)
    where = chance.randrange(len(letters)) if letters else 0
    match chance.randint(0, 4):
        case 0 if letters:
            letters[where] = chance.choice(ODD)
        case 1 if letters:
            other_place = chance.randrange(len(letters))
            letters[where], letters[other_place] = letters[other_place], letters[where]
        case 2 if letters:
            del letters[where]
        case 3:
            letters.insert(where, chance.choice(ODD))
    return "".join(letters)


def values(meaning: str, count: int, seed: int) -> list[str]:
    chance = random.Random(f"{meaning} {seed}")
    make = MAKERS.get(meaning, other)
    return [near_miss(make(chance), chance) for _ in range(count)]


@pytest.mark.parametrize("meaning", [rule.meaning for rule in rules().values() if rule.measured])
def test_a_value_is_valid_in_sql_exactly_if_it_is_in_python(meaning: str) -> None:
    asked = values(meaning, 4_000, seed=1)
    table = pa.table({"value": asked})
    condition = validity_sql(meaning, '"value"')
    connection = duckdb.connect()
    connection.register("asked", table)
    in_sql = [row[0] for row in connection.execute(f"SELECT {condition} FROM asked").fetchall()]
    in_python = [is_valid(meaning, value) for value in asked]
    assert [(value, sql) for value, sql in zip(asked, in_sql, strict=True)] == list(zip(asked, in_python, strict=True))
    assert 50 < sum(map(bool, in_python)) < 3_950  # both kinds were tried


def test_a_missing_value_is_not_valid_and_never_null() -> None:
    connection = duckdb.connect()
    for rule in rules().values():
        condition = validity_sql(rule.meaning, "CAST(NULL AS VARCHAR)")
        if condition is not None:
            assert connection.execute(f"SELECT {condition}").fetchall() == [(False,)]


def test_a_meaning_without_a_rule_for_the_type_has_no_condition() -> None:
    assert validity_sql("person-name", '"x"') is None
    assert validity_sql("made-up", '"x"') is None
    assert validity_sql(None, '"x"') is None
    assert validity_sql("resident-id", '"x"', ItemType.INTEGER) is None
    assert validity_sql("birth-date", '"x"', ItemType.DATE) is not None


def test_the_array_forms_know_the_same_check_characters_as_the_plain_ones() -> None:
    def known(kernel: Callable[[kernels.Texts], kernels.Flags], asked: list[str]) -> list[bool]:
        return [bool(flag) for flag in kernel(kernels.Texts(pa.array(asked)))]

    asked = values("resident-id", 6_000, seed=2)
    in_arrays = known(lambda texts: kernels.resident_ids(texts)[0], asked)
    assert in_arrays == [is_valid("resident-id", value) for value in asked]
    asked = values("organisation-code", 3_000, seed=2)
    plain = [value for value in asked if "-" not in value]
    assert known(kernels.organisation_codes, plain) == [is_organisation_code(value) for value in plain]
    asked = values("credit-code", 6_000, seed=2)
    for value, flag in zip(asked, known(kernels.credit_codes, asked), strict=True):
        assert not flag or is_credit_code(value)  # arrays ask for a kind of body besides
        assert flag or not is_valid("credit-code", value) or value[:2] not in ("91", "92", "12", "51", "N2") or value[8:17].isdigit()
    asked = values("vehicle-number", 3_000, seed=2)
    for value, flag in zip(asked, known(kernels.vehicle_numbers, asked), strict=True):
        assert not flag or is_vehicle_number(value)
        assert flag or not is_valid("vehicle-number", value) or sum(map(str.isalpha, value)) < 2
    asked = values("bank-card", 6_000, seed=2) + [f"62170000{n:010d}" for n in range(2_000)]
    for value, flag in zip(asked, known(kernels.bank_cards, asked), strict=True):
        assert not flag or is_luhn(value)
        assert flag or not value.startswith("6217") or len(value) != 18 or not is_luhn(value)


def test_every_day_of_a_leap_year_and_of_others_is_a_day_of_birth_and_no_other_day_is() -> None:
    asked = []
    for year in (1850, 1899, 1900, 1999, 2000, 2004, 2099):
        for month in range(14):
            for day in range(33):
                first = f"520102{year}{month:02d}{day:02d}123"
                asked.append(first + resident_id_check_character(first))
    connection = duckdb.connect()
    connection.register("asked", pa.table({"value": asked}))
    in_sql = [row[0] for row in connection.execute(f"SELECT {validity_sql('resident-id', 'value')} FROM asked").fetchall()]
    assert in_sql == [resident_id_birth_date(value) is not None for value in asked]
    assert sum(in_sql) == 5 * 365 + 2 * 366
    assert all(is_resident_id(value) for value in asked)
