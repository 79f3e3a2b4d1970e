"""People and their posts, tokens, staff mode: clients of the API. What the operator does on the machine itself is in `registering`."""

import sys
from typing import Any

import click

from huitong.cli.base import Group
from huitong.cli.catalogue import choice, instant_text
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows
from huitong.cli.registering import ROLES, SCOPES

person = Group("person", no_args_is_help=True)
token = Group("token", no_args_is_help=True)
staff = Group("staff", no_args_is_help=True)
roles_option = click.option("--role", "roles", type=click.Choice(ROLES), multiple=True)
words_option = click.option("--words", "said", metavar="TEXT", default="")
limit = click.option("--limit", type=click.IntRange(1, 500), default=50)
offset = click.option("--offset", type=click.IntRange(0), default=0)


@person.command("list")
@click.option("--office", metavar="OFFICE")
@limit
@offset
def person_list(office: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        found = client.people(office, limit=limit, offset=offset)
    columns = [
        ("account", lambda row: row["person"]),
        ("name", lambda row: row["name"]),
        ("post", lambda row: row["post"]),
        ("roles", lambda row: [choice(role) for role in row["roles"]]),
        ("keeper", lambda row: (row["keeper"] if row["kept"] else words("keeper-gone", keeper=row["keeper"])) if row["keeper"] else None),
        ("since", lambda row: instant_text(row["since"])),
    ]
    show_rows(columns, found["posts"], raw=found, total=found["total"])


@person.command("register")
@click.argument("name", metavar="ACCOUNT")
@click.option("--name", "full_name", metavar="TEXT", required=True)
@click.option("--office", metavar="OFFICE", required=True)
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True)
@click.option("--keeper", metavar="ACCOUNT")
@click.option("--password", is_flag=True)
def person_register(name: str, full_name: str, office: str, roles: tuple[str, ...], keeper: str | None, password: bool) -> None:
    with open_client() as client:
        made = client.register(name, name=full_name, office=office, roles=roles, keeper=keeper, password=password)
    pairs = [(key, made[key]) for key in ("account", "post", "office", "password") if made.get(key)]
    show_one(pairs, raw=made)


@person.command("add-post")
@click.argument("name", metavar="ACCOUNT")
@click.option("--office", metavar="OFFICE", required=True)
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True)
def person_add_post(name: str, office: str, roles: tuple[str, ...]) -> None:
    with open_client() as client:
        made = client.add_post(name, office=office, roles=roles)
    show_one([(key, made[key]) for key in ("account", "post", "office")], raw=made)


@person.command("end-post")
@click.argument("post", metavar="POST")
def person_end_post(post: str) -> None:
    with open_client() as client:
        client.end_post(post)
    remark(words("post-ended", post=post))


@person.command("leave")
@click.argument("name", metavar="ACCOUNT")
@click.option("--post", metavar="POST")
@words_option
def person_leave(name: str, post: str | None, said: str) -> None:
    with open_client() as client:
        left = client.leave(name, post=post, words=said)
    _show_left(left)


@person.command("move")
@click.argument("name", metavar="ACCOUNT")
@click.option("--post", metavar="POST", required=True)
@click.option("--office", metavar="OFFICE", required=True)
@roles_option
@click.option("--words", "said", metavar="TEXT", required=True)
def person_move(name: str, post: str, office: str, roles: tuple[str, ...], said: str) -> None:
    with open_client() as client:
        left = client.move(name, post=post, office=office, roles=roles or None, words=said)
    _show_left(left)


@person.command("keeper")
@click.argument("name", metavar="SERVICE")
@click.argument("keeper", metavar="ACCOUNT")
def person_keeper(name: str, keeper: str) -> None:
    with open_client() as client:
        client.name_keeper(name, keeper)
    remark(words("keeper-named", service=name, keeper=keeper))


def _show_left(left: dict[str, Any]) -> None:
    pairs = [("account", left["account"]), ("ended", left["ended"]), ("opened", left["opened"]), ("closed", left["closed"])]
    show_one([pair for pair in pairs if pair[1] is not None], raw=left)
    if left["services_without_keeper"]:
        remark(words("services-without-keeper", services=", ".join(left["services_without_keeper"])))


# --- tokens -----------------------------------------------------------------------------------------------------------------


@token.command("list")
@click.option("--account", "name", metavar="ACCOUNT")
@limit
@offset
def token_list(name: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        found = client.tokens(name, limit=limit, offset=offset)
    columns = [
        ("token", lambda row: row["prefix"]),
        ("label", lambda row: row["label"]),
        ("post", lambda row: row["post"]),
        ("scopes", lambda row: row["scopes"]),
        ("expires_at", lambda row: instant_text(row["expires_at"])),
        ("last_used_at", lambda row: instant_text(row["last_used_at"])),
        ("revoked_at", lambda row: instant_text(row["revoked_at"])),
    ]
    show_rows(columns, found["tokens"], raw=found, total=found["total"])


@token.command("issue")
@click.option("--post", metavar="POST")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True)
@click.option("--days", type=click.IntRange(1))
@click.option("--label", metavar="TEXT", default="")
@words_option
def token_issue(post: str | None, scopes: tuple[str, ...], days: int | None, label: str, said: str) -> None:
    with open_client() as client:
        made = client.issue_token(post, scopes=scopes or None, days=days, label=label, words=said)
    show_one([(key, made[key]) for key in ("token", "post", "scopes", "expires_at")], raw=made)


@token.command("revoke")
@click.argument("prefix", metavar="TOKEN")
def token_revoke(prefix: str) -> None:
    named = prefix.split("_")[1] if prefix.count("_") >= 1 else prefix
    with open_client() as client:
        client.revoke_token(named)
    remark(words("token-revoked", token=named))


# --- staff mode -------------------------------------------------------------------------------------------------------------


@staff.command("open")
@click.option("--words", "said", metavar="TEXT", required=True)
@click.option("--minutes", type=click.IntRange(1))
@click.option("--code", metavar="CODE")
def staff_open(said: str, minutes: int | None, code: str | None) -> None:
    """A code of the second factor is asked for on a terminal if none is given."""
    if code is None and sys.stdin.isatty():
        code = click.prompt(words("ask-code"), hide_input=True, err=True).strip()
    with open_client() as client:
        status = client.open_staff(said, minutes=minutes, code=code)
    _show_status(status)


@staff.command("close")
def staff_close() -> None:
    with open_client() as client:
        _show_status(client.close_staff())


@staff.command("status")
def staff_status() -> None:
    with open_client() as client:
        _show_status(client.staff_status())


def _show_status(status: dict[str, Any]) -> None:
    pairs = [("post", status["post"]), ("staff_open", status["open"])]
    if status["open"]:
        pairs += [("until", instant_text(status["until"])), ("words", status["words"])]
    show_one(pairs, raw=status)
    if not status["may_open"]:
        remark(words("staff-not-yours", post=status["post"]))
