"""Who asks, for what purpose, under which grant: every way to be refused has a code of its own, and all reasons come at once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    NANMING,
    NOW,
    PERSON_GRANT,
    World,
    make_grant,
)

from huitong.errors import Refused
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import GrantState
from huitong.words import render

NAMES = "SELECT name FROM civil.person"


def test_an_analyst_with_a_grant_gets_rows_and_a_receipt(world: World) -> None:
    answer = world.ask(NAMES)
    assert answer.table.num_rows == 4
    assert answer.receipt["entries"] == list(world.entries_of(answer.query))
    assert world.book.kinds() == [EntryKind.USE_INTENT, EntryKind.USE_OUTCOME]


def test_a_post_without_the_role_of_analyst_is_refused(world: World) -> None:
    officer = replace(ANALYST, roles=frozenset((Role.DATA_OFFICER, Role.OPERATOR)))
    assert world.codes(NAMES, actor=officer) == {"role-missing"}


def test_a_cached_plan_does_not_help_a_post_without_the_role(world: World) -> None:
    world.ask(NAMES)
    assert world.codes(NAMES, actor=replace(ANALYST, roles=frozenset())) == {"role-missing"}


def test_an_office_without_a_grant_is_told_whom_to_ask(world: World) -> None:
    stranger = replace(ANALYST, office="gz-housing")
    refusal = world.refusal(NAMES, actor=stranger)
    assert [reason.code for reason in refusal.reasons] == ["grant-missing"]
    assert refusal.reasons[0].parameters["provider"] == "gz-civil-affairs"


@pytest.mark.parametrize("purpose", ["", "   "])
def test_without_a_purpose_nothing_is_used(world: World, purpose: str) -> None:
    assert world.codes(NAMES, purpose=purpose) == {"purpose-missing"}


def test_a_purpose_that_is_no_code_is_not_written_anywhere(world: World) -> None:
    refusal = world.refusal(NAMES, purpose="to look at 990102199001011230\n{}")
    assert {reason.code for reason in refusal.reasons} == {"purpose-invalid"}
    assert "990102199001011230" not in str(world.book.entries)


def test_a_grant_for_another_purpose_does_not_serve(world: World) -> None:
    refusal = world.refusal(NAMES, purpose="statistics")
    assert [reason.code for reason in refusal.reasons] == ["grant-other-purpose"]
    assert refusal.reasons[0].parameters["granted"] == "poverty-relief"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"state": GrantState.REVOKED, "revoked_at": NOW - timedelta(days=1)}, "grant-revoked"),
        ({"state": GrantState.PREPARING}, "grant-preparing"),
    ],
)
def test_the_state_of_a_grant_is_told(world: World, change: dict[str, object], code: str) -> None:
    world.grants = [replace(PERSON_GRANT, **change)]  # type: ignore[arg-type]
    assert world.codes(NAMES) == {code}


def test_a_grant_ends_at_its_end_and_not_before(world: World) -> None:
    world.now = PERSON_GRANT.terms.valid_until - timedelta(microseconds=1)
    assert world.ask(NAMES).table.num_rows == 4
    world.now = PERSON_GRANT.terms.valid_until
    assert world.codes(NAMES) == {"grant-expired"}


def test_a_grant_begins_at_its_beginning_and_not_before(world: World) -> None:
    world.now = PERSON_GRANT.terms.valid_from - timedelta(microseconds=1)
    assert world.codes(NAMES) == {"grant-not-yet-valid"}
    world.now = PERSON_GRANT.terms.valid_from
    assert world.ask(NAMES).table.num_rows == 4


def test_revocation_bites_at_the_next_request(world: World) -> None:
    world.ask(NAMES)
    world.grants = [replace(PERSON_GRANT, state=GrantState.REVOKED, revoked_at=NOW)]
    world.epoch += 1
    assert world.codes(NAMES) == {"grant-revoked"}


def test_an_item_outside_the_grant_is_named_with_the_office_to_ask(world: World) -> None:
    refusal = world.refusal("SELECT name, phone FROM civil.person")
    assert [reason.code for reason in refusal.reasons] == ["item-not-granted"]
    sentence = render(refusal.reasons[0], "en")
    assert sentence == (
        "Grant G-civil.person does not cover item phone of dataset civil.person for purpose poverty-relief. "
        "Ask office gz-civil-affairs to extend it, or drop the item."
    )
    assert "phone" in render(refusal.reasons[0], "zh-Hans")


def test_all_reasons_come_at_once(world: World) -> None:
    refusal = world.refusal(
        "SELECT p.name, p.phone, s.number, n.x FROM civil.person p JOIN police.case_file s ON s.number = p.name "
        "JOIN nowhere.at_all n ON n.x = p.name WHERE p.mistake = 1",
        purpose="statistics",
        actor=replace(ANALYST, roles=frozenset()),
    )
    assert {reason.code for reason in refusal.reasons} == {
        "role-missing", "grant-other-purpose", "item-not-granted", "dataset-not-shared", "dataset-unknown", "item-not-found",
    }  # fmt: skip


def test_an_unpublished_dataset_looks_like_one_that_does_not_exist(world: World) -> None:
    hidden = world.refusal("SELECT v FROM hidden").reasons
    nowhere = world.refusal("SELECT v FROM hiddem").reasons
    assert [reason.code for reason in hidden] == [reason.code for reason in nowhere] == ["dataset-unknown"]
    assert render(hidden[0], "en").replace("hidden", "*") == render(nowhere[0], "en").replace("hiddem", "*")


def test_a_dataset_that_is_not_shared_tells_its_basis(world: World) -> None:
    refusal = world.refusal("SELECT number FROM police.case_file")
    assert [reason.code for reason in refusal.reasons] == ["dataset-not-shared"]
    assert refusal.reasons[0].parameters["basis"] == "Test regulation, article 1"


def test_of_two_grants_the_one_that_covers_the_use_is_taken(world: World) -> None:
    wide = make_grant("civil.person", {"phone": CLEAR, "name": CLEAR}, number="G-2", rows=NANMING)
    world.grants.append(wide)
    assert world.rows("SELECT phone FROM civil.person WHERE phone IS NOT NULL ORDER BY 1")[0] == ("13800000001",)
    assert world.book.entries[0][1]["grants"][0]["grant"] == "G-2"
    assert world.rows("SELECT salary FROM civil.person ORDER BY 1 LIMIT 1") == [(0,)]
    assert world.codes("SELECT phone, salary FROM civil.person") == {"item-not-granted"}


def test_a_refusal_is_recorded_with_its_codes_and_without_the_statement(world: World) -> None:
    refusal = world.refusal("SELECT phone FROM civil.person WHERE name = '张伟'")
    kind, body = world.book.entries[-1]
    assert kind is EntryKind.USE_REFUSED
    assert body["reasons"] == ["item-not-granted"]
    assert body["query"] == refusal.query
    assert "张伟" not in str(world.book.entries)
    assert "SELECT" not in str(world.book.entries)


def test_why_tells_items_and_masks_without_running_anything(world: World) -> None:
    from huitong.model.query import QueryRequest

    explanation = world.gateway.why(
        QueryRequest("SELECT p.name, c.capital FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid", "poverty-relief"),
        actor=ANALYST,
    )
    assert explanation.allowed
    person, company = explanation.datasets
    assert (person.dataset, person.items, person.grant, person.snapshot) == ("civil.person", ("name", "pid"), "G-civil.person", 1)
    assert {use.item: use.mask.kind.value for use in person.masks} == {"name": "partial", "pid": "pseudonym"}
    assert person.rows is not None
    assert company.items == ("capital", "owner_pid")
    assert world.engine.ran == []
    assert world.book.entries == []


def test_why_tells_every_reason_against_a_use(world: World) -> None:
    from huitong.model.query import QueryRequest

    explanation = world.gateway.why(QueryRequest("SELECT phone FROM civil.person", "poverty-relief"), actor=ANALYST)
    assert not explanation.allowed
    assert [reason.code for reason in explanation.decision.reasons] == ["item-not-granted"]
    assert explanation.datasets[0].items == ("phone",)
    assert explanation.datasets[0].grant, "the grant that stands is shown, so that one sees what it lacks"
    assert explanation.datasets[0].masks == ()


def test_a_refusal_carries_the_number_of_the_query(world: World) -> None:
    with pytest.raises(Refused) as caught:
        world.ask("SELECT 1 FROM hidden")
    assert caught.value.query is not None
    assert world.entries_of(caught.value.query)
