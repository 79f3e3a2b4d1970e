"""What noised totals rest on: noise of the right size, and numbers of which one entity changes no more than is claimed."""

import math
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.spec.governed.governed_world import ANALYST, NANMING, PERSON, YUNYAN, World
from tests.spec.governed.test_noised_totals import EPSILON, noised, person

from huitong.gateway.noising import exact
from huitong.masks import noise
from huitong.model.query import QueryRequest

pytestmark = pytest.mark.slow
EXAMPLES = 100 if os.environ.get("HUITONG_SOAK") else 5

def test_the_noise_is_that_of_the_mechanism() -> None:
    """20,000 draws of scale 10: mean 0, and beyond t with the probability of the discrete Laplace, each within six standard errors. A
    right sampler fails this once in 10^8 runs."""
    draws = 20_000
    numbers, scale = noise.noised([0] * draws, sensitivity=1, epsilon=100_000)
    assert scale == pytest.approx(10, rel=1e-9)
    shrink = math.exp(-1 / scale)
    variance = 2 * shrink / (1 - shrink) ** 2
    assert abs(sum(numbers) / draws) < 6 * math.sqrt(variance / draws)
    for beyond in (0, 5, 20, 50):
        expected = 2 * shrink ** (beyond + 1) / (1 + shrink)
        found = sum(abs(one) > beyond for one in numbers) / draws
        assert abs(found - expected) < 6 * math.sqrt(expected * (1 - expected) / draws)


def test_neighbours_are_told_apart_no_better_than_epsilon_allows() -> None:
    """Counts of 0 and of 1 under epsilon 1: no answer, and no half line of answers, is more than e times likelier under one than under the
    other. 20,000 draws each; six standard errors: a right sampler fails once in 10^8 runs."""
    draws, epsilon = 20_000, 1.0
    without, _ = noise.noised([0] * draws, sensitivity=1, epsilon=EPSILON)
    with_one, _ = noise.noised([1] * draws, sensitivity=1, epsilon=EPSILON)
    events = [lambda x, t=t: x >= t for t in range(-3, 5)] + [lambda x, t=t: x == t for t in range(-2, 4)]
    for event in events:
        p, q = (sum(map(event, numbers)) / draws for numbers in (with_one, without))
        error = 6 * math.sqrt((p + math.exp(2 * epsilon) * q) / draws)
        assert p <= math.exp(epsilon) * q + error
        assert q <= math.exp(epsilon) * p + error


def test_more_than_can_be_held_is_held_at_the_end_of_what_can() -> None:
    (number,), _ = noise.noised([10**30], sensitivity=1, epsilon=EPSILON)
    assert abs(number - noise.LARGEST) < 100


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "gender": st.sampled_from(["男", "女", "x", None]),
            "division": st.sampled_from([NANMING, YUNYAN, None]),
            "salary": st.none() | st.integers(-(10**6), 10**6),
            "weight": st.none() | st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf, -math.inf, 5.4999999999, 5.5]),
        }
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("rows_per_entity", [1, 3])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(others=st.lists(ROWS, max_size=4), one=ROWS, seed=st.integers(0, 99))
def test_one_entity_changes_the_numbers_by_no_more_than_is_claimed(
    world: World, rows_per_entity: int, others: list[list[dict[str, Any]]], one: list[dict[str, Any]], seed: int
) -> None:
    """With and without one person, in any order of rows: what the engine gives before noise, as the governed SQL really says it."""
    world.grants[0] = noised(rows=rows_per_entity)
    sql = (
        "SELECT gender, division, count(*), count(salary), sum(salary), avg(weight) FROM civil.person "
        f"WHERE gender IN ('男', '女') AND division IN ('{NANMING}', '{YUNYAN}') AND (salary IS NULL OR salary > -5000) "
        "GROUP BY gender, division"
    )
    rest = [person(number, **row) for number, rows in enumerate(others) for row in rows]
    rest.append({**person(0, gender="男", salary=3), "pid": None})
    mine = [person(77, **row) for row in one]
    numbers = []
    for rows in (rest, rest + mine):
        shuffled = list(rows)
        random.Random(seed).shuffle(shuffled)
        world.load(PERSON, shuffled)
        world.epoch += 1
        plan = world.gateway._plan("q", QueryRequest(sql, "poverty-relief"), ANALYST)
        assert plan.noising is not None
        numbers.append(exact(world.engine.run(plan.governed("q", world.gateway._limits)), plan.noising))
    for without, with_one, (claimed, _) in zip(*numbers, plan.noising.scaled(EPSILON), strict=True):
        assert sum(abs(a - b) for a, b in zip(without, with_one, strict=True)) <= claimed
    whole = [measure for measure in plan.noising.measures if measure.sums]
    assert {(measure.item, measure.of_a_row) for measure in whole} == {("salary", 1000), ("weight", 550_000_000)}
