"""What a reveal tells: the identifiers behind those tokens that the grant lets the office see, and nothing about any other."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.spec.governed.governed_world import ANALYST, PERSON_GRANT, World, person_token

from huitong.errors import HuitongError, Refused
from huitong.gateway.gate import result_hash
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import GrantState
from huitong.model.query import Answer
from huitong.model.reidentification import Revelation

CHEN, LI, ELSEWHERE = "990102199001011230", "990102198505052341", "990103197003034563"
"""Two persons of the county that the grant covers, and one of another county."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reveal(world: World, *tokens: int, still: Any = lambda: None, actor: Any = ANALYST, **other: Any) -> Answer:
    values: dict[str, Any] = {"dataset": "civil.person", "item": "pid", "grant": PERSON_GRANT.id, "purpose": "poverty-relief"}
    asked = Revelation(**{**values, **other}, tokens=tuple(tokens), about={"reidentification": {"reidentification": "C-1"}})
    return world.gateway.reveal(asked, actor=actor, still=still)


def told(answer: Answer) -> dict[int, str | None]:
    return {row["token"]: row["identifier"] for row in answer.table.to_pylist()}


def test_the_identifiers_behind_granted_tokens_are_told(world: World) -> None:
    tokens = person_token(CHEN), person_token(LI)
    assert told(reveal(world, *tokens)) == {tokens[0]: CHEN, tokens[1]: LI}


def test_a_token_of_nobody_of_another_group_and_of_a_row_that_is_not_granted_look_the_same(world: World) -> None:
    nobody, other_group, other_county = 1, person_token(CHEN, linkage_group="gz-rural:other"), person_token(ELSEWHERE)
    lowest, highest = -(2**63), 2**63 - 1
    answer = reveal(world, nobody, other_group, other_county, lowest, highest, person_token(CHEN))
    assert told(answer) == {
        **dict.fromkeys((nobody, other_group, other_county, lowest, highest)),
        person_token(CHEN): CHEN,
    }


def test_a_token_of_the_same_group_that_another_office_gave_is_not_told(world: World) -> None:
    """The company register's owners share the linkage group, not the grant: their identifiers are another office's to tell."""
    owner = person_token(CHEN)
    assert PERSON_GRANT.terms.rows is not None
    elsewhere = replace(PERSON_GRANT.terms.rows, division="520103000000")
    world.grants[0] = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, rows=elsewhere))
    assert told(reveal(world, owner)) == {owner: None}
    assert told(reveal(world, owner, dataset="tax.company", item="owner_pid", grant="G-tax.company")) == {owner: CHEN}


def test_the_ledger_holds_how_many_and_a_keyed_hash_but_no_identifier_and_no_token(world: World) -> None:
    answer = reveal(world, person_token(CHEN), 1)
    assert world.book.kinds() == [EntryKind.USE_INTENT, EntryKind.USE_OUTCOME]
    intent, outcome = (body for _, body in world.book.entries)
    assert intent["reidentification"] == {"reidentification": "C-1"} and intent["grants"][0]["grant"] == PERSON_GRANT.id
    assert outcome["rows"] == 1 and outcome["result_hash"] == result_hash(answer.table)
    written = json.dumps([intent, outcome])
    assert CHEN not in written and str(person_token(CHEN)) not in written


def test_the_hash_in_the_receipt_cannot_be_tried_against(world: World) -> None:
    """Without the seal, who knows the token tries every identity number until the hash fits."""
    first, second = reveal(world, person_token(CHEN)), reveal(world, person_token(CHEN))
    assert told(first) == told(second) and result_hash(first.table) != result_hash(second.table)
    seals = {row["seal"] for row in first.table.to_pylist()}
    assert len(seals) == 1 and len(seals.pop()) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"state": GrantState.REVOKED, "revoked_at": PERSON_GRANT.granted_at},
        {"state": GrantState.PREPARING},
        {"terms": replace(PERSON_GRANT.terms, valid_until=PERSON_GRANT.terms.valid_from + timedelta(days=1))},
        {"using_office": "gz-tax"},
    ],
)
def test_without_a_standing_grant_nothing_is_told(world: World, changed: dict[str, Any]) -> None:
    world.grants[0] = replace(PERSON_GRANT, **changed)
    with pytest.raises(Refused):
        reveal(world, person_token(CHEN))
    assert world.book.kinds() == [EntryKind.USE_REFUSED] and world.engine.ran == []


def test_a_grant_that_ends_while_the_engine_runs_tells_nothing(world: World) -> None:
    run = world.engine.run

    def run_while_someone_revokes(query: Any) -> Any:
        table = run(query)
        world.grants[0] = replace(PERSON_GRANT, state=GrantState.REVOKED, revoked_at=world.now)
        world.epoch += 1
        return table

    world.engine.run = run_while_someone_revokes  # type: ignore[method-assign]
    with pytest.raises(Refused) as caught:
        reveal(world, person_token(CHEN))
    assert caught.value.reasons[0].code == "grant-ended-meanwhile"
    assert "result_hash" not in world.book.entries[-1][1]


def test_a_case_that_ends_while_the_engine_runs_tells_nothing(world: World) -> None:
    def ended() -> None:
        raise Refused.because("reidentification-ended-meanwhile", reidentification="C-1")

    with pytest.raises(Refused):
        reveal(world, person_token(CHEN), still=ended)
    assert world.book.entries[-1][1]["failure"] == "reidentification-ended-meanwhile"


def test_a_data_officer_may_be_told_for_the_case_though_the_post_may_not_query(world: World) -> None:
    officer = replace(ANALYST, roles=frozenset({Role.DATA_OFFICER}))
    token = person_token(CHEN)
    assert told(reveal(world, token, actor=officer)) == {token: CHEN}
    with pytest.raises(Refused):
        world.ask("SELECT gender FROM civil.person", actor=officer)


def test_what_fails_in_the_engine_carries_no_word_of_it(world: World) -> None:
    world.engine.fails_with = RuntimeError(f"could not read {CHEN}")
    with pytest.raises(HuitongError) as caught:
        reveal(world, person_token(CHEN))
    assert CHEN not in repr(caught.value) + str([reason.parameters for reason in caught.value.reasons])
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_an_item_that_is_not_a_pseudonym_of_the_grant_tells_nothing(world: World) -> None:
    for item in ("gender", "phone", "diagnosis"):
        with pytest.raises(HuitongError):
            reveal(world, person_token(CHEN), item=item)
