"""The doctor: looks at everything an instance needs and says what to do about what is wrong."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import command, surroundings
from huitong.cli.exits import Exit
from huitong.cli.inside import Inside, existing, open_inside, record, settings_here
from huitong.cli.language import words
from huitong.cli.output import show_json, show_table, shown_to_programs
from huitong.cli.proving import operator_option
from huitong.errors import HuitongError, LedgerBroken, Unavailable
from huitong.settings import Settings

FREE_MEGABYTES = 1024
"""Below so much free disk the doctor warns."""
STATIC_FILES = ("huitong/huitong.css", "huitong/huitong.js", "huitong/mark.svg")


class State(StrEnum):
    """What came of one check."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One check, what was found, and what to do now."""

    check: str
    state: State
    detail: str
    now: str = ""


def look(settings: Settings, operator: str) -> list[Finding]:
    """All checks. One that cannot be made because an earlier one failed is left out."""
    findings = [_settings(settings), *_folders(settings)]
    findings.append(_disk(settings))
    findings += _backup(settings)
    inside, database = _database(settings)
    findings.append(database)
    if inside is not None:
        findings.append(_migrations())
        if findings[-1].state is State.OK:
            with suppress(HuitongError):
                record(inside, operator, "doctor")
            findings += [_divisions(), *_ledger(inside, settings), *_outside(inside, settings)]
            inside.fold_all()
        findings.append(_static())
        findings += _notices(settings)
    findings += _engine(settings)
    return findings


def _settings(settings: Settings) -> Finding:
    said = [f"{name}={origin}" for name, origin in settings.origins.items() if origin != "default"]
    return Finding("settings", State.OK, ", ".join(said) or words("doctor-defaults"))


def _folders(settings: Settings) -> list[Finding]:
    from huitong.keystore import KEY_NAMES, LATER_KEYS, FileKeyStore

    findings = []
    open_ones = [path for path in (settings.keys, *settings.keys.glob("*.key")) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    store = FileKeyStore(settings.keys)
    try:
        there = [name for name in KEY_NAMES if name not in LATER_KEYS or (settings.keys / f"{name}.key").exists()]
        for name in there:
            store.secret(name)
        findings.append(Finding("keys", State.OK, words("doctor-keys", count=len(there))))
    except HuitongError as error:
        now = words("doctor-keys-chmod", folder=str(settings.keys)) if open_ones else words("doctor-keys-restore")
        findings.append(Finding("keys", State.WRONG, words.reason(error.reasons[0]), now))
    for name, folder in (("lake", settings.lake), ("run", settings.run)):
        usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
        detail = str(folder) if usable else words("doctor-folder-unusable", folder=str(folder))
        findings.append(Finding(name, State.OK if usable else State.WRONG, detail, "" if usable else words("doctor-folder-now")))
    return findings


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.home).free >> 20
    enough = free >= FREE_MEGABYTES
    detail = words("doctor-disk", megabytes=f"{free:,}")
    return Finding("disk", State.OK if enough else State.WARNING, detail, "" if enough else words("doctor-disk-now"))


def _backup(settings: Settings) -> list[Finding]:
    """When the last backup was; and, in an instance that was restored, that what came after its backup is unknown."""
    from huitong.cli.backing_up import RESTORED
    from huitong.portal.backing.making import last_backup
    from huitong.portal.wiring import wall_clock

    last = last_backup(settings)
    if last is None:
        findings = [Finding("backup", State.WARNING, words("doctor-backup-never"), words("doctor-backup-now"))]
    else:
        late = (wall_clock() - last.at).total_seconds() > settings.backup_alarm_seconds
        detail = words("doctor-backup", at=f"{last.at:%Y-%m-%d %H:%M}", folder=last.folder, megabytes=f"{last.bytes >> 20:,}")
        findings = [Finding("backup", State.WARNING if late else State.OK, detail, words("doctor-backup-now") if late else "")]
    file = settings.home / RESTORED
    if file.is_file():
        with suppress(OSError, ValueError, KeyError, TypeError):
            at = str(json.loads(file.read_text("utf-8"))["made_at"])
            now = words("doctor-restored-now", file=str(file))
            findings.append(Finding("restored", State.WARNING, words("restored-forgets", at=at), now))
    return findings


def _database(settings: Settings) -> tuple[Inside | None, Finding]:
    from django.db import Error, connection

    kind = "PostgreSQL" if settings.database_url else "SQLite"
    try:
        inside = open_inside(settings)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return inside, Finding("database", State.OK, kind)
    except HuitongError as error:
        return None, Finding("database", State.WRONG, words.reason(error.reasons[0]), words("doctor-database-now"))
    except Error as error:
        detail = words("doctor-database", kind=kind, error=type(error).__name__)
        return None, Finding("database", State.WRONG, detail, words("doctor-database-now"))


def _migrations() -> Finding:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return Finding("migrations", State.WRONG, words("doctor-migrations", count=len(missing)), words("doctor-migrations-now"))
    return Finding("migrations", State.OK, words("doctor-migrations-done"))


def _divisions() -> Finding:
    from huitong.portal.accounts.models import Division

    past = Division.objects.filter(valid_to__lte=datetime.now(UTC).date()).count()
    count = Division.objects.count() - past
    state = State.OK if count else State.WRONG
    now = "" if count else words("doctor-divisions-now")
    return Finding("divisions", state, words("doctor-divisions", count=f"{count:,}", past=past), now)


def _ledger(inside: Inside, settings: Settings) -> list[Finding]:
    from huitong.ledger.keys import keys_of
    from huitong.ledger.note import check_checkpoint

    findings = []
    status = inside.ledger.status()
    waited = status.oldest_pending_seconds or 0
    detail = words("doctor-ledger", size=status.size, pending=status.pending, seconds=int(waited))
    if status.stopped or status.alarm:
        limit = settings.ledger_stop_seconds if status.stopped else settings.ledger_alarm_seconds
        state = State.WRONG if status.stopped else State.WARNING
        findings.append(Finding("ledger", state, detail, words("doctor-ledger-now", limit=limit)))
    else:
        findings.append(Finding("ledger", State.OK, detail))
    checkpoint = inside.stores.ledger.latest_checkpoint()
    if checkpoint is not None:
        try:
            check_checkpoint(checkpoint, keys_of(inside.ledger.vkeys()))
            detail = words("doctor-checkpoint", size=checkpoint.size, at=f"{checkpoint.at:%Y-%m-%d %H:%M}")
            findings.append(Finding("checkpoint", State.OK, detail))
        except LedgerBroken:
            findings.append(Finding("checkpoint", State.WRONG, words("doctor-checkpoint-wrong"), words("doctor-checkpoint-now")))
    last = inside.stores.ledger.last_instant()
    from huitong.portal.wiring import wall_clock

    if last is not None and wall_clock() < last:
        detail = words("doctor-clock", last=f"{last:%Y-%m-%d %H:%M:%S}")
        findings.append(Finding("clock", State.WRONG, detail, words("doctor-clock-now")))
    else:
        findings.append(Finding("clock", State.OK, words("doctor-clock-right")))
    return findings


def _outside(inside: Inside, settings: Settings) -> list[Finding]:
    """Who looks at the ledger from outside: witnesses that fell silent, time stamps that are late. Neither stops the work."""
    from huitong.ledger.stamping import certificates_of, refuse_without_library

    findings = [
        Finding("witness", State.WARNING, words("witness-silent", witness=key.name), words("doctor-witness-now"))
        for key in inside.silent_witnesses()
    ]
    folder = Path(settings.ledger_stamp_certificates) if settings.ledger_stamp_certificates else None
    for name, last, age, late in inside.stamp_ages():
        try:
            refuse_without_library()
            certificates_of(name, folder)
        except HuitongError as error:
            findings.append(Finding("stamps", State.WARNING, words.reason(error.reasons[0]), words("doctor-stamps-set")))
            continue
        if last is None or late:
            findings.append(Finding("stamps", State.WARNING, words("stamp-late", service=name), words("doctor-stamps-now")))
        else:
            findings.append(Finding("stamps", State.OK, words("doctor-stamps", service=name, size=last.size, seconds=age or 0)))
    return findings


def _static() -> Finding:
    from django.contrib.staticfiles import finders

    missing = [name for name in STATIC_FILES if finders.find(name) is None]
    if missing:
        return Finding("pages", State.WRONG, words("doctor-static", files=", ".join(missing)), words("doctor-static-now"))
    return Finding("pages", State.OK, words("doctor-static-there"))


def _notices(settings: Settings) -> list[Finding]:
    """Whether notices can leave: by which mail server, and to which hosts."""
    from huitong.keystore import FileKeyStore
    from huitong.portal.notices.mail import PASSWORD, MailServer
    from huitong.portal.notices.receivers import WebhookHosts

    try:
        hosts = WebhookHosts.read(settings.webhook_hosts).hosts.servers
        findings = [Finding("webhooks", State.OK, words("doctor-webhooks", count=len(hosts)))]
    except HuitongError as error:
        findings = [Finding("webhooks", State.WRONG, words.reason(error.reasons[0]), words("doctor-webhooks-now"))]
    try:
        server = MailServer.of(settings)
    except HuitongError as error:
        return [*findings, Finding("mail", State.WRONG, words.reason(error.reasons[0]), words("doctor-mail-now"))]
    if server is None:
        return [*findings, Finding("mail", State.OK, words("doctor-mail-off"))]
    if server.user:
        try:
            FileKeyStore(settings.keys).sealed(PASSWORD)
        except HuitongError as error:
            return [*findings, Finding("mail", State.WRONG, words.reason(error.reasons[0]), words("doctor-mail-password-now"))]
    detail = words("doctor-mail", server=f"{server.host}:{server.port}", domains=", ".join(sorted(server.domains)))
    return [*findings, Finding("mail", State.OK, detail)]


def _engine(settings: Settings) -> list[Finding]:
    """The running broker's own report; else a broker of our own, whose probes run at its start. Where queries run on a cluster, also
    whether it answers."""
    from huitong.engines.broker import start_broker
    from huitong.engines.client import EngineClient

    report: dict[str, Any] | None = None
    with suppress(Unavailable):
        report = dict(EngineClient(settings.engine_socket).status())
    served = report is not None
    findings: list[Finding] = []
    try:
        with ExitStack() as opened:
            if report is None:
                folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="huitong-")))
                lake = settings.lake if settings.lake.is_dir() else folder
                instance, settings = settings, replace(settings, home=folder, engine_processes=1)
                broker = opened.enter_context(start_broker(settings, lake=lake, instance=instance))
                report = {**broker.sandbox, "probes": broker.probes}
            if settings.engine:
                findings.append(_cluster(settings, report))
    except HuitongError as error:
        return [Finding("engine", State.WRONG, words.reason(error.reasons[0]), words("doctor-engine-now"))]
    level = int(report.get("level", 0))
    not_walls = ("network_namespace", "connect_port") if settings.engine else ()
    missing = [
        name for name, there in report.items() if name not in not_walls and (there is False or (name == "landlock" and there == 0))
    ]
    detail = words("doctor-engine-serving" if served else "doctor-engine-tried", level=level)
    if missing:
        detail += words("doctor-engine-missing", walls=", ".join(name.replace("_", " ") for name in missing))
    findings = [*_probes(report, level), *findings]
    if level < 2 and not settings.engine:
        return [Finding("engine", State.WARNING, detail, words("doctor-engine-level-now")), *findings]
    return [Finding("engine", State.OK, detail), *findings]


def _probes(report: Mapping[str, Any], level: int) -> list[Finding]:
    """What each kind of attack on the engine's own walls came to. One that goes through lets no broker serve, so none is here."""
    findings = []
    for kind, names in report.get("probes", {}).items():
        said = [words("doctor-probes-held", probes=", ".join(names["held"]))] if names["held"] else []
        if names["not_promised"]:
            said.append(words("doctor-probes-not-promised", level=level, probes=", ".join(names["not_promised"])))
        findings.append(Finding(f"probe {kind}", State.OK, words("doctor-probes", what=words(f"probe-{kind}"), found="; ".join(said))))
    return findings


def _cluster(settings: Settings, report: Mapping[str, Any]) -> Finding:
    """Whether the cluster answers, and what the operator answers for there."""
    from huitong.engines.client import EngineClient
    from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable

    nothing = GovernedTable("t", (), {"n": "BIGINT"})
    query = GovernedQuery("doctor", "SELECT count(*) AS n FROM t AS p", (nothing,), EngineLimits(20, 512, 1, 1))
    try:
        EngineClient(settings.engine_socket).run(query)
    except HuitongError as error:
        return Finding("cluster", State.WRONG, words.reason(error.reasons[0]), words("doctor-cluster-now"))
    detail = words("doctor-cluster", address=settings.engine, level=int(report["level"]))
    return Finding("cluster", State.OK, detail)


@command("doctor")
@operator_option
def doctor(operator: str) -> int:
    """Exit code 8 if something is wrong, 9 if it is the ledger."""
    settings = existing(settings_here())
    findings = look(settings, operator)
    shown: list[Callable[[Finding], str]] = [
        lambda one: one.check,
        lambda one: words(f"doctor-{one.state}"),
        lambda one: one.detail,
        lambda one: one.now,
    ]
    form = surroundings().format
    if form == "json":
        show_json([{"check": one.check, "state": one.state.value, "detail": one.detail, "now": one.now} for one in findings])
    elif not shown_to_programs(
        ["check", "state", "detail", "now"], [[one.check, one.state.value, one.detail, one.now] for one in findings]
    ):
        header = [words(f"title-{key}") for key in ("check", "finding", "detail", "now")]
        show_table(header, [[show(one) for show in shown] for one in findings])
    wrong = [one for one in findings if one.state is State.WRONG]
    if form == "table":
        click.echo(words("doctor-ill", count=len(wrong)) if wrong else words("doctor-well"))
    if any(one.check == "checkpoint" for one in wrong):
        return Exit.LEDGER_BROKEN
    return Exit.UNAVAILABLE if wrong else Exit.OK
