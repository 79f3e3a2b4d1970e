"""The walls: what a broker proves before it serves, what it reports, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pytest
from engine_under_test import Engine, make_lake

import huitong
from huitong.engines import probes, sandbox
from huitong.engines.broker import BrokerSettings, start
from huitong.errors import Unavailable

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

SOURCE = str(Path(huitong.__file__).parent.parent)


def python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


PREPARE = """
import json, os, sys
from pathlib import Path
from huitong.engines import probes, sandbox
from huitong.engines.broker import Broker, BrokerSettings, NotSafeError
home, minimum, away, hole, account = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
if account:
    os.setgroups([])
    os.setresgid(int(account), int(account), int(account))
    os.setresuid(int(account), int(account), int(account))
if hole:
    attacks = probes.sql_attacks
    probes.sql_attacks = lambda forbidden: {**attacks(forbidden), "hole": "SELECT 1"}
walls = sandbox.Walls(**{name: False for name in away.split(",") if name})
broker = Broker(BrokerSettings(socket=home / "e.sock", lake=home / "lake", minimum_level=minimum), walls=walls)
try:
    broker.prepare()
    print(json.dumps(broker.found))
except NotSafeError as error:
    print(json.dumps({"not safe": str(error)}))
sys.stdout.flush()
os._exit(0)
"""


def prepare(home: Path, *, minimum: int = 0, away: str = "", hole: str = "", account: str = "") -> dict[str, object]:
    done = python(PREPARE, str(home), str(minimum), away, hole, account)
    return json.loads(done.stdout or json.dumps({"stderr": done.stderr}))


def test_the_report_names_every_wall(engine: Engine) -> None:
    report = engine.client.status()
    assert report["level"] == engine.handle.sandbox["level"]
    assert report["separate_account"] == (os.geteuid() == 0)
    assert bool(report["landlock"]) == (sandbox.landlock_version() > 0)
    assert report["no_new_privileges"]


@pytest.mark.slow
def test_a_wall_taken_away_lowers_the_level_and_a_minimum_refuses(tmp_path: Path) -> None:
    make_lake(tmp_path)
    whole = prepare(tmp_path)["sandbox"]["level"]  # type: ignore[index]
    no_files = prepare(tmp_path, away="landlock")["sandbox"]["level"]  # type: ignore[index]
    bare = prepare(tmp_path, away="landlock,network_namespace,system_call_filter")["sandbox"]["level"]  # type: ignore[index]
    assert bare == sandbox.SandboxLevel.ENGINE_ONLY <= no_files <= whole
    assert no_files < sandbox.SandboxLevel.NO_NETWORK_NO_FILES
    assert "below 2" in str(prepare(tmp_path, away="landlock", minimum=2)["not safe"])


@pytest.mark.slow
def test_one_attack_that_passes_means_do_not_serve(tmp_path: Path) -> None:
    make_lake(tmp_path)
    assert str(prepare(tmp_path, hole="yes")["not safe"]).endswith("went through: hole")


@pytest.mark.slow
def test_an_ordinary_account_can_run_a_broker() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other accounts
        home = Path(folder)
        make_lake(home)
        account = ""
        if os.geteuid() == 0:
            for place in (home, home / "lake"):
                os.chown(place, sandbox.UNPRIVILEGED, sandbox.UNPRIVILEGED)
            account = str(sandbox.UNPRIVILEGED)
        found = prepare(home, account=account)
    assert found.get("works") is True, found
    assert found["passed"] == []
    assert found["sandbox"]["separate_account"] is False  # type: ignore[index]


def test_the_probes_are_real_attacks(tmp_path: Path) -> None:
    """On an engine without locks they go through, but for those that need more than an unlocked engine."""
    probes.write_forbidden(tmp_path)
    passed = set()
    for name, statement in probes.sql_attacks(tmp_path).items():
        with duckdb.connect(":memory:", config={"allow_persistent_secrets": "false"}) as connection:
            try:
                probes.attempt(connection, statement)
            except duckdb.Error:
                continue
            passed.add(name)
    needs_more = {"environment", "install", "load", "http", "secret", "python-variable", "proc-environment", "set-external-access"}
    assert set(probes.sql_attacks(tmp_path)) - passed <= needs_more


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_the_broker_ends_with_whoever_started_it(tmp_path: Path) -> None:
    make_lake(tmp_path)
    code = f"""
import sys, time
from pathlib import Path
from huitong.engines.broker import BrokerSettings, start
home = Path({str(tmp_path)!r})
handle = start(BrokerSettings(socket=home / "e.sock", lake=home / "lake"))
print(handle.process.pid, flush=True)
time.sleep(60)
"""
    starter = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter.stdout:
        broker = int(starter.stdout.readline())
    assert alive(broker)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    end = time.monotonic() + 5
    while alive(broker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(broker)
    assert not (tmp_path / "e.sock").exists()


@pytest.mark.slow
def test_two_brokers_do_not_share_a_socket(tmp_path: Path) -> None:
    make_lake(tmp_path)
    settings = BrokerSettings(socket=tmp_path / "e.sock", lake=tmp_path / "lake")
    with start(settings) as first:
        with pytest.raises(Unavailable):
            start(settings)
        assert first.running()


def test_the_socket_is_for_its_own_account_only(engine: Engine) -> None:
    assert engine.client.socket_path.stat().st_mode & 0o077 == 0
