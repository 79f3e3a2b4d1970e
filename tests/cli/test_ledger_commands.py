"""`huitong ledger audit` on an instance whose database somebody cut short: separate processes, real folder."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from test_instance_commands import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an instance in `here` and, after some work, its latest checkpoint in `kept.txt`."""
    folder = tmp_path_factory.mktemp("l")
    assert run("init", "--home", "here", folder=folder).returncode == 0
    for _ in range(2):
        assert run("ledger", "fold", "--home", "here", folder=folder).returncode == 0
    shutil.copy(folder / "here" / "ledger-checkpoint.txt", folder / "kept.txt")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy for one test."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def cut(place: Path, size: int) -> None:
    """Everything after the first `size` entries, without a trace in the database."""
    database = sqlite3.connect(place / "here" / "control.sqlite3")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    database.execute("DELETE FROM audit_pending")
    database.execute('DELETE FROM audit_entry WHERE "index" >= ?', (size,))
    database.execute("DELETE FROM audit_checkpoint WHERE size > ?", (size,))
    database.execute('DELETE FROM audit_node WHERE (("index" + 1) << level) > ?', (size,))
    database.commit()
    database.close()


def first_size(place: Path) -> int:
    database = sqlite3.connect(place / "here" / "control.sqlite3")
    (size,) = database.execute("SELECT min(size) FROM audit_checkpoint").fetchone()
    database.close()
    return int(size)


def audit(place: Path, *more: str) -> tuple[int, str]:
    done = run("ledger", "audit", "--home", "here", "--format", "json", *more, folder=place)
    return done.returncode, " ".join(json.loads(done.stdout)["faults"])


def test_a_sound_ledger_fits_the_kept_checkpoints(place: Path) -> None:
    assert audit(place, "--checkpoint", "kept.txt") == (0, "")


def test_a_ledger_cut_short_is_found_and_stays_found(place: Path) -> None:
    cut(place, first_size(place))
    for _ in range(2):
        code, said = audit(place)
        assert code == 9 and "the end of the ledger was cut off" in said


def test_an_emptied_ledger_is_found_even_without_the_kept_file(place: Path) -> None:
    cut(place, 0)
    (place / "here" / "ledger-checkpoint.txt").unlink()
    code, said = audit(place)
    assert code == 9 and "does not begin with the making of the instance" in said


def test_a_checkpoint_that_somebody_else_kept_finds_it_too(place: Path) -> None:
    cut(place, first_size(place))
    (place / "here" / "ledger-checkpoint.txt").unlink()
    for _ in range(4):  # the ledger grows past the size of the kept one again
        run("ledger", "fold", "--home", "here", folder=place)
    code, said = audit(place, "--checkpoint", "kept.txt")
    assert code == 9 and "the ledger was rewritten" in said


def test_a_checkpoint_file_that_is_none_is_said(place: Path) -> None:
    (place / "kept.txt").write_text("nothing", "utf-8")
    assert audit(place, "--checkpoint", "kept.txt")[0] == 9
    assert run("ledger", "audit", "--home", "here", "--checkpoint", "gone.txt", folder=place).returncode == 3
