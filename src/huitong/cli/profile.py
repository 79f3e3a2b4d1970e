"""The profile of a person on this machine: which doors they signed in at, with which token, and the ledger key seen there.

One TOML file, mode 0600, in the folder that the system keeps for settings; `HUITONG_PROFILE` names another."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huitong.errors import InputInvalid, Unavailable


@dataclass(frozen=True)
class Door:
    """Where one signs in: a server's URL, or `instance:<folder>` for an instance opened in this process."""

    address: str
    token: str | None = None
    ledger_key: str | None = None
    """vkey text of the ledger, pinned at the first sign-in; one line for each key to which its signed changes have led since."""


@dataclass(frozen=True)
class Profile:
    """All doors, and the one that is used when none is named."""

    path: Path
    current: str | None = None
    doors: Mapping[str, Door] = field(default_factory=dict)

    def with_door(self, door: Door) -> "Profile":
        """The profile with this door as the current one."""
        return replace(self, current=door.address, doors={**self.doors, door.address: door})

    def key_of_origin(self, origin: str) -> str | None:
        """The pinned ledger key whose name is `origin` (a vkey begins with its name and a plus sign)."""
        known = (door.ledger_key for door in self.doors.values() if door.ledger_key)
        keys = {key for key in known if key.partition("+")[0] == origin}
        return keys.pop() if len(keys) == 1 else None


def profile_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the profile lies."""
    environment = os.environ if environment is None else environment
    if environment.get("HUITONG_PROFILE"):
        return Path(environment["HUITONG_PROFILE"])
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "huitong" / "profile.toml"


def read_profile(path: Path | None = None) -> Profile:
    """The profile; an empty one if there is no file. A file that others may read is refused: it holds tokens."""
    path = path or profile_path()
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        written: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Profile(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise InputInvalid.because("cli-profile-unreadable", file=str(path)) from None
    if mode & 0o077:
        raise InputInvalid.because("cli-profile-open", file=str(path), mode=f"{mode:04o}")
    doors = {
        address: Door(address=address, token=door.get("token"), ledger_key=door.get("ledger_key"))
        for address, door in written.get("doors", {}).items()
    }
    return Profile(path, written.get("current"), doors)


def write_profile(profile: Profile) -> None:
    """Write the whole file anew beside the old one, then put it in its place, so that it is never half or open."""
    import tomli_w

    doors = {
        door.address: {name: value for name, value in (("token", door.token), ("ledger_key", door.ledger_key)) if value}
        for door in profile.doors.values()
    }
    body: dict[str, Any] = {"doors": doors}
    if profile.current:
        body = {"current": profile.current, **body}
    try:
        profile.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(profile.path, tomli_w.dumps(body))
    except OSError:
        raise Unavailable.because("cli-profile-unwritable", file=str(profile.path)) from None


def write_private(path: Path, content: str) -> None:
    """A file that only its owner reads, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
