"""Database URLs, and what SQLite is asked to promise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connections
from tests.portal.database_fixtures import database
from tests.postgresql import Server

from huitong.errors import InputInvalid
from huitong.portal.databases import database_settings
from huitong.settings import Settings, read_settings


def test_the_default_is_a_file_in_the_folder_of_the_instance() -> None:
    settings = database_settings(Settings(home=Path("/srv/huitong")).database)
    assert settings["ENGINE"] == "django.db.backends.sqlite3"
    assert settings["NAME"] == "/srv/huitong/control.sqlite3"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "postgresql://u:p%40ss@db.example:5433/gov",
            {"HOST": "db.example", "PORT": "5433", "USER": "u", "PASSWORD": "p@ss", "NAME": "gov"},
        ),
        ("postgres://db/gov", {"HOST": "db", "PORT": "", "USER": "", "NAME": "gov"}),
        ("postgresql://u@[::1]:5432/gov", {"HOST": "::1", "PORT": "5432"}),
        ("postgresql:///gov?host=/var/run/postgresql", {"HOST": "/var/run/postgresql", "PORT": ""}),
        ("postgresql://u@%2Fvar%2Frun%2FPG:5433/gov", {"HOST": "/var/run/PG", "PORT": "5433", "USER": "u"}),
        ("postgresql://db/%E8%B4%B5%E5%B7%9E?sslmode=verify-full", {"NAME": "贵州", "OPTIONS": {"sslmode": "verify-full"}}),
    ],
)
def test_postgresql_urls(url: str, wanted: dict) -> None:
    settings = database_settings(url)
    assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mysql://u:secret@db/gov", "scheme"),
        ("postgresql://u:secret@db:port/gov", "port"),
        ("postgresql://u:secret@db/", "name"),
        ("postgresql://u:secret@db/gov?passfile=/x", "passfile"),
        ("sqlite://", "path"),
    ],
)
def test_a_wrong_url_names_its_part_and_never_the_password(url: str, part: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        database_settings(url)
    assert caught.value.reasons[0].code == "database-url-invalid"
    assert caught.value.reasons[0].parameters == {"part": part}
    assert caught.value.__cause__ is None


def test_the_url_comes_from_the_environment() -> None:
    settings = read_settings({"HUITONG_HOME": "/nowhere", "HUITONG_DATABASE_URL": "postgresql:///gov"})
    assert database_settings(settings.database)["NAME"] == "gov"


def test_sqlite_waits_for_the_disk_and_for_other_writers(tmp_path: Path, django_db_blocker) -> None:
    with django_db_blocker.unblock(), database("pragmas", f"sqlite:///{tmp_path / 'control.sqlite3'}"):
        with connections["pragmas"].cursor() as cursor:
            values = {
                name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        assert connections["pragmas"].transaction_mode == "IMMEDIATE"


@pytest.mark.postgresql
def test_postgresql_by_its_unix_socket(postgresql: Server, django_db_blocker) -> None:
    folder = str(postgresql.socket_folder).replace("/", "%2F")
    url = f"postgresql://{postgresql.user}@{folder}:{postgresql.port}/postgres"
    with django_db_blocker.unblock(), database("socket", url), connections["socket"].cursor() as cursor:
        cursor.execute("SELECT inet_server_addr() IS NULL")
        assert cursor.fetchone() == (True,)


def test_models_and_migrations_agree(tmp_path) -> None:
    command = [sys.executable, "-W", "error", "-m", "huitong.portal", "makemigrations", "--check", "--dry-run"]
    done = subprocess.run(command, env={**os.environ, "HUITONG_HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
