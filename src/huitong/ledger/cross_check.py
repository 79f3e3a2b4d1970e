"""The audit's second half: what the tables beside the ledger say must be what the ledger says.

The tree proves that no entry was changed; it cannot prove that none is missing at its end, nor that the tables which are enforced
still say what was recorded. Here every grant, request, snapshot and use that is kept is looked for among the entries, and back.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from huitong.errors import Reason
from huitong.ledger.log import LedgerStore
from huitong.model.ledger import EntryKind, Promise

READ_AT_ONCE = 1000
"""Entries of one read."""

MAXIMUM_FAULTS = 1000
"""Faults that are listed."""


@dataclass(frozen=True)
class KeptGrant:
    """A grant as its table tells it."""

    id: str
    terms_hash: str
    """As kept."""
    computed_hash: str
    """Of the terms as kept; empty if they cannot be read."""
    state: str


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


class Records(Protocol):
    """The tables beside the ledger."""

    def grants(self) -> Iterable[KeptGrant]:
        """Every grant."""

    def requests(self) -> Iterable[KeptRequest]:
        """Every request."""

    def snapshots(self) -> Iterable[KeptSnapshot]:
        """Every snapshot."""

    def uses_without_entry(self, limit: int) -> Sequence[tuple[str, str]]:
        """Queries with an entry of theirs that is neither pending nor folded; the entry is empty if a query has none at all."""


GRANT_STATES = {EntryKind.GRANT_ACTIVATED: "active", EntryKind.GRANT_REVOKED: "revoked"}
REQUEST_STATES = {
    EntryKind.REQUEST_SUBMITTED: "under-review",
    EntryKind.REQUEST_APPROVED: "granted",
    EntryKind.REQUEST_REFUSED: "refused",
    EntryKind.REQUEST_WITHDRAWN: "withdrawn",
}


def cross_check(store: LedgerStore, records: Records) -> tuple[Reason, ...]:
    """Everything in which the tables and the ledger differ.

    Work goes on meanwhile: what differs is looked at a second time, and only what differs both times is told."""
    first = _differences(store, records)
    if not first:
        return ()
    second = set(_differences(store, records))
    return tuple(reason for reason in first if reason in second)[:MAXIMUM_FAULTS]


@dataclass
class _Told:
    """What the entries tell."""

    grants: dict[str, tuple[object, object]] = field(default_factory=dict)
    """Hash of the terms and state of each grant."""
    requests: dict[str, str] = field(default_factory=dict)
    snapshots: dict[tuple[object, object], tuple[object, ...]] = field(default_factory=dict)

    def take(self, promise: Promise) -> None:
        """One more entry; one that cannot be read is the audit's to name."""
        kind = promise.kind
        if kind not in (EntryKind.GRANT_MADE, EntryKind.SNAPSHOT_TAKEN, *GRANT_STATES, *REQUEST_STATES):
            return
        try:
            body: dict[str, Any] = json.loads(promise.payload)["body"]
            if kind is EntryKind.GRANT_MADE:
                self.grants[body["grant"]] = (body["terms_hash"], body["state"])
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


def _differences(store: LedgerStore, records: Records) -> list[Reason]:
    grants = {grant.id: grant for grant in records.grants()}
    requests = {request.id: request for request in records.requests()}
    snapshots = {(snapshot.dataset, snapshot.version): snapshot for snapshot in records.snapshots()}
    told = _told(store)
    faults: list[Reason] = []
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
    if state != grant.state:
        faults.append(Reason("audit-grant-state", {"grant": grant.id, "state": grant.state, "recorded": str(state)}))
    return faults


def _told(store: LedgerStore) -> _Told:
    """Pending entries are read before the tree, so that none is missed while it is folded; they are taken last."""
    told = _Told()
    try:
        waiting = {promise.entry: promise for promise in store.pending(1_000_000)}
    except Exception:
        waiting = {}  # damaged: the audit of the tree names it, and what they told is missing here
    for promise in _folded(store):
        told.take(promise)
        waiting.pop(promise.entry, None)
    for promise in waiting.values():
        told.take(promise)
    return told


def _folded(store: LedgerStore) -> Iterator[Promise]:
    """Every folded entry that can be read, in order."""
    for start in range(0, size := store.size(), READ_AT_ONCE):
        end = min(start + READ_AT_ONCE, size)
        try:
            yield from list(islice(store.entries(start, end), end - start))
        except Exception:
            for index in range(start, end):
                try:
                    promise = store.entry(index)
                except Exception:  # noqa: S112 - the audit of the tree names it
                    continue
                yield promise
