"""The door before Django: whoever sends a body slowly, holds no thread and is cut."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from huitong.portal.api.front import GONE, Front, is_upload
from huitong.portal.api.limits import LIMITS

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

QUICK = replace(LIMITS, body_seconds=1, upload_pause_seconds=1, threads=1, upload_threads=1, bodies_at_once=2)
SILENCE = b"..."
"""Stands for a client that sends nothing more."""


@dataclass
class Call:
    """What granian gives for one call, and what it got back."""

    blocks: list[bytes]
    method: str = "POST"
    path: str = "/sign-in"
    headers: dict[str, str] = field(default_factory=dict)
    query_string: str = ""
    proto: str = "http"
    http_version: str = "1.1"
    scheme: str = "http"
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:50000"
    status: int = 0
    body: bytes = b""
    begun: bool = False
    leaves_after: float = 3600
    """Seconds after which the client hangs up."""

    async def client_disconnect(self) -> None:
        await asyncio.sleep(self.leaves_after)

    def __post_init__(self) -> None:
        length = str(sum(1000 if block == SILENCE else len(block) for block in self.blocks))
        self.headers = {"host": "localhost", "content-length": length} | self.headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        """As granian does it: the stream is its own iterator and is begun once."""
        assert not self.begun, "RSGI protocol error"
        self.begun = True
        return self

    async def __anext__(self) -> bytes:
        if not self.blocks:
            raise StopAsyncIteration
        block = self.blocks.pop(0)
        if block == SILENCE:
            await asyncio.sleep(60)
        return block

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.body = status, body
        assert all(name == name.lower() for name, _ in headers)


def echo(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1"), b" ", body]


def answered(*calls: Call, front: Front | None = None) -> list[int]:
    """The statuses of calls that come at once."""
    served = front or Front(echo, QUICK)

    async def all_of_them() -> None:
        await asyncio.gather(*(served.__rsgi__(call, call) for call in calls))

    asyncio.run(asyncio.wait_for(all_of_them(), 30))
    return [call.status for call in calls]


def test_a_whole_body_reaches_the_application() -> None:
    call = Call([b"one ", b"two"], path="/贵州")
    assert answered(call) == [200]
    assert call.body.decode() == "/贵州 one two"


def test_a_body_that_stops_coming_is_cut_and_holds_no_thread_meanwhile() -> None:
    free = threading.Event()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        free.set()
        return echo(environ, start)

    slow = [Call([b"a=1", SILENCE]) for _ in range(2)]
    other = Call([], method="GET")
    assert answered(*slow, other, front=Front(application, QUICK)) == [408, 408, 200]
    assert free.is_set()
    assert b"body-slow" in slow[0].body


def test_more_bodies_at_once_than_there_is_room_for_are_asked_to_come_again() -> None:
    assert answered(*(Call([b"a", SILENCE]) for _ in range(3)), Call([], method="GET")) == [408, 408, 503, 200]


def test_the_bodies_of_all_calls_together_have_a_budget_that_is_given_back() -> None:
    front = Front(echo, replace(QUICK, bodies_bytes=100, bodies_at_once=9))
    assert answered(Call([b"x" * 60, SILENCE]), Call([b"y" * 60]), front=front) == [408, 503]
    assert answered(Call([b"y" * 60]), front=Front(echo, front.limits)) == [200]
    assert (front._held, front._reading) == (0, 0)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (Call([b"x" * (LIMITS.body_bytes_without_token + 1)]), 413),
        (Call([b"x" * (LIMITS.body_bytes_without_token + 1)], headers={"authorization": "Bearer t"}), 200),
        (Call([b"x" * (LIMITS.body_bytes + 1)], headers={"authorization": "Bearer t"}), 413),
        (Call([b"x"], headers={"content-length": "2"}), 422),
        (Call([b"x"], headers={"transfer-encoding": "chunked"}), 411),
    ],
    ids=["large-without-token", "as-large-with-token", "too-large", "cut", "chunked"],
)
def test_how_large_a_body_may_be_and_that_it_must_be_whole(call: Call, status: int) -> None:
    call.status = 0
    expected = 400 if status == 422 else status
    assert answered(call) == [expected]


@pytest.mark.parametrize(("leaves_after", "told"), [(0.1, [False, True]), (3600, [False, False])], ids=["hangs up", "waits"])
def test_a_query_learns_that_its_client_has_hung_up(leaves_after: float, told: list[bool]) -> None:
    found: list[bool] = []

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found.append(environ[GONE]())
        until = time.monotonic() + 1
        while not environ[GONE]() and time.monotonic() < until:
            time.sleep(0.01)
        found.append(environ[GONE]())
        return echo(environ, start)

    header = {"huitong.gone": "x", "huitong-gone": "x"}
    call = Call([b"{}"], path="/api/v1/query", headers=header, leaves_after=leaves_after)
    assert answered(call, front=Front(application, QUICK)) == [200]
    assert found == told


UPLOAD = {"authorization": "Bearer t", "content-type": "text/csv"}
PLACE = "/api/v1/datasets/x/snapshots"


def reading(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """As Django does: what reading raises is told."""
    from huitong.errors import HuitongError

    try:
        return echo(environ, start)
    except HuitongError as error:
        start("408 Slow", [])
        return [error.reasons[0].code.encode()]


def test_a_file_is_read_by_its_own_threads_and_cut_when_it_stops() -> None:
    whole, slow, other = Call([b"a,b\n"] * 3, path=PLACE, headers=UPLOAD), Call([b"a", SILENCE], path=PLACE, headers=UPLOAD), Call([b"c"])
    assert answered(whole, front=Front(reading, QUICK)) == [200]
    assert whole.body.endswith(b"a,b\na,b\na,b\n")
    assert answered(slow, other, front=Front(reading, QUICK)) == [408, 200]
    assert slow.body == b"body-slow"


def test_json_is_a_file_only_where_snapshots_are_taken() -> None:
    """Else a few slow calls with any token at all would keep everybody's JSON waiting for the threads of files."""
    named = UPLOAD | {"content-type": "application/json"}
    slow = [Call([b"a", SILENCE], path=PLACE, headers=named) for _ in range(QUICK.upload_threads)]
    other = Call([b"{}"], path="/api/v1/query", headers=named)
    assert answered(*slow, other, front=Front(reading, QUICK))[-1] == 200
    assert not is_upload({"CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Bearer t", "PATH_INFO": "/api/v1/requests"})


def test_a_file_that_trickles_is_cut_too() -> None:
    crawling = replace(QUICK, upload_pause_seconds=0, upload_bytes_per_second=1)
    trickle = Call([b"a"] * 50, path=PLACE, headers=UPLOAD)
    assert answered(trickle, front=Front(reading, replace(crawling, upload_bytes_per_second=10**9))) == [408]


def test_more_files_at_once_than_threads_for_them_are_asked_to_come_again() -> None:
    first, second = Call([b"a", SILENCE], path=PLACE, headers=UPLOAD), Call([b"a"], path=PLACE, headers=UPLOAD)
    assert answered(first, second, front=Front(reading, QUICK)) == [408, 503]


def test_a_header_that_poses_as_another_is_left_out() -> None:
    from huitong.portal.api.front import environ_of

    environ = environ_of(Call([], headers={"x_forwarded_proto": "https", "cookie": "a=1"}))
    assert "HTTP_X_FORWARDED_PROTO" not in environ and environ["HTTP_COOKIE"] == "a=1"
