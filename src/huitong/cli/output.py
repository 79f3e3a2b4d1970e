"""What a command prints: a table for eyes, CSV and JSON for programs. Data goes to standard output, remarks to standard error."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from huitong.cli.base import BINARY, cells, surroundings
from huitong.cli.failing import printable
from huitong.cli.language import words

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], Any]]
"""The key of a column (its CSV header; its title is `cli-title-<key>`) and how its value is read."""


def show_rows(columns: Sequence[Column], rows: Sequence[Row], *, raw: Any, total: int | None = None) -> None:
    """A list of things; `raw` is what JSON shows."""
    if surroundings().format == "json":
        show_entries(rows, raw=raw)
        return
    values = [[value(row) for _, value in columns] for row in rows]
    if shown_to_programs([key for key, _ in columns], values):
        return
    if not rows:
        remark(words("nothing-found"))
        return
    show_table([words(f"title-{key}") for key, _ in columns], values)
    if total is not None and total > len(rows):
        remark(words("more", shown=len(rows), total=total))


def show_one(pairs: Sequence[tuple[str, Any]], *, raw: Any) -> None:
    """One thing: key and value below each other."""
    if surroundings().format == "json":
        show_json(raw)
    elif not shown_to_programs([key for key, _ in pairs], [[value for _, value in pairs]]):
        width = max(cells(words(f"title-{key}")) for key, _ in pairs)
        for key, value in pairs:
            title = words(f"title-{key}")
            for position, line in enumerate(text(value).split("\n") or [""]):
                left = title if position == 0 else ""
                click.echo(f"{left}{' ' * (width - cells(left))}  {printable(line)}".rstrip())


def show_json(value: Any) -> None:
    """Readable JSON with Chinese as it is; on one line with `--nl`."""
    indent = None if surroundings().by_line else 2
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def show_entries(entries: Iterable[Any], *, raw: Any) -> None:
    """A list as JSON: the whole answer, or with `--nl` one entry a line."""
    if not surroundings().by_line:
        show_json(raw)
        return
    for entry in entries:
        show_json(entry)


def shown_to_programs(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Print the rows as CSV, Parquet or Arrow if one of them was asked for; whether it was."""
    form = surroundings().format
    if form == "csv":
        show_csv(header, rows)
    elif form in BINARY:
        show_bytes(table_bytes(table_of(header, rows), form))
    else:
        return False
    return True


def show_bytes(content: bytes) -> None:
    """Bytes on standard output as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table_bytes(table: Any, form: str) -> bytes:
    """An Arrow table as Parquet or as an Arrow stream."""
    import pyarrow

    sink = io.BytesIO()
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, sink, compression="zstd")
    else:
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def table_of(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """The rows as an Arrow table. A column is of numbers or of yes-or-no if all its values are; else, and if it has none, it is text as
    CSV has it. The API gives lists with types that never depend on the values."""
    import pyarrow

    columns: dict[str, Any] = {}
    for position, name in enumerate(header):
        values = [row[position] for row in rows]
        kinds = {type(value) for value in values if value is not None}
        kind = {
            frozenset({bool}): pyarrow.bool_(),
            frozenset({int}): pyarrow.int64(),
            frozenset({float}): pyarrow.float64(),
            frozenset({int, float}): pyarrow.float64(),
        }.get(frozenset(kinds))
        kept = values if kind is not None else [None if value is None else _plain(value) for value in values]
        columns[name] = pyarrow.array(kept, kind or pyarrow.string())
    return pyarrow.table(columns)


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
