"""What is known about the rows of a snapshot without showing one: measured in one pass over its files by the engine.

`measures` counts; `report` sets the counts against the update cycle and against the snapshot before. Neither holds a value.
"""

import calendar
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from huitong.engines.duckdb import quote_name
from huitong.intake.recognisers.recognise import SAMPLE
from huitong.intake.recognisers.validity import validity_sql
from huitong.intake.suggesting import suggest_all
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Item, ItemType, Snapshot, UpdateCycle
from huitong.model.quality import (
    Drift,
    DriftKind,
    Freshness,
    GradingSuggestion,
    ItemQuality,
    KeyQuality,
    QualityReport,
)
from huitong.policy.schemes import GradingScheme

_BITS = 1 << 20
"""Bits of one counter of distinct values: 128 KB for each item and thread. Part of the method, not of any policy."""
_EXACT = 100_000
"""Rows up to which distinct values are counted one by one."""
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


def measures(
    connection: Any,
    scan: str,
    dataset: Dataset,
    *,
    distinct: bool = True,
    key: bool = True,
    missing: Mapping[str, int] | None = None,
) -> Measures:
    """Rows, present values, valid values and distinct values of every item, and how well the primary key tells rows apart.

    `scan` is anything that can stand after FROM and gives the items by their names with their own types, for instance
    `read_parquet(['...'])`. Everything but the key is one statement in one pass; `distinct` is up to half of its cost. `missing` tells how
    many rows have no value in an item, where that is known without reading them (`Lake.missing`). The connection is DuckDB's; its
    limits of memory, threads and files hold, and its `interrupt()` ends this too."""
    rows = _count(connection, scan)
    every = max(1, math.ceil(rows / (_FULL * _BITS)))
    asked: list[str] = []
    known = missing or {}
    for item in dataset.items:
        source = quote_name(item.name)
        valid = validity_sql(item.meaning, source, item.type)
        present = str(rows - known[item.name]) if item.name in known else f"count({source})"
        asked += [present, "NULL" if valid is None else f"count(*) FILTER ({valid})"]
        if distinct and rows <= _EXACT:
            asked += [f"count(DISTINCT {source})", "NULL"]
        elif distinct:
            hashed = f"hash({source})"
            counted = f"bit_count(bitstring_agg(CAST({hashed} & {_BITS - 1} AS INTEGER), 0, {_BITS - 1})"
            sampled = f"({hashed} >> 20) % {every} = 0 AND {source} IS NOT NULL"
            asked += [
                f"{counted} FILTER ({source} IS NOT NULL))",
                f"{counted} FILTER ({sampled}))" if every > 1 else "NULL",
            ]
    found = _one_row(connection, f"SELECT {', '.join([*asked, 'count(*)'])} FROM {scan}")  # one row, even if all else is known
    width = 4 if distinct else 2
    items = tuple(
        _item_quality(item, rows, found[width * position : width * (position + 1)], every)
        for position, item in enumerate(dataset.items)
    )
    return Measures(rows, items, key_quality(connection, scan, dataset, rows=rows) if key else None)


def _one_row(connection: Any, statement: str) -> tuple[Any, ...]:
    row: tuple[Any, ...]
    [row] = connection.execute(statement).fetchall()  # to the end: a result half read would hold the connection
    return row


def _count(connection: Any, scan: str) -> int:
    return int(_one_row(connection, f"SELECT count(*) FROM {scan}")[0])


def _item_quality(item: Item, rows: int, counts: tuple[int | None, ...], every: int) -> ItemQuality:
    present = counts[0] or 0
    valid = counts[1]
    distinct = None
    if len(counts) > 2:
        distinct = min(_distinct(counts[2] or 0, counts[3] or 0, every), present) if rows > _EXACT else counts[2]
    return ItemQuality(item.name, rows, present, valid, distinct)


def _distinct(bits_set: int, sampled_bits_set: int, every: int) -> int:
    """Distinct values by the bits that they set, or where those are too many, by those of a share of the values."""
    load = _load(bits_set)
    return round((_load(sampled_bits_set) * every if load > _FULL and every > 1 else load) * _BITS)


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
        rows = _count(connection, scan)
    complete, different = _one_row(
        connection, f"SELECT count(*), count(DISTINCT hash({', '.join(names)})) FROM {scan} WHERE {whole}"
    )
    if different != complete:
        grouped = f"SELECT count(*) AS n FROM {scan} WHERE {whole} GROUP BY {', '.join(names)} HAVING n > 1"
        duplicates = int(_one_row(connection, f"SELECT coalesce(sum(n - 1), 0) FROM ({grouped})")[0])
    else:
        duplicates = 0
    return KeyQuality(items, rows, rows - complete, duplicates)


# --- freshness ------------------------------------------------------------------------------------------------------------


@cache
def _policy() -> Mapping[str, Any]:
    """Cycles and thresholds. Source: stated in `quality.toml`."""
    return tomllib.loads(files("huitong.intake").joinpath("quality.toml").read_text("utf-8"))


def least_rows_for_others() -> int:
    """Rows below which nobody but the offices that answer for the data is shown a share."""
    return int(_policy()["others"]["least_rows"])


def freshness(cycle: UpdateCycle, taken_at: datetime, now: datetime) -> Freshness:
    """A snapshot against its update cycle at the instant `now`; a report keeps that of the day it was made, so ask again to show it."""
    said = _policy()["cycle"].get(cycle.value)
    if said is None:
        return Freshness(cycle, taken_at, None, late=False)
    due = _months_later(taken_at, said.get("months", 0)) + timedelta(days=said.get("days", 0), hours=said.get("hours", 0))
    return Freshness(cycle, taken_at, due, late=now > due + timedelta(hours=said["grace_hours"]))


def _months_later(instant: datetime, months: int) -> datetime:
    year, month = divmod(instant.year * 12 + instant.month - 1 + months, 12)
    return instant.replace(year=year, month=month + 1, day=min(instant.day, calendar.monthrange(year, month + 1)[1]))


# --- samples and what drifted ---------------------------------------------------------------------------------------------


def samples(connection: Any, scan: str, shown: Mapping[str, str], *, rows: int, seed: int, at_most: int = SAMPLE) -> pa.Table:
    """The expressions `shown`, by name, over about `at_most` rows of a scan of Parquet files, chosen by the seed: always the same ones."""
    columns = ", ".join(f"{expression} AS {quote_name(name)}" for name, expression in shown.items())
    chosen = "" if rows <= at_most else f" WHERE hash(file_row_number, {int(seed)}) % 4294967296 < {at_most * 4294967296 // rows}"
    return connection.sql(f"SELECT {columns} FROM {scan}{chosen}").to_arrow_table()


def _groups_of(item: Item) -> str:
    """What the distribution of an item is made of: a hash, or a number. Never the value itself where that is a text."""
    source = quote_name(item.name)
    match item.type:
        case ItemType.TEXT | ItemType.BOOLEAN:
            return f"if({source} IS NULL, NULL, CAST(hash({source}) % {_policy()['drift']['groups']} AS DOUBLE))"
        case ItemType.DATE:
            return f"CAST({source} - DATE '1970-01-01' AS DOUBLE)"
        case ItemType.INSTANT:
            return f"epoch({source})"
        case _:
            return f"CAST({source} AS DOUBLE)"


def distances(
    connection: Any, scan: str, before: str, items: Sequence[Item], *, rows: int, rows_before: int, seed: int
) -> Mapping[str, float]:
    """How far the values of each item have moved from one scan to another, where it is surely no accident: 0 the same, 1 all others."""
    said = _policy()["drift"]
    if not items:
        return {}
    shown = {item.name: _groups_of(item) for item in items}
    limits = {"seed": seed, "at_most": said["sample"]}
    now, then = samples(connection, scan, shown, rows=rows, **limits), samples(connection, before, shown, rows=rows_before, **limits)
    found = {}
    for item in items:
        new, old = (table[item.name].drop_null().to_numpy() for table in (now, then))
        if min(len(new), len(old)) < said["least_values"]:
            continue
        hashed = item.type in (ItemType.TEXT, ItemType.BOOLEAN)
        if not hashed:
            edges = np.unique(np.quantile(old, np.linspace(0, 1, said["groups"] + 1)[1:-1]))
            # twice the places: what is equal to an edge is a group of its own, so that a frequent value is not lost between two
            new, old = (np.searchsorted(edges, one, "left") + np.searchsorted(edges, one, "right") for one in (new, old))
        size = int(max(new.max(), old.max())) + 1
        counts = [np.bincount(one.astype(np.int64), minlength=size) for one in (new, old)]
        if _deviations(counts[0], counts[1]) >= said["surely"]:
            found[item.name] = float(np.abs(counts[0] / len(new) - counts[1] / len(old)).sum() / 2)
    return found


def _deviations(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """How surely two counts by group come from two distributions: a chi-square test, as standard deviations (Wilson and Hilferty, 1931)."""
    both = one + other
    there = both > 0
    one, other, both = one[there], other[there], both[there]
    freedom = len(both) - 1
    if freedom < 1:
        return 0.0
    share = one.sum() / both.sum()
    square = float(((one - both * share) ** 2 / (both * share * (1 - share))).sum())
    spread = 2 / (9 * freedom)
    return (math.cbrt(square / freedom) - (1 - spread)) / math.sqrt(spread)


def drift_between(now: Measures, before: QualityReport, moved: Mapping[str, float]) -> tuple[Drift, ...]:
    """The changes against the report before that lie beyond the thresholds of `quality.toml`."""
    said = _policy()["drift"]
    found = []
    if before.rows and not 1 - said["rows_fall"] <= now.rows / before.rows <= 1 + said["rows_rise"]:
        found.append(Drift(DriftKind.ROWS, None, before.rows, now.rows))
    for item in now.items:
        old = before.item(item.item)
        if old is None:
            continue
        enough = min(item.present, old.present) >= said["least_values"]
        for kind, then, this, there in (
            (DriftKind.COMPLETENESS, old.completeness, item.completeness, min(item.rows, old.rows) >= said["least_values"]),
            (DriftKind.VALIDITY, old.validity, item.validity, enough),
        ):
            if there and then is not None and this is not None and abs(this - then) >= said[kind.value]:
                found.append(Drift(kind, item.item, then, this))
        if enough and old.distinct and item.distinct is not None and _distinct_moved(item, old):
            found.append(Drift(DriftKind.DISTINCT, item.item, old.distinct, item.distinct))
        if moved.get(item.item, 0.0) >= said["distribution"]:
            found.append(Drift(DriftKind.DISTRIBUTION, item.item, 0.0, moved[item.item]))
    return tuple(found)


def _distinct_moved(item: ItemQuality, old: ItemQuality) -> bool:
    said = _policy()["drift"]
    assert item.distinct is not None and old.distinct
    if old.distinct <= said["few"]:
        return bool(abs(item.distinct / old.distinct - 1) >= said["distinct_few"])
    return bool(abs(item.distinct / item.present - old.distinct / old.present) >= said["distinct_share"])


# --- the report -----------------------------------------------------------------------------------------------------------


def report(
    *,
    dataset: Dataset,
    snapshot: Snapshot,
    connection: Any,
    scan: str,
    now: datetime,
    previous: QualityReport | None = None,
    before: tuple[str, int] | None = None,
    measured: Measures | None = None,
    items_before: Mapping[str, ItemType] | None = None,
) -> QualityReport:
    """The quality report of a snapshot whose files are `scan`; `measured` if `measures` was asked already.

    Against `previous`, the report of the snapshot before, counts are compared; with `before`, its scan and rows, distributions too, of the
    items that it holds with the same type (`items_before`; None: all)."""
    measured = measured or measures(connection, scan, dataset)
    moved: Mapping[str, float] = {}
    if previous is not None and before is not None:
        kept = [item for item in dataset.items if items_before is None or items_before.get(item.name) is item.type]
        moved = distances(connection, scan, before[0], kept, rows=measured.rows, rows_before=before[1], seed=snapshot.version)
    return QualityReport(
        dataset=dataset.id,
        version=snapshot.version,
        made_at=now,
        rows=measured.rows,
        rejected_rows=snapshot.rejected_rows,
        items=measured.items,
        key=measured.key,
        freshness=freshness(dataset.update_cycle, snapshot.taken_at, now),
        drift=drift_between(measured, previous, moved) if previous is not None else (),
        compared_with=previous.version if previous is not None else None,
    )


@dataclass(frozen=True)
class Looked:
    """What a look at a new snapshot found."""

    report: QualityReport
    suggestions: tuple[GradingSuggestion, ...]


def look(
    *,
    lake: Lake,
    dataset: Dataset,
    snapshot: Snapshot,
    now: datetime,
    scheme: GradingScheme,
    previous: QualityReport | None = None,
    previous_snapshot: Snapshot | None = None,
    measured: Measures | None = None,
) -> Looked:
    """The quality report of a snapshot in the lake, and what recognisers suggest for its items.

    If the files of the snapshot before are gone, distributions are not compared. Raises NotFound `snapshot-removed` if its own are."""
    old = previous_snapshot if previous is not None and _can_be_read(lake, previous_snapshot) else None
    with lake.looking({file.path for one in (snapshot, old) if one is not None for file in one.files}) as connection:
        scan = lake.scan(snapshot)
        measured = measured or measures(connection, scan, dataset, missing=lake.missing(snapshot))
        made = report(
            dataset=dataset,
            snapshot=snapshot,
            connection=connection,
            scan=scan,
            now=now,
            previous=previous,
            before=(lake.scan(old), old.rows) if old is not None else None,
            measured=measured,
            items_before=lake.columns(old) if old is not None else None,
        )
        texts = texts_of(connection, scan, dataset, measured, seed=snapshot.version)
        return Looked(made, suggest_all(texts, dataset, scheme=scheme, seed=snapshot.version))


def _can_be_read(lake: Lake, snapshot: Snapshot | None) -> bool:
    """Whether the files of a snapshot are still there, and there are rows in them."""
    if snapshot is None or not snapshot.rows or snapshot.removed_at is not None:
        return False
    return all(path.is_file() for path in lake.absolute([file.path for file in snapshot.files]))


def texts_of(
    connection: Any, scan: str, dataset: Dataset, measured: Measures | QualityReport, *, seed: int
) -> Iterator[tuple[Item, pa.ChunkedArray]]:
    """A sample of the values of each item as texts. Items that are mostly missing are looked for by themselves."""
    if not measured.rows:
        return
    present = {one.item: one.present for one in measured.items}
    items = [item for item in dataset.items if item.type is not ItemType.BOOLEAN and present[item.name]]
    as_text = {item.name: f"CAST({quote_name(item.name)} AS VARCHAR)" for item in items}
    together = samples(connection, scan, as_text, rows=measured.rows, seed=seed, at_most=SAMPLE) if items else None
    for item in items:
        assert together is not None
        values = together[item.name]
        if measured.rows > SAMPLE and present[item.name] < measured.rows / 10:
            there = f"(SELECT *, file_row_number FROM {scan} WHERE {quote_name(item.name)} IS NOT NULL)"
            alone = {item.name: as_text[item.name]}
            values = samples(connection, there, alone, rows=present[item.name], seed=seed, at_most=SAMPLE)[item.name]
        yield item, values


def sample_of(connection: Any, scan: str, item: Item, *, rows: int, seed: int) -> pa.ChunkedArray:
    """About 100,000 values of one item of a scan of Parquet files as texts, missing ones among them, chosen by the seed."""
    return samples(connection, scan, {item.name: f"CAST({quote_name(item.name)} AS VARCHAR)"}, rows=rows, seed=seed)[item.name]
