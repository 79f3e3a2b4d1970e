"""Every store test runs on both databases: a file of SQLite, and PostgreSQL. Each test gets an empty, migrated one."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections, transaction
from tests.portal.examples import Example
from tests.postgresql import Server, postgresql_server

from huitong.portal.databases import database_settings
from huitong.portal.stores import Stores

OUR_APPS = ("accounts", "catalog", "sharing", "audit", "notices", "mfa", "delivery")


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
def postgresql_database(postgresql: Server, django_db_blocker: pytest.FixtureRequest) -> str:
    """URL of a migrated database that every test leaves empty."""
    postgresql.run("CREATE DATABASE stores")
    with django_db_blocker.unblock(), database("template", postgresql.url("stores")):
        call_command("migrate", database="template", verbosity=0)
    return postgresql.url("stores")


def empty(alias: str) -> None:
    """Remove every row of our tables, whatever refers to it."""
    tables = [model._meta.db_table for app in OUR_APPS for model in apps.get_app_config(app).get_models()]
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def using(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: pytest.FixtureRequest) -> Iterator[str]:
    """Alias of an empty, migrated database, once on each kind."""
    if request.param == "sqlite":
        file = tmp_path / "control.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        with django_db_blocker.unblock(), database("stores", f"sqlite:///{file}") as alias:
            yield alias
    else:
        url = request.getfixturevalue("postgresql_database")
        with django_db_blocker.unblock(), database("stores", url) as alias:
            yield alias
            empty(alias)


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
