"""The administrative divisions: which exist, which lie under which, how they are found."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date

from huitong.data import DIVISIONS, read_text
from huitong.errors import InputInvalid
from huitong.model.party import Division, DivisionLevel

EDITION_FROM = date(2023, 1, 1)
"""The file is the National Bureau of Statistics' edition of 2023 and carries no dates; what held before is not known here."""


class Divisions:
    """All divisions of a province, held in memory in the order of the tree. Each parent stands before its children."""

    def __init__(self, divisions: Iterable[Division]) -> None:
        self._by_code: dict[str, Division] = {}
        self._children: dict[str | None, list[str]] = {}
        for division in divisions:
            if division.code in self._by_code:
                raise InputInvalid.because("division-code-twice", division=division.code)
            self._by_code[division.code] = division
            self._children.setdefault(division.parent, []).append(division.code)
        roots = [code for code, division in self._by_code.items() if division.parent not in self._by_code]
        self._order: list[Division] = []
        self._span: dict[str, tuple[int, int]] = {}
        for root in roots:
            self._visit(root)
        if len(self._order) != len(self._by_code):
            raise InputInvalid.because("division-circle")

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
        return len(self._order)

    def get(self, code: str) -> Division | None:
        """The division of that 12-digit code."""
        return self._by_code.get(code)

    def children(self, code: str) -> Sequence[Division]:
        """The divisions right below it, in the order of the source."""
        return [self._by_code[child] for child in self._children.get(code, [])]

    def line(self, code: str) -> Sequence[Division]:
        """From the province down to the division itself; empty if unknown."""
        line: list[Division] = []
        current = self._by_code.get(code)
        while current is not None:
            line.append(current)
            current = self._by_code.get(current.parent) if current.parent else None
        return line[::-1]

    def codes_under(self, division_code: str, at: date) -> frozenset[str]:
        """The codes at or below it that are valid on that day; empty if it is unknown. Goes by parents, never by prefixes."""
        start, end = self._span.get(division_code, (0, 0))
        return frozenset(
            division.code
            for division in self._order[start:end]
            if division.valid_from <= at and (division.valid_to is None or at < division.valid_to)
        )

    def search(
        self,
        text: str = "",
        *,
        level: DivisionLevel | None = None,
        under: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Division], int]:
        """Divisions whose name contains the text, of any length, or whose code begins with it; and how many in all.

        The name itself comes first, then names that begin with it, then the rest; within each, higher levels first."""
        wanted = "".join(text.split())
        start, end = (0, len(self._order)) if under is None else self._span.get(under, (0, 0))
        levels = list(DivisionLevel)
        found = []
        for position, division in enumerate(self._order[start:end]):
            if level is not None and division.level is not level:
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


def load_divisions(text: str | None = None) -> Divisions:
    """The divisions of a CSV text with columns code, name, level, parent (valid_from, valid_to); by default the shipped ones."""
    rows = csv.DictReader(io.StringIO(read_text(DIVISIONS) if text is None else text))
    return Divisions(
        Division(
            code=row["code"],
            name=row["name"],
            level=DivisionLevel(row["level"]),
            parent=row["parent"] or None,
            valid_from=date.fromisoformat(row["valid_from"]) if row.get("valid_from") else EDITION_FROM,
            valid_to=date.fromisoformat(row["valid_to"]) if row.get("valid_to") else None,
        )
        for row in rows
    )
