"""An expression that fails only on a row outside the granted division would tell that the row exists. It must not be reached."""

import pytest
from tests.spec.governed.governed_world import World

from huitong.errors import Refused

HIDDEN_SALARY = 987654321
"""Stands only in rows of another county; nobody of this office may learn that it does."""
ABSENT_SALARY = 111111111


def probe(then: str, otherwise: str) -> str:
    return f"CASE WHEN p.salary = {{salary}} THEN {then} ELSE {otherwise} END"


FAILING = {
    "substring far away": f"substring('abc', {probe('99999999999', '1')}) = 'abc'",
    "substring of great length": f"substring('abc', 1, {probe('99999999999', '1')}) > ''",
    "left of great length": f"left('abc', {probe('9223372036854775807', '1')}) > ''",
    "integer against a fine decimal": f"{probe('1000', '1')} > 0.000000000000000000000000000000000001",
    "decimal in a list": f"{probe('1000', '1')} IN (1, 0.000000000000000000000000000000000001)",
    "decimal in coalesce": f"coalesce({probe('1000', '1')}, 0.000000000000000000000000000000000001) > 0",
    "huge literal": f"{probe('99999999999999999999999999999999999999', '1')} > 1.5",
    "round of a large integer": f"round({probe('9223372036854775807', '1')}, -1) > 0",
}
SHAPES = {
    "WHERE": "SELECT count(*) FROM civil.person p WHERE {condition}",
    "JOIN": "SELECT count(*) FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid AND ({condition})",
    "LEFT JOIN": "SELECT count(*) FROM tax.company c LEFT JOIN civil.person p ON c.owner_pid = p.pid AND ({condition})",
    "EXISTS": "SELECT count(*) FROM tax.company c WHERE EXISTS (SELECT 1 FROM civil.person p WHERE p.pid = c.owner_pid AND ({condition}))",
    "self-join": "SELECT count(*) FROM civil.person p JOIN civil.person c ON c.gender = p.gender AND ({condition})",
}


def outcome(world: World, statement: str) -> object:
    try:
        return world.rows(statement)
    except Refused as refused:
        return sorted(reason.code for reason in refused.reasons)


@pytest.mark.parametrize("many_codes", [False, True], ids=["codes as a list", "codes as a range"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING)
def test_a_hidden_row_cannot_make_a_statement_fail(world: World, failing: str, shape: str, many_codes: bool, monkeypatch) -> None:
    if many_codes:
        real = world.codes_under
        more = frozenset(f"520102{number:06d}" for number in range(100)) | {"520000000000", "520199000000"}
        monkeypatch.setattr(world, "codes_under", lambda code, at: real(code, at) | more)
        world.gateway = world.make_gateway()
    statements = [shape.format(condition=failing.format(salary=salary)) for salary in (HIDDEN_SALARY, ABSENT_SALARY)]
    assert outcome(world, statements[0]) == outcome(world, statements[1])
