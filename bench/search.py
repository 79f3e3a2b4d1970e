"""How fast the catalogue answers a search over 100,000 entries, with visibility, total and all facets, on SQLite and PostgreSQL.

    python -m bench.search [--quick]

Entries are made from a seed: titles of places, subjects and kinds of registers in both languages, eight items each, 900 offices of
three levels, one entry in twelve hidden from most. Every kind of query asks for all nine facets; the words of a query are drawn
anew each time, so nothing is answered from a result that was kept. The baseline is the plain way in the same database: entries
whose title or abstract contains the words (LIKE), counted, and one page of them.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import product
from pathlib import Path

from django.core.management import call_command
from django.db import connections
from tests.postgresql import postgresql_server

from huitong.catalog.divisions import load_divisions
from huitong.catalog.ports import Facet
from huitong.catalog.search import index_of, search
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle, Visibility
from huitong.model.codes import credit_code_check_character
from huitong.model.party import DivisionLevel, Office
from huitong.model.text import BilingualText
from huitong.portal.wiring import start_django
from huitong.settings import Settings

ENTRIES, QUICK_ENTRIES = 100_000, 4_000
SEED = 20_260_301
TARGET_MILLISECONDS = 50.0
PUT_TARGET_MILLISECONDS = 50.0
FILL_TARGET_SECONDS = 600.0
AT_ONCE = 300

SUBJECTS = [
    ("低保家庭", "minimum allowance households"), ("残疾人", "disabled persons"), ("常住人口", "resident population"),
    ("企业登记", "enterprise registration"), ("不动产", "real estate"), ("农村饮水", "rural drinking water"),
    ("医疗保险", "medical insurance"), ("养老保险", "pension insurance"), ("学生学籍", "school enrolment"),
    ("机动车", "motor vehicles"), ("驾驶证", "driving licences"), ("婚姻登记", "marriage registration"),
    ("公积金", "housing fund"), ("林地", "forest land"), ("耕地", "farmland"), ("气象观测", "weather observation"),
    ("水文监测", "hydrological monitoring"), ("地质灾害", "geological hazards"), ("食品经营", "food business"),
    ("药品经营", "pharmacies"), ("行政处罚", "administrative penalties"), ("行政许可", "administrative licences"),
    ("旅游景区", "scenic areas"), ("文物保护", "protected relics"), ("财政补贴", "fiscal subsidies"), ("税务登记", "tax registration"),
    ("用电客户", "electricity customers"), ("道路运输", "road transport"), ("危房改造", "unsafe housing renewal"),
    ("易地搬迁", "relocation for poverty relief"), ("返贫监测", "monitoring of return to poverty"), ("茶叶种植", "tea growing"),
    ("辣椒产业", "chilli industry"), ("大数据企业", "big data firms"), ("算力设施", "computing facilities"),
]  # fmt: skip
KINDS = [
    ("基本信息", "basic information"), ("登记台账", "register"), ("明细", "details"), ("统计", "statistics"),
    ("名册", "roll"), ("变更记录", "record of changes"), ("核查结果", "results of checks"), ("月报", "monthly report"),
]  # fmt: skip
ITEMS = [
    ("身份证号", "resident ID", "resident-id"), ("姓名", "name", "person-name"), ("联系电话", "phone", "phone"),
    ("统一社会信用代码", "credit code", "credit-code"), ("行政区划代码", "division code", "division-code"), ("金额", "amount", "money-fen"),
    ("登记日期", "date of registration", None), ("状态", "state", None), ("地址", "address", "address"), ("面积", "area", None),
    ("类别", "class", None), ("备注", "remark", None), ("经办人", "handled by", "person-name"), ("有效期", "valid until", None),
]  # fmt: skip


def offices_of_province() -> list[Office]:
    """Nine lines of work in the province, its cities and counties."""
    tree = load_divisions()
    lines = ["civil", "health", "police", "education", "water", "land", "market", "tax", "transport"]
    names = ["民政", "卫生健康", "公安", "教育", "水务", "自然资源", "市场监管", "税务", "交通运输"]
    places = [
        place
        for level in (DivisionLevel.PROVINCE, DivisionLevel.CITY, DivisionLevel.COUNTY)
        for place in tree.search(level=level, limit=200)[0]
    ]
    return [
        Office(
            id=f"{place.code[:6]}-{line}",
            title=BilingualText(zh=f"{place.name}{name}局", en=f"Bureau of {line} {place.code[:6]}"),
            division=place.code,
            level=place.level,
            credit_code=(body := f"11520000MB{number:07d}") + credit_code_check_character(body),
        )
        for number, (place, (line, name)) in enumerate(product(places, zip(lines, names, strict=True)))
    ]


def entries(count: int, offices: Sequence[Office], chance: random.Random) -> Iterator[tuple[Dataset, Office]]:
    """So many entries, each with the office that manages it."""
    tree = load_divisions()
    names = {office.id: name.name for office in offices if (name := tree.get(office.division))}
    for number in range(count):
        office = chance.choice(offices)
        (subject, english), (kind, sort) = chance.choice(SUBJECTS), chance.choice(KINDS)
        place = names[office.id]
        hidden = chance.random()
        visibility = Visibility.NAMED if hidden < 0.03 else Visibility.OFFICES if hidden < 0.08 else Visibility.EVERYONE
        sharing = chance.choices(list(Sharing), weights=[5, 4, 1])[0]
        items = chance.sample(ITEMS, 8)
        condition = BilingualText(zh="按职责使用。", en="For official duties.") if sharing is Sharing.CONDITIONAL else None
        yield (
            Dataset(
                id=f"{office.id.split('-')[1]}.d{number:06d}",
                title=BilingualText(zh=f"{place}{subject}{kind}", en=f"{english.capitalize()}: {sort}"),
                abstract=BilingualText(
                    zh=f"{place}范围内{subject}数据，由业务系统汇集，含{items[0][0]}、{items[1][0]}等信息。",
                    en=f"Data on {english} collected by the business system of the office, no. {number}.",
                ),
                classification=f"{chance.choice('123')}-{chance.randint(1, 30):02d}-0101/{number:06d}",
                provider=office.id,
                collector=office.id,
                sharing=sharing,
                sharing_basis="Regulation on sharing, article 5",
                sharing_condition=condition,
                openness=chance.choices(list(Openness), weights=[2, 2, 6])[0],
                update_cycle=chance.choice(list(UpdateCycle)),
                items=tuple(
                    Item(
                        name=f"item_{place_of_item}",
                        title=BilingualText(zh=zh, en=en),
                        type=ItemType.TEXT,
                        grade=Grade(chance.randint(1, 4)),
                        meaning=meaning,
                    )
                    for place_of_item, (zh, en, meaning) in enumerate(items)
                ),
                published_on=date(2026, 3, 1),
                visibility=visibility,
                known_to=tuple(one.id for one in chance.sample(offices, 3)) if visibility is Visibility.NAMED else (),
            ),
            office,
        )


Query = Callable[[], object]


def kinds_of_query(stores: object, offices: Sequence[Office], count: int, chance: random.Random) -> dict[str, Query]:
    """What people do: each call asks anew, with other words, places and viewers."""
    catalog = stores.catalog  # type: ignore[attr-defined]

    def ask(text: str = "", *, offset: int = 0, **narrowing: list[str]) -> object:
        viewer = chance.choice([None, chance.choice(offices).id])
        narrowed = {Facet(name): values for name, values in narrowing.items()}
        return search(catalog, text, viewer=viewer, narrowing=narrowed, facets=list(Facet), limit=20, offset=offset)

    def subject() -> tuple[str, str]:
        return chance.choice(SUBJECTS)

    return {
        "front page": lambda: ask(),
        "a word of every entry": lambda: ask(chance.choice(["数据", "业务", "data", "business system", "信息", "据"])),
        "two words of a third of all": lambda: ask(chance.choice(["登记 姓名", "register name", "身份 电话", "登记 date"])),
        "a two-character word": lambda: ask(subject()[0][:2]),
        "a part of an English word": lambda: ask(chance.choice(subject()[1].split())[:4]),
        "place and subject": lambda: ask(chance.choice(["贵阳", "遵义", "毕节", "南明", "水城", "花溪"]) + " " + subject()[0]),
        "a rare word": lambda: ask(f"d{chance.randrange(count):06d}"),
        "a whole sentence": lambda: ask(f"贵阳市南明区{subject()[0]}{chance.choice(KINDS)[0]}数据由业务系统汇集"),
        "no hit": lambda: ask("火箭发动机"),
        "narrowed to a city": lambda: ask(division=[f"520{chance.randint(1, 6)}00000000"]),
        "a word, narrowed four times": lambda: ask(
            subject()[0][:2], division=["520000000000"], sharing=["unconditional"], grade=["3", "4"], meaning=["resident-id"]
        ),
        "narrowed to an office": lambda: ask(office=[chance.choice(offices).id]),
        "a deep page": lambda: ask("数据", offset=chance.randrange(count)),
        "a deep page of all": lambda: ask(offset=chance.randrange(count)),
    }


def milliseconds(ask: Query, times: int) -> list[float]:
    """How long each call took."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def centile(values: Sequence[float], share: float) -> float:
    """The value that so many of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def below(value: float, target: float) -> dict[str, object]:
    """A measure that should stay below its target."""
    return {"value": round(value, 1), "target": target, "met": value < target}


def plain(alias: str, chance: random.Random) -> Query:
    """The baseline: entries whose title or abstract contains the words."""

    def ask() -> None:
        word = f"%{chance.choice(SUBJECTS)[0][:2]}%"
        where = "FROM catalog_dataset WHERE title_zh LIKE %s OR abstract_zh LIKE %s"
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT count(*) {where}", [word, word])
            cursor.fetchall()
            cursor.execute(f"SELECT id {where} ORDER BY id LIMIT 20", [word, word])
            cursor.fetchall()

    return ask


def measure(alias: str, name: str, *, count: int, times: int) -> tuple[dict[str, dict[str, object]], list[float], float]:
    """Fill a migrated database and ask: the measures, every time of a query, and the median of the baseline."""
    from huitong.portal.catalog import search_index
    from huitong.portal.stores import Stores

    chance = random.Random(SEED)
    stores, offices = Stores(alias), offices_of_province()
    call_command("migrate", database=alias, verbosity=0)
    stores.divisions.put_divisions(load_divisions().every())
    with stores.atomic():
        stores.parties.put_offices(offices)
    made = list(entries(count, offices, chance))
    began = time.perf_counter()
    for start in range(0, count, AT_ONCE):
        with stores.atomic():
            stores.catalog.put_datasets([(dataset, index_of(dataset, [office])) for dataset, office in made[start : start + AT_ONCE]])
    filled = time.perf_counter() - began
    stores.catalog.fold_search_index(at_least=1)
    if connections[alias].vendor == "postgresql":
        with connections[alias].cursor() as cursor:
            cursor.execute("ANALYZE")  # what autovacuum does within a minute

    search_index.forget()
    first = milliseconds(lambda: stores.catalog.search([], viewer=None, facets=list(Facet)), 1)[0]
    measures: dict[str, dict[str, object]] = {
        f"{name}: fill {count} entries, seconds": below(filled, FILL_TARGET_SECONDS),
        f"{name}: first search of a process, ms": {"value": round(first, 1)},
    }
    every: list[float] = []
    for kind, ask in kinds_of_query(stores, offices, count, chance).items():
        taken = milliseconds(ask, times)
        every += taken
        p95 = centile(taken, 0.95)
        measures[f"{name}: {kind}, p50 ms"] = {"value": round(centile(taken, 0.5), 1)}
        measures[f"{name}: {kind}, p95 ms"] = below(p95, TARGET_MILLISECONDS)

    puts, after = [], []
    for dataset, office in chance.sample(made, times):
        index = index_of(dataset, [office])
        began = time.perf_counter()
        with stores.atomic():
            stores.catalog.put_dataset(dataset, index=index)
        puts.append(1000 * (time.perf_counter() - began))
        after += milliseconds(lambda: search(stores.catalog, "数据", facets=list(Facet)), 1)
    slow = centile(after, 0.95)
    measures[f"{name}: search after a publication, p95 ms"] = below(slow, TARGET_MILLISECONDS)
    put = centile(puts, 0.95)
    measures[f"{name}: put one entry, p95 ms"] = below(put, PUT_TARGET_MILLISECONDS)
    return measures, every, statistics.median(milliseconds(plain(alias, chance), max(5, times // 5)))


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """An empty database of each kind."""
    with tempfile.TemporaryDirectory() as folder, postgresql_server() as server:
        start_django(Settings(home=Path(folder)))
        server.run("CREATE DATABASE search")
        yield {"sqlite": f"sqlite:///{Path(folder) / 'control.sqlite3'}", "postgresql": server.url("search")}


def run(*, quick: bool) -> dict[str, object]:
    """Measure on both databases; `quick` takes a few thousand entries."""
    measures: dict[str, dict[str, object]] = {}
    with databases() as urls:
        from tests.portal.database_fixtures import database  # needs Django to be started

        for name, url in urls.items():
            with database(f"search_{name}", url) as alias:
                found, every, baseline = measure(
                    alias, name, count=QUICK_ENTRIES if quick else ENTRIES, times=20 if quick else 100
                )
            p95 = centile(every, 0.95)
            measures |= found
            measures[f"{name}: all queries, p95 ms"] = below(p95, TARGET_MILLISECONDS)
            measures[f"{name}: plain LIKE in the same database, median ms"] = {"value": round(baseline, 1)}
            measures[f"{name}: median of all queries against it, ratio"] = {"value": round(statistics.median(every) / baseline, 3)}
    return {"name": "search", "measures": measures, "method": " ".join((__doc__ or "").split())}


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick)["measures"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
