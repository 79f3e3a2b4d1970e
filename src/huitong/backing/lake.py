"""Which files of the lake belong to a copy of the database, and how they are kept from being removed until they are taken in.

The order is what makes it consistent while the instance works: first every file that is there is leased, then the database is copied,
then the lake is read as that copy knows it. A snapshot that came since is left out, with the entry of the log that made it; one that was
removed since is still there, and the entry that notes its removal is left out. Side tables only grow, which harms nobody; but one that
was emptied since because its key epoch ended is taken as it was before."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from huitong.errors import NotFound, Unavailable
from huitong.lake.leases import Leases
from huitong.lake.rejects import FOLDER as REJECTS
from huitong.lake.side_tables import PREFIX, RETIRED
from huitong.lake.subject_lists import FOLDER as SUBJECTS
from huitong.lake.tables import REJECTS_NOTE, Table, log_name

TRIES = 5
"""How often the lake is read again when a file went between reading and leasing."""
Known = Mapping[str, Mapping[int, Collection[str]]]
"""Of each dataset the snapshots that the database knows and has not removed, with their files (paths in the lake)."""


@dataclass(frozen=True)
class Before:
    """The lake as it was before the database was copied."""

    side_entries: Mapping[str, int]
    """Of each side table, by its key, the newest entry of its log."""


class LakeFiles:
    """The files of one lake, for one backup."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._leases = Leases(lake)

    @contextlib.contextmanager
    def held(self) -> Iterator[Before]:
        """Keep every file that is there now until the block ends. Raises Unavailable `backup-lake-restless`."""
        with contextlib.ExitStack() as stack:
            for _ in range(TRIES):
                before = Before({key: max(Table(self._lake, key).entries(), default=-1) for key in self._keys() if key.startswith(PREFIX)})
                with contextlib.suppress(NotFound):
                    stack.enter_context(self._leases.reading(self._data_files()))
                    break
            else:
                raise Unavailable.because("backup-lake-restless")
            yield before

    @contextlib.contextmanager
    def chosen(self, known: Known, before: Before) -> Iterator[tuple[str, ...]]:
        """The files that belong to a database which knows these snapshots, relative to the lake; none of them goes while the block runs.

        Raises Unavailable `backup-lake-incomplete` if a snapshot's file is not there, `backup-lake-restless`."""
        with contextlib.ExitStack() as stack:
            for last in range(TRIES - 1, -1, -1):
                files = sorted(self._choose(known, before))
                missing = [file for file in files if not (self._lake / file).exists()]
                if missing and not last:
                    raise Unavailable.because("backup-lake-incomplete", file=missing[0])
                with contextlib.suppress(NotFound):
                    stack.enter_context(self._leases.reading(files))
                    break
            else:
                raise Unavailable.because("backup-lake-restless")
            yield tuple(files)

    def _choose(self, known: Known, before: Before) -> set[str]:
        files: set[str] = set()
        for key in self._keys():
            table = Table(self._lake, key)
            numbers = table.entries()
            if not numbers or table.folder is None:
                continue
            base = table.folder.relative_to(self._lake).as_posix()
            if key.startswith(PREFIX):
                numbers = _before_retirement(table, numbers, before.side_entries.get(key, -1))
                data = {f"{base}/{name}" for name in table.files_at(numbers[-1:])[numbers[-1]]} if numbers else set()
            elif versions := known.get(key):
                numbers = [number for number in numbers if number <= max(versions)]
                data = {path for paths in versions.values() for path in paths}
                notes = [table.notes(number) for number in versions if number in numbers]
                data |= {f"{base}/{REJECTS}/{one[REJECTS_NOTE]}" for one in notes if REJECTS_NOTE in one}
            else:
                continue  # no snapshot was ever taken: a load that runs
            if numbers:
                files |= {f"names/{key}", *data, *(f"{base}/_delta_log/{log_name(number)}" for number in numbers)}
        named = {path for versions in known.values() for paths in versions.values() for path in paths}
        for dataset in known:
            if f"names/{dataset}" not in files and known[dataset]:
                raise Unavailable.because("backup-lake-incomplete", file=f"names/{dataset}")
        subjects = {f"{SUBJECTS}/{path.name}" for path in (self._lake / SUBJECTS).glob("*.parquet")}
        return files | named | subjects

    def _keys(self) -> list[str]:
        folder = self._lake / "names"
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".")) if folder.is_dir() else []

    def _data_files(self) -> list[str]:
        patterns = ("tables/*/*.parquet", f"tables/*/{REJECTS}/*.parquet", f"{SUBJECTS}/*.parquet")
        return sorted(path.relative_to(self._lake).as_posix() for pattern in patterns for path in self._lake.glob(pattern))


def _before_retirement(table: Table, numbers: list[int], seen: int) -> list[int]:
    """The entries of a side table's log up to the first that emptied it after the database was about to be copied."""
    for place, number in enumerate(numbers):
        if number > seen and RETIRED in table.notes(number):
            return numbers[:place]
    return numbers
