"""The instance opened directly: its own API in this process for subjects, its parts for a named operator."""

import getpass
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from huitong.backing import BEING_RESTORED
from huitong.cli.base import surroundings
from huitong.cli.door import DEFAULT_FOLDER
from huitong.cli.language import words
from huitong.errors import Conflict, NotFound, Refused, Unavailable
from huitong.settings import Settings, read_settings

MARKER = ".being-made"
"""Lies in the folder while an instance is being made; with it there is no instance yet."""


def settings_here(home: Path | None = None) -> Settings:
    """The settings of the instance named by argument, --home, HUITONG_HOME, or the folder `huitong-instance` here."""
    return read_settings(home=home or surroundings().home)


def existing(settings: Settings, *, said_by: str | None = None) -> Settings:
    """The same settings, if there is a whole instance."""
    origin = said_by or {"argument": "--home", "HUITONG_HOME": "HUITONG_HOME"}.get(
        settings.origins["home"], words("said-by-folder", folder=DEFAULT_FOLDER)
    )
    if (settings.home / MARKER).exists():
        raise Conflict.because("cli-instance-half-made", folder=str(settings.home))
    if (settings.home / BEING_RESTORED).exists():
        raise Conflict.because("cli-instance-half-restored", folder=str(settings.home))
    if not settings.keys.is_dir():
        raise NotFound.because("cli-no-instance", folder=str(settings.home), origin=origin)
    return settings


def quiet() -> None:
    """Django's own log lines stay out of a terminal; what went wrong is told in sentences."""
    if not os.environ.get("HUITONG_TRACE"):
        for name in ("django", "huitong"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


# --- for subjects: the instance's API without a server ----------------------------------------------------------------------


@contextmanager
def api_of(folder: Path, *, said_by: str) -> Iterator[httpx.BaseTransport]:
    """A transport to the API of the instance in `folder`, with the same token check as over the network."""
    settings = existing(read_settings(home=folder), said_by=said_by)
    with InProcess(settings) as transport:
        yield transport


class InProcess(httpx.BaseTransport):
    """Calls the portal's WSGI application. The engine broker is started for the first query if none serves, and the ledger
    is folded and grants are prepared after each change, as the background worker of a server would."""

    def __init__(self, settings: Settings) -> None:
        from huitong.portal.wiring import open_platform, start_django

        settings = _with_engine_of_its_own(settings)
        start_django(settings)
        from django.core.wsgi import get_wsgi_application

        self._settings = settings
        self._inner = httpx.WSGITransport(app=get_wsgi_application(), remote_addr="127.0.0.1")
        quiet()
        self._platform = open_platform(settings)
        watch_sequencer(self._platform, settings)
        self._broker: Any = None
        self._lock = threading.Lock()
        self._engine_ready = False
        self._background()

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/query", "/extracts")):
            self.start_engine()
        response = self._inner.handle_request(request)
        if request.method != "GET" and "Huitong-Maximum-Rows" not in response.headers:  # else its rows are still to come
            response.read()
            self._background()
        return response

    def start_engine(self) -> None:
        """A broker for this process, unless one serves the instance already."""
        from huitong.engines.broker import start_broker

        self._engine_ready = True
        with self._lock:
            if self._broker is not None and self._broker.running():
                return
            if not _engine_serves(self._settings):
                self._broker = start_broker(self._settings)

    def _background(self) -> None:
        """What the background worker of a server would do now."""
        if self._engine_ready:
            self._platform.extracts.run_waiting()
        background(self._platform)

    def close(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None
        self._inner.close()


def _engine_serves(settings: Settings) -> bool:
    """Whether a broker answers at the instance's socket."""
    from huitong.engines.client import EngineClient

    with suppress(Unavailable):
        EngineClient(settings.engine_socket).status()
        return True
    return False


def _with_engine_of_its_own(settings: Settings) -> Settings:
    """The same settings with a socket of this process, unless a server's broker serves: two commands at once never share a
    broker that the first to end would stop."""
    return settings if _engine_serves(settings) else replace(settings, engine_socket_name=f"engine-{os.getpid()}.sock")


def background(platform: Any) -> None:
    """One round of background work: prepare grants that wait for it, remove files whose time is over, keep the copies by key in step,
    fold the ledger.

    A grant that cannot be prepared now waits for the next round and keeps nothing else waiting."""
    try:
        platform.sharing.prepare_waiting()
    except Exception as error:
        logging.getLogger("huitong.worker").warning("a grant could not be prepared: %s", type(error).__name__)
    platform.extracts.sweep()
    platform.records.copies.keep_up()
    platform.sequencer.fold_all()


def watch_sequencer(platform: Any, settings: Settings) -> None:
    """Let the sequencer keep its last checkpoint in the instance's folder, and fold nothing that does not fit it."""
    platform.sequencer.witness = kept_checkpoint(settings)


def kept_checkpoint(settings: Settings) -> Any:
    """The last signed checkpoint of the instance, kept outside its database."""
    from huitong.ledger.witness import KEPT_CHECKPOINT, CheckpointFile

    return CheckpointFile(settings.home / KEPT_CHECKPOINT)


# --- for operators ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inside:
    """An instance in the hands of its operator."""

    settings: Settings
    platform: Any
    stores: Any

    @property
    def ledger(self) -> Any:
        """The ledger."""
        return self.platform.ledger

    def stamp_ages(self) -> list[tuple[str, Any, int | None, bool]]:
        """Of each time-stamping service of the settings: its name, its last stamp, the age of that in seconds, and whether it is late."""
        from huitong.portal.wiring import wall_clock

        last = {stamp.service: stamp for stamp in self.ledger.last_stamps()}
        found: list[tuple[str, Any, int | None, bool]] = []
        for service in self.platform.stamper.services:
            stamp = last.get(service.name)
            age = None if stamp is None else max(int((wall_clock() - stamp.at).total_seconds()), 0)
            found.append((service.name, stamp, age, age is None or age > self.settings.ledger_stamp_alarm_seconds))
        return found

    def silent_witnesses(self) -> list[Any]:
        """The keys of the witnesses that have signed nothing for too long, or never."""
        from huitong.portal.wiring import wall_clock

        limit, now = self.settings.ledger_witness_alarm_seconds, wall_clock()
        return [key for key, seen in self.ledger.witnesses() if seen is None or (now - seen.at).total_seconds() > limit]

    def stamp_reasons(self) -> list[Any]:
        """Every kept time stamp that does not hold under the certificates of its service, as reasons of the audit."""
        from huitong.errors import HuitongError
        from huitong.ledger.stamping import certificates_of, refuse_without_library, stamp_faults

        if not self.ledger.last_stamps():
            return []
        folder = self.settings.ledger_stamp_certificates
        try:
            refuse_without_library()
            return stamp_faults(self.stores.ledger, lambda name: certificates_of(name, Path(folder) if folder else None))
        except HuitongError as error:
            return list(error.reasons)

    def fold_all(self) -> int:
        """Fold what is pending; how many entries. A broken ledger is left to the audit to describe."""
        from huitong.errors import LedgerBroken

        with suppress(LedgerBroken):
            return int(self.platform.sequencer.fold_all())
        return 0

    def change_ledger_key(self, operator: str, said: str) -> Any:
        """Let a new key of the key store sign the ledger from now on."""
        from huitong.keystore import FileKeyStore
        from huitong.ledger.literals import Literal

        with self.stores.atomic():
            return self.ledger.change_key(
                keystore=FileKeyStore(self.settings.keys),
                overlap_seconds=self.settings.ledger_key_overlap_seconds,
                body={**self.acting(operator), "words": Literal(said)},
            )

    def acting(self, operator: str) -> dict[str, str]:
        """What a ledger entry says of who acts: the operator, and the account of this machine that runs the command."""
        return {"by": operator, "login": _login()}

    def audit(
        self,
        keys: Sequence[str],
        progress: Callable[[int, int | None], None],
        *,
        checkpoints: Sequence[str] = (),
        tree_only: bool = False,
    ) -> Any:
        """The report of a whole audit: the tree, the checkpoint kept in the instance's folder and `checkpoints` kept elsewhere
        against the tree, and what the tables say against what the ledger says; `tree_only`: without the signatures of entries and the
        tables."""
        from huitong.ledger.audit import audit
        from huitong.ledger.cross_check import cross_check

        own = kept_checkpoint(self.settings).last()
        kept = [*checkpoints] if own is None else [own, *checkpoints]
        reader = self.stores.tree_reader()
        report = audit(
            self.stores.ledger, keys, progress=progress, kept=kept, of_instance=True, tree_only=tree_only, reader=reader
        )
        if tree_only:
            return report
        beside = (*cross_check(self.stores.ledger, self.stores.records), *self.stamp_reasons())
        return replace(report, faults=(*report.faults, *beside))


def open_inside(settings: Settings) -> Inside:
    """The parts of an instance, without a word in its ledger: for the functions below, and for making one."""
    from huitong.portal.wiring import open_platform

    platform = open_platform(settings)
    watch_sequencer(platform, settings)
    quiet()
    from huitong.portal.stores import Stores

    return Inside(settings, platform, Stores())


@contextmanager
def open_as_operator(operator: str, *, action: str, settings: Settings | None = None) -> Iterator[Inside]:
    """Open the instance as that operator; the action is in the ledger before it begins, and folded when it ends."""
    inside = open_inside(existing(settings or settings_here()))
    record(inside, operator, action)
    try:
        yield inside
    finally:
        inside.fold_all()


def record(inside: Inside, operator: str, action: str) -> None:
    """Write into the ledger that this operator opens the instance. Raises Refused `cli-operator-unknown`."""
    from huitong.model.ledger import EntryKind
    from huitong.model.party import Role

    if not any(actor.has(Role.OPERATOR) for actor in inside.stores.parties.actors_of(operator)):
        raise Refused.because("cli-operator-unknown", account=operator)
    body = {"act": action, "by": operator, "login": _login()}
    with inside.stores.atomic():
        inside.ledger.append(kind=EntryKind.OPERATOR_ACTION, body=body)


def _login() -> str:
    """The account of this machine that runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
