"""Parquet: what its footer says it becomes, checked before a page is read; its rows as text like those of any other file."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from huitong.errors import InputInvalid, Reason
from huitong.intake import deciding
from huitong.intake.file_table import FileTable, Shape
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import FastParquet, Overrides, Proof, ReadingColumn, SourceBatch
from huitong.model.catalog import Dataset, ItemType

_BATCH_ROWS = 50_000
_BLOCK_ROWS = 2_048
"""Rows that the engine writes out at once, whatever they weigh."""
_EXACT = 10**15
"""Whole numbers below it have at most 15 digits, which a decimal surely keeps."""
_BLOCK = 1 << 20


def open_parquet(path: Path, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> "ParquetTable":
    """Raises InputInvalid: `intake-parquet-unreadable`, `intake-parquet-too-large`, `reading-column-nested`, `reading-too-wide`."""
    metadata, schema = footer(path)
    check_footer(metadata, path.stat().st_size)
    if len(schema.names) > LIMITS.columns:
        raise InputInvalid.because("reading-too-wide", columns=len(schema.names), limit=LIMITS.columns)
    nested = [one.name for one in schema if pa.types.is_nested(one.type) or pa.types.is_binary(_plain(one.type))]
    if nested:
        raise InputInvalid(*(Reason("reading-column-nested", {"column": name[:60]}) for name in nested))
    if not schema.names:
        raise InputInvalid.because("reading-no-rows")
    longest = check_dictionaries(path, metadata, schema, deadline)
    shape = Shape("parquet", tuple(schema.names))
    shape.decide("format", "parquet", Reason("reading-format-content"))
    return ParquetTable(path, shape, overrides, dataset, deadline, schema, metadata.num_rows, longest)


def footer(path: Path) -> tuple[Any, pa.Schema]:
    """Metadata and schema. Raises InputInvalid `intake-parquet-unreadable`."""
    try:
        return parquet.read_metadata(path), parquet.read_schema(path)
    except (pa.ArrowException, OSError):
        raise InputInvalid.because("intake-parquet-unreadable") from None


def check_footer(metadata: Any, size: int) -> None:
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


def check_dictionaries(path: Path, metadata: Any, schema: pa.Schema, deadline: Deadline | None) -> int:
    """A dictionary names a long text as often as it likes, which neither the footer nor the size of the file tells. Where one holds a text
    so long that a reader's block of rows would not fit into memory, what its texts come to is counted without writing them out.

    Raises InputInvalid `intake-parquet-too-large`, `intake-parquet-unreadable`. Gives the bytes of the longest text in a dictionary."""
    texts = [one.name for one in schema if pa.types.is_string(_plain(one.type))]
    if not texts:
        return 0
    limit, found, longest = LIMITS.parquet.bytes_of(path.stat().st_size), 0, 0
    try:
        with parquet.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
            for group in range(metadata.num_row_groups):
                # the dictionary of a column is whole before its first row
                for first in file.iter_batches(batch_size=1, row_groups=[group], columns=texts):
                    here = max(_longest_in_dictionary(column) for column in first.columns)
                    break
                else:
                    continue
                longest = max(longest, here)
                if here * _BLOCK_ROWS <= LIMITS.chunk_characters:
                    continue
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=texts):
                    if deadline:
                        deadline.check()
                    found += sum(_bytes_written_out(column) for column in batch.columns)
                    if found > limit:
                        raise InputInvalid.because("intake-parquet-too-large", what="text-bytes", found=found, limit=limit)
    except (pa.ArrowException, OSError):
        raise InputInvalid.because("intake-parquet-unreadable") from None
    return longest


def _longest_in_dictionary(column: Any) -> int:
    """Bytes of the longest text that a column's dictionary holds; 0 without one."""
    if not pa.types.is_dictionary(column.type):
        return 0
    return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)


def _bytes_written_out(column: Any) -> int:
    """What the texts of a column come to when each stands for itself."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return int(pc.sum(pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)).as_py() or 0)


class ParquetTable(FileTable):
    """A Parquet file with flat columns."""

    def __init__(
        self, path: Path, shape: Shape, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None,
        schema: pa.Schema, rows: int, longest: int,
    ) -> None:  # fmt: skip
        super().__init__(path, shape, overrides, dataset, deadline)
        self._rows_at_once = max(1, min(_BATCH_ROWS, LIMITS.chunk_characters // max(1, longest)))
        self.schema = schema
        """Its Arrow schema, in the order of `names`."""
        self.rows = rows
        self.fast = FastParquet(path) if _names_tell(schema.names) and (dataset is None or not self._by_text(dataset)) else None

    def _by_text(self, dataset: Dataset) -> bool:
        """Whether an item of the dataset has to be read by way of text."""
        try:
            columns = self.match(dataset)
        except InputInvalid:
            return False  # whoever loads it is told by `match`
        asked = {columns[item.name]: item.type for item in dataset.items}
        return any(_as_text_only(self.schema.field(place).type, kind) and not self._small(place) for place, kind in asked.items())

    def _small(self, place: int) -> bool:
        """Whether the footer says that a column of whole numbers has none that a decimal does not hold."""
        if not pa.types.is_integer(self.schema.field(place).type):
            return False
        try:
            metadata = parquet.read_metadata(self.path)
            parts = [metadata.row_group(number).column(place).statistics for number in range(metadata.num_row_groups)]
            return all(part is not None and part.has_min_max and abs(part.min) < _EXACT and abs(part.max) < _EXACT for part in parts)
        except (pa.ArrowException, OSError):
            return False

    def _prove(self) -> Proof:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                if self.deadline:
                    self.deadline.check()
                digest.update(block)
        return Proof(digest.hexdigest(), self.rows, None, None)

    def batches(self) -> Iterator[SourceBatch]:
        """Typed values written as text: days and instants as ISO 8601, instants in UTC, numbers shortest."""
        before, text = 0, 0
        allowed = LIMITS.parquet.bytes_of(self.stamp[0] if self.stamp else 0)
        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=self._rows_at_once):
                    batch.validate(full=True)  # texts that are no UTF-8 are not for those who come after
                    columns = pa.table([as_text(column) for column in batch.columns], names=list(self.column_names))
                    text += columns.nbytes
                    if text > allowed:
                        raise InputInvalid.because("intake-parquet-too-large", what="text-bytes", found=text, limit=allowed)
                    lines = pa.array(range(before + 1, before + 1 + batch.num_rows), pa.int64())
                    before += batch.num_rows
                    yield SourceBatch(lines, columns)
        except FileNotFoundError:
            raise InputInvalid.because("intake-file-changed") from None
        except (pa.ArrowException, OSError):
            raise InputInvalid.because("intake-parquet-unreadable") from None

    def _column(self, name: str, facts: Any, rows: int) -> ReadingColumn:
        column = super()._column(name, facts, rows)
        found = self.schema.field(self.column_names.index(name)).type
        if name in self.overrides.types or pa.types.is_string(_plain(found)):
            return column
        kind, why = _type_of(found), Reason("reading-type-of-file", {"type": str(found)[:40]})
        if _is_number(_plain(found)) and facts is not None and facts["there"]:
            if column.why.code == "reading-type-long-digits":
                return column
            if deciding.names_a_code(name):
                return ReadingColumn(name, ItemType.TEXT, Reason("reading-type-code-name"), column.missing)
        exact = not pa.types.is_floating(_plain(found)) and kind in (ItemType.INTEGER, ItemType.DECIMAL)
        if exact and facts is not None and facts.get(f"unfit-{kind.value}"):
            kind = ItemType.TEXT  # more digits than the type would keep
        return ReadingColumn(name, kind, why, column.missing)


def _is_number(found: pa.DataType) -> bool:
    return bool(pa.types.is_integer(found) or (pa.types.is_decimal(found) and found.scale == 0))


_TAKEN = frozenset(["file_row_number", "filename", "file_index"])
"""Names by which the engine calls something else of a file."""


def _names_tell(names: Sequence[str]) -> bool:
    """Whether the engine finds each column by its name: it knows no letter case, and no two of one name."""
    folded = [name.casefold() for name in names]
    return len(set(folded)) == len(folded) and all(folded) and _TAKEN.isdisjoint(folded) and not any("\x00" in name for name in folded)


def _as_text_only(found: pa.DataType, kind: ItemType) -> bool:
    """Whether values of a column become an item's only by way of their text: moments for a text, and numbers that may have more digits
    than a decimal holds, which are then told one by one. Whole numbers are no text: a code among them has lost its zeros."""
    found = _plain(found)
    types = pa.types
    if kind is ItemType.TEXT:
        moments = types.is_date(found) or types.is_time(found) or (types.is_timestamp(found) and found.tz is None)
        return bool(moments or types.is_null(found))
    if kind is ItemType.DECIMAL:
        return bool(types.is_int64(found) or types.is_uint64(found) or (types.is_decimal(found) and found.precision > 15))
    return bool(kind is ItemType.INTEGER and types.is_decimal(found) and found.scale == 0)


def _plain(found: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_large_string(found) or pa.types.is_string_view(found):
        return pa.string()
    if pa.types.is_large_binary(found) or pa.types.is_binary_view(found) or pa.types.is_fixed_size_binary(found):
        return pa.binary()
    return found


def _type_of(found: pa.DataType) -> ItemType:
    found = _plain(found)
    types = pa.types
    if types.is_boolean(found):
        return ItemType.BOOLEAN
    if types.is_integer(found):
        return ItemType.INTEGER
    if types.is_floating(found) or types.is_decimal(found):
        return ItemType.DECIMAL
    if types.is_date(found):
        return ItemType.DATE
    return ItemType.INSTANT if types.is_timestamp(found) and found.tz is not None else ItemType.TEXT


def as_text(column: pa.Array) -> pa.Array:
    """A column of any flat type as text; an empty text is a missing value, as in every other file."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        zoned = column.type.tz is not None
        precise = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        if zoned:
            precise = precise.cast(pa.timestamp("us", "UTC"))
        written = pc.strftime(precise.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S")
        written = pc.replace_substring_regex(written, r"\.0+$", "")
        return pc.binary_join_element_wise(written, "Z", "") if zoned else pc.replace_substring(written, "T", " ")
    if pa.types.is_duration(column.type):
        seconds = column.cast(pa.duration("us"), safe=False).cast(pa.int64())
        return pa.array([None if one is None else _as_clock(one) for one in seconds.to_pylist()], pa.string())
    written = column.cast(pa.string())
    return pc.if_else(pc.equal(written, ""), pa.scalar(None, pa.string()), written)


def _as_clock(microseconds: int) -> str:
    """Hours, minutes and seconds of a length of time."""
    seconds, part = divmod(abs(microseconds), 1_000_000)
    sign = "-" if microseconds < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" + (f".{part:06d}".rstrip("0") if part else "")
