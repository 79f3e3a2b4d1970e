"""Who and what there is in the demo province: divisions, offices, people with their posts, catalogue entries.

Divisions and the names of provincial offices are real. City and county offices are named after their line of work (their true
names differ here and there). People are invented. Credit codes have correct check characters but the unassigned division prefix
99, so that none can be a real body's.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from huitong import data
from huitong.catalog.divisions import load_divisions
from huitong.demo.registers import registers
from huitong.model.catalog import Dataset
from huitong.model.codes import credit_code_check_character
from huitong.model.party import Division, DivisionLevel, Office, Role
from huitong.model.text import BilingualText

ORGANISATION_CODE_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11714: weights of the eight characters before the check character of an organisation code."""


@dataclass(frozen=True)
class DemoPerson:
    """An invented person with an account; each post is an office and the roles held there."""

    account: str
    name: BilingualText
    posts: tuple[tuple[str, frozenset[Role]], ...]


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((files("huitong.demo") / name).read_text("utf-8"))


@cache
def divisions() -> tuple[Division, ...]:
    """All 19,572 divisions of Guizhou, in the order of the tree."""
    tree = load_divisions()
    return tuple(tree.search(limit=len(tree))[0])


def organisation_check_character(eight_digits: str) -> str:
    """The ninth character of an organisation code (GB 11714), for a body of digits only."""
    total = sum(int(digit) * weight for digit, weight in zip(eight_digits, ORGANISATION_CODE_WEIGHTS, strict=True))
    return {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11))


def synthetic_credit_code(office: str, division: str) -> str:
    """A credit code for the office: 11 (state organ), 99 in place of the province, its division, a number hashed from its id."""
    body = f"{int.from_bytes(sha256(office.encode()).digest()[:8], 'big') % 10**8:08d}"
    seventeen = f"1199{division[2:6]}{body}{organisation_check_character(body)}"
    return seventeen + credit_code_check_character(seventeen)


@cache
def offices() -> tuple[Office, ...]:
    """The provincial offices, then those of the cities and counties by line of work; superiors before subordinates."""
    english = _toml("places.toml")
    provincial: list[Office] = []
    below: list[Office] = []
    for entry in _toml("offices.toml")["office"]:
        provincial.append(
            Office(
                id=entry["id"],
                title=BilingualText(zh=entry["zh"], en=entry["en"]),
                division="520000000000",
                level=DivisionLevel.PROVINCE,
                credit_code=synthetic_credit_code(entry["id"], "520000000000"),
            )
        )
        line = entry.get("line")
        if line is None:
            continue
        for division in divisions():
            if division.level not in (DivisionLevel.CITY, DivisionLevel.COUNTY):
                continue
            office = f"{division.code[:6]}-{line['id']}"
            city = division.level is DivisionLevel.CITY
            below.append(
                Office(
                    id=office,
                    title=BilingualText(zh=division.name + line["zh"], en=f"{english[division.prefix]} {line['en']}"),
                    division=division.code,
                    level=division.level,
                    credit_code=synthetic_credit_code(office, division.code),
                    superior=entry["id"] if city else f"{division.code[:4]}00-{line['id']}",
                )
            )
    below.sort(key=lambda office: (office.division[:4], office.level is DivisionLevel.COUNTY, office.id))
    return (*provincial, *below)


@cache
def people() -> tuple[DemoPerson, ...]:
    """The invented people, each with at least one post."""
    return tuple(
        DemoPerson(
            account=entry["account"],
            name=BilingualText(zh=entry["zh"], en=entry["en"]),
            posts=tuple((post["office"], frozenset(Role(role) for role in post["roles"])) for post in entry["posts"]),
        )
        for entry in _toml("people.toml")["person"]
    )


@cache
def datasets() -> tuple[Dataset, ...]:
    """The catalogue entries: the registers that `generate` makes, and the real tables of `real_tables`."""
    return tuple(register.dataset for register in registers())


def real_tables(folder: Path) -> Mapping[str, Path]:
    """Write the real tables as CSV into `folder`, ready to be registered; the path of each by dataset id."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for register in registers():
        if register.file is not None:
            path = folder / f"{register.dataset.id}.csv"
            path.write_text(data.read_text(register.file), encoding="utf-8", newline="")
            found[register.dataset.id] = path
    return found
