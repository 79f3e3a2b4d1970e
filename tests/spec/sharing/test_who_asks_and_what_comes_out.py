"""Who asks, what the conditions are, what comes out. Written to be read by a lawyer.

Civil affairs manages three datasets: homes for the elderly (shared without condition), households on minimum living allowance
(shared on a condition), adoptions (not shared). The healthcare security administration asks, on Monday 2 November 2026 at noon.
"""

from dataclasses import replace
from datetime import UTC, date, datetime

from tests.spec.sharing.world import (
    ADOPTION,
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    DUTY,
    EDUCATION_ANALYST,
    EDUCATION_REVIEWER,
    FIRST_CHARACTER,
    HIDE,
    HOMES,
    LOW_INCOME,
    MEDICAL,
    MEDICAL_ANALYST,
    MEDICAL_REVIEWER,
    NANMING,
    PROVINCE,
    PSEUDONYM,
    World,
    person,
    says_no,
)

from huitong.errors import InputInvalid, NotFound, Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import DivisionLevel, Role
from huitong.model.policy import GrantState
from huitong.model.sharing import RequestState
from huitong.sharing.ports import Side


def test_shared_without_condition_is_granted_at_once_with_the_default_masks(world: World) -> None:
    request = world.ask(HOMES, "name", "village")

    assert request.state is RequestState.GRANTED
    assert request.answer_due is None, "nobody has to answer"
    assert request.events[-1].actor == "rule", "no person decided"
    grant = world.sharing.grant_of(request)
    assert grant.state is GrantState.ACTIVE
    assert grant.using_office == MEDICAL and grant.provider == CIVIL and grant.signed_by == MEDICAL_ANALYST.person
    assert grant.terms.mask_of("name") == FIRST_CHARACTER, "the default of a person's name"
    assert grant.terms.mask_of("village") == CLEAR
    assert grant.terms.mask_of("income") is None, "what was not asked for is not granted"
    assert world.ledger.kinds == [EntryKind.REQUEST_SUBMITTED, EntryKind.REQUEST_APPROVED, EntryKind.GRANT_MADE]


def test_shared_without_condition_never_goes_below_the_default_mask(world: World) -> None:
    with says_no(Refused, "mask-below-floor") as caught:
        world.ask(HOMES, ("name", CLEAR), ("person_id", CLEAR), "village")
    assert {reason.parameters["item"] for reason in caught.value.reasons} == {"name", "person_id"}, "all of them at once"
    assert world.ledger.written == [], "nothing happened"

    assert world.ask(HOMES, ("name", HIDE)).state is RequestState.GRANTED, "a stricter mask may be asked for"


def test_not_shared_is_refused_at_once_and_says_on_what_basis(world: World) -> None:
    request = world.ask(ADOPTION, "village")

    assert request.state is RequestState.REFUSED
    refusal = request.events[-1]
    assert (refusal.actor, refusal.reason, refusal.words) == ("rule", "refused-not-shared", "民法典第一千一百一十条")
    assert world.sharing.grants(by=MEDICAL_ANALYST) == []
    assert world.ledger.kinds == [EntryKind.REQUEST_SUBMITTED, EntryKind.REQUEST_REFUSED]


def test_shared_on_a_condition_waits_ten_working_days_for_a_reviewer_of_the_managing_office(world: World) -> None:
    request = world.ask(LOW_INCOME, "person_id", "village")

    assert request.state is RequestState.UNDER_REVIEW
    assert request.answer_due == date(2026, 11, 16), "the day of receipt does not count"
    assert world.sharing.grants(by=MEDICAL_ANALYST) == []
    waiting, count = world.sharing.requests(by=CIVIL_REVIEWER, side=Side.PROVIDER, states=[RequestState.UNDER_REVIEW])
    assert (list(waiting), count) == ([request], 1), "it lies on the reviewer's desk"


def test_an_approval_makes_a_grant_of_what_was_agreed(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", "income", division=NANMING)
    world.clock.advance(days=3)
    request = world.sharing.approve(request.id, by=CIVIL_REVIEWER, words="同意")

    assert request.state is RequestState.GRANTED
    assert request.events[-1].actor == CIVIL_REVIEWER.person
    grant = world.sharing.grant_of(request)
    assert grant.terms.rows.division == NANMING
    assert grant.terms.purpose.code == "social-assistance" and grant.terms.purpose.legal_basis == DUTY
    assert grant.terms.valid_from == world.clock(), "from the approval on, not from the request"
    assert grant.terms.linkage_group == f"{MEDICAL}:social-assistance"


def test_the_last_day_of_use_ends_at_midnight_in_guiyang(world: World) -> None:
    request = world.ask(HOMES, "village", until=date(2026, 12, 31))
    grant = world.sharing.grant_of(request)

    assert grant.terms.valid_until == datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "24:00 of 31 December there"
    assert grant.valid_at(datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC))
    assert not grant.valid_at(datetime(2026, 12, 31, 16, 0, tzinfo=UTC))


def test_today_may_be_the_last_day_but_yesterday_may_not(world: World) -> None:
    assert world.ask(HOMES, "village", until=date(2026, 11, 2)).state is RequestState.GRANTED
    with says_no(InputInvalid, "until-passed"):
        world.ask(HOMES, "village", until=date(2026, 11, 1))


def test_only_an_analyst_may_ask(world: World) -> None:
    for somebody in (MEDICAL_REVIEWER, CIVIL_OFFICER):
        with says_no(Refused, "role-missing"):
            world.ask(HOMES, "village", by=somebody)


def test_an_office_asks_for_its_own_dataset_in_the_same_way(world: World) -> None:
    request = world.ask(LOW_INCOME, "village", by=CIVIL_ALL_ROLES)
    assert request.state is RequestState.UNDER_REVIEW

    with says_no(Refused, "review-own-request"):
        world.sharing.approve(request.id, by=CIVIL_ALL_ROLES)
    with says_no(Refused, "review-own-request"):
        world.sharing.refuse(request.id, by=CIVIL_ALL_ROLES, reason="refused-no-duty")
    assert world.sharing.approve(request.id, by=CIVIL_REVIEWER).state is RequestState.GRANTED, "another person of the office may"


def test_nobody_reviews_their_own_request_from_another_post(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")
    same_person_elsewhere = person(MEDICAL_ANALYST.person, CIVIL, *CIVIL_REVIEWER.roles)
    with says_no(Refused, "review-own-request"):
        world.sharing.approve(request.id, by=same_person_elsewhere)


def test_nobody_answers_a_request_of_an_office_in_which_they_hold_a_post_too(world: World) -> None:
    """A colleague's request is refused as well: the same person would give and take."""
    request = world.ask(LOW_INCOME, "village")
    on_both_sides = person("zhou-on-both-sides", CIVIL, *CIVIL_REVIEWER.roles)
    world.stores.parties.put_actor(on_both_sides)
    world.stores.parties.put_actor(person("zhou-on-both-sides", MEDICAL_ANALYST.office, *MEDICAL_ANALYST.roles))
    with says_no(Refused, "review-own-office"):
        world.sharing.approve(request.id, by=on_both_sides)
    assert world.sharing.approve(request.id, by=CIVIL_REVIEWER).state is RequestState.GRANTED


def test_only_a_reviewer_of_the_managing_office_answers(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")

    with says_no(Refused, "role-missing"):
        world.sharing.approve(request.id, by=CIVIL_OFFICER)
    with says_no(Refused, "only-provider"):
        world.sharing.approve(request.id, by=MEDICAL_REVIEWER)
    with says_no(NotFound, "request-unknown"):
        world.sharing.approve(request.id, by=EDUCATION_REVIEWER)
    assert world.sharing.request(request.id, by=CIVIL_REVIEWER).state is RequestState.UNDER_REVIEW


def test_a_request_is_seen_by_the_two_offices_it_concerns_and_by_no_other(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")

    assert world.sharing.request(request.id, by=MEDICAL_ANALYST) == request
    assert world.sharing.request(request.id, by=CIVIL_OFFICER) == request
    with says_no(NotFound, "request-unknown"):
        world.sharing.request(request.id, by=EDUCATION_ANALYST)
    with says_no(NotFound, "request-unknown"):
        world.sharing.request("R-2026-999999", by=EDUCATION_ANALYST)


def test_a_refusal_carries_a_coded_reason_and_words_where_the_reason_asks_for_them(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")

    with says_no(InputInvalid, "refusal-reason-unknown"):
        world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="not today")
    with says_no(InputInvalid, "refusal-reason-unknown"):
        world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-not-shared")
    with says_no(InputInvalid, "refusal-words-missing"):
        world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-condition-not-met", words="  ")
    refused = world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-condition-not-met", words="不是核对救助对象")

    assert refused.state is RequestState.REFUSED
    assert (refused.events[-1].reason, refused.events[-1].words) == ("refused-condition-not-met", "不是核对救助对象")
    assert world.ledger.written[-1][1]["reason"] == "refused-condition-not-met"
    assert "不是核对救助对象" not in str(world.ledger.written), "what people write stays out of the ledger"


def test_a_mask_weaker_than_the_default_needs_the_reviewers_express_word(world: World) -> None:
    request = world.ask(LOW_INCOME, ("name", CLEAR), "village")
    assert request.state is RequestState.UNDER_REVIEW, "it may be asked for where a person reviews"

    with says_no(Refused, "mask-needs-word"):
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    request = world.sharing.approve(request.id, by=CIVIL_REVIEWER, weaker_masks=["name"])
    assert world.sharing.grant_of(request).terms.mask_of("name") == CLEAR
    approval = dict(world.ledger.written)[EntryKind.REQUEST_APPROVED]
    assert approval["weaker_masks"] == ["name"], "the ledger says so"


def test_what_was_asked_for_wrongly_is_told_all_at_once(world: World) -> None:
    with says_no(InputInvalid, "purpose-unknown", "until-passed", "division-unknown"):
        world.ask(HOMES, "village", purpose="curiosity", until=date(2020, 1, 1), division="999999000000")
    with says_no(InputInvalid, "item-unknown"):
        world.ask(HOMES, "salary")
    with says_no(InputInvalid, "terms-without-items"):
        world.ask(HOMES)
    with says_no(InputInvalid, "terms-item-twice"):
        world.ask(HOMES, "village", "VILLAGE")
    with says_no(InputInvalid, "mask-unfit"):
        world.ask(HOMES, ("born", PSEUDONYM))
    with says_no(InputInvalid, "legal-basis-missing"):
        world.ask(HOMES, "village", legal_basis=" ")
    assert world.ledger.written == []


def test_a_county_office_sees_its_county_unless_it_asks_for_more(world: World) -> None:
    county = replace(world.stores.parties.office(MEDICAL), id="520102-medical-security", division=NANMING, level=DivisionLevel.COUNTY)
    world.stores.parties.put_office(county)
    clerk = replace(person("he", county.id, Role.ANALYST), division=NANMING)
    stated = {"purpose": "social-assistance", "legal_basis": DUTY, "items": [("village", None)], "until": date(2026, 12, 31)}

    own = world.sharing.wish(LOW_INCOME.id, by=clerk, **stated)
    assert own.rows is not None and own.rows.division == NANMING, "without a word: its own county"
    more = world.sharing.wish(LOW_INCOME.id, by=clerk, division=PROVINCE, **stated)
    assert more.rows is not None and more.rows.division == PROVINCE, "expressly, for the reviewer to see"
    assert world.sharing.wish(LOW_INCOME.id, by=MEDICAL_ANALYST, **stated).rows is None, "an office of the same level: all rows"
