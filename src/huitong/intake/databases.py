"""Tables and views of PostgreSQL, MySQL, MariaDB and SQLite as a source of rows, like any file.

One read-only transaction sees one state of the database from the first row to the last. The name of the table is looked up in the
database's own catalogue, and only names found there stand in a statement, quoted. Values come as text, the way the database shows
them; of a dataset's source only the columns that its items name are read. Nothing that an engine says reaches an error text.
"""

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from huitong.errors import InputInvalid, Reason
from huitong.intake.addresses import Address, AllowedHosts, Engine, read_address
from huitong.intake.credentials import Credentials
from huitong.intake.database_drivers import Column, Connection, Kind, Mysql, Postgresql, Sqlite, clear_errors
from huitong.intake.deciding import names_a_code
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.plans import LoadSource, SourceKind
from huitong.intake.source import Decision, Proof, Reading, ReadingColumn, SourceBatch, SourceTable, names_of, normal
from huitong.intake.source_rules import source_rules
from huitong.model.catalog import Dataset, ItemType, LoadMode

UNREADABLE = "row-value-unreadable"
"""Reason code of a row with a value that is no text: bytes, a NUL character, characters that do not decode."""
LONGEST_INTEGER = 15
"""Digits that a number is sure to keep everywhere (a double holds 15): a longer whole number by declaration is an identifier."""


_ORDERED = (Kind.WHOLE, Kind.DECIMAL, Kind.DAY, Kind.INSTANT, Kind.MOMENT)


# --- opening --------------------------------------------------------------------------------------------------------------


def open_database(
    source: LoadSource,
    *,
    office: str,
    credentials: Credentials,
    allowed_hosts: AllowedHosts,
    inbox: Path,
    time_zone: str,
    dataset: Dataset | None = None,
    mode: LoadMode = LoadMode.REPLACE,
    since: str | None = None,
    deadline: Deadline | None = None,
    certificates: Path | None = None,
) -> "DatabaseTable":
    """The table or view that the source names, ready to be read.

    `office` is whose credential signs in. With `dataset`, only the columns are read that its items name; without, all. With
    `source.changed_item`, `high_water` tells how far was read, and only what lies above `since` (the `high_water` of the load
    before) is read: for a merge some of it again (`overlap_*` of sources.toml), for an append each row exactly once, which only a
    column allows that is unique and never missing. A wall-clock time without zone is one of `time_zone` where an instant is wanted.
    `certificates` is a PEM file of the authorities that servers prove their names by; None: those of this machine.

    Raises InputInvalid `source-address-*`, `source-table-unknown`, `source-column-*`, `source-changed-*`; Refused
    `source-host-*`, `credential-of-other-server`; NotFound `credential-unknown`; Unavailable `source-unreachable`,
    `source-login-refused`, `source-tls-failed`, `source-read-failed`, `load-time-limit`."""
    if source.kind is not SourceKind.DATABASE or not source.table:
        raise InputInvalid.because("source-address-invalid")
    table = DatabaseTable(
        _Way(source, read_address(source.address), office, credentials, allowed_hosts, inbox, certificates),
        zone=ZoneInfo(time_zone),
        dataset=dataset,
        mode=mode,
        since=since,
        deadline=deadline or Deadline(LIMITS.load_seconds),
    )
    try:
        table.begin()
    except BaseException:
        table.close()
        raise
    return table


@dataclass(frozen=True)
class _Way:
    """How to get to the table; may be gone more than once."""

    source: LoadSource
    address: Address
    office: str
    credentials: Credentials
    allowed_hosts: AllowedHosts
    inbox: Path
    certificates: Path | None

    def connect(self, deadline: Deadline) -> Connection:
        server = self.address.server
        if server is None:
            return Sqlite(file_of_inbox(self.inbox, self.address.database), deadline)
        user, password = "", ""
        if self.source.credential is not None:
            user, password = self.credentials.user_and_password(self.source.credential, office=self.office, server=str(server))
        place = self.allowed_hosts.place(server)
        kind = Postgresql if self.address.engine is Engine.POSTGRESQL else Mysql
        return kind(place, self.address.database, user, password, self.certificates, deadline)


def file_of_inbox(inbox: Path, relative: str) -> Path:
    """The file of that path below the inbox. Raises InputInvalid `source-file-outside` for one that leads elsewhere, by dots or by a
    link, `source-file-missing` if there is none."""
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts or "\x00" in relative or not path.parts:
        raise InputInvalid.because("source-file-outside")
    root = inbox.resolve()
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputInvalid.because("source-file-missing", file=relative[:200]) from None
    if not found.is_relative_to(root / path.parts[0]):  # nor by a link from one office's folder into another's
        raise InputInvalid.because("source-file-outside")
    if not found.is_file():
        raise InputInvalid.because("source-file-missing", file=relative[:200])
    return found


def split_table(table: str) -> tuple[str | None, str]:
    """`schema.table` or `table`, each part perhaps in double quotes. Raises InputInvalid `source-table-unknown`."""
    found = re.fullmatch(r'(?:(?:"([^"\x00]{1,128})"|([^".\x00]{1,128}))\.)?(?:"([^"\x00]{1,128})"|([^".\x00]{1,128}))', table)
    if found is None:
        raise InputInvalid.because("source-table-unknown", table=table[:200])
    return found[1] or found[2], found[3] or found[4]


# --- the table ------------------------------------------------------------------------------------------------------------


class DatabaseTable(SourceTable):
    """Rows of a table or view; `lines` of its batches count them from 1, in the order in which the database gave them."""

    def __init__(
        self, way: _Way, *, zone: ZoneInfo, dataset: Dataset | None, mode: LoadMode, since: str | None, deadline: Deadline
    ) -> None:
        self._way = way
        self._zone = zone
        self._dataset = dataset
        self._once = mode is LoadMode.APPEND
        self._since = since
        self._deadline = deadline
        self._connection: Connection | None = None
        self._relation = ""
        self._columns: tuple[Column, ...] = ()
        self._left_out: tuple[str, ...] = ()
        self._where = ""
        self._high_water: str | None = since
        self._reading: Reading | None = None
        self._proof: Proof | None = None
        self._passing = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return tuple(column.name for column in self._columns)

    @property
    def high_water(self) -> str | None:
        """Up to which value of `changed_item` the rows were read, in the database's own form; None without such a column, or as long
        as it has no value. It never lies in the future of the database's clock: a row that was stamped with a day to come must
        not hide those that come before that day."""
        return self._high_water

    @property
    def reading(self) -> Reading:
        """Columns with their types as the database declares them, the rows and missing values counted by it."""
        if self._reading is None:
            with self._passing:
                self._reading = self._reading or self._read()
        return self._reading

    def proof(self) -> Proof:
        """SHA-256 over the rows as CSV (every value quoted, a missing one empty), in the order in which they were read, and their
        number. Reads them if nobody did."""
        if self._proof is None:
            for _ in self.batches():
                pass
        assert self._proof is not None
        return self._proof

    def batches(self) -> Iterator[SourceBatch]:
        """All rows, in bounded memory. One that stops in the middle makes the next one begin anew, with a new state."""
        with self._passing:
            connection = self._connection or self.begin()
            shown = ", ".join(column.shown for column in self._columns)
            statement = f"SELECT {shown} FROM {self._relation}{self._where}"
            digest = hashlib.sha256()
            done = 0
            whole = False
            try:
                with clear_errors(self._deadline):
                    for arrays, unreadable in connection.rows(statement):
                        batch = self._batch(arrays, unreadable, done)
                        done += len(batch.lines) + len(batch.broken)
                        _add(digest, batch.columns)
                        self._deadline.check()
                        yield batch
                self._deadline.check()
                whole = True
            finally:
                if not whole:
                    self.close()
            self._proof = self._proof or Proof(digest.hexdigest(), done, None, None)

    def close(self) -> None:
        """End the transaction and the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def begin(self) -> Connection:
        """Connect, begin the transaction, look up the table and how far to read."""
        connection = self._way.connect(self._deadline)
        self._connection = connection
        self._reading = None
        with clear_errors(self._deadline):
            connection.begin()
            asked = self._way.source.table or ""
            found = connection.look_up(*split_table(asked))
            if found is None:
                raise InputInvalid.because("source-table-unknown", table=asked[:200])
            self._relation, columns = found
            self._choose(columns)
            if self._way.source.changed_item is not None:
                self._bound(connection, columns, self._way.source.changed_item)
        return connection

    def _choose(self, columns: Sequence[Column]) -> None:
        known = None if self._dataset is None else names_of(self._dataset)
        chosen = [column for column in columns if known is None or normal(column.name) in known]
        unshowable = [column for column in chosen if column.kind is Kind.BYTES]
        if known is not None and unshowable:
            raise InputInvalid(
                *(Reason("source-column-bytes", {"column": column.name[:60], "type": column.declared[:40]}) for column in unshowable)
            )
        self._columns = tuple(column for column in chosen if column.kind is not Kind.BYTES)
        self._left_out = tuple(column.name for column in columns if column not in self._columns)
        if not self._columns:
            raise InputInvalid.because("source-column-none", table=(self._way.source.table or "")[:200])

    def _bound(self, connection: Connection, columns: Sequence[Column], changed: str) -> None:
        """Which rows are read, and up to where: what `since` and the database's own clock say."""
        found = next((column for column in columns if column.name == changed), None) or next(
            (column for column in columns if normal(column.name) == normal(changed)), None
        )
        if found is None:
            raise InputInvalid.because("source-changed-unknown", column=changed[:60])
        if found.kind not in _ORDERED:
            raise InputInvalid.because("source-changed-type", column=found.name[:60], type=found.declared[:40])
        if self._once and not found.settled:
            raise InputInvalid.because("source-changed-not-unique", column=found.name[:60])
        name = connection.quoted(found.name)
        above = []
        if self._since is not None:
            start = self._since if self._once else rewound(self._since)
            above = [f"{name} {'>' if self._once else '>='} {connection.mark(_checked(start, found), found.kind)}"]
        limit = self._now_as(connection.now(), found.kind)
        below = [] if limit is None else [f"{name} <= {connection.mark(limit, found.kind)}"]
        highest = connection.highest(found, self._relation, _where(above + below))
        if highest is not None:
            self._high_water = _checked(highest, found)
        if not self._once:
            self._where = _where([f"({above[0]} OR {name} IS NULL)"]) if above else ""
        elif self._high_water is None:
            self._where = " WHERE 1 = 0"
        else:
            self._where = _where([*above, f"{name} <= {connection.mark(_checked(self._high_water, found), found.kind)}"])

    def _now_as(self, now: datetime, kind: Kind) -> str | None:
        """The database's present instant in the form of a column; None for numbers."""
        local = now.astimezone(self._zone)
        if kind is Kind.INSTANT:
            return now.astimezone(UTC).isoformat(" ")
        if kind is Kind.MOMENT:
            return local.replace(tzinfo=None).isoformat(" ")
        return local.date().isoformat() if kind is Kind.DAY else None

    def _read(self) -> Reading:
        connection = self._connection or self.begin()
        counted = ["count(*)"]
        for column in self._columns:
            counted += [f"count({connection.quoted(column.name)})", connection.misfits(column)]
        with clear_errors(self._deadline):
            rows, *counts = connection.counts(f"SELECT {', '.join(counted)} FROM {self._relation}{self._where}")
        columns = []
        for column, there, misfits in zip(self._columns, counts[0::2], counts[1::2], strict=True):
            kind, why = (ItemType.TEXT, Reason("source-why-mixed", {"type": column.declared[:40]})) if misfits else self._type(column)
            columns.append(ReadingColumn(column.name, kind, why, rows - there))
        engine = self._way.address.engine
        decisions = [Decision("format", engine.value, Reason("source-why-address", {"engine": engine.value}))]
        if self._left_out:
            left: dict[str, str | int] = {"count": len(self._left_out), "columns": ", ".join(self._left_out)[:200]}
            decisions.append(Decision("columns", ", ".join(self.names)[:200], Reason("source-why-left-out", left)))
        if self._since is not None and self._where:
            changed: dict[str, str | int] = {"column": (self._way.source.changed_item or "")[:60], "since": self._since}
            decisions.append(Decision("rows", str(rows), Reason("source-why-since", changed)))
        return Reading(engine.value, None, None, None, (), None, rows, tuple(columns), tuple(decisions))

    def _type(self, column: Column) -> tuple[ItemType, Reason]:
        declared = Reason("source-why-declared", {"type": column.declared[:40]})
        if column.padded:
            return ItemType.TEXT, Reason("source-why-padded", {"type": column.declared[:40]})
        if column.kind is Kind.WHOLE and column.digits > LONGEST_INTEGER:
            return ItemType.TEXT, Reason("source-why-long-number", {"type": column.declared[:40], "digits": column.digits})
        if column.kind is Kind.MOMENT:
            return ItemType.INSTANT, Reason("source-why-moment", {"type": column.declared[:40], "zone": self._zone.key})
        if column.kind in (Kind.WHOLE, Kind.DECIMAL) and names_a_code(column.name):
            return ItemType.TEXT, Reason("reading-type-code-name")
        types = {
            Kind.WHOLE: ItemType.INTEGER,
            Kind.DECIMAL: ItemType.DECIMAL,
            Kind.BOOLEAN: ItemType.BOOLEAN,
            Kind.DAY: ItemType.DATE,
            Kind.INSTANT: ItemType.INSTANT,
        }
        return types.get(column.kind, ItemType.TEXT), declared

    def _wanted(self, column: Column) -> ItemType:
        """The type that the values are to be read as: the item's, else what is suggested."""
        if self._dataset is not None:
            item = self._dataset.item(names_of(self._dataset).get(normal(column.name), ""))
            if item is not None:
                return item.type
        return self._type(column)[0]

    def _batch(self, arrays: Sequence[pa.StringArray], unreadable: Sequence[int], before: int) -> SourceBatch:
        rows = len(arrays[0]) if arrays else 0
        bad: dict[int, str] = dict.fromkeys(unreadable, UNREADABLE)
        shown = []
        for column, values in zip(self._columns, arrays, strict=True):
            if column.kind is Kind.TEXT:
                for position in _where_true(pc.match_substring(values, "\x00")):
                    bad[position] = UNREADABLE
                if column.wide:
                    for position in _where_true(pc.greater(pc.utf8_length(values), LIMITS.field_characters)):
                        bad[position] = "row-field-too-long"
            shown.append(self._formed(column, values))
        lines = pa.array(range(before + 1, before + rows + 1), pa.int64())
        table = pa.table(shown, names=list(self.column_names))
        if bad:
            kept = pa.array([position not in bad for position in range(rows)])
            lines, table = lines.filter(kept), table.filter(kept)
        return SourceBatch(lines, table, tuple((before + position + 1, code) for position, code in sorted(bad.items())))

    def _formed(self, column: Column, values: pa.StringArray) -> pa.StringArray:
        """The values in a form that the item's type reads without loss."""
        wanted = self._wanted(column)
        if column.single:
            values = values.cast(pa.float64()).cast(pa.float32()).cast(pa.string())
        if column.kind is Kind.DECIMAL and wanted in (ItemType.DECIMAL, ItemType.INTEGER):
            return pc.replace_substring_regex(values, r"^(-?\d+)(?:\.0*|(\.\d*[1-9])0+)$", r"\1\2")
        if column.kind is Kind.MOMENT and wanted is ItemType.INSTANT:
            return _with_zone(values, self._zone.key)
        return values


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _where_true(flags: pa.BooleanArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(flags, False)).to_pylist()
    return found


def _add(digest: "hashlib._Hash", table: pa.Table) -> None:
    out = BytesIO()
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    digest.update(out.getbuffer())


_MARK = re.compile(r"-?\d{1,38}(?:\.\d{1,38})?|\d{4,6}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[+-]\d\d(?::\d\d){0,2}|Z)?)?")


def _checked(mark: str, column: Column) -> str:
    """The mark if it is of the form that its column has: nothing else ever stands in a statement.

    Raises InputInvalid `source-changed-value`."""
    number = re.fullmatch(r"-?\d+(\.\d+)?", mark) is not None
    if _MARK.fullmatch(mark) is None or number is not (column.kind in (Kind.WHOLE, Kind.DECIMAL)):
        raise InputInvalid.because("source-changed-value", column=column.name[:60])
    return mark


def rewound(mark: str) -> str:
    """Where a merge begins to read again: as far below the mark as `sources.toml` says."""
    rules = source_rules()
    if re.fullmatch(r"-?\d+(\.\d+)?", mark):
        return str(Decimal(mark) - rules.overlap_numbers)
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", mark):
            return str(date.fromisoformat(mark) - timedelta(seconds=max(86_400, rules.overlap_seconds)))
        return (datetime.fromisoformat(mark) - timedelta(seconds=rules.overlap_seconds)).isoformat(" ")
    except (ValueError, OverflowError):
        return mark


def _with_zone(values: pa.StringArray, zone: str) -> pa.StringArray:
    """Wall-clock times as instants of UTC. One that does not exist there, or twice, or is no time at all, stays as it is: without a
    zone it is no instant, and its row is reported."""
    found = [_instant_of(value, zone) for value in values.to_pylist()] if _odd(values) else None
    if found is not None:
        return pa.array(found, pa.string())
    moments = values.cast(pa.timestamp("us"))
    early = pc.assume_timezone(moments, zone, ambiguous="earliest", nonexistent="earliest")
    late = pc.assume_timezone(moments, zone, ambiguous="latest", nonexistent="latest")
    written = pc.strftime(early.cast(pa.timestamp("us", "UTC")), "%Y-%m-%d %H:%M:%SZ")
    plain = pc.replace_substring(written, ".000000Z", "Z")
    return pc.if_else(pc.equal(early.cast(pa.int64()), late.cast(pa.int64())), plain, values)


def _odd(values: pa.StringArray) -> bool:
    try:
        values.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return True
    return False


def _instant_of(value: str | None, zone: str) -> str | None:
    try:
        return _with_zone(pa.array([value], pa.string()), zone)[0].as_py() if value and not _odd(pa.array([value])) else value
    except pa.ArrowInvalid:
        return value
