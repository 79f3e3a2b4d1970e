"""Where a database is, and whether a load may go there: addresses without credentials and options, and the hosts the operator listed.

A name is looked up once and the connection goes to the very address that was checked, so a name that points elsewhere a moment later
leads nowhere. A listed name that leads to this machine itself or to its neighbours by wire (link-local) is refused: to read from
there, the address as a number, or `localhost`, must be listed.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from huitong.errors import InputInvalid, Refused, Unavailable

Resolve = Callable[[str, int], Sequence[str]]
"""Name and port -> its IP addresses, best first. May raise OSError."""


class Engine(StrEnum):
    """Kinds of database that rows can be read from."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    """MySQL and MariaDB."""
    SQLITE = "sqlite"


DEFAULT_PORTS: Mapping[Engine, int] = {Engine.POSTGRESQL: 5432, Engine.MYSQL: 3306}


class Tls(StrEnum):
    """How the way to a server is protected."""

    VERIFY = "verify"
    """Encrypted, and the server proves its name by a certificate."""
    ENCRYPT = "encrypt"
    """Encrypted, with whoever answers."""
    OFF = "off"


@dataclass(frozen=True)
class Server:
    """A host, as written in lower case, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Address:
    """Where a database is."""

    engine: Engine
    server: Server | None
    """None for SQLite."""
    database: str
    """Its name; for SQLite the file's path relative to the inbox."""


@dataclass(frozen=True)
class Place:
    """A server that may be read from: the addresses its name led to when it was checked."""

    server: Server
    addresses: tuple[str, ...]
    tls: Tls


_HOST = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?)"
_SERVED = re.compile(rf"(?P<engine>postgresql|mysql)://{_HOST}(?::(?P<port>\d{{1,5}}))?/(?P<database>[^\W_][\w$.-]{{0,62}}|_[\w$.-]{{0,62}})")
_SQLITE = re.compile(r"sqlite:///(?P<path>[^/\x00?#%][^\x00?#%]*)")
_LISTED = re.compile(rf"{_HOST}:(?P<port>\d{{1,5}})(?:\s+tls=(?P<tls>verify|encrypt|off))?")


def read_address(address: str) -> Address:
    """The address as written. Raises InputInvalid `source-address-credentials`, `source-address-options`, `source-address-invalid`;
    none of them repeats the address, which may hold a password by mistake."""
    if found := _SERVED.fullmatch(address):
        engine = Engine(found["engine"])
        server = _server(found["host"], found["port"] or str(DEFAULT_PORTS[engine]))
        if server is not None:
            return Address(engine, server, found["database"])
    elif found := _SQLITE.fullmatch(address):
        return Address(Engine.SQLITE, None, found["path"])
    elif "@" in address:
        raise InputInvalid.because("source-address-credentials")
    elif "?" in address or "#" in address:
        raise InputInvalid.because("source-address-options")
    raise InputInvalid.because("source-address-invalid")


def _server(host: str, port: str) -> Server | None:
    plain = host.strip("[]").lower()
    if ":" in plain:
        try:
            plain = str(ipaddress.IPv6Address(plain))
        except ValueError:
            return None
    return Server(plain, int(port)) if 0 < int(port) < 65_536 else None


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class AllowedHosts:
    """The servers that the operator lets loads read from, each with how the way to it must be protected."""

    servers: Mapping[Server, Tls]
    resolve: Resolve = field(default=_look_up, repr=False)

    @classmethod
    def read(cls, written: str) -> "AllowedHosts":
        """The list of the setting `source_hosts`: `host:port` with commas between, each with `tls=verify` (which holds when nothing
        is said), `tls=encrypt` or `tls=off` after a blank; this machine itself is read without TLS when nothing is said.

        Raises InputInvalid `source-hosts-invalid` with the number of the entry."""
        servers = {}
        for number, entry in enumerate(written.split(",") if written.strip() else (), start=1):
            found = _LISTED.fullmatch(entry.strip())
            server = _server(found["host"], found["port"]) if found else None
            if found is None or server is None:
                raise InputInvalid.because("source-hosts-invalid", number=number)
            own = server.host == "localhost" or (_is_number(server.host) and _is_within(server.host))
            servers[server] = Tls(found["tls"]) if found["tls"] else Tls.OFF if own else Tls.VERIFY
        return cls(servers)

    def refuse_unless_listed(self, server: Server) -> Tls:
        """How the way to the server must be protected. Raises Refused `source-host-not-allowed`."""
        if server not in self.servers:
            raise Refused.because("source-host-not-allowed", server=str(server))
        return self.servers[server]

    def place(self, server: Server) -> Place:
        """Where the server is now. Raises Refused `source-host-not-allowed`, `source-host-within`; Unavailable
        `source-host-unresolved`."""
        tls = self.refuse_unless_listed(server)
        try:
            addresses = tuple(self.resolve(server.host, server.port))
        except (OSError, UnicodeError):
            addresses = ()
        if not addresses:
            raise Unavailable.because("source-host-unresolved", server=str(server))
        named = server.host != "localhost" and not _is_number(server.host)
        if named and any(_is_within(address) and Server(_plain(address), server.port) not in self.servers for address in addresses):
            raise Refused.because("source-host-within", server=str(server))
        return Place(server, addresses, tls)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _plain(address: str) -> str:
    return address.partition("%")[0]


def _is_within(address: str) -> bool:
    """Whether it is no machine of a network: this one, one on the same wire, or none at all."""
    number = ipaddress.ip_address(_plain(address))
    for inner in (getattr(number, "ipv4_mapped", None), getattr(number, "sixtofour", None)):
        if inner is not None:
            number = inner
    return number.is_loopback or number.is_link_local or number.is_unspecified or number.is_multicast or number.is_reserved
