"""One drill instance for the tests of a run, and copies of it for those that spoil theirs."""

import os
from collections.abc import Iterator

import pytest

from huitong.drill.ground import Ground, fresh_ground


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with fresh_ground(os.environ) as made:
        yield made
