"""What all files share once they are opened: the decisions so far, and types decided over every row."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from huitong.engines.duckdb import quote_text
from huitong.errors import InputInvalid, Reason
from huitong.intake import deciding
from huitong.intake.limits import LIMITS, Deadline
from huitong.intake.source import Decision, FastText, Overrides, Proof, Reading, ReadingColumn, SourceTable, stamp_of
from huitong.model.catalog import Dataset, ItemType

_THREADS = 2
_MEMORY_MEGABYTES = 1024
NAMED = 10
"""Rows that a decision names one by one."""


@dataclass
class Shape:
    """What opening a file decided."""

    format: str
    names: tuple[str, ...]
    decisions: list[Decision] = field(default_factory=list)
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    header_row: int | None = None

    def decide(self, what: str, value: str, why: Reason) -> None:
        """Note a decision."""
        self.decisions.append(Decision(what, value, why))


class FileTable(SourceTable):
    """A file whose shape is decided. Kinds of files say how its rows are read and its bytes proved."""

    def __init__(self, path: Path, shape: Shape, overrides: Overrides, dataset: Dataset | None, deadline: Deadline | None) -> None:
        self.path = path
        self.stamp = stamp_of(path)
        self.shape = shape
        self.overrides = overrides
        self.dataset = dataset
        self.deadline = deadline
        self._proof: Proof | None = None
        self._reading: Reading | None = None
        self._proving = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Header cells as read."""
        return self.shape.names

    def changed(self) -> bool:
        """Whether size or modification time differ from when it was opened."""
        try:
            return stamp_of(self.path) != self.stamp
        except FileNotFoundError:
            return True

    def proof(self) -> Proof:
        """Every byte, once."""
        with self._proving:
            if self._proof is None:
                try:
                    self._proof = self._prove()
                except FileNotFoundError:
                    raise InputInvalid.because("intake-file-changed") from None
                if self.changed():
                    raise InputInvalid.because("intake-file-changed")
            return self._proof

    def keep_proof(self, proof: Proof) -> None:
        """What a faster reader found while it read every byte, in place of reading them once more."""
        with self._proving:
            self._proof = self._proof or proof

    def _prove(self) -> Proof:
        raise NotImplementedError

    @property
    def reading(self) -> Reading:
        """Types by the dataset if one was given, else by the facts of every row."""
        if self._reading is None:
            columns, rows, broken, found = self._by_entry() if self.dataset is not None else self._by_facts()
            shape = self.shape
            self._reading = Reading(
                format=shape.format,
                encoding=shape.encoding,
                delimiter=shape.delimiter,
                sheet=shape.sheet,
                sheets=shape.sheets,
                header_row=shape.header_row,
                rows=rows,
                columns=columns,
                decisions=(*shape.decisions, *found),
                broken=broken,
            )
        return self._reading

    def _by_entry(self) -> tuple[tuple[ReadingColumn, ...], int | None, int, tuple[Decision, ...]]:
        assert self.dataset is not None
        kinds = {item.name: item.type for item in self.dataset.items}
        at = {position: kinds[item] for item, position in self.match(self.dataset).items()}
        why = Reason("reading-type-of-item", {"dataset": self.dataset.id})
        columns = tuple(ReadingColumn(name, at[position], why) for position, name in enumerate(self.column_names))
        return columns, self.proof().rows, 0, ()

    def _by_facts(self) -> tuple[tuple[ReadingColumn, ...], int, int, tuple[Decision, ...]]:
        names = self.column_names
        unknown = [Reason("reading-override-column", {"column": name[:60]}) for name in self.overrides.types if name not in names]
        if unknown:
            raise InputInvalid(*unknown)
        facts: dict[str, Mapping[str, int]] = {}
        rows = broken = 0
        causes: dict[str, tuple[int, list[int]]] = {}
        with duckdb.connect(":memory:", config={"threads": _THREADS, "enable_external_access": "false"}) as connection:
            for number, batch in enumerate(self.batches()):
                if self.deadline:
                    self.deadline.check()
                if number == 1 and isinstance(self.fast, FastText) and not broken and self._facts_at_once(self.fast, facts):
                    rows = self.proof().rows or 0
                    break
                rows += batch.columns.num_rows + len(batch.broken)
                broken += len(batch.broken)
                for line, code in batch.broken:
                    count, lines = causes.get(code, (0, []))
                    causes[code] = count + 1, lines if count > NAMED else [*lines, line]
                if batch.columns.num_rows:
                    _add_facts(connection, batch.columns, facts)
        columns = tuple(self._column(name, facts.get(name), rows - broken) for name in names)
        return columns, rows, broken, tuple(_broken_decision(code, *found) for code, found in causes.items())

    def _facts_at_once(self, fast: FastText, facts: dict[str, Mapping[str, int]]) -> bool:
        """Complete the facts of the first batch by one scan of the whole file; False, changing nothing, if it is not clean throughout."""
        names = self.column_names
        asked = [
            (name, fact, sql)
            for position, name in enumerate(names)
            for fact, sql in deciding.facts_sql(f"c{position}", deciding.still_open(facts.get(name))).items()
        ]
        statement = f"SELECT count(*), {', '.join(sql for _name, _fact, sql in asked)} FROM {scan_sql(fast)}"
        config: dict[str, str | bool | int | float | list[str]] = {"threads": _THREADS, "memory_limit": f"{_MEMORY_MEGABYTES}MB"}
        try:
            with duckdb.connect(":memory:", config=config) as connection:
                allowed = quote_text(str(fast.path.resolve()))
                connection.execute(f"SET TimeZone='UTC'; SET enable_progress_bar=false; SET allowed_paths=[{allowed}]")
                connection.execute("SET enable_external_access=false; SET lock_configuration=true")
                (counted, *values) = connection.execute(statement).fetchall()[0]
        except duckdb.Error:
            return False
        if counted != self.proof().rows:
            return False
        whole: dict[str, dict[str, int]] = {}
        for (name, fact, _sql), value in zip(asked, values, strict=True):
            if value is not None:
                whole.setdefault(name, {})[fact] = value
        for name, found in whole.items():
            first = facts.get(name)
            after = found["there"] - (first["there"] if first else 0)
            kept = {fact: count + (after if fact.startswith("unfit-") else 0) for fact, count in (first or {}).items()}
            facts[name] = {**kept, **found}
        return True

    def _column(self, name: str, facts: Mapping[str, int] | None, rows: int) -> ReadingColumn:
        if facts is None:
            kind, why = ItemType.TEXT, Reason("reading-type-empty")
        else:
            kind, why = deciding.decide_type(name, facts)
        if name in self.overrides.types:
            kind, why = self.overrides.types[name], Reason("reading-by-override")
        return ReadingColumn(name, kind, why, rows - (facts["there"] if facts else 0))


def scan_sql(fast: FastText) -> str:
    """DuckDB's reader over a text file with the dialect that was decided: text columns `c0`, `c1`..., an error at the first odd row."""
    columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(fast.width))
    quote = quote_text(fast.quote)
    return (
        f"read_csv({quote_text(str(fast.path.resolve()))}, auto_detect=false, header=false, skip={fast.skip}, "
        f"delim={quote_text(fast.delimiter)}, quote={quote}, escape={quote}, columns={{{columns}}}, strict_mode=true, null_padding=false, "
        f"ignore_errors=false, nullstr='', allow_quoted_nulls=true, comment='', encoding='utf-8', max_line_size={LIMITS.record_characters})"
    )


def _broken_decision(code: str, count: int, lines: list[int]) -> Decision:
    shown = ", ".join(str(line) for line in lines[:NAMED]) + (", ..." if len(lines) > NAMED else "")
    return Decision("rows", str(count), Reason("reading-rows-broken", {"rows": count, "cause": code, "lines": shown}))


def _add_facts(connection: duckdb.DuckDBPyConnection, table: pa.Table, facts: dict[str, Mapping[str, int]]) -> None:
    """Count the facts of a batch that can still change a decision, for all columns in one pass."""
    if table.num_columns > _MANY_COLUMNS:
        _add_facts_of_many(connection, table, facts)
        return
    connection.register("batch", table)
    names: list[str] = table.column_names
    asked = [(name, fact, sql) for name in names for fact, sql in deciding.facts_sql(name, deciding.still_open(facts.get(name))).items()]
    for start in range(0, len(asked), 400):
        part = asked[start : start + 400]
        values = connection.execute(f"SELECT {', '.join(sql for _name, _fact, sql in part)} FROM batch").fetchall()[0]
        counted: dict[str, dict[str, int]] = {}
        for (name, fact, _sql), value in zip(part, values, strict=True):
            if value is not None:
                counted.setdefault(name, {})[fact] = value
        for name, ones in counted.items():
            facts[name] = deciding.together(facts.get(name, {}), ones)
    connection.unregister("batch")


_MANY_COLUMNS = 60
"""From here on a statement for each column takes longer to plan than to run."""
_MANY_VALUES = 4_000_000


def _add_facts_of_many(connection: duckdb.DuckDBPyConnection, table: pa.Table, facts: dict[str, Mapping[str, int]]) -> None:
    """The same for very many columns: those of which the same is asked stand one below the other, and are counted by groups."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in table.column_names:
        alike.setdefault(tuple(sorted(deciding.still_open(facts.get(name)))), []).append(name)
    for wanted, names in alike.items():
        sql = deciding.facts_sql("value", wanted)
        at_once = max(1, _MANY_VALUES // max(1, table.num_rows))
        for start in range(0, len(names), at_once):
            part = names[start : start + at_once]
            values = pa.chunked_array([chunk for name in part for chunk in table.column(name).chunks], pa.string())
            places = np.repeat(np.arange(len(part)), table.num_rows)
            connection.register("batch", pa.table({"place": places, "value": values}))
            for place, *counted in connection.execute(f"SELECT place, {', '.join(sql.values())} FROM batch GROUP BY place").fetchall():
                ones = {fact: value for fact, value in zip(sql, counted, strict=True) if value is not None}
                facts[part[place]] = deciding.together(facts.get(part[place], {}), ones)
            connection.unregister("batch")


