"""Keys of calls at rest: one call runs at a time, what was given up cannot end any more, and what is old is forgotten."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from tests.portal.examples import NOON
from tests.portal.threads import at_once

from huitong.model.keyed import KeptAnswer, KeyedCall, KeyRecord, KeyState
from huitong.portal.audit.models import KeyedAnswer
from huitong.portal.stores import Stores
from huitong.testing import MemoryStores

CALL = KeyedCall("wang.wei@gz-medical-security", "k-1", "c" * 64)
ANSWER = KeptAnswer(201, {"Content-Type": "application/json"}, '{"id":"申请"}'.encode())
HOUR, ALIVE = timedelta(hours=1), timedelta(seconds=15)


def begin(stores: Stores | MemoryStores, call: KeyedCall = CALL, *, at: datetime = NOON, whole: bool = True) -> tuple[KeyRecord, bool]:
    return stores.keyed_answers.begin(call, whole=whole, now=at, kept_since=at - HOUR, alive_since=at - ALIVE)


@pytest.fixture(params=["database", "memory"])
def either(request: pytest.FixtureRequest, stores: Stores) -> Stores | MemoryStores:
    """The store, and the one in memory that stands for it."""
    return stores if request.param == "database" else MemoryStores()


def test_the_first_call_runs_and_the_second_is_told_of_it(either: Stores | MemoryStores) -> None:
    first, ours = begin(either)
    assert (first.attempt, first.state, ours) == (1, KeyState.BEGUN, True)
    assert begin(either) == (first, False)
    assert begin(either, replace(CALL, post="li.na@gz-civil-affairs"))[1]
    assert either.keyed_answers.close(CALL, attempt=1, answer=ANSWER)
    again, ours = begin(either, at=NOON + HOUR / 2)
    assert (again.state, again.answer, ours) == (KeyState.ANSWERED, ANSWER, False)


def test_a_whole_call_that_was_given_up_is_taken_over_and_cannot_end_any_more(either: Stores | MemoryStores) -> None:
    begin(either)
    assert begin(either, at=NOON + ALIVE) == (begin(either)[0], False)
    later, ours = begin(either, at=NOON + ALIVE * 2)
    assert (later.attempt, ours) == (2, True)
    assert not either.keyed_answers.close(CALL, attempt=1, answer=ANSWER)
    either.keyed_answers.forget(CALL, attempt=1)
    assert either.keyed_answers.close(CALL, attempt=2, answer=ANSWER)


def test_a_call_on_files_or_of_other_content_is_never_taken_over(either: Stores | MemoryStores) -> None:
    begin(either, whole=False)
    assert begin(either, at=NOON + HOUR / 2, whole=False)[1] is False
    begin(either, replace(CALL, key="k-2"))
    assert begin(either, replace(CALL, key="k-2", content="d" * 64), at=NOON + HOUR / 2)[1] is False


def test_what_is_broken_stays_so_and_what_had_no_effect_is_free_again(either: Stores | MemoryStores) -> None:
    begin(either, whole=False)
    assert either.keyed_answers.close(CALL, attempt=1, answer=None)
    broken, ours = begin(either, whole=False)
    assert (broken.state, broken.answer, ours) == (KeyState.BROKEN, None, False)
    begin(either, replace(CALL, key="k-2"))
    either.keyed_answers.forget(replace(CALL, key="k-2"), attempt=1)
    assert begin(either, replace(CALL, key="k-2"))[1]


def test_what_is_old_is_forgotten(either: Stores | MemoryStores) -> None:
    begin(either)
    either.keyed_answers.close(CALL, attempt=1, answer=ANSWER)
    assert begin(either, at=NOON + HOUR)[1] is False
    assert begin(either, at=NOON + HOUR * 2)[1] is True


def test_answer_and_effect_are_undone_together(either: Stores | MemoryStores) -> None:
    begin(either)
    with pytest.raises(RuntimeError), either.atomic():
        assert either.keyed_answers.close(CALL, attempt=1, answer=ANSWER)
        raise RuntimeError
    assert begin(either)[0].state is KeyState.BEGUN


def test_of_several_at_once_exactly_one_runs(stores: Stores, using: str) -> None:
    outcomes = at_once(using, *[lambda: begin(stores)[1]] * 6)
    assert sorted(outcomes, key=str) == [False] * 5 + [True]
    outcomes = at_once(using, *[lambda: begin(stores, at=NOON + ALIVE * 2)[1]] * 6)
    assert sorted(outcomes, key=str) == [False] * 5 + [True]


def test_the_database_refuses_an_answer_without_its_parts(stores: Stores, using: str) -> None:
    begin(stores)
    with pytest.raises(IntegrityError), transaction.atomic(using=using):
        KeyedAnswer.objects.using(using).update(state="answered")
