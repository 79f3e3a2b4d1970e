"""Who takes part in an instance: offices, accounts, tokens. Done by its operator on its machine, and in the ledger."""

import secrets
import sys
import tomllib
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, command
from huitong.cli.inside import Inside, open_as_operator
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows
from huitong.cli.proving import operator_option
from huitong.errors import InputInvalid, NotFound

SCOPES = ("read", "share", "publish", "use", "manage")
ROLES = ("analyst", "data-officer", "reviewer", "regulator", "operator")
account = Group("account", no_args_is_help=True)


def _accounts(inside: Inside, operator: str) -> tuple[Any, Any]:
    """The verbs of accounts, and the actor that the operator is."""
    from huitong.keystore import FileKeyStore
    from huitong.model.party import Role
    from huitong.portal.accounts.actions import Accounts
    from huitong.portal.wiring import wall_clock

    by = next(actor for actor in inside.stores.parties.actors_of(operator) if actor.has(Role.OPERATOR))
    return Accounts(inside.stores, inside.ledger, FileKeyStore(inside.settings.keys), wall_clock), by


@account.command("add")
@click.argument("name", metavar="ACCOUNT")
@click.option("--name", "full_name", metavar="TEXT", required=True)
@click.option("--office", metavar="OFFICE", required=True)
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True)
@click.option("--keeper", metavar="ACCOUNT")
@operator_option
def account_add(name: str, full_name: str, office: str, roles: tuple[str, ...], keeper: str | None, operator: str) -> None:
    """An account with its first post, or one more post for an account that is there. A new person gets a password, shown once; a
    service, which names its keeper, has none."""
    from huitong.model.party import Role

    held = frozenset(Role(role) for role in roles)
    with open_as_operator(operator, action="account-add") as inside:
        from huitong.portal.accounts.actions import NewPerson

        accounts, by = _accounts(inside, operator)
        password = None
        if inside.stores.parties.actors_of(name):
            accounts.add_post(name, office=office, roles=held, by=by)
        else:
            password = None if keeper else secrets.token_urlsafe(12)
            accounts.register_people([NewPerson(name, full_name, office, held, password=password, keeper=keeper)], by=by)
    pairs = [("account", name), ("office", office), ("roles", sorted(roles)), ("password", password)]
    show_one([pair for pair in pairs if pair[1] is not None], raw=dict(pairs))
    remark(words("account-next", account=name))


@account.command("token")
@click.argument("name", metavar="ACCOUNT")
@click.option("--office", metavar="OFFICE")
@click.option("--days", type=click.IntRange(1))
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True)
@click.option("--words", "said", metavar="TEXT")
@operator_option
def account_token(
    name: str, office: str | None, days: int | None, scopes: tuple[str, ...], said: str | None, operator: str
) -> None:
    """A new token for a post of an account, shown once."""
    from datetime import timedelta

    from huitong.portal.accounts.tokens import ALL_SCOPES, Scope

    with open_as_operator(operator, action="account-token") as inside:
        posts = [actor for actor in inside.stores.parties.actors_of(name) if office in (None, actor.office)]
        if not posts:
            raise NotFound.because("cli-post-unknown", account=name)
        if len(posts) > 1:
            raise InputInvalid.because("cli-post-unclear", account=name, offices=", ".join(post.office for post in posts))
        accounts, by = _accounts(inside, operator)
        lifetime = timedelta(days=days) if days else None
        wanted = frozenset(Scope(scope) for scope in scopes) or ALL_SCOPES
        mandate = said or "huitong account token"
        issued = accounts.issue_token(posts[0].post, by=by, label="cli", scopes=wanted, lifetime=lifetime, words=mandate)
    raw = {"token": issued.text, "expires_at": issued.expires_at.isoformat(), "post": posts[0].post}
    show_one([("token", issued.text), ("post", posts[0].post), ("expires_at", raw["expires_at"])], raw=raw)


@account.command("revoke-token")
@click.argument("prefix", metavar="TOKEN")
@operator_option
def account_revoke_token(prefix: str, operator: str) -> None:
    """A token works no more, from the next request on; its first part (up to the second underscore) names it."""
    named = prefix.split("_")[1] if prefix.count("_") >= 1 else prefix
    with open_as_operator(operator, action="account-revoke-token") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.revoke_token(named, by=by)
    remark(words("token-revoked", token=named))


@account.command("close")
@click.argument("name", metavar="ACCOUNT")
@operator_option
def account_close(name: str, operator: str) -> None:
    """Nothing of the account works from now on."""
    with open_as_operator(operator, action="account-close") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.close_account(name, by=by)
    remark(words("account-closed", account=name))


@account.command("password")
@click.argument("name", metavar="ACCOUNT")
@operator_option
def account_password(name: str, operator: str) -> None:
    """A new password, shown once; sessions of the old one end."""
    password = secrets.token_urlsafe(12)
    with open_as_operator(operator, action="account-password") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.set_password(name, password, by=by)
    show_one([("account", name), ("password", password)], raw={"account": name, "password": password})


@account.command("link")
@click.argument("name", metavar="ACCOUNT")
@click.option("--subject", metavar="TEXT", required=True)
@click.option("--issuer", metavar="URL")
@click.option("--words", "said", metavar="TEXT", default="")
@operator_option
def account_link(name: str, subject: str, issuer: str | None, said: str, operator: str) -> None:
    """A name at the sign-on service leads to this account from now on."""
    with open_as_operator(operator, action="account-link") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.link_identity(name, issuer=issuer or _issuer(inside), subject=subject, by=by, words=said)
    remark(words("identity-linked-now", account=name))


@account.command("unlink")
@click.argument("name", metavar="ACCOUNT")
@click.option("--issuer", metavar="URL")
@operator_option
def account_unlink(name: str, issuer: str | None, operator: str) -> None:
    """The sign-on service leads to this account no more."""
    with open_as_operator(operator, action="account-unlink") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.unlink_identity(name, issuer=issuer or _issuer(inside), by=by)
    remark(words("identity-unlinked-now", account=name))


@account.command("reset-second-factor")
@click.argument("name", metavar="ACCOUNT")
@click.option("--words", "said", metavar="TEXT", required=True)
@operator_option
def account_reset_second_factor(name: str, said: str, operator: str) -> None:
    """App, passkeys and recovery codes of an account are gone; its holder sets up new ones."""
    with open_as_operator(operator, action="account-reset-second-factor") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.remove_second_factor(name, by=by, words=said)
    remark(words("second-factor-reset", account=name))


@account.command("sign-on-secret")
@operator_option
def account_sign_on_secret(operator: str) -> None:
    """The client secret of the sign-on service, read unseen, goes to the key store."""
    from huitong.cli.signing_in import read_token
    from huitong.keystore import SIGN_ON_SECRET, FileKeyStore

    secret = read_token("ask-sign-on-secret")
    with open_as_operator(operator, action="account-sign-on-secret") as inside:
        FileKeyStore(inside.settings.keys).keep_sealed(SIGN_ON_SECRET, secret.encode())
    remark(words("sign-on-secret-kept"))


def _issuer(inside: Inside) -> str:
    issuer: str = inside.settings.sign_on_issuer
    if not issuer:
        raise InputInvalid.because("sign-on-not-set")
    return issuer


@command("register", path="office-register")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@operator_option
def office_register(file: Path, operator: str) -> None:
    """Offices of a TOML file with one `[[office]]` each: id, title = { zh, en }, division, credit_code, superior."""
    offices = read_offices(file)
    with open_as_operator(operator, action="office-register") as inside:
        accounts, by = _accounts(inside, operator)
        accounts.register_offices(offices, by=by)
    rows = [{"id": one.id, "title": {"zh": one.title.zh, "en": one.title.en}, "division": one.division} for one in offices]
    columns = [(key, lambda row, key=key: row[key]) for key in ("id", "title", "division")]
    show_rows(columns, rows, raw=rows)


def read_offices(file: Path) -> list[Any]:
    """The offices that a file states; their level is that of their division. Raises InputInvalid with every fault."""
    from huitong.catalog.divisions import load_divisions
    from huitong.errors import HuitongError, Reason
    from huitong.model.party import Office
    from huitong.model.text import BilingualText

    try:
        written = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        entries = tomllib.loads(written)["office"]
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    except (tomllib.TOMLDecodeError, KeyError):
        raise InputInvalid.because("cli-offices-unreadable", file=str(file)) from None
    tree = load_divisions()
    offices, wrong = [], []
    for position, entry in enumerate(entries, 1):
        try:
            division = tree.get(entry["division"])
            if division is None:
                wrong.append(Reason("cli-division-unknown", {"division": str(entry["division"])}))
                continue
            title = BilingualText(zh=entry["title"]["zh"], en=entry["title"]["en"])
            made = Office(entry["id"], title, division.code, division.level, entry["credit_code"], entry.get("superior"))
            offices.append(made)
        except (KeyError, TypeError):
            wrong.append(Reason("cli-office-incomplete", {"position": position}))
        except HuitongError as error:
            wrong += error.reasons
    if wrong:
        raise InputInvalid(*wrong)
    return offices

