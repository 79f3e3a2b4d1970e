"""Offices that take over from others, divisions that merge and split: what was theirs moves, with a trace."""

import sys
from pathlib import Path

import click

from huitong.cli.base import command
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import Column, remark, show_one, show_rows
from huitong.errors import InputInvalid


@command("succeed", path="office-succeed")
@click.argument("office", metavar="OFFICE")
@click.argument("successor", metavar="SUCCESSOR")
@click.option("--on", required=True, metavar="DAY")
@click.option("--words", "said_words", required=True, metavar="TEXT")
def office_succeed(office: str, successor: str, on: str, said_words: str) -> None:
    """Datasets, grants, requests and posts move."""
    with open_client() as client:
        found = client.succeed(office, successor=successor, on=on, words=said_words)
    pairs = [
        ("office", found["office"]),
        ("successor", found["successor"]),
        ("datasets", ", ".join(found["datasets"])),
        ("grants", ", ".join(f"{one['old']} -> {one['new']}" for one in found["grants"])),
        ("requests", ", ".join(found["requests"])),
        ("posts", ", ".join(f"{one['old']} -> {one['new']}" for one in found["posts"])),
    ]
    show_one(pairs, raw=found)


@command("change", path="division-change")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True)
def division_change(file: Path, dry_run: bool) -> None:
    """A file of changes: old, new, day, kind."""
    try:
        changes = sys.stdin.read().removeprefix("\ufeff") if str(file) == "-" else file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    with open_client() as client:
        found = client.change_divisions(changes, dry_run=dry_run)
    remark(words("divisions-would-change" if dry_run else "divisions-changed", count=int(found["changes"])))
    columns: list[Column] = [("grant", lambda row: row["grant"]), ("why", lambda row: row["text"])]
    if found["grants_to_look_at"]:
        remark(words("grants-to-look-at"))
        show_rows(columns, found["grants_to_look_at"], raw=found)
