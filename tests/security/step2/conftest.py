"""Worlds in memory, with a lake on disk where rows matter."""

from pathlib import Path

import pytest
from tests.unit.intake.test_loading_actions import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One office with one register of persons, and another office that may know of it."""
    return Place(tmp_path)
