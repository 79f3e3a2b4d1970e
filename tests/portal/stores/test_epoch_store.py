"""Key epochs in a database: added, never changed; the last of a group is in force."""

from datetime import UTC, datetime

import pytest
from tests.portal.examples import Example

from huitong.errors import Conflict
from huitong.model.pseudonym import KeyEpoch

AT = datetime(2026, 12, 1, 4, tzinfo=UTC)
GROUP, OTHER = "gz-medical:救助", "gz-medical:=G-2026-000001"


def test_the_last_epoch_of_a_group_is_in_force(example: Example) -> None:
    store = example.stores.pseudonym_epochs
    assert (store.of_group(GROUP), store.epochs(), store.newest_key()) == (None, [], 1)
    first, second, other = KeyEpoch(GROUP), KeyEpoch(GROUP, 2, 3, AT), KeyEpoch(OTHER, 1, 2)
    with example.stores.atomic():
        for one in (first, second, other):
            store.add(one)
    assert store.of_group(GROUP) == second
    assert list(store.epochs(GROUP)) == [first, second]
    assert sorted(store.epochs(), key=lambda one: one.tokens) == sorted([first, second, other], key=lambda one: one.tokens)
    assert store.newest_key() == 3


def test_an_epoch_is_never_written_twice_and_goes_with_its_transaction(example: Example) -> None:
    store = example.stores.pseudonym_epochs
    with example.stores.atomic():
        store.add(KeyEpoch(GROUP, 2, 1, AT))
    with example.stores.atomic():
        with pytest.raises(Conflict, match="key-epoch-moved"):
            store.add(KeyEpoch(GROUP, 2, 2, AT))
        store.add(KeyEpoch(OTHER))
    with pytest.raises(ZeroDivisionError), example.stores.atomic():
        store.add(KeyEpoch(GROUP, 3, 1, AT))
        raise ZeroDivisionError
    assert store.of_group(GROUP) == KeyEpoch(GROUP, 2, 1, AT)
    assert store.of_group(OTHER) == KeyEpoch(OTHER)
