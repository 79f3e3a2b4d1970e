"""What officers do with rows: a load leaves a run, a report and a ledger entry; retention and erasure leave a trace, nothing else."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from huitong.catalog.publish import CatalogActions
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Refused
from huitong.intake.actions import IntakeActions
from huitong.intake.load import LoadOptions
from huitong.intake.plans import RunState
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, LoadMode, Openness, Sharing, Snapshot, UpdateCycle, Visibility
from huitong.model.codes import credit_code_check_character, resident_id_check_character
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, DivisionLevel, Office, Role
from huitong.model.quality import SuggestionState
from huitong.model.text import BilingualText
from huitong.policy.schemes import scheme
from huitong.testing import MemoryClock, MemoryEntryLog, MemoryStores

OWN = "gz-civil-affairs"
OFFICER = Actor("wang", "Wang", "p1", OWN, "520000000000", frozenset({Role.DATA_OFFICER}))
ANALYST = replace(OFFICER, person="li", post="p2", roles=frozenset({Role.ANALYST}))
STRANGER = replace(OFFICER, person="zhao", post="p3", office="gz-medical-insurance")


def resident_id(number: int) -> str:
    """Right check character, a division that never existed."""
    head = f"529901{19500101 + number % 9:08d}{number:03d}"
    return head + resident_id_check_character(head)


def words(text: str) -> BilingualText:
    return BilingualText(text, text)


DATASET = Dataset(
    id="civil.household",
    title=words("低保"),
    abstract=words("低保"),
    classification="3-01-0101/000001",
    provider=OWN,
    collector=OWN,
    sharing=Sharing.UNCONDITIONAL,
    sharing_basis="duty to share",
    sharing_condition=None,
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.DAILY,
    items=(
        Item("resident", words("身份证号"), ItemType.TEXT, Grade.SENSITIVE, "resident-id"),
        Item("amount", words("金额"), ItemType.INTEGER, Grade.INTERNAL),
        Item("helper", words("联系人"), ItemType.TEXT, Grade.INTERNAL),
    ),
    key="resident",
    primary_key=("resident",),
    keep_days=30,
)


class Taker:
    """Takes a snapshot as `SharingActions` does, without grants."""

    def __init__(self, stores: MemoryStores, ledger: MemoryEntryLog) -> None:
        self.stores, self.ledger, self.fails = stores, ledger, False

    def take_snapshot(self, snapshot: Snapshot, *, by: Actor) -> Snapshot:
        with self.stores.atomic():
            if self.fails:
                raise OSError("no space left on device")
            self.stores.catalog.add_snapshot(snapshot)
            self.ledger.append(kind=EntryKind.SNAPSHOT_TAKEN, body={"dataset": snapshot.dataset, "version": snapshot.version})
        return snapshot


class Place:
    """An instance in memory with a lake on disk."""

    def __init__(self, folder: Path) -> None:
        self.clock = MemoryClock(datetime(2026, 3, 1, 8, tzinfo=UTC))
        self.stores = MemoryStores()
        self.ledger = MemoryEntryLog(self.stores.transactions, self.clock)
        self.taker = Taker(self.stores, self.ledger)
        self.lake = Lake(folder / "lake", self.clock)
        self.side_tables = SideTables(folder / "lake", lake=self.lake, master_key=lambda _number: bytes(32))
        self.file = folder / "given.csv"
        stores = self.stores
        with stores.atomic():
            for office, head in ((OWN, "11520000009390068"), (STRANGER.office, "11520000MB1528397")):
                code = head + credit_code_check_character(head)
                stores.parties.put_office(Office(office, words(office), "520000000000", DivisionLevel.PROVINCE, code))
            stores.catalog.put_dataset(DATASET, index={})
        entries = CatalogActions(
            catalog=stores.catalog,
            parties=stores.parties,
            transactions=stores.transactions,
            epoch=stores.epoch,
            ledger=self.ledger,
            clock=self.clock,
            time_zone="Asia/Shanghai",
        )
        self.intake = IntakeActions(
            catalog=stores.catalog,
            entries=entries,
            reports=stores.quality,
            loads=stores.loads,
            taker=self.taker,
            ledger=self.ledger,
            transactions=stores.transactions,
            clock=self.clock,
            lake=self.lake,
            side_tables=self.side_tables,
            scheme=scheme(),
            erasure_key=b"k" * 32,
        )

    def load(self, numbers: range, *, extra: str = "", by: Actor = OFFICER, **options: object) -> Snapshot:
        rows = "".join(f"{resident_id(n)},{n},{resident_id(n + 1)}\n" for n in numbers)
        self.file.write_text("resident,amount,helper\n" + rows + extra, "utf-8")
        return self.intake.load(DATASET.id, self.file, by=by, options=LoadOptions(**options)).snapshot  # type: ignore[arg-type]

    def residents(self, version: int) -> set[str]:
        snapshot = self.stores.catalog.snapshot(DATASET.id, version)
        assert snapshot is not None
        files = self.lake.absolute([file.path for file in snapshot.files])
        return {one for file in files for one in parquet.read_table(file)["resident"].to_pylist()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_load_leaves_a_snapshot_a_report_a_run_and_a_ledger_entry(place: Place) -> None:
    snapshot = place.load(range(40), extra="x,many,\n", reject_limit=1)
    (run,) = place.intake.runs(DATASET.id, by=OFFICER)
    assert (run.state, run.version, run.rows_done, run.rejected_rows, run.person) == (RunState.DONE, 0, 41, 1, "wang")
    report = place.intake.quality(DATASET.id, by=OFFICER)
    assert report is not None
    assert (report.rows, report.rejected_rows, report.items[0].valid) == (40, 1, 40)
    assert place.ledger.kinds == [EntryKind.SNAPSHOT_TAKEN]
    ((reject,), total) = place.intake.rejects(DATASET.id, snapshot.version, by=OFFICER)
    assert (reject.line, reject.reason, reject.item, reject.row, total) == (42, "value-not-integer", "amount", "x,many,", 1)


def test_only_a_data_officer_of_the_managing_office_loads_and_sees_rejects(place: Place) -> None:
    with pytest.raises(Refused):
        place.load(range(3), by=ANALYST)
    with pytest.raises(Refused):
        place.load(range(3), by=STRANGER)
    place.load(range(3))
    for see in (place.intake.runs, place.intake.suggestions, lambda dataset, by: place.intake.rejects(dataset, 0, by=by)):
        with pytest.raises(Refused):
            see(DATASET.id, by=STRANGER)  # type: ignore[operator]
    assert len(place.intake.history(DATASET.id, by=STRANGER)) == 1
    with place.stores.atomic():
        place.stores.catalog.put_dataset(replace(DATASET, visibility=Visibility.NAMED), index={})
    for call in (place.intake.history, place.intake.quality, place.intake.runs):
        with pytest.raises(NotFound):
            call(DATASET.id, by=STRANGER)  # type: ignore[operator]


def test_a_refused_load_says_why_in_its_run_and_changes_nothing(place: Place) -> None:
    with pytest.raises(InputInvalid):
        place.load(range(3), extra="x,many,\n")
    (run,) = place.intake.runs(DATASET.id, by=OFFICER)
    assert (run.state, [reason.code for reason in run.reasons]) == (RunState.REFUSED, ["intake-too-many-rejects", "value-not-integer"])
    assert place.intake.history(DATASET.id, by=OFFICER) == ()
    assert place.lake.versions(DATASET.id) == ()


def test_a_load_that_cannot_be_taken_leaves_the_lake_again_and_can_be_repeated(place: Place) -> None:
    first = place.load(range(3))
    place.taker.fails = True
    with pytest.raises(OSError, match="no space"):
        place.load(range(5))
    place.taker.fails = False
    assert place.lake.versions(DATASET.id) == (first.version,)
    assert place.intake.runs(DATASET.id, by=OFFICER)[0].state in (RunState.FAILED, RunState.DONE)
    assert sorted(run.state for run in place.intake.runs(DATASET.id, by=OFFICER)) == [RunState.DONE, RunState.FAILED]
    assert place.load(range(6)).rows == 6


def test_two_loads_of_one_dataset_never_run_together(place: Place) -> None:
    with place.lake.changing(DATASET.id), pytest.raises(Conflict) as caught:
        place.load(range(3))
    assert caught.value.reasons[0].code == "load-running"


def test_runs_of_dead_processes_are_closed_and_living_ones_are_not(place: Place) -> None:
    place.load(range(3))
    done = place.intake.runs(DATASET.id, by=OFFICER)[0]
    with place.stores.atomic():
        for name in ("l-dead", "l-alive"):
            place.stores.loads.put_run(replace(done, id=name, state=RunState.RUNNING, finished_at=None, version=None))
    with place.lake.running("l-alive"):
        assert [run.id for run in place.intake.close_broken_runs()] == ["l-dead"]
    dead = place.stores.loads.run("l-dead")
    assert dead is not None
    assert (dead.state, dead.reasons[0].code) == (RunState.FAILED, "load-broke-off")


def test_retention_removes_what_was_superseded_long_enough_ago(place: Place) -> None:
    first = place.load(range(10))
    place.clock.advance(days=10)
    second = place.load(range(10, 12), mode=LoadMode.APPEND)
    assert place.intake.retain() == ()
    place.clock.advance(days=29)
    third = place.load(range(5))
    assert place.intake.retain() == ()  # the first was superseded 29 days ago
    place.clock.advance(days=1)
    (removed,) = place.intake.retain()
    assert removed.versions == (first.version,)
    assert place.residents(second.version) == {resident_id(n) for n in range(12)}  # it shares a file with the first
    place.clock.advance(days=300)
    assert place.intake.retain(by=OFFICER)[0].versions == (second.version,)
    assert place.lake.versions(DATASET.id) == (third.version,)
    history = place.intake.history(DATASET.id, by=OFFICER)
    assert [(one.version, one.removed_at is None) for one, _ in history] == [(2, True), (1, False), (0, False)]
    assert [body["versions"] for kind, body in place.ledger.written if kind is EntryKind.SNAPSHOTS_REMOVED] == [[0], [1]]
    assert len(list((place.lake.folder / "tables").rglob("*.parquet"))) == len(third.files)


def test_what_no_database_knows_is_removed_by_a_later_sweep(place: Place) -> None:
    taken = place.load(range(3))
    stray = place.lake.write_snapshot(dataset=DATASET, source=[*place.lake.absolute([taken.files[0].path])])
    place.intake.retain()
    assert place.lake.versions(DATASET.id) == (taken.version, stray.version)
    place.clock.advance(days=2)
    place.intake.retain()
    assert place.lake.versions(DATASET.id) == (taken.version,)


def test_a_person_is_erased_everywhere_and_the_ledger_holds_no_literal(place: Place) -> None:
    person = resident_id(4)
    place.load(range(3))
    place.load(range(10), extra=f"x,many,{person}\n", reject_limit=1)
    last = place.load(range(4, 8), extra=f"{person},many,\n", reject_limit=1)
    place.side_tables.build("group", DATASET, "resident", last)
    erasure = place.intake.erase_person(
        datasets=[DATASET.id], identifier=person, legal_basis="PIPL art. 47", words="asked for in writing", by=OFFICER
    )
    (done,) = erasure.datasets
    assert (done.rows, done.rejects, done.versions, done.waiting, erasure.pseudonyms) == (2, 2, (1, 2), (), 1)
    current = place.stores.catalog.current_snapshot(DATASET.id)
    assert current is not None
    assert current.version == done.version
    assert place.residents(current.version) == {resident_id(n) for n in (5, 6, 7)}
    left = [one.version for one, _ in place.intake.history(DATASET.id, by=OFFICER) if one.removed_at is None]
    assert [place.residents(version) for version in left][-1] == {resident_id(n) for n in range(3)}
    assert all(person not in place.residents(version) for version in left)
    assert person not in repr(place.ledger.written)
    (body,) = [body for kind, body in place.ledger.written if kind is EntryKind.PERSON_ERASED]
    assert (body["rows"], body["legal_basis"], len(body["person"])) == (2, "PIPL art. 47", 64)
    for file in place.lake.folder.rglob("*.parquet"):
        for row in parquet.read_table(file).to_pylist():
            assert person not in (row.get("resident"), row.get("identifier"))
            assert person not in (row.get("row") or "")
    again = place.intake.erase_person(datasets=[DATASET.id], identifier=person, legal_basis="x", words="y", by=OFFICER)
    assert (again.datasets[0].rows, again.datasets[0].version) == (0, current.version)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"identifier": " "}, "erasure-incomplete"),
        ({"words": ""}, "erasure-incomplete"),
        ({"datasets": []}, "erasure-incomplete"),
        ({"words": f"about {resident_id(4).lower()}"}, "erasure-words-identify"),
        ({"datasets": ["civil.other"]}, "dataset-unknown"),
        ({"by": STRANGER}, "dataset-of-other-office"),
    ],
)
def test_an_erasure_that_is_incomplete_or_of_others_does_nothing(place: Place, change: dict[str, object], code: str) -> None:
    place.load(range(10))
    asked = {"datasets": [DATASET.id], "identifier": resident_id(4), "legal_basis": "law", "words": "asked", "by": OFFICER, **change}
    with pytest.raises(HuitongError) as caught:
        place.intake.erase_person(**asked)  # type: ignore[arg-type]
    assert caught.value.reasons[0].code == code
    assert place.lake.versions(DATASET.id) == (0,)


def test_a_confirmed_suggestion_gives_the_item_its_meaning_and_at_least_its_grade(place: Place) -> None:
    place.load(range(60))
    (suggestion,) = [one for one in place.intake.suggestions(DATASET.id, by=OFFICER) if one.item == "helper"]
    assert suggestion.meaning == "resident-id"
    with pytest.raises(InputInvalid):
        place.intake.decide_suggestion(DATASET.id, "helper", "resident-id", confirm=False, by=OFFICER)
    decided = place.intake.decide_suggestion(DATASET.id, "helper", "resident-id", confirm=True, by=OFFICER)
    assert (decided.state, decided.decided_by) == (SuggestionState.CONFIRMED, "wang")
    entry = place.stores.catalog.dataset(DATASET.id)
    assert entry is not None
    item = entry.item("helper")
    assert item is not None
    assert (item.meaning, item.grade) == ("resident-id", suggestion.grade)
    assert EntryKind.GRADING_DECIDED in place.ledger.kinds
    with pytest.raises(Conflict):
        place.intake.decide_suggestion(DATASET.id, "helper", "resident-id", confirm=True, by=OFFICER)
    with pytest.raises(NotFound):
        place.intake.decide_suggestion(DATASET.id, "amount", "phone", confirm=True, by=OFFICER)
