"""Databases for the store tests."""

from tests.portal.database_fixtures import (  # noqa: F401 - fixtures
    example,
    postgresql,
    postgresql_template,
    queries,
    sqlite_template,
    stores,
    using,
)
