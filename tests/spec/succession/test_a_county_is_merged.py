"""A county is merged, split or renamed: who was granted its rows still has them, under old codes and new; and no one has more.

Asked through the gateway, over one snapshot whose rows were coded on many days; the changes are those of Guizhou."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.spec.governed.governed_world import PERSON, PERSON_GRANT, make_grant
from tests.spec.governed.governed_world import World as GovernedWorld
from tests.spec.succession.succession_world import (
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    GUIYANG,
    HEALTH_ANALYST,
    HOUSEHOLD,
    LOW_INCOME,
    NANMING,
    OPERATOR,
    POVERTY_ANALYST,
    POVERTY_OFFICER,
    REGULATOR,
    SECRET,
    YUNYAN,
    World,
    person,
)

from huitong.catalog.divisions import load_divisions
from huitong.errors import InputInvalid, Refused, Unavailable
from huitong.model.ledger import EntryKind
from huitong.model.party import Role
from huitong.model.policy import MaskKind

PAN_SPECIAL, PAN_COUNTY, PANZHOU = "520202000000", "520222000000", "520281000000"
SHUICHENG_COUNTY, SHUICHENG, ZHONGSHAN, LIUPANSHUI = "520221000000", "520204000000", "520201000000", "520200000000"
ROWS = {
    "盘县特区 1990": PAN_SPECIAL,
    "盘县 2010": PAN_COUNTY,
    "盘州市 2024": PANZHOU,
    "水城县 2015": SHUICHENG_COUNTY,
    "水城区 2024": SHUICHENG,
    "钟山区 2024": ZHONGSHAN,
    "六盘水市 2024": LIUPANSHUI,
    "南明区 2024": NANMING,
    "never a code": "520222999999",
}


class Governed(GovernedWorld):
    """The gateway's world, with the divisions of Guizhou and one row for each day on which rows were coded."""

    def codes_under(self, *question: object) -> frozenset[str]:
        return GUIZHOU.codes_under(*question)  # type: ignore[arg-type]


GUIZHOU = load_divisions()


@pytest.fixture
def governed(tmp_path: Path) -> Iterator[Governed]:
    world = Governed(tmp_path)
    world.load(PERSON, [{**dict.fromkeys(one.name for one in PERSON.items), "name": n, "division": c} for n, c in ROWS.items()])
    yield world


def names(world: Governed, division: str) -> set[str]:
    """Whose rows the grant cut to the division shows."""
    clear = replace(PERSON_GRANT.terms.items[0], item="name", mask=next(t.mask for t in PERSON_GRANT.terms.items if t.item == "gender"))
    assert clear.mask.kind is MaskKind.CLEAR
    world.grants = [make_grant("civil.person", {"name": clear.mask}, rows=division)]
    world.epoch += 1
    return {name for (name,) in world.rows("SELECT name FROM civil.person")}


PAN = {"盘县特区 1990", "盘县 2010", "盘州市 2024"}


@pytest.mark.parametrize(
    ("division", "shown"),
    [
        (PANZHOU, PAN),
        (PAN_COUNTY, PAN),
        (SHUICHENG_COUNTY, {"水城县 2015", "水城区 2024"}),
        (SHUICHENG, {"水城区 2024"}),
        (ZHONGSHAN, {"钟山区 2024"}),
        (LIUPANSHUI, PAN | {"水城县 2015", "水城区 2024", "钟山区 2024", "六盘水市 2024"}),
        (NANMING, {"南明区 2024"}),
        ("520000000000", set(ROWS) - {"never a code"}),
    ],
)
def test_rows_of_old_and_new_codes_reach_whom_they_were_granted(governed: Governed, division: str, shown: set[str]) -> None:
    """水城县 was split in 2020, with towns to 钟山区: its old rows belong to the city, and to who was granted 水城县, not to its heirs."""
    assert names(governed, division) == shown


def test_an_old_snapshot_is_read_with_the_codes_of_its_day(governed: Governed) -> None:
    """The register was taken in 2019 and never since: 盘州市 existed, 水城区 did not."""
    taken = replace(governed.snapshots["civil.person"], taken_at=datetime(2019, 6, 1, tzinfo=UTC))
    governed.snapshots["civil.person"] = taken
    assert names(governed, PANZHOU) == PAN
    assert names(governed, SHUICHENG_COUNTY) == {"水城县 2015"}
    with pytest.raises(Refused):
        names(governed, SHUICHENG)


MERGER = (
    "old,new,day,kind,name,level,parent\n"
    f"{NANMING},520119000000,2027-01-01,merged,中心区,county,{GUIYANG}\n"
    f"{YUNYAN},520119000000,2027-01-01,merged,,,\n"
)
TAKEOVER = f"old,new,day,kind\n{YUNYAN},{NANMING},2027-01-01,merged\n"


class TestTheProvinceEntersAMerger:
    def test_the_tree_the_ledger_and_the_epoch_know_of_it(self, world: World) -> None:
        epoch, before = world.stores.epoch.current(), len(world.kinds())
        townships = len([one for one in world.stores.divisions.divisions() if one.parent in (NANMING, YUNYAN)])
        found = world.change(MERGER)
        assert found.changes == 2 and found.begun == ("520119000000",) and len(found.ended) == 2 + townships
        assert {NANMING, YUNYAN} < world.stores.divisions.codes_under("520119000000", world.clock().date().replace(year=2027))
        assert world.kinds()[before:] == [EntryKind.DIVISIONS_CHANGED] and world.stores.epoch.current() == epoch + 1
        assert world.audit() == set()

    def test_a_trial_changes_nothing_and_tells_the_same(self, world: World) -> None:
        world.grant(LOW_INCOME, by=POVERTY_ANALYST, division=NANMING)
        epoch, before = world.stores.epoch.current(), len(world.kinds())
        told = world.change(MERGER, dry_run=True)
        assert world.stores.epoch.current() == epoch and len(world.kinds()) == before
        assert {one.code for one in world.stores.divisions.divisions() if one.valid_to is None} >= {NANMING, YUNYAN}
        assert told == world.change(MERGER)

    def test_grants_that_name_a_county_that_ends_are_listed_for_an_officer(self, world: World) -> None:
        touched = world.grant(LOW_INCOME, by=POVERTY_ANALYST, division=NANMING)
        world.grant(LOW_INCOME, by=HEALTH_ANALYST, division=GUIYANG)
        (found,) = world.change(MERGER).grants_to_look_at
        assert found.grant.id == touched.id and found.reason.code == "grant-division-ended"
        assert found.reason.parameters["followed"] == 0, "the merged county holds more than was granted"
        assert world.succession.grants_to_look_at(by=CIVIL_REVIEWER) == [], "it has not happened yet"
        world.clock.advance(days=59)
        world.stores.sharing._grants[touched.id] = replace(
            world.kept(touched.id), terms=replace(touched.terms, valid_until=datetime(2028, 1, 1, tzinfo=UTC))
        )
        world.clock.advance(days=30)
        for by in (CIVIL_REVIEWER, POVERTY_ANALYST):
            assert [one.grant.id for one in world.succession.grants_to_look_at(by=by)] == [touched.id]
        assert world.succession.grants_to_look_at(by=POVERTY_OFFICER) != [] and world.succession.grants_to_look_at(by=OPERATOR) == []

    def test_a_county_that_takes_over_another_is_listed_as_grown_and_the_grant_does_not_grow(self, world: World) -> None:
        touched = world.grant(LOW_INCOME, by=POVERTY_ANALYST, division=NANMING)
        (found,) = world.change(TAKEOVER).grants_to_look_at
        assert found.grant.id == touched.id and found.reason.code == "grant-division-grown"
        day = datetime(2027, 3, 1, tzinfo=UTC).date()
        after = load_after(world)
        assert YUNYAN in after.codes_under(NANMING, day)
        assert YUNYAN not in after.codes_under(NANMING, day, agreed=touched.granted_at.date())

    def test_offices_of_a_county_that_ends_are_listed(self, world: World) -> None:
        office = world.stores.parties.office("gy-poverty-relief")
        world.stores.parties.put_office(replace(office, division=NANMING))
        assert world.change(MERGER, dry_run=True).offices == ("gy-poverty-relief",)

    def test_a_grant_over_what_one_may_not_know_of_is_not_listed(self, world: World) -> None:
        assert not SECRET.is_known_to(OPERATOR.office) and HOUSEHOLD.is_known_to(OPERATOR.office)
        world.grant(SECRET, by=POVERTY_ANALYST, division=NANMING)
        assert world.change(MERGER, by=OPERATOR, dry_run=True).grants_to_look_at == ()
        knows = person("guo", CIVIL_OFFICER.office, Role.REGULATOR)
        assert len(world.change(MERGER, by=knows, dry_run=True).grants_to_look_at) == 1

    def test_only_an_operator_or_a_regulator_and_only_what_is_sound(self, world: World) -> None:
        for by in (CIVIL_OFFICER, POVERTY_ANALYST):
            with pytest.raises(Refused):
                world.change(MERGER, by=by)
        assert world.change(MERGER, by=REGULATOR, dry_run=True).changes == 2
        with pytest.raises(InputInvalid):
            world.change(f"old,new,day,kind\n{NANMING},520119000000,2027-01-01,merged\n")
        assert EntryKind.DIVISIONS_CHANGED not in world.kinds()

    def test_if_the_ledger_cannot_be_written_the_divisions_stay(self, world: World) -> None:
        before = list(world.stores.divisions.divisions())

        def fails(**entry: object) -> None:
            raise Unavailable.because("ledger-stalled", seconds=301, limit=300)

        object.__setattr__(world.succession.ledger, "append", fails)
        with pytest.raises(Unavailable):
            world.change(MERGER)
        assert list(world.stores.divisions.divisions()) == before


def load_after(world: World):
    """The divisions as they are kept now."""
    from huitong.catalog.divisions import Divisions

    return Divisions(world.stores.divisions.divisions())
