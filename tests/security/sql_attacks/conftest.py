"""The world in which attacks are tried: rows and items that nobody may see hold canary values."""

from pathlib import Path

import pytest
from tests.spec.governed.governed_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
