"""Tables of what there is: entries in force with their items, snapshots with their files, what is known about them, loads."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from huitong.intake.plans import RunState
from huitong.model.catalog import (
    Grade,
    ItemType,
    LoadMode,
    Openness,
    ResourceFormat,
    Sharing,
    SharingManner,
    UpdateCycle,
    Visibility,
)
from huitong.model.quality import SuggestionState

SHARING = [(value.value, value.value) for value in Sharing]
OPENNESS = [(value.value, value.value) for value in Openness]
CYCLES = [(value.value, value.value) for value in UpdateCycle]
TYPES = [(value.value, value.value) for value in ItemType]
GRADES = [(value.value, value.name.lower()) for value in Grade]
FORMATS = [(value.value, value.value) for value in ResourceFormat]
MANNERS = [(value.value, value.value) for value in SharingManner]
VISIBILITIES = [(value.value, value.value) for value in Visibility]
MODES = [(value.value, value.value) for value in LoadMode]
SUGGESTION_STATES = [(value.value, value.value) for value in SuggestionState]
RUN_STATES = [(value.value, value.value) for value in RunState]


def one_of(name: str, choices: list[tuple[str, str]], constraint: str) -> models.CheckConstraint:
    """The database itself refuses a value that no noun knows."""
    return models.CheckConstraint(condition=Q(**{f"{name}__in": [value for value, _ in choices]}), name=constraint)


def both_or_neither(name: str, constraint: str) -> models.CheckConstraint:
    """Words stand in both languages or in none."""
    return models.CheckConstraint(
        condition=Q(**{f"{name}_zh": None, f"{name}_en": None})
        | Q(**{f"{name}_zh__isnull": False, f"{name}_en__isnull": False}),
        name=constraint,
    )


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
    format = models.CharField(max_length=16, choices=FORMATS, default=ResourceFormat.DATABASE.value)
    sharing_manner = models.CharField(max_length=16, choices=MANNERS, default=SharingManner.QUERY.value)
    openness_condition_zh = models.TextField(null=True)
    openness_condition_en = models.TextField(null=True)
    legal_basis = models.TextField(null=True)
    related = models.JSONField(default=list)
    primary_key = models.JSONField(default=list)
    derived_from = models.JSONField(default=list)
    visibility = models.CharField(max_length=16, choices=VISIBILITIES, default=Visibility.EVERYONE.value)
    known_to = models.JSONField(default=list)
    spatial = models.CharField(max_length=12, null=True)
    licence = models.TextField(null=True)
    keep_days = models.PositiveIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            one_of("format", FORMATS, "dataset_format_known"),
            one_of("sharing_manner", MANNERS, "dataset_manner_known"),
            one_of("visibility", VISIBILITIES, "dataset_visibility_known"),
            both_or_neither("openness_condition", "dataset_openness_condition_both"),
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
    legal_basis = models.TextField(null=True)
    collector = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    derived_from = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "position"], name="item_position_once"),
            models.UniqueConstraint(F("dataset"), Lower("name"), name="item_name_once"),
            models.CheckConstraint(condition=Q(type__in=[value for value, _ in TYPES]), name="item_type_known"),
            models.CheckConstraint(condition=Q(grade__in=[value for value, _ in GRADES]), name="item_grade_known"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_id}: {self.name}"


class SearchState(models.Model):
    """One row: by its numbers a process knows that what it holds of the index is no longer the newest."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    born = models.CharField(max_length=32)
    """Another one in every database, so that what is held of one is never taken for another."""
    edition = models.PositiveBigIntegerField(default=0)
    folded = models.PositiveBigIntegerField(default=0)
    parties = models.PositiveBigIntegerField(default=0)
    next_doc = models.PositiveIntegerField(default=0)
    fresh = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="search_state_single_row")]

    def __str__(self) -> str:
        return str(self.edition)


class SearchEntry(models.Model):
    """What search knows of an entry, under a small number; while it is fresh, also the tokens that it is found by."""

    doc = models.PositiveIntegerField(primary_key=True)
    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="+")
    edition = models.PositiveBigIntegerField(db_index=True)
    fresh = models.BooleanField()
    words = models.TextField()
    provider = models.TextField()
    collector = models.TextField()
    visibility = models.TextField()
    known_to = models.TextField()
    meanings = models.TextField()
    family = models.TextField()
    grade = models.TextField()
    sharing = models.TextField()
    openness = models.TextField()
    cycle = models.TextField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["doc"], condition=Q(fresh=True), name="search_entry_fresh")]

    def __str__(self) -> str:
        return f"{self.doc} {self.dataset_id}"


class SearchSegment(models.Model):
    """Entries whose tokens lie together, in the order of their places; never changed, only merged into another."""

    docs = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)


class SearchPosting(models.Model):
    """Where in a segment a token stands, with the weights it adds to a hit."""

    token = models.BinaryField()
    segment = models.ForeignKey(SearchSegment, on_delete=models.CASCADE, related_name="+")
    places = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["token", "segment"], name="search_posting_once")]

    def __str__(self) -> str:
        return f"{self.segment_id}: {bytes(self.token).decode('utf-8', 'replace')}"


class ProspectState(models.Model):
    """One row: the rules that prospects were judged under; under others they are not known."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    rules = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="prospect_state_single_row")]

    def __str__(self) -> str:
        return self.rules


class ProspectGroup(models.Model):
    """Entries of one office that asking leads to the same with, and how many they are once all are judged."""

    everybody = models.BooleanField()
    """Whether all who are signed in may know of them."""
    kind = models.CharField(max_length=16)
    provider = models.TextField()
    reviewers = models.PositiveSmallIntegerField()
    datasets = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "kind", "reviewers", "everybody"], name="prospect_group_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.kind}"


class Prospect(models.Model):
    """What asking for an entry would lead to; without a group that has to be judged (again)."""

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, primary_key=True, related_name="+")
    group = models.ForeignKey(ProspectGroup, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["group", "dataset"], name="prospect_group_dataset"),
            models.Index(fields=["dataset"], condition=Q(group=None), name="prospect_unjudged"),
        ]

    def __str__(self) -> str:
        return self.dataset_id


class ProspectKnown(models.Model):
    """An office that may know of an entry that not everybody may know of."""

    office = models.TextField()
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["office", "dataset"], name="prospect_known_once")]

    def __str__(self) -> str:
        return f"{self.office}: {self.dataset_id}"


class ProspectSource(models.Model):
    """An entry, there or not, that the prospect of another follows from."""

    source = models.CharField(max_length=130)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "dataset"], name="prospect_source_once")]

    def __str__(self) -> str:
        return f"{self.dataset_id} of {self.source}"


class Snapshot(models.Model):
    """An immutable version of a dataset's table."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="snapshots")
    version = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    taken_at = models.DateTimeField()
    source_hash = models.CharField(max_length=64)
    rejected_rows = models.PositiveBigIntegerField()
    mode = models.CharField(max_length=16, choices=MODES, default=LoadMode.REPLACE.value)
    columns = models.JSONField(default=list)
    removed_at = models.DateTimeField(null=True)
    parts = models.PositiveIntegerField()
    """Of how many files it was made: known for the audit also when they are gone."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dataset", "version"], name="snapshot_version_once"),
            one_of("mode", MODES, "snapshot_mode_known"),
        ]

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


class QualityReport(models.Model):
    """What is known about the rows of a snapshot: counts and names of items, never a value."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    version = models.PositiveBigIntegerField()
    made_at = models.DateTimeField()
    report = models.JSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["dataset", "version"], name="quality_report_once")]

    def __str__(self) -> str:
        return f"{self.dataset_id} {self.version}"


class GradingSuggestion(models.Model):
    """What an item was taken for, and what a person made of it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    item = models.CharField(max_length=63)
    meaning = models.TextField()
    grade = models.PositiveSmallIntegerField(choices=GRADES)
    mask = models.JSONField()
    sampled = models.PositiveBigIntegerField()
    recognised = models.PositiveBigIntegerField()
    why = models.JSONField()
    state = models.CharField(max_length=16, choices=SUGGESTION_STATES)
    decided_by = models.CharField(max_length=64, null=True)
    decided_at = models.DateTimeField(null=True)
    words = models.TextField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "item", "meaning"],
                condition=Q(state=SuggestionState.OPEN.value),
                name="suggestion_open_once",
            ),
            one_of("state", SUGGESTION_STATES, "suggestion_state_known"),
            models.CheckConstraint(condition=Q(recognised__lte=F("sampled")), name="suggestion_recognised_of_sampled"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_id}: {self.item}"


class LoadPlan(models.Model):
    """A load that recurs. `source` never holds a credential, only the name of one."""

    id = models.CharField(max_length=64, primary_key=True)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    source = models.JSONField()
    mode = models.CharField(max_length=16, choices=MODES)
    every = models.TextField()
    reject_limit = models.PositiveBigIntegerField()
    person = models.CharField(max_length=64)
    office = models.ForeignKey("accounts.Office", on_delete=models.PROTECT, related_name="+")
    next_run = models.DateTimeField()
    high_water = models.TextField(null=True)
    stopped = models.JSONField(null=True)

    class Meta:
        constraints: ClassVar = [one_of("mode", MODES, "load_plan_mode_known")]
        indexes: ClassVar = [models.Index(fields=["next_run", "id"], name="load_plan_next_run")]

    def __str__(self) -> str:
        return self.id


class LoadRun(models.Model):
    """What became of a load. `plan` is the name of a plan that may be gone by now."""

    id = models.CharField(max_length=64, primary_key=True)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    plan = models.CharField(max_length=64, null=True)
    source = models.JSONField()
    mode = models.CharField(max_length=16, choices=MODES)
    started_at = models.DateTimeField()
    person = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=RUN_STATES)
    rows_done = models.PositiveBigIntegerField()
    rows_all = models.PositiveBigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)
    version = models.PositiveBigIntegerField(null=True)
    rejected_rows = models.PositiveBigIntegerField()
    reasons = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            one_of("mode", MODES, "load_run_mode_known"),
            one_of("state", RUN_STATES, "load_run_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["dataset", "-started_at"], name="load_run_dataset_started"),
            models.Index(fields=["state"], condition=Q(state=RunState.RUNNING.value), name="load_run_running"),
        ]

    def __str__(self) -> str:
        return self.id


class CalendarYear(models.Model):
    """A year of the calendar of working days that the instance has put in the place of the one that ships."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    free = models.JSONField(default=list)
    workdays = models.JSONField(default=list)
    source = models.TextField()
    provisional = models.BooleanField()

    def __str__(self) -> str:
        return str(self.year)
