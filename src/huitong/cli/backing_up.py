"""Backup and restore, by the operator who owns the machine: the instance, apart from it its keys, and a look at what was backed up."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.exits import Exit
from huitong.cli.inside import existing, open_as_operator, open_inside, quiet, record, settings_here
from huitong.cli.language import words
from huitong.cli.output import remark, show_one
from huitong.cli.profile import write_private
from huitong.cli.progress import Report, counting
from huitong.cli.proving import key_lines, operator_option, read_text
from huitong.errors import InputInvalid, LedgerBroken, NotFound

RESTORED = "restored-from.json"
"""In the instance's folder until the operator removes it: the doctor reminds of what a backup does not know."""
MOST_PASSPHRASE_BYTES = 4096


class _WithMain(Group):
    """A group that is a command too: what is none of its commands belongs to `primary`."""

    primary = ""

    def __init__(self, *arguments: Any, primary: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.primary = primary
        self.context_settings = {**self.context_settings, "ignore_unknown_options": True}

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.list_commands(ctx):
            return super().resolve_command(ctx, args)
        return self.primary, self.get_command(ctx, self.primary), args


backup = _WithMain("backup", primary="make", no_args_is_help=True)
restore = _WithMain("restore", primary="instance", no_args_is_help=True)
folder_argument = click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
passphrase_file = click.option("--passphrase-file", metavar="FILE", type=click.Path(path_type=Path))
passphrase_descriptor = click.option("--passphrase-fd", metavar="NUMBER", type=click.IntRange(0))
log_key_option = click.option("--log-key", "log_key", metavar="FILE", type=click.Path(path_type=Path))


@backup.command("make")
@operator_option
@click.option("--to", "to", metavar="FOLDER", required=True, type=click.Path(path_type=Path))
@click.option("--earlier", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--copy", "only_copies", is_flag=True)
def backup_make(operator: str, to: Path, earlier: Path | None, only_copies: bool) -> None:
    """A consistent copy of the instance, while it serves."""
    from huitong.model.ledger import EntryKind
    from huitong.portal.backing.making import Progress, make_backup, remember
    from huitong.portal.wiring import wall_clock

    with open_as_operator(operator, action="backup") as inside:
        inside.fold_all()
        with counting(words("backup-database")) as database, _megabytes(words("backup-files")) as files:
            made = make_backup(
                inside.settings,
                inside.stores.ledger,
                to,
                operator=operator,
                clock=wall_clock,
                link=not only_copies,
                earlier=earlier,
                progress=Progress(database, files),
            )
        ledger = made.manifest.ledger
        body = {"act": "backup-made", "backup": made.hash, "size": ledger.size, "root": ledger.root, **inside.acting(operator)}
        with inside.stores.atomic():
            inside.ledger.append(kind=EntryKind.OPERATOR_ACTION, body=body)
        remember(inside.settings, made, to.absolute())
    told = {**_told(made.manifest, made.hash), "linked": made.linked}
    show_one(list(told.items()), raw={**told, "folder": str(to)})
    remark(words("backup-without-keys"))


@backup.command("verify")
@folder_argument
@log_key_option
@click.option("--files-only", is_flag=True)
def backup_verify(folder: Path, log_key: Path | None, files_only: bool) -> int:
    """Every file against the list, the list against its signature, and the ledger in it. Exit code 9 if anything does not fit."""
    from huitong.portal.backing.restoring import audit_of, look_at, trusted_keys

    trusted = trusted_keys(key_lines(read_text(log_key))) if log_key else None
    with _megabytes(words("backup-checking")) as progress:
        looked = look_at(folder, trusted=trusted, progress=progress)
    faults = list(looked.faults)
    audited = False
    if not faults and not files_only:
        quiet()
        with counting(words("auditing")) as progress:
            report = audit_of(folder, looked, progress=progress, trusted=trusted)
        faults += report.faults
        audited = True
    told = {**_told(looked.manifest, looked.hash), "ok": not faults, "audited": audited, "log_key": looked.key}
    shown = [(name, value) for name, value in told.items() if name != "ok"]
    show_one(shown, raw={**told, "faults": [words.reason(fault) for fault in faults]})
    for fault in faults:
        remark(f"  - {words.reason(fault)}")
    remark(words("backup-broken" if faults else "backup-whole" if audited else "backup-files-whole"))
    if looked.key and trusted is None:
        remark(words("backup-key-own", key=looked.key))
    return Exit.LEDGER_BROKEN if faults else Exit.OK


@backup.command("keys")
@operator_option
@click.option("--to", "to", metavar="FILE", required=True, type=click.Path(dir_okay=False, path_type=Path))
@passphrase_file
@passphrase_descriptor
def backup_keys(operator: str, to: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """The keys of the instance in one sealed file, apart from every other backup."""
    from huitong.backing.sealing import check_passphrase, read_keys, seal_keys

    settings = existing(settings_here())
    if to.exists():
        raise InputInvalid.because("backup-keys-exist", file=to.name)
    passphrase = _passphrase(passphrase_file, passphrase_fd, twice=True)
    check_passphrase(passphrase)
    with open_as_operator(operator, action="backup-keys", settings=settings):
        keys = read_keys(settings.keys)
        sealed = seal_keys(keys, passphrase=passphrase, origin=settings.name)
        try:
            write_private(to, sealed.decode())
        except OSError:
            raise InputInvalid.because("cli-file-unwritable", file=str(to)) from None
    show_one([("keys", len(keys)), ("file", str(to))], raw={"keys": sorted(keys), "file": str(to)})
    remark(words("backup-keys-apart"))


@restore.command("instance")
@folder_argument
@operator_option
@click.option("--database", metavar="URL")
@click.option("--keys", "keys_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_file
@passphrase_descriptor
def restore_instance(
    folder: Path, operator: str, database: str | None, keys_file: Path | None, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """An instance from a backup, in an empty folder."""
    from huitong.backing.folder import refuse_faults
    from huitong.model.ledger import EntryKind
    from huitong.portal.backing.restoring import empty_home, look_at, put_back, settings_of

    home = settings_here().home
    keys = _opened(keys_file, passphrase_file, passphrase_fd)[1] if keys_file else None
    if keys is None and not (home / "keys").is_dir():
        raise NotFound.because("restore-keys-missing")
    with _megabytes(words("backup-checking")) as progress:
        looked = look_at(folder, trusted=None, progress=progress)
    refuse_faults(list(looked.faults))
    manifest = looked.manifest
    quiet()
    with empty_home(home):
        settings = settings_of(home, folder, database=database)
        with _megabytes(words("restoring")) as progress:
            put_back(folder, looked, settings, keys=keys, given_url=database is not None, progress=progress)
        inside = open_inside(settings)
        record(inside, operator, "restore")
        body = {
            "act": "restored", "backup": looked.hash, "size": manifest.ledger.size, "root": manifest.ledger.root,
            **inside.acting(operator),
        }  # fmt: skip
        with inside.stores.atomic():
            inside.ledger.append(kind=EntryKind.OPERATOR_ACTION, body=body)
        inside.fold_all()
        with counting(words("auditing")) as progress:
            report = inside.audit(list(inside.ledger.vkeys()), progress)
        if not report.ok:
            raise LedgerBroken(*report.faults)
        told = _told(manifest, looked.hash)
        write_private(home / RESTORED, json.dumps({**told, "folder": str(folder)}, ensure_ascii=False, indent=1) + "\n")
        from django.db import connections

        connections.close_all()
    show_one(list(told.items()), raw={**told, "home": str(home)})
    remark(words("restored", folder=str(home), at=told["made_at"]))
    remark(words("restored-forgets", at=told["made_at"]))


@restore.command("keys")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_file
@passphrase_descriptor
def restore_keys(file: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """The keys of a sealed file, into a folder of an instance that has none."""
    from huitong.backing.sealing import put_keys

    settings = settings_here()
    origin, keys = _opened(file, passphrase_file, passphrase_fd)
    put_keys(keys, settings.keys)
    show_one([("keys", len(keys)), ("origin", origin)], raw={"keys": sorted(keys), "origin": origin})


def _opened(file: Path, passphrase_file: Path | None, descriptor: int | None) -> tuple[str, dict[str, bytes]]:
    from huitong.backing.sealing import LIMITS, open_keys

    try:
        with file.open("rb") as sealed:
            written = sealed.read(LIMITS["keys"]["most_bytes"] + 1)
    except OSError:
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    return open_keys(written, passphrase=_passphrase(passphrase_file, descriptor, twice=False))


def _passphrase(file: Path | None, descriptor: int | None, *, twice: bool) -> str:
    """From a file, a file descriptor or the terminal; never an argument, which every account of the machine could read."""
    if file is not None and descriptor is not None:
        raise InputInvalid.because("passphrase-twice")
    if file is not None:
        written = read_text(file)
    elif descriptor is not None:
        try:
            with os.fdopen(os.dup(descriptor), "rb") as opened:
                written = opened.read(MOST_PASSPHRASE_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError):
            raise InputInvalid.because("cli-file-unreadable", file=f"fd {descriptor}") from None
    elif sys.stdin.isatty():
        again = words("passphrase-again") if twice else False
        return str(click.prompt(words("passphrase"), hide_input=True, confirmation_prompt=again, err=True))
    else:
        raise InputInvalid.because("passphrase-missing")
    return written.removesuffix("\n").removesuffix("\r")


def _told(manifest: Any, hashed: str) -> dict[str, Any]:
    """What is said of a backup."""
    return {
        "backup": hashed,
        "origin": manifest.origin,
        "made_at": manifest.made_at.isoformat(timespec="seconds"),
        "database": manifest.database.kind,
        "files": len(manifest.files),
        "bytes": manifest.size,
        "rows": sum(manifest.database.rows.values()),
        "size": manifest.ledger.size,
        "root": manifest.ledger.root,
        "pending": manifest.ledger.pending,
    }


@contextmanager
def _megabytes(title: str) -> Iterator[Report]:
    """A bar that counts in megabytes what is told in bytes."""
    with counting(title) as report:
        yield lambda done, total: report(done >> 20, None if total is None else max(total >> 20, 1))
