"""Rows of an office become snapshots, by hand and by plan; and leave again, by law. Clients of the API."""

import sys
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, command
from huitong.cli.catalogue import choice, instant_text, limit, offset, quality_line, snapshot_words
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import Column, remark, show_one, show_rows
from huitong.cli.reading_options import kind_option, reading_options, said, source_of, source_options
from huitong.errors import InputInvalid

MODES = ("replace", "append", "merge")
NAMED = 10
"""Rejected rows that are named after a load; `huitong dataset rejects` shows all."""


@command("register", path="dataset-register")
@click.argument("identifier", metavar="DATASET")
@click.argument("file", metavar="FILE|ADDRESS")
@kind_option
@click.option("--mode", type=click.Choice(MODES), default="replace")
@click.option("--reject-limit", type=click.IntRange(0), default=0)
@click.option("--allow", metavar="CHANGE", multiple=True)
@source_options
@reading_options
def dataset_register(
    identifier: str,
    file: str,
    kind: str | None,
    mode: str,
    reject_limit: int,
    allow: tuple[str, ...],
    table: str | None,
    credential: str | None,
    **reading: Any,
) -> None:
    """A file or a table of a database as the next snapshot; what was understood of it and what was left out is told."""
    from huitong.cli.inspecting import decision_line
    from huitong.client import KINDS

    database = source_of(file, table, credential)
    content: Path | Any = Path(file)
    if file == "-":
        if kind is None:
            raise InputInvalid.because("cli-kind-missing")
        content = iter(lambda: sys.stdin.buffer.read(1 << 20), b"")
    elif database is None and not content.is_file():
        raise InputInvalid.because("cli-file-unreadable", file=file)
    media = KINDS[f".{kind}"] if kind else None
    with open_client() as client:
        if database is not None:
            snapshot = client.load_source(identifier, database, mode=mode, reject_limit=reject_limit, allow=allow)
        else:
            snapshot = client.upload(
                identifier, content, kind=media, mode=mode, reject_limit=reject_limit, allow=allow, reading=said(reading)
            )
    remark(words("registered", dataset=identifier, **snapshot_words(snapshot)))
    for decision in snapshot["reading"]["decisions"]:
        remark(f"- {decision_line(decision)}")
    for change in snapshot["changes"]:
        remark(f"- {change['text']}")
    if snapshot.get("rejected_rows"):
        remark(words("rows-rejected", rows=int(snapshot["rejected_rows"]), dataset=identifier))
        for one in snapshot["rejects"][:NAMED]:
            remark(f"- {one['text']}")
    if snapshot.get("quality"):
        remark(quality_line(snapshot["quality"]))
    if snapshot.get("open_suggestions"):
        remark(words("suggestions-open", count=int(snapshot["open_suggestions"]), dataset=identifier))
    shown = {**snapshot, "mode": choice(snapshot["mode"]), "taken_at": instant_text(snapshot["taken_at"])}
    show_one([(key, shown[key]) for key in ("version", "mode", "rows", "rejected_rows", "taken_at", "source_hash")], raw=snapshot)


@command("rejects", path="dataset-rejects")
@click.argument("identifier", metavar="DATASET")
@click.option("--version", "version_", type=click.IntRange(0))
@limit
@offset
def dataset_rejects(identifier: str, version_: int | None, limit: int, offset: int) -> None:
    """The rows that were left out of a snapshot, with line and reason."""
    with open_client() as client:
        if version_ is None:
            snapshots = client.snapshots(identifier)["snapshots"]
            if not snapshots:
                remark(words("no-snapshot"))
                return
            version_ = int(snapshots[0]["version"])
        page = client.rejects(identifier, version_, limit=limit, offset=offset)
    columns: list[Column] = [
        ("line", lambda row: row["line"]),
        ("item", lambda row: row["item"]),
        ("why", lambda row: row["reason"]["text"]),
        ("row", lambda row: row["row"]),
    ]
    show_rows(columns, page["rejects"], raw=page, total=page["total"])


@command("loads", path="dataset-loads")
@click.argument("identifier", metavar="DATASET")
def dataset_loads(identifier: str) -> None:
    """The newest loads: under way, done, refused, broken off."""
    with open_client() as client:
        found = client.loads(identifier)
    show_rows(_RUN, found["loads"], raw=found)


_RUN: list[Column] = [
    ("load", lambda row: row["id"]),
    ("started_at", lambda row: instant_text(row["started_at"])),
    ("state", lambda row: choice(f"load-{row['state']}")),
    ("mode", lambda row: choice(row["mode"])),
    ("rows", lambda row: row["rows_done"]),
    ("version", lambda row: row["version"]),
    ("rejected_rows", lambda row: row["rejected_rows"]),
    ("why", lambda row: _first(row["reasons"])),
]


def _first(reasons: list[dict[str, Any]]) -> str:
    """The first reason, and how many more there are; JSON tells all."""
    if len(reasons) < 2:
        return "".join(one["text"] for one in reasons)
    return words("and-more", first=reasons[0]["text"], more=len(reasons) - 1)


@command("erase", path="dataset-erase")
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--legal-basis", required=True, metavar="TEXT")
@click.option("--words", "said_words", required=True, metavar="TEXT")
@click.option("--identifier", metavar="VALUE")
@click.option("--yes", is_flag=True)
def dataset_erase(datasets: tuple[str, ...], legal_basis: str, said_words: str, identifier: str | None, yes: bool) -> None:
    """A person leaves every kept snapshot; the identifier is read without echo unless it is given."""
    identifier = identifier or secret("ask-identifier")
    if not yes:
        click.confirm(words("ask-erase", datasets=", ".join(datasets)), abort=True, err=True)
    with open_client() as client:
        found = client.erase(datasets, identifier=identifier, legal_basis=legal_basis, words=said_words)
    columns: list[Column] = [
        ("dataset", lambda row: row["dataset"]),
        ("rows", lambda row: row["rows"]),
        ("version", lambda row: row["version"]),
        ("waiting", lambda row: row["waiting"]),
    ]
    show_rows(columns, found["datasets"], raw=found)


def secret(question: str) -> str:
    """What nobody may look over a shoulder at: asked for without echo, or the first line of standard input when that is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = click.prompt(words(question), hide_input=True, err=True)
    return answer


# --- plans ----------------------------------------------------------------------------------------------------------------

load = Group("load", no_args_is_help=True)
_PLAN: list[Column] = [
    ("plan", lambda row: row["id"]),
    ("dataset", lambda row: row["dataset"]),
    ("source", lambda row: _source(row["source"])),
    ("mode", lambda row: choice(row["mode"])),
    ("every", lambda row: row["every"]),
    ("next_run", lambda row: instant_text(row["next_run"])),
    ("why", lambda row: row["stopped"]["text"] if row["stopped"] else ""),
]


def _source(source: dict[str, Any]) -> str:
    return f"{source['address']} {source['table']}" if source.get("table") else str(source["address"])


@load.command("plan")
@click.argument("identifier", metavar="DATASET")
@click.argument("address", metavar="ADDRESS")
@click.option("--table", metavar="TABLE")
@click.option("--every", required=True, metavar="WHEN")
@click.option("--mode", type=click.Choice(MODES), default="replace")
@click.option("--changed-item", metavar="COLUMN")
@click.option("--credential", metavar="NAME")
@click.option("--reject-limit", type=click.IntRange(0), default=0)
def load_plan(
    identifier: str,
    address: str,
    table: str | None,
    every: str,
    mode: str,
    changed_item: str | None,
    credential: str | None,
    reject_limit: int,
) -> None:
    """A load that recurs, from a database or a file of the inbox."""
    source = {
        "kind": "database" if "://" in address else "file",
        "address": address,
        "table": table,
        "credential": credential,
        "changed_item": changed_item,
    }
    given = {name: value for name, value in source.items() if value is not None}
    with open_client() as client:
        plan = client.plan(identifier, source=given, every=every, mode=mode, reject_limit=reject_limit)
    show_one([(key, read(plan)) for key, read in _PLAN], raw=plan)


@load.command("list")
def load_list() -> None:
    """The plans of the office."""
    with open_client() as client:
        found = client.plans()
    show_rows(_PLAN, found["plans"], raw=found)


@load.command("run")
@click.argument("plan", metavar="PLAN")
def load_run(plan: str) -> None:
    """Now, beside its times."""
    with open_client() as client:
        run = client.run_plan(plan)
    show_one([(key, read(run)) for key, read in _RUN], raw=run)


@load.command("resume")
@click.argument("plan", metavar="PLAN")
def load_resume(plan: str) -> None:
    """A stopped plan goes on."""
    with open_client() as client:
        found = client.resume_plan(plan)
    show_one([(key, read(found)) for key, read in _PLAN], raw=found)


@load.command("remove")
@click.argument("plan", metavar="PLAN")
def load_remove(plan: str) -> None:
    """The plan is forgotten, its snapshots stay."""
    with open_client() as client:
        client.remove_plan(plan)
    remark(words("plan-removed", plan=plan))


# --- credentials of sources -----------------------------------------------------------------------------------------------

credential = Group("credential", no_args_is_help=True)
_CREDENTIAL: list[Column] = [("name", lambda row: row["name"]), ("server", lambda row: row["server"])]


@credential.command("keep")
@click.argument("name", metavar="NAME")
@click.option("--database-server", metavar="HOST:PORT", required=True)
@click.option("--user", metavar="USER", required=True)
def credential_keep(name: str, database_server: str, user: str) -> None:
    """The password is read without echo, or from standard input when that is no terminal."""
    password = secret("ask-password")
    with open_client() as client:
        kept = client.keep_credential(name, server=database_server, user=user, password=password)
    remark(words("credential-kept", name=str(kept["name"])))


@credential.command("list")
def credential_list() -> None:
    """Names and servers alone."""
    with open_client() as client:
        found = client.credentials()
    show_rows(_CREDENTIAL, found["credentials"], raw=found)


@credential.command("forget")
@click.argument("name", metavar="NAME")
def credential_forget(name: str) -> None:
    """Plans that name it stop at their next run."""
    with open_client() as client:
        client.forget_credential(name)
    remark(words("credential-forgotten", name=name))
