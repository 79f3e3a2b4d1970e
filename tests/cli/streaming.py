"""What `test_revocation_in_every_process` does with answers that stream from its served instance: their grant is revoked,
they are cancelled, their reader hangs up or takes nothing. Each ends within the promised five seconds, and the ledger says how many
rows had left."""

import hashlib
import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.revocation import CUT_WITHIN, LARGE, PURPOSE, Served, grant_at_once, process_of, revoke
from cancelling import last_use, until

from huitong.client import Client

NDJSON, ARROW, CSV = "application/x-ndjson", "application/vnd.apache.arrow.stream", "text/csv"
STATEMENT = f"SELECT shelter, place FROM {LARGE}"


def asking(connection: http.client.HTTPConnection, server: Served, form: str, sql: str = STATEMENT) -> http.client.HTTPResponse:
    """A streamed answer whose head has come, read through a small window."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    headers = {"Authorization": f"Bearer {server.tokens['wen']}", "Content-Type": "application/json", "Accept": form}
    connection.request("POST", "/api/v1/query", json.dumps({"sql": sql, "purpose": PURPOSE, "stream": True}), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return answer


def cut_after(server: Served, form: str, end: Callable[[str], Any], *, takes: bool) -> tuple[float, bytes, str]:
    """Seconds from `end` until the reader saw that nothing more comes, what it had got last, and the number of the query."""
    with server.connection() as connection:
        answer = asking(connection, server, form)
        query = answer.headers["Huitong-Query"]
        got = answer.read1(16_384)
        end(query)
        ended = time.monotonic()
        if not takes:
            poll = select.poll()
            poll.register(connection.sock, 0)
            assert poll.poll(1000 * CUT_WITHIN), "the connection is broken though nobody reads"
            return time.monotonic() - ended, got, query
        try:
            while piece := answer.read1(16_384):
                got = (got + piece)[-2000:]
                time.sleep(0.005)
            assert form == NDJSON, "only there the end is said"
        except (ConnectionResetError, http.client.IncompleteRead):
            assert form != NDJSON, "a reader is told why"
        return time.monotonic() - ended, got, query


def cut_whether_it_is_read_or_not(server: Served, client: Client) -> None:
    with server.connection() as officer:
        for form, takes in ((NDJSON, True), (ARROW, False)):
            grant = grant_at_once(server, officer, LARGE)
            seconds, got, query = cut_after(server, form, lambda _, grant=grant: revoke(server, officer, grant), takes=takes)
            assert seconds <= CUT_WITHIN, (form, takes)
            use = last_use(client, query)
            assert (use["end"], use["reasons"]) == ("failed", ["grant-ended-meanwhile"])
            assert 0 < use["rows"] < 100_000
            if form == NDJSON and takes:
                told = json.loads(got.splitlines()[-1])["huitong"]
                assert (told["problem"]["code"], told["rows"]) == ("grant-ended-meanwhile", use["rows"])


def cancelled_and_left(server: Served, client: Client) -> None:
    with server.connection() as officer:
        grant = grant_at_once(server, officer, LARGE)

        def cancel(query: str) -> None:
            until(lambda: query in {one["query"] for one in client.running_uses()["uses"]})
            client.cancel_use(query)

        seconds, _, query = cut_after(server, CSV, cancel, takes=False)
        assert seconds <= CUT_WITHIN
        assert last_use(client, query)["reasons"] == ["query-cancelled"]
        with server.connection() as connection:
            answer = asking(connection, server, CSV)
            query = answer.headers["Huitong-Query"]
            answer.read1(1024)
            answer.close()
        left = last_use(client, query)
        assert left["reasons"] == ["query-caller-gone"]
        assert 0 < left["rows"] < 100_000
        until(lambda: not client.running_uses()["uses"], 5)
        revoke(server, officer, grant)


def by_client_and_command(server: Served, client: Client, folder: Path) -> None:
    """The rows of a file that `--stream` makes are those of the client, and a command whose grant ends leaves no file."""
    with server.connection() as officer:
        grant = grant_at_once(server, officer, LARGE)
        with client.stream(STATEMENT, purpose=PURPOSE) as answer:
            rows = sum(batch.num_rows for batch in answer)
        assert rows == answer.rows == 100_000
        file = folder / "visits.csv"
        done = command(server, folder, "--output", str(file))
        _, told = done.communicate(timeout=60)
        assert done.returncode == 0, told
        assert len(file.read_bytes().splitlines()) == rows + 1
        query = next(word.rstrip(":") for word in told.split() if word.startswith("q-"))
        (outcome,) = [
            one["body"] for entry in client.receipt(query)["entries"] if (one := json.loads(entry["payload"]))["kind"] == "use-outcome"
        ]
        assert outcome["result_hash"] == hashlib.sha256(file.read_bytes()).hexdigest()
        slow = command(server, folder, "--format", "csv")
        slow.stdout.read(1000)  # type: ignore[union-attr]
        revoke(server, officer, grant)
        time.sleep(3)
        _, told = slow.communicate(timeout=20)
        assert slow.returncode not in (0, None)
        assert "broke off" in told
        assert not [one for one in folder.iterdir() if one.name.startswith(".visits")]


def command(server: Served, folder: Path, *more: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUITONG_")}
    environment |= {"HUITONG_PROFILE": str(folder / "profile.toml"), "HUITONG_TOKEN": server.tokens["wen"], "LANG": "en_US.UTF-8"}
    arguments = ["query", STATEMENT, "--purpose", PURPOSE, "--stream", "--server", f"http://127.0.0.1:{server.port}", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "huitong.cli", *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def resident(process: int) -> int:
    """Megabytes of memory of a process."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024


def memory_of(server: Served, form: str) -> tuple[int, int]:
    """By how many megabytes the web process grows while it streams the whole entry, read at full speed; and the bytes that came. What any
    query needs is there already: the first one loads the parsers."""
    with server.connection() as connection:
        one_row = {"sql": f"{STATEMENT} LIMIT 1", "purpose": PURPOSE}
        assert server.call(connection, "POST", "query", one_row)[0] == 200
        process = process_of(connection, server.port)
        assert process is not None
        before, most, stop = resident(process), [0], threading.Event()

        def watch() -> None:
            while not stop.is_set():
                most[0] = max(most[0], resident(process))
                stop.wait(0.02)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            answer, size = asking(connection, server, form), 0
            while piece := answer.read1(1 << 20):
                size += len(piece)
        finally:
            stop.set()
            watching.join()
        return most[0] - before, size
