"""The rows of a source become the next snapshot of their dataset, or a clear refusal: replaced, appended or merged by key.

A plain text file is read the fast way (`fast_text`), a Parquet file by the engine; everything else, and a text that turns out not to
be plain, batch by batch the careful way. All ways use the same rules for values and keys, and give the same rows and rejects.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import Conflict, HuitongError, InputInvalid, Reason
from huitong.intake.delimited import DelimitedTable
from huitong.intake.fast_text import NotPlainError, load_fast
from huitong.intake.file_table import FileTable
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.loads import (
    Change,
    ChangeKind,
    Loading,
    LoadOptions,
    Progress,
    Reject,
    changes,
    refuse_changes,
)
from huitong.intake.reading import Overrides, SourceTable, open_source
from huitong.intake.source import FastParquet, FastText
from huitong.intake.staging import (
    BaseFile,
    Cause,
    Rejected,
    RowsWriter,
    StagedFile,
    Typed,
    Typist,
    as_line,
    engine_of,
    merge,
    reject_keys,
    reshape,
)
from huitong.intake.values import REASONS, Reader, reader_of_text, reader_of_typed
from huitong.lake.snapshots import Lake, SnapshotWriting
from huitong.lake.tables import ROW_GROUP_ROWS, open_writer
from huitong.lake.types import arrow_schema
from huitong.model.catalog import Dataset, ItemType, LoadMode, Snapshot

__all__ = ["Change", "ChangeKind", "LoadOptions", "Loading", "Progress", "Reject", "changes", "load"]


def _nobody(_done: int, _all: int | None) -> None:
    """Nobody is watching."""


def load(
    source: Path | SourceTable,
    *,
    dataset: Dataset,
    lake: Lake,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    overrides: Overrides | None = None,
    progress: Progress = _nobody,
    previous: Snapshot | None = None,
) -> Loading:
    """Make the rows of a file, or of an opened source, the next snapshot in the lake. `previous` is the current one.

    Append keeps the files of `previous` and refuses, row by row, what has no key or one that is there already; merge writes anew those
    files that hold a key of the load. Of rows of one source that bear the same key none is taken. Raises, and nothing is visible:
    InputInvalid if columns do not match the items, more than `reject_limit` rows do not fit, or `merge-without-key`; Conflict
    `schema-changed`, `load-running`, `intake-file-changed`; Unavailable `load-time-limit`."""
    deadline = Deadline(LIMITS.load_seconds if options.seconds is None else options.seconds)
    if options.mode is LoadMode.MERGE and not dataset.primary_key:
        raise InputInvalid.because("merge-without-key", dataset=dataset.id)
    old_key = lake.primary_key(dataset.id, previous.version) if previous else None
    found = changes(previous, dataset, old_key=old_key)
    refuse_changes(found, dataset, options.allow_changes)
    with ExitStack() as stack:
        if isinstance(source, Path):
            source = stack.enter_context(open_source(source, overrides=overrides, dataset=dataset, deadline=deadline))
        source.match(dataset)
        writing = stack.enter_context(lake.writing(dataset))
        rejected = Rejected(writing, options)
        staged, gone = _stage(source, writing, rejected, _forward(progress), deadline)
        reading, digest = source.reading, source.sha256
        base = _build_on(writing, options.mode, staged, gone, rejected, previous, deadline)
        if source.changed():
            raise Conflict.because("intake-file-changed")
        deadline.check()
        if not any(file.rows for file in staged) and not base:
            _write_nothing(writing)
        snapshot = writing.commit(
            source_hash=digest,
            rejected_rows=rejected.rows,
            mode=options.mode,
            keep=[file.shared for file in base if file.shared is not None],
            rejects=rejected.close(),
        )
        read = sum(file.rows for file in staged) + rejected.rows
        progress(read, read)
        return Loading(snapshot, rejected.named, lake.rejects(dataset.id, snapshot.version), reading, found)


def _stage(
    source: SourceTable, writing: SnapshotWriting, rejected: Rejected, progress: Progress, deadline: Deadline
) -> tuple[list[StagedFile], list[pa.Table]]:
    """The rows in files of the staging folder; and the keys of rows left out already for bearing one key."""
    if isinstance(source.fast, FastText):
        header = source.header_bytes if isinstance(source, DelimitedTable) else b""
        try:
            files, gone, proof = load_fast(
                source, source.fast, writing, rejected, header_bytes=header, progress=progress, deadline=deadline
            )
            if isinstance(source, FileTable):
                source.keep_proof(proof)
            return files, gone
        except NotPlainError:
            rejected.start_again()
            _empty(writing.staging)
        except InputInvalid:
            source.proof()  # if the bytes themselves are at fault, that is what to say
            raise
    if isinstance(source.fast, FastParquet):
        return _load_parquet(source, source.fast, writing, rejected, progress, deadline), []
    return _load_batches(source, writing, rejected, progress, deadline), []


def _empty(staging: Path) -> None:
    for entry in staging.iterdir():
        if entry.is_file():
            entry.unlink()


def _forward(progress: Progress) -> Progress:
    """The same progress that never goes back: a second, careful reading stands still until it has passed the first."""
    highest = 0

    def told(done: int, whole: int | None) -> None:
        nonlocal highest
        highest = max(highest, done)
        progress(highest, whole if whole is None else max(highest, whole))

    return told


def _write_nothing(writing: SnapshotWriting) -> None:
    """A snapshot without rows is a file without rows."""
    schema = arrow_schema(writing.dataset)
    parquet.write_table(schema.empty_table(), writing.staging / "rows.parquet", compression="zstd")


def _build_on(
    writing: SnapshotWriting,
    mode: LoadMode,
    staged: Sequence[StagedFile],
    gone: Sequence[pa.Table],
    rejected: Rejected,
    previous: Snapshot | None,
    deadline: Deadline,
) -> tuple[BaseFile, ...]:
    """Check the keys of what is staged, and say which files of the snapshot before belong to the new one."""
    dataset, lake = writing.dataset, writing.lake
    builds = previous is not None and mode is not LoadMode.REPLACE
    base: tuple[BaseFile, ...] = ()
    with engine_of(writing, previous if builds else None) as connection, _until(connection, deadline):
        if builds and previous is not None:
            paths = [path.resolve() for path in lake.absolute([file.path for file in previous.files])]
            held = zip(previous.files, paths, strict=True)
            base = tuple(BaseFile(path, file.rows, file) for file, path in held if file.rows)
            old = lake.columns(previous)
            if list(old.items()) != [(item.name, item.type) for item in dataset.items]:
                base = reshape(connection, writing, old, base)
        met = [file.path for file in base] if mode is LoadMode.APPEND else []
        reject_keys(connection, dataset, staged, rejected, base=met, gone=gone)
        if mode is LoadMode.MERGE:
            base = merge(connection, writing, staged, base)
    for file in staged:
        if file.keys is not None:
            file.keys.unlink()
        if not file.rows:
            file.path.unlink()
    return base


@contextlib.contextmanager
def _until(connection: Any, deadline: Deadline) -> Iterator[None]:
    """Interrupt what the engine does when the time is over: a second thread looks five times a second."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            if deadline.passed:
                connection.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except HuitongError:
        raise
    except Exception:
        deadline.check()
        raise
    finally:
        done.set()
        watcher.join()


# --- batch by batch -----------------------------------------------------------------------------------------------------------


def _load_batches(
    source: SourceTable, writing: SnapshotWriting, rejected: Rejected, progress: Progress, deadline: Deadline
) -> list[StagedFile]:
    dataset = writing.dataset
    columns = source.match(dataset)
    writer = RowsWriter(writing.staging, dataset, name="0")
    lines = _Lines(writing.staging / "lines")
    texts = _Texts(source)
    done = 0
    with (
        contextlib.closing(texts),
        contextlib.closing(writer),
        contextlib.closing(lines),
        Typist(dataset, memory_megabytes=max(128, writing.lake.memory_megabytes // 2)) as typist,
        contextlib.closing(_closable(source.batches())) as batches,
    ):
        for batch in batches:
            deadline.check()
            table = batch.columns.select([columns[item.name] for item in dataset.items]).rename_columns(
                [item.name for item in dataset.items]
            )
            typed = typist.type(table)
            told = texts.of([line for line, _ in batch.broken])
            found: list[tuple[int, Sequence[Cause], str | None]] = [
                (line, ((code, None),), text) for (line, code), text in zip(batch.broken, told, strict=True)
            ]
            kept = batch.lines.to_numpy(zero_copy_only=False)
            if typed.unfit:
                wrong = sorted(typed.unfit)
                rows = batch.columns.take(pa.array(wrong)).to_pylist()
                found += [
                    (int(kept[place]), typed.unfit[place], as_line(list(row.values()))) for place, row in zip(wrong, rows, strict=True)
                ]
                kept = np.delete(kept, wrong)
            found.sort(key=lambda one: one[0])
            rejected.add(found)
            writer.write(typed, lines.keep(kept))
            done += batch.columns.num_rows + len(batch.broken)
            progress(done, None)
    return writer.files


def _closable(batches: Any) -> Any:
    """The same batches, which can be closed before their end."""
    yield from batches


class _Texts:
    """The lines of a text file that could not be read as rows, for the reject table. Of a row over several lines, the first."""

    def __init__(self, source: SourceTable) -> None:
        self._source = source
        self._file: Any = None
        self._line = 0

    def of(self, lines: Sequence[int]) -> Sequence[str | None]:
        """The texts of these lines, which lie beyond those asked for before; None where the source is no text file."""
        reading = self._source.reading if lines else None
        if reading is None or reading.format != "text" or not isinstance(self._source, DelimitedTable):
            return [None] * len(lines)
        if self._file is None:
            self._file = self._source.path.open(encoding=reading.encoding, newline=None)
        found: list[str | None] = []
        for line in lines:
            text = None
            while self._line < line:
                text = self._file.readline(LIMITS.record_characters)
                self._line += 1
            found.append(None if text is None else text.rstrip("\n"))
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


class _Lines:
    """The lines of all rows, on disk: eight bytes each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._rows = 0

    def keep(self, lines: Any) -> "partial[Sequence[tuple[int, str | None]]]":
        """Remember the lines of some rows; a function that finds them again by position."""
        first = self._rows
        self._file.write(np.asarray(lines, np.int64).tobytes())
        self._rows += len(lines)
        return partial(_line_of, self._path, first)

    def close(self) -> None:
        """All are on disk."""
        self._file.close()


def _line_of(path: Path, first: int, places: Sequence[int]) -> Sequence[tuple[int, str | None]]:
    lines = np.memmap(path, np.int64, "r")
    return [(int(lines[first + place]), None) for place in places]


# --- Parquet --------------------------------------------------------------------------------------------------------------


def _load_parquet(
    source: SourceTable, fast: FastParquet, writing: SnapshotWriting, rejected: Rejected, progress: Progress, deadline: Deadline
) -> list[StagedFile]:
    dataset = writing.dataset
    columns = source.match(dataset)
    schema = parquet.read_schema(fast.path)
    readers: dict[str, Reader] = {}
    reasons = []
    for item in dataset.items:
        found = schema.field(columns[item.name])
        reader = _reader_of_parquet(found.name, found.type, item.type)
        if reader is None:
            reasons.append(Reason("intake-column-type", {"item": item.name, "type": item.type.value, "found": str(found.type)[:40]}))
        else:
            readers[item.name] = reader
    if reasons:
        raise InputInvalid(*reasons)
    texts = {item.name: schema.names[columns[item.name]] for item in dataset.items if _is_text(schema.field(columns[item.name]).type)}
    size = fast.path.stat().st_size
    file = fast.path.resolve()
    scan = f"read_parquet({quote_text(str(file))}, hive_partitioning=false, file_row_number=true)"
    key = [one.name for name in dataset.primary_key if (one := dataset.item(name)) is not None]
    conditions: list[tuple[str, Cause]] = []
    for item in dataset.items:
        reader = readers[item.name]
        if not reader.always_fits:
            conditions.append((reader.unfit, (REASONS[item.type], item.name)))
        if item.name in key:
            conditions.append((f"(NOT {reader.there})", ("row-key-missing", item.name)))
    memory = writing.lake.memory_megabytes
    total = parquet.read_metadata(fast.path).num_rows
    writer = RowsWriter(writing.staging, dataset, name="0", source_bytes=8 * size)  # it is packed
    with (
        open_writer(read=[file], write=writing.staging, memory_megabytes=memory) as connection,
        _clear(memory, deadline),
        _until(connection, deadline),
        contextlib.closing(writer),
    ):
        longest = _check_texts(connection, scan, texts, size)
        rows_at_once = max(1, min(ROW_GROUP_ROWS, LIMITS.chunk_characters // max(1, longest)))
        values = [f"{readers[item.name].value} AS {quote_name(item.name)}" for item in dataset.items]
        wrong = " OR ".join(condition for condition, _ in conditions) or "false"
        names = ", ".join(quote_name(item.name) for item in dataset.items)
        hashed = f", hash({', '.join(quote_name(name) for name in key)}) AS \"huitong key\"" if key else ""
        shown = f'SELECT {names}{hashed}, "huitong unfit", "huitong row" FROM'
        inner = f'SELECT {", ".join(values)}, ({wrong}) AS "huitong unfit", file_row_number + 1 AS "huitong row" FROM {scan}'
        done = 0
        second = connection.cursor()
        for batch in connection.sql(f"{shown} ({inner})").to_arrow_reader(rows_at_once):
            deadline.check()
            table = pa.table(batch)
            unfit = table["huitong unfit"].to_numpy(zero_copy_only=False)
            places = table["huitong row"].to_numpy(zero_copy_only=False)
            if unfit.any():
                bad = [int(place) for place in places[unfit]]
                for start in range(0, len(bad), 1_000):  # so that a hopeless file ends soon
                    rejected.add(_causes_in_parquet(second, scan, conditions, schema.names, bad[start : start + 1_000]))
                table = table.filter(pa.array(~unfit))
                places = places[~unfit]
            rows = table.select([item.name for item in dataset.items]).cast(arrow_schema(dataset))
            keys = table["huitong key"].combine_chunks() if key else None
            look = partial(_row_of_parquet, places.astype(np.int64))
            writer.write(Typed(rows, keys, {}), look)
            done += batch.num_rows
            progress(done, total)
    return writer.files


def _causes_in_parquet(
    connection: Any, scan: str, conditions: Sequence[tuple[str, Cause]], names: Sequence[str], rows: Sequence[int]
) -> list[tuple[int, Sequence[Cause], str | None]]:
    flags = ", ".join(condition for condition, _ in conditions)
    shown = ", ".join(quote_name(name) for name in names)
    where = ", ".join(str(row - 1) for row in rows)
    found = connection.execute(
        f"SELECT file_row_number + 1, {flags}, {shown} FROM {scan} WHERE file_row_number IN ({where}) ORDER BY 1"
    ).fetchall()
    width = len(conditions)
    return [
        (
            row[0],
            tuple(cause for wrong, (_, cause) in zip(row[1 : width + 1], conditions, strict=True) if wrong),
            as_line(row[width + 1 :]),
        )
        for row in found
    ]


def _row_of_parquet(rows: Any, places: Sequence[int]) -> Sequence[tuple[int, str | None]]:
    return [(int(rows[place]), None) for place in places]


def _check_texts(connection: Any, scan: str, texts: Mapping[str, str], size: int) -> int:
    """A dictionary makes a long text small in the footer: count what the texts really are. Raises InputInvalid
    `intake-value-too-long` or `intake-parquet-too-large`. Characters that the longest row can have."""
    if not texts:
        return 0
    asked = ", ".join(f"coalesce(max(length({quote_name(c)})), 0), coalesce(sum(strlen({quote_name(c)})), 0)" for c in texts.values())
    (row,) = connection.execute(f"SELECT {asked} FROM {scan}").fetchall()
    for item, longest in zip(texts, row[0::2], strict=True):
        if longest > LIMITS.field_characters:
            raise InputInvalid.because("intake-value-too-long", item=item, limit=LIMITS.field_characters)
    found, limit = int(sum(row[1::2])), LIMITS.parquet.bytes_of(size)
    if found > limit:
        raise InputInvalid.because("intake-parquet-too-large", what="text-bytes", found=found, limit=limit)
    return int(sum(row[0::2]))


_DAMAGED = ("InvalidInputException", "IOException", "ConversionException", "Error", "SerializationException", "OutOfRangeException")


@contextlib.contextmanager
def _clear(memory_megabytes: int, deadline: Deadline) -> Iterator[None]:
    """What reading a hostile or damaged file may end with, as a reason."""
    try:
        yield
    except HuitongError:
        raise
    except Exception as error:
        deadline.check()
        name = type(error).__name__
        if name == "OutOfMemoryException":
            raise InputInvalid.because("load-memory-limit", megabytes=memory_megabytes) from None
        if (name in _DAMAGED or isinstance(error, (pa.ArrowException, OSError))) and "space" not in str(error):  # a full disk is no fault
            raise InputInvalid.because("intake-parquet-unreadable") from None
        raise


def _is_text(found: pa.DataType) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def _reader_of_parquet(column: str, found: pa.DataType, kind: ItemType) -> Reader | None:
    types = pa.types
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_string(found) or types.is_large_string(found) or types.is_string_view(found):
        return reader_of_text(column, kind)
    fits = {
        ItemType.TEXT: False,
        ItemType.INTEGER: types.is_integer(found),
        ItemType.DECIMAL: types.is_floating(found) or types.is_integer(found) or types.is_decimal(found),
        ItemType.BOOLEAN: types.is_boolean(found),
        ItemType.DATE: types.is_date(found),
        ItemType.INSTANT: types.is_timestamp(found) and found.tz is not None,
    }[kind]
    exact = None
    if types.is_decimal(found):
        exact = f"DECIMAL({found.precision}, {found.scale})" if found.precision <= _ENGINE_PRECISION else None
    elif types.is_integer(found):
        exact = "HUGEINT"
    return reader_of_typed(column, kind, exact=exact) if fits else None


_ENGINE_PRECISION = 38
"""Digits of a decimal that the engine has a type for."""
