"""Two commands without a server each start a broker over the same instance: neither may stand in the other's way."""

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from huitong.engines.broker import start_broker
from huitong.engines.client import EngineClient
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable
from huitong.settings import Settings

LIMITS = EngineLimits(seconds=20, memory_megabytes=256, threads=1, maximum_rows=10)


def test_the_second_starts_beside_the_first_and_outlives_it(tmp_path: Path) -> None:
    first, second = (Settings(home=tmp_path, engine_socket_name=name) for name in ("engine-1.sock", "engine-2.sock"))
    first.lake.mkdir()
    parquet.write_table(pa.table({"a": [1, 2, 3]}), first.lake / "t.parquet")
    query = GovernedQuery("q-1", "SELECT sum(a) AS n FROM t", (GovernedTable("t", ("t.parquet",), {"a": "BIGINT"}),), LIMITS)
    with start_broker(second):
        with start_broker(first):
            assert EngineClient(first.engine_socket).run(query)["n"].to_pylist() == [6]
            assert EngineClient(second.engine_socket).run(query)["n"].to_pylist() == [6]
        assert EngineClient(second.engine_socket).run(query)["n"].to_pylist() == [6]
    assert not list(first.run.iterdir())
