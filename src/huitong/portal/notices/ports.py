"""What the verbs of notices need from storage: `DjangoNoticeStore`, and in memory `huitong.testing.MemoryNotices`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from huitong.model.notice import Delivery, InboxLine, MailChoice, Notice, Webhook, WebhookState


class Inboxes(Protocol):
    """What persons were told, and what of it they read."""

    def inbox(
        self, person: str, office: str, *, unread: bool, limit: int, offset: int
    ) -> tuple[Sequence[InboxLine], int, int]:
        """What the person was told for the sake of that office, and as a person; newest first. How many in all (of those that are
        asked for), how many unread."""
        ...

    def mark_read(self, person: str, office: str, notices: Collection[str] | None, *, at: datetime) -> int:
        """Note that these of them, or all, were read; how many were unread until now."""
        ...


class MailChoices(Protocol):
    """When persons get notices by e-mail."""

    def mail_choice(self, person: str) -> MailChoice:
        """What the person chose; off if nothing."""
        ...

    def choose_mail(self, person: str, choice: MailChoice, *, at: datetime) -> None:
        """Keep the choice in place of the one before. A digest that is wanted from now on begins with what comes now."""
        ...


class Webhooks(Protocol):
    """Receivers of offices, and the messages to them. Every changing method is called inside `Transactions.atomic()`."""

    def webhooks(self, office: str) -> Sequence[Webhook]:
        """Those of the office that are not removed, oldest first."""
        ...

    def webhook(self, webhook: str) -> Webhook | None:
        """The webhook of that id, unless it is removed."""
        ...

    def put_webhook(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        ...

    def end_webhook(self, webhook: str, *, state: WebhookState, at: datetime) -> None:
        """It is told no more; what waits for it is cancelled."""
        ...

    def note_rotation(self, webhook: str, *, until: datetime) -> None:
        """Its secret before this one signs until then."""
        ...

    def post_to(self, webhook: str, notice: Notice) -> Delivery:
        """Send a notice to this webhook alone, whatever it asked for."""
        ...

    def deliveries(self, webhook: str, *, limit: int, offset: int) -> tuple[Sequence[Delivery], int]:
        """The messages to it, newest first, and how many in all."""
        ...


class NoticeStore(Inboxes, MailChoices, Webhooks, Protocol):
    """All three over one database."""
