"""The kinds of value that an item of a register may have: `make = { kind = "...", ... }` in `registers/*.toml`.

A maker turns the rows of a chunk into one Arrow array. Common parameters: `missing` (rows in 100,000 without a value) and `dirty`
(rows in 100,000 with a value as bad sources send it). Random numbers come by counter from the dataset, the item and the row.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from huitong.demo.counter import Counters, Permutation, below, happens, key_of, noise
from huitong.demo.population import (
    REFERENCE_DAY,
    RELATION_TITLES,
    Bytes,
    Households,
    Integers,
    Persons,
    Population,
    day_number,
    digits,
    names,
    packed,
    quantiles,
)
from huitong.model.codes import CREDIT_CODE_ALPHABET, CREDIT_CODE_WEIGHTS

Spec = Mapping[str, Any]
TABLE = 16_384
_LOW = np.uint64(0xFFFF)


class Source:
    """What the rows of one dataset have in common: its name, size, whom they are about, the population and the companies."""

    def __init__(
        self,
        *,
        dataset: str,
        rows: int,
        about: str,
        ages: tuple[int, int],
        lean: str,
        population: Population,
        companies: int,
    ) -> None:
        self.dataset, self.rows, self.about, self.ages, self.lean = dataset, rows, about, ages, lean
        self.population, self.companies = population, companies
        size = {"every-person": population.persons, "household-once": population.households}
        size |= {"person-once": population.households, "every-household": population.households}
        self.order = Permutation(self.key("order"), size.get(about, max(rows, 1)))
        self.tables: dict[tuple[str, str], Any] = {}

    def key(self, *names: str) -> int:
        """The key of a stream of random numbers of this dataset."""
        return key_of(self.population.seed, self.dataset, *names)


class Rows:
    """The rows of a chunk: their numbers, whom they are about, and the values made so far."""

    def __init__(self, source: Source, index: Integers) -> None:
        self.source = source
        self.index = index
        self.made: dict[str, NDArray[Any]] = {}

    def bits(self, *names: str) -> Counters:
        """Fresh random bits, one word a row."""
        return noise(self.source.key(*names), self.index)

    @cached_property
    def persons(self) -> Persons:
        """The person of each row; for rows about households, the head."""
        source, population = self.source, self.source.population
        if source.about == "every-person":
            return population.person(source.order(self.index))
        if source.about in ("person", "company"):
            return population.draw(source.key("who"), self.index, source.ages, lean=source.lean)
        if source.about == "person-once":
            return population.member_of_age(population.locate(source.order(self.index)), source.ages, source.key("which"))
        return population.heads(self.households)

    @cached_property
    def households(self) -> Households:
        """The household of each row."""
        source, population = self.source, self.source.population
        if source.about in ("every-household", "household-once"):
            return population.locate(source.order(self.index))
        if source.about == "household":
            return population.locate(population.draw_households(source.key("who"), self.index, lean=source.lean))
        return self.persons.households


def fixed_text(table: Bytes) -> pa.Array:
    """Rows of ASCII bytes as an Arrow string array, without a copy per value."""
    rows, width = table.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(table)))


def coded(codes: NDArray[Any], texts: pa.Array) -> pa.Array:
    """Texts by their place in a list."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), texts)


def spoil_resident_id(value: str, way: int) -> str:
    """A resident ID as bad sources send it: wrong check character, small x or a swap, the old 15 digits, a stray space."""
    if way % 4 == 0:
        return value[:17] + "0123456789X"[("0123456789X".index(value[17]) + 1 + way // 4 % 10) % 11]
    if way % 4 == 1:
        return value[:17] + "x" if value[17] == "X" else value[:12] + value[13] + value[12] + value[14:]
    if way % 4 == 2:
        return value[:6] + value[8:17]
    return value + " "


def spoil_division(value: str, way: int) -> str:
    """A division code as bad sources send it: of the county only, of nowhere, cut to nine digits, of a village that never was."""
    return (value[:6] + "000000", "999999999999", value[:9], value[:9] + "999")[way % 4]


def spoil_date_text(_: str, way: int) -> str:
    """A day that the calendar does not have, or none at all."""
    return ("2025-02-30", "2025-13-01", "0000-00-00", "不详", "20250631")[way % 5]


def spoil_sex(_: str, way: int) -> str:
    """Sex in words or unknown, where a code is due."""
    return ("男", "女", "9", "0")[way % 4]


def spoil_credit_code(value: str, way: int) -> str:
    """A credit code with a letter that looks like a digit, or the old 15-digit registration number."""
    return value[:9] + "O" + value[10:] if way % 2 else value[2:17]


def spoil_text(value: str, way: int) -> str:
    """Text with blanks around it, or a word that says nothing."""
    return (f" {value}", f"{value}　", "无", "-")[way % 4]


SPOILERS: Mapping[str, Callable[[str, int], str]] = {
    "resident-id": spoil_resident_id,
    "head-id": spoil_resident_id,
    "village": spoil_division,
    "date-text": spoil_date_text,
    "sex": spoil_sex,
    "employer": spoil_credit_code,
}


# --- people and households ------------------------------------------------------------------------------------------------


def resident_id(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """The resident ID of the row's person."""
    return fixed_text(rows.source.population.resident_ids(rows.persons))


def head_id(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """The resident ID of the head of the row's household."""
    population = rows.source.population
    return fixed_text(population.resident_ids(population.heads(rows.households)))


@cache
def _name_tables() -> tuple[NDArray[np.int64], pa.Array, pa.Array]:
    """A draw table of surnames, the surnames, and 12 x 2,048 given names by sex and age group (some with rare characters)."""
    known = names()
    surnames = known["surnames"]
    given: list[str] = []
    for sex in ("male", "female"):
        for age in ("old", "middle", "young"):
            characters = known["given"][sex][age]
            draws = noise(key_of(0, "given", sex, age), np.arange(2048)).tolist()
            for place, draw in enumerate(draws):
                first, second = characters[draw % len(characters)], characters[(draw >> 20) % len(characters)]
                rare = known["rare"]["characters"]
                given.append(rare[place % len(rare)] if place == 7 else first if draw >> 61 == 0 else first + second)
    table = quantiles(np.array([share for _, share in surnames]), TABLE)
    return table, pa.array([surname for surname, _ in surnames]), pa.array(given)


def _full_names(population: Population, persons: Persons) -> pa.Array:
    table, surnames, given = _name_tables()
    number = persons.households.number
    own = (persons.role == 1) | (persons.role == 8) | (persons.role == 10)
    bits = noise(key_of(population.seed, "surname"), np.where(own, number * 8 + 1 + persons.member, number * 8))
    surname = table[(bits >> np.uint64(50)).astype(np.int64)]
    age = (persons.born >= 0).astype(np.int64) + (persons.born >= 9131)
    draw = (noise(key_of(population.seed, "given"), number * 8 + persons.member) & np.uint64(2047)).astype(np.int64)
    chosen = ((1 - persons.male.astype(np.int64)) * 3 + age) * 2048 + draw
    parts = surnames.take(pa.array(surname)), given.take(pa.array(chosen))
    return pc.binary_join_element_wise(*parts, "")


def person_name(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """Surname and given name of the row's person."""
    return _full_names(rows.source.population, rows.persons)


def head_name(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """Surname and given name of the head of the row's household."""
    return _full_names(rows.source.population, rows.source.population.heads(rows.households))


def sex(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """GB/T 2261.1: 1 male, 2 female."""
    return coded(1 - rows.persons.male.astype(np.int64), pa.array(["1", "2"]))


def birth_date(rows: Rows, name: str, _spec: Spec) -> pa.Array:
    """The day on which the row's person was born, as in the resident ID."""
    return _days(rows, name, rows.persons.born)


@cache
def _ethnic_tables(counties: tuple[str, ...]) -> tuple[NDArray[np.int64], pa.Array]:
    known = names()["ethnic"]
    groups = sorted({group for shares in known.values() for group, _ in shares})
    tables = []
    for code in counties:
        shares = known.get(code[:4], known["default"])
        places = np.array([groups.index(group) for group, _ in shares])
        tables.append(places[quantiles(np.array([share for _, share in shares]), 100)])
    return np.stack(tables), pa.array(groups)


def ethnic_group(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """The ethnic group of the household, by county."""
    population = rows.source.population
    table, groups = _ethnic_tables(population.villages.county_codes)
    draw = below(noise(key_of(population.seed, "ethnic"), rows.households.number), 100)
    return coded(table[rows.households.county, draw], groups)


def relation(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """How the row's person is related to the head."""
    titles = sorted(set(RELATION_TITLES))
    return coded(np.array([titles.index(title) for title in RELATION_TITLES])[rows.persons.role], pa.array(titles))


def household_code(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """The code of the row's household."""
    return fixed_text(rows.source.population.household_codes(rows.households))


def household_size(rows: Rows, name: str, _spec: Spec) -> pa.Array:
    """How many people the household has."""
    return _whole(rows, name, rows.households.size)


@cache
def _village_texts(codes: tuple[str, ...]) -> pa.Array:
    return pa.array(codes)


def village(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """The 12-digit code of the village where the row's household lives."""
    return coded(rows.households.village, _village_texts(rows.source.population.villages.codes))


@cache
def _groups() -> pa.Array:
    return pa.array([f"{group}组{number}号" for group in range(1, 13) for number in range(1, 161)])


def address(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """Township, village, group and house number."""
    villages = rows.source.population.villages
    draw = below(noise(key_of(rows.source.population.seed, "house"), rows.households.number), len(_groups()))
    parts = _village_texts(villages.names).take(pa.array(rows.households.village)), _groups().take(pa.array(draw))
    return pc.binary_join_element_wise(*parts, "")


# --- values ---------------------------------------------------------------------------------------------------------------


def _whole(rows: Rows, name: str, values: NDArray[Any]) -> pa.Array:
    rows.made[name] = values
    return pa.array(values.astype(np.int64))


def _days(rows: Rows, name: str, values: NDArray[Any]) -> pa.Array:
    rows.made[name] = values
    return pa.array(values.astype(np.int32)).view(pa.date32())


def _table(rows: Rows, name: str, build: Callable[[], Any]) -> Any:
    place = (rows.source.dataset, name)
    if place not in rows.source.tables:
        rows.source.tables[place] = build()
    return rows.source.tables[place]


def _steady_bits(rows: Rows, name: str, spec: Spec) -> Counters:
    """Random bits of the row; with `steady`, in that many of 100 rows those of its household: a family keeps its level."""
    bits = rows.bits(name)
    steady = int(spec.get("steady", 0))
    if not steady:
        return bits
    family = rows.source.population.means(rows.households.number)
    return np.where((bits & np.uint64(127)) < np.uint64(steady * 128 // 100), family, bits)


def choice(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """One of `values`, pairs of text and weight."""
    table = _table(rows, name, lambda: quantiles(np.array([weight for _, weight in spec["values"]]), 4096))
    texts = _table(rows, name + "/texts", lambda: pa.array([text for text, _ in spec["values"]]))
    picked = table[(rows.bits(name) >> np.uint64(52)).astype(np.int64)]
    rows.made[name] = picked
    return coded(picked, texts)


def place(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """An institution of the row's county: its name and one of `values`, pairs of text and weight."""
    counties = rows.source.population.villages.county_names
    table = _table(rows, name, lambda: quantiles(np.array([weight for _, weight in spec["values"]]), 4096))
    texts = _table(rows, name + "/texts", lambda: pa.array([county + text for county in counties for text, _ in spec["values"]]))
    picked = table[(rows.bits(name) >> np.uint64(52)).astype(np.int64)]
    return coded(rows.households.county * len(spec["values"]) + picked, texts)


def by_age(rows: Rows, _name: str, spec: Spec) -> pa.Array:
    """The text for the person's age on the reference day: `values` are pairs of text and the age from which it holds."""
    years = (day_number(REFERENCE_DAY) - rows.persons.born) * 100 // 36525
    steps = np.array([age for _, age in spec["values"]])
    return coded(np.maximum(0, np.searchsorted(steps, years, side="right") - 1), pa.array([text for text, _ in spec["values"]]))


def integer(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """A whole number from `from` to `to`."""
    return _whole(rows, name, spec["from"] + below(rows.bits(name), spec["to"] - spec["from"] + 1))


def _knots(spec: Spec) -> NDArray[np.int64]:
    """1,025 amounts at equal shares of the rows, on straight lines between the knots (per cent, amount), in whole numbers."""
    knots = [(round(share * 1_000_000), amount) for share, amount in spec["knots"]]
    found = []
    place = 0
    for step in range(1025):
        at = step * 100_000_000 // 1024
        while place < len(knots) - 2 and at >= knots[place + 1][0]:
            place += 1
        (left, low), (right, high) = knots[place], knots[place + 1]
        found.append(low + (high - low) * (at - left) // (right - left))
    return np.array(found)


def money(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """An amount in fen (or any number) with the distribution of `knots`, cut to a multiple of `step`.

    `times` multiplies by one of the numbers of `percent`, by which value the item `of` has (a choice), before the cut."""
    table = _table(rows, name, lambda: _knots(spec))
    bits = _steady_bits(rows, name, spec)
    slot = (bits >> np.uint64(54)).astype(np.int64)
    rest = ((bits >> np.uint64(30)) & _LOW).astype(np.int64)
    values = table[slot]
    values += ((table[slot + 1] - values) * rest) >> 16
    if "times" in spec:
        values = values * np.array(spec["times"]["percent"])[rows.made[spec["times"]["of"]]] // 100
    step = int(spec.get("step", 1))
    if step > 1:
        values -= values % step
    return _whole(rows, name, values)


def part(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """Between `from` and `to` thousandths of the item `of`."""
    share = spec["from"] + below(rows.bits(name), spec["to"] - spec["from"] + 1)
    return _whole(rows, name, rows.made[spec["of"]] * share // 1000)


def multiple(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """`amount` times the item `of`."""
    return _whole(rows, name, rows.made[spec["of"]] * int(spec["amount"]))


def minus(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """The item `of` less the item `less`."""
    return _whole(rows, name, rows.made[spec["of"]] - rows.made[spec["less"]])


def day(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """A day from `from` to `to`; with `months`, twelve weights, the months are not alike."""

    def build() -> NDArray[np.int64]:
        first, last = day_number(date.fromisoformat(spec["from"])), day_number(date.fromisoformat(spec["to"]))
        days = np.arange(first, last + 1)
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
        weights = np.array(spec.get("months", [1] * 12))[months]
        return days[quantiles(weights, TABLE)]

    return _days(rows, name, _table(rows, name, build)[(rows.bits(name) >> np.uint64(50)).astype(np.int64)])


def after(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """A day so many `days`, first and last, after that of the item `of`."""
    first, last = spec["days"]
    return _days(rows, name, rows.made[spec["of"]] + first + below(rows.bits(name), last - first + 1))


def date_text(rows: Rows, _name: str, spec: Spec) -> pa.Array:
    """The day of the item `of` as text, as some sources still send it."""
    return pc.strftime(pa.array(rows.made[spec["of"]].astype(np.int32)).view(pa.date32()), format="%Y-%m-%d")


def year(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """The year of the item `of`, a day."""
    return _whole(rows, name, rows.made[spec["of"]].astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970)


def flag(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """True in `rate` of 100,000 rows."""
    return pa.array(happens(rows.bits(name), spec["rate"]))


@cache
def _four_digits() -> NDArray[Any]:
    return packed(digits(4))


def _number_text(prefix: bytes, numbers: Integers, width: int) -> Bytes:
    """The prefix and the number in `width` digits (a multiple of 4, at most 12)."""
    text = np.empty((len(numbers), len(prefix) + width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    for start in range(0, width, 4):
        four = numbers // 10 ** (width - 4 - start) % 10_000
        text[:, len(prefix) + start : len(prefix) + start + 4] = _four_digits()[four].view(np.uint8).reshape(-1, 4)
    return text


def serial(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """A number of its own for each row, in no order, after `prefix`; `width` digits."""
    width = int(spec.get("width", 12))
    order = _table(rows, name, lambda: Permutation(rows.source.key(name), 10**width))
    return fixed_text(_number_text(spec["prefix"].encode("utf-8"), order(rows.index), width))


def phone(rows: Rows, _name: str, _spec: Spec) -> pa.Array:
    """A telephone number of 11 digits beginning with 12, which no mobile network has: nobody's."""
    whose = rows.persons.households.number * 8 + rows.persons.member
    numbers = below(noise(key_of(rows.source.population.seed, "phone"), whose), 10**9)
    return fixed_text(_number_text(b"12", numbers, 12)[:, [0, 1, *range(5, 14)]])


# --- firms ----------------------------------------------------------------------------------------------------------------


def credit_codes(seed: int, begin: bytes, numbers: Integers) -> Bytes:
    """Unified social credit codes: `begin` (2 characters), area 99xxxx, an organisation code, each with its check character."""
    order = Permutation(key_of(seed, "organisation", begin.decode()), 10**8)
    area = below(noise(key_of(seed, "area", begin.decode()), numbers), 10_000)
    text = np.empty((len(numbers), 18), dtype=np.uint8)
    text[:, :2] = np.frombuffer(begin, dtype=np.uint8)
    text[:, 2:4] = 57
    text[:, 4:8] = _four_digits()[area % 30 * 100 + area // 30 % 89 + 1].view(np.uint8).reshape(-1, 4)
    text[:, 8:16] = _number_text(b"", order(numbers), 8)
    body = (text[:, 8:16].astype(np.int64) - 48) @ np.array((3, 7, 9, 10, 5, 8, 4, 2))
    text[:, 16] = np.frombuffer(b"0X987654321", dtype=np.uint8)[body % 11]
    value_of = np.zeros(128, dtype=np.int64)
    for place, character in enumerate(CREDIT_CODE_ALPHABET):
        value_of[ord(character)] = place
    total = value_of[text[:, :17]] @ np.array(CREDIT_CODE_WEIGHTS)
    text[:, 17] = np.frombuffer(CREDIT_CODE_ALPHABET.encode(), dtype=np.uint8)[(31 - total % 31) % 31]
    return text


def credit_code(rows: Rows, _name: str, spec: Spec) -> pa.Array:
    """The credit code of the row's own firm: `begin` is 91 for companies, 92 for individual businesses."""
    return fixed_text(credit_codes(rows.source.population.seed, spec["begin"].encode(), rows.index))


def employer(rows: Rows, name: str, _spec: Spec) -> pa.Array:
    """The credit code of a company of the company register; few companies employ many."""
    bits = rows.bits(name)
    skewed = ((bits >> np.uint64(32)) * (bits & np.uint64(0xFFFFFFFF))) >> np.uint64(32)
    number = ((skewed * np.uint64(rows.source.companies)) >> np.uint64(32)).astype(np.int64)
    return fixed_text(credit_codes(rows.source.population.seed, b"91", number))


@cache
def _firm_words() -> tuple[pa.Array, pa.Array]:
    first = "黔汇盛兴泰鑫宏源恒信达康华安顺丰瑞祥隆昌"
    trades = ("农业开发", "建筑工程", "商贸", "物流", "餐饮管理", "科技", "劳务服务", "茶业", "旅游开发", "装饰工程", "种植养殖")
    kinds = ("有限公司", "有限责任公司", "专业合作社")
    return pa.array([a + b for a in first for b in first]), pa.array([trade + kind for trade in trades for kind in kinds])


def firm_name(rows: Rows, name: str, _spec: Spec) -> pa.Array:
    """County, two lucky characters, trade and form of a company."""
    words, trades = _firm_words()
    counties = _village_texts(rows.source.population.villages.county_names)
    bits = rows.bits(name)
    parts = (
        counties.take(pa.array(rows.households.county)),
        words.take(pa.array(below(bits, len(words)))),
        trades.take(pa.array(((bits & _LOW) * np.uint64(len(trades)) >> np.uint64(16)).astype(np.int64))),
    )
    return pc.binary_join_element_wise(*parts, "")


MAKERS: Mapping[str, Callable[[Rows, str, Spec], pa.Array]] = {
    "resident-id": resident_id,
    "head-id": head_id,
    "person-name": person_name,
    "head-name": head_name,
    "sex": sex,
    "birth-date": birth_date,
    "ethnic-group": ethnic_group,
    "relation": relation,
    "household-code": household_code,
    "household-size": household_size,
    "village": village,
    "address": address,
    "choice": choice,
    "place": place,
    "by-age": by_age,
    "integer": integer,
    "money": money,
    "part": part,
    "multiple": multiple,
    "minus": minus,
    "date": day,
    "after": after,
    "date-text": date_text,
    "year": year,
    "flag": flag,
    "serial": serial,
    "phone": phone,
    "credit-code": credit_code,
    "employer": employer,
    "firm-name": firm_name,
}


def make(rows: Rows, name: str, spec: Spec) -> pa.Array:
    """The values of an item for the rows: made by its kind, then spoilt and emptied at the stated rates."""
    values = MAKERS[spec["kind"]](rows, name, spec)
    bits = rows.bits(name, "care") if spec.get("dirty") or spec.get("missing") else None
    if bits is None:
        return values
    if spec.get("dirty"):
        bad = np.flatnonzero(happens(noise(rows.source.key(name, "dirty"), rows.index), spec["dirty"]))
        if bad.size:
            if isinstance(values, pa.DictionaryArray):
                values = values.dictionary_decode()
            spoil = SPOILERS.get(spec["kind"], spoil_text)
            ways = (bits[bad] >> np.uint64(40)).tolist()
            spoilt = [spoil(value, way) for value, way in zip(values.take(pa.array(bad)).to_pylist(), ways, strict=True)]
            mask = np.zeros(len(values), dtype=np.bool_)
            mask[bad] = True
            values = pc.replace_with_mask(values, pa.array(mask), pa.array(spoilt, type=pa.string()))
    if spec.get("missing"):
        gone = np.flatnonzero(happens(bits, spec["missing"]))
        if gone.size:
            mask = np.zeros(len(values), dtype=np.bool_)
            mask[gone] = True
            if isinstance(values, pa.DictionaryArray):
                values = pa.DictionaryArray.from_arrays(pc.if_else(pa.array(mask), None, values.indices), values.dictionary)
            else:
                values = pc.if_else(pa.array(mask), None, values)
    return values
