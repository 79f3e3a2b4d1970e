"""One statement twice: through the real gateway with DuckDB, and through the reference engine; and whether the two say the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.property.gateway.random_cases import FIRM, Case, Statement
from tests.spec.governed.governed_world import ANALYST, AS_THEY_ARE, DIVISIONS, MASTER, World

from huitong.engines.memory import Gap, MemoryDataset, ShownItem, run
from huitong.errors import Refused
from huitong.gateway.aggregates import faults_of_totals
from huitong.gateway.parse import parse, read_caps
from huitong.gateway.resolve import resolve
from huitong.gateway.verify import SecondParser
from huitong.masks import masked_type, python_mask
from huitong.masks.pseudonym import group_key, token
from huitong.model.catalog import Dataset
from huitong.model.policy import Grant
from huitong.policy.decide import decide
from huitong.sharing.wishes import entity_items

PURPOSE = "poverty-relief"
FAILED = "query-failed"
KEY = group_key(MASTER, "g", 1)


class RandomWorld(World):
    """The small world of the governed tests with data and grants of one case after the other.

    Totals are told as they are: how they are rounded, and which questions are refused because of earlier ones, is tested by itself."""

    def __init__(self, lake: Path) -> None:
        self.held: Mapping[str, Sequence[Mapping[str, Any]]] = {}
        self.identifiers: dict[str, Sequence[str]] = {}
        super().__init__(lake, rounding=AS_THEY_ARE)

    def on(self, engine: Any, second_parser: SecondParser) -> "RandomWorld":
        """The same world, data and grants with another engine."""
        other = copy(self)
        other.engine, other.second_parser = engine, second_parser
        other.gateway = other.make_gateway()
        return other

    def take(self, case: Case) -> None:
        """Make the case the world."""
        self.epoch += 1
        self.held = case.rows
        self.identifiers = {}
        self.published = {case.person.id: case.person, FIRM.id: FIRM}
        for described in self.published.values():
            self.load(described, case.rows[described.id])
        self.grants = [self._with_list(grant, case) for grant in case.grants]

    def _with_list(self, grant: Grant, case: Case) -> Grant:
        if grant.id not in case.listed:
            return grant
        subjects = self.lists.keep(case.listed[grant.id], dataset=grant.dataset, item="pid")
        self.identifiers[grant.id] = case.listed[grant.id]
        return replace(grant, terms=replace(grant.terms, subjects=subjects))

    def files(self, linkage_group: str, dataset_id: str, item: str, snapshot_version: int, /) -> tuple[str, ...]:
        identifiers = sorted({row[item] for row in self.held[dataset_id] if row[item] is not None})
        name = f"side-{self.epoch}-{linkage_group}-{dataset_id}-{item}.parquet"
        tokens = [token(KEY, linkage_group, 1, one) for one in identifiers]
        table = pa.table({"identifier": pa.array(identifiers, pa.string()), "token": pa.array(tokens, pa.int64())})
        pq.write_table(table, self.lake / name)
        return (name,)


@dataclass(frozen=True)
class Outcome:
    """What came of a statement: rows, or the codes of a refusal."""

    rows: tuple[tuple[Any, ...], ...] = ()
    refused: frozenset[str] = frozenset()
    gap: str | None = None


def through_the_gateway(world: World, sql: str) -> Outcome:
    """The statement as an analyst asks it."""
    try:
        table = world.ask(sql, purpose=PURPOSE).table
    except Refused as refusal:
        return Outcome(refused=frozenset(reason.code for reason in refusal.reasons))
    return Outcome(tuple(zip(*(column.to_pylist() for column in table.columns), strict=True)) if table.num_rows else ())


def through_the_reference(world: RandomWorld, sql: str) -> Outcome:
    """The statement by the reference: the plain decision, the bound statement, the terms and the rows, and no SQL."""
    caps = read_caps()
    published = dict(world.published)
    try:
        named = resolve(parse(sql, caps), datasets=published, grants={}, caps=caps).named_uses()
        decision = decide(
            actor=ANALYST, purpose=PURPOSE, uses=named, datasets=published, grants=world.grants, at=world.now
        )
        if not decision.allowed:
            return Outcome(refused=frozenset(reason.code for reason in decision.reasons))
        bound = resolve(parse(sql, caps), datasets=published, grants=decision.grants, caps=caps)
        faults = (*bound.faults, *faults_of_totals(bound, decision.grants))
        if faults:
            return Outcome(refused=frozenset(reason.code for reason in faults))
        datasets = {name: _held(world, published[name], grant) for name, grant in decision.grants.items()}
        return Outcome(run(bound.tree, datasets).rows)
    except Gap as missing:
        return Outcome(gap=str(missing.reasons[0].parameters["construct"]))
    except Refused as refusal:
        return Outcome(refused=frozenset(reason.code for reason in refusal.reasons))


def _held(world: RandomWorld, described: Dataset, grant: Grant) -> MemoryDataset:
    shown = {}
    for term in grant.terms.items:
        item = described.item(term.item)
        assert item is not None
        change = python_mask(item, term.mask, token=lambda identifier: token(KEY, grant.terms.linkage_group, 1, identifier))
        shown[item.name] = ShownItem(masked_type(item, term.mask), change)
    rows = grant.terms.rows
    return MemoryDataset(
        described=described,
        terms=grant.terms,
        shown={item.name: shown[item.name] for item in described.items if item.name in shown},
        rows=world.held[described.id],
        codes=DIVISIONS[rows.division] if rows is not None else frozenset(),
        listed=frozenset(world.identifiers.get(grant.id, ())),
        entity=entity_items(described),
    )


def may_be_named(world: World, statement: Statement) -> bool:
    """Whether for each dataset one grant for the purpose holds every item that the statement names, said without the decision."""
    return all(
        any(
            grant.dataset == name and grant.terms.purpose.code == PURPOSE and items <= {term.item for term in grant.terms.items}
            for grant in world.grants
        )
        for name, items in statement.named.items()
    )


def difference(statement: Statement, gateway: Outcome, reference: Outcome) -> str | None:
    """In which way the two differ; None if they say the same."""
    if bool(gateway.refused) != bool(reference.refused):
        return f"refused: {sorted(gateway.refused) or 'no'}, by the reference {sorted(reference.refused) or 'no'}"
    if gateway.refused:
        return None if gateway.refused == reference.refused else f"{sorted(gateway.refused)} is not {sorted(reference.refused)}"
    mine, other = ([tuple(map(_plain, row)) for row in rows] for rows in (gateway.rows, reference.rows))
    if (mine == other) if statement.ordered else (Counter(mine) == Counter(other)):
        return None
    if not statement.ordered:
        mine, other = sorted(mine, key=repr), sorted(other, key=repr)
    if len(mine) == len(other) and all(map(_near, mine, other)):
        return None
    return f"rows: {mine}, by the reference {other}"


def _plain(value: Any) -> tuple[Any, ...]:
    """A value that is equal to another exactly where the two are the same to a reader."""
    if isinstance(value, float):
        return ("double", "nan" if value != value else float(f"{value:.9e}") + 0.0)
    if isinstance(value, bool) or value is None or isinstance(value, str | date):
        return (type(value).__name__, value)
    return ("exact", Decimal(value).normalize())


def _near(one: tuple[tuple[Any, ...], ...], other: tuple[tuple[Any, ...], ...]) -> bool:
    """Doubles that were added in another order may differ in their last digits."""
    return len(one) == len(other) and all(
        a == b or (a[0] == b[0] == "double" and "nan" not in (a[1], b[1]) and abs(a[1] - b[1]) <= 1e-8 * max(abs(a[1]), abs(b[1])))
        for a, b in zip(one, other, strict=True)
    )
