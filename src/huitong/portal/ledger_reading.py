"""The ledger's tables read in long pieces, past the ORM, by an audit and the processes that help it. Nothing is written here."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from huitong.model.ledger import EntryKind

KINDS = frozenset(kind.value for kind in EntryKind)
ENTRIES = 'SELECT payload, signature, kind, at FROM audit_entry WHERE "index" >= {0} AND "index" < {0} ORDER BY "index"'
NODES = 'SELECT hash FROM audit_node WHERE level = {0} AND "index" >= {0} AND "index" < {0} ORDER BY "index"'


@dataclass
class DatabaseTreeReader:
    """TreeReader over a connection of its own, made from the settings of Django's: it needs no Django in a process that helps."""

    vendor: str
    database: dict[str, Any] = field(repr=False)
    _connection: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens its own connection."""
        return {"vendor": self.vendor, "database": self.database, "_connection": None}

    def texts(self, start: int, end: int) -> Sequence[bytes] | None:
        """The payloads of [start, end), unless a row is missing or has something that is no entry's."""
        rows = self._rows(ENTRIES, (start, end))
        if len(rows) != end - start:
            return None
        payloads, signatures, kinds, instants = zip(*rows, strict=True) if rows else ((), (), (), ())
        if set(map(type, payloads)) | set(map(type, signatures)) != {bytes} or not KINDS.issuperset(kinds):
            return None
        if self.vendor == "sqlite":  # which keeps whatever it is given
            try:
                for instant in instants:
                    datetime.fromisoformat(instant)
            except (TypeError, ValueError):
                return None
        return payloads

    def hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        """The hashes of that level, in order."""
        return [value for (value,) in self._rows(NODES, (level, start, end))]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None

    def _rows(self, statement: str, values: Sequence[int]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._opened()
        if self.vendor == "sqlite":
            found: list[tuple[Any, ...]] = self._connection.execute(statement.format("?"), values).fetchall()
            return found
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(statement.format("%s"), values)
            return list(cursor.fetchall())

    def _opened(self) -> Any:
        if self.vendor == "sqlite":
            connection = sqlite3.connect(self.database["NAME"], timeout=30, isolation_level=None)
            connection.execute("PRAGMA query_only=ON")
            return connection
        import psycopg

        names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
        given = {name: self.database[setting] for name, setting in names.items() if self.database.get(setting)}
        options = {name: value for name, value in self.database.get("OPTIONS", {}).items() if name not in ("cursor_factory", "pool")}
        return psycopg.connect(autocommit=True, **{**options, **given})
