"""Can I have it, how, by when: what the catalogue answers before anyone asks a person."""

from dataclasses import replace
from datetime import UTC, date, datetime

from tests.spec.sharing.world import (
    ADOPTION,
    CIVIL,
    CIVIL_REVIEWER,
    EDUCATION_ANALYST,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    MEDICAL_REVIEWER,
    World,
)

from huitong.sharing.availability import AvailabilityKind
from huitong.words import render


def answer(world: World, dataset, actor=MEDICAL_ANALYST):
    return world.sharing.availability(dataset, actor=actor)


def test_the_three_sharing_types_give_three_answers(world: World) -> None:
    assert answer(world, HOMES).kind is AvailabilityKind.AT_ONCE

    conditional = answer(world, LOW_INCOME)
    assert conditional.kind is AvailabilityKind.NEEDS_APPROVAL
    assert (conditional.provider, conditional.working_days, conditional.answer_by) == (CIVIL, 10, date(2026, 11, 16))
    assert conditional.condition == LOW_INCOME.sharing_condition and not conditional.provisional

    closed = answer(world, ADOPTION)
    assert (closed.kind, closed.basis) == (AvailabilityKind.NOT_SHARED, "民法典第一千一百一十条")


def test_a_waiting_request_and_then_the_grant_change_the_answer_for_the_whole_office_only(world: World) -> None:
    request = world.ask(LOW_INCOME, "village")
    waiting = answer(world, LOW_INCOME, MEDICAL_COLLEAGUE)
    assert (waiting.kind, waiting.request, waiting.answer_by) == (AvailabilityKind.UNDER_REVIEW, request.id, date(2026, 11, 16))
    assert answer(world, LOW_INCOME, EDUCATION_ANALYST).kind is AvailabilityKind.NEEDS_APPROVAL

    world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    granted = answer(world, LOW_INCOME, MEDICAL_COLLEAGUE)
    assert (granted.kind, granted.until) == (AvailabilityKind.GRANTED, date(2026, 12, 31))
    assert answer(world, LOW_INCOME, EDUCATION_ANALYST).grants == ()


def test_a_grant_in_preparation_an_ended_and_a_revoked_one(world: World) -> None:
    grant = world.sharing.grant_of(world.ask(HOMES, "person_id"))
    assert answer(world, HOMES).kind is AvailabilityKind.PREPARING
    world.sharing.prepare(grant.id)
    assert answer(world, HOMES).kind is AvailabilityKind.GRANTED
    world.clock.now = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)
    assert answer(world, HOMES).kind is AvailabilityKind.AT_ONCE, "it ended; a new request is granted at once"

    fresh = world.sharing.grant_of(world.ask(HOMES, "village", until=date(2027, 3, 1)))
    world.sharing.revoke(fresh.id, by=CIVIL_REVIEWER, words="over")
    assert answer(world, HOMES).kind is AvailabilityKind.AT_ONCE


def test_a_day_that_hangs_on_unknown_holidays_says_so(world: World) -> None:
    world.clock.now = datetime(2026, 12, 28, 4, 0, tzinfo=UTC)
    assert answer(world, LOW_INCOME).provisional


def test_every_answer_is_a_sentence_in_both_languages(world: World) -> None:
    world.ask(LOW_INCOME, "village", by=EDUCATION_ANALYST)
    grant = world.sharing.grant_of(world.ask(HOMES, "person_id", by=EDUCATION_ANALYST))
    seen = [answer(world, one) for one in (LOW_INCOME, HOMES, ADOPTION)]
    seen += [answer(world, LOW_INCOME, EDUCATION_ANALYST), answer(world, HOMES, EDUCATION_ANALYST)]
    world.sharing.prepare(grant.id)
    seen.append(answer(world, HOMES, EDUCATION_ANALYST))
    seen.append(answer(world, HOMES, MEDICAL_REVIEWER))

    assert {one.kind for one in seen} == set(AvailabilityKind)
    for one in seen:
        for language in ("en", "zh-Hans"):
            sentence = render(one.reason(replace(HOMES)), language)
            assert HOMES.id in sentence and "{" not in sentence


def test_a_page_of_datasets_is_answered_together(world: World) -> None:
    answers = world.sharing.availabilities([HOMES, LOW_INCOME, ADOPTION], actor=MEDICAL_ANALYST)
    assert [answers[one.id].kind for one in (HOMES, LOW_INCOME, ADOPTION)] == [
        AvailabilityKind.AT_ONCE,
        AvailabilityKind.NEEDS_APPROVAL,
        AvailabilityKind.NOT_SHARED,
    ]
