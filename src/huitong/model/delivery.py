"""What leaves as a file: an extract of a grant, and the addresses under which it may be fetched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from huitong.errors import InputInvalid, Reason


class ExtractForm(StrEnum):
    """How the rows lie in the file."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"
    """The Arrow IPC stream: the same bytes as the Arrow answer to a query of these rows in this order."""


class ExtractState(StrEnum):
    """Where an extract stands."""

    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    """It was not made, and its `reasons` say why; asking again makes a new one."""
    REMOVED = "removed"
    """Its file is gone, by retention, by the end of the grant, or by law."""


@dataclass(frozen=True, kw_only=True)
class Extract:
    """The rows of one grant over one snapshot as one file: cut, masked and written once."""

    id: str
    dataset: str
    items: tuple[str, ...]
    form: ExtractForm
    purpose: str
    office: str
    """The using office: every analyst of it may fetch the file."""
    person: str
    """Who asked for it."""
    post: str
    grant: str
    grant_version: int
    terms_hash: str
    snapshot: int
    fingerprint: str
    """Of the plan that its rows follow from (`huitong.gateway.plan.Plan.fingerprint`)."""
    asked_at: datetime
    state: ExtractState = ExtractState.WAITING
    attempts: int = 0
    """How often it was begun."""
    rows: int = 0
    """Rows written so far, or all rows once it is ready."""
    rows_expected: int = 0
    """Rows of the snapshot: as many there are at most."""
    bytes: int = 0
    sha256: str = ""
    query: str = ""
    """Number of the use that made it, whose receipt proves it."""
    ready_at: datetime | None = None
    removed_at: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    """Why it failed or was removed."""

    def __post_init__(self) -> None:
        if not self.items:
            raise InputInvalid.because("terms-without-items")
        if self.asked_at.tzinfo is None:
            raise InputInvalid.because("instant-without-zone")

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What makes two extracts the same file: grant, its version, the plan (snapshot and items are part of it), the form."""
        return (self.grant, self.grant_version, self.fingerprint, self.form.value)

    @property
    def file(self) -> str:
        """Name of its file in the instance's folder of extracts."""
        return f"{self.id}.{self.form.value}"

    def manifest(self) -> Mapping[str, object]:
        """What lies beside the file and is told of it."""
        return {
            "format": "huitong-extract/1",
            "extract": self.id,
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "rows": self.rows,
            "dataset": self.dataset,
            "snapshot": self.snapshot,
            "items": list(self.items),
            "purpose": self.purpose,
            "grant": self.grant,
            "grant_version": self.grant_version,
            "terms_hash": self.terms_hash,
            "query": self.query,
            "ready_at": self.ready_at.isoformat() if self.ready_at else None,
        }


class DeliveryMark(StrEnum):
    """What is noted of an address once, the first time it happens."""

    BEGUN = "begun"
    COMPLETED = "completed"
    CUT = "cut"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A signed address of an extract, given to one person in one post, for some minutes."""

    id: str
    extract: str
    grant: str
    grant_version: int
    office: str
    person: str
    post: str
    issued_at: datetime
    expires_at: datetime
    marks: frozenset[DeliveryMark] = frozenset()

    def __post_init__(self) -> None:
        if self.expires_at <= self.issued_at:
            raise InputInvalid.because("address-ends-before-start")
