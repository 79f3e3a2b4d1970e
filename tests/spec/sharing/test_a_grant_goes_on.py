"""Extending, renewing, and what happens when that meets an end. Written to be read by a lawyer."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL_ALL_ROLES,
    CIVIL_REVIEWER,
    EDUCATION_ANALYST,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    MEDICAL_REVIEWER,
    World,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.policy import Grant, GrantEventKind, GrantState, grant_state
from huitong.model.sharing import RequestState

LATER = date(2027, 3, 31)


@pytest.fixture
def grant(world: World) -> Grant:
    """In force until 31 December 2026; it is 2 November."""
    request = world.ask(LOW_INCOME, "village", "income")
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    found: Grant = world.sharing.grant_of(world.sharing.request(request.id, by=MEDICAL_ANALYST))
    world.told()
    return found


def now(world: World, grant: Grant) -> Grant:
    return world.sharing.grant(grant.id, by=MEDICAL_ANALYST)


def test_an_extension_is_another_version_of_the_same_grant(world: World, grant: Grant) -> None:
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_COLLEAGUE)
    assert request.state is RequestState.UNDER_REVIEW and request.continues == grant.id
    assert now(world, grant) == grant, "nothing changes before the answer"

    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    after = now(world, grant)
    assert (after.version, after.signed_by) == (2, MEDICAL_COLLEAGUE.person), "who asked for it signed for it"
    assert after.terms.items == grant.terms.items and after.terms.valid_from == grant.terms.valid_from
    assert after.terms.valid_until > grant.terms.valid_until and after.terms_hash != grant.terms_hash
    assert world.stores.sharing.grant_versions(grant.id) == [grant, after]
    kind, body = world.ledger.written[-1]
    assert kind is EntryKind.GRANT_EXTENDED and body["terms_hash"] == after.terms_hash
    assert [event.kind for event in world.sharing.grant_history(grant.id, by=MEDICAL_ANALYST)] == [
        GrantEventKind.MADE, GrantEventKind.ACTIVATED, GrantEventKind.EXTENDED,
    ]  # fmt: skip
    assert world.told()[-1] == "grant-extended"
    assert world.sharing.grant_of(world.sharing.request(request.id, by=MEDICAL_ANALYST)) == after


def test_the_reviewer_may_narrow_an_extension(world: World, grant: Grant) -> None:
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    less = world.sharing.narrowed(request.id, by=CIVIL_REVIEWER, items=[("village", None)], until=date(2027, 1, 31))
    world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=less)
    after = now(world, grant)
    assert [term.item for term in after.terms.items] == ["village"], "the narrower terms are in force from now on"


def test_what_needs_no_reviewer_is_extended_at_once(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "village"))
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    assert request.state is RequestState.GRANTED
    assert now(world, grant).version == 2


def test_an_extension_asked_for_on_the_last_day_is_in_time_and_the_use_goes_on_from_the_answer(world: World, grant: Grant) -> None:
    world.clock.advance(days=59)
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.clock.advance(days=3)
    assert not now(world, grant).valid_at(world.clock()), "between the end and the answer there is no use"
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    after = now(world, grant)
    assert after.version == 2 and after.valid_at(world.clock())
    assert after.terms.valid_from == world.clock(), "from the answer, not from the end"


def test_the_day_after_the_end_it_is_renewed_and_that_is_a_new_grant(world: World, grant: Grant) -> None:
    with says_no(Conflict, "grant-still-in-force"):
        world.sharing.renew(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.clock.advance(days=60)
    with says_no(Conflict, "grant-ended"):
        world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    request = world.sharing.renew(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    new = world.sharing.grant_of(world.sharing.request(request.id, by=MEDICAL_ANALYST))
    assert new.id != grant.id and new.version == 1
    assert new.terms.items == grant.terms.items
    assert not now(world, grant).valid_at(world.clock()), "what has ended stays ended"


def test_an_extension_cannot_be_asked_for_too_early_twice_or_for_no_longer(world: World, grant: Grant) -> None:
    with says_no(InputInvalid, "extension-not-later"):
        world.sharing.extend(grant.id, until=date(2026, 12, 31), by=MEDICAL_ANALYST)
    world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    with says_no(Conflict, "continuation-asked"):
        world.sharing.extend(grant.id, until=LATER, by=MEDICAL_COLLEAGUE)
    far = world.ask(LOW_INCOME, "village", until=date(2027, 12, 31))
    world.sharing.approve(far.id, by=CIVIL_REVIEWER)
    long = world.sharing.grant_of(world.sharing.request(far.id, by=MEDICAL_ANALYST))
    with says_no(Conflict, "extension-too-early"):
        world.sharing.extend(long.id, until=date(2028, 12, 31), by=MEDICAL_ANALYST)


def test_only_an_analyst_of_the_using_office_asks_for_it(world: World, grant: Grant) -> None:
    with says_no(Refused, "role-missing"):
        world.sharing.extend(grant.id, until=LATER, by=MEDICAL_REVIEWER)
    with says_no(Refused, "only-using-office"):
        world.sharing.extend(grant.id, until=LATER, by=CIVIL_ALL_ROLES)
    with says_no(NotFound, "grant-unknown"):
        world.sharing.extend(grant.id, until=LATER, by=EDUCATION_ANALYST)


def test_a_revocation_wins_over_an_extension_that_waits(world: World, grant: Grant) -> None:
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.clock.advance(seconds=1)
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="用途已变")
    with says_no(Conflict, "continued-grant-revoked"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    assert world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-no-duty").state is RequestState.REFUSED
    with says_no(Conflict, "grant-revoked-stays"):
        world.sharing.renew(grant.id, until=LATER, by=MEDICAL_ANALYST)


def test_what_was_given_back_can_be_renewed(world: World, grant: Grant) -> None:
    world.sharing.revoke(grant.id, by=MEDICAL_ANALYST, words="")
    events = world.sharing.grant_history(grant.id, by=MEDICAL_ANALYST)
    assert world.told()[-1] == "grant-given-back"
    assert events[-1].kind is GrantEventKind.GIVEN_BACK and grant_state(events) is GrantState.REVOKED
    request = world.sharing.renew(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    assert world.sharing.grant_of(world.sharing.request(request.id, by=MEDICAL_ANALYST)).id != grant.id


def test_the_extended_can_be_revoked_and_extended_again(world: World, grant: Grant) -> None:
    for number, until in ((2, LATER), (3, date(2027, 6, 30))):
        request = world.sharing.extend(grant.id, until=until, by=MEDICAL_ANALYST)
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
        assert now(world, grant).version == number
        world.clock.advance(days=100)
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="结束")
    assert now(world, grant).state is GrantState.REVOKED
    with says_no(Conflict, "grant-revoked-stays"):
        world.sharing.extend(grant.id, until=date(2028, 1, 1), by=MEDICAL_ANALYST)


def test_both_offices_are_told_thirty_days_before_the_end_and_at_the_end_once_each(world: World, grant: Grant) -> None:
    assert world.sharing.keep_clock().expiring == ()
    world.clock.advance(days=30)
    assert world.sharing.keep_clock().expiring == (grant.id,)
    assert world.sharing.keep_clock().expiring == ()
    world.clock.advance(days=31)
    assert world.sharing.keep_clock().expired == (grant.id,)
    assert world.sharing.keep_clock().expired == ()
    kinds = [event.kind for event in world.sharing.grant_history(grant.id, by=CIVIL_REVIEWER)]
    assert kinds[-2:] == [GrantEventKind.EXPIRING, GrantEventKind.EXPIRED]
    assert grant_state(world.sharing.grant_history(grant.id, by=CIVIL_REVIEWER)) is GrantState.ACTIVE, "the clock ends it, not the notice"
    assert [kind for kind in world.told() if kind.startswith("grant-expir")] == ["grant-expiring", "grant-expired"]


def test_the_stored_state_is_the_fold_of_the_events_whatever_happens(world: World, grant: Grant) -> None:
    request = world.sharing.extend(grant.id, until=LATER, by=MEDICAL_ANALYST)
    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    world.clock.advance(days=200)
    world.sharing.keep_clock()
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="已到期")
    stored = now(world, grant)
    assert stored.state is grant_state(world.sharing.grant_history(grant.id, by=MEDICAL_ANALYST))


def test_an_ended_grant_can_still_be_revoked_for_the_record_but_not_twice(world: World, grant: Grant) -> None:
    world.clock.advance(days=90)
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="核查")
    with says_no(Conflict, "grant-already-revoked"):
        world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="再次")
    assert replace(now(world, grant), state=grant.state, revoked_at=None, revoked_because=None) == grant
