"""Proof: receipts, which need no instance to be verified, and the ledger of an instance, which its operator opens directly."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.door import open_client
from huitong.cli.exits import Exit
from huitong.cli.language import words
from huitong.cli.output import remark, show_json, show_one, show_table, shown_to_programs
from huitong.cli.profile import read_profile
from huitong.errors import InputInvalid, Reason

receipt = Group("receipt", no_args_is_help=True)
ledger = Group(
    "ledger",
    no_args_is_help=True,
    lazy={
        "uses": "huitong.cli.uses:ledger_uses", "rebuild-uses": "huitong.cli.uses:ledger_rebuild_uses",
        "stamps": "huitong.cli.stamps:ledger_stamps",
        "literal": "huitong.cli.literals:ledger_literal",
        "erase-literal": "huitong.cli.literals:ledger_erase_literal",
    },
)
operator_option = click.option("--operator", metavar="ACCOUNT", envvar="HUITONG_OPERATOR", default="operator")
GREATEST_RECEIPT_BYTES = 16 << 20


@receipt.command("get")
@click.argument("query", metavar="QUERY")
@click.option("--wait", "wait_seconds", type=click.FloatRange(0, 600), default=5.0, metavar="SECONDS")
def receipt_get(query: str, wait_seconds: float) -> None:
    """The receipt on standard output, as JSON whatever the format."""
    from huitong.client import is_folded

    with open_client() as client:
        found = client.receipt(query, wait_seconds=wait_seconds)
    show_json(found)
    if not is_folded(found):
        remark(words("receipt-only-promised"))


@receipt.command("verify")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--log-key", "log_key", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--result", "result", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--require-inclusion", is_flag=True)
@click.option("--witness-key", "witness_key", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--witnesses", "witnesses", metavar="N", type=click.IntRange(0, 100), default=0)
@click.option("--tsa-certificate", "tsa", metavar="FILE", type=click.Path(path_type=Path))
def receipt_verify(
    file: Path,
    log_key: Path | None,
    result: Path | None,
    require_inclusion: bool,
    witness_key: Path | None,
    witnesses: int,
    tsa: Path | None,
) -> int:
    """Offline: nothing is asked of any server or instance. Exit code 9 if the receipt does not hold."""
    written = read_receipt(file)
    key = read_text(log_key) if log_key else pinned_key(written)
    content = read_bytes(result) if result else None
    trusted = read_text(witness_key) if witness_key else None
    wanted = {"require_inclusion": require_inclusion, "witness_keys": trusted, "require_witnesses": witnesses}
    finding = verify(written, key, content, **wanted, tsa_certificates=read_text(tsa) if tsa else None)
    show_finding(finding)
    return Exit.OK if finding.ok else Exit.LEDGER_BROKEN


def verify(written: Any, key: str, content: bytes | None, **wanted: Any) -> Any:
    """The finding of the offline verifier; `wanted` is what it takes beside."""
    from huitong.ledger.verify import verify_receipt

    return verify_receipt(written, log_key=key, result=content, **wanted)


def read_receipt(file: Path) -> Any:
    """JSON from a file or standard input; None where it is no JSON, which the verifier then says."""
    content = sys.stdin.buffer.read(GREATEST_RECEIPT_BYTES + 1) if str(file) == "-" else read_bytes(file)
    if len(content) > GREATEST_RECEIPT_BYTES:
        raise InputInvalid.because("cli-receipt-too-large", limit=GREATEST_RECEIPT_BYTES)
    try:
        return json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def pinned_key(written: Any) -> str:
    """The key of the receipt's log as seen at the sign-in; a key that the receipt itself brings proves nothing."""
    origin = written.get("origin") if isinstance(written, dict) else None
    key = read_profile().key_of_origin(origin) if isinstance(origin, str) else None
    if key is None:
        raise InputInvalid.because("cli-log-key-unknown", origin=str(origin or "?")[:80])
    remark(words("using-pinned-key", key=key))
    return key


def key_lines(text: str) -> list[str]:
    """The keys of a text with one a line, without empty lines and remarks."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def read_bytes(file: Path) -> bytes:
    """The bytes of a file."""
    try:
        return file.read_bytes()
    except OSError:
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None


def read_text(file: Path) -> str:
    """The text of a file."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None


def show_finding(finding: Any) -> None:
    """Every step with its finding, then the word that counts."""
    steps = [(step.name, step.ok, step_text(step)) for step in finding.steps]
    if surroundings().format == "json":
        body = {
            "ok": finding.ok,
            "included": finding.included,
            "steps": [{"name": name, "ok": ok, "detail": detail} for name, ok, detail in steps],
            "entries": list(finding.entries),
        }
        show_json(body)
        return
    if shown_to_programs(["step", "ok", "detail"], [list(step) for step in steps]):
        return
    rows = [[words("held") if ok else words("failed"), name, detail] for name, ok, detail in steps]
    show_table([words("title-finding"), words("title-step"), words("title-detail")], rows)
    click.echo(words("receipt-holds" if finding.ok else "receipt-broken"))


def step_text(step: Any) -> str:
    """The finding of a step in the reader's language; the verifier's own English where there are no words for it."""
    text = words.reason(Reason(step.code, step.parameters))
    return str(step.detail) if text.startswith(step.code) else text


# --- the ledger of an instance --------------------------------------------------------------------------------------------


@ledger.command("checkpoint")
@click.option("--witnessed", is_flag=True)
def ledger_checkpoint(witnessed: bool) -> None:
    """The newest signed tree head, as text whatever the format: to keep, and to hold the ledger to later."""
    with open_client(with_token=False) as client:
        click.echo(client.checkpoint(witnessed=witnessed), nl=False)


@ledger.command("key")
def ledger_key() -> None:
    """The key that receipts and checkpoints are verified with, as text whatever the format."""
    with open_client(with_token=False) as client:
        click.echo(client.ledger_key())


@ledger.command("keys")
def ledger_keys() -> None:
    """Every key of the ledger with its time, one a line, as text whatever the format: what `--log-key` takes."""
    with open_client(with_token=False) as client:
        click.echo(client.ledger_keys(), nl=False)


@ledger.command("rotate-key")
@operator_option
@click.option("--words", "said", required=True, metavar="TEXT")
def ledger_rotate_key(operator: str, said: str) -> None:
    """Let a new key sign from now on; the old one signs the entry that names it."""
    from huitong.cli.inside import open_as_operator

    with open_as_operator(operator, action="ledger-rotate-key") as inside:
        change = inside.change_ledger_key(operator, said)
    body = {
        "number": change.number,
        "log_key": change.vkey,
        "before": change.before,
        "until": change.until.isoformat(),
        "entry": change.entry,
    }
    show_one(list(body.items()), raw=body)
    remark(words("ledger-key-rotated", until=change.until.isoformat()))


@ledger.command("status")
@operator_option
@click.option("--served", is_flag=True)
def ledger_status(operator: str, served: bool) -> int:
    """How the ledger stands. Exit code 8 if an entry waits too long."""
    from huitong.cli.inside import open_as_operator

    if served:
        with open_client() as client:
            found = client.ledger_status()
        show_one(list(found.items()), raw=found)
        return Exit.UNAVAILABLE if found["alarm"] or found["stopped"] else Exit.OK
    with open_as_operator(operator, action="ledger-status") as inside:
        status = inside.ledger.status()
        key, keys, witnesses = inside.ledger.vkey(), inside.ledger.vkeys(), inside.ledger.witnesses()
        stamps = inside.stamp_ages()
        silent = {key.text for key in inside.silent_witnesses()}
    body = {
        "size": status.size,
        "pending": status.pending,
        "oldest_pending_seconds": status.oldest_pending_seconds,
        "alarm": status.alarm,
        "stopped": status.stopped,
        "checkpoint_at": status.checkpoint_at.isoformat() if status.checkpoint_at else None,
        "log_key": key,
        "log_keys": list(keys),
        "witnesses": [
            {
                "witness": key.text,
                "size": seen.size if seen else None,
                "at": seen.at.isoformat() if seen else None,
                "silent": key.text in silent,
            }
            for key, seen in witnesses
        ],
        "stamps": [
            {
                "service": name,
                "size": last.size if last else None,
                "at": last.at.isoformat() if last else None,
                "age_seconds": age,
                "late": late,
            }
            for name, last, age, late in stamps
        ],
    }
    signed = [f"{key.name}: {f'{seen.size}, {seen.at:%Y-%m-%d %H:%M:%S}' if seen else '-'}" for key, seen in witnesses]
    stamped = [f"{name}: {f'{last.size}, {last.at:%Y-%m-%d %H:%M:%S}, {age} s' if last else '-'}" for name, last, age, _ in stamps]
    shown = {**body, "log_keys": "\n".join(keys), "witnesses": "\n".join(signed), "stamps": "\n".join(stamped)}
    show_one(list(shown.items()), raw=body)
    for key, _ in witnesses:
        if key.text in silent:
            remark(words("witness-silent", witness=key.name))
    for name, _, _, late in stamps:
        if late:
            remark(words("stamp-late", service=name))
    return Exit.UNAVAILABLE if status.alarm or status.stopped else Exit.OK


@ledger.command("fold")
@operator_option
def ledger_fold(operator: str) -> None:
    """Fold what is pending now, as the background worker does."""
    from huitong.cli.inside import open_as_operator

    with open_as_operator(operator, action="ledger-fold") as inside:
        folded = inside.fold_all()
    show_one([("folded", folded)], raw={"folded": folded})


@ledger.command("audit")
@operator_option
@click.option("--log-key", "log_key", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--checkpoint", "checkpoint", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--tree-only", is_flag=True)
def ledger_audit(operator: str, log_key: Path | None, checkpoint: Path | None, *, tree_only: bool) -> int:
    """Recompute the whole tree. Exit code 9 if anything does not fit."""
    from huitong.cli.inside import open_as_operator
    from huitong.cli.progress import counting

    given = [read_text(checkpoint)] if checkpoint else []
    with open_as_operator(operator, action="ledger-audit") as inside:
        inside.fold_all()
        keys = key_lines(read_text(log_key)) if log_key else list(inside.ledger.vkeys())
        with counting(words("auditing")) as progress:
            report = inside.audit(keys, progress, checkpoints=given, tree_only=tree_only)
    faults = [words.reason(reason) for reason in report.faults]
    body = {
        "ok": report.ok,
        "size": report.size,
        "pending": report.pending,
        "checkpoints": report.checkpoints,
        "open_uses": report.open_uses,
        "faults": faults,
    }
    if surroundings().format == "json" or surroundings().plain:
        show_one(list(body.items()), raw=body)
    else:
        show_one([(key, value) for key, value in body.items() if key not in ("ok", "faults")], raw=body)
        for fault in faults:
            click.echo(f"  - {fault}")
        click.echo(words("ledger-whole" if report.ok else "ledger-broken"))
    return Exit.OK if report.ok else Exit.LEDGER_BROKEN
