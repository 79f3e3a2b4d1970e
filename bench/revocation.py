"""How long a revoked grant is still honoured: a served instance with several web processes, each asked over and over by a connection
of its own, and a file that is being fetched.

    python -m bench revocation [--quick]

The instance is made and served as an operator would (`huitong serve --web 4`: engine broker, worker, web processes). Which process
answers a connection is read from the kernel's own tables. A round: a grant is given at once; every process answers a query under it;
it is revoked; measured is the time from the answer to the revocation until every process has refused, and whether any query that
began after that answer was still answered. A file (an extract) is fetched slowly under another grant, which is revoked in between;
measured is the time until the connection is broken off. The baseline of both is what was promised: 1 second, 5 seconds.
"""

import argparse
import contextlib
import http.client
import json
import os
import secrets
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench._serving import BASIS, PURPOSE, UNTIL, Served, entry, make_instance, public_item, serving

WEB = 4
ROUNDS, QUICK_ROUNDS = 20, 2
REFUSED_WITHIN, CUT_WITHIN = 1.0, 5.0
SMALL, LARGE = "civil.shelter", "civil.visit"


# --- the instance -------------------------------------------------------------------------------------------------------------------


def make(home: Path, rows: int) -> None:
    """An instance with a small and a large entry without condition. Runs in a process of its own."""

    def fill(inside: Any, officer: Any) -> None:
        for name, count in ((SMALL, 1_000), (LARGE, rows)):
            inside.platform.catalog.publish(entry(name, [public_item("shelter"), public_item("place")]), by=officer)
            file = home / "rows.csv"
            with file.open("w", encoding="utf-8") as out:
                out.write("shelter,place\n")
                out.writelines(f"s{number:09d},{secrets.token_hex(40)}\n" for number in range(count))
            inside.platform.intake.load(name, file, by=officer)
            file.unlink()

    make_instance(home, fill)


@contextlib.contextmanager
def served(*, rows: int, web: int = WEB) -> Iterator[Served]:
    """An instance that is made, served and gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="huitong-revocation-") as folder,
        serving(Path(folder), ["bench.revocation", "--rows", str(rows)], web=web) as server,
    ):
        yield server


# --- which process answers ------------------------------------------------------------------------------------------------------------


def process_of(connection: http.client.HTTPConnection, port: int) -> int | None:
    """The number of the process that holds the other end of the connection."""
    own = connection.sock.getsockname()[1]
    wanted = (f"{port:04X}", f"{own:04X}")
    inode = None
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        parts = line.split()
        if (parts[1].rpartition(":")[2], parts[2].rpartition(":")[2]) == wanted:
            inode = parts[9]
    for folder in Path("/proc").iterdir():
        if inode is not None and folder.name.isdigit():
            with contextlib.suppress(OSError):
                for handle in (folder / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        if str(handle.readlink()) == f"socket:[{inode}]":
                            return int(folder.name)
    return None


@contextlib.contextmanager
def one_of_each(server: Served, web: int) -> Iterator[dict[int, http.client.HTTPConnection]]:
    """A connection to each web process, by the number of the process."""
    found: dict[int, http.client.HTTPConnection] = {}
    with contextlib.ExitStack() as kept:
        for _ in range(40 * web):
            connection = kept.enter_context(server.connection())
            assert server.call(connection, "GET", "whoami")[0] == 200
            process = process_of(connection, server.port)
            if process is None or process in found:
                connection.close()
            else:
                found[process] = connection
            if len(found) == web:
                break
        assert len(found) == web, f"only {len(found)} of {web} web processes answered"
        yield found


# --- revocation in every process --------------------------------------------------------------------------------------------------------


@dataclass
class Asking:
    """Asks one process over and over; remembers when each query began and ended and what came of it."""

    server: Served
    connection: http.client.HTTPConnection
    stop: threading.Event
    answers: list[tuple[float, float, int]] = field(default_factory=list)

    def run(self) -> None:
        """Until it was told to stop."""
        body = {"sql": f"SELECT count(*) FROM {SMALL}", "purpose": PURPOSE}
        while not self.stop.is_set():
            began = time.monotonic()
            status, _ = self.server.call(self.connection, "POST", "query", body)
            self.answers.append((began, time.monotonic(), status))

    def last(self) -> int:
        """What came of the newest query; 0 before the first."""
        return self.answers[-1][2] if self.answers else 0


def grant_at_once(server: Served, connection: http.client.HTTPConnection, dataset: str) -> str:
    """A grant over an entry that is shared without condition."""
    wish = {"dataset": dataset, "purpose": PURPOSE, "legal_basis": BASIS, "until": UNTIL, "items": [{"item": "shelter"}, {"item": "place"}]}
    status, made = server.call(connection, "POST", "requests", wish)
    assert status == 201, made
    return str(made["grant"])


def revoke(server: Served, connection: http.client.HTTPConnection, grant: str) -> tuple[float, float]:
    """When the providing office's revocation was sent, and when it was answered."""
    began = time.monotonic()
    status, told = server.call(connection, "POST", f"grants/{grant}/revoke", {"words": "not needed any more"}, person="min")
    assert status == 200, told
    return began, time.monotonic()


@dataclass(frozen=True)
class Round:
    """One revocation while every process is being asked."""

    refused_after: float
    """Seconds from the answer to the revocation until the last process had refused for the first time."""
    refused_after_sent: float
    honoured_late: int
    """Queries that began after the answer to the revocation and were answered all the same."""
    processes: int


def one_round(server: Served, connections: Mapping[int, http.client.HTTPConnection]) -> Round:
    """Grant, ask in every process, revoke, wait for every process to refuse."""
    with server.connection() as officer:
        return _one_round(server, connections, officer)


def _one_round(
    server: Served, connections: Mapping[int, http.client.HTTPConnection], officer: http.client.HTTPConnection
) -> Round:
    grant = grant_at_once(server, officer, SMALL)
    stop = threading.Event()
    asking = [Asking(server, connection, stop) for connection in connections.values()]
    threads = [threading.Thread(target=one.run) for one in asking]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: all(one.last() == 200 for one in asking), 60, asking)
        sent, answered = revoke(server, officer, grant)
        _until(lambda: all(one.last() == 403 for one in asking), 60, asking)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    refused = [next(ended for began, ended, status in one.answers if status == 403 and ended > sent) for one in asking]
    late = sum(1 for one in asking for began, _, status in one.answers if status == 200 and began > answered)
    return Round(max(0.0, max(refused) - answered), max(refused) - sent, late, len(asking))


def _until(true: Any, seconds: float, asking: Sequence[Asking]) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, [one.answers[-3:] for one in asking]
        time.sleep(0.002)


# --- a file that is being fetched ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """One file whose grant was revoked while it was fetched."""

    after: float
    """Seconds from the answer to the revocation until the connection was broken off."""
    fetched: int
    whole: int
    """Bytes; of a file that was cut less were fetched."""


def cut_file(server: Served, rate: int) -> Cut:
    """Fetch the large entry as a file, `rate` bytes a second; revoke once some of it has come."""
    with server.connection() as connection, server.connection() as fetching:
        return _cut_file(server, rate, connection, fetching)


def _cut_file(
    server: Served, rate: int, connection: http.client.HTTPConnection, fetching: http.client.HTTPConnection
) -> Cut:
    grant = grant_at_once(server, connection, LARGE)
    status, extract = server.call(connection, "POST", "extracts", {"grant": grant, "format": "csv"})
    assert status == 201, extract
    end = time.monotonic() + 300
    while extract["state"] in ("waiting", "running"):
        assert time.monotonic() < end, extract
        time.sleep(0.2)
        _, extract = server.call(connection, "GET", f"extracts/{extract['id']}")
    assert extract["state"] == "ready", extract
    status, address = server.call(connection, "POST", f"extracts/{extract['id']}/addresses", {})
    assert status == 201, address
    fetching.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    fetching.request("GET", address["address"])
    answer = fetching.getresponse()
    assert answer.status == 200, answer.read()
    whole = int(answer.getheader("Content-Length") or extract["bytes"])
    fetched, began, revoked = 0, time.monotonic(), 0.0
    try:
        while True:
            piece = answer.read1(16_384)
            if not piece:
                break
            fetched += len(piece)
            if not revoked and fetched > whole // 20:
                _, revoked = revoke(server, connection, grant)
            behind = fetched / rate - (time.monotonic() - began)
            if behind > 0:
                time.sleep(behind)
    except (OSError, http.client.HTTPException):
        pass
    broken = time.monotonic()
    assert revoked, "the file was fetched before its grant was revoked"
    return Cut(broken - revoked, fetched, whole)


def extracts_there(server: Served) -> bool:
    """Whether this edition delivers files."""
    with server.connection() as connection:
        return server.call(connection, "GET", "extracts")[0] != 404


# --- the benchmark --------------------------------------------------------------------------------------------------------------------


def run(*, quick: bool) -> dict[str, Any]:
    """Measure; `quick` takes two rounds."""
    rounds, rows, rate, web = (QUICK_ROUNDS, 100_000, 1_000_000, 2) if quick else (ROUNDS, 1_500_000, 4_000_000, WEB)
    measures: dict[str, Any] = {"web processes": {"value": web}, "rounds": {"value": rounds}}
    with served(rows=rows, web=web) as server:
        with one_of_each(server, web) as connections:
            found = [one_round(server, connections) for _ in range(rounds)]
        waits = [one.refused_after for one in found]
        late = sum(one.honoured_late for one in found)
        measures["refused in every process after, median s"] = {"value": round(statistics.median(waits), 3)}
        measures["refused in every process after, longest s"] = {
            "value": round(max(waits), 3), "target": f"<= {REFUSED_WITHIN}", "met": max(waits) <= REFUSED_WITHIN,
        }  # fmt: skip
        measures["the same from when it was sent, longest s"] = {"value": round(max(one.refused_after_sent for one in found), 3)}
        measures["queries begun after it and answered all the same"] = {"value": late, "target": "0", "met": late == 0}
        if extracts_there(server):
            cuts = [cut_file(server, rate) for _ in range(1 if quick else 5)]
            longest = max(one.after for one in cuts)
            measures["a file being fetched is cut after, median s"] = {"value": round(statistics.median(one.after for one in cuts), 2)}
            measures["a file being fetched is cut after, longest s"] = {
                "value": round(longest, 2), "target": f"<= {CUT_WITHIN}", "met": longest <= CUT_WITHIN,
            }  # fmt: skip
            whole = sum(1 for one in cuts if one.fetched >= one.whole)
            measures["files that came whole all the same"] = {"value": whole, "target": "0", "met": whole == 0}
    load = [round(one, 1) for one in os.getloadavg()]
    measures["load of the machine"] = {"value": load[0]}
    return {"name": "revocation", "measures": measures, "method": " ".join((__doc__ or "").split())}


def main() -> None:
    """`python -m bench.revocation [--quick]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=1_000, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make, arguments.rows)
    else:
        print(json.dumps(run(quick=arguments.quick)["measures"], indent=1))


if __name__ == "__main__":
    main()
