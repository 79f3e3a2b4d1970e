"""Rows on their way into a snapshot: typed batch by batch, written to files of bounded size, with the hash of each row's key beside.

What does not fit its item is told by position; whoever brought the batch knows which line that is. Nothing is visible before the
writing is committed.
"""

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import InputInvalid, Reason
from huitong.intake.limits import LIMITS
from huitong.intake.loads import LoadOptions, Reject
from huitong.intake.values import REASONS, reader_of_text, straight, suspects
from huitong.lake.rejects import RejectedRow, RejectWriter
from huitong.lake.snapshots import SnapshotWriting, copy_to
from huitong.lake.tables import COMPRESSION_LEVEL, PACKED, ROW_GROUP_ROWS, open_writer
from huitong.lake.types import arrow_schema, physical_columns
from huitong.model.catalog import Dataset, Item, ItemType, Snapshot, SnapshotFile

NAMED_IN_ERROR = 20
"""Rejected rows that a refusal names one by one."""
REPORTED = 1_000
"""Rejected values that a `Loading` names one by one; the reject table holds all."""
_LEAST_GROUPS, _MOST_GROUPS, _FILES, _GROUP_BYTES = 2, 64, 32, 16 << 20
"""A snapshot of a source of so many bytes lies in about so many files, of so many row groups: taking some rows out rewrites their files
alone, and a large table does not fall into thousands."""
_DISTINCT_LOOK, _DISTINCT_SHARE = 8_192, 0.5
"""A text column gets a dictionary if among so many first values at most this share differ."""

_SORTED_IN_MEMORY = 30_000_000
"""Key hashes that are sorted in memory (eight bytes each, twice); more of them are counted by the engine, which spills to the disk."""
_STRETCH = 512
"""Rows of a column that go through the engine together when one of them is unusual."""

Cause = tuple[str, str | None]
"""A reason code and the item, if it is one item's."""


@dataclass(frozen=True)
class Typed:
    """A batch with its types: the rows that fit, the hash of the key of each, and what is wrong with the others by position."""

    rows: pa.Table
    keys: pa.Array | None
    unfit: Mapping[int, tuple[Cause, ...]]

    def twice(self, dataset: Dataset) -> "np.ndarray[Any, Any]":
        """The places of rows that share their key with another row of the batch, if they are few."""
        none = np.empty(0, np.int64)
        if self.keys is None:
            return none
        hashes = self.keys.to_numpy(zero_copy_only=False)
        ordered = np.sort(hashes)
        alike = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not 0 < len(alike) <= _STRETCH:
            return none
        nearest = np.minimum(np.searchsorted(alike, hashes), len(alike) - 1)
        places = np.flatnonzero(alike[nearest] == hashes)
        if len(places) > _STRETCH:
            return none
        keys = [tuple(row.values()) for row in self.rows.select(key_items(dataset)).take(pa.array(places)).to_pylist()]
        times = Counter(keys)
        return np.array([place for place, key in zip(places, keys, strict=True) if times[key] > 1], np.int64)

    def without(self, places: "np.ndarray[Any, Any]") -> "Typed":
        """The same without the rows at these places."""
        kept = np.ones(self.rows.num_rows, bool)
        kept[places] = False
        keys = None if self.keys is None else self.keys.filter(pa.array(kept))
        return Typed(_without(self.rows, places), keys, self.unfit)


class Typist:
    """Types batches of text columns named by their items. One for each thread: it has an engine of its own, without files."""

    def __init__(self, dataset: Dataset, *, memory_megabytes: int) -> None:
        self._dataset = dataset
        self._schema = arrow_schema(dataset)
        self._key = {item.name for name in dataset.primary_key if (item := dataset.item(name)) is not None}
        self._memory = memory_megabytes
        self._connection: Any = None

    def __enter__(self) -> "Typist":
        self._connection = open_writer(read=[], write=Path("/nonexistent"), memory_megabytes=self._memory, threads=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def type(self, batch: pa.Table) -> Typed:
        """The values of a batch. A missing text is null in it."""
        rows = batch.num_rows
        columns: dict[str, pa.ChunkedArray] = {}
        unfit: dict[str, np.ndarray[Any, Any]] = {}
        for item in self._dataset.items:
            column = batch[item.name]
            if item.type is not ItemType.TEXT:
                wrong = np.zeros(rows, bool)
                column = self._column(column, item, wrong)
                if wrong.any():
                    unfit[item.name] = wrong
            columns[item.name] = column
        keys, missing = self._hashes(columns) if self._key else (None, {})
        table = pa.table(list(columns.values()), names=self._schema.names).cast(self._schema)
        if not unfit and not missing:
            return Typed(table, keys, {})
        wrong = np.zeros(rows, bool)
        for places in (*unfit.values(), *missing.values()):
            wrong |= places
        causes = {place: tuple(self._causes(place, unfit, missing)) for place in np.flatnonzero(wrong).tolist()}
        table = _without(table, np.flatnonzero(wrong))
        keys = keys.filter(pa.array(~wrong)) if keys is not None else None
        return Typed(table, keys, causes)

    def _column(self, column: pa.ChunkedArray, item: Item, wrong: "np.ndarray[Any, Any]") -> pa.ChunkedArray:
        """The values of one column; what does not fit is marked in `wrong`. Only the stretches that hold something unusual go through
        the engine."""
        whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        made = straight(whole, item.type)
        if made is None:
            made = self._mended(whole, item, wrong)
        if made is not None:
            return pa.chunked_array([made], self._schema.field(item.name).type)
        return pa.chunked_array(list(self._parts(whole, item, wrong)), self._schema.field(item.name).type)

    def _mended(self, column: pa.Array, item: Item, wrong: "np.ndarray[Any, Any]") -> pa.Array | None:
        """The values of a column that is usual but for a few texts, which the engine is asked about alone; None if it is not so."""
        odd = suspects(column, item.type)
        if odd is None:
            return None
        places = np.flatnonzero(odd)
        if not 0 < len(places) <= _STRETCH:
            return None
        mask = pa.array(odd)
        made = straight(compute.if_else(mask, pa.scalar(None, column.type), column), item.type)
        if made is None:
            return None
        texts = column.take(pa.array(places))
        if all(_is_no_value(text) for text in texts.to_pylist()):  # the usual dirt: no need to ask
            wrong[places] = [bool(text.strip(" ")) for text in texts.to_pylist()]
            return made
        values, unfit = self._asked(texts, item)
        wrong[places] |= unfit
        return made if values.null_count == len(values) else compute.replace_with_mask(made, mask, values)

    def _asked(self, column: pa.Array, item: Item) -> "tuple[pa.Array, np.ndarray[Any, Any]]":
        """What the engine makes of a few texts, and which of them do not fit."""
        reader = reader_of_text("c", item.type)
        self._connection.register("stretch", pa.table({"c": column}))
        found = self._connection.sql(
            f"SELECT v, v IS NULL AND {reader.there} AS unfit FROM (SELECT c, {reader.value} AS v FROM stretch)"
        ).to_arrow_table()
        self._connection.unregister("stretch")
        values = found["v"].cast(self._schema.field(item.name).type).combine_chunks()
        return values, found["unfit"].to_numpy(zero_copy_only=False)

    def _parts(self, column: pa.Array, item: Item, wrong: "np.ndarray[Any, Any]") -> Iterator[pa.Array]:
        """The values of a column part by part: halved where it holds something unusual, until the engine is asked about a few rows."""
        rows = len(column)
        made = straight(column, item.type)
        if made is not None:
            yield made
        elif rows > _STRETCH:
            half = rows // 2
            yield from self._parts(column.slice(0, half), item, wrong[:half])
            yield from self._parts(column.slice(half), item, wrong[half:])
        else:
            values, unfit = self._asked(column, item)
            wrong |= unfit
            yield values

    def _hashes(self, columns: Mapping[str, pa.ChunkedArray]) -> "tuple[pa.Array, dict[str, np.ndarray[Any, Any]]]":
        """The hash of each row's key, and by item of the key the rows that have no value in it."""
        names = [item.name for item in self._dataset.items if item.name in self._key]
        held = pa.table([columns[name] for name in names], names=[f"k{n}" for n in range(len(names))])
        self._connection.register("held", held)
        asked = ", ".join(f"k{n}" for n in range(len(names)))
        found = self._connection.sql(f"SELECT hash({asked}) AS h FROM held").to_arrow_table()
        self._connection.unregister("held")
        missing: dict[str, np.ndarray[Any, Any]] = {}
        for name, key in zip(names, held.columns, strict=True):
            absent = compute.is_null(key).to_numpy(zero_copy_only=False) if key.null_count else np.zeros(len(key), bool)
            if pa.types.is_string(key.type) and compute.any(blank := compute.starts_with(key, " ")).as_py():
                blank = compute.and_(blank, compute.equal(compute.ascii_trim(key, " "), ""))
                absent = absent | compute.fill_null(blank, False).to_numpy(zero_copy_only=False)
            if absent.any():
                missing[name] = absent
        return found["h"].combine_chunks(), missing

    def _causes(
        self, place: int, unfit: "Mapping[str, np.ndarray[Any, Any]]", missing: "Mapping[str, np.ndarray[Any, Any]]"
    ) -> Iterator[Cause]:
        """What is wrong with a row, item by item. A value of the key that does not fit is there, and so not missing."""
        for item in self._dataset.items:
            if item.name in unfit and unfit[item.name][place]:
                yield REASONS[item.type], item.name
            elif item.name in missing and missing[item.name][place]:
                yield "row-key-missing", item.name


def _is_no_value(text: str) -> bool:
    """Whether a text that looks odd for a number or a date is surely none: it has no digit, or is a day that does not exist."""
    return _NO_DIGIT.fullmatch(text) is not None or _DAY.fullmatch(text) is not None


_NO_DIGIT, _DAY = re.compile(r"\D*"), re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _without(table: pa.Table, places: "np.ndarray[Any, Any]") -> pa.Table:
    """The table without the rows at these places: for a few the stretches between them, which copies nothing."""
    if len(places) > _STRETCH:
        kept = np.ones(table.num_rows, bool)
        kept[places] = False
        return table.filter(pa.array(kept))
    starts = np.concatenate(([0], places + 1))
    ends = np.concatenate((places, [table.num_rows]))
    left = [table.slice(int(start), int(end - start)) for start, end in zip(starts, ends, strict=True) if end > start]
    return pa.concat_tables(left or [table.slice(0, 0)])


@dataclass(frozen=True)
class Segment:
    """Some consecutive rows of a staged file, and how to find where they came from."""

    first: int
    rows: int
    look: Callable[[Sequence[int]], Sequence[tuple[int, str | None]]]
    """Positions among the rows of the segment -> line and text of each."""


@dataclass
class StagedFile:
    """A finished file of rows, the file of their key hashes, and where the rows came from."""

    path: Path
    keys: Path | None
    rows: int = 0
    segments: list[Segment] = field(default_factory=list)


class RowsWriter:
    """Writes typed rows to files in the staging folder. One for each thread."""

    gone: list[pa.Table]
    """Keys of rows that were left out for bearing one key: another row of that key is left out as well."""

    def __init__(self, staging: Path, dataset: Dataset, *, name: str, source_bytes: int = 0) -> None:
        self.files: list[StagedFile] = []
        self._most_rows = ROW_GROUP_ROWS * max(_LEAST_GROUPS, min(_MOST_GROUPS, source_bytes // (_FILES * _GROUP_BYTES)))
        self._staging = staging
        self._schema = arrow_schema(dataset)
        self._keyed = bool(dataset.primary_key)
        self._name = name
        self._rows: Any = None
        self._keys: Any = None
        self._held: list[pa.Table] = []
        self.gone = []

    def write(self, typed: Typed, look: Callable[[Sequence[int]], Sequence[tuple[int, str | None]]]) -> None:
        """The rows of a batch that fit; `look` finds the line and text of a row by its position among them."""
        if not typed.rows.num_rows:
            return
        if self._rows is None:
            self._open(typed.rows)
        file = self.files[-1]
        file.segments.append(Segment(file.rows, typed.rows.num_rows, look))
        file.rows += typed.rows.num_rows
        if self._keys is not None:
            self._keys.write_batch(pa.record_batch([typed.keys], names=["h"]))
        self._held.append(typed.rows)
        rows, size = sum(table.num_rows for table in self._held), sum(table.nbytes for table in self._held)
        if 2 * rows >= ROW_GROUP_ROWS or size >= LIMITS.chunk_characters:
            self._flush()
        if file.rows >= self._most_rows:
            self.close()

    def _open(self, first: pa.Table) -> None:
        number = len(self.files)
        path = self._staging / f"rows-{self._name}-{number:05}.parquet"
        keys = self._staging / f"{path.stem}.keys" if self._keyed else None
        few = [
            column.name
            for column in self._schema
            if not pa.types.is_floating(column.type) and _few_differ(first[column.name].slice(0, _DISTINCT_LOOK))
        ]
        packed = {column.name: PACKED for column in self._schema if pa.types.is_integer(column.type) and column.name not in few}
        self._rows = parquet.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=few or False,
            column_encoding=packed or None,
        )
        if keys is not None:
            self._keys = parquet.ParquetWriter(keys, pa.schema([("h", pa.uint64())]), compression="none", use_dictionary=False)
        self.files.append(StagedFile(path, keys))

    def _flush(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._rows.write_table(table, row_group_size=2 * ROW_GROUP_ROWS)
            self._held = []

    def close(self) -> None:
        """Finish the file that is open, if one is."""
        if self._rows is not None:
            self._flush()
            self._rows.close()
            if self._keys is not None:
                self._keys.close()
            self._rows = self._keys = None


def _few_differ(column: pa.ChunkedArray) -> bool:
    return bool(compute.count_distinct(column).as_py() <= max(16, _DISTINCT_SHARE * len(column)))


class Rejected:
    """The rows that are left out: counted, kept in the reject table, the first of them named; too many end the load."""

    def __init__(self, writing: SnapshotWriting, options: LoadOptions) -> None:
        self.rows = 0
        self._dataset = writing.dataset
        self._limit = options.reject_limit
        self._named: list[Reject] = []
        self._path = writing.staging / "rejects.table"
        self._keep_rows = options.keep_rows
        self._table = RejectWriter(self._path, keep_rows=options.keep_rows)

    def start_again(self) -> None:
        """Forget everything: the source is read another way."""
        self._table.close()
        self._path.unlink(missing_ok=True)
        self._table = RejectWriter(self._path, keep_rows=self._keep_rows)
        self._named, self.rows = [], 0

    def add(self, found: Sequence[tuple[int, Sequence[Cause], str | None]]) -> None:
        """Rows with line, causes and text. Raises InputInvalid `intake-too-many-rejects` above the limit."""
        self.rows += len(found)
        self._table.add(RejectedRow(line, item, reason, row) for line, causes, row in found for reason, item in causes)
        room = REPORTED - len(self._named)
        self._named += [Reject(line, reason, item) for line, causes, _ in found[:room] for reason, item in causes][:room]
        if self.rows > self._limit:
            self._refuse()

    @property
    def room(self) -> int:
        """Rows that may still be left out."""
        return self._limit - self.rows

    def _refuse(self) -> None:
        first = [
            Reason(one.reason, {"line": one.line, **({"item": one.item} if one.item else {})}) for one in self.named[:NAMED_IN_ERROR]
        ]
        about: dict[str, str | int] = {"dataset": self._dataset.id, "rows": self.rows, "limit": self._limit, "named": len(first)}
        raise InputInvalid(Reason("intake-too-many-rejects", about), *first)

    @property
    def named(self) -> tuple[Reject, ...]:
        """The first rejected values, in order of lines."""
        return tuple(sorted(self._named, key=lambda one: one.line))

    def close(self) -> Path | None:
        """The finished reject table; None if every row fitted."""
        return self._table.close()


# --- keys and modes ---------------------------------------------------------------------------------------------------------


def reject_keys(
    connection: Any,
    dataset: Dataset,
    staged: Sequence[StagedFile],
    rejected: Rejected,
    *,
    base: Sequence[Path],
    gone: Sequence[pa.Table] = (),
) -> None:
    """Leave out every row whose primary key another row of the load bears too (which of them is right nobody knows), and every row
    whose key stands in `base` already. `gone` holds the keys of rows that were left out for that reason before. Raises InputInvalid if
    those are too many."""
    keys = _key_names(dataset)
    files = [file for file in staged if file.rows]
    if not keys or not files:
        return
    left_out = pa.concat_tables(gone) if gone else None
    hashes_gone = pa.array([], pa.uint64())
    if left_out is not None:
        connection.register("left_out", left_out)
        connection.execute("CREATE TEMP TABLE gone AS SELECT * FROM left_out")
        connection.unregister("left_out")
        hashes_gone = connection.sql(f"SELECT hash({', '.join(keys)}) AS h FROM gone").to_arrow_table()["h"].combine_chunks()
    _find_alike(connection, files, hashes_gone.to_numpy())

    def rows_of(numbers: Iterable[int]) -> str:
        return " UNION ALL ".join(
            f"SELECT {n} AS f, file_row_number AS n, {', '.join(keys)} "
            f"FROM read_parquet({quote_text(str(files[n].path))}, file_row_number=true)"
            for n in numbers
        )

    connection.execute("CREATE TEMP TABLE wrong (f INTEGER, n BIGINT, reason VARCHAR)")
    if connection.execute("SELECT count(*) FROM maybe").fetchone()[0]:
        where = [f for (f,) in connection.execute("SELECT DISTINCT f FROM maybe ORDER BY f").fetchall()]
        same = f"SELECT r.* FROM ({rows_of(where)}) r SEMI JOIN maybe USING (f, n)"
        if left_out is not None:
            same += f" UNION ALL SELECT -1, -1, {', '.join(keys)} FROM gone"
        connection.execute(
            f"INSERT INTO wrong SELECT f, n, 'row-key-twice' FROM "
            f"(SELECT f, n, count(*) OVER (PARTITION BY {', '.join(keys)}) AS times FROM ({same})) WHERE times > 1 AND f >= 0"
        )
    if base:
        taken = f"SELECT {', '.join(keys)} FROM {scan_of(base)}"
        connection.execute(
            f"INSERT INTO wrong SELECT f, n, 'row-key-taken' FROM ({rows_of(range(len(files)))}) r "
            f"SEMI JOIN ({taken}) b USING ({', '.join(keys)}) "
            "WHERE NOT EXISTS (SELECT 1 FROM wrong w WHERE w.f = r.f AND w.n = r.n)"
        )
    total = connection.execute("SELECT count(*) FROM wrong").fetchone()[0]
    if not total:
        return
    keep = rejected.room
    shown = total if total <= keep else NAMED_IN_ERROR
    found: list[tuple[int, Sequence[Cause], str | None]] = []
    for f, file in enumerate(files):
        places = connection.execute("SELECT n, reason FROM wrong WHERE f = ? ORDER BY n LIMIT ?", [f, shown]).fetchall()
        found += _looked_up(connection, file, places, dataset)
    found.sort(key=lambda one: one[0])
    if total > keep:
        rejected.rows += total - len(found)
    rejected.add(found)
    for f, file in enumerate(files):
        (out,) = connection.execute("SELECT count(*) FROM wrong WHERE f = ?", [f]).fetchone()
        if out:
            new = file.path.with_suffix(".new")
            left = (
                f"SELECT * EXCLUDE (file_row_number) FROM read_parquet({quote_text(str(file.path))}, file_row_number=true) "
                f"WHERE file_row_number NOT IN (SELECT n FROM wrong WHERE f = {f})"
            )
            connection.execute(copy_to(left, new, dataset))
            new.replace(file.path)
            file.rows -= out


def _find_alike(connection: Any, files: Sequence[StagedFile], gone: "np.ndarray[Any, Any]") -> None:
    """Make the table `maybe` of file and place of every row whose key has the hash of another row's, or of one that is gone."""
    if sum(file.rows for file in files) > _SORTED_IN_MEMORY:
        hashes = " UNION ALL ".join(
            f"SELECT {n} AS f, h, file_row_number AS n FROM read_parquet({quote_text(str(file.keys))}, file_row_number=true)"
            for n, file in enumerate(files)
        )
        connection.register("hashes_gone", pa.table({"h": pa.array(gone, pa.uint64())}))
        counted = f"SELECT h FROM ({hashes}) UNION ALL SELECT h FROM hashes_gone"
        connection.execute(f"CREATE TEMP TABLE alike AS SELECT h FROM ({counted}) GROUP BY h HAVING count(*) > 1")
        connection.unregister("hashes_gone")
        connection.execute(f"CREATE TEMP TABLE maybe AS SELECT f, n FROM ({hashes}) SEMI JOIN alike USING (h)")
        return
    held = [parquet.read_table(file.keys)["h"].to_numpy() for file in files]
    ordered = np.concatenate([*held, gone])
    ordered.sort()
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    found: list[pa.Table] = []
    for f, hashes_of_file in enumerate(held if len(twice) else ()):
        nearest = np.minimum(np.searchsorted(twice, hashes_of_file), len(twice) - 1)
        places = np.flatnonzero(twice[nearest] == hashes_of_file)
        found.append(pa.table({"f": np.full(len(places), f, np.int32), "n": places.astype(np.int64)}))
    empty = pa.table({"f": pa.array([], pa.int32()), "n": pa.array([], pa.int64())})
    connection.register("alike", pa.concat_tables([empty, *found]))
    connection.execute("CREATE TEMP TABLE maybe AS SELECT f, n FROM alike")
    connection.unregister("alike")


def _looked_up(
    connection: Any, file: StagedFile, places: Sequence[tuple[int, str]], dataset: Dataset
) -> list[tuple[int, Sequence[Cause], str | None]]:
    """Line, cause and text of rows by their places in a staged file."""
    key = ", ".join(dataset.primary_key)
    found: list[tuple[int, Sequence[Cause], str | None]] = []
    untold: dict[int, int] = {}
    for segment in file.segments:
        here = [(place, reason) for place, reason in places if segment.first <= place < segment.first + segment.rows]
        if here:
            looked = segment.look([place - segment.first for place, _ in here])
            for (line, row), (place, reason) in zip(looked, here, strict=True):
                if row is None:
                    untold[place] = len(found)
                found.append((line, ((reason, key),), row))
    for start in range(0, len(untold), _STRETCH):
        part = list(untold)[start : start + _STRETCH]
        names = ", ".join(quote_name(item.name) for item in dataset.items)
        asked = ", ".join(str(place) for place in part)
        scan = f"read_parquet({quote_text(str(file.path))}, file_row_number=true)"
        for place, *values in connection.execute(
            f"SELECT file_row_number, {names} FROM {scan} WHERE file_row_number IN ({asked})"
        ).fetchall():
            line, causes, _ = found[untold[place]]
            found[untold[place]] = (line, causes, as_line(values))
    return found


def as_line(values: Sequence[object]) -> str:
    """A row as a person would read it in a file: its fields between commas."""
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="").writerow(["" if value is None else str(value) for value in values])
    return written.getvalue()


@dataclass(frozen=True)
class BaseFile:
    """A file of the snapshot that a load builds on: as it lies in the lake, or written anew in the form that the entry has now."""

    path: Path
    rows: int
    shared: SnapshotFile | None
    """The file in the lake, if the new snapshot can name it as it is; None for one that lies in the staging folder."""


def merge(connection: Any, writing: SnapshotWriting, staged: Sequence[StagedFile], base: Sequence[BaseFile]) -> tuple[BaseFile, ...]:
    """Write the files of `base` that hold a key of the load anew without those rows; the others stay as they are."""
    dataset = writing.dataset
    keys = ", ".join(_key_names(dataset))
    new = [file.path for file in staged if file.rows]
    if not new:
        return tuple(base)
    connection.execute(f"CREATE TEMP TABLE arriving AS SELECT {keys} FROM {scan_of(new)}")
    names = ", ".join(quote_name(item.name) for item in dataset.items)
    left: list[BaseFile] = []
    for number, file in enumerate(base):
        scan = scan_of([file.path])
        (met,) = connection.execute(f"SELECT count(*) FROM (SELECT {keys} FROM {scan}) SEMI JOIN arriving USING ({keys})").fetchone()
        if not met:
            left.append(file)
            continue
        if met < file.rows:
            target = writing.staging / f"left-{number:05}.parquet"
            connection.execute(copy_to(f"SELECT {names} FROM {scan} ANTI JOIN arriving USING ({keys})", target, dataset))
            left.append(BaseFile(target, file.rows - met, None))
        if file.shared is None:
            file.path.unlink()
    return tuple(left)


def reshape(connection: Any, writing: SnapshotWriting, old: Mapping[str, ItemType], base: Sequence[BaseFile]) -> tuple[BaseFile, ...]:
    """Write the rows of `base` anew in the form that the entry has now: an item that they do not hold is missing.

    Raises InputInvalid `change-not-possible` if a value has no equal in the new type of its item."""
    dataset = writing.dataset
    kinds = physical_columns(dataset)
    retyped = {item.name: reader_of_text(item.name, item.type) for item in dataset.items if old.get(item.name, item.type) is not item.type}
    shown = [
        f"CAST(NULL AS {kinds[item.name]}) AS {quote_name(item.name)}"
        if item.name not in old
        else f"{retyped[item.name].value if item.name in retyped else quote_name(item.name)} AS {quote_name(item.name)}"
        for item in dataset.items
    ]
    texts = ", ".join(f"CAST({quote_name(name)} AS VARCHAR) AS {quote_name(name)}" for name in retyped)
    made = []
    for number, file in enumerate(base):
        scan = f"(SELECT * {f'REPLACE ({texts})' if texts else ''} FROM {scan_of([file.path])})"
        for name, reader in retyped.items():
            if connection.execute(f"SELECT count(*) FROM {scan} WHERE {reader.unfit}").fetchone()[0]:
                kind = dataset.item(name)
                raise InputInvalid.because("change-not-possible", dataset=dataset.id, item=name, type=kind.type.value if kind else "-")
        target = writing.staging / f"base-{number:05}.parquet"
        connection.execute(copy_to(f"SELECT {', '.join(shown)} FROM {scan}", target, dataset))
        made.append(BaseFile(target, file.rows, None))
    return tuple(made)


def key_items(dataset: Dataset) -> list[str]:
    """The names of the items of the primary key, as the entry spells them."""
    return [item.name for name in dataset.primary_key if (item := dataset.item(name)) is not None]


def _key_names(dataset: Dataset) -> list[str]:
    return [quote_name(item.name) for name in dataset.primary_key if (item := dataset.item(name)) is not None]


def scan_of(paths: Sequence[Path]) -> str:
    """The rows of these files."""
    return f"read_parquet([{', '.join(quote_text(str(path)) for path in paths)}], hive_partitioning=false)"


@contextlib.contextmanager
def engine_of(writing: SnapshotWriting, previous: Snapshot | None) -> Iterator[Any]:
    """An engine that reads the snapshot before and what is staged, and writes to the staging folder."""
    lake = writing.lake
    read = [path.resolve() for path in lake.absolute([file.path for file in previous.files])] if previous else []
    with open_writer(read=read, write=writing.staging, memory_megabytes=lake.memory_megabytes) as connection:
        yield connection
