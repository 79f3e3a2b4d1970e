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
from huitong.errors import Conflict, HuitongError, InputInvalid, Reason
from huitong.intake import text
from huitong.intake.limits import LIMITS, Deadline
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
    seconds: float | None = None,
) -> Loading:
    """Make the file the next snapshot. Raises, and nothing is visible: InputInvalid if columns do not match the items or more than
    `reject_limit` rows have values that do not fit (reading stops soon after); Conflict `load-running` if another load of the
    dataset is under way; Unavailable `load-time-limit` after `seconds`, by default those of `limits.toml`."""
    if not path.is_file():
        raise InputInvalid.because("intake-file-missing")
    deadline = Deadline(LIMITS.load_seconds if seconds is None else seconds)
    if is_parquet(path):
        return _load_parquet(path, dataset, lake, progress, reject_limit, deadline)
    file = text.read_text_file(path, deadline=deadline)
    header = text.find_header(file, dataset)
    with lake.writing(dataset) as writing:
        rejected = _Rejected()
        forward = _forward(progress)
        if not _load_fast(file, header, writing, forward, deadline):
            _load_carefully(file, header, writing, forward, rejected, reject_limit, deadline)
        if text.stamp_of(path) != file.stamp:
            raise Conflict.because("intake-file-changed")
        deadline.check()
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


def _load_fast(
    file: text.TextFile, header: text.Header, writing: SnapshotWriting, progress: Progress, deadline: Deadline
) -> bool:
    """True if the whole file was clean and every record counted in it was read; False, leaving nothing, in any other case."""
    dataset = writing.dataset
    plain = file.encoding in ("utf-8", "utf-8-sig") and len(header.cells) > 1 and header.last_line == header.records_before + 1
    if not plain or file.records is None or file.longest > LIMITS.field_characters:
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
            with _watched(connection, file.lines, progress, deadline):
                (rows,) = connection.execute(copy_to(select, target)).fetchone()
        except Exception as error:
            deadline.check()
            if type(error).__name__ in ("IOException", "FatalException", "InternalException"):
                raise
            target.unlink(missing_ok=True)
            return False
    if rows != file.records - header.records_before - 1:
        target.unlink()
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
def _watched(connection: Any, rows: int, progress: Progress, deadline: Deadline) -> Iterator[None]:
    """Tell progress while a statement runs, and interrupt it when its time is over: a second thread looks five times a second."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            if deadline.passed:
                connection.interrupt()
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
    file: text.TextFile,
    header: text.Header,
    writing: SnapshotWriting,
    progress: Progress,
    rejected: _Rejected,
    reject_limit: int,
    deadline: Deadline,
) -> None:
    items = writing.dataset.items
    readers = {item.name: reader_of_text(item.name, item.type) for item in items}
    kinds = {item.name: item.type for item in items}
    width = len(header.cells)
    positions = [header.columns[item.name] for item in items]
    done = 0
    memory = writing.lake.memory_megabytes
    with (
        contextlib.closing(text.records(file, header.delimiter)) as records,
        open_writer(read=[], write=writing.staging, memory_megabytes=memory) as connection,
        _Output(writing) as output,
    ):
        for chunk in _chunks(itertools.islice(records, header.records_before + 1, None)):
            found: list[tuple[int, tuple[tuple[str, str | None], ...]]] = []
            whole = []
            for record in chunk:
                if record.broken:
                    found.append((record.line, ((record.broken, None),)))
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
            rejected.refuse_above(reject_limit, writing.dataset)
            deadline.check()
            done += len(chunk)
            progress(done, max(file.lines, done))


def _chunks(everything: Iterator[text.Record]) -> Iterator[list[text.Record]]:
    chunk: list[text.Record] = []
    characters = 0
    for record in everything:
        chunk.append(record)
        characters += record.characters
        if len(chunk) >= CAREFUL_ROWS or characters >= LIMITS.chunk_characters:
            yield chunk
            chunk, characters = [], 0
    if chunk:
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
        rows, size = sum(table.num_rows for table in self._held), sum(table.nbytes for table in self._held)
        if rows >= ROW_GROUP_ROWS or size >= LIMITS.chunk_characters:
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


def _load_parquet(
    path: Path, dataset: Dataset, lake: Lake, progress: Progress, reject_limit: int, deadline: Deadline
) -> Loading:
    before = text.stamp_of(path)
    try:
        metadata = parquet.read_metadata(path)
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError):
        raise InputInvalid.because("intake-parquet-unreadable") from None
    _check_footer(metadata, before[0])
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
    texts = {item.name: schema.names[columns[item.name]] for item in dataset.items if _is_text(schema.field(columns[item.name]).type)}
    source_hash = hash_of_files([path])
    with lake.writing(dataset) as writing:
        rejected = _Rejected()
        scan = f"read_parquet({quote_text(str(path.resolve()))}, hive_partitioning=false)"
        unfit = {name: reader.unfit for name, reader in readers.items() if not reader.always_fits}
        any_unfit = " OR ".join(unfit.values()) or "false"
        kinds = {item.name: item.type for item in dataset.items}
        memory = lake.memory_megabytes
        with open_writer(read=[path.resolve()], write=writing.staging, memory_megabytes=memory) as connection, _clear(memory, deadline):
            with _watched(connection, metadata.num_rows, lambda _done, _all: None, deadline):
                _check_texts(connection, scan, texts, before[0])
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
            with _watched(connection, metadata.num_rows, progress, deadline):
                connection.execute(copy_to(f"SELECT {values} FROM {scan} WHERE NOT ({any_unfit})", writing.staging / "rows.parquet"))
        if text.stamp_of(path) != before:
            raise Conflict.because("intake-file-changed")
        deadline.check()
        snapshot = writing.commit(source_hash=source_hash, rejected_rows=rejected.rows)
    progress(snapshot.rows, snapshot.rows)
    return Loading(snapshot, tuple(rejected.named), None, None, None)


def _check_footer(metadata: Any, size: int) -> None:
    """Before a page is read: what the footer says it will become. Raises InputInvalid `intake-parquet-too-large`."""
    limits = LIMITS.parquet
    groups = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    for what, found, limit in (
        ("rows", metadata.num_rows, limits.rows),
        ("row-group-bytes", max(groups, default=0), limits.row_group_bytes),
        ("bytes", sum(groups), limits.bytes_of(size)),
    ):
        if found > limit:
            raise InputInvalid.because("intake-parquet-too-large", what=what, found=found, limit=limit)
    if metadata.num_rows < 0 or min(groups, default=0) < 0:
        raise InputInvalid.because("intake-parquet-unreadable")


def _check_texts(connection: Any, scan: str, texts: Mapping[str, str], size: int) -> None:
    """A dictionary makes a long text small in the footer: count what the texts really are. Raises InputInvalid
    `intake-value-too-long` or `intake-parquet-too-large`."""
    if not texts:
        return
    asked = ", ".join(f"coalesce(max(length({quote_name(c)})), 0), coalesce(sum(strlen({quote_name(c)})), 0)" for c in texts.values())
    row = connection.execute(f"SELECT {asked} FROM {scan}").fetchone()
    for item, longest in zip(texts, row[0::2], strict=True):
        if longest > LIMITS.field_characters:
            raise InputInvalid.because("intake-value-too-long", item=item, limit=LIMITS.field_characters)
    found, limit = int(sum(row[1::2])), LIMITS.parquet.bytes_of(size)
    if found > limit:
        raise InputInvalid.because("intake-parquet-too-large", what="text-bytes", found=found, limit=limit)


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
        if name in _DAMAGED and "space" not in str(error):  # a full disk is no fault of the file
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
