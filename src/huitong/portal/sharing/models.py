"""Tables of what is asked, what was answered and what was agreed."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from huitong.model.party import Role
from huitong.model.policy import GrantEventKind, GrantState, Mode
from huitong.model.sharing import RequestEventKind, RequestState
from huitong.portal.sharing.cases import Reidentification as Reidentification
from huitong.portal.sharing.cases import ReidentificationEvent as ReidentificationEvent
from huitong.portal.sharing.cases import ReidentificationToken as ReidentificationToken

STATES = [(value.value, value.value) for value in RequestState]
KINDS = [(value.value, value.value) for value in RequestEventKind]
GRANT_STATES = [(value.value, value.value) for value in GrantState]
GRANT_KINDS = [(value.value, value.value) for value in GrantEventKind]
ROLES = [(value.value, value.value) for value in Role]
MODES = [(value.value, value.value) for value in Mode]


class Request(models.Model):
    """A request. `state` and `event_count` follow from the events and move only together with a new one."""

    id = models.CharField(max_length=64, primary_key=True)
    dataset = models.ForeignKey("catalog.Dataset", on_delete=models.PROTECT, related_name="+")
    provider = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    applicant = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    applicant_office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    wish = models.JSONField()
    answer_due = models.DateField(null=True)
    submitted_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=STATES)
    event_count = models.PositiveIntegerField()
    continues = models.ForeignKey("Grant", on_delete=models.PROTECT, null=True, related_name="continued_by")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=[value for value, _ in STATES]), name="request_state_known"),
            models.CheckConstraint(condition=Q(event_count__gte=1), name="request_has_an_event"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["provider", "state", "submitted_at"], name="request_provider_state"),
            models.Index(fields=["applicant_office", "state", "submitted_at"], name="request_applicant_state"),
            models.Index(fields=["state", "answer_due"], name="request_state_due"),
        ]

    def __str__(self) -> str:
        return self.id


class RequestEvent(models.Model):
    """One thing that happened to a request; never changed."""

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=KINDS)
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(null=True)
    words = models.TextField(null=True)
    wish = models.JSONField(null=True)
    on_behalf_of = models.CharField(max_length=64, null=True)
    due = models.DateField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request", "sequence"], name="request_event_sequence_once"),
            models.CheckConstraint(condition=Q(kind__in=[value for value, _ in KINDS]), name="request_event_kind_known"),
            models.CheckConstraint(
                condition=~Q(kind=RequestEventKind.SUBMITTED.value) | Q(sequence=0), name="request_event_submitted_first"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.sequence}: {self.kind}"


class Grant(models.Model):
    """A grant in the version in force; earlier ones stand in `GrantVersion`. `state` and `event_count` follow from its events."""

    id = models.CharField(max_length=64, primary_key=True)
    version = models.PositiveIntegerField()
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="grants")
    dataset = models.ForeignKey("catalog.Dataset", on_delete=models.PROTECT, related_name="+")
    provider = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    using_office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    signed_by = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    purpose = models.TextField()
    legal_basis = models.TextField()
    items = models.JSONField()
    rows_item = models.CharField(max_length=63, null=True)
    rows_division = models.CharField(max_length=12, null=True)
    mode = models.CharField(max_length=16, choices=MODES)
    linkage_group = models.TextField()
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    rules = models.JSONField(default=dict)
    terms_hash = models.CharField(max_length=64)
    event_count = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=10, choices=GRANT_STATES)
    granted_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revoked_because = models.TextField(null=True)
    moved_from = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="moved_to")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(moved_from=F("id")), name="grant_not_moved_from_itself"),
            models.CheckConstraint(condition=Q(mode__in=[value for value, _ in MODES]), name="grant_mode_known"),
            models.CheckConstraint(
                condition=Q(rows_item=None, rows_division=None) | Q(rows_item__isnull=False, rows_division__isnull=False),
                name="grant_rows_item_with_division",
            ),
            models.CheckConstraint(condition=Q(valid_until__gt=F("valid_from")), name="grant_ends_after_start"),
            models.CheckConstraint(
                condition=Q(state=GrantState.REVOKED.value, revoked_at__isnull=False)
                | Q(
                    state__in=[GrantState.PREPARING.value, GrantState.ACTIVE.value],
                    revoked_at__isnull=True,
                    revoked_because__isnull=True,
                ),
                name="grant_revoked_with_instant",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["using_office", "dataset"], name="grant_using_office_dataset"),
            models.Index(fields=["provider", "granted_at"], name="grant_provider_granted"),
            models.Index(fields=["dataset", "state"], name="grant_dataset_state"),
            models.Index(fields=["state", "granted_at"], name="grant_state_granted"),
            models.Index(fields=["state", "valid_until"], name="grant_state_until"),
        ]

    def __str__(self) -> str:
        return self.id


class GrantVersion(models.Model):
    """Terms that were in force before the grant's present ones; never changed."""

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="+")
    signed_by = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    purpose = models.TextField()
    legal_basis = models.TextField()
    items = models.JSONField()
    rows_item = models.CharField(max_length=63, null=True)
    rows_division = models.CharField(max_length=12, null=True)
    mode = models.CharField(max_length=16, choices=MODES)
    linkage_group = models.TextField()
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    rules = models.JSONField(default=dict)
    terms_hash = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["grant", "version"], name="grant_version_once")]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.version}"


class GrantEvent(models.Model):
    """One thing that happened to a grant; never changed."""

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="events")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=GRANT_KINDS)
    at = models.DateTimeField()
    actor = models.CharField(max_length=64)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    version = models.PositiveIntegerField()
    words = models.TextField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["grant", "sequence"], name="grant_event_sequence_once"),
            models.CheckConstraint(condition=Q(kind__in=[value for value, _ in GRANT_KINDS]), name="grant_event_kind_known"),
            models.CheckConstraint(
                condition=~Q(kind=GrantEventKind.MADE.value) | Q(sequence=0), name="grant_event_made_first"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.sequence}: {self.kind}"


class Delegation(models.Model):
    """Who answers in whose place, on which days."""

    id = models.CharField(max_length=64, primary_key=True)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    principal = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    delegate = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, to_field="username", related_name="+")
    role = models.CharField(max_length=16, choices=ROLES)
    valid_from = models.DateField()
    valid_until = models.DateField()
    made_by = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(principal=F("delegate")), name="delegation_to_another"),
            models.CheckConstraint(condition=Q(valid_until__gte=F("valid_from")), name="delegation_ends_after_start"),
        ]
        indexes: ClassVar = [models.Index(fields=["office", "delegate"], name="delegation_office_delegate")]

    def __str__(self) -> str:
        return self.id


class Series(models.Model):
    """The last number given in a series."""

    name = models.CharField(max_length=32, primary_key=True)
    last = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.name} {self.last}"


class PolicyEpoch(models.Model):
    """One row: the number that grows with every change of a rule."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="policy_epoch_single_row")]

    def __str__(self) -> str:
        return str(self.number)


class QuotaDay(models.Model):
    """What uses of a grant with a quota took on one day of the instance's time zone."""

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="quota_days")
    day = models.DateField()
    rows = models.PositiveBigIntegerField(default=0)
    queries = models.PositiveBigIntegerField(default=0)
    calls = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["grant", "day"], name="quota_day_once")]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.day}"


class QuotaReservation(models.Model):
    """What a use that runs may take; it goes when the use is settled, or is folded into its day when `until` is over."""

    query = models.CharField(max_length=64)
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="quota_reservations")
    day = models.DateField()
    rows = models.PositiveBigIntegerField()
    queries = models.PositiveSmallIntegerField()
    calls = models.PositiveSmallIntegerField()
    until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["grant", "query"], name="quota_reservation_once")]

    def __str__(self) -> str:
        return f"{self.grant_id} {self.query}"


class AnsweredQuestion(models.Model):
    """A question of totals that an office was answered about a dataset, or claims; `sealed` is readable to the gateway alone."""

    query = models.CharField(max_length=64, unique=True)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey("catalog.Dataset", on_delete=models.PROTECT, related_name="+")
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="answered_questions")
    digest = models.CharField(max_length=64)
    snapshot = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    sealed = models.BinaryField()
    answered = models.BooleanField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["office", "dataset", "id"], name="answered_office_dataset")]

    def __str__(self) -> str:
        return f"{self.office_id} {self.dataset_id} {self.query}"


class KeyEpoch(models.Model):
    """From when on the identifiers of a linkage group have which tokens; never changed. The last of a group is in force."""

    linkage_group = models.TextField()
    number = models.PositiveIntegerField()
    key = models.PositiveIntegerField()
    began_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["linkage_group", "number"], name="key_epoch_once")]

    def __str__(self) -> str:
        return f"{self.linkage_group} {self.number}"


class NoisedBudget(models.Model):
    """What answers with noise spent, in millionths of epsilon: of one grant, or of one office over one dataset. It only grows, but for uses
    that could not begin."""

    account = models.CharField(max_length=200, primary_key=True)
    spent = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return self.account


class NoisedAnswer(models.Model):
    """What an office was told to a question of noised totals; `sealed` is readable to the core alone."""

    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    dataset = models.ForeignKey("catalog.Dataset", on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    at = models.DateTimeField()
    sealed = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["office", "dataset", "digest"], name="noised_answer_once")]

    def __str__(self) -> str:
        return f"{self.office_id} {self.dataset_id} {self.digest}"
