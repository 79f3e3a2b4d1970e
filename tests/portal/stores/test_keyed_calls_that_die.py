"""A process that dies in the middle of a call with a key: whatever the moment, asking again never acts twice."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.portal.stores.keyed_process import DEAD
from tests.postgresql import Server

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("keyed_process.py")


class Place:
    """An instance, and calls to it from processes of their own."""

    def __init__(self, home: Path, database: str | None) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
        self.environment = {**kept, "HUITONG_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        if database:
            self.environment["HUITONG_DATABASE_URL"] = database
        self.analyst, self.officer = json.loads(self._run("make", str(home)).stdout)

    def _run(self, *arguments: str, ends: int = 0) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, str(SCRIPT), *arguments]
        done = subprocess.run(call, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == ends, done.stderr
        return done

    def call(self, *steps: tuple[str, str], dies: str = "nowhere") -> list[dict[str, Any]]:
        """What became of the steps, each what and key; the process dies in the last one if it is to."""
        tokens = {"request": self.analyst, "load": self.officer, "age": ""}
        said = json.dumps([[what, tokens[what], key, dies] for what, key in steps])
        done = self._run("call", str(self.home), said, ends=0 if dies == "nowhere" else DEAD)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    database = None
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        server.run("CREATE DATABASE keyed")
        database = server.url("keyed")
    return Place(tmp_path_factory.mktemp("keyed"), database)


def test_of_one_transaction_neither_effect_nor_answer_is_there_and_the_repeat_acts_once(place: Place) -> None:
    moments = ("before-keeping", "after-keeping")
    for moment in moments:
        place.call(("request", moment), dies=moment)
    steps = [step for key in moments for step in (("request", key), ("age", key), ("request", key), ("request", key))]
    assert place.call(*steps) == [
        {"status": status, "replayed": replayed, "code": code, "effects": effects}
        for made in (0, 1)
        for status, replayed, code, effects in (
            (409, False, "idempotency-running", made),
            (201, False, None, made + 1),
            (201, True, None, made + 1),
        )
    ]


def test_of_a_load_the_repeat_never_loads_again(place: Place) -> None:
    place.call(("load", "load"), dies="before-keeping")
    running, again, later = place.call(("load", "load"), ("age", "load"), ("load", "load"), ("load", "load"))
    assert (running["status"], running["code"], running["effects"]) == (409, "idempotency-running", 1)
    assert (again["status"], again["code"]) == (later["status"], later["code"]) == (409, "idempotency-outcome-unknown")
    assert later["effects"] == again["effects"] == 1
