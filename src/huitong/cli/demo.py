"""`huitong demo`: a province in a folder, the whole path in this terminal, then its pages. Every step may be repeated."""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from huitong.cli.base import command, surroundings
from huitong.cli.inside import MARKER, InProcess, Inside, open_inside
from huitong.cli.language import words
from huitong.cli.profile import write_private
from huitong.cli.progress import counting
from huitong.settings import Settings, read_settings

ACCOUNTS = "demo-accounts.json"
REGISTERS = "registers"
KEY_FILE = "ledger.vkey"
OPERATOR = "operator"


@dataclass
class Accounts:
    """The passwords and tokens of the demo's people: random per instance, kept in its folder, mode 0600, for the next run."""

    path: Path
    people: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Accounts":
        """As kept; empty at the first run."""
        try:
            return cls(path, json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return cls(path)

    def write(self) -> None:
        """Keep them."""
        write_private(self.path, json.dumps(self.people, ensure_ascii=False, indent=2) + "\n")

    def token(self, account: str) -> str:
        """The token of an account."""
        return str(self.people[account]["token"])


def demo_settings(home: Path | None) -> Settings:
    """The settings of the demo's instance, by default in the folder `.demo` here."""
    named = home or (None if os.environ.get("HUITONG_HOME") else Path(".demo"))
    return read_settings(home=named)


@command("demo")
@click.option("--rows", type=click.IntRange(1_000), default=2_000_000)
@click.option("--seed", type=click.IntRange(0), default=1)
@click.option("--once", is_flag=True, envvar="HUITONG_DEMO_ONCE")
@click.option("--port", type=click.IntRange(1, 65535))
def demo(rows: int, seed: int, once: bool, port: int | None) -> None:
    from dataclasses import replace

    from huitong.cli.story import Teller, tell

    settings = demo_settings(surroundings().home)
    settings = replace(settings, port=port or settings.port)
    if not once:
        from huitong.cli.serving import free_or_refuse

        free_or_refuse(settings.host, settings.port)
    started = time.monotonic()
    teller = Teller()
    teller.opening(settings.home)
    inside = make_or_reuse(settings, teller)
    accounts = fill_people(inside, teller)
    with InProcess(settings) as transport:
        fill_catalogue(inside, accounts, transport, teller, rows=rows, seed=seed)
        (settings.home / KEY_FILE).write_text(inside.ledger.vkey() + "\n", "utf-8")
        teller.ready(time.monotonic() - started)
        tell(teller, settings, inside, accounts, transport)
    teller.farewell(time.monotonic() - started)
    if once:
        return
    from huitong.cli.serving import run_server

    run_server(settings, web=2, operator=OPERATOR, when_ready=lambda address: teller.try_it(address, settings, accounts))


# --- filling, step by step ------------------------------------------------------------------------------------------------------


def make_or_reuse(settings: Settings, teller: Any) -> Inside:
    """The instance; made if there is none, finished if it is half made."""
    from huitong.cli.instance import make_instance

    if settings.keys.is_dir() and not (settings.home / MARKER).exists():
        teller.done(words("demo-reused"))
        return open_inside(settings)
    with teller.working(words("demo-making")):
        office, operator = _operator()
        make_instance(settings, operator=OPERATOR, operator_name=operator.name.zh, office=office)
        inside = open_inside(settings)
    teller.done(words("demo-made"))
    return inside


def _operator() -> tuple[Any, Any]:
    from huitong.demo import offices, people

    person = next(one for one in people() if one.account == OPERATOR)
    return next(one for one in offices() if one.id == person.posts[0][0]), person


def fill_people(inside: Inside, teller: Any) -> Accounts:
    """Offices and people with their posts, passwords and tokens; those that are there stay."""
    from huitong.demo import offices, people
    from huitong.keystore import FileKeyStore
    from huitong.portal.accounts.actions import Accounts as Actions
    from huitong.portal.accounts.actions import NewPerson, instance_operator
    from huitong.portal.wiring import wall_clock

    by = instance_operator(OPERATOR)
    actions = Actions(inside.stores, inside.ledger, FileKeyStore(inside.settings.keys), wall_clock)
    accounts = Accounts.read(inside.settings.home / ACCOUNTS)
    with teller.working(words("demo-people")):
        missing = [office for office in offices() if inside.stores.parties.office(office.id) is None]
        if missing:
            actions.register_offices(missing, by=by)
        for person in people():
            known = accounts.people.setdefault(person.account, {"name": {"zh": person.name.zh, "en": person.name.en}})
            if "password" not in known:
                # kept before it is set, so that an interrupted run does not lose it
                known |= {"password": secrets.token_urlsafe(12), "set": False}
                accounts.write()
            held = {actor.office for actor in inside.stores.parties.actors_of(person.account)}
            (office, roles), *others = person.posts
            if not held:
                new = NewPerson(person.account, person.name.zh, office, roles, password=known["password"])
                actions.register_people([new], by=by)
            elif not known["set"]:
                actions.set_password(person.account, known["password"], by=by)
            for other, other_roles in others:
                if other not in held:
                    actions.add_post(person.account, office=other, roles=other_roles, by=by)
            if "token" not in known:
                (actor, *_) = [one for one in inside.stores.parties.actors_of(person.account) if one.office == office]
                token = actions.issue_token(actor.post, by=by, label="demo").text
                known |= {"token": token, "set": True, "office": office, "roles": sorted(role.value for role in roles)}
                accounts.write()
        inside.fold_all()
    teller.done(words("demo-people-done", offices=len(offices()), people=len(people())))
    return accounts


def fill_catalogue(inside: Inside, accounts: Accounts, transport: Any, teller: Any, *, rows: int, seed: int) -> None:
    """Entries and their first snapshots, published and registered through the API by the data officer of each office."""
    from huitong.catalog.toml import values_of
    from huitong.demo import datasets, real_tables

    officers = _officers()
    catalog = inside.stores.catalog
    unpublished = [dataset for dataset in datasets() if catalog.dataset(dataset.id) is None]
    if unpublished:
        with teller.working(words("demo-publishing")):
            for dataset in unpublished:
                entry = {key: value for key, value in values_of(dataset).items() if key != "published_on"}
                with _client(transport, accounts.token(officers[dataset.provider])) as client:
                    client.publish(entry)
    teller.done(words("demo-published", datasets=len(datasets())))
    empty = [dataset for dataset in datasets() if catalog.current_snapshot(dataset.id) is None]
    if not empty:
        teller.done(words("demo-registered-before", rows=f"{_rows(inside, datasets()):,}"))
        return
    folder = inside.settings.home / REGISTERS
    real = real_tables(folder)
    files = {**generate_registers(folder, [one.id for one in empty if one.id not in real], teller, rows=rows, seed=seed), **real}
    started = time.monotonic()
    with counting(words("demo-registering")) as progress:
        for position, dataset in enumerate(empty):
            with _client(transport, accounts.token(officers[dataset.provider])) as client:
                client.upload(dataset.id, files[dataset.id])
            progress(position + 1, len(empty))
    loaded = _rows(inside, datasets())
    took = f"{time.monotonic() - started:.1f}"
    teller.done(words("demo-registered", rows=f"{loaded:,}", datasets=len(datasets()), seconds=took))


def generate_registers(folder: Path, wanted: Sequence[str], teller: Any, *, rows: int, seed: int) -> Mapping[str, Path]:
    """The files of the wanted registers. A file that is there is whole: it got its name when it was."""
    from huitong.demo import generate

    paths = {dataset: folder / f"{dataset}.parquet" for dataset in wanted}
    marker = folder / f".rows-{rows}-seed-{seed}"
    missing = [dataset for dataset, path in paths.items() if not path.exists() or not marker.exists()]
    if missing:
        with counting(words("generating")) as progress:
            report = generate(
                out=folder,
                rows=rows,
                seed=seed,
                threads=os.cpu_count() or 1,
                progress=progress,
                only=None if len(missing) == len(paths) else missing,
            )
        marker.touch()
        rate = f"{int(report.rows / max(report.seconds, 1e-6)):,}"
        teller.done(words("demo-generated", rows=f"{report.rows:,}", seconds=f"{report.seconds:.1f}", rate=rate))
    return paths


def _rows(inside: Inside, datasets: Sequence[Any]) -> int:
    snapshots = [inside.stores.catalog.current_snapshot(dataset.id) for dataset in datasets]
    return sum(snapshot.rows for snapshot in snapshots if snapshot is not None)


def _officers() -> dict[str, str]:
    """The account of a data officer of each office."""
    from huitong.demo import people
    from huitong.model.party import Role

    return {office: person.account for person in people() for office, roles in person.posts if Role.DATA_OFFICER in roles}


@contextmanager
def _client(transport: Any, token: str) -> Iterator[Any]:
    """A client over the shared transport, which stays open."""
    from huitong.client import Client

    yield Client("http://127.0.0.1", token, transport=transport, language=words.language)
