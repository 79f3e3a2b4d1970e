"""Who may publish an entry, what is checked, what is written down."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    ADOPTION,
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    EDUCATION,
    HOMES,
    LOW_INCOME,
    MEDICAL,
    OFFICES,
    OPERATOR,
    World,
    item,
    office,
    person,
    says_no,
)

from huitong.catalog.checks import CLASSIFICATION
from huitong.errors import Conflict, InputInvalid, NotFound, Refused
from huitong.model.catalog import Dataset, Grade, ItemType, Openness, Sharing, Visibility
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.text import BilingualText
from huitong.policy.grading import floor_faults
from huitong.words import render


@pytest.fixture
def world() -> World:
    return World()


def test_a_data_officer_of_the_managing_office_publishes(world: World) -> None:
    published = world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    assert published == replace(HOMES, published_on=date(2026, 11, 2))
    assert world.catalog.dataset(HOMES.id) == published
    assert world.catalog.search("养老").hits == (published,)
    assert world.ledger.kinds == [EntryKind.DATASET_PUBLISHED]
    assert world.ledger.written[0][1]["actor"] == CIVIL_OFFICER.person
    assert world.stores.epoch.current() == 1


def test_nobody_else_publishes(world: World) -> None:
    elsewhere = person("he", EDUCATION, *CIVIL_OFFICER.roles)
    with says_no(Refused, "role-missing"):
        world.catalog.publish(HOMES, by=CIVIL_REVIEWER)
    with says_no(Refused, "dataset-of-other-office"):
        world.catalog.publish(HOMES, by=elsewhere)
    world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    with says_no(Refused, "dataset-of-other-office"):
        world.catalog.publish(replace(HOMES, provider=EDUCATION), by=elsewhere)
    with says_no(Refused, "dataset-of-other-office"):
        world.catalog.publish(replace(HOMES, provider=EDUCATION), by=CIVIL_OFFICER)
    with says_no(NotFound, "dataset-unknown"):
        world.catalog.dataset("civil.other")


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    world.catalog = replace(world.catalog, floors=floor_faults)
    items = (item("person_id", "号码", "number", Grade.PUBLIC, meaning="resident-id"), *HOMES.items[1:])
    wrong = replace(
        LOW_INCOME, collector="gz-nobody", classification="A-1", items=items, openness=Openness.OPEN
    )
    with says_no(
        InputInvalid, "office-unknown", "classification-invalid", "grade-too-low", "open-but-not-shared", "open-but-graded"
    ):
        world.catalog.publish(wrong, by=CIVIL_OFFICER)
    assert world.ledger.written == [] and world.stores.epoch.current() == 0
    closed = replace(HOMES, sharing=Sharing.NOT_SHARED, openness=Openness.CONDITIONAL)
    with says_no(InputInvalid, "open-but-not-shared", "openness-condition-missing"):
        world.catalog.publish(closed, by=CIVIL_OFFICER)


@pytest.mark.parametrize("code", ["3-01-0101/000001", "30101010/1", "1-02-003/12", "3-01-010-1/000001"])
def test_codes_of_the_guide_are_taken(code: str) -> None:
    assert CLASSIFICATION.fullmatch(code)


@pytest.mark.parametrize("code", ["", "4-01-0101/1", "3-1-0101/1", "3-01-01/1", "3-01-0101", "3-01-0101/", "3-01-0101/x"])
def test_other_codes_are_not(code: str) -> None:
    assert not CLASSIFICATION.fullmatch(code)


def test_an_entry_is_replaced_and_keeps_its_first_day(world: World) -> None:
    world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    world.clock.advance(days=5)
    smaller = replace(HOMES, items=HOMES.items[:4])
    again = world.catalog.publish(smaller, by=CIVIL_ALL_ROLES)
    assert again.published_on == date(2026, 11, 2)
    assert world.ledger.written[1][1]["replaces"] == world.ledger.written[0][1]["entry_hash"]
    assert world.catalog.search("income").total == 0, "search no longer finds what is gone"


def test_what_snapshots_hold_cannot_be_dropped_or_retyped(world: World) -> None:
    world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    with says_no(Conflict, "item-of-snapshot-gone"):
        world.catalog.publish(replace(HOMES, items=HOMES.items[:4]), by=CIVIL_OFFICER)
    retyped = tuple(replace(one, type=ItemType.TEXT) for one in HOMES.items)
    with says_no(Conflict, "item-of-snapshot-retyped"):
        world.catalog.publish(replace(HOMES, items=retyped), by=CIVIL_OFFICER)
    with says_no(Conflict, "division-item-changed"):
        world.catalog.publish(replace(HOMES, division_item=None), by=CIVIL_OFFICER)
    more = (*HOMES.items, item("phone", "电话", "phone", Grade.INTERNAL, meaning="phone"))
    assert world.catalog.publish(replace(HOMES, items=more), by=CIVIL_OFFICER).item("phone")


def test_the_operator_registers_offices(world: World) -> None:
    new = office("gz-water", "贵州省水利厅", "Department of Water Resources", 4)
    with says_no(Refused, "role-missing"):
        world.catalog.register_office(new, by=CIVIL_OFFICER)
    with says_no(InputInvalid, "office-unknown"):
        world.catalog.register_office(replace(new, superior="gz-nobody"), by=OPERATOR)
    world.catalog.register_office(new, by=OPERATOR)
    assert world.stores.parties.offices(text="水利") == ([new], 1)
    assert world.stores.parties.offices(limit=2)[1] == len(OFFICES) + 1
    assert world.ledger.kinds == [EntryKind.OFFICE_REGISTERED]


CONDITION = BilingualText(zh="限研究", en="For research")
EDUCATION_OFFICER = person("qian", EDUCATION, Role.DATA_OFFICER)
SECRET = replace(ADOPTION, visibility=Visibility.NAMED, known_to=(MEDICAL,))


def with_item(entry: Dataset, number: int, **other: object) -> Dataset:
    items = list(entry.items)
    items[number] = replace(items[number], **other)  # type: ignore[arg-type]
    return replace(entry, items=tuple(items))


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (replace(HOMES, collector="gz-nobody"), "office-unknown"),
        (with_item(HOMES, 0, collector="gz-nobody"), "office-unknown"),
        (replace(ADOPTION, visibility=Visibility.NAMED, known_to=("gz-nobody",)), "office-unknown"),
        (replace(HOMES, related=("3-01-0102",)), "related-code-invalid"),
        (replace(HOMES, related=(HOMES.classification,)), "related-code-invalid"),
        (replace(HOMES, spatial="5201"), "spatial-invalid"),
        (replace(HOMES, spatial="\u0665" * 12), "spatial-invalid"),
        (replace(HOMES, primary_key=("name", "NAME")), "primary-key-item-twice"),
        (replace(HOMES, openness=Openness.CONDITIONAL), "openness-condition-missing"),
        (replace(HOMES, licence="MIT"), "licence-but-not-open"),
        (replace(HOMES, openness=Openness.CONDITIONAL, openness_condition=CONDITION, licence="free for all"), "licence-unknown"),
        (
            replace(HOMES, openness=Openness.CONDITIONAL, openness_condition=CONDITION, visibility=Visibility.OFFICES),
            "open-but-hidden",
        ),
        (replace(HOMES, visibility=Visibility.NAMED), "unconditional-but-hidden"),
        (replace(HOMES, derived_from=("civil.nothing",)), "lineage-source-unknown"),
        (with_item(HOMES, 1, derived_from=("civil.nothing#name",)), "lineage-source-unknown"),
        (with_item(HOMES, 1, derived_from=("civil.low_income#nothing",)), "lineage-item-unknown"),
        (with_item(HOMES, 1, derived_from=("civil.homes#name",)), "lineage-item-unknown"),
    ],
)
def test_each_rule_of_an_entry_is_held(world: World, entry: Dataset, code: str) -> None:
    world.catalog.publish(LOW_INCOME, by=CIVIL_OFFICER)
    with says_no(InputInvalid, code) as caught:
        world.catalog.publish(entry, by=CIVIL_OFFICER)
    for language in ("en", "zh-Hans"):
        sentence = render(caught.value.reasons[0], language)
        assert sentence != code and "{" not in sentence and "(" not in sentence.replace("(offices)", "").replace("(open)", "").replace(
            "(conditional)", ""
        )


def test_an_entry_that_says_everything_goes_in_and_comes_out_the_same(world: World) -> None:
    world.catalog.publish(LOW_INCOME, by=CIVIL_OFFICER)
    entry = replace(
        with_item(HOMES, 1, collector=EDUCATION, legal_basis="某法", derived_from=("civil.low_income#name", "civil.homes#village")),
        openness=Openness.CONDITIONAL,
        openness_condition=CONDITION,
        licence="CC-BY-4.0",
        related=("1-01-0101/000001",),
        spatial="520000000000",
        primary_key=("person_id",),
        derived_from=("civil.low_income",),
        keep_days=30,
    )
    published = world.catalog.publish(entry, by=CIVIL_OFFICER)
    assert published == replace(entry, published_on=date(2026, 11, 2)) == world.catalog.dataset(entry.id)


def test_an_office_that_is_no_more_manages_and_collects_nothing(world: World) -> None:
    closed = replace(world.stores.parties.office(EDUCATION), valid_to=date(2026, 11, 2), successor=MEDICAL)
    world.stores.parties.put_office(closed)
    with says_no(InputInvalid, "office-ended"):
        world.catalog.publish(replace(HOMES, collector=EDUCATION), by=CIVIL_OFFICER)
    world.stores.parties.put_office(replace(closed, valid_to=date(2026, 11, 3)))
    world.catalog.publish(replace(HOMES, collector=EDUCATION), by=CIVIL_OFFICER)


def test_what_was_made_of_itself_is_refused_however_far_round(world: World) -> None:
    world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    world.catalog.publish(replace(LOW_INCOME, derived_from=(HOMES.id,)), by=CIVIL_OFFICER)
    world.catalog.publish(replace(ADOPTION, derived_from=(LOW_INCOME.id,)), by=CIVIL_OFFICER)
    with says_no(InputInvalid, "lineage-circle"):
        world.catalog.publish(replace(HOMES, derived_from=(ADOPTION.id,)), by=CIVIL_OFFICER)


def test_items_of_snapshots_go_only_when_a_person_says_so(world: World) -> None:
    world.catalog.publish(HOMES, by=CIVIL_OFFICER)
    world.sharing.take_snapshot(world.snapshot(HOMES, 1), by=CIVIL_OFFICER)
    smaller = replace(HOMES, items=HOMES.items[:4])
    with says_no(Conflict, "item-of-snapshot-gone"):
        world.catalog.publish(smaller, by=CIVIL_OFFICER, allow_changes=frozenset({"name"}))
    world.catalog.publish(smaller, by=CIVIL_OFFICER, allow_changes=frozenset({"income"}))


def test_many_are_published_together_or_not_at_all(world: World) -> None:
    entries = [replace(HOMES, id=f"civil.many_{number}", derived_from=("civil.many_0",) if number else ()) for number in range(450)]
    assert [one.id for one in world.catalog.publish_many(entries, by=CIVIL_OFFICER)] == [one.id for one in entries]
    assert world.stores.epoch.current() == 3, "three transactions"
    assert list(world.catalog.publish_many(entries, by=CIVIL_OFFICER)) == [], "again: nothing to do"
    assert len(world.ledger.written) == 450
    wrong = [replace(entries[1], keep_days=1), replace(entries[2], classification="none"), replace(entries[3], spatial="1")]
    with says_no(InputInvalid, "classification-invalid", "spatial-invalid"):
        world.catalog.publish_together(wrong, by=CIVIL_OFFICER)
    assert world.catalog.dataset("civil.many_1").keep_days is None and len(world.ledger.written) == 450


def told(world: World, dataset: str, viewer: str | None) -> tuple[str, dict[str, object]]:
    with pytest.raises(NotFound) as caught:
        world.catalog.dataset(dataset, viewer=viewer)
    return caught.value.reasons[0].code, dict(caught.value.reasons[0].parameters, dataset="")


def test_what_one_may_not_know_of_looks_like_what_there_is_not(world: World) -> None:
    world.catalog.publish(SECRET, by=CIVIL_OFFICER)
    for viewer in (None, EDUCATION):
        assert told(world, SECRET.id, viewer) == told(world, "civil.nothing", viewer)
        assert world.catalog.search("收养", viewer=viewer).total == 0
        assert [one.id for one in world.catalog.every_dataset(viewer=viewer)] == []
    for viewer in (CIVIL, MEDICAL):
        assert world.catalog.dataset(SECRET.id, viewer=viewer).id == SECRET.id
        assert world.catalog.search("收养", viewer=viewer).total == 1


def test_who_else_may_know_and_hidden_sources_are_for_the_own_office_alone(world: World) -> None:
    world.catalog.publish(SECRET, by=CIVIL_OFFICER)
    world.catalog.publish(LOW_INCOME, by=CIVIL_OFFICER)
    made = with_item(
        replace(HOMES, derived_from=(SECRET.id, LOW_INCOME.id)), 1, derived_from=(f"{SECRET.id}#name", f"{LOW_INCOME.id}#name")
    )
    world.catalog.publish(made, by=CIVIL_OFFICER)
    seen = world.catalog.dataset(HOMES.id, viewer=EDUCATION)
    assert (seen.derived_from, seen.items[1].derived_from) == ((LOW_INCOME.id,), (f"{LOW_INCOME.id}#name",))
    assert world.catalog.dataset(HOMES.id, viewer=None) == seen == world.catalog.search("养老", viewer=EDUCATION).hits[0]
    assert world.catalog.dataset(HOMES.id, viewer=MEDICAL).derived_from == (SECRET.id, LOW_INCOME.id)
    assert world.catalog.dataset(SECRET.id, viewer=MEDICAL).known_to == ()
    assert world.catalog.dataset(SECRET.id, viewer=CIVIL).known_to == (MEDICAL,)


def test_publishing_tells_nothing_of_hidden_entries(world: World) -> None:
    world.catalog.publish(SECRET, by=CIVIL_OFFICER)
    mine = replace(HOMES, provider=EDUCATION, collector=EDUCATION)
    with says_no(InputInvalid, "lineage-source-unknown") as hidden:
        world.catalog.publish(replace(mine, id="education.a", derived_from=(SECRET.id,)), by=EDUCATION_OFFICER)
    with says_no(InputInvalid, "lineage-source-unknown") as unknown:
        world.catalog.publish(replace(mine, id="education.a", derived_from=("civil.nothing",)), by=EDUCATION_OFFICER)
    assert {**hidden.value.reasons[0].parameters, "source": ""} == {**unknown.value.reasons[0].parameters, "source": ""}
    with says_no(Conflict, "dataset-name-taken") as taken:
        world.catalog.publish(replace(mine, id=SECRET.id), by=EDUCATION_OFFICER)
    assert set(taken.value.reasons[0].parameters) == {"dataset"}, "neither whose it is nor what"
    with says_no(Refused, "dataset-of-other-office") as other:
        world.catalog.publish(replace(SECRET, provider=EDUCATION, id="civil.nothing"), by=CIVIL_OFFICER)
    assert other.value.reasons[0].parameters["provider"] == EDUCATION, "what he wrote himself"


def test_a_source_that_is_hidden_later_does_not_lock_the_entry(world: World) -> None:
    world.catalog.publish(replace(SECRET, visibility=Visibility.OFFICES, known_to=()), by=CIVIL_OFFICER)
    mine = replace(HOMES, id="education.a", provider=EDUCATION, collector=EDUCATION, derived_from=(SECRET.id,))
    world.catalog.publish(mine, by=EDUCATION_OFFICER)
    world.catalog.publish(SECRET, by=CIVIL_OFFICER)
    assert world.catalog.publish(replace(mine, keep_days=3), by=EDUCATION_OFFICER).keep_days == 3
