"""Divisions, offices and posts at rest."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from django.db import IntegrityError, transaction
from tests.portal.examples import ANALYST, CITY, CIVIL, COUNTY, DIVISIONS, MEDICAL, NOON, PROVINCE, REVIEWER, Example, credit_code

from huitong.catalog.divisions import load_divisions
from huitong.model.party import DivisionLevel, Role
from huitong.model.text import BilingualText
from huitong.portal.accounts import models
from huitong.portal.stores import DjangoDivisions, Stores

TODAY = date(2026, 3, 2)


def test_all_divisions_of_guizhou_are_loaded_in_under_two_seconds_of_work(stores: Stores) -> None:
    shipped = load_divisions()
    divisions = list(shipped.every())
    began = time.process_time()
    assert stores.divisions.put_divisions(divisions) == len(divisions) >= 19_572
    assert time.process_time() - began < 2
    assert sorted(stores.divisions.tree().every(), key=lambda one: one.code) == sorted(divisions, key=lambda one: one.code)
    for code in (PROVINCE, CITY, COUNTY, "520102016000", "000000000000"):
        assert stores.divisions.codes_under(code, TODAY) == shipped.codes_under(code, TODAY)


def test_codes_under_goes_by_the_day(example: Example) -> None:
    divisions = example.stores.divisions
    assert divisions.codes_under(CITY, TODAY) == {CITY, COUNTY}
    assert divisions.codes_under(CITY, date(2022, 12, 31)) == frozenset()
    with example.stores.atomic():
        divisions.put_divisions([replace(DIVISIONS[2], valid_to=date(2026, 1, 1))])
    assert divisions.codes_under(CITY, date(2025, 12, 31)) == {CITY, COUNTY}
    assert divisions.codes_under(CITY, date(2026, 1, 1)) == {CITY}


def test_divisions_changed_by_another_process_are_seen_at_the_next_call(example: Example) -> None:
    here, elsewhere = example.stores.divisions, DjangoDivisions(example.stores.using)
    assert here.codes_under(PROVINCE, TODAY) == {PROVINCE, CITY, COUNTY}
    elsewhere.put_divisions([replace(DIVISIONS[1], code="520300000000", name="遵义市")])
    assert here.codes_under(PROVINCE, TODAY) == {PROVINCE, CITY, COUNTY, "520300000000"}


def test_asking_again_costs_one_statement(example: Example, queries: Callable[[], int]) -> None:
    example.stores.divisions.codes_under(PROVINCE, TODAY)
    queries()
    example.stores.divisions.codes_under(PROVINCE, TODAY)
    assert queries() == 1


def test_offices_come_out_as_they_were_put_in(example: Example) -> None:
    parties = example.stores.parties
    assert parties.office(CIVIL.id) == CIVIL
    assert parties.office("unknown") is None
    changed = replace(CIVIL, title=BilingualText(zh="民政厅", en="Civil"), superior=MEDICAL.id)
    with example.stores.atomic():
        parties.put_office(changed)
    assert parties.office(CIVIL.id) == changed


def test_offices_are_found_by_words_level_and_division(example: Example, queries: Callable[[], int]) -> None:
    parties = example.stores.parties
    county = replace(
        CIVIL,
        id="520102-civil-affairs",
        title=BilingualText(zh="南明区民政局", en="Civil Affairs of Nanming"),
        division=COUNTY,
        level=DivisionLevel.COUNTY,
        credit_code=credit_code(3),
        superior=CIVIL.id,
    )
    with example.stores.atomic():
        parties.put_office(county)
    assert parties.offices() == ([county, CIVIL, MEDICAL], 3)
    assert parties.offices(text="民政") == ([county, CIVIL], 2)
    assert parties.offices(text="CIVIL affairs") == ([county, CIVIL], 2)
    assert parties.offices(text="gz-") == ([CIVIL, MEDICAL], 2)
    assert parties.offices(text="%") == ([], 0)
    assert parties.offices(level=DivisionLevel.COUNTY) == ([county], 1)
    assert parties.offices(division=PROVINCE, limit=1, offset=1) == ([MEDICAL], 2)
    queries()
    parties.offices(text="民政")
    assert queries() == 2


def test_a_person_acts_in_the_posts_held_now(example: Example, using: str) -> None:
    parties = example.stores.parties
    assert list(parties.actors_of(REVIEWER.person)) == [REVIEWER]
    assert list(parties.actors_of("nobody")) == []
    second = models.Post.objects.using(using).create(
        id="li.na@second",
        account=models.Account.objects.using(using).get(username="li.na"),
        office_id=MEDICAL.id,
        created_at=NOON,
    )
    models.PostRole.objects.using(using).create(post=second, role=Role.ANALYST.value)
    assert [actor.post for actor in parties.actors_of("li.na")] == ["li.na@gz-civil-affairs", "li.na@second"]
    models.Post.objects.using(using).filter(id="li.na@gz-civil-affairs").update(ended_at=NOON)
    assert [actor.post for actor in parties.actors_of("li.na")] == ["li.na@second"]
    models.Account.objects.using(using).filter(username="li.na").update(is_active=False)
    assert list(parties.actors_of("li.na")) == []


def test_the_database_refuses_impossible_parties(example: Example, using: str) -> None:
    def refused(change: Callable[[], object]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic(using=using):
            change()

    divisions, offices = models.Division.objects.using(using), models.Office.objects.using(using)
    refused(lambda: divisions.filter(code=CITY).update(level="continent"))
    refused(lambda: divisions.filter(code=CITY).update(valid_to=date(2023, 1, 1)))
    refused(lambda: offices.filter(id=CIVIL.id).update(credit_code=MEDICAL.credit_code))
    refused(lambda: offices.filter(id=CIVIL.id).update(superior_id=CIVIL.id))
    refused(lambda: offices.filter(id=CIVIL.id).update(division_id="999999999999"))
    refused(lambda: models.PostRole.objects.using(using).create(post_id=ANALYST.post, role="analyst"))
    refused(lambda: models.PostRole.objects.using(using).create(post_id=ANALYST.post, role="emperor"))
