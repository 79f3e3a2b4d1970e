"""A grant of noised totals: every number bears noise of differential privacy, and a budget says how many there may be."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.spec.governed.governed_world import ANALYST, CLEAR, NANMING, PERSON, PSEUDONYM, Grant, World, make_grant

from huitong.errors import InputInvalid, Refused, Unavailable
from huitong.masks import noise
from huitong.model.ledger import EntryKind
from huitong.model.policy import Mode, NoisedTerms, Terms, ValueBounds
from huitong.model.query import QueryRequest
from huitong.sharing.noised import account_of_grant, account_of_office

pytestmark = pytest.mark.slow

EPSILON = 1_000_000
"""One, in millionths."""
ITEMS = {"pid": PSEUDONYM, "name": CLEAR, "gender": CLEAR, "division": CLEAR, "salary": CLEAR, "weight": CLEAR}
BOUNDS = (ValueBounds("salary", "0", "1000"), ValueBounds("weight", "-5", "5.5"))
BY_GENDER = (
    "SELECT gender, count(*) AS n, sum(salary) AS s FROM civil.person WHERE gender IN ('男', '女', 'x') GROUP BY gender ORDER BY gender"
)


def person(number: int, **values: Any) -> Mapping[str, Any]:
    row = {item.name: None for item in PERSON.items}
    return {**row, "pid": f"p{number}", "name": f"CANARY-{number}", "division": NANMING, **values}


def noised(epsilon: int = 2 * EPSILON, together: int = 3 * EPSILON, rows: int = 1, number: str | None = None, **rules: Any) -> Grant:
    terms = NoisedTerms(epsilon, together, rows, BOUNDS)
    return make_grant("civil.person", ITEMS, mode=Mode.NOISED, noised=terms, number=number, **rules)


@pytest.fixture
def world(world: World) -> World:
    """Two hundred men and a hundred women of one row each, each with a salary of 500."""
    world.load(PERSON, [person(n, gender="女" if n % 3 == 0 else "男", salary=500, weight=1.25) for n in range(300)])
    world.grants[0] = noised()
    return world


def spent(world: World) -> tuple[int, int]:
    """Of the grant, and of the office over the dataset."""
    return world.budgets.use_of(world.grants[0]).spent, world.budget_store.spent(account_of_office(ANALYST.office, "civil.person"))


# --- what is told --------------------------------------------------------------------------------------------------------


def test_every_group_that_is_named_is_told_whether_anybody_is_in_it_or_not(world: World) -> None:
    """The noise of a count of 1/2 epsilon passes 100 once in 10^21 answers."""
    rows = {row["gender"]: row for row in world.ask(BY_GENDER, epsilon=EPSILON).table.to_pylist()}
    assert list(rows) == sorted(rows)
    assert set(rows) == {"男", "女", "x"}
    assert abs(rows["男"]["n"] - 200) < 100
    assert abs(rows["女"]["n"] - 100) < 100
    assert rows["x"]["n"] < 100


def test_groups_that_are_not_named_cannot_be_found(world: World) -> None:
    found = world.refusal("SELECT gender, count(*) FROM civil.person GROUP BY gender")
    assert [(one.code, one.parameters["item"]) for one in found.reasons] == [("noised-groups-not-named", "gender")]
    named_by_or = "SELECT gender, count(*) FROM civil.person WHERE gender = '男' OR gender = '女' GROUP BY gender"
    assert world.codes(named_by_or) == {"noised-groups-not-named"}
    assert world.codes("SELECT gender, count(*) FROM civil.person WHERE NOT gender = '男' GROUP BY gender") == {"noised-groups-not-named"}


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT name FROM civil.person", "noised-output"),
        ("SELECT max(salary) FROM civil.person", "noised-output"),
        ("SELECT count(DISTINCT name) FROM civil.person", "noised-output"),
        ("SELECT sum(salary * 2) FROM civil.person", "noised-output"),
        ("SELECT sum(pid) FROM civil.person", "noised-item-without-bounds"),
        ("SELECT gender FROM civil.person WHERE gender = '男' GROUP BY gender", "noised-nothing-counted"),
        ("SELECT count(*) FROM civil.person WHERE salary / 0 > 1", "totals-where"),
        ("SELECT count(*) FROM civil.person HAVING salary > 1", "totals-having"),
        ("SELECT count(*) FROM civil.person p JOIN civil.person q ON p.pid = q.pid", "noised-one-select"),
        ("SELECT n FROM (SELECT count(*) AS n FROM civil.person) t", "noised-one-select"),
        ("SELECT count(*) OVER () FROM civil.person", "noised-one-select"),
    ],
)
def test_what_is_not_shown_to_be_private_is_refused_and_spends_nothing(world: World, sql: str, code: str) -> None:
    assert code in world.codes(sql)
    assert spent(world) == (0, 0)


def test_a_mean_lies_between_the_bounds_and_a_sum_of_nothing_negative_is_not(world: World) -> None:
    sql = "SELECT avg(salary) AS a, sum(salary) AS s, avg(weight) AS w FROM civil.person WHERE gender = 'nobody'"
    for _ in range(5):
        world.budget_store.accounts.clear()
        world.budget_store.answers.clear()
        (row,) = world.ask(sql, epsilon=1000).table.to_pylist()
        assert row["a"] is None or 0 <= row["a"] <= 1000
        assert row["w"] is None or -5 <= row["w"] <= 5.5
        assert row["s"] >= 0


def test_a_value_beyond_its_bounds_counts_as_the_bound(world: World) -> None:
    """The one who earns a million counts as one who earns a thousand: no more than 1000, and noise of it."""
    world.load(PERSON, [person(1, gender="男", salary=10**9)])
    (row,) = world.ask("SELECT sum(salary) AS s FROM civil.person", epsilon=2 * EPSILON).table.to_pylist()
    assert row["s"] <= 1000 + 500 * 50  # noise of scale 500 passes 25,000 once in 10^21 answers


def test_conditions_and_limits_see_what_is_told_alone(world: World) -> None:
    table = world.ask(BY_GENDER.replace("ORDER BY", "HAVING count(*) > 50 ORDER BY"), epsilon=EPSILON).table
    all_of_them = world.ask(BY_GENDER, epsilon=EPSILON).table.to_pylist()
    assert table.to_pylist() == [row for row in all_of_them if row["n"] > 50]
    assert spent(world)[0] == EPSILON


def test_the_answer_says_what_it_spent_what_is_left_and_how_large_the_noise_is(world: World) -> None:
    found = {one.code: one.parameters for one in world.ask("SELECT count(*) AS n FROM civil.person", epsilon=500_000).notices}
    assert found["noised-told"] == {"grant": "G-civil.person", "epsilon": "0.5", "left": "1.5"}
    assert found["noised-within"] == {"output": "n", "within": "5.99"}  # ln(20) / 0.5
    assert found["noised-of-an-entity"]["item"] == "pid"


# --- the budget ----------------------------------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer_and_costs_nothing_again(world: World) -> None:
    """However it is written, whoever of the office asks, and whatever is shown of the same numbers."""
    first = world.ask(BY_GENDER, epsilon=EPSILON).table.to_pylist()
    again = world.ask(
        "SELECT p.gender, sum(p.salary) AS s, count(*) AS n FROM civil.person AS p "
        "WHERE (p.gender IN ('x', '女', '男')) GROUP BY 1 ORDER BY p.gender",
        epsilon=EPSILON,
        actor=replace(ANALYST, person="another"),
    )
    assert [(row["n"], row["s"]) for row in again.table.to_pylist()] == [(row["n"], row["s"]) for row in first]
    assert spent(world) == (EPSILON, EPSILON)
    assert "noised-told-before" in {one.code for one in again.notices}


def test_another_snapshot_another_condition_or_another_epsilon_is_another_question(world: World) -> None:
    count = "SELECT count(*) FROM civil.person"
    world.ask(count)
    world.ask(f"{count} WHERE gender = '男'")
    world.ask(count, epsilon=50_000)
    world.load(PERSON, [person(1)])
    world.ask(count)
    assert spent(world)[0] == 350_000


def test_what_was_told_lies_sealed(world: World) -> None:
    world.ask(BY_GENDER)
    (kept,) = world.budget_store.answers.values()
    assert b"gender" not in kept
    assert b"[[" not in kept


def test_when_the_budget_is_spent_the_question_is_refused_and_it_is_said_what_now(world: World) -> None:
    world.ask("SELECT count(*) FROM civil.person", epsilon=1_900_000)
    found = world.refusal("SELECT count(*) FROM civil.person WHERE gender = '男'", epsilon=200_000)
    told = [(one.code, one.parameters["left"], one.parameters["wanted"]) for one in found.reasons]
    assert told == [("noised-budget-spent", "0.1", "0.2")]
    assert world.book.kinds()[-1] is EntryKind.USE_REFUSED
    world.ask("SELECT count(*) FROM civil.person WHERE gender = '男'", epsilon=100_000)
    assert spent(world) == (2_000_000, 2_000_000)
    assert world.ask("SELECT count(*) FROM civil.person", epsilon=1_900_000).table.num_rows == 1, "what was told can be told again"


def test_two_grants_of_one_office_share_the_budget_of_the_office(world: World) -> None:
    """Each has two; together they have three."""
    world.ask("SELECT count(*) FROM civil.person", epsilon=2_000_000)
    world.grants[0] = noised(number="G-other")
    world.epoch += 1
    assert world.codes("SELECT count(*) FROM civil.person WHERE gender = '男'", epsilon=1_100_000) == {"noised-budget-spent"}
    world.ask("SELECT count(*) FROM civil.person WHERE gender = '男'", epsilon=1_000_000)
    assert spent(world) == (1_000_000, 3_000_000)


def test_a_new_version_of_a_grant_goes_on_with_what_was_spent(world: World) -> None:
    world.ask("SELECT count(*) FROM civil.person", epsilon=2_000_000)
    world.grants[0] = replace(noised(), version=2)
    world.epoch += 1
    assert world.codes("SELECT count(*) FROM civil.person WHERE gender = '男'") == {"noised-budget-spent"}


def test_the_successor_of_an_office_goes_on_with_what_that_one_spent(world: World) -> None:
    world.budget_store.accounts |= {account_of_grant("G-old"): 1_950_000, account_of_office("gz-old", "civil.person"): 2_950_000}
    world.budget_store.before |= {"G-civil.person": ("G-old",), ANALYST.office: ("gz-old",)}
    assert world.codes("SELECT count(*) FROM civil.person") == {"noised-budget-spent"}
    world.ask("SELECT count(*) FROM civil.person", epsilon=50_000)
    assert world.budgets.use_of(world.grants[0]).left == 0


def test_the_ledger_says_what_each_use_spent_and_its_sum_is_what_is_spent(world: World) -> None:
    world.ask("SELECT count(*) FROM civil.person", epsilon=300_000)
    world.ask("SELECT count(*) FROM civil.person", epsilon=300_000)
    world.ask("SELECT count(*) FROM civil.person WHERE gender = '女'")
    told = [body["epsilon"] for kind, body in world.book.entries if kind is EntryKind.USE_OUTCOME]
    assert told == [300_000, 0, 100_000]
    assert sum(told) == spent(world)[0]
    assert [body["epsilon"] for kind, body in world.book.entries if kind is EntryKind.USE_INTENT] == told


def test_a_use_that_fails_after_noise_was_drawn_has_spent_it(world: World) -> None:
    world.book.fails_on = frozenset((EntryKind.USE_OUTCOME,))
    with pytest.raises(Unavailable):
        world.ask("SELECT count(*) FROM civil.person")
    assert spent(world) == (100_000, 100_000)


def test_a_use_that_no_engine_could_serve_spends_nothing_and_its_outcome_says_so(world: World) -> None:
    world.engine.fails_with = Unavailable.because("engine-busy", query="q")
    with pytest.raises(Unavailable):
        world.ask("SELECT count(*) FROM civil.person")
    assert spent(world) == (0, 0)
    assert world.book.entries[-1][1]["epsilon"] == 0


def test_a_use_whose_intent_cannot_be_written_spends_nothing(world: World) -> None:
    world.book.fails_on = frozenset((EntryKind.USE_INTENT,))
    with pytest.raises(Unavailable):
        world.ask("SELECT count(*) FROM civil.person")
    assert spent(world) == (0, 0)


def test_an_engine_that_fails_on_the_statement_has_spent_it(world: World) -> None:
    """That it failed may tell of the data."""
    world.engine.fails_with = Refused.because("query-failed", query="q")
    with pytest.raises(Refused):
        world.ask("SELECT count(*) FROM civil.person")
    assert spent(world) == (100_000, 100_000)


def test_an_engine_that_dies_of_the_statement_has_spent_it(world: World) -> None:
    """That it died may tell of the data too."""
    world.engine.fails_with = Unavailable.because("engine-crashed", query="q")
    with pytest.raises(Unavailable):
        world.ask("SELECT count(*) FROM civil.person")
    assert spent(world) == (100_000, 100_000)
    assert world.book.entries[-1][1]["epsilon"] == 100_000


def test_why_tells_what_is_left_and_whether_it_is_enough(world: World) -> None:
    world.ask("SELECT count(*) FROM civil.person", epsilon=1_900_000)
    asked = QueryRequest("SELECT count(*) FROM civil.person WHERE gender = '男'", "poverty-relief", epsilon=200_000)
    found = world.gateway.why(asked, actor=ANALYST)
    assert [one.code for one in found.decision.reasons] == ["noised-budget-spent"]
    assert found.datasets[0].budget is not None
    assert found.datasets[0].budget.left == 100_000
    assert world.gateway.why(replace(asked, epsilon=100_000), actor=ANALYST).allowed


def test_an_epsilon_goes_with_a_budget_and_lies_within_reason(world: World) -> None:
    assert world.codes("SELECT count(*) FROM civil.person", epsilon=1) == {"epsilon-out-of-range"}
    assert world.codes("SELECT capital FROM tax.company", epsilon=EPSILON) == {"epsilon-without-budget"}


def test_an_instance_without_the_part_refuses_and_names_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "is_installed", lambda: False)
    found = world.refusal("SELECT count(*) FROM civil.person")
    assert [(one.code, one.parameters) for one in found.reasons] == [("noised-not-installed", {"part": "huitong[noised]"})]


def test_rows_do_not_leave_one_by_one(world: World) -> None:
    request = QueryRequest("SELECT count(*) AS n FROM civil.person ORDER BY n", "poverty-relief")
    with pytest.raises(Refused) as refused, world.gateway.stream(request, actor=ANALYST, limits=world.gateway._limits):
        pass
    assert "rows-alone" in {one.code for one in refused.value.reasons}


def test_a_dataset_whose_primary_key_names_rows_has_no_entity_to_protect(world: World) -> None:
    world.published["civil.person"] = replace(PERSON, key=None, primary_key=("pid", "born"))
    assert world.codes("SELECT count(*) FROM civil.person") == {"noised-without-entity"}


@pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"together": 1_999_999}, {"rows_per_entity": 0}, {"bounds": BOUNDS + BOUNDS}])
def test_terms_that_promise_nothing_are_not_terms(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"epsilon": 2_000_000, "together": 3_000_000, "rows_per_entity": 1}
    with pytest.raises(InputInvalid):
        NoisedTerms(**{**good, **wrong})
    with pytest.raises(InputInvalid):
        ValueBounds("salary", "5", "5")


def test_mode_and_noise_go_together() -> None:
    terms = noised().terms
    for wrong in ({"noised": None}, {"mode": Mode.ROWS}, {"k": 10}):
        with pytest.raises(InputInvalid):
            replace(terms, **wrong)
    assert isinstance(terms, Terms)
