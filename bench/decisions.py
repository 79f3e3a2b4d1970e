"""How many uses a second are decided over 100,000 grants, each answer with what the ledger's intent needs of its grant.

    python -m bench decisions [--quick]

Grants are made from a seed: 900 offices, 5,000 datasets of 4 to 24 items, three purposes; one pair of office and dataset in twelve
holds two grants for its purpose and one in forty three; a fifth is cut to rows, half of the items are masked; half of the grants
hold all items, the others some. Each question is another pair of office and dataset with another set of items (one to eight); it is
asked in one process on one core, one call at a time. Questions arrive five hundred at a time, as fresh as a request that was just
read; only deciding is timed, and in that time the grant with its version, hash of terms and dataset is read from every answer.

`carried` is what a door asks about one dataset; `decide` has the interface of the plain decision, for several datasets together and
with every reason of a refusal. The baseline is `policy.decide.decide`, given the grants of that office and dataset alone, which is
what a store would have found; it must give the same grants. "First time": a pair's grants are made ready when it is first asked.
"""

import argparse
import gc
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.party import Actor, Role
from huitong.model.policy import DivisionRows, Grant, GrantState, ItemTerm, Mask, MaskKind, Mode, Purpose, Terms
from huitong.model.text import BilingualText
from huitong.policy.compiled import Rights, evidence_of
from huitong.policy.decide import decide

GRANTS, QUICK_GRANTS = 100_000, 2_000
QUESTIONS, QUICK_QUESTIONS = 200_000, 2_000
AT_ONCE = 500
OFFICES, DATASETS = 900, 5_000
SEED = 20_260_401
TARGET = 500_000
NOW = datetime(2026, 4, 1, 2, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 31, 16, 0, tzinfo=UTC)
PURPOSES = ("poverty-relief", "statistics", "government-service")
MASKS = (Mask(MaskKind.CLEAR), Mask(MaskKind.CLEAR), Mask(MaskKind.PARTIAL, {"first": 1, "last": 0}), Mask(MaskKind.HIDE))

Pair = tuple[str, str, str]
"""Office, dataset, purpose."""


@dataclass(frozen=True)
class Question:
    """One use, as a door asks for it."""

    actor: Actor
    purpose: str
    uses: Mapping[str, frozenset[str]]
    only: tuple[str, frozenset[str]]
    """The first dataset with its items."""
    grants: tuple[Grant, ...]
    """What a store would find for it."""


def make_dataset(number: int, chance: random.Random) -> Dataset:
    """An entry with some items of the lower grades."""
    items = tuple(
        Item(f"item_{place}", BilingualText(zh=f"项{place}", en=f"Item {place}"), ItemType.TEXT, Grade(chance.randint(1, 3)))
        for place in range(chance.randint(4, 24))
    )
    return Dataset(
        id=f"office_{number % OFFICES}.d{number:05d}",
        title=BilingualText(zh="数据", en="Data"),
        abstract=BilingualText(zh="测试", en="Test"),
        classification="3-01-0101/000001",
        provider=f"office-{number % OFFICES}",
        collector=f"office-{number % OFFICES}",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="Regulation on sharing, article 5",
        sharing_condition=None,
        openness=Openness.NOT_OPEN,
        update_cycle=UpdateCycle.DAILY,
        items=items,
        published_on=date(2026, 1, 1),
    )


def make_grant(number: int, office: str, dataset: Dataset, purpose: str, items: Sequence[str], chance: random.Random) -> Grant:
    """A grant over these items."""
    begins = NOW - timedelta(seconds=chance.randint(86_400, 300 * 86_400))
    return Grant(
        id=f"G-2026-{number:06d}",
        version=1,
        request=f"R-2026-{number:06d}",
        dataset=dataset.id,
        provider=dataset.provider,
        using_office=office,
        signed_by="analyst",
        terms=Terms(
            purpose=Purpose(purpose, "Regulation on relief, article 12"),
            items=tuple(ItemTerm(name, chance.choice(MASKS)) for name in items),
            rows=DivisionRows("item_0", "520102000000") if chance.random() < 0.2 else None,
            mode=Mode.ROWS,
            linkage_group=f"{office}:{purpose}",
            valid_from=begins,
            valid_until=MIDNIGHT + timedelta(days=chance.randint(30, 700)),
        ),
        terms_hash=f"{number:064x}",
        state=GrantState.ACTIVE,
        granted_at=begins,
    )


def make_actor(office: str) -> Actor:
    """An analyst of the office."""
    return Actor(f"analyst@{office}", "Analyst", f"analyst-{office}", office, "520000000000", frozenset({Role.ANALYST}))


def world(count: int, chance: random.Random) -> tuple[dict[str, Dataset], list[Grant], dict[Pair, list[Grant]]]:
    """Datasets, so many grants, and the grants by office, dataset and purpose."""
    datasets = [make_dataset(number, chance) for number in range(min(DATASETS, count))]
    grants: list[Grant] = []
    held: dict[Pair, list[Grant]] = {}
    while len(grants) < count:
        office, dataset, purpose = f"office-{chance.randrange(OFFICES)}", chance.choice(datasets), chance.choice(PURPOSES)
        if (office, dataset.id, purpose) in held:
            continue
        names = [item.name for item in dataset.items]
        several = chance.random()
        own = held[office, dataset.id, purpose] = []
        for _ in range(3 if several < 1 / 40 else 2 if several < 1 / 40 + 1 / 12 else 1):
            wanted = names if chance.random() < 0.5 else chance.sample(names, chance.randint(len(names) // 2, len(names)))
            own.append(make_grant(len(grants), office, dataset, purpose, wanted, chance))
            grants.append(own[-1])
    return {dataset.id: dataset for dataset in datasets}, grants, held


class Draw:
    """Draws questions that a grant carries, but for those that are to be refused."""

    def __init__(self, held: Mapping[Pair, Sequence[Grant]], actors: Mapping[str, Actor], chance: random.Random) -> None:
        self.held, self.actors, self.chance = held, actors, chance
        self.pairs = list(held)
        self.of_an_office: dict[tuple[str, str], list[Pair]] = {}
        for pair in self.pairs:
            self.of_an_office.setdefault((pair[0], pair[2]), []).append(pair)

    def questions(self, count: int, *, refused: float = 0.0, joined: bool = False) -> list[Question]:
        """So many; `refused`: the share that asks for an item beyond its grant; `joined`: of two datasets each, where there are."""
        return [self._question(self.chance.choice(self.pairs), refused, joined) for _ in range(count)]

    def every(self) -> Iterator[Question]:
        """One of every pair."""
        return (self._question(pair, 0.0, False) for pair in self.pairs)

    def _question(self, first: Pair, refused: float, joined: bool) -> Question:
        asked = {first[1]: first}
        if joined:
            other = self.chance.choice(self.of_an_office[first[0], first[2]])
            asked[other[1]] = other
        uses = {}
        for name, pair in asked.items():
            granted = [term.item for term in self.chance.choice(self.held[pair]).terms.items]
            uses[name] = frozenset(self.chance.sample(granted, min(len(granted), self.chance.randint(1, 8))))
        if refused and self.chance.random() < refused:
            uses[first[1]] |= {"item_beyond"}
        grants = tuple(grant for pair in asked.values() for grant in self.held[pair])
        return Question(self.actors[first[0]], first[2], uses, (first[1], uses[first[1]]), grants)


Way = Callable[[Question], object]


def seconds(way: Way, asked: Sequence[Question]) -> float:
    """How long so many answers take, one after the other."""
    began = time.perf_counter()
    for question in asked:
        way(question)
    return time.perf_counter() - began


def rate(way: Way, ask: Callable[[int], Sequence[Question]], count: int) -> float:
    """Answers a second to so many fresh questions."""
    taken = 0.0
    for _ in range(max(1, count // AT_ONCE)):
        taken += seconds(way, ask(AT_ONCE))
    return max(AT_ONCE, count) / taken


def run(*, quick: bool) -> dict[str, Any]:
    """Measure; `quick` shows only that it runs."""
    chance = random.Random(SEED)
    datasets, grants, held = world(QUICK_GRANTS if quick else GRANTS, chance)
    draw = Draw(held, {f"office-{number}": make_actor(f"office-{number}") for number in range(OFFICES)}, chance)
    began = time.perf_counter()
    rights = Rights.of(grants, datasets)
    built = time.perf_counter() - began

    def carried(question: Question) -> object:
        name, items = question.only
        one = rights.carried(question.actor, question.purpose, name, items, NOW)
        return one.evidence if one is not None else rights.decide(
            actor=question.actor, purpose=question.purpose, uses=question.uses, at=NOW
        )

    def ready(question: Question) -> Mapping[str, object]:
        decision = rights.decide(actor=question.actor, purpose=question.purpose, uses=question.uses, at=NOW)
        return {name: evidence_of(grant) for name, grant in decision.grants.items()}

    def plain(question: Question) -> Mapping[str, object]:
        decision = decide(
            actor=question.actor, purpose=question.purpose, uses=question.uses, datasets=datasets, grants=question.grants, at=NOW
        )
        return {name: evidence_of(grant) for name, grant in decision.grants.items()}

    for question in draw.questions(200):
        assert ready(question) == plain(question), "both ways give the same grants"
    first = rate(ready, draw.questions, (QUICK_QUESTIONS if quick else QUESTIONS) // 10)
    for question in draw.every():
        ready(question)
    gc.collect()
    count, rounds = (QUICK_QUESTIONS, 1) if quick else (QUESTIONS, 5)
    kinds: dict[str, tuple[Way, Callable[[int], Sequence[Question]]]] = {
        "one dataset": (carried, draw.questions),
        "one dataset, one in fifty refused": (carried, partial(draw.questions, refused=0.02)),
        "one dataset, as a decision": (ready, draw.questions),
        "two datasets, as a decision": (ready, partial(draw.questions, joined=True)),
    }
    measures: dict[str, Any] = {
        "grants": {"value": len(grants)},
        "index of all grants, seconds": {"value": round(built, 2)},
        "first time that a pair is asked, decisions a second": {"value": round(first)},
    }
    ratios = {}
    for name, (way, ask) in kinds.items():
        rates = [rate(way, ask, count) for _ in range(rounds)]
        slow = rate(plain, ask, count // 20)
        ratios[name] = statistics.median(rates) / slow
        entry: dict[str, Any] = {"value": round(statistics.median(rates)), "of": [round(one) for one in rates]}
        if name == "one dataset":
            entry |= {"target": f">= {TARGET}", "met": statistics.median(rates) >= TARGET}
        measures[f"{name}: decisions a second"] = entry
        measures[f"{name}: against decide"] = {"value": round(ratios[name], 1)}
    load = [round(one, 1) for one in os.getloadavg()]
    measures["load of the machine"] = {"value": load[0]}
    return {
        "name": "decisions", "measures": measures, "target": f">= {TARGET} a second on one core", "ratio": ratios["one dataset"],
        "load": load,
    }  # fmt: skip


def main() -> None:
    """`python -m bench.decisions [--quick]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))


if __name__ == "__main__":
    main()
