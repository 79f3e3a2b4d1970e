"""Uses that run now, on Django's ORM."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from huitong.gateway.running import RunningUse
from huitong.portal.audit import models as audit


@dataclass(frozen=True)
class DjangoRunningStore:
    """RunningStore of the gateway."""

    using: str = "default"

    def see(self, use: RunningUse, /, *, at: datetime, unseen_since: datetime) -> None:
        """It runs at this instant. What was not seen since then is forgotten; who cancelled it is not."""
        if self._rows().filter(query=use.query).update(seen_at=at):
            return
        self._rows().filter(seen_at__lt=unseen_since).delete()
        made = audit.RunningUse(
            query=use.query,
            person=use.person,
            post=use.post,
            office=use.office,
            purpose=use.purpose,
            datasets=list(use.datasets),
            door=use.door,
            since=use.since,
            seen_at=at,
            cancelled_by=use.cancelled_by,
        )
        made.save(using=self.using, force_insert=True)

    def cancelled_by(self, query: str, /) -> str | None:
        """Who wants it to stop."""
        return self._rows().filter(query=query).values_list("cancelled_by", flat=True).first()

    def cancel(self, query: str, /, *, by: str) -> None:
        """That person wants it to stop, unless somebody did already."""
        self._rows().filter(query=query, cancelled_by=None).update(cancelled_by=by)

    def remove(self, query: str, /) -> None:
        """It has ended."""
        self._rows().filter(query=query).delete()

    def running(self, office: str, /, *, seen_since: datetime) -> Sequence[RunningUse]:
        """The uses of an office that were seen at or after that instant, the longest running first."""
        rows = self._rows().filter(office=office, seen_at__gte=seen_since).order_by("since", "query")
        return [
            RunningUse(
                query=row.query,
                person=row.person,
                post=row.post,
                office=row.office,
                purpose=row.purpose,
                datasets=tuple(row.datasets),
                door=row.door,
                since=row.since,
                cancelled_by=row.cancelled_by,
            )
            for row in rows
        ]

    def _rows(self) -> QuerySet[audit.RunningUse]:
        return audit.RunningUse.objects.using(self.using)
