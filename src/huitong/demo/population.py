"""The invented people of the province: any person or household is computed from its number, none is stored.

Households live in the real villages, in the order of the division codes. A household's number gives its village and, by a
permutation within its county, a *place* (a, b): b is one of a few dozen flavours, a decides on which day its head was born, and
two places of one flavour never share that day. Everybody else is born a number of days before or after the head that depends on
county, flavour and role only. The sequence digits of a resident ID come from role and flavour. So no two people ever share an ID,
though no list of people is kept, and memory does not grow with their number.
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib.resources import files
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huitong.demo.counter import Counters, Permutation, below, key_of, noise
from huitong.demo.province_tables import Villages, villages
from huitong.errors import InputInvalid

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

EPOCH = date(1970, 1, 1)
REFERENCE_DAY = date(2026, 6, 30)
"""The registers show the province on this day."""
FIRST_DAY = date(1895, 1, 1)

BLOCK_HOUSEHOLDS = 60
BLOCK_PERSONS = 190
"""Households come in blocks of 60 with 190 people: 12 million households for 38 million people, as in the poverty theme."""
HOUSEHOLD_SIZES = ((1, 15), (2, 24), (3, 23), (4, 20), (5, 10), (6, 5), (7, 3))
"""Size of a household and its weight (scenario, near the 3.17 people a household that the two registers imply)."""

HEAD_AGES = ((26, 19), (30, 20), (36, 19), (45, 17), (55, 15), (62, 12), (70, 8), (78, 5), (88, 1))
"""Age of a household's head and its relative density; straight lines between."""

RELATIONS = {
    "head": "户主", "spouse": "配偶", "young-first": "子女", "young-second": "子女", "first": "子女", "second": "子女",
    "third": "子女", "father": "父亲", "mother": "母亲", "sibling": "兄弟姐妹", "in-law": "儿媳或女婿",
    "grandchild-first": "孙子女", "grandchild-second": "孙子女",
}  # fmt: skip
"""The roles in a household, with what the register calls the relation to the head."""
ROLES = tuple(RELATIONS)
RELATION_TITLES = tuple(RELATIONS.values())
BIRTH_AFTER_HEAD = {
    "head": (0, 0), "spouse": (-1460, 2500), "young-first": (7120, 9120), "young-second": (8030, 9300), "first": (8000, 12600),
    "second": (9000, 13600), "third": (9900, 13800), "father": (-12000, -7700), "mother": (-11300, -7300),
    "sibling": (-1800, 2500), "in-law": (7300, 11700), "grandchild-first": (16800, 21100), "grandchild-second": (17500, 21700),
}  # fmt: skip
"""Days from the birth of the head to that of a member, first and last."""

COMPOSITIONS = {
    # By age of the head (under 38, under 60, older), then by size: two ways to be such a household.
    "young": (
        (["head"], ["head"]),
        (["head", "spouse"], ["head", "young-first"]),
        (["head", "spouse", "young-first"], ["head", "father", "mother"]),
        (["head", "spouse", "young-first", "young-second"], ["head", "spouse", "young-first", "mother"]),
        (["head", "spouse", "young-first", "young-second", "mother"], ["head", "spouse", "young-first", "father", "mother"]),
        (["head", "spouse", "young-first", "young-second", "father", "mother"],) * 2,
        (["head", "spouse", "young-first", "young-second", "father", "mother", "sibling"],) * 2,
    ),
    "middle": (
        (["head"], ["head"]),
        (["head", "spouse"], ["head", "first"]),
        (["head", "spouse", "first"], ["head", "spouse", "mother"]),
        (["head", "spouse", "first", "second"], ["head", "spouse", "first", "mother"]),
        (["head", "spouse", "first", "second", "mother"], ["head", "spouse", "first", "second", "third"]),
        (["head", "spouse", "first", "second", "father", "mother"], ["head", "spouse", "first", "second", "third", "mother"]),
        (["head", "spouse", "first", "second", "third", "father", "mother"],) * 2,
    ),
    "old": (
        (["head"], ["head"]),
        (["head", "spouse"], ["head", "spouse"]),
        (["head", "spouse", "grandchild-first"], ["head", "spouse", "first"]),
        (["head", "spouse", "grandchild-first", "grandchild-second"], ["head", "first", "in-law", "grandchild-first"]),
        (["head", "spouse", "first", "in-law", "grandchild-first"],) * 2,
        (["head", "spouse", "first", "in-law", "grandchild-first", "grandchild-second"],) * 2,
        (["head", "spouse", "first", "second", "in-law", "grandchild-first", "grandchild-second"],) * 2,
    ),
}
MIDDLE_FROM_DAYS, OLD_FROM_DAYS = 13_880, 21_915
"""Age of the head in days at which a household counts as middle (38 years) and old (60 years)."""

FLAVOURS = 500 // len(ROLES)
"""Each role has this many of the 500 sequence numbers of a sex, one a flavour."""
VARIANTS = 3
"""Area codes a county may use when it is too big for one: its city digits plus 0, 30, 60; the province prefix stays 99."""
_FRACTION = 20
_SLOTS = 1024


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def digits(width: int) -> Bytes:
    """The decimal digits of 0 to 10^width - 1 as ASCII, one row a number."""
    numbers = np.arange(10**width)
    return np.stack([(numbers // 10 ** (width - 1 - place)) % 10 + 48 for place in range(width)], axis=1).astype(np.uint8)


def packed(table: Bytes) -> NDArray[Any]:
    """Rows of bytes as one fixed-width value each, so that taking a row is one move."""
    return np.ascontiguousarray(table).view(f"S{table.shape[1]}").reshape(-1)


def quantiles(weights: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A table of `size` entries in which index i stands as often as its weight says: a draw by table look-up."""
    ends = np.cumsum(weights)
    found: NDArray[np.int64] = np.searchsorted(ends * size, np.arange(size) * ends[-1], side="right")
    return found


@dataclass(frozen=True)
class Households:
    """Some households, each an entry in every array."""

    number: Integers
    village: Integers
    county: Integers
    flavour: Integers
    """Row of the tables that are kept by county and flavour."""
    head_born: Integers
    size: Integers
    composition: Integers


@dataclass(frozen=True)
class Persons:
    """Some people, each an entry in every array."""

    households: Households
    member: Integers
    """Place in the household, from 0, the head."""
    role: Integers
    born: Integers
    male: NDArray[np.bool_]
    sequence: Integers


@cache
def names() -> dict[str, Any]:
    """Surnames, given names and ethnic groups, from `names.toml`."""
    return tomllib.loads((files("huitong.demo") / "names.toml").read_text("utf-8"))


class Population:
    """`persons` people in their households, for a seed. Pure functions of numbers; safe to use from several threads."""

    def __init__(self, *, seed: int, persons: int) -> None:
        self.seed = seed
        self.persons = persons
        self.villages: Villages = villages()
        self._block_key = key_of(seed, "block")
        self._lay_blocks()
        blocks, rest = divmod(persons, BLOCK_PERSONS)
        self.households = blocks * BLOCK_HOUSEHOLDS
        self._last_size = 0
        if rest:
            kind = int(noise(self._block_key, np.array([blocks]))[0]) & 255
            last = int(self._household_in_block[kind, rest - 1])
            self.households += last + 1
            self._last_size = int(self._member_in_block[kind, rest - 1]) + 1
        self._settle()
        self._lay_roles()
        self._lay_ids()

    # How people are laid out -----------------------------------------------------------------------------------------------

    def _lay_blocks(self) -> None:
        """256 kinds of block: sizes drawn by weight, then nudged until 60 households hold 190 people."""
        table = quantiles(np.array([weight for _, weight in HOUSEHOLD_SIZES]), 4096) + 1
        draws = noise(key_of(self.seed, "sizes"), np.arange(256 * BLOCK_HOUSEHOLDS)).reshape(256, BLOCK_HOUSEHOLDS)
        sizes = table[(draws & np.uint64(4095)).astype(np.int64)]
        largest = len(HOUSEHOLD_SIZES)
        for kind in range(256):
            place = kind
            while (missing := BLOCK_PERSONS - int(sizes[kind].sum())) != 0:
                household = (place * 37) % BLOCK_HOUSEHOLDS
                step = 1 if missing > 0 else -1
                if 1 <= sizes[kind, household] + step <= largest:
                    sizes[kind, household] += step
                place += 1
        self._size_in_block = sizes.astype(np.int64)
        self._household_in_block = np.stack([np.repeat(np.arange(BLOCK_HOUSEHOLDS), row) for row in sizes])
        self._member_in_block = np.stack([np.concatenate([np.arange(size) for size in row]) for row in sizes])

    def _settle(self) -> None:
        """Share the households among villages by weight, and choose each county's permutation."""
        places = self.villages
        ends = np.cumsum(places.weight)
        self._village_start = np.concatenate([[0], ends * self.households // ends[-1]]).astype(np.int64)
        self._bucket_shift = max(0, self.households.bit_length() - 17)
        firsts = np.arange((self.households >> self._bucket_shift) + 1, dtype=np.int64) << self._bucket_shift
        self._bucket = np.searchsorted(self._village_start, firsts, side="right") - 1
        counties = len(places.county_codes)
        first_village = np.searchsorted(places.county, np.arange(counties + 1))
        self._county_start = self._village_start[first_village]
        count = np.maximum(1, np.diff(self._county_start))
        self._county_size = count
        self.variants = 1
        room = (_FRACTION_UNITS * self._shortest_slot) // _SLOTS
        while -(-int(count.max()) // (FLAVOURS * self.variants)) > room:
            self.variants += 1
        if self.variants > VARIANTS:
            raise InputInvalid.because("demo-rows-too-many", persons=self.persons)
        self.flavours = FLAVOURS * self.variants
        self._county_rows = -(-count // self.flavours)
        factors, terms = [], []
        for county, size in enumerate(count.tolist()):
            factor = max(1, size * 618_034 // 1_000_000)
            while gcd(factor, size) != 1:
                factor += 1
            factors.append(factor)
            terms.append(int(noise(key_of(self.seed, "county"), np.array([county]))[0]) % size)
        self._factor, self._term = np.array(factors), np.array(terms)
        draws = noise(key_of(self.seed, "jitter"), np.arange(counties * self.flavours))
        self._jitter = below(draws, _FRACTION_UNITS)

    @cached_property
    def _head_days(self) -> Integers:
        """The day on which each of 1,024 equal shares of all heads begins to be born, oldest first, and the end."""
        months: list[tuple[int, int]] = []
        for (young, thin), (old, thick) in pairwise(HEAD_AGES):
            span = (old - young) * 12
            months += [(young * 12 + step, 1000 * thin + 1000 * (thick - thin) * step // span) for step in range(span)]
        months.reverse()
        total = sum(density for _, density in months)
        days, passed, place = [], 0, 0
        for slot in range(_SLOTS + 1):
            while place < len(months) - 1 and slot * total >= (passed + months[place][1]) * _SLOTS:
                passed += months[place][1]
                place += 1
            month, density = months[place]
            age = ((month + 1) * density * _SLOTS - (slot * total - passed * _SLOTS)) * 36525 // (density * _SLOTS * 1200)
            days.append(day_number(REFERENCE_DAY) - age)
        return np.array(days)

    @cached_property
    def _shortest_slot(self) -> int:
        return int(np.diff(self._head_days).min())

    def _lay_roles(self) -> None:
        rows = len(self.villages.county_codes) * self.flavours
        shifts = []
        for role in ROLES:
            first, last = BIRTH_AFTER_HEAD[role]
            draws = noise(key_of(self.seed, "shift", role), np.arange(rows))
            shifts.append(first + below(draws, last - first + 1))
        self._shift = np.stack(shifts)
        table = np.zeros((3, len(HOUSEHOLD_SIZES), 2, len(HOUSEHOLD_SIZES)), dtype=np.int64)
        for stage, kinds in enumerate(COMPOSITIONS.values()):
            for size, ways in enumerate(kinds):
                for way, roles in enumerate(ways):
                    table[stage, size, way, : size + 1] = [ROLES.index(role) for role in roles]
        self._roles = table.reshape(-1, len(HOUSEHOLD_SIZES))

    def _lay_ids(self) -> None:
        weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
        areas = []
        for variant in range(VARIANTS):
            areas += [f"99{int(code[2:4]) + 30 * variant:02d}{code[4:6]}" for code in self.villages.county_codes]
        area = np.frombuffer("".join(areas).encode("ascii"), dtype=np.uint8).reshape(-1, 6)
        days = np.arange(day_number(FIRST_DAY), day_number(REFERENCE_DAY) + 1).astype("datetime64[D]")
        text = "".join(np.datetime_as_string(days)).replace("-", "")
        birth = np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(-1, 8)
        sequence = digits(3)
        self._area, self._birth, self._sequence = packed(area), packed(birth), packed(sequence)
        self._area_sum = (area.astype(np.int64) - 48) @ np.array(weights[:6]) % 11
        self._birth_sum = (birth.astype(np.int64) - 48) @ np.array(weights[6:14]) % 11
        self._sequence_sum = (sequence.astype(np.int64) - 48) @ np.array(weights[14:]) % 11
        self._check = np.frombuffer(b"10X98765432" * 3, dtype=np.uint8)
        self._household_order = Permutation(key_of(self.seed, "household-code"), 10**9)
        self._four = packed(digits(4))

    # Who lives where -------------------------------------------------------------------------------------------------------

    def locate(self, number: Integers) -> Households:
        """The households of these numbers."""
        village = self._bucket[number >> self._bucket_shift]
        while True:
            behind = np.flatnonzero(self._village_start[village + 1] <= number)
            if not behind.size:
                break
            village[behind] += 1
        county = self.villages.county[village]
        size_of_county = self._county_size[county]
        place = number - self._county_start[county]
        place *= self._factor[county]
        place += self._term[county]
        place %= size_of_county
        rows = place // self.flavours
        flavour = county * self.flavours + (place - rows * self.flavours)
        fraction = ((rows << _FRACTION) + self._jitter[flavour]) // self._county_rows[county]
        slot = fraction >> 10
        first = self._head_days[slot]
        born = first + (((fraction & 1023) * (self._head_days[slot + 1] - first)) >> 10)
        block = number // BLOCK_HOUSEHOLDS
        bits = noise(self._block_key, block)
        size = self._size_in_block[(bits & np.uint64(255)).astype(np.int64), number - block * BLOCK_HOUSEHOLDS]
        if self._last_size:
            size = np.where(number == self.households - 1, self._last_size, size)
        age = day_number(REFERENCE_DAY) - born
        stage = (age >= MIDDLE_FROM_DAYS).astype(np.int64) + (age >= OLD_FROM_DAYS)
        way = (noise(self._block_key + 1, number) & np.uint64(1)).astype(np.int64)
        return Households(number, village, county, flavour, born, size, (stage * len(HOUSEHOLD_SIZES) + size - 1) * 2 + way)

    def members(self, households: Households, member: Integers) -> Persons:
        """The member at that place in each household."""
        role = self._roles[households.composition, member]
        born = households.head_born + self._shift[role, households.flavour]
        bits = noise(key_of(self.seed, "sex"), households.number * 8 + member)
        head_male = below(noise(key_of(self.seed, "sex"), households.number * 8), 100) < 82
        couple = role <= ROLES.index("spouse")
        male = np.where(couple, head_male ^ (role == ROLES.index("spouse")), below(bits, 1000) < 512)
        male |= role == ROLES.index("father")
        male &= role != ROLES.index("mother")
        flavour = households.flavour % self.flavours % FLAVOURS
        return Persons(households, member, role, born, male, 2 * (role * FLAVOURS + flavour) + male)

    def person(self, number: Integers) -> Persons:
        """The people of these numbers."""
        block = number // BLOCK_PERSONS
        place = number - block * BLOCK_PERSONS
        kind = (noise(self._block_key, block) & np.uint64(255)).astype(np.int64)
        households = self.locate(block * BLOCK_HOUSEHOLDS + self._household_in_block[kind, place])
        return self.members(households, self._member_in_block[kind, place])

    def heads(self, households: Households) -> Persons:
        """The head of each household."""
        return self.members(households, np.zeros_like(households.number))

    def means(self, household: Integers) -> Counters:
        """What decides how well off the households of these numbers are: 64 bits, the poorest lowest."""
        return noise(key_of(self.seed, "means"), household)

    def draw_households(self, key: int, index: Integers, *, lean: str = "") -> Integers:
        """The number of a household for each index. Leaning `poor` or `rich` takes the poorest or richest of three."""
        chosen = below(noise(key, index), self.households)
        for attempt in (1, 2) if lean else ():
            other = below(noise(key + attempt, index), self.households)
            better = self.means(other) < self.means(chosen)
            chosen = np.where(better if lean == "poor" else ~better, other, chosen)
        return chosen

    def draw(self, key: int, index: Integers, ages: tuple[int, int], *, lean: str = "", tries: int = 40) -> Persons:
        """A person for each index, drawn among those whose age in years lies in `ages`; may draw the same person twice.

        Leaning `poor` or `rich` takes the one of the poorer or richer household of two."""
        if lean:
            one, other = self.draw(key, index, ages, tries=tries), self.draw(key ^ 1 << 40, index, ages, tries=tries)
            poorer = self.means(other.households.number) < self.means(one.households.number)
            swap = poorer if lean == "poor" else ~poorer
            households = self.locate(np.where(swap, other.households.number, one.households.number))
            return self.members(households, np.where(swap, other.member, one.member))
        chosen = np.empty(len(index), dtype=np.int64)
        waiting = np.arange(len(index))
        last = day_number(REFERENCE_DAY) - ages[0] * 36525 // 100
        first = day_number(REFERENCE_DAY) - (ages[1] + 1) * 36525 // 100
        everyone = ages[0] == 0 and ages[1] >= 110
        for attempt in range(tries):
            number = below(noise(key + attempt, index[waiting]), self.persons)
            chosen[waiting] = number
            if everyone:
                break
            born = self.person(number).born
            waiting = waiting[(born <= first) | (born > last)]
            if not waiting.size:
                break
        return self.person(chosen)

    def member_of_age(self, households: Households, ages: tuple[int, int], key: int) -> Persons:
        """A member of each household, of that age if it has one; else the head."""
        last = day_number(REFERENCE_DAY) - ages[0] * 36525 // 100
        first = day_number(REFERENCE_DAY) - (ages[1] + 1) * 36525 // 100
        start = below(noise(key, households.number), 60)
        member = np.zeros_like(households.number)
        found = np.zeros(len(member), dtype=np.bool_)
        for step in range(len(HOUSEHOLD_SIZES)):
            candidate = (start + step) % households.size
            born = self.members(households, candidate).born
            fits = ~found & (born > first) & (born <= last)
            member[fits] = candidate[fits]
            found |= fits
        return self.members(households, member)

    # What stands on paper --------------------------------------------------------------------------------------------------

    def resident_ids(self, persons: Persons) -> Bytes:
        """Their resident IDs as ASCII, 18 bytes a row: prefix 99, correct check character, unique in this population."""
        households = persons.households
        place = households.flavour - households.county * self.flavours
        area = (place // FLAVOURS) * len(self.villages.county_codes) + households.county
        day = persons.born - day_number(FIRST_DAY)
        text = np.empty((len(area), 18), dtype=np.uint8)
        text[:, :6] = self._area[area].view(np.uint8).reshape(-1, 6)
        text[:, 6:14] = self._birth[day].view(np.uint8).reshape(-1, 8)
        text[:, 14:17] = self._sequence[persons.sequence].view(np.uint8).reshape(-1, 3)
        text[:, 17] = self._check[self._area_sum[area] + self._birth_sum[day] + self._sequence_sum[persons.sequence]]
        return text

    def household_codes(self, households: Households) -> Bytes:
        """Their codes as ASCII, 18 bytes a row: 99, city and county, 12 digits that tell nothing."""
        number = self._household_order(households.number)
        text = np.empty((len(number), 18), dtype=np.uint8)
        text[:, :6] = self._area[households.county].view(np.uint8).reshape(-1, 6)
        for start, unit in ((6, 100_000_000), (10, 10_000), (14, 1)):
            text[:, start : start + 4] = self._four[number // unit % 10_000].view(np.uint8).reshape(-1, 4)
        return text


_FRACTION_UNITS = 1 << _FRACTION
