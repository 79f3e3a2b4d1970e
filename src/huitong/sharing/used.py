"""Who used which data, as those may ask who answer for it: the office that manages or collects a dataset, the one that used it, and the
regulator above. The lines come from the ledger (`huitong.ledger.uses`); here is who may see which."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from huitong.catalog.ports import Clock, PartyStore
from huitong.errors import InputInvalid, Reason, Refused
from huitong.ledger.uses import UseEnd, UseOfData
from huitong.model.party import Actor, Office, Role
from huitong.sharing.deadline import end_of_day, local_day
from huitong.sharing.ports import DivisionTree

EARLIEST_DAY = date(1970, 1, 1)
"""No use ended before it: a first day before it leaves nothing out."""
OFFICES_AT_ONCE = 500


class UsesSide(StrEnum):
    """From which side an office looks at uses."""

    PROVIDER = "provider"
    """Uses of the data that it manages or collects, by whichever office."""
    APPLICANT = "applicant"
    """Its own uses, of whichever data."""
    REGULATOR = "regulator"
    """Uses of the data of the offices in its division."""


@dataclass(frozen=True)
class UsesWanted:
    """Which uses; None: whatever it is."""

    data_of: tuple[str, ...] | None = None
    """Offices: of datasets that one of them manages or collects now."""
    office: str | None = None
    dataset: str | None = None
    grant: str | None = None
    end: UseEnd | None = None
    since: datetime | None = None
    """Ended at or after."""
    until: datetime | None = None
    """Ended before."""


@dataclass(frozen=True)
class UseTotal:
    """The uses of a dataset by an office that ended in a month."""

    month: str
    """`2026-03`, on the calendar of the instance."""
    dataset: str
    office: str
    answered: int
    refused: int
    failed: int
    rows: int
    """That were told, of all uses together."""


class UseIndex(Protocol):
    """Where the lines are kept, beside the ledger that they come from."""

    def find(self, wanted: UsesWanted, *, limit: int, offset: int) -> tuple[Sequence[UseOfData], int]:
        """Those, the last that ended first; and how many in all."""

    def span(self, wanted: UsesWanted) -> tuple[datetime, datetime] | None:
        """When the first and the last of them ended; None if there is none."""

    def totals(
        self, wanted: UsesWanted, months: Sequence[tuple[str, datetime, datetime]], *, limit: int, offset: int
    ) -> tuple[Sequence[UseTotal], int]:
        """By month (name, beginning, end), dataset and office: the newest month first, then by dataset and office; and how many."""


class UsesOfData:
    """The questions about uses."""

    def __init__(
        self, *, index: UseIndex, parties: PartyStore, divisions: DivisionTree, clock: Clock, time_zone: str
    ) -> None:
        self._index = index
        self._parties = parties
        self._divisions = divisions
        self._clock = clock
        self._time_zone = time_zone

    def uses(
        self, *, by: Actor, side: UsesSide, wanted: UsesWanted, limit: int, offset: int
    ) -> tuple[Sequence[UseOfData], int]:
        """Uses that the actor may see from that side, the last that ended first; and how many in all.

        Raises Refused `role-missing`: uses of one's own data are shown to data officers and reviewers, those of others' to regulators."""
        return self._index.find(self._seen(wanted, by=by, side=side), limit=limit, offset=offset)

    def totals(
        self, *, by: Actor, side: UsesSide, wanted: UsesWanted, limit: int, offset: int
    ) -> tuple[Sequence[UseTotal], int]:
        """How many of them there were, by month, dataset and using office; refuses as `uses` does."""
        seen = self._seen(wanted, by=by, side=side)
        span = self._index.span(seen)
        if span is None:
            return [], 0
        return self._index.totals(seen, self._months(*span), limit=limit, offset=offset)

    def days(self, since: date | None, until: date | None) -> UsesWanted:
        """The first and the last day, on the calendar of the instance, as instants. Raises InputInvalid `uses-days-turned`."""
        if since is not None and until is not None and until < since:
            raise InputInvalid.because("uses-days-turned", since=since.isoformat(), until=until.isoformat())
        return UsesWanted(
            since=None if since is None or since < EARLIEST_DAY else self._midnight(since),
            until=None if until is None else end_of_day(until, self._time_zone),
        )

    def _seen(self, wanted: UsesWanted, *, by: Actor, side: UsesSide) -> UsesWanted:
        if side is UsesSide.APPLICANT:
            if wanted.office not in (None, by.office):
                return replace(wanted, data_of=())
            return replace(wanted, office=by.office)
        if side is UsesSide.PROVIDER:
            if not by.has(Role.DATA_OFFICER) and not by.has(Role.REVIEWER):
                raise _missing(by, Role.DATA_OFFICER)
            return replace(wanted, data_of=(by.office,))
        if not by.has(Role.REGULATOR):
            raise _missing(by, Role.REGULATOR)
        return replace(wanted, data_of=self._regulated(by))

    def _regulated(self, by: Actor) -> tuple[str, ...]:
        """The offices in the division of a regulator, those that exist no more among them."""
        codes = self._divisions.codes_under(by.division, local_day(self._clock(), self._time_zone))
        found: list[Office] = []
        while True:
            offices, total = self._parties.offices(limit=OFFICES_AT_ONCE, offset=len(found))
            found += offices
            if len(found) >= total or not offices:
                return tuple(office.id for office in found if office.division in codes)

    def _months(self, first: datetime, last: datetime) -> list[tuple[str, datetime, datetime]]:
        """The months from the one to the other, the newest first."""
        day, end = local_day(first, self._time_zone).replace(day=1), local_day(last, self._time_zone)
        months = []
        while day <= end:
            after = day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1)
            months.append((f"{day:%Y-%m}", self._midnight(day), self._midnight(after)))
            day = after
        return months[::-1]

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self._time_zone)).astimezone(UTC)


def _missing(by: Actor, role: Role) -> Refused:
    return Refused(Reason("role-missing", {"role": role.value, "post": by.post, "office": by.office}))
