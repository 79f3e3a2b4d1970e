"""The control database, copied while others write, and put into an empty one.

SQLite: its online backup, read in one transaction, into one file. PostgreSQL: every table by COPY in one REPEATABLE READ transaction, in
the text form that every version reads; no program of PostgreSQL is needed, so none can be of another version than the server."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from huitong.backing.folder import BackupFolder
from huitong.backing.lake import Known
from huitong.backing.manifest import POSTGRESQL, SQLITE, DatabaseFacts
from huitong.errors import InputInvalid

SQLITE_FILE = "control.sqlite3"
TABLES = "database"
"""Folder of the tables of PostgreSQL: `<table>.copy`, and `columns.json` that names the columns of each."""
COLUMNS = f"{TABLES}/columns.json"
PAGES = 2000
"""Pages of SQLite in one step, between two reports."""
_REBUILT = "huitong_record_"
"""Begins the names of tables that are copies of snapshots by key: they are made anew."""
_BLOCK = 1 << 20

Report = Callable[[int, int | None], None]


class CopiedDatabase:
    """What stands in the copy, asked of one connection that sees it and nothing later."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a plain statement gives."""
        self._cursor.execute(statement)
        return [tuple(row) for row in self._cursor.fetchall()]

    def migrations(self) -> tuple[str, ...]:
        """Those that had run, as `app.name`."""
        return tuple(f"{app}.{name}" for app, name in self.rows("SELECT app, name FROM django_migrations ORDER BY app, name"))

    def known(self) -> Known:
        """The snapshots that are not removed, with their files."""
        found: dict[str, dict[int, list[str]]] = {}
        for dataset, version in self.rows("SELECT dataset_id, version FROM catalog_snapshot WHERE removed_at IS NULL"):
            found.setdefault(str(dataset), {})[int(version)] = []
        files = (
            "SELECT s.dataset_id, s.version, f.path FROM catalog_snapshotfile f"
            " JOIN catalog_snapshot s ON s.id = f.snapshot_id WHERE s.removed_at IS NULL"
        )
        for dataset, version, path in self.rows(files):
            found[str(dataset)][int(version)].append(str(path))
        return found

    def checkpoint(self) -> tuple[int, bytes, str] | None:
        """Size, root and note of the newest one."""
        found = self.rows("SELECT size, root, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
        return (int(found[0][0]), bytes(found[0][1]), str(found[0][2])) if found else None

    def pending(self) -> int:
        """Entries that are promised only."""
        return int(self.rows("SELECT count(*) FROM audit_pending")[0][0])

    def count(self, tables: Sequence[str]) -> dict[str, int]:
        """Rows of each table."""
        return {table: int(self.rows(f'SELECT count(*) FROM "{table}"')[0][0]) for table in tables}  # noqa: S608 (names of our tables)


@contextmanager
def copied(into: BackupFolder, *, progress: Report) -> Iterator[tuple[CopiedDatabase, DatabaseFacts]]:
    """Copy the instance's database into the backup; the block may ask the copy."""
    own = connection.copy()
    try:
        own.ensure_connection()
        if own.vendor == "postgresql":
            with own.cursor() as cursor:
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield _copy_postgresql(cursor, into, progress)
                cursor.execute("COMMIT")
        else:
            with _copy_sqlite(own, into, progress) as found:
                yield found
    finally:
        own.close()


# --- SQLite -----------------------------------------------------------------------------------------------------------------


@contextmanager
def _copy_sqlite(own: BaseDatabaseWrapper, into: BackupFolder, progress: Report) -> Iterator[tuple[CopiedDatabase, DatabaseFacts]]:
    source: sqlite3.Connection = own.connection
    with into.new(SQLITE_FILE) as part, closing(sqlite3.connect(part, isolation_level=None)) as target:
        # a transaction of the source that has read once: all steps of the backup see that moment, whoever writes meanwhile
        source.execute("BEGIN DEFERRED")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=PAGES, progress=lambda _, left, total: progress(total - left, total))
        source.execute("COMMIT")
        target.execute("PRAGMA journal_mode=DELETE")  # one file that holds everything, without a journal beside it
        copy = CopiedDatabase(target.cursor())
        tables = [str(name) for (name,) in copy.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        facts = DatabaseFacts(SQLITE, copy.migrations(), copy.count([one for one in tables if not one.startswith("sqlite_")]), {})
        read = _Read(copy)
    yield read, facts


class _Read(CopiedDatabase):
    """The answers of a copy, read while it was open."""

    def __init__(self, copy: CopiedDatabase) -> None:
        super().__init__(None)
        self._known, self._checkpoint, self._pending = copy.known(), copy.checkpoint(), copy.pending()

    def known(self) -> Known:
        return self._known

    def checkpoint(self) -> tuple[int, bytes, str] | None:
        return self._checkpoint

    def pending(self) -> int:
        return self._pending


# --- PostgreSQL -------------------------------------------------------------------------------------------------------------


def _copy_postgresql(cursor: Any, into: BackupFolder, progress: Report) -> tuple[CopiedDatabase, DatabaseFacts]:
    copy = CopiedDatabase(cursor)
    columns = _columns(copy)
    rows: dict[str, int] = {}
    for done, (table, names) in enumerate(columns.items()):
        progress(done, len(columns))
        with into.new(f"{TABLES}/{table}.copy") as part, part.open("wb") as file:
            with cursor.copy(f"COPY {_quoted(table)} ({', '.join(map(_quoted, names))}) TO STDOUT") as stream:
                for block in stream:
                    file.write(block)
            rows[table] = int(cursor.rowcount)
    into.write(COLUMNS, json.dumps(columns, sort_keys=True, indent=1).encode())
    # sequences stand outside transactions: read after the tables, they are never behind them
    sequences = copy.rows("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()")
    kept = {str(name): int(value) for name, value in sequences if value is not None and not str(name).startswith(_REBUILT)}
    return copy, DatabaseFacts(POSTGRESQL, copy.migrations(), rows, kept)


def _columns(copy: CopiedDatabase) -> dict[str, list[str]]:
    """The columns that are stored, of every table that is not made anew."""
    found: dict[str, list[str]] = {}
    statement = (
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
        " ON (t.table_schema, t.table_name) = (c.table_schema, c.table_name)"
        " WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'"
        " ORDER BY c.table_name, c.ordinal_position"
    )
    for table, column in copy.rows(statement):
        if not str(table).startswith(_REBUILT):
            found.setdefault(str(table), []).append(str(column))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- into an empty database -------------------------------------------------------------------------------------------------


def unknown_migrations(migrations: Sequence[str]) -> list[str]:
    """Those that this version of Huitong does not have: the backup is of a later one."""
    disk = MigrationExecutor(connection).loader.disk_migrations
    ours = {f"{app}.{name}" for app, name in disk or {}}
    return sorted(set(migrations) - ours)


def migrate_to(migrations: Sequence[str]) -> None:
    """Make the tables of an empty database as they were when these migrations, and no other, had run."""
    executor = MigrationExecutor(connection)
    wanted = {(app, name) for app, _, name in (one.partition(".") for one in migrations)}
    graph = executor.loader.graph
    # only the last of each line: an earlier one as a target would mean to go back to it
    last = [one for one in sorted(wanted) if one in graph.nodes and not any(child.key in wanted for child in graph.node_map[one].children)]
    executor.migrate(last)
    more = MigrationExecutor(connection).loader.applied_migrations
    if {f"{app}.{name}" for app, name in more or {}} != set(migrations):
        raise InputInvalid.because("backup-list-invalid", part="migrations")


def load_postgresql(folder: Path, facts: DatabaseFacts, *, progress: Report) -> None:
    """Fill the tables, which `migrate_to` made, with what the backup holds: all or nothing.

    Raises InputInvalid `backup-tables-differ`."""
    columns: Mapping[str, Sequence[str]] = json.loads((folder / COLUMNS).read_text("utf-8"))
    with transaction.atomic(), connection.cursor() as cursor:
        here = _columns(CopiedDatabase(cursor))
        if {table: sorted(names) for table, names in here.items()} != {table: sorted(names) for table, names in columns.items()}:
            different = sorted(table for table in {*here, *columns} if sorted(here.get(table, ())) != sorted(columns.get(table, ())))
            raise InputInvalid.because("backup-tables-differ", tables=", ".join(different)[:400])
        for table in columns:
            cursor.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608 (names of our tables) - what migrations put there
        for done, (table, names) in enumerate(columns.items()):
            progress(done, len(columns))
            statement = f"COPY {_quoted(table)} ({', '.join(map(_quoted, names))}) FROM STDIN"
            with cursor.copy(statement) as stream, (folder / TABLES / f"{table}.copy").open("rb") as file:
                while block := file.read(_BLOCK):
                    stream.write(block)
            if int(cursor.rowcount) != facts.rows.get(table):
                raise InputInvalid.because("backup-tables-differ", tables=table)
        for name, value in facts.sequences.items():
            cursor.execute("SELECT setval(%s::regclass, %s)", [_quoted(name), value])


def counted() -> dict[str, int]:
    """Rows of every table of the database now, but those that are made anew."""
    names = [name for name in connection.introspection.table_names() if not name.startswith(_REBUILT)]
    with connection.cursor() as cursor:
        return CopiedDatabase(cursor).count(sorted(names))


def bring_up_to_date() -> None:
    """Run the migrations that came since."""
    call_command("migrate", verbosity=0, interactive=False)


# --- reading the ledger of a copy of PostgreSQL -----------------------------------------------------------------------------


def load_ledger(folder: Path) -> None:
    """Make the tables of the ledger, and no other, in this process's database, which is empty and of any kind, and fill them from files of
    COPY: enough for an audit."""
    columns: Mapping[str, Sequence[str]] = json.loads((folder / COLUMNS).read_text("utf-8"))
    for model in (apps.get_model("audit", name) for name in OF_LEDGER):
        table = model._meta.db_table
        with connection.schema_editor() as editor:
            editor.create_model(model)
        if table not in columns:
            continue
        fields = {field.column: field for field in model._meta.concrete_fields}
        names = [name if name in fields else None for name in columns[table]]
        batch: list[Any] = []
        for line in (folder / TABLES / f"{table}.copy").open(encoding="utf-8", newline="\n"):
            values = [_unescaped(cell) for cell in line.removesuffix("\n").split("\t")]
            cells = {name: _typed(fields[name], value) for name, value in zip(names, values, strict=True) if name is not None}
            batch.append(model(**{fields[name].attname: value for name, value in cells.items()}))
            if len(batch) == PAGES:
                model._default_manager.bulk_create(batch)
                batch.clear()
        model._default_manager.bulk_create(batch)


OF_LEDGER = ("Pending", "Entry", "Node", "Checkpoint", "KeyChange", "Cosignature", "Stamp", "Literal")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescaped(cell: str) -> str | None:
    """A value in COPY's text form."""
    if cell == "\\N":
        return None
    if "\\" not in cell:
        return cell
    parts = iter(cell)
    return "".join(_ESCAPES.get(after, after) if (one == "\\" and (after := next(parts))) else one for one in parts)


def _typed(field: Any, value: str | None) -> Any:
    if value is None:
        return None
    kind = field.get_internal_type()
    if kind == "BinaryField":
        return bytes.fromhex(value.removeprefix("\\x"))
    if kind == "JSONField":
        return json.loads(value)
    if kind == "BooleanField":
        return value == "t"
    if kind == "DateTimeField":
        # PostgreSQL writes `2026-03-01 08:00:00.5+00`
        return datetime.fromisoformat(value).astimezone(UTC)
    return field.to_python(value)
