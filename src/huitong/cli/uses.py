"""Who used which data: lists and totals of uses, as the ledger tells them."""

from typing import Any

import click

from huitong.cli.base import command
from huitong.cli.catalogue import choice, instant_text, office_text, purpose_text, with_brackets
from huitong.cli.door import open_client
from huitong.cli.output import show_one, show_rows
from huitong.cli.proving import operator_option
from huitong.cli.sharing import limit, offset


@command("uses", path="ledger-uses")
@click.option("--as", "side", type=click.Choice(["provider", "applicant", "regulator"]), default="provider")
@click.option("--dataset", metavar="DATASET")
@click.option("--office", metavar="OFFICE")
@click.option("--grant", metavar="GRANT")
@click.option("--end", type=click.Choice(["answered", "refused", "failed"]))
@click.option("--since", metavar="YYYY-MM-DD")
@click.option("--until", metavar="YYYY-MM-DD")
@click.option("--totals", is_flag=True)
@limit
@offset
def ledger_uses(side: str, totals: bool, limit: int, offset: int, **narrowing: str | None) -> None:
    """Uses of your office's data; or with --totals how many there were by month, dataset and using office."""
    with open_client() as client:
        if totals:
            page = client.use_totals(as_=side, limit=limit, offset=offset, **narrowing)
            show_rows(TOTALS, page["totals"], raw=page, total=page["total"])
        else:
            page = client.uses(as_=side, limit=limit, offset=offset, **narrowing)
            show_rows(USES, page["uses"], raw=page, total=page["total"])


USES: list[Any] = [
    ("ended_at", lambda row: instant_text(row["ended_at"])),
    ("dataset", lambda row: row["dataset"]),
    ("using_office", lambda row: office_text(row["using_office"])),
    ("person", lambda row: row["person"]),
    ("purpose", lambda row: purpose_text(row["purpose"])),
    ("legal_basis", lambda row: row["legal_basis"]),
    ("grant", lambda row: row["grant"]),
    ("snapshot", lambda row: row["snapshot"]),
    ("items", lambda row: [with_brackets(one["item"], one["mask"]) if one["mask"] else one["item"] for one in row["items"]]),
    ("rows", lambda row: row["rows"]),
    ("duration", lambda row: row["duration"]),
    ("mode", lambda row: choice(row["mode"] or "")),
    ("door", lambda row: choice(row["door"] or "")),
    ("end", lambda row: choice(row["end"])),
    ("reasons", lambda row: row["reasons"]),
    ("query", lambda row: row["query"]),
]
TOTALS: list[Any] = [
    ("month", lambda row: row["month"]),
    ("dataset", lambda row: row["dataset"]),
    ("using_office", lambda row: office_text(row["using_office"])),
    ("answered", lambda row: row["answered"]),
    ("refused", lambda row: row["refused"]),
    ("failed", lambda row: row["failed"]),
    ("rows", lambda row: row["rows"]),
]


@command("rebuild-uses", path="ledger-rebuild-uses")
@operator_option
def ledger_rebuild_uses(operator: str) -> None:
    """Make the list of uses anew from the ledger, where the audit says that it was changed."""
    from huitong.cli.inside import open_as_operator
    from huitong.cli.language import words
    from huitong.cli.progress import counting

    with open_as_operator(operator, action="ledger-rebuild-uses") as inside, counting(words("auditing")) as progress:
        made = inside.stores.use_index.rebuild(inside.stores.ledger.sequencer_lock, progress)
    show_one([("uses", made)], raw={"uses": made})
