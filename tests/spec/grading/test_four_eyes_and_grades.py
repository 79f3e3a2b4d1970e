"""What a grade asks for, held against what people do. Written to be read by a lawyer.

Civil affairs manages the register of households on minimum living allowance: resident numbers (grade 4), names, dates of birth and
incomes (grade 3), villages (grade 2). The healthcare security administration asks. Wang, Chen and Qian review for civil affairs."""

import threading
from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    EDUCATION_ANALYST,
    FIRST_CHARACTER,
    HIDE,
    HOMES,
    LOW_INCOME,
    MEDICAL,
    MEDICAL_ANALYST,
    MEDICAL_REVIEWER,
    PSEUDONYM,
    World,
    item,
    person,
    says_no,
)

from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.catalog import Grade, Sharing, Visibility
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import ItemTerm
from huitong.model.sharing import RequestEventKind, RequestState
from huitong.policy.decide import decide
from huitong.policy.grading import read_scheme, scheme
from huitong.sharing.availability import AvailabilityKind
from huitong.words import render

WANG, CHEN, QIAN = CIVIL_REVIEWER, CIVIL_ALL_ROLES, person("qian", CIVIL, Role.REVIEWER)
NUMBER = ["person_id"]
HEALTH = replace(LOW_INCOME, items=(*LOW_INCOME.items, item("illness", "病种", "illness", Grade.SENSITIVE, meaning="health")))


@pytest.fixture
def world() -> World:
    """Three offices and three published datasets, on Monday 2 November 2026 at noon."""
    return World().publish_all()


@pytest.fixture
def request_of_numbers(world: World):
    """Resident numbers in clear, with names behind their first character."""
    return world.ask(LOW_INCOME, ("person_id", CLEAR), "name")


# Two reviewers


def test_resident_numbers_in_clear_take_two_reviewers(world: World, request_of_numbers) -> None:
    first = world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER, words="核对对象")
    assert first.state is RequestState.UNDER_REVIEW, "one word is not enough"
    assert (first.events[-1].kind, first.events[-1].actor) == (RequestEventKind.ENDORSED, WANG.person)
    assert world.sharing.grants(by=MEDICAL_ANALYST) == []

    second = world.sharing.approve(request_of_numbers.id, by=CHEN, weaker_masks=NUMBER)
    assert second.state is RequestState.GRANTED
    assert world.sharing.grant_of(second).terms.mask_of("person_id") == CLEAR


def test_behind_its_default_mask_the_same_number_takes_one(world: World) -> None:
    """What leaves is then a pseudonym, which the scheme counts as grade 3."""
    request = world.ask(LOW_INCOME, "person_id", "name", "village")
    assert world.sharing.approve(request.id, by=WANG).state is RequestState.GRANTED


def test_a_harmless_part_of_a_sensitive_register_stays_at_its_own_grade(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")
    assert world.sharing.grade_of_wish(request.wish, LOW_INCOME, office=MEDICAL).grade is Grade.INTERNAL
    assert world.sharing.approve(request.id, by=WANG).state is RequestState.GRANTED


def test_nobody_agrees_twice(world: World, request_of_numbers) -> None:
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    from_another_post = person(WANG.person, CIVIL, Role.REVIEWER, Role.DATA_OFFICER)
    for again in (WANG, replace(from_another_post, post="second-post")):
        with says_no(Refused, "review-twice"):
            world.sharing.approve(request_of_numbers.id, by=again, weaker_masks=NUMBER)
    assert world.sharing.request(request_of_numbers.id, by=WANG).state is RequestState.UNDER_REVIEW


def test_the_applicant_is_neither_the_first_nor_the_second(world: World) -> None:
    request = world.ask(LOW_INCOME, ("person_id", CLEAR), by=CHEN)
    with says_no(Refused, "review-own-request"):
        world.sharing.approve(request.id, by=CHEN, weaker_masks=NUMBER)
    world.sharing.approve(request.id, by=WANG, weaker_masks=NUMBER)
    with says_no(Refused, "review-own-request"):
        world.sharing.approve(request.id, by=CHEN, weaker_masks=NUMBER)
    assert world.sharing.approve(request.id, by=QIAN, weaker_masks=NUMBER).state is RequestState.GRANTED


def test_each_of_the_two_names_the_weaker_mask(world: World, request_of_numbers) -> None:
    with says_no(Refused, "mask-needs-word"):
        world.sharing.approve(request_of_numbers.id, by=WANG)
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    with says_no(Refused, "mask-needs-word"):
        world.sharing.approve(request_of_numbers.id, by=CHEN)


def test_the_second_agrees_to_what_the_first_agreed_to_not_to_what_was_asked(world: World) -> None:
    request = world.ask(LOW_INCOME, ("person_id", CLEAR), "name", "income")
    less = world.sharing.narrowed(request.id, by=WANG, items=[("person_id", None), ("name", None)], until=date(2026, 11, 30))
    world.sharing.approve(request.id, by=WANG, narrowed=less, weaker_masks=NUMBER)

    assert world.sharing.narrowed(request.id, by=CHEN) == less, "the form of the second begins with the word of the first"
    with says_no(InputInvalid, "wider-than-endorsed", "narrowing-item-added", "narrowing-until-later"):
        world.sharing.approve(request.id, by=CHEN, narrowed=request.wish, weaker_masks=NUMBER)
    terms = world.sharing.grant_of(world.sharing.approve(request.id, by=CHEN, weaker_masks=NUMBER)).terms
    assert {term.item for term in terms.items} == {"person_id", "name"}


def test_the_second_may_agree_to_less(world: World, request_of_numbers) -> None:
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    less = world.sharing.narrowed(request_of_numbers.id, by=CHEN, items=[("person_id", PSEUDONYM)])
    granted = world.sharing.approve(request_of_numbers.id, by=CHEN, narrowed=less)
    assert [(term.item, term.mask) for term in world.sharing.grant_of(granted).terms.items] == [("person_id", PSEUDONYM)]


def test_the_first_may_still_grant_alone_what_takes_one_reviewer(world: World, request_of_numbers) -> None:
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    less = world.sharing.narrowed(request_of_numbers.id, by=WANG, items=[("name", None)])
    assert world.sharing.approve(request_of_numbers.id, by=WANG, narrowed=less).state is RequestState.GRANTED


@pytest.mark.parametrize("who", [CHEN, WANG])
def test_after_the_first_word_it_can_be_refused(world: World, request_of_numbers, who) -> None:
    """By the second reviewer, or by the first who thought better of it."""
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    assert world.sharing.refuse(request_of_numbers.id, by=who, reason="refused-more-than-needed").state is RequestState.REFUSED
    with says_no(Conflict, "request-answered"):
        world.sharing.approve(request_of_numbers.id, by=QIAN, weaker_masks=NUMBER)


def test_after_the_first_word_it_can_be_taken_back(world: World, request_of_numbers) -> None:
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    assert world.sharing.withdraw(request_of_numbers.id, by=MEDICAL_ANALYST).state is RequestState.WITHDRAWN
    assert world.sharing.grants(by=MEDICAL_ANALYST) == []


def test_the_word_of_one_who_went_over_to_the_asking_office_stands_no_more(world: World, request_of_numbers) -> None:
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    world.stores.parties.put_actor(person(WANG.person, MEDICAL, Role.ANALYST))
    assert world.sharing.approve(request_of_numbers.id, by=CHEN, weaker_masks=NUMBER).state is RequestState.UNDER_REVIEW
    assert world.sharing.approve(request_of_numbers.id, by=QIAN, weaker_masks=NUMBER).state is RequestState.GRANTED


def test_the_ledger_tells_both_words_and_no_more_than_that(world: World, request_of_numbers) -> None:
    world.ledger.written.clear()
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER, words="张三的事")
    world.sharing.approve(request_of_numbers.id, by=CHEN, weaker_masks=NUMBER)

    assert world.ledger.kinds == [EntryKind.REQUEST_ENDORSED, EntryKind.REQUEST_APPROVED, EntryKind.GRANT_MADE]
    first, second = world.ledger.written[0][1], world.ledger.written[1][1]
    assert (first["actor"], first["grade"], first["weaker_masks"]) == (WANG.person, 4, NUMBER)
    assert (second["actor"], second["endorsed_by"], second["grade"]) == (CHEN.person, WANG.person, 4)
    assert "张三" not in str(world.ledger.written)


def test_asking_part_by_part_is_asking_for_the_whole(world: World) -> None:
    """Names first, illnesses a week later: together they tell who is ill, and the same office would hold both."""
    world.catalog.publish(HEALTH, by=CIVIL_OFFICER)
    names = world.ask(HEALTH, ("name", FIRST_CHARACTER), "village")
    assert world.sharing.approve(names.id, by=WANG).state is RequestState.GRANTED
    world.clock.advance(days=7)
    illnesses = world.ask(HEALTH, "illness")
    assert world.sharing.approve(illnesses.id, by=WANG).state is RequestState.UNDER_REVIEW, "two reviewers for what completes it"
    elsewhere = world.ask(HEALTH, "illness", by=EDUCATION_ANALYST)
    assert world.sharing.approve(elsewhere.id, by=WANG).state is RequestState.GRANTED, "an office without the names"


def test_what_is_held_already_does_not_make_a_harmless_request_heavier(world: World, request_of_numbers) -> None:
    for reviewer in (WANG, CHEN):
        world.sharing.approve(request_of_numbers.id, by=reviewer, weaker_masks=NUMBER)
    villages = world.ask(LOW_INCOME, "village")
    assert world.sharing.reviewers_of_wish(villages.wish, office=MEDICAL) == 1
    assert world.sharing.approve(villages.id, by=WANG).state is RequestState.GRANTED


# Modes


CORE_NUMBERS = replace(
    LOW_INCOME, items=(replace(LOW_INCOME.items[0], grade=Grade.CORE), *LOW_INCOME.items[1:])
)


def test_core_data_never_leaves_whoever_agrees(world: World) -> None:
    world.catalog.publish(CORE_NUMBERS, by=CIVIL_OFFICER)
    with says_no(Refused, "grade-lets-nothing-leave"):
        world.ask(LOW_INCOME, ("person_id", CLEAR), "name")
    with says_no(Refused, "grade-lets-nothing-leave"):
        world.ask(LOW_INCOME, ("person_id", PSEUDONYM), "name")
    request = world.ask(LOW_INCOME, "person_id", "name")
    assert request.wish.items[0] == ItemTerm("person_id", HIDE), "its default mask"
    assert world.sharing.approve(request.id, by=WANG).state is RequestState.GRANTED, "the rest of the register does"


def test_what_became_core_while_the_request_waited_is_not_agreed(world: World, request_of_numbers) -> None:
    world.catalog.publish(CORE_NUMBERS, by=CIVIL_OFFICER)
    with says_no(Refused, "grade-lets-nothing-leave"):
        world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)


def test_a_standing_grant_stays_as_it_is_but_what_became_core_is_used_no_more(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "person_id", "village"))
    world.sharing.prepare(grant.id)
    grant = world.stores.sharing.grant(grant.id)
    core = replace(HOMES, items=CORE_NUMBERS.items)

    def use(*items: str):
        return decide(
            actor=MEDICAL_ANALYST, purpose="social-assistance", uses={HOMES.id: frozenset(items)}, datasets={HOMES.id: core},
            grants=[grant], at=world.clock(),
        )  # fmt: skip

    assert [reason.code for reason in use("person_id", "village").reasons] == ["grant-above-grade"]
    assert use("village").allowed
    assert world.stores.sharing.grant(grant.id) == grant


def test_a_province_may_let_a_grade_leave_only_as_aggregates(world: World) -> None:
    stricter = read_scheme(SCHEME_OF_A_PROVINCE)
    strict = replace(world.sharing, grading=stricter)
    wish = strict.wish(
        LOW_INCOME.id, purpose="social-assistance", legal_basis="社会救助暂行办法", items=[("income", CLEAR)], until=date(2026, 12, 31)
    )
    with says_no(Refused, "mode-not-allowed") as refused:
        strict.submit(wish, by=MEDICAL_ANALYST)
    assert refused.value.reasons[0].parameters["modes"] == "aggregate-only"


SCHEME_OF_A_PROVINCE = """
base = "gb-t-43697"
id = "own"

[[grade]]
code = "open"
rank = 2
title = ["开放", "Open"]
meaning = ["可提供。", "May leave."]
reviewers = 1
at_once = true
modes = ["rows", "aggregate-only"]
sandbox_level = 1
keep_days = 365
reject_rows_kept = true

[[grade]]
code = "guarded"
rank = 6
title = ["受控", "Guarded"]
meaning = ["只能以汇总方式提供。", "May leave as aggregates only."]
reviewers = 2
at_once = false
modes = ["aggregate-only"]
sandbox_level = 2
keep_days = 90
reject_rows_kept = false
"""


# Shared without condition


def test_what_is_shared_without_condition_is_reviewed_where_its_grade_may_not_be_granted_by_rule(world: World) -> None:
    important = replace(HOMES, items=tuple(replace(one, grade=Grade.IMPORTANT) for one in HOMES.items))
    world.catalog.publish(important, by=CIVIL_OFFICER)
    request = world.ask(HOMES, "village")
    assert (request.state, request.answer_due) == (RequestState.UNDER_REVIEW, date(2026, 11, 16))
    world.sharing.approve(request.id, by=WANG)
    assert world.sharing.approve(request.id, by=CHEN).state is RequestState.GRANTED


# Lineage and scale


def test_a_request_for_derived_data_is_judged_by_what_it_was_made_of(world: World) -> None:
    """The share of income was made of a register that has since been graded important; the derived entry still says 3."""
    derived = replace(
        LOW_INCOME,
        id="civil.income_share",
        items=(replace(item("share", "占比", "share", Grade.SENSITIVE), derived_from=("civil.low_income#income",)),),
        key=None,
        division_item=None,
        derived_from=("civil.low_income",),
    )
    world.catalog.publish(derived, by=CIVIL_OFFICER)
    request = world.ask(derived, "share")
    income = replace(LOW_INCOME.items[4], grade=Grade.IMPORTANT)
    world.catalog.publish(replace(LOW_INCOME, items=(*LOW_INCOME.items[:4], income)), by=CIVIL_OFFICER)

    grade = world.sharing.effective_grade(derived)
    assert grade.grade is Grade.IMPORTANT
    assert [reason.code for reason in grade.because] == ["grade-by-source"]
    assert world.sharing.approve(request.id, by=WANG).state is RequestState.UNDER_REVIEW, "two reviewers now"


def test_a_register_of_more_than_ten_million_persons_takes_two_reviewers(world: World) -> None:
    snapshot = replace(world.snapshot(LOW_INCOME, 1), rows=10_000_001)
    world.sharing.take_snapshot(snapshot, by=CIVIL_OFFICER)
    assert world.sharing.effective_grade(LOW_INCOME).grade is Grade.IMPORTANT
    request = world.ask(LOW_INCOME, "person_id", "village")
    assert world.sharing.approve(request.id, by=WANG).state is RequestState.UNDER_REVIEW
    villages = world.ask(LOW_INCOME, "village")
    assert world.sharing.approve(villages.id, by=WANG).state is RequestState.GRANTED, "without anybody who could be told apart"


# When a grade is raised


def test_an_officer_sees_the_grants_that_show_more_than_the_default_of_today(world: World) -> None:
    open_names = world.ask(LOW_INCOME, "name", "village")
    open_names = world.sharing.grant_of(world.sharing.approve(open_names.id, by=WANG))
    villages = world.ask(LOW_INCOME, "village")
    world.sharing.approve(villages.id, by=WANG)
    assert world.sharing.grants_below(LOW_INCOME.id, by=CIVIL_OFFICER) == ()

    raised = tuple(replace(one, grade=Grade.HIGHLY_SENSITIVE) if one.name == "name" else one for one in LOW_INCOME.items)
    world.catalog.publish(replace(LOW_INCOME, items=raised), by=CIVIL_OFFICER)
    (found,) = world.sharing.grants_below(LOW_INCOME.id, by=CIVIL_OFFICER)
    assert (found.grant, found.using_office, found.item, found.default) == (open_names.id, MEDICAL, "name", HIDE)
    assert world.stores.sharing.grant(open_names.id) == open_names, "nothing was changed silently"
    assert world.sharing.grants_below(LOW_INCOME.id, by=WANG) == (found,)
    for nobody in (MEDICAL_ANALYST, MEDICAL_REVIEWER):
        with pytest.raises(Refused):
            world.sharing.grants_below(LOW_INCOME.id, by=nobody)
    world.sharing.revoke(open_names.id, by=WANG, words="定级提高")
    assert world.sharing.grants_below(LOW_INCOME.id, by=CIVIL_OFFICER) == ()


# Can I have it, how, by when


class Roll:
    """Who could answer, as the portal's posts tell it."""

    def __init__(self, *persons: str) -> None:
        self.persons = frozenset(persons)

    def reviewers_of(self, offices):
        return {office: self.persons for office in offices if office == CIVIL}




def test_the_answer_says_by_how_many_reviewers(world: World) -> None:
    assert world.sharing.availability(LOW_INCOME, actor=MEDICAL_ANALYST).reviewers == 1
    told = world.sharing.availability(HEALTH, actor=MEDICAL_ANALYST)
    assert (told.kind, told.reviewers) == (AvailabilityKind.NEEDS_APPROVAL, 2), "persons and their illnesses together"
    assert "2 different reviewers" in render(told.reason(HEALTH), "en")
    assert "2 位不同的审核员" in render(told.reason(HEALTH), "zh-Hans")


def test_the_answer_says_that_the_first_of_two_has_agreed(world: World, request_of_numbers) -> None:
    assert not world.sharing.availability(LOW_INCOME, actor=MEDICAL_ANALYST).endorsed
    world.sharing.approve(request_of_numbers.id, by=WANG, weaker_masks=NUMBER)
    told = world.sharing.availability(LOW_INCOME, actor=MEDICAL_ANALYST)
    assert (told.kind, told.endorsed, told.reason(LOW_INCOME).code) == (AvailabilityKind.UNDER_REVIEW, True, "availability-half-agreed")


@pytest.mark.parametrize(
    ("entry", "actor", "roll", "rule"),
    [
        (LOW_INCOME, MEDICAL_REVIEWER, None, "availability-role-missing"),
        (HOMES, MEDICAL_REVIEWER, None, "availability-role-missing"),
        (LOW_INCOME, MEDICAL_ANALYST, Roll(), "availability-nobody-answers"),
        (HEALTH, MEDICAL_ANALYST, Roll("wang"), "availability-nobody-answers"),
        (LOW_INCOME, CHEN, Roll(CHEN.person), "availability-nobody-answers"),
        (replace(LOW_INCOME, items=(item("x", "项", "x", Grade.CORE),), key=None, division_item=None), MEDICAL_ANALYST, None,
         "availability-nothing-leaves"),
    ],
)  # fmt: skip
def test_a_rule_that_stands_against_it_is_named(world: World, entry, actor, roll, rule) -> None:
    told = replace(world.sharing, roll=roll).availability(entry, actor=actor)
    assert (told.kind, told.reason(entry).code) == (AvailabilityKind.REFUSED, rule)
    for language in ("en", "zh-Hans"):
        sentence = render(told.reason(entry), language)
        assert entry.id in sentence and "{" not in sentence and "(" + "provider" not in sentence


def test_with_enough_reviewers_nothing_stands_against_it(world: World) -> None:
    told = replace(world.sharing, roll=Roll("wang", "chen")).availability(HEALTH, actor=MEDICAL_ANALYST)
    assert told.kind is AvailabilityKind.NEEDS_APPROVAL
    nobody = replace(world.sharing, roll=Roll())
    assert nobody.availability(HOMES, actor=MEDICAL_ANALYST).kind is AvailabilityKind.AT_ONCE, "no person is needed"


def test_a_page_of_datasets_takes_the_same_few_questions_however_long_it_is(world: World) -> None:
    asked: list[str] = []
    sharing, catalog = world.stores.sharing, world.stores.catalog
    for store, name in ((sharing, "grants_of_office"), (sharing, "requests_for"), (catalog, "datasets"), (catalog, "current_snapshot")):
        original = getattr(store, name)

        def count(*arguments, _original=original, _name=name, **named):
            asked.append(_name)
            return _original(*arguments, **named)

        setattr(store, name, count)
    page = [replace(LOW_INCOME, id=f"civil.part_{number}") for number in range(50)]
    assert len(world.sharing.availabilities(page, actor=MEDICAL_ANALYST)) == 50
    assert sorted(asked) == ["grants_of_office", "requests_for"]


# Who may not know of it


def test_a_dataset_one_may_not_know_of_cannot_be_asked_for_and_answers_as_one_that_does_not_exist(world: World) -> None:
    hidden = replace(LOW_INCOME, visibility=Visibility.NAMED, known_to=())
    form = {"purpose": "social-assistance", "legal_basis": "x", "until": date(2026, 12, 1)}
    wish = world.sharing.wish(LOW_INCOME.id, items=[("village", None)], **form)
    world.catalog.publish(hidden, by=CIVIL_OFFICER)
    with says_no(NotFound, "dataset-unknown") as for_hidden:
        world.sharing.submit(wish, by=MEDICAL_ANALYST)
    with says_no(NotFound, "dataset-unknown") as for_none:
        world.sharing.submit(replace(wish, dataset="civil.nothing"), by=MEDICAL_ANALYST)
    assert for_hidden.value.reasons[0].parameters.keys() == for_none.value.reasons[0].parameters.keys()
    with says_no(NotFound, "dataset-unknown"):
        world.sharing.wish(LOW_INCOME.id, items=[("no_such", None)], by=MEDICAL_ANALYST, **form)
    with says_no(NotFound, "dataset-unknown"):
        world.sharing.grants_below(LOW_INCOME.id, by=MEDICAL_ANALYST)
    assert world.ledger.kinds == [EntryKind.DATASET_PUBLISHED]


def test_the_alternative_scheme_says_that_it_must_be_checked_and_takes_two_reviewers_for_all_internal_data(world: World) -> None:
    guideline = scheme("db52-t-1123")
    assert guideline.check_against_text
    strict = replace(world.sharing, grading=guideline)
    request = world.ask(LOW_INCOME, "village")
    assert strict.approve(request.id, by=WANG).state is RequestState.UNDER_REVIEW
    assert strict.approve(request.id, by=CHEN).state is RequestState.GRANTED
    assert world.stores.catalog.dataset(HOMES.id).sharing is Sharing.UNCONDITIONAL


def test_of_two_reviewers_at_the_same_moment_one_is_the_first_and_one_the_second(world: World, request_of_numbers) -> None:
    """Whoever comes a moment later meets what the other has written; never two first words, never two grants."""
    ready = threading.Barrier(2)
    outcomes: list[RequestState] = []

    def agree(who) -> None:
        ready.wait()
        outcomes.append(world.sharing.approve(request_of_numbers.id, by=who, weaker_masks=NUMBER).state)

    threads = [threading.Thread(target=agree, args=(who,)) for who in (WANG, CHEN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [RequestState.GRANTED, RequestState.UNDER_REVIEW]
    assert len(world.sharing.grants(by=MEDICAL_ANALYST)) == 1


def test_a_word_written_on_an_old_picture_of_the_request_meets_a_conflict(world: World, request_of_numbers) -> None:
    """As between two processes whose transactions overlap: the store compares what was seen with what is there."""
    event = replace(request_of_numbers.events[0], kind=RequestEventKind.ENDORSED, actor=WANG.person)
    world.stores.sharing.append_event(request_of_numbers.id, event, expected_events=1)
    stale = replace(request_of_numbers)
    world.stores.sharing.request = lambda _: stale  # type: ignore[method-assign]
    before = len(world.ledger.written)
    with says_no(Conflict, "request-moved"):
        world.sharing.approve(request_of_numbers.id, by=CHEN, weaker_masks=NUMBER)
    assert len(world.ledger.written) == before
