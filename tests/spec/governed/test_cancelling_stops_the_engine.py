"""A cancelled query does not work on: its engine process is gone a second or two later, long before its time limit."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import ANALYST, COMPANY, World
from tests.spec.governed.test_revocation_stops_the_engine import ALLOWED_SECONDS, ENDLESS

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused
from huitong.model.query import EngineLimits, QueryRequest

pytestmark = pytest.mark.slow

ROWS = (
    "SELECT a.capital FROM tax.company a JOIN tax.company b ON a.capital <> b.capital JOIN tax.company c ON b.capital <> c.capital "
    "AND a.capital <> c.capital WHERE (a.capital + b.capital + c.capital) % 1000000 = 999999"
)


def ask(world: World) -> None:
    world.ask(ENDLESS)


def stream(world: World) -> None:
    """Rows that leave piece by piece, of which none comes before all are in order."""
    limits = EngineLimits(seconds=10, memory_megabytes=512, threads=1, maximum_rows=100)
    asked = QueryRequest(sql=f"{ROWS} ORDER BY a.capital", purpose="poverty-relief")
    with world.gateway.stream(asked, actor=ANALYST, limits=limits) as flow:
        list(flow.batches())


@pytest.mark.parametrize("way", [ask, stream])
def test_cancelling_ends_the_engine_process(tmp_path: Path, way: Callable[[World], None]) -> None:
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
            way(world)
        other.join()
        assert {reason.code for reason in caught.value.reasons} == {"query-cancelled"}
        assert time.monotonic() - cancelled_at[0] < ALLOWED_SECONDS
        until = time.monotonic() + ALLOWED_SECONDS
        while client.status()["running"] and time.monotonic() < until:
            time.sleep(0.05)
        assert client.status()["running"] == 0
    assert world.book.entries[-1][1]["failure"] == "query-cancelled"
