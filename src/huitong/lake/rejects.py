"""Reject tables: the rows that were left out of a snapshot, with line, item, reason and, for the managing office, the row itself.

They lie beside the snapshot under a random name, are named by the log's notes alone, and go with the snapshot.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from huitong.lake.persons import names

SCHEMA = pa.schema([("line", pa.int64()), ("item", pa.string()), ("reason", pa.string()), ("row", pa.string())])
FOLDER = "_rejects"
"""Its name begins with an underscore: readers of Delta Lake leave such folders alone."""


@dataclass(frozen=True)
class RejectedRow:
    """One cause of one rejected row."""

    line: int
    item: str | None
    reason: str
    row: str | None = field(default=None, repr=False)


class RejectWriter:
    """Writes a reject table piece by piece."""

    def __init__(self, path: Path, *, keep_rows: bool) -> None:
        self.path = path
        self.entries = 0
        self._keep_rows = keep_rows
        self._writer: Any = None

    def add(self, rows: Iterable[RejectedRow]) -> None:
        """More entries."""
        found = list(rows)
        if not found:
            return
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self.path, SCHEMA, compression="zstd")
        self.entries += len(found)
        columns = (
            [one.line for one in found],
            [one.item for one in found],
            [one.reason for one in found],
            [one.row if self._keep_rows else None for one in found],
        )
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=SCHEMA))

    def close(self) -> Path | None:
        """The finished table; None if nothing was rejected."""
        if self._writer is None:
            return None
        self._writer.close()
        self._writer = None
        return self.path


def read_rejects(path: Path, *, limit: int, offset: int = 0) -> tuple[Sequence[RejectedRow], int]:
    """Entries of a reject table in the order of their lines, and how many there are."""
    order = parquet.read_table(path, columns=["line"])
    chosen = compute.sort_indices(order, sort_keys=[("line", "ascending")]).slice(offset, limit)
    table = parquet.read_table(path, schema=SCHEMA).take(chosen)
    return [RejectedRow(row["line"], row["item"], row["reason"], row["row"]) for row in table.to_pylist()], order.num_rows


def without(path: Path, text: str, target: Path) -> int:
    """Write the table to `target` without the entries whose row holds the identifier, however it is typed; how many those are.

    0, and nothing is written, if there is none."""
    table = parquet.read_table(path, schema=SCHEMA)
    named = pa.array([row is not None and names(row, text) for row in table["row"].to_pylist()], pa.bool_())
    found = int(compute.sum(named).as_py() or 0)
    if found:
        parquet.write_table(table.filter(compute.invert(named)), target, compression="zstd")
    return found
