"""A broker ends when it is told to, even if another process still holds the pipe that it watches."""

import os
import time
from pathlib import Path

from huitong.engines.broker import start_broker
from huitong.settings import Settings


def test_a_broker_ends_at_once_though_its_lifeline_is_held_elsewhere(tmp_path: Path) -> None:
    handle = start_broker(Settings(home=tmp_path))
    assert handle.process.stdin is not None
    held = os.dup(handle.process.stdin.fileno())  # as a process that was forked meanwhile has it
    try:
        start = time.monotonic()
        handle.stop()
        assert time.monotonic() - start < 5
        assert handle.process.returncode == 0
        assert not handle.socket.exists()
    finally:
        os.close(held)
