"""What SQL cannot say: the row limit, types that every reader knows, and the exact bytes that leave."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from huitong.errors import Reason

BATCH_ROWS = 65_536
_WHOLE_NUMBER = pa.decimal128(38, 0)


@dataclass(frozen=True)
class Passed:
    """What the gate let through."""

    table: pa.Table
    notices: tuple[Reason, ...]


def gate(table: pa.Table, *, maximum_rows: int, ordered: bool, cut: Reason | None = None) -> Passed:
    """Cut to `maximum_rows` with a notice that says so (`cut`, if given), give whole-number totals their plain integer type, and where
    the statement states no order, put the rows in the order of their values: the order in which rows are stored would pair the rows of
    two answers that share no item."""
    notices: list[Reason] = []
    if table.num_rows > maximum_rows:
        table = table.slice(0, maximum_rows)
        notices.append(cut or Reason("rows-cut", {"rows": maximum_rows}))
    table = _plain_integers(table)
    return Passed(_copied(table) if ordered else by_value(table), tuple(notices))


def gate_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """One batch of rows that leave piece by piece: no note of the engine's leaves with them. Their order was stated, so nothing is
    sorted, and whoever counts them refuses more than may leave."""
    plain = pa.schema([pa.field(field.name, _known(field.type), field.nullable) for field in batch.schema])
    known = batch.cast(plain) if batch.schema.types != plain.types else pa.RecordBatch.from_arrays(batch.columns, schema=plain)
    return known.take(_every(known.num_rows))


def _known(kind: pa.DataType) -> pa.DataType:
    """The same values in a type that every reader knows."""
    return pa.string() if pa.types.is_string_view(kind) or pa.types.is_large_string(kind) else kind


def by_value(table: pa.Table) -> pa.Table:
    """The rows by their values, column by column from the left; types that have no order are left out."""
    keys = {str(position): column for position, column in enumerate(table.columns) if _sortable(column.type)}
    if not keys or table.num_rows < 2:
        return _copied(table)
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return table.take(order)


def _copied(table: pa.Table) -> pa.Table:
    """The same rows, value by value. Where a value is missing the engine leaves in its place whatever its memory held, another row's
    value or an address; nobody sees it in a table, but it would leave with the bytes. What is taken row by row is nothing there."""
    return table.take(_every(table.num_rows))


def _every(rows: int) -> pa.Array:
    return pa.array(np.arange(rows, dtype=np.int64))


def _sortable(kind: pa.DataType) -> bool:
    return not (pa.types.is_null(kind) or pa.types.is_nested(kind) or pa.types.is_interval(kind))


def _plain_integers(table: pa.Table) -> pa.Table:
    """The engine's 128-bit totals as 64-bit integers where every value fits; where one does not, the column stays a decimal."""
    for position, field in enumerate(table.schema):
        if field.type == _WHOLE_NUMBER:
            try:
                column = table.column(position).cast(pa.int64(), safe=True)
            except pa.ArrowInvalid:
                continue
            table = table.set_column(position, pa.field(field.name, pa.int64(), field.nullable), column)
    return table


def result_bytes(table: pa.Table) -> bytes:
    """The Arrow IPC stream of a result: the bytes that are hashed into the ledger and the bytes that an API sends.

    The same rows give the same bytes however they were chunked: schema metadata is stripped and batches have a fixed size."""
    plain = table.replace_schema_metadata(None)
    plain = plain.cast(pa.schema([field.remove_metadata() for field in plain.schema])).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain, max_chunksize=BATCH_ROWS)
    return bytes(sink.getvalue())


def result_hash(table: pa.Table) -> str:
    """SHA-256 of `result_bytes`, in hex: what the outcome entry says of a result."""
    return hashlib.sha256(result_bytes(table)).hexdigest()


def duration_bucket(seconds: float) -> str:
    """How long it took, coarse on purpose: a fine time would tell how many rows were read that nobody may see."""
    for limit, name in ((0.1, "up-to-100-ms"), (1.0, "up-to-1-s"), (10.0, "up-to-10-s")):
        if seconds <= limit:
            return name
    return "over-10-s"
