"""Looking into a source of one's own before it is registered: what was understood of it, and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import surroundings
from huitong.cli.catalogue import choice
from huitong.cli.failing import printable
from huitong.cli.language import words
from huitong.cli.output import show_json, show_table, shown_to_programs
from huitong.errors import InputInvalid


def reading_of_file(file: Path, overrides: dict[str, Any], types: Sequence[str]) -> dict[str, Any]:
    """What a file looks like, in the form in which the API tells it of a database. Nothing is written."""
    from huitong.intake.reading import inspect
    from huitong.intake.source import Overrides
    from huitong.words import render

    if not file.is_file():
        raise InputInvalid.because("cli-file-unreadable", file=str(file))
    reading = inspect(file, overrides=Overrides(**overrides, types=types_of(types)))
    language = words.language
    return {
        "format": reading.format,
        "encoding": reading.encoding,
        "delimiter": reading.delimiter,
        "sheet": reading.sheet,
        "sheets": list(reading.sheets),
        "header_row": reading.header_row,
        "rows": reading.rows,
        "broken": reading.broken,
        "decisions": [
            {"what": one.what, "value": one.value, "code": one.why.code, "text": render(one.why, language)} for one in reading.decisions
        ],
        "columns": [
            {
                "name": one.name,
                "type": one.type.value,
                "missing": one.missing,
                "code": one.why.code,
                "text": render(one.why, language),
            }
            for one in reading.columns
        ],
    }


def types_of(given: Sequence[str]) -> dict[str, Any]:
    """Types that a person has decided, each written `column=type`. Raises InputInvalid `cli-types-unreadable`."""
    from huitong.model.catalog import ItemType

    types = {}
    for one in given:
        column, equals, kind = one.rpartition("=")
        if not equals or kind not in {known.value for known in ItemType}:
            raise InputInvalid.because("cli-types-unreadable", given=one, types=", ".join(known.value for known in ItemType))
        types[column] = ItemType(kind)
    return types


def decision_line(decision: dict[str, Any]) -> str:
    """What was decided about a source, and why: `Encoding: gb18030 (it is not UTF-8, ...)`."""
    if decision["what"] == "rows":  # its value is a number that the sentence tells already
        return words("decision-bare", what=words("decision-rows"), why=str(decision["text"]))
    value = str(decision["value"])
    shown = words("value-blank") if value and not value.strip(" ") else "tab" if value == "\t" else value
    return words("decision", what=words(f"decision-{decision['what']}"), value=shown, why=str(decision["text"]).rstrip("。."))


def show_reading(reading: dict[str, Any]) -> None:
    """Decisions first, each with why; then the columns."""
    if surroundings().format == "json":
        show_json(reading)
        return
    header = ["name", "type", "missing", "why"]
    rows = [[one["name"], choice(one["type"]), one["missing"], one["text"]] for one in reading["columns"]]
    if shown_to_programs(header, rows):
        return
    for one in reading["decisions"]:
        click.echo(printable(decision_line(one)))
    if reading["rows"] is not None:
        click.echo(words("reading-rows", rows=f"{reading['rows']:,}"))
    click.echo()
    show_table([words(f"title-{key}") for key in header], rows)
