"""What is known about a dataset beside its entry: a synthetic sample, quality, suggestions, snapshots, exchange forms."""

from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, command, surroundings
from huitong.cli.catalogue import choice, instant_text, mask_text, meaning_text, percent
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import (
    Column,
    remark,
    show_bytes,
    show_entries,
    show_json,
    show_one,
    show_rows,
    show_table,
    shown_to_programs,
    text,
)
from huitong.errors import InputInvalid


@command("sample", path="dataset-sample")
@click.argument("identifier", metavar="DATASET")
@click.option("--rows", type=click.IntRange(1, 1000), default=10)
def dataset_sample(identifier: str, rows: int) -> None:
    """Rows of the right shape that are nobody's."""
    with open_client() as client:
        found = client.sample(identifier, rows=rows)
    if surroundings().format == "json":
        show_entries((dict(zip(found["items"], row, strict=True)) for row in found["rows"]), raw=found)
    elif not shown_to_programs(found["items"], found["rows"]):
        show_table(found["items"], found["rows"])
    remark(words("sample-synthetic"))


@command("quality", path="dataset-quality")
@click.argument("identifier", metavar="DATASET")
@click.option("--version", "version_", type=click.IntRange(0))
def dataset_quality(identifier: str, version_: int | None) -> None:
    """Completeness, validity, key, freshness and drift of a snapshot."""
    with open_client() as client:
        found = client.quality(identifier, version=version_)
    if surroundings().format == "json":
        show_json(found)
        return
    header = ["item", "completeness", "validity", "distinct"]
    if shown_to_programs(header, [[one[key] for key in header] for one in found["items"]]):
        return
    fresh, key = found["freshness"], found["key"]
    pairs = [
        ("dataset", found["dataset"]),
        ("version", found["version"]),
        ("rows", found["rows"]),
        ("rejected_rows", found["rejected_rows"]),
        ("update_cycle", choice(fresh["cycle"])),
        ("next_due", words("quality-is-late", due=instant_text(fresh["due_at"])) if fresh["late"] else instant_text(fresh["due_at"])),
        ("primary_key", _key_text(key) if key else None),
    ]
    show_one([pair for pair in pairs if pair[1] not in (None, "")], raw=found)
    click.echo()
    rows = [[one["item"], percent(one["completeness"]), percent(one["validity"]), one["distinct"]] for one in found["items"]]
    show_table([words(f"title-{key}") for key in header], rows, right=frozenset({1, 2, 3}))
    if found["drift"]:
        click.echo()
        for one in found["drift"]:
            click.echo(f"! {one['text']}")


def _key_text(key: dict[str, Any]) -> str:
    names = ", ".join(key["items"])
    if key["missing"] is None:
        return names
    return words("quality-key", items=names, missing=int(key["missing"]), duplicates=int(key["duplicates"]))


_SUGGESTION: list[Column] = [
    ("item", lambda row: row["item"]),
    ("meaning", lambda row: meaning_text(row["meaning"])),
    ("grade", lambda row: row["grade"]),
    ("default_mask", lambda row: mask_text(row["mask"])),
    ("recognised", lambda row: f"{row['recognised']:,} / {row['sampled']:,}"),
    ("why", lambda row: row["why"]["text"]),
    ("state", lambda row: choice(f"suggestion-{row['state']}")),
]


@command("suggestions", path="dataset-suggestions")
@click.argument("identifier", metavar="DATASET")
def dataset_suggestions(identifier: str) -> None:
    """What the items look like to the recognisers."""
    with open_client() as client:
        found = client.suggestions(identifier)
    show_rows(_SUGGESTION, found["suggestions"], raw=found)


@command("confirm", path="dataset-confirm")
@click.argument("identifier", metavar="DATASET")
@click.argument("item", metavar="ITEM")
@click.argument("meaning", metavar="MEANING")
def dataset_confirm(identifier: str, item: str, meaning: str) -> None:
    """Yes, that is what the item is: its entry gets the meaning and at least the grade."""
    with open_client() as client:
        found = client.decide_suggestion(identifier, item=item, meaning=meaning, confirm=True)
    show_rows(_SUGGESTION, found["suggestions"], raw=found)


@command("dismiss", path="dataset-dismiss")
@click.argument("identifier", metavar="DATASET")
@click.argument("item", metavar="ITEM")
@click.argument("meaning", metavar="MEANING")
@click.option("--words", "said_words", required=True, metavar="TEXT")
def dataset_dismiss(identifier: str, item: str, meaning: str, said_words: str) -> None:
    """No, and why."""
    with open_client() as client:
        found = client.decide_suggestion(identifier, item=item, meaning=meaning, confirm=False, words=said_words)
    show_rows(_SUGGESTION, found["suggestions"], raw=found)


@command("snapshots", path="dataset-snapshots")
@click.argument("identifier", metavar="DATASET")
def dataset_snapshots(identifier: str) -> None:
    """The history of a dataset."""
    with open_client() as client:
        found = client.snapshots(identifier)
    columns: list[Column] = [
        ("version", lambda row: row["version"]),
        ("taken_at", lambda row: instant_text(row["taken_at"])),
        ("mode", lambda row: choice(row["mode"])),
        ("rows", lambda row: row["rows"]),
        ("rejected_rows", lambda row: row["rejected_rows"]),
        ("changes", lambda row: "; ".join(one["text"] for one in row["changes"])),
        ("removed_at", lambda row: instant_text(row["removed_at"])),
    ]
    show_rows(columns, found["snapshots"], raw=found)


@command("dcat", path="dataset-dcat")
@click.argument("identifier", metavar="[DATASET]", required=False)
@click.option("--form", type=click.Choice(["ttl", "jsonld"]), default="ttl")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
def dataset_dcat(identifier: str | None, form: str, output: Path | None) -> None:
    """One entry, or all that everyone may know."""
    with open_client() as client:
        written = client.dcat(identifier, form=form)
    put(written.encode("utf-8"), output)


@command("guide", path="dataset-guide")
@click.option("--office", metavar="OFFICE")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
def dataset_guide(office: str | None, output: Path | None) -> None:
    """The catalogue in the national form."""
    with open_client() as client:
        written = client.guide(office=office)
    put(written, output)


def put(content: bytes, output: Path | None) -> None:
    """Into the file, or to standard output."""
    if output is None:
        show_bytes(content)
        return
    try:
        output.write_bytes(content)
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(output)) from None
    remark(words("written", file=str(output)))


purpose = Group("purpose", no_args_is_help=True)


@purpose.command("list")
def purpose_list() -> None:
    """The controlled list that a request, a query and an extract choose from."""
    with open_client() as client:
        found = client.purposes()
    show_rows([("code", lambda row: row["code"]), ("title", lambda row: row["title"])], found["purposes"], raw=found)


@command("grading")
def grading() -> None:
    """The grades of this instance and what each asks for."""
    with open_client() as client:
        found = client.grading()
    columns: list[Column] = [
        ("rank", lambda row: row["rank"]),
        ("code", lambda row: row["code"]),
        ("title", lambda row: row["title"]),
        ("reviewers", lambda row: row["reviewers"]),
        ("modes", lambda row: ", ".join(choice(one) for one in row["modes"])),
        ("sandbox_level", lambda row: row["storage"]["sandbox_level"]),
        ("keep_days", lambda row: row["storage"]["keep_days"]),
        ("barrier", lambda row: words("yes") if row["storage"]["barrier"] else words("no")),
    ]
    show_rows(columns, found["grades"], raw=found)
    if surroundings().format == "table":
        remark(words("grading-source", scheme=text(found["scheme"]["title"]), source=text(found["scheme"]["source"])))
        if found["scheme"]["check_against_text"]:
            remark(words("grading-to-check"))
