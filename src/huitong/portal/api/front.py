"""The door before Django: bodies are read here without holding a thread, under a deadline, a size and a budget.

A thread of Django is a scarce thing. If it read bodies itself, sixteen clients that send a byte a minute would stop the instance. So
the server's event loop reads the whole body first and a thread gets it complete. Only a file for a snapshot is read while a thread
waits: by threads of their own, and one that comes too slowly is cut. The numbers and their reasons stand in `limits.toml`.
A body without a length (chunked) is refused: the server does not tell one that was cut from a whole one.
"""

import asyncio
import io
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections

from huitong.errors import HuitongError, InputInvalid, Refused, Unavailable
from huitong.portal.api.downloads import Download
from huitong.portal.api.limits import LIMITS, Limits
from huitong.portal.api.problems import problem
from huitong.portal.api.sockets import Connection
from huitong.portal.api.streaming import ALL_ARRIVED, Streamed
from huitong.portal.api.uploads import ENDINGS

log = logging.getLogger("huitong.api")
LOOK_SECONDS = 1.0
"""Between two looks whether a file that waits for a slow client may still leave."""

Headers = list[tuple[str, str]]
GONE = "huitong.gone"
"""In the environment of a query: asks whether its client has left. No header can pose as it."""
_QUERIES = re.compile(r"/api/v[0-9]+/query")
_SNAPSHOTS = re.compile(r"/api/v[0-9]+/datasets/[^/]+/snapshots")
Answer = tuple[int, Headers, "bytes | Download | Streamed"]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""


def environ_of(scope: Any) -> dict[str, Any]:
    """The WSGI environment of a call, without its body. A header with `_` in its name is left out: it could pose as another."""
    host, _, port = str(scope.server).rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host or "127.0.0.1",
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": str(scope.client).rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(),
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ


def has_body(environ: dict[str, Any]) -> bool:
    """Whether bytes follow the headers."""
    return environ.get("CONTENT_LENGTH", "0") not in ("", "0")


def is_upload(environ: dict[str, Any]) -> bool:
    """Whether the body is a file for a snapshot, which may be large; only for one who shows a token, and only where snapshots are taken:
    what else is sent as JSON is read by the event loop."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return kind in ENDINGS and "HTTP_AUTHORIZATION" in environ and _SNAPSHOTS.fullmatch(environ["PATH_INFO"]) is not None


class Incoming(io.RawIOBase):
    """The body of an upload as a thread reads it: each block is fetched by the event loop, under the deadlines."""

    def __init__(self, blocks: Any, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._blocks, self._loop, self._limits = blocks, loop, limits
        self._begun, self._size, self._rest, self._ended = time.monotonic(), 0, b"", False

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Up to so many bytes; none at the end. Raises InputInvalid `body-slow`."""
        parts, missing = [], sys.maxsize if size is None or size < 0 else size
        while missing > 0:
            if not self._rest:
                self._rest = self._next()
                if not self._rest:
                    break
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def readinto(self, buffer: Any) -> int:
        """As `read`."""
        got = self.read(len(buffer))
        buffer[: len(got)] = got
        return len(got)

    def _next(self) -> bytes:
        if self._ended:
            return b""
        try:
            block: bytes = asyncio.run_coroutine_threadsafe(self._fetch(), self._loop).result()
        except StopAsyncIteration:
            block = b""
        self._ended = not block
        self._size += len(block)
        if time.monotonic() - self._begun > self._limits.upload_pause_seconds + self._size / self._limits.upload_bytes_per_second:
            raise slow()
        return block

    async def _fetch(self) -> bytes:
        try:
            return bytes(await asyncio.wait_for(_following(self._blocks), self._limits.upload_pause_seconds))
        except TimeoutError:
            raise slow() from None


async def _following(blocks: Any) -> bytes:
    """The next block that holds something; nothing at the end. The server lets its stream be begun once only, so it is not here."""
    while True:
        try:
            block = await anext(blocks)
        except StopAsyncIteration:
            return b""
        if block:
            return bytes(block)


def slow() -> HuitongError:
    """The body came too slowly."""
    return InputInvalid.because("body-slow")


@dataclass(frozen=True)
class Pace:
    """How slow a client may be: nothing at all for so long, and so many bytes per second over all."""

    pause_seconds: float
    bytes_per_second: int


@dataclass
class Front:
    """Serves a WSGI application behind granian's RSGI."""

    application: Application
    limits: Limits = LIMITS
    _reading: int = 0
    _held: int = 0
    _uploads: int = 0
    _sending: int = 0
    _threads: ThreadPoolExecutor | None = None
    _upload_threads: ThreadPoolExecutor | None = None
    _download_threads: ThreadPoolExecutor | None = None
    _stream_threads: ThreadPoolExecutor | None = None
    _tasks: set[Any] = field(default_factory=set)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one call; in a task of asyncio's own, for only such a one can be stopped at a deadline."""
        task = asyncio.get_running_loop().create_task(self._serve(scope, protocol))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await task

    async def _serve(self, scope: Any, protocol: Any) -> None:
        if scope.proto != "http":
            return
        environ = environ_of(scope)
        departure: list[Any] = []
        try:
            status, headers, body = await self._answer_or_failure(environ, protocol, departure)
            if isinstance(body, Streamed):
                await self._stream(scope, protocol, status, headers, body)
                return
            if isinstance(body, Download):
                if self._sending >= self.limits.downloads:
                    await self._in_download_thread(body.close)
                    raise Unavailable.because("downloads-busy")
                await self._send(scope, protocol, status, headers, body)
                return
        except HuitongError as error:
            status, headers, body = said_no(environ, error)
        finally:
            for waiting in departure:
                waiting.cancel()
        protocol.response_bytes(status, headers, body)

    async def _send(self, scope: Any, protocol: Any, status: int, headers: Headers, download: Download) -> None:
        """Send a file bit by bit, never further ahead than the window, looking each second whether it may go on.

        Every end but the whole one breaks the connection off: a client that was promised so many bytes and got fewer knows it."""
        self._sending += 1
        connection = Connection.of(scope.client, scope.server, pace=self.limits.download_pace_bytes_per_second)
        pace = Pace(self.limits.download_pause_seconds, self.limits.download_bytes_per_second)
        try:
            transport = protocol.response_stream(status, headers)
            given = 0
            while (piece := await self._in_download_thread(partial(next, download.pieces, None))) is not None:
                await transport.send_bytes(piece)
                given += len(piece)
                # the last piece is waited for, so that what is noted as completed has arrived
                ahead = 0 if given == download.bytes else self.limits.download_window_bytes
                await self._until_arrived(connection, given - ahead, partial(self._in_download_thread, download.look_or_end), pace)
        except HuitongError:
            connection.cut()
        except Exception as error:  # the client has left, or takes nothing
            log.info("a download ended early: %s", type(error).__name__)
            connection.cut()
        finally:
            connection.close()
            self._sending -= 1
            await self._in_download_thread(download.close)

    async def _stream(self, scope: Any, protocol: Any, status: int, headers: Headers, stream: Streamed) -> None:
        """Send rows as they come, never further ahead than the window, looking each second whether they may go on.

        What fails before the first rows, if that is soon, is raised: no byte has left. Later it is said at the end, if the form has words
        for it and the client reads them, or the connection is broken off."""
        connection = Connection.of(scope.client, scope.server, pace=self.limits.download_pace_bytes_per_second)
        try:
            if stream.last_words(Unavailable.because("stream-cannot-be-cut")) is None and not connection.can_be_cut:
                raise await self._in_stream_thread(partial(stream.fail, Unavailable.because("stream-cannot-be-cut")))
            first = asyncio.ensure_future(self._in_stream_thread(stream.next_piece))
            await asyncio.wait({first}, timeout=self.limits.stream_head_seconds)
            if first.done():
                first.result()  # raises what failed
            transport = protocol.response_stream(status, headers)
            await self._send_stream(transport, connection, stream, first)
        finally:
            connection.close()
            await self._in_stream_thread(stream.close)

    async def _send_stream(self, transport: Any, connection: Connection, stream: Streamed, first: "asyncio.Future[bytes | None]") -> None:
        given, failure = 0, Refused.because("query-caller-gone", query=stream.query)
        try:
            piece = await first
            while piece is not None:
                if piece == ALL_ARRIVED:
                    await self._until_arrived(connection, given, partial(self._in_stream_thread, stream.look), self._stream_pace)
                for start in range(0, len(piece), self.limits.stream_piece_bytes):
                    part = piece[start : start + self.limits.stream_piece_bytes]
                    await self._give(transport, part, connection, stream)
                    given += len(part)
                    ahead = given - self.limits.download_window_bytes
                    await self._until_arrived(connection, ahead, partial(self._in_stream_thread, stream.look), self._stream_pace)
                piece = await self._in_stream_thread(stream.next_piece)
            return
        except HuitongError as ended:
            words = stream.last_words(ended)
            if words is not None and await self._said(transport, words, connection, given):
                return
        except TimeoutError:
            failure = Refused.because("stream-not-taken", query=stream.query)
        except Exception as error:  # the client has left
            log.info("a streamed answer ended early: %s", type(error).__name__)
        connection.cut()
        await self._in_stream_thread(partial(stream.fail, failure))

    @property
    def _stream_pace(self) -> "Pace":
        return Pace(self.limits.stream_pause_seconds, self.limits.stream_bytes_per_second)

    async def _give(self, transport: Any, part: bytes, connection: Connection, stream: Streamed) -> None:
        """Give the server a piece; it may wait for the client before it takes it."""
        sending = asyncio.ensure_future(_awaited(transport.send_bytes(part)))
        before, moved = connection.arrived(), time.monotonic()
        try:
            while not (await asyncio.wait({sending}, timeout=LOOK_SECONDS))[0]:
                if connection.broken():
                    raise ConnectionError
                if (arrived := connection.arrived()) > before:
                    before, moved = arrived, time.monotonic()
                if time.monotonic() - moved > self.limits.stream_pause_seconds:
                    raise TimeoutError
                await self._in_stream_thread(stream.look)
            sending.result()
        finally:
            sending.cancel()

    async def _said(self, transport: Any, words: bytes, connection: Connection, given: int) -> bool:
        """Whether the client has taken everything, with why nothing more comes, in the time that it has for that."""

        async def say() -> None:
            await transport.send_bytes(words)
            while connection.arrived() < given + len(words) and not connection.broken():
                await asyncio.sleep(0.02)

        try:
            await asyncio.wait_for(say(), self.limits.stream_last_words_seconds)
        except Exception:  # it does not read, or has left
            return False
        return not connection.broken()

    async def _in_stream_thread(self, what: Callable[[], Any]) -> Any:
        if self._stream_threads is None:
            self._stream_threads = ThreadPoolExecutor(self.limits.stream_threads, thread_name_prefix="stream")
        return await asyncio.get_running_loop().run_in_executor(self._stream_threads, _letting_go, what)

    async def _until_arrived(self, connection: Connection, wanted: int, look: Callable[[], Any], pace: "Pace") -> None:
        """Wait until so many bytes have reached the client; `look` is called each second and raises when nothing may leave any more.
        Raises TimeoutError if it is too slow."""
        begun = looked = moved = time.monotonic()
        pause, before = 0.002, connection.arrived()
        while (arrived := connection.arrived()) < wanted:
            now = time.monotonic()
            if connection.broken():
                raise ConnectionError
            if arrived > before:
                before, moved = arrived, now
            if now - moved > pace.pause_seconds:
                raise TimeoutError
            if now - begun > pace.pause_seconds + wanted / pace.bytes_per_second:
                raise TimeoutError
            if now - looked >= LOOK_SECONDS:
                looked = now
                await look()
            await asyncio.sleep(pause)
            pause = min(0.05, pause * 2)

    async def _in_download_thread(self, what: Callable[[], Any]) -> Any:
        if self._download_threads is None:
            self._download_threads = ThreadPoolExecutor(self.limits.download_threads, thread_name_prefix="download")
        return await asyncio.get_running_loop().run_in_executor(self._download_threads, _letting_go, what)

    async def _answer_or_failure(self, environ: dict[str, Any], protocol: Any, departure: list[Any]) -> Answer:
        """As `_answer`. What nobody foresaw, e.g. a list that failed while it was written out, is told as any failure is: no byte has
        left."""
        try:
            return await self._answer(environ, protocol, departure)
        except HuitongError:
            raise
        except Exception as error:
            log.error("%s %s failed", environ["REQUEST_METHOD"], quote(environ["PATH_INFO"], safe="/"), exc_info=error)
            raise HuitongError.because("server-failed") from None

    async def _answer(self, environ: dict[str, Any], protocol: Any, departure: list[Any]) -> Answer:
        loop = asyncio.get_running_loop()
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise InputInvalid.because("body-length-missing")
        if is_upload(environ):
            return await self._upload(environ, protocol, loop)
        if not has_body(environ):
            return await self._in_thread(environ, loop)
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            held += size
            self._held += size
            if self._held > self.limits.bodies_bytes:
                raise busy()

        try:
            body = await self._body(environ, protocol, hold)
            environ["wsgi.input"] = io.BytesIO(body)
            with _noticing_departure(environ, protocol, loop) as waiting:
                answer = await self._in_thread(environ, loop)
                if isinstance(answer[2], Streamed):  # it is not over yet
                    departure += waiting
                    waiting.clear()
                return answer
        finally:
            self._held -= held

    async def _body(self, environ: dict[str, Any], protocol: Any, hold: Callable[[int], None]) -> bytes:
        """The whole body. Raises InputInvalid `json-too-large` or `body-slow`, Unavailable `bodies-busy`."""
        known = "HTTP_AUTHORIZATION" in environ
        limit = self.limits.body_bytes if known else self.limits.body_bytes_without_token
        announced = environ["CONTENT_LENGTH"]
        if not (announced.isascii() and announced.isdigit()):
            raise InputInvalid.because("body-unreadable")
        if int(announced) > limit:
            raise InputInvalid.because("json-too-large")
        if self._reading >= self.limits.bodies_at_once:
            raise busy()
        parts: list[bytes] = []

        async def read() -> None:
            size = 0
            async for block in protocol:
                size += len(block)
                if size > limit:
                    raise InputInvalid.because("json-too-large")
                hold(len(block))
                parts.append(bytes(block))

        self._reading += 1
        try:
            await asyncio.wait_for(read(), self.limits.body_seconds)
        except TimeoutError:
            raise slow() from None
        finally:
            self._reading -= 1
        body = b"".join(parts)
        if len(body) != int(announced):
            raise InputInvalid.because("body-unreadable")
        return body

    async def _upload(self, environ: dict[str, Any], protocol: Any, loop: asyncio.AbstractEventLoop) -> Answer:
        if self._uploads >= self.limits.upload_threads:
            raise Unavailable.because("uploads-busy")
        if self._upload_threads is None:
            self._upload_threads = ThreadPoolExecutor(self.limits.upload_threads, thread_name_prefix="upload")
        environ["wsgi.input"] = Incoming(aiter(protocol), loop, self.limits)
        self._uploads += 1
        try:
            return await loop.run_in_executor(self._upload_threads, self._call, environ)
        finally:
            self._uploads -= 1

    async def _in_thread(self, environ: dict[str, Any], loop: asyncio.AbstractEventLoop) -> Answer:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="web")
        return await loop.run_in_executor(self._threads, self._call, environ)

    def _call(self, environ: dict[str, Any]) -> Answer:
        """The application's whole answer. It is closed in the same thread, where Django lets go of its connections."""
        begun: Future[tuple[int, Headers]] = Future()

        def start(status: str, headers: Headers, exc_info: Any = None) -> None:  # noqa: ARG001 - WSGI's signature
            begun.set_result((int(status.partition(" ")[0]), headers))

        answer = self.application(environ, start)
        if isinstance(answer, Download | Streamed):  # sent, and closed, bit by bit
            status, headers = begun.result(0)
            return status, [(name.lower(), value) for name, value in headers], answer
        try:
            body = b"".join(answer)
        finally:
            close = getattr(answer, "close", None)
            if close:
                close()
        status, headers = begun.result(0)
        return status, [(name.lower(), value) for name, value in headers], body


@contextmanager
def _noticing_departure(environ: dict[str, Any], protocol: Any, loop: asyncio.AbstractEventLoop) -> Iterator[list[Any]]:
    """Let a call that may keep an engine busy ask whether its client has left. What waits for that ends with the block, unless it is
    taken out of the list."""
    if _QUERIES.fullmatch(environ["PATH_INFO"]) is None:
        yield []
        return
    left = threading.Event()

    async def wait() -> None:
        await protocol.client_disconnect()
        left.set()

    environ[GONE] = left.is_set
    waiting = [loop.create_task(wait())]
    try:
        yield waiting
    finally:
        for one in waiting:
            one.cancel()


async def _awaited(sending: Any) -> None:
    """As a coroutine, of which a task can be made."""
    await sending


def _letting_go(what: Callable[[], Any]) -> Any:
    """What it gives; the thread holds no connection to the database afterwards."""
    try:
        return what()
    finally:
        close_old_connections()


def busy() -> HuitongError:
    """More bodies are under way than this process holds."""
    return Unavailable.because("bodies-busy")


def said_no(environ: dict[str, Any], error: HuitongError) -> Answer:
    """The problem, and the end of the connection: the rest of the body is not wanted."""
    response = problem(WSGIRequest(environ), error)
    return response.status_code, [(name.lower(), value) for name, value in response.items()] + [("connection", "close")], response.content
