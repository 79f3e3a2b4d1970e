"""Budgets of noised totals in a database: all processes together never spend more than there is."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.portal.examples import HOUSEHOLDS, Example, grant, request
from tests.portal.threads import at_once

from huitong.errors import Refused
from huitong.model.policy import Grant, Mode, NoisedTerms, ValueBounds
from huitong.portal.rows import rules_from_json, rules_to_json
from huitong.portal.stores import Stores
from huitong.sharing.noised import Budgets, account_of_grant, account_of_office

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)


def noised(**rest: Any) -> Grant:
    found = grant()
    terms = replace(found.terms, mode=Mode.NOISED, noised=NoisedTerms(1_000_000, 1_500_000, 1))
    return replace(found, terms=terms, **rest)


@pytest.fixture
def stores(example: Example) -> Stores:
    with example.stores.atomic():
        example.stores.sharing.add_request(request())
        example.stores.sharing.add_grant(noised())
    return example.stores


@pytest.fixture
def budgets(stores: Stores) -> Budgets:
    return Budgets(store=stores.budgets, transactions=stores.transactions, key=b"k" * 32)


def test_a_grant_of_noised_totals_is_kept_as_it_was_agreed(stores: Stores) -> None:
    kept = stores.sharing.grant("G-000001")
    assert kept is not None
    assert kept.terms.noised == NoisedTerms(1_000_000, 1_500_000, 1)
    noise = NoisedTerms(5, 7, 2, (ValueBounds("income", "-1.5", "20"),))
    written = rules_to_json(condition=(), subjects=None, k=None, quota=None, noised=noise)
    assert rules_from_json(written)["noised"] == noise


def test_what_is_taken_is_spent_and_no_more_than_there_is(budgets: Budgets, stores: Stores) -> None:
    budgets.take(noised(), 600_000)
    with pytest.raises(Refused) as refused:
        budgets.take(noised(), 400_001)
    assert refused.value.reasons[0].parameters["left"] == "0.4"
    budgets.take(noised(), 400_000)
    budgets.give_back(noised(), 400_000)
    use = budgets.use_of(noised())
    assert use is not None
    assert (use.spent, use.together_spent, use.left) == (600_000, 600_000, 400_000)
    assert dict(stores.records.budgets()) == {
        account_of_grant("G-000001"): 600_000,
        account_of_office(noised().using_office, HOUSEHOLDS.id): 600_000,
    }


def test_of_what_is_refused_by_one_budget_nothing_is_taken_from_the_other(budgets: Budgets) -> None:
    budgets.take(noised(), 1_000_000)
    with pytest.raises(Refused):
        budgets.take(noised(id="G-000002"), 600_000)
    use = budgets.use_of(noised(id="G-000002"))
    assert use is not None
    assert (use.spent, use.together_spent, use.left) == (0, 1_000_000, 500_000)


def test_of_many_at_once_as_many_pass_as_there_is_budget_for(stores: Stores, budgets: Budgets) -> None:
    """Eight want 0.3 of 1.0: three get it."""
    outcomes = at_once(stores.using, *(lambda: budgets.take(noised(), 300_000) for _ in range(8)))
    assert sum(one is None for one in outcomes) == 3
    assert all(isinstance(one, Refused) for one in outcomes if one is not None)
    use = budgets.use_of(noised())
    assert use is not None
    assert use.spent == 900_000


def test_what_was_told_first_stays_and_is_read_by_nobody_else(budgets: Budgets, stores: Stores) -> None:
    budgets.keep(noised(), b"question", b"first", at=AT)
    budgets.keep(noised(), b"question", b"second", at=AT)
    assert budgets.kept(noised(), b"question") == b"first"
    assert budgets.kept(noised(), b"another") is None
    other = Budgets(store=stores.budgets, transactions=stores.transactions, key=b"x" * 32)
    assert other.kept(noised(), b"question") is None


def test_a_successor_goes_on_with_what_was_spent_before(budgets: Budgets, stores: Stores) -> None:
    before = noised()
    budgets.take(before, 700_000)
    with stores.atomic():
        stores.sharing.add_grant(noised(id="G-000002", using_office=before.provider, moved_from="G-000001"))
    moved = stores.sharing.grant("G-000002")
    assert moved is not None
    use = budgets.use_of(moved)
    assert use is not None
    assert (use.spent, use.together_spent, use.left) == (700_000, 700_000, 300_000)
    with pytest.raises(Refused):
        budgets.take(moved, 400_000)
