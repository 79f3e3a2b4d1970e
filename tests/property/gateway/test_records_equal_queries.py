"""Records by key are what a query of the same rows gives: same bag of rows under the same rules and masks, whatever the grants and data
are. The rules and masks of the door are written in Python, those of a query in SQL; breaches of the Python form are each found."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.gateway.random_cases import Case, make_case
from tests.property.gateway.reference import KEY, PURPOSE, RandomWorld
from tests.spec.governed.governed_world import ANALYST
from tests.spec.records.records_world import records_over

from huitong.delivery.record import RecordActions
from huitong.errors import Refused
from huitong.gateway import record
from huitong.masks.pseudonym import token
from huitong.model.policy import Mask, MaskKind
from huitong.model.records import key_items
from huitong.policy.decide import decide

pytestmark = pytest.mark.slow
SOAK = bool(os.environ.get("HUITONG_SOAK"))
EXAMPLES = 3000 if SOAK else 24
LEAST_COMPARED = 0.15
"""At least this share of the cases gives records; the others show the key under another mask, or give totals."""


@dataclass
class Tried:
    cases: int = 0
    compared: int = 0
    rows: int = 0


class Compared:
    """One world, and the door over it."""

    def __init__(self, folder: Path) -> None:
        lake = folder / "lake"
        lake.mkdir()
        self.world = RandomWorld(lake)
        self.folder = folder / "records"
        self.door: RecordActions | None = None

    def difference(self, case: Case, tried: Tried) -> Any:
        """None if the door gives what a query gives."""
        self.world.take(case)
        self.door = self.door or records_over(self.world, self.folder)
        self.door.copies.keep_up()
        tried.cases += 1
        parts = [item.name for item in key_items(case.person)]
        sql = f"SELECT * FROM {case.person.id} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in parts)}"
        try:
            queried = self.world.ask(sql, purpose=PURPOSE).table
        except Refused:
            return None
        keys = self.keys(case, parts)
        if keys is None:
            return None
        called = self.door.get(by=ANALYST, dataset=case.person.id, keys=keys, purpose=PURPOSE).table
        tried.compared += 1
        tried.rows += called.num_rows
        if called.schema != queried.schema:
            return called.schema, queried.schema
        same = _bag(called) == _bag(queried)
        return None if same else (called.to_pylist(), queried.to_pylist(), case.grants)

    def keys(self, case: Case, parts: list[str]) -> list[list[str]] | None:
        """Every key that the rows have, as the grant of the query shows it; None if it does not show it."""
        decision = decide(
            actor=ANALYST, purpose=PURPOSE, uses={case.person.id: frozenset()}, datasets=dict(self.world.published),
            grants=self.world.grants, at=self.world.now,
        )  # fmt: skip
        masks = {term.item: term.mask for term in decision.grants[case.person.id].terms.items}
        found = set()
        for row in case.rows[case.person.id]:
            key = []
            for name in parts:
                mask: Mask | None = masks.get(name)
                if mask is None or mask.kind not in (MaskKind.CLEAR, MaskKind.PSEUDONYM):
                    return None
                if row[name] is not None:
                    key.append(row[name] if mask.kind is MaskKind.CLEAR else str(token(KEY, "g", 1, row[name])))
            if len(key) == len(parts):
                found.add(tuple(key))
        return [list(key) for key in sorted(found)] or None


def _bag(table: Any) -> Counter[str]:
    """Rows by what they show; not-a-number is equal to itself, and so are the two zeros."""

    def plain(value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value

    return Counter(repr([plain(value) for value in row.values()]) for row in table.to_pylist())


def test_the_door_of_records_and_a_query_give_the_same_rows(tmp_path: Path) -> None:
    compared, tried = Compared(tmp_path), Tried()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(min_value=0, max_value=2**32 - 1))
    def every_case(number: int) -> None:
        assert compared.difference(make_case(Random(number), statements=0), tried) is None

    every_case()
    assert tried.compared >= LEAST_COMPARED * tried.cases, tried
    assert tried.rows > 0


def _plain_text(value: Any) -> Any:
    return value


BREACHES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "masks left out": lambda patch: patch.setattr(record, "_shows", lambda *_: _plain_text),
    "rules of rows left out": lambda patch: patch.setattr(record, "row_judge", lambda *_: lambda _row: True),
    "divisions left out": lambda patch: patch.setattr(record, "_held_in", lambda *_: lambda _row: True),
    "comparisons left out": lambda patch: patch.setattr(record, "_comparison", lambda *_: lambda _row: True),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_broken_door_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breach: str) -> None:
    compared = Compared(tmp_path)
    BREACHES[breach](monkeypatch)
    differs = False
    for number in range(300):
        try:
            differs = compared.difference(make_case(Random(number), statements=0), Tried()) is not None
        except Exception:  # a value in clear does not fit the type of a masked item
            differs = True
        if differs:
            break
    assert differs, "the comparison does not see it"
