"""The ledger at rest. Rows of entries and checkpoints are only ever added; the database itself refuses to change one."""

from typing import ClassVar

from django.db import models


class Pending(models.Model):
    """A promise that is not in the tree yet; `id` is the order of writing."""

    entry = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=32)
    at = models.DateTimeField(db_index=True)
    payload = models.BinaryField()
    key_id = models.CharField(max_length=64)
    signature = models.BinaryField()

    def __str__(self) -> str:
        return self.entry


class Entry(models.Model):
    """A leaf of the tree at its index, for ever."""

    index = models.PositiveBigIntegerField(primary_key=True)
    entry = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=32)
    at = models.DateTimeField(db_index=True)
    payload = models.BinaryField()
    key_id = models.CharField(max_length=64)
    signature = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.index}: {self.entry}"


class Node(models.Model):
    """The hash of a complete subtree: `index` counts the subtrees of that level from the left."""

    level = models.PositiveSmallIntegerField()
    index = models.PositiveBigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["level", "index"], name="node_once")]

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"


class Checkpoint(models.Model):
    """A signed tree head."""

    size = models.PositiveBigIntegerField(db_index=True)
    origin = models.TextField()
    root = models.BinaryField(max_length=32)
    at = models.DateTimeField()
    note = models.TextField()

    def __str__(self) -> str:
        return f"{self.origin} {self.size}"


class KeyChange(models.Model):
    """A change of the ledger's key, beside the entry that records it; only ever added."""

    number = models.PositiveIntegerField(primary_key=True)
    vkey = models.TextField()
    before = models.TextField()
    at = models.DateTimeField()
    until = models.DateTimeField()
    entry = models.CharField(max_length=64, unique=True)

    def __str__(self) -> str:
        return f"{self.number}: {self.entry}"


class Cosignature(models.Model):
    """What a witness has signed of a checkpoint; only ever added."""

    size = models.PositiveBigIntegerField(db_index=True)
    witness = models.CharField(max_length=300)
    at = models.DateTimeField()
    line = models.TextField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["size", "witness"], name="cosignature_once")]

    def __str__(self) -> str:
        return f"{self.size}: {self.witness}"


class Use(models.Model):
    """A query, asked by whom from which office: enough to find the proof of it."""

    query = models.CharField(max_length=64, primary_key=True)
    person = models.CharField(max_length=64)
    post = models.CharField(max_length=130)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["office", "at"], name="use_office_at")]

    def __str__(self) -> str:
        return self.query


class UseEntry(models.Model):
    """An entry of the ledger that belongs to a query."""

    use = models.ForeignKey(Use, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveSmallIntegerField()
    entry = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["use", "position"], name="use_entry_position_once"),
            models.UniqueConstraint(fields=["use", "entry"], name="use_entry_once"),
        ]

    def __str__(self) -> str:
        return f"{self.use_id}: {self.entry}"


class Stamp(models.Model):
    """What a time-stamping service answered about a checkpoint; only ever added."""

    size = models.PositiveBigIntegerField(db_index=True)
    service = models.CharField(max_length=63)
    at = models.DateTimeField()
    kept_at = models.DateTimeField()
    answer = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["size", "service"], name="stamp_once")]

    def __str__(self) -> str:
        return f"{self.size}: {self.service}"


class Literal(models.Model):
    """A text of which an entry holds the salted hash, sealed; the one thing beside the ledger that can be erased."""

    digest = models.CharField(max_length=64, primary_key=True)
    sealed = models.BinaryField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.digest


class UseLine(models.Model):
    """One dataset of one use that ended: a line of "who used my office's data". Made with the fold of the entry that ended it, from the
    ledger alone, so that it can be thrown away and made again (`huitong.ledger.uses`)."""

    place = models.PositiveBigIntegerField()
    position = models.PositiveSmallIntegerField()
    query = models.CharField(max_length=130)
    dataset = models.CharField(max_length=130)
    office = models.CharField(max_length=130)
    person = models.CharField(max_length=130)
    post = models.CharField(max_length=130)
    purpose = models.CharField(max_length=130)
    legal_basis = models.TextField()
    grant = models.CharField(max_length=130, null=True)
    version = models.BigIntegerField(null=True)
    snapshot = models.BigIntegerField(null=True)
    mode = models.CharField(max_length=130, null=True)
    door = models.CharField(max_length=130, null=True)
    end = models.CharField(max_length=16)
    at = models.DateTimeField()
    ended_at = models.DateTimeField()
    rows = models.BigIntegerField(null=True)
    duration = models.CharField(max_length=130, null=True)
    items = models.JSONField()
    reasons = models.JSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["place", "position"], name="use_line_once")]
        indexes: ClassVar = [
            models.Index(fields=["dataset", "place"], name="use_line_dataset"),
            models.Index(fields=["office", "place"], name="use_line_office"),
            models.Index(fields=["grant", "place"], name="use_line_grant"),
        ]

    def __str__(self) -> str:
        return f"{self.query}: {self.dataset}"


class RunningUse(models.Model):
    """A use that runs now, written down once its engine has worked for a second; no part of the ledger (`huitong.gateway.running`)."""

    query = models.CharField(max_length=64, primary_key=True)
    person = models.CharField(max_length=130)
    post = models.CharField(max_length=130)
    office = models.CharField(max_length=130)
    purpose = models.CharField(max_length=130)
    datasets = models.JSONField()
    door = models.CharField(max_length=16)
    since = models.DateTimeField()
    seen_at = models.DateTimeField()
    cancelled_by = models.CharField(max_length=130, null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["office", "since"], name="running_use_office")]

    def __str__(self) -> str:
        return self.query


class KeyedAnswer(models.Model):
    """The key of a call that changes something, and the answer it got: a repeat of the call gets the same and changes nothing.

    Kept for the hours of `portal/api/idempotency.toml`; no part of the ledger. `content` is a fingerprint under a key of the instance."""

    post = models.CharField(max_length=130)
    key = models.CharField(max_length=255)
    content = models.CharField(max_length=64)
    attempt = models.PositiveIntegerField()
    whole = models.BooleanField()
    state = models.CharField(max_length=8)
    at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(null=True)
    body = models.BinaryField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["post", "key"], name="keyed_answer_once"),
            models.CheckConstraint(
                condition=models.Q(state="answered", status__isnull=False, headers__isnull=False, body__isnull=False)
                | models.Q(state__in=["begun", "broken"], status=None, body=None),
                name="keyed_answer_with_its_answer",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.post}: {self.state}"
