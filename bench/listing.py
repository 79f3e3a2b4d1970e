"""How fast an office sees what it has and could have: a page of 20 among 100,000 entries and 10,000 grants, on SQLite and PostgreSQL.

    python -m bench listing [--quick]

Entries are made from a seed, as for `bench.search`: 900 offices, eight items each, one entry in twelve hidden from most; a sixth
lets nothing leave or needs more reviewers than its office has. 10,000 grants and 3,000 open requests lie with 60 offices, half of the
grants with one of them. Each page goes through `UsableActions.usable`, as the API asks it: one statement for entries, standings and
the total (and one for the instance's own calendar). Office, answers asked for and offset are drawn anew each time. The baseline is
the plain way: every known entry is read and `SharingActions.availabilities` asked, for one office, once.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.management import call_command
from django.db import connections

from bench.search import ENTRIES, QUICK_ENTRIES, SEED, below, centile, databases, entries, offices_of_province
from huitong.catalog.divisions import load_divisions
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, GrantState, ItemTerm, Mask, MaskKind, Mode, Purpose, Terms
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, Wish
from huitong.policy.grading import scheme
from huitong.sharing.actions import SharingActions
from huitong.sharing.availability import AvailabilityKind
from huitong.sharing.calendar import InstanceCalendar
from huitong.sharing.terms import hash_of_terms
from huitong.sharing.usable import UsableActions

GRANTS, OPEN_REQUESTS, USING_OFFICES = 10_000, 3_000, 60
TARGET_MILLISECONDS = 50.0
NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
HAS = (AvailabilityKind.GRANTED, AvailabilityKind.PREPARING, AvailabilityKind.UNDER_REVIEW)


def fill(alias: str, count: int, chance: random.Random) -> tuple[list[Actor], list[str]]:
    """Offices, people, entries, requests and grants; the actors that ask, the one of the office with half of the grants first."""
    from huitong.portal.accounts.models import Account, Post, PostRole
    from huitong.portal.catalog import models as catalog
    from huitong.portal.rows import dataset_row, event_row, grant_row, item_row, wish_to_json
    from huitong.portal.sharing import models as sharing
    from huitong.portal.stores import Stores

    stores, offices = Stores(alias), offices_of_province()
    stores.divisions.put_divisions(load_divisions().every())
    with stores.atomic():
        stores.parties.put_offices(offices)  # type: ignore[attr-defined]
    chosen = chance.sample(offices, USING_OFFICES)
    actors, accounts, posts, roles = [], [], [], []
    for number, office in enumerate([*chosen, *offices]):
        asks = number < USING_OFFICES
        name = f"{'analyst' if asks else 'reviewer'}{number}"
        accounts.append(Account(id=number + 1, username=name, name=name, created_at=NOW))
        posts.append(Post(id=f"{name}@{office.id}", account_id=number + 1, office_id=office.id, created_at=NOW))
        if asks or chance.random() < 0.9:
            roles.append(PostRole(post=posts[-1], role=Role.ANALYST.value if asks else Role.REVIEWER.value))
        if asks:
            actors.append(Actor(name, name, posts[-1].id, office.id, office.division, frozenset({Role.ANALYST})))
    Account.objects.using(alias).bulk_create(accounts, batch_size=500)
    Post.objects.using(alias).bulk_create(posts, batch_size=500)
    PostRole.objects.using(alias).bulk_create(roles, batch_size=500)
    ids: list[str] = []
    batch: list[Any] = []
    providers: dict[str, str] = {}

    def put() -> None:
        catalog.Dataset.objects.using(alias).bulk_create([dataset_row(one) for one in batch], batch_size=200)
        items = [item_row(one.id, place, item) for one in batch for place, item in enumerate(one.items)]
        catalog.Item.objects.using(alias).bulk_create(items, batch_size=500)
        batch.clear()

    with stores.atomic():
        for dataset, _ in entries(count, offices, chance):
            ids.append(dataset.id)
            providers[dataset.id] = dataset.provider
            batch.append(dataset)
            if len(batch) == 2_000:
                put()
        put()
        requests, events, grants = [], [], []
        for number in range(GRANTS + OPEN_REQUESTS):
            name, granted = chance.choice(ids), number < GRANTS
            actor = actors[0] if granted and number % 2 else chance.choice(actors)
            made = _request(number, name, providers[name], actor, granted=granted)
            requests.append(
                sharing.Request(
                    id=made.id, dataset_id=name, provider_id=made.provider, applicant_id=actor.person,
                    applicant_office_id=actor.office, wish=wish_to_json(made.wish), answer_due=made.answer_due,
                    submitted_at=NOW, state=made.state.value, event_count=len(made.events),
                )
            )  # fmt: skip
            events += [event_row(made.id, place, event) for place, event in enumerate(made.events)]
            if granted:
                grants.append(grant_row(_grant(number, made, chance)))
        sharing.Request.objects.using(alias).bulk_create(requests, batch_size=500)
        sharing.RequestEvent.objects.using(alias).bulk_create(events, batch_size=500)
        sharing.Grant.objects.using(alias).bulk_create(grants, batch_size=200)
    return actors, ids


def _request(number: int, dataset: str, provider: str, actor: Actor, *, granted: bool) -> Request:
    wish = Wish(
        dataset=dataset,
        purpose=Purpose("poverty-relief", "Regulation on relief, article 12"),
        items=tuple(ItemTerm(f"item_{place}", Mask(MaskKind.CLEAR)) for place in range(4)),
        rows=None,
        mode=Mode.ROWS,
        until=date(2026, 12, 31),
    )
    events = [RequestEvent(kind=RequestEventKind.SUBMITTED, at=NOW, actor=actor.person, office=actor.office, wish=wish)]
    if granted:
        events.append(RequestEvent(kind=RequestEventKind.APPROVED, at=NOW, actor="reviewer", office=provider, wish=wish))
    return Request(
        id=f"R-2026-{number:06d}", dataset=dataset, provider=provider, applicant=actor.person, applicant_office=actor.office,
        wish=wish, events=tuple(events), answer_due=date(2026, 3, 16),
    )  # fmt: skip


def _grant(number: int, request: Request, chance: random.Random) -> Grant:
    begins = NOW - timedelta(days=chance.randint(1, 200))
    terms = Terms(
        purpose=request.wish.purpose, items=request.wish.items, rows=None, mode=Mode.ROWS, linkage_group="group",
        valid_from=begins, valid_until=begins + timedelta(days=chance.randint(100, 500)),
    )  # fmt: skip
    parties = {"provider": request.provider, "using_office": request.applicant_office, "signed_by": request.applicant}
    state = chance.choices(list(GrantState), weights=[1, 8, 1])[0]
    return Grant(
        id=f"G-2026-{number:06d}", version=1, request=request.id, dataset=request.dataset, **parties, terms=terms,
        terms_hash=hash_of_terms(terms, dataset=request.dataset, version=1, **parties), state=state, granted_at=begins,
        revoked_at=NOW if state is GrantState.REVOKED else None,
    )  # fmt: skip


def measure(alias: str, name: str, *, count: int, times: int) -> tuple[dict[str, dict[str, object]], list[float]]:
    """Fill a migrated database and ask: the measures, and every time of a page."""
    from huitong.portal.stores import Stores

    chance = random.Random(SEED)
    call_command("migrate", database=alias, verbosity=0)
    actors, ids = fill(alias, count, chance)
    stores = Stores(alias)
    sharing = SharingActions(
        catalog=stores.catalog, parties=stores.parties, sharing=stores.sharing, transactions=stores.transactions,
        epoch=stores.epoch, ledger=None, divisions=stores.divisions, side_tables=None, clock=lambda: NOW,  # type: ignore[arg-type]
        time_zone="Asia/Shanghai", calendar=InstanceCalendar(stores.calendar), grading=scheme(), roll=stores.parties,  # type: ignore[arg-type]
    )  # fmt: skip
    usable = UsableActions.over(sharing, stores.standings)
    began = time.perf_counter()
    usable.refresh()
    judged = time.perf_counter() - began
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute("ANALYZE")  # what autovacuum does within a minute

    def page(kinds: Sequence[AvailabilityKind] = (), *, far: bool = False, who: Sequence[Actor] = actors) -> Callable[[], object]:
        def ask() -> object:
            offset = chance.randrange(count) if far else chance.choice([0, 0, 0, 20, 40, 200])
            return usable.usable(by=chance.choice(who), kinds=kinds, limit=20, offset=offset)

        return ask

    asked: dict[str, Callable[[], object]] = {
        "all, by id": page(),
        **{kind.value: page([kind]) for kind in AvailabilityKind},
        "what the office has": page(HAS),
        "granted, of the office with half of all grants": page([AvailabilityKind.GRANTED], who=actors[:1]),
        "all, of the office with half of all grants": page(who=actors[:1]),
        "what could be asked for": page([AvailabilityKind.AT_ONCE, AvailabilityKind.NEEDS_APPROVAL]),
    }
    measures: dict[str, dict[str, object]] = {f"{name}: judge {count} entries, seconds": {"value": round(judged, 1)}}
    every: list[float] = []
    for kind, ask in asked.items():
        taken = _milliseconds(ask, times)
        every += taken
        measures[f"{name}: {kind}, p50 ms"] = {"value": round(centile(taken, 0.5), 1)}
        measures[f"{name}: {kind}, p95 ms"] = below(centile(taken, 0.95), TARGET_MILLISECONDS)
    far = _milliseconds(page(far=True), times)
    measures[f"{name}: a page anywhere among all, p95 ms"] = {"value": round(centile(far, 0.95), 1)}
    again = []
    for one in chance.sample(ids, max(3, times // 10)):
        _changed(alias, one)
        again += _milliseconds(asked["granted"], 1)
    measures[f"{name}: a page after an entry changed, median ms"] = {"value": round(statistics.median(again), 1)}
    began = time.perf_counter()
    known = [entry for entry in stores.catalog.every_dataset() if entry.is_known_to(actors[1].office)]
    plain = sharing.availabilities(known, actor=actors[1])
    seconds = time.perf_counter() - began
    assert len(plain) == usable.usable(by=actors[1], limit=1).total
    measures[f"{name}: the plain way, seconds"] = {"value": round(seconds, 1)}
    return measures, every


def _changed(alias: str, dataset: str) -> None:
    from huitong.portal.catalog import prospects

    prospects.entries_changed([dataset], alias)


def _milliseconds(ask: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def run(*, quick: bool) -> dict[str, object]:
    """Measure on both databases; `quick` takes a few thousand entries."""
    measures: dict[str, dict[str, object]] = {}
    with databases() as urls:
        from tests.portal.database_fixtures import database  # needs Django to be started

        for name, url in urls.items():
            with database(f"listing_{name}", url) as alias:
                found, every = measure(alias, name, count=QUICK_ENTRIES if quick else ENTRIES, times=10 if quick else 60)
            measures |= found
            measures[f"{name}: all pages, p95 ms"] = below(centile(every, 0.95), TARGET_MILLISECONDS)
    load = [round(one, 1) for one in os.getloadavg()]
    measures["load of the machine"] = {"value": load[0]}
    return {"name": "listing", "measures": measures, "method": " ".join((__doc__ or "").split())}


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick)["measures"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
