"""An instance in memory behind the real API: real rules, real ledger, real gateway; the engine alone gives a table made here."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.errors import NotSignedIn, Refused
from huitong.intake.load import load
from huitong.keystore import LEDGER, FileKeyStore
from huitong.lake.snapshots import Lake
from huitong.ledger.sequencer import Sequencer
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, UpdateCycle
from huitong.model.codes import credit_code_check_character
from huitong.model.party import Actor, DivisionLevel, Office, Role
from huitong.model.query import GovernedQuery
from huitong.model.text import BilingualText
from huitong.platform import open as open_core
from huitong.portal import doors as doors_module
from huitong.portal.accounts.people import PostHeld
from huitong.portal.accounts.staff import StaffStatus
from huitong.portal.accounts.tokens import Scope, TokenSummary
from huitong.portal.doors import Doors, doors_of
from huitong.settings import Settings
from huitong.testing import MemoryClock, MemoryStores

GUIZHOU = "520000000000"
HEZHANG = "520527000000"
NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def words(zh: str, en: str) -> BilingualText:
    return BilingualText(zh=zh, en=en)


def office(name: str, zh: str, en: str, number: int) -> Office:
    seventeen = f"11520000MB{number:07d}"
    code = seventeen + credit_code_check_character(seventeen)
    return Office(id=name, title=words(zh, en), division=GUIZHOU, level=DivisionLevel.PROVINCE, credit_code=code)


OFFICES = (
    office("gz-civil-affairs", "贵州省民政厅", "Civil Affairs Department of Guizhou", 1),
    office("gz-education", "贵州省教育厅", "Education Department of Guizhou", 2),
    office("gz-medical-security", "贵州省医疗保障局", "Medical Security Bureau of Guizhou", 3),
)


def actor(person: str, at: str, *roles: Role) -> Actor:
    return Actor(person=person, name=person.title(), post=f"{person}@{at}", office=at, division=GUIZHOU, roles=frozenset(roles))


ANALYST = actor("wen", "gz-education", Role.ANALYST)
OFFICER = actor("min", "gz-civil-affairs", Role.DATA_OFFICER)
REVIEWER = actor("shen", "gz-civil-affairs", Role.REVIEWER)
STRANGER = actor("bao", "gz-medical-security", Role.ANALYST, Role.REVIEWER)
OPERATOR = actor("shi", "gz-education", Role.OPERATOR)
TOKENS = {"analyst": ANALYST, "officer": OFFICER, "reviewer": REVIEWER, "stranger": STRANGER, "operator": OPERATOR}


def dataset(name: str, sharing: Sharing, zh: str, en: str) -> Dataset:
    return Dataset(
        id=name,
        title=words(zh, en),
        abstract=words(f"{zh}的登记信息", f"Register of {en.lower()}"),
        classification="3-06-0001/000001",
        provider="gz-civil-affairs",
        collector="gz-civil-affairs",
        sharing=sharing,
        sharing_basis="Regulation of Guizhou Province, article 21",
        sharing_condition=words("须说明履职需要", "State the duty it is needed for") if sharing is Sharing.CONDITIONAL else None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.MONTHLY,
        items=(
            Item("household", words("户编号", "Household"), ItemType.TEXT, Grade.INTERNAL),
            Item("division", words("行政区划代码", "Division"), ItemType.TEXT, Grade.PUBLIC, meaning="division-code"),
            Item("members", words("家庭人口", "Members"), ItemType.INTEGER, Grade.INTERNAL),
        ),
        published_on=date(2026, 11, 1),
        key="household",
        division_item="division",
        source="Synthetic",
    )


class Tokens:
    """`analyst`, `officer`, `reviewer`, `stranger` and `operator` are tokens; `read-only` is the analyst's for reading alone."""

    def actor_for_token(self, text: str, *, scope: Scope | None = None) -> Actor:
        if text == "read-only":
            if scope is not Scope.READ:
                raise Refused.because("token-scope-missing", token=text, scope=str(scope))
            return ANALYST
        if text not in TOKENS:
            raise NotSignedIn.because("token-unknown")
        return TOKENS[text]

    def posts_of(self, username: str) -> list[Actor]:
        return [one for one in TOKENS.values() if one.person == username]

    def scopes_of_token(self, text: str) -> frozenset[Scope]:
        return frozenset({Scope.READ} if text == "read-only" else Scope)


    def people(self, office: str, *, by: Actor) -> list[PostHeld]:
        return [
            PostHeld(one.person, one.name, "person", one.post, office, one.roles, NOW, None, True)
            for one in TOKENS.values()
            if one.office == office
        ]

    def staff_status(self, *, by: Actor) -> StaffStatus:
        return StaffStatus(by.post, by.has(Role.OPERATOR), by.has(Role.OPERATOR))

    def tokens_of(self, username: str, *, by: Actor) -> list[TokenSummary]:
        return []


class TokensAndAccounts:
    """The same tokens, and the real verbs of people over Django's tables: for tests that have a database. Real tokens work as well."""

    def __init__(self, accounts: Any) -> None:
        self._accounts, self._tokens = accounts, Tokens()

    def actor_for_token(self, text: str, *, scope: Scope | None = None) -> Actor:
        return (self._accounts if text.startswith("ht_") else self._tokens).actor_for_token(text, scope=scope)

    def scopes_of_token(self, text: str) -> frozenset[Scope]:
        return (self._accounts if text.startswith("ht_") else self._tokens).scopes_of_token(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accounts, name)


def with_people(instance: "Instance", divisions: Divisions) -> "Instance":
    """The instance with the people of `TOKENS` in Django's tables."""
    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.stores import Stores

    stores, by = Stores(), instance_operator("root")
    stores.divisions.put_divisions(divisions.line(HEZHANG))
    accounts = Accounts(stores=stores, ledger=instance.doors.ledger, keystore=FileKeyStore(instance.home / "keys"), clock=instance.clock)
    accounts.register_offices(OFFICES, by=by)
    accounts.register_people([NewPerson(one.person, one.name, one.office, one.roles) for one in TOKENS.values()], by=by)
    instance.doors = replace(instance.doors, accounts=TokensAndAccounts(accounts))
    doors_module.use(instance.doors)
    return instance


@dataclass
class Engine:
    """Gives the table of the test whatever it is asked, or raises."""

    table: pa.Table = field(default_factory=lambda: pa.table({"household": ["h1", "h2"], "members": [3, 5]}))
    failure: Exception | None = None

    def run(self, query: GovernedQuery) -> pa.Table:
        if self.failure:
            raise self.failure
        return self.table


    def stream(self, query: GovernedQuery) -> Iterator[pa.RecordBatch]:
        yield from self.run(query).to_batches()


@dataclass
class Instance:
    """The instance of a test, and calls of its API."""

    stores: MemoryStores
    clock: MemoryClock
    engine: Engine
    doors: Doors
    sequencer: Sequencer
    home: Path
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def get(self, path: str, *, token: str | None = "analyst", **headers: str) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=self._headers(token, headers))

    def post(self, path: str, body: Any, *, token: str | None = "analyst", **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/{path}", body, content_type="application/json", headers=self._headers(token, headers)
        )

    def send(self, path: str, body: bytes, kind: str, *, token: str | None = "officer") -> Any:
        return self.client.post(f"/api/v1/{path}", body, content_type=kind, headers=self._headers(token, {}))

    @staticmethod
    def _headers(token: str | None, headers: dict[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return named | ({"Authorization": f"Bearer {token}"} if token else {})


@pytest.fixture(scope="session")
def divisions() -> Divisions:
    return load_divisions()


def entries() -> tuple[Dataset, ...]:
    return (
        dataset("civil.household", Sharing.CONDITIONAL, "低保家庭", "Low-income households"),
        dataset("civil.shelter", Sharing.UNCONDITIONAL, "避难场所", "Shelters"),
        dataset("civil.adoption", Sharing.NOT_SHARED, "收养登记", "Adoptions"),
    )


ROWS = "household,division,members\nh1,520527000000,3\nh2,520527000000,5\n"


@pytest.fixture(scope="session")
def seed_lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Snapshot]]:
    """A lake with one snapshot of each dataset, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("seed")
    (folder / "rows.csv").write_text(ROWS, "utf-8")
    lake = Lake(folder / "lake", MemoryClock(NOW))
    taken = {one.id: load(folder / "rows.csv", dataset=one, lake=lake).snapshot for one in entries()}
    return folder / "lake", taken


def look_at_no_connection(**_: object) -> None:
    """What the test client connects in place of Django's closing of connections: an instance in memory has none."""


@pytest.fixture
def instance(
    tmp_path: Path, divisions: Divisions, seed_lake: tuple[Path, dict[str, Snapshot]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Instance]:
    stores, clock, engine = MemoryStores(), MemoryClock(NOW), Engine()
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create([LEDGER, "session", "token-salt", "pseudonym-master"])
    shutil.copytree(seed_lake[0], tmp_path / "lake")
    stores.divisions.put_divisions([*divisions.line(HEZHANG), *divisions.children(HEZHANG)])
    settings = Settings(home=tmp_path, query_maximum_rows=1000, query_seconds=5, webhook_hosts="127.0.0.1:9")
    platform = open_core(settings, stores, clock)
    platform.gateway._engine = engine  # the one thing that is not real here
    for one in OFFICES:
        stores.parties.put_office(one)
    for actor_ in TOKENS.values():
        stores.parties.put_actor(actor_)
    for one in entries():
        platform.catalog.publish(one, by=OFFICER)
        stores.catalog.add_snapshot(seed_lake[1][one.id])
    made = doors_of(platform, stores, accounts=Tokens(), clock=clock)
    doors_module.use(made)
    # The test client connects the closing of connections again after each of its calls, by the name it has for it; a database that another
    # test of this process left in memory would then be looked at by calls that come another way.
    monkeypatch.setattr("django.test.client.close_old_connections", look_at_no_connection)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield Instance(stores, clock, engine, made, platform.sequencer, tmp_path)
    doors_module.use(None)
    for signal in (request_started, request_finished):
        signal.disconnect(look_at_no_connection)
        signal.connect(close_old_connections)
