"""Thousands of statements spliced from pieces of good and bad ones: no canary comes out, and nothing but a refusal or a result.

The seed is fixed, so a failure is found again; the number is raised by the environment of a soak run (HUITONG_FUZZ)."""

import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlglot.dialects.dialect import Dialect
from tests.spec.governed.governed_world import PERSON_GRANT, World, canaries_in

from huitong.errors import Refused
from huitong.model.ledger import EntryKind
from huitong.model.policy import DivisionRows, Mode
from huitong.words import render

SEED = 20260302
STATEMENTS = int(os.environ.get("HUITONG_FUZZ", "6000"))
FIXTURES = Path(__file__).parents[2] / "fixtures" / "attacks" / "sql_attacks.yaml"

ORDINARY = [
    "SELECT gender, count(*) AS n, avg(salary) FROM civil.person WHERE born >= 1980 GROUP BY gender HAVING count(*) > 0 ORDER BY n",
    "WITH a AS (SELECT pid, salary FROM civil.person), b AS (SELECT owner_pid, sum(capital) AS c FROM tax.company GROUP BY owner_pid) "
    "SELECT a.salary, b.c FROM a JOIN b ON b.owner_pid = a.pid",
    "SELECT name, rank() OVER (PARTITION BY division ORDER BY salary DESC) AS r FROM civil.person",
    "SELECT * FROM civil.person p LEFT JOIN tax.company c USING (division)",
    "SELECT * FROM (SELECT * FROM civil.person) x WHERE x.phone = '1'",
    "SELECT name FROM civil.person WHERE salary IN (SELECT capital FROM tax.company) UNION ALL SELECT gender FROM civil.person",
    "SELECT CASE WHEN salary > 100 THEN name ELSE phone END FROM civil.person ORDER BY 1 LIMIT 3",
    "SELECT max(salary) AS phone FROM civil.person HAVING phone > 1",
    "SELECT (SELECT max(diagnosis) FROM civil.person q WHERE q.pid = p.pid) FROM civil.person p",
    "SELECT a.name, b.name FROM civil.person a JOIN civil.person b ON a.salary < b.salary AND a.division <> b.division",
    "SELECT upper(name), substring(name, 1, 2), left(name, 1), coalesce(name, phone), CAST(pid AS TEXT) FROM civil.person",
    "SELECT DISTINCT name, salary FROM civil.person WHERE EXISTS (SELECT 1 FROM tax.company c WHERE c.owner_pid = civil.person.pid)",
    "SELECT station, date_trunc('month', at), extract(year FROM at), at + INTERVAL 1 DAY FROM weather WHERE at >= '2025-01-01'",
]
WORDS = [
    "phone",
    "diagnosis",
    "hidden",
    "police.case_file",
    "*",
    "p.*",
    "rowid",
    "k1.identifier",
    "s1.phone",
    "t0",
    "c1",
    "NULL",
    "0",
    "'x'",
    "civil.person",
    "tax.company",
    "(",
    ")",
    ",",
    ".",
    "AS",
    "ON TRUE",
    "USING (pid)",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "UNION",
    "JOIN",
    "EXISTS",
    "IN",
    "NOT",
    "||",
    "/",
    "::",
    "OVER ()",
    "LIMIT 1",
    "--",
    ";",
    "\\",
    '"',
    "'",
    "`",
    "$1",
    "?",
    "{",
    "[",
]


def _pieces() -> list[list[str]]:
    """Every statement as its tokens, as they were written."""
    texts = [str(case["sql"]) for case in yaml.safe_load(FIXTURES.read_text("utf-8"))["cases"]] + ORDINARY * 3
    dialect = Dialect.get_or_raise("duckdb")
    pieces = []
    for text in texts:
        try:
            tokens = dialect.tokenize(text)
        except Exception:
            continue
        pieces.append([text[token.start : token.end + 1] for token in tokens])
    return pieces


ITEMS = [
    "name",
    "salary",
    "pid",
    "born",
    "division",
    "gender",
    "weight",
    "diagnosis",
    "phone",
    "p.name",
    "x.salary",
    "capital",
    "owner_pid",
    "*",
    "p.*",
]
EXPRESSIONS = [
    "{i}",
    "{i}",
    "{e} + {e}",
    "{e} / {e}",
    "{e} || {e}",
    "coalesce({e}, {e})",
    "CAST({e} AS {t})",
    "count(*)",
    "sum({e})",
    "max({e})",
    "count(DISTINCT {e})",
    "CASE WHEN {c} THEN {e} ELSE {e} END",
    "(SELECT max({i}) FROM {s})",
    "left({e}, 1)",
    "length({e})",
    "{n}",
    "rank() OVER (PARTITION BY {e} ORDER BY {e})",
    "sum({e}) OVER (PARTITION BY {e})",
    "substring({e}, 1, 3)",
    "abs({e})",
    "-{e}",
    "round({e})",
    "nullif({e}, {e})",
    "lower({e})",
    "greatest({e}, {e})",
    "extract(year FROM {e})",
    "date_trunc('month', {e})",
]
CONDITIONS = [
    "{e} = {e}",
    "{e} > {n}",
    "{e} LIKE '张%'",
    "{e} IN ({n}, {n})",
    "{e} IN (SELECT {i} FROM {s})",
    "{e} IS NOT NULL",
    "{c} AND {c}",
    "{c} OR {c}",
    "NOT ({c})",
    "EXISTS (SELECT 1 FROM {s} WHERE {c})",
    "{e} BETWEEN {e} AND {e}",
    "{e} IS DISTINCT FROM {e}",
]
SOURCES = [
    "civil.person",
    "civil.person p",
    "tax.company",
    "(SELECT * FROM civil.person) x",
    "civil.person p JOIN tax.company c ON p.pid = c.owner_pid",
    "civil.person p LEFT JOIN civil.person x USING (pid)",
    "(SELECT {e} AS salary, {e} AS name FROM {s}) x",
    "weather",
    "hidden",
    "civil.person p FULL JOIN tax.company x ON x.capital > p.salary",
    "({q}) x",
]
QUERIES = [
    "SELECT {e} FROM {s}",
    "SELECT {e}, {e} FROM {s} WHERE {c}",
    "SELECT {e} AS a, count(*) AS n FROM {s} GROUP BY 1 ORDER BY 2 DESC",
    "SELECT DISTINCT {e} FROM {s} ORDER BY 1",
    "SELECT {i}, sum({e}) FROM {s} WHERE {c} GROUP BY {i} HAVING count(*) > 0",
    "WITH x AS ({q}) SELECT * FROM x",
    "{q} UNION ALL {q}",
    "SELECT * FROM {s} WHERE {c} LIMIT 5",
    "SELECT {e} FROM {s} ORDER BY {e}",
]
CHOICES = {
    "i": ITEMS,
    "e": EXPRESSIONS,
    "c": CONDITIONS,
    "s": SOURCES,
    "q": QUERIES,
    "t": ["BIGINT", "TEXT", "DATE", "DOUBLE", "SMALLINT"],
    "n": ["0", "1", "3000", "'x'", "'2020-01-01'", "9223372036854775807", "NULL", "DATE '2020-01-01'", "1e300"],
}
PLAINEST = {"i": "name", "e": "salary", "c": "salary > 0", "s": "civil.person", "q": "SELECT * FROM civil.person", "t": "TEXT", "n": "1"}


def _grow(chance: random.Random, form: str, depth: int) -> str:
    """A statement by grammar: the right shape, any sense or none."""
    return re.sub(
        r"\{(\w)\}", lambda found: _grow(chance, chance.choice(CHOICES[found[1]]), depth - 1) if depth else PLAINEST[found[1]], form
    )


def _splice(chance: random.Random, pieces: list[list[str]]) -> str:
    if chance.random() < 0.5:
        return _grow(chance, chance.choice(QUERIES), chance.randrange(1, 5))
    kind = chance.random()
    first = list(chance.choice(pieces))
    if kind < 0.35:
        second = chance.choice(pieces)
        made = first[: chance.randrange(len(first) + 1)] + second[chance.randrange(len(second)) :]
    elif kind < 0.65:
        made = first
        for _ in range(chance.randrange(1, 4)):
            made[chance.randrange(len(made))] = chance.choice(WORDS)
    elif kind < 0.85:
        made = first
        for _ in range(chance.randrange(1, 3)):
            other = chance.choice(pieces)
            start = chance.randrange(len(other))
            at = chance.randrange(len(made) + 1)
            made[at : at + chance.randrange(3)] = other[start : start + chance.randrange(1, 8)]
    else:
        made = first
        chance.shuffle(made) if chance.random() < 0.2 else made.insert(chance.randrange(len(made)), chance.choice(WORDS))
    return " ".join(made)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_spliced_statements_leak_nothing_and_break_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(SEED)
    pieces = _pieces()
    world = World(tmp_path)
    identifiers = (("civil.person", "pid"), ("tax.company", "owner_pid"))
    files = {name: world.files("gz-rural:poverty-relief", name, item, 1) for name, item in identifiers}
    world.files = lambda group, dataset, item, version: files[dataset]  # type: ignore[method-assign]
    company = world.grants[1]
    rows = DivisionRows("division", PERSON_GRANT.terms.rows.division)  # type: ignore[union-attr]
    assert company.terms.mode is Mode.ROWS
    world.grants[1] = type(company)(**{**vars(company), "terms": type(company.terms)(**{**vars(company.terms), "rows": rows})})
    world.gateway = world.make_gateway()
    outcomes: Counter[str] = Counter()
    for _ in range(STATEMENTS):
        sql = _splice(chance, pieces)
        try:
            answer = world.ask(sql)
        except Refused as refusal:
            code = refusal.reasons[0].code
            outcomes["failed in the engine" if code == "query-failed" else "refused"] += 1
            outcomes[code] += 1
            for reason in refusal.reasons:
                assert "CANARY" not in render(reason, "en"), sql
            continue
        outcomes["ran"] += 1
        found: list[Any] = canaries_in(answer.table)
        assert not found, (sql, found)
        values = [value for row in answer.table.to_pylist() for value in row.values()]
        assert 777_777 not in values, sql
        assert not any("CANARY" in str(value) or "1380000" in str(value) for value in values), sql
    assert outcomes["ran"] >= STATEMENTS // 20, outcomes
    assert not caplog.records, "an exception was caught and refused: the binder or the rewriter met what it did not expect"
    assert outcomes["rewrite-differs"] == 0, "two parsers differed on what the rewriter wrote"
    assert outcomes["rewrite-failed"] == 0, "the rewriter met a tree that it did not expect"
    kinds = Counter(kind for kind, _ in world.book.entries)
    assert kinds[EntryKind.USE_INTENT] == kinds[EntryKind.USE_OUTCOME] == outcomes["ran"] + outcomes["failed in the engine"]
    assert kinds[EntryKind.USE_REFUSED] == outcomes["refused"]
    print(dict(outcomes))
