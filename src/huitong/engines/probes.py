"""Attacks that a new broker tries on itself before it serves anyone. One that passes means: do not serve.

SQL attacks must fail on every machine, for the engine's own locks hold everywhere. System attacks play the part of an engine that
was taken over: each must fail where a wall that holds it is reported, and a machine without that wall reports a lower level instead.
"""

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.duckdb import quote_text
from huitong.engines.sandbox import LANDLOCK_OF_PORTS, SandboxReport


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


def attacks_that_pass(connection: Any, report: SandboxReport, *, forbidden: Path) -> list[str]:
    """The names of all attacks that went through; empty is good."""
    probe_secret = pa.table({"a": [1]})  # noqa: F841 - what `python-variable` would find
    passed = []
    for name, statement in sql_attacks(forbidden).items():
        try:
            attempt(connection, statement)
        except Exception:  # noqa: S112 - every failure of an attack is what we want
            continue
        passed.append(name)
    for name, attack in _system_attacks(report, forbidden).items():
        try:
            attack()
        except OSError:
            continue
        passed.append(name)
    if os.environ:
        passed.append("environment-kept")
    return passed


def attempt(connection: Any, statement: str) -> None:
    """Run one attack to its last row."""
    if statement.startswith("SELECT"):
        connection.sql(statement).to_arrow_table()
    else:
        connection.execute(statement)


def _system_attacks(report: SandboxReport, forbidden: Path) -> Mapping[str, Callable[[], object]]:
    attacks: dict[str, Callable[[], object]] = {}
    if report.landlock:
        attacks["open-file"] = lambda: os.close(os.open(forbidden / "f.csv", os.O_RDONLY))
        attacks["list-folder"] = lambda: os.listdir(forbidden)
        attacks["write-file"] = lambda: os.close(os.open(forbidden / "written", os.O_WRONLY | os.O_CREAT))
        attacks["open-environment"] = lambda: os.close(os.open("/proc/self/environ", os.O_RDONLY))
        attacks["open-system-file"] = lambda: os.close(os.open("/etc/passwd", os.O_RDONLY))
    if report.network_namespace:
        attacks["connect"] = _connect
    if report.connect_port is not None and report.landlock >= LANDLOCK_OF_PORTS:
        attacks["connect-elsewhere"] = lambda: _connect_elsewhere(report.connect_port)
    if report.system_call_filter:
        kind = socket.SOCK_STREAM if report.connect_port is None else socket.SOCK_DGRAM
        attacks["open-socket"] = lambda: socket.socket(socket.AF_INET, kind).close()
        attacks["open-unix-socket"] = lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()
        attacks["start-program"] = lambda: os.execv("/bin/sh", ["/bin/sh", "-c", "exit 0"])
        attacks["new-process"] = _fork
    if report.separate_account:
        attacks["become-root"] = lambda: os.setuid(0)
    return attacks


def _connect() -> None:
    """Loopback counts too: a network namespace has none that is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 9))
        probe.send(b"probe")


def _connect_elsewhere(port: int | None) -> None:
    """A port that nobody serves is no wall: only what the kernel forbids counts as one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(("127.0.0.1", 9 if port != 9 else 10))
        except PermissionError:
            raise
        except OSError:
            return


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
