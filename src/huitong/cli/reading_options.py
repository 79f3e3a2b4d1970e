"""Options that override what was understood of a file: the same for `inspect`, `draft` and `register`."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from huitong.errors import InputInvalid

KINDS = ("csv", "tsv", "xlsx", "xls", "xlsb", "ods", "jsonl", "json", "parquet")
kind_option = click.option("--kind", type=click.Choice(KINDS))


@contextmanager
def as_file(file: str, kind: str | None) -> Iterator[Path]:
    """The file; of `-` all of standard input, as a file that is gone afterwards. Raises InputInvalid `cli-kind-missing`."""
    if file != "-":
        yield Path(file)
        return
    if kind is None:
        raise InputInvalid.because("cli-kind-missing")
    with TemporaryDirectory(prefix="huitong-") as folder:
        path = Path(folder) / f"input.{kind}"
        with path.open("wb") as whole:
            shutil.copyfileobj(sys.stdin.buffer, whole)
        yield path


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --encoding, --delimiter, --quote, --header-row, --header-rows, --sheet, --merged."""
    for option in (
        click.option("--merged", type=click.Choice(["fill", "leave"])),
        click.option("--sheet", metavar="NAME"),
        click.option("--header-rows", type=click.IntRange(1, 10)),
        click.option("--header-row", type=click.IntRange(0)),
        click.option("--quote", metavar="CHARACTER"),
        click.option("--delimiter", metavar="CHARACTER"),
        click.option("--encoding", metavar="NAME"),
    ):
        function = option(function)
    return function


def said(reading: dict[str, Any]) -> dict[str, Any]:
    """Those that were given; `\\t` and `tab` are the tabulator."""
    given = {name: value for name, value in reading.items() if value is not None}
    if given.get("delimiter") in ("\\t", "tab"):
        given["delimiter"] = "\t"
    return given


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --table and --credential, for an address of a database in the place of a file."""
    for option in (click.option("--credential", metavar="NAME"), click.option("--table", metavar="TABLE")):
        function = option(function)
    return function


def source_of(address: str, table: str | None, credential: str | None) -> dict[str, Any] | None:
    """A database as the API takes it, if the address is one."""
    if "://" not in address:
        return None
    given = {"kind": "database", "address": address, "table": table, "credential": credential}
    return {name: value for name, value in given.items() if value is not None}
