"""Putting entries into the catalogue and finding them: who may, what is checked before, what is written down, who may know."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from zoneinfo import ZoneInfo

from huitong.catalog.canonical import canonical_hash
from huitong.catalog.checks import Floors, faults_of_change, faults_of_entry, no_floors, offices_of, sources_of
from huitong.catalog.plans import Change, Left, Plan, changed_fields
from huitong.catalog.ports import CatalogStore, Clock, EntryLog, Facet, PartyStore, PolicyEpoch, SearchPage, Transactions
from huitong.catalog.search import index_of, search
from huitong.catalog.succession import still_closed
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.model.catalog import Dataset
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Office, Role

BATCH = 200
"""Entries that go into the catalogue in one transaction when many are published."""
DEEPEST_LINEAGE = 64
"""Steps from an entry to what it was made of, and on, that the search for a circle follows."""


@dataclass(frozen=True)
class Proposal:
    """An entry that an office wants in force, the one it would replace, and everything that speaks against it."""

    new: Dataset
    old: Dataset | None
    refusals: tuple[Reason, ...] = ()
    """The office may not."""
    faults: tuple[Reason, ...] = ()
    """The entry is wrong."""
    conflicts: tuple[Reason, ...] = ()
    """It does not go together with what is there."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All of them."""
        return (*self.refusals, *self.faults, *self.conflicts)

    @property
    def changes_nothing(self) -> bool:
        """Whether the very same entry is in force already; the day of publication does not count, the catalogue sets it."""
        return self.old is not None and replace(self.new, published_on=self.old.published_on) == self.old


@dataclass(frozen=True, kw_only=True)
class CatalogActions:
    """What people do with the catalogue. Each change is one transaction with its ledger entry and the policy epoch's bump.

    `viewer` is the office for which a signed-in person acts; None (nobody in particular) knows only what everyone may know."""

    catalog: CatalogStore
    parties: PartyStore
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    clock: Clock
    time_zone: str
    floors: Floors = no_floors
    """What the grading scheme finds wrong with an entry, given the entries it was made of, and they of; injected by the platform."""

    def publish(self, dataset: Dataset, *, by: Actor, allow_changes: frozenset[str] = frozenset()) -> Dataset:
        """Put the entry in force, or replace the one of the same id; the day of the first publication stays.

        Only a data officer of the managing office may. `allow_changes` names items of existing snapshots that may go or change
        their type. Raises Refused `role-missing`, `dataset-of-other-office`; InputInvalid with everything that is wrong with the
        entry; Conflict if the change would break what snapshots hold, or the name is taken."""
        with self.transactions.atomic():
            self.epoch.bump()
            proposals = self.proposals([dataset], by=by, allow_changes=allow_changes)
            _raise_for(proposals)
            return self._put(proposals[0], by=by)

    def publish_many(self, datasets: Iterable[Dataset], *, by: Actor, allow_changes: frozenset[str] = frozenset()) -> Iterator[Dataset]:
        """Put entries in force, a few hundred in a transaction, and give out each that changed once its transaction is through.

        The first batch with a fault is left out whole and ends it: InputInvalid, Refused or Conflict with every reason of that
        batch; batches before it stay. Entries may be made of others of the same batch. Running it again is harmless: an entry
        that is in force as it is changes nothing."""
        waiting = iter(datasets)
        while batch := list(islice(waiting, BATCH)):
            yield from self.publish_together(batch, by=by, allow_changes=allow_changes)

    def publish_together(
        self, datasets: Sequence[Dataset], *, by: Actor, allow_changes: frozenset[str] = frozenset()
    ) -> Sequence[Dataset]:
        """Put these entries in force, all or none, in one transaction; those that changed. Raises as `publish`, with the reasons
        of all of them."""
        with self.transactions.atomic():
            self.epoch.bump()
            proposals = self.proposals(datasets, by=by, allow_changes=allow_changes)
            _raise_for(proposals)
            return [self._put(proposal, by=by) for proposal in proposals if not proposal.changes_nothing]

    def apply(
        self, datasets: Sequence[Dataset], *, by: Actor, dry_run: bool = False, allow_changes: frozenset[str] = frozenset()
    ) -> Plan:
        """Put those of these entries that one's own office manages in force, all in one transaction, or with `dry_run` only say
        what that would do; entries of other offices are skipped, and told. Raises as `publish_together`, `dry_run` or not, and
        InputInvalid `entry-twice`."""
        with self.transactions.atomic():
            plan = self.plan(datasets, by=by, allow_changes=allow_changes)
            if plan.faults:
                own = list({dataset.id: dataset for dataset in datasets if dataset.provider == by.office}.values())
                _raise_for(self.proposals(own, by=by, allow_changes=allow_changes))
                raise InputInvalid(*(left.reason for left in plan.faults))
            return plan if dry_run else self.carry_out(plan, datasets, by=by, allow_changes=allow_changes)

    def plan(self, datasets: Sequence[Dataset], *, by: Actor, allow_changes: frozenset[str] = frozenset()) -> Plan:
        """What applying these entries would do, and everything that speaks against it; writes nothing.

        Raises Refused `role-missing`."""
        if not by.has(Role.DATA_OFFICER):
            raise Refused.because("role-missing", role=Role.DATA_OFFICER.value, post=by.post, office=by.office)
        own: dict[str, Dataset] = {}
        skipped, faults = [], []
        for dataset in datasets:
            if dataset.provider != by.office:
                parameters = {"dataset": dataset.id, "provider": dataset.provider, "office": by.office}
                skipped.append(Left(dataset.id, Reason("dataset-of-other-office", parameters)))
            elif dataset.id in own:
                faults.append(Left(dataset.id, Reason("entry-twice", {"dataset": dataset.id})))
            else:
                own[dataset.id] = dataset
        proposals = self.proposals(list(own.values()), by=by, allow_changes=allow_changes)
        return Plan(
            added=tuple(one.new.id for one in proposals if one.old is None and not one.reasons),
            changed=tuple(
                Change(one.new.id, changed_fields(one.old, one.new))
                for one in proposals
                if one.old is not None and not one.changes_nothing
            ),
            unchanged=tuple(one.new.id for one in proposals if one.changes_nothing),
            skipped=tuple(skipped),
            faults=(*faults, *(Left(one.new.id, reason) for one in proposals for reason in one.reasons)),
        )

    def carry_out(
        self, plan: Plan, datasets: Sequence[Dataset], *, by: Actor, allow_changes: frozenset[str] = frozenset()
    ) -> Plan:
        """Put in force what a plan without faults says, inside the caller's transaction; the plan, now applied."""
        wanted = {*plan.added, *(change.dataset for change in plan.changed)}
        if wanted:
            self.publish_together([dataset for dataset in datasets if dataset.id in wanted], by=by, allow_changes=allow_changes)
        return replace(plan, applied=True)

    def proposals(
        self, datasets: Sequence[Dataset], *, by: Actor, allow_changes: frozenset[str] = frozenset()
    ) -> Sequence[Proposal]:
        """What putting these entries in force together would change, and what speaks against each; writes nothing."""
        together = {dataset.id: dataset for dataset in datasets}
        in_force = self.catalog.datasets(together)
        named = {source for dataset in datasets for source in sources_of(dataset)} - set(together)
        sources = {**self.catalog.datasets(named), **together}
        offices = {name: self.parties.office(name) for name in {name for one in datasets for name in offices_of(one)}}
        today = self._today()
        found = []
        for dataset in datasets:
            old = in_force.get(dataset.id)
            refusals = _refusals(dataset, old, by)
            if refusals:
                found.append(Proposal(new=dataset, old=None, refusals=refusals))
                continue
            if old is not None and old.provider != by.office:
                reason = Reason("dataset-name-taken", {"dataset": dataset.id})
                found.append(Proposal(new=dataset, old=None, conflicts=(reason,)))
                continue
            named_before = frozenset(sources_of(old)) if old is not None else frozenset()
            ancestors = self._ancestors(dataset, sources)
            may_know = {name: one for name, one in ancestors.items() if name in named_before or one.is_known_to(by.office)}
            faults = faults_of_entry(dataset, offices, sources=may_know, floors=self.floors, today=today)
            if _leads_back(dataset, may_know):
                faults = (*faults, Reason("lineage-circle", {"dataset": dataset.id}))
            found.append(Proposal(new=dataset, old=old, faults=faults, conflicts=self._conflicts(old, dataset, allow_changes)))
        return found

    def _conflicts(self, old: Dataset | None, new: Dataset, allow_changes: frozenset[str]) -> tuple[Reason, ...]:
        if old is None or not faults_of_change(old, new, has_snapshot=True, allow_changes=allow_changes):
            return ()
        has_snapshot = self.catalog.current_snapshot(new.id) is not None
        return faults_of_change(old, new, has_snapshot=has_snapshot, allow_changes=allow_changes)

    def _ancestors(self, dataset: Dataset, known: Mapping[str, Dataset]) -> Mapping[str, Dataset]:
        """The entries that it was made of, and those that they were made of, and on."""
        found: dict[str, Dataset] = {}
        layer = set(sources_of(dataset))
        for _ in range(DEEPEST_LINEAGE):
            if not (layer := layer - set(found) - {dataset.id}):
                break
            missing = [name for name in layer if name not in known]
            entries = {**(self.catalog.datasets(missing) if missing else {}), **{name: known[name] for name in layer if name in known}}
            found.update(entries)
            layer = {source for entry in entries.values() for source in sources_of(entry)}
        return found

    def _put(self, proposal: Proposal, *, by: Actor) -> Dataset:
        old = proposal.old
        published = replace(proposal.new, published_on=old.published_on if old else self._today())
        offices = [self.parties.office(name) for name in dict.fromkeys((published.provider, published.collector))]
        self.catalog.put_dataset(published, index=index_of(published, [office for office in offices if office]))
        self.ledger.append(
            kind=EntryKind.DATASET_PUBLISHED,
            body={
                "dataset": published.id,
                "provider": published.provider,
                "collector": published.collector,
                "sharing": published.sharing.value,
                "visibility": published.visibility.value,
                "entry_hash": canonical_hash(published),
                "replaces": canonical_hash(old) if old else None,
                "lowered": _lowered(old, published) if old else [],
                "actor": by.person,
                "office": by.office,
                "post": by.post,
            },
        )
        return published

    def _today(self) -> date:
        return self.clock().astimezone(ZoneInfo(self.time_zone)).date()

    def register_office(self, office: Office, *, by: Actor) -> Office:
        """Add an office or change its entry; the operator does. Raises Refused `role-missing`, InputInvalid `office-unknown`."""
        if not by.has(Role.OPERATOR):
            raise Refused.because("role-missing", role=Role.OPERATOR.value, post=by.post, office=by.office)
        with self.transactions.atomic():
            self.epoch.bump()
            if office.superior is not None and self.parties.office(office.superior) is None:
                raise InputInvalid.because("office-unknown", office=office.superior)
            office = still_closed(office, self.parties.office(office.id))
            self.parties.put_office(office)
            body = {"office": office.id, "credit_code": office.credit_code, "division": office.division, "actor": by.person}
            self.ledger.append(kind=EntryKind.OFFICE_REGISTERED, body=body)
            return office

    def dataset(self, dataset_id: str, *, viewer: str | None = None) -> Dataset:
        """The entry in force, as the viewer may see it. Raises NotFound `dataset-unknown`, the very same for an entry that there
        is not and for one that the viewer may not know of."""
        dataset = self.catalog.dataset(dataset_id)
        if dataset is None or not dataset.is_known_to(viewer):
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return self.as_seen_by([dataset], viewer)[0]

    def search(
        self,
        text: str = "",
        *,
        viewer: str | None = None,
        narrowing: Mapping[Facet, Collection[str]] | None = None,
        facets: Collection[Facet] = (),
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries that answer the words and that the viewer may know of, best first; without words all, by id."""
        page = search(self.catalog, text, viewer=viewer, narrowing=narrowing, facets=facets, limit=limit, offset=offset)
        return replace(page, hits=self.as_seen_by(page.hits, viewer))

    def every_dataset(self, *, viewer: str | None = None, provider: str | None = None) -> Iterator[Dataset]:
        """All entries that the viewer may know of, or those of one managing office, by id, as the viewer may see them; a few
        hundred in memory at a time."""
        entries = (
            dataset
            for dataset in self.catalog.every_dataset()
            if dataset.is_known_to(viewer) and (provider is None or dataset.provider == provider)
        )
        while batch := list(islice(entries, BATCH)):
            yield from self.as_seen_by(batch, viewer)

    def as_seen_by(self, datasets: Sequence[Dataset], viewer: str | None) -> tuple[Dataset, ...]:
        """The entries without what the viewer may not know: who else may know of them, and sources that are hidden from it.

        The managing and the collecting office see their entries whole."""
        foreign = [dataset for dataset in datasets if viewer is None or viewer not in (dataset.provider, dataset.collector)]
        named = {source for dataset in foreign for source in sources_of(dataset)}
        known = {name for name, entry in self.catalog.datasets(named).items() if entry.is_known_to(viewer)} if named else set()
        whole = {id(dataset) for dataset in datasets} - {id(dataset) for dataset in foreign}
        return tuple(dataset if id(dataset) in whole else _without_hidden(dataset, known) for dataset in datasets)


def _raise_for(proposals: Sequence[Proposal]) -> None:
    """Raise the first kind of what speaks against any of them, with every reason of that kind."""
    if reasons := dict.fromkeys(reason for proposal in proposals for reason in proposal.refusals):
        raise Refused(*reasons)
    if reasons := dict.fromkeys(reason for proposal in proposals for reason in proposal.faults):
        raise InputInvalid(*reasons)
    if reasons := dict.fromkeys(reason for proposal in proposals for reason in proposal.conflicts):
        raise Conflict(*reasons)


def _refusals(dataset: Dataset, old: Dataset | None, by: Actor) -> tuple[Reason, ...]:
    """Why this person may not publish the entry. That an entry is taken by an office which hides it is not told here."""
    reasons = []
    if not by.has(Role.DATA_OFFICER):
        reasons.append(Reason("role-missing", {"role": Role.DATA_OFFICER.value, "post": by.post, "office": by.office}))
    providers = [dataset.provider]
    if old is not None and old.is_known_to(by.office):
        providers.insert(0, old.provider)
    for provider in providers:
        if provider != by.office:
            parameters = {"dataset": dataset.id, "provider": provider, "office": by.office}
            reasons.append(Reason("dataset-of-other-office", parameters))
            break
    return tuple(reasons)


def _lowered(old: Dataset, new: Dataset) -> list[list[str | int | None]]:
    """Every item that comes to need less protection than before, or another kind: item, grade and meaning before and now. Fewer
    reviewers may be enough for it from now on, so the ledger says it in so many words."""
    pairs = [(before, after) for before in old.items if (after := new.item(before.name)) is not None]
    return [
        [after.name, int(before.grade), int(after.grade), before.meaning, after.meaning]
        for before, after in pairs
        if after.grade < before.grade or (before.meaning is not None and after.meaning != before.meaning)
    ]


def _leads_back(dataset: Dataset, may_know: Mapping[str, Dataset]) -> bool:
    """Whether the lineage leads back to the entry, by entries that the publishing office may know of: a circle through a hidden one
    must not tell that there is one, and the grades of a circle are judged all the same."""
    seen: set[str] = set()
    layer = set(sources_of(dataset))
    while layer:
        if dataset.id in layer:
            return True
        seen |= layer
        layer = {source for name in layer if name in may_know for source in sources_of(may_know[name])} - seen
    return False


def _without_hidden(dataset: Dataset, known: set[str]) -> Dataset:
    """The entry as another office sees it; `known` are the sources it may know of."""
    if not dataset.known_to and not sources_of(dataset):
        return dataset
    items = tuple(
        replace(
            item,
            derived_from=tuple(
                source for source in item.derived_from if source.partition("#")[0] in known or source.partition("#")[0] == dataset.id
            ),
        )
        if item.derived_from
        else item
        for item in dataset.items
    )
    derived_from = tuple(source for source in dataset.derived_from if source in known)
    return replace(dataset, known_to=(), derived_from=derived_from, items=items)


def refuse_unless_officer(by: Actor, provider: str, dataset_id: str) -> None:
    """Raise Refused unless the actor is a data officer of the office that manages the dataset."""
    reasons = []
    if not by.has(Role.DATA_OFFICER):
        reasons.append(Reason("role-missing", {"role": Role.DATA_OFFICER.value, "post": by.post, "office": by.office}))
    if by.office != provider:
        reasons.append(Reason("dataset-of-other-office", {"dataset": dataset_id, "provider": provider, "office": by.office}))
    if reasons:
        raise Refused(*reasons)
