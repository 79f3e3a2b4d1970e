import pytest
from tests.spec.sharing.world import World


@pytest.fixture
def world() -> World:
    """Three offices and three published datasets, on Monday 2 November 2026 at noon."""
    return World().publish_all()
