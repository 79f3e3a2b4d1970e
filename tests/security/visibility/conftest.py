"""Worlds in memory and on real databases."""

import pytest
from tests.portal.database_fixtures import (  # noqa: F401 - fixtures
    postgresql,
    postgresql_database,
    queries,
    sqlite_template,
    stores,
    using,
)
from tests.postgresql import programs


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say what is missing before the first test runs, and exit 2: a test is never skipped in silence."""
    if any(item.get_closest_marker("postgresql") for item in session.items):
        programs()
