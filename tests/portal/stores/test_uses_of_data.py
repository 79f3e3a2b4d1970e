"""Who used my office's data: the list comes with the fold from the ledger alone, is compared with it, and can be made anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from tests.portal.examples import ANALYST, CITY, CIVIL, HOUSEHOLDS, MEDICAL, PROVINCE, REVIEWER, Example

from huitong.errors import InputInvalid, Refused
from huitong.keystore import FileKeyStore
from huitong.ledger.cross_check import cross_check
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.uses import UseEnd
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.portal.audit import models as audit
from huitong.portal.stores import Stores
from huitong.sharing.used import UsesOfData, UsesSide, UsesWanted

pytestmark = pytest.mark.slow

START = datetime(2026, 3, 30, 2, tzinfo=UTC)
OFFICER = replace(REVIEWER, roles=frozenset({Role.DATA_OFFICER}))
REGULATOR = Actor("zhao", "赵", "zhao@bureau", "bureau", PROVINCE, frozenset({Role.REGULATOR}))


@dataclass
class House:
    """A ledger over a database, and whoever asks about uses."""

    stores: Stores
    ledger: Ledger
    sequencer: Sequencer
    asked: UsesOfData
    now: datetime = START

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def use(self, query: str, *, office: str = MEDICAL.id, failure: str | None = None, **more: Any) -> None:
        """An intent and its outcome, as a door writes them."""
        grant = {"grant": "G-1", "version": 1, "terms_hash": "0" * 64, "dataset": HOUSEHOLDS.id, "snapshot": 3, "mode": "rows"}
        body: Mapping[str, Any] = {
            "query": query,
            "actor": ANALYST.person,
            "office": office,
            "post": ANALYST.post,
            "purpose": "medical-security",
            "legal_basis": "Measures on medical assistance, article 9",
            "grants": [{**grant, "items": {"amount": "clear", "resident_id": "partial:first=3,last=4"}}],
            "door": "query",
        }
        intent = self.ledger.append(kind=EntryKind.USE_INTENT, body={**body, **more})
        found: dict[str, Any] = {"rows": 7, "result_hash": "0" * 64} if failure is None else {"failure": failure}
        outcome = {"query": query, "intent": intent.entry, **found, "duration_bucket": "up-to-1-s"}
        self.ledger.append(kind=EntryKind.USE_OUTCOME, body=outcome)

    def refuse(self, query: str, *datasets: str) -> None:
        body = {"query": query, "actor": ANALYST.person, "office": MEDICAL.id, "post": ANALYST.post, "purpose": "medical-security"}
        self.ledger.append(kind=EntryKind.USE_REFUSED, body={**body, "datasets": list(datasets), "reasons": ["no-grant"]})

    def queries(self, by: Actor, side: UsesSide, wanted: UsesWanted | None = None) -> list[str]:
        found, total = self.asked.uses(by=by, side=side, wanted=wanted or UsesWanted(), limit=100, offset=0)
        assert total == len(found)
        return [line.query for line in found]

    def codes(self) -> list[str]:
        return [reason.code for reason in cross_check(self.stores.ledger, self.stores.records) if reason.code.startswith("audit-use-of")]


@pytest.fixture
def house(example: Example, tmp_path: Path) -> House:
    stores = example.stores
    keystore = FileKeyStore(tmp_path / "keys")
    keystore.create()
    made: list[House] = []

    def clock() -> datetime:
        return made[0].clock()

    ledger = Ledger(stores.ledger, keystore, clock, origin="huitong.example/test", alarm_seconds=10, stop_seconds=300)
    sequencer = Sequencer(stores.ledger, keystore, clock, origin="huitong.example/test")
    tree = stores.divisions.tree()
    asked = UsesOfData(index=stores.use_index, parties=stores.parties, divisions=tree, clock=clock, time_zone="Asia/Shanghai")
    made.append(House(stores, ledger, sequencer, asked))
    return made[0]


def test_a_line_says_who_used_what_under_which_grant_and_how_it_ended(house: House) -> None:
    house.use("q-1")
    assert house.queries(OFFICER, UsesSide.PROVIDER) == [], "a use is listed once it is in the tree"
    house.sequencer.fold_all()
    (line,), total = house.asked.uses(by=OFFICER, side=UsesSide.PROVIDER, wanted=UsesWanted(), limit=10, offset=0)
    assert total == 1
    assert (line.query, line.dataset, line.office, line.person, line.post) == (
        "q-1", HOUSEHOLDS.id, MEDICAL.id, ANALYST.person, ANALYST.post,
    )  # fmt: skip
    assert (line.grant, line.version, line.snapshot, line.mode, line.door) == ("G-1", 1, 3, "rows", "query")
    assert line.items == (("amount", "clear"), ("resident_id", "partial:first=3,last=4"))
    assert (line.end, line.rows, line.duration, line.reasons) == (UseEnd.ANSWERED, 7, "up-to-1-s", ())
    assert line.legal_basis == "Measures on medical assistance, article 9"
    assert line.at < line.ended_at


def test_refused_and_failed_uses_are_listed_with_the_codes_why(house: House) -> None:
    house.use("q-1", failure="query-too-long")
    house.refuse("q-2", HOUSEHOLDS.id)
    house.sequencer.fold_all()
    found, _ = house.asked.uses(by=OFFICER, side=UsesSide.PROVIDER, wanted=UsesWanted(), limit=10, offset=0)
    assert [(line.query, line.end, line.reasons, line.rows) for line in found] == [
        ("q-2", UseEnd.REFUSED, ("no-grant",), None),
        ("q-1", UseEnd.FAILED, ("query-too-long",), None),
    ]


def test_an_outcome_that_is_folded_later_than_its_intent_finds_it(house: House) -> None:
    house.sequencer._batch = 1
    house.use("q-1")
    house.sequencer.fold_all()
    assert house.queries(OFFICER, UsesSide.PROVIDER) == ["q-1"]
    assert house.codes() == []


def test_an_office_sees_uses_of_its_own_data_and_its_own_uses_and_nothing_else(house: House) -> None:
    house.use("q-1")
    house.use("q-2", office="gz-other", grants=[{"grant": "G-2", "dataset": "other.hidden"}])
    house.refuse("q-3")
    house.sequencer.fold_all()
    assert house.queries(OFFICER, UsesSide.PROVIDER) == ["q-1"]
    assert house.queries(OFFICER, UsesSide.PROVIDER, UsesWanted(dataset="other.hidden")) == []
    assert house.queries(ANALYST, UsesSide.APPLICANT) == ["q-3", "q-1"]
    assert house.queries(ANALYST, UsesSide.APPLICANT, UsesWanted(office="gz-other")) == []
    assert house.queries(REGULATOR, UsesSide.REGULATOR) == ["q-1"]
    elsewhere = replace(REGULATOR, division=CITY)
    assert house.queries(elsewhere, UsesSide.REGULATOR) == [], "the province's data is not a city regulator's"


def test_a_use_of_two_offices_data_shows_each_its_own_alone(house: House) -> None:
    both = [{"grant": "G-1", "dataset": HOUSEHOLDS.id}, {"grant": "G-2", "dataset": "other.hidden"}]
    house.use("q-1", grants=both)
    house.sequencer.fold_all()
    found, total = house.asked.uses(by=OFFICER, side=UsesSide.PROVIDER, wanted=UsesWanted(), limit=10, offset=0)
    assert ([line.dataset for line in found], total) == ([HOUSEHOLDS.id], 1)


@pytest.mark.parametrize(("by", "side"), [(ANALYST, UsesSide.PROVIDER), (OFFICER, UsesSide.REGULATOR)])
def test_a_post_without_the_role_is_refused(house: House, by: Actor, side: UsesSide) -> None:
    with pytest.raises(Refused) as refusal:
        house.queries(by, side)
    assert refusal.value.reasons[0].code == "role-missing"


def test_uses_are_narrowed_by_days_of_the_instance_grant_and_end(house: House) -> None:
    house.use("q-1")  # 30 March, 10 o'clock in Shanghai
    house.now = datetime(2026, 3, 31, 16, 30, tzinfo=UTC)  # 1 April, half past midnight
    house.refuse("q-2", HOUSEHOLDS.id)
    house.sequencer.fold_all()
    march, april = date(2026, 3, 31), date(2026, 4, 1)
    assert house.queries(OFFICER, UsesSide.PROVIDER, house.asked.days(april, None)) == ["q-2"]
    assert house.queries(OFFICER, UsesSide.PROVIDER, house.asked.days(None, march)) == ["q-1"]
    assert house.queries(OFFICER, UsesSide.PROVIDER, UsesWanted(grant="G-1")) == ["q-1"]
    assert house.queries(OFFICER, UsesSide.PROVIDER, UsesWanted(end=UseEnd.REFUSED)) == ["q-2"]
    with pytest.raises(InputInvalid):
        house.asked.days(april, march)
    totals, count = house.asked.totals(by=OFFICER, side=UsesSide.PROVIDER, wanted=UsesWanted(), limit=10, offset=0)
    told = [(one.month, one.dataset, one.office, one.answered, one.refused, one.failed, one.rows) for one in totals]
    assert told == [
        ("2026-04", HOUSEHOLDS.id, MEDICAL.id, 0, 1, 0, 0),
        ("2026-03", HOUSEHOLDS.id, MEDICAL.id, 1, 0, 0, 7),
    ]
    assert count == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_useline SET rows = 1 WHERE query = 'q-1'",
        "DELETE FROM audit_useline WHERE query = 'q-1'",
        "UPDATE audit_useline SET place = 1000 WHERE query = 'q-1'",
    ],
)
def test_a_line_changed_by_hand_is_found_and_made_anew_from_the_ledger(house: House, change: str) -> None:
    house.use("q-1")
    house.use("q-2")
    house.sequencer.fold_all()
    assert house.codes() == []
    with connections[house.stores.using].cursor() as cursor:
        cursor.execute(change)
    assert set(house.codes()) == {"audit-use-of-data-altered"}
    assert house.stores.use_index.rebuild(house.stores.ledger.sequencer_lock) == 2  # type: ignore[attr-defined]
    assert house.codes() == []
    assert house.queries(OFFICER, UsesSide.PROVIDER) == ["q-2", "q-1"]


def test_doors_may_say_more_and_less_than_is_known_here(house: House) -> None:
    intent = house.ledger.append(kind=EntryKind.USE_INTENT, body={"query": "q-1", "grants": [{"dataset": HOUSEHOLDS.id, "new": [1]}, 7]})
    body = {"query": "q-1", "intent": intent.entry, "rows": "many", "records": {"a": 1}}
    house.ledger.append(kind=EntryKind.USE_OUTCOME, body=body)
    house.ledger.append(kind=EntryKind.USE_OUTCOME, body={"query": "q-2", "intent": "0" * 32})
    house.ledger.append(kind=EntryKind.USE_REFUSED, body={"query": "q\0-3" + "x" * 500, "datasets": "none", "reasons": None})
    house.sequencer.fold_all()
    assert house.queries(OFFICER, UsesSide.PROVIDER) == ["q-1"]
    assert audit.UseLine.objects.using(house.stores.using).count() == 2
    assert house.codes() == []


assert CIVIL.id == HOUSEHOLDS.provider
