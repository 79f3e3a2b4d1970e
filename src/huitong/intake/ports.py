"""What the intake needs from storage and from sharing: implemented by the portal's stores, and in memory by `huitong.testing`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from huitong.intake.plans import LoadPlan, LoadRun
from huitong.model.catalog import Snapshot
from huitong.model.party import Actor


class SnapshotTaker(Protocol):
    """Makes a snapshot that lies in the lake the current one (`huitong.sharing.actions.SharingActions`)."""

    def take_snapshot(self, snapshot: Snapshot, *, by: Actor) -> Snapshot:
        """After its side tables hold it for every grant in force; with its ledger entry."""
        ...


class KeyedCopies(Protocol):
    """Copies of the rows of datasets that lie outside the lake (`huitong.delivery.record_copies`)."""

    def erase(self, datasets: Collection[str]) -> None:
        """Remove every copy of these datasets that is not of the current snapshot."""
        ...


class LoadStore(Protocol):
    """Planned loads and the runs of all loads. Changing methods are called inside `Transactions.atomic()`."""

    def put_plan(self, plan: LoadPlan) -> None:
        """Add the plan, or replace the one of the same id."""
        ...

    def plan(self, plan_id: str) -> LoadPlan | None:
        """The plan of that id."""
        ...

    def plans(self, *, datasets: Collection[str] | None = None) -> Sequence[LoadPlan]:
        """All plans (of these datasets), by id."""
        ...

    def remove_plan(self, plan_id: str) -> None:
        """Forget the plan; its runs stay."""
        ...

    def due_plans(self, now: datetime) -> Sequence[LoadPlan]:
        """The plans whose `next_run` is not after `now`, the longest due first."""
        ...

    def claim_plan(self, plan_id: str, *, seen_next_run: datetime, next_run: datetime) -> bool:
        """Move the plan's next run on, if it still is what was seen: of two workers one gets True."""
        ...

    def put_run(self, run: LoadRun) -> None:
        """Add the run, or replace the one of the same id: state, rows so far, what became of it."""
        ...

    def run(self, run_id: str) -> LoadRun | None:
        """The run of that id."""
        ...

    def runs(self, dataset_id: str, *, limit: int = 20) -> Sequence[LoadRun]:
        """The newest runs of a dataset, newest first."""
        ...

    def unfinished_runs(self) -> Sequence[LoadRun]:
        """Runs that are noted as running, of all datasets: at start-up a worker closes those whose process is gone."""
        ...
