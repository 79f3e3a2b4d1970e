"""One fresh world with its door of records for each test."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.spec.governed.governed_world import ANALYST, World, person_token
from tests.spec.records.records_world import records_over

from huitong.delivery.record import RecordActions
from huitong.model.party import Actor
from huitong.model.query import Answer
from huitong.model.records import Compared


@dataclass
class Desk:
    """Somebody of the rural office who calls for records."""

    world: World
    records: RecordActions

    def get(
        self, *keys: str, dataset: str = "civil.person", actor: Actor = ANALYST, purpose: str = "poverty-relief", **rest: Any
    ) -> Answer:
        return self.records.get(by=actor, dataset=dataset, keys=[[key] for key in keys], purpose=purpose, **rest)

    def rows(self, *keys: str, **rest: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(*keys, **rest).table.to_pylist()
        return found

    def verify(self, *keys: str, dataset: str = "civil.person", **where: str) -> list[str]:
        compared = [Compared(item, value) for item, value in where.items()]
        answer = self.records.verify(
            by=ANALYST, dataset=dataset, keys=[[key] for key in keys], purpose="poverty-relief", compared=compared
        )
        found: list[str] = answer.table.column("answer").to_pylist()
        return found

    def copied(self) -> "Desk":
        """The worker has made what is missing."""
        self.records.copies.keep_up()
        return self


@pytest.fixture
def world(tmp_path: Path) -> World:
    lake = tmp_path / "lake"
    lake.mkdir()
    return World(lake)


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    records = records_over(world, tmp_path / "records")
    records.copies.keep_up()
    yield Desk(world, records)
    records.copies.store.close()  # type: ignore[attr-defined]


def token(pid: str) -> str:
    """The key under which the grants of most tests show a person."""
    return str(person_token(pid))
