"""What the API and the pages reach: the platform of the instance that this process serves, opened once, at the first call."""

import json
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from huitong.catalog.divisions import Divisions
from huitong.catalog.ports import CatalogStore, PartyStore, QualityStore
from huitong.catalog.publish import CatalogActions, refuse_unless_officer
from huitong.delivery.addresses import AddressActions
from huitong.delivery.extract import ExtractActions
from huitong.delivery.record import RecordActions
from huitong.errors import NotFound
from huitong.gateway.answer import Gateway, Uses
from huitong.gateway.running import RunningUses
from huitong.intake.actions import IntakeActions
from huitong.intake.credentials import CredentialActions
from huitong.intake.planned import PlanActions
from huitong.intake.quality import freshness
from huitong.keystore import TOKEN_SALT, FileKeyStore
from huitong.ledger.log import Ledger
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.party import Actor, DivisionLevel, Office
from huitong.model.policy import Grant
from huitong.model.quality import QualityReport
from huitong.model.sharing import Request
from huitong.platform import Platform, lineage_of
from huitong.policy.grading import EffectiveGrade, GradingScheme, effective_grade
from huitong.portal.notices.actions import Notices
from huitong.portal.notices.opening import open_notices
from huitong.sharing.actions import SharingActions
from huitong.sharing.calendar import CalendarActions
from huitong.sharing.document import GrantDocuments
from huitong.sharing.noised import Budgets, BudgetUse
from huitong.sharing.ports import Side
from huitong.sharing.quotas import Quotas, QuotaUse
from huitong.sharing.reidentification import ReidentificationActions
from huitong.sharing.succession import SuccessionActions
from huitong.sharing.usable import UsableActions
from huitong.sharing.used import UsesOfData

if TYPE_CHECKING:
    from huitong.portal.accounts.actions import Accounts

Kept = TypeVar("Kept")


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Everything that a route or a page may ask for, and the few questions that join two parts of the core."""

    catalog: CatalogActions
    entries: CatalogStore
    parties: PartyStore
    division_tree: Callable[[], Divisions]
    """The divisions of now, and those that were; another process may change them."""
    sharing: SharingActions
    usable: UsableActions
    uses_of_data: UsesOfData
    calendar: CalendarActions
    reidentification: ReidentificationActions
    documents: GrantDocuments
    succession: SuccessionActions
    intake: IntakeActions
    plans: PlanActions
    credentials: CredentialActions
    reports: QualityStore
    grading: GradingScheme
    gateway: Gateway
    running: RunningUses
    quotas: Quotas
    budgets: Budgets
    extracts: ExtractActions
    addresses: AddressActions
    records: RecordActions
    ledger: Ledger
    uses: Uses
    accounts: "Accounts"
    notices: Notices
    clock: Callable[[], datetime]
    keyed_answers: Any
    """Keys of calls and the answers kept for them (`huitong.portal.api.idempotency.KeyedAnswers`)."""
    atomic: Callable[[], AbstractContextManager[None]]
    """A transaction over all stores."""
    fingerprint_key: Callable[[], bytes]
    """Under it what a call says is remembered without being told."""
    _kept: dict[str, tuple[int, Any]] = field(default_factory=dict)

    @property
    def divisions(self) -> Divisions:
        """All divisions: find one, its children, those under it, those of a name."""
        return self.division_tree()

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

    def report(self, dataset_id: str) -> QualityReport | None:
        """The quality report of the newest snapshot that has one; whether it is late, as of now."""
        return self.as_of_now(self.reports.report(dataset_id))

    def as_of_now(self, report: QualityReport | None) -> QualityReport | None:
        """The same report with its freshness as of this moment."""
        if report is None:
            return None
        cycle, taken_at = report.freshness.cycle, report.freshness.taken_at
        return replace(report, freshness=freshness(cycle, taken_at, self.clock()))

    def effective_grade(self, dataset: Dataset, *, viewer: str | None) -> EffectiveGrade:
        """The grade of the dataset as a whole. Of reasons for more than its items' grade, those that name an entry which the viewer
        may not know of are left out; none are told when nothing raises it."""
        whole = self.entries.dataset(dataset.id) or dataset
        sources = lineage_of(whole, self.entries)
        snapshot = self.current_snapshot(dataset.id)
        found = effective_grade(whole, sources=sources, rows=snapshot.rows if snapshot else None, scheme=self.grading)
        if found.grade <= dataset.grade:
            return replace(found, because=())
        hidden = {name for name, entry in sources.items() if not entry.is_known_to(viewer)}
        told = tuple(one for one in found.because if not any(_names(value, hidden) for value in one.parameters.values()))
        return replace(found, because=told)

    def publisher(self, office_id: str) -> Office:
        """The office that runs the platform: the one named, else the first of the highest level. Raises NotFound `office-unknown`."""
        if office_id:
            found = self.parties.office(office_id)
        else:
            found = next((one for level in DivisionLevel for one in self.parties.offices(level=level, limit=1)[0]), None)
        if found is None:
            raise NotFound.because("office-unknown", office=office_id or "-")
        return found

    def known_entries(self, by: Actor, *, office: str | None = None) -> Iterator[Dataset]:
        """Entries that the actor's office may know of, of one managing office if it is named, by id."""
        return self.catalog.every_dataset(viewer=by.office, provider=office)

    def check_may_load(self, dataset_id: str, *, by: Actor) -> None:
        """Refuse before a large body is read, not after. Raises NotFound, Refused."""
        dataset = self.catalog.dataset(dataset_id, viewer=by.office)
        refuse_unless_officer(by, dataset.provider, dataset.id)

    def grant_of_request(self, request: Request) -> str | None:
        """The number of the grant that came of a request."""
        return self.grants_of_requests([request]).get(request.id)

    def grants_of_requests(self, requests: Sequence[Request]) -> Mapping[str, str]:
        """The numbers of the grants that came of a page of requests, by the requests' numbers."""
        return {request: grant.id for request, grant in self.sharing.grants_of(requests).items()}

    def quota_use(self, grant: Grant) -> QuotaUse | None:
        """How much of the grant's quota is used in the period that runs; None without a quota."""
        return self.quotas.use_of(grant, at=self.clock())

    def budget_use(self, grant: Grant) -> BudgetUse | None:
        """How much of the grant's budget of noised totals is spent; None for a grant of another mode."""
        return self.budgets.use_of(grant)

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


def _names(value: str | int, datasets: Collection[str]) -> bool:
    """Whether a parameter of a reason names one of these datasets, or an item of one."""
    return isinstance(value, str) and any(part.partition("#")[0] in datasets for part in re.split(r"[,\s]+", value))


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


def doors_of(platform: Platform, stores: Any, *, accounts: "Accounts", clock: Callable[[], datetime]) -> Doors:
    """The doors of a platform over its stores."""
    return Doors(
        catalog=platform.catalog,
        entries=stores.catalog,
        parties=stores.parties,
        division_tree=stores.divisions.tree,
        sharing=platform.sharing,
        usable=platform.usable,
        uses_of_data=platform.uses_of_data,
        calendar=platform.calendar,
        reidentification=platform.reidentification,
        documents=platform.documents,
        succession=platform.succession,
        intake=platform.intake,
        plans=platform.plans,
        credentials=platform.credentials,
        reports=stores.quality,
        grading=platform.grading,
        gateway=platform.gateway,
        running=platform.running,
        quotas=platform.quotas,
        budgets=platform.budgets,
        extracts=platform.extracts,
        addresses=platform.addresses,
        records=platform.records,
        ledger=platform.ledger,
        uses=stores.uses,
        accounts=accounts,
        notices=open_notices(platform.settings, stores, platform.ledger, clock),
        clock=clock,
        keyed_answers=stores.keyed_answers,
        atomic=stores.atomic,
        fingerprint_key=lambda: FileKeyStore(platform.settings.keys).secret(TOKEN_SALT),
    )


def open_doors() -> Doors:
    """The doors of the instance that Django's settings name."""
    from django.conf import settings

    from huitong.portal.accounts.actions import Accounts
    from huitong.portal.stores import Stores
    from huitong.portal.wiring import open_platform, wall_clock

    platform, stores = open_platform(settings.HUITONG), Stores()
    keystore = FileKeyStore(settings.HUITONG.keys)
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock)
    return doors_of(platform, stores, accounts=accounts, clock=wall_clock)
