"""What is known about the rows of a snapshot without showing one: measured in one pass over its files by the engine.

`measures` counts; `report` sets the counts against the update cycle and against the snapshot before. Neither holds a value.
"""

import math
from dataclasses import dataclass
from typing import Any

from huitong.engines.duckdb import quote_name
from huitong.intake.recognisers.validity import validity_sql
from huitong.model.catalog import Dataset, Item
from huitong.model.quality import ItemQuality, KeyQuality

_BITS = 1 << 20
"""Bits of one counter of distinct values: 128 KB for each item and thread. Part of the method, not of any policy."""
_FULL = 8.0
"""Distinct values per bit up to which the counter stays within 2 percent: sqrt(e^t - t - 1) / (t sqrt(bits)) is 0.7 percent there."""


@dataclass(frozen=True)
class Measures:
    """Counts over all rows of a scan."""

    rows: int
    items: tuple[ItemQuality, ...]
    """One for each item of the dataset, in its order."""
    key: KeyQuality | None
    """None if the dataset has no primary key, or it was not asked for."""


def measures(connection: Any, scan: str, dataset: Dataset, *, distinct: bool = True, key: bool = True) -> Measures:
    """Rows, present values, valid values and distinct values of every item, and how well the primary key tells rows apart.

    `scan` is anything that can stand after FROM and gives the items by their names with their own types, for instance
    `read_parquet(['...'])`. Everything but the key is one statement in one pass; `distinct` costs about a tenth of it. The connection
    is DuckDB's; its limits of memory, threads and files hold, and its `interrupt()` ends this too."""
    rows = int(connection.execute(f"SELECT count(*) FROM {scan}").fetchone()[0])
    every = max(1, math.ceil(rows / (_FULL / 2 * _BITS)))
    asked: list[str] = []
    for item in dataset.items:
        source = quote_name(item.name)
        valid = validity_sql(item.meaning, source, item.type)
        asked += [f"count({source})", "NULL" if valid is None else f"count(*) FILTER ({valid})"]
        if distinct:
            hashed = f"hash({source})"
            counted = f"bit_count(bitstring_agg(CAST({hashed} & {_BITS - 1} AS INTEGER), 0, {_BITS - 1})"
            sampled = f"({hashed} >> 20) % {every} = 0 AND {source} IS NOT NULL"
            asked += [
                f"{counted} FILTER ({source} IS NOT NULL))",
                f"{counted} FILTER ({sampled}))" if every > 1 else "NULL",
            ]
    found = connection.execute(f"SELECT {', '.join(asked)} FROM {scan}").fetchone()
    width = 4 if distinct else 2
    items = tuple(
        _item_quality(item, rows, found[width * position : width * (position + 1)], every)
        for position, item in enumerate(dataset.items)
    )
    return Measures(rows, items, key_quality(connection, scan, dataset, rows=rows) if key else None)


def _item_quality(item: Item, rows: int, counts: tuple[int | None, ...], every: int) -> ItemQuality:
    present = counts[0] or 0
    valid = counts[1]
    distinct = None
    if len(counts) > 2:
        load = _load(counts[2] or 0)
        if load > _FULL and every > 1:
            distinct = round(_load(counts[3] or 0) * _BITS * every)
        else:
            distinct = round(load * _BITS)
        distinct = min(distinct, present)
    return ItemQuality(item.name, rows, present, valid, distinct)


def _load(bits_set: int) -> float:
    """Distinct values per bit that most likely set so many bits (linear counting; Whang and others, 1990)."""
    return -math.log1p(-min(bits_set, _BITS - 1) / _BITS)


def key_quality(connection: Any, scan: str, dataset: Dataset, *, rows: int | None = None) -> KeyQuality | None:
    """Rows without the whole primary key, and rows beyond the first of each key, both exact; None without a primary key.

    First hashes are counted, eight bytes for each row: if as many differ as there are rows, the keys do too. Only otherwise the keys
    themselves are compared, where large results spill to the connection's folder."""
    if not dataset.primary_key:
        return None
    items = tuple(item.name for name in dataset.primary_key if (item := dataset.item(name)) is not None)
    names = [quote_name(name) for name in items]
    whole = " AND ".join(f"{name} IS NOT NULL" for name in names)
    if rows is None:
        rows = int(connection.execute(f"SELECT count(*) FROM {scan}").fetchone()[0])
    complete, different = connection.execute(
        f"SELECT count(*), count(DISTINCT hash({', '.join(names)})) FROM {scan} WHERE {whole}"
    ).fetchone()
    if different != complete:
        grouped = f"SELECT count(*) AS n FROM {scan} WHERE {whole} GROUP BY {', '.join(names)} HAVING n > 1"
        duplicates = int(connection.execute(f"SELECT coalesce(sum(n - 1), 0) FROM ({grouped})").fetchone()[0])
    else:
        duplicates = 0
    return KeyQuality(items, rows, rows - complete, duplicates)
