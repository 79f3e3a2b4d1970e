"""Databases for the tests of the portal that need a real one."""

from tests.portal.database_fixtures import (  # noqa: F401 - fixtures
    example,
    postgresql,
    postgresql_database,
    queries,
    sqlite_template,
    stores,
    using,
)
