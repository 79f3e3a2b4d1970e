"""A small province for tests of the portal: two divisions, two offices, two people, one dataset."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, Snapshot, SnapshotFile, UpdateCycle
from huitong.model.codes import credit_code_check_character
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.policy import DivisionRows, Grant, GrantState, ItemTerm, Mask, MaskKind, Mode, Purpose, Terms
from huitong.model.sharing import Request, RequestEvent, RequestEventKind, Wish
from huitong.model.text import BilingualText
from huitong.portal.accounts.models import Account, Post, PostRole
from huitong.portal.stores import Stores
from huitong.sharing.terms import hash_of_terms

NOON = datetime(2026, 3, 2, 4, 0, 0, 123456, tzinfo=UTC)
PROVINCE, CITY, COUNTY = "520000000000", "520100000000", "520102000000"


def credit_code(number: int) -> str:
    """A valid unified social credit code of a government office."""
    body = f"11520000MB{number:07d}"
    return body + credit_code_check_character(body)


def division(code: str, name: str, level: DivisionLevel, parent: str | None) -> Division:
    return Division(code=code, name=name, level=level, parent=parent, valid_from=date(2023, 1, 1))


DIVISIONS = [
    division(PROVINCE, "贵州省", DivisionLevel.PROVINCE, None),
    division(CITY, "贵阳市", DivisionLevel.CITY, PROVINCE),
    division(COUNTY, "南明区", DivisionLevel.COUNTY, CITY),
]
CIVIL = Office(
    id="gz-civil-affairs",
    title=BilingualText(zh="贵州省民政厅", en="Civil Affairs of Guizhou"),
    division=PROVINCE,
    level=DivisionLevel.PROVINCE,
    credit_code=credit_code(1),
)
MEDICAL = Office(
    id="gz-medical-security",
    title=BilingualText(zh="贵州省医疗保障局", en="Medical Security of Guizhou"),
    division=PROVINCE,
    level=DivisionLevel.PROVINCE,
    credit_code=credit_code(2),
)
REVIEWER = Actor(
    person="li.na",
    name="李娜",
    post="li.na@gz-civil-affairs",
    office=CIVIL.id,
    division=PROVINCE,
    roles=frozenset({Role.REVIEWER, Role.DATA_OFFICER}),
)
ANALYST = Actor(
    person="wang.wei",
    name="王伟",
    post="wang.wei@gz-medical-security",
    office=MEDICAL.id,
    division=PROVINCE,
    roles=frozenset({Role.ANALYST}),
)
HOUSEHOLDS = Dataset(
    id="civil.household",
    title=BilingualText(zh="低保家庭", en="Households on minimum allowance"),
    abstract=BilingualText(zh="每户一行。", en="One row per household."),
    classification="3-01-0101/000001",
    provider=CIVIL.id,
    collector=CIVIL.id,
    sharing=Sharing.CONDITIONAL,
    sharing_basis="Regulation on minimum allowance, article 5",
    sharing_condition=BilingualText(zh="用于医疗救助。", en="For medical assistance."),
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.MONTHLY,
    items=(
        Item("resident_id", BilingualText(zh="身份证号", en="Resident ID"), ItemType.TEXT, Grade.HIGHLY_SENSITIVE, "resident-id"),
        Item("户籍地", BilingualText(zh="户籍地", en="Registered at"), ItemType.TEXT, Grade.INTERNAL, "division-code"),
        Item("amount", BilingualText(zh="金额", en="Amount"), ItemType.INTEGER, Grade.SENSITIVE),
    ),
    published_on=date(2026, 3, 1),
    key="resident_id",
    division_item="户籍地",
    source="synthetic",
)


def wish(dataset: str = HOUSEHOLDS.id) -> Wish:
    return Wish(
        dataset=dataset,
        purpose=Purpose("medical-assistance", "Measures on medical assistance, article 9"),
        items=(
            ItemTerm("resident_id", Mask(MaskKind.PARTIAL, {"last": 4, "first": 3})),
            ItemTerm("户籍地", Mask(MaskKind.GENERALISE, {"to": "county"})),
            ItemTerm("amount", Mask(MaskKind.CLEAR)),
        ),
        rows=DivisionRows("户籍地", CITY),
        mode=Mode.ROWS,
        until=date(2026, 12, 31),
    )


def request(number: int = 1, *, at: datetime = NOON) -> Request:
    asked = wish()
    submitted = RequestEvent(kind=RequestEventKind.SUBMITTED, at=at, actor=ANALYST.person, office=MEDICAL.id, wish=asked)
    return Request(
        id=f"R-{number:06d}",
        dataset=asked.dataset,
        provider=CIVIL.id,
        applicant=ANALYST.person,
        applicant_office=MEDICAL.id,
        wish=asked,
        events=(submitted,),
        answer_due=date(2026, 3, 16),
    )


def answer(kind: RequestEventKind, *, at: datetime = NOON + timedelta(hours=1), actor: str = REVIEWER.person) -> RequestEvent:
    agreed = replace(wish(), until=date(2026, 6, 30)) if kind is RequestEventKind.APPROVED else None
    reason = "purpose-not-served" if kind is RequestEventKind.REFUSED else None
    return RequestEvent(kind=kind, at=at, actor=actor, office=CIVIL.id, reason=reason, words="已核。", wish=agreed)


def grant(number: int = 1, *, at: datetime = NOON, state: GrantState = GrantState.ACTIVE) -> Grant:
    asked = wish()
    terms = Terms(
        purpose=asked.purpose,
        items=asked.items,
        rows=asked.rows,
        mode=asked.mode,
        linkage_group="gz-medical-security:medical-assistance",
        valid_from=at,
        valid_until=datetime(2026, 12, 31, 16, tzinfo=UTC),
    )
    return Grant(
        id=f"G-{number:06d}",
        version=1,
        request="R-000001",
        dataset=asked.dataset,
        provider=CIVIL.id,
        using_office=MEDICAL.id,
        signed_by=ANALYST.person,
        terms=terms,
        terms_hash=hash_of_terms(
            terms, dataset=asked.dataset, provider=CIVIL.id, using_office=MEDICAL.id, signed_by=ANALYST.person, version=1
        ),
        state=state,
        granted_at=at,
    )


def snapshot(version: int, *, files: int = 2) -> Snapshot:
    return Snapshot(
        dataset=HOUSEHOLDS.id,
        version=version,
        rows=10 * files,
        taken_at=NOON + timedelta(days=version),
        source_hash="b" * 64,
        files=tuple(SnapshotFile(path=f"f3/{version}-{part}.parquet", rows=10, bytes=2**40 + part) for part in range(files)),
        rejected_rows=1,
    )


def put_account(using: str, actor: Actor) -> None:
    """An account in its post, straight into the tables."""
    account, _ = Account.objects.using(using).get_or_create(
        username=actor.person, defaults={"name": actor.name, "password": "!", "created_at": NOON}
    )
    post = Post.objects.using(using).create(id=actor.post, account=account, office_id=actor.office, created_at=NOON)
    PostRole.objects.using(using).bulk_create(PostRole(post=post, role=role.value) for role in actor.roles)


@dataclass(frozen=True)
class Example:
    """What was put in."""

    stores: Stores

    @classmethod
    def put_into(cls, stores: Stores) -> "Example":
        with stores.atomic():
            stores.divisions.put_divisions(DIVISIONS)
            stores.parties.put_office(CIVIL)
            stores.parties.put_office(MEDICAL)
            put_account(stores.using, REVIEWER)
            put_account(stores.using, ANALYST)
            stores.catalog.put_dataset(HOUSEHOLDS, index={"低保": 8, "家庭": 8, "household": 4})
        return cls(stores)
