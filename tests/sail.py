"""A Spark Connect server of our own for tests: Sail, as a process of its own on a free port of 127.0.0.1, ended by its process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from huitong.engines import spark
from huitong.errors import HuitongError, Refused
from huitong.model.query import GovernedQuery

_SERVE = """
import sys
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def sail_server() -> Iterator[spark.SparkAddress]:
    """A server that is up, and gone afterwards. It ends by itself with whoever started it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield spark.SparkAddress("127.0.0.1", int(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class LocalSpark:
    """The cluster as the engine of a small world, without the broker and its walls around the client."""

    def __init__(self, lake: Path, address: spark.SparkAddress) -> None:
        self.lake = lake
        self.address = address
        self.ran: list[GovernedQuery] = []
        self.refusal: HuitongError | None = None
        """Why the last query was refused, if it was."""

    def run(self, query: GovernedQuery) -> pa.Table:
        self.ran.append(query)
        self.refusal = None
        with spark.session(self.address) as session:
            try:
                return pa.Table.from_batches(list(spark.run(query, session, lake=str(self.lake))))
            except Exception as error:
                self.refusal = Refused(spark.reason_of(error, query=query.query, limits=query.limits))
                raise self.refusal from None

    def stream(self, query: GovernedQuery) -> Iterator[pa.RecordBatch]:
        yield from self.run(query).to_batches(max_chunksize=2) or [self.run(query).to_batches()[0]]
