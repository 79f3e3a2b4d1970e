"""Every port of the core in memory: for the tests of this package and of those who build on it. Never for serving.

`MemoryStores()` holds one of each over one `MemoryTransactions`; an exception inside `atomic()` undoes what it did, as a
database would. One lock serialises the transactions of all threads.
"""

import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import EllipsisType
from typing import Any, TypeVar

from huitong.catalog.divisions import Divisions
from huitong.catalog.ports import Facet, SearchPage
from huitong.catalog.search import facet_values, ordered_counts
from huitong.catalog.tree import line_up, parents_first
from huitong.errors import Conflict, InputInvalid, NotFound
from huitong.gateway.running import RunningUse
from huitong.intake.plans import LoadPlan, LoadRun, RunState
from huitong.ledger.literals import literal_digest, sealed_body
from huitong.ledger.uses import UseEnd, UseOfData, uses_of_data
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.delivery import Address, DeliveryMark, Extract, ExtractState
from huitong.model.keyed import KeptAnswer, KeyedCall, KeyRecord, KeyState
from huitong.model.ledger import Checkpoint, EntryKind, KeptCosignature, KeptStamp, KeyChange, Promise, UseOfEntry
from huitong.model.notice import (
    Delivery,
    DeliveryState,
    InboxLine,
    MailChoice,
    Notice,
    NoticeKind,
    Webhook,
    WebhookState,
)
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState, SubjectRows, beginning_of
from huitong.model.pseudonym import KeyEpoch
from huitong.model.quality import GradingSuggestion, QualityReport, SuggestionState
from huitong.model.records import RecordDoor
from huitong.model.reidentification import Reidentification, ReidentificationEvent
from huitong.model.sharing import OPEN_STATES, Delegation, Request, RequestEvent, RequestEventKind, RequestState
from huitong.policy.grading import sources_of
from huitong.sharing.answered import AnsweredQuestion
from huitong.sharing.availability import AvailabilityKind, Prospect
from huitong.sharing.deadline import CalendarYear
from huitong.sharing.ports import Side
from huitong.sharing.quotas import Amounts, Reservation
from huitong.sharing.usable import Judged, Standing, StandingPage
from huitong.sharing.used import UsesWanted, UseTotal

Undo = Callable[[], object]
Key = TypeVar("Key")
Value = TypeVar("Value")


class MemoryClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now.astimezone(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        """Move on by `days`, `hours`, `seconds` ... as for `timedelta`; the new instant."""
        self.now += timedelta(**duration)
        return self.now


class MemoryTransactions:
    """Transactions with an undo log; nested ones undo only their own part when they fail."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._undo: list[Undo] = []
        self._depth = 0

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Hold the lock; on an exception undo, in reverse order, what was done inside."""
        with self._lock:
            start = len(self._undo)
            self._depth += 1
            try:
                yield
            except BaseException:
                while len(self._undo) > start:
                    self._undo.pop()()
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._undo.clear()

    @property
    def open(self) -> bool:
        """Whether a transaction is under way in this thread or another."""
        return self._depth > 0

    def undo_by(self, undo: Undo) -> None:
        """Remember how to undo a change just made; outside a transaction changes are final at once."""
        if self._depth:
            self._undo.append(undo)


class _Store:
    """Base: dictionaries of frozen values whose changes can be undone."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        self._transactions = transactions

    def _set(self, place: dict[Key, Value], key: Key, value: Value) -> None:
        if key in place:
            old = place[key]
            self._transactions.undo_by(lambda: place.__setitem__(key, old))
        else:
            self._transactions.undo_by(lambda: place.pop(key))
        place[key] = value

    def _remove(self, place: dict[Key, Value], key: Key) -> None:
        if key in place:
            before = dict(place)

            def restore() -> None:
                place.clear()
                place.update(before)

            del place[key]
            self._transactions.undo_by(restore)

    def _append(self, place: list[Value], value: Value) -> None:
        place.append(value)
        self._transactions.undo_by(place.pop)


class MemoryEpoch(_Store):
    """PolicyEpoch of the catalogue, Epoch of the gateway."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._value = {"epoch": 0}

    def bump(self) -> int:
        """One more; the new number."""
        self._set(self._value, "epoch", self._value["epoch"] + 1)
        return self._value["epoch"]

    def current(self) -> int:
        """The number now."""
        return self._value["epoch"]

    def policy_epoch(self) -> int:
        """The same, under the gateway's name."""
        return self.current()


class MemoryCatalogStore(_Store):
    """CatalogStore; also the gateway's Catalogue."""

    def __init__(
        self,
        transactions: MemoryTransactions,
        parties: "MemoryPartyStore | None" = None,
        divisions: "MemoryDivisionStore | None" = None,
    ) -> None:
        super().__init__(transactions)
        self._parties = parties or MemoryPartyStore(transactions)
        self._divisions = divisions or MemoryDivisionStore(transactions)
        self._datasets: dict[str, Dataset] = {}
        self._indexes: dict[str, Mapping[str, int]] = {}
        self._snapshots: dict[tuple[str, int], Snapshot] = {}

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The entry in force."""
        return self._datasets.get(dataset_id)

    def put_dataset(self, dataset: Dataset, *, index: Mapping[str, int]) -> None:
        """Add or replace."""
        self._set(self._datasets, dataset.id, dataset)
        self._set(self._indexes, dataset.id, dict(index))

    def search(
        self,
        tokens: Sequence[str],
        *,
        viewer: str | None,
        narrowing: Mapping[Facet, Collection[str]] | None = None,
        facets: Collection[Facet] = (),
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries known to the viewer that hold every token, best first: slow and plain, what other stores are compared with."""
        found: list[tuple[int, str]] = []
        counts: dict[Facet, Counter[str]] = {facet: Counter() for facet in facets}
        for dataset_id, index in self._indexes.items():
            dataset = self._datasets[dataset_id]
            if not dataset.is_known_to(viewer) or not all(token in index for token in tokens):
                continue
            values = self._facet_values(dataset)
            outside = {facet for facet, wanted in (narrowing or {}).items() if not set(values[facet]) & set(wanted)}
            if not outside:
                found.append((-sum(index[token] for token in set(tokens)), dataset_id))
            for facet in counts:
                if outside <= {facet}:
                    counts[facet].update(values[facet])
        found.sort()
        page = tuple(self._datasets[dataset_id] for _, dataset_id in found[offset : offset + limit])
        counted = {facet: ordered_counts(counter) for facet, counter in counts.items()}
        return SearchPage(hits=page, total=len(found), facets=counted)

    def _facet_values(self, dataset: Dataset) -> Mapping[Facet, tuple[str, ...]]:
        office = self._parties.office(dataset.provider)
        return facet_values(dataset, office, [] if office is None else self._divisions.line(office.division))

    def datasets(self, dataset_ids: Collection[str]) -> Mapping[str, Dataset]:
        """Those of these ids that are in force."""
        return {dataset_id: self._datasets[dataset_id] for dataset_id in dataset_ids if dataset_id in self._datasets}

    def every_dataset(self) -> Iterator[Dataset]:
        """All entries in force, by id."""
        yield from (self._datasets[dataset_id] for dataset_id in sorted(self._datasets) if dataset_id in self._datasets)

    def mark_removed(self, dataset_id: str, versions: Collection[int], *, at: datetime) -> None:
        """Note that the files of these snapshots are gone."""
        for version in versions:
            snapshot = self.snapshot(dataset_id, version)
            if snapshot is not None and snapshot.removed_at is None:
                self._set(self._snapshots, (dataset_id, version), replace(snapshot, removed_at=at, files=()))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Make it the current one."""
        if snapshot.dataset not in self._datasets:
            raise NotFound.because("dataset-unknown", dataset=snapshot.dataset)
        current = self.current_snapshot(snapshot.dataset)
        if current is not None and snapshot.version <= current.version:
            raise Conflict.because(
                "snapshot-not-newer", dataset=snapshot.dataset, version=snapshot.version, current=current.version
            )
        self._set(self._snapshots, (snapshot.dataset, snapshot.version), snapshot)

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        """The newest."""
        return next(iter(self.snapshots(dataset_id)), None)

    def snapshot(self, dataset_id: str, version: int) -> Snapshot | None:
        """That one."""
        return self._snapshots.get((dataset_id, version))

    def snapshots(self, dataset_id: str) -> Sequence[Snapshot]:
        """All, newest first."""
        own = [snapshot for (dataset, _), snapshot in self._snapshots.items() if dataset == dataset_id]
        return sorted(own, key=lambda snapshot: -snapshot.version)


class MemoryPartyStore(_Store):
    """PartyStore."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._offices: dict[str, Office] = {}
        self._actors: dict[tuple[str, str], Actor] = {}

    def office(self, office_id: str) -> Office | None:
        """The office of that id."""
        return self._offices.get(office_id)

    def offices(
        self,
        *,
        text: str = "",
        level: DivisionLevel | None = None,
        division: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Office], int]:
        """Offices by id that contain the text, of that level and division; and how many."""
        wanted = text.casefold().strip()
        found = [
            office
            for _, office in sorted(self._offices.items())
            if (level is None or office.level is level)
            and (division is None or office.division == division)
            and any(wanted in words.casefold() for words in (office.id, office.title.zh, office.title.en))
        ]
        return found[offset : offset + limit], len(found)

    def put_office(self, office: Office) -> None:
        """Add or replace."""
        self._set(self._offices, office.id, office)

    def put_actor(self, actor: Actor) -> None:
        """Give a person a post (the portal's accounts do this otherwise)."""
        self._set(self._actors, (actor.person, actor.post), actor)

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts of the person."""
        return [actor for (name, _), actor in sorted(self._actors.items(), key=lambda pair: pair[0]) if name == person]

    def reviewers_of(self, offices: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The persons who hold a post with the role of reviewer, for each of these offices."""
        held = self._actors.values()
        return {name: frozenset(one.person for one in held if one.office == name and one.has(Role.REVIEWER)) for name in offices}

    def regulators_above(self, division: str) -> tuple[str, ...]:
        """The offices of the division, or of the nearest above it that has any, in which somebody is a regulator."""
        held = {one.office for one in self._actors.values() if one.has(Role.REGULATOR)}
        for digits in (12, 9, 6, 4, 2):
            code = division[:digits].ljust(12, "0")
            found = tuple(sorted(name for name in held if name in self._offices and self._offices[name].division == code))
            if found:
                return found
        return ()

    def holders(self, office: str, role: Role) -> Sequence[Actor]:
        """Who holds the role in the office."""
        return [actor for _, actor in sorted(self._actors.items()) if actor.office == office and actor.has(role)]

    def move_posts(self, office: str, successor: str, *, at: datetime) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """End the posts of the office and open them in the successor; pairs of old and new post."""
        moved = []
        division = self._offices[successor].division
        for key, actor in sorted(self._actors.items(), key=lambda pair: pair[1].post):
            if actor.office != office:
                continue
            held = next((one for one in self.actors_of(actor.person) if one.office == successor), None)
            new = held or replace(actor, post=f"{actor.person}@{successor}", office=successor, division=division)
            self._remove(self._actors, key)
            self._set(self._actors, (new.person, new.post), replace(new, roles=new.roles | actor.roles))
            moved.append((actor.post, new.post))
        return moved


class MemoryDivisionStore(_Store):
    """DivisionStore; also Divisions of the gateway and DivisionTree of sharing."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._by_code: dict[str, Division] = {}

    def divisions(self) -> Iterator[Division]:
        """All, parents before children, by code among those of one parent."""
        return parents_first(self._by_code.values())

    def put_divisions(self, divisions: Iterable[Division]) -> int:
        """Add or replace; how many."""
        new = {division.code: division for division in divisions}
        with self._transactions.atomic():
            for code, division in new.items():
                self._set(self._by_code, code, division)
        return len(new)

    def tree(self) -> Divisions:
        """All divisions: find one, its children, those under it, those of a name."""
        return Divisions(self.divisions())

    def codes_under(self, division_code: str, at: date, agreed: date | None = None) -> frozenset[str]:
        """The codes that rows of that day may bear and that lie in the division, as it was on the day that was agreed."""
        return self.tree().codes_under(division_code, at, agreed)

    def line(self, code: str) -> Sequence[str]:
        """The code, its parent, and so on up."""
        return line_up(code, {division.code: division.parent for division in self._by_code.values()})


class MemorySharingStore(_Store):
    """SharingStore; also the gateway's Grants."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._numbers: dict[str, int] = {}
        self._requests: dict[str, Request] = {}
        self._grants: dict[str, Grant] = {}
        self._versions: dict[str, tuple[Grant, ...]] = {}
        self._grant_events: dict[str, tuple[GrantEvent, ...]] = {}
        self._delegations: dict[str, Delegation] = {}

    def next_number(self, series: str) -> int:
        """The next number of the series."""
        self._set(self._numbers, series, self._numbers.get(series, 0) + 1)
        return self._numbers[series]

    def add_request(self, request: Request) -> None:
        """Keep a new request."""
        if request.id in self._requests:
            raise Conflict.because("request-exists", request=request.id)
        self._set(self._requests, request.id, request)

    def request(self, request_id: str) -> Request | None:
        """The request with its events."""
        return self._requests.get(request_id)

    def append_event(
        self, request_id: str, event: RequestEvent, *, expected_events: int, answer_due: date | EllipsisType | None = ...
    ) -> None:
        """Add an event if none came in between."""
        request = self._requests[request_id]
        if len(request.events) != expected_events:
            raise Conflict.because("request-moved", request=request_id)
        changed = replace(request, events=(*request.events, event))
        if event.kind is RequestEventKind.SUPPLEMENTED and event.wish is not None:
            changed = replace(changed, wish=event.wish)
        if not isinstance(answer_due, EllipsisType):
            changed = replace(changed, answer_due=answer_due)
        self._set(self._requests, request_id, changed)

    def open_requests(self, *, due_before: date | None = None, continuing: str | None = None) -> Sequence[Request]:
        """Requests that are not answered, oldest first."""
        return [
            request
            for request in self._requests.values()
            if request.state in OPEN_STATES
            and (due_before is None or (request.answer_due is not None and request.answer_due < due_before))
            and (continuing is None or request.continues == continuing)
        ]

    def requests_for(
        self,
        office: str,
        *,
        side: Side,
        states: Collection[RequestState] | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Request], int]:
        """Requests of one side, newest first; and how many."""
        found = [
            request
            for request in reversed(self._requests.values())
            if (request.applicant_office if side is Side.APPLICANT else request.provider) == office
            and (states is None or request.state in states)
        ]
        return found[offset : offset + limit], len(found)

    def add_grant(self, grant: Grant, events: Sequence[GrantEvent] = ()) -> None:
        """Keep a new grant with its events."""
        if grant.id in self._grants:
            raise Conflict.because("grant-exists", grant=grant.id)
        self._set(self._grants, grant.id, grant)
        self._set(self._grant_events, grant.id, tuple(events) or beginning_of(grant))

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id."""
        return self._grants.get(grant_id)

    def change_grant(self, grant: Grant, event: GrantEvent, *, expected_state: GrantState) -> None:
        """Add the event that made the grant what `grant` says."""
        stored = self._grants.get(grant.id)
        extends = event.kind is GrantEventKind.EXTENDED
        if stored is None or stored.state is not expected_state or stored.version != grant.version - extends:
            raise Conflict.because("grant-moved", grant=grant.id)
        changed = replace(stored, state=grant.state, revoked_at=grant.revoked_at, revoked_because=grant.revoked_because)
        if extends:
            self._set(self._versions, grant.id, (*self._versions.get(grant.id, ()), stored))
            changed = grant
        self._set(self._grants, grant.id, changed)
        self._set(self._grant_events, grant.id, (*self._grant_events[grant.id], event))

    def grant_events(self, grant_id: str) -> Sequence[GrantEvent]:
        """What happened to the grant, oldest first."""
        return self._grant_events.get(grant_id, ())

    def grant_versions(self, grant_id: str) -> Sequence[Grant]:
        """The grant in each of its versions, oldest first."""
        grant = self._grants.get(grant_id)
        return [] if grant is None else [*self._versions.get(grant_id, ()), grant]

    def grants_ending(self, start: datetime, end: datetime, *, without: GrantEventKind | None = None) -> Sequence[Grant]:
        """Grants that were not revoked and whose term ends in [start, end) (without such an event), the first to end first."""
        found = [
            one
            for one in self._grants.values()
            if one.state is not GrantState.REVOKED
            and start <= one.terms.valid_until < end
            and not any(event.kind is without and event.version == one.version for event in self._grant_events[one.id])
        ]
        return sorted(found, key=lambda one: (one.terms.valid_until, one.id))

    def put_delegation(self, delegation: Delegation) -> None:
        """Add it, or replace the one of the same id."""
        self._set(self._delegations, delegation.id, delegation)

    def delegations(self, office: str) -> Sequence[Delegation]:
        """All of the office, newest first."""
        found = [one for one in self._delegations.values() if one.office == office]
        return sorted(found, key=lambda one: (one.made_at, one.id), reverse=True)

    def grants_of_office(self, office: str, datasets: Collection[str] | None = None) -> Sequence[Grant]:
        """Grants that the office uses, newest first."""
        return [
            grant
            for grant in reversed(self._grants.values())
            if grant.using_office == office and (datasets is None or grant.dataset in datasets)
        ]

    def grants_by_provider(self, office: str) -> Sequence[Grant]:
        """Grants over datasets of the office, newest first."""
        return [grant for grant in reversed(self._grants.values()) if grant.provider == office]

    def grants_of_requests(self, requests: Collection[str]) -> Sequence[Grant]:
        """Grants that came of these requests, newest first."""
        return [grant for grant in reversed(self._grants.values()) if grant.request in requests]

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        """Grants over a dataset, oldest first."""
        return [grant for grant in self._grants.values() if grant.dataset == dataset_id and grant.state in states]

    def grants_in_state(self, state: GrantState, *, limit: int | None = 100) -> Sequence[Grant]:
        """The oldest grants in that state."""
        return [grant for grant in self._grants.values() if grant.state is state][:limit]

    def grants_of_group(self, linkage_group: str) -> Sequence[Grant]:
        """The grants of a linkage group."""
        return [grant for grant in self._grants.values() if grant.terms.linkage_group == linkage_group]

    def move_requests(self, office: str, successor: str) -> Sequence[str]:
        """Open requests that the office has to answer or has made become the successor's; their ids, in order."""
        moved = []
        for request in sorted(self._requests.values(), key=lambda one: one.id):
            if request.state in OPEN_STATES and office in (request.provider, request.applicant_office):
                changed = replace(
                    request,
                    provider=successor if request.provider == office else request.provider,
                    applicant_office=successor if request.applicant_office == office else request.applicant_office,
                )
                self._set(self._requests, request.id, changed)
                moved.append(request.id)
        return moved


class MemoryReidentificationStore(_Store):
    """ReidentificationStore and CaseTokens of sharing."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._cases: dict[str, Reidentification] = {}
        self._tokens: dict[str, tuple[int, ...]] = {}

    def add(self, found: Reidentification) -> None:
        """Keep a new case."""
        if found.id in self._cases:
            raise Conflict.because("reidentification-exists", reidentification=found.id)
        self._set(self._cases, found.id, found)

    def get(self, identifier: str) -> Reidentification | None:
        """The case with its events."""
        return self._cases.get(identifier)

    def append(self, identifier: str, event: ReidentificationEvent, *, expected_events: int) -> None:
        """Add an event if none came in between."""
        found = self._cases.get(identifier)
        if found is None or len(found.events) != expected_events:
            raise Conflict.because("reidentification-moved", reidentification=identifier)
        self._set(self._cases, identifier, replace(found, events=(*found.events, event)))

    def of_office(
        self, office: str, *, side: Side, officer: str | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Reidentification], int]:
        """Cases of one side, newest first; and how many."""
        found = [
            case
            for case in reversed(self._cases.values())
            if (case.using_office if side is Side.APPLICANT else case.provider) == office and officer in (None, case.officer)
        ]
        return found[offset : offset + limit], len(found)

    def open_cases(self, grant: str | None = None) -> Sequence[Reidentification]:
        """Cases that are not over, oldest first."""
        return [case for case in self._cases.values() if case.is_open and grant in (None, case.grant)]

    def keep(self, identifier: str, tokens: Collection[int]) -> None:
        """Keep the tokens of a new case."""
        self._set(self._tokens, identifier, tuple(sorted(tokens)))

    def tokens_of(self, identifier: str) -> tuple[int, ...]:
        """The tokens of the case."""
        return self._tokens.get(identifier, ())

    def forget(self, identifier: str) -> None:
        """Remove them."""
        self._remove(self._tokens, identifier)


class MemoryQualityStore(_Store):
    """QualityStore."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._reports: dict[tuple[str, int], QualityReport] = {}
        self._suggestions: dict[str, tuple[GradingSuggestion, ...]] = {}

    def put_report(self, report: QualityReport) -> None:
        """Keep, in place of an earlier one of the same version."""
        self._set(self._reports, (report.dataset, report.version), report)

    def report(self, dataset_id: str, version: int | None = None) -> QualityReport | None:
        """The report of that snapshot, or of the newest one that has one."""
        if version is None:
            version = max((number for dataset, number in self._reports if dataset == dataset_id), default=-1)
        return self._reports.get((dataset_id, version))

    def put_suggestions(self, dataset_id: str, suggestions: Sequence[GradingSuggestion]) -> None:
        """Keep these as the open ones, but for those that were decided before in the same words."""
        decided = [one for one in self._suggestions.get(dataset_id, ()) if one.state is not SuggestionState.OPEN]
        known = {(one.item, one.meaning, one.grade) for one in decided}
        opened = {(one.item, one.meaning): one for one in suggestions if (one.item, one.meaning, one.grade) not in known}
        self._set(self._suggestions, dataset_id, (*decided, *(_opened(one) for one in opened.values())))

    def suggestions(self, dataset_id: str) -> Sequence[GradingSuggestion]:
        """All of the dataset, open ones first, then by item."""
        return sorted(
            self._suggestions.get(dataset_id, ()),
            key=lambda one: (one.state is not SuggestionState.OPEN, one.item, one.meaning, one.grade),
        )

    def decide_suggestion(self, dataset_id: str, suggestion: GradingSuggestion) -> None:
        """Replace the open one of the same item and meaning."""
        kept = list(self._suggestions.get(dataset_id, ()))
        for place, one in enumerate(kept):
            if one.state is SuggestionState.OPEN and (one.item, one.meaning) == (suggestion.item, suggestion.meaning):
                kept[place] = suggestion
                self._set(self._suggestions, dataset_id, tuple(kept))
                return
        raise Conflict.because(
            "suggestion-decided", dataset=dataset_id, item=suggestion.item, meaning=suggestion.meaning
        )


def _opened(suggestion: GradingSuggestion) -> GradingSuggestion:
    return replace(suggestion, state=SuggestionState.OPEN, decided_by=None, decided_at=None, words=None)


class MemoryLoadStore(_Store):
    """LoadStore."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._plans: dict[str, LoadPlan] = {}
        self._runs: dict[str, LoadRun] = {}

    def put_plan(self, plan: LoadPlan) -> None:
        """Add or replace."""
        self._set(self._plans, plan.id, plan)

    def plan(self, plan_id: str) -> LoadPlan | None:
        """The plan of that id."""
        return self._plans.get(plan_id)

    def plans(self, *, datasets: Collection[str] | None = None) -> Sequence[LoadPlan]:
        """All plans (of these datasets), by id."""
        found = [plan for plan in self._plans.values() if datasets is None or plan.dataset in datasets]
        return sorted(found, key=lambda plan: plan.id)

    def remove_plan(self, plan_id: str) -> None:
        """Forget the plan."""
        self._remove(self._plans, plan_id)

    def due_plans(self, now: datetime) -> Sequence[LoadPlan]:
        """Plans that are due and not stopped, the longest due first."""
        found = [plan for plan in self._plans.values() if plan.next_run <= now and plan.stopped is None]
        return sorted(found, key=lambda plan: (plan.next_run, plan.id))

    def claim_plan(self, plan_id: str, *, seen_next_run: datetime, next_run: datetime) -> bool:
        """Move the next run on, if it still is what was seen."""
        plan = self._plans.get(plan_id)
        if plan is None or plan.next_run != seen_next_run:
            return False
        self._set(self._plans, plan_id, replace(plan, next_run=next_run))
        return True

    def put_run(self, run: LoadRun) -> None:
        """Add or replace."""
        self._set(self._runs, run.id, run)

    def run(self, run_id: str) -> LoadRun | None:
        """The run of that id."""
        return self._runs.get(run_id)

    def runs(self, dataset_id: str, *, limit: int = 20) -> Sequence[LoadRun]:
        """The newest runs of a dataset, newest first."""
        found = [run for run in self._runs.values() if run.dataset == dataset_id]
        return sorted(found, key=lambda run: (run.started_at, run.id), reverse=True)[:limit]

    def unfinished_runs(self) -> Sequence[LoadRun]:
        """Runs noted as running, oldest first."""
        found = [run for run in self._runs.values() if run.state is RunState.RUNNING]
        return sorted(found, key=lambda run: (run.started_at, run.id))


class MemoryLedgerStore(_Store):
    """LedgerStore of `huitong.ledger`."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._pending: dict[str, Promise] = {}
        self._folded: list[Promise] = []
        self._index: dict[str, int] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._checkpoints: list[Checkpoint] = []
        self._key_changes: dict[int, KeyChange] = {}
        self._cosignatures: dict[tuple[int, str], KeptCosignature] = {}
        self._literals: dict[str, bytes] = {}
        self._stamps: dict[tuple[int, str], KeptStamp] = {}
        self._sequencer = threading.Lock()

    def add_pending(self, promise: Promise) -> None:
        """Keep a promise inside the caller's transaction."""
        if promise.entry in self._pending or promise.entry in self._index:
            raise Conflict.because("entry-exists", entry=promise.entry)
        self._set(self._pending, promise.entry, promise)

    def last_instant(self) -> datetime | None:
        """The latest `at` of all entries."""
        instants = [promise.at for promise in self._pending.values()] + [promise.at for promise in self._folded[-1:]]
        return max(instants, default=None)

    def pending(self, limit: int) -> Sequence[Promise]:
        """The oldest pending promises, in order of insertion."""
        return list(self._pending.values())[:limit]

    def oldest_pending(self) -> datetime | None:
        """The instant of the oldest pending promise."""
        return min((promise.at for promise in self._pending.values()), default=None)

    def instants(self) -> tuple[datetime | None, datetime | None]:
        """Both."""
        return self.last_instant(), self.oldest_pending()

    def fold(self, promises: Sequence[Promise], nodes: Sequence[tuple[int, int, bytes]], checkpoint: Checkpoint) -> None:
        """Move promises into the tree; all or nothing."""
        with self._transactions.atomic():
            if checkpoint.size != len(self._folded) + len(promises):
                raise Conflict.because("ledger-moved", size=len(self._folded))
            for promise in promises:
                if promise.entry not in self._pending:
                    raise Conflict.because("ledger-moved", size=len(self._folded))
                self._transactions.undo_by(partial(self._restore_pending, dict(self._pending)))
                del self._pending[promise.entry]
                self._set(self._index, promise.entry, len(self._folded))
                self._append(self._folded, promise)
            for level, index, value in nodes:
                self._set(self._nodes, (level, index), value)
            self._append(self._checkpoints, checkpoint)

    def _restore_pending(self, before: dict[str, Promise]) -> None:
        self._pending.clear()
        self._pending.update(before)

    def add_stamp(self, stamp: KeptStamp) -> None:
        """Keep it, unless there is one of that service and size."""
        if (stamp.size, stamp.service) not in self._stamps:
            self._set(self._stamps, (stamp.size, stamp.service), stamp)

    def stamps(self, size: int) -> Sequence[KeptStamp]:
        """Those of the checkpoint of this size, as they came."""
        return [stamp for stamp in self._stamps.values() if stamp.size == size]

    def last_stamps(self) -> Sequence[KeptStamp]:
        """Of each service the one of the greatest size."""
        last: dict[str, KeptStamp] = {}
        for stamp in sorted(self._stamps.values(), key=lambda one: one.size):
            last[stamp.service] = stamp
        return list(last.values())

    def stamped_sizes(self, limit: int, offset: int) -> tuple[Sequence[int], int]:
        """Sizes of stamped checkpoints, the greatest first; and how many."""
        sizes = sorted({size for size, _ in self._stamps}, reverse=True)
        return sizes[offset : offset + limit], len(sizes)

    def stamped_covering(self, size: int) -> int | None:
        """The smallest size from this one on of which there is a stamp."""
        return min((one for one, _ in self._stamps if one >= size), default=None)

    def add_literal(self, digest: str, sealed: bytes, at: datetime) -> None:  # noqa: ARG002
        """Keep a sealed literal, inside the caller's transaction."""
        self._set(self._literals, digest, sealed)

    def literal(self, digest: str) -> bytes | None:
        """The sealed one; None if it is unknown, or erased."""
        return self._literals.get(digest)

    def literals(self) -> Iterator[tuple[str, bytes]]:
        """All, with their hashes."""
        return iter(dict(self._literals).items())

    def erase_literals(self, digests: list[str]) -> int:
        """Remove these for good; how many there were."""
        return sum(1 for digest in digests if self._literals.pop(digest, None) is not None)

    def key_changes(self) -> Sequence[KeyChange]:
        """All changes of the key, by number."""
        return list(self._key_changes.values())

    def add_key_change(self, change: KeyChange) -> None:
        """Keep one inside the caller's transaction."""
        if change.number in self._key_changes:
            raise Conflict.because("ledger-key-changed-meanwhile")
        self._set(self._key_changes, change.number, change)

    def size(self) -> int:
        """How many entries are in the tree."""
        return len(self._folded)

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """The stored nodes among these."""
        return {key: self._nodes[key] for key in keys if key in self._nodes}

    def entry(self, index: int) -> Promise:
        """The entry at that place of the tree."""
        return self._folded[index]

    def entries(self, start: int, end: int) -> Iterator[Promise]:
        """Entries of [start, end)."""
        yield from self._folded[start:end]

    def index_of(self, entry_id: str) -> int | None:
        """Its place in the tree; None while pending."""
        return self._index.get(entry_id)

    def promise(self, entry_id: str) -> Promise | None:
        """The promise, pending or folded."""
        index = self._index.get(entry_id)
        return self._folded[index] if index is not None else self._pending.get(entry_id)

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest."""
        return self._checkpoints[-1] if self._checkpoints else None

    def checkpoint_covering(self, index: int) -> Checkpoint | None:
        """The first whose tree holds the entry at `index`."""
        return next((checkpoint for checkpoint in self._checkpoints if checkpoint.size > index), None)

    def checkpoints(self) -> Sequence[Checkpoint]:
        """All, oldest first."""
        return tuple(self._checkpoints)

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The one of exactly this size."""
        return next((checkpoint for checkpoint in self._checkpoints if checkpoint.size == size), None)

    def witnessed_covering(self, index: int) -> Checkpoint | None:
        """The first whose tree holds the entry at `index` and that a witness has signed."""
        sizes = sorted(size for size, _ in self._cosignatures if size > index)
        return self.checkpoint_of(sizes[0]) if sizes else None

    def latest_witnessed(self) -> Checkpoint | None:
        """The greatest that a witness has signed."""
        return self.checkpoint_of(max(size for size, _ in self._cosignatures)) if self._cosignatures else None

    def cosignatures(self, size: int) -> Sequence[KeptCosignature]:
        """What witnesses have signed of this size."""
        return [one for one in self._cosignatures.values() if one.size == size]

    def add_cosignature(self, cosignature: KeptCosignature) -> None:
        """Keep the first of a witness and size."""
        if (cosignature.size, cosignature.witness) not in self._cosignatures:
            self._set(self._cosignatures, (cosignature.size, cosignature.witness), cosignature)

    def last_seen(self) -> Sequence[KeptCosignature]:
        """The greatest of each witness."""
        return list({one.witness: one for one in sorted(self._cosignatures.values(), key=lambda one: one.size)}.values())

    @contextmanager
    def sequencer_lock(self) -> Iterator[bool]:
        """True for the one that may fold now."""
        held = self._sequencer.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                self._sequencer.release()


@dataclass(frozen=True)
class Use:
    """Which ledger entries belong to a query."""

    of: UseOfEntry
    entries: tuple[str, ...]
    at: datetime


class MemoryUses(_Store):
    """Uses of `huitong.gateway.answer`."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._uses: dict[str, Use] = {}

    def remember(self, *, query: str, actor: Actor, entries: Sequence[str], at: datetime) -> None:
        """Keep the entries of a query; told again, the new ones are added to the old."""
        self.remember_entries(UseOfEntry(query, actor.person, actor.post, actor.office), entries, at)

    def remember_entries(self, use: UseOfEntry, entries: Sequence[str], at: datetime) -> None:
        """The same, for a use as the ledger knows it."""
        before = self._uses[use.query].entries if use.query in self._uses else ()
        merged = (*before, *(entry for entry in entries if entry not in before))
        self._set(self._uses, use.query, Use(use, merged, at))

    def entries_of(self, query: str) -> Sequence[str]:
        """The ledger entries of the query."""
        return self._uses[query].entries if query in self._uses else ()

    def office_of(self, query: str) -> str | None:
        """The office that made the query."""
        return self._uses[query].of.office if query in self._uses else None


class MemoryRunningStore:
    """RunningStore of `huitong.gateway.running`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[str, tuple[RunningUse, datetime]] = {}

    def see(self, use: RunningUse, /, *, at: datetime, unseen_since: datetime) -> None:
        """It runs at this instant. What was not seen since then is forgotten; who cancelled it is not."""
        with self._lock:
            known = self._uses[use.query][0] if use.query in self._uses else use
            kept = {query: one for query, one in self._uses.items() if one[1] >= unseen_since}
            self._uses = {**kept, use.query: (known, at)}

    def cancelled_by(self, query: str, /) -> str | None:
        """Who wants it to stop."""
        return self._uses[query][0].cancelled_by if query in self._uses else None

    def cancel(self, query: str, /, *, by: str) -> None:
        """That person wants it to stop, unless somebody did already."""
        with self._lock:
            if query in self._uses and self._uses[query][0].cancelled_by is None:
                use, seen = self._uses[query]
                self._uses[query] = (replace(use, cancelled_by=by), seen)

    def remove(self, query: str, /) -> None:
        """It has ended."""
        with self._lock:
            self._uses.pop(query, None)

    def running(self, office: str, /, *, seen_since: datetime) -> Sequence[RunningUse]:
        """The uses of an office that were seen at or after that instant, the longest running first."""
        with self._lock:
            found = [use for use, seen in self._uses.values() if use.office == office and seen >= seen_since]
        return sorted(found, key=lambda use: (use.since, use.query))


class MemoryGroupStore:
    """GroupStore of the ledger: in memory there is no commit to share, so each entry is written by its own caller."""

    def __init__(self, transactions: MemoryTransactions, ledger: MemoryLedgerStore, uses: MemoryUses) -> None:
        self._transactions, self._ledger, self._uses = transactions, ledger, uses

    def in_transaction(self) -> bool:
        """Always: a memory store has no threads that wait for each other's commits."""
        return True

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction over all stores."""
        return self._transactions.atomic()

    def add_all(self, promises: Sequence[Promise], uses: Sequence[tuple[UseOfEntry, Promise]]) -> None:
        """Keep promises in this order, and their uses, or none of them."""
        with self.atomic():
            for promise in promises:
                self._ledger.add_pending(promise)
            for use, promise in uses:
                self._uses.remember_entries(use, (*use.earlier, promise.entry), promise.at)


class MemoryUseIndex:
    """UseIndex of `huitong.sharing.used`: reads the folded entries anew at each question."""

    def __init__(self, ledger: "MemoryLedgerStore", catalog: "MemoryCatalogStore") -> None:
        self._ledger = ledger
        self._catalog = catalog

    def lines(self) -> list[UseOfData]:
        """All, in the order of the ledger."""
        entries = list(enumerate(self._ledger.entries(0, self._ledger.size())))
        return uses_of_data(entries, lambda _: {})

    def find(self, wanted: UsesWanted, *, limit: int, offset: int) -> tuple[Sequence[UseOfData], int]:
        """Those, the last that ended first; and how many in all."""
        found = self._wanted(wanted)[::-1]
        return found[offset : offset + limit], len(found)

    def span(self, wanted: UsesWanted) -> tuple[datetime, datetime] | None:
        """When the first and the last of them ended."""
        ends = [line.ended_at for line in self._wanted(wanted)]
        return (min(ends), max(ends)) if ends else None

    def totals(
        self, wanted: UsesWanted, months: Sequence[tuple[str, datetime, datetime]], *, limit: int, offset: int
    ) -> tuple[Sequence[UseTotal], int]:
        """By month, dataset and office."""
        of: defaultdict[tuple[str, str, str], list[UseOfData]] = defaultdict(list)
        for line in self._wanted(wanted):
            month = next((name for name, begin, end in months if begin <= line.ended_at < end), "")
            of[month, line.dataset, line.office].append(line)
        keys = sorted(sorted(of, key=lambda key: key[1:]), key=lambda key: key[0], reverse=True)
        found = [
            UseTotal(
                month=key[0],
                dataset=key[1],
                office=key[2],
                **{end.value: sum(1 for line in of[key] if line.end is end) for end in UseEnd},
                rows=sum(line.rows or 0 for line in of[key]),
            )
            for key in keys
        ]
        return found[offset : offset + limit], len(found)

    def _wanted(self, wanted: UsesWanted) -> list[UseOfData]:
        def fits(line: UseOfData) -> bool:
            dataset = self._catalog.dataset(line.dataset)
            of_them = wanted.data_of is None or (dataset and {dataset.provider, dataset.collector} & set(wanted.data_of))
            pairs = ((wanted.office, line.office), (wanted.dataset, line.dataset), (wanted.grant, line.grant), (wanted.end, line.end))
            after = wanted.since is None or line.ended_at >= wanted.since
            before = wanted.until is None or line.ended_at < wanted.until
            return bool(of_them) and after and before and all(want in (None, is_) for want, is_ in pairs)

        return [line for line in self.lines() if fits(line)]


class MemorySideTables:
    """SideTableBuilder of sharing and SideTables of the gateway: remembers what was built, makes no files."""

    def __init__(self) -> None:
        self.built: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        """(linkage group, dataset, item) -> versions of snapshots."""
        self.epochs: list[tuple[str, int, int]] = []
        """Group, number and key of the epoch of each build, in order."""
        self.retired: set[tuple[str, int, int]] = set()
        self.fails = False
        """Set to make the next builds fail, as a full disk would."""

    def build(self, linkage_group: str, dataset: Dataset, item: str, snapshot: Snapshot, *, epoch: KeyEpoch | None = None) -> None:
        """Remember that the side table holds the snapshot."""
        if self.fails:
            raise OSError("no space left on device")
        self.built[linkage_group, dataset.id, item].add(snapshot.version)
        self.epochs.append((epoch or KeyEpoch(linkage_group)).tokens)

    def retire(self, epoch: KeyEpoch) -> bool:
        """Remember that the table of the epoch is gone."""
        self.retired.add(epoch.tokens)
        return True

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int) -> tuple[str, ...]:
        """A name that stands for the file, if the side table holds that snapshot."""
        held = snapshot_version in self.built.get((linkage_group, dataset_id, item), set())
        return (f"side/{linkage_group}/{dataset_id}/{item}.parquet",) if held else ()


class MemoryEpochStore(_Store):
    """EpochStore of sharing and Epochs of the lake."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._epochs: dict[tuple[str, int], KeyEpoch] = {}

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:
        """The last that was noted."""
        return next(reversed(self.epochs(linkage_group)), None)

    def epochs(self, linkage_group: str | None = None) -> Sequence[KeyEpoch]:
        """By group and number."""
        return [one for (group, _), one in sorted(self._epochs.items(), key=lambda kept: kept[0]) if linkage_group in (None, group)]

    def newest_key(self) -> int:
        """The highest number of a key."""
        return max((one.key for one in self._epochs.values()), default=1)

    def add(self, epoch: KeyEpoch) -> None:
        """Note one."""
        place = (epoch.linkage_group, epoch.number)
        if place in self._epochs:
            raise Conflict.because("key-epoch-moved", group=epoch.linkage_group, number=epoch.number)
        self._set(self._epochs, place, epoch)


class MemorySubjectLists:
    """SubjectLists of sharing and SubjectFiles of the gateway: remembers the identifiers, makes no files."""

    def __init__(self) -> None:
        self.lists: dict[str, frozenset[str]] = {}

    def keep(self, identifiers: Iterable[str], *, dataset: str, item: str) -> SubjectRows:
        """Remember a list; equal ones are one."""
        held = frozenset(stripped for one in identifiers if (stripped := one.strip()))
        if not held:
            raise InputInvalid.because("subjects-empty", item=item)
        digest = hashlib.sha256("\n".join((dataset, item, *sorted(held))).encode()).hexdigest()
        self.lists[digest[:32]] = held
        return SubjectRows(item=item, subjects=digest[:32], digest=digest, count=len(held))

    def contained(self, new: SubjectRows, old: SubjectRows) -> bool:
        """Whether the new list is of the same item and holds nobody whom the old one does not hold."""
        known = new.subjects in self.lists and old.subjects in self.lists
        return known and new.item == old.item and self.lists[new.subjects] <= self.lists[old.subjects]

    def files(self, subjects: str) -> tuple[str, ...]:
        """A name that stands for the file, if the list is there."""
        return (f"subjects/{subjects}.parquet",) if subjects in self.lists else ()

    def retain(self, needed: Collection[str]) -> int:
        """Forget the lists that are not needed."""
        gone = [subjects for subjects in self.lists if subjects not in needed]
        for subjects in gone:
            del self.lists[subjects]
        return len(gone)


class MemoryQuotaStore(_Store):
    """QuotaStore: days and reservations in two dictionaries."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self.days: dict[tuple[str, date], Amounts] = {}
        self.reservations: dict[tuple[str, str], Reservation] = {}

    def lock(self, grant_id: str) -> None:
        """Transactions in memory run one after the other."""

    def used(self, grant_id: str, *, since: date | None, at: datetime) -> Amounts:
        """What was used from that day on, with all that runs."""
        found = [used for (grant, day), used in self.days.items() if grant == grant_id and (since is None or day >= since)]
        for held in self.reservations.values():
            if held.grant == grant_id and (since is None or held.day >= since):
                found.append(held.amounts if at < held.until else replace(held.amounts, rows=0))
        rows, queries, calls = (sum(getattr(one, what) for one in found) for what in ("rows", "queries", "calls"))
        return Amounts(rows, queries, calls)

    def put(self, reservation: Reservation, *, at: datetime) -> None:
        """Keep it, and fold those that are over."""
        for query, grant in [key for key, held in self.reservations.items() if held.grant == reservation.grant and held.until <= at]:
            self.take(query, grant, at=at)
        self._set(self.reservations, (reservation.query, reservation.grant), reservation)

    def take(self, query: str, grant_id: str, *, at: datetime) -> Reservation | None:
        """Remove and return it; one that is over counts as its query or call."""
        held = self.reservations.get((query, grant_id))
        self._remove(self.reservations, (query, grant_id))
        if held is None or at < held.until:
            return held
        self.add(grant_id, held.day, replace(held.amounts, rows=0))
        return None

    def add(self, grant_id: str, day: date, amounts: Amounts) -> None:
        """Add to a day."""
        old = self.days.get((grant_id, day), Amounts())
        new = Amounts(old.rows + amounts.rows, old.queries + amounts.queries, old.calls + amounts.calls)
        self._set(self.days, (grant_id, day), new)


class MemoryBudgetStore(_Store):
    """BudgetStore: accounts and answers in two dictionaries. `before` says which grants and offices stood before others."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self.accounts: dict[str, int] = {}
        self.answers: dict[tuple[str, str, str], bytes] = {}
        self.before: dict[str, tuple[str, ...]] = {}

    def spent(self, account: str) -> int:
        """What was taken."""
        return self.accounts.get(account, 0)

    def take(self, account: str, amount: int, *, limit: int) -> bool:
        """Take it if it is left."""
        new = self.spent(account) + amount
        if new <= limit:
            self._set(self.accounts, account, new)
        return new <= limit

    def give_back(self, account: str, amount: int) -> None:
        """Take it off again."""
        self._set(self.accounts, account, self.spent(account) - amount)

    def grants_before(self, grant_id: str) -> Sequence[str]:
        """As told by `before`."""
        return self.before.get(grant_id, ())

    def offices_before(self, office: str, dataset: str) -> Collection[str]:  # noqa: ARG002
        """As told by `before`."""
        return self.before.get(office, ())

    def answer(self, office: str, dataset: str, digest: str) -> bytes | None:
        """What is kept."""
        return self.answers.get((office, dataset, digest))

    def keep(self, office: str, dataset: str, digest: str, sealed: bytes, *, at: datetime) -> None:  # noqa: ARG002
        """Keep the first."""
        if (office, dataset, digest) not in self.answers:
            self._set(self.answers, (office, dataset, digest), sealed)


class MemoryQuestionStore(_Store):
    """QuestionStore: questions in a dictionary by query, in the order in which they came."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self.questions: dict[str, AnsweredQuestion] = {}

    def lock(self, office: str, dataset: str) -> None:
        """Transactions in memory run one after the other."""

    def of(self, office: str, dataset: str) -> Sequence[AnsweredQuestion]:
        """Those of one office about one dataset."""
        return [one for one in self.questions.values() if (one.office, one.dataset) == (office, dataset)]

    def put(self, question: AnsweredQuestion) -> None:
        """Keep it."""
        self._set(self.questions, question.query, question)

    def settle(self, query: str) -> None:
        """It is answered, and those like it go."""
        question = self.questions[query]
        for one in self.of(question.office, question.dataset):
            if one.answered and one.digest == question.digest and one.query != query:
                self.remove(one.query)
        self._set(self.questions, query, replace(question, answered=True))

    def remove(self, query: str) -> None:
        """Forget it."""
        self._remove(self.questions, query)


class MemoryDivisions:
    """Divisions of the gateway and DivisionTree of sharing over a few codes: at or below by parent."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self._parents = dict(parents)

    def codes_under(self, division_code: str, at: date, agreed: date | None = None) -> frozenset[str]:  # noqa: ARG002
        """The code and all that have it above them."""
        return frozenset(code for code in self._parents if division_code in self._line(code))

    def _line(self, code: str) -> list[str]:
        line = [code]
        while (parent := self._parents.get(line[-1])) is not None:
            line.append(parent)
        return line


class MemoryEntryLog(_Store):
    """EntryLog that only remembers kind and body: for tests that look at what is written, not at proofs."""

    def __init__(self, transactions: MemoryTransactions, clock: Callable[[], datetime]) -> None:
        super().__init__(transactions)
        self._clock = clock
        self.written: list[tuple[EntryKind, dict[str, Any]]] = []

    def append(self, *, kind: EntryKind, body: Mapping[str, Any]) -> Promise:
        """Remember; the promise is not signed."""
        told = sealed_body(body, lambda text: literal_digest(text, "0" * 32))
        payload = json.dumps({"kind": kind, "body": told}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        self._append(self.written, (kind, json.loads(payload)["body"]))
        return Promise(
            entry=f"entry-{len(self.written)}",
            kind=kind,
            at=self._clock(),
            payload=payload.encode(),
            key_id="none",
            signature=b"",
        )

    @property
    def kinds(self) -> list[EntryKind]:
        """What was written, in order."""
        return [kind for kind, _ in self.written]


class MemoryNoticeBoard(_Store):
    """NoticeBoard that remembers what was posted, and NoticeStore of the portal over it. Sends nothing, hides nothing."""

    def __init__(self, transactions: MemoryTransactions, parties: MemoryPartyStore | None = None) -> None:
        super().__init__(transactions)
        self._parties = parties or MemoryPartyStore(transactions)
        self.posted: list[Notice] = []
        self._lines: list[tuple[str, InboxLine]] = []
        self._read: dict[tuple[str, str], datetime] = {}
        self._choices: dict[str, MailChoice] = {}
        self._webhooks: dict[str, Webhook] = {}
        self._deliveries: list[tuple[str, Delivery]] = []

    def post(self, notice: Notice) -> None:
        """Remember; undone with the transaction."""
        self._append(self.posted, notice)
        identifier = f"{len(self.posted):032x}"
        readers = {(actor.person, office) for office, role in notice.to_roles for actor in self._parties.holders(office, role)}
        told = {person for person, _ in readers}
        for person, office in sorted(readers) + [(person, None) for person in notice.to_persons if person not in told]:
            line = InboxLine(id=identifier, kind=notice.kind, at=notice.at, about=notice.about, office=office)
            self._append(self._lines, (person, line))

    @property
    def kinds(self) -> list[NoticeKind]:
        """What was told of, in order."""
        return [notice.kind for notice in self.posted]

    def inbox(
        self, person: str, office: str, *, unread: bool, limit: int, offset: int
    ) -> tuple[Sequence[InboxLine], int, int]:
        """What the person was told for the sake of that office, and as a person; newest first."""
        lines = [
            replace(line, read_at=self._read.get((person, line.id)))
            for name, line in reversed(self._lines)
            if name == person and line.office in (None, office)
        ]
        new = [line for line in lines if line.read_at is None]
        wanted = new if unread else lines
        return wanted[offset : offset + limit], len(wanted), len(new)

    def mark_read(self, person: str, office: str, notices: Collection[str] | None, *, at: datetime) -> int:
        """Note that these, or all, were read."""
        new, _, _ = self.inbox(person, office, unread=True, limit=len(self._lines), offset=0)
        read = [line for line in new if notices is None or line.id in notices]
        for line in read:
            self._set(self._read, (person, line.id), at)
        return len(read)

    def mail_choice(self, person: str) -> MailChoice:
        """What the person chose; off if nothing."""
        return self._choices.get(person, MailChoice())

    def choose_mail(self, person: str, choice: MailChoice, *, at: datetime) -> None:  # noqa: ARG002
        """Keep the choice."""
        self._set(self._choices, person, choice)

    def webhooks(self, office: str) -> Sequence[Webhook]:
        """Those of the office that are not removed, oldest first."""
        own = [one for one in self._webhooks.values() if one.office == office and one.state is not WebhookState.REMOVED]
        return sorted(own, key=lambda one: (one.created_at, one.id))

    def webhook(self, webhook: str) -> Webhook | None:
        """The webhook of that id, unless it is removed."""
        found = self._webhooks.get(webhook)
        return None if found is None or found.state is WebhookState.REMOVED else found

    def put_webhook(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        self._set(self._webhooks, webhook.id, webhook)

    def end_webhook(self, webhook: str, *, state: WebhookState, at: datetime) -> None:  # noqa: ARG002
        """It is told no more."""
        self._set(self._webhooks, webhook, replace(self._webhooks[webhook], state=state))

    def note_rotation(self, webhook: str, *, until: datetime) -> None:
        """Its secret before this one signs until then."""
        self._set(self._webhooks, webhook, replace(self._webhooks[webhook], rotated_until=until))

    def post_to(self, webhook: str, notice: Notice) -> Delivery:
        """A message that waits for ever."""
        made = Delivery(
            id=f"{len(self._deliveries) + 1:032x}",
            kind=notice.kind,
            about=notice.about,
            state=DeliveryState.WAITING,
            attempts=0,
            created_at=notice.at,
            due_at=notice.at,
        )
        self._append(self._deliveries, (webhook, made))
        return made

    def deliveries(self, webhook: str, *, limit: int, offset: int) -> tuple[Sequence[Delivery], int]:
        """The messages to it, newest first, and how many in all."""
        own = [one for name, one in reversed(self._deliveries) if name == webhook]
        return own[offset : offset + limit], len(own)


class MemoryCalendarStore(_Store):
    """CalendarStore."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._years: dict[int, CalendarYear] = {}

    def years(self) -> Sequence[CalendarYear]:
        """In order."""
        return [year for _, year in sorted(self._years.items())]

    def put_year(self, year: CalendarYear) -> None:
        """Add or replace."""
        self._set(self._years, year.year, year)


class MemoryKeyedAnswers(_Store):
    """Keys of calls and the answers kept for them."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._records: dict[tuple[str, str], KeyRecord] = {}

    def begin(
        self, call: KeyedCall, *, whole: bool, now: datetime, kept_since: datetime, alive_since: datetime
    ) -> tuple[KeyRecord, bool]:
        """The record, and whether this call is the one that runs now."""
        place = (call.post, call.key)
        for old in [place for place, record in self._records.items() if record.at < kept_since]:
            self._remove(self._records, old)
        record = self._records.get(place)
        if record is None:
            record = KeyRecord(call.content, 1, whole, KeyState.BEGUN, now)
        elif record.state is KeyState.BEGUN and record.whole and record.at < alive_since and record.content == call.content:
            record = replace(record, attempt=record.attempt + 1, at=now)
        else:
            return record, False
        self._set(self._records, place, record)
        return record, True

    def close(self, call: KeyedCall, *, attempt: int, answer: KeptAnswer | None) -> bool:
        """Keep the answer, if the call still is the one that runs."""
        record = self._records.get((call.post, call.key))
        if record is None or (record.attempt, record.state) != (attempt, KeyState.BEGUN):
            return False
        state = KeyState.BROKEN if answer is None else KeyState.ANSWERED
        self._set(self._records, (call.post, call.key), replace(record, state=state, answer=answer))
        return True

    def forget(self, call: KeyedCall, *, attempt: int) -> None:
        """Its key is free again."""
        record = self._records.get((call.post, call.key))
        if record is not None and (record.attempt, record.state) == (attempt, KeyState.BEGUN):
            self._remove(self._records, (call.post, call.key))


class MemoryStandings:
    """StandingStore: each entry looked at by itself, slow and plain."""

    def __init__(self, catalog: MemoryCatalogStore, sharing: MemorySharingStore, parties: MemoryPartyStore) -> None:
        self._catalog, self._sharing, self._parties = catalog, sharing, parties
        self._judged: dict[str, tuple[object, Prospect]] = {}

    def unjudged(self, rules: str, *, limit: int) -> Mapping[str, int | None]:
        """So many entries that were not judged as they are now, under these rules."""
        self._rules = rules
        entries = self._catalog.every_dataset()
        open_ = [one.id for one in entries if self._judged.get(one.id, (None,))[0] != self._as_it_is(one.id)][:limit]
        return {name: snapshot.rows if (snapshot := self._catalog.current_snapshot(name)) else None for name in open_}

    def judge(self, found: Sequence[Judged]) -> None:
        """Keep these prospects."""
        for one in found:
            self._judged[one.dataset.id] = (self._as_it_is(one.dataset.id), one.prospect)

    def standings(
        self,
        *,
        office: str,
        person: str,
        analyst: bool,
        kinds: Collection[AvailabilityKind],
        now: datetime,
        rules: str,
        limit: int,
        offset: int,
    ) -> StandingPage | None:
        """The entries known to the office whose standing is one of these; None if an entry has to be judged first."""
        if self.unjudged(rules, limit=1):
            return None
        known = [one for one in self._catalog.every_dataset() if one.is_known_to(office)]
        found = [self._standing(one, office, person, analyst, now) for one in known]
        wanted = [one for one in found if one.kind in kinds]
        return StandingPage(tuple(wanted[offset : offset + limit]), len(wanted))

    def _as_it_is(self, name: str) -> object:
        entry, snapshot = self._catalog.dataset(name), self._catalog.current_snapshot(name)
        assert entry is not None
        lineage: dict[str, Dataset] = {}
        wanted = set(sources_of(entry))
        while wanted:
            step = self._catalog.datasets(wanted)
            lineage.update(step)
            wanted = {one for source in step.values() for one in sources_of(source)} - lineage.keys()
        return self._rules, entry, snapshot.rows if snapshot else None, lineage

    def _standing(self, entry: Dataset, office: str, person: str, analyst: bool, now: datetime) -> Standing:
        prospect = self._judged[entry.id][1]
        held = [one for one in self._sharing.grants_of_office(office, [entry.id]) if now < one.terms.valid_until]
        usable = [one for one in held if one.valid_at(now)]
        grants = usable or [one for one in held if one.state is GrantState.PREPARING]
        waiting, _ = self._sharing.requests_for(office, side=Side.APPLICANT, states=[RequestState.UNDER_REVIEW], limit=1_000_000)
        asked = [one for one in waiting if one.dataset == entry.id]
        first = min(asked, key=lambda one: (one.answer_due or date.max, one.id)) if asked and not grants else None
        answering = len(self._parties.reviewers_of([entry.provider])[entry.provider] - {person})
        ruled = prospect.kind in (AvailabilityKind.NOT_SHARED, AvailabilityKind.REFUSED)
        kind = prospect.kind if ruled or (analyst and answering >= prospect.reviewers) else AvailabilityKind.REFUSED
        if grants:
            kind = AvailabilityKind.GRANTED if usable else AvailabilityKind.PREPARING
        elif first is not None:
            kind = AvailabilityKind.UNDER_REVIEW
        return Standing(
            dataset=entry.id,
            title=entry.title,
            provider=entry.provider,
            sharing=entry.sharing,
            basis=entry.sharing_basis,
            condition=entry.sharing_condition,
            items=len(entry.items),
            grade=entry.grade,
            kind=kind,
            prospect=prospect,
            grants=tuple(one.id for one in grants),
            until=max((one.terms.valid_until for one in grants), default=None),
            request=first.id if first else None,
            answer_due=first.answer_due if first else None,
            endorsed=first is not None and first.events[-1].kind is RequestEventKind.ENDORSED,
            answering=answering,
        )
class MemoryDeliveryStore(_Store):
    """DeliveryStore."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._extracts: dict[str, Extract] = {}
        self._addresses: dict[str, Address] = {}
        self._record_doors: dict[str, RecordDoor] = {}

    def add_extract(self, extract: Extract) -> None:
        """Keep a new one."""
        if extract.id in self._extracts or self.same_extract(extract.key) is not None:
            raise Conflict.because("extract-exists", extract=extract.id)
        self._set(self._extracts, extract.id, extract)

    def extract(self, extract_id: str) -> Extract | None:
        """The extract of that id."""
        return self._extracts.get(extract_id)

    def same_extract(self, key: tuple[str, int, str, str]) -> Extract | None:
        """The extract of that key that waits, runs or is ready."""
        standing = (ExtractState.WAITING, ExtractState.RUNNING, ExtractState.READY)
        return next((one for one in self._extracts.values() if one.key == key and one.state in standing), None)

    def change_extract(self, extract: Extract, *, expected_state: ExtractState) -> None:
        """Replace what is kept of it."""
        kept = self._extracts.get(extract.id)
        if kept is None or kept.state is not expected_state:
            raise Conflict.because("extract-moved", extract=extract.id)
        self._set(self._extracts, extract.id, extract)

    def progress(self, extract_id: str, rows: int) -> None:
        """Note how many rows were written so far."""
        kept = self._extracts.get(extract_id)
        if kept is not None and kept.state is ExtractState.RUNNING:
            self._extracts[extract_id] = replace(kept, rows=rows)

    def extracts_of(self, office: str, *, limit: int = 50, offset: int = 0) -> tuple[Sequence[Extract], int]:
        """Extracts of the using office, newest first; and how many."""
        found = [one for one in self._extracts.values() if one.office == office]
        found.sort(key=lambda one: (one.asked_at, one.id), reverse=True)
        return found[offset : offset + limit], len(found)

    def extracts_in(self, states: Collection[ExtractState], *, office: str | None = None) -> Sequence[Extract]:
        """Extracts in these states, oldest first."""
        found = [one for one in self._extracts.values() if one.state in states and office in (None, one.office)]
        return sorted(found, key=lambda one: (one.asked_at, one.id))

    def add_address(self, address: Address) -> None:
        """Keep a new one."""
        self._set(self._addresses, address.id, address)

    def address(self, address_id: str) -> Address | None:
        """The address of that id, with its marks."""
        return self._addresses.get(address_id)

    def mark_address(self, address_id: str, mark: DeliveryMark) -> bool:
        """Note it; whether it is the first time."""
        kept = self._addresses.get(address_id)
        if kept is None or mark in kept.marks:
            return False
        self._set(self._addresses, address_id, replace(kept, marks=kept.marks | {mark}))
        return True

    def forget_addresses(self, before: datetime) -> int:
        """Forget addresses that expired before that instant."""
        gone = [one.id for one in self._addresses.values() if one.expires_at < before]
        for address_id in gone:
            self._remove(self._addresses, address_id)
        return len(gone)

    def record_door(self, dataset_id: str) -> RecordDoor | None:
        """The door of a dataset."""
        return self._record_doors.get(dataset_id)

    def record_doors(self) -> Sequence[RecordDoor]:
        """All, by dataset."""
        return sorted(self._record_doors.values(), key=lambda one: one.dataset)

    def put_record_door(self, door: RecordDoor) -> None:
        """Keep how it was switched."""
        self._set(self._record_doors, door.dataset, door)

    def note_record_copy(self, door: RecordDoor) -> None:
        """Keep what is said of its copy, if it was not switched since."""
        kept = self._record_doors.get(door.dataset)
        if kept is not None and (kept.on, kept.changed_at) == (door.on, door.changed_at):
            self._set(self._record_doors, door.dataset, door)


class MemoryStores:
    """One of each over one transaction log."""

    def __init__(self) -> None:
        self.transactions = MemoryTransactions()
        self.epoch = MemoryEpoch(self.transactions)
        self.parties = MemoryPartyStore(self.transactions)
        self.divisions = MemoryDivisionStore(self.transactions)
        self.catalog = MemoryCatalogStore(self.transactions, self.parties, self.divisions)
        self.quality = MemoryQualityStore(self.transactions)
        self.loads = MemoryLoadStore(self.transactions)
        self.sharing = MemorySharingStore(self.transactions)
        self.standings = MemoryStandings(self.catalog, self.sharing, self.parties)
        self.calendar = MemoryCalendarStore(self.transactions)
        self.reidentifications = MemoryReidentificationStore(self.transactions)
        self.ledger = MemoryLedgerStore(self.transactions)
        self.uses = MemoryUses(self.transactions)
        self.groups = MemoryGroupStore(self.transactions, self.ledger, self.uses)
        self.running = MemoryRunningStore()
        self.use_index = MemoryUseIndex(self.ledger, self.catalog)
        self.side_tables = MemorySideTables()
        self.pseudonym_epochs = MemoryEpochStore(self.transactions)
        self.subject_lists = MemorySubjectLists()
        self.quotas = MemoryQuotaStore(self.transactions)
        self.budgets = MemoryBudgetStore(self.transactions)
        self.questions = MemoryQuestionStore(self.transactions)
        self.keyed_answers = MemoryKeyedAnswers(self.transactions)
        self.notices = MemoryNoticeBoard(self.transactions, self.parties)
        self.notice_store = self.notices
        self.delivery = MemoryDeliveryStore(self.transactions)

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction over all of them."""
        return self.transactions.atomic()
