"""A province in which offices hand over and counties merge: in memory, with a ledger that is really folded."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from huitong.catalog.divisions import load_divisions
from huitong.catalog.publish import CatalogActions
from huitong.catalog.succession import read_changes
from huitong.keystore import FileKeyStore
from huitong.ledger.cross_check import KeptCase, KeptGrant, KeptRequest, KeptSnapshot, cross_check
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.uses import UseOfData
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle, Visibility
from huitong.model.codes import credit_code_check_character
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.policy import Grant
from huitong.model.pseudonym import KeyEpoch
from huitong.model.sharing import Request
from huitong.model.text import BilingualText
from huitong.sharing.actions import SharingActions
from huitong.sharing.succession import DivisionsChanged, Succession, SuccessionActions
from huitong.sharing.terms import hash_of_terms
from huitong.testing import MemoryClock, MemoryStores

NOON = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)
TODAY = date(2026, 11, 2)
TIME_ZONE = "Asia/Shanghai"
PROVINCE, GUIYANG, ZUNYI = "520000000000", "520100000000", "520300000000"
NANMING, YUNYAN, HONGHUAGANG = "520102000000", "520103000000", "520302000000"

CIVIL, POVERTY, RURAL, HEALTH = "gz-civil-affairs", "gz-poverty-relief", "gz-rural-affairs", "gz-health"
ACT = "黔编〔2026〕18号"


def office(identifier: str, zh: str, number: int, division: str = PROVINCE, superior: str | None = None) -> Office:
    """An office with a valid, invented credit code."""
    first = f"115200000000000{number:02d}"
    title = BilingualText(zh=zh, en=f"Office {identifier}")
    level = DivisionLevel.PROVINCE if division == PROVINCE else DivisionLevel.CITY
    return Office(identifier, title, division, level, first + credit_code_check_character(first), superior)


def person(name: str, at: str, *roles: Role, division: str = PROVINCE) -> Actor:
    """A person in a post."""
    return Actor(person=name, name=name, post=f"{name}@{at}", office=at, division=division, roles=frozenset(roles))


OPERATOR = person("shi", HEALTH, Role.OPERATOR)
REGULATOR = person("guan", HEALTH, Role.REGULATOR)
CITY_REGULATOR = person("fang", HEALTH, Role.REGULATOR, division=GUIYANG)
CIVIL_OFFICER = person("yang", CIVIL, Role.DATA_OFFICER)
CIVIL_REVIEWER = person("wang", CIVIL, Role.REVIEWER)
POVERTY_ANALYST = person("li", POVERTY, Role.ANALYST)
POVERTY_OFFICER = person("zhao", POVERTY, Role.DATA_OFFICER, Role.REVIEWER)
RURAL_ANALYST = person("sun", RURAL, Role.ANALYST)
RURAL_REVIEWER = person("qian", RURAL, Role.REVIEWER)
HEALTH_ANALYST = person("zhou", HEALTH, Role.ANALYST)


def entry(identifier: str, provider: str, **other: Any) -> Dataset:
    """A catalogue entry: a person, a village, an income."""
    items = (
        _item("person_id", Grade.SENSITIVE, "resident-id"),
        _item("village", Grade.INTERNAL, "division-code"),
        _item("income", Grade.INTERNAL, None, ItemType.INTEGER),
    )
    values: dict[str, Any] = {
        "title": BilingualText(zh=f"数据{identifier}", en=f"Dataset {identifier}"),
        "abstract": BilingualText(zh="登记", en="Register"),
        "classification": "3-01-0101/000001",
        "provider": provider,
        "collector": provider,
        "sharing": Sharing.CONDITIONAL,
        "sharing_basis": "社会救助暂行办法第五十八条",
        "sharing_condition": BilingualText(zh="仅限履职", en="Only for duties"),
        "openness": Openness.NOT_OPEN,
        "update_cycle": UpdateCycle.MONTHLY,
        "items": items,
        "key": "person_id",
        "division_item": "village",
    }
    return Dataset(id=identifier, **{**values, **other})


def _item(name: str, grade: Grade, meaning: str | None, kind: ItemType = ItemType.TEXT) -> Item:
    return Item(name, BilingualText(zh=name, en=name), kind, grade, meaning)


LOW_INCOME = entry("civil.low_income", CIVIL)
HOUSEHOLD = entry("poverty.household", POVERTY)
SECRET = entry("civil.secret", CIVIL, visibility=Visibility.NAMED, known_to=(POVERTY,))
COLLECTED = entry("civil.collected", CIVIL, collector=POVERTY)


@cache
def divisions() -> tuple[Division, ...]:
    """Every division of Guizhou down to the county, of all days, and the townships of two counties."""
    return tuple(one for one in load_divisions().every() if one.level in tuple(DivisionLevel)[:3] or one.parent in (NANMING, YUNYAN))


class World:
    """The stores, the clock, the ledger and what people may do."""

    def __init__(self, keys: Path) -> None:
        self.stores = MemoryStores()
        self.clock = MemoryClock(NOON)
        keystore = FileKeyStore(keys)
        keystore.create()
        self.keystore = keystore
        # Nobody folds between the steps of a test, and its clock makes leaps: the alarm for that is not what is tested here.
        origin, patience = "province.example/ledger", 10**9
        self.ledger = Ledger(self.stores.ledger, keystore, self.clock, origin=origin, alarm_seconds=patience, stop_seconds=patience)
        self.stores.divisions.put_divisions(divisions())
        for one in (
            office(CIVIL, "贵州省民政厅", 1),
            office(POVERTY, "贵州省扶贫办", 2),
            office(RURAL, "贵州省农业农村厅", 3),
            office(HEALTH, "贵州省卫生健康委", 4),
            office("zy-poverty-relief", "遵义市扶贫办", 5, ZUNYI, POVERTY),
            office("gy-poverty-relief", "贵阳市扶贫办", 6, GUIYANG, POVERTY),
        ):
            self.stores.parties.put_office(one)
        self.people = (
            OPERATOR, REGULATOR, CIVIL_OFFICER, CIVIL_REVIEWER, POVERTY_ANALYST, POVERTY_OFFICER, RURAL_ANALYST, RURAL_REVIEWER,
            HEALTH_ANALYST,
        )  # fmt: skip
        for actor in self.people:
            self.stores.parties.put_actor(actor)
        common: dict[str, Any] = {
            "catalog": self.stores.catalog,
            "parties": self.stores.parties,
            "transactions": self.stores.transactions,
            "epoch": self.stores.epoch,
            "ledger": self.ledger,
            "clock": self.clock,
            "time_zone": TIME_ZONE,
        }
        self.catalog = CatalogActions(**common)
        shared = {"sharing": self.stores.sharing, "divisions": self.stores.divisions}
        self.sharing = SharingActions(side_tables=self.stores.side_tables, **shared, **common)
        self.succession = SuccessionActions(**shared, **common)
        for one in (LOW_INCOME, SECRET, COLLECTED):
            self.catalog.publish(one, by=CIVIL_OFFICER)
        self.catalog.publish(HOUSEHOLD, by=POVERTY_OFFICER)

    def ask(self, dataset: Dataset, *, by: Actor, purpose: str = "social-assistance", **other: Any) -> Request:
        """Ask for the income of villages until the end of the year."""
        values = {"items": [("village", None), ("income", None)], "until": date(2026, 12, 31), **other}
        wish = self.sharing.wish(dataset.id, purpose=purpose, legal_basis="乡村振兴促进法", **values)
        return self.sharing.submit(wish, by=by)

    def grant(self, dataset: Dataset, *, by: Actor, reviewer: Actor = CIVIL_REVIEWER, **other: Any) -> Grant:
        """Ask, and be granted it."""
        request = self.sharing.approve(self.ask(dataset, by=by, **other).id, by=reviewer)
        made = self.sharing.grant_of(request)
        assert made is not None
        return self.sharing.prepare(made.id)

    def succeed(self, old: str = POVERTY, new: str = RURAL, *, by: Actor = OPERATOR, on: date = TODAY, words: str = ACT) -> Succession:
        """The one takes the place of the other."""
        return self.succession.succeed_office(old, new, on=on, words=words, by=by)

    def change(self, text: str, *, by: Actor = OPERATOR, dry_run: bool = False) -> DivisionsChanged:
        """Apply a file of changes."""
        return self.succession.apply_division_changes(read_changes(text), by=by, dry_run=dry_run)

    def kept(self, grant_id: str) -> Grant:
        """The grant as it is kept."""
        found = self.stores.sharing.grant(grant_id)
        assert found is not None
        return found

    def kinds(self) -> list[EntryKind]:
        """Kinds of all entries, in order."""
        return [promise.kind for promise in self.stores.ledger.pending(100_000)]

    def audit(self, *, fold: bool = True) -> set[str]:
        """What the audit finds wrong when it compares the tables with the ledger."""
        if fold:
            Sequencer(self.stores.ledger, self.keystore, self.clock, origin="province.example/ledger").fold_all()
        return {reason.code for reason in cross_check(self.stores.ledger, Kept(self.stores))}


class Kept:
    """The tables as the audit reads them."""

    def __init__(self, stores: MemoryStores) -> None:
        self._stores = stores

    def grants(self) -> Iterator[KeptGrant]:
        for grant in self._stores.sharing._grants.values():
            computed = hash_of_terms(
                grant.terms,
                dataset=grant.dataset,
                provider=grant.provider,
                using_office=grant.using_office,
                signed_by=grant.signed_by,
                version=grant.version,
            )
            yield KeptGrant(grant.id, grant.terms_hash, computed, grant.state.value, grant.moved_from)

    def requests(self) -> Iterator[KeptRequest]:
        return (KeptRequest(request.id, request.state.value) for request in self._stores.sharing._requests.values())

    def snapshots(self) -> Iterator[KeptSnapshot]:
        return iter(())

    def reidentifications(self) -> Iterator[KeptCase]:
        return iter(())

    def uses_of_data(self) -> list[UseOfData]:
        return []

    def budgets(self) -> Iterator[tuple[str, int]]:
        return iter(())

    def key_epochs(self) -> Iterator[KeyEpoch]:
        return iter(())

    def uses_without_entry(self, limit: int) -> list[tuple[str, str]]:
        return []
