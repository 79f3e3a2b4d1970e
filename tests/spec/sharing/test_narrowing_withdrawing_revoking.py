"""What a reviewer may change, how a request is taken back, how a grant ends. Written to be read by a lawyer."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    EDUCATION_ANALYST,
    GUIYANG,
    HIDE,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    MEDICAL_REVIEWER,
    MONTH,
    NANMING,
    YEAR,
    ZUNYI,
    World,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.catalog import Sharing
from huitong.model.ledger import EntryKind
from huitong.model.policy import DivisionRows, GrantState, ItemTerm, Purpose
from huitong.model.sharing import RequestState


@pytest.fixture
def request_of_guiyang(world: World):
    """Name by its first character, birth by month, village and income of the rows of Guiyang, until the end of the year."""
    return world.ask(LOW_INCOME, "name", "born", "village", "income", division=GUIYANG)


def test_a_reviewer_may_agree_to_less(world: World, request_of_guiyang) -> None:
    less = world.sharing.narrowed(
        request_of_guiyang.id,
        by=CIVIL_REVIEWER,
        items=[("born", YEAR), ("village", None)],
        division=NANMING,
        until=date(2026, 11, 30),
    )
    agreed = world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER, narrowed=less)

    terms = world.sharing.grant_of(agreed).terms
    assert [(term.item, term.mask) for term in terms.items] == [("born", YEAR), ("village", CLEAR)]
    assert terms.rows == DivisionRows(item="village", division=NANMING)
    assert agreed.events[-1].wish == less
    assert agreed.wish == request_of_guiyang.wish, "what was asked stays on record beside what was agreed"


def test_what_a_reviewer_does_not_state_stays_as_asked(world: World, request_of_guiyang) -> None:
    less = world.sharing.narrowed(request_of_guiyang.id, by=CIVIL_REVIEWER, until=date(2026, 11, 30))
    assert less == replace(request_of_guiyang.wish, until=date(2026, 11, 30))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"items": (ItemTerm("name", CLEAR),)}, "narrowing-mask-weaker"),
        ({"items": (ItemTerm("born", MONTH), ItemTerm("person_id", HIDE))}, "narrowing-item-added"),
        ({"rows": None}, "narrowing-rows-wider"),
        ({"rows": DivisionRows(item="village", division=ZUNYI)}, "narrowing-rows-wider"),
        ({"until": date(2027, 1, 1)}, "narrowing-until-later"),
        ({"purpose": Purpose(code="taxation", legal_basis="税收征收管理法")}, "narrowing-other-purpose"),
        ({"purpose": Purpose(code="social-assistance", legal_basis="another law")}, "narrowing-other-purpose"),
        ({"dataset": HOMES.id}, "narrowing-other-dataset"),
    ],
)
def test_a_reviewer_may_not_agree_to_more(world: World, request_of_guiyang, change, code) -> None:
    with says_no(InputInvalid, code):
        world.sharing.approve(
            request_of_guiyang.id,
            by=CIVIL_REVIEWER,
            narrowed=replace(request_of_guiyang.wish, **change),
            weaker_masks=["name", "born", "person_id"],
        )
    assert world.sharing.request(request_of_guiyang.id, by=CIVIL_REVIEWER).state is RequestState.UNDER_REVIEW


def test_naming_a_weaker_mask_does_not_let_a_reviewer_go_beyond_what_was_asked(world: World) -> None:
    request = world.ask(LOW_INCOME, ("name", HIDE))
    shown = replace(request.wish, items=(ItemTerm("name", CLEAR),))
    with says_no(InputInvalid, "narrowing-mask-weaker"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, narrowed=shown, weaker_masks=["name"])


def test_the_office_that_asked_may_take_the_request_back_until_it_is_answered(world: World, request_of_guiyang) -> None:
    with says_no(Refused, "only-applicant"):
        world.sharing.withdraw(request_of_guiyang.id, by=CIVIL_REVIEWER)
    with says_no(Refused, "role-missing"):
        world.sharing.withdraw(request_of_guiyang.id, by=MEDICAL_REVIEWER)
    with says_no(NotFound, "request-unknown"):
        world.sharing.withdraw(request_of_guiyang.id, by=EDUCATION_ANALYST)
    withdrawn = world.sharing.withdraw(request_of_guiyang.id, by=MEDICAL_COLLEAGUE)
    assert withdrawn.state is RequestState.WITHDRAWN

    with says_no(Conflict, "request-answered"):
        world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER)
    assert world.sharing.grants(by=MEDICAL_ANALYST) == []


def test_an_answer_is_given_once(world: World, request_of_guiyang) -> None:
    world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER)
    for again in (
        lambda: world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER),
        lambda: world.sharing.refuse(request_of_guiyang.id, by=CIVIL_REVIEWER, reason="refused-no-duty"),
        lambda: world.sharing.withdraw(request_of_guiyang.id, by=MEDICAL_ANALYST),
    ):
        with says_no(Conflict, "request-answered"):
            again()
    assert len(world.sharing.grants(by=MEDICAL_ANALYST)) == 1


def test_a_dataset_that_is_no_longer_shared_cannot_be_granted_by_an_old_request(world: World, request_of_guiyang) -> None:
    closed = replace(LOW_INCOME, sharing=Sharing.NOT_SHARED, sharing_basis="新的规定")
    world.catalog.publish(closed, by=CIVIL_OFFICER)
    with says_no(Refused, "dataset-not-shared"):
        world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER)


def test_a_dataset_that_meanwhile_is_shared_without_condition_keeps_its_floor_of_masks(world: World) -> None:
    request = world.ask(LOW_INCOME, ("name", CLEAR))
    world.catalog.publish(replace(LOW_INCOME, sharing=Sharing.UNCONDITIONAL), by=CIVIL_OFFICER)
    with says_no(Refused, "mask-below-floor"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER, weaker_masks=["name"])


def test_a_request_whose_last_day_has_passed_cannot_be_granted(world: World, request_of_guiyang) -> None:
    world.clock.advance(days=90)
    with says_no(InputInvalid, "until-passed"):
        world.sharing.approve(request_of_guiyang.id, by=CIVIL_REVIEWER)


def test_the_managing_office_revokes_at_once_and_says_why(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "village"))
    epoch = world.stores.epoch.current()

    with says_no(InputInvalid, "revocation-words-missing"):
        world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="")
    with says_no(Refused, "role-missing"):
        world.sharing.revoke(grant.id, by=CIVIL_OFFICER, words="because")
    with says_no(NotFound, "grant-unknown"):
        world.sharing.revoke(grant.id, by=EDUCATION_ANALYST, words="because")
    revoked = world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="目的已经实现")

    assert revoked.state is GrantState.REVOKED and revoked.revoked_at == world.clock()
    assert not world.sharing.grant(grant.id, by=MEDICAL_ANALYST).valid_at(world.clock())
    assert world.stores.epoch.current() == epoch + 1, "every process sees it at its next request"
    assert world.ledger.written[-1][1]["side"] == "provider"


def test_the_using_office_may_give_a_grant_back(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "village"))
    with says_no(Refused, "role-missing"):
        world.sharing.revoke(grant.id, by=MEDICAL_REVIEWER, words="")
    world.sharing.revoke(grant.id, by=MEDICAL_COLLEAGUE, words="")
    assert world.ledger.written[-1] == (
        EntryKind.GRANT_REVOKED,
        world.ledger.written[-1][1] | {"grant": grant.id, "side": "applicant", "actor": MEDICAL_COLLEAGUE.person},
    )


def test_a_revoked_grant_cannot_be_revoked_again_and_an_expired_one_can(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "village"))
    world.clock.advance(days=365)
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="over")
    with says_no(Conflict, "grant-already-revoked"):
        world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="over")
