"""Search on a real database finds exactly what the plain store in memory finds: hits, order, total and facets, for every viewer,
whatever was put in, replaced, folded and merged before."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connections
from tests.portal.examples import CITY, CIVIL, COUNTY, DIVISIONS, HOUSEHOLDS, MEDICAL, PROVINCE, Example, credit_code

from huitong.catalog.ports import Facet
from huitong.catalog.search import index_of, search
from huitong.model.catalog import Dataset, Grade, Openness, Sharing, UpdateCycle, Visibility
from huitong.model.party import DivisionLevel, Office
from huitong.model.text import BilingualText
from huitong.portal.catalog import search_index
from huitong.portal.catalog.models import SearchEntry, SearchPosting, SearchSegment
from huitong.portal.stores import Stores
from huitong.testing import MemoryStores

TOKENS = ["a", "b", "c", "低保", "100%", "a_b", "A", "𠮷", "rare"]
EVERY_FACET = list(Facet)


def office(number: int, division: str, level: DivisionLevel) -> Office:
    return replace(CIVIL, id=f"office-{number}", division=division, level=level, credit_code=credit_code(100 + number))


OFFICES = [
    office(1, PROVINCE, DivisionLevel.PROVINCE),
    office(2, CITY, DivisionLevel.CITY),
    office(3, COUNTY, DivisionLevel.COUNTY),
    office(4, COUNTY, DivisionLevel.COUNTY),
]
VIEWERS = [None, "", "unknown", *(one.id for one in OFFICES)]


def drawn(chance: random.Random, number: int) -> tuple[Dataset, dict[str, int]]:
    """Some entry under that number, and what it is found by."""
    visibility = chance.choice([*Visibility, Visibility.EVERYONE])
    sharing = chance.choice(list(Sharing))
    dataset = replace(
        HOUSEHOLDS,
        id=f"d.{chance.choice('xyz')}{number}" if number % 2 else f"d{number}",
        classification=f"{chance.randint(1, 3)}-01-0101/{number}",
        provider=chance.choice(OFFICES).id,
        collector=chance.choice(OFFICES).id,
        sharing=sharing,
        openness=chance.choice(list(Openness)),
        update_cycle=chance.choice(list(UpdateCycle)),
        items=tuple(
            replace(item, grade=Grade(chance.randint(1, 6)), meaning=chance.choice([None, "phone", "address", "person-name"]))
            for item in HOUSEHOLDS.items
        ),
        visibility=visibility,
        known_to=tuple(one.id for one in chance.sample(OFFICES, 2)) if visibility is Visibility.NAMED else (),
    )
    weights = [1, 3, 16, 255, 256, 100_000] if chance.random() < 0.05 else [1, 3, 16]
    return dataset, {token: chance.choice(weights) for token in TOKENS[:-1] if chance.random() < 0.6}


def question(chance: random.Random) -> dict:
    """Some search."""
    values = {
        Facet.OFFICE: ["office-1", "office-3", "nobody"],
        Facet.LEVEL: ["province", "county", "village"],
        Facet.DIVISION: [PROVINCE, CITY, COUNTY, "529999000000"],
        Facet.FAMILY: ["1", "3", "9"],
        Facet.GRADE: ["1", "4", "6"],
        Facet.SHARING: [value.value for value in Sharing],
        Facet.OPENNESS: ["open"],
        Facet.CYCLE: ["daily", "once"],
        Facet.MEANING: ["phone", "address", "none-such"],
    }
    narrowed = chance.sample(EVERY_FACET, chance.choice([0, 0, 1, 2, 3]))
    return {
        "tokens": chance.choices(TOKENS, k=chance.choice([0, 1, 1, 2, 3])),
        "viewer": chance.choice(VIEWERS),
        "narrowing": {facet: chance.sample(values[facet], chance.randint(0, min(2, len(values[facet])))) for facet in narrowed},
        "facets": chance.sample(EVERY_FACET, chance.choice([0, 2, 9])),
        "limit": chance.choice([0, 1, 5, 20, 1000]),
        "offset": chance.choice([0, 0, 3, 50, 5000]),
    }


@pytest.fixture
def both(stores: Stores) -> tuple[Stores, MemoryStores]:
    memory = MemoryStores()
    for one in (stores, memory):
        with one.atomic():
            one.divisions.put_divisions(DIVISIONS)
            for each in OFFICES:
                one.parties.put_office(each)
    return stores, memory


def same(both: tuple[Stores, MemoryStores], chance: random.Random, times: int) -> None:
    """Ask both the same questions."""
    for _ in range(times):
        asked = question(chance)
        really, plainly = (one.catalog.search(**asked) for one in both)
        assert really == plainly, asked
        order = [[(facet, list(counts.items())) for facet, counts in page.facets.items()] for page in (really, plainly)]
        assert order[0] == order[1], asked


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that folding and merging happen with a few dozen entries."""
    for name, value in {"FRESH_AT_MOST": 16, "SEGMENT_AT_MOST": 64, "SMALL_SEGMENT": 24, "SMALL_SEGMENTS_AT_MOST": 3}.items():
        monkeypatch.setattr(search_index, name, value)
    monkeypatch.setattr(search_index, "COMMON_TOKEN", 8)
    monkeypatch.setattr(search_index, "TOKENS_KEPT", 3)


@pytest.mark.slow
@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("seed", range(4))
def test_search_finds_what_the_plain_store_finds(both: tuple[Stores, MemoryStores], seed: int) -> None:
    chance = random.Random(seed)
    numbers: dict[int, str] = {}
    for _ in range(40):
        batch = []
        for _ in range(chance.choice([1, 1, 3, 20])):
            number = chance.randint(1, 120)
            dataset, index = drawn(chance, number)
            batch.append((replace(dataset, id=numbers.setdefault(number, dataset.id)), index))
        one_of_each = list({dataset.id: (dataset, index) for dataset, index in batch}.values())
        with both[0].atomic():
            both[0].catalog.put_datasets(one_of_each)
        for dataset, index in one_of_each:
            both[1].catalog.put_dataset(dataset, index=index)
        if chance.random() < 0.1:
            moved = replace(OFFICES[1], division=chance.choice([PROVINCE, CITY, COUNTY]))
            for one in both:
                with one.atomic():
                    one.parties.put_office(moved)
        if chance.random() < 0.2:
            both[0].catalog.fold_search_index(at_least=chance.choice([1, 5]))
        if chance.random() < 0.2:
            search_index.forget()
        same(both, chance, 12)
    assert SearchSegment.objects.using(both[0].using).count() < 12, "small segments are merged"


def test_an_empty_catalogue_answers_with_nothing(stores: Stores) -> None:
    for tokens in ([], ["a"]):
        for narrowing in ({}, {Facet.OFFICE: ["office-1"], Facet.MEANING: ["phone"]}):
            page = stores.catalog.search(tokens, viewer="office-1", narrowing=narrowing, facets=EVERY_FACET)
            assert (page.hits, page.total, page.facets) == ((), 0, {facet: {} for facet in EVERY_FACET})
    assert stores.tidy() == 0


def test_a_fold_changes_no_answer_and_a_replaced_entry_loses_its_old_words(both: tuple[Stores, MemoryStores]) -> None:
    stores, _ = both
    first, second = (replace(HOUSEHOLDS, id=name, provider="office-1", collector="office-1") for name in ("x", "y"))
    with stores.atomic():
        stores.catalog.put_datasets([(first, {"a": 5, "b": 1}), (second, {"a": 3})])
    assert stores.catalog.search(["a"], viewer=None).hits == (first, second)
    assert stores.catalog.fold_search_index() == 0, "two entries are not worth it"
    assert stores.catalog.fold_search_index(at_least=1) == 2
    assert stores.catalog.search(["a"], viewer=None).hits == (first, second)
    with stores.atomic():
        stores.catalog.put_dataset(first, index={"a": 1})
    assert stores.catalog.search(["a"], viewer=None).hits == (second, first)
    assert stores.catalog.search(["b"], viewer=None).total == 0
    assert stores.catalog.fold_search_index(at_least=1) == 1
    assert stores.catalog.search(["a"], viewer=None).hits == (second, first)
    assert stores.catalog.search(["b"], viewer=None).total == 0
    assert not SearchEntry.objects.using(stores.using).filter(fresh=True).exists()
    assert SearchPosting.objects.using(stores.using).filter(token=b"b").count() <= 1


def test_what_the_viewer_may_not_know_of_shows_in_nothing(both: tuple[Stores, MemoryStores]) -> None:
    stores, _ = both
    secret = replace(
        HOUSEHOLDS,
        id="secret",
        classification="2-01-0101/000009",
        provider="office-3",
        collector="office-4",
        update_cycle=UpdateCycle.REAL_TIME,
        visibility=Visibility.NAMED,
        known_to=("office-2",),
    )
    with stores.atomic():
        stores.catalog.put_dataset(secret, index={"secret": 1})
    for viewer in ("office-2", "office-3", "office-4"):
        page = stores.catalog.search(["secret"], viewer=viewer, facets=EVERY_FACET)
        assert (page.hits, page.total, page.facets[Facet.CYCLE]) == ((secret,), 1, {"real-time": 1})
        assert page.facets[Facet.DIVISION] == {PROVINCE: 1, CITY: 1, COUNTY: 1}
    for viewer in (None, "", "office-1", CIVIL.id):
        for tokens in (["secret"], []):
            page = stores.catalog.search(tokens, viewer=viewer, facets=EVERY_FACET)
            assert (page.hits, page.total, dict(page.facets)) == ((), 0, {facet: {} for facet in EVERY_FACET})
        narrowed = stores.catalog.search([], viewer=viewer, narrowing={Facet.OFFICE: ["office-3"]}, facets=[Facet.OFFICE])
        assert (narrowed.total, narrowed.facets) == (0, {Facet.OFFICE: {}})


def test_the_count_of_a_value_is_the_number_of_hits_that_narrowing_by_it_leaves(both: tuple[Stores, MemoryStores]) -> None:
    stores, _ = both
    chance = random.Random(7)
    with stores.atomic():
        stores.catalog.put_datasets([drawn(chance, number) for number in range(60)])
    everything = stores.catalog.search(["a"], viewer="office-1", facets=EVERY_FACET)
    for facet, counts in everything.facets.items():
        assert list(counts.values()) == sorted(counts.values(), reverse=True)
        for value, count in counts.items():
            narrowed = stores.catalog.search(["a"], viewer="office-1", narrowing={facet: [value]}, facets=[facet])
            assert narrowed.total == count > 0, (facet, value)
            assert narrowed.facets[facet] == counts, "a facet ignores the narrowing by itself"


def test_a_transaction_that_is_undone_leaves_no_trace_in_what_a_process_holds(example: Example) -> None:
    catalog = example.stores.catalog
    hidden = replace(HOUSEHOLDS, visibility=Visibility.NAMED)
    assert catalog.search(["低保"], viewer=MEDICAL.id).total == 1
    with pytest.raises(RuntimeError), example.stores.atomic():
        catalog.put_dataset(hidden, index={"低保": 8})
        assert catalog.search(["低保"], viewer=MEDICAL.id).total == 0, "one's own changes are seen"
        raise RuntimeError
    assert catalog.search(["低保"], viewer=MEDICAL.id).total == 1
    with example.stores.atomic():  # the same number of edition, with another content
        catalog.put_dataset(replace(HOUSEHOLDS, title=BilingualText(zh="新", en="New")), index={"新": 1})
    assert catalog.search(["低保"], viewer=MEDICAL.id).total == 0
    assert catalog.search(["新"], viewer=MEDICAL.id).total == 1


def test_a_change_of_another_process_is_seen_at_the_next_search(example: Example) -> None:
    catalog = example.stores.catalog
    assert catalog.search(["新"], viewer=None).total == 0

    def elsewhere(act: Callable[[], None]) -> None:
        thread = threading.Thread(target=lambda: (act(), connections[example.stores.using].close()))
        thread.start()
        thread.join(30)

    def publish() -> None:
        stores = Stores(example.stores.using)
        with stores.atomic():
            stores.catalog.put_dataset(replace(HOUSEHOLDS, id="civil.new"), index={"新": 1})

    elsewhere(publish)
    assert [hit.id for hit in catalog.search(["新"], viewer=None).hits] == ["civil.new"]
    elsewhere(lambda: Stores(example.stores.using).catalog.fold_search_index(at_least=1) and None)
    assert [hit.id for hit in catalog.search(["新"], viewer=None).hits] == ["civil.new"]


@pytest.mark.slow
@pytest.mark.usefixtures("small_segments")
def test_searching_while_others_publish_and_fold_never_misses_an_entry(both: tuple[Stores, MemoryStores]) -> None:
    stores, _ = both
    using = stores.using
    entry = replace(HOUSEHOLDS, provider="office-1", collector="office-1")
    steady = [(replace(entry, id=f"steady.d{number}"), {"steady": 1}) for number in range(30)]
    with stores.atomic():
        stores.catalog.put_datasets(steady)
    stop = threading.Event()
    failures: list[BaseException] = []

    def publish() -> None:
        own = Stores(using)
        chance = random.Random(3)
        try:
            for number in range(60):
                with own.atomic():
                    dataset, index = drawn(chance, number % 40)
                    own.catalog.put_datasets([(replace(dataset, id=f"busy.d{number % 40}"), index), chance.choice(steady)])
        except BaseException as error:
            failures.append(error)
        finally:
            stop.set()
            connections[using].close()

    def look() -> None:
        own = Stores(using)
        try:
            while not stop.is_set():
                page = own.catalog.search(["steady"], viewer=None, limit=100, facets=[Facet.OFFICE])
                assert page.total == len(page.hits) == 30
                assert page.facets == {Facet.OFFICE: {"office-1": 30}}
        except BaseException as error:
            failures.append(error)
        finally:
            connections[using].close()

    threads = [threading.Thread(target=act) for act in (publish, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("step", ["_segment_of", "_merged"])
def test_an_entry_that_is_put_in_again_while_postings_are_made_ready_is_found_by_its_new_words(
    both: tuple[Stores, MemoryStores], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = both[0].catalog
    entry = replace(HOUSEHOLDS, provider="office-1", collector="office-1")

    def put(number: int, index: dict[str, int]) -> None:
        with both[0].atomic():
            catalog.put_dataset(replace(entry, id=f"d{number}"), index=index)

    def found(token: str) -> list[str]:
        return [hit.id for hit in catalog.search([token], viewer=None).hits]

    for number in range(1 if step == "_segment_of" else 4):
        put(number, {"old": 1})
        if step == "_merged" and number < 3:
            search_index._fold_fresh(both[0].using)
    really = getattr(search_index, step)
    asked: list[object] = []

    def meanwhile(*given: object) -> object:
        if not asked:
            asked.append(given)
            put(0, {"new": 1})
            assert found("new") == ["d0"]
        return really(*given)

    monkeypatch.setattr(search_index, step, meanwhile)
    for _ in range(3):
        catalog.fold_search_index(at_least=1)
        assert asked
        assert found("new") == ["d0"]
        assert "d0" not in found("old")
        search_index.forget()
        assert found("new") == ["d0"]
        assert "d0" not in found("old")
    assert len(found("old")) == (0 if step == "_segment_of" else 3)


def test_words_find_through_the_tokens_of_the_entry(example: Example) -> None:
    entry = replace(HOUSEHOLDS, id="civil.wells", title=BilingualText(zh="农村饮水安全井", en="Drinking water wells"))
    with example.stores.atomic():
        example.stores.catalog.put_dataset(entry, index=index_of(entry, [CIVIL]))
    for text in ("饮水", "水安", "井", "drink", "WELL", "民政厅"):
        assert search(example.stores.catalog, text).hits == (entry,), text
    nothing = search(example.stores.catalog, "!!!", facets=[Facet.OFFICE])
    assert (nothing.total, nothing.facets) == (0, {Facet.OFFICE: {}})


def test_putting_one_entry_in_costs_few_statements(example: Example, queries: Callable[[], int]) -> None:
    with example.stores.atomic():
        queries()
        example.stores.catalog.put_dataset(HOUSEHOLDS, index={f"token {number}": 1 for number in range(300)})
        assert queries() <= 10, "the entry, its items, its search tokens, and that its prospect is to be judged anew"
