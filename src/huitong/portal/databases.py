"""Database URLs to Django's database settings: SQLite in the instance's folder, or PostgreSQL."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from huitong.errors import InputInvalid

POSTGRESQL_OPTIONS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "connect_timeout", "options"})
"""What may stand behind `?` of a PostgreSQL URL, beside `host` for a folder of unix sockets."""


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for `sqlite:///relative`, `sqlite:////absolute` or `postgresql://user:password@host:port/name`.

    A unix socket is written `postgresql:///name?host=/folder` or with the folder percent-encoded as the host.
    Raises InputInvalid `database-url-invalid`; the reason never repeats the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputInvalid.because("database-url-invalid", part="port") from None
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path))
    if parts.scheme in ("postgresql", "postgres"):
        return _postgresql(parts.username, parts.password, parts.hostname, port, parts.path, parts.query, parts.netloc)
    raise InputInvalid.because("database-url-invalid", part="scheme")


def _sqlite(path: str) -> dict[str, Any]:
    if len(path) < 2:
        raise InputInvalid.because("database-url-invalid", part="path")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path[1:],
        "CONN_MAX_AGE": 60,
        "OPTIONS": {
            # IMMEDIATE takes the write lock when a transaction begins, so two writers wait for each other
            # rather than fail half-way; FULL waits for the disk, for an acknowledged write must survive a kill.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
    }


def _postgresql(
    user: str | None, password: str | None, hostname: str | None, port: int | None, path: str, query: str, netloc: str
) -> dict[str, Any]:
    name = unquote(path.removeprefix("/"))
    if not name:
        raise InputInvalid.because("database-url-invalid", part="name")
    options: dict[str, Any] = dict(parse_qsl(query))
    # urlsplit lowers the letters of a host, which a folder's name must keep
    raw_host = netloc.rpartition("@")[2]
    socket_folder = unquote(raw_host.partition(":")[0]) if raw_host.lower().startswith("%2f") else ""
    host = options.pop("host", None) or socket_folder or hostname or ""
    for option in options:
        if option not in POSTGRESQL_OPTIONS:
            raise InputInvalid.because("database-url-invalid", part=option)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(user or ""),
        "PASSWORD": unquote(password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
