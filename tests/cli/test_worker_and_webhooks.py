"""A real instance, a real worker: what it sends arrives at a receiver that is not ours, and a worker killed in the middle loses nothing."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.cli.test_instance_commands import HUITONG, environment, free_port, run
from tests.portal.notices.receiver import Receiver, answer, receiving

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks-and-notices.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an instance in `here`, and the token of a data officer in `token`."""
    folder = tmp_path_factory.mktemp("i")
    done = run("init", "--home", "here", "--operator", "shi", folder=folder)
    assert done.returncode == 0, done.stderr
    office = json.loads(run("office", "search", "--format", "json", folder=folder, **token_of(folder / "here" / "operator.token")).stdout)
    add = ("account", "add", "zhou", "--name", "周杰", "--office", office["offices"][0]["id"], "--role", "data-officer")
    assert run(*add, "--home", "here", "--operator", "shi", folder=folder).returncode == 0
    issued = run("account", "token", "zhou", "--home", "here", "--operator", "shi", "--format", "json", folder=folder)
    (folder / "token").write_text(json.loads(issued.stdout)["token"])
    return folder


def token_of(file: Path) -> dict[str, str]:
    home = file.parent if file.parent.name == "here" else file.parent / "here"
    return {"HUITONG_TOKEN": file.read_text().strip(), "HUITONG_HOME": str(home)}


def officer(place: Path, *arguments: str, port: int) -> dict:
    """`huitong ARGUMENTS` of the data officer, as JSON."""
    done = run(*arguments, "--format", "json", folder=place, **token_of(place / "token"), HUITONG_WEBHOOK_HOSTS=f"127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


@contextmanager
def worker(place: Path, *, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A background worker that runs until the end of the block, or until it is killed."""
    arguments = [*HUITONG, "worker", "--home", "here", "--operator", "shi"]
    allowed = environment(place, HUITONG_WEBHOOK_HOSTS=f"127.0.0.1:{port}")
    with (place / "worker.log").open("ab") as log:
        process = subprocess.Popen(arguments, cwd=place, env=allowed, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def deliveries(place: Path) -> Iterator[sqlite3.Connection]:
    """The table of messages itself: a command for each look would take longer than what it looks at."""
    with closing(sqlite3.connect(place / "here" / "control.sqlite3", timeout=30)) as database, database:
        yield database


def states(place: Path, webhook: str) -> list[tuple[str, int]]:
    with deliveries(place) as database:
        found = database.execute("SELECT state, attempts FROM notices_delivery WHERE subscription_id = ?", [webhook])
        return [tuple(row) for row in found]


def test_a_worker_killed_between_sending_and_noting_it_sends_again_with_the_same_id(place: Path) -> None:
    system, answering = Receiver(), threading.Event()

    def act(handler) -> None:
        if answering.is_set():
            answer(handler, 204)
        else:
            system.closing.wait(60)

    system.act = act
    with receiving(system):
        made = officer(place, "webhook", "add", system.url(), port=system.port)
        webhook = made["webhook"]["id"]
        officer(place, "webhook", "test", webhook, port=system.port)
        with worker(place, port=system.port) as first:
            wait_until(lambda: len(system.received) == 1)
            first.kill()
            first.wait()
        assert states(place, webhook) == [("sending", 1)]
        answering.set()
        with deliveries(place) as database:
            database.execute("UPDATE notices_delivery SET claimed_until = '2026-01-01 00:00:00'")  # its claim runs out
        with worker(place, port=system.port) as second:
            wait_until(lambda: len(system.received) == 2)
            wait_until(lambda: states(place, webhook) == [("sent", 2)])
            second.terminate()
            assert second.wait(30) == 0
        assert len(set(system.ids)) == 1
        (told,) = officer(place, "webhook", "deliveries", webhook, port=system.port)["deliveries"]
        assert (told["id"], told["state"], told["attempts"]) == (system.ids[0], "sent", 2)
        officer(place, "webhook", "remove", webhook, port=system.port)


def test_the_receiver_of_the_page_takes_what_the_worker_sends(place: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(# receiver\.py.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "receiver.py").write_text(code, "utf-8")
    port = free_port()
    made = officer(place, "webhook", "add", f"http://127.0.0.1:{port}/huitong", port=port)
    webhook = made["webhook"]["id"]
    arguments = [sys.executable, "receiver.py", str(port)]
    secret = {**os.environ, "WEBHOOK_SECRET": made["secret"]}
    with subprocess.Popen(arguments, cwd=tmp_path, env=secret, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            officer(place, "webhook", "test", webhook, port=port)
            with worker(place, port=port):
                wait_until(lambda: states(place, webhook)[0][0] == "sent")
            assert receiver.stdout is not None
            message = json.loads(receiver.stdout.readline())
            assert (message["type"], message["data"]["subscription"]) == ("test", webhook)
        finally:
            receiver.terminate()
            receiver.wait(30)


def test_the_doctor_says_whether_e_mail_leaves(place: Path) -> None:
    def mail(**settings: str) -> tuple[str, str]:
        done = run("doctor", "--home", "here", "--operator", "shi", "--format", "json", folder=place, **settings)
        (found,) = [one for one in json.loads(done.stdout) if one["check"] == "mail"]
        return found["state"], found["detail"]

    state, detail = mail()
    assert (state, "No e-mail leaves" in detail) == ("ok", True)
    server = {"HUITONG_SMTP_HOST": "mail.example.gov.cn", "HUITONG_SMTP_FROM": "huitong@data.example.gov.cn"}
    state, detail = mail(**server)
    assert (state, detail) == ("ok", "E-mail leaves by mail.example.gov.cn:587, to addresses of data.example.gov.cn.")
    state, detail = mail(**server, HUITONG_SMTP_USER="huitong")
    assert state == "wrong"
    kept = run("notice", "smtp-password", "--home", "here", "--operator", "shi", folder=place, give="correct horse\n")
    assert kept.returncode == 0, kept.stderr
    assert "correct horse" not in kept.stdout + kept.stderr
    assert mail(**server, HUITONG_SMTP_USER="huitong")[0] == "ok"
    assert mail(**server, HUITONG_SMTP_USER="huitong", HUITONG_SMTP_TLS="off")[0] == "wrong"
