"""Doors of records at rest: both databases and the plain store in memory say the same."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.portal.examples import NOON, Example

from huitong.errors import Reason
from huitong.model.records import CopyState, RecordDoor
from huitong.testing import MemoryStores

pytestmark = pytest.mark.slow

DOOR = RecordDoor("civil.household", True, NOON, "liu.wei")
READY = replace(
    DOOR, version=3, shape="r1", state=CopyState.READY, rows=5_000_000_000, rows_expected=5_000_000_001, rows_without_key=1,
    noted_at=NOON,
)  # fmt: skip


@pytest.fixture
def both(example: Example) -> list[Any]:
    return [example.stores, MemoryStores()]


def test_a_door_is_kept_as_it_was_switched(both: list[Any]) -> None:
    for stores in both:
        assert stores.delivery.record_door(DOOR.dataset) is None
        assert stores.delivery.record_door("\0") is None
        with stores.atomic():
            stores.delivery.put_record_door(DOOR)
        assert stores.delivery.record_door(DOOR.dataset) == DOOR
        assert list(stores.delivery.record_doors()) == [DOOR]


def test_what_is_said_of_its_copy_is_kept_unless_it_was_switched_since(both: list[Any]) -> None:
    for stores in both:
        with stores.atomic():
            stores.delivery.put_record_door(DOOR)
            stores.delivery.note_record_copy(READY)
        assert stores.delivery.record_door(DOOR.dataset) == READY
        off = replace(DOOR, on=False, changed_at=NOON + timedelta(hours=1), state=CopyState.OFF)
        failed = replace(READY, state=CopyState.FAILED, reasons=(Reason("record-copy-not-made", {"dataset": DOOR.dataset}),))
        with stores.atomic():
            stores.delivery.note_record_copy(failed)
        assert stores.delivery.record_door(DOOR.dataset) == failed
        with stores.atomic():
            stores.delivery.put_record_door(off)
            stores.delivery.note_record_copy(READY)
        assert stores.delivery.record_door(DOOR.dataset) == off
