"""What an analyst writes and what the engine is given, pair by pair (tests/fixtures/rewrite/pairs.toml)."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.spec.governed.governed_world import PERSON_GRANT, World

from huitong.model.policy import Comparator, Comparison, Mode

PAIRS = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "rewrite" / "pairs.toml").read_text("utf-8"))["pair"]


def with_plain_names(sql: str) -> str:
    """Physical names in order of use as t0, t1 ..."""
    names = list(dict.fromkeys(re.findall(r"t_[0-9a-f]{32}_\d+", sql)))
    for number, name in enumerate(names):
        sql = sql.replace(name, f"t{number}")
    return sql


def with_rules(world: World, pair: dict[str, Any]) -> None:
    """Give the grant over civil.person the `condition`, `subjects` and `k` of the pair, in the place of its division."""
    rules: dict[str, Any] = {}
    if "condition" in pair:
        rules["condition"] = tuple(Comparison(item, Comparator(how), tuple(values)) for item, how, *values in pair["condition"])
    if "subjects" in pair:
        rules["subjects"] = world.lists.keep(pair["subjects"], dataset="civil.person", item="pid")
    if "k" in pair:
        rules |= {"mode": Mode.AGGREGATE_ONLY, "k": pair["k"]}
    if rules:
        world.grants[0] = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, rows=None, **rules))


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["name"] for pair in PAIRS])
def test_the_engine_is_given_exactly_this(tmp_path: Path, pair: dict[str, Any]) -> None:
    world = World(tmp_path)
    with_rules(world, pair)
    world.ask(pair["before"])
    assert with_plain_names(world.engine.ran[-1].sql) == pair["after"]
