"""How fast a large CSV becomes a snapshot, every row typed, its key checked, its meanings measured; the baseline is DuckDB's own copy.

    python -m bench.load [--quick]

The load runs in a process of its own, whose peak memory the kernel tells (VmHWM). Both sides read the same file from a warm cache,
one after the other, several times; the ratio is that of the medians.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET_RATIO, TARGET_MEGABYTES = 0.5, 1536
ROWS, QUICK_ROWS = 6_700_000, 200_000
RUNS, QUICK_RUNS = 5, 1
SEED = 7
DIRTY = {"dates": 60, "numbers": 60, "widths": 40, "keys": 6}
"""Rows of each fault in the whole file; the last are pairs of rows with one key."""
REJECTS = 60 + 60 + 40 + 12
COLUMNS = {
    "resident_id": "VARCHAR", "name": "VARCHAR", "sex": "VARCHAR", "ethnic": "VARCHAR", "division": "VARCHAR", "household": "VARCHAR",
    "born": "DATE", "income_fen": "BIGINT", "area": "DOUBLE", "registered": "DATE", "phone": "VARCHAR", "address": "VARCHAR",
}  # fmt: skip


def make(path: Path, rows: int) -> None:
    """A register of residents, made up: right check characters, unassignable divisions, some dirt, by the seed alone."""
    import duckdb

    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = " + ".join(f"(ascii(head[{place}]) - 48) * {weight}" for place, weight in enumerate(weights, start=1))

    def every(count: int, place: int) -> str:
        stride = max(2, rows // count)
        return f"i % {stride} = {(stride // 2 + place) % stride}"

    duckdb.sql("SET enable_progress_bar=false")
    duckdb.sql(f"""
        COPY (
            WITH numbers AS (SELECT i, (i * 2654435761 + {SEED}) % {rows} AS k, hash(i * 31 + {SEED}) AS h FROM range({rows}) t(i)),
            heads AS (
                SELECT i, h, '52' || lpad(CAST(9000 + k % 97 AS VARCHAR), 4, '0') AS area_code,
                    DATE '1935-01-01' + CAST((k // 97) % 30000 AS INTEGER) AS day, lpad(CAST(k // 97 // 30000 AS VARCHAR), 3, '0') AS serial
                FROM numbers
            ),
            people AS (SELECT *, area_code || strftime(day, '%Y%m%d') || serial AS head FROM heads),
            identified AS (SELECT *, head || '10X98765432'[1 + CAST(({check}) % 11 AS INTEGER)] AS id FROM people)
            SELECT
                CASE WHEN {every(DIRTY["keys"], 11)} THEN lag(id) OVER (ORDER BY i) ELSE id END AS resident_id,
                '王李张刘陈杨赵黄周吴'[1 + CAST(h % 10 AS INTEGER)] || '伟芳娜秀英敏静丽强磊军洋'[1 + CAST(h // 10 % 12 AS INTEGER)]
                    || CASE WHEN h % 3 = 0 THEN '' ELSE '华明国平'[1 + CAST(h // 120 % 4 AS INTEGER)] END AS name,
                CAST(1 + h % 2 AS VARCHAR) AS sex,
                lpad(CAST(1 + h // 7 % 56 AS VARCHAR), 2, '0') AS ethnic,
                area_code || lpad(CAST(h % 20 AS VARCHAR), 3, '0') || lpad(CAST(h // 20 % 30 AS VARCHAR), 3, '0') AS division,
                lpad(CAST(h % 9000000000 AS VARCHAR), 10, '0') AS household,
                CASE WHEN {every(DIRTY["dates"], 101)} THEN '1990-02-30' ELSE strftime(day, '%Y-%m-%d') END AS born,
                CASE WHEN {every(DIRTY["numbers"], 211)} THEN 'unknown' ELSE CAST(h % 90000000 AS VARCHAR) END AS income_fen,
                CAST(round((h % 1000000) / 100.0, 2) AS VARCHAR) AS area,
                strftime(DATE '2015-01-01' + CAST(h // 3 % 3600 AS INTEGER), '%Y-%m-%d') AS registered,
                '13' || lpad(CAST(h // 5 % 1000000000 AS VARCHAR), 9, '0') AS phone,
                '贵州省贵阳市云岩区中华路' || CAST(h % 900 AS VARCHAR) || '号'
                    || CASE WHEN {every(DIRTY["widths"], 307)} THEN ',more' ELSE '' END AS address
            FROM identified ORDER BY i
        ) TO '{path}.raw' (FORMAT csv, HEADER, QUOTE '', ESCAPE '', DELIMITER ',')""")
    Path(f"{path}.raw").rename(path)


LOAD = """
import json, re, sys, time
from datetime import UTC, datetime
from pathlib import Path
from bench.load import COLUMNS, entry
from huitong.intake.load import LoadOptions, load
from huitong.intake.quality import measures
from huitong.lake.snapshots import Lake
lake = Lake(Path(sys.argv[2]), lambda: datetime.now(UTC))
began, used = time.perf_counter(), time.process_time()
loaded = load(Path(sys.argv[1]), dataset=entry(), lake=lake, options=LoadOptions(reject_limit=int(sys.argv[3])))
between = time.perf_counter()
with lake.looking([file.path for file in loaded.snapshot.files]) as engine:
    found = measures(engine, lake.scan(loaded.snapshot), entry(), distinct=False, key=False, missing=lake.missing(loaded.snapshot))
ended = time.perf_counter()
print(json.dumps({
    "seconds": ended - began, "load": between - began, "validity": ended - between, "cpu": time.process_time() - used,
    "megabytes": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, "rows": loaded.snapshot.rows,
    "rejected": loaded.snapshot.rejected_rows, "valid": found.items[0].valid,
}))
"""
MAKE = """
import sys
from pathlib import Path
from bench.load import make
make(Path(sys.argv[1]), int(sys.argv[2]))
"""
COPY = """
import json, sys, time
import duckdb
source, target, columns = sys.argv[1:4]
connection = duckdb.connect()
connection.execute("SET enable_progress_bar=false")
reader = f"read_csv('{source}', ignore_errors=true{columns})"
began, used = time.perf_counter(), time.process_time()
connection.execute(f"COPY (FROM {reader}) TO '{target}' (FORMAT parquet)")
print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}))
"""


def entry() -> "object":
    """The register's catalogue entry."""
    from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
    from huitong.model.text import BilingualText

    kinds = {"VARCHAR": ItemType.TEXT, "DATE": ItemType.DATE, "BIGINT": ItemType.INTEGER, "DOUBLE": ItemType.DECIMAL}
    meanings = {"resident_id": "resident-id", "name": "person-name", "division": "division-code", "phone": "phone", "born": "birth-date"}
    items = tuple(
        Item(name, BilingualText(name, name), kinds[kind], Grade.SENSITIVE, meanings.get(name)) for name, kind in COLUMNS.items()
    )
    return Dataset(
        id="bench.resident",
        title=BilingualText("居民", "Residents"),
        abstract=BilingualText("合成数据", "Synthetic"),
        classification="3-01-0101/000001",
        provider="gz-public-security",
        collector="gz-public-security",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="benchmark",
        sharing_condition=None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.DAILY,
        items=items,
        primary_key=("resident_id",),
    )


def _run(program: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True).stdout


def _told(program: str, *arguments: str) -> dict[str, float]:
    told: dict[str, float] = json.loads(_run(program, *arguments).splitlines()[-1])
    return told


def run(*, quick: bool) -> dict[str, object]:
    """Measure; `quick` takes a thirtieth of the rows, once."""
    folder = Path(tempfile.mkdtemp(prefix="bench-load-"))
    try:
        path = folder / "residents.csv"
        _run(MAKE, str(path), str(QUICK_ROWS if quick else ROWS))
        declared = ", columns={" + ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items()) + "}, header=true, delim=','"
        plain, typed, ours = [], [], []
        _run(COPY, str(path), str(folder / "copy.parquet"), "")  # warms the cache
        for _ in range(QUICK_RUNS if quick else RUNS):
            plain.append(_told(COPY, str(path), str(folder / "copy.parquet"), ""))
            typed.append(_told(COPY, str(path), str(folder / "copy.parquet"), declared))
            ours.append(_told(LOAD, str(path), str(folder / "lake"), str(REJECTS + 50)))
            shutil.rmtree(folder / "lake")
        size = path.stat().st_size
    finally:
        shutil.rmtree(folder)

    def middle(runs: list[dict[str, float]], what: str) -> float:
        return statistics.median(one[what] for one in runs)

    ratio = middle(plain, "seconds") / middle(ours, "seconds")
    megabytes = max(one["megabytes"] for one in ours)
    return {
        "name": "load",
        "measures": {
            "ratio_to_duckdb_copy": {"value": round(ratio, 2), "target": TARGET_RATIO, "met": ratio >= TARGET_RATIO},
            "ratio_to_duckdb_copy_of_the_same_types": round(middle(typed, "seconds") / middle(ours, "seconds"), 2),
            "ratio_of_processor_time": round(middle(plain, "cpu") / middle(ours, "cpu"), 2),
            "peak_megabytes": {"value": int(megabytes), "target": TARGET_MEGABYTES, "met": megabytes < TARGET_MEGABYTES},
            "file_megabytes": size >> 20,
            "rows": int(ours[0]["rows"]),
            "rejected_rows": int(ours[0]["rejected"]),
            "seconds": round(middle(ours, "seconds"), 2),
            "seconds_of_validity": round(middle(ours, "validity"), 2),
            "seconds_of_duckdb_copy": round(middle(plain, "seconds"), 2),
        },
        "method": (
            f"{len(ours)} interleaved runs, medians, warm cache; 12 columns, {len(COLUMNS)} items, {int(ours[0]['rejected'])} bad rows. "
            "Ours: hash and encoding proof of every byte, types, primary key and validity of five meanings on every row, reject table, "
            "Parquet (zstd), fsync, Delta commit. Baseline: COPY (FROM read_csv(file, ignore_errors=true)) TO parquet with DuckDB's "
            "own guesses and defaults (snappy); the same with declared types beside it."
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
