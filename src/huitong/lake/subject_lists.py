"""Lists of subjects: the identifiers that rows of a grant are cut to, one Parquet file a list, joined inside the governed subquery.

A list is named by a keyed hash of what it holds, so that equal lists are one and nobody without the key can find out who stands in one
by trying. It is written whole or not at all; only the account of the platform can read it. Whoever removes one looks at the leases of
running queries first; a person who is erased is taken out of every list, under the name that grants know it by."""

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from huitong.errors import InputInvalid
from huitong.lake.leases import Leases
from huitong.lake.persons import naming
from huitong.lake.snapshots import Lake
from huitong.lake.tables import COMPRESSION_LEVEL, ROW_GROUP_ROWS, SECONDS, make_last
from huitong.model.policy import SubjectRows

FOLDER = "subjects"
_NAME = re.compile(r"[0-9a-f]{32}")
_SCHEMA = pa.schema([("identifier", pa.string())])
_DOMAIN = b"huitong/subjects/1"
_DATASET, _ITEM, _DIGEST = b"huitong.dataset", b"huitong.item", b"huitong.digest"


class SubjectLists:
    """The lists of one lake. `key` is a secret of the instance; at most `most` identifiers of `characters` each make a list."""

    def __init__(self, folder: Path, *, lake: Lake, key: bytes, most: int, characters: int) -> None:
        self._lake_folder = folder
        self._folder = folder / FOLDER
        self._lake = lake
        self._key = hmac.digest(key, _DOMAIN, hashlib.sha256)
        self._most = most
        self._characters = characters
        self._leases = Leases(folder)

    def keep(self, identifiers: Iterable[str], *, dataset: str, item: str) -> SubjectRows:
        """Keep a list for an item of a dataset, without blanks around identifiers and each of them once; equal lists are one.

        Raises InputInvalid `subjects-empty`, `subjects-too-many`, or `subjects-identifier-invalid` with the place of the first that
        cannot be kept; never the identifier itself."""
        held = self._cleaned(identifiers, item)
        with self._alone():
            generation = 0
            while True:
                digest = self._digest(dataset, item, held, generation)
                path = self._path(digest[:32])
                found = self._notes(path)
                if found.get(_DIGEST) == digest.encode():
                    os.utime(path)  # just kept again: a sweep leaves it
                    break
                if not found:
                    self._write(path, held, {_DATASET: dataset.encode(), _ITEM: item.encode(), _DIGEST: digest.encode()})
                    break
                generation += 1  # under this name stands what an erasure left of such a list, which other grants go by
        return SubjectRows(item=item, subjects=digest[:32], digest=digest, count=len(held))

    def contained(self, new: SubjectRows, old: SubjectRows) -> bool:
        """Whether the new list is of the same item and holds nobody whom the old one does not hold; False where one is not there."""
        mine, other = self._notes(self._path(new.subjects)), self._notes(self._path(old.subjects))
        if not mine or not other or new.item != old.item or (mine[_DATASET], mine[_ITEM]) != (other[_DATASET], other[_ITEM]):
            return False
        if new.subjects == old.subjects:
            return True
        try:
            return set(self._read(new.subjects)) <= set(self._read(old.subjects))
        except FileNotFoundError:
            return False

    def files(self, subjects: str) -> tuple[str, ...]:
        """The file of a list, relative to the lake; empty if there is none of that name."""
        return (f"{FOLDER}/{subjects}.parquet",) if _NAME.fullmatch(subjects) and self._path(subjects).is_file() else ()

    def retain(self, needed: Collection[str]) -> int:
        """Remove the lists that are not needed, but none that was kept a short time ago or that a query reads; how many went."""
        before = (self._lake.now() - timedelta(seconds=SECONDS["subject_list_stays"])).timestamp()
        gone = 0
        with self._alone(), self._leases.removing() as read:
            for path in self._lists():
                name = f"{FOLDER}/{path.name}"
                if path.stem not in needed and name not in read and path.stat().st_mtime <= before:
                    path.unlink()
                    gone += 1
        return gone

    def erase(self, identifier: str, *, of: Collection[str] | None = None) -> int:
        """Take a person out of every list over these datasets (None: over any), in whatever form they are written; from how many."""
        found, is_named = 0, naming(identifier)
        with self._alone():
            for path in self._lists():
                notes = self._notes(path)
                if of is not None and notes[_DATASET].decode() not in of:
                    continue
                held = self._read(path.stem)
                rest = [one for one in held if not is_named(one)]
                if len(rest) < len(held):
                    self._write(path, rest, {_DATASET: notes[_DATASET], _ITEM: notes[_ITEM], _DIGEST: b"erased"})
                    found += 1
        return found

    def _cleaned(self, identifiers: Iterable[str], item: str) -> Sequence[str]:
        held: set[str] = set()
        for position, one in enumerate(identifiers, start=1):
            if position > self._most:
                raise InputInvalid.because("subjects-too-many", subjects=position, limit=self._most)
            stripped = one.strip()
            if not stripped or len(stripped) > self._characters or not _is_storable(stripped):
                raise InputInvalid.because("subjects-identifier-invalid", position=position, limit=self._characters)
            held.add(stripped)
        if not held:
            raise InputInvalid.because("subjects-empty", item=item)
        return sorted(held)

    def _digest(self, dataset: str, item: str, held: Sequence[str], generation: int) -> str:
        parts = (dataset.encode(), item.encode(), str(generation).encode(), *(one.encode() for one in held))
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256).hex()

    def _path(self, subjects: str) -> Path:
        if _NAME.fullmatch(subjects) is None:
            raise InputInvalid.because("subjects-unknown")
        return self._folder / f"{subjects}.parquet"

    def _lists(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.parquet") if _NAME.fullmatch(path.stem))

    def _notes(self, path: Path) -> dict[bytes, bytes]:
        """What was noted with a list; empty if there is none."""
        try:
            return dict(parquet.read_schema(path).metadata or {})
        except FileNotFoundError:
            return {}

    def _read(self, subjects: str) -> list[str]:
        held: list[str] = parquet.read_table(self._path(subjects), columns=["identifier"]).column(0).to_pylist()
        return held

    def _write(self, path: Path, held: Sequence[str], notes: dict[bytes, bytes]) -> None:
        """In the place of what stands there, in one step; a query that has opened the old file reads it to its end."""
        new = self._folder / f".{secrets.token_hex(16)}.new"
        try:
            new.touch(mode=0o600, exist_ok=False)
            schema = _SCHEMA.with_metadata(notes)
            with parquet.ParquetWriter(new, schema, compression="zstd", compression_level=COMPRESSION_LEVEL) as writer:
                writer.write_table(pa.table([pa.array(held, pa.string())], schema=schema), row_group_size=ROW_GROUP_ROWS)
            # An engine in its sandbox is nobody in particular and opens the file by its descriptor; who may come near it is said by the
            # folder, which only the account of the platform can enter.
            new.chmod(0o644)
            make_last(new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        make_last(self._folder)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes or removes lists while the block runs; what a writer left that was killed is removed first."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        gate = os.open(self._folder / ".gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for left in self._folder.glob(".*.new"):
                left.unlink(missing_ok=True)
            yield
        finally:
            os.close(gate)


def _is_storable(text: str) -> bool:
    try:
        return "\0" not in text.encode().decode()
    except UnicodeEncodeError:
        return False
