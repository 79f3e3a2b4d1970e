"""Every store test runs on both databases: a file of SQLite, and PostgreSQL. Each test gets a fresh, migrated database."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from tests.portal.examples import Example
from tests.postgresql import Server, postgresql_server

from huitong.portal.databases import database_settings
from huitong.portal.stores import Stores

numbers = itertools.count(1)


@contextmanager
def database(alias: str, url: str) -> Iterator[str]:
    """A database under an alias of its own, beside Django's default one."""
    connections.settings[alias] = connections.configure_settings({"default": database_settings(url)})["default"]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: pytest.FixtureRequest) -> Path:
    file = tmp_path_factory.mktemp("template") / "control.sqlite3"
    with django_db_blocker.unblock(), database("template", f"sqlite:///{file}"):
        call_command("migrate", database="template", verbosity=0)
    return file


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Server, django_db_blocker: pytest.FixtureRequest) -> str:
    postgresql.run("CREATE DATABASE template_huitong")
    with django_db_blocker.unblock(), database("template", postgresql.url("template_huitong")):
        call_command("migrate", database="template", verbosity=0)
    return "template_huitong"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def using(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: pytest.FixtureRequest) -> Iterator[str]:
    """Alias of a fresh database, once on each kind."""
    if request.param == "sqlite":
        file = tmp_path / "control.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        with django_db_blocker.unblock(), database("stores", f"sqlite:///{file}") as alias:
            yield alias
        return
    template, server = request.getfixturevalue("postgresql_template"), request.getfixturevalue("postgresql")
    name = f"stores_{next(numbers)}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    with django_db_blocker.unblock(), database("stores", server.url(name)) as alias:
        yield alias


@pytest.fixture
def stores(using: str) -> Stores:
    return Stores(using)


@pytest.fixture
def example(stores: Stores) -> Example:
    """Two offices, two people and one dataset, put in."""
    return Example.put_into(stores)


@pytest.fixture
def queries(using: str) -> Callable[[], int]:
    """How many statements were sent since the last call."""
    connection = connections[using]
    connection.force_debug_cursor = True
    seen = 0

    def count() -> int:
        nonlocal seen
        new, seen = len(connection.queries_log) - seen, len(connection.queries_log)
        return new

    return count
