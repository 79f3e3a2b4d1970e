"""Tables of what there is: entries in force with their items, snapshots with their files, the tokens of search."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from huitong.model.catalog import Grade, ItemType, Openness, Sharing, UpdateCycle

SHARING = [(value.value, value.value) for value in Sharing]
OPENNESS = [(value.value, value.value) for value in Openness]
CYCLES = [(value.value, value.value) for value in UpdateCycle]
TYPES = [(value.value, value.value) for value in ItemType]
GRADES = [(value.value, value.name.lower()) for value in Grade]


class Dataset(models.Model):
    """A catalogue entry in force. There are no drafts."""

    id = models.CharField(max_length=130, primary_key=True)
    title_zh = models.TextField()
    title_en = models.TextField()
    abstract_zh = models.TextField()
    abstract_en = models.TextField()
    classification = models.TextField()
    provider = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    collector = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    sharing = models.CharField(max_length=16, choices=SHARING)
    sharing_basis = models.TextField()
    sharing_condition_zh = models.TextField(null=True)
    sharing_condition_en = models.TextField(null=True)
    openness = models.CharField(max_length=16, choices=OPENNESS)
    update_cycle = models.CharField(max_length=16, choices=CYCLES)
    published_on = models.DateField(null=True)
    key_item = models.CharField(max_length=63, null=True)
    division_item = models.CharField(max_length=63, null=True)
    source = models.TextField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(sharing__in=[value for value, _ in SHARING]), name="dataset_sharing_known"),
            models.CheckConstraint(condition=Q(openness__in=[value for value, _ in OPENNESS]), name="dataset_openness_known"),
            models.CheckConstraint(
                condition=Q(update_cycle__in=[value for value, _ in CYCLES]), name="dataset_update_cycle_known"
            ),
            models.CheckConstraint(condition=~Q(sharing_basis=""), name="dataset_has_sharing_basis"),
            models.CheckConstraint(
                condition=Q(sharing_condition_zh=None, sharing_condition_en=None)
                | Q(sharing_condition_zh__isnull=False, sharing_condition_en__isnull=False),
                name="dataset_condition_in_both_languages",
            ),
            models.CheckConstraint(
                condition=~Q(sharing=Sharing.CONDITIONAL.value) | Q(sharing_condition_zh__isnull=False),
                name="dataset_conditional_has_condition",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["provider", "id"], name="dataset_provider_id")]

    def __str__(self) -> str:
        return self.id


class Item(models.Model):
    """An item of an entry, at its place."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=63)
    title_zh = models.TextField()
    title_en = models.TextField()
    type = models.CharField(max_length=10, choices=TYPES)
    grade = models.PositiveSmallIntegerField(choices=GRADES)
    meaning = models.TextField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "position"], name="item_position_once"),
            models.UniqueConstraint(F("dataset"), Lower("name"), name="item_name_once"),
            models.CheckConstraint(condition=Q(type__in=[value for value, _ in TYPES]), name="item_type_known"),
            models.CheckConstraint(condition=Q(grade__in=[value for value, _ in GRADES]), name="item_grade_known"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_id}: {self.name}"


class SearchToken(models.Model):
    """A token of an entry's words, with the weight it adds to a hit."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="tokens")
    token = models.TextField()
    weight = models.IntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["token", "dataset"], name="search_token_once")]

    def __str__(self) -> str:
        return f"{self.dataset_id}: {self.token}"


class Snapshot(models.Model):
    """An immutable version of a dataset's table."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="snapshots")
    version = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    taken_at = models.DateTimeField()
    source_hash = models.CharField(max_length=64)
    rejected_rows = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["dataset", "version"], name="snapshot_version_once")]

    def __str__(self) -> str:
        return f"{self.dataset_id} {self.version}"


class SnapshotFile(models.Model):
    """A Parquet file of a snapshot, by its path in the lake."""

    snapshot = models.ForeignKey(Snapshot, on_delete=models.CASCADE, related_name="files")
    position = models.PositiveIntegerField()
    path = models.TextField()
    rows = models.PositiveBigIntegerField()
    bytes = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["snapshot", "position"], name="snapshot_file_position_once"),
            models.UniqueConstraint(fields=["snapshot", "path"], name="snapshot_file_once"),
        ]

    def __str__(self) -> str:
        return self.path
