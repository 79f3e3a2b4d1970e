"""A CSV or Parquet file becomes the next snapshot of its dataset, or a clear refusal: `inspect` looks, `load` does.

A clean UTF-8 file goes straight through DuckDB's reader, with the dialect that was decided here. At the first thing out of order
the file is read again the careful way, record by record, which knows the line of each. Both ways use the same rules for values.
"""

import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import Conflict, InputInvalid, Reason
from huitong.intake import text
from huitong.intake.values import REASONS, Reader, reader_of_text, reader_of_typed
from huitong.lake.snapshots import Lake, SnapshotWriting, copy_to, hash_of_files
from huitong.lake.tables import ROW_GROUP_ROWS, open_writer
from huitong.model.catalog import Dataset, ItemType, Snapshot

Progress = Callable[[int, int | None], None]
"""Rows done so far and, if known or well estimated, rows in all."""

CAREFUL_ROWS = 50_000
"""Records that the careful way holds at once."""
REPORTED = 1_000
"""Rejected values that a report names one by one; all are counted."""
NAMED_IN_ERROR = 20
"""Rejected values that a refusal names one by one."""


@dataclass(frozen=True)
class Reject:
    """Why a row was left out: its line (row number in Parquet), the item, a reason code. Never the value."""

    line: int
    reason: str
    item: str | None = None


@dataclass(frozen=True)
class Loading:
    """What became of a file."""

    snapshot: Snapshot
    rejects: tuple[Reject, ...]
    """The first rejected values, in order of lines."""
    encoding: str | None
    delimiter: str | None
    header_line: int | None


@dataclass(frozen=True)
class ReadingColumn:
    """A column as it looks: a suggestion for an entry, with the reason for it."""

    name: str
    type: str
    why: str


@dataclass(frozen=True)
class Reading:
    """What a file looks like before anyone registers it."""

    format: str
    encoding: str | None
    delimiter: str | None
    header_line: int | None
    rows: int
    """Exact for Parquet; for text the lines after the header."""
    columns: tuple[ReadingColumn, ...]


def load(
    path: Path,
    *,
    dataset: Dataset,
    lake: Lake,
    progress: Progress = lambda _done, _all: None,
    reject_limit: int = 0,
) -> Loading:
    """Make the file the next snapshot. Raises InputInvalid, and nothing is visible, if columns do not match the items or more
    than `reject_limit` rows have values that do not fit."""
    if not path.is_file():
        raise InputInvalid.because("intake-file-missing")
    if is_parquet(path):
        return _load_parquet(path, dataset, lake, progress, reject_limit)
    file = text.read_text_file(path)
    header = text.find_header(file, dataset)
    with lake.writing(dataset) as writing:
        rejected = _Rejected()
        forward = _forward(progress)
        if not _load_fast(file, header, writing, forward):
            _load_carefully(file, header, writing, forward, rejected)
        rejected.refuse_above(reject_limit, dataset)
        if text.stamp_of(path) != file.stamp:
            raise Conflict.because("intake-file-changed")
        snapshot = writing.commit(source_hash=file.sha256, rejected_rows=rejected.rows)
    progress(snapshot.rows + rejected.rows, snapshot.rows + rejected.rows)
    return Loading(snapshot, tuple(rejected.named), file.encoding, header.delimiter, header.last_line)


def is_parquet(path: Path) -> bool:
    """By its first bytes, not its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


@dataclass
class _Rejected:
    rows: int = 0
    named: list[Reject] = field(default_factory=list)

    def add(self, line: int, *causes: tuple[str, str | None]) -> None:
        self.rows += 1
        for reason, item in causes:
            if len(self.named) < REPORTED:
                self.named.append(Reject(line, reason, item))

    def refuse_above(self, limit: int, dataset: Dataset) -> None:
        if self.rows <= limit:
            return
        first = [
            Reason(one.reason, {"line": one.line, **({"item": one.item} if one.item else {})}) for one in self.named[:NAMED_IN_ERROR]
        ]
        raise InputInvalid(
            Reason("intake-too-many-rejects", {"dataset": dataset.id, "rows": self.rows, "limit": limit, "named": len(first)}), *first
        )


# --- text, the fast way ---------------------------------------------------------------------------------------------------


def _load_fast(file: text.TextFile, header: text.Header, writing: SnapshotWriting, progress: Progress) -> bool:
    """True if the whole file was clean; False, leaving nothing, if anything at all was not."""
    dataset = writing.dataset
    plain = file.encoding in ("utf-8", "utf-8-sig") and len(header.cells) > 1 and header.last_line == header.records_before + 1
    if not plain:
        return False
    target = writing.staging / "rows.parquet"
    names = [f"c{position}" for position in range(len(header.cells))]
    columns = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in names)
    shown = []
    for item in dataset.items:
        source = names[header.columns[item.name]]
        reader = reader_of_text(source, item.type)
        shown.append(f"{reader.value_or_error(source)} AS {quote_name(item.name)}")
    select = (
        f"SELECT {', '.join(shown)} FROM read_csv({quote_text(str(file.path.resolve()))}, auto_detect=false, header=false, "
        f"skip={header.last_line}, delim={quote_text(header.delimiter)}, quote='\"', escape='\"', columns={{{columns}}}, "
        f"strict_mode=true, null_padding=false, ignore_errors=false, nullstr='', allow_quoted_nulls=true, comment='', encoding='utf-8')"
    )
    memory = writing.lake.memory_megabytes
    with open_writer(read=[file.path.resolve()], write=writing.staging, memory_megabytes=memory) as connection:
        try:
            with _watched(connection, file.lines, progress):
                connection.execute(copy_to(select, target))
        except Exception as error:
            if type(error).__name__ in ("OutOfMemoryException", "IOException", "FatalException", "InternalException"):
                raise
            target.unlink(missing_ok=True)
            return False
    return True


def _forward(progress: Progress) -> Progress:
    """The same progress that never goes back: a second, careful reading stands still until it has passed the first."""
    highest = 0

    def told(done: int, whole: int | None) -> None:
        nonlocal highest
        highest = max(highest, done)
        progress(highest, whole)

    return told


@contextlib.contextmanager
def _watched(connection: Any, rows: int, progress: Progress) -> Iterator[None]:
    """Tell progress while a statement runs: a second thread asks the connection five times a second."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            share = connection.query_progress()
            if share > 0:
                progress(int(rows * share / 100), rows)

    connection.execute("SELECT 1")
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


# --- text, the careful way ------------------------------------------------------------------------------------------------


def _load_carefully(
    file: text.TextFile, header: text.Header, writing: SnapshotWriting, progress: Progress, rejected: _Rejected
) -> None:
    items = writing.dataset.items
    readers = {item.name: reader_of_text(item.name, item.type) for item in items}
    kinds = {item.name: item.type for item in items}
    width = len(header.cells)
    positions = [header.columns[item.name] for item in items]
    done = 0
    everything = itertools.islice(text.records(file, header.delimiter), header.records_before + 1, None)
    memory = writing.lake.memory_megabytes
    with open_writer(read=[], write=writing.staging, memory_megabytes=memory) as connection, _Output(writing) as output:
        for chunk in _chunks(everything):
            found: list[tuple[int, tuple[tuple[str, str | None], ...]]] = []
            whole = []
            for record in chunk:
                if record.broken:
                    found.append((record.line, (("row-quote-not-closed", None),)))
                elif len(record.fields) != width:
                    code = "row-too-short" if len(record.fields) < width else "row-too-long"
                    found.append((record.line, ((code, None),)))
                else:
                    whole.append(record)
            arrays = [pa.array([record.line for record in whole], pa.int64())]
            arrays += [pa.array([record.fields[position] or None for record in whole], pa.string()) for position in positions]
            batch = pa.table(arrays, names=["", *(item.name for item in items)])
            found += _write_fitting(connection, batch, readers, kinds, output)
            for line, causes in sorted(found, key=lambda one: one[0]):
                rejected.add(line, *causes)
            done += len(chunk)
            progress(done, max(file.lines, done))


def _chunks(everything: Iterator[text.Record]) -> Iterator[list[text.Record]]:
    while chunk := list(itertools.islice(everything, CAREFUL_ROWS)):
        yield chunk


class _Output:
    """One Parquet file in the staging folder, written batch by batch."""

    def __init__(self, writing: SnapshotWriting) -> None:
        self._path = writing.staging / "rows.parquet"
        self._schema = pa.schema([(item.name, _ARROW[item.type]) for item in writing.dataset.items])
        self._held: list[pa.Table] = []

    def __enter__(self) -> "_Output":
        self._writer = parquet.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def write(self, table: pa.Table) -> None:
        self._held.append(table.cast(self._schema))
        if sum(table.num_rows for table in self._held) >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=ROW_GROUP_ROWS)
            self._held = []

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()


_ARROW: Mapping[ItemType, pa.DataType] = {
    ItemType.TEXT: pa.string(),
    ItemType.INTEGER: pa.int64(),
    ItemType.DECIMAL: pa.float64(),
    ItemType.BOOLEAN: pa.bool_(),
    ItemType.DATE: pa.date32(),
    ItemType.INSTANT: pa.timestamp("us", "UTC"),
}


def _write_fitting(
    connection: Any, batch: pa.Table, readers: Mapping[str, Reader], kinds: Mapping[str, ItemType], output: _Output
) -> list[tuple[int, tuple[tuple[str, str | None], ...]]]:
    """Write the rows whose every value fits; give back the others with their line and causes."""
    connection.register("batch", batch.rename_columns(["huitong line", *batch.column_names[1:]]))
    unfit = {name: reader.unfit for name, reader in readers.items() if not reader.always_fits}
    any_unfit = " OR ".join(unfit.values()) or "false"
    bad: list[tuple[int, tuple[tuple[str, str | None], ...]]] = []
    if unfit:
        flags = ", ".join(f"{condition} AS {quote_name(name)}" for name, condition in unfit.items())
        for row in connection.execute(f'SELECT "huitong line", {flags} FROM batch WHERE {any_unfit}').fetchall():
            causes = tuple((REASONS[kinds[name]], name) for name, wrong in zip(unfit, row[1:], strict=True) if wrong)
            bad.append((row[0], causes))
    values = ", ".join(f"{reader.value} AS {quote_name(name)}" for name, reader in readers.items())
    fitting = connection.sql(f"SELECT {values} FROM batch WHERE NOT ({any_unfit})")
    output.write(fitting.to_arrow_table())
    connection.unregister("batch")
    return bad


# --- Parquet --------------------------------------------------------------------------------------------------------------


def _load_parquet(path: Path, dataset: Dataset, lake: Lake, progress: Progress, reject_limit: int) -> Loading:
    before = text.stamp_of(path)
    try:
        schema, rows = parquet.read_schema(path), parquet.read_metadata(path).num_rows
    except (pa.ArrowException, OSError):
        raise InputInvalid.because("intake-parquet-unreadable") from None
    columns = text.match_columns(schema.names, dataset)
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
    source_hash = hash_of_files([path])
    with lake.writing(dataset) as writing:
        rejected = _Rejected()
        scan = f"read_parquet({quote_text(str(path.resolve()))}, hive_partitioning=false)"
        unfit = {name: reader.unfit for name, reader in readers.items() if not reader.always_fits}
        any_unfit = " OR ".join(unfit.values()) or "false"
        kinds = {item.name: item.type for item in dataset.items}
        with open_writer(read=[path.resolve()], write=writing.staging, memory_megabytes=lake.memory_megabytes) as connection:
            if unfit:
                flags = ", ".join(f"{condition} AS {quote_name(name)}" for name, condition in unfit.items())
                query = f"SELECT file_row_number + 1, {flags} FROM {scan} WHERE {any_unfit} ORDER BY 1 LIMIT {REPORTED}"
                total = connection.execute(f"SELECT count(*) FROM {scan} WHERE {any_unfit}").fetchone()[0]
                for row in connection.execute(query).fetchall() if total else ():
                    causes = [(REASONS[kinds[name]], name) for name, wrong in zip(unfit, row[1:], strict=True) if wrong]
                    rejected.add(row[0], *causes)
                rejected.rows = total
            rejected.refuse_above(reject_limit, dataset)
            values = ", ".join(f"{readers[item.name].value} AS {quote_name(item.name)}" for item in dataset.items)
            with _watched(connection, rows, progress):
                connection.execute(copy_to(f"SELECT {values} FROM {scan} WHERE NOT ({any_unfit})", writing.staging / "rows.parquet"))
        if text.stamp_of(path) != before:
            raise Conflict.because("intake-file-changed")
        snapshot = writing.commit(source_hash=source_hash, rejected_rows=rejected.rows)
    progress(snapshot.rows, snapshot.rows)
    return Loading(snapshot, tuple(rejected.named), None, None, None)


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
    return reader_of_typed(column, kind) if fits else None


# --- looking --------------------------------------------------------------------------------------------------------------


def inspect(path: Path) -> Reading:
    """What the file looks like, and a type for each column with the reason. Holds no value of it. Raises InputInvalid."""
    if not path.is_file():
        raise InputInvalid.because("intake-file-missing")
    if is_parquet(path):
        try:
            schema, rows = parquet.read_schema(path), parquet.read_metadata(path).num_rows
        except (pa.ArrowException, OSError):
            raise InputInvalid.because("intake-parquet-unreadable") from None
        columns = tuple(ReadingColumn(one.name, _type_of_arrow(one.type), f"parquet {one.type}") for one in schema)
        return Reading("parquet", None, None, None, rows, columns)
    file = text.read_text_file(path)
    delimiter = text.likely_delimiter(file)
    first = [record for record in itertools.islice(text.records(file, delimiter), 1_000) if not record.broken]
    if not first:
        raise InputInvalid.because("intake-file-empty")
    widths = [len(record.fields) for record in first]
    usual = max(set(widths), key=widths.count)
    start = next((i for i, r in enumerate(first) if len(r.fields) == usual and all(cell.strip() for cell in r.fields)), 0)
    header = first[start]
    rows = [record.fields for record in first[start + 1 :] if len(record.fields) == len(header.fields)]
    columns = tuple(
        ReadingColumn(name.strip().removeprefix("\ufeff"), *_suggest([row[position] for row in rows]))
        for position, name in enumerate(header.fields)
    )
    return Reading("text", file.encoding, delimiter, header.line, max(0, file.lines - header.line), columns)


def _type_of_arrow(found: pa.DataType) -> str:
    for kind in (ItemType.BOOLEAN, ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE, ItemType.INSTANT):
        if not pa.types.is_string(found) and _reader_of_parquet("x", found, kind) is not None:
            return kind.value
    return ItemType.TEXT.value


_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_DIGITS = re.compile(r"\d+")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_DAY = re.compile(r"\d{4}([-/])\d{1,2}\1\d{1,2}|\d{4}年\d{1,2}月\d{1,2}日")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:\d{2})?)")


def _suggest(values: Sequence[str]) -> tuple[str, str]:
    """A type and the reason for it; text wherever there is doubt, for a code read as a number is lost."""
    there = [value.strip() for value in values if value.strip()]
    if not there:
        return ItemType.TEXT.value, "empty"
    if all(_DIGITS.fullmatch(value) for value in there):
        if any(len(value) > 1 and value[0] == "0" for value in there):
            return ItemType.TEXT.value, "leading-zeros"
        if len({len(value) for value in there}) == 1 and len(there[0]) >= 6:
            return ItemType.TEXT.value, "digits-of-one-length"
    if all(_WHOLE.fullmatch(value) for value in there):
        return ItemType.INTEGER.value, "whole-numbers"
    if all(_WHOLE.fullmatch(value) or _DECIMAL.fullmatch(value) for value in there):
        return ItemType.DECIMAL.value, "decimals"
    if all(_DAY.fullmatch(value) for value in there):
        return ItemType.DATE.value, "dates"
    if all(_MOMENT.fullmatch(value) for value in there):
        return ItemType.INSTANT.value, "instants-with-zone"
    return ItemType.TEXT.value, "words"
