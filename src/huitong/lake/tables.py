"""What snapshots and side tables share: a Delta table in a folder with a random name, written under a lock, whole or not at all.

A writer puts Parquet files into a staging folder; `commit` makes them last (fsync), moves them into place and lets delta-rs write
the one log entry that makes them visible. A process killed before that leaves only files that no log names: the next writer, who
holds the lock alone, removes them. Old versions stay readable: nothing that a log names is ever removed here.
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
from collections.abc import Iterator, Mapping, Sequence
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

ROW_GROUP_ROWS = 122_880
"""Rows of one Parquet row group: DuckDB's own unit of parallel work."""

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


class Table:
    """One Delta table of the lake; `key` is any text, its folder's name is random."""

    def __init__(self, lake: Path, key: str) -> None:
        self._lake = lake
        self._name_file = lake / "names" / key
        self._history: dict[int, tuple[Mapping[str, str], tuple[str, ...]]] = {}

    @property
    def folder(self) -> Path | None:
        """Its folder; None if nothing was ever written."""
        with contextlib.suppress(FileNotFoundError):
            return self._lake / "tables" / self._name_file.read_text("ascii")
        return None

    def versions(self) -> list[int]:
        """The numbers of its committed versions, oldest first."""
        folder = self.folder
        if folder is None or not (folder / "_delta_log").is_dir():
            return []
        matches = (_LOG_NAME.fullmatch(entry.name) for entry in (folder / "_delta_log").iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def notes(self, number: int) -> Mapping[str, str]:
        """What the writer of a version noted."""
        return self._entry(number)[0]

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

    def _entry(self, number: int) -> tuple[Mapping[str, str], tuple[str, ...]]:
        if number not in self._history:
            folder = self.folder
            assert folder is not None
            notes: dict[str, str] = {}
            added = []
            for line in (folder / "_delta_log" / f"{number:020d}.json").read_text("utf-8").splitlines():
                action = json.loads(line)
                notes |= {k: v for k, v in action.get("commitInfo", {}).items() if k.startswith("huitong.")}
                if "add" in action:
                    added.append(unquote(action["add"]["path"]))
            self._history[number] = (notes, tuple(added))
        return self._history[number]

    @contextlib.contextmanager
    def writing(self, *, wait: float) -> Iterator["Writing"]:
        """Alone with the table: a staging folder to fill, then `commit`. Leaving without it leaves nothing behind.

        Raises BusyError if another writer is not done within `wait` seconds."""
        folder = self._own_folder()
        with (self._lake / "locks" / self._name_file.name).open("a") as lock:
            end = time.monotonic() + wait
            while not _locked(lock):
                if time.monotonic() >= end:
                    raise BusyError
                time.sleep(_LOOK_AGAIN)
            self._sweep(folder)
            staging = folder / f".staging-{secrets.token_hex(8)}"
            staging.mkdir(mode=0o700)
            try:
                yield Writing(self, folder, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def sweep_interrupted(self, *, before: datetime) -> bool:
        """Remove what a writer left that was killed before that instant, unless someone writes now; whether it did."""
        folder = self.folder
        if folder is None or not folder.is_dir():
            return False
        latest = before.timestamp()
        if not any(entry.stat().st_mtime <= latest for entry in folder.glob(".staging-*")):
            return False
        with (self._lake / "locks" / self._name_file.name).open("a") as lock:
            if not _locked(lock):
                return False
            self._sweep(folder)
        return True

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
        """Remove what a killed writer left: files that no log entry ever named. Called under the lock."""
        known = {path for number in self.versions() for path in self._entry(number)[1]}
        for entry in folder.iterdir():
            if entry.name.startswith(".staging-"):
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.suffix == ".parquet" and entry.name not in known:
                entry.unlink()


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

    def commit(self, *, schema: Schema, notes: Mapping[str, str], replace: bool, now_milliseconds: int) -> Version:
        """Make the staged files the next version: in place of all earlier ones or beside them."""
        actions = []
        for staged in sorted(self.staging.rglob("*.parquet")):
            rows = parquet.read_metadata(staged).num_rows
            staged.chmod(0o644)
            _make_last(staged)
            placed = self._folder / f"{secrets.token_hex(16)}.parquet"
            staged.rename(placed)
            actions.append(_add(placed.name, placed.stat().st_size, rows, now_milliseconds))
        _make_last(self._folder)
        properties = CommitProperties(custom_metadata=dict(notes))
        if self.table.versions():
            mode = "overwrite" if replace else "append"
            DeltaTable(self._folder).create_write_transaction(
                list(actions), mode, schema, commit_properties=properties, post_commithook_properties=_KEEP_HISTORY
            )
        else:
            create_table_with_add_actions(
                str(self._folder), schema, actions, commit_properties=properties, post_commithook_properties=_KEEP_HISTORY
            )
        log = self._folder / "_delta_log"
        number = self.table.versions()[-1]
        _make_last(log / f"{number:020d}.json")
        _make_last(log)
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


def _make_last(path: Path) -> None:
    """Wait until the bytes are on the disk."""
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
    connection.execute(f"SET TimeZone='UTC'; SET allowed_paths=[{paths}]; SET allowed_directories=[{quote_text(str(write) + '/')}]")
    connection.execute("SET enable_external_access=false; SET lock_configuration=true")
    return connection
