"""Where a value is missing, the engine's memory may hold anything: another row's value, a text, an address. It must not leave."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from huitong.gateway.gate import gate, gate_batch, result_bytes

SECRET = 7_234_567_890_123_456_789
VALUES: dict[str, list[Any]] = {
    "int64": [SECRET, SECRET, 1],
    "float64": [9876.5, 9876.5, 1.0],
    "bool": [True, True, False],
    "date32": [date(2020, 1, 1), date(2020, 1, 1), date(1999, 1, 1)],
    "timestamp": [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)],
    "decimal": [Decimal("987654321.5"), Decimal("987654321.5"), Decimal("1.0")],
    "string": ["CANARY-one", "CANARY-two", "a"],
    "list": [["CANARY-one"], ["CANARY-two"], ["a"]],
}


def with_two_missing(values: list[Any]) -> pa.Array:
    """An array that holds all values and says that the first two are missing; nothing was taken away."""
    whole = pa.array(values)
    bitmap = pa.py_buffer(np.array([0b11111100], dtype=np.uint8))
    children = [whole.values] if pa.types.is_list(whole.type) else None
    buffers = [bitmap, whole.buffers()[1]] if children else [bitmap, *whole.buffers()[1:]]
    return pa.Array.from_buffers(whole.type, len(whole), buffers, children=children)


def hidden_in(array: pa.Array, values: list[Any]) -> bool:
    whole = b"".join(part.to_pybytes() for part in array.buffers() if part is not None)
    missing = pa.array(values[:1])
    if pa.types.is_list(missing.type) or pa.types.is_string(missing.type):
        return b"CANARY" in whole
    if pa.types.is_boolean(missing.type):
        return bool(array.buffers()[1].to_pybytes()[0] & 0b11)
    width = missing.type.bit_width // 8
    return missing.buffers()[1].to_pybytes()[:width] in whole


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
def test_nothing_lies_under_it_in_an_answer(kind: str, ordered: bool) -> None:
    array = with_two_missing(VALUES[kind])
    assert hidden_in(array, VALUES[kind])
    table = gate(pa.table({"v": array}), maximum_rows=10, ordered=ordered).table
    (left,) = table.column("v").chunks
    assert left.null_count == 2
    assert not hidden_in(left, VALUES[kind])


@pytest.mark.parametrize("kind", VALUES)
def test_nothing_lies_under_it_in_rows_that_leave_piece_by_piece(kind: str) -> None:
    batch = pa.RecordBatch.from_arrays([with_two_missing(VALUES[kind])], names=["v"])
    assert not hidden_in(gate_batch(batch).column(0), VALUES[kind])


def test_nothing_lies_under_the_only_row() -> None:
    array = with_two_missing(VALUES["int64"]).slice(0, 1)
    assert not hidden_in(gate(pa.table({"v": array}), maximum_rows=10, ordered=False).table.column("v").chunk(0), VALUES["int64"])


def test_what_the_engine_leaves_under_a_missing_value_is_gone() -> None:
    """The engine does: of a left join it gives memory that was never written."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range AS i, 1000000 + range AS secret FROM range(10)")
    sql = "SELECT b.secret FROM t AS a LEFT JOIN (SELECT * FROM t WHERE i < 3) AS b ON a.i = b.i ORDER BY a.i"
    table = gate(connection.sql(sql).to_arrow_table(), maximum_rows=100, ordered=True).table
    under = np.frombuffer(table.column(0).combine_chunks().buffers()[1], dtype=np.int64)[3:10]
    assert under.tolist() == [0] * 7


def test_the_same_rows_give_the_same_bytes_whatever_lay_under_what_is_missing() -> None:
    clean = pa.table({"v": pa.array([None, None, 1], pa.int64())})
    dirty = pa.table({"v": with_two_missing(VALUES["int64"])})
    bytes_of = [result_bytes(gate(table, maximum_rows=10, ordered=True).table) for table in (clean, dirty)]
    assert bytes_of[0] == bytes_of[1]
