"""A backup is looked at, and becomes an instance: nothing is taken over that its signed list does not vouch for."""

import contextlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from huitong.backing import BEING_RESTORED
from huitong.backing.folder import alone_in, copy_out, faults_of_files, hash_file, refuse_faults
from huitong.backing.manifest import (
    POSTGRESQL,
    SQLITE,
    Manifest,
    keys_of_lines,
    manifest_hash,
    read_folder,
    signer,
)
from huitong.backing.sealing import put_keys
from huitong.errors import Conflict, InputInvalid, Reason
from huitong.keystore import KEY_NAMES, LATER_KEYS, FileKeyStore
from huitong.lake.rejects import FOLDER as REJECTS
from huitong.lake.tables import make_last
from huitong.ledger.audit import AuditReport, audit
from huitong.ledger.cross_check import cross_check
from huitong.ledger.keys import key_name, keys_of
from huitong.ledger.note import instant_text, verifier_key
from huitong.ledger.verify import VerifierKey
from huitong.ledger.witness import KEPT_CHECKPOINT
from huitong.portal.backing.databases import SQLITE_FILE, TABLES
from huitong.settings import Settings, read_settings

MAY_BE_THERE = frozenset({BEING_RESTORED, "keys", "huitong.toml"})
"""What may lie in the folder before: the operator's settings for the new place, and keys that were restored on their own."""
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Looked:
    """What a look at a backup found."""

    manifest: Manifest
    hash: str
    key: str | None
    """The verifier key that signed its list; None if no trusted one did."""
    faults: tuple[Reason, ...]
    ledger: AuditReport | None = None


def look_at(folder: Path, *, trusted: Sequence[VerifierKey] | None, progress: Report) -> Looked:
    """Every file against the list and the list against its signature, by a trusted key; without one, by the key that the list names
    itself, which shows that it is whole but not from whom it comes.

    Raises InputInvalid `backup-not-whole`, `backup-list-invalid`, `backup-path-invalid`."""
    manifest, written, note = read_folder(folder)
    keys = keys_of_lines(manifest.ledger.keys) if trusted is None else tuple(trusted)
    key = signer(note, written, keys, at=instant_text(manifest.made_at), origin=manifest.origin)
    faults = [] if key is not None else [Reason("backup-signature-broken")]
    faults += faults_of_files(folder, manifest, progress=progress)
    return Looked(manifest, manifest_hash(written), None if key is None else key.text, tuple(faults))


def audit_of(folder: Path, looked: Looked, *, progress: Report, trusted: Sequence[VerifierKey] | None) -> AuditReport:
    """The audit of the ledger in a backup, over a copy of its database in a passing folder; for SQLite also of its other tables.

    This process serves that copy afterwards: nothing else can be asked of it."""
    from huitong.portal.wiring import migrate, start_django

    manifest = looked.manifest
    with tempfile.TemporaryDirectory(prefix="huitong-verify-") as passing:
        home = Path(passing)
        settings = Settings(home=home, name=manifest.origin)
        if manifest.database.kind == SQLITE:
            shutil.copyfile(folder / SQLITE_FILE, home / SQLITE_FILE)
            migrate(settings)
        else:
            start_django(settings)
        from django.db import connections

        from huitong.portal.backing.databases import load_ledger
        from huitong.portal.stores import Stores

        try:
            if manifest.database.kind == POSTGRESQL:
                load_ledger(folder)
            stores: Any = Stores()
            vkeys = list(manifest.ledger.keys) if trusted is None else [key.line for key in trusted]
            report = audit(stores.ledger, vkeys, progress=progress, kept=[manifest.ledger.checkpoint], of_instance=True)
            if manifest.database.kind == SQLITE:
                report = replace(report, faults=(*report.faults, *cross_check(stores.ledger, stores.records)))
            if report.size != manifest.ledger.size:
                differs = Reason("backup-ledger-differs", {"size": report.size, "told": manifest.ledger.size})
                report = replace(report, faults=(*report.faults, differs))
            return report
        finally:
            connections.close_all()


# --- an instance from a backup ------------------------------------------------------------------------------------------------


def settings_of(home: Path, folder: Path, *, database: str | None) -> Settings:
    """The settings that the restored instance will have: the operator's own file in `home` if there is one, else that of the backup."""
    own = read_settings(home=home)
    if not (home / "huitong.toml").is_file() and (folder / "huitong.toml").is_file():
        own = replace(read_settings(home=folder), home=home.absolute())
    return replace(own, database_url=database) if database is not None else own


@contextlib.contextmanager
def empty_home(home: Path) -> Iterator[None]:
    """The folder of the new instance, with its marker, for this process alone. If the block fails, what it made is removed again.

    Raises Conflict `restore-home-not-empty`, `restore-running`; InputInvalid `backup-folder-unwritable`."""
    marker = home / BEING_RESTORED
    interrupted = marker.exists()
    if home.exists() and not interrupted and (not home.is_dir() or any(one.name not in MAY_BE_THERE for one in home.iterdir())):
        raise Conflict.because("restore-home-not-empty", folder=home.name)
    with alone_in(home, BEING_RESTORED, busy="restore-running") as handle:
        there = {one.name for one in home.iterdir()} & (MAY_BE_THERE - {BEING_RESTORED})
        if interrupted:
            kept = (os.pread(handle, 1000, 0).decode("utf-8", "replace")).split("\n")
            there &= set(kept)
            _clear(home, there)
        else:
            os.pwrite(handle, "\n".join(sorted(there)).encode(), 0)
        try:
            yield
        except BaseException:
            _clear(home, there)
            marker.unlink()
            raise
        marker.unlink()
        make_last(home)


def _clear(home: Path, there: Collection[str]) -> None:
    """Remove what a restore made: all but what was there before it, and the marker."""
    for one in home.iterdir():
        if one.name in there or one.name == BEING_RESTORED:
            continue
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()


def put_back(
    folder: Path, looked: Looked, settings: Settings, *, keys: dict[str, bytes] | None, given_url: bool, progress: Report
) -> None:
    """Put files, settings, keys and the database in place, each compared with the list while it is written and once more afterwards.

    Raises InputInvalid `restore-name-differs`, `restore-database-kind`, `restore-later-version`, `restore-key-differs`, what `copy_out`
    raises; Conflict `restore-database-in-use`, `keys-there`; NotFound `key-missing`."""
    manifest, home = looked.manifest, settings.home
    if settings.name != manifest.origin:
        raise InputInvalid.because("restore-name-differs", backup=manifest.origin, here=settings.name)
    kind = POSTGRESQL if settings.database.startswith(("postgresql:", "postgres:")) else SQLITE
    if kind != manifest.database.kind:
        raise InputInvalid.because("restore-database-kind", backup=manifest.database.kind, here=kind)
    if keys is not None:
        put_keys(keys, settings.keys)
    refuse_foreign_keys(settings, looked)
    for folder_of_own in (settings.lake, settings.run):
        folder_of_own.mkdir(mode=0o700, exist_ok=True)
    total, done = manifest.size, 0
    placed: list[tuple[str, Path]] = []
    for file in manifest.files:
        target = _place(home, file.path)
        if target is None or (file.path == "huitong.toml" and target.exists()):
            continue
        mode = 0o644 if file.path.startswith("lake/") and f"/{REJECTS}/" not in file.path else 0o600
        copy_out(folder, file, target, mode=mode)
        placed.append((file.path, target))
        done += file.bytes
        progress(done, total)
    for part in ("tables", "names", "locks"):
        (settings.lake / part).mkdir(exist_ok=True)
    _fill_database(folder, manifest, settings, progress)
    (home / KEPT_CHECKPOINT).write_text(manifest.ledger.checkpoint, "utf-8")
    (home / KEPT_CHECKPOINT).chmod(0o600)
    again = {path: target for path, target in placed if path != SQLITE_FILE}
    refuse_faults(_faults_at(manifest, again))
    if given_url:
        _write_url(home, settings.database_url)


def _place(home: Path, path: str) -> Path | None:
    """Where a file of a backup goes; None for the tables of PostgreSQL, which go into the database. Raises InputInvalid
    `backup-path-invalid` for what belongs to no instance: a list may be signed and still not be believed to name `keys/`."""
    if path.startswith(f"{TABLES}/"):
        return None
    if path.startswith("lake/") or path in (SQLITE_FILE, "huitong.toml", "grading.toml"):
        return home / path
    raise InputInvalid.because("backup-path-invalid", path=path[:200])


def _faults_at(manifest: Manifest, places: dict[str, Path]) -> list[Reason]:
    found = {file.path: (file.bytes, file.sha256) for file in manifest.files}
    return [Reason("backup-file-changed", {"path": path}) for path, place in places.items() if hash_file(place) != found[path]]


def refuse_foreign_keys(settings: Settings, looked: Looked) -> None:
    """Raises InputInvalid `restore-key-differs` unless the key that signed the list is one of the ledger's keys in the key store."""
    store, own = FileKeyStore(settings.keys), set()
    names = [key_name(number) for number in range(1, len(looked.manifest.ledger.keys) + 1)]
    for name in names:
        if (settings.keys / f"{name}.key").exists():
            own.add(verifier_key(looked.manifest.origin, store.verify_key(name)).text)
    for name in KEY_NAMES:
        if name not in LATER_KEYS:
            store.secret(name)
    if looked.key not in own or len(own) != len(names):
        raise InputInvalid.because("restore-key-differs")


def _write_url(home: Path, url: str) -> None:
    file = home / "huitong.toml"
    values = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    beside = home / f".huitong.toml.{os.getpid()}"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as written:
        written.write(tomli_w.dumps({**values, "database_url": url}))
    beside.replace(file)


def _fill_database(folder: Path, manifest: Manifest, settings: Settings, progress: Report) -> None:
    from huitong.portal.wiring import start_django

    start_django(settings)
    from django.db import connection

    from huitong.portal.backing.databases import bring_up_to_date, counted, load_postgresql, migrate_to, unknown_migrations

    if later := unknown_migrations(manifest.database.migrations):
        raise InputInvalid.because("restore-later-version", version=manifest.huitong, migration=later[0])
    if manifest.database.kind == POSTGRESQL:
        if connection.introspection.table_names():
            raise Conflict.because("restore-database-in-use")
        migrate_to(manifest.database.migrations)
        load_postgresql(folder, manifest.database, progress=progress)
    found = counted()
    if found != dict(manifest.database.rows):
        different = sorted(name for name in {*found, *manifest.database.rows} if found.get(name) != manifest.database.rows.get(name))
        raise InputInvalid.because("backup-tables-differ", tables=", ".join(different)[:400])
    bring_up_to_date()


def trusted_keys(lines: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Keys that the caller trusts. Raises InputInvalid `ledger-key-invalid`."""
    return keys_of(list(lines))
