"""The forms of what the API takes and gives: pydantic at the door, frozen nouns inside."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import BeforeValidator, ConfigDict, StrictInt, StrictStr, StringConstraints, WithJsonSchema

from huitong.model.catalog import Openness, Sharing, UpdateCycle
from huitong.model.party import DivisionLevel, Role
from huitong.model.policy import GrantState, MaskKind
from huitong.model.sharing import RequestEventKind, RequestState
from huitong.portal.api.limits import LIMITS
from huitong.sharing.availability import AvailabilityKind


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError("a day is written YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
NO_NUL = r"^[^\x00]*$"
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=NO_NUL)]
"""What a person writes."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
"""A name or code; whether there is such a thing is decided inside."""


class Strict(Schema):
    """What is sent: a member that is not known is an error, never silence."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    """An error (RFC 9457): every reason as code, parameters and a sentence in the reader's language."""

    class ReasonOut(Schema):
        """One cause."""

        code: str
        parameters: dict[str, StrictInt | StrictStr]
        text: str

    type: str
    title: str
    status: int
    detail: str
    code: str
    reasons: list[ReasonOut]
    reasons_in_all: int | None = Field(None, description="How many reasons there are, when only the first are spelled out")
    query: str | None = Field(None, description="Number of the query under which operators find the rest")


class Bilingual(Strict):
    """The same words in Simplified Chinese and English."""

    zh: Words
    en: Words


class Page(Schema):
    """Which part of a list, and how many there are in all."""

    total: int
    limit: int
    offset: int


# --- who takes part ---------------------------------------------------------------------------------------------------------


class OfficeReference(Schema):
    """An office by id, with its title if it is known here."""

    id: str
    title: Bilingual | None = None


class Whoami(Schema):
    """The actor of this call."""

    person: str
    name: str
    post: str
    office: OfficeReference
    division: str
    roles: list[Role]


class DivisionOut(Schema):
    """An administrative division."""

    code: str
    name: str
    level: DivisionLevel
    parent: str | None
    valid_from: Day
    valid_to: Day | None


class Divisions(Page):
    """Divisions by code."""

    divisions: list[DivisionOut]


class OfficeOut(Schema):
    """An office."""

    id: str
    title: Bilingual
    division: str
    level: DivisionLevel
    credit_code: str
    superior: str | None


class Offices(Page):
    """Offices by id."""

    offices: list[OfficeOut]


# --- the catalogue ----------------------------------------------------------------------------------------------------------


class ItemIn(Strict):
    """One information item of a dataset."""

    name: Name
    title: Bilingual
    type: Annotated[str, StringConstraints(pattern="^(text|integer|decimal|boolean|date|instant)$")]
    grade: Annotated[int, Field(ge=1, le=4, strict=True)]
    meaning: Name | None = None


class DatasetIn(Strict):
    """A catalogue entry to publish."""

    id: Name
    title: Bilingual
    abstract: Bilingual
    classification: Name
    provider: Name
    collector: Name
    sharing: Sharing
    sharing_basis: Words
    sharing_condition: Bilingual | None = None
    openness: Openness
    update_cycle: UpdateCycle
    items: Annotated[list[ItemIn], Field(min_length=1, max_length=2000)]
    key: Name | None = None
    division_item: Name | None = None
    source: Words | None = None
    published_on: Day | None = Field(None, description="Taken from the day of the first publication, whatever is sent")


class MaskOut(Schema):
    """How an item leaves."""

    kind: MaskKind
    parameters: dict[str, StrictInt | StrictStr]


class ItemOut(Schema):
    """One information item with its sensitivity grade (1 public to 4 highly sensitive) and the mask it gets by default."""

    name: str
    title: Bilingual
    type: str
    grade: int
    meaning: str | None
    default_mask: MaskOut


class SnapshotOut(Schema):
    """An immutable version of a dataset's table. Where it lies is nobody's business."""

    version: int
    rows: int
    rejected_rows: int
    taken_at: datetime
    source_hash: str


class RejectOut(Schema):
    """Why a row was left out: its line, the item, a reason code. Never the value."""

    line: int
    item: str | None
    reason: str


class Loaded(SnapshotOut):
    """A new snapshot, and the first rows that were left out."""

    rejects: list[RejectOut]


class AvailabilityOut(Schema):
    """Can this office have it, how, by when."""

    kind: AvailabilityKind
    grants: list[str] = Field(description="Grants that may be used now, or are being prepared")
    request: str | None = Field(description="The request that waits for an answer")
    until: Day | None = Field(description="Last day of the longest grant")
    working_days: int | None = Field(description="Within how many working days an answer comes")
    answer_by: Day | None = Field(description="The last day of that limit, if you ask today")
    provisional: bool = Field(description="The holidays that this day depends on are not announced yet")
    code: str
    parameters: dict[str, StrictInt | StrictStr]
    text: str


class DatasetOut(Schema):
    """A catalogue entry as one sees it in a list."""

    id: str
    title: Bilingual
    abstract: Bilingual
    classification: str
    provider: OfficeReference
    collector: OfficeReference
    sharing: Sharing
    openness: Openness
    update_cycle: UpdateCycle
    grade: int
    item_count: int
    published_on: Day | None


class DatasetFull(DatasetOut):
    """A whole catalogue entry with its current snapshot and what this office may have of it."""

    sharing_basis: str
    sharing_condition: Bilingual | None
    items: list[ItemOut]
    key: str | None
    division_item: str | None
    source: str | None
    snapshot: SnapshotOut | None
    availability: AvailabilityOut


class Datasets(Page):
    """Datasets, best match first."""

    datasets: list[DatasetOut]


# --- requests and grants ----------------------------------------------------------------------------------------------------


class MaskIn(Strict):
    """How an item is to leave."""

    kind: MaskKind
    parameters: dict[str, StrictInt | StrictStr] = Field(default_factory=dict)


class ItemTermIn(Strict):
    """A wanted item; without a mask it gets the one its grade asks for."""

    item: Name
    mask: MaskIn | None = None


class RowsIn(Strict):
    """Only the rows of a division and of all below it."""

    division: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]


Items = Annotated[list[ItemTermIn], Field(min_length=1, max_length=2000)]


class RequestIn(Strict):
    """What an office asks for; `until` is the last day of use."""

    dataset: Name
    purpose: Name
    legal_basis: Words
    items: Items
    rows: RowsIn | None = None
    until: Day


class ApproveIn(Strict):
    """Yes; with items, rows or until: yes to that part of it."""

    items: Items | None = None
    rows: RowsIn | None = None
    until: Day | None = None
    words: Words | None = None
    weaker_masks: list[Name] = Field(
        default_factory=list,
        max_length=2000,
        description="Items for which you expressly agree to a mask that shows more than the default of their grade",
    )


class RefuseIn(Strict):
    """No, for a coded reason."""

    reason: Name
    words: Words | None = None


class WithdrawIn(Strict):
    """Nothing needs to be said."""


class RevokeIn(Strict):
    """Why the grant ends. The using office, giving it back, need not say."""

    words: Words | None = None


class ItemTermOut(Schema):
    """An item and how it leaves."""

    item: str
    mask: MaskOut


class RowsOut(Schema):
    """Rows whose `item` holds a division at or below `division`."""

    item: str
    division: str


class WishOut(Schema):
    """What was asked, or agreed."""

    purpose: str
    legal_basis: str
    items: list[ItemTermOut]
    rows: RowsOut | None
    mode: str
    until: Day


class EventOut(Schema):
    """One thing that happened to a request."""

    kind: RequestEventKind
    at: datetime
    actor: str
    office: str
    reason: str | None
    words: str | None
    wish: WishOut | None


class RequestOut(Schema):
    """A request with its whole history. `grant` is what came of it, if it was granted."""

    id: str
    dataset: str
    provider: OfficeReference
    applicant: str
    applicant_office: OfficeReference
    state: RequestState
    answer_due: Day | None
    wish: WishOut
    events: list[EventOut]
    grant: str | None


class Requests(Page):
    """Requests, newest first."""

    requests: list[RequestOut]


class GrantOut(Schema):
    """Who may use which dataset on which terms; [valid_from, valid_until) in UTC."""

    id: str
    version: int
    request: str
    dataset: str
    provider: OfficeReference
    using_office: OfficeReference
    signed_by: str
    state: GrantState
    valid: bool = Field(description="Whether it may be used at this instant")
    purpose: str
    legal_basis: str
    items: list[ItemTermOut]
    rows: RowsOut | None
    mode: str
    linkage_group: str
    valid_from: datetime
    valid_until: datetime
    terms_hash: str
    granted_at: datetime
    revoked_at: datetime | None
    revoked_because: str | None


class Grants(Page):
    """Grants, newest first."""

    grants: list[GrantOut]


# --- use and proof ----------------------------------------------------------------------------------------------------------


class QueryIn(Strict):
    """One SELECT for a stated purpose. The actor is the one of the token."""

    sql: Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.statement_characters)]
    purpose: Name


class ColumnOut(Schema):
    """A column of a result, with its Arrow type."""

    name: str
    type: str


class QueryOut(Schema):
    """A result. Decimals, dates and integers beyond 2^53 are text."""

    query: str
    columns: list[ColumnOut]
    rows: list[list[Any]]
    notices: list[Problem.ReasonOut]
    receipt: str


class WhyDataset(Schema):
    """A dataset that the statement would use: which items, under which grant, how each leaves."""

    dataset: str
    items: list[str]
    grant: str | None
    masks: list[ItemTermOut]
    rows: RowsOut | None
    valid_until: datetime | None
    snapshot: int | None


class WhyOut(Schema):
    """What would happen to the statement, and on which grounds. Nothing was run."""

    allowed: bool
    reasons: list[Problem.ReasonOut]
    datasets: list[WhyDataset]


class Receipt(Schema):
    """Proof of one use: verify it offline with `huitong receipt verify`."""

    format: str
    origin: str
    log_key: str
    entries: list[dict[str, Any]]
    checkpoint: str | None


class LedgerStatusOut(Schema):
    """How far the ledger has come."""

    size: int
    pending: int
    oldest_pending_seconds: float | None
    alarm: bool
    stopped: bool
    checkpoint_at: datetime | None
