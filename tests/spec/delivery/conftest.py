"""One fresh instance for each test: the one that the list of doors uses."""

from tests.spec.doors.conftest import instance  # noqa: F401 - a fixture
