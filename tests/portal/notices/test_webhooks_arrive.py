"""Messages to systems of offices: at least once, signed as the Standard Webhooks specification says, and nobody waits for a dead one.

The receiver checks with the specification's own library, which is not ours."""

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.portal.examples import ANALYST, CIVIL, HOUSEHOLDS, MEDICAL, NOON, REVIEWER
from tests.portal.notices.conftest import HIDDEN, OFFICER, World
from tests.portal.notices.receiver import Received, Receiver, answer, receiving

from huitong.errors import InputInvalid, NotFound, Refused
from huitong.model.catalog import Visibility
from huitong.model.ledger import EntryKind
from huitong.model.notice import DeliveryState, NoticeKind, WebhookState
from huitong.portal.notices import models
from huitong.portal.notices.actions import LONGEST_ADDRESS
from huitong.portal.notices.receivers import Answer, WebhookHosts, read_url
from huitong.portal.notices.rules import notice_rules


def checked(message: Received, secret: str) -> dict:
    """What the specification's library makes of it; it takes nothing older than five minutes, by the wall clock."""
    import standardwebhooks.webhooks as library

    class StoppedClock(library.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOON + timedelta(seconds=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "datetime", StoppedClock)
        return Webhook(secret).verify(message.body, message.headers)


def refused_by_the_library(message: Received, secret: str) -> bool:
    try:
        checked(message, secret)
    except WebhookVerificationError:
        return True
    return False


def test_a_message_is_signed_and_thin(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, secret = world.webhook(system.url("/hook?office=1"))
        world.post(about={"grant": "G-2026-000001", "dataset": HOUSEHOLDS.id, "until": "2026-12-31"})
        assert world.sender().send_due() == 1
        (message,) = system.received
    body = checked(message, secret)
    assert body == {
        "type": "grant.made",
        "timestamp": "2026-03-02T04:00:00.123Z",
        "data": {"grant": "G-2026-000001", "dataset": HOUSEHOLDS.id, "until": "2026-12-31"},
    }
    assert message.path == "/hook?office=1"
    assert message.headers["host"] == f"127.0.0.1:{system.port}"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"].startswith("msg_")
    said = json.dumps(message.headers) + message.body.decode()
    assert ANALYST.person not in said and ANALYST.name not in said and secret not in said
    (delivery,) = world.deliveries(webhook)
    assert (delivery.state, delivery.attempts, delivery.outcome, delivery.status) == (DeliveryState.SENT, 1, "delivery-taken", 204)


def test_a_changed_byte_or_another_secret_is_found_by_the_receiver(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        _, secret = world.webhook(system.url())
        _, other = world.webhook(system.url())
        world.post()
        world.sender().send_due()
    first, second = system.received
    right = [one for one in (first, second) if not refused_by_the_library(one, secret)]
    assert len(right) == 1
    assert refused_by_the_library(right[0], other)
    assert refused_by_the_library(replace(right[0], body=right[0].body.replace(b"G-2026", b"G-2027")), secret)
    assert refused_by_the_library(replace(right[0], headers={**right[0].headers, "webhook-id": "msg_other"}), secret)
    assert refused_by_the_library(replace(right[0], headers={**right[0].headers, "webhook-timestamp": "1"}), secret)
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


def test_while_a_secret_changes_both_sign_and_then_the_new_one_alone(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, old = world.webhook(system.url())
        new = world.notices().rotate_secret(webhook, by=OFFICER)
        assert new.webhook.rotated_until == NOON + timedelta(hours=24)
        assert old != new.secret
        world.post()
        world.sender().send_due()
        (both,) = system.received
        assert checked(both, old) == checked(both, new.secret)
        assert len(both.headers["webhook-signature"].split()) == 2
        for _ in range(5):
            newest = world.notices().rotate_secret(webhook, by=OFFICER).secret
        world.post()
        world.sender().send_due()
        assert len(system.received[1].headers["webhook-signature"].split()) == 4, "however often it is changed"
        world.clock.advance(hours=24)
        world.post()
        world.sender().send_due()
        (alone,) = system.received[2:]
    assert len(alone.headers["webhook-signature"].split()) == 1
    assert Webhook(newest).sign(alone.headers["webhook-id"], NOON + timedelta(hours=24), alone.body.decode()) == (
        alone.headers["webhook-signature"]
    )


def test_secrets_lie_in_the_key_store_alone(world: World) -> None:
    world.allow(9)
    webhook, secret = world.webhook("http://127.0.0.1:9/hook")
    assert secret.startswith("whsec_")
    ours = (models.Subscription, models.Delivery, models.Outbox)
    tables = str([list(model.objects.using(world.stores.using).values()) for model in ours])
    ledger = "".join(bytes(promise.payload).decode() for promise in world.stores.ledger.pending(limit=100))
    assert secret not in tables + ledger + repr(world.notices())
    assert secret not in repr(world.notices().rotate_secret(webhook, by=OFFICER))
    assert f"webhook-{webhook}" in world.keystore.sealed_names()
    world.notices().remove_webhook(webhook, by=OFFICER)
    assert world.keystore.sealed_names() == []
    kinds = [promise.kind for promise in world.stores.ledger.pending(limit=100)]
    assert kinds == [EntryKind.NOTICE_WAY_CHANGED] * 3


# --- receivers that fail


@pytest.mark.slow
def test_a_receiver_that_fails_is_tried_again_with_the_same_id_and_given_up_in_the_end(world: World) -> None:
    rules = notice_rules()
    with receiving(Receiver(act=lambda handler: answer(handler, 500, b"no"))) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        sender = world.sender()
        for attempt, pause in enumerate([*rules.retry_seconds, 0], start=1):
            assert sender.send_due() == 1
            assert sender.send_due() == 0, "not at once"
            (line,) = world.deliveries(webhook)
            assert (line.attempts, line.outcome, line.status) == (attempt, "delivery-answered", 500)
            world.clock.advance(seconds=pause - 1 if pause else 0)
            assert sender.send_due() == 0, "not before its time"
            world.clock.advance(seconds=1)
        assert len(system.received) == rules.attempts
        assert len(set(system.ids)) == 1
        assert len({one.headers["webhook-timestamp"] for one in system.received}) == rules.attempts
    (line,) = world.deliveries(webhook)
    assert (line.state, line.due_at) == (DeliveryState.FAILED, None)
    assert world.inbox(OFFICER)[0] == ("webhook-failed", "")
    assert world.inbox(ANALYST) == [("grant-made", "G-2026-000001")], "only data officers are told of a webhook"


def test_jitter_spreads_what_failed_together() -> None:
    rules = notice_rules()
    assert rules.seconds_after(2, luck=0) == pytest.approx(240)
    assert rules.seconds_after(2, luck=0.999999) == pytest.approx(360, abs=0.1)
    assert rules.seconds_after(rules.attempts, luck=0) is None
    assert rules.rest_seconds(50, luck=1) <= rules.longest_rest_seconds * 1.2


def test_a_receiver_that_recovers_gets_everything_that_waited(world: World) -> None:
    with receiving(Receiver(act=lambda handler: answer(handler, 503))) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        for number in range(5):
            world.post(about={"grant": f"G-{number}"})
        sender = world.sender()
        assert sender.send_due() == 1, "while it rests, what waits is not tried one after the other"
        system.act = lambda handler: answer(handler, 200)
        world.clock.advance(seconds=5)
        assert sender.send_due() == 5
        world.clock.advance(seconds=300)
        sender.send_due()
    assert {line.state for line in world.deliveries(webhook)} == {DeliveryState.SENT}
    (found,) = world.notices().webhooks(by=OFFICER)
    assert (found.failures, found.rests_until, found.outcome) == (0, None, "delivery-taken")


def test_a_receiver_that_asks_for_time_gets_it(world: World) -> None:
    with receiving(Receiver(act=lambda handler: answer(handler, 429, Retry_After="600"))) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.sender().send_due()
        (line,) = world.deliveries(webhook)
        assert line.due_at == NOON + timedelta(seconds=600)
        system.act = lambda handler: answer(handler, 429, Retry_After="99999999999999")
        world.clock.advance(seconds=600)
        world.sender().send_due()
        (line,) = world.deliveries(webhook)
        assert line.due_at is not None and line.due_at <= world.clock() + timedelta(days=1)


def test_a_receiver_that_wants_no_more_is_stopped(world: World) -> None:
    with receiving(Receiver(act=lambda handler: answer(handler, 410))) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.post()
        world.sender().send_due()
        assert len(system.received) == 1
        world.post()
    (found,) = world.notices().webhooks(by=OFFICER)
    assert (found.state, found.outcome) == (WebhookState.STOPPED, "delivery-gone")
    assert sorted(line.state for line in world.deliveries(webhook)) == ["cancelled", "failed"]
    assert ("webhook-failed", "") in world.inbox(OFFICER)


def test_a_redirect_is_not_followed(world: World) -> None:
    with receiving() as elsewhere, receiving() as system:
        system.act = lambda handler: answer(handler, 307, Location=elsewhere.url())
        world.allow(system.port, elsewhere.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.sender().send_due()
        assert elsewhere.received == []
    (line,) = world.deliveries(webhook)
    assert (line.outcome, line.status, line.state) == ("delivery-redirected", 307, DeliveryState.WAITING)


def endless(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x" * 1_000_000)


def test_a_huge_answer_is_not_read(world: World) -> None:
    with receiving(Receiver(act=endless)) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.sender().send_due()
    assert [line.state for line in world.deliveries(webhook)] == [DeliveryState.SENT]


def huge_headers(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100_000):
        handler.wfile.write(b"X-Long: " + b"y" * 1000 + b"\r\n")


def test_endless_headers_are_an_error_not_a_load(world: World) -> None:
    with receiving(Receiver(act=huge_headers)) as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.sender().send_due()
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-unreachable"]


def drip(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Drop: 1\r\n")
        handler.wfile.flush()
        if handler.server_closing.wait(0.05):
            return


@pytest.mark.parametrize("kind", ["says nothing", "drips"])
def test_a_receiver_that_keeps_us_waiting_is_left(world: World, kind: str) -> None:
    system = Receiver()

    def slow(handler) -> None:
        if kind == "drips":
            handler.server_closing = system.closing
            drip(handler)
        system.closing.wait(30)

    system.act = slow
    with receiving(system):
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        sender = world.sender()
        replace(sender, post=replace(sender.post, request_seconds=0.3)).send_due()
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-no-answer"]


def test_nobody_listens(world: World) -> None:
    with receiving() as gone:
        pass
    world.allow(gone.port)
    webhook, _ = world.webhook(gone.url())
    world.post()
    world.sender().send_due()
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-unreachable"]


@pytest.mark.slow
def test_a_dead_receiver_keeps_no_other_waiting(world: World) -> None:
    dead = Receiver()
    dead.act = lambda handler: dead.closing.wait(30) and None
    arrived = threading.Event()
    alive = Receiver()

    def taken(handler) -> None:
        answer(handler, 204)
        if len(alive.received) == 20:
            arrived.set()

    alive.act = taken
    with receiving(dead), receiving(alive):
        world.allow(dead.port, alive.port)
        for _ in range(10):
            world.webhook(dead.url(), NoticeKind.GRANT_MADE)
        world.webhook(alive.url(), NoticeKind.GRANT_REVOKED)
        for number in range(5):
            world.post(about={"grant": f"G-{number}"})
        stop = threading.Event()
        sender = world.sender()
        rules = replace(sender.rules, look_seconds=0.02)
        sender = replace(sender, rules=rules, post=replace(sender.post, request_seconds=1.0))
        thread = threading.Thread(target=sender.run, args=(stop,))
        thread.start()
        try:
            while not dead.received:
                stop.wait(0.01)
            for number in range(20):
                world.post(NoticeKind.GRANT_REVOKED, about={"grant": f"G-{number}"})
            assert arrived.wait(20), f"{len(alive.received)} of 20 came"
            assert len(dead.received) <= 2 * 10
        finally:
            stop.set()
            thread.join(20)
            dead.closing.set()
            while sender._under_way["well"] or sender._under_way["ailing"]:
                threading.Event().wait(0.01)
    assert len(set(alive.ids)) == 20


# --- several workers, and one that dies


@pytest.mark.slow
def test_of_two_workers_one_sends(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        world.webhook(system.url())
        for number in range(20):
            world.post(about={"grant": f"G-{number}"})
        gate = threading.Barrier(3)

        def work() -> None:
            sender = world.sender()
            gate.wait(10)
            try:
                sender.send_due()
            finally:
                connections[world.stores.using].close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.wait(10)
        for thread in threads:
            thread.join(60)
        assert sorted(system.ids) == sorted(set(system.ids))
        assert len(system.ids) == 20


def test_what_a_dead_worker_had_claimed_goes_out_again_with_the_same_id(world: World) -> None:
    class KilledError(BaseException):
        pass

    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        sender = world.sender()

        def killed_after_sending(receiver, *, headers, body):
            sender.post(receiver, headers=headers, body=body)
            raise KilledError

        with pytest.raises(KilledError):
            replace(sender, post=killed_after_sending).send_due()
        assert [line.state for line in world.deliveries(webhook)] == [DeliveryState.SENDING]
        assert sender.send_due() == 0, "it may still be under way"
        world.clock.advance(seconds=sender.rules.lease_seconds)
        assert sender.send_due() == 1
        assert len(system.ids) == 2
        assert len(set(system.ids)) == 1
    assert [line.state for line in world.deliveries(webhook)] == [DeliveryState.SENT]


def test_a_message_over_which_workers_die_is_given_up(world: World) -> None:
    world.allow(9)
    webhook, _ = world.webhook("http://127.0.0.1:9/hook")
    world.post()
    sender = world.sender()
    for _ in range(sender.rules.attempts):
        assert len(sender._claim("well", busy=(), limit=5)) == 1
        world.clock.advance(seconds=sender.rules.lease_seconds)
    assert sender.send_due() == 0
    sender.daily(world.clock())
    assert [(line.state, line.outcome) for line in world.deliveries(webhook)] == [(DeliveryState.FAILED, "delivery-too-late")]
    assert ("webhook-failed", "") in world.inbox(OFFICER)


def test_a_late_mark_of_a_slow_worker_changes_nothing(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        slow, fast = world.sender(), world.sender()
        (claimed,) = slow._claim("well", busy=(), limit=1)
        world.clock.advance(seconds=slow.rules.lease_seconds)
        assert fast.send_due() == 1
        slow._after(claimed, Answer("delivery-answered", 500), claimed.subscription)
    assert [(line.state, line.status) for line in world.deliveries(webhook)] == [(DeliveryState.SENT, 204)]


def test_what_waited_too_long_is_given_up(world: World) -> None:
    world.allow(9)
    webhook, _ = world.webhook("http://127.0.0.1:9/hook")
    world.post()
    sender = world.sender()
    world.clock.advance(hours=sender.rules.keep_trying_hours)
    sender.daily(world.clock())
    assert [line.state for line in world.deliveries(webhook)] == [DeliveryState.WAITING]
    world.clock.advance(seconds=1)
    sender.daily(world.clock())
    assert [line.state for line in world.deliveries(webhook)] == [DeliveryState.FAILED]


# --- what changed between the notice and its sending


def test_a_removed_webhook_gets_nothing_any_more(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.notices().remove_webhook(webhook, by=OFFICER)
        world.post()
        assert world.sender().send_due() == 0
        assert system.received == []
    with pytest.raises(NotFound):
        world.deliveries(webhook)
    assert world.notices().webhooks(by=OFFICER) == []


def test_a_dataset_hidden_meanwhile_is_not_told_of(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        with world.stores.atomic():
            world.stores.catalog.put_dataset(replace(HOUSEHOLDS, visibility=Visibility.NAMED), index={})
        world.sender().send_due()
        assert system.received == []
    assert [(line.state, line.outcome) for line in world.deliveries(webhook)] == [(DeliveryState.CANCELLED, "delivery-not-known")]
    assert HIDDEN.visibility is Visibility.NAMED


def test_an_office_closed_meanwhile_is_not_told(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        closed = replace(MEDICAL, valid_to=(NOON + timedelta(days=1)).date(), successor=CIVIL.id)
        with world.stores.atomic():
            world.stores.parties.put_office(closed)
        world.clock.advance(days=1)
        world.sender().send_due()
        assert system.received == []
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-webhook-ended"]


def test_a_host_struck_off_the_list_gets_nothing(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.post()
        world.allow(9)
        world.sender().send_due()
        assert system.received == []
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-host-not-allowed"]


def test_a_lost_secret_signs_nothing(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, _ = world.webhook(system.url())
        world.keystore.forget_sealed(f"webhook-{webhook}")
        world.post()
        world.sender().send_due()
        assert system.received == []
    assert [line.outcome for line in world.deliveries(webhook)] == ["delivery-secret-missing"]


# --- who may


def test_webhooks_are_the_data_officers_business_and_each_offices_own(world: World) -> None:
    world.allow(9)
    webhook, _ = world.webhook("http://127.0.0.1:9/hook")
    notices = world.notices()
    for act in (
        lambda: notices.webhooks(by=ANALYST),
        lambda: notices.add_webhook("http://127.0.0.1:9/", by=ANALYST),
        lambda: notices.rotate_secret(webhook, by=ANALYST),
    ):
        with pytest.raises(Refused):
            act()
    assert notices.webhooks(by=REVIEWER) == []
    for act in (
        lambda: notices.remove_webhook(webhook, by=REVIEWER),
        lambda: notices.rotate_secret(webhook, by=REVIEWER),
        lambda: notices.test_webhook(webhook, by=REVIEWER),
        lambda: notices.deliveries(webhook, by=REVIEWER),
        lambda: notices.deliveries("nothing\0", by=OFFICER),
    ):
        with pytest.raises(NotFound):
            act()


def test_what_may_be_a_webhook(world: World) -> None:
    world.allow(9)
    notices = world.notices()
    with pytest.raises(InputInvalid):
        notices.add_webhook("http://127.0.0.1:9/", by=OFFICER, kinds=[NoticeKind.WEBHOOK_FAILED])
    for _ in range(notice_rules().most_webhooks):
        notices.add_webhook("http://127.0.0.1:9/", by=OFFICER)
    with pytest.raises(InputInvalid) as caught:
        notices.add_webhook("http://127.0.0.1:9/", by=OFFICER)
    assert caught.value.reasons[0].code == "webhooks-too-many"
    assert LONGEST_ADDRESS == 254


def test_a_trial_message_goes_out_whatever_was_asked_for(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        webhook, secret = world.webhook(system.url(), NoticeKind.REQUEST_REFUSED)
        made = world.notices().test_webhook(webhook, by=OFFICER)
        assert made.state is DeliveryState.WAITING
        world.sender().send_due()
        (message,) = system.received
    assert checked(message, secret)["type"] == "test"
    assert message.headers["webhook-id"] == f"msg_{made.id}"
    assert world.inbox(OFFICER) == []
    assert WebhookHosts.read("127.0.0.1:9").refuse_unless_listed(read_url("http://127.0.0.1:9/"))


def test_old_messages_are_forgotten(world: World) -> None:
    with receiving() as system:
        world.allow(system.port)
        world.webhook(system.url())
        world.post()
        world.post(about={"grant": "G-2"}, to_persons=(ANALYST.person,))
        sender = world.sender()
        sender.send_due()
        world.notices().mark_read(None, by=OFFICER)
        world.clock.advance(days=sender.rules.keep_done_days, seconds=1)
        sender.daily(world.clock())
        counts = [model.objects.using(world.stores.using).count() for model in (models.Delivery, models.InboxEntry, models.Outbox)]
        assert counts == [0, 2, 2], "what was not read stays longer"
        world.clock.advance(days=sender.rules.keep_unread_days)
        sender.daily(world.clock())
        counts = [model.objects.using(world.stores.using).count() for model in (models.Delivery, models.InboxEntry, models.Outbox)]
        assert counts == [0, 0, 0]
