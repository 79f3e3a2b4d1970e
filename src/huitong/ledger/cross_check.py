"""The audit's second half: what the tables beside the ledger say must be what the ledger says.

The tree proves that no entry was changed; it cannot prove that none is missing at its end, nor that the tables which are enforced
still say what was recorded. Here every grant, request, snapshot and use that is kept is looked for among the entries, and back.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol

from huitong.errors import Reason
from huitong.ledger.log import LedgerStore
from huitong.ledger.uses import OF_USES, UseOfData, uses_of_data
from huitong.model.ledger import EntryKind, Promise
from huitong.model.policy import epsilon_text
from huitong.model.pseudonym import FIRST, KeyEpoch

READ_AT_ONCE = 1000
"""Entries of one read."""

MAXIMUM_FAULTS = 1000
"""Faults that are listed."""


NOT_TOLD = "?"
"""What stands where a table does not tell from which grant another came; no grant has such a name."""


@dataclass(frozen=True)
class KeptGrant:
    """A grant as its table tells it."""

    id: str
    terms_hash: str
    """As kept."""
    computed_hash: str
    """Of the terms as kept; empty if they cannot be read."""
    state: str
    moved_from: str | None = NOT_TOLD
    """The grant whose place it took, or None; NOT_TOLD if the table is one that does not tell."""


@dataclass(frozen=True)
class KeptRequest:
    """A request as its table tells it."""

    id: str
    state: str


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot as its table tells it."""

    dataset: str
    version: int
    rows: int
    rejected_rows: int
    source_hash: str
    files: int


@dataclass(frozen=True)
class KeptCase:
    """A case of re-identification as its tables tell it."""

    id: str
    state: str
    """By its events."""
    asked: tuple[object, ...]
    """Grant, item, officer, post, hash of the tokens."""
    agreed: tuple[object, ...]
    """Reveals and end, once it was agreed to."""
    reveals: int
    """How many were begun."""


class Records(Protocol):
    """The tables beside the ledger."""

    def grants(self) -> Iterable[KeptGrant]:
        """Every grant."""

    def requests(self) -> Iterable[KeptRequest]:
        """Every request."""

    def snapshots(self) -> Iterable[KeptSnapshot]:
        """Every snapshot."""

    def reidentifications(self) -> Iterable[KeptCase]:
        """Every case of re-identification."""

    def uses_of_data(self) -> Iterable[UseOfData]:
        """The lines that tell who used which data, in the order of the ledger."""

    def budgets(self) -> Iterable[tuple[str, int]]:
        """Every account of noised totals, with what was spent."""

    def key_epochs(self) -> Iterable[KeyEpoch]:
        """Every key epoch of a linkage group that was noted."""

    def uses_without_entry(self, limit: int) -> Sequence[tuple[str, str]]:
        """Queries with an entry of theirs that is neither pending nor folded; the entry is empty if a query has none at all."""


GRANT_STATES = {EntryKind.GRANT_ACTIVATED: "active", EntryKind.GRANT_REVOKED: "revoked"}
GRANTS_BEGIN = (EntryKind.GRANT_MADE, EntryKind.GRANT_MOVED)
REQUEST_STATES = {
    EntryKind.REQUEST_SUBMITTED: "under-review",
    EntryKind.REQUEST_APPROVED: "granted",
    EntryKind.REQUEST_REFUSED: "refused",
    EntryKind.REQUEST_WITHDRAWN: "withdrawn",
    EntryKind.REQUEST_SUPPLEMENT_ASKED: "supplement-asked",
    EntryKind.REQUEST_SUPPLEMENTED: "under-review",
    EntryKind.REQUEST_LAPSED: "lapsed",
}

CASE_STATES = {
    EntryKind.REIDENTIFICATION_ASKED: "under-review",
    EntryKind.REIDENTIFICATION_ENDORSED: "under-review",
    EntryKind.REIDENTIFICATION_APPROVED: "agreed",
    EntryKind.REIDENTIFICATION_REFUSED: "refused",
    EntryKind.REIDENTIFICATION_WITHDRAWN: "withdrawn",
    EntryKind.REIDENTIFICATION_REVOKED: "revoked",
    EntryKind.REIDENTIFICATION_ENDED: "ended",
}
TELLING = {
    *GRANTS_BEGIN, *GRANT_STATES, *REQUEST_STATES, *CASE_STATES, EntryKind.GRANT_EXTENDED, EntryKind.OFFICE_SUCCEEDED,
    EntryKind.SNAPSHOT_TAKEN, EntryKind.USE_INTENT, EntryKind.PSEUDONYMS_RENEWED,
}  # fmt: skip
"""Entries of which something stands in a table too."""


def cross_check(store: LedgerStore, records: Records) -> tuple[Reason, ...]:
    """Everything in which the tables and the ledger differ.

    Work goes on meanwhile: what differs is looked at a second time, and only what differs both times is told."""
    first = _differences(store, records)
    if not first:
        return ()
    second = set(_differences(store, records))
    return tuple(reason for reason in first if reason in second)[:MAXIMUM_FAULTS]


@dataclass(frozen=True)
class _Agreed:
    """What a grant says when it is made or moved, as far as a succession must not change it, and its parties."""

    digest: str
    """Of the dataset, the terms, the request and who signed."""
    loose: str
    """The same but for the values of conditions, of which an entry from before their sealing and one from after cannot be compared."""
    sealed: bool | None
    """Whether these values are sealed; None without any."""
    provider: object
    using_office: object


@dataclass
class _Told:
    """What the entries tell."""

    grants: dict[str, tuple[object, object]] = field(default_factory=dict)
    """Hash of the terms and state of each grant."""
    agreed: dict[str, _Agreed] = field(default_factory=dict)
    first_requests: dict[str, object] = field(default_factory=dict)
    """By which request each grant began: it keeps that one, whatever later ones extend it."""
    origins: dict[str, str] = field(default_factory=dict)
    """Of each grant that was moved to a successor, the one whose place it took."""
    successions: set[tuple[object, object]] = field(default_factory=set)
    """Each office that was succeeded, with its successor."""
    requests: dict[str, str] = field(default_factory=dict)
    snapshots: dict[tuple[object, object], tuple[object, ...]] = field(default_factory=dict)
    cases: dict[str, KeptCase] = field(default_factory=dict)
    """Cases of re-identification."""
    spent: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    """Of each use of noised totals the accounts and what it spends: by its outcome, or, as long as there is none, by its intent."""

    epochs: dict[tuple[str, int], tuple[int, datetime | None]] = field(default_factory=dict)
    """Of each key epoch, by linkage group and number, its key and when it began; a group's first one is told by what renewed it."""

    def take(self, promise: Promise) -> None:
        """One more entry; one that cannot be read is the audit's to name."""
        kind = promise.kind
        if kind in (EntryKind.USE_INTENT, EntryKind.USE_OUTCOME) and b'"epsilon":' in promise.payload:
            self._take_spending(kind, promise)
        if kind not in TELLING:
            return
        if kind is EntryKind.USE_INTENT and b'"reidentification":{' not in promise.payload:
            return
        try:
            body: dict[str, Any] = json.loads(promise.payload)["body"]
            if kind in CASE_STATES or kind is EntryKind.USE_INTENT:
                self._take_of_case(kind, body)
            elif kind in GRANTS_BEGIN:
                self.grants[body["grant"]] = (body["terms_hash"], body["state"])
                self.agreed[body["grant"]] = _agreed(body)
                self.first_requests[body["grant"]] = body.get("request")
                if kind is EntryKind.GRANT_MOVED:
                    self.origins[body["grant"]] = body["moved_from"]
            elif kind is EntryKind.OFFICE_SUCCEEDED:
                self.successions.add((body["succeeded"], body["successor"]))
            elif kind is EntryKind.PSEUDONYMS_RENEWED:
                group = body["linkage_group"]
                self.epochs.setdefault((group, body["before"]), (body["before_key"], None))
                self.epochs[group, body["number"]] = (body["key"], promise.at)
            elif kind is EntryKind.GRANT_EXTENDED:
                self.grants[body["grant"]] = (body["terms_hash"], self.grants[body["grant"]][1])
                self.agreed[body["grant"]] = _agreed({**body, "request": self.first_requests[body["grant"]]})
            elif kind in GRANT_STATES:
                self.grants[body["grant"]] = (body["terms_hash"], GRANT_STATES[kind])
            elif kind in REQUEST_STATES:
                self.requests[body["request"]] = REQUEST_STATES[kind]
            else:
                self.snapshots[body["dataset"], body["version"]] = tuple(
                    body[name] for name in ("rows", "rejected_rows", "source_hash", "files")
                )
        except (ValueError, KeyError, TypeError, RecursionError):
            return

    def _take_spending(self, kind: EntryKind, promise: Promise) -> None:
        """The intent or outcome of a use of noised totals."""
        try:
            body: dict[str, Any] = json.loads(promise.payload)["body"]
            if kind is EntryKind.USE_INTENT:
                (used,) = body["grants"]
                accounts = (f"grant:{used['grant']}", f"office:{body['office']}:{used['dataset']}")
                self.spent[body["query"]] = (accounts, int(body["epsilon"]))
            else:
                self.spent[body["query"]] = (self.spent[body["query"]][0], int(body["epsilon"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return

    def _take_of_case(self, kind: EntryKind, body: dict[str, Any]) -> None:
        """An entry of a case, or the intent of a use, which may be a reveal."""
        if kind is EntryKind.USE_INTENT:
            if (told := body.get("reidentification")) is not None:
                case = self.cases[told["reidentification"]]
                self.cases[case.id] = replace(case, reveals=case.reveals + 1)
            return
        name = body["reidentification"]
        if kind is EntryKind.REIDENTIFICATION_ASKED:
            asked = tuple(body[part] for part in ("grant", "item", "officer", "officer_post", "tokens_hash"))
            self.cases[name] = KeptCase(name, CASE_STATES[kind], asked, (), 0)
            return
        agreed = (body["reveals"], body["until"]) if kind is EntryKind.REIDENTIFICATION_APPROVED else self.cases[name].agreed
        self.cases[name] = replace(self.cases[name], state=CASE_STATES[kind], agreed=agreed)


def _differences(store: LedgerStore, records: Records) -> list[Reason]:
    grants = {grant.id: grant for grant in records.grants()}
    requests = {request.id: request for request in records.requests()}
    snapshots = {(snapshot.dataset, snapshot.version): snapshot for snapshot in records.snapshots()}
    cases = {case.id: case for case in records.reidentifications()}
    epochs = {(epoch.linkage_group, epoch.number): epoch for epoch in records.key_epochs()}
    lines = _Lines(iter(records.uses_of_data()))
    told = _told(store, lines)
    budgets = dict(records.budgets())  # they grow before the ledger tells of it, so they are read after it
    faults: list[Reason] = [*lines.faults]
    for grant in grants.values():
        faults += _of_grant(grant, told)
    for request in requests.values():
        state = told.requests.get(request.id)
        if state is None:
            faults.append(Reason("audit-request-unrecorded", {"request": request.id}))
        elif state != request.state:
            faults.append(Reason("audit-request-state", {"request": request.id, "state": request.state, "recorded": state}))
    for (dataset, version), snapshot in snapshots.items():
        recorded = told.snapshots.get((dataset, version))
        if recorded is None:
            faults.append(Reason("audit-snapshot-unrecorded", {"dataset": dataset, "version": version}))
        elif recorded != (snapshot.rows, snapshot.rejected_rows, snapshot.source_hash, snapshot.files):
            faults.append(Reason("audit-snapshot-altered", {"dataset": dataset, "version": version}))
    for case in cases.values():
        faults += _of_case(case, told.cases.get(case.id))
    faults += [Reason("audit-case-missing", {"reidentification": case}) for case in told.cases if case not in cases]
    faults += _of_budgets(budgets, told)
    faults += _of_moves(told)
    faults += _of_epochs(epochs, told)
    faults += [Reason("audit-grant-missing", {"grant": grant}) for grant in told.grants if grant not in grants]
    faults += [Reason("audit-request-missing", {"request": request}) for request in told.requests if request not in requests]
    for key in told.snapshots:
        if key not in snapshots:
            faults.append(Reason("audit-snapshot-missing", {"dataset": str(key[0]), "version": str(key[1])}))
    for query, entry in records.uses_without_entry(MAXIMUM_FAULTS):
        if entry:
            faults.append(Reason("audit-use-unrecorded", {"query": query, "entry": entry}))
        else:
            faults.append(Reason("audit-use-without-entries", {"query": query}))
    return faults


def _of_grant(grant: KeptGrant, told: _Told) -> list[Reason]:
    if grant.id not in told.grants:
        return [Reason("audit-grant-unrecorded", {"grant": grant.id})]
    terms_hash, state = told.grants[grant.id]
    faults = []
    if not terms_hash == grant.terms_hash == grant.computed_hash:
        faults.append(Reason("audit-grant-altered", {"grant": grant.id}))
    origin = told.origins.get(grant.id)
    if grant.moved_from not in (NOT_TOLD, origin):
        about = {"grant": grant.id, "kept": grant.moved_from or "-", "recorded": origin or "-"}
        faults.append(Reason("audit-grant-move-origin", about))
    if state != grant.state:
        faults.append(Reason("audit-grant-state", {"grant": grant.id, "state": grant.state, "recorded": str(state)}))
    return faults


def _of_case(case: KeptCase, told: KeptCase | None) -> list[Reason]:
    """A reveal is noted before its intent is written, so that there may be fewer intents than reveals, and never more."""
    about: dict[str, str | int] = {"reidentification": case.id}
    if told is None:
        return [Reason("audit-case-unrecorded", about)]
    faults = []
    if case.state != told.state:
        faults.append(Reason("audit-case-state", {**about, "state": case.state, "recorded": told.state}))
    if (case.asked, case.agreed) != (told.asked, told.agreed):
        faults.append(Reason("audit-case-altered", about))
    if case.reveals < told.reveals:
        faults.append(Reason("audit-case-reveals", {**about, "reveals": case.reveals, "recorded": told.reveals}))
    return faults


def _of_budgets(budgets: Mapping[str, int], told: _Told) -> list[Reason]:
    """A budget is spent before its intent is written, so that less may be told than is spent, and never more."""
    recorded: Counter[str] = Counter()
    for accounts, amount in told.spent.values():
        for account in accounts:
            recorded[account] += amount
    return [
        Reason("audit-noised-budget", {"account": account, "recorded": epsilon_text(amount), "kept": epsilon_text(budgets.get(account, 0))})
        for account, amount in sorted(recorded.items())
        if budgets.get(account, 0) < amount
    ]


def _of_epochs(epochs: Mapping[tuple[str, int], KeyEpoch], told: _Told) -> list[Reason]:
    """The first epoch of a group is noted when its first grant becomes active, and no entry tells of it before its renewal; its key is one
    that was there. Every later one has an entry."""
    newest = max((key for key, _ in told.epochs.values()), default=FIRST)
    faults = []
    for (group, number), epoch in epochs.items():
        about: dict[str, str | int] = {"group": group, "number": number}
        if (group, number) in told.epochs:
            if told.epochs[group, number] != (epoch.key, epoch.began_at):
                faults.append(Reason("audit-key-epoch-altered", about))
        elif number != FIRST or epoch.key > newest or epoch.began_at is not None:
            faults.append(Reason("audit-key-epoch-unrecorded", about))
    lost = [key for key in told.epochs if key not in epochs]
    return [*faults, *(Reason("audit-key-epoch-missing", {"group": group, "number": number}) for group, number in lost)]


def _of_moves(told: _Told) -> list[Reason]:
    """Every grant that took the place of another on other terms than its, beside it, or without an office being succeeded."""
    faults = []
    for grant, origin in told.origins.items():
        about = {"grant": grant, "origin": str(origin)}
        new, old = told.agreed[grant], told.agreed.get(origin)
        if told.grants.get(origin, ("", ""))[1] != GRANT_STATES[EntryKind.GRANT_REVOKED]:
            faults.append(Reason("audit-grant-move-unrevoked", about))
        if old is None or _differ(old, new):
            faults.append(Reason("audit-grant-move-altered", about))
            continue
        pairs = {(old.provider, new.provider), (old.using_office, new.using_office)}
        passed = {(before, after) for before, after in pairs if before != after}
        if not passed or not passed <= told.successions:
            faults.append(Reason("audit-grant-move-parties", about))
    return faults


def _agreed(body: dict[str, Any]) -> _Agreed:
    lasting = {name: body.get(name) for name in ("dataset", "terms", "request", "signed_by", "version")}
    terms = lasting["terms"] if isinstance(lasting["terms"], dict) else {}
    condition = [one for one in terms.get("condition") or () if isinstance(one, dict)]
    held = [one["values"] for one in condition if one.get("values")]
    loose = {**lasting, "terms": {**terms, "condition": [{**one, "values": None} for one in condition]}}
    sealed = isinstance(held[0], dict) if held else None
    return _Agreed(_digest(lasting), _digest(loose), sealed, body.get("provider"), body.get("using_office"))


def _differ(old: _Agreed, new: _Agreed) -> bool:
    return old.digest != new.digest if old.sealed == new.sealed else old.loose != new.loose


def _digest(value: object) -> str:
    return sha256(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class _Lines:
    """The kept lines of "who used which data" beside those that the ledger gives, some entries at a time."""

    def __init__(self, kept: Iterator[UseOfData]) -> None:
        self.faults: list[Reason] = []
        self._kept = kept
        self._next = next(kept, None)
        self._entries: list[tuple[int, Promise]] = []
        self._open: dict[str, Promise] = {}
        """Intents whose outcome was not seen yet."""

    def take(self, place: int, promise: Promise) -> None:
        """One more folded entry."""
        if promise.kind in OF_USES:
            self._entries.append((place, promise))
        if len(self._entries) >= READ_AT_ONCE:
            self.compare(place + 1)

    def compare(self, end: int) -> None:
        """Those of the entries so far, which stand before `end`."""
        told = {(line.place, line.position): line for line in uses_of_data(self._entries, self._intents)}
        for _, promise in self._entries:
            if promise.kind is EntryKind.USE_INTENT:
                self._open[promise.entry] = promise
        kept: dict[tuple[int, int], UseOfData] = {}
        while self._next is not None and self._next.place < end:
            kept[self._next.place, self._next.position] = self._next
            self._next = next(self._kept, None)
        for key in sorted(told.keys() | kept.keys()):
            if told.get(key) != kept.get(key) and len(self.faults) < MAXIMUM_FAULTS:
                line = told.get(key) or kept[key]
                self.faults.append(Reason("audit-use-of-data-altered", {"query": line.query, "dataset": line.dataset, "place": key[0]}))
        self._entries = []

    def end(self, size: int) -> None:
        """There are no more entries than `size`; lines of further ones are wrong too."""
        self.compare(size)
        while self._next is not None:
            self.compare(self._next.place + 1)

    def _intents(self, entries: Collection[str]) -> Mapping[str, Promise]:
        """Each has one outcome: it is not asked for again."""
        return {entry: promise for entry in entries if (promise := self._open.pop(entry, None)) is not None}


def _told(store: LedgerStore, lines: _Lines) -> _Told:
    """Pending entries are read before the tree, so that none is missed while it is folded; they are taken last."""
    told = _Told()
    try:
        waiting = {promise.entry: promise for promise in store.pending(1_000_000)}
    except Exception:
        waiting = {}  # damaged: the audit of the tree names it, and what they told is missing here
    size = 0
    for place, promise in _folded(store):
        told.take(promise)
        lines.take(place, promise)
        size = place + 1
        waiting.pop(promise.entry, None)
    lines.end(size)
    for promise in waiting.values():
        told.take(promise)
    return told


def _folded(store: LedgerStore) -> Iterator[tuple[int, Promise]]:
    """Every folded entry that can be read, with its place, in order."""
    for start in range(0, size := store.size(), READ_AT_ONCE):
        end = min(start + READ_AT_ONCE, size)
        try:
            yield from list(enumerate(islice(store.entries(start, end), end - start), start))
        except Exception:
            for index in range(start, end):
                try:
                    promise = store.entry(index)
                except Exception:  # noqa: S112 - the audit of the tree names it
                    continue
                yield index, promise
