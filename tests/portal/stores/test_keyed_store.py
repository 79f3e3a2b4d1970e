"""Copies by key on both databases: whole or not at all, found by their keys alone, whatever the keys hold and whenever a writer dies."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from huitong.delivery.keyed import KeyedStore, PostgresqlKeyedStore, SqliteKeyedStore
from huitong.errors import Unavailable
from huitong.model.records import CopyName

pytestmark = pytest.mark.slow

COPY = CopyName("civil.person", 3, "r" + "a" * 16)
OTHER = CopyName("civil.person", 4, "r" + "a" * 16)
ROWS = [(b"1", 0, b"one"), (b"2", 0, b"two"), (b"2", 1, b"two again"), ("钥".encode(), 0, "值".encode())]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[KeyedStore, str]]:
    """An empty store, and the way to open it again in another process."""
    store: Any
    if request.param == "sqlite":
        store = SqliteKeyedStore(tmp_path / "records", open_copies=4)
        yield store, f"SqliteKeyedStore(Path({str(tmp_path / 'records')!r}), open_copies=4)"
    else:
        url = request.getfixturevalue("postgresql_database")
        store = PostgresqlKeyedStore(url)
        yield store, f"PostgresqlKeyedStore({url!r})"
        for name in store.names():
            store.remove(name)
    store.close()


@pytest.fixture
def store(opened: tuple[KeyedStore, str]) -> KeyedStore:
    return opened[0]


def test_rows_are_found_by_their_keys_in_the_order_of_the_call(store: KeyedStore) -> None:
    assert not store.holds(COPY)
    store.write(COPY, ROWS)
    assert store.holds(COPY)
    assert [list(map(bytes, held)) for held in store.fetch(COPY, [b"2", b"nobody", "钥".encode(), b"1", b"2"])] == [
        [b"two", b"two again"], [], ["值".encode()], [b"one"], [b"two", b"two again"],
    ]  # fmt: skip


def test_a_copy_of_another_snapshot_is_another_copy_and_a_removed_one_is_behind(store: KeyedStore) -> None:
    store.write(COPY, ROWS)
    assert store.fetch(COPY, [b"1"])
    assert not store.holds(OTHER)
    store.write(OTHER, ROWS[:1])
    assert store.fetch(OTHER, [b"2"]) == [[]]
    assert store.names() == [COPY.text, OTHER.text]
    store.remove(COPY.text)
    store.remove(COPY.text)
    assert store.names() == [OTHER.text]
    with pytest.raises(Unavailable) as raised:
        store.fetch(COPY, [b"1"])
    assert raised.value.reasons[0].code == "record-store-behind"


def test_keys_are_bound_and_never_read_as_statements(store: KeyedStore) -> None:
    store.write(COPY, ROWS)
    hostile = [b"' OR '1'='1", b"1'; DROP TABLE held; --", b"\x00", b"\xff\xfe", b"1 ", b"%", b"*", "１".encode()]
    assert list(map(list, store.fetch(COPY, hostile))) == [[]] * len(hostile)
    assert [list(map(bytes, held)) for held in store.fetch(COPY, [b"1"])] == [[b"one"]]


def test_a_name_that_is_none_of_a_copy_is_never_used(store: KeyedStore) -> None:
    for name in ("x", "../keys/ledger", "huitong_record_x; DROP TABLE a", f"{COPY.text}\n"):
        with pytest.raises(ValueError, match="name of a copy"):
            store.remove(name)


def test_a_writer_that_fails_leaves_nothing_and_keeps_what_was_there(store: KeyedStore) -> None:
    def failing() -> Iterator[tuple[bytes, int, bytes]]:
        yield ROWS[0]
        raise OSError("no space left on device")

    for before in ([], [COPY.text]):
        with pytest.raises(OSError, match="no space"):
            store.write(COPY, failing())
        assert store.names() == before
        store.write(COPY, ROWS)
    assert [list(map(bytes, held)) for held in store.fetch(COPY, [b"2"])] == [[b"two", b"two again"]]


def test_a_copy_is_written_again_in_the_place_of_itself(store: KeyedStore) -> None:
    store.write(COPY, ROWS)
    store.fetch(COPY, [b"1"])
    store.write(COPY, ROWS)
    assert [list(map(bytes, held)) for held in store.fetch(COPY, [b"1"])] == [[b"one"]]


WRITER = """
import sys, time
from pathlib import Path
from huitong.delivery.keyed import PostgresqlKeyedStore, SqliteKeyedStore
from huitong.model.records import CopyName

def rows():
    for number in range(10**9):
        yield str(number).zfill(9).encode(), 0, b"x" * 200
        if number == 5000:
            print("writing", flush=True)

{store}.write(CopyName("civil.person", 3, "r" + "a" * 16), rows())
"""


def test_a_writer_that_is_killed_leaves_nothing_that_can_be_read(opened: tuple[KeyedStore, str]) -> None:
    store, made = opened
    source = textwrap.dedent(WRITER).format(store=made)
    writer = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    assert not store.holds(COPY), "half a copy is not seen while it is written"
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    assert not store.holds(COPY)
    for attempt in range(50):  # the server notices a moment later that its client is gone
        try:
            store.write(COPY, ROWS)
            break
        except (Unavailable, psycopg.Error):
            time.sleep(0.1 * attempt)
    assert [list(map(bytes, held)) for held in store.fetch(COPY, [b"1"])] == [[b"one"]]
    store.remove(COPY.text)
    assert store.names() == []


def test_the_files_of_a_copy_are_for_the_account_of_the_platform_alone(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    store = SqliteKeyedStore(folder, open_copies=2)
    store.write(COPY, ROWS)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "civil" not in file.name


def test_a_file_that_was_removed_is_not_read_by_who_has_it_open(tmp_path: Path) -> None:
    """Another process removes it: a person was erased."""
    store = SqliteKeyedStore(tmp_path / "records", open_copies=2)
    store.write(COPY, ROWS)
    assert store.fetch(COPY, [b"1"])
    for file in (tmp_path / "records").iterdir():
        file.unlink()
    with pytest.raises(Unavailable):
        store.fetch(COPY, [b"1"])
