"""How many values a second one core recognises, kind by kind; the baseline reads the same values one by one with a regular expression.

    python -m bench recognise [--quick]
"""

import random
import re
import string
import time
from collections.abc import Callable
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from huitong.intake.recognisers import SAMPLE, recognise, rules, validity_sql
from huitong.intake.recognisers.kernels import Texts, bank_cards, credit_codes, resident_ids
from huitong.model.codes import CREDIT_CODE_ALPHABET, credit_code_check_character, is_luhn, is_resident_id, resident_id_check_character

TARGET = 200_000
"""Values a second on one core (issue of intake and catalogue)."""
FALSE_SHARE = 0.001
"""Random digits that may pass for an identifier."""


def run(*, quick: bool) -> dict[str, object]:
    """Measure; `quick` looks at fewer values of fewer kinds."""
    chance = random.Random(1)
    count = 20_000 if quick else SAMPLE
    pa.set_cpu_count(1)
    measures: dict[str, dict[str, object]] = {}
    slowest = 0.0
    for kind, make in _kinds(chance).items():
        values = pa.array([make() for _ in range(count)])
        speed = count / _seconds(lambda values=values: recognise(values, name="item", titles=("信息项", "Item")))
        measures[f"values_per_second_{kind}"] = {"value": round(speed)}
        slowest = min(slowest or speed, speed)
    measures["values_per_second_slowest_kind"] = {"value": round(slowest), "target": TARGET, "met": slowest >= TARGET}
    ids = [_resident_id(chance) for _ in range(count)]
    shape = re.compile(r"[1-9][0-9]{16}[0-9X]")
    plain = count / _seconds(lambda: sum(1 for value in ids if shape.fullmatch(value) and is_resident_id(value)))
    measures["baseline_one_meaning_one_by_one"] = {"value": round(plain)}
    tried = 200_000 if quick else 2_000_000
    for length in (15, 16, 18, 19):
        texts = Texts(pa.array(["".join(chance.choices(string.digits, k=length)) for _ in range(tried)]))
        new, old = resident_ids(texts)
        for name, flags in (("resident_id", new | old), ("credit_code", credit_codes(texts)), ("bank_card", bank_cards(texts))):
            share = float(flags.mean())
            if share:
                measures[f"false_share_{name}_{length}_digits"] = {"value": share, "target": FALSE_SHARE, "met": share < FALSE_SHARE}
    measures |= _validity(ids, 200_000 if quick else 2_000_000)
    method = (
        f"recognise() with every meaning on {count} different seeded values of each kind, one thread, best of three; "
        f"false shares over {tried} random digits of each length; validity by DuckDB with one thread"
    )
    return {"name": "recognise", "measures": measures, "method": method}


def _validity(ids: list[str], rows: int) -> dict[str, dict[str, object]]:
    connection = duckdb.connect(config={"threads": 1})
    values = pa.table({"value": ids})
    connection.register("ids", values)
    connection.execute(f"CREATE TABLE checked AS SELECT value FROM ids, range({rows // len(ids)})")
    found = {}
    for meaning in ("resident-id", "credit-code", "phone"):
        assert rules()[meaning].measured
        statement = f"SELECT count(*) FILTER ({validity_sql(meaning, 'value')}) FROM checked"
        seconds = _seconds(lambda statement=statement: connection.execute(statement).fetchall())
        found[f"validity_rows_per_second_{meaning}"] = {"value": round(rows / seconds)}
    return found


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()  # of this core: others on the machine do not count
        work()
        best = min(best, time.process_time() - start)
    return best


def _resident_id(chance: random.Random) -> str:
    day = date(1940, 1, 1) + timedelta(days=chance.randrange(29_000))
    first = f"520{chance.randrange(100, 1000)}{day:%Y%m%d}{chance.randrange(1000):03d}"
    return first + resident_id_check_character(first)


def _kinds(chance: random.Random) -> dict[str, Callable[[], str]]:
    surnames, given = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "伟强军勇涛斌波辉鹏飞杰超刚磊俊峰林海平亮龙健东旭凯鑫丽敏静艳燕娟霞红梅"

    def credit_code() -> str:
        first = f"91520{chance.randrange(1000):03d}MA" + "".join(chance.choices(CREDIT_CODE_ALPHABET, k=7))
        return first + credit_code_check_character(first)

    def card() -> str:
        first = "621700" + "".join(chance.choices(string.digits, k=12))
        return first + next(digit for digit in string.digits if is_luhn(first + digit))

    return {
        "resident_ids": lambda: _resident_id(chance),
        "resident_ids_with_blanks": lambda: f" {(value := _resident_id(chance))[:6]} {value[6:14]} {value[14:]}",
        "credit_codes": credit_code,
        "bank_cards": card,
        "mobiles": lambda: f"13{chance.randrange(10**9):09d}",
        "names": lambda: chance.choice(surnames) + "".join(chance.choices(given, k=2)),
        "addresses": lambda: f"贵州省贵阳市南明区{chance.choice(given)}路{chance.randrange(400)}号{chance.randrange(30)}栋",
        "random_digits": lambda: "".join(chance.choices(string.digits, k=18)),
        "words": lambda: "".join(chance.choices(given + surnames, k=12)),
    }
