"""A world in memory for most tests, and real databases for some."""

from pathlib import Path

import pytest
from tests.portal.database_fixtures import (  # noqa: F401 - fixtures
    postgresql,
    postgresql_database,
    sqlite_template,
    stores,
    using,
)
from tests.postgresql import programs
from tests.spec.succession.succession_world import World


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say what is missing before the first test runs, and exit 2: a test is never skipped in silence."""
    if any(item.get_closest_marker("postgresql") for item in session.items):
        programs()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Six offices, nine people, four published datasets, on Monday 2 November 2026 at noon."""
    return World(tmp_path / "keys")
