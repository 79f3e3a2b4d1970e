"""A file on its way through the real server: a slow client holds no memory, a client whose right ends is cut, and knows it."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MEGABYTE = 1_048_576


@dataclass
class Server:
    port: int
    process: "subprocess.Popen[bytes]"
    peers: list[socket.socket] = field(default_factory=list)

    def ask(self, path: str, method: str = "GET") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return json.loads(body) if response.headers["Content-Type"] == "application/json" else (response.headers, body)

    def reading(self, megabytes: int) -> socket.socket:
        """A client that has asked for a file and read the head of it."""
        peer = socket.socket()
        self.peers.append(peer)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        peer.settimeout(20)
        peer.connect(("127.0.0.1", self.port))
        peer.sendall(f"GET /file?bytes={megabytes * MEGABYTE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert peer.recv(15) == b"HTTP/1.1 200 OK"
        return peer

    def resident(self) -> int:
        """Megabytes of memory of the process that serves."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = [Path(f"/proc/{child}/status").read_text() for child in children]
        return max(int(one.partition("VmRSS:")[2].split()[0]) // 1024 for one in status if "VmRSS:" in one)

    def wait_for(self, wanted: Callable[[Any], bool], seconds: float = 10) -> Any:
        end = time.monotonic() + seconds
        while not wanted(state := self.ask("/state")):
            assert time.monotonic() < end, state
            time.sleep(0.05)
        return state


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.api.download_server", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)
        made = Server(port, process)
        yield made
        for peer in made.peers:
            peer.close()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_file_arrives_whole_and_is_completed_when_it_has_arrived(server: Server) -> None:
    headers, body = server.ask(f"/file?bytes={20 * MEGABYTE + 7}")
    assert len(body) == int(headers["Content-Length"]) == 20 * MEGABYTE + 7
    assert server.wait_for(lambda state: not state["sending"])["became"] == ["completed"]


@pytest.mark.slow
def test_a_client_whose_right_ends_is_cut_within_five_seconds_and_knows_it(server: Server) -> None:
    slow = server.reading(1000)
    got = 0
    for _ in range(20):
        got += len(slow.recv(65_536))
        time.sleep(0.02)
    server.ask("/end")
    ended = time.monotonic()
    with pytest.raises(ConnectionResetError):
        while piece := slow.recv(65_536):
            got += len(piece)
            time.sleep(0.02)
    assert time.monotonic() - ended < 5
    assert got < 1000 * MEGABYTE
    assert server.wait_for(lambda state: not state["sending"])["became"] == ["cut"]


@pytest.mark.slow
def test_a_client_that_takes_nothing_is_cut_too_and_fills_no_memory(server: Server) -> None:
    before = server.resident()
    stalled = [server.reading(500) for _ in range(4)]
    time.sleep(1.5)
    assert server.resident() - before < 60
    server.ask("/end")
    ended = time.monotonic()
    for peer in stalled:
        poll = select.poll()
        poll.register(peer, 0)
        assert poll.poll(5000)
    assert time.monotonic() - ended < 5
    assert server.wait_for(lambda state: not state["sending"])["became"] == ["cut"] * 4


@pytest.mark.slow
def test_a_client_that_leaves_is_noticed(server: Server) -> None:
    peer = server.reading(500)
    peer.close()
    assert server.wait_for(lambda state: state["became"])["became"] == ["left"]
