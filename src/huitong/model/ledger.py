"""The record of uses: entries, promises, checkpoints and what a receipt holds (RFC 6962, C2SP tlog-checkpoint)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EntryKind(StrEnum):
    """What an entry records."""

    INSTANCE_CREATED = "instance-created"
    OFFICE_REGISTERED = "office-registered"
    PERSON_REGISTERED = "person-registered"
    TOKEN_ISSUED = "token-issued"  # noqa: S105 - the name of an event
    TOKEN_REVOKED = "token-revoked"  # noqa: S105 - the name of an event
    DATASET_PUBLISHED = "dataset-published"
    SNAPSHOT_TAKEN = "snapshot-taken"
    REQUEST_SUBMITTED = "request-submitted"
    REQUEST_ENDORSED = "request-endorsed"
    REQUEST_APPROVED = "request-approved"
    REQUEST_REFUSED = "request-refused"
    REQUEST_WITHDRAWN = "request-withdrawn"
    REQUEST_SUPPLEMENT_ASKED = "request-supplement-asked"
    REQUEST_SUPPLEMENTED = "request-supplemented"
    REQUEST_LAPSED = "request-lapsed"
    REQUEST_EXTENDED = "request-extended"
    REQUEST_ESCALATED = "request-escalated"
    REQUEST_MEDIATED = "request-mediated"
    REQUEST_RECOUNTED = "request-recounted"
    DELEGATION_MADE = "delegation-made"
    DELEGATION_ENDED = "delegation-ended"
    GRANT_MADE = "grant-made"
    GRANT_EXTENDED = "grant-extended"
    GRANT_ACTIVATED = "grant-activated"
    GRANT_REVOKED = "grant-revoked"
    REIDENTIFICATION_ASKED = "reidentification-asked"
    REIDENTIFICATION_ENDORSED = "reidentification-endorsed"
    REIDENTIFICATION_APPROVED = "reidentification-approved"
    REIDENTIFICATION_REFUSED = "reidentification-refused"
    REIDENTIFICATION_WITHDRAWN = "reidentification-withdrawn"
    REIDENTIFICATION_REVOKED = "reidentification-revoked"
    REIDENTIFICATION_ENDED = "reidentification-ended"
    USE_INTENT = "use-intent"
    USE_OUTCOME = "use-outcome"
    USE_REFUSED = "use-refused"
    OPERATOR_ACTION = "operator-action"
    PSEUDONYMS_RENEWED = "pseudonyms-renewed"
    """Every identifier of a linkage group has another token from its instant on."""
    LEDGER_KEY_CHANGED = "ledger-key-changed"
    """Signed by the key that retires; names the new one and the instant at which the old one ends."""
    OFFICE_SUCCEEDED = "office-succeeded"
    DIVISIONS_CHANGED = "divisions-changed"
    GRANT_MOVED = "grant-moved"
    GRADING_DECIDED = "grading-decided"
    SNAPSHOTS_REMOVED = "snapshots-removed"
    PERSON_ERASED = "person-erased"
    CREDENTIAL_KEPT = "credential-kept"
    LOAD_PLANNED = "load-planned"
    NOTICE_WAY_CHANGED = "notice-way-changed"
    """A webhook was added, removed, given a new secret or stopped; or a person chose when to get e-mail."""
    CALENDAR_CHANGED = "calendar-changed"
    PERSON_LEFT = "person-left"
    PERSON_MOVED = "person-moved"
    KEEPER_NAMED = "keeper-named"
    STAFF_OPENED = "staff-opened"
    STAFF_CLOSED = "staff-closed"
    SECOND_FACTOR_CHANGED = "second-factor-changed"
    IDENTITY_LINKED = "identity-linked"
    IDENTITY_UNLINKED = "identity-unlinked"
    EXTRACT_REMOVED = "extract-removed"
    ADDRESS_ISSUED = "address-issued"
    DELIVERY_BEGUN = "delivery-begun"
    DELIVERY_COMPLETED = "delivery-completed"
    DELIVERY_CUT = "delivery-cut"
    DELIVERY_REFUSED = "delivery-refused"
    RECORD_DOOR_SWITCHED = "record-door-switched"
    """Records of a dataset may be called for by key from now on, or no more."""


class Door(StrEnum):
    """Through which door a use goes, as its intent says. Entries from before do not tell; other doors may come."""

    QUERY = "query"
    EXTRACT = "extract"
    REIDENTIFICATION = "reidentification"
    RECORD = "record"
    VERIFICATION = "verification"


@dataclass(frozen=True)
class Promise:
    """An entry as written before it is in the tree: the ledger's signed word that it will be.

    `payload` is canonical JSON (UTF-8, sorted keys, no spaces) and holds id, kind, at and the body; personal literals
    never stand in it. `signature` is Ed25519 by key `key_id` over the domain-separated leaf hash of the payload."""

    entry: str
    kind: EntryKind
    at: datetime
    payload: bytes
    key_id: str
    signature: bytes


@dataclass(frozen=True)
class UseOfEntry:
    """The use that an entry belongs to, by whose number its receipt can be fetched again: who used, and its earlier entries."""

    query: str
    person: str
    post: str
    office: str
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A signed tree head; `note` is the whole C2SP signed note."""

    origin: str
    size: int
    root: bytes
    at: datetime
    note: str


@dataclass(frozen=True)
class KeyChange:
    """The ledger's key was changed: from `at` the key `vkey` signs; `before` counts until `until`, so that what was being signed
    at that moment in another process holds too. `entry` is the ledger's entry of it; the first key of a log has number 1."""

    number: int
    vkey: str
    before: str
    at: datetime
    until: datetime
    entry: str


@dataclass(frozen=True)
class KeptCosignature:
    """A witness's line for the checkpoint of `size`: it had seen the tree grow to there. `witness` is its verifier key."""

    size: int
    witness: str
    at: datetime
    line: str


@dataclass(frozen=True)
class KeptStamp:
    """What a time-stamping service answered about the checkpoint of `size` (RFC 3161): it existed at `at`."""

    size: int
    service: str
    """Its name in this instance's settings."""
    at: datetime
    """As the service says, in its signed answer."""
    kept_at: datetime
    answer: bytes
    """The whole answer (TimeStampResp, DER)."""


@dataclass(frozen=True)
class InclusionProof:
    """The path from leaf `index` to the root of a tree of `size` leaves."""

    index: int
    size: int
    path: tuple[bytes, ...]
