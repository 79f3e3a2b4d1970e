"""DuckDB as the engine: its own parser for a second opinion, and one locked connection for one governed query.

Engine settings are the second wall, never the first: the gateway chose the files, the sandbox holds the process. An exception
of DuckDB may quote SQL and values, so `reason_of` turns every one into a code before it can reach anyone.
"""

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from huitong.errors import InputInvalid, Reason
from huitong.model.query import EngineLimits, GovernedTable

BATCH_ROWS = 32_768
"""Rows of one Arrow batch: small enough that a cut stream stops soon, large enough that framing costs nothing."""

_OVER_BATCH = "maximum total string size for regular string buffers"
_TYPE = re.compile(r"[A-Z][A-Z ]{0,40}(\(\d{1,2}(, ?\d{1,2})?\))?")


# --- the second opinion -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StatementNames:
    """What DuckDB's own parser finds in one SELECT: physical tables, functions, table functions; names in lower case.

    A table with a schema is `schema.table`; names of common table expressions are left out where they are in scope."""

    tables: frozenset[str]
    functions: frozenset[str]
    table_functions: frozenset[str]


def statement_names(sql: str) -> StatementNames:
    """Parse, never bind or run. Raises InputInvalid `statement-not-one-select` for anything but one readable SELECT."""
    with _Parser.lock:
        tree = json.loads(_Parser.connection().execute(_SERIALISE, [sql]).fetchone()[0])
    if tree.get("error") or len(tree["statements"]) != 1:
        raise InputInvalid.because("statement-not-one-select")
    found = _Names()
    found.walk(tree["statements"][0], frozenset())
    return StatementNames(frozenset(found.tables), frozenset(found.functions), frozenset(found.table_functions))


_SERIALISE = "SELECT json_serialize_sql(?, skip_null := true, skip_empty := true, skip_default := true)"
"""What is left out names nothing."""


def table_names(sql: str) -> frozenset[str]:
    """The physical tables that one SELECT names, by DuckDB's own parser."""
    return statement_names(sql).tables


class _Parser:
    """One locked in-memory connection per process that only ever parses."""

    lock = threading.Lock()
    _connection: Any = None
    _process: int | None = None

    @classmethod
    def connection(cls) -> Any:
        if cls._process != os.getpid():
            cls._connection = duckdb.connect(":memory:", config={**_CLOSED, "threads": 1, "memory_limit": "256MB"})
            cls._connection.execute("SET enable_external_access=false; SET lock_configuration=true")
            cls._process = os.getpid()
        return cls._connection


@dataclass
class _Names:
    tables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    table_functions: set[str] = field(default_factory=set)

    def walk(self, node: Any, scope: frozenset[str]) -> None:
        """Walk the serialised tree; `scope` holds the names of the common table expressions visible here."""
        if isinstance(node, list):
            for part in node:
                self.walk(part, scope)
        elif isinstance(node, dict):
            self._walk_object(node, scope)

    def _walk_object(self, node: Mapping[str, Any], scope: frozenset[str]) -> None:
        expressions = node.get("cte_map")
        if isinstance(expressions, dict):
            for entry in expressions.get("map", ()):
                name = str(entry["key"]).lower()
                query = entry["value"].get("query_node") or {}
                self.walk(query, scope | {name} if "RECURSIVE" in str(query.get("type", "")) else scope)
                scope = scope | {name}
        kind = node.get("type")
        if kind == "BASE_TABLE":
            path = _path(node)
            if len(path) > 1 or path[0] not in scope:
                self.tables.add(".".join(path))
        elif kind == "TABLE_FUNCTION":
            self.table_functions.add(str(node["function"].get("function_name", "")).lower())
        elif kind == "FUNCTION" and node.get("class") == "FUNCTION":
            self.functions.add(str(node.get("function_name", "")).lower())
        for key, part in node.items():
            if key != "cte_map":
                self.walk(part, scope)


def _path(node: Mapping[str, Any]) -> list[str]:
    whole = (node.get("catalog_name"), node.get("schema_name"), node.get("table_name"))
    return [str(part).lower() for part in whole if part]


# --- one governed query -----------------------------------------------------------------------------------------------

_CLOSED: Mapping[str, Any] = {
    "async_threads": 0,
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
}


def open_unused() -> Any:
    """An empty in-memory connection without any thread of its own, so that its process can still be forked.

    The broker opens one and never uses it: each child finds it ready and locks it, which saves half of a small query's time."""
    connection = duckdb.connect(":memory:", config={**_CLOSED, "threads": 1})
    connection.execute("SET TimeZone='UTC'")
    return connection


def lock(
    connection: Any, *, limits: EngineLimits, readable: Sequence[str], temporary: str | None, temporary_megabytes: int
) -> None:
    """Let the connection read exactly `readable` and change none of its settings any more.

    Order matters: temporary folder and limits first, then the files, then external access off, then the lock."""
    paths = ", ".join(quote_text(path) for path in readable)
    connection.execute(
        f"SET memory_limit='{max(64, limits.memory_megabytes)}MB'; SET temp_directory={quote_text(temporary or '')}; "
        f"SET max_temp_directory_size='{max(1, temporary_megabytes)}MB'; SET threads={max(1, limits.threads)}; "
        f"SET allowed_paths=[{paths}]; SET enable_external_access=false; SET lock_configuration=true"
    )


def create_view(connection: Any, table: GovernedTable, paths: Sequence[str]) -> None:
    """Make the view `table.name` over exactly `paths`, showing only the listed columns in their declared types."""
    for type_name in table.columns.values():
        if not _TYPE.fullmatch(type_name):
            raise InputInvalid.because("engine-request-invalid")
    if paths:
        columns = ", ".join(f"CAST({quote_name(name)} AS {kind}) AS {quote_name(name)}" for name, kind in table.columns.items())
        files = ", ".join(quote_text(path) for path in paths)
        source = f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning=false, union_by_name=false)"
    else:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quote_name(name)}" for name, kind in table.columns.items())
        source = f"SELECT {columns} WHERE false"
    connection.execute(f"CREATE VIEW {quote_name(table.name)} AS {source}")


def stream(connection: Any, sql: str) -> pa.RecordBatchReader:
    """Start one SELECT and hand out its rows as Arrow batches while it runs."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputInvalid.because("statement-not-one-select")
    relation = connection.sql(sql)
    return relation.to_arrow_reader(BATCH_ROWS)


def first_rows(reader: pa.RecordBatchReader, maximum: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """The batches up to `maximum` rows in all, each with whether rows were left behind after it."""
    left = maximum
    for batch in reader:
        if batch.num_rows > left:
            yield batch.slice(0, left), True
            return
        left -= batch.num_rows
        if batch.num_rows:
            yield batch, False


def quote_name(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """A text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def over_batch(error: BaseException) -> bool:
    """Whether the engine gave up because the texts of one batch alone are more than 2 GB, the most that Arrow's text columns hold."""
    return isinstance(error, OSError) and _OVER_BATCH in str(error)


def reason_of(error: BaseException, *, query: str, limits: EngineLimits) -> Reason:
    """The code for an engine's exception. Its words are dropped: they may hold SQL, names and values."""
    if isinstance(error, InputInvalid):
        return error.reasons[0]
    if isinstance(error, duckdb.InterruptException | TimeoutError | KeyboardInterrupt):
        return Reason("query-time-limit", {"query": query, "seconds": _plain(limits.seconds)})
    if isinstance(error, FileNotFoundError):
        return Reason("snapshot-file-missing")
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError | pa.ArrowMemoryError):
        return Reason("query-memory-limit", {"query": query, "megabytes": limits.memory_megabytes})
    return Reason("query-failed", {"query": query})


def _plain(seconds: float) -> str:
    return f"{seconds:g}"
