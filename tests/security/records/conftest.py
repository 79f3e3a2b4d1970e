"""One fresh instance behind its real API for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.spec.doors.doors_world import Instance, open_instance


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    with open_instance(tmp_path / "home", monkeypatch) as opened:
        opened.platform.records.copies.keep_up()
        yield opened
