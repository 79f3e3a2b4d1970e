"""Who finds a notice in their in-box: whoever holds the role at that moment, and may know of what it is about. On both databases."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.portal.examples import ANALYST, CIVIL, HOUSEHOLDS, MEDICAL, NOON, REVIEWER, put_account
from tests.portal.notices.conftest import HIDDEN, OFFICER, World

from huitong.model.notice import NoticeKind
from huitong.model.party import Role
from huitong.portal.accounts.models import Account, Post
from huitong.portal.notices.models import Delivery, InboxEntry, Outbox

TOLD = [("grant-made", "G-2026-000001")]


def test_who_holds_the_role_in_the_office_is_told(world: World) -> None:
    world.post()
    assert world.inbox(ANALYST) == TOLD
    assert world.inbox(OFFICER) == TOLD
    assert world.inbox(REVIEWER) == []


def test_a_person_is_told_once_though_named_twice(world: World) -> None:
    world.post(to_roles=((MEDICAL.id, Role.ANALYST),), to_persons=(ANALYST.person, REVIEWER.person))
    assert world.inbox(ANALYST) == TOLD
    assert world.inbox(REVIEWER) == TOLD


def test_an_undone_change_told_nobody(world: World) -> None:
    class UndoneError(Exception):
        pass

    with pytest.raises(UndoneError), world.stores.atomic():
        world.post()
        raise UndoneError
    assert world.inbox(ANALYST) == []
    assert not Outbox.objects.using(world.stores.using).exists()


def test_who_may_not_know_of_a_dataset_hears_nothing_of_it(world: World) -> None:
    world.allow(9)
    webhook, _ = world.webhook("http://127.0.0.1:9/hook")
    world.post(
        about={"dataset": HIDDEN.id, "grant": "G-2026-000001"},
        to_roles=((MEDICAL.id, Role.ANALYST), (CIVIL.id, Role.REVIEWER)),
        to_persons=(OFFICER.person,),
        to_offices=(MEDICAL.id,),
    )
    assert world.inbox(ANALYST) == world.inbox(OFFICER) == []
    assert world.deliveries(webhook) == []
    assert world.inbox(REVIEWER) == TOLD


def test_of_a_dataset_that_is_not_there_nobody_hears(world: World) -> None:
    world.post(about={"dataset": "civil.nowhere"})
    assert world.inbox(ANALYST) == []
    assert not Outbox.objects.using(world.stores.using).exists()


def test_who_left_the_office_is_not_told_any_more_and_who_came_is(world: World) -> None:
    newcomer = replace(ANALYST, person="he.ping", name="何平", post="he.ping@gz-medical-security")
    world.post()
    put_account(world.stores.using, newcomer)
    Post.objects.using(world.stores.using).filter(id=ANALYST.post).update(ended_at=NOON)
    world.post(about={"grant": "G-2026-000002"})
    assert world.inbox(ANALYST) == TOLD
    assert world.inbox(newcomer) == [("grant-made", "G-2026-000002")]
    world.post(about={"grant": "G-2026-000003"}, to_persons=(ANALYST.person,))
    assert world.inbox(ANALYST) == TOLD


def test_a_closed_account_is_not_told(world: World) -> None:
    Account.objects.using(world.stores.using).filter(username=ANALYST.person).update(is_active=False)
    world.post(to_roles=((MEDICAL.id, Role.ANALYST),), to_persons=(ANALYST.person,))
    assert world.inbox(ANALYST) == []


def test_a_closed_office_is_not_told(world: World) -> None:
    world.allow(9)
    webhook, _ = world.webhook("http://127.0.0.1:9/hook")
    closed = replace(MEDICAL, valid_from=date(2000, 1, 1), valid_to=(NOON + timedelta(days=1)).date(), successor=CIVIL.id)
    with world.stores.atomic():
        world.stores.parties.put_office(closed)
    world.post()
    assert world.inbox(ANALYST) == TOLD, "its last day is not over"
    world.clock.advance(days=1)
    world.post(about={"grant": "G-2026-000002"})
    assert world.inbox(ANALYST) == TOLD
    assert len(world.deliveries(webhook)) == 1


def test_what_was_for_an_office_is_seen_in_that_office_alone(world: World) -> None:
    elsewhere = replace(ANALYST, post="wang.wei@gz-civil-affairs", office=CIVIL.id)
    put_account(world.stores.using, elsewhere)
    world.post()
    assert world.inbox(ANALYST) == TOLD
    assert world.inbox(elsewhere) == []


def test_reading(world: World) -> None:
    for number in range(1, 4):
        world.clock.advance(seconds=1)
        world.post(about={"grant": f"G-{number}"})
    notices = world.notices()
    lines, total, unread = notices.inbox(by=ANALYST, limit=2)
    assert [line.about["grant"] for line in lines] == ["G-3", "G-2"]
    assert (total, unread) == (3, 3)
    assert notices.mark_read([lines[0].id, "nothing", "x\0y"], by=ANALYST) == 1
    assert notices.mark_read([lines[0].id], by=ANALYST) == 0
    assert world.inbox(ANALYST, unread=True) == [("grant-made", "G-2"), ("grant-made", "G-1")]
    assert notices.inbox(by=ANALYST)[2] == 2
    assert notices.inbox(by=OFFICER)[2] == 3, "what one reads is unread for the other"
    assert notices.mark_read(None, by=ANALYST) == 2
    assert notices.inbox(by=ANALYST, unread=True) == ([], 0, 0)


def test_systems_get_the_kinds_they_asked_for(world: World) -> None:
    world.allow(9)
    everything, _ = world.webhook("http://127.0.0.1:9/all")
    refusals, _ = world.webhook("http://127.0.0.1:9/some", NoticeKind.REQUEST_REFUSED, NoticeKind.GRANT_REVOKED)
    world.post()
    world.post(NoticeKind.GRANT_REVOKED)
    world.clock.advance(seconds=1)
    world.post(NoticeKind.REQUEST_REFUSED, to_offices=(MEDICAL.id,))
    world.post(NoticeKind.WEBHOOK_FAILED, about={"subscription": everything})
    assert [one.kind.value for one in world.deliveries(refusals)] == ["request-refused", "grant-revoked"]
    assert len(world.deliveries(everything)) == 3
    assert ("request-refused", "G-2026-000001") not in world.inbox(ANALYST), "what is for systems is for no person"


def test_posting_asks_few_questions(world: World, queries) -> None:
    world.allow(9)
    world.webhook("http://127.0.0.1:9/all")
    for number in range(20):
        put_account(world.stores.using, replace(ANALYST, person=f"p{number}", post=f"p{number}@gz-medical-security"))
    queries()
    world.post()
    assert queries() <= 14
    assert InboxEntry.objects.using(world.stores.using).count() == 22
    assert Delivery.objects.using(world.stores.using).count() == 1
    assert HOUSEHOLDS.id == Outbox.objects.using(world.stores.using).get().about["dataset"]
