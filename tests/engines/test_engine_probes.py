"""The probes: each attack has a name and can go through where its wall is opened, and then nobody is served."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from engine_under_test import Engine, make_lake

import huitong
from huitong.cli import doctor
from huitong.engines import broker, probes, sandbox
from huitong.engines.broker import BrokerSettings, start
from huitong.errors import Unavailable
from huitong.words import render

pytestmark = pytest.mark.slow

SOURCE = str(Path(huitong.__file__).parent.parent)
FILES = {"open-system-file", "open-secret-control", "open-secret-ledger.key"}
"""What any account may read that landlock does not hold: in a real instance the keys are closed to other accounts besides."""
IN_CLOSED_FOLDERS = {"open-file", "list-folder", "write-file", "open-environment"}
"""What is closed to other accounts too."""
PROCESSES = {"environment-of-broker", "memory-of-broker", "environment-of-another-query", "memory-of-another-query"}
OTHER_FOLDER = {"list-folder-of-another-query", "open-file-of-another-query", "write-file-of-another-query"}

EXPECTED: Mapping[str, set[str]] = {
    "nothing": set(),
    "environment": {"environment-kept"},
    "file": {"open-file"},
    "folder": {"list-folder"},
    "system file": {"open-system-file"},
    "own environment": {"open-environment"},
    "write": {"write-file"},
    "key": {"open-secret-ledger.key"},
    "database": {"open-secret-control"},
    "folder of another": {"list-folder-of-another-query"},
    "file of another": {"open-file-of-another-query"},
    "writing of another": {"write-file-of-another-query"},
    "processes": FILES | IN_CLOSED_FOLDERS | PROCESSES | OTHER_FOLDER | {"become-root"},
    "trace": {"trace-anyone"},
    "trace, processes": FILES
    | IN_CLOSED_FOLDERS
    | PROCESSES
    | OTHER_FOLDER
    | {"become-root", "trace-anyone", "trace-broker", "trace-another-query"},
    "signal": {"signal-anyone"},
    "signal, scope": {"signal-anyone", "signal-another-query"},
    "signal, scope, account": {"signal-anyone", "signal-another-query", "signal-broker"},
    "socket": {"open-socket", "open-unix-socket"},
    "network": FILES | {"connect", "open-socket", "open-unix-socket"},
    "broker socket": {"open-socket", "open-unix-socket", "connect-to-broker"},
    "program": {"start-program"},
    "process": {"new-process"},
    "program in process": FILES | {"new-process", "start-program", "start-program-in-new-process"},
    "account": {"become-root"},
}
"""Which wall was opened -> exactly the probes that go through then."""
OTHERWISE_FOR_AN_ORDINARY_ACCOUNT = {
    "network",
    "own environment",
    "processes",
    "trace, processes",
    "signal, scope",
    "program in process",
    "account",
}
"""Where it matters that a broker of root makes its processes change their account."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    home = tmp_path_factory.mktemp("opened")
    make_lake(home)
    made = tmp_path_factory.getbasetemp()  # below a folder of its own for each worker, if there are several
    for folder in (home, made, *(one for one in made.parents if one.name.startswith("pytest-"))):
        folder.chmod(0o755)
    (home / "keys").mkdir()
    (home / "keys" / "ledger.key").write_text("key", "utf-8")
    (home / "control").write_text("database", "utf-8")
    script = Path(__file__).with_name("opened_walls.py")
    environment = {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(home)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def test_where_a_wall_is_opened_exactly_its_probes_go_through_and_nobody_is_served(told: dict[str, object]) -> None:
    other = set() if os.geteuid() == 0 else OTHERWISE_FOR_AN_ORDINARY_ACCOUNT
    assert {name: said for name, said in told.items() if name not in other and not name.startswith("statement ")} == {
        name: sorted(passed) for name, passed in EXPECTED.items() if name not in other
    }


def test_a_statement_that_works_is_found_by_its_name(told: dict[str, object]) -> None:
    names = list(probes.sql_attacks(Path("/")))
    assert {name: told[f"statement {name}"] for name in names} == {name: [name] for name in names}


def test_every_probe_has_a_wall_that_can_be_opened(engine: Engine) -> None:
    found = [name for kind in engine.handle.probes.values() for name in kind["held"]]
    seen = set().union(*EXPECTED.values()) | set(probes.sql_attacks(Path("/")))
    assert set(found) <= seen
    assert len(found) == len(set(found))


def test_there_are_more_than_twelve_kinds_and_the_broker_tells_all(engine: Engine) -> None:
    told_kinds = engine.client.status()["probes"]
    assert told_kinds == engine.handle.probes
    assert set(told_kinds) == set(probes.Kind) - {probes.Kind.SECRETS}  # this engine has no instance
    assert len(told_kinds) >= 12


def test_what_a_level_cannot_promise_is_named_not_left_out() -> None:
    here = Path("/")
    targets = probes.Targets(here, 1, 1, here, here)
    bare = sandbox.SandboxReport(False, False, 0, False, False, True, True)
    whole = sandbox.SandboxReport(True, True, 7, True, True, True, True)
    assert bare.level == sandbox.SandboxLevel.ENGINE_ONLY
    assert [probe.name for probe in probes.system_probes(bare, targets)] == [
        probe.name for probe in probes.system_probes(whole, targets)
    ]
    assert {probe.name for probe in probes.system_probes(bare, targets) if probe.promised} == {"environment-kept"}
    assert all(probe.promised for probe in probes.system_probes(whole, targets))
    no_files = sandbox.SandboxReport(True, True, 0, True, True, True, True)
    left = {probe.kind for probe in probes.system_probes(no_files, targets) if not probe.promised}
    assert left == {probes.Kind.FILES, probes.Kind.WRITES, probes.Kind.OTHER_QUERIES_FOLDER, probes.Kind.OTHER_PROCESSES}


def test_the_doctor_names_each_probe_and_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"probes": {"files": {"held": ["open-file"], "not_promised": []}, "trace": {"held": [], "not_promised": ["trace-anyone"]}}}
    for language, held, not_promised in (
        ("en", "held (open-file)", "not promised at level 1 on this kernel (trace-anyone)"),
        ("zh-Hans", "已挡住（open-file）", "等级 1 在此内核上不作保证（trace-anyone）"),
    ):
        monkeypatch.setattr(doctor.words, "language", language)
        findings = doctor._probes(report, 1)
        assert [finding.check for finding in findings] == ["probe files", "probe trace"]
        assert held in findings[0].detail
        assert not_promised in findings[1].detail


def test_a_broker_that_finds_a_hole_says_which_probe_went_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_lake(tmp_path)
    hole = tmp_path / "hole"
    hole.mkdir()
    (hole / "sitecustomize.py").write_text(
        "from huitong.engines import probes\nreal = probes.sql_attacks\n"
        "probes.sql_attacks = lambda forbidden: {**real(forbidden), 'read-csv': 'SELECT 1'}\n",
        "utf-8",
    )
    popen = broker.Popen

    def with_hole(command: list[str], *, env: dict[str, str], **given: object) -> object:
        return popen(command, env={**env, "PYTHONPATH": f"{hole}{os.pathsep}{env['PYTHONPATH']}"}, **given)  # type: ignore[call-overload]

    monkeypatch.setattr(broker, "Popen", with_hole)
    with pytest.raises(Unavailable) as raised:
        start(BrokerSettings(socket=tmp_path / "e.sock", lake=tmp_path / "lake"))
    reason = raised.value.reasons[0]
    assert (reason.code, reason.parameters) == ("engine-not-safe", {"probes": "read-csv"})
    assert "read-csv" in render(reason, "en")
    assert "read-csv" in render(reason, "zh-Hans")
