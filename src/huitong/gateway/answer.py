"""The list of steps of one governed query, and nothing but the list: parse, resolve, authorise, rewrite, verify, intent, run,
gate, outcome. Only this file knows the order; nothing calls back.

Refusals leave as `errors.Refused` with every reason and the number of the query, after a `use-refused` entry is in the ledger. If
the ledger cannot be written, nothing runs and nothing leaves."""

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from huitong.errors import Conflict, HuitongError, InputInvalid, LedgerBroken, NotFound, NotSignedIn, Reason, Refused, Unavailable
from huitong.gateway.aggregates import faults_of_totals
from huitong.gateway.differencing import compared_items, shipped_audit
from huitong.gateway.gate import duration_bucket, gate, gate_batch, result_hash
from huitong.gateway.noising import exact, faults_of_noising, packed, told_with_noise, unpacked, widths, with_noise
from huitong.gateway.packing import faults_of_packing
from huitong.gateway.parse import Caps, parse, read_caps
from huitong.gateway.plan import DatasetPlan, Plan, PlanCache
from huitong.gateway.questions import KeptQuestion, Question
from huitong.gateway.resolve import Resolution, named_datasets, resolve
from huitong.gateway.reveal import Still, officer_as_user, sealed, statement_of, with_identifiers
from huitong.gateway.rewrite import rewrite
from huitong.gateway.rewrite.apart import FOUND, Comparison, too_close
from huitong.gateway.running import RunningUse, RunningUses, Watched
from huitong.gateway.streams import StreamLimits, read_stream_limits
from huitong.gateway.telling import Rounding, shipped_rounding, told
from huitong.gateway.verify import SecondParser, verify
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.ledger import Door, EntryKind, Promise, UseOfEntry
from huitong.model.party import Actor
from huitong.model.policy import Decision, DivisionRows, Grant, Mask, Mode, Terms, epsilon_text
from huitong.model.query import Answer, EngineLimits, GovernedQuery, QueryRequest
from huitong.model.reidentification import Revelation
from huitong.policy.compiled import Decider, evidence_of
from huitong.policy.decide import fault_of_actor, fault_of_purpose
from huitong.policy.schemes import GradingScheme
from huitong.policy.schemes import scheme as shipped_scheme
from huitong.sharing.noised import Budgets, BudgetUse, entity_item
from huitong.sharing.quotas import UseKind
from huitong.sharing.term_limits import term_limits
from huitong.sharing.wishes import rule_items

_LOG = logging.getLogger("huitong.gateway")


class Catalogue(Protocol):
    """Finds published datasets and the snapshot that a query reads."""

    def dataset(self, dataset_id: str, /) -> Dataset | None:
        """The published dataset of that id; None if there is none, published or at all."""

    def current_snapshot(self, dataset_id: str, /) -> Snapshot | None:
        """The snapshot in force; None if none was taken yet."""


class Grants(Protocol):
    """Finds the grants of one office."""

    def grants_of_office(self, office: str, datasets: Collection[str], /) -> Sequence[Grant]:
        """Grants of the using office for these datasets, in every state."""


class Divisions(Protocol):
    """Knows which division codes lie under a division on a day."""

    def codes_under(self, division_code: str, at: date, agreed: date | None = None, /) -> frozenset[str]:
        """The codes of the division itself and of all below it that are valid on the day."""


class SideTables(Protocol):
    """Finds the side tables that hold pseudonym tokens."""

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int, /) -> tuple[str, ...]:
        """Parquet files with `identifier` and `token` that cover the item in that snapshot; empty if they are not built."""


class SubjectFiles(Protocol):
    """Finds lists of subjects (`huitong.lake.subject_lists`)."""

    def files(self, subjects: str, /) -> tuple[str, ...]:
        """Parquet files with `identifier` that make the list; empty if it is not kept."""


class NoSubjects:
    """No list is kept: grants that go by one are refused."""

    def files(self, subjects: str, /) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()


class Quotas(Protocol):
    """Counts uses of grants with a quota (`huitong.sharing.quotas`)."""

    def reserve(
        self, *, query: str, grant: Grant, rows: int, seconds: float, at: datetime, kind: UseKind = ..., whole: bool = ..., uses: int = ...
    ) -> int:
        """Reserve up to so many rows; how many it may tell. Raises Refused if nothing, or not the whole, is left."""

    def settle(self, *, query: str, grant: Grant, rows: int, at: datetime) -> None:
        """It tells so many rows. Raises Refused if these must not leave any more."""

    def told(self, *, query: str, grant: Grant, rows: int, at: datetime) -> None:
        """So many of the rows that were reserved are about to leave, and count from now on. Raises Refused if they must not any more."""

    def release(self, *, query: str, grant: Grant, at: datetime) -> None:
        """Nothing more of it counts."""

    def against_query(self, grant: Grant, *, at: datetime) -> tuple[Reason, ...]:
        """Why a query under the grant would be refused now. Reserves nothing."""


class Watches(Protocol):
    """Keeps the questions of totals that were answered (`huitong.gateway.differencing`)."""

    def claimed(
        self, question: Question, /, *, query: str, grant: Grant, snapshot: int, at: datetime
    ) -> AbstractContextManager[Iterable[KeptQuestion]]:
        """While the block compares it with these and answers it, the question counts as answered; then it is, unless the block failed."""


class Leases(Protocol):
    """Keeps the files of a plan from being removed while it runs (`huitong.lake.snapshots.Lake`)."""

    def reading(self, files: Collection[str], /) -> AbstractContextManager[None]:
        """Keep these files while the block runs. Raises NotFound if one is gone already: plan again."""


class Reader(Protocol):
    """Gives the rows of a use from a copy by key (`huitong.gateway.record`)."""

    def prepare(self, plan: Plan, /) -> Mapping[str, Any]:
        """What the intent says besides. Raises Refused, which is recorded, for everything that speaks against the use."""

    def table(self, plan: Plan, /) -> pa.Table:
        """The rows that the plan shows, judged and masked."""


class Epoch(Protocol):
    """The counter that every change of grant, person, token, office or dataset moves."""

    def policy_epoch(self) -> int:
        """Its value now."""


class Engine(Protocol):
    """Runs governed SQL and nothing else."""

    def run(self, query: GovernedQuery, /) -> pa.Table:
        """The rows, or Refused / Unavailable with a code; never an engine's words."""

    def stream(self, query: GovernedQuery, /) -> Iterator[pa.RecordBatch]:
        """The rows batch by batch, at least one batch, and the same errors, also in the midst: then what came is no result."""


@runtime_checkable
class Interruptible(Protocol):
    """An engine that asks while it works whether it still may."""

    def run_while(self, query: GovernedQuery, still: Callable[[], None], /) -> pa.Table:
        """As `Engine.run`; what `still` raises ends its work and is raised."""

    def stream_while(self, query: GovernedQuery, still: Callable[[], None], /) -> Iterator[pa.RecordBatch]:
        """As `Engine.stream`; what `still` raises ends its work and is raised."""


class Record(Protocol):
    """The ledger, as far as uses go."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any], at: datetime | None = None) -> Promise:
        """Write one entry durably, or raise."""

    def receipt(self, entry_ids: Sequence[str]) -> Mapping[str, Any]:
        """The proof of these entries."""


class GroupedRecord(Protocol):
    """The ledger where uses that come at the same time share a commit (`huitong.ledger.grouping`)."""

    def append(self, *, kind: EntryKind, body: Mapping[str, Any], use: UseOfEntry | None = None) -> Promise:
        """Write one entry durably, and to which use it belongs, or raise."""


class Uses(Protocol):
    """Remembers which ledger entries belong to a query, so that its receipt can be fetched again."""

    def remember(self, *, query: str, actor: Actor, entries: Sequence[str], at: datetime) -> None:
        """Keep the entries of a query."""

    def entries_of(self, query: str) -> Sequence[str]:
        """The entries of a query, oldest first; empty if it is unknown."""

    def office_of(self, query: str) -> str | None:
        """The using office of a query."""


@dataclass(frozen=True)
class ItemUse:
    """One item that a statement uses and how it leaves."""

    item: str
    mask: Mask


@dataclass(frozen=True)
class DatasetUse:
    """One dataset of a statement: what of it is used and, if a grant carries it, on which terms."""

    dataset: str
    items: tuple[str, ...]
    grant: str | None
    masks: tuple[ItemUse, ...]
    rows: DivisionRows | None
    valid_until: datetime | None
    snapshot: int | None
    budget: BudgetUse | None = None
    """Of a grant of noised totals: what is spent and left."""


@dataclass(frozen=True)
class Explanation:
    """What a statement would use and why it may or may not; nothing was run."""

    decision: Decision
    datasets: tuple[DatasetUse, ...]

    @property
    def allowed(self) -> bool:
        """Whether the statement would run."""
        return self.decision.allowed


@dataclass(frozen=True)
class _Considered:
    """A statement as far as it could be understood and authorised."""

    reasons: tuple[Reason, ...]
    resolution: Resolution | None
    decision: Decision
    datasets: Mapping[str, Dataset]
    snapshots: Mapping[str, Snapshot]
    first: Mapping[str, Grant] = field(default_factory=dict)
    """The grant that a star stands for, dataset by dataset, before it is known which items are named."""


@dataclass(kw_only=True)
class _Use:
    """One use between its intent and its outcome."""

    query: str
    actor: Actor
    plan: Plan
    began: float
    entries: list[Promise]
    maximum_rows: int
    """How many rows may leave: what is left of a quota, if that is less than the limit of the door."""
    short: Reason | None = None
    """What to say where it is a quota that cuts the rows."""
    settled: bool = False
    """Whether its outcome was written, or at least begun."""
    counted: bool = False
    """Whether what it takes of quotas was settled."""
    epsilon: int | None = None
    """What it spends of a budget, in millionths; None: its grants have none."""
    kept: bytes | None = None
    """What was told to the same question before: then it spends nothing."""
    noise_drawn: bool = False
    """Whether noise was drawn, so that what it spends is spent."""
    gone: Callable[[], bool] = lambda: False
    """Whether whoever asked waits no more."""
    still: Callable[[], None] = lambda: None
    """Raises if whoever asked may not any more, whatever the grants say."""
    watched: Watched | None = None
    """Says that it runs, and whether somebody cancelled it; None: nobody can."""
    left: int | None = None
    """Of a use whose rows leave before its outcome is written: how many have. They are counted already. None: of any other use."""


LOOK_AGAIN_SECONDS = 1.0
"""While rows leave piece by piece, the right to them is looked at anew after so long."""


class Outflow:
    """A use whose rows leave piece by piece. They are a result only after `settle`; until then they must be shown to nobody."""

    def __init__(self, gateway: "Gateway", use: _Use, request: QueryRequest, limits: EngineLimits, *, grant: str | None) -> None:
        self._gateway = gateway
        self._use = use
        self._request = request
        self._limits = limits
        self._grant = grant
        self._rows: int | None = None

    @property
    def query(self) -> str:
        """Number of the use."""
        return self._use.query

    @property
    def plan(self) -> Plan:
        """What is read, under which grants."""
        return self._use.plan

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the order that the statement states. At least one batch, so that an empty result has its items.

        Raises Refused as soon as the right to them has ended, and where more rows would come than may leave."""
        maximum = self._use.maximum_rows
        limits = replace(self._limits, maximum_rows=maximum + 1)
        rows, looked = 0, time.monotonic()
        for batch in self._gateway.stream_of(self._use, self.plan.governed(self.query, limits, stream=True)):
            rows += batch.num_rows
            if rows > maximum:
                raise Refused(self._use.short or Reason("extract-too-many-rows", {"rows": maximum}))
            if time.monotonic() - looked >= LOOK_AGAIN_SECONDS:
                self._gateway.refuse_if_ended(self._request, self.plan, self._use.actor, grant=self._grant)
                self._gateway.refuse_if_stopped(self._use)
                looked = time.monotonic()
            yield gate_batch(batch)
        self._rows = rows

    def settle(self, *, result_hash: str) -> int:
        """All rows are where they go, and their bytes have this hash: from now on they may be shown. Returns how many there are."""
        if self._rows is None:
            raise Refused.because("query-failed", query=self.query)
        self._gateway.refuse_if_ended(self._request, self.plan, self._use.actor, grant=self._grant)
        self._gateway.settle(self._use, rows=self._rows, result_hash=result_hash)
        return self._rows


class Leaving:
    """A use whose rows leave at once, block by block. What has left stays left: it counts against quotas before it is handed over, and
    the outcome says how much it was, however the use ends."""

    def __init__(self, gateway: "Gateway", use: _Use, request: QueryRequest, limits: EngineLimits, most: StreamLimits) -> None:
        self._gateway = gateway
        self._use = use
        self._request = request
        self._limits = limits
        self._most = most
        self._looked = time.monotonic()
        self._whole = False
        use.left = 0

    @property
    def query(self) -> str:
        """Number of the use."""
        return self._use.query

    @property
    def notices(self) -> tuple[Reason, ...]:
        """What the person should know before the first row."""
        return self._use.plan.notices

    @property
    def maximum_rows(self) -> int:
        """How many rows may leave at most: what is left of a quota, if that is less than the limit of streamed answers."""
        return self._use.maximum_rows

    @property
    def rows(self) -> int:
        """How many have left so far."""
        return self._use.left or 0

    def blocks(self) -> Generator[pa.RecordBatch]:
        """The rows, in the order that the statement states and then of their values. At least one block, so that an empty result has its
        items. A block counts as having left as soon as it is given.

        Raises Refused as soon as the right to them has ended, their time is over, and where more rows would come than may leave."""
        maximum = self._use.maximum_rows
        limits = replace(self._limits, maximum_rows=maximum + 1)
        with closing(self._gateway.stream_of(self._use, self._use.plan.governed(self.query, limits, stream=True))) as batches:
            for batch in batches:
                for block in self._most.blocks(gate_batch(batch)):
                    if time.monotonic() - self._looked >= LOOK_AGAIN_SECONDS:
                        self.look()
                    if self.rows + block.num_rows > maximum:
                        raise Refused(self._use.short or Reason("stream-too-many-rows", {"rows": maximum}))
                    self._gateway.let_go(self._use, block.num_rows)
                    yield block
        self._whole = True

    def look(self) -> None:
        """Raise unless the rows may still leave: the right to them stands as when the use began, nobody cancelled it, whoever asked is
        there, and its time is not over. To be called each second while no row is taken."""
        self._looked = time.monotonic()
        self._gateway.refuse_if_ended(self._request, self._use.plan, self._use.actor, grant=None)
        self._gateway.refuse_if_stopped(self._use)
        if time.monotonic() - self._use.began >= self._limits.seconds:
            raise Refused.because("query-time-limit", query=self.query, seconds=f"{self._limits.seconds:g}")

    def settle(self, *, result_hash: str) -> int:
        """The last row was taken, and the bytes of all have this hash. Returns how many rows there are."""
        if not self._whole:
            raise Refused.because("query-failed", query=self.query)
        self.look()
        self._gateway.settle(self._use, rows=self.rows, result_hash=result_hash)
        return self.rows


class InFlight:
    """How many queries run in this process: no office takes all the places, and nobody waits for one."""

    def __init__(self, of_an_office: int, at_once: int) -> None:
        self._of_an_office = of_an_office
        self._at_once = at_once
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one_of(self, office: str, query: str) -> Iterator[None]:
        """Hold a place while the block runs. Raises Unavailable `queries-of-office` or `engine-busy`."""
        with self._lock:
            if self._running[office] >= self._of_an_office:
                raise Unavailable.because("queries-of-office", office=office, limit=self._of_an_office)
            if self._running.total() >= self._at_once:
                raise Unavailable.because("engine-busy", query=query)
            self._running[office] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[office] -= 1


class Gateway:
    """The only road from a statement to rows."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        grants: Grants,
        divisions: Divisions,
        side_tables: SideTables,
        epoch: Epoch,
        engine: Engine,
        ledger: Record,
        uses: Uses,
        second_parser: SecondParser,
        clock: Callable[[], datetime],
        limits: EngineLimits,
        statement_key: bytes,
        time_zone: tzinfo,
        caps: Caps | None = None,
        leases: Leases | None = None,
        scheme: GradingScheme | None = None,
        sandbox_level: Callable[[Dataset, int], int] = lambda _dataset, _rows: 0,
        barrier: Callable[[Dataset, int], bool] = lambda _dataset, _rows: False,
        subjects: SubjectFiles | None = None,
        quotas: Quotas | None = None,
        rounding: Rounding | None = None,
        watch: Watches | None = None,
        grouped: GroupedRecord | None = None,
        budgets: Budgets | None = None,
        running: RunningUses | None = None,
        streams: StreamLimits | None = None,
    ) -> None:
        """`limits.maximum_rows` is what a person may receive; the engine is asked for one row more, to know whether rows are
        left. `statement_key` salts the hash of a statement in the ledger and, by a key of its own, the noise of totals, which are rounded
        as `rounding` says (None: as shipped). `time_zone` is where the day of a snapshot is read.
        `leases` keeps the files of a query while it runs; None: nobody removes any. `scheme` is the grading scheme in force;
        `sandbox_level` and `barrier` say what the storage rule of a dataset of so many rows asks of engine and rewriter. Without
        `subjects`, `quotas`, `watch` or `budgets` grants that need them are refused. `grouped` writes entries in place of
        `ledger` and `uses`; None: each by itself. `running` shows the uses that run and lets them be cancelled; None: none is.
        `streams` limits answers whose rows leave one after the other (None: as shipped)."""
        self._catalogue = catalogue
        self._grants = grants
        self._divisions = divisions
        self._side_tables = side_tables
        self._epoch = epoch
        self._engine = engine
        self._ledger = ledger
        self._uses = uses
        self._grouped = grouped
        self._second_parser = second_parser
        self._clock = clock
        self._limits = limits
        self._statement_key = hmac.digest(statement_key, b"huitong/statement/1", hashlib.sha256)
        self._noise_key = hmac.digest(statement_key, b"huitong/noise-of-totals/1", hashlib.sha256)
        self._watch = watch
        self._rounding = rounding or shipped_rounding()
        self._time_zone = time_zone
        self._leases = leases
        self._decider = Decider(grants, scheme=scheme)
        self._sandbox_level = sandbox_level
        self._barrier = barrier
        self._scheme = scheme or shipped_scheme()
        self._subjects = subjects or NoSubjects()
        self._quotas = quotas
        self._budgets = budgets
        self._running = running
        self._noised = term_limits().noised
        self._caps = caps or read_caps()
        self._plans = PlanCache(self._caps.cached_plans)
        self._in_flight = InFlight(self._caps.queries_of_an_office, self._caps.queries_at_once)
        self._streams = streams or read_stream_limits()
        self._streaming = InFlight(self._streams.of_an_office, self._streams.at_once)

    def answer(
        self,
        request: QueryRequest,
        *,
        actor: Actor,
        gone: Callable[[], bool] = lambda: False,
        hashed: Callable[[pa.Table], str] = result_hash,
    ) -> Answer:
        """Run the statement for the purpose under the grants of the actor's office. `gone` says whether whoever asked waits no more:
        then the engine stops, as it does when the use is cancelled. `hashed` gives the hash of the bytes that leave, if these are not the
        Arrow stream.

        Raises Refused (the rules say no: all reasons, `.query` set) or Unavailable (the ledger or the engine cannot serve)."""
        query = new_query_number()
        with self._in_flight.one_of(actor.office, query), self._use(query, request, actor, door=Door.QUERY, gone=gone) as use:
            maximum = use.maximum_rows
            if use.plan.noising is not None:
                table = self._with_noise(use)
            else:
                table = self._totals(use) if use.plan.telling else self._run(use, self._governed(use, maximum))
            passed = gate(table, maximum_rows=maximum, ordered=use.plan.ordered, cut=use.short)
            digest = hashed(passed.table)
            self._refuse_if_ended(use.plan, actor)
            self.settle(use, rows=passed.table.num_rows, result_hash=digest)
            receipt = self._receipt(query, use.entries)
        notices = use.plan.notices + self._notices_of_noise(use) + passed.notices
        return Answer(query=query, table=passed.table, receipt=receipt, notices=notices)

    def _run(self, use: _Use, query: GovernedQuery) -> pa.Table:
        """What the engine gives. It stops within about a second of the end of a grant that carries the use, of its being cancelled, or
        of the departure of who asked, where it can be stopped."""
        if isinstance(self._engine, Interruptible):
            return self._engine.run_while(query, lambda: self._look_again(use))
        return self._engine.run(query)

    def stream_of(self, use: _Use, query: GovernedQuery) -> Generator[pa.RecordBatch]:
        """The same batch by batch."""
        if isinstance(self._engine, Interruptible):
            yield from self._engine.stream_while(query, lambda: self._look_again(use))
        else:
            yield from self._engine.stream(query)

    def _look_again(self, use: _Use) -> None:
        self._refuse_if_ended(use.plan, use.actor)
        self.refuse_if_stopped(use)

    def refuse_if_stopped(self, use: _Use) -> None:
        """Raise Refused if somebody cancelled the use, or whoever asked waits no more or may not any more."""
        if use.gone():
            raise Refused.because("query-caller-gone", query=use.query)
        use.still()
        if use.watched is not None:
            use.watched.look()

    def _governed(self, use: _Use, maximum_rows: int) -> GovernedQuery:
        """One row more than may leave, to know whether rows are left."""
        return use.plan.governed(use.query, replace(self._limits, maximum_rows=maximum_rows + 1))

    def _totals(self, use: _Use) -> pa.Table:
        """The groups as they are told, if none is too close to one that was told before. All are needed for that, whatever a quota
        leaves: where there are too many it is a refusal."""
        maximum, telling, (part,) = self._limits.maximum_rows, use.plan.telling, use.plan.datasets
        assert telling is not None
        if self._watch is None:
            raise Refused.because("totals-not-watched", grant=part.grant.id, dataset=part.dataset)
        claimed = self._watch.claimed(
            telling.question, query=use.query, grant=part.grant, snapshot=part.snapshot, at=self._clock()
        )
        with claimed as answered:
            for olds in _some_at_once(answered):
                self._refuse_if_too_close(use, part, telling.question, olds)
            groups = self._run(use, self._governed(use, maximum))
            if groups.num_rows > maximum:
                raise Refused.because("totals-too-many-groups", grant=part.grant.id, dataset=part.dataset, rows=maximum)
            return told(groups, telling, rounding=self._rounding, key=self._noise_key)

    def _with_noise(self, use: _Use) -> pa.Table:
        """Totals with noise, or what was told to the same question before."""
        noising, (part,), budgets = use.plan.noising, use.plan.datasets, self._budgets
        assert noising is not None and budgets is not None and use.epsilon is not None
        if use.kept is not None:
            return told_with_noise(unpacked(use.kept), noising)
        numbers = exact(self._run(use, self._governed(use, self._noised.groups)), noising)
        use.noise_drawn = True
        told_numbers = with_noise(numbers, noising, use.epsilon)
        question = noising.question(part.snapshot, use.plan.epsilon)
        budgets.keep(part.grant, question, packed(told_numbers), at=self._clock())
        return told_with_noise(told_numbers, noising)

    def _spend(self, use: _Use, request: QueryRequest) -> None:
        """Take from the budget what the answer spends: nothing, if it was given before. What is spent is a refusal like any other."""
        noising = use.plan.noising
        if noising is None:
            return
        (part,) = use.plan.datasets
        try:
            if self._budgets is None:
                raise Refused.because("noised-not-counted", grant=part.grant.id, dataset=part.dataset)
            use.kept = self._budgets.kept(part.grant, noising.question(part.snapshot, use.plan.epsilon))
            if use.kept is None:
                self._budgets.take(part.grant, use.plan.epsilon)
            use.epsilon = 0 if use.kept is not None else use.plan.epsilon
        except Refused as refusal:
            self._release(use)
            self._refuse(use.query, request, use.actor, refusal.reasons, [part.dataset])

    def _free_again(self, use: _Use, failure: BaseException) -> int:
        """What a use that failed does not spend after all: all of it, if a part could not serve before noise was drawn, unless the engine
        died of it, which may tell of the data. What it spends is said by its outcome before it is given back."""
        if not use.epsilon or use.noise_drawn or use.settled or not _not_begun(failure):
            return 0
        back, use.epsilon = use.epsilon, 0
        return back

    def _unspend(self, use: _Use, amount: int) -> None:
        """The budget has it back."""
        if amount and self._budgets is not None:
            (part,) = use.plan.datasets
            self._budgets.give_back(part.grant, amount)

    def _notices_of_noise(self, use: _Use) -> tuple[Reason, ...]:
        """What the noise is like and what is left of the budget: neither depends on the data."""
        if use.epsilon is None or use.plan.noising is None or self._budgets is None:
            return ()
        (part,) = use.plan.datasets
        left = self._budgets.use_of(part.grant)
        about = {"grant": part.grant.id, "epsilon": epsilon_text(use.epsilon), "left": epsilon_text(left.left if left else 0)}
        first = Reason("noised-told-before" if use.kept is not None else "noised-told", about)
        found = widths(use.plan.noising, use.plan.epsilon)
        return (first, *(Reason("noised-within", {"output": name, "within": width}) for name, width in found))

    def _refuse_if_too_close(self, use: _Use, part: DatasetPlan, question: Question, olds: Sequence[KeptQuestion]) -> None:
        """Compare a question with earlier ones about the snapshot of now, in one statement. One that cannot be compared is a refusal
        too."""
        about = {"grant": part.grant.id, "dataset": part.dataset}
        comparisons: list[Comparison] = []
        try:
            for old in olds:
                if any(part.described.item(name) is None for name in old.question.items):
                    raise Refused.because("rewrite-failed")
                before = replace(part, grant=replace(part.grant, terms=old.terms), codes=self._codes(old.terms, part.read))
                comparisons += [Comparison(old.question, before, known) for known in compared_items(question, old.question)]
            plan = too_close(
                (question, part),
                comparisons,
                side_files=self._side_tables.files,
                subject_files=self._subjects.files,
                caps=self._caps,
            )
        except HuitongError:
            raise Refused.because("totals-not-comparable", **about) from None
        verify(plan, self._second_parser)
        found = self._run(use, plan.governed(use.query, self._limits))
        if found.column(FOUND).to_pylist() != [0]:
            k = max(part.grant.terms.k or 0, *(old.terms.k or 0 for old in olds))
            raise Refused.because("totals-differ-too-little", **about, k=k)

    def reveal(self, asked: Revelation, *, actor: Actor, still: Still) -> Answer:
        """Tell the identifiers behind tokens that a grant shows: the same use as `answer`, with the same steps and entries, under that
        grant alone. `still` is called when they are found and before anything leaves, and raises if the case has ended.

        Raises as `answer` does, and Refused `rows-alone` for a grant that does not let single rows leave."""
        query = new_query_number()
        request = QueryRequest(sql=statement_of(asked), purpose=asked.purpose)
        officer, at_most = officer_as_user(actor), len(asked.tokens)
        with (
            self._in_flight.one_of(actor.office, query),
            self._use(
                query,
                request,
                officer,
                maximum_rows=at_most,
                grant=asked.grant,
                piecemeal=True,
                about=asked.about,
                kind=UseKind.CALL,
                exactly=at_most,
                door=Door.REIDENTIFICATION,
            ) as use,
        ):
            plan = with_identifiers(use.plan, asked)
            verify(plan, self._second_parser)
            table = sealed(self._run(use, plan.governed(query, replace(self._limits, maximum_rows=at_most))), asked)
            self._refuse_if_ended(use.plan, actor)
            still()
            told = table.num_rows - table.column("identifier").null_count
            self.settle(use, rows=told, result_hash=result_hash(table))
            receipt = self._receipt(query, use.entries)
        return Answer(query=query, table=table, receipt=receipt)

    def read(
        self,
        request: QueryRequest,
        reader: Reader,
        *,
        actor: Actor,
        maximum_rows: int,
        seconds: float,
        calls: int,
        door: Door,
        exactly: int | None = None,
    ) -> Answer:
        """The same use as `answer`, with the same steps and entries, whose rows come from a copy by key instead of an engine. It takes
        `calls` of a quota, and of rows what leaves or, if that is stated, `exactly` so many whatever leaves.

        Raises Refused `rows-alone` for a grant that does not let single rows leave, what the reader finds, and as `answer` does."""
        query = new_query_number()
        with self._use(
            query,
            request,
            actor,
            maximum_rows=maximum_rows,
            piecemeal=True,
            seconds=seconds,
            kind=UseKind.CALL,
            uses=calls,
            door=door,
            exactly=exactly,
            prepare=reader.prepare,
        ) as use:
            passed = gate(reader.table(use.plan), maximum_rows=use.maximum_rows, ordered=True, cut=use.short)
            self._refuse_if_ended(use.plan, actor)
            rows = passed.table.num_rows if exactly is None else exactly
            self.settle(use, rows=rows, result_hash=result_hash(passed.table))
            receipt = self._receipt(query, use.entries)
        return Answer(query=query, table=passed.table, receipt=receipt, notices=passed.notices)

    @contextmanager
    def stream(
        self, request: QueryRequest, *, actor: Actor, limits: EngineLimits, grant: str | None = None
    ) -> Iterator[Outflow]:
        """The same use as `answer`, for more rows than one holds at once: they leave piece by piece while the block runs.

        The statement must say in which order they come. With `grant`, that grant alone may carry it. The block calls `settle` when all
        rows are where they go; a block that ends without it has failed, and its rows are to be thrown away. Raises Refused `rows-alone`
        for a grant that does not let single rows leave, and as `answer` does."""
        query = new_query_number()
        with (
            self._in_flight.one_of(actor.office, query),
            self._use(
                query,
                request,
                actor,
                maximum_rows=limits.maximum_rows,
                grant=grant,
                piecemeal=True,
                seconds=limits.seconds,
                kind=UseKind.CALL,
                door=Door.EXTRACT,
            ) as use,
        ):
            yield Outflow(self, use, request, limits, grant=grant)
            if not use.settled:
                raise Refused.because("query-failed", query=query)

    def tells_single_rows(self, request: QueryRequest, *, actor: Actor) -> bool:
        """Whether `leaving` would let the rows of the statement leave: not under grants that give totals. Records nothing."""
        return not _against_single_rows(self._consider(request, actor, self._clock()).decision)

    @contextmanager
    def leaving(
        self,
        request: QueryRequest,
        *,
        actor: Actor,
        gone: Callable[[], bool] = lambda: False,
        still: Callable[[], None] = lambda: None,
    ) -> Iterator[Leaving]:
        """The same use as `answer`, for more rows than one answer holds: they leave one block after the other while the block runs, which
        ends with `settle`. One that ends without it has failed; what has left by then is counted and recorded all the same.

        In which order the rows come follows from their values alone: after what the statement orders by they go by every column, else
        the order in which rows are stored would pair the rows of two answers. `still` raises when whoever asked may not any more.
        Raises Refused `rows-alone` for a grant that does not let single rows leave, and as `answer` does."""
        query = new_query_number()
        limits = replace(self._limits, seconds=float(self._streams.seconds), maximum_rows=self._streams.rows)
        with (
            self._streaming.one_of(actor.office, query),
            self._use(
                query,
                request,
                actor,
                maximum_rows=limits.maximum_rows,
                piecemeal=True,
                in_full=True,
                about={"streamed": True},
                seconds=limits.seconds,
                gone=gone,
                still=still,
            ) as use,
        ):
            yield Leaving(self, use, request, limits, self._streams)
            if not use.settled:
                raise Refused.because("query-failed", query=query)

    @property
    def streams(self) -> StreamLimits:
        """How large an answer may be whose rows leave one after the other."""
        return self._streams

    def planned(
        self, request: QueryRequest, *, actor: Actor, maximum_rows: int, grant: str | None = None
    ) -> Plan:
        """What `stream` would run now; runs nothing. A refusal is recorded, as that of any use."""
        return self._plan(new_query_number(), request, actor, maximum_rows=maximum_rows, grant=grant, piecemeal=True)

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
        """A new use of rows that an earlier one wrote down: same steps and entries, but nothing is run. Returns its number. Of a quota it
        takes a call; the rows counted when they were written down, and are the same.

        Raises Conflict `extract-superseded` if the statement would give other rows now than those of `fingerprint`."""
        query = new_query_number()
        asked: Any = {"maximum_rows": maximum_rows, "grant": grant, "piecemeal": True}
        with self._use(query, request, actor, **asked, kind=UseKind.CALL, exactly=0, door=Door.EXTRACT) as use:
            if use.plan.fingerprint != fingerprint:
                raise Conflict.because("extract-superseded")
            self._count(use, 0)
            self._end(use, {"rows": rows, "result_hash": result_hash, "again": True})
        return query

    def standing(self, request: QueryRequest, *, actor: Actor, grant: str | None = None) -> tuple[Reason, ...]:
        """Every reason against the statement now; nothing is run and nothing recorded."""
        return self._consider(request, actor, self._clock(), grant=grant).reasons

    @property
    def engine(self) -> Engine:
        """What runs governed SQL."""
        return self._engine

    @contextmanager
    def _use(
        self,
        query: str,
        request: QueryRequest,
        actor: Actor,
        *,
        maximum_rows: int | None = None,
        grant: str | None = None,
        piecemeal: bool = False,
        about: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        kind: UseKind = UseKind.QUERY,
        exactly: int | None = None,
        door: Door = Door.QUERY,
        uses: int = 1,
        prepare: Callable[[Plan], Mapping[str, Any]] | None = None,
        gone: Callable[[], bool] = lambda: False,
        still: Callable[[], None] = lambda: None,
        in_full: bool = False,
    ) -> Iterator[_Use]:
        """One use from its plan and intent to its outcome: the block runs between them and settles it, or it has failed. `about` is what
        the intent says besides.

        What it may take of a quota is reserved before the intent is written. Of `exactly` so many rows a quota gives all or none."""
        asked: Any = {"maximum_rows": maximum_rows, "grant": grant, "piecemeal": piecemeal, "in_full": in_full}
        with ExitStack() as lease:
            plan = self._plan(query, request, actor, **asked)
            try:
                lease.enter_context(self._kept(plan))
            except NotFound:  # a file was removed since: with what is there now
                plan = self._plan(query, request, actor, anew=True, **asked)
                lease.enter_context(self._kept(plan))
            if prepare is not None:
                try:
                    about = {**(about or {}), **prepare(plan)}
                except Refused as refusal:
                    self._refuse(query, request, actor, refusal.reasons, [part.dataset for part in plan.datasets])
            wanted = (self._limits.maximum_rows if maximum_rows is None else maximum_rows) if exactly is None else exactly
            use = _Use(query=query, actor=actor, plan=plan, began=time.monotonic(), entries=[], maximum_rows=wanted, gone=gone)
            use.still = still
            self._reserve(use, request, seconds or self._limits.seconds, kind, whole=exactly is not None, uses=uses)
            self._spend(use, request)
            told = {**(about or {}), "door": door.value, **self._intent(query, request, actor, plan)}
            if use.epsilon is not None:
                told["epsilon"] = use.epsilon
            try:
                use.entries.append(self._append(query, EntryKind.USE_INTENT, told))
            except BaseException:
                self._release(use)
                self._unspend(use, use.epsilon or 0)
                raise
            if self._running is not None:
                use.watched = self._running.watched(_running(use, request, door))
                lease.callback(use.watched.close)
            try:
                yield use
            except BaseException as failure:
                self._count_failed(use, failure)
                back = self._free_again(use, failure)
                if not use.settled:
                    self._end(use, _failed(failure) if use.left is None else {**_failed(failure), "rows": use.left})
                self._unspend(use, back)
                raise _without_engine_words(failure, query) from None

    def _reserve(self, use: _Use, request: QueryRequest, seconds: float, kind: UseKind, *, whole: bool, uses: int) -> None:
        """Reserve what the use may take of each quota. What is used up is a refusal like any other, and recorded."""
        limited = [part.grant for part in use.plan.datasets if part.grant.terms.quota is not None]
        reserved: list[Grant] = []
        try:
            for grant in limited:
                if self._quotas is None:
                    raise Refused.because("quota-not-counted", grant=grant.id, dataset=grant.dataset)
                given = self._quotas.reserve(
                    query=use.query,
                    grant=grant,
                    rows=use.maximum_rows,
                    seconds=seconds,
                    at=self._clock(),
                    kind=kind,
                    whole=whole,
                    uses=uses,
                )
                reserved.append(grant)
                if given < use.maximum_rows:
                    use.maximum_rows = given
                    use.short = Reason("rows-cut-by-quota", {"rows": given, "grant": grant.id, "dataset": grant.dataset})
        except HuitongError as refusal:
            for grant in reserved:
                assert self._quotas is not None
                self._quotas.release(query=use.query, grant=grant, at=self._clock())
            if not isinstance(refusal, Refused):
                raise
            self._refuse(use.query, request, use.actor, refusal.reasons, [part.dataset for part in use.plan.datasets])

    def _count(self, use: _Use, rows: int) -> None:
        """What the use tells counts from now on. Raises Refused if it took too long and its rows are not left any more."""
        if self._quotas is not None and not use.counted:
            for part in use.plan.datasets:
                self._quotas.settle(query=use.query, grant=part.grant, rows=rows, at=self._clock())
        use.counted = True

    def let_go(self, use: _Use, rows: int) -> None:
        """So many rows leave now: they count from now on, whatever becomes of the use. Raises Refused if they must not."""
        assert use.left is not None
        if self._quotas is not None and rows:
            for part in use.plan.datasets:
                self._quotas.told(query=use.query, grant=part.grant, rows=rows, at=self._clock())
        use.left += rows

    def _count_failed(self, use: _Use, failure: BaseException) -> None:
        """A use that failed tells no more rows than have left, but it was a query or call; one for which a part could not serve counts not
        at all. One that the engine died of counts: else a statement that makes it die would be free."""
        if use.counted:
            return
        try:
            if _not_begun(failure):
                self._release(use)
            else:
                self._count(use, 0)
        except Exception as error:
            # what was reserved stays until its time is over
            _LOG.error("the quota of query %s could not be settled: %s", use.query, type(error).__name__)

    def _release(self, use: _Use) -> None:
        if self._quotas is not None:
            for part in use.plan.datasets:
                self._quotas.release(query=use.query, grant=part.grant, at=self._clock())

    def _kept(self, plan: Plan) -> AbstractContextManager[None]:
        """Keep the files of the plan while it runs."""
        if self._leases is None:
            return nullcontext()
        return self._leases.reading({file for table in plan.tables for file in table.files})

    def settle(self, use: _Use, *, rows: int, result_hash: str) -> None:
        """Count and write what came of the use. Only after this may anything leave, or, where rows left before and are counted, the word
        that they are all."""
        self._count(use, rows if use.left is None else 0)
        self._end(use, {"rows": rows, "result_hash": result_hash})

    def _end(self, use: _Use, found: Mapping[str, Any]) -> None:
        use.settled = True
        body = {"query": use.query, "intent": use.entries[0].entry, **found, "duration_bucket": _since(use.began)}
        if use.epsilon is not None:
            body["epsilon"] = use.epsilon
        use.entries.append(self._append_known(use.query, EntryKind.USE_OUTCOME, body, use.actor, use.entries))

    def why(self, request: QueryRequest, *, actor: Actor, counted: bool = True) -> Explanation:
        """What the statement would use, on which terms, and every reason against it; `counted`: quotas that are used up among them.
        Runs nothing, records nothing."""
        at = self._clock()
        considered = self._consider(request, actor, at)
        uses: list[DatasetUse] = []
        items_of = considered.resolution.uses() if considered.resolution else {}
        # Where the whole is refused, each dataset still shows the grant that stands, so that a person sees what is missing.
        for dataset_id in sorted(items_of):
            grant = considered.decision.grants.get(dataset_id) or considered.first.get(dataset_id)
            snapshot = considered.snapshots.get(dataset_id)
            names = tuple(sorted(items_of[dataset_id]))
            masks = tuple(ItemUse(name, mask) for name in names if grant and (mask := mask_of(grant, name)) is not None)
            uses.append(
                DatasetUse(
                    dataset=dataset_id,
                    items=names,
                    grant=grant.id if grant else None,
                    masks=masks,
                    rows=grant.terms.rows if grant else None,
                    valid_until=grant.terms.valid_until if grant else None,
                    snapshot=snapshot.version if snapshot else None,
                    budget=self._budgets.use_of(grant) if grant and self._budgets else None,
                )
            )
        reasons = considered.reasons or (self._against_quotas(considered.decision, request, at) if counted else ())
        return Explanation(Decision(considered.decision.grants if not reasons else {}, reasons), tuple(uses))

    def _against_quotas(self, decision: Decision, request: QueryRequest, at: datetime) -> tuple[Reason, ...]:
        """What a use would meet at the quotas and budgets of its grants, as they are used now."""
        found: list[Reason] = []
        for grant in decision.grants.values():
            if grant.terms.mode is Mode.NOISED and self._budgets is not None:
                found += self._budgets.against(grant, self._noised.question if request.epsilon is None else request.epsilon)
            if grant.terms.quota is None:
                continue
            if self._quotas is None:
                found.append(Reason("quota-not-counted", {"grant": grant.id, "dataset": grant.dataset}))
            else:
                found += self._quotas.against_query(grant, at=at)
        return tuple(found)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _plan(
        self,
        query: str,
        request: QueryRequest,
        actor: Actor,
        *,
        anew: bool = False,
        maximum_rows: int | None = None,
        grant: str | None = None,
        piecemeal: bool = False,
        in_full: bool = False,
    ) -> Plan:
        """A verified plan, from the cache when nothing that it rests on has changed. Refusals are recorded here."""
        at = self._clock()
        text = hashlib.sha256(request.sql.encode("utf-8", "surrogatepass")).digest()
        maximum = self._limits.maximum_rows if maximum_rows is None else maximum_rows
        epoch = self._epoch.policy_epoch()
        key = (text, request.purpose, actor.office, epoch, maximum, grant, piecemeal, in_full, request.epsilon)
        kept = None if anew else self._plans.get(key)
        if kept is not None and fault_of_actor(actor) is None and self._still_holds(kept, at):
            return kept
        considered = self._consider(request, actor, at, grant=grant)
        reasons = considered.reasons
        plan: Plan | None = None
        if not reasons and piecemeal:
            reasons = _against_single_rows(considered.decision)
        if not reasons and considered.resolution is not None:
            try:
                plan = self._rewrite(considered, maximum_rows=maximum, in_full=in_full)
                if plan.noising is not None:
                    plan = replace(plan, epsilon=self._noised.question if request.epsilon is None else request.epsilon)
            except HuitongError as refusal:
                reasons = refusal.reasons
            except Exception as error:
                _LOG.error("a statement could not be rewritten: %s", type(error).__name__)
                reasons = (Reason("rewrite-failed"),)
        if plan is None:
            used = sorted(considered.resolution.uses()) if considered.resolution else []
            self._refuse(query, request, actor, reasons, used)
        assert plan is not None
        if self._epoch.policy_epoch() != epoch:
            # A rule changed while this was planned: what was read before and after it may not fit, as tokens of two key epochs do not.
            asked: Any = {"maximum_rows": maximum_rows, "grant": grant, "piecemeal": piecemeal, "in_full": in_full}
            return self._plan(query, request, actor, anew=anew, **asked)
        plan = replace(plan, epoch=epoch)
        if len(plan.sql) <= self._caps.cached_characters:
            self._plans.put(key, plan)
        return plan

    def _still_holds(self, plan: Plan, at: datetime) -> bool:
        for part in plan.datasets:
            snapshot = self._catalogue.current_snapshot(part.dataset)
            if snapshot is None or snapshot.version != part.snapshot or not part.grant.valid_at(at):
                return False
        return True

    def _refuse_if_ended(self, plan: Plan, actor: Actor) -> None:
        """A grant that ended while the engine ran gives no rows: what was begun under it does not leave after it."""
        at = self._clock()
        if self._epoch.policy_epoch() == plan.epoch:  # the grants are those of the plan: the clock alone can have ended them
            held = {part.grant.id: part.grant for part in plan.datasets}
        else:
            grants = self._grants.grants_of_office(actor.office, tuple(part.dataset for part in plan.datasets))
            held = {grant.id: grant for grant in grants}
        ended = [part for part in plan.datasets if part.grant.id not in held or not held[part.grant.id].valid_at(at)]
        if ended:
            raise Refused(*(Reason("grant-ended-meanwhile", {"grant": part.grant.id, "dataset": part.dataset}) for part in ended))

    def refuse_if_ended(self, request: QueryRequest, plan: Plan, actor: Actor, *, grant: str | None) -> None:
        """Raise Refused if what stands now would not let this use begin: a grant ended, a grade was raised, a post changed."""
        self._refuse_if_ended(plan, actor)
        if reasons := self.standing(request, actor=actor, grant=grant):
            raise Refused(*reasons)

    def _consider(self, request: QueryRequest, actor: Actor, at: datetime, *, grant: str | None = None) -> _Considered:
        """Parse, resolve, authorise: everything that can be said against a statement before it is rewritten."""
        nothing = Decision({}, ())
        about_person = tuple(
            fault for fault in (fault_of_actor(actor), fault_of_purpose(request.purpose)) if fault is not None
        )
        try:
            tree = parse(request.sql, self._caps)
            names = named_datasets(tree, self._caps)
        except HuitongError as refusal:
            return _Considered(tuple(dict.fromkeys(about_person + refusal.reasons)), None, nothing, {}, {})
        there = {name: dataset for name in sorted(names) if (dataset := self._catalogue.dataset(name)) is not None}
        rights = self._decider.rights(actor.office, there, epoch=self._epoch.policy_epoch())
        rights = rights if grant is None else rights.only(actor.office, grant)
        # An entry that the office may not know of is one that does not exist, unless the office holds a grant over it: who was
        # granted the use knows of it, and is told why when that use ends.
        granted = rights.granted(actor.office, there)
        datasets = {name: one for name, one in there.items() if one.is_known_to(actor.office) or name in granted}
        first = rights.first_choice(actor=actor, purpose=request.purpose, datasets=datasets, at=at)
        try:
            resolution = resolve(tree, datasets=datasets, grants=first, caps=self._caps)
            decision = rights.decide(actor=actor, purpose=request.purpose, uses=resolution.named_uses(), at=at)
            if decision.allowed and any(first[name] is not one for name, one in decision.grants.items()):
                resolution = resolve(parse(request.sql, self._caps), datasets=datasets, grants=decision.grants, caps=self._caps)
        except Exception as error:
            _LOG.error("a statement could not be resolved: %s", type(error).__name__)
            return _Considered((*about_person, Reason("statement-not-understood")), None, nothing, {}, {})
        limited: list[Reason] = []
        if decision.allowed:
            limited += faults_of_totals(resolution, decision.grants)
            limited += faults_of_noising(resolution, decision.grants, self._noised)
            limited += self._against_epsilon(request, decision)
            limited += faults_of_packing(resolution, decision.grants)
            limited += self._against_rules(decision, datasets)
        reasons = list(dict.fromkeys((*decision.reasons, *resolution.faults, *limited)))
        snapshots: dict[str, Snapshot] = {}
        for name in resolution.uses():
            snapshot = self._catalogue.current_snapshot(name)
            if snapshot is not None:
                snapshots[name] = snapshot
            elif decision.allowed:
                reasons.append(Reason("dataset-without-snapshot", {"dataset": name, "provider": datasets[name].provider}))
        return _Considered(tuple(reasons), resolution, decision, datasets, snapshots, first)

    def _against_epsilon(self, request: QueryRequest, decision: Decision) -> list[Reason]:
        """A question may say what it spends where that is known, and within reason."""
        if request.epsilon is None:
            return []
        if not any(grant.terms.mode is Mode.NOISED for grant in decision.grants.values()):
            return [Reason("epsilon-without-budget")]
        least, most = self._noised.least_question, self._noised.most_epsilon
        if not least <= request.epsilon <= most:
            return [Reason("epsilon-out-of-range", {"least": epsilon_text(least), "most": epsilon_text(most)})]
        return []

    def _against_rules(self, decision: Decision, datasets: Mapping[str, Dataset]) -> list[Reason]:
        """A condition or a list of subjects tells of its item: one whose grade was raised, so that it may not leave, cuts no rows."""
        faults = []
        for name, grant in decision.grants.items():
            for rule_item in rule_items(grant.terms):
                item = datasets[name].item(rule_item)
                grade = self._scheme.at(item.grade) if item is not None else None
                if item is not None and grade is not None and grant.terms.mode.value not in grade.modes:
                    about = {"dataset": name, "provider": datasets[name].provider, "grant": grant.id}
                    mode = grant.terms.mode.value
                    faults.append(Reason("grant-above-grade", {**about, "item": item.name, "grade": grade.code, "mode": mode}))
        return faults

    def _rewrite(self, considered: _Considered, *, maximum_rows: int, in_full: bool) -> Plan:
        """Governed SQL over random names, checked by a second parser."""
        assert considered.resolution is not None
        parts: dict[str, DatasetPlan] = {}
        for name, items in considered.resolution.uses().items():
            grant, dataset, snapshot = considered.decision.grants[name], considered.datasets[name], considered.snapshots[name]
            parts[name] = DatasetPlan(
                dataset=name,
                described=dataset,
                grant=grant,
                read=snapshot,
                codes=self._codes(grant.terms, snapshot),
                sandbox_level=self._sandbox_level(dataset, snapshot.rows),
                barrier=self._barrier(dataset, snapshot.rows),
                items=tuple(sorted(items)),
            )
        plan = rewrite(
            considered.resolution,
            parts,
            side_files=self._side_tables.files,
            subject_files=self._subjects.files,
            maximum_rows=maximum_rows + 1,
            caps=self._caps,
            in_full=in_full,
        )
        verify(plan, self._second_parser)
        return replace(plan, notices=plan.notices + considered.decision.notices + _notices_of_totals(plan, self._rounding))

    def _codes(self, terms: Terms, snapshot: Snapshot) -> frozenset[str] | None:
        """The division codes that rows of the snapshot may have under these terms; None if they go by no division."""
        if terms.rows is None:
            return None
        day = snapshot.taken_at.astimezone(self._time_zone).date()
        agreed = terms.valid_from.astimezone(self._time_zone).date()
        return self._divisions.codes_under(terms.rows.division, day, agreed)

    # --- the record ---------------------------------------------------------------------------------------------------

    def _statement_hash(self, request: QueryRequest) -> str:
        return hmac.digest(self._statement_key, request.sql.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    def _intent(self, query: str, request: QueryRequest, actor: Actor, plan: Plan) -> Mapping[str, Any]:
        bases = sorted({part.grant.terms.purpose.legal_basis for part in plan.datasets})
        return {
            "query": query,
            "actor": actor.person,
            "office": actor.office,
            "post": actor.post,
            "purpose": request.purpose,
            "legal_basis": "; ".join(bases),
            "grants": [evidence_of_use(part) for part in plan.datasets],
            "statement_hash": self._statement_hash(request),
        }

    def _refuse(
        self, query: str, request: QueryRequest, actor: Actor, reasons: Sequence[Reason], datasets: Sequence[str]
    ) -> None:
        body = {
            "query": query,
            "actor": actor.person,
            "office": actor.office,
            "post": actor.post,
            "purpose": request.purpose if fault_of_purpose(request.purpose) is None else "",
            "datasets": list(datasets),
            "reasons": sorted({reason.code for reason in reasons}),
            "statement_hash": self._statement_hash(request),
        }
        self._append_known(query, EntryKind.USE_REFUSED, body, actor, ())
        refusal = Refused(*reasons)
        refusal.query = query
        raise refusal

    def _append_known(
        self, query: str, kind: EntryKind, body: Mapping[str, Any], actor: Actor, earlier: Sequence[Promise]
    ) -> Promise:
        """One entry that is found by the number of the query from now on, as the earlier ones are."""
        if self._grouped is None:
            promise = self._append(query, kind, body)
            self._remember(query, actor, (*earlier, promise))
            return promise
        entries = tuple(one.entry for one in earlier)
        return self._append(query, kind, body, UseOfEntry(query, actor.person, actor.post, actor.office, entries))

    def _append(self, query: str, kind: EntryKind, body: Mapping[str, Any], use: UseOfEntry | None = None) -> Promise:
        """One entry, or Unavailable: without a record there is no use, and no refusal that nobody counted."""
        try:
            if self._grouped is not None:
                return self._grouped.append(kind=kind, body=body, use=use)
            return self._ledger.append(kind=kind, body=body)
        except (Unavailable, LedgerBroken):
            raise
        except Exception as error:
            _LOG.error("the ledger could not be written for query %s: %s", query, type(error).__name__)
            raise Unavailable.because("ledger-not-writable", query=query) from None

    def _remember(self, query: str, actor: Actor, promises: Sequence[Promise]) -> None:
        try:
            entries = tuple(promise.entry for promise in promises)
            self._uses.remember(query=query, actor=actor, entries=entries, at=promises[-1].at)
        except Exception as error:
            _LOG.error("the entries of query %s could not be kept: %s", query, type(error).__name__)
            raise Unavailable.because("ledger-not-writable", query=query) from None

    def _receipt(self, query: str, promises: Sequence[Promise]) -> Mapping[str, Any]:
        try:
            return self._ledger.receipt(tuple(promise.entry for promise in promises))
        except Exception as error:
            _LOG.error("the receipt of query %s could not be made: %s", query, type(error).__name__)
            raise Unavailable.because("ledger-not-writable", query=query) from None


def new_query_number() -> str:
    """A number that carries no meaning and cannot be guessed."""
    return "q-" + secrets.token_hex(8)


def _against_single_rows(decision: Decision) -> tuple[Reason, ...]:
    """Why rows may not leave one by one: a grant whose mode gives other answers than rows."""
    others = [grant for grant in decision.grants.values() if grant.terms.mode is not Mode.ROWS]
    return tuple(Reason("rows-alone", {"grant": one.id, "dataset": one.dataset, "mode": one.terms.mode.value}) for one in others)


def _notices_of_totals(plan: Plan, rounding: Rounding) -> tuple[Reason, ...]:
    """That small groups are absent and numbers rounded: said of every answer of totals, so that it tells nothing of this one."""
    notices: list[Reason] = []
    for part in plan.datasets:
        if part.grant.terms.noised is not None:
            notices.append(Reason("noised-of-an-entity", {"item": entity_item(part.described) or "", "grant": part.grant.id}))
        if part.grant.terms.k is not None:
            about = {"grant": part.grant.id}
            notices.append(Reason("small-groups-absent", {**about, "k": part.grant.terms.k}))
            notices.append(Reason("totals-rounded", {**about, "base": rounding.count_base, "digits": rounding.value_digits}))
    return tuple(notices)


def evidence_of_use(part: DatasetPlan) -> dict[str, Any]:
    """What the ledger's intent says of a dataset that is used: grant, snapshot, mode, basis, and the items by name with their masks."""
    terms = part.grant.terms
    masks = {name: mask_text(mask) for name in part.items if (mask := mask_of(part.grant, name)) is not None}
    about = {"snapshot": part.snapshot, "mode": terms.mode.value, "legal_basis": terms.purpose.legal_basis}
    return {**evidence_of(part.grant), **about, "items": masks}


def mask_text(mask: Mask) -> str:
    """A mask as the command line writes it, e.g. `partial:first=3,last=4`."""
    parameters = ",".join(f"{name}={value}" for name, value in sorted(mask.parameters.items()))
    return f"{mask.kind.value}:{parameters}" if parameters else mask.kind.value


def mask_of(grant: Grant, item: str) -> Mask | None:
    """The mask of an item of a grant, whatever the letter case."""
    return next((term.mask for term in grant.terms.items if term.item.lower() == item.lower()), None)


def _some_at_once(answered: Iterable[KeptQuestion]) -> Iterator[list[KeptQuestion]]:
    """Earlier questions, so many together as are compared in one statement."""
    most, waiting = shipped_audit().at_once, []
    for one in answered:
        waiting.append(one)
        if len(waiting) == most:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _since(began: float) -> str:
    return duration_bucket(time.monotonic() - began)


def _not_begun(failure: BaseException) -> bool:
    """Whether nothing was done for a use, for a part could not serve."""
    return isinstance(failure, Unavailable) and failure.reasons[0].code != "engine-crashed"


def _failed(failure: BaseException) -> dict[str, Any]:
    """What the outcome says of a use that failed: why, and who cancelled it."""
    if isinstance(failure, KeyboardInterrupt):  # whoever asked sits at the terminal of this process
        return {"failure": "query-caller-gone"}
    if not isinstance(failure, HuitongError):
        return {"failure": "query-failed"}
    reason = failure.reasons[0]
    cancelled = {"cancelled_by": reason.parameters["by"]} if reason.code == "query-cancelled" else {}
    return {"failure": reason.code, **cancelled}


def _running(use: _Use, request: QueryRequest, door: Door) -> RunningUse:
    """The use as it is shown while it runs."""
    return RunningUse(
        query=use.query,
        person=use.actor.person,
        post=use.actor.post,
        office=use.actor.office,
        purpose=request.purpose,
        datasets=tuple(part.dataset for part in use.plan.datasets),
        door=door.value,
        since=use.entries[0].at,
    )


def _without_engine_words(failure: BaseException, query: str) -> BaseException:
    """The failure as it may leave: a code of ours with the number of the query, or what stops the process itself."""
    if isinstance(failure, Refused):
        failure.query = query
        return failure
    if isinstance(failure, Unavailable | InputInvalid | Conflict | NotSignedIn) or not isinstance(failure, Exception):
        return failure
    refusal = Refused.because("query-failed", query=query)
    if isinstance(refusal, Refused):
        refusal.query = query
    return refusal
