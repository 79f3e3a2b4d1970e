"""Tables of who takes part. Nothing here acts: `accounts.actions` and `portal.stores` read and change them."""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q

from huitong.model.party import DivisionLevel, Role

KINDS = [("person", "person"), ("service", "service")]
LEVELS = [(level.value, level.value) for level in DivisionLevel]
ROLES = [(role.value, role.value) for role in Role]


class Division(models.Model):
    """An administrative division with its 12-digit code, valid in [valid_from, valid_to)."""

    code = models.CharField(max_length=12, primary_key=True)
    name = models.TextField()
    level = models.CharField(max_length=10, choices=LEVELS)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    valid_from = models.DateField()
    valid_to = models.DateField(null=True)
    successors = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(level__in=[value for value, _ in LEVELS]), name="division_level_known"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")), name="division_ends_after_start"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["level", "code"], name="division_level_code")]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class Office(models.Model):
    """A department with its division, level and unified social credit code."""

    id = models.CharField(max_length=64, primary_key=True)
    title_zh = models.TextField()
    title_en = models.TextField()
    division = models.ForeignKey(Division, on_delete=models.PROTECT, related_name="+")
    level = models.CharField(max_length=10, choices=LEVELS)
    credit_code = models.CharField(max_length=18, unique=True)
    superior = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="inferiors")
    valid_from = models.DateField(null=True)
    valid_to = models.DateField(null=True)
    successor = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="predecessors")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(successor=None) | Q(valid_to__isnull=False), name="office_succeeded_has_ended"),
            models.CheckConstraint(condition=~Q(successor=F("id")), name="office_not_its_own_successor"),
            models.CheckConstraint(condition=Q(level__in=[value for value, _ in LEVELS]), name="office_level_known"),
            models.CheckConstraint(condition=~Q(superior=F("id")), name="office_not_its_own_superior"),
        ]
        indexes: ClassVar = [models.Index(fields=["level", "id"], name="office_level_id")]

    def __str__(self) -> str:
        return self.id


class AccountManager(BaseUserManager["Account"]):
    """Finds accounts by their name; accounts are made by `actions.register_account` alone."""


class Account(AbstractBaseUser):
    """A person, or a service that somebody keeps. It carries no power of its own: power lies in its posts."""

    last_login = None
    username = models.CharField(max_length=64, unique=True)
    name = models.TextField()
    kind = models.CharField(max_length=8, choices=KINDS, default="person")
    keeper = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="keeps")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar = ["name"]
    objects: ClassVar = AccountManager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="person", keeper=None) | Q(kind="service", keeper__isnull=False), name="account_service_has_keeper"
            ),
        ]

    def __str__(self) -> str:
        return self.username


class Post(models.Model):
    """A person's place in an office; ended posts stay, for the record of what was done in them."""

    id = models.CharField(max_length=130, primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="posts")
    office = models.ForeignKey(Office, on_delete=models.PROTECT, related_name="posts")
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ended_at=None) | Q(ended_at__gte=F("created_at")), name="post_ends_after_start"),
            models.UniqueConstraint(fields=["account", "office"], condition=Q(ended_at=None), name="post_once_per_office"),
        ]

    def __str__(self) -> str:
        return self.id


class PostRole(models.Model):
    """A role that a post carries."""

    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="roles")
    role = models.CharField(max_length=16, choices=ROLES)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["post", "role"], name="post_role_once"),
            models.CheckConstraint(condition=Q(role__in=[value for value, _ in ROLES]), name="post_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.post_id}: {self.role}"


class Token(models.Model):
    """A bearer token of one post. `prefix` is the part that may be shown; the rest is known to its holder alone."""

    prefix = models.CharField(max_length=16, primary_key=True)
    digest = models.BinaryField(max_length=32)
    post = models.ForeignKey(Post, on_delete=models.PROTECT, related_name="tokens")
    issued_with = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="issued")
    label = models.TextField()
    scopes = models.JSONField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=64, null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="token_ends_after_start"),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None) | Q(revoked_at__isnull=False, revoked_by__isnull=False),
                name="token_revoked_by_someone",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["post", "created_at"], name="token_post_created")]

    def __str__(self) -> str:
        return self.prefix


class StaffMode(models.Model):
    """A time in which the role of operator is in force for a post. Ends by itself at `until`, or before by hand."""

    post = models.ForeignKey(Post, on_delete=models.PROTECT, related_name="staff_modes")
    words = models.TextField()
    opened_at = models.DateTimeField()
    until = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(until__gt=F("opened_at")), name="staff_ends_after_start"),
            models.UniqueConstraint(fields=["post"], condition=Q(closed_at=None), name="staff_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.post_id}: {self.opened_at}"


class Try(models.Model):
    """A password or code that was tried and has not been found right. `key` names the account or address, never in the clear."""

    key = models.CharField(max_length=72)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "at"], name="try_key_at")]

    def __str__(self) -> str:
        return self.key


class Identity(models.Model):
    """A person as a sign-on service names them (OpenID Connect: issuer and subject), linked to an account by hand."""

    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="identities")
    linked_at = models.DateTimeField()
    linked_by = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["issuer", "subject"], name="identity_once")]

    def __str__(self) -> str:
        return f"{self.issuer} {self.subject}"
