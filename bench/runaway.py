"""What runaway queries cost everybody else: ordinary small queries through one engine broker, with and without two three-way joins
beside them that would never end.

    python -m bench runaway [--quick]

In turns within one run: small queries alone for as long as a runaway may run, then the same with two runaways, which take every
place that the broker has. The small queries come one after another with a short pause, as from a person's pages. Measured are the
clock times of each small query in full, with the first half second of each runaway, in which it still competes as an equal; and how
long after its limit each runaway was stopped. The ratio is that of the 95th percentiles within the run, all turns together, so that
a machine that is busy with other things is busy in both. The baseline is the turn without runaways.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

ROWS = 200_000
PLACES = 2
SECONDS, QUICK_SECONDS = 10.0, 3.0
TURNS, QUICK_TURNS = 3, 1
PAUSE = 0.02
SMALL = "SELECT place, count(*) AS n, avg(amount) AS mean FROM t GROUP BY place ORDER BY place"
RUNAWAY = "SELECT count(*) AS n FROM t AS a, t AS b, t AS c WHERE (a.person * 31 + b.person * 17 + c.person) % 1009 = 3"


def run(*, quick: bool = False) -> dict[str, Any]:
    """p95 of small queries with runaways and without, their ratio, and how late runaways were stopped."""
    from huitong.engines.broker import BrokerSettings, start
    from huitong.engines.client import EngineClient
    from huitong.errors import Refused
    from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable

    seconds, turns = (QUICK_SECONDS, QUICK_TURNS) if quick else (SECONDS, TURNS)

    def query(sql: str, limit: float) -> GovernedQuery:
        table = GovernedTable("t", ("t.parquet",), {"person": "BIGINT", "place": "BIGINT", "amount": "BIGINT"})
        return GovernedQuery("bench", sql, (table,), EngineLimits(limit, 400, 2, 1000))

    alone: list[float] = []
    beside: list[float] = []
    late: list[float] = []

    def small(client: EngineClient, times: list[float], until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            client.run(query(SMALL, 10))
            times.append((time.monotonic() - began) * 1000)
            time.sleep(PAUSE)

    def runaway(client: EngineClient) -> None:
        began = time.monotonic()
        try:
            client.run(query(RUNAWAY, seconds))
        except Refused as refused:
            assert refused.reasons[0].code == "query-time-limit"
        else:
            raise AssertionError("the runaway came to an end")
        late.append(time.monotonic() - began - seconds)

    with tempfile.TemporaryDirectory(prefix="huitong-bench-") as folder:
        home = Path(folder)
        (home / "lake").mkdir()
        numbers = range(ROWS)
        columns = {"person": numbers, "place": [n % 40 for n in numbers], "amount": [n * 7919 % 10_007 for n in numbers]}
        parquet.write_table(pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()}), home / "lake/t.parquet")
        with start(BrokerSettings(socket=home / "e.sock", lake=home / "lake", processes=PLACES)):
            client = EngineClient(home / "e.sock")
            small(client, [], time.monotonic() + 0.5)
            for _ in range(turns):
                small(client, alone, time.monotonic() + seconds)
                threads = [threading.Thread(target=runaway, args=(client,)) for _ in range(PLACES)]
                for thread in threads:
                    thread.start()
                time.sleep(0.05)  # they are first: the small queries find every place taken
                small(client, beside, time.monotonic() + seconds - 0.1)
                for thread in threads:
                    thread.join()
    without, with_them = _percentile(alone, 95), _percentile(beside, 95)
    ratio, latest = with_them / without, max(late)
    measures: dict[str, Any] = {
        "p50 / p95 / worst ms without runaways": {"value": _shown(alone)},
        "p50 / p95 / worst ms with two runaways": {"value": _shown(beside)},
        "p95 with / without": {"value": round(ratio, 2), "target": "<= 1.2", "met": ratio <= 1.2},
        "small queries without / with": {"value": f"{len(alone)} / {len(beside)}"},
        "latest stop of a runaway after its limit, s": {"value": round(latest, 2), "target": "<= 1", "met": latest <= 1},
        "load of the machine": {"value": round(os.getloadavg()[0], 1)},
    }
    return {"name": "runaway", "measures": measures, "method": " ".join((__doc__ or "").split())}


def _percentile(times: list[float], which: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * which // 100)]


def _shown(times: list[float]) -> str:
    return f"{_percentile(times, 50):.0f} / {_percentile(times, 95):.0f} / {max(times):.0f}"


def main() -> None:
    """`python -m bench.runaway [--quick]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick)["measures"], indent=1))


if __name__ == "__main__":
    main()
