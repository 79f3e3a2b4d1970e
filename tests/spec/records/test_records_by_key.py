"""Records by key: who calls with which key, for which purpose, under which grant, and what comes out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    COMPANY_GRANT,
    HIDE,
    NANMING,
    NOW,
    PEOPLE,
    PERSON,
    PERSON_GRANT,
    PSEUDONYM,
    SURNAME_ONLY,
    make_grant,
)
from tests.spec.records.conftest import Desk, token
from tests.spec.records.records_world import bodies

from huitong.errors import HuitongError, Unavailable
from huitong.masks.pseudonym import display
from huitong.model.catalog import Item, ItemType
from huitong.model.ledger import EntryKind
from huitong.model.policy import Comparator, Comparison, Mode, Quota, QuotaPeriod

pytestmark = pytest.mark.slow

ZHANG, WANG, LI = "990102199001011230", "990102198505052341", "990102200012313452"
OUTSIDE = "990103197003034563"
"""A person of another county."""


def in_clear(items: dict[str, Any] | None = None, **rest: Any) -> Any:
    return make_grant("civil.person", {"pid": CLEAR, **(items or {"salary": CLEAR})}, **{"rows": NANMING, **rest})


def codes(call: Any) -> set[str]:
    with pytest.raises(HuitongError) as raised:
        call()
    return {reason.code for reason in raised.value.reasons}


# --- what comes out ---------------------------------------------------------------------------------------------------------


def test_a_person_is_found_by_the_token_that_the_grant_shows_and_every_item_is_masked(desk: Desk) -> None:
    (row,) = desk.rows(token(ZHANG))
    assert row == {
        "pid": int(token(ZHANG)), "name": "张*", "gender": "男", "division": "520102000000", "born": 1990, "salary": 3000,
        "weight": 61.5, "diagnosis": None,
    }  # fmt: skip


def test_the_display_form_of_a_token_is_the_same_key(desk: Desk) -> None:
    assert desk.rows(display(int(token(ZHANG))), items=["salary"]) == [{"salary": 3000}]


def test_where_the_grant_shows_the_identifier_it_is_the_key(desk: Desk) -> None:
    desk.world.grants = [in_clear()]
    desk.world.epoch += 1
    assert desk.rows(ZHANG) == [{"pid": ZHANG, "salary": 3000}]


def test_rows_come_in_the_order_of_the_keys_each_key_once(desk: Desk) -> None:
    asked = [token(pid) for pid in (WANG, ZHANG, WANG)]
    assert desk.rows(*asked, items=["salary"]) == [{"salary": 4200}, {"salary": 3000}]


def test_a_person_outside_the_granted_rows_is_told_as_one_who_does_not_exist(desk: Desk) -> None:
    outside, nobody = desk.get(token(OUTSIDE)), desk.get("4711")
    assert outside.table.num_rows == nobody.table.num_rows == 0
    assert outside.table.schema == nobody.table.schema
    assert outside.notices == nobody.notices == ()


def test_conditions_and_lists_of_subjects_cut_records_as_they_cut_rows(desk: Desk) -> None:
    rich = in_clear(condition=(Comparison("salary", Comparator.AT_LEAST, ("3500",)),))
    listed = desk.world.lists.keep([ZHANG, OUTSIDE], dataset="civil.person", item="pid")
    for grant, found in ((rich, [WANG]), (in_clear(subjects=listed), [ZHANG])):
        desk.world.grants = [grant]
        desk.world.epoch += 1
        assert [row["pid"] for row in desk.rows(ZHANG, WANG, LI, OUTSIDE)] == found


def test_a_key_that_stands_in_several_rows_gives_all_that_are_granted(desk: Desk) -> None:
    moved = {**PEOPLE[0], "salary": 3100}
    hidden = {**PEOPLE[0], "division": "520103001000", "salary": 987654321}
    desk.world.load(PERSON, [*PEOPLE, moved, hidden])
    desk.world.epoch += 1
    assert sorted(row["salary"] for row in desk.copied().rows(token(ZHANG))) == [3000, 3100]


def test_a_key_of_several_items_is_called_with_all_of_them(desk: Desk) -> None:
    by_two = replace(PERSON, key=None, primary_key=("pid", "born"))
    desk.world.published[PERSON.id] = by_two
    desk.world.grants = [in_clear({"born": CLEAR, "salary": CLEAR})]
    desk.world.epoch += 1
    desk.copied()
    call: Any = {"by": ANALYST, "dataset": "civil.person", "purpose": "poverty-relief", "items": ["salary"]}
    assert desk.records.get(keys=[[ZHANG, "1990-01-01"], [ZHANG, "1990-01-02"]], **call).table.to_pylist() == [{"salary": 3000}]
    assert codes(lambda: desk.records.get(keys=[[ZHANG]], **call)) == {"record-key-values"}
    assert codes(lambda: desk.records.get(keys=[[ZHANG, "1.1.1990"]], **call)) == {"record-key-form"}


def test_an_item_that_the_snapshot_lacks_is_missing_and_one_of_another_type_is_read_as_what_it_became(desk: Desk) -> None:
    items = tuple(replace(one, type=ItemType.TEXT) if one.name == "salary" else one for one in PERSON.items)
    new = Item("email", PERSON.items[0].title, ItemType.TEXT, PERSON.items[2].grade)
    held = tuple((one.name, one.type) for one in PERSON.items)
    desk.world.snapshots[PERSON.id] = replace(desk.world.snapshots[PERSON.id], columns=held)
    desk.world.published[PERSON.id] = replace(PERSON, items=(*items, new))
    desk.world.grants = [in_clear({"salary": CLEAR, "email": CLEAR})]
    desk.world.epoch += 1
    assert desk.copied().rows(ZHANG) == [{"pid": ZHANG, "salary": "3000", "email": None}]


# --- verification -------------------------------------------------------------------------------------------------------------


def test_a_verification_says_yes_no_or_unknown(desk: Desk) -> None:
    people = [token(pid) for pid in (ZHANG, WANG, LI, OUTSIDE)] + ["4711"]
    assert desk.verify(*people, gender="男") == ["yes", "no", "unknown", "unknown", "unknown"]


def test_what_is_missing_is_unknown_and_never_no(desk: Desk) -> None:
    assert desk.verify(token(WANG), weight="61.5") == ["unknown"]
    assert desk.verify(token(WANG), weight="61.5", gender="女") == ["unknown"]
    assert desk.verify(token(WANG), weight="61.5", gender="男") == ["no"]


def test_values_are_compared_as_the_grant_shows_them(desk: Desk) -> None:
    assert desk.verify(token(ZHANG), name="张*") == ["yes"]
    assert desk.verify(token(ZHANG), name="张伟") == ["no"]
    assert desk.verify(token(ZHANG), born="1990") == ["yes"]
    assert desk.verify(token(ZHANG), diagnosis="CANARY-diagnosis-1") == ["unknown"]
    assert desk.verify(token(ZHANG), division="520102000000", salary="3000") == ["yes"]
    assert codes(lambda: desk.verify(token(ZHANG), born="1990-01-01")) == {"record-value-form"}


def test_of_several_rows_one_that_says_yes_is_enough_and_only_all_say_no(desk: Desk) -> None:
    desk.world.load(PERSON, [*PEOPLE, {**PEOPLE[0], "salary": None}, {**PEOPLE[1], "salary": 1}])
    desk.world.epoch += 1
    desk.copied()
    assert desk.verify(token(ZHANG), token(WANG), salary="3000") == ["yes", "no"]
    assert desk.verify(token(ZHANG), token(WANG), salary="77") == ["unknown", "no"]


# --- who may not --------------------------------------------------------------------------------------------------------------


def test_a_key_item_under_another_mask_finds_nobody_and_the_refusal_says_what_now(desk: Desk) -> None:
    for mask in (HIDE, SURNAME_ONLY):
        desk.world.grants = [make_grant("civil.person", {"pid": mask, "salary": CLEAR})]
        desk.world.epoch += 1
        assert codes(lambda: desk.get(ZHANG)) == {"record-key-masked"}
    assert bodies(desk.world, EntryKind.USE_REFUSED)[-1]["reasons"] == ["record-key-masked"]


def test_a_key_item_that_was_not_granted_is_refused_as_any_item(desk: Desk) -> None:
    desk.world.grants = [make_grant("civil.person", {"salary": CLEAR})]
    desk.world.epoch += 1
    assert codes(lambda: desk.get(ZHANG, items=["salary"])) == {"item-not-granted"}
    assert codes(lambda: desk.get(ZHANG)) == {"item-not-granted"}
    assert desk.world.book.kinds().count(EntryKind.USE_INTENT) == 0


def test_a_grant_of_totals_gives_no_record(desk: Desk) -> None:
    desk.world.grants = [make_grant("civil.person", {"pid": PSEUDONYM, "gender": CLEAR}, mode=Mode.AGGREGATE_ONLY, k=3)]
    desk.world.epoch += 1
    assert codes(lambda: desk.get(token(ZHANG))) & {"totals-output", "rows-alone"}
    assert codes(lambda: desk.verify(token(ZHANG), gender="男")) & {"totals-output", "rows-alone"}


def test_a_revoked_or_ended_grant_gives_nothing_at_the_next_call(desk: Desk) -> None:
    assert desk.rows(token(ZHANG))
    desk.world.now = NOW + timedelta(days=400)
    assert codes(lambda: desk.get(token(ZHANG))) == {"grant-expired"}
    desk.world.now, desk.world.grants = NOW, []
    desk.world.epoch += 1
    assert codes(lambda: desk.get(token(ZHANG))) == {"grant-missing"}


def test_a_dataset_whose_door_is_off_or_that_has_no_key_is_not_called_for(desk: Desk) -> None:
    assert codes(lambda: desk.get("x", dataset="weather", purpose="poverty-relief")) == {"record-key-undeclared"}
    door = desk.records.doors.record_door("civil.person")
    assert door is not None
    desk.records.doors.put_record_door(replace(door, on=False))
    assert codes(lambda: desk.get(token(ZHANG))) == {"record-door-off"}
    desk.records.copies.keep_up()
    assert not any(name.startswith("huitong_record_") and "civil" in name for name in desk.records.copies.store.names())


def test_who_holds_no_grant_is_not_told_whether_the_door_is_on(desk: Desk) -> None:
    desk.world.grants = []
    desk.world.epoch += 1
    for dataset in ("civil.person", "tax.company"):
        assert codes(lambda dataset=dataset: desk.get("x", dataset=dataset)) == {"grant-missing"}


def test_a_dataset_whose_storage_rule_asks_for_more_than_the_door_gives_keeps_to_the_engine(desk: Desk) -> None:
    desk.world.gateway._sandbox_level = lambda _dataset, _rows: 2
    desk.world.epoch += 1
    assert codes(lambda: desk.get(token(ZHANG))) == {"record-grade-sandbox"}


# --- snapshots ------------------------------------------------------------------------------------------------------------------


def test_a_new_snapshot_is_read_whole_or_not_at_all(desk: Desk) -> None:
    desk.world.load(PERSON, [{**PEOPLE[0], "salary": 9}])
    assert codes(lambda: desk.get(token(ZHANG))) == {"record-store-behind"}
    desk.copied()
    assert desk.rows(token(ZHANG), items=["salary"]) == [{"salary": 9}]
    assert desk.rows(token(WANG)) == []


def test_copies_of_older_snapshots_are_removed(desk: Desk) -> None:
    before = set(desk.records.copies.store.names())
    desk.world.load(PERSON, PEOPLE)
    desk.copied()
    gone = before - set(desk.records.copies.store.names())
    assert len(gone) == 2, "the rows, and the tokens of one linkage group"


def test_a_grant_of_another_linkage_group_is_served_once_its_tokens_are_copied(desk: Desk) -> None:
    desk.world.grants = [replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, linkage_group="health:study"))]
    desk.world.epoch += 1
    assert codes(lambda: desk.get(token(ZHANG))) == {"record-store-behind"}
    desk.copied()
    assert desk.rows(token(ZHANG)) == [], "the token of one linkage group finds nobody in another"


def test_a_snapshot_in_which_a_key_is_none_is_not_copied_and_the_officer_is_told_why(desk: Desk) -> None:
    desk.world.load(PERSON, [PEOPLE[0]] * 1001)
    desk.copied()
    door = desk.records.door("civil.person", by=replace(ANALYST, office="gz-civil-affairs"))
    assert (door.state.value, [reason.code for reason in door.reasons]) == ("failed", ["record-key-crowded"])
    assert codes(lambda: desk.get(token(ZHANG))) == {"record-store-behind"}


# --- the record of a call ---------------------------------------------------------------------------------------------------------


def test_the_intent_stands_before_the_copy_is_read_and_holds_a_hash_for_each_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[EntryKind]] = []
    fetch = desk.records.rows.fetch
    monkeypatch.setattr(
        type(desk.records.rows), "fetch", lambda _self, *asked: (seen.append(desk.world.book.kinds()), fetch(*asked))[1]
    )
    answer = desk.get(token(ZHANG), token(WANG), items=["salary"])
    assert all(EntryKind.USE_INTENT in kinds for kinds in seen)
    (intent,) = bodies(desk.world, EntryKind.USE_INTENT)
    (outcome,) = bodies(desk.world, EntryKind.USE_OUTCOME)
    assert (intent["door"], len(intent["keys"]), outcome["rows"]) == ("record", 2, 2)
    assert answer.receipt["entries"] == list(desk.world.remembered[answer.query])
    assert desk.verify(token(ZHANG), gender="男") == ["yes"]
    verified = bodies(desk.world, EntryKind.USE_INTENT)[-1]
    assert verified["door"] == "verification"
    assert set(verified["keys"]) < set(intent["keys"]), "the same person has the same hash in every call for the same dataset"
    assert len(verified["compared"]) == 64


def test_if_the_ledger_cannot_be_written_nothing_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.world.book.fails_on = frozenset({EntryKind.USE_INTENT})
    monkeypatch.setattr(type(desk.records.rows), "fetch", lambda *_: pytest.fail("the copy was read"))
    with pytest.raises(Unavailable):
        desk.get(token(ZHANG))


def test_two_verifications_of_one_answer_have_different_hashes(desk: Desk) -> None:
    """Or whoever sees the ledger could find the answer by trying all three."""
    desk.verify(token(ZHANG), gender="男")
    desk.verify(token(ZHANG), gender="男")
    first, second = (body["result_hash"] for body in bodies(desk.world, EntryKind.USE_OUTCOME))
    assert first != second


# --- quota ------------------------------------------------------------------------------------------------------------------------


def test_each_key_of_a_batch_takes_a_call_of_the_quota_and_each_row_that_leaves_a_row(desk: Desk) -> None:
    grant = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, quota=Quota(QuotaPeriod.DAY, rows=10, calls=5)))
    desk.world.grants = [grant]
    desk.world.epoch += 1
    assert len(desk.rows(token(ZHANG), token(WANG), "4711")) == 2
    use = desk.world.quotas.use_of(grant, at=NOW)
    assert use is not None
    assert use.uses == {"rows": (2, 10), "calls": (3, 5)}
    assert codes(lambda: desk.get("1", "2", "3")) == {"quota-used-up"}
    assert desk.verify(token(ZHANG), token(OUTSIDE), gender="男") == ["yes", "unknown"]
    use = desk.world.quotas.use_of(grant, at=NOW)
    assert use is not None
    assert use.uses == {"rows": (4, 10), "calls": (5, 5)}, "a verification takes a row for each key, whatever the answer"


def test_rows_beyond_a_quota_are_cut_with_a_notice(desk: Desk) -> None:
    quota = Quota(QuotaPeriod.DAY, rows=1)
    desk.world.grants = [replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, quota=quota))]
    desk.world.epoch += 1
    answer = desk.get(token(ZHANG), token(WANG))
    assert (answer.table.num_rows, [notice.code for notice in answer.notices]) == (1, ["rows-cut-by-quota"])


def test_a_call_has_a_bounded_number_of_keys_and_conditions(desk: Desk) -> None:
    assert codes(lambda: desk.get(*map(str, range(101)))) == {"record-keys-count"}
    assert codes(lambda: desk.get()) == {"record-keys-count"}
    assert codes(lambda: desk.verify(token(ZHANG))) == {"record-compared-count"}


def test_other_datasets_have_their_own_keys(desk: Desk) -> None:
    shown = make_grant("tax.company", {"cid": CLEAR, "owner_pid": PSEUDONYM, "capital": CLEAR}, provider="gz-tax")
    desk.world.grants = [shown, COMPANY_GRANT]
    desk.world.epoch += 1
    (row,) = desk.rows("91520102MA6HHHHH1B", dataset="tax.company")
    assert row == {"cid": "91520102MA6HHHHH1B", "owner_pid": int(token(WANG)), "capital": 250_000}
