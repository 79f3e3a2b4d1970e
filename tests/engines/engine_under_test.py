"""A broker with one small table, and words to ask it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.engines.broker import BrokerHandle
from huitong.engines.client import EngineClient
from huitong.model.query import EngineLimits, GovernedQuery, GovernedTable


@dataclass
class Engine:
    home: Path
    handle: BrokerHandle
    client: EngineClient

    def query(self, sql: str, *, seconds: float = 10, megabytes: int = 400, rows: int = 100_000, **table: Any) -> GovernedQuery:
        files = table.get("files", ("people.parquet",))
        columns = table.get("columns", {"id": "VARCHAR", "age": "BIGINT"})
        return GovernedQuery("Q-1", sql, (GovernedTable("t_9f", files, columns),), EngineLimits(seconds, megabytes, 2, rows))

    def run(self, sql: str, **more: Any) -> pa.Table:
        return self.client.run(self.query(sql, **more))

    def children(self) -> list[int]:
        """The processes that have a query."""
        pid = self.handle.process.pid
        while True:
            ready = self.ready()
            found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            if ready == self.ready():  # else it became that of a query meanwhile, or another was made
                return [child for child in found if child != ready]

    def ready(self) -> int | None:
        """The process that waits for its query."""
        found: int | None = self.client.status()["ready"]
        return found

    def folders(self) -> list[Path]:
        """The private folders that are there, but for that of the process that waits."""
        found = [path for path in (self.home / "engine-tmp").iterdir() if path.is_dir()]
        return found[1:] if self.ready() is not None else found


def make_lake(home: Path) -> Path:
    lake = home / "lake"
    lake.mkdir()
    table = pa.table({"id": [f"{n:04d}" for n in range(1000)], "age": list(range(1000)), "secret": ["canary"] * 1000})
    parquet.write_table(table, lake / "people.parquet")
    return lake
