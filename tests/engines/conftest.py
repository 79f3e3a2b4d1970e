"""One broker with one small table for all tests of a file."""

from collections.abc import Iterator

import pytest
from engine_under_test import Engine, make_lake

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("engine")
    lake = make_lake(home)
    socket = home / "engine.sock"
    with start(BrokerSettings(socket=socket, lake=lake, processes=2, waiting=2, waiting_seconds=2)) as handle:
        yield Engine(home, handle, EngineClient(socket))
