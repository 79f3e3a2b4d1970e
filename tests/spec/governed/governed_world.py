"""A small world for the gateway's tests: four offices, five datasets with known rows in real Parquet files, and an engine that is
DuckDB itself, locked as in production, without the broker around it.

Rows hold canary values: any text with CANARY in it belongs to a row or an item that nobody may ever see."""

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from huitong.engines.duckdb import statement_names
from huitong.errors import Refused, Unavailable
from huitong.gateway import Gateway
from huitong.gateway.differencing import Audit, Watch
from huitong.gateway.questions import KeptQuestion, Question
from huitong.gateway.running import RunningUses
from huitong.gateway.telling import Rounding
from huitong.gateway.verify import SecondParser
from huitong.masks.pseudonym import group_key, token
from huitong.model.catalog import (
    Dataset,
    Grade,
    Item,
    ItemType,
    Openness,
    Sharing,
    Snapshot,
    SnapshotFile,
    UpdateCycle,
)
from huitong.model.ledger import EntryKind, Promise
from huitong.model.party import Actor, Role
from huitong.model.policy import (
    DivisionRows,
    Grant,
    GrantState,
    ItemTerm,
    Mask,
    MaskKind,
    Mode,
    Purpose,
    Terms,
)
from huitong.model.query import Answer, EngineLimits, GovernedQuery, QueryRequest
from huitong.model.text import BilingualText
from huitong.sharing.noised import Budgets
from huitong.sharing.quotas import Quotas
from huitong.testing import (
    MemoryBudgetStore,
    MemoryNoticeBoard,
    MemoryQuestionStore,
    MemoryQuotaStore,
    MemoryRunningStore,
    MemorySubjectLists,
    MemoryTransactions,
)

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
MASTER = b"m" * 32
CLEAR = Mask(MaskKind.CLEAR)
HIDE = Mask(MaskKind.HIDE)
PSEUDONYM = Mask(MaskKind.PSEUDONYM)
SURNAME_ONLY = Mask(MaskKind.PARTIAL, {"first": 1, "last": 0})
YEAR = Mask(MaskKind.GENERALISE, {"to": "year"})
COUNTY = Mask(MaskKind.GENERALISE, {"to": "county"})

NANMING = "520102000000"
YUNYAN = "520103000000"
DIVISIONS = {
    NANMING: frozenset((NANMING, "520102001000", "520102001001", "520102002000")),
    YUNYAN: frozenset((YUNYAN, "520103001000")),
    "520100000000": frozenset((NANMING, "520102001000", "520102001001", "520102002000", YUNYAN, "520103001000", "520100000000")),
}


def item(name: str, kind: ItemType = ItemType.TEXT, *, meaning: str | None = None, grade: Grade = Grade.INTERNAL) -> Item:
    return Item(name, BilingualText(zh=name, en=name), kind, grade, meaning)


def dataset(identifier: str, *items: Item, provider: str, sharing: Sharing = Sharing.CONDITIONAL, **rest: Any) -> Dataset:
    return Dataset(
        id=identifier,
        title=BilingualText(zh=identifier, en=identifier),
        abstract=BilingualText(zh="测试", en="test"),
        classification="3-01-0101/000001",
        provider=provider,
        collector=provider,
        sharing=sharing,
        sharing_basis="Test regulation, article 1",
        sharing_condition=BilingualText(zh="履职", en="duty") if sharing is Sharing.CONDITIONAL else None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.MONTHLY,
        items=items,
        published_on=date(2026, 1, 1),
        **rest,
    )


PERSON = dataset(
    "civil.person",
    item("pid", meaning="resident-id", grade=Grade.HIGHLY_SENSITIVE),
    item("name", meaning="person-name", grade=Grade.SENSITIVE),
    item("gender"),
    item("phone", meaning="phone", grade=Grade.SENSITIVE),
    item("division", meaning="division-code"),
    item("born", ItemType.DATE, grade=Grade.SENSITIVE),
    item("salary", ItemType.INTEGER),
    item("weight", ItemType.DECIMAL),
    item("diagnosis", grade=Grade.HIGHLY_SENSITIVE),
    provider="gz-civil-affairs",
    key="pid",
    division_item="division",
)
COMPANY = dataset(
    "tax.company",
    item("cid", meaning="credit-code"),
    item("owner_pid", meaning="resident-id", grade=Grade.HIGHLY_SENSITIVE),
    item("capital", ItemType.INTEGER),
    item("division", meaning="division-code"),
    provider="gz-tax",
    key="cid",
    division_item="division",
)
WEATHER = dataset(
    "weather",
    item("station"),
    item("at", ItemType.INSTANT),
    item("temperature", ItemType.DECIMAL),
    provider="gz-weather",
    sharing=Sharing.UNCONDITIONAL,
)
SEALED = dataset("police.case_file", item("number"), provider="gz-police", sharing=Sharing.NOT_SHARED)
HIDDEN = dataset("hidden", item("v"), provider="gz-police", sharing=Sharing.NOT_SHARED)
"""Registered but not published: it must look as if it did not exist."""

PEOPLE: Sequence[Mapping[str, Any]] = (
    {"pid": "990102199001011230", "name": "张伟", "gender": "男", "phone": "13800000001", "division": "520102001001",
     "born": date(1990, 1, 1), "salary": 3000, "weight": 61.5, "diagnosis": "CANARY-diagnosis-1"},
    {"pid": "990102198505052341", "name": "王秀英", "gender": "女", "phone": "13800000002", "division": "520102001000",
     "born": date(1985, 5, 5), "salary": 4200, "weight": None, "diagnosis": "CANARY-diagnosis-2"},
    {"pid": "990102200012313452", "name": "李", "gender": None, "phone": None, "division": NANMING,
     "born": None, "salary": None, "weight": 50.25, "diagnosis": None},
    {"pid": None, "name": None, "gender": "女", "phone": "13800000004", "division": "520102002000",
     "born": date(2000, 12, 31), "salary": 0, "weight": -1.5, "diagnosis": "CANARY-diagnosis-4"},
    # Rows that a grant cut to Nanming must never show:
    {"pid": "990103197003034563", "name": "CANARY-赵", "gender": "男", "phone": "CANARY-phone", "division": "520103001000",
     "born": date(1970, 3, 3), "salary": 987654321, "weight": 9876.5, "diagnosis": "CANARY-diagnosis-5"},
    {"pid": "990102196001015674", "name": "CANARY-none", "gender": "女", "phone": "CANARY-phone", "division": None,
     "born": date(1960, 1, 1), "salary": 987654322, "weight": 9876.6, "diagnosis": "CANARY-diagnosis-6"},
    {"pid": "990102195501016785", "name": "CANARY-bad", "gender": "女", "phone": "CANARY-phone", "division": "520102999999",
     "born": date(1955, 1, 1), "salary": 987654323, "weight": 9876.7, "diagnosis": "CANARY-diagnosis-7"},
    {"pid": "990102194501017896", "name": "CANARY-short", "gender": "女", "phone": "CANARY-phone", "division": "5201020",
     "born": date(1945, 1, 1), "salary": 987654324, "weight": 9876.8, "diagnosis": "CANARY-diagnosis-8"},
)  # fmt: skip
COMPANIES: Sequence[Mapping[str, Any]] = (
    {"cid": "91520102MA6HHHHH0A", "owner_pid": "990102199001011230", "capital": 1_000_000, "division": "520102001001"},
    {"cid": "91520102MA6HHHHH1B", "owner_pid": "990102198505052341", "capital": 250_000, "division": "520102001000"},
    {"cid": "91520103MA6HHHHH2C", "owner_pid": "990103197003034563", "capital": 777_777, "division": "520103001000"},
    {"cid": "91520102MA6HHHHH3D", "owner_pid": None, "capital": None, "division": NANMING},
)
HOURS: Sequence[Mapping[str, Any]] = tuple(
    {"station": "贵阳", "at": datetime(2025, 12, 31, hour, tzinfo=UTC), "temperature": hour - 3.5} for hour in (14, 15, 16, 17)
)
CANARY_NUMBERS = frozenset((987654321, 987654322, 987654323, 987654324))

_ARROW = {
    ItemType.TEXT: pa.string(),
    ItemType.INTEGER: pa.int64(),
    ItemType.DECIMAL: pa.float64(),
    ItemType.BOOLEAN: pa.bool_(),
    ItemType.DATE: pa.date32(),
    ItemType.INSTANT: pa.timestamp("us", tz="UTC"),
}

class Unwatched:
    """Compares no question with another, for tests of what one statement gives."""

    def claimed(self, question: Question, /, **about: Any) -> AbstractContextManager[Sequence[KeptQuestion]]:
        return nullcontext(())


AS_THEY_ARE = Rounding(count_base=1, count_noise=0, value_digits=60, value_noise=Decimal(0))
"""Totals without rounding and noise, for tests of who gets which groups."""

ANALYST = Actor(
    person="chen.li",
    name="陈力",
    post="analyst-1",
    office="gz-rural",
    division="520000000000",
    roles=frozenset((Role.ANALYST,)),
)


def make_grant(
    dataset_id: str,
    items: Mapping[str, Mask],
    *,
    number: str | None = None,
    office: str = "gz-rural",
    purpose: str = "poverty-relief",
    rows: str | None = None,
    state: GrantState = GrantState.ACTIVE,
    valid_from: datetime = NOW - timedelta(days=30),
    valid_until: datetime = NOW + timedelta(days=300),
    granted_at: datetime = NOW - timedelta(days=31),
    linkage_group: str | None = None,
    provider: str = "gz-civil-affairs",
    mode: Mode = Mode.ROWS,
    **rules: Any,
) -> Grant:
    return Grant(
        id=number or f"G-{dataset_id}",
        version=1,
        request="R-1",
        dataset=dataset_id,
        provider=provider,
        using_office=office,
        signed_by="liu.wei",
        terms=Terms(
            purpose=Purpose(purpose, "Rural revitalisation law, article 5"),
            items=tuple(ItemTerm(name, mask) for name, mask in items.items()),
            rows=DivisionRows("division", rows) if rows else None,
            mode=mode,
            linkage_group=linkage_group or f"{office}:{purpose}",
            valid_from=valid_from,
            valid_until=valid_until,
            **rules,
        ),
        terms_hash=hashlib.sha256(f"{dataset_id}{sorted(items)}".encode()).hexdigest(),
        state=state,
        granted_at=granted_at,
        revoked_at=NOW - timedelta(days=1) if state is GrantState.REVOKED else None,
    )


PERSON_GRANT = make_grant(
    "civil.person",
    {
        "pid": PSEUDONYM,
        "name": SURNAME_ONLY,
        "gender": CLEAR,
        "born": YEAR,
        "salary": CLEAR,
        "weight": CLEAR,
        "division": COUNTY,
        "diagnosis": HIDE,
    },
    rows=NANMING,
)
"""The grant most tests use: everything but the phone, each item under another mask, rows of one county."""
COMPANY_GRANT = make_grant("tax.company", {"owner_pid": PSEUDONYM, "capital": CLEAR}, provider="gz-tax")
WEATHER_GRANT = make_grant("weather", {"station": CLEAR, "at": CLEAR, "temperature": CLEAR}, provider="gz-weather")


class LocalEngine:
    """DuckDB in this process, without the broker and its sandbox: a view of each planned table over its files and nothing else,
    then external access off and the configuration locked, then the one statement."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self.ran: list[GovernedQuery] = []
        self.fails_with: BaseException | None = None

    def run(self, query: GovernedQuery) -> pa.Table:
        self.ran.append(query)
        if self.fails_with is not None:
            raise self.fails_with
        connection = duckdb.connect(":memory:", config={"threads": query.limits.threads, "python_enable_replacements": "false"})
        try:
            readable = ", ".join(f"'{self.lake / file}'" for table in query.tables for file in table.files)
            connection.execute(f"SET TimeZone = 'UTC'; SET allowed_paths = [{readable}]")
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
            for table in query.tables:
                files = ", ".join(f"'{self.lake / file}'" for file in table.files)
                columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in table.columns.items())
                connection.execute(f'CREATE VIEW "{table.name}" AS SELECT {columns} FROM read_parquet([{files}])')
            return connection.sql(query.sql).to_arrow_table()
        except duckdb.Error:
            raise Refused.because("query-failed", query=query.query) from None
        finally:
            connection.close()


    def stream(self, query: GovernedQuery) -> Iterator[pa.RecordBatch]:
        """The same rows in batches of two."""
        yield from self.run(query).to_batches(max_chunksize=2) or [self.run(query).to_batches()[0]]


class Lists(MemorySubjectLists):
    """Lists of subjects that lie in the lake as files."""

    def __init__(self, lake: Path) -> None:
        super().__init__()
        self.lake = lake

    def files(self, subjects: str) -> tuple[str, ...]:
        if subjects not in self.lists:
            return ()
        name = f"subjects-{subjects}.parquet"
        pq.write_table(pa.table({"identifier": pa.array(sorted(self.lists[subjects]), pa.string())}), self.lake / name)
        return (name,)


class Book:
    """A ledger that keeps what it is told, and can be told to fail."""

    def __init__(self, clock: Any) -> None:
        self.entries: list[tuple[EntryKind, Mapping[str, Any]]] = []
        self.clock = clock
        self.fails_on: frozenset[EntryKind] = frozenset()

    def append(self, *, kind: EntryKind, body: Mapping[str, Any], at: datetime | None = None) -> Promise:
        if kind in self.fails_on:
            raise Unavailable.because("ledger-not-writable", query=str(body.get("query", "-")))
        self.entries.append((kind, dict(body)))
        number = f"e-{len(self.entries)}"
        return Promise(entry=number, kind=kind, at=at or self.clock(), payload=b"{}", key_id="k", signature=b"s")

    def receipt(self, entry_ids: Sequence[str]) -> Mapping[str, Any]:
        return {"format": "huitong-receipt/1", "entries": list(entry_ids)}

    def kinds(self) -> list[EntryKind]:
        return [kind for kind, _ in self.entries]


@dataclass
class World:
    """Everything a gateway asks, in memory, over Parquet files in `lake`."""

    lake: Path
    grants: list[Grant] = field(default_factory=lambda: [PERSON_GRANT, COMPANY_GRANT, WEATHER_GRANT])
    now: datetime = NOW
    key_epoch: int = 1
    """Of the pseudonyms of every group."""
    epoch: int = 1
    maximum_rows: int = 1000
    published: dict[str, Dataset] = field(default_factory=lambda: {d.id: d for d in (PERSON, COMPANY, WEATHER, SEALED)})
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    missing_tokens: frozenset[str] = frozenset()
    """Identifiers that the side tables leave out."""
    remembered: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ticks: Iterator[float] = field(default_factory=lambda: itertools.count(0.0, 0.001))
    """What the timer of comparisons shows, each time that it is looked at."""
    barrier: bool = False
    """Whether the storage rule of the grades asks for a barrier."""
    rounding: Rounding | None = None
    """How totals are rounded; None: as shipped."""
    audit: Audit | None = None
    """How far questions of totals are compared; None: not at all."""
    second_parser: SecondParser = statement_names
    """What reads governed SQL besides the gateway."""

    running_store: MemoryRunningStore = field(default_factory=MemoryRunningStore)

    def __post_init__(self) -> None:
        self.running = RunningUses(self.running_store, self.clock)
        for described, rows in ((PERSON, PEOPLE), (COMPANY, COMPANIES), (WEATHER, HOURS), (HIDDEN, [{"v": "CANARY-hidden"}])):
            self.load(described, rows)
        self.engine = LocalEngine(self.lake)
        self.lists = Lists(self.lake)
        self.transactions = MemoryTransactions()
        self.notices = MemoryNoticeBoard(self.transactions)
        self.quotas = Quotas(
            store=MemoryQuotaStore(self.transactions),
            transactions=self.transactions,
            time_zone="Asia/Shanghai",
            notices=self.notices,
        )
        self.questions = MemoryQuestionStore(self.transactions)
        self.budget_store = MemoryBudgetStore(self.transactions)
        self.budgets = Budgets(store=self.budget_store, transactions=self.transactions, key=b"b" * 32)
        self.book = Book(self.clock)
        self.gateway = self.make_gateway()

    def make_gateway(self) -> Gateway:
        return Gateway(
            catalogue=self,
            grants=self,
            divisions=self,
            side_tables=self,
            epoch=self,
            engine=self.engine,
            ledger=self.book,
            uses=self,
            second_parser=self.second_parser,
            clock=self.clock,
            limits=EngineLimits(seconds=10, memory_megabytes=512, threads=1, maximum_rows=self.maximum_rows),
            statement_key=b"s" * 32,
            time_zone=ZoneInfo("Asia/Shanghai"),
            subjects=self.lists,
            barrier=lambda _dataset, _rows: self.barrier,
            quotas=self.quotas,
            rounding=self.rounding,
            budgets=self.budgets,
            watch=Unwatched() if self.audit is None else self.watch(self.audit),
            running=self.running,
        )

    def watch(self, audit: Audit) -> Watch:
        return Watch(store=self.questions, transactions=self.transactions, key=b"w" * 32, audit=audit, timer=lambda: next(self.ticks))

    # --- data ---------------------------------------------------------------------------------------------------------

    def load(self, described: Dataset, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make the rows the next snapshot of the dataset."""
        version = self.snapshots[described.id].version + 1 if described.id in self.snapshots else 1
        schema = pa.schema([(entry.name, _ARROW[entry.type]) for entry in described.items])
        name = f"{hashlib.sha256(f'{described.id}{version}'.encode()).hexdigest()[:12]}.parquet"
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), self.lake / name)
        files = (SnapshotFile(name, len(rows), (self.lake / name).stat().st_size),)
        self.snapshots[described.id] = Snapshot(described.id, version, files, len(rows), NOW - timedelta(days=2), "0" * 64)

    # --- ports --------------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return self.now

    def dataset(self, dataset_id: str, /) -> Dataset | None:
        return self.published.get(dataset_id)

    def current_snapshot(self, dataset_id: str, /) -> Snapshot | None:
        return self.snapshots.get(dataset_id)

    def grants_of_office(self, office: str, datasets: Collection[str], /) -> Sequence[Grant]:
        return [grant for grant in self.grants if grant.using_office == office and grant.dataset in datasets]

    def codes_under(self, division_code: str, at: date, agreed: date | None = None, /) -> frozenset[str]:
        return DIVISIONS.get(division_code, frozenset())

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int, /) -> tuple[str, ...]:
        """A side table made on the spot, as the lake makes it."""
        rows = {"civil.person": PEOPLE, "tax.company": COMPANIES}[dataset_id]
        number = self.key_epoch
        key = group_key(MASTER, linkage_group, number)
        identifiers = sorted({row[item] for row in rows if row[item] is not None} - self.missing_tokens)
        tokens = [token(key, linkage_group, number, identifier) for identifier in identifiers]
        name = f"side-{hashlib.sha256(f'{linkage_group}{dataset_id}{item}{number}'.encode()).hexdigest()[:12]}.parquet"
        table = pa.table({"identifier": pa.array(identifiers, pa.string()), "token": pa.array(tokens, pa.int64())})
        pq.write_table(table, self.lake / name)
        return (name,)

    def policy_epoch(self) -> int:
        return self.epoch

    def remember(self, *, query: str, actor: Actor, entries: Sequence[str], at: datetime) -> None:
        self.remembered[query] = tuple(entries)

    def entries_of(self, query: str) -> Sequence[str]:
        return self.remembered.get(query, ())

    def office_of(self, query: str) -> str | None:
        return ANALYST.office if query in self.remembered else None

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, sql: str, *, purpose: str = "poverty-relief", actor: Actor = ANALYST, epsilon: int | None = None) -> Answer:
        return self.gateway.answer(QueryRequest(sql=sql, purpose=purpose, epsilon=epsilon), actor=actor)

    def rows(self, sql: str, **rest: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.ask(sql, **rest).table.to_pylist()]

    def refusal(self, sql: str, **rest: Any) -> Refused:
        """The refusal of a statement; it must be one."""
        before = len(self.engine.ran)
        try:
            self.ask(sql, **rest)
        except Refused as refusal:
            assert len(self.engine.ran) == before, "a refused statement reached the engine"
            return refusal
        raise AssertionError(f"not refused: {sql}")

    def codes(self, sql: str, **rest: Any) -> set[str]:
        return {reason.code for reason in self.refusal(sql, **rest).reasons}


def canaries_in(table: pa.Table) -> list[Any]:
    """Every canary value in a result."""
    found: list[Any] = []
    for row in table.to_pylist():
        for value in row.values():
            if (isinstance(value, str) and "CANARY" in value) or value in CANARY_NUMBERS:
                found.append(value)
    return found


def person_token(identifier: str, *, linkage_group: str = "gz-rural:poverty-relief") -> int:
    return token(group_key(MASTER, linkage_group, 1), linkage_group, 1, identifier)
