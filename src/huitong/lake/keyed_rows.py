"""Rows of a snapshot for a copy that is read by key: each item as a governed query would read it, in the order of the key.

An item that the snapshot lacks is missing in every row, and one that lies in another type is read as what the entry says, missing
where that cannot be: the engine's own cast does it here, as it does in a governed query (`gateway.rewrite.physical.held_as`)."""

import threading
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_name
from huitong.lake.snapshots import Lake
from huitong.masks import engine_type
from huitong.model.catalog import Dataset, Item, ItemType, Snapshot

PLAIN_TYPES = {ItemType.DATE: pa.int32(), ItemType.INSTANT: pa.int64()}
"""Days and microseconds since 1970: so every value that the engine knows has a plain form."""
LISTS_KEPT = 16


def keyed_rows(
    lake: Lake, dataset: Dataset, snapshot: Snapshot, *, key: Sequence[Item], rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    """The rows in batches: the items of the entry in its order, days and instants as integers, sorted by `key`."""
    held = lake.columns(snapshot)
    if not snapshot.files:
        return
    shown = ", ".join(f"{_held(item, held.get(item.name))} AS {quote_name(item.name)}" for item in dataset.items)
    order = ", ".join(quote_name(item.name) for item in key)
    with lake.looking([file.path for file in snapshot.files]) as connection:
        select = f"SELECT {shown} FROM {lake.scan(snapshot)} ORDER BY {order}"
        for batch in connection.sql(select).to_arrow_reader(rows_at_once):
            yield pa.RecordBatch.from_arrays([_plain(column) for column in batch.columns], names=batch.schema.names)


def _held(item: Item, held: ItemType | None) -> str:
    kind = engine_type(item.type)
    if held is None:
        return f"CAST(NULL AS {kind})"
    return quote_name(item.name) if held is item.type else f"TRY_CAST({quote_name(item.name)} AS {kind})"


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_date(column.type):
        return column.cast(pa.date32()).view(pa.int32())
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz="UTC")).view(pa.int64())
    return column


class KeptLists:
    """Lists of subjects in memory, by their files: a list is a file, and one that an erasure wrote anew is another file."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._kept: dict[tuple[tuple[str, int, int], ...], frozenset[str]] = {}
        self._lock = threading.Lock()

    def members(self, files: Collection[str]) -> frozenset[str]:
        """The identifiers that these files of the lake hold."""
        paths = self._lake.absolute(sorted(files))
        stamps = [(path, path.stat()) for path in paths]
        known = tuple((str(path), stat.st_ino, stat.st_mtime_ns) for path, stat in stamps)
        held = self._kept.get(known)
        if held is None:
            tables = [parquet.read_table(path, columns=["identifier"]) for path in paths]
            held = frozenset(value for table in tables for value in table.column(0).to_pylist() if value is not None)
            with self._lock:
                while len(self._kept) >= LISTS_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[known] = held
        return held
