"""Who may publish an entry, what is checked, what is written down."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.sharing.world import (
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    EDUCATION,
    HOMES,
    LOW_INCOME,
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
from huitong.model.catalog import Grade, ItemType, Openness, Sharing
from huitong.model.ledger import EntryKind


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
