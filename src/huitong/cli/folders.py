"""Catalogue as code: a draft entry from a file, entries as a folder of TOML, and a folder put in force."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import command, surroundings
from huitong.cli.catalogue import choice
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import Column, remark, show_json, show_rows
from huitong.cli.reading_options import as_file, kind_option, reading_options, said
from huitong.errors import HuitongError, InputInvalid, Reason


@command("draft", path="dataset-draft")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@kind_option
@click.option("--id", "identifier", metavar="DATASET", required=True)
@click.option("--office", metavar="OFFICE", required=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path))
@reading_options
@click.option("--type", "types", metavar="COLUMN=TYPE", multiple=True)
def dataset_draft(
    file: str, kind: str | None, identifier: str, office: str, output: Path | None, types: tuple[str, ...], **reading: Any
) -> None:
    """A TOML entry from a table file: items, types and suggestions, for a person to complete and confirm."""
    import tomli_w

    from huitong.cli.describing import put
    from huitong.cli.inspecting import types_of
    from huitong.intake.reading import open_source
    from huitong.intake.source import Overrides
    from huitong.intake.suggesting import draft_entry

    overrides = Overrides(**said(reading), types=types_of(types))
    with as_file(file, kind) as path, open_source(path, overrides=overrides) as source:
        entry = draft_entry(source, dataset=identifier, provider=office)
    if surroundings().format == "json":
        show_json(entry)
    else:
        put(tomli_w.dumps(entry).encode("utf-8"), output)
    suggested = [item["name"] for item in entry["items"] if "suggested" in item]
    if suggested:
        remark(words("draft-to-confirm", items=", ".join(suggested)))


@command("export", path="dataset-export")
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--office", metavar="OFFICE")
def dataset_export(folder: Path, office: str | None) -> None:
    """Every entry of the office as a file of its own; one that says the same already is not touched."""
    from huitong.catalog.folder import place_of
    from huitong.catalog.toml import dumps, entry_of

    with open_client() as client:
        entries = [entry_of(values) for values in client.export(office=office)["entries"]]
    try:
        for entry in entries:
            _write(folder / place_of(entry), dumps(entry))
    except OSError:
        raise InputInvalid.because("cli-file-unwritable", file=str(folder)) from None
    remark(words("folder-written", count=len(entries), folder=str(folder)))


def _write(file: Path, written: str) -> None:
    """The whole file or none of it."""
    if file.is_file() and file.read_text("utf-8") == written:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(written, "utf-8")
    new.replace(file)


@command("apply", path="dataset-apply")
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True)
def dataset_apply(folder: Path, dry_run: bool) -> None:
    """All entries of the folder, or none; with `-` the entries of standard input, as JSON."""
    entries = read_entries() if str(folder) == "-" else read_folder(folder)
    with open_client() as client:
        found = client.apply(entries, dry_run=dry_run)
    rows = [{"dataset": one, "state": "added", "why": ""} for one in found["added"]]
    rows += [{"dataset": one["dataset"], "state": "changed", "why": ", ".join(one["fields"])} for one in found["changed"]]
    rows += [{"dataset": one["dataset"], "state": "skipped", "why": one["reason"]["text"]} for one in found["skipped"]]
    columns: list[Column] = [
        ("dataset", lambda row: row["dataset"]),
        ("state", lambda row: choice(f"entry-{row['state']}") if not surroundings().plain else row["state"]),
        ("why", lambda row: row["why"]),
    ]
    if rows or surroundings().format != "table":
        show_rows(columns, rows, raw=found)
    counts = {"added": len(found["added"]), "changed": len(found["changed"]), "unchanged": int(found["unchanged"])}
    remark(words("apply-dry" if dry_run else "apply-done", **counts))


def read_entries() -> list[dict[str, Any]]:
    """Entries from standard input: a JSON list of them, or an object that holds one as `entries`, as the API gives it."""
    try:
        written = json.loads(sys.stdin.read())
        entries = [dict(one) for one in (written["entries"] if isinstance(written, dict) else written)]
    except (ValueError, KeyError, TypeError) as error:
        raise InputInvalid.because("cli-entry-unreadable", file="-", line=int(getattr(error, "lineno", None) or 0)) from None
    return [{name: value for name, value in entry.items() if name != "published_on"} for entry in entries]


def read_folder(folder: Path) -> list[dict[str, Any]]:
    """The entries of every TOML file below the folder. Raises InputInvalid with what is wrong in each file, by its name."""
    from huitong.catalog.toml import loads, values_of

    if not folder.is_dir():
        raise InputInvalid.because("cli-folder-empty", folder=str(folder))
    entries, wrong = [], []
    for file in sorted(folder.rglob("*.toml")):
        place = str(file.relative_to(folder))
        try:
            values = values_of(loads(file.read_text("utf-8")))
            values.pop("published_on", None)
            entries.append(values)
        except (OSError, UnicodeDecodeError):
            wrong.append(Reason("cli-file-unreadable", {"file": place}))
        except HuitongError as error:
            wrong += [Reason("cli-in-file", {"file": place}), *error.reasons]
    if wrong:
        raise InputInvalid(*wrong)
    if not entries:
        raise InputInvalid.because("cli-folder-empty", folder=str(folder))
    return entries
