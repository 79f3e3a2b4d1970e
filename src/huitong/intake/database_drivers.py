"""The drivers of PostgreSQL, MySQL, MariaDB and SQLite behind one face: a read-only transaction that sees one state of the database.

The only file of the intake that speaks to a database. What the table above asks for are whole statements over quoted names that were
found in the database's own catalogue; what goes out are columns of text.
"""

import contextlib
import os
import re
import resource
import socket
import sqlite3
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pymysql
import pymysql.converters
import pymysql.cursors
from pyarrow import csv

from huitong.errors import HuitongError, InputInvalid, Unavailable
from huitong.intake.addresses import Place, Tls
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source_rules import source_rules


class Kind(StrEnum):
    """What a column of a database holds, as far as reading it goes."""

    WHOLE = "whole"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DAY = "day"
    INSTANT = "instant"
    MOMENT = "moment"
    """Day and time of some wall clock, without its zone."""
    TEXT = "text"
    BYTES = "bytes"


@dataclass(frozen=True)
class Column:
    """A column as the database's catalogue describes it."""

    name: str
    declared: str
    kind: Kind
    shown: str
    """SQL expression of its value as the database shows it."""
    digits: int = 0
    """Of a whole number by declaration; 0 if unknown."""
    wide: bool = False
    """Whether a value may be longer than a file's field may be."""
    settled: bool = False
    """Whether it is unique and never missing."""
    padded: bool = False
    """Whether a number is shown with zeros before it."""
    single: bool = False
    """Whether it is a number of single precision that is shown as a double."""


@contextlib.contextmanager
def clear_errors(deadline: Deadline) -> Iterator[None]:
    """What an engine may end with, as a reason."""
    try:
        yield
    except HuitongError:
        raise
    except (psycopg.Error, pymysql.Error, sqlite3.Error, OSError, RuntimeError, UnicodeError, ValueError) as error:
        deadline.check()
        if getattr(error, "sqlstate", None) == "42501" or (isinstance(error, pymysql.Error) and error.args[:1] in ((1142,), (1143,))):
            raise InputInvalid.because("source-table-unreadable") from None
        raise Unavailable.because("source-read-failed") from None


class Connection(ABC):
    """One read-only transaction of an engine."""

    @abstractmethod
    def begin(self) -> None:
        """Begin the transaction: one state of the database, read only."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """The name as an identifier: the only way in which a name gets into a statement."""

    @abstractmethod
    def look_up(self, schema: str | None, table: str) -> tuple[str, Sequence[Column]] | None:
        """The relation, quoted, and its columns, as the database's catalogue has them; None if it has none that may be read."""

    @abstractmethod
    def rows(self, statement: str) -> Iterator[tuple[Sequence[pa.StringArray], Sequence[int]]]:
        """The rows as text columns, some at a time, with the positions of rows that hold something that is no text."""

    @abstractmethod
    def highest(self, column: Column, relation: str, where: str) -> str | None:
        """The highest value of a column, as text that `mark` takes."""

    @abstractmethod
    def counts(self, statement: str) -> Sequence[int]:
        """The numbers of the one row."""

    @abstractmethod
    def now(self) -> datetime:
        """The database's clock."""

    @abstractmethod
    def mark(self, mark: str, kind: Kind) -> str:
        """A value to compare a column of that kind with; `mark` has been checked."""

    def misfits(self, _column: Column) -> str:
        """SQL that counts the values which are not of the declared type."""
        return "0"

    @abstractmethod
    def close(self) -> None:
        """End it, whatever is under way."""


class _Watch:
    """Cuts a connection when the time is over, whatever the other side does."""

    def __init__(self, deadline: Deadline, wire: int) -> None:
        self._done = threading.Event()
        self._wire = socket.socket(fileno=os.dup(wire))
        threading.Thread(target=self._look, args=(deadline,), daemon=True).start()

    def _look(self, deadline: Deadline) -> None:
        while not self._done.wait(0.2):
            if deadline.passed:
                with contextlib.suppress(OSError):
                    self._wire.shutdown(socket.SHUT_RDWR)
                break
        self._wire.close()

    def end(self) -> None:
        """Stop watching."""
        self._done.set()


def _wire_to(place: Place, deadline: Deadline) -> tuple[str, socket.socket]:
    """A connection to the first address that answers. Raises Unavailable `source-unreachable`."""
    for address in place.addresses:
        deadline.check()
        try:
            return address, socket.create_connection((address, place.server.port), timeout=source_rules().connect_seconds)
        except OSError:
            continue
    raise Unavailable.because("source-unreachable", server=str(place.server))


class Postgresql(Connection):
    """PostgreSQL by psycopg; rows come as one COPY."""

    _KINDS: Mapping[str, Kind] = {
        "int2": Kind.WHOLE,
        "int4": Kind.WHOLE,
        "int8": Kind.WHOLE,
        "numeric": Kind.DECIMAL,
        "money": Kind.DECIMAL,
        "float4": Kind.DECIMAL,
        "float8": Kind.DECIMAL,
        "bool": Kind.BOOLEAN,
        "date": Kind.DAY,
        "timestamp": Kind.MOMENT,
        "timestamptz": Kind.INSTANT,
        "bytea": Kind.BYTES,
    }
    _CASTS: Mapping[Kind, str] = {
        Kind.WHOLE: "pg_catalog.numeric",
        Kind.DECIMAL: "pg_catalog.numeric",
        Kind.DAY: "pg_catalog.date",
        Kind.MOMENT: "pg_catalog.timestamp",
        Kind.INSTANT: "pg_catalog.timestamptz",
    }
    _COLUMNS = """
        WITH RECURSIVE bases(oid, base, modifier) AS (
            SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t
            UNION ALL
            SELECT b.oid, t.typbasetype, CASE WHEN b.modifier >= 0 THEN b.modifier ELSE t.typtypmod END
            FROM bases b JOIN pg_catalog.pg_type t ON t.oid = b.base WHERE t.typtype = 'd'
        )
        SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typname,
            CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE b.modifier END,
            a.attnotnull AND EXISTS (
                SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
            )
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN bases b ON b.oid = a.atttypid
        JOIN pg_catalog.pg_type t ON t.oid = b.base AND t.typtype <> 'd'
        WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND n.nspname = coalesce(%s::text, (
                SELECT s FROM unnest(%s::text[]) WITH ORDINALITY AS path(s, place)
                JOIN pg_catalog.pg_namespace m ON m.nspname = s
                JOIN pg_catalog.pg_class d ON d.relnamespace = m.oid AND d.relname = %s AND d.relkind IN ('r', 'p', 'v', 'm', 'f')
                ORDER BY place LIMIT 1
            ))
        ORDER BY a.attnum"""

    def __init__(
        self, place: Place, database: str, user: str, password: str, certificates: Path | None, deadline: Deadline
    ) -> None:
        address, wire = _wire_to(place, deadline)
        wire.close()
        tls = {Tls.OFF: "disable", Tls.ENCRYPT: "require", Tls.VERIFY: "verify-full"}[place.tls]
        options: dict[str, Any] = {"sslrootcert": str(certificates) if certificates else "system"} if place.tls is Tls.VERIFY else {}
        if place.tls is Tls.OFF:
            options["require_auth"] = "!password"  # never in the clear where everyone can read it
        try:
            self._connection = psycopg.connect(
                host=place.server.host,
                hostaddr=address,
                port=place.server.port,
                dbname=database,
                user=user or "huitong",
                password=password,
                passfile=os.devnull,
                sslmode=tls,
                gssencmode="disable",
                target_session_attrs="any",
                connect_timeout=source_rules().connect_seconds,
                client_encoding="UTF8",
                application_name="huitong",
                options="",
                keepalives=1,
                keepalives_idle=30,
                tcp_user_timeout=60_000,
                autocommit=True,
                **options,
            )
        except psycopg.Error as error:
            deadline.check()
            words = str(error)
            code = "source-tls-failed" if "SSL" in words or "certificate" in words else "source-login-refused"
            raise Unavailable.because(code, server=str(place.server)) from None
        self._watch = _Watch(deadline, self._connection.fileno())

    def begin(self) -> None:
        """Begin the transaction."""
        (path,) = self._row("SELECT pg_catalog.current_schemas(false)")
        self._path = list(path)
        self._connection.autocommit = False
        self._connection.read_only = True
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        milliseconds = LIMITS.load_seconds * 1_000
        for name, value in {
            "statement_timeout": str(milliseconds),
            "lock_timeout": str(source_rules().connect_seconds * 1_000),
            "idle_in_transaction_session_timeout": str(milliseconds),
            "search_path": "pg_catalog",
            "TimeZone": "UTC",
            "DateStyle": "ISO, YMD",
            "IntervalStyle": "iso_8601",
            "extra_float_digits": "1",
            "bytea_output": "hex",
        }.items():
            self._connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", (name, value))

    def _row(self, statement: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row

    def quoted(self, name: str) -> str:
        """The name as an identifier."""
        return '"' + name.replace('"', '""') + '"'

    def look_up(self, schema: str | None, table: str) -> tuple[str, Sequence[Column]] | None:
        """From the database's own catalogue."""
        rows = self._connection.execute(self._COLUMNS, (table, schema, self._path, table)).fetchall()
        if not rows:
            return None
        relation = f"{self.quoted(rows[0][0])}.{self.quoted(rows[0][1])}"
        return relation, [self._column(*row[2:]) for row in rows]

    def _column(self, name: str, declared: str, base: str, modifier: int, settled: bool) -> Column:
        kind = self._KINDS.get(base, Kind.TEXT)
        digits = 0
        if base == "numeric" and modifier >= 4:
            precision, scale = ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF
            if scale == 0:
                kind, digits = Kind.WHOLE, precision
        shown = f"{self.quoted(name)}{'::pg_catalog.numeric' if base == 'money' else ''}::pg_catalog.text"
        wide = kind is Kind.TEXT and not (base in ("varchar", "bpchar") and modifier >= 0)
        if wide:
            shown = f"pg_catalog.left({shown}, {LIMITS.field_characters + 1})"
        return Column(name, declared, kind, shown, digits, wide, settled)

    def rows(self, statement: str) -> Iterator[tuple[Sequence[pa.StringArray], Sequence[int]]]:
        """The rows as text columns."""
        copied = f"COPY ({statement}) TO STDOUT (FORMAT csv, FORCE_QUOTE *, ENCODING 'UTF8')"
        with self._connection.cursor() as cursor, cursor.copy(copied.encode()) as copy:
            held, rows = bytearray(), 0
            for row in copy:
                held += row
                rows += 1
                if rows >= source_rules().batch_rows or len(held) >= LIMITS.chunk_characters:
                    yield _columns_of_csv(held, rows), ()
                    held, rows = bytearray(), 0
            if rows:
                yield _columns_of_csv(held, rows), ()

    def highest(self, column: Column, relation: str, where: str) -> str | None:
        """The highest value."""
        (found,) = self._row(f"SELECT pg_catalog.max({self.quoted(column.name)})::pg_catalog.text FROM {relation}{where}")
        return None if found is None else str(found)

    def counts(self, statement: str) -> Sequence[int]:
        """The numbers of the one row."""
        return [int(number) for number in self._row(statement)]

    def now(self) -> datetime:
        """The database's clock."""
        (found,) = self._row("SELECT pg_catalog.clock_timestamp()")
        assert isinstance(found, datetime)
        return found

    def mark(self, mark: str, kind: Kind) -> str:
        """A literal of the column's kind."""
        counting = kind is Kind.WHOLE and -(2**63) <= int(mark) < 2**63 if mark.lstrip("-").isdigit() else False
        return f"'{mark}'::{'pg_catalog.int8' if counting else self._CASTS[kind]}"  # a numeric would pass an integer's index by

    def close(self) -> None:
        """End it."""
        self._watch.end()
        with contextlib.suppress(psycopg.Error):
            self._connection.close()


_MOST_COLUMNS = 1_664
"""Of one statement of PostgreSQL."""
_TEXTS = dict.fromkeys((f"f{position}" for position in range(_MOST_COLUMNS)), pa.string())


def _columns_of_csv(held: bytearray, rows: int) -> Sequence[pa.StringArray]:
    table = csv.read_csv(
        pa.BufferReader(bytes(held)),
        csv.ReadOptions(use_threads=False, block_size=len(held) + 1, autogenerate_column_names=True),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(column_types=_TEXTS, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False),
    )
    if table.num_rows != rows:
        raise ValueError("another number of rows than the database sent")
    return [column.combine_chunks() for column in table.columns]


class _RefusesPlugin:
    """A way to sign in that would send the password as it is."""

    def __init__(self, _connection: object) -> None:
        raise pymysql.OperationalError(1045, "the password is never sent in the clear")


_ENCODERS: Any = dict(pymysql.converters.encoders)
"""No decoders beside them: every value stays the text that the server sent."""
_PLUGINS: Any = dict.fromkeys((b"mysql_clear_password", "mysql_clear_password"), _RefusesPlugin)
"""The driver asks for a plugin by its name as bytes."""


class Mysql(Connection):
    """MySQL and MariaDB by PyMySQL; rows come unbuffered."""

    _WHOLE: Mapping[str, int] = {"tinyint": 3, "smallint": 5, "mediumint": 8, "int": 10, "bigint": 0, "year": 4, "bit": 0}
    _KINDS: Mapping[str, Kind] = {
        "decimal": Kind.DECIMAL,
        "float": Kind.DECIMAL,
        "double": Kind.DECIMAL,
        "date": Kind.DAY,
        "datetime": Kind.MOMENT,
        "timestamp": Kind.INSTANT,
        "binary": Kind.BYTES,
        "varbinary": Kind.BYTES,
        "tinyblob": Kind.BYTES,
        "blob": Kind.BYTES,
        "mediumblob": Kind.BYTES,
        "longblob": Kind.BYTES,
        "geometry": Kind.BYTES,
        "point": Kind.BYTES,
        "linestring": Kind.BYTES,
        "polygon": Kind.BYTES,
        "multipoint": Kind.BYTES,
        "multilinestring": Kind.BYTES,
        "multipolygon": Kind.BYTES,
        "geometrycollection": Kind.BYTES,
    }
    _COLUMNS = """
        SELECT c.table_schema, c.table_name, c.column_name, c.column_type, c.data_type, c.numeric_precision, c.numeric_scale,
            c.is_nullable = 'NO' AND EXISTS (
                SELECT 1 FROM information_schema.statistics s
                WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name AND s.non_unique = 0
                GROUP BY s.index_name HAVING count(*) = 1 AND max(s.column_name) = c.column_name
            )
        FROM information_schema.columns c
        WHERE c.table_schema = coalesce(%s, database()) AND c.table_name = %s
        ORDER BY c.ordinal_position"""

    def __init__(
        self, place: Place, database: str, user: str, password: str, certificates: Path | None, deadline: Deadline
    ) -> None:
        _, wire = _wire_to(place, deadline)
        # the socket stands, so the driver looks up no name and opens no other; local files are never sent
        self._connection: Any = pymysql.Connection(
            host=place.server.host,
            port=place.server.port,
            user=(user or "huitong").encode(),
            password=password.encode(),
            database=database,
            charset="utf8mb4",
            conv=_ENCODERS,
            local_infile=False,
            autocommit=True,
            ssl=_tls_context(place.tls, certificates),
            ssl_disabled=place.tls is Tls.OFF,
            auth_plugin_map=_PLUGINS,
            read_timeout=LIMITS.load_seconds,
            write_timeout=source_rules().connect_seconds,
            defer_connect=True,
            program_name="huitong",
            cursorclass=pymysql.cursors.SSCursor,
        )
        watch = _Watch(deadline, wire.fileno())
        try:
            self._connection.connect(wire)
        except (pymysql.Error, OSError, RuntimeError, ValueError) as error:
            watch.end()
            wire.close()
            _cut(self._connection)
            deadline.check()
            words = str(error)
            about_tls = isinstance(error, ssl.SSLError) or "SSL" in words or "certificate" in words
            code = "source-tls-failed" if about_tls else "source-login-refused"
            raise Unavailable.because(code, server=str(place.server)) from None
        self._watch = watch

    def begin(self) -> None:
        """Begin the transaction."""
        (version,) = self._row("SELECT version()")
        seconds = LIMITS.load_seconds
        limit = f"max_statement_time = {seconds}" if "MariaDB" in version else f"max_execution_time = {seconds * 1_000}"
        settings = f"SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = {LIMITS.load_seconds}, {limit}"
        for statement in (
            settings,
            f"SET SESSION lock_wait_timeout = {source_rules().connect_seconds}",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ):
            with self._connection.cursor(pymysql.cursors.Cursor) as cursor:
                cursor.execute(statement)

    def _row(self, statement: str) -> tuple[Any, ...]:
        with self._connection.cursor(pymysql.cursors.Cursor) as cursor:
            cursor.execute(statement)
            row: tuple[Any, ...] = cursor.fetchone()
            return row

    def quoted(self, name: str) -> str:
        """The name as an identifier."""
        return "`" + name.replace("`", "``") + "`"

    def look_up(self, schema: str | None, table: str) -> tuple[str, Sequence[Column]] | None:
        """From the database's own catalogue."""
        with self._connection.cursor(pymysql.cursors.Cursor) as cursor:
            cursor.execute(self._COLUMNS, (schema, table))
            rows = [row for row in cursor.fetchall() if row[1] == table]
        if not rows:
            return None
        relation = f"{self.quoted(rows[0][0])}.{self.quoted(rows[0][1])}"
        return relation, [self._column(*row[2:]) for row in rows]

    def _column(self, name: str, declared: str, base: str, precision: str | None, scale: str | None, settled: str) -> Column:
        base = base.lower()
        kind = Kind.WHOLE if base in self._WHOLE else self._KINDS.get(base, Kind.TEXT)
        digits = self._WHOLE.get(base, 0)
        if base == "decimal" and scale == "0":
            kind, digits = Kind.WHOLE, int(precision or 0)
        shown = self.quoted(name)
        wide = base in ("text", "mediumtext", "longtext", "json", "tinytext")
        if base == "bit":
            shown = f"CAST({shown} AS UNSIGNED)"
        elif base == "float":  # shown with 6 digits, unless it is asked for as a double, and then with those of the double
            shown = f"({shown} + 0e0)"
        elif kind is Kind.INSTANT:
            shown = f"concat({shown}, 'Z')"
        elif wide:
            shown = f"left({shown}, {LIMITS.field_characters + 1})"
        return Column(name, declared, kind, shown, digits, wide, settled == "1", "zerofill" in declared.lower(), base == "float")

    def rows(self, statement: str) -> Iterator[tuple[Sequence[pa.StringArray], Sequence[int]]]:
        """The rows as text columns."""
        cursor = self._connection.cursor()
        cursor.execute(statement)
        yield from _columns_of_rows(iter(cursor.fetchone, None))
        cursor.close()

    def highest(self, column: Column, relation: str, where: str) -> str | None:
        """The highest value."""
        (found,) = self._row(f"SELECT max({self.quoted(column.name)}) FROM {relation}{where}")
        return None if found is None else f"{found}+00:00" if column.kind is Kind.INSTANT else str(found)

    def counts(self, statement: str) -> Sequence[int]:
        """The numbers of the one row."""
        return [int(number) for number in self._row(statement)]

    def now(self) -> datetime:
        """The database's clock."""
        (found,) = self._row("SELECT utc_timestamp(6)")
        return datetime.fromisoformat(found).replace(tzinfo=UTC)

    def mark(self, mark: str, kind: Kind) -> str:
        """A literal of the column's kind."""
        if kind in (Kind.WHOLE, Kind.DECIMAL):
            return mark
        if kind is Kind.INSTANT:
            return f"TIMESTAMP'{datetime.fromisoformat(mark).astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"
        return f"{'DATE' if kind is Kind.DAY else 'TIMESTAMP'}'{mark}'"

    def close(self) -> None:
        """End it."""
        self._watch.end()
        _cut(self._connection)


def _cut(connection: Any) -> None:
    """Without reading what the server still sends."""
    connection._force_close()


def _tls_context(tls: Tls, certificates: Path | None) -> ssl.SSLContext | None:
    if tls is Tls.OFF:
        return None
    context = ssl.create_default_context(cafile=str(certificates) if certificates else None)
    if tls is Tls.ENCRYPT:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _columns_of_rows(rows: Iterator[Sequence[object]]) -> Iterator[tuple[Sequence[pa.StringArray], Sequence[int]]]:
    """Rows of text, in batches that stay small in memory; what is no text is missing, and its row is named."""
    held: list[Sequence[object]] = []
    unreadable: list[int] = []
    characters = 0
    for row in rows:
        for value in row:
            if value is None:
                continue
            if type(value) is str:
                characters += len(value)
            else:
                row = [one if type(one) is str else None for one in row]
                unreadable.append(len(held))
                break
        held.append(row)
        if len(held) >= source_rules().batch_rows or characters >= LIMITS.chunk_characters:
            yield [pa.array(values, pa.string()) for values in zip(*held, strict=True)], unreadable
            held, unreadable, characters = [], [], 0
    if held:
        yield [pa.array(values, pa.string()) for values in zip(*held, strict=True)], unreadable


class _Patience:
    """How long, and with how much memory, a file of others may keep this process busy: a view can sort without end."""

    _STATUS = Path("/proc/self/statm")

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._most = self._used() + source_rules().sqlite_memory_megabytes * 1_048_576

    def is_over(self) -> bool:
        """Whether the statement has to end now."""
        return self._deadline.passed or self._used() > self._most

    def _used(self) -> int:
        """Bytes of memory of this process; 0 where the system does not say."""
        try:
            return int(self._STATUS.read_text("ascii").split()[1]) * resource.getpagesize()
        except (OSError, ValueError, IndexError):
            return 0


class Sqlite(Connection):
    """A SQLite file of the inbox, which may be hostile: nothing but reading is possible."""

    _ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})

    def __init__(self, path: Path, deadline: Deadline) -> None:
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\x00":
                raise InputInvalid.because("source-file-not-sqlite")
        self._connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, cached_statements=8
        )
        self._connection.text_factory = _decoded
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LIMITS.chunk_characters * 4)
        self._connection.set_progress_handler(_Patience(deadline).is_over, 10_000)

    def begin(self) -> None:
        """Begin the transaction."""
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON", "temp_store = MEMORY"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")

    def quoted(self, name: str) -> str:
        """The name as an identifier."""
        return '"' + name.replace('"', '""') + '"'

    def look_up(self, schema: str | None, table: str) -> tuple[str, Sequence[Column]] | None:
        """From the database's own catalogue."""
        if schema not in (None, "main"):
            return None
        known = "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name = ? AND substr(name, 1, 7) <> 'sqlite_'"
        if self._connection.execute(known, (table,)).fetchone() is None:
            return None
        unique = {
            columns[0]
            for (index,) in self._connection.execute(
                'SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0', (table,)
            ).fetchall()
            if len(columns := [row[0] for row in self._connection.execute("SELECT name FROM pragma_index_info(?)", (index,))]) == 1
        }
        described = 'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1'
        found = self._connection.execute(described, (table,)).fetchall()
        keys = [name for name, _, _, pk in found if pk]
        self._connection.set_authorizer(self._authorised)
        columns = []
        for name, declared, never_missing, _ in found:
            row_number = keys == [name] and declared.upper() == "INTEGER"
            unrepeated = name in unique or keys == [name]
            columns.append(self._column(name, declared, settled=row_number or (bool(never_missing) and unrepeated)))
        return f"main.{self.quoted(table)}", columns

    def _authorised(self, action: int, _first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in ("load_extension", "fts3_tokenizer"):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK if action in self._ALLOWED else sqlite3.SQLITE_DENY

    def _column(self, name: str, declared: str, *, settled: bool) -> Column:
        upper = declared.upper()
        digits = re.search(r"\((\d+)\s*(?:,\s*(\d+))?\)", upper)
        precision, scale = (int(digits[1]), int(digits[2] or 0)) if digits else (0, 1)
        kind = Kind.TEXT
        if upper.startswith("BOOL"):
            kind = Kind.BOOLEAN
        elif upper.startswith(("DATETIME", "TIMESTAMP")):
            kind = Kind.MOMENT
        elif upper.startswith("DATE"):
            kind = Kind.DAY
        elif "CHAR" in upper or "CLOB" in upper or "TEXT" in upper or not upper:
            kind = Kind.TEXT
        elif "INT" in upper:
            kind = Kind.WHOLE
        elif "BLOB" in upper:
            kind = Kind.BYTES
        elif upper.startswith(("NUMERIC", "DECIMAL")):
            kind = Kind.WHOLE if digits and scale == 0 else Kind.DECIMAL
        elif any(word in upper for word in ("REAL", "FLOA", "DOUB")):
            kind = Kind.DECIMAL
        own = self.quoted(name)
        limit = LIMITS.field_characters  # functions of text end at a NUL: only what is too long is cut
        long = f"typeof({own}) = 'text' AND length(CAST({own} AS BLOB)) > {4 * limit}"
        whole = f"typeof({own}) = 'integer' THEN CAST({own} AS TEXT)"
        shown = f"CASE WHEN {long} THEN substr({own}, 1, {limit + 1}) WHEN {whole} ELSE {own} END"
        return Column(name, declared or "-", kind, shown, precision if kind is Kind.WHOLE else 0, True, settled)

    def misfits(self, column: Column) -> str:
        """Values are stored by type alone here, whatever was declared."""
        own = self.quoted(column.name)
        fits = {
            Kind.WHOLE: f"typeof({own}) = 'integer'",
            Kind.DECIMAL: f"typeof({own}) IN ('integer', 'real')",
            Kind.BOOLEAN: f"{own} IN (0, 1, '0', '1', 'true', 'false')",
            Kind.DAY: f"date({own}) = {own}",
            Kind.MOMENT: f"datetime({own}) = substr({own}, 1, 19) AND {own} NOT GLOB '*[^0-9 :.-]*'",
        }.get(column.kind)
        return "0" if fits is None else f"coalesce(sum({own} IS NOT NULL AND NOT coalesce({fits}, 0)), 0)"

    def rows(self, statement: str) -> Iterator[tuple[Sequence[pa.StringArray], Sequence[int]]]:
        """The rows as text columns."""
        cursor = self._connection.execute(statement)
        yield from _columns_of_rows(tuple(_shown(value) for value in row) for row in cursor)

    def highest(self, column: Column, relation: str, where: str) -> str | None:
        """The highest value."""
        (found,) = self._connection.execute(f"SELECT max({self.quoted(column.name)}) FROM {relation}{where}").fetchone()
        if isinstance(found, float):
            found = format(Decimal(repr(found)), "f")
        return None if found is None else str(found).replace("T", " ")

    def counts(self, statement: str) -> Sequence[int]:
        """The numbers of the one row."""
        return [int(number) for number in self._connection.execute(statement).fetchone()]

    def now(self) -> datetime:
        """The database's clock."""
        (found,) = self._connection.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").fetchone()
        return datetime.fromisoformat(found).replace(tzinfo=UTC)

    def mark(self, mark: str, kind: Kind) -> str:
        """A literal of the column's kind."""
        return mark if kind in (Kind.WHOLE, Kind.DECIMAL) else f"'{mark}'"

    def close(self) -> None:
        """End it."""
        self._connection.close()


class _Undecoded:
    """A text whose bytes are no UTF-8."""


def _decoded(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _Undecoded()


def _shown(value: object) -> object:
    """A number as text; bytes and what does not decode stay what they are."""
    return repr(value) if isinstance(value, float) else value
