"""What comes out of a governed query: only granted items, each under its mask, only the granted rows."""

from dataclasses import replace
from datetime import date

import pytest
from tests.spec.governed.governed_world import (
    CLEAR,
    COMPANY_GRANT,
    HIDE,
    NANMING,
    PEOPLE,
    PERSON_GRANT,
    PSEUDONYM,
    YUNYAN,
    World,
    canaries_in,
    make_grant,
    person_token,
)

from huitong.model.policy import DivisionRows


def test_a_star_stands_for_the_granted_items_in_the_order_of_the_entry(world: World) -> None:
    table = world.ask("SELECT * FROM civil.person").table
    assert table.column_names == ["pid", "name", "gender", "division", "born", "salary", "weight", "diagnosis"]
    assert canaries_in(table) == []


def test_each_item_leaves_under_its_mask(world: World) -> None:
    rows = world.rows("SELECT pid, name, gender, born, division, diagnosis FROM civil.person WHERE salary = 3000")
    assert rows == [(person_token("990102199001011230"), "张*", "男", 1990, NANMING, None)]


def test_only_rows_of_the_granted_division_are_shown(world: World) -> None:
    """Not those of a neighbour, of no division, of a code that never was one, or of a code that is too short."""
    assert world.rows("SELECT count(*), sum(salary) FROM civil.person") == [(4, 7200)]


def test_a_grant_of_a_larger_division_shows_more_and_still_no_invalid_codes(world: World) -> None:
    rows = DivisionRows("division", "520100000000")
    world.grants[0] = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, rows=rows))
    assert world.rows("SELECT count(*) FROM civil.person") == [(5,)]


def test_a_grant_without_a_row_rule_shows_every_row(world: World) -> None:
    world.grants[0] = replace(PERSON_GRANT, terms=replace(PERSON_GRANT.terms, rows=None))
    assert world.rows("SELECT count(*) FROM civil.person") == [(len(PEOPLE),)]


def test_many_division_codes_cut_the_same_rows_as_few(world: World) -> None:
    """Above a number of codes the rule is written in another form; the rows must not know."""
    from tests.spec.governed import governed_world

    few = world.rows("SELECT name, salary FROM civil.person ORDER BY 2, 1")
    many = frozenset(f"520102{number:06d}" for number in range(3000)) - {"520102999999"} | governed_world.DIVISIONS[NANMING]
    world.codes_under = lambda code, at, agreed=None: many  # type: ignore[method-assign]
    world.gateway = world.make_gateway()
    assert world.rows("SELECT name, salary FROM civil.person ORDER BY 2, 1") == few
    assert "string_split" in world.engine.ran[-1].sql.lower()


def test_a_division_without_codes_shows_nothing_and_says_so(world: World) -> None:
    world.grants[0] = make_grant("civil.person", {"name": CLEAR}, rows="999999000000")
    assert world.codes("SELECT name FROM civil.person") == {"division-without-codes"}


def test_null_identifiers_stay_null_and_missing_tokens_never_show_the_raw_value(world: World) -> None:
    world.missing_tokens = frozenset(("990102199001011230",))
    rows = world.rows("SELECT pid, salary FROM civil.person ORDER BY salary NULLS LAST")
    assert rows[0] == (None, 0)
    assert rows[1] == (None, 3000)
    assert rows[2][0] == person_token("990102198505052341")


def test_pseudonyms_of_one_linkage_group_join(world: World) -> None:
    joined = world.rows("SELECT p.name, c.capital FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid ORDER BY c.capital")
    assert joined == [("王**", 250_000), ("张*", 1_000_000)]


def test_pseudonyms_of_two_linkage_groups_do_not(world: World) -> None:
    world.grants[1] = replace(COMPANY_GRANT, terms=replace(COMPANY_GRANT.terms, linkage_group="another"))
    joined = world.rows("SELECT count(*) FROM civil.person p JOIN tax.company c ON c.owner_pid = p.pid")
    assert joined == [(0,)]


def test_a_filter_on_a_pseudonym_sees_the_token_only(world: World) -> None:
    raw = "990102199001011230"
    assert world.rows(f"SELECT count(*) FROM civil.person WHERE pid = '{raw}'") == [(0,)]
    assert world.rows("SELECT count(*) FROM civil.person WHERE pid LIKE '9901%'") in ([(0,)], [(1,)])
    assert world.rows(f"SELECT count(*) FROM civil.person WHERE pid = {person_token(raw)}") == [(1,)]


def test_order_follows_the_mask_not_the_value(world: World) -> None:
    """Two born in one year are equal to the eyes of the statement, whichever is older."""
    rows = world.rows("SELECT born, rank() OVER (ORDER BY born) AS r FROM civil.person WHERE born IS NOT NULL ORDER BY born")
    assert rows == [(1985, 1), (1990, 2), (2000, 3)]
    assert world.rows("SELECT count(*) FROM civil.person WHERE born = 1990") == [(1,)]


def test_a_hidden_item_is_there_and_empty(world: World) -> None:
    assert world.rows("SELECT count(diagnosis), count(*) FROM civil.person") == [(0, 4)]
    assert world.rows("SELECT count(*) FROM civil.person WHERE diagnosis LIKE '%CANARY%'") == [(0,)]


def test_two_grants_of_two_offices_may_mask_differently(world: World) -> None:
    world.grants.append(make_grant("civil.person", {"name": CLEAR, "born": HIDE}, office="gz-housing", rows=YUNYAN))
    from tests.spec.governed.governed_world import ANALYST

    other = replace(ANALYST, office="gz-housing")
    assert world.rows("SELECT name FROM civil.person", actor=other) == [("CANARY-赵",)]
    assert ("张*",) in world.rows("SELECT name FROM civil.person")


def test_the_engine_is_given_used_items_only(world: World) -> None:
    world.ask("SELECT name FROM civil.person WHERE salary > 1")
    table = world.engine.ran[-1].tables[0]
    assert set(table.columns) == {"name", "salary", "division"}
    world.ask("SELECT count(*) FROM weather")
    assert len(world.engine.ran[-1].tables[0].columns) == 1


def test_physical_names_change_with_every_query(world: World) -> None:
    for _ in range(2):
        world.ask("SELECT name FROM civil.person")
    first, second = (query.tables[0].name for query in world.engine.ran[-2:])
    assert first != second
    assert first not in world.engine.ran[-1].sql
    assert second in world.engine.ran[-1].sql


def test_no_key_stands_in_sql(world: World) -> None:
    world.ask("SELECT pid FROM civil.person")
    sql = world.engine.ran[-1].sql
    assert "990102199001011230" not in sql
    assert "hmac" not in sql.lower()


def test_comments_and_the_persons_names_do_not_reach_the_engine(world: World) -> None:
    world.ask("SELECT p.name /* secret words */ AS 姓名 FROM civil.person p -- more")
    sql = world.engine.ran[-1].sql
    assert "secret words" not in sql
    assert "more" not in sql
    assert "civil" not in sql
    assert '"姓名"' in sql


def test_arithmetic_gives_null_where_it_has_no_value(world: World) -> None:
    rows = world.rows(
        "SELECT salary / 0, salary // 0, salary % 0, salary + 9223372036854775807, sqrt(weight - 100), ln(weight - 100) "
        "FROM civil.person WHERE salary = 3000"
    )
    assert rows == [(None, None, None, None, None, None)]
    assert world.rows("SELECT CAST(name AS INTEGER) FROM civil.person WHERE salary = 3000") == [(None,)]
    assert world.rows("SELECT 7 / 2, 7 // 2, 7 % 2, 1 / 4") == [(3.5, 3, 1, 0.25)]


def test_the_row_limit_cuts_with_a_notice(world: World) -> None:
    world.maximum_rows = 3
    world.gateway = world.make_gateway()
    answer = world.ask("SELECT name FROM civil.person")
    assert answer.table.num_rows == 3
    assert [(notice.code, notice.parameters["rows"]) for notice in answer.notices] == [("rows-cut", 3)]
    assert world.book.entries[-1][1]["rows"] == 3
    exactly = world.ask("SELECT name FROM civil.person LIMIT 3")
    assert exactly.notices == ()


def test_a_new_snapshot_is_read_at_once(world: World) -> None:
    from tests.spec.governed.governed_world import PERSON

    assert world.rows("SELECT count(*) FROM civil.person") == [(4,)]
    world.load(PERSON, PEOPLE[:1])
    assert world.rows("SELECT count(*) FROM civil.person") == [(1,)]
    assert world.book.entries[-2][1]["grants"][0]["snapshot"] == 2


def test_a_pseudonym_that_is_not_built_yet_refuses(world: World) -> None:
    world.files = lambda group, dataset, item, version: ()  # type: ignore[method-assign, assignment]
    world.gateway = world.make_gateway()
    assert world.codes("SELECT pid FROM civil.person") == {"pseudonym-not-ready"}
    assert world.rows("SELECT count(*) FROM civil.person") == [(4,)]


def test_a_dataset_without_data_says_so(world: World) -> None:
    del world.snapshots["weather"]
    assert world.codes("SELECT station FROM weather") == {"dataset-without-snapshot"}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT gender, count(*) AS n FROM civil.person GROUP BY gender ORDER BY n DESC, gender", [("女", 2), ("男", 1), (None, 1)]),
        ("SELECT gender, count(*) FROM civil.person GROUP BY 1 HAVING count(*) > 1", [("女", 2)]),
        ("SELECT gender g FROM civil.person WHERE gender IS NOT NULL GROUP BY g ORDER BY g", [("女",), ("男",)]),
        ("SELECT DISTINCT gender FROM civil.person WHERE gender = '女'", [("女",)]),
        ("WITH a AS (SELECT salary FROM civil.person), b AS (SELECT max(salary) AS m FROM a) SELECT m FROM b", [(4200,)]),
        ("SELECT max(x.salary) FROM (SELECT salary FROM civil.person) AS x", [(4200,)]),
        ("SELECT (SELECT max(salary) FROM civil.person) AS top", [(4200,)]),
        (
            "SELECT count(*) FROM civil.person p WHERE EXISTS (SELECT 1 FROM tax.company c WHERE c.owner_pid = p.pid)",
            [(2,)],
        ),
        ("SELECT count(*) FROM civil.person WHERE pid IN (SELECT owner_pid FROM tax.company)", [(2,)]),
        ("SELECT gender FROM civil.person WHERE salary = 0 UNION ALL SELECT name FROM civil.person WHERE salary = 0", [("女",), (None,)]),
        ("SELECT count(*) FROM civil.person a JOIN civil.person b USING (pid)", [(3,)]),
        ("SELECT count(*) FROM civil.person a LEFT JOIN tax.company b ON a.pid = b.owner_pid", [(4,)]),
        ("SELECT count(*) FROM weather WHERE at >= '2025-12-31' AND at < DATE '2026-01-01'", [(4,)]),
        ("SELECT station, max(temperature) FROM weather GROUP BY station", [("贵阳", 13.5)]),
        ("SELECT round(avg(temperature), 1) FROM weather WHERE station = '贵阳'", [(12.0,)]),
        ("FROM civil.person SELECT count(*)", [(4,)]),
        ("SELECT sum(salary) FILTER (WHERE gender = '女') AS s FROM civil.person", [(4200,)]),
        (
            "SELECT CASE WHEN salary > 3500 THEN '高' ELSE '低' END AS 档, count(*) FROM civil.person GROUP BY 1 ORDER BY 2",
            [("高", 1), ("低", 3)],
        ),
        ("SELECT p.born + 1 FROM civil.person AS p WHERE p.born = 1990", [(1991,)]),
        ("select NAME from CIVIL.PERSON where Salary = 3000;", [("张*",)]),
        ("SELECT civil.person.name FROM civil.person WHERE person.salary = 3000", [("张*",)]),
    ],
)
def test_ordinary_statements_of_analysts_run(world: World, sql: str, expected: list[tuple[object, ...]]) -> None:
    assert world.rows(sql) == expected


def test_years_come_as_whole_numbers_and_totals_as_plain_integers(world: World) -> None:
    import pyarrow as pa

    table = world.ask("SELECT sum(salary) AS total, max(born) AS youngest, count(*) AS n FROM civil.person").table
    assert [field.type for field in table.schema] == [pa.int64(), pa.int64(), pa.int64()]


def test_instants_are_generalised_by_the_local_calendar(world: World) -> None:
    """16:00 UTC on the last day of the year is already the new year in Guizhou."""
    from huitong.model.policy import Mask, MaskKind

    year = Mask(MaskKind.GENERALISE, {"to": "year"})
    world.grants = [make_grant("weather", {"at": year, "temperature": CLEAR}, provider="gz-weather")]
    assert world.rows("SELECT at, temperature FROM weather ORDER BY temperature") == [
        (2025, 10.5),
        (2025, 11.5),
        (2026, 12.5),
        (2026, 13.5),
    ]
    month = Mask(MaskKind.GENERALISE, {"to": "month"})
    world.grants = [make_grant("weather", {"at": month, "temperature": CLEAR}, provider="gz-weather")]
    world.epoch += 1
    assert world.rows("SELECT DISTINCT at FROM weather ORDER BY at") == [(date(2025, 12, 1),), (date(2026, 1, 1),)]


def test_a_pseudonym_needs_no_join_where_it_is_not_used(world: World) -> None:
    world.grants[0] = make_grant("civil.person", {"pid": PSEUDONYM, "name": CLEAR}, rows=NANMING)
    world.ask("SELECT name FROM civil.person")
    assert len(world.engine.ran[-1].tables) == 1
