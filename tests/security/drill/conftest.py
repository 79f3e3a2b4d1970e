"""One drill instance for the tests of a run, and copies of it for those that spoil theirs."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from huitong.drill.ground import Ground, made_instance, served_ground


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the instance, never served: the processes of a run that share the tests make it once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "drill"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            made_instance(folder, os.environ)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def ground(made: Path) -> Iterator[Ground]:
    with served_ground(made, os.environ) as served:
        yield served
