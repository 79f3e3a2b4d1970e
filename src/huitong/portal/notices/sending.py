"""How notices leave: a part of the background worker. At least once, in no promised order, and nobody waits for a receiver that is dead.

A message is claimed by a conditional UPDATE, so of several workers one sends it. Between sending and noting that it was sent a worker may
die; then the claim runs out and another sends it again, with the same id: receivers leave out what they have had.
"""

import logging
import random
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django.db import connections, transaction
from django.db.models import F, Q, QuerySet

from huitong.catalog.ports import EntryLog
from huitong.errors import HuitongError
from huitong.model.ledger import EntryKind
from huitong.model.notice import DeliveryState, MailWhen, Notice, NoticeKind, WebhookState
from huitong.model.party import Role
from huitong.portal.accounts.models import Post
from huitong.portal.notices.board import Knows, new_id
from huitong.portal.notices.mail import Mailer
from huitong.portal.notices.messages import Line, mail_about, payload, sentence
from huitong.portal.notices.models import Delivery, InboxEntry, MailPreference, Outbox, Subscription
from huitong.portal.notices.receivers import Answer, read_url
from huitong.portal.notices.receivers import Post as Sends
from huitong.portal.notices.rules import NoticeRules
from huitong.portal.notices.signing import WebhookSecrets, headers_of, message_id
from huitong.portal.notices.store import cancel_waiting
from huitong.sharing.deadline import local_day

LOG = logging.getLogger("huitong.worker")
WELL, AILING, MAIL = "well", "ailing", "mail"
HOUSEKEEPING_SECONDS = 60
DIGEST_GRACE = timedelta(minutes=1)
"""After the hour of the digest, so that changes that began before it have ended."""
OPEN = (DeliveryState.WAITING.value, DeliveryState.SENDING.value)
PERMANENT = frozenset({"delivery-gone", "delivery-mail-refused"})
"""Outcomes after which trying again is of no use."""


class Stores(Protocol):
    """What sending needs of an instance's stores (`huitong.portal.stores.Stores`)."""

    using: str
    catalog: Any
    parties: Any
    notices: Any


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Sends what is due, and keeps house. One for each worker."""

    stores: Stores
    ledger: EntryLog
    secrets: WebhookSecrets
    post: Sends
    mailer: Mailer | None
    clock: Callable[[], datetime]
    time_zone: str
    rules: NoticeRules
    address: str = ""
    """Where people find their in-box, for e-mails."""
    luck: Callable[[], float] = random.random
    _under_way: dict[str, set[str]] = field(default_factory=lambda: {WELL: set(), AILING: set(), MAIL: set()})
    """In each lane, the receivers (webhooks) or messages (mail) that a thread is busy with."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # The loop

    def run(self, stop: threading.Event) -> None:
        """Until told to stop. What is under way then is left: its claim runs out."""
        kept_house: datetime | None = None
        started = 0
        try:
            while not stop.wait(0.02 if started else self.rules.look_seconds):
                started = 0
                try:
                    now = self.clock()
                    if kept_house is None or (now - kept_house).total_seconds() >= HOUSEKEEPING_SECONDS:
                        kept_house = now
                        self.daily(now)
                    started = sum(self._start(lane) for lane in (WELL, AILING, MAIL))
                except Exception as error:
                    LOG.warning("notices could not be looked through: %s", type(error).__name__)
                if not started:
                    self._close()
        finally:
            self._close()

    def send_due(self) -> int:
        """Send, one after the other and in this thread, everything that is due now; how many attempts."""
        attempts = 0
        while claimed := [one for lane in (WELL, AILING, MAIL) for one in self._claim(lane, busy=(), limit=1)]:
            for delivery in claimed:
                self._deliver(delivery)
                attempts += 1
        return attempts

    def _start(self, lane: str) -> int:
        with self._lock:
            busy = set(self._under_way[lane])
        free = getattr(self.rules, lane) - len(busy)
        claimed = self._claim(lane, busy=busy, limit=free) if free > 0 else []
        for delivery in claimed:
            target = delivery.subscription_id or delivery.id
            with self._lock:
                self._under_way[lane].add(target)
            threading.Thread(target=self._in_a_thread, args=(delivery, lane, target), name=f"notice-{lane}", daemon=True).start()
        return len(claimed)

    def _in_a_thread(self, delivery: Delivery, lane: str, target: str) -> None:
        try:
            self._deliver(delivery)
        except Exception as error:
            LOG.warning("a notice could not be sent: %s", type(error).__name__)
        finally:
            self._close()
            with self._lock:
                self._under_way[lane].discard(target)

    def _close(self) -> None:
        connections[self.stores.using].close()

    # Claiming

    def _claim(self, lane: str, *, busy: Collection[str], limit: int) -> list[Delivery]:
        """Messages that this worker, and no other, sends now: the next one of each receiver, least lately tried first."""
        now = self.clock()
        due = self._due(now)
        if lane == MAIL:
            wanted = due.filter(subscription=None).exclude(id__in=busy).order_by("due_at", "id").values_list("id", flat=True)
            ids = list(wanted[:limit])
        else:
            ids = [found for webhook in self._receivers(lane, now, busy)[:limit] if (found := self._next_of(webhook, due))]
        claimed: list[Delivery] = []
        for identifier in ids:
            claim = new_id()
            taken = self._due(now).filter(id=identifier).update(
                state=DeliveryState.SENDING.value,
                claimed_by=claim,
                claimed_until=now + timedelta(seconds=self.rules.lease_seconds),
                attempts=F("attempts") + 1,
                tried_at=now,
            )
            if taken:
                rows = self._deliveries().select_related("notice", "subscription__office", "account")
                claimed += rows.filter(id=identifier, claimed_by=claim)
        return claimed

    def _due(self, now: datetime) -> QuerySet[Delivery]:
        ready = Q(state=DeliveryState.WAITING.value) | Q(state=DeliveryState.SENDING.value, claimed_until__lte=now)
        return self._deliveries().filter(ready, due_at__lte=now, attempts__lt=self.rules.attempts)

    def _receivers(self, lane: str, now: datetime, busy: Collection[str]) -> QuerySet[Subscription, str]:
        waited_for = self._due(now).filter(subscription__isnull=False).values("subscription_id")
        rows = Subscription.objects.using(self.stores.using).filter(id__in=waited_for).exclude(id__in=busy)
        rows = rows.filter(Q(rests_until=None) | Q(rests_until__lte=now))
        rows = rows.filter(failures=0) if lane == WELL else rows.filter(failures__gt=0)
        return rows.order_by(F("tried_at").asc(nulls_first=True), "id").values_list("id", flat=True)

    @staticmethod
    def _next_of(webhook: str, due: QuerySet[Delivery]) -> str | None:
        return due.filter(subscription_id=webhook).order_by("due_at", "id").values_list("id", flat=True).first()

    # One message

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.subscription is not None:
            self._to_webhook(delivery, delivery.subscription)
        else:
            self._by_mail(delivery)

    def _to_webhook(self, delivery: Delivery, webhook: Subscription) -> None:
        notice = delivery.notice
        if notice is None:
            raise TypeError("a digest goes to no webhook")
        now = self.clock()
        closed = webhook.office.valid_to is not None and webhook.office.valid_to <= local_day(now, self.time_zone)
        if webhook.state != WebhookState.ACTIVE.value or closed:
            self._note(delivery, DeliveryState.CANCELLED, Answer("delivery-webhook-ended"))
            return
        if not self._knows(notice)(webhook.office_id):
            self._note(delivery, DeliveryState.CANCELLED, Answer("delivery-not-known"))
            return
        answer = self._posted(delivery, webhook, notice)
        self._close()  # of SQLite, which waits for whoever holds it; and nothing is kept open while others answer
        self._after(delivery, answer, webhook)

    def _posted(self, delivery: Delivery, webhook: Subscription, notice: Outbox) -> Answer:
        body = payload(NoticeKind(notice.kind), notice.at, notice.about)
        try:
            now = self.clock()
            signed = headers_of(delivery.id, body, at=now, keys=self.secrets.keys(webhook.id, now=now))
            receiver = read_url(webhook.url)
        except HuitongError:
            return Answer("delivery-secret-missing")
        headers = {**signed, "Content-Type": "application/json", "User-Agent": "huitong", "Accept": "*/*"}
        self._close()
        return self.post(receiver, headers=headers, body=body)

    def _by_mail(self, delivery: Delivery) -> None:
        chosen = MailPreference.objects.using(self.stores.using).select_related("account").filter(account=delivery.account).first()
        if chosen is None or chosen.wanted == MailWhen.OFF.value or not chosen.account.is_active:
            self._note(delivery, DeliveryState.CANCELLED, Answer("delivery-mail-unwanted"))
            return
        if self.mailer is None:
            self._note(delivery, DeliveryState.CANCELLED, Answer("delivery-mail-off"))
            return
        lines, in_all = self._lines(delivery, chosen)
        if not lines:
            self._note(delivery, DeliveryState.CANCELLED, Answer("delivery-not-known"))
            return
        mail = mail_about(
            lines,
            in_all=in_all,
            digest=delivery.notice is None,
            identifier=message_id(delivery.id),
            sender=self.mailer.server.sender,
            recipient=chosen.address,
            at=self.clock(),
            language=chosen.language,
            address=self.address,
        )
        self._close()
        self._after(delivery, self.mailer.send(mail), None)

    def _lines(self, delivery: Delivery, chosen: MailPreference) -> tuple[list[Line], int]:
        """What the person may still know of."""
        entries = InboxEntry.objects.using(self.stores.using).filter(account=chosen.account).select_related("notice")
        if delivery.notice is not None:
            entries = entries.filter(notice=delivery.notice)
        else:
            entries = entries.filter(read_at=None, at__gt=delivery.digest_from, at__lte=delivery.digest_to)
        posts = Post.objects.using(self.stores.using).filter(account=chosen.account, ended_at=None)
        offices = set(posts.values_list("office_id", flat=True))
        lines: dict[str, Line] = {}
        for entry in entries.order_by("at", "id"):
            notice, knows = entry.notice, self._knows(entry.notice)
            sakes = offices if entry.office_id is None else offices & {entry.office_id}
            if any(knows(office) for office in sakes):
                title = knows.dataset.title.in_language(chosen.language) if knows.dataset else None
                said = sentence(NoticeKind(notice.kind), notice.about, chosen.language, title=title)
                lines[notice.id] = Line(notice.at.astimezone(ZoneInfo(self.time_zone)), said)
        return list(lines.values())[: self.rules.digest_entries], len(lines)

    def _knows(self, notice: Outbox) -> Knows:
        if "dataset" not in notice.about:
            return Knows(everyone=True, dataset=None)
        return Knows(everyone=False, dataset=self.stores.catalog.dataset(notice.about["dataset"]))

    # What came of it

    def _after(self, delivery: Delivery, answer: Answer, webhook: Subscription | None) -> None:
        now = self.clock()
        with transaction.atomic(using=self.stores.using):
            if webhook is not None:
                self._note_receiver(webhook, answer, now)
            if answer.taken:
                self._note(delivery, DeliveryState.SENT, answer)
                return
            pause = self.rules.seconds_after(delivery.attempts, luck=self.luck())
            if pause is None or answer.outcome in PERMANENT:
                if self._note(delivery, DeliveryState.FAILED, answer) and webhook is not None:
                    self._tell_officers(webhook, now)
            else:
                due = now + timedelta(seconds=max(pause, self._asked(answer)))
                self._note(delivery, DeliveryState.WAITING, answer, due_at=due)

    def _asked(self, answer: Answer) -> int:
        """How long the receiver asks to be left alone, as far as it is listened to."""
        return min(answer.wait_seconds or 0, self.rules.longest_wait_seconds)

    def _note(self, delivery: Delivery, state: DeliveryState, answer: Answer, **more: Any) -> bool:
        """Whether the message was still ours to speak of."""
        own = self._deliveries().filter(id=delivery.id, state=DeliveryState.SENDING.value, claimed_by=delivery.claimed_by)
        told = {"state": state.value, "outcome": answer.outcome, "status": answer.status, **more}
        return bool(own.update(claimed_by="", claimed_until=None, **told))

    def _note_receiver(self, webhook: Subscription, answer: Answer, now: datetime) -> None:
        rows = Subscription.objects.using(self.stores.using).filter(id=webhook.id)
        told: dict[str, Any] = {"tried_at": now, "outcome": answer.outcome}
        if answer.taken:
            rows.update(**told, failures=0, rests_until=None)
            return
        rest = max(self.rules.rest_seconds(webhook.failures + 1, luck=self.luck()), self._asked(answer))
        rows.update(**told, failures=F("failures") + 1, rests_until=now + timedelta(seconds=rest))
        if answer.outcome == "delivery-gone":
            active = rows.filter(state=WebhookState.ACTIVE.value)
            if active.update(state=WebhookState.STOPPED.value, ended_at=now):
                cancel_waiting(self.stores.using, webhook.id)
                body = {"way": "webhook", "webhook": webhook.id, "change": "stopped", "actor": "rule", "office": webhook.office_id}
                self.ledger.append(kind=EntryKind.NOTICE_WAY_CHANGED, body=body)

    def _tell_officers(self, webhook: Subscription, now: datetime) -> None:
        """The data officers of the office find in their in-box that a message did not arrive; once a day, not for each."""
        told = Outbox.objects.using(self.stores.using).filter(
            kind=NoticeKind.WEBHOOK_FAILED.value, at__gt=now - timedelta(days=1), about__subscription=webhook.id
        )
        if not told.exists():
            about = {"subscription": webhook.id, "office": webhook.office_id}
            to = ((webhook.office_id, Role.DATA_OFFICER),)
            self.stores.notices.post(Notice(kind=NoticeKind.WEBHOOK_FAILED, at=now, about=about, to_roles=to))

    def _deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.using(self.stores.using)

    # Housekeeping

    def daily(self, now: datetime) -> None:
        """What happens by the clock: digests are made when their hour has come, what waited too long has failed, what is old goes.
        Several workers may do it at once."""
        self._make_digests(now)
        self._give_up(now)
        self._forget(now)

    def _make_digests(self, now: datetime) -> None:
        zone = ZoneInfo(self.time_zone)
        hour = now.astimezone(zone).replace(hour=self.rules.digest_hour, minute=0, second=0, microsecond=0)
        if now < hour + DIGEST_GRACE:
            hour -= timedelta(days=1)
        wanted = MailPreference.objects.using(self.stores.using).filter(wanted=MailWhen.DAILY.value, digest_until__lt=hour)
        for chosen in wanted:
            with transaction.atomic(using=self.stores.using):
                mine = wanted.filter(account_id=chosen.account_id, digest_until=chosen.digest_until).update(digest_until=hour)
                news = InboxEntry.objects.using(self.stores.using).filter(
                    account_id=chosen.account_id, read_at=None, at__gt=chosen.digest_until, at__lte=hour
                )
                if mine and news.exists():
                    self._deliveries().create(
                        id=new_id(),
                        account_id=chosen.account_id,
                        digest_from=chosen.digest_until,
                        digest_to=hour,
                        created_at=now,
                        due_at=now,
                    )

    def _give_up(self, now: datetime) -> None:
        """What waited longer than every attempt takes, and what a sender died over at its last attempt."""
        still = Q(state=DeliveryState.WAITING.value) | Q(state=DeliveryState.SENDING.value, claimed_until__lte=now)
        old = Q(created_at__lt=now - timedelta(hours=self.rules.keep_trying_hours))
        lost = Q(attempts__gte=self.rules.attempts)
        for delivery in self._deliveries().filter(still, old | lost).select_related("subscription")[:1000]:
            outcome = delivery.outcome or "delivery-too-late"
            with transaction.atomic(using=self.stores.using):
                mine = self._deliveries().filter(still, id=delivery.id)
                ended = mine.update(state=DeliveryState.FAILED.value, outcome=outcome, claimed_by="", claimed_until=None)
                if ended and delivery.subscription is not None:
                    self._tell_officers(delivery.subscription, now)

    def _forget(self, now: datetime) -> None:
        done = now - timedelta(days=self.rules.keep_done_days)
        unread = now - timedelta(days=self.rules.keep_unread_days)
        self._deliveries().exclude(state__in=OPEN).filter(created_at__lt=done).delete()
        entries = InboxEntry.objects.using(self.stores.using)
        entries.filter(Q(at__lt=done, read_at__isnull=False) | Q(at__lt=unread)).delete()
        rows = Outbox.objects.using(self.stores.using).filter(at__lt=done)
        held = Q(id__in=entries.filter(at__lt=done).values("notice_id")) | Q(
            id__in=self._deliveries().filter(created_at__lt=done, notice__isnull=False).values("notice_id")
        )
        rows.exclude(held).delete()


def send_notices(inside: Any, stop: threading.Event) -> None:
    """A worker's part: send what is due until told to stop."""
    from huitong.portal.notices.opening import open_sender
    from huitong.portal.wiring import wall_clock

    open_sender(inside.settings, inside.stores, inside.ledger, wall_clock).run(stop)
