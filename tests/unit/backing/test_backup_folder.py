"""The folder of a backup and its signed list."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from huitong.backing.folder import copy_out, faults_of_files, open_folder
from huitong.backing.manifest import (
    BackupFile,
    DatabaseFacts,
    LedgerFacts,
    Manifest,
    manifest_hash,
    read_folder,
    read_manifest,
    sign_manifest,
    signer,
)
from huitong.errors import Conflict, InputInvalid
from huitong.ledger.note import instant_text, verifier_key

AT, ORIGIN = datetime(2026, 12, 1, 8, tzinfo=UTC), "huitong.local/test"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = verifier_key(ORIGIN, KEY.public_key())


def listed(*files: BackupFile) -> Manifest:
    database = DatabaseFacts("sqlite", ("audit.0001_start",), {"audit_entry": 3}, {})
    return Manifest(ORIGIN, "0.1.0", AT, "shi", database, LedgerFacts(3, "AA==", "note", 0, (PUBLIC.text,)), files)


def backed_up(source: Path, folder: Path, *, link: bool = False, earlier: Path | None = None) -> int:
    """A backup of every file of a folder; how many took no room."""
    with open_folder(folder, link=link, earlier=earlier) as into:
        for path in sorted(source.iterdir()):
            into.put(path, f"lake/{path.name}")
        written = listed(*into.files.values()).written()
        into.finish(written, sign_manifest(written, origin=ORIGIN, key=KEY))
    return into.linked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    for name in ("a", "b"):
        (tmp_path / "source" / name).write_bytes(name.encode() * 3_000_000)
    return tmp_path / "source"


def test_the_list_is_signed_and_read_back_as_it_was(source: Path, tmp_path: Path) -> None:
    backed_up(source, tmp_path / "backup")
    manifest, written, note = read_folder(tmp_path / "backup")
    assert read_manifest(manifest.written()) == manifest and written == manifest.written()
    assert signer(note, written, [PUBLIC], at=instant_text(AT), origin=ORIGIN) == PUBLIC
    other = verifier_key(ORIGIN, Ed25519PrivateKey.generate().public_key())
    assert signer(note, written, [other], at=instant_text(AT), origin=ORIGIN) is None
    assert signer(note, written.replace(b"shi", b"she"), [PUBLIC], at=instant_text(AT), origin=ORIGIN) is None
    assert len(manifest_hash(written)) == 64
    assert faults_of_files(tmp_path / "backup", manifest, progress=lambda *_: None) == []


def test_links_share_and_copies_do_not(source: Path, tmp_path: Path) -> None:
    assert backed_up(source, tmp_path / "links", link=True) == 2
    assert (tmp_path / "links" / "lake" / "a").samefile(source / "a")
    assert backed_up(source, tmp_path / "copies") == 0
    assert not (tmp_path / "copies" / "lake" / "a").samefile(source / "a")


def test_a_later_backup_takes_from_the_earlier_one_what_is_still_right(source: Path, tmp_path: Path) -> None:
    backed_up(source, tmp_path / "one")
    (source / "b").unlink()
    (source / "b").write_bytes(b"c" * 3_000_000)
    assert backed_up(source, tmp_path / "two", earlier=tmp_path / "one") == 1
    rotten = tmp_path / "one" / "lake" / "a"
    content = bytearray(rotten.read_bytes())
    content[7] ^= 1
    rotten.unlink()
    rotten.write_bytes(content)
    assert backed_up(source, tmp_path / "three", earlier=tmp_path / "one") == 0
    assert (tmp_path / "three" / "lake" / "a").read_bytes() == (source / "a").read_bytes()


def test_what_was_interrupted_is_no_backup_and_is_gone_on_with(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt), open_folder(target, link=False) as into:
        into.put(source / "a", "lake/a")
        into.put(source / "b", "lake/gone-since")
        raise KeyboardInterrupt
    with pytest.raises(InputInvalid):
        read_folder(target)
    backed_up(source, target)
    assert {path.name for path in target.rglob("*") if path.is_file()} == {"a", "b", "manifest.json", "manifest.note"}
    with pytest.raises(Conflict):
        backed_up(source, target)


def test_two_never_write_one_folder_and_nothing_of_others_is_touched(source: Path, tmp_path: Path) -> None:
    with open_folder(tmp_path / "backup", link=False), pytest.raises(Conflict) as busy:
        backed_up(source, tmp_path / "backup")
    assert busy.value.reasons[0].code == "backup-running"
    with pytest.raises(Conflict) as full:
        backed_up(source, source)
    assert full.value.reasons[0].code == "backup-folder-not-empty" and {path.name for path in source.iterdir()} == {"a", "b"}


def test_a_missing_a_changed_and_a_linked_file_are_named(source: Path, tmp_path: Path) -> None:
    backed_up(source, tmp_path / "backup")
    manifest, _, _ = read_folder(tmp_path / "backup")
    a, b = tmp_path / "backup" / "lake" / "a", tmp_path / "backup" / "lake" / "b"
    a.rename(tmp_path / "moved")
    a.symlink_to(tmp_path / "moved")
    b.write_bytes(b"b" * 2_999_999 + b"c")
    faults = faults_of_files(tmp_path / "backup", manifest, progress=lambda *_: None)
    assert [(one.code, one.parameters["path"]) for one in faults] == [("backup-file-missing", "lake/a"), ("backup-file-changed", "lake/b")]
    with pytest.raises(InputInvalid):
        copy_out(tmp_path / "backup", manifest.files[1], tmp_path / "out", mode=0o600)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["/etc/x", "../x", "lake/../../x", "lake//x", "./x", "", "lake\\x", "a\0b", "lake/"])
def test_a_list_cannot_lead_out_of_its_folder(path: str) -> None:
    with pytest.raises(InputInvalid):
        BackupFile(path, 1, "0" * 64)


@pytest.mark.parametrize("change", [b"", b"{}", b"[]", b"\xff", b'{"form":"huitong-backup/1"}'])
def test_what_is_no_list_is_refused(change: bytes) -> None:
    with pytest.raises(InputInvalid):
        read_manifest(change)
