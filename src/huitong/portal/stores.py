"""The core's ports on Django's ORM, each written once, for SQLite and PostgreSQL alike.

A store holds the alias of its database and nothing else. It reads no clock: instants come from the core. Changing methods
run inside `Transactions.atomic()`; what decides between two at once is a conditional UPDATE or a unique constraint, so
exactly one of them wins on either database.
"""

import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import EllipsisType
from typing import Any, TypeVar

from django.db import DataError, IntegrityError, connections, transaction
from django.db.models import Exists, F, Max, Min, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Collate

from huitong.catalog.divisions import Divisions
from huitong.catalog.ports import CatalogStore, Facet, PartyStore, QualityStore, SearchPage, Transactions
from huitong.catalog.tree import parents_first
from huitong.delivery.ports import DeliveryStore
from huitong.errors import Conflict, InputInvalid, LedgerBroken, NotFound, Reason
from huitong.gateway.answer import Uses
from huitong.gateway.running import RunningStore
from huitong.intake.plans import LoadPlan, LoadRun, RunState
from huitong.intake.ports import LoadStore
from huitong.ledger.cross_check import KeptCase, KeptGrant, KeptRequest, KeptSnapshot, Records
from huitong.ledger.grouping import GroupStore
from huitong.ledger.log import LedgerStore
from huitong.ledger.ranges import TreeReader
from huitong.ledger.uses import UseOfData
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.ledger import Checkpoint, EntryKind, KeptCosignature, KeptStamp, KeyChange, Promise, UseOfEntry
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState, beginning_of
from huitong.model.pseudonym import KeyEpoch
from huitong.model.quality import GradingSuggestion, QualityReport, SuggestionState
from huitong.model.sharing import OPEN_STATES, Delegation, Request, RequestEvent, RequestEventKind, RequestState
from huitong.portal.accounts import models as parties
from huitong.portal.audit import models as audit
from huitong.portal.budget_stores import DjangoBudgetStore
from huitong.portal.catalog import models as catalog
from huitong.portal.catalog import prospects, search_index
from huitong.portal.delivery.stores import DjangoDeliveryStore
from huitong.portal.epoch_stores import DjangoEpochStore
from huitong.portal.keyed_answers import DjangoKeyedAnswers
from huitong.portal.ledger_reading import DatabaseTreeReader
from huitong.portal.notices.board import DjangoNoticeBoard
from huitong.portal.notices.ports import NoticeStore
from huitong.portal.notices.store import DjangoNoticeStore
from huitong.portal.putting import ENTRY, NODE, PENDING, USE, USE_ENTRY, found_among, put_all
from huitong.portal.question_stores import DjangoQuestionStore
from huitong.portal.quota_stores import DjangoQuotaStore, DjangoSubjectUses
from huitong.portal.reidentification_store import DjangoReidentificationStore, kept_cases
from huitong.portal.rows import (
    VERSION_COLUMNS,
    actor_of,
    checkpoint_of,
    dataset_of,
    dataset_row,
    delegation_of,
    delegation_row,
    division_of,
    division_row,
    event_row,
    grant_event_of,
    grant_event_row,
    grant_of,
    grant_of_version,
    grant_row,
    has_its_hash,
    item_row,
    office_of,
    office_row,
    plan_of,
    plan_row,
    promise_columns,
    promise_of,
    report_of,
    report_to_json,
    request_of,
    run_of,
    run_row,
    snapshots_of,
    suggestion_of,
    suggestion_row,
    terms_hash_of,
    version_row,
    wish_to_json,
)
from huitong.portal.running_store import DjangoRunningStore
from huitong.portal.sharing import models as sharing
from huitong.portal.use_index import DjangoUseIndex
from huitong.portal.working_days import DjangoCalendarStore
from huitong.sharing.answered import QuestionStore
from huitong.sharing.calendar import CalendarStore
from huitong.sharing.noised import BudgetStore
from huitong.sharing.ports import EpochStore, NoticeBoard, SharingStore, Side
from huitong.sharing.quotas import QuotaStore
from huitong.sharing.subjects import SubjectUses
from huitong.sharing.usable import StandingStore
from huitong.sharing.used import UseIndex

Row = TypeVar("Row", bound=Model)
LONGEST_POST = 130
"""Characters of a post's id."""
PUT_AT_ONCE = 300
"""Entries of one statement."""
WORTH_TIDYING = 256
"""Entries put in since the search index was last tidied, from which a worker does it."""
ENTRIES_KNOWN = "SELECT entry FROM audit_entry WHERE entry {} LIMIT 1"
ENTRIES_OF_USES = "SELECT query, entry FROM audit_use LEFT JOIN audit_useentry ON use_id = query WHERE query {} ORDER BY position"
INSTANTS = (
    "SELECT (SELECT MAX(at) FROM audit_pending), (SELECT MAX(at) FROM audit_entry), (SELECT MIN(at) FROM audit_pending)"
)
NODES_WANTED = (
    'SELECT node.level, node."index", node.hash FROM (VALUES {}) AS wanted'
    ' JOIN audit_node AS node ON node.level = wanted.column1 AND node."index" = wanted.column2'
)
EDITION_OF_DIVISIONS = "divisions-edition"
SEQUENCER_LOCK = 0x6875_6974_6F6E_67
"""Key of PostgreSQL's advisory lock of the sequencer: the letters of the product."""

_locks_of_memory: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""Sequencer locks of SQLite databases that live in memory alone, which only threads of one process can share."""


@dataclass(frozen=True)
class DjangoTransactions:
    """Transactions."""

    using: str = "default"

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction, or a savepoint inside one: an exception undoes what was done since it began.

        Raises InputInvalid `value-not-storable` for a value that the database cannot hold, e.g. half a character."""
        try:
            with transaction.atomic(using=self.using):
                yield
        except (DataError, UnicodeEncodeError):
            raise InputInvalid.because("value-not-storable") from None


@dataclass(frozen=True)
class DjangoEpoch:
    """PolicyEpoch of the catalogue and Epoch of the gateway: one row."""

    using: str = "default"

    def bump(self) -> int:
        """One more, inside the caller's transaction; the new number."""
        rows = sharing.PolicyEpoch.objects.using(self.using)
        if not rows.filter(id=1).update(number=F("number") + 1):
            rows.bulk_create([sharing.PolicyEpoch(id=1, number=0)], ignore_conflicts=True)
            rows.filter(id=1).update(number=F("number") + 1)
        return self.current()

    def current(self) -> int:
        """The number now. Read several times in each use: a statement that need not be made anew takes a fifth of the time."""
        connection = connections[self.using]
        table = connection.ops.quote_name(sharing.PolicyEpoch._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT number FROM {table} WHERE id = 1")  # noqa: S608 - a name of ours
            row = cursor.fetchone()
        return row[0] if row else 0

    def policy_epoch(self) -> int:
        """The same, under the gateway's name."""
        return self.current()


@dataclass(frozen=True)
class DjangoCatalogStore:
    """CatalogStore; also the gateway's Catalogue."""

    using: str = "default"

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The entry in force."""
        row = _one(self._datasets(), id=dataset_id)
        return None if row is None else dataset_of(row)

    def put_dataset(self, dataset: Dataset, *, index: Mapping[str, int]) -> None:
        """Add the entry or replace the one of the same id, its items and its search tokens with it."""
        self.put_datasets([(dataset, index)])

    def put_datasets(self, entries: Iterable[tuple[Dataset, Mapping[str, int]]]) -> None:
        """The same for many, a few statements for some hundreds of them; of two of the same id the last one stays."""
        given = list({dataset.id: (dataset, index) for dataset, index in entries}.values())
        for start in range(0, len(given), PUT_AT_ONCE):
            part = given[start : start + PUT_AT_ONCE]
            _upsert(catalog.Dataset, [dataset_row(dataset) for dataset, _ in part], self.using)
            items = catalog.Item.objects.using(self.using)
            items.filter(dataset__in=[dataset.id for dataset, _ in part]).delete()
            items.bulk_create(
                item_row(dataset.id, position, item) for dataset, _ in part for position, item in enumerate(dataset.items)
            )
            search_index.put_entries(part, self.using)
            prospects.entries_changed([dataset.id for dataset, _ in part], self.using)

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
        """Entries known to the viewer whose index holds every token, by falling weight, then by id; without tokens all, by id."""
        found = search_index.find(
            tokens,
            viewer=viewer,
            narrowing=narrowing or {},
            facets=facets,
            limit=limit,
            offset=offset,
            using=self.using,
        )
        entries = self.datasets(found.page)
        hits = [entries[dataset_id] for dataset_id in found.page if dataset_id in entries]
        # an entry that was hidden since the index was read a moment ago is not shown
        return SearchPage(hits=tuple(hit for hit in hits if hit.is_known_to(viewer)), total=found.total, facets=found.facets)

    def fold_search_index(self, *, at_least: int = WORTH_TIDYING) -> int:
        """Tidy the search index if so many entries were put in since it last was: how many (`Stores.tidy`)."""
        return search_index.fold(self.using, at_least=at_least)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Make it the current one, if it is newer than that."""
        datasets = catalog.Dataset.objects.using(self.using).select_for_update()
        if datasets.filter(id=snapshot.dataset).values_list("id").first() is None:
            raise NotFound.because("dataset-unknown", dataset=snapshot.dataset)
        rows = catalog.Snapshot.objects.using(self.using)
        current = rows.filter(dataset_id=snapshot.dataset).aggregate(newest=Max("version"))["newest"]
        if current is not None and snapshot.version <= current:
            raise Conflict.because("snapshot-not-newer", dataset=snapshot.dataset, version=snapshot.version, current=current)
        row = rows.create(
            dataset_id=snapshot.dataset,
            version=snapshot.version,
            rows=snapshot.rows,
            taken_at=snapshot.taken_at,
            source_hash=snapshot.source_hash,
            rejected_rows=snapshot.rejected_rows,
            mode=snapshot.mode.value,
            columns=[[name, kind.value] for name, kind in snapshot.columns],
            removed_at=snapshot.removed_at,
            parts=len(snapshot.files),
        )
        prospects.snapshot_changed(snapshot.dataset, self.using)
        catalog.SnapshotFile.objects.using(self.using).bulk_create(
            catalog.SnapshotFile(snapshot=row, position=position, path=file.path, rows=file.rows, bytes=file.bytes)
            for position, file in enumerate(snapshot.files)
        )

    def current_snapshot(self, dataset_id: str) -> Snapshot | None:
        """The newest."""
        return next(iter(snapshots_of(self._snapshots(dataset_id)[:1])), None)

    def snapshot(self, dataset_id: str, version: int) -> Snapshot | None:
        """That one."""
        return next(iter(snapshots_of(self._snapshots(dataset_id).filter(version=version))), None)

    def snapshots(self, dataset_id: str) -> Sequence[Snapshot]:
        """All, newest first."""
        return snapshots_of(self._snapshots(dataset_id))

    def mark_removed(self, dataset_id: str, versions: Collection[int], *, at: datetime) -> None:
        """Note that the files of these snapshots are gone; one that was noted before keeps its instant."""
        rows = self._snapshots(dataset_id).filter(version__in=list(versions))
        catalog.SnapshotFile.objects.using(self.using).filter(snapshot__in=rows.values("id")).delete()
        rows.filter(removed_at=None).update(removed_at=at)

    def datasets(self, dataset_ids: Collection[str]) -> Mapping[str, Dataset]:
        """Those of these ids that are in force, a few hundred to a statement."""
        found: dict[str, Dataset] = {}
        for ids in _parts([dataset_id for dataset_id in dict.fromkeys(dataset_ids) if _storable(dataset_id)]):
            found.update((row.id, dataset_of(row)) for row in self._datasets().filter(id__in=ids))
        return found

    def every_dataset(self) -> Iterator[Dataset]:
        """All entries in force when it begins, by id, a few hundred at a time."""
        for ids in _parts(sorted(catalog.Dataset.objects.using(self.using).values_list("id", flat=True))):
            found = self.datasets(ids)
            yield from (found[dataset_id] for dataset_id in ids if dataset_id in found)

    def _datasets(self) -> QuerySet[catalog.Dataset]:
        return catalog.Dataset.objects.using(self.using).prefetch_related("items")

    def _snapshots(self, dataset_id: str) -> QuerySet[catalog.Snapshot]:
        return catalog.Snapshot.objects.using(self.using).filter(dataset_id=dataset_id).order_by("-version")


@dataclass(frozen=True)
class DjangoPartyStore:
    """PartyStore."""

    using: str = "default"

    def office(self, office_id: str) -> Office | None:
        """The office of that id."""
        row = _one(parties.Office.objects.using(self.using), id=office_id)
        return None if row is None else office_of(row)

    def offices(
        self,
        *,
        text: str = "",
        level: DivisionLevel | None = None,
        division: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Office], int]:
        """Offices by id whose title or id contains `text`, of that level, of exactly that division; and how many."""
        rows = parties.Office.objects.using(self.using).order_by(_by_bytes("id", self.using))
        if not _storable(text, division or ""):
            return [], 0
        if wanted := text.strip():
            rows = rows.filter(Q(id__icontains=wanted) | Q(title_zh__icontains=wanted) | Q(title_en__icontains=wanted))
        if level is not None:
            rows = rows.filter(level=level.value)
        if division is not None:
            rows = rows.filter(division_id=division)
        return [office_of(row) for row in rows[offset : offset + limit]], rows.count()

    def offices_of(self, office_ids: Collection[str]) -> Mapping[str, Office]:
        """Those of these ids that there are, by id, in one statement."""
        rows = parties.Office.objects.using(self.using).filter(id__in=[part for part in office_ids if _storable(part)])
        return {row.id: office_of(row) for row in rows}

    def put_office(self, office: Office) -> None:
        """Add the office, or replace the one of the same id."""
        self.put_offices([office])

    def put_offices(self, offices: Iterable[Office]) -> None:
        """The same for many, in a few statements."""
        _upsert(parties.Office, [office_row(office) for office in offices], self.using)
        search_index.parties_changed(self.using)

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts that the person holds now, each as the actor it makes; by post. None for an account that is closed."""
        if not _storable(person):
            return []
        rows = parties.Post.objects.using(self.using).filter(account__username=person, account__is_active=True, ended_at=None)
        rows = rows.select_related("account__keeper", "office").prefetch_related("roles").order_by(_by_bytes("id", self.using))
        return [actor_of(row) for row in rows]

    def reviewers_of(self, offices: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The persons who hold a post with the role of reviewer now, for each of these offices; in one statement."""
        wanted = [office for office in offices if _storable(office)]
        posts = parties.Post.objects.using(self.using).filter(
            office_id__in=wanted, ended_at=None, account__is_active=True, roles__role=Role.REVIEWER.value
        )
        found: dict[str, set[str]] = {office: set() for office in offices}
        for office, person in posts.values_list("office_id", "account__username"):
            found[office].add(person)
        return {office: frozenset(persons) for office, persons in found.items()}

    def regulators_above(self, division: str) -> tuple[str, ...]:
        """The offices of the division, or of the nearest above it that has any, in which somebody is a regulator now."""
        divisions = parties.Division.objects.using(self.using)
        posts = parties.Post.objects.using(self.using).filter(
            ended_at=None, account__is_active=True, roles__role=Role.REGULATOR.value
        )
        code: str | None = division
        while code is not None:
            found = posts.filter(office__division_id=code, office__valid_to=None).values_list("office_id", flat=True).distinct()
            if offices := tuple(sorted(found)):
                return offices
            code = divisions.filter(code=code).values_list("parent_id", flat=True).first()
        return ()

    def move_posts(self, office: str, successor: str, *, at: datetime) -> Sequence[tuple[str, str]]:
        """End every open post of the office and give its roles to a post in the successor; pairs of old and new, by old post."""
        posts = parties.Post.objects.using(self.using)
        rows = posts.select_for_update().filter(office_id=office, ended_at=None).order_by(_by_bytes("id", self.using))
        moved = []
        for old in list(rows):
            held = posts.filter(account_id=old.account_id, office_id=successor, ended_at=None).first()
            new = held or posts.create(
                id=self.free_post(old.account.username, successor), account=old.account, office_id=successor, created_at=at
            )
            roles = parties.PostRole.objects.using(self.using)
            taken = [parties.PostRole(post=new, role=role.role) for role in roles.filter(post=old)]
            roles.bulk_create(taken, ignore_conflicts=True)
            posts.filter(id=old.id).update(ended_at=at)
            moved.append((old.id, new.id))
        return moved

    def free_post(self, username: str, office: str) -> str:
        """`username@office`, or with a number behind if somebody held a post of that id before."""
        posts = parties.Post.objects.using(self.using)
        wanted = f"{username}@{office}"
        number = 1
        while posts.filter(id=wanted).exists():
            number += 1
            tail = f"~{number}@{office}"
            wanted = username[: LONGEST_POST - len(tail)] + tail
        return wanted


class DjangoDivisions:
    """Divisions of the gateway and DivisionTree of sharing: the table, held as a tree until another edition is put in."""

    def __init__(self, using: str = "default") -> None:
        self._using = using
        self._held: tuple[int, Divisions] | None = None

    def tree(self) -> Divisions:
        """All divisions: find one, its children, those under it, those of a name."""
        edition = self._edition()
        held = self._held
        if held is None or held[0] != edition:
            held = (edition, Divisions(self.divisions()))
            if not connections[self._using].in_atomic_block:  # what a transaction has changed may yet be undone
                self._held = held
        return held[1]

    def divisions(self) -> Iterator[Division]:
        """All, parents before children, by code among those of one parent."""
        return parents_first(division_of(row) for row in parties.Division.objects.using(self._using).iterator(5000))

    def codes_under(self, division_code: str, at: date, agreed: date | None = None) -> frozenset[str]:
        """The codes that rows of that day may bear and that lie in the division, as it was on the day that was agreed."""
        return self.tree().codes_under(division_code, at, agreed)

    def put_divisions(self, divisions: Iterable[Division]) -> int:
        """Add divisions or replace those of the same code, all in one transaction; how many."""
        rows = [division_row(division) for division in divisions]
        with transaction.atomic(using=self._using):
            _upsert(parties.Division, rows, self._using)
            _next_number(EDITION_OF_DIVISIONS, self._using)
            search_index.parties_changed(self._using)
        return len(rows)

    def _edition(self) -> int:
        """Grows with every change of the table: what another process put in is seen at the next call."""
        return (
            sharing.Series.objects.using(self._using).filter(name=EDITION_OF_DIVISIONS).values_list("last", flat=True).first()
            or 0
        )


@dataclass(frozen=True)
class DjangoSharingStore:
    """SharingStore; also the gateway's Grants."""

    using: str = "default"

    def next_number(self, series: str) -> int:
        """The next number of the series, from 1."""
        return _next_number(series, self.using)

    def add_request(self, request: Request) -> None:
        """Keep a new request with its events."""
        row = sharing.Request(
            id=request.id,
            dataset_id=request.dataset,
            provider_id=request.provider,
            applicant_id=request.applicant,
            applicant_office_id=request.applicant_office,
            wish=wish_to_json(request.wish),
            answer_due=request.answer_due,
            submitted_at=request.events[0].at,
            state=request.state.value,
            event_count=len(request.events),
            continues_id=request.continues,
        )
        self._insert(row, Conflict.because("request-exists", request=request.id))
        sharing.RequestEvent.objects.using(self.using).bulk_create(
            event_row(request.id, sequence, event) for sequence, event in enumerate(request.events)
        )

    def request(self, request_id: str) -> Request | None:
        """The request with all its events, oldest first."""
        row = _one(self._requests(), id=request_id)
        return None if row is None else request_of(row)

    def append_event(
        self, request_id: str, event: RequestEvent, *, expected_events: int, answer_due: date | EllipsisType | None = ...
    ) -> None:
        """Add an event to a request that has exactly `expected_events` so far; of two at once, one wins."""
        request = self.request(request_id)
        if request is None:
            raise NotFound.because("request-unknown", request=request_id)
        changed: dict[str, Any] = {
            "event_count": expected_events + 1,
            "state": replace(request, events=(*request.events, event)).state.value,
        }
        if event.kind is RequestEventKind.SUPPLEMENTED and event.wish is not None:
            changed["wish"] = wish_to_json(event.wish)
        if not isinstance(answer_due, EllipsisType):
            changed["answer_due"] = answer_due
        rows = sharing.Request.objects.using(self.using).filter(id=request_id, event_count=expected_events)
        if not rows.update(**changed):
            raise Conflict.because("request-moved", request=request_id)
        event_row(request_id, expected_events, event).save(using=self.using, force_insert=True)

    def open_requests(self, *, due_before: date | None = None, continuing: str | None = None) -> Sequence[Request]:
        """Requests that are not answered, oldest first: those that were due before that day, those that would continue that grant."""
        rows = self._requests().filter(state__in=[state.value for state in OPEN_STATES])
        if due_before is not None:
            rows = rows.filter(answer_due__lt=due_before)
        if continuing is not None:
            rows = rows.filter(continues_id=continuing)
        return [request_of(row) for row in rows.order_by("submitted_at", _by_bytes("id", self.using))]

    def requests_for(
        self,
        office: str,
        *,
        side: Side,
        states: Collection[RequestState] | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Request], int]:
        """Requests that the office made or has to answer, newest submission first; and how many in all."""
        rows = self._requests().filter(**{"applicant_office_id" if side is Side.APPLICANT else "provider_id": office})
        if states is not None:
            rows = rows.filter(state__in=[state.value for state in states])
        rows = rows.order_by("-submitted_at", _by_bytes("id", self.using).desc())
        return [request_of(row) for row in rows[offset : offset + limit]], rows.count()

    def add_grant(self, grant: Grant, events: Sequence[GrantEvent] = ()) -> None:
        """Keep a new grant with its events."""
        given = tuple(events) or beginning_of(grant)
        row = grant_row(grant)
        row.event_count = len(given)
        self._insert(row, Conflict.because("grant-exists", grant=grant.id))
        sharing.GrantEvent.objects.using(self.using).bulk_create(
            grant_event_row(grant.id, sequence, event) for sequence, event in enumerate(given)
        )

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id, in any state."""
        row = _one(sharing.Grant.objects.using(self.using), id=grant_id)
        return None if row is None else grant_of(row)

    def change_grant(self, grant: Grant, event: GrantEvent, *, expected_state: GrantState) -> None:
        """Add the event that made the grant what `grant` says, if state and version still are what was expected."""
        rows = sharing.Grant.objects.using(self.using)
        extends = event.kind is GrantEventKind.EXTENDED
        before = rows.filter(id=grant.id, state=expected_state.value, version=grant.version - extends).first()
        if before is None:
            raise Conflict.because("grant-moved", grant=grant.id)
        changed: dict[str, Any] = {
            "state": grant.state.value,
            "revoked_at": grant.revoked_at,
            "revoked_because": grant.revoked_because,
            "event_count": before.event_count + 1,
        }
        if extends:
            version_row(before).save(using=self.using, force_insert=True)
            after = grant_row(grant)
            changed |= {name: getattr(after, name) for name in VERSION_COLUMNS}
        if not rows.filter(id=grant.id, state=before.state, event_count=before.event_count).update(**changed):
            raise Conflict.because("grant-moved", grant=grant.id)
        grant_event_row(grant.id, before.event_count, event).save(using=self.using, force_insert=True)

    def grant_events(self, grant_id: str) -> Sequence[GrantEvent]:
        """What happened to the grant, oldest first."""
        if not _storable(grant_id):
            return []
        rows = sharing.GrantEvent.objects.using(self.using).filter(grant_id=grant_id).order_by("sequence")
        return [grant_event_of(row) for row in rows]

    def grant_versions(self, grant_id: str) -> Sequence[Grant]:
        """The grant in each of its versions, oldest first."""
        row = _one(sharing.Grant.objects.using(self.using), id=grant_id)
        if row is None:
            return []
        earlier = sharing.GrantVersion.objects.using(self.using).filter(grant_id=grant_id).order_by("version")
        return [*(grant_of_version(row, version) for version in earlier), grant_of(row)]

    def grants_ending(self, start: datetime, end: datetime, *, without: GrantEventKind | None = None) -> Sequence[Grant]:
        """Grants that were not revoked and whose term ends in [start, end) (without such an event), the first to end first."""
        rows = sharing.Grant.objects.using(self.using).exclude(state=GrantState.REVOKED.value)
        rows = rows.filter(valid_until__gte=start, valid_until__lt=end)
        if without is not None:
            told = sharing.GrantEvent.objects.using(self.using).filter(
                grant=OuterRef("id"), kind=without.value, version=OuterRef("version")
            )
            rows = rows.exclude(Exists(told))
        return [grant_of(row) for row in rows.order_by("valid_until", _by_bytes("id", self.using))]

    def put_delegation(self, delegation: Delegation) -> None:
        """Add it, or replace the one of the same id."""
        _upsert(sharing.Delegation, [delegation_row(delegation)], self.using)

    def delegations(self, office: str) -> Sequence[Delegation]:
        """All of the office, newest first."""
        if not _storable(office):
            return []
        rows = sharing.Delegation.objects.using(self.using).filter(office_id=office)
        return [delegation_of(row) for row in rows.order_by("-made_at", _by_bytes("id", self.using).desc())]

    def grants_of_office(self, office: str, datasets: Collection[str] | None = None) -> Sequence[Grant]:
        """All grants, in every state, that the office uses (of these datasets); newest first.

        With datasets it is asked for deciding a use: then raises LedgerBroken `grant-altered` if the terms of an active one are
        not those whose hash was recorded when it was made."""
        if datasets is None:
            return self._grants(Q(using_office_id=office), newest_first=True)
        return self._grants(Q(using_office_id=office, dataset_id__in=list(datasets)), newest_first=True, for_use=True)

    def grants_by_provider(self, office: str) -> Sequence[Grant]:
        """All grants, in every state, over datasets of the office; newest first."""
        return self._grants(Q(provider_id=office), newest_first=True)

    def grants_of_requests(self, requests: Collection[str]) -> Sequence[Grant]:
        """All grants, in every state, that came of these requests; newest first."""
        return self._grants(Q(request_id__in=list(requests)), newest_first=True)

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        """The grants over a dataset in these states; oldest first."""
        return self._grants(Q(dataset_id=dataset_id, state__in=[state.value for state in states]))

    def grants_in_state(self, state: GrantState, *, limit: int | None = 100) -> Sequence[Grant]:
        """The oldest grants in that state."""
        return self._grants(Q(state=state.value), limit=limit)

    def grants_of_group(self, linkage_group: str) -> Sequence[Grant]:
        """The grants of a linkage group in every state, oldest first."""
        return self._grants(Q(linkage_group=linkage_group)) if _storable(linkage_group) else []

    def move_requests(self, office: str, successor: str) -> Sequence[str]:
        """Open requests that the office has to answer or has made become the successor's; their ids, in order."""
        rows = sharing.Request.objects.using(self.using).filter(state__in=[state.value for state in OPEN_STATES])
        moved = set(rows.select_for_update().filter(Q(provider=office) | Q(applicant_office=office)).values_list("id", flat=True))
        for ids in _parts(sorted(moved)):
            rows.filter(id__in=ids, provider=office).update(provider=successor)
            rows.filter(id__in=ids, applicant_office=office).update(applicant_office=successor)
        return sorted(moved)

    def _requests(self) -> QuerySet[sharing.Request]:
        return sharing.Request.objects.using(self.using).prefetch_related("events")

    def _grants(
        self, narrowing: Q, *, newest_first: bool = False, limit: int | None = None, for_use: bool = False
    ) -> list[Grant]:
        rows = sharing.Grant.objects.using(self.using).filter(narrowing)
        by_id = _by_bytes("id", self.using)
        rows = rows.order_by("-granted_at", by_id.desc()) if newest_first else rows.order_by("granted_at", by_id)
        found = list(rows[:limit])
        if for_use and (altered := [row for row in found if row.state == GrantState.ACTIVE.value and not has_its_hash(row)]):
            raise LedgerBroken(*(Reason("grant-altered", {"grant": row.id, "dataset": row.dataset_id}) for row in altered))
        return [grant_of(row) for row in found]

    def _insert(self, row: sharing.Request | sharing.Grant, taken: Exception) -> None:
        try:
            with transaction.atomic(using=self.using):
                row.save(using=self.using, force_insert=True)
        except IntegrityError:
            if type(row).objects.using(self.using).filter(pk=row.pk).exists():
                raise taken from None
            raise


@dataclass(frozen=True)
class DjangoLedgerStore:
    """LedgerStore: entries are added and read, never changed."""

    using: str = "default"

    def add_pending(self, promise: Promise) -> None:
        """Keep a promise, inside the caller's transaction if there is one."""
        if audit.Entry.objects.using(self.using).filter(entry=promise.entry).exists():
            raise Conflict.because("entry-exists", entry=promise.entry)
        try:
            audit.Pending(**promise_columns(promise)).save(using=self.using, force_insert=True)
        except IntegrityError:
            raise Conflict.because("entry-exists", entry=promise.entry) from None

    def add_all_pending(self, promises: Sequence[Promise]) -> None:
        """Keep promises in this order, inside the caller's transaction. Raises Conflict `entry-exists`."""
        for (twice,) in found_among(self.using, ENTRIES_KNOWN, [promise.entry for promise in promises]):
            raise Conflict.because("entry-exists", entry=twice)
        put_all(self.using, PENDING, (_values_of(one) for one in promises))

    def last_instant(self) -> datetime | None:
        """The latest `at` of all entries, pending and folded."""
        return self.instants()[0]

    def pending(self, limit: int) -> Sequence[Promise]:
        """The oldest pending promises, in order of writing."""
        return [promise_of(row) for row in audit.Pending.objects.using(self.using).order_by("id")[:limit]]

    def oldest_pending(self) -> datetime | None:
        """The instant of the oldest pending promise."""
        return self.instants()[1]

    def instants(self) -> tuple[datetime | None, datetime | None]:
        """The latest of all entries, and the oldest of the pending ones."""
        found = (None if instant is None else _instant(instant) for instant in _found(self.using, INSTANTS)[0])
        latest_pending, latest_folded, oldest = found
        return max((instant for instant in (latest_pending, latest_folded) if instant is not None), default=None), oldest

    def fold(self, promises: Sequence[Promise], nodes: Sequence[tuple[int, int, bytes]], checkpoint: Checkpoint) -> None:
        """Move promises into the tree at the next indexes, with its new nodes and the checkpoint, in one transaction.

        Raises Conflict `ledger-moved` if the tree has grown meanwhile or a promise is not pending."""
        start = checkpoint.size - len(promises)
        try:
            with transaction.atomic(using=self.using):
                size = self.size()
                ids = [promise.entry for promise in promises]
                removed, _ = audit.Pending.objects.using(self.using).filter(entry__in=ids).delete() if ids else (0, {})
                if size != start or removed != len(promises):
                    raise Conflict.because("ledger-moved", size=size)
                put_all(self.using, ENTRY, ((start + place, *_values_of(one)) for place, one in enumerate(promises)))
                put_all(self.using, NODE, nodes)
                DjangoUseIndex(self.using).add([(start + place, promise) for place, promise in enumerate(promises)])
                audit.Checkpoint(
                    size=checkpoint.size, origin=checkpoint.origin, root=checkpoint.root, at=checkpoint.at, note=checkpoint.note
                ).save(using=self.using, force_insert=True)
        except IntegrityError:
            raise Conflict.because("ledger-moved", size=self.size()) from None

    def key_changes(self) -> Sequence[KeyChange]:
        """All changes of the key, by number."""
        rows = _found(self.using, "SELECT number, vkey, before, at, until, entry FROM audit_keychange ORDER BY number")
        return [
            KeyChange(number, vkey, before, _instant(at), _instant(until), entry) for number, vkey, before, at, until, entry in rows
        ]

    def add_key_change(self, change: KeyChange) -> None:
        """Keep one. Raises Conflict `ledger-key-changed-meanwhile` if that number is there."""
        try:
            with transaction.atomic(using=self.using):
                audit.KeyChange(
                    number=change.number,
                    vkey=change.vkey,
                    before=change.before,
                    at=change.at,
                    until=change.until,
                    entry=change.entry,
                ).save(using=self.using, force_insert=True)
        except IntegrityError:
            raise Conflict.because("ledger-key-changed-meanwhile") from None

    def size(self) -> int:
        """How many entries are in the tree."""
        last: int | None = audit.Entry.objects.using(self.using).aggregate(last=Max("index"))["last"]
        return 0 if last is None else last + 1

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """The stored hashes of complete subtrees among these (level, index)."""
        if not keys:
            return {}
        wanted = ", ".join(["(%s, %s)"] * len(keys))
        rows = _found(self.using, NODES_WANTED.format(wanted), [part for key in keys for part in key])
        return {(level, index): bytes(value) for level, index, value in rows}

    def entry(self, index: int) -> Promise:
        """The entry at that place of the tree. Raises NotFound `entry-unknown`."""
        row = _one(audit.Entry.objects.using(self.using), index=index)
        if row is None:
            raise NotFound.because("entry-unknown", entry=index)
        return promise_of(row)

    def entries(self, start: int, end: int) -> Iterator[Promise]:
        """Entries of [start, end), read in parts so that memory stays bounded."""
        part = 2000
        for first in range(start, end, part):
            rows = audit.Entry.objects.using(self.using).filter(index__gte=first, index__lt=min(first + part, end))
            yield from (promise_of(row) for row in rows.order_by("index"))

    def index_of(self, entry_id: str) -> int | None:
        """Its place in the tree; None while pending or unknown."""
        if not _storable(entry_id):
            return None
        rows = _found(self.using, 'SELECT "index" FROM audit_entry WHERE entry = %s', [entry_id])
        return int(rows[0][0]) if rows else None

    def promise(self, entry_id: str) -> Promise | None:
        """The promise, pending or folded."""
        # the tree is read last: an entry leaves pending only in the transaction that puts it there
        for table in ("audit_pending", "audit_entry") if _storable(entry_id) else ():
            kept = f"SELECT entry, kind, at, payload, key_id, signature FROM {table} WHERE entry = %s"  # noqa: S608
            for entry, kind, at, payload, key_id, signature in _found(self.using, kept, [entry_id]):
                return Promise(entry, EntryKind(kind), _instant(at), bytes(payload), key_id, bytes(signature))
        return None

    def latest_checkpoint(self) -> Checkpoint | None:
        """The one of the greatest size."""
        row = audit.Checkpoint.objects.using(self.using).order_by("-size", "-id").first()
        return None if row is None else checkpoint_of(row)

    def checkpoint_covering(self, index: int) -> Checkpoint | None:
        """The first whose tree holds the entry at `index`."""
        row = audit.Checkpoint.objects.using(self.using).filter(size__gt=index).order_by("size", "id").first()
        return None if row is None else checkpoint_of(row)

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The one of exactly this size."""
        row = audit.Checkpoint.objects.using(self.using).filter(size=size).order_by("id").first()
        return None if row is None else checkpoint_of(row)

    def witnessed_covering(self, index: int) -> Checkpoint | None:
        """The first whose tree holds the entry at `index` and that a witness has signed."""
        row = audit.Cosignature.objects.using(self.using).filter(size__gt=index).order_by("size", "id").first()
        return None if row is None else self.checkpoint_of(row.size)

    def latest_witnessed(self) -> Checkpoint | None:
        """The one of the greatest size that a witness has signed."""
        row = audit.Cosignature.objects.using(self.using).order_by("-size", "id").first()
        return None if row is None else self.checkpoint_of(row.size)

    def cosignatures(self, size: int) -> Sequence[KeptCosignature]:
        """What witnesses have signed of this size, as it came."""
        rows = audit.Cosignature.objects.using(self.using).filter(size=size).order_by("id")
        return [KeptCosignature(row.size, row.witness, row.at, row.line) for row in rows]

    def add_cosignature(self, cosignature: KeptCosignature) -> None:
        """Keep it unless there is one of that witness and size."""
        audit.Cosignature.objects.using(self.using).get_or_create(
            size=cosignature.size, witness=cosignature.witness, defaults={"at": cosignature.at, "line": cosignature.line}
        )

    def last_seen(self) -> Sequence[KeptCosignature]:
        """Of each witness what it has signed of the greatest size."""
        last = audit.Cosignature.objects.using(self.using).values("witness").annotate(size=Max("size"))
        return [one for row in last for one in self.cosignatures(row["size"]) if one.witness == row["witness"]]

    def add_stamp(self, stamp: KeptStamp) -> None:
        """Keep it, unless there is one of that service and size."""
        audit.Stamp.objects.using(self.using).get_or_create(
            size=stamp.size,
            service=stamp.service,
            defaults={"at": stamp.at, "kept_at": stamp.kept_at, "answer": stamp.answer},
        )

    def stamps(self, size: int) -> Sequence[KeptStamp]:
        """Those of the checkpoint of this size, as they came."""
        rows = audit.Stamp.objects.using(self.using).filter(size=size).order_by("id")
        return [KeptStamp(row.size, row.service, row.at, row.kept_at, bytes(row.answer)) for row in rows]

    def last_stamps(self) -> Sequence[KeptStamp]:
        """Of each service the one of the greatest size."""
        last = audit.Stamp.objects.using(self.using).values("service").annotate(size=Max("size"))
        return [one for row in last for one in self.stamps(row["size"]) if one.service == row["service"]]

    def stamped_sizes(self, limit: int, offset: int) -> tuple[Sequence[int], int]:
        """Sizes of stamped checkpoints, the greatest first; and how many."""
        sizes = audit.Stamp.objects.using(self.using).order_by("-size").values_list("size", flat=True).distinct()
        return list(sizes[offset : offset + limit]), sizes.count()

    def stamped_covering(self, size: int) -> int | None:
        """The smallest size from this one on of which there is a stamp."""
        found: int | None = audit.Stamp.objects.using(self.using).filter(size__gte=size).aggregate(least=Min("size"))["least"]
        return found

    def add_literal(self, digest: str, sealed: bytes, at: datetime) -> None:
        """Keep a sealed literal, inside the caller's transaction."""
        audit.Literal(digest=digest, sealed=sealed, at=at).save(using=self.using, force_insert=True)

    def literal(self, digest: str) -> bytes | None:
        """The sealed one; None if it is unknown, or erased."""
        row = _one(audit.Literal.objects.using(self.using), digest=digest)
        return None if row is None else bytes(row.sealed)

    def literals(self) -> Iterator[tuple[str, bytes]]:
        """All, with their hashes."""
        rows = audit.Literal.objects.using(self.using).values_list("digest", "sealed")
        return ((digest, bytes(sealed)) for digest, sealed in rows.iterator(1000))

    def erase_literals(self, digests: list[str]) -> int:
        """Remove these for good; how many there were."""
        rows = audit.Literal.objects.using(self.using)
        return sum(rows.filter(digest__in=part).delete()[0] for part in _parts([one for one in digests if _storable(one)]))

    def checkpoints(self) -> Sequence[Checkpoint]:
        """All, oldest first."""
        return [checkpoint_of(row) for row in audit.Checkpoint.objects.using(self.using).order_by("id")]

    @contextmanager
    def sequencer_lock(self) -> Iterator[bool]:
        """True for the one process and thread that may fold now; never waits. The lock goes when its holder dies."""
        connection = connections[self.using]
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()  # a worker has no requests at whose ends Django would do this
        if connection.vendor == "postgresql":
            with _advisory_lock(self.using) as held:
                yield held
        else:
            name = str(connection.settings_dict["NAME"])
            with _memory_lock(name) if _in_memory(name) else _file_lock(f"{name}.sequencer") as held:
                yield held


@dataclass(frozen=True)
class DjangoUses:
    """Uses of the gateway: which entries of the ledger belong to a query."""

    using: str = "default"

    def remember(self, *, query: str, actor: Actor, entries: Sequence[str], at: datetime) -> None:
        """Keep the entries of a query; told again, the new ones are added to the old."""
        with transaction.atomic(using=self.using):
            self.remember_all([(UseOfEntry(query, actor.person, actor.post, actor.office), entries, at)])

    def remember_all(self, uses: Sequence[tuple[UseOfEntry, Sequence[str], datetime]]) -> None:
        """The same for several, in three statements inside the caller's transaction."""
        known: dict[str, list[str]] = {}
        for query, entry in found_among(self.using, ENTRIES_OF_USES, [use.query for use, _, _ in uses]):
            known.setdefault(query, []).extend([] if entry is None else [entry])
        begun: list[tuple[str, str, str, str, datetime]] = []
        rows: list[tuple[str, int, str]] = []
        for use, entries, at in uses:
            if use.query not in known:
                known[use.query] = []
                begun.append((use.query, use.person, use.post, use.office, at))
            before = known[use.query]
            for entry in entries:
                if entry not in before:
                    rows.append((use.query, len(before), entry))
                    before.append(entry)
        put_all(self.using, USE, begun)
        put_all(self.using, USE_ENTRY, rows)

    def entries_of(self, query: str) -> Sequence[str]:
        """The entries of the query, in order."""
        if not _storable(query):
            return []
        rows = audit.UseEntry.objects.using(self.using).filter(use_id=query).order_by("position")
        return list(rows.values_list("entry", flat=True))

    def office_of(self, query: str) -> str | None:
        """The office that made the query."""
        row = _one(audit.Use.objects.using(self.using), query=query)
        return None if row is None else row.office_id


@dataclass(frozen=True)
class DjangoGroupStore:
    """GroupStore of the ledger: many entries, and the uses they belong to, in a few statements."""

    using: str = "default"

    def in_transaction(self) -> bool:
        """Whether this thread's connection is in a transaction."""
        return connections[self.using].in_atomic_block

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction. Raises Conflict `entry-not-kept` or InputInvalid `value-not-storable` for what one entry says."""
        try:
            with DjangoTransactions(self.using).atomic():
                yield
        except IntegrityError:
            raise Conflict.because("entry-not-kept") from None

    def add_all(self, promises: Sequence[Promise], uses: Sequence[tuple[UseOfEntry, Promise]]) -> None:
        """Keep promises in this order, and their uses."""
        DjangoLedgerStore(self.using).add_all_pending(promises)
        if uses:
            DjangoUses(self.using).remember_all([(use, (*use.earlier, promise.entry), promise.at) for use, promise in uses])


@dataclass(frozen=True)
class DjangoRecords:
    """Records of the audit: what stands in the tables beside the ledger."""

    using: str = "default"

    def grants(self) -> Iterator[KeptGrant]:
        """Every grant; one whose terms cannot be read has no computed hash."""
        for row in sharing.Grant.objects.using(self.using).order_by("id").iterator(1000):
            try:
                computed = terms_hash_of(grant_of(row))
            except (ValueError, TypeError, KeyError, AttributeError):
                computed = ""
            yield KeptGrant(id=row.id, terms_hash=row.terms_hash, computed_hash=computed, state=row.state, moved_from=row.moved_from_id)

    def requests(self) -> Iterator[KeptRequest]:
        """Every request, in the state that stands beside its events."""
        rows = sharing.Request.objects.using(self.using).order_by("id").values_list("id", "state")
        return (KeptRequest(id=request, state=state) for request, state in rows.iterator(1000))

    def snapshots(self) -> Iterator[KeptSnapshot]:
        """Every snapshot."""
        rows = catalog.Snapshot.objects.using(self.using).order_by("dataset_id", "version")
        for row in rows.iterator(1000):
            yield KeptSnapshot(
                dataset=row.dataset_id,
                version=row.version,
                rows=row.rows,
                rejected_rows=row.rejected_rows,
                source_hash=row.source_hash,
                files=row.parts,
            )

    def reidentifications(self) -> Iterator[KeptCase]:
        """Every case of re-identification, by what its events say."""
        return kept_cases(self.using)

    def uses_of_data(self) -> Iterator[UseOfData]:
        """The lines that tell who used which data, in the order of the ledger."""
        return DjangoUseIndex(self.using).lines()

    def budgets(self) -> Iterator[tuple[str, int]]:
        """Every account of noised totals, with what was spent."""
        yield from sharing.NoisedBudget.objects.using(self.using).values_list("account", "spent").iterator()

    def key_epochs(self) -> Iterator[KeyEpoch]:
        """Every key epoch that was noted."""
        yield from DjangoEpochStore(self.using).epochs()

    def uses_without_entry(self, limit: int) -> Sequence[tuple[str, str]]:
        """Queries whose entries are gone: from the ledger, or from the list of their entries.

        The tree is asked last: an entry leaves pending only in the transaction that puts it there."""
        same = {"entry": OuterRef("entry")}
        lost = audit.UseEntry.objects.using(self.using).exclude(Exists(audit.Pending.objects.using(self.using).filter(**same)))
        lost = lost.exclude(Exists(audit.Entry.objects.using(self.using).filter(**same))).order_by("use_id", "position")
        bare = audit.Use.objects.using(self.using).exclude(
            Exists(audit.UseEntry.objects.using(self.using).filter(use_id=OuterRef("query")))
        )
        found = list(lost.values_list("use_id", "entry")[:limit])
        return [*found, *((query, "") for query in bare.order_by("query").values_list("query", flat=True)[: limit - len(found)])]


@dataclass(frozen=True)
class DjangoQualityStore:
    """QualityStore."""

    using: str = "default"

    def put_report(self, report: QualityReport) -> None:
        """Keep the report of a snapshot, in place of an earlier one of the same version."""
        catalog.QualityReport.objects.using(self.using).update_or_create(
            dataset_id=report.dataset,
            version=report.version,
            defaults={"made_at": report.made_at, "report": report_to_json(report)},
        )

    def report(self, dataset_id: str, version: int | None = None) -> QualityReport | None:
        """The report of that snapshot, or of the newest one that has one."""
        if not _storable(dataset_id):
            return None
        rows = catalog.QualityReport.objects.using(self.using).filter(dataset_id=dataset_id).order_by("-version")
        row = (rows if version is None else rows.filter(version=version)).first()
        return None if row is None else report_of(row)

    def put_suggestions(self, dataset_id: str, suggestions: Sequence[GradingSuggestion]) -> None:
        """Keep these as the open ones, but for those that were decided before and say the same."""
        rows = self._suggestions(dataset_id)
        rows.filter(state=SuggestionState.OPEN.value).delete()
        decided = set(rows.values_list("item", "meaning", "grade"))
        opened = {
            (one.item, one.meaning): replace(one, state=SuggestionState.OPEN, decided_by=None, decided_at=None, words=None)
            for one in suggestions
            if (one.item, one.meaning, int(one.grade)) not in decided
        }
        catalog.GradingSuggestion.objects.using(self.using).bulk_create(
            suggestion_row(dataset_id, one) for one in opened.values()
        )

    def suggestions(self, dataset_id: str) -> Sequence[GradingSuggestion]:
        """All of the dataset, open ones first, then by item."""
        return sorted(
            (suggestion_of(row) for row in self._suggestions(dataset_id)),
            key=lambda one: (one.state is not SuggestionState.OPEN, one.item, one.meaning, one.grade),
        )

    def decide_suggestion(self, dataset_id: str, suggestion: GradingSuggestion) -> None:
        """Replace the open suggestion of the same item and meaning. Raises Conflict `suggestion-decided` if it is not open."""
        rows = self._suggestions(dataset_id).filter(item=suggestion.item, meaning=suggestion.meaning)
        removed, _ = rows.filter(state=SuggestionState.OPEN.value).delete()
        if not removed:
            raise Conflict.because(
                "suggestion-decided", dataset=dataset_id, item=suggestion.item, meaning=suggestion.meaning
            )
        suggestion_row(dataset_id, suggestion).save(using=self.using, force_insert=True)

    def _suggestions(self, dataset_id: str) -> QuerySet[catalog.GradingSuggestion]:
        rows = catalog.GradingSuggestion.objects.using(self.using)
        return rows.filter(dataset_id=dataset_id) if _storable(dataset_id) else rows.none()


@dataclass(frozen=True)
class DjangoLoadStore:
    """LoadStore."""

    using: str = "default"

    def put_plan(self, plan: LoadPlan) -> None:
        """Add the plan, or replace the one of the same id."""
        _upsert(catalog.LoadPlan, [plan_row(plan)], self.using)

    def plan(self, plan_id: str) -> LoadPlan | None:
        """The plan of that id."""
        row = _one(catalog.LoadPlan.objects.using(self.using), id=plan_id)
        return None if row is None else plan_of(row)

    def plans(self, *, datasets: Collection[str] | None = None) -> Sequence[LoadPlan]:
        """All plans (of these datasets), by id."""
        rows = catalog.LoadPlan.objects.using(self.using)
        if datasets is not None:
            rows = rows.filter(dataset__in=[dataset_id for dataset_id in datasets if _storable(dataset_id)])
        return sorted((plan_of(row) for row in rows), key=lambda plan: plan.id)

    def remove_plan(self, plan_id: str) -> None:
        """Forget the plan; its runs stay."""
        catalog.LoadPlan.objects.using(self.using).filter(id=plan_id).delete()

    def due_plans(self, now: datetime) -> Sequence[LoadPlan]:
        """The plans that are due and not stopped, the longest due first."""
        rows = catalog.LoadPlan.objects.using(self.using).filter(next_run__lte=now, stopped__isnull=True)
        return [plan_of(row) for row in rows.order_by("next_run", _by_bytes("id", self.using))]

    def claim_plan(self, plan_id: str, *, seen_next_run: datetime, next_run: datetime) -> bool:
        """Move the plan's next run on, if it still is what was seen: of two workers one gets True."""
        rows = catalog.LoadPlan.objects.using(self.using).filter(id=plan_id, next_run=seen_next_run)
        return rows.update(next_run=next_run) == 1

    def put_run(self, run: LoadRun) -> None:
        """Add the run, or replace the one of the same id."""
        _upsert(catalog.LoadRun, [run_row(run)], self.using)

    def run(self, run_id: str) -> LoadRun | None:
        """The run of that id."""
        row = _one(catalog.LoadRun.objects.using(self.using), id=run_id)
        return None if row is None else run_of(row)

    def runs(self, dataset_id: str, *, limit: int = 20) -> Sequence[LoadRun]:
        """The newest runs of a dataset, newest first."""
        if not _storable(dataset_id):
            return []
        rows = catalog.LoadRun.objects.using(self.using).filter(dataset_id=dataset_id)
        return [run_of(row) for row in rows.order_by("-started_at", _by_bytes("id", self.using).desc())[:limit]]

    def unfinished_runs(self) -> Sequence[LoadRun]:
        """Runs that are noted as running, oldest first."""
        rows = catalog.LoadRun.objects.using(self.using).filter(state=RunState.RUNNING.value)
        return [run_of(row) for row in rows.order_by("started_at", _by_bytes("id", self.using))]


class Stores:
    """One of each over one database."""

    def __init__(self, using: str = "default") -> None:
        self.using = using
        self.transactions: Transactions = DjangoTransactions(using)
        self.epoch = DjangoEpoch(using)
        self.catalog: CatalogStore = DjangoCatalogStore(using)
        self.parties: PartyStore = DjangoPartyStore(using)
        self.divisions = DjangoDivisions(using)
        self.quality: QualityStore = DjangoQualityStore(using)
        self.loads: LoadStore = DjangoLoadStore(using)
        self.sharing: SharingStore = DjangoSharingStore(using)
        self.quotas: QuotaStore = DjangoQuotaStore(using)
        self.pseudonym_epochs: EpochStore = DjangoEpochStore(using)
        self.budgets: BudgetStore = DjangoBudgetStore(using)
        self.questions: QuestionStore = DjangoQuestionStore(using)
        self.subject_uses: SubjectUses = DjangoSubjectUses(using)
        self.calendar: CalendarStore = DjangoCalendarStore(using)
        self.reidentifications = DjangoReidentificationStore(using)
        self.ledger: LedgerStore = DjangoLedgerStore(using)
        self.groups: GroupStore = DjangoGroupStore(using)
        self.uses: Uses = DjangoUses(using)
        self.running: RunningStore = DjangoRunningStore(using)
        self.use_index: UseIndex = DjangoUseIndex(using)
        self.records: Records = DjangoRecords(using)
        self.standings: StandingStore = prospects.DjangoStandings(using)
        self.keyed_answers = DjangoKeyedAnswers(using)
        self.notices: NoticeBoard = DjangoNoticeBoard(using, self.catalog)
        self.notice_store: NoticeStore = DjangoNoticeStore(using)
        self.delivery: DeliveryStore = DjangoDeliveryStore(using)

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction over all of them."""
        return self.transactions.atomic()

    def tree_reader(self) -> TreeReader | None:
        """What reads the ledger's tree in long pieces, for an audit of the tree; None where another process could not: in memory alone."""
        connection = connections[self.using]
        if _in_memory(str(connection.settings_dict["NAME"])):
            return None
        names = ("NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
        return DatabaseTreeReader(connection.vendor, {name: connection.settings_dict.get(name) for name in names})

    def tidy(self) -> int:
        """What a worker does every minute or so, so that nobody else has to wait for it: the search index takes in the entries that
        were put in lately, if they are many; how many it took in."""
        return search_index.fold(self.using, at_least=WORTH_TIDYING)


def _in_memory(name: str) -> bool:
    """Whether a SQLite database of that name is no file."""
    return name == ":memory:" or "mode=memory" in name


def _by_bytes(column: str, using: str) -> Collate:
    """Order by code point, as Python does, whatever the database's own language."""
    return Collate(F(column), "C" if connections[using].vendor == "postgresql" else "BINARY")


def _found(using: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What a plain statement gives, for what every use asks: the ORM takes ten times as long to write it down anew."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _values_of(promise: Promise) -> tuple[str, str, datetime, bytes, str, bytes]:
    """Of the columns of `PENDING`."""
    return promise.entry, promise.kind.value, promise.at, promise.payload, promise.key_id, promise.signature


def _instant(kept: datetime | str) -> datetime:
    """An instant as a plain statement gives it: of SQLite as text without its zone, which is UTC."""
    at = datetime.fromisoformat(kept) if isinstance(kept, str) else kept
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _storable(*texts: str) -> bool:
    """Whether a database can hold the texts at all: no NUL, no half characters. What cannot be held cannot be found either."""
    try:
        return "\0" not in "".join(texts).encode().decode()
    except UnicodeEncodeError:
        return False


def _one(rows: QuerySet[Row], **key: str | int) -> Row | None:
    """The row of that key, if there is one."""
    return rows.filter(**key).first() if _storable(*(part for part in key.values() if isinstance(part, str))) else None


def _parts(values: list[str], size: int = 500) -> Iterator[list[str]]:
    """The values, so many at a time: a statement takes no list of any length."""
    return (values[start : start + size] for start in range(0, len(values), size))


def _next_number(series: str, using: str) -> int:
    """One more in a series; its row is locked until the transaction ends, so no two get the same."""
    with transaction.atomic(using=using):
        rows = sharing.Series.objects.using(using).filter(name=series)
        if not rows.update(last=F("last") + 1):
            rows.bulk_create([sharing.Series(name=series, last=0)], ignore_conflicts=True)
            rows.update(last=F("last") + 1)
        return rows.values_list("last", flat=True).get()


def _upsert(model: Any, rows: list[Any], using: str) -> None:
    """Add rows or replace those of the same primary key."""
    key = model._meta.pk.name
    columns = [column.name for column in model._meta.concrete_fields if column.name != key]
    model.objects.using(using).bulk_create(rows, update_conflicts=True, unique_fields=[key], update_fields=columns)


@contextmanager
def _advisory_lock(using: str) -> Iterator[bool]:
    """PostgreSQL's lock of this connection, which the server drops with it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [SEQUENCER_LOCK])
        (held,) = cursor.fetchone()
    try:
        yield held
    finally:
        if held and connections[using].connection is not None:
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [SEQUENCER_LOCK])


@contextmanager
def _file_lock(path: str) -> Iterator[bool]:
    """A lock on a file beside the database, which the kernel drops with its holder."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


@contextmanager
def _memory_lock(name: str) -> Iterator[bool]:
    lock = _locks_of_memory[name]
    held = lock.acquire(blocking=False)
    try:
        yield held
    finally:
        if held:
            lock.release()
