"""The door *extract*: the rows of a grant as one file, cut, masked and written once per grant version, snapshot, items and form.

An extract is asked for, then made by the background worker, then fetched under a signed address (`addresses.py`). Each step is decided
by the gateway: asking meets the same refusals as a query of the same rows, making is a use with its intent and outcome, and a file is
fetched only while its grant would still allow it to be made. Asking again for what is ready gives the same file, and is a new use in
the ledger. Of a quota, the making takes a call and the rows, once; asking again for what is ready takes a call, and so does
each address that is followed, however often it is: neither takes the rows again.

A run leaves nothing visible until the file is whole, on the disk and in the ledger: it writes beside its place, under a lock that ends
with its process. A run whose process was killed is begun again; its use then stands in the ledger twice, never not at all."""

import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from huitong.catalog.ports import NoBoard, NoticeBoard
from huitong.delivery.formats import FileWriter
from huitong.delivery.limits import DeliveryLimits, read_limits
from huitong.delivery.ports import DeliveryStore, Entries, EntryLog, GrantsById, People
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Reason, Refused, Unavailable
from huitong.gateway.answer import Explanation, Outflow
from huitong.gateway.plan import Plan
from huitong.lake.leases import Marks
from huitong.model.delivery import Extract, ExtractForm, ExtractState
from huitong.model.ledger import EntryKind
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Actor
from huitong.model.policy import Grant
from huitong.model.query import EngineLimits, QueryRequest

_LOG = logging.getLogger("huitong.delivery")
_NOT_DONE = (ExtractState.WAITING, ExtractState.RUNNING)
_TOLD = {ExtractState.READY: NoticeKind.EXTRACT_READY, ExtractState.FAILED: NoticeKind.EXTRACT_FAILED}


class Transactions(Protocol):
    """One transaction."""

    def atomic(self) -> AbstractContextManager[None]:
        """All or nothing."""


class Streaming(Protocol):
    """The part of the gateway that extracts go through (`huitong.gateway.Gateway`)."""

    def planned(self, request: QueryRequest, *, actor: Actor, maximum_rows: int, grant: str | None = None) -> Plan:
        """What would run now; a refusal is recorded."""

    def stream(
        self, request: QueryRequest, *, actor: Actor, limits: EngineLimits, grant: str | None = None
    ) -> AbstractContextManager[Outflow]:
        """The rows, piece by piece."""

    def use_again(
        self,
        request: QueryRequest,
        *,
        actor: Actor,
        maximum_rows: int,
        rows: int,
        result_hash: str,
        fingerprint: str,
        grant: str | None = None,
    ) -> str:
        """A new use of rows that were written down."""

    def standing(self, request: QueryRequest, *, actor: Actor, grant: str | None = None) -> tuple[Reason, ...]:
        """Every reason against it now."""

    def why(self, request: QueryRequest, *, actor: Actor, counted: bool = True) -> Explanation:
        """What a statement would use; `counted`: whether quotas of queries stand against it."""


def statement(dataset: str, items: Sequence[str], *, ordered: bool = True) -> str:
    """The SELECT of an extract. The rows are ordered by all their items, from the left: the order in which they are stored would pair
    the rows of two files that share no item. Rows that are equal in all of them are the same row twice, so their order tells nothing."""
    table = ".".join(_quoted(part) for part in dataset.split("."))
    names = ", ".join(_quoted(item) for item in items) or "*"
    order = f" ORDER BY {names}" if ordered and items else ""
    return f"SELECT {names} FROM {table}{order}"  # noqa: S608 - quoted, and read by the gateway like any statement


def request_of(extract: Extract) -> QueryRequest:
    """The statement that an extract is the answer to, for its purpose."""
    return QueryRequest(sql=statement(extract.dataset, extract.items), purpose=extract.purpose)


@dataclass(frozen=True, kw_only=True)
class ExtractActions:
    """Ask for extracts, make them, look at them, remove their files."""

    store: DeliveryStore
    entries: Entries
    grants: GrantsById
    people: People
    transactions: Transactions
    ledger: EntryLog
    gateway: Streaming
    clock: Callable[[], datetime]
    folder: Path
    """Where the files lie (0700), each readable by its owner alone (0600)."""
    engine: EngineLimits
    """Memory and threads of one run; its time and rows come from `limits`."""
    notices: NoticeBoard = field(default_factory=NoBoard)
    limits: DeliveryLimits = field(default_factory=read_limits)

    # --- asking ---------------------------------------------------------------------------------------------------------

    def make(
        self,
        *,
        by: Actor,
        form: ExtractForm,
        grant: str | None = None,
        dataset: str | None = None,
        purpose: str | None = None,
        items: Collection[str] | None = None,
    ) -> Extract:
        """Ask for an extract: of a grant of one's office, or of a dataset for a purpose, under the grant that would carry a query.

        Without `items`: all that are granted. One that is ready is given again, as a new use; one that waits or runs is given as it is.
        Raises Refused with every reason that a query of these rows would meet (recorded, with its number), and `rows-alone`; NotFound
        `grant-unknown`; InputInvalid `extract-of-nothing`; Unavailable `extracts-waiting`."""
        wanted = self._wanted(grant, dataset, purpose, by)
        grant, named = wanted.grant, self._as_written(wanted.dataset, items or ())
        if not named:
            asked = QueryRequest(sql=statement(wanted.dataset, ()), purpose=wanted.purpose)
            found = self.gateway.why(asked, actor=by, counted=False)
            grant, named = self._all_granted(found, grant)
        request = QueryRequest(sql=statement(wanted.dataset, named), purpose=wanted.purpose)
        plan = self.gateway.planned(request, actor=by, maximum_rows=self._most(wanted.dataset), grant=grant)
        carried = plan.datasets[0].grant
        extract = Extract(
            id="x-" + secrets.token_hex(8),
            dataset=plan.datasets[0].dataset,
            items=named,
            form=form,
            purpose=wanted.purpose,
            office=by.office,
            person=by.person,
            post=by.post,
            grant=carried.id,
            grant_version=carried.version,
            terms_hash=carried.terms_hash,
            snapshot=plan.datasets[0].snapshot,
            fingerprint=plan.fingerprint,
            asked_at=self.clock(),
            rows_expected=plan.datasets[0].read.rows,
        )
        return self._once(extract, request, by)

    def _once(self, extract: Extract, request: QueryRequest, by: Actor) -> Extract:
        """The one extract of this key: the one there is, used again, or this one."""
        while True:
            there = self.store.same_extract(extract.key)
            if there is None:
                waiting = self.store.extracts_in(_NOT_DONE, office=by.office)
                if len(waiting) >= self.limits.waiting_of_an_office:
                    raise Unavailable.because("extracts-waiting", office=by.office, limit=self.limits.waiting_of_an_office)
                with suppress(Conflict), self.transactions.atomic():  # somebody else was faster: look again
                    self.store.add_extract(extract)
                    return extract
                continue
            if there.state is ExtractState.READY and (faults := self._faults_of_file(there)):
                self._remove(there, faults)
                continue
            if there.state is ExtractState.READY:
                self.gateway.use_again(
                    request,
                    actor=by,
                    maximum_rows=self.most_rows(there),
                    rows=there.rows,
                    result_hash=there.sha256,
                    fingerprint=there.fingerprint,
                    grant=there.grant,
                )
            return there

    def _wanted(self, grant_id: str | None, dataset: str | None, purpose: str | None, by: Actor) -> "_Wanted":
        if grant_id is None:
            if dataset is None or purpose is None:
                raise InputInvalid.because("extract-of-nothing")
            return _Wanted(dataset, purpose, None)
        grant = self.grants.grant(grant_id)
        if grant is None or grant.using_office != by.office:
            raise NotFound.because("grant-unknown", grant=grant_id)
        if dataset is not None and dataset.lower() != grant.dataset.lower():
            raise InputInvalid.because("extract-grant-of-other-dataset", grant=grant.id, dataset=grant.dataset)
        return _Wanted(grant.dataset, purpose or grant.terms.purpose.code, grant.id)

    def _most(self, dataset: str) -> int:
        """As many rows as the snapshot holds, and no more than one file may have: as much is reserved of a quota while it is made."""
        snapshot = self.entries.current_snapshot(dataset)
        return self.limits.maximum_rows if snapshot is None else min(snapshot.rows, self.limits.maximum_rows)

    def most_rows(self, extract: Extract) -> int:
        """The same of an extract that was asked for."""
        return min(extract.rows_expected, self.limits.maximum_rows)

    def _as_written(self, dataset: str, items: Collection[str]) -> tuple[str, ...]:
        """The items in the letters of the entry; names that it does not know stay as they are."""
        entry = self.entries.dataset(dataset)
        known = {item.name.lower(): item.name for item in entry.items} if entry else {}
        return tuple(dict.fromkeys(known.get(name.lower(), name) for name in items))

    def _all_granted(self, found: Explanation, grant_id: str | None) -> tuple[str | None, tuple[str, ...]]:
        """The grant and its items in the order of the entry; nothing named if the whole is refused, so that the gateway says why."""
        grant = self.grants.grant(grant_id) if grant_id else None
        if grant is None and found.allowed and found.datasets[0].grant is not None:
            grant = self.grants.grant(found.datasets[0].grant)
        if grant is None:
            return grant_id, ()
        entry = self.entries.dataset(grant.dataset)
        granted = {term.item.lower() for term in grant.terms.items}
        there = [item.name for item in entry.items if item.name.lower() in granted] if entry else []
        return grant.id, tuple(there)

    # --- looking --------------------------------------------------------------------------------------------------------

    def show(self, extract_id: str, *, by: Actor) -> Extract:
        """An extract of one's own office. Raises NotFound `extract-unknown`, also for those of others."""
        extract = self.store.extract(extract_id)
        if extract is None or extract.office != by.office:
            raise NotFound.because("extract-unknown", extract=extract_id)
        return extract

    def list(self, *, by: Actor, limit: int = 50, offset: int = 0) -> tuple[Sequence[Extract], int]:
        """Extracts of one's own office, newest first; and how many in all."""
        return self.store.extracts_of(by.office, limit=limit, offset=offset)

    # --- making ---------------------------------------------------------------------------------------------------------

    def run_waiting(self, *, stop: Callable[[], bool] = lambda: False) -> Sequence[Extract]:
        """Make what waits, and what a killed process left, the oldest first; one at a time. For the worker, or in line."""
        done = []
        for extract in self.store.extracts_in(_NOT_DONE):
            if stop():
                break
            with suppress(Conflict):  # another process makes it, or it changed at the same moment
                done.append(self.run(extract.id))
        return done

    def run(self, extract_id: str) -> Extract:
        """Make one extract, if it waits or its process ended. What goes wrong is kept with it; nothing is raised for that."""
        with self._making(extract_id):
            extract = self.store.extract(extract_id)
            if extract is None:
                raise NotFound.because("extract-unknown", extract=extract_id)
            if extract.state not in _NOT_DONE:
                return extract
            running = replace(extract, state=ExtractState.RUNNING, attempts=extract.attempts + 1, rows=0)
            self._change(running, expected=extract.state)
            part = self.folder / f"{extract.id}.part"
            try:
                return self._write(running, part)
            except Unavailable as failure:
                again = running.attempts < self.limits.attempts
                return self._failed(running, failure.reasons, ExtractState.WAITING if again else ExtractState.FAILED)
            except HuitongError as failure:
                return self._failed(running, failure.reasons, ExtractState.FAILED)
            except Exception as failure:
                _LOG.error("extract %s could not be made: %s", extract.id, type(failure).__name__)
                return self._failed(running, (Reason("extract-not-written", {"extract": extract.id}),), ExtractState.FAILED)
            finally:
                part.unlink(missing_ok=True)

    def _write(self, extract: Extract, part: Path) -> Extract:
        actor = self.actor(extract.person, extract.post, extract.office)
        limits = replace(self.engine, seconds=float(self.limits.engine_seconds), maximum_rows=self.most_rows(extract))
        with self.gateway.stream(request_of(extract), actor=actor, limits=limits, grant=extract.grant) as flow:
            if flow.plan.fingerprint != extract.fingerprint:
                raise Conflict.because("extract-superseded")
            with self._disk(extract), FileWriter(part, extract.form) as file:
                told = time.monotonic()
                for batch in flow.batches():
                    file.write(batch)
                    if time.monotonic() - told >= self.limits.look_again_seconds:
                        told = time.monotonic()
                        self.store.progress(extract.id, file.rows)
                        self.actor(extract.person, extract.post, extract.office)
                sha256, size = file.finish(), file.bytes
            rows = flow.settle(result_hash=sha256)
        ready = replace(
            extract,
            state=ExtractState.READY,
            rows=rows,
            bytes=size,
            sha256=sha256,
            query=flow.query,
            ready_at=self.clock(),
            reasons=(),
        )
        with self._disk(extract):
            part.replace(self._file(ready))
            self._write_manifest(ready)
        self._change(ready, expected=ExtractState.RUNNING)
        return ready

    @contextmanager
    def _disk(self, extract: Extract) -> Iterator[None]:
        """What the disk says stays in the log: it holds a path."""
        try:
            yield
        except OSError as failure:
            _LOG.error("extract %s could not be written: %s", extract.id, type(failure).__name__)
            raise Unavailable.because("extract-not-written", extract=extract.id) from None

    def _write_manifest(self, extract: Extract) -> None:
        fresh = self.folder / f"{extract.id}.manifest"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(extract.manifest(), file, ensure_ascii=False, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(handle)
        fresh.replace(self.folder / f"{extract.id}.json")
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _failed(self, extract: Extract, reasons: tuple[Reason, ...], state: ExtractState) -> Extract:
        failed = replace(extract, state=state, reasons=reasons, rows=0)
        self._change(failed, expected=ExtractState.RUNNING)
        return failed

    # --- ending ---------------------------------------------------------------------------------------------------------

    def sweep(self) -> Sequence[Extract]:
        """Remove the files whose time is over: of grants that ended, of snapshots that are gone or long superseded, of old ones; and
        what killed runs left. For the worker, after each change of a rule and each minute. Returns what was removed."""
        now = self.clock()
        removed = []
        for extract in self.store.extracts_in((ExtractState.READY,)):
            if reasons := self._ended(extract, now):
                with suppress(Conflict):
                    removed.append(self._remove(extract, reasons))
        with self.transactions.atomic():
            self.store.forget_addresses(now - self.limits.keep)
        self._sweep_files()
        return removed

    def _faults_of_file(self, extract: Extract) -> tuple[Reason, ...]:
        if not self._file(extract).exists():
            return (Reason("extract-file-missing", {"extract": extract.id}),)
        return self.faults_of_data(extract)

    def faults_of_data(self, extract: Extract) -> tuple[Reason, ...]:
        """Why the file of a ready extract may not be given any more, whatever its grant says: its snapshot is gone, or its time over."""
        return self._ended_of_data(extract, self.clock())

    def _ended(self, extract: Extract, now: datetime) -> tuple[Reason, ...]:
        grant = self.grants.grant(extract.grant)
        if grant is None or grant.version != extract.grant_version or not grant.valid_at(now):
            return (_grant_ended(extract, grant, now),)
        return self._ended_of_data(extract, now)

    def _ended_of_data(self, extract: Extract, now: datetime) -> tuple[Reason, ...]:
        about: dict[str, str | int] = {"extract": extract.id}
        snapshot = self.entries.snapshot(extract.dataset, extract.snapshot)
        if snapshot is None or snapshot.removed_at is not None:
            return (Reason("extract-snapshot-removed", about),)
        current = self.entries.current_snapshot(extract.dataset)
        if current is not None and current.version != extract.snapshot and current.taken_at + self.limits.superseded <= now:
            return (Reason("extract-superseded"),)
        if extract.ready_at is not None and extract.ready_at + self.limits.keep <= now:
            return (Reason("extract-too-old", {**about, "days": self.limits.keep_days}),)
        return ()

    def _remove(self, extract: Extract, reasons: tuple[Reason, ...]) -> Extract:
        gone = replace(extract, state=ExtractState.REMOVED, reasons=reasons, removed_at=self.clock())
        with self.transactions.atomic():
            self.store.change_extract(gone, expected_state=ExtractState.READY)
            body = {**about(extract), "because": [reason.code for reason in reasons]}
            self.ledger.append(kind=EntryKind.EXTRACT_REMOVED, body=body)
        self._unlink(gone)
        return gone

    def _unlink(self, extract: Extract) -> None:
        for name in (extract.file, f"{extract.id}.json", f"{extract.id}.manifest", f"{extract.id}.part"):
            (self.folder / name).unlink(missing_ok=True)

    def _sweep_files(self) -> None:
        """Files that no ready extract owns: what a killed run left, or a removal that was cut short."""
        if not self.folder.is_dir():
            return
        running = self.folder / "running"
        for name in [path.name for path in running.iterdir()] if running.is_dir() else []:
            extract = self.store.extract(name)
            if extract is None or extract.state not in _NOT_DONE:  # never made again: nobody will hold this name
                (running / name).unlink(missing_ok=True)
        for name in {path.name.partition(".")[0] for path in self.folder.iterdir() if path.is_file()}:
            extract = self.store.extract(name)
            if extract is not None and extract.state is ExtractState.READY:
                continue
            with suppress(Conflict), self._making(name):
                now = self.store.extract(name)
                if now is None or now.state is not ExtractState.READY:
                    for path in self.folder.glob(f"{name}.*"):
                        path.unlink(missing_ok=True)

    # --- inside ---------------------------------------------------------------------------------------------------------

    def actor(self, person: str, post: str, office: str) -> Actor:
        """The person in that post, as it stands now. Raises Refused `post-ended`."""
        for actor in self.people.actors_of(person):
            if (actor.post, actor.office) == (post, office):
                return actor
        raise Refused.because("post-ended", person=person, post=post)

    def open_file(self, extract: Extract) -> int:
        """A descriptor of the file of a ready extract. Raises NotFound `extract-removed`."""
        try:
            return os.open(self._file(extract), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            raise NotFound.because("extract-removed", extract=extract.id) from None

    def _file(self, extract: Extract) -> Path:
        return self.folder / extract.file

    @contextmanager
    def _making(self, extract_id: str) -> Iterator[None]:
        """Nobody else makes this extract meanwhile; the lock ends with the process. Raises Conflict `extract-running`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        marks = Marks(self.folder / "running")
        with marks.held(extract_id, otherwise=Conflict(Reason("extract-running", {"extract": extract_id}))):
            yield

    def _change(self, extract: Extract, *, expected: ExtractState) -> None:
        with self.transactions.atomic():
            self.store.change_extract(extract, expected_state=expected)
            if extract.state in _TOLD:
                self.notices.post(self._notice(extract, _TOLD[extract.state]))

    def _notice(self, extract: Extract, kind: NoticeKind) -> Notice:
        about = {"extract": extract.id, "grant": extract.grant, "dataset": extract.dataset}
        if extract.reasons:
            about["reason"] = extract.reasons[0].code
        return Notice(kind=kind, at=self.clock(), about=about, to_persons=(extract.person,), to_offices=(extract.office,))


@dataclass(frozen=True)
class _Wanted:
    dataset: str
    purpose: str
    grant: str | None


def about(extract: Extract) -> dict[str, Any]:
    """What an entry of the ledger says of an extract."""
    return {
        "extract": extract.id,
        "query": extract.query,
        "dataset": extract.dataset,
        "snapshot": extract.snapshot,
        "grant": extract.grant,
        "version": extract.grant_version,
        "office": extract.office,
        "result_hash": extract.sha256,
    }


def _grant_ended(extract: Extract, grant: Grant | None, now: datetime) -> Reason:
    if grant is not None and grant.revoked_at is None and now >= grant.terms.valid_until:
        return Reason("extract-grant-expired", {"extract": extract.id, "grant": extract.grant})
    return Reason("extract-grant-ended", {"extract": extract.id, "grant": extract.grant})


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
