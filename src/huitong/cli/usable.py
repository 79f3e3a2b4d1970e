"""What one's office has, and what it could have."""

from typing import Any

import click

from huitong.cli.base import command, surroundings
from huitong.cli.catalogue import choice, limit, office_text, offset
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import show_rows

ANSWERS = ("granted", "preparing", "under-review", "at-once", "needs-approval", "not-shared", "refused")


@command("usable", path="dataset-usable")
@click.option("--can", type=click.Choice(ANSWERS), multiple=True)
@limit
@offset
def dataset_usable(can: tuple[str, ...], limit: int, offset: int) -> None:
    """Can I have it, how, by when: of all entries that the office may know of."""
    with open_client() as client:
        page = client.usable(can=can, limit=limit, offset=offset)
    columns = [
        ("dataset", lambda row: row["id"]),
        ("title", lambda row: row["title"]),
        ("provider", lambda row: office_text(row["provider"])),
        ("usable", lambda row: _standing(row["availability"]["kind"])),
        ("until", lambda row: row["availability"]["until"]),
        ("answer_by", lambda row: row["availability"]["answer_by"]),
    ]
    show_rows(columns, page["datasets"], raw=page, total=page["total"])


def _standing(kind: Any) -> str:
    named = f"value-usable-{kind}"
    return words(named) if not surroundings().plain and words.has(named) else choice(kind)
