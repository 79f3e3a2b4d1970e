"""`huitong ledger audit` on an instance whose database somebody cut short: separate processes, real folder."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_instance_commands import environment, run

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


# --- a new key ----------------------------------------------------------------------------------------------------------------


def status(place: Path) -> dict[str, Any]:
    done = run("ledger", "status", "--home", "here", "--format", "json", folder=place)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def rotate(place: Path) -> dict[str, Any]:
    done = run("ledger", "rotate-key", "--words", "yearly", "--home", "here", "--format", "json", folder=place)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_new_key_signs_from_the_change_on_and_the_audit_holds_across_it(place: Path) -> None:
    first = status(place)["log_key"]
    made = rotate(place)
    assert (made["before"], made["number"]) == (first, 2)
    after = status(place)
    assert after["log_key"] == made["log_key"] != first
    assert [line.split()[0] for line in after["log_keys"]] == [made["log_key"], first]
    assert audit(place) == (0, "")
    (place / "first.vkey").write_text(first + "\n", "utf-8")
    assert run("ledger", "audit", "--home", "here", "--log-key", "first.vkey", folder=place).returncode == 0
    assert rotate(place)["number"] == 3
    assert audit(place, "--checkpoint", "kept.txt") == (0, "")
    assert run("doctor", "--home", "here", folder=place).returncode == 0


KILL = """
import os, signal, sys
import huitong.cli.inside, huitong.ledger.log, huitong.portal.wiring
from huitong.cli.root import run
from huitong.settings import read_settings
from pathlib import Path

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "after the key file":
    huitong.ledger.log.change_body = kill
elif sys.argv[1] == "before the commit":
    huitong.portal.wiring.start_django(read_settings(home=Path("here")))
    from huitong.portal.stores import DjangoLedgerStore
    DjangoLedgerStore.add_key_change = kill
else:
    huitong.cli.inside.Inside.fold_all = kill
run(["ledger", "rotate-key", "--words", "yearly", "--home", "here"])
"""


@pytest.mark.parametrize("moment", ["after the key file", "before the commit", "after the commit"])
def test_a_change_of_key_that_is_killed_leaves_a_working_instance(place: Path, moment: str) -> None:
    first = status(place)["log_key"]
    call = [sys.executable, "-c", KILL, moment]
    done = subprocess.run(call, capture_output=True, text=True, cwd=place, env=environment(place), timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = (place / "here" / "keys" / "ledger-2.key").read_bytes()
    changed = moment == "after the commit"
    assert (status(place)["log_key"] != first) is changed
    assert audit(place) == (0, "")
    assert run("doctor", "--home", "here", folder=place).returncode == 0
    assert rotate(place)["number"] == (3 if changed else 2)
    assert (place / "here" / "keys" / "ledger-2.key").read_bytes() == left, "the file that was made is taken"
    assert audit(place) == (0, "")


def test_the_database_refuses_to_change_a_key_change_and_the_audit_finds_one_that_was_removed(place: Path) -> None:
    rotate(place)
    database = sqlite3.connect(place / "here" / "control.sqlite3")
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        database.execute("UPDATE audit_keychange SET until = '2099-01-01 00:00:00'")
    database.execute("DELETE FROM audit_keychange")
    database.commit()
    database.close()
    code, said = audit(place)
    assert code == 9 and "not in the table of its keys" in said


# --- witnesses ----------------------------------------------------------------------------------------------------------------


def test_a_witness_signs_what_goes_on_and_nothing_of_a_forked_ledger(place: Path) -> None:
    made = run("ledger", "witness-key", "audit.example/witness", "--key", "w.key", folder=place)
    assert made.returncode == 0, made.stderr
    public = made.stdout.strip()
    (place / "w.vkey").write_text(public + "\n", "utf-8")
    (place / "log.vkeys").write_text(run("ledger", "keys", "--home", "here", folder=place).stdout, "utf-8")

    def sign(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = ["ledger", "witness", "--home", "here", "--key", "w.key", "--log-key", "log.vkeys", *more]
        return run(*arguments, folder=place, HUITONG_LEDGER_WITNESSES=public)

    assert run("ledger", "checkpoint", "--witnessed", "--home", "here", folder=place).returncode == 4
    refused = run("ledger", "witness", "--home", "here", "--key", "w.key", "--log-key", "log.vkeys", folder=place)
    assert refused.returncode == 6 and "ledger_witnesses" in refused.stderr, "a log that does not know the witness says so"
    assert refused.stdout.startswith("— audit.example/witness ")
    first = sign()
    assert first.returncode == 0, first.stderr
    seen = (place / "w.key.seen").read_text("utf-8")
    shutil.copytree(place / "here", place / "before")
    for _ in range(2):
        assert run("ledger", "fold", "--home", "here", folder=place).returncode == 0
    proved = run("ledger", "consistency", "w.key.seen", "--log-key", "log.vkeys", "--home", "here", "--format", "json", folder=place)
    assert proved.returncode == 0, proved.stderr
    assert json.loads(proved.stdout)["second"] > json.loads(proved.stdout)["first"] == int(seen.split("\n")[1])
    second = sign()
    assert second.returncode == 0, second.stderr
    assert (place / "w.key.seen").read_text("utf-8") != seen
    witnessed = run("ledger", "checkpoint", "--witnessed", "--home", "here", folder=place, HUITONG_LEDGER_WITNESSES=public).stdout
    assert second.stdout in witnessed
    told = json.loads(run("ledger", "status", "--home", "here", "--format", "json", folder=place, HUITONG_LEDGER_WITNESSES=public).stdout)
    assert [(one["witness"], one["size"]) for one in told["witnesses"]] == [(public, int(witnessed.split("\n")[1]))]

    shutil.rmtree(place / "here")
    shutil.move(place / "before", place / "here")  # another history with the same key, longer than the one that was signed
    kept = (place / "w.key.seen").read_text("utf-8")
    cut = sign()
    assert cut.returncode == 9 and cut.stdout == "" and "cut off" in cut.stderr
    for _ in range(6):
        assert run("ledger", "fold", "--home", "here", folder=place).returncode == 0
    forked = sign()
    assert forked.returncode == 9 and forked.stdout == "" and "FORKED" in forked.stderr
    assert (place / "w.key.seen").read_text("utf-8") == kept
    asked = run("ledger", "consistency", "w.key.seen", "--log-key", "log.vkeys", "--home", "here", folder=place)
    assert asked.returncode == 9
    assert run("ledger", "status", "--home", "here", folder=place).returncode == 0, "the instance works on without its witness"
