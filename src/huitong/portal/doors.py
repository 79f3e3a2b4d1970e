"""What the API and the pages reach: the platform of the instance that this process serves, opened once, at the first call."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from huitong.catalog.divisions import Divisions, load_divisions
from huitong.catalog.ports import CatalogStore, PartyStore
from huitong.catalog.publish import CatalogActions, refuse_unless_officer
from huitong.errors import NotFound
from huitong.gateway.answer import Gateway, Uses
from huitong.intake.load import Loading
from huitong.ledger.log import Ledger
from huitong.model.catalog import Snapshot
from huitong.model.party import Actor
from huitong.model.policy import Grant
from huitong.model.sharing import Request
from huitong.portal.accounts.tokens import Scope
from huitong.sharing.actions import SharingActions
from huitong.sharing.ports import Side

Kept = TypeVar("Kept")


class Tokens(Protocol):
    """Knows whose token a text is (`huitong.portal.accounts.actions.Accounts`)."""

    def actor_for_token(self, text: str, *, scope: Scope | None = None) -> Actor:
        """The actor, or NotSignedIn, or Refused."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Everything that a route or a page may ask for, and the few questions that join two parts of the core."""

    catalog: CatalogActions
    entries: CatalogStore
    parties: PartyStore
    divisions: Divisions
    sharing: SharingActions
    gateway: Gateway
    ledger: Ledger
    uses: Uses
    accounts: Tokens
    load: Callable[[str, Path, Actor, int], Loading]
    """Reads a file as the next snapshot of a dataset, leaving out at most so many rows, and makes it the current one."""
    clock: Callable[[], datetime]
    _kept: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made anew only after a rule, an office or an entry has changed."""
        epoch = self.catalog.epoch.current()
        kept = self._kept.get(name)
        if kept is None or kept[0] != epoch:
            kept = (epoch, make())
            self._kept[name] = kept
        made: Kept = kept[1]
        return made

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        """The newest snapshot of a dataset."""
        return self.entries.current_snapshot(dataset_id)

    def check_may_load(self, dataset_id: str, *, by: Actor) -> None:
        """Refuse before a large body is read, not after. Raises NotFound, Refused."""
        dataset = self.catalog.dataset(dataset_id)
        refuse_unless_officer(by, dataset.provider, dataset.id)

    def take_snapshot(self, dataset_id: str, path: Path, *, by: Actor, reject_limit: int = 0) -> Loading:
        """Read a file as the next snapshot; more than `reject_limit` rows that do not fit, and nothing is taken."""
        return self.load(dataset_id, path, by, reject_limit)

    def grant_of_request(self, request: Request) -> str | None:
        """The number of the grant that came of a request."""
        grant = self.sharing.grant_of(request)
        return grant.id if grant else None

    def grants(self, *, by: Actor) -> Sequence[Grant]:
        """The grants that the actor's office uses or gave, newest first."""
        both = {grant.id: grant for side in Side for grant in self.sharing.grants(by=by, side=side)}
        return sorted(both.values(), key=lambda grant: (grant.granted_at, grant.id), reverse=True)

    def receipt(self, query: str, *, by: Actor) -> dict[str, Any]:
        """The receipt of a query, for the office that asked and those whose data it used. Raises NotFound `query-unknown`."""
        entries = self.uses.entries_of(query)
        if not entries or (by.office != self.uses.office_of(query) and by.office not in self._providers(entries)):
            raise NotFound.because("query-unknown", query=query)
        return self.ledger.receipt(entries)

    def _providers(self, entries: Sequence[str]) -> set[str]:
        providers = set()
        for entry in entries:
            promise = self.ledger.store.promise(entry)
            body = json.loads(promise.payload)["body"] if promise else {}
            for used in body.get("grants", ()):
                grant = self.sharing.sharing.grant(used["grant"])
                providers |= {grant.provider} if grant else set()
        return providers


_lock = threading.Lock()
_open: list[Doors] = []


def doors() -> Doors:
    """Those of this process."""
    if not _open:
        with _lock:
            if not _open:
                _open.append(open_doors())
    return _open[0]


def use(other: Doors | None) -> None:
    """Serve these from now on; None means: open the instance's own at the next call."""
    with _lock:
        _open[:] = [other] if other else []


def open_doors() -> Doors:
    """The doors of the instance that Django's settings name."""
    from django.conf import settings

    from huitong.keystore import FileKeyStore
    from huitong.portal.accounts.actions import Accounts
    from huitong.portal.stores import Stores
    from huitong.portal.wiring import open_platform, wall_clock

    platform, stores = open_platform(settings.HUITONG), Stores()
    keystore = FileKeyStore(settings.HUITONG.keys)
    return Doors(
        catalog=platform.catalog,
        entries=stores.catalog,
        parties=stores.parties,
        divisions=load_divisions(),
        sharing=platform.sharing,
        gateway=platform.gateway,
        ledger=platform.ledger,
        uses=stores.uses,
        accounts=Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock),
        load=lambda dataset, path, by, rejects: platform.intake.load(dataset, path, by=by, reject_limit=rejects),
        clock=wall_clock,
    )
