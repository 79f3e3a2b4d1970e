"""A PostgreSQL server of our own for tests: in a temporary folder, as an unprivileged user, on a free port of 127.0.0.1.

Its language is Chinese (ICU), not `C`, so a test notices where an order depends on the database's language.
`fsync` is off: these databases live for one test run."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.system_packages import postgresql_programs

START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    socket_folder: Path
    user: str = "huitong"

    def url(self, name: str) -> str:
        """URL of a database over TCP."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str) -> None:
        """Run a statement outside a transaction, e.g. CREATE DATABASE."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def programs() -> Path:
    """The folder of the server's programs; ends the test run with exit code 2 if they are missing."""
    folder = postgresql_programs()
    if folder is None:
        pytest.exit("these tests need the Debian package postgresql: apt-get install postgresql", returncode=2)
    return folder


@contextmanager
def postgresql_server(*, durable: bool = False) -> Iterator[Server]:
    """A server that is up, and gone afterwards; `durable`: what is committed is on the disk, as a benchmark needs it."""
    folder = Path(tempfile.mkdtemp(prefix="huitong-postgresql-"))
    owner = _unprivileged_user()
    try:
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        rights = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(folder)}
        options = ["-D", str(folder / "data"), "-U", "huitong", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        language = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=zh-Hans-CN"]
        made = subprocess.run(
            [programs() / "initdb", *options, *language],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=folder,
            **rights,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stderr}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=60", "shared_buffers=32MB"]
        if durable:
            settings = ["max_connections=400", "shared_buffers=512MB"]
        log = (folder / "log").open("wb")
        server = subprocess.Popen(
            [
                programs() / "postgres",
                "-D",
                folder / "data",
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-k",
                folder,
                *(part for setting in settings for part in ("-c", setting)),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            preexec_fn=_end_with_parent,
            **rights,
        )
        log.close()
        try:
            running = Server(port=port, socket_folder=folder)
            _wait(running, server, folder / "log")
            yield running
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder)


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(server.url("postgres"), connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text('utf-8', 'replace')}") from None
            time.sleep(0.05)


def _unprivileged_user() -> "pwd.struct_passwd | None":
    """PostgreSQL refuses to run as root: then `postgres` or `nobody` runs it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.exit("no user postgres or nobody to run PostgreSQL as", returncode=2)


def _end_with_parent() -> None:
    """Linux tells the server to stop if the test process dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)
