"""Every port of the core in memory: for the tests of this package and of those who build on it. Never for serving.

`MemoryStores()` holds one of each over one `MemoryTransactions`; an exception inside `atomic()` undoes what it did, as a
database would. One lock serialises the transactions of all threads.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from huitong.catalog.ports import SearchPage
from huitong.errors import Conflict
from huitong.model.catalog import Dataset, Sharing, Snapshot
from huitong.model.ledger import Checkpoint, EntryKind, Promise
from huitong.model.party import Actor, DivisionLevel, Office
from huitong.model.policy import Grant, GrantState
from huitong.model.sharing import Request, RequestEvent, RequestState
from huitong.sharing.ports import Side

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

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
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
        providers: Collection[str] | None = None,
        sharing: Collection[Sharing] | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> SearchPage:
        """Entries that hold every token, best first."""
        found = []
        for dataset_id, index in self._indexes.items():
            dataset = self._datasets[dataset_id]
            if providers is not None and dataset.provider not in providers:
                continue
            if sharing is not None and dataset.sharing not in sharing:
                continue
            if all(token in index for token in tokens):
                found.append((-sum(index[token] for token in set(tokens)), dataset_id))
        found.sort()
        page = tuple(self._datasets[dataset_id] for _, dataset_id in found[offset : offset + limit])
        return SearchPage(hits=page, total=len(found))

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Make it the current one."""
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
        return [actor for (name, _), actor in sorted(self._actors.items()) if name == person]


class MemorySharingStore(_Store):
    """SharingStore; also the gateway's Grants."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._numbers: dict[str, int] = {}
        self._requests: dict[str, Request] = {}
        self._grants: dict[str, Grant] = {}

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

    def append_event(self, request_id: str, event: RequestEvent, *, expected_events: int) -> None:
        """Add an event if none came in between."""
        request = self._requests[request_id]
        if len(request.events) != expected_events:
            raise Conflict.because("request-moved", request=request_id)
        self._set(self._requests, request_id, replace(request, events=(*request.events, event)))

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

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant."""
        if grant.id in self._grants:
            raise Conflict.because("grant-exists", grant=grant.id)
        self._set(self._grants, grant.id, grant)

    def grant(self, grant_id: str) -> Grant | None:
        """The grant of that id."""
        return self._grants.get(grant_id)

    def update_grant_state(self, grant: Grant, *, expected_state: GrantState) -> None:
        """Change the state if it still is what was expected."""
        stored = self._grants[grant.id]
        if stored.state is not expected_state:
            raise Conflict.because("grant-moved", grant=grant.id)
        changed = replace(
            stored, state=grant.state, revoked_at=grant.revoked_at, revoked_because=grant.revoked_because
        )
        self._set(self._grants, grant.id, changed)

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

    def grants_of_dataset(self, dataset_id: str, states: Collection[GrantState]) -> Sequence[Grant]:
        """Grants over a dataset, oldest first."""
        return [grant for grant in self._grants.values() if grant.dataset == dataset_id and grant.state in states]

    def grants_in_state(self, state: GrantState, *, limit: int = 100) -> Sequence[Grant]:
        """The oldest grants in that state."""
        return [grant for grant in self._grants.values() if grant.state is state][:limit]


class MemoryLedgerStore(_Store):
    """LedgerStore of `huitong.ledger`."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._pending: dict[str, Promise] = {}
        self._folded: list[Promise] = []
        self._index: dict[str, int] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._checkpoints: list[Checkpoint] = []
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

    query: str
    actor: Actor
    entries: tuple[str, ...]
    at: datetime


class MemoryUses(_Store):
    """Uses of `huitong.gateway.answer`."""

    def __init__(self, transactions: MemoryTransactions) -> None:
        super().__init__(transactions)
        self._uses: dict[str, Use] = {}

    def remember(self, *, query: str, actor: Actor, entries: Sequence[str], at: datetime) -> None:
        """Keep the entries of a query; told again, the new ones are added to the old."""
        before = self._uses[query].entries if query in self._uses else ()
        merged = (*before, *(entry for entry in entries if entry not in before))
        self._set(self._uses, query, Use(query=query, actor=actor, entries=merged, at=at))

    def entries_of(self, query: str) -> Sequence[str]:
        """The ledger entries of the query."""
        return self._uses[query].entries if query in self._uses else ()

    def office_of(self, query: str) -> str | None:
        """The office that made the query."""
        return self._uses[query].actor.office if query in self._uses else None


class MemorySideTables:
    """SideTableBuilder of sharing and SideTables of the gateway: remembers what was built, makes no files."""

    def __init__(self) -> None:
        self.built: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        """(linkage group, dataset, item) -> versions of snapshots."""
        self.fails = False
        """Set to make the next builds fail, as a full disk would."""

    def build(self, linkage_group: str, dataset: Dataset, item: str, snapshot: Snapshot) -> None:
        """Remember that the side table holds the snapshot."""
        if self.fails:
            raise OSError("no space left on device")
        self.built[linkage_group, dataset.id, item].add(snapshot.version)

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int) -> tuple[str, ...]:
        """A name that stands for the file, if the side table holds that snapshot."""
        held = snapshot_version in self.built.get((linkage_group, dataset_id, item), set())
        return (f"side/{linkage_group}/{dataset_id}/{item}.parquet",) if held else ()


class MemoryDivisions:
    """Divisions of the gateway and DivisionTree of sharing over a few codes: at or below by parent."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self._parents = dict(parents)

    def codes_under(self, division_code: str, at: date) -> frozenset[str]:  # noqa: ARG002
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
        payload = json.dumps({"kind": kind, "body": body}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
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


class MemoryStores:
    """One of each over one transaction log."""

    def __init__(self) -> None:
        self.transactions = MemoryTransactions()
        self.epoch = MemoryEpoch(self.transactions)
        self.catalog = MemoryCatalogStore(self.transactions)
        self.parties = MemoryPartyStore(self.transactions)
        self.sharing = MemorySharingStore(self.transactions)
        self.ledger = MemoryLedgerStore(self.transactions)
        self.uses = MemoryUses(self.transactions)
        self.side_tables = MemorySideTables()

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction over all of them."""
        return self.transactions.atomic()
