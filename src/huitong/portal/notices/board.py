"""The board that changes write to: who gets a notice is decided, and written down, in the transaction of the change itself."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Protocol

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from huitong.model.catalog import Dataset
from huitong.model.notice import MailWhen, Notice, WebhookState
from huitong.portal.accounts.models import Office, Post
from huitong.portal.notices.models import Delivery, InboxEntry, MailPreference, Outbox, Subscription


class Entries(Protocol):
    """Finds the entry that a notice is about (`huitong.portal.stores.DjangoCatalogStore`)."""

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The entry in force."""


def new_id() -> str:
    """An id that nobody guesses and no two share."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class DjangoNoticeBoard:
    """NoticeBoard: in-boxes, webhooks and e-mail of whoever the notice is for."""

    using: str
    entries: Entries = field(repr=False)

    def post(self, notice: Notice) -> None:
        """Put the notice into the in-boxes of those whom it is for, and on its way to their systems and mail boxes, all inside the
        caller's transaction. Who may not know of the dataset, holds no such post now, or belongs to an office that is closed is
        passed over."""
        with transaction.atomic(using=self.using, savepoint=False):
            knows = self._who_knows(notice.about)
            open_offices = self._open_offices(notice, knows)
            holders = self._role_holders(notice, open_offices)
            told = {account for account, _ in holders}
            readers = holders | {(account, None) for account in self._persons(notice, knows) - told}
            webhooks = self._webhooks(notice, open_offices)
            if not readers and not webhooks:
                return
            row = Outbox(id=new_id(), kind=notice.kind.value, at=notice.at, about=dict(notice.about))
            row.save(using=self.using, force_insert=True)
            InboxEntry.objects.using(self.using).bulk_create(
                InboxEntry(notice=row, account_id=account, office_id=office, at=notice.at)
                for account, office in sorted(readers, key=lambda pair: (pair[0], pair[1] or ""))
            )
            mailed = self._mailed_at_once({account for account, _ in readers})
            deliveries = [
                *(self._delivery(row, notice.at, subscription_id=webhook) for webhook in webhooks),
                *(self._delivery(row, notice.at, account_id=account) for account in mailed),
            ]
            Delivery.objects.using(self.using).bulk_create(deliveries)

    def _who_knows(self, about: Mapping[str, str]) -> "Knows":
        if "dataset" not in about:
            return Knows(everyone=True, dataset=None)
        return Knows(everyone=False, dataset=self.entries.dataset(about["dataset"]))

    def _open_offices(self, notice: Notice, knows: "Knows") -> set[str]:
        today = timezone.localdate(notice.at)
        wanted = [office for office in notice.offices if knows(office)]
        rows = Office.objects.using(self.using).filter(Q(valid_to=None) | Q(valid_to__gt=today), id__in=wanted)
        return set(rows.values_list("id", flat=True)) if wanted else set()

    def _role_holders(self, notice: Notice, offices: set[str]) -> set[tuple[int, str | None]]:
        pairs = [(office, role) for office, role in notice.to_roles if office in offices]
        if not pairs:
            return set()
        wanted = reduce(or_, (Q(office_id=office, roles__role=role.value) for office, role in dict.fromkeys(pairs)))
        posts = self._posts().filter(wanted)
        return set(posts.values_list("account_id", "office_id"))

    def _persons(self, notice: Notice, knows: "Knows") -> set[int]:
        if not notice.to_persons:
            return set()
        posts = self._posts().filter(account__username__in=notice.to_persons)
        return {account for account, office in posts.values_list("account_id", "office_id") if knows(office)}

    def _webhooks(self, notice: Notice, offices: Iterable[str]) -> list[str]:
        if not notice.kind.is_for_systems or not offices:
            return []
        rows = Subscription.objects.using(self.using).filter(office_id__in=offices, state=WebhookState.ACTIVE.value)
        found = rows.order_by("id").values_list("id", "kinds")
        return [identifier for identifier, kinds in found if not kinds or notice.kind.value in kinds]

    def _mailed_at_once(self, accounts: Iterable[int]) -> list[int]:
        rows = MailPreference.objects.using(self.using).filter(account_id__in=accounts, wanted=MailWhen.AT_ONCE.value)
        return sorted(rows.values_list("account_id", flat=True)) if accounts else []

    def _posts(self) -> QuerySet[Post]:
        return Post.objects.using(self.using).filter(ended_at=None, account__is_active=True)

    @staticmethod
    def _delivery(notice: Outbox, at: datetime, **to: str | int) -> Delivery:
        return Delivery(id=new_id(), notice=notice, created_at=at, due_at=at, **to)


@dataclass(frozen=True)
class Knows:
    """Which offices may know of what a notice is about."""

    everyone: bool
    dataset: Dataset | None

    def __call__(self, office: str) -> bool:
        """Whether that office may. Of a dataset that is not there nobody may know."""
        return self.everyone or (self.dataset is not None and self.dataset.is_known_to(office))
