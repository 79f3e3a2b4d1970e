"""The audit of the tree says the same whether it reads long ranges or one entry after the other, whatever was damaged."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.ledger_kit import Instance, SqliteLedgerStore

from huitong.ledger.audit import audit
from huitong.ledger.ranges import sound_until

pytestmark = pytest.mark.slow

MOST = 40


class KitReader:
    """TreeReader over the store of the kit."""

    def __init__(self, store: SqliteLedgerStore) -> None:
        self.store = store
        self.closed = False

    def texts(self, start: int, end: int) -> Sequence[bytes] | None:
        return [promise.payload for promise in self.store.entries(start, end)]

    def hashes(self, level: int, start: int, end: int) -> Sequence[bytes]:
        query = "SELECT hash FROM node WHERE level = ? AND place >= ? AND place < ? ORDER BY place"
        return [value for (value,) in self.store.database.execute(query, (level, start, end))]

    def close(self) -> None:
        self.closed = True


def built(sizes: Sequence[int]) -> Instance:
    instance = Instance()
    for size in sizes:
        for number in range(size):
            instance.act(number)
        instance.sequencer.fold_once()
    return instance


SOUND: dict[tuple[int, ...], Instance] = {}
DAMAGES: dict[str, str] = {
    "text": "UPDATE entry SET payload = CAST(replace(payload, 'checked', 'chucked') AS BLOB) WHERE place = :a",
    "kind": "UPDATE entry SET kind = 'no-such-kind' WHERE place = :a",
    "entry gone": "DELETE FROM entry WHERE place = :a",
    "other text": "UPDATE entry SET payload = (SELECT payload FROM entry WHERE place = :b) WHERE place = :a",
    "node": "UPDATE node SET hash = zeroblob(32) WHERE level = :l AND place = :a >> :l",
    "short node": "UPDATE node SET hash = substr(hash, 2) WHERE level = :l AND place = :a >> :l",
    "node gone": "DELETE FROM node WHERE level = :l AND place = :a >> :l",
    "other node": "UPDATE node SET hash = (SELECT hash FROM node WHERE level = 0 AND place = :b) WHERE level = :l AND place = :a >> :l",
    "node beyond": "INSERT OR IGNORE INTO node VALUES (:l, :a + 50, zeroblob(32))",
    "head": "UPDATE checkpoint SET root = zeroblob(32) WHERE size >= :a",
    "head gone": "DELETE FROM checkpoint WHERE size >= :a",
    "other size": "UPDATE OR IGNORE checkpoint SET size = :b WHERE size = (SELECT min(size) FROM checkpoint WHERE size >= :a)",
    "text and leaf": "UPDATE entry SET payload = CAST(replace(payload, 'checked', 'chucked') AS BLOB) WHERE place >= :a",
}


def copied(sizes: tuple[int, ...]) -> tuple[SqliteLedgerStore, Instance]:
    """A ledger of these folds that may be damaged."""
    if sizes not in SOUND:
        SOUND[sizes] = built(sizes)
    store = SqliteLedgerStore()
    SOUND[sizes].store.database.backup(store.database)
    return store, SOUND[sizes]


damage = st.fixed_dictionaries(
    {"what": st.sampled_from(sorted(DAMAGES)), "a": st.integers(0, MOST), "b": st.integers(0, MOST), "l": st.integers(0, 6)}
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    sizes=st.sampled_from([(), (1,), (5, 1, 7, 3), (16, 16), (3, 13, 1, 1, 20), (MOST,), (8,) * 4]),
    damages=st.lists(damage, max_size=3),
    levels=st.integers(0, 5),
)
def test_both_ways_report_the_same(sizes: tuple[int, ...], damages: list[dict[str, Any]], levels: int) -> None:
    store, instance = copied(sizes)
    for one in damages:
        values = {name: value for name, value in one.items() if f":{name}" in DAMAGES[one["what"]]}
        store.database.execute(DAMAGES[one["what"]], values)
    reader = KitReader(store)
    slow = audit(store, [instance.vkey], tree_only=True)
    fast = audit(store, [instance.vkey], tree_only=True, reader=reader, processes=1, range_levels=levels)
    assert fast == slow
    assert reader.closed
    store.close()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=st.integers(1, MOST), place=st.integers(0, MOST - 1), level=st.integers(0, 5), levels=st.integers(0, 5))
def test_what_is_called_sound_holds_nothing_wrong(size: int, place: int, level: int, levels: int) -> None:
    store, _ = copied((size,))
    assert sound_until(KitReader(store), size, processes=1, levels=levels) == size
    done = store.database.execute("UPDATE node SET hash = zeroblob(32) WHERE level = ? AND place = ?", (level, place >> level))
    sound = sound_until(KitReader(store), size, processes=1, levels=levels)
    assert sound == size if not done.rowcount else sound < ((place >> level) + 1) << level
    store.close()


def test_the_full_audit_reads_every_entry_by_itself() -> None:
    store, instance = copied((5, 1, 7, 3))
    store.database.execute("UPDATE entry SET signature = zeroblob(64) WHERE place = 5")
    codes = [fault.code for fault in audit(store, [instance.vkey], reader=KitReader(store)).faults]
    assert codes == ["audit-signature-changed"]
