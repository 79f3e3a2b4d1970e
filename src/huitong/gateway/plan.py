"""A verified plan: governed SQL over stand-in names, what it rests on, and the cache of plans."""

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from huitong.errors import Reason
from huitong.gateway.telling import Telling
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.policy import Grant
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable

if TYPE_CHECKING:
    from huitong.gateway.noising import Noising


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset of a plan: the grant that carries it, the snapshot that is read, and the division codes its rows may have."""

    dataset: str
    described: Dataset
    grant: Grant
    read: Snapshot
    codes: frozenset[str] | None
    sandbox_level: int = 0
    """What the storage rule of its grade asks of the engine."""
    barrier: bool = False
    """Whether that rule lets nothing that a statement says reach below the masks."""
    items: tuple[str, ...] = ()
    """The items that the statement uses, as the catalogue spells them."""

    @property
    def snapshot(self) -> int:
        """Version of the snapshot."""
        return self.read.version


@dataclass(frozen=True)
class Plan:
    """Governed SQL in which every physical name holds `stand_in`, a random text that each run replaces by a fresh one."""

    stand_in: str
    sql: str
    tables: tuple[GovernedTable, ...]
    datasets: tuple[DatasetPlan, ...]
    notices: tuple[Reason, ...] = field(default_factory=tuple)
    ordered: bool = False
    """Whether the statement says in which order its rows come."""
    telling: Telling | None = None
    """Of a statement under a grant of totals: how they are told. Its rows are groups, with marks that must not leave."""

    noising: "Noising | None" = None
    """Of a statement under a grant of noised totals: what is done with its numbers. Its rows must not leave."""
    epsilon: int = 0
    """What such a statement asks to spend, in millionths."""
    epoch: int | None = None
    """The policy epoch that it was made under: while that is the number, no grant has changed since."""
    untold: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Where an identifier is read in the place of its token, because the statement never tells it: table and column of every identifier
    behind a pseudonym, also of those that are joined with side tables, and its linkage group. The verifier proves that none is told."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of all that its rows follow from: the governed SQL and the files behind each table, whatever the names of
        this plan. Two plans of one fingerprint give the same rows."""
        tables = [[table.name, list(table.files), sorted(table.columns.items())] for table in self.tables]
        text = json.dumps([self.sql, tables], ensure_ascii=False).replace(self.stand_in, "")
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def governed(self, query: str, limits: EngineLimits, *, stream: bool = False) -> GovernedQuery:
        """What the engine runs this time: the same SQL under names that nobody has seen before."""
        fresh = secrets.token_hex(len(self.stand_in) // 2)
        tables = tuple(
            GovernedTable(name=table.name.replace(self.stand_in, fresh), files=table.files, columns=table.columns)
            for table in self.tables
        )
        needed = {part.dataset: part.sandbox_level for part in self.datasets if part.sandbox_level}
        sql = self.sql.replace(self.stand_in, fresh)
        return GovernedQuery(query=query, sql=sql, tables=tables, limits=limits, sandbox=needed, stream=stream)


class PlanCache:
    """The plans used last, at most `size`. The key holds whatever may change a plan but snapshots and the clock, which the
    gateway checks on each hit."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Plan | None:
        """The plan of that key, which then counts as used."""
        with self._lock:
            plan = self._plans.get(key)
            if plan is not None:
                self._plans.move_to_end(key)
            return plan

    def put(self, key: Hashable, plan: Plan) -> None:
        """Keep a plan; the one unused longest makes room."""
        with self._lock:
            self._plans[key] = plan
            self._plans.move_to_end(key)
            while len(self._plans) > self._size:
                self._plans.popitem(last=False)

    def __len__(self) -> int:
        return len(self._plans)

