"""The keyed store: copies of snapshots that are read by key, in SQLite files or in tables of PostgreSQL.

A copy is written whole or not at all and never changed. In SQLite it is one file of its own (0600, in a folder of 0700), which gets its
name when it is whole and on the disk; in PostgreSQL it is one table, made and filled in one transaction. So nobody ever sees half a copy,
whenever its writer is killed, and a copy whose version is current holds exactly that snapshot. Values are bound, never pasted; names are
made by `CopyName` of letters, digits and underscores alone, which is checked here again."""

import contextlib
import os
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from huitong.errors import Unavailable
from huitong.model.records import CopyName

KeyedRow = tuple[bytes, int, bytes]
"""The key, the number of the row among those of the key, the row."""
_NAME = re.compile(r"huitong_record_[0-9a-f]{16}_[0-9]{1,19}_[rt][0-9a-f]{16}")
_ENDING = ".sqlite3"
_PREFIX = "huitong_record_"
IDLE_CONNECTIONS = 8
"""Connections that a process keeps open to one copy, or to the PostgreSQL database."""


class KeyedStore(Protocol):
    """Copies by key."""

    def holds(self, copy: CopyName, /) -> bool:
        """Whether that copy is there, whole."""
        ...

    def fetch(self, copy: CopyName, keys: Sequence[bytes], /) -> Sequence[Sequence[bytes]]:
        """The rows of each key, in the order of the keys. Raises Unavailable `record-store-behind` if the copy is not there (any more)."""
        ...

    def write(self, copy: CopyName, rows: Iterable[KeyedRow], /) -> None:
        """Make the copy of these rows, whole or not at all; in the order of their keys it is fastest."""
        ...

    def names(self) -> Sequence[str]:
        """The copies that are there, by `CopyName.text`."""
        ...

    def remove(self, name: str, /) -> None:
        """Remove a copy, and what a killed writer left of it; removing what is not there is no error."""
        ...


def open_keyed_store(*, database_url: str, folder: Path, open_copies: int) -> KeyedStore:
    """The store of an instance: tables of its PostgreSQL database, or files in its folder. Opens nothing yet."""
    if database_url.startswith(("postgresql:", "postgres:")):
        return PostgresqlKeyedStore(database_url)
    return SqliteKeyedStore(folder, open_copies=open_copies)


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("this is not the name of a copy")
    return name


def _behind(copy: CopyName) -> Unavailable:
    error = Unavailable.because("record-store-behind", dataset=copy.dataset)
    assert isinstance(error, Unavailable)
    return error


class SqliteKeyedStore:
    """One file a copy. A file that has its name is never written again, so it is opened as one that nobody changes: without locks."""

    def __init__(self, folder: Path, *, open_copies: int) -> None:
        self._folder = folder
        self._most = open_copies
        self._lock = threading.Lock()
        self._idle: OrderedDict[str, list[sqlite3.Connection]] = OrderedDict()

    def holds(self, copy: CopyName, /) -> bool:
        """Whether its file is there."""
        return self._path(copy.text).is_file()

    def fetch(self, copy: CopyName, keys: Sequence[bytes], /) -> Sequence[Sequence[bytes]]:
        """The rows of each key."""
        with self._connection(copy) as connection:
            execute = connection.execute
            return [[row for (row,) in execute("SELECT row FROM held WHERE k = ? ORDER BY n", (key,))] for key in keys]

    def write(self, copy: CopyName, rows: Iterable[KeyedRow], /) -> None:
        """Write the file beside its place, then give it its name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # whoever made it
        path = self._path(copy.text)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as connection:
                # Nothing is kept of a writer that is killed, so a journal would guard nothing.
                connection.execute("PRAGMA journal_mode=OFF")
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute("CREATE TABLE held (k BLOB, n INTEGER, row BLOB NOT NULL, PRIMARY KEY (k, n)) WITHOUT ROWID")
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO held VALUES (?, ?, ?)", rows)
                connection.execute("COMMIT")
            _make_last(part)
            part.replace(path)
            _make_last(self._folder)
        finally:
            part.unlink(missing_ok=True)

    def names(self) -> Sequence[str]:
        """By the files, also those that a killed writer left."""
        found = {path.stem for ending in (_ENDING, ".part") for path in self._folder.glob(f"{_PREFIX}*{ending}")}
        return sorted(name for name in found if _NAME.fullmatch(name))

    def remove(self, name: str, /) -> None:
        """Remove the file; who reads it now reads it to the end of the call."""
        path = self._path(name)
        for one in (path, path.with_suffix(".part")):
            one.unlink(missing_ok=True)
        with self._lock:
            gone = self._idle.pop(name, [])
        for connection in gone:
            connection.close()

    def close(self) -> None:
        """Let go of every file."""
        with self._lock:
            every = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in every:
            connection.close()

    @contextlib.contextmanager
    def _connection(self, copy: CopyName) -> Iterator[sqlite3.Connection]:
        name, path = copy.text, self._path(copy.text)
        with self._lock:
            idle = self._idle.get(name)
            connection = idle.pop() if idle else None
        try:
            # looked at each time: a file that was removed, by law or because it is old, is not read by a connection that has it open
            os.stat(path)  # noqa: PTH116 - half the time of Path.stat, at each call
            if connection is None:
                connection = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False, isolation_level=None
                )
                connection.execute("SELECT 1 FROM held LIMIT 1")
        except (FileNotFoundError, sqlite3.Error):
            if connection is not None:
                connection.close()
            raise _behind(copy) from None
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise _behind(copy) from None
        except BaseException:
            connection.close()
            raise
        closing: list[sqlite3.Connection] = []
        with self._lock:
            kept = self._idle.setdefault(name, [])
            self._idle.move_to_end(name)
            (kept if len(kept) < IDLE_CONNECTIONS else closing).append(connection)
            # an older snapshot of the same dataset, whose file is gone or soon will be
            begin = name.rpartition("_")[0].rpartition("_")[0] + "_"
            old = [one for one in self._idle if one.startswith(begin) and not one.startswith(f"{begin}{copy.version}_")]
            while len(self._idle) - len(old) > self._most:
                old.append(next(one for one in self._idle if one not in old))
            for one in old:
                closing += self._idle.pop(one)
        for one_connection in closing:
            one_connection.close()

    def _path(self, name: str) -> Path:
        return self._folder / f"{_checked(name)}{_ENDING}"


class PostgresqlKeyedStore:
    """One table a copy, in the schema of the instance's own tables."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._known: set[str] = set()

    def holds(self, copy: CopyName, /) -> bool:
        """Whether its table is there; one that was is looked for again only by reading it."""
        name = copy.text
        if name not in self._known:
            with self._connection() as connection:
                found = connection.execute("SELECT to_regclass(%s)", (_checked(name),)).fetchone()
            if found is None or found[0] is None:
                return False
            self._known.add(name)
        return True

    def fetch(self, copy: CopyName, keys: Sequence[bytes], /) -> Sequence[Sequence[bytes]]:
        """The rows of each key, in one statement."""
        import psycopg

        # the name was checked and holds no sign that would need quoting
        select = f"SELECT k, row FROM {_checked(copy.text)} WHERE k = ANY(%b) ORDER BY k, n"  # noqa: S608
        try:
            with self._connection() as connection:
                rows = connection.execute(select, (list(keys),), prepare=True, binary=True).fetchall()
        except psycopg.errors.UndefinedTable:
            self._known.discard(copy.text)
            raise _behind(copy) from None
        found = {key: [row for _, row in together] for key, together in groupby(rows, key=itemgetter(0))}
        return [found.get(key, []) for key in keys]

    def write(self, copy: CopyName, rows: Iterable[KeyedRow], /) -> None:
        """Make and fill the table in one transaction: until it ends nobody sees it, and a writer that is killed leaves nothing."""
        name = _checked(copy.text)
        with self._connection() as connection, connection.transaction():
            connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.execute(f"CREATE TABLE {name} (k bytea NOT NULL, n integer NOT NULL, row bytea NOT NULL)")
            with connection.cursor() as cursor, cursor.copy(f"COPY {name} (k, n, row) FROM STDIN (FORMAT BINARY)") as copying:
                copying.set_types(["bytea", "int4", "bytea"])
                for row in rows:
                    copying.write_row(row)
            connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (k, n)")

    def names(self) -> Sequence[str]:
        """By the catalogue of the database."""
        listed = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND starts_with(tablename, %s)"
        with self._connection() as connection:
            rows = connection.execute(listed, (_PREFIX,)).fetchall()
        return sorted(name for (name,) in rows if _NAME.fullmatch(name))

    def remove(self, name: str, /) -> None:
        """Drop the table."""
        self._known.discard(name)
        with self._connection() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {_checked(name)}")

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        import psycopg

        with self._lock:
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None or connection.closed or connection.broken:
                connection = psycopg.connect(self._url, autocommit=True)
            yield connection
        except psycopg.errors.UndefinedTable:
            raise
        except psycopg.OperationalError:
            if connection is not None:
                connection.close()
            raise Unavailable.because("record-store-unreachable") from None
        finally:
            if connection is not None and not connection.closed:
                with self._lock:
                    if len(self._idle) < IDLE_CONNECTIONS:
                        self._idle.append(connection)
                        connection = None
                if connection is not None:
                    connection.close()


def _make_last(path: Path) -> None:
    """Wait until what was written is on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
