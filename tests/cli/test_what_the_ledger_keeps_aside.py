"""What stands beside the ledger, by commands on a real instance: time stamps that its worker fetches, texts behind hashes, the list of
uses made anew."""

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_instance_commands import HUITONG, environment, run
from tests.unit.ledger.stamp_service import Service, make_authority, openssl, served

pytestmark = pytest.mark.slow
WORDS = "Yearly change, 年度更换"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an instance in `here` whose key was changed with words, and in which a query was refused."""
    folder = tmp_path_factory.mktemp("l")
    assert run("init", "--home", "here", folder=folder).returncode == 0
    token = (folder / "here" / "operator.token").read_text("utf-8").strip()
    asked = ("query", "SELECT a FROM nothing", "--purpose", "medical-security", "--home", "here")
    assert run(*asked, folder=folder, HUITONG_TOKEN=token).returncode == 6
    command(folder, "rotate-key", "--words", WORDS)
    return folder


def command(place: Path, *arguments: str, code: int = 0, **more: str) -> Any:
    """`huitong ledger ARGUMENTS`, as JSON."""
    done = run("ledger", *arguments, "--home", "here", "--format", "json", folder=place, **more)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout or done.stderr)


@contextmanager
def database(place: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(place / "here" / "control.sqlite3", timeout=30)) as opened, opened:
        yield opened


def rows(place: Path, statement: str) -> list[tuple[Any, ...]]:
    with database(place) as opened:
        return opened.execute(statement).fetchall()


@dataclass(frozen=True)
class Working:
    """A worker that runs, and the time-stamping service that it is told of."""

    worker: subprocess.Popen[bytes]
    service: Service
    root: Path
    settings: dict[str, str]


@pytest.fixture(scope="module")
def working(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    folder = tmp_path_factory.mktemp("a")
    root = make_authority(folder / "authority")
    (folder / "trusted").mkdir()
    (folder / "trusted" / "test.pem").write_bytes(root.read_bytes())
    service = Service(folder / "authority")
    with served(service) as url, (place / "worker.log").open("ab") as log:
        settings = {"HUITONG_LEDGER_STAMP_SERVICES": f"test={url}", "HUITONG_LEDGER_STAMP_CERTIFICATES": str(folder / "trusted")}
        call, allowed = [*HUITONG, "worker", "--home", "here"], environment(place, **settings)
        worker = subprocess.Popen(call, cwd=place, env=allowed, stdout=log, stderr=log)
        try:
            yield Working(worker, service, root, settings)
        finally:
            worker.terminate()
            worker.wait(30)


def test_the_text_behind_a_hash_is_shown_and_once_erased_is_gone(place: Path, working: Working) -> None:
    assert working.worker.poll() is None
    both = ("audit_entry", "audit_pending")
    found = [body for table in both for (body,) in rows(place, f"SELECT payload FROM {table} WHERE kind = 'ledger-key-changed'")]
    (payload,) = found
    assert WORDS not in payload.decode()
    digest = json.loads(payload)["body"]["words"]["sealed"]
    shown = command(place, "literal", digest)
    assert (shown["hash"], shown["text"]) == (digest, WORDS) and shown["salt"]
    assert command(place, "erase-literal", digest) == {"erased": digest}
    assert command(place, "literal", digest, code=4)["reasons"][0]["code"] == "ledger-literal-unknown"
    assert rows(place, f"SELECT digest FROM audit_literal WHERE digest = '{digest}'") == []
    told = [body.decode() for table in both for (body,) in rows(place, f"SELECT payload FROM {table}")]
    assert sum(f'"ledger-literal {digest}' in body for body in told) == 2, "who looked is in the ledger"
    assert sum(f'"ledger-erase-literal {digest}' in body for body in told) == 1


def test_the_worker_has_checkpoints_stamped_and_the_command_exports_what_openssl_verifies(
    place: Path, working: Working, tmp_path: Path
) -> None:
    end = time.monotonic() + 60
    while not rows(place, "SELECT size FROM audit_stamp"):
        assert time.monotonic() < end and working.worker.poll() is None, (place / "worker.log").read_text("utf-8")
        time.sleep(0.1)
    working.worker.terminate()
    assert working.worker.wait(30) == 0
    assert working.service.asked == 1, "the stamp is young: nothing more was asked"
    (told,) = command(place, "stamps", "--export", str(tmp_path / "out"))["stamps"]
    assert rows(place, "SELECT size, service FROM audit_stamp") == [(told["size"], told["service"])] == [(told["size"], "test")]
    note, answer = (tmp_path / "out" / f"{told['size']}.{ending}" for ending in ("checkpoint", "test.tsr"))
    assert rows(place, f"SELECT note FROM audit_checkpoint WHERE size = {told['size']}") == [(note.read_text("utf-8"),)]
    assert "Verification: OK" in openssl("ts", "-verify", "-data", note, "-in", answer, "-CAfile", working.root)


def test_a_list_of_uses_that_was_changed_is_named_and_made_anew_from_the_ledger(place: Path, working: Working) -> None:
    """The audit after it holds for the stamp and the erased text too."""
    lines = 'SELECT place, query, office, person, purpose, "end", reasons FROM audit_useline'
    before = rows(place, lines)
    assert [line[2:6] for line in before] == [("operations", "operator", "medical-security", "refused")]
    with database(place) as opened:
        opened.execute("UPDATE audit_useline SET person = 'somebody'")
        opened.execute(
            "INSERT INTO audit_useline SELECT id + 1, place + 1, position, query, dataset, office, person, post, purpose, legal_basis,"
            ' "grant", version, snapshot, mode, door, "end", at, ended_at, rows, duration, items, reasons FROM audit_useline'
        )
    faults = command(place, "audit", code=9, **working.settings)["faults"]
    assert len(faults) == 2 and all(before[0][1] in fault for fault in faults)
    assert command(place, "rebuild-uses") == {"uses": 1}
    assert rows(place, lines) == before
    assert command(place, "audit", **working.settings)["faults"] == []
