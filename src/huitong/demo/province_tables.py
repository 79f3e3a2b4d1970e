"""The villages and counties of the province as arrays, for the population to live in."""

import csv
import io
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from huitong import data


@dataclass(frozen=True)
class Villages:
    """All villages in the order of their codes."""

    codes: tuple[str, ...]
    names: tuple[str, ...]
    """County, township and village as in an address, e.g. 南明区新华路街道甲秀楼社区."""
    county: NDArray[np.int64]
    """Place of the village's county in `county_codes`."""
    weight: NDArray[np.int64]
    """How many households, in proportion."""
    county_codes: tuple[str, ...]
    county_names: tuple[str, ...]


def spoken_name(village: str) -> str:
    """The name of a village as people say it in an address: without its committee (飞轮村村民委员会 is 飞轮村)."""
    for committee, instead in (("村民委员会", ""), ("居民委员会", ""), ("村委会", "村"), ("居委会", "")):
        if village.endswith(committee) and len(village) > len(committee) + 1:
            place = village.removesuffix(committee)
            return place if place.endswith("村") else place + instead
    return village


@cache
def villages() -> Villages:
    """The 17,964 villages. Weights are a scenario: a community counts 1.7 villages, each varied between 0.4 and 1.6 of it."""
    rows = list(csv.DictReader(io.StringIO(data.read_text(data.DIVISIONS))))
    name = {row["code"]: row["name"] for row in rows}
    counties = sorted(row["code"] for row in rows if row["level"] == "county")
    place = {code[:6]: index for index, code in enumerate(counties)}
    lowest = sorted(row["code"] for row in rows if row["level"] == "village")
    weights = []
    for code in lowest:
        urban = int(code[9:]) < 200
        weights.append((170 if urban else 100) * (40 + sha256(code.encode()).digest()[0] * 120 // 255))
    return Villages(
        codes=tuple(lowest),
        names=tuple(name[code[:6] + "000000"] + name[code[:9] + "000"] + spoken_name(name[code]) for code in lowest),
        county=np.array([place[code[:6]] for code in lowest]),
        weight=np.array(weights),
        county_codes=tuple(counties),
        county_names=tuple(name[code] for code in counties),
    )
