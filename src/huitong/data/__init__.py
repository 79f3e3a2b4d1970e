"""Data that the product and its demo carry; LICENCES.md says from where and on what terms. Read with `importlib.resources`."""

import gzip
from importlib.resources import files

DIVISIONS = "guizhou_divisions_2023.csv.gz"
DIVISION_HISTORY = "guizhou_division_history.csv"
COUNTY_COORDINATES = "guizhou_county_coordinates.csv"
WEATHER = "weather_hourly_other_provinces_2015.csv.gz"


def read_text(name: str) -> str:
    """The UTF-8 text of one of the files above, decompressed if its name ends in .gz."""
    content = (files(__name__) / name).read_bytes()
    return (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8")
