"""What a command prints: a table for eyes, CSV and JSON for programs. Data goes to standard output, remarks to standard error."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from huitong.cli.base import cells, surroundings
from huitong.cli.failing import printable
from huitong.cli.language import words

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], Any]]
"""The key of a column (its CSV header; its title is `cli-title-<key>`) and how its value is read."""


def show_rows(columns: Sequence[Column], rows: Sequence[Row], *, raw: Any, total: int | None = None) -> None:
    """A list of things; `raw` is what JSON shows."""
    form = surroundings().format
    if form == "json":
        show_json(raw)
        return
    values = [[value(row) for _, value in columns] for row in rows]
    if form == "csv":
        show_csv([key for key, _ in columns], values)
        return
    if not rows:
        remark(words("nothing-found"))
        return
    show_table([words(f"title-{key}") for key, _ in columns], values)
    if total is not None and total > len(rows):
        remark(words("more", shown=len(rows), total=total))


def show_one(pairs: Sequence[tuple[str, Any]], *, raw: Any) -> None:
    """One thing: key and value below each other."""
    form = surroundings().format
    if form == "json":
        show_json(raw)
    elif form == "csv":
        show_csv([key for key, _ in pairs], [[value for _, value in pairs]])
    else:
        width = max(cells(words(f"title-{key}")) for key, _ in pairs)
        for key, value in pairs:
            title = words(f"title-{key}")
            for position, line in enumerate(text(value).split("\n") or [""]):
                left = title if position == 0 else ""
                click.echo(f"{left}{' ' * (width - cells(left))}  {printable(line)}".rstrip())


def show_json(value: Any) -> None:
    """Readable JSON with Chinese as it is."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def show_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Comma-separated with the header first; missing is an empty field."""
    write_csv(sys.stdout, header, rows)


def write_csv(file: Any, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """CSV into any text file."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(value) for value in row] for row in rows)


def _plain(value: Any) -> str:
    """A value for a program: `true` and `false`, and JSON for what is not a single value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping) and set(value) == {"zh", "en"}:
        return text(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def show_table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, right: frozenset[int] = frozenset()) -> None:
    """A ruled table on a terminal; aligned plain columns when the output goes into a file or a pipe."""
    numbers = right | {
        position for position in range(len(header)) if rows and all(isinstance(row[position], (int, float)) for row in rows)
    }
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for position, title in enumerate(header):
            table.add_column(Text(title), justify="right" if position in numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(text(value))) for value in row))
        Console(highlight=False).print(table)
        return
    lines = [[printable(text(value)) for value in row] for row in rows]
    widths = [max([cells(title), *(cells(line[position]) for line in lines)]) for position, title in enumerate(header)]
    for line in [list(header), *lines]:
        parts = [
            f"{' ' * (width - cells(value))}{value}" if position in numbers else f"{value}{' ' * (width - cells(value))}"
            for position, (value, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(parts).rstrip())


def remark(sentence: str) -> None:
    """A sentence beside the data, on standard error."""
    click.echo(printable(sentence), err=True)


def text(value: Any) -> str:
    """A value as a person reads it: missing is empty, yes and no are words, a bilingual text is its half."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return words("yes") if value else words("no")
    if isinstance(value, Mapping) and set(value) == {"zh", "en"}:
        return str(value["zh" if words.language.startswith("zh") else "en"])
    if isinstance(value, (list, tuple)):
        return ", ".join(text(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(one)}" for key, one in value.items())
    return str(value)
