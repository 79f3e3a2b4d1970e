"""Quality reports, suggestions, planned loads and runs at rest: the database and the plain stores in memory say the same."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from tests.portal.examples import CIVIL, HOUSEHOLDS, NOON, REVIEWER, Example, snapshot

from huitong.errors import Conflict, Reason
from huitong.intake.plans import LoadPlan, LoadRun, LoadSource, RunState, SourceKind
from huitong.model.catalog import Grade, ItemType, LoadMode, UpdateCycle
from huitong.model.policy import Mask, MaskKind
from huitong.model.quality import (
    Drift,
    DriftKind,
    Freshness,
    GradingSuggestion,
    ItemQuality,
    KeyQuality,
    QualityReport,
    SuggestionState,
)
from huitong.portal.catalog import models
from huitong.portal.stores import Stores
from huitong.testing import MemoryStores

REPORT = QualityReport(
    dataset=HOUSEHOLDS.id,
    version=3,
    made_at=NOON,
    rows=1000,
    rejected_rows=2,
    items=(ItemQuality("resident_id", 1000, 998, 990, 1001), ItemQuality("amount", 1000, 0, None)),
    key=KeyQuality(("resident_id", "户籍地"), 1000, 2, 1),
    freshness=Freshness(UpdateCycle.MONTHLY, NOON, NOON + timedelta(days=31), late=False),
    drift=(Drift(DriftKind.COMPLETENESS, "amount", 0.91, 0.0), Drift(DriftKind.ROWS, None, 10.0, 1000.0)),
    compared_with=2,
)
BARE = replace(
    REPORT, version=12, key=None, freshness=Freshness(UpdateCycle.ONCE, NOON, None, late=False), drift=(), compared_with=None
)
PHONE = GradingSuggestion(
    item="amount",
    meaning="phone",
    grade=Grade.SENSITIVE,
    mask=Mask(MaskKind.PARTIAL, {"first": 3, "last": 4}),
    sampled=100,
    recognised=99,
    why=Reason("recognised-by-shape", {"item": "amount", "share": 99}),
)
CARD = replace(PHONE, meaning="bank-card", grade=Grade.HIGHLY_SENSITIVE, mask=Mask(MaskKind.HIDE))
PLACE = replace(PHONE, item="户籍地", meaning="division-code", grade=Grade.INTERNAL)
PLAN = LoadPlan(
    id="plan-1",
    dataset=HOUSEHOLDS.id,
    source=LoadSource(SourceKind.DATABASE, "postgresql://db:5432/civil", "public.household", "civil-db", "changed_at"),
    mode=LoadMode.MERGE,
    every="daily 02:30",
    reject_limit=10,
    person=REVIEWER.person,
    office=CIVIL.id,
    next_run=NOON,
)
RUN = LoadRun(
    id="run-1",
    dataset=HOUSEHOLDS.id,
    plan=PLAN.id,
    source=PLAN.source,
    mode=LoadMode.MERGE,
    started_at=NOON,
    person=REVIEWER.person,
    state=RunState.RUNNING,
)


@pytest.fixture
def both(example: Example) -> list[Any]:
    memory = MemoryStores()
    memory.catalog.put_dataset(HOUSEHOLDS, index={})
    return [example.stores, memory]


def decided(suggestion: GradingSuggestion, state: SuggestionState = SuggestionState.CONFIRMED) -> GradingSuggestion:
    return replace(suggestion, state=state, decided_by=REVIEWER.person, decided_at=NOON, words="看过了")


def test_a_report_comes_out_as_it_was_put_in_and_the_newest_is_found(both: list[Any]) -> None:
    for stores in both:
        assert stores.quality.report(HOUSEHOLDS.id) is None
        for report in (BARE, REPORT):
            with stores.atomic():
                stores.quality.put_report(report)
        assert stores.quality.report(HOUSEHOLDS.id) == BARE
        assert stores.quality.report(HOUSEHOLDS.id, 3) == REPORT
        assert stores.quality.report(HOUSEHOLDS.id, 4) is stores.quality.report("civil.unknown") is None
        with stores.atomic():
            stores.quality.put_report(replace(REPORT, rejected_rows=0))
        assert stores.quality.report(HOUSEHOLDS.id, 3) == replace(REPORT, rejected_rows=0)


def test_suggestions_are_opened_anew_but_what_a_person_decided_stays_decided(both: list[Any]) -> None:
    for stores in both:
        quality = stores.quality
        with stores.atomic():
            quality.put_suggestions(HOUSEHOLDS.id, [PLACE, PHONE, CARD])
        assert list(quality.suggestions(HOUSEHOLDS.id)) == [CARD, PHONE, PLACE]
        with stores.atomic():
            quality.decide_suggestion(HOUSEHOLDS.id, decided(PHONE, SuggestionState.DISMISSED))
        with stores.atomic():
            quality.put_suggestions(HOUSEHOLDS.id, [replace(PHONE, sampled=500), PLACE])
        assert list(quality.suggestions(HOUSEHOLDS.id)) == [PLACE, decided(PHONE, SuggestionState.DISMISSED)]
        graver = replace(PHONE, grade=Grade.HIGHLY_SENSITIVE)
        with stores.atomic():
            quality.put_suggestions(HOUSEHOLDS.id, [graver])
        assert list(quality.suggestions(HOUSEHOLDS.id)) == [graver, decided(PHONE, SuggestionState.DISMISSED)]
        assert list(quality.suggestions("civil.unknown")) == []


def test_a_suggestion_is_decided_once(both: list[Any]) -> None:
    for stores in both:
        with stores.atomic():
            stores.quality.put_suggestions(HOUSEHOLDS.id, [PHONE])
            stores.quality.decide_suggestion(HOUSEHOLDS.id, decided(PHONE))
        for suggestion in (PHONE, CARD):
            with pytest.raises(Conflict) as caught, stores.atomic():
                stores.quality.decide_suggestion(HOUSEHOLDS.id, decided(suggestion))
            assert caught.value.reasons[0].code == "suggestion-decided"
        assert list(stores.quality.suggestions(HOUSEHOLDS.id)) == [decided(PHONE)]


def test_plans_come_out_as_they_were_put_in(both: list[Any]) -> None:
    bare = replace(PLAN, id="plan-0", source=LoadSource(SourceKind.FILE, "civil/household.csv"), next_run=NOON + timedelta(1))
    stopped = replace(PLAN, id="plan-2", stopped=Reason("plan-person-left", {"person": "li.na"}), high_water="2026-03-01")
    for stores in both:
        loads = stores.loads
        with stores.atomic():
            for plan in (PLAN, stopped, bare):
                loads.put_plan(plan)
        assert list(loads.plans()) == list(loads.plans(datasets=[HOUSEHOLDS.id, "civil.other"])) == [bare, PLAN, stopped]
        assert list(loads.plans(datasets=[])) == list(loads.plans(datasets=["civil.other"])) == []
        assert list(loads.due_plans(NOON)) == [PLAN], "a stopped plan is not due"
        assert list(loads.due_plans(NOON + timedelta(2))) == [PLAN, bare]
        assert list(loads.due_plans(NOON - timedelta(seconds=1))) == []
        with stores.atomic():
            loads.put_plan(replace(stopped, stopped=None))
            loads.put_run(RUN)
            loads.remove_plan(PLAN.id)
            loads.remove_plan("plan-unknown")
        assert loads.plan(PLAN.id) is None
        assert loads.plan("plan-2") == replace(stopped, stopped=None)
        assert loads.run(RUN.id) == RUN, "the runs of a plan that is gone stay"


def test_of_two_workers_one_gets_the_plan(both: list[Any]) -> None:
    later = NOON + timedelta(days=1)
    for stores in both:
        with stores.atomic():
            stores.loads.put_plan(PLAN)
        with stores.atomic():
            assert stores.loads.claim_plan(PLAN.id, seen_next_run=NOON, next_run=later)
            assert not stores.loads.claim_plan(PLAN.id, seen_next_run=NOON, next_run=later)
            assert not stores.loads.claim_plan("plan-unknown", seen_next_run=NOON, next_run=later)
        assert stores.loads.plan(PLAN.id) == replace(PLAN, next_run=later)


def test_of_many_workers_at_once_one_gets_the_plan(example: Example) -> None:
    using = example.stores.using
    with example.stores.atomic():
        example.stores.loads.put_plan(PLAN)
    got: list[bool] = []
    together = threading.Barrier(4)

    def claim(number: int) -> None:
        own = Stores(using)
        together.wait(10)
        with own.atomic():
            got.append(own.loads.claim_plan(PLAN.id, seen_next_run=NOON, next_run=NOON + timedelta(days=1 + number)))
        connections[using].close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == [False, False, False, True]


def test_runs_are_told_newest_first_and_the_unfinished_are_found(both: list[Any]) -> None:
    done = replace(
        RUN,
        id="run-2",
        plan=None,
        state=RunState.REFUSED,
        started_at=NOON + timedelta(hours=1),
        rows_done=5,
        rows_all=9,
        finished_at=datetime(2026, 3, 3, tzinfo=UTC),
        version=4,
        rejected_rows=3,
        reasons=(Reason("too-many-rejects", {"limit": 2}), Reason("plain")),
    )
    for stores in both:
        loads = stores.loads
        with stores.atomic():
            loads.put_run(RUN)
            loads.put_run(done)
        assert list(loads.runs(HOUSEHOLDS.id)) == [done, RUN]
        assert list(loads.runs(HOUSEHOLDS.id, limit=1)) == [done]
        assert list(loads.runs("civil.unknown")) == []
        assert list(loads.unfinished_runs()) == [RUN]
        with stores.atomic():
            loads.put_run(replace(RUN, state=RunState.DONE, rows_done=7))
        assert list(loads.unfinished_runs()) == []
        assert loads.run(RUN.id).rows_done == 7
        assert loads.run("run-unknown") is None


def test_a_removed_snapshot_stays_for_the_record_without_its_files(both: list[Any]) -> None:
    kept = replace(snapshot(2), mode=LoadMode.APPEND, columns=(("resident_id", ItemType.TEXT), ("amount", ItemType.INTEGER)))
    for stores in both:
        catalog = stores.catalog
        with stores.atomic():
            catalog.add_snapshot(snapshot(1))
            catalog.add_snapshot(kept)
        with stores.atomic():
            catalog.mark_removed(HOUSEHOLDS.id, [1, 99], at=NOON)
        with stores.atomic():
            catalog.mark_removed(HOUSEHOLDS.id, [1], at=NOON + timedelta(days=1))
        gone = replace(snapshot(1), removed_at=NOON, files=())
        assert list(catalog.snapshots(HOUSEHOLDS.id)) == [kept, gone]
        assert catalog.snapshot(HOUSEHOLDS.id, 1) == gone
        assert catalog.current_snapshot(HOUSEHOLDS.id) == kept


def test_the_audit_still_knows_of_how_many_files_a_removed_snapshot_was_made(example: Example) -> None:
    with example.stores.atomic():
        example.stores.catalog.add_snapshot(snapshot(1, files=3))
        example.stores.catalog.mark_removed(HOUSEHOLDS.id, [1], at=NOON)
    assert [kept.files for kept in example.stores.records.snapshots()] == [3]


def test_the_database_refuses_what_no_load_may_be(example: Example) -> None:
    with example.stores.atomic():
        example.stores.loads.put_run(RUN)
        example.stores.loads.put_plan(PLAN)
        example.stores.quality.put_suggestions(HOUSEHOLDS.id, [PHONE])
    using = example.stores.using
    for model, columns in [
        (models.LoadRun, {"state": "half"}),
        (models.LoadRun, {"mode": "half"}),
        (models.LoadPlan, {"mode": "half"}),
        (models.GradingSuggestion, {"state": "half"}),
        (models.GradingSuggestion, {"recognised": 101}),
    ]:
        with pytest.raises(IntegrityError), transaction.atomic(using=using):
            model.objects.using(using).update(**columns)
