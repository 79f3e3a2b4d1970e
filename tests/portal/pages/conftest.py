"""A small portal on Django's own stores, with people who can sign in, and its pages."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from tests.api.conftest import HEZHANG, NOW, OFFICES, entries, seed_lake

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.keystore import KEY_NAMES, FileKeyStore
from huitong.model.catalog import Snapshot
from huitong.model.party import Actor, Role
from huitong.platform import open as open_core
from huitong.portal import doors as doors_module
from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
from huitong.portal.doors import Doors, doors_of
from huitong.portal.stores import Stores
from huitong.settings import Settings
from huitong.testing import MemoryClock

__all__ = ["divisions", "portal", "seed_lake"]
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
def portal(
    db: None, tmp_path: Path, settings: Any, divisions: Divisions, seed_lake: tuple[Path, dict[str, Snapshot]]
) -> Iterator[Portal]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the slow one is tested with the accounts
    stores, clock, keystore = Stores(), MemoryClock(NOW), FileKeyStore(tmp_path / "keys")
    keystore.create(KEY_NAMES)
    shutil.copytree(seed_lake[0], tmp_path / "lake")
    stores.divisions.put_divisions(divisions.line(HEZHANG))
    platform = open_core(Settings(home=tmp_path), stores, clock)
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=clock)
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
    for one in entries():
        platform.catalog.publish(one, by=officer)
        stores.catalog.add_snapshot(seed_lake[1][one.id])
    doors = doors_of(platform, stores, accounts=accounts, clock=clock)
    doors_module.use(doors)
    yield Portal(doors, accounts, clock, Client())
    doors_module.use(None)
