"""Asking and answering: requests and grants. Clients of the API."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.catalogue import choice, instant_text, item_text, office_text, purpose_text, with_brackets
from huitong.cli.door import open_client
from huitong.cli.exits import Exit
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows, show_table
from huitong.cli.terms import rules, shown_budget, shown_rules, shown_use, terms_options
from huitong.errors import InputInvalid, Reason

request = Group("request", no_args_is_help=True)
grant = Group(
    "grant",
    no_args_is_help=True,
    lazy={"document": "huitong.cli.documents:grant_document", "versions": "huitong.cli.documents:grant_versions"},
)
limit = click.option("--limit", type=click.IntRange(1, 500), default=20)
offset = click.option("--offset", type=click.IntRange(0), default=0)
items_option = click.option("--item", "items", multiple=True, metavar="ITEM[:MASK]")
division_option = click.option("--division", metavar="CODE")
words_option = click.option("--words", "said", metavar="TEXT")

_ITEM = re.compile(r"(?P<item>[^:=,]+)(:(?P<kind>[a-z]+)(:(?P<parameters>[a-z]+=[^,=:]+(,[a-z]+=[^,=:]+)*))?)?")


def parse_items(written: Sequence[str]) -> list[dict[str, Any]]:
    """`name`, `name:hide`, `phone:partial:first=3,last=4`; several may stand in one, separated by spaces.

    Raises InputInvalid `cli-item-unreadable` for all that cannot be read, at once."""
    items: list[dict[str, Any]] = []
    wrong: list[Reason] = []
    for one in (part for text in written for part in text.split()):
        found = _ITEM.fullmatch(one)
        if found is None:
            wrong.append(Reason("cli-item-unreadable", {"written": one}))
            continue
        item: dict[str, Any] = {"item": found["item"]}
        if found["kind"]:
            pairs = [pair.split("=") for pair in (found["parameters"] or "").split(",") if pair]
            item["mask"] = {"kind": found["kind"], "parameters": {k: int(v) if v.isdecimal() else v for k, v in pairs}}
        items.append(item)
    if wrong:
        raise InputInvalid(*wrong)
    return items


@request.command("submit")
@click.argument("dataset", required=False)
@click.option("--from", "file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--purpose", metavar="CODE")
@click.option("--legal-basis", metavar="TEXT")
@click.option("--item", "items", multiple=True, metavar="ITEM[:MASK]")
@click.option("--until", metavar="YYYY-MM-DD")
@division_option
@click.option("--kind", type=click.Choice(["sharing", "opening"]))
@terms_options
@click.pass_context
def request_submit(
    context: click.Context,
    /,
    file: Path | None,
    items: tuple[str, ...],
    division: str | None,
    **stated: Any,
) -> None:
    """What is said on the command line stands above what the file says."""
    wish = read_wish(file) if file else {}
    plain = ("dataset", "purpose", "legal_basis", "until", "kind")
    wish |= {name: stated[name] for name in plain if stated[name] is not None} | rules(stated)
    if items:
        wish["items"] = parse_items(items)
    if division is not None:
        wish["rows"] = {"division": division}
    for parameter in context.command.params:
        if parameter.name in ("dataset", "purpose", "legal_basis", "items", "until") and not wish.get(parameter.name):
            raise click.MissingParameter(ctx=context, param=parameter)
    with open_client() as client:
        made = client.submit(wish)
    key = {"granted": "request-granted", "under-review": "request-waits"}.get(str(made["state"]))
    if key:
        said = {"request": made["id"], "grant": str(made["grant"] or ""), "due": str(made["answer_due"] or "")}
        remark(words(key, **said, office=office_text(made["provider"])))
    show_request(made)
    if made["state"] == "refused":
        raise click.exceptions.Exit(Exit.REFUSED)


def read_wish(file: Path) -> dict[str, Any]:
    """A request as the API takes it, from a JSON file or from standard input. Raises InputInvalid."""
    try:
        written = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    try:
        return dict(json.loads(written))
    except (ValueError, TypeError) as error:
        raise InputInvalid.because("cli-wish-unreadable", file=str(file), line=int(getattr(error, "lineno", None) or 0)) from None


@request.command("list")
@click.option("--as", "side", type=click.Choice(["applicant", "provider"]), default="applicant")
@limit
@offset
def request_list(side: str, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.requests(as_=side, limit=limit, offset=offset)
    columns = [
        ("request", lambda row: row["id"]),
        ("dataset", lambda row: row["dataset"]),
        ("applicant", lambda row: office_text(row["applicant_office"])),
        ("purpose", lambda row: purpose_text(row["wish"]["purpose"])),
        ("state", lambda row: choice("endorsed" if _is_endorsed(row) else row["state"])),
        ("answer_due", lambda row: row["answer_due"]),
        ("grant", lambda row: row["grant"]),
    ]
    show_rows(columns, page["requests"], raw=page, total=page["total"])


@request.command("show")
@click.argument("identifier", metavar="REQUEST")
def request_show(identifier: str) -> None:
    with open_client() as client:
        show_request(client.get_request(identifier), history=True)


@request.command("approve")
@click.argument("identifier", metavar="REQUEST")
@items_option
@division_option
@click.option("--until", metavar="YYYY-MM-DD")
@words_option
@click.option("--weaker-mask", "weaker_masks", multiple=True, metavar="ITEM")
@terms_options
def request_approve(
    identifier: str,
    items: tuple[str, ...],
    division: str | None,
    until: str | None,
    said: str | None,
    weaker_masks: tuple[str, ...],
    **terms: Any,
) -> None:
    narrowed = parse_items(items) if items else None
    stated = {"division": division, "until": until, "words": said, "weaker_masks": weaker_masks, **rules(terms)}
    with open_client() as client:
        made = client.approve(identifier, items=narrowed, **stated)
    if made["state"] == "under-review":
        remark(words("request-endorsed", request=made["id"], office=office_text(made["provider"])))
    show_request(made)


@request.command("refuse")
@click.argument("identifier", metavar="REQUEST")
@click.option("--reason", required=True, metavar="CODE")
@words_option
def request_refuse(identifier: str, reason: str, said: str | None) -> None:
    with open_client() as client:
        show_request(client.refuse(identifier, reason=reason, words=said))


@request.command("withdraw")
@click.argument("identifier", metavar="REQUEST")
def request_withdraw(identifier: str) -> None:
    with open_client() as client:
        show_request(client.withdraw(identifier))


@request.command("late")
@limit
@offset
def request_late(limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.late_requests(limit=limit, offset=offset)
    columns = [
        ("request", lambda row: row["id"]),
        ("dataset", lambda row: row["dataset"]),
        ("provider", lambda row: office_text(row["provider"])),
        ("applicant", lambda row: office_text(row["applicant_office"])),
        ("answer_due", lambda row: row["answer_due"]),
    ]
    show_rows(columns, page["requests"], raw=page, total=page["total"])


@request.command("ask-supplement")
@click.argument("identifier", metavar="REQUEST")
@click.option("--words", "said", required=True, metavar="TEXT")
def request_ask_supplement(identifier: str, said: str) -> None:
    with open_client() as client:
        show_request(client.ask_supplement(identifier, words=said))


@request.command("supplement")
@click.argument("identifier", metavar="REQUEST")
@click.option("--words", "said", required=True, metavar="TEXT")
@click.option("--purpose", metavar="CODE")
@click.option("--legal-basis", metavar="TEXT")
@items_option
@division_option
@click.option("--until", metavar="YYYY-MM-DD")
@terms_options
def request_supplement(
    identifier: str,
    said: str,
    purpose: str | None,
    legal_basis: str | None,
    items: tuple[str, ...],
    division: str | None,
    until: str | None,
    **terms: Any,
) -> None:
    wanted = parse_items(items) if items else None
    stated = {"division": division, "until": until, "purpose": purpose, "legal_basis": legal_basis, **rules(terms)}
    with open_client() as client:
        made = client.supplement(identifier, words=said, items=wanted, **stated)
    show_request(made)


@request.command("prolong")
@click.argument("identifier", metavar="REQUEST")
@click.option("--words", "said", required=True, metavar="TEXT")
@click.option("--approved-by", required=True, metavar="ACCOUNT")
def request_prolong(identifier: str, said: str, approved_by: str) -> None:
    with open_client() as client:
        show_request(client.prolong(identifier, words=said, approved_by=approved_by))


@request.command("escalate")
@click.argument("identifier", metavar="REQUEST")
@words_option
def request_escalate(identifier: str, said: str | None) -> None:
    with open_client() as client:
        show_request(client.escalate(identifier, words=said))


@request.command("mediate")
@click.argument("identifier", metavar="REQUEST")
@click.option("--words", "said", required=True, metavar="TEXT")
@click.option("--answer-by", required=True, metavar="YYYY-MM-DD")
def request_mediate(identifier: str, said: str, answer_by: str) -> None:
    with open_client() as client:
        show_request(client.mediate(identifier, words=said, answer_by=answer_by))


def show_request(found: dict[str, Any], *, history: bool = False) -> None:
    """A request: what was agreed, or else what is asked; why it was refused; with its history where that was asked for."""
    agreed = [one["wish"] for one in found["events"] if one["kind"] == "approved" and one["wish"]]
    wish = agreed[-1] if agreed else found["wish"]
    refused = [one for one in found["events"] if one["kind"] == "refused"]
    pairs = [
        ("request", found["id"]),
        ("state", choice("endorsed" if _is_endorsed(found) else found["state"])),
        ("reason", _reason_text(refused[-1], with_words=True) if refused else None),
        ("dataset", found["dataset"]),
        ("provider", office_text(found["provider"])),
        ("applicant", with_brackets(office_text(found["applicant_office"]), found["applicant"])),
        *_terms(wish),
        ("until", wish["until"]),
        ("answer_due", words("due-provisional", due=found["answer_due"]) if found["provisional"] else found["answer_due"]),
        ("supply_by", _supply_by(found)),
        ("continues", found["continues"]),
        ("grant", found["grant"]),
    ]
    show_one([(key, value) for key, value in pairs if value is not None], raw=found)
    if history and surroundings().format == "table":
        click.echo()
        header = [words(f"title-{key}") for key in ("at", "event", "actor", "with_word_of", "office", "reason", "words")]
        rows = [
            [
                instant_text(one["at"]),
                choice(one["kind"]),
                one["actor"],
                one["on_behalf_of"] or "",
                one["office"],
                _reason_text(one),
                one["words"] or "",
            ]
            for one in found["events"]
        ]
        show_table(header, rows)


def _is_endorsed(found: dict[str, Any]) -> bool:
    """Whether the first of two reviewers has agreed, since it was last supplemented, and the second is waited for."""
    kinds = [one["kind"] for one in found["events"]]
    anew = len(kinds) - kinds[::-1].index("supplemented") if "supplemented" in kinds else 0
    return found["state"] == "under-review" and "endorsed" in kinds[anew:]


def _reason_text(event: dict[str, Any], *, with_words: bool = False) -> str:
    """The sentence of an event's coded reason, and what was written beside it."""
    code = event["reason"]
    said = [words.reason(Reason(code))] if code else []
    return " ".join([*said, *([event["words"]] if with_words and event["words"] else [])])


def _supply_by(found: dict[str, Any]) -> str | None:
    """The last day for a supplement that is waited for."""
    asked = [one["due"] for one in found["events"] if one["kind"] == "supplement-asked"]
    return asked[-1] if asked and found["state"] == "supplement-asked" else None


def _terms(terms: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("purpose", purpose_text(terms["purpose"])),
        ("legal_basis", terms["legal_basis"]),
        ("items", "\n".join(item_text(one["item"], one["mask"]) for one in terms["items"])),
        ("rows_of", f"{terms['rows']['item']} = {terms['rows']['division']}" if terms["rows"] else words("all-rows")),
        *shown_rules(terms),
    ]


@grant.command("list")
@limit
@offset
def grant_list(limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.grants(limit=limit, offset=offset)
    columns = [
        ("grant", lambda row: row["id"]),
        ("dataset", lambda row: row["dataset"]),
        ("using_office", lambda row: office_text(row["using_office"])),
        ("purpose", lambda row: purpose_text(row["purpose"])),
        ("state", lambda row: choice(row["state"])),
        ("valid", lambda row: row["valid"]),
        ("valid_until", lambda row: instant_text(row["valid_until"])),
    ]
    show_rows(columns, page["grants"], raw=page, total=page["total"])


@grant.command("show")
@click.argument("identifier", metavar="GRANT")
def grant_show(identifier: str) -> None:
    with open_client() as client:
        show_grant(client.grant(identifier))


@grant.command("revoke")
@click.argument("identifier", metavar="GRANT")
@click.option("--words", "said", required=True, metavar="TEXT")
def grant_revoke(identifier: str, said: str) -> None:
    with open_client() as client:
        found = client.revoke(identifier, words=said)
    remark(words("revoked", grant=identifier))
    show_grant(found)


@grant.command("extend")
@click.argument("identifier", metavar="GRANT")
@click.option("--until", required=True, metavar="YYYY-MM-DD")
def grant_extend(identifier: str, until: str) -> None:
    with open_client() as client:
        show_request(client.extend(identifier, until=until))


@grant.command("renew")
@click.argument("identifier", metavar="GRANT")
@click.option("--until", required=True, metavar="YYYY-MM-DD")
def grant_renew(identifier: str, until: str) -> None:
    with open_client() as client:
        show_request(client.renew(identifier, until=until))


@grant.command("events")
@click.argument("identifier", metavar="GRANT")
def grant_events(identifier: str) -> None:
    with open_client() as client:
        found = client.grant_events(identifier)
    columns = [
        ("at", lambda row: instant_text(row["at"])),
        ("event", lambda row: choice(row["kind"])),
        ("version", lambda row: row["version"]),
        ("actor", lambda row: row["actor"]),
        ("office", lambda row: row["office"]),
        ("words", lambda row: row["words"] or ""),
    ]
    show_rows(columns, found["events"], raw=found, total=len(found["events"]))


delegation = Group("delegation", no_args_is_help=True)


@delegation.command("list")
def delegation_list() -> None:
    with open_client() as client:
        found = client.delegations()
    show_delegations(found["delegations"], found)


@delegation.command("add")
@click.argument("to", metavar="ACCOUNT")
@click.option("--from", "valid_from", required=True, metavar="YYYY-MM-DD")
@click.option("--until", "valid_until", required=True, metavar="YYYY-MM-DD")
@click.option("--for", "principal", metavar="ACCOUNT")
def delegation_add(to: str, valid_from: str, valid_until: str, principal: str | None) -> None:
    with open_client() as client:
        made = client.delegate(to, valid_from=valid_from, valid_until=valid_until, principal=principal)
    show_delegations([made], made)


@delegation.command("end")
@click.argument("identifier", metavar="DELEGATION")
def delegation_end(identifier: str) -> None:
    with open_client() as client:
        ended = client.end_delegation(identifier)
    show_delegations([ended], ended)


def show_delegations(found: list[dict[str, Any]], raw: dict[str, Any]) -> None:
    """Who answers in whose place."""
    columns = [
        ("delegation", lambda row: row["id"]),
        ("principal", lambda row: row["principal"]),
        ("delegate", lambda row: row["delegate"]),
        ("valid_from", lambda row: row["valid_from"]),
        ("valid_until", lambda row: row["valid_until"]),
        ("standing", lambda row: row["standing"]),
    ]
    show_rows(columns, found, raw=raw, total=len(found))


def show_grant(found: dict[str, Any]) -> None:
    """A grant with its terms."""
    pairs = [
        ("grant", found["id"]),
        ("state", choice(found["state"])),
        ("valid", found["valid"]),
        ("dataset", found["dataset"]),
        ("provider", office_text(found["provider"])),
        ("using_office", office_text(found["using_office"])),
        ("signed_by", found["signed_by"]),
        *_terms(found),
        ("valid_from", instant_text(found["valid_from"])),
        ("valid_until", instant_text(found["valid_until"])),
        *shown_use(found.get("use"), instant_text),
        *shown_budget(found.get("budget")),
        ("request", found["request"]),
        ("terms_hash", found["terms_hash"]),
        ("revoked_because", found["revoked_because"]),
    ]
    show_one([(key, value) for key, value in pairs if value is not None], raw=found)
