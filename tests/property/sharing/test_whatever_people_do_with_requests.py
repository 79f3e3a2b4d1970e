"""Any sequence of what people and the clock can do with requests and grants: what was answered stays answered, states are the folds of
their events, every version of every grant stands in the ledger with its hash, and a verb that is refused has changed nothing."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.spec.sharing.world import (
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    CLEAR,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    REGULATOR,
    World,
    person,
)

from huitong.errors import HuitongError
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import GrantState, grant_state
from huitong.model.sharing import OPEN_STATES, RequestState, request_state
from huitong.sharing.answering import hands_of
from huitong.sharing.deadline import due_of
from huitong.sharing.terms import hash_of_terms

CLERK = person("qian", CIVIL, Role.ANALYST)
REVIEWERS = st.sampled_from([CIVIL_REVIEWER, CIVIL_ALL_ROLES, CIVIL_REVIEWER, CIVIL_ALL_ROLES, CLERK, MEDICAL_ANALYST])
SOMEBODY = st.sampled_from([None, None, None, CIVIL_REVIEWER, CLERK, MEDICAL_ANALYST])
"""Who acts: mostly who may."""
APPLICANTS = st.sampled_from([MEDICAL_ANALYST, MEDICAL_COLLEAGUE, CIVIL_ALL_ROLES])
WISHES = st.sampled_from([(LOW_INCOME, ("village", "income")), (LOW_INCOME, (("person_id", CLEAR),)), (HOMES, ("village",))])
EXAMPLES = 1000 if os.environ.get("HUITONG_SOAK") else 60


class PeopleAndTheClock(RuleBasedStateMachine):
    """The offices of the spec tests, and what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World().publish_all()
        for one in (CIVIL_REVIEWER, CIVIL_ALL_ROLES, CIVIL_OFFICER, CLERK, MEDICAL_ANALYST, MEDICAL_COLLEAGUE, REGULATOR):
            self.world.stores.parties.put_actor(one)
        self.answered: dict[str, Any] = {}
        self.requests: list[str] = []

    def attempt(self, verb: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Do it, or be refused and leave everything as it was."""
        before = (len(self.world.ledger.written), len(self.world.stores.notices.posted))
        try:
            return verb(*arguments, **named)
        except HuitongError:
            assert (len(self.world.ledger.written), len(self.world.stores.notices.posted)) == before
            return None

    def some(self, data: st.DataObject) -> str:
        """A request, rather one that waits."""
        waits = [one.id for one in self.world.stores.sharing.open_requests()]
        return data.draw(st.sampled_from(waits * 3 + self.requests))

    def grant_of(self, data: st.DataObject) -> str:
        grants = [grant.id for grant in self.world.stores.sharing.grants_by_provider(CIVIL)]
        return data.draw(st.sampled_from(grants)) if grants else "G-0"

    def until(self, days: int) -> date:
        return self.world.clock().date() + timedelta(days=days)

    @initialize()
    def three_ask(self) -> None:
        for items in (("village",), ("village", "income"), (("person_id", CLEAR),)):
            self.requests.append(self.world.ask(LOW_INCOME, *items, by=MEDICAL_ANALYST, until=self.until(30)).id)
        self.requests.append(self.world.ask(HOMES, "village", by=MEDICAL_ANALYST, until=self.until(30)).id)

    @rule(wish=WISHES, by=APPLICANTS, days=st.sampled_from([1, 20, 90]))
    def ask(self, wish: Any, by: Any, days: int) -> None:
        made = self.attempt(self.world.ask, wish[0], *wish[1], by=by, until=self.until(days))
        self.requests += [made.id] if made else []

    @rule(data=st.data(), by=REVIEWERS, less=st.booleans())
    def approve(self, data: st.DataObject, by: Any, less: bool) -> None:
        number = self.some(data)
        wish = self.attempt(self.world.sharing.narrowed, number, by=by, until=self.until(1)) if less else None
        self.attempt(self.world.sharing.approve, number, by=by, narrowed=wish, weaker_masks=["person_id"])

    @rule(data=st.data(), by=SOMEBODY)
    def ask_for_a_supplement(self, data: st.DataObject, by: Any) -> None:
        self.attempt(self.world.sharing.ask_supplement, self.some(data), by=by or CIVIL_REVIEWER, words="缺")

    @rule(data=st.data(), by=SOMEBODY)
    def supply(self, data: st.DataObject, by: Any) -> None:
        asked = [one.id for one in self.world.stores.sharing.open_requests() if one.state is RequestState.SUPPLEMENT_ASKED]
        number = data.draw(st.sampled_from(asked)) if asked else self.some(data)
        self.attempt(self.world.sharing.supplement, number, by=by or MEDICAL_COLLEAGUE, words="补")

    @rule(data=st.data(), by=SOMEBODY)
    def refuse(self, data: st.DataObject, by: Any) -> None:
        self.attempt(self.world.sharing.refuse, self.some(data), by=by or CIVIL_REVIEWER, reason="refused-no-duty")

    @rule(data=st.data(), by=SOMEBODY)
    def withdraw(self, data: st.DataObject, by: Any) -> None:
        self.attempt(self.world.sharing.withdraw, self.some(data), by=by or MEDICAL_COLLEAGUE)

    @rule(data=st.data(), by=SOMEBODY)
    def complain(self, data: st.DataObject, by: Any) -> None:
        number = self.some(data)
        self.attempt(self.world.sharing.escalate, number, by=by or MEDICAL_COLLEAGUE)
        self.attempt(self.world.sharing.mediate, number, by=by or REGULATOR, words="议", answer_by=self.until(2))

    @rule(data=st.data(), by=APPLICANTS, verb=st.sampled_from(["extend", "renew"]), days=st.sampled_from([5, 60, 200]))
    def go_on(self, data: st.DataObject, by: Any, verb: str, days: int) -> None:
        made = self.attempt(getattr(self.world.sharing, verb), self.grant_of(data), by=by, until=self.until(days))
        self.requests += [made.id] if made else []

    @rule(data=st.data(), by=st.sampled_from([CIVIL_REVIEWER, MEDICAL_ANALYST, CLERK]))
    def revoke(self, data: st.DataObject, by: Any) -> None:
        self.attempt(self.world.sharing.revoke, self.grant_of(data), by=by, words="止")

    @rule(days=st.sampled_from([0, 3, 20]))
    def stand_in(self, days: int) -> None:
        first = self.world.clock().date()
        self.attempt(
            self.world.sharing.delegate, CLERK.person, valid_from=first, valid_until=first + timedelta(days=days), by=CIVIL_REVIEWER
        )

    @rule(days=st.sampled_from([0, 1, 4, 11, 40]))
    def wait(self, days: int) -> None:
        self.world.clock.advance(days=days, seconds=1)
        self.world.sharing.keep_clock()
        again = self.world.sharing.keep_clock()
        assert not (again.escalated or again.lapsed or again.recounted or again.expiring or again.expired), "repeating changes nothing"

    @invariant()
    def what_was_answered_stays(self) -> None:
        for number in self.requests:
            request = self.world.stores.sharing.request(number)
            assert request is not None
            assert request.state is request_state(event.kind for event in request.events)
            if request.state in OPEN_STATES:
                due = due_of(
                    request.events, kind=request.wish.kind, calendar=self.world.sharing.calendar, time_zone="Asia/Shanghai"
                )
                assert request.answer_due == (due.day if due else None)
            else:
                assert self.answered.setdefault(number, request) == request

    @invariant()
    def two_who_agree_are_two(self) -> None:
        for number in self.requests:
            request = self.world.stores.sharing.request(number)
            assert request is not None
            if request.state is RequestState.GRANTED and request.wish.items[0].mask == CLEAR and request.wish.items[0].item == "person_id":
                hands = [hands_of(event) for event in request.events if event.kind in ("endorsed", "approved")]
                assert len(hands) >= 2 and not hands[-1] & hands[-2]
                assert all(request.applicant not in hand for hand in hands)

    @invariant()
    def grants_are_what_their_events_and_the_ledger_say(self) -> None:
        entered = {
            body["terms_hash"]
            for kind, body in self.world.ledger.written
            if kind in (EntryKind.GRANT_MADE, EntryKind.GRANT_EXTENDED)
        }
        for grant in self.world.stores.sharing.grants_by_provider(CIVIL):
            events = self.world.stores.sharing.grant_events(grant.id)
            assert grant.state is grant_state(events)
            assert (grant.revoked_at is not None) is (grant.state is GrantState.REVOKED)
            versions = self.world.stores.sharing.grant_versions(grant.id)
            assert [one.version for one in versions] == list(range(1, grant.version + 1))
            for one in versions:
                parties = {"dataset": one.dataset, "provider": one.provider, "using_office": one.using_office}
                digest = hash_of_terms(one.terms, **parties, signed_by=one.signed_by, version=one.version)
                assert digest == one.terms_hash and digest in entered
            for earlier, later in pairwise(versions):
                assert replace(later.terms, valid_from=earlier.terms.valid_from, valid_until=earlier.terms.valid_until) == earlier.terms


TestPeopleAndTheClock = pytest.mark.slow(PeopleAndTheClock.TestCase)
TestPeopleAndTheClock.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
