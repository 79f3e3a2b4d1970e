"""Side tables: identifier -> token, one Delta table per linkage group and key epoch, joined inside the governed subquery.

The table of a group holds the identifiers of every item that its grants show as a pseudonym, so members of the group share tokens.
The next epoch's table is built beside that of the present one, which serves until the renewal is written; then its files go.
Each build adds one file with the identifiers not yet held; which snapshots are held stands in the log. A file is sorted by token: a
join may give its rows in the order of a side table, and the order of identifiers would tell what the tokens hide.
"""

import contextlib
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from huitong.engines.duckdb import quote_name, quote_text
from huitong.errors import Conflict, InputInvalid
from huitong.lake.persons import folded, forms
from huitong.lake.snapshots import Lake
from huitong.lake.tables import ROW_GROUP_ROWS, SECONDS, BusyError, Table, Writing, open_writer
from huitong.masks import pseudonym
from huitong.model.catalog import Dataset, ItemType, Snapshot
from huitong.model.pseudonym import FIRST, KeyEpoch

_SCHEMA = pa.schema([("identifier", pa.string()), ("token", pa.int64())])
_DELTA_SCHEMA = Schema([Field("identifier", PrimitiveType("string")), Field("token", PrimitiveType("long"))])
_COVERS = "huitong.covers"
RETIRED = "huitong.retired"
"""Note of the entry with which a table of an epoch that is over became empty: what was covered before is covered no more."""
PREFIX = "pseudonyms-"
"""Of the names of side tables in the lake; no dataset can be called so."""


class Epochs(Protocol):
    """Knows the present key epoch of each linkage group."""

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:
        """The epoch in force; None for a group whose epochs were never noted: it is in its first, under the first key."""


class FirstEpochs:
    """Every group is in its first epoch."""

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:  # noqa: ARG002
        """None."""
        return None


class SideTables:
    """Builds and finds the side tables of one lake. `master_key` gives the secret of a key's number (1: `pseudonym-master`); it never
    leaves this class."""

    def __init__(self, folder: Path, *, lake: Lake, master_key: Callable[[int], bytes], epochs: Epochs | None = None) -> None:
        self._folder = folder
        self._lake = lake
        self._master_key = master_key
        self._epochs = epochs or FirstEpochs()
        self._tables: dict[str, Table] = {}

    def epoch(self, linkage_group: str) -> KeyEpoch:
        """The epoch in force."""
        return self._epochs.of_group(linkage_group) or KeyEpoch(linkage_group)

    def build(self, linkage_group: str, dataset: Dataset, item: str, snapshot: Snapshot, *, epoch: KeyEpoch | None = None) -> None:
        """Make the table of the group hold every value of the item in the snapshot, in the epoch (None: the one in force); repeating it
        changes nothing.

        Raises InputInvalid `pseudonym-item-not-text`; Conflict `pseudonym-collision` if two identifiers got one token, keeping nothing,
        or `pseudonym-build-running` if another build of the group does not end."""
        noun = dataset.item(item)
        if noun is None or noun.type is not ItemType.TEXT:
            raise InputInvalid.because("pseudonym-item-not-text", dataset=dataset.id, item=item)
        cover = {"dataset": dataset.id, "item": noun.name, "version": snapshot.version}
        made_in = epoch or self.epoch(linkage_group)
        table = self._table(made_in)
        with contextlib.ExitStack() as stack:
            try:
                writing = stack.enter_context(table.writing(wait=SECONDS["side_table_waits"]))
            except BusyError:
                raise Conflict.because("pseudonym-build-running", dataset=dataset.id, item=noun.name) from None
            if cover in _covered(table):
                return
            held = [self._folder / path for path in _files(table)]
            read = [*self._lake.absolute([file.path for file in snapshot.files]), *held]
            new = writing.staging / "tokens.parquet"
            with open_writer(read=read, write=writing.staging, memory_megabytes=self._lake.memory_megabytes) as connection:
                rows = self._write_new(connection, made_in, noun.name, read[: len(snapshot.files)], held, new)
                if rows and _collides(connection, [*held, new]):
                    raise Conflict.because("pseudonym-collision", dataset=dataset.id, item=noun.name)
                if not rows:
                    new.unlink()
            writing.commit(
                schema=_DELTA_SCHEMA,
                notes={_COVERS: json.dumps(cover, sort_keys=True)},
                keep=None,
                now_milliseconds=int(snapshot.taken_at.timestamp() * 1000),
            )

    extend = build

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int) -> tuple[str, ...]:
        """The files, relative to the lake, that hold every value of the item in that snapshot; empty if they are not built."""
        table = self._table(self.epoch(linkage_group))
        if {"dataset": dataset_id, "item": item, "version": snapshot_version} not in _covered(table):
            return ()
        return tuple(_files(table))

    def retire(self, epoch: KeyEpoch) -> bool:
        """Empty the table of an epoch that is over; whether its files are gone: those that a query still reads go the next time.

        Raises Conflict `pseudonym-build-running` if a build of the group does not end."""
        table = self._table(epoch)
        folder = table.folder
        if folder is None or not any(folder.glob("*.parquet")):
            return True
        now, wait = int(self._lake.now().timestamp() * 1000), SECONDS["side_table_waits"]
        try:
            if _covered(table) or _files(table):
                with table.writing(wait=wait) as writing:
                    writing.commit(schema=_DELTA_SCHEMA, notes={RETIRED: "1"}, keep=(), placed=(), now_milliseconds=now)
            versions = table.versions()
            table.remove(versions[:-1], current=versions[-1], wait=wait, now_milliseconds=now)
        except BusyError:
            raise Conflict.because("pseudonym-build-running", dataset="-", item="-") from None
        return not any(folder.glob("*.parquet"))

    def token_of(self, epoch: KeyEpoch) -> Callable[[str], int]:
        """The token of an identifier in that epoch of a linkage group, as its side table holds it."""
        key = pseudonym.group_key(self._master_key(epoch.key), epoch.linkage_group, epoch.number)
        return lambda identifier: pseudonym.token(key, epoch.linkage_group, epoch.number, identifier)

    def tokens_of(self, epoch: KeyEpoch, identifiers: pa.StringArray) -> pa.Int64Array:
        """The tokens of many identifiers, none of them missing."""
        key = pseudonym.group_key(self._master_key(epoch.key), epoch.linkage_group, epoch.number)
        return tokens(key, epoch.linkage_group, epoch.number, identifiers)

    def erase(self, identifier: str, *, of: Collection[str] | None = None) -> int:
        """Remove the identifier from the side tables of every linkage group, whatever its letter case; how many rows held it.

        `of` names the datasets that hold the person no more: only tables that hold an item of one of them are touched, and where a
        snapshot of another dataset still holds the identifier its token stays, or the other dataset's grants would lose the person
        by an act of an office that does not manage it. None: everywhere, whoever holds it.

        The files that held it go at once; those that a query reads when the next build or erasure of their group finds them free.
        Raises Conflict `pseudonym-build-running` if a build of a group does not end; what was done stays, and it can be repeated."""
        wanted = identifier.strip().upper()
        found = 0
        names = self._folder / "names"
        for name in sorted(entry.name for entry in names.glob(f"{PREFIX}*")) if names.is_dir() else ():
            table = self._by_name(name)
            covers = _covered(table)
            if not covers or (of is not None and all(cover["dataset"] not in of for cover in covers)):
                continue
            with contextlib.ExitStack() as stack:
                try:
                    writing = stack.enter_context(table.writing(wait=SECONDS["side_table_waits"]))
                except BusyError:
                    about = {"dataset": covers[0]["dataset"], "item": covers[0]["item"]}
                    raise Conflict.because("pseudonym-build-running", **about) from None
                if of is not None and self._is_held_elsewhere(wanted, [one for one in _covered(table) if one["dataset"] not in of]):
                    continue
                rows = self._without(table, wanted, writing)
                found += rows
                before = table.versions()
            if rows:
                now = int(self._lake.now().timestamp() * 1000)
                table.remove(before[:-1], current=before[-1], wait=SECONDS["side_table_waits"], now_milliseconds=now)
        return found

    def _is_held_elsewhere(self, wanted: str, covers: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a snapshot among these, of those that can be read, holds the identifier in the item that was covered."""
        for dataset, item in dict.fromkeys((cover["dataset"], cover["item"]) for cover in covers):
            kept = set(self._lake.versions(dataset))
            numbers = [one["version"] for one in covers if (one["dataset"], one["item"]) == (dataset, item) and one["version"] in kept]
            every = {file.path for number in numbers for file in self._lake.snapshot(dataset, number).files}
            if not every:
                continue
            with self._lake.looking(every) as connection:
                connection.register("wanted", pa.table({"identifier": forms(wanted)}))
                named = f"{folded(quote_name(item), wanted)} IN (SELECT identifier FROM wanted)"
                for path in self._lake.absolute(sorted(every)):
                    if connection.execute(f"SELECT 1 FROM {_scan([path.resolve()])} WHERE {named} LIMIT 1").fetchone() is not None:
                        return True
        return False

    def _without(self, table: Table, wanted: str, writing: Writing) -> int:
        """Write the files of the table that hold the identifier anew without it, as its next version; how many rows that leaves out."""
        held = _files(table)
        read = [(self._folder / path).resolve() for path in held]
        keep, placed, found = [], [], 0
        with open_writer(read=read, write=writing.staging, memory_megabytes=self._lake.memory_megabytes) as connection:
            connection.register("wanted", pa.table({"identifier": forms(wanted)}))
            named = f"{folded('identifier', wanted)} IN (SELECT identifier FROM wanted)"
            for file in read:
                ((rows,),) = connection.execute(f"SELECT count(*) FROM {_scan([file])} WHERE {named}").fetchall()
                if not rows:
                    keep.append(file.name)
                    continue
                found += rows
                target = writing.staging / f"{file.name}.new"
                rest = connection.sql(f"SELECT identifier, token FROM {_scan([file])} WHERE NOT {named} ORDER BY token")
                with parquet.ParquetWriter(target, _SCHEMA, compression="zstd") as writer:
                    for batch in rest.to_arrow_reader(ROW_GROUP_ROWS):
                        writer.write_batch(batch.cast(_SCHEMA))
                placed.append(writing.place(target))
        if found:
            now = int(self._lake.now().timestamp() * 1000)
            writing.commit(schema=_DELTA_SCHEMA, notes={}, keep=keep, placed=placed, now_milliseconds=now)
        return found

    def _write_new(
        self, connection: Any, epoch: KeyEpoch, item: str, source: list[Path], held: list[Path], new: Path
    ) -> int:
        """Write the identifiers that are not held yet with their tokens, sorted by token; returns how many."""
        column = quote_name(item)
        known = f" AND NOT EXISTS (SELECT 1 FROM {_scan(held)} h WHERE h.identifier = s.{column})" if held else ""
        query = f"SELECT DISTINCT s.{column} AS identifier FROM {_scan(source)} s WHERE s.{column} IS NOT NULL{known}"
        group, number = epoch.linkage_group, epoch.number
        key = pseudonym.group_key(self._master_key(epoch.key), group, number)
        rows = 0
        unsorted = new.with_suffix(".unsorted")  # a sort of the engine spills to the disk when there are more than fit in memory
        with parquet.ParquetWriter(unsorted, _SCHEMA, compression="zstd") as writer:
            for batch in connection.sql(query).to_arrow_reader(ROW_GROUP_ROWS):
                identifiers = batch.column(0).cast(pa.string())
                made = tokens(key, group, number, identifiers)
                writer.write_batch(pa.record_batch([identifiers, made], schema=_SCHEMA))
                rows += len(identifiers)
        in_order = connection.sql(f"SELECT identifier, token FROM {_scan([unsorted])} ORDER BY token")
        with parquet.ParquetWriter(new, _SCHEMA, compression="zstd") as writer:
            for batch in in_order.to_arrow_reader(ROW_GROUP_ROWS):
                writer.write_batch(batch.cast(_SCHEMA))
        unsorted.unlink()
        return rows

    def _table(self, epoch: KeyEpoch) -> Table:
        told = f"{epoch.number}\n{epoch.linkage_group}"
        if epoch.key != FIRST:  # a line break is in no group's name, so that no two epochs share a table
            told = f"{epoch.number}\n{epoch.key}\n{epoch.linkage_group}"
        return self._by_name(PREFIX + hashlib.sha256(told.encode()).hexdigest()[:32])

    def _by_name(self, name: str) -> Table:
        if name not in self._tables:
            self._tables[name] = Table(self._folder, name)
        return self._tables[name]


def tokens(key: bytes, linkage_group: str, epoch: int, identifiers: pa.StringArray) -> pa.Int64Array:
    """`pseudonym.token` of many identifiers: the part of the message that is the same for all is made once.

    The first token of every call is compared with `pseudonym.token`, so the two can never drift apart unseen."""
    values = [value.encode() for value in identifiers.to_pylist()]
    if not values:
        return pa.array([], pa.int64())
    head = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (b"huitong/pseudonym/1", b"token", linkage_group.encode(), str(epoch).encode())
    )
    digest = hmac.digest
    digests = b"".join([digest(key, head + len(value).to_bytes(4, "big") + value, "sha256")[:8] for value in values])
    made = np.frombuffer(digests, dtype=">i8").astype(np.int64)
    if int(made[0]) != pseudonym.token(key, linkage_group, epoch, values[0].decode()):
        raise RuntimeError("the tokens of a side table are not those of huitong.masks.pseudonym")
    return pa.array(made)


def _covered(table: Table) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for notes in map(table.notes, table.entries()):
        if RETIRED in notes:
            found.clear()
        if _COVERS in notes:
            found.append(json.loads(notes[_COVERS]))
    return found


def _files(table: Table) -> list[str]:
    versions = table.versions()
    return [file.path for file in table.version(versions[-1]).files] if versions else []


def _scan(paths: list[Path]) -> str:
    return f"read_parquet([{', '.join(quote_text(str(path)) for path in paths)}])"


def _collides(connection: Any, paths: list[Path]) -> bool:
    row = connection.execute(f"SELECT count(*) - count(DISTINCT token) FROM {_scan(paths)}").fetchone()
    return bool(row[0])
