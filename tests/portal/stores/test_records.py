"""What was changed or removed by hand in the database is found: by the audit against the ledger, and before the next use."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connections
from tests.portal.examples import ANALYST, CITY, HOUSEHOLDS, REVIEWER, Example, snapshot

from huitong.errors import LedgerBroken
from huitong.keystore import FileKeyStore
from huitong.ledger.audit import audit
from huitong.ledger.cross_check import cross_check
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind
from huitong.model.policy import Grant, GrantState
from huitong.model.pseudonym import RenewalCause
from huitong.portal.stores import Stores
from huitong.sharing.actions import SharingActions
from huitong.sharing.parts import SharingParts
from huitong.sharing.pseudonyms import PseudonymActions
from huitong.testing import MemorySideTables

ORIGIN = "huitong.example/test"


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class House:
    """Stores with a ledger over them."""

    stores: Stores
    ledger: Ledger
    sequencer: Sequencer
    sharing: SharingActions
    pseudonyms: PseudonymActions | None = None

    def granted(self) -> Grant:
        """A request, agreed to, and prepared."""
        wish = self.sharing.wish(
            HOUSEHOLDS.id,
            purpose="medical-security",
            legal_basis="Measures on medical assistance, article 9",
            items=[(item.name, None) for item in HOUSEHOLDS.items],
            until=(wall_clock() + timedelta(days=100)).date(),
            division=CITY,
        )
        request = self.sharing.approve(self.sharing.submit(wish, by=ANALYST).id, by=REVIEWER)
        grant = self.sharing.grant_of(request)
        assert grant is not None
        return self.sharing.prepare(grant.id)

    def use(self, query: str) -> None:
        """The record of a use, as the gateway writes it."""
        intent = self.ledger.append(kind=EntryKind.USE_INTENT, body={"query": query})
        self.stores.uses.remember(query=query, actor=ANALYST, entries=[intent.entry], at=intent.at)

    def by_hand(self, statement: str, *values: object) -> None:
        """Somebody who owns the database lifts its guards and changes it."""
        connection = connections[self.stores.using]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET session_replication_role = replica")
            else:
                cursor.execute("PRAGMA foreign_keys = OFF")
                cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                for (name,) in cursor.fetchall():
                    cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute(statement, list(values))
            if connection.vendor == "postgresql":
                cursor.execute("SET session_replication_role = DEFAULT")

    def codes(self) -> list[str]:
        """What the cross-check finds."""
        return [reason.code for reason in cross_check(self.stores.ledger, self.stores.records)]


@pytest.fixture
def house(example: Example, tmp_path: Path) -> House:
    stores = example.stores
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create()
    ledger = Ledger(stores.ledger, keystore, wall_clock, origin=ORIGIN, alarm_seconds=10, stop_seconds=300)
    sharing = SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=ledger,
        divisions=stores.divisions,
        side_tables=MemorySideTables(),
        pseudonym_epochs=stores.pseudonym_epochs,
        clock=wall_clock,
        time_zone="Asia/Shanghai",
    )
    parts = {field.name: getattr(sharing, field.name) for field in fields(SharingParts)}
    pseudonyms = PseudonymActions(**parts, make_key=lambda number: None)
    return House(stores, ledger, Sequencer(stores.ledger, keystore, wall_clock, origin=ORIGIN), sharing, pseudonyms)


@pytest.fixture
def lived(house: House) -> House:
    """A snapshot, a grant that is used, one that was revoked, a use; all folded."""
    house.sharing.take_snapshot(snapshot(1), by=REVIEWER)
    house.granted()
    house.sharing.revoke(house.granted().id, by=REVIEWER, words="目的已完成。")
    house.use("q-1")
    house.sequencer.fold_all()
    return house


def test_what_was_done_by_the_rules_agrees_with_the_ledger(lived: House) -> None:
    assert lived.codes() == []
    lived.granted()
    lived.use("q-2")
    assert lived.codes() == [], "what waits to be folded counts too"


CHANGES = [
    ("UPDATE sharing_grant SET rows_item = NULL, rows_division = NULL", ["audit-grant-altered"] * 2),
    ("UPDATE sharing_grant SET terms_hash = 'aa' WHERE state = 'active'", ["audit-grant-altered"]),
    (
        "UPDATE sharing_grant SET state = 'active', revoked_at = NULL, revoked_because = NULL WHERE state = 'revoked'",
        ["audit-grant-state"],
    ),
    ("UPDATE sharing_grant SET items = '[{}]' WHERE state = 'active'", ["audit-grant-altered"]),
    ("DELETE FROM sharing_grant WHERE state = 'revoked'", ["audit-grant-missing"]),
    ("UPDATE sharing_request SET state = 'refused'", ["audit-request-state"] * 2),
    ("DELETE FROM sharing_request", ["audit-request-missing"] * 2),
    ("UPDATE catalog_snapshot SET source_hash = 'x'", ["audit-snapshot-altered"]),
    ("UPDATE catalog_snapshot SET version = 2", ["audit-snapshot-unrecorded", "audit-snapshot-missing"]),
    ("DELETE FROM audit_useentry", ["audit-use-without-entries"]),
    ("UPDATE audit_useentry SET entry = 'ff'", ["audit-use-unrecorded"]),
]


@pytest.mark.parametrize(("statement", "expected"), CHANGES)
def test_a_table_changed_by_hand_is_named(lived: House, statement: str, expected: list[str]) -> None:
    lived.by_hand(statement)
    assert lived.codes() == expected


@pytest.fixture
def renewed(lived: House) -> House:
    """A linkage group whose tokens were renewed once, under a second key."""
    lived.pseudonyms.renew(lived.pseudonyms.groups()[0].epoch.linkage_group, by={"by": "shi"}, cause=RenewalCause.TOKENS_LEAKED, key=2)
    return lived


def test_key_epochs_of_pseudonyms_are_those_that_the_ledger_tells(renewed: House) -> None:
    assert renewed.codes() == [], "before it is folded"
    renewed.sequencer.fold_all()
    assert renewed.codes() == []
    assert len(renewed.stores.pseudonym_epochs.epochs()) == 2


EPOCHS_CHANGED = [
    ("UPDATE sharing_keyepoch SET key = 1 WHERE number = 2", ["audit-key-epoch-altered"]),
    ("UPDATE sharing_keyepoch SET began_at = '2026-01-01 00:00:00+00:00' WHERE number = 2", ["audit-key-epoch-altered"]),
    ("UPDATE sharing_keyepoch SET key = 2 WHERE number = 1", ["audit-key-epoch-altered"]),
    ("UPDATE sharing_keyepoch SET number = 3 WHERE number = 2", ["audit-key-epoch-unrecorded", "audit-key-epoch-missing"]),
    ("DELETE FROM sharing_keyepoch WHERE number = 2", ["audit-key-epoch-missing"]),
    ("DELETE FROM sharing_keyepoch", ["audit-key-epoch-missing"] * 2),
    (
        "INSERT INTO sharing_keyepoch (linkage_group, number, key, began_at) SELECT linkage_group, 3, 2, began_at FROM sharing_keyepoch"
        " WHERE number = 2",
        ["audit-key-epoch-unrecorded"],
    ),
    ("INSERT INTO sharing_keyepoch (linkage_group, number, key) VALUES ('another', 1, 3)", ["audit-key-epoch-unrecorded"]),
    ("INSERT INTO sharing_keyepoch (linkage_group, number, key) VALUES ('another', 1, 2)", []),
]


@pytest.mark.parametrize(("statement", "expected"), EPOCHS_CHANGED)
def test_a_key_epoch_changed_by_hand_is_named(renewed: House, statement: str, expected: list[str]) -> None:
    renewed.by_hand(statement)
    assert renewed.codes() == expected


def test_an_end_of_the_ledger_cut_off_whole_leaves_records_without_entries(house: House) -> None:
    house.sharing.take_snapshot(snapshot(1), by=REVIEWER)
    house.sequencer.fold_all()
    size = house.stores.ledger.size()
    house.granted()
    house.use("q-1")
    house.sequencer.fold_all()
    house.by_hand("DELETE FROM audit_checkpoint WHERE size > %s", size)
    house.by_hand('DELETE FROM audit_entry WHERE "index" >= %s', size)
    house.by_hand('DELETE FROM audit_node WHERE (("index" + 1) << level) > %s', size)
    assert audit(house.stores.ledger, house.ledger.vkeys()).ok, "the tree alone cannot show it"
    assert house.codes() == ["audit-grant-unrecorded", "audit-request-unrecorded", "audit-use-unrecorded"]


@pytest.mark.parametrize("kind", [EntryKind.GRANT_MADE, EntryKind.REQUEST_SUBMITTED, EntryKind.USE_INTENT])
def test_a_waiting_entry_that_was_removed_is_missed(house: House, kind: EntryKind) -> None:
    grant = house.granted()
    house.use("q-1")
    if kind is EntryKind.USE_INTENT:
        expected = "audit-use-unrecorded"
    elif kind is EntryKind.GRANT_MADE:
        house.by_hand("DELETE FROM audit_pending WHERE kind = 'grant-activated'")
        expected = "audit-grant-unrecorded"
    else:
        house.by_hand("DELETE FROM audit_pending WHERE kind = 'request-approved'")
        expected = "audit-request-unrecorded"
    house.by_hand("DELETE FROM audit_pending WHERE kind = %s", kind.value)
    assert house.codes() == [expected]
    assert grant.state is GrantState.ACTIVE


def test_damaged_entries_do_not_stop_the_look_at_the_others(lived: House) -> None:
    lived.by_hand("UPDATE audit_entry SET kind = 'no-such-kind' WHERE kind = 'grant-made'")
    codes = lived.codes()
    assert codes == [], "what a grant became is told by a later entry too"
    lived.by_hand("UPDATE audit_entry SET kind = 'no-such-kind' WHERE kind = 'snapshot-taken'")
    assert lived.codes() == ["audit-snapshot-unrecorded"]
    assert not audit(lived.stores.ledger, lived.ledger.vkeys()).ok


def test_what_changes_between_two_looks_is_no_finding(lived: House) -> None:
    really = lived.stores.records
    granted: list[Grant] = []

    class Busy:
        """While the audit looks, a grant is made after the tables were read."""

        requests, snapshots, uses_without_entry = really.requests, really.snapshots, really.uses_without_entry
        reidentifications, uses_of_data, budgets = really.reidentifications, really.uses_of_data, really.budgets
        key_epochs = really.key_epochs

        def grants(self) -> object:
            kept = list(really.grants())
            if not granted:
                granted.append(lived.granted())
            return kept

    assert cross_check(lived.stores.ledger, Busy()) == ()  # type: ignore[arg-type]
    assert granted


ALTERED: list[Callable[[House], None]] = [
    lambda house: house.by_hand("UPDATE sharing_grant SET rows_item = NULL, rows_division = NULL"),
    lambda house: house.by_hand("UPDATE sharing_grant SET purpose = 'flood-warning'"),
    lambda house: house.by_hand("UPDATE sharing_grant SET items = '[{\"item\": \"amount\", \"mask\": {\"kind\": \"clear\"}}]'"),
    lambda house: house.by_hand("UPDATE sharing_grant SET items = '[{}]'"),
]


@pytest.mark.parametrize("alter", ALTERED)
def test_a_grant_changed_by_hand_carries_no_use(house: House, alter: Callable[[House], None]) -> None:
    grant = house.granted()
    for _ in range(2):
        assert house.stores.sharing.grants_of_office(ANALYST.office, [HOUSEHOLDS.id]) == [grant]
    alter(house)
    for _ in range(2):
        with pytest.raises(LedgerBroken) as caught:
            house.stores.sharing.grants_of_office(ANALYST.office, [HOUSEHOLDS.id])
        (reason,) = caught.value.reasons
        assert (reason.code, dict(reason.parameters)) == ("grant-altered", {"grant": grant.id, "dataset": HOUSEHOLDS.id})
    assert house.stores.sharing.grants_of_office(ANALYST.office, ["another.dataset"]) == []


def test_a_revoked_grant_that_was_changed_stops_no_other_use(house: House) -> None:
    grant = house.sharing.revoke(house.granted().id, by=REVIEWER, words="目的已完成。")
    house.by_hand("UPDATE sharing_grant SET purpose = 'flood-warning'")
    changed = replace(grant, terms=replace(grant.terms, purpose=replace(grant.terms.purpose, code="flood-warning")))
    assert house.stores.sharing.grants_of_office(ANALYST.office, [HOUSEHOLDS.id]) == [changed]


def test_a_budget_of_noised_totals_that_was_lowered_by_hand_is_found(house: House) -> None:
    """What was spent is the sum of what the ledger says of each use; an intent without an outcome counts in full."""
    granted = house.granted()
    accounts = (f"grant:{granted.id}", f"office:{granted.using_office}:{HOUSEHOLDS.id}")
    for query, told in (("q-7", 400_000), ("q-8", 0)):
        intent = house.ledger.append(
            kind=EntryKind.USE_INTENT,
            body={
                "query": query,
                "office": granted.using_office,
                "epsilon": 400_000,
                "grants": [{"grant": granted.id, "dataset": HOUSEHOLDS.id}],
            },
        )
        house.stores.uses.remember(query=query, actor=ANALYST, entries=[intent.entry], at=intent.at)
        if query == "q-8":
            house.ledger.append(kind=EntryKind.USE_OUTCOME, body={"query": query, "intent": intent.entry, "epsilon": told})
    with house.stores.atomic():
        for account in accounts:
            assert house.stores.budgets.take(account, 400_000, limit=1_000_000)
    assert "audit-noised-budget" not in house.codes()
    house.by_hand("UPDATE sharing_noisedbudget SET spent = 0")
    assert house.codes().count("audit-noised-budget") == len(accounts)
