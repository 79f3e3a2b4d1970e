"""Codes that carry a check character, and names that may stand in SQL.

A code is recognised by its shape, its check character and its date; never by today's list of divisions, which grows old.
"""

import re
from collections.abc import Sequence
from datetime import date

RESIDENT_ID_WEIGHTS: Sequence[int] = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""ISO 7064 MOD 11-2 weights of GB 11643-1999, for the 17 digits before the check character."""
RESIDENT_ID_CHECK_CHARACTERS = "10X98765432"

CREDIT_CODE_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of GB 32100-2015; I, O, S, V and Z are left out."""
CREDIT_CODE_WEIGHTS: Sequence[int] = tuple(3**position % 31 for position in range(17))

_ORGANISATION_CODE = re.compile(r"([0-9A-Z]{8})-?([0-9X])")
_VEHICLE_NUMBER = re.compile(r"[0-9A-HJ-NPR-Z]{17}")
_VEHICLE_VALUES = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
_VEHICLE_WEIGHTS: Sequence[int] = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_RESIDENT_ID = re.compile(r"[0-9]{17}[0-9X]")
_CREDIT_CODE = re.compile(f"[{CREDIT_CODE_ALPHABET}]" + "{18}")
_NAME_PART = r"[A-Za-z\u3400-\u4dbf\u4e00-\u9fff][A-Za-z0-9_\u3400-\u4dbf\u4e00-\u9fff]{0,62}"
_ITEM_NAME = re.compile(_NAME_PART)
_DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?")


def resident_id_check_character(seventeen_digits: str) -> str:
    """The 18th character of a resident identity number (GB 11643-1999)."""
    total = sum(int(digit) * weight for digit, weight in zip(seventeen_digits, RESIDENT_ID_WEIGHTS, strict=True))
    return RESIDENT_ID_CHECK_CHARACTERS[total % 11]


def is_resident_id(value: str) -> bool:
    """Whether `value` has the shape and the check character of a resident identity number."""
    return _RESIDENT_ID.fullmatch(value) is not None and resident_id_check_character(value[:17]) == value[17]


def resident_id_birth_date(value: str) -> date | None:
    """The date of birth inside a number of 18 characters, or of the old form of 15 (born 19..); None if that day never was."""
    digits = value[6:14] if len(value) == 18 else f"19{value[6:12]}" if len(value) == 15 else ""
    if len(digits) != 8 or not digits.isascii() or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def credit_code_check_character(seventeen_characters: str) -> str:
    """The 18th character of a unified social credit code (GB 32100-2015)."""
    total = sum(
        CREDIT_CODE_ALPHABET.index(character) * weight
        for character, weight in zip(seventeen_characters, CREDIT_CODE_WEIGHTS, strict=True)
    )
    return CREDIT_CODE_ALPHABET[(31 - total % 31) % 31]


def is_credit_code(value: str) -> bool:
    """Whether `value` has the shape and the check character of a unified social credit code."""
    return _CREDIT_CODE.fullmatch(value) is not None and credit_code_check_character(value[:17]) == value[17]


def is_organisation_code(value: str) -> bool:
    """Whether `value` has the shape and the check character of an organisation code (GB 11714-1997), with its hyphen or without."""
    match = _ORGANISATION_CODE.fullmatch(value)
    if match is None:
        return False
    total = sum(int(character, 36) * weight for character, weight in zip(match[1], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return "0X987654321"[total % 11] == match[2]


def is_luhn(digits: str) -> bool:
    """Whether digits pass the check of ISO/IEC 7812 (bank cards): from the right, every second one counts twice."""
    if not digits.isascii() or not digits.isdigit():
        return False
    total = sum(int(digit) for digit in digits[::-2])
    return (total + sum(2 * int(digit) - 9 * (digit > "4") for digit in digits[-2::-2])) % 10 == 0


def is_vehicle_number(value: str) -> bool:
    """Whether `value` has the shape and the check character of a vehicle identification number (GB 16735-2019)."""
    if _VEHICLE_NUMBER.fullmatch(value) is None:
        return False
    total = sum(_VEHICLE_VALUES[character] * weight for character, weight in zip(value, _VEHICLE_WEIGHTS, strict=True))
    return "0123456789X"[total % 11] == value[8]


def is_item_name(value: str) -> bool:
    """Whether `value` may name an item: Latin letters, digits, underscore and Chinese characters, beginning with a letter."""
    return _ITEM_NAME.fullmatch(value) is not None


def is_dataset_name(value: str) -> bool:
    """Whether `value` may name a dataset in SQL: `theme` or `office.theme` in small Latin letters, digits, underscore."""
    return _DATASET_NAME.fullmatch(value) is not None
