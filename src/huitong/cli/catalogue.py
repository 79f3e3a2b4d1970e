"""What there is: divisions, offices, datasets. Clients of the API, but for `dataset inspect`, which reads a file of one's own."""

import sys
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows, show_table, text
from huitong.errors import InputInvalid

LEVELS = ("province", "city", "county", "township", "village")
limit = click.option("--limit", type=click.IntRange(1, 500), default=20)
offset = click.option("--offset", type=click.IntRange(0), default=0)

division = Group("division", no_args_is_help=True)
office = Group("office", no_args_is_help=True, lazy={"register": "huitong.cli.registering:office_register"})
dataset = Group("dataset", no_args_is_help=True)


# --- divisions ------------------------------------------------------------------------------------------------------------


@division.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--under", metavar="CODE")
@click.option("--level", type=click.Choice(LEVELS))
@limit
@offset
def division_search(text_: str | None, under: str | None, level: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.divisions(text_, under=under, level=level, limit=limit, offset=offset)
    columns = [
        ("code", lambda row: row["code"]),
        ("name", lambda row: row["name"]),
        ("level", lambda row: choice(row["level"])),
        ("parent", lambda row: row["parent"]),
    ]
    show_rows(columns, page["divisions"], raw=page, total=page["total"])


@division.command("show")
@click.argument("code")
def division_show(code: str) -> None:
    with open_client() as client:
        found = client.division(code)
    pairs = [(key, found[key]) for key in ("code", "name", "level", "parent", "valid_from", "valid_to")]
    show_one([(key, choice(value) if key == "level" else value) for key, value in pairs], raw=found)


# --- offices --------------------------------------------------------------------------------------------------------------


@office.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--level", type=click.Choice(LEVELS))
@click.option("--division", metavar="CODE")
@limit
@offset
def office_search(text_: str | None, level: str | None, division: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.offices(text_, level=level, division=division, limit=limit, offset=offset)
    columns = [
        ("id", lambda row: row["id"]),
        ("title", lambda row: row["title"]),
        ("level", lambda row: choice(row["level"])),
        ("division", lambda row: row["division"]),
    ]
    show_rows(columns, page["offices"], raw=page, total=page["total"])


@office.command("show")
@click.argument("identifier", metavar="OFFICE")
def office_show(identifier: str) -> None:
    with open_client() as client:
        found = client.office(identifier)
    pairs = [(key, found[key]) for key in ("id", "title", "division", "level", "credit_code", "superior")]
    show_one([(key, choice(value) if key == "level" else value) for key, value in pairs], raw=found)


# --- datasets -------------------------------------------------------------------------------------------------------------


@dataset.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--office", metavar="OFFICE")
@click.option("--sharing", type=click.Choice(["unconditional", "conditional", "not-shared"]))
@limit
@offset
def dataset_search(text_: str | None, office: str | None, sharing: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.search(text_, office=office, sharing=sharing, limit=limit, offset=offset)
    columns = [
        ("dataset", lambda row: row["id"]),
        ("title", lambda row: row["title"]),
        ("provider", lambda row: office_text(row["provider"])),
        ("sharing", lambda row: choice(row["sharing"])),
        ("item_count", lambda row: row["item_count"]),
        ("grade", lambda row: row["grade"]),
    ]
    show_rows(columns, page["datasets"], raw=page, total=page["total"])


@dataset.command("show")
@click.argument("identifier", metavar="DATASET")
def dataset_show(identifier: str) -> None:
    with open_client() as client:
        found = client.dataset(identifier)
    show_dataset(found)


def show_dataset(found: dict[str, Any]) -> None:
    """A whole entry: what it is, whether one may have it, its items."""
    form = surroundings().format
    snapshot = found.get("snapshot")
    pairs = [
        ("dataset", found["id"]),
        ("title", found["title"]),
        ("abstract", found["abstract"]),
        ("provider", office_text(found["provider"])),
        ("collector", office_text(found["collector"])),
        ("sharing", choice(found["sharing"])),
        ("sharing_basis", found["sharing_basis"]),
        ("sharing_condition", found["sharing_condition"]),
        ("update_cycle", choice(found["update_cycle"])),
        ("grade", found["grade"]),
        ("source", found["source"]),
        ("snapshot", words("snapshot-line", **_snapshot(snapshot)) if snapshot else words("no-snapshot")),
        ("availability", found["availability"]["text"]),
    ]
    if form == "csv":
        items_table(found, csv=True)
        return
    show_one([(key, value) for key, value in pairs if value is not None], raw=found)
    if form == "table":
        click.echo()
        items_table(found)


def _snapshot(snapshot: dict[str, Any]) -> dict[str, str | int]:
    return {"version": snapshot["version"], "rows": f"{snapshot['rows']:,}", "taken_at": str(snapshot["taken_at"])[:10]}


def items_table(found: dict[str, Any], *, csv: bool = False) -> None:
    """The items of an entry."""
    from huitong.cli.output import show_csv

    header = ["item", "title", "type", "grade", "meaning", "default_mask"]
    rows = [
        [item["name"], text(item["title"]), choice(item["type"]), item["grade"], item["meaning"] or "", mask_text(item["default_mask"])]
        for item in found["items"]
    ]
    if csv:
        show_csv(header, rows)
    else:
        show_table([words(f"title-{key}") for key in header], rows)


@dataset.command("publish")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
def dataset_publish(file: Path) -> None:
    entry = read_entry(file)
    with open_client() as client:
        found = client.publish(entry)
    remark(words("published", dataset=str(found["id"])))
    show_one([("dataset", found["id"]), ("title", found["title"]), ("sharing", choice(found["sharing"]))], raw=found)


def read_entry(file: Path) -> dict[str, Any]:
    """A catalogue entry from a TOML or JSON file, or from standard input (either form), as the API takes it."""
    import json
    import tomllib

    try:
        written = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    try:
        entry = json.loads(written) if written.lstrip().startswith("{") else tomllib.loads(written)
    except ValueError as error:
        line = int(getattr(error, "lineno", None) or 0)
        raise InputInvalid.because("cli-entry-unreadable", file=str(file), line=line) from None
    entry.pop("published_on", None)
    if "item" in entry and "items" not in entry:
        entry["items"] = entry.pop("item")
    return dict(entry)


@dataset.command("register")
@click.argument("identifier", metavar="DATASET")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--kind", type=click.Choice(["csv", "parquet"]))
def dataset_register(identifier: str, file: Path, kind: str | None) -> None:
    from huitong.client import CSV, PARQUET

    media = {"csv": CSV, "parquet": PARQUET, None: None}[kind]
    if str(file) == "-":
        if kind is None:
            raise InputInvalid.because("cli-kind-missing")
        source: Path | Any = iter(lambda: sys.stdin.buffer.read(1 << 20), b"")
    elif not file.is_file():
        raise InputInvalid.because("cli-file-unreadable", file=str(file))
    else:
        source = file
    with open_client() as client:
        snapshot = client.upload(identifier, source, kind=media)
    remark(words("registered", dataset=identifier, **_snapshot(snapshot)))
    if snapshot.get("rejected_rows"):
        remark(words("rows-rejected", rows=int(snapshot["rejected_rows"])))
    keys = ("version", "rows", "rejected_rows", "taken_at", "source_hash")
    show_one([(key, snapshot[key]) for key in keys if key in snapshot], raw=snapshot)


@dataset.command("inspect")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def dataset_inspect(file: Path) -> None:
    from huitong.cli.inspecting import show_reading

    show_reading(file)


# --- words of values ------------------------------------------------------------------------------------------------------


def office_text(office: Any) -> str:
    """An office by its title, else its id; by its id for programs."""
    if not isinstance(office, dict):
        return str(office)
    identifier = str(office.get("id", ""))
    return identifier if surroundings().format == "csv" else text(office.get("title")) or identifier


def choice(value: str) -> str:
    """A value of a fixed list in the reader's language; the value itself for programs."""
    if surroundings().format == "csv" or not words.has(f"value-{value}"):
        return value
    return words(f"value-{value}")


def instant_text(value: object) -> str:
    """An instant to the minute, in UTC as the ledger has it; in full for programs."""
    written = str(value or "")
    return written if surroundings().format == "csv" else f"{written[:10]} {written[11:16]} UTC".strip()


def mask_text(mask: dict[str, Any]) -> str:
    """A mask as one writes it on the command line: `partial:first=3,last=4`."""
    parameters = ",".join(f"{name}={value}" for name, value in mask.get("parameters", {}).items())
    return f"{mask['kind']}:{parameters}" if parameters else str(mask["kind"])


