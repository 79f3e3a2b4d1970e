"""The processes of a served instance, as the kernel tells them."""

import contextlib
import http.client
from collections.abc import Collection
from pathlib import Path

from huitong.drill.ground import Ground


def arguments_of(process: int) -> list[str]:
    """Its command line; empty if it is gone."""
    with contextlib.suppress(OSError):
        return [part.decode("utf-8", "replace") for part in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0") if part]
    return []


def parent_of(process: int) -> int | None:
    """The number of its parent; None if it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return None


def web_processes(ground: Ground) -> list[int]:
    """Those that answer calls: the children of the web part."""
    masters = [one for one in ground.processes() if "huitong.cli.web" in arguments_of(one)]
    inner = [one for one in masters if parent_of(one) not in masters]
    return [one for one in ground.processes() if parent_of(one) in inner and "resource_tracker" not in " ".join(arguments_of(one))]


def resident_megabytes(process: int) -> int:
    """Megabytes of memory that a process holds; 0 if it is gone."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024
    return 0


def whose_connection(connection: http.client.HTTPConnection, port: int, processes: Collection[int]) -> int | None:
    """Which of the processes holds the other end of a connection to a port of this machine; None if that cannot be seen."""
    own = connection.sock.getsockname()[1]
    inode = None
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        parts = line.split()
        if (parts[1].rpartition(":")[2], parts[2].rpartition(":")[2]) == (f"{port:04X}", f"{own:04X}"):
            inode = parts[9]
    for process in processes:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if inode is not None and str(handle.readlink()) == f"socket:[{inode}]":
                        return process
    return None
