"""Uses that come at the same time share one durable transaction, and each stands for itself all the same."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connections, transaction
from tests.portal.examples import ANALYST, Example

from huitong.errors import Conflict, HuitongError, InputInvalid, Unavailable
from huitong.keystore import FileKeyStore
from huitong.ledger import grouping
from huitong.ledger.audit import audit
from huitong.ledger.grouping import GroupedEntries, GroupLimits, group_limits
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind, Promise, UseOfEntry
from huitong.portal.stores import DjangoGroupStore, Stores

pytestmark = pytest.mark.slow
ORIGIN = "huitong.example/test"
INTENT, OUTCOME, REFUSED = EntryKind.USE_INTENT, EntryKind.USE_OUTCOME, EntryKind.USE_REFUSED
SCRIPT = Path(__file__).with_name("grouping_process.py")
ROOT = Path(__file__).parents[3]


class Watched(DjangoGroupStore):
    """The real store; the first commit waits until it is let go, so that a test knows who is in the next group."""

    def __init__(self, using: str) -> None:
        super().__init__(using)
        self.__dict__.update(sizes=[], begun=threading.Event(), go=threading.Event(), failure=None)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        self.begun.set()
        assert self.go.wait(30)
        with super().atomic():
            yield
            if self.failure is not None:
                raise self.failure

    def add_all(self, promises, uses) -> None:
        self.sizes.append(len(promises))
        super().add_all(promises, uses)


class Office:
    """A process with many threads that use data: a ledger in groups, on a database of its own."""

    def __init__(self, using: str, keystore: FileKeyStore) -> None:
        self.using = using
        self.now: datetime | None = None
        self.store = Watched(using)
        self.ledger = Ledger(Stores(using).ledger, keystore, self.clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
        self.entries = GroupedEntries(self.store, self.ledger)
        self.answers: dict[str, Promise | BaseException] = {}
        self.threads: list[threading.Thread] = []

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def use(self, query: str, kind: EntryKind = REFUSED, *, office: str = ANALYST.office, **body: object) -> Promise:
        use = UseOfEntry(query, ANALYST.person, ANALYST.post, office)
        return self.entries.append(kind=kind, body={"query": query, **body}, use=use)

    def ask(self, query: str, kind: EntryKind = REFUSED, **more: object) -> None:
        """The same in a thread of its own; what became of it is in `answers`."""

        def act() -> None:
            try:
                self.answers[query] = self.use(query, kind, **more)
            except BaseException as error:
                self.answers[query] = error
            finally:
                connections[self.using].close()

        self.threads.append(threading.Thread(target=act))
        self.threads[-1].start()

    def together(self, act: Callable[[], None], of: int) -> None:
        """One use leads and is held; `act` asks for `of` more, which therefore come as one group."""
        self.ask("first")
        assert self.store.begun.wait(30)
        act()
        until = time.monotonic() + 30
        while len(self.entries._waiting) < of:
            assert time.monotonic() < until
            time.sleep(0.001)
        self.finish()

    def finish(self) -> None:
        self.store.go.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def keystore(tmp_path: Path) -> FileKeyStore:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    return keys


@pytest.fixture
def office(example: Example, using: str, keystore: FileKeyStore) -> Office:
    assert example
    return Office(using, keystore)


def written(using: str) -> list[str]:
    return [promise.entry for promise in Stores(using).ledger.pending(100_000)]


def code_of(error: object) -> str:
    assert isinstance(error, HuitongError)
    return error.reasons[0].code


def test_those_who_come_while_one_is_written_are_written_together(office: Office, using: str) -> None:
    office.together(lambda: [office.ask(f"q-{number}") for number in range(12)], 12)
    assert office.store.sizes == [1, 12]
    assert {answer.entry for answer in office.answers.values()} == set(written(using))
    for query, answer in office.answers.items():
        assert list(Stores(using).uses.entries_of(query)) == [answer.entry]
        assert Stores(using).uses.office_of(query) == ANALYST.office


def test_a_group_is_no_larger_than_its_limit(office: Office) -> None:
    office.entries = GroupedEntries(office.store, office.ledger, limits=GroupLimits(10, 2, 5))
    office.together(lambda: [office.ask(f"q-{number}") for number in range(12)], 12)
    assert office.store.sizes == [1, 5, 5, 2]


def test_a_lone_caller_waits_for_nobody(office: Office) -> None:
    office.entries = GroupedEntries(office.store, office.ledger, limits=GroupLimits(60_000, 60_000, 256))
    office.store.go.set()
    began = time.monotonic()
    for number in range(10):
        office.use(f"q-{number}")
    assert office.store.sizes == [1] * 10
    assert time.monotonic() - began < 30


def test_a_busy_process_waits_at_most_ten_milliseconds(office: Office) -> None:
    assert group_limits().wait_milliseconds <= 10
    office.together(lambda: [office.ask(f"q-{number}") for number in range(8)], 8)
    now = [0.0]
    asked: list[float] = []

    def timer() -> float:
        asked.append(now[0])
        now[0] += 0.004
        return asked[-1]

    office.entries._timer = timer
    office.use("alone again")
    assert office.store.sizes == [1, 8, 1]
    assert len(asked) <= 4


def test_an_entry_that_cannot_be_written_harms_nobody_else(office: Office, using: str) -> None:
    def act() -> None:
        office.ask("good")
        office.ask("unplain", share=1.5)
        office.ask("unknown office", office="gz-nobody")
        office.ask("half a letter", office="\ud800")
        office.ask("also good")

    office.together(act, 5)
    told = {query: answer for query, answer in office.answers.items() if isinstance(answer, Promise)}
    assert sorted(told) == ["also good", "first", "good"]
    assert isinstance(office.answers["unplain"], InputInvalid)
    assert isinstance(office.answers["unknown office"], Conflict)
    assert isinstance(office.answers["half a letter"], InputInvalid)
    assert sorted(promise.entry for promise in told.values()) == sorted(written(using))
    assert list(Stores(using).uses.entries_of("unknown office")) == []


def test_a_database_that_fails_tells_everyone_and_keeps_nothing(office: Office, using: str) -> None:
    office.store.__dict__["failure"] = OperationalError("disk full")
    office.together(lambda: [office.ask(f"q-{number}") for number in range(6)], 6)
    assert {code_of(answer) for answer in office.answers.values()} == {"ledger-not-writable"}
    assert len({id(answer) for answer in office.answers.values()}) == 7
    assert {answer.reasons[0].parameters["query"] for answer in office.answers.values()} == set(office.answers)
    assert written(using) == []
    office.store.__dict__["failure"] = None
    assert [office.use("afterwards").entry] == written(using)


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(office: Office, using: str) -> None:
    office.store.__dict__["failure"] = KeyboardInterrupt()

    def act() -> None:
        for number in range(6):
            office.ask(f"q-{number}")

    office.together(act, 6)
    interrupted = [answer for answer in office.answers.values() if isinstance(answer, KeyboardInterrupt)]
    refused = [code_of(answer) for answer in office.answers.values() if not isinstance(answer, KeyboardInterrupt)]
    assert (len(interrupted), refused) == (2, ["ledger-not-writable"] * 5)
    office.store.__dict__["failure"] = None
    assert [office.use("afterwards").entry] == written(using)


def test_who_is_interrupted_while_it_waits_is_not_written_and_its_lead_goes_on(office: Office, using: str) -> None:
    class Interrupted:
        """What a thread waits for, and is interrupted instead."""

        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.lock.acquire()

        def acquire(self) -> None:
            self.lock.acquire()
            raise KeyboardInterrupt

        def release(self) -> None:
            self.lock.release()

    class Member(grouping._Member):
        def __init__(self, kind: EntryKind, body: dict, use: UseOfEntry | None) -> None:
            super().__init__(kind, body, use)
            if self.query in ("interrupted", "interrupted as it leads"):
                self.wake = Interrupted()

    def act() -> None:
        office.ask("interrupted as it leads")
        wait_for(1)
        office.ask("interrupted")
        wait_for(2)
        office.ask("patient")
        wait_for(3)
        office.entries._waiting[1].wake.release()
        office.threads[2].join(30)

    def wait_for(waiting: int) -> None:
        until = time.monotonic() + 30
        while len(office.entries._waiting) < waiting:
            assert time.monotonic() < until
            time.sleep(0.001)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "_Member", Member)
        office.together(act, 2)
    assert isinstance(office.answers["interrupted"], KeyboardInterrupt)
    assert isinstance(office.answers["interrupted as it leads"], KeyboardInterrupt)
    assert written(using) == [office.answers["first"].entry, office.answers["patient"].entry]


def test_an_entry_inside_a_transaction_stays_in_it(office: Office, using: str) -> None:
    office.store.go.set()
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
        office.use("undone")
        1 / 0  # noqa: B018
    assert written(using) == []
    with transaction.atomic(using=using):
        kept = office.use("kept")
    assert written(using) == [kept.entry]


def test_a_group_has_one_instant_and_none_lies_before_its_forerunner(office: Office, using: str) -> None:
    office.together(lambda: [office.ask(f"q-{number}") for number in range(6)], 6)
    instants = [promise.at for promise in Stores(using).ledger.pending(100)]
    assert instants == sorted(instants)
    assert len(set(instants)) == 2


def test_a_clock_behind_the_last_entry_refuses_the_whole_group(office: Office, using: str) -> None:
    office.store.go.set()
    office.use("now")
    office.store.go.clear()
    office.now = datetime.now(UTC) - timedelta(hours=1)
    office.store.begun.clear()
    office.together(lambda: [office.ask(f"q-{number}") for number in range(3)], 3)
    assert [code_of(answer) for answer in office.answers.values()] == ["ledger-clock-behind"] * 4
    assert len(written(using)) == 1


def test_when_nothing_is_folded_only_new_uses_are_refused(office: Office, using: str) -> None:
    office.store.go.set()
    intent = office.use("old", INTENT)
    office.store.go.clear()
    office.store.begun.clear()
    office.now = datetime.now(UTC) + timedelta(seconds=301)

    def act() -> None:
        office.ask("new", INTENT)
        office.ask("old", OUTCOME, intent=intent.entry)

    office.together(act, 2)
    assert code_of(office.answers["new"]) == "ledger-stalled"
    assert isinstance(office.answers["old"], Promise)


def test_a_forked_process_begins_with_nobody_waiting(office: Office, using: str) -> None:
    office.ask("first")
    assert office.store.begun.wait(30)
    office.ask("second")
    connections[using].close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: a fork beside threads is what is tried here
        child = os.fork()
    if not child:
        try:
            office.store.go.set()
            connections[using].close()
            office.use("of the child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    office.finish()
    assert len(written(using)) == 3


@pytest.mark.parametrize("processes", [1, 3])
def test_many_threads_at_once_leave_a_ledger_that_the_audit_finds_right(
    example: Example, using: str, keystore: FileKeyStore, processes: int
) -> None:
    assert example
    offices = [Office(using, keystore) for _ in range(processes)]
    for office in offices:
        office.store.go.set()

    def one(office: Office, name: str) -> Callable[[], None]:
        def uses() -> None:
            for number in range(6):
                query = f"{name}-{number}"
                intent = office.entries.append(kind=INTENT, body={"query": query})
                use = UseOfEntry(query, ANALYST.person, ANALYST.post, ANALYST.office, (intent.entry,))
                outcome = office.entries.append(kind=OUTCOME, body={"query": query, "intent": intent.entry}, use=use)
                office.answers[query] = outcome
                told[query] = [intent.entry, outcome.entry]
            connections[using].close()

        return uses

    told: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=one(office, f"p{place}-{number}"))
        for place, office in enumerate(offices)
        for number in range(24 // processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(told) == 24 * 6
    uses = Stores(using).uses
    assert {query: list(uses.entries_of(query)) for query in told} == told
    assert sum(len(office.store.sizes) for office in offices) < 2 * len(told)
    store = Stores(using).ledger
    assert Sequencer(store, keystore, lambda: datetime.now(UTC), origin=ORIGIN).fold_all() == 2 * len(told)
    report = audit(store, offices[0].ledger.vkeys())
    assert (report.ok, report.size, report.open_uses) == (True, 2 * len(told), 0)


def test_what_was_acknowledged_survives_a_kill(example: Example, using: str, keystore: FileKeyStore, tmp_path: Path, request) -> None:
    assert example
    sqlite = connections[using].vendor == "sqlite"
    url = f"sqlite:///{tmp_path / 'control.sqlite3'}" if sqlite else request.getfixturevalue("postgresql_database")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUITONG_", "DJANGO_"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    told: dict[str, str] = {}
    call = [sys.executable, str(SCRIPT), url, str(tmp_path / "keys"), "8"]
    with subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(150):
            entry, query = process.stdout.readline().split()
            told[query] = entry
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):
                entry, query = line.split()
                told[query] = entry
    assert len(told) >= 150
    stores = Stores(using)
    assert set(told.values()) <= set(written(using))
    assert all(list(stores.uses.entries_of(query)) == [entry] for query, entry in told.items())
    assert Sequencer(stores.ledger, keystore, lambda: datetime.now(UTC), origin=ORIGIN).fold_all() >= 150
    ledger = Ledger(stores.ledger, keystore, lambda: datetime.now(UTC), origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    assert audit(stores.ledger, ledger.vkeys()).ok


def test_limits_make_sense() -> None:
    for numbers in ((-1, 2, 5), (10, 0, 5), (10, 2, 0)):
        with pytest.raises(ValueError, match="a group has at least one entry"):
            GroupLimits(*numbers)


def test_a_caller_gets_its_own_copy_of_an_error(office: Office) -> None:
    office.store.__dict__["failure"] = Unavailable.because("ledger-stalled", seconds=1, limit=1)
    office.together(lambda: [office.ask(f"q-{number}") for number in range(3)], 3)
    assert len({id(answer) for answer in office.answers.values()}) == 4
    assert {code_of(answer) for answer in office.answers.values()} == {"ledger-stalled"}
