"""What a query that never ends costs others: it stands back, and a place stays open for those that are short."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_under_test import Engine, make_lake

from huitong.engines import frames
from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Unavailable

pytestmark = pytest.mark.slow

ENDLESS = "SELECT count(*) AS n FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE (a.range + b.range * c.range) % 7 = 3"
PLACES = 2


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("runaway")
    settings = BrokerSettings(socket=home / "e.sock", lake=make_lake(home), processes=PLACES, waiting_seconds=3)
    with start(settings) as handle:
        yield Engine(home, handle, EngineClient(home / "e.sock"))


def soon(engine: Engine, true: Callable[[dict[str, int]], bool]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if true(dict(engine.client.status())):
            return True
        time.sleep(0.02)
    return False


@contextmanager
def runaways(engine: Engine, count: int) -> Iterator[list[socket.socket]]:
    """So many queries that never end; they are given up when the block is left."""
    peers = []
    for _ in range(count):
        peers.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        peers[-1].connect(str(engine.client.socket_path))
        peers[-1].sendall(frames.request("run", frames.query_as_json(engine.query(ENDLESS, seconds=60))))
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()
        assert soon(engine, lambda status: status["running"] == 0)


def test_a_query_that_runs_long_gets_only_the_processor_time_that_nobody_wants(engine: Engine) -> None:
    with runaways(engine, 1):
        assert soon(engine, lambda status: status["long"] == 1)
        (child,) = engine.children()
        threads = [int(thread.name) for thread in Path(f"/proc/{child}/task").iterdir()]
        assert len(threads) > 1
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
        assert os.sched_getscheduler(engine.handle.process.pid) == os.SCHED_OTHER


def test_an_ordinary_query_is_never_long(engine: Engine) -> None:
    for _ in range(3):
        engine.run("SELECT count(*) AS n FROM t_9f")
        assert engine.client.status()["long"] == 0


def test_while_long_queries_hold_all_places_one_more_is_open_for_short_ones_only(engine: Engine) -> None:
    """A third long one begins there, turns out to be long, gives the place back and begins again when a long one has ended."""
    with runaways(engine, PLACES) as first:
        assert soon(engine, lambda status: status["long"] == PLACES)
        for _ in range(2):
            assert engine.run("SELECT count(*) AS n FROM t_9f").column("n").to_pylist() == [1000]
        with runaways(engine, 1):
            assert soon(engine, lambda status: status["running"] == PLACES + 1)
            assert soon(engine, lambda status: status["running"] == PLACES and status["waiting"] == 1)
            assert engine.run("SELECT count(*) AS n FROM t_9f").num_rows == 1
            first[0].close()
            assert soon(engine, lambda status: status["long"] == PLACES and status["waiting"] == 0)
            for peer in first:
                peer.close()


def test_one_that_finds_no_place_for_long_queries_in_time_is_told_that_the_engine_is_busy(engine: Engine) -> None:
    with runaways(engine, PLACES):
        assert soon(engine, lambda status: status["long"] == PLACES)
        with pytest.raises(Unavailable) as busy:
            engine.run(ENDLESS, seconds=8)
        assert [reason.code for reason in busy.value.reasons] == ["engine-busy"]


def test_a_long_result_that_began_in_the_open_place_ends_with_a_reason_never_with_half(engine: Engine) -> None:
    """What was sent cannot be sent again, so it cannot begin again."""
    with runaways(engine, PLACES):
        assert soon(engine, lambda status: status["long"] == PLACES)
        with pytest.raises(Unavailable) as ended:
            engine.run("SELECT range AS n, md5(md5(md5(range::VARCHAR))) AS h FROM range(100000000)", seconds=9, rows=100_000_000)
        assert ended.value.reasons[0].code in ("engine-busy", "engine-crashed")


def test_the_limits_say_when_a_query_is_long() -> None:
    assert 0 < frames.LONG_SECONDS < frames.LONG_BY_CLOCK_SECONDS < 30
