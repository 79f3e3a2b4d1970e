"""The catalogue in the form of the national compilation guide (2017): one row an item, the entry's own cells on each, as CSV.

What goes in is what a viewer may know (`CatalogActions.every_dataset`). Cells are safe to open in a spreadsheet program: none
is taken for a formula.
"""

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from huitong.model.catalog import Dataset, Sharing
from huitong.model.party import Office

PARTS_OF_A_CODE = re.compile(r"([1-3])-?(\d{2})-?(\d{3})([\d-]*)/(\d+)", re.ASCII)
FORMULA = re.compile(r"[\s\x00'\u200b-\u200f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet program takes for the beginning of a formula, in half or full width, after what it passes over."""
BYTE_ORDER_MARK = "\ufeff"
"""By which spreadsheet programs know UTF-8."""


class Offices(Protocol):
    """Where offices are found (`PartyStore`)."""

    def office(self, office_id: str) -> Office | None:
        """The office of that id."""
        ...


@cache
def form() -> Mapping[str, Any]:
    """The headings and words of the guide (`guide.toml`)."""
    return tomllib.loads((files(__package__) / "guide.toml").read_text("utf-8"))


def guide_rows(dataset: Dataset, provider: Office | None) -> Iterator[list[str]]:
    """The rows of one entry, a cell for each heading."""
    parts = PARTS_OF_A_CODE.fullmatch(dataset.classification)
    family, item_of_family, entry, sub_entry = (parts[1], parts[2], parts[3], parts[4].strip("-")) if parts else ("", "", "", "")
    shared = dataset.sharing is not Sharing.NOT_SHARED
    condition = dataset.sharing_condition.zh if dataset.sharing_condition else ""
    for item in dataset.items:
        yield [
            f"{family} {form()['family'][family]}" if family else "",
            item_of_family,
            entry,
            sub_entry,
            dataset.title.zh,
            dataset.classification,
            provider.title.zh if provider else dataset.provider,
            provider.credit_code if provider else "",
            dataset.abstract.zh,
            form()["format"][dataset.format.value],
            item.title.zh,
            form()["type"][item.type.value],
            form()["sharing"][dataset.sharing.value],
            condition if shared else dataset.sharing_basis,
            form()["manner"][dataset.sharing_manner.value] if shared else "",
            form()["openness"][dataset.openness.value],
            dataset.openness_condition.zh if dataset.openness_condition else "",
            form()["cycle"][dataset.update_cycle.value],
            dataset.published_on.isoformat() if dataset.published_on else "",
            "、".join(dataset.related),
        ]


def guide_csv(datasets: Iterable[Dataset], offices: Offices) -> Iterator[str]:
    """The form as text, one piece an entry: headings first, UTF-8 with a byte order mark, lines ending in CR LF (RFC 4180)."""
    yield BYTE_ORDER_MARK + _line(form()["headings"])
    known: dict[str, Office | None] = {}
    for dataset in datasets:
        if dataset.provider not in known:
            known[dataset.provider] = offices.office(dataset.provider)
        yield "".join(_line(row) for row in guide_rows(dataset, known[dataset.provider]))


def safe(cell: str) -> str:
    """The cell on one line, and with an apostrophe before it if a spreadsheet program would take it for a formula."""
    line = re.sub(r"[\r\n\t\x0b\x0c\x00\x85\u2028\u2029]+", " ", cell)
    return "'" + line if FORMULA.match(line) else line


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([safe(cell) for cell in cells])
    return written.getvalue()
