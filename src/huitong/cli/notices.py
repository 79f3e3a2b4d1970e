"""What one was told, and how else one wants to be told: in-box, e-mail, webhooks. Clients of the API."""

from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.catalogue import choice, instant_text, limit, offset
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.loading import secret
from huitong.cli.output import Column, remark, show_one, show_rows
from huitong.cli.proving import operator_option
from huitong.errors import InputInvalid

notice = Group("notice", no_args_is_help=True)
webhook = Group("webhook", no_args_is_help=True)
webhook_argument = click.argument("identifier", metavar="WEBHOOK")

_NOTICE: list[Column] = [
    ("at", lambda row: instant_text(row["at"])),
    ("unread", lambda row: "" if row["read_at"] else "*"),
    ("notice", lambda row: row["text"]),
    ("id", lambda row: row["id"]),
]


@notice.command("list")
@click.option("--unread", is_flag=True)
@limit
@offset
def notice_list(unread: bool, limit: int, offset: int) -> None:
    """The in-box of the post one acts in."""
    with open_client() as client:
        page = client.notices(unread=unread, limit=limit, offset=offset)
    show_rows(_NOTICE, page["notices"], raw=page, total=page["total"])


@notice.command("read")
@click.argument("identifiers", metavar="[NOTICE]...", nargs=-1)
@click.option("--all", "everything", is_flag=True)
def notice_read(identifiers: tuple[str, ...], everything: bool) -> None:
    """Those named, or all."""
    if everything == bool(identifiers):
        raise InputInvalid.because("cli-notice-read-which")
    with open_client() as client:
        done = client.read_notices(None if everything else identifiers)
    remark(words("notices-read", read=int(done["read"]), unread=int(done["unread"])))


@notice.command("mail")
@click.option("--when", type=click.Choice(["off", "at-once", "daily"]))
@click.option("--address", metavar="ADDRESS")
@click.option("--language", type=click.Choice(["en", "zh-Hans"]))
def notice_mail(when: str | None, address: str | None, language: str | None) -> None:
    """Without options: what is chosen."""
    with open_client() as client:
        if when is None and address is None and language is None:
            chosen = client.mail()
        else:
            chosen = client.choose_mail(when=when, address=address, language=language)
    pairs = [("when", choice(f"mail-{chosen['when']}")), ("address", chosen["address"]), ("language", chosen["language"])]
    show_one(pairs, raw=chosen)
    if not chosen["leaves"]:
        remark(words("mail-leaves-not"))


@notice.command("smtp-password")
@operator_option
def notice_smtp_password(operator: str) -> None:
    """The password of the mail server, read without echo, into the key store of the instance here."""
    from huitong.cli.inside import open_as_operator
    from huitong.keystore import FileKeyStore
    from huitong.portal.notices.mail import PASSWORD

    password = secret("ask-smtp-password")
    with open_as_operator(operator, action="smtp-password") as inside:
        store = FileKeyStore(inside.settings.keys)
        store.keep_sealed(PASSWORD, password.encode())
    remark(words("smtp-password-kept"))


# --- webhooks -----------------------------------------------------------------------------------------------------------------


def _outcome(row: Any) -> str:
    found = row["outcome"]
    if not found:
        return ""
    return f"{found['text']} ({row['status']})" if row.get("status") else str(found["text"])


_WEBHOOK: list[Column] = [
    ("id", lambda row: row["id"]),
    ("address", lambda row: row["url"]),
    ("kinds", lambda row: ", ".join(row["kinds"]) or words("every-kind")),
    ("state", lambda row: choice(f"webhook-{row['state']}")),
    ("failures", lambda row: row["failures"]),
    ("last_attempt", _outcome),
]
_DELIVERY: list[Column] = [
    ("id", lambda row: row["id"]),
    ("created_at", lambda row: instant_text(row["created_at"])),
    ("kind", lambda row: row["kind"]),
    ("state", lambda row: choice(f"delivery-{row['state']}")),
    ("attempts", lambda row: row["attempts"]),
    ("next", lambda row: instant_text(row["due_at"])),
    ("last_attempt", _outcome),
]


@webhook.command("add")
@click.argument("url", metavar="URL")
@click.option("--kind", "kinds", multiple=True, metavar="KIND")
def webhook_add(url: str, kinds: tuple[str, ...]) -> None:
    """The secret is shown this once."""
    with open_client() as client:
        made = client.add_webhook(url, kinds=kinds)
    _show_secret(made)


@webhook.command("list")
def webhook_list() -> None:
    """Those of the office, without their secrets."""
    with open_client() as client:
        found = client.webhooks()
    show_rows(_WEBHOOK, found["webhooks"], raw=found)


@webhook.command("remove")
@webhook_argument
def webhook_remove(identifier: str) -> None:
    """Told no more from now on."""
    with open_client() as client:
        client.remove_webhook(identifier)
    remark(words("webhook-removed", webhook=identifier))


@webhook.command("rotate")
@webhook_argument
def webhook_rotate(identifier: str) -> None:
    """A new secret, shown this once."""
    with open_client() as client:
        made = client.rotate_webhook(identifier)
    _show_secret(made)
    remark(words("webhook-rotated", until=instant_text(made["webhook"]["rotated_until"])))


@webhook.command("test")
@webhook_argument
def webhook_test(identifier: str) -> None:
    """Goes out by the worker, as all others do."""
    with open_client() as client:
        made = client.test_webhook(identifier)
    show_one([(key, read(made)) for key, read in _DELIVERY], raw=made)
    remark(words("webhook-tested", webhook=identifier))


@webhook.command("deliveries")
@webhook_argument
@limit
@offset
def webhook_deliveries(identifier: str, limit: int, offset: int) -> None:
    """Where each message stands, and why it failed if it did."""
    with open_client() as client:
        page = client.deliveries(identifier, limit=limit, offset=offset)
    show_rows(_DELIVERY, page["deliveries"], raw=page, total=page["total"])


def _show_secret(made: Any) -> None:
    shown = [("id", made["webhook"]["id"]), ("address", made["webhook"]["url"]), ("secret", made["secret"])]
    show_one(shown, raw=made)
    remark(words("webhook-secret-once"))
