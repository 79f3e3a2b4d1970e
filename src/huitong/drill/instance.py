"""The drill instance: made-up offices, people, datasets and grants in a fresh folder, with canary values in everything that is hidden.

Made in processes of its own, as an operator makes one: `huitong init`, then `python -m huitong.drill.instance HOME`, which fills it through
the API. What the drill must know of it (tokens, identifiers, what stands hidden where) lies beside it, never in it."""

import contextlib
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from huitong.errors import Unavailable

PEOPLE = 12_000
"""Rows of `civil.person` that the grants let through: more than one answer holds."""
HIDDEN_PEOPLE = 60
"""Rows that no grant lets through."""
PLACES = ("520102", "520103", "520111", "520112")
"""Counties whose people the grants let through."""
HIDDEN_PLACE = "520302"
LEAST_GROUP = 5
"""Entities of a group that `agg_user` may be told of."""
MARK = "CANARY"
"""Stands in every hidden text."""
UNTIL = "2099-12-31"
BASIS = "Drill, article 1"

SETTINGS = """\
# A drill: small limits, so that what runs against them is soon over.
name = "huitong.local/drill"
query_seconds = 4.0
query_maximum_rows = 5000
engine_processes = 2
engine_memory_megabytes = 256
engine_threads = 2
"""
QUERY_SECONDS = 4.0
MAXIMUM_ROWS = 5000
ENGINE_MEGABYTES = 256

ROWS_USER, AGG_USER, OTHER_OFFICE = "rows_user", "agg_user", "other_office"
PURPOSES: Mapping[str, str] = {
    ROWS_USER: "social-assistance",
    AGG_USER: "statistics",
    "agg_colleague": "statistics",
    OTHER_OFFICE: "taxation",
    "requester": "education",
}
"""For what each actor asks, where nothing else is said."""
PROVIDER = "drill-civil"
"""The office that most datasets of the drill belong to, and those that procedures make."""
OFFICES: Mapping[str, tuple[str, str]] = {
    PROVIDER: ("演练民政局", "Drill civil affairs"),
    "drill-tax": ("演练税务局", "Drill taxation"),
    "drill-police": ("演练公安局", "Drill police"),
    "drill-assistance": ("演练救助中心", "Drill assistance centre"),
    "drill-statistics": ("演练统计局", "Drill statistics"),
    "drill-audit": ("演练审计局", "Drill audit"),
    "drill-education": ("演练教育局", "Drill education"),
}
ACTORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    ROWS_USER: ("drill-assistance", ("analyst",)),
    AGG_USER: ("drill-statistics", ("analyst",)),
    "agg_colleague": ("drill-statistics", ("analyst",)),
    OTHER_OFFICE: ("drill-audit", ("analyst", "reviewer")),
    "requester": ("drill-education", ("analyst",)),
    "officer": (PROVIDER, ("data-officer",)),
    "reviewer": (PROVIDER, ("reviewer",)),
    "second_reviewer": (PROVIDER, ("reviewer",)),
    "tax_officer": ("drill-tax", ("data-officer", "reviewer")),
    "police_officer": ("drill-police", ("data-officer", "reviewer")),
}
"""Everybody of the drill but the operator: account, office, roles."""
OPERATOR = "operator"
PASSWORD = "drill-Ausdauer-7-Kiefer"  # noqa: S105 - of people who do not exist, in an instance that is removed
"""Of every account, for attacks on signing in."""


@dataclass(frozen=True)
class Facts:
    """What the drill knows of its instance."""

    tokens: Mapping[str, str]
    """Of the API, by actor."""
    live_tokens: Mapping[str, str]
    """The pseudonym of the person of `known_raw_id` for each actor that has one."""
    known_raw_id: str
    canaries: Mapping[str, str]
    """What stands hidden, by where."""
    grants: Mapping[str, str]
    """Ids of grants, by `actor dataset`."""

    def as_json(self) -> str:
        """For the file beside the instance."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def read(cls, file: Path) -> "Facts":
        """As written."""
        return cls(**json.loads(file.read_text("utf-8")))


# --- rows ----------------------------------------------------------------------------------------------------------------


def resident_id(number: int, place: str, year: int) -> str:
    """A well-formed resident ID of nobody: the county's code, a day of the year, a number and the check character of GB 11643."""
    seventeen = f"{place}{year}{1 + number % 12:02d}{1 + number % 28:02d}{number % 1000:03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return seventeen + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(seventeen, weights, strict=True)) % 11]


SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨"


def people() -> Iterator[dict[str, Any]]:
    """The rows of `civil.person`. Every raw name, identifier and phone number stands once and is itself a canary; the last rows
    are those of a county outside of every grant, and hold canaries in all their items."""
    for number in range(PEOPLE + HIDDEN_PEOPLE):
        hidden = number >= PEOPLE
        place = HIDDEN_PLACE if hidden else PLACES[number % len(PLACES)]
        year = 1940 + (number // 48) % 66
        identifier = resident_id(number + 500 * hidden, place, year)
        yield {
            "pid": identifier,
            "name": f"{SURNAMES[number % len(SURNAMES)]}{MARK}名{number:05d}",
            "gender": "女" if number % 2 else "男",
            "birth_year": year,
            "salary": 987_600_000 + number - PEOPLE if hidden else 2_000 + (number * 7919) % 28_000,
            "region6": place,
            "note": f"{MARK}-row-{number}" if hidden else f"登记{number % 37}",
            "id": identifier,
            "phone": phone(number),
        }


def phone(number: int) -> str:
    """A phone number of a block that is not given out."""
    return f"1990{number:07d}"


def companies(listed: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of `tax.company`, a company for every sixth person."""
    for number, person in enumerate(listed[:PEOPLE:6]):
        yield {"owner_pid": person["pid"], "name": f"演练公司{number:05d}", "owner_id": person["id"]}


def marriages(listed: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of `civil.marriage`, which nobody may use."""
    for number in range(200):
        yield {
            "pid": listed[2 * number]["pid"],
            "spouse_pid": listed[2 * number + 1]["pid"],
            "place": f"{MARK}-marriage-{number}",
            "year": 2000 + number % 20,
        }


def secrets_() -> Iterator[dict[str, Any]]:
    """Rows of `hidden`."""
    for number in range(20):
        yield {"v": f"{MARK}-hidden-{number}"}


OUTSIDE_CSV = f"v,w\n{MARK}-outside-csv,1\n"
OUTSIDE_TXT = f"{MARK}-outside-txt\n"


def canaries() -> Mapping[str, str]:
    """One of what stands hidden in each place; that any of it is found in a text tells `found.Hidden`."""
    listed = list(people())
    return {
        "civil.person.id of everybody": listed[0]["id"],
        "civil.person.phone": listed[0]["phone"],
        "civil.person.name before its mask": listed[0]["name"],
        "civil.person, rows outside of the grant": listed[PEOPLE]["note"],
        "civil.person, salaries outside of the grant": str(listed[PEOPLE]["salary"]),
        "civil.marriage": f"{MARK}-marriage-0",
        "hidden": f"{MARK}-hidden-0",
        "outside.csv": f"{MARK}-outside-csv",
        "outside.txt": f"{MARK}-outside-txt",
    }


# --- entries -------------------------------------------------------------------------------------------------------------


def item(name: str, kind: str = "text", grade: int = 2, meaning: str | None = None) -> dict[str, Any]:
    """An item of an entry, as the API takes it."""
    made: dict[str, Any] = {"name": name, "title": {"zh": f"信息项{name}", "en": name}, "type": kind, "grade": grade}
    return made if meaning is None else {**made, "meaning": meaning}


def entry(identifier: str, provider: str, items: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """An entry of made-up data, shared under a condition if `more` says nothing else, as the API takes it; what `more` gives as
    None is left out."""
    made = {
        "id": identifier,
        "title": {"zh": f"演练数据{identifier}", "en": f"Drill data {identifier}"},
        "abstract": {"zh": "演练用的虚构数据。", "en": "Made-up data of a drill."},
        "classification": "3-06-0001/000001",
        "provider": provider,
        "collector": provider,
        "sharing": "conditional",
        "sharing_basis": BASIS,
        "sharing_condition": {"zh": "演练", "en": "A drill"},
        "openness": "not-open",
        "update_cycle": "monthly",
        "source": "Synthetic",
        "items": list(items),
        **more,
    }
    return {name: value for name, value in made.items() if value is not None}


PERSON_GRANTED = ("pid", "name", "gender", "birth_year", "salary", "region6", "note")
COMPANY_GRANTED = ("owner_pid", "name")
UNGRANTED = ("id", "phone", "owner_id")
"""Items that no grant of the drill names."""


def entries() -> Sequence[tuple[str, Mapping[str, Any]]]:
    """The datasets, each with who publishes it."""
    identifier = ("text", 4, "resident-id")
    person = entry(
        "civil.person",
        PROVIDER,
        [
            item("pid", *identifier),
            item("name", "text", 3, "person-name"),
            item("gender"),
            item("birth_year", "integer"),
            item("salary", "integer"),
            item("region6"),
            item("note"),
            item("id", *identifier),
            item("phone", "text", 3, "phone"),
        ],
        key="pid",
        primary_key=["pid"],
    )
    company = entry("tax.company", "drill-tax", [item("owner_pid", *identifier), item("name"), item("owner_id", *identifier)])
    marriage = entry(
        "civil.marriage",
        PROVIDER,
        [item("pid", *identifier), item("spouse_pid", *identifier), item("place"), item("year", "integer")],
    )
    hidden = entry("hidden", "drill-police", [item("v")], sharing="not-shared", sharing_condition=None, visibility="named")
    return (("officer", person), ("tax_officer", company), ("officer", marriage), ("police_officer", hidden))


def _csv_of(rows: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> bytes:
    listed = list(rows)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(listed[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return written.getvalue().encode("utf-8")


# --- making, in the drill's own process ------------------------------------------------------------------------------------


def make(home: Path, *, environment: Mapping[str, str]) -> Facts:
    """Make the instance in a folder that is not there yet; what the drill must know goes into `facts.json` beside it.

    Raises Unavailable `drill-not-made` with the last line of what went wrong."""
    home.mkdir(mode=0o700, parents=True)
    (home / "huitong.toml").write_text(SETTINGS, "utf-8")
    facts = home.parent / "facts.json"
    for arguments in (
        ["huitong.cli", "init", "--home", str(home), "--operator", OPERATOR, "--office", "drill-operations"],
        ["huitong.drill.instance", str(home), str(facts)],
    ):
        made = subprocess.run(
            [sys.executable, "-m", *arguments], env=dict(environment), capture_output=True, text=True, check=False, timeout=600
        )
        if made.returncode != 0:
            last = (made.stderr.strip().splitlines() or ["-"])[-1]
            raise Unavailable.because("drill-not-made", last=last[:300])
    (home / "outside.csv").write_text(OUTSIDE_CSV, "utf-8")
    (home / "outside.txt").write_text(OUTSIDE_TXT, "utf-8")
    return Facts.read(facts)


# --- filling, in a process that has opened the instance ------------------------------------------------------------------


def fill(home: Path) -> Facts:
    """Offices, people, datasets, rows and grants, through the API as people would; what the drill must know."""
    import httpx

    from huitong.client import Client
    from huitong.portal.wiring import open_platform, start_django
    from huitong.settings import read_settings

    settings = read_settings({}, home=home)
    start_django(settings)
    from django.core.wsgi import get_wsgi_application

    platform = open_platform(settings)
    _with_groups_of_five(platform)
    tokens = _register(platform)
    transport = httpx.WSGITransport(app=get_wsgi_application(), remote_addr="127.0.0.1")

    @contextlib.contextmanager
    def acting(actor: str) -> Iterator[Client]:
        yield Client("http://127.0.0.1", tokens[actor], transport=transport)

    listed = list(people())
    rows: Mapping[str, bytes] = {
        "civil.person": _csv_of(listed),
        "tax.company": _csv_of(companies(listed)),
        "civil.marriage": _csv_of(marriages(listed)),
        "hidden": _csv_of(secrets_()),
    }
    for actor, entry in entries():
        with acting(actor) as client:
            client.publish(entry)
            client.upload(str(entry["id"]), rows[str(entry["id"])], kind="text/csv")
    grants = {}
    for actor, dataset, terms in _wishes():
        with acting(actor) as client:
            asked = client.request(dataset, purpose=PURPOSES[actor], legal_basis=BASIS, until=UNTIL, **terms)
        reviewers = ("tax_officer",) if dataset.startswith("tax.") else ("reviewer", "second_reviewer")
        for reviewer in reviewers:
            with acting(reviewer) as client:
                if asked["state"] == "under-review":
                    asked = client.approve(asked["id"])
        grants[f"{actor} {dataset}"] = str(asked["grant"])
    platform.sharing.prepare_waiting()
    platform.sequencer.fold_all()
    known = listed[0]["pid"]
    live = {actor: _token(platform, grants[f"{actor} civil.person"], known) for actor in (ROWS_USER, AGG_USER)}
    return Facts(tokens=tokens, live_tokens=live, known_raw_id=known, canaries=canaries(), grants=grants)


def _with_groups_of_five(platform: Any) -> None:
    """Let this process make a grant with smaller groups than an office may be given: what holds with them holds with larger ones."""
    from huitong.portal import doors

    limits = replace(platform.sharing.term_limits, least_k=LEAST_GROUP)
    doors.use(replace(doors.open_doors(), sharing=replace(platform.sharing, term_limits=limits)))


def _wishes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    places = [{"item": "region6", "comparator": "in", "values": list(PLACES)}]
    person: dict[str, Any] = {"items": PERSON_GRANTED, "condition": places}
    yield ROWS_USER, "civil.person", person
    yield ROWS_USER, "tax.company", {"items": COMPANY_GRANTED}
    yield AGG_USER, "civil.person", {**person, "mode": "aggregate-only", "k": LEAST_GROUP}
    yield OTHER_OFFICE, "tax.company", {"items": COMPANY_GRANTED}


def _register(platform: Any) -> dict[str, str]:
    """The offices and people; the token of each."""
    from huitong.catalog.divisions import load_divisions
    from huitong.model.codes import credit_code_check_character
    from huitong.model.party import Office, Role
    from huitong.model.text import BilingualText
    from huitong.portal.accounts.actions import NewPerson, instance_operator
    from huitong.portal.wiring import open_accounts

    accounts, by = open_accounts(platform), instance_operator(OPERATOR)
    province = load_divisions().get("520000000000")
    assert province is not None
    offices = []
    for number, (name, (zh, en)) in enumerate(OFFICES.items()):
        seventeen = f"119952000000{number:05d}"
        code = seventeen + credit_code_check_character(seventeen)
        offices.append(Office(name, BilingualText(zh=zh, en=en), province.code, province.level, code))
    accounts.register_offices(offices, by=by)
    accounts.register_people(
        [
            NewPerson(actor, actor, office, frozenset(Role(role) for role in roles), password=PASSWORD)
            for actor, (office, roles) in ACTORS.items()
        ],
        by=by,
    )
    from huitong.portal.stores import Stores

    parties = Stores().parties
    return {
        actor: accounts.issue_token(parties.actors_of(actor)[0].post, by=by, label="drill", words="drill").text
        for actor in (*ACTORS, OPERATOR)
    }


def _token(platform: Any, grant_id: str, identifier: str) -> str:
    """The pseudonym of an identifier under a grant."""
    from huitong.portal.stores import Stores

    grant = Stores().sharing.grant(grant_id)
    assert grant is not None
    tables = platform.sharing.side_tables
    return str(tables.token_of(tables.epoch(grant.terms.linkage_group))(identifier))


if __name__ == "__main__":
    made = fill(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(made.as_json(), "utf-8")
