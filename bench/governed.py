"""What a grant costs the engine: governed SQL against the raw query with the same filter written by hand, on the same files, in
turns, in one run.

The files are made here: people of nine cities in random order, a city's rows granted, each item under a mask. Targets (studies of
step 0): median ratio <= 1.15 and worst <= 1.5 for queries that compute no mask over every row and join no pseudonym; those are
shown beside it, because a mask over every row is work that the raw query does not do.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    COUNTY,
    NOW,
    PSEUDONYM,
    SURNAME_ONLY,
    YEAR,
    World,
    make_grant,
)

from huitong.model.catalog import Snapshot, SnapshotFile
from huitong.model.query import QueryRequest

CITY = "520100000000"
FILTER = "division BETWEEN '520100000000' AND '520199999999'"


@dataclass(frozen=True)
class Case:
    """One question, asked raw and governed; `plain` if no mask is computed over every row."""

    name: str
    raw: str
    governed: str
    plain: bool = True


CASES: Sequence[Case] = (
    Case("avg by gender", f"SELECT gender, avg(salary) FROM raw WHERE {FILTER} GROUP BY gender",
         "SELECT gender, avg(salary) FROM civil.person GROUP BY gender"),
    Case("count above", f"SELECT count(*) FROM raw WHERE {FILTER} AND salary > 60000",
         "SELECT count(*) FROM civil.person WHERE salary > 60000"),
    Case("top ten", f"SELECT salary, weight FROM raw WHERE {FILTER} ORDER BY salary DESC LIMIT 10",
         "SELECT salary, weight FROM civil.person ORDER BY salary DESC LIMIT 10"),
    Case("arithmetic", f"SELECT sum(salary * 2 + 1), avg(salary / 3) FROM raw WHERE {FILTER}",
         "SELECT sum(salary * 2 + 1), avg(salary / 3) FROM civil.person"),
    Case("gender and salary band", f"SELECT gender, salary // 10000, count(*) FROM raw WHERE {FILTER} GROUP BY 1, 2",
         "SELECT gender, salary // 10000, count(*) FROM civil.person GROUP BY 1, 2"),
    Case("by year of birth (mask)", f"SELECT born, count(*) FROM raw WHERE {FILTER} GROUP BY born",
         "SELECT born, count(*) FROM civil.person GROUP BY born", plain=False),
    Case("by county (mask)", f"SELECT division, count(*) FROM raw WHERE {FILTER} GROUP BY division",
         "SELECT division, count(*) FROM civil.person GROUP BY division", plain=False),
    Case("distinct names (mask)", f"SELECT count(DISTINCT name) FROM raw WHERE {FILTER}",
         "SELECT count(DISTINCT name) FROM civil.person", plain=False),
    Case("distinct people (pseudonym)", f"SELECT count(DISTINCT pid) FROM raw WHERE {FILTER}",
         "SELECT count(DISTINCT pid) FROM civil.person", plain=False),
)  # fmt: skip


def _make(folder: Path, rows: int) -> None:
    """People whose division is one of 9 cities x 20 counties x 200 villages, and the side table of their tokens."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute(f"""
        COPY (SELECT (990000000000000000 + i)::VARCHAR AS pid, chr(19968 + (hash(i) % 400)::INT) || '伟明' AS name,
            CASE WHEN hash(i * 5) % 2 = 0 THEN '男' ELSE '女' END AS gender, '13800000000' AS phone,
            (520000000000 + (1 + hash(i) % 9) * 100000000 + (hash(i * 7) % 20) * 1000000 + (hash(i * 3) % 200) * 1000)::BIGINT::VARCHAR
                AS division,
            DATE '1950-01-01' + (hash(i * 11) % 20000)::INT AS born, (hash(i * 13) % 100000)::BIGINT AS salary,
            (hash(i * 17) % 100)::DOUBLE AS weight, 'x' AS diagnosis
            FROM range({rows}) t(i)) TO '{folder / "people.parquet"}' (FORMAT parquet, COMPRESSION zstd)""")
    connection.execute(f"""
        COPY (SELECT pid AS identifier, hash(pid)::HUGEINT - 9223372036854775808 AS token FROM '{folder / "people.parquet"}')
        TO '{folder / "raw_tokens.parquet"}' (FORMAT parquet)""")
    connection.execute(f"""
        COPY (SELECT identifier, token::BIGINT AS token FROM '{folder / "raw_tokens.parquet"}' ORDER BY identifier)
        TO '{folder / "tokens.parquet"}' (FORMAT parquet)""")
    connection.close()


def run(*, quick: bool) -> dict[str, Any]:
    """Measure; `quick` shows only that it runs."""
    rows, rounds = (200_000, 2) if quick else (6_000_000, 5)
    measures: dict[str, Any] = {"rows": {"value": rows}}
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _make(place, rows)
        world = World(place)
        world.grants = [
            make_grant(
                "civil.person",
                {"pid": PSEUDONYM, "name": SURNAME_ONLY, "division": COUNTY, "born": YEAR}
                | dict.fromkeys(("gender", "salary", "weight"), CLEAR),
                rows=CITY,
            )
        ]
        file = SnapshotFile("people.parquet", rows, (place / "people.parquet").stat().st_size)
        world.snapshots["civil.person"] = Snapshot("civil.person", 9, (file,), rows, NOW - timedelta(days=1), "0" * 64)
        codes = frozenset(f"5201{county:02d}{village:03d}000" for county in range(20) for village in range(200)) | {CITY}
        world.codes_under = lambda *_: codes  # type: ignore[method-assign]
        world.files = lambda *_: ("tokens.parquet",)  # type: ignore[method-assign]
        world.gateway = world.make_gateway()
        limits = replace(world.gateway._limits, threads=2)
        for case in CASES:
            plan = world.gateway._plan("q", QueryRequest(case.governed, "poverty-relief"), ANALYST)
            query = plan.governed("q", limits)
            connection = duckdb.connect(config={"threads": 2})
            connection.execute(f"CREATE VIEW raw AS SELECT * FROM read_parquet('{place / 'people.parquet'}')")
            for table in query.tables:
                columns = ", ".join(f'"{name}"' for name in table.columns)
                paths = ", ".join(f"'{place / path}'" for path in table.files)
                connection.execute(f'CREATE VIEW "{table.name}" AS SELECT {columns} FROM read_parquet([{paths}])')
            best = {"raw": float("inf"), "governed": float("inf")}
            for _ in range(rounds):
                for kind, sql in (("raw", case.raw), ("governed", query.sql)):
                    began = time.perf_counter()
                    connection.execute(sql).fetchall()
                    best[kind] = min(best[kind], (time.perf_counter() - began) * 1000)
            connection.close()
            ratio = best["governed"] / best["raw"]
            if case.plain:
                ratios.append(ratio)
            measures[case.name] = {"value": f"{best['raw']:.0f} -> {best['governed']:.0f} ms ({ratio:.2f})"}
    median, worst = statistics.median(ratios), max(ratios)
    measures["median ratio, no mask over every row"] = {"value": round(median, 2), "target": "<= 1.15", "met": median <= 1.15}
    measures["worst ratio, no mask over every row"] = {"value": round(worst, 2), "target": "<= 1.5", "met": worst <= 1.5}
    return {"name": "governed", "measures": measures, "target": "median <= 1.15, worst <= 1.5", "ratio": median}


def main() -> None:
    """`python -m bench.governed [--quick]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
