"""What `test_revocation_in_every_process` does with queries that run at its served instance: cancel one through another process than
the one that serves it, and press Ctrl-C at the command line. Both end long before the time limit, and the ledger says why."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.revocation import LARGE, PURPOSE, Served, grant_at_once, one_of_each, revoke

from huitong.client import Client
from huitong.errors import HuitongError

ENDLESS = f"SELECT count(*) AS n FROM {LARGE} a JOIN {LARGE} b ON a.place <> b.place JOIN {LARGE} c ON b.place <> c.place"
WITHIN_SECONDS = 6
"""A second until the engine's watcher looks, and what a busy machine needs; the time limit is 30."""


def until(found: Callable[[], Any], seconds: float = 20) -> Any:
    """What it gives, as soon as that is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "nothing came in time"
        time.sleep(0.1)
    return value


def last_use(client: Client, query: str) -> Any:
    """How a use ended, once its entries are in the tree."""
    return until(lambda: next((one for one in client.uses(as_="applicant")["uses"] if one["query"] == query), None))


def cancel_through_the_other_process(server: Served, client: Client) -> None:
    caught: list[HuitongError] = []
    ended: list[float] = []

    def ask() -> None:
        try:
            client.query(ENDLESS, purpose=PURPOSE)
        except HuitongError as error:
            caught.append(error)
        ended.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    with one_of_each(server, 2) as connections:
        for connection in connections.values():
            uses = until(lambda connection=connection: server.call(connection, "GET", "queries/running")[1]["uses"])
            assert [(one["person"], one["datasets"]) for one in uses] == [("wen", [LARGE])]
            assert server.call(connection, "GET", "queries/running", person="min")[1]["uses"] == []
            assert server.call(connection, "POST", f"queries/{uses[0]['query']}/cancel", {}, person="min")[0] == 404
        begun = time.monotonic()
        for connection in connections.values():  # one of them does not serve the query
            assert server.call(connection, "POST", f"queries/{uses[0]['query']}/cancel", {})[0] in (200, 404)
        asking.join(WITHIN_SECONDS)
        assert not asking.is_alive()
        assert ended[0] - begun < WITHIN_SECONDS
    assert [reason.code for reason in caught[0].reasons] == ["query-cancelled"]
    assert last_use(client, uses[0]["query"])["reasons"] == ["query-cancelled"]


def press_ctrl_c(server: Served, client: Client, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUITONG_")}
    environment |= {"HUITONG_PROFILE": str(folder / "profile.toml"), "HUITONG_TOKEN": server.tokens["wen"]}
    command = [sys.executable, "-m", "huitong.cli", "query", ENDLESS, "--purpose", PURPOSE, "--server", f"http://127.0.0.1:{server.port}"]
    asking = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    (use,) = until(lambda: client.running_uses()["uses"])
    asking.send_signal(signal.SIGINT)
    _, told = asking.communicate(timeout=20)
    assert (asking.returncode, told.strip()) == (130, "Stopped.")
    until(lambda: not client.running_uses()["uses"], WITHIN_SECONDS)
    assert last_use(client, use["query"])["reasons"] == ["query-caller-gone"]


def cancel_and_hang_up(server: Served, folder: Path) -> None:
    """Both, under a grant that is revoked afterwards."""
    with server.connection() as officer, Client(f"http://127.0.0.1:{server.port}", server.tokens["wen"]) as client:
        grant = grant_at_once(server, officer, LARGE)
        cancel_through_the_other_process(server, client)
        press_ctrl_c(server, client, folder)
        revoke(server, officer, grant)
