"""Tables of re-identification: cases, what happened to them, and the tokens of those that are open."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from huitong.model.reidentification import ReidentificationEventKind, ReidentificationState

STATES = [(value.value, value.value) for value in ReidentificationState]
KINDS = [(value.value, value.value) for value in ReidentificationEventKind]


class Reidentification(models.Model):
    """A case. `state` and `event_count` follow from the events and move only together with a new one."""

    id = models.CharField(max_length=64, primary_key=True)
    grant = models.ForeignKey("sharing.Grant", on_delete=models.PROTECT, related_name="reidentifications")
    dataset = models.ForeignKey("catalog.Dataset", on_delete=models.PROTECT, related_name="+")
    item = models.CharField(max_length=63)
    linkage_group = models.TextField()
    provider = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    using_office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    officer = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    post = models.ForeignKey("accounts.Post", on_delete=models.PROTECT, related_name="+")
    case = models.TextField()
    legal_basis = models.TextField()
    why = models.TextField()
    tokens = models.PositiveIntegerField()
    tokens_hash = models.CharField(max_length=64)
    days = models.PositiveIntegerField()
    reveals = models.PositiveIntegerField()
    answer_due = models.DateField()
    asked_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=STATES)
    event_count = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=[value for value, _ in STATES]), name="reidentification_state_known"),
            models.CheckConstraint(condition=Q(event_count__gte=1), name="reidentification_has_an_event"),
            models.CheckConstraint(
                condition=Q(tokens__gte=1, days__gte=1, reveals__gte=1), name="reidentification_counts_something"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["provider", "asked_at"], name="reidentification_provider"),
            models.Index(fields=["using_office", "asked_at"], name="reidentification_using_office"),
            models.Index(fields=["state", "asked_at"], name="reidentification_state"),
        ]

    def __str__(self) -> str:
        return self.id


class ReidentificationEvent(models.Model):
    """One thing that happened to a case; never changed."""

    reidentification = models.ForeignKey(Reidentification, on_delete=models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=KINDS)
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(null=True)
    words = models.TextField(null=True)
    days = models.PositiveIntegerField(null=True)
    reveals = models.PositiveIntegerField(null=True)
    until = models.DateTimeField(null=True)
    query = models.CharField(max_length=64, null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["reidentification", "sequence"], name="reidentification_event_once"),
            models.CheckConstraint(condition=Q(kind__in=[value for value, _ in KINDS]), name="reidentification_event_kind_known"),
            models.CheckConstraint(
                condition=~Q(kind=ReidentificationEventKind.ASKED.value) | Q(sequence=0), name="reidentification_asked_first"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reidentification_id} {self.sequence}: {self.kind}"


class ReidentificationToken(models.Model):
    """A token of a case that is open; removed when the case is over."""

    reidentification = models.ForeignKey(Reidentification, on_delete=models.PROTECT, related_name="kept_tokens")
    token = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["reidentification", "token"], name="reidentification_token_once"),
        ]

    def __str__(self) -> str:
        return str(self.reidentification_id)
