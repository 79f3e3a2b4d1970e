"""The catalogue at rest: what is put in comes out the same, search finds by every token, snapshots only grow newer."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction
from tests.portal.examples import CIVIL, HOUSEHOLDS, MEDICAL, Example, snapshot

from huitong.catalog.ports import CatalogStore, Facet
from huitong.errors import Conflict, NotFound
from huitong.model.catalog import Sharing
from huitong.model.text import BilingualText
from huitong.portal.catalog import models
from huitong.portal.stores import Stores
from huitong.testing import MemoryCatalogStore, MemoryTransactions


def named(dataset_id: str, *, provider: str = CIVIL.id, sharing: Sharing = Sharing.UNCONDITIONAL):
    return replace(HOUSEHOLDS, id=dataset_id, provider=provider, sharing=sharing)


def test_an_entry_comes_out_as_it_was_put_in(example: Example) -> None:
    assert example.stores.catalog.dataset("civil.household") == HOUSEHOLDS
    assert example.stores.catalog.dataset("civil.unknown") is None


def test_an_entry_is_replaced_with_its_items_and_tokens(example: Example) -> None:
    catalog = example.stores.catalog
    changed = replace(
        HOUSEHOLDS,
        items=HOUSEHOLDS.items[:2],
        sharing=Sharing.UNCONDITIONAL,
        sharing_condition=None,
        source=None,
        published_on=None,
    )
    with example.stores.atomic():
        catalog.put_dataset(changed, index={"新": 1})
    assert catalog.dataset(HOUSEHOLDS.id) == changed
    assert catalog.search(["低保"], viewer=None).total == 0
    assert catalog.search(["新"], viewer=None).hits == (changed,)


def fill(store: CatalogStore) -> None:
    store.put_dataset(named("civil.b_x"), index={"人口": 3, "person": 1})
    store.put_dataset(named("civil.bb"), index={"人口": 3})
    store.put_dataset(named("civil.a", provider=MEDICAL.id), index={"人口": 3, "Person": 9})
    store.put_dataset(named("medical.z", sharing=Sharing.NOT_SHARED), index={"人口": 9, "人": 9, "person": 2})
    store.put_dataset(named("zz"), index={"100%": 1, "a_b": 1})


SEARCHES = [
    ([], {}),
    (["人口"], {}),
    (["人口", "人口"], {}),
    (["人口", "person"], {}),
    (["Person"], {}),
    (["人口"], {"narrowing": {Facet.OFFICE: [CIVIL.id]}}),
    (["人口"], {"narrowing": {Facet.OFFICE: []}}),
    (["人口"], {"narrowing": {Facet.SHARING: ["not-shared"]}}),
    ([], {"narrowing": {Facet.OFFICE: [CIVIL.id], Facet.SHARING: ["unconditional", "not-shared"]}}),
    (["人口"], {"limit": 2, "offset": 1}),
    (["人口"], {"limit": 2, "offset": 9}),
    (["100_"], {}),
    (["aXb"], {}),
    (["unknown"], {}),
]


@pytest.mark.parametrize(("tokens", "narrowing"), SEARCHES)
def test_search_answers_as_the_store_in_memory_does(example: Example, tokens: list[str], narrowing: dict) -> None:
    memory = MemoryCatalogStore(MemoryTransactions())
    memory.put_dataset(HOUSEHOLDS, index={"低保": 8, "家庭": 8, "household": 4})
    with example.stores.atomic():
        fill(example.stores.catalog)
    fill(memory)
    assert example.stores.catalog.search(tokens, viewer=None, **narrowing) == memory.search(tokens, viewer=None, **narrowing)


def test_a_page_of_the_catalogue_costs_three_statements_however_long_it_is(example: Example, queries: Callable[[], int]) -> None:
    with example.stores.atomic():
        for number in range(30):
            example.stores.catalog.put_dataset(named(f"civil.d{number}"), index={"d": 1})
    example.stores.catalog.search([], viewer=None)
    queries()
    assert len(example.stores.catalog.search(["d"], viewer=None, limit=30, facets=list(Facet)).hits) == 30
    assert queries() == 3
    example.stores.catalog.dataset(HOUSEHOLDS.id)
    assert queries() == 2


def test_the_newest_snapshot_is_the_current_one(example: Example) -> None:
    catalog = example.stores.catalog
    assert catalog.current_snapshot(HOUSEHOLDS.id) is None
    with example.stores.atomic():
        for version in (0, 1, 5):
            catalog.add_snapshot(snapshot(version))
    assert catalog.current_snapshot(HOUSEHOLDS.id) == snapshot(5)
    assert catalog.snapshot(HOUSEHOLDS.id, 1) == snapshot(1)
    assert catalog.snapshot(HOUSEHOLDS.id, 2) is None
    assert list(catalog.snapshots(HOUSEHOLDS.id)) == [snapshot(5), snapshot(1), snapshot(0)]


def test_an_older_or_equal_snapshot_is_refused(example: Example) -> None:
    with example.stores.atomic():
        example.stores.catalog.add_snapshot(snapshot(3))
    for version in (2, 3):
        with pytest.raises(Conflict) as caught, example.stores.atomic():
            example.stores.catalog.add_snapshot(snapshot(version))
        assert caught.value.reasons[0].code == "snapshot-not-newer"
        assert caught.value.reasons[0].parameters == {"dataset": HOUSEHOLDS.id, "version": version, "current": 3}


def test_a_snapshot_of_nothing_is_refused(example: Example) -> None:
    with pytest.raises(NotFound), example.stores.atomic():
        example.stores.catalog.add_snapshot(replace(snapshot(1), dataset="civil.unknown"))


def test_an_exception_undoes_the_entry(example: Example) -> None:
    with pytest.raises(RuntimeError), example.stores.atomic():
        example.stores.catalog.put_dataset(named("civil.half"), index={"half": 1})
        raise RuntimeError
    assert example.stores.catalog.dataset("civil.half") is None
    assert example.stores.catalog.search(["half"], viewer=None).total == 0


def test_the_database_refuses_what_no_entry_may_be(stores: Stores, example: Example) -> None:
    rows = models.Dataset.objects.using(stores.using).filter(id=HOUSEHOLDS.id)
    impossible = [
        {"sharing": "secret"},
        {"sharing_basis": ""},
        {"sharing_condition_zh": None},
        {"sharing_condition_zh": None, "sharing_condition_en": None},
        {"openness": "half"},
        {"update_cycle": "sometimes"},
    ]
    for columns in impossible:
        with pytest.raises(IntegrityError), transaction.atomic(using=stores.using):
            rows.update(**columns)
    item = models.Item(
        dataset_id=HOUSEHOLDS.id, position=9, name="AMOUNT", title_zh="金额", title_en="Amount", type="text", grade=1
    )
    with pytest.raises(IntegrityError), transaction.atomic(using=stores.using):
        item.save(using=stores.using, force_insert=True)


def test_chinese_beyond_the_common_plane_is_kept(example: Example) -> None:
    rare = replace(HOUSEHOLDS, id="civil.rare", title=BilingualText(zh="𠮷家庭", en="Rare"))
    with example.stores.atomic():
        example.stores.catalog.put_dataset(rare, index={"𠮷": 1})
    assert example.stores.catalog.search(["𠮷"], viewer=None).hits == (rare,)
