"""Using data: a governed query, and what would happen to one. Clients of the API."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from huitong.cli.base import Group, command, surroundings
from huitong.cli.catalogue import choice, instant_text, mask_text, purpose_text
from huitong.cli.door import open_client
from huitong.cli.exits import Exit, exit_of_refusal
from huitong.cli.language import words
from huitong.cli.output import (
    remark,
    show_bytes,
    show_csv,
    show_entries,
    show_json,
    show_one,
    show_rows,
    show_table,
    shown_to_programs,
    table_bytes,
)
from huitong.cli.progress import bytes_so_far
from huitong.cli.sharing import limit, offset
from huitong.client import ARROW, CSV, NDJSON
from huitong.errors import InputInvalid

RECEIPT_WAIT_SECONDS = 5.0
"""The ledger folds within a second; a receipt that is asked for at once waits so long for its inclusion proof."""
epsilon_option = click.option("--epsilon", metavar="NUMBER")
purpose_option = click.option("--purpose", required=True, metavar="CODE")


def statement(written: str) -> str:
    """The SQL as given, or all of standard input for `-`."""
    return sys.stdin.read() if written == "-" else written


@command("query", writes_itself="stream")
@click.argument("sql")
@purpose_option
@epsilon_option
@click.option("--stream", is_flag=True)
@click.option("--receipt", "receipt_file", type=click.Path(dir_okay=False, path_type=Path))
def query(sql: str, purpose: str, epsilon: str | None, stream: bool, receipt_file: Path | None) -> None:
    """Run one SELECT; the result goes to standard output or a file, the receipt to a file."""
    if stream:
        stream_rows(statement(sql), purpose, epsilon, receipt_file)
        return
    with open_client() as client:
        result = client.query(statement(sql), purpose=purpose, epsilon=epsilon)
        table = result.arrow()
        show_result(result, table)
        for notice in result.notices:
            remark(notice)
        if receipt_file:
            receipt = result.receipt(wait_seconds=RECEIPT_WAIT_SECONDS)
            write_json(receipt_file, receipt)
            remark(words("receipt-written", file=str(receipt_file)))
        remark(words("query-done", query=result.query, rows=table.num_rows))


STREAM_FORMS = {"table": NDJSON, "json": NDJSON, "csv": CSV, "arrow": ARROW}
"""What is asked of the server for a form of the command line; a table for eyes would be as wide as its last row."""


def stream_rows(sql: str, purpose: str, epsilon: str | None, receipt_file: Path | None) -> None:
    """The rows as they come, on standard output or into a file that appears when it is whole."""
    said = surroundings()
    form = STREAM_FORMS.get(said.format)
    if form is None:
        raise InputInvalid.because("cli-stream-form", format=said.format)
    with open_client() as client, client.stream(sql, purpose=purpose, epsilon=epsilon, form=form) as answer:
        with bytes_so_far(words("title-bytes")) as progress:
            if said.output is None:
                _pour(answer.pieces(), sys.stdout.buffer, progress)
            else:
                _pour_into(said.output, answer.pieces(), progress)
        for notice in answer.notices:
            remark(notice)
        if receipt_file:
            write_json(receipt_file, answer.receipt(wait_seconds=RECEIPT_WAIT_SECONDS))
            remark(words("receipt-written", file=str(receipt_file)))
        remark(words("query-done", query=answer.query, rows=answer.rows or 0))


def _pour(pieces: Iterator[bytes], sink: BinaryIO, progress: Callable[[int], None]) -> None:
    done = 0
    for piece in pieces:
        sink.write(piece)
        done += len(piece)
        progress(done)
    sink.flush()


def _pour_into(file: Path, pieces: Iterator[bytes], progress: Callable[[int], None]) -> None:
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
            _pour(pieces, sink, progress)
            os.fsync(sink.fileno())
        new.replace(file)
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(file)) from None
    finally:
        new.unlink(missing_ok=True)
    remark(words("written", file=str(file)))


def write_json(path: Path, value: Any) -> None:
    """JSON into a file as it came."""
    import json

    try:
        path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(path)) from None


def rows_of(table: Any) -> list[list[Any]]:
    """The rows of an Arrow table as Python values."""
    columns = [column.to_pylist() for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def show_result(result: Any, table: Any) -> None:
    """On standard output in the form that was asked for; as Arrow the exact bytes, those that the receipt's hash is over."""
    form = surroundings().format
    if form == "arrow":
        show_bytes(result.content)
    elif form == "parquet":
        show_bytes(table_bytes(table, form))
    elif form == "json":
        rows = [[json_value(value) for value in row] for row in rows_of(table)]
        body = {
            "query": result.query,
            "columns": [{"name": field.name, "type": str(field.type)} for field in table.schema],
            "rows": rows,
            "notices": list(result.notices),
        }
        show_entries((dict(zip(table.column_names, row, strict=True)) for row in rows), raw=body)
    elif form == "csv":
        show_csv(table.column_names, rows_of(table))
    else:
        show_table(table.column_names, rows_of(table))


def json_value(value: Any) -> Any:
    """As the API writes it: integers beyond 2^53, decimals and instants are text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


use = Group("use", no_args_is_help=True)
RUNNING: list[Any] = [
    ("query", lambda row: row["query"]),
    ("since", lambda row: instant_text(row["since"])),
    ("person", lambda row: row["person"]),
    ("purpose", lambda row: purpose_text(row["purpose"])),
    ("datasets", lambda row: row["datasets"]),
    ("door", lambda row: choice(row["door"])),
    ("cancelled_by", lambda row: row["cancelled_by"]),
]


@use.command("running")
@limit
@offset
def use_running(limit: int, offset: int) -> None:
    """Uses of your office that run now."""
    with open_client() as client:
        page = client.running_uses(limit=limit, offset=offset)
    show_rows(RUNNING, page["uses"], raw=page, total=page["total"])


@use.command("cancel")
@click.argument("query", metavar="QUERY")
def use_cancel(query: str) -> None:
    """Stop a use that runs."""
    with open_client() as client:
        found = client.cancel_use(query)
    show_one([(key, value(found)) for key, value in RUNNING], raw=found)


@command("why")
@click.argument("sql")
@purpose_option
@epsilon_option
def why(sql: str, purpose: str, epsilon: str | None) -> int:
    """What would happen to this query and on which grounds; nothing is run. Exit code 6 if it would be refused, 8 if only not yet."""
    with open_client() as client:
        found = client.why(statement(sql), purpose=purpose, epsilon=epsilon)
    if surroundings().format == "json":
        show_json(found)
    else:
        terms = [(one, term) for one in found["datasets"] for term in one["masks"]]
        rows = [[one["dataset"], one["grant"], term["item"], mask_text(term["mask"])] for one, term in terms]
        if not shown_to_programs(["dataset", "grant", "item", "mask"], rows):
            show_why(found)
    return Exit.OK if found["allowed"] else exit_of_refusal(reason["code"] for reason in found["reasons"])


def show_why(found: dict[str, Any]) -> None:
    """The finding in words."""
    from huitong.cli.failing import printable

    click.echo(words("why-allowed") if found["allowed"] else words("why-refused"))
    for reason in found["reasons"]:
        click.echo(f"  - {printable(reason['text'])}")
    for one in found["datasets"]:
        grant = words("why-grant", grant=one["grant"]) if one["grant"] else words("why-no-grant")
        click.echo("\n" + printable(f"{one['dataset']}: {grant}"))
        if one.get("budget"):
            click.echo(words("budget-use", **one["budget"]))
        masks = {term["item"]: mask_text(term["mask"]) for term in one["masks"]}
        if one["items"]:
            header = [words("title-item"), words("title-mask")]
            show_table(header, [[item, masks.get(item, words("why-not-granted"))] for item in one["items"]])
