"""Keys are made once, kept from other users, and never shown."""

import os
import stat

import pytest

from huitong.errors import Conflict, InputInvalid, NotFound, Unavailable
from huitong.keystore import KEY_NAMES, FileKeyStore


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "instance" / "keys"


def test_a_new_instance_has_its_six_keys(folder):
    store = FileKeyStore(folder)
    store.create()
    secrets = {store.secret(name) for name in KEY_NAMES}
    assert len(secrets) == 6
    assert all(len(secret) == 32 for secret in secrets)


def test_keys_are_the_same_when_opened_again(folder):
    FileKeyStore(folder).create(["ledger"])
    message = b"signed before, checked after"
    signature = FileKeyStore(folder).signing_key("ledger").sign(message)
    FileKeyStore(folder).verify_key("ledger").verify(signature, message)


def test_only_the_owner_may_read(folder):
    before = os.umask(0)
    try:
        FileKeyStore(folder).create(["ledger"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "ledger.key").stat().st_mode) == 0o600


def test_a_folder_that_was_open_to_others_is_closed(folder):
    folder.mkdir(parents=True, mode=0o755)
    FileKeyStore(folder).create(["ledger"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_who_create_at_once_do_not_overwrite_each_other(folder, monkeypatch):
    FileKeyStore(folder).create(["ledger"])
    kept = FileKeyStore(folder).secret("ledger")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(Conflict, match="key-exists"):
        FileKeyStore(folder).create(["ledger"])
    assert FileKeyStore(folder).secret("ledger") == kept


def test_nothing_is_made_when_one_key_exists(folder):
    FileKeyStore(folder).create(["session"])
    kept = FileKeyStore(folder).secret("session")
    with pytest.raises(Conflict, match="key-exists"):
        FileKeyStore(folder).create(["ledger", "session"])
    assert not (folder / "ledger.key").exists()
    assert FileKeyStore(folder).secret("session") == kept


@pytest.mark.parametrize("target", ["folder", "file"])
def test_a_key_that_others_can_read_is_refused(folder, target):
    FileKeyStore(folder).create(["ledger"])
    (folder if target == "folder" else folder / "ledger.key").chmod(0o750 if target == "folder" else 0o640)
    with pytest.raises(Unavailable, match="key-exposed"):
        FileKeyStore(folder).secret("ledger")


@pytest.mark.parametrize("content", [b"", b"ab" * 31 + b"\n", b"ab" * 33 + b"\n", b"zz" * 32 + b"\n", b"ab" * 32])
def test_a_damaged_key_is_refused(folder, content):
    FileKeyStore(folder).create(["ledger"])
    (folder / "ledger.key").write_bytes(content)
    with pytest.raises(Unavailable, match="key-damaged"):
        FileKeyStore(folder).secret("ledger")


def test_a_missing_key_says_so(folder):
    FileKeyStore(folder).create(["session"])
    with pytest.raises(NotFound, match="key-missing"):
        FileKeyStore(folder).signing_key("ledger")


def test_a_link_in_place_of_a_key_is_refused(folder, tmp_path):
    FileKeyStore(folder).create(["session"])
    (folder / "ledger.key").symlink_to(folder / "session.key")
    with pytest.raises(Unavailable, match="key-unreadable"):
        FileKeyStore(folder).secret("ledger")


@pytest.mark.parametrize("name", ["", "../session", "Ledger", "a/b", "a.b", "-a"])
def test_a_name_cannot_leave_the_folder(folder, name):
    with pytest.raises(InputInvalid, match="key-name-invalid"):
        FileKeyStore(folder).secret(name)


def test_a_store_never_shows_keys_or_places(folder):
    store = FileKeyStore(folder)
    store.create(["ledger"])
    assert repr(store) == "FileKeyStore()"
    assert str(folder) not in repr(store)
    assert store.secret("ledger").hex() not in repr(vars(store).keys())
