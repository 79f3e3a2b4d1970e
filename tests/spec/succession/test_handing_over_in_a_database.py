"""The same on the databases that are really used: one transaction moves all of it, and the audit of the tables agrees."""

from datetime import date, timedelta

import pytest
from tests.portal.examples import ANALYST, CITY, CIVIL, COUNTY, HOUSEHOLDS, MEDICAL, NOON, PROVINCE, REVIEWER, Example, credit_code

from huitong.catalog.ports import Facet
from huitong.catalog.publish import CatalogActions
from huitong.catalog.succession import read_changes
from huitong.keystore import FileKeyStore
from huitong.ledger.cross_check import cross_check
from huitong.ledger.log import Ledger
from huitong.model.party import Actor, DivisionLevel, Office, Role
from huitong.model.policy import GrantState
from huitong.model.text import BilingualText
from huitong.sharing.actions import SharingActions
from huitong.sharing.succession import SuccessionActions
from huitong.testing import MemoryClock, MemorySideTables

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

OPERATOR = Actor("root", "Root", f"root@{MEDICAL.id}", MEDICAL.id, PROVINCE, frozenset({Role.OPERATOR}))
HEALTH = Office("gz-health", BilingualText(zh="贵州省卫生健康委", en="Health"), PROVINCE, DivisionLevel.PROVINCE, credit_code(9))


class World:
    """The example's two offices and a third, acting over one database."""

    def __init__(self, stores, keys) -> None:
        self.stores, self.clock = stores, MemoryClock(NOON)
        keystore = FileKeyStore(keys)
        keystore.create()
        self.ledger = Ledger(stores.ledger, keystore, self.clock, origin="province.example/ledger", alarm_seconds=10**9, stop_seconds=10**9)
        common = {
            "catalog": stores.catalog,
            "parties": stores.parties,
            "transactions": stores.transactions,
            "epoch": stores.epoch,
            "ledger": self.ledger,
            "clock": self.clock,
            "time_zone": "Asia/Shanghai",
        }
        shared = {"sharing": stores.sharing, "divisions": stores.divisions}
        self.catalog = CatalogActions(**common)
        self.sharing = SharingActions(side_tables=MemorySideTables(), **shared, **common)
        self.succession = SuccessionActions(**shared, **common)

    def submit(self, until: date = date(2026, 12, 31)):
        items = [("户籍地", None), ("amount", None)]
        values = {"purpose": "social-assistance", "legal_basis": "社会救助暂行办法", "division": COUNTY}
        wish = self.sharing.wish(HOUSEHOLDS.id, items=items, until=until, **values)
        return self.sharing.submit(wish, by=ANALYST)

    def audit(self) -> list[str]:
        return [reason.code for reason in cross_check(self.stores.ledger, self.stores.records)]


@pytest.fixture
def world(stores, tmp_path) -> World:
    Example.put_into(stores)
    with stores.atomic():
        stores.parties.put_office(HEALTH)
    return World(stores, tmp_path / "keys")


def test_an_office_hands_over_and_the_audit_agrees(world: World) -> None:
    granted = world.sharing.approve(world.submit().id, by=REVIEWER)
    waiting = world.submit()
    old = world.sharing.grant_of(granted)
    assert old is not None and old.state is GrantState.ACTIVE and world.audit() == []
    world.clock.advance(hours=1)
    found = world.succession.succeed_office(MEDICAL.id, HEALTH.id, on=NOON.date(), words="黔编〔2026〕18号", by=OPERATOR)
    ((ended, begun),) = found.grants
    kept = world.stores.sharing.grant(begun)
    assert ended == old.id and kept.moved_from == old.id and kept.terms == old.terms and kept.using_office == HEALTH.id
    assert [one.id for one in world.stores.sharing.grants_of_office(HEALTH.id) if one.valid_at(world.clock())] == [begun]
    assert found.requests == (waiting.id,) and found.posts == ((ANALYST.post, "wang.wei@gz-health"),)
    assert world.stores.parties.office(MEDICAL.id).successor == HEALTH.id
    assert [one.office for one in world.stores.parties.actors_of(ANALYST.person)] == [HEALTH.id]
    assert world.audit() == []


def test_a_grant_that_was_extended_and_then_handed_over_is_no_alarm(world: World) -> None:
    """Its second version names another request than its first: the successor's grant keeps the first."""
    granted = world.sharing.grant_of(world.sharing.approve(world.submit(until=NOON.date() + timedelta(days=20)).id, by=REVIEWER))
    world.clock.advance(hours=1)
    more = world.sharing.extend(granted.id, by=ANALYST, until=date(2027, 6, 30))
    world.sharing.approve(more.id, by=REVIEWER)
    assert world.stores.sharing.grant(granted.id).version == 2
    world.clock.advance(hours=1)
    world.succession.succeed_office(MEDICAL.id, HEALTH.id, on=NOON.date(), words="黔编〔2026〕18号", by=OPERATOR)
    assert world.audit() == []


def test_the_providing_office_hands_over_its_datasets(world: World) -> None:
    world.sharing.approve(world.submit().id, by=REVIEWER)
    world.clock.advance(hours=1)
    found = world.succession.succeed_office(CIVIL.id, HEALTH.id, on=NOON.date() - timedelta(days=30), words="黔编〔2026〕18号", by=OPERATOR)
    assert found.datasets == (HOUSEHOLDS.id,) and len(found.grants) == 1
    page = world.catalog.search(viewer=HEALTH.id, facets=[Facet.OFFICE])
    assert [hit.provider for hit in page.hits] == [HEALTH.id] and page.facets[Facet.OFFICE] == {HEALTH.id: 1}
    assert world.stores.sharing.grants_by_provider(HEALTH.id)[0].id == found.grants[0][1]
    world.succession.succeed_office(HEALTH.id, MEDICAL.id, on=NOON.date(), words="黔编〔2026〕19号", by=OPERATOR)
    assert world.audit() == []


def test_a_county_becomes_a_district_in_the_table(world: World) -> None:
    world.sharing.approve(world.submit().id, by=REVIEWER)
    text = f"old,new,day,kind,name\n{COUNTY},520118000000,2026-06-01,renamed,新南明区\n"
    world.succession.apply_division_changes(read_changes(text), by=OPERATOR)
    tree = {one.code: one for one in world.stores.divisions.divisions()}
    assert tree[COUNTY].successors == ("520118000000",) and tree[COUNTY].valid_to == date(2026, 6, 1)
    assert world.stores.divisions.codes_under(COUNTY, date(2026, 7, 1)) == {COUNTY, "520118000000"}
    assert world.stores.divisions.codes_under("520118000000", date(2026, 7, 1)) == {COUNTY, "520118000000"}
    assert {COUNTY, "520118000000"} < world.stores.divisions.codes_under(CITY, date(2026, 7, 1))
    assert world.succession.grants_to_look_at(by=REVIEWER) == []
    world.clock.advance(days=120)
    (found,) = world.succession.grants_to_look_at(by=REVIEWER)
    assert found.reason.parameters["followed"] == 1 and world.audit() == []
