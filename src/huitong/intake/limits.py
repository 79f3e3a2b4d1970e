"""What one file may ask of the machine, read from `limits.toml`, and the end of a load's time."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from time import monotonic

from huitong.errors import Unavailable


@dataclass(frozen=True)
class ParquetLimits:
    """What a Parquet file may become when it is decompressed."""

    rows: int
    row_group_bytes: int
    file_bytes: int
    free_bytes: int
    ratio: int

    def bytes_of(self, size: int) -> int:
        """What a file of this size may become."""
        return min(self.file_bytes, max(self.free_bytes, self.ratio * size))


@dataclass(frozen=True)
class SheetLimits:
    """What a workbook may be, and what the process that reads it may use."""

    file_bytes: int
    entries: int
    unpacked_bytes: int
    free_bytes: int
    ratio: int
    cells: int
    memory_bytes: int
    seconds: int
    marked_up_seconds: int
    spool_bytes: int

    def unpacked(self, size: int) -> int:
        """What a workbook of this size may unpack to."""
        return min(self.unpacked_bytes, max(self.free_bytes, self.ratio * size))


@dataclass(frozen=True)
class JsonLimits:
    """What one object of a JSON file may be."""

    depth: int


@dataclass(frozen=True)
class Limits:
    """The numbers of `limits.toml`, with their meaning there."""

    field_characters: int
    record_characters: int
    chunk_characters: int
    columns: int
    load_seconds: int
    parquet: ParquetLimits
    sheet: SheetLimits
    json: JsonLimits


def _read() -> Limits:
    said = tomllib.loads(files("huitong.intake").joinpath("limits.toml").read_text("utf-8"))
    parts = {"parquet": ParquetLimits(**said["parquet"]), "sheet": SheetLimits(**said["sheet"]), "json": JsonLimits(**said["json"])}
    return Limits(**{**said, **parts})


LIMITS = _read()


class Deadline:
    """The moment at which a load has taken too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return monotonic() >= self._end

    def check(self) -> None:
        """Raises Unavailable `load-time-limit` when the time is over."""
        if self.passed:
            raise Unavailable.because("load-time-limit", seconds=int(self._seconds))
