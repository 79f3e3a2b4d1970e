"""The door that a subject's command goes through: a server over HTTP, or the instance's own API in this process.

Both are the same API with the same token check; without a server nobody gets more than with one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huitong.cli.base import surroundings
from huitong.cli.language import words
from huitong.cli.profile import Door, Profile, read_profile
from huitong.client import Client
from huitong.errors import InputInvalid, NotFound, NotSignedIn

DEFAULT_FOLDER = "huitong-instance"
IN_PROCESS = "instance:"


@dataclass(frozen=True)
class Way:
    """Where the call goes, and why there."""

    address: str
    """A URL, or `instance:<folder>`."""
    said_by: str
    """Which option, variable or file said so; shown when it leads nowhere."""

    @property
    def folder(self) -> Path | None:
        """The instance's folder of an in-process way."""
        return Path(self.address.removeprefix(IN_PROCESS)) if self.address.startswith(IN_PROCESS) else None


def find_way(profile: Profile) -> Way:
    """By precedence: --server, --home, HUITONG_URL, HUITONG_HOME, the profile's current door, the folder `huitong-instance` here.

    Raises NotFound `cli-no-door`, which tells the whole search."""
    said = surroundings()
    if said.server:
        return Way(_url(said.server, "--server"), "--server")
    if said.home:
        return Way(IN_PROCESS + str(said.home.absolute()), "--home")
    if os.environ.get("HUITONG_URL"):
        return Way(_url(os.environ["HUITONG_URL"], "HUITONG_URL"), "HUITONG_URL")
    if os.environ.get("HUITONG_HOME"):
        return Way(IN_PROCESS + str(Path(os.environ["HUITONG_HOME"]).absolute()), "HUITONG_HOME")
    if profile.current:
        return Way(profile.current, words("said-by-profile"))
    if Path(DEFAULT_FOLDER, "keys").is_dir():
        return Way(IN_PROCESS + str(Path(DEFAULT_FOLDER).absolute()), words("said-by-folder", folder=DEFAULT_FOLDER))
    raise NotFound.because("cli-no-door", profile=str(profile.path), folder=DEFAULT_FOLDER)


def _url(value: str, origin: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.username or parts.query or parts.fragment:
        raise InputInvalid.because("cli-url-invalid", origin=origin)
    return value.rstrip("/")


def find_token(way: Way, profile: Profile) -> str | None:
    """HUITONG_TOKEN, else the profile's token for exactly this door: a token is never sent to another one."""
    if os.environ.get("HUITONG_TOKEN"):
        return os.environ["HUITONG_TOKEN"].strip()
    door = profile.doors.get(way.address)
    return door.token if door else None


@contextmanager
def open_client(*, with_token: bool = True) -> Iterator[Client]:
    """The client of this call."""
    profile = read_profile()
    way = find_way(profile)
    token = find_token(way, profile)
    if with_token and not token:
        raise NotSignedIn.because("cli-no-token", door=way.address, origin=way.said_by, profile=str(profile.path))
    with client_at(way, token) as client:
        yield client


@contextmanager
def client_at(way: Way, token: str | None) -> Iterator[Client]:
    """A client for one way; the in-process one ends with the ledger's pending entries folded."""
    if way.folder is None:
        with Client(way.address, token, language=words.language) as client:
            yield client
        return
    from huitong.cli.inside import api_of

    with api_of(way.folder, said_by=way.said_by) as transport, Client(
        "http://127.0.0.1", token, transport=transport, language=words.language
    ) as client:
        yield client


def remembered(profile: Profile, way: Way) -> Door:
    """The door of the profile for this way, a new one if there is none."""
    return profile.doors.get(way.address, Door(way.address))
