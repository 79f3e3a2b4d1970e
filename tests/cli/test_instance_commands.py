"""A whole instance made and used by the command line as a person would: separate processes, real folder, real engine."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOAK = bool(os.environ.get("HUITONG_SOAK"))
HUITONG = [sys.executable, "-m", "huitong.cli"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of the caller's own profile, language or instance."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "LC_", "LANG"))}
    return {**kept, "HUITONG_PROFILE": str(folder / "profile.toml"), **more}


def run(*arguments: str, folder: Path, give: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """`huitong ARGUMENTS`, to its end."""
    call = [*HUITONG, *arguments]
    return subprocess.run(
        call, capture_output=True, text=True, input=give, timeout=120, check=False, env=environment(folder, **more), cwd=folder
    )


def killed_after(seconds: float, *arguments: str, folder: Path, **more: str) -> None:
    """`huitong ARGUMENTS`, killed without warning."""
    process = subprocess.Popen(
        [*HUITONG, *arguments],
        cwd=folder,
        env=environment(folder, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an instance in `here`, made by `huitong init`."""
    folder = tmp_path_factory.mktemp("i")
    done = run("init", "--home", "here", "--operator", "shi", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_init_makes_a_private_instance_and_says_what_comes_next(place: Path) -> None:
    home = place / "here"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (home / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((home / "operator.token").stat().st_mode) == 0o600
    assert not (home / ".being-made").exists()


def test_init_refuses_over_an_existing_instance_and_changes_nothing(place: Path) -> None:
    before = {file: file.read_bytes() for file in (place / "here" / "keys").iterdir()}
    done = run("init", "--home", "here", folder=place)
    assert done.returncode == 7
    assert "nothing was changed" in done.stderr
    assert before == {file: file.read_bytes() for file in (place / "here" / "keys").iterdir()}


def test_init_refuses_a_folder_with_other_things_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    done = run("init", "--home", "notes", folder=tmp_path)
    assert done.returncode == 7 and [entry.name for entry in (tmp_path / "notes").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("seconds", [0.5 + 0.25 * step for step in range(12)] if SOAK else [0.7, 1.5])
def test_an_init_that_is_killed_can_be_run_again(tmp_path: Path, seconds: float) -> None:
    killed_after(seconds, "init", "--home", "here", folder=tmp_path)
    if (tmp_path / "here" / ".being-made").exists():
        half = run("whoami", "--home", "here", folder=tmp_path, HUITONG_TOKEN="ht_x")
        assert half.returncode == 7 and "half made" in half.stderr
    done = run("init", "--home", "here", folder=tmp_path)
    assert done.returncode in (0, 7), done.stderr
    audit = run("ledger", "audit", "--home", "here", "--format", "json", folder=tmp_path)
    assert audit.returncode == 0, audit.stderr
    assert json.loads(audit.stdout)["ok"] is True
    doctor = run("doctor", "--home", "here", "--format", "json", folder=tmp_path)
    assert {one["state"] for one in json.loads(doctor.stdout)} <= {"ok", "warning"}


def test_without_a_server_the_same_token_check_holds(place: Path) -> None:
    token = (place / "here" / "operator.token").read_text("utf-8").strip()
    done = run("whoami", "--home", "here", "--format", "json", folder=place, HUITONG_TOKEN=token)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["person"] == "shi"
    assert done.stderr == ""
    wrong = run("whoami", "--home", "here", folder=place, HUITONG_TOKEN=token[:-4] + "abcd")
    assert wrong.returncode == 5 and wrong.stdout == ""
    none = run("whoami", "--home", "here", folder=place)
    assert none.returncode == 5 and "HUITONG_TOKEN" in none.stderr


def test_login_works_without_a_server_too(place: Path) -> None:
    token = (place / "here" / "operator.token").read_text("utf-8")
    assert run("login", "--home", "here", folder=place, give=token).returncode == 0
    done = run("division", "search", "遵义", "--level", "city", "--format", "csv", folder=place)
    assert done.returncode == 0, done.stderr
    assert "520300000000" in done.stdout


def test_only_a_named_operator_opens_the_ledger_and_it_is_recorded(place: Path) -> None:
    stranger = run("ledger", "status", "--home", "here", "--operator", "nobody", folder=place)
    assert stranger.returncode == 6
    before = json.loads(run("ledger", "audit", "--home", "here", "--operator", "shi", "--format", "json", folder=place).stdout)
    after = json.loads(run("ledger", "audit", "--home", "here", "--operator", "shi", "--format", "json", folder=place).stdout)
    assert after["size"] == before["size"] + 1


def test_the_operator_registers_an_office_and_a_person_who_then_signs_in(place: Path) -> None:
    (place / "offices.toml").write_text(
        '[[office]]\nid = "gz-civil-affairs"\ntitle = { zh = "省民政厅", en = "Civil Affairs" }\n'
        'division = "520000000000"\ncredit_code = "11990000000000100X"\n',
        "utf-8",
    )
    wrong = run("office", "register", "offices.toml", "--home", "here", "--operator", "shi", folder=place)
    assert wrong.returncode == 3 and "gz-civil-affairs" in wrong.stderr
    from huitong.model.codes import credit_code_check_character

    right = "11990000000000100" + credit_code_check_character("11990000000000100")
    text = (place / "offices.toml").read_text("utf-8").replace("11990000000000100X", right)
    (place / "offices.toml").write_text(text, "utf-8")
    assert run("office", "register", "offices.toml", "--home", "here", "--operator", "shi", folder=place).returncode == 0
    person = ("li", "--name", "李雨桐", "--office", "gz-civil-affairs", "--role", "analyst")
    added = run("account", "add", *person, "--home", "here", "--operator", "shi", "--format", "json", folder=place)
    assert added.returncode == 0, added.stderr
    assert len(json.loads(added.stdout)["password"]) >= 16
    issued = run("account", "token", "li", "--home", "here", "--operator", "shi", "--format", "json", folder=place)
    token = json.loads(issued.stdout)["token"]
    me = run("whoami", "--home", "here", "--format", "json", folder=place, HUITONG_TOKEN=token)
    assert json.loads(me.stdout)["roles"] == ["analyst"]
    assert run("account", "revoke-token", token, "--home", "here", "--operator", "shi", folder=place).returncode == 0
    assert run("whoami", "--home", "here", folder=place, HUITONG_TOKEN=token).returncode == 5


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(place: Path) -> None:
    key = place / "here" / "keys" / "session.key"
    key.chmod(0o644)
    try:
        done = run("doctor", "--home", "here", "--operator", "shi", folder=place)
        assert done.returncode == 8
        assert "chmod 600" in done.stdout
    finally:
        key.chmod(0o600)


# --- serving --------------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.1)


def children(pid: int) -> dict[str, int]:
    """The parts of a supervisor by name."""
    names = {"engines.broker": "engine", "cli worker": "worker", "cli.web": "web"}
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if parent == pid:
            found |= {part: int(entry.name) for mark, part in names.items() if mark in line}
    return found


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.fixture
def served(place: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    process = subprocess.Popen(
        [*HUITONG, "serve", "--home", "here", "--operator", "shi", "--port", str(port), "--web", "1"],
        cwd=place,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in line
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def test_serve_answers_once_it_has_printed_the_address_and_stops_all_on_sigterm(
    place: Path, served: tuple["subprocess.Popen[str]", int]
) -> None:
    process, port = served
    token = (place / "here" / "operator.token").read_text("utf-8").strip()
    done = run("whoami", "--server", f"http://127.0.0.1:{port}", folder=place, HUITONG_TOKEN=token)
    assert done.returncode == 0, done.stderr
    second = run("serve", "--home", "here", "--operator", "shi", "--port", str(free_port()), folder=place)
    assert second.returncode == 7
    parts = children(process.pid)
    assert set(parts) == {"engine", "worker", "web"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert all(is_gone(pid) for pid in parts.values())


def test_a_part_that_dies_is_started_again(place: Path, served: tuple["subprocess.Popen[str]", int]) -> None:
    process, port = served
    before = children(process.pid)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    def all_new() -> bool:
        now = children(process.pid)
        return set(now) == set(before) and not set(now.values()) & set(before.values())

    until(all_new)
    token = (place / "here" / "operator.token").read_text("utf-8").strip()

    def answers() -> bool:
        return run("whoami", "--server", f"http://127.0.0.1:{port}", folder=place, HUITONG_TOKEN=token).returncode == 0

    until(answers)


def test_nothing_lives_on_when_the_supervisor_is_killed(served: tuple["subprocess.Popen[str]", int]) -> None:
    process, _ = served
    parts = children(process.pid)
    process.kill()
    process.wait()
    until(lambda: all(is_gone(pid) for pid in parts.values()), seconds=30)


def test_a_taken_port_is_told_before_anything_starts(place: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        done = run("serve", "--home", "here", "--operator", "shi", "--port", str(one.getsockname()[1]), folder=place)
    assert done.returncode == 8 and "is taken" in done.stderr


# --- the demo -------------------------------------------------------------------------------------------------------------


def test_the_demo_tells_its_whole_story_twice(tmp_path: Path) -> None:
    first = run("demo", "--home", "d", "--rows", "20000", folder=tmp_path, HUITONG_DEMO_ONCE="1")
    assert first.returncode == 0, first.stdout + first.stderr
    for said in ("Find", "Ask", "Grant", "Refused", "is revoked", "The receipt holds.", "does not hold", "ledger whole"):
        assert said in first.stdout
    secrets = json.loads((tmp_path / "d" / "demo-accounts.json").read_text("utf-8"))
    assert stat.S_IMODE((tmp_path / "d" / "demo-accounts.json").stat().st_mode) == 0o600
    second = run("demo", "--home", "d", "--rows", "20000", "--lang", "zh-Hans", folder=tmp_path, HUITONG_DEMO_ONCE="1")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "回执成立。" in second.stdout and "沿用" in second.stdout
    assert json.loads((tmp_path / "d" / "demo-accounts.json").read_text("utf-8")) == secrets
    verified = run(
        "receipt", "verify", "d/receipt.json", "--log-key", "d/ledger.vkey", "--result", "d/result.arrow", folder=tmp_path
    )
    assert verified.returncode == 0, verified.stderr
    tampered = run("receipt", "verify", "d/receipt-tampered.json", "--log-key", "d/ledger.vkey", folder=tmp_path)
    assert tampered.returncode == 9
    unknown = run("receipt", "verify", "d/receipt.json", folder=tmp_path)
    assert unknown.returncode == 3 and "--log-key" in unknown.stderr


@pytest.mark.parametrize("seconds", [2, 5, 9, 14] if SOAK else [6])
def test_a_demo_that_is_killed_is_finished_by_the_next_one(tmp_path: Path, seconds: int) -> None:
    killed_after(seconds, "demo", "--home", "d", "--rows", "5000", folder=tmp_path, HUITONG_DEMO_ONCE="1")
    done = run("demo", "--home", "d", "--rows", "5000", folder=tmp_path, HUITONG_DEMO_ONCE="1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.postgresql
def test_the_demo_on_postgresql(tmp_path: Path) -> None:
    from tests.postgresql import postgresql_server

    with postgresql_server() as server:
        server.run("CREATE DATABASE demo")
        told = {"HUITONG_DEMO_ONCE": "1", "HUITONG_DATABASE_URL": server.url("demo")}
        done = run("demo", "--home", "d", "--rows", "5000", folder=tmp_path, **told)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (tmp_path / "d" / "control.sqlite3").exists()
        other = run("init", "--home", "other", folder=tmp_path, HUITONG_DATABASE_URL=server.url("demo"))
        assert other.returncode == 7 and "holds an instance already" in other.stderr
        assert not (tmp_path / "other").exists()
        doctor = run("doctor", "--home", "d", folder=tmp_path, **told)
        assert doctor.returncode == 0, doctor.stdout
    gone = run("ledger", "status", "--home", "d", folder=tmp_path, **told)
    assert gone.returncode == 8 and "database does not answer" in gone.stderr


def test_a_web_part_whose_supervisor_is_already_gone_does_not_begin(place: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    port = free_port()
    web = [sys.executable, "-m", "huitong.cli.web", "127.0.0.1", str(port), "1", str(gone.pid)]
    done = subprocess.run(web, cwd=place, env=environment(place, HUITONG_HOME="here"), timeout=30, check=False)
    assert done.returncode == 1


def test_what_a_killed_server_was_taking_is_gone_at_the_next_start(place: Path) -> None:
    left = place / "here" / "run" / "uploads" / "upload-of-yesterday"
    left.mkdir(parents=True)
    (left / "body.csv").write_text("a,b\n", "utf-8")
    port = free_port()
    serve = [*HUITONG, "serve", "--home", "here", "--operator", "shi", "--port", str(port), "--web", "1"]
    process = subprocess.Popen(serve, cwd=place, env=environment(place), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline()
        assert list((place / "here" / "run" / "uploads").iterdir()) == []
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_bodies_that_never_end_do_not_stop_the_server(place: Path, served: tuple["subprocess.Popen[str]", int]) -> None:
    _, port = served
    head = f"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        for one in slow:
            one.sendall(f"{head}Content-Length: 1000\r\n\r\na=1".encode())
        begun = time.monotonic()
        token = (place / "here" / "operator.token").read_text("utf-8").strip()
        done = run("whoami", "--server", f"http://127.0.0.1:{port}", folder=place, HUITONG_TOKEN=token)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - begun < 10
        slow[0].settimeout(30)
        assert b" 408 " in slow[0].recv(100)
    finally:
        for one in slow:
            one.close()
