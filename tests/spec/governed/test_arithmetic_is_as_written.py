"""Safe arithmetic keeps the meaning of a statement: an analyst's ordinary sums come out as written."""

from tests.spec.governed.governed_world import World


def test_grouping_by_a_computed_band_shows_what_is_computed_from_it(world: World) -> None:
    rows = world.rows(
        "SELECT salary // 1000 AS band, (salary // 1000) * 1000 AS low, count(*) AS n FROM civil.person "
        "WHERE salary IS NOT NULL GROUP BY salary // 1000 ORDER BY band"
    )
    assert rows
    assert all(low == band * 1000 for band, low, _ in rows)


def test_only_the_part_that_overflows_is_null(world: World) -> None:
    rows = world.rows("SELECT 1 + coalesce(salary + 9223372036854775807, 0) FROM civil.person WHERE salary > 0")
    assert rows
    assert {row[0] for row in rows} == {1}


def test_a_root_of_a_scalar_query_is_answered(world: World) -> None:
    rows = world.rows("SELECT sqrt((SELECT max(capital) FROM tax.company)) AS r FROM civil.person")
    assert all(row[0] > 0 for row in rows)


def test_a_heading_that_is_a_query_says_what_to_write_instead(world: World) -> None:
    statement = "SELECT (SELECT max(c.capital) FROM tax.company c) AS m FROM civil.person ORDER BY m + 1"
    assert world.codes(statement) == {"heading-with-query"}


def test_stars_are_counted_over_the_whole_statement(world: World) -> None:
    stars = ", ".join(["*"] * 9)
    many = " + ".join([f"CASE WHEN EXISTS (SELECT {stars} FROM civil.person) THEN 1 ELSE 0 END"] * 40)
    assert world.codes(f"SELECT {many} AS n FROM civil.person") == {"statement-too-many-items"}
