"""Time stamps of checkpoints (RFC 3161): what services said, as files that other programs check."""

import base64
from pathlib import Path

import click

from huitong.cli.base import command
from huitong.cli.catalogue import instant_text
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_rows
from huitong.cli.sharing import limit, offset
from huitong.errors import InputInvalid


@command("stamps", path="ledger-stamps")
@click.option("--export", "export", metavar="FOLDER", type=click.Path(path_type=Path))
@limit
@offset
def ledger_stamps(export: Path | None, limit: int, offset: int) -> None:
    """The stamps, the newest checkpoint first; with --export each as two files, for `openssl ts -verify`."""
    with open_client(with_token=False) as client:
        page = client.stamps(limit=limit, offset=offset)
    if export is not None:
        try:
            export.mkdir(parents=True, exist_ok=True)
            for one in page["stamps"]:
                (export / f"{one['size']}.checkpoint").write_text(one["checkpoint"], "utf-8")
                (export / f"{one['size']}.{one['service']}.tsr").write_bytes(base64.b64decode(one["answer"]))
        except OSError:
            raise InputInvalid.because("cli-file-unwritable", file=str(export)) from None
        remark(words("stamps-exported", count=len(page["stamps"]), folder=str(export)))
    columns = [
        ("size", lambda row: row["size"]),
        ("service", lambda row: row["service"]),
        ("at", lambda row: instant_text(row["at"])),
    ]
    show_rows(columns, page["stamps"], raw=page)
