"""A dataset with every item type and rows for it."""

from datetime import UTC, date, datetime

import pyarrow as pa

from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def dataset(id: str = "civil.person") -> Dataset:  # noqa: A002
    kinds = {"person_id": ItemType.TEXT, "age": ItemType.INTEGER, "weight": ItemType.DECIMAL, "alive": ItemType.BOOLEAN}
    kinds |= {"born": ItemType.DATE, "seen": ItemType.INSTANT}
    same = BilingualText("人", "person")
    return Dataset(
        id=id,
        title=same,
        abstract=same,
        classification="3-01-0101/000001",
        provider="gz-civil",
        collector="gz-civil",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="x",
        sharing_condition=None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.DAILY,
        items=tuple(Item(name, BilingualText(name, name), kind, Grade.PUBLIC) for name, kind in kinds.items()),
    )


def rows(count: int, *, start: int = 0) -> pa.Table:
    numbers = range(start, start + count)
    columns = {
        "person_id": [f"{n:018d}" if n % 10 else None for n in numbers],
        "age": [n - 5 if n % 7 else None for n in numbers],
        "weight": [n / 7 for n in numbers],
        "alive": [None if n % 5 == 0 else n % 2 == 0 for n in numbers],
        "born": [date(1900 + n % 120, 1 + n % 12, 1 + n % 28) for n in numbers],
        "seen": [datetime(2026, 1, 1 + n % 28, n % 24, tzinfo=UTC) for n in numbers],
    }
    types = [pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us", "UTC")]
    return pa.table({name: pa.array(values, kind) for (name, values), kind in zip(columns.items(), types, strict=True)})
