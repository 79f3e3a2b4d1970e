"""Statements nobody has seen: whatever they are, each comes to a finding, and the server lives."""

from pathlib import Path

import pytest

from huitong.drill.cases import Case, Check, read_cases
from huitong.drill.ground import Ground
from huitong.drill.judging import Finding, Outcome, held
from huitong.drill.run import run_case, run_cases

pytestmark = pytest.mark.slow


def case(sql: str, check: Check = Check.DENY, layer: str = "sql", **more: str) -> Case:
    return Case("X-1", layer, "", "", "", check, sql=sql, **more)


REFUSED = {
    "nothing": "",
    "blanks": "  \n",
    "a mark of nothing": "\x00",
    "half a character": "SELECT '\ud800'",
    "100 kB": "SELECT " + "1 + " * 25_000 + "1",
    "100 kB of no sense": "\x07\x1b[31m" * 20_000,
    "many statements": "SELECT 1;" * 500,
    "brackets": "(" * 30_000,
    "explain": "EXPLAIN SELECT * FROM civil.person",
    "copy": "COPY (SELECT * FROM hidden) TO 'stolen.csv'",
    "attach": "ATTACH 'control.sqlite3' AS c",
    "pragma": "PRAGMA database_list",
    "set": "SET enable_external_access = true",
    "a file beside the lake": "SELECT * FROM read_csv('outside.csv')",
    "the same by its path": "SELECT * FROM read_csv('../outside.csv')",
    "files by a pattern": "SELECT * FROM glob('**')",
    "the environment": "SELECT getenv('HOME')",
    "system tables": "SELECT * FROM duckdb_tables()",
    "a hidden item": "SELECT id FROM civil.person",
    "a hidden dataset": "SELECT * FROM civil.marriage",
    "everybody with everybody": "SELECT count(*) FROM civil.person a CROSS JOIN civil.person b CROSS JOIN civil.person c",
    "asleep": "SELECT pg_sleep(30)",
    "curly": "SELECT {p} {known_raw_id} {nothing} {}",
}


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(ground: Ground, sql: str) -> None:
    attempt = case(sql)
    finding = run_case(ground, attempt, {})
    assert held(attempt, finding), finding
    assert not (ground.home / "stolen.csv").exists()


def test_a_statement_that_is_answered_is_not_refused(ground: Ground) -> None:
    finding = run_case(ground, case("SELECT name FROM civil.person LIMIT 1"), {})
    assert finding.outcome is Outcome.ANSWERED
    assert not held(case("SELECT 1"), finding)


ANSWERED = (
    "SELECT * FROM civil.person",
    "SELECT count(*) AS n, region6 FROM civil.person GROUP BY region6",
    "SELECT max(salary) AS m, min(birth_year) AS b, max(note) AS t, max(name) AS phone FROM civil.person",
    "SELECT p.name, c.name FROM civil.person p JOIN tax.company c ON p.pid = c.owner_pid",
    "SELECT reverse(name) AS n, upper(note) AS t FROM civil.person",
    "SELECT 'CANARY' AS a, '{known_raw_id}' AS b, 987600000 AS c",
    "SELECT name FROM civil.person WHERE pid = '{p}'",
)


@pytest.mark.parametrize("sql", ANSWERED)
def test_it_is_answered_and_leaks_nothing(ground: Ground, sql: str) -> None:
    finding = run_case(ground, case(sql, Check.NO_LEAK), {})
    assert finding.outcome is Outcome.ANSWERED, finding


def test_a_live_pseudonym_finds_its_person_and_a_raw_identifier_nobody(ground: Ground) -> None:
    for actor, told in (("rows_user", [[1]]), ("agg_user", [])):
        token = ground.live_token_of(actor)
        answer = ground.query(actor, f"SELECT count(*) AS n FROM civil.person WHERE pid = '{token}'")
        assert answer.json()["rows"] == told
    answer = ground.query("rows_user", f"SELECT count(*) AS n FROM civil.person WHERE pid = '{ground.known_raw_id}'")
    assert answer.json()["rows"] == [[0]]


def test_who_tries_follows_the_layer(ground: Ground) -> None:
    single = "SELECT name FROM civil.person LIMIT 1"
    assert run_case(ground, case(single, Check.NO_LEAK), {}).outcome is Outcome.ANSWERED
    assert run_case(ground, case(single, Check.NO_LEAK, layer="inference"), {}).outcome is Outcome.REFUSED
    assert run_case(ground, case(single, Check.NO_LEAK, layer="of our own"), {}).outcome is Outcome.ANSWERED
    assert run_case(ground, case(single, Check.DENY, actor="other_office"), {}).outcome is Outcome.REFUSED
    assert run_case(ground, case(single, Check.DENY, actor="nobody"), {}).outcome is Outcome.NOT_RUN


def test_a_statement_may_be_judged_by_every_check(ground: Ground) -> None:
    outcomes = {check: run_case(ground, case("SELECT count(*) AS n FROM civil.person", check), {}).outcome for check in Check}
    assert outcomes == {
        Check.DENY: Outcome.ANSWERED,
        Check.NO_LEAK: Outcome.ANSWERED,
        Check.BOUNDED: Outcome.BOUNDED,
        Check.DETECT: Outcome.DETECTED,
    }
    assert run_case(ground, case("SELECT phone FROM civil.person", Check.DETECT), {}).outcome is Outcome.DETECTED


def test_a_runaway_statement_is_bounded_and_is_no_refusal_before_execution(ground: Ground) -> None:
    slow = "SELECT count(*) AS n FROM civil.person a JOIN civil.person b ON a.gender = b.gender JOIN civil.person c ON c.gender = b.gender"
    slow += " WHERE a.salary + b.salary > c.salary"
    assert run_case(ground, case(slow, Check.BOUNDED), {}).outcome is Outcome.BOUNDED
    finding = run_case(ground, case(slow, Check.DENY), {})
    assert finding.outcome is Outcome.ERROR
    assert "reached the engine" in finding.evidence


def test_every_case_of_a_file_has_its_result_in_its_order(ground: Ground, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(
        "cases:\n- {id: A, check: deny, sql: SELECT 1; SELECT 2}\n- {id: A, check: deny, sql: SELECT v FROM hidden}\n"
        "- {id: B, layer: api, check: deny}\n- {id: C, check: maybe, sql: SELECT 1}\n- nothing\n",
        "utf-8",
    )
    results = run_cases(ground, read_cases(file))
    assert [(one.case.id, one.finding.outcome.value, one.held) for one in results] == [
        ("A", "refused", True),
        ("A", "refused", True),
        ("B", "not_run", False),
        ("C", "not_run", False),
        ("#5", "not_run", False),
    ]
    assert set(results[0].as_json()) == {"id", "outcome", "held", "evidence"}


def test_a_server_that_died_is_an_error_and_serves_the_next_case(ground: Ground) -> None:
    with ground.another() as spoiled:

        def kills(ground_: Ground) -> Finding:
            assert ground_.process is not None
            ground_.process.kill()
            ground_.process.wait()
            return Finding(Outcome.REFUSED, "It was said no to.")

        killing = Case("K", "api", "", "", "", Check.DENY)
        finding = run_case(spoiled, killing, {"K": kills})
        assert finding.outcome is Outcome.ERROR
        assert "died" in finding.evidence
        assert run_case(spoiled, case("SELECT v FROM hidden"), {}).outcome is Outcome.REFUSED
