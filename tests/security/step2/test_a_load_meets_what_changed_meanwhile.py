"""Two things happen at once to one dataset: nothing is taken by a rule that no longer holds, nothing is doubled, nothing undone."""

import threading
from dataclasses import replace

import pytest
from tests.spec.sharing.world import CIVIL_OFFICER, CIVIL_REVIEWER, LOW_INCOME, MEDICAL, World
from tests.unit.intake.test_loading_actions import DATASET, OFFICER, STRANGER, Place, resident_id

from huitong.errors import Conflict, NotFound, Refused
from huitong.intake.load import LoadOptions
from huitong.intake.plans import RunState
from huitong.model.catalog import Dataset, Grade, Item, ItemType, LoadMode, Visibility
from huitong.model.text import BilingualText


def load_while(place: Place, entry: Dataset) -> None:
    """Load three rows; before they are taken, the entry is another."""

    def progress(_done: int, _whole: int | None) -> None:
        with place.stores.atomic():
            place.stores.catalog.put_dataset(entry, index={})

    rows = "".join(f"{resident_id(n)},{n},x\n" for n in range(3))
    place.file.write_text("resident,amount,helper\n" + rows, "utf-8")
    place.intake.load(DATASET.id, place.file, by=OFFICER, progress=progress)


@pytest.mark.parametrize(
    "entry",
    [
        replace(DATASET, items=DATASET.items[:2]),
        replace(DATASET, items=(*DATASET.items[:1], replace(DATASET.items[1], type=ItemType.TEXT), DATASET.items[2])),
        replace(DATASET, primary_key=()),
        replace(DATASET, provider=STRANGER.office),
    ],
    ids=["an item is gone", "an item has another type", "another key", "another office manages it"],
)
def test_rows_checked_by_one_entry_are_not_taken_under_another(place: Place, entry: Dataset) -> None:
    with pytest.raises(Conflict) as caught:
        load_while(place, entry)
    assert caught.value.reasons[0].code == "entry-changed-meanwhile"
    assert place.stores.catalog.current_snapshot(DATASET.id) is None
    assert place.stores.loads.runs(DATASET.id)[0].state is RunState.REFUSED


def test_new_words_about_a_dataset_do_not_keep_its_rows_out(place: Place) -> None:
    load_while(place, replace(DATASET, abstract=BilingualText("新的摘要", "new abstract")))
    assert place.stores.catalog.current_snapshot(DATASET.id) is not None


def test_who_managed_a_dataset_when_a_load_began_does_not_take_it_for_the_successor() -> None:
    world = World().publish_all()
    request = world.ask(LOW_INCOME, "person_id")
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)

    class Slow:
        """Side tables take a while; meanwhile the office hands over."""

        def build(self, *_about: object, **_named: object) -> None:
            with world.stores.atomic():
                world.stores.catalog.put_dataset(replace(LOW_INCOME, provider=MEDICAL), index={})

    sharing = replace(world.sharing, side_tables=Slow())
    with pytest.raises(Refused) as caught:
        sharing.take_snapshot(world.snapshot(LOW_INCOME, 0), by=CIVIL_OFFICER)
    assert caught.value.reasons[0].code == "dataset-of-other-office"
    assert world.stores.catalog.current_snapshot(LOW_INCOME.id) is None


@pytest.fixture
def without_key(place: Place) -> Place:
    with place.stores.atomic():
        place.stores.catalog.put_dataset(replace(DATASET, primary_key=()), index={})
    return place


def test_the_same_file_appended_twice_does_not_double_its_rows(without_key: Place) -> None:
    without_key.load(range(5))
    without_key.load(range(5, 8), mode=LoadMode.APPEND)
    for numbers in (range(5), range(5, 8)):
        with pytest.raises(Conflict) as caught:
            without_key.load(numbers, mode=LoadMode.APPEND)
        assert caught.value.reasons[0].code == "append-of-same-bytes"
    current = without_key.stores.catalog.current_snapshot(DATASET.id)
    assert current is not None
    assert (current.version, current.rows) == (1, 8)
    assert without_key.load(range(8, 9), mode=LoadMode.APPEND).rows == 9, "other rows can be appended at once"


def test_after_the_rows_were_replaced_the_file_can_be_appended_again(without_key: Place) -> None:
    without_key.load(range(5))
    without_key.load(range(5, 8))
    assert without_key.load(range(5), mode=LoadMode.APPEND).rows == 8


def test_with_a_key_it_is_the_key_that_says_so(place: Place) -> None:
    place.load(range(5))
    assert place.load(range(5), mode=LoadMode.APPEND, reject_limit=5).rows == 5


def open_suggestion(place: Place) -> None:
    with place.stores.atomic():
        items = (replace(DATASET.items[0], meaning=None), *DATASET.items[1:])
        place.stores.catalog.put_dataset(replace(DATASET, items=items), index={})
    place.load(range(60))


def test_a_decision_does_not_undo_what_a_colleague_publishes_at_the_same_moment(place: Place) -> None:
    """One confirms a suggestion while another hides the entry: in either order it ends hidden."""
    open_suggestion(place)
    hidden = replace(DATASET, visibility=Visibility.NAMED, sharing=DATASET.sharing.NOT_SHARED)
    reports, told = place.intake.reports, []

    class Slow:
        """The store, in whose way a colleague comes."""

        def suggestions(self, dataset_id: str) -> object:
            if not told:
                told.append(threading.Thread(target=place.intake.entries.publish, args=[hidden], kwargs={"by": OFFICER}))
                told[0].start()
                told[0].join(0.5)
            return reports.suggestions(dataset_id)

        def __getattr__(self, name: str) -> object:
            return getattr(reports, name)

    intake = replace(place.intake, reports=Slow())  # type: ignore[arg-type]
    intake.decide_suggestion(DATASET.id, "resident", "resident-id", confirm=True, by=OFFICER)
    told[0].join()
    entry = place.stores.catalog.dataset(DATASET.id)
    assert entry is not None
    assert (entry.visibility, entry.items[0].meaning) == (Visibility.NAMED, "resident-id")


def test_nothing_is_confirmed_about_an_item_that_is_gone(place: Place) -> None:
    open_suggestion(place)
    with place.stores.atomic():
        other = (Item("number", BilingualText("号", "number"), ItemType.TEXT, Grade.SENSITIVE), *DATASET.items[1:])
        place.stores.catalog.put_dataset(replace(DATASET, items=other, key=None, primary_key=()), index={})
    with pytest.raises(NotFound) as caught:
        place.intake.decide_suggestion(DATASET.id, "resident", "resident-id", confirm=True, by=OFFICER)
    assert caught.value.reasons[0].code == "suggestion-unknown"


def test_of_two_loads_at_once_one_is_told_to_wait(place: Place) -> None:
    place.file.write_text(f"resident,amount,helper\n{resident_id(1)},1,x\n", "utf-8")
    second: list[Conflict] = []

    def progress(_done: int, _whole: int | None) -> None:
        if not second:
            with pytest.raises(Conflict) as caught:
                place.intake.load(DATASET.id, place.file, by=OFFICER, options=LoadOptions(mode=LoadMode.APPEND))
            second.append(caught.value)

    assert place.intake.load(DATASET.id, place.file, by=OFFICER, progress=progress).snapshot.rows == 1
    assert second[0].reasons[0].code == "load-running"
