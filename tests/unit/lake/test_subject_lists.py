"""Lists of subjects in the lake: one file a list, under a name that tells nothing, whole or not at all, gone when nobody needs it."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from lake_under_test import NOW

from huitong.errors import InputInvalid
from huitong.lake import subject_lists
from huitong.lake.snapshots import Lake
from huitong.lake.subject_lists import SubjectLists
from huitong.lake.tables import SECONDS
from huitong.model.policy import SubjectRows

ADULT = "990102198003070017"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, lambda: NOW)


@pytest.fixture
def lists(lake: Lake) -> SubjectLists:
    return SubjectLists(lake.folder, lake=lake, key=b"k" * 32, most=1000, characters=40)


def keep(lists: SubjectLists, identifiers: Iterable[str], dataset: str = "civil.person") -> SubjectRows:
    return lists.keep(identifiers, dataset=dataset, item="pid")


def held(lake: Lake, lists: SubjectLists, kept: SubjectRows) -> list[str]:
    (file,) = lists.files(kept.subjects)
    return parquet.read_table(lake.folder / file).column("identifier").to_pylist()


def test_a_list_is_kept_without_blanks_and_repetitions(lake: Lake, lists: SubjectLists) -> None:
    kept = keep(lists, ["b", " a ", "b\n", "\u3000c"])
    assert held(lake, lists, kept) == ["a", "b", "c"]
    assert (kept.item, kept.count, kept.subjects) == ("pid", 3, kept.digest[:32])


def test_equal_lists_are_one_and_others_are_not(lake: Lake, lists: SubjectLists) -> None:
    first = keep(lists, ["a", "b"])
    assert keep(lists, ["b", "a", " a"]) == first
    others = [keep(lists, ["ab"]), keep(lists, ["a", "b", "c"]), keep(lists, ["a", "b"], dataset="tax.company")]
    assert len({first.digest, *(one.digest for one in others)}) == 4
    assert len(list((lake.folder / "subjects").glob("*.parquet"))) == 4


def test_nobody_without_the_key_finds_out_who_stands_in_a_list(lake: Lake, lists: SubjectLists) -> None:
    """Neither its name nor its digest is what hashing the identifiers gives, and another instance names it otherwise."""
    kept = keep(lists, [ADULT])
    for guess in (ADULT, f"pid\n{ADULT}", f"civil.person\npid\n{ADULT}", f"{ADULT}\n"):
        assert hashlib.sha256(guess.encode()).hexdigest() != kept.digest
    other = SubjectLists(lake.folder / "other", lake=lake, key=b"o" * 32, most=10, characters=40)
    assert keep(other, [ADULT]).digest != kept.digest


def test_only_the_account_of_the_platform_comes_near_lists(lake: Lake, lists: SubjectLists) -> None:
    """The folder keeps everybody else out; the engine, which is nobody in its sandbox, is handed an open file."""
    old = os.umask(0)
    try:
        kept = keep(lists, ["a"])
    finally:
        os.umask(old)
    (file,) = lists.files(kept.subjects)
    assert stat.S_IMODE((lake.folder / file).stat().st_mode) == 0o644
    assert stat.S_IMODE((lake.folder / "subjects").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("identifiers", "code"),
    [
        ([], "subjects-empty"),
        (["a", "  "], "subjects-identifier-invalid"),
        (["a", "b" * 41], "subjects-identifier-invalid"),
        (["a", "b\0"], "subjects-identifier-invalid"),
        (["a", "\ud800"], "subjects-identifier-invalid"),
        ([str(n) for n in range(1001)], "subjects-too-many"),
    ],
)
def test_what_cannot_be_kept_is_refused_without_repeating_it(lake: Lake, lists: SubjectLists, identifiers: list[str], code: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        keep(lists, identifiers)
    (reason,) = caught.value.reasons
    assert reason.code == code
    if code == "subjects-identifier-invalid":
        assert reason.parameters == {"position": 2, "limit": 40}
    assert list((lake.folder / "subjects").glob("*")) in ([], [lake.folder / "subjects" / ".gate"])


def test_a_part_of_a_list_is_contained_in_it(lists: SubjectLists) -> None:
    whole, part, other = keep(lists, ["a", "b", "c"]), keep(lists, ["c", "a"]), keep(lists, ["a", "d"])
    assert lists.contained(part, whole)
    assert lists.contained(whole, whole)
    assert not lists.contained(whole, part)
    assert not lists.contained(other, whole)
    elsewhere = keep(lists, ["a"], dataset="tax.company")
    assert not lists.contained(elsewhere, whole)
    gone = SubjectRows("pid", "0" * 32, "0" * 64, 1)
    assert not lists.contained(gone, whole)
    assert not lists.contained(part, gone)


@pytest.mark.parametrize("name", ["0" * 32, "../names/civil.person", "", "0" * 31 + "/", "A" * 32, ".gate"])
def test_a_name_that_is_none_finds_no_file(lists: SubjectLists, name: str) -> None:
    keep(lists, ["a"])
    assert lists.files(name) == ()


def grow_old(lake: Lake, seconds: float = SECONDS["subject_list_stays"]) -> None:
    for path in (lake.folder / "subjects").glob("*.parquet"):
        os.utime(path, times=(NOW.timestamp() - seconds,) * 2)


def test_lists_that_nobody_needs_go_when_they_are_old(lake: Lake, lists: SubjectLists) -> None:
    needed, gone, asked_again = keep(lists, ["a"]), keep(lists, ["b"]), keep(lists, ["c"])
    grow_old(lake, SECONDS["subject_list_stays"] - 1)
    assert lists.retain([needed.subjects]) == 0
    grow_old(lake)
    assert keep(lists, ["c"]) == asked_again
    assert lists.retain([needed.subjects]) == 1
    assert lists.files(gone.subjects) == ()
    assert lists.files(needed.subjects) and lists.files(asked_again.subjects)


def test_a_list_that_a_query_reads_stays(lake: Lake, lists: SubjectLists) -> None:
    kept = keep(lists, ["a"])
    grow_old(lake)
    with lake.reading(lists.files(kept.subjects)):
        assert lists.retain([]) == 0
        assert held(lake, lists, kept) == ["a"]
    assert lists.retain([]) == 1


def test_an_erased_person_leaves_every_list_over_these_datasets_in_any_spelling(lake: Lake, lists: SubjectLists) -> None:
    typed = ["９９０１０２１９８００３０７００１７", "990102-19800307-0017", ADULT]
    kept = keep(lists, [*typed, "x" + ADULT, "990102198505052341"])
    other, elsewhere = keep(lists, ["b"]), keep(lists, [ADULT], dataset="tax.company")
    assert lists.erase(f" {ADULT} ", of=["civil.person"]) == 1
    assert held(lake, lists, kept) == ["990102198505052341", "x" + ADULT]
    assert held(lake, lists, other) == ["b"]
    assert held(lake, lists, elsewhere) == [ADULT], "of another office's dataset"
    assert lists.erase(ADULT) == 1
    assert held(lake, lists, elsewhere) == []


def test_a_list_of_an_erased_person_does_not_come_back_under_its_name(lake: Lake, lists: SubjectLists) -> None:
    """A grant that goes by the list is not changed by somebody keeping the same list again."""
    kept = keep(lists, [ADULT, "b"])
    lists.erase(ADULT)
    again = keep(lists, [ADULT, "b"])
    assert again.subjects != kept.subjects
    assert held(lake, lists, kept) == ["b"]
    assert held(lake, lists, again) == [ADULT, "b"]
    assert keep(lists, ["b", ADULT]) == again


def test_a_broken_write_leaves_nothing_and_the_next_one_tidies_up(
    lake: Lake, lists: SubjectLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(lists, ["a"])
    folder = lake.folder / "subjects"
    (folder / ".left.new").write_bytes(b"of a killed process")
    monkeypatch.setattr(subject_lists, "make_last", lambda _path: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        keep(lists, ["b"])
    monkeypatch.undo()
    assert len(list(folder.glob("*.parquet"))) == 1
    keep(lists, ["b"])
    assert sorted(path.suffix for path in folder.iterdir() if path.name != ".gate") == [".parquet", ".parquet"]


def test_many_keepers_at_once_get_one_list(lists: SubjectLists) -> None:
    found: list[SubjectRows] = []
    threads = [threading.Thread(target=lambda: found.append(keep(lists, ["a", "b"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8
    assert len(set(found)) == 1
