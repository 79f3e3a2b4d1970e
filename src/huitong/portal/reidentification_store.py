"""Cases of re-identification at rest: the ports of `huitong.sharing.reidentification` on Django's ORM, for both databases alike."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from huitong.errors import Conflict, HuitongError
from huitong.ledger.cross_check import KeptCase
from huitong.model.reidentification import (
    OPEN_REIDENTIFICATIONS,
    Reidentification,
    ReidentificationEvent,
    ReidentificationEventKind,
    reidentification_state,
)
from huitong.portal.sharing import cases
from huitong.sharing.ports import Side

COLUMNS = ("id", "item", "linkage_group", "case", "legal_basis", "why", "tokens", "tokens_hash", "days", "reveals", "answer_due")
"""What has the same name and value in the noun and in the row."""


@dataclass(frozen=True)
class DjangoReidentificationStore:
    """ReidentificationStore and CaseTokens of sharing."""

    using: str = "default"

    def add(self, found: Reidentification) -> None:
        """Keep a new case. Raises Conflict `reidentification-exists` if the id is taken."""
        try:
            with transaction.atomic(using=self.using):
                row_of(found).save(using=self.using, force_insert=True)
                events = [event_row(found.id, place, event) for place, event in enumerate(found.events)]
                cases.ReidentificationEvent.objects.using(self.using).bulk_create(events)
        except IntegrityError:
            if self._cases().filter(id=found.id).exists():
                raise Conflict.because("reidentification-exists", reidentification=found.id) from None
            raise

    def get(self, identifier: str) -> Reidentification | None:
        """The case with its events."""
        if "\0" in identifier:
            return None
        row = self._cases().prefetch_related("events").filter(id=identifier).first()
        return None if row is None else case_of(row)

    def append(self, identifier: str, event: ReidentificationEvent, *, expected_events: int) -> None:
        """Add an event if exactly so many came before; a conditional UPDATE decides between two at once."""
        kinds = [
            *self._events(identifier).order_by("sequence").values_list("kind", flat=True)[:expected_events],
            event.kind.value,
        ]
        state = reidentification_state(ReidentificationEventKind(kind) for kind in kinds)
        moved = self._cases().filter(id=identifier, event_count=expected_events)
        if not moved.update(state=state.value, event_count=expected_events + 1):
            raise Conflict.because("reidentification-moved", reidentification=identifier)
        event_row(identifier, expected_events, event).save(using=self.using, force_insert=True)

    def of_office(
        self, office: str, *, side: Side, officer: str | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[Sequence[Reidentification], int]:
        """Cases of one side, newest first; and how many."""
        rows = self._cases()
        rows = rows.filter(using_office_id=office) if side is Side.APPLICANT else rows.filter(provider_id=office)
        if officer is not None:
            rows = rows.filter(officer__username=officer)
        page = rows.prefetch_related("events").order_by("-asked_at", "-id")[offset : offset + limit]
        return [case_of(row) for row in page], rows.count()

    def open_cases(self, grant: str | None = None) -> Sequence[Reidentification]:
        """Cases that are not over, oldest first."""
        rows = self._cases().filter(state__in=[state.value for state in OPEN_REIDENTIFICATIONS])
        if grant is not None:
            rows = rows.filter(grant_id=grant)
        return [case_of(row) for row in rows.prefetch_related("events").order_by("asked_at", "id")]

    def keep(self, identifier: str, tokens: Collection[int]) -> None:
        """Keep the tokens of a new case."""
        self._tokens().bulk_create(
            cases.ReidentificationToken(reidentification_id=identifier, token=token) for token in sorted(set(tokens))
        )

    def tokens_of(self, identifier: str) -> tuple[int, ...]:
        """The tokens of the case, in order."""
        rows = self._tokens().filter(reidentification_id=identifier)
        return tuple(rows.order_by("token").values_list("token", flat=True))

    def forget(self, identifier: str) -> None:
        """Remove them."""
        self._tokens().filter(reidentification_id=identifier).delete()

    def _cases(self) -> QuerySet[cases.Reidentification]:
        return cases.Reidentification.objects.using(self.using)

    def _events(self, identifier: str) -> QuerySet[cases.ReidentificationEvent]:
        return cases.ReidentificationEvent.objects.using(self.using).filter(reidentification_id=identifier)

    def _tokens(self) -> QuerySet[cases.ReidentificationToken]:
        return cases.ReidentificationToken.objects.using(self.using)


def kept_cases(using: str) -> Iterator[KeptCase]:
    """Every case as the audit compares it with the ledger."""
    for row in cases.Reidentification.objects.using(using).prefetch_related("events").order_by("id").iterator(500):
        try:
            found = case_of(row)
        except (HuitongError, ValueError):  # events that nobody wrote
            yield KeptCase(row.id, "-", (), (), 0)
            continue
        agreed = found.agreement
        until = agreed.until.isoformat(timespec="seconds") if agreed is not None and agreed.until is not None else None
        yield KeptCase(
            id=found.id,
            state=found.state.value,
            asked=(found.grant, found.item, found.officer, found.post, found.tokens_hash),
            agreed=() if agreed is None else (agreed.reveals, until),
            reveals=sum(event.kind is ReidentificationEventKind.REVEAL_BEGUN for event in found.events),
        )


def row_of(found: Reidentification) -> cases.Reidentification:
    """A case as a row."""
    return cases.Reidentification(
        **{name: getattr(found, name) for name in COLUMNS},
        grant_id=found.grant,
        dataset_id=found.dataset,
        provider_id=found.provider,
        using_office_id=found.using_office,
        officer_id=found.officer,
        post_id=found.post,
        asked_at=found.asked_at,
        state=found.state.value,
        event_count=len(found.events),
    )


def case_of(row: cases.Reidentification) -> Reidentification:
    """The other way, with its events."""
    return Reidentification(
        **{name: getattr(row, name) for name in COLUMNS},
        grant=row.grant_id,
        dataset=row.dataset_id,
        provider=row.provider_id,
        using_office=row.using_office_id,
        officer=row.officer_id,
        post=row.post_id,
        events=tuple(event_of(event) for event in sorted(row.events.all(), key=lambda event: event.sequence)),
    )


def event_row(identifier: str, sequence: int, event: ReidentificationEvent) -> cases.ReidentificationEvent:
    """An event as a row."""
    return cases.ReidentificationEvent(
        reidentification_id=identifier,
        sequence=sequence,
        kind=event.kind.value,
        at=event.at,
        actor=event.actor,
        office_id=event.office,
        reason=event.reason,
        words=event.words,
        days=event.days,
        reveals=event.reveals,
        until=event.until,
        query=event.query,
    )


def event_of(row: cases.ReidentificationEvent) -> ReidentificationEvent:
    """The other way."""
    return ReidentificationEvent(
        kind=ReidentificationEventKind(row.kind),
        at=row.at,
        actor=row.actor,
        office=row.office_id,
        reason=row.reason,
        words=row.words,
        days=row.days,
        reveals=row.reveals,
        until=row.until,
        query=row.query,
    )
