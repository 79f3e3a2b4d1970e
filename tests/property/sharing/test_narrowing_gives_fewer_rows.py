"""Whatever a reviewer may agree to gives a part of the rows that were asked for, whatever the data are.

What a condition lets through is said here by hand, row by row, not by the rule that the product uses."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.spec.sharing.world import GUIYANG, LOW_INCOME, NANMING, PROVINCE, ZUNYI, item

from huitong.errors import InputInvalid
from huitong.model.catalog import Dataset, Grade, ItemType
from huitong.model.policy import Comparator, Comparison, DivisionRows, ItemTerm, Mask, MaskKind, Mode, Purpose, Quota, QuotaPeriod
from huitong.model.sharing import Linkage, Wish
from huitong.sharing.comparing import faults_of_comparisons, implies, in_form
from huitong.sharing.term_limits import term_limits
from huitong.sharing.wishes import faults_of_narrowing, faults_of_wish, narrow_wish
from huitong.testing import MemoryDivisions, MemorySubjectLists

ENTRY: Dataset = replace(
    LOW_INCOME,
    items=(
        *LOW_INCOME.items,
        item("members", "人数", "members", Grade.PUBLIC, kind=ItemType.INTEGER),
        item("area", "面积", "area", Grade.PUBLIC, kind=ItemType.DECIMAL),
        item("urban", "城镇", "urban", Grade.PUBLIC, kind=ItemType.BOOLEAN),
        item("since", "起始", "since", Grade.PUBLIC, kind=ItemType.DATE),
        item("seen", "核查", "seen", Grade.PUBLIC, kind=ItemType.INSTANT),
        item("cause", "原因", "cause", Grade.PUBLIC),
    ),
)
TODAY = date(2026, 11, 2)
BIG = 2**53
VALUES: dict[str, Sequence[str]] = {
    "members": ["-1", "0", "1", "2", "3", "10", "007", str(BIG), str(BIG + 1), str(BIG + 2)],
    "area": ["-0.5", "0", "0.1", "0.100000000001", "0.3", "10", "9", "2.50", str(BIG), str(BIG + 1)],
    "urban": ["true", "false", "TRUE"],
    "since": ["2026-01-31", "2025-12-31", "2000-01-01", "2026-02-01"],
    "seen": ["2026-01-31T00:00:00Z", "2026-01-31T08:00:00+08:00", "2026-01-31T00:00:00.5Z", "2025-01-01T00:00:00+00:00"],
    "cause": ["1", "01", "10", "9", "a", "A", "火灾", "520102001001", "520102001002"],
}
READ: dict[str, Any] = {
    "members": int,
    "area": float,
    "urban": lambda text: text.lower() == "true",
    "since": date.fromisoformat,
    "seen": lambda text: datetime.fromisoformat(text).astimezone(UTC),
    "cause": str,
}


def near(name: str) -> st.SearchStrategy[Any]:
    """A value of the item: one of those that conditions name, or one beside it."""
    values = [READ[name](text) for text in VALUES[name]]
    step: Any = {"members": 1, "area": 0.1, "since": timedelta(days=1), "seen": timedelta(milliseconds=500)}.get(name)
    more = [] if step is None else [value + step for value in values]
    return st.none() | st.sampled_from([*values, *more])


rows_of_data = st.lists(
    st.fixed_dictionaries({
        "person_id": st.none() | st.sampled_from(["a", "b", "c", "d"]),
        "village": st.none() | st.sampled_from([PROVINCE, GUIYANG, NANMING, ZUNYI, "1"]),
        **{name: near(name) for name in VALUES},
    }),
    max_size=25,
)


@st.composite
def comparisons(draw: st.DrawFn, names: Sequence[str] = tuple(VALUES)) -> Comparison:
    name = draw(st.sampled_from(names))
    comparator = draw(st.sampled_from(list(Comparator)))
    least, most = comparator.values
    values = draw(st.lists(st.sampled_from(VALUES[name]), min_size=least, max_size=3 if most is None else most, unique=True))
    (formed,) = in_form([Comparison(name, comparator, tuple(values))], ENTRY)
    assume(not faults_of_comparisons([formed], ENTRY, term_limits()))
    return formed


def passes(row: dict[str, Any], one: Comparison) -> bool:
    """Unknown is never yes."""
    value = row[one.item]
    if one.comparator is Comparator.MISSING:
        return value is None
    if value is None:
        return False
    others = [READ[one.item](text) for text in one.values]
    if one.comparator is Comparator.KNOWN:
        return True
    if one.comparator in (Comparator.IN, Comparator.NOT_IN):
        return (value in others) == (one.comparator is Comparator.IN)
    (other,) = others
    found = {
        Comparator.AT_LEAST: value >= other,
        Comparator.MORE_THAN: value > other,
        Comparator.AT_MOST: value <= other,
        Comparator.LESS_THAN: value < other,
    } if one.item != "cause" else {}
    return bool(found[one.comparator])


UNDER = {PROVINCE: {PROVINCE, GUIYANG, NANMING, ZUNYI}, GUIYANG: {GUIYANG, NANMING}, NANMING: {NANMING}, ZUNYI: {ZUNYI}}
DIVISIONS = MemoryDivisions({PROVINCE: None, GUIYANG: PROVINCE, NANMING: GUIYANG, ZUNYI: PROVINCE})
LISTS = MemorySubjectLists()
SUBJECTS = [LISTS.keep(names, dataset=ENTRY.id, item="person_id") for names in (["a"], ["a", "b"], ["b", " a"], ["c"], ["a", "b", "c"])]
quotas = st.none() | st.builds(
    Quota, st.sampled_from(list(QuotaPeriod)), rows=st.none() | st.sampled_from([1, 2, 31, 62, 100]), queries=st.just(5)
)
ASKED = Wish(
    dataset=ENTRY.id,
    purpose=Purpose("statistics", "统计法"),
    items=(ItemTerm("members", Mask(MaskKind.CLEAR)),),
    rows=None,
    mode=Mode.ROWS,
    until=date(2026, 12, 31),
)
wishes = st.builds(
    replace,
    st.just(ASKED),
    condition=st.lists(comparisons(), max_size=4).map(tuple),
    rows=st.none() | st.builds(DivisionRows, st.just("village"), st.sampled_from(list(UNDER))),
    subjects=st.none() | st.sampled_from(SUBJECTS),
    quota=quotas,
    linkage=st.sampled_from([*Linkage, "team-a", "team-b"]),
) | st.builds(
    replace, st.just(ASKED), mode=st.just(Mode.AGGREGATE_ONLY), k=st.sampled_from([10, 11, 20]),
    condition=st.lists(comparisons(), max_size=4).map(tuple),
)  # fmt: skip


def shown(wish: Wish, data: Sequence[dict[str, Any]]) -> set[int]:
    """Which rows the wish lets through."""
    return {
        number
        for number, row in enumerate(data)
        if all(passes(row, one) for one in wish.condition)
        and (wish.rows is None or row["village"] in UNDER[wish.rows.division])
        and (wish.subjects is None or row["person_id"] in LISTS.lists[wish.subjects.subjects])
    }


def check_is_within(agreed: Wish, asked: Wish, data: Sequence[dict[str, Any]]) -> None:
    assert shown(agreed, data) <= shown(asked, data)
    assert asked.mode is Mode.ROWS or (agreed.mode is Mode.AGGREGATE_ONLY and agreed.k >= asked.k)
    assert agreed.linkage in (asked.linkage, Linkage.ALONE)
    if asked.quota is not None:
        check_quota(agreed.quota, asked.quota)


def most_in_a_month(quota: Quota, what: str) -> int | None:
    """The most that can be used within one month of 31 days, day by day."""
    limit = getattr(quota, what)
    return None if limit is None else limit * (31 if quota.period is QuotaPeriod.DAY else 1)


def check_quota(agreed: Quota | None, asked: Quota) -> None:
    assert agreed is not None
    for what in ("rows", "queries", "calls"):
        limit, own = getattr(asked, what), getattr(agreed, what)
        if limit is None:
            continue
        assert own is not None
        if asked.period is QuotaPeriod.DAY:
            assert own <= limit, "all of it could be used on one day"
        elif asked.period is QuotaPeriod.MONTH:
            assert most_in_a_month(agreed, what) <= limit
        else:
            assert agreed.period is QuotaPeriod.GRANT and own <= limit, "days and months come again and again"


@pytest.mark.slow
@given(asked=wishes, agreed=wishes, data=rows_of_data)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_what_passes_as_narrower_shows_a_part_of_the_rows(asked: Wish, agreed: Wish, data: list[dict[str, Any]]) -> None:
    if not faults_of_narrowing(agreed, asked, divisions=DIVISIONS, today=TODAY, lists=LISTS):
        check_is_within(agreed, asked, data)


@pytest.mark.slow
@given(
    asked=wishes,
    added=st.lists(comparisons(), max_size=3),
    division=st.none() | st.sampled_from(list(UNDER)),
    subjects=st.none() | st.sampled_from(SUBJECTS),
    data=rows_of_data,
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_comparisons_that_a_reviewer_adds_are_always_narrower(
    asked: Wish, added: list[Comparison], division: str | None, subjects: Any, data: list[dict[str, Any]]
) -> None:
    """By the very way in which a reviewer states them, and none of those asked for is lost."""
    agreed = narrow_wish(asked, ENTRY, condition=added, division=division, subjects=subjects)
    faults = {reason.code for reason in faults_of_narrowing(agreed, asked, divisions=DIVISIONS, today=TODAY, lists=LISTS)}
    assert faults <= {"narrowing-rows-wider", "narrowing-subjects-others"}
    if not faults:
        check_is_within(agreed, asked, data)


pairs = st.sampled_from(list(VALUES)).flatmap(lambda name: st.tuples(comparisons([name]), comparisons([name])))


@pytest.mark.slow
@given(data=rows_of_data, pair=pairs)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_comparison_that_follows_from_another_lets_its_rows_through(
    data: list[dict[str, Any]], pair: tuple[Comparison, Comparison]
) -> None:
    strong, weak = pair
    if implies(strong, weak):
        assert all(passes(row, weak) for row in data if passes(row, strong))


@given(asked=wishes)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_what_was_asked_may_be_agreed_to(asked: Wish) -> None:
    assert faults_of_narrowing(asked, asked, divisions=DIVISIONS, today=TODAY) == ()


def test_another_list_counts_as_wider_where_lists_cannot_be_compared() -> None:
    asked = replace(ASKED, subjects=SUBJECTS[1])
    agreed = replace(ASKED, subjects=SUBJECTS[0])
    codes = [reason.code for reason in faults_of_narrowing(agreed, asked, divisions=DIVISIONS, today=TODAY)]
    assert codes == ["narrowing-subjects-others"]


names = st.sampled_from([one.name for one in ENTRY.items])


@given(comparator=st.sampled_from(list(Comparator)), name=names, values=st.lists(st.text(max_size=8), max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_condition_is_judged_and_none_breaks_the_judge(comparator: Comparator, name: str, values: list[str]) -> None:
    try:
        formed = in_form([Comparison(name.upper(), comparator, tuple(values))], ENTRY)
    except InputInvalid:
        return
    faults = faults_of_wish(replace(ASKED, condition=formed), ENTRY, divisions=DIVISIONS, today=TODAY)
    assert {reason.code for reason in faults} <= {"comparison-unfit", "comparison-value-form"}
    assert in_form(formed, ENTRY) == formed
