"""No statement fills the memory of the one who asks: a result beyond its bytes is stopped where it is made, and once more on arrival."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_under_test import Engine, make_lake

from huitong.engines import frames
from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused
from huitong.words import render

MEGABYTE = 1_048_576
LONG = f"SELECT replace('{'a' * 2000}', 'a', '{'b' * 50}') AS long, id FROM t_9f"  # 100 kB in each of a thousand rows


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that gives at most 4 MB."""
    home = tmp_path_factory.mktemp("engine")
    socket_path, lake = home / "engine.sock", make_lake(home)
    with start(BrokerSettings(socket=socket_path, lake=lake, processes=2, result_bytes=4 * MEGABYTE)) as handle:
        yield Engine(home, handle, EngineClient(socket_path))


def refused(engine: Engine, client: EngineClient, sql: str, *, rows: int = 100_000, megabytes: int = 400) -> Refused:
    with pytest.raises(Refused) as caught:
        client.run(engine.query(sql, rows=rows, megabytes=megabytes))
    return caught.value


def test_a_result_beyond_its_bytes_is_stopped_by_the_engine(small: Engine) -> None:
    error = refused(small, small.client, LONG)
    assert error.query == "Q-1"
    assert [(reason.code, dict(reason.parameters)) for reason in error.reasons] == [
        ("query-result-too-large", {"query": "Q-1", "megabytes": "4"})
    ]
    assert "4 MB" in render(error.reasons[0], "en")
    assert "4 MB" in render(error.reasons[0], "zh-Hans")


def test_many_small_batches_add_up(small: Engine) -> None:
    sql = "SELECT range AS n, md5(range::VARCHAR) AS h FROM range(400000)"
    assert refused(small, small.client, sql, rows=10**7).reasons[0].code == "query-result-too-large"


def test_a_result_within_its_bytes_arrives_and_the_engine_goes_on(small: Engine) -> None:
    assert small.run(LONG, rows=30).nbytes > 3_000_000
    refused(small, small.client, LONG)
    assert small.run("SELECT count(*) AS n FROM t_9f").to_pylist() == [{"n": 1000}]


def test_the_near_end_takes_no_more_than_its_own_limit(engine: Engine) -> None:
    careful = EngineClient(engine.client.socket_path, result_bytes=4 * MEGABYTE)
    assert refused(engine, careful, LONG).reasons[0].code == "query-result-too-large"
    assert careful.run(engine.query(LONG, rows=30)).num_rows == 30


def test_an_engine_that_never_stops_sending_is_left(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "liar.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        sent = 0

        def lie() -> None:
            nonlocal sent
            peer, _ = listener.accept()
            with peer:
                peer.recv(MEGABYTE)
                piece = struct.pack("<iI", -1, 1 << 29) + bytes(MEGABYTE - 8)  # announces half a gigabyte of Arrow
                try:
                    while sent < 300:
                        peer.sendall(frames.frame(frames.DATA, piece))
                        sent += 1
                except OSError:
                    pass

        liar = threading.Thread(target=lie)
        liar.start()
        error = refused(engine, EngineClient(path, result_bytes=4 * MEGABYTE), "SELECT 1 AS n")
        liar.join(10)
    assert error.reasons[0].code == "query-result-too-large"
    assert sent < 20


@pytest.mark.slow
@pytest.mark.parametrize("times", [3, 30])
def test_the_limit_in_use_stops_gigabytes(engine: Engine, times: int) -> None:
    """Three hundred megabytes pass the limit while they are sent; three gigabytes do not even fit one batch."""
    error = refused(engine, engine.client, f"{LONG}, range({times})", megabytes=2048)
    assert [(reason.code, reason.parameters["megabytes"]) for reason in error.reasons] == [("query-result-too-large", "256")]
