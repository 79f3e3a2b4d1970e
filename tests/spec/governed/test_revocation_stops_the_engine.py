"""A query whose grant ends does not work on: its engine process is gone a second or two later, long before its time limit."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import COMPANY, World

from huitong.engines.broker import BrokerSettings, start
from huitong.engines.client import EngineClient
from huitong.errors import Refused
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState

pytestmark = pytest.mark.slow

ENDLESS = (
    "SELECT count(*), sum(a.capital % 7) FROM tax.company a JOIN tax.company b ON a.capital <> b.capital JOIN tax.company c "
    "ON b.capital <> c.capital AND a.capital <> c.capital"
)
ALLOWED_SECONDS = 5
"""A second until it is looked at again, and as much as a busy machine needs; the time limit of the query is 10."""


def test_revocation_ends_the_engine_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    firms = [{"cid": f"c{number}", "owner_pid": None, "capital": number, "division": None} for number in range(20_000)]
    world.load(COMPANY, firms)
    revoked_at: list[float] = []

    def revoke() -> None:
        while client.status()["running"] == 0:
            time.sleep(0.05)
        world.grants[1] = replace(world.grants[1], state=GrantState.REVOKED, revoked_at=world.now)
        world.epoch += 1
        revoked_at.append(time.monotonic())

    with start(BrokerSettings(socket=tmp_path / "engine.sock", lake=tmp_path)):
        client = EngineClient(tmp_path / "engine.sock")
        world.engine = client  # type: ignore[assignment]
        world.gateway = world.make_gateway()
        other = threading.Thread(target=revoke)
        other.start()
        with pytest.raises(Refused) as caught:
            world.ask(ENDLESS)
        took = time.monotonic() - revoked_at[0]
        other.join()
        assert {reason.code for reason in caught.value.reasons} == {"grant-ended-meanwhile"}
        assert took < ALLOWED_SECONDS
        until = time.monotonic() + ALLOWED_SECONDS
        while client.status()["running"] and time.monotonic() < until:
            time.sleep(0.05)
        assert client.status()["running"] == 0
    kind, body = world.book.entries[-1]
    assert (kind, body["failure"]) == (EntryKind.USE_OUTCOME, "grant-ended-meanwhile")
