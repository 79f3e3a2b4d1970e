"""The client's connection as the kernel knows it: how much of what was sent has arrived, and how to break it off.

The server takes whatever it is given to send and keeps it until the client takes it: a slow client would fill its memory, and what it
holds could not be called back. So a download asks the kernel how far the client is before it gives more. Linux alone tells this; where
it does not, downloads go at a fixed pace."""

import os
import socket
import struct
import sys
import time
from contextlib import suppress

_BYTES_ACKNOWLEDGED = 120
"""Place of `tcpi_bytes_acked` in `struct tcp_info` (Linux 4.1 and later)."""

_CLOSED = 7
"""`tcpi_state`, the first byte, of a connection that the other end broke."""


class Connection:
    """One TCP connection of this process, found by its two ends."""

    def __init__(self, found: "socket.socket | None", *, pace: int) -> None:
        """`pace` is how many bytes per second are taken for arrived where the kernel does not tell."""
        self._socket = found
        self._pace = pace
        self._since = time.monotonic()
        told = self._told()
        self._first = int(struct.unpack_from("=Q", told, _BYTES_ACKNOWLEDGED)[0]) if told else 0

    @classmethod
    def of(cls, client: str, server: str, *, pace: int) -> "Connection":
        """That between `client` and `server` (each `address:port`); one that goes at `pace` if it cannot be found."""
        return cls(_find(_end(client), _end(server)), pace=pace)

    @property
    def can_be_cut(self) -> bool:
        """Whether it was found, so that `cut` ends it."""
        return self._socket is not None

    def arrived(self) -> int:
        """Bytes that have reached the client's machine since this was made."""
        told = self._told()
        if told is None:
            return int((time.monotonic() - self._since) * self._pace)
        return int(struct.unpack_from("=Q", told, _BYTES_ACKNOWLEDGED)[0]) - self._first

    def broken(self) -> bool:
        """Whether the other end has broken it, as far as the kernel tells."""
        told = self._told()
        return told is not None and told[0] == _CLOSED

    def cut(self) -> None:
        """End it at once: what the client has not got yet it never gets, and it sees that the connection broke."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _told(self) -> bytes | None:
        if self._socket is None or not sys.platform.startswith("linux"):
            return None
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return None
        return told if len(told) >= _BYTES_ACKNOWLEDGED + 8 else None


End = tuple[str, int]


def _end(written: str) -> End:
    host, _, port = written.rpartition(":")
    return host.strip("[]").removeprefix("::ffff:"), int(port) if port.isdigit() else 0


def _find(client: End, server: End) -> "socket.socket | None":
    """A second handle of the connection: the first one may be closed by its owner at any time, and its number given to another."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - no file is opened
    except OSError:
        return None
    for number in numbers:
        try:
            handle = os.dup(number)
        except OSError:
            continue
        try:
            candidate = socket.socket(fileno=handle)
        except OSError:
            os.close(handle)
            continue
        try:
            if candidate.type == socket.SOCK_STREAM and candidate.family in (socket.AF_INET, socket.AF_INET6):
                ends = candidate.getpeername(), candidate.getsockname()
                if (_plain(ends[0]), _plain(ends[1])[1]) == (client, server[1]):
                    return candidate
        except OSError:
            pass
        candidate.close()
    return None


def _plain(end: tuple[str, int]) -> End:
    return end[0].removeprefix("::ffff:"), end[1]
