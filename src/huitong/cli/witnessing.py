"""Witnessing: proofs that one ledger goes on from the other, and the witness who signs only then."""

import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import surroundings
from huitong.cli.door import open_client
from huitong.cli.exits import Exit
from huitong.cli.failing import tell
from huitong.cli.language import words
from huitong.cli.output import remark, show_one
from huitong.cli.proving import ledger, read_text
from huitong.errors import HuitongError, InputInvalid, LedgerBroken


@ledger.command("consistency")
@click.argument("first", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--to", "second", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--log-key", "log_key", metavar="FILE", type=click.Path(path_type=Path))
def ledger_consistency(first: Path, second: Path | None, log_key: Path | None) -> int:
    """Ask the ledger to prove that it goes on from a checkpoint that was kept. Exit code 9 if it does not."""
    from huitong.cli.proving import pinned_key
    from huitong.ledger.cosigning import goes_on
    from huitong.ledger.keys import followed_keys

    kept = read_text(first)
    trusted = read_text(log_key) if log_key else pinned_key({"origin": kept.partition("\n")[0]})
    with open_client(with_token=False) as client:
        newer = read_text(second) if second else client.checkpoint()
        keys = followed_keys(client.ledger_keys(), trusted=trusted)
        proofs: list[list[str]] = []

        def prove(one: int, other: int) -> list[str]:
            proofs.append(list(client.consistency(one, other)["path"]))
            return proofs[-1]

        before = goes_on(kept, seen=None, keys=keys, prove=prove)
        head = goes_on(newer, seen=kept, keys=keys, prove=prove)
    body: dict[str, Any] = {"first": before.size, "second": head.size, "path": proofs[-1] if proofs else []}
    show_one([("from_size", before.size), ("to_size", head.size), ("path", "\n".join(body["path"]))], raw=body)
    remark(words("ledger-consistent", first=before.size, second=head.size))
    return Exit.OK


@ledger.command("witness-key")
@click.argument("name", metavar="NAME")
@click.option("--key", "key", metavar="FILE", required=True, type=click.Path(path_type=Path))
def ledger_witness_key(name: str, key: Path) -> None:
    """Make the key of a witness and print its public half."""
    from huitong.ledger.cosigning import make_witness_key

    made = make_witness_key(key, name, secrets.token_bytes(32))
    click.echo(made.public.text)


@ledger.command("witness")
@click.option("--log", "log", metavar="URL")
@click.option("--key", "key", metavar="FILE", required=True, type=click.Path(path_type=Path))
@click.option("--log-key", "log_key", metavar="FILE", required=True, type=click.Path(path_type=Path))
@click.option("--seen", "seen", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True)
@click.option("--every", "every", metavar="SECONDS", type=click.FloatRange(1, 86_400))
def ledger_witness(log: str | None, key: Path, log_key: Path, seen: Path | None, keep: bool, every: float | None) -> None:
    """Sign the newest checkpoint if it goes on from the one signed last. Exit code 9 if it does not."""
    if log:
        surroundings().server = log
    seen = seen or key.with_name(f"{key.name}.seen")
    while every:
        try:
            _witness_once(key, log_key, seen, keep=keep)
        except (LedgerBroken, InputInvalid):
            raise
        except HuitongError as error:
            tell(error)
        with suppress(KeyboardInterrupt):
            time.sleep(every)
            continue
        return
    _witness_once(key, log_key, seen, keep=keep)


def _witness_once(key: Path, log_key: Path, seen: Path, *, keep: bool) -> None:
    """Look at the log once. What was seen is on the disk before the signature leaves."""
    from huitong.ledger.cosigning import SeenFile, goes_on, read_witness_key
    from huitong.ledger.keys import followed_keys

    signer, file, trusted = read_witness_key(key), SeenFile(seen), read_text(log_key)
    with file.alone(), open_client(with_token=False) as client:
        note = client.checkpoint()
        keys = followed_keys(client.ledger_keys(), trusted=trusted)
        head = goes_on(note, seen=file.read(), keys=keys, prove=lambda first, second: client.consistency(first, second)["path"])
        file.write(note)
        line = signer.line(note, time=int(datetime.now(UTC).timestamp()))
        click.echo(line, nl=False)
        if not keep:
            client.cosign(head.size, line)
    remark(words("ledger-witnessed", size=head.size))
