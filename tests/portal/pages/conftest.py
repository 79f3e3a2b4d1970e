"""A small portal on Django's own stores, with people who can sign in, and its pages."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from tests.api.conftest import NOW, OFFICES, dataset, snapshot

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.catalog.publish import CatalogActions
from huitong.keystore import KEY_NAMES, FileKeyStore
from huitong.ledger.log import Ledger
from huitong.model.catalog import Sharing
from huitong.model.party import Actor, Role
from huitong.portal import doors as doors_module
from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
from huitong.portal.doors import Doors
from huitong.portal.stores import Stores
from huitong.sharing.actions import SharingActions
from huitong.testing import MemoryClock, MemorySideTables

PASSWORD = "correct horse battery"


@dataclass
class Portal:
    """The portal of a test."""

    doors: Doors
    accounts: Accounts
    clock: MemoryClock
    client: Client

    def get(self, path: str, *, language: str = "en", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers={"Accept-Language": language, **named})

    def sign_in(self, username: str, *, password: str = PASSWORD, go_to: str = "/") -> Any:
        return self.client.post("/sign-in", {"username": username, "password": password, "next": go_to})

    def actor(self, username: str) -> Actor:
        return self.doors.parties.actors_of(username)[0]


@pytest.fixture(scope="session")
def divisions() -> Divisions:
    return load_divisions()


@pytest.fixture
def portal(db: None, tmp_path: Path, settings: Any, divisions: Divisions) -> Iterator[Portal]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the slow one is tested with the accounts
    stores, clock, keystore = Stores(), MemoryClock(NOW), FileKeyStore(tmp_path / "keys")
    keystore.create(KEY_NAMES)
    ledger = Ledger(stores.ledger, keystore, clock, origin="test", alarm_seconds=10, stop_seconds=300)
    common: dict[str, Any] = {"transactions": stores.transactions, "epoch": stores.epoch, "ledger": ledger, "clock": clock}
    catalog = CatalogActions(catalog=stores.catalog, parties=stores.parties, time_zone="Asia/Shanghai", **common)
    sharing = SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        divisions=divisions,
        side_tables=MemorySideTables(),
        time_zone="Asia/Shanghai",
        **common,
    )
    accounts = Accounts(stores=stores, ledger=ledger, keystore=keystore, clock=clock)
    stores.divisions.put_divisions(divisions.line("520527000000"))
    operator = instance_operator("operator")
    accounts.register_offices(OFFICES, by=operator)
    accounts.register_people(
        [
            NewPerson("min", "闵", "gz-civil-affairs", frozenset({Role.DATA_OFFICER, Role.REVIEWER}), PASSWORD),
            NewPerson("wen", "文", "gz-education", frozenset({Role.ANALYST}), PASSWORD),
            NewPerson("shuang", "双", "gz-education", frozenset({Role.ANALYST}), PASSWORD),
        ],
        by=operator,
    )
    accounts.add_post("shuang", office="gz-medical-security", roles={Role.REVIEWER}, by=operator)
    officer = stores.parties.actors_of("min")[0]
    for one in (
        dataset("civil.household", Sharing.CONDITIONAL, "低保家庭", "Low-income households"),
        dataset("civil.shelter", Sharing.UNCONDITIONAL, "避难场所", "Shelters"),
        dataset("civil.adoption", Sharing.NOT_SHARED, "收养登记", "Adoptions"),
    ):
        catalog.publish(one, by=officer)
        stores.catalog.add_snapshot(snapshot(one.id, 1))
    doors = Doors(
        catalog=catalog,
        entries=stores.catalog,
        parties=stores.parties,
        divisions=divisions,
        sharing=sharing,
        gateway=None,  # type: ignore[arg-type] - no page runs a query
        ledger=ledger,
        uses=stores.uses,
        accounts=accounts,
        load=None,  # type: ignore[arg-type] - no page loads a file
        clock=clock,
    )
    doors_module.use(doors)
    yield Portal(doors, accounts, clock, Client())
    doors_module.use(None)
