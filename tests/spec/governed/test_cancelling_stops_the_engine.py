"""A cancelled query does not work on: its engine process is gone a second or two later, long before its time limit."""

import threading
import time
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import ANALYST, COMPANY, World
from tests.spec.governed.test_revocation_stops_the_engine import ALLOWED_SECONDS, ENDLESS

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused

pytestmark = pytest.mark.slow


def test_cancelling_ends_the_engine_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    firms = [{"cid": f"c{number}", "owner_pid": None, "capital": number, "division": None} for number in range(20_000)]
    world.load(COMPANY, firms)
    cancelled_at: list[float] = []

    def cancel() -> None:
        while not (found := world.running.running(by=ANALYST)):
            time.sleep(0.05)
        world.running.cancel(found[0].query, by=ANALYST)
        cancelled_at.append(time.monotonic())

    with start(BrokerSettings(socket=tmp_path / "engine.sock", lake=tmp_path)):
        client = EngineClient(tmp_path / "engine.sock")
        world.engine = client  # type: ignore[assignment]
        world.gateway = world.make_gateway()
        other = threading.Thread(target=cancel)
        other.start()
        with pytest.raises(Refused) as caught:
            world.ask(ENDLESS)
        other.join()
        assert {reason.code for reason in caught.value.reasons} == {"query-cancelled"}
        assert time.monotonic() - cancelled_at[0] < ALLOWED_SECONDS
        until = time.monotonic() + ALLOWED_SECONDS
        while client.status()["running"] and time.monotonic() < until:
            time.sleep(0.05)
        assert client.status()["running"] == 0
    assert world.book.entries[-1][1]["failure"] == "query-cancelled"
