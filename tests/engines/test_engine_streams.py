"""A result that is taken away piece by piece: more bytes than an answer may have, never half, and nobody holds all of it."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from engine_under_test import Engine, make_lake

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused, Unavailable

MEGABYTE = 1_048_576
NUMBERS = "SELECT range AS n, md5(range::VARCHAR) AS h FROM range(400000) ORDER BY n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that gives at most 4 MB at once, and 32 MB piece by piece."""
    home = tmp_path_factory.mktemp("engine")
    socket_path, lake = home / "engine.sock", make_lake(home)
    settings = BrokerSettings(socket=socket_path, lake=lake, processes=2, result_bytes=4 * MEGABYTE, stream_bytes=32 * MEGABYTE)
    with start(settings) as handle:
        yield Engine(home, handle, EngineClient(socket_path))


def streamed(engine: Engine, sql: str, **more: object) -> Iterator[pa.RecordBatch]:
    return engine.client.stream(replace(engine.query(sql, **more), stream=True))  # type: ignore[arg-type]


def test_more_bytes_come_piece_by_piece_than_at_once(small: Engine) -> None:
    with pytest.raises(Refused):
        small.run(NUMBERS, rows=10**7)
    batches = list(streamed(small, NUMBERS, rows=10**7))
    assert sum(batch.num_rows for batch in batches) == 400_000
    assert max(batch.num_rows for batch in batches) <= 32_768
    assert batches[0].column(0)[0].as_py() == 0
    assert batches[-1].column(0)[-1].as_py() == 399_999


def test_a_stream_has_its_own_limit_of_bytes(small: Engine) -> None:
    with pytest.raises(Refused) as caught:
        list(streamed(small, "SELECT range AS n, md5(range::VARCHAR) AS h FROM range(4000000)", rows=10**7))
    assert [(one.code, one.parameters["megabytes"]) for one in caught.value.reasons] == [("query-result-too-large", "32")]


def test_an_empty_result_still_has_its_items(small: Engine) -> None:
    (batch,) = streamed(small, "SELECT id, age FROM t_9f WHERE age < 0")
    assert (batch.num_rows, batch.schema.names) == (0, ["id", "age"])


def test_a_stream_that_breaks_is_no_result(small: Engine) -> None:
    """The error comes after the first batches were given: whoever wrote them down throws them away."""
    pieces = streamed(small, NUMBERS, rows=10**7)
    next(pieces)
    (child,) = small.children()

    os.kill(child, signal.SIGKILL)
    with pytest.raises(Unavailable) as caught:
        list(pieces)
    assert caught.value.reasons[0].code == "engine-crashed"


def test_a_stream_that_nobody_wants_any_more_ends_the_engines_work(small: Engine) -> None:
    pieces = streamed(small, "SELECT range AS n FROM range(400000)", rows=10**7)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 5
    while small.children() and time.monotonic() < end:
        time.sleep(0.02)
    assert small.children() == []


def test_what_the_engine_says_of_a_statement_stays_inside(small: Engine, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        list(streamed(small, "SELECT no_such_item FROM t_9f"))
    assert [one.code for one in caught.value.reasons] == ["query-failed"]
