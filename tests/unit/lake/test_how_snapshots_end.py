"""Snapshots end by retention and by law: never the current one, never one that a query reads, and nothing of them stays."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable
from lake_under_test import NOW, dataset, rows

import huitong
from huitong.errors import Conflict, NotFound
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Snapshot

ID = "civil.person"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: NOW)


def taken(lake: Lake, count: int, start: int = 0) -> Snapshot:
    return lake.write_snapshot(dataset=dataset(), source=rows(count, start=start).to_reader(), source_hash=f"{count}-{start}")


def files(lake: Lake) -> set[str]:
    return {path.name for path in (lake.folder / "tables").rglob("*.parquet")}


def names(*snapshots: Snapshot) -> set[str]:
    return {Path(file.path).name for one in snapshots for file in one.files}


def people(lake: Lake, snapshot: Snapshot) -> list[str]:
    tables = [parquet.read_table(path) for path in lake.absolute([file.path for file in snapshot.files])]
    return sorted(person for person in pa.concat_tables(tables)["person_id"].to_pylist() if person is not None)


@contextlib.contextmanager
def another_process_reads(lake: Lake, snapshot: Snapshot) -> Iterator[subprocess.Popen[str]]:
    code = (
        "import sys, time, datetime; from pathlib import Path; from huitong.lake.snapshots import Lake\n"
        "lake = Lake(Path(sys.argv[1]), lambda: datetime.datetime.now(datetime.UTC))\n"
        "with lake.reading(sys.argv[2:]):\n    print('reading', flush=True); time.sleep(60)\n"
    )
    environment = {"PYTHONPATH": str(Path(huitong.__file__).parent.parent)}
    command = [sys.executable, "-c", code, str(lake.folder), *(file.path for file in snapshot.files)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_removed_snapshot_is_not_found_and_its_files_are_gone(lake: Lake) -> None:
    first, second, third = taken(lake, 10), taken(lake, 20), taken(lake, 30)
    assert lake.remove(ID, [first.version, second.version]).waiting == ()
    for gone in (first, second):
        with pytest.raises(NotFound):
            lake.snapshot(ID, gone.version)
    assert lake.versions(ID) == (third.version,)
    assert lake.snapshot(ID) == third
    assert files(lake) == names(third)
    table = DeltaTable(lake.absolute([third.files[0].path])[0].parent)
    assert pa.table(table.to_pyarrow_table()).num_rows == 30  # other readers of Delta Lake see the newest as before
    fourth = taken(lake, 5)
    assert fourth.version > third.version
    assert lake.versions(ID) == (third.version, fourth.version)


def test_the_current_snapshot_is_never_removed(lake: Lake) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    for current in (None, second.version):
        with pytest.raises(Conflict):
            lake.remove(ID, [first.version, second.version], current=current)
    assert lake.versions(ID) == (first.version, second.version)


def test_files_that_a_query_reads_stay_until_it_ends(lake: Lake) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    with lake.reading([file.path for file in first.files]):
        assert lake.remove(ID, [first.version]).waiting == (first.version,)
        assert sum(parquet.read_metadata(path).num_rows for path in lake.absolute([first.files[0].path])) == 10
        with pytest.raises(NotFound):  # nobody new begins to read it by its number
            lake.snapshot(ID, first.version)
    assert lake.remove(ID, [first.version]).waiting == ()
    assert files(lake) == names(second)
    with pytest.raises(NotFound), lake.reading([file.path for file in first.files]):
        pass


@pytest.mark.slow
def test_a_killed_reader_holds_nothing(lake: Lake) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    with another_process_reads(lake, first) as process:
        assert lake.remove(ID, [first.version]).waiting == (first.version,)
        assert names(first) <= files(lake)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert lake.remove(ID, [first.version]).waiting == ()
    assert files(lake) == names(second)
    assert [path.name for path in (lake.folder / "leases").iterdir()] == [".gate"]


def test_a_removal_waits_for_a_reader_if_asked_to(lake: Lake) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    ended = threading.Event()
    reading = contextlib.ExitStack()
    reading.enter_context(lake.reading([file.path for file in first.files]))

    def end() -> None:
        ended.set()
        reading.close()

    timer = threading.Timer(0.3, end)
    timer.start()
    assert lake.remove(ID, [first.version], wait=True).waiting == ()
    assert ended.is_set()
    timer.join()
    assert files(lake) == names(second)


def test_a_removal_that_was_interrupted_is_finished_by_the_next(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    from huitong.lake import tables

    with monkeypatch.context() as patched:
        patched.setattr(tables.Table, "_sweep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lake.remove(ID, [first.version])
    assert names(first) <= files(lake)  # the log says it is gone, its files are still there
    assert lake.versions(ID) == (second.version,)
    assert lake.remove(ID, [first.version]).waiting == ()
    assert files(lake) == names(second)


def test_a_version_that_was_never_taken_can_leave_and_the_table_stands_at_the_current_one(lake: Lake) -> None:
    current, stray = taken(lake, 10), taken(lake, 20)
    assert lake.remove(ID, [stray.version], current=current.version).waiting == ()
    table = DeltaTable(lake.absolute([current.files[0].path])[0].parent)
    assert pa.table(table.to_pyarrow_table()).num_rows == 10
    assert files(lake) == names(current)
    late = Lake(lake.folder, lambda: NOW + timedelta(days=2))
    assert late.strays(ID) == (current.version,)
    assert lake.strays(ID) == ()


def test_a_person_is_taken_out_of_every_snapshot_that_holds_the_person(lake: Lake) -> None:
    before = taken(lake, 10, start=100)
    holding, current = taken(lake, 10), taken(lake, 20)
    person = people(lake, current)[3]
    assert person in people(lake, holding)
    done = lake.erase(dataset(), ["person_id"], f" {person.lower()} ", snapshots=[before, holding, current])
    assert [(one.old, one.rows) for one in done] == [(holding.version, 1), (current.version, 1)]
    for one, old in zip(done, (holding, current), strict=True):
        assert people(lake, one.snapshot) == [name for name in people(lake, old) if name != person]
        assert one.snapshot.rows == old.rows - 1
        assert (one.snapshot.taken_at, one.snapshot.source_hash, one.snapshot.columns) == (old.taken_at, old.source_hash, old.columns)
    new = done[-1].snapshot
    assert lake.remove(ID, [one.old for one in done], current=new.version).waiting == ()
    assert lake.versions(ID) == (before.version, *(one.snapshot.version for one in done))
    assert files(lake) == names(before, *(one.snapshot for one in done))
    for path in (lake.folder / "tables").rglob("*.parquet"):
        assert person not in parquet.read_table(path)["person_id"].to_pylist()


def test_erasing_an_unknown_person_changes_nothing(lake: Lake) -> None:
    current = taken(lake, 20)
    assert lake.erase(dataset(), ["person_id"], "nobody", snapshots=[current]) == ()
    assert lake.versions(ID) == (current.version,)


def test_a_person_is_taken_out_of_the_pseudonyms_of_every_group(lake: Lake) -> None:
    tables = SideTables(lake.folder, lake=lake, master_key=lambda _number: bytes(32))
    first, second = taken(lake, 10), taken(lake, 20)
    for group in ("one", "two"):
        tables.build(group, dataset(), "person_id", first)
        tables.build(group, dataset(), "person_id", second)
    person = people(lake, first)[0]
    before = {group: lake.absolute(tables.files(group, ID, "person_id", second.version)) for group in ("one", "two")}
    assert tables.erase(person) == 2
    assert tables.erase(person) == 0
    for group in ("one", "two"):
        held = lake.absolute(tables.files(group, ID, "person_id", second.version))
        assert sum(parquet.read_metadata(path).num_rows for path in held) == 17  # 18 people, one gone
        assert all(person not in parquet.read_table(path)["identifier"].to_pylist() for path in held)
        assert not all(path.exists() for path in before[group])
    again = SideTables(lake.folder, lake=lake, master_key=lambda _number: bytes(32))
    again.build("one", dataset(), "person_id", taken(lake, 30, start=5))
    assert again.files("one", ID, "person_id", second.version)
