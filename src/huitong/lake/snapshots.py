"""Snapshots: immutable versions of a dataset's table, how they end, and how a person is taken out of them."""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from deltalake import Schema

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import Conflict, InputInvalid, NotFound, Reason
from huitong.lake import rejects
from huitong.lake.leases import Leases, Marks
from huitong.lake.persons import folded, forms
from huitong.lake.tables import (
    COMPRESSION_LEVEL,
    REJECTS_NOTE,
    ROW_GROUP_ROWS,
    SECONDS,
    BusyError,
    Table,
    Version,
    Writing,
    make_last,
    open_writer,
    sweep_interrupted,
)
from huitong.lake.types import delta_schema, item_type, physical_columns, schema_of_columns
from huitong.model.catalog import Dataset, ItemType, LoadMode, Snapshot, SnapshotFile

Clock = Callable[[], datetime]

_SOURCE_HASH, _REJECTED, _TAKEN_AT, _DATASET, _MODE, _COLUMNS, _KEY = (
    "huitong.source-hash",
    "huitong.rejected-rows",
    "huitong.taken-at",
    "huitong.dataset",
    "huitong.mode",
    "huitong.columns",
    "huitong.primary-key",
)

_WORK = "work"
"""Folder of the lake for what is only needed while something is measured."""


@dataclass(frozen=True)
class Removal:
    """What became of snapshots that were removed."""

    waiting: tuple[int, ...]
    """Versions of which a file stays until the queries that read it have ended: remove them again later."""


@dataclass(frozen=True)
class Rewritten:
    """A snapshot that was written anew without a person."""

    old: int
    snapshot: Snapshot
    rows: int
    """Rows that it holds no more."""


class Lake:
    """All snapshots below one folder. Paths in its answers are relative to that folder and say nothing about their dataset.

    Opening one also removes what a write left that was killed some time ago, so it does not lie there until the next write."""

    def __init__(self, folder: Path, clock: Clock, *, memory_megabytes: int = 1024) -> None:
        self.folder = folder
        self.memory_megabytes = memory_megabytes
        """Memory of one write."""
        self._clock = clock
        self._tables: dict[str, Table] = {}
        self._leases = Leases(folder)
        self._loads = Marks(folder / "locks" / "loads")
        self._runs = Marks(folder / "locks" / "runs")
        before = clock() - timedelta(seconds=SECONDS["interrupted_after"])
        sweep_interrupted(folder, before=before)
        for entry in (folder / _WORK).glob("*"):
            if entry.stat().st_mtime <= before.timestamp():
                shutil.rmtree(entry, ignore_errors=True)

    def now(self) -> datetime:
        """The present instant of the lake's clock."""
        return self._clock()

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
                    connection.execute(copy_to(f"SELECT {columns} FROM {origin}", writing.staging / "rows.parquet", dataset))
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

    @contextlib.contextmanager
    def looking(self, files: Collection[str]) -> Iterator[Any]:
        """An engine over these files of the lake, to measure what they hold; it spills into a folder that goes with the block."""
        (self.folder / _WORK).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder / _WORK) as work, self.reading(files):
            read = [path.resolve() for path in self.absolute(sorted(files))]
            with open_writer(read=read, write=Path(work), memory_megabytes=self.memory_megabytes) as connection:
                yield connection

    def scan(self, snapshot: Snapshot) -> str:
        """The rows of a snapshot, as what stands after FROM in the engine of `looking`."""
        paths = (quote_text(str(path.resolve())) for path in self.absolute([file.path for file in snapshot.files]))
        return f"read_parquet([{', '.join(paths)}], hive_partitioning=false)"

    def missing(self, snapshot: Snapshot) -> Mapping[str, int]:
        """Rows without a value, by item, as the files of a snapshot tell at their end; an item of which one does not tell is left out."""
        counted: dict[str, int] = {}
        untold: set[str] = set()
        for file in snapshot.files:
            with parquet.ParquetFile(self.folder / file.path) as opened:
                metadata = opened.metadata
                for group in range(metadata.num_row_groups):
                    for number in range(metadata.num_columns):
                        column = metadata.row_group(group).column(number)
                        told = column.statistics if column.is_stats_set else None
                        if told is None or not told.has_null_count:
                            untold.add(column.path_in_schema)
                        else:
                            counted[column.path_in_schema] = counted.get(column.path_in_schema, 0) + told.null_count
        return {name: count for name, count in counted.items() if name not in untold}

    def columns(self, snapshot: Snapshot) -> Mapping[str, ItemType]:
        """The items that a snapshot holds, in order: as noted with it or, for one taken before that was noted, as its files say."""
        if snapshot.columns or not snapshot.files:
            return dict(snapshot.columns)
        schema = parquet.read_schema(self.folder / snapshot.files[0].path)
        return {column.name: item_type(column.type) for column in schema}

    def primary_key(self, dataset_id: str, version: int) -> tuple[str, ...] | None:
        """The primary key with which a snapshot was taken; None if that was not noted."""
        table = self._table(dataset_id)
        said = table.notes(version).get(_KEY) if version in table.versions() else None
        return None if said is None else tuple(json.loads(said))

    # --- who uses what --------------------------------------------------------------------------------------------------

    def reading(self, files: Collection[str]) -> contextlib.AbstractContextManager[None]:
        """Keep these files of snapshots and side tables from being removed while they are read; the kernel ends this with the process.

        Raises NotFound `snapshot-removed` if one is gone already: plan again with the current snapshot."""
        return self._leases.reading(files)

    def changing(self, dataset_id: str) -> contextlib.AbstractContextManager[None]:
        """One change of the dataset's current snapshot from its first look to its last note. Raises Conflict `load-running`."""
        return self._loads.held(dataset_id, otherwise=Conflict(Reason("load-running", {"dataset": dataset_id})))

    @contextlib.contextmanager
    def running(self, run_id: str) -> Iterator[None]:
        """A load that runs in this process: see `is_running`."""
        with self._runs.held(run_id, otherwise=Conflict(Reason("load-running", {"dataset": run_id}))):
            try:
                yield
            finally:
                self._runs.forget(run_id)

    def is_running(self, run_id: str) -> bool:
        """Whether the process that began this load is still there."""
        return self._runs.is_held(run_id)

    # --- how snapshots end ----------------------------------------------------------------------------------------------

    @property
    def grace(self) -> timedelta:
        """How long a superseded snapshot stays at least, for readers on other machines."""
        return timedelta(seconds=SECONDS["other_machines_read"])

    def strays(self, dataset_id: str) -> tuple[int, ...]:
        """Versions that are older than any load takes; those of them that the database does not know were never taken."""
        before = self._clock() - timedelta(seconds=SECONDS["stray_after"])
        table = self._table(dataset_id)
        return tuple(n for n in table.versions() if datetime.fromisoformat(table.notes(n)[_TAKEN_AT]) < before)

    def remove(self, dataset_id: str, versions: Collection[int], *, current: int | None = None, wait: bool = False) -> Removal:
        """Remove snapshots: first the log says that they are gone, then the files go that no other snapshot holds.

        Never `current` (None: the newest). Files that a query reads stay; with `wait` their leases are waited for a while. May be
        repeated, and finishes what was interrupted. Raises Conflict `snapshot-current`, `load-running`."""
        table = self._table(dataset_id)
        kept = table.versions()
        if not kept:
            return Removal(())
        standing = max(kept) if current is None else current
        if standing in versions:
            raise Conflict.because("snapshot-current", dataset=dataset_id, version=standing)
        if standing not in kept:
            # nothing was ever taken: the one version there is stays until another takes its place
            return Removal(())
        now = int(self._clock().timestamp() * 1000)
        end = time.monotonic() + (SECONDS["leases_wait"] if wait else 0)
        while True:
            try:
                waiting = table.remove(versions, current=standing, wait=SECONDS["removal_waits"], now_milliseconds=now)
            except BusyError:
                raise Conflict.because("load-running", dataset=dataset_id) from None
            if not waiting or time.monotonic() >= end:
                return Removal(waiting)
            time.sleep(0.1)

    def rejects(self, dataset_id: str, version: int) -> Path | None:
        """The reject table of a snapshot; None if every row fitted, or the snapshot is gone."""
        table = self._table(dataset_id)
        name = table.notes(version).get(REJECTS_NOTE) if version in table.versions() else None
        folder = table.folder
        return folder / rejects.FOLDER / name if folder is not None and name is not None else None

    # --- taking a person out ----------------------------------------------------------------------------------------------

    def erase(
        self, dataset: Dataset, items: Sequence[str], identifier: str, *, snapshots: Sequence[Snapshot]
    ) -> tuple[Rewritten, ...]:
        """Write the snapshots (oldest first, the current one last) anew without the rows in which one of the items is the identifier.

        The first that holds such a row gets a successor, and so does every later one, in order; files without such a row are shared.
        Nothing is removed: take the last as the current snapshot, then `remove` the old ones. Raises Conflict `load-running`."""
        try:
            with self._table(dataset.id).writing(wait=SECONDS["removal_waits"]) as writing:
                return self._erase(dataset, items, identifier, snapshots, writing)
        except BusyError:
            raise Conflict.because("load-running", dataset=dataset.id) from None

    def _erase(
        self, dataset: Dataset, items: Sequence[str], identifier: str, snapshots: Sequence[Snapshot], writing: Writing
    ) -> tuple[Rewritten, ...]:
        every = dict.fromkeys(file.path for snapshot in snapshots for file in snapshot.files)
        place = {path: path.rsplit("/", 1)[1] for path in every}
        rows: dict[str, int] = {}
        read = [(self.folder / path).resolve() for path in every]
        with open_writer(read=read, write=writing.staging, memory_megabytes=self.memory_megabytes) as connection:
            connection.register("wanted", pa.table({"identifier": forms(identifier)}))
            for path, file in zip(every, read, strict=True):
                held = {name.lower(): name for name in parquet.read_schema(file).names}
                columns = [quote_name(held[item.lower()]) for item in items if item.lower() in held]
                if not columns:
                    continue
                named = " OR ".join(
                    f"coalesce({folded(column, identifier)} IN (SELECT identifier FROM wanted), false)" for column in columns
                )
                scan = f"read_parquet({quote_text(str(file))}, hive_partitioning=false)"
                (found,) = connection.execute(f"SELECT count(*) FROM {scan} WHERE {named}").fetchone()
                if found:
                    rows[path] = found
                    target = writing.staging / f"{place[path]}.new"
                    connection.execute(copy_to(f"SELECT * FROM {scan} WHERE NOT ({named})", target, dataset))
                    place[path] = writing.place(target)
        first = next((n for n, snapshot in enumerate(snapshots) if any(file.path in rows for file in snapshot.files)), len(snapshots))
        done = []
        for snapshot in snapshots[first:]:
            notes = dict(self._table(dataset.id).notes(snapshot.version))
            names = [place[file.path] for file in snapshot.files]
            new = [place[file.path] for file in snapshot.files if file.path in rows]
            version = writing.commit(
                schema=_schema_of(self.folder / snapshot.files[0].path),
                notes=notes,
                keep=[name for name in names if name not in new],
                placed=new,
                now_milliseconds=int(self._clock().timestamp() * 1000),
            )
            gone = sum(rows.get(file.path, 0) for file in snapshot.files)
            done.append(Rewritten(snapshot.version, _snapshot(dataset.id, version), gone))
        return tuple(done)

    def erase_from_rejects(self, dataset_id: str, identifier: str) -> int:
        """Remove from every reject table of the dataset the entries whose row holds the identifier; how many those were."""
        table, found = self._table(dataset_id), 0
        folder = table.folder
        if folder is None:
            return 0
        try:
            with table.writing(wait=SECONDS["removal_waits"]) as writing:
                for name in sorted({table.notes(n)[REJECTS_NOTE] for n in table.versions() if REJECTS_NOTE in table.notes(n)}):
                    old, new = folder / rejects.FOLDER / name, writing.staging / "rejects.new"
                    if count := rejects.without(old, identifier.strip(), new):
                        found += count
                        new.chmod(0o600)
                        make_last(new)
                        new.replace(old)
        except BusyError:
            raise Conflict.because("load-running", dataset=dataset_id) from None
        return found

    def _table(self, dataset_id: str) -> Table:
        if dataset_id not in self._tables:
            self._tables[dataset_id] = Table(self.folder, dataset_id)
        return self._tables[dataset_id]


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

    def place(self, staged: Path) -> str:
        """Move a finished Parquet file to where it will be read; pass its name to `commit`."""
        return self._inner.place(staged)

    def commit(
        self,
        *,
        source_hash: str,
        rejected_rows: int = 0,
        mode: LoadMode = LoadMode.REPLACE,
        keep: Sequence[SnapshotFile] = (),
        rejects: Path | None = None,
    ) -> Snapshot:
        """Make it visible: the staged files, and with them those of an earlier snapshot in `keep`. `rejects` is a finished reject table."""
        now = self._clock().astimezone(UTC)
        notes = {
            _DATASET: self.dataset.id,
            _SOURCE_HASH: source_hash,
            _REJECTED: str(rejected_rows),
            _TAKEN_AT: now.isoformat(),
            _MODE: mode.value,
            _COLUMNS: json.dumps([[item.name, item.type.value] for item in self.dataset.items], ensure_ascii=False),
            _KEY: json.dumps(list(self.dataset.primary_key), ensure_ascii=False),
        }
        if rejects is not None:
            notes[REJECTS_NOTE] = self._inner.place_rejects(rejects)
        version = self._inner.commit(
            schema=delta_schema(self.dataset),
            notes=notes,
            keep=[file.path.rsplit("/", 1)[1] for file in keep],
            now_milliseconds=int(now.timestamp() * 1000),
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
        mode=LoadMode(version.notes.get(_MODE, LoadMode.REPLACE.value)),
        columns=tuple((name, ItemType(kind)) for name, kind in json.loads(version.notes.get(_COLUMNS, "[]"))),
    )


def _schema_of(file: Path) -> Schema:
    schema = parquet.read_schema(file)
    return schema_of_columns({column.name: item_type(column.type) for column in schema})


def copy_to(select: str, path: Path, dataset: Dataset) -> str:
    """The statement that writes a SELECT of the dataset's items to one Parquet file in the lake's form (decision 0033).

    Encodings of Parquet 2 pack integers by their differences, but split the bytes of measurements, which Apache Spark 4 does not read."""
    version = "V1" if any(item.type is ItemType.DECIMAL for item in dataset.items) else "V2"
    form = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {COMPRESSION_LEVEL}, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"
    form = f"{form}, PARQUET_VERSION {version}"
    return f"COPY ({select}) TO {quote_text(str(path))} ({form})"


def hash_of_files(paths: Sequence[Path]) -> str:
    """SHA-256 over the bytes of the files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
