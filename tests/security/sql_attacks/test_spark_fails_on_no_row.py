"""Spark has no barrier above the row rule, so nothing that is written for it may fail on a row: not on a hidden one, which would tell that
it exists, and on no other. All the probes of the barrier, and those that Spark and Sail fail on by themselves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sail import LocalSpark, sail_server
from tests.security.sql_attacks.test_errors_tell_nothing_of_hidden_rows import ABSENT_SALARY, FAILING, HIDDEN_SALARY, SHAPES, outcome, probe
from tests.spec.governed.governed_world import CLEAR, NANMING, World, make_grant

from huitong.engines import spark_values
from huitong.engines.spark import SparkAddress, SparkOpinion

pytestmark = pytest.mark.slow

SOAK = bool(os.environ.get("HUITONG_SOAK"))
LOWEST = "-9223372036854775808"
MORE = {
    "division by zero": f"1 / {probe('0', '1')} > 0",
    "whole division by zero": f"7 // {probe('0', '1')} > 0",
    "remainder by zero": f"p.weight % {probe('0', '1')} > 0",
    "the lowest number by minus one": f"{LOWEST} // {probe('-1', '1')} > 0",
    "the remainder of the lowest number": f"{LOWEST} % {probe('-1', '1')} > 0",
    "a sum too large": f"9223372036854775807 + {probe('1', '0')} > 0",
    "a product too large": f"4611686018427387904 * {probe('4', '1')} > 0",
    "a decimal too large": f"12345678901234567.5 * {probe('9223372036854775807', '1')} > 0",
    "the lowest number turned round": f"-{probe(LOWEST, '1')} > 0",
    "the lowest number without sign": f"abs({probe(LOWEST, '1')}) > 0",
    "a number that a text is not": f"CAST({probe(repr('x'), repr('1'))} AS INTEGER) > 0",
    "a date that a text is not": f"CAST({probe(repr('2026-02-30'), repr('2026-01-01'))} AS DATE) > DATE '2020-01-01'",
    "a truth that a text is not": f"CAST({probe(repr('x'), repr('true'))} AS BOOLEAN)",
    "a number too large for its type": f"CAST({probe('2147483648', '1')} AS INTEGER) > 0",
    "a double too large for its type": f"CAST(power(10, {probe('300', '1')}) AS BIGINT) > 0",
    "a double that no decimal holds": f"CAST(power(10, {probe('300', '1')}) AS DECIMAL(10, 2)) > 0",
    "zero to a negative power": f"power(0, {probe('-1', '1')}) > 0",
    "the root of a negative number": f"sqrt({probe('-1', '1')}) > 0",
    "the logarithm of zero": f"ln({probe('0', '1')}) > 0",
    "a date far away": f"p.born + CAST({probe('2147483647', '1')} AS INTEGER) > DATE '2020-01-01'",
    "a pattern that ends in a backslash": f"'a' LIKE {probe(repr(chr(92)), repr('a'))}",
    "a repeated remainder": f"(p.weight * 1e308 * {probe('1e308', '1.0')}) % 3 > 0",
}
PROBES = {**FAILING, **MORE}
WAYS = [(name, shape) for name in PROBES for shape in SHAPES] if SOAK else [
    (name, list(SHAPES)[number % len(SHAPES)]) for number, name in enumerate(PROBES)
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkAddress]:
    with sail_server() as address:
        yield address


@pytest.fixture
def on_spark(tmp_path: Path, cluster: SparkAddress) -> World:
    world = World(tmp_path)
    items = {**{term.item: term.mask for term in world.grants[0].terms.items}, "born": CLEAR}
    world.grants[0] = make_grant("civil.person", items, rows=NANMING)
    world.engine = LocalSpark(tmp_path, cluster)  # type: ignore[assignment]
    world.second_parser = SparkOpinion()
    world.gateway = world.make_gateway()
    return world


@pytest.mark.parametrize(("name", "shape"), WAYS)
def test_no_row_makes_a_statement_fail(on_spark: World, name: str, shape: str) -> None:
    statements = [SHAPES[shape].format(condition=PROBES[name].format(salary=salary)) for salary in (HIDDEN_SALARY, ABSENT_SALARY, 3000)]
    hidden, absent, seen = (outcome(on_spark, sql) for sql in statements)
    assert hidden == absent
    assert seen != ["query-failed"], "a row that may be seen makes it fail: then a hidden one could, if the engine began with it"


def test_the_probes_would_find_a_cast_that_fails(on_spark: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written as a plain cast, the statement tells whether somebody has that salary in another county."""
    real = spark_values.as_double

    def plain(part: spark_values.Part, kind: spark_values.Type) -> str:
        return f"CAST({part.sql} AS DOUBLE)" if part.type.kind is spark_values.Kind.TEXT else real(part, kind)

    monkeypatch.setitem(spark_values.CONVERSIONS, spark_values.Kind.DOUBLE, plain)
    condition = f"CAST({probe(repr('x'), repr('1'))} AS DOUBLE) > 0"
    assert outcome(on_spark, SHAPES["WHERE"].format(condition=condition.format(salary=3000))) == ["query-failed"]
    assert outcome(on_spark, SHAPES["WHERE"].format(condition=condition.format(salary=ABSENT_SALARY))) == [(4,)]
