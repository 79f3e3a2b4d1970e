"""Quota: what a use may take is reserved when it begins and settled when it ends, so that all processes together never exceed a limit.

A reservation counts in full while its use may still run; after that time, which the caller states, it counts as what was told: nothing,
but the query or call that it was. Whoever settles later than that is told only what is still left. All versions of a grant count
together: what is used is counted by day, and a period is the days in it. Only grants with a quota are counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from huitong.errors import Reason, Refused
from huitong.model.notice import Notice, NoticeKind
from huitong.model.party import Role
from huitong.model.policy import Grant, Quota, QuotaPeriod
from huitong.sharing.ports import NoBoard, NoticeBoard, Transactions
from huitong.sharing.term_limits import TermLimits, term_limits


class UseKind(StrEnum):
    """What a use counts as, beside its rows."""

    QUERY = "query"
    """A statement that runs."""
    CALL = "call"
    """A call of another door: a record, the delivery of a file."""


@dataclass(frozen=True)
class Amounts:
    """How much of each thing that a quota can limit."""

    rows: int = 0
    queries: int = 0
    calls: int = 0


@dataclass(frozen=True)
class Reservation:
    """What a use that runs may take of a grant, and until when it counts so."""

    query: str
    grant: str
    day: date
    """The day, in the time zone of the instance, to which the use counts."""
    amounts: Amounts
    until: datetime


class QuotaStore(Protocol):
    """What is used and reserved (the portal's stores). Changing methods are called inside a transaction that holds the lock."""

    def lock(self, grant_id: str) -> None:
        """Let nobody else count uses of this grant until the transaction ends."""
        ...

    def used(self, grant_id: str, *, since: date | None, at: datetime) -> Amounts:
        """What uses that began on that day or later (None: ever) have taken, or may still take: of reservations that are over, only
        the query or call."""
        ...

    def put(self, reservation: Reservation, *, at: datetime) -> None:
        """Keep a reservation; those of the grant that are over are folded into what is used."""
        ...

    def take(self, query: str, grant_id: str, *, at: datetime) -> Reservation | None:
        """Remove and return a reservation; None if there is none or it is over."""
        ...

    def add(self, grant_id: str, day: date, amounts: Amounts) -> None:
        """Add to what is used on a day."""
        ...


@dataclass(frozen=True)
class QuotaUse:
    """How much of a quota is used in the period that runs."""

    period: QuotaPeriod
    begins_anew: datetime | None
    """None: never."""
    uses: Mapping[str, tuple[int, int]]
    """`rows`, `queries`, `calls` as far as they are limited: used, and the limit."""


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """The counting of one instance."""

    store: QuotaStore
    transactions: Transactions
    time_zone: str
    notices: NoticeBoard = field(default_factory=NoBoard)
    limits: TermLimits = field(default_factory=term_limits)

    def reserve(
        self,
        *,
        query: str,
        grant: Grant,
        rows: int,
        seconds: float,
        at: datetime,
        kind: UseKind = UseKind.QUERY,
        whole: bool = False,
        uses: int = 1,
    ) -> int:
        """Reserve up to `rows` rows, and one query or call (of a batch: `uses` of them, or none), for a use that takes `seconds` at most;
        how many rows it may tell. A grant without a quota gives all that is wanted.

        Raises Refused `quota-used-up` if nothing is left of something, or, where only `whole` will do, less than that."""
        quota = grant.terms.quota
        if quota is None:
            return rows
        with self.transactions.atomic():
            self.store.lock(grant.id)
            left = self._left(grant, quota, at)
            wanted = Amounts(rows, queries=uses * (kind is UseKind.QUERY), calls=uses * (kind is UseKind.CALL))
            for what in ("queries", "calls"):
                if getattr(wanted, what) and left[what] is not None and (left[what] or 0) < getattr(wanted, what):
                    raise self._used_up(grant, quota, what, at)
            rows_left = left["rows"]
            given = rows if rows_left is None else min(rows, rows_left)
            if rows > 0 and (given < 1 or (whole and given < rows)):
                raise self._used_up(grant, quota, "rows", at)
            until = at + timedelta(seconds=seconds + self.limits.quota_margin_seconds)
            amounts = Amounts(given, wanted.queries, wanted.calls)
            self.store.put(Reservation(query, grant.id, self._day(at), amounts, until), at=at)
            return given

    def settle(self, *, query: str, grant: Grant, rows: int, at: datetime) -> None:
        """The use ended and tells so many rows, at most those reserved: the rest is free again.

        Raises Refused `quota-used-up` if its time was over and meanwhile too little is left: then its rows must not leave."""
        self._count(query, grant, rows, at, rest_stays=False)

    def told(self, *, query: str, grant: Grant, rows: int, at: datetime) -> None:
        """So many of the rows that were reserved are about to leave: they count from now on, and with the first of them the query or call,
        even if the process dies. The rest stays reserved until the use is settled, then with what is told beyond this, or released.

        Raises Refused `quota-used-up` if its time was over and meanwhile too little is left: then these rows must not leave."""
        self._count(query, grant, rows, at, rest_stays=True)

    def _count(self, query: str, grant: Grant, rows: int, at: datetime, *, rest_stays: bool) -> None:
        quota = grant.terms.quota
        if quota is None:
            return
        with self.transactions.atomic():
            self.store.lock(grant.id)
            before = self.store.used(grant.id, since=self._since(quota, at), at=at)
            held = self.store.take(query, grant.id, at=at)
            if held is None:
                left = _limits(quota).get("rows")
                if left is not None and rows > left - before.rows:
                    raise self._used_up(grant, quota, "rows", at)
                self.store.add(grant.id, self._day(at), Amounts(rows))
                self._tell(grant, quota, before, replace(before, rows=before.rows + rows), at)
            elif rows > held.amounts.rows:
                raise ValueError("a use tells more rows than were reserved for it")
            else:
                counted = replace(held.amounts, rows=rows)
                self.store.add(grant.id, held.day, counted)
                if rest_stays:
                    self.store.put(replace(held, amounts=Amounts(held.amounts.rows - rows)), at=at)
                others = _less(before, held.amounts)
                self._tell(grant, quota, others, _more(others, counted), at)

    def release(self, *, query: str, grant: Grant, at: datetime) -> None:
        """The use could not begin, or does not go on: nothing of it counts, or nothing more than what it told."""
        if grant.terms.quota is not None:
            with self.transactions.atomic():
                self.store.lock(grant.id)
                self.store.take(query, grant.id, at=at)

    def use_of(self, grant: Grant, *, at: datetime) -> QuotaUse | None:
        """How much is used in the period that runs; None for a grant without a quota."""
        quota = grant.terms.quota
        if quota is None:
            return None
        used = self.store.used(grant.id, since=self._since(quota, at), at=at)
        uses = {what: (getattr(used, what), limit) for what, limit in _limits(quota).items()}
        return QuotaUse(quota.period, self.begins_anew(quota, at), uses)

    def against_query(self, grant: Grant, *, at: datetime) -> tuple[Reason, ...]:
        """Why a query under the grant would be refused now, because something is used up. Reserves nothing."""
        quota = grant.terms.quota
        if quota is None:
            return ()
        left = self._left(grant, quota, at)
        gone = [what for what in ("queries", "rows") if (rest := left[what]) is not None and rest < 1]
        return tuple(reason for what in gone for reason in self._used_up(grant, quota, what, at).reasons)

    def begins_anew(self, quota: Quota, at: datetime) -> datetime | None:
        """The instant, in UTC, at which the period that runs is over: midnight in the time zone of the instance. None: never."""
        day = self._day(at)
        if quota.period is QuotaPeriod.GRANT:
            return None
        if quota.period is QuotaPeriod.MONTH:
            day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            day += timedelta(days=1)
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)

    def _day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.time_zone)).date()

    def _since(self, quota: Quota, at: datetime) -> date | None:
        if quota.period is QuotaPeriod.GRANT:
            return None
        return self._day(at) if quota.period is QuotaPeriod.DAY else self._day(at).replace(day=1)

    def _left(self, grant: Grant, quota: Quota, at: datetime) -> Mapping[str, int | None]:
        used = self.store.used(grant.id, since=self._since(quota, at), at=at)
        limits = _limits(quota)
        return {what: limits[what] - getattr(used, what) if what in limits else None for what in _WHAT}

    def _used_up(self, grant: Grant, quota: Quota, what: str, at: datetime) -> Refused:
        anew = self.begins_anew(quota, at)
        about: dict[str, str | int] = {
            "grant": grant.id,
            "dataset": grant.dataset,
            "what": what,
            "limit": _limits(quota)[what],
            "period": quota.period.value,
        }
        if anew is None:
            return Refused(Reason("quota-used-up-for-good", about))
        return Refused(Reason("quota-used-up", {**about, "anew": anew.isoformat(timespec="minutes")}))

    def _tell(self, grant: Grant, quota: Quota, before: Amounts, after: Amounts, at: datetime) -> None:
        """One notice when what is used of a limit comes to the share from which on both offices are told."""
        for what, limit in _limits(quota).items():
            mark = limit * self.limits.quota_nearly_percent
            if getattr(before, what) * 100 < mark <= getattr(after, what) * 100:
                about = {
                    "grant": grant.id,
                    "dataset": grant.dataset,
                    "quota": f"{what}/{quota.period.value}",
                    "percent": str(self.limits.quota_nearly_percent),
                }
                roles = ((grant.using_office, Role.ANALYST), (grant.provider, Role.REVIEWER))
                self.notices.post(Notice(kind=NoticeKind.QUOTA_NEARLY_USED, at=at, about=about, to_roles=roles))


def _less(amounts: Amounts, other: Amounts) -> Amounts:
    return Amounts(amounts.rows - other.rows, amounts.queries - other.queries, amounts.calls - other.calls)


def _more(amounts: Amounts, other: Amounts) -> Amounts:
    return Amounts(amounts.rows + other.rows, amounts.queries + other.queries, amounts.calls + other.calls)


_WHAT: Sequence[str] = ("rows", "queries", "calls")


def _limits(quota: Quota) -> dict[str, int]:
    """What is limited, and to how much."""
    every = {what: getattr(quota, what) for what in _WHAT}
    return {what: limit for what, limit in every.items() if limit is not None}
