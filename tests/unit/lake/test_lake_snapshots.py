"""Snapshots: what was written is what is read, versions stay, and a writer that dies leaves nothing to see."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable
from lake_under_test import NOW, dataset, rows

import huitong
from huitong.errors import Conflict, InputInvalid, NotFound
from huitong.lake.snapshots import Lake
from huitong.lake.types import physical_type
from huitong.model.catalog import Snapshot
from huitong.words import render


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: NOW)


def read(lake: Lake, snapshot: Snapshot) -> pa.Table:
    return pa.concat_tables(parquet.read_table(path) for path in lake.absolute([file.path for file in snapshot.files]))


def test_what_was_written_is_what_is_read(lake: Lake, tmp_path: Path) -> None:
    written = rows(5_000)
    parquet.write_table(written.slice(0, 3_000), tmp_path / "a.parquet")
    parquet.write_table(written.slice(3_000), tmp_path / "b.parquet")
    snapshot = lake.write_snapshot(dataset=dataset(), source=[tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert read(lake, snapshot).cast(written.schema).to_pylist() == written.to_pylist()
    assert (snapshot.rows, snapshot.version, snapshot.taken_at, snapshot.rejected_rows) == (5_000, 0, NOW, 0)
    assert sum(file.rows for file in snapshot.files) == 5_000
    assert [file.bytes for file in snapshot.files] == [path.stat().st_size for path in lake.absolute([f.path for f in snapshot.files])]


def test_another_reader_of_delta_lake_sees_the_same(lake: Lake) -> None:
    first, second = rows(100), rows(40, start=500)
    lake.write_snapshot(dataset=dataset(), source=first.to_reader(), source_hash="a")
    snapshot = lake.write_snapshot(dataset=dataset(), source=second.to_reader(), source_hash="b")
    folder = lake.absolute([snapshot.files[0].path])[0].parent
    for version, expected in enumerate((first, second)):
        table = DeltaTable(folder, version=version)
        assert pa.table(table.to_pyarrow_table()).cast(expected.schema).to_pylist() == expected.to_pylist()
        assert [field.name for field in table.schema().fields] == expected.column_names


def test_a_reader_of_an_old_snapshot_keeps_working(lake: Lake) -> None:
    old = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a", rejected_rows=3)
    for start in range(5):
        lake.write_snapshot(dataset=dataset(), source=rows(10, start=start).to_reader(), source_hash=f"{start}")
    assert lake.versions("civil.person") == (0, 1, 2, 3, 4, 5)
    assert lake.snapshot("civil.person", 0) == old
    assert lake.snapshot("civil.person").source_hash == "4"
    assert read(lake, old).num_rows == 100


def test_unknown_snapshots_are_not_found(lake: Lake) -> None:
    with pytest.raises(NotFound):
        lake.snapshot("civil.person")
    lake.write_snapshot(dataset=dataset(), source=rows(1).to_reader(), source_hash="a")
    for version in (1, -1):
        with pytest.raises(NotFound):
            lake.snapshot("civil.person", version)


def test_a_snapshot_may_be_empty(lake: Lake) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(0).to_reader(), source_hash="a")
    assert snapshot.rows == 0
    assert read(lake, snapshot).column_names == [item.name for item in dataset().items]


def test_paths_say_nothing_about_their_dataset(lake: Lake) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(1).to_reader(), source_hash="a")
    for file in snapshot.files:
        assert not Path(file.path).is_absolute()
        assert "civil" not in file.path
        assert "person" not in file.path


def test_names_of_datasets_do_not_meet_in_the_lake(lake: Lake) -> None:
    for name in ("a", "a.lock", "a.b", "names"):
        lake.write_snapshot(dataset=dataset(name), source=rows(2).to_reader(), source_hash=name)
    assert [lake.snapshot(name).source_hash for name in ("a", "a.lock", "a.b", "names")] == ["a", "a.lock", "a.b", "names"]


def test_rows_that_do_not_match_the_entry_are_refused_and_leave_nothing(lake: Lake) -> None:
    table = rows(3)
    wrong = table.set_column(1, "age", pa.array(["x", "y", "z"]))
    for source in (table.drop_columns(["age"]), table.append_column("more", pa.array([1, 2, 3])), wrong):
        with pytest.raises(InputInvalid):
            lake.write_snapshot(dataset=dataset(), source=source.to_reader(), source_hash="a")
    assert lake.versions("civil.person") == ()
    assert list((lake.folder / "tables").rglob("*.parquet")) == []


def test_every_item_type_has_one_physical_type() -> None:
    expected = ["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP WITH TIME ZONE"]
    assert [physical_type(item) for item in dataset().items] == expected


WRITER = """
import sys, os, signal, threading
sys.path[:0] = [sys.argv[2]]
from pathlib import Path
from lake_under_test import NOW, dataset, rows
from huitong.lake import tables
from huitong.lake.snapshots import Lake
tables.SECONDS["snapshot_waits"] = 60
lake = Lake(Path(sys.argv[1]), lambda: NOW)
step = sys.argv[3]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if step == "copied":
    tables.parquet.read_metadata = die
elif step == "placed":
    tables.Table._append = die
elif step == "committed":
    tables.Table.version = die
elif step == "copying":
    threading.Timer(float(sys.argv[4]), die).start()
source = rows(1000) if step != "copying" else rows(400_000)
lake.write_snapshot(dataset=dataset(), source=source.to_reader(), source_hash="killed")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "visible"), [("copied", False), ("placed", False), ("committed", True)])
def test_a_writer_killed_at_any_step_leaves_all_or_nothing(lake: Lake, step: str, visible: bool) -> None:
    before = lake.write_snapshot(dataset=dataset(), source=rows(10).to_reader(), source_hash="before")
    environment = {"PYTHONPATH": str(Path(huitong.__file__).parent.parent)}
    command = [sys.executable, "-c", WRITER, str(lake.folder), str(Path(__file__).parent), step]
    done = subprocess.run(command, env=environment, timeout=60, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert lake.snapshot("civil.person").source_hash == ("killed" if visible else "before")
    again = lake.write_snapshot(dataset=dataset(), source=rows(20).to_reader(), source_hash="again")
    assert (again.rows, read(lake, again).num_rows) == (20, 20)
    assert read(lake, before).num_rows == 10
    named = {path for number in lake.versions("civil.person") for path in lake.snapshot("civil.person", number).files}
    assert len(list((lake.folder / "tables").rglob("*.parquet"))) == len(named)
    assert not list((lake.folder / "tables").rglob(".staging-*"))


def test_a_second_load_is_told_of_the_first_instead_of_waiting(lake: Lake) -> None:
    with lake.writing(dataset()):
        start = time.monotonic()
        with pytest.raises(Conflict) as error, Lake(lake.folder, lambda: NOW).writing(dataset()):
            pass
        assert time.monotonic() - start < 10
        assert [reason.code for reason in error.value.reasons] == ["load-running"]
        assert render(error.value.reasons[0], "zh-Hans")
        with lake.writing(dataset("civil.other")):
            pass
    assert lake.write_snapshot(dataset=dataset(), source=rows(1).to_reader(), source_hash="a").rows == 1


def test_opening_the_lake_removes_what_an_interrupted_write_left_long_ago(lake: Lake) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(5).to_reader(), source_hash="a")
    folder = lake.absolute([snapshot.files[0].path])[0].parent
    left = folder / ".staging-left"
    left.mkdir()
    (left / "rows.parquet").write_bytes(b"half")
    just_now = NOW.timestamp()
    os.utime(left, (just_now, just_now))
    Lake(lake.folder, lambda: NOW)
    assert left.exists()  # too young to be sure
    long_ago = just_now - 86_400
    os.utime(left, (long_ago, long_ago))
    with (lake.folder / "locks" / "civil.person").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Lake(lake.folder, lambda: NOW)
        assert left.exists()  # someone writes
    again = Lake(lake.folder, lambda: NOW)
    assert not left.exists()
    assert read(again, snapshot).num_rows == 5


@pytest.mark.slow
def test_writers_wait_for_each_other(lake: Lake, tmp_path: Path) -> None:
    code = WRITER.replace('source_hash="killed"', "source_hash=sys.argv[3]")
    environment = {"PYTHONPATH": str(Path(huitong.__file__).parent.parent)}
    command = [sys.executable, "-c", code, str(lake.folder), str(Path(__file__).parent)]
    writers = [subprocess.Popen([*command, f"w{n}"], env=environment, stderr=subprocess.DEVNULL) for n in range(3)]
    end = time.monotonic() + 60
    assert [writer.wait(max(1, end - time.monotonic())) for writer in writers] == [0, 0, 0]
    assert {lake.snapshot("civil.person", n).source_hash for n in range(3)} == {"w0", "w1", "w2"}
    assert [path.name for path in (lake.folder / "names").iterdir()] == ["civil.person"]
