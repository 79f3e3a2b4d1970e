"""Writing the folder of a backup, and reading it back: each file under a passing name until it is whole, the signed list last.

A run that is killed leaves a folder without its note, which no command takes for a backup; the same command goes on with what is there.
Files of the lake are never changed, so on one file system they are linked, not copied: `link`."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from huitong.backing.manifest import MANIFEST, NOTE, BackupFile, Manifest, read_folder
from huitong.errors import Conflict, HuitongError, InputInvalid, Reason
from huitong.lake.tables import make_last

BEING_MADE = ".being-made"
"""Lies in the folder while it is written, locked by the process that writes."""
_PART = ".part-"
_BLOCK = 1 << 20
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES})

Report = Callable[[int, int | None], None]
"""Bytes done, and in all if known."""


def hash_file(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def copy_hashed(source: Path, target: Path, *, mode: int) -> tuple[int, str]:
    """Copy a file so that it is whole under its name or not there; bytes and SHA-256 of what was written, on the disk before this
    returns."""
    digest, size = hashlib.sha256(), 0
    part = target.with_name(f"{_PART}{secrets.token_hex(8)}")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as written, source.open("rb") as read:
            while block := read.read(_BLOCK):
                digest.update(block)
                size += len(block)
                written.write(block)
            written.flush()
            os.fchmod(written.fileno(), mode)
            os.fsync(written.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size, digest.hexdigest()


@dataclass
class BackupFolder:
    """A backup being written."""

    folder: Path
    link: bool
    """Whether files of the lake may be linked rather than copied."""
    earlier: Mapping[str, BackupFile] = field(default_factory=dict)
    """Files of an earlier backup, by path."""
    earlier_folder: Path | None = None
    files: dict[str, BackupFile] = field(default_factory=dict)
    linked: int = 0
    """Files that took no room of their own."""

    def put(self, source: Path, path: str) -> BackupFile:
        """Take a file of the instance in, which is never written again but may be replaced as a whole. Raises FileNotFoundError."""
        target = self._place(path)
        if target.exists():
            found = hash_file(target)
            if found == hash_file(source):
                return self._note(path, found, linked=target.stat().st_nlink > 1)
            target.unlink()
        if self.link and _linked(source, target):
            return self._note(path, hash_file(target), linked=True)
        before = self.earlier.get(path)
        if before is not None and self.earlier_folder is not None:
            file, facts = self.earlier_folder / path, (before.bytes, before.sha256)
            # the earlier file is read too: what has rotted there is not handed on
            same = source.stat().st_size == before.bytes and hash_file(source) == facts and file.is_file() and hash_file(file) == facts
            if same and _linked(file, target):
                return self._note(path, facts, linked=True)
        return self._note(path, copy_hashed(source, target, mode=0o600))

    def write(self, path: str, content: bytes) -> BackupFile:
        """A small file with that content."""
        with self.new(path) as part:
            part.write_bytes(content)
        return self.files[path]

    @contextlib.contextmanager
    def new(self, path: str) -> Iterator[Path]:
        """A passing name to write a file under; it gets its own when the block has ended well."""
        target = self._place(path)
        part = target.with_name(f"{_PART}{secrets.token_hex(8)}")
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            yield part
            make_last(part)
            found = hash_file(part)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._note(path, found)

    def finish(self, written: bytes, note: str) -> None:
        """Remove what does not belong, see that all is on the disk, then write the list and last its signature."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()  # only if it is empty
            elif name not in self.files and name != BEING_MADE:
                path.unlink()
        for directory in {(self.folder / name).parent for name in self.files} | {self.folder}:
            make_last(directory)
        for name, content in ((MANIFEST, written), (NOTE, note.encode())):
            part = self.folder / f"{_PART}{secrets.token_hex(8)}"
            part.write_bytes(content)
            part.chmod(0o600)
            make_last(part)
            part.replace(self.folder / name)
            make_last(self.folder)

    def _place(self, path: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return target

    def _note(self, path: str, found: tuple[int, str], *, linked: bool = False) -> BackupFile:
        self.files[path] = BackupFile(path, *found)
        self.linked += linked
        return self.files[path]


def _linked(source: Path, target: Path) -> bool:
    """Give the file a second name, if the file system can."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


@contextlib.contextmanager
def open_folder(folder: Path, *, link: bool, earlier: Path | None = None) -> Iterator[BackupFolder]:
    """The folder of a new backup, or of one that was not finished; this process alone writes there.

    Raises Conflict `backup-exists`, `backup-folder-not-empty`, `backup-running`; InputInvalid `backup-not-whole` for an earlier backup
    that is none, `backup-folder-unwritable`."""
    before: Manifest | None = None
    if earlier is not None:
        before, _, _ = read_folder(earlier)
    if (folder / NOTE).exists():
        raise Conflict.because("backup-exists", folder=folder.name)
    if folder.exists() and not (folder / BEING_MADE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict.because("backup-folder-not-empty", folder=folder.name)
    with alone_in(folder, BEING_MADE, busy="backup-running"):
        for left in folder.rglob(f"{_PART}*"):
            left.unlink(missing_ok=True)
        files = {} if before is None else {file.path: file for file in before.files}
        yield BackupFolder(folder, link, files, earlier)
        (folder / BEING_MADE).unlink()


@contextlib.contextmanager
def alone_in(folder: Path, marker: str, *, busy: str) -> Iterator[int]:
    """The folder, made if it is not there, for this account and this process alone; the descriptor of its marker, which is locked.

    Raises InputInvalid `backup-folder-unwritable`, and Conflict with the code `busy` if another process is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = os.open(folder / marker, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        raise InputInvalid.because("backup-folder-unwritable", folder=folder.name) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict.because(busy, folder=folder.name) from None
        yield lock
    finally:
        os.close(lock)


def faults_of_files(folder: Path, manifest: Manifest, *, progress: Report) -> list[Reason]:
    """Every file of the list that is missing, or is not what it was."""
    faults, done = [], 0
    for file in manifest.files:
        path = folder / file.path
        if path.is_symlink() or not path.is_file():
            faults.append(Reason("backup-file-missing", {"path": file.path}))
        elif path.stat().st_size != file.bytes or hash_file(path) != (file.bytes, file.sha256):
            faults.append(Reason("backup-file-changed", {"path": file.path}))
        done += file.bytes
        progress(done, manifest.size)
    return faults


def copy_out(folder: Path, file: BackupFile, target: Path, *, mode: int) -> None:
    """Copy a file of a backup to where it is to be used. Raises InputInvalid `backup-file-changed` if it is not what the list says."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        found = copy_hashed(folder / file.path, target, mode=mode)
    except FileNotFoundError:
        raise InputInvalid.because("backup-file-missing", path=file.path) from None
    if found != (file.bytes, file.sha256):
        target.unlink()
        raise InputInvalid.because("backup-file-changed", path=file.path)


def refuse_faults(faults: list[Reason]) -> None:
    """Raises InputInvalid with these reasons, if there are any."""
    if faults:
        error: HuitongError = InputInvalid(*faults)
        raise error
