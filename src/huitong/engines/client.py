"""The near end of the engine: hands a governed query to the broker and gives back a whole Arrow table or a reason, never half."""

import contextlib
import io
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from huitong.engines import frames
from huitong.errors import HuitongError, Reason, Refused, Unavailable
from huitong.model.query import GovernedQuery

CUT = b"huitong-rows-cut"
"""Key in the schema's metadata of a table that `maximum_rows` cut short."""

LOOK_AGAIN_SECONDS = 1.0
"""While an engine works, whether it may is looked at anew after so long."""


def was_cut(table: pa.Table) -> bool:
    """Whether `maximum_rows` cut this result short."""
    return (table.schema.metadata or {}).get(CUT) == b"true"


@dataclass(frozen=True)
class EngineClient:
    """Speaks to the broker at `socket_path`; one connection per query, so it may be shared by threads."""

    socket_path: Path
    connect_seconds: float = 2.0
    waiting_seconds: float = 12.0
    """How long, beyond the query's own limit, an answer may take to begin: longer than the broker lets a query wait."""
    result_bytes: int = frames.RESULT_BYTES
    """Most bytes of one result that are taken, whatever the engine sends."""
    stream_bytes: int = frames.STREAM_BYTES
    """The same of one result that is taken piece by piece."""

    def run(self, query: GovernedQuery) -> pa.Table:
        """The whole result. Raises Refused `query-time-limit`, `query-memory-limit`, `query-result-too-large` or `query-failed`
        (with `.query` set), Unavailable `engine-busy`, `engine-crashed`, `engine-unavailable` or `snapshot-file-missing`."""
        return self.run_while(query, None)

    def run_while(self, query: GovernedQuery, still: Callable[[], None] | None) -> pa.Table:
        """As `run`; `still` is asked each second while the engine works. What it raises ends the engine's work and is raised here."""
        started = time.monotonic()
        with self._connected(frames.request("run", frames.query_as_json(query)), query.limits.seconds) as peer:
            too_large = frames.too_large(query=query.query, limit=self.result_bytes)
            stream = _Stream(peer, maximum=self.result_bytes, too_large=too_large, still=still)
            table: pa.Table | None = None
            try:
                with pa.ipc.open_stream(pa.PythonFile(stream, mode="r")) as reader:
                    table = reader.read_all()
                stream.drain()
            except (pa.ArrowException, OSError, frames.MalformedError, EOFError):
                table = None
            end = stream.end_of(query, rows=None if table is None else table.num_rows, started=started)
            assert table is not None
            return table.replace_schema_metadata({CUT: b"true"}) if end.get("cut") else table

    def stream(self, query: GovernedQuery) -> Iterator[pa.RecordBatch]:
        """The result batch by batch, at least one, so that an empty result has its items; the query must be one that streams.

        Raises as `run` does, also after batches were given: what was made of them then is no result. Whoever wants no more closes
        the iterator, which ends the engine's work."""
        return self.stream_while(query, None)

    def stream_while(self, query: GovernedQuery, still: Callable[[], None] | None) -> Iterator[pa.RecordBatch]:
        """As `stream`; `still` is asked each second while the engine works. What it raises ends the engine's work and is raised here."""
        started, rows = time.monotonic(), 0
        too_large = frames.too_large(query=query.query, limit=self.stream_bytes)
        with self._connected(frames.request("run", frames.query_as_json(query)), query.limits.seconds) as peer:
            stream = _Stream(peer, maximum=self.stream_bytes, too_large=too_large, still=still)
            whole = False
            try:
                reader = pa.ipc.open_stream(pa.PythonFile(stream, mode="r"))
            except (pa.ArrowException, OSError, frames.MalformedError, EOFError):
                reader = None
            while reader is not None:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    whole = True
                    break
                except (pa.ArrowException, OSError, frames.MalformedError, EOFError):
                    break
                rows += batch.num_rows
                yield batch
            if whole:
                try:
                    stream.drain()
                except (OSError, frames.MalformedError, EOFError):
                    whole = False
            stream.end_of(query, rows=rows if whole else None, started=started)
            if rows == 0 and reader is not None:
                yield pa.RecordBatch.from_pylist([], schema=reader.schema)

    def status(self) -> Mapping[str, Any]:
        """The sandbox report with `level`, and `running`, `waiting`, `served`. Raises Unavailable `engine-unavailable`."""
        with self._connected(frames.request("status"), 0) as peer:
            stream = _Stream(peer)
            try:
                said = json.loads(stream.read())
            except (ValueError, OSError, frames.MalformedError, EOFError):
                said = None
            if not isinstance(said, dict) or stream.end is None:
                raise Unavailable.because("engine-unavailable")
            return said

    @contextmanager
    def _connected(self, request: bytes, seconds: float) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            try:
                peer.settimeout(self.connect_seconds)
                peer.connect(str(self.socket_path))
                peer.sendall(request)
            except OSError:
                raise Unavailable.because("engine-unavailable") from None
            peer.settimeout(seconds + self.waiting_seconds)
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            yield peer


class _Stream(io.RawIOBase):
    """The Arrow stream inside the data frames. After the last one, `end` or `error` says how it ended; neither: it broke off.

    A frame that would make it longer than `maximum` is not read: the stream ends there with `too_large` as its `error`."""

    def __init__(
        self,
        peer: socket.socket,
        *,
        maximum: int = frames.RESULT_BYTES,
        too_large: Reason | None = None,
        still: Callable[[], None] | None = None,
    ) -> None:
        self._peer = peer
        self._still = still
        self._patience = peer.gettimeout() or 0.0
        self._asked = time.monotonic()
        if still is not None:
            peer.settimeout(min(self._patience, LOOK_AGAIN_SECONDS))
        self._room = maximum
        self._too_large = too_large
        self._left = 0
        self.end: dict[str, Any] | None = None
        self.error: Reason | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        if self._left == 0 and not self._next_frame():
            return 0
        got = self._received(view[: min(len(view), self._left)])
        if got == 0:
            raise EOFError
        self._left -= got
        return got

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        wanted = 1 << 62 if size is None or size < 0 else size
        pieces = []
        while wanted > 0:
            if self._left == 0 and not self._next_frame():
                break
            piece = self._exactly(min(wanted, self._left))
            self._left -= len(piece)
            wanted -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end_of(self, query: GovernedQuery, *, rows: int | None, started: float) -> dict[str, Any]:
        """The last frame of a result that gave so many rows (None: it broke off). Raises the reason why it is not whole."""
        if self.error is not None:
            raise _raised(self.error, query.query)
        if rows is None or self.end is None or self.end.get("rows") != rows:
            if time.monotonic() - started >= query.limits.seconds:
                reason = Reason("query-time-limit", {"query": query.query, "seconds": f"{query.limits.seconds:g}"})
            else:  # without a last frame nobody is there any more; with one that does not fit the engine says what is not so
                reason = Reason("engine-crashed" if self.end is None else "query-failed", {"query": query.query})
            raise _raised(reason, query.query)
        return self.end

    def drain(self) -> None:
        """Read to the last frame."""
        while self.read(frames.FRAME_BYTES):
            pass

    def _next_frame(self) -> bool:
        if self.end is not None or self.error is not None:
            return False
        kind, length = frames.FRAME_HEAD.unpack(self._exactly(frames.FRAME_HEAD.size))
        if length > frames.FRAME_BYTES:
            raise frames.MalformedError
        if kind == frames.DATA:
            self._room -= length
            if self._room < 0:
                if self._too_large is None:
                    raise frames.MalformedError
                self.error = self._too_large
                return False
            self._left = length
            return length > 0 or self._next_frame()
        payload = self._exactly(length)
        if kind == frames.END:
            self.end = json.loads(payload)
        elif kind == frames.ERROR:
            self.error = frames.read_error(payload)
        else:
            raise frames.MalformedError
        return False

    def _received(self, view: memoryview) -> int:
        """What comes next; while nothing does, and between pieces, whether the query may still run is asked each second."""
        began = time.monotonic()
        while True:
            if self._still is not None and time.monotonic() - self._asked >= LOOK_AGAIN_SECONDS:
                self._still()
                self._asked = time.monotonic()
            try:
                return self._peer.recv_into(view)
            except TimeoutError:
                if self._still is None or time.monotonic() - began >= self._patience:
                    raise

    def _exactly(self, size: int) -> bytes:
        buffer = bytearray(size)
        view, filled = memoryview(buffer), 0
        while filled < size:
            got = self._received(view[filled:])
            if got == 0:
                raise EOFError
            filled += got
        return bytes(buffer)


_NOT_NOW = frozenset({"engine-busy", "engine-crashed", "engine-unavailable", "snapshot-file-missing"})


def _raised(reason: Reason, query: str) -> HuitongError:
    if reason.code in _NOT_NOW:
        return Unavailable(reason)
    refused = Refused(reason)
    refused.query = query
    return refused
