"""A backup of an instance that serves: leases, the database, the lake as that copy knows it, the signed list."""

import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from huitong.backing.folder import BackupFolder, open_folder
from huitong.backing.lake import LakeFiles
from huitong.backing.manifest import LedgerFacts, Manifest, manifest_hash, root_text, sign_manifest
from huitong.errors import InputInvalid, Unavailable
from huitong.keystore import FileKeyStore
from huitong.ledger.keys import LogKeys
from huitong.portal.backing.databases import copied
from huitong.settings import Settings

LAST = "last-backup.json"
"""In the instance's folder: what `huitong doctor` says of the last backup."""
KEPT_SETTINGS = ("huitong.toml", "grading.toml")
SECRET_SETTINGS = frozenset({"database_url"})
"""What is left out of the settings of a backup: it may hold a password, and belongs to the machine."""
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Progress:
    """Who is told how far it is: called with bytes, pages or tables that are done, and with all of them."""

    database: Report
    files: Report


@dataclass(frozen=True)
class MadeBackup:
    """What came of a backup."""

    manifest: Manifest
    hash: str
    """SHA-256 of its list."""
    linked: int
    """Files that took no room of their own."""


def make_backup(
    settings: Settings,
    store: Any,
    folder: Path,
    *,
    operator: str,
    clock: Callable[[], datetime],
    link: bool,
    earlier: Path | None,
    progress: Progress,
) -> MadeBackup:
    """Write a backup of the instance into the folder; `store` is the store of its ledger.

    Raises InputInvalid `backup-inside-instance`; Unavailable `backup-ledger-empty`; what `open_folder` and `LakeFiles` raise."""
    folder, home = folder.absolute(), settings.home.absolute()
    resolved, at_home = folder.resolve(), home.resolve()
    if resolved.is_relative_to(at_home) or at_home.is_relative_to(resolved):
        raise InputInvalid.because("backup-inside-instance", folder=folder.name)
    # the key is read before the database, so the copy knows it
    keys = LogKeys(store, FileKeyStore(settings.keys), origin=settings.name).now()
    lake = LakeFiles(settings.lake)
    with open_folder(folder, link=link, earlier=earlier) as into, lake.held() as before:
        at = clock()
        with copied(into, progress=progress.database) as (copy, facts):
            checkpoint = copy.checkpoint()
            if checkpoint is None:
                raise Unavailable.because("backup-ledger-empty")
            size, root, note = checkpoint
            ledger = LedgerFacts(size, root_text(root), note, copy.pending(), tuple(key.line for key in keys.keys))
            known = copy.known()
        with lake.chosen(known, before) as files:
            _take_lake(into, settings.lake, files, progress.files)
        _take_settings(into, settings)
        listed = tuple(into.files[path] for path in sorted(into.files))
        manifest = Manifest(settings.name, version("huitong"), at, operator, facts, ledger, listed)
        written = manifest.written()
        into.finish(written, sign_manifest(written, origin=settings.name, key=keys.private))
    return MadeBackup(manifest, manifest_hash(written), into.linked)


def _take_lake(into: BackupFolder, lake: Path, files: tuple[str, ...], progress: Report) -> None:
    total = sum((lake / file).stat().st_size for file in files)
    done = 0
    for file in files:
        done += into.put(lake / file, f"lake/{file}").bytes
        progress(done, total)


def _take_settings(into: BackupFolder, settings: Settings) -> None:
    for name in KEPT_SETTINGS:
        file = settings.home / name
        if not file.is_file():
            continue
        content = file.read_bytes()
        if name == KEPT_SETTINGS[0]:
            values = tomllib.loads(content.decode("utf-8"))
            if SECRET_SETTINGS & values.keys():
                content = tomli_w.dumps({key: value for key, value in values.items() if key not in SECRET_SETTINGS}).encode()
        into.write(name, content)


@dataclass(frozen=True)
class LastBackup:
    """What an instance remembers of its last backup."""

    at: datetime
    folder: str
    hash: str
    bytes: int


def remember(settings: Settings, made: MadeBackup, folder: Path) -> None:
    """Keep it for the doctor; in the ledger it stands anyway."""
    body = {"at": made.manifest.made_at.isoformat(), "folder": str(folder), "manifest": made.hash, "bytes": made.manifest.size}
    beside = settings.home / f".{LAST}.{os.getpid()}"
    beside.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", "utf-8")
    beside.chmod(0o600)
    beside.replace(settings.home / LAST)


def last_backup(settings: Settings) -> LastBackup | None:
    """The last backup that was made of the instance; None if none was, or nothing readable tells of it."""
    try:
        told = json.loads((settings.home / LAST).read_text("utf-8"))
        at = datetime.fromisoformat(told["at"]).astimezone(UTC)
        return LastBackup(at, str(told["folder"]), str(told["manifest"]), int(told["bytes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
