"""The catalogue as a folder of TOML, one entry a file at `office/dataset.toml`: catalogue as code, an exchange format.

`export` writes what a viewer may know of; `apply` puts a folder's entries of one's own office in force, all or none, and says
before what would change. Applying an export changes nothing.
"""

import os
import stat
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from huitong.catalog.plans import Left, Plan
from huitong.catalog.publish import CatalogActions
from huitong.catalog.toml import dumps, loads
from huitong.errors import Conflict, InputInvalid, Reason
from huitong.model.catalog import Dataset
from huitong.model.party import Actor

ENDING = ".toml"
Progress = Callable[[int], None]
"""Told how many entries are done."""


@cache
def limits() -> Mapping[str, int]:
    """How much an applied folder or archive may hold (`limits.toml`, with the reasons)."""
    written = tomllib.loads((files(__package__) / "limits.toml").read_text("utf-8"))
    return {name: int(value) for name, value in written["folder"].items()}


def place_of(dataset: Dataset) -> PurePosixPath:
    """Where the entry stands below the folder. What cannot stand in a file's name is written as %XX."""
    return PurePosixPath(_name(dataset.provider)) / (_name(dataset.id) + ENDING)


def export(
    catalog: CatalogActions, folder: Path, *, viewer: str | None, office: str | None = None, progress: Progress = lambda _: None
) -> int:
    """Write the entries that the viewer may know of, or only those that `office` manages, below the folder; how many.

    Each file appears whole or not at all; one that says the same already is not touched, so a folder under version control
    shows what changed. The file of an entry that has moved to another office since is removed from its old place."""
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, PurePosixPath] = {}
    for dataset in catalog.every_dataset(viewer=viewer, provider=office):
        place = place_of(dataset)
        places[place.name] = place
        _write(folder / place, dumps(dataset))
        progress(len(places))
    for file in folder.glob("*/*" + ENDING):
        now_at = places.get(file.name)
        if now_at is not None and file.relative_to(folder) != Path(now_at):
            file.unlink()
    return len(places)


def apply(
    catalog: CatalogActions, folder: Path, *, by: Actor, dry_run: bool = False, allow_changes: frozenset[str] = frozenset()
) -> Plan:
    """Put the folder's entries of one's own office in force, all in one transaction, or with `dry_run` only say what it would do.

    Every entry is checked before the first is written; with a fault nothing is. Raises Refused `role-missing`; InputInvalid
    `folder-unknown`, `folder-too-large`."""
    if not folder.is_dir():
        raise InputInvalid.because("folder-unknown")
    return apply_files(catalog, _files_of(folder), by=by, dry_run=dry_run, allow_changes=allow_changes)


def apply_archive(
    catalog: CatalogActions, archive: BinaryIO, *, by: Actor, dry_run: bool = False, allow_changes: frozenset[str] = frozenset()
) -> Plan:
    """The same for a zip archive of such a folder. Raises InputInvalid `archive-not-zip`, `archive-too-large`."""
    return apply_files(catalog, _files_of_archive(archive), by=by, dry_run=dry_run, allow_changes=allow_changes)


def apply_files(
    catalog: CatalogActions,
    written: Iterable[tuple[str, bytes | Reason]],
    *,
    by: Actor,
    dry_run: bool = False,
    allow_changes: frozenset[str] = frozenset(),
) -> Plan:
    """The same for pairs of place and content, or what is wrong with that place."""
    faults: list[Left] = []
    places: dict[str, str] = {}
    entries: list[Dataset] = []
    for place, content in written:
        entry = _entry(place, content)
        if isinstance(entry, Reason):
            faults.append(Left("", entry, place))
        elif entry.id in places:
            faults.append(Left(entry.id, Reason("entry-twice", {"dataset": entry.id}), place))
        else:
            places[entry.id] = place
            entries.append(entry)
    with catalog.transactions.atomic():
        plan = catalog.plan(entries, by=by, allow_changes=allow_changes)
        plan = replace(
            plan,
            skipped=tuple(replace(left, place=places[left.dataset]) for left in plan.skipped),
            faults=(*faults, *(replace(left, place=places[left.dataset]) for left in plan.faults)),
        )
        return plan if dry_run or plan.faults else catalog.carry_out(plan, entries, by=by, allow_changes=allow_changes)


def _entry(place: str, content: bytes | Reason) -> Dataset | Reason:
    """The entry that a file holds, or why there is none."""
    if isinstance(content, Reason):
        return content
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Reason("entry-not-utf8", {})
    try:
        entry = loads(text)
    except InputInvalid as error:
        return error.reasons[0]
    if PurePosixPath(place) != place_of(entry):
        return Reason("entry-misplaced", {"dataset": entry.id, "place": str(place_of(entry))})
    return entry


def _files_of(folder: Path) -> Iterator[tuple[str, bytes | Reason]]:
    """Every TOML file of the folder by its place, in order; links are named as faults, never followed."""
    seen = 0
    for office in sorted(folder.iterdir(), key=lambda path: path.name):
        if office.name.startswith("."):
            continue
        if office.is_symlink() or not office.is_dir():
            if office.suffix == ENDING or office.is_symlink():
                yield office.name, Reason("file-misplaced", {})
            continue
        for file in sorted(office.iterdir(), key=lambda path: path.name):
            if file.name.startswith(".") or file.suffix != ENDING:
                continue
            seen += 1
            if seen > limits()["files"]:
                raise InputInvalid.because("folder-too-large", limit=limits()["files"])
            yield f"{office.name}/{file.name}", _content(file)


def _content(file: Path) -> bytes | Reason:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Reason("file-misplaced", {})
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Reason("file-misplaced", {})
        content = opened.read(limits()["bytes_of_a_file"] + 1)
    return content if len(content) <= limits()["bytes_of_a_file"] else Reason("entry-too-large", {"limit": limits()["bytes_of_a_file"]})


def _files_of_archive(archive: BinaryIO) -> Iterator[tuple[str, bytes | Reason]]:
    """Every TOML file of a zip archive; what it unpacks to is bounded while it is read, whatever the archive declares."""
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, ValueError, OSError):
        raise InputInvalid.because("archive-not-zip") from None
    with opened:
        members = [member for member in opened.infolist() if member.filename.endswith(ENDING) and not member.is_dir()]
        if len(members) > limits()["files"]:
            raise InputInvalid.because("folder-too-large", limit=limits()["files"])
        total = 0
        for member in sorted(members, key=lambda one: one.filename):
            try:
                with opened.open(member) as file:
                    content = file.read(limits()["bytes_of_a_file"] + 1)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError, zlib.error):
                raise InputInvalid.because("archive-not-zip") from None
            total += len(content)
            if total > limits()["bytes_of_an_archive"]:
                raise InputInvalid.because("archive-too-large", limit=limits()["bytes_of_an_archive"])
            if len(content) > limits()["bytes_of_a_file"]:
                yield member.filename, Reason("entry-too-large", {"limit": limits()["bytes_of_a_file"]})
            else:
                yield member.filename, content


def _name(identifier: str) -> str:
    name = quote(identifier, safe="", encoding="utf-8")
    return name.replace(".", "%2E") if name.startswith(".") else name


def _write(file: Path, text: str) -> None:
    """Write the file whole, unless it says the same."""
    content = text.encode()
    if file.is_symlink() or file.parent.is_symlink():
        raise Conflict.because("export-over-a-link", place=f"{file.parent.name}/{file.name}")
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".export-", delete=False) as written:
        try:
            written.write(content)
            written.flush()
            os.fchmod(written.fileno(), 0o644)
            Path(written.name).replace(file)
        except BaseException:
            Path(written.name).unlink(missing_ok=True)
            raise
