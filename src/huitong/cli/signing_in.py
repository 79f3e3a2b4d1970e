"""Signing in: a token kept in the profile, and the ledger key pinned at the first time."""

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from huitong.cli.base import command
from huitong.cli.catalogue import choice
from huitong.cli.door import client_at, find_way, open_client, remembered
from huitong.cli.language import words
from huitong.cli.output import remark, show_one
from huitong.cli.profile import read_profile, write_profile
from huitong.errors import Conflict, HuitongError, InputInvalid

if TYPE_CHECKING:
    from huitong.client import Client


@command("login")
@click.argument("url", required=False)
@click.option("--accept-new-ledger-key", is_flag=True)
def login(url: str | None, accept_new_ledger_key: bool) -> None:
    """Keep a token for a door; the token is read from the terminal without showing it, or from standard input."""
    from huitong.cli.base import surroundings

    if url:
        surroundings().server = url
    profile = read_profile()
    way = find_way(profile)
    token = read_token()
    with client_at(way, token) as client:
        me = client.whoami()
        key = client.ledger_key()
        door = remembered(profile, way)
        pinned = followed(client, door.ledger_key, key) if door.ledger_key else key
    if pinned is None and not accept_new_ledger_key:
        warn_of_key(door.ledger_key or "", key)
        raise Conflict.because("cli-ledger-key-changed", door=way.address)
    if door.ledger_key != pinned or pinned is None:
        remark(words("ledger-key-pinned", key=pinned or key))
    write_profile(profile.with_door(replace(door, token=token, ledger_key=pinned or key)))
    remark(words("signed-in", name=str(me.get("name", "")), office=_office(me), door=way.address, profile=str(profile.path)))


def followed(client: "Client", pinned: str, key: str) -> str | None:
    """The pinned keys with those to which the ledger's signed key changes lead, if the key that it shows now is the newest of them."""
    from huitong.ledger.keys import followed_keys

    if pinned.split()[0] == key:
        return pinned
    with suppress(HuitongError):
        keys = followed_keys(client.ledger_keys(), trusted=pinned)
        if keys[0].text == key:
            return "\n".join(one.line for one in keys)
    return None


def read_token(question: str = "ask-token") -> str:
    """The token (or what is asked for) as typed unseen, or the first line of standard input."""
    token = click.prompt(words(question), hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = token.strip()
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise InputInvalid.because("cli-token-empty")
    return token


def warn_of_key(pinned: str, now: str) -> None:
    """Loud, because it means that the past may have been rewritten."""
    click.echo(click.style("!" * 78, fg="red", bold=True), err=True)
    click.echo(click.style(words("ledger-key-changed-warning", pinned=pinned, now=now), fg="red", bold=True), err=True)
    click.echo(click.style("!" * 78, fg="red", bold=True), err=True)


def _office(me: dict[str, object]) -> str:
    from huitong.cli.output import text

    office = me.get("office")
    if isinstance(office, dict):
        return text(office.get("title")) or str(office.get("id", ""))
    return str(office or "")


@command("whoami")
def whoami() -> None:
    """The account, post, office and roles behind the token."""
    with open_client() as client:
        me = client.whoami()
    keys = [key for key in ("person", "name", "post", "office", "division", "roles", "scopes", "expires_at") if key in me]
    show_one([(key, [choice(role) for role in me[key]] if key == "roles" else _named(me[key])) for key in keys], raw=me)


def _named(value: object) -> object:
    from huitong.cli.output import text

    if isinstance(value, dict) and "id" in value:
        return f"{value['id']}  {text(value.get('title'))}".rstrip()
    return value
