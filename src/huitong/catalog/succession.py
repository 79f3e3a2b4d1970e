"""What becomes of divisions and offices: a file of changes read, checked and applied; who has closed. Pure, but for nothing.

A division never changes its area under a code that stays silent about it: what merges, splits, is renamed under another code or
moves to another county ends, and what comes of it begins, on the same day. That is what the row rules of grants follow."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from huitong.catalog.divisions import Divisions
from huitong.errors import Conflict, InputInvalid, Reason
from huitong.model.party import Division, DivisionLevel, Office

COLUMNS = ("old", "new", "day", "kind")
FURTHER_COLUMNS = ("name", "level", "parent")
_CODE = re.compile(r"[0-9]{12}")
MOST_REASONS = 100
"""Faults of a file that are told at once."""


class ChangeKind(StrEnum):
    """What happened to a division."""

    MERGED = "merged"
    """It went, whole, into one that takes in others too, or that existed already."""
    SPLIT = "split"
    """Parts of it went into several."""
    RENAMED = "renamed"
    """It became, whole, one that is nothing else: another name, another level or another code; with the same code, another name."""
    MOVED = "moved"
    """The same, under another parent."""


@dataclass(frozen=True)
class DivisionChange:
    """One pair of a change: `old` ended on `day`, and it, or a part of it, went into `new`.

    Name, level and parent are those of `new` where it begins; what is not stated it has from `old`."""

    old: str
    new: str
    day: date
    kind: ChangeKind
    name: str | None = None
    level: DivisionLevel | None = None
    parent: str | None = None


@dataclass(frozen=True)
class ChangedDivisions:
    """What a file of changes does: divisions to put, parents before children, and what it is about."""

    put: tuple[Division, ...]
    ended: tuple[str, ...]
    """Codes that end, those below a division that ends among them."""
    begun: tuple[str, ...]
    renamed: tuple[str, ...]
    """Codes that stay and have another name."""


def read_changes(text: str) -> tuple[DivisionChange, ...]:
    """The changes of a CSV text with the columns old, new, day (2027-01-01), kind, and if need be name, level, parent of the new.

    Raises InputInvalid with what is wrong, each with the line of the file."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    given = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = given
    if missing := [name for name in COLUMNS if name not in given]:
        raise InputInvalid(*(Reason("change-column-missing", {"column": name}) for name in missing))
    if unknown := [name for name in given if name not in (*COLUMNS, *FURTHER_COLUMNS)]:
        raise InputInvalid(*(Reason("change-column-unknown", {"position": given.index(name) + 1}) for name in unknown))
    changes: list[DivisionChange] = []
    faults: list[Reason] = []
    try:
        for row in reader:
            change = _change(row, reader.line_num, faults)
            if change is not None:
                changes.append(change)
    except csv.Error:
        faults.append(Reason("change-row-ragged", {"line": reader.line_num}))
    if not changes and not faults:
        faults.append(Reason("change-file-empty"))
    _raise(faults)
    return tuple(changes)


def _change(row: Mapping[str | None, str | list[str] | None], line: int, faults: list[Reason]) -> DivisionChange | None:
    if None in row or None in row.values():
        faults.append(Reason("change-row-ragged", {"line": line}))
        return None
    cell = {str(name): str(value).strip() for name, value in row.items()}
    wrong = [name for name in ("old", "new") if _CODE.fullmatch(cell[name]) is None]
    if cell.get("parent") and _CODE.fullmatch(cell["parent"]) is None:
        wrong.append("parent")
    faults += [Reason("change-code-invalid", {"line": line, "column": name}) for name in wrong]
    try:
        day = date.fromisoformat(cell["day"])
    except ValueError:
        faults.append(Reason("change-day-invalid", {"line": line}))
        return None
    if cell["kind"] not in list(ChangeKind):
        faults.append(Reason("change-kind-unknown", {"line": line, "kinds": ", ".join(ChangeKind)}))
        return None
    if cell.get("level") and cell["level"] not in list(DivisionLevel):
        faults.append(Reason("change-level-unknown", {"line": line, "levels": ", ".join(DivisionLevel)}))
        return None
    if wrong:
        return None
    return DivisionChange(
        old=cell["old"],
        new=cell["new"],
        day=day,
        kind=ChangeKind(cell["kind"]),
        name=cell.get("name") or None,
        level=DivisionLevel(cell["level"]) if cell.get("level") else None,
        parent=cell.get("parent") or None,
    )


def apply_changes(divisions: Divisions, changes: Iterable[DivisionChange]) -> ChangedDivisions:
    """What the changes make of the divisions; changes of an earlier day come first. Nothing is stored.

    Whatever lies below a division that ends and is not named in the changes ends with it. Raises InputInvalid with every fault: a
    code that is unknown, has ended or has not begun; one that is used again; kinds that do not fit; parents that do not exist;
    a division that would be left below one that has ended."""
    work = _Work({division.code: division for division in divisions.every()})
    by_day: dict[date, list[DivisionChange]] = {}
    for change in changes:
        by_day.setdefault(change.day, []).append(change)
    for day in sorted(by_day):
        work.take(day, by_day[day])
        _raise(work.faults)
    return work.outcome()


class _Work:
    """The divisions while changes are applied to them, a day at a time."""

    def __init__(self, divisions: dict[str, Division]) -> None:
        self._before = dict(divisions)
        self._now = divisions
        self._children: dict[str, list[str]] = {}
        for division in divisions.values():
            self._children.setdefault(division.parent or "", []).append(division.code)
        self._ended: list[str] = []
        self._begun: list[str] = []
        self._renamed: list[str] = []
        self.faults: list[Reason] = []

    def take(self, day: date, changes: Sequence[DivisionChange]) -> None:
        """All changes of one day at once: they happen together."""
        pairs: dict[tuple[str, str], DivisionChange] = {}
        for change in changes:
            if (change.old, change.new) in pairs:
                self._fault("change-twice", division=change.old, other=change.new, day=day.isoformat())
            pairs[change.old, change.new] = change
        successors: dict[str, list[str]] = {}
        predecessors: dict[str, list[str]] = {}
        for old, new in pairs:
            if old != new:
                successors.setdefault(old, []).append(new)
                predecessors.setdefault(new, []).append(old)
        starts: dict[str, Division] = {}
        for change in pairs.values():
            self._judge(change, successors, predecessors)
            if change.old == change.new:
                self._rename(change)
            elif change.old in self._now and change.new not in starts and not self._continues(change.new, day):
                rows = [pairs[code, change.new] for code in predecessors[change.new]]
                begun = self._beginning(change, rows, successors)
                if begun is not None:
                    starts[change.new] = begun
        if self.faults:
            return
        for code, became in successors.items():
            self._end(code, day, tuple(sorted(became)))
        for division in starts.values():
            self._now[division.code] = division
            self._children.setdefault(division.parent or "", []).append(division.code)
            self._begun.append(division.code)
        for division in starts.values():
            self._judge_parent(division)
        if not self.faults:
            self._end_below(list(successors), day)

    def outcome(self) -> ChangedDivisions:
        """What came of it."""
        tree = Divisions(self._now.values())  # a circle of parents is found here
        put = tuple(division for division in tree.every() if self._before.get(division.code) != division)
        return ChangedDivisions(put=put, ended=tuple(self._ended), begun=tuple(self._begun), renamed=tuple(dict.fromkeys(self._renamed)))

    def _judge(
        self, change: DivisionChange, successors: Mapping[str, Collection[str]], predecessors: Mapping[str, Collection[str]]
    ) -> None:
        """Whether `old` can end on that day, and whether the kind says what the pairs say."""
        old = self._now.get(change.old)
        if old is None:
            self._fault("change-division-unknown", division=change.old)
            return
        if not old.valid_at(change.day) or old.valid_from == change.day:
            self._fault("change-division-not-in-force", division=change.old, day=change.day.isoformat())
            return
        if old.valid_to is not None:
            self._fault("change-division-ends-already", division=change.old, day=old.valid_to.isoformat())
            return
        if change.new in successors and change.new != change.old:
            self._fault("change-in-a-row", division=change.new, day=change.day.isoformat())
            return
        alone = len(successors.get(change.old, ())) <= 1
        kind = change.kind
        if change.old == change.new:
            fits = kind is ChangeKind.RENAMED and change.old not in successors and change.name not in (None, old.name)
        elif kind is ChangeKind.SPLIT:
            fits = not alone
        elif kind is ChangeKind.MERGED:
            fits = alone and (len(predecessors[change.new]) > 1 or self._continues(change.new, change.day))
        else:
            fits = alone and len(predecessors[change.new]) == 1 and not self._continues(change.new, change.day)
            if kind is ChangeKind.MOVED:
                fits = fits and change.parent not in (None, old.parent)
            else:
                fits = fits and change.parent in (None, old.parent, *successors.get(old.parent or "", ()))
        if not fits:
            self._fault("change-kind-unfit", division=change.old, other=change.new, kind=kind.value)

    def _continues(self, code: str, day: date) -> bool:
        """Whether it exists on the day before and goes on."""
        division = self._now.get(code)
        return division is not None and division.valid_from < day and division.valid_to is None

    def _rename(self, change: DivisionChange) -> None:
        old = self._now.get(change.old)
        if old is not None and change.name is not None:
            self._now[change.old] = replace(old, name=change.name)
            self._renamed.append(change.old)

    def _beginning(
        self, change: DivisionChange, rows: Sequence[DivisionChange], successors: Mapping[str, Sequence[str]]
    ) -> Division | None:
        """The division that begins; what its rows state of it must agree. What took the place of the old parent is the new one."""
        if change.new in self._now:
            self._fault("change-code-used-before", division=change.new)
            return None
        old = self._now[change.old]
        names = {row.name for row in rows} - {None}
        levels = {row.level for row in rows} - {None}
        parents = {row.parent for row in rows} - {None}
        stated = {"name": len(names), "level": len(levels), "parent": len(parents)}
        if disagreeing := [column for column, count in stated.items() if count > 1]:
            self._fault("change-rows-disagree", division=change.new, columns=", ".join(disagreeing))
            return None
        not_the_same = len(rows) > 1 or change.kind is ChangeKind.SPLIT
        if not_the_same and (missing := [column for column, count in stated.items() if not count]):
            self._fault("change-new-incomplete", division=change.new, columns=", ".join(missing))
            return None
        above = successors.get(old.parent or "", ())
        return Division(
            code=change.new,
            name=next(iter(names), None) or old.name,
            level=next(iter(levels), None) or old.level,
            parent=next(iter(parents), None) or (above[0] if len(above) == 1 else old.parent),
            valid_from=change.day,
        )

    def _judge_parent(self, division: Division) -> None:
        levels = list(DivisionLevel)
        parent = self._now.get(division.parent or "")
        if division.parent is None and division.level is DivisionLevel.PROVINCE:
            return
        if parent is None or not parent.valid_at(division.valid_from) or parent.valid_to is not None:
            self._fault("change-parent-not-in-force", division=division.code, parent=division.parent or "-")
        elif levels.index(parent.level) >= levels.index(division.level):
            self._fault("change-parent-not-above", division=division.code, parent=parent.code)

    def _end(self, code: str, day: date, successors: tuple[str, ...]) -> None:
        self._now[code] = replace(self._now[code], valid_to=day, successors=successors)
        self._ended.append(code)

    def _end_below(self, ended: Iterable[str], day: date) -> None:
        """What lies below a division that ended ends with it; what begins that day must not lie there."""
        waiting = [child for code in ended for child in self._children.get(code, ())]
        while waiting:
            code = waiting.pop()
            division = self._now[code]
            if division.valid_to is None:
                if division.valid_from >= day:
                    self._fault("change-parent-not-in-force", division=code, parent=division.parent or "-")
                    continue
                self._end(code, day, ())
            waiting += self._children.get(code, ())

    def _fault(self, code: str, **parameters: str) -> None:
        self.faults.append(Reason(code, parameters))


def refuse_if_closed(office: Office | None, on: date) -> None:
    """Raise Conflict `office-closed` if the office does not exist on that day any more: it neither asks, nor answers, nor uses."""
    if office is not None and office.valid_to is not None and office.valid_to <= on:
        raise Conflict(closed(office))


def closed(office: Office) -> Reason:
    """That an office has closed, since when, and who took its place."""
    since = office.valid_to.isoformat() if office.valid_to else "-"
    return Reason("office-closed", {"office": office.id, "since": since, "successor": office.successor or "-"})


def still_closed(office: Office, before: Office | None) -> Office:
    """The office as it is to be entered over `before`: one that has closed stays closed, with its successor, whatever list of
    offices is entered again. Else a succession would be undone without a word, and what was refused to its parts be forgotten."""
    if before is None or before.valid_to is None:
        return office
    return replace(office, valid_from=before.valid_from, valid_to=before.valid_to, successor=before.successor)


def _raise(faults: Sequence[Reason]) -> None:
    found = list(dict.fromkeys(faults))
    if len(found) > MOST_REASONS:
        found = [*found[:MOST_REASONS], Reason("change-more-faults", {"count": len(found) - MOST_REASONS})]
    if found:
        raise InputInvalid(*found)
