"""A synthetic sample of a dataset: rows of the right shape, made from the entry alone and never from data.

Whoever thinks of asking for a dataset sees what would come and can write his program against it. Check characters are right, so
that programs which check them go on; but the codes can be nobody's: their division, issuer or number range was never given out.
"""

import random
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from huitong.model.catalog import Dataset, Item, ItemType
from huitong.model.codes import (
    credit_code_check_character,
    is_luhn,
    is_organisation_code,
    is_vehicle_number,
    resident_id_check_character,
)
from huitong.model.text import BilingualText

LABEL = BilingualText(
    zh="合成样例：由目录条目生成，不含任何真实数据", en="Synthetic sample: made from the catalogue entry, holds no real data"
)
"""Stands wherever a sample is shown."""
Cell = str | int | bool | Decimal | date | datetime | None
Draw = random.Random
TRIES = 100
"""Rows that are drawn again because their key stood already, before the sample ends early."""


@cache
def words() -> Mapping[str, Any]:
    """Number ranges that nobody has, common characters and spans of days (`sample.toml`, with sources)."""
    return tomllib.loads((files(__package__) / "sample.toml").read_text("utf-8"))


def seed_of(dataset: Dataset) -> int:
    """The seed that follows from the entry: its id and the names, types and meanings of its items."""
    told = "\n".join((dataset.id, *(f"{item.name} {item.type.value} {item.meaning}" for item in dataset.items)))
    return int.from_bytes(sha256(told.encode()).digest()[:8], "big")


def synthetic_rows(dataset: Dataset, *, rows: int, seed: int | None = None) -> list[list[Cell]]:
    """So many rows with a value for each item, in the order of the items. Always the same for the same entry, and a shorter sample
    is the beginning of a longer one.

    Values of its key and primary key are never missing, others here and there. Fewer rows come only where the primary key cannot
    tell so many apart (a boolean has two values). `seed` None: the one that follows from the entry."""
    start = seed_of(dataset) if seed is None else seed
    always = {name.lower() for name in (*dataset.primary_key, dataset.key, dataset.division_item) if name is not None}
    places = [number for number, item in enumerate(dataset.items) if item.name.lower() in {name.lower() for name in dataset.primary_key}]
    seen: set[tuple[Cell, ...]] = set()
    made: list[list[Cell]] = []
    for number in range(rows):
        for attempt in range(TRIES):
            draw = Draw(f"{start}:{number}:{attempt}")
            row = [_cell(item, draw, number, may_miss=item.name.lower() not in always) for item in dataset.items]
            key = tuple(row[place] for place in places)
            if not places or key not in seen:
                break
        else:
            return made
        seen.add(key)
        made.append(row)
    return made


def _cell(item: Item, draw: Draw, number: int, *, may_miss: bool) -> Cell:
    if may_miss and draw.random() < words()["missing"]["share"]:
        return None
    if item.type is ItemType.TEXT:
        maker = TEXTS.get(item.meaning or "")
        return maker(draw) if maker is not None else f"{item.title.zh}示例{number + 1}"
    if item.type is ItemType.DATE:
        return _day(draw, "births" if item.meaning == "birth-date" else "days")
    if item.type is ItemType.INSTANT:
        noon = datetime.combine(_day(draw, "days"), datetime.min.time(), UTC)
        return noon + timedelta(seconds=draw.randrange(86_400))
    if item.type is ItemType.BOOLEAN:
        return draw.random() < 0.5
    if item.meaning == "money-fen":
        return draw.randint(1, 50_000) * 100
    if item.type is ItemType.INTEGER:
        return draw.randint(1, 999)
    return Decimal(draw.randint(1, 999_999)) / 100


def _day(draw: Draw, span: str) -> date:
    first: date = words()[span]["first"]
    last: date = words()[span]["last"]
    return first + timedelta(days=draw.randrange((last - first).days + 1))


def _digits(draw: Draw, length: int) -> str:
    return "".join(draw.choice("0123456789") for _ in range(length))


def _prefix(kind: str) -> str:
    return str(words()["nobodys"][kind])


def _resident_id(draw: Draw) -> str:
    seventeen = _prefix("division") + "0101" + _day(draw, "births").strftime("%Y%m%d") + _digits(draw, 3)
    return seventeen + resident_id_check_character(seventeen)


def _organisation_code(draw: Draw) -> str:
    body = _prefix("organisation") + _digits(draw, 8 - len(_prefix("organisation")))
    return next(body + check for check in "0123456789X" if is_organisation_code(body + check))


def _credit_code(draw: Draw) -> str:
    seventeen = "91" + _prefix("division") + "0101" + _organisation_code(draw)
    return seventeen + credit_code_check_character(seventeen)


def _bank_card(draw: Draw) -> str:
    body = _prefix("card") + _digits(draw, 18 - len(_prefix("card")))
    return next(body + check for check in "0123456789" if is_luhn(body + check))


def _vehicle_number(draw: Draw) -> str:
    begin, end = _prefix("vehicle"), _digits(draw, 17 - len(_prefix("vehicle")) - 1)
    return next(begin + check + end for check in "0123456789X" if is_vehicle_number(begin + check + end))


def _name(draw: Draw) -> str:
    return str(draw.choice(words()["names"]["surnames"])) + "".join(draw.sample(words()["names"]["given"], draw.choice((1, 2, 2))))


def _address(draw: Draw) -> str:
    return f"某省某市某县某路{draw.randint(1, 999)}号"


TEXTS: Mapping[str, Callable[[Draw], str]] = {
    "resident-id": _resident_id,
    "credit-code": _credit_code,
    "organisation-code": _organisation_code,
    "bank-card": _bank_card,
    "vehicle-number": _vehicle_number,
    "vin": _vehicle_number,
    "person-name": _name,
    "address": _address,
    "phone": lambda draw: _prefix("phone") + _digits(draw, 11 - len(_prefix("phone"))),
    "landline": lambda draw: _prefix("landline") + "-" + draw.choice("2345678") + _digits(draw, 6),
    "plate-number": lambda draw: _prefix("plate") + _digits(draw, 5),
    "division-code": lambda draw: _prefix("division") + _digits(draw, 10),
    "household-id": lambda draw: _prefix("division") + _digits(draw, 10),
    "passport": lambda draw: _prefix("passport") + _digits(draw, 8),
    "postcode": lambda draw: _prefix("postcode") + _digits(draw, 3),
    "e-mail": lambda draw: f"person{_digits(draw, 4)}@example.invalid",
    "email": lambda draw: f"person{_digits(draw, 4)}@example.invalid",
    "birth-date": lambda draw: _day(draw, "births").isoformat(),
    "money-fen": lambda draw: str(draw.randint(1, 50_000) * 100),
    "money-yuan": lambda draw: f"{draw.randint(1, 999_999) / 100:.2f}",
    "health": lambda draw: f"示例类别{draw.randint(1, 9)}",
}
"""How the text of each meaning is made."""
