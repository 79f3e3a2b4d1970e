"""`generate`: the registers of the demo province as files, from a seed and a number of rows.

A row is a pure function of seed, number of rows, dataset and its place in the file. Work is done in chunks, each a row group of
the file, so memory does not grow with the number of rows; threads only decide who computes which chunk. Files appear under their
name when they are whole.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from huitong.demo.counter import happens, key_of, noise
from huitong.demo.makers import Rows, Source, make
from huitong.demo.population import Population
from huitong.demo.registers import Register, registers
from huitong.errors import InputInvalid
from huitong.model.catalog import ItemType

CHUNK_ROWS = 61_440
CHUNKS_IN_A_GROUP = 2
"""Chunks are small enough for the processor's cache; a row group of a Parquet file holds this many."""
SHARES_TOTAL = 203_000
LARGEST = "medical.settlement"
"""Takes the rows that rounding leaves over, so that the number of rows is exactly what was asked."""
FEWEST_ROWS = 1_000

Progress = Callable[[int, int], None]
ARROW_TYPES = {
    ItemType.TEXT: pa.string(),
    ItemType.INTEGER: pa.int64(),
    ItemType.DECIMAL: pa.float64(),
    ItemType.BOOLEAN: pa.bool_(),
    ItemType.DATE: pa.date32(),
}
PLAIN_KINDS = frozenset(
    {"resident-id", "head-id", "household-code", "serial", "money", "part", "minus", "phone", "credit-code", "employer",
     "person-name", "head-name", "address", "firm-name"}
)  # fmt: skip
"""Kinds with so many different values that a dictionary in the file is no use."""


@dataclass(frozen=True)
class GeneratedTable:
    """One file that was made."""

    dataset: str
    path: Path
    rows: int
    bytes: int


@dataclass(frozen=True)
class GenerationReport:
    """What was made, and what it took."""

    tables: tuple[GeneratedTable, ...]
    rows: int
    bytes: int
    seconds: float
    cpu_seconds: float


def shared_out(rows: int, *, seed: int) -> tuple[dict[str, int], Population]:
    """How many rows each register gets out of `rows`, together exactly `rows`, and the population that the rows are about.

    The registers of people and households follow from each other (190 people in 60 households), the rest from their shares."""
    made = [register for register in registers() if register.share]
    counts = {register.dataset.id: max(1, rows * register.share // SHARES_TOTAL) for register in made}
    persons = next(register.dataset.id for register in made if register.about == "every-person")
    population = Population(seed=key_of(seed, "population"), persons=counts[persons])
    for register in made:
        if register.about == "every-household":
            counts[register.dataset.id] = population.households
        elif register.about.endswith("-once"):
            counts[register.dataset.id] = min(counts[register.dataset.id], population.households)
    counts[LARGEST] += rows - sum(counts.values())
    return counts, population


class _Job:
    """The making of one file: chunks may be computed by any thread and are written in order by whoever holds the pen."""

    def __init__(self, register: Register, source: Source, rows: int, out: Path, form: str) -> None:
        self.register, self.source, self.rows, self.form = register, source, rows, form
        self.path = out / f"{register.dataset.id}.{form}"
        self.temporary = out / f".{register.dataset.id}.{form}.part"
        self.chunk = CHUNK_ROWS * CHUNKS_IN_A_GROUP
        self.chunks = -(-rows // self.chunk)
        self.taken = 0
        self.written = 0
        self.waiting: dict[int, pa.Table] = {}
        self.writing = False
        self.writer: Any = None
        self.again_key = source.key("again")
        names = [item.name for item in register.dataset.items]
        types = [ARROW_TYPES[item.type] for item in register.dataset.items]
        self.schema = pa.schema(list(zip(names, types, strict=True)))
        self.dictionaries = [name for name in names if register.makers[name]["kind"] not in PLAIN_KINDS]

    def compute(self, chunk: int) -> pa.Table:
        """The rows of a chunk."""
        first = chunk * self.chunk
        last = min(self.rows, first + self.chunk)
        return pa.concat_tables([self._rows(start, min(last, start + CHUNK_ROWS)) for start in range(first, last, CHUNK_ROWS)])

    def _rows(self, first: int, last: int) -> pa.Table:
        index = np.arange(first, last, dtype=np.int64)
        if self.register.again:
            bits = noise(self.again_key, index)
            other = (noise(self.again_key + 1, index) % np.uint64(self.rows)).astype(np.int64)
            index = np.where(happens(bits, self.register.again), other, index)
        rows = Rows(self.source, index)
        columns = []
        for item, name in zip(self.register.dataset.items, self.schema.names, strict=True):
            values = make(rows, name, self.register.makers[name])
            if isinstance(values, pa.DictionaryArray):
                values = values.dictionary_decode()
            columns.append(values.cast(ARROW_TYPES[item.type]) if values.type != ARROW_TYPES[item.type] else values)
        return pa.Table.from_arrays(columns, schema=self.schema)

    def write(self, table: pa.Table) -> None:
        """Append a chunk to the temporary file."""
        if self.writer is None:
            if self.form == "parquet":
                self.writer = pyarrow.parquet.ParquetWriter(
                    self.temporary,
                    self.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=self.dictionaries or False,
                    store_schema=False,
                )
            else:
                self.writer = pyarrow.csv.CSVWriter(self.temporary, self.schema)
        if self.form == "parquet":
            self.writer.write_table(table, row_group_size=self.chunk)
        else:
            self.writer.write_table(table)

    def abandon(self) -> None:
        """Let go of a file that was not finished; nothing to do if it was."""
        if self.writer is not None:
            with suppress(Exception):
                self.writer.close()
        self.temporary.unlink(missing_ok=True)

    def finish(self) -> None:
        """The file is whole: give it its name."""
        self.writer.close()
        self.writer = None
        self.temporary.replace(self.path)


class _Crew:
    """Threads that share the jobs: the biggest first, a few open at once, never more than a few chunks ahead of the pen."""

    def __init__(self, jobs: Sequence[_Job], *, threads: int, progress: Progress | None) -> None:
        self.jobs = deque(sorted(jobs, key=lambda job: -job.rows))
        self.open: list[_Job] = []
        self.threads = threads
        self.progress = progress
        self.done = 0
        self.total = sum(job.rows for job in jobs)
        self.changed = threading.Condition()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Make all files; on any failure, or when interrupted, stop and leave no half file."""
        everything = list(self.jobs)
        helpers = [threading.Thread(target=self._work, name=f"generate-{number}") for number in range(1, self.threads)]
        for helper in helpers:
            helper.start()
        try:
            self._work()
            for helper in helpers:
                helper.join()
        except BaseException as failure:
            self._fail(failure)
        finally:
            for helper in helpers:
                helper.join()
            for job in everything:
                job.abandon()
        if self.failure is not None:
            raise self.failure

    def _fail(self, failure: BaseException) -> None:
        with self.changed:
            self.failure = self.failure or failure
            self.changed.notify_all()

    def _next(self) -> tuple[_Job, int] | None:
        """A chunk to compute: of the open job that is least ahead; None when nothing is left."""
        with self.changed:
            while self.failure is None:
                while len(self.open) < self.threads and self.jobs:
                    self.open.append(self.jobs.popleft())
                ready = [job for job in self.open if job.taken < job.chunks and job.taken - job.written <= self.threads]
                if ready:
                    job = min(ready, key=lambda job: job.taken - job.written)
                    job.taken += 1
                    return job, job.taken - 1
                if not self.open:
                    return None
                self.changed.wait()
            return None

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                job, chunk = task
                self._deliver(job, chunk, job.compute(chunk))
        except BaseException as failure:
            self._fail(failure)

    def _deliver(self, job: _Job, chunk: int, table: pa.Table) -> None:
        with self.changed:
            job.waiting[chunk] = table
            if job.writing:
                return
            job.writing = True
        while True:
            with self.changed:
                following = job.waiting.pop(job.written, None)
                if following is None or self.failure is not None:
                    job.writing = False
                    return
            job.write(following)
            last = job.written + 1 == job.chunks
            if last:
                job.finish()
            with self.changed:
                job.written += 1
                self.done += following.num_rows
                if last:
                    self.open.remove(job)
                    job.writing = False
                if self.progress is not None:
                    self.progress(self.done, self.total)
                self.changed.notify_all()
            if last:
                return


def generate(
    *,
    out: Path,
    rows: int,
    seed: int,
    threads: int,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
    form: Literal["parquet", "csv"] = "parquet",
) -> GenerationReport:
    """Make the registers in the folder `out`, one file a dataset, `rows` rows in all in the proportions of the poverty theme.

    The same seed and rows give the same rows, whatever the threads. `only` makes some of the datasets, with the very rows that a
    full run gives them. `progress` is called with the rows done and due. Raises InputInvalid `demo-rows-too-few`,
    `demo-rows-too-many`, `demo-dataset-unknown`."""
    if rows < FEWEST_ROWS:
        raise InputInvalid.because("demo-rows-too-few", rows=rows, fewest=FEWEST_ROWS)
    started, cpu_started = time.monotonic(), time.process_time()
    counts, population = shared_out(rows, seed=seed)
    for dataset in only or ():
        if dataset not in counts:
            raise InputInvalid.because("demo-dataset-unknown", dataset=dataset)
    made = [register for register in registers() if register.dataset.id in counts]
    out.mkdir(parents=True, exist_ok=True)
    jobs = []
    for register in made:
        name = register.dataset.id
        if only is not None and name not in only:
            continue
        source = Source(
            dataset=name,
            rows=counts[name],
            about=register.about,
            ages=register.ages,
            lean=register.lean,
            population=population,
            companies=counts.get("market.company", 1),
        )
        jobs.append(_Job(register, source, counts[name], out, form))
    _Crew(jobs, threads=max(1, threads), progress=progress).run()
    tables = tuple(GeneratedTable(job.register.dataset.id, job.path, job.rows, job.path.stat().st_size) for job in jobs)
    return GenerationReport(
        tables=tables,
        rows=sum(table.rows for table in tables),
        bytes=sum(table.bytes for table in tables),
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started,
    )


__all__ = ["GeneratedTable", "GenerationReport", "generate", "shared_out"]
