"""One instance behind its real API, whose rows are those of the governed world: every mask, a cut to one county, and canaries in each
row and item that nobody may see. The engine is DuckDB itself in this process; all else is as it is served."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client as HttpClient
from tests.api.conftest import look_at_no_connection, office
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    COMPANY,
    COMPANY_GRANT,
    HIDDEN,
    NANMING,
    NOW,
    PERSON,
    PERSON_GRANT,
    SEALED,
    WEATHER,
    WEATHER_GRANT,
    World,
    make_grant,
)

from huitong.client import Client
from huitong.errors import NotSignedIn
from huitong.keystore import FileKeyStore
from huitong.model.catalog import Dataset, Grade, Visibility
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState, SubjectRows
from huitong.model.records import CopyState, RecordDoor
from huitong.platform import Platform
from huitong.platform import open as open_core
from huitong.portal import doors as doors_module
from huitong.portal.doors import doors_of
from huitong.settings import Settings
from huitong.sharing.quotas import UseKind
from huitong.testing import MemoryClock, MemoryStores

STRANGER = Actor("bao.wei", "鲍", "stranger-1", "gz-health", "520000000000", frozenset((Role.ANALYST,)))
CLERK = replace(ANALYST, person="clerk", post="clerk-1", roles=frozenset((Role.DATA_OFFICER,)))
TOKENS = {"analyst": ANALYST, "stranger": STRANGER, "clerk": CLERK}
OFFICES = tuple(
    office(name, name, name, 100 + number)
    for number, name in enumerate(("gz-rural", "gz-civil-affairs", "gz-tax", "gz-police", "gz-weather", "gz-health"))
)


class Tokens:
    """Whose token a text is."""

    def actor_for_token(self, text: str, **_: Any) -> Actor:
        if text not in TOKENS:
            raise NotSignedIn.because("token-unknown")
        return TOKENS[text]


@dataclass
class Instance:
    """The instance, and the ways into it."""

    home: Path
    clock: MemoryClock
    stores: MemoryStores
    platform: Platform
    governed: World
    http: HttpClient

    # --- what stands --------------------------------------------------------------------------------------------------

    def put(self, *grants: Grant) -> None:
        """These are all the grants there are."""
        with self.stores.atomic():
            self.stores.sharing._grants.clear()
            for grant in grants:
                self.stores.sharing.add_grant(grant)
                for term in grant.terms.items:
                    if term.mask.kind.value == "pseudonym" and grant.state is not GrantState.PREPARING:
                        dataset = self.stores.catalog.dataset(grant.dataset)
                        assert dataset is not None
                        snapshot = self.stores.catalog.current_snapshot(grant.dataset)
                        assert snapshot is not None
                        self.platform.sharing.side_tables.build(grant.terms.linkage_group, dataset, term.item, snapshot)
            self.stores.epoch.bump()

    def change(self, dataset: Dataset) -> None:
        """The entry is another from now on."""
        with self.stores.atomic():
            self.stores.catalog.put_dataset(dataset, index={})
            self.stores.epoch.bump()

    def listed(self, item: str, *identifiers: str) -> SubjectRows:
        """A list of subjects, kept as the lake keeps it."""
        self.governed.lists.lists["L-1"] = frozenset(identifiers)
        return SubjectRows(item, "L-1", "0" * 64, len(identifiers))

    def use_up(self, grant: Grant) -> None:
        """The grant stands, and a query and a call of today were taken."""
        self.put(grant)
        for kind in UseKind:
            self.platform.quotas.reserve(query=f"q-{kind}", grant=grant, rows=0, seconds=1, at=self.clock(), kind=kind)
            self.platform.quotas.settle(query=f"q-{kind}", grant=grant, rows=0, at=self.clock())

    def revoke(self, grant_id: str) -> None:
        """The grant ends now."""
        with self.stores.atomic():
            self.stores.epoch.bump()
            grant = self.stores.sharing.grant(grant_id)
            assert grant is not None
            gone = replace(grant, state=GrantState.REVOKED, revoked_at=self.clock())
            event = GrantEvent(GrantEventKind.REVOKED, self.clock(), "shen", grant.provider, grant.version)
            self.stores.sharing.change_grant(gone, event, expected_state=grant.state)

    def end_post(self, actor: Actor) -> None:
        """The person holds this post no more."""
        with self.stores.atomic():
            self.stores.epoch.bump()
            self.stores.parties._actors.pop((actor.person, actor.post))

    def take_snapshot(self, dataset: Dataset, rows: list[dict[str, Any]]) -> None:
        """A newer snapshot holds these rows."""
        self.governed.load(dataset, rows)
        with self.stores.atomic():
            self.stores.catalog.add_snapshot(replace(self.governed.snapshots[dataset.id], taken_at=self.clock()))
            self.stores.epoch.bump()

    # --- ways in ------------------------------------------------------------------------------------------------------

    def get(self, path: str, *, token: str | None = "analyst", **headers: str) -> Any:
        return self.http.get(path if path.startswith("/") else f"/api/v1/{path}", headers=_headers(token, headers))

    def post(self, path: str, body: Any, *, token: str | None = "analyst", **headers: str) -> Any:
        return self.http.post(f"/api/v1/{path}", body, content_type="application/json", headers=_headers(token, headers))

    @contextmanager
    def client(self, token: str = "analyst") -> Iterator[Client]:
        """The Python client, without a network; the worker makes what waits after each call."""
        with Client("http://127.0.0.1", token, transport=InProcess(self.platform)) as client:
            yield client


class InProcess(httpx.BaseTransport):
    """The application in this process, with a worker's round after each change."""

    def __init__(self, platform: Platform) -> None:
        self._inner = httpx.WSGITransport(app=get_wsgi_application(), remote_addr="127.0.0.1")
        self._platform = platform

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if request.method != "GET":
            response.read()
            self._platform.extracts.run_waiting()
        return response


def _headers(token: str | None, headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return named | ({"Authorization": f"Bearer {token}"} if token else {})


@contextmanager
def open_instance(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """The instance in a folder, with the rows of the governed world and the grants that most tests use."""
    settings = Settings(home=home, query_maximum_rows=1000, query_seconds=5)
    settings.lake.mkdir(parents=True)
    stores, clock = MemoryStores(), MemoryClock(NOW)
    FileKeyStore(settings.keys).create()
    governed = World(settings.lake)
    platform = open_core(settings, stores, clock)
    platform.gateway._engine = governed.engine
    platform.gateway._subjects = governed.lists
    platform.gateway._divisions = governed  # divisions of the governed world, so that its rows have their place
    with stores.atomic():
        for one in OFFICES:
            stores.parties.put_office(one)
        for actor in TOKENS.values():
            stores.parties.put_actor(actor)
        for dataset in (PERSON, COMPANY, WEATHER, SEALED):
            stores.catalog.put_dataset(dataset, index={})
            if dataset.id in governed.snapshots:
                stores.catalog.add_snapshot(governed.snapshots[dataset.id])
        stores.catalog.put_dataset(replace(HIDDEN, visibility=Visibility.NAMED, known_to=("gz-police",)), index={})
        stores.catalog.add_snapshot(governed.snapshots[HIDDEN.id])
        for dataset in (PERSON, COMPANY):
            stores.delivery.put_record_door(RecordDoor(dataset.id, True, NOW, "officer", state=CopyState.WAITING))
    made = doors_of(platform, stores, accounts=Tokens(), clock=clock)
    doors_module.use(made)
    monkeypatch.setattr("django.test.client.close_old_connections", look_at_no_connection)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    instance = Instance(home, clock, stores, platform, governed, HttpClient(raise_request_exception=False))
    instance.put(PERSON_GRANT, COMPANY_GRANT, WEATHER_GRANT)
    try:
        yield instance
    finally:
        doors_module.use(None)
        for signal in (request_started, request_finished):
            signal.disconnect(look_at_no_connection)
            signal.connect(close_old_connections)
        shutil.rmtree(home, ignore_errors=True)


def nanming(items: dict[str, Any], **rest: Any) -> Grant:
    """A grant over these items of the people of one county."""
    return make_grant("civil.person", items, rows=NANMING, **rest)


def raised(dataset: Dataset, item: str, grade: Grade) -> Dataset:
    """The entry with a higher grade of one item."""
    items = tuple(replace(one, grade=grade) if one.name == item else one for one in dataset.items)
    return replace(dataset, items=items)


LAST_YEAR = NOW - timedelta(days=400)
ALL_CLEAR = dict.fromkeys(("name", "gender", "born", "salary", "weight"), CLEAR)
