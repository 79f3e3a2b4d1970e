"""How many rows have no value in an item stands at the end of each file: nobody reads the rows for it."""

from pathlib import Path

from lake_under_test import NOW, dataset, rows

from huitong.intake.quality import measures
from huitong.lake.snapshots import Lake


def test_the_files_of_a_snapshot_tell_how_many_rows_have_no_value(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path / "lake", lambda: NOW), rows(1_000)
    snapshot = lake.write_snapshot(dataset=dataset(), source=table.to_reader(max_chunksize=100), source_hash="0" * 64)
    told = lake.missing(snapshot)
    assert told == {name: table[name].null_count for name in table.column_names}
    with lake.looking([file.path for file in snapshot.files]) as connection:
        scan = lake.scan(snapshot)
        counted = measures(connection, scan, dataset(), distinct=False, key=False)
        assert measures(connection, scan, dataset(), distinct=False, key=False, missing=told) == counted
