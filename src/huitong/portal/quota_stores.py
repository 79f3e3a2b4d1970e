"""What sharing counts and keeps beside requests and grants: uses of grants with a quota, and which lists of subjects are needed."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from huitong.model.policy import GrantState
from huitong.model.sharing import OPEN_STATES
from huitong.portal.sharing import models as sharing
from huitong.sharing.quotas import Amounts, Reservation

WHAT = ("rows", "queries", "calls")


@dataclass(frozen=True)
class DjangoQuotaStore:
    """QuotaStore. Counting goes on one at a time for each grant: its row is locked on PostgreSQL, and SQLite has one writer."""

    using: str = "default"

    def lock(self, grant_id: str) -> None:
        """Let nobody else count uses of this grant until the transaction ends."""
        rows = sharing.Grant.objects.using(self.using).filter(id=grant_id)
        list(rows.select_for_update(no_key=True).values_list("id", flat=True))

    def used(self, grant_id: str, *, since: date | None, at: datetime) -> Amounts:
        """What uses that began on that day or later have taken, or may still take."""
        later = Q(grant_id=grant_id) if since is None else Q(grant_id=grant_id, day__gte=since)
        taken = sharing.QuotaDay.objects.using(self.using).filter(later).aggregate(**{what: _sum(what) for what in WHAT})
        running = Q(until__gt=at)
        held = self._reservations().filter(later).aggregate(rows=_sum("rows", running), queries=_sum("queries"), calls=_sum("calls"))
        return Amounts(**{what: taken[what] + held[what] for what in WHAT})

    def put(self, reservation: Reservation, *, at: datetime) -> None:
        """Keep a reservation; those of the grant that are over are folded into their days."""
        for row in self._reservations().filter(grant_id=reservation.grant, until__lte=at):
            self._fold(row)
        amounts = {what: getattr(reservation.amounts, what) for what in WHAT}
        about = {"query": reservation.query, "grant_id": reservation.grant, "day": reservation.day, "until": reservation.until}
        self._reservations().create(**about, **amounts)

    def take(self, query: str, grant_id: str, *, at: datetime) -> Reservation | None:
        """Remove and return a reservation; None if there is none or it is over."""
        row = self._reservations().filter(query=query, grant_id=grant_id).first()
        if row is None:
            return None
        if row.until <= at:
            self._fold(row)
            return None
        row.delete(using=self.using)
        return Reservation(row.query, row.grant_id, row.day, Amounts(row.rows, row.queries, row.calls), row.until)

    def add(self, grant_id: str, day: date, amounts: Amounts) -> None:
        """Add to what is used on a day."""
        days = sharing.QuotaDay.objects.using(self.using)
        more = {what: getattr(amounts, what) for what in WHAT}
        if not days.filter(grant_id=grant_id, day=day).update(**{what: F(what) + number for what, number in more.items()}):
            days.create(grant_id=grant_id, day=day, **more)

    def _fold(self, row: sharing.QuotaReservation) -> None:
        """What was reserved for a use that never ended: it told no rows, but it was a query or call."""
        self.add(row.grant_id, row.day, Amounts(0, row.queries, row.calls))
        row.delete(using=self.using)

    def _reservations(self) -> QuerySet[sharing.QuotaReservation]:
        return sharing.QuotaReservation.objects.using(self.using)


def _sum(what: str, only: Q | None = None) -> Coalesce:
    return Coalesce(Sum(what, filter=only), 0)


@dataclass(frozen=True)
class DjangoSubjectUses:
    """SubjectUses."""

    using: str = "default"

    def lists_in_use(self, at: datetime) -> frozenset[str]:
        """The lists of requests that wait for an answer, and of grants that can still be used."""
        usable = [GrantState.PREPARING.value, GrantState.ACTIVE.value]
        grants = sharing.Grant.objects.using(self.using).filter(state__in=usable, valid_until__gt=at, rules__has_key="subjects")
        named = [rules["subjects"]["subjects"] for rules in grants.values_list("rules", flat=True)]
        waiting = [state.value for state in OPEN_STATES]
        requests = sharing.Request.objects.using(self.using).filter(state__in=waiting)
        events = sharing.RequestEvent.objects.using(self.using).filter(request__state__in=waiting, wish__has_key="subjects")
        for wishes in (requests.filter(wish__has_key="subjects"), events):
            named += [wish["subjects"]["subjects"] for wish in wishes.values_list("wish", flat=True) if wish is not None]
        return frozenset(named)
