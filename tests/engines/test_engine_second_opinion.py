"""What DuckDB's own parser says a statement touches."""

import pytest

from huitong.engines.duckdb import statement_names, table_names
from huitong.errors import InputInvalid


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT * FROM "A" x, b JOIN c ON true', {"a", "b", "c"}),
        ("WITH a AS (SELECT 1 FROM b) SELECT * FROM a", {"b"}),
        ("WITH a AS (SELECT 1 FROM a) SELECT * FROM a", {"a"}),
        ("SELECT * FROM (WITH z AS (SELECT 1) SELECT * FROM z) q, z", {"z"}),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r", set()),
        ("WITH a AS (SELECT 1) SELECT * FROM main.a", {"main.a"}),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM hidden)", {"hidden"}),
        ("SELECT (SELECT max(x) FROM t1) FROM t2 GROUP BY (SELECT min(y) FROM t3) HAVING (SELECT true FROM t4)", {"t1", "t2", "t3", "t4"}),
        ("SELECT * FROM t1 UNION ALL SELECT * FROM t2 ORDER BY (SELECT max(i) FROM t3)", {"t1", "t2", "t3"}),
        ("SELECT sum(x) OVER (ORDER BY (SELECT 1 FROM t2)) FROM t1", {"t1", "t2"}),
        ("SELECT * FROM t1 LIMIT (SELECT 1 FROM t2)", {"t1", "t2"}),
        ("FROM t1", {"t1"}),
        ("VALUES ((SELECT 1 FROM t1))", {"t1"}),
        ("SELECT 1", set()),
    ],
)
def test_every_table_is_found_wherever_it_hides(sql: str, tables: set[str]) -> None:
    assert table_names(sql) == tables


def test_functions_are_told_apart() -> None:
    names = statement_names("SELECT abs(x), count(*) FROM read_csv('f') t WHERE upper(y) = 'A'")
    assert names.table_functions == {"read_csv"}
    assert {"abs", "count_star", "upper"} <= names.functions


@pytest.mark.parametrize("sql", ["", "DROP TABLE x", "SELECT 1; SELECT 2", "selec", "COPY t TO 'x'", "EXPLAIN SELECT 1", "PRAGMA version"])
def test_anything_but_one_select_is_refused(sql: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        table_names(sql)
    assert caught.value.reasons[0].code == "statement-not-one-select"
