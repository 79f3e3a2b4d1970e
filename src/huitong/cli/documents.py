"""A grant as documents: the agreement to read or for machines, its versions. Clients of the API."""

import json
import sys
from pathlib import Path

import click

from huitong.cli.base import command
from huitong.cli.catalogue import instant_text
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import Column, remark, show_rows
from huitong.errors import InputInvalid

NEWEST = 2**31 - 1


@command("document", path="grant-document")
@click.argument("grant", metavar="GRANT")
@click.option("--version", "version_", type=click.IntRange(1, NEWEST))
@click.option("--as", "form", type=click.Choice(("md", "html", "odrl")), default="md")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
def grant_document(grant: str, version_: int | None, form: str, output: Path | None) -> None:
    """The agreement, to standard output or into a file."""
    with open_client() as client:
        if form == "odrl":
            text = json.dumps(client.grant_odrl(grant, version=version_), ensure_ascii=False, indent=2) + "\n"
        else:
            text = client.grant_document(grant, version=version_, form=form)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(output)) from None
    remark(words("written", file=str(output)))


@command("versions", path="grant-versions")
@click.argument("grant", metavar="GRANT")
def grant_versions(grant: str) -> None:
    """Every version with its hash and what it changed."""
    with open_client() as client:
        found = client.grant_versions(grant)
    show_rows(_VERSIONS, found["versions"], raw=found)


_VERSIONS: list[Column] = [
    ("version", lambda row: row["version"]),
    ("agreed_at", lambda row: instant_text(row["agreed_at"])),
    ("valid", lambda row: row["in_force"]),
    ("terms_hash", lambda row: row["terms_hash"]),
    ("what_changed", lambda row: " ".join(one["text"] for one in row["changes"])),
]
