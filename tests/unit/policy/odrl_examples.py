"""Grants of every kind, for the tests of their documents."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.codes import credit_code_check_character
from huitong.model.party import DivisionLevel, Office
from huitong.model.policy import (
    Comparator,
    Comparison,
    DivisionRows,
    Grant,
    GrantState,
    ItemTerm,
    Mask,
    MaskKind,
    Mode,
    NoisedTerms,
    Purpose,
    Quota,
    QuotaPeriod,
    SubjectRows,
    Terms,
    ValueBounds,
)
from huitong.model.text import BilingualText
from huitong.policy.odrl import Writing
from huitong.sharing.terms import hash_of_terms

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def office(name: str, zh: str, en: str, number: int) -> Office:
    seventeen = f"11520000MB{number:07d}"
    code = seventeen + credit_code_check_character(seventeen)
    return Office(id=name, title=BilingualText(zh=zh, en=en), division="520000000000", level=DivisionLevel.PROVINCE, credit_code=code)


CIVIL = office("gz-civil-affairs", "贵州省民政厅", "Civil Affairs Department of Guizhou", 1)
EDUCATION = office("gz-education", "贵州省教育厅", "Education Department of Guizhou", 2)
HOUSEHOLDS = Dataset(
    id="civil.household",
    title=BilingualText(zh="低保家庭", en="Low-income households"),
    abstract=BilingualText(zh="低保家庭登记信息", en="Register of low-income households"),
    classification="3-06-0001/000001",
    provider=CIVIL.id,
    collector=CIVIL.id,
    sharing=Sharing.CONDITIONAL,
    sharing_basis="Regulation of Guizhou Province, article 21",
    sharing_condition=BilingualText(zh="须说明履职需要", en="State the duty it is needed for"),
    openness=Openness.NOT_OPEN,
    update_cycle=UpdateCycle.MONTHLY,
    items=(
        Item("household", BilingualText(zh="户编号", en="Household"), ItemType.TEXT, Grade.INTERNAL),
        Item("resident_id", BilingualText(zh="公民身份号码", en="Resident ID"), ItemType.TEXT, Grade.SENSITIVE, meaning="resident-id"),
        Item("division", BilingualText(zh="行政区划代码", en="Division"), ItemType.TEXT, Grade.PUBLIC, meaning="division-code"),
        Item("amount", BilingualText(zh="补助金额", en="Amount"), ItemType.INTEGER, Grade.INTERNAL),
    ),
    published_on=date(2026, 11, 1),
    key="household",
    division_item="division",
)
PLAIN = Terms(
    purpose=Purpose("education", "Education law, article 38"),
    items=(ItemTerm("amount", Mask(MaskKind.CLEAR)), ItemTerm("household", Mask(MaskKind.PSEUDONYM))),
    rows=None,
    mode=Mode.ROWS,
    linkage_group="gz-education:education",
    valid_from=START,
    valid_until=START + timedelta(days=200, hours=14),
)
FULL = replace(
    PLAIN,
    items=(
        ItemTerm("amount", Mask(MaskKind.GENERALISE, {"step": 100})),
        ItemTerm("household", Mask(MaskKind.PSEUDONYM)),
        ItemTerm("resident_id", Mask(MaskKind.PARTIAL, {"first": 6, "last": 0})),
    ),
    rows=DivisionRows("division", "520527000000"),
    mode=Mode.AGGREGATE_ONLY,
    k=5,
    condition=(
        Comparison("amount", Comparator.AT_LEAST, ("3000",)),
        Comparison("amount", Comparator.KNOWN),
        Comparison("division", Comparator.NOT_IN, ("520527100000", "520527101000")),
    ),
    subjects=SubjectRows("resident_id", "case-2026-17", "7d" * 32, 41),
    quota=Quota(QuotaPeriod.MONTH, rows=100_000, queries=500),
    salt="00112233445566778899aabbccddeeff",
)


def grant(terms: Terms = PLAIN, *, version: int = 1, state: GrantState = GrantState.ACTIVE, signed_by: str = "wen") -> Grant:
    parties = {"dataset": HOUSEHOLDS.id, "provider": CIVIL.id, "using_office": EDUCATION.id, "signed_by": signed_by, "version": version}
    return Grant(
        id="G-2026-000007",
        request="R-2026-000011",
        terms=terms,
        terms_hash=hash_of_terms(terms, **parties),  # type: ignore[arg-type]
        state=state,
        granted_at=START,
        revoked_at=START + timedelta(days=3) if state is GrantState.REVOKED else None,
        revoked_because="Mr Zhang of the bureau passed it on" if state is GrantState.REVOKED else None,
        **parties,  # type: ignore[arg-type]
    )


WRITING = Writing(
    instance="huitong.local/demo",
    dataset=HOUSEHOLDS,
    dataset_address="https://data.example.gov.cn/datasets/civil.household",
    provider=CIVIL,
    using_office=EDUCATION,
    purpose=BilingualText(zh="教育管理和资助", en="Education and support of pupils and students"),
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z_0-9]{0,11}", fullmatch=True)
masks = st.builds(Mask, st.sampled_from(MaskKind), st.dictionaries(names, st.integers(0, 99) | texts, max_size=2))
instants = st.integers(0, 2 * 10**15).map(lambda microseconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds))


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    comparator = draw(st.sampled_from(Comparator))
    least, most = comparator.values
    return Comparison(draw(names), comparator, tuple(draw(st.lists(texts, min_size=least, max_size=3 if most is None else most))))


@st.composite
def noised_terms(draw: st.DrawFn) -> NoisedTerms:
    epsilon = draw(st.integers(1, 10**8))
    bounds = []
    for item in draw(st.lists(names, max_size=3, unique_by=str.lower)):
        lower = draw(st.integers(-(10**12), 10**12))
        bounds.append(ValueBounds(item, f"{lower}.25", f"{lower + draw(st.integers(1, 10**6))}.5" if lower >= 0 else "0"))
    return NoisedTerms(epsilon, epsilon + draw(st.integers(0, 10**6)), draw(st.integers(1, 1000)), tuple(bounds))


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Whatever terms can be."""
    mode = draw(st.sampled_from(Mode))
    items = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    limits = st.none() | st.integers(1, 10**12)
    one, two, three = draw(limits), draw(limits), draw(limits)
    quota = None if one is two is three is None else Quota(draw(st.sampled_from(QuotaPeriod)), one, two, three)
    start = draw(instants)
    return Terms(
        purpose=Purpose(draw(texts), draw(texts.filter(str.strip))),
        items=tuple(ItemTerm(item, draw(masks)) for item in items),
        rows=draw(st.none() | st.builds(DivisionRows, names, st.from_regex(r"[0-9]{12}", fullmatch=True))),
        mode=mode,
        linkage_group=draw(texts),
        valid_from=start,
        valid_until=start + timedelta(microseconds=draw(st.integers(1, 10**13))),
        condition=tuple(draw(st.lists(comparisons(), max_size=3))),
        subjects=draw(st.none() | st.builds(SubjectRows, names, texts, texts, st.integers(1, 10**6))),
        k=draw(st.integers(2, 1000)) if mode is Mode.AGGREGATE_ONLY else None,
        quota=quota,
        noised=draw(noised_terms()) if mode is Mode.NOISED else None,
    )
