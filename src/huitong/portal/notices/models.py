"""Notices at rest. `board` writes them in the transaction of what they tell of; `actions` and `sending` read and change them."""

from enum import StrEnum
from typing import ClassVar

from django.db import models
from django.db.models import Q

from huitong.model.notice import DeliveryState, MailWhen, WebhookState


def _one_of(field: str, values: type[StrEnum]) -> Q:
    return Q(**{f"{field}__in": [value.value for value in values]})


class Outbox(models.Model):
    """A notice that somebody gets, written in the transaction of what it tells of."""

    id = models.CharField(max_length=32, primary_key=True)
    kind = models.CharField(max_length=32)
    at = models.DateTimeField(db_index=True)
    about = models.JSONField()

    def __str__(self) -> str:
        return f"{self.id}: {self.kind}"


class InboxEntry(models.Model):
    """A notice as one person has it: for a role in an office, or (without an office) for the person."""

    notice = models.ForeignKey(Outbox, on_delete=models.CASCADE, related_name="+")
    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, related_name="+")
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["notice", "account", "office"], condition=Q(office__isnull=False), name="inbox_once_in_an_office"
            ),
            models.UniqueConstraint(fields=["notice", "account"], condition=Q(office=None), name="inbox_once_for_a_person"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "-at"], name="inbox_account_at"),
            models.Index(fields=["account"], condition=Q(read_at=None), name="inbox_unread"),
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} for {self.account_id}"


class Subscription(models.Model):
    """A webhook: where an office wants to be told, and of what. The secret lies in the key store under `webhook-<id>`."""

    id = models.CharField(max_length=32, primary_key=True)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    url = models.TextField()
    kinds = models.JSONField(default=list)
    """Kinds of notices; none named means all."""
    state = models.CharField(max_length=8, default=WebhookState.ACTIVE.value)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=64)
    ended_at = models.DateTimeField(null=True)
    rotated_until = models.DateTimeField(null=True)
    """Until when the secret before this one signs too."""
    failures = models.PositiveIntegerField(default=0)
    """Attempts that failed in a row."""
    tried_at = models.DateTimeField(null=True)
    rests_until = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=64, default="")
    """What came of the last attempt: a code of `huitong/words`, empty while there was none."""

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=_one_of("state", WebhookState), name="subscription_state_known"),
            models.CheckConstraint(
                condition=Q(state=WebhookState.ACTIVE.value, ended_at=None)
                | (~Q(state=WebhookState.ACTIVE.value) & Q(ended_at__isnull=False)),
                name="subscription_ended_at_an_instant",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["office", "state"], name="subscription_office")]

    def __str__(self) -> str:
        return f"{self.id} of {self.office_id}"


class Delivery(models.Model):
    """One message on its way to one receiver; its id is that of the message and stays the same however often it is sent."""

    id = models.CharField(max_length=32, primary_key=True)
    notice = models.ForeignKey(Outbox, on_delete=models.CASCADE, null=True, related_name="+")
    """None for a digest, which is of many."""
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, null=True, related_name="+")
    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, null=True, related_name="+")
    """Who gets it by e-mail."""
    digest_from = models.DateTimeField(null=True)
    digest_to = models.DateTimeField(null=True)
    state = models.CharField(max_length=9, default=DeliveryState.WAITING.value)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    claimed_by = models.CharField(max_length=64, default="")
    claimed_until = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=64, default="")
    """What came of the last attempt: a code of `huitong/words`."""
    status = models.PositiveSmallIntegerField(null=True)
    """What the receiver answered, a status of HTTP or SMTP."""

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=_one_of("state", DeliveryState), name="delivery_state_known"),
            models.CheckConstraint(
                condition=Q(subscription=None, account__isnull=False) | Q(subscription__isnull=False, account=None),
                name="delivery_one_way",
            ),
            models.CheckConstraint(
                condition=Q(notice__isnull=False, digest_from=None, digest_to=None)
                | Q(notice=None, digest_from__isnull=False, digest_to__isnull=False, subscription=None),
                name="delivery_of_a_notice_or_a_digest",
            ),
            models.UniqueConstraint(fields=["notice", "subscription"], name="delivery_once_to_a_webhook"),
            models.UniqueConstraint(fields=["notice", "account"], name="delivery_once_by_mail"),
            models.UniqueConstraint(fields=["account", "digest_to"], name="delivery_one_digest"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"],
                condition=Q(state__in=[DeliveryState.WAITING.value, DeliveryState.SENDING.value]),
                name="delivery_due",
            ),
            models.Index(fields=["subscription", "-created_at"], name="delivery_of_subscription"),
        ]

    def __str__(self) -> str:
        return f"{self.id}: {self.state}"


class MailPreference(models.Model):
    """Whether, where and in which language a person gets notices by e-mail."""

    account = models.OneToOneField("accounts.Account", on_delete=models.PROTECT, primary_key=True, related_name="+")
    address = models.CharField(max_length=254, default="")
    wanted = models.CharField(max_length=7, default=MailWhen.OFF.value)
    language = models.CharField(max_length=7, default="en")
    changed_at = models.DateTimeField()
    digest_until = models.DateTimeField()
    """What came before this instant was in a digest, or was before digests were wanted."""

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=_one_of("wanted", MailWhen), name="mail_wanted_known"),
            models.CheckConstraint(condition=Q(wanted=MailWhen.OFF.value) | ~Q(address=""), name="mail_wanted_has_address"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}: {self.wanted}"
