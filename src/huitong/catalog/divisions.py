"""The administrative divisions: which exist or existed, which lie under which, what became of them, how they are found."""

import csv
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from huitong.data import DIVISION_HISTORY, DIVISIONS, read_text
from huitong.errors import HuitongError, InputInvalid
from huitong.model.party import Division, DivisionLevel

EDITION_FROM = date(2023, 1, 1)
"""The edition of 2023 (National Bureau of Statistics) carries no dates: a township or village of it counts from here. Of divisions
down to the county it is known when they began and what they came from (`guizhou_division_history.csv`)."""


class Divisions:
    """All divisions of a province, of every edition, held in memory in the order of the tree. Parents stand before their children.

    A code names one division in one stretch of time; a county that becomes a city has a new code and is a new division."""

    def __init__(self, divisions: Iterable[Division]) -> None:
        self._by_code: dict[str, Division] = {}
        self._children: dict[str | None, list[str]] = {}
        self._predecessors: dict[str, list[str]] = {}
        for division in divisions:
            if division.code in self._by_code:
                raise InputInvalid.because("division-code-twice", division=division.code)
            self._by_code[division.code] = division
            self._children.setdefault(division.parent, []).append(division.code)
            for successor in division.successors:
                self._predecessors.setdefault(successor, []).append(division.code)
        roots = [code for code, division in self._by_code.items() if division.parent not in self._by_code]
        self._order: list[Division] = []
        self._span: dict[str, tuple[int, int]] = {}
        for root in roots:
            self._visit(root)
        if len(self._order) != len(self._by_code):
            raise InputInvalid.because("division-circle")
        self._existing = sum(division.valid_to is None for division in self._order)
        # Sorting is stable: on one day parents stay before their children.
        self._begun = sorted(self._order, key=lambda division: division.valid_from)
        self._begun_on = [division.valid_from for division in self._begun]
        self._ended = sorted((one for one in self._order if one.valid_to is not None), key=_end)
        self._ended_on = [_end(division) for division in self._ended]

    def _visit(self, root: str) -> None:
        """Lay the tree out in preorder, so that whatever lies under a division is one stretch."""
        stack: list[tuple[str, bool]] = [(root, False)]
        start: dict[str, int] = {}
        while stack:
            code, done = stack.pop()
            if done:
                self._span[code] = (start[code], len(self._order))
                continue
            start[code] = len(self._order)
            self._order.append(self._by_code[code])
            stack.append((code, True))
            stack.extend((child, False) for child in reversed(self._children.get(code, [])))

    def __len__(self) -> int:
        """How many exist, that is have no end."""
        return self._existing

    def every(self) -> Iterator[Division]:
        """All of them, also those that exist no more; parents before children."""
        return iter(self._order)

    def get(self, code: str) -> Division | None:
        """The division of that 12-digit code, also of one that exists no more."""
        return self._by_code.get(code)

    def children(self, code: str, *, at: date | None = None) -> Sequence[Division]:
        """The divisions right below it on that day, in the order of the source; without a day, those that have no end."""
        below = (self._by_code[child] for child in self._children.get(code, []))
        return [division for division in below if _in_force(division, at)]

    def line(self, code: str) -> Sequence[Division]:
        """From the province down to the division itself; empty if unknown."""
        line: list[Division] = []
        current = self._by_code.get(code)
        while current is not None:
            line.append(current)
            current = self._by_code.get(current.parent) if current.parent else None
        return line[::-1]

    def predecessors(self, code: str) -> Sequence[Division]:
        """The divisions that ended and of which at least a part went into this one."""
        return [self._by_code[old] for old in self._predecessors.get(code, ())]

    def successors(self, code: str, at: date) -> Sequence[Division]:
        """The divisions that on that day hold what was its area, each in the order in which it is met; itself while it is in force.

        Empty if it is unknown, has not begun, or if nothing is known of what became of it."""
        found: dict[str, Division] = {}
        seen: set[str] = set()
        waiting = [code]
        while waiting:
            division = self._by_code.get(waiting.pop(0))
            if division is None or division.code in seen:
                continue
            seen.add(division.code)
            if division.valid_at(at):
                found[division.code] = division
            else:
                waiting.extend(division.successors)
        return list(found.values())

    def codes_under(self, division_code: str, at: date, agreed: date | None = None) -> frozenset[str]:
        """The codes that rows of day `at` may bear and whose whole area lies in the division; empty if it is unknown.

        The area is that which the division had on the day `agreed`: what joins it later is not in it, what leaves it stays in it.
        Without `agreed` it is the area on the day `at`. For a division that did not exist on that day it is the area on its first
        day, for one that exists no more the area on its last.

        A snapshot of one day holds rows that were coded on many: so beside the codes in force these are codes that had ended, if
        everything that came of them lies in the area, and codes that came since, if everything they were made of does. A code of
        which that is not known, or only of a part, is left out. Goes by parents and successors, never by prefixes."""
        home = self._by_code.get(division_code)
        if home is None:
            return frozenset()
        day = max(agreed or at, home.valid_from)
        if home.valid_to is not None:
            day = min(day, home.valid_to - timedelta(days=1))
        start, end = self._span[division_code]
        inside = {division.code for division in self._order[start:end] if division.valid_at(day)}
        known, grown = self._follow(inside, day, at)
        codes = (known | self._former(inside, day)) - grown.keys()
        return frozenset(code for code in codes if self._by_code[code].valid_from <= at)

    def grown(self, division_code: str, *, since: date, until: date) -> date | None:
        """The first day in (since, until] on which the division, or one below it, took in something from outside; None if none did."""
        home = self._by_code.get(division_code)
        if home is None or not home.valid_at(since):
            return None
        start, end = self._span[division_code]
        inside = {division.code for division in self._order[start:end] if division.valid_at(since)}
        return self._follow(inside, since, until)[1].get(division_code)

    def search(
        self,
        text: str = "",
        *,
        level: DivisionLevel | None = None,
        under: str | None = None,
        at: date | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Division], int]:
        """Divisions whose name contains the text, of any length, or whose code begins with it; and how many in all.

        Those in force on the day `at`; without a day, those that have no end. The name itself comes first, then names that begin
        with it, then the rest; within each, higher levels first."""
        wanted = "".join(text.split())
        start, end = (0, len(self._order)) if under is None else self._span.get(under, (0, 0))
        levels = list(DivisionLevel)
        found = []
        for position, division in enumerate(self._order[start:end]):
            if (level is not None and division.level is not level) or not _in_force(division, at):
                continue
            if wanted.isascii() and wanted.isdigit():
                if division.code.startswith(wanted):
                    found.append((0, 0, position, division))
            elif wanted in division.name:
                nearness = 0 if division.name == wanted else 1 if division.name.startswith(wanted) else 2
                rank = levels.index(division.level) if wanted else 0
                found.append((nearness if wanted else 0, rank, position, division))
        found.sort(key=lambda hit: hit[:3])
        return [hit[3] for hit in found[offset : offset + limit]], len(found)

    # What lay inside before, and what does since

    def _former(self, inside: set[str], day: date) -> set[str]:
        """Codes that had ended by `day` and whose whole area was then in the codes `inside`, which were in force on it.

        Goes back from `day`. A division that lost a part to outside says nothing any more about what had become part of it before."""
        known = set(inside)
        lost: dict[str, date] = {}
        for end, ended in _by_day_backwards(self._ended[: bisect_right(self._ended_on, day)]):
            outside = []
            for old in ended:
                if old.successors:
                    if all(new in known and not (new in lost and lost[new] > end) for new in old.successors):
                        known.add(old.code)
                    else:
                        outside.append(old)
            for old in ended:
                if not old.successors:
                    parent = self._by_code.get(old.parent or "")
                    if parent is not None and parent.valid_to == end and parent.code in known:
                        known.add(old.code)
                    else:
                        outside.append(old)
            for old in outside:
                for above in self.line(old.code):
                    if above.code in known:
                        lost.setdefault(above.code, end)
        return known - inside - set(lost)

    def _follow(self, inside: set[str], day: date, at: date) -> tuple[set[str], dict[str, date]]:
        """The codes inside, with those that came of them in (day, at]; and those that took in something from outside, with the day."""
        begun = self._begun[bisect_right(self._begun_on, day) : bisect_right(self._begun_on, at)]
        ended = self._ended[bisect_right(self._ended_on, day) : bisect_right(self._ended_on, at)]
        known, grown = set(inside), dict[str, date]()
        days: dict[date, tuple[list[Division], list[Division]]] = {}
        for division in begun:
            days.setdefault(division.valid_from, ([], []))[0].append(division)
        for division in ended:
            days.setdefault(_end(division), ([], []))[1].append(division)
        for today in sorted(days):
            new_today, old_today = days[today]
            whole = known - grown.keys()
            from_outside = [
                successor
                for old in old_today
                for successor in old.successors
                if successor in self._by_code and self._by_code[successor].valid_from < today and old.code not in whole
            ]
            for new in new_today:
                if new.code in self._predecessors:
                    if all(old in whole for old in self._predecessors[new.code]):
                        known.add(new.code)
                    else:
                        from_outside.append(new.code)
            for code in from_outside:
                for above in self.line(code):
                    if above.code in known:
                        grown.setdefault(above.code, today)
            for new in new_today:
                if new.code not in self._predecessors and new.parent in known and new.parent not in grown:
                    known.add(new.code)
        return known, grown


def _end(division: Division) -> date:
    return division.valid_to or date.max


def _in_force(division: Division, at: date | None) -> bool:
    return division.valid_to is None if at is None else division.valid_at(at)


def _by_day_backwards(ended: Sequence[Division]) -> Iterator[tuple[date, Sequence[Division]]]:
    """Divisions sorted by their end, a day at a time, the latest first; within a day in their order."""
    stop = len(ended)
    while stop:
        start = stop
        while start and ended[start - 1].valid_to == ended[stop - 1].valid_to:
            start -= 1
        yield _end(ended[stop - 1]), ended[start:stop]
        stop = start


def load_divisions(text: str | None = None) -> Divisions:
    """The divisions of a CSV text with columns code, name, level, parent (valid_from, valid_to, successors); by default the shipped ones.

    Raises InputInvalid `division-row-invalid` with the line of a row that cannot be read, `division-code-twice`, `division-circle`."""
    if text is not None:
        return Divisions(_read(text))
    history = {division.code: division for division in _read(read_text(DIVISION_HISTORY))}
    edition = [history.pop(division.code, division) for division in _read(read_text(DIVISIONS))]
    return Divisions((*edition, *history.values()))


def _read(text: str) -> Iterator[Division]:
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        try:
            yield Division(
                code=row["code"],
                name=row["name"],
                level=DivisionLevel(row["level"]),
                parent=row["parent"] or None,
                valid_from=date.fromisoformat(row["valid_from"]) if row.get("valid_from") else EDITION_FROM,
                valid_to=date.fromisoformat(row["valid_to"]) if row.get("valid_to") else None,
                successors=tuple((row.get("successors") or "").split()),
            )
        except HuitongError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError):
            raise InputInvalid.because("division-row-invalid", line=line) from None
