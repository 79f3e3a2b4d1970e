"""One governed query: what is asked of the gateway, what the engine is given, what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huitong.errors import Reason


@dataclass(frozen=True)
class QueryRequest:
    """A statement for a stated purpose. The actor is a separate argument of every call: authority is never a field."""

    sql: str
    purpose: str
    epsilon: int | None = None
    """Under a grant of noised totals: how much of its budget the answer may spend, in millionths; None: as much as is usual."""


@dataclass(frozen=True)
class GovernedTable:
    """A table of the plan: the physical name that stands in the governed SQL and the files behind it.

    `name` is random per query; the engine makes a view of that name over exactly `files` (paths relative to the lake)."""

    name: str
    files: tuple[str, ...]
    columns: Mapping[str, str]
    """Physical column names and their DuckDB types."""


@dataclass(frozen=True)
class EngineLimits:
    """What one query may use."""

    seconds: float
    memory_megabytes: int
    threads: int
    maximum_rows: int


@dataclass(frozen=True)
class GovernedQuery:
    """What the engine runs: SQL made by the rewriter, the tables it may touch, its limits."""

    query: str
    """Number of the query (ledger, logs); carries no meaning."""
    sql: str
    tables: tuple[GovernedTable, ...]
    limits: EngineLimits
    sandbox: Mapping[str, int] = field(default_factory=dict)
    """Dataset -> the sandbox level that the storage rule of its grade asks for; an engine below it refuses."""
    stream: bool = False
    """Whether the rows are taken away piece by piece, so that many more bytes may come than of an answer that is held as a whole."""


@dataclass(frozen=True)
class Answer:
    """The result of one use: an Arrow table and the receipt of its use."""

    query: str
    table: Any
    """`pyarrow.Table`"""
    receipt: Mapping[str, Any]
    notices: tuple[Reason, ...] = field(default_factory=tuple)
    """What the person should know, e.g. that the row limit cut the result."""
