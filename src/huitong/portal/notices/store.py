"""NoticeStore on Django's ORM, for SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from huitong.model.notice import Delivery as DeliveryNoun
from huitong.model.notice import (
    DeliveryState,
    InboxLine,
    MailChoice,
    MailWhen,
    Notice,
    NoticeKind,
    Webhook,
    WebhookState,
)
from huitong.portal.accounts.models import Account
from huitong.portal.notices.board import new_id
from huitong.portal.notices.models import Delivery, InboxEntry, MailPreference, Outbox, Subscription


@dataclass(frozen=True)
class DjangoNoticeStore:
    """NoticeStore: in-boxes, choices of e-mail, webhooks."""

    using: str = "default"

    def inbox(
        self, person: str, office: str, *, unread: bool, limit: int, offset: int
    ) -> tuple[Sequence[InboxLine], int, int]:
        """What the person was told for the sake of that office, and as a person; newest first."""
        rows = self._inbox(person, office)
        unread_rows = rows.filter(read_at=None)
        wanted = unread_rows if unread else rows
        page = wanted.select_related("notice").order_by("-at", "-id")[offset : offset + limit]
        return [_line(row) for row in page], wanted.count(), unread_rows.count()

    def mark_read(self, person: str, office: str, notices: Collection[str] | None, *, at: datetime) -> int:
        """Note that these, or all, were read."""
        rows = self._inbox(person, office).filter(read_at=None)
        if notices is not None:
            rows = rows.filter(notice_id__in=[name for name in notices if _is_id(name)])
        return rows.update(read_at=at)

    def mail_choice(self, person: str) -> MailChoice:
        """What the person chose; off if nothing."""
        row = MailPreference.objects.using(self.using).filter(account__username=person).first()
        if row is None:
            return MailChoice()
        return MailChoice(address=row.address, wanted=MailWhen(row.wanted), language=row.language)

    def choose_mail(self, person: str, choice: MailChoice, *, at: datetime) -> None:
        """Keep the choice in place of the one before."""
        account = Account.objects.using(self.using).get(username=person)
        chosen: dict[str, object] = {
            "address": choice.address,
            "wanted": choice.wanted.value,
            "language": choice.language,
            "changed_at": at,
        }
        rows = MailPreference.objects.using(self.using).filter(account=account)
        if not rows.filter(wanted=MailWhen.DAILY.value).exists():
            chosen["digest_until"] = at
        MailPreference.objects.using(self.using).update_or_create(
            account=account, defaults=chosen, create_defaults={**chosen, "digest_until": at}
        )

    def webhooks(self, office: str) -> Sequence[Webhook]:
        """Those of the office that are not removed, oldest first."""
        return [_webhook(row) for row in self._standing().filter(office_id=office).order_by("created_at", "id")]

    def webhook(self, webhook: str) -> Webhook | None:
        """The webhook of that id, unless it is removed."""
        row = self._standing().filter(id=webhook).first() if _is_id(webhook) else None
        return None if row is None else _webhook(row)

    def put_webhook(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        Subscription.objects.using(self.using).create(
            id=webhook.id,
            office_id=webhook.office,
            url=webhook.url,
            kinds=[kind.value for kind in webhook.kinds],
            state=webhook.state.value,
            created_at=webhook.created_at,
            created_by=webhook.created_by,
        )

    def end_webhook(self, webhook: str, *, state: WebhookState, at: datetime) -> None:
        """It is told no more; what waits for it is cancelled."""
        self._standing().filter(id=webhook).update(state=state.value, ended_at=at)
        cancel_waiting(self.using, webhook)

    def note_rotation(self, webhook: str, *, until: datetime) -> None:
        """Its secret before this one signs until then."""
        self._standing().filter(id=webhook).update(rotated_until=until)

    def post_to(self, webhook: str, notice: Notice) -> DeliveryNoun:
        """Send a notice to this webhook alone."""
        row = Outbox.objects.using(self.using).create(
            id=new_id(), kind=notice.kind.value, at=notice.at, about=dict(notice.about)
        )
        delivery = Delivery.objects.using(self.using).create(
            id=new_id(), notice=row, subscription_id=webhook, created_at=notice.at, due_at=notice.at
        )
        return _delivery(delivery)

    def deliveries(self, webhook: str, *, limit: int, offset: int) -> tuple[Sequence[DeliveryNoun], int]:
        """The messages to it, newest first, and how many in all."""
        rows = Delivery.objects.using(self.using).filter(subscription_id=webhook)
        page = rows.select_related("notice").order_by("-created_at", "id")[offset : offset + limit]
        return [_delivery(one) for one in page], rows.count()

    def _inbox(self, person: str, office: str) -> QuerySet[InboxEntry]:
        rows = InboxEntry.objects.using(self.using)
        return rows.filter(Q(office=None) | Q(office_id=office), account__username=person)

    def _standing(self) -> QuerySet[Subscription]:
        return Subscription.objects.using(self.using).exclude(state=WebhookState.REMOVED.value)


def cancel_waiting(using: str, webhook: str) -> int:
    """What waits for a receiver that is told no more goes nowhere; how many messages."""
    rows = Delivery.objects.using(using).filter(subscription_id=webhook, state=DeliveryState.WAITING.value)
    return rows.update(state=DeliveryState.CANCELLED.value, outcome="delivery-webhook-ended")


def _is_id(text: str) -> bool:
    return text.isascii() and text.isalnum()


def _line(row: InboxEntry) -> InboxLine:
    notice = row.notice
    return InboxLine(
        id=notice.id,
        kind=NoticeKind(notice.kind),
        at=notice.at,
        about=notice.about,
        office=row.office_id,
        read_at=row.read_at,
    )


def _webhook(row: Subscription) -> Webhook:
    return Webhook(
        id=row.id,
        office=row.office_id,
        url=row.url,
        kinds=tuple(NoticeKind(kind) for kind in row.kinds),
        state=WebhookState(row.state),
        created_at=row.created_at,
        created_by=row.created_by,
        rotated_until=row.rotated_until,
        failures=row.failures,
        rests_until=row.rests_until,
        outcome=row.outcome,
    )


def _delivery(row: Delivery) -> DeliveryNoun:
    if row.notice is None:
        raise TypeError("a digest goes to no webhook")
    state = DeliveryState(row.state)
    return DeliveryNoun(
        id=row.id,
        kind=NoticeKind(row.notice.kind),
        about=row.notice.about,
        state=state,
        attempts=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at if state in (DeliveryState.WAITING, DeliveryState.SENDING) else None,
        tried_at=row.tried_at,
        outcome=row.outcome,
        status=row.status,
    )
