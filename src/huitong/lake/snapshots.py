"""Snapshots: immutable versions of a dataset's table. DuckDB writes the Parquet files, delta-rs commits them."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import Conflict, InputInvalid, NotFound
from huitong.lake.tables import ROW_GROUP_ROWS, SECONDS, BusyError, Table, Version, Writing, open_writer, sweep_interrupted
from huitong.lake.types import delta_schema, physical_columns
from huitong.model.catalog import Dataset, Snapshot, SnapshotFile

Clock = Callable[[], datetime]

_SOURCE_HASH, _REJECTED, _TAKEN_AT, _DATASET = (
    "huitong.source-hash",
    "huitong.rejected-rows",
    "huitong.taken-at",
    "huitong.dataset",
)


class Lake:
    """All snapshots below one folder. Paths in its answers are relative to that folder and say nothing about their dataset.

    Opening one also removes what a write left that was killed some time ago, so it does not lie there until the next write."""

    def __init__(self, folder: Path, clock: Clock, *, memory_megabytes: int = 2048) -> None:
        self.folder = folder
        self.memory_megabytes = memory_megabytes
        """Memory of one write."""
        self._clock = clock
        sweep_interrupted(folder, before=clock() - timedelta(seconds=SECONDS["interrupted_after"]))

    @contextlib.contextmanager
    def writing(self, dataset: Dataset) -> Iterator["SnapshotWriting"]:
        """Write the next snapshot of a dataset: fill `staging` with Parquet files of its items, then `commit`, or nothing happened.

        Raises Conflict `load-running` if another write of this dataset is under way and not over in a moment."""
        with contextlib.ExitStack() as stack:
            try:
                inner = stack.enter_context(self._table(dataset.id).writing(wait=SECONDS["snapshot_waits"]))
            except BusyError:
                raise Conflict.because("load-running", dataset=dataset.id) from None
            yield SnapshotWriting(dataset, self, inner, self._clock)

    def write_snapshot(
        self,
        *,
        dataset: Dataset,
        source: Sequence[Path] | pa.RecordBatchReader,
        source_hash: str | None = None,
        rejected_rows: int = 0,
    ) -> Snapshot:
        """The next snapshot from Parquet files or Arrow batches whose columns are exactly the items, in any order.

        Values are cast without loss or the write fails: this is the door for rows that are typed already; `intake` is for the rest.
        `source_hash` of files is worked out if not given. Raises InputInvalid `snapshot-columns-differ` or `snapshot-value-unfit`."""
        if isinstance(source, pa.RecordBatchReader):
            if source_hash is None:
                raise InputInvalid.because("snapshot-source-hash-missing", dataset=dataset.id)
            found = list(source.schema.names)
        else:
            source_hash = source_hash or hash_of_files(source)
            found = list(parquet.read_schema(source[0]).names) if source else []
        if sorted(found) != sorted(item.name for item in dataset.items):
            raise InputInvalid.because("snapshot-columns-differ", dataset=dataset.id)
        with self.writing(dataset) as writing:
            read = [] if isinstance(source, pa.RecordBatchReader) else [path.resolve() for path in source]
            with open_writer(read=read, write=writing.staging, memory_megabytes=self.memory_megabytes) as connection:
                if isinstance(source, pa.RecordBatchReader):
                    connection.register("incoming", source)
                    origin = "incoming"
                else:
                    origin = f"read_parquet([{', '.join(quote_text(str(path)) for path in read)}], union_by_name=true)"
                columns = ", ".join(
                    f"CAST({quote_name(name)} AS {kind}) AS {quote_name(name)}" for name, kind in physical_columns(dataset).items()
                )
                try:
                    connection.execute(copy_to(f"SELECT {columns} FROM {origin}", writing.staging / "rows.parquet"))
                except Exception as error:
                    if type(error).__name__ in ("ConversionException", "InvalidInputException", "BinderException"):
                        raise InputInvalid.because("snapshot-value-unfit", dataset=dataset.id) from None
                    raise
            return writing.commit(source_hash=source_hash, rejected_rows=rejected_rows)

    def snapshot(self, dataset_id: str, version: int | None = None) -> Snapshot:
        """A snapshot from the Delta log, the newest if `version` is None. Raises NotFound `snapshot-unknown`."""
        table = self._table(dataset_id)
        numbers = table.versions()
        number = (numbers[-1] if numbers else -1) if version is None else version
        if number not in numbers:
            raise NotFound.because("snapshot-unknown", dataset=dataset_id)
        return _snapshot(dataset_id, table.version(number))

    def versions(self, dataset_id: str) -> tuple[int, ...]:
        """The versions of a dataset that can be read, oldest first; empty if none."""
        return tuple(self._table(dataset_id).versions())

    def absolute(self, paths: Sequence[str]) -> tuple[Path, ...]:
        """Where these files of a snapshot lie on this machine."""
        return tuple(self.folder / path for path in paths)

    def _table(self, dataset_id: str) -> Table:
        return Table(self.folder, dataset_id)


@dataclass(frozen=True)
class SnapshotWriting:
    """One snapshot being written."""

    dataset: Dataset
    lake: Lake
    _inner: Writing
    _clock: Clock

    @property
    def staging(self) -> Path:
        """Where the Parquet files go."""
        return self._inner.staging

    def commit(self, *, source_hash: str, rejected_rows: int = 0) -> Snapshot:
        """Make it visible."""
        now = self._clock().astimezone(UTC)
        notes = {
            _DATASET: self.dataset.id,
            _SOURCE_HASH: source_hash,
            _REJECTED: str(rejected_rows),
            _TAKEN_AT: now.isoformat(),
        }
        version = self._inner.commit(
            schema=delta_schema(self.dataset), notes=notes, replace=True, now_milliseconds=int(now.timestamp() * 1000)
        )
        return _snapshot(self.dataset.id, version)


def _snapshot(dataset_id: str, version: Version) -> Snapshot:
    files = tuple(SnapshotFile(file.path, file.rows, file.bytes) for file in version.files)
    return Snapshot(
        dataset=dataset_id,
        version=version.number,
        files=files,
        rows=sum(file.rows for file in files),
        taken_at=datetime.fromisoformat(version.notes[_TAKEN_AT]),
        source_hash=version.notes[_SOURCE_HASH],
        rejected_rows=int(version.notes[_REJECTED]),
    )


def copy_to(select: str, path: Path) -> str:
    """The statement that writes a SELECT to one Parquet file in the lake's form."""
    return f"COPY ({select}) TO {quote_text(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"


def hash_of_files(paths: Sequence[Path]) -> str:
    """SHA-256 over the bytes of the files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
