"""Making an instance, and showing its settings."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from huitong.cli.base import command
from huitong.cli.inside import MARKER, Inside, open_inside, settings_here
from huitong.cli.language import words
from huitong.cli.output import remark, show_rows
from huitong.cli.profile import write_private
from huitong.errors import Conflict, HuitongError, InputInvalid
from huitong.settings import Settings

if TYPE_CHECKING:
    from huitong.model.party import Office

OPERATOR_TOKEN = "operator.token"  # noqa: S105 (the name of a file)
ALLOWED_BEFORE = frozenset({"huitong.toml", MARKER})
"""What may lie in the folder before."""


@dataclass(frozen=True)
class Made:
    """What came of making an instance."""

    resumed: bool
    token: str
    """Of the operator."""


@command("init")
@click.option("--operator", metavar="ACCOUNT", default="operator")
@click.option("--office", metavar="OFFICE", default="operations")
@click.option("--office-title", metavar="ZH/EN", default="系统运维/System operations")
@click.option("--office-division", metavar="CODE", default="520000000000")
@click.option("--office-credit-code", metavar="CODE")
def init(operator: str, office: str, office_title: str, office_division: str, office_credit_code: str | None) -> None:
    settings = settings_here()
    made = make_instance(
        settings,
        operator=operator,
        operator_name=operator,
        office=_office(office, office_title, office_division, office_credit_code),
    )
    click.echo(words("finished-instance" if made.resumed else "made-instance", folder=str(settings.home)))
    file = settings.home / OPERATOR_TOKEN
    click.echo(words("operator-token", account=operator, office=office, file=str(file)))
    click.echo(made.token)
    remark(words("init-next", folder=str(settings.home)))


def make_instance(settings: Settings, *, operator: str, operator_name: str, office: "Office") -> Made:
    """Every step may be repeated, and the marker goes last: an interrupted call is finished by the next one."""
    if settings.database_url and not (settings.home / MARKER).exists():
        _refuse_filled_database(settings)
    with _being_made(settings) as resumed:
        _make_keys(settings)
        for folder in (settings.lake, settings.run):
            folder.mkdir(mode=0o700, exist_ok=True)
        from huitong.portal.wiring import migrate

        migrate(settings)
        inside = open_inside(settings)
        _refuse_foreign_database(inside, resumed=resumed)
        token = _fill(inside, operator=operator, operator_name=operator_name, office=office)
        inside.platform.sequencer.fold_all()
        write_private(settings.home / OPERATOR_TOKEN, token + "\n")
    return Made(resumed, token)


@contextmanager
def _being_made(settings: Settings) -> Iterator[bool]:
    """The folder with its marker and a lock on it; the marker goes when the block has succeeded."""
    home, marker = settings.home, settings.home / MARKER
    resumed = marker.exists()
    if not resumed and home.exists():
        if settings.keys.exists() or (home / "control.sqlite3").exists():
            raise Conflict.because("cli-instance-exists", folder=str(home))
        if not home.is_dir() or any(entry.name not in ALLOWED_BEFORE for entry in home.iterdir()):
            raise Conflict.because("cli-folder-not-empty", folder=str(home))
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(home)) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict.because("cli-init-running", folder=str(home)) from None
        yield resumed
        marker.unlink()
    finally:
        os.close(handle)


def _make_keys(settings: Settings) -> None:
    """The keys that are missing. One that was interrupted while it was written is made anew: nothing was signed with it."""
    from huitong.keystore import KEY_NAMES, FileKeyStore

    store = FileKeyStore(settings.keys)
    for name in KEY_NAMES:
        file = settings.keys / f"{name}.key"
        if file.exists() and file.stat().st_size < 64:
            file.unlink()
        if not file.exists():
            store.create([name])


def _refuse_filled_database(settings: Settings) -> None:
    """Looked at before anything is made or migrated: the wrong URL must not touch another instance's tables."""
    from huitong.portal.wiring import start_django

    start_django(settings)
    from django.db import connection

    if connection.introspection.table_names():
        raise Conflict.because("cli-database-in-use")


def _refuse_foreign_database(inside: Inside, *, resumed: bool) -> None:
    """A database that holds entries of another ledger key, or of a finished instance, is not ours to fill."""
    ledger = inside.stores.ledger
    if ledger.last_instant() is None:
        return
    first = ledger.entry(0) if ledger.size() else ledger.pending(1)[0]
    if not resumed or first.key_id != inside.ledger.vkey().split("+")[1]:
        raise Conflict.because("cli-database-in-use")


def _fill(inside: Inside, *, operator: str, operator_name: str, office: "Office") -> str:
    """Divisions, the first entry of the ledger, the operator's office and account; a token of that account."""
    from huitong.catalog.divisions import load_divisions
    from huitong.keystore import FileKeyStore
    from huitong.model.ledger import EntryKind
    from huitong.model.party import Role
    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.wiring import wall_clock

    stores = inside.stores
    by = instance_operator(operator)
    if stores.ledger.last_instant() is None:
        tree = load_divisions()
        divisions = list(tree.every())
        with stores.atomic():
            stores.divisions.put_divisions(divisions)
            body = {"name": inside.settings.name, "log_key": inside.ledger.vkey(), "divisions": len(divisions), "by": operator}
            inside.ledger.append(kind=EntryKind.INSTANCE_CREATED, body=body)
    accounts = Accounts(stores, inside.ledger, FileKeyStore(inside.settings.keys), wall_clock)
    if not stores.parties.actors_of(operator):
        with stores.atomic():
            accounts.register_offices([office], by=by)
            person = NewPerson(operator, operator_name, office.id, frozenset({Role.OPERATOR}))
            accounts.register_people([person], by=by)
    (actor, *_) = stores.parties.actors_of(operator)
    return accounts.issue_token(actor.post, by=by, label="init").text


def _office(identifier: str, title: str, division: str, credit_code: str | None) -> "Office":
    from huitong.catalog.divisions import load_divisions
    from huitong.errors import NotFound
    from huitong.model.codes import credit_code_check_character, is_credit_code
    from huitong.model.party import Office
    from huitong.model.text import BilingualText

    place = load_divisions().get(division)
    if place is None:
        raise NotFound.because("cli-division-unknown", division=division)
    if credit_code is None:
        # 99 is no province: a code that is well formed and cannot be a real body's
        seventeen = f"1199{division[2:6]}000000000"
        credit_code = seventeen + credit_code_check_character(seventeen)
    if not is_credit_code(credit_code):
        raise InputInvalid.because("cli-credit-code-wrong")
    zh, _, en = title.partition("/")
    return Office(identifier, BilingualText(zh=zh.strip(), en=(en or zh).strip()), division, place.level, credit_code)


# --- settings ---------------------------------------------------------------------------------------------------------------


@command("settings")
def settings() -> None:
    """Every setting, its value and where it came from."""
    from dataclasses import fields

    found = settings_here()
    rows = [
        {"setting": name, "value": _shown(name, getattr(found, name)), "origin": found.origins.get(name, "")}
        for name in (field.name for field in fields(found))
        if name != "origins"
    ]
    columns = [(key, lambda row, key=key: row[key]) for key in ("setting", "value", "origin")]
    show_rows(columns, rows, raw={row["setting"]: {"value": row["value"], "origin": row["origin"]} for row in rows})


def _shown(name: str, value: object) -> str:
    """A database URL without its password."""
    from urllib.parse import urlsplit

    written = str(value)
    if name == "database_url" and written:
        try:
            password = urlsplit(written).password
        except ValueError:
            return "?"
        return written.replace(f":{password}@", ":***@") if password else written
    return written


def reasons_of(error: HuitongError) -> Sequence[str]:
    """The sentences of an error in the reader's language."""
    return [words.reason(reason) for reason in error.reasons]
