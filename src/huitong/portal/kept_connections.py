"""Connections to SQLite are kept between requests: a fresh one reads the schema and prepares every statement anew, some milliseconds of
each request. Before each request it is seen that the file is still that which was opened: one that is kept would go on writing into a
file that was moved away or removed, and say that all is well."""

from pathlib import Path
from typing import Any

from django.core.signals import request_started
from django.db import connections
from django.db.backends.signals import connection_created

_OPENED = "_huitong_opened"


def keep_connections_to_their_file() -> None:
    """From now on, in this process, a connection whose file is another or gone is closed when the next request begins."""
    connection_created.connect(_remember, dispatch_uid="huitong.kept_connections")
    request_started.connect(_close_if_moved, dispatch_uid="huitong.kept_connections")


def _remember(*, connection: Any, **_: Any) -> None:
    if connection.vendor == "sqlite":
        setattr(connection, _OPENED, _file_of(connection))


def _close_if_moved(**_: Any) -> None:
    for connection in connections.all(initialized_only=True):
        idle = connection.vendor == "sqlite" and connection.connection is not None and not connection.in_atomic_block
        if idle and _file_of(connection) != getattr(connection, _OPENED, None):
            connection.close()


def _file_of(connection: Any) -> tuple[int, int] | None:
    """Device and number of the file; None if there is none, as of a database in memory."""
    try:
        found = Path(connection.settings_dict["NAME"]).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
