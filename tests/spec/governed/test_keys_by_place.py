"""A written number in ORDER BY or GROUP BY is the place of an output, in brackets or not, for the gateway as for the engine."""

import pytest
from tests.spec.governed.governed_world import World

OF_GENDER = "SELECT gender, count(*) AS n FROM civil.person"


@pytest.mark.parametrize("place", ["1", "(1)", "((1))", "gender", "(gender)"])
def test_brackets_around_a_place_change_nothing(world: World, place: str) -> None:
    assert world.rows(f"{OF_GENDER} GROUP BY {place} ORDER BY 2 DESC, 1") == [("女", 2), ("男", 1), (None, 1)]
    assert world.rows(f"{OF_GENDER} GROUP BY 1 ORDER BY {place}") == [("女", 2), ("男", 1), (None, 1)]
    both = "SELECT gender FROM civil.person UNION SELECT gender FROM civil.person ORDER BY"
    assert world.rows(f"{both} {place}") == [("女",), ("男",), (None,)]


@pytest.mark.parametrize("place", ["-1", "(-1)", "-(1)", "(3)", "0", "'a'", "1.5"])
@pytest.mark.parametrize("clause", ["GROUP BY", "GROUP BY 1 ORDER BY"])
def test_what_is_no_place_is_refused_before_anything_runs(world: World, clause: str, place: str) -> None:
    assert "order-position-invalid" in world.codes(f"{OF_GENDER} {clause} {place}")


@pytest.mark.parametrize("place", ["NULL", "true", "(false)"])
def test_a_constant_orders_nothing(world: World, place: str) -> None:
    assert world.codes(f"SELECT gender FROM civil.person ORDER BY {place}") == {"order-position-invalid"}


def test_a_number_that_is_shown_is_grouped_by_its_heading(world: World) -> None:
    assert world.rows("SELECT -1 AS k, count(*) FROM civil.person GROUP BY k") == [(-1, 4)]
    assert world.rows("SELECT (2) AS k, count(*) FROM civil.person GROUP BY 1 ORDER BY k") == [(2, 4)]
