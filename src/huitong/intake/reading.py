"""Open any file that holds a table: what it is, is decided by its content, never by its name, and every decision has a reason.

`open_source` gives the rows of a file; `inspect` tells what it looks like. Neither writes anything.
"""

from pathlib import Path

from huitong.errors import InputInvalid
from huitong.intake import delimited, json_lines, parquet_files, spreadsheets
from huitong.intake.formats import kind_of
from huitong.intake.limits import Deadline
from huitong.intake.source import (
    Decision,
    FastParquet,
    FastText,
    Overrides,
    Proof,
    Reading,
    ReadingColumn,
    SourceBatch,
    SourceTable,
)
from huitong.model.catalog import Dataset

__all__ = [
    "Decision", "FastParquet", "FastText", "Overrides", "Proof", "Reading", "ReadingColumn", "SourceBatch", "SourceTable",
    "inspect", "open_source",
]  # fmt: skip


def open_source(
    path: Path, *, overrides: Overrides | None = None, dataset: Dataset | None = None, deadline: Deadline | None = None
) -> SourceTable:
    """The table of a file, with its shape decided. With a dataset, header and delimiter are those that name its items.

    Raises InputInvalid with the reason why it cannot be read. Close it (or use `with`) when done."""
    try:
        return _open(path, overrides or Overrides(), dataset, deadline)
    except (FileNotFoundError, PermissionError):
        raise InputInvalid.because("intake-file-missing") from None


def _open(path: Path, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> SourceTable:
    if not path.is_file():
        raise InputInvalid.because("intake-file-missing")
    kind = kind_of(path)
    if overrides.format not in (None, kind):
        raise InputInvalid.because("reading-format-other", said=overrides.format or "", found=kind)
    if kind == "parquet":
        return parquet_files.open_parquet(path, overrides, dataset, deadline)
    if kind in ("xlsx", "xlsb", "xls", "ods", *spreadsheets.MARKED_UP):
        return spreadsheets.open_workbook(path, kind, overrides, dataset, deadline)
    if kind in ("json", "json-lines"):
        return json_lines.open_json(path, kind, overrides, dataset, deadline)
    return delimited.open_delimited(path, overrides, dataset, deadline)


def inspect(path: Path, overrides: Overrides | None = None, *, deadline: Deadline | None = None) -> Reading:
    """What a file looks like, with a type for each column that holds for every row. Holds no value of it. Raises InputInvalid."""
    with open_source(path, overrides=overrides, deadline=deadline) as source:
        return source.reading
