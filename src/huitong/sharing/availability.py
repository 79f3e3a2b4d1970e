"""Can I have it, how, by when: what the catalogue tells the signed-in office before anyone asks a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Sharing
from huitong.model.party import Actor
from huitong.model.policy import Grant, GrantState
from huitong.model.sharing import Request, RequestState
from huitong.model.text import BilingualText
from huitong.sharing.deadline import WorkingDays, last_day, local_day


class AvailabilityKind(StrEnum):
    """The answers."""

    GRANTED = "granted"
    """The office has a grant that may be used now."""
    PREPARING = "preparing"
    """The office has a grant whose pseudonyms are being prepared."""
    UNDER_REVIEW = "under-review"
    """The office has asked; the providing office has not answered yet."""
    AT_ONCE = "at-once"
    """Whoever asks for a duty of the office gets it at once."""
    NEEDS_APPROVAL = "needs-approval"
    """A reviewer of the providing office answers within the limit."""
    NOT_SHARED = "not-shared"
    """It is refused, and on this basis."""


@dataclass(frozen=True)
class Availability:
    """The answer for one dataset and one office. Dates are days of the instance's time zone."""

    kind: AvailabilityKind
    provider: str
    grants: tuple[str, ...] = ()
    """Grants that may be used now, or are being prepared."""
    until: date | None = None
    """Last day on which the longest of these grants may be used."""
    request: str | None = None
    """The request that waits for an answer."""
    working_days: int | None = None
    """Within how many working days an answer comes."""
    answer_by: date | None = None
    """The last day of that limit: of the waiting request, or of one submitted today."""
    provisional: bool = False
    """The holidays of a year that this day depends on are not known yet."""
    condition: BilingualText | None = None
    """The condition of sharing, in the provider's words."""
    basis: str | None = None
    """The clause on which sharing is refused or made conditional."""

    def reason(self, dataset: Dataset) -> Reason:
        """The answer as one sentence."""
        parameters: dict[str, str | int] = {"dataset": dataset.id, "provider": self.provider}
        if self.until is not None:
            parameters["until"] = self.until.isoformat()
        if self.request is not None:
            parameters["request"] = self.request
        if self.answer_by is not None:
            parameters["answer_by"] = self.answer_by.isoformat()
        if self.working_days is not None:
            parameters["working_days"] = self.working_days
        if self.basis is not None:
            parameters["basis"] = self.basis
        return Reason(f"availability-{self.kind.value}", parameters)


def availability(
    dataset: Dataset,
    *,
    actor: Actor,
    grants: Sequence[Grant],
    requests: Sequence[Request] = (),
    now: datetime,
    time_zone: str,
    calendar: WorkingDays,
    answer_days: int,
) -> Availability:
    """The answer for the actor's office. `grants` and `requests` may hold those of other datasets and offices too."""
    own = [grant for grant in grants if grant.dataset == dataset.id and grant.using_office == actor.office]
    for kind, usable in (
        (AvailabilityKind.GRANTED, [grant for grant in own if grant.valid_at(now)]),
        (
            AvailabilityKind.PREPARING,
            [grant for grant in own if grant.state is GrantState.PREPARING and now < grant.terms.valid_until],
        ),
    ):
        if usable:
            longest = max(usable, key=lambda grant: grant.terms.valid_until)
            return Availability(
                kind=kind,
                provider=dataset.provider,
                grants=tuple(grant.id for grant in usable),
                until=last_day(longest.terms.valid_until, time_zone),
                condition=dataset.sharing_condition,
            )
    waiting = [
        request
        for request in requests
        if request.dataset == dataset.id
        and request.applicant_office == actor.office
        and request.state is RequestState.UNDER_REVIEW
    ]
    if waiting:
        first = min(waiting, key=lambda request: (request.answer_due or date.max, request.id))
        return Availability(
            kind=AvailabilityKind.UNDER_REVIEW,
            provider=dataset.provider,
            request=first.id,
            working_days=answer_days,
            answer_by=first.answer_due,
            provisional=first.answer_due is not None and calendar.is_provisional(first.answer_due),
            condition=dataset.sharing_condition,
            basis=dataset.sharing_basis,
        )
    if dataset.sharing is Sharing.NOT_SHARED:
        return Availability(kind=AvailabilityKind.NOT_SHARED, provider=dataset.provider, basis=dataset.sharing_basis)
    if dataset.sharing is Sharing.UNCONDITIONAL:
        return Availability(kind=AvailabilityKind.AT_ONCE, provider=dataset.provider)
    due = calendar.after(local_day(now, time_zone), answer_days)
    return Availability(
        kind=AvailabilityKind.NEEDS_APPROVAL,
        provider=dataset.provider,
        working_days=answer_days,
        answer_by=due.day,
        provisional=due.provisional,
        condition=dataset.sharing_condition,
        basis=dataset.sharing_basis,
    )
