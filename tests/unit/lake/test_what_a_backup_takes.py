"""What a backup takes of a lake that goes on being written: exactly what the copied database knows, and nothing of it goes meanwhile."""

import shutil
from pathlib import Path

import pytest
from lake_under_test import NOW, dataset, rows

from huitong.backing.lake import LakeFiles
from huitong.errors import Unavailable
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Snapshot
from huitong.model.pseudonym import KeyEpoch

ID = "civil.person"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: NOW)


def taken(lake: Lake, count: int) -> Snapshot:
    return lake.write_snapshot(dataset=dataset(), source=rows(count).to_reader(), source_hash=str(count))


def known(*snapshots: Snapshot) -> dict[str, dict[int, list[str]]]:
    return {ID: {one.version: [file.path for file in one.files] for one in snapshots}}


def elsewhere(lake: Lake, files: tuple[str, ...], folder: Path) -> Lake:
    """The lake that a restore makes of these files."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lake.folder / file, folder / file)
    (folder / "locks").mkdir()
    return Lake(folder, lambda: NOW)


def test_a_snapshot_that_the_database_does_not_know_is_left_out(lake: Lake, tmp_path: Path) -> None:
    first = taken(lake, 10)
    backup = LakeFiles(lake.folder)
    with backup.held() as before:
        second = taken(lake, 20)
        with backup.chosen(known(first), before) as files:
            restored = elsewhere(lake, files, tmp_path / "restored")
    assert restored.versions(ID) == (first.version,)
    assert restored.snapshot(ID) == first
    assert not {file.path for file in second.files} & set(files)
    assert taken(restored, 30).version == second.version


def test_a_snapshot_that_is_removed_meanwhile_is_whole_in_the_backup(lake: Lake, tmp_path: Path) -> None:
    first, second = taken(lake, 10), taken(lake, 20)
    backup = LakeFiles(lake.folder)
    with backup.held() as before:
        assert lake.remove(ID, [first.version]).waiting == (first.version,)
        assert lake.versions(ID) == (second.version,)
        with backup.chosen(known(first, second), before) as files:
            restored = elsewhere(lake, files, tmp_path / "restored")
    assert restored.versions(ID) == (first.version, second.version)
    assert all((restored.folder / file.path).is_file() for one in (first, second) for file in one.files)
    assert lake.remove(ID, [first.version]).waiting == ()
    assert not any((lake.folder / file.path).exists() for file in first.files)


def test_pseudonyms_whose_epoch_ends_meanwhile_are_taken_as_the_database_knows_them(lake: Lake, tmp_path: Path) -> None:
    snapshot = taken(lake, 50)
    tables = SideTables(lake.folder, lake=lake, master_key=lambda _: bytes(32))
    tables.build("g:p", dataset(), "person_id", snapshot)
    held = tables.files("g:p", ID, "person_id", snapshot.version)
    backup = LakeFiles(lake.folder)
    with backup.held() as before:
        assert tables.retire(KeyEpoch("g:p")) is False  # its files are leased
        with backup.chosen(known(snapshot), before) as files:
            restored = elsewhere(lake, files, tmp_path / "restored")
    again = SideTables(restored.folder, lake=restored, master_key=lambda _: bytes(32))
    assert held and again.files("g:p", ID, "person_id", snapshot.version) == held
    assert all((restored.folder / file).is_file() for file in held)


def test_a_load_that_runs_leaves_no_trace_in_the_backup(lake: Lake) -> None:
    backup = LakeFiles(lake.folder)
    with backup.held() as before:
        taken(lake, 10)
        with backup.chosen({}, before) as files:
            assert files == ()


def test_a_file_that_the_database_knows_and_the_lake_lacks_is_no_backup(lake: Lake) -> None:
    first = taken(lake, 10)
    (lake.folder / first.files[0].path).unlink()
    backup = LakeFiles(lake.folder)
    with backup.held() as before, pytest.raises(Unavailable) as refused, backup.chosen(known(first), before):
        pass
    assert refused.value.reasons[0].code == "backup-lake-incomplete"
    with backup.held() as before, pytest.raises(Unavailable), backup.chosen({"civil.other": {0: []}}, before):
        pass
