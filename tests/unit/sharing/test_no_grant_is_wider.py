"""No sequence of actions yields a grant wider than the conditions of the dataset or the review allow.

Whether a mask shows more than another is judged here by what it does to values, not by the rule that the product uses."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.spec.sharing.world import (
    ADOPTION,
    CIVIL,
    CIVIL_ALL_ROLES,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    EDUCATION_ANALYST,
    EDUCATION_REVIEWER,
    GUIYANG,
    HOMES,
    HOUSEHOLD_ITEMS,
    LOW_INCOME,
    MEDICAL_ANALYST,
    MEDICAL_REVIEWER,
    NANMING,
    PROVINCE,
    ZUNYI,
    World,
    person,
)

from huitong.errors import HuitongError
from huitong.masks import python_mask
from huitong.model.catalog import Dataset, Item, Sharing
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
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
    Purpose,
    Quota,
    QuotaPeriod,
    Terms,
)
from huitong.model.sharing import Linkage, Request, RequestEventKind, RequestState, Wish
from huitong.policy.default_masks import default_mask
from huitong.testing import MemorySubjectLists

VALUES: dict[str, Sequence[Any]] = {
    "person_id": ["99010219800307001X", "990102198003070028", "990102198112070036", "990303197001010041"],
    "name": ["王小明同志", "王大明同志", "李小明同志", "李小红同学"],
    "born": [date(1980, 3, 7), date(1980, 3, 8), date(1980, 4, 7), date(1981, 3, 7)],
    "village": ["520102016001", "520102016002", "520102017001", "520103001001", "520303001001"],
    "income": [1200, 1250, 1900, 25000],
}
MASKS = [
    Mask(MaskKind.CLEAR),
    Mask(MaskKind.HIDE),
    Mask(MaskKind.PSEUDONYM),
    *(Mask(MaskKind.PARTIAL, {"first": first, "last": last}) for first, last in ((1, 0), (0, 1), (1, 1), (0, 0), (2, 1))),
    *(Mask(MaskKind.GENERALISE, {"to": to}) for to in ("year", "month", "birth-year", "city", "county", "township")),
    *(Mask(MaskKind.GENERALISE, {"step": step}) for step in (100, 1000, 300)),
]
PEOPLE = [
    MEDICAL_ANALYST,
    MEDICAL_REVIEWER,
    EDUCATION_ANALYST,
    EDUCATION_REVIEWER,
    CIVIL_REVIEWER,
    CIVIL_OFFICER,
    CIVIL_ALL_ROLES,
    person(MEDICAL_ANALYST.person, CIVIL, Role.REVIEWER),
]
UNDER = {PROVINCE: {PROVINCE, GUIYANG, NANMING, ZUNYI}, GUIYANG: {GUIYANG, NANMING}, NANMING: {NANMING}, ZUNYI: {ZUNYI}}
DATASETS = [LOW_INCOME, HOMES, ADOPTION]


def shows_no_more(item: Item, mask: Mask, than: Mask) -> bool:
    """Two values that `than` does not tell apart are not told apart by `mask` either."""
    less, more = (python_mask(item, one, token=lambda value: hash(value)) for one in (mask, than))
    values = VALUES[item.name]
    return all(less(one) == less(other) for one in values for other in values if more(one) == more(other))


def masks_of(item: Item) -> st.SearchStrategy[Mask]:
    from huitong.masks import check_mask

    def fits(mask: Mask) -> bool:
        try:
            check_mask(item, mask)
        except HuitongError:
            return False
        return True

    return st.sampled_from([default_mask(item)] * 4 + [mask for mask in MASKS if fits(mask)])


item_terms = st.lists(
    st.sampled_from(HOUSEHOLD_ITEMS).flatmap(lambda item: st.builds(ItemTerm, st.just(item.name), masks_of(item))),
    min_size=1,
    max_size=4,
    unique_by=lambda term: term.item,
).map(tuple)
rows = st.none() | st.builds(DivisionRows, item=st.just("village"), division=st.sampled_from(list(UNDER)))
days = st.dates(date(2026, 11, 2), date(2026, 11, 20))
purpose = st.sampled_from([Purpose("statistics", "统计法"), Purpose("statistics", "另一法"), Purpose("taxation", "税法")])
LISTS = MemorySubjectLists()
SUBJECTS = [LISTS.keep(names, dataset=LOW_INCOME.id, item="person_id") for names in (["a", "b", "c"], ["a", "b"], ["c"])]
CONDITIONS = [
    Comparison("village", Comparator.IN, ("520102016001", "520102016002")),
    Comparison("village", Comparator.IN, ("520102016001",)),
    Comparison("village", Comparator.NOT_IN, ("520102016002",)),
    Comparison("income", Comparator.AT_LEAST, ("1250",)),
    Comparison("income", Comparator.MORE_THAN, ("1250",)),
    Comparison("income", Comparator.KNOWN),
    Comparison("born", Comparator.LESS_THAN, ("1980-03-08",)),
]
conditions = st.just(()) | st.lists(st.sampled_from(CONDITIONS), max_size=3, unique=True).map(tuple)
quotas = st.none() | st.builds(Quota, st.sampled_from(list(QuotaPeriod)), rows=st.sampled_from([1, 31, 100]))
modes = st.sampled_from([(Mode.ROWS, None), (Mode.ROWS, None), (Mode.AGGREGATE_ONLY, 10), (Mode.AGGREGATE_ONLY, 20)])
linkages = st.sampled_from([Linkage.PURPOSE, Linkage.PURPOSE, Linkage.ALONE, "team"])
wishes = st.builds(
    lambda mode, **rest: Wish(mode=mode[0], k=mode[1], **rest),
    mode=modes,
    condition=conditions,
    subjects=st.none() | st.none() | st.sampled_from(SUBJECTS),
    quota=quotas,
    linkage=linkages,
    dataset=st.sampled_from([LOW_INCOME.id, LOW_INCOME.id, HOMES.id, ADOPTION.id]),
    purpose=purpose,
    items=item_terms,
    rows=rows,
    until=days,
)


@dataclass(frozen=True)
class Step:
    """One thing somebody tries; `which` picks among the requests or grants there are, the newest first."""

    act: str
    who: Actor
    which: int
    wish: Wish
    change: frozenset[str]
    """What a reviewer takes from another wish, or leaves out: one or two things at a time, so that most else fits."""
    named: frozenset[str]


ITEM_NAMES = [item.name for item in HOUSEHOLD_ITEMS]
names = st.just(frozenset(ITEM_NAMES)) | st.frozensets(st.sampled_from(ITEM_NAMES))
TERMS = ["condition", "subjects", "mode", "quota", "linkage"]
CHANGES = ["fewer", "masks", "other-item", "rows", "until", "purpose", "dataset", *TERMS]
changes = st.frozensets(st.sampled_from(CHANGES), max_size=2)
LIKELY = {
    "submit": [MEDICAL_ANALYST, EDUCATION_ANALYST, CIVIL_ALL_ROLES],
    "approve": [CIVIL_REVIEWER, CIVIL_REVIEWER, CIVIL_ALL_ROLES, PEOPLE[-1]],
    "refuse": [CIVIL_REVIEWER],
    "withdraw": [MEDICAL_ANALYST, EDUCATION_ANALYST],
    "revoke": [CIVIL_REVIEWER, MEDICAL_ANALYST],
}


def step_of(act: str) -> st.SearchStrategy[Step]:
    """A step of that kind, by somebody who often may."""
    likely = st.sampled_from(LIKELY.get(act, PEOPLE))
    return st.builds(
        Step,
        act=st.just(act),
        who=likely | likely | st.sampled_from(PEOPLE),
        which=st.integers(0, 2),
        wish=wishes,
        change=changes,
        named=names,
    )


acts = ["submit"] * 4 + ["approve"] * 7 + ["prepare"] * 2
acts += ["refuse", "withdraw", "revoke", "snapshot", "share-otherwise", "next-day"]
acts += ["prepare-while-snapshot", "snapshot-while-submit"]
steps = st.sampled_from(acts).flatmap(step_of)


def stated(request: Request, step: Step) -> Wish | None:
    """What a reviewer states: the wish with the step's changes, sometimes narrower, sometimes not; None for plain agreement."""
    if not step.change:
        return None
    asked, other = request.wish, step.wish
    items = list(asked.items)
    if "fewer" in step.change:
        items = items[: max(1, len(items) - 1)]
    if "masks" in step.change:
        masks = {term.item: term.mask for term in other.items}
        items = [ItemTerm(term.item, masks.get(term.item, term.mask)) for term in items]
    if "other-item" in step.change:
        items += [term for term in other.items if all(term.item != one.item for one in items)]
    return Wish(
        dataset=other.dataset if "dataset" in step.change else asked.dataset,
        purpose=other.purpose if "purpose" in step.change else asked.purpose,
        items=tuple(items),
        rows=other.rows if "rows" in step.change else asked.rows,
        mode=other.mode if "mode" in step.change else asked.mode,
        k=other.k if "mode" in step.change else asked.k,
        until=other.until if "until" in step.change else asked.until,
        condition=other.condition if "condition" in step.change else asked.condition,
        subjects=other.subjects if "subjects" in step.change else asked.subjects,
        quota=other.quota if "quota" in step.change else asked.quota,
        linkage=other.linkage if "linkage" in step.change else asked.linkage,
    )


def attempt(world: World, step: Step) -> None:
    """Let somebody try; what the rules refuse leaves everything as it was."""
    requests, grants = list(world.stores.sharing._requests)[::-1], list(world.stores.sharing._grants)[::-1]
    sharing, entry = world.sharing, DATASETS[step.which % len(DATASETS)]
    if step.act == "submit":
        sharing.submit(step.wish, by=step.who)
    elif step.act == "next-day":
        world.clock.advance(days=1)
    elif step.act == "snapshot":
        take_snapshot(world, entry)
    elif step.act == "snapshot-while-submit":
        while_building(world, lambda: sharing.submit(step.wish, by=step.who), lambda: take_snapshot(world, entry))
    elif step.act == "share-otherwise":
        old = world.stores.catalog.dataset(entry.id)
        kinds = list(Sharing)
        kind = kinds[(kinds.index(old.sharing) + 1) % len(kinds)]
        changed = replace(old, sharing=kind, sharing_condition=LOW_INCOME.sharing_condition, sharing_basis="新规定")
        world.catalog.publish(changed, by=CIVIL_OFFICER)
    elif step.act in ("revoke", "prepare", "prepare-while-snapshot"):
        if grants:
            grant = world.stores.sharing.grant(grants[step.which % len(grants)])
            if step.act == "revoke":
                sharing.revoke(grant.id, by=step.who, words="over")
            elif step.act == "prepare":
                sharing.prepare(grant.id)
            else:
                late = next(one for one in DATASETS if one.id == grant.dataset)
                while_building(world, lambda: take_snapshot(world, late), lambda: sharing.prepare(grant.id))
    elif requests:
        request = world.stores.sharing.request(requests[step.which % len(requests)])
        if step.act == "refuse":
            sharing.refuse(request.id, by=step.who, reason="refused-no-duty")
        elif step.act == "withdraw":
            sharing.withdraw(request.id, by=step.who)
        else:
            sharing.approve(request.id, by=step.who, narrowed=stated(request, step), weaker_masks=step.named)


def take_snapshot(world: World, entry: Dataset) -> None:
    current = world.stores.catalog.current_snapshot(entry.id)
    world.sharing.take_snapshot(world.snapshot(entry, current.version + 1 if current else 1), by=CIVIL_OFFICER)


def while_building(world: World, meanwhile: Callable[[], object], act: Callable[[], object]) -> None:
    """Do `act`, and `meanwhile` once, right after the first side table was built, as another process might."""
    tables = world.stores.side_tables
    build, left = tables.build, [meanwhile]

    def build_and_more(*arguments: Any) -> None:
        build(*arguments)
        if left:
            with suppress(HuitongError):
                left.pop()()

    tables.build = build_and_more  # type: ignore[method-assign]
    try:
        act()
    finally:
        tables.build = build  # type: ignore[method-assign]


def check_grant(world: World, grant: Grant, sharing_then: dict[str, Sharing], named: dict[str, frozenset[str]]) -> None:
    """The grant is within the request, the conditions and the review."""
    request = world.stores.sharing.request(grant.request)
    entry: Dataset = next(one for one in DATASETS if one.id == grant.dataset)
    asked, answer = request.wish, request.events[-1]
    assert request.state is RequestState.GRANTED and answer.kind is RequestEventKind.APPROVED
    assert (grant.using_office, grant.signed_by, grant.provider) == (request.applicant_office, request.applicant, CIVIL)
    assert grant.dataset == asked.dataset and grant.terms.purpose == asked.purpose
    check_rules(grant, asked)
    assert sharing_then[grant.id] is not Sharing.NOT_SHARED

    wished = {term.item: term.mask for term in asked.items}
    by_rule = answer.actor == "rule"
    for term in grant.terms.items:
        item = entry.item(term.item)
        assert term.item in wished
        assert shows_no_more(item, term.mask, wished[term.item])
        if not shows_no_more(item, term.mask, default_mask(item)):
            assert not by_rule and term.item in named[grant.id], "a weaker mask was named by a reviewer"
            assert sharing_then[grant.id] is Sharing.CONDITIONAL
    if asked.rows is not None:
        assert grant.terms.rows.division in UNDER[asked.rows.division]
    assert grant.terms.valid_until.date() <= asked.until
    assert grant.terms.valid_from == grant.granted_at < grant.terms.valid_until
    if by_rule:
        assert sharing_then[grant.id] is Sharing.UNCONDITIONAL
    else:
        assert answer.actor != request.applicant
        assert any(one.person == answer.actor and one.office == CIVIL and one.has(Role.REVIEWER) for one in PEOPLE)
        agreeing = {event.actor: event.wish for event in request.events if event.kind in AGREEING}
        assert len(agreeing) >= reviewers_of(grant.terms.items, grant.terms), "two people agreed where the grade asks for two"
        for term in grant.terms.items:
            masks = [next(one.mask for one in wish.items if one.item == term.item) for wish in agreeing.values()]
            assert all(shows_no_more(entry.item(term.item), term.mask, mask) for mask in masks), "each of them to at least as much"
    current = world.stores.catalog.current_snapshot(grant.dataset)
    for term in grant.terms.items:
        if term.mask.kind is MaskKind.PSEUDONYM and current is not None and grant.valid_at(world.clock()):
            assert world.stores.side_tables.files(grant.terms.linkage_group, grant.dataset, term.item, current.version)


DATA = [
    {"person_id": person_id, "village": village, "income": income, "born": born}
    for person_id in ("a", "b", "c", "d", None)
    for village in ("520102016001", "520102016002", "520103001001", None)
    for income in (1249, 1250, 1251, None)
    for born in (date(1980, 3, 7), date(1980, 3, 8), None)
]
HOLDS: dict[Comparator, Callable[[Any, list[Any]], bool]] = {
    Comparator.IN: lambda value, others: value in others,
    Comparator.NOT_IN: lambda value, others: value not in others,
    Comparator.AT_LEAST: lambda value, others: value >= others[0],
    Comparator.MORE_THAN: lambda value, others: value > others[0],
    Comparator.LESS_THAN: lambda value, others: value < others[0],
    Comparator.KNOWN: lambda _value, _others: True,
}
READ: dict[str, Callable[[str], Any]] = {"village": str, "income": int, "born": date.fromisoformat}


def rows_of(terms: Wish | Terms) -> set[int]:
    """The rows that condition and list let through, worked out by hand; unknown is never yes."""
    return {
        number
        for number, row in enumerate(DATA)
        if (terms.subjects is None or row["person_id"] in LISTS.lists[terms.subjects.subjects])
        and all(
            row[one.item] is not None and HOLDS[one.comparator](row[one.item], [READ[one.item](value) for value in one.values])
            for one in terms.condition
        )
    }


def check_rules(grant: Grant, asked: Wish) -> None:
    """Rows, mode, group size, quota and linkage are within what was asked."""
    terms = grant.terms
    assert rows_of(terms) <= rows_of(asked)
    assert asked.mode is Mode.ROWS or terms.mode is Mode.AGGREGATE_ONLY
    assert terms.mode is Mode.ROWS or terms.k >= max(10, asked.k or 0)
    if asked.quota is not None:
        times = 31 if (terms.quota.period, asked.quota.period) == (QuotaPeriod.DAY, QuotaPeriod.MONTH) else 1
        assert terms.quota.rows * times <= asked.quota.rows
        assert times > 1 or list(QuotaPeriod).index(terms.quota.period) >= list(QuotaPeriod).index(asked.quota.period)
    alone = f"{grant.using_office}:={grant.id}"
    own = {Linkage.PURPOSE: f"{grant.using_office}:{asked.purpose.code}", Linkage.ALONE: alone}
    assert terms.linkage_group in (alone, own.get(asked.linkage, f"{grant.using_office}:+{asked.linkage}"))


AGREEING = (RequestEventKind.ENDORSED, RequestEventKind.APPROVED)


def reviewers_of(terms: Sequence[ItemTerm], rules: Wish | Terms) -> int:
    """Two where the resident number, of grade 4, leaves as more than its pseudonym or as a list of persons: said here by hand, not by the
    product's rule."""
    if rules.subjects is not None:
        return 2
    masks = {term.item: term.mask.kind for term in terms}
    return 1 if masks.get("person_id", MaskKind.HIDE) in (MaskKind.HIDE, MaskKind.PSEUDONYM) else 2


def picture(world: World) -> tuple[object, ...]:
    sharing, catalog = world.stores.sharing, world.stores.catalog
    kept = dict(sharing._requests), dict(sharing._grants), dict(catalog._datasets), dict(catalog._snapshots)
    return *kept, world.stores.epoch.current(), len(world.ledger.written)


def run(sequence: Sequence[Step]) -> World:
    world = World().publish_all()
    world.sharing = replace(world.sharing, lists=LISTS)
    sharing_then: dict[str, Sharing] = {}
    named: dict[str, frozenset[str]] = {}
    revoked: set[str] = set()
    for step in sequence:
        before = picture(world)
        try:
            attempt(world, step)
        except HuitongError:
            if "while" not in step.act:
                assert picture(world) == before, "what is refused changes nothing"
        for grant in world.stores.sharing._grants.values():
            if grant.id not in sharing_then:
                sharing_then[grant.id] = world.stores.catalog.dataset(grant.dataset).sharing
                named[grant.id] = step.named
            check_grant(world, grant, sharing_then, named)
            assert grant.id not in revoked or grant.state is GrantState.REVOKED, "revoked stays revoked"
            if grant.state is GrantState.REVOKED:
                revoked.add(grant.id)
    kinds = world.ledger.kinds
    assert kinds.count(EntryKind.GRANT_MADE) == len(sharing_then)
    assert kinds.count(EntryKind.GRANT_REVOKED) == len(revoked)
    assert kinds.count(EntryKind.REQUEST_SUBMITTED) == len(world.stores.sharing._requests)
    return world


@pytest.mark.slow
@given(sequence=st.lists(steps, min_size=6, max_size=40))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
def test_no_sequence_of_actions_yields_a_wider_grant(sequence: list[Step]) -> None:
    run(sequence)


every_item = st.tuples(*(st.builds(ItemTerm, st.just(item.name), masks_of(item)) for item in HOUSEHOLD_ITEMS))


@given(wish=wishes, other=wishes, terms=every_item, change=st.sampled_from(CHANGES), named=names)
@settings(max_examples=80, deadline=None)
def test_a_review_never_agrees_to_more_than_was_asked(
    wish: Wish, other: Wish, terms: tuple[ItemTerm, ...], change: str, named: frozenset[str]
) -> None:
    """One request and one review by those who may, with one thing changed: every example comes to the judgement."""
    wish, other = replace(wish, dataset=LOW_INCOME.id), replace(other, items=terms)
    asks = Step(act="submit", who=MEDICAL_ANALYST, which=0, wish=wish, change=frozenset(), named=named)
    world = run([asks, replace(asks, act="approve", who=CIVIL_REVIEWER, wish=other, change=frozenset({change}))])
    for grant in world.stores.sharing._grants.values():
        agreed = world.stores.sharing.request(grant.request).events[-1].wish
        assert agreed.dataset == grant.dataset and agreed.purpose == wish.purpose
        assert set(grant.terms.items) == set(agreed.items) and grant.terms.rows == agreed.rows


@given(asks=st.sampled_from(PEOPLE), answers=st.sampled_from(PEOPLE), wish=wishes)
@settings(max_examples=60, deadline=None)
def test_only_another_reviewer_of_the_managing_office_brings_a_grant_about(asks: Actor, answers: Actor, wish: Wish) -> None:
    step = Step(
        act="submit",
        who=asks,
        which=0,
        wish=replace(wish, dataset=LOW_INCOME.id),
        change=frozenset(),
        named=frozenset(ITEM_NAMES),
    )
    world = run([step, replace(step, act="approve", who=answers)])
    lawful = answers.office == CIVIL and answers.has(Role.REVIEWER) and answers.person != asks.person and asks.has(Role.ANALYST)
    assert bool(world.stores.sharing._grants) == (lawful and reviewers_of(wish.items, wish) == 1)


@given(wish=wishes)
@settings(max_examples=50, deadline=None)
def test_a_reviewer_who_agrees_to_everything_grants_everything(wish: Wish) -> None:
    """What is lawful is not refused either."""
    world = World().publish_all()
    world.sharing = replace(world.sharing, lists=LISTS)
    request = world.sharing.submit(replace(wish, dataset=LOW_INCOME.id), by=MEDICAL_ANALYST)
    for reviewer in (CIVIL_REVIEWER, CIVIL_ALL_ROLES)[: reviewers_of(wish.items, wish)]:
        agreed = world.sharing.approve(request.id, by=reviewer, weaker_masks=ITEM_NAMES)
    grant = world.sharing.grant_of(agreed)
    assert set(grant.terms.items) == set(wish.items) and grant.terms.rows == wish.rows
