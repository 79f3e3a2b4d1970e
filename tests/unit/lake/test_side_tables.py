"""Side tables: every identifier of a snapshot has its token, members of a group share it, nobody else does."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from lake_under_test import NOW, dataset, rows

from huitong.errors import Conflict, InputInvalid
from huitong.lake import side_tables
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.masks import pseudonym
from huitong.model.pseudonym import KeyEpoch

KEY = bytes(range(32))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, lambda: NOW)


@pytest.fixture
def tables(lake: Lake) -> SideTables:
    return SideTables(lake.folder, lake=lake, master_key=lambda _number: KEY)


def held(lake: Lake, tables: SideTables, group: str, version: int, name: str = "civil.person") -> dict[str, int]:
    files = tables.files(group, name, "person_id", version)
    pairs = [pair for path in lake.absolute(files) for pair in parquet.read_table(path).to_pylist()]
    assert len({pair["identifier"] for pair in pairs}) == len(pairs)
    return {pair["identifier"]: pair["token"] for pair in pairs}


def test_every_identifier_gets_the_token_of_its_group(lake: Lake, tables: SideTables) -> None:
    source = rows(500)
    snapshot = lake.write_snapshot(dataset=dataset(), source=pa.concat_tables([source, source]).to_reader(), source_hash="a")
    tables.build("medical:relief", dataset(), "person_id", snapshot)
    key = pseudonym.group_key(KEY, "medical:relief", 1)
    expected = {value: pseudonym.token(key, "medical:relief", 1, value) for value in source["person_id"].to_pylist() if value}
    assert held(lake, tables, "medical:relief", 0) == expected


def test_a_new_snapshot_adds_only_new_identifiers(lake: Lake, tables: SideTables) -> None:
    first = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", first)
    before = tables.files("g:p", "civil.person", "person_id", 0)
    second = lake.write_snapshot(dataset=dataset(), source=rows(150).to_reader(), source_hash="b")
    assert tables.files("g:p", "civil.person", "person_id", 1) == ()
    tables.build("g:p", dataset(), "person_id", second)
    after = tables.files("g:p", "civil.person", "person_id", 1)
    assert set(before) < set(after)
    new = [path for path in after if path not in before]
    assert sum(parquet.read_metadata(path).num_rows for path in lake.absolute(new)) == 45
    assert len(held(lake, tables, "g:p", 1)) == 135


def test_building_again_changes_nothing(lake: Lake, tables: SideTables) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", snapshot)
    once = tables.files("g:p", "civil.person", "person_id", 0)
    tables.build("g:p", dataset(), "person_id", snapshot)
    assert tables.files("g:p", "civil.person", "person_id", 0) == once


def test_a_snapshot_without_new_identifiers_is_held_too(lake: Lake, tables: SideTables) -> None:
    for version, count in enumerate((100, 50, 0)):
        snapshot = lake.write_snapshot(dataset=dataset(), source=rows(count).to_reader(), source_hash=f"{version}")
        tables.build("g:p", dataset(), "person_id", snapshot)
        assert len(tables.files("g:p", "civil.person", "person_id", version)) == 1


def test_members_of_a_group_share_tokens_and_other_groups_do_not(lake: Lake, tables: SideTables) -> None:
    one = lake.write_snapshot(dataset=dataset("civil.person"), source=rows(50).to_reader(), source_hash="a")
    two = lake.write_snapshot(dataset=dataset("health.visit"), source=rows(50, start=25).to_reader(), source_hash="b")
    tables.build("g:p", dataset("civil.person"), "person_id", one)
    tables.build("g:p", dataset("health.visit"), "person_id", two)
    tables.build("h:q", dataset("health.visit"), "person_id", two)
    shared, other = held(lake, tables, "g:p", 0, "health.visit"), held(lake, tables, "h:q", 0, "health.visit")
    assert held(lake, tables, "g:p", 0).items() <= shared.items()
    assert not set(other.values()) & set(shared.values())
    assert tables.files("h:q", "civil.person", "person_id", 0) == ()


def test_the_order_of_a_file_is_that_of_the_tokens_and_tells_nothing_of_identifiers(lake: Lake, tables: SideTables) -> None:
    for version, count in enumerate((3_000, 4_000)):
        snapshot = lake.write_snapshot(dataset=dataset(), source=rows(count).to_reader(), source_hash=f"{version}")
        tables.build("g:p", dataset(), "person_id", snapshot)
    files = lake.absolute(tables.files("g:p", "civil.person", "person_id", 1))
    assert sorted(parquet.read_metadata(path).num_rows for path in files) == [900, 2_700]
    for path in files:
        table = parquet.read_table(path)
        assert table.schema.types == [pa.string(), pa.int64()]
        assert table["token"].to_pylist() == sorted(table["token"].to_pylist())
        identifiers = table["identifier"].to_pylist()
        rising = sum(one < following for one, following in itertools.pairwise(identifiers))
        assert 0.4 < rising / len(identifiers) < 0.6  # as in a shuffled list
    assert not list(lake.folder.rglob("*.unsorted"))


def test_a_file_of_many_row_groups_has_one_order(lake: Lake, tables: SideTables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_tables, "ROW_GROUP_ROWS", 2_048)
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(10_000).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", snapshot)
    (path,) = lake.absolute(tables.files("g:p", "civil.person", "person_id", 0))
    assert parquet.read_metadata(path).num_row_groups > 1
    found = parquet.read_table(path)["token"].to_pylist()
    assert len(found) == 9_000
    assert found == sorted(found)


def test_two_identifiers_with_one_token_keep_nothing(lake: Lake, tables: SideTables, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(20).to_reader(), source_hash="a")
    monkeypatch.setattr(side_tables, "tokens", lambda _key, _group, _epoch, values: pa.array([7] * len(values), pa.int64()))
    with pytest.raises(Conflict):
        tables.build("g:p", dataset(), "person_id", snapshot)
    assert tables.files("g:p", "civil.person", "person_id", 0) == ()


def test_only_text_becomes_a_pseudonym(lake: Lake, tables: SideTables) -> None:
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(20).to_reader(), source_hash="a")
    for item in ("age", "nothing"):
        with pytest.raises(InputInvalid):
            tables.build("g:p", dataset(), item, snapshot)


class Noted:
    """Epochs: those that a test notes."""

    def __init__(self) -> None:
        self.in_force: dict[str, KeyEpoch] = {}

    def of_group(self, linkage_group: str) -> KeyEpoch | None:
        return self.in_force.get(linkage_group)


def test_another_epoch_or_another_key_gives_other_tokens_and_the_old_serve_until_it_is_in_force(lake: Lake) -> None:
    noted = Noted()
    tables = SideTables(lake.folder, lake=lake, master_key=lambda number: bytes([number]) * 32, epochs=noted)
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", snapshot)
    first = held(lake, tables, "g:p", 0)
    found = [first]
    for epoch in (KeyEpoch("g:p", 2), KeyEpoch("g:p", 3, key=2), KeyEpoch("g:p", 3, key=3)):
        tables.build("g:p", dataset(), "person_id", snapshot, epoch=epoch)
        assert held(lake, tables, "g:p", 0) == found[-1]
        noted.in_force["g:p"] = epoch
        found.append(held(lake, tables, "g:p", 0))
        assert found[-1].keys() == first.keys()
    tokens = [token for one in found for token in one.values()]
    assert len(set(tokens)) == len(tokens)


def test_the_table_of_an_ended_epoch_goes_when_nobody_reads_it(lake: Lake) -> None:
    noted = Noted()
    tables = SideTables(lake.folder, lake=lake, master_key=lambda _number: KEY, epochs=noted)
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", snapshot)
    old = tables.files("g:p", "civil.person", "person_id", 0)
    noted.in_force["g:p"] = KeyEpoch("g:p", 2)
    tables.build("g:p", dataset(), "person_id", snapshot)
    with lake.reading(old):
        assert tables.retire(KeyEpoch("g:p")) is False
        assert all(path.exists() for path in lake.absolute(old))
    assert tables.retire(KeyEpoch("g:p")) is True
    assert not any(path.exists() for path in lake.absolute(old))
    assert tables.retire(KeyEpoch("g:p")) is True
    assert tables.retire(KeyEpoch("h:q")) is True, "one that was never built"
    assert len(held(lake, tables, "g:p", 0)) == 90


def test_an_ended_epoch_that_is_built_again_is_whole(lake: Lake, tables: SideTables) -> None:
    """A retired table holds nothing, and does not say that it holds something."""
    snapshot = lake.write_snapshot(dataset=dataset(), source=rows(100).to_reader(), source_hash="a")
    tables.build("g:p", dataset(), "person_id", snapshot)
    before = held(lake, tables, "g:p", 0)
    tables.retire(KeyEpoch("g:p"))
    assert tables.files("g:p", "civil.person", "person_id", 0) == ()
    tables.build("g:p", dataset(), "person_id", snapshot)
    assert held(lake, tables, "g:p", 0) == before
