"""Looking into a file of one's own before it is registered."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import surroundings
from huitong.cli.catalogue import choice
from huitong.cli.language import words
from huitong.cli.output import show_csv, show_json, show_table, text


def _shown(key: str, value: object) -> str:
    """A reason or a type in words, for eyes; its code for programs."""
    return choice(str(value)) if key in ("type", "why") else text(value)


def show_reading(file: Path) -> None:
    """Encoding, delimiter, header and types, each with why."""
    from huitong.intake.load import inspect

    reading: Any = inspect(file)
    raw = asdict(reading) if is_dataclass(reading) and not isinstance(reading, type) else dict(vars(reading))
    form = surroundings().format
    if form == "json":
        show_json(raw)
        return
    lists = [value for value in raw.values() if isinstance(value, (list, tuple)) and value]
    columns = next((value for value in lists if isinstance(value[0], dict)), [])
    header = list(columns[0]) if columns else []
    rows = [[_shown(key, column[key]) for key in header] for column in columns]
    if form == "csv":
        show_csv(header, rows)
        return
    for name, value in raw.items():
        if value is not columns:
            click.echo(f"{words(f'title-{name}') if words.has(f'title-{name}') else name}: {text(value)}")
    click.echo()
    show_table([words(f"title-{key}") if words.has(f"title-{key}") else key for key in header], rows)
