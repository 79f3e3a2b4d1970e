"""An instance with two offices, its notices and its sender, on each database. Time stands still until it is moved."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.portal.examples import ANALYST, CIVIL, HOUSEHOLDS, MEDICAL, NOON, REVIEWER, Example, put_account

from huitong.keystore import FileKeyStore
from huitong.ledger.log import Ledger
from huitong.model.catalog import Visibility
from huitong.model.notice import Delivery, Notice, NoticeKind
from huitong.model.party import Actor, Role
from huitong.portal.notices.actions import Notices
from huitong.portal.notices.mail import Mailer, MailServer
from huitong.portal.notices.opening import open_notices, open_sender
from huitong.portal.notices.sending import Sender
from huitong.portal.stores import Stores
from huitong.settings import Settings
from huitong.testing import MemoryClock

OFFICER = replace(ANALYST, person="zhou.jie", name="周杰", post="zhou.jie@gz-medical-security", roles=frozenset({Role.DATA_OFFICER}))
"""Data officer of the office that asks."""
HIDDEN = replace(HOUSEHOLDS, id="civil.adoption", visibility=Visibility.NAMED)


@dataclass
class World:
    """Everything of one instance that has to do with notices."""

    stores: Stores
    clock: MemoryClock
    settings: Settings
    keystore: FileKeyStore
    ledger: Ledger

    def notices(self, **settings: Any) -> Notices:
        return open_notices(replace(self.settings, **settings), self.stores, self.ledger, self.clock)

    def sender(self, **changes: Any) -> Sender:
        made = open_sender(self.settings, self.stores, self.ledger, self.clock)
        return replace(made, luck=lambda: 0.5, **changes)

    def mailing(self, server: MailServer) -> Mailer:
        return Mailer(server, 5, lambda: self.keystore.sealed("smtp-password").decode())

    def post(self, kind: NoticeKind = NoticeKind.GRANT_MADE, *, about: dict[str, str] | None = None, **to: Any) -> None:
        about = {"grant": "G-2026-000001", "dataset": HOUSEHOLDS.id} if about is None else about
        to = to or {"to_roles": ((MEDICAL.id, Role.ANALYST), (MEDICAL.id, Role.DATA_OFFICER))}
        with self.stores.atomic():
            self.stores.notices.post(Notice(kind=kind, at=self.clock(), about=about, **to))

    def inbox(self, actor: Actor, **more: Any) -> list[tuple[str, str]]:
        """Kind and grant or request of what is in the in-box."""
        found, _, _ = self.notices().inbox(by=actor, **more)
        return [(line.kind.value, line.about.get("grant") or line.about.get("request", "")) for line in found]

    def webhook(self, url: str, *kinds: NoticeKind, by: Actor = OFFICER) -> tuple[str, str]:
        """Id and secret of a new webhook."""
        made = self.notices().add_webhook(url, by=by, kinds=kinds)
        return made.webhook.id, made.secret

    def deliveries(self, webhook: str, by: Actor = OFFICER) -> list[Delivery]:
        return list(self.notices().deliveries(webhook, by=by)[0])

    def allow(self, *ports: int) -> None:
        self.settings = replace(self.settings, webhook_hosts=", ".join(f"127.0.0.1:{port}" for port in ports))


@pytest.fixture
def world(example: Example, tmp_path: Path) -> World:
    stores = example.stores
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create()
    clock = MemoryClock(NOON)
    put_account(stores.using, OFFICER)
    with stores.atomic():
        stores.catalog.put_dataset(HIDDEN, index={})
    ledger = Ledger(stores.ledger, keystore, clock, origin="huitong.example/test", alarm_seconds=10, stop_seconds=300)
    return World(stores, clock, Settings(home=tmp_path, webhook_hosts="127.0.0.1:9"), keystore, ledger)


@pytest.fixture
def people() -> dict[str, Actor]:
    return {"analyst": ANALYST, "officer": OFFICER, "reviewer": REVIEWER}


Posts = Callable[..., None]
OFFICES = (CIVIL, MEDICAL)
