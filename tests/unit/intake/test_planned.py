"""Planned loads: who may plan what, when it runs, what is new, and what becomes of a plan whose source or officer is gone."""

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Refused
from huitong.intake.actions import IntakeActions
from huitong.intake.addresses import AllowedHosts
from huitong.intake.credentials import Credentials
from huitong.intake.planned import PlanActions
from huitong.intake.plans import LoadPlan, LoadRun, LoadSource, RunState, SourceKind
from huitong.intake.source_rules import source_rules
from huitong.keystore import FileKeyStore
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, LoadMode, Openness, Sharing, Snapshot, UpdateCycle
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.model.text import BilingualText
from huitong.policy.grading import scheme
from huitong.testing import MemoryClock, MemoryEntryLog, MemoryStores

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATABASE = LoadSource(SourceKind.DATABASE, "sqlite:///civil/day.sqlite3", "person", None, "changed")
BY_NUMBER = replace(DATABASE, changed_item="id")
FILE = LoadSource(SourceKind.FILE, "civil/day.csv")


def text(value: str) -> BilingualText:
    return BilingualText(zh=value, en=value)


PERSON = Dataset(
    id="civil.person",
    title=text("人员"),
    abstract=text("人员"),
    classification="3-01-0101/000001",
    provider="civil",
    collector="civil",
    sharing=Sharing.UNCONDITIONAL,
    sharing_basis="test",
    sharing_condition=None,
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.DAILY,
    items=(Item("id", text("编号"), ItemType.TEXT, Grade.INTERNAL), Item("name", text("姓名"), ItemType.TEXT, Grade.INTERNAL)),
    primary_key=("id",),
)


def officer(office: str = "civil", person: str = "wang", role: Role = Role.DATA_OFFICER) -> Actor:
    return Actor(person, person, f"{person}-{office}", office, "520100000000", frozenset({role}))


@dataclass
class Taker:
    """Makes a snapshot current; may be told to fail after it did, inside the same transaction."""

    stores: MemoryStores
    fails: bool = False

    def take_snapshot(self, snapshot: Snapshot, *, by: Actor) -> Snapshot:
        self.stores.catalog.add_snapshot(snapshot)
        if self.fails:
            raise OSError("the machine went away")
        return snapshot


@dataclass
class Posts:
    held: list[Actor] = field(default_factory=lambda: [officer()])

    def actors_of(self, person: str) -> Sequence[Actor]:
        return [one for one in self.held if one.person == person]


class NoSideTables:
    def erase(self, identifier: str) -> int:
        return 0


@dataclass
class World:
    home: Path
    stores: MemoryStores
    clock: MemoryClock
    log: MemoryEntryLog
    taker: Taker
    posts: Posts
    actions: PlanActions

    def sql(self, *statements: str) -> None:
        connection = sqlite3.connect(self.home / "inbox" / "civil" / "day.sqlite3")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def plan(self, source: LoadSource = DATABASE, mode: LoadMode = LoadMode.MERGE, every: str = "hourly", **more: Any) -> LoadPlan:
        return self.actions.plan(PERSON.id, source, mode=mode, every=every, by=more.pop("by", officer()), **more)

    def due(self, **later: float) -> Sequence[LoadRun]:
        self.clock.advance(**(later or {"hours": 1}))
        return self.actions.run_due(self.clock())

    def known(self, plan: LoadPlan) -> LoadPlan:
        found = self.stores.loads.plan(plan.id)
        assert found is not None
        return found

    @property
    def names(self) -> dict[str, str]:
        """What the current snapshot holds."""
        import pyarrow.parquet as parquet

        snapshot = self.stores.catalog.current_snapshot(PERSON.id)
        assert snapshot is not None
        rows = [row for file in snapshot.files for row in parquet.read_table(self.home / "lake" / file.path).to_pylist()]
        assert len({row["id"] for row in rows}) == len(rows) == snapshot.rows, "each row once"
        return {row["id"]: row["name"] for row in rows}

    @property
    def versions(self) -> int:
        return len(self.stores.catalog.snapshots(PERSON.id))


@pytest.fixture
def world(tmp_path: Path) -> World:
    stores = MemoryStores()
    clock = MemoryClock(START)
    log = MemoryEntryLog(stores.transactions, clock)
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create()
    (tmp_path / "inbox" / "civil").mkdir(parents=True)
    taker, posts = Taker(stores), Posts()
    with stores.atomic():
        stores.catalog.put_dataset(PERSON, index={})
        stores.catalog.put_dataset(replace(PERSON, id="tax.person", provider="tax", collector="tax"), index={})
    intake = IntakeActions(
        catalog=stores.catalog,
        entries=None,  # type: ignore[arg-type]
        reports=stores.quality,
        loads=stores.loads,
        taker=taker,
        ledger=log,
        transactions=stores.transactions,
        clock=clock,
        lake=Lake(tmp_path / "lake", clock),
        side_tables=NoSideTables(),  # type: ignore[arg-type]
        scheme=scheme("gb-t-43697"),
        erasure_key=b"k" * 32,
    )
    numbers = iter(range(10_000))
    actions = PlanActions(
        notices=stores.notices,
        intake=intake,
        catalog=stores.catalog,
        parties=posts,
        loads=stores.loads,
        transactions=stores.transactions,
        ledger=log,
        clock=clock,
        time_zone="Asia/Shanghai",
        credentials=Credentials(keystore),
        allowed_hosts=AllowedHosts.read("db.civil:5432 tls=off"),
        inbox=tmp_path / "inbox",
        number=lambda letter: f"{letter}-{next(numbers):04d}",
    )
    found = World(tmp_path, stores, clock, log, taker, posts, actions)
    found.sql(
        "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, changed TIMESTAMP)",
        "INSERT INTO person VALUES (1, 'a', '2026-03-01 08:00:00'), (2, 'b', '2026-03-01 09:00:00')",
    )
    return found


def code_of(error: pytest.ExceptionInfo[HuitongError]) -> str:
    return error.value.reasons[0].code


# --- planning -------------------------------------------------------------------------------------------------------------


def test_an_officer_plans_and_the_ledger_says_so(world: World) -> None:
    plan = world.plan(every="daily 02:30")
    assert plan.next_run == datetime(2026, 3, 1, 18, 30, tzinfo=UTC), "02:30 in the instance's zone"
    assert world.actions.plans(by=officer()) == [plan]
    assert world.actions.plans(by=officer("tax")) == [] == world.actions.plans(by=officer(role=Role.ANALYST))
    world.actions.remove(plan.id, by=officer())
    assert world.actions.plans(by=officer()) == []
    assert world.log.kinds == [EntryKind.LOAD_PLANNED] * 2
    assert [body["change"] for _, body in world.log.written] == ["planned", "removed"]


@pytest.mark.parametrize(
    ("source", "mode", "code"),
    [
        (LoadSource(SourceKind.UPLOAD, ""), LoadMode.REPLACE, "source-kind-invalid"),
        (replace(DATABASE, address="postgresql://wang:hunter2@db.civil/x"), LoadMode.MERGE, "source-address-credentials"),
        (replace(DATABASE, address="postgresql://other.civil/x"), LoadMode.MERGE, "source-host-not-allowed"),
        (replace(DATABASE, address="postgresql://db.civil/x", credential="nothing"), LoadMode.MERGE, "credential-unknown"),
        (replace(DATABASE, address="sqlite:///tax/day.sqlite3"), LoadMode.MERGE, "source-file-of-other-office"),
        (replace(DATABASE, address="sqlite:///civil/../tax/day.sqlite3"), LoadMode.MERGE, "source-file-of-other-office"),
        (replace(DATABASE, address="sqlite:///day.sqlite3"), LoadMode.MERGE, "source-file-of-other-office"),
        (replace(DATABASE, credential="c"), LoadMode.MERGE, "source-credential-unused"),
        (replace(DATABASE, table="a.b.c"), LoadMode.MERGE, "source-table-unknown"),
        (replace(FILE, address="tax/day.csv"), LoadMode.REPLACE, "source-file-of-other-office"),
        (replace(FILE, address="/etc/passwd"), LoadMode.REPLACE, "source-file-of-other-office"),
        (replace(FILE, changed_item="id"), LoadMode.REPLACE, "source-file-plain"),
        (DATABASE, LoadMode.REPLACE, "plan-replace-of-changes"),
        (replace(DATABASE, changed_item=None), LoadMode.APPEND, "plan-append-of-all"),
    ],
)
def test_what_would_go_wrong_is_refused_when_it_is_planned(world: World, source: LoadSource, mode: LoadMode, code: str) -> None:
    with pytest.raises(HuitongError) as refusal:
        world.plan(source, mode)
    assert code_of(refusal) == code and "hunter2" not in repr(refusal.value.reasons)
    assert world.stores.loads.plans() == [] and world.log.written == []


def test_only_a_data_officer_of_the_managing_office_plans(world: World) -> None:
    for by in (officer("tax"), officer(role=Role.REVIEWER), officer(role=Role.OPERATOR)):
        with pytest.raises(Refused):
            world.plan(by=by)
    plan = world.plan()
    for call in (world.actions.remove, world.actions.resume, world.actions.run_now):
        with pytest.raises(NotFound) as refusal:
            call(plan.id, by=officer("tax"))
        assert code_of(refusal) == "plan-unknown"
    with pytest.raises(InputInvalid):
        world.plan(every="sometimes")


def test_a_merge_needs_a_primary_key(world: World) -> None:
    with world.stores.atomic():
        world.stores.catalog.put_dataset(replace(PERSON, primary_key=()), index={})
    with pytest.raises(InputInvalid) as refusal:
        world.plan()
    assert code_of(refusal) == "plan-merge-without-key"


def test_another_offices_credential_is_never_used(world: World) -> None:
    world.actions.credentials.keep("c", office="tax", server="db.civil:5432", user="u", password="p")
    source = replace(DATABASE, address="postgresql://db.civil/x", credential="c")
    for call in (lambda: world.plan(source), lambda: world.actions.inspect(source, by=officer())):
        with pytest.raises(NotFound) as refusal:
            call()
        assert code_of(refusal) == "credential-unknown"


# --- running --------------------------------------------------------------------------------------------------------------


def test_a_merge_takes_what_changed(world: World) -> None:
    plan = world.plan()
    assert world.actions.run_due(START + timedelta(minutes=59)) == [], "it is not time"
    (run,) = world.due()
    assert (run.state, run.plan, run.person, run.source) == (RunState.DONE, plan.id, "wang", DATABASE) and run.version is not None
    assert world.names == {"1": "a", "2": "b"}
    assert world.known(plan).high_water == "2026-03-01 09:00:00"
    world.sql(
        "UPDATE person SET name = 'B', changed = '2026-03-01 10:00:00' WHERE id = 2",
        "INSERT INTO person VALUES (3, 'c', '2026-03-01 09:00:00'), (4, 'late', '2026-03-01 08:30:00')",
    )
    (run,) = world.due()
    assert run.state is RunState.DONE and world.names == {"1": "a", "2": "B", "3": "c", "4": "late"}
    assert world.known(plan).high_water == "2026-03-01 10:00:00"


def test_nothing_new_takes_no_snapshot(world: World) -> None:
    world.plan()
    world.due()
    world.due()  # the margin of the first run is another set of rows than the whole table
    before = world.versions
    (run,) = world.due()
    assert (run.state, run.version, [one.code for one in run.reasons]) == (RunState.DONE, None, ["source-unchanged"])
    assert world.versions == before and world.names == {"1": "a", "2": "b"}


def test_an_append_takes_each_row_once(world: World) -> None:
    plan = world.plan(BY_NUMBER, LoadMode.APPEND)
    world.due()
    (run,) = world.due()
    assert [one.code for one in run.reasons] == ["source-unchanged"]
    world.sql("INSERT INTO person VALUES (3, 'c', NULL)")
    world.due()
    assert world.names == {"1": "a", "2": "b", "3": "c"} and world.known(plan).high_water == "3"


def test_a_run_that_breaks_off_at_the_last_moment_neither_loses_nor_doubles_rows(world: World) -> None:
    plan = world.plan(BY_NUMBER, LoadMode.APPEND)
    world.taker.fails = True
    (run,) = world.due()
    assert run.state is RunState.FAILED and run.finished_at is not None
    assert world.versions == 0 and world.known(plan).high_water is None, "the mark moves with the snapshot or not at all"
    world.taker.fails = False
    (run,) = world.due(minutes=5)
    assert run.state is RunState.DONE and world.names == {"1": "a", "2": "b"}


def test_two_runs_of_one_plan_at_once_take_rows_once(world: World) -> None:
    """The other run ends while this one reads: this one is told, and its snapshot is not taken."""
    plan = world.plan(BY_NUMBER, LoadMode.APPEND)
    inner = world.taker.take_snapshot

    def slow(snapshot: Snapshot, *, by: Actor) -> Snapshot:
        taken = inner(snapshot, by=by)
        world.stores.loads.put_plan(replace(world.known(plan), high_water="2"))
        return taken

    world.taker.take_snapshot = slow  # type: ignore[method-assign]
    with pytest.raises(Conflict) as refusal:
        world.actions.run_now(plan.id, by=officer())
    assert code_of(refusal) == "plan-moved-on" and world.versions == 0


def test_of_two_workers_one_runs_a_plan(world: World) -> None:
    world.plan()
    seen = world.stores.loads.due_plans(START + timedelta(hours=1))
    now = world.clock.advance(hours=1)
    assert len(world.actions.run_due(now)) == 1
    world.stores.loads.due_plans = lambda _now: seen  # type: ignore[method-assign]
    assert world.actions.run_due(now) == [], "the other saw it due, but it was claimed"


def test_times_that_were_missed_are_made_up_for_once(world: World) -> None:
    plan = world.plan()
    assert len(world.due(days=3)) == 1
    assert world.known(plan).next_run == world.clock() + timedelta(hours=1)


def test_a_load_that_is_under_way_lets_the_plan_wait(world: World) -> None:
    plan = world.plan()
    with world.actions.intake.lake.changing(PERSON.id):
        assert world.due() == []
    assert world.known(plan).next_run == world.clock() + timedelta(minutes=source_rules().busy_minutes)
    assert len(world.due(minutes=5)) == 1


def test_a_source_that_is_gone_is_tried_again_and_then_the_plan_stops(world: World) -> None:
    plan = world.plan(replace(DATABASE, address="postgresql://db.civil:5432/x"))
    world.actions = replace(
        world.actions, allowed_hosts=AllowedHosts(world.actions.allowed_hosts.servers, lambda _host, _port: [])
    )  # its name leads nowhere
    waited = []
    world.clock.advance(hours=1)
    for _ in range(len(source_rules().retry_minutes)):
        (run,) = world.actions.run_due(world.clock())
        assert run.state is RunState.FAILED and run.reasons[0].code == "source-host-unresolved"
        waited.append(round((world.known(plan).next_run - world.clock()).total_seconds() / 60))
        world.clock.now = world.known(plan).next_run
    assert tuple(waited) == source_rules().retry_minutes
    world.actions.run_due(world.clock())
    stopped = world.known(plan).stopped
    assert stopped is not None and stopped.code == "plan-failed-too-often"
    assert world.due(days=30) == []
    assert world.log.written[-1][1]["change"] == "stopped"
    (told,) = world.stores.notices.posted
    assert (told.kind.value, dict(told.about)) == (
        "load-failed",
        {"plan": plan.id, "dataset": PERSON.id, "reason": "plan-failed-too-often", "state": "stopped"},
    )
    resumed = world.actions.resume(plan.id, by=officer(person="li"))
    assert (resumed.stopped, resumed.person) == (None, "li") and resumed.next_run > world.clock()
    with pytest.raises(Conflict) as refusal:
        world.actions.resume(plan.id, by=officer())
    assert code_of(refusal) == "plan-not-stopped"


def test_rows_that_are_refused_stop_the_plan_after_some_times(world: World) -> None:
    plan = world.plan(replace(DATABASE, changed_item=None), LoadMode.REPLACE)
    world.sql("DROP TABLE person")
    for _ in range(source_rules().refusals):
        assert world.known(plan).stopped is None
        (run,) = world.due()
        assert run.state is RunState.REFUSED and run.reasons[0].code == "source-table-unknown"
    stopped = world.known(plan).stopped
    assert stopped is not None and stopped.code == "plan-refused-too-often"


def test_one_plan_that_fails_keeps_no_other_waiting(world: World) -> None:
    bad = world.plan(replace(DATABASE, table="nothing"))
    good = world.plan()
    states = {run.plan: run.state for run in world.due()}
    assert states == {bad.id: RunState.REFUSED, good.id: RunState.DONE}


def test_the_plan_of_an_officer_whose_post_ended_stops_before_it_reads(world: World) -> None:
    plan = world.plan()
    for held in ([], [officer("tax")], [officer(role=Role.ANALYST)]):
        world.posts.held = held
        with world.stores.atomic():
            world.stores.loads.put_plan(replace(world.known(plan), stopped=None))
        assert world.due() == [] and world.versions == 0
        stopped = world.known(plan).stopped
        assert stopped is not None and stopped.code == "plan-officer-gone"


def test_the_plan_of_a_dataset_that_moved_to_another_office_stops(world: World) -> None:
    plan = world.plan()
    with world.stores.atomic():
        world.stores.catalog.put_dataset(replace(PERSON, provider="tax"), index={})
    assert world.due() == []
    stopped = world.known(plan).stopped
    assert stopped is not None and stopped.code == "plan-dataset-moved"
    with pytest.raises(HuitongError) as refusal:
        world.actions.resume(plan.id, by=officer("tax", "zhao"))
    assert code_of(refusal) == "source-file-of-other-office", "the new office does not read the folder of the old one"


def test_run_now_runs_in_the_officers_own_name_and_raises_what_stood_in_the_way(world: World) -> None:
    plan = world.plan()
    run = world.actions.run_now(plan.id, by=officer(person="li"))
    assert (run.person, run.state) == ("li", RunState.DONE) and world.known(plan).next_run == plan.next_run
    world.sql("DROP TABLE person")
    world.clock.advance(minutes=1)
    with pytest.raises(InputInvalid) as refusal:
        world.actions.run_now(plan.id, by=officer())
    assert code_of(refusal) == "source-table-unknown"
    assert world.stores.loads.runs(PERSON.id)[0].state is RunState.REFUSED


def test_a_file_of_the_inbox_is_loaded_when_it_is_another(world: World) -> None:
    file = world.home / "inbox" / "civil" / "day.csv"
    file.write_text("id,name\n1,a\n2,b\n", "utf-8")
    world.plan(FILE, LoadMode.REPLACE)
    (run,) = world.due()
    assert run.state is RunState.DONE and world.names == {"1": "a", "2": "b"}
    current = world.stores.catalog.current_snapshot(PERSON.id)
    assert current is not None and current.source_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    (run,) = world.due()
    assert (run.version, [one.code for one in run.reasons]) == (None, ["source-unchanged"])
    file.write_text("id,name\n3,c\n", "utf-8")
    (run,) = world.due()
    assert run.version is not None and world.names == {"3": "c"}
    shutil.rmtree(file.parent)
    (run,) = world.due()
    assert run.state is RunState.REFUSED and run.reasons[0].code == "source-file-missing"


def test_a_file_is_appended_once_whatever_came_between(world: World) -> None:
    file = world.home / "inbox" / "civil" / "day.csv"
    world.plan(FILE, LoadMode.APPEND)
    for content in ("id,name\n1,a\n", "id,name\n2,b\n", "id,name\n1,a\n"):
        file.write_text(content, "utf-8")
        world.due()
    assert world.names == {"1": "a", "2": "b"} and world.versions == 2


# --- one load, now --------------------------------------------------------------------------------------------------------


def test_a_table_is_loaded_once_and_looked_at_before(world: World) -> None:
    reading = world.actions.inspect(DATABASE, by=officer())
    assert [(one.name, one.type.value) for one in reading.columns] == [("id", "text"), ("name", "text"), ("changed", "instant")]
    assert world.versions == 0 and world.stores.loads.runs(PERSON.id) == []
    loaded = world.actions.load(PERSON.id, DATABASE, by=officer())
    assert loaded.snapshot.rows == 2 and world.names == {"1": "a", "2": "b"}
    run = world.stores.loads.runs(PERSON.id)[0]
    assert (run.source, run.plan, run.state) == (DATABASE, None, RunState.DONE)
    with pytest.raises(Refused):
        world.actions.inspect(DATABASE, by=officer(role=Role.ANALYST))
    with pytest.raises(HuitongError):
        world.actions.load("tax.person", DATABASE, by=officer())
