"""What a governed query takes over HTTP, with both of its entries durable, beside Datasette serving the same rows ungoverned.

    python -m bench http [--quick]

A served instance (`huitong serve`: engine broker, worker, web process) with rows grants over two datasets, and a Datasette process over
a SQLite file with the same rows and an index on every item that a query filters or joins by. The queries stand in `bench/small.toml`. Both
are asked in turns, one call at a time over a kept connection, with nobody else asking. Targets: each governed query's median at most 35 ms;
of the aggregates none slower than Datasette.
"""

import argparse
import contextlib
import http.client
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._serving import BASIS, PURPOSE, UNTIL, Served, entry, free_port, make_instance, public_item, serving, stop

ROWS, QUICK_ROWS = 2_000_000, 50_000
ROUNDS, QUICK_ROUNDS = 60, 5
MEDIAN_MILLISECONDS = 35.0
TABLES: Mapping[str, tuple[str, ...]] = {
    "person": ("person", "gender", "county", "born", "salary", "household"),
    "household": ("household", "kind", "members"),
}
NUMBERS = frozenset({"born", "salary", "members"})
INDEXES = ("person (person)", "person (county, salary)", "person (household)", "household (household)")
DEPTH = 1_000
"""Rows of one statement when SQLite is filled."""


@dataclass(frozen=True)
class Query:
    """One question, for both."""

    name: str
    kind: str
    governed: str
    datasette: str


def queries() -> Sequence[Query]:
    """Those of `small.toml`."""
    text = Path(__file__).with_name("small.toml").read_text("utf-8").replace("{point}", identifier(4_711))
    return [Query(**one) for one in tomllib.loads(text)["query"]]


def identifier(number: int) -> str:
    """The id of a made person."""
    return f"p{number:09d}"


# --- the same rows for both -----------------------------------------------------------------------------------------------------------


def write_rows(folder: Path, rows: int) -> None:
    """The two tables as Parquet, the same at each call."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"""
        COPY (SELECT printf('p%09d', i) AS person, CASE WHEN hash(i * 5) % 2 = 0 THEN '男' ELSE '女' END AS gender,
            (520100 + hash(i * 7) % 90)::INTEGER::VARCHAR AS county, 1930 + (hash(i * 11) % 90)::BIGINT AS born,
            (hash(i * 13) % 100000)::BIGINT AS salary, printf('h%08d', (hash(i * 17) % {max(rows // 4, 1)})::BIGINT) AS household
            FROM range({rows}) AS made(i)) TO '{folder / "person.parquet"}' (FORMAT parquet)""")
    connection.execute(f"""
        COPY (SELECT printf('h%08d', i) AS household, ['低保', '特困', '一般', '残疾'][1 + (hash(i * 3) % 4)::INT] AS kind,
            1 + (hash(i * 19) % 7)::BIGINT AS members
            FROM range({max(rows // 4, 1)}) AS made(i)) TO '{folder / "household.parquet"}' (FORMAT parquet)""")
    connection.close()


def write_sqlite(folder: Path) -> Path:
    """The same rows as a SQLite file with its indexes."""
    import pyarrow.parquet as parquet

    file = folder / "small.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        for table, columns in TABLES.items():
            kinds = ", ".join(f"{name} {'INTEGER' if name in NUMBERS else 'TEXT'}" for name in columns)
            database.execute(f"CREATE TABLE {table} ({kinds})")
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"
            for batch in parquet.ParquetFile(folder / f"{table}.parquet").iter_batches(50 * DEPTH, columns=list(columns)):
                database.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))
        for place, index in enumerate(INDEXES):
            database.execute(f"CREATE INDEX i{place} ON {index}")
        database.commit()
        database.execute("ANALYZE")
        database.commit()
    return file


def make(home: Path) -> None:
    """An instance with both datasets loaded from the Parquet files beside it. Runs in a process of its own."""

    def fill(inside: Any, officer: Any) -> None:
        for table in TABLES:
            inside.platform.catalog.publish(_entry(table), by=officer)
            inside.platform.intake.load(f"civil.{table}", home.parent / f"{table}.parquet", by=officer)

    make_instance(home, fill)


def _entry(table: str) -> Any:
    from huitong.model.catalog import ItemType

    return entry(f"civil.{table}", [public_item(name, ItemType.INTEGER if name in NUMBERS else None) for name in TABLES[table]])


# --- the two servers ------------------------------------------------------------------------------------------------------------------


def grant(server: Served, dataset: str, items: Sequence[str]) -> None:
    """Every item in clear, every row."""
    wish = {"dataset": dataset, "purpose": PURPOSE, "legal_basis": BASIS, "until": UNTIL, "items": [{"item": name} for name in items]}
    with server.connection() as connection:
        status, made = server.call(connection, "POST", "requests", wish)
    assert status == 201, made


@contextlib.contextmanager
def datasette(file: Path, log: Path) -> Iterator[int]:
    """A Datasette process over the file; its port."""
    port = free_port()
    limits = {"sql_time_limit_ms": 600_000, "max_returned_rows": 100_000}
    settings = [part for name, value in limits.items() for part in ("--setting", name, str(value))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "datasette", "serve", str(file), "--host", "127.0.0.1", "--port", str(port), *settings],
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as attempt:
                attempt.request("GET", "/-/versions.json")
                if attempt.getresponse().status == 200:
                    break
            assert process.poll() is None and time.monotonic() < end, log.read_text("utf-8", "replace")
            time.sleep(0.1)
        yield port
    finally:
        stop(process)


# --- asking ---------------------------------------------------------------------------------------------------------------------------


def ask_governed(server: Served, connection: http.client.HTTPConnection, sql: str) -> list[list[Any]]:
    """The rows of a governed query."""
    status, said = server.call(connection, "POST", "query", {"sql": sql, "purpose": PURPOSE})
    assert status == 200, said
    rows: list[list[Any]] = said["rows"]
    return rows


def ask_datasette(connection: http.client.HTTPConnection, sql: str) -> list[list[Any]]:
    """The rows that Datasette gives."""
    connection.request("GET", f"/small.json?{urllib.parse.urlencode({'sql': sql, '_shape': 'arrays'})}")
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    rows: list[list[Any]] = json.loads(text)["rows"]
    return rows


OURS, THEIRS = "/api/v1/ledger/key", "/-/versions.json"


def awake(connection: http.client.HTTPConnection, path: str) -> None:
    """Both servers end a connection that was quiet for some seconds: made anew here, it costs no query time."""
    for last in (False, True):
        try:
            connection.request("GET", path)
            connection.getresponse().read()
            return
        except (OSError, http.client.HTTPException):
            connection.close()
            if last:
                raise


def timed(act: Any, *of: Any) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    act(*of)
    return (time.perf_counter() - began) * 1000


def same(left: list[list[Any]], right: list[list[Any]]) -> bool:
    """Whether both gave the same rows; averages to the seventh digit."""

    def plain(rows: list[list[Any]]) -> list[list[Any]]:
        return [[float(f"{value:.7g}") if isinstance(value, float) else value for value in row] for row in rows]

    return plain(left) == plain(right)


def run(*, quick: bool, folder: Path | None = None, rounds: int | None = None) -> dict[str, Any]:
    """Measure; `quick` takes few rows and few rounds."""
    rows = QUICK_ROWS if quick else ROWS
    rounds = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    asked = queries()
    times: dict[str, dict[str, list[float]]] = {query.name: {"governed": [], "datasette": []} for query in asked}
    with contextlib.ExitStack() as ending:
        place = folder or Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="huitong-http-")))
        fresh = not (place / "tokens.json").exists()
        if fresh:
            write_rows(place, rows)
            write_sqlite(place)
        server = ending.enter_context(serving(place, ["bench.http"], web=1))
        if fresh:
            for table, items in TABLES.items():
                grant(server, f"civil.{table}", items)
        port = ending.enter_context(datasette(place / "small.db", place / "datasette.log"))
        ours = ending.enter_context(server.connection())
        theirs = ending.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)))
        for query in asked:
            awake(ours, OURS)
            told = ask_governed(server, ours, query.governed)
            awake(theirs, THEIRS)
            assert same(told, ask_datasette(theirs, query.datasette)), query.name
        for _ in range(rounds):
            for query in asked:
                awake(ours, OURS)
                times[query.name]["governed"].append(timed(ask_governed, server, ours, query.governed))
                awake(theirs, THEIRS)
                times[query.name]["datasette"].append(timed(ask_datasette, theirs, query.datasette))
    measures: dict[str, Any] = {"rows": {"value": rows}, "rounds": {"value": rounds}}
    for query in asked:
        measures |= _measures(query, times[query.name]["governed"], times[query.name]["datasette"])
    every = [one for query in asked for one in times[query.name]["governed"]]
    middle = statistics.median(every)
    measures["all governed queries: p50 ms"] = {
        "value": round(middle, 1), "target": f"<= {MEDIAN_MILLISECONDS:g}", "met": middle <= MEDIAN_MILLISECONDS,
    }  # fmt: skip
    measures["all governed queries: p95 ms"] = {"value": round(_p95(every), 1)}
    measures["load of the machine"] = {"value": round(os.getloadavg()[0], 1)}
    return {"name": "http", "measures": measures, "method": " ".join((__doc__ or "").split())}


def _measures(query: Query, governed: list[float], other: list[float]) -> dict[str, Any]:
    middle, beside = statistics.median(governed), statistics.median(other)
    found: dict[str, Any] = {
        f"{query.name}: governed p50 ms": {
            "value": round(middle, 1), "target": f"<= {MEDIAN_MILLISECONDS:g}", "met": middle <= MEDIAN_MILLISECONDS,
        },
        f"{query.name}: governed p95 ms": {"value": round(_p95(governed), 1)},
        f"{query.name}: Datasette p50 ms": {"value": round(beside, 1)},
        f"{query.name}: Datasette p95 ms": {"value": round(_p95(other), 1)},
        f"{query.name}: ratio": {"value": round(middle / beside, 3)},
    }  # fmt: skip
    if query.kind == "aggregate":
        found[f"{query.name}: ratio"] |= {"target": "<= 1", "met": middle <= beside}
    return found


def _p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


def main() -> None:
    """`python -m bench.http [--quick] [--folder KEPT] [--rounds N]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep rows and instance here, and use them again")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make)
        return
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    measured = run(quick=arguments.quick, folder=arguments.folder, rounds=arguments.rounds)
    print(json.dumps(measured["measures"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
