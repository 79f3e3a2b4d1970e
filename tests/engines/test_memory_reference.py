"""The reference engine by itself: what it says of a grant, by hand, and that it names what it does not have."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.spec.governed.governed_world import CLEAR, HIDE, NANMING, PEOPLE, PERSON, SURNAME_ONLY, YEAR, make_grant

from huitong.engines.memory import Gap, MemoryDataset, ShownItem, run
from huitong.errors import Refused
from huitong.gateway.parse import parse, read_caps
from huitong.gateway.resolve import resolve
from huitong.masks import masked_type, python_mask
from huitong.model.policy import Comparator, Comparison, Grant, Mask, Mode

ITEMS: Mapping[str, Mask] = {
    "name": SURNAME_ONLY, "gender": CLEAR, "born": YEAR, "salary": CLEAR, "weight": CLEAR, "diagnosis": HIDE,
}  # fmt: skip


def rows(sql: str, **rules: Any) -> list[tuple[Any, ...]]:
    grant: Grant = make_grant("civil.person", ITEMS, **{"rows": NANMING, **rules})
    shown = {}
    for term in grant.terms.items:
        item = PERSON.item(term.item)
        assert item is not None
        shown[item.name] = ShownItem(masked_type(item, term.mask), python_mask(item, term.mask))
    codes = frozenset((NANMING, "520102001001", "520102001000", "520102002000"))
    bound = resolve(parse(sql, read_caps()), datasets={"civil.person": PERSON}, grants={"civil.person": grant}, caps=read_caps())
    assert bound.faults == ()
    held = MemoryDataset(PERSON, grant.terms, shown, PEOPLE, codes=codes, entity=("pid",))
    return list(run(bound.tree, {"civil.person": held}).rows)


def test_it_shows_granted_items_of_granted_rows_under_their_masks() -> None:
    assert rows("SELECT name, born, salary, diagnosis FROM civil.person ORDER BY salary DESC NULLS LAST") == [
        ("王**", 1985, 4200, None), ("张*", 1990, 3000, None), (None, 2000, 0, None), ("*", None, None, None),
    ]  # fmt: skip


def test_comparisons_and_lists_cut_rows_and_unknown_is_never_yes() -> None:
    rich = (Comparison("salary", Comparator.AT_LEAST, ("3000",)),)
    assert rows("SELECT count(*) FROM civil.person", condition=rich) == [(2,)]
    assert rows("SELECT count(*) FROM civil.person", condition=(Comparison("gender", Comparator.NOT_IN, ("女",)),)) == [(1,)]
    assert rows("SELECT count(*) FROM civil.person", condition=(Comparison("salary", Comparator.MISSING),)) == [(1,)]


def test_totals_are_told_of_k_known_entities() -> None:
    """Three of four rows have a person; two of them a salary."""
    totals = {"mode": Mode.AGGREGATE_ONLY}
    sql = "SELECT count(*), sum(salary) FROM civil.person"
    assert rows(sql, **totals, k=2) == [(4, 7200)]
    assert rows(sql, **totals, k=3) == [(4, None)]
    assert rows(sql, **totals, k=4) == []
    assert rows("SELECT gender, count(*) FROM civil.person GROUP BY gender", **totals, k=2) == []


OF_NOTHING = [
    ("NULL AND false", False), ("NULL OR true", True), ("NOT (NULL = 1)", None), ("1 IN (2, NULL)", None), ("1 NOT IN (2, NULL)", None),
    ("NULL IS NOT DISTINCT FROM NULL", True), ("1 / 0", None), ("7 // 0", None), ("-7 // 2", -3), ("-7 % 2", -1), ("1 / 2", 0.5),
    ("2147483647 + 1", None), ("9223372036854775807 + 0", 2**63 - 1), ("CAST(2.5 AS BIGINT)", 3),
    ("CAST(CAST(2.5 AS DOUBLE) AS BIGINT)", 2), ("CAST('x' AS BIGINT)", None), ("'a' || NULL", None), ("concat('a', NULL)", "a"),
    ("'中' > 'z'", True), ("'a' < 'B'", False),
    ("substring('中文字', 2, 1)", "文"), ("coalesce(NULL, 1)", 1), ("greatest(NULL, 2, 1)", 2), ("CASE WHEN NULL THEN 1 END", None),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value"), OF_NOTHING)
def test_what_an_expression_is_worth(expression: str, value: Any) -> None:
    assert rows(f"SELECT {expression} AS x") == [(value,)]


GAPS = [
    ("SELECT row_number() OVER (ORDER BY name) AS n FROM civil.person", "OVER"),
    ("SELECT date_trunc('month', DATE '2026-01-31') AS m", "DATE_TRUNC"),
    ("SELECT corr(salary, weight) AS c FROM civil.person", "CORR"),
    ("SELECT CAST('0x1F' AS BIGINT) AS n", "a number in another form"),
    ("SELECT upper('ŉ') AS n", "the case of a character that becomes several"),
]


@pytest.mark.parametrize(("sql", "construct"), GAPS)
def test_what_it_does_not_have_it_names(sql: str, construct: str) -> None:
    with pytest.raises(Gap) as missing:
        rows(sql)
    assert [dict(reason.parameters) for reason in missing.value.reasons] == [{"construct": construct}]


def test_a_statement_that_fails_on_a_value_fails_as_a_whole() -> None:
    with pytest.raises(Refused) as refusal:
        rows("SELECT (SELECT salary FROM civil.person) AS s")
    assert [reason.code for reason in refusal.value.reasons] == ["query-failed"]
