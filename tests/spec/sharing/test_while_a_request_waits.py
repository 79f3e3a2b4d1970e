"""What happens between asking and answering: supplements, more time, lateness, the regulator. Written to be read by a lawyer.

The healthcare security administration asks on Monday 2 November 2026; the answer is due on Monday 16 November.
"""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.spec.sharing.world import (
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    EDUCATION_ANALYST,
    EDUCATION_REVIEWER,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    MEDICAL_REVIEWER,
    REGULATOR,
    World,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.catalog import Openness
from huitong.model.ledger import EntryKind
from huitong.model.sharing import Request, RequestEventKind, RequestKind, RequestState
from huitong.sharing.deadline import CalendarYear, FreeDays, WorkingDays


@pytest.fixture
def asked(world: World) -> Request:
    """The request of 2 November, for the province to answer. The posts of all who take part stand."""
    for one in (CIVIL_REVIEWER, CIVIL_ALL_ROLES, CIVIL_OFFICER, MEDICAL_ANALYST, MEDICAL_COLLEAGUE, REGULATOR):
        world.stores.parties.put_actor(one)
    request: Request = world.ask(LOW_INCOME, "village", "income")
    assert request.answer_due == date(2026, 11, 16)
    world.told()
    return request


def test_a_supplement_stops_the_clock_and_the_limit_begins_anew_when_it_comes(world: World, asked: Request) -> None:
    world.clock.advance(days=2)
    waiting = world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="请补充职责依据的条款")

    assert waiting.state is RequestState.SUPPLEMENT_ASKED
    assert waiting.answer_due is None, "the clock stands still"
    assert waiting.events[-1].due == date(2026, 11, 18), "ten working days for the applicant"
    with says_no(Conflict, "request-waits-for-applicant"):
        world.sharing.approve(asked.id, by=CIVIL_REVIEWER)

    world.clock.advance(days=5)
    back = world.sharing.supplement(asked.id, by=MEDICAL_COLLEAGUE, words="第五十八条")
    assert back.state is RequestState.UNDER_REVIEW
    assert back.answer_due == date(2026, 11, 23), "ten working days from Monday 9 November"
    assert world.told() == ["supplement-asked", "supplement-given"]
    assert world.sharing.approve(asked.id, by=CIVIL_REVIEWER).state is RequestState.GRANTED


def test_a_supplement_is_asked_for_once_within_five_working_days_and_in_words(world: World, asked: Request) -> None:
    with says_no(InputInvalid, "supplement-words-missing"):
        world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words=" ")
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="缺附件")
    world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="已补")
    with says_no(Conflict, "supplement-asked-before"):
        world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="还缺")

    other = world.ask(LOW_INCOME, "village")
    world.clock.advance(days=8)
    with says_no(Conflict, "supplement-too-late"):
        world.sharing.ask_supplement(other.id, by=CIVIL_REVIEWER, words="缺附件")


def test_only_who_may_answer_asks_and_only_who_asked_supplies(world: World, asked: Request) -> None:
    with says_no(Refused, "only-provider", "review-own-office"):
        world.sharing.ask_supplement(asked.id, by=replace(MEDICAL_REVIEWER, person=MEDICAL_COLLEAGUE.person), words="x")
    with says_no(NotFound, "request-unknown"):
        world.sharing.ask_supplement(asked.id, by=EDUCATION_REVIEWER, words="x")
    with says_no(Conflict, "request-not-asked"):
        world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="x")
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="缺附件")
    with says_no(Refused, "only-applicant"):
        world.sharing.supplement(asked.id, by=CIVIL_ALL_ROLES, words="x")
    with says_no(Refused, "role-missing"):
        world.sharing.supplement(asked.id, by=MEDICAL_REVIEWER, words="x")


def test_a_supplement_may_change_what_is_asked_and_is_judged_as_if_it_were_asked_first(world: World, asked: Request) -> None:
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="收入不必要")
    less = replace(asked.wish, items=asked.wish.items[:1])
    other = world.sharing.wish(
        HOMES.id, purpose="social-assistance", legal_basis="x", items=[("village", None)], until=date(2026, 12, 31)
    )
    with says_no(InputInvalid, "supplement-other-dataset"):
        world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="改", wish=other)
    back = world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="已减少", wish=less)
    assert back.wish == less
    grant = world.sharing.grant_of(world.sharing.approve(asked.id, by=CIVIL_REVIEWER))
    assert [term.item for term in grant.terms.items] == ["village"]


def test_what_a_first_reviewer_agreed_to_counts_no_more_after_a_supplement(world: World) -> None:
    for one in (CIVIL_REVIEWER, CIVIL_ALL_ROLES, MEDICAL_ANALYST):
        world.stores.parties.put_actor(one)
    asked = world.ask(LOW_INCOME, ("person_id", CLEAR))
    first = world.sharing.approve(asked.id, by=CIVIL_REVIEWER, weaker_masks=["person_id"])
    assert first.state is RequestState.UNDER_REVIEW, "this grade asks for two reviewers"
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="缺附件")
    world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="已补")
    again = world.sharing.approve(asked.id, by=CIVIL_ALL_ROLES, weaker_masks=["person_id"])
    assert again.state is RequestState.UNDER_REVIEW, "the first of two again"
    assert world.sharing.approve(asked.id, by=CIVIL_REVIEWER, weaker_masks=["person_id"]).state is RequestState.GRANTED


def test_a_supplement_that_never_comes_lapses_the_request(world: World, asked: Request) -> None:
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="缺附件")
    world.clock.advance(days=14)
    assert world.sharing.keep_clock().lapsed == (), "16 November is the last day"
    world.clock.advance(days=1)
    assert world.sharing.keep_clock().lapsed == (asked.id,)
    assert world.sharing.keep_clock().lapsed == (), "once"
    lapsed = world.sharing.request(asked.id, by=MEDICAL_ANALYST)
    assert lapsed.state is RequestState.LAPSED and lapsed.events[-1].actor == "rule"
    with says_no(Conflict, "request-answered"):
        world.sharing.supplement(asked.id, by=MEDICAL_ANALYST, words="迟到")
    assert world.ask(LOW_INCOME, "village").state is RequestState.UNDER_REVIEW, "the office may ask anew"


def test_a_request_can_be_withdrawn_while_a_supplement_is_asked_for(world: World, asked: Request) -> None:
    world.sharing.ask_supplement(asked.id, by=CIVIL_REVIEWER, words="缺附件")
    assert world.sharing.withdraw(asked.id, by=MEDICAL_ANALYST).state is RequestState.WITHDRAWN


def test_a_late_answer_is_told_to_the_regulator_of_the_same_level_once(world: World, asked: Request) -> None:
    world.clock.advance(days=14)
    assert world.sharing.keep_clock().escalated == (), "16 November is the last day"
    world.clock.advance(days=1)
    assert world.sharing.keep_clock().escalated == (asked.id,)
    assert world.sharing.keep_clock().escalated == ()
    notice = world.stores.notices.posted[-1]
    assert notice.kind == "request-overdue"
    assert {office for office, _ in notice.to_roles} == {"gz-civil-affairs", "gz-data-bureau"}
    assert world.ledger.kinds[-1] is EntryKind.REQUEST_ESCALATED
    assert world.sharing.approve(asked.id, by=CIVIL_REVIEWER).state is RequestState.GRANTED, "a late answer is an answer"


def test_the_office_that_asked_may_tell_the_regulator_itself_but_not_before_the_day(world: World, asked: Request) -> None:
    with says_no(Conflict, "request-not-late"):
        world.sharing.escalate(asked.id, by=MEDICAL_ANALYST)
    world.clock.advance(days=15)
    with says_no(Refused, "only-applicant"):
        world.sharing.escalate(asked.id, by=CIVIL_REVIEWER)
    world.sharing.escalate(asked.id, by=MEDICAL_ANALYST, words="多次联系未果")
    with says_no(Conflict, "request-escalated"):
        world.sharing.escalate(asked.id, by=MEDICAL_ANALYST)


def test_the_regulator_sees_the_request_and_sets_a_day_but_does_not_answer(world: World, asked: Request) -> None:
    assert world.sharing.request(asked.id, by=REGULATOR).id == asked.id
    with says_no(NotFound, "request-unknown"):
        world.sharing.request(asked.id, by=EDUCATION_ANALYST)
    with says_no(Conflict, "request-not-escalated"):
        world.sharing.mediate(asked.id, by=REGULATOR, words="协调", answer_by=date(2026, 11, 20))
    world.clock.advance(days=15)
    world.sharing.keep_clock()
    with says_no(InputInvalid, "mediation-day-out-of-range"):
        world.sharing.mediate(asked.id, by=REGULATOR, words="协调", answer_by=date(2026, 12, 31))
    with says_no(InputInvalid, "mediation-day-not-worked"):
        world.sharing.mediate(asked.id, by=REGULATOR, words="周末", answer_by=date(2026, 11, 21))
    spoken = world.sharing.mediate(asked.id, by=REGULATOR, words="双方同意", answer_by=date(2026, 11, 20))
    assert spoken.answer_due == date(2026, 11, 20)
    with says_no(Refused, "only-provider", "role-missing"):
        world.sharing.approve(asked.id, by=REGULATOR)
    world.clock.advance(days=4)
    assert world.sharing.keep_clock().escalated == (asked.id,), "late again, told again"


def test_sharing_knows_no_more_time(world: World, asked: Request) -> None:
    with says_no(Conflict, "prolong-not-allowed"):
        world.sharing.prolong(asked.id, by=CIVIL_REVIEWER, words="忙", approved_by=CIVIL_OFFICER.person)


def opened(world: World) -> Request:
    """An application for conditionally open data: fifteen working days."""
    for one in (CIVIL_REVIEWER, CIVIL_OFFICER, MEDICAL_ANALYST):
        world.stores.parties.put_actor(one)
    entry = replace(LOW_INCOME, openness=Openness.CONDITIONAL, openness_condition=LOW_INCOME.sharing_condition)
    world.catalog.publish(entry, by=CIVIL_OFFICER)
    wish = replace(
        world.sharing.wish(
            LOW_INCOME.id, purpose="social-assistance", legal_basis="依申请开放", items=[("village", None)], until=date(2026, 12, 31)
        ),
        kind=RequestKind.OPENING,
    )
    return world.sharing.submit(wish, by=MEDICAL_ANALYST)


def test_open_data_on_application_has_fifteen_working_days_and_fifteen_more_with_the_word_of_the_head(world: World) -> None:
    request = opened(world)
    assert request.answer_due == date(2026, 11, 23)
    with says_no(Refused, "prolong-needs-head"):
        world.sharing.prolong(request.id, by=CIVIL_REVIEWER, words="需核实", approved_by=CIVIL_REVIEWER.person)
    with says_no(Refused, "prolong-needs-head"):
        world.sharing.prolong(request.id, by=CIVIL_REVIEWER, words="需核实", approved_by=MEDICAL_ANALYST.person)
    longer = world.sharing.prolong(request.id, by=CIVIL_REVIEWER, words="需核实", approved_by=CIVIL_OFFICER.person)
    assert longer.answer_due == date(2026, 12, 14)
    told = world.stores.notices.posted[-1]
    assert told.kind.value == "request-extended"
    assert told.to_persons == (MEDICAL_ANALYST.person, CIVIL_OFFICER.person), "so is the head, who may not know whose word this was"
    with says_no(Conflict, "prolonged-before"):
        world.sharing.prolong(request.id, by=CIVIL_REVIEWER, words="再延", approved_by=CIVIL_OFFICER.person)


def test_more_time_is_asked_for_before_the_time_is_over(world: World) -> None:
    request = opened(world)
    world.clock.advance(days=22)
    with says_no(Conflict, "request-late"):
        world.sharing.prolong(request.id, by=CIVIL_REVIEWER, words="需核实", approved_by=CIVIL_OFFICER.person)


def test_what_is_not_open_is_refused_at_once_to_who_applies_for_it_as_open_data(world: World) -> None:
    wish = replace(
        world.sharing.wish(
            LOW_INCOME.id, purpose="social-assistance", legal_basis="依申请开放", items=[("village", None)], until=date(2026, 12, 31)
        ),
        kind=RequestKind.OPENING,
    )
    request = world.sharing.submit(wish, by=MEDICAL_ANALYST)
    assert request.state is RequestState.REFUSED and request.events[-1].reason == "refused-not-open"


def test_a_new_notice_of_holidays_moves_the_last_day_of_open_requests_with_a_trace(world: World, asked: Request) -> None:
    free = (FreeDays(name="临时放假", first=date(2026, 11, 12), last=date(2026, 11, 13)),)
    year = CalendarYear(year=2026, free=free, workdays=frozenset(), source="test", provisional=False)
    later = replace(world.sharing, calendar=WorkingDays([year]))
    assert later.keep_clock().recounted == (asked.id,)
    moved = world.sharing.request(asked.id, by=MEDICAL_ANALYST)
    assert moved.answer_due == date(2026, 11, 18)
    assert moved.events[-1].kind is RequestEventKind.RECOUNTED
    assert later.keep_clock().recounted == ()


def test_the_clock_alone_changes_nothing_before_its_day(world: World, asked: Request) -> None:
    before = len(world.ledger.written)
    for _ in range(14):
        world.clock.now += timedelta(days=1)
        kept = world.sharing.keep_clock()
        assert (kept.escalated, kept.lapsed, kept.recounted) == ((), (), ())
    assert len(world.ledger.written) == before
