"""Rows to a file, batch by batch, in bounded memory: the same rows in the same order give the same bytes on every run."""

import hashlib
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from huitong.gateway.gate import BATCH_ROWS
from huitong.model.delivery import ExtractForm

MEDIA_TYPES = {
    ExtractForm.PARQUET: "application/vnd.apache.parquet",
    ExtractForm.CSV: "text/csv; charset=utf-8",
    ExtractForm.ARROW: "application/vnd.apache.arrow.stream",
}
"""Media type of a file, by its form."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A text that starts so would be run as a formula when a person opens the CSV in a spreadsheet; it gets an apostrophe before it."""


class _Counted(io.RawIOBase):
    """A file that hashes and counts what is written to it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._digest = hashlib.sha256()
        self.written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.written

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        left = view
        while left:
            left = left[os.write(self._handle, left) :]
        self._digest.update(view)
        self.written += len(view)
        return len(view)

    def finish(self) -> str:
        """Put it on the disk; the hash of all bytes."""
        os.fsync(self._handle)
        return self._digest.hexdigest()

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


class FileWriter:
    """One file in the making. Batches are gathered to a fixed number of rows, so the bytes do not depend on how they came."""

    def __init__(self, path: Path, form: ExtractForm) -> None:
        self._form = form
        self._out = _Counted(path)
        self._inner: Any = None
        self._gathered: list[pa.RecordBatch] = []
        self._waiting = 0
        self._whole = False
        self.rows = 0

    def __enter__(self) -> "FileWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._inner is not None and not self._whole:  # what it still writes goes into a file that nobody will see
            with suppress(Exception):
                self._inner.close()
        self._out.close()

    @property
    def bytes(self) -> int:
        """Bytes in the file so far."""
        return self._out.written

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        if self._inner is None:
            self._inner = _WRITERS[self._form](self._out, batch.schema)
            self._schema = batch.schema
        self._gathered.append(batch)
        self._waiting += batch.num_rows
        self.rows += batch.num_rows
        while self._waiting >= BATCH_ROWS:
            self._put(BATCH_ROWS)

    def finish(self) -> str:
        """Write the rest and put it on the disk; SHA-256 of the whole file, in hex."""
        if self._waiting:
            self._put(self._waiting)
        self._inner.close()
        self._whole = True
        return self._out.finish()

    def _put(self, rows: int) -> None:
        table = pa.Table.from_batches(self._gathered, schema=self._schema)
        self._inner.write(table.take(pa.array(np.arange(rows, dtype=np.int64))).combine_chunks())
        rest = table.slice(rows)
        self._gathered = rest.to_batches() if rest.num_rows else []
        self._waiting = rest.num_rows


class _Parquet:
    def __init__(self, out: Any, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(pa.PythonFile(out, mode="w"), schema, compression="zstd", version="2.6")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=BATCH_ROWS)

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    def __init__(self, out: Any, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_stream(pa.PythonFile(out, mode="w"), schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, max_chunksize=BATCH_ROWS)

    def close(self) -> None:
        self._writer.close()


class _Csv:
    """UTF-8 with a header; missing is an empty field, an empty text is `""`; days and instants as ISO 8601."""

    def __init__(self, out: Any, schema: pa.Schema) -> None:
        self._out = out
        self._write_header(schema.names)

    def _write_header(self, names: Sequence[str]) -> None:
        quoted = ",".join(f'"{_plain(name)}"' for name in names)
        self._out.write(f"{quoted}\n".encode())

    def write(self, table: pa.Table) -> None:
        columns = [_cells(column) for column in table.columns]
        if len(columns) == 1:  # a line that is empty is no row to many readers: the one field is written as an empty text
            columns = [pc.fill_null(columns[0].cast(pa.string()), "")]
        plain = pa.table(columns, names=[str(number) for number in range(len(columns))])
        sink = pa.BufferOutputStream()
        pacsv.write_csv(plain, sink, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
        self._out.write(sink.getvalue())

    def close(self) -> None:
        """Nothing is left to write."""


def _plain(name: str) -> str:
    guarded = f"'{name}" if name.startswith(FORMULA_STARTS) else name
    return guarded.replace('"', '""')


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as the writer of CSV takes it."""
    kind = column.type
    if pa.types.is_string(kind):
        risky = pc.match_substring_regex(column, f"^[{_PATTERN}]")
        guarded = pc.binary_join_element_wise("'", column, "")
        return pc.if_else(risky, guarded, column)
    if pa.types.is_timestamp(kind):
        return pa.chunked_array([_instants(chunk) for chunk in column.chunks], pa.string())
    return column


_PATTERN = "".join(f"\\{mark}" if mark in "-+" else mark for mark in FORMULA_STARTS)


def _instants(chunk: pa.Array) -> pa.Array:
    return pa.array([None if value is None else value.isoformat() for value in chunk.to_pylist()], pa.string())


_WRITERS: dict[ExtractForm, Any] = {ExtractForm.PARQUET: _Parquet, ExtractForm.CSV: _Csv, ExtractForm.ARROW: _Arrow}
