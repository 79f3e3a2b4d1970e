"""Which rows, how much, and whether rows at all: the terms that a request may state and a reviewer may tighten. Written to be read by a
lawyer."""

from dataclasses import replace
from typing import Any

import pytest
from tests.spec.sharing.world import (
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    HOMES,
    LOW_INCOME,
    World,
    item,
    says_no,
)

from huitong.errors import InputInvalid, Refused
from huitong.model.catalog import Grade
from huitong.model.policy import Comparator, Comparison, Mode, Quota, QuotaPeriod
from huitong.model.sharing import Linkage, RequestState
from huitong.sharing.terms import hash_of_terms
from huitong.testing import MemorySubjectLists

AT_LEAST, AT_MOST, IN = Comparator.AT_LEAST, Comparator.AT_MOST, Comparator.IN


def holds(item: str, comparator: Comparator, *values: str) -> Comparison:
    return Comparison(item, comparator, values)


@pytest.fixture
def world(world: World) -> World:
    world.sharing = replace(world.sharing, lists=world.stores.subject_lists)
    return world


def agreed(world: World, request: Any, *, weaker: tuple[str, ...] = (), by: Any = CIVIL_REVIEWER, **stated: Any) -> Any:
    narrowed = world.sharing.narrowed(request.id, by=by, **stated)
    return world.sharing.approve(request.id, by=by, narrowed=narrowed, weaker_masks=weaker)


def terms(world: World, request: Any) -> Any:
    return world.sharing.grant_of(request).terms


# --- a condition over rows ---------------------------------------------------------------------------------------------


def test_a_condition_is_granted_as_it_was_asked_in_one_form(world: World) -> None:
    """Item names in any letter case, numbers without leading zeros: equal conditions have equal hashes, but for the salt that
    keeps who has the ledger alone from trying values."""
    one, other = (
        world.ask(LOW_INCOME, "village", condition=[holds("VILLAGE", IN, "520102016002", "520102016001"), holds(item, AT_LEAST, value)])
        for item, value in (("income", "3000"), ("Income", "+03000"))
    )
    grants = [world.sharing.grant_of(agreed(world, request, weaker=("income",))) for request in (one, other)]
    assert grants[0].terms.condition == (
        holds("income", AT_LEAST, "3000"),
        holds("village", IN, "520102016001", "520102016002"),
    )
    assert grants[0].terms.salt != grants[1].terms.salt
    same = replace(grants[0].terms, valid_from=grants[1].terms.valid_from, salt=grants[1].terms.salt)
    about = {"dataset": "d", "provider": "p", "using_office": "u", "signed_by": "s", "version": 1}
    assert hash_of_terms(same, **about) == hash_of_terms(grants[1].terms, **about)


@pytest.mark.parametrize(
    ("comparison", "code"),
    [
        (holds("salary", AT_LEAST, "3000"), "item-unknown"),
        (holds("name", AT_LEAST, "王"), "comparison-unfit"),
        (holds("income", AT_LEAST, "much"), "comparison-value-form"),
        (holds("income", AT_LEAST, "30.5"), "comparison-value-form"),
        (holds("born", AT_MOST, "31 January 1990"), "comparison-value-form"),
        (holds("born", AT_MOST, "1990-02-30"), "comparison-value-form"),
        (holds("name", IN, "王" * 201), "comparison-value-long"),
    ],
)
def test_a_condition_that_means_nothing_is_told_at_once(world: World, comparison: Comparison, code: str) -> None:
    with says_no(InputInvalid, code):
        world.ask(LOW_INCOME, "village", condition=[comparison])


def test_a_condition_has_a_size_that_a_reviewer_can_read(world: World) -> None:
    with says_no(InputInvalid, "condition-too-many-comparisons"):
        world.ask(LOW_INCOME, "village", condition=[holds("income", AT_LEAST, str(n)) for n in range(21)])
    with says_no(InputInvalid, "condition-too-many-values"):
        world.ask(LOW_INCOME, "village", condition=[holds("income", IN, *(str(n) for n in range(501)))])


def test_a_condition_over_what_a_mask_hides_needs_the_reviewers_word(world: World) -> None:
    """Who gets only the rows of persons born before a day knows that of each, whatever mask the day of birth has."""
    request = world.ask(LOW_INCOME, "village", "born", condition=[holds("born", AT_MOST, "1950-03-07")])
    with says_no(Refused, "mask-needs-word"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    assert agreed(world, request, weaker=("BORN",)).state is RequestState.GRANTED


def test_a_condition_over_what_leaves_openly_anyway_needs_no_word(world: World) -> None:
    request = world.ask(LOW_INCOME, "income", condition=[holds("village", IN, "520102016001")])
    assert world.sharing.approve(request.id, by=CIVIL_REVIEWER).state is RequestState.GRANTED


def test_what_is_granted_without_review_takes_no_condition_over_a_hidden_item(world: World) -> None:
    assert world.ask(HOMES, "village", condition=[holds("village", IN, "520102016001")]).state is RequestState.GRANTED
    with says_no(Refused, "mask-below-floor"):
        world.ask(HOMES, "village", condition=[holds("born", AT_LEAST, "1950-01-01")])


def test_a_reviewer_adds_comparisons_and_drops_none(world: World) -> None:
    asked = [holds("income", AT_LEAST, "1000"), holds("village", IN, "520102016001", "520102016002")]
    request = world.ask(LOW_INCOME, "village", condition=asked)
    with says_no(InputInvalid, "narrowing-condition-looser"):
        looser = replace(request.wish, condition=(holds("income", AT_LEAST, "999"), request.wish.condition[1]))
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=looser, weaker_masks=("income",))
    with says_no(InputInvalid, "narrowing-condition-looser"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=replace(request.wish, condition=()), weaker_masks=("income",))
    added = [holds("income", AT_LEAST, "2000"), holds("income", AT_MOST, "9000"), holds("village", IN, "520102016002")]
    granted = agreed(world, request, condition=added, weaker=("income",))
    assert set(terms(world, granted).condition) == set(added), "what follows from an added comparison is not said twice"


# --- a list of subjects ------------------------------------------------------------------------------------------------


def test_a_list_is_named_by_its_hash_and_its_persons_stand_nowhere(world: World) -> None:
    persons = ["99010219800307001X", "990102198003070028"]
    request = world.ask(LOW_INCOME, "village", subjects=(None, persons))
    agreed(world, request, weaker=("person_id",))
    done = agreed(world, world.sharing.request(request.id, by=CIVIL_REVIEWER), weaker=("person_id",), by=CIVIL_ALL_ROLES)
    subjects = terms(world, done).subjects
    assert (subjects.item, subjects.count) == ("person_id", 2)
    kept = repr([*world.ledger.written, world.stores.sharing._requests, world.stores.sharing._grants])
    assert not any(person in kept for person in persons)
    assert subjects.digest in repr(world.ledger.written)


def test_nobody_guesses_by_which_of_two_numbers_a_list_goes(world: World) -> None:
    """Persons or households: a list of the one, looked up among the other, gives no rows or the rows of others."""
    household = item("household_no", "户号", "household number", Grade.SENSITIVE, meaning="household-id")
    world.catalog.publish(replace(LOW_INCOME, items=(*LOW_INCOME.items, household)), by=CIVIL_OFFICER)
    with says_no(InputInvalid, "subjects-item-ambiguous") as caught:
        world.ask(LOW_INCOME, "household_no", "village", subjects=(None, ["a"]))
    assert caught.value.reasons[0].parameters["items"] == "person_id, household_no"
    request = world.ask(LOW_INCOME, "household_no", "village", subjects=("household_no", ["a", "b"]))
    assert request.wish.subjects.item == "household_no"
    with says_no(InputInvalid, "subjects-item-ambiguous"):
        world.sharing.narrowed(request.id, by=CIVIL_REVIEWER, subjects=(None, ["a"]))
    assert world.ask(LOW_INCOME, "village", subjects=(None, ["a"])).wish.subjects.item == "person_id", "it can be no other"


def test_a_list_goes_by_an_item_of_text(world: World) -> None:
    with says_no(InputInvalid, "subjects-item-not-text"):
        world.ask(LOW_INCOME, "village", subjects=("income", ["3000"]))


def test_a_list_of_persons_counts_as_letting_their_numbers_leave(world: World) -> None:
    """Each row that comes is about somebody on the list: a pseudonym hides nothing of them. So it takes two reviewers, and a word."""
    request = world.ask(LOW_INCOME, "person_id", "village", subjects=(None, ["a", "b"]))
    with says_no(Refused, "mask-needs-word"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    assert agreed(world, request, weaker=("person_id",)).state is RequestState.UNDER_REVIEW, "one of two"


def test_a_reviewer_may_take_persons_off_a_list_and_put_none_on(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", subjects=("person_id", ["a", "b", "c"]))
    with says_no(InputInvalid, "narrowing-subjects-others"):
        agreed(world, request, subjects=("person_id", ["a", "d"]), weaker=("person_id",))
    with says_no(InputInvalid, "narrowing-subjects-others"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=replace(request.wish, subjects=None), weaker_masks=["person_id"])
    agreed(world, request, subjects=("person_id", ["c", "a"]), weaker=("person_id",))
    with says_no(InputInvalid, "wider-than-endorsed", "narrowing-subjects-others"):
        agreed(world, request, subjects=("person_id", ["a", "b"]), weaker=("person_id",), by=CIVIL_ALL_ROLES)
    done = agreed(world, request, subjects=("person_id", ["a"]), weaker=("person_id",), by=CIVIL_ALL_ROLES)
    lists = world.stores.subject_lists
    assert isinstance(lists, MemorySubjectLists)
    assert lists.lists[terms(world, done).subjects.subjects] == {"a"}


# --- totals ------------------------------------------------------------------------------------------------------------


def test_totals_are_of_groups_of_ten_unless_more_is_said(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", "income", mode=Mode.AGGREGATE_ONLY)
    assert request.wish.k == 10
    found = terms(world, agreed(world, request, k=25))
    assert (found.mode, found.k) == (Mode.AGGREGATE_ONLY, 25)


@pytest.mark.parametrize("k", [2, 9, 1_000_001])
def test_no_group_smaller_than_the_least_can_be_asked_for(world: World, k: int) -> None:
    with says_no(InputInvalid, "k-out-of-range"):
        world.ask(LOW_INCOME, "village", mode=Mode.AGGREGATE_ONLY, k=k)


def test_rows_have_no_group_size(world: World) -> None:
    with says_no(InputInvalid, "k-without-totals"):
        world.ask(LOW_INCOME, "village", k=10)


def test_a_dataset_that_tells_no_entities_apart_gives_no_totals(world: World) -> None:
    from tests.spec.sharing.world import CIVIL_OFFICER

    world.catalog.publish(replace(LOW_INCOME, key=None), by=CIVIL_OFFICER)
    with says_no(InputInvalid, "totals-without-entity"):
        world.ask(LOW_INCOME, "village", mode=Mode.AGGREGATE_ONLY)


def test_a_reviewer_may_give_totals_instead_of_rows_but_not_rows_instead_of_totals(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", "income")
    found = terms(world, agreed(world, request, mode=Mode.AGGREGATE_ONLY))
    assert (found.mode, found.k) == (Mode.AGGREGATE_ONLY, 10)
    request = world.ask(LOW_INCOME, "village", "income", mode=Mode.AGGREGATE_ONLY, k=20)
    with says_no(InputInvalid, "narrowing-other-mode"):
        agreed(world, request, mode=Mode.ROWS)
    with says_no(InputInvalid, "narrowing-k-smaller"):
        agreed(world, request, k=19)


# --- quota -------------------------------------------------------------------------------------------------------------


def quota(period: QuotaPeriod, **limits: int) -> Quota:
    return Quota(period, **limits)


DAY, MONTH, GRANT = QuotaPeriod.DAY, QuotaPeriod.MONTH, QuotaPeriod.GRANT


@pytest.mark.parametrize(
    ("asked", "stated", "granted"),
    [
        (None, quota(DAY, rows=5), True),
        (quota(DAY, rows=5), None, True),
        (quota(DAY, rows=5), quota(DAY, rows=4), True),
        (quota(DAY, rows=5), quota(DAY, rows=5, queries=1), True),
        (quota(DAY, rows=5), quota(DAY, queries=1), False),
        (quota(DAY, rows=5), quota(DAY, rows=6), False),
        (quota(DAY, rows=5), quota(MONTH, rows=5), True),
        (quota(DAY, rows=5), quota(MONTH, rows=6), False),
        (quota(MONTH, rows=62), quota(DAY, rows=2), True),
        (quota(MONTH, rows=61), quota(DAY, rows=2), False),
        (quota(MONTH, rows=10), quota(GRANT, rows=10), True),
        (quota(GRANT, rows=1000), quota(DAY, rows=1), False),
        (quota(GRANT, rows=1000), quota(MONTH, rows=1), False),
    ],
)
def test_a_reviewer_may_limit_use_and_never_widen_a_limit(
    world: World, asked: Quota | None, stated: Quota | None, granted: bool
) -> None:
    """Another period counts as narrower only where no use could exceed what was asked."""
    request = world.ask(LOW_INCOME, "village", quota=asked)
    if granted:
        assert terms(world, agreed(world, request, quota=stated)).quota == (stated or asked)
    else:
        with says_no(InputInvalid, "narrowing-quota-wider"):
            agreed(world, request, quota=stated)


def test_a_quota_cannot_be_taken_away(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", quota=quota(DAY, rows=5))
    with says_no(InputInvalid, "narrowing-quota-wider"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=replace(request.wish, quota=None))


def test_a_quota_has_a_size_that_can_be_counted(world: World) -> None:
    with says_no(InputInvalid, "quota-too-large"):
        world.ask(LOW_INCOME, "village", quota=quota(DAY, rows=10**13))


# --- linkage -----------------------------------------------------------------------------------------------------------


def test_pseudonyms_join_within_an_office_as_it_asks_and_never_across_offices(world: World) -> None:
    groups = []
    for linkage in (Linkage.PURPOSE, Linkage.ALONE, "team-7"):
        request = world.ask(LOW_INCOME, "person_id", linkage=linkage)
        groups.append(terms(world, world.sharing.approve(request.id, by=CIVIL_REVIEWER)).linkage_group)
    assert len(set(groups)) == 3
    assert all(group.startswith("gz-medical-security:") for group in groups)


@pytest.mark.parametrize("name", ["", "Team", "队", "a" * 41, "a b", "a:b", "=G-1"])
def test_a_group_has_a_plain_name(world: World, name: str) -> None:
    with says_no(InputInvalid, "linkage-name-invalid"):
        world.ask(LOW_INCOME, "village", linkage=name)


def test_a_reviewer_may_cut_a_grant_off_from_all_others_and_choose_no_other_group(world: World) -> None:
    request = world.ask(LOW_INCOME, "person_id", linkage="team-7")
    for other in (Linkage.PURPOSE, "team-8"):
        with says_no(InputInvalid, "narrowing-linkage-other"):
            agreed(world, request, linkage=other)
    found = terms(world, agreed(world, request, linkage=Linkage.ALONE))
    assert "=G-" in found.linkage_group
    request = world.ask(LOW_INCOME, "person_id", linkage=Linkage.ALONE)
    with says_no(InputInvalid, "narrowing-linkage-other"):
        agreed(world, request, linkage=Linkage.PURPOSE)


def test_terms_that_say_nothing_leave_the_hash_as_it_was(world: World) -> None:
    """Grants of before these terms keep their hashes."""
    request = world.ask(LOW_INCOME, ("village", CLEAR))
    body = [body for kind, body in world.ledger.written if "terms" in body]
    agreed(world, request)
    body = [body for _, body in world.ledger.written if "terms" in body][-1]
    assert not {"condition", "subjects", "k", "quota"} & body["terms"].keys()
