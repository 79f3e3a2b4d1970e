"""Whether something stayed within its bounds while it ran: how long it took, how much memory engine processes held, whether others were
served meanwhile."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from huitong.drill.ground import Ground
from huitong.drill.instance import ENGINE_MEGABYTES, OTHER_OFFICE, QUERY_SECONDS

LIMIT_SECONDS = QUERY_SECONDS + 1.0
"""The time limit of a query, and the second after it within which it must have stopped."""
CAP_MEGABYTES = 2 * ENGINE_MEGABYTES + 256
"""What an engine process may hold: the wall that the kernel keeps around it (`engines/sandbox.py`), which is wider than the engine's own
limit."""
SERVED_SECONDS = 5.0
"""Within which a small question of another office must be answered meanwhile."""
LOOK_SECONDS = 0.05
OTHERS_QUESTION = "SELECT count(*) AS n FROM tax.company"


@dataclass
class Watched:
    """What was seen while something ran."""

    seconds: float = 0.0
    most_megabytes: int = 0
    """Most that one process of the server held in memory of its own."""
    served: list[float] = field(default_factory=list)
    """How long each small question of another office took, in seconds."""
    unserved: list[str] = field(default_factory=list)
    """What went wrong with those that were not answered."""
    survived: bool = True
    """Whether the server lives on."""

    def faults(self, *, limit: float = LIMIT_SECONDS) -> list[str]:
        """What was not within bounds, in words."""
        found = []
        way = statistics.median(self.served) if self.served else 0.0
        if self.seconds > limit + way:
            found.append(f"it took {self.seconds:.1f} s, where {limit:.1f} s and the {way:.1f} s of a small question are the most")
        if self.most_megabytes > CAP_MEGABYTES:
            found.append(f"a process held {self.most_megabytes} MB, where {CAP_MEGABYTES} MB is the cap")
        if self.unserved:
            found.append(f"another office was not served meanwhile ({self.unserved[0]})")
        if self.served and max(self.served) > SERVED_SECONDS:
            found.append(f"another office waited {max(self.served):.1f} s")
        if not self.survived:
            found.append("the server died")
        return found

    def told(self) -> str:
        """What was seen, in words."""
        others = f"{len(self.served)} questions of another office were answered meanwhile" if self.served else "it was over at once"
        longest = f" (the longest took {max(self.served):.1f} s)" if self.served else ""
        return f"{self.seconds:.1f} s, at most {self.most_megabytes} MB in one process; {others}{longest}."


@contextlib.contextmanager
def watching(ground: Ground, *, other: str = OTHER_OFFICE) -> Iterator[Watched]:
    """Look on while the block runs: memory all the time, and one small question of another office after the other."""
    seen, over = Watched(), threading.Event()
    # what is there before is not the attacker's doing, but what it becomes is
    threads = [
        threading.Thread(target=_weigh, args=(ground, seen, over), daemon=True),
        threading.Thread(target=_ask, args=(ground, seen, over, other), daemon=True),
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.seconds = time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join(SERVED_SECONDS + 10)
        seen.survived = ground.running() and ground.answers()


def _weigh(ground: Ground, seen: Watched, over: threading.Event) -> None:
    while True:
        for process in ground.processes():
            seen.most_megabytes = max(seen.most_megabytes, own_megabytes(process))
        if over.wait(LOOK_SECONDS):
            return


def own_megabytes(process: int) -> int:
    """Memory that a process alone holds and no file backs; 0 of one that is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (Path("/proc") / str(process) / "status").read_text("ascii", "replace").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) >> 10
    return 0


def _ask(ground: Ground, seen: Watched, over: threading.Event, other: str) -> None:
    while not over.wait(0.2):
        began = time.monotonic()
        try:
            response = ground.query(other, OTHERS_QUESTION)
        except httpx.HTTPError as error:
            seen.unserved.append(type(error).__name__)
            continue
        if response.status_code == 200:
            seen.served.append(time.monotonic() - began)
        else:
            seen.unserved.append(f"{response.status_code} {code_of(response)}")


def code_of(response: httpx.Response) -> str:
    """The reason code of an answer that is a problem; `-` of any other."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(response.json().get("code", "-"))
    return "-"


def many_at_once(count: int, what: Callable[[int], Any], *, threads: int) -> list[Any]:
    """What came of calling something so many times, several at once; an exception counts as what came of it."""
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> Any:
        try:
            return what(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(count)))
