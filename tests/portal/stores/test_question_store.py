"""Questions of totals that were answered, in a database: of two claims at the same moment the later one always sees the earlier."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.portal.examples import Example, grant, request
from tests.portal.stores.test_quota_store import at_the_same_time

from huitong.errors import Refused
from huitong.gateway.differencing import Audit, Watch
from huitong.gateway.questions import Question
from huitong.portal.stores import Stores
from huitong.sharing.answered import AnsweredQuestion
from huitong.testing import MemoryStores

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
GRANT = grant()
OFFICE, DATASET = GRANT.using_office, GRANT.dataset


def question(number: int, *, digest: str = "d", answered: bool = False) -> AnsweredQuestion:
    about = {"office": OFFICE, "dataset": DATASET, "grant": GRANT.id, "digest": digest, "snapshot": 2**40, "at": AT}
    return AnsweredQuestion(query=f"q-{number}", sealed=bytes(range(256)), answered=answered, **about)  # type: ignore[arg-type]


@pytest.fixture
def stores(example: Example) -> Stores:
    with example.stores.atomic():
        example.stores.sharing.add_request(request())
        example.stores.sharing.add_grant(grant())
    return example.stores


@pytest.fixture(params=["database", "memory"])
def either(request: pytest.FixtureRequest, stores: Stores) -> Stores | MemoryStores:
    return MemoryStores() if request.param == "memory" else stores


def test_what_is_kept_comes_out_in_the_order_in_which_it_came(either: Stores | MemoryStores) -> None:
    kept = [question(number, digest=str(number)) for number in (3, 1, 2)]
    with either.atomic():
        either.questions.lock(OFFICE, DATASET)
        for one in kept:
            either.questions.put(one)
    assert list(either.questions.of(OFFICE, DATASET)) == kept
    assert list(either.questions.of(OFFICE, "other")) == list(either.questions.of("other", DATASET)) == []
    with either.atomic():
        either.questions.remove("q-1")
        either.questions.remove("q-unknown")
    assert list(either.questions.of(OFFICE, DATASET)) == [kept[0], kept[2]]


def test_an_answered_question_takes_the_place_of_the_same_one(either: Stores | MemoryStores) -> None:
    """Claims of it stay: who claims has not been answered yet."""
    with either.atomic():
        either.questions.put(question(1, answered=True))
        either.questions.put(question(2, digest="other", answered=True))
        either.questions.put(question(3))
        either.questions.put(question(4))
        either.questions.settle("q-4")
    found = [(one.query, one.answered) for one in either.questions.of(OFFICE, DATASET)]
    assert found == [("q-2", True), ("q-3", False), ("q-4", True)]


def test_a_failed_transaction_keeps_nothing(either: Stores | MemoryStores) -> None:
    with pytest.raises(RuntimeError), either.atomic():
        either.questions.put(question(1))
        raise RuntimeError
    assert list(either.questions.of(OFFICE, DATASET)) == []


def watch(stores: Stores | MemoryStores) -> Watch:
    audit = Audit(comparisons=100, seconds=1, at_once=20, remembered_days=30)
    return Watch(store=stores.questions, transactions=stores.transactions, key=b"w" * 32, audit=audit, timer=lambda: 0)


def test_two_claims_at_the_same_moment_cannot_both_pass(stores: Stores, using: str) -> None:
    """Each would be refused beside any other, and each is still at work when the next comes: one passes."""
    watching = watch(stores)
    done = threading.Barrier(6, timeout=30)

    def ask(place: int) -> str:
        asked = Question(f'"q"."a" > {place}', (), (), ("a",))
        try:
            with watching.claimed(asked, query=f"q-{place}", grant=GRANT, snapshot=1, at=AT) as others:
                done.wait()
                if list(others):
                    raise Refused.because("totals-differ-too-little", grant=GRANT.id, dataset=DATASET, k=10)
        except Refused:
            return "refused"
        return "told"

    outcomes = at_the_same_time(using, 6, ask)
    assert sorted(map(str, outcomes)) == ["refused"] * 5 + ["told"], outcomes
    (kept,) = stores.questions.of(OFFICE, DATASET)
    assert kept.answered


def test_the_same_question_is_compared_once(either: Stores | MemoryStores) -> None:
    """Who asks it again is compared with nothing; of another snapshot, with what was answered of that one. A question that was never
    answered before is compared with all."""
    watching = watch(either)
    one, other = Question('"q"."a" > 1', (), (), ("a",)), Question('"q"."a" > 2', (), (), ("a",))

    def compared(asked: Question, query: str, snapshot: int = 1) -> int:
        with watching.claimed(asked, query=query, grant=GRANT, snapshot=snapshot, at=AT) as others:
            return len(list(others))

    found = [compared(one, "q-1"), compared(other, "q-2"), compared(one, "q-3"), compared(one, "q-4", 2), compared(other, "q-5", 2)]
    assert found == [0, 1, 0, 0, 1]
    assert {one.query for one in either.questions.of(OFFICE, DATASET)} == {"q-4", "q-5"}
    assert compared(replace(one, values=("a",)), "q-6", 3) == 2
