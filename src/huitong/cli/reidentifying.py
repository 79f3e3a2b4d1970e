"""For one case, the identifiers behind a few pseudonyms. Clients of the API; identifiers are printed by `reveal` alone."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.catalogue import instant_text, office_text, with_brackets
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows, show_table
from huitong.cli.sharing import limit, offset, words_option
from huitong.cli.using import RECEIPT_WAIT_SECONDS, show_result, write_json
from huitong.errors import InputInvalid

reidentification = Group("reidentification", no_args_is_help=True)
number = click.argument("identifier", metavar="NUMBER")
days_option = click.option("--days", "term", type=click.IntRange(1), metavar="DAYS")
reveals_option = click.option("--reveals", type=click.IntRange(1), metavar="TIMES")


def tokens_option(*, required: bool) -> Callable[[Any], Any]:
    """Decorator: --tokens FILE. They stand in a file or come from standard input: what is typed into a command stays in its history."""
    return click.option("--tokens", "tokens_file", required=required, metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))


def read_tokens(file: str) -> list[str]:
    """One token a line: the integer or its display form; empty lines are left out.

    Raises InputInvalid `cli-file-unreadable`, or `cli-tokens-missing` if there is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=file) from None
    tokens = [line.strip() for line in text.splitlines() if line.strip()]
    if not tokens:
        raise InputInvalid.because("cli-tokens-missing", file=file)
    return tokens


@reidentification.command("ask")
@click.argument("grant")
@tokens_option(required=True)
@click.option("--case", required=True, metavar="TEXT")
@click.option("--legal-basis", required=True, metavar="TEXT")
@click.option("--why", required=True, metavar="TEXT")
@click.option("--item", "pseudonym_item", metavar="ITEM")
@days_option
@reveals_option
def ask(
    grant: str,
    tokens_file: str,
    case: str,
    legal_basis: str,
    why: str,
    pseudonym_item: str | None,
    term: int | None,
    reveals: int | None,
) -> None:
    tokens = read_tokens(tokens_file)
    with open_client() as client:
        found = client.ask_reidentification(
            grant, tokens, case=case, legal_basis=legal_basis, why=why, item=pseudonym_item, days=term, reveals=reveals
        )
    remark(words("reidentification-waits", number=found["id"], office=office_text(found["provider"]), due=str(found["answer_due"])))
    show(found)


@reidentification.command("list")
@click.option("--as", "side", type=click.Choice(["applicant", "provider"]), default="applicant")
@limit
@offset
def list_(side: str, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.reidentifications(as_=side, limit=limit, offset=offset)
    columns = [
        ("reidentification", lambda row: row["id"]),
        ("grant", lambda row: row["grant"]),
        ("dataset", lambda row: row["dataset"]),
        ("using_office", lambda row: office_text(row["using_office"])),
        ("officer", lambda row: row["officer"]),
        ("tokens", lambda row: row["tokens"]),
        ("state", lambda row: stage(row["state"])),
        ("valid", lambda row: row["valid"]),
        ("answer_due", lambda row: row["answer_due"]),
    ]
    show_rows(columns, page["reidentifications"], raw=page, total=page["total"])


@reidentification.command("show")
@number
def show_(identifier: str) -> None:
    with open_client() as client:
        show(client.reidentification(identifier), history=True)


@reidentification.command("approve")
@number
@days_option
@reveals_option
@words_option
def approve(identifier: str, term: int | None, reveals: int | None, said: str | None) -> None:
    with open_client() as client:
        found = client.approve_reidentification(identifier, days=term, reveals=reveals, words=said)
    if found["state"] == "under-review":
        remark(words("reidentification-second"))
    show(found)


@reidentification.command("refuse")
@number
@click.option("--reason", required=True, metavar="CODE")
@click.option("--words", "said", required=True, metavar="TEXT")
def refuse(identifier: str, reason: str, said: str) -> None:
    with open_client() as client:
        show(client.refuse_reidentification(identifier, reason=reason, words=said))


@reidentification.command("withdraw")
@number
@words_option
def withdraw(identifier: str, said: str | None) -> None:
    with open_client() as client:
        show(client.withdraw_reidentification(identifier, words=said))


@reidentification.command("revoke")
@number
@words_option
def revoke(identifier: str, said: str | None) -> None:
    with open_client() as client:
        show(client.revoke_reidentification(identifier, words=said))


@reidentification.command("reveal")
@number
@tokens_option(required=False)
@click.option("--receipt", "receipt_file", type=click.Path(dir_okay=False, path_type=Path))
def reveal(identifier: str, tokens_file: str | None, receipt_file: Path | None) -> None:
    tokens = None if tokens_file is None else read_tokens(tokens_file)
    with open_client() as client:
        result = client.reveal(identifier, tokens)
        table = result.arrow()
        show_result(result, table)
        if receipt_file:
            write_json(receipt_file, result.receipt(wait_seconds=RECEIPT_WAIT_SECONDS))
            remark(words("receipt-written", file=str(receipt_file)))
        absent = table.column("identifier").null_count
        remark(words("reidentification-revealed", query=result.query, found=table.num_rows - absent, absent=absent))


def stage(value: str) -> str:
    """A state or an event in the reader's language; the value itself for programs."""
    return value if surroundings().plain else words(f"value-reidentification-{value}")


def show(found: dict[str, Any], *, history: bool = False) -> None:
    """A case; with its history where that was asked for. It holds neither tokens nor identifiers."""
    over = found["over_because"]
    pairs = [
        ("reidentification", found["id"]),
        ("state", stage(found["state"])),
        ("valid", found["valid"]),
        ("over_because", over["text"] if over else None),
        ("grant", found["grant"]),
        ("dataset", found["dataset"]),
        ("item", found["item"]),
        ("provider", office_text(found["provider"])),
        ("using_office", office_text(found["using_office"])),
        ("officer", with_brackets(found["officer"], found["post"])),
        ("case", found["case"]),
        ("legal_basis", found["legal_basis"]),
        ("why", found["why"]),
        ("tokens", found["tokens"]),
        ("linked_grants", found["linked_grants"]),
        ("days", found["days"]),
        ("reveals", found["reveals"]),
        ("answer_due", found["answer_due"]),
        ("valid_until", instant_text(found["valid_until"]) or None),
        ("reveals_left", found["reveals_left"]),
    ]
    show_one([(key, value) for key, value in pairs if value is not None], raw=found)
    if history and surroundings().format == "table":
        click.echo()
        header = [words(f"title-{key}") for key in ("at", "event", "actor", "office", "reason", "words", "query")]
        rows = [
            [
                instant_text(one["at"]), stage(one["kind"]), one["actor"], one["office"], one["reason"] or "", one["words"] or "",
                one["query"] or "",
            ]
            for one in found["events"]
        ]  # fmt: skip
        show_table(header, rows)
