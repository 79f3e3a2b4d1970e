"""A change by the real rules tells of itself in its own transaction: those it concerns find it, and if it is undone nobody does."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.portal.examples import ANALYST, CITY, HOUSEHOLDS, REVIEWER
from tests.portal.notices.conftest import World

from huitong.errors import Unavailable
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.portal.notices.messages import sentence
from huitong.portal.notices.models import Delivery, InboxEntry, Outbox
from huitong.sharing.actions import SharingActions
from huitong.testing import MemorySideTables


@pytest.fixture
def sharing(world: World) -> SharingActions:
    stores = world.stores
    return SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=world.ledger,
        divisions=stores.divisions,
        side_tables=MemorySideTables(),
        clock=world.clock,
        time_zone="Asia/Shanghai",
        notices=stores.notices,
    )


def submit(sharing: SharingActions, world: World) -> str:
    wish = sharing.wish(
        HOUSEHOLDS.id,
        purpose="medical-security",
        legal_basis="Measures on medical assistance, article 9",
        items=[(item.name, None) for item in HOUSEHOLDS.items],
        until=(world.clock() + timedelta(days=100)).date(),
        division=CITY,
    )
    return sharing.submit(wish, by=ANALYST).id


class FailingLedger:
    """A ledger whose disk is full when the answer is written."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def append(self, *, kind: EntryKind, body: Any) -> Any:
        if kind is EntryKind.GRANT_MADE:
            raise Unavailable.because("ledger-stopped")
        return self._ledger.append(kind=kind, body=body)


def test_both_sides_hear_of_a_request_and_its_answer(world: World, sharing: SharingActions) -> None:
    request = submit(sharing, world)
    assert ("request-submitted", request) in world.inbox(REVIEWER)
    assert world.inbox(ANALYST) == []
    world.clock.advance(minutes=1)
    grant = sharing.grant_of(sharing.approve(request, by=REVIEWER, words="已核。请王伟于三日内使用"))
    assert grant is not None
    heard = {kind for kind, _ in world.inbox(ANALYST)}
    assert {"request-approved", "grant-made"} <= heard
    if grant.state.value == "preparing":
        sharing.prepare(grant.id)
        assert ("grant-ready", grant.id) in world.inbox(ANALYST)
    sharing.revoke(grant.id, by=REVIEWER, words="not needed any more")
    assert ("grant-revoked", grant.id) in world.inbox(ANALYST)
    written = str(list(Outbox.objects.using(world.stores.using).values_list("about", flat=True)))
    assert "王伟" not in written and "needed" not in written and ANALYST.person not in written


def test_a_refusal_tells_its_code_and_no_words(world: World, sharing: SharingActions) -> None:
    request = submit(sharing, world)
    world.clock.advance(minutes=1)
    sharing.refuse(request, by=REVIEWER, reason="refused-condition-not-met", words="与王伟的职责无关")
    told = Outbox.objects.using(world.stores.using).get(kind="request-refused")
    assert told.about["request"] == request
    assert "王伟" not in str(told.about)
    assert ("request-refused", request) in world.inbox(ANALYST)
    said = sentence(NoticeKind.REQUEST_REFUSED, told.about, "en")
    assert said.startswith(f"A request was refused: request {request}, dataset {HOUSEHOLDS.id}, ") and "refused-" not in said


def test_a_change_that_failed_told_nobody(world: World, sharing: SharingActions) -> None:
    request = submit(sharing, world)
    before = [model.objects.using(world.stores.using).count() for model in (Outbox, InboxEntry, Delivery)]
    with pytest.raises(Unavailable):
        replace(sharing, ledger=FailingLedger(world.ledger)).approve(request, by=REVIEWER)
    after = [model.objects.using(world.stores.using).count() for model in (Outbox, InboxEntry, Delivery)]
    assert after == before
    assert world.inbox(ANALYST) == []
