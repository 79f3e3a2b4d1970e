"""The engine broker: one unix socket, one loop, one forked and sandboxed process per query, the next of which it keeps ready.

Single-threaded on purpose: a process forked from it starts with no foreign thread and no foreign lock. Whatever a child does or a
client sends, the broker goes on. It holds one unused database connection, for children to inherit, and never reads a row. It ends
with whoever started it.

    python -m huitong.engines.broker --socket S --lake DIR --processes N
"""

import argparse
import contextlib
import gc
import json
import mmap
import os
import selectors
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from types import FrameType, TracebackType
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as parquet

import huitong
from huitong.engines import duckdb, frames, probes, process, sandbox
from huitong.errors import HuitongError, Reason, Unavailable
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable
from huitong.settings import Settings


@dataclass(frozen=True)
class BrokerSettings:
    """Where a broker lives and what it may use at once."""

    socket: Path
    lake: Path
    processes: int = 2
    """Queries that run at once. While all of them are long ones, one further place is open for others."""
    memory_megabytes: int = 2048
    """Most memory of one query, whatever it asks for."""
    temporary: Path | None = None
    """Folder for spilled intermediate results; beside the socket if not given. Each query gets its own, private and short-lived."""
    temporary_megabytes: int = 20_000
    result_bytes: int = frames.RESULT_BYTES
    """Most bytes of one result."""
    stream_bytes: int = frames.STREAM_BYTES
    """Most bytes of one result that is taken away piece by piece."""
    waiting: int = 64
    """Queries that may wait for a free process; one more is told the engine is busy."""
    waiting_seconds: float = 10.0
    """Longest wait for a free process."""
    connections: int = 256
    ready: int = 1
    """1: a process is made ready before its query comes, while there is a free place; 0: each is made when its query is there."""
    kill_after_seconds: float = 0.75
    """How long after its limit a query that does not obey the interrupt is killed."""
    minimum_level: int = 0
    """Refuse to serve below this sandbox level."""
    cluster: str = ""
    """`sc://host:port` of a Spark Connect server that runs the queries; empty: they run in processes of this machine."""
    cluster_lake: str = ""
    """Where the cluster finds the lake; empty: where it lies here."""
    cluster_level: int = 0
    """The sandbox level that the operator answers for on the cluster."""
    keys: Path | None = None
    """The folder of the instance's keys, which the probes try to read."""
    database: Path | None = None
    """The file of the control database, likewise."""


_SQLITE = "sqlite:///"
"""How the address of a database in a file begins."""


class NotSafeError(Exception):
    """The start-up probes found a hole, or the sandbox does not let a query work. `passed` names the probes that went through."""

    def __init__(self, why: str, *, passed: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.passed = tuple(passed)


_READY_AFTER_SECONDS = 0.1
"""While queries run, the next process is made ready so long after the last of them began: short ones are not to be slowed down by it."""
_PAUSE_SECONDS = 1.0
"""After one could not be made or died, no other is tried for so long."""
_HAND_OVER_SECONDS = 1.0
"""Longest time to give a ready process its query."""
_LOOK_SECONDS = 0.05
"""Shortest pause between two looks at the processor time of a query."""


class _Peer:
    """One client's connection: reading its request, waiting, or being answered by a child."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.since = time.monotonic()
        self.query: GovernedQuery | None = None
        self.child: _Child | None = None
        self.long = False


@dataclass
class _Child:
    pid: int
    query: GovernedQuery
    begun: float
    look_at: float
    kill_at: float
    busy: mmap.mmap
    temporary: Path
    late: bool = False
    unwanted: bool = False
    waited: bool = False
    """It was there before its query: `busy[2]` says whether it got it."""
    used: float = 0.0
    """Processor seconds that it had used before its query came."""
    moved: bool = False
    """Ended only to begin again later: it turned out to be long in the place that is for others."""


@dataclass
class _Made:
    """A process that was forked for a query, or before its query is there."""

    pid: int
    busy: mmap.mmap
    temporary: Path
    channel: socket.socket | None = None
    """Over which its query comes, as long as it waits for one."""


class Broker:
    """The loop. `serve` returns when asked to stop or when whoever started it is gone."""

    def __init__(self, settings: BrokerSettings, *, walls: sandbox.Walls | None = None) -> None:
        self._settings = replace(settings, lake=settings.lake.resolve())
        self._temporary = (settings.temporary or settings.socket.with_name(f"{settings.socket.stem}-tmp")).absolute()
        self._selector = selectors.DefaultSelector()
        self._peers: dict[int, _Peer] = {}
        self._waiting: deque[_Peer] = deque()
        self._children: dict[int, _Peer] = {}
        self._ready: _Made | None = None
        self._ready_at = 0.0
        self._pause_until = 0.0
        self._around = process.Surroundings(
            lake=self._settings.lake,
            temporary_megabytes=settings.temporary_megabytes,
            network_left=False,
            walls=walls or sandbox.Walls(),
            connection=duckdb.open_unused(),
            result_bytes=settings.result_bytes,
            stream_bytes=settings.stream_bytes,
        )
        if settings.cluster:
            self._around = replace(self._around, cluster=_cluster_of(self._settings))
        self._stop = False
        self._served = 0
        self.found: Mapping[str, Any] = {}
        """What the probes found: sandbox report."""

    # --- start ---

    def prepare(self) -> None:
        """Open the socket, leave the network, prove the walls. Raises NotSafeError."""
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True, mode=0o700)
        self._settings.lake.mkdir(parents=True, exist_ok=True)
        self._listen()
        left = self._around.cluster is None and sandbox.leave_network(self._around.walls)
        self._around = replace(self._around, network_left=left)
        if self._around.cluster is None:
            exercise = self._temporary / "exercise.parquet"
            process.write_exercise(exercise)
            self._around = replace(self._around, exercise=exercise)
        gc.collect()
        gc.freeze()
        self.found = self._probe()
        if self.found["sandbox"]["level"] < self._settings.minimum_level:
            raise NotSafeError(f"sandbox level {self.found['sandbox']['level']} is below {self._settings.minimum_level}")
        self._listener.listen(128)
        self._listener.setblocking(False)

    def _listen(self) -> None:
        path = self._settings.socket
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)) == 0:
                    raise NotSafeError("another broker serves this socket")
            path.unlink()
        before = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)

    def _probe(self) -> Mapping[str, Any]:
        """Run every attack of `probes` in a child that was made exactly like the child of a query."""
        with tempfile.TemporaryDirectory(dir=self._temporary) as outside, tempfile.TemporaryDirectory(dir=self._settings.lake) as inside:
            forbidden = Path(outside)
            probes.write_forbidden(forbidden)
            planned = Path(inside) / "probe.parquet"
            parquet.write_table(pa.table({"a": [1]}), planned)
            query = GovernedQuery(
                query="probe",
                sql="SELECT count(*) AS n FROM probe WHERE a = 1",
                tables=(GovernedTable("probe", (str(planned.relative_to(self._settings.lake)),), {"a": "BIGINT"}),),
                limits=EngineLimits(seconds=20, memory_megabytes=256, threads=1, maximum_rows=1),
            )
            temporary = self._private_folder()
            parent = os.getpid()
            with self._another_query(query) as (other, folder):
                targets = probes.Targets(forbidden, parent, other, folder, self._settings.socket, self._secrets())
                receive, send = os.pipe()
                pid = os.fork()
                if pid == 0:
                    process.probe(out=send, temporary=temporary, around=self._around, targets=targets, query=query, parent=parent)
                os.close(send)
                with os.fdopen(receive, "rb") as pipe:
                    said = pipe.read()
                os.waitpid(pid, 0)
            shutil.rmtree(temporary, ignore_errors=True)
            wrote = any(name.startswith("written") for name in os.listdir(outside))
        found: dict[str, Any] = json.loads(said) if said else {}
        if "sandbox" not in found:
            raise NotSafeError(f"the sandbox does not let an engine process work ({found.get('broken', 'it died')})")
        if found["passed"]:
            raise NotSafeError(f"attacks that went through: {', '.join(found['passed'])}", passed=found["passed"])
        if wrote:
            raise NotSafeError("an engine process wrote outside its own folder")
        if not found["works"]:
            raise NotSafeError("an ordinary query gives a wrong answer inside the sandbox")
        return found

    @contextmanager
    def _another_query(self, query: GovernedQuery) -> Iterator[tuple[int, Path]]:
        """A process made for another query, and its private folder with a file in it, while the block runs."""
        folder = self._private_folder()
        (folder / "spilled").write_text("of another query", "utf-8")
        (folder / "spilled").chmod(0o666)
        ready, tell = os.pipe()
        until, end = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            process.stand_by(ready=tell, until=until, temporary=folder, around=self._around, query=query, parent=parent)
        os.close(tell)
        os.close(until)
        try:
            if os.read(ready, 1) != b"1":
                raise NotSafeError("the sandbox does not let an engine process work (it died)")
            yield pid, folder
        finally:
            os.close(ready)
            os.close(end)
            os.waitpid(pid, 0)
            shutil.rmtree(folder, ignore_errors=True)

    def _secrets(self) -> tuple[Path, ...]:
        """The files of the instance that no engine process may open, as far as they are there."""
        keys, database = self._settings.keys, self._settings.database
        found = sorted(keys.glob("*.key")) if keys is not None else []
        return tuple(path for path in [*found, *([database] if database is not None else [])] if path.is_file())

    # --- the loop ---

    def serve(self, *, lifeline: int | None = None) -> None:
        """Serve until SIGTERM, SIGINT, or end of file on `lifeline` (a pipe held open by whoever started this)."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.obey_signals()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._selector.register(wake_read, selectors.EVENT_READ, "wake")
        if lifeline is not None:
            self._selector.register(lifeline, selectors.EVENT_READ, "lifeline")
        try:
            while not self._stop:
                for key, _ in self._selector.select(self._next_moment()):
                    if key.data == "listener":
                        self._accept()
                    elif key.data == "wake":
                        with contextlib.suppress(BlockingIOError):
                            os.read(wake_read, 4096)
                    elif key.data == "lifeline":
                        self._stop = self._stop or not os.read(key.fd, 1)
                    else:
                        self._hear(key.data)
                self._reap()
                self._watch_clock()
                self._start_waiting()
                self._make_ready()
        finally:
            self._end()

    def obey_signals(self) -> None:
        """From now on SIGTERM and SIGINT end `serve`, also one that has not begun."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _next_moment(self) -> float | None:
        now = time.monotonic()
        moments = [peer.child.kill_at if peer.long else peer.child.look_at for peer in self._children.values() if peer.child]
        moments += [peer.since + self._settings.waiting_seconds for peer in self._peers.values() if peer.child is None]
        if self._wants_ready():
            moments.append(self._ready_moment())
        return max(0.0, min(moments) - now) + 0.001 if moments else None

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= self._settings.connections:
            connection.close()
            return
        connection.setblocking(False)
        peer = _Peer(connection)
        self._peers[connection.fileno()] = peer
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _hear(self, peer: _Peer) -> None:
        try:
            data = peer.connection.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or peer.query is not None:  # hung up, or speaks out of turn
            self._drop(peer)
            return
        peer.received += data
        if len(peer.received) < frames.REQUEST_HEAD.size:
            return
        (length,) = frames.REQUEST_HEAD.unpack_from(peer.received)
        if length > frames.REQUEST_BYTES or len(peer.received) > frames.REQUEST_HEAD.size + length:
            self._refuse(peer, Reason("engine-request-invalid"))
        elif len(peer.received) == frames.REQUEST_HEAD.size + length:
            self._understand(peer, bytes(peer.received[frames.REQUEST_HEAD.size :]))

    def _understand(self, peer: _Peer, body: bytes) -> None:
        peer.received.clear()
        try:
            kind, said = frames.read_request(body)
            if kind == "status":
                self._tell_status(peer)
                return
            query = frames.query_of_json(said)
        except frames.MalformedError:
            self._refuse(peer, Reason("engine-request-invalid"))
            return
        limits = query.limits
        memory = min(limits.memory_megabytes, self._settings.memory_megabytes)
        peer.query = replace(query, limits=replace(limits, memory_megabytes=memory))
        peer.since = time.monotonic()
        level = int(self.sandbox["level"])
        below = next(((dataset, needed) for dataset, needed in query.sandbox.items() if level < needed), None)
        if below is not None:
            self._refuse(peer, Reason("sandbox-below-grade", {"dataset": below[0], "level": level, "needed": below[1]}))
        elif len(self._waiting) >= self._settings.waiting:
            self._refuse(peer, Reason("engine-busy", {"query": query.query}))
        else:
            self._waiting.append(peer)

    @property
    def sandbox(self) -> Mapping[str, Any]:
        """The report of the walls. Its `level` is that at which a query runs: of this machine, or what the operator answers for on the
        cluster, whose address it then holds."""
        cluster = self._around.cluster
        if cluster is None:
            return self.found["sandbox"]  # type: ignore[no-any-return]
        return {**self.found["sandbox"], "level": self._settings.cluster_level, "cluster": str(cluster.address)}

    def _tell_status(self, peer: _Peer) -> None:
        counts = {"running": len(self._children), "long": self._long(), "waiting": len(self._waiting), "served": self._served}
        ready = None if self._ready is None else self._ready.pid
        status = {**self.sandbox, "probes": self.found["probes"], **counts, "ready": ready}
        self._say(peer, frames.frame(frames.DATA, json.dumps(status).encode()) + frames.end_frame(rows=0, cut=False))
        self._drop(peer)

    def _start_waiting(self) -> None:
        while (peer := next(filter(self._may_start, self._waiting), None)) is not None:
            self._waiting.remove(peer)
            try:
                self._start(peer)
            except OSError:  # no memory for a process, no room for its folder
                self._refuse(peer, Reason("engine-busy", {"query": peer.query.query if peer.query else ""}))

    def _may_start(self, peer: _Peer) -> bool:
        """Whether there is a place. One beyond the others opens while all of them are taken by long queries, for one not known to be."""
        places, running = self._settings.processes, len(self._children)
        return running < places or (running == places == self._long() and not peer.long)

    def _long(self) -> int:
        return sum(peer.long for peer in self._children.values())

    def _start(self, peer: _Peer) -> None:
        query = peer.query
        assert query is not None
        waited = self._handed_over(query, peer)
        made = waited or self._fork(partial(process.run, query, peer=peer.connection))
        now = time.monotonic()
        kill_at = now + query.limits.seconds + self._settings.kill_after_seconds
        first_look = min(now + frames.LONG_SECONDS / query.limits.threads, kill_at)
        used = sandbox.processor_seconds(made.pid)
        peer.child = _Child(made.pid, query, now, first_look, kill_at, made.busy, made.temporary, waited=waited is not None, used=used)
        if peer.long:
            sandbox.stand_back(made.pid)
        self._children[made.pid] = peer
        self._served += 1
        self._ready_at = now + _READY_AFTER_SECONDS

    def _fork(self, begin: Callable[..., NoReturn]) -> _Made:
        """A process that does `begin`, with a private folder and a page that it shares with the broker. Raises OSError if there can be
        none."""
        temporary, parent = self._private_folder(), os.getpid()
        busy = mmap.mmap(-1, mmap.PAGESIZE)
        try:
            pid = os.fork()
        except OSError:
            busy.close()
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        if pid == 0:
            begin(busy=memoryview(busy), temporary=temporary, around=self._around, parent=parent)
        return _Made(pid, busy, temporary)

    def _handed_over(self, query: GovernedQuery, peer: _Peer) -> _Made | None:
        """The process that stands ready, with this query given to it; None if there is none."""
        ready, self._ready = self._ready, None
        if ready is None or ready.channel is None:
            return None
        try:
            process.hand_over(ready.channel, query, peer.connection)
        except OSError:
            self._put_away(ready)
            return None
        ready.channel.close()
        return ready

    def _wants_ready(self) -> bool:
        """Whether a process should be made ready: there is a place for it, and nobody waits."""
        wanted = self._settings.ready > 0 and self._around.cluster is None and self._ready is None
        return wanted and not self._waiting and len(self._children) < self._settings.processes

    def _ready_moment(self) -> float:
        """When the next process may be made ready."""
        return max(self._pause_until, self._ready_at if self._children else 0.0)

    def _make_ready(self) -> None:
        """Make the next process before its query comes: what it does until then is most of the time of a small query."""
        if not self._wants_ready() or time.monotonic() < self._ready_moment():
            return
        ours, theirs = socket.socketpair()
        ours.settimeout(_HAND_OVER_SECONDS)
        try:
            self._ready = replace(self._fork(partial(process.run_next, channel=theirs)), channel=ours)
        except OSError:  # no memory for it now
            self._pause_until = time.monotonic() + _PAUSE_SECONDS
            ours.close()
        theirs.close()

    def _put_away(self, ready: _Made) -> None:
        """End a process that got no query."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(ready.pid, signal.SIGKILL)
            os.waitpid(ready.pid, 0)
        if ready.channel is not None:
            ready.channel.close()
        ready.busy.close()
        shutil.rmtree(ready.temporary, ignore_errors=True)

    def _private_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self._temporary))
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                os.chown(folder, sandbox.UNPRIVILEGED, sandbox.UNPRIVILEGED)
        return folder

    def _reap(self) -> None:
        while self._children or self._ready is not None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid, status = 0, 0
            if pid == 0:
                return
            peer = self._children.pop(pid, None)
            if self._ready is not None and pid == self._ready.pid:  # it died before its query came
                dead, self._ready, self._pause_until = self._ready, None, time.monotonic() + _PAUSE_SECONDS
                self._put_away(dead)
            if peer is None or peer.child is None:
                continue
            child = peer.child
            shutil.rmtree(child.temporary, ignore_errors=True)
            lost = child.waited and child.busy[2] == 0 and not child.late
            if (child.moved or lost) and not child.unwanted and status != 0:
                peer.child = None
                if child.busy[1] == 0:  # nobody has heard of it: it can begin again
                    self._served -= 1
                    self._waiting.append(peer)
                elif child.busy[0] == 0:
                    self._refuse(peer, Reason("engine-busy", {"query": child.query.query}))
                else:
                    self._drop(peer)
            elif not child.unwanted:
                if status != 0 and child.busy[0] == 0:  # died between frames: there is room for a last word
                    self._say(peer, frames.error_frame(process.reason_of_death(child.query, late=child.late)))
                peer.child = None
                self._drop(peer)
            child.busy.close()

    def _watch_clock(self) -> None:
        now = time.monotonic()
        for pid, peer in self._children.items():
            if peer.child and not peer.long and now >= peer.child.look_at:
                self._look_whether_long(peer, peer.child, now)
            if peer.child and now >= peer.child.kill_at:
                peer.child.late, peer.child.kill_at = True, now + 60
                os.kill(pid, signal.SIGKILL)
        for peer in list(self._peers.values()):
            if peer.child is None and now >= peer.since + self._settings.waiting_seconds:
                if peer.query is None:
                    self._drop(peer)
                else:
                    self._waiting.remove(peer)
                    self._refuse(peer, Reason("engine-busy", {"query": peer.query.query}))

    def _look_whether_long(self, peer: _Peer, child: _Child, now: float) -> None:
        """A long query stands back from now on. If all places are with long ones already it gives back the one for others."""
        left = frames.LONG_SECONDS - (sandbox.processor_seconds(child.pid) - child.used)
        if left > 0 and now < child.begun + frames.LONG_BY_CLOCK_SECONDS:
            child.look_at = min(now + max(left / child.query.limits.threads, _LOOK_SECONDS), child.kill_at)
            return
        peer.long = True
        if self._long() > self._settings.processes:
            child.moved = True
            os.kill(child.pid, signal.SIGKILL)
        else:
            sandbox.stand_back(child.pid)

    def _refuse(self, peer: _Peer, reason: Reason) -> None:
        self._say(peer, frames.error_frame(reason))
        self._drop(peer)

    def _say(self, peer: _Peer, data: bytes) -> None:
        """A few bytes to a client; one that does not read them has itself to blame."""
        with contextlib.suppress(OSError):
            peer.connection.setblocking(False)
            peer.connection.send(data)

    def _drop(self, peer: _Peer) -> None:
        if peer in self._waiting:
            self._waiting.remove(peer)
        if peer.child is not None:
            peer.child.unwanted = True
            os.kill(peer.child.pid, signal.SIGKILL)
        descriptor = peer.connection.fileno()
        if descriptor in self._peers:
            del self._peers[descriptor]
            self._selector.unregister(peer.connection)
            peer.connection.close()

    def _end(self) -> None:
        if self._ready is not None:
            self._put_away(self._ready)
        for peer in list(self._peers.values()):
            self._drop(peer)
        for pid in list(self._children):
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._listener.close()
        with contextlib.suppress(OSError):
            self._settings.socket.unlink()
        shutil.rmtree(self._temporary, ignore_errors=True)


def _cluster_of(settings: BrokerSettings) -> process.Cluster:
    """The cluster of the settings, its host looked up once. Raises Unavailable `spark-not-installed` or `engine-unavailable`, and
    InputInvalid `engine-address-invalid`."""
    from huitong.engines import spark  # a broker without a cluster is kept small: it is forked for every query

    address = spark.SparkAddress.read(settings.cluster)
    spark.load()
    try:
        found = socket.getaddrinfo(address.host.strip("[]"), address.port, type=socket.SOCK_STREAM)
    except OSError:
        raise Unavailable.because("engine-unavailable") from None
    host = str(found[0][4][0])
    return process.Cluster(replace(address, host=f"[{host}]" if ":" in host else host), settings.cluster_lake or str(settings.lake))


# --- starting one -------------------------------------------------------------------------------------------------------


@dataclass
class BrokerHandle:
    """A running broker; a context manager that ends it. It also ends by itself when this process does."""

    process: "Popen[bytes]"
    socket: Path
    sandbox: Mapping[str, Any]
    """The report of the walls, with `level`."""
    probes: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """What its probes found: kind -> `held` and `not_promised` -> names."""

    def __enter__(self) -> "BrokerHandle":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End it and its children; waits until it is gone."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process.terminate()  # a process that was forked from this one meanwhile may still hold the lifeline
        try:
            self.process.wait(10)
        except Exception:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_broker(
    settings: Settings, *, minimum_level: int = 0, lake: Path | None = None, instance: Settings | None = None
) -> BrokerHandle:
    """Start a broker for an instance, over its lake or another, and wait until its probes have passed. `instance` is the one whose keys
    and database the probes try to read, if it is another.

    Raises Unavailable `engine-not-safe`, `engine-unavailable`, or for a cluster `spark-not-installed` or `engine-address-invalid`."""
    own = instance or settings
    sqlite = own.database.removeprefix(_SQLITE) if own.database.startswith(_SQLITE) else ""
    return start(
        BrokerSettings(
            socket=settings.engine_socket,
            lake=lake or settings.lake,
            processes=settings.engine_processes,
            memory_megabytes=settings.engine_memory_megabytes,
            minimum_level=minimum_level,
            cluster=settings.engine,
            cluster_lake=settings.engine_lake,
            cluster_level=settings.engine_level,
            keys=own.keys,
            database=Path(sqlite) if sqlite else None,
        )
    )


def start(settings: BrokerSettings) -> BrokerHandle:
    """Start a broker as a process of its own, with an environment of its own."""
    source = str(Path(huitong.__file__).parent.parent)
    command = [sys.executable, "-m", __name__, "--lifeline"]
    for name in BrokerSettings.__dataclass_fields__:
        value = getattr(settings, name)
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    environment = {
        "PYTHONPATH": source,
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    # A group of its own keeps the terminal's signals away. Not a session: the kernel would share the processor out by sessions first, and
    # a query that stands back would do so only behind other queries, not behind the web processes.
    started = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, process_group=0)
    assert started.stdout is not None
    line = started.stdout.readline()
    said = json.loads(line) if line else {}
    handle = BrokerHandle(started, settings.socket, said.get("sandbox", {}), said.get("probes", {}))
    if not said.get("ready"):
        handle.stop()
        if "code" in said:
            raise Unavailable(Reason(said["code"], said["parameters"]))
        if said.get("not_safe"):
            raise Unavailable.because("engine-not-safe", probes=", ".join(said.get("passed", ())) or "-")
        raise Unavailable.because("engine-unavailable")
    return handle


def main(arguments: list[str] | None = None) -> int:
    """Run a broker in the foreground; says one line of JSON when it is ready or why it will not be."""
    parser = argparse.ArgumentParser(prog="python -m huitong.engines.broker", description="Serve governed queries on a unix socket.")
    parser.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    for name, setting in BrokerSettings.__dataclass_fields__.items():
        kind = {"int": int, "float": float, "str": str}.get(str(getattr(setting.type, "__name__", setting.type)), Path)
        required = name in ("socket", "lake")
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, required=required, default=None if required else setting.default)
    chosen = vars(parser.parse_args(arguments))
    lifeline = chosen.pop("lifeline")
    try:
        broker = Broker(BrokerSettings(**chosen))
        broker.prepare()
    except HuitongError as error:
        reason = error.reasons[0]
        sys.stdout.write(json.dumps({"ready": False, "code": reason.code, "parameters": dict(reason.parameters)}) + "\n")
        return 1
    except (NotSafeError, OSError) as error:
        passed = error.passed if isinstance(error, NotSafeError) else ()
        said = {"ready": False, "not_safe": isinstance(error, NotSafeError), "why": str(error), "passed": passed}
        sys.stdout.write(json.dumps(said) + "\n")
        return 1
    broker.obey_signals()
    sys.stdout.write(json.dumps({"ready": True, "sandbox": broker.sandbox, "probes": broker.found["probes"]}) + "\n")
    sys.stdout.flush()
    broker.serve(lifeline=0 if lifeline else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
