"""Which rows a grant shows: those of a division, those for which every comparison holds, those of listed entities. Unknown is never yes."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from tests.spec.governed.governed_world import (
    ANALYST,
    CLEAR,
    NANMING,
    PEOPLE,
    PERSON,
    PERSON_GRANT,
    WEATHER_GRANT,
    World,
    canaries_in,
    make_grant,
)

from huitong.model.catalog import Grade, ItemType
from huitong.model.policy import Comparator, Comparison, Grant
from huitong.model.query import QueryRequest

WEI, XIUYING, OF_YUNYAN = "990102199001011230", "990102198505052341", "990103197003034563"


def holds(item: str, comparator: Comparator, *values: str) -> Comparison:
    return Comparison(item, comparator, values)


def grant_of(*condition: Comparison, rows: str | None = None, **rules: Any) -> Grant:
    items = dict.fromkeys(["name", "gender", "born", "salary", "weight", "division", "phone"], CLEAR)
    return make_grant("civil.person", items, rows=rows, condition=condition, **rules)


def names(world: World, grant: Grant) -> list[str]:
    world.grants[0] = grant
    world.epoch += 1
    return sorted(name or "-" for (name,) in world.rows("SELECT name FROM civil.person"))


EXPECTED = [
    (holds("salary", Comparator.AT_LEAST, "3000"), lambda row: row["salary"] is not None and row["salary"] >= 3000),
    (holds("salary", Comparator.MORE_THAN, "3000"), lambda row: row["salary"] is not None and row["salary"] > 3000),
    (holds("salary", Comparator.AT_MOST, "0"), lambda row: row["salary"] is not None and row["salary"] <= 0),
    (holds("salary", Comparator.LESS_THAN, "0"), lambda _row: False),
    (holds("salary", Comparator.IN, "0", "4200"), lambda row: row["salary"] in (0, 4200)),
    (holds("salary", Comparator.NOT_IN, "0", "4200"), lambda row: row["salary"] is not None and row["salary"] not in (0, 4200)),
    (holds("weight", Comparator.LESS_THAN, "-1"), lambda row: row["weight"] is not None and row["weight"] < -1),
    (holds("weight", Comparator.IN, "50.25"), lambda row: row["weight"] == 50.25),
    (holds("born", Comparator.AT_LEAST, "1990-01-01"), lambda row: row["born"] is not None and row["born"] >= date(1990, 1, 1)),
    (holds("gender", Comparator.NOT_IN, "女"), lambda row: row["gender"] is not None and row["gender"] != "女"),
    (holds("gender", Comparator.KNOWN), lambda row: row["gender"] is not None),
    (holds("gender", Comparator.MISSING), lambda row: row["gender"] is None),
    (holds("phone", Comparator.IN, "' OR 1=1 --", "CANARY-phone"), lambda row: row["phone"] == "CANARY-phone"),
]


@pytest.mark.parametrize(("comparison", "passes"), EXPECTED, ids=[f"{one.item} {one.comparator}" for one, _ in EXPECTED])
def test_a_comparison_lets_through_exactly_the_rows_for_which_it_holds(world: World, comparison: Comparison, passes: Any) -> None:
    assert names(world, grant_of(comparison)) == sorted(row["name"] or "-" for row in PEOPLE if passes(row))


@pytest.mark.parametrize("comparator", [Comparator.IN, Comparator.NOT_IN])
@pytest.mark.parametrize(("item", "named"), [("salary", ["3000", "0"]), ("gender", ["男", "女, 男", "a\x1fb"]), ("weight", ["61.5"])])
def test_many_values_let_through_the_same_rows_as_few(world: World, item: str, named: list[str], comparator: Comparator) -> None:
    """Above a number of values a list is written in another form; the rows must not know."""
    few = names(world, grant_of(holds(item, comparator, *named)))
    assert names(world, grant_of(holds(item, comparator, *named, *(str(90_000 + n) for n in range(200))))) == few
    assert ("string_split" in world.engine.ran[-1].sql.lower()) == ("a\x1fb" not in named)


def test_an_instant_is_compared_as_an_instant(world: World) -> None:
    terms = replace(WEATHER_GRANT.terms, condition=(holds("at", Comparator.MORE_THAN, "2025-12-31T15:00:00+00:00"),))
    world.grants[2] = replace(WEATHER_GRANT, terms=terms)
    found = world.rows("SELECT at FROM weather ORDER BY at")
    assert [at for (at,) in found] == [datetime(2025, 12, 31, hour, tzinfo=UTC) for hour in (16, 17)]


def test_all_rules_hold_together(world: World) -> None:
    """A division, two comparisons and a list: a row passes all of them or is not shown."""
    subjects = world.lists.keep([WEI, XIUYING, OF_YUNYAN], dataset="civil.person", item="pid")
    rules = [holds("salary", Comparator.AT_LEAST, "1"), holds("gender", Comparator.KNOWN)]
    assert names(world, grant_of(*rules, rows=NANMING, subjects=subjects)) == ["张伟", "王秀英"]
    assert names(world, grant_of(*rules, subjects=subjects)) == ["CANARY-赵", "张伟", "王秀英"]
    assert names(world, grant_of(*rules, holds("gender", Comparator.IN, "男"), rows=NANMING, subjects=subjects)) == ["张伟"]


def test_a_list_shows_the_rows_of_its_entities_and_no_row_without_one(world: World) -> None:
    subjects = world.lists.keep([f" {WEI} ", "of nobody"], dataset="civil.person", item="pid")
    assert names(world, grant_of(subjects=subjects)) == ["张伟"]


def test_the_item_of_a_rule_need_not_be_granted_and_stays_unseen(world: World) -> None:
    subjects = world.lists.keep([WEI], dataset="civil.person", item="pid")
    world.grants[0] = make_grant(
        "civil.person", {"name": CLEAR}, subjects=subjects, condition=(holds("diagnosis", Comparator.KNOWN),)
    )
    table = world.ask("SELECT * FROM civil.person").table
    assert table.to_pylist() == [{"name": "张伟"}]
    assert canaries_in(table) == []
    assert world.codes("SELECT pid FROM civil.person") == {"item-not-granted"}
    assert world.codes("SELECT diagnosis FROM civil.person") == {"item-not-granted"}


def test_the_identifiers_of_a_list_stand_neither_in_sql_nor_in_the_record(world: World) -> None:
    subjects = world.lists.keep([WEI], dataset="civil.person", item="pid")
    names(world, grant_of(subjects=subjects))
    assert WEI not in world.engine.ran[-1].sql
    assert WEI not in repr(world.book.entries)
    assert WEI not in repr(world.grants[0])


def test_a_list_that_is_gone_shows_nothing_and_says_so(world: World) -> None:
    subjects = world.lists.keep([WEI], dataset="civil.person", item="pid")
    world.grants[0] = grant_of(subjects=subjects)
    world.lists.retain([])
    assert world.codes("SELECT name FROM civil.person") == {"subjects-not-there"}


def test_what_the_analyst_writes_is_evaluated_after_the_rules(world: World) -> None:
    """An expression that could fail or be slow on a hidden row never meets one: the engine may not move it below the barrier."""
    world.grants[0] = grant_of(holds("salary", Comparator.AT_MOST, "5000"))
    sql = "SELECT name FROM civil.person WHERE 1 / (salary - 987654321) < 0"
    assert len(world.rows(sql)) == 3
    assert "OFFSET 0" in world.engine.ran[-1].sql


TWICE = "SELECT count(*) FROM civil.person p JOIN civil.person q ON p.name = q.name"


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM civil.person", TWICE])
def test_rules_cut_every_mention_of_a_dataset(world: World, sql: str) -> None:
    world.grants[0] = grant_of(holds("salary", Comparator.IN, "3000", "987654321"), rows=NANMING)
    assert world.rows(sql) == [(1,)]


def test_an_item_that_the_snapshot_lacks_is_missing_in_every_row(world: World) -> None:
    before = world.snapshots["civil.person"]
    columns = tuple((one.name, one.type) for one in PERSON.items if one.name != "weight")
    world.snapshots["civil.person"] = replace(before, columns=columns)
    for comparison, shown in (
        (holds("weight", Comparator.AT_LEAST, "0"), 0),
        (holds("weight", Comparator.NOT_IN, "0"), 0),
        (holds("weight", Comparator.KNOWN), 0),
        (holds("weight", Comparator.MISSING), len(PEOPLE)),
    ):
        assert len(names(world, grant_of(comparison))) == shown


def test_a_rule_that_no_longer_fits_the_entry_shows_nothing(world: World) -> None:
    """An item that became another type, or is gone, would be compared in another way than was agreed."""
    items = {one.name: one for one in PERSON.items}
    became_text = {**items, "salary": replace(items["salary"], type=ItemType.TEXT)}
    world.published["civil.person"] = replace(PERSON, items=tuple(became_text.values()))
    world.grants[0] = make_grant("civil.person", {"name": CLEAR}, condition=(holds("salary", Comparator.AT_LEAST, "3000"),))
    assert world.codes("SELECT name FROM civil.person") == {"row-rule-unfit"}
    world.epoch += 1
    world.published["civil.person"] = replace(PERSON, items=tuple(one for one in PERSON.items if one.name != "salary"))
    assert world.codes("SELECT name FROM civil.person") == {"row-rule-unfit"}
    world.epoch += 1
    world.published["civil.person"] = replace(
        PERSON, items=tuple({**items, "gender": replace(items["gender"], type=ItemType.INTEGER)}.values())
    )
    world.grants[0] = make_grant("civil.person", {"name": CLEAR}, condition=(holds("gender", Comparator.NOT_IN, "女"),))
    assert world.codes("SELECT name FROM civil.person") == {"row-rule-unfit"}


def test_an_item_that_may_not_leave_any_more_cuts_no_rows(world: World) -> None:
    """Since its grade was raised nothing of it may leave, and a condition over it would tell of it."""
    items = {one.name: one for one in PERSON.items}
    raised = {**items, "diagnosis": replace(items["diagnosis"], grade=Grade.CORE)}
    world.published["civil.person"] = replace(PERSON, items=tuple(raised.values()))
    world.grants[0] = make_grant("civil.person", {"name": CLEAR}, condition=(holds("diagnosis", Comparator.KNOWN),))
    assert world.codes("SELECT name FROM civil.person") == {"grant-above-grade"}
    asked = QueryRequest("SELECT name FROM civil.person", "poverty-relief")
    assert not world.gateway.why(asked, actor=ANALYST).allowed


def test_several_grants_with_other_rows_are_told_of(world: World) -> None:
    world.grants = [
        grant_of(holds("salary", Comparator.AT_LEAST, "3000"), number="G-1"),
        grant_of(holds("salary", Comparator.AT_LEAST, "4000"), number="G-2"),
    ]
    assert "other-grants-stand" in {notice.code for notice in world.ask("SELECT name FROM civil.person").notices}
    world.epoch += 1
    world.grants.append(replace(PERSON_GRANT, id="G-3", terms=replace(PERSON_GRANT.terms, rows=None)))
    world.ask("SELECT name FROM civil.person")
    assert "WHERE" not in world.engine.ran[-1].sql.upper(), "the widest grant carries it"
