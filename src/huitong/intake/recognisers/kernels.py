"""Which values of a whole array carry a check character of some identifier: numpy over the bytes, a hundred times faster than one by one.

Values come as people write them down: the caller has taken blanks and hyphens out and made letters capital (`tidy`). The plain forms in
`huitong.model.codes` say the same of one value, and a property test compares them.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from huitong.intake.recognisers.rules import rules
from huitong.model.codes import CREDIT_CODE_ALPHABET, CREDIT_CODE_WEIGHTS, RESIDENT_ID_CHECK_CHARACTERS, RESIDENT_ID_WEIGHTS

Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_CLUTTER = "[ \\t\\x{00a0}\\x{3000}'’`-]"
_MAY_NEED_CARE = f"{_CLUTTER}|[a-z]|[\\x{{ff01}}-\\x{{ff5e}}]"
_NOT_IN_ALPHABET = 255
_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0], dtype=np.int32)


def tidy(values: pa.StringArray) -> pa.StringArray:
    """Codes as they would be without blanks, hyphens, a leading apostrophe, full-width digits and small letters."""
    careful = pc.match_substring_regex(values, _MAY_NEED_CARE)
    if not pc.any(careful).as_py():
        return values
    chosen = values.filter(careful)
    plain = pc.replace_substring_regex(pc.utf8_normalize(chosen, form="NFKC"), _CLUTTER, "")
    return pc.replace_with_mask(values, careful, pc.utf8_upper(plain))


class Texts:
    """The bytes of an array of texts without nulls, laid out by length."""

    def __init__(self, values: pa.StringArray) -> None:
        values = pa.concat_arrays([values])  # offsets from the beginning of its own buffer
        self.count = len(values)
        _, offsets, data = values.buffers()
        self._offsets = np.frombuffer(offsets, dtype=np.int32, count=self.count + 1) if self.count else np.zeros(1, np.int32)
        self._data = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        self.lengths = np.diff(self._offsets)

    def of_length(self, length: int) -> tuple[npt.NDArray[np.intp], Bytes]:
        """Positions of the texts of so many bytes, and their bytes, a row for each."""
        where = np.flatnonzero(self.lengths == length)
        return where, self._data[self._offsets[:-1][where][:, None] + np.arange(length, dtype=np.int32)]

    def none(self) -> Flags:
        """No text at all."""
        return np.zeros(self.count, dtype=np.bool_)


def resident_ids(texts: Texts) -> tuple[Flags, Flags]:
    """Numbers of 18 characters with a right check character and a day that was; and the old ones of 15 digits.

    Those have no check character: they must bear a day and a county of the years in which they were given out (until 1999), a list
    that grows no more."""
    first, last = rules()["resident-id"].range_of_dates
    new, old = texts.none(), texts.none()
    where, found = texts.of_length(18)
    digits = (found - 48).astype(np.int32)  # other characters wrap round to more than nine
    digits[:, 17][found[:, 17] == ord("X")] = 10
    right = (digits[:, :17] <= 9).all(axis=1) & (digits[:, 0] > 0) & (digits[:, 17] <= 10) & (found[:, 17] != ord(":"))
    remainders = (digits[:, :17] @ np.array(RESIDENT_ID_WEIGHTS, dtype=np.int32)) % 11
    expected = np.frombuffer(RESIDENT_ID_CHECK_CHARACTERS.encode(), dtype=np.uint8)[remainders]
    new[where] = right & (expected == found[:, 17]) & _are_days(digits, 6, 4, first.year, last.year)
    where, found = texts.of_length(15)
    digits = (found - 48).astype(np.int32)
    right = (digits <= 9).all(axis=1)
    old[where] = right & _divisions_ever()[1][_heads(digits, right)] & _are_days(digits, 6, 2, 1900, 1999)
    return new, old


def _are_days(digits: npt.NDArray[np.int32], start: int, year_digits: int, first_year: int, last_year: int) -> Flags:
    years = digits[:, start : start + year_digits] @ np.array([1000, 100, 10, 1][4 - year_digits :], dtype=np.int32)
    if year_digits == 2:
        years = years + 1900
    start += year_digits
    months = 10 * digits[:, start] + digits[:, start + 1]
    days = 10 * digits[:, start + 2] + digits[:, start + 3]
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    longest = _DAYS[np.clip(months, 0, 13)] - ((months == 2) & ~leap)
    there: Flags = (years >= first_year) & (years <= last_year) & (months >= 1) & (days >= 1) & (days <= longest)
    return there


def credit_codes(texts: Texts) -> Flags:
    """Unified social credit codes by kind of body and check character; where there are digits alone, one number in 31 passes that, so the
    organisation code inside (characters 9 to 17) must then pass its own check too. The division is not asked for."""
    flags = texts.none()
    where, found = texts.of_length(18)
    values = _table(CREDIT_CODE_ALPHABET)[found]
    right = (values != _NOT_IN_ALPHABET).all(axis=1) & ((found[:, 2:8] - 48) <= 9).all(axis=1)
    total = values[:, :17].astype(np.int32) @ np.array(CREDIT_CODE_WEIGHTS, dtype=np.int32) + values[:, 17]
    right &= _bodies()[found[:, 0].astype(np.int32) * 256 + found[:, 1]]
    inside = _is_organisation_code(found[:, 8:17]) | (found[:, 8:17] >= 65).any(axis=1)
    flags[where] = right & inside & (total % 31 == 0)
    return flags


def organisation_codes(texts: Texts) -> Flags:
    """Organisation codes of nine characters by their check character."""
    flags = texts.none()
    where, found = texts.of_length(9)
    flags[where] = _is_organisation_code(found)
    return flags


def _is_organisation_code(found: Bytes) -> Flags:
    values = _table("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")[found[:, :8]]
    total = values.astype(np.int32) @ np.array((3, 7, 9, 10, 5, 8, 4, 2), dtype=np.int32)
    expected = np.frombuffer(b"0X987654321", dtype=np.uint8)[total % 11]
    right: Flags = (values != _NOT_IN_ALPHABET).all(axis=1) & (expected == found[:, 8])
    return right


def vehicle_numbers(texts: Texts) -> Flags:
    """Vehicle identification numbers by their check character; at least two letters, or any number of 17 digits would do."""
    flags = texts.none()
    where, found = texts.of_length(17)
    letters = (found >= 65).sum(axis=1)
    values = _table("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", "012345678912345678123457923456789")[found]
    total = values.astype(np.int32) @ np.array((8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2), dtype=np.int32)
    expected = np.frombuffer(b"0123456789X", dtype=np.uint8)[total % 11]
    right = (values != _NOT_IN_ALPHABET).all(axis=1) & (letters >= 2) & (found[:, 0] != 48) & ((found[:, 14:] - 48) <= 9).all(axis=1)
    flags[where] = right & (expected == found[:, 8])
    return flags


def bank_cards(texts: Texts) -> Flags:
    """Card numbers with a right last digit whose first digits are an issuer's in China, at a length that it issues."""
    flags = texts.none()
    for length, issuers in _issuers().items():
        where, found = texts.of_length(length)
        if not len(where):
            continue
        digits = (found - 48).astype(np.int32)
        right = (digits <= 9).all(axis=1)
        known = issuers[_heads(digits, right)]
        doubled = digits[:, length - 2 :: -2]
        total = digits[:, length - 1 :: -2].sum(axis=1) + (2 * doubled - 9 * (doubled > 4)).sum(axis=1)
        flags[where] = right & known & (total % 10 == 0)
    return flags


def divisions(texts: Texts) -> tuple[Flags, Flags]:
    """Codes of 6, 9 or 12 digits in a city that exists or once existed; and those of them whose county does or did.

    A county may be new, so the first is what counts; a city with a new number shows up as a share below all."""
    cities, counties = _divisions_ever()
    in_city, in_county = texts.none(), texts.none()
    for length in (6, 9, 12):
        where, found = texts.of_length(length)
        if not len(where):
            continue
        digits = (found - 48).astype(np.int32)
        right = (digits <= 9).all(axis=1)
        heads = _heads(digits, right)
        in_city[where] = right & cities[heads // 100]
        in_county[where] = right & counties[heads]
    return in_city, in_county


def _heads(digits: npt.NDArray[np.int32], right: Flags | np.bool_) -> npt.NDArray[np.int32]:
    """The number of the first six digits; 0 where they are not all digits."""
    heads: npt.NDArray[np.int32] = np.where(right, digits[:, :6] @ np.array((100_000, 10_000, 1_000, 100, 10, 1), dtype=np.int32), 0)
    return heads


@cache
def _bodies() -> Flags:
    """Whether two characters, the first times 256 plus the second, stand for a kind of body in a credit code."""
    said = tomllib.loads((files(__package__) / "rules.toml").read_text("utf-8"))["bodies"]
    kinds = np.zeros(65_536, dtype=np.bool_)
    kinds[[ord(kind[0]) * 256 + ord(kind[1]) for kind in said["kinds"]]] = True
    return kinds


@cache
def _table(alphabet: str, values: str | None = None) -> Bytes:
    table = np.full(256, _NOT_IN_ALPHABET, dtype=np.uint8)
    for position, character in enumerate(alphabet):
        table[ord(character)] = position if values is None else int(values[position])
    return table


@cache
def _issuers() -> Mapping[int, Flags]:
    """For each length of a card number, whether its first six digits are an issuer's. Source: stated in `card_issuers.txt`."""
    found: dict[int, Flags] = {}
    for line in _lines("card_issuers.txt"):
        length, *prefixes = line.split()
        table = np.zeros(1_000_000, dtype=np.bool_)
        for prefix in prefixes:
            width = 10 ** (6 - len(prefix))
            table[int(prefix) * width : (int(prefix) + 1) * width] = True
        found[int(length)] = table
    return found


@cache
def _divisions_ever() -> tuple[Flags, Flags]:
    """Whether four digits are (were) a city, and six a county or what stands above it. Source: stated in `divisions_ever.txt`."""
    cities, counties = np.zeros(10_000, dtype=np.bool_), np.zeros(1_000_000, dtype=np.bool_)
    for line in _lines("divisions_ever.txt"):
        city, *ends = line.split()
        cities[int(city)] = True
        counties[[int(city + end) for end in ends]] = True
    return cities, counties


def _lines(name: str) -> list[str]:
    text = (files(__package__) / name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
