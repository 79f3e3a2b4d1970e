"""Everybody else, every other way: a colleague, the officer in another post, the provider, the operator, after the end, with more or
other tokens, by guessing, by listening to errors and logs, by changing what is kept."""

import logging
import traceback
from dataclasses import replace

import pytest
from tests.spec.reidentification.case_world import (
    CASE,
    CIVIL_ANALYST,
    COLLEAGUE,
    FIRST_REVIEWER,
    IDENTIFIERS,
    MEDICAL_DATA_OFFICER,
    OFFICER,
    OFFICER_ELSEWHERE,
    ON_BOTH_SIDES_THERE,
    OPERATOR,
    OTHER_OFFICE,
    SECOND_REVIEWER,
    WHY,
    CaseWorld,
)
from tests.spec.sharing.world import CIVIL, CIVIL_OFFICER, MEDICAL, says_no

from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Refused, Unavailable
from huitong.model.party import Role
from huitong.model.policy import ItemTerm, Mask, MaskKind
from huitong.model.pseudonym import RenewalCause
from huitong.model.reidentification import ReidentificationState as State
from huitong.sharing.ports import Side

EVERYBODY_ELSE = [COLLEAGUE, ON_BOTH_SIDES_THERE, OFFICER_ELSEWHERE, OTHER_OFFICE, OPERATOR, CIVIL_ANALYST]


@pytest.mark.parametrize("by", EVERYBODY_ELSE, ids=lambda one: one.post)
def test_for_everybody_else_there_is_no_such_case(world: CaseWorld, by) -> None:
    agreed = world.agreed_case()
    acts = (
        lambda: world.cases.reveal(agreed.id, by=by),
        lambda: world.cases.reidentification(agreed.id, by=by),
        lambda: world.cases.approve(agreed.id, by=by),
        lambda: world.cases.refuse(agreed.id, by=by, reason="reidentification-refused-other", words="x"),
        lambda: world.cases.withdraw(agreed.id, by=by),
        lambda: world.cases.revoke(agreed.id, by=by, words="x"),
    )
    for act in acts:
        with says_no(NotFound, "reidentification-unknown"):
            act()
    for side in Side:
        assert world.cases.reidentifications(by=by, side=side)[1] == 0
    assert world.lookup.asked == []


@pytest.mark.parametrize("by", [MEDICAL_DATA_OFFICER, FIRST_REVIEWER, SECOND_REVIEWER, CIVIL_OFFICER], ids=lambda one: one.post)
def test_who_may_see_the_case_still_learns_nothing(world: CaseWorld, by) -> None:
    agreed = world.agreed_case()
    with says_no(Refused, "reidentification-only-officer"):
        world.cases.reveal(agreed.id, by=by)
    shown = world.cases.reidentification(agreed.id, by=by)
    assert not any(token in vars(shown).values() for token in IDENTIFIERS)
    assert world.lookup.asked == []


def test_the_officer_in_another_post_of_the_same_office_is_not_the_officer(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    other_post = replace(OFFICER, post="li@another-desk")
    world.stores.parties.put_actor(other_post)
    with says_no(Refused, "reidentification-only-officer"):
        world.cases.reveal(agreed.id, by=other_post)


def test_somebody_who_calls_themselves_the_officer_in_another_office_is_not(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    with pytest.raises(HuitongError):
        world.cases.reveal(agreed.id, by=replace(OFFICER, office=CIVIL, roles=frozenset({Role.REVIEWER})))
    assert world.lookup.asked == []


def test_the_officer_who_also_reviews_for_the_provider_does_not_answer_the_own_case(world: CaseWorld) -> None:
    asked = world.open_case()
    as_reviewer = replace(OFFICER, post="li@civil", office=CIVIL, roles=frozenset({Role.REVIEWER}))
    world.stores.parties.put_actor(as_reviewer)
    with says_no(Refused, "reidentification-own-case"):
        world.cases.approve(asked.id, by=as_reviewer)


def test_one_person_in_two_posts_of_the_provider_is_one_pair_of_eyes(world: CaseWorld) -> None:
    asked = world.open_case()
    world.cases.approve(asked.id, by=FIRST_REVIEWER)
    with says_no(Refused, "reidentification-twice"):
        world.cases.approve(asked.id, by=replace(FIRST_REVIEWER, post="wang@civil-second-desk"))


def test_an_officer_of_the_using_office_does_not_answer_for_the_provider(world: CaseWorld) -> None:
    asked = world.open_case()
    reviewer_there = replace(MEDICAL_DATA_OFFICER, roles=frozenset({Role.DATA_OFFICER, Role.REVIEWER}))
    with says_no(Refused, "reidentification-only-provider", "reidentification-own-office"):
        world.cases.approve(asked.id, by=reviewer_there)


def test_more_tokens_than_agreed_are_refused_as_a_whole(world: CaseWorld) -> None:
    agreed = world.agreed_case(11)
    for tokens in ([22], [11, 22], list(range(1000)), []):
        with says_no(Refused, "reidentification-token-not-agreed"):
            world.cases.reveal(agreed.id, by=OFFICER, tokens=tokens)
    assert world.lookup.asked == []
    assert world.cases.reidentification(agreed.id, by=OFFICER).reveals_left == 2, "none of it counted"


def test_tokens_slipped_into_the_table_are_noticed(world: CaseWorld) -> None:
    agreed = world.agreed_case(11)
    world.stores.reidentifications._tokens[agreed.id] = (11, 22)
    with says_no(Refused, "reidentification-tokens-altered"):
        world.cases.reveal(agreed.id, by=OFFICER)
    world.stores.reidentifications._tokens[agreed.id] = (22,)
    with says_no(Refused, "reidentification-tokens-altered"):
        world.cases.reveal(agreed.id, by=OFFICER, tokens=[22])


def test_asking_tells_nobody_whether_a_token_is_one(world: CaseWorld) -> None:
    real, guessed = world.open_case(11), world.open_case(987654321)
    differing = {name for name in vars(real) if getattr(real, name) != getattr(guessed, name)}
    assert differing == {"id", "tokens_hash"}
    assert world.lookup.asked == [], "not even looked up"


def test_a_guessed_token_is_answered_as_one_that_is_not_shown(world: CaseWorld) -> None:
    agreed = world.agreed_case(11, 987654321)
    assert world.told(world.cases.reveal(agreed.id, by=OFFICER)) == {11: IDENTIFIERS[11], 987654321: None}


def test_tokens_beyond_64_bits_are_no_tokens(world: CaseWorld) -> None:
    with says_no(InputInvalid, "pseudonym-unreadable"):
        world.open_case(2**63)


def test_a_case_of_one_grant_is_none_under_another(world: CaseWorld) -> None:
    """The grant was revoked; that another grant shows the same items of the same people does not revive the case."""
    agreed = world.agreed_case()
    world.grant_with()
    world.sharing.revoke(world.grant.id, by=FIRST_REVIEWER, words="over")
    with says_no(Conflict, "reidentification-ended-grant"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_a_grant_whose_next_version_shows_the_item_no_more_carries_no_case(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    hidden = replace(world.grant.terms, items=(ItemTerm("person_id", Mask(MaskKind.HIDE)),))
    world.stores.sharing._grants[world.grant.id] = replace(world.grant, version=2, terms=hidden)
    with says_no(Conflict, "reidentification-ended-grant-changed"):
        world.cases.reveal(agreed.id, by=OFFICER)
    assert world.kept_tokens(agreed) == ()


def test_a_colleague_does_not_inherit_the_case_with_the_signature(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    world.stores.sharing._grants[world.grant.id] = replace(world.grant, signed_by=COLLEAGUE.person)
    with says_no(Conflict, "reidentification-ended-officer"):
        world.cases.reveal(agreed.id, by=OFFICER)
    with says_no(NotFound, "reidentification-unknown"):
        world.cases.reveal(agreed.id, by=COLLEAGUE)


def test_before_the_second_agreement_and_after_a_refusal_nothing_is_told(world: CaseWorld) -> None:
    asked = world.open_case()
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(asked.id, by=OFFICER)
    world.cases.approve(asked.id, by=FIRST_REVIEWER)
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(asked.id, by=OFFICER)
    world.cases.refuse(asked.id, by=SECOND_REVIEWER, reason="reidentification-refused-other", words="no")
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(asked.id, by=OFFICER)


def test_an_agreement_is_not_played_twice(world: CaseWorld) -> None:
    agreed = world.agreed_case(reveals=1)
    world.cases.reveal(agreed.id, by=OFFICER)
    for reviewer in (FIRST_REVIEWER, SECOND_REVIEWER):
        with says_no(Conflict, "reidentification-answered"):
            world.cases.approve(agreed.id, by=reviewer)
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_errors_and_logs_carry_no_identifier_no_token_and_nothing_of_the_case(
    world: CaseWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = 7777777777777777
    agreed = world.agreed_case(token)
    secrets = (str(token), CASE, WHY, *IDENTIFIERS.values())
    world.lookup.fails_with = Unavailable.because("engine-unavailable")
    acts = (
        lambda: world.cases.reveal(agreed.id, by=OFFICER),
        lambda: world.cases.reveal(agreed.id, by=OFFICER, tokens=[token, 8888888888888888]),
        lambda: world.cases.reveal(agreed.id, by=COLLEAGUE),
        lambda: world.open_case(token, days=99),
        lambda: world.open_case(token, by=COLLEAGUE),
        lambda: world.cases.withdraw(agreed.id, by=OFFICER),
    )
    for act in acts:
        with pytest.raises(HuitongError) as caught:
            act()
        told = "".join(traceback.format_exception(caught.value)) + repr([(r.code, dict(r.parameters)) for r in caught.value.reasons])
        assert not any(secret in told for secret in secrets)
    assert not any(secret in caplog.text for secret in secrets)
    assert not any(secret in repr(agreed) for secret in secrets)


def test_the_state_follows_from_the_events_alone(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    assert replace(agreed, events=agreed.events[:2]).state is State.UNDER_REVIEW
    assert replace(agreed, events=agreed.events[:2]).reveals_left == 0
    assert agreed.using_office == MEDICAL


def test_a_service_neither_asks_nor_answers_nor_learns(world: CaseWorld) -> None:
    """A case has a responsible person; whoever holds the token of a service is anybody."""
    service = replace(MEDICAL_DATA_OFFICER, keeper=OFFICER.person)
    with says_no(Refused, "persons-answer", "reidentification-not-responsible"):
        world.open_case(by=service)
    asked = world.open_case()
    with says_no(Refused, "persons-answer"):
        world.cases.approve(asked.id, by=replace(FIRST_REVIEWER, keeper=SECOND_REVIEWER.person))
    agreed = world.agreed_case()
    world.stores.parties.put_actor(replace(OFFICER, keeper=COLLEAGUE.person))
    with says_no(Conflict, "reidentification-ended-officer"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_tokens_that_were_renewed_carry_no_case(world: CaseWorld) -> None:
    """The tokens of the case mean nobody any more; the officer asks anew with those of now."""
    agreed = world.agreed_case()
    world.clock.advance(minutes=1)
    world.pseudonyms.renew(
        world.grant.terms.linkage_group, by={"by": OPERATOR.person}, cause=RenewalCause.TOKENS_LEAKED
    )
    with says_no(Conflict, "reidentification-ended-pseudonyms"):
        world.cases.reveal(agreed.id, by=OFFICER)
    assert world.kept_tokens(agreed) == ()
    world.clock.advance(minutes=1)
    anew = world.agreed_case()
    assert world.told(world.cases.reveal(anew.id, by=OFFICER)) == IDENTIFIERS
