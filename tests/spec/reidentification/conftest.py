import pytest
from tests.spec.reidentification.case_world import CaseWorld


@pytest.fixture
def world() -> CaseWorld:
    """A grant with pseudonyms stands; no case was asked for yet. Monday 2 November 2026, noon."""
    return CaseWorld()
