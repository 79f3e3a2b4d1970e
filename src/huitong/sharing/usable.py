"""What an office has, and what it could have: every entry that it may know of with its standing, in pages.

The same answer as `availability`, entry by entry, but made by the store in one statement: an instance may hold a hundred thousand
entries. For that the store keeps the *prospect* of each entry, which does not depend on who asks. What an entry, its sources or its
snapshot change makes the prospect unknown; `refresh` judges it again, the worker does so at once, and a page that meets an unknown
one waits for it."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from importlib.metadata import version
from typing import Any, Protocol

from huitong.model.catalog import Dataset, Grade, Sharing
from huitong.model.party import Actor, Role
from huitong.model.policy import Mode
from huitong.model.text import BilingualText
from huitong.policy.grading import GradingScheme, sources_of
from huitong.sharing.availability import (
    Availability,
    AvailabilityKind,
    Prospect,
    answer_to_asking,
    prospect_of,
)
from huitong.sharing.calendar import InstanceCalendar
from huitong.sharing.deadline import WorkingDays, answer_working_days, last_day, local_day
from huitong.sharing.judging import Judging
from huitong.sharing.parts import SharingParts

JUDGED_AT_ONCE = 200
"""Entries that are judged in one transaction, during which no rule changes."""
ATTEMPTS = 3
"""How often a page is asked for again if entries change while it is made."""


@dataclass(frozen=True)
class Judged:
    """An entry with its prospect, and the entries that this follows from, known or not."""

    dataset: Dataset
    prospect: Prospect
    sources: frozenset[str]


@dataclass(frozen=True)
class Standing:
    """One entry as the store finds it for an office."""

    dataset: str
    title: BilingualText
    provider: str
    sharing: Sharing
    basis: str
    condition: BilingualText | None
    items: int
    grade: Grade
    kind: AvailabilityKind
    prospect: Prospect
    grants: tuple[str, ...] = ()
    """Those that make it granted or preparing, newest first."""
    until: datetime | None = None
    """When the longest of them ends."""
    request: str | None = None
    answer_due: date | None = None
    endorsed: bool = False
    answering: int = 0
    """How many persons could answer, the one who asks not counted."""


@dataclass(frozen=True)
class StandingPage:
    """Some standings by id, and how many there are in all."""

    entries: tuple[Standing, ...]
    total: int


class StandingStore(Protocol):
    """Prospects of entries, and the standings of an office made of them."""

    def standings(
        self,
        *,
        office: str,
        person: str,
        analyst: bool,
        kinds: Collection[AvailabilityKind],
        now: datetime,
        rules: str,
        limit: int,
        offset: int,
    ) -> StandingPage | None:
        """The entries known to the office whose standing is one of these, by id, in one statement; `person` asks, and may ask for
        data if `analyst`. None if the prospect of some entry is not known under these rules: judge it, and ask again."""
        ...

    def unjudged(self, rules: str, *, limit: int) -> Mapping[str, int | None]:
        """So many entries whose prospect is not known under these rules, each with the rows of its current snapshot. Called inside
        `Transactions.atomic()`; until it ends nobody else changes a rule or an entry."""
        ...

    def judge(self, found: Sequence[Judged]) -> None:
        """Keep these prospects. In the same transaction."""
        ...


@dataclass(frozen=True)
class UsableEntry:
    """An entry in a list, with what the office has of it or could have."""

    dataset: str
    title: BilingualText
    provider: str
    sharing: Sharing
    items: int
    grade: Grade
    availability: Availability


@dataclass(frozen=True)
class UsablePage:
    """Some entries by id, and how many there are in all."""

    entries: tuple[UsableEntry, ...]
    total: int


@dataclass(frozen=True, kw_only=True)
class UsableActions(Judging):
    """Listing what an office has and could have."""

    standings: StandingStore

    @classmethod
    def over(cls, parts: SharingParts, standings: StandingStore) -> "UsableActions":
        """With the ports of other verbs of sharing."""
        return cls(**{field.name: getattr(parts, field.name) for field in fields(SharingParts)}, standings=standings)

    def usable(
        self, *, by: Actor, kinds: Collection[AvailabilityKind] = (), limit: int = 20, offset: int = 0
    ) -> UsablePage:
        """The entries that the actor's office may know of and whose standing is one of `kinds` (none given: any), by id."""
        rules, now = rules_of(self.grading), self.clock()
        page = None
        for _ in range(ATTEMPTS):
            page = self.standings.standings(
                office=by.office,
                person=by.person,
                analyst=by.has(Role.ANALYST),
                kinds=frozenset(kinds) or frozenset(AvailabilityKind),
                now=now,
                rules=rules,
                limit=limit,
                offset=offset,
            )
            if page is not None:
                break
            self.refresh()
        if page is None:
            return UsablePage((), 0)
        calendar = self.calendar.now() if isinstance(self.calendar, InstanceCalendar) else self.calendar
        entries = tuple(self._entry(one, by, now, calendar) for one in page.entries)
        return UsablePage(entries, page.total)

    def refresh(self) -> int:
        """Judge every entry whose prospect is not known; how many there were."""
        rules, judged = rules_of(self.grading), 0
        while True:
            with self.transactions.atomic():
                wanted = self.standings.unjudged(rules, limit=JUDGED_AT_ONCE)
                if not wanted:
                    return judged
                datasets = list(self.catalog.datasets(list(wanted)).values())
                sources = self._sources(datasets)
                self.standings.judge([self._judged(dataset, sources, wanted[dataset.id]) for dataset in datasets])
            judged += len(datasets)

    def _judged(self, dataset: Dataset, sources: Mapping[str, Dataset], rows: int | None) -> Judged:
        prospect = prospect_of(dataset, scheme=self.grading, sources=sources, rows=rows)
        return Judged(dataset, prospect, frozenset(_lineage(dataset, sources)))

    def _entry(self, found: Standing, by: Actor, now: datetime, calendar: WorkingDays) -> UsableEntry:
        return UsableEntry(
            dataset=found.dataset,
            title=found.title,
            provider=found.provider,
            sharing=found.sharing,
            items=found.items,
            grade=found.grade,
            availability=self._availability(found, by, now, calendar),
        )

    def _availability(self, found: Standing, by: Actor, now: datetime, calendar: WorkingDays) -> Availability:
        if found.kind in (AvailabilityKind.GRANTED, AvailabilityKind.PREPARING) and found.until is not None:
            return Availability(
                kind=found.kind,
                provider=found.provider,
                grants=found.grants,
                until=last_day(found.until, self.time_zone),
                condition=found.condition,
            )
        if found.kind is AvailabilityKind.UNDER_REVIEW:
            return Availability(
                kind=found.kind,
                provider=found.provider,
                request=found.request,
                working_days=answer_working_days(),
                answer_by=found.answer_due,
                provisional=found.answer_due is not None and calendar.is_provisional(found.answer_due),
                condition=found.condition,
                basis=found.basis,
                endorsed=found.endorsed,
            )
        return answer_to_asking(
            found.prospect,
            dataset=found.dataset,
            provider=found.provider,
            grade=found.grade,
            condition=found.condition,
            basis=found.basis,
            actor=by,
            answering=found.answering,
            today=local_day(now, self.time_zone),
            calendar=calendar,
            answer_days=answer_working_days(),
        )


def rules_of(scheme: GradingScheme) -> str:
    """A hash of everything beside the entries that prospects follow from: the scheme, the modes that can be asked for, and the
    edition of this package."""
    held = _RULES.get(id(scheme))
    if held is None or held[0] is not scheme:
        told = {"scheme": _plain(scheme), "modes": [mode.value for mode in Mode], "version": version("huitong")}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
        held = _RULES[id(scheme)] = (scheme, digest)
    return held[1]


_RULES: dict[int, tuple[GradingScheme, str]] = {}
"""The hash of a scheme that was asked for before; a process has one, a test a few."""


def _plain(value: Any) -> Any:
    """The value as JSON, the same in every process."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(json.dumps(_plain(one), sort_keys=True) for one in value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def _lineage(dataset: Dataset, sources: Mapping[str, Dataset]) -> set[str]:
    """Everything that it was made of, and that was made of, known or not."""
    found: set[str] = set()
    wanted = set(sources_of(dataset))
    while wanted:
        found |= wanted
        wanted = {name for one in wanted if one in sources for name in sources_of(sources[one])} - found
    return found
