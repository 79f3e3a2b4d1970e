"""Every statement of the attack catalogue: refused before the engine sees it, or run without a canary in the result.

The catalogue was written for items that this world has under other names in places; `hidden` is registered but not published."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.spec.governed.governed_world import NANMING, World, canaries_in, make_grant, person_token

from huitong.errors import Refused, Unavailable
from huitong.model.ledger import EntryKind
from huitong.words import render

CASES = yaml.safe_load((Path(__file__).parents[2] / "fixtures" / "attacks" / "sql_attacks.yaml").read_text("utf-8"))["cases"]
RAW_ID = "990102199001011230"

MORE: list[dict[str, Any]] = [
    {"id": "OWN-001", "check": "deny", "sql": "SELECT phone FROM (SELECT * FROM civil.person) x"},
    {"id": "OWN-002", "check": "deny", "sql": "SELECT x.phone FROM (SELECT * FROM (SELECT * FROM civil.person) a) x"},
    {"id": "OWN-003", "check": "deny", "sql": "WITH a AS (SELECT * FROM civil.person) SELECT phone FROM a"},
    {"id": "OWN-004", "check": "deny", "sql": "SELECT name FROM civil.person GROUP BY name, phone"},
    {"id": "OWN-005", "check": "deny", "sql": "SELECT rank() OVER (ORDER BY phone) FROM civil.person"},
    {"id": "OWN-006", "check": "deny", "sql": "SELECT sum(salary) OVER (PARTITION BY phone) FROM civil.person"},
    {"id": "OWN-007", "check": "deny", "sql": "SELECT count(*) FROM civil.person a JOIN civil.person b USING (phone)"},
    {"id": "OWN-008", "check": "deny", "sql": "SELECT (SELECT max(phone) FROM civil.person)"},
    {"id": "OWN-009", "check": "deny", "sql": "SELECT name FROM civil.person WHERE salary IN (SELECT v FROM hidden)"},
    {"id": "OWN-010", "check": "deny", "sql": "SELECT name FROM civil.person ORDER BY (SELECT max(v) FROM hidden)"},
    {"id": "OWN-011", "check": "deny", "sql": "SELECT name FROM civil.person LIMIT (SELECT count(*) FROM hidden)"},
    {"id": "OWN-012", "check": "deny", "sql": "SELECT CASE WHEN EXISTS (SELECT 1 FROM hidden) THEN 1 END"},
    {"id": "OWN-013", "check": "deny", "sql": "SELECT p FROM civil.person p"},
    {"id": "OWN-014", "check": "deny", "sql": "SELECT COLUMNS(*) FROM civil.person"},
    {"id": "OWN-015", "check": "deny", "sql": "SELECT * EXCLUDE (name) FROM civil.person"},
    {"id": "OWN-016", "check": "deny", "sql": "SELECT count(*) FROM civil.person a JOIN civil.person b ON 1 = 1"},
    {"id": "OWN-017", "check": "deny", "sql": "SELECT count(*) FROM civil.person a JOIN civil.person b ON a.salary = a.salary"},
    {"id": "OWN-018", "check": "deny", "sql": "SELECT row_number() OVER (ORDER BY 1) FROM civil.person"},
    {"id": "OWN-019", "check": "deny", "sql": "SELECT row_number() OVER (ORDER BY diagnosis) FROM civil.person"},
    {"id": "OWN-020", "check": "deny", "sql": "SELECT lag(name) OVER () FROM civil.person"},
    {"id": "OWN-021", "check": "deny", "sql": "SELECT first(name) FROM civil.person"},
    {"id": "OWN-022", "check": "deny", "sql": "SELECT list(name) FROM civil.person"},
    {"id": "OWN-023", "check": "deny", "sql": "SELECT * FROM civil.person TABLESAMPLE 10%"},
    {"id": "OWN-024", "check": "deny", "sql": "SELECT * FROM civil.person USING SAMPLE 1"},
    {"id": "OWN-025", "check": "deny", "sql": "VALUES (1)"},
    {"id": "OWN-026", "check": "deny", "sql": "SELECT * FROM (VALUES (1)) x"},
    {"id": "OWN-027", "check": "deny", "sql": "SELECT unnest([1, 2])"},
    {"id": "OWN-028", "check": "deny", "sql": "SELECT name FROM civil.person WHERE name = $1"},
    {"id": "OWN-029", "check": "deny", "sql": "SELECT name FROM civil.person QUALIFY row_number() OVER (ORDER BY salary) = 1"},
    {"id": "OWN-030", "check": "deny", "sql": "SELECT name FROM civil.person, LATERAL (SELECT 1) x"},
    {"id": "OWN-031", "check": "deny", "sql": "SELECT getenv('HOME')"},
    {"id": "OWN-032", "check": "deny", "sql": "SELECT * FROM duckdb_settings()"},
    {"id": "OWN-033", "check": "deny", "sql": "SELECT * FROM pragma_storage_info('t')"},
    {"id": "OWN-034", "check": "deny", "sql": "SELECT stats(salary) FROM civil.person"},
    {"id": "OWN-035", "check": "deny", "sql": "SELECT * FROM glob('/*')"},
    {"id": "OWN-036", "check": "deny", "sql": "SELECT * FROM sqlite_master"},
    {"id": "OWN-037", "check": "deny", "sql": "SELECT * FROM pg_catalog.pg_tables"},
    {"id": "OWN-038", "check": "deny", "sql": "SELECT * FROM query_table('hidden')"},
    {"id": "OWN-039", "check": "deny", "sql": "SELECT json_execute_serialized_sql('x')"},
    {"id": "OWN-040", "check": "deny", "sql": "SET memory_limit = '1TB'"},
    {"id": "OWN-041", "check": "deny", "sql": "PRAGMA database_list"},
    {"id": "OWN-042", "check": "deny", "sql": "ATTACH 'x.db'"},
    {"id": "OWN-043", "check": "deny", "sql": "INSTALL httpfs"},
    {"id": "OWN-044", "check": "deny", "sql": "CREATE TABLE x AS SELECT * FROM civil.person"},
    {"id": "OWN-045", "check": "deny", "sql": "PREPARE x AS SELECT 1"},
    {"id": "OWN-046", "check": "deny", "sql": "SELECT 1 INTO x"},
    {"id": "OWN-047", "check": "deny", "sql": "SELECT name INTO OUTFILE 'x' FROM civil.person"},
    {"id": "OWN-048", "check": "deny", "sql": "SELECT $$x$$"},
    {"id": "OWN-049", "check": "deny", "sql": "SELECT name.x.y.z.w FROM civil.person"},
    {"id": "OWN-050", "check": "deny", "sql": "SELECT name FROM civil.person FOR UPDATE"},
    {"id": "OWN-051", "check": "deny", "sql": "SELECT name FROM civil.person NATURAL JOIN tax.company"},
    {"id": "OWN-052", "check": "deny", "sql": "SELECT name FROM civil.person ASOF JOIN tax.company ON salary >= capital"},
    {"id": "OWN-053", "check": "deny", "sql": "SELECT name FROM civil.person SEMI JOIN tax.company ON salary = capital"},
    {"id": "OWN-054", "check": "deny", "sql": "SELECT DISTINCT ON (gender) name FROM civil.person"},
    {"id": "OWN-055", "check": "deny", "sql": "SELECT name COLLATE nocase FROM civil.person"},
    {"id": "OWN-056", "check": "deny", "sql": "SELECT name[1:2] FROM civil.person"},
    {"id": "OWN-057", "check": "deny", "sql": "SELECT {'a': name} FROM civil.person"},
    {"id": "OWN-058", "check": "deny", "sql": "SELECT list_transform([1], x -> x + 1)"},
    {"id": "OWN-059", "check": "deny", "sql": "SELECT try(error('x'))"},
    {"id": "OWN-060", "check": "deny", "sql": "SELECT name FROM civil.person AS OF TIMESTAMP '2020-01-01'"},
    {"id": "OWN-061", "check": "deny", "sql": "SELECT name FROM civil.person p, p.items"},
    {"id": "OWN-062", "check": "deny", "sql": "SELECT nextval('x')"},
    {"id": "OWN-063", "check": "deny", "sql": "SELECT random()"},
    {"id": "OWN-064", "check": "deny", "sql": "SELECT set_config('x', 'y', false)"},
    {"id": "OWN-065", "check": "deny", "sql": "WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a"},
    {"id": "OWN-066", "check": "deny", "sql": "SELECT * FROM civil.person WHERE salary > ALL (SELECT capital FROM tax.company)"},
    {"id": "OWN-067", "check": "deny", "sql": "SELECT a.salary FROM civil.person a, civil.person b"},
    {"id": "OWN-068", "check": "deny", "sql": "SELECT filename FROM civil.person"},
    {"id": "OWN-069", "check": "deny", "sql": "SELECT file_row_number FROM civil.person"},
    {"id": "OWN-070", "check": "deny", "sql": "SELECT identifier FROM civil.person"},
    {"id": "OWN-071", "check": "deny", "sql": "SELECT k1.identifier FROM civil.person"},
    {"id": "OWN-072", "check": "deny", "sql": "SELECT p.pid, s1.name FROM civil.person p"},
    {"id": "OWN-073", "check": "no_leak", "sql": "SELECT s1.name, p.name FROM civil.person s1 JOIN civil.person p ON s1.pid = p.pid"},
    {"id": "OWN-074", "check": "no_leak", "sql": "SELECT k1.name FROM civil.person k1"},
    {"id": "OWN-075", "check": "no_leak", "sql": "SELECT name FROM civil.person WHERE TRUE OR division = '520103000000'"},
    {
        "id": "OWN-076",
        "check": "no_leak",
        "sql": "SELECT name FROM civil.person p FULL JOIN tax.company c ON p.pid = c.owner_pid OR p.salary >= c.capital",
    },
    {
        "id": "OWN-077",
        "check": "no_leak",
        "sql": "SELECT count(*) FROM civil.person WHERE CASE WHEN salary > 900000000 THEN 1 / 0 = 1 ELSE TRUE END",
    },
    {"id": "OWN-078", "check": "no_leak", "sql": "SELECT name FROM civil.person WHERE CAST(name AS INTEGER) = 1"},
    {"id": "OWN-079", "check": "no_leak", "sql": "SELECT 'a'';DROP TABLE x;--' AS a"},
    {"id": "OWN-080", "check": "no_leak", "sql": "SELECT name FROM civil.person -- phone\n WHERE salary > 0 /* ; SELECT phone */"},
]
"""Found while the gateway was built; the catalogue is open-ended."""


def _sql(case: dict[str, Any]) -> str:
    return str(case["sql"]).replace("{known_raw_id}", RAW_ID).replace("{p}", RAW_ID)


@pytest.mark.parametrize("case", [*CASES, *MORE], ids=lambda case: str(case["id"]))
def test_the_attack_is_held(world: World, case: dict[str, Any]) -> None:
    sql = _sql(case)
    try:
        answer = world.ask(sql)
    except Refused as refusal:
        assert refusal.query
        if case["check"] in ("deny", "bounded"):
            assert world.engine.ran == [], "a refused statement reached the engine"
            kind, body = world.book.entries[-1]
            assert kind is EntryKind.USE_REFUSED
            assert body["reasons"]
        for reason in refusal.reasons:
            for language in ("en", "zh-Hans"):
                sentence = render(reason, language)
                assert sentence != reason.code, f"{reason.code} has no words"
                assert "CANARY" not in sentence
                assert re.search("t_[0-9a-f]{32}", sentence) is None
        return
    except Unavailable:
        pytest.fail("the attack made a part unavailable")
    assert case["check"] == "no_leak", f"{sql} ran"
    assert canaries_in(answer.table) == []


def test_probing_a_masked_item_by_its_raw_value_finds_nothing(world: World) -> None:
    assert world.rows(f"SELECT count(*) FROM civil.person WHERE pid = '{RAW_ID}'") == [(0,)]
    assert world.rows("SELECT count(*) FROM civil.person WHERE name = '张伟'") == [(0,)]
    assert world.rows("SELECT count(*) FROM civil.person WHERE name LIKE '张伟%'") == [(0,)]


def test_a_walk_of_like_prefixes_finds_only_the_masked_text(world: World) -> None:
    found = [letter for letter in "伟秀英*" if world.rows(f"SELECT count(*) FROM civil.person WHERE name LIKE '_{letter}%'") != [(0,)]]
    assert found == ["*"]


def test_literals_mean_the_same_to_both_parsers(world: World) -> None:
    assert world.rows(r"SELECT 'back\' AS a, 'it''s' AS b, '\n' AS c, '汉字😀' AS d") == [("back\\", "it's", "\\n", "汉字😀")]
    assert world.codes("SELECT 0x41") == {"number-form-refused"}
    assert world.codes("SELECT 1_000") == {"number-form-refused"}
    assert world.codes("SELECT 1e400") == {"number-refused"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "NOT " * 4000 + "TRUE",
        "SELECT " + "-" * 1 + " -".join(["1"] * 3000),
        "SELECT " + "+".join(["1"] * 5000),
        "SELECT " + " OR ".join(["TRUE"] * 2500),
        "WITH " + ",".join(f"a{number} AS (SELECT 1)" for number in range(900)) + " SELECT 1",
        "SELECT " + "CASE WHEN TRUE THEN " * 700 + "1" + " END" * 700,
        " UNION ALL ".join(["SELECT 1"] * 1200),
        "SELECT 1 IN (" + ",".join(["1"] * 9000) + ")",
        "SELECT " + "[" * 3000,
        "(" * 3000 + "SELECT 1" + ")" * 3000,
        "SELECT * FROM " + "(SELECT * FROM " * 600 + "civil.person" + ") x" * 600,
        "SELECT '" + "x" * 19000 + "'",
        "x" * 30000,
        "SELECT 1 WHERE " + "EXISTS (SELECT 1 WHERE " * 400 + "TRUE" + ")" * 400,
    ],
    ids=range(15),
)
def test_large_and_deep_statements_are_refused_quickly(world: World, sql: str) -> None:
    import time

    began = time.monotonic()
    refusal = world.refusal(sql)
    assert time.monotonic() - began < 5
    assert {reason.code for reason in refusal.reasons} <= {
        "statement-too-long", "statement-too-deep", "statement-too-large", "statement-not-understood", "statement-not-understood-at",
        "text-literal-refused", "statement-too-many-datasets",
    }  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT \x00",
        "SELECT '\x00'",
        "SELECT \ud800 FROM civil.person",
        "SELECT '\ud800'",
        "SELECT \u202ename FROM civil.person",
        "",
        "   ",
        ";",
        "-- nothing",
        "SELECT",
        "SELECT FROM WHERE",
        "'",
        '"',
        "/*",
        "SELECT 1 FROM",
        "WITH",
        "SELECT * FROM civil.person WHERE",
    ],
)
def test_broken_statements_are_refused_as_such(world: World, sql: str) -> None:
    refusal = world.refusal(sql)
    assert refusal.query
    assert world.book.kinds() == [EntryKind.USE_REFUSED]


def test_errors_of_hidden_rows_do_not_show(world: World) -> None:
    """A statement that would fail on a hidden row and on no visible one must run: else its failure tells about the row.

    Four shapes of query by several kinds of probe; the hidden salaries are near a thousand million."""
    probes = [
        "salary * 9999999999999 >= 0 OR TRUE",
        "1000 / (salary - 987654321) IS NOT NULL OR TRUE",
        "salary // (salary - 987654321) >= 0 OR TRUE",
        "salary % (salary - 987654322) >= 0 OR TRUE",
        "CAST(name AS BIGINT) > 0 OR TRUE",
        "sqrt(900000000 - salary) >= 0 OR TRUE",
        "ln(900000000 - salary) >= 0 OR TRUE",
        "CAST(salary AS SMALLINT) > 0 OR TRUE",
        "TRY_CAST(name AS DATE) > DATE '2020-01-01' OR TRUE",
        "power(salary, 300) > 0 OR TRUE",
        "DATE '2020-01-01' + salary > DATE '2020-01-01' OR TRUE",
    ]
    shapes = [
        "SELECT count(*) FROM civil.person WHERE {}",
        "SELECT count(*) FROM (SELECT * FROM civil.person) x WHERE {}",
        "WITH a AS (SELECT salary, name FROM civil.person) SELECT count(*) FROM a WHERE {}",
        "SELECT sum(CASE WHEN {} THEN 1 ELSE 0 END) FROM civil.person",
    ]
    for shape in shapes:
        for probe in probes:
            assert world.rows(shape.format(probe)) == [(4,)], (shape, probe)


def test_join_of_two_purposes_on_pseudonyms_finds_nobody(world: World) -> None:
    other = make_grant("civil.person", {"pid": world.grants[0].terms.items[0].mask}, purpose="statistics", rows=NANMING, number="G-9")
    world.grants.append(other)
    tokens = {row[0] for row in world.rows("SELECT pid FROM civil.person WHERE pid IS NOT NULL", purpose="statistics")}
    assert tokens.isdisjoint({row[0] for row in world.rows("SELECT pid FROM civil.person WHERE pid IS NOT NULL")})
    assert person_token(RAW_ID, linkage_group="gz-rural:statistics") in tokens
