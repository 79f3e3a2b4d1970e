"""The numbers of `streams.toml`, and rows in blocks of that size."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.resources import files

import pyarrow as pa


@dataclass(frozen=True)
class StreamLimits:
    """How large an answer may be whose rows leave one after the other, with the meaning given in `streams.toml`."""

    rows: int
    bytes: int
    seconds: int
    block_rows: int
    block_bytes: int
    of_an_office: int
    at_once: int

    def __post_init__(self) -> None:
        if any(getattr(self, one.name) < 1 for one in fields(self)):
            raise ValueError("a limit below one")

    def blocks(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The rows of a batch, so many together as may be handed over at once; one empty block of an empty batch."""
        if batch.num_rows == 0:
            yield batch
            return
        each = max(1, batch.nbytes // batch.num_rows)
        size = max(1, min(self.block_rows, self.block_bytes // each))
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)


def read_stream_limits() -> StreamLimits:
    """The numbers that ship with Huitong."""
    written = tomllib.loads((files("huitong.gateway") / "streams.toml").read_text("utf-8"))
    return StreamLimits(**{one.name: int(written[one.name]) for one in fields(StreamLimits)})
