"""What an analyst writes and what the engine is given, pair by pair (tests/fixtures/rewrite/pairs.toml)."""

import re
import tomllib
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import World

PAIRS = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "rewrite" / "pairs.toml").read_text("utf-8"))["pair"]


def with_plain_names(sql: str) -> str:
    """Physical names in order of use as t0, t1 ..."""
    names = list(dict.fromkeys(re.findall(r"t_[0-9a-f]{32}_\d+", sql)))
    for number, name in enumerate(names):
        sql = sql.replace(name, f"t{number}")
    return sql


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["name"] for pair in PAIRS])
def test_the_engine_is_given_exactly_this(tmp_path: Path, pair: dict[str, str]) -> None:
    world = World(tmp_path)
    world.ask(pair["before"])
    assert with_plain_names(world.engine.ran[-1].sql) == pair["after"]
