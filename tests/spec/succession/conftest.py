from pathlib import Path

import pytest
from tests.spec.succession.succession_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Six offices, nine people, four published datasets, on Monday 2 November 2026 at noon."""
    return World(tmp_path / "keys")
