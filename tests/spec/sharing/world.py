"""A small province for the tests of sharing: three offices, their people, four datasets. In memory."""

from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest

from huitong.catalog.publish import CatalogActions
from huitong.errors import HuitongError
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, SnapshotFile, UpdateCycle
from huitong.model.codes import credit_code_check_character
from huitong.model.party import Actor, DivisionLevel, Office, Role
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText
from huitong.sharing.actions import SharingActions
from huitong.sharing.pseudonyms import PseudonymActions
from huitong.testing import MemoryClock, MemoryDivisions, MemoryEntryLog, MemoryStores

TIME_ZONE = "Asia/Shanghai"
NOON_ON_2_NOVEMBER = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)
"""Monday 2 November 2026, 12:00 in Guiyang."""

PROVINCE, GUIYANG, NANMING, ZUNYI = "520000000000", "520100000000", "520102000000", "520300000000"

CIVIL, MEDICAL, EDUCATION = "gz-civil-affairs", "gz-medical-security", "gz-education"
DUTY = "社会救助暂行办法"

CLEAR, HIDE, PSEUDONYM = Mask(MaskKind.CLEAR), Mask(MaskKind.HIDE), Mask(MaskKind.PSEUDONYM)
FIRST_CHARACTER = Mask(MaskKind.PARTIAL, {"first": 1, "last": 0})
MONTH, YEAR = Mask(MaskKind.GENERALISE, {"to": "month"}), Mask(MaskKind.GENERALISE, {"to": "year"})


def office(identifier: str, zh: str, en: str, number: int) -> Office:
    """A provincial office with a valid, invented credit code."""
    first = f"115200000000000{number:02d}"
    return Office(
        id=identifier,
        title=BilingualText(zh=zh, en=en),
        division=PROVINCE,
        level=DivisionLevel.PROVINCE,
        credit_code=first + credit_code_check_character(first),
    )


OFFICES = (
    office(CIVIL, "贵州省民政厅", "Department of Civil Affairs", 1),
    office(MEDICAL, "贵州省医疗保障局", "Healthcare Security Administration", 2),
    office(EDUCATION, "贵州省教育厅", "Department of Education", 3),
    office("gz-data-bureau", "贵州省大数据发展管理局", "Big Data Administration", 4),
)


def person(name: str, office_id: str, *roles: Role) -> Actor:
    """A person in a post of an office."""
    return Actor(
        person=name, name=name, post=f"{name}@{office_id}", office=office_id, division=PROVINCE, roles=frozenset(roles)
    )


CIVIL_OFFICER = person("yang", CIVIL, Role.DATA_OFFICER)
CIVIL_REVIEWER = person("wang", CIVIL, Role.REVIEWER)
CIVIL_ALL_ROLES = person("chen", CIVIL, Role.ANALYST, Role.REVIEWER, Role.DATA_OFFICER)
MEDICAL_ANALYST = person("li", MEDICAL, Role.ANALYST)
MEDICAL_COLLEAGUE = person("liu", MEDICAL, Role.ANALYST)
MEDICAL_REVIEWER = person("zhou", MEDICAL, Role.REVIEWER)
EDUCATION_ANALYST = person("zhao", EDUCATION, Role.ANALYST)
EDUCATION_REVIEWER = person("sun", EDUCATION, Role.REVIEWER)
REGULATOR = person("he", "gz-data-bureau", Role.REGULATOR)
OPERATOR = person("shi", EDUCATION, Role.OPERATOR)


def item(
    name: str, zh: str, en: str, grade: Grade, *, kind: ItemType = ItemType.TEXT, meaning: str | None = None
) -> Item:
    """An item."""
    return Item(name=name, title=BilingualText(zh=zh, en=en), type=kind, grade=grade, meaning=meaning)


HOUSEHOLD_ITEMS = (
    item("person_id", "公民身份号码", "resident identity number", Grade.HIGHLY_SENSITIVE, meaning="resident-id"),
    item("name", "姓名", "name", Grade.SENSITIVE, meaning="person-name"),
    item("born", "出生日期", "date of birth", Grade.SENSITIVE, kind=ItemType.DATE),
    item("village", "所在村", "village", Grade.INTERNAL, meaning="division-code"),
    item("income", "家庭年收入", "yearly household income", Grade.SENSITIVE, kind=ItemType.INTEGER, meaning="money-fen"),
)


def dataset(identifier: str, zh: str, en: str, sharing: Sharing, **other: Any) -> Dataset:
    """A catalogue entry of civil affairs."""
    values: dict[str, Any] = {
        "abstract": BilingualText(zh="登记的家庭和人员", en="Registered households and persons"),
        "classification": "3-01-0101/000001",
        "provider": CIVIL,
        "collector": CIVIL,
        "sharing_basis": "社会救助暂行办法第五十八条",
        "sharing_condition": None,
        "openness": Openness.NOT_OPEN,
        "update_cycle": UpdateCycle.MONTHLY,
        "items": HOUSEHOLD_ITEMS,
        "key": "person_id",
        "division_item": "village",
    }
    return Dataset(id=identifier, title=BilingualText(zh=zh, en=en), sharing=sharing, **{**values, **other})


LOW_INCOME = dataset(
    "civil.low_income",
    "低保家庭",
    "Households on minimum living allowance",
    Sharing.CONDITIONAL,
    sharing_condition=BilingualText(zh="仅限核对救助对象", en="Only for checking recipients of assistance"),
)
HOMES = dataset("civil.homes", "养老机构", "Homes for the elderly", Sharing.UNCONDITIONAL)
ADOPTION = dataset(
    "civil.adoption", "收养登记", "Register of adoptions", Sharing.NOT_SHARED, sharing_basis="民法典第一千一百一十条"
)


class World:
    """The stores, the clock, and what people may do."""

    def __init__(self) -> None:
        self.stores = MemoryStores()
        self.clock = MemoryClock(NOON_ON_2_NOVEMBER)
        self.ledger = MemoryEntryLog(self.stores.transactions, self.clock)
        self.divisions = MemoryDivisions({PROVINCE: None, GUIYANG: PROVINCE, NANMING: GUIYANG, ZUNYI: PROVINCE})
        for one in OFFICES:
            self.stores.parties.put_office(one)
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
        self.sharing = SharingActions(
            sharing=self.stores.sharing,
            divisions=self.divisions,
            side_tables=self.stores.side_tables,
            delegates=self.stores.sharing,
            regulators=self.stores.parties,
            notices=self.stores.notices,
            pseudonym_epochs=self.stores.pseudonym_epochs,
            **common,
        )
        self.keys_made: set[int] = {1}
        self.pseudonyms = PseudonymActions(
            sharing=self.stores.sharing,
            divisions=self.divisions,
            side_tables=self.stores.side_tables,
            notices=self.stores.notices,
            pseudonym_epochs=self.stores.pseudonym_epochs,
            make_key=self.keys_made.add,
            **common,
        )

    def publish_all(self) -> "World":
        """With the three datasets in the catalogue."""
        for entry in (LOW_INCOME, HOMES, ADOPTION):
            self.catalog.publish(entry, by=CIVIL_OFFICER)
        self.ledger.written.clear()
        return self

    def ask(self, entry: Dataset, *items: Any, by: Actor = MEDICAL_ANALYST, **other: Any) -> Any:
        """Ask for items (names, or pairs of name and mask) until the end of the year."""
        wished = [(one, None) if isinstance(one, str) else one for one in items]
        values = {"purpose": "social-assistance", "legal_basis": DUTY, "until": date(2026, 12, 31), **other}
        wish = self.sharing.wish(entry.id, items=wished, **values)
        return self.sharing.submit(wish, by=by)

    def told(self) -> list[str]:
        """The kinds of the notices that were put up since the last look."""
        kinds = [notice.kind.value for notice in self.stores.notices.posted]
        self.stores.notices.posted.clear()
        return kinds

    def snapshot(self, entry: Dataset, version: int) -> Snapshot:
        """A snapshot as the lake would have written it."""
        file = SnapshotFile(path=f"t/{entry.id}-{version}.parquet", rows=10, bytes=100)
        return Snapshot(
            dataset=entry.id, version=version, files=(file,), rows=10, taken_at=self.clock(), source_hash=f"{version:064x}"
        )


def codes(error: HuitongError) -> set[str]:
    """The reason codes of an error."""
    return {reason.code for reason in error.reasons}


@contextmanager
def says_no(kind: type[HuitongError], *expected: str) -> Any:
    """Expect an error of that kind with exactly these reasons."""
    with pytest.raises(kind) as caught:
        yield caught
    assert codes(caught.value) == set(expected)


