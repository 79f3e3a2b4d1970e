"""The real tables read in long ranges by several processes: the same verdict on both databases, for every damage that is let through."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connections
from tests.portal.stores.dying_reader import Dying

from huitong.keystore import FileKeyStore
from huitong.ledger import ranges
from huitong.ledger.audit import audit
from huitong.ledger.log import Ledger
from huitong.ledger.ranges import range_levels, sound_until
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind
from huitong.portal.stores import Stores

pytestmark = pytest.mark.slow
ORIGIN = "huitong.example/test"
SIZE = 150


def clock() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def vkey(stores: Stores, tmp_path: Path) -> str:
    """The key of a ledger of 150 entries under four checkpoints."""
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    ledger = Ledger(stores.ledger, keys, clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    with stores.atomic():
        ledger.append_all([(EntryKind.OPERATOR_ACTION, {"act": f"checked {number}"}) for number in range(SIZE)])
    Sequencer(stores.ledger, keys, clock, origin=ORIGIN, batch=40).fold_all()
    return ledger.vkey()


def change(using: str, statement: str) -> None:
    """As somebody does who owns the database: without the triggers that refuse it."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "sqlite":
            for table in ("entry", "node", "checkpoint"):
                cursor.execute(f"DROP TRIGGER IF EXISTS audit_{table}_never_changed")
            cursor.execute(statement)
        else:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement)
        assert cursor.rowcount > 0, "the test changed nothing"
        if connections[using].vendor != "sqlite":
            cursor.execute("SET session_replication_role = origin")


DAMAGES = {
    "nothing": None,
    "kind": """UPDATE audit_entry SET kind = 'no-such-kind' WHERE "index" = 70""",
    "gone": """DELETE FROM audit_entry WHERE "index" = 70""",
    "node": """UPDATE audit_node SET hash = substr(hash, 2) WHERE level = 4 AND "index" = 3""",
    "upper node": """DELETE FROM audit_node WHERE level = 6 AND "index" = 1""",
    "head": "DELETE FROM audit_checkpoint WHERE size = 150",
}
HARMLESS = {"nothing", "no instant", "a number for an instant"}
ONLY_SQLITE = {
    "text of another type": """UPDATE audit_entry SET payload = CAST(payload AS TEXT) WHERE "index" = 70""",
    "signature of another type": """UPDATE audit_entry SET signature = 'none' WHERE "index" = 70""",
    "no instant": """UPDATE audit_entry SET at = 'yesterday' WHERE "index" = 70""",
    "a number for an instant": """UPDATE audit_entry SET at = 7 WHERE "index" = 70""",
}


@pytest.mark.parametrize("what", [*DAMAGES, *ONLY_SQLITE])
def test_both_ways_report_the_same(stores: Stores, using: str, vkey: str, what: str) -> None:
    if what in ONLY_SQLITE and connections[using].vendor != "sqlite":
        return  # a strict type of the database refuses it
    statement = {**DAMAGES, **ONLY_SQLITE}[what]
    if statement is not None:
        change(using, statement)
    slow = audit(stores.ledger, [vkey], tree_only=True)
    fast = audit(stores.ledger, [vkey], tree_only=True, reader=stores.tree_reader(), processes=1, range_levels=4)
    assert fast == slow
    assert slow.ok is (what in HARMLESS)  # the audit of the tree looks at no instants


def test_several_processes_share_the_work_and_tell_how_far_they_are(stores: Stores, vkey: str) -> None:
    seen: list[tuple[int, int]] = []

    def told(done: int, total: int) -> None:
        seen.append((done, total))

    reader = stores.tree_reader()
    report = audit(stores.ledger, [vkey], tree_only=True, reader=reader, processes=2, range_levels=4, progress=told)
    assert (report.ok, report.size, report.checkpoints) == (True, SIZE, 4)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (len(seen), seen[-1]) == (10, (SIZE, SIZE))


def test_what_a_process_did_not_finish_is_not_sound(stores: Stores, vkey: str) -> None:
    assert vkey
    assert sound_until(Dying(stores.tree_reader()), SIZE, processes=2, levels=4) == 64


def test_an_interrupt_ends_the_processes(stores: Stores, vkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vkey
    started: list[object] = []
    get: Callable[[str], object] = ranges.multiprocessing.get_context

    class Context:
        def __init__(self, kind: str) -> None:
            self.real = get(kind)
            self.Pipe = self.real.Pipe

        def Process(self, **how: object) -> object:
            started.append(self.real.Process(**how))
            return started[-1]

    monkeypatch.setattr(ranges.multiprocessing, "get_context", Context)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sound_until(stores.tree_reader(), SIZE, processes=2, levels=4, progress=interrupted)
    assert len(started) == 2
    assert not any(process.is_alive() for process in started)


def test_a_reader_shows_no_password(stores: Stores) -> None:
    reader = stores.tree_reader()
    assert reader is not None
    assert "secret" not in repr(replace(reader, database={**reader.database, "PASSWORD": "secret"}))
    assert range_levels() >= 10
