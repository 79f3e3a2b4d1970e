"""A server of its own process: the real front behind the real granian, sending a file that can be called back.

`/file?bytes=N` sends N bytes; `/end` ends the right to all of them; `/state` tells how many are being sent and what became of them."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huitong.portal.django_settings")
os.environ["HUITONG_HOME"] = str(Path(tempfile.gettempdir()) / "no-instance")  # nothing is read from one
django.setup()

from huitong.errors import HuitongError, Refused  # noqa: E402
from huitong.portal.api.downloads import Download, Part  # noqa: E402
from huitong.portal.api.front import Front  # noqa: E402

PIECE = b"x" * 262_144
ended: list[bool] = []
became: list[str] = []


class Delivery:
    """What the core gives: pieces, a look, an end."""

    def look(self, *, now: bool = False) -> None:
        if ended:
            raise Refused.because("grant-revoked")

    def pieces(self, start: int, end: int) -> Generator[bytes]:
        try:
            for at in range(start, end, len(PIECE)):
                self.look()
                yield PIECE[: end - at]
            became.append("completed")
        except HuitongError:
            became.append("cut")
            raise
        except GeneratorExit:
            became.append("left")
            raise

    def close(self) -> None:
        """Nothing to let go of."""


def application_of_test(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/file":
        size = int(environ["QUERY_STRING"].removeprefix("bytes="))
        answer = Download(Delivery(), Part(0, size, size))  # type: ignore[arg-type]
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
        return answer
    if path == "/end":
        ended.append(True)
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"sending": application._sending, "became": became}).encode()]


application = Front(application_of_test)

if __name__ == "__main__":
    from granian.constants import HTTPModes, Interfaces
    from granian.server import Server

    Server(
        "tests.api.download_server:application", address="127.0.0.1", port=int(sys.argv[1]), interface=Interfaces.RSGI,
        http=HTTPModes.http1, workers=1, log_access=False, websockets=False,
    ).serve()  # fmt: skip
