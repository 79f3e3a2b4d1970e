"""Spark Connect as the engine: Apache Spark or Sail, reached at one address.

One query has a session of its own, in which each planned table is a temporary view over exactly its files; the session ends with the
query. Before anything runs, the statement is looked at twice more: by a parser that did not write it, and by the cluster itself, whose
plan may read the planned files as Parquet and nothing else. Whoever runs the cluster could read the files anyway; what this holds is that
no statement does.

pyspark-client is an extra (`pip install 'huitong[spark]'`) and is imported only where it is used. An exception of it may quote SQL,
values and paths: `reason_of` turns every one into a code."""

import contextlib
import importlib
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import TokenType

from huitong.engines import duckdb
from huitong.engines.memory_values import Kind, Type
from huitong.engines.spark_sql import SparkStatement, in_words_of_spark
from huitong.engines.spark_values import MOMENT, held_type, quoted_name, spark_type
from huitong.errors import HuitongError, InputInvalid, Reason, Refused, Unavailable
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable

_ADDRESS = re.compile(r"sc://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})/?")


@dataclass(frozen=True)
class SparkAddress:
    """Where a Spark Connect server listens."""

    host: str
    port: int

    @classmethod
    def read(cls, setting: str) -> "SparkAddress":
        """The address in `sc://host:port`. Raises InputInvalid `engine-address-invalid`."""
        found = _ADDRESS.fullmatch(setting.strip())
        if found is None or not 0 < int(found[2]) < 65536:
            raise InputInvalid.because("engine-address-invalid", value=setting)
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"sc://{self.host}:{self.port}"


# --- the second opinion -----------------------------------------------------------------------------------------------


class SparkOpinion:
    """What parsers other than the gateway's make of governed SQL that is to run on Spark (a `SecondParser` of the gateway)."""

    def __call__(self, sql: str) -> duckdb.StatementNames:
        """What DuckDB's own parser sees in the governed statement, before it is put into the words of Spark."""
        return duckdb.statement_names(sql)

    @staticmethod
    def refuse_what_it_lacks(sql: str, tables: Sequence[GovernedTable]) -> None:
        """Raise Refused for a statement that has no form on Spark, or whose form another parser reads otherwise."""
        check_words(in_words_of_spark(sql, tables), tables)


def check_words(statement: SparkStatement, tables: Sequence[GovernedTable]) -> None:
    """Raise Refused `rewrite-differs` if a parser that did not write the statement sees anything but one SELECT over views of these tables,
    or a word before a bracket that is none of those that are written here."""
    trees = sqlglot.parse(statement.sql, dialect="spark")
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise Refused.because("rewrite-differs")
    common = {cte.alias for cte in trees[0].find_all(exp.CTE)}
    seen = {table.name for table in trees[0].find_all(exp.Table) if table.name not in common}
    if any(table.args.get("db") for table in trees[0].find_all(exp.Table)) or seen != {table.name for table in tables}:
        raise Refused.because("rewrite-differs")
    tokens = Dialect.get_or_raise("spark").tokenize(statement.sql)
    for word, bracket in pairwise(tokens):
        if bracket.token_type is not TokenType.L_PAREN or word.token_type is TokenType.STRING:
            continue
        if word.text[:1].isalpha() and word.text.lower() not in WORDS:
            raise Refused.because("rewrite-differs")


WORDS = frozenset(
    (
        *("select", "from", "where", "and", "or", "not", "in", "exists", "when", "then", "else", "on", "over", "as", "join", "distinct"),
        *("group by", "order by", "partition by", "union", "all", "intersect", "except", "between", "with", "like", "case", "div"),
        *("cast", "try_cast", "decimal", "coalesce", "greatest", "least", "nullif", "nanvl", "raise_error"),
        *("count", "sum", "avg", "min", "max", "percentile", "stddev_samp", "stddev_pop", "var_samp", "var_pop", "collect_set"),
        *("try_add", "try_subtract", "try_multiply", "abs", "round", "floor", "ceil", "sign", "sqrt", "ln", "power"),
        *("length", "lower", "upper", "trim", "reverse", "substring", "replace", "concat", "concat_ws", "repeat", "lpad", "instr"),
        *("startswith", "endswith", "contains", "regexp_extract", "rlike", "xxhash64", "array_contains", "explode", "split"),
        *("year", "month", "dayofmonth", "quarter", "weekofyear", "hour", "minute", "second", "trunc", "date_trunc", "last_day"),
        *("datediff", "date_add", "date_sub", "unix_seconds"),
        *("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value", "last_value"),
    )
)
"""Every word that may stand before a bracket in a statement for Spark."""


def check_plan(frame: Any, planned: frozenset[str]) -> None:
    """Raise Refused `rewrite-differs` if the plan that the cluster made reads other files than planned, or reads in another way.

    A file that the cluster sees it need not read may be missing in its plan; none may be more."""
    read = {_path_of(file) for file in frame.inputFiles()}
    if not read <= planned:
        raise Refused.because("rewrite-differs")
    plan = _physical(frame._explain_string(mode="simple"))
    if plan.lstrip().startswith("Physical plan error"):  # Sail says so in the place of a plan
        raise _PlanningFailedError
    if not plan_reads_parquet_alone(plan):
        raise Refused.because("rewrite-differs")


def plan_reads_parquet_alone(text: str) -> bool:
    """Whether a physical plan, as Spark or Sail prints it, holds nothing but known steps over scans of Parquet files and over rows that
    the statement itself writes. What is not known is no, wherever it stands: a line may look as if it belonged to another."""
    lines = [line for line in text.split("\n") if line.strip()]
    return bool(lines) and all(_is_harmless(_HEAD.sub("", line, count=1)) for line in lines)


def _is_harmless(step: str) -> bool:
    name = re.split(r"[^A-Za-z]", step, maxsplit=1)[0]
    if name == "DataSourceExec":
        return _OF_PARQUET.search(step) is not None
    if name == "FileScan":
        return step.startswith("FileScan parquet")
    return name in _STEPS or step.startswith("Scan OneRowRelation")


_HEAD = re.compile(r"[\s:|+\-*]*(?:\(\d+\)\s*)?")
_OF_PARQUET = re.compile(r"\ADataSourceExec: file_groups=.*, file_type=parquet(?:,|\Z)")
_STEPS = frozenset(
    (
        # Sail, whose plans are DataFusion's
        *("ProjectionExec", "FilterExec", "AggregateExec", "SortExec", "PartialSortExec", "SortPreservingMergeExec"),
        *("CoalescePartitionsExec", "CoalesceBatchesExec", "RepartitionExec", "HashJoinExec", "NestedLoopJoinExec", "CrossJoinExec"),
        *("SortMergeJoinExec", "UnionExec", "InterleaveExec"),
        *("GlobalLimitExec", "LocalLimitExec", "WindowAggExec", "BoundedWindowAggExec", "UnnestExec", "CooperativeExec"),
        *("PlaceholderRowExec", "EmptyExec", "ScalarSubqueryExec", "PiecewiseMergeJoinExec", "BufferExec"),
        # Apache Spark
        *("Project", "Filter", "HashAggregate", "SortAggregate", "ObjectHashAggregate", "Exchange", "BroadcastExchange", "Sort"),
        *("SortMergeJoin", "BroadcastHashJoin", "ShuffledHashJoin", "BroadcastNestedLoopJoin", "CartesianProduct", "Union", "Window"),
        *("WindowGroupLimit", "GlobalLimit", "LocalLimit", "CollectLimit", "TakeOrderedAndProject", "Generate", "AdaptiveSparkPlan"),
        *("Subquery", "ReusedSubquery", "ReusedExchange", "ColumnarToRow", "Coalesce", "Expand", "LocalTableScan", "EmptyRelation"),
    )
)
"""Steps of a plan that read nothing but the steps below them."""


def _physical(text: str) -> str:
    return text.partition("== Physical Plan ==")[2].partition("\n== ")[0]


def _path_of(address: str) -> str:
    """The path in a file's address, or the whole of one that is not on a file system."""
    parts = urlsplit(address)
    return unquote(parts.path) if parts.scheme in ("file", "") else address


# --- one governed query -----------------------------------------------------------------------------------------------


def load() -> Any:
    """The pyspark package with what a session needs. Raises Unavailable `spark-not-installed`."""
    main = sys.modules["__main__"]
    nameless = not hasattr(main, "__file__")
    if nameless:  # pyspark takes a program without a file for its own tests and ends the process
        main.__file__ = "huitong"
    try:
        importlib.import_module("pyspark.sql.connect.session")
        return importlib.import_module("pyspark.sql")
    except ImportError:
        raise Unavailable.because("spark-not-installed") from None
    finally:
        if nameless:
            del main.__file__


SETTINGS: Mapping[str, str] = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}
"""What a session is told, so that the same words mean the same on every cluster. Sail knows but the first and ignores the rest."""


CONNECT_SECONDS = 5.0
"""How long the cluster may take to answer at all."""


@contextlib.contextmanager
def session(address: SparkAddress) -> Iterator[Any]:
    """A session that nobody shares, ended with the block. Raises Unavailable `engine-unavailable`."""
    pyspark = load()
    try:
        # the client itself would go on trying for minutes
        socket.create_connection((address.host.strip("[]"), address.port), timeout=CONNECT_SECONDS).close()
        opened = pyspark.SparkSession.builder.remote(f"{address}/;user_id=huitong").create()
        for name, value in SETTINGS.items():
            opened.conf.set(name, value)
    except Exception:
        raise Unavailable.because("engine-unavailable") from None
    try:
        yield opened
    finally:
        with contextlib.suppress(Exception):
            opened.stop()


def run(query: GovernedQuery, opened: Any, *, lake: str) -> Iterator[pa.RecordBatch]:
    """The rows of a governed query in a session, batch by batch, at least one. `lake` is where the cluster finds the lake.

    Raises Refused, or what the cluster says: `reason_of` knows its codes."""
    statement = in_words_of_spark(query.sql, query.tables)
    check_words(statement, query.tables)
    planned: set[str] = set()
    for table in query.tables:
        paths = [_place(lake, file) for file in table.files]
        planned |= {_path_of(path) for path in paths}
        create_view(opened, table, paths)
    frame = opened.sql(statement.sql)
    try:
        check_plan(frame, frozenset(planned))
    except (Refused, _PlanningFailedError):
        raise
    except Exception as error:
        raise _PlanningFailedError from error
    schema = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in zip(statement.names, statement.types, strict=True)])
    client = opened.client
    given = False
    for piece in client.to_table_as_iterator(frame._plan.to_proto(client), {}):
        if isinstance(piece, pa.Table):
            for batch in piece.to_batches():
                given = True
                yield _in_types(batch, schema)
    if not given:
        yield pa.RecordBatch.from_pylist([], schema=schema)


class _PlanningFailedError(Exception):
    """The cluster made no plan of the statement. It had seen no row then."""


def _place(lake: str, file: str) -> str:
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise InputInvalid.because("engine-request-invalid")
    return f"{lake.rstrip('/')}/{file}"


def create_view(opened: Any, table: GovernedTable, paths: Sequence[str]) -> None:
    """Make the temporary view `table.name` over exactly `paths`; its columns are called c0, c1, ... in the order of the plan."""
    columns = [
        f"CAST({quoted_name(name) if paths else 'NULL'} AS {spark_type(held_type(kind))}) AS c{at}"
        for at, (name, kind) in enumerate(table.columns.items())
    ]
    if paths:
        frame = opened.read.option("recursiveFileLookup", "true").parquet(*paths).selectExpr(*columns)
    else:
        frame = opened.sql(f"SELECT {', '.join(columns)} WHERE false")
    frame.createTempView(table.name)


_ARROW: Mapping[Kind, pa.DataType] = {
    Kind.NOTHING: pa.int32(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TINY: pa.int8(),
    Kind.SMALL: pa.int16(),
    Kind.INTEGER: pa.int32(),
    Kind.BIG: pa.int64(),
    Kind.HUGE: pa.decimal128(38, 0),
    Kind.DOUBLE: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.DATE: pa.date32(),
}


def arrow_type(kind: Type) -> pa.DataType:
    """The type in which DuckDB gives such values."""
    if kind.kind is Kind.DECIMAL:
        return pa.decimal128(kind.digits, kind.scale)
    if kind.kind is Kind.INSTANT:
        return pa.timestamp("us") if kind.digits == MOMENT.digits else pa.timestamp("us", tz="UTC")
    return _ARROW[kind.kind]


def _in_types(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same values in the types that DuckDB gives."""
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        if pa.types.is_timestamp(field.type) and field.type.tz is None and pa.types.is_timestamp(column.type) and column.type.tz:
            column = pc.local_timestamp(column.cast(pa.timestamp("us", tz="UTC")))
        columns.append(column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def reason_of(error: BaseException, *, query: str, limits: EngineLimits) -> Reason:
    """The code for what went wrong. The cluster's words are dropped: they may hold SQL, names, values and paths."""
    if isinstance(error, HuitongError):
        return error.reasons[0]
    if isinstance(error, _PlanningFailedError):
        return Reason("not-planned-on-spark", {"query": query})
    return duckdb.reason_of(error, query=query, limits=limits)
