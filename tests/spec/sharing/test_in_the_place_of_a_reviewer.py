"""Who answers while a reviewer is absent. Written to be read by a lawyer."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    LOW_INCOME,
    MEDICAL,
    MEDICAL_ANALYST,
    World,
    person,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.sharing import RequestState

CLERK = person("qian", CIVIL, Role.ANALYST)
MONDAY, FRIDAY = date(2026, 11, 2), date(2026, 11, 6)


@pytest.fixture
def staffed(world: World) -> World:
    for one in (CIVIL_REVIEWER, CIVIL_ALL_ROLES, CIVIL_OFFICER, CLERK, MEDICAL_ANALYST):
        world.stores.parties.put_actor(one)
    return world


def test_a_colleague_answers_in_the_place_of_an_absent_reviewer(staffed: World) -> None:
    request = staffed.ask(LOW_INCOME, "village")
    with says_no(Refused, "role-missing"):
        staffed.sharing.approve(request.id, by=CLERK)
    made = staffed.sharing.delegate(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    assert staffed.ledger.kinds[-1] is EntryKind.DELEGATION_MADE
    assert staffed.told()[-1] == "delegation-made"
    granted = staffed.sharing.approve(request.id, by=CLERK)
    assert granted.state is RequestState.GRANTED
    assert (granted.events[-1].actor, granted.events[-1].on_behalf_of) == (CLERK.person, CIVIL_REVIEWER.person)
    assert staffed.sharing.delegations(by=CIVIL_OFFICER) == [made]


def test_only_on_the_stated_days(staffed: World) -> None:
    request = staffed.ask(LOW_INCOME, "village")
    staffed.sharing.delegate(CLERK.person, valid_from=date(2026, 11, 3), valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(Refused, "role-missing"):
        staffed.sharing.approve(request.id, by=CLERK)
    staffed.clock.advance(days=5)
    with says_no(Refused, "role-missing"):
        staffed.sharing.approve(request.id, by=CLERK)


def test_and_only_while_the_absent_one_is_a_reviewer_still(staffed: World) -> None:
    request = staffed.ask(LOW_INCOME, "village")
    staffed.sharing.delegate(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    staffed.stores.parties.put_actor(replace(CIVIL_REVIEWER, roles=frozenset({Role.ANALYST})))
    with says_no(Refused, "role-missing"):
        staffed.sharing.approve(request.id, by=CLERK)


def test_it_can_be_ended_early_by_either_of_them(staffed: World) -> None:
    request = staffed.ask(LOW_INCOME, "village")
    made = staffed.sharing.delegate(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(Refused, "delegation-not-yours"):
        staffed.sharing.end_delegation(made.id, by=person("xu", CIVIL, Role.REVIEWER))
    staffed.sharing.end_delegation(made.id, by=CLERK)
    with says_no(Conflict, "delegation-ended"):
        staffed.sharing.end_delegation(made.id, by=CIVIL_REVIEWER)
    with says_no(Refused, "role-missing"):
        staffed.sharing.approve(request.id, by=CLERK)
    with says_no(NotFound, "delegation-unknown"):
        staffed.sharing.end_delegation(made.id, by=MEDICAL_ANALYST)


def test_a_reviewer_and_their_delegate_are_one_where_two_must_agree(staffed: World) -> None:
    request = staffed.ask(LOW_INCOME, ("person_id", CLEAR))
    first = staffed.sharing.approve(request.id, by=CIVIL_REVIEWER, weaker_masks=["person_id"])
    assert first.state is RequestState.UNDER_REVIEW, "this grade asks for two"
    staffed.sharing.delegate(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(Refused, "review-twice"):
        staffed.sharing.approve(request.id, by=CLERK, weaker_masks=["person_id"])
    second = staffed.sharing.approve(request.id, by=CIVIL_ALL_ROLES, weaker_masks=["person_id"])
    assert second.state is RequestState.GRANTED


def test_nobody_stands_on_both_sides_through_a_delegate(staffed: World) -> None:
    both = replace(CIVIL_REVIEWER, post="wang@medical", office=MEDICAL, roles=frozenset({Role.ANALYST}))
    staffed.stores.parties.put_actor(both)
    request = staffed.ask(LOW_INCOME, "village", by=MEDICAL_ANALYST)
    staffed.sharing.delegate(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(Refused, "review-own-office"):
        staffed.sharing.approve(request.id, by=CLERK)


def test_a_data_officer_settles_it_for_a_reviewer_who_cannot_and_nobody_else(staffed: World) -> None:
    made = staffed.sharing.delegate(
        CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_OFFICER, principal=CIVIL_REVIEWER.person
    )
    assert (made.principal, made.made_by) == (CIVIL_REVIEWER.person, CIVIL_OFFICER.person)
    with says_no(Refused, "delegation-not-yours"):
        staffed.sharing.delegate("chen", valid_from=MONDAY, valid_until=FRIDAY, by=CLERK, principal=CIVIL_REVIEWER.person)
    with says_no(Refused, "delegation-without-power"):
        staffed.sharing.delegate("chen", valid_from=MONDAY, valid_until=FRIDAY, by=CLERK)
    with says_no(Refused, "delegation-without-power"):
        staffed.sharing.delegate("chen", valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_OFFICER, principal=CLERK.person)


def test_it_names_a_colleague_and_days_to_come(staffed: World) -> None:
    act = staffed.sharing.delegate
    with says_no(NotFound, "colleague-unknown"):
        act(MEDICAL_ANALYST.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(InputInvalid, "delegation-to-oneself"):
        act(CIVIL_REVIEWER.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(InputInvalid, "delegation-ends-before-start"):
        act(CLERK.person, valid_from=FRIDAY, valid_until=MONDAY, by=CIVIL_REVIEWER)
    with says_no(InputInvalid, "delegation-in-the-past"):
        act(CLERK.person, valid_from=date(2026, 10, 1), valid_until=date(2026, 10, 2), by=CIVIL_REVIEWER)
    with says_no(InputInvalid, "delegation-too-long"):
        act(CLERK.person, valid_from=MONDAY, valid_until=date(2027, 2, 1), by=CIVIL_REVIEWER)
    act(CLERK.person, valid_from=MONDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
    with says_no(Conflict, "delegation-exists"):
        act(CLERK.person, valid_from=FRIDAY, valid_until=FRIDAY, by=CIVIL_REVIEWER)
