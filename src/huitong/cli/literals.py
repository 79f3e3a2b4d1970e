"""What an entry of the ledger holds the salted hash of: shown, or erased for good, by the operator."""

import click

from huitong.cli.base import command
from huitong.cli.output import show_one
from huitong.cli.proving import operator_option


@command("literal", path="ledger-literal")
@click.argument("digest", metavar="HASH")
@operator_option
def ledger_literal(digest: str, operator: str) -> None:
    """The text behind a hash, with its salt: by both together anyone can count the hash anew."""
    from huitong.cli.inside import open_as_operator

    with open_as_operator(operator, action=f"ledger-literal {digest[:64]}") as inside:
        found = inside.ledger.literals.show(digest)
    body = {"hash": found.digest, "salt": found.salt, "text": found.text}
    show_one(list(body.items()), raw=body)


@command("erase-literal", path="ledger-erase-literal")
@click.argument("digest", metavar="HASH")
@operator_option
def ledger_erase_literal(digest: str, operator: str) -> None:
    """Remove the text behind a hash; the entry stays and tells nothing of it any more."""
    from huitong.cli.inside import open_as_operator

    with open_as_operator(operator, action=f"ledger-erase-literal {digest[:64]}") as inside, inside.stores.atomic():
        inside.ledger.literals.erase(digest)
    show_one([("erased", digest)], raw={"erased": digest})
