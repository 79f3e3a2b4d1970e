"""The lines of "who used my office's data", beside the ledger from which they are made."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db import connections, transaction
from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum, TextField, Value, When
from django.db.models.functions import Collate

from huitong.errors import Conflict
from huitong.ledger.uses import OF_USES, UseEnd, UseOfData, uses_of_data
from huitong.model.ledger import Promise
from huitong.portal.audit import models as audit
from huitong.portal.catalog import models as catalog
from huitong.portal.putting import USE_LINE, put_all
from huitong.portal.rows import promise_of
from huitong.sharing.used import UsesWanted, UseTotal

NAMES = tuple(field.name for field in fields(UseOfData))
PUT_IN_ORDER = 5000
"""Lines that a page is sorted from."""
READ_AT_ONCE, PUT_AT_ONCE = 2000, 500
"""Entries of one read, rows of one statement."""


@dataclass(frozen=True)
class DjangoUseIndex:
    """UseIndex."""

    using: str = "default"

    def find(self, wanted: UsesWanted, *, limit: int, offset: int) -> tuple[Sequence[UseOfData], int]:
        """Those, the last that ended first; and how many in all."""
        total = self._wanted(wanted).count()
        # Few are found by their datasets and put in order; of many the last ones are met soon by going back from the end.
        rows = self._wanted(wanted, from_the_end=total > PUT_IN_ORDER)
        # which ones first: for that an index is enough, and the page alone is read whole
        page = list(rows.order_by("-place", "-position").values_list("id", flat=True)[offset : offset + limit])
        found = self._rows().filter(id__in=page).order_by("-place", "-position")
        return [line_of(row) for row in found], total

    def span(self, wanted: UsesWanted) -> tuple[datetime, datetime] | None:
        """When the first and the last of them ended."""
        found = self._wanted(wanted).aggregate(first=Min("ended_at"), last=Max("ended_at"))
        return None if found["first"] is None else (found["first"], found["last"])

    def totals(
        self, wanted: UsesWanted, months: Sequence[tuple[str, datetime, datetime]], *, limit: int, offset: int
    ) -> tuple[Sequence[UseTotal], int]:
        """By month, dataset and office."""
        month = Case(
            *(When(ended_at__gte=begin, ended_at__lt=end, then=Value(name)) for name, begin, end in months),
            default=Value(""),
            output_field=TextField(),
        )
        rows = self._wanted(wanted).annotate(month=month).values("month", "dataset", "office")
        rows = rows.annotate(
            answered=Count("id", filter=Q(end=UseEnd.ANSWERED.value)),
            refused=Count("id", filter=Q(end=UseEnd.REFUSED.value)),
            failed=Count("id", filter=Q(end=UseEnd.FAILED.value)),
            told=Sum("rows"),
        )
        rows = rows.order_by("-month", self._by_bytes("dataset"), self._by_bytes("office"))
        page = [
            UseTotal(
                month=row["month"],
                dataset=row["dataset"],
                office=row["office"],
                rows=row["told"] or 0,
                answered=row["answered"],
                refused=row["refused"],
                failed=row["failed"],
            )
            for row in rows[offset : offset + limit]
        ]
        return page, rows.count()

    def lines(self) -> Iterator[UseOfData]:
        """All, in the order of the ledger."""
        return (line_of(row) for row in self._rows().order_by("place", "position").iterator(READ_AT_ONCE))

    def add(self, entries: Sequence[tuple[int, Promise]]) -> None:
        """Keep the lines of the uses that ended with these entries of the tree, inside the caller's transaction: that of their fold."""
        lines = _lines_of(entries, audit.Entry.objects.using(self.using))
        put_all(self.using, USE_LINE, ([columns[name] for name in USE_LINE.types] for columns in map(columns_of, lines)))

    def rebuild(
        self, lock: Callable[[], AbstractContextManager[bool]], progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Throw all lines away and make them from the ledger; how many. Raises Conflict `ledger-busy` while another folds."""
        with lock() as held, transaction.atomic(using=self.using):
            if not held:
                raise Conflict.because("ledger-busy")
            self._rows().all().delete()
            fill(audit.Entry.objects.using(self.using), self._rows(), progress)
            return self._rows().count()

    def _rows(self) -> QuerySet[audit.UseLine]:
        return audit.UseLine.objects.using(self.using)

    def _wanted(self, wanted: UsesWanted, *, from_the_end: bool = False) -> QuerySet[audit.UseLine]:
        """`from_the_end`: asked so that SQLite looks at each line whether its dataset is one of them, rather than collect all lines of
        each dataset and sort them."""
        named = (wanted.office, wanted.dataset, wanted.grant)
        if any("\0" in (name or "") or not _is_text(name) for name in named):
            return self._rows().none()
        rows = self._rows()
        if wanted.data_of is not None:
            if not wanted.data_of:
                return rows.none()
            parts = [wanted.data_of[start : start + 500] for start in range(0, len(wanted.data_of), 500)]
            of_them = reduce(or_, (Q(provider__in=part) | Q(collector__in=part) for part in parts))
            entries = catalog.Dataset.objects.using(self.using).filter(of_them)
            rows = rows.filter(
                Exists(entries.filter(id=OuterRef("dataset"))) if from_the_end else Q(dataset__in=entries.values("id"))
            )
        given: dict[str, Any] = {"office": wanted.office, "dataset": wanted.dataset, "grant": wanted.grant}
        given |= {"end": None if wanted.end is None else wanted.end.value}
        given |= {"ended_at__gte": wanted.since, "ended_at__lt": wanted.until}
        return rows.filter(**{name: value for name, value in given.items() if value is not None})

    def _by_bytes(self, column: str) -> Collate:
        return Collate(F(column), "C" if connections[self.using].vendor == "postgresql" else "BINARY")


def fill(tree: QuerySet[Any], lines: QuerySet[Any], progress: Callable[[int, int], None] | None = None) -> None:
    """Make all lines from the entries of the tree, inside the caller's transaction."""
    last = tree.aggregate(last=Max("index"))["last"]
    size = 0 if last is None else last + 1
    for first in range(0, size, READ_AT_ONCE):
        rows = tree.filter(index__gte=first, index__lt=first + READ_AT_ONCE, kind__in=[kind.value for kind in OF_USES])
        made = _lines_of([(row.index, promise_of(row)) for row in rows.order_by("index")], tree)
        lines.bulk_create([lines.model(**columns_of(line)) for line in made], batch_size=PUT_AT_ONCE)
        if progress is not None:
            progress(min(first + READ_AT_ONCE, size), size)


def _lines_of(entries: Sequence[tuple[int, Promise]], tree: QuerySet[Any]) -> list[UseOfData]:
    def intents(names: Collection[str]) -> Mapping[str, Promise]:
        listed = sorted(names)
        parts = (listed[start : start + PUT_AT_ONCE] for start in range(0, len(listed), PUT_AT_ONCE))
        return {row.entry: promise_of(row) for part in parts for row in tree.filter(entry__in=part)}

    return uses_of_data(entries, intents)


def _is_text(value: str | None) -> bool:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        return False
    return True


def columns_of(line: UseOfData) -> dict[str, Any]:
    """A line as it is kept."""
    told = {name: getattr(line, name) for name in NAMES}
    return {**told, "end": line.end.value, "items": [list(pair) for pair in line.items], "reasons": list(line.reasons)}


def line_of(row: audit.UseLine) -> UseOfData:
    """The line as it was."""
    told = {name: getattr(row, name) for name in NAMES}
    pairs = tuple((item, mask) for item, mask in row.items)
    return UseOfData(**{**told, "end": UseEnd(row.end), "items": pairs, "reasons": tuple(row.reasons)})

