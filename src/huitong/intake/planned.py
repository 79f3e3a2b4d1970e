"""Loads that happen by themselves: planned by a data officer, run by the worker in that officer's name, incremental where the source
says what changed.

How far a source was read moves on in the transaction that makes the snapshot current: whatever breaks off, the next run begins where
the last snapshot ends. A plan whose source fails is tried again after growing pauses and then stops, with the reason, until an
officer sets it going again.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from huitong.catalog.ports import CatalogStore, Clock, EntryLog, NoBoard, NoticeBoard, Transactions
from huitong.catalog.publish import refuse_unless_officer
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Reason, Refused, Unavailable
from huitong.intake.actions import IntakeActions
from huitong.intake.addresses import AllowedHosts, read_address
from huitong.intake.credentials import Credentials
from huitong.intake.databases import DatabaseTable, file_of_inbox, open_database, split_table
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.loads import Loading, LoadOptions, Progress
from huitong.intake.plans import LoadPlan, LoadRun, LoadSource, RunState, SourceKind
from huitong.intake.ports import LoadStore, SnapshotTaker
from huitong.intake.schedule import next_run
from huitong.intake.source import Reading
from huitong.intake.source_rules import source_rules
from huitong.model.catalog import Dataset, LoadMode, Snapshot
from huitong.model.ledger import EntryKind
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Actor, Role

_LOG = logging.getLogger("huitong.intake")
_RUNS_LOOKED_AT = 200
RULE = "rule"
"""Who acts when nobody does: the actor of a ledger entry."""


class Posts(Protocol):
    """What is asked of the parties (`huitong.catalog.ports.PartyStore`)."""

    def actors_of(self, person: str) -> Sequence[Actor]:
        """The posts that the person holds now."""
        ...


def _nobody(_done: int, _all: int | None) -> None:
    """Nobody is watching."""


def _fresh(letter: str) -> str:
    return f"{letter}-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class _MarkingTaker:
    """Takes a snapshot and moves its plan's mark on, in one transaction; refuses if another run moved it meanwhile."""

    taker: SnapshotTaker
    loads: LoadStore
    plan: LoadPlan
    table: DatabaseTable

    def take_snapshot(self, snapshot: Snapshot, *, by: Actor) -> Snapshot:
        taken = self.taker.take_snapshot(snapshot, by=by)
        now = self.loads.plan(self.plan.id)
        if now is None or now.high_water != self.plan.high_water:
            raise Conflict.because("plan-moved-on", plan=self.plan.id)
        self.loads.put_plan(replace(now, high_water=self.table.high_water))
        return taken


@dataclass(frozen=True, kw_only=True)
class PlanActions:
    """What officers do with databases and plans, and what the worker does with plans that are due."""

    intake: IntakeActions
    catalog: CatalogStore
    parties: Posts
    loads: LoadStore
    transactions: Transactions
    ledger: EntryLog
    clock: Clock
    time_zone: str
    credentials: Credentials
    allowed_hosts: AllowedHosts
    inbox: Path
    certificates: Path | None = None
    """PEM file of the authorities that database servers prove their names by; None: those of the machine."""
    notices: NoticeBoard = field(default_factory=NoBoard)
    """Where it is told that a plan stopped."""
    number: Callable[[str], str] = _fresh
    """A new id that begins with that letter."""

    # --- one load now -------------------------------------------------------------------------------------------------

    def inspect(self, source: LoadSource, *, dataset_id: str | None = None, by: Actor) -> Reading:
        """What a table of a database looks like, with suggested types and why; writes nothing. For data officers, who read with the
        credentials of their own office. With `dataset_id` only the columns that its items name."""
        if not by.has(Role.DATA_OFFICER):
            raise Refused.because("role-missing", role=Role.DATA_OFFICER.value, post=by.post, office=by.office)
        dataset = None if dataset_id is None else self._own(dataset_id, by)
        self._check_source(source, by.office, database_only=True)
        with self._open(source, by.office, dataset, LoadMode.REPLACE, None) as table:
            return table.reading

    def load(
        self,
        dataset_id: str,
        source: LoadSource,
        *,
        by: Actor,
        options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
        progress: Progress = _nobody,
    ) -> Loading:
        """Load a table of a database, or a file of the office's inbox folder, once and whole. Raises as `IntakeActions.load` and
        `open_database`."""
        dataset = self._own(dataset_id, by)
        self._check_source(source, by.office)
        if source.kind is SourceKind.FILE:
            path = file_of_inbox(self.inbox, source.address)
            return self.intake.load(dataset.id, path, by=by, options=options, progress=progress, origin=source)
        with self._open(replace(source, changed_item=None), by.office, dataset, LoadMode.REPLACE, None, options.seconds) as table:
            return self.intake.load(dataset.id, table, by=by, options=options, progress=progress, origin=source)

    # --- plans --------------------------------------------------------------------------------------------------------

    def plan(
        self, dataset_id: str, source: LoadSource, *, mode: LoadMode, every: str, reject_limit: int = 0, by: Actor
    ) -> LoadPlan:
        """Have the source loaded `every` so often, in the officer's name. Connects to nothing yet.

        Raises NotFound `dataset-unknown`, `credential-unknown`; Refused (not a data officer of the managing office; a host that is not
        listed; a credential for another server); InputInvalid `schedule-invalid`, `source-*`, and `plan-*` for what would lose or
        double rows."""
        dataset = self._own(dataset_id, by)
        LoadOptions(reject_limit=reject_limit)
        self._check_source(source, by.office)
        _check_mode(source, mode, dataset)
        plan = LoadPlan(
            id=self.number("p"),
            dataset=dataset.id,
            source=source,
            mode=mode,
            every=every,
            reject_limit=reject_limit,
            person=by.person,
            office=by.office,
            next_run=next_run(every, self.clock(), self.time_zone),
        )
        with self.transactions.atomic():
            self.loads.put_plan(plan)
            self._write(plan, "planned", by)
        return plan

    def plans(self, *, by: Actor) -> Sequence[LoadPlan]:
        """The plans over the datasets that the officer's office manages, by id."""
        found = self.loads.plans()
        datasets = self.catalog.datasets({plan.dataset for plan in found})
        return [plan for plan in found if self._is_own(datasets.get(plan.dataset), by)]

    def remove(self, plan_id: str, *, by: Actor) -> None:
        """Forget a plan; its runs stay. Raises NotFound `plan-unknown`."""
        with self.transactions.atomic():
            plan = self._plan(plan_id, by)
            self.loads.remove_plan(plan.id)
            self._write(plan, "removed", by)

    def resume(self, plan_id: str, *, by: Actor) -> LoadPlan:
        """Set a stopped plan going again, from now on in the name of this officer. Raises NotFound `plan-unknown`; Conflict
        `plan-not-stopped`; what `plan` raises about its source."""
        with self.transactions.atomic():
            plan = self._plan(plan_id, by)
            if plan.stopped is None:
                raise Conflict.because("plan-not-stopped", plan=plan.id)
            dataset = self._own(plan.dataset, by)
            self._check_source(plan.source, by.office)
            _check_mode(plan.source, plan.mode, dataset)
            upcoming = next_run(plan.every, self.clock(), self.time_zone)
            going = replace(plan, stopped=None, person=by.person, office=by.office, next_run=upcoming)
            self.loads.put_plan(going)
            self._write(going, "resumed", by)
        return going

    def run_now(self, plan_id: str, *, by: Actor, progress: Progress = _nobody) -> LoadRun:
        """Run a plan now, in the name of this officer; when it runs by itself stays as it is. Raises what stood in the way."""
        plan = self._plan(plan_id, by)
        return self._run(plan, by=by, progress=progress)

    def run_due(self, now: datetime) -> Sequence[LoadRun]:
        """Run every plan whose time has come, one after the other, the longest due first; for the worker. Of two workers only one
        runs a plan. What fails is noted in its run and never keeps the others waiting."""
        done = []
        for plan in self.loads.due_plans(now):
            if plan.stopped is not None:
                continue
            upcoming = next_run(plan.every, now, self.time_zone)
            with self.transactions.atomic():
                claimed = self.loads.claim_plan(plan.id, seen_next_run=plan.next_run, next_run=upcoming)
            if claimed and (run := self._run_planned(plan, now)) is not None:
                done.append(run)
        return done

    # --- one run ------------------------------------------------------------------------------------------------------

    def _run_planned(self, plan: LoadPlan, now: datetime) -> LoadRun | None:
        dataset = self.catalog.dataset(plan.dataset)
        if dataset is None or dataset.provider != plan.office:
            self._stop(plan.id, Reason("plan-dataset-moved", {"plan": plan.id, "dataset": plan.dataset, "office": plan.office}))
            return None
        posts = [post for post in self.parties.actors_of(plan.person) if post.office == plan.office and post.has(Role.DATA_OFFICER)]
        if not posts:
            self._stop(plan.id, Reason("plan-officer-gone", {"plan": plan.id, "person": plan.person, "office": plan.office}))
            return None
        try:
            return self._run(plan, by=posts[0], progress=_nobody)
        except Conflict as conflict:
            if conflict.reasons[0].code in ("load-running", "plan-moved-on"):
                self._put(plan.id, next_run=now + timedelta(minutes=source_rules().busy_minutes))
                return None
            return self._failed(plan, now)
        except Exception as error:
            if not isinstance(error, HuitongError):
                _LOG.error("the planned load %s broke off: %s", plan.id, type(error).__name__)
            return self._failed(plan, now)

    def _run(self, plan: LoadPlan, *, by: Actor, progress: Progress) -> LoadRun:
        """One run, noted. Raises what stood in the way, noted too."""
        before = {run.id for run in self._runs(plan)}
        try:
            self._load(plan, by, progress)
        except Exception as error:
            run = next((run for run in self._runs(plan) if run.id not in before), None)
            reasons = error.reasons if isinstance(error, HuitongError) else (Reason("load-broke-off", {"dataset": plan.dataset}),)
            waits = isinstance(error, Conflict) and reasons[0].code in ("load-running", "plan-moved-on")
            state = RunState.REFUSED if isinstance(error, HuitongError) and not isinstance(error, Unavailable) else RunState.FAILED
            if run is None and not waits:
                self._note(plan, state, reasons, by=by)
            elif run is not None and run.state is not state:
                self._put_run(replace(run, state=state))
            raise
        run = next((run for run in self._runs(plan) if run.id not in before), None)
        return run or self._note(plan, RunState.DONE, (Reason("source-unchanged", {"dataset": plan.dataset}),), by=by)

    def _load(self, plan: LoadPlan, by: Actor, progress: Progress) -> None:
        """Load what is new; nothing happens, and no snapshot is taken, if nothing is."""
        dataset = self._own(plan.dataset, by)
        self._check_source(plan.source, by.office)
        options = LoadOptions(mode=plan.mode, reject_limit=plan.reject_limit)
        if plan.source.kind is SourceKind.FILE:
            path = file_of_inbox(self.inbox, plan.source.address)
            if not self._was_loaded(dataset, _sha256_of(path), ever=plan.mode is LoadMode.APPEND):
                self.intake.load(dataset.id, path, by=by, options=options, progress=progress, plan=plan.id, origin=plan.source)
            return
        with closing(self._open(plan.source, by.office, dataset, plan.mode, plan.high_water)) as table:
            if plan.high_water is not None and self._holds_nothing_new(table, plan, dataset):
                return
            taker = _MarkingTaker(self.intake.taker, self.loads, plan, table)
            intake = replace(self.intake, taker=taker)
            intake.load(dataset.id, table, by=by, options=options, progress=progress, plan=plan.id, origin=plan.source)

    def _holds_nothing_new(self, table: DatabaseTable, plan: LoadPlan, dataset: Dataset) -> bool:
        """No row at all; or, for a merge, which reads some rows again, the very rows of the load before."""
        return table.reading.rows == 0 or (plan.mode is LoadMode.MERGE and self._was_loaded(dataset, table.sha256))

    def _was_loaded(self, dataset: Dataset, sha256: str, *, ever: bool = False) -> bool:
        """Whether the current snapshot (an earlier one) was taken from the same bytes."""
        if ever:
            return any(snapshot.source_hash == sha256 for snapshot in self.catalog.snapshots(dataset.id))
        current = self.catalog.current_snapshot(dataset.id)
        return current is not None and current.source_hash == sha256

    def _open(
        self,
        source: LoadSource,
        office: str,
        dataset: Dataset | None,
        mode: LoadMode,
        since: str | None,
        seconds: float | None = None,
    ) -> DatabaseTable:
        return open_database(
            source,
            office=office,
            credentials=self.credentials,
            allowed_hosts=self.allowed_hosts,
            inbox=self.inbox,
            time_zone=self.time_zone,
            dataset=dataset,
            mode=mode,
            since=since,
            deadline=Deadline(LIMITS.load_seconds if seconds is None else seconds),
            certificates=self.certificates,
        )

    def _failed(self, plan: LoadPlan, now: datetime) -> LoadRun | None:
        """Try again later, or stop: by how many runs failed, or were refused, one after the other."""
        runs = self._runs(plan)
        if not runs:
            return None
        rules = source_rules()
        state = runs[0].state
        row = next((number for number, run in enumerate(runs) if run.state is not state), len(runs))
        if state is RunState.REFUSED and row >= rules.refusals:
            self._stop(plan.id, Reason("plan-refused-too-often", {"plan": plan.id, "times": row}))
        elif state is RunState.FAILED and row > len(rules.retry_minutes):
            self._stop(plan.id, Reason("plan-failed-too-often", {"plan": plan.id, "times": row}))
        elif state is RunState.FAILED:
            self._put(plan.id, next_run=now + timedelta(minutes=rules.retry_minutes[row - 1]))
        return runs[0]

    def _runs(self, plan: LoadPlan) -> list[LoadRun]:
        return [run for run in self.loads.runs(plan.dataset, limit=_RUNS_LOOKED_AT) if run.plan == plan.id]

    def _note(self, plan: LoadPlan, state: RunState, reasons: Sequence[Reason], *, by: Actor | None = None) -> LoadRun:
        now = self.clock()
        run = LoadRun(
            id=self.number("l"),
            dataset=plan.dataset,
            plan=plan.id,
            source=plan.source,
            mode=plan.mode,
            started_at=now,
            person=by.person if by else plan.person,
            state=state,
            finished_at=now,
            reasons=tuple(reasons),
        )
        self._put_run(run)
        return run

    def _put_run(self, run: LoadRun) -> None:
        with self.transactions.atomic():
            self.loads.put_run(run)

    def _put(self, plan_id: str, *, next_run: datetime) -> None:
        with self.transactions.atomic():
            if (plan := self.loads.plan(plan_id)) is not None:
                self.loads.put_plan(replace(plan, next_run=next_run))

    def _stop(self, plan_id: str, reason: Reason) -> None:
        with self.transactions.atomic():
            if (plan := self.loads.plan(plan_id)) is not None:
                self.loads.put_plan(replace(plan, stopped=reason))
                self._write(plan, "stopped", None, reason=reason.code)
                about = {"plan": plan.id, "dataset": plan.dataset, "reason": reason.code, "state": "stopped"}
                to = ((plan.office, Role.DATA_OFFICER),)
                self.notices.post(Notice(kind=NoticeKind.LOAD_FAILED, at=self.clock(), about=about, to_roles=to))

    # --- who may, and from where --------------------------------------------------------------------------------------

    def _is_own(self, dataset: Dataset | None, by: Actor) -> bool:
        return dataset is not None and dataset.provider == by.office and by.has(Role.DATA_OFFICER)

    def _own(self, dataset_id: str, by: Actor) -> Dataset:
        dataset = self.catalog.dataset(dataset_id)
        if dataset is None or not dataset.is_known_to(by.office):
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        refuse_unless_officer(by, dataset.provider, dataset.id)
        return dataset

    def _plan(self, plan_id: str, by: Actor) -> LoadPlan:
        plan = self.loads.plan(plan_id)
        if plan is None or not self._is_own(self.catalog.dataset(plan.dataset), by):
            raise NotFound.because("plan-unknown", plan=plan_id)
        return plan

    def _check_source(self, source: LoadSource, office: str, *, database_only: bool = False) -> None:
        """Everything that can be said against a source without going there. Nothing of it repeats the address."""
        if source.kind is SourceKind.UPLOAD or (database_only and source.kind is not SourceKind.DATABASE):
            raise InputInvalid.because("source-kind-invalid", kind=source.kind.value)
        if source.kind is SourceKind.FILE:
            _refuse_other_folder(source.address, office)
            if source.table or source.credential or source.changed_item:
                raise InputInvalid.because("source-file-plain")
            return
        address = read_address(source.address)
        split_table(source.table or "")
        if address.server is None:
            _refuse_other_folder(address.database, office)
            if source.credential is not None:
                raise InputInvalid.because("source-credential-unused")
            return
        self.allowed_hosts.refuse_unless_listed(address.server)
        if source.credential is not None:
            self.credentials.user_and_password(source.credential, office=office, server=str(address.server))

    def _write(self, plan: LoadPlan, what: str, by: Actor | None, **more: str) -> None:
        body = {
            "plan": plan.id,
            "dataset": plan.dataset,
            "change": what,
            "source": plan.source.kind.value,
            "address": plan.source.address,
            "table": plan.source.table,
            "credential": plan.source.credential,
            "mode": plan.mode.value,
            "every": plan.every,
            "reject_limit": plan.reject_limit,
            **more,
        }
        who = {"actor": by.person, "office": by.office, "post": by.post} if by else {"actor": RULE}
        self.ledger.append(kind=EntryKind.LOAD_PLANNED, body={**body, **who})


def _refuse_other_folder(path: str, office: str) -> None:
    """An office reads what lies in its own folder of the inbox and nothing else. Raises InputInvalid `source-file-of-other-office`."""
    parts = Path(path).parts
    if len(parts) < 2 or parts[0] != office or ".." in parts:
        raise InputInvalid.because("source-file-of-other-office", office=office, folder=f"{office}/")


def _check_mode(source: LoadSource, mode: LoadMode, dataset: Dataset) -> None:
    """What would lose or double rows when it recurs. Raises InputInvalid `plan-*`."""
    if mode is LoadMode.MERGE and not dataset.primary_key:
        raise InputInvalid.because("plan-merge-without-key", dataset=dataset.id)
    if mode is LoadMode.REPLACE and source.changed_item is not None:
        raise InputInvalid.because("plan-replace-of-changes", column=source.changed_item[:60])
    if mode is LoadMode.APPEND and source.kind is SourceKind.DATABASE and source.changed_item is None:
        raise InputInvalid.because("plan-append-of-all", dataset=dataset.id)


def _sha256_of(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    raise InputInvalid.because("source-file-missing", file=path.name)
