"""The web part as a process: granian with the portal's application. Started by `huitong serve`.

    python -m huitong.cli.web HOST PORT PROCESSES [SUPERVISOR]
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(supervisor: int) -> None:
    """SIGTERM when the supervisor is gone; at once if it went before this was called, which the parent's number tells.

    No thread for it: granian forks, and a fork keeps the locks that threads hold."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit(1)


def main() -> None:
    """Serve until SIGTERM."""
    host, port, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    end_with_parent(int(sys.argv[4]) if len(sys.argv) > 4 else os.getppid())

    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server import Server

    from huitong.portal.api.limits import LIMITS

    Server(
        "huitong.portal.rsgi:application",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=LIMITS.header_seconds * 1000),
        workers=processes,
        backlog=1024,
        backpressure=LIMITS.connections,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        log_access=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
