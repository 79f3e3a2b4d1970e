"""Uses of a grant with a quota, counted in a database: processes together never exceed a limit, and a killed one gives back what it
told to nobody."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connections
from tests.portal.examples import NOON, Example, answer, grant, request

import huitong
from huitong.errors import Refused
from huitong.model.policy import Grant, GrantState, Quota, QuotaPeriod, SubjectRows
from huitong.model.sharing import RequestEventKind
from huitong.portal.stores import Stores
from huitong.sharing.quotas import Amounts, Quotas, Reservation, UseKind

DAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 4, tzinfo=UTC)


def limited(**limits: int) -> Grant:
    found = grant()
    return replace(found, terms=replace(found.terms, quota=Quota(QuotaPeriod.DAY, **limits)))


@pytest.fixture
def stores(example: Example) -> Stores:
    with example.stores.atomic():
        example.stores.sharing.add_request(request())
        example.stores.sharing.add_grant(grant())
    return example.stores


@pytest.fixture
def quotas(stores: Stores) -> Quotas:
    return Quotas(store=stores.quotas, transactions=stores.transactions, time_zone="Asia/Shanghai")


def test_what_is_used_comes_out_as_it_was_put_in(stores: Stores) -> None:
    store = stores.quotas
    until = AT + timedelta(seconds=70)
    with stores.atomic():
        store.lock("G-000001")
        store.add("G-000001", DAY, Amounts(5, 1, 0))
        store.add("G-000001", DAY, Amounts(2**40, 1, 3))
        store.add("G-000001", DAY - timedelta(days=1), Amounts(1, 1, 1))
        store.put(Reservation("q-1", "G-000001", DAY, Amounts(7, 1, 0), until), at=AT)
    whole = Amounts(2**40 + 12, 3, 3)
    assert store.used("G-000001", since=DAY, at=AT) == whole
    assert store.used("G-000001", since=None, at=AT) == Amounts(whole.rows + 1, 4, 4)
    assert store.used("G-000001", since=DAY, at=until) == replace(whole, rows=whole.rows - 7)
    assert store.used("G-000001", since=DAY + timedelta(days=1), at=AT) == Amounts()
    assert store.used("G-unknown", since=None, at=AT) == Amounts()
    with stores.atomic():
        assert store.take("q-1", "G-000001", at=AT) == Reservation("q-1", "G-000001", DAY, Amounts(7, 1, 0), until)
        assert store.take("q-1", "G-000001", at=AT) is None


def test_a_reservation_that_is_over_is_folded_into_its_day(stores: Stores) -> None:
    store = stores.quotas
    until = AT + timedelta(seconds=70)
    with stores.atomic():
        store.put(Reservation("q-1", "G-000001", DAY, Amounts(7, 1, 0), until), at=AT)
        store.put(Reservation("q-2", "G-000001", DAY, Amounts(9, 0, 1), until), at=AT)
        assert store.take("q-2", "G-000001", at=until) is None
        store.put(Reservation("q-3", "G-000001", DAY, Amounts(1, 1, 0), until + timedelta(seconds=70)), at=until)
    assert store.used("G-000001", since=DAY, at=until) == Amounts(1, 2, 1)
    with stores.atomic():
        assert store.take("q-1", "G-000001", at=until) is None
        assert store.used("G-000001", since=DAY, at=until) == Amounts(1, 2, 1)


def at_the_same_time(using: str, count: int, act: Callable[[int], object]) -> list[object]:
    """Threads that start together, each with a connection of its own; what each gave or raised."""
    outcomes: list[object] = [None] * count
    gate = threading.Barrier(count)

    def run(place: int) -> None:
        try:
            gate.wait(10)
            outcomes[place] = act(place)
        except Exception as error:
            outcomes[place] = error
        finally:
            connections[using].close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def test_uses_at_the_same_time_never_exceed_a_limit_together(quotas: Quotas, using: str) -> None:
    one = limited(rows=10, queries=100)

    def use(place: int) -> int:
        given = quotas.reserve(query=f"q-{place}", grant=one, rows=3, seconds=10, at=AT)
        quotas.settle(query=f"q-{place}", grant=one, rows=given, at=AT)
        return given

    outcomes = at_the_same_time(using, 8, use)
    given = [outcome for outcome in outcomes if isinstance(outcome, int)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert sum(given) == 10
    assert len(given) + len(refused) == 8, outcomes
    assert quotas.store.used(one.id, since=DAY, at=AT) == Amounts(10, len(given), 0)


def test_calls_at_the_same_time_never_exceed_a_limit_together(quotas: Quotas, using: str) -> None:
    one = limited(calls=3)
    outcomes = at_the_same_time(
        using, 8, lambda place: quotas.reserve(query=f"c-{place}", grant=one, rows=0, seconds=1, at=AT, kind=UseKind.CALL)
    )
    assert outcomes.count(0) == 3, outcomes
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 5


RESERVER = """
import os, sys
from datetime import datetime
from pathlib import Path
from huitong.portal.wiring import start_django
from huitong.settings import Settings
start_django(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2]))
from dataclasses import replace
from huitong.model.policy import Quota, QuotaPeriod
from huitong.portal.stores import Stores
from huitong.sharing.quotas import Quotas
stores = Stores()
quotas = Quotas(store=stores.quotas, transactions=stores.transactions, time_zone="Asia/Shanghai")
grant = stores.sharing.grant("G-000001")
grant = replace(grant, terms=replace(grant.terms, quota=Quota(QuotaPeriod.DAY, rows=10)))
print(quotas.reserve(query="q-killed", grant=grant, rows=10, seconds=10, at=datetime.fromisoformat(sys.argv[3])), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_process_reserved_is_free_after_its_time(
    quotas: Quotas, using: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Until then nobody else gets it: the process might have told it."""
    from huitong.keystore import FileKeyStore

    FileKeyStore(tmp_path / "keys").create()
    on_sqlite = connections[using].vendor == "sqlite"
    file = connections[using].settings_dict["NAME"]
    url = f"sqlite:///{file}" if on_sqlite else request.getfixturevalue("postgresql_database")
    connections[using].close()
    environment = {"PYTHONPATH": str(Path(huitong.__file__).parent.parent)}
    command = [sys.executable, "-c", RESERVER, str(tmp_path), url, AT.isoformat()]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "10\n"
        process.kill()
        process.wait(10)
    one = limited(rows=10)
    with pytest.raises(Refused):
        quotas.reserve(query="q-2", grant=one, rows=1, seconds=10, at=AT + timedelta(seconds=69))
    assert quotas.reserve(query="q-2", grant=one, rows=100, seconds=10, at=AT + timedelta(seconds=70)) == 10
    assert quotas.store.used(one.id, since=DAY, at=AT + timedelta(seconds=70)) == Amounts(10, 2, 0)


def test_lists_of_subjects_are_needed_by_open_requests_and_usable_grants_alone(stores: Stores) -> None:
    def by(name: str) -> SubjectRows:
        return SubjectRows("resident_id", name, "d" * 64, 3)

    def needed(at: datetime = NOON) -> frozenset[str]:
        return stores.subject_uses.lists_in_use(at)

    assert needed() == frozenset()
    asked = request(7)
    wish = replace(asked.wish, subjects=by("asked"))
    endorsed = replace(answer(RequestEventKind.ENDORSED), wish=replace(wish, subjects=by("endorsed")))
    with stores.atomic():
        stores.sharing.add_request(replace(asked, wish=wish, events=(*asked.events, endorsed)))
    assert needed() == {"asked", "endorsed"}
    with stores.atomic():
        refused = answer(RequestEventKind.REFUSED)
        stores.sharing.append_event("R-000007", refused, expected_events=2)
    assert needed() == frozenset()
    for number, (name, state) in enumerate((("usable", GrantState.ACTIVE), ("prepared", GrantState.PREPARING)), start=2):
        one = replace(grant(number, state=state), terms=replace(grant().terms, subjects=by(name)))
        with stores.atomic():
            stores.sharing.add_grant(one)
    assert needed() == {"usable", "prepared"}
    assert needed(grant().terms.valid_until) == frozenset()


def test_the_worker_removes_lists_that_nobody_needs_any_more(stores: Stores, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from huitong.cli.serving import retain_subject_lists
    from huitong.lake.snapshots import Lake
    from huitong.lake.subject_lists import SubjectLists

    at = NOON + timedelta(days=60)
    lists = SubjectLists(tmp_path, lake=Lake(tmp_path, lambda: at), key=b"k" * 32, most=10, characters=40)
    needed, gone = (lists.keep([name], dataset="civil.household", item="resident_id") for name in ("a", "b"))
    for path in (tmp_path / "subjects").glob("*.parquet"):
        os.utime(path, times=(NOON.timestamp(),) * 2)
    with stores.atomic():
        stores.sharing.add_grant(replace(grant(5), terms=replace(grant().terms, subjects=needed)))
    inside = SimpleNamespace(platform=SimpleNamespace(subject_lists=lists), stores=stores)
    assert retain_subject_lists(inside, at) == 1
    assert lists.files(needed.subjects) and not lists.files(gone.subjects)
