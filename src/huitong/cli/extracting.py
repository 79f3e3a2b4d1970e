"""Rows of a grant as a file: ask for it, look how far it is, fetch it. Clients of the API."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.catalogue import choice, instant_text
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows
from huitong.errors import InputInvalid

extract = Group("extract", no_args_is_help=True)
output_option = click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
ENDINGS = {".csv": "csv", ".arrow": "arrow", ".arrows": "arrow"}
"""Forms that the name of the file says, where nothing else does."""
Progress = Callable[[int, int], None]


@contextmanager
def progress_bar(title: str) -> Iterator[Progress | None]:
    """A bar on a terminal's standard error; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} / {task.total:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=max(done, total))


@extract.command("make")
@click.argument("grant", required=False)
@click.option("--dataset", metavar="DATASET")
@click.option("--purpose", metavar="CODE")
@click.option("--item", "items", multiple=True, metavar="ITEM")
@click.option("--file-format", type=click.Choice(["parquet", "csv", "arrow"]))
@click.option("--no-wait", is_flag=True)
@output_option
def make(
    grant: str | None,
    dataset: str | None,
    purpose: str | None,
    items: tuple[str, ...],
    file_format: str | None,
    no_wait: bool,
    output: Path | None,
) -> None:
    form = file_format or (ENDINGS.get(output.suffix.lower(), "parquet") if output else "parquet")
    if grant is None and (dataset is None or purpose is None):
        raise InputInvalid.because("extract-of-nothing")
    with open_client() as client:
        made = client.extract(grant, dataset=dataset, purpose=purpose, items=items or None, format=form, wait=False)
        if no_wait:
            remark(words("extract-asked", extract=made.id))
            show_extract(made.told)
            return
        with progress_bar(words("title-rows")) as progress:
            made = made.wait(progress=progress)
        told = made.told
        remark(words("extract-ready", extract=made.id, rows=told["rows"], bytes=told["bytes"], sha256=told["sha256"]))
        if output:
            fetch(client, made.id, output)
        else:
            show_extract(told)


@extract.command("list")
@click.option("--limit", type=click.IntRange(1, 500), default=20)
@click.option("--offset", type=click.IntRange(0), default=0)
def list_extracts(limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.extracts(limit=limit, offset=offset)
    columns = [
        ("extract", lambda row: row["id"]),
        ("state", lambda row: choice(row["state"])),
        ("grant", lambda row: row["grant"]),
        ("dataset", lambda row: row["dataset"]),
        ("snapshot", lambda row: row["snapshot"]),
        ("file-format", lambda row: row["format"]),
        ("rows", lambda row: row["rows"]),
        ("bytes", lambda row: row["bytes"]),
        ("asked-at", lambda row: instant_text(row["asked_at"])),
    ]
    show_rows(columns, page["extracts"], raw=page, total=page["total"])


@extract.command("show")
@click.argument("extract")
def show(extract: str) -> None:
    with open_client() as client:
        show_extract(client.get_extract(extract))


@extract.command("address")
@click.argument("extract")
@click.option("--minutes", type=click.IntRange(1))
def address(extract: str, minutes: int | None) -> None:
    with open_client() as client:
        given = client.extract_address(extract, minutes=minutes)
    pairs = [
        ("address", given["address"]),
        ("expires-at", instant_text(given["expires_at"])),
        ("bytes", given["bytes"]),
        ("sha256", given["sha256"]),
    ]
    show_one(pairs, raw=given)


@extract.command("download")
@click.argument("extract")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
def download(extract: str, output: Path) -> None:
    with open_client() as client:
        fetch(client, extract, output)


def fetch(client: Any, extract: str, output: Path) -> None:
    """Fetch the file and say that its hash is right."""
    try:
        with progress_bar(words("title-bytes")) as progress:
            client.download_extract(extract, output, progress=progress)
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(output)) from None
    remark(words("extract-fetched", bytes=output.stat().st_size, file=str(output)))


def show_extract(told: dict[str, Any]) -> None:
    """One extract below each other."""
    pairs = [
        ("extract", told["id"]),
        ("state", choice(told["state"])),
        ("grant", told["grant"]),
        ("dataset", told["dataset"]),
        ("snapshot", told["snapshot"]),
        ("items", told["items"]),
        ("file-format", told["format"]),
        ("rows", told["rows"]),
        ("rows-expected", told["rows_expected"]),
        ("bytes", told["bytes"]),
        ("sha256", told["sha256"]),
        ("query", told["query"]),
        ("asked-at", instant_text(told["asked_at"])),
        ("ready-at", instant_text(told["ready_at"])),
        ("because", "\n".join(one["text"] for one in told["reasons"])),
    ]
    show_one(pairs, raw=told)
