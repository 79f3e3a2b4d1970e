"""Requests, grants, numbers and the policy epoch at rest; of two changes at once exactly one wins."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.db import IntegrityError, connections, transaction
from tests.portal.examples import CIVIL, HOUSEHOLDS, MEDICAL, NOON, Example, answer, grant, request
from tests.portal.threads import at_once

from huitong.errors import Conflict, InputInvalid, NotFound
from huitong.model.party import Role
from huitong.model.policy import (
    Comparator,
    Comparison,
    DivisionRows,
    GrantEvent,
    GrantEventKind,
    GrantState,
    Quota,
    QuotaPeriod,
    grant_state,
)
from huitong.model.sharing import Delegation, RequestEventKind, RequestState
from huitong.portal.sharing import models
from huitong.portal.stores import Stores
from huitong.sharing.ports import Side


def happened(kind: GrantEventKind) -> GrantEvent:
    return GrantEvent(kind, NOON, "shen", CIVIL.id, version=1)


@pytest.fixture
def asked(example: Example) -> Stores:
    """The example with one request under review."""
    with example.stores.atomic():
        example.stores.sharing.add_request(request())
    return example.stores


def test_a_request_comes_out_as_it_was_put_in(asked: Stores) -> None:
    assert asked.sharing.request("R-000001") == request()
    assert asked.sharing.request("R-000009") is None


def test_an_id_is_taken_once(asked: Stores) -> None:
    with pytest.raises(Conflict) as caught, asked.atomic():
        asked.sharing.add_request(request())
    assert caught.value.reasons[0].code == "request-exists"
    with asked.atomic():
        asked.sharing.add_grant(grant())
    with pytest.raises(Conflict) as caught, asked.atomic():
        asked.sharing.add_grant(grant())
    assert caught.value.reasons[0].code == "grant-exists"


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (RequestEventKind.APPROVED, RequestState.GRANTED),
        (RequestEventKind.REFUSED, RequestState.REFUSED),
        (RequestEventKind.WITHDRAWN, RequestState.WITHDRAWN),
    ],
)
def test_an_event_moves_the_request(asked: Stores, kind: RequestEventKind, state: RequestState) -> None:
    with asked.atomic():
        asked.sharing.append_event("R-000001", answer(kind), expected_events=1)
    stored = asked.sharing.request("R-000001")
    assert stored == replace(request(), events=(*request().events, answer(kind)))
    assert stored is not None and stored.state is state
    assert asked.sharing.requests_for(CIVIL.id, side=Side.PROVIDER, states=[state]) == ([stored], 1)
    assert asked.sharing.requests_for(CIVIL.id, side=Side.PROVIDER, states=[RequestState.UNDER_REVIEW]) == ([], 0)


def test_an_event_that_comes_too_late_is_refused(asked: Stores) -> None:
    with asked.atomic():
        asked.sharing.append_event("R-000001", answer(RequestEventKind.APPROVED), expected_events=1)
    with pytest.raises(Conflict) as caught, asked.atomic():
        asked.sharing.append_event("R-000001", answer(RequestEventKind.REFUSED), expected_events=1)
    assert caught.value.reasons[0].code == "request-moved"
    with pytest.raises(NotFound), asked.atomic():
        asked.sharing.append_event("R-000009", answer(RequestEventKind.REFUSED), expected_events=1)


def test_of_several_answers_at_once_exactly_one_wins(asked: Stores, using: str) -> None:
    kinds = [RequestEventKind.APPROVED, RequestEventKind.REFUSED, RequestEventKind.WITHDRAWN, RequestEventKind.APPROVED]
    outcomes = at_once(
        using, *(lambda kind=kind: asked.sharing.append_event("R-000001", answer(kind), expected_events=1) for kind in kinds)
    )
    losers = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(losers) == 3, outcomes
    assert outcomes.count(None) == 1
    stored = asked.sharing.request("R-000001")
    assert stored is not None and [event.kind for event in stored.events][1:] == [kinds[outcomes.index(None)]]


def test_requests_are_listed_by_side_newest_first_in_three_statements(asked: Stores, queries: Callable[[], int]) -> None:
    with asked.atomic():
        for number in range(2, 22):
            asked.sharing.add_request(request(number, at=NOON + timedelta(minutes=number)))
    queries()
    page, total = asked.sharing.requests_for(MEDICAL.id, side=Side.APPLICANT, limit=20)
    assert queries() == 3
    assert total == 21
    assert [found.id for found in page] == [f"R-{number:06d}" for number in range(21, 1, -1)]
    assert asked.sharing.requests_for(MEDICAL.id, side=Side.PROVIDER) == ([], 0)
    assert [found.id for found in asked.sharing.requests_for(CIVIL.id, side=Side.PROVIDER, limit=2, offset=20)[0]] == ["R-000001"]


def test_a_grant_comes_out_as_it_was_put_in(asked: Stores) -> None:
    plain = grant(2, state=GrantState.PREPARING)
    plain = replace(plain, terms=replace(plain.terms, rows=None))
    with asked.atomic():
        asked.sharing.add_grant(grant())
        asked.sharing.add_grant(plain)
    assert asked.sharing.grant("G-000001") == grant()
    assert asked.sharing.grant("G-000002") == plain
    assert asked.sharing.grant("G-000009") is None


def test_the_state_of_a_grant_moves_and_nothing_else(asked: Stores) -> None:
    with asked.atomic():
        asked.sharing.add_grant(grant(state=GrantState.PREPARING))
        asked.sharing.change_grant(grant(), happened(GrantEventKind.ACTIVATED), expected_state=GrantState.PREPARING)
    assert asked.sharing.grant("G-000001") == grant()
    revoked = replace(grant(), state=GrantState.REVOKED, revoked_at=NOON + timedelta(days=1), revoked_because="目的已完成。")
    with asked.atomic():
        asked.sharing.change_grant(
            replace(revoked, terms_hash="c" * 64), happened(GrantEventKind.REVOKED), expected_state=GrantState.ACTIVE
        )
    assert asked.sharing.grant("G-000001") == revoked
    assert grant_state(asked.sharing.grant_events("G-000001")) is GrantState.REVOKED
    with pytest.raises(Conflict) as caught, asked.atomic():
        asked.sharing.change_grant(grant(), happened(GrantEventKind.ACTIVATED), expected_state=GrantState.ACTIVE)
    assert caught.value.reasons[0].code == "grant-moved"


def test_a_grant_is_revoked_once(asked: Stores, using: str) -> None:
    with asked.atomic():
        asked.sharing.add_grant(grant())
    revoked = replace(grant(), state=GrantState.REVOKED, revoked_at=NOON, revoked_because="a")
    act = lambda: asked.sharing.change_grant(  # noqa: E731
        revoked, happened(GrantEventKind.REVOKED), expected_state=GrantState.ACTIVE
    )
    outcomes = at_once(using, act, act, act)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Conflict", "NoneType"]


def test_a_grant_is_extended_by_a_version_and_the_earlier_one_is_kept(asked: Stores) -> None:
    first = grant()
    quota = Quota(QuotaPeriod.DAY, rows=500, queries=20)
    condition = (Comparison("members", Comparator.AT_LEAST, ("3",)),)
    terms = replace(first.terms, valid_until=first.terms.valid_until + timedelta(days=90), quota=quota, condition=condition)
    second = replace(first, version=2, terms=terms, terms_hash="d" * 64)
    with asked.atomic():
        asked.sharing.add_grant(first)
        asked.sharing.change_grant(second, replace(happened(GrantEventKind.EXTENDED), version=2), expected_state=GrantState.ACTIVE)
    assert asked.sharing.grant(first.id) == second
    assert asked.sharing.grant_versions(first.id) == [first, second]
    assert [event.kind for event in asked.sharing.grant_events(first.id)] == [
        GrantEventKind.MADE, GrantEventKind.ACTIVATED, GrantEventKind.EXTENDED,
    ]  # fmt: skip
    with pytest.raises(Conflict), asked.atomic():
        asked.sharing.change_grant(second, replace(happened(GrantEventKind.EXTENDED), version=2), expected_state=GrantState.ACTIVE)


def test_grants_that_end_soon_are_found_in_order(asked: Stores) -> None:
    with asked.atomic():
        for number in range(1, 5):
            one = grant(number)
            later = replace(one.terms, valid_until=one.terms.valid_until + timedelta(days=5 - number))
            asked.sharing.add_grant(replace(one, terms=later))
    start = grant().terms.valid_until
    assert [one.id[-1] for one in asked.sharing.grants_ending(start, start + timedelta(days=4))] == ["4", "3", "2"]


def test_open_requests_are_found_by_the_day_they_were_due_and_by_the_grant_they_continue(asked: Stores) -> None:
    with asked.atomic():
        asked.sharing.add_grant(grant())
        asked.sharing.add_request(replace(request(2), continues="G-000001", answer_due=date(2026, 11, 2)))
        asked.sharing.append_event(
            "R-000002", answer(RequestEventKind.SUPPLEMENT_ASKED), expected_events=1, answer_due=None
        )
    found = asked.sharing.open_requests(continuing="G-000001")
    assert [one.id for one in found] == ["R-000002"]
    assert found[0].state is RequestState.SUPPLEMENT_ASKED and found[0].answer_due is None
    first = asked.sharing.request("R-000001")
    assert first is not None and first.answer_due is not None
    assert [one.id for one in asked.sharing.open_requests(due_before=first.answer_due + timedelta(days=1))] == ["R-000001"]
    assert asked.sharing.open_requests(due_before=first.answer_due) == []


def test_a_supplement_changes_what_is_asked(asked: Stores) -> None:
    first = asked.sharing.request("R-000001")
    assert first is not None
    wish = replace(first.wish, until=first.wish.until - timedelta(days=10))
    with asked.atomic():
        asked.sharing.append_event("R-000001", answer(RequestEventKind.SUPPLEMENT_ASKED), expected_events=1, answer_due=None)
        told = replace(answer(RequestEventKind.SUPPLEMENTED), wish=wish)
        asked.sharing.append_event("R-000001", told, expected_events=2, answer_due=date(2026, 12, 24))
    after = asked.sharing.request("R-000001")
    assert after is not None and after.wish == wish and after.answer_due == date(2026, 12, 24)
    assert after.state is RequestState.UNDER_REVIEW


def test_delegations_come_out_as_they_were_put_in(asked: Stores) -> None:
    one = Delegation(
        id="D-2026-000001", office=CIVIL.id, principal="li.na", delegate="wang.wei", role=Role.REVIEWER,
        valid_from=date(2026, 12, 1), valid_until=date(2026, 12, 5), made_by="li.na", made_at=NOON,
    )  # fmt: skip
    with asked.atomic():
        asked.sharing.put_delegation(one)
    assert asked.sharing.delegations(CIVIL.id) == [one]
    ended = replace(one, ended_at=NOON + timedelta(days=1))
    with asked.atomic():
        asked.sharing.put_delegation(ended)
    assert asked.sharing.delegations(CIVIL.id) == [ended]
    assert asked.sharing.delegations(MEDICAL.id) == []


def test_grants_are_listed_in_one_statement(asked: Stores, queries: Callable[[], int]) -> None:
    with asked.atomic():
        for number in range(1, 6):
            state = GrantState.PREPARING if number % 2 else GrantState.ACTIVE
            asked.sharing.add_grant(grant(number, at=NOON + timedelta(hours=number), state=state))
    queries()

    def ids(grants: object) -> list[str]:
        assert queries() == 1
        return [found.id[-1] for found in grants]  # type: ignore[attr-defined]

    assert ids(asked.sharing.grants_of_office(MEDICAL.id)) == ["5", "4", "3", "2", "1"]
    assert ids(asked.sharing.grants_of_office(MEDICAL.id, {HOUSEHOLDS.id})) == ["5", "4", "3", "2", "1"]
    assert list(asked.sharing.grants_of_office(MEDICAL.id, ())) == []
    queries()
    assert ids(asked.sharing.grants_of_office(CIVIL.id)) == []
    assert ids(asked.sharing.grants_by_provider(CIVIL.id)) == ["5", "4", "3", "2", "1"]
    assert ids(asked.sharing.grants_of_dataset(HOUSEHOLDS.id, [GrantState.PREPARING])) == ["1", "3", "5"]
    assert ids(asked.sharing.grants_in_state(GrantState.ACTIVE, limit=1)) == ["2"]
    with asked.atomic():
        asked.sharing.add_request(request(2))
        asked.sharing.add_grant(replace(grant(6, at=NOON + timedelta(hours=6)), request="R-000002"))
    queries()
    assert ids(asked.sharing.grants_of_requests(["R-000002", "R-000009"])) == ["6"]
    assert ids(asked.sharing.grants_of_requests(["R-000001", "R-000002"])) == ["6", "5", "4", "3", "2", "1"]


def test_numbers_are_given_once_even_at_once(example: Example, using: str) -> None:
    sharing = example.stores.sharing
    assert sharing.next_number("grant") == 1
    given = at_once(using, *[lambda: sharing.next_number("request")] * 8)
    assert sorted(given) == list(range(1, 9))
    assert sharing.next_number("grant") == 2


def test_the_epoch_counts_every_change_and_forgets_those_undone(stores: Stores, using: str) -> None:
    assert stores.epoch.current() == 0
    assert [stores.epoch.bump(), stores.epoch.bump()] == [1, 2]
    with pytest.raises(RuntimeError), stores.atomic():
        stores.epoch.bump()
        raise RuntimeError
    assert stores.epoch.policy_epoch() == 2
    at_once(using, *[stores.epoch.bump] * 6)
    assert stores.epoch.current() == 8


def test_the_database_refuses_impossible_states(asked: Stores, using: str) -> None:
    with asked.atomic():
        asked.sharing.add_grant(grant())

    def refused(rows: object, **columns: object) -> None:
        with pytest.raises(IntegrityError), transaction.atomic(using=using):
            rows.update(**columns)  # type: ignore[attr-defined]

    grants = models.Grant.objects.using(using)
    refused(grants, state="revoked")
    refused(grants, state="active", revoked_at=NOON)
    refused(grants, state="paused")
    refused(grants, rows_item=None)
    refused(grants, valid_until=grant().terms.valid_from)
    refused(models.Request.objects.using(using), state="lost")
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        models.RequestEvent.objects.using(using).create(
            request_id="R-000001", sequence=0, kind="refused", at=NOON, actor="x", office_id=CIVIL.id
        )
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        models.RequestEvent.objects.using(using).create(
            request_id="R-000001", sequence=1, kind="submitted", at=NOON, actor="x", office_id=CIVIL.id
        )
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        models.PolicyEpoch.objects.using(using).create(id=2, number=1)


def test_a_savepoint_inside_a_transaction_undoes_its_own_part_only(asked: Stores) -> None:
    with asked.atomic():
        asked.sharing.add_grant(grant(1))
        with pytest.raises(RuntimeError), asked.atomic():
            asked.sharing.add_grant(grant(2))
            raise RuntimeError
    assert asked.sharing.grant("G-000001") is not None
    assert asked.sharing.grant("G-000002") is None


def test_rows_of_a_wish_may_be_absent(asked: Stores) -> None:
    everywhere = replace(request(2), wish=replace(request().wish, rows=None))
    with asked.atomic():
        asked.sharing.add_request(everywhere)
    stored = asked.sharing.request("R-000002")
    assert stored is not None and stored.wish.rows is None
    assert asked.sharing.request("R-000001").wish.rows == DivisionRows("户籍地", "520100000000")  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_what_no_database_can_hold_is_refused_in_writing_and_not_found_in_reading(asked: Stores, text: str) -> None:
    spoken = replace(answer(RequestEventKind.REFUSED), words=text)
    if text == "\ud800" or connections[asked.using].vendor == "postgresql":
        with pytest.raises(InputInvalid) as caught, asked.atomic():
            asked.sharing.append_event("R-000001", spoken, expected_events=1)
        assert caught.value.reasons[0].code == "value-not-storable"
    assert asked.sharing.request("R-000001") == request()
    found = [
        asked.sharing.request(text),
        asked.sharing.grant(text),
        asked.catalog.dataset(text),
        asked.parties.office(text),
        asked.ledger.promise(text),
        asked.ledger.index_of(text),
        asked.uses.office_of(text),
    ]
    assert found == [None] * 7
    assert list(asked.uses.entries_of(text)) == []
    assert list(asked.parties.actors_of(text)) == []
    assert asked.parties.offices(text=text) == ([], 0)
    assert asked.catalog.search([text], viewer=None).total == 0
