"""What it costs to compare a question of totals with earlier ones: all in one statement against a statement for each, in one run.

The files are made here: 2,000,000 rows of 1,000,000 people, 20 earlier questions of different conditions and groupings. Target: a twentieth
question is compared in a fifth of the time that a statement for each takes.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
from tests.spec.governed.governed_world import ANALYST, CLEAR, World, make_grant

from huitong.gateway.differencing import compared_items
from huitong.gateway.rewrite.apart import Comparison, too_close
from huitong.model.catalog import Snapshot, SnapshotFile
from huitong.model.policy import Mode
from huitong.model.query import EngineLimits, QueryRequest

NEW = "SELECT gender, count(*), sum(salary) FROM civil.person WHERE salary > 500 GROUP BY gender"
OLD: Sequence[str] = tuple(
    f"SELECT {key}, count(*) FROM civil.person WHERE salary > {1000 * step} GROUP BY {key}"
    for key in ("gender", "division")
    for step in range(1, 11)
)
RATIO = 0.2


def _world(folder: Path, people: int) -> World:
    world = World(folder)
    path = folder / "many.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'p' || (i % {people}) AS pid, NULL::VARCHAR AS name, chr((97 + i % 3)::INT) AS gender, NULL::VARCHAR AS phone, "
            f"'d' || (i % 1500) AS division, NULL::DATE AS born, (i * 7919) % 100000 AS salary, 0.5::DOUBLE AS weight, "
            f"NULL::VARCHAR AS diagnosis FROM range({2 * people}) AS r(i)) TO '{path}'"
        )
    files = (SnapshotFile(path.name, 2 * people, path.stat().st_size),)
    snapshot = world.snapshots["civil.person"]
    world.snapshots["civil.person"] = Snapshot(snapshot.dataset, 2, files, 2 * people, snapshot.taken_at, "0" * 64)
    items = {"gender": CLEAR, "division": CLEAR, "salary": CLEAR}
    world.grants = [make_grant("civil.person", items, mode=Mode.AGGREGATE_ONLY, k=10)]
    return world


def run(*, quick: bool = False) -> dict[str, Any]:
    """The benchmark, for `python -m bench`."""
    people = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        world = _world(Path(folder), people)
        limits = EngineLimits(seconds=600, memory_megabytes=4096, threads=2, maximum_rows=1000)

        def plan(sql: str) -> Any:
            return world.gateway._plan("q", QueryRequest(sql, "poverty-relief"), ANALYST)

        new = plan(NEW)
        question, part = new.telling.question, new.datasets[0]
        comparisons = []
        for sql in OLD:
            old = plan(sql).telling.question
            comparisons += [Comparison(old, replace(part), known) for known in compared_items(question, old)]

        def seconds(groups: Sequence[Sequence[Comparison]]) -> float:
            began = time.perf_counter()
            for group in groups:
                made = too_close((question, part), group, side_files=world.files, subject_files=lambda _list: (), caps=world.gateway._caps)
                assert world.engine.run(made.governed("q", limits)).num_rows == 1
            return time.perf_counter() - began

        together = seconds([comparisons])
        each = seconds([[one] for one in comparisons])
    ratio = together / each
    measures = {
        "earlier questions": len(OLD),
        "rows": 2 * people,
        "all in one statement (s)": round(together, 2),
        "a statement for each (s)": round(each, 2),
        "ratio": {"value": round(ratio, 2), "target": f"<= {RATIO}", "met": ratio <= RATIO or quick},
    }
    return {"benchmark": "totals", "measures": measures}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
