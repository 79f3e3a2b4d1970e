"""How fast the demo registers are made, with how much memory, and against what merely copying the same files costs.

The baseline is DuckDB reading the finished files and writing them again as Parquet with zstd, in the same run on the same
threads. Target: a million records a second on two cores, and a peak of memory that does not grow with the rows.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TARGET_RECORDS_PER_SECOND = 1_000_000
LARGEST_GROWTH_OF_MEMORY = 1.25
THREADS = 2


def _child(action: str, folder: Path, rows: int) -> dict[str, float]:
    """Run a part in a process of its own, so that its processor time and peak memory are its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", action, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _generate(folder: Path, rows: int) -> int:
    from huitong.demo import generate

    return generate(out=folder, rows=rows, seed=1, threads=THREADS).bytes


def _copy(folder: Path) -> int:
    import duckdb

    written = 0
    connection = duckdb.connect(config={"threads": THREADS})
    for path in sorted(folder.glob("*.parquet")):
        target = folder / f"{path.stem}.copy"
        connection.execute(f"COPY (FROM read_parquet('{path}')) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        written += target.stat().st_size
        target.unlink()
    return written


def _measured(action: str, folder: Path, rows: int) -> dict[str, float]:
    """What a child does: the part itself, and what it took."""
    import duckdb  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import huitong.demo  # noqa: F401

    started, busy = time.perf_counter(), time.process_time()
    written = _generate(folder, rows) if action == "generate" else _copy(folder)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - busy,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "written_megabytes": written / 1e6,
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Measure; the best of three rounds of each, since other work only ever makes it slower."""
    rows = 1_000_000 if quick else 10_000_000
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = _child("generate", folder, rows // 4)
        made = [_child("generate", folder, rows) for _ in range(rounds)]
        copied = [_child("copy", folder, rows) for _ in range(rounds)]
    best = min(made, key=lambda measured: measured["seconds"])
    floor = min(copied, key=lambda measured: measured["cpu_seconds"])
    cpu = min(measured["cpu_seconds"] for measured in made)
    rate = rows / best["seconds"]
    growth = best["peak_megabytes"] / small["peak_megabytes"]
    return {
        "name": "generate",
        "measures": {
            "rows": {"value": rows},
            "threads": {"value": THREADS},
            "seconds": {"value": round(best["seconds"], 2)},
            "records_per_second": {
                "value": round(rate),
                "target": TARGET_RECORDS_PER_SECOND,
                "met": None if quick else rate >= TARGET_RECORDS_PER_SECOND,
            },
            "cpu_seconds": {"value": round(cpu, 2)},
            "records_per_cpu_second": {"value": round(rows / cpu)},
            "copy_cpu_seconds": {"value": round(floor["cpu_seconds"], 2)},
            "peak_megabytes": {"value": round(best["peak_megabytes"])},
            "peak_megabytes_to_that_of_a_quarter_of_the_rows": {
                "value": round(growth, 2),
                "target": LARGEST_GROWTH_OF_MEMORY,
                "met": None if quick else growth <= LARGEST_GROWTH_OF_MEMORY,
            },
            "written_megabytes": {"value": round(best["written_megabytes"], 1)},
        },
        "target": {"records_per_second": TARGET_RECORDS_PER_SECOND},
        "ratio": {
            "records_per_second_to_target": round(rate / TARGET_RECORDS_PER_SECOND, 2),
            "cpu_to_copying_the_same_files": round(cpu / floor["cpu_seconds"], 2),
        },
    }


def main() -> None:
    """`python bench/generate.py [--quick]`"""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", choices=["generate", "copy"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(_measured(arguments.child, arguments.folder, arguments.rows)))
    else:
        print(json.dumps(run(quick=arguments.quick), indent=2))


if __name__ == "__main__":
    main()
