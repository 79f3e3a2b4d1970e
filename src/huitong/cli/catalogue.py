"""What there is: divisions, offices, datasets. Clients of the API, but for `dataset inspect`, which reads a file of one's own."""

import sys
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import Group, surroundings
from huitong.cli.door import open_client
from huitong.cli.language import words
from huitong.cli.output import remark, show_one, show_rows, show_table, shown_to_programs, text
from huitong.cli.reading_options import as_file, kind_option, reading_options, said, source_of, source_options
from huitong.errors import InputInvalid

LEVELS = ("province", "city", "county", "township", "village")
limit = click.option("--limit", type=click.IntRange(1, 500), default=20)
offset = click.option("--offset", type=click.IntRange(0), default=0)

division = Group("division", no_args_is_help=True, lazy={"change": "huitong.cli.succeeding:division_change"})
office = Group(
    "office",
    no_args_is_help=True,
    lazy={"register": "huitong.cli.registering:office_register", "succeed": "huitong.cli.succeeding:office_succeed"},
)
dataset = Group(
    "dataset",
    no_args_is_help=True,
    lazy={
        "usable": "huitong.cli.usable:dataset_usable",
        "draft": "huitong.cli.folders:dataset_draft",
        "export": "huitong.cli.folders:dataset_export",
        "apply": "huitong.cli.folders:dataset_apply",
        "sample": "huitong.cli.describing:dataset_sample",
        "quality": "huitong.cli.describing:dataset_quality",
        "suggestions": "huitong.cli.describing:dataset_suggestions",
        "confirm": "huitong.cli.describing:dataset_confirm",
        "dismiss": "huitong.cli.describing:dataset_dismiss",
        "snapshots": "huitong.cli.describing:dataset_snapshots",
        "dcat": "huitong.cli.describing:dataset_dcat",
        "guide": "huitong.cli.describing:dataset_guide",
        "register": "huitong.cli.loading:dataset_register",
        "rejects": "huitong.cli.loading:dataset_rejects",
        "loads": "huitong.cli.loading:dataset_loads",
        "records": "huitong.cli.recording:dataset_records",
        "erase": "huitong.cli.loading:dataset_erase",
    },
)


# --- divisions ------------------------------------------------------------------------------------------------------------


@division.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--under", metavar="CODE")
@click.option("--level", type=click.Choice(LEVELS))
@limit
@offset
def division_search(text_: str | None, under: str | None, level: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.divisions(text_, under=under, level=level, limit=limit, offset=offset)
    columns = [
        ("code", lambda row: row["code"]),
        ("name", lambda row: row["name"]),
        ("level", lambda row: choice(row["level"])),
        ("parent", lambda row: row["parent"]),
    ]
    show_rows(columns, page["divisions"], raw=page, total=page["total"])


@division.command("show")
@click.argument("code")
def division_show(code: str) -> None:
    with open_client() as client:
        found = client.division(code)
    pairs = [(key, found[key]) for key in ("code", "name", "level", "parent", "valid_from", "valid_to")]
    show_one([(key, choice(value) if key == "level" else value) for key, value in pairs], raw=found)


# --- offices --------------------------------------------------------------------------------------------------------------


@office.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--level", type=click.Choice(LEVELS))
@click.option("--division", metavar="CODE")
@limit
@offset
def office_search(text_: str | None, level: str | None, division: str | None, limit: int, offset: int) -> None:
    with open_client() as client:
        page = client.offices(text_, level=level, division=division, limit=limit, offset=offset)
    columns = [
        ("id", lambda row: row["id"]),
        ("title", lambda row: row["title"]),
        ("level", lambda row: choice(row["level"])),
        ("division", lambda row: row["division"]),
    ]
    show_rows(columns, page["offices"], raw=page, total=page["total"])


@office.command("show")
@click.argument("identifier", metavar="OFFICE")
def office_show(identifier: str) -> None:
    with open_client() as client:
        found = client.office(identifier)
    pairs = [(key, found[key]) for key in ("id", "title", "division", "level", "credit_code", "superior")]
    show_one([(key, choice(value) if key == "level" else value) for key, value in pairs], raw=found)


# --- datasets -------------------------------------------------------------------------------------------------------------


FACETS = ("office", "level", "division", "family", "grade", "sharing", "openness", "cycle", "meaning")


@dataset.command("search")
@click.argument("text_", metavar="[TEXT]", required=False)
@click.option("--office", "office_", metavar="OFFICE")
@click.option("--sharing", type=click.Choice(["unconditional", "conditional", "not-shared"]))
@click.option("--where", "narrowing", metavar="FACET=VALUE", multiple=True)
@click.option("--count", "facets", type=click.Choice(FACETS), multiple=True)
@limit
@offset
def dataset_search(
    text_: str | None,
    office_: str | None,
    sharing: str | None,
    narrowing: tuple[str, ...],
    facets: tuple[str, ...],
    limit: int,
    offset: int,
) -> None:
    wanted: dict[str, list[str]] = {}
    for one in (*narrowing, *([f"office={office_}"] if office_ else []), *([f"sharing={sharing}"] if sharing else [])):
        facet, equals, value = one.partition("=")
        if facet not in FACETS or not equals or not value:
            raise InputInvalid.because("cli-facet-unknown", facet=one, facets=", ".join(FACETS))
        wanted.setdefault(facet, []).append(value)
    with open_client() as client:
        page = client.search(text_, narrowing=wanted, facets=facets, limit=limit, offset=offset)
    columns = [
        ("dataset", lambda row: row["id"]),
        ("title", lambda row: row["title"]),
        ("provider", lambda row: office_text(row["provider"])),
        ("sharing", lambda row: choice(row["sharing"])),
        ("item_count", lambda row: row["item_count"]),
        ("grade", lambda row: row["grade"]),
    ]
    show_rows(columns, page["datasets"], raw=page, total=page["total"])
    if facets and surroundings().format == "table":
        rows = [[words(f"facet-{facet}"), choice(one["value"]), one["count"]] for facet in facets for one in page["facets"].get(facet, ())]
        click.echo()
        show_table([words("title-facet"), words("title-value"), words("title-hits")], rows)


@dataset.command("show")
@click.argument("identifier", metavar="DATASET")
def dataset_show(identifier: str) -> None:
    with open_client() as client:
        found = client.dataset(identifier)
    show_dataset(found)


def show_dataset(found: dict[str, Any]) -> None:
    """A whole entry: what it is, whether one may have it, its items."""
    snapshot = found.get("snapshot")
    pairs = [
        ("dataset", found["id"]),
        ("title", found["title"]),
        ("abstract", found["abstract"]),
        ("provider", office_text(found["provider"])),
        ("collector", office_text(found["collector"])),
        ("sharing", choice(found["sharing"])),
        ("sharing_basis", found["sharing_basis"]),
        ("sharing_condition", found["sharing_condition"]),
        ("sharing_manner", choice(found["sharing_manner"])),
        ("openness", choice(found["openness"])),
        ("openness_condition", found["openness_condition"]),
        ("collected_under", found["legal_basis"]),
        ("classification", found["classification"]),
        ("related", ", ".join(found["related"]) or None),
        ("held_as", choice(found["format"])),
        ("update_cycle", choice(found["update_cycle"])),
        ("grade", _grade_text(found)),
        ("primary_key", ", ".join(found["primary_key"]) or None),
        ("derived_from", ", ".join(found["derived_from"]) or None),
        ("visibility", choice(found["visibility"])),
        ("source", found["source"]),
        ("quality", quality_line(found["quality"]) if found.get("quality") else None),
        ("snapshot", words("snapshot-line", **snapshot_words(snapshot)) if snapshot else words("no-snapshot")),
        ("availability", found["availability"]["text"]),
    ]
    if surroundings().plain:
        items_table(found)
        return
    show_one([(key, value) for key, value in pairs if value is not None], raw=found)
    if surroundings().format == "table":
        click.echo()
        items_table(found)


def _grade_text(found: dict[str, Any]) -> str:
    """The grade by its title, with why it is higher than that of the items."""
    effective = found["effective_grade"]
    because = "; ".join(one["text"] for one in effective["because"])
    said = f"{effective['rank']} {text(effective['title'])}"
    return f"{said} ({because})" if because else said


def percent(share: float | None) -> str:
    """A share as percent with one digit after the point; empty if it is not known."""
    return "" if share is None else f"{share * 100:.1f} %"


def quality_line(quality: dict[str, Any]) -> str:
    """A quality report in one line."""
    return words(
        "quality-late-line" if quality["late"] else "quality-line",
        completeness=percent(quality["completeness"]) or "-",
        validity=percent(quality["validity"]) or "-",
        due=str(quality["due_at"] or "-")[:10],
    )


def snapshot_words(snapshot: dict[str, Any]) -> dict[str, str | int]:
    """What a sentence about a snapshot needs."""
    return {"version": snapshot["version"], "rows": f"{snapshot['rows']:,}", "taken_at": str(snapshot["taken_at"])[:10]}


def items_table(found: dict[str, Any]) -> None:
    """The items of an entry."""
    header = ["item", "title", "type", "grade", "meaning", "default_mask"]
    rows = [
        [
            item["name"],
            text(item["title"]),
            choice(item["type"]),
            item["grade"],
            meaning_text(item["meaning"]),
            mask_text(item["default_mask"]),
        ]
        for item in found["items"]
    ]
    if not shown_to_programs(header, rows):
        show_table([words(f"title-{key}") for key in header], rows)


@dataset.command("publish")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
def dataset_publish(file: Path) -> None:
    entry = read_entry(file)
    with open_client() as client:
        found = client.publish(entry)
    remark(words("published", dataset=str(found["id"])))
    show_one([("dataset", found["id"]), ("title", found["title"]), ("sharing", choice(found["sharing"]))], raw=found)


def read_entry(file: Path) -> dict[str, Any]:
    """A catalogue entry from a TOML or JSON file, or from standard input (either form), as the API takes it."""
    import json
    import tomllib

    try:
        written = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-file-unreadable", file=str(file)) from None
    try:
        entry = json.loads(written) if written.lstrip().startswith("{") else tomllib.loads(written)
    except ValueError as error:
        line = int(getattr(error, "lineno", None) or 0)
        raise InputInvalid.because("cli-entry-unreadable", file=str(file), line=line) from None
    entry.pop("published_on", None)
    if "item" in entry and "items" not in entry:
        entry["items"] = entry.pop("item")
    return dict(entry)


@dataset.command("inspect")
@click.argument("file", metavar="FILE|ADDRESS")
@kind_option
@source_options
@reading_options
@click.option("--type", "types", metavar="COLUMN=TYPE", multiple=True)
def dataset_inspect(
    file: str, kind: str | None, table: str | None, credential: str | None, types: tuple[str, ...], **reading: Any
) -> None:
    from huitong.cli.inspecting import reading_of_file, show_reading

    database = source_of(file, table, credential)
    if database is None:
        with as_file(file, kind) as path:
            show_reading(reading_of_file(path, said(reading), types))
        return
    with open_client() as client:
        show_reading(client.inspect_source(database))


# --- words of values ------------------------------------------------------------------------------------------------------


def office_text(office: Any) -> str:
    """An office by its title, else its id; by its id for programs."""
    if not isinstance(office, dict):
        return str(office)
    identifier = str(office.get("id", ""))
    return identifier if surroundings().plain else text(office.get("title")) or identifier


def choice(value: str) -> str:
    """A value of a fixed list in the reader's language; the value itself for programs."""
    if surroundings().plain or not words.has(f"value-{value}"):
        return value
    return words(f"value-{value}")


def instant_text(value: object) -> str:
    """An instant to the minute, in UTC as the ledger has it; in full for programs."""
    written = str(value or "")
    return written if surroundings().plain or not written else f"{written[:10]} {written[11:16]} UTC"


def mask_text(mask: dict[str, Any]) -> str:
    """A mask as one writes it on the command line, `partial:first=3,last=4`; before it what it is called, where the code is not a
    word of the reader's language."""
    parameters = ",".join(f"{name}={value}" for name, value in mask.get("parameters", {}).items())
    kind = str(mask["kind"])
    written = f"{kind}:{parameters}" if parameters else kind
    title = choice(f"mask-{kind}")
    return written if title in (kind, f"mask-{kind}") else f"{title} {written}"


def item_text(item: str, mask: dict[str, Any]) -> str:
    """An item, and in brackets how it leaves."""
    return with_brackets(item, mask_text(mask))


def with_brackets(text_: str, more: str) -> str:
    """A text, and something more in the brackets of the reader's language."""
    return f"{text_} ({more})" if codes_alone() else f"{text_}（{more}）"


def meaning_text(meaning: str | None) -> str:
    """A meaning with its title."""
    if codes_alone() or meaning is None:
        return meaning or ""
    from huitong.intake.recognisers.rules import rules

    known = rules().get(meaning)
    return f"{known.title.in_language(words.language)}（{meaning}）" if known else meaning


def purpose_text(purpose: str) -> str:
    """A purpose with its title."""
    if codes_alone():
        return purpose
    from huitong.sharing.purposes import purposes

    title = purposes().get(purpose)
    return f"{title.in_language(words.language)}（{purpose}）" if title else purpose


def codes_alone() -> bool:
    """Whether a code needs no title beside it: it is English, and programs take nothing else."""
    return surroundings().plain or words.language == "en"


