"""Within one office too, who wrote what is asked does not answer it, and whoever last stated the wish has signed for it."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL,
    CIVIL_REVIEWER,
    CLEAR,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    World,
    person,
    says_no,
)

from huitong.errors import Refused
from huitong.model.party import Role
from huitong.model.sharing import RequestState

BOTH_ROLES = person("chen", CIVIL, Role.ANALYST, Role.REVIEWER)
ANALYST = person("bai", CIVIL, Role.ANALYST)
DATA_OFFICER = person("yang", CIVIL, Role.DATA_OFFICER)


@pytest.fixture
def world() -> World:
    made = World().publish_all()
    for one in (BOTH_ROLES, ANALYST, DATA_OFFICER, CIVIL_REVIEWER, MEDICAL_ANALYST, MEDICAL_COLLEAGUE):
        made.stores.parties.put_actor(one)
    return made


def test_who_supplements_a_request_of_the_own_office_does_not_approve_it(world: World) -> None:
    asked = world.ask(LOW_INCOME, "village", by=ANALYST)
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="Which years?")
    wider = world.sharing.restated(asked.id, by=BOTH_ROLES, items=[("village", CLEAR), ("born", CLEAR)])
    world.sharing.supplement(asked.id, by=BOTH_ROLES, words="All", wish=wider)
    with says_no(Refused, "review-own-request"):
        world.sharing.approve(asked.id, by=BOTH_ROLES, weaker_masks=["born", "village"])
    assert world.sharing.request(asked.id, by=ANALYST).state is RequestState.UNDER_REVIEW


def test_whoever_stated_the_wish_last_has_signed_for_it(world: World) -> None:
    asked = world.ask(LOW_INCOME, "village", by=MEDICAL_ANALYST)
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="For what?")
    other = world.sharing.restated(asked.id, by=MEDICAL_COLLEAGUE, purpose="medical-security", legal_basis="Another law")
    world.sharing.supplement(asked.id, by=MEDICAL_COLLEAGUE, words="For another purpose", wish=other)
    granted = world.sharing.grant_of(world.sharing.approve(asked.id, by=CIVIL_REVIEWER, weaker_masks=["village"]))
    assert granted is not None and granted.terms.purpose.code == "medical-security"
    assert granted.signed_by == MEDICAL_COLLEAGUE.person


def test_a_data_officer_does_not_make_themselves_a_reviewer(world: World) -> None:
    """A data officer names who stands in for a reviewer who cannot: a colleague, never themselves."""
    today = date(2026, 11, 2)
    with pytest.raises(Refused):
        world.sharing.delegate(
            DATA_OFFICER.person, principal=CIVIL_REVIEWER.person, valid_from=today, valid_until=today, by=DATA_OFFICER
        )



SERVICE = replace(person("nightly-load", CIVIL, Role.DATA_OFFICER), keeper=CIVIL_REVIEWER.person)
"""A service that a reviewer keeps: whoever has its token is the same pair of eyes."""


def test_a_service_is_no_second_pair_of_eyes(world: World) -> None:
    today = date(2026, 11, 2)
    world.stores.parties.put_actor(SERVICE)
    with says_no(Refused, "delegation-to-a-service"):
        world.sharing.delegate(SERVICE.person, valid_from=today, valid_until=today, by=CIVIL_REVIEWER)
    asked = world.ask(LOW_INCOME, "village", by=MEDICAL_ANALYST)
    as_reviewer = replace(SERVICE, roles=frozenset({Role.REVIEWER}))
    with says_no(Refused, "persons-answer"):
        world.sharing.approve(asked.id, by=as_reviewer, weaker_masks=["village"])
    with says_no(Refused, "persons-answer"):
        world.sharing.refuse(asked.id, by=as_reviewer, reason="refused-no-duty")
