"""Decisions made ready say what `decide` says: the same grant, the same reasons, the same notices, whatever is asked and held."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.spec.governed.governed_world import ANALYST, CLEAR, HIDE, NANMING, NOW, SURNAME_ONLY, YUNYAN, dataset, item, make_grant

from huitong.model.catalog import Dataset, Grade, Sharing
from huitong.model.party import Actor, Role
from huitong.model.policy import Comparator, Comparison, Decision, Grant, GrantState, Mode, NoisedTerms, Quota, QuotaPeriod
from huitong.policy.compiled import PARTS_OF_A_PROCESS, Carried, Decider, Rights, evidence_of
from huitong.policy.decide import decide
from huitong.policy.schemes import scheme, scheme_ids

ITEMS = ("Name", "born", "Kin", "身份证号", "core_item", "note")
ASKED = ("Name", "name", "NAME", "born", "BORN", "kin", "\u212ain", "身份证号", "core_item", "Core_Item", "note", "unheard_of", "")
OFFICES = ("gz-rural", "gz-housing")
PURPOSES = ("poverty-relief", "statistics")
DAYS = st.integers(-3, 3).map(timedelta)
MASKS = st.sampled_from((CLEAR, SURNAME_ONLY, HIDE))


@st.composite
def entries(draw: st.DrawFn) -> Mapping[str, Dataset]:
    """Up to three datasets whose items have any grade."""
    found = {}
    for name in draw(st.sets(st.sampled_from(("a.one", "b.two", "c.three")), min_size=1)):
        items = [item(one, grade=draw(st.sampled_from(Grade))) for one in draw(st.permutations(ITEMS))[: draw(st.integers(1, 6))]]
        found[name] = dataset(name, *items, provider="gz-tax", sharing=draw(st.sampled_from(Sharing)))
    return found


@st.composite
def grants(draw: st.DrawFn) -> Sequence[Grant]:
    """Grants of any office, purpose, state and interval, also over a dataset that nobody published."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        begins = NOW + draw(DAYS)
        granted = make_grant(
            draw(st.sampled_from(("a.one", "a.one", "b.two", "c.three", "d.gone"))),
            draw(st.dictionaries(st.sampled_from((*ITEMS, "name", "elsewhere")), MASKS, min_size=1)),
            number=f"G-{number}",
            office=draw(st.sampled_from((*OFFICES, "gz-rural"))),
            purpose=draw(st.sampled_from((*PURPOSES, "poverty-relief"))),
            rows=draw(st.sampled_from((None, NANMING, YUNYAN))),
            valid_from=begins,
            valid_until=begins + timedelta(days=draw(st.integers(1, 4))),
            granted_at=NOW - timedelta(days=draw(st.integers(1, 3))),
        )
        mode = draw(st.sampled_from((Mode.ROWS, Mode.ROWS, *Mode)))
        more = {
            "mode": mode,
            "k": 5 if mode is Mode.AGGREGATE_ONLY else None,
            "noised": NoisedTerms(1_000_000, 2_000_000, 1) if mode is Mode.NOISED else None,
            "condition": draw(st.sampled_from(((), (), (Comparison("note", Comparator.IN, ("x",)),)))),
            "quota": draw(st.sampled_from((None, None, Quota(QuotaPeriod.DAY, calls=9)))),
        }
        granted = replace(granted, terms=replace(granted.terms, **more))
        state = draw(st.sampled_from((GrantState.ACTIVE, GrantState.ACTIVE, *GrantState)))
        found.append(replace(granted, state=state, revoked_at=NOW if state is GrantState.REVOKED else None))
    return found


QUESTIONS = st.lists(
    st.tuples(
        st.builds(
            lambda office, roles: replace(ANALYST, office=office, roles=roles),
            st.sampled_from((*OFFICES, "gz-rural", "gz-rural")),
            st.sampled_from((frozenset((Role.ANALYST,)), frozenset((Role.ANALYST, Role.REVIEWER)), frozenset((Role.OPERATOR,)))),
        ),
        st.sampled_from((*PURPOSES, "poverty-relief", "poverty-relief", "", "no purpose!", "unheard-of")),
        st.dictionaries(st.sampled_from(("a.one", "b.two", "c.three", "d.gone")), st.frozensets(st.sampled_from(ASKED), max_size=4)),
        st.builds(lambda days, zone: (NOW + days).astimezone(zone), DAYS, st.sampled_from((UTC, timezone(timedelta(hours=8))))),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=600, deadline=None, derandomize=True)
@given(found=entries(), held=grants(), questions=QUESTIONS, name=st.sampled_from(scheme_ids()))
def test_every_question_has_the_same_answer(
    found: Mapping[str, Dataset],
    held: Sequence[Grant],
    questions: Sequence[tuple[Actor, str, dict[str, frozenset[str]], datetime]],
    name: str,
) -> None:
    rights = Rights.of(held, found, scheme=scheme(name))
    kept = Decider(_Held(held), scheme=scheme(name))
    for actor, purpose, uses, at in (*questions, *questions):
        own = [grant for grant in held if grant.using_office == actor.office]
        plain = decide(actor=actor, purpose=purpose, uses=uses, datasets=found, grants=own, at=at, scheme=scheme(name))
        for ready in (rights, kept.rights(actor.office, dict(found), epoch=1)):
            _same(ready.decide(actor=actor, purpose=purpose, uses=uses, at=at), plain)
        for dataset_id, items in uses.items():
            _agrees(rights.carried(actor, purpose, dataset_id, items, at), dataset_id, plain)


def _same(ready: Decision, plain: Decision) -> None:
    assert ready == plain
    assert all(ready.grants[name] is grant for name, grant in plain.grants.items())


def _agrees(carried: Carried | None, dataset_id: str, plain: Decision) -> None:
    """What is carried by itself is what the whole decision takes, unless another dataset was refused."""
    if carried is not None:
        assert carried.evidence == evidence_of(carried.grant)
        assert plain.grants.get(dataset_id, carried.grant) is carried.grant


class _Held:
    """Grants of offices, and how often they were asked for."""

    def __init__(self, held: Sequence[Grant]) -> None:
        self.held = list(held)
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def grants_of_office(self, office: str, datasets: Collection[str], /) -> Sequence[Grant]:
        self.asked.append((office, tuple(datasets)))
        return [grant for grant in self.held if grant.using_office == office and grant.dataset in datasets]


ENTRY = dataset("a.one", item("Name"), item("born"), provider="gz-tax")
GRANT = make_grant("a.one", {"Name": CLEAR})


def _allowed(decider: Decider, epoch: int, described: Dataset = ENTRY, names: frozenset[str] = frozenset(("name",))) -> bool:
    rights = decider.rights("gz-rural", {described.id: described}, epoch=epoch)
    return rights.decide(actor=ANALYST, purpose="poverty-relief", uses={described.id: names}, at=NOW).allowed


def test_grants_are_read_once_in_an_epoch_and_anew_in_the_next() -> None:
    held = _Held([GRANT])
    decider = Decider(held)
    assert _allowed(decider, 1)
    assert _allowed(decider, 1)
    assert held.asked == [("gz-rural", ("a.one",))]
    held.held = [replace(GRANT, state=GrantState.REVOKED, revoked_at=NOW)]
    assert not _allowed(decider, 2), "a revocation moves the epoch and is seen at the next request"
    assert len(held.asked) == 2


def test_one_statement_reads_what_is_missing_of_all_datasets() -> None:
    held = _Held([GRANT, make_grant("b.two", {"born": CLEAR})])
    decider = Decider(held)
    _allowed(decider, 1)
    second = dataset("b.two", item("born"), provider="gz-tax")
    third = dataset("c.three", item("born"), provider="gz-tax")
    rights = decider.rights("gz-rural", {one.id: one for one in (ENTRY, second, third)}, epoch=1)
    assert held.asked == [("gz-rural", ("a.one",)), ("gz-rural", ("b.two", "c.three"))]
    uses = {"a.one": frozenset(("name",)), "b.two": frozenset(("born",))}
    assert rights.decide(actor=ANALYST, purpose="poverty-relief", uses=uses, at=NOW).allowed


def test_an_entry_that_changed_is_judged_as_it_is_now() -> None:
    decider = Decider(_Held([GRANT]))
    assert _allowed(decider, 1)
    raised = dataset("a.one", item("Name", grade=Grade.CORE), item("born"), provider="gz-tax")
    assert not _allowed(decider, 1, raised), "its grade lets nothing leave"
    assert _allowed(decider, 1, dataset("a.one", item("Name"), item("born"), provider="gz-tax")), "an equal entry is the same entry"


def test_what_is_kept_of_datasets_and_of_purposes_has_a_bound() -> None:
    decider = Decider(_Held([]))
    for number in range(PARTS_OF_A_PROCESS + 10):
        rights = decider.rights(f"office-{number}", {"a.one": ENTRY}, epoch=1)
    assert len(rights) < 20
    rights = Rights.of([GRANT], {"a.one": ENTRY})
    for number in range(100):
        rights.decide(actor=ANALYST, purpose=f"purpose-{number}", uses={"a.one": frozenset(("name",))}, at=NOW)
    assert len(rights._ready) == 0, "a purpose that nothing is granted for is not kept"
