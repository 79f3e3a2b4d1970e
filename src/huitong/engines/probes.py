"""Attacks that a new broker tries on itself before it serves anyone. One that passes means: do not serve.

SQL attacks must fail on every machine, for the engine's own locks hold everywhere. System attacks play the part of an engine that
was taken over: each must fail where a wall that holds it is reported, and a machine without that wall reports a lower level instead.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_text
from huitong.engines.sandbox import LANDLOCK_OF_PORTS, LANDLOCK_OF_SIGNALS, SandboxReport

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_SEIZE = 0x4206
_NO_PROCESS = 1 << 23
"""Above the highest number that a kernel gives to a process (2^22)."""
_NOWHERE = 1
"""An address that no process has."""


class Kind(StrEnum):
    """What an attack is after."""

    SQL_FILES = "sql-files"
    SQL_WRITES = "sql-writes"
    SQL_EXTENSIONS = "sql-extensions"
    SQL_NETWORK = "sql-network"
    SQL_SETTINGS = "sql-settings"
    SQL_PROCESS = "sql-process"
    FILES = "files"
    WRITES = "writes"
    SECRETS = "secrets"
    OTHER_QUERIES_FOLDER = "folder-of-another-query"
    OTHER_PROCESSES = "other-processes"
    TRACE = "trace"
    SIGNALS = "signals"
    NETWORK = "network"
    BROKER_SOCKET = "broker-socket"
    PROGRAMS = "programs"
    PRIVILEGES = "privileges"


@dataclass(frozen=True)
class Targets:
    """What lies around a process and is none of its business. Everything here exists while the probes run."""

    forbidden: Path
    """A folder of `write_forbidden`."""
    broker: int
    """The process that forks all others."""
    other_query: int
    """A process that was made for another query."""
    other_folder: Path
    """The private folder of that query, with a file `spilled` in it."""
    socket: Path
    """Where the broker listens."""
    secrets: tuple[Path, ...] = ()
    """Files of keys and the control database, as far as the instance has them here."""


@dataclass(frozen=True)
class Probe:
    """One attack. `promised`: a wall that the report names must hold it; else it is not tried, and said to be not promised."""

    name: str
    kind: Kind
    promised: bool
    attack: Callable[[], object]
    """Raises when it is held."""


@dataclass(frozen=True)
class Findings:
    """What came of all probes. Only where `passed` is empty may anyone be served."""

    passed: tuple[str, ...]
    by_kind: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Kind -> `held` and `not_promised` -> names."""


def write_forbidden(folder: Path) -> None:
    """Fill a folder with files that anyone may read and no plan names."""
    table = pa.table({"a": [1]})
    parquet.write_table(table, folder / "f.parquet")
    (folder / "f.csv").write_text("a,b\n1,2\n3,4\n", "utf-8")
    (folder / "f.json").write_text('[{"a": 1}]', "utf-8")
    folder.chmod(0o777)
    for file in folder.iterdir():
        file.chmod(0o644)


def sql_attacks(forbidden: Path) -> Mapping[str, str]:
    """Name -> statement; `forbidden` is a folder of `write_forbidden`. Each would work if nothing held it."""

    def at(name: str) -> str:
        return quote_text(str(forbidden / name))

    inner = f"SELECT * FROM read_text({at('f.csv')})"
    return {
        "read-text": f"SELECT content FROM read_text({at('f.csv')})",
        "read-blob": f"SELECT content FROM read_blob({at('f.csv')})",
        "read-csv": f"SELECT * FROM read_csv({at('f.csv')})",
        "sniff-csv": f"SELECT * FROM sniff_csv({at('f.csv')})",
        "read-json": f"SELECT * FROM read_json_auto({at('f.json')})",
        "read-parquet": f"SELECT * FROM read_parquet({at('f.parquet')})",
        "parquet-metadata": f"SELECT * FROM parquet_metadata({at('f.parquet')})",
        "relation-as-file": f"SELECT * FROM {at('f.parquet')}",
        "glob": f"SELECT file FROM glob({at('*')})",
        "query-function": f"SELECT * FROM query({quote_text(inner)})",
        "proc-environment": "SELECT content FROM read_blob('/proc/self/environ')",
        "system-file": "SELECT content FROM read_text('/etc/passwd')",
        "environment": "SELECT getenv('PATH')",
        "copy-to": f"COPY (SELECT 1) TO {at('written.csv')}",
        "export": f"EXPORT DATABASE {at('written')}",
        "attach": f"ATTACH {at('written.db')} AS stolen",
        "install": "INSTALL httpfs",
        "load": "LOAD httpfs",
        "http": "SELECT * FROM read_text('http://127.0.0.1:9/x')",
        "set-external-access": "SET enable_external_access=true",
        "set-allowed-paths": f"SET allowed_paths=[{at('f.csv')}]",
        "set-memory": "SET memory_limit='1TB'",
        "reset-lock": "RESET lock_configuration",
        "secret": "CREATE PERSISTENT SECRET probe (TYPE http)",
        "python-variable": "SELECT * FROM probe_secret",
    }


_KIND_OF_SQL = {
    **dict.fromkeys(("copy-to", "export", "attach"), Kind.SQL_WRITES),
    **dict.fromkeys(("install", "load"), Kind.SQL_EXTENSIONS),
    "http": Kind.SQL_NETWORK,
    **dict.fromkeys(("set-external-access", "set-allowed-paths", "set-memory", "reset-lock", "secret"), Kind.SQL_SETTINGS),
    **dict.fromkeys(("environment", "python-variable"), Kind.SQL_PROCESS),
}
"""All others read files."""


def try_all(connection: Any, report: SandboxReport, targets: Targets) -> Findings:
    """Try every attack that is promised to fail, to its end."""
    probe_secret = pa.table({"a": [1]})  # noqa: F841 - what `python-variable` would find
    passed: list[str] = []
    found: dict[str, dict[str, list[str]]] = {}
    held_so_far: list[tuple[str, Kind, bool]] = []
    for name, statement in sql_attacks(targets.forbidden).items():
        kind = _KIND_OF_SQL.get(name, Kind.SQL_FILES)
        try:
            attempt(connection, statement)
        except Exception:  # every failure of an attack is what we want
            held_so_far.append((name, kind, True))
        else:
            passed.append(name)
    for probe in system_probes(report, targets):
        if not probe.promised:
            held_so_far.append((probe.name, probe.kind, False))
            continue
        try:
            probe.attack()
        except OSError:
            held_so_far.append((probe.name, probe.kind, True))
        else:
            passed.append(probe.name)
    for name, kind, promised in held_so_far:
        of_kind = found.setdefault(kind.value, {"held": [], "not_promised": []})
        of_kind["held" if promised else "not_promised"].append(name)
    return Findings(tuple(passed), {kind: {how: tuple(names) for how, names in said.items()} for kind, said in found.items()})


def attempt(connection: Any, statement: str) -> None:
    """Run one attack to its last row."""
    if statement.startswith("SELECT"):
        connection.sql(statement).to_arrow_table()
    else:
        connection.execute(statement)


def system_probes(report: SandboxReport, targets: Targets) -> list[Probe]:
    """Attacks of an engine process that was taken over, each with whether a wall of this report must hold it."""
    forbidden, folder = targets.forbidden, targets.other_folder
    files, calls = report.landlock > 0, report.system_call_filter
    scoped = report.landlock >= LANDLOCK_OF_SIGNALS
    kind_of_socket = socket.SOCK_STREAM if report.connect_port is None else socket.SOCK_DGRAM
    probes = [
        Probe("environment-kept", Kind.SQL_PROCESS, True, _environment_kept),
        Probe("open-file", Kind.FILES, files, lambda: _open(forbidden / "f.csv")),
        Probe("list-folder", Kind.FILES, files, lambda: os.listdir(forbidden)),
        Probe("open-environment", Kind.FILES, files, lambda: _open("/proc/self/environ")),
        Probe("open-system-file", Kind.FILES, files, lambda: _open("/etc/passwd")),
        Probe("write-file", Kind.WRITES, files, lambda: _open(forbidden / "written", os.O_WRONLY | os.O_CREAT)),
        Probe("list-folder-of-another-query", Kind.OTHER_QUERIES_FOLDER, files, lambda: os.listdir(folder)),
        Probe("open-file-of-another-query", Kind.OTHER_QUERIES_FOLDER, files, lambda: _open(folder / "spilled")),
        Probe("write-file-of-another-query", Kind.OTHER_QUERIES_FOLDER, files, lambda: _open(folder / "spilled", os.O_WRONLY)),
    ]
    probes += [Probe(f"open-secret-{secret.name}", Kind.SECRETS, files, partial(_open, secret)) for secret in targets.secrets]
    for whose, pid in (("broker", targets.broker), ("another-query", targets.other_query)):
        environment, memory = f"/proc/{pid}/environ", f"/proc/{pid}/mem"
        mine = whose == "broker"
        probes += [
            Probe(f"environment-of-{whose}", Kind.OTHER_PROCESSES, files, partial(_open, environment)),
            Probe(f"memory-of-{whose}", Kind.OTHER_PROCESSES, files, partial(_open, memory)),
            Probe(f"trace-{whose}", Kind.TRACE, calls or files, partial(_trace, pid)),
            Probe(
                f"signal-{whose}",
                Kind.SIGNALS,
                calls or scoped or (mine and report.separate_account),
                partial(os.kill, pid, 0),
            ),
        ]
    probes += [
        Probe("trace-anyone", Kind.TRACE, calls, _trace_anyone),
        Probe("signal-anyone", Kind.SIGNALS, calls, _signal_anyone),
        Probe("connect", Kind.NETWORK, report.network_namespace, _connect),
        Probe("open-socket", Kind.NETWORK, calls, lambda: socket.socket(socket.AF_INET, kind_of_socket).close()),
        Probe("open-unix-socket", Kind.BROKER_SOCKET, calls, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()),
        Probe("connect-to-broker", Kind.BROKER_SOCKET, calls or report.separate_account, lambda: _connect_to(targets.socket)),
        Probe("start-program", Kind.PROGRAMS, calls, _start_program),
        Probe("new-process", Kind.PROGRAMS, calls, _fork),
        Probe("start-program-in-new-process", Kind.PROGRAMS, calls or files, _spawn),
        Probe("become-root", Kind.PRIVILEGES, report.separate_account, lambda: os.setuid(0)),
    ]
    if (port := report.connect_port) is not None:  # any other process has no port at all
        probes.append(
            Probe("connect-elsewhere", Kind.NETWORK, report.landlock >= LANDLOCK_OF_PORTS, lambda: _connect_elsewhere(port))
        )
    return probes


def _open(path: Path | str, how: int = os.O_RDONLY) -> None:
    os.close(os.open(path, how))


def _environment_kept() -> None:
    if not os.environ:
        raise PermissionError


def _trace(pid: int) -> None:
    if _libc.ptrace(ctypes.c_long(_PTRACE_SEIZE), ctypes.c_long(pid), None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _trace_anyone() -> None:
    """A process that is not there is no wall: only a call that the kernel forbids counts as one."""
    try:
        _trace(_NO_PROCESS)
    except ProcessLookupError:
        return


def _signal_anyone() -> None:
    """As `_trace_anyone`."""
    try:
        os.kill(_NO_PROCESS, 0)
    except ProcessLookupError:
        return


def _connect_to(path: Path) -> None:
    """While the probes run nobody answers there yet: a refused connection is no wall."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return


def _start_program() -> None:
    """With arguments at an address that does not exist: a kernel that would start the program gets as far as looking there. To start
    one would end the process that tells of it."""
    _libc.execve(b"/bin/sh", ctypes.c_void_p(_NOWHERE), None)
    if ctypes.get_errno() != errno.EFAULT:
        raise OSError(ctypes.get_errno(), "execve")


def _spawn() -> None:
    pid = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "exit 0"], {})
    os.waitpid(pid, 0)


def _connect() -> None:
    """Loopback counts too: a network namespace has none that is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 9))
        probe.send(b"probe")


def _connect_elsewhere(port: int) -> None:
    """A port that nobody serves is no wall: only what the kernel forbids counts as one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(("127.0.0.1", 9 if port != 9 else 10))
        except PermissionError:
            raise
        except OSError:
            return


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
