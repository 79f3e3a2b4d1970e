"""A process is made ready before its query comes. It is no other than one that is made for a query, and holds nothing of anybody's."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_under_test import Engine

from huitong.engines import frames

pytestmark = pytest.mark.slow
COUNT = "SELECT count(*) AS n FROM t_9f"


def wait_until(true: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return False


def ready(engine: Engine) -> int:
    assert wait_until(lambda: engine.ready() is not None)
    found = engine.ready()
    assert found is not None
    return found


def test_a_query_gets_the_process_that_stands_ready_and_the_next_is_made(engine: Engine) -> None:
    before = ready(engine)
    assert engine.run(COUNT).column("n").to_pylist() == [1000]
    assert wait_until(lambda: engine.ready() not in (None, before))
    assert wait_until(lambda: not Path(f"/proc/{before}").exists())


def test_it_has_one_thread_and_no_descriptor_of_a_client(engine: Engine) -> None:
    waiting = ready(engine)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(engine.client.socket_path))
        os.kill(waiting, signal.SIGKILL)  # the next is made while this client's connection is open
        assert wait_until(lambda: engine.ready() not in (None, waiting), 10)
        process = ready(engine)

        def held() -> list[str]:
            found = []
            for entry in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile: it is still getting warm
                    found.append(str(entry.readlink()))
            return found

        assert wait_until(lambda: sum(link.startswith("socket:") for link in held()) == 1)  # that over which its query comes
        assert wait_until(lambda: {link for link in held() if not link.startswith("socket:")} == {os.devnull})
        assert len(list(Path(f"/proc/{process}/task").iterdir())) == 1


def test_a_client_that_is_dropped_hears_of_it_although_a_process_stands_ready(engine: Engine) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(engine.client.socket_path))
        client.settimeout(5)
        ready(engine)
        client.sendall(b"\xff" * frames.REQUEST_HEAD.size)
        while client.recv(4096):
            pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_if_it_dies_queries_go_on(engine: Engine, number: signal.Signals) -> None:
    os.kill(ready(engine), number)
    for _ in range(3):
        assert engine.run(COUNT).column("n").to_pylist() == [1000]


def test_one_that_is_stopped_holds_up_nobody_for_long(engine: Engine) -> None:
    """Its query is refused a little after its own limit, the next is answered."""
    os.kill(ready(engine), signal.SIGSTOP)
    with pytest.raises(Exception, match="query-time-limit"):
        engine.run(COUNT, seconds=1)
    assert engine.run(COUNT).column("n").to_pylist() == [1000]


def test_a_long_statement_reaches_it_whole(engine: Engine) -> None:
    longest = " OR ".join(f"age = {number}" for number in range(20_000, 26_000))
    assert engine.run(f"{COUNT} WHERE age = 7 OR {longest}", seconds=60).column("n").to_pylist() == [1]


def test_when_the_broker_ends_it_ends(tmp_path: Path) -> None:
    from engine_under_test import make_lake

    from huitong.engines.broker import BrokerSettings, start
    from huitong.engines.client import EngineClient

    lake, address = make_lake(tmp_path), tmp_path / "engine.sock"
    with start(BrokerSettings(socket=address, lake=lake)) as handle:
        one = Engine(tmp_path, handle, EngineClient(address))
        waiting = ready(one)
        handle.process.kill()
        handle.process.wait()
        assert wait_until(lambda: not Path(f"/proc/{waiting}").exists())


def test_none_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    from engine_under_test import make_lake

    from huitong.engines.broker import BrokerSettings, start
    from huitong.engines.client import EngineClient

    lake, address = make_lake(tmp_path), tmp_path / "engine.sock"
    with start(BrokerSettings(socket=address, lake=lake, ready=0)) as handle:
        one = Engine(tmp_path, handle, EngineClient(address))
        for _ in range(2):
            assert one.run(COUNT).column("n").to_pylist() == [1000]
            assert one.ready() is None
