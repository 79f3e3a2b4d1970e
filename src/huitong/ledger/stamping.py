"""Time stamps of checkpoints (RFC 3161): a service that has nothing to do with the instance says that a checkpoint existed at a time.

Stamps are asked for beside the work, by the background worker. A service that is away, slow or wrong leaves a gap that the doctor names;
nothing waits for it. What is kept is the whole answer (DER), checked against the certificates of that service, so that anyone can check
it again, with `openssl ts -verify` too.
"""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from huitong.errors import HuitongError, InputInvalid, Reason, Unavailable
from huitong.ledger.verify import MAXIMUM_PAYLOAD_BYTES, check_stamp, parse_instant
from huitong.model.ledger import Checkpoint, KeptStamp

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
QUERY_TYPE, ANSWER_TYPE = "application/timestamp-query", "application/timestamp-reply"
MOST_SERVICES = 20


@dataclass(frozen=True)
class StampLimits:
    """Bounds for answers (`stamping.toml`)."""

    answer_bytes: int
    clock_seconds: int
    again_seconds: int


@cache
def stamp_limits() -> StampLimits:
    """As shipped."""
    return StampLimits(**tomllib.loads(files("huitong.ledger").joinpath("stamping.toml").read_text("utf-8")))


@dataclass(frozen=True)
class StampService:
    """A time-stamping service: a name of this instance's own, and where it answers."""

    name: str
    url: str


class StampStore(Protocol):
    """Where stamps are kept, beside the checkpoints; they are added, never changed."""

    def latest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the greatest size."""

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The checkpoint of exactly this size."""

    def add_stamp(self, stamp: KeptStamp) -> None:
        """Keep it, unless there is one of that service and size."""

    def stamps(self, size: int) -> Sequence[KeptStamp]:
        """Those of the checkpoint of this size, in the order in which they came."""

    def last_stamps(self) -> Sequence[KeptStamp]:
        """Of each service the one of the greatest size."""

    def stamped_sizes(self, limit: int, offset: int) -> tuple[Sequence[int], int]:
        """Sizes of stamped checkpoints, the greatest first; and how many."""


def parse_services(written: str) -> tuple[StampService, ...]:
    """The services of a setting: `name=URL` with commas between. Raises InputInvalid `ledger-stamp-setting-invalid`."""
    found: dict[str, StampService] = {}
    for part in (part.strip() for part in written.split(",") if part.strip()):
        name, _, url = part.partition("=")
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            sound = sound and parts.username is None and not parts.fragment and url.isascii() and url.isprintable() and " " not in url
        except ValueError:
            sound = False
        if not sound or _NAME.fullmatch(name) is None or name in found or len(found) >= MOST_SERVICES:
            raise InputInvalid.because("ledger-stamp-setting-invalid", written=part[:200])
        found[name] = StampService(name, url)
    return tuple(found.values())


def certificates_of(service: str, folder: Path | None) -> str:
    """The certificates (PEM) by which a service is trusted: the file of its name in the folder.

    Raises InputInvalid `ledger-stamp-certificates-missing`."""
    try:
        if folder is None:
            raise FileNotFoundError
        with (folder / f"{service}.pem").open("rb") as file:
            return file.read(MAXIMUM_PAYLOAD_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError):
        file_name = str(folder / f"{service}.pem") if folder else f"{service}.pem"
        raise InputInvalid.because("ledger-stamp-certificates-missing", service=service, file=file_name) from None


def refuse_without_library() -> None:
    """Raises Unavailable `ledger-stamp-library-missing` where the optional part `stamps` is not installed."""
    try:
        import rfc3161_client  # noqa: F401
    except ImportError:
        raise Unavailable.because("ledger-stamp-library-missing") from None


class Stamper:
    """Asks services for stamps of the newest checkpoint, each as often as it is set."""

    def __init__(
        self,
        store: StampStore,
        clock: Callable[[], datetime],
        *,
        services: Sequence[StampService],
        certificates: Path | None,
        every_seconds: float,
        seconds: float,
        limits: StampLimits | None = None,
        post: Callable[[str, bytes], bytes] | None = None,
    ) -> None:
        """`seconds` bounds one answer. `post` sends the bytes of a query to a URL and gives those of the answer."""
        self._store = store
        self._clock = clock
        self.services = tuple(services)
        self._certificates = certificates
        self._every = timedelta(seconds=every_seconds)
        self._limits = limits or stamp_limits()
        self._post = post or (lambda url, query: post_query(url, query, seconds=seconds, most=self._limits.answer_bytes))
        self._tried: dict[str, datetime] = {}

    def stamp_due(self) -> list[tuple[StampService, KeptStamp | HuitongError]]:
        """Ask every service whose last stamp is old enough, if the ledger has grown since; what each gave. Never raises for one of
        them: the others are asked all the same."""
        checkpoint = self._store.latest_checkpoint()
        if checkpoint is None or not self.services:
            return []
        last = {stamp.service: stamp for stamp in self._store.last_stamps()}
        done: list[tuple[StampService, KeptStamp | HuitongError]] = []
        for service in self.services:
            now, before = self._clock(), last.get(service.name)
            tried = self._tried.get(service.name)
            if before is not None and (before.size >= checkpoint.size or now - before.kept_at < self._every):
                continue
            if tried is not None and timedelta() <= now - tried < timedelta(seconds=self._limits.again_seconds):
                continue
            self._tried[service.name] = now
            try:
                done.append((service, self.stamp(service, checkpoint)))
                del self._tried[service.name]
            except HuitongError as error:
                done.append((service, error))
        return done

    def stamp(self, service: StampService, checkpoint: Checkpoint) -> KeptStamp:
        """Ask one service to stamp a checkpoint, check its answer, keep it.

        Raises Unavailable `ledger-stamp-library-missing`, `ledger-stamp-unanswered`, `ledger-stamp-broken`, `ledger-stamp-clock`;
        InputInvalid `ledger-stamp-certificates-missing`."""
        refuse_without_library()
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

        trusted = certificates_of(service.name, self._certificates)
        stamped = checkpoint.note.encode()
        query = TimestampRequestBuilder().data(stamped).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True)
        request = query.cert_request(cert_request=True).build()
        answer = self._post(service.url, request.as_bytes())
        try:
            checked = check_stamp(stamped, answer, trusted, nonce=request.nonce)
        except ValueError as fault:
            raise Unavailable.because("ledger-stamp-broken", service=service.name, fault=str(fault)[:200]) from None
        now = self._clock()
        at = parse_instant(checked.at)
        tolerance = timedelta(seconds=self._limits.clock_seconds)
        if abs(now - at) > tolerance or at < checkpoint.at - tolerance:
            raise Unavailable.because("ledger-stamp-clock", service=service.name, at=checked.at, now=now.isoformat())
        kept = KeptStamp(size=checkpoint.size, service=service.name, at=at, kept_at=now, answer=answer)
        self._store.add_stamp(kept)
        return kept


def post_query(url: str, query: bytes, *, seconds: float, most: int) -> bytes:
    """Send a query and read the answer: to that address alone (redirects are refused), within the time, at most so many bytes.

    Raises Unavailable `ledger-stamp-unanswered`."""
    import time

    import httpx

    def failed(why: str) -> Unavailable:
        error = Unavailable.because("ledger-stamp-unanswered", url=url, fault=why)
        assert isinstance(error, Unavailable)
        return error

    until = time.monotonic() + seconds
    headers = {"Content-Type": QUERY_TYPE, "Accept": ANSWER_TYPE, "Accept-Encoding": "identity"}
    try:
        with (
            httpx.Client(timeout=seconds, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", url, content=query, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise failed(f"status {response.status_code}")
            if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != ANSWER_TYPE:
                raise failed("another media type")
            content = b""
            for piece in response.iter_raw(4096):
                content += piece
                if len(content) > most:
                    raise failed("too long")
                if time.monotonic() > until:
                    raise failed("too slow")
            return content
    except httpx.HTTPError as error:
        raise failed(type(error).__name__) from None


def stamp_faults(store: StampStore, certificates: Callable[[str], str]) -> list[Reason]:
    """Every kept stamp that does not hold under the certificates of its service, and why; for the audit."""
    faults: list[Reason] = []
    sizes, total = store.stamped_sizes(1000, 0)
    while len(sizes) < total:
        more, total = store.stamped_sizes(1000, len(sizes))
        if not more:
            break
        sizes = [*sizes, *more]
    for size in sizes:
        checkpoint = store.checkpoint_of(size)
        for stamp in store.stamps(size):
            try:
                if checkpoint is None:
                    raise ValueError("its checkpoint is not there")
                checked = check_stamp(checkpoint.note.encode(), stamp.answer, certificates(stamp.service))
                if parse_instant(checked.at) != stamp.at:
                    raise ValueError("its time was changed")
            except ValueError as fault:
                about: dict[str, str | int] = {"size": size, "service": stamp.service, "fault": str(fault)[:200]}
                faults.append(Reason("audit-stamp-broken", about))
    return faults

