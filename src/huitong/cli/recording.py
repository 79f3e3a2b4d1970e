"""Records by key: get, verify, and the switch of a dataset. Clients of the API."""

import json
import sys
from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.catalogue import choice
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one
from huitong.cli.using import purpose_option, show_result
from huitong.errors import InputInvalid

record = Group("record", no_args_is_help=True)
dataset_records = Group("records", no_args_is_help=True)
dataset_records.path = "dataset-records"
FROM_INPUT = "-"


def read_keys(written: tuple[str, ...]) -> list[str | list[str]]:
    """Keys as they were given: each a value or, of a key of several items, a JSON list of values; `-` reads them from standard input, one
    a line, so that they stand in no list of processes and no history of a shell."""
    texts: list[str] = []
    for one in written:
        texts += [line.strip() for line in sys.stdin if line.strip()] if one == FROM_INPUT else [one]
    return [_read_key(text) for text in texts]


def _read_key(text: str) -> str | list[str]:
    if not text.startswith("["):
        return text
    try:
        parts = json.loads(text)
    except ValueError:
        raise InputInvalid.because("cli-record-key-unreadable") from None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise InputInvalid.because("cli-record-key-unreadable")
    return parts


@record.command("get")
@click.argument("dataset")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@purpose_option
@click.option("--items", metavar="ITEM,ITEM")
def get(dataset: str, keys: tuple[str, ...], purpose: str, items: str | None) -> None:
    named = [name.strip() for name in items.split(",") if name.strip()] if items else None
    with open_client() as client:
        result = client.get_records(dataset, read_keys(keys), purpose=purpose, items=named)
    table = result.arrow()
    show_result(result, table)
    for notice in result.notices:
        remark(notice)
    remark(words("record-done", query=result.query, rows=table.num_rows))


@record.command("verify")
@click.argument("dataset")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@purpose_option
@click.option("--where", "conditions", metavar="ITEM=VALUE", multiple=True, required=True)
def verify(dataset: str, keys: tuple[str, ...], purpose: str, conditions: tuple[str, ...]) -> None:
    where: dict[str, str] = {}
    for one in conditions:
        item, sign, value = one.partition("=")
        if not sign or not item.strip() or item.strip() in where:
            raise InputInvalid.because("cli-record-where-unreadable")
        where[item.strip()] = value
    with open_client() as client:
        result = client.verify_records(dataset, read_keys(keys), purpose=purpose, where=where)
    show_result(result, result.arrow())
    remark(words("record-verified", query=result.query))


@dataset_records.command("on")
@click.argument("identifier", metavar="DATASET")
def switch_on(identifier: str) -> None:
    with open_client() as client:
        found = client.switch_records(identifier, on=True)
    remark(words("records-switched-on", dataset=found["dataset"]))
    show_door(found)


@dataset_records.command("off")
@click.argument("identifier", metavar="DATASET")
def switch_off(identifier: str) -> None:
    with open_client() as client:
        found = client.switch_records(identifier, on=False)
    remark(words("records-switched-off", dataset=found["dataset"]))
    show_door(found)


@dataset_records.command("show")
@click.argument("identifier", metavar="DATASET")
def show(identifier: str) -> None:
    with open_client() as client:
        show_door(client.record_door(identifier))


def show_door(found: dict[str, Any]) -> None:
    """The door of a dataset, below each other."""
    pairs = [
        ("dataset", found["dataset"]),
        ("state", choice(found["state"])),
        ("record-key", found["key"]),
        ("snapshot", found["snapshot"]),
        ("rows", found["rows"]),
        ("rows-expected", found["rows_expected"]),
        ("rows-without-key", found["rows_without_key"]),
        ("because", "\n".join(one["text"] for one in found["reasons"])),
    ]
    show_one(pairs, raw=found)
