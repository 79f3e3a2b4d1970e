"""The web part as a process: granian with the portal's WSGI application. Started by `huitong serve`.

    python -m huitong.cli.web HOST PORT PROCESSES
"""

import os
import signal
import sys
import threading


def _stop_at_end_of_input() -> None:
    """Standard input is held open by the supervisor: its end means that nobody is left to stop us."""
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serve until SIGTERM."""
    from granian.constants import Interfaces
    from granian.server import Server

    host, port, processes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
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
