"""Many rows are put in by one statement, on both databases, and what cannot be kept is told as with one row."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connections
from tests.portal.examples import ANALYST, Example

from huitong.errors import Conflict, InputInvalid
from huitong.ledger.uses import UseEnd, UseOfData
from huitong.model.ledger import EntryKind, Promise, UseOfEntry
from huitong.portal.putting import USE_LINE, put_all
from huitong.portal.stores import DjangoLedgerStore, DjangoTransactions, Stores
from huitong.portal.use_index import DjangoUseIndex, columns_of

NOON = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
STATEMENTS_OF_A_GROUP = 7
"""Savepoint begun and ended, two questions, three kinds of rows: as many for two entries as for two hundred."""


def promises(count: int) -> list[Promise]:
    """Bytes of every value stand in payload and signature."""
    return [
        Promise(
            entry=f"{number:032x}",
            kind=EntryKind.USE_INTENT,
            at=NOON + timedelta(microseconds=number),
            payload=bytes(range(256)) + number.to_bytes(2, "big"),
            key_id="abcdef01",
            signature=bytes(reversed(range(64))),
        )
        for number in range(count)
    ]


def test_what_is_put_comes_back_byte_for_byte_in_its_order(using: str) -> None:
    told = promises(300)
    with DjangoTransactions(using).atomic():
        DjangoLedgerStore(using).add_all_pending(told)
    assert Stores(using).ledger.pending(1000) == told
    assert Stores(using).ledger.instants() == (told[-1].at, told[0].at)


@pytest.mark.parametrize("count", [2, 200])
def test_a_group_takes_as_many_statements_however_large_it_is(example: Example, using: str, queries: Callable[[], int], count: int) -> None:
    assert example
    told = promises(count)
    uses = [(UseOfEntry(f"q-{one.entry}", ANALYST.person, ANALYST.post, ANALYST.office), one) for one in told]
    with DjangoTransactions(using).atomic():
        queries()
        with Stores(using).groups.atomic():
            Stores(using).groups.add_all(told, uses)
        assert queries() == STATEMENTS_OF_A_GROUP
    assert [list(Stores(using).uses.entries_of(use.query)) for use, _ in uses] == [[one.entry] for one in told]


def test_a_text_that_the_database_cannot_hold_is_told_and_nothing_is_kept(using: str) -> None:
    good, bad = promises(2)
    only_postgresql = ["nothing \0", "x" * 65] if connections[using].vendor == "postgresql" else []
    for text in ["half \ud800", *only_postgresql]:
        with pytest.raises(InputInvalid), DjangoTransactions(using).atomic():
            DjangoLedgerStore(using).add_all_pending([good, replace(bad, key_id=text)])
        assert Stores(using).ledger.pending(10) == []


def test_an_entry_is_kept_once(using: str) -> None:
    (one,) = promises(1)
    with DjangoTransactions(using).atomic():
        DjangoLedgerStore(using).add_all_pending([one])
    with pytest.raises(Conflict), Stores(using).groups.atomic():
        Stores(using).groups.add_all([one], [])
    assert Stores(using).ledger.pending(10) == [one]


def test_values_that_are_missing_and_lists_come_back_as_they_were(using: str) -> None:
    bare = UseOfData(
        place=0,
        position=0,
        query="q-1",
        dataset="civil.household",
        office="gz-medical-security",
        person="li.na",
        post="analyst",
        purpose="subsidy-check",
        legal_basis="《社会救助暂行办法》",
        grant=None,
        version=None,
        snapshot=None,
        mode=None,
        door=None,
        end=UseEnd.REFUSED,
        at=NOON,
        ended_at=NOON,
        rows=None,
        duration=None,
        items=(),
        reasons=("grant-missing", "汇通"),
    )
    full = replace(bare, place=1, grant="g-1", version=1, snapshot=2**53 - 1, rows=0, items=(("name", "hide"), ("id", "")))
    put_all(using, USE_LINE, ([columns_of(line)[name] for name in USE_LINE.types] for line in (bare, full)))
    assert list(DjangoUseIndex(using).lines()) == [bare, full]
    with pytest.raises(IntegrityError):
        put_all(using, USE_LINE, [[columns_of(full)[name] for name in USE_LINE.types]])
