"""Serving an instance: the engine broker, the background worker and the web processes, watched by one supervisor."""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, Protocol

import click

from huitong.cli.base import command
from huitong.cli.inside import existing, open_as_operator, open_inside, record, settings_here
from huitong.cli.language import words
from huitong.cli.proving import operator_option
from huitong.errors import Conflict, HuitongError, LedgerBroken, Unavailable
from huitong.settings import Settings

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 5.0
"""Between two looks for planned loads that are due: plans are to the minute."""
EXTRACT_LOOK_SECONDS = 0.5
"""Between two looks for extracts that wait: a person may be waiting for a small one."""
SWEEP_SECONDS = 3600.0
"""Between two sweeps for snapshots whose time is over: retention is in days."""
TIDY_SECONDS = 60.0
"""Between two rounds that fold new postings of the search index."""
CLOCK_SECONDS = 60.0
"""Between two looks at what happens by the clock alone: deadlines and ends are to the day."""
LOAD_STOP_SECONDS = 5.0
MOST_RESTARTS = 5
"""Within a minute; a part that dies more often than that cannot be helped by starting it again."""


# --- the parts ----------------------------------------------------------------------------------------------------------------


class Part(Protocol):
    """A process that the supervisor keeps alive."""

    name: str

    def start(self) -> None:
        """Start it; returns when it runs."""

    def running(self) -> bool:
        """Whether it lives."""

    def code(self) -> int:
        """How it ended."""

    def stop(self) -> None:
        """End it with all it started; returns when it is gone."""


@dataclass
class Broker:
    """The engine broker; `start_broker` waits until its probes have passed."""

    settings: Settings
    name: str = "engine"
    handle: Any = None

    def start(self) -> None:
        from huitong.engines.broker import start_broker

        if self.handle is not None:
            self.handle.stop()
        self.handle = start_broker(self.settings)

    def running(self) -> bool:
        return self.handle is not None and self.handle.running()

    def code(self) -> int:
        return int(self.handle.process.poll() or 0)

    def stop(self) -> None:
        if self.handle is not None:
            self.handle.stop()


@dataclass
class Process:
    """A part that is a command of its own, in its own process group, with a log in `run/`.

    Its standard input is a lifeline: when the supervisor is gone it reads the end of it and stops."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: dict[str, str]
    process: "Popen[bytes] | None" = None

    def start(self) -> None:
        self._end_group()
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            # one session for all parts: the kernel shares the processor out by sessions first, and a query that stands back is to do so
            # behind the web processes too
            self.process = Popen(
                self.arguments, stdin=PIPE, stdout=log, stderr=log, env=self.environment, process_group=0, close_fds=True
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def code(self) -> int:
        return 0 if self.process is None else int(self.process.poll() or 0)

    def stop(self) -> None:
        if self.process is None:
            return
        if self.running():
            self.process.terminate()
            with contextlib.suppress(TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self._end_group()

    def _end_group(self) -> None:
        """Nothing of an earlier start lives on beside the new one."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


# --- the supervisor -----------------------------------------------------------------------------------------------------------


@dataclass
class Supervisor:
    """Starts the parts in order, starts again what dies, stops all in reverse order."""

    settings: Settings
    parts: Sequence[Part]
    address: tuple[str, int]
    stop: threading.Event = field(default_factory=threading.Event)
    restarts: dict[str, deque[float]] = field(default_factory=dict)

    def start(self) -> None:
        """Start all and wait until the web answers. Raises Unavailable `cli-serve-not-ready`."""
        for part in self.parts:
            part.start()
        self._wait_until_ready()

    def watch(self) -> None:
        """Until `stop` is set. Raises Unavailable `cli-serve-part-fails`."""
        while not self.stop.wait(0.2):
            for part in self.parts:
                if not part.running() and not self.stop.is_set():
                    self._start_again(part)

    def end(self) -> None:
        """Stop all, the last one first."""
        for part in reversed(self.parts):
            part.stop()

    def _start_again(self, part: Part) -> None:
        recent = self.restarts.setdefault(part.name, deque())
        now = time.monotonic()
        while recent and now - recent[0] > 60:
            recent.popleft()
        recent.append(now)
        if len(recent) > MOST_RESTARTS:
            raise Unavailable.because(
                "cli-serve-part-fails", part=part.name, times=len(recent), log=str(self.settings.run / f"{part.name}.log")
            )
        code = part.code()
        if len(recent) > 1:
            self.stop.wait(0.5 * 2 ** (len(recent) - 2))
        part.start()
        click.echo(words("serve-restarted", part=part.name, code=code), err=True)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while not self.stop.is_set():
            if answers(self.address):
                return
            web = self.parts[-1]
            if not web.running() or time.monotonic() > end:
                raise Unavailable.because(
                    "cli-serve-not-ready", seconds=int(READY_SECONDS), log=str(self.settings.run / f"{web.name}.log")
                )
            self.stop.wait(0.1)


def answers(address: tuple[str, int]) -> bool:
    """Whether the API answers there."""
    import http.client

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 (read, not bound)
    connection = http.client.HTTPConnection(host, address[1], timeout=5)
    try:
        connection.request("GET", "/api/v1/ledger/key", headers={"Host": f"127.0.0.1:{address[1]}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_or_refuse(host: str, port: int) -> None:
    """Raises Unavailable `cli-serve-address-taken` if somebody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError:
            raise Unavailable.because("cli-serve-address-taken", host=host, port=port) from None


def empty(folder: Path) -> None:
    """Nothing that a killed server was taking stays on the disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """One supervisor for an instance. Raises Conflict `cli-serve-running` with the number of the other."""
    settings.run.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(settings.run / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = os.read(handle, 20).decode("ascii", "replace").strip()
            raise Conflict.because("cli-serve-running", process=other or "?") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


def parts_of(settings: Settings, *, web: int, operator: str) -> list[Part]:
    """Broker, worker, web: in the order of their start."""
    environment = {**os.environ, "HUITONG_HOME": str(settings.home), "PYTHONUNBUFFERED": "1"}
    environment |= {"HUITONG_HOST": settings.host, "HUITONG_PORT": str(settings.port)}
    worker = [sys.executable, "-m", "huitong.cli", "worker", "--home", str(settings.home), "--operator", operator, "--lifeline"]
    pages = [sys.executable, "-m", "huitong.cli.web", settings.host, str(settings.port), str(web), str(os.getpid())]
    return [
        Broker(settings),
        Process("worker", worker, settings.run / "worker.log", environment),
        Process("web", pages, settings.run / "web.log", environment),
    ]


@contextlib.contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event; a second one too does no harm."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_server(settings: Settings, *, web: int, operator: str, when_ready: Any = None) -> None:
    """Serve until told to stop. `when_ready` is called once the web answers."""
    free_or_refuse(settings.host, settings.port)
    with only_one(settings):
        empty(settings.uploads)
        parts = parts_of(settings, web=web, operator=operator)
        supervisor = Supervisor(settings, parts, (settings.host, settings.port))
        with stopping_on_signals(supervisor.stop):
            try:
                supervisor.start()
                if not supervisor.stop.is_set():
                    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}/"
                    click.echo(words("serving", name=settings.name, address=address))
                    broker = parts[0]
                    level = int(broker.handle.sandbox.get("level", 0)) if isinstance(broker, Broker) else 0
                    click.echo(words("serve-sandbox", level=level, web=web, engines=settings.engine_processes))
                    if when_ready:
                        when_ready(address)
                    sys.stdout.flush()
                    supervisor.watch()
            finally:
                click.echo(words("serve-stopping"), err=True)
                supervisor.end()
        click.echo(words("serve-stopped"), err=True)


@command("serve")
@operator_option
@click.option("--host", metavar="ADDRESS")
@click.option("--port", type=click.IntRange(1, 65535))
@click.option("--web", type=click.IntRange(1, 64), default=2)
def serve(operator: str, host: str | None, port: int | None, web: int) -> None:
    from dataclasses import replace

    settings = existing(settings_here())
    settings = replace(settings, host=host or settings.host, port=port or settings.port)
    free_or_refuse(settings.host, settings.port)
    with open_as_operator(operator, action="serve", settings=settings):
        pass
    run_server(settings, web=web, operator=operator)


# --- the worker ---------------------------------------------------------------------------------------------------------------


@command("worker")
@operator_option
@click.option("--lifeline", is_flag=True, hidden=True)
def worker(operator: str, lifeline: bool) -> None:
    settings = existing(settings_here())
    inside = open_inside(settings)
    record(inside, operator, "worker")
    from huitong.portal.notices.sending import send_notices

    stop = threading.Event()
    if lifeline:
        threading.Thread(target=_until_end_of_input, args=(stop,), daemon=True).start()
    broken: list[HuitongError] = []

    def fold() -> None:
        try:
            inside.platform.sequencer.run(stop)
        except LedgerBroken as error:
            broken.append(error)
            stop.set()

    with stopping_on_signals(stop):
        threads = [
            threading.Thread(target=fold, name="sequencer"),
            threading.Thread(target=load_by_plan, args=(inside, stop), name="loads", daemon=True),
            threading.Thread(target=send_notices, args=(inside, stop), name="notices", daemon=True),
            threading.Thread(target=keep_clock, args=(inside, stop), name="clock", daemon=True),
            threading.Thread(target=make_extracts, args=(inside, stop), name="extracts", daemon=True),
            threading.Thread(target=sweep_extracts, args=(inside, stop), name="files", daemon=True),
            threading.Thread(target=keep_copies, args=(inside, stop), name="records", daemon=True),
            threading.Thread(target=stamp_checkpoints, args=(inside, stop), name="stamps", daemon=True),
        ]
        for thread in threads:
            thread.start()
        click.echo(words("worker-running"), err=True)
        while not stop.wait(0.5):
            prepare_grants(inside)
            end_reidentifications(inside)
        threads[0].join()
        # A load that is under way leaves nothing visible when the process ends, and its plan runs it again; so do extracts.
        for thread in threads[1:]:
            thread.join(LOAD_STOP_SECONDS)
    if broken:
        raise broken[0]


def _until_end_of_input(stop: threading.Event) -> None:
    # not through sys.stdin: a thread that waits within it keeps the interpreter from ending
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def load_by_plan(inside: Any, stop: threading.Event) -> None:
    """Close the runs that a killed process left, then run what plans ask for, and keep house once an hour."""
    from huitong.portal.wiring import wall_clock

    log = logging.getLogger("huitong.worker")
    _try(log, "broken loads could not be closed", inside.platform.intake.close_broken_runs)
    swept = tidied = 0.0
    while not stop.wait(LOOK_SECONDS):
        if time.monotonic() - tidied >= TIDY_SECONDS:
            tidied = time.monotonic()
            _try(log, "the search index could not be tidied", inside.stores.tidy)
            _try(log, "entries could not be judged", inside.platform.usable.refresh)
        _try(log, "planned loads could not be run", lambda: inside.platform.plans.run_due(wall_clock()))
        if time.monotonic() - swept >= SWEEP_SECONDS:
            swept = time.monotonic()
            _try(log, "old snapshots could not be removed", inside.platform.intake.retain)
            _try(log, "lists of subjects could not be removed", lambda: retain_subject_lists(inside, wall_clock()))
            _try(log, "pseudonyms of ended epochs could not be removed", inside.platform.pseudonyms.sweep)


def retain_subject_lists(inside: Any, at: datetime) -> int:
    """Remove the lists of subjects that no open request and no usable grant names."""
    gone: int = inside.platform.subject_lists.retain(inside.stores.subject_uses.lists_in_use(at))
    return gone


def keep_clock(inside: Any, stop: threading.Event) -> None:
    """What happens to requests and grants by the clock alone: overdue, lapsed, about to end, ended."""
    keep = getattr(inside.platform.sharing, "keep_clock", None)
    log = logging.getLogger("huitong.worker")
    while keep is not None:
        _try(log, "deadlines could not be looked at", keep)
        if stop.wait(CLOCK_SECONDS):
            return
def stamp_checkpoints(inside: Any, stop: threading.Event) -> None:
    """Ask the time-stamping services for stamps when it is time. One that does not answer is told in the log, and stops nothing."""
    from huitong.model.ledger import KeptStamp

    log = logging.getLogger("huitong.worker")

    def look() -> None:
        for service, found in inside.platform.stamper.stamp_due():
            if isinstance(found, KeptStamp):
                log.info("checkpoint %s was stamped by %s", found.size, service.name)
            else:
                log.warning("no stamp from %s: %s", service.name, found.reasons[0].code)

    while inside.platform.stamper.services and not stop.wait(LOOK_SECONDS):
        _try(log, "checkpoints could not be stamped", look)


def make_extracts(inside: Any, stop: threading.Event) -> None:
    """Make the extracts that wait, one after the other, and those that a killed process left."""
    log = logging.getLogger("huitong.worker")
    while not stop.wait(EXTRACT_LOOK_SECONDS):
        _try(log, "extracts could not be made", lambda: inside.platform.extracts.run_waiting(stop=stop.is_set))


def sweep_extracts(inside: Any, stop: threading.Event) -> None:
    """Remove the files of extracts whose right or time has ended: after each change of a rule, and each minute."""
    log = logging.getLogger("huitong.worker")
    seen, swept = None, -TIDY_SECONDS

    def look() -> None:
        nonlocal seen, swept
        epoch = inside.stores.epoch.current()
        if epoch != seen or time.monotonic() - swept >= TIDY_SECONDS:
            inside.platform.extracts.sweep()
            seen, swept = epoch, time.monotonic()

    while not stop.wait(EXTRACT_LOOK_SECONDS):
        _try(log, "files of extracts could not be removed", look)


def keep_copies(inside: Any, stop: threading.Event) -> None:
    """Keep the copies that records are read from in step with snapshots: after each change of a rule or a snapshot, and each minute."""
    log = logging.getLogger("huitong.worker")
    seen, looked = None, -TIDY_SECONDS

    def look() -> None:
        nonlocal seen, looked
        epoch = inside.stores.epoch.current()
        if epoch != seen or time.monotonic() - looked >= TIDY_SECONDS:
            looked = time.monotonic()
            inside.platform.records.copies.keep_up(stop=stop.is_set)
            seen = epoch

    while not stop.wait(EXTRACT_LOOK_SECONDS):
        _try(log, "copies by key could not be kept in step", look)


def _try(log: logging.Logger, failed: str, what: Callable[[], object]) -> None:
    """One round; what fails is told by its kind and tried again at the next."""
    from django.db import connections

    try:
        what()
    except Exception as error:
        log.warning("%s: %s", failed, type(error).__name__)
    finally:
        connections.close_all()


def prepare_grants(inside: Any) -> None:
    """Build the side tables of grants that wait for them; one that fails is tried again at the next round."""
    try:
        inside.platform.sharing.prepare_waiting()
    except Exception as error:
        logging.getLogger("huitong.worker").warning("a grant could not be prepared: %s", type(error).__name__)


def end_reidentifications(inside: Any) -> None:
    """Note those that are over by rule, and remove their tokens. Whether or not this was done, nothing is told under them any more."""
    try:
        inside.platform.reidentification.end_over()
    except Exception as error:
        logging.getLogger("huitong.worker").warning("re-identifications could not be ended: %s", type(error).__name__)
