"""What officers do with the rows of their datasets: load, look back, decide what recognisers suggest, keep and erase.

Every load leaves a `LoadRun` that says where it stands; what changes the current snapshot is one transaction with its ledger entry.
Nothing here returns or logs a value of the data, but the reject table to the managing office.
"""

import hashlib
import hmac
import itertools
import logging
import secrets
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from huitong.catalog.ports import CatalogStore, Clock, EntryLog, QualityStore, Transactions
from huitong.catalog.publish import CatalogActions, refuse_unless_officer
from huitong.engines.duckdb import quote_name
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Reason
from huitong.intake import quality
from huitong.intake.load import load
from huitong.intake.loads import Change, Loading, LoadOptions, Progress, Reject, changes_of_columns
from huitong.intake.plans import LoadRun, LoadSource, RunState, SourceKind
from huitong.intake.ports import KeyedCopies, LoadStore, SnapshotTaker
from huitong.intake.source import Overrides, SourceTable
from huitong.intake.suggesting import suggest_all
from huitong.lake.rejects import read_rejects
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.lake.subject_lists import SubjectLists
from huitong.ledger.literals import Literal, Literals
from huitong.model.catalog import Dataset, Grade, ItemType, LoadMode, Snapshot
from huitong.model.codes import is_resident_id
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor
from huitong.model.quality import GradingSuggestion, QualityReport, SuggestionState
from huitong.policy.grading import GradingScheme, storage_rule

_LOG = logging.getLogger("huitong.intake")
RESIDENT_ID = "resident-id"
REASONS_OF_A_RUN = 21
"""Reasons that a run keeps: what was refused, and the first 20 causes."""
NEWEST_RUNS = 50
PROGRESS_SECONDS = 1.0
"""Between two notes of a run's progress."""


@dataclass(frozen=True)
class Removed:
    """Snapshots of one dataset that retention removed, and those that wait for a query to end."""

    dataset: str
    versions: tuple[int, ...]
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class ErasureOfDataset:
    """What an erasure did in one dataset."""

    dataset: str
    rows: int
    """Rows of that person in all kept snapshots together."""
    version: int | None
    """The current snapshot after it; None if the dataset has none."""
    versions: tuple[int, ...] = ()
    """Snapshots that were written anew and whose files are removed."""
    waiting: tuple[int, ...] = ()
    """Those of them whose files go when the queries that read them have ended (`retain` sees to it)."""
    rejects: int = 0
    """Rows of reject tables that named the person."""


@dataclass(frozen=True)
class Erasure:
    """What an erasure did."""

    datasets: tuple[ErasureOfDataset, ...]
    pseudonyms: int
    """Rows of side tables that held the identifier."""
    subject_lists: int = 0
    """Lists of subjects over these datasets that named the person."""
    literals: int = 0
    """Texts and values beside the ledger that named the person; its entries hold nothing but their salted hashes."""


def _nobody(_done: int, _all: int | None) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, kw_only=True)
class IntakeActions:
    """The actions. `erasure_key` salts the trace that an erasure leaves of the identifier; `scheme` says how long a grade is kept."""

    catalog: CatalogStore
    entries: CatalogActions
    reports: QualityStore
    loads: LoadStore
    taker: SnapshotTaker
    ledger: EntryLog
    transactions: Transactions
    clock: Clock
    lake: Lake
    side_tables: SideTables
    scheme: GradingScheme
    erasure_key: bytes
    effective_grade: Callable[[Dataset, int | None], Grade] | None = None
    """The grade of a dataset of so many rows with lineage and combination; None: the highest of its items."""
    subject_lists: SubjectLists | None = None
    """Where lists of subjects are kept; None: there are none."""
    copies: KeyedCopies | None = None
    """Copies of rows outside the lake, from which an erasure takes the person too."""
    literals: Literals | None = None
    """Texts beside the ledger, from which an erasure takes those that name the person."""

    # --- loading ------------------------------------------------------------------------------------------------------

    def load(
        self,
        dataset_id: str,
        source: Path | SourceTable,
        *,
        by: Actor,
        options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
        overrides: Overrides = Overrides(),  # noqa: B008 - frozen
        progress: Progress = _nobody,
        plan: str | None = None,
        origin: LoadSource | None = None,
    ) -> Loading:
        """Make the rows of a file or an opened source the current snapshot: all of it, or nothing is visible.

        `plan` and `origin` are noted in the run: the planned load it belongs to, and where the rows come from. Raises NotFound
        `dataset-unknown`; Refused (not a data officer of the managing office); Conflict `load-running`, `schema-changed`,
        `entry-changed-meanwhile`, `append-of-same-bytes`; InputInvalid with what does not fit, and where; Unavailable if it took too
        long."""
        dataset = self._own(dataset_id, by)
        rule = storage_rule(self._grade(dataset, None), scheme=self.scheme)
        options = replace(options, keep_rows=options.keep_rows and rule.reject_rows_kept)
        origin = origin or LoadSource(SourceKind.UPLOAD, "")
        run = LoadRun(f"l-{secrets.token_hex(8)}", dataset.id, plan, origin, options.mode, self.clock(), by.person, RunState.RUNNING)
        with ExitStack() as stack:
            stack.enter_context(self.lake.changing(dataset.id))
            stack.enter_context(self.lake.running(run.id))
            noted = _Noted(self, run)
            noted.note(run)
            try:
                loaded = self._load(dataset, source, options, overrides, noted, progress)
                snapshot = self._take(dataset, loaded, by, noted)
            except HuitongError as refusal:
                noted.close(RunState.REFUSED, refusal.reasons[:REASONS_OF_A_RUN])
                raise
            except BaseException as failure:
                _LOG.error("a load of %s broke off: %s", dataset.id, type(failure).__name__)
                noted.close(RunState.FAILED, (Reason("load-broke-off", {"dataset": dataset.id}),))
                raise
        return replace(loaded, snapshot=snapshot)

    def _load(
        self, dataset: Dataset, source: Path | SourceTable, options: LoadOptions, overrides: Overrides, noted: "_Noted", told: Progress
    ) -> Loading:
        def progress(done: int, whole: int | None) -> None:
            noted.progress(done, whole)
            told(done, whole)

        previous = self.catalog.current_snapshot(dataset.id)
        return load(
            source, dataset=dataset, lake=self.lake, options=options, overrides=overrides, progress=progress, previous=previous
        )

    def _take(self, dataset: Dataset, loaded: Loading, by: Actor, noted: "_Noted") -> Snapshot:
        """Make the snapshot current with all that belongs to it; if that fails, it leaves the lake again."""
        try:
            self._refuse_if_appended(dataset, loaded.snapshot)
            report, suggestions = self._look(dataset, loaded.snapshot)
            with self.transactions.atomic():
                snapshot = self.taker.take_snapshot(loaded.snapshot, by=by)
                self._refuse_if_published_anew(dataset)
                self.reports.put_report(report)
                self.reports.put_suggestions(dataset.id, suggestions)
                noted.done(loaded)
        except BaseException:
            self._discard(dataset.id, loaded.snapshot.version)
            raise
        return snapshot

    def _look(self, dataset: Dataset, snapshot: Snapshot) -> tuple[QualityReport, Sequence[GradingSuggestion]]:
        """The quality report of a new snapshot, and what recognisers take its items for."""
        before = self.catalog.current_snapshot(dataset.id)
        previous = self.reports.report(dataset.id, before.version) if before is not None else None
        files = {file.path for one in (snapshot, before) if one is not None for file in one.files}
        scan = self.lake.scan(snapshot)
        with self.lake.looking(files) as connection:
            report = quality.report(
                dataset=dataset,
                snapshot=snapshot,
                connection=connection,
                scan=scan,
                now=self.clock(),
                previous=previous,
                before=(self.lake.scan(before), before.rows) if before is not None and before.rows and previous is not None else None,
                items_before=self.lake.columns(before) if before is not None else None,
            )
            asked = {item.name: f"CAST({quote_name(item.name)} AS VARCHAR)" for item in dataset.items}
            texts = quality.samples(connection, scan, asked, rows=snapshot.rows, seed=snapshot.version)
            values = ((item, texts[item.name]) for item in dataset.items)
            suggestions = suggest_all(values, dataset, scheme=self.scheme, seed=snapshot.version)
        return report, suggestions

    def _refuse_if_appended(self, dataset: Dataset, snapshot: Snapshot) -> None:
        """Without a key nothing tells a row from itself: the same bytes sent twice would double every row. Raises Conflict
        `append-of-same-bytes`."""
        if snapshot.mode is not LoadMode.APPEND or dataset.primary_key:
            return
        for before in self.catalog.snapshots(dataset.id):
            if before.source_hash == snapshot.source_hash and before.rows:
                raise Conflict.because("append-of-same-bytes", dataset=dataset.id, version=before.version)
            if before.mode is LoadMode.REPLACE:
                return

    def _refuse_if_published_anew(self, dataset: Dataset) -> None:
        """What was checked by one entry is not taken under another. Raises Conflict `entry-changed-meanwhile`."""
        now = self.catalog.dataset(dataset.id)
        if now is None or _shape(now) != _shape(dataset):
            raise Conflict.because("entry-changed-meanwhile", dataset=dataset.id)

    def _discard(self, dataset_id: str, version: int) -> None:
        current = self.catalog.current_snapshot(dataset_id)
        if current is not None and current.version == version:
            return
        try:
            self.lake.remove(dataset_id, [version], current=current.version if current else None)
        except Exception as error:  # the next sweep sees to it
            _LOG.error("a snapshot of %s that was not taken could not be removed: %s", dataset_id, type(error).__name__)

    def close_broken_runs(self) -> tuple[LoadRun, ...]:
        """Note as failed every run that is noted as running while no process runs it: a worker does so when it starts."""
        closed = []
        for run in self.loads.unfinished_runs():
            if self.lake.is_running(run.id):
                continue
            broke_off = Reason("load-broke-off", {"dataset": run.dataset})
            ended = replace(run, state=RunState.FAILED, finished_at=self.clock(), reasons=(broke_off,))
            with self.transactions.atomic():
                self.loads.put_run(ended)
            closed.append(ended)
        return tuple(closed)

    # --- looking back -------------------------------------------------------------------------------------------------

    def runs(self, dataset_id: str, *, by: Actor, limit: int = NEWEST_RUNS) -> Sequence[LoadRun]:
        """The newest loads of a dataset, for a data officer of its managing office."""
        return self.loads.runs(self._own(dataset_id, by).id, limit=limit)

    def history(self, dataset_id: str, *, by: Actor) -> tuple[tuple[Snapshot, tuple[Change, ...]], ...]:
        """Every snapshot, newest first, with what changed in its items against the one before; also those that were removed.

        For everyone who may know of the dataset: it holds no value. Raises NotFound `dataset-unknown`."""
        dataset = self._known(dataset_id, by)
        snapshots = list(self.catalog.snapshots(dataset.id))
        return tuple(
            (one, _changes_between(before, one)) for one, before in itertools.zip_longest(snapshots, snapshots[1:])
        )

    def rejects(
        self, dataset_id: str, version: int, *, by: Actor, limit: int = 1_000, offset: int = 0
    ) -> tuple[tuple[Reject, ...], int]:
        """The reject table of a snapshot, by line, with the rows as they were read; and how many entries it has.

        For data officers of the managing office alone. Raises NotFound `snapshot-unknown`."""
        dataset = self._own(dataset_id, by)
        snapshot = self.catalog.snapshot(dataset.id, version)
        if snapshot is None or snapshot.removed_at is not None:
            raise NotFound.because("snapshot-unknown", dataset=dataset.id)
        file = self.lake.rejects(dataset.id, version)
        if file is None:
            return (), 0
        rows, total = read_rejects(file, limit=limit, offset=offset)
        return tuple(Reject(row.line, row.reason, row.item, row.row) for row in rows), total

    def quality(self, dataset_id: str, version: int | None = None, *, by: Actor) -> QualityReport | None:
        """The quality report of a snapshot, by default of the newest that has one; None if there is none.

        For everyone who may know of the dataset; a door rounds what others than its own offices see."""
        return self.reports.report(self._known(dataset_id, by).id, version)

    # --- suggestions --------------------------------------------------------------------------------------------------

    def suggestions(self, dataset_id: str, *, by: Actor) -> Sequence[GradingSuggestion]:
        """What recognisers take the items for, open ones first; for data officers of the managing office."""
        return self.reports.suggestions(self._own(dataset_id, by).id)

    def decide_suggestion(
        self, dataset_id: str, item: str, meaning: str, *, confirm: bool, words: str | None = None, by: Actor
    ) -> GradingSuggestion:
        """Confirm a suggestion, which gives the item its meaning and at least its grade, or dismiss it with words why.

        Raises NotFound `suggestion-unknown`; Conflict `suggestion-decided`; InputInvalid `suggestion-words-missing`, and what publishing
        finds wrong with the entry."""
        with self.transactions.atomic():
            self.entries.epoch.bump()  # so that the entry which is read is the one that is changed
            return self._decide(self._own(dataset_id, by), item, meaning, confirm, words, by)

    def _decide(
        self, dataset: Dataset, item: str, meaning: str, confirm: bool, words: str | None, by: Actor
    ) -> GradingSuggestion:
        found = next(
            (
                one
                for one in self.reports.suggestions(dataset.id)
                if one.item.lower() == item.lower() and one.meaning == meaning
            ),
            None,
        )
        if found is None or (confirm and all(one.name != found.item for one in dataset.items)):
            raise NotFound.because("suggestion-unknown", dataset=dataset.id, item=item)
        if found.state is not SuggestionState.OPEN:
            raise Conflict.because("suggestion-decided", dataset=dataset.id, item=found.item, meaning=meaning)
        if not confirm and not (words and words.strip()):
            raise InputInvalid.because("suggestion-words-missing", dataset=dataset.id, item=found.item)
        state = SuggestionState.CONFIRMED if confirm else SuggestionState.DISMISSED
        decided = replace(found, state=state, decided_by=by.person, decided_at=self.clock(), words=(words or "").strip() or None)
        if confirm:
            items = tuple(
                replace(one, meaning=meaning, grade=max(one.grade, found.grade)) if one.name == found.item else one
                for one in dataset.items
            )
            if items != dataset.items:
                self.entries.publish(replace(dataset, items=items), by=by)
        self.reports.decide_suggestion(dataset.id, decided)
        body = {
            "dataset": dataset.id,
            "item": found.item,
            "meaning": meaning,
            "grade": int(found.grade),
            "decision": state.value,
            **_about(by),
        }
        self.ledger.append(kind=EntryKind.GRADING_DECIDED, body=body)
        return decided

    # --- keeping and removing -----------------------------------------------------------------------------------------

    def retain(self, *, by: Actor | None = None) -> tuple[Removed, ...]:
        """Remove the snapshots whose time is over, of all datasets (an actor: those of the office whose data officer it is).

        A snapshot's time begins when the next one is taken, and lasts `keep_days` of the dataset, else of the storage rule of its
        grade. Never the current one, never one that a query reads. First the database says so, then the log, then the files go;
        what was interrupted is finished by the next sweep. A dataset that is being loaded is left to the next sweep."""
        done = []
        for dataset in self.catalog.every_dataset():
            if by is not None:
                if dataset.provider != by.office:
                    continue
                refuse_unless_officer(by, dataset.provider, dataset.id)
            try:
                with self.lake.changing(dataset.id):
                    removed = self._retain(dataset, by)
            except Conflict:
                continue
            if removed is not None:
                done.append(removed)
        return tuple(done)

    def _retain(self, dataset: Dataset, by: Actor | None) -> Removed | None:
        snapshots = list(self.catalog.snapshots(dataset.id))
        if not snapshots:
            return None
        current, now = snapshots[0], self.clock()
        days = self._keep_days(dataset, current.rows)
        over = [
            old.version
            for new, old in itertools.pairwise(snapshots)
            if old.removed_at is None and now - new.taken_at >= max(timedelta(days=days), self.lake.grace)
        ]
        if over:
            with self.transactions.atomic():
                self.catalog.mark_removed(dataset.id, over, at=now)
                body = {"dataset": dataset.id, "versions": sorted(over), "keep_days": days, **(_about(by) if by else {})}
                self.ledger.append(kind=EntryKind.SNAPSHOTS_REMOVED, body=body)
        gone = [one.version for one in snapshots if one.removed_at is not None] + over
        known = {one.version for one in snapshots}
        strays = [version for version in self.lake.strays(dataset.id) if version not in known]
        removal = self.lake.remove(dataset.id, [*gone, *strays], current=current.version)
        return Removed(dataset.id, tuple(sorted(over)), removal.waiting) if over or removal.waiting else None

    def erase_person(
        self, *, datasets: Sequence[str], identifier: str, legal_basis: str, words: str, by: Actor
    ) -> Erasure:
        """Take a person out of every kept snapshot of these datasets, their reject tables, lists of subjects and pseudonyms, by law.

        The person's rows are those whose resident identity number, or whose item that identifies an entity, is the identifier. Each
        snapshot that holds one is written anew without it, later ones follow in their order, and the old files go at once; those
        that a query still reads go when it ends. The ledger keeps a salted trace of the identifier, never itself. Raises NotFound, Refused
        (each dataset must be of the officer's own office), InputInvalid `erasure-incomplete`, `erasure-item-missing`,
        `erasure-words-identify`; Conflict `load-running`."""
        wanted = identifier.strip()
        if not wanted or not legal_basis.strip() or not words.strip() or not datasets:
            raise InputInvalid.because("erasure-incomplete")
        if any(_signs(wanted) in _signs(text) for text in (words, legal_basis)):
            raise InputInvalid.because("erasure-words-identify")
        found = [self._own(dataset_id, by) for dataset_id in dict.fromkeys(datasets)]
        items = {dataset.id: identifying_items(dataset) for dataset in found}
        if missing := [dataset.id for dataset in found if not items[dataset.id]]:
            raise InputInvalid(*(Reason("erasure-item-missing", {"dataset": one}) for one in missing))
        trace = hmac.digest(self.erasure_key, b"huitong/erasure/1\n" + wanted.upper().encode(), hashlib.sha256).hex()
        done = []
        with ExitStack() as stack:
            for dataset in sorted(found, key=lambda one: one.id):
                stack.enter_context(self.lake.changing(dataset.id))
            for dataset in found:
                about = {"person": trace, "legal_basis": legal_basis.strip(), "words": Literal(words.strip()), **_about(by)}
                done.append(self._erase(dataset, items[dataset.id], wanted, about, by))
        of = [one.id for one in found]
        if self.copies is not None:
            self.copies.erase(of)
        listed = self.subject_lists.erase(wanted, of=of) if self.subject_lists is not None else 0
        named = self.literals.erase_holding(wanted) if self.literals is not None else 0
        return Erasure(tuple(done), self.side_tables.erase(wanted, of=of), listed, named)

    def _erase(
        self, dataset: Dataset, items: Sequence[str], wanted: str, about: Mapping[str, Any], by: Actor
    ) -> ErasureOfDataset:
        every = self.catalog.snapshots(dataset.id)
        snapshots = [one for one in every if one.removed_at is None]
        # no load runs now: what the database does not know was written by one that was killed, and may hold the person
        strays = set(self.lake.versions(dataset.id)) - {one.version for one in every} if snapshots else set()
        rejects = self.lake.erase_from_rejects(dataset.id, wanted)
        if is_resident_id(wanted.upper()):
            items = (*items, *_items_of_before(dataset, (self.lake.columns(one) for one in snapshots)))
        rewritten = self.lake.erase(dataset, items, wanted, snapshots=list(reversed(snapshots)))
        rows = sum(one.rows for one in rewritten)
        old = tuple(one.old for one in rewritten)
        current = snapshots[0].version if snapshots else None
        with self.transactions.atomic():
            for one in rewritten[:-1]:
                self.catalog.add_snapshot(one.snapshot)
                self.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={**_told_of(one.snapshot), **_about(by)})
            for one in rewritten[-1:]:
                current = self.taker.take_snapshot(one.snapshot, by=by).version
            if old:
                self.catalog.mark_removed(dataset.id, old, at=self.clock())
            body = {"dataset": dataset.id, "rows": rows, "rejects": rejects, "versions": sorted(old), **about}
            self.ledger.append(kind=EntryKind.PERSON_ERASED, body=body)
        waiting: tuple[int, ...] = ()
        if old or strays:
            waiting = self.lake.remove(dataset.id, [*old, *strays], current=current, wait=True).waiting
        return ErasureOfDataset(dataset.id, rows, current, old, waiting, rejects)

    # --- who may ------------------------------------------------------------------------------------------------------

    def _known(self, dataset_id: str, by: Actor) -> Dataset:
        dataset = self.catalog.dataset(dataset_id)
        if dataset is None or not dataset.is_known_to(by.office):
            raise NotFound.because("dataset-unknown", dataset=dataset_id)
        return dataset

    def _own(self, dataset_id: str, by: Actor) -> Dataset:
        dataset = self._known(dataset_id, by)
        refuse_unless_officer(by, dataset.provider, dataset.id)
        return dataset

    def _grade(self, dataset: Dataset, rows: int | None) -> Grade:
        return dataset.grade if self.effective_grade is None else self.effective_grade(dataset, rows)

    def _keep_days(self, dataset: Dataset, rows: int) -> int:
        if dataset.keep_days is not None:
            return dataset.keep_days
        return storage_rule(self._grade(dataset, rows), scheme=self.scheme).keep_days


def identifying_items(dataset: Dataset) -> tuple[str, ...]:
    """The items of a dataset that may hold an identifier of a person: those that mean a resident identity number, and its key."""
    found = [item.name for item in dataset.items if item.meaning == RESIDENT_ID]
    key = dataset.item(dataset.key) if dataset.key else None
    return tuple(dict.fromkeys([*found, *([key.name] if key else [])]))


def _items_of_before(dataset: Dataset, held: Iterable[Mapping[str, ItemType]]) -> tuple[str, ...]:
    """Texts of earlier snapshots that the entry names no more: what they meant is forgotten, but they may hold the person."""
    found = (name for columns in held for name, kind in columns.items() if kind is ItemType.TEXT and dataset.item(name) is None)
    return tuple(dict.fromkeys(found))


def _shape(dataset: Dataset) -> tuple[object, ...]:
    """What rows are checked by."""
    return dataset.provider, dataset.primary_key, tuple((item.name, item.type) for item in dataset.items)


def _signs(text: str) -> str:
    """Letters and digits alone, in one width and case: however an identifier is spaced out, it is the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in folded if sign.isalnum()) or folded


def _told_of(snapshot: Snapshot) -> Mapping[str, str | int]:
    """What the ledger is told of a snapshot (as `SharingActions.take_snapshot` does)."""
    return {
        "dataset": snapshot.dataset,
        "version": snapshot.version,
        "rows": snapshot.rows,
        "rejected_rows": snapshot.rejected_rows,
        "source_hash": snapshot.source_hash,
        "files": len(snapshot.files),
    }


def _about(by: Actor) -> Mapping[str, str]:
    return {"actor": by.person, "office": by.office, "post": by.post}


def _changes_between(before: Snapshot | None, after: Snapshot) -> tuple[Change, ...]:
    return changes_of_columns(before.columns, after.columns) if before is not None and before.columns and after.columns else ()


class _Noted:
    """The record of one load: noted at its start, at most once a second while it runs, and at its end."""

    def __init__(self, actions: IntakeActions, run: LoadRun) -> None:
        self._actions = actions
        self.run = run
        self._last = time.monotonic()

    def note(self, run: LoadRun) -> None:
        self.run = run
        with self._actions.transactions.atomic():
            self._actions.loads.put_run(run)

    def progress(self, done: int, whole: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self.note(replace(self.run, rows_done=done, rows_all=whole))

    def done(self, loaded: Loading) -> None:
        snapshot = loaded.snapshot
        read = (loaded.reading.rows if loaded.reading.rows is not None else self.run.rows_done) or 0
        self.note(
            replace(
                self.run,
                state=RunState.DONE,
                rows_done=read,
                rows_all=read,
                finished_at=self._actions.clock(),
                version=snapshot.version,
                rejected_rows=snapshot.rejected_rows,
            )
        )

    def close(self, state: RunState, reasons: Collection[Reason]) -> None:
        self.note(replace(self.run, state=state, finished_at=self._actions.clock(), reasons=tuple(reasons)))

