"""Loads that happen by themselves: where the rows come from, when, and what is done with them; and the record of every load."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid, Reason
from huitong.model.catalog import LoadMode


class SourceKind(StrEnum):
    """Where the rows of a load come from."""

    UPLOAD = "upload"
    FILE = "file"
    """A file below the instance's inbox folder."""
    DATABASE = "database"
    """A table or view of a database, by a connection address without credentials."""


@dataclass(frozen=True)
class LoadSource:
    """One place to read rows from. Credentials never stand here: `credential` names a key of the KeyStore."""

    kind: SourceKind
    address: str
    """File: path relative to the inbox. Database: `postgresql://host:port/name`, `mysql://...`, `sqlite:///relative/path`."""
    table: str | None = None
    """`schema.table` or `table` of a database."""
    credential: str | None = None
    """Name under which user and password lie in the KeyStore; None for none."""
    changed_item: str | None = None
    """Column that grows with every change (an instant or a number): with it a load reads only what is new."""

    def __post_init__(self) -> None:
        if self.kind is SourceKind.DATABASE and not self.table:
            raise InputInvalid.because("source-table-missing")


@dataclass(frozen=True)
class LoadPlan:
    """A load that recurs."""

    id: str
    dataset: str
    source: LoadSource
    mode: LoadMode
    every: str
    """When, in the instance's time zone: `hourly`, `daily 02:30`, `weekly mon 02:30`, `monthly 1 02:30`."""
    reject_limit: int
    person: str
    """The data officer in whose name it runs; if that post ends, the plan stops with a clear reason."""
    office: str
    next_run: datetime
    high_water: str | None = None
    """The highest value of `changed_item` that was loaded."""
    stopped: Reason | None = None
    """Why it runs no more until an officer sets it going again."""


class RunState(StrEnum):
    """Where a load stands."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """The rows were not taken, for a reason in the file or the source."""
    FAILED = "failed"
    """The load broke off (killed, source gone, disk full); nothing is visible and it can run again."""


@dataclass(frozen=True)
class LoadRun:
    """What became of one load, planned or by hand."""

    id: str
    dataset: str
    plan: str | None
    source: LoadSource
    mode: LoadMode
    started_at: datetime
    person: str
    state: RunState
    rows_done: int = 0
    rows_all: int | None = None
    """Rows in all, if known or well estimated."""
    finished_at: datetime | None = None
    version: int | None = None
    """The snapshot that came of it."""
    rejected_rows: int = 0
    reasons: tuple[Reason, ...] = ()
