"""Attacks that a new broker tries on itself before it serves anyone. One that passes means: do not serve.

SQL attacks must fail on every machine, for the engine's own locks hold everywhere. System attacks play the part of an engine that
was taken over: each must fail where a wall that holds it is reported, and a machine without that wall reports a lower level instead.
"""

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huitong.engines.duckdb import quote_text
from huitong.engines.sandbox import SandboxReport


def sql_attacks(forbidden: Path) -> Mapping[str, str]:
    """Name -> statement; `forbidden` is a real readable file outside every plan."""
    file = quote_text(str(forbidden))
    folder = quote_text(str(forbidden.parent / "*"))
    written = quote_text(str(forbidden.parent / "probe-written"))
    return {
        "read-text": f"SELECT * FROM read_text({file})",
        "read-blob": f"SELECT * FROM read_blob({file})",
        "read-csv": f"SELECT * FROM read_csv({file})",
        "sniff-csv": f"SELECT * FROM sniff_csv({file})",
        "read-json": f"SELECT * FROM read_json_auto({file})",
        "read-parquet": f"SELECT * FROM read_parquet({file})",
        "relation-as-file": f"SELECT * FROM {file}",
        "glob": f"SELECT file FROM glob({folder})",
        "query-function": "SELECT * FROM query('SELECT * FROM read_text(''" + str(forbidden).replace("'", "''''") + "'')')",
        "proc-environment": "SELECT * FROM read_text('/proc/self/environ')",
        "environment": "SELECT getenv('PATH')",
        "copy-to": f"COPY (SELECT 1) TO {written}",
        "export": f"EXPORT DATABASE {written}",
        "attach": f"ATTACH {written} AS stolen",
        "attach-read": f"ATTACH {file} AS stolen (READ_ONLY)",
        "install": "INSTALL httpfs",
        "load": "LOAD httpfs",
        "http": "SELECT * FROM read_text('http://127.0.0.1:9/x')",
        "set-external-access": "SET enable_external_access=true",
        "set-allowed-paths": f"SET allowed_paths=[{file}]",
        "set-memory": "SET memory_limit='1TB'",
        "reset-lock": "RESET lock_configuration",
        "secret": "CREATE PERSISTENT SECRET probe (TYPE http)",
        "python-variable": "SELECT * FROM probe_secret",
    }


def attacks_that_pass(connection: Any, report: SandboxReport, *, forbidden: Path) -> list[str]:
    """The names of all attacks that went through; empty is good."""
    probe_secret = [{"a": 1}]  # noqa: F841 - what `python-variable` would find
    passed = []
    for name, statement in sql_attacks(forbidden).items():
        try:
            connection.execute(statement).fetchall()
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


def _system_attacks(report: SandboxReport, forbidden: Path) -> Mapping[str, Callable[[], object]]:
    attacks: dict[str, Callable[[], object]] = {}
    if report.landlock:
        attacks["open-file"] = lambda: os.close(os.open(forbidden, os.O_RDONLY))
        attacks["list-folder"] = lambda: os.listdir(forbidden.parent)
        attacks["write-file"] = lambda: os.close(os.open(forbidden.parent / "probe-written", os.O_WRONLY | os.O_CREAT))
        attacks["open-environment"] = lambda: os.close(os.open("/proc/self/environ", os.O_RDONLY))
        attacks["open-system-file"] = lambda: os.close(os.open("/etc/passwd", os.O_RDONLY))
    if report.network_namespace:
        attacks["connect"] = _connect
    if report.system_call_filter:
        attacks["open-socket"] = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
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


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
