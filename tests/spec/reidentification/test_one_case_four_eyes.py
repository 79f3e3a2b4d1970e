"""For one case the responsible officer may learn who stands behind a few pseudonyms, if two reviewers of the office that holds the
identifiers agree; both offices can end it at any time, and it ends by itself."""

import json
from dataclasses import replace

import pytest
from tests.spec.reidentification.case_world import (
    BASIS,
    CASE,
    COLLEAGUE,
    FIRST_REVIEWER,
    IDENTIFIERS,
    MEDICAL_DATA_OFFICER,
    OFFICER,
    ON_BOTH_SIDES,
    SECOND_REVIEWER,
    WHY,
    CaseWorld,
    after_new_year,
)
from tests.spec.sharing.world import CIVIL, CIVIL_ALL_ROLES, CIVIL_REVIEWER, HOMES, MEDICAL, PSEUDONYM, says_no

from huitong.errors import Conflict, InputInvalid, Refused, Unavailable
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.party import Role
from huitong.model.policy import ItemTerm, Mode
from huitong.model.reidentification import ReidentificationEvent
from huitong.model.reidentification import ReidentificationEventKind as Kind
from huitong.model.reidentification import ReidentificationState as State
from huitong.sharing.ports import Side

# Asking


def test_the_officer_asks_for_a_case_and_two_reviewers_agree(world: CaseWorld) -> None:
    asked = world.open_case(22, 11, 11)
    assert (asked.state, asked.tokens, asked.officer, asked.post) == (State.UNDER_REVIEW, 2, OFFICER.person, OFFICER.post)
    assert asked.answer_due.isoformat() == "2026-11-16", "ten working days, as for every request"

    endorsed = world.cases.approve(asked.id, by=FIRST_REVIEWER, words="The township confirms the household")
    assert endorsed.state is State.UNDER_REVIEW and endorsed.agreement is None, "one yes gives nothing"

    agreed = world.cases.approve(asked.id, by=SECOND_REVIEWER)
    assert agreed.state is State.AGREED and agreed.valid_at(world.clock())
    assert agreed.agreement is not None and agreed.agreement.until is not None
    assert (agreed.agreement.until - world.clock()).days == 7, "the term begins with the second agreement"
    assert world.told(world.cases.reveal(asked.id, by=OFFICER)) == IDENTIFIERS


def test_whoever_signed_the_grant_or_a_data_officer_of_the_office_may_ask_and_nobody_else(world: CaseWorld) -> None:
    assert world.open_case(by=OFFICER).officer == OFFICER.person
    assert world.open_case(by=MEDICAL_DATA_OFFICER).officer == MEDICAL_DATA_OFFICER.person
    with says_no(Refused, "reidentification-not-responsible"):
        world.open_case(by=COLLEAGUE)


def test_a_case_needs_its_reference_its_legal_basis_and_words_why(world: CaseWorld) -> None:
    for missing in ("case", "legal_basis", "why"):
        with says_no(InputInvalid, "reidentification-text-invalid"):
            world.open_case(**{missing: "  "})


def test_everything_that_is_wrong_is_said_at_once(world: CaseWorld) -> None:
    with says_no(
        InputInvalid,
        "reidentification-number-invalid",
        "reidentification-text-invalid",
        "reidentification-tokens-number",
        "reidentification-item-wrong",
    ):
        world.open_case(*range(21), days=31, reveals=0, why="", item="village")


def test_a_case_is_a_few_tokens_never_a_list(world: CaseWorld) -> None:
    assert world.open_case(*range(20)).tokens == 20
    for too_many_or_none in (range(21), [5] * 0):
        with says_no(InputInvalid, "reidentification-tokens-number"):
            world.cases.ask(world.grant.id, tokens=too_many_or_none, case=CASE, legal_basis=BASIS, why=WHY, by=OFFICER)


def test_where_several_items_are_pseudonyms_the_case_says_which(world: CaseWorld) -> None:
    both = world.grant_with(items=(ItemTerm("person_id", PSEUDONYM), ItemTerm("name", PSEUDONYM)))
    with says_no(InputInvalid, "reidentification-item-unstated"):
        world.open_case(grant=both)
    assert world.open_case(grant=both, item="NAME").item == "name"


def test_a_grant_without_pseudonyms_has_nothing_to_undo(world: CaseWorld) -> None:
    plain = world.sharing.grant_of(world.ask(HOMES, "village", by=OFFICER))
    with says_no(InputInvalid, "reidentification-no-pseudonym"):
        world.open_case(grant=plain)


def test_a_grant_that_gives_totals_only_shows_no_tokens_to_ask_about(world: CaseWorld) -> None:
    with says_no(Refused, "reidentification-no-rows"):
        world.open_case(grant=world.grant_with(mode=Mode.AGGREGATE_ONLY, k=10))


def test_a_grant_has_a_few_open_cases_at_a_time(world: CaseWorld) -> None:
    cases = [world.open_case() for _ in range(10)]
    with says_no(Conflict, "reidentification-many-open"):
        world.open_case()
    world.cases.withdraw(cases[0].id, by=OFFICER)
    world.open_case()


def test_an_office_that_holds_the_identifiers_itself_has_no_case(world: CaseWorld) -> None:
    own = world.sharing.grant_of(world.ask(HOMES, "person_id", by=CIVIL_ALL_ROLES))
    own = world.sharing.prepare(own.id)
    with says_no(Refused, "reidentification-own-dataset"):
        world.open_case(grant=own, by=CIVIL_ALL_ROLES)


# Answering


def test_two_different_people_must_agree(world: CaseWorld) -> None:
    asked = world.open_case()
    world.cases.approve(asked.id, by=FIRST_REVIEWER)
    with says_no(Refused, "reidentification-twice"):
        world.cases.approve(asked.id, by=FIRST_REVIEWER)
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(asked.id, by=OFFICER)


def test_who_serves_in_the_using_office_too_does_not_answer(world: CaseWorld) -> None:
    asked = world.open_case()
    with says_no(Refused, "reidentification-own-office"):
        world.cases.approve(asked.id, by=ON_BOTH_SIDES)
    with says_no(Refused, "reidentification-own-office"):
        world.cases.refuse(asked.id, by=ON_BOTH_SIDES, reason="reidentification-refused-other", words="no")


def test_the_word_of_a_first_reviewer_who_has_gone_over_counts_no_more(world: CaseWorld) -> None:
    asked = world.open_case()
    world.cases.approve(asked.id, by=FIRST_REVIEWER)
    world.stores.parties.put_actor(replace(FIRST_REVIEWER, post="wang@medical", office=MEDICAL, roles=frozenset({Role.ANALYST})))
    assert world.cases.approve(asked.id, by=SECOND_REVIEWER).state is State.UNDER_REVIEW, "the second has become the first"


def test_reviewers_may_agree_to_less_and_never_to_more(world: CaseWorld) -> None:
    asked = world.open_case(days=7, reveals=2)
    with says_no(InputInvalid, "reidentification-wider"):
        world.cases.approve(asked.id, by=FIRST_REVIEWER, days=8)
    world.cases.approve(asked.id, by=FIRST_REVIEWER, days=3)
    with says_no(InputInvalid, "reidentification-wider"):
        world.cases.approve(asked.id, by=SECOND_REVIEWER, days=7)
    agreed = world.cases.approve(asked.id, by=SECOND_REVIEWER, reveals=1)
    assert agreed.agreement is not None and (agreed.agreement.days, agreed.agreement.reveals) == (3, 1)


def test_one_no_is_enough_and_carries_a_reason_and_words(world: CaseWorld) -> None:
    asked = world.open_case()
    world.cases.approve(asked.id, by=FIRST_REVIEWER)
    with says_no(InputInvalid, "reidentification-words-missing"):
        world.cases.refuse(asked.id, by=SECOND_REVIEWER, reason="reidentification-refused-not-needed", words=" ")
    with says_no(InputInvalid, "reidentification-reason-unknown"):
        world.cases.refuse(asked.id, by=SECOND_REVIEWER, reason="because", words="no")
    refused = world.cases.refuse(asked.id, by=SECOND_REVIEWER, reason="reidentification-refused-not-needed", words="The township knows")
    assert refused.state is State.REFUSED and world.kept_tokens(asked) == ()
    with says_no(Conflict, "reidentification-answered"):
        world.cases.approve(asked.id, by=SECOND_REVIEWER)


def test_reviewers_are_told_how_far_the_same_pseudonyms_reach(world: CaseWorld) -> None:
    """Who learns the person behind a token learns it for every grant of the group, also those that other offices gave."""
    assert world.cases.linked_grants(world.open_case()) == []
    other = world.grant_with()
    asked = world.open_case()
    assert [one.id for one in world.cases.linked_grants(asked)] == [other.id]
    assert world.ledger.written[-1][1]["linked_grants"] == [other.id]


# Learning


def test_only_some_of_the_agreed_tokens_may_be_asked_for(world: CaseWorld) -> None:
    agreed = world.agreed_case(11, 22)
    assert world.told(world.cases.reveal(agreed.id, by=OFFICER, tokens=[22])) == {22: IDENTIFIERS[22]}
    assert world.lookup.asked[-1].tokens == (22,)


def test_each_reveal_counts_and_the_last_one_ends_the_case(world: CaseWorld) -> None:
    agreed = world.agreed_case(reveals=2)
    world.cases.reveal(agreed.id, by=OFFICER)
    assert world.cases.reidentification(agreed.id, by=OFFICER).reveals_left == 1
    world.cases.reveal(agreed.id, by=OFFICER)
    over = world.cases.reidentification(agreed.id, by=OFFICER)
    assert over.state is State.ENDED and over.events[-1].reason == "reidentification-ended-used-up"
    assert world.kept_tokens(agreed) == ()
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_a_reveal_that_failed_is_given_back(world: CaseWorld) -> None:
    agreed = world.agreed_case(reveals=1)
    world.lookup.fails_with = Unavailable.because("engine-unavailable")
    with says_no(Unavailable, "engine-unavailable"):
        world.cases.reveal(agreed.id, by=OFFICER)
    world.lookup.fails_with = None
    assert world.told(world.cases.reveal(agreed.id, by=OFFICER)) == IDENTIFIERS


def test_a_reveal_that_never_came_back_counts(world: CaseWorld) -> None:
    """The process died in the midst: nobody knows what was told."""
    agreed = world.agreed_case(reveals=1)

    begun = ReidentificationEvent(Kind.REVEAL_BEGUN, world.clock(), OFFICER.person, MEDICAL)
    with world.stores.atomic():
        world.stores.reidentifications.append(agreed.id, begun, expected_events=len(agreed.events))
    with says_no(Conflict, "reidentification-used-up"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_two_reveals_at_once_are_both_told_and_the_case_ends_after_the_later_one(world: CaseWorld) -> None:
    agreed = world.agreed_case(reveals=2)
    told = []

    def meanwhile_another() -> None:
        world.lookup.meanwhile = lambda: None
        told.append(world.told(world.cases.reveal(agreed.id, by=OFFICER)))
        assert world.cases.reidentification(agreed.id, by=OFFICER).state is State.AGREED, "one is under way still"

    world.lookup.meanwhile = meanwhile_another
    told.append(world.told(world.cases.reveal(agreed.id, by=OFFICER)))
    assert told == [IDENTIFIERS, IDENTIFIERS]
    assert world.cases.reidentification(agreed.id, by=OFFICER).state is State.ENDED


# Ending


ENDERS = [(SECOND_REVIEWER, Kind.REVOKED), (OFFICER, Kind.GIVEN_BACK), (MEDICAL_DATA_OFFICER, Kind.GIVEN_BACK)]


@pytest.mark.parametrize(("by", "kind"), ENDERS)
def test_either_office_ends_it_at_once(world: CaseWorld, by, kind) -> None:
    agreed = world.agreed_case()
    ended = world.cases.revoke(agreed.id, by=by, words="The household was found")
    assert (ended.state, ended.events[-1].kind) == (State.REVOKED, kind)
    assert world.kept_tokens(agreed) == ()
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_the_providing_office_says_why_it_ends_it(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    with says_no(InputInvalid, "reidentification-words-missing"):
        world.cases.revoke(agreed.id, by=SECOND_REVIEWER)


def test_what_was_not_answered_can_be_taken_back(world: CaseWorld) -> None:
    asked = world.open_case()
    assert world.cases.withdraw(asked.id, by=OFFICER).state is State.WITHDRAWN
    assert world.kept_tokens(asked) == ()


def over(world: CaseWorld, what: str) -> None:
    """Something happens that ends the case of the test by rule."""
    if what == "reidentification-ended-term":
        world.clock.advance(days=7)
    elif what == "reidentification-ended-grant":
        world.sharing.revoke(world.grant.id, by=CIVIL_REVIEWER, words="The purpose is over")
    elif what == "the grant expires":
        world.clock.now = after_new_year()
    elif what == "reidentification-ended-officer":
        world.leaves(OFFICER)
    elif what == "the officer's post loses its role":
        world.stores.parties.put_actor(replace(OFFICER, roles=frozenset({Role.REGULATOR})))


ENDINGS = {
    "reidentification-ended-term": "reidentification-ended-term",
    "reidentification-ended-grant": "reidentification-ended-grant",
    "the grant expires": "reidentification-ended-grant",
    "reidentification-ended-officer": "reidentification-ended-officer",
    "the officer's post loses its role": "reidentification-ended-officer",
}


@pytest.mark.parametrize("what", ENDINGS)
def test_it_ends_by_itself_and_its_tokens_go(world: CaseWorld, what: str) -> None:
    agreed = world.agreed_case()
    over(world, what)
    with says_no(Conflict, ENDINGS[what]):
        world.cases.reveal(agreed.id, by=OFFICER)
    assert world.lookup.asked == [], "nothing was looked up"
    ended = world.stores.reidentifications.get(agreed.id)
    assert ended is not None and ended.state is State.ENDED and ended.events[-1].reason == ENDINGS[what]
    assert world.kept_tokens(agreed) == ()
    assert world.ledger.kinds[-1] is EntryKind.REIDENTIFICATION_ENDED


@pytest.mark.parametrize("what", ENDINGS)
def test_the_worker_ends_it_if_nobody_comes(world: CaseWorld, what: str) -> None:
    agreed = world.agreed_case()
    over(world, what)
    assert [one.id for one in world.cases.end_over()] == [agreed.id]
    assert world.kept_tokens(agreed) == ()
    assert world.cases.end_over() == []


def test_an_officer_who_comes_back_does_not_find_the_case_again(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    world.leaves(OFFICER)
    world.cases.end_over()
    world.stores.parties.put_actor(OFFICER)
    with says_no(Conflict, "reidentification-not-agreed"):
        world.cases.reveal(agreed.id, by=OFFICER)


def test_silence_is_no_agreement(world: CaseWorld) -> None:
    asked = world.open_case()
    world.clock.advance(days=30)
    with says_no(Conflict, "reidentification-ended-unanswered"):
        world.cases.approve(asked.id, by=FIRST_REVIEWER)
    assert world.kept_tokens(asked) == ()


@pytest.mark.parametrize("what", ["reidentification-ended-grant", "reidentification-ended-officer", "the case is revoked"])
def test_what_ends_while_it_is_looked_up_tells_nothing(world: CaseWorld, what: str) -> None:
    agreed = world.agreed_case()
    revoke = lambda: world.cases.revoke(agreed.id, by=SECOND_REVIEWER, words="stop")  # noqa: E731
    world.lookup.meanwhile = revoke if what == "the case is revoked" else lambda: over(world, what)
    expected = "reidentification-ended-meanwhile" if what == "the case is revoked" else what
    with says_no(Refused, expected):
        world.cases.reveal(agreed.id, by=OFFICER)


# The record


def test_every_step_is_in_the_ledger_without_token_reference_or_words(world: CaseWorld) -> None:
    agreed = world.agreed_case(1111111111111, 2222222222222)
    world.cases.revoke(agreed.id, by=SECOND_REVIEWER, words="secret words of the reviewer")
    other = world.open_case(1111111111111)
    world.cases.refuse(other.id, by=FIRST_REVIEWER, reason="reidentification-refused-other", words="secret words of the reviewer")
    third = world.open_case()
    world.cases.withdraw(third.id, by=OFFICER)
    assert [kind.value.removeprefix("reidentification-") for kind in world.ledger.kinds] == [
        "asked", "endorsed", "approved", "revoked", "asked", "refused", "asked", "withdrawn",
    ]  # fmt: skip
    written = json.dumps([body for _, body in world.ledger.written], ensure_ascii=False)
    for secret in ("1111111111111", "2222222222222", CASE, WHY, "secret words", *IDENTIFIERS.values()):
        assert secret not in written
    asked = world.ledger.written[0][1]
    assert (asked["officer"], asked["tokens"], asked["legal_basis"], asked["provider"]) == (OFFICER.person, 2, BASIS, CIVIL)
    assert asked["tokens_hash"] == world.cases.hash_of_tokens([2222222222222, 1111111111111])


def test_the_reviewers_are_told_that_it_was_asked_and_the_officer_that_it_was_answered(world: CaseWorld) -> None:
    agreed = world.agreed_case()
    asked, answered = [one for one in world.stores.notices.posted if one.kind.value.startswith("reidentification")]
    assert (asked.kind, asked.to_roles) == (NoticeKind.REIDENTIFICATION_ASKED, ((CIVIL, Role.REVIEWER),))
    assert (answered.kind, answered.to_persons, answered.about["state"]) == (
        NoticeKind.REIDENTIFICATION_ANSWERED, (OFFICER.person,), "agreed",
    )  # fmt: skip
    assert agreed.id == asked.about["case"] == answered.about["case"]
    world.cases.revoke(agreed.id, by=FIRST_REVIEWER, words="the case is closed")
    ended = world.stores.notices.posted[-1]
    assert (ended.kind, ended.to_persons, ended.about["state"]) == (NoticeKind.REIDENTIFICATION_ENDED, (OFFICER.person,), "revoked")


def test_who_has_to_do_with_it_finds_it(world: CaseWorld) -> None:
    found = world.open_case()
    other = world.open_case(by=MEDICAL_DATA_OFFICER)
    listed = lambda by, side: [one.id for one in world.cases.reidentifications(by=by, side=side)[0]]  # noqa: E731
    assert listed(OFFICER, Side.APPLICANT) == [found.id]
    assert listed(MEDICAL_DATA_OFFICER, Side.APPLICANT) == [other.id, found.id]
    assert listed(COLLEAGUE, Side.APPLICANT) == []
    assert listed(FIRST_REVIEWER, Side.PROVIDER) == [other.id, found.id]
