"""The real gateway with DuckDB and the reference engine say the same: the same bag of rows, or a refusal for the same reasons.

Whatever the grants, the statement and the data are. A second test breaks the rewriter in one place after the other and sees that this
comparison finds every breach, so that "no difference" means something."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp
from tests.property.gateway.random_cases import CLEAR, CONSTRUCTS, FIRM, PERSON, Case, Statement, make_case
from tests.property.gateway.reference import RandomWorld, difference, may_be_named, through_the_gateway, through_the_reference
from tests.property.gateway.statements_by_hand import STATEMENTS
from tests.spec.governed.governed_world import make_grant

from huitong.gateway import aggregates
from huitong.gateway.rewrite import row_rules
from huitong.model.policy import Comparator, MaskKind

pytestmark = pytest.mark.slow

SOAK = bool(os.environ.get("HUITONG_SOAK"))
EXAMPLES, DEPTH = (3000, 3) if SOAK else (90, 2)
ACCEPTED = 0.85
"""At least this share of the statements runs, or the comparison would be one of refusals."""
GAPS = 0.02
"""At most this share is something that the reference does not have."""


@dataclass
class Tally:
    """What was compared so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    made: set[str] = field(default_factory=set)
    terms: set[str] = field(default_factory=set)

    def of_terms(self, case: Case) -> None:
        for grant in case.grants:
            terms = grant.terms
            self.terms |= {f"mask {term.mask.kind.value}" for term in terms.items} | {one.comparator.value for one in terms.condition}
            self.terms |= {f"k {terms.k}", f"division {terms.rows is not None}", f"list {grant.id in case.listed}"}
        self.terms.add(f"grants {len(case.grants)}")


def compare(world: RandomWorld, case: Case, tally: Tally | None = None) -> list[str]:
    """Every difference in the case."""
    world.take(case)
    found = []
    tally = tally or Tally()
    for statement in case.statements:
        gateway, reference = through_the_gateway(world, statement.sql), through_the_reference(world, statement.sql)
        tally.outcomes["gap" if reference.gap else "refused" if gateway.refused else "ran"] += 1
        if reference.gap:
            continue
        if not gateway.refused:
            tally.made |= statement.made
            if not may_be_named(world, statement):
                found.append(f"{statement.sql}\nnames what no grant holds, and ran")
        if (differs := difference(statement, gateway, reference)) is not None:
            found.append(f"{statement.sql}\n{differs}")
    return found


def test_the_gateway_and_the_reference_say_the_same(tmp_path: Path) -> None:
    world, tally = RandomWorld(tmp_path), Tally()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(min_value=0, max_value=2**32 - 1))
    def every_case(number: int) -> None:
        case = make_case(Random(number), depth=DEPTH)
        tally.of_terms(case)
        assert compare(world, case, tally) == []

    every_case()
    of_all = tally.outcomes.total()
    assert tally.outcomes["ran"] >= ACCEPTED * of_all, tally.outcomes
    assert tally.outcomes["gap"] <= GAPS * of_all, tally.outcomes
    assert tally.outcomes["refused"] > 0
    assert CONSTRUCTS - tally.made == set(), "parts of the grammar that no statement that ran had"
    wanted = {f"mask {kind.value}" for kind in MaskKind} | {one.value for one in Comparator}
    wanted |= {"k None", "k 2", "k 3", "division True", "division False", "list True", "list False", "grants 2", "grants 3", "grants 4"}
    assert wanted - tally.terms == set(), "terms that no grant had"


@pytest.mark.parametrize("number", range(2, 42) if SOAK else (2, 5))
def test_statements_by_hand_give_the_same_rows(tmp_path: Path, number: int) -> None:
    """All items in clear, so that nothing but the statement decides; none is refused for what it is, and none is a gap."""
    world, drawn, tally = RandomWorld(tmp_path), make_case(Random(number)), Tally()
    grants = [make_grant(one.id, {entry.name: CLEAR for entry in one.items}, provider=one.provider) for one in (PERSON, FIRM)]
    asked = [Statement(sql, set(), {}, ordered=False) for sql in STATEMENTS]
    assert compare(world, Case(PERSON, drawn.rows, grants, {}, asked), tally) == []
    assert tally.outcomes["gap"] == 0
    assert tally.outcomes["ran"] > 0.9 * len(STATEMENTS), "what overflows may fail, in both"


def unmasked(_item: Any, _mask: Any, column: exp.Expr, *, token: exp.Expr | None = None, **_about: Any) -> exp.Expr:
    return column if token is None else token


def rows_for_entities(use: Any, _part: Any, item: exp.Expr | None) -> exp.Expr:
    return exp.Count(this=exp.Star() if item is None else item.copy())


at_least = aggregates._at_least
Breach = Callable[[pytest.MonkeyPatch], None]
Touches = Callable[[Case], bool]
"""Whether a case has what the breach is about; the others need not run."""


def any_case(_case: Case) -> bool:
    return True


def of_totals(case: Case) -> bool:
    return any(grant.terms.k is not None for grant in case.grants)


def of_lists(case: Case) -> bool:
    return bool(case.listed)


def of_at_least(case: Case) -> bool:
    return any(one.comparator is Comparator.AT_LEAST for grant in case.grants for one in grant.terms.condition)


def of_division(case: Case) -> bool:
    return any(sign in statement.sql for statement in case.statements for sign in (" / ", " // ", " * "))


BREACHES: dict[str, tuple[Touches, Breach]] = {
    "masks left out": (any_case, lambda patch: patch.setattr("huitong.gateway.rewrite.subquery.sql_mask", unmasked)),
    "rules of rows left out": (any_case, lambda patch: patch.setattr("huitong.gateway.rewrite.subquery.row_rule", lambda *_: None)),
    "the list of subjects left out": (of_lists, lambda patch: patch.setattr(row_rules, "_of_subjects", lambda *_: exp.true())),
    "at least read as more than": (of_at_least, lambda patch: patch.setitem(row_rules._ORDER, Comparator.AT_LEAST, exp.GT)),
    "k one too small": (of_totals, lambda patch: patch.setattr(aggregates, "_at_least", lambda count, k: at_least(count, k - 1))),
    "k one too large": (of_totals, lambda patch: patch.setattr(aggregates, "_at_least", lambda count, k: at_least(count, k + 1))),
    "rows counted for entities": (of_totals, lambda patch: patch.setattr(aggregates, "_entities", rows_for_entities)),
    "totals of few shown": (of_totals, lambda patch: patch.setattr(aggregates, "_hide_small_totals", lambda *_: None)),
    "arithmetic as it comes": (of_division, lambda patch: patch.setattr("huitong.gateway.rewrite.make_safe", lambda _tree: None)),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_broken_rewriter_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breach: str) -> None:
    world = RandomWorld(tmp_path)
    touches, break_it = BREACHES[breach]
    break_it(monkeypatch)
    cases = filter(touches, (make_case(Random(number)) for number in range(1000)))
    assert any(compare(world, case) for case in cases), "the comparison does not see it"
