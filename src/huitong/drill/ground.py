"""The served drill instance as attacks see it: calls of its API as any of its actors, its ledger, its files, its processes."""

import contextlib
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from huitong.client import Client
from huitong.drill.hidden import found_hidden
from huitong.drill.instance import OPERATOR, PURPOSES, ROWS_USER, Facts, make
from huitong.drill.judging import Finding
from huitong.errors import Unavailable

READY_SECONDS = 120.0
CALL_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class Ground:
    """A drill instance in a folder of its own. `start` serves it on this machine alone; calls go over HTTP like anybody's."""

    folder: Path
    """Holds the instance, `facts.json` and the log of the server."""
    pristine: Path
    """The instance as it was made, never served; copies are made of it."""
    facts: Facts
    environment: Mapping[str, str]
    """For its processes."""
    web: int = 2
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=CALL_SECONDS, trust_env=False))
    _copies: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- what stands ------------------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """The instance's folder."""
        return self.folder / "i"

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def canaries(self) -> Mapping[str, str]:
        """One of what stands hidden in each place, by the place."""
        return self.facts.canaries

    @property
    def known_raw_id(self) -> str:
        """The raw resident ID of a person of `civil.person`, which the attacker is taken to know."""
        return self.facts.known_raw_id

    @property
    def live_token(self) -> str:
        """The pseudonym of that person as `rows_user` sees it."""
        return self.facts.live_tokens[ROWS_USER]

    def live_token_of(self, actor: str) -> str:
        """The pseudonym of that person under the actor's own grant; that of `rows_user` for an actor without one."""
        return self.facts.live_tokens.get(actor, self.live_token)

    def grant(self, actor: str, dataset: str) -> str:
        """The id of an actor's grant. Raises KeyError if there is none."""
        return self.facts.grants[f"{actor} {dataset}"]

    def found_canary(self, content: str | bytes, *, said: str = "") -> str | None:
        """The first hidden thing in a text that the attacker did not send; None if there is none."""
        return found_hidden(content, said=said)

    def token(self, actor: str) -> str:
        """The API token of an actor. Raises KeyError for one that there is not."""
        return self.facts.tokens[actor]

    # --- calling ----------------------------------------------------------------------------------------------------------

    def client(self, actor: str) -> Client:
        """The Python client as that actor."""
        return Client(self.url, self.token(actor), transport=httpx.HTTPTransport(retries=0))

    def call(
        self,
        actor: str | None,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One call; `path` is below /api/v1/ unless it begins with a slash. Raises httpx.HTTPError when nobody answers."""
        sent = {"Accept": "application/json", **(headers or {})}
        if actor is not None:
            sent.setdefault("Authorization", f"Bearer {self.token(actor)}")
        if body is not None:
            # as ASCII: a statement may hold halves of characters, which UTF-8 does not have
            content = json.dumps(body).encode("ascii")
            sent.setdefault("Content-Type", "application/json")
        address = self.url + (path if path.startswith("/") else f"/api/v1/{path}")
        return self.http.request(method, address, content=content, headers=sent)

    def query(self, actor: str, sql: str, **more: Any) -> httpx.Response:
        """A statement, for the usual purpose of the actor unless `purpose` says another."""
        return self.call(actor, "POST", "query", body={"sql": sql, "purpose": PURPOSES.get(actor, "audit"), **more})

    def huitong(self, *arguments: str, seconds: float = 300.0) -> "subprocess.CompletedProcess[str]":
        """A command of the command line, on this instance, as its operator would give it."""
        return subprocess.run(
            [sys.executable, "-m", "huitong.cli", *arguments, "--home", str(self.home)],
            env={**self.environment, "HUITONG_TOKEN": self.token(OPERATOR)},
            capture_output=True, text=True, check=False, timeout=seconds, cwd=self.folder,
        )  # fmt: skip

    # --- the ledger and the database --------------------------------------------------------------------------------------

    def database(self) -> sqlite3.Connection:
        """The control database, for one who has the operator's hands. The caller closes it."""
        return sqlite3.connect(self.home / "control.sqlite3", timeout=30)

    def entries(self, kind: str | None = None) -> list[Mapping[str, Any]]:
        """Entries of the ledger so far, folded and waiting, oldest first: what the payload says, with `entry`, `kind` and `at`."""
        with contextlib.closing(self.database()) as database:
            database.execute("BEGIN")  # one view of both tables: an entry is in exactly one of them
            found = database.execute('SELECT entry, kind, at, payload FROM audit_entry ORDER BY "index"').fetchall()
            found += database.execute("SELECT entry, kind, at, payload FROM audit_pending ORDER BY id").fetchall()
            database.rollback()
        return [
            {"entry": entry, "kind": of, "at": at, **json.loads(payload)} for entry, of, at, payload in found if kind in (None, of)
        ]

    def entries_of_use(self, query: str) -> list[Mapping[str, Any]]:
        """The entries that belong to one query, oldest first."""
        with contextlib.closing(self.database()) as database:
            named = [
                row[0]
                for row in database.execute("SELECT entry FROM audit_useentry WHERE use_id = ? ORDER BY position", (query,)).fetchall()
            ]
            database.execute("BEGIN")
            found = []
            for name in named:
                for table in ("audit_entry", "audit_pending"):
                    found += database.execute(
                        f"SELECT entry, kind, at, payload FROM {table} WHERE entry = ?", (name,)
                    ).fetchall()
            database.rollback()
        return [{"entry": entry, "kind": kind, "at": at, **json.loads(payload)} for entry, kind, at, payload in found]

    # --- serving ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Serve it; returns when the API answers. Raises Unavailable `drill-not-served`."""
        self.port = self.port or free_port()
        log = self.folder / "serve.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "huitong.cli", "serve", "--home", str(self.home), "--operator", OPERATOR,
                 "--port", str(self.port), "--web", str(self.web)],
                env=dict(self.environment), stdout=output, stderr=output, start_new_session=True, cwd=self.home,
            )  # fmt: skip
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if self.answers():
                return
            time.sleep(0.1)
        self.stop()
        last = (log.read_text("utf-8", "replace").strip().splitlines() or ["-"])[-1]
        raise Unavailable.because("drill-not-served", last=last[:300])

    def answers(self) -> bool:
        """Whether the API answers now."""
        try:
            return self.call(None, "GET", "ledger/key").status_code == 200
        except httpx.HTTPError:
            return False

    def running(self) -> bool:
        """Whether the server lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End the server and all it started; nothing happens if it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_again_if_needed(self) -> bool:
        """Serve it again if it died or answers no more; whether that was needed."""
        if self.running() and self.answers():
            return False
        self.stop()
        self.start()
        return True

    @contextlib.contextmanager
    def another(self, *, web: int = 1, settings: Mapping[str, str | int | float] | None = None) -> Iterator["Ground"]:
        """A copy of the instance as it was made, served apart, to be spoiled; `settings` are `HUITONG_*` of its processes."""
        with self._lock:
            self._copies += 1
            folder = self.folder.parent / f"c{self._copies}"
        folder.mkdir()
        changed = {f"HUITONG_{name.upper()}": str(value) for name, value in (settings or {}).items()}
        copy = Ground(folder, self.pristine, self.facts, {**self.environment, **changed}, web=web)
        shutil.copytree(self.pristine, copy.home, symlinks=True)
        try:
            copy.start()
            yield copy
        finally:
            copy.close()
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Stop it and let go of its connections."""
        self.stop()
        self.http.close()

    # --- processes --------------------------------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """The server's process and all that descend from it."""
        if self.process is None:
            return []
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    after_name = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                    children.setdefault(int(after_name[1]), []).append(int(entry.name))
        found, layer = [], [self.process.pid]
        while layer:
            found += layer
            layer = [child for one in layer for child in children.get(one, [])]
        return found


Procedure = Callable[[Ground], Finding]
"""Does one attack for real and looks at what came of it."""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _own(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of the drill's processes: without what belongs to another instance."""
    kept = {name: value for name, value in environment.items() if not name.startswith("HUITONG_")}
    return kept | {"HUITONG_PROFILE": str(folder / "profile.toml"), "PYTHONUNBUFFERED": "1"}


def made_instance(folder: Path, environment: Mapping[str, str]) -> None:
    """Make the drill instance in `folder`, with what the drill must know beside it; it is not served there."""
    make(folder / "p", environment=_own(environment, folder))


@contextlib.contextmanager
def served_ground(made: Path, environment: Mapping[str, str], *, web: int = 2) -> Iterator[Ground]:
    """A copy of the instance that was made in the folder `made`, served until the block ends. Sockets need short paths, so copies lie in
    the folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="htd-", ignore_cleanup_errors=True) as lies_in:
        folder = Path(lies_in) / "g"
        folder.mkdir()
        ground = Ground(folder, made / "p", Facts.read(made / "facts.json"), _own(environment, Path(lies_in)), web=web)
        shutil.copytree(ground.pristine, ground.home, symlinks=True)
        try:
            ground.start()
            yield ground
        finally:
            ground.close()


@contextlib.contextmanager
def fresh_ground(environment: Mapping[str, str], *, say: Callable[[str], None] = lambda _: None, web: int = 2) -> Iterator[Ground]:
    """A drill instance made anew, served, and removed when the block ends. `say` is told of each step by its key of words."""
    with tempfile.TemporaryDirectory(prefix="htd-", ignore_cleanup_errors=True) as made_in:
        say("making")
        made_instance(Path(made_in), environment)
        say("serving")
        with served_ground(Path(made_in), environment, web=web) as ground:
            yield ground
