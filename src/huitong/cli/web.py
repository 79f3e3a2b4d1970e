"""The web part as a process: granian with the portal's WSGI application. Started by `huitong serve`.

    python -m huitong.cli.web HOST PORT PROCESSES
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """SIGTERM when the supervisor is gone. No thread for it: granian forks, and a fork keeps the locks that threads hold."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Serve until SIGTERM."""
    from granian.constants import Interfaces
    from granian.server import Server

    host, port, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    end_with_parent()
    Server(
        "huitong.portal.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=processes,
        blocking_threads=4,
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        log_access=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
