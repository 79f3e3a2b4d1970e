"""A MariaDB server of our own for tests: in a temporary folder, as an unprivileged user, on a free port of 127.0.0.1.

It speaks TLS with a certificate of its own, and its time zone is not UTC, so a test notices where an instant depends on it."""

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

import pymysql
import pytest

START_SECONDS = 60


@dataclass(frozen=True)
class MariadbServer:
    """A running server. `user` may do everything, with `password`."""

    port: int
    user: str = "huitong"
    password: str = "a password with 'quotes' and 汉字"

    def url(self, name: str) -> str:
        """Address of a database, without credentials."""
        return f"mysql://127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements, each for itself."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def connect(self, database: str | None = None) -> "pymysql.Connection":
        """A connection that commits each statement."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password.encode(),
            database=database,
            charset="utf8mb4",
            autocommit=True,
            ssl_disabled=True,
        )


def programs() -> dict[str, str]:
    """The server's programs; ends the test run with exit code 2 if they are missing."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    found = {name: shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db")}
    if None in found.values():
        pytest.exit("these tests need the Debian package mariadb-server: apt-get install mariadb-server", returncode=2)
    return {name: path for name, path in found.items() if path}


@contextmanager
def mariadb_server(*, certificate: tuple[Path, Path] | None = None) -> Iterator[MariadbServer]:
    """A server that is up, and gone afterwards; with `certificate` (certificate and key, PEM) it speaks TLS."""
    tools = programs()
    folder = Path(tempfile.mkdtemp(prefix="huitong-mariadb-"))
    owner = _unprivileged_user()
    rights = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "Asia/Shanghai", "HOME": str(folder)}
    server = MariadbServer(_free_port())
    options: list[str] = []
    try:
        if certificate is not None:
            for name, source in zip(("certificate.pem", "key.pem"), certificate, strict=True):
                shutil.copy(source, folder / name)
            options = [f"--ssl-cert={folder / 'certificate.pem'}", f"--ssl-key={folder / 'key.pem'}"]
        first = folder / "first.sql"
        password = server.password.replace("'", "''")
        first.write_text(
            f"CREATE USER '{server.user}'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO '{server.user}'@'127.0.0.1' WITH GRANT OPTION;\n",
            "utf-8",
        )
        if owner is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        made = subprocess.run(
            [
                tools["mariadb-install-db"],
                "--no-defaults",
                f"--datadir={folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=folder,
            **rights,
        )
        if made.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{made.stdout}{made.stderr}")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    tools["mariadbd"],
                    "--no-defaults",
                    f"--datadir={folder / 'data'}",
                    "--bind-address=127.0.0.1",
                    f"--port={server.port}",
                    f"--socket={folder / 'socket'}",
                    f"--pid-file={folder / 'pid'}",
                    f"--init-file={first}",
                    "--character-set-server=utf8mb4",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-log-file-size=8M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--local-infile=1",
                    "--skip-name-resolve",
                    *options,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                preexec_fn=_end_with_parent,
                **rights,
            )
        try:
            _wait(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait(server: MariadbServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
            return
        except pymysql.Error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start:\n{log.read_text('utf-8', 'replace')}") from None
            time.sleep(0.1)


def _unprivileged_user() -> "pwd.struct_passwd | None":
    """The server refuses to run as root: then `mysql` or `nobody` runs it."""
    if os.geteuid() != 0:
        return None
    for name in ("mysql", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.exit("no user mysql or nobody to run MariaDB as", returncode=2)


def _end_with_parent() -> None:
    """Linux tells the server to stop if the test process dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
