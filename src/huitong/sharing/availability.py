"""Can I have it, how, by when: what the catalogue tells the signed-in office before anyone asks a person."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Grade, Sharing
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant, GrantState, ItemTerm, Mode
from huitong.model.sharing import Request, RequestEventKind, RequestState
from huitong.model.text import BilingualText
from huitong.policy.grading import EffectiveGrade, GradingScheme, grade_of_terms, item_grades
from huitong.policy.grading import scheme as shipped_scheme
from huitong.sharing.deadline import WorkingDays, last_day, local_day


class ReviewerRoll(Protocol):
    """Who could answer (the portal's posts)."""

    def reviewers_of(self, offices: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The persons who hold a post with the role of reviewer now, for each of these offices; in one statement."""
        ...


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
    REFUSED = "refused"
    """A rule stands against it for this actor; `rule` names it."""


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
    reviewers: int | None = None
    """How many different reviewers must agree if all of it is asked for with its default masks; a part may take fewer."""
    endorsed: bool = False
    """The first of two reviewers has agreed to the waiting request."""
    rule: Reason | None = None
    """The rule that stands against it, as a whole sentence."""

    def reason(self, dataset: Dataset) -> Reason:
        """The answer as one sentence."""
        return self.about(dataset.id)

    def about(self, dataset: str) -> Reason:
        """The same, of a dataset of which only the id is at hand."""
        if self.rule is not None:
            return self.rule
        parameters: dict[str, str | int] = {"dataset": dataset, "provider": self.provider}
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
        if self.kind is AvailabilityKind.UNDER_REVIEW and self.endorsed:
            return Reason("availability-half-agreed", parameters)
        if self.kind is AvailabilityKind.NEEDS_APPROVAL and (self.reviewers or 1) > 1:
            return Reason("availability-needs-reviewers", {**parameters, "reviewers": self.reviewers or 1})
        return Reason(f"availability-{self.kind.value}", parameters)


@dataclass(frozen=True)
class Prospect:
    """What asking for a whole dataset by default would lead to, whoever asks: refused, granted at once, or reviewed by people."""

    kind: AvailabilityKind
    """NOT_SHARED, AT_ONCE, NEEDS_APPROVAL, or REFUSED because nothing of it may leave."""
    reviewers: int = 0
    """How many different reviewers must agree."""


def prospect_of(
    dataset: Dataset,
    *,
    scheme: GradingScheme | None = None,
    sources: Mapping[str, Dataset] | None = None,
    rows: int | None = None,
) -> Prospect:
    """The prospect by the dataset's sharing type and what the scheme asks of its grade; parameters as for `availability`."""
    if dataset.sharing is Sharing.NOT_SHARED:
        return Prospect(AvailabilityKind.NOT_SHARED)
    scheme = scheme or shipped_scheme()
    by_default = grade_by_default(dataset, scheme=scheme, sources=sources, rows=rows)
    if by_default is None:
        return Prospect(AvailabilityKind.REFUSED)
    grade = scheme.at(by_default.grade)
    if dataset.sharing is Sharing.UNCONDITIONAL and grade.at_once:
        return Prospect(AvailabilityKind.AT_ONCE)
    return Prospect(AvailabilityKind.NEEDS_APPROVAL, grade.reviewers)


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
    scheme: GradingScheme | None = None,
    sources: Mapping[str, Dataset] | None = None,
    rows: int | None = None,
    reviewers: Collection[str] | None = None,
) -> Availability:
    """The answer for the actor's office. `grants` and `requests` may hold those of other datasets and offices too.

    `sources` and `rows` are what the effective grade follows from (`policy.grading`); `reviewers` are the persons who can answer
    for the providing office, None if that is not known. What the office has already is told before any rule against asking."""
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
            endorsed=first.events[-1].kind is RequestEventKind.ENDORSED,
        )
    prospect = prospect_of(dataset, scheme=scheme, sources=sources, rows=rows)
    return answer_to_asking(
        prospect,
        dataset=dataset.id,
        provider=dataset.provider,
        grade=dataset.grade,
        condition=dataset.sharing_condition,
        basis=dataset.sharing_basis,
        actor=actor,
        answering=None if reviewers is None else len(set(reviewers) - {actor.person}),
        today=local_day(now, time_zone),
        calendar=calendar,
        answer_days=answer_days,
    )


def answer_to_asking(
    prospect: Prospect,
    *,
    dataset: str,
    provider: str,
    grade: Grade,
    condition: BilingualText | None,
    basis: str,
    actor: Actor,
    answering: int | None,
    today: date,
    calendar: WorkingDays,
    answer_days: int,
) -> Availability:
    """What a dataset's prospect comes to for this actor, whose office has nothing of it yet: `answering` reviewers could answer
    (None: that is not known). Rules are told in the order in which nothing could be done about them by asking differently."""
    about: dict[str, str | int] = {"dataset": dataset, "provider": provider}
    rule: Reason | None = None
    if prospect.kind is AvailabilityKind.NOT_SHARED:
        return Availability(kind=AvailabilityKind.NOT_SHARED, provider=provider, basis=basis)
    if prospect.kind is AvailabilityKind.REFUSED:
        rule = Reason("availability-nothing-leaves", {**about, "grade": int(grade)})
    elif not actor.has(Role.ANALYST):
        rule = Reason("availability-role-missing", {**about, "post": actor.post, "role": Role.ANALYST.value})
    elif answering is not None and answering < prospect.reviewers:
        rule = Reason("availability-nobody-answers", {**about, "reviewers": answering, "needed": prospect.reviewers})
    if rule is not None:
        return Availability(kind=AvailabilityKind.REFUSED, provider=provider, rule=rule, basis=basis)
    if prospect.kind is AvailabilityKind.AT_ONCE:
        return Availability(kind=AvailabilityKind.AT_ONCE, provider=provider)
    due = calendar.after(today, answer_days)
    return Availability(
        kind=AvailabilityKind.NEEDS_APPROVAL,
        provider=provider,
        working_days=answer_days,
        answer_by=due.day,
        provisional=due.provisional,
        condition=condition,
        basis=basis,
        reviewers=prospect.reviewers,
    )


def grade_by_default(
    dataset: Dataset, *, scheme: GradingScheme, sources: Mapping[str, Dataset] | None = None, rows: int | None = None
) -> EffectiveGrade | None:
    """The grade of all that may leave, each item through its default mask; None if the grades of its items let nothing leave in
    a mode that can be asked for."""
    askable = {Mode.ROWS.value}
    grades = item_grades(dataset, sources=sources, scheme=scheme)
    leaving = [item for item in dataset.items if scheme.at(grades[item.name]).modes & askable]
    if not leaving:
        return None
    terms = [ItemTerm(item=item.name, mask=scheme.default_mask(item)) for item in leaving]
    return grade_of_terms(dataset, terms, sources=sources, rows=rows, scheme=scheme)
