"""An office takes a person out of what it manages: out of its own datasets and the tokens made of them, and of nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.unit.intake.test_loading_actions import DATASET, OFFICER, STRANGER, Place, resident_id

from huitong.errors import Conflict
from huitong.intake.load import LoadOptions
from huitong.lake.subject_lists import SubjectLists
from huitong.lake.tables import SECONDS
from huitong.model.catalog import Dataset, Snapshot
from huitong.model.pseudonym import KeyEpoch

OTHERS = replace(DATASET, id="medical.insured", provider=STRANGER.office, collector=STRANGER.office, items=DATASET.items[:1])


def register_of_others(place: Place, numbers: range) -> Snapshot:
    with place.stores.atomic():
        place.stores.catalog.put_dataset(OTHERS, index={})
    source = pa.table({"resident": [resident_id(n) for n in numbers]})
    snapshot = place.lake.write_snapshot(dataset=OTHERS, source=source.to_reader(), source_hash="0" * 64)
    with place.stores.atomic():
        place.stores.catalog.add_snapshot(snapshot)
    return snapshot


def with_token(place: Place, group: str, entry: Dataset, snapshot: Snapshot) -> set[str]:
    """Who has a token in the group."""
    files = place.lake.absolute(place.side_tables.files(group, entry.id, "resident", snapshot.version))
    return {one for file in files for one in parquet.read_table(file)["identifier"].to_pylist()}


def erase(place: Place, number: int) -> int:
    erasure = place.intake.erase_person(
        datasets=[DATASET.id], identifier=resident_id(number), legal_basis="PIPL art. 47", words="court order 7", by=OFFICER
    )
    return erasure.pseudonyms


def test_the_tokens_of_another_offices_dataset_stay_and_nothing_tells_of_them(place: Place) -> None:
    place.load(range(3))
    theirs = register_of_others(place, range(10, 13))
    place.side_tables.build("court:case", OTHERS, "resident", theirs)
    assert erase(place, 11) == erase(place, 99) == 0, "whether others hold a person is not told"
    assert resident_id(11) in with_token(place, "court:case", OTHERS, theirs)


def test_in_a_shared_group_a_token_goes_when_nobody_holds_the_person_any_more(place: Place) -> None:
    own = place.load(range(5))
    theirs = register_of_others(place, range(3, 8))
    for entry, snapshot in ((DATASET, own), (OTHERS, theirs)):
        place.side_tables.build("court:case", entry, "resident", snapshot)
    erase(place, 1)
    erase(place, 4)
    found = with_token(place, "court:case", OTHERS, theirs)
    assert resident_id(1) not in found
    assert resident_id(4) in found, "the other register still holds this person"


def test_a_build_that_does_not_end_is_told_and_the_erasure_can_be_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place.load(range(3))
    place.side_tables.build("court:case", DATASET, "resident", own)
    monkeypatch.setitem(SECONDS, "side_table_waits", 0.1)  # type: ignore[attr-defined]
    with place.side_tables._table(KeyEpoch("court:case")).writing(wait=0):
        with pytest.raises(Conflict) as caught:
            erase(place, 1)
        assert caught.value.reasons[0].code == "pseudonym-build-running"
    assert erase(place, 1) == 1


SPELLINGS = {
    "as it is": str,
    "blanks and a tab around": "\t {} \u3000".format,
    "in full width": lambda number: "".join(chr(ord(sign) + 0xFEE0) for sign in number),
    "in groups": lambda number: f"{number[:6]} {number[6:14]}-{number[14:]}",
    "with a sign that nobody sees": "{}\u200b".format,
    "the old form of 15 digits": lambda number: number[:6] + number[8:17],
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_person_is_found_however_the_number_was_typed(place: Place, spelling: Callable[[str], str]) -> None:
    """Codes stay as they came: so an erasure looks at what they say. In rows, tokens and reject tables alike."""
    typed, other = spelling(resident_id(1)), resident_id(2)
    place.file.write_text(f'resident,amount,helper\n"{typed}",1,x\n{other},2,x\n"{typed}",many,x\n', "utf-8")
    own = place.intake.load(DATASET.id, place.file, by=OFFICER, options=LoadOptions(reject_limit=1)).snapshot
    place.side_tables.build("court:case", DATASET, "resident", own)
    assert erase(place, 1) == 1
    current = place.stores.catalog.current_snapshot(DATASET.id)
    assert current is not None and place.residents(current.version) == {other}
    assert place.intake.rejects(DATASET.id, current.version, by=OFFICER) == ((), 0)


def test_lists_of_subjects_over_the_offices_own_datasets_lose_the_person_and_no_others(place: Place) -> None:
    place.load(range(3))
    lists = SubjectLists(place.lake.folder, lake=place.lake, key=b"k" * 32, most=10, characters=40)
    place.intake = replace(place.intake, subject_lists=lists)
    mine = lists.keep([resident_id(n) for n in (1, 2)], dataset=DATASET.id, item="resident")
    theirs = lists.keep([resident_id(1)], dataset=OTHERS.id, item="resident")
    erase(place, 1)

    def listed(subjects: str) -> list[str]:
        (file,) = place.lake.absolute(lists.files(subjects))
        return parquet.read_table(file)["identifier"].to_pylist()

    assert listed(mine.subjects) == [resident_id(2)]
    assert listed(theirs.subjects) == [resident_id(1)]
