"""The life of one engine process: from fork to exit, one governed query, nothing else. It may be made before its query is there.

Runs in a child that the broker forked. It writes the Arrow stream straight to the client's socket; the broker never sees a row.
"""

import contextlib
import io
import json
import os
import signal
import socket
import stat
import struct
import sysconfig
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as parquet

from huitong.engines import duckdb, frames, probes, sandbox
from huitong.errors import Reason
from huitong.model.query import GovernedQuery

if TYPE_CHECKING:
    from huitong.engines.spark import SparkAddress


@dataclass(frozen=True)
class Cluster:
    """A Spark Connect server, as the processes that speak to it know it."""

    address: "SparkAddress"
    """With a number for its host: no name is looked up inside the walls."""
    lake: str
    """Where the cluster finds the lake."""


@dataclass(frozen=True)
class Surroundings:
    """What the broker gives every process it forks."""

    lake: Path
    temporary_megabytes: int
    network_left: bool
    walls: sandbox.Walls
    connection: Any
    """An unused connection of `duckdb.open_unused`; after the fork the child's own."""
    result_bytes: int = frames.RESULT_BYTES
    """Most bytes of one result."""
    stream_bytes: int = frames.STREAM_BYTES
    """Most bytes of one result that is taken away piece by piece."""
    cluster: "Cluster | None" = None
    """Where queries run, if not here."""
    exercise: Path | None = None
    """A small Parquet file with `number` and `word`, that a process which waits for its query reads beforehand."""

    def bytes_of(self, query: GovernedQuery) -> int:
        """Most bytes of the result of this query."""
        return self.stream_bytes if query.stream else self.result_bytes


class ResultTooLargeError(Exception):
    """The result has more bytes than one result may have."""


class FrameWriter(io.RawIOBase):
    """Turns what Arrow writes into data frames on a socket. `busy` holds two shared bytes: 1 while a frame is half written, and 1 once
    anything was. A third says that a process which waited for its query has it.

    Once more than `maximum` bytes were to be written it takes no data any more; what would exceed it is not begun."""

    def __init__(self, peer: socket.socket, busy: memoryview, deadline: float, *, maximum: int) -> None:
        self._peer, self._busy, self._deadline = peer, busy, deadline
        self._left = maximum

    def writable(self) -> bool:
        """Yes: that is all it is for."""
        return True

    def write(self, data: Any, /) -> int:
        """Send the bytes as data frames; all of them or an exception."""
        view = memoryview(data).cast("B")
        self._left -= len(view)
        if self._left < 0:
            raise ResultTooLargeError
        for start in range(0, len(view), frames.FRAME_BYTES):
            piece = view[start : start + frames.FRAME_BYTES]
            self._busy[0] = self._busy[1] = 1
            self._send(frames.FRAME_HEAD.pack(frames.DATA, len(piece)))
            self._send(piece)
            self._busy[0] = 0
        return len(view)

    def whole(self, frame: bytes) -> None:
        """Send one finished frame."""
        self._busy[0] = self._busy[1] = 1
        self._send(frame)
        self._busy[0] = 0

    def _send(self, data: bytes | memoryview) -> None:
        left = self._deadline - time.monotonic()
        self._peer.settimeout(max(left, 0.05))
        self._peer.sendall(data)


def run(query: GovernedQuery, *, peer: socket.socket, busy: memoryview, temporary: Path, around: Surroundings, parent: int) -> NoReturn:
    """Answer `query` on `peer` and exit. Exit status 0: the last frame was sent; 1: nothing more could be said."""
    try:
        _leave_parent(parent)
    except BaseException:
        os._exit(1)
    _run(query, peer, busy, temporary, around, parent)


def run_next(*, channel: socket.socket, busy: memoryview, temporary: Path, around: Surroundings, parent: int) -> NoReturn:
    """Be ready before the query is there: come alone, get warm, wait on `channel` for a query and its client, then do as `run` does.

    What it does before the query comes is the same whatever the query is, and nothing of anybody's."""
    try:
        _leave_parent(parent)
        sandbox.close_all_but([channel.fileno()])
        warm_up(around)
        query, peer = _next_query(channel)
        busy[2] = 1
        channel.close()
    except BaseException:
        os._exit(1)
    _run(query, peer, busy, temporary, around, parent)


def warm_up(around: Surroundings) -> None:
    """Use the connection once, on one thread, so that its code and memory are there when the query comes."""
    if around.exercise is None:
        return
    connection, file = around.connection, duckdb.quote_text(str(around.exercise))
    connection.execute(f"CREATE VIEW exercise AS SELECT * FROM read_parquet([{file}], hive_partitioning=false, union_by_name=false)")
    for sql in _EXERCISES:
        duckdb.stream(connection, sql).read_all()
    connection.execute("DROP VIEW exercise")


_EXERCISES = (
    "SELECT word, count(*) AS n, sum(number) AS s, avg(number) AS a, min(number) AS l, max(word) AS m FROM exercise "
    "WHERE number > 3 AND word <> 'w3' GROUP BY word ORDER BY word LIMIT 100",
    "SELECT count(*) AS n FROM exercise AS x JOIN exercise AS y USING (word) WHERE x.number = 7",
)


def write_exercise(path: Path) -> None:
    """The file that `warm_up` reads."""
    numbers = range(2_048)
    rows = pa.table({"number": pa.array(numbers), "word": [f"w{number % 50}" for number in numbers]})
    parquet.write_table(rows, path, compression="zstd")


def hand_over(channel: socket.socket, query: GovernedQuery, peer: socket.socket) -> None:
    """Give a process that stands ready its query and the client's socket. Raises OSError if it is not there any more."""
    body = json.dumps(frames.query_as_json(query)).encode()
    socket.send_fds(channel, [_HEAD.pack(len(body))], [peer.fileno()])
    channel.sendall(body)


def _next_query(channel: socket.socket) -> tuple[GovernedQuery, socket.socket]:
    head, descriptors, _, _ = socket.recv_fds(channel, _HEAD.size, 1)
    if not head:  # whoever made it ready does not need it
        os._exit(0)
    (length,) = _HEAD.unpack(head)
    body = bytearray()
    while len(body) < length:
        piece = channel.recv(length - len(body))
        if not piece:
            os._exit(1)
        body += piece
    return frames.query_of_json(json.loads(body)), socket.socket(fileno=descriptors[0])


_HEAD = struct.Struct("!I")


def _run(query: GovernedQuery, peer: socket.socket, busy: memoryview, temporary: Path, around: Surroundings, parent: int) -> NoReturn:
    status = 1
    try:
        started = time.monotonic()
        writer = FrameWriter(peer, busy, started + query.limits.seconds, maximum=around.bytes_of(query))
        try:
            _answer(query, writer, temporary, around, parent, peer)
            status = 0
        except (BrokenPipeError, ConnectionError):
            status = 1
        except BaseException as error:
            if isinstance(error, ResultTooLargeError) or duckdb.over_batch(error):
                reason = frames.too_large(query=query.query, limit=around.bytes_of(query))
            else:
                reason = _reason_of(error, query, around)
            if busy[0] == 0:
                writer = FrameWriter(peer, busy, time.monotonic() + 0.5, maximum=0)
                writer.whole(frames.error_frame(reason))
                status = 0
    except BaseException:
        status = 1
    finally:
        os._exit(status)


def _reason_of(error: BaseException, query: GovernedQuery, around: Surroundings) -> Reason:
    if around.cluster is None:
        return duckdb.reason_of(error, query=query.query, limits=query.limits)
    from huitong.engines import spark

    return spark.reason_of(error, query=query.query, limits=query.limits)


def _answer(
    query: GovernedQuery, writer: FrameWriter, temporary: Path, around: Surroundings, parent: int, peer: socket.socket
) -> None:
    if around.cluster is not None:
        _answer_from(around.cluster, query, writer, temporary, around, parent, peer)
        return
    deadline = time.monotonic() + query.limits.seconds
    opened = [[_open_planned(around.lake, file) for file in table.files] for table in query.tables]
    files = sorted({descriptor for table in opened for descriptor in table})
    folder = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    enter(around, query, files=files, folder=folder, keep=[*files, folder, peer.fileno()], parent=parent)
    connection = _locked(around, query, files, folder)
    watch = threading.Timer(max(0.0, deadline - time.monotonic()), connection.interrupt)
    watch.daemon = True
    watch.start()
    for table, descriptors in zip(query.tables, opened, strict=True):
        duckdb.create_view(connection, table, [_by_descriptor(descriptor) for descriptor in descriptors])
    reader = duckdb.stream(connection, query.sql)
    rows, cut = 0, False
    out = io.BufferedWriter(writer, frames.FRAME_BYTES)
    with pa.ipc.new_stream(pa.PythonFile(out, mode="w"), reader.schema) as arrow:
        for batch, cut in duckdb.first_rows(reader, query.limits.maximum_rows):  # noqa: B007 - the last one counts
            arrow.write_batch(batch)
            rows += batch.num_rows
    out.flush()
    if time.monotonic() > deadline:
        raise TimeoutError
    writer.whole(frames.end_frame(rows=rows, cut=cut))


def _answer_from(
    cluster: Cluster, query: GovernedQuery, writer: FrameWriter, temporary: Path, around: Surroundings, parent: int, peer: socket.socket
) -> None:
    """Let the cluster run the query. This process holds no file of the lake; that each is there is seen beforehand."""
    from huitong.engines import spark  # the broker has loaded it, if it serves a cluster

    deadline = time.monotonic() + query.limits.seconds
    for table in query.tables:
        for file in table.files:
            os.close(_open_planned(around.lake, file))
    folder = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    enter(around, query, files=[], folder=folder, keep=[folder, peer.fileno()], parent=parent)
    with spark.session(cluster.address) as session:
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            with contextlib.suppress(Exception):
                session.interruptAll()

        watch = threading.Timer(max(0.0, deadline - time.monotonic()), stop)
        watch.daemon = True
        watch.start()
        rows, cut = 0, False
        out = io.BufferedWriter(writer, frames.FRAME_BYTES)
        arrow: pa.RecordBatchStreamWriter | None = None
        try:
            for piece in spark.run(query, session, lake=cluster.lake):
                arrow = arrow or pa.ipc.new_stream(pa.PythonFile(out, mode="w"), piece.schema)
                left = query.limits.maximum_rows - rows
                batch, cut = (piece.slice(0, left), True) if piece.num_rows > left else (piece, False)
                arrow.write_batch(batch)
                rows += batch.num_rows
                if cut:
                    break
        except (BrokenPipeError, ConnectionError, ResultTooLargeError):
            raise
        except Exception:
            if stopped.is_set():
                raise TimeoutError from None
            raise
        assert arrow is not None
        arrow.close()
        out.flush()
        watch.cancel()
    if time.monotonic() > deadline:
        raise TimeoutError
    writer.whole(frames.end_frame(rows=rows, cut=cut))


def enter(
    around: Surroundings, query: GovernedQuery, *, files: Sequence[int], folder: int, keep: Sequence[int], parent: int
) -> sandbox.SandboxReport:
    """Close everything but `keep`, then raise the walls."""
    needed = _needed_for_cluster() if around.cluster is not None else []
    sandbox.close_all_but([*keep, *needed])
    report = sandbox.enter(
        read_files=files,
        temporary_folder=folder,
        memory_megabytes=query.limits.memory_megabytes,
        seconds=query.limits.seconds,
        threads=query.limits.threads,
        file_megabytes=around.temporary_megabytes,
        network_left=around.network_left,
        walls=around.walls,
        connect_port=around.cluster.address.port if around.cluster is not None else None,
        read_besides=needed,
    )
    for descriptor in needed:
        os.close(descriptor)
    sandbox.die_with_parent(parent)
    return report


def _needed_for_cluster() -> list[int]:
    """What the client of a cluster reads besides: the folders of Python's own library and of installed packages, some of which are loaded
    only when they are used, and random bytes."""
    paths = sysconfig.get_paths()
    found = dict.fromkeys(Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    found |= dict.fromkeys((Path(__file__).resolve().parent.parent, Path("/dev/urandom")))
    return [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in found if path.exists()]


def stand_by(*, ready: int, until: int, temporary: Path, around: Surroundings, query: GovernedQuery, parent: int) -> NoReturn:
    """Be the process of another query while the probes run: behind the same walls, says a byte on `ready`, ends when `until` ends."""
    try:
        _leave_parent(parent)
        folder = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        enter(around, query, files=[], folder=folder, keep=[folder, ready, until], parent=parent)
        os.write(ready, b"1")
        os.read(until, 1)
    finally:
        os._exit(0)


def probe(*, out: int, temporary: Path, around: Surroundings, targets: probes.Targets, query: GovernedQuery, parent: int) -> NoReturn:
    """Try every attack of `probes` inside a process as any query gets it; writes the findings as JSON to `out` and exits."""
    status = 1
    try:
        _leave_parent(parent)
        warm_up(around)
        opened = [_open_planned(around.lake, file) for table in query.tables for file in table.files]
        folder = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        report = enter(around, query, files=opened, folder=folder, keep=[*opened, folder, out], parent=parent)
        connection = _locked(around, query, opened, folder)
        for table in query.tables:
            duckdb.create_view(connection, table, [_by_descriptor(descriptor) for descriptor in opened])
        tried = probes.try_all(connection, report, targets)
        works = duckdb.stream(connection, query.sql).read_all().num_rows
        found = {"sandbox": report.as_json(), "passed": tried.passed, "works": works == 1, "probes": tried.by_kind}
        os.write(out, json.dumps(found).encode())
        status = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(out, json.dumps({"broken": type(error).__name__}).encode())
    finally:
        os._exit(status)


def _locked(around: Surroundings, query: GovernedQuery, files: Sequence[int], folder: int) -> Any:
    duckdb.lock(
        around.connection,
        limits=query.limits,
        readable=[_by_descriptor(descriptor) for descriptor in files],
        temporary=_by_descriptor(folder),
        temporary_megabytes=around.temporary_megabytes,
    )
    return around.connection


def _leave_parent(parent: int) -> None:
    """Forget what came over by fork: signal handlers, environment, terminal."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sandbox.die_with_parent(parent)
    os.environ.clear()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)


def _open_planned(lake: Path, file: str) -> int:
    """Open a planned file for reading. It must be a regular file inside the lake, reached through no symbolic link at its end."""
    parts = Path(file).parts
    if Path(file).is_absolute() or ".." in parts or not parts:
        raise frames.MalformedError
    descriptor = os.open(lake / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    inside = os.readlink(_by_descriptor(descriptor))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not Path(inside).is_relative_to(lake):
        raise frames.MalformedError
    return descriptor


def _by_descriptor(descriptor: int) -> str:
    """How the engine names a file: by its open descriptor, so no path of this machine stands in its catalogue or its errors."""
    return f"/proc/self/fd/{descriptor}"


def reason_of_death(query: GovernedQuery, *, late: bool) -> Reason:
    """The reason for a process that died without a last frame: by a fault of its own, or because the machine had no memory left."""
    if late:
        return duckdb.reason_of(TimeoutError(), query=query.query, limits=query.limits)
    return Reason("engine-crashed", {"query": query.query})
