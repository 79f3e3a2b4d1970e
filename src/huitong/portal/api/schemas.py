"""The forms of what the API takes and gives: pydantic at the door, frozen nouns inside."""

import re
from datetime import date, datetime
from typing import Annotated, Any, ClassVar

from ninja import Field, Schema
from pydantic import BeforeValidator, ConfigDict, StrictInt, StrictStr, StringConstraints, WithJsonSchema

from huitong.catalog.ports import Facet
from huitong.intake.plans import RunState, SourceKind
from huitong.model.catalog import LoadMode, Openness, ResourceFormat, Sharing, SharingManner, UpdateCycle, Visibility
from huitong.model.party import DivisionLevel, Role
from huitong.model.policy import GrantState, MaskKind
from huitong.model.quality import DriftKind, SuggestionState
from huitong.model.sharing import RequestEventKind, RequestKind, RequestState
from huitong.portal.api.limits import LIMITS
from huitong.portal.api.schemas_terms import BudgetUseOut, ConditionOut, NarrowedIn, NoisedOut, QuotaOut, QuotaUseOut, SubjectsOut, TermsIn
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
    successors: list[str]


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
    valid_from: Day | None
    valid_to: Day | None
    successor: str | None


class Offices(Page):
    """Offices by id."""

    offices: list[OfficeOut]


# --- the catalogue ----------------------------------------------------------------------------------------------------------


class ItemIn(Strict):
    """One information item of a dataset."""

    name: Name
    title: Bilingual
    type: Annotated[str, StringConstraints(pattern="^(text|integer|decimal|boolean|date|instant)$")]
    grade: Annotated[int, Field(ge=1, le=6, strict=True)]
    meaning: Name | None = None
    legal_basis: Words | None = Field(None, description="The clause it is collected under, if another than the dataset's")
    collector: Name | None = Field(None, description="Its collecting office, if another than the dataset's")
    derived_from: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list, description="Each as `dataset#item`")
    suggested: Words | None = Field(None, description="What a recogniser took it for; an entry that still says so is not published")


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
    format: ResourceFormat = ResourceFormat.DATABASE
    sharing_manner: SharingManner = SharingManner.QUERY
    openness_condition: Bilingual | None = None
    legal_basis: Words | None = None
    related: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list)
    primary_key: Annotated[list[Name], Field(max_length=50)] = Field(default_factory=list)
    derived_from: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list)
    visibility: Visibility = Visibility.EVERYONE
    known_to: Annotated[list[Name], Field(max_length=2000)] = Field(default_factory=list)
    spatial: Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")] | None = None
    licence: Name | None = None
    keep_days: Annotated[int, Field(ge=0, le=36_500, strict=True)] | None = None
    suggested: Words | None = Field(None, description="Stands in a draft that nobody has confirmed; such an entry is not published")
    published_on: Day | None = Field(None, description="Taken from the day of the first publication, whatever is sent")


class MaskOut(Schema):
    """How an item leaves."""

    kind: MaskKind
    parameters: dict[str, StrictInt | StrictStr]


class ReasonOut(Schema):
    """A cause or a fact, with its sentence in the reader's language."""

    code: str
    parameters: dict[str, StrictInt | StrictStr]
    text: str


class ItemOut(Schema):
    """One information item with its sensitivity grade (rank 1 public to 6 core) and the mask it gets by default."""

    name: str
    title: Bilingual
    type: str
    grade: int
    meaning: str | None
    legal_basis: str | None
    collector: str | None
    derived_from: list[str]
    default_mask: MaskOut


class SnapshotOut(Schema):
    """An immutable version of a dataset's table. Where it lies is nobody's business."""

    version: int
    mode: LoadMode
    rows: int
    rejected_rows: int
    taken_at: datetime
    removed_at: datetime | None = Field(description="When its files were removed, by retention or by law")
    source_hash: str | None = Field(description="SHA-256 of what was loaded, for the managing and the collecting office")


class SnapshotWithChanges(SnapshotOut):
    """A snapshot with what is other in its items than in the one before."""

    changes: list[ReasonOut]


class Snapshots(Schema):
    """Every snapshot of a dataset, newest first."""

    snapshots: list[SnapshotWithChanges]


class RejectOut(Schema):
    """Why a row was left out: its line, the item, a reason. Never the value."""

    line: int
    item: str | None
    reason: str
    text: str


class RejectedRow(Schema):
    """A row that was left out, with its text, for the managing office alone."""

    line: int
    item: str | None
    reason: ReasonOut
    row: str | None


class Rejects(Page):
    """Rows that were left out of a snapshot, by line."""

    rejects: list[RejectedRow]


class DecisionOut(Schema):
    """Something that was decided about a file, and why."""

    what: str
    value: str
    text: str


class ReadingOut(Schema):
    """What was understood of a file."""

    format: str
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    header_row: int | None
    decisions: list[DecisionOut]


class QualitySummary(Schema):
    """A quality report in a few numbers; shares are from 0 to 1."""

    version: int
    completeness: float | None
    validity: float | None
    late: bool
    due_at: datetime | None
    drifts: int


class ItemQualityOut(Schema):
    """One item of a snapshot. Counts are for the managing and collecting offices; others see shares to the percent."""

    item: str
    completeness: float | None
    validity: float | None
    present: int | None
    valid: int | None
    distinct: int | None


class KeyQualityOut(Schema):
    """Whether the primary key tells rows apart."""

    items: list[str]
    missing: int | None
    duplicates: int | None


class FreshnessOut(Schema):
    """The snapshot against the promised update cycle."""

    cycle: UpdateCycle
    taken_at: datetime
    due_at: datetime | None
    late: bool


class DriftOut(Schema):
    """A change against the snapshot before that a person should look at."""

    kind: DriftKind
    item: str | None
    before: float
    now: float
    text: str


class QualityOut(Schema):
    """The quality report of a snapshot. It never holds a value of the data."""

    dataset: str
    version: int
    made_at: datetime
    rows: int
    rejected_rows: int
    exact: bool = Field(description="Whether counts are told; if not, shares are rounded to the percent")
    items: list[ItemQualityOut]
    key: KeyQualityOut | None
    freshness: FreshnessOut
    drift: list[DriftOut]
    compared_with: int | None


class SuggestionOut(Schema):
    """What a recogniser takes an item for. A person decides."""

    item: str
    meaning: str
    grade: int
    mask: MaskOut
    sampled: int
    recognised: int
    why: ReasonOut
    state: SuggestionState
    decided_by: str | None
    decided_at: datetime | None
    words: str | None


class Suggestions(Schema):
    """Suggestions about the items of a dataset, open ones first."""

    suggestions: list[SuggestionOut]


class DecideIn(Strict):
    """Yes, that is what the item is; or no, and why."""

    item: Name
    meaning: Name
    confirm: bool
    words: Words | None = None


class SampleOut(Schema):
    """Synthetic rows of the right shape, made from the entry alone."""

    dataset: str
    synthetic: bool
    items: list[str]
    rows: list[list[Any]]


class Loaded(SnapshotWithChanges):
    """A new snapshot, what was understood of the file, the first rows that were left out, and what a person should look at."""

    rejects: list[RejectOut]
    reading: ReadingOut
    quality: QualitySummary | None
    open_suggestions: int


class SourceIn(Strict):
    """Where the rows of a planned load come from. No user name and no password: `credential` names what the operator keeps."""

    kind: Annotated[str, StringConstraints(pattern="^(file|database)$")]
    address: Words
    table: Name | None = None
    credential: Name | None = None
    changed_item: Name | None = None


class SourceLoadIn(Strict):
    """A source to be loaded once, and how."""

    source: SourceIn
    mode: LoadMode = LoadMode.REPLACE
    reject_limit: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = 0
    allow: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list, description="Changes of the items that are meant")


class SourceInspectIn(Strict):
    """A source to be looked at; with a dataset, only the columns that its items name."""

    source: SourceIn
    dataset: Name | None = None


class ReadingColumnOut(Schema):
    """A column as it looks: a suggested type and the reason for it."""

    name: str
    type: str
    missing: int
    text: str


class ReadingFull(ReadingOut):
    """What a source looks like."""

    sheets: list[str]
    rows: int | None
    columns: list[ReadingColumnOut]


class SourceOut(Schema):
    """Where the rows of a load come from."""

    kind: SourceKind
    address: str
    table: str | None
    credential: str | None
    changed_item: str | None


class LoadOut(Schema):
    """What became of a load."""

    id: str
    dataset: str
    plan: str | None
    source: SourceOut
    mode: LoadMode
    state: RunState
    person: str
    started_at: datetime
    finished_at: datetime | None
    rows_done: int
    rows_all: int | None
    version: int | None
    rejected_rows: int
    reasons: list[ReasonOut]


class Loads(Schema):
    """The newest loads of a dataset."""

    loads: list[LoadOut]


class PlanIn(Strict):
    """A load that is to recur."""

    dataset: Name
    source: SourceIn
    every: Name = Field(description="`hourly`, `daily 02:30`, `weekly mon 02:30`, `monthly 1 02:30`, in the instance's time zone")
    mode: LoadMode = LoadMode.REPLACE
    reject_limit: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = 0


class PlanOut(Schema):
    """A load that recurs."""

    id: str
    dataset: str
    source: SourceOut
    mode: LoadMode
    every: str
    reject_limit: int
    person: str
    next_run: datetime
    high_water: str | None
    stopped: ReasonOut | None


class Plans(Schema):
    """The planned loads of an office."""

    plans: list[PlanOut]


class Nothing(Strict):
    """Nothing needs to be said."""


class CredentialIn(Strict):
    """User and password of a database server. They never come back."""

    name: Name
    server: Name = Field(description="`host:port`, one of those that the operator allows")
    user: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=NO_NUL)]


class CredentialOut(Schema):
    """That there is a credential; never what it is."""

    name: str
    server: str


class CredentialsOut(Schema):
    """The credentials of an office."""

    credentials: list[CredentialOut]


class ErasureIn(Strict):
    """A person leaves every kept snapshot, by law."""

    datasets: Annotated[list[Name], Field(min_length=1, max_length=200)]
    identifier: Name
    legal_basis: Words
    words: Words


class ErasedOut(Schema):
    """What left one dataset. `waiting`: older versions that a running query still reads; they go when it ends."""

    dataset: str
    rows: int
    version: int | None
    waiting: list[int]


class Erasure(Schema):
    """What left."""

    datasets: list[ErasedOut]


class ApplyIn(Strict):
    """Entries of an office, all to be put in force or none."""

    entries: Annotated[list[DatasetIn], Field(min_length=1, max_length=10_000)]
    dry_run: bool = False


class ChangedOut(Schema):
    """An entry that is other than the one in force."""

    dataset: str
    fields: list[str]


class SkippedOut(Schema):
    """An entry that was left aside, and why."""

    dataset: str
    reason: ReasonOut


class Applied(Schema):
    """What was, or with `dry_run` would be, put in force."""

    added: list[str]
    changed: list[ChangedOut]
    unchanged: int
    skipped: list[SkippedOut]
    applied: bool


class EntriesOut(Schema):
    """Entries in full, as `publish` and `apply` take them."""

    entries: list[dict[str, Any]]


class StorageOut(Schema):
    """What a grade asks of storage."""

    sandbox_level: int
    keep_days: int
    barrier: bool


class GradeOut(Schema):
    """A grade of the scheme and what it asks for."""

    rank: int
    code: str
    title: Bilingual
    meaning: Bilingual
    reviewers: int
    modes: list[str]
    storage: StorageOut


class SchemeOut(Schema):
    """Which scheme it is."""

    id: str
    title: Bilingual
    source: str
    check_against_text: bool


class GradingOut(Schema):
    """The grading scheme in force."""

    listed: ClassVar = "grades"
    scheme: SchemeOut
    grades: list[GradeOut]


class EffectiveGradeOut(Schema):
    """The grade of a dataset as a whole, and what raises it above that of its items."""

    rank: int
    code: str
    title: Bilingual
    because: list[ReasonOut]


class SucceedIn(Strict):
    """Which office takes over, from which day, and why."""

    successor: Name
    on: Day
    words: Words


class MovedOut(Schema):
    """Something that was and what took its place."""

    old: str
    new: str


class Succeeded(Schema):
    """What moved to the successor."""

    office: str
    successor: str
    datasets: list[str]
    grants: list[MovedOut]
    requests: list[str]
    posts: list[MovedOut]


class DivisionChangesIn(Strict):
    """A CSV of old, new, day, kind."""

    changes: Annotated[str, StringConstraints(min_length=1, max_length=4_000_000, pattern=NO_NUL)]
    dry_run: bool = False


class GrantToLookAt(Schema):
    """A grant that a change of divisions touches."""

    grant: str
    text: str


class DivisionsChanged(Schema):
    """What changed."""

    changes: int
    dry_run: bool
    grants_to_look_at: list[GrantToLookAt]


class AvailabilityOut(Schema):
    """Can this office have it, how, by when."""

    kind: AvailabilityKind
    grants: list[str] = Field(description="Grants that may be used now, or are being prepared")
    request: str | None = Field(description="The request that waits for an answer")
    until: Day | None = Field(description="Last day of the longest grant")
    working_days: int | None = Field(description="Within how many working days an answer comes")
    answer_by: Day | None = Field(description="The last day of that limit, if you ask today")
    provisional: bool = Field(description="The holidays that this day depends on are not announced yet")
    reviewers: int | None = Field(description="How many different reviewers must agree if all of it is asked for")
    endorsed: bool = Field(description="The first of two reviewers has agreed to the waiting request")
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
    sharing_manner: SharingManner
    openness_condition: Bilingual | None
    legal_basis: str | None
    format: ResourceFormat
    related: list[str]
    items: list[ItemOut]
    key: str | None
    primary_key: list[str]
    division_item: str | None
    derived_from: list[str] = Field(description="Datasets it was made of, of those that you may know")
    visibility: Visibility
    known_to: list[str] = Field(description="Offices that may know of it; told to its own offices alone")
    spatial: str | None
    licence: str | None
    keep_days: int | None
    source: str | None
    effective_grade: EffectiveGradeOut
    quality: QualitySummary | None
    snapshot: SnapshotOut | None
    availability: AvailabilityOut


SOME = Field(max_length=50)
Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
DivisionCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]


class Narrowing(Schema):
    """Which values a search wants of each facet; none: any. The names are those of `Facet`."""

    office: Annotated[list[Key], SOME] = Field(default_factory=list)
    level: Annotated[list[DivisionLevel], SOME] = Field(default_factory=list)
    division: Annotated[list[DivisionCode], SOME] = Field(default_factory=list)
    family: Annotated[list[Annotated[str, StringConstraints(pattern=r"^[1-3]$")]], SOME] = Field(default_factory=list)
    grade: Annotated[list[Annotated[str, StringConstraints(pattern=r"^[1-6]$")]], SOME] = Field(default_factory=list)
    sharing: Annotated[list[Sharing], SOME] = Field(default_factory=list)
    openness: Annotated[list[Openness], SOME] = Field(default_factory=list)
    cycle: Annotated[list[UpdateCycle], SOME] = Field(default_factory=list)
    meaning: Annotated[list[Key], SOME] = Field(default_factory=list)

    def given(self) -> dict[Facet, list[str]]:
        """The facets that are narrowed, as the catalogue takes them."""
        return {facet: [str(value) for value in wanted] for facet in Facet if (wanted := getattr(self, facet.value))}


class FacetValue(Schema):
    """How many of the hits have this value; the narrowing by this facet itself is left out of account."""

    value: str
    count: int


class Datasets(Page):
    """Datasets, best match first."""

    datasets: list[DatasetOut]
    facets: dict[Facet, list[FacetValue]] = Field(description="Hits under each value of the facets asked for, the most frequent first")


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


class PurposeOut(Schema):
    """A purpose that data may be asked for and used for."""

    code: str
    title: Bilingual


class Purposes(Schema):
    """The controlled list of purposes."""

    purposes: list[PurposeOut]


class RequestIn(TermsIn):
    """What an office asks for; `until` is the last day of use."""

    dataset: Name
    purpose: Name
    legal_basis: Words
    items: Items
    rows: RowsIn | None = None
    until: Day
    kind: RequestKind = Field(RequestKind.SHARING, description="`opening`: an application for conditionally open data")


class ApproveIn(NarrowedIn):
    """Yes; with items, rows, until or further terms: yes to that part of it."""

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
    kind: RequestKind
    condition: list[ConditionOut]
    subjects: SubjectsOut | None
    k: int | None
    quota: QuotaOut | None
    noised: NoisedOut | None
    linkage: str


class EventOut(Schema):
    """One thing that happened to a request."""

    kind: RequestEventKind
    at: datetime
    actor: str
    office: str
    reason: str | None
    words: str | None
    wish: WishOut | None
    on_behalf_of: str | None = Field(description="The reviewer in whose place the actor acted; of more time, the head who approved it")
    due: Day | None = Field(description="The day that this sets: for the supplement, or for the answer by the regulator's word")


class RequestOut(Schema):
    """A request with its whole history. `grant` is what came of it, if it was granted."""

    id: str
    dataset: str
    provider: OfficeReference
    applicant: str
    applicant_office: OfficeReference
    state: RequestState
    answer_due: Day | None
    provisional: bool = Field(description="The holidays that the day of the answer depends on are not announced yet")
    wish: WishOut
    events: list[EventOut]
    grant: str | None
    continues: str | None = Field(description="The grant that it would extend or renew")


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
    condition: list[ConditionOut]
    subjects: SubjectsOut | None
    k: int | None
    quota: QuotaOut | None
    noised: NoisedOut | None
    linkage_group: str
    valid_from: datetime
    valid_until: datetime
    terms_hash: str
    granted_at: datetime
    revoked_at: datetime | None
    revoked_because: str | None


class GrantWithUse(GrantOut):
    """A grant, and how much of its quota is used in the period that runs."""

    use: QuotaUseOut | None
    budget: BudgetUseOut | None


class Grants(Page):
    """Grants, newest first."""

    grants: list[GrantOut]


# --- use and proof ----------------------------------------------------------------------------------------------------------


class QueryIn(Strict):
    """One SELECT for a stated purpose. The actor is the one of the token."""

    sql: Annotated[str, StringConstraints(min_length=1, max_length=LIMITS.statement_characters)]
    purpose: Name
    epsilon: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$")] | None = Field(
        None, description="Under a grant of noised totals: what the answer may spend of its budget; without it, as much as is usual"
    )


class AskIn(QueryIn):
    """The same, to be run."""

    stream: bool = Field(
        False,
        description="Whether the rows leave one block after the other as the engine finds them, many more than one answer holds; `Accept`"
        " is then one of application/x-ndjson, application/vnd.apache.arrow.stream, text/csv",
    )


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
    budget: BudgetUseOut | None


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


class ConsistencyOut(Schema):
    """A proof that one tree is the beginning of another."""

    first: int
    second: int
    path: list[str]


class CosignaturesIn(Schema):
    """Lines of witnesses for the checkpoint of a size."""

    size: int = Field(ge=1, le=2**53 - 1)
    lines: Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=NO_NUL)]


class CosignaturesOut(Schema):
    """The witnesses whose signatures of that checkpoint are kept, by their verifier keys."""

    size: int
    witnesses: list[str]
