"""Extracts and addresses at rest: both databases and the plain store in memory say the same."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from tests.portal.examples import ANALYST, HOUSEHOLDS, MEDICAL, NOON, Example, grant, request
from tests.portal.threads import at_once

from huitong.errors import Conflict, Reason
from huitong.model.delivery import Address, DeliveryMark, Extract, ExtractForm, ExtractState
from huitong.portal.delivery import models
from huitong.testing import MemoryStores

EXTRACT = Extract(
    id="x-1",
    dataset=HOUSEHOLDS.id,
    items=("resident_id", "户籍地"),
    form=ExtractForm.PARQUET,
    purpose="poverty-relief",
    office=ANALYST.office,
    person=ANALYST.person,
    post=ANALYST.post,
    grant=grant().id,
    grant_version=1,
    terms_hash="a" * 64,
    snapshot=3,
    fingerprint="b" * 64,
    asked_at=NOON,
    rows_expected=5_000_000_000,
)
READY = replace(
    EXTRACT, state=ExtractState.READY, attempts=1, rows=5, bytes=6_000_000_000, sha256="c" * 64, query="q-1", ready_at=NOON
)
ADDRESS = Address(
    id="a-1",
    extract="x-1",
    grant=EXTRACT.grant,
    grant_version=1,
    office=EXTRACT.office,
    person=ANALYST.person,
    post=ANALYST.post,
    issued_at=NOON,
    expires_at=NOON + timedelta(minutes=15),
)


@pytest.fixture
def both(example: Example) -> list[Any]:
    with example.stores.atomic():
        example.stores.sharing.add_request(request())
        example.stores.sharing.add_grant(grant())
    return [example.stores, MemoryStores()]


def put(stores: Any, *extracts: Extract) -> None:
    with stores.atomic():
        for extract in extracts:
            stores.delivery.add_extract(extract)


def test_an_extract_comes_out_as_it_was_put_in(both: list[Any]) -> None:
    for stores in both:
        put(stores, EXTRACT)
        assert stores.delivery.extract("x-1") == EXTRACT
        with stores.atomic():
            stores.delivery.change_extract(READY, expected_state=ExtractState.WAITING)
        assert stores.delivery.extract("x-1") == READY
        assert stores.delivery.extract("x-2") is stores.delivery.extract("x\x00") is stores.delivery.extract("\ud800") is None


def test_reasons_come_out_as_they_were_put_in(both: list[Any]) -> None:
    failed = replace(EXTRACT, state=ExtractState.FAILED, reasons=(Reason("extract-too-many-rows", {"rows": 7}), Reason("post-ended")))
    for stores in both:
        put(stores, failed)
        assert stores.delivery.extract("x-1") == failed


def test_a_key_has_one_extract_that_stands(both: list[Any]) -> None:
    for stores in both:
        put(stores, EXTRACT)
        with pytest.raises(Conflict), stores.atomic():
            stores.delivery.add_extract(replace(EXTRACT, id="x-2"))
        put(stores, replace(EXTRACT, id="x-3", form=ExtractForm.CSV), replace(EXTRACT, id="x-4", fingerprint="d" * 64))
        assert stores.delivery.same_extract(EXTRACT.key) == EXTRACT
        with stores.atomic():
            stores.delivery.change_extract(replace(EXTRACT, state=ExtractState.FAILED), expected_state=ExtractState.WAITING)
        assert stores.delivery.same_extract(EXTRACT.key) is None
        put(stores, replace(EXTRACT, id="x-2"))
        assert stores.delivery.same_extract(EXTRACT.key).id == "x-2"


def test_a_change_from_another_state_is_none(both: list[Any]) -> None:
    for stores in both:
        put(stores, EXTRACT)
        with pytest.raises(Conflict) as caught, stores.atomic():
            stores.delivery.change_extract(READY, expected_state=ExtractState.RUNNING)
        assert caught.value.reasons[0].code == "extract-moved"
        assert stores.delivery.extract("x-1") == EXTRACT


def test_progress_is_noted_of_what_runs_alone(both: list[Any]) -> None:
    for stores in both:
        put(stores, EXTRACT, replace(EXTRACT, id="x-2", state=ExtractState.RUNNING, fingerprint="d" * 64))
        stores.delivery.progress("x-1", 9)
        stores.delivery.progress("x-2", 9)
        assert [stores.delivery.extract(name).rows for name in ("x-1", "x-2")] == [0, 9]


def test_lists_are_of_one_office_and_in_order(both: list[Any]) -> None:
    later = replace(EXTRACT, id="x-2", fingerprint="d" * 64, asked_at=NOON + timedelta(hours=1))
    ready = replace(READY, id="x-0", fingerprint="e" * 64, asked_at=NOON - timedelta(hours=1))
    for stores in both:
        put(stores, EXTRACT, later, ready)
        page, total = stores.delivery.extracts_of(ANALYST.office, limit=2)
        assert ([one.id for one in page], total) == (["x-2", "x-1"], 3)
        assert stores.delivery.extracts_of(ANALYST.office, limit=2, offset=2)[0] == [ready]
        assert stores.delivery.extracts_of("gz-nobody") == ([], 0)
        assert [one.id for one in stores.delivery.extracts_in((ExtractState.WAITING,))] == ["x-1", "x-2"]
        assert stores.delivery.extracts_in((ExtractState.WAITING,), office=MEDICAL.id if MEDICAL.id != ANALYST.office else "x") == []


def test_an_address_is_marked_once_for_each_thing_that_happens(both: list[Any]) -> None:
    for stores in both:
        put(stores, READY)
        with stores.atomic():
            stores.delivery.add_address(ADDRESS)
        assert stores.delivery.address("a-1") == ADDRESS
        with stores.atomic():
            first = [stores.delivery.mark_address("a-1", mark) for mark in (DeliveryMark.BEGUN, DeliveryMark.BEGUN, DeliveryMark.CUT)]
        assert first == [True, False, True]
        assert stores.delivery.address("a-1").marks == {DeliveryMark.BEGUN, DeliveryMark.CUT}


def test_addresses_are_forgotten_when_their_time_is_long_over(both: list[Any]) -> None:
    for stores in both:
        put(stores, READY)
        with stores.atomic():
            stores.delivery.add_address(ADDRESS)
            stores.delivery.mark_address("a-1", DeliveryMark.BEGUN)
            assert stores.delivery.forget_addresses(ADDRESS.expires_at) == 0
            assert stores.delivery.forget_addresses(ADDRESS.expires_at + timedelta(seconds=1)) == 1
        assert stores.delivery.address("a-1") is None


def test_of_two_who_ask_at_once_one_makes_it(example: Example) -> None:
    stores = example.stores
    with stores.atomic():
        stores.sharing.add_request(request())
        stores.sharing.add_grant(grant())

    def ask(name: str) -> str:
        try:
            with stores.atomic():
                stores.delivery.add_extract(replace(EXTRACT, id=name))
        except Conflict:
            return "there is one"
        return name

    found = at_once(stores.using, lambda: ask("x-1"), lambda: ask("x-2"))
    assert sorted(map(str, found)) in (["there is one", "x-1"], ["there is one", "x-2"])


def test_the_database_itself_holds_what_must_hold(both: list[Any]) -> None:
    stores = both[0]
    put(stores, EXTRACT)
    for broken in ({"state": "made"}, {"state": "ready", "ready_at": None}, {"form": "xlsx"}, {"state": "removed", "removed_at": None}):
        with pytest.raises(IntegrityError), transaction.atomic(using=stores.using):
            models.Extract.objects.using(stores.using).filter(id="x-1").update(**broken)
