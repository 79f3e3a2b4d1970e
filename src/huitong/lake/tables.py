"""What snapshots and side tables share: a Delta table in a folder with a random name, written under a lock, whole or not at all.

A writer puts Parquet files into a staging folder; `commit` makes them last (fsync), moves them into place and writes the one log
entry that makes them visible. A process killed before that leaves only files that no log names: the next writer, who holds the lock
alone, removes them. delta-rs makes the table and reads its versions; every later entry is written here, since it must be able to name
any set of files, those of the version before among them.

Old versions stay readable until `remove`: an entry of the log notes that they are gone, as a vacuum of Delta Lake does, and then those
of their files go that no version kept and no lease names.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

import duckdb
import pyarrow.parquet as parquet
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, CommitProperties, PostCommitHookProperties, create_table_with_add_actions

from huitong.engines.duckdb import quote_text
from huitong.lake.leases import Leases
from huitong.lake.rejects import FOLDER as REJECTS

ROW_GROUP_ROWS = 122_880
"""Rows of one Parquet row group: DuckDB's own unit of parallel work."""

COMPRESSION_LEVEL = 1
"""Of zstd: on tables of registers level 3 writes as many bytes and takes a third longer."""
PACKED = "DELTA_BINARY_PACKED"
"""Encoding of integers of which many differ: two million of them are added up in half the time and take fewer bytes (decision 0033)."""
REMOVED = "huitong.removed"
"""Note of an entry that makes no version but says which are gone, as a JSON list."""
REJECTS_NOTE = "huitong.rejects"
"""Note of a version with a reject table: its file's name."""
_LOG_NAME = re.compile(r"(\d{20})\.json")
_KEEP_HISTORY = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


SECONDS: Mapping[str, float] = tomllib.loads(files("huitong.lake").joinpath("limits.toml").read_text("utf-8"))["seconds"]
"""How long writers wait for each other and when a write counts as interrupted, from `limits.toml`."""
_LOOK_AGAIN = 0.05


class BusyError(Exception):
    """Another write of this table is under way and was not over in the time given."""


@dataclass(frozen=True)
class TableFile:
    """A data file of one version, its path relative to the lake."""

    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Version:
    """One entry of a table's log: its number, what its writer noted, and all files visible at it."""

    number: int
    notes: Mapping[str, str]
    files: tuple[TableFile, ...]


@dataclass(frozen=True)
class _Entry:
    """One file of the log: what its writer noted, the files it adds and those it takes away."""

    notes: Mapping[str, str]
    added: Mapping[str, tuple[int, int]]
    """Name -> rows, bytes."""
    gone: tuple[str, ...]


class Table:
    """One Delta table of the lake; `key` is any text, its folder's name is random."""

    def __init__(self, lake: Path, key: str) -> None:
        self._lake = lake
        self._name_file = lake / "names" / key
        self._history: dict[int, _Entry] = {}

    @property
    def folder(self) -> Path | None:
        """Its folder; None if nothing was ever written."""
        with contextlib.suppress(FileNotFoundError):
            return self._lake / "tables" / self._name_file.read_text("ascii")
        return None

    def versions(self) -> list[int]:
        """The numbers of its committed versions that were not removed, oldest first."""
        numbers = self.entries()
        gone: set[int] = set()
        upkeep = set()
        for number in numbers:
            removed = self._entry(number).notes.get(REMOVED)
            if removed is not None:
                upkeep.add(number)
                gone.update(json.loads(removed))
        return [number for number in numbers if number not in gone and number not in upkeep]

    def entries(self) -> list[int]:
        """The numbers of all entries of its log, oldest first: those of removed versions and of their removal among them."""
        folder = self.folder
        if folder is None or not (folder / "_delta_log").is_dir():
            return []
        matches = (_LOG_NAME.fullmatch(entry.name) for entry in (folder / "_delta_log").iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def notes(self, number: int) -> Mapping[str, str]:
        """What the writer of a version noted."""
        return self._entry(number).notes

    def version(self, number: int) -> Version:
        """A version with its files, as delta-rs reads the log."""
        folder = self.folder
        assert folder is not None
        actions = DeltaTable(folder, version=number).get_add_actions(flatten=True)
        columns = {name: actions[name].to_pylist() for name in ("path", "num_records", "size_bytes")}
        base = folder.relative_to(self._lake)
        files = tuple(
            TableFile(str(base / unquote(path)), int(rows), int(size))
            for path, rows, size in sorted(zip(columns["path"], columns["num_records"], columns["size_bytes"], strict=True))
        )
        return Version(number, self.notes(number), files)

    def files_at(self, numbers: Collection[int]) -> Mapping[int, Mapping[str, tuple[int, int]]]:
        """The files of these versions, name -> rows and bytes, by the entries of the log."""
        wanted, state = set(numbers), dict[str, tuple[int, int]]()
        found: dict[int, Mapping[str, tuple[int, int]]] = {}
        for number in self.entries():
            entry = self._entry(number)
            for name in entry.gone:
                state.pop(name, None)
            state |= entry.added
            if number in wanted:
                found[number] = dict(state)
        return found

    def _entry(self, number: int) -> _Entry:
        if number not in self._history:
            folder = self.folder
            assert folder is not None
            notes: dict[str, str] = {}
            added: dict[str, tuple[int, int]] = {}
            gone = []
            for line in (folder / "_delta_log" / log_name(number)).read_text("utf-8").splitlines():
                action = json.loads(line)
                notes |= {k: v for k, v in action.get("commitInfo", {}).items() if k.startswith("huitong.")}
                if add := action.get("add"):
                    added[unquote(add["path"])] = (int(json.loads(add["stats"])["numRecords"]), int(add["size"]))
                if remove := action.get("remove"):
                    gone.append(unquote(remove["path"]))
            self._history[number] = _Entry(notes, added, tuple(gone))
        return self._history[number]

    @contextlib.contextmanager
    def writing(self, *, wait: float) -> Iterator["Writing"]:
        """Alone with the table: a staging folder to fill, then `commit`. Leaving without it leaves nothing behind.

        Raises BusyError if another writer is not done within `wait` seconds."""
        folder = self._own_folder()
        with self._alone(wait):
            self._sweep(folder)
            staging = folder / f".staging-{secrets.token_hex(8)}"
            staging.mkdir(mode=0o700)
            try:
                yield Writing(self, folder, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def remove(self, versions: Collection[int], *, current: int, wait: float, now_milliseconds: int) -> tuple[int, ...]:
        """Note in the log that these versions are gone, then remove what only they hold; repeating it finishes what was interrupted.

        Files that a lease names stay until it ends: returns the versions that wait for that. The newest state of the log is `current`
        afterwards. Raises BusyError if another writer is not done within `wait` seconds."""
        folder = self.folder
        if folder is None:
            return ()
        with self._alone(wait):
            kept = self.versions()
            over = sorted(set(versions) & set(kept) - {current})
            if over:
                held = self.files_at([current])[current]
                self._append(held, notes={REMOVED: json.dumps(over)}, schema=None, operation="VACUUM", milliseconds=now_milliseconds)
            self._sweep(folder)
            alive = {name for files in self.files_at(self.versions()).values() for name in files}
            return tuple(
                number
                for number, files in sorted(self.files_at(versions).items())
                if any(name not in alive and (folder / name).exists() for name in files)
            )

    def sweep_interrupted(self, *, before: datetime) -> bool:
        """Remove what a writer left that was killed before that instant, unless someone writes now; whether it did."""
        folder = self.folder
        if folder is None or not folder.is_dir():
            return False
        latest = before.timestamp()
        if not any(entry.stat().st_mtime <= latest for entry in folder.glob(".staging-*")):
            return False
        with contextlib.suppress(BusyError), self._alone(0):
            self._sweep(folder)
            return True
        return False

    @contextlib.contextmanager
    def _alone(self, wait: float) -> Iterator[None]:
        with (self._lake / "locks" / self._name_file.name).open("a") as lock:
            end = time.monotonic() + wait
            while not _locked(lock):
                if time.monotonic() >= end:
                    raise BusyError
                time.sleep(_LOOK_AGAIN)
            yield

    def _append(
        self, files: Mapping[str, tuple[int, int]], *, notes: Mapping[str, str], schema: Schema | None, operation: str, milliseconds: int
    ) -> int:
        """Write the next entry of the log, after which the table holds exactly these files. Called under the lock."""
        folder = self.folder
        assert folder is not None
        log = folder / "_delta_log"
        newest = self.entries()[-1]
        before = self.files_at([newest])[newest]
        actions: list[dict[str, Any]] = [
            {"commitInfo": {"timestamp": milliseconds, "operation": operation, "operationParameters": {}, "engineInfo": "huitong", **notes}}
        ]
        if schema is not None:
            described = self._described()
            if json.loads(described["schemaString"]) != json.loads(schema.to_json()):
                actions.append({"metaData": {**described, "schemaString": schema.to_json()}})
        changed = operation == "WRITE"
        for name in sorted(before.keys() - files.keys()):
            about = {"dataChange": changed, "extendedFileMetadata": True, "partitionValues": {}, "size": before[name][1]}
            actions.append({"remove": {"path": name, "deletionTimestamp": milliseconds, **about}})
        for name in sorted(files.keys() - before.keys()):
            rows, size = files[name]
            about = {"partitionValues": {}, "size": size, "modificationTime": milliseconds, "dataChange": changed}
            actions.append({"add": {"path": name, **about, "stats": json.dumps({"numRecords": rows})}})
        number = newest + 1
        draft = log / f".{secrets.token_hex(8)}"
        try:
            draft.write_text("\n".join(json.dumps(action, ensure_ascii=False) for action in actions) + "\n", "utf-8")
            make_last(draft)
            os.link(draft, log / log_name(number))  # fails if somebody else wrote that entry
        finally:
            draft.unlink(missing_ok=True)
        make_last(log)
        return number

    def _described(self) -> dict[str, Any]:
        """The newest metadata of the table in its log."""
        folder = self.folder
        assert folder is not None
        for number in reversed(self.entries()):
            for line in (folder / "_delta_log" / log_name(number)).read_text("utf-8").splitlines():
                if found := json.loads(line).get("metaData"):
                    return dict(found)
        raise AssertionError("a table without metadata")

    def _own_folder(self) -> Path:
        for part in ("names", "locks", "tables"):
            (self._lake / part).mkdir(parents=True, exist_ok=True)
        draft = self._name_file.with_name(f".{secrets.token_hex(8)}")
        draft.write_text(secrets.token_hex(16), "ascii")
        try:
            os.link(draft, self._name_file)  # whoever links first names the folder
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = self.folder
        assert folder is not None
        folder.mkdir(exist_ok=True)
        return folder

    def _sweep(self, folder: Path) -> None:
        """Remove what no version that is kept names: what a killed writer left, and what removed versions held. Called under the lock.

        What a lease names stays."""
        kept = self.versions()
        known = {name for files in self.files_at(kept).values() for name in files}
        rejects = {notes[REJECTS_NOTE] for notes in map(self.notes, kept) if REJECTS_NOTE in notes}
        for entry in folder.glob(".staging-*"):
            shutil.rmtree(entry, ignore_errors=True)
        over = [entry for entry in folder.glob("*.parquet") if entry.name not in known]
        over += [entry for entry in (folder / REJECTS).glob("*") if entry.name not in rejects]
        if not over:
            return
        with Leases(self._lake).removing() as leased:
            for entry in over:
                if entry.relative_to(self._lake).as_posix() not in leased:
                    entry.unlink(missing_ok=True)


def log_name(number: int) -> str:
    """The name of an entry in the folder of its log."""
    return f"{number:020d}.json"


def _locked(lock: TextIO) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sweep_interrupted(lake: Path, *, before: datetime) -> int:
    """`Table.sweep_interrupted` for every table of a lake; returns of how many. What this process may not touch is left."""
    swept = 0
    with contextlib.suppress(FileNotFoundError):
        for name in sorted((lake / "names").iterdir()):
            with contextlib.suppress(OSError):
                swept += not name.name.startswith(".") and Table(lake, name.name).sweep_interrupted(before=before)
    return swept


@dataclass(frozen=True)
class Writing:
    """One write in progress."""

    table: Table
    _folder: Path
    staging: Path
    """Folder for the new Parquet files."""

    def place(self, staged: Path) -> str:
        """Move a finished Parquet file from the staging folder to where it will be read; its new name. Nothing names it before `commit`."""
        staged.chmod(0o644)
        make_last(staged)
        name = f"{secrets.token_hex(16)}.parquet"
        staged.rename(self._folder / name)
        return name

    def place_rejects(self, staged: Path) -> str:
        """The same for a reject table; the name goes into the notes as `REJECTS_NOTE`."""
        folder = self._folder / REJECTS
        folder.mkdir(exist_ok=True, mode=0o700)
        staged.chmod(0o600)
        make_last(staged)
        name = f"{secrets.token_hex(16)}.parquet"
        staged.rename(folder / name)
        make_last(folder)
        return name

    def commit(
        self,
        *,
        schema: Schema,
        notes: Mapping[str, str],
        now_milliseconds: int,
        keep: Collection[str] | None = (),
        placed: Collection[str] | None = None,
    ) -> Version:
        """Make the staged files, or those that were `placed`, the next version, together with those of earlier versions in `keep`:
        names in the table's folder, or None for all of the newest."""
        if placed is None:
            placed = [self.place(staged) for staged in sorted(self.staging.glob("*.parquet"))]
        files = {}
        for name in placed:
            files[name] = (parquet.read_metadata(self._folder / name).num_rows, (self._folder / name).stat().st_size)
        make_last(self._folder)
        entries = self.table.entries()
        if entries:
            known = self.table.files_at(entries)
            if keep is None:
                files |= known[entries[-1]]
            elif keep:
                ever = {name: size for held in known.values() for name, size in held.items()}
                files |= {name: ever[name] for name in keep}
            number = self.table._append(files, notes=notes, schema=schema, operation="WRITE", milliseconds=now_milliseconds)
        else:
            actions = [_add(name, size, rows, now_milliseconds) for name, (rows, size) in sorted(files.items())]
            create_table_with_add_actions(
                str(self._folder),
                schema,
                actions,
                commit_properties=CommitProperties(custom_metadata=dict(notes)),
                post_commithook_properties=_KEEP_HISTORY,
            )
            number = self.table.entries()[-1]
            make_last(self._folder / "_delta_log" / log_name(number))
            make_last(self._folder / "_delta_log")
        return self.table.version(number)


def _add(name: str, size: int, rows: int, milliseconds: int) -> AddAction:
    return AddAction(
        path=name,
        size=size,
        partition_values={},
        modification_time=milliseconds,
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )


def make_last(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_writer(
    *, read: Sequence[Path], write: Path, memory_megabytes: int, threads: int | None = None, ordered: bool = True
) -> Any:
    """A DuckDB connection that can read `read`, write below `write` and touch nothing else."""
    config: dict[str, Any] = {
        "memory_limit": f"{memory_megabytes}MB",
        "temp_directory": str(write / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_persistent_secrets": "false",
        "python_enable_replacements": "false",
        "preserve_insertion_order": ordered,
    }
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    paths = ", ".join(quote_text(str(path)) for path in read)
    connection.execute("SET enable_progress_bar=false")
    connection.execute(f"SET TimeZone='UTC'; SET allowed_paths=[{paths}]; SET allowed_directories=[{quote_text(str(write) + '/')}]")
    connection.execute("SET enable_external_access=false; SET lock_configuration=true")
    return connection
