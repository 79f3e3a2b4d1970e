"""Statements for which a parser that tries every way would hold the whole process: each is answered within seconds."""

import contextlib
import os
import random
import re
import time

import pytest

from huitong.errors import Refused
from huitong.gateway.parse import parse, read_caps

CAPS = read_caps()
INVOLVED = {
    "joins before their conditions": "SELECT 1 FROM civil.person" + " JOIN civil.person" * 40,
    "such joins with something between": "SELECT 1 FROM civil.person" + " JOIN DATE" * 40,
    "typed literals in each other": "SELECT " + "DATE (" * 90 + "1" + ")" * 90,
    "joins in brackets after commas": "SELECT 1 FROM " + "a, ((a JOIN " * 32 + "1" + "))" * 32,
    "FROM first, in brackets after commas": "SELECT 1 FROM " + "a, ((FROM " * 32 + "1" + "))" * 32,
}
WORDS = re.findall(
    r"\S+",
    "SELECT FROM WHERE JOIN LEFT NATURAL ON USING AS WITH UNION ALL CASE WHEN THEN ELSE END NOT AND OR IN IS NULL BETWEEN LIKE EXISTS CAST "
    "INTERVAL DATE TIMESTAMP ARRAY ROW VALUES LATERAL UNNEST TABLE OVER PARTITION BY ORDER GROUP HAVING LIMIT FILTER ROWS PIVOT FOR ASOF "
    "WINDOW STRUCT MAP INT TRUE ANY AT a b f( ( ) [ ] { } , . : :: -> => = < + - * / || ~ ? @ $1 1 1.5 'x' \"q\" DESC SEMI OUTER COLUMNS(",
)
NESTS = ("(", "[", "{'a':", "f(", "CAST(", "(SELECT ", "(SELECT 1 FROM ", "a JOIN (", "a, (", "(a JOIN ", "CASE WHEN (", "a IN (", "DATE (",
         "x -> (", "STRUCT(", "(FROM ", "((", "(a.", "MAP {", "TABLE(", "VALUES (", "LATERAL (", "INTERVAL (",
         "EXTRACT(YEAR FROM ")  # fmt: skip
HEADS = ("SELECT 1 FROM a ", "SELECT ", "SELECT 1 FROM ", "SELECT 1 FROM a WHERE ")
SECONDS = 5.0


def seconds_of(sql: str) -> float:
    began = time.process_time()
    with contextlib.suppress(Refused):
        parse(sql[: CAPS.characters], CAPS)
    return time.process_time() - began


@pytest.mark.parametrize("sql", INVOLVED.values(), ids=INVOLVED.keys())
def test_what_can_be_read_in_too_many_ways_is_refused_at_once(sql: str) -> None:
    began = time.process_time()
    with pytest.raises(Refused) as refused:
        parse(sql, CAPS)
    assert [reason.code for reason in refused.value.reasons] == ["statement-too-involved"]
    assert time.process_time() - began < SECONDS


def test_no_repetition_of_a_few_words_holds_the_process(examples: int) -> None:
    chance = random.Random(20_261_201)
    for _ in range(examples):
        few = " ".join(chance.choices(WORDS, k=chance.randint(1, 4))) + " "
        for head in HEADS:
            sql = head + few * (400 // len(few.split()))
            assert seconds_of(sql) < SECONDS, sql[:120]


def test_no_nesting_of_a_few_openings_holds_the_process(examples: int) -> None:
    chance = random.Random(20_261_202)
    for _ in range(examples):
        few = "".join(chance.choices(NESTS, k=chance.randint(1, 3)))
        depth = 96 // max(1, sum(few.count(bracket) for bracket in "([{"))
        for head in HEADS:
            sql = f"{head}{few * depth}1{')' * 96}"
            assert seconds_of(sql) < SECONDS, sql[:120]


@pytest.fixture
def examples() -> int:
    return 20_000 if os.environ.get("HUITONG_SOAK") else 60
