"""Connections to SQLite are kept between requests, but never beyond the file that they were opened on."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_started
from django.db import OperationalError, connections

from huitong.portal.databases import database_settings
from huitong.portal.kept_connections import keep_connections_to_their_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Any]:
    keep_connections_to_their_file()
    settings = database_settings(f"sqlite:///{tmp_path / 'kept.sqlite3'}")
    connections.settings["kept"] = connections.configure_settings({"default": settings})["default"]
    wrapper: Any = connections["kept"]
    wrapper.connect()
    wrapper.connection.execute("CREATE TABLE first (n INTEGER)")
    yield wrapper
    wrapper.close()
    del connections["kept"]
    del connections.settings["kept"]


def tables(wrapper: Any) -> list[str]:
    if wrapper.connection is None:
        wrapper.connect()
    return [row[0] for row in wrapper.connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()]


def next_request() -> None:
    request_started.send(sender="a test")


def test_a_connection_serves_the_next_request_too(kept: Any) -> None:
    before = kept.connection
    next_request()
    assert tables(kept) == ["first"]
    assert kept.connection is before


def test_when_the_file_was_replaced_the_next_request_sees_the_new_one(kept: Any, tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite3"
    other = sqlite3.connect(tmp_path / "other.sqlite3")
    other.execute("CREATE TABLE second (n INTEGER)")
    other.commit()
    other.close()
    for log in ("-wal", "-shm"):
        file.with_name(file.name + log).unlink(missing_ok=True)
    (tmp_path / "other.sqlite3").replace(file)
    next_request()
    assert tables(kept) == ["second"]


def test_nothing_is_written_into_a_file_that_was_taken_away(kept: Any, tmp_path: Path) -> None:
    """With its folder: the next request fails, instead of being told that all is well."""
    away = tmp_path.with_name(tmp_path.name + "-away")
    tmp_path.rename(away)
    next_request()
    with pytest.raises((OperationalError, sqlite3.OperationalError)):
        tables(kept)
    away.rename(tmp_path)
    next_request()
    assert tables(kept) == ["first"]
