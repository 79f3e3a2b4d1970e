"""Where webhooks may go: the hosts that the operator listed, reached at the very address that was checked, and nowhere further.

The rule is that of databases (`huitong.intake.addresses`): a name is looked up once, a listed name that leads to this machine or its
neighbours by wire is refused, and TLS is verified unless the list says otherwise.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address
from typing import Protocol

import httpx

from huitong.errors import HuitongError, InputInvalid, Refused, Unavailable
from huitong.intake.addresses import AllowedHosts, Place, Server, Tls

LONGEST_URL = 1000
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)(?::(?P<port>\d{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?"
)


@dataclass(frozen=True)
class Receiver:
    """A URL that messages may be sent to."""

    url: str
    server: Server
    encrypted: bool


def read_url(url: str) -> Receiver:
    """The URL as written: http or https, a host, a path; no user, no password, no fragment. Raises InputInvalid
    `webhook-url-invalid`, which does not repeat it."""
    found = _URL.fullmatch(url) if len(url) <= LONGEST_URL else None
    if found is None:
        raise InputInvalid.because("webhook-url-invalid", longest=LONGEST_URL)
    host = found["host"].strip("[]").lower()
    encrypted = found["scheme"] == "https"
    port = int(found["port"] or (443 if encrypted else 80))
    if ":" in host:
        try:
            host = str(IPv6Address(host))
        except ValueError:
            raise InputInvalid.because("webhook-url-invalid", longest=LONGEST_URL) from None
    if not 0 < port < 65_536:
        raise InputInvalid.because("webhook-url-invalid", longest=LONGEST_URL)
    return Receiver(url, Server(host, port), encrypted)


@dataclass(frozen=True)
class WebhookHosts:
    """The hosts of the setting `webhook_hosts`."""

    hosts: AllowedHosts

    @classmethod
    def read(cls, written: str) -> "WebhookHosts":
        """`host:port` with commas between, each with `tls=verify` (the rule), `tls=encrypt` or `tls=off` after a blank.

        Raises InputInvalid `webhook-hosts-invalid` with the number of the entry."""
        try:
            return cls(AllowedHosts.read(written))
        except InputInvalid as error:
            raise InputInvalid.because("webhook-hosts-invalid", **error.reasons[0].parameters) from None

    def refuse_unless_listed(self, receiver: Receiver) -> Tls:
        """How the way to it must be protected. Raises Refused `webhook-host-not-allowed`, `webhook-host-needs-tls`."""
        try:
            tls = self.hosts.refuse_unless_listed(receiver.server)
        except Refused:
            raise Refused.because("webhook-host-not-allowed", server=str(receiver.server)) from None
        if not receiver.encrypted and tls is not Tls.OFF:
            raise Refused.because("webhook-host-needs-tls", server=str(receiver.server))
        return tls

    def place(self, receiver: Receiver) -> Place:
        """Where it is now. Raises besides Refused `webhook-host-within`, Unavailable `webhook-host-unresolved`."""
        self.refuse_unless_listed(receiver)
        try:
            return self.hosts.place(receiver.server)
        except Refused:
            raise Refused.because("webhook-host-within", server=str(receiver.server)) from None
        except Unavailable:
            raise Unavailable.because("webhook-host-unresolved", server=str(receiver.server)) from None


@dataclass(frozen=True)
class Answer:
    """What came of one attempt: the code of its outcome, the receiver's status, and how long it asks to be left alone."""

    outcome: str
    status: int | None = None
    wait_seconds: int | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver has the message."""
        return self.outcome == "delivery-taken"


class Post(Protocol):
    """Sends a message to a receiver."""

    def __call__(self, receiver: Receiver, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """What came of it; raises nothing."""


@dataclass(frozen=True)
class PinnedPost:
    """A POST to the address that was checked, within so many seconds in all. No redirect is followed, no proxy of the environment is
    used, nothing of the answer but its status (and Retry-After) is read."""

    hosts: WebhookHosts
    request_seconds: float
    connect_seconds: float
    certificates: str = ""
    """PEM file of the authorities by which receivers prove their names; empty: those of the machine."""

    def __call__(self, receiver: Receiver, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """What came of it."""
        try:
            place = self.hosts.place(receiver)
        except HuitongError as error:
            return Answer(error.reasons[0].code.replace("webhook", "delivery", 1))
        try:
            return asyncio.run(self._within_time(receiver, place, headers, body))
        except TimeoutError:
            return Answer("delivery-no-answer")
        except (OSError, httpx.HTTPError) as error:
            return Answer("delivery-tls-failed" if _is_about_tls(error) else "delivery-unreachable")

    async def _within_time(self, receiver: Receiver, place: Place, headers: Mapping[str, str], body: bytes) -> Answer:
        async with asyncio.timeout(self.request_seconds):
            *others, last = place.addresses
            for address in others:
                with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await self._send(receiver, place, address, headers, body)
            return await self._send(receiver, place, last, headers, body)

    async def _send(self, receiver: Receiver, place: Place, address: str, headers: Mapping[str, str], body: bytes) -> Answer:
        url = httpx.URL(receiver.url)
        timeout = httpx.Timeout(self.request_seconds, connect=self.connect_seconds)
        trust = _trust(self.certificates, place.tls)
        async with httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=timeout) as client:
            request = client.build_request(
                "POST",
                url.copy_with(host=address),
                headers={**headers, "Host": url.netloc.decode("ascii")},
                content=body,
                extensions={"sni_hostname": receiver.server.host},
            )
            response = await client.send(request, stream=True)
            try:
                return _answer(response)
            finally:
                await response.aclose()


@cache
def _trust(certificates: str, tls: Tls) -> ssl.SSLContext:
    """Whose word is taken for a receiver's name: read once, for reading all authorities of a machine takes longer than a message."""
    trust = ssl.create_default_context(cafile=certificates or None)
    if tls is Tls.ENCRYPT:
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
    return trust


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if 200 <= status < 300:
        return Answer("delivery-taken", status)
    if status == 410:
        return Answer("delivery-gone", status)
    if 300 <= status < 400:
        return Answer("delivery-redirected", status)
    asked = response.headers.get("retry-after", "")
    return Answer("delivery-answered", status, int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else None)


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
