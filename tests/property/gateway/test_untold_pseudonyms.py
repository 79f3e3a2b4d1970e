"""A pseudonym that a statement never tells is computed on the identifier itself: the same answers as by the joined tokens, and as the
reference gives, whatever is done with it."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.property.gateway.random_cases import FIRM, PERSON, Case, Statement
from tests.property.gateway.reference import RandomWorld, difference, through_the_gateway, through_the_reference
from tests.spec.governed.governed_world import CLEAR, COUNTY, NANMING, PSEUDONYM, make_grant

from huitong.gateway.rewrite.untold import Untold

pytestmark = pytest.mark.slow

STATEMENTS = 1500 if os.environ.get("HUITONG_SOAK") else 60
PIDS = ["990102199001011230", "99010220001231345X", "99010220001231345x", "", " 990102199001011230", "中文身份", None, None]
P, F = "civil.person", "tax.company"


def rows(r: Random) -> dict[str, list[dict[str, Any]]]:
    """Few people and companies; identifiers that differ in letter case, by a blank, or are missing, many of them twice."""
    codes = [NANMING, "520102001000", "520103001000", None]
    people = [
        {"pid": r.choice(PIDS), "name": r.choice("甲乙丙"), "division": r.choice(codes), "born": None, "n": r.choice([None, 0, 1, 2, 3]),
         "w": r.choice([0.5, 1.25, None]), "ok": None, "seen": None}
        for _ in range(r.randint(0, 9))
    ]  # fmt: skip
    firms = [
        {"fid": f"f{number}", "pid": r.choice(PIDS), "division": r.choice(codes), "n": r.choice([None, 0, 1, 2]), "kind": r.choice("ab")}
        for number in range(r.randint(0, 9))
    ]
    return {P: people, F: firms}


def source(r: Random, alias: str) -> str:
    """Something with `pid` and `n` under the alias."""
    one = r.choice([P, F])
    return r.choice([
        *[f"{one} {alias}"] * 4,
        f"(SELECT pid, n FROM {one}) {alias}",
        f"(SELECT DISTINCT pid, n FROM {one} WHERE n > 0) {alias}",
        f"(SELECT pid, max(n) AS n FROM {one} GROUP BY pid) {alias}",
        f"(SELECT pid, n FROM {P} UNION ALL SELECT pid, n FROM {F}) {alias}",
        f"(SELECT pid, n FROM {P} {r.choice(['UNION', 'INTERSECT', 'EXCEPT'])} SELECT pid, n FROM {F}) {alias}",
        f"(SELECT pid AS pid, n, rank() OVER (PARTITION BY pid ORDER BY n) AS place FROM {one}) {alias}",
        f"(SELECT pid, n FROM {one} ORDER BY pid, n LIMIT 3) {alias}",
        f"(SELECT coalesce(pid, 7) AS pid, n FROM {one}) {alias}",
    ])  # fmt: skip


def condition(r: Random, alias: str) -> str:
    one = r.choice([P, F])
    return r.choice([
        *[""] * 6,
        f" WHERE {alias}.pid IS NOT NULL",
        f" WHERE {alias}.pid IS NULL OR {alias}.n = 1",
        f" WHERE {alias}.pid {r.choice(['IN', 'NOT IN'])} (SELECT z.pid FROM {one} z WHERE z.n > 0)",
        f" WHERE {alias}.pid {r.choice(['IN', 'NOT IN'])} (SELECT z.pid FROM {P} z UNION SELECT y.pid FROM {F} y WHERE y.pid IS NOT NULL)",
        f" WHERE {r.choice(['', 'NOT '])}EXISTS (SELECT z.pid FROM {one} z WHERE z.pid = {alias}.pid AND z.n >= {alias}.n)",
        f" WHERE {alias}.pid > 0",
        f" WHERE {alias}.pid = '990102199001011230'",
    ])  # fmt: skip


def statement(r: Random) -> str:
    a, b = source(r, "a"), source(r, "b")
    side = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    same = r.choice(["a.pid = b.pid", "a.pid = b.pid", "a.pid = b.pid AND a.n = b.n", "a.pid IS NOT DISTINCT FROM b.pid"])
    where = condition(r, "a")
    return r.choice([
        f"SELECT count(DISTINCT a.pid) AS o FROM {a}{where}",
        f"SELECT a.n, count(DISTINCT a.pid) AS o, count(a.pid) AS c FROM {a}{where} GROUP BY a.n",
        f"SELECT count(*) AS o, count(a.pid) AS c FROM {a}{where} GROUP BY a.pid",
        f"SELECT t.o, count(*) AS c FROM (SELECT count(*) AS o FROM {a}{where} GROUP BY a.pid) t GROUP BY t.o",
        f"SELECT count(*) AS o, sum(b.n) AS s FROM {a} {side} {b} ON {same}{where}",
        f"SELECT a.n, b.n AS m FROM {a} {side} {b} ON {same}{where}",
        f"SELECT a.n, avg(b.n / 2) AS m FROM {a} {side} {b} ON {same}{where} GROUP BY a.n",
        f"SELECT count(*) AS o FROM {a} {side} {b} USING (pid){'' if side == 'FULL JOIN' else where}",
        f"SELECT a.pid, count(*) AS o FROM {a} {side} {b} ON {same}{where} GROUP BY a.pid",
        f"SELECT count(*) AS o FROM {a} JOIN {b} ON a.n = b.n AND a.pid <> b.pid{where}",
        f"WITH x AS (SELECT a.pid, count(*) AS n FROM {a}{where} GROUP BY a.pid) SELECT sum(x.n) AS o, count(*) AS c FROM x JOIN {b} "
        "ON b.pid = x.pid",
        f"WITH x AS (SELECT a.pid, a.n FROM {a}{where}), y AS (SELECT pid FROM x) SELECT count(DISTINCT y.pid) AS o FROM y",
        f"SELECT CASE WHEN a.pid = b.pid THEN 'same' ELSE 'other' END AS o, count(*) AS c FROM {a} JOIN {b} ON a.n = b.n{where} GROUP BY 1",
        f"SELECT max(a.pid) IS NULL AS o FROM {a}{where}",
        f"SELECT (SELECT count(DISTINCT z.pid) FROM {P} z) AS o, count(*) AS c FROM {a}{where}",
        f"SELECT a.n, sum(count(*)) OVER (PARTITION BY a.pid) AS o FROM {a}{where} GROUP BY a.n, a.pid",
    ])  # fmt: skip


def test_identifiers_in_the_place_of_tokens_change_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, forms = RandomWorld(tmp_path), {"untold": 0, "salted": 0, "joined": 0, "refused": 0, "gap": 0}
    for number in range(STATEMENTS):
        r = Random(number)
        person = {"pid": PSEUDONYM, "division": COUNTY} | dict.fromkeys(("name", "n", "w"), CLEAR)
        grants = [
            make_grant(P, person, number="G-p", linkage_group="g", rows=r.choice([None, NANMING])),
            make_grant(F, {"pid": PSEUDONYM, "n": CLEAR, "kind": CLEAR}, number="G-f", provider=FIRM.provider,
                       linkage_group=r.choice(["g", "g", "another"])),
        ]  # fmt: skip
        world.take(Case(PERSON, rows(r), grants, {}, []))
        asked = Statement(statement(r), set(), {}, ordered=False)
        before = len(world.engine.ran)
        given = through_the_gateway(world, asked.sql)
        sql = world.engine.ran[-1].sql if len(world.engine.ran) > before else ""
        reference = through_the_reference(world, asked.sql)
        with monkeypatch.context() as patch:
            patch.setattr("huitong.gateway.rewrite.untold", lambda *_: Untold())
            world.epoch += 1
            joined = through_the_gateway(world, asked.sql)
        assert difference(asked, given, joined) is None, asked.sql
        if reference.gap:
            forms["gap"] += 1
        else:
            assert difference(asked, given, reference) is None, asked.sql
        if given.refused:
            forms["refused"] += 1
        else:
            forms["joined" if "identifier" in sql else "salted" if "\"pid\" || '" in sql else "untold"] += 1
    assert forms["untold"] > STATEMENTS * 0.2, forms
    assert forms["salted"] > STATEMENTS * 0.03, forms
    assert forms["joined"] > STATEMENTS * 0.1, forms
    assert forms["refused"] + forms["gap"] < STATEMENTS * 0.25, forms
