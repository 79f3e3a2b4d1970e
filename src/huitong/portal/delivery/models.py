"""Tables of extracts and of the addresses under which they are fetched."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from huitong.model.delivery import DeliveryMark, ExtractForm, ExtractState
from huitong.model.records import CopyState

FORMS = [(value.value, value.value) for value in ExtractForm]
STATES = [(value.value, value.value) for value in ExtractState]
MARKS = [(value.value, value.value) for value in DeliveryMark]
COPY_STATES = [(value.value, value.value) for value in CopyState]
STANDING = [ExtractState.WAITING.value, ExtractState.RUNNING.value, ExtractState.READY.value]
"""States of which a key has one extract at most."""


class Extract(models.Model):
    """The rows of a grant as one file. The file itself lies in the instance's folder of extracts."""

    id = models.CharField(max_length=64, primary_key=True)
    dataset = models.CharField(max_length=200)
    items = models.JSONField()
    form = models.CharField(max_length=8, choices=FORMS)
    purpose = models.TextField()
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    person = models.CharField(max_length=64)
    post = models.CharField(max_length=130)
    grant = models.ForeignKey("sharing.Grant", on_delete=models.PROTECT, related_name="+")
    grant_version = models.PositiveIntegerField()
    terms_hash = models.CharField(max_length=64)
    snapshot = models.PositiveBigIntegerField()
    fingerprint = models.CharField(max_length=64)
    asked_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=STATES)
    attempts = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField()
    rows_expected = models.PositiveBigIntegerField()
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    query = models.CharField(max_length=64)
    ready_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    reasons = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=[value for value, _ in STATES]), name="extract_state_known"),
            models.CheckConstraint(condition=Q(form__in=[value for value, _ in FORMS]), name="extract_form_known"),
            models.CheckConstraint(
                condition=~Q(state=ExtractState.READY.value) | Q(ready_at__isnull=False), name="extract_ready_with_instant"
            ),
            models.CheckConstraint(
                condition=~Q(state=ExtractState.REMOVED.value) | Q(removed_at__isnull=False), name="extract_removed_with_instant"
            ),
            models.UniqueConstraint(
                fields=["grant", "grant_version", "fingerprint", "form"],
                condition=Q(state__in=STANDING),
                name="extract_written_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["office", "asked_at"], name="extract_office_asked"),
            models.Index(fields=["state", "asked_at"], name="extract_state_asked"),
        ]

    def __str__(self) -> str:
        return self.id


class Address(models.Model):
    """A signed address given to one person in one post; the signature itself is not kept."""

    id = models.CharField(max_length=64, primary_key=True)
    extract = models.ForeignKey(Extract, on_delete=models.PROTECT, related_name="addresses")
    grant = models.CharField(max_length=64)
    grant_version = models.PositiveIntegerField()
    office = models.CharField(max_length=64)
    person = models.CharField(max_length=64)
    post = models.CharField(max_length=130)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("issued_at")), name="address_ends_after_start"),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="address_expires")]

    def __str__(self) -> str:
        return self.id


class AddressMark(models.Model):
    """What happened at an address, once for each kind."""

    address = models.ForeignKey(Address, on_delete=models.CASCADE, related_name="marks")
    mark = models.CharField(max_length=10, choices=MARKS)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(mark__in=[value for value, _ in MARKS]), name="address_mark_known"),
            models.UniqueConstraint(fields=["address", "mark"], name="address_mark_once"),
        ]

    def __str__(self) -> str:
        return f"{self.address_id}: {self.mark}"


class RecordDoor(models.Model):
    """Whether records of a dataset may be called for by key, and where the copy that they are read from stands. The copies themselves lie
    in files or tables of their own (`huitong.delivery.keyed`)."""

    dataset = models.CharField(max_length=200, primary_key=True)
    on = models.BooleanField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=64)
    version = models.PositiveBigIntegerField(null=True)
    shape = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=8, choices=COPY_STATES)
    rows = models.PositiveBigIntegerField(default=0)
    rows_expected = models.PositiveBigIntegerField(default=0)
    rows_without_key = models.PositiveBigIntegerField(default=0)
    reasons = models.JSONField(default=list)
    noted_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=[value for value, _ in COPY_STATES]), name="record_copy_state_known"),
        ]

    def __str__(self) -> str:
        return self.dataset
