"""The decision is a pure function: same arguments, same answer, whatever the order of the grants."""

import itertools
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    COMPANY,
    NANMING,
    NOW,
    PERSON,
    PERSON_GRANT,
    SURNAME_ONLY,
    make_grant,
)

from huitong.model.policy import GrantState
from huitong.policy.decide import decide

DATASETS = {PERSON.id: PERSON, COMPANY.id: COMPANY}
USE = {"civil.person": frozenset(("name",))}


def _decide(grants, uses=USE, purpose="poverty-relief", at=NOW, actor=ANALYST):  # type: ignore[no-untyped-def]
    return decide(actor=actor, purpose=purpose, uses=uses, datasets=DATASETS, grants=grants, at=at)


def test_the_grant_that_carries_a_use_is_named() -> None:
    decision = _decide([PERSON_GRANT])
    assert decision.allowed
    assert decision.grants == {"civil.person": PERSON_GRANT}


def test_no_grant_is_named_when_anything_speaks_against_the_use() -> None:
    decision = _decide([PERSON_GRANT], uses={**USE, "tax.company": frozenset(("cid",))})
    assert not decision.allowed
    assert decision.grants == {}
    assert [reason.code for reason in decision.reasons] == ["grant-missing"]


def test_the_widest_grant_is_taken_whatever_the_order() -> None:
    cut = make_grant("civil.person", {"name": CLEAR}, number="G-cut", rows=NANMING)
    masked = make_grant("civil.person", {"name": SURNAME_ONLY}, number="G-masked")
    clear = make_grant("civil.person", {"name": CLEAR}, number="G-clear")
    older = make_grant("civil.person", {"name": CLEAR}, number="G-older", granted_at=NOW - timedelta(days=99))
    for order in itertools.permutations((cut, masked, clear, older)):
        assert _decide(list(order)).grants["civil.person"].id == "G-clear"


def test_the_faults_of_the_nearest_grant_are_told() -> None:
    expired_and_small = make_grant("civil.person", {"gender": CLEAR}, number="G-1", valid_until=NOW)
    expired = make_grant("civil.person", {"name": CLEAR}, number="G-2", valid_until=NOW)
    assert [(r.code, r.parameters["grant"]) for r in _decide([expired_and_small, expired]).reasons] == [("grant-expired", "G-2")]
    assert [r.code for r in _decide([expired_and_small]).reasons] == ["grant-expired", "item-not-granted"]


def test_nothing_is_told_of_a_grant_of_another_office() -> None:
    other = make_grant("civil.person", {"name": CLEAR}, number="G-secret", office="gz-housing")
    (reason,) = _decide([other]).reasons
    assert reason.code == "grant-other-office"
    assert "G-secret" not in reason.parameters.values()
    assert "gz-housing" not in reason.parameters.values()


def test_item_names_are_compared_without_letter_case() -> None:
    assert _decide([PERSON_GRANT], uses={"civil.person": frozenset(("NAME",))}).allowed


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    state=st.sampled_from(GrantState),
    days=st.integers(-400, 400),
    office=st.sampled_from(("gz-rural", "gz-housing")),
    purpose=st.sampled_from(("poverty-relief", "statistics")),
    items=st.sets(st.sampled_from(("name", "gender", "phone", "salary")), min_size=1),
)
def test_a_use_is_allowed_exactly_when_nothing_is_wrong(state: GrantState, days: int, office: str, purpose: str, items: set[str]) -> None:
    at = NOW + timedelta(days=days)
    grant = replace(make_grant("civil.person", dict.fromkeys(("name", "gender", "salary"), CLEAR), office=office), state=state)
    decision = _decide([grant], uses={"civil.person": frozenset(items)}, purpose=purpose, at=at)
    right = (
        state is GrantState.ACTIVE
        and grant.terms.valid_from <= at < grant.terms.valid_until
        and office == "gz-rural"
        and purpose == "poverty-relief"
        and "phone" not in items
    )
    assert decision.allowed is right
    assert bool(decision.reasons) is not right
