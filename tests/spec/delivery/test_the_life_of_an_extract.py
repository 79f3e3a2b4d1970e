"""An extract is asked for, made once, given again, and gone when its right or its time ends."""

import hashlib
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.spec.doors.doors_world import ALL_CLEAR, ANALYST, Instance, nanming
from tests.spec.governed.governed_world import CLEAR, PEOPLE, PERSON, make_grant

from huitong.errors import Conflict, NotFound, Refused, Unavailable
from huitong.model.delivery import Extract, ExtractForm, ExtractState
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.policy import Quota, QuotaPeriod

GRANT = "G-civil.person"


def ask(instance: Instance, **more: Any) -> Extract:
    given = {"by": ANALYST, "form": ExtractForm.PARQUET, "grant": GRANT} | more
    return instance.platform.extracts.make(**given)


def made(instance: Instance, **more: Any) -> Extract:
    """An extract that is ready."""
    asked = ask(instance, **more)
    instance.platform.extracts.run_waiting()
    ready = instance.platform.extracts.show(asked.id, by=ANALYST)
    assert ready.state is ExtractState.READY, ready.reasons
    return ready


def file_of(instance: Instance, extract: Extract) -> Path:
    return instance.home / "extracts" / extract.file


def written(instance: Instance) -> list[tuple[str, dict[str, Any]]]:
    """What the ledger holds of uses and deliveries, oldest first."""
    found = []
    for promise in instance.stores.ledger.pending(10_000):
        said = json.loads(promise.payload)
        found.append((said["kind"], said["body"]))
    return found


@pytest.fixture(autouse=True)
def plain_grant(instance: Instance) -> None:
    instance.put(nanming(ALL_CLEAR))


# --- made once ----------------------------------------------------------------------------------------------------------


def test_the_file_is_whole_private_and_its_hash_stands_in_the_ledger(instance: Instance) -> None:
    extract = made(instance)
    content = file_of(instance, extract).read_bytes()
    assert hashlib.sha256(content).hexdigest() == extract.sha256
    assert len(content) == extract.bytes
    kind, outcome = written(instance)[-1]
    assert kind == EntryKind.USE_OUTCOME
    assert (outcome["result_hash"], outcome["rows"], outcome["query"]) == (extract.sha256, 4, extract.query)
    assert stat.S_IMODE(file_of(instance, extract).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(instance, extract).parent.stat().st_mode) == 0o700


def test_a_manifest_lies_beside_it(instance: Instance) -> None:
    extract = made(instance)
    manifest = json.loads((instance.home / "extracts" / f"{extract.id}.json").read_text("utf-8"))
    grant = instance.stores.sharing.grant(GRANT)
    assert grant is not None
    assert manifest["sha256"] == extract.sha256
    assert (manifest["rows"], manifest["bytes"], manifest["snapshot"]) == (4, extract.bytes, 1)
    assert (manifest["grant"], manifest["grant_version"], manifest["terms_hash"]) == (GRANT, 1, grant.terms_hash)


def test_asking_again_gives_the_same_file_and_is_a_use_of_its_own(instance: Instance) -> None:
    first = made(instance)
    ran = len(instance.governed.engine.ran)
    before = len(written(instance))
    again = ask(instance)
    assert (again.id, again.sha256, again.state) == (first.id, first.sha256, ExtractState.READY)
    assert len(instance.governed.engine.ran) == ran
    (intent, _), (outcome, told) = written(instance)[before:]
    assert (intent, outcome) == (EntryKind.USE_INTENT, EntryKind.USE_OUTCOME)
    assert (told["result_hash"], told["again"]) == (first.sha256, True)


def test_asking_while_it_waits_gives_the_one_that_waits(instance: Instance) -> None:
    assert ask(instance).id == ask(instance).id


def test_other_items_another_form_another_snapshot_or_another_grant_is_another_file(instance: Instance) -> None:
    first = made(instance)
    others = [made(instance, items=["name"]), made(instance, form=ExtractForm.CSV)]
    instance.take_snapshot(PERSON, [dict(row) for row in PEOPLE])
    others.append(made(instance))
    instance.put(nanming(ALL_CLEAR), nanming(ALL_CLEAR, number="G-2"))
    others.append(made(instance, grant="G-2"))
    assert len({first.id, *(one.id for one in others)}) == 5
    assert others[2].sha256 == first.sha256  # the same rows in a defined order are the same bytes


def test_the_arrow_file_is_byte_by_byte_the_answer_to_a_query(instance: Instance) -> None:
    extract = made(instance, form=ExtractForm.ARROW)
    names = ", ".join(extract.items)
    body = {"sql": f"SELECT {names} FROM civil.person ORDER BY {names}", "purpose": "poverty-relief"}
    answer = instance.post("query", body, Accept="application/vnd.apache.arrow.stream")
    assert answer.content == file_of(instance, extract).read_bytes()


def test_rows_come_in_the_order_of_their_values_not_as_they_are_stored(instance: Instance) -> None:
    extract = made(instance, items=["salary"])
    values = pq.read_table(file_of(instance, extract)).column("salary").to_pylist()
    assert values == sorted(values, key=lambda value: (value is None, value))


def test_the_progress_is_visible(instance: Instance) -> None:
    asked = ask(instance)
    assert (asked.state, asked.rows, asked.rows_expected) == (ExtractState.WAITING, 0, 8)
    seen: list[tuple[ExtractState, int]] = []
    inner = instance.governed.engine.stream

    def watched(query: Any) -> Any:
        for batch in inner(query):
            yield batch
            now = instance.platform.extracts.show(asked.id, by=ANALYST)
            seen.append((now.state, now.rows))

    instance.governed.engine.stream = watched  # type: ignore[method-assign]
    object.__setattr__(instance.platform.extracts, "limits", replace(instance.platform.extracts.limits, look_again_seconds=0.0))
    instance.platform.extracts.run_waiting()
    assert [state for state, _ in seen] == [ExtractState.RUNNING] * 2
    assert [rows for _, rows in seen] == [2, 4]


def test_who_asked_and_the_office_s_systems_are_told_when_it_is_ready_or_failed(instance: Instance) -> None:
    ready = made(instance)
    asked = ask(instance, form=ExtractForm.CSV)
    instance.revoke(GRANT)
    instance.platform.extracts.run_waiting()
    told = [notice for notice in instance.stores.notices.posted if notice.kind.value.startswith("extract-")]
    about = {"grant": GRANT, "dataset": PERSON.id}
    assert [(notice.kind, dict(notice.about)) for notice in told] == [
        (NoticeKind.EXTRACT_READY, {"extract": ready.id, **about}),
        (NoticeKind.EXTRACT_FAILED, {"extract": asked.id, **about, "reason": "grant-revoked"}),
    ]
    assert {(notice.to_persons, notice.to_offices) for notice in told} == {((ANALYST.person,), (ANALYST.office,))}


# --- what goes wrong ----------------------------------------------------------------------------------------------------


def test_a_killed_run_leaves_nothing_visible_and_is_begun_again(instance: Instance) -> None:
    asked = ask(instance)
    instance.governed.engine.fails_with = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        instance.platform.extracts.run_waiting()
    assert instance.platform.extracts.show(asked.id, by=ANALYST).state is ExtractState.RUNNING
    assert not file_of(instance, asked).exists()
    instance.governed.engine.fails_with = None
    instance.platform.extracts.run_waiting()
    ready = instance.platform.extracts.show(asked.id, by=ANALYST)
    assert (ready.state, ready.attempts) == (ExtractState.READY, 2)


def test_what_is_being_made_is_not_begun_by_another_process(instance: Instance) -> None:
    asked = ask(instance)
    with instance.platform.extracts._making(asked.id):
        assert instance.platform.extracts.run_waiting() == []
    assert len(instance.platform.extracts.run_waiting()) == 1


def test_an_engine_that_is_busy_is_asked_again_a_few_times(instance: Instance) -> None:
    asked = ask(instance)
    instance.governed.engine.fails_with = Unavailable.because("engine-busy", query="q")
    states = []
    for _ in range(3):
        instance.platform.extracts.run_waiting()
        states.append(instance.platform.extracts.show(asked.id, by=ANALYST).state)
    assert states == [ExtractState.WAITING, ExtractState.WAITING, ExtractState.FAILED]


def test_what_failed_may_be_asked_for_again(instance: Instance) -> None:
    asked = ask(instance)
    instance.governed.engine.fails_with = Refused.because("query-failed", query="q")
    instance.platform.extracts.run_waiting()
    assert instance.platform.extracts.show(asked.id, by=ANALYST).state is ExtractState.FAILED
    instance.governed.engine.fails_with = None
    assert made(instance).id != asked.id


def test_a_full_disk_is_told_without_its_path(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(instance)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", str(instance.home))

    monkeypatch.setattr("huitong.delivery.formats.os.write", full)
    for _ in range(3):
        instance.platform.extracts.run_waiting()
    told = instance.platform.extracts.show(asked.id, by=ANALYST)
    assert [(one.code, dict(one.parameters)) for one in told.reasons] == [("extract-not-written", {"extract": asked.id})]
    assert list((instance.home / "extracts").glob("*.part")) == []


def test_a_right_that_ends_before_it_is_made_makes_nothing(instance: Instance) -> None:
    asked = ask(instance)
    instance.revoke(GRANT)
    instance.platform.extracts.run_waiting()
    told = instance.platform.extracts.show(asked.id, by=ANALYST)
    assert (told.state, [one.code for one in told.reasons]) == (ExtractState.FAILED, ["grant-revoked"])


def test_a_person_who_left_the_post_meanwhile_gets_nothing_made(instance: Instance) -> None:
    asked = ask(instance)
    instance.end_post(ANALYST)
    instance.platform.extracts.run_waiting()
    told = instance.platform.extracts.show(asked.id, by=ANALYST)
    assert [one.code for one in told.reasons] == ["post-ended"]


def test_a_snapshot_that_comes_between_asking_and_making_is_not_mixed_in(instance: Instance) -> None:
    asked = ask(instance)
    instance.take_snapshot(PERSON, [])
    instance.platform.extracts.run_waiting()
    assert [one.code for one in instance.platform.extracts.show(asked.id, by=ANALYST).reasons] == ["extract-superseded"]


def test_an_office_does_not_fill_the_line(instance: Instance) -> None:
    for number in range(instance.platform.extracts.limits.waiting_of_an_office):
        ask(instance, items=list(ALL_CLEAR)[: number + 1])
    with pytest.raises(Unavailable) as caught:
        ask(instance, form=ExtractForm.CSV)
    assert caught.value.reasons[0].code == "extracts-waiting"


def test_more_rows_than_one_file_may_have_are_refused_not_cut(instance: Instance) -> None:
    few = replace(instance.platform.extracts.limits, maximum_rows=3)
    object.__setattr__(instance.platform.extracts, "limits", few)
    asked = ask(instance)
    instance.platform.extracts.run_waiting()
    assert [one.code for one in instance.platform.extracts.show(asked.id, by=ANALYST).reasons] == ["extract-too-many-rows"]


# --- how it ends --------------------------------------------------------------------------------------------------------


def removed_because(instance: Instance, extract: Extract) -> list[str]:
    """Sweep; the reasons for which the file is gone, or nothing while it stands."""
    instance.platform.extracts.sweep()
    told = instance.platform.extracts.show(extract.id, by=ANALYST)
    assert file_of(instance, extract).exists() is (told.state is ExtractState.READY)
    return [one.code for one in told.reasons]


def test_a_file_that_is_right_stays(instance: Instance) -> None:
    assert removed_because(instance, made(instance)) == []


def test_a_revoked_grant_takes_its_files_with_it(instance: Instance) -> None:
    extract = made(instance)
    instance.revoke(GRANT)
    assert removed_because(instance, extract) == ["extract-grant-ended"]
    kind, told = written(instance)[-1]
    assert (kind, told["extract"], told["because"]) == (EntryKind.EXTRACT_REMOVED, extract.id, ["extract-grant-ended"])


def test_an_expired_grant_does_too(instance: Instance) -> None:
    extract = made(instance)
    instance.clock.advance(days=301)
    assert removed_because(instance, extract) == ["extract-grant-expired"]


def test_a_superseded_file_stays_a_day_so_that_fetching_can_end(instance: Instance) -> None:
    extract = made(instance)
    instance.take_snapshot(PERSON, [])
    instance.clock.advance(hours=23)
    assert removed_because(instance, extract) == []
    instance.clock.advance(hours=1)
    assert removed_because(instance, extract) == ["extract-superseded"]


def test_a_snapshot_that_is_removed_by_law_takes_the_file_with_it_at_once(instance: Instance) -> None:
    extract = made(instance)
    instance.take_snapshot(PERSON, [])
    with instance.stores.atomic():
        instance.stores.catalog.mark_removed(PERSON.id, [extract.snapshot], at=instance.clock())
    assert removed_because(instance, extract) == ["extract-snapshot-removed"]


def test_an_old_file_goes(instance: Instance) -> None:
    extract = made(instance)
    instance.clock.advance(days=7)
    assert removed_because(instance, extract) == ["extract-too-old"]


def test_what_a_killed_run_left_on_the_disk_goes(instance: Instance) -> None:
    folder = instance.home / "extracts"
    kept = made(instance)
    (folder / "x-0123456789abcdef.part").write_bytes(b"half")
    (folder / "x-0123456789abcdef.parquet").write_bytes(b"whole, but of nobody")
    instance.platform.extracts.sweep()
    assert {path.name for path in folder.iterdir() if path.is_file()} == {kept.file, f"{kept.id}.json"}


def test_a_file_that_somebody_took_away_is_made_again(instance: Instance) -> None:
    first = made(instance)
    file_of(instance, first).unlink()
    second = made(instance)
    assert second.id != first.id
    assert second.sha256 == first.sha256


# --- who may ------------------------------------------------------------------------------------------------------------


def test_a_grant_of_another_office_is_none(instance: Instance) -> None:
    instance.put(make_grant("civil.person", {"name": CLEAR}, office="gz-health", number="G-other"))
    with pytest.raises(NotFound) as caught:
        ask(instance, grant="G-other")
    assert caught.value.reasons[0].code == "grant-unknown"


def test_a_refusal_is_recorded_as_that_of_any_use(instance: Instance) -> None:
    instance.revoke(GRANT)
    with pytest.raises(Refused) as caught:
        ask(instance)
    assert caught.value.query is not None
    kind, told = written(instance)[-1]
    assert (kind, told["query"], told["reasons"]) == (EntryKind.USE_REFUSED, caught.value.query, ["grant-revoked"])


def test_there_is_one_extract_of_a_key_whoever_is_faster(instance: Instance) -> None:
    extract = ask(instance)
    with pytest.raises(Conflict), instance.stores.atomic():
        instance.stores.delivery.add_extract(replace(extract, id="x-another"))


# --- what it costs ------------------------------------------------------------------------------------------------------


def with_quota(instance: Instance, **limits: int) -> None:
    grant = nanming(ALL_CLEAR)
    instance.put(replace(grant, terms=replace(grant.terms, quota=Quota(QuotaPeriod.DAY, **limits))))


def used(instance: Instance) -> dict[str, tuple[int, int]]:
    grant = instance.stores.sharing.grant(GRANT)
    assert grant is not None
    found = instance.platform.quotas.use_of(grant, at=instance.clock())
    assert found is not None
    return dict(found.uses)


def test_rows_count_once_when_the_file_is_made_and_each_delivery_is_a_call(instance: Instance) -> None:
    with_quota(instance, rows=5, calls=10)
    extract = made(instance)
    assert used(instance) == {"rows": (4, 5), "calls": (1, 10)}
    ask(instance)
    assert used(instance) == {"rows": (4, 5), "calls": (2, 10)}
    for _ in range(2):
        address = instance.post(f"extracts/{extract.id}/addresses", {}).json()["address"]
        for asked in ("bytes=0-9", "bytes=10-", "bytes=0-9"):
            assert instance.get(address, token=None, Range=asked).status_code == 206
    assert used(instance) == {"rows": (4, 5), "calls": (4, 10)}


def test_a_file_for_which_too_few_rows_are_left_is_not_made(instance: Instance) -> None:
    with_quota(instance, rows=3)
    asked = ask(instance)
    instance.platform.extracts.run_waiting()
    assert [one.code for one in instance.platform.extracts.show(asked.id, by=ANALYST).reasons] == ["rows-cut-by-quota"]
    assert used(instance) == {"rows": (0, 3)}


def test_a_delivery_beyond_the_calls_of_the_grant_is_refused(instance: Instance) -> None:
    with_quota(instance, calls=2)
    extract = made(instance)
    for code in (200, 403):
        address = instance.post(f"extracts/{extract.id}/addresses", {}).json()["address"]
        answer = instance.get(address, token=None)
        assert answer.status_code == code
    assert [one["code"] for one in answer.json()["reasons"]] == ["quota-used-up"]
