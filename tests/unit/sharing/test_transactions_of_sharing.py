"""Each change is one transaction: all of it or nothing; of two at once one wins; and the ledger that is really used takes it."""

import threading
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from tests.spec.sharing.world import (
    ADOPTION,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    HOMES,
    LOW_INCOME,
    MEDICAL_ANALYST,
    World,
)

from huitong.errors import Conflict, Unavailable
from huitong.keystore import FileKeyStore
from huitong.ledger.log import Ledger
from huitong.model.ledger import EntryKind
from huitong.model.policy import GrantState
from huitong.model.sharing import RequestState


@pytest.fixture
def world() -> World:
    return World().publish_all()


def picture(world: World) -> tuple[object, ...]:
    """Everything the stores hold."""
    stores = world.stores
    return (
        dict(stores.sharing._requests),
        dict(stores.sharing._grants),
        dict(stores.sharing._numbers),
        dict(stores.catalog._datasets),
        dict(stores.catalog._snapshots),
        stores.epoch.current(),
        list(world.ledger.written),
    )


@pytest.mark.parametrize("failing_entry", [1, 2, 3])
def test_if_the_ledger_cannot_be_written_nothing_happened(world: World, failing_entry: int) -> None:
    before = picture(world)
    append, written = world.ledger.append, []

    def append_until_it_fails(**entry):
        written.append(entry)
        if len(written) == failing_entry:
            raise Unavailable.because("ledger-stalled", seconds=301, limit=300)
        return append(**entry)

    object.__setattr__(world.ledger, "append", append_until_it_fails)
    with pytest.raises(Unavailable):
        world.ask(HOMES, "village")
    assert picture(world) == before


def test_every_change_bumps_the_epoch_once(world: World) -> None:
    sharing, epoch = world.sharing, world.stores.epoch
    counted = [epoch.current()]

    def count(value):
        counted.append(epoch.current())
        return value

    request = count(world.ask(LOW_INCOME, "person_id"))
    count(sharing.approve(request.id, by=CIVIL_REVIEWER))
    grant = sharing.grant_of(sharing.request(request.id, by=MEDICAL_ANALYST))
    count(sharing.prepare(grant.id))
    count(sharing.take_snapshot(world.snapshot(LOW_INCOME, 1), by=CIVIL_OFFICER))
    count(sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="over"))
    count(sharing.withdraw(count(world.ask(LOW_INCOME, "village")).id, by=MEDICAL_ANALYST))
    count(sharing.refuse(count(world.ask(LOW_INCOME, "village")).id, by=CIVIL_REVIEWER, reason="refused-no-duty"))
    count(world.ask(ADOPTION, "village"))
    count(world.ask(HOMES, "village"))
    assert [later - earlier for earlier, later in pairwise(counted)] == [1] * (len(counted) - 1)


def test_of_an_approval_a_refusal_and_a_withdrawal_at_once_one_wins(world: World) -> None:
    for _ in range(20):
        request = world.ask(LOW_INCOME, "village")
        start, outcomes = threading.Barrier(3), []

        def act(action, start=start, outcomes=outcomes) -> None:
            start.wait()
            try:
                outcomes.append(action().state)
            except Conflict:
                outcomes.append(None)

        actions = (
            lambda: world.sharing.approve(request.id, by=CIVIL_REVIEWER),  # noqa: B023
            lambda: world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-no-duty"),  # noqa: B023
            lambda: world.sharing.withdraw(request.id, by=MEDICAL_ANALYST),  # noqa: B023
        )
        threads = [threading.Thread(target=act, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(outcomes)[None] == 2
        stored = world.sharing.request(request.id, by=MEDICAL_ANALYST)
        assert len(stored.events) == 2 and stored.state in outcomes
        assert (world.sharing.grant_of(stored) is not None) == (stored.state is RequestState.GRANTED)


def test_a_store_that_finds_another_event_refuses_the_second_answer(world: World) -> None:
    """What two processes would meet on a database: both read the open request, one writes first."""
    request = world.ask(LOW_INCOME, "village")
    world.sharing.refuse(request.id, by=CIVIL_REVIEWER, reason="refused-no-duty")
    store = world.stores.sharing
    answered = store.request(request.id)
    reads = [request, answered]
    store.request = lambda request_id: reads.pop(0)  # type: ignore[method-assign]
    before = len(world.ledger.written)
    with pytest.raises(Conflict) as caught:
        world.sharing.approve(request.id, by=CIVIL_REVIEWER)
    assert caught.value.reasons[0].code == "request-moved"
    assert len(world.ledger.written) == before and not store._grants


def test_the_real_ledger_keeps_every_step_and_no_words_of_people(world: World, tmp_path) -> None:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create(["ledger"])
    ledger = Ledger(
        world.stores.ledger, keys, world.clock, origin="huitong.test/sharing", alarm_seconds=10, stop_seconds=300
    )
    object.__setattr__(world.sharing, "ledger", ledger)
    object.__setattr__(world.catalog, "ledger", ledger)

    world.catalog.publish(LOW_INCOME, by=CIVIL_OFFICER)
    world.sharing.take_snapshot(world.snapshot(LOW_INCOME, 1), by=CIVIL_OFFICER)
    request = world.ask(LOW_INCOME, "person_id", "village")
    world.clock.now += timedelta(days=1)
    request = world.sharing.approve(request.id, by=CIVIL_REVIEWER, words="请转告张三")
    grant = world.sharing.prepare(world.sharing.grant_of(request).id)
    world.sharing.revoke(grant.id, by=CIVIL_REVIEWER, words="张三已经离开")

    written = world.stores.ledger.pending(100)
    assert [promise.kind for promise in written] == [
        EntryKind.DATASET_PUBLISHED,
        EntryKind.SNAPSHOT_TAKEN,
        EntryKind.REQUEST_SUBMITTED,
        EntryKind.REQUEST_APPROVED,
        EntryKind.GRANT_MADE,
        EntryKind.GRANT_ACTIVATED,
        EntryKind.GRANT_REVOKED,
    ]
    payloads = b"".join(promise.payload for promise in written).decode()
    assert grant.terms_hash in payloads and "张三" not in payloads
    assert world.stores.sharing.grant(grant.id).state is GrantState.REVOKED
