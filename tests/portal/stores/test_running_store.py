"""Uses that run, at rest: seen by every process, cancelled by one, forgotten when they are not seen any more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.portal.examples import NOON

from huitong.gateway.running import RunningUse
from huitong.portal.stores import Stores
from huitong.testing import MemoryStores

USE = RunningUse("q-1", "wang.wei", "wang.wei@gz-tax", "gz-tax", "poverty-relief", ("a.b", "c.d"), "query", NOON)
LATER = replace(USE, query="q-0", since=NOON + timedelta(seconds=1))
OTHER = replace(USE, query="q-2", office="gz-rural")
LONG = timedelta(seconds=35)


@pytest.fixture(params=["database", "memory"])
def either(request: pytest.FixtureRequest, stores: Stores) -> Stores | MemoryStores:
    """The store, and the one in memory that stands for it."""
    return stores if request.param == "database" else MemoryStores()


def test_uses_of_an_office_come_with_the_longest_running_first_until_they_end(either: Stores | MemoryStores) -> None:
    for use in (LATER, USE, OTHER):
        either.running.see(use, at=NOON, unseen_since=NOON - LONG)
    assert list(either.running.running("gz-tax", seen_since=NOON)) == [USE, LATER]
    assert list(either.running.running("gz-none", seen_since=NOON)) == []
    either.running.remove("q-1")
    either.running.remove("q-1")
    assert list(either.running.running("gz-tax", seen_since=NOON)) == [LATER]


def test_who_cancelled_first_stays_also_when_the_use_is_seen_again(either: Stores | MemoryStores) -> None:
    either.running.see(USE, at=NOON, unseen_since=NOON - LONG)
    assert either.running.cancelled_by("q-1") is None
    for by in ("li.na", "wang.wei"):
        either.running.cancel("q-1", by=by)
    either.running.see(USE, at=NOON + timedelta(seconds=10), unseen_since=NOON)
    assert either.running.cancelled_by("q-1") == "li.na"
    assert list(either.running.running("gz-tax", seen_since=NOON)) == [replace(USE, cancelled_by="li.na")]


def test_what_does_not_run_cannot_be_cancelled(either: Stores | MemoryStores) -> None:
    either.running.cancel("q-1", by="li.na")
    assert either.running.cancelled_by("q-1") is None
    either.running.see(USE, at=NOON, unseen_since=NOON - LONG)
    assert either.running.cancelled_by("q-1") is None


def test_what_was_not_seen_for_long_is_not_shown_and_is_forgotten(either: Stores | MemoryStores) -> None:
    either.running.see(USE, at=NOON, unseen_since=NOON - LONG)
    at = NOON + 2 * LONG
    assert list(either.running.running("gz-tax", seen_since=at - LONG)) == []
    either.running.see(LATER, at=at, unseen_since=at - LONG)
    assert list(either.running.running("gz-tax", seen_since=NOON)) == [LATER]
